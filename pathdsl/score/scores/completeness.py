r"""Completeness: does the circuit stay like the model when both lose the same units?

The incompleteness of K is |F(C \ K) - F(M \ K)|; the score is the largest over the K of a family
(`gap`, in the metric's unit), or that as a share of F(M). A circuit that misses a backup component
looks faithful until its main component is knocked out: Wang et al. 2022 (arXiv:2211.00593),
section 4 and appendix M. auto-circuit calls the same idea "same under knockouts".

The family is random subsets of the units, the groups that P names, or the K of greedy searches (see
`knockouts`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from pathdsl.graph.paths.pathset import PathSet
from pathdsl.lang.signatures.calls import Filled
from pathdsl.plan.runs import RunSpec
from pathdsl.score.faults import fault
from pathdsl.score.quantity import Half, Op, RowOp, Scalar, Worst
from pathdsl.score.rounds import Asked, Steps, at_once
from pathdsl.score.scores.faithfulness import rms
from pathdsl.score.scores.knockouts import (
    distinct,
    greedy_of,
    knockout_units,
    named_groups,
    random_subsets,
    split_parts,
)
from pathdsl.score.scores.setting import Knockouts, Setting, names_of

__all__ = ["change", "completeness", "incompleteness"]

Family = tuple[Sequence[tuple[str, Knockouts]], Half | None]
"""Named K, and the rows to judge them on; None for all."""


def completeness(setting: Setting) -> Steps:
    """The largest incompleteness over the knockouts that the options ask for."""
    filled = setting.options["knockouts"]
    if not isinstance(filled, Filled):
        raise fault("PD424", "no choice of knockouts", setting.score, help="`knockouts: groups`")
    family, part = yield from _FAMILIES[filled.name](setting, filled)
    members = tuple((name, incompleteness(setting, k, part)) for name, k in family)
    return Worst(which="max", members=members)


def incompleteness(setting: Setting, units: Knockouts, part: Half | None = None) -> Scalar:
    r"""|F(C \ K) - F(M \ K)|, or that as a share of F(M), for one K."""
    circuit, model = setting.circuit_without(setting.paths, units), setting.model_without(units)
    return _APART[setting.form](setting, circuit, model, part)


def _groups(setting: Setting, filled: Filled) -> Family:
    return named_groups(setting), None


def _random(setting: Setting, filled: Filled) -> Family:
    given = filled.arguments
    drawn = random_subsets(knockout_units(setting), given.integer("count"), given.integer("seed"))
    return _by_units(drawn), None


def _greedy(setting: Setting, filled: Filled) -> Generator[Asked, None, Family]:
    """The K of each run of a greedy search on one part of the rows, to be judged on the other."""
    units, greedy = knockout_units(setting), greedy_of(filled)
    search, part = split_parts(setting, greedy.seed)

    def circuit(current: Knockouts, grown: Knockouts) -> Scalar:
        return change(setting, setting.paths, current, grown, search)

    def gap(_: Knockouts, grown: Knockouts) -> Scalar:
        return incompleteness(setting, grown, search)

    better = greedy.by == "incompleteness"
    chosen = yield from greedy.search(
        units, gap if better else circuit, setting.context.evaluator, only_better=better,
        name="completeness",
    )  # fmt: skip
    return _by_units(chosen), part


def _by_units(sets: Sequence[Knockouts]) -> list[tuple[str, Knockouts]]:
    return [(names_of(k), k) for k in distinct(sets)]


_FAMILIES: dict[str, Callable[[Setting, Filled], Generator[Asked, None, Family]]] = {
    "groups": at_once(_groups),
    "random": at_once(_random),
    "greedy": _greedy,
}


# -------------------------------------------------------------------------------------------------
# Two runs apart
# -------------------------------------------------------------------------------------------------


def change(
    setting: Setting, paths: PathSet, less: Knockouts, more: Knockouts, part: Half | None = None
) -> Scalar:
    r"""What removing `more` instead of `less` from C changes, C the circuit of `paths`.

    `gap`: |F(C \ more) - F(C \ less)|; `share`: that as a share of F(M); `rms`: the root of the
    mean square of the change of single prompts, in the metric's unit.
    """
    cut, whole = setting.circuit_without(paths, more), setting.circuit_without(paths, less)
    return _APART[setting.form](setting, cut, whole, part)


def _gap(setting: Setting, left: RunSpec, right: RunSpec, part: Half | None) -> Scalar:
    return Op(op="abs", args=(setting.between(left, right, part),))


def _share(setting: Setting, left: RunSpec, right: RunSpec, part: Half | None) -> Scalar:
    whole = (setting.reference(), None)
    return Op(op="abs", args=(setting.quotient((left, right), whole, part),))


def _rms(setting: Setting, left: RunSpec, right: RunSpec, part: Half | None) -> Scalar:
    moved = RowOp(op="-", args=(setting.rows(left), setting.rows(right)))
    return rms(setting, moved, f"m({left.label}) - m({right.label})", part)


_APART = {"gap": _gap, "share": _share, "rms": _rms}
