"""A circuit as SVG: positions from left to right, layers upwards, groups by colour.

Beside it what is known of each unit: what was measured, and which claims concern it.

Every text is escaped; nothing refers to anything outside the picture. Lines are the direct edges of
the drawing (`pathdsl.report.data.drawing`), `input` is the bar below and `logits` the bar above.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from pathdsl.report.content.claims import declaration
from pathdsl.report.content.rows import Measured, Object, noise_of, split_name
from pathdsl.report.figures.svg import escape

__all__ = ["PALETTE", "circuit_svg", "claims_by_unit", "colours", "unit_rows"]

Point = tuple[float, float]
PALETTE = (
    "#4477aa", "#b5485a", "#1f7a4d", "#8f6c00", "#7a4ea3", "#2a7f95", "#b35c1e", "#5b6770",
    "#8c2f6b", "#5f7d1f",
)  # fmt: skip
"""Dark enough for white letters (contrast of 4.6 and more); groups beyond the tenth begin anew."""
PLAIN = "#5b6770"
TALL, GAP, EDGE, TITLE = 24.0, 10.0, 20.0, 26.0
ACROSS = 4
"""Units side by side in one cell, before a second row of the cell begins."""


def unit_rows(drawing: Object, file: Object) -> Iterator[Object]:
    """Every drawn unit with its `effects`: quantities and claims that have a member of its name."""
    noise = noise_of(file)
    effects: dict[str, list[tuple[str, str]]] = {}

    def add(unit: str, name: str, one: Object) -> None:
        numbers = Measured(one, noise).numbers
        if one.get("n"):
            numbers += f", n = {one['n']:,}"
        effects.setdefault(unit, []).append((name, numbers))

    for one in (*file["quantities"], *file["claims"]):
        name, member = split_name(one["name"])
        add(member, name, one)
    for claim in file["claims"]:
        for one in claim["members"]:
            add(one["name"], claim["name"], one)
    for node in drawing["nodes"]:
        own = tuple(dict.fromkeys(effects.get(node["name"], ())))
        yield {"name": node["name"], "groups": ", ".join(node["groups"]), "effects": own}


def claims_by_unit(
    drawing: Object, file: Object, keys: Sequence[str]
) -> Mapping[str, tuple[str, ...]]:
    """By unit, which claims concern it; `keys` name the claims in their order."""
    units = {node["name"] for node in drawing["nodes"]}
    by_unit: dict[str, tuple[str, ...]] = {}
    for key, claim in zip(keys, file["claims"], strict=True):
        _, member = split_name(claim["name"])
        declared = declaration(claim["name"], file).get("units", ())
        for unit in (member,) if member in units else declared:
            by_unit[unit] = (*by_unit.get(unit, ()), key)
    return by_unit


def colours(drawing: Object) -> dict[str, str]:
    """The colour of every group, in order of first mention."""
    names = dict.fromkeys(g for node in drawing["nodes"] for g in node["groups"][:1])
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}


def circuit_svg(
    drawing: Object, units: Sequence[Object], keys: Mapping[str, Sequence[str]], prefix: str
) -> Markup:
    """The picture; `keys` are the claims of each unit, `prefix` sets its identifiers apart."""
    picture = _Picture(drawing)
    colour = colours(drawing)
    parts = [
        f'<svg class="circuit" xmlns="http://www.w3.org/2000/svg" role="group" '
        f'aria-labelledby="{escape(prefix)}-title" width="{picture.width:.0f}" '
        f'height="{picture.height:.0f}" viewBox="0 0 {picture.width:.0f} {picture.height:.0f}">',
        f'<title id="{escape(prefix)}-title">Circuit {escape(drawing["path"])}: '
        f"{len(drawing['nodes'])} units, position across, layer upwards</title>",
        *picture.frame(),
        *picture.lines(keys),
    ]
    for i, (node, unit) in enumerate(zip(drawing["nodes"], units, strict=True)):
        x, y = picture.places[i]
        fill = colour[node["groups"][0]] if node["groups"] else PLAIN
        concerned = " ".join(keys.get(node["name"], ()))
        effects = (f"{name}: {text}" for name, text in unit["effects"])
        texts = [node["name"], *node["groups"], *effects]
        shape = 'rx="3"' if node["kind"] != "head" else 'rx="12"'
        parts.append(
            f'<g class="unit" tabindex="0" role="img" aria-label="{escape("; ".join(texts))}" '
            f'data-unit="{i}" data-claims="{escape(concerned)}">'
            f"<title>{escape(chr(10).join(texts))}</title>"
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{picture.wide:.0f}" height="{TALL:.0f}" '
            f'{shape} fill="{fill}"/>'
            f'<text x="{x + picture.wide / 2:.1f}" y="{y + 16:.1f}" fill="#fff" '
            f'text-anchor="middle">{escape(node["label"])}</text></g>'
        )
    return Markup("\n".join([*parts, "</svg>"]))


class _Picture:
    """Where everything stands. `places`: the upper left corner of each node."""

    def __init__(self, drawing: Object) -> None:
        self.drawing = drawing
        nodes = drawing["nodes"]
        anywhere = [None] if any(node["at"] is None for node in nodes) else []
        self.columns: list[str | None] = [*anywhere, *drawing["positions"]] or [None]
        self.wide = 16 + 7.0 * max([5, *(len(node["label"]) for node in nodes)])
        cells: dict[tuple[int, bool, str | None], list[int]] = {}
        for i, node in enumerate(nodes):
            head = node["kind"] == "head"
            cells.setdefault((node["layer"], head, node["at"]), []).append(i)
        spans = {
            at: min(ACROSS, max([1, *(len(c) for k, c in cells.items() if k[2] == at)]))
            for at in self.columns
        }
        self.left = 44.0
        self.starts: dict[str | None, float] = {}
        x = self.left
        for at in self.columns:
            self.starts[at] = x + EDGE / 2
            x += spans[at] * (self.wide + GAP) + EDGE
        self.width = x + 6
        self.rows: list[tuple[int, float, float]] = []
        self.places: dict[int, Point] = {}
        y = 34 + TITLE  # below the bar of logits
        layers = sorted({node["layer"] for node in nodes}, reverse=True)
        for layer in layers:
            top = y
            for head in (False, True):  # an MLP stands above the heads of its layer
                inside = {k[2]: c for k, c in cells.items() if k[:2] == (layer, head)}
                for at, members in inside.items():
                    for j, i in enumerate(members):
                        # later rows of a cell are set off, so that vertical lines stay apart
                        step = (j % spans[at]) * (self.wide + GAP)
                        self.places[i] = (self.starts[at] + step, y + j // spans[at] * (TALL + 8))
                deep = max((-(-len(c) // spans[at]) for at, c in inside.items()), default=0)
                y += deep * (TALL + 8)
            self.rows.append((layer, top, y))
            y += 26
        self.base = y
        self.height = y + 30 + TITLE

    def frame(self) -> Iterator[str]:
        """Bars of `input` and `logits`, columns with their titles, and layers with theirs."""
        for i, at in enumerate(self.columns):
            x = self.starts[at] - EDGE / 2
            following = self.columns[i + 1 :]
            end = self.starts[following[0]] - EDGE / 2 if following else self.width - 6
            if i % 2 == 0:
                yield (
                    f'<rect class="band" x="{x:.1f}" y="{TITLE + 26:.0f}" width="{end - x:.1f}" '
                    f'height="{self.base - TITLE - 30:.1f}" fill="#f1f4f7"/>'
                )
            name = "any position" if at is None else f"@{at}"
            yield (
                f'<text class="column" x="{(x + end) / 2:.1f}" y="{self.height - 6:.1f}" '
                f'text-anchor="middle">{escape(name)}</text>'
            )
        for layer, top, bottom in self.rows:
            yield f'<text class="layer" x="2" y="{(top + bottom) / 2 + 1:.1f}">L{layer}</text>'
        for y, name in ((TITLE - 20, "logits"), (self.base, "input")):
            yield (
                f'<rect class="bar" x="{self.left:.0f}" y="{y:.1f}" '
                f'width="{self.width - self.left - 6:.1f}" height="22" rx="3" fill="#d5dce3"/>'
                f'<text class="end" x="{(self.left + self.width - 6) / 2:.1f}" y="{y + 15:.1f}" '
                f'text-anchor="middle">{name}</text>'
            )

    def lines(self, keys: Mapping[str, Sequence[str]]) -> Iterator[str]:
        """Edges from the top of the sender to the bottom of the receiver."""
        edges = self.drawing["edges"] or []
        thin = max(0.25, min(0.8, 12 / max(1, len(edges))))
        for edge in edges:
            slots = ",".join(edge["slots"])
            words = f"{self._name(edge['from'])} → {self._name(edge['to'])}"
            numbers = [n for n in (edge["from"], edge["to"]) if n >= 0]
            every = [set(keys.get(self._name(n), ())) for n in numbers]
            concerned = " ".join(sorted(set.intersection(*every))) if every else ""
            curve = self._curve(edge["from"], edge["to"])
            yield (
                f'<path class="edge" data-ends="{" ".join(map(str, numbers))}" '
                f'data-claims="{escape(concerned)}" d="{curve}" '
                f'opacity="{thin:.2f}"><title>'
                f"{escape(words)}{escape(f' ({slots})' if slots else '')}</title></path>"
            )

    def _curve(self, sender: int, receiver: int) -> str:
        """The line of an edge; straight up, it goes round the units that stand in its way."""
        (x1, y1), (x2, y2) = self._ends(sender, receiver)
        bend, aside = max(18.0, abs(y1 - y2) / 2), 0.0
        between = (
            abs(x + self.wide / 2 - x1) < self.wide / 2 and y2 < y < y1
            for number, (x, y) in self.places.items()
            if number not in (sender, receiver)
        )
        if abs(x1 - x2) < 1 and any(between):
            bend, aside = abs(y1 - y2) / 4, (self.wide / 2 + GAP / 2) / 0.75
        return (
            f"M{x1:.1f} {y1:.1f}C{x1 + aside:.1f} {y1 - bend:.1f} "
            f"{x2 + aside:.1f} {y2 + bend:.1f} {x2:.1f} {y2:.1f}"
        )

    def _name(self, number: int) -> str:
        if number < 0:
            return "input" if number == -1 else "logits"
        return str(self.drawing["nodes"][number]["name"])

    def _ends(self, sender: int, receiver: int) -> tuple[Point, Point]:
        def middle(number: int) -> float:
            return self.places[number][0] + self.wide / 2

        x1 = middle(sender) if sender >= 0 else middle(receiver) if receiver >= 0 else self.left
        x2 = middle(receiver) if receiver >= 0 else x1
        y1 = self.places[sender][1] if sender >= 0 else self.base
        y2 = self.places[receiver][1] + TALL if receiver >= 0 else TITLE + 2
        return (x1, y1), (x2, y2)
