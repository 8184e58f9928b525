"""docs/method.md names every rule of the method, and no code that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

from pathdsl.lang.rules import pages

PAGE = Path(__file__).parents[2] / "docs" / "method.md"


def test_every_rule_has_its_recommendation() -> None:
    named = set(re.findall(r"PD\d{3}", PAGE.read_text(encoding="utf-8")))
    assert named <= set(pages())
    assert {code for code in pages() if code.startswith("PD5")} <= named
