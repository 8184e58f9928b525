"""The selftest holds, and notices when the checker or the truth is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pathdsl.checking import selftest as module
from pathdsl.models import truth
from pathdsl.report.text.selftest import selftest_report
from pathdsl.report.text.style import View


def test_frac_prevs_holds_and_the_verdict_changes_with_the_treated_value() -> None:
    trials = module.selftest(("frac-prevs",), prompts=8)
    assert [t.treated for t in trials] == ["paired", "mean", "zero"]
    assert all(t.holds for t in trials)
    assert [t.true_edges for t in trials] == [3, 3, 5]
    assert {t.true_edges + t.false_edges for t in trials} == {46}
    assert trials[2].other is not None and trials[2].other < 0.99
    text = selftest_report(trials, View())
    assert "3 trials over 138 edges: all hold" in text


def test_a_wrong_truth_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = truth("frac-prevs")
    known["paths"]["paired"] = "input -> m0 -[k]-> a1.h0@END -> logits"
    known["true_edges"]["mean"] = ["input->m0"]
    known["true_edges"]["zero"] += ["a0.h0->logits"]
    monkeypatch.setattr(module, "truth", lambda name: known)
    trials = module.selftest(("frac-prevs",), prompts=8)
    assert [t.holds for t in trials] == [False, False, False]
    assert "3 FAILED" in selftest_report(trials, View())


@pytest.mark.parametrize(
    "change",
    [{"recovered": 0.9}, {"kl": 0.1}, {"smallest_true": 0.0}, {"largest_false": 0.1},
     {"other": 1.0}, {"recovered": float("nan")}, {"largest_false": float("nan")}],
)  # fmt: skip
def test_every_number_counts(change: dict[str, float]) -> None:
    good = module.Trial(
        model="m", treated="zero", true_edges=1, false_edges=1, recovered=1.0, kl=0.0,
        smallest_true=1.0, largest_false=0.0, tolerance=1e-3, other=0.5,
    )  # fmt: skip
    assert good.holds and not replace(good, **change).holds
