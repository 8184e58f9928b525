"""Pictures of sweeps and curves as PNG and PDF files; matplotlib is imported here alone.

The same result gives the same bytes with the same matplotlib: no date and no name of a program is
written, and nobody's settings of matplotlib are read. Letters of PDF files are TrueType.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pathdsl.report.content.curves import CurveContent
from pathdsl.report.content.rows import Object
from pathdsl.report.figures.colours import EDGE, SOFT, colour, fill_of, ink, sign_on
from pathdsl.report.figures.curve import BAND, LINE, named_curves
from pathdsl.report.figures.grid import Panel, Picture, named_pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "NEEDED", "figure_files", "has_matplotlib", "has_numbers"]

FORMATS = ("png", "pdf")
NEEDED = "pictures as files need matplotlib: pip install 'pathdsl[figures]'"
SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
}
NOBODY: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}
WIDEST, TALL, LOWEST = 0.42, 0.2, 0.13
"""How large a cell is at most, and how tall at least to hold a number; all in inches."""
PANEL, FULL, TALLEST, PAGE = 5.4, 6.3, 8.0, 7.0
"""How wide a panel is, or one with numbers, how tall it is, and how wide panels are together."""
LETTER = 0.066


def has_matplotlib() -> bool:
    """Whether pictures can be written."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def figure_files(result: Object) -> Iterator[tuple[str, bytes]]:
    """A PNG and a PDF for each picture and each curve of a result, by their names.

    Raises ImportError where matplotlib is not installed.
    """
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        for file in named_pictures(result):
            for stem, picture in file:
                yield from _saved(stem, _figure(picture))
        for stem, curve in named_curves(result):
            yield from _saved(stem, _curve(curve))


def _saved(stem: str, figure: Figure) -> Iterator[tuple[str, bytes]]:
    for kind in FORMATS:
        written = io.BytesIO()
        figure.savefig(
            written, format=kind, metadata=NOBODY[kind], bbox_inches="tight", pad_inches=0.03
        )
        yield f"{stem}.{kind}", written.getvalue()


def _curve(curve: CurveContent) -> Figure:
    """Faithfulness by size: the line, its intervals as a band, and the model at 1."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4, 2.0))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.12, 0.2, 0.86, 0.75))
    points = [p for p in curve.points if p["estimate"] is not None]
    known = [p for p in points if p["interval"] is not None]
    for value in (0.0, 1.0):
        axes.axhline(value, color=SOFT, linewidth=0.6)
    low, high = ([p["interval"][i] for p in known] for i in (0, 1))
    axes.fill_between([100 * p["share"] for p in known], low, high, color=BAND, alpha=0.5, lw=0)
    x, y = [100 * p["share"] for p in points], [p["estimate"] for p in points]
    axes.plot(x, y, color=LINE, linewidth=1.2, marker="o", markersize=2.5)
    axes.set_xscale("log")
    axes.set_xticks([100 * p["share"] for p in curve.points], [r.size for r in curve.rows])
    axes.minorticks_off()
    axes.tick_params(length=2, pad=2, colors=SOFT)
    axes.set_xlabel("part of all edges", color=SOFT)
    axes.set_ylabel("faithfulness", color=SOFT)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(EDGE)
    return figure


def has_numbers(picture: Picture) -> bool:
    """Whether its cells hold their numbers, which have a sign and so no dash."""
    return _cells(picture)[2]


def _cells(picture: Picture) -> tuple[float, float, bool]:
    """How wide and how tall a cell is, in inches, and whether it has room for its number."""
    columns = len(picture.columns)
    wide, tall = min(WIDEST, PANEL / columns), min(TALL, TALLEST / len(picture.rows))
    needed = LETTER * (picture.longest + 1)
    if columns * needed <= FULL:
        wide = max(wide, needed)
    return wide, tall, needed <= wide and tall >= LOWEST


def _figure(picture: Picture) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns, count = len(picture.rows), len(picture.columns), len(picture.panels)
    wide, tall, numbers = _cells(picture)
    # Inches: a panel with its titles, and the legend below all of them.
    panel = (columns * wide + 0.6, rows * tall + 0.55)
    across = max(1, min(count, int(PAGE / panel[0])))
    width = max(across * panel[0], 3.2)
    height = -(-count // across) * panel[1] + 0.55
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    for i, one in enumerate(picture.panels):
        x, y = i % across * panel[0] + 0.5, height - (i // across + 1) * panel[1]
        size = (columns * wide / width, rows * tall / height)
        _panel(figure.add_axes((x / width, y / height, *size)), picture, one, numbers)
    left = 0.5 / width
    if picture.limit:
        _scale(figure.add_axes((left, 0.3 / height, 1.3 / width, 0.1 / height)), picture)
    legend = picture.legend_beside(numbers=numbers)
    if legend:
        signs = figure.add_axes((left + 1.55 / width, 0.05 / height, 1.4 / width, 0.4 / height))
        signs.set(xlim=(0, 14), ylim=(4, 0))
        signs.axis("off")
        for i, (mark, words) in enumerate(legend):
            _signs(signs, mark, SOFT, [(0.5, i * 1.3 + 0.5)])
            signs.text(1.4, i * 1.3 + 0.5, words, va="center", color=SOFT)
    return figure


def _panel(axes: Axes, picture: Picture, panel: Panel, numbers: bool) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    rows, columns = picture.rows, picture.columns
    axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
    axes.set_xticks([i + 0.5 for i in range(len(columns))], columns)
    axes.set_yticks([i + 0.5 for i in range(len(rows))], rows)
    axes.tick_params(length=0, pad=2, colors=SOFT, top=True, labeltop=True, labelbottom=False)
    for titles, labels, most in (
        (columns, axes.get_xticklabels(), 24), (rows, axes.get_yticklabels(), 50)
    ):  # fmt: skip
        if len(titles) > most:
            for i, label in enumerate(labels):
                label.set_visible(i % (1 + len(titles) // most) == 0)
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(picture.column_axis, color=SOFT, labelpad=3)
    axes.set_ylabel(picture.row_axis, color=SOFT, labelpad=3)
    if panel.title:
        axes.set_title(panel.title, fontsize=7, fontweight="bold", loc="left", color=SOFT)
    for spine in axes.spines.values():
        spine.set_visible(False)
    boxes, fills = [], []
    signs: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for (row, column), cell in panel.cells.items():
        x, y = columns.index(column), rows.index(row)
        fill = fill_of(cell.share)
        boxes.append(Rectangle((x, y), 1, 1))
        fills.append(fill)
        if numbers and cell.share is not None:
            axes.text(
                x + 0.5, y + 0.53, cell.text, ha="center", va="center", fontsize=6, color=ink(fill)
            )
        stroke = sign_on(fill)
        if numbers and cell.mark == "unsure":
            signs.setdefault((cell.mark, stroke), []).append((x + 0.93, y + 0.17))
        elif not numbers or cell.mark != "below":  # a number has its own sign
            signs.setdefault((cell.mark, stroke), []).append((x + 0.5, y + 0.5))
    drawn = PatchCollection(boxes, facecolors=fills, edgecolors=EDGE, linewidths=0.4)
    axes.add_collection(drawn)
    for (mark, stroke), places in signs.items():
        _signs(axes, mark, stroke, places)


def _signs(axes: Axes, mark: str, stroke: str, places: Sequence[tuple[float, float]]) -> None:
    """A dot, a dash or a cross at each place."""
    shapes = {"unsure": ("o", 1.3), "below": ("_", 3.5), "undefined": ("x", 5.0)}
    if mark in shapes:
        shape, size = shapes[mark]
        axes.plot(
            *zip(*places, strict=True), marker=shape, markersize=size, markeredgewidth=0.7,
            color=stroke, linestyle="none",
        )  # fmt: skip


def _scale(axes: Axes, picture: Picture) -> None:
    """The colours from the least to the largest value, and 0."""
    from matplotlib.colors import ListedColormap

    least = -1.0 if picture.signed else 0.0
    steps = 256
    shares = [least + (1 - least) * i / (steps - 1) for i in range(steps)]
    colours = ListedColormap([colour(share) for share in shares])
    axes.imshow([shares], aspect="auto", cmap=colours, extent=(least, 1, 0, 1))
    axes.set_yticks([])
    ends = [least, 1.0] if least == 0 else [least, 0.0, 1.0]
    axes.set_xticks(ends, [f"{end * picture.limit:.3g}" for end in ends])
    axes.tick_params(length=0, pad=2, colors=SOFT)
    if picture.unit:
        axes.set_xlabel(picture.unit, color=SOFT, labelpad=0)
    for spine in axes.spines.values():
        spine.set(edgecolor="#aab4bf", linewidth=0.5)
