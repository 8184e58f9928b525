"""One claim as text: verdict, the numbers behind it, its terms, and the prompts against it.

refuted       sufficient  NOT as expected
              0.713  [0.661, 0.762]  wanted >= 0.8    n = 200, 95% confidence
              F(keep(nodes)) = 2.51 · F(reference) = 3.52 · F(keep(none)) = 0.041
"""

from __future__ import annotations

from collections.abc import Sequence

from pathdsl.report.content.claims import ClaimContent, PromptRow
from pathdsl.report.content.rows import WorstOf
from pathdsl.report.numbers import many
from pathdsl.report.text.style import TONES, View, clip, paragraph, table

__all__ = ["claim_block", "claim_line", "members_block"]

MEMBERS = 3
_COLUMN = 14
_INDENT = " " * (_COLUMN + 2)


def claim_line(claim: ClaimContent, view: View) -> str:
    """A claim on one line, for `--quiet`."""
    numbers = f"{_numbers(claim)} {claim.asked}"
    line = f"{_verdict(claim, view)}{claim.name}  {numbers}{_expected(claim, view)}"
    return f"{line}  {claim.other_norm}".rstrip()


def claim_block(claim: ClaimContent, view: View) -> str:
    """A claim with all that is behind it."""
    lines = [f"{_verdict(claim, view)}{view.heading(claim.name)}{_expected(claim, view)}"]
    if claim.text:
        lines.append(view.faint(paragraph(f"“{claim.text}”", view, _INDENT)))
    numbers = _numbers(claim)
    if len(_INDENT) + len(numbers) + 3 + len(claim.scope) <= view.width:
        lines.append(f"{_INDENT}{numbers}   {view.faint(claim.scope)}".rstrip())
    else:
        lines += [f"{_INDENT}{numbers}", view.faint(paragraph(claim.scope, view, _INDENT))]
    if claim.terms:
        terms = " · ".join(f"{text} = {value}" for text, value in claim.terms)
        lines.append(paragraph(terms, view, _INDENT, "  "))
    if claim.comparison and (claim.by_lets or not claim.terms):
        lines.append(paragraph(f"claimed: {claim.comparison}", view, _INDENT, "  "))
    brief = claim.as_expected and not view.everything
    if claim.members and (claim.decided or not brief):
        lines.append(members_block(claim, view, _INDENT, brief=brief))
    if claim.parts:
        lines += [f"{_INDENT}{claim.parts_title}:", *_parts(claim, view)]
    if claim.instead:
        lines.append(view.faint(paragraph(claim.instead, view, _INDENT, "  ")))
    lines += [view.faint(paragraph(note, view, _INDENT, "  ")) for note in claim.notes]
    if claim.other_norm:
        lines.append(paragraph(claim.other_norm, view, _INDENT, "  "))
    if claim.settle:
        lines.append(view.paint(_INDENT + claim.settle, "yellow"))
    if claim.spread and not brief:
        lines.append(paragraph(f"over prompts: {claim.spread}", view, _INDENT, "  "))
        if view.everything:
            lines += [
                view.faint(paragraph(f"{text}: {spread}", view, _INDENT, "  "))
                for text, spread in claim.spreads
            ]
    if claim.worst and not brief:
        lines.append(f"{_INDENT}prompts that speak most against it:")
        lines += _prompts(claim.worst, view)
    return "\n".join(lines)


def members_block(number: WorstOf, view: View, indent: str, *, brief: bool = False) -> str:
    """The worst of the members and its neighbours; the score is the value of the first one.

    `brief` names the worst alone.
    """
    members, title = number.members, f"{indent}{number.members_title}:"
    if brief or len(members) == 1:
        name = members[0].name
        shown = name if view.everything else clip(name, view.width - len(title) - 1)
        return f"{title} {shown}"
    kept = members if view.everything or len(members) <= MEMBERS + 1 else members[:MEMBERS]
    room = max(20, view.width - len(indent) - 34)
    names = [one.name if view.everything else clip(one.name, room) for one in kept]
    rows = [
        [f"{indent}  {name}", one.estimate, one.interval]
        for name, one in zip(names, kept, strict=True)
    ]
    lines = [title, *table(rows, right=(1,), width=view.width)]
    if len(kept) < len(members):
        lines.append(f"{indent}  … {len(members) - len(kept)} more; `--all` shows them")
    return "\n".join(lines)


def _verdict(claim: ClaimContent, view: View) -> str:
    return "  " + view.paint(f"{claim.verdict:<{_COLUMN}}", "bold", TONES[claim.tone])


def _expected(claim: ClaimContent, view: View) -> str:
    style = ("green",) if claim.as_expected else ("bold", "red")
    return "  " + view.paint(claim.expectation, *style) if claim.expectation else ""


def _numbers(claim: ClaimContent) -> str:
    parts = (claim.estimate, claim.interval, f"wanted {claim.wanted}")
    return "  ".join(part for part in parts if part)


def _prompt(row: PromptRow, room: int, view: View) -> str:
    """Its last words, which the model reads on; with `--all` the whole of it."""
    if view.everything:
        return " ".join(row.prompt.split())
    return clip(row.prompt, room, keep_end=True)


def _parts(claim: ClaimContent, view: View) -> list[str]:
    """The claim by the values of a label, in columns."""
    cells = [
        [f"{_INDENT}  {part.value}", part.estimate, part.interval, f"n = {part.n}", part.remark]
        for part in claim.parts
    ]
    return table(cells, right=(1,), width=view.width)


def _prompts(rows: Sequence[PromptRow], view: View) -> list[str]:
    kept = rows if view.everything else rows[:3]
    used = max(len(row.row_id) for row in kept) + max(len(row.value) for row in kept)
    room = max(16, view.width - used - len(_INDENT) - 6)
    cells = [
        [
            f"{_INDENT}  {row.row_id}",
            row.value,
            view.faint(_prompt(row, room, view)),
        ]
        for row in kept
    ]
    lines = table(cells, right=(1,))
    if len(kept) < len(rows):
        more = many(len(rows) - len(kept), "more prompt")
        lines.append(view.faint(f"{_INDENT}  … {more}; `--all` shows them"))
    return lines
