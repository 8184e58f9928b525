"""The faithfulness of circuits of growing size as SVG: a line, its intervals, and the model at 1.

Sizes stand on a logarithmic axis, since circuits worth a look have a few per cent of the edges. Two
lines of grey say where 0 and 1 are: the empty circuit and the model. What is undefined is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import ceil, floor, log10

from markupsafe import Markup

from pathdsl.report.content.curves import CurveContent, curves_of
from pathdsl.report.content.rows import Object
from pathdsl.report.figures.colours import ABOVE, EDGE, SOFT
from pathdsl.report.figures.grid import LONGEST_NAME
from pathdsl.report.figures.svg import SIZE, escape

__all__ = ["BAND", "LINE", "curve_svg", "grid_step", "named_curves"]

WIDE, TALL, LEFT, TOP, RIGHT, BOTTOM = 620.0, 240.0, 46.0, 12.0, 14.0, 40.0
LINE, BAND = ABOVE[6], ABOVE[2]
MOST_TICKS = 8


def curve_svg(curve: CurveContent, prefix: str) -> Markup:
    """The picture of one curve; `prefix` sets its identifiers apart from those of others."""
    points = [p for p in curve.points if p["estimate"] is not None and p["share"] > 0]
    ends = [end for p in points for end in (p["interval"] or ())]
    values = [0.0, 1.0, *(p["estimate"] for p in points), *ends]
    low, high = min(values), max(values)
    step = grid_step(high - low)
    low, high = step * floor(low / step), step * ceil(high / step)
    least = min((log10(p["share"]) for p in points), default=-3.0)

    def x(share: float) -> float:
        return LEFT + (WIDE - LEFT - RIGHT) * (1 - log10(share) / (least or -3.0))

    def y(value: float) -> float:
        return TOP + (TALL - TOP - BOTTOM) * (high - value) / (high - low)

    title = f"faithfulness by size: {curve.title}"
    parts = [
        f'<svg class="curve" xmlns="http://www.w3.org/2000/svg" role="group" '
        f'aria-labelledby="{escape(prefix)}-title" width="{WIDE:.0f}" height="{TALL:.0f}" '
        f'viewBox="0 0 {WIDE:.0f} {TALL:.0f}" font-family="system-ui, DejaVu Sans, sans-serif" '
        f'font-size="{SIZE}">',
        f'<title id="{escape(prefix)}-title">{escape(title)}</title>',
        f'<rect width="{WIDE:.0f}" height="{TALL:.0f}" fill="#ffffff"/>',
    ]
    for i in range(round((high - low) / step) + 1):
        value = low + i * step
        strong = SOFT if abs(value) < step / 9 or abs(value - 1) < step / 9 else EDGE
        parts.append(_line(LEFT, y(value), WIDE - RIGHT, y(value), strong))
        parts.append(_text(LEFT - 6, y(value) + 4, f"{value:.6g}", "end"))
    for value in (0.0, 1.0):
        parts.append(_line(LEFT, y(value), WIDE - RIGHT, y(value), SOFT))
    for point in points:
        parts.append(_text(x(point["share"]), TALL - BOTTOM + 16, f"{100 * point['share']:g}"))
    middle = LEFT + (WIDE - LEFT - RIGHT) / 2
    parts.append(_text(middle, TALL - 6, "per cent of all edges"))
    known = [p for p in points if p["interval"] is not None]
    if len(known) > 1:
        upper = [(x(p["share"]), y(p["interval"][1])) for p in known]
        lower = [(x(p["share"]), y(p["interval"][0])) for p in reversed(known)]
        outline = " ".join(f"{a:.1f},{b:.1f}" for a, b in (*upper, *lower))
        parts.append(f'<polygon points="{outline}" fill="{BAND}" fill-opacity="0.5"/>')
    if len(points) > 1:
        path = " ".join(f"{x(p['share']):.1f},{y(p['estimate']):.1f}" for p in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{LINE}" stroke-width="1.6"/>')
    told = {point["share"]: row.told for point, row in zip(curve.points, curve.rows, strict=True)}
    parts += _marks([(x(p["share"]), y(p["estimate"]), told[p["share"]]) for p in points])
    return Markup("\n".join([*parts, "</svg>"]))


def named_curves(result: Object) -> list[tuple[str, CurveContent]]:
    """The curves of all files of a result, with the names of their files without suffix."""
    found: dict[str, CurveContent] = {}
    for file in result["files"]:
        words = [file["circuit"] or ""] if len(result["files"]) > 1 else []
        for curve in curves_of(file):
            stem = "-".join(filter(None, (*words, "curve", curve.read_by)))
            stem = re.sub(r"[^A-Za-z0-9_-]+", "_", stem)[:LONGEST_NAME]
            while stem in found:
                stem += "x"
            found[stem] = curve
    return list(found.items())


def grid_step(span: float) -> float:
    """The distance of the lines of grey: 1, 2 or 5 times a power of ten."""
    least = span / MOST_TICKS
    power = 10.0 ** floor(log10(least))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= least * (1 - 1e-9))


def _marks(points: list[tuple[float, float, str]]) -> Iterator[str]:
    """Dots that can be pointed at, as cells of sweeps can; the clear ring is for fingers."""
    for i, (a, b, told) in enumerate(points):
        yield (
            f'<g class="cell" data-panel="0" data-at="0 {i}" tabindex="{-1 if i else 0}" '
            f'role="img" aria-label="{escape(told)}"><title>{escape(told)}</title>'
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="11" fill="#ffffff" fill-opacity="0"/>'
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{LINE}"/></g>'
        )


def _line(a: float, b: float, c: float, d: float, stroke: str) -> str:
    return f'<line x1="{a:.1f}" y1="{b:.1f}" x2="{c:.1f}" y2="{d:.1f}" stroke="{stroke}"/>'


def _text(a: float, b: float, text: str, anchor: str = "middle") -> str:
    return (
        f'<text x="{a:.1f}" y="{b:.1f}" fill="{SOFT}" text-anchor="{anchor}">{escape(text)}</text>'
    )
