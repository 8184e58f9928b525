"""The outcome of `check` for people: what was measured, what was claimed, what came of it.

A pure function of the outcome. Verdicts come first in every claim, numbers carry as many digits as
their interval is worth, and what a reader needs only when something went wrong (the prompts that
speak most against a claim) is shown only then; `--all` shows everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pathdsl.checking.lock.drift import Comparison
from pathdsl.checking.outcome import FileOutcome
from pathdsl.errors import ExitCode
from pathdsl.lang.render import render
from pathdsl.lang.visible import visible
from pathdsl.report.content.claims import counted
from pathdsl.report.content.file import FileContent, content_of, judged, no_claims
from pathdsl.report.content.rows import Object
from pathdsl.report.data.families import families_of, family_text, forms_of
from pathdsl.report.data.lock import summary
from pathdsl.report.formats import Document, Settings
from pathdsl.report.numbers import many
from pathdsl.report.text.claims import claim_block, claim_line
from pathdsl.report.text.curves import curves_block
from pathdsl.report.text.path_sets import path_sets_block
from pathdsl.report.text.quantities import quantities_block
from pathdsl.report.text.style import TONES, View, fit, paragraph, table
from pathdsl.score.results import ClaimResult

__all__ = ["CheckText", "closing", "comparison_line", "report", "summary_line", "verdicts"]

SHORT = 44
SAID_ABOVE = ("model", "models", "not the published scope", "only")
"""What the methodology says and the head of the report, too."""


class CheckText(Document):
    """The reports of several files, one below the other."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._codes: list[ExitCode] = []
        self._files: list[Object] = []

    def checked(self, outcome: FileOutcome) -> str:
        """The report of one file."""
        apart = "\n\n" if self._codes else ""
        self._codes.append(outcome.exit_code)
        forms = forms_of(outcome)
        results = outcome.judgement.claims if outcome.judgement is not None else ()
        claims = [{"name": claim.name, "about": forms.get(claim.name)} for claim in results]
        self._files.append({"path": outcome.path, "claims": claims})
        text = report(outcome, self.settings.view)
        return apart + text + comparison_line(outcome.comparison, self.settings.view)

    def end(self, code: ExitCode) -> str:
        """How many files came out how, where there were several, and claims that they share."""
        view = self.settings.view
        families = [
            paragraph(family_text(one), view, "", "  ") + "\n" for one in families_of(self._files)
        ]
        return visible(fit(closing(self._codes, view), view) + "".join(families))


def report(outcome: FileOutcome, view: View) -> str:
    """The report of one file; ends in a line break."""
    content = content_of(outcome)
    parts = [_header(outcome, content, view)]
    faults = ""
    if outcome.diagnostics:
        style: Literal["full", "concise"] = "concise" if view.concise else "full"
        faults = render(outcome.diagnostics, outcome.sources, style=style, colour=view.colour)
        parts.append(faults := faults.rstrip())
    if content.path_sets and not view.quiet:
        parts.append(path_sets_block(content, view))
    if content.quantities and not (view.quiet and content.claims):
        parts.append(quantities_block(content.quantities, view))
    if content.curves and not view.quiet:
        parts.append(curves_block(content.curves, view))
    if content.claims and view.quiet:
        parts.append("\n".join(claim_line(claim, view) for claim in content.claims))
    elif content.claims:
        blocks = [claim_block(claim, view) for claim in content.claims]
        parts.append(view.heading("Claims") + "\n" + "\n\n".join(blocks))
    if content.norms:
        parts.append(paragraph(content.norms, view, "  " * (not view.quiet), "  "))
    if outcome.judgement is not None and not view.quiet:
        parts += [part for part in (_checks(content, view), _method(content, view)) if part]
    parts.append(summary_line(outcome, view))
    # Faults keep the lines of the file that they show.
    fitted = [part if part is faults else fit(part, view) for part in parts]
    return visible("\n\n".join(fitted) + "\n")


def closing(codes: Sequence[ExitCode], view: View) -> str:
    """The last line where there were several files."""
    if len(codes) < 2:
        return ""
    words = {
        ExitCode.AS_EXPECTED: "as expected",
        ExitCode.NOT_AS_EXPECTED: "not as expected",
        ExitCode.WRONG_INPUT: "with faults",
        ExitCode.MACHINE_FAILED: "failed",
        ExitCode.NOTHING_TO_CHECK: "with nothing to check",
    }
    counts = Counter(codes)
    parts = [f"{counts[code]} {word}" for code, word in words.items() if counts[code]]
    return view.heading(f"\n{many(len(codes), 'file')}: {', '.join(parts)}") + "\n"


def comparison_line(comparison: Comparison | None, view: View) -> str:
    """`lock: 36 numbers as locked, bit for bit`, ending in a line break; "" without a lock."""
    if comparison is None:
        return ""
    text = f"lock: {summary(comparison)}"
    return view.paint(fit(text, view), "red" if comparison.drifted else "green") + "\n"


def _header(outcome: FileOutcome, content: FileContent, view: View) -> str:
    program = outcome.program
    lines = [view.heading(content.path)]
    if content.circuit:
        lines.append(f"  {content.heading}")
    elif program is not None and program.is_library and program.file.statements:
        lines.append("  a library, only linted: no circuit, model or claim of its own")
    if outcome.judgement is not None:
        lines.append("  " + " · ".join(content.scope))
        if content.replaced:
            text = f"not the published scope: {content.replaced} set on the command line"
            lines.append(view.paint(paragraph(text, view, "  ", "  "), "yellow"))
    return "\n".join(lines)


def _checks(content: FileContent, view: View) -> str:
    """Self-checks, one line per kind with the largest error over tasks and plans."""
    if not content.checks:
        return ""
    rows = [[f"  {c.name}", c.error, f"allowed {c.allowed}", c.mark] for c in content.checks]
    return "\n".join([view.heading("Self-checks"), *table(rows, right=(1,))])


def _method(content: FileContent, view: View) -> str:
    lines = []
    if content.method:
        lines.append(view.heading("Method"))
        method = [f"{name}: {text}" for name, text in content.method if name not in SAID_ABOVE]
        short = [line for line in method if len(line) <= SHORT + 2]
        # Blanks inside of an entry do not break.
        together = " · ".join(line.replace(" ", "\0") for line in short)
        lines.append(paragraph(together, view, "  ", "  ").replace("\0", " "))
        lines += [paragraph(line, view, "  ", "  ") for line in method if line not in short]
    if content.metrics_line:
        lines.append(paragraph(f"metrics: {content.metrics_line}", view, "  ", "  "))
    if content.cost:
        lines.append(f"  cost: {content.cost}")
    if content.store:
        lines.append(paragraph(f"store: {content.store}", view, "  ", "  "))
    if content.other_weights:
        lines.append(view.paint(paragraph(content.other_weights, view, "  ", "  "), "yellow"))
    if content.noise:
        lines.append(f"  0: {content.noise}")
    return "\n".join(lines)


def summary_line(outcome: FileOutcome, view: View) -> str:
    """The last line of one file: its verdicts, or why there are none."""
    match outcome.exit_code:
        case ExitCode.WRONG_INPUT:
            return view.paint("the file was not checked: its faults are above", "bold", "red")
        case ExitCode.MACHINE_FAILED:
            return view.paint("the check could not be finished", "bold", "red")
    claims = outcome.judgement.claims if outcome.judgement is not None else ()
    declared = outcome.declared_claims
    if not claims:
        quantities = outcome.judgement.quantities if outcome.judgement is not None else ()
        return view.heading(no_claims(len(quantities), declared))
    return verdicts(claims, view, declared)


def verdicts(claims: Sequence[ClaimResult], view: View, declared: int = 0) -> str:
    """`4 claims: 3 supported, 1 refuted as expected`; `declared` is how many the file makes."""
    counts = counted((claim.verdict.value, claim.as_expected) for claim in claims)
    parts = [view.paint(text, TONES[tone]) for tone, text in counts]
    return view.heading(f"{judged(len(claims), declared)}: ") + ", ".join(parts)
