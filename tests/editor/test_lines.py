"""Lines end where the protocol ends them, and edits land where the editor meant them."""

from __future__ import annotations

import pytest

from pathdsl.editor.lines import Lines


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_what_ends_no_line_of_the_protocol_ends_none_here(odd: str) -> None:
    text = f"# prompt with a{odd}break\nclaim c"
    lines = Lines(text)
    assert lines.place(text.index("claim")) == (1, 0)
    assert lines.offset(1, 5) == text.index(" c")
    assert lines.changed((1, 0), (1, 5), "let") == text.replace("claim", "let")


def test_each_way_to_end_a_line() -> None:
    lines = Lines("a\nb\r\nc\rd")
    assert [lines.place(at)[0] for at in (0, 2, 5, 7)] == [0, 1, 2, 3]


def test_columns_count_utf_16() -> None:
    lines = Lines("𝛼 -> b")
    assert lines.place(1) == (0, 2) and lines.offset(0, 2) == 1
