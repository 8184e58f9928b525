"""From which step something holds: its ends, what a claim says of them, how often it errs.

The simulations are those of `benchmarks.emergence`, whose table stands in docs/levels.md.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import emergence
from benchmarks.levels import average, bootstrap
from pathdsl.lang import ast
from pathdsl.lang.syntax.parse import parse
from pathdsl.score import emerging
from pathdsl.score.claims import Question
from pathdsl.score.emerging import Kept, emerged
from pathdsl.score.results import Verdict
from pathdsl.score.statistics.emergence import between, decide_step, joint_tail
from tests import seeds as counts

SIDES = {"+": Verdict.SUPPORTED, "-": Verdict.REFUTED, "?": Verdict.INCONCLUSIVE,
         "u": Verdict.UNDEFINED}  # fmt: skip
STEPS = (100, 200, 300, 400)
S, R, Q, U = (
    Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE, Verdict.UNDEFINED
)  # fmt: skip
DOCS = Path(__file__).parents[2] / "docs" / "levels.md"


@pytest.mark.parametrize(
    ("signs", "lower", "upper"),
    [
        ("--++", 300, 300), ("-?++", 200, 300), ("++++", 100, 100), ("---?", 400, None),
        ("+++-", None, None), ("-+-+", 400, 400), ("?+?+", 100, 400), ("????", 100, None),
        ("uu++", 100, 300), ("-u++", 200, 300), ("-+u+", 200, 400), ("+++?", 100, None),
    ],
)  # fmt: skip
def test_ends(signs: str, lower: int | None, upper: int | None) -> None:
    found = between(STEPS, [SIDES[sign] for sign in signs])
    assert (found.lower, found.upper) == (lower, upper)
    assert found.never == (signs[-1] == "-")


@pytest.mark.parametrize(
    ("signs", "relation", "step", "verdict"),
    [
        ("--++", "<=", 300, S), ("--++", "<=", 200, R), ("--++", "<", 300, R),
        ("--++", "<", 400, S), ("--++", ">", 200, S), ("--++", ">", 300, R),
        ("--++", ">=", 300, S), ("--++", ">=", 400, R), ("-?++", "<=", 200, Q),
        ("-?++", "<=", 300, S), ("-?++", ">", 100, S), ("-?++", ">", 200, Q),
        # Between two steps nobody knows, behind both and before both one does.
        ("--++", "<=", 250, Q), ("--++", ">", 250, Q), ("--++", "<=", 350, S),
        ("--++", "<=", 150, R), ("--++", ">", 150, S), ("++++", "<=", 50, Q),
        ("++++", "<=", 100, S), ("++++", ">", 50, Q),
        # Never is behind every step, and at none.
        ("+++-", "<=", 400, R), ("+++-", "<=", 9000, R), ("+++-", ">", 100, U),
        ("+++-", ">=", 9, U), ("---?", "<=", 300, R), ("---?", "<=", 400, Q),
        ("---?", ">", 300, Q), ("---?", ">", 400, Q), ("????", "<=", 400, Q),
        ("????", ">", 100, Q), ("---?", "<=", 9000, Q),
    ],
)  # fmt: skip
def test_claims(signs: str, relation: str, step: int, verdict: Verdict) -> None:
    assert decide_step(between(STEPS, [SIDES[sign] for sign in signs]), relation, step) is verdict


def test_a_claim_and_the_opposite_one_are_never_both_supported() -> None:
    opposite = {"<=": ">", "<": ">="}
    for number in range(4**4):
        signs = [[*SIDES.values()][number // 4**i % 4] for i in range(4)]
        found = between(STEPS, signs)
        for step in (50, 100, 150, 300, 350, 400, 500):
            for relation, other in opposite.items():
                both = {decide_step(found, one, step) for one in (relation, other)}
                assert both in ({S, R}, {Q}, {R, Q}, {R, U}), (signs, relation, step)


def test_the_joint_tail_lies_between_one_and_bonferroni() -> None:
    r = np.random.default_rng(0)
    same = r.standard_normal(4000)
    apart = [r.standard_normal(4000) for _ in range(10)]
    assert joint_tail([same] * 10, 10, 4000, 0.05, aligned=True) == pytest.approx(0.025, rel=0.2)
    assert 0.0025 <= joint_tail(apart, 10, 4000, 0.05, aligned=True) < 0.004
    assert joint_tail([same] * 10, 10, 4000, 0.05, aligned=False) == pytest.approx(0.0025)
    assert joint_tail([same, None], 2, 4000, 0.05, aligned=True) == pytest.approx(0.0125)
    assert joint_tail([same], 1, 4000, 0.05, aligned=True) == pytest.approx(0.025)


def _posed(text: str, columns: list[np.ndarray], relation: str = ">") -> list[Kept]:
    claim = _claim(text)
    found = []
    for x in columns:
        kept = Kept()
        node = average("x")
        question = Question(
            member="", indices={}, over="", node=node, relation=relation, threshold=0
        )
        kept.take(claim, question, bootstrap({"x": x}, 0, 1000))
        found.append(kept)
    return found


def _claim(text: str) -> ast.ClaimDecl:
    (claim,) = parse(text, "c.circuit")[0].statements
    assert isinstance(claim, ast.ClaimDecl)
    return claim


AT = "claim c: emerges(mean(x(reference)) > 0) <= 300 at 95% confidence"


def test_a_hole_decides_nothing() -> None:
    r = np.random.default_rng(1)
    low, high = (r.normal(shift, 1, 60) for shift in (-3, 3))
    kept = [*_posed(AT, [low, low, high, high])]
    (whole,) = emerged(_claim(AT), STEPS, kept)
    assert (whole.lower, whole.upper, whole.estimate, whole.verdict) == (300, 300, 300, S)
    (hole,) = emerged(_claim(AT), STEPS, [kept[0], kept[1], "no weights", kept[3]])
    assert (hole.lower, hole.upper, hole.verdict) == (300, 400, Q)
    assert hole.steps[2].verdict is None and "step 300: no weights" in hole.notes[0]
    (last,) = emerged(_claim(AT), STEPS, [*kept[:3], "no weights"])
    assert (last.lower, last.upper, last.verdict) == (300, None, Q)
    (before,) = emerged(_claim(AT), STEPS, ["no weights", *kept[1:]])
    assert before.verdict is S


def test_few_prompts_have_no_intervals_together() -> None:
    r = np.random.default_rng(2)
    columns = [r.normal(3, 1, 12) for _ in STEPS]
    (found,) = emerged(_claim(AT), STEPS, _posed(AT, columns))
    assert found.verdict is Q and found.upper is None and "20 are needed" in found.notes[0]


def test_without_confidence_estimates_decide() -> None:
    r = np.random.default_rng(3)
    columns = [r.normal(shift, 1, 40) for shift in (-0.5, -0.5, 0.5, 0.5)]
    text = AT.removesuffix(" at 95% confidence")
    (found,) = emerged(_claim(text), STEPS, _posed(text, columns))
    assert found.verdict is S and found.level is None and found.steps[0].interval is None


def test_more_steps_have_wider_intervals() -> None:
    r = np.random.default_rng(4)
    columns = [r.normal(1, 1, 60) for _ in range(8)]
    few, many = (
        emerged(_claim(AT), range(n), _posed(AT, columns[:n]))[0].steps[0].interval for n in (2, 8)
    )
    assert few is not None and many is not None
    assert many[0] < few[0] and few[1] < many[1]


def test_what_is_drawn_is_let_go_and_drawn_again_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    r = np.random.default_rng(6)
    columns = [r.normal(shift, 1, 60) for shift in (-1, 0, 0.3, 1)]
    (held,) = emerged(_claim(AT), STEPS, _posed(AT, columns))
    kept = _posed(AT, columns)
    for one in kept:
        (posed,) = one.posed.values()
        assert [leaf.deviations() for leaf in posed.leaves]
        one.rest()
        resamples = posed.bootstrap.leaves.resamples
        assert not resamples._kept and resamples._last is None
        assert not posed.bootstrap.leaves._kept and "leaves" not in posed.__dict__
    monkeypatch.setattr(emerging, "MOST_BYTES", 0)
    (again,) = emerged(_claim(AT), STEPS, kept)
    assert again == held


def test_rows_that_differ_hold_together_by_bonferroni() -> None:
    r = np.random.default_rng(5)
    x = r.normal(1, 1, 60)
    (alike,) = emerged(_claim(AT), STEPS, _posed(AT, [x, x, x, x]))
    (apart,) = emerged(_claim(AT), STEPS, _posed(AT, [x, x, x, x[:59]]))
    assert alike.level == pytest.approx(0.95, abs=0.01)
    assert apart.level == pytest.approx(1 - 0.05 / 4)


# -------------------------------------------------------------------------------------------------
# Levels
# -------------------------------------------------------------------------------------------------

ROW = re.compile(
    r"^\| (?P<values>[\w ]+), n = (?P<n>\d+) \| (?P<world>\w+) \| `(?P<rel>>=?) 0` \| "
    r"(?P<early>[\d.]+) \| (?P<late>[\d.]+) \|",
    re.MULTILINE,
)


def documented() -> list[tuple[str, int, str, str, float, float]]:
    text = DOCS.read_text(encoding="utf-8").partition("## Emergence")[2].partition("\n## ")[0]
    return [
        (m["values"], int(m["n"]), m["world"], m["rel"], float(m["early"]), float(m["late"]))
        for m in ROW.finditer(text)
    ]


def test_the_docs_name_every_world() -> None:
    assert {world for _, _, world, *_ in documented()} == set(emergence.WORLDS)


@pytest.mark.parametrize("row", documented(), ids=lambda row: f"{row[0]}-{row[1]}-{row[2]}{row[3]}")
def test_documented_levels_hold(row: tuple[str, int, str, str, float, float]) -> None:
    """Misses on both sides together are 5% nominally."""
    assert row[4] + row[5] <= 5.0


@pytest.mark.parametrize(
    ("values", "world"),
    [
        ("normal", "crosses"),
        *(pytest.param(v, w, marks=pytest.mark.long)
          for v in ("normal", "hits") for w in emergence.WORLDS),
    ],
)  # fmt: skip
@pytest.mark.parametrize("count", counts.samples("emergence"))
def test_the_emergence_lies_between_its_ends(values: str, world: str, count: int) -> None:
    rows = emergence.emergences(count, lambda line: None, [(values, 40)], [world])
    for row in rows:
        missed = float(row["early"]) + float(row["late"])  # type: ignore[arg-type]
        assert missed / 100 <= 0.05 + 3.3 * np.sqrt(0.05 * 0.95 / count)
