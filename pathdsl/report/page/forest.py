"""The forest plot of claims: where dots, bars, thresholds and numbers of the axis stand.

Claims differ in what they measure, so each has an axis of its own, with 0 on it; members of one
family share theirs. Made from the JSON objects of claims; places are percent of the plot's width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor, log10

from pathdsl.lang.signatures.relations import RELATIONS
from pathdsl.report.content.claims import bounds
from pathdsl.report.content.rows import Object, split_name
from pathdsl.report.numbers import Pair

__all__ = ["Strip", "Tick", "strips"]

MARGIN = 0.08
NEAREST = 16.0
"""Numbers closer than this would touch; the one that says less is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A number below the axis; `anchor` keeps it inside the plot at either end."""

    place: float
    text: str

    @property
    def anchor(self) -> str:
        """Which part of the text stands at `place`, as SVG names it."""
        return "start" if self.place < 4 else "end" if self.place > 96 else "middle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """One row of the plot in percent of its width; None where there is nothing to draw.

    `wanted` is the stretch of values that satisfy the claim; `low` and `high` are the axis's ends.
    """

    estimate: float | None
    interval: Pair | None
    wanted: Pair
    bounds: tuple[float, ...]
    zero: float
    ticks: tuple[Tick, ...]
    low: str
    high: str


def strips(claims: Sequence[Object]) -> list[Strip | None]:
    """A row for each claim; None where neither a number nor a threshold is finite."""
    reach: dict[str, list[float]] = {}
    for claim in claims:
        values = reach.setdefault(split_name(claim["name"])[0], [0.0])
        values += [v for v in (claim["estimate"], *bounds(claim)) if v is not None]
        values += claim["interval"] or ()
    return [_strip(claim, reach[split_name(claim["name"])[0]]) for claim in claims]


def _strip(claim: Object, values: Sequence[float]) -> Strip | None:
    low, high = min(values), max(values)
    edges = bounds(claim)
    if low == high or not edges:
        return None
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    edge = place(edges[0])
    wanted = {
        "above": (edge, 100.0), "below": (0.0, edge), "around": (edge, place(edges[-1]))
    }[RELATIONS[claim["relation"]].asks]  # fmt: skip
    ends = claim["interval"]
    ticks: list[Tick] = []
    for value in (*edges, 0.0, *_round(values)):
        if all(abs(place(value) - tick.place) >= NEAREST for tick in ticks):
            ticks.append(Tick(place=place(value), text=f"{value:.4g}"))
    return Strip(
        estimate=place(claim["estimate"]) if claim["estimate"] is not None else None,
        interval=(place(ends[0]), place(ends[1])) if ends is not None else None,
        wanted=wanted,
        bounds=tuple(place(bound) for bound in edges),
        zero=place(0.0),
        ticks=tuple(sorted(ticks, key=lambda tick: tick.place)),
        low=f"{low:.3g}",
        high=f"{high:.3g}",
    )


def _round(values: Sequence[float]) -> Iterator[float]:
    """The round numbers next to both ends, towards 0: 1, 2 or 5 times a power of ten."""
    for end in (max(values), min(values)):
        if end:
            unit = 10.0 ** floor(log10(abs(end)))
            step = max(step for step in (1, 2, 5) if step * unit <= abs(end) * (1 + 1e-9))
            yield step * unit if end > 0 else -step * unit
