"""Resampling designs: which rows are drawn together, as matrices of weights.

A resample is a vector of weights over rows: how often each was drawn. Rows are drawn as clusters
where the task names one, so that prompts made from one template do not count as independent
evidence (Davison and Hinkley 1997, section 3.8); rows that cross in two fields as often as both
their clusters are drawn (see `crossed`). Tasks with equal `TaskData.drawn` share rows and are drawn
jointly; other tasks independently. Where knockouts were chosen on one half of the rows, the halves
are strata, drawn each from itself.

Draws come from numpy's PCG64, seeded by the user's seed and the hash of the stratum's name, in
blocks whose size depends on nothing but the number of rows; the same file gives the same intervals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pathdsl.draws import Draws
from pathdsl.plan.taskdata import TaskData
from pathdsl.score.quantity import Half, Scalar, Slice, aggregates
from pathdsl.score.statistics.crossed import Table

__all__ = [
    "Design", "Stratum", "Weights", "design_of", "generator_of", "part_mask", "searched_rows",
]  # fmt: skip

Weights = Mapping[str, np.ndarray]

BLOCK_ENTRIES = 2_000_000


def row_key(data: TaskData) -> str:
    """What tasks that share rows have in common."""
    return data.drawn or _half_key(data)


def _half_key(data: TaskData) -> str:
    """What the halves of a task are drawn by."""
    return data.key or f"task {data.name}"


def part_mask(data: TaskData, part: Half | Slice | None) -> np.ndarray:
    """(rows,) bool: the rows of a part. Clusters are never torn; sides differ by at most one.

    Of crossed rows each side has half of the clusters of either field, and the rows that are of one
    side by one field and of the other by the other are left out: no cluster is on both sides.
    """
    if part is None:
        return np.ones(data.n_rows, dtype=bool)
    if isinstance(part, Slice):
        equal = np.array([label == part.value for label in data.labels[part.field]], dtype=bool)
        return equal & part_mask(data, part.within)
    inside = np.ones(data.n_rows, dtype=bool)
    fields = [("split", data.clusters)]
    fields += [("split crossed", data.crossed)] if data.crossed is not None else []
    for name, clusters in fields:
        numbers = [int(c) for c in np.unique(clusters)]
        order = Draws(part.seed, name, _half_key(data)).shuffled(numbers)
        search = np.isin(clusters, order[: len(order) // 2])
        inside &= search if part.side == "search" else ~search
    return inside


def searched_rows(node: Scalar, tasks: Mapping[str, TaskData]) -> int:
    """On how many prompts the knockouts of a quantity were searched; 0 where on the same ones."""
    found = []
    for aggregate in aggregates(node):
        part = aggregate.part.within if isinstance(aggregate.part, Slice) else aggregate.part
        if part is not None and part.side == "judge":
            other = replace(part, side="search")
            found.append(int(part_mask(tasks[aggregate.task], other).sum()))
    return max(found, default=0)


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
    stratum (the half that nothing is judged on). `n` is the number of prompts judged, `n_units` the
    number of independent clusters, each the smallest over the rows involved; `share` is the part
    of all rows that is judged.
    """

    keys: Mapping[str, str]
    n_rows: Mapping[str, int]
    strata: tuple[Stratum, ...]
    n: int
    n_units: int
    share: float

    def resamples(self, count: int, seed: int) -> Iterator[Weights]:
        """`count` resamples in blocks, as (block, rows) weights by task."""
        generators = [generator_of(seed, stratum) for stratum in self.strata]
        block = max(1, BLOCK_ENTRIES // max(1, *self.n_rows.values()))
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
    """What draws the clusters of a stratum."""
    return np.random.default_rng([seed, *_words(stratum.key + stratum.name)])


def design_of(node: Scalar, tasks: Mapping[str, TaskData], *, by_rows: bool = False) -> Design:
    """The design of a quantity; `by_rows` ignores clusters (for each prompt's share)."""
    used: dict[str, dict[tuple[str, Half | Slice | None], TaskData]] = {}
    keys: dict[str, str] = {}
    data: dict[str, TaskData] = {}
    for aggregate in aggregates(node):
        key = row_key(tasks[aggregate.task])
        keys[aggregate.task] = key
        data.setdefault(key, tasks[aggregate.task])
        own = _half_key(tasks[aggregate.task]), aggregate.part
        used.setdefault(key, {})[own] = tasks[aggregate.task]
    strata: list[Stratum] = []
    judged: list[tuple[int, int, float]] = []
    for key, parts in used.items():
        found, rows = _strata(key, data[key], parts, by_rows)
        strata += found
        total = data[key].n_rows
        judged.append((rows, sum(s.n_units for s in found), rows / total))
    return Design(
        keys=keys,
        n_rows={key: d.n_rows for key, d in data.items()},
        strata=tuple(strata),
        n=min((rows for rows, _, _ in judged), default=0),
        n_units=min((units for _, units, _ in judged), default=0),
        share=min((share for _, _, share in judged), default=1.0),
    )


def _strata(
    key: str,
    data: TaskData,
    parts: Mapping[tuple[str, Half | Slice | None], TaskData],
    by_rows: bool,
) -> tuple[list[Stratum], int]:
    """The strata of one set of rows and the number of rows that enter the quantity.

    `parts` of tasks that share these rows, each with a task that has it.
    """
    ordered = sorted(
        ((part, name) for name, part in parts if part is not None),
        key=lambda found: (_order(found[0]), found[1]),
    )
    masks = [part_mask(parts[name, part], part) for part, name in ordered]
    whole = any(part is None for _, part in parts) or not masks
    needed = np.ones(data.n_rows, bool) if whole else np.any(masks, axis=0)
    cells = np.stack([*masks, needed]).T  # (rows, parts + 1)
    clusters = np.arange(data.n_rows) if by_rows else data.clusters
    crossed = None if by_rows else data.crossed
    strata = []
    for cell in np.unique(cells[needed], axis=0):
        inside = (cells == cell).all(axis=1)
        found, numbers = np.unique(clusters[inside], return_inverse=True)
        unit = np.full(data.n_rows, -1)
        unit[inside] = numbers
        name = "".join("01"[int(bit)] for bit in cell)
        table = Table(clusters[inside], crossed[inside]) if crossed is not None else None
        units = table.units if table is not None else len(found)
        strata.append(Stratum(key=key, name=name, unit=unit, n_units=units, table=table))
    return strata, int(needed.sum())


def _order(part: Half | Slice) -> tuple[int, str, str]:
    half = part if isinstance(part, Half) else part.within
    said = f"{part.field}={part.value}" if isinstance(part, Slice) else ""
    return (half.seed, half.side, said) if half is not None else (-1, "", said)


def _words(name: str) -> list[int]:
    digest = hashlib.sha256(name.encode()).digest()
    return [int.from_bytes(digest[i : i + 4], "big") for i in range(0, 16, 4)]
