"""Places on the forest plot: what is wanted, where 0 is, which numbers stand below the axis."""

from __future__ import annotations

from itertools import pairwise

import pytest

from pathdsl.report.page.forest import NEAREST, strips


def claim(name: str = "a", **more: object) -> dict:
    given: dict = {"name": name, "estimate": 0.9, "interval": [0.8, 1.0], "relation": ">="}
    return given | {"threshold": 0.8, "within": None} | more


def numbers(**more: object) -> list[str]:
    (strip,) = strips([claim(**more)])
    assert strip is not None
    return [tick.text for tick in strip.ticks]


def test_the_axis_has_numbers() -> None:
    assert numbers() == ["0", "0.8", "1"]
    assert numbers(threshold=0.0) == ["0", "1"], "two numbers make a scale, also beside 0"
    assert numbers(estimate=-3.2, interval=[-3.4, -3.0], threshold=-1.0) == ["-2", "-1", "0"]
    both = numbers(relation="~=", threshold=1.0, within=0.25, interval=[0.9, 1.1], estimate=1.0)
    assert both == ["0", "0.75", "1", "1.25"]


@pytest.mark.parametrize("threshold", [0.01, 0.5, 0.79, 1.2, 40.0])
def test_no_two_numbers_touch_and_the_threshold_has_its_own(threshold: float) -> None:
    (strip,) = strips([claim(threshold=threshold)])
    assert strip is not None
    places = [tick.place for tick in strip.ticks]
    assert all(b - a >= NEAREST for a, b in pairwise(places))
    assert strip.bounds[0] in places and 0 <= min(places) and max(places) <= 100


def test_a_family_shares_its_axis_and_others_do_not() -> None:
    one, other, alone = strips(
        [claim("a[x]"), claim("a[y]", estimate=5.0, interval=[4.0, 6.0]), claim("b")]
    )
    assert one is not None and other is not None and alone is not None
    assert (one.low, one.high, one.ticks) == (other.low, other.high, other.ticks)
    assert alone.high != one.high


def test_what_is_wanted_ends_at_the_threshold() -> None:
    (above,), (below,) = strips([claim()]), strips([claim(relation="<")])
    assert above is not None and below is not None
    assert above.wanted == (above.bounds[0], 100.0) and below.wanted == (0.0, below.bounds[0])
    assert strips([claim(estimate=None, interval=None, threshold=0.0)]) == [None]
