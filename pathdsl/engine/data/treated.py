"""Which rows and which numbers a treated value is made of; the runs themselves are the executor's.

All of it is keyed by row *ids* and by a hash of the seed, never by a row's place or by a library's
generator, so that the same file means the same values on every machine and device.

- `mean`: groups of rows of equal label and length, over which outputs are averaged per token index;
  at named places of equal label alone (`pathdsl.engine.data.places`).
- `resample`: for every row and draw another row of equal length (and label).
- `noise`: Gaussian vectors added to `input`, `scale` times the standard deviation of all entries of
  the embedding matrix (Meng et al. 2022, arXiv:2202.05262, section 2.1).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from pathdsl.draws import Draws
from pathdsl.engine.data.faults import DataFaults
from pathdsl.engine.data.places import own_tokens, vet_places
from pathdsl.engine.data.positions import resolve_positions
from pathdsl.engine.data.repeats import numbered
from pathdsl.engine.data.vetted import on_all, own_everywhere
from pathdsl.errors import DataError, Severity
from pathdsl.lang.method.treated import ENOUGH_PER_GROUP
from pathdsl.lang.signatures.treated import ROW
from pathdsl.plan.readout import ANSWER
from pathdsl.plan.taskdata import TaskData
from pathdsl.plan.treated import TreatedSpec

__all__ = [
    "ON_ROWS",
    "OnRows",
    "groups_of_one",
    "mean_groups",
    "moved_places",
    "noise_values",
    "resample_rows",
    "unchanged_rows",
    "vet_means",
    "vet_treated",
]


def _alike(task: TaskData, spec: TreatedSpec) -> list[tuple[object, int]]:
    """For every row what rows of one group share: the label, and but for places the length."""
    labels: Sequence[object] = task.row_ids
    if spec.by != ROW:
        labels = task.labels[spec.by] if spec.by else ("",) * task.n_rows
    lengths = [0] * task.n_rows if spec.placed else task.prompt_lengths.tolist()
    return list(zip(labels, lengths, strict=True))


def mean_groups(task: TaskData, spec: TreatedSpec) -> np.ndarray:
    """The group of every row, (rows,) int64, numbered in order of first appearance.

    Rows of one group have equal `spec.by` label (no `by`: any) and, but for means at named places,
    equal length, that of the answer included where one stands behind the prompt.
    """
    alike: Sequence[Hashable] = _alike(task, spec)
    if task.appended is not None and not spec.placed:
        alike = list(zip(alike, task.appended.tolist(), strict=True))
    return numbered(alike)


def groups_of_one(task: TaskData, spec: TreatedSpec) -> tuple[str, ...]:
    """The ids of rows that are alone in their group, copies apart: their mean is their value.

    None where the rows are to be: `by: id`.
    """
    if spec.by == ROW:
        return ()
    groups, counted = mean_groups(task, spec), _counted(task)
    sizes = np.bincount(groups[counted], minlength=int(groups.max()) + 1)
    return tuple(task.row_ids[row] for row in np.flatnonzero(counted & (sizes[groups] == 1)))


def _counted(task: TaskData) -> np.ndarray:
    """(rows,) bool: rows that are no copy of one before them."""
    return np.ones(task.n_rows, bool) if task.repeats is None else task.repeats.counted


def vet_means(task: TaskData, spec: TreatedSpec, faults: DataFaults, *, counted: bool) -> None:
    """Note PD508 where the smallest group of a mean has few rows, but more than one (PD341).

    Note PD517 where rows are averaged whose positions stand at other tokens. `counted`: the rows
    come from a generator, whose labels the lint has counted; their lengths it does not know.
    """
    if not spec.how.averaged or faults or spec.by == ROW or _without_label(task, spec):
        return
    groups = mean_groups(task, spec)
    if not spec.placed:
        _vet_alignment(task, spec, groups, faults)
    sizes = np.bincount(groups[_counted(task)])  # a copy has the group of the row that it copies
    smallest = int(sizes.min())
    if counted and spec.by and min(Counter(task.labels[spec.by]).values()) < ENOUGH_PER_GROUP:
        return
    if 1 < smallest < ENOUGH_PER_GROUP:
        faults.add(
            "PD508",
            f"the smallest of the {len(sizes)} groups of `{spec}` has {smallest} of "
            f"{task.n_rows} rows" + ("" if spec.placed else " (groups have equal length, too)"),
            advice="take more rows, or a coarser `by:`"
            + ("" if spec.placed else "; a mean at named places, `at: [END]`, takes any length"),
            severity=Severity.WARNING,
        )


def _without_label(task: TaskData, spec: TreatedSpec) -> bool:
    """Whether rows are to be grouped by a label that they do not have."""
    return spec.by not in ("", ROW) and spec.by not in task.labels


def vet_branch(
    task: TaskData, column: str, branch: TaskData, spec: TreatedSpec, faults: DataFaults
) -> None:
    """Note PD341 where a mean has one row only because its answer has a length of its own.

    `branch`: the rows of the task with the answers of `column` behind their prompts.
    """
    if not spec.how.averaged or faults or _without_label(task, spec):
        return
    told = set(groups_of_one(task, spec))
    alone = [one for one in groups_of_one(branch, spec) if one not in told]
    if alone:
        others = f" and {len(alone) - 1} others are" if len(alone) > 1 else " is"
        faults.add(
            "PD341",
            f"row `{alone[0]}`{others} alone among rows whose prompt and `{column}` have their "
            "lengths, so its mean is the value of one prompt",
            row=alone[0],
            advice="take more rows, or answers of one length",
            severity=Severity.WARNING,
        )


def _vet_alignment(
    task: TaskData, spec: TreatedSpec, groups: np.ndarray, faults: DataFaults
) -> None:
    """Note PD517 where a position stands at other places on rows that are averaged together."""
    for name, places in task.positions.items():
        first: dict[int, tuple[int, str]] = {}
        for row, group in enumerate(groups.tolist()):
            known, other = first.setdefault(group, (row, task.row_ids[row]))
            if places[known] != places[row]:
                faults.add(
                    "PD517",
                    f"`{spec}` averages rows on which `{name}` stands at other tokens, such as "
                    f"`{other}` and `{task.row_ids[row]}`",
                    advice=f"group them by a label on which places hang, `by: template`, or take "
                    f"the mean at the places themselves: `at: [{name}]`",
                    severity=Severity.WARNING,
                )
                return


def resample_rows(task: TaskData, spec: TreatedSpec) -> np.ndarray:
    """Which row stands in for each row in each draw, (draws, rows) int64 row numbers.

    Partners have equal length (and `spec.by` label), are never the row itself, nor copies of it or
    of each other; the draws of one row are different partners as long as there are enough. Keyed by
    seed and row id: the order of the rows does not matter, and `draws: 4` is the beginning of
    `draws: 8`. Raises DataError PD343 with every row that has no partner.
    """
    faults = DataFaults(task.name)
    members: dict[tuple[object, int], list[int]] = {}
    alike = _alike(task, spec)
    first = range(task.n_rows) if task.repeats is None else task.repeats.first.tolist()
    for row in sorted(set(first), key=lambda one: task.row_ids[one]):
        members.setdefault(alike[row], []).append(row)
    chosen = np.zeros((spec.draws, task.n_rows), dtype=np.int64)
    for row, name in enumerate(task.row_ids):
        others = [one for one in members[alike[row]] if one != first[row]]
        if not others:
            label = f" and `{spec.by}` `{alike[row][0]}`" if spec.by else ""
            faults.add(
                "PD343",
                f"row `{name}` has no partner: no other row has {alike[row][1]} tokens{label}",
                row=name,
                advice="take more rows, or resample without `by:`" if spec.by else "take more rows",
            )
            continue
        stream = Draws(spec.seed, "resample", name)
        found: list[int] = []
        while len(found) < spec.draws:
            found += stream.sample(others, min(len(others), spec.draws - len(found)))
        chosen[:, row] = found
    faults.stop()
    return chosen


def noise_values(
    task: TaskData,
    spec: TreatedSpec,
    rows: np.ndarray,
    d_model: int,
    embedding_std: float,
    draw: int = 0,
) -> np.ndarray:
    """What is added to `input` on some rows: (len(rows), pos, d_model) float64, 0 outside `at`.

    `rows` are row numbers, pos is the longest of them. The vector of a token depends on the seed,
    the draw, the row's id and the token's index alone. Unit: that of the residual stream.
    Raises DataError PD336, PD338 where `at` names no position of some row.
    """
    from scipy.special import ndtri

    places = [resolve_positions(task, at) for at in spec.at]
    noise = np.zeros((len(rows), int(task.lengths[rows].max()), d_model))
    for i, row in enumerate(rows):
        for place in sorted({one for named in places for one in named[row]}):
            name = f"noise|{spec.seed}|{draw}|{place}|{task.row_ids[row]}"
            key = np.frombuffer(hashlib.sha256(name.encode()).digest()[:16], dtype="<u8")
            # Raw words of a counter-based generator and the inverse distribution function: unlike
            # a generator's own `normal`, these are fixed for ever.
            words = np.random.Philox(key=key.astype(np.uint64)).random_raw(d_model)
            odd = (2 * (words >> np.uint64(12)) + np.uint64(1)).astype(np.float64)
            noise[i, place] = ndtri(odd * 2.0**-53)
    return noise * (spec.scale * embedding_std)


def vet_treated(task: TaskData, spec: TreatedSpec, *, summed: bool = False) -> DataFaults:
    """What is wrong with a treated value on these rows; errors and warnings, nothing raised.

    `summed`: it is nothing but a term that actions add, of which the row's own value is no fault.

    PD328 (no such column or label), PD336/PD338 (noise positions), PD340 (equals the reference),
    PD341 (groups of one), PD343 (no partner), PD358 (the reference's own value on every row).
    """
    faults = DataFaults(task.name)
    for column in spec.columns:
        if column not in task.prompts:
            faults.add("PD328", f"the treated value `{spec}` needs a prompt column `{column}`")
    if _without_label(task, spec):
        faults.add("PD328", f"the treated value `{spec}` needs a label `{spec.by}` in every row")
    if faults:
        return faults
    for at in spec.at:
        if task.whole and ANSWER in at.names:
            faults.add(
                "PD366",
                f"`{spec}` has no mean at `{ANSWER}`, where prompts have no tokens of their own"
                if spec.placed
                else f"`{spec}` is put on `input`, which at `{ANSWER}` is the same in every run",
                advice=f"take `{ANSWER}` out of `at:`",
            )
            return faults
    try:
        if spec.how.drawn == "rows":
            resample_rows(task, spec)
        if spec.placed:
            vet_places(task, spec)
        else:
            for at in spec.at:
                resolve_positions(task, at)
    except DataError as error:
        for found in error.diagnostics:
            faults.keep(found)
        return faults
    unchanged = unchanged_rows(task, spec) & (not summed)
    if unchanged.all():
        _vet_nothing(task, spec, faults)
    else:
        _vet_unchanged(task, spec, unchanged, faults)
    return faults


def unchanged_rows(task: TaskData, spec: TreatedSpec) -> np.ndarray:
    """(rows,) bool: where the treated value is the reference's own, whatever the model computes.

    For values that `vet_treated` has passed.
    """
    return ON_ROWS[spec.kind].unchanged(task, spec)


def moved_places(task: TaskData, spec: TreatedSpec) -> np.ndarray | None:
    """(rows, pos) bool: where a path that begins there carries another input than the reference's.

    None for constants, which are values of components and not of prompts. For values that
    `vet_treated` has passed.
    """
    moved = ON_ROWS[spec.kind].moved(task, spec)
    if moved is None or task.appended is None:
        return moved
    return moved & (np.arange(task.n_pos) < task.prompt_lengths[:, None])  # answers are one's own


def _vet_nothing(task: TaskData, spec: TreatedSpec, faults: DataFaults) -> None:
    """Note PD358: no row has a treated value of its own."""
    own_everywhere(*ON_ROWS[spec.kind].nothing(task, spec, on_all(task.row_ids)), faults)


def _vet_unchanged(
    task: TaskData, spec: TreatedSpec, unchanged: np.ndarray, faults: DataFaults
) -> None:
    """Note PD340 and PD341 for rows that have no treated value of their own, or of one prompt."""
    if spec.how.averaged and (alone := groups_of_one(task, spec)):
        others = f" and {len(alone) - 1} others are" if len(alone) > 1 else " is"
        by = f" of one `{spec.by}`" if spec.by else ""
        own = unchanged[task.row_ids.index(alone[0])]
        faults.add(
            "PD341",
            f"row `{alone[0]}`{others} alone among rows"
            + ("" if spec.placed else " of its length")
            + f"{by}, so its mean is "
            + ("its own value" if own else "the value of one prompt"),
            row=alone[0],
            advice="take more rows, or a coarser `by:`",
            severity=Severity.WARNING,
        )
        unchanged = unchanged & ~np.isin(task.row_ids, alone)
    if not unchanged.any():
        return
    count = int(unchanged.sum())
    others = f" and on {count - 1} others" if count > 1 else ""
    what = f"`{spec}` is made of the row's own prompt alone"
    if spec.how.own_run:
        what = f"`{spec.column}` equals `{task.reference}`"
    faults.add(
        "PD340",
        f"on row `{task.row_ids[int(np.flatnonzero(unchanged)[0])]}`{others} {what}, so treating "
        "changes nothing there",
        notes=(f"{count} of {task.n_rows} rows; reports count them beside n",),
        severity=Severity.WARNING,
    )


# ------------------------------------------------------------------------------- by kind


@dataclass(frozen=True, slots=True, kw_only=True)
class OnRows:
    """What one kind of treated value is on the rows of a task.

    `unchanged`: as `unchanged_rows`. `moved`: as `moved_places`. `nothing`: with the words for "on
    all rows", why it is the reference's own everywhere, and what to write instead.
    """

    unchanged: Callable[[TaskData, TreatedSpec], np.ndarray]
    moved: Callable[[TaskData, TreatedSpec], np.ndarray | None]
    nothing: Callable[[TaskData, TreatedSpec, str], tuple[str, str]]


def _nowhere(task: TaskData, spec: TreatedSpec) -> np.ndarray:
    return np.zeros(task.n_rows, dtype=bool)


def _no_input(task: TaskData, spec: TreatedSpec) -> None:
    """Constants are values of components and not of prompts."""


def _paired_unchanged(task: TaskData, spec: TreatedSpec) -> np.ndarray:
    return np.asarray((task.prompts[spec.column] == task.prompts[task.reference]).all(axis=1))


def _paired_moved(task: TaskData, spec: TreatedSpec) -> np.ndarray:
    return np.asarray(task.prompts[spec.column] != task.prompts[task.reference])


def _mean_unchanged(task: TaskData, spec: TreatedSpec) -> np.ndarray:
    """Rows in groups whose prompts are all the reference prompt."""
    prompts, groups = task.prompts[spec.column], mean_groups(task, spec)
    if spec.placed:
        return own_tokens(task, spec, groups)
    first = np.unique(groups, return_index=True)[1]
    other = np.flatnonzero((prompts != prompts[first][groups]).any(axis=1))
    return ~np.isin(groups, groups[other]) & _paired_unchanged(task, spec)


def _mean_nothing(task: TaskData, spec: TreatedSpec, which: str) -> tuple[str, str]:
    if spec.by == ROW:
        return f"`{spec}` is the row's own value {which}", "a column with another prompt"
    shared = [f"`{spec.by}`"] * bool(spec.by) + ["length"] * (not spec.placed)
    by = f" of its {' and '.join(shared)}" if shared else ""
    why = f"`{spec}` is made of the row's own prompt alone {which}: no other{by} is there"
    return why, "take more rows, or a coarser `by:`"


def _noise_moved(task: TaskData, spec: TreatedSpec) -> np.ndarray:
    moved = np.zeros((task.n_rows, task.n_pos), dtype=bool)
    for at in spec.at:
        for row, places in enumerate(resolve_positions(task, at)):
            moved[row, list(places)] = spec.scale > 0
    return moved


def _resample_unchanged(task: TaskData, spec: TreatedSpec) -> np.ndarray:
    """Rows for which every draw is the reference prompt."""
    prompts, reference = task.prompts[spec.column], task.prompts[task.reference]
    same = np.ones(task.n_rows, dtype=bool)
    for partners in resample_rows(task, spec):
        same &= (prompts[partners] == reference).all(axis=1)
    return same


def _resample_moved(task: TaskData, spec: TreatedSpec) -> np.ndarray:
    prompts, reference = task.prompts[spec.column], task.prompts[task.reference]
    moved = np.zeros((task.n_rows, task.n_pos), dtype=bool)
    for partners in resample_rows(task, spec):
        moved |= prompts[partners] != reference
    return moved


ON_ROWS: dict[str, OnRows] = {
    "paired": OnRows(
        unchanged=_paired_unchanged,
        moved=_paired_moved,
        nothing=lambda task, spec, which: (
            f"`{spec.column}` equals `{task.reference}` {which}",
            "a column with another prompt",
        ),
    ),
    "mean": OnRows(unchanged=_mean_unchanged, moved=_no_input, nothing=_mean_nothing),
    "zero": OnRows(
        unchanged=_nowhere,
        moved=_no_input,
        nothing=lambda task, spec, which: (f"every value is 0 {which}", "another treated value"),
    ),
    "noise": OnRows(
        unchanged=lambda task, spec: np.full(task.n_rows, spec.scale == 0),
        moved=_noise_moved,
        nothing=lambda task, spec, which: (f"`{spec}` has scale 0", "scale: 3.0"),
    ),
    "resample": OnRows(
        unchanged=_resample_unchanged,
        moved=_resample_moved,
        nothing=lambda task, spec, which: (
            f"`{spec}` draws the row's own prompt {which}",
            "rows with different prompts",
        ),
    ),
}
"""Each kind of `TREATED_KINDS` on the rows of a task."""
