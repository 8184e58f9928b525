"""The hash draws: fixed for ever, fair, and independent of each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathdsl.draws import Draws

ROOT = Path(__file__).parents[2]
SAMPLE = "from pathdsl.draws import Draws; print(Draws(7, 'a').sample(range(99), 9))"


def test_values_are_fixed_for_ever() -> None:
    draws = Draws(0, "fixed")
    assert [draws.below(1000) for _ in range(5)] == [439, 652, 363, 48, 526]
    assert Draws(0, "fixed").normal() == 0.18803011826102276


def test_hash_seed_of_python_does_not_matter() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", SAMPLE],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert said == {f"{Draws(7, 'a').sample(range(99), 9)}\n"}


def test_names_are_not_run_together() -> None:
    streams = [Draws(0, "ab", "c"), Draws(0, "a", "bc"), Draws(0, "abc"), Draws(0, "a|b", "c")]
    assert len({draws.below(1 << 53) for draws in streams}) == 4


def test_draws_are_fair() -> None:
    draws = Draws(0, "fair")
    counts = [0] * 7
    for _ in range(7000):
        counts[draws.below(7)] += 1
    assert all(850 < count < 1150 for count in counts)
    normals = [draws.normal() for _ in range(4000)]
    assert abs(sum(normals) / 4000) < 0.06
    assert abs(sum(x * x for x in normals) / 4000 - 1) < 0.1


@given(seed=st.integers(), items=st.lists(st.integers(), max_size=20), data=st.data())
def test_samples_are_parts_of_their_items(seed: int, items: list[int], data: st.DataObject) -> None:
    k = data.draw(st.integers(0, len(items)))
    drawn = Draws(seed, "sample").sample(items, k)
    rest = list(items)
    for item in drawn:
        rest.remove(item)
    assert len(drawn) == k
    assert sorted(Draws(seed, "sample").shuffled(items)) == sorted(items)


def test_impossible_draws_are_refused() -> None:
    with pytest.raises(ValueError, match="1 <= n"):
        Draws(0).below(0)
    with pytest.raises(ValueError, match="cannot draw 3 of 2"):
        Draws(0).sample("ab", 3)
