"""A figure of which verdicts flip: for each claim, its interval in every cell beside the threshold.

Plain SVG without a library, readable on white and on paper: the verdict is a colour, a mark and a
word, so that it can be told without colour; a flipped one has its cell's name in bold. Widths of
texts are estimated from above, so that none runs into another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite

from pathdsl.checking.robustness import ClaimRobustness, Robustness
from pathdsl.report.text.robustness import numbers, stated
from pathdsl.score.results import ClaimResult, Verdict

__all__ = ["robustness_svg"]

_COLOURS = {
    Verdict.SUPPORTED: "#1b7837", Verdict.REFUTED: "#b2182b", Verdict.INCONCLUSIVE: "#8a6400",
    Verdict.UNDEFINED: "#762a83",
}  # fmt: skip
_ROW, _TITLE, _AXIS, _PLOT, _GAP, _EDGE = 18, 20, 16, 330, 18, 8
_CHAR = 7.4  # no narrower than a bold letter of the sans-serif fonts in use at 12 px
_MOST = 64  # letters of a cell's name; a longer one is cut, and whole as the tooltip
_STYLE = (
    "text{font:12px sans-serif;fill:#222}.n{fill:#666}.b{font-weight:bold}"
    ".t{stroke:#444;stroke-dasharray:4 3}.w{fill:#f3f3f3}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A line of a panel; `word` says the verdict, or why there is none."""

    name: str
    result: ClaimResult | None
    flipped: bool
    word: str


def robustness_svg(robustness: Robustness) -> str:
    """The figure as SVG text; one panel for each claim, one row for each cell, and a legend."""
    panels = [(claim, _rows(claim)) for claim in robustness.claims]
    rows = [row for _, some in panels for row in some]
    left = _EDGE + 10 + _wide(_shown(row.name) for row in rows)
    noise = robustness.noise
    words = left + _PLOT + 10
    right = words + _wide(row.word for row in rows) + 10
    width = right + _wide(_numbers(row.result, noise) for row in rows) + _EDGE
    width = max(width, 2 * _EDGE + _wide(_title(claim) for claim in robustness.claims))
    name = robustness.base.path.replace("\\", "/").rpartition("/")[2]
    parts = [
        f'<text class="b" x="{_EDGE}" y="{_GAP}">{escape(f"Robustness of {name}")}</text>',
        *_legend(_GAP + _TITLE),
    ]
    top: float = _GAP + _TITLE + len(_LEGEND) * _ROW + _GAP
    for claim, some in panels:
        parts += _panel(claim, some, top, left)
        first = top + _TITLE + _AXIS + _ROW / 2 + 4
        for i, row in enumerate(some):
            y = first + _ROW * i
            parts += _words(row, words, y)
            parts += _text(_numbers(row.result, noise), right, y)
        top += _TITLE + _AXIS + _ROW * len(some) + _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{top:.0f}" '
        f'viewBox="0 0 {width:.0f} {top:.0f}">\n<style>{_STYLE}</style>\n'
        f'<rect width="{width:.0f}" height="{top:.0f}" fill="#fff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _wide(texts: Iterable[str]) -> float:
    return _CHAR * max(map(len, texts), default=0)


def _shown(name: str) -> str:
    return name if len(name) <= _MOST else f"{name[: _MOST - 1]}…"


def _rows(claim: ClaimRobustness) -> list[_Row]:
    worst = claim.worst if claim.flips else None
    rows = [_Row(name="as written", result=claim.own, flipped=False, word=claim.own.verdict.value)]
    for judged in claim.cells:
        flipped = claim.flipped(judged)
        if judged.result is None:
            word = "not judged" if judged.applies else "does not apply"
        else:
            word = judged.result.verdict.value + (", flipped" if flipped else "")
            word += ", worst" if judged is worst else ""
        rows.append(
            _Row(name=judged.cell.name, result=judged.result, flipped=flipped, word=word)
        )  # fmt: skip
    return rows


def _numbers(result: ClaimResult | None, noise: float) -> str:
    """The estimate, with its interval where there is one."""
    if result is None or result.estimate is None or not isfinite(result.estimate):
        return ""
    return " ".join(numbers(result, noise)).rstrip()


def _text(text: str, x: float, y: float, style: str = "") -> list[str]:
    return [f'<text x="{x:.0f}" y="{y:.0f}"{style}>{escape(text)}</text>'] if text else []


def _words(row: _Row, x: float, y: float) -> list[str]:
    if row.result is None:
        return _text(row.word, x, y, ' class="n"')
    bold = ' class="b"' if row.flipped else ""
    return _text(row.word, x, y, f'{bold} style="fill:{_COLOURS[row.result.verdict]}"')


def _title(claim: ClaimRobustness) -> str:
    return f"{claim.name}: {stated(claim.own)}"


_LEGEND = (
    (Verdict.SUPPORTED, "supported: the whole interval satisfies the claim"),
    (Verdict.REFUTED, "refuted: none of it does"),
    (Verdict.INCONCLUSIVE, "inconclusive: it straddles the threshold"),
    (None, "threshold; a cell in bold has another verdict than the file as written"),
)


def _legend(top: float) -> list[str]:
    parts = []
    for i, (verdict, text) in enumerate(_LEGEND):
        y = top + _ROW * i
        if verdict is None:
            parts.append(f'<line class="t" x1="{_EDGE + 12}" x2="{_EDGE + 12}" y1="{y - 7}" '
                         f'y2="{y + 9}"/>')  # fmt: skip
        else:
            colour = _COLOURS[verdict]
            parts.append(f'<line x1="{_EDGE}" x2="{_EDGE + 24}" y1="{y}" y2="{y}" '
                         f'stroke="{colour}" stroke-width="2"/>')  # fmt: skip
            parts.append(_shape(verdict, _EDGE + 12, y))
        parts.append(f'<text x="{_EDGE + 34}" y="{y + 4}">{escape(text)}</text>')
    return parts


def _panel(claim: ClaimRobustness, rows: Sequence[_Row], top: float, left: float) -> list[str]:
    own = claim.own
    fixed = _thresholds(own)
    low, high = _range(fixed, [row.result for row in rows])

    def x(value: float) -> float:
        return left + _PLOT * (value - low) / (high - low)

    head = top + _TITLE + _AXIS
    bottom = head + _ROW * len(rows)
    parts = [
        f'<text class="b" x="{_EDGE}" y="{top + 12}">{escape(_title(claim))}</text>',
        f'<text class="n" x="{left:.0f}" y="{head - 4}">{low:.3g}</text>',
        f'<text class="n" x="{left + _PLOT:.0f}" y="{head - 4}" text-anchor="end">{high:.3g}'
        "</text>",
        f'<rect class="w" x="{left:.0f}" y="{head}" width="{_PLOT}" height="{bottom - head}"/>',
    ]
    for value in fixed:
        at = f"{x(value):.1f}"
        parts.append(f'<line class="t" x1="{at}" x2="{at}" y1="{head}" y2="{bottom}"/>')
    for i, row in enumerate(rows):
        y = head + _ROW * i + _ROW / 2
        bold = ' class="b"' if row.flipped else ""
        whole = f"<title>{escape(row.name)}</title>" if _shown(row.name) != row.name else ""
        parts.append(
            f'<text{bold} x="{_EDGE}" y="{y + 4}">{whole}{escape(_shown(row.name))}</text>'
        )
        parts += _mark(row.result, x, y)
    return parts


def _thresholds(own: ClaimResult) -> list[float]:
    """Where a verdict turns: the threshold, or both ends of an equivalence margin."""
    if own.within is None:
        return [own.threshold]
    return [own.threshold - own.within, own.threshold + own.within]


def _mark(result: ClaimResult | None, place: Callable[[float], float], y: float) -> list[str]:
    if result is None or result.estimate is None or not isfinite(result.estimate):
        return []
    parts = []
    colour = _COLOURS[result.verdict]
    if result.interval is not None and all(isfinite(end) for end in result.interval):
        a, b = (place(end) for end in result.interval)
        parts.append(
            f'<line x1="{a:.1f}" x2="{b:.1f}" y1="{y}" y2="{y}" stroke="{colour}" '
            'stroke-width="2"/>'
        )
    return [*parts, _shape(result.verdict, place(result.estimate), y)]


def _shape(verdict: Verdict, at: float, y: float) -> str:
    colour = _COLOURS[verdict]
    if verdict is Verdict.SUPPORTED:
        return f'<circle cx="{at:.1f}" cy="{y}" r="4" fill="{colour}"/>'
    if verdict is Verdict.REFUTED:
        return f'<path d="M{at - 4:.1f} {y - 4}l8 8m0 -8l-8 8" stroke="{colour}" stroke-width="2"/>'
    return f'<circle cx="{at:.1f}" cy="{y}" r="4" fill="#fff" stroke="{colour}" stroke-width="2"/>'


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
