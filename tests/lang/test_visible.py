"""Text of strangers steers no terminal, whoever shows it."""

from __future__ import annotations

import json

import pytest

from pathdsl.errors import Diagnostic, ExitCode
from pathdsl.lang.render import render
from pathdsl.lang.visible import coloured, escaped, printed, visible
from pathdsl.report.annotate.findings import of_diagnostics
from pathdsl.report.annotate.github import github
from pathdsl.report.annotate.sarif import sarif
from pathdsl.report.data.result import diagnostic_object, dump

BAD = "\x1b[31m\x1b]0;t\x07\u202e\u2066\u200f\x9b\ud800"
FAULT = Diagnostic(code="PD999", message=f"a{BAD}b", notes=(BAD,), help=BAD)


def is_clean(text: str) -> bool:
    return not set(text) & set(BAD) - set("[31m]0;t")


def test_what_is_unseen_is_written_by_its_number() -> None:
    assert visible("a\u202eb\x1b[2J") == "a[U+202E]b[U+001B][2J"
    assert visible("tab\tline\n é 👩\u200d🔬 \u200c") == "tab\tline\n é 👩\u200d🔬 \u200c"
    assert is_clean(visible(BAD)) and visible(visible(BAD)) == visible(BAD)


def test_only_own_colours_reach_a_terminal() -> None:
    text = coloured(f"x{BAD}", "1;31")
    assert printed(text) == f"\x1b[1;31mx{visible(BAD)}\x1b[0m"
    assert printed(visible(text)) == printed(text)
    assert "\x1b" not in printed("\x1b[31mred\x1b[0m")


def test_json_means_what_it_meant() -> None:
    text = json.dumps({BAD: ["\n", BAD]}, ensure_ascii=False)
    assert is_clean(escaped(text)) and json.loads(escaped(text)) == {BAD: ["\n", BAD]}
    assert is_clean(dump({"a": BAD}))


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("style", ["full", "concise"])
def test_diagnostics(colour: bool, style: str) -> None:
    text = printed(render([FAULT], {}, style=style, colour=colour))  # type: ignore[arg-type]
    assert is_clean(
        text.replace("\x1b[1;31m", "")
        .replace("\x1b[1m", "")
        .replace("\x1b[1;34m", "")
        .replace("\x1b[0m", "")
    )


def test_documents_for_other_programs() -> None:
    findings = of_diagnostics([FAULT], {}, f"{BAD[:-1]}\udc80.circuit")
    assert is_clean(github(findings, "closing"))
    told = json.loads(dump(sarif(findings, ExitCode.WRONG_INPUT)))["runs"][0]["results"][0]
    assert is_clean(told["message"]["text"])
    told = json.loads(dump(diagnostic_object(FAULT, {})))
    assert is_clean("".join([told["message"], told["help"], *told["notes"]]))
