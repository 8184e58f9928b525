"""A picture of a sweep as SVG, for the page and for notebooks.

Every text is escaped and nothing refers to anything outside; colours and letters are attributes, so
that the picture needs no style of its own. A member is a cell that can be pointed at and reached by
the keyboard: the first with Tab, the others with the arrows where the page's script runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from markupsafe import Markup
from markupsafe import escape as escape_markup

from pathdsl.lang.visible import visible
from pathdsl.report.figures.colours import EDGE, SOFT, colour, fill_of, ink, sign_on
from pathdsl.report.figures.grid import Cell, Picture

__all__ = ["escape", "picture_svg"]

LETTER = 6.7
"""The width of a letter of 11 points, widely."""
TALLEST, LOWEST = 26.0, 11.0
WIDEST, NARROWEST = 62.0, 11.0
ROOM, TIGHT = 620.0, 700.0
"""How wide and how tall a panel may be, as far as cells can be read so."""
ACROSS = 1000.0
"""How wide all panels side by side may be."""
GAP = 26.0
FULL = 900.0
"""How wide a panel may be so that its numbers have room."""
LINE = "#aab4bf"
STEPS = 24
SIZE = 11


def picture_svg(picture: Picture, prefix: str) -> Markup:
    """The picture; `prefix` sets its identifiers apart from those of others."""
    sizes = _Sizes(picture)
    parts = [
        f'<svg class="heat" xmlns="http://www.w3.org/2000/svg" role="group" '
        f'aria-labelledby="{escape(prefix)}-title" width="{sizes.width:.0f}" '
        f'height="{sizes.height:.0f}" viewBox="0 0 {sizes.width:.0f} {sizes.height:.0f}" '
        f'font-family="system-ui, DejaVu Sans, sans-serif" font-size="{SIZE}">',
        f'<title id="{escape(prefix)}-title">{escape(picture.caption)}</title>',
        f'<rect width="{sizes.width:.0f}" height="{sizes.height:.0f}" fill="#ffffff"/>',
    ]
    first = True
    for number in range(len(picture.panels)):
        parts += _panel(picture, number, sizes, first)
        first = False
    parts += _legend(picture, sizes)
    return Markup("\n".join([*parts, "</svg>"]))


def escape(text: str) -> Markup:
    """The text for SVG, with nothing unseen in it."""
    return escape_markup(visible(text))


@dataclass(init=False)
class _Sizes:
    """How large everything is, and where the upper left cell of each panel stands."""

    def __init__(self, picture: Picture) -> None:
        rows, columns = len(picture.rows), len(picture.columns)
        titles = max(map(len, picture.columns))
        numbered = all(title.isdigit() for title in picture.columns[:1])
        self.wide = min(WIDEST, max(NARROWEST, ROOM / columns))
        if not numbered:  # names are not left out, as numbers are
            self.wide = min(max(self.wide, LETTER * titles + 6), 110.0)
        self.tall = min(TALLEST, max(LOWEST, TIGHT / rows), max(self.wide, LOWEST))
        needed = LETTER * picture.longest + 8
        if needed * columns <= FULL:
            self.wide = max(self.wide, needed)
        self.numbers = needed <= self.wide and self.tall >= 15
        self.left = (
            LETTER * max(1, *(len(_short(row)) for row in picture.rows))
            + 12 + (16 if picture.row_axis else 0)
        )  # fmt: skip
        self.titled = any(panel.title for panel in picture.panels)
        self.top = (18.0 if self.titled else 0.0) + 20 + (16 if picture.column_axis else 0)
        self.panel_wide = self.left + columns * self.wide
        if self.titled:  # a title may be longer than its panel
            longest = max(len(_short(panel.title, 40)) for panel in picture.panels)
            self.panel_wide = max(self.panel_wide, LETTER * longest)
        self.panel_tall = self.top + rows * self.tall
        count = len(picture.panels)
        self.across = max(1, min(count, int((ACROSS + GAP) // (self.panel_wide + GAP))))
        below = ceil(count / self.across)
        self.legend_top = below * (self.panel_tall + GAP) - GAP + 22
        self.legend = picture.legend_beside(numbers=self.numbers)
        legend = max((len(words) for _, words in self.legend), default=0)
        beside = 26 + LETTER * legend if legend else 0
        self.width = max(
            self.across * (self.panel_wide + GAP) - GAP, self.left + 230 + beside
        ) + 10  # fmt: skip
        self.height = self.legend_top + max(34, 17 * len(self.legend)) + 6

    def corner(self, number: int) -> tuple[float, float]:
        """Where the cells of a panel begin."""
        down, across = divmod(number, self.across)
        return (
            across * (self.panel_wide + GAP) + self.left,
            down * (self.panel_tall + GAP) + self.top,
        )


def _short(text: str, most: int = 24) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _panel(picture: Picture, number: int, sizes: _Sizes, first: bool) -> Iterator[str]:
    panel = picture.panels[number]
    x, y = sizes.corner(number)
    wide, tall = sizes.wide, sizes.tall
    rows, columns = picture.rows, picture.columns
    right, bottom = x + wide * len(columns), y + tall * len(rows)
    if panel.title:
        yield _text(x - sizes.left + 2, y - sizes.top + 12, _short(panel.title, 40), bold=True)
    if picture.column_axis:
        yield _text((x + right) / 2, y - 21, picture.column_axis, anchor="middle")
    if picture.row_axis:
        middle = (y + bottom) / 2
        yield (
            f'<text x="{x - sizes.left + 11:.1f}" y="{middle:.1f}" fill="{SOFT}" '
            f'text-anchor="middle" transform="rotate(-90 {x - sizes.left + 11:.1f} {middle:.1f})">'
            f"{escape(picture.row_axis)}</text>"
        )
    every = _every(wide, LETTER * max(map(len, columns)) + 4)
    for i, title in enumerate(columns):
        if i % every == 0 or not title.isdigit():
            fits = _short(title, max(3, int(wide * every / LETTER)))
            yield _text(x + (i + 0.5) * wide, y - 6, fits, anchor="middle")
    every = _every(tall, 14)
    for i, title in enumerate(rows):
        if i % every == 0 or not title.isdigit():
            yield _text(x - 6, y + (i + 0.5) * tall + 4, _short(title), anchor="end")
    marks: list[str] = []
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            cell = panel.cells.get((row, column))
            if cell is None:
                continue
            left, top = x + j * wide, y + i * tall
            at = f'data-panel="{number}" data-at="{i} {j}" tabindex="{0 if first else -1}"'
            yield _cell(cell, left, top, sizes, at)
            first = False
            if not sizes.numbers or cell.mark != "below":
                marks.append(_mark(cell, left, top, wide, tall, sizes.numbers))
    yield from filter(None, marks)


def _every(step: float, wanted: float) -> int:
    """Which of the numbers on an axis are printed, so that they do not touch: every so many."""
    return next((n for n in (1, 2, 5, 10, 20, 50) if n * step >= wanted), 100)


def _cell(cell: Cell, x: float, y: float, sizes: _Sizes, at: str) -> str:
    """A cell that says what is known of it; `at` are attributes that say where it stands."""
    fill = fill_of(cell.share)
    rect = (
        f'<rect x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" width="{sizes.wide - 1:.1f}" '
        f'height="{sizes.tall - 1:.1f}" fill="{fill}" stroke="{EDGE}" stroke-width="0.6"'
    )
    told = f"<title>{escape(cell.told)}</title>"
    body = f"{rect}/>"
    if sizes.numbers and cell.share is not None:
        body += _text(
            x + sizes.wide / 2, y + sizes.tall / 2 + 4, cell.text, anchor="middle", fill=ink(fill)
        )
    return f'<g class="cell" {at} role="img" aria-label="{escape(cell.told)}">{told}{body}</g>'


def _mark(cell: Cell, x: float, y: float, wide: float, tall: float, numbers: bool) -> str:
    """A dot, a dash or a cross in the middle of a cell, beside its number where it has one."""
    stroke = sign_on(fill_of(cell.share))
    at = (x + wide / 2, y + tall / 2)
    if numbers and cell.mark == "unsure":
        at = (x + wide - 5, y + 5)
    return mark_svg(cell.mark, *at, stroke, (x, y, wide, tall))


def mark_svg(
    mark: str, x: float, y: float, stroke: str, box: tuple[float, float, float, float]
) -> str:
    """The sign of a mark around a point; a cross goes through all of its box."""
    match mark:
        case "unsure":
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.7" fill="{stroke}"/>'
        case "below":
            return f'<path d="M{x - 3.2:.1f} {y:.1f}h6.4" stroke="{stroke}" stroke-width="1.5"/>'
        case "undefined":
            left, top, wide, tall = box
            return (
                f'<path d="M{left + 2:.1f} {top + 2:.1f}l{wide - 4:.1f} {tall - 4:.1f}'
                f'M{left + wide - 2:.1f} {top + 2:.1f}l{4 - wide:.1f} {tall - 4:.1f}" '
                f'stroke="{stroke}" stroke-width="1"/>'
            )
    return ""


def _legend(picture: Picture, sizes: _Sizes) -> Iterator[str]:
    """The scale with its ends and 0, and the marks that occur."""
    x, y = sizes.left, sizes.legend_top
    if picture.limit:
        yield from _scale(picture, x, y)
    for i, (mark, words) in enumerate(sizes.legend):
        top = y + 17 * i
        box = (x + 230, top - 1, 14.0, 13.0)
        fill = fill_of(None if mark == "undefined" else -0.12 if mark == "below" else 0.0)
        yield (
            f'<rect x="{box[0]:.1f}" y="{box[1]:.1f}" width="{box[2]:.1f}" '
            f'height="{box[3]:.1f}" fill="{fill}" stroke="{LINE}"/>'
        )
        yield mark_svg(mark, box[0] + box[2] / 2, box[1] + box[3] / 2, SOFT, box)
        yield _text(x + 250, top + 9.5, words)


def _scale(picture: Picture, x: float, y: float) -> Iterator[str]:
    """The colours from the least to the largest value, with their numbers."""
    least = -1.0 if picture.signed else 0.0
    wide = 200.0 / STEPS
    for i in range(STEPS):
        share = least + (1 - least) * (i + 0.5) / STEPS
        yield (
            f'<rect x="{x + i * wide:.2f}" y="{y:.1f}" width="{wide + 0.3:.2f}" height="12" '
            f'fill="{colour(share)}"/>'
        )
    yield (f'<rect x="{x:.1f}" y="{y:.1f}" width="200" height="12" fill="none" stroke="{LINE}"/>')
    ends = [(0.0, f"{least * picture.limit:.3g}"), (200.0, f"{picture.limit:.3g}")]
    ends += [(100.0, "0")] if picture.signed else []
    for place, text in ends:
        yield _text(x + place, y + 25, text, anchor="middle")
    if picture.unit:
        yield _text(
            x + (150 if picture.signed else 100), y + 25, _short(picture.unit, 10), anchor="middle"
        )


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", fill: str = SOFT, bold: bool = False
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" text-anchor="{anchor}"{weight}>'
        f"{escape(text)}</text>"
    )
