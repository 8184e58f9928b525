"""One claim as text: verdict, the numbers behind it, its terms, and the prompts against it.

refuted       sufficient  NOT as expected
              0.713  [0.661, 0.762]  wanted >= 0.8    n = 200, 95% confidence
              F(keep(nodes)) = 2.51 · F(reference) = 3.52 · F(keep(none)) = 0.041
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from pathdsl.plan.taskdata import TaskData
from pathdsl.report.numbers import apart, many, nothing_to_treat, p_text, spread_words
from pathdsl.report.text.members import members_block
from pathdsl.report.text.style import View, clip, paragraph, table
from pathdsl.score.results import ClaimResult, Spread, TellingRow, Verdict

__all__ = ["claim_block", "claim_line", "spread_text"]

_COLUMN = 14
_INDENT = " " * (_COLUMN + 2)
_COLOURS = {True: "green", False: "red"}


def claim_line(claim: ClaimResult, view: View) -> str:
    """A claim on one line, for `--quiet`."""
    line = f"{_verdict(claim, view)}{claim.name}  {_numbers(claim, view)}{_expected(claim, view)}"
    return f"{line}  {_other_norm(claim, view)}".rstrip()


def claim_block(claim: ClaimResult, tasks: Mapping[str, TaskData], view: View) -> str:
    """A claim with all that is behind it."""
    lines = [f"{_verdict(claim, view)}{view.heading(claim.name)}{_expected(claim, view)}"]
    if claim.text:
        lines.append(view.faint(paragraph(f"“{claim.text}”", view, _INDENT)))
    numbers, scope = _numbers(claim, view), _scope(claim)
    if len(_INDENT) + len(numbers) + 3 + len(scope) <= view.width:
        lines.append(f"{_INDENT}{numbers}   {view.faint(scope)}".rstrip())
    else:
        lines += [f"{_INDENT}{numbers}", view.faint(paragraph(scope, view, _INDENT))]
    if claim.terms:
        terms = " · ".join(f"{t.text} = {view.number(t.value)}" for t in claim.terms)
        lines.append(paragraph(terms, view, _INDENT, "  "))
    if claim.members:
        brief = claim.as_expected and not view.everything
        lines.append(members_block(claim.members, claim.estimate, view, _INDENT, brief=brief))
    lines += _parts(claim, view)
    lines += [view.faint(paragraph(note, view, _INDENT, "  ")) for note in claim.notes]
    if other := _other_norm(claim, view):
        lines.append(paragraph(other, view, _INDENT, "  "))
    if claim.settle_n is not None:
        lines.append(
            view.paint(f"{_INDENT}about {claim.settle_n:,} prompts would settle it", "yellow")
        )
    if claim.prompts is not None and (view.everything or not claim.as_expected):
        lines += _spreads(claim, view)
    if claim.worst and (view.everything or not claim.as_expected):
        lines.append(f"{_INDENT}prompts that speak most against it:")
        lines += _prompts(claim.worst, tasks, view)
    return "\n".join(lines)


def _verdict(claim: ClaimResult, view: View) -> str:
    colour = "yellow" if claim.verdict is Verdict.INCONCLUSIVE else _COLOURS[claim.as_expected]
    return "  " + view.paint(f"{claim.verdict.value:<{_COLUMN}}", "bold", colour)


def _expected(claim: ClaimResult, view: View) -> str:
    if not claim.as_expected:
        wanted = "" if claim.expected is Verdict.SUPPORTED else f" ({claim.expected.value})"
        return "  " + view.paint(f"NOT as expected{wanted}", "bold", "red")
    return "" if claim.verdict is Verdict.SUPPORTED else "  " + view.paint("as expected", "green")


def _numbers(claim: ClaimResult, view: View) -> str:
    within = f" within {claim.within:g}" if claim.within is not None else ""
    d = claim.within or 0.0
    bounds = (claim.threshold - d, claim.threshold + d) if d else (claim.threshold,)
    known = claim.estimate is not None and isfinite(claim.estimate)
    places = (
        apart(claim.estimate or 0.0, claim.interval, bounds, view.noise * 100) if known else None
    )
    found = [
        view.number(claim.estimate, claim.interval, places),
        view.interval(claim.interval, claim.estimate, places),
    ]
    wanted = f"wanted {claim.relation} {claim.threshold:g}{within}"
    return "  ".join(part for part in (*found, wanted) if part)


def _other_norm(claim: ClaimResult, view: View) -> str:
    """The verdict of the other norm mode with its numbers, where it is another one."""
    other = claim.other_norm
    if other is None or not claim.changes_with_norm:
        return ""
    numbers = view.number(other.estimate, other.interval)
    interval = view.interval(other.interval, other.estimate)
    told = "  ".join(part for part in (numbers, interval) if part)
    return f"layernorm {other.layernorm}: {other.verdict.value}, {told}".rstrip(", ")


def _scope(claim: ClaimResult) -> str:
    parts = [f"n = {claim.n:,}"] if claim.n else []
    if claim.unchanged:
        parts.append(nothing_to_treat(claim.unchanged))
    if claim.confidence is None:
        parts.append("no confidence asked: the estimate decides")
    else:
        parts.append(f"{claim.confidence * 100:g}% confidence")
        if claim.level is not None and abs(claim.level - claim.confidence) > 1e-12:
            parts.append(f"{claim.level * 100:.4g}% after correction")
    if claim.p_value is not None:
        parts.append(p_text(claim.p_value))
    return ", ".join(parts)


def _parts(claim: ClaimResult, view: View) -> list[str]:
    """The claim by the values of a label, in columns."""
    if not claim.parts:
        return []
    cells = [
        [
            f"{_INDENT}  {part.value}",
            view.number(part.estimate, part.interval),
            view.interval(part.interval, part.estimate),
            f"n = {part.n:,}",
            "" if part.satisfied or part.satisfied is None else "does not satisfy it",
        ]
        for part in claim.parts
    ]
    return [f"{_INDENT}by {claim.parts[0].field}:", *table(cells, right=(1,))]


def _spreads(claim: ClaimResult, view: View) -> list[str]:
    """How the claim is spread over prompts; with `--all` each of its averages, too."""
    spread = claim.prompts
    assert spread is not None
    told = f"over prompts: {spread_text(spread, view)}"
    if spread.satisfied is not None:
        told += f"; {spread.satisfied:,} of {spread.n:,} satisfy it"
    lines = [paragraph(told, view, _INDENT, "  ")]
    if view.everything and len(claim.terms) > 1:
        lines += [
            view.faint(paragraph(f"{t.text}: {spread_text(t.prompts, view)}", view, _INDENT, "  "))
            for t in claim.terms
            if t.prompts is not None
        ]
    return lines


def spread_text(spread: Spread, view: View) -> str:
    """`-0.31 to 2.04, quartiles 0.52, 0.91, 1.20`, in the digits that their range is worth."""
    return spread_words(spread.least, spread.quartiles, spread.most, view.noise)


def _prompts(rows: tuple[TellingRow, ...], tasks: Mapping[str, TaskData], view: View) -> list[str]:
    kept = rows if view.everything else rows[:3]
    cells = []
    for row in kept:
        cells.append(
            [f"{_INDENT}  {row.row_id}", view.number(row.value), _prompt(tasks.get(row.task), row)]
        )
    used = max(len(c[0]) for c in cells) + max(len(c[1]) for c in cells) + 4
    room = max(16, view.width - used)
    for cell in cells:
        cell[2] = view.faint(clip(cell[2], room, keep_end=True))
    lines = table(cells, right=(1,))
    if len(kept) < len(rows):
        more = many(len(rows) - len(kept), "more prompt")
        lines.append(view.faint(f"{_INDENT}  … {more}; `--all` shows them"))
    return lines


def _prompt(task: TaskData | None, row: TellingRow) -> str:
    """The reference prompt as text; tokens that carry their own blanks are joined as they are."""
    if task is None or row.index >= len(task.tokens):
        return ""
    tokens = task.tokens[row.index]
    spaced = any(token.startswith(" ") for token in tokens)
    return ("" if spaced else " ").join(tokens)
