"""Every code that scoring and attribution give has a page and a test, and every page a code."""

from __future__ import annotations

import re
from pathlib import Path

from pathdsl.lang.rules.pd4_scores import PAGES

ROOT = Path(__file__).parents[2]
STATIC = {"PD437", "PD438"}  # said of a text, or of a check without revisions


def test_codes_and_pages_are_the_same():
    emitted: set[str] = set()
    for room in ("score", "engine/attribution"):
        for path in (ROOT / "pathdsl" / room).rglob("*.py"):
            emitted |= set(re.findall(r'"(PD\d{3})"', path.read_text(encoding="utf-8")))
    emitted = {code for code in emitted if "PD420" <= code <= "PD449"}
    assert emitted == {page.code for page in PAGES} - STATIC


def test_what_shows_a_page_is_a_test():
    for page in PAGES:
        if page.failing is not None:
            continue
        path, _, name = page.shown_by.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")
