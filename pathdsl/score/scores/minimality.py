r"""Minimality: does every unit matter, given some knockouts?

The score of a unit v is the largest over K of |F(C \ (K + v)) - F(C \ K)| (`gap`, in the metric's
unit), or that as a share of F(M), or the root of the mean square of the change of single prompts
(`rms`, Shi et al. 2024); the score of the circuit is the smallest over its units. A unit
that does nothing alone may matter once what covers for it is gone, hence K: Wang et al. 2022
(arXiv:2211.00593), section 4 and figure 20.

K is nothing or the rest of the unit's group; with `knockouts: groups` nothing or any group that P
names, the unit left out; with `greedy(…)` what a search in C \ v finds; with `given: { v: K }` as
stated. Few fixed candidates are judged together, with Bonferroni among them (see `intervals`); a K
that was searched for is judged on the other half of the rows.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np

from pathdsl.graph.paths.units import EdgeUnit
from pathdsl.lang import ast
from pathdsl.lang.signatures.calls import Filled
from pathdsl.lang.signatures.knockouts import KNOCKOUTS
from pathdsl.score.faults import fault
from pathdsl.score.quantity import Half, Scalar, Worst, requests
from pathdsl.score.rounds import Asked, Steps, gather, ordered
from pathdsl.score.scores.completeness import change
from pathdsl.score.scores.knockouts import (
    Greedy,
    distinct,
    greedy_of,
    knockout_units,
    named_groups,
    split_parts,
    without,
)
from pathdsl.score.scores.setting import Knockouts, Setting, names_of
from pathdsl.score.session import Unit

__all__ = ["extended", "minimality"]

Target = tuple[str, Knockouts]


def minimality(setting: Setting) -> Steps:
    """The smallest over units of the largest change that removing the unit makes."""
    targets = _targets(setting)
    given = _given(setting, targets)
    filled = setting.options["knockouts"]
    part: Half | None = None
    families: list[list[Knockouts]]
    if isinstance(filled, Filled) and KNOCKOUTS[filled.name].searches:
        greedy = greedy_of(filled)
        search, part = split_parts(setting, greedy.seed)
        pool = tuple(dict.fromkeys(u for _, units in targets for u in units))
        families = yield from gather(
            [_searched(setting, target, pool, greedy, search, given) for target in targets]
        )
    else:
        groups = named_groups(setting) if isinstance(filled, Filled) else None
        families = [_fixed(setting, target, groups, given) for target in targets]
    members = []
    for (label, units), family in zip(targets, families, strict=True):
        options_of_unit = tuple(
            (
                f"{label} given {names_of(k)}" if k else label,
                change(setting, setting.paths, k, _joined(k, units), part),
            )
            for k in distinct(family)
        )
        only = len(options_of_unit) == 1
        members.append(
            options_of_unit[0] if only else (label, Worst(which="max", members=options_of_unit))
        )
    return Worst(which="min", members=tuple(members))


def extended(setting: Setting, seed: int) -> Scalar:
    """What leaving out a random edge that a random walk added to P does, as minimality counts."""
    resolver = setting.resolver
    listed, edge = resolver.extended(setting.subject, seed, setting.bindings)
    return change(replace(setting, title=f"{setting.title} and a random walk"), listed, (), (edge,))


def _joined(knockouts: Knockouts, units: Knockouts) -> Knockouts:
    return (*without(knockouts, units), *units)


def _targets(setting: Setting) -> list[Target]:
    """What is removed, one at a time: units, edges or whole groups."""
    match setting.options.word("per"):
        case "node":
            return [(unit.label, (unit,)) for unit in knockout_units(setting)]
        case "group":
            return named_groups(setting)
        case "edge":
            over = setting.options.node("over")
            edges = setting.resolver.edges(setting.subject, setting.bindings, over)
            if not edges:
                if over is not None:
                    what = "no edge of `over:` lies on a path of this set"
                    raise fault("PD424", what, setting.score, help="list edges that its paths use")
                what = "the path set lists no edges"
                raise fault("PD424", what, setting.score, help="`over: edges { … }`")
            return [(edge.label, (edge,)) for edge in edges]
        case per:
            raise ValueError(f"minimality counts no `{per}`")


def _fixed(
    setting: Setting,
    target: Target,
    groups: Sequence[tuple[str, Knockouts]] | None,
    given: dict[str, Knockouts],
) -> list[Knockouts]:
    label, units = target
    if label in given:
        return [given[label]]
    if groups is not None:
        return [(), *(without(group, units) for _, group in groups)]
    unit = units[0]
    if len(units) != 1 or isinstance(unit, EdgeUnit):
        return [()]
    group = setting.resolver.unit_group(setting.subject, unit, setting.bindings)
    return [(), without(group, units)]


def _searched(
    setting: Setting,
    target: Target,
    pool: tuple[Unit, ...],
    greedy: Greedy,
    part: Half | None,
    given: dict[str, Knockouts],
) -> Generator[Asked, None, list[Knockouts]]:
    """The best K that the runs of a search find for one unit, by the rows of the search."""
    label, units = target
    if label in given:
        return [given[label]]
    paths, evaluator = setting.paths, setting.context.evaluator

    def own(_: Knockouts, grown: Knockouts) -> Scalar:
        return change(setting, paths, grown, _joined(grown, units), part)

    def circuit(current: Knockouts, grown: Knockouts) -> Scalar:
        return change(setting, paths, current, grown, part)

    better = greedy.by == "incompleteness"
    chosen = yield from greedy.search(
        without(pool, units),
        own if better else circuit,
        evaluator,
        only_better=better,
        name=f"minimality {label}",
    )
    options = distinct(chosen)
    if len(options) > 1:
        scored = [own((), k) for k in options]
        yield ordered(requests(node) for node in scored)
        values = np.nan_to_num([evaluator.estimate(node) for node in scored], nan=-np.inf)
        options = [options[int(np.argmax(values))]]
    return options


def _given(setting: Setting, targets: Sequence[Target]) -> dict[str, Knockouts]:
    """The K stated for units, by the unit's label; PD429 for a key that is no unit of P."""
    value = setting.options["given"]
    stated: dict[str, Knockouts] = {}
    if not isinstance(value, ast.MapValue):
        return stated
    for key, knocked in value.items:
        named = _resolved(setting, key)
        hits = [t for t in targets if _is(t[1], named)]
        if not hits:
            raise fault(
                "PD429",
                f"{names_of(named) if named else 'this'} is none of the units that are removed",
                key,
                help="the units are " + ", ".join(f"`{label}`" for label, _ in targets[:6]),
            )
        known = _resolved(setting, knocked)
        if not known:
            raise fault(
                "PD429",
                f"none of these nodes lies on a path of `{setting.title}`",
                knocked,
                help="name nodes of it, or leave the entry out",
            )
        for label, units in hits:
            stated[label] = without(known, units)
    return stated


def _resolved(setting: Setting, node: ast.NodeRef) -> Knockouts:
    return tuple(setting.resolver.units(setting.subject, setting.bindings, node))


def _is(removed: Sequence[Unit | EdgeUnit], named: Sequence[Unit]) -> bool:
    """Whether units are named: one by itself, a group by all that are in it."""
    units = [unit for unit in removed if not isinstance(unit, EdgeUnit)]
    if len(units) < len(removed) or not named:
        return False
    return all(_names(unit, named) for unit in units) and (
        len(units) == 1 or {n.label for n in named} == {unit.label for unit in units}
    )


def _names(unit: Unit, named: Sequence[Unit]) -> bool:
    """Whether a unit is named, with its position or without any."""
    return any(n.label in (unit.label, unit.label.partition("@")[0]) for n in named)
