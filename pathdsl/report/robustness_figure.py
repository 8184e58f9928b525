"""A figure of which verdicts flip: for each claim, its interval in every cell beside the threshold.

Plain SVG without a library, readable on white and on paper: the verdict is a colour and a mark, so
that it can be told without colour; a flipped one has its cell's name in bold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from math import isfinite

from pathdsl.score.results import ClaimResult, Verdict
from pathdsl.score.robustness import ClaimRobustness, Robustness

__all__ = ["robustness_svg"]

_COLOURS = {
    Verdict.SUPPORTED: "#1b7837", Verdict.REFUTED: "#b2182b", Verdict.INCONCLUSIVE: "#b8860b",
    Verdict.UNDEFINED: "#762a83",
}  # fmt: skip
_ROW, _HEAD, _LEFT, _PLOT, _RIGHT, _GAP = 18, 26, 270, 330, 200, 14
_STYLE = (
    "text{font:12px sans-serif;fill:#222}.n{fill:#777}.b{font-weight:bold}"
    ".t{stroke:#444;stroke-dasharray:4 3}.w{fill:#f3f3f3}"
)


def robustness_svg(found: Robustness) -> str:
    """The figure as SVG text; one panel for each claim, one row for each cell."""
    width = _LEFT + _PLOT + _RIGHT
    parts: list[str] = []
    top = _GAP
    for claim in found.claims:
        drawn = _panel(claim, top)
        parts += drawn
        top += _HEAD + _ROW * (len(claim.cells) + 1) + _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" '
        f'viewBox="0 0 {width} {top}">\n<style>{_STYLE}</style>\n'
        f'<rect width="{width}" height="{top}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(claim: ClaimRobustness, top: float) -> list[str]:
    own = claim.own
    rows: list[tuple[str, ClaimResult | None, bool, str]] = [("as written", own, False, "")]
    for judged in claim.cells:
        why = "" if judged.result is not None else "not judged"
        why = why if judged.applies else "does not apply"
        rows.append((judged.cell.name, judged.result, claim.flipped(judged), why))
    low, high = _range([own.threshold], [result for _, result, _, _ in rows])

    def x(value: float) -> float:
        return _LEFT + _PLOT * (value - low) / (high - low)

    title = f"{claim.name}: wanted {own.relation} {own.threshold:g}"
    if own.expected is Verdict.REFUTED:
        title += ", expected refuted"
    bottom = top + _HEAD + _ROW * len(rows)
    parts = [
        f'<text class="b" x="8" y="{top + 14}">{escape(title)}</text>',
        f'<text class="n" x="{_LEFT}" y="{top + 14}">{low:.3g}</text>',
        f'<text class="n" x="{_LEFT + _PLOT}" y="{top + 14}" text-anchor="end">{high:.3g}</text>',
        f'<rect class="w" x="{_LEFT}" y="{top + 20}" width="{_PLOT}" '
        f'height="{bottom - top - 20}"/>',
        f'<line class="t" x1="{x(own.threshold):.1f}" x2="{x(own.threshold):.1f}" '
        f'y1="{top + 20}" y2="{bottom}"/>',
    ]
    for i, (name, result, flipped, why) in enumerate(rows):
        y = top + _HEAD + _ROW * i + _ROW / 2
        bold = ' class="b"' if flipped else ""
        parts.append(f'<text{bold} x="8" y="{y + 4}">{escape(name)}</text>')
        parts += _mark(result, x, y, flipped, why)
    return parts


def _mark(
    result: ClaimResult | None, place: Callable[[float], float], y: float, flipped: bool, why: str
) -> list[str]:
    right = _LEFT + _PLOT + 10
    if result is None:
        return [f'<text class="n" x="{right}" y="{y + 4}">{escape(why)}</text>']
    colour = _COLOURS[result.verdict]
    word = result.verdict.value + (" (flipped)" if flipped else "")
    parts = [f'<text x="{right}" y="{y + 4}" style="fill:{colour}">{word}</text>']
    if result.estimate is None or not isfinite(result.estimate):
        return parts
    if result.interval is not None and all(isfinite(end) for end in result.interval):
        a, b = (place(end) for end in result.interval)
        parts.append(
            f'<line x1="{a:.1f}" x2="{b:.1f}" y1="{y}" y2="{y}" stroke="{colour}" '
            'stroke-width="2"/>'
        )
    at = place(result.estimate)
    if result.verdict is Verdict.SUPPORTED:
        shape = f'<circle cx="{at:.1f}" cy="{y}" r="4" fill="{colour}"/>'
    elif result.verdict is Verdict.REFUTED:
        shape = (
            f'<path d="M{at - 4:.1f} {y - 4}l8 8m0 -8l-8 8" stroke="{colour}" stroke-width="2"/>'
        )
    else:
        shape = f'<circle cx="{at:.1f}" cy="{y}" r="4" fill="#fff" stroke="{colour}"/>'
    return [*parts, shape]


def _range(fixed: Sequence[float], results: Sequence[ClaimResult | None]) -> tuple[float, float]:
    """The values to show, with a margin on both sides."""
    values = list(fixed)
    for result in results:
        if result is not None:
            ends = result.interval or ()
            values += [v for v in (result.estimate, *ends) if v is not None and isfinite(v)]
    low, high = min(values), max(values)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin
