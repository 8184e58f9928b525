r"""Completeness: does the circuit stay like the model when both lose the same units?

The incompleteness of K is |F(C \ K) - F(M \ K)|; the score is the largest over the K of a family
(`gap`, in the metric's unit), or that as a share of F(M). A circuit that misses a backup component
looks faithful until its main component is knocked out: Wang et al. 2022 (arXiv:2211.00593),
section 4 and appendix M. auto-circuit calls the same idea "same under knockouts".

The family is random subsets of the units, the groups that P names, or the K of greedy searches.
A K that was searched for is judged on rows that the search did not see (`split`): the largest of
many noisy values is too large on the rows that chose it. `split: false` does as the papers do.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from pathdsl.graph.paths.pathset import PathSet
from pathdsl.lang import ast
from pathdsl.lang.signatures.calls import Filled
from pathdsl.score.faults import fault
from pathdsl.score.quantity import Op, Part, RowOp, Scalar, Worst
from pathdsl.score.rounds import Asked, Steps
from pathdsl.score.scores.faithfulness import rms
from pathdsl.score.scores.knockouts import distinct, greedy_of, random_subsets
from pathdsl.score.scores.setting import Knockouts, Setting, names_of
from pathdsl.score.session import Unit

__all__ = ["completeness", "incompleteness", "knockout_units"]


def incompleteness(
    setting: Setting, paths: PathSet, units: Knockouts, *, share: bool, part: Part | None = None
) -> Scalar:
    r"""|F(C \ K) - F(M \ K)|, or that as a share of F(M), for one K."""
    circuit, model = setting.circuit_without(paths, units), setting.model_without(units)
    if not share:
        return Op(op="abs", args=(setting.between(circuit, model, part),))
    return Op(
        op="abs", args=(setting.quotient((circuit, model), (setting.reference(), None), part),)
    )


def knockout_units(
    setting: Setting, subject: ast.PathExpr, over: object, at: ast.Node
) -> tuple[Unit, ...]:
    """What K ranges over: the units of P, or those of `over`; PD424 where there are none."""
    resolver = setting.lowering.resolver
    listed = isinstance(over, ast.Edges | ast.EdgesFile)
    find = resolver.edges if listed else resolver.units
    units = find(subject, setting.bindings, over if isinstance(over, ast.Node) else None)
    if not units:
        raise fault(
            "PD424",
            "the path set names no heads or MLPs to knock out",
            at,
            help="name them, `over: {a9.h9, a9.h6}`",
        )
    return units


def named_groups(
    setting: Setting, subject: ast.PathExpr, at: ast.Node
) -> list[tuple[str, Knockouts]]:
    """The groups that P names, with their units on paths of P; PD424 where there are none."""
    found = setting.lowering.resolver.groups_of(subject, setting.bindings)
    groups = [(name, tuple(units)) for name, units in found if units]
    if not groups:
        raise fault(
            "PD424",
            "the path set names no group",
            at,
            help="declare one, `group movers @END = { a9.h9, a9.h6 }`, and name it in the path",
        )
    return groups


def completeness(
    setting: Setting,
    subject: ast.PathExpr,
    paths: PathSet,
    options: dict[str, object],
    at: ast.Node,
) -> Steps:
    """The largest incompleteness over the knockouts that the options ask for."""
    filled = options["knockouts"]
    if not isinstance(filled, Filled):
        raise fault("PD424", "no choice of knockouts", at, help="`knockouts: groups`")
    share = options["as"] == "share"
    part: Part | None = None
    if filled.name == "groups":
        named = named_groups(setting, subject, at)
    else:
        units = knockout_units(setting, subject, options["over"], at)
        if filled.name == "random":
            count, seed = filled.arguments["count"], filled.arguments["seed"]
            found = random_subsets(units, int(count), int(seed))  # type: ignore[call-overload]
        else:
            search, part = split_parts(setting, greedy_of(filled).seed, options["split"], at)
            found = yield from _greedy(setting, paths, units, filled, share, search)
        named = [(names_of(k), k) for k in distinct(found)]
    members = tuple(
        (name, incompleteness(setting, paths, k, share=share, part=part)) for name, k in named
    )
    return Worst(which="max", members=members)


def _greedy(
    setting: Setting,
    paths: PathSet,
    units: tuple[Unit, ...],
    filled: Filled,
    share: bool,
    part: Part | None,
) -> Generator[Asked, None, list[Knockouts]]:
    """The K of each run of a greedy search on the rows of `part`."""
    greedy = greedy_of(filled)
    evaluator = setting.lowering.evaluator

    def circuit(current: Knockouts, grown: Knockouts) -> Scalar:
        form = "share" if share else "gap"
        return change(setting, paths, current, grown, form=form, part=part)

    def gap(_: Knockouts, grown: Knockouts) -> Scalar:
        return incompleteness(setting, paths, grown, share=share, part=part)

    better = greedy.by == "incompleteness"
    return (
        yield from greedy.search(
            units, gap if better else circuit, evaluator, only_better=better, name="completeness"
        )
    )


def change(
    setting: Setting,
    paths: PathSet,
    less: Knockouts,
    more: Knockouts,
    *,
    form: str,
    part: Part | None = None,
) -> Scalar:
    r"""What removing `more` instead of `less` from C changes.

    `gap`: |F(C \ more) - F(C \ less)|; `share`: that as a share of F(M); `rms`: the root of the
    mean square of the change of single prompts, in the metric's unit.
    """
    cut, whole = setting.circuit_without(paths, more), setting.circuit_without(paths, less)
    match form:
        case "gap":
            return Op(op="abs", args=(setting.between(cut, whole, part),))
        case "share":
            reference = (setting.reference(), None)
            return Op(op="abs", args=(setting.quotient((cut, whole), reference, part),))
        case "rms":
            moved = RowOp(op="-", args=(setting.rows(cut), setting.rows(whole)))
            return rms(setting, moved, f"m({cut.label}) - m({whole.label})", part)
        case _:
            raise ValueError(f"`{form}` is no form of a change")


def split_parts(
    setting: Setting, seed: int, split: object, at: ast.Node
) -> tuple[Part | None, Part | None]:
    """The rows to search on and those to judge on; PD428 where there are too few to split."""
    if split is False:
        return None, None
    data = setting.lowering.session.tasks[setting.task]
    fields = [data.clusters, *([data.crossed] if data.crossed is not None else [])]
    if any(len(np.unique(clusters)) < 4 for clusters in fields):
        raise fault(
            "PD428",
            f"the {data.n_rows} rows of `{setting.task}` are too few to search on one half and"
            " judge on the other",
            at,
            help="take more rows, or `split: false` to search and judge on the same ones",
        )
    return Part(seed=seed, side="search"), Part(seed=seed, side="judge")
