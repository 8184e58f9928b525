"""The outcomes of `check` as JUnit XML: a suite for each file, a test case for each claim.

A claim as expected passes; one that is not is a failure, whose message has estimate, interval and
threshold and whose text is the report of the claim. What was not judged is skipped: a claim of a
file with faults, whose case `check` has the error, and an inconclusive claim that is allowed to be.
A check evaluates all claims of a file together, so that the time of a case is an equal share of the
time of its file.

The shape is that of Jenkins (junit-10.xsd). The text is ASCII, and characters that XML cannot have
are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from pathdsl.checking.outcome import FileOutcome
from pathdsl.errors import Diagnostic, ExitCode, Severity, errors_in
from pathdsl.lang.render import render
from pathdsl.lang.visible import visible
from pathdsl.report.annotate.findings import excused, said
from pathdsl.report.content.claims import ClaimContent
from pathdsl.report.content.file import content_of
from pathdsl.report.formats import Document, Settings
from pathdsl.report.numbers import many, replaced_text
from pathdsl.report.text.claims import claim_block
from pathdsl.report.text.style import View

__all__ = ["JUnit", "junit", "suite"]

CHECK = "check"
COUNTS = {"failures": "failure", "errors": "error", "skipped": "skipped"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class JUnit(Document):
    """The suites of several files."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._suites: list[ET.Element] = []

    def checked(self, outcome: FileOutcome) -> str:
        """Take in one file."""
        allowed = self.settings.allow_inconclusive
        self._suites.append(suite(outcome, allow_inconclusive=allowed))
        return ""

    def end(self, code: ExitCode) -> str:
        """The document."""
        return junit(self._suites)


def junit(suites: Iterable[ET.Element]) -> str:
    """The document of suites made by `suite`; ends in a line break."""
    root = ET.Element("testsuites", name="pathdsl")
    root.extend(suites)
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(one.get(name, "0")) for one in root)))
    root.set("time", _seconds(sum(float(one.get("time", "0")) for one in root)))
    ET.indent(root)
    body = ET.tostring(root, encoding="us-ascii").decode("ascii")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def suite(outcome: FileOutcome, *, allow_inconclusive: bool = False) -> ET.Element:
    """The suite of one file; without claims and faults it has no case."""
    claims = content_of(outcome).claims
    share = outcome.seconds / max(1, len(claims))
    cases = [_case(outcome, claim, share, allow_inconclusive) for claim in claims]
    if outcome.exit_code in (ExitCode.WRONG_INPUT, ExitCode.MACHINE_FAILED):
        cases = _stopped(outcome)
    element = ET.Element("testsuite", name=_clean(outcome.path), tests=str(len(cases)))
    for name, tag in COUNTS.items():
        element.set(name, str(sum(case.find(tag) is not None for case in cases)))
    element.set("time", _seconds(outcome.seconds))
    if outcome.replaced:
        told = replaced_text(outcome.replaced)
        properties = ET.SubElement(element, "properties")
        ET.SubElement(properties, "property", name="not the published scope", value=_clean(told))
    element.extend(cases)
    warnings = [d for d in outcome.diagnostics if d.severity is Severity.WARNING]
    if warnings:
        ET.SubElement(element, "system-out").text = _rendered(outcome, warnings)
    return element


def _case(
    outcome: FileOutcome, claim: ClaimContent, seconds: float, allow_inconclusive: bool
) -> ET.Element:
    case = _test(outcome, claim.name, seconds)
    block, message = _clean(claim_block(claim, View())), _clean(said(claim))
    if claim.as_expected:
        ET.SubElement(case, "system-out").text = block
    elif excused(claim, allow_inconclusive):
        ET.SubElement(case, "skipped", message=message).text = block
    else:
        ET.SubElement(case, "failure", message=message, type=claim.verdict).text = block
    return case


def _stopped(outcome: FileOutcome) -> list[ET.Element]:
    """The cases of a file that could not be judged: the faults, and its claims as skipped."""
    errors = errors_in(outcome.diagnostics)
    case = _test(outcome, CHECK, outcome.seconds)
    message = f"[{errors[0].code}] {errors[0].message}" if errors else "the check did not finish"
    if errors[1:]:
        message += f", and {many(len(errors) - 1, 'more error')}"
    kind = "fault" if outcome.exit_code is ExitCode.WRONG_INPUT else "machine"
    error = ET.SubElement(case, "error", message=_clean(message), type=kind)
    error.text = _rendered(outcome, errors)
    cases = [case]
    for claim in outcome.program.claims if outcome.program is not None else ():
        cases.append(_test(outcome, claim.name.name, 0.0))
        ET.SubElement(cases[-1], "skipped", message="not judged: the file has faults")
    return cases


def _test(outcome: FileOutcome, name: str, seconds: float) -> ET.Element:
    return ET.Element(
        "testcase", name=_clean(name), classname=_clean(outcome.path), time=_seconds(seconds)
    )


def _rendered(outcome: FileOutcome, faults: Sequence[Diagnostic]) -> str:
    return _clean(render(faults, outcome.sources, style="full", colour=False))


def _seconds(value: float) -> str:
    return f"{value:.3f}"


def _clean(text: str) -> str:
    """The text with a replacement for every character that XML cannot have; see `visible`, too."""
    return visible(_NOT_XML.sub("\ufffd", text))
