"""The outcome of `check` as a fragment of HTML, for the cells of notebooks.

A title, the faults, a table of claims and one of quantities, the numbers as the text report writes
them. Verdicts are words; their colour only repeats them. All text of the file is escaped, and the
fragment loads nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape as escape_html

from pathdsl.checking.outcome import FileOutcome
from pathdsl.lang.render import render
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.lang.visible import visible
from pathdsl.report.numbers import many
from pathdsl.report.text.check import summary_line, view_of
from pathdsl.report.text.style import View
from pathdsl.score.results import ClaimResult, QuantityResult, Verdict

__all__ = ["notebook"]

MOST = 20
_GOOD, _BAD, _OPEN = "#1a7f37", "#cf222e", "#9a6700"
_LEFT, _RIGHT = (f"text-align:{side};padding:1px 8px" for side in ("left", "right"))


def notebook(
    outcome: FileOutcome, sources: Mapping[str, SourceFile], replaced: Mapping[str, str]
) -> str:
    """One `<div>`; `replaced` is what was set in place of what the file says."""
    view = view_of(outcome, View())
    program, judgement = outcome.program, outcome.judgement
    title = outcome.path
    if program is not None and program.circuit is not None:
        title = program.circuit.name.name
        if program.circuit.title:
            title += f": {program.circuit.title}"
    parts = [f"<p><b>{escape(title)}</b><br>{escape(_scope(outcome, replaced))}</p>"]
    if outcome.diagnostics:
        shown = render(outcome.diagnostics, sources, style="concise", colour=False).rstrip()
        parts.append(f"<pre>{escape(shown)}</pre>")
    if judgement is not None and judgement.claims:
        titles = ("verdict", "claim", "estimate", "interval", "wanted", "n")
        parts.append(_table(titles, [_claim(c, view) for c in judgement.claims]))
    if judgement is not None and judgement.quantities:
        kept: Sequence[QuantityResult] = judgement.quantities[:MOST]
        titles = ("quantity", "unit", "estimate", "interval", "n")
        parts.append(_table(titles, [_quantity(q, view) for q in kept]))
        if len(judgement.quantities) > MOST:
            more = many(len(judgement.quantities) - MOST, "more quantity", "more quantities")
            parts.append(f"<p>… {more}; <code>to_frame(&quot;quantities&quot;)</code> has all</p>")
    parts.append(f"<p>{escape(summary_line(outcome, view))}</p>")
    return "<div>\n" + "\n".join(parts) + "\n</div>"


def _scope(outcome: FileOutcome, replaced: Mapping[str, str]) -> str:
    parts = [outcome.path]
    if "model" in outcome.methodology:
        parts.append(f"model {outcome.methodology['model']}")
    if replaced:
        told = ", ".join(f"{name} = {value}" for name, value in replaced.items())
        parts.append(f"not the published scope: {told}")
    return " · ".join(parts)


def _claim(claim: ClaimResult, view: View) -> list[str]:
    word = claim.verdict.value
    if not claim.as_expected:
        word += " NOT as expected"
    elif claim.verdict is not Verdict.SUPPORTED:
        word += " as expected"
    colour = _GOOD if claim.as_expected else _BAD
    if claim.verdict is Verdict.INCONCLUSIVE:
        colour = _OPEN
    within = f" within {claim.within:g}" if claim.within is not None else ""
    return [
        f'<b style="color:{colour}">{escape(word)}</b>',
        escape(claim.name),
        *_numbers(claim, view),
        escape(f"{claim.relation} {claim.threshold:g}{within}"),
        f"{claim.n:,}" if claim.n else "",
    ]


def _quantity(quantity: QuantityResult, view: View) -> list[str]:
    numbers = _numbers(quantity, view)
    return [
        escape(quantity.name),
        escape("" if quantity.unit == "none" else quantity.unit),
        *numbers,
        f"{quantity.n:,}" if quantity.n else "",
    ]


def _numbers(result: ClaimResult | QuantityResult, view: View) -> list[str]:
    return [
        escape(view.number(result.estimate, result.interval)),
        escape(view.interval(result.interval, result.estimate)),
    ]


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows whose cells are HTML already; numbers are flush right."""
    styles = [_RIGHT if title in ("estimate", "n") else _LEFT for title in titles]
    head = "".join(f'<th style="{s}">{t}</th>' for s, t in zip(styles, titles, strict=True))
    lines = [f"<tr>{head}</tr>"]
    for row in rows:
        cells = "".join(f'<td style="{s}">{c}</td>' for s, c in zip(styles, row, strict=True))
        lines.append(f"<tr>{cells}</tr>")
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def escape(text: str) -> str:
    """A text for HTML, as it is shown."""
    return escape_html(visible(text))
