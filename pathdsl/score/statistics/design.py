"""Resampling designs: which rows are drawn together, as matrices of weights.

A resample is a vector of weights over rows: how often each was drawn. Rows are drawn as clusters
where the task names one, so that prompts made from one template do not count as independent
evidence (Davison and Hinkley 1997, section 3.8). A prompt that stands in several rows is one
cluster (see `alike`), and a row that is in all a copy of another one has no weight. Rows that cross
in two fields are drawn as often as both their clusters are (see `crossed`). Tasks with equal
`TaskData.drawn` share rows and are drawn jointly; other tasks independently. Where
knockouts were chosen on one half of the rows, the halves are strata, drawn each from itself.

Draws come from numpy's PCG64, seeded by the user's seed and the hash of the stratum's name, in
blocks whose size depends on nothing but the number of rows; the same file gives the same intervals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pathdsl.draws import Draws
from pathdsl.plan.taskdata import TaskData
from pathdsl.score.quantity import Aggregate, Half, Scalar, Slice, aggregates
from pathdsl.score.statistics.alike import alike, clusters_of, different, task_clusters
from pathdsl.score.statistics.crossed import Table

__all__ = [
    "Design", "Stratum", "Weights", "chosen_what", "design_of", "generator_of", "part_mask",
    "row_key", "searched_rows",
]  # fmt: skip

Weights = Mapping[str, np.ndarray]

BLOCK_ENTRIES = 2_000_000


def row_key(data: TaskData) -> str:
    """What tasks that share rows have in common."""
    return data.drawn or _half_key(data)


def _half(part: Half | Slice | None) -> Half | None:
    """The half that a part of the rows is, or lies within."""
    return part.within if isinstance(part, Slice) else part


def _half_key(data: TaskData, part: Half | Slice | None = None) -> str:
    """What the halves of a task are drawn by."""
    half = _half(part)
    if half is not None and half.shared and data.drawn:
        return data.drawn
    return data.key or f"task {data.name}"


def part_mask(data: TaskData, part: Half | Slice | None) -> np.ndarray:
    """(rows,) bool: the rows of a part that count, copies left out.

    Clusters are never torn, nor is a prompt on both sides; these differ by at most one cluster.
    Of crossed rows each side has half of the clusters of either field, and the rows that are of one
    side by one field and of the other by the other are left out: no cluster is on both sides.
    """
    inside = _inside(data, part)
    return inside & data.repeats.counted if data.repeats is not None else inside


def _inside(data: TaskData, part: Half | Slice | None) -> np.ndarray:
    """(rows,) bool: the rows of a part, copies among them."""
    if part is None:
        return np.ones(data.n_rows, dtype=bool)
    if isinstance(part, Slice):
        equal = np.array([label == part.value for label in data.labels[part.field]], dtype=bool)
        return equal & _inside(data, part.within)
    inside = np.ones(data.n_rows, dtype=bool)
    own, crossed = task_clusters(data, pairs=False)
    fields = [("split", own)]
    fields += [("split crossed", crossed)] if crossed is not None else []
    for name, clusters in fields:
        numbers = [int(c) for c in np.unique(clusters)]
        order = Draws(part.seed, name, _seeding(_half_key(data, part))).shuffled(numbers)
        search = np.isin(clusters, order[: len(order) // 2])
        inside &= search if part.side == "search" else ~search
    return inside


def _seeding(key: str) -> str:
    """The part of a key that draws depend on: the rows without those that are copies."""
    return key.partition(":")[0]


def searched_rows(node: Scalar, tasks: Mapping[str, TaskData]) -> int:
    """On how many prompts the knockouts of a quantity were searched; 0 where on the same ones."""
    found = []
    for aggregate in aggregates(node):
        part = _half(aggregate.part)
        if part is not None and part.side == "judge":
            other = replace(part, side="search")
            mask = part_mask(tasks[aggregate.task], other)
            found.append(different(alike([aggregate], tasks), mask))
    return max(found, default=0)


def chosen_what(node: Scalar) -> str:
    """What was chosen on the other half of the rows, in words; "" where nothing was."""
    parts = [_half(a.part) for a in aggregates(node)]
    return " and ".join(dict.fromkeys(part.chosen for part in parts if part is not None))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stratum:
    """Clusters drawn from among themselves; `unit` is each row's cluster number or -1.

    Where rows cross in two fields, `unit` is that of the first, `table` has both, and `n_units`
    counts cells of which no two share a cluster.
    """

    key: str
    name: str
    unit: np.ndarray
    n_units: int
    table: Table | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Design:
    """How the rows of one quantity are resampled.

    `keys` maps tasks to shared rows, `n_rows` counts them. `fixed` holds, by key, the rows of no
    stratum (the half that nothing is judged on). `clusters` are those of each row by key, joined
    where they hold one prompt. `n` is the number of distinct prompts judged, `n_units` the
    number of independent clusters, each the smallest over the rows involved, `n_read` the rows that
    enter and `n_written` these and their copies, of the task with the fewest prompts; `share` is
    the part of all prompts that is judged. `longest` is the largest number of rows, without copies.
    """

    keys: Mapping[str, str]
    n_rows: Mapping[str, int]
    longest: int
    strata: tuple[Stratum, ...]
    clusters: Mapping[str, np.ndarray]
    n: int
    n_read: int
    n_written: int
    n_units: int
    share: float

    def resamples(self, count: int, seed: int) -> Iterator[Weights]:
        """`count` resamples in blocks, as (block, rows) weights by task."""
        generators = [generator_of(seed, stratum) for stratum in self.strata]
        block = max(1, BLOCK_ENTRIES // max(1, self.longest))
        for start in range(0, count, block):
            size = min(block, count - start)
            weights = {key: np.ones((size, rows)) for key, rows in self.n_rows.items()}
            for stratum, generator in zip(self.strata, generators, strict=True):
                inside = stratum.unit >= 0
                if stratum.table is not None:
                    weights[stratum.key][:, inside] = stratum.table.counts(size, generator)
                    continue
                units = stratum.n_units
                drawn = generator.integers(0, units, size=(size, units))
                drawn += np.arange(size)[:, None] * units
                counts = np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units)
                weights[stratum.key][:, inside] = counts[:, stratum.unit[inside]]
            yield self._by_task(weights)

    def left_out(self, stratum: Stratum) -> Iterator[Weights]:
        """The jackknife of one stratum: each of its clusters left out once, in blocks."""
        rows = self.n_rows[stratum.key]
        block = max(1, BLOCK_ENTRIES // rows)
        n_units = int(stratum.unit.max()) + 1
        for start in range(0, n_units, block):
            units = np.arange(start, min(start + block, n_units))
            weights = {key: np.ones((len(units), n)) for key, n in self.n_rows.items()}
            weights[stratum.key][stratum.unit[None, :] == units[:, None]] = 0.0
            yield self._by_task(weights)

    def _by_task(self, weights: Mapping[str, np.ndarray]) -> Weights:
        return {task: weights[key] for task, key in self.keys.items()}


def generator_of(seed: int, stratum: Stratum) -> np.random.Generator:
    """What draws the clusters of a stratum; numpy takes no seed below 0."""
    return np.random.default_rng([seed % 2**64, *_words(_seeding(stratum.key) + stratum.name)])


def design_of(node: Scalar, tasks: Mapping[str, TaskData], *, by_rows: bool = False) -> Design:
    """The design of a quantity; `by_rows` ignores clusters (for each prompt's share)."""
    used: dict[str, dict[Aggregate, None]] = {}
    keys: dict[str, str] = {}
    for aggregate in aggregates(node):
        key = row_key(tasks[aggregate.task])
        keys[aggregate.task] = key
        used.setdefault(key, {})[aggregate] = None
    data = {key: tasks[next(iter(found)).task] for key, found in used.items()}
    strata: list[Stratum] = []
    clusters: dict[str, np.ndarray] = {}
    judged: list[tuple[int, int, int]] = []
    shares, units, longest = [1.0], [], 0
    for key, found in used.items():
        numbers = alike(found, tasks)
        made, needed, own = _strata(key, data[key], list(found), tasks, numbers, by_rows)
        clusters[key] = own
        strata += made
        units.append(sum(stratum.n_units for stratum in made))
        whole = _any([part_mask(tasks[a.task], None) for a in found])
        longest = max(longest, int(whole.sum()))
        n = different(numbers, needed)
        written = int(_any([_inside(tasks[a.task], a.part) for a in found]).sum())
        judged.append((n, int(needed.sum()), written))
        shares.append(n / max(1, different(numbers, whole)))
    n, read, written = min(judged, default=(0, 0, 0))
    return Design(
        keys=keys,
        n_rows={key: d.n_rows for key, d in data.items()},
        longest=longest,
        strata=tuple(strata),
        clusters=clusters,
        n=n,
        n_read=read,
        n_written=written,
        n_units=min(units, default=0),
        share=min(shares),
    )


def _any(masks: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(np.any(masks, axis=0))


def _strata(
    key: str,
    data: TaskData,
    found: Sequence[Aggregate],
    tasks: Mapping[str, TaskData],
    numbers: np.ndarray | None,
    by_rows: bool,
) -> tuple[list[Stratum], np.ndarray, np.ndarray]:
    """The strata of one set of rows, the rows that enter (rows,) bool, and the clusters of all.

    `found` are the aggregates of tasks that share these rows, `numbers` as `alike` gives them.
    """
    parts = {(_half_key(tasks[a.task], a.part), a.part): tasks[a.task] for a in found}
    ordered = sorted(
        ((part, name) for name, part in parts if part is not None),
        key=lambda found: (_order(found[0]), found[1]),
    )
    masks = [_inside(parts[name, part], part) for part, name in ordered]
    needed = _any([part_mask(tasks[a.task], a.part) for a in found])
    whole = any(part is None for _, part in parts) or not masks
    entering = np.ones(data.n_rows, bool) if whole else _any(masks)
    cells = np.stack([*masks, entering]).T  # (rows, parts + 1)
    clusters, crossed = np.arange(data.n_rows), None
    if not by_rows:
        clusters, crossed = clusters_of(data, numbers)
    strata = []
    for cell in np.unique(cells[needed], axis=0):
        inside = (cells == cell).all(axis=1) & needed
        found_in, places = np.unique(clusters[inside], return_inverse=True)
        unit = np.full(data.n_rows, -1)
        unit[inside] = places
        name = "".join("01"[int(bit)] for bit in cell)
        table = Table(clusters[inside], crossed[inside]) if crossed is not None else None
        units = table.units if table is not None else len(found_in)
        strata.append(Stratum(key=key, name=name, unit=unit, n_units=units, table=table))
    return strata, needed, clusters


def _order(part: Half | Slice) -> tuple[int, str, str]:
    half = part if isinstance(part, Half) else part.within
    said = f"{part.field}={part.value}" if isinstance(part, Slice) else ""
    return (half.seed, half.side, said) if half is not None else (-1, "", said)


def _words(name: str) -> list[int]:
    digest = hashlib.sha256(name.encode()).digest()
    return [int.from_bytes(digest[i : i + 4], "big") for i in range(0, 16, 4)]
