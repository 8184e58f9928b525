"""Claims on the rows of each value of a label: values by hand, and where there is no table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pathdsl.score.judge import judge
from pathdsl.score.results import PartResult
from tests.score.fakes import HEADER, PATHS, Algebra, task_data, world
from tests.score.test_scores import C, f

SPLIT = HEADER.replace("treated = other", "treated = other; split_by = kind")
KINDS = ("plain",) * 25 + ("odd",) * 14 + ("lone",)


def claims(text: str, header: str = SPLIT, kinds: tuple = KINDS, **more):
    data = replace(task_data(len(kinds)), labels={"kind": kinds})
    program, resolver, session = world(
        text, header=header, tasks={"t": data, **more.pop("tasks", {})}, **more
    )
    return judge(program, resolver, session, algebra=Algebra()).claims, session


def rows(kind: str) -> np.ndarray:
    return np.array([k == kind for k in KINDS])


def test_a_ratio_on_the_rows_of_each_value():
    found, s = claims("claim good: faithfulness(C) >= 60% at 90% confidence\n")
    m, c, e = f(s, ()), f(s, PATHS - C), f(s, PATHS)
    parts = found[0].parts
    assert [(p.field, p.value, p.n) for p in parts] == [
        ("kind", "plain", 25), ("kind", "odd", 14), ("kind", "lone", 1),
    ]  # fmt: skip
    for part in parts:
        inside = rows(part.value)
        wanted = (c - e)[inside].mean() / (m - e)[inside].mean()
        if part.value == "lone":
            assert part.interval is None
        else:
            assert part.estimate == pytest.approx(wanted)
            assert part.satisfied == (wanted >= 0.6)
            assert part.interval[0] < wanted < part.interval[1]
    # The whole is over all rows, and the verdict is that of the whole.
    assert found[0].estimate == pytest.approx((c - e).mean() / (m - e).mean())
    assert found[0].n == 40


def test_an_interval_is_that_of_a_task_with_these_rows_alone():
    text = "claim good: mean(LD(keep(C))) >= 1 at 95% confidence\n"
    found, s = claims(text)
    part = found[0].parts[0]
    x = f(s, PATHS - C)[rows("plain")]
    half = 1.96 * x.std(ddof=1) / np.sqrt(25)
    assert part.interval == pytest.approx((x.mean() - half, x.mean() + half), abs=0.2 * half)


def test_the_worst_is_chosen_anew_on_each_part():
    found, s = claims("claim whole: completeness(C, knockouts: groups) <= 9\n")
    assert [m.name for m in found[0].members] == ["early", "late"]
    from tests.score.test_scores import UNITS, gap

    for part in found[0].parts[:2]:
        inside = rows(part.value)
        wanted = max(gap(s, UNITS[:2], inside), gap(s, UNITS[2:], inside))
        assert part.estimate == pytest.approx(wanted)


def test_a_searched_score_is_split_inside_the_half_that_judges():
    text = "claim whole: completeness(C, knockouts: greedy(2, seed: 0, runs: 1)) <= 9\n"
    found, _ = claims(text)
    assert sum(part.n for part in found[0].parts) == found[0].n == 20


def test_no_table_without_a_label_or_with_one_value():
    text = "claim good: mean(LD(reference)) >= 1\n"
    assert claims(text, header=HEADER)[0][0].parts == ()
    assert claims(text, kinds=("same",) * 40)[0][0].parts == ()
    assert claims("claim few: paths(C) <= 99\n")[0][0].parts == ()


TWO = SPLIT.replace(
    "group early", 'task u { data = jsonl("more.jsonl"); reference = prompt ADD }\ngroup early'
)
BOTH = "claim alike: mean(LD(reference, task: t)) - mean(LD(reference, task: u)) <= 9\n"


def test_tasks_of_one_claim_are_split_alike_or_not_at_all():
    other = replace(
        task_data(30, "u"), labels={"kind": ("odd",) * 12 + ("plain",) * 12 + ("new",) * 6}
    )
    found, _ = claims(BOTH, header=TWO.replace("ADD", ""), tasks={"u": other})
    assert found[0].parts == ()
    header = TWO.replace("ADD", "; split_by = kind")
    parts = {p.value: p for p in claims(BOTH, header=header, tasks={"u": other})[0][0].parts}
    assert list(parts) == ["plain", "odd", "lone", "new"]
    assert (parts["plain"].n, parts["odd"].n) == (12, 12)
    empty = {"n": 0, "estimate": None, "interval": None, "satisfied": None, "field": "kind"}
    assert parts["new"] == PartResult(value="new", **empty)
    assert parts["lone"] == PartResult(value="lone", **empty)
