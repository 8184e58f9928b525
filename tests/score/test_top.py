"""`top(10, h in SET: X)`: chosen on one half of the prompts, judged on the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.errors import Severity
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.lint import lint_file
from pathdsl.score.quantity import Constant, Half, halved, notes_of
from pathdsl.score.selection import best_of
from tests import seeds as counts
from tests.score.arrays import agg, bootstrap

HEAD = """circuit t {
  language = 1
}

model mini = bundled("ioi-mini", dtype: float64)

task ioi {
  data      = mini_ioi(take: 24, seed: 3)
  reference = prompt
  treated   = prompt_abc
}

metric LD: logits = logit(io) - logit(s)

"""
SEARCH = Half(seed=0, side="search")
JUDGE = Half(seed=0, side="judge")


def members(count: int) -> list[tuple[str, object]]:
    return [(f"m{i}", agg(f"x{i}")) for i in range(count)]


def test_the_best_of_one_half_are_judged_on_the_other() -> None:
    made = bootstrap({f"x{i}": np.random.default_rng(i).normal(size=40) for i in range(9)})
    value = made.evaluator.estimate
    found = best_of(members(9), 3, made.evaluator, (SEARCH, JUDGE))
    order = sorted(members(9), key=lambda one: -value(halved(one[1], SEARCH)))[:3]
    assert value(found) == pytest.approx(np.mean([value(halved(m, JUDGE)) for _, m in order]))
    named = ", ".join(sorted(name for name, _ in order))
    assert notes_of(found) == (f"chosen on one half of the prompts: {named}",)


def test_equal_values_are_in_the_order_of_the_members() -> None:
    same = np.random.default_rng(0).normal(size=40)
    made = bootstrap({f"x{i}": same for i in range(6)})
    assert notes_of(best_of(members(6), 2, made.evaluator, (SEARCH, JUDGE)))[0].endswith(": m0, m1")


def test_numbers_that_no_prompt_changes_are_chosen_as_they_are() -> None:
    made = bootstrap({"x": np.arange(8.0)})
    found = best_of(
        [(f"m{i}", Constant(value=float(i))) for i in range(5)], 2, made.evaluator, (SEARCH, JUDGE)
    )
    assert made.evaluator.estimate(found) == 3.5 and notes_of(found) == ("chosen: m3, m4",)


def simulated(count: int, kept: int, effect: float, samples: int, n: int = 40) -> dict[str, float]:
    """Shares of samples that support `top > 0`, on halves and by the same prompts, and that miss.

    `effect` is that of `kept` of the members, 0 that of all others.
    """
    r = np.random.default_rng(3)
    true = np.where(np.arange(count) < kept, effect, 0.0)
    found = {"halves": 0, "same": 0, "missed": 0}
    for seed in range(samples):
        common = r.standard_t(5, size=n)
        columns = {f"x{i}": true[i] + (common + r.standard_t(5, size=n)) for i in range(count)}
        made = bootstrap(columns, count=400, seed=seed)
        node = best_of(members(count), kept, made.evaluator, (SEARCH, JUDGE))
        low, high = made.interval(node, 0.95).pair()
        names = notes_of(node)[0].rpartition(": ")[2].split(", ")
        truth = float(np.mean([true[int(name[1:])] for name in names]))
        found["halves"] += low > 0
        found["missed"] += not low <= truth <= high
        means = sorted(range(count), key=lambda i: -columns[f"x{i}"].mean())[:kept]
        whole = np.mean([columns[f"x{i}"] for i in means], axis=0)
        again = bootstrap({"x": whole}, count=400, seed=seed)
        found["same"] += again.interval(agg("x"), 0.95).low > 0
    return {name: value / samples for name, value in found.items()}


@pytest.mark.parametrize("count", counts.samples("halves"))
def test_there_is_no_winners_curse_and_there_is_power(count: int) -> None:
    bound = 0.05 + 3.3 * np.sqrt(0.05 * 0.95 / count)
    nothing = simulated(24, 3, 0.0, count)
    assert nothing["missed"] < bound and nothing["halves"] < bound / 2 + 0.03
    assert nothing["same"] > 3 * nothing["halves"] + 0.05  # what the halves are for
    something = simulated(24, 3, 2.0, count)
    assert something["missed"] < bound and something["halves"] > 0.8


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("top(h in attn: effect(through(h)))", "PD113"),
        ("top(2)", "PD113"),
        ("top(0, h in attn: effect(through(h)))", "PD116"),
        ("top(150%, h in attn: effect(through(h)))", "PD116"),
        ("top(2.5, h in attn: effect(through(h)))", "PD115"),
        ("top(k, h in attn: effect(through(h)))", "PD115"),
        ("top(2, h in attn: LD(reference))", "PD405"),
        ("top(2, h in attn: effect(through(h)) < 1)", "PD115"),
        ("top(2, h in attn: effect(through(h)), 3)", "PD117"),
    ],
)
def test_what_is_no_selection(written: str, code: str) -> None:
    found = lint_file("t.circuit", HEAD + f"let x = {written}\n")[1]
    assert code in [d.code for d in found if d.severity is Severity.ERROR]


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("top(17, h in attn: effect(through(h)))", "PD116"),
        ("top(1%, h in attn: effect(through(h)))", "PD116"),
        ("top(1, h in attn: sign_test(LD(treat(through(h)))))", "PD129"),
        ("top(1, h in attn: top(1, g in a3: effect(through({g, h}))))", "PD129"),
    ],
)
def test_what_cannot_be_chosen(written: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "t.circuit"
    path.write_text(HEAD + f"let x = {written}\n")
    found = check_file(str(path), CheckOptions(store=None)).diagnostics
    assert code in [d.code for d in found if d.severity is Severity.ERROR]


def test_a_file_that_chooses(tmp_path: Path) -> None:
    lines = (
        "let two: logits     = top(2, h in attn: -effect(through(h)))\n"
        "let quarter: logits = top(25%, h in attn: -effect(through(h)))\n\n"
        "claim most: top(2, h in attn: -effect(through(h))) > 2 at 95% confidence\n"
    )
    assert format_text(HEAD + lines, "t.circuit") == HEAD + lines
    path = tmp_path / "t.circuit"
    path.write_text(HEAD + lines)
    judged = check_file(str(path), CheckOptions(store=None)).judgement
    assert judged is not None
    (claim,) = judged.claims
    assert claim.verdict.value == "supported"
    assert "chosen on one half of the prompts: a3.h1, a3.h2" in claim.notes
    assert "members were chosen on 12 prompts, judged on 12" in claim.notes
    assert len(judged.quantities[1].notes[0].partition(": ")[2].split(", ")) == 4


def test_a_declared_name_wins() -> None:
    text = HEAD.replace("metric LD", "metric top") + "let x = mean(top(reference))\n"
    found = lint_file("t.circuit", text)[1]
    assert [d for d in found if d.severity is Severity.ERROR] == []
