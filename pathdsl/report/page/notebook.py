"""The outcome of `check` as a fragment of HTML, for the cells of notebooks.

A title, the faults, a table of claims and one of quantities, the numbers as the text report writes
them, and the pictures of sweeps. Verdicts are words; their colour only repeats them. All text of
the file is escaped, and the fragment loads nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from html import escape as escape_html
from itertools import islice

from pathdsl.checking.outcome import FileOutcome
from pathdsl.lang.render import render
from pathdsl.lang.visible import visible
from pathdsl.report.content.claims import ClaimContent
from pathdsl.report.content.file import content_of
from pathdsl.report.content.quantities import families
from pathdsl.report.content.rows import Object
from pathdsl.report.figures.grid import Picture, picture_of
from pathdsl.report.figures.svg import picture_svg
from pathdsl.report.numbers import many
from pathdsl.report.text.check import summary_line
from pathdsl.report.text.style import View

__all__ = ["family_table", "notebook"]

MOST = 20
MOST_PICTURES = 4
COLOURS = {"good": "#1a7f37", "bad": "#cf222e", "open": "#9a6700"}
_LEFT, _RIGHT = (f"text-align:{side};padding:1px 8px" for side in ("left", "right"))


def notebook(outcome: FileOutcome) -> str:
    """One `<div>`."""
    content = content_of(outcome)
    scope = [content.path, *content.scope]
    if content.replaced:
        scope.append(f"not the published scope: {content.replaced}")
    title = escape(content.heading or content.path)
    parts = [f"<p><b>{title}</b><br>{escape(' · '.join(scope))}</p>"]
    if outcome.diagnostics:
        faults = render(outcome.diagnostics, outcome.sources, style="concise", colour=False)
        parts.append(f"<pre>{escape(faults.rstrip())}</pre>")
    if content.claims:
        titles = ["verdict", "claim", "estimate", "interval", "wanted", "confidence", "n"]
        parts.append(_table(titles, [_claim(claim) for claim in content.claims]))
    if content.path_sets:
        sets = (
            [one.title, one.nodes or "not counted", one.edges, one.claims, one.definition]
            for one in content.path_sets
        )
        rows = [[escape(cell) for cell in row] for row in sets]
        parts.append(_table(["path set", "nodes", "edges", "claims", "defined as"], rows))
    if content.quantities:
        quantities = (
            [family.full_name(row), row.unit, row.estimate, row.interval, row.n]
            for family in content.quantities
            for row in family.rows
        )
        rows = [[escape(cell) for cell in row] for row in islice(quantities, MOST)]
        parts.append(_table(["quantity", "unit", "estimate", "interval", "n"], rows))
        left = sum(1 for _ in quantities)
        if left:
            more = many(left, "more quantity", "more quantities")
            parts.append(f"<p>… {more}; <code>to_frame(&quot;quantities&quot;)</code> has all</p>")
    for picture in content.pictures[:MOST_PICTURES]:
        parts.append(_drawn(picture))
    if more_pictures := content.pictures[MOST_PICTURES:]:
        names = ", ".join(f"<code>{escape(one.name)}</code>" for one in more_pictures)
        parts.append(f"<p>more pictures, each by its name: {names}</p>")
    weights = dict(content.method).get("weights")
    for text in (f"weights: {weights}" if weights else "", content.other_weights):
        parts += [f"<p>{escape(text)}</p>"] if text else []
    parts.append(f"<p>{escape(summary_line(outcome, View()))}</p>")
    return "<div>\n" + "\n".join(parts) + "\n</div>"


def family_table(name: str, members: Sequence[Object], noise: float) -> str:
    """The picture of one family and a table of its members, the largest first; one `<div>`."""
    (family,) = families(members, {}, noise)
    picture = picture_of(members, noise)
    parts = [_drawn(picture)] if picture is not None else [f"<p><b>{escape(name)}</b></p>"]
    rows = [
        [escape(cell) for cell in (family.full_name(row), row.unit, row.estimate, row.interval)]
        + [escape(row.n)]
        for row in family.rows
    ]
    table = _table(["member", "unit", "estimate", "interval", "n"], rows)
    title = f"{many(len(rows), 'member')}, largest first"
    parts.append(f"<details><summary>{title}</summary>\n{table}\n</details>")
    return "<div>\n" + "\n".join(parts) + "\n</div>"


def _drawn(picture: Picture) -> str:
    """A picture below its caption; its identifiers are those of what it shows."""
    digest = sha256(repr(picture).encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return f"<p><b>{escape(picture.caption)}</b></p>\n{picture_svg(picture, f'sweep-{digest}')}"


def _claim(claim: ClaimContent) -> list[str]:
    cells = (claim.name, claim.estimate, claim.interval, claim.wanted, claim.confidence or "none")
    return [
        f'<b style="color:{COLOURS[claim.tone]}">{escape(claim.came_out)}</b>',
        *map(escape, cells),
        claim.n_text,
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
