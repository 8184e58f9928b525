"""The records of formats: whoever lists formats lists these, and a made-up one is known at once."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from pkgutil import resolve_name
from typing import get_args

import pytest

from pathdsl.api import Result
from pathdsl.cli.formats import CheckFormat, LintFormat, ReportFormat
from pathdsl.errors import ExitCode
from pathdsl.report.formats import (
    FORMATS,
    Format,
    Settings,
    Verb,
    document_of,
    format_of,
    taken_by,
    write,
)
from tests.cli.run import in_one_process
from tests.report.outcomes import outcome
from tests.report.pages import made_up

ROOT = Path(__file__).parents[2]
VERBS: tuple[Verb, ...] = get_args(Verb)
MADE_UP = '''
"""A format of its own: the verdicts, and nothing else."""
from pathdsl.report import formats

class Verdicts:
    def __init__(self, settings):
        self.words = []
    def checked(self, outcome):
        self.words += [claim.verdict.value for claim in outcome.judgement.claims]
        return ""
    def end(self, code):
        return f"{' '.join(self.words)} {int(code)}\\n"

formats.FORMATS += (
    formats.Format(
        name="made-up", shows="verdicts", suffix=".made-up", media_type="text/made-up",
        one_document=True, makers={"check": "__main__:Verdicts"}, method="",
    ),
)
'''
GIVEN = {
    "name": "made-up", "shows": "verdicts", "suffix": ".made-up", "media_type": "text/made-up",
    "one_document": True, "makers": {"check": "x:Y"}, "method": "",
}  # fmt: skip


@pytest.mark.parametrize("field", [field.name for field in fields(Format)])
def test_a_record_needs_every_field(field: str) -> None:
    Format(**GIVEN)
    with pytest.raises(TypeError, match=field):
        Format(**{name: value for name, value in GIVEN.items() if name != field})


def test_a_made_up_format_is_known_to_the_command_line() -> None:
    wrong = "hypotheses/quickstart/wrong.circuit"
    commands = [
        ["check", "--help"], ["lint", "--help"], ["report", "--help"],
        ["check", wrong, "--format", "made-up", "--no-cache", "--quiet"],
        ["lint", wrong, "--format", "made-up"],
    ]  # fmt: skip
    check, lint, report, judged, refused = in_one_process(commands, cwd=ROOT, before=MADE_UP)
    assert "|made-up" in check.stdout and "made-up" not in lint.stdout + report.stdout
    assert (judged.returncode, judged.stdout, judged.stderr) == (0, "refuted refuted 0\n", "")
    assert refused.returncode == 2 and "made-up" in refused.stderr


def test_commands_take_the_formats_of_the_records() -> None:
    for verb, choices in zip(VERBS, (CheckFormat, LintFormat), strict=False):
        assert [one.value for one in choices] == [one.name for one in taken_by(verb)]
    written = {one.name: one for verb in ("report", "referee") for one in taken_by(verb)}
    assert [one.value for one in ReportFormat] == list(written)
    with pytest.raises(ValueError, match="`report` does not write `junit`"):
        write(made_up(), "junit")


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.name)
def test_every_record_names_what_there_is(one: Format) -> None:
    assert format_of(one.name) is one, "names are told apart"
    assert all(callable(resolve_name(named)) for named in one.makers.values())
    assert set(one.makers) <= set(VERBS) and (one.makers or one.method)
    assert not one.method or callable(getattr(Result, one.method))
    assert one.suffix.startswith(".") and re.fullmatch(r"\w+/[\w+-]+", one.media_type)


@pytest.mark.parametrize("one", taken_by("check"), ids=lambda one: one.name)
def test_one_document_comes_at_the_end(one: Format) -> None:
    document = document_of(one.name, "check", Settings())
    texts = [document.checked(outcome()) for _ in range(2)]
    assert all(not text for text in texts) is one.one_document
    assert document.end(ExitCode.NOT_AS_EXPECTED).endswith("\n")


def test_the_table_of_the_page_is_that_of_the_records() -> None:
    text = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if re.match(r"\| `\w+` \|", line)
    ]
    options = {"check": "check --format", "lint": "lint --format", "report": "report --to"}
    options |= {"series": "check --revisions --format"}
    options |= {"referee": "report --referee --to", "pages": "report -o FOLDER"}
    assert rows == [
        [
            f"`{one.name}`",
            one.shows,
            ", ".join(
                [f"`{options[verb]}`" for verb in VERBS if verb in one.makers]
                + ([f"`Result.{one.method}`"] if one.method else [])
            ),
            f"`{one.suffix}`",
            f"`{one.media_type}`",
            "one document" if one.one_document else "one after the other",
        ]
        for one in FORMATS
    ]
