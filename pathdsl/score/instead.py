"""A claim with other path sets in its place: no path (`none`) and all paths (`full`).

A claim that both of them satisfy cannot fail, whatever set it names; one that `none` satisfies says
what a set does not do. Every run of a claimed set knows how it would be with another one
(`pathdsl.plan.runs.Subject`), so that a quantity can be made anew with other runs, whatever it is
made of: scores, searches, halves, families.

`none` and `full` mostly give runs that a check has anyway. What is missing of them is asked for in
the first round, at most two runs for each path set of a claim; where more would be needed, and
for what a search asks for later, the quantity is left out.

    beside = Beside(algebra)
    found = drive(steps, session, beside)
    beside.put(node, subject, algebra.NONE)      # None where a run was not asked for
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from pathdsl.graph.paths.pathset import PathSet
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec, Subject
from pathdsl.score.quantity import (
    Aggregate,
    Constant,
    RowExpr,
    RowMetric,
    RowOp,
    Scalar,
    inner_first,
    rebuilt,
    remade,
    requests,
    row_metrics,
)  # fmt: skip
from pathdsl.score.rounds import Asked
from pathdsl.score.session import PathAlgebra, Request

__all__ = ["NEW_RUNS", "Beside", "Side", "instead", "subjects_of"]

Side = tuple[str, int, str]
"""One side of a claim, or a let: `("claim", 3, "left")`, `("let", 0, "")`."""
NEW_RUNS = 2
"""How many runs may be added for one path set of one claim: with none of it, and with all."""


def subjects_of(*nodes: Scalar) -> tuple[Subject, ...]:
    """The path sets that quantities are about, equal ones once, in reading order."""
    found: dict[PathSet, Subject] = {}
    for node in nodes:
        for one in inner_first(node):
            for subject in _own(one):
                found.setdefault(subject.paths, subject)
    return tuple(found.values())


def _own(one: Scalar) -> Iterator[Subject]:
    """The path sets of one object, without what it is made of."""
    if isinstance(one, Aggregate):
        for item in row_metrics(one.rows):
            if item.run.subject is not None:
                yield item.run.subject
    elif isinstance(one, Constant) and one.counted is not None:
        yield from one.counted.subjects
        for mean in one.counted.means:
            yield from _own(mean)


def instead(node: Scalar, paths: PathSet, other: PathSet, text: str) -> Scalar:
    """The quantity with `other` in the place of `paths`, written `text`, wherever it is about it.

    A number that was counted is counted again, so the runs it reads must have been measured.
    """

    def changed(one: Scalar, args: Sequence[Scalar]) -> Scalar:
        match one:
            case Aggregate():
                return _mean(one, paths, other, text)
            case Constant(counted=counted) if counted is not None:
                means = [_mean(mean, paths, other, text) for mean in counted.means]
                return counted.again(paths, other, means)
            case _:
                return rebuilt(one, args)

    return remade(node, changed)


def _mean(one: Aggregate, paths: PathSet, other: PathSet, text: str) -> Aggregate:
    return replace(one, rows=_rows(one.rows, paths, other, text))


def _rows(rows: RowExpr, paths: PathSet, other: PathSet, text: str) -> RowExpr:
    match rows:
        case RowMetric(run=run) if run.subject is not None and run.subject.paths == paths:
            return replace(rows, run=run.instead(other, text))
        case RowOp(args=args):
            return replace(rows, args=tuple(_rows(arg, paths, other, text) for arg in args))
        case _:
            return rows


def _needed(node: Scalar) -> Iterator[Request]:
    """What a quantity reads, what its p-values were counted from included."""
    yield from requests(node)
    for one in inner_first(node):
        if isinstance(one, Constant) and one.counted is not None:
            for mean in one.counted.means:
                yield from requests(mean)


class Beside:
    """What a check asks for beside its claims, and which values there are in the end."""

    def __init__(self, algebra: PathAlgebra) -> None:
        self.algebra = algebra
        self.others = {"none": algebra.NONE, "full": algebra.FULL}
        self._known: set[Request] = set()
        self._asked: dict[RunSpec, RunSpec] = {}

    def learn(self, asked: Iterable[Request]) -> None:
        """Requests that are measured."""
        for run, measure in asked:
            name, _ = request = self._named((run, measure))
            self._known.add(request)
            # Where several runs are one, its values cost least beside those of the vocabulary.
            if name not in self._asked or measure.record.vocabulary:
                self._asked[name] = run

    def first(self, asked: Mapping[Side, Asked]) -> Asked:
        """What to ask for beside the first round, by what each side of a claim asks for in it."""
        runs = {run for run, _ in self._known}
        found: dict[Request, None] = {}
        claims: dict[int, dict[PathSet, list[Request]]] = {}
        for (kind, number, _), of_side in asked.items():
            for request in of_side if kind == "claim" else ():
                if (subject := request[0].subject) is not None:
                    claims.setdefault(number, {}).setdefault(subject.paths, []).append(request)
        for of_claim in claims.values():
            for of_set in of_claim.values():
                spare = NEW_RUNS
                for text, other in self.others.items():
                    missing = self._missing(of_set, other, text)
                    new = {run for run, _ in missing} - runs
                    if len(new) > spare or any(m.may_lack and r.treats for r, m in missing):
                        continue  # no value there would end the check
                    spare -= len(new)
                    runs |= new
                    added = [(self._asked.get(run, run), measure) for run, measure in missing]
                    found.update(dict.fromkeys(added))
                    self.learn(added)
        return tuple(found)

    def put(self, node: Scalar, subject: Subject, text: str) -> Scalar | None:
        """The quantity with `none` or `full` in the place of a set; None where runs are missing."""
        other = self.others[text]
        for run, measure in _needed(node):
            if run.subject is not None and run.subject.paths == subject.paths:
                if not self._is_known(run.instead(other, text), measure):
                    return None
        return instead(node, subject.paths, other, text)

    def _missing(self, asked: Sequence[Request], other: PathSet, text: str) -> list[Request]:
        made = ((run.instead(other, text), measure) for run, measure in asked)
        new = (self._named(one) for one in made)
        return [request for request in dict.fromkeys(new) if request not in self._known]

    def _is_known(self, run: RunSpec, measure: Measure) -> bool:
        return self._named((run, measure)) in self._known

    def _named(self, request: Request) -> Request:
        """The request of a run under the one name of what treats nothing, or everything."""
        run, measure = request
        found = run.identity
        return (run if found.kind == run.kind else replace(found, label=found.kind)), measure
