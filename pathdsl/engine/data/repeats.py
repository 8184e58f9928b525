"""Rows that are the same prompts, and prompts that are nearly the same.

A prompt that is written again under another id is no further evidence. What is compared are token
ids, so that texts which tokenise alike are equal. A row that is like one before it in everything
that runs and measures read counts once; rows of equal prompts that differ in answers, positions or
labels are one cluster of what is resampled (`pathdsl.score.statistics.alike`).

A near copy differs from another prompt in one token. Templates make many by design, so their number
is a fact of the task and no fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np

from pathdsl.engine.data.faults import DataFaults
from pathdsl.engine.data.task import TaskSpec
from pathdsl.errors import Severity
from pathdsl.lang.signatures.calls import DATA_FILES
from pathdsl.plan.taskdata import Repeats, TaskData
from pathdsl.plan.treated import TreatedSpec

__all__ = ["MANY", "near_copies", "numbered", "repeats_of", "vet_repeats"]

MANY = 0.05
"""The share of a task's rows from which on copies among them are told; a generator that draws from
few words repeats some prompts by chance."""

FEW = 0.5
"""Reference prompts for each pair with a treated prompt, below which it is told that they share
them."""


def numbered(labels: Iterable[Hashable]) -> np.ndarray:
    """(rows,) int64 numbers of equal labels, in order of first appearance."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(one, len(numbers)) for one in labels], dtype=np.int64)


def repeats_of(
    prompts: Mapping[str, np.ndarray],
    lengths: np.ndarray,
    reference: str,
    own: TreatedSpec | None,
    treated: Sequence[TreatedSpec],
    others: Iterable[Sequence[Hashable]],
) -> Repeats | None:
    """Which rows are the same prompts; None where no reference prompt stands in two rows.

    `prompts`: (rows, pos) token ids by column. `own` is the treated value of the task, `treated`
    are all that runs name; `others`: what else is read of each row (answers, positions, labels).
    """
    by_column = {
        name: numbered(row[:n].tobytes() for row, n in zip(ids, lengths.tolist(), strict=True))
        for name, ids in prompts.items()
    }
    numbers = by_column[reference]
    if int(numbers.max(initial=-1)) + 1 == len(numbers):
        return None
    pairs: dict[TreatedSpec | None, np.ndarray] = {
        one: numbered(zip(numbers.tolist(), by_column[one.column].tolist(), strict=True))
        for one in treated
        if one.how.own_run
    }
    if own in pairs:
        pairs[None] = pairs[own]
    read = [*(found.tolist() for found in by_column.values()), *others]
    first: dict[Hashable, int] = {}
    places = [first.setdefault(row, i) for i, row in enumerate(zip(*read, strict=True))]
    return Repeats(reference=numbers, pairs=pairs, first=np.array(places, dtype=np.int64))


def near_copies(ids: np.ndarray, lengths: np.ndarray) -> int:
    """How many distinct prompts differ from another one of their length in one token.

    `ids`: (rows, pos), right-padded. Prompts that differ at one place have equal hashes without it:
    a sort for each place, O(rows log rows) for each token, and memory for one number a row.
    """
    near = 0
    for length in np.unique(lengths).tolist():
        near += _near(np.unique(ids[lengths == length, :length], axis=0))
    return near


def _near(ids: np.ndarray) -> int:
    """The same for (prompts, length) different prompts."""
    half = ids.shape[1] // 2
    # What differs in one token is equal in one half of it: in long texts hardly any two are.
    ends = (range(half), range(half, ids.shape[1]))
    like = [_shared(sum((_mixed(ids, j) for j in places), _none(ids))) for places in ends]
    ids = ids[like[0] | like[1]]
    if len(ids) < 2:
        return 0
    total = sum((_mixed(ids, j) for j in range(ids.shape[1])), _none(ids))
    near = np.zeros(len(ids), dtype=bool)
    for place in range(ids.shape[1]):
        near |= _shared(total - _mixed(ids, place))
    return int(near.sum())


def _none(ids: np.ndarray) -> np.ndarray:
    return np.zeros(len(ids), dtype=np.uint64)


def _mixed(ids: np.ndarray, place: int) -> np.ndarray:
    """(prompts,) uint64: a hash of the token at one place (splitmix64; Steele et al. 2014)."""
    x = ids[:, place].astype(np.uint64) + np.uint64((place + 1) * 0x9E3779B97F4A7C15 % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _shared(hashes: np.ndarray) -> np.ndarray:
    """(prompts,) bool: whose hash another prompt has."""
    order = np.argsort(hashes, kind="stable")
    equal = np.diff(hashes[order]) == 0
    found = np.zeros(len(hashes), dtype=bool)
    found[order[1:]] |= equal
    found[order[:-1]] |= equal
    return found


def vet_repeats(task: TaskData, spec: TaskSpec, faults: DataFaults) -> None:
    """Note PD519 where many rows are copies of other ones, or share few reference prompts.

    The latter differ in the treated prompt and are no copies; where clusters hold each reference
    prompt whole nothing is said of them.
    """
    if task.repeats is None:
        return
    n, distinct = task.n_rows, task.n_distinct
    alone = len(np.unique(task.repeats.reference))
    if n - distinct >= max(1.0, MANY * n):
        times = set(Counter(task.repeats.of(None).tolist()).values())
        what = f"{n} rows hold {distinct} distinct prompt{'s' if distinct > 1 else ''}"
        if len(times) == 1 and distinct > 1:
            what = f"the {n} rows are {times.pop()} copies of each of {distinct} prompts"
        note = "a prompt counts once, under whatever ids it stands: n and intervals do so"
        advice = "write each prompt once, and take more prompts where these are too few"
        if spec.data.name not in DATA_FILES:
            advice = "the generator has few prompts: a smaller `take:`, or other arguments"
    elif alone < FEW * distinct and _torn(task):
        what = f"{distinct} treated prompts stand beside {alone} reference prompt"
        what += "s" if alone > 1 else ""
        note = "the effects of one reference prompt are counted as if they had nothing in common"
        advice = "give the rows of one reference prompt a label, and say `cluster = LABEL`"
    else:
        return
    faults.add(
        "PD519", what, notes=(note,), advice=advice, severity=Severity.WARNING,
        span=spec.data.span or spec.span,
    )  # fmt: skip


def _torn(task: TaskData) -> bool:
    """Whether rows of one reference prompt lie in different clusters, of either field."""
    assert task.repeats is not None
    numbers = task.repeats.reference
    fields = [task.clusters] if task.crossed is None else [task.clusters, task.crossed]
    return all(
        len(set(zip(numbers.tolist(), field.tolist(), strict=True))) > len(np.unique(numbers))
        for field in fields
    )
