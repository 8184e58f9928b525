"""Claims that discoveries end in, in worlds where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.drafts import ALONE, CASES, Case, _claims, _columns, _shares, worlds


def test_what_a_circuit_keeps_is_known() -> None:
    effects = np.array([1.0, 2.0, -0.5, 0.5])
    kept, left, missed = _shares(np.array([0, 1]), effects)
    assert (kept, left, missed) == pytest.approx((1.0, ALONE / (ALONE + 3), 0.0))
    of_prompts = _columns(np.array([0, 1]), effects[:, None] + np.zeros((4, 5)))
    assert of_prompts["kept"].mean() / of_prompts["whole"].mean() == pytest.approx(kept)
    assert of_prompts["left"].mean() / of_prompts["reference"].mean() == pytest.approx(left)


def test_claims_are_those_of_drafts() -> None:
    assert _claims((0.02, 1.0, 0.9)) == {}
    found = _claims((0.8, 0.3, 0.1))
    assert found["sufficient"] == (">=", pytest.approx(0.7))
    assert found["necessary"] == ("<=", pytest.approx(0.4))
    assert found["complete"] == ("<=", pytest.approx(0.2))


def test_false_claims_are_drafted_and_hardly_ever_supported() -> None:
    case = Case(world="all about 0.05", noise="normal", prompts=40, size=40)
    assert case in CASES
    (row,) = worlds(12, lambda _: None, [case])
    counts = row["claims"]
    assert isinstance(counts, dict)
    sufficient = counts["sufficient"]
    assert sufficient["drafted"] > 6 and sufficient["false"] > 6
    assert sufficient["wrong"] == 0 and row["some_wrong"] <= 1  # type: ignore[operator]
