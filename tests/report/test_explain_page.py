"""The page of a code: the passing example as changes to the failing one, where these are few."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pathdsl.lang.rules import pages
from pathdsl.lang.rules.page import Example
from pathdsl.report.text.explain_page import page_text
from pathdsl.report.text.style import View

NINE = "".join(f"line {i}\n" for i in range(9))


def passing(failing: Example, good: Example) -> str:
    page = replace(pages()["PD101"], failing=failing, passing=good)
    return page_text(page, View()).partition("This does not\n")[2]


def changed(text: str) -> str:
    return passing(Example(text=NINE), Example(text=text))


def test_a_page_shows_the_line_that_differs_and_what_it_replaces() -> None:
    text = page_text(pages()["PD101"], View())
    assert text.endswith(
        "This does not\n"
        "  the same, with this change:\n"
        "  instead of\n"
        "    let kept = mean(LD(keep(through(mover))))\n"
        "  write\n"
        "    let kept = mean(LD(keep(through(movers))))\n"
        "  (shown by `pathdsl lint`)\n"
    )
    assert text.count("language = 1") == 1


def test_lines_that_come_or_go_are_said_with_their_place() -> None:
    assert "  after\n    line 4\n  add\n    more\n  (" in changed(
        NINE.replace("line 5", "\nmore\nline 5")
    )
    assert "  first add\n    more\n  (" in changed("more\n" + NINE)
    both = changed(NINE.replace("line 2\n", "").replace("line 7", "line seven"))
    assert "  the same, with these changes:\n  leave out\n    line 2\n  instead of\n" in both


@pytest.mark.parametrize(("n", "whole"), [(3, False), (4, True)])
def test_where_more_than_a_third_differs_the_file_is_shown_whole(n: int, whole: bool) -> None:
    text = changed("".join(f"other {i}\n" if i < n else f"line {i}\n" for i in range(9)))
    assert ("    line 8\n" in text) is whole and ("instead of" in text) is not whole


def test_files_beside_it_are_compared_too() -> None:
    rows = {"rows.jsonl": NINE, "same.jsonl": NINE}
    good = {"rows.jsonl": NINE.replace("line 8", "row 8"), "same.jsonl": NINE, "new.jsonl": "x"}
    text = passing(Example(text=NINE, files=rows), Example(text=NINE, files=good))
    assert text.startswith("  the same as above\n")
    assert "  instead of\n    line 8\n  write\n    row 8\n" in text
    assert "with `same.jsonl`:\n  the same as above\n" in text
    assert "with `new.jsonl`:\n    x\n" in text
