"""What a check will ask for, without running anything: the first round of requests.

Where no claim searches for knockouts the first round is all there is. A greedy search chooses its
next candidates by the values of the last ones, so what it asks for later can only be bounded, by
two runs for each candidate of each step.

    found = first_round(program, resolver, planner.tasks)
    plans = planner.plans(found.requests)

Source: `pathdsl.score.rounds` (asking in rounds), `pathdsl.score.scores.knockouts` (the searches).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from pathdsl.graph.paths import pathset
from pathdsl.graph.paths.pathset import Pos
from pathdsl.graph.resolve.instances import Instance, members_of
from pathdsl.lang import ast
from pathdsl.lang.loops import Looped, sides_of
from pathdsl.lang.program import Program
from pathdsl.lang.serving import tasks_read
from pathdsl.lang.signatures.calls import Filled, resolve_options
from pathdsl.lang.signatures.correlations import each_member
from pathdsl.lang.signatures.knockouts import KNOCKOUTS
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.walk import children
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.taskdata import TaskData
from pathdsl.score.instead import Beside, Side
from pathdsl.score.lowering import Lowering
from pathdsl.score.members import asked_instances
from pathdsl.score.quantity import requests
from pathdsl.score.rounds import Steps, ordered
from pathdsl.score.scores.knockouts import greedy_of
from pathdsl.score.scores.setting import subject_of
from pathdsl.score.session import Bindings, Request, Resolver

__all__ = ["FirstRound", "first_round"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRound:
    """The requests of the first round; `adaptive` are the claims and lets that ask for more.

    `later_runs` bounds how many runs the searches may still ask for; 0 where there is none.
    `names` are the claims and lets that were asked for, loop members one by one; `of_claims` has
    what each of these members of a claim asks for.
    """

    names: tuple[str, ...]
    requests: tuple[Request, ...]
    adaptive: tuple[str, ...]
    later_runs: int
    of_claims: tuple[tuple[ast.ClaimDecl, tuple[Request, ...]], ...]


class _Dry:
    """A session of rows without a model."""

    def __init__(self, tasks: Mapping[str, TaskData]) -> None:
        self.tasks = tasks

    def measures(self, requests: Collection[Request]) -> None:
        """Nothing is measured."""

    def value(self, run: RunSpec, measure: Measure) -> np.ndarray:
        """Never asked for before a round has run."""
        raise LookupError(f"nothing was measured: {run.label} {measure.kind}")

    def scored(
        self, run: RunSpec, measure: Measure, unit: tuple[str, str, str], at: Pos | None
    ) -> np.ndarray:
        """Never asked for before a round has run."""
        raise LookupError(f"nothing was attributed: {measure.text}")

    def rounding(self) -> float:
        """Nothing is rounded."""
        return 0.0

    def allowance(self, task: str = "") -> float:
        """Nothing is rounded."""
        return 0.0

    def identity(self, run: RunSpec) -> RunSpec:
        """No values are compared."""
        return run


def first_round(
    program: Program, resolver: Resolver, tasks: Mapping[str, TaskData], only: str | None = None
) -> FirstRound:
    """The requests that `judge` would measure first, in the same order.

    Raises LanguageError for what has no meaning on this model and these rows, as `judge` does.
    """
    lowering = Lowering(program, resolver, _Dry(tasks))
    asked: dict[Side, tuple[Request, ...]] = {}
    names: list[str] = []
    adaptive: list[str] = []
    of_claims: list[tuple[ast.ClaimDecl, tuple[Request, ...]]] = []
    later = 0
    declarations: list[Looped] = [*program.lets.values(), *program.claims]
    for declaration in declarations:
        for name, one in _instances(declaration, program, resolver, only):
            names.append(name)
            waiting = False
            kind = "let" if isinstance(declaration, ast.LetDecl) else "claim"
            sides: list[tuple[Request, ...]] = []
            for side, node in enumerate(sides_of(declaration)):
                found, finished = _advance(lowering.scalar(one.of(node), one.bindings))
                asked[kind, len(names), str(side)] = found
                sides.append(found)
                waiting = waiting or not finished
            if isinstance(declaration, ast.ClaimDecl):
                of_claims.append((declaration, ordered(sides)))
            # `chance` waits for its values too, but asks for nothing more.
            more = _later(one.of(declaration), program, resolver, one.bindings) if waiting else 0
            if more:
                adaptive.append(name)
                later += more
    beside = Beside(pathset)
    beside.learn(ordered(asked.values()))
    more_beside = beside.first(asked)
    return FirstRound(
        names=tuple(names),
        requests=ordered([*asked.values(), more_beside]),
        adaptive=tuple(adaptive),
        later_runs=later,
        of_claims=tuple(of_claims),
    )


def _instances(
    declaration: Looped, program: Program, resolver: Resolver, only: str | None
) -> Iterator[tuple[str, Instance]]:
    name = declaration.name.name
    for one in asked_instances(declaration, program, resolver, only):
        yield f"{name}[{one.label}]" if one.label else name, one


def _advance(steps: Steps) -> tuple[tuple[Request, ...], bool]:
    """What a quantity asks for first, and whether that is all."""
    try:
        return next(steps), False
    except StopIteration as stop:
        return requests(stop.value), True
    finally:
        steps.close()


# -------------------------------------------------------------------------------------------------
# What searches may ask for later
# -------------------------------------------------------------------------------------------------


def _later(declaration: Looped, program: Program, resolver: Resolver, bindings: Bindings) -> int:
    """An upper bound on the runs of all searches of one declaration, its lets included."""
    return sum(
        _search_runs(score, program, resolver, bound, times)
        for score, times, bound in _scores(declaration, program, resolver, bindings, set())
    )


def _scores(
    node: ast.Node, program: Program, resolver: Resolver, bindings: Bindings, seen: set[str]
) -> Iterator[tuple[ast.Score, int, Bindings]]:
    """Every score in a declaration and in the lets it names, with how often it is asked.

    What stands in a function over members comes once for each of them, with its variables bound.
    """
    inside: dict[int, int] = {}
    pending = [node]
    while pending:
        part = pending.pop()
        if isinstance(part, ast.OverMembers):
            for one in members_of(program, resolver, part, bindings):
                for inner in part.sides:
                    yield from _scores(one.of(inner), program, resolver, one.bindings, seen)
            continue
        pending += reversed(children(part))
        if isinstance(part, ast.Score) and SCORES[part.name].of == "score":
            times = 1 + resolve_options(part).integer("among")
            inside |= {id(s): times for s in part.subjects if isinstance(s, ast.Score)}
        if isinstance(part, ast.Score):
            yield part, inside.get(id(part), 1), bindings
        if isinstance(part, ast.Name) and part.name in program.lets and part.name not in seen:
            seen.add(part.name)
            named = program.lets[part.name]
            let = named.expression if named.loop is None else each_member(named)
            yield from _scores(let, program, resolver, bindings, seen)


def _search_runs(
    score: ast.Score, program: Program, resolver: Resolver, bindings: Bindings, times: int
) -> int:
    """Every candidate of every step needs the circuit and the model without it, two runs."""
    searches = SCORES[score.name].searches
    if searches == "never":
        return 0
    options = resolve_options(score)
    filled = options["knockouts"]
    if not isinstance(filled, Filled) or not KNOCKOUTS[filled.name].searches:
        return 0
    greedy = greedy_of(filled)
    over = options.node("over")
    edges = isinstance(over, ast.Edges | ast.EdgesFile) or options.get("per") == "edge"
    for task in tasks_read(program, [score]):
        resolver = resolver.on(task)
    find = resolver.edges if edges else resolver.units
    units = len(find(subject_of(score), bindings, over))
    targets = units if searches == "for each unit" else 1
    steps = min(greedy.steps, units)
    searched = steps * greedy.runs * min(greedy.sample, units)
    return 2 * times * targets * (searched + greedy.runs)
