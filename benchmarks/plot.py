"""Line plots as SVG text, both axes logarithmic; for figures in the documentation.

    write_figures(rows, Path("docs/figures"))

A figure for each axis of `benchmarks/scaling.py` and shape. Lines of what was counted on the plan
are dashed, those of what was measured are full.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

__all__ = ["line_plot", "series", "write_figures"]

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 660, 360, 70, 215, 40, 50
# Okabe and Ito's colours, which people tell apart whatever colours they see.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
TITLES = {
    "knockouts": ("Cost by number of knockout sets", "knockout sets"),
    "length": ("Cost by prompt length", "tokens of a prompt"),
    "depth": ("Cost by number of layers", "layers"),
}


def line_plot(title: str, across: str, up: str, lines: Mapping[str, Points]) -> str:
    """An SVG of named lines over two logarithmic axes; names that end in `counted` are dashed.

    Raises ValueError where there is nothing to draw, or a value that has no logarithm.
    """
    points = [point for line in lines.values() for point in line]
    if not points or min(min(point) for point in points) <= 0:
        raise ValueError("a logarithmic plot needs points, all of them above 0")
    marks_x = sorted({x for x, _ in points})
    low, high = _decades([y for _, y in points])
    span_x = math.log(marks_x[-1] / marks_x[0]) or 1.0

    def at_x(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(x / marks_x[0]) / span_x

    def at_y(y: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (math.log10(y) - low) / (high - low))

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 22, title, size=14),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, across, anchor="middle"),
        _text(-(TOP + HEIGHT - BOTTOM) / 2, 16, up, anchor="middle", turn=True),
    ]
    for power in range(low, high + 1):
        y = at_y(10.0**power)
        out.append(_path([(LEFT, y), (WIDTH - RIGHT, y)], "#dddddd", 1))
        out.append(_text(LEFT - 6, y + 4, f"{10.0**power:,g}", anchor="end"))
    for x in marks_x:
        out.append(_path([(at_x(x), HEIGHT - BOTTOM), (at_x(x), HEIGHT - BOTTOM + 4)], "black", 1))
        out.append(_text(at_x(x), HEIGHT - BOTTOM + 18, f"{x:,g}", anchor="middle"))
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        drawn = [(at_x(x), at_y(y)) for x, y in sorted(line)]
        out.append(_path(drawn, colour, 2, dashed=name.endswith("counted")))
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in drawn]
        key = TOP + 14 * number + 8
        left = WIDTH - RIGHT + 12
        bar = [(left, key - 4), (left + 20, key - 4)]
        out.append(_path(bar, colour, 2, dashed=name.endswith("counted")))
        out.append(_text(left + 26, key, name, size=11))
    return "\n".join([*out, "</svg>"]) + "\n"


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around all values, at least one apart."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, turn: bool = False
) -> str:
    turned = ' transform="rotate(-90)"' if turn else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{turned}>'
        f"{escape(text)}</text>"
    )


def _path(points: Points, colour: str, width: int, *, dashed: bool = False) -> str:
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>'
    )


def series(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """The lines of one axis and shape by name; a count of 0 (W3 may need no copy) is left out."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        before = "" if row["axis"] == "knockouts" else f"{row['workload']} "
        found = {"time / W0": row["times_plain"], "arithmetic / W0, counted": row["counted"]}
        if row["axis"] == "knockouts":
            found |= {"runs, counted": row["runs"], "copies, counted": row["copies"]}
        for name, value in found.items():
            if value > 0:
                lines.setdefault(before + name, []).append((row["x"], value))
    return lines


def write_figures(rows: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write `scaling-AXIS[-SHAPE].svg` for what was measured; the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        shape = "" if row["axis"] == "depth" else str(row["shape"])
        groups.setdefault((str(row["axis"]), shape), []).append(row)
    written = []
    for (axis, shape), group in groups.items():
        title, across = TITLES[axis]
        of = f" ({shape})" if shape else ""
        up = "number, or multiples of W0" if axis == "knockouts" else "multiples of W0"
        path = folder / f"scaling-{axis}{'-' * bool(shape)}{shape}.svg"
        path.write_text(line_plot(title + of, across, up, series(group)), encoding="utf-8")
        written.append(path)
    return written
