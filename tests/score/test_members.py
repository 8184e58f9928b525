"""What loops over lists and functions over members measure: the same as written out, and the
intervals of shares: exact cases, and their level and power in simulations.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pathdsl
from benchmarks import levels
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.planned import plan_file
from pathdsl.lang.lint import lint_file
from pathdsl.score.quantity import Among, Constant, Op, difference, ratio, summed
from tests import seeds as counts
from tests.score.arrays import agg, bootstrap
from tests.score.test_coverage import error

HEAD = """circuit members "Members" { language = 1 }
model mini = bundled("ioi-mini")
task ioi { data = mini_ioi(take: 40, seed: 0); reference = prompt; treated = prompt_abc }
task abba = ioi where order == "abba"
group movers @END = { a3.h1, a3.h2 }
group early  @END = { a0.h0, a0.h2 }
path late   = movers -> logits
path direct = early -> logits
metric LD: logits = logit(io) - logit(s)
metric L2: logits = 2 * (logit(io) - logit(s))
"""
SAME = {
    "g[early]": "effect(through(early), metric: LD, task: ioi)",
    "n[{a0.h0, a1.h1}]": "effect(through({a0.h0, a1.h1}), metric: LD, task: ioi)",
    "t[abba]": "mean(LD(treat(late), task: abba))",
    "p[direct]": "effect(direct, metric: LD, task: ioi)",
    "m[L2]": "mean(L2(treat(late), task: ioi))",
    "pos[S1+1]": "effect(through(m0@S1+1), metric: LD, task: ioi)",
    "i[2]": "effect(through(m0@[2]), metric: LD, task: ioi)",
    "s[1]": "effect(random_like(late, seed: 1), metric: LD, task: ioi)",
    "l[a1]": "effect(through(a1@END), metric: LD, task: ioi)",
    "w[a1..a2]": "effect(through({a1, a2}@END), metric: LD, task: ioi)",
    "h[r1, S2]": "effect(through(r1@S2), metric: LD, task: ioi)",
    "h[r0, END]": "effect(through(r0@END), metric: LD, task: ioi)",
    "x[late, abba]": "faithfulness(late, metric: LD, task: abba)",
}
LOOPS = """
let g for z in [movers, early] = effect(through(z), metric: LD, task: ioi)
let n for z in [{a0.h0, a1.h1}, movers] = effect(through(z), metric: LD, task: ioi)
let t for z in [ioi, abba] = mean(LD(treat(late), task: z))
let p for z in [late, direct] = effect(z, metric: LD, task: ioi)
let m for z in [LD, L2] = mean(z(treat(late), task: ioi))
let pos for z in [S1, S1+1] = effect(through(m0@z), metric: LD, task: ioi)
let i for z in [1..2] = effect(through(m0@[z]), metric: LD, task: ioi)
let s for z in [0, 1] = effect(random_like(late, seed: z), metric: LD, task: ioi)
let l for z in windows(attn, 1, by: layer) = effect(through(z@END), metric: LD, task: ioi)
let w for z in windows(attn, 2, by: layer) = effect(through(z@END), metric: LD, task: ioi)
let h for r in r[0..1], z in [S2, END] = effect(through(r@z), metric: LD, task: ioi)
let x for z in [late, direct], u in [ioi, abba] = faithfulness(z, metric: LD, task: u)
let of_two: logits = h[r1, S2] - g[early] + l[a1]
"""
HEADS = [f"a{layer}.h{head}" for layer in range(2) for head in range(4)]
EFFECT = "effect(through({}), metric: LD, task: ioi)"
ALL = ", ".join(EFFECT.format(head) for head in HEADS)
OVER = {
    "max": (f"max({ALL})", "max(z in a[0..1]: {})"),
    "min": (f"min({ALL})", "min(z in a[0..1]: {})"),
    "sum": (" + ".join(EFFECT.format(head) for head in HEADS), "sum(z in a[0..1]: {})"),
    "mean": (
        "(" + " + ".join(EFFECT.format(head) for head in HEADS) + ") / 8",
        "mean(z in a[0..1]: {})",
    ),
}


def written(folder: Path, *lines: str) -> str:
    path = folder / "members.circuit"
    path.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def values(path: str, only: str | None = None) -> dict[str, tuple[object, object]]:
    judgement = pathdsl.check(path, only=only).outcome.judgement
    assert judgement is not None
    return {q.name: (q.estimate, q.interval) for q in judgement.quantities}


def test_a_member_is_what_it_is_written_out(tmp_path: Path) -> None:
    ones = [f"let one_{i} = {text}" for i, text in enumerate(SAME.values())]
    found = values(written(tmp_path, LOOPS, *ones))
    for i, name in enumerate(SAME):
        assert found[name] == found[f"one_{i}"], name
    of_two = found["of_two"][0]
    parts = [found[name][0] for name in ("h[r1, S2]", "g[early]", "l[a1]")]
    assert of_two == pytest.approx(parts[0] - parts[1] + parts[2])  # type: ignore[operator]
    assert [name for name in found if name.startswith("x[")] == [
        "x[late, ioi]", "x[late, abba]", "x[direct, ioi]", "x[direct, abba]",
    ]  # fmt: skip


def test_functions_over_members_are_what_they_are_written_out(tmp_path: Path) -> None:
    lines = [f"let {name}_one = {one}" for name, (one, _) in OVER.items()]
    lines += [
        f"let {name}_over = {over.format(EFFECT.format('z'))}" for name, (_, over) in OVER.items()
    ]
    lines.append(f"let each for z in a[0..1] = {EFFECT.format('z')}")
    lines.append(f"let lost = share(z in a[0..1]: {EFFECT.format('z')} < -0.5)")
    lines.append(f"let turned = 1 - share(z in a[0..1]: {EFFECT.format('z')} >= -0.5)")
    found = values(written(tmp_path, *lines))
    for name in OVER:
        one, over = found[f"{name}_one"], found[f"{name}_over"]
        assert one[0] == pytest.approx(over[0], rel=1e-12), name
        assert one[1] == pytest.approx(over[1], rel=1e-9), name
    each = [one[0] for name, one in found.items() if name.startswith("each[")]
    expected = sum(one < -0.5 for one in each) / 8  # type: ignore[operator]
    assert found["lost"][0] == expected
    assert found["turned"][0] == pytest.approx(expected)
    assert found["turned"][1] == pytest.approx(found["lost"][1])


def test_one_member_of_a_product_is_asked_for_by_its_name(tmp_path: Path) -> None:
    path = written(tmp_path, LOOPS)
    every = values(path)
    ((name, (estimate, _)),) = values(path, only="h[r1,S2]").items()
    assert name == "h[r1, S2]"
    assert estimate == pytest.approx(every[name][0], rel=1e-5)
    with pytest.raises(Exception, match="no such member"):
        values(path, only="h[r1]")


def test_two_variables_cost_no_more_a_run_than_one(tmp_path: Path) -> None:
    two = "let h for r in r[0..2], p in [S2, END] = effect(through(r@p), metric: LD, task: ioi)"
    ones = "\n".join(
        f"let h_{p} for r in r[0..2] = effect(through(r@{p}), metric: LD, task: ioi)"
        for p in ("S2", "END")
    )
    costs = []
    for lines in (two, ones):
        planned = plan_file(written(tmp_path, lines), CheckOptions())
        assert planned is not None
        (part,) = [part for part in planned.parts if part.plan.outputs]
        costs.append((len(part.plan.outputs), part.cost.forwards, part.cost.copies_by_layer))
    assert costs[0] == costs[1]


def test_results_say_what_each_variable_stands_for(tmp_path: Path) -> None:
    claim = "claim c for r in r[0..1], at_ in [S2, END]: h[r, at_] < 9 at 95% confidence by holm()"
    found = pathdsl.check(written(tmp_path, LOOPS, claim)).to_dict()
    (file,) = found["files"]
    said = {one["name"]: one.get("indices") for one in (*file["quantities"], *file["claims"])}
    assert said["h[r1, S2]"] == {"r": "r1", "z": "S2"}
    assert said["c[r0, END]"] == {"r": "r0", "at_": "END"}
    assert said["of_two"] is None


def test_another_set_in_the_place_of_one_member_is_nothing_to_say_of_all(tmp_path: Path) -> None:
    effect = EFFECT.format("z")
    claims = (
        f"claim few: share(z in a[0..1]: {effect} < -0.1) <= 90% at 95% confidence",
        f"claim large: max(z in a[0..1]: {effect}) < 90 at 95% confidence",
    )
    found = pathdsl.check(written(tmp_path, *claims))
    assert "PD525" not in {fault.code for fault in found.outcome.diagnostics}
    (file,) = found.to_dict()["files"]
    assert [claim["over_members"] for claim in file["claims"]] == ["share", "max"]
    assert [len(claim["members"]) for claim in file["claims"]] == [8, 8]
    assert "of 8 members" in " ".join(file["claims"][0]["notes"])


def test_a_share_lies_between_none_and_all(tmp_path: Path) -> None:
    claim = f"claim few: share(z in a[0..1]: {EFFECT.format('z')} < -0.1) <= 100%"
    found = lint_file(written(tmp_path, claim))[1]
    assert "PD526" in {fault.code for fault in found}


# -------------------------------------------------------------------------------------------------
# Intervals of shares
# -------------------------------------------------------------------------------------------------


def among(nodes, relation="<", threshold=0.0) -> Among:
    members = tuple((f"k{i}", node) for i, node in enumerate(nodes))
    return Among(relation=relation, threshold=threshold, members=members)


def test_a_share_goes_from_what_surely_is_to_all_but_what_surely_is_not() -> None:
    r = np.random.default_rng(0)
    means = (-5.0, -4.0, 0.0, 0.01, 5.0)
    columns = {f"c{i}": r.normal(m, 1, 60) for i, m in enumerate(means)}
    b = bootstrap(columns)
    share = among([agg(name) for name in columns])
    found = b.interval(share, 0.95)
    assert found.pair() == (2 / 5, 4 / 5)
    assert not b.undefined(share, 0.95)
    turned = b.interval(difference(Constant(value=1.0), share), 0.95)
    assert turned.pair() == pytest.approx((1 / 5, 3 / 5))
    assert b.interval(among([agg("c0"), agg("c1")]), 0.95).pair() == (1.0, 1.0)


def test_a_member_that_may_divide_by_zero_counts_on_both_sides() -> None:
    r = np.random.default_rng(1)
    columns = {"a": r.normal(-5, 1, 60), "zero": r.normal(0, 1, 60), "one": r.normal(3, 1, 60)}
    b = bootstrap(columns)
    undefined = ratio(agg("a"), agg("zero"))
    share = among([agg("a"), undefined, ratio(agg("a"), agg("one")), agg("one")])
    assert b.undefined(undefined, 0.95)
    assert not b.undefined(share, 0.95)
    assert b.interval(share, 0.95).pair() == (2 / 4, 3 / 4)


def test_more_members_are_held_together_by_a_longer_tail() -> None:
    r = np.random.default_rng(2)
    shared = r.normal(0, 1, 40)
    columns = {f"c{i}": r.normal(0, 1, 40) for i in range(40)} | {"edge": shared - shared.mean()}
    columns["edge"] += 0.34 - columns["edge"].mean()  # its own interval leaves 0 out by little
    b = bootstrap(columns, 2000)
    assert b.interval(among([agg("edge")], ">"), 0.95).pair() == (1.0, 1.0)
    many = among([agg("edge"), *(agg(f"c{i}") for i in range(40))], ">")
    low, _ = b.interval(many, 0.95).pair() or (0.0, 0.0)
    assert low == 0.0


@pytest.mark.parametrize(("relation", "share"), [("<", 0.0), ("<=", 1.0), (">", 0.0), (">=", 1.0)])
def test_a_value_at_the_threshold_satisfies_what_is_not_strict(relation, share) -> None:
    b = bootstrap({"x": np.full(40, 0.25)}, tolerance=0.0)
    node = among([agg("x"), agg("x", "median")], relation, 0.25)
    assert b.evaluator.estimate(node) == share


def test_rounding_moves_a_share_by_the_members_that_it_may_carry_across() -> None:
    columns = {"x": np.linspace(-1, 1, 40), "far": np.linspace(4, 6, 40)}
    b = bootstrap(columns, tolerance=1e-3)
    assert b.evaluator.allowance(among([agg("x"), agg("far")])) == 0.5
    assert b.evaluator.allowance(among([agg("far")])) == 0.0


def test_a_sum_of_many_members_is_shallow() -> None:
    total = summed([agg("x")] * 1000)
    depth, level = 0, [total]
    while level:
        depth, level = depth + 1, [a for one in level if isinstance(one, Op) for a in one.args]
    assert depth <= 12
    b = bootstrap({"x": np.arange(40.0)})
    assert b.evaluator.estimate(total) == pytest.approx(1000 * 19.5)
    assert b.evaluator.estimate(summed([])) == 0.0


@pytest.mark.parametrize("count", counts.samples("extremes"))
def test_a_share_covers_the_truth_and_no_noise_is_a_member(count: int) -> None:
    for row in levels.shares(count, lambda line: None, (("normal", 8, 40), ("t3", 8, 40))):
        print(row)
        assert row["missed"] / 100 <= 0.05 + error(0.05, count)
        assert row["by_noise"] / 100 <= 0.05 + error(0.05, count)
        assert row["found"] >= 60
