"""What a picture of a sweep shows: its members in rows and columns, by layer, head and position.

    heads                                   layer × head, one panel for each position
    MLPs, residual marks, whole layers      layer × position; at one position, a strip of layers
    windows                                 the same, by their first layer
    neurons                                 layer × neuron
    other members                           one row each

Further variables of the loop make a panel each. Families that differ in the slot alone, such as
`into_q`, `into_k` and `into_v` over the same heads, stand in one picture, a panel each.

Made from the JSON objects of quantities and claims alone.

    [picture.title for picture in pictures(file)]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from pathdsl.report.content.rows import Measured, Object, noise_of, split_name
from pathdsl.report.data.result import AT, fields_of
from pathdsl.report.numbers import digits, many, nought, plain
from pathdsl.score.places import spelled

__all__ = [
    "SIGNS",
    "Cell",
    "Panel",
    "Picture",
    "Position",
    "in_matrix",
    "named_pictures",
    "picture_of",
    "pictures",
]  # fmt: skip

MOST_LISTED = 40
"""Members that fill no matrix are drawn one below the other, up to so many."""
LEAST_FILLED = 0.5
"""The share of the cells of a matrix that its members fill at least."""
LONG_STRIP = 4
LONGEST_NAME = 100
"""Letters in the name of a file."""

Position = tuple[str, str]
"""The row and the column of a cell, by their titles."""

MARKS = {
    "unsure": "the {level}interval contains {zero}",
    "below": "below 0",
    "undefined": "undefined",
    "above": "",
}
"""What a cell may be marked as, and what the legend says of it."""
SIGNS = {"unsure": "dot", "below": "dash", "undefined": "cross"}
"""What such a mark is; a number has a sign of its own and no dash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One member: `text` is its estimate as printed in the cell, `told` all that is known of it.

    `share` is its place on the scale of the colours, -1 to 1, None where it is undefined; `mark`
    is one of `MARKS`.
    """

    name: str
    estimate: float | None
    text: str
    told: str
    mark: str
    share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One of the matrices of a picture, with cells where there are members."""

    title: str
    cells: Mapping[Position, Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The members of one family, or of several that differ in the slot.

    `row_axis` and `column_axis` say what the titles are of, "" where they speak for themselves.
    `limit` is the largest value on the scale. `zero` is what the intervals are compared with: `0`,
    or what a claim wants. `level` is the confidence of the intervals, "" where there are none.
    """

    names: tuple[str, ...]
    unit: str
    row_axis: str
    column_axis: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    panels: tuple[Panel, ...]
    limit: float
    zero: str
    level: str

    @property
    def name(self) -> str:
        """`effect_of`, or `into_q, into_k, into_v`."""
        return ", ".join(self.names)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All members."""
        return tuple(cell for panel in self.panels for cell in panel.cells.values())

    @property
    def longest(self) -> int:
        """The letters of the longest number."""
        return max((len(c.text) for c in self.cells if c.share is not None), default=0)

    @property
    def signed(self) -> bool:
        """Whether a value lies below 0."""
        return any(cell.share is not None and cell.share < 0 for cell in self.cells)

    @property
    def axes(self) -> str:
        """`layer down, head across`."""
        named = ((self.row_axis, "down"), (self.column_axis, "across"))
        return ", ".join(f"{axis} {way}" for axis, way in named if axis)

    @property
    def legend(self) -> list[tuple[str, str]]:
        """The marks that occur, each with its meaning."""
        met, level = {cell.mark for cell in self.cells}, f"{self.level} " if self.level else ""
        return [
            (mark, words.format(level=level, zero=self.zero))
            for mark, words in MARKS.items()
            if mark in met and words
        ]

    def legend_beside(self, *, numbers: bool) -> list[tuple[str, str]]:
        """The legend where cells may hold `numbers`, which have a sign and so no dash."""
        return [one for one in self.legend if not numbers or one[0] != "below"]

    @property
    def caption(self) -> str:
        """What it shows, in one line."""
        words = [many(len(self.cells), "member"), self.axes, self.unit]
        return f"{self.name}: {', '.join(word for word in words if word)}"


def place_object(one: Object) -> Object | None:
    """Where a member stands, as JSON has it; of a result of before, by its name."""
    if "at" in one:
        at: Object | None = one["at"]
        return at
    place = spelled(split_name(one["name"])[1])
    return fields_of(place, AT) if place is not None else None


def sweeps_of(file: Object) -> dict[str, list[Object]]:
    """The members of every `for` by their name: quantities, then claims."""
    found: dict[str, list[Object]] = {}
    for kind in ("quantities", "claims"):
        for one in file[kind]:
            name, member = split_name(one["name"])
            if member:
                found.setdefault(name, []).append(one)
    return found


def pictures(file: Object) -> list[Picture]:
    """The pictures of a file: of its quantities, and of claims that fill a matrix."""
    noise = noise_of(file)
    found: list[tuple[Picture, str, Sequence[Object]]] = []
    for members in sweeps_of(file).values():
        picture = picture_of(members, noise)
        if picture is not None and ("verdict" not in members[0] or in_matrix(picture)):
            slots = {(place_object(one) or {}).get("slot") for one in members}
            found.append((picture, slots.pop() or "" if len(slots) == 1 else "", members))

    def alike(one: tuple[Picture, str, Sequence[Object]]) -> object:
        picture, slot, _ = one
        apart = () if slot else picture.names
        return (apart, picture.unit, picture.rows, picture.columns, picture.zero, picture.level)

    drawn: list[Picture] = []
    for _, group in groupby(found, alike):
        some = list(group)
        if len({slot for _, slot, _ in some}) == len(some) > 1:
            drawn.append(_joined(some, noise))
        else:
            drawn += [picture for picture, _, _ in some]
    return drawn


def _joined(some: Sequence[tuple[Picture, str, Sequence[Object]]], noise: float) -> Picture:
    """Families that differ in the slot as one picture, on one scale and with as many digits."""
    every = [one for _, _, members in some for one in members]
    panels: list[Panel] = []
    for first, slot, members in some:
        picture = picture_of(members, noise, every) or first
        for panel in picture.panels:
            title = f"{first.name}, slot {slot}{', ' if panel.title else ''}{panel.title}"
            panels.append(replace(panel, title=title))
    names = tuple(name for picture, _, _ in some for name in picture.names)
    limit = max(picture.limit for picture, _, _ in some)
    return replace(some[0][0], names=names, limit=limit, panels=tuple(panels))


def named_pictures(result: Object) -> list[list[tuple[str, Picture]]]:
    """The pictures of each file of a result, with the names of their files without suffix.

    A name has letters, digits, `_` and `-` alone, whatever a stranger's file says, and is there
    once. Of several files it begins with the circuit.
    """
    taken: set[str] = set()
    found: list[list[tuple[str, Picture]]] = []
    for file in result["files"]:
        found.append([])
        for picture in pictures(file):
            words = [file["circuit"] or ""] if len(result["files"]) > 1 else []
            stem = "-".join(filter(None, (*words, *picture.names)))
            stem = re.sub(r"[^A-Za-z0-9_-]", "_", stem)[:LONGEST_NAME]
            while stem.lower() in taken:
                stem += "x"
            taken.add(stem.lower())
            found[-1].append((stem, picture))
    return found


def in_matrix(picture: Picture) -> bool:
    """Whether it has rows and columns of its own, and not only a line of members."""
    return min(len(picture.rows), len(picture.columns)) > 1


def picture_of(
    members: Sequence[Object], noise: float = 0.0, beside: Sequence[Object] = ()
) -> Picture | None:
    """The picture of one family; None of one member, and of many that fill no matrix.

    What is below `noise` is nothing but rounding, and counts as 0. Scale and digits are those of
    the members, or of those `beside` which they stand.
    """
    if len(members) < 2:
        return None
    laid = _by_place(members)
    if laid is None:
        if len(members) > MOST_LISTED:
            return None
        laid = _Laid(
            row_axis="", column_axis="",
            spots=[("", split_name(one["name"])[1], "") for one in members],
        )  # fmt: skip
    rows = tuple(dict.fromkeys(row for _, row, _ in laid.spots))
    columns = tuple(dict.fromkeys(column for _, _, column in laid.spots))
    row_axis, column_axis, turned = laid.row_axis, laid.column_axis, False
    if laid.row_axis and columns and len(columns) == 1 and len(rows) > LONG_STRIP:
        rows, columns, turned = columns, rows, True  # a strip of layers is read across
        row_axis, column_axis = column_axis, row_axis
    estimates = [
        (one["estimate"], one["interval"])
        for one in beside or members
        if one["estimate"] and not nought(one["estimate"], one["interval"], noise)
    ]
    largest = max(estimates, key=lambda pair: abs(pair[0]), default=(0.0, None))
    places, limit = digits(*largest), abs(largest[0])
    panels: dict[str, dict[Position, Cell]] = {}
    for one, (panel, row, column) in zip(members, laid.spots, strict=True):
        spot = (column, row) if turned else (row, column)
        panels.setdefault(panel, {})[spot] = _cell(one, noise, places)
    thresholds = {f"{one['threshold']:g}" for one in members if one.get("threshold") is not None}
    zero = "0" if "verdict" not in members[0] else thresholds.pop() if len(thresholds) == 1 else (
        "its threshold"
    )  # fmt: skip
    levels = {one["confidence"] for one in members if one["interval"] and one["confidence"]}
    unit = members[0].get("unit", "none")
    return Picture(
        names=(split_name(members[0]["name"])[0],),
        unit="" if unit == "none" else unit,
        row_axis=row_axis,
        column_axis=column_axis,
        rows=_sorted(rows),
        columns=_sorted(columns),
        panels=tuple(
            Panel(title=title, cells=_scaled(cells, limit)) for title, cells in panels.items()
        ),
        limit=limit,
        zero=zero,
        level=f"{levels.pop() * 100:g}%" if len(levels) == 1 else "",
    )


def _cell(one: Object, noise: float, places: int | None) -> Cell:
    value, ends = one["estimate"], one["interval"]
    measured = Measured(one, noise)
    unit = one.get("unit", "none")
    told = [one["name"], measured.numbers, *([unit] if unit != "none" else [])]
    told += [f"n = {one['n']:,}"] if one["n"] else []
    told += [one["verdict"]] if "verdict" in one else []
    small = value is not None and nought(value, ends, noise)
    against = one.get("threshold") or 0.0
    mark = "above"
    if value is None:
        mark = "undefined"
    elif (small and not against) or (ends is not None and ends[0] <= against <= ends[1]):
        mark = "unsure"
    elif value < 0 and not small:
        mark = "below"
    text = measured.estimate if value is None or small else plain(value, places)
    return Cell(
        name=one["name"],
        estimate=0.0 if small else value,
        text=text,
        told=" ".join(told[:1]) + ": " + ", ".join(told[1:]),
        mark=mark,
    )


def _scaled(cells: Mapping[Position, Cell], limit: float) -> Mapping[Position, Cell]:
    """The cells with the places of their values on a scale that ends at `limit`."""

    def share(cell: Cell) -> float | None:
        return None if cell.estimate is None else cell.estimate / limit if limit else 0.0

    return {spot: replace(cell, share=share(cell)) for spot, cell in cells.items()}


# ---------------------------------------------------------------------------- rows and columns


@dataclass(frozen=True, slots=True, kw_only=True)
class _Laid:
    """What rows and columns are of, and for each member its panel, row and column."""

    row_axis: str
    column_axis: str
    spots: Sequence[tuple[str, str, str]]


WITH_HEADS = frozenset(("head", "mlp"))


def _by_place(members: Sequence[Object]) -> _Laid | None:
    """Members by where they stand; None where that leaves most cells empty, or two in one."""
    at = [place_object(one) for one in members]
    others = [_others(one, place) for one, place in zip(members, at, strict=True)]
    laid = None
    if all(place is not None and place["layer"] is not None for place in at):
        laid = _nodes([place for place in at if place is not None], others)
    elif all(len(other) >= 2 for other in others):
        laid = _Laid(
            row_axis="", column_axis="",
            spots=[(", ".join(rest), row, column) for row, column, *rest in others],
        )  # fmt: skip
    if laid is None or len(set(laid.spots)) < len(members):
        return None
    cells = 1
    for part in zip(*laid.spots, strict=True):
        cells *= len(set(part))
    return laid if len(members) >= LEAST_FILLED * cells else None


def _nodes(at: Sequence[Object], others: Sequence[Sequence[str]]) -> _Laid | None:
    kinds = {place["kind"] for place in at}
    positions = [place["position"] or "" for place in at]
    several = len(set(positions)) > 1
    layer = "first layer" if any(place["to"] for place in at) else "layer"
    rest = [", ".join(other) for other in others]
    layers = [str(place["layer"]) for place in at]
    if ("head" in kinds and kinds <= WITH_HEADS) or kinds == {"neuron"}:
        inner = [place["head"] if place["head"] is not None else place["neuron"] for place in at]
        columns = ["MLP" if number is None else str(number) for number in inner]
        titles = [
            ", ".join(filter(None, (f"@{position}" if position and several else "", other)))
            for position, other in zip(positions, rest, strict=True)
        ]
        axis = "head" if "head" in kinds else "neuron"
        spots = list(zip(titles, layers, columns, strict=True))
        return _Laid(row_axis=layer, column_axis=axis, spots=spots)
    if len(kinds) > 1:
        return None
    if several:
        spots = list(zip(rest, layers, positions, strict=True))
        return _Laid(row_axis=layer, column_axis="position", spots=spots)
    spots = [("", layer, other or _at(place)) for layer, other, place in zip(
        layers, rest, at, strict=True
    )]  # fmt: skip
    return _Laid(row_axis=layer, column_axis="", spots=spots)


def _at(place: Object) -> str:
    return f"@{place['position']}" if place["position"] else ""


def _others(one: Object, place: Object | None) -> list[str]:
    """What the variables stand for that say neither node nor position."""
    found = []
    for label in (one.get("indices") or {}).values():
        position = place and place["position"]
        if (place is None or spelled(label) is None) and label != position:
            found += [label] if f"[{label}]" != position else []
    return found


def _sorted(titles: Iterable[str]) -> tuple[str, ...]:
    """Numbers ascending, then other titles as they come."""
    listed = list(titles)
    numbers = sorted((title for title in listed if title.isdigit()), key=int)
    return (*numbers, *(title for title in listed if not title.isdigit()))
