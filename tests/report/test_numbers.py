"""Digits: as many as the interval is worth."""

from __future__ import annotations

import pytest

from pathdsl.report.numbers import apart, digits, many, pair, plain, shown
from pathdsl.report.text.style import clip, table


@pytest.mark.parametrize(
    ("value", "interval", "text"),
    [
        (0.93217, (0.9101, 0.9512), "0.932 [0.910, 0.951]"),
        (3.48, (3.2, 3.9), "3.48 [3.20, 3.90]"),
        (71.3, (54.0, 88.0), "71 [54, 88]"),
        (1.0, (1.0, 1.0), "1.000 [1.000, 1.000]"),
        (-0.0001, (-0.02, 0.02), "0.000 [-0.020, 0.020]"),
        (0.0, (0.0, 0.0), "0 [0, 0]"),
        (12345.6, None, "12346 "),
        (3e-9, (1e-9, 5e-9), "3e-09 [1e-09, 5e-09]"),
        (4.2e11, None, "4.2e+11 "),
        (None, None, "undefined "),
        (float("nan"), None, "undefined "),
    ],
)
def test_digits_follow_the_interval(
    value: float | None, interval: tuple[float, float] | None, text: str
) -> None:
    assert f"{shown(value, interval)} {pair(interval, value or 0.0)}" == text


def test_rounding_is_shown_as_such() -> None:
    assert shown(3e-9, (-1e-9, 5e-9), 1e-6) == "0" and pair((-1e-9, 5e-9), 3e-9, 1e-6) == ""
    assert shown(0.0, (0.0, 0.0), 1e-6) == "0"
    assert shown(3e-9, (-1e-9, 5e-3), 1e-6) == "0.0000"


def test_ends_are_seen_to_lie_on_their_side_of_a_threshold() -> None:
    ends = (0.796, 1.004)
    assert pair(ends, 0.9) == "[0.80, 1.00]"
    assert apart(0.9, ends, [0.8]) == 3 and apart(0.9, ends, [0.5]) == 2
    assert apart(0.79998, None, [0.8]) == 5
    assert apart(1e-9, (-1e-9, 3.0), [0.0], 1e-6) == digits(1e-9, (-1e-9, 3.0))
    assert shown(9.3e-7, (0.0, 4.9e-6)) == "9.3e-07" and shown(0.00027) == "0.000270"


def test_plain_has_no_negative_zero() -> None:
    assert plain(-0.0004, 2) == "0.00" and plain(-0.4, 2) == "-0.40"
    assert (
        digits(0.0, None) == 0 and many(1, "run") == "1 run" and many(1000, "run") == "1,000 runs"
    )


def test_tables_line_up_wide_characters() -> None:
    assert table([["名", "1"], ["abc", "22"]], right=(1,)) == ["名    1", "abc  22"]
    assert (
        clip("one two three", 8) == "one two…"
        and clip("one two three", 8, keep_end=True) == "…o three"
    )
