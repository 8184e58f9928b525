"""A file over the revisions of a model as a figure and as a page: every let and claim by step.

Plain SVG without a library, readable on white and on paper. Steps are drawn where they lie, or by
their logarithms where most are early ones; an
estimate is a dot with its interval, the threshold a dashed line, the range in which an emergence
lies is shaded, and a revision that was not judged is a cross on the axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from math import ceil, floor, isfinite, log1p

from pathdsl.checking.training.series import Series
from pathdsl.lang.visible import visible
from pathdsl.report.figures.curve import grid_step
from pathdsl.report.numbers import pair, shown, wanted_text
from pathdsl.report.text.training import SIGNS, AnyResult, emergence_text, misshapen_text
from pathdsl.score.results import ClaimResult, Verdict

__all__ = ["training_html", "training_svg"]

_COLOURS = {
    Verdict.SUPPORTED: "#1b7837", Verdict.REFUTED: "#b2182b", Verdict.INCONCLUSIVE: "#8a6400",
    Verdict.UNDEFINED: "#762a83", None: "#2166ac",
}  # fmt: skip
_WIDE, _TALL, _LEFT, _RIGHT, _HEAD, _FOOT = 760.0, 190.0, 62.0, 16.0, 24.0, 34.0
_STYLE = (
    "text{font:12px sans-serif;fill:#222}.n{fill:#666}.b{font-weight:bold}"
    ".t{stroke:#444;stroke-dasharray:4 3}.g{stroke:#ddd}.e{fill:#fee8c8}.l{fill:none;stroke:#888}"
)
_MOST_TICKS = 10


def _panels(
    series: Series,
) -> list[tuple[str, list[AnyResult | None], list[float], tuple[int | None, int | None] | None]]:
    """Title, results by step, thresholds, and the range of an emergence, of each panel."""
    found: list[
        tuple[str, list[AnyResult | None], list[float], tuple[int | None, int | None] | None]
    ] = []
    for track in series.quantities:
        found.append((track.name, [*track.results], [], None))
    for track in series.claims:
        first = track.first
        assert isinstance(first, ClaimResult)
        text = wanted_text(first.relation, first.threshold, first.within)
        found.append((f"{track.name}: wanted {text}", [*track.results], [first.threshold], None))
    for one in series.emergences:
        text = wanted_text(one.condition, one.threshold, None)
        title = (
            f"{one.name}: {text} emerges {emergence_text(one)}; wanted {one.relation} "
            f"{one.step:.15g}: {one.verdict.value}"
        )
        found.append((title, [*one.steps], [one.threshold], (one.lower, one.upper)))
    return found


def training_svg(series: Series) -> str:
    """The figure as SVG text, a panel below the other."""
    panels = _panels(series)
    tall = max(_TALL, _TALL * len(panels))
    parts = []
    for i, (title, results, bounds, emergence) in enumerate(panels):
        parts += _panel(series, title, results, bounds, emergence, i * _TALL)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDE:.0f}" height="{tall:.0f}" '
        f'viewBox="0 0 {_WIDE:.0f} {tall:.0f}">\n<style>{_STYLE}</style>\n'
        f'<rect width="{_WIDE:.0f}" height="{tall:.0f}" fill="#fff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _panel(
    series: Series,
    title: str,
    results: Sequence[AnyResult | None],
    bounds: Sequence[float],
    emergence: tuple[int | None, int | None] | None,
    top: float,
) -> list[str]:
    steps = series.varied.steps
    values = [*bounds]
    for result in results:
        if result is not None:
            ends = [result.estimate, *(result.interval or ())]
            values += [x for x in ends if x is not None and isfinite(x)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = (high - low) * 0.06 or abs(high) * 0.06 or 1.0
    low, high = low - margin, high + margin
    head, bottom = top + _HEAD, top + _TALL - _FOOT

    place = _scale(steps)

    def x(step: float) -> float:
        first, last = place(steps[0]), place(steps[-1])
        return _LEFT + (_WIDE - _LEFT - _RIGHT) * (place(step) - first) / (last - first)

    def y(value: float) -> float:
        return head + (bottom - head) * (high - value) / (high - low)

    shown_title = visible(title)
    cut = shown_title if len(shown_title) <= 110 else shown_title[:109] + "…"
    parts = [
        f'<text class="b" x="8" y="{top + 15:.0f}"><title>{escape(shown_title)}</title>'
        f"{escape(cut)}</text>"
    ]
    if emergence is not None and emergence[0] is not None:
        until = emergence[1] if emergence[1] is not None else steps[-1]
        wide = max(2.0, x(until) - x(emergence[0]))
        parts.append(
            f'<rect class="e" x="{x(emergence[0]) - 1:.1f}" y="{head:.1f}" width="{wide:.1f}" '
            f'height="{bottom - head:.1f}"/>'
        )
    apart = grid_step(2 * (high - low))
    for i in range(ceil(low / apart), floor(high / apart) + 1):
        value = i * apart
        parts.append(
            f'<line class="g" x1="{_LEFT:.0f}" x2="{_WIDE - _RIGHT:.0f}" y1="{y(value):.1f}" '
            f'y2="{y(value):.1f}"/><text class="n" x="{_LEFT - 6:.0f}" y="{y(value) + 4:.1f}" '
            f'text-anchor="end">{value:.3g}</text>'
        )
    for bound in bounds:
        parts.append(
            f'<line class="t" x1="{_LEFT:.0f}" x2="{_WIDE - _RIGHT:.0f}" y1="{y(bound):.1f}" '
            f'y2="{y(bound):.1f}"/>'
        )
    last = -1e9
    for step in steps:
        if x(step) - last > (_WIDE - _LEFT - _RIGHT) / _MOST_TICKS or step == steps[0]:
            last = x(step)
            parts.append(
                f'<text class="n" x="{last:.1f}" y="{bottom + 16:.0f}" text-anchor="middle">{step}'
                "</text>"
            )
    dots = [
        (x(step), y(result.estimate))
        for step, result in zip(steps, results, strict=True)
        if result is not None and result.estimate is not None and isfinite(result.estimate)
    ]
    if len(dots) > 1:
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in dots)
        parts.append(f'<polyline class="l" points="{line}"/>')
    for step, result in zip(steps, results, strict=True):
        parts += _mark(series, step, result, x(step), y, bottom)
    return parts


def _scale(steps: Sequence[int]) -> Callable[[float], float]:
    """Steps as they are, or their logarithms where most would lie in the first tenth."""
    middle = steps[len(steps) // 2] - steps[0]
    return log1p if middle < 0.1 * (steps[-1] - steps[0]) else float


def _mark(
    series: Series,
    step: int,
    result: AnyResult | None,
    at: float,
    place: Callable[[float], float],
    bottom: float,
) -> list[str]:
    verdict: Verdict | None = getattr(result, "verdict", None)
    value = None if result is None else result.estimate
    if result is None or value is None or not isfinite(value):
        word = "not judged" if verdict is None else "undefined"
        return [
            f'<g><title>step {step}: {word}</title><path d="M{at - 4:.1f} {bottom - 4:.1f}l8 8m0 -8'
            'l-8 8" stroke="#666" stroke-width="1.5"/></g>'
        ]
    colour = _COLOURS[verdict]
    told = f"step {step}: {shown(value, result.interval, series.noise)}"
    told += f" {pair(result.interval, value, series.noise)}".rstrip()
    told += f", {verdict.value}" if verdict is not None else ""
    parts = [f"<g><title>{escape(told)}</title>"]
    if result.interval is not None:
        a, b = (place(end) for end in result.interval)
        parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{a:.1f}" y2="{b:.1f}" stroke="{colour}" '
            'stroke-width="2"/>'
        )
    fill = "#fff" if verdict in (Verdict.INCONCLUSIVE, Verdict.REFUTED) else colour
    parts.append(
        f'<circle cx="{at:.1f}" cy="{place(value):.1f}" r="3.5" fill="{fill}" stroke="{colour}" '
        'stroke-width="1.5"/></g>'
    )
    return ["".join(parts)]


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>body{{font:15px/1.45 sans-serif;margin:2em auto;max-width:60em;color:#222}}
table{{border-collapse:collapse}}td,th{{padding:.15em .5em;border-bottom:1px solid #ddd;
text-align:center}}td:first-child,th:first-child{{text-align:left}}.s{{overflow-x:auto}}
.f{{color:#666}}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""


def training_html(series: Series) -> str:
    """The page: what was judged, the claims by step as one table, what emerges when, the figure."""
    circuit = series.program.circuit
    title = circuit.title or circuit.name.name if circuit is not None else series.path
    steps = series.varied.steps
    first, last = series.steps[0].revision, series.steps[-1].revision
    body = [
        f"<p>Model <b>{escape(series.varied.model)}</b> at {len(steps)} revisions, "
        f"{escape(visible(first.name))} (step {first.step}) to {escape(visible(last.name))} (step "
        f"{last.step}).</p>"
    ]
    for at in series.steps:
        if not at.judged:
            body.append(
                f"<p><b>Not judged:</b> {escape(visible(at.revision.name))} (step "
                f"{at.revision.step}): {escape(visible(at.why))}</p>"
            )
    for some in series.alike:
        told = ", ".join(f"{at.revision.name} (step {at.revision.step})" for at in some)
        body.append(f"<p><b>The same weights:</b> {escape(visible(told))}</p>")
    if text := misshapen_text(series):
        body.append(f"<p><b>{escape(visible(text))}</b></p>")
    rows: list[tuple[str, Sequence[AnyResult | None]]] = [
        *((track.name, track.results) for track in (*series.quantities, *series.claims)),
        *((one.name, one.steps) for one in series.emergences),
    ]
    cells = "".join(f"<th>{step}</th>" for step in steps)
    body.append(f'<div class="s"><table><tr><th>step</th>{cells}</tr>')
    for name, results in rows:
        body.append(f"<tr><td>{escape(visible(name))}</td>{_cells(series, results)}</tr>")
    body.append(
        '</table></div><p class="f">+ supported, - refuted, ? inconclusive, u undefined, x not '
        "judged</p>"
    )
    for one in series.emergences:
        text = wanted_text(one.condition, one.threshold, None)
        notes = "".join(f"; {escape(visible(note))}" for note in one.notes)
        body.append(
            f"<p><b>{escape(visible(one.name))}</b>: {escape(one.verdict.value)}. {escape(text)} "
            f"emerges {escape(emergence_text(one))}; wanted {escape(one.relation)} "
            f"{one.step:.15g}{notes}.</p>"
        )
    for found in series.diagnostics:
        body.append(f'<p class="f">[{found.code}] {escape(visible(found.message))}</p>')
    body.append(training_svg(series))
    return _PAGE.format(title=escape(visible(title)), body="\n".join(body))


def _cells(series: Series, results: Sequence[AnyResult | None]) -> str:
    found = []
    for result in results:
        if result is None:
            found.append("<td>x</td>")
            continue
        verdict = getattr(result, "verdict", None)
        sign = SIGNS[verdict] + " " if hasattr(result, "verdict") else ""
        number = shown(result.estimate, result.interval, series.noise)
        if result.estimate is None:
            number = "" if verdict is None else "undefined"
        ends = escape(pair(result.interval, result.estimate or 0.0, series.noise))
        found.append(f'<td title="{ends}">{sign}{number}</td>')
    return "".join(found)
