"""Findings as SARIF 2.1.0, which code hosts and editors read.

One run, whose rules are the codes and verdicts that occur, with the text of their pages. Faults and
claims not as expected are results at the place where they are written. Paths as they were named on
the command line are relative to `%SRCROOT%`; absolute ones are `file:` addresses. Nothing tells the
time, so that the same findings give the same bytes.

Source: OASIS, Static Analysis Results Interchange Format 2.1.0, sections 3.13 to 3.52.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from pathdsl.errors import ExitCode
from pathdsl.lang.rules import pages
from pathdsl.lang.visible import visible
from pathdsl.report.annotate.findings import Annotations, Finding
from pathdsl.report.data.result import dump

__all__ = ["Sarif", "sarif"]

Object = dict[str, Any]
SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
ROOT = "%SRCROOT%"
CLAIMS = {
    "claim-refuted": "The interval of a claim lies outside what was claimed.",
    "claim-inconclusive": "The interval of a claim contains its threshold.",
    "claim-undefined": "The quantity of a claim is undefined, so there is no verdict.",
    "claim-supported": "A claim that was expected to be refuted is supported.",
}
NUMBERS = (
    "verdict", "expected", "estimate", "interval", "relation", "threshold", "confidence", "n",
)  # fmt: skip
"""What a program wants of a claim; null where it is undefined."""


class Sarif(Annotations):
    """One log for all files."""

    def end(self, code: ExitCode) -> str:
        """The log."""
        return dump(sarif(self.findings, code, self.replaced))


def sarif(findings: Iterable[Finding], code: ExitCode, replaced: str = "") -> Object:
    """The SARIF log of all findings, as one object for JSON; `code` is the exit code.

    `replaced`: what the command line says in place of the files, "" for nothing.
    """
    listed = list(findings)
    rules = sorted({finding.rule for finding in listed})
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "pathdsl",
                        "version": version("pathdsl"),
                        "rules": [_rule(rule) for rule in rules],
                    }
                },
                "invocations": [
                    {
                        "executionSuccessful": code is not ExitCode.MACHINE_FAILED,
                        "exitCode": int(code),
                        **(
                            {"properties": {"not the published scope": replaced}}
                            if replaced
                            else {}
                        ),
                    }
                ],
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, rules.index(finding.rule)) for finding in listed],
            }
        ],
    }


def _rule(code: str) -> Object:
    page = pages().get(code)
    if page is None:
        return {"id": code, "shortDescription": {"text": CLAIMS.get(code, code)}}
    return {
        "id": code,
        "name": page.name,
        "shortDescription": {"text": page.summary},
        "fullDescription": {"text": page.why},
        "help": {"text": f"{page.repair}\n\nMore: pathdsl explain {code}"},
    }


def _result(finding: Finding, index: int) -> Object:
    result: Object = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": finding.level,
        "message": {"text": visible(finding.message)},
        "locations": [_location(finding.place)],
    }
    if finding.related:
        result["relatedLocations"] = [
            {"id": number, **_location(place), "message": {"text": visible(text)}}
            for number, (place, text) in enumerate(finding.related)
        ]
    if finding.claim is not None:
        numbers = {key: finding.claim[key] for key in NUMBERS}
        result["properties"] = {"claim": visible(finding.claim["name"]), **numbers}
    return result


def _location(place: Mapping[str, Any]) -> Object:
    physical: Object = {"artifactLocation": _artifact(place["path"])}
    if place["line"] is not None:
        physical["region"] = {
            "startLine": place["line"],
            "startColumn": place["column"],
            "endLine": place["end_line"],
            "endColumn": place["end_column"],
        }
    return {"physicalLocation": physical}


def _artifact(path: str) -> Object:
    pure = PurePath(path)
    if pure.is_absolute():
        return {"uri": pure.as_uri()}
    return {"uri": quote(pure.as_posix(), errors="surrogateescape"), "uriBaseId": ROOT}
