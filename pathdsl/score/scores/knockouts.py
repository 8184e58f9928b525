r"""Choosing knockouts K: random subsets, named groups, and the two published greedy searches.

A K that was searched for is judged on rows that the search did not see (`split`): the largest of
many noisy values is too large on the rows that chose it. `split: false` does as the papers do.

Wang et al. 2022 (arXiv:2211.00593), appendix M, print one algorithm and their released code runs
another; both start from the empty K and look, `steps` times, at a random `sample` of C \ K:

- `by: circuit`, the paper's: add the v that maximises |F(C \ (K + v)) - F(C \ K)|, always;
- `by: incompleteness`, the code's: add the v that maximises |F(C \ (K + v)) - F(M \ (K + v))|, only
  where that beats the K so far.

The search is repeated `runs` times with other samples. Draws are hashes of the seed, the run, the
step and the unit, so they are the same on every machine and do not depend on the order of requests.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np

from pathdsl.draws import Draws
from pathdsl.lang import ast
from pathdsl.lang.signatures.calls import Filled
from pathdsl.score.faults import fault
from pathdsl.score.quantity import Half, Scalar, requests
from pathdsl.score.rounds import Asked, ordered
from pathdsl.score.scores.setting import Knockouts, Setting
from pathdsl.score.session import Session, Unit
from pathdsl.score.statistics.alike import task_clusters
from pathdsl.score.statistics.evaluate import Evaluator

__all__ = [
    "Greedy", "distinct", "enough_to_split", "greedy_of", "knockout_units", "named_groups",
    "random_subsets", "split_parts", "without",
]  # fmt: skip


# -------------------------------------------------------------------------------------------------
# What K is made of
# -------------------------------------------------------------------------------------------------


def knockout_units(setting: Setting) -> tuple[Unit, ...]:
    """What K ranges over: the units of P, or those of `over`; PD424 where there are none."""
    resolver, over = setting.resolver, setting.options.node("over")
    find = resolver.edges if isinstance(over, ast.Edges | ast.EdgesFile) else resolver.units
    units = find(setting.subject, setting.bindings, over)
    if not units:
        raise fault(
            "PD424",
            "the path set names no heads or MLPs to knock out",
            setting.score,
            help="name them, `over: {a9.h9, a9.h6}`",
        )
    return units


def named_groups(setting: Setting) -> list[tuple[str, Knockouts]]:
    """The groups that P names, with their units on paths of P; PD424 where there are none."""
    named = setting.resolver.groups_of(setting.subject, setting.bindings)
    groups = [(name, tuple(units)) for name, units in named if units]
    if not groups:
        raise fault(
            "PD424",
            "the path set names no group",
            setting.score,
            help="declare one, `group movers @END = { a9.h9, a9.h6 }`, and name it in the path",
        )
    return groups


def split_parts(setting: Setting, seed: int) -> tuple[Half | None, Half | None]:
    """The rows to search on and those to judge on; PD428 where there are too few to split."""
    if setting.options["split"] is False:
        return None, None
    help = "take more rows, or `split: false` to search and judge on the same ones"
    enough_to_split(setting.context.session, setting.task, setting.score, help)
    return Half(seed=seed, side="search"), Half(seed=seed, side="judge")


def enough_to_split(session: Session, task: str, at: ast.Node, help: str) -> None:
    """PD428 where a task has too few rows, or clusters, to search on one half of them."""
    data = session.tasks[task]
    fields = [one for one in task_clusters(data, pairs=False) if one is not None]
    if any(len(np.unique(clusters)) < 4 for clusters in fields):
        raise fault(
            "PD428",
            f"the {data.n_distinct} prompts of `{task}` are too few to search on one half"
            " and judge on the other",
            at,
            help=help,
        )


# -------------------------------------------------------------------------------------------------
# Choosing among it
# -------------------------------------------------------------------------------------------------


def without(units: Sequence[Unit], removed: Sequence[Unit]) -> Knockouts:
    """The units that are not removed, in order."""
    gone = set(removed)
    return tuple(unit for unit in units if unit not in gone)


def distinct(sets: Sequence[Knockouts]) -> list[Knockouts]:
    """Equal sets once, in order of first mention."""
    first: dict[frozenset[Unit], Knockouts] = {}
    for units in sets:
        first.setdefault(frozenset(units), units)
    return list(first.values())


def random_subsets(units: Sequence[Unit], count: int, seed: int) -> list[Knockouts]:
    """`count` subsets, each unit in with chance one half; repeated subsets are kept once."""
    drawn = [
        tuple(u for u in units if Draws(seed, "knockouts", str(i), u.label).below(2))
        for i in range(count)
    ]
    return distinct(drawn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Greedy:
    """The settings of a greedy search."""

    steps: int
    runs: int
    sample: int
    by: str
    seed: int

    def search(
        self,
        units: Sequence[Unit],
        score: Callable[[Knockouts, Knockouts], Scalar],
        evaluator: Evaluator,
        *,
        only_better: bool,
        name: str = "",
    ) -> Generator[Asked, None, list[Knockouts]]:
        """The K of each run; yields all candidates of one step of all runs at once.

        `score(K, K + v)` is what is maximised; with `only_better`, `score(K, K)` is the value that
        a candidate must beat at the start. `name` keeps the samples of several searches apart.
        """
        chosen: list[Knockouts] = [() for _ in range(self.runs)]
        best = [-np.inf] * self.runs
        if only_better:
            start = score((), ())
            yield requests(start)
            best = [_value(evaluator, start)] * self.runs
        order = {unit: i for i, unit in enumerate(units)}
        finished = [False] * self.runs
        for step in range(self.steps):
            tried: list[list[tuple[Knockouts, Scalar]]] = []
            for run, current in enumerate(chosen):
                rest = without(units, current)
                finished[run] = finished[run] or not rest
                drawn = [] if finished[run] else self._draw(rest, name, run, step)
                grown = [tuple(sorted((*current, v), key=order.__getitem__)) for v in drawn]
                tried.append([(k, score(current, k)) for k in grown])
            if not any(tried):
                break
            yield ordered(requests(node) for options in tried for _, node in options)
            for run, options in enumerate(tried):
                if not options:
                    continue
                values = [_value(evaluator, node) for _, node in options]
                top = int(np.argmax(values))
                if not only_better or values[top] > best[run]:
                    chosen[run], best[run] = options[top][0], values[top]
                elif len(options) == len(units) - len(chosen[run]):
                    finished[run] = True  # every candidate was looked at; the next step is the same
        return chosen

    def _draw(self, rest: Knockouts, name: str, run: int, step: int) -> list[Unit]:
        """The sample of one step, in the order of the units."""
        if self.sample >= len(rest):
            return list(rest)
        draws = Draws(self.seed, "greedy", name, str(run), str(step))
        picked = set(draws.sample(rest, self.sample))
        return [unit for unit in rest if unit in picked]


def greedy_of(filled: Filled) -> Greedy:
    """The search that `greedy(10, seed: 0)` asks for."""
    given = filled.arguments
    return Greedy(
        steps=given.integer("steps"),
        runs=given.integer("runs"),
        sample=given.integer("sample"),
        by=given.word("by"),
        seed=given.integer("seed"),
    )


def _value(evaluator: Evaluator, node: Scalar) -> float:
    value = evaluator.estimate(node)
    return value if np.isfinite(value) else -np.inf
