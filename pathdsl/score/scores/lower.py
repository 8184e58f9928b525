"""The scores of the language: each `Score` of the syntax tree becomes a quantity.

`faithfulness`, `completeness`, `minimality`, `attribution`, `chance` and the areas `cpr` and `cmd`
have modules of their own. The others:

- `effect(P)` = mean(m(treat(P)) - m(reference)): total, direct and indirect effects, by P; with
  `as: rms` the root of the mean square.
- `accuracy(RUN, answer: COLUMN)`: the share of prompts whose top token is an answer.
- `broken(RUN, BY, answer: COLUMN)`: the share of all prompts that RUN gets right and BY does not,
  the new errors of Merullo et al. 2023 and one of McNemar's (1947) two cells of discordant pairs;
  accuracy(BY) = accuracy(RUN) - broken(RUN, BY) + broken(BY, RUN).
- `stability(edges("FILE"), size: N)`: whether other prompts would give the same circuit
  (`pathdsl.score.scores.stability`).
- `overlap(P, Q)`: what two path sets share (`pathdsl.score.scores.overlap`).
- `paths(P)`: the number of (node, slot) sequences.
- `size(P, in: node | edge)`: how many nodes or edges lie on some path of P.

A score that reads tokens (`kl`, `agreement`, `accuracy`, `broken`) reads them at END, or where the
metric named by `metric:` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from pathdsl.graph.paths.pathset import PathSet
from pathdsl.lang import ast
from pathdsl.lang.signatures.calls import resolve_options
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.score.context import Context
from pathdsl.score.faults import fault
from pathdsl.score.metrics import atom
from pathdsl.score.quantity import (
    Aggregate,
    Constant,
    Counted,
    RowMetric,
    RowNumber,
    RowOp,
    Scalar,
)
from pathdsl.score.rounds import Steps, at_once
from pathdsl.score.scores.areas import cmd, cpr
from pathdsl.score.scores.attribution import attribution
from pathdsl.score.scores.chance import chance
from pathdsl.score.scores.completeness import completeness
from pathdsl.score.scores.faithfulness import faithfulness, rms
from pathdsl.score.scores.minimality import minimality
from pathdsl.score.scores.overlap import compared_units, shared_part
from pathdsl.score.scores.setting import Setting, setting_of, subject_of
from pathdsl.score.scores.stability import stability
from pathdsl.score.session import Bindings, PathAlgebra

__all__ = ["LOWERED", "lower_score"]

S = TypeVar("S", bound=ast.Node)
Lower = Callable[[Context, ast.Score, Bindings], Steps]


def lower_score(context: Context, score: ast.Score, bindings: Bindings) -> Steps:
    """The quantity of a score; yields what searches ask for."""
    return LOWERED[score.name](context, score, bindings)


def measured(of: Callable[[Setting], Steps]) -> Lower:
    """A score that is made of runs of one task."""

    def lower(context: Context, score: ast.Score, bindings: Bindings) -> Steps:
        return (yield from of(setting_of(context, score, bindings)))

    return lower


def _effect(setting: Setting) -> Scalar:
    treated = setting.rows(setting.treated_alone())
    moved = RowOp(op="-", args=(treated, setting.rows(setting.reference())))
    label = f"m(treat({setting.title})) - m(reference)"
    match setting.form:
        case "mean":
            return setting.average(moved, f"mean({label})")
        case "rms":
            return rms(setting, moved, label)
        case form:
            raise ValueError(f"`{form}` is no form of an effect")


def _right(setting: Setting, place: int) -> RowMetric:
    """1 on the prompts whose top token is an answer in one of the runs of a score, else 0."""
    run = setting.score.subjects[place]
    if not isinstance(run, ast.PlainRun | ast.PathRun):
        raise fault("PD423", f"`{setting.score.name}` takes a run", run)
    spec = setting.context.run(run, setting.task, setting.bindings)
    if setting.scope is not None and isinstance(run, ast.PathRun):
        spec = _within(spec, setting.scope, setting.context)
    answer = setting.options.word("answer")
    top = atom(Measure(kind="top1", column=answer, position=setting.position))
    return RowMetric(metric=top, run=spec)


def _accuracy(setting: Setting) -> Scalar:
    right = _right(setting, 0)
    return setting.average(right, f"accuracy({right.run.label or right.run.kind})")


def _broken(setting: Setting) -> Scalar:
    before, after = _right(setting, 0), _right(setting, 1)
    wrong = RowOp(op="-", args=(RowNumber(value=1.0), after))
    names = ", ".join(one.run.label or one.run.kind for one in (before, after))
    return setting.average(RowOp(op="*", args=(before, wrong)), f"broken({names})")


def _within(run: RunSpec, scope: PathSet, context: Context) -> RunSpec:
    """The run with the paths outside the scope reference; the same for what it is about."""
    both, subject = context.algebra.intersection, run.subject
    if subject is not None:
        own = subject.treated
        subject = replace(subject, treated=lambda other: both(own(other), scope))
    return replace(run, paths=both(run.treated_paths, scope), subject=subject)


Count = Callable[[Context, ast.Score, Bindings], float]


def counted(of: Count) -> Lower:
    """A score that is counted on the graph."""

    def lower(context: Context, score: ast.Score, bindings: Bindings) -> Scalar:
        places = []
        for number in range(len(score.subjects)):
            expr = subject_of(score, number)
            paths = context.counted_on(score).path_set(expr, bindings)
            text = context.text(expr, bindings)
            places.append(context.subject(expr, paths, text, lambda other: other))

        def again(paths: PathSet, other: PathSet, means: Sequence[Aggregate]) -> Constant:
            subjects = tuple(
                _as_written(context.algebra, other, written)
                if place is not None and place.paths == paths
                else written
                for written, place in zip(score.subjects, places, strict=True)
            )
            return Constant(value=of(context, replace(score, subjects=subjects), bindings))

        subjects = tuple(place for place in places if place is not None)
        return Constant(
            value=of(context, score, bindings),
            counted=Counted(subjects=subjects, means=(), again=again),
        )

    return at_once(lower)


def _as_written(algebra: PathAlgebra, paths: PathSet, expr: S) -> ast.Full | ast.NonePath | S:
    """`full` or `none` for these sets, and the expression itself for any other."""
    if paths == algebra.FULL:
        return ast.Full(span=expr.span)
    return ast.NonePath(span=expr.span) if paths == algebra.NONE else expr


def _paths(context: Context, score: ast.Score, bindings: Bindings) -> float:
    resolver = context.counted_on(score)
    return float(resolver.count(resolver.path_set(subject_of(score), bindings)))


def _size(context: Context, score: ast.Score, bindings: Bindings) -> float:
    resolver = context.counted_on(score)
    paths = resolver.path_set(subject_of(score), bindings)
    counted = {"node": resolver.node_set, "edge": resolver.edge_set}
    return float(len(counted[resolve_options(score).word("in")](paths)))


def _overlap(context: Context, score: ast.Score, bindings: Bindings) -> float:
    options = resolve_options(score)
    subjects = (subject_of(score, 0), subject_of(score, 1))
    over = options["over"]
    written = next((o.value for o in score.options if o.keyword == "over"), None)
    if isinstance(written, ast.Name) and written.name in context.program.groups:
        over = written  # what a file declares is meant
    first, second = compared_units(context.counted_on(score), subjects, over, bindings)
    return shared_part(first, second, options.word("as"))


LOWERED: dict[str, Lower] = {
    "faithfulness": measured(at_once(faithfulness)),
    "completeness": measured(completeness),
    "minimality": measured(minimality),
    "effect": measured(at_once(_effect)),
    "attribution": measured(at_once(attribution)),
    "accuracy": measured(at_once(_accuracy)),
    "broken": measured(at_once(_broken)),
    "overlap": counted(_overlap),
    "cpr": measured(at_once(cpr)),
    "cmd": measured(at_once(cmd)),
    "paths": counted(_paths),
    "size": counted(_size),
    "stability": at_once(stability),
    "chance": partial(chance, lower=lower_score),
}
"""How each score of `pathdsl.lang.signatures.scores` becomes a quantity."""
