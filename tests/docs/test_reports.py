"""docs/reports.md: its transcript is run again, and every macro that it names is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pathdsl.report.formats import write
from tests.docs.test_readme import ROOT, matches, replay

PAGE = ROOT / "docs" / "reports.md"


@pytest.fixture(scope="module")
def text() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_transcripts(tmp_path: Path, text: str) -> None:
    shown = replay(text, tmp_path)
    assert len(shown) >= 1
    for command, wanted, found in shown:
        lines = [line.rstrip() for line in found.strip().splitlines()]
        assert wanted and matches(wanted.rstrip().splitlines(), lines), f"{command}\n{found}"


def test_every_macro_named_is_defined(text: str) -> None:
    from tests.report.test_browser import full

    result = full()
    claims = result["files"][0]["claims"]
    claims[1]["name"] = "each_part[a1.h2@END]"
    alone = write(result, "tex")
    result["files"][0]["circuit"] = "induction"
    result["files"].append(json.loads(json.dumps(result["files"][0])))
    defined = set(re.findall(r"\\newcommand\{(\\pd[A-Za-z]+)\}", alone + write(result, "tex")))
    named = set(re.findall(r"\\pd[A-Z][A-Za-z]*", text))
    assert len(named) >= 8 and named <= defined
    packages = re.findall(r"\\usepackage\S+", text)
    assert len(packages) == 2 and all(package in alone for package in packages)
