"""Every score in every form against arithmetic on the fake world."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from pathdsl.score.judge import judge
from tests.score.fakes import HEADER, PATHS, Algebra, FakeUnit, world

C = frozenset(p for p in PATHS if set(p) <= {"a0.h0", "a0.h1", "a1.h0", "a1.h1"})
UNITS = [FakeUnit("a0.h0"), FakeUnit("a0.h1"), FakeUnit("a1.h0", "@END"), FakeUnit("a1.h1", "@END")]


def run(text: str, **options):
    program, resolver, session = world(text, **options)
    return judge(program, resolver, session, algebra=Algebra()), session, resolver


def value(expression: str, **options):
    judgement, session, resolver = run(f"let x = {expression}\n", **options)
    return judgement.quantities[0], session, resolver


def f(session, treated, part=slice(None)) -> np.ndarray:
    return session.metric("t", frozenset(treated)).mean(axis=0)[part]


def through(units) -> frozenset:
    return frozenset(p for p in PATHS for u in units if u.head in p)


def by_hand(form, m, c, e, ratios) -> float:
    if form == "recovered" and ratios:
        return ((c - e) / (m - e)).mean()
    if form == "ratio" and ratios:
        return (c / m).mean()
    if form == "explained" and ratios:
        return 1 - (abs(m - c) / abs(m - e)).mean()
    return {
        "recovered": (c.mean() - e.mean()) / (m.mean() - e.mean()),
        "ratio": c.mean() / m.mean(),
        "gap": abs(m.mean() - c.mean()),
        "explained": 1 - abs(m - c).mean() / abs(m - e).mean(),
        "kl": ((c - m) ** 2).mean(),
        "agreement": (np.floor(m / 6) == np.floor(c / 6)).mean(),
    }[form]


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("average", ["ratio_of_means", "mean_of_ratios"])
@pytest.mark.parametrize("scope", ["", ", scope: through(early)"])
def test_faithfulness_in_all_forms(draws, average, scope):
    header = HEADER.replace("treated = other", f"treated = other; average = {average}")
    base = through(UNITS[:2]) if scope else PATHS
    for form in ("recovered", "ratio", "gap", "explained", "kl", "agreement"):
        got, s, _ = value(f"faithfulness(C, as: {form}{scope})", draws=draws, header=header)
        m, c, e = (s.metric("t", frozenset(t)) for t in ((), base - C, base))
        want = by_hand(form, m, c, e, average == "mean_of_ratios")
        assert got.estimate == pytest.approx(want), form
        assert got.n == 40


def test_effect_accuracy_and_arithmetic():
    got, s, _ = value("effect(through(a1.h0))")
    assert got.estimate == pytest.approx((f(s, through([FakeUnit("a1.h0")])) - f(s, ())).mean())
    got, s, _ = value("accuracy(keep(C), answer: io)")
    hits = f(s, PATHS - C) > 12
    assert got.estimate == pytest.approx(hits.mean())
    got, s, _ = value(
        "median(max(LD(reference), 2 * LD(treated))) - quantile(LD(keep(C)), 90%)"
        " + std(abs(LD(reference) - LD(keep(C)))) ^ 2"
    )
    m, c, e = f(s, ()), f(s, PATHS - C), f(s, PATHS)
    want = np.median(np.maximum(m, 2 * e)) - np.quantile(c, 0.9) + np.std(m - c, ddof=1) ** 2
    assert got.estimate == pytest.approx(want)


def test_counts():
    for expression, want in {
        "paths(C)": len(C),
        "overlap(C, within(early, a1.h2))": 2 / 5,
        "overlap(C, within(early, a1.h2), as: of_second)": 2 / 3,
        "overlap(C, within(early), as: of_smaller)": 1.0,
        "overlap(C, within(early), as: of_first)": 0.5,
        "overlap(C, full, over: edge)": len(C) / len(PATHS),
        "overlap(C, full, as: of_second)": 4 / 6,
    }.items():
        got, session, _ = value(expression)
        assert got.estimate == pytest.approx(want), expression
        assert got.interval == (got.estimate, got.estimate)
        assert not session.rounds


def gap(session, knockouts, part=slice(None)) -> float:
    cut = through(knockouts)
    return abs((f(session, PATHS - (C - cut), part) - f(session, cut, part)).mean())


@pytest.mark.parametrize("form", ["gap", "share"])
def test_completeness_over_random_subsets_and_groups(form):
    got, s, _ = value(f"completeness(C, knockouts: groups, as: {form})")
    below = f(s, ()).mean() if form == "share" else 1.0
    assert got.estimate == pytest.approx(max(gap(s, UNITS[:2]), gap(s, UNITS[2:])) / below)
    assert [m.name for m in got.members] == ["early", "late"]
    got, s, _ = value(f"completeness(C, knockouts: random(200, seed: 3), as: {form})")
    every = [k for i in range(5) for k in combinations(UNITS, i)]
    assert len(got.members) == len(every)  # 200 draws of 16 subsets reach all of them
    assert got.estimate == pytest.approx(max(gap(s, k) for k in every) / below)
    assert len(s.rounds) == 1


def brute_greedy(session, by, steps, part):
    chosen: list = []
    best = gap(session, (), part)
    for _ in range(steps):
        options = []
        for v in UNITS:
            if v in chosen:
                continue
            k = [*chosen, v]
            new, old = PATHS - (C - through(k)), PATHS - (C - through(chosen))
            change = abs((f(session, new, part) - f(session, old, part)).mean())
            options.append((gap(session, k, part) if by == "incompleteness" else change, v))
        if not options:
            break
        score, v = max(options, key=lambda o: o[0])
        if by == "incompleteness" and score <= best:
            break
        chosen, best = [*chosen, v], score
    return chosen


@pytest.mark.parametrize("by", ["incompleteness", "circuit"])
def test_completeness_by_both_published_greedy_searches(by):
    knockouts = f"greedy(2, seed: 0, runs: 2, sample: 10, by: {by})"
    got, s, _ = value(f"completeness(C, knockouts: {knockouts}, split: false)")
    assert got.estimate == pytest.approx(gap(s, brute_greedy(s, by, 2, slice(None))))
    assert got.n == 40 and len(got.members) == 1  # equal runs are one member
    got, s, _ = value(f"completeness(C, knockouts: {knockouts})")
    from pathdsl.score.quantity import Half
    from pathdsl.score.statistics.design import part_mask

    search = part_mask(s.tasks["t"], Half(seed=0, side="search"))
    assert got.n == 20
    assert got.estimate == pytest.approx(gap(s, brute_greedy(s, by, 2, search), ~search))
    # A start (for `incompleteness`), one round per step, one to judge: all candidates together.
    assert len(s.rounds) <= 4


def change(session, more, less) -> float:
    a, b = (f(session, PATHS - (C - through(k))) for k in (more, less))
    return abs((a - b).mean())


def test_minimality_with_its_knockouts():
    rest = {u: [w for w in UNITS if w.at == u.at and w != u] for u in UNITS}
    got, s, _ = value("minimality(C)")
    each = {u: max(change(s, [u], []), change(s, [u, *rest[u]], rest[u])) for u in UNITS}
    assert got.estimate == pytest.approx(min(each.values()))
    assert {m.name: m.estimate for m in got.members} == pytest.approx(
        {u.label: e for u, e in each.items()}
    )
    got, s, _ = value("minimality(C, as: share)")
    assert got.estimate == pytest.approx(min(each.values()) / f(s, ()).mean())
    got, s, _ = value("minimality(C, knockouts: groups)")
    groups = [UNITS[:2], UNITS[2:]]
    want = min(
        max(change(s, [u, *k], k) for k in [[], *([w for w in g if w != u] for g in groups)])
        for u in UNITS
    )
    assert got.estimate == pytest.approx(want)
    got, s, _ = value("minimality(C, per: group)")
    assert got.estimate == pytest.approx(min(change(s, g, []) for g in groups))
    got, s, _ = value("minimality(C, per: group, given: { early: a1.h0 })")
    given = [change(s, [*groups[0], UNITS[2]], [UNITS[2]]), change(s, groups[1], [])]
    assert got.estimate == pytest.approx(min(given))
    got, s, _ = value("minimality(C, given: { a1.h0: early })")
    each[UNITS[2]] = change(s, [UNITS[2], *UNITS[:2]], UNITS[:2])
    assert got.estimate == pytest.approx(min(each.values()))
    assert got.members[2].estimate == pytest.approx(each[UNITS[2]])


def test_minimality_by_greedy_search_and_per_edge():
    got, s, _ = value(
        "minimality(C, knockouts: greedy(4, seed: 0, runs: 1, sample: 9), split: false)"
    )
    every = [k for i in range(4) for k in combinations(UNITS, i)]
    best = {u: max(change(s, [u, *k], k) for k in every if u not in k) for u in UNITS}
    alone = {u: change(s, [u], []) for u in UNITS}
    for member, u in zip(got.members, UNITS, strict=True):
        assert alone[u] - 1e-9 <= member.estimate <= best[u] + 1e-9
    got, s, _ = value(
        "minimality(E, per: edge)",
        header=HEADER + "path E = edges { a0.h0 -> a1.h0; a0.h1 -> a1.h1 }\n",
    )
    edges = [("a0.h0", "a1.h0"), ("a0.h1", "a1.h1")]
    whole = f(s, PATHS - set(edges))
    want = min(abs((f(s, PATHS - (set(edges) - {e})) - whole).mean()) for e in edges)
    assert got.estimate == pytest.approx(want)


def test_chance_counts_controls_at_least_as_good():
    got, s, resolver = value("chance(faithfulness(C), among: 30, seed: 2)")
    assert len(set(resolver.random_seeds)) == 30 and len(s.rounds) == 1
    m, e = f(s, ()).mean(), f(s, PATHS).mean()

    def score(shift):
        inside = {f"a{i}.h{(j + shift) % 3}" for i in range(2) for j in range(2)}
        kept = {p for p in PATHS if set(p) <= inside}
        return (f(s, PATHS - kept).mean() - e) / (m - e)

    good = sum(score(seed % 3) >= score(0) - 1e-9 for seed in resolver.random_seeds)
    assert got.estimate == pytest.approx((1 + good) / 31)


def test_lets_by_name_and_by_member_and_one_round_for_all():
    text = """
    let direct for h in late: logits = mean(LD(treat(through(h))) - LD(reference))
    let ratio = direct[a1.h0] / direct[a1.h1@END]
    let base = mean(LD(reference))
    let twice = 2 * base
    claim sum for h in late: direct[h] + base > 0 at 95% confidence
    """.replace("\n    ", "\n")
    judgement, s, _ = run(text)
    values = {q.name: q.estimate for q in judgement.quantities}
    one = (f(s, through([UNITS[2]])) - f(s, ())).mean()
    two = (f(s, through([UNITS[3]])) - f(s, ())).mean()
    assert values["direct[a1.h0@END]"] == pytest.approx(one)
    assert values["ratio"] == pytest.approx(one / two)
    assert values["twice"] == pytest.approx(2 * f(s, ()).mean())
    assert [c.name for c in judgement.claims] == ["sum[a1.h0@END]", "sum[a1.h1@END]"]
    assert judgement.claims[1].estimate == pytest.approx(two + f(s, ()).mean())
    assert len(s.rounds) == 1
    units = {q.name: q.unit for q in judgement.quantities}
    assert units["ratio"] == "none" and units["twice"] == "logits"


def test_only_one_claim_is_measured():
    program, resolver, session = world(
        "claim a: faithfulness(C) >= 80%\nclaim b: accuracy(reference, answer: io) >= 1%\n"
    )
    found = judge(program, resolver, session, only="b", algebra=Algebra())
    assert [c.name for c in found.claims] == ["b"]
    assert {m.kind for _, m in session.asked} == {"top1"}
