"""What a check or a lint found, one entry per fault and per claim not as expected, with its place.

The common ground of the formats that annotate lines: SARIF and the workflow commands of GitHub.
Lines and columns count from 1, columns are characters, and ends are exclusive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pathdsl.errors import Diagnostic, Severity, Span
from pathdsl.lang.rules import name_of
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.report.content.claims import ClaimContent
from pathdsl.report.content.file import FileContent
from pathdsl.report.content.rows import Object
from pathdsl.report.data.result import outcome_object, place_object
from pathdsl.report.formats import Document, Settings
from pathdsl.report.numbers import replaced_text

if TYPE_CHECKING:  # `lint` prints findings too, and must start fast
    from pathdsl.checking.outcome import FileOutcome

__all__ = [
    "Annotations", "Finding", "Level", "excused", "level_of", "message_of",
    "of_diagnostics", "of_outcome", "said",
]  # fmt: skip

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault or one claim; `rule` is the code or `claim-VERDICT`, `name` its title.

    `place` is a span's JSON object, its lines None where the text is not at hand. `related` are
    further places, each with what it has to do with the finding. `claim` is the JSON object of a
    claim, None for a fault.
    """

    rule: str
    name: str
    level: Level
    message: str
    place: Object
    related: tuple[tuple[Object, str], ...] = ()
    claim: Object | None = None


class Annotations(Document):
    """The findings of the files of one command line; a format says what it ends with.

    `n_claims` is None where files were only linted. `replaced` is what the command line says in
    place of the files, "" for nothing.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.findings: list[Finding] = []
        self.n_files = 0
        self.n_claims: int | None = None
        self.replaced = ""

    def checked(self, outcome: FileOutcome) -> str:
        """Take in one file that was checked."""
        allowed = self.settings.allow_inconclusive
        self.findings += of_outcome(outcome, allow_inconclusive=allowed)
        self.n_files += 1
        claims = outcome.judgement.claims if outcome.judgement is not None else ()
        self.n_claims = (self.n_claims or 0) + len(claims)
        self.replaced = replaced_text(outcome.replaced)
        return ""

    def linted(
        self,
        path: str,
        diagnostics: Sequence[Diagnostic],
        sources: Mapping[str, SourceFile],
        unchecked: str,
    ) -> str:
        """Take in one file that was linted."""
        self.findings += of_diagnostics(diagnostics, sources, path)
        self.n_files += 1
        return ""


def of_outcome(outcome: FileOutcome, *, allow_inconclusive: bool = False) -> list[Finding]:
    """The faults of one file, then its claims that did not come out as expected, in file order.

    A claim that `allow_inconclusive` excuses is a warning.
    """
    findings = of_diagnostics(outcome.diagnostics, outcome.sources, outcome.path)
    file = outcome_object(outcome)
    declared = outcome.program.claims if outcome.program is not None else ()
    names = {one.name.name: one.name.span for one in declared}
    content = FileContent(file, checked=True)
    scope = content.replaced and f"not the published scope: {content.replaced}"
    for numbers, claim in zip(file["claims"], content.claims, strict=True):
        level = level_of(claim, allow_inconclusive)
        if level is not None:
            findings.append(
                Finding(
                    rule=f"claim-{claim.verdict}",
                    name=claim.name,
                    level=level,
                    message="\n".join(text for text in (said(claim), claim.text, scope) if text),
                    place=_place(names.get(claim.declared), outcome.sources, outcome.path),
                    claim=numbers,
                )
            )
    return findings


def of_diagnostics(
    diagnostics: Iterable[Diagnostic], sources: Mapping[str, SourceFile], path: str
) -> list[Finding]:
    """Diagnostics in their order; those without a place of their own are at `path`."""
    return [
        Finding(
            rule=fault.code,
            name=name_of(fault.code),
            level="error" if fault.severity is Severity.ERROR else "warning",
            message=message_of(fault),
            place=_place(fault.span, sources, path),
            related=tuple((_place(span, sources, path), text) for span, text in fault.labels),
        )
        for fault in diagnostics
    ]


def message_of(fault: Diagnostic) -> str:
    """The message of a diagnostic with its notes and its help, a line each."""
    lines = [fault.message, *(f"note: {note}" for note in fault.notes)]
    return "\n".join([*lines, f"help: {fault.help}"] if fault.help else lines)


def said(claim: ClaimContent) -> str:
    """`claim `each`: refuted, not as expected (supported): 0.713 [0.661, 0.762], wanted >= 0.8`."""
    judged = f"{claim.verdict}, as expected"
    if not claim.as_expected:
        judged = f"{claim.verdict}, not as expected ({claim.expected})"
    at = f" at {claim.confidence} confidence" if claim.confidence else ", no confidence asked"
    prompts = f", n = {claim.n_text}" if claim.n else ""
    return f"claim `{claim.name}`: {judged}: {claim.numbers}, wanted {claim.wanted}{at}{prompts}"


def excused(claim: ClaimContent, allow_inconclusive: bool) -> bool:
    """Whether a claim that is not as expected is no failure, as `--allow-inconclusive` says."""
    return allow_inconclusive and not claim.as_expected and claim.verdict == "inconclusive"


def level_of(claim: ClaimContent, allow_inconclusive: bool) -> Level | None:
    """How much a claim matters to a script; None where it came out as expected."""
    if claim.as_expected:
        return None
    return "warning" if excused(claim, allow_inconclusive) else "error"


def _place(span: Span | None, sources: Mapping[str, SourceFile], path: str) -> Object:
    """The JSON object of a span; the whole of the file `path` where there is none."""
    return place_object(span, sources) or {"path": path, "line": None}
