"""`chance` by walks and for a share of controls: by hand, on a model, and its level and power."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.draws import Draws
from pathdsl.graph.controls.walks import draw_walks
from pathdsl.graph.model.components import Layout
from pathdsl.score.scores.chance import p_value
from tests.graph.helpers import shape
from tests.score.fakes import HEADER, walked
from tests.score.test_scores import PATHS, C, f, value


def test_walks_and_shares_by_hand() -> None:
    got, s, resolver = value("chance(faithfulness(C, as: rms), among: 30, by: walks, seed: 2)")
    assert len(set(resolver.random_seeds)) == 30 and len(s.rounds) == 1

    def away(kept) -> float:
        return np.sqrt(((f(s, ()) - f(s, PATHS - kept)) ** 2).mean())

    wins = sum(away(walked(seed)) > away(C) + 1e-8 for seed in resolver.random_seeds)
    assert 0 < wins
    assert got.estimate == pytest.approx((1 + 30 - wins) / 31)
    assert got.notes[0].startswith(f"{wins} of 30 random controls score worse")
    share, _, _ = value(
        "chance(faithfulness(C, as: rms), among: 30, by: walks, share: 90%, seed: 2)"
    )
    assert share.estimate == pytest.approx(stats.binomtest(wins, 30, 0.9, "greater").pvalue)


def test_partial_necessity_by_hand() -> None:
    text = "chance(effect(C, as: rms), among: 20, by: walks, share: 80%, seed: 1)"
    got, s, resolver = value(text)

    def hurt(treated) -> float:
        return np.sqrt(((f(s, treated) - f(s, ())) ** 2).mean())

    wins = sum(hurt(walked(seed)) < hurt(C) - 1e-8 for seed in resolver.random_seeds)
    assert got.estimate == pytest.approx(stats.binomtest(wins, 20, 0.8, "greater").pvalue)
    rms, _, _ = value("effect(C, as: rms)")
    assert rms.estimate == pytest.approx(hurt(C)) and rms.interval is not None


def test_minimality_against_edges_of_random_extensions_by_hand() -> None:
    header = HEADER + "path E = edges { a0.h0 -> a1.h0; a0.h1 -> a1.h1 }\n"
    text = "chance(minimality(E, per: edge), among: 12, by: walks, share: 50%, seed: 5)"
    got, s, resolver = value(text, header=header, scale=9.0, seed=4)
    edges = {("a0.h0", "a1.h0"), ("a0.h1", "a1.h1")}

    def moved(kept, edge) -> float:
        return abs((f(s, PATHS - (kept - {edge})) - f(s, PATHS - kept)).mean())

    least = min(moved(edges, edge) for edge in edges)
    wins = 0
    for seed in resolver.random_seeds:
        added = walked(seed) - edges
        edge = min(p for p in added if len(p) == 2)
        wins += moved(edges | added, edge) < least - 1e-8
    assert 0 < wins < 12
    assert got.estimate == pytest.approx(stats.binomtest(wins, 12, 0.5, "greater").pvalue)
    label = min(edges, key=lambda edge: moved(edges, edge))
    note = f"{wins} of 12 random controls score worse than the least edge, `{'->'.join(label)}`"
    assert got.notes == (note,)


def test_the_minimality_test_of_shi_et_al_by_hand() -> None:
    """Each edge against all controls by its mean square, few wins rejecting; Bonferroni."""
    header = HEADER + "path E = edges { a0.h0 -> a1.h0; a0.h1 -> a1.h1 }\n"
    text = "chance(minimality(E, per: edge, as: rms), among: 40, by: walks, {}, side: below)"
    got, s, resolver = value(text.format("share: 80%"), header=header, scale=3.0, seed=4)
    edges = [("a0.h0", "a1.h0"), ("a0.h1", "a1.h1")]
    kept = set(edges)

    def moved(kept, edge) -> float:
        change = f(s, PATHS - (kept - {edge})) - f(s, PATHS - kept)
        return float(np.sqrt((change**2).mean()))

    controls = []
    for seed in resolver.random_seeds:
        added = walked(seed) - kept
        controls.append(moved(kept | added, min(p for p in added if len(p) == 2)))
    wins = [sum(c <= moved(kept, edge) + 1e-8 for c in controls) for edge in edges]
    p = [stats.binomtest(k, 40, 0.8, "less").pvalue for k in wins]
    assert 0 < min(wins) < max(wins)
    assert got.estimate == pytest.approx(min(1.0, 2 * min(p)))
    assert f"{min(wins)} of 40 random controls score no better than the least edge" in got.notes[0]
    assert "after Holm over 2 edges: " in got.notes[0]
    rank, _, _ = value(text.format("seed: 0"), header=header, scale=3.0, seed=4)
    assert rank.estimate == pytest.approx(min(1.0, 2 * (1 + min(wins)) / 41))
    least, _, _ = value("minimality(E, per: edge, as: rms)", header=header, scale=3.0, seed=4)
    assert least.estimate == pytest.approx(min(moved(kept, edge) for edge in edges))
    assert least.interval[0] < least.estimate < least.interval[1]


def test_sides_turn_round_and_doubt_counts_against_either() -> None:
    text = "chance(faithfulness(C, as: rms), among: 30, by: walks, share: 50%, seed: 2, side: {})"
    above, below = (value(text.format(side))[0] for side in ("above", "below"))
    wins = int(above.notes[0].partition(" of ")[0])
    assert above.estimate == pytest.approx(stats.binomtest(wins, 30, 0.5, "greater").pvalue)
    assert below.estimate == pytest.approx(stats.binomtest(wins, 30, 0.5, "less").pvalue)
    for side in ("above", "below"):
        lost, _, _ = value(text.format(side), tolerance=1e3)
        assert lost.estimate == 1.0


def test_a_control_that_rounding_cannot_tell_from_the_circuit_is_no_win() -> None:
    got, _, _ = value("chance(faithfulness(full, as: gap), among: 9, by: walks)", tolerance=1e3)
    assert got.estimate == 1.0


FILE = """
circuit walks {{ language = 1 }}
model mini = bundled("ioi-mini")
task ioi {{ data = mini_ioi(take: 12, seed: 0); reference = prompt; treated = prompt_abc }}
metric LD: logits = logit(io) - logit(s)
path P = edges {{ input -> a0.h1 -[v]-> a2.h0 -[q]-> a3.h1 -> logits; input -[v]-> a3.h1 }}
{lets}
"""


def test_walks_on_a_model_are_those_that_a_file_can_write(tmp_path: Path) -> None:
    draws = Draws(4, "chance")
    seeds = [draws.below(2**31) for _ in range(6)]
    lets = ["let p = chance(faithfulness(P), among: 6, by: walks, seed: 4)"]
    lets += ["let m = chance(minimality(P, per: edge), among: 6, by: walks, seed: 4)"]
    lets += ["let own = faithfulness(P)"]
    lets += [
        f"let c{i} = faithfulness(random_edges(like: P, by: walks, seed: {seed}))"
        for i, seed in enumerate(seeds)
    ]
    path = tmp_path / "walks.circuit"
    path.write_text(FILE.format(lets="\n".join(lets)))
    outcome = check_file(path, CheckOptions())
    found = {q.name: q for q in outcome.judgement.quantities}
    good = sum(found[f"c{i}"].estimate >= found["own"].estimate - 1e-4 for i in range(6))
    assert found["p"].estimate == pytest.approx((1 + good) / 7)
    assert found["m"].estimate in [pytest.approx(k / 7) for k in range(1, 8)]


# -------------------------------------------------------------------------------------------------
# Level and power
# -------------------------------------------------------------------------------------------------


def test_level_and_power_of_the_rank_among_walks() -> None:
    """A circuit that was drawn as its controls are has any rank; a good one has the first."""
    layout = Layout(shape(3, 2))
    rng = np.random.default_rng(0)
    weight = {e: rng.normal() for e in draw_walks(layout, layout.n_edges(), 0)}
    size, n, count = 12, 19, 300

    def total(seed: int) -> float:
        return sum(weight[e] for e in draw_walks(layout, size, seed))

    pool = np.array([total(seed) for seed in range(4000)])
    good = sum(sorted(weight.values())[-size:])
    wrong = right = 0
    for i in range(count):
        drawn = np.random.default_rng([41, i]).choice(pool, n + 1, replace=False)
        wrong += p_value(int((drawn[1:] < drawn[0]).sum()), n, None) <= 0.05
        right += p_value(int((drawn[1:] < good).sum()), n, None) <= 0.05
    error = np.sqrt(0.05 * 0.95 / count)
    print(f"level {wrong / count:.3f} ± {error:.3f}, power {right / count:.3f}")
    assert abs(wrong / count - 1 / 20) <= 3.3 * error
    assert right == count


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_level_and_power_of_a_share_of_controls(share: float) -> None:
    """At the edge of the null the true share of worse controls is q; power where it is higher."""
    n, count = 100, 20_000
    rng = np.random.default_rng(42)
    better = share + 0.6 * (1 - share)
    table = np.array([p_value(k, n, share) for k in range(n + 1)])
    for truth in (share, better):
        got = (table[rng.binomial(n, truth, count)] <= 0.05).mean()
        exact = stats.binom.pmf(np.arange(n + 1), n, truth)[table <= 0.05].sum()
        error = np.sqrt(exact * (1 - exact) / count)
        print(f"q {share}, truth {truth:.2f}: {got:.4f} ± {error:.4f}, exactly {exact:.4f}")
        assert abs(got - exact) <= 3.3 * error
        assert exact <= 0.05 if truth == share else exact > 0.5
    if share == 0.9:  # Shi et al.'s setting: 96 of 100 wins are needed
        assert int(np.argmax(table <= 0.05)) == 96


def test_an_intersection_over_edges_keeps_the_level_without_correction() -> None:
    """One useless edge among many that matter: judging the least edge errs in 5 % at most."""
    n, count, q = 100, 4000, 0.9
    rng = np.random.default_rng(43)
    wins = rng.binomial(n, [q] + [0.99] * 9, (count, 10))  # the first edge is at the null's edge
    least = np.array([p_value(int(k), n, q) <= 0.05 for k in wins.min(axis=1)]).mean()
    some = np.array([p_value(int(k), n, q) <= 0.05 for k in wins.max(axis=1)]).mean()
    error = np.sqrt(0.05 * 0.95 / count)
    print(f"least edge {least:.3f} ± {error:.3f}, any edge {some:.3f}")
    assert least <= 0.05 + 3.1 * error and some > 0.9


def test_level_and_power_of_shi_et_als_minimality() -> None:
    """Ten edges: Bonferroni errs in 5 % at most where all matter at the null's edge."""
    n, count, q, m = 100, 20_000, 0.9, 10
    rng = np.random.default_rng(44)
    wins = rng.binomial(n, q, (count, m))
    table = np.array([p_value(k, n, q, "below") for k in range(n + 1)])
    wrong = (m * table[wins.min(axis=1)] <= 0.05).mean()
    naive = (table[wins.min(axis=1)] <= 0.05).mean()
    wins[:, 0] = rng.binomial(n, 0.5, count)  # one edge like the median useless one
    power = (m * table[wins[:, 0]] <= 0.05).mean()
    error = np.sqrt(0.05 * 0.95 / count)
    print(f"level {wrong:.4f} ± {error:.4f}, uncorrected {naive:.3f}, power {power:.3f}")
    exact = 1 - (1 - stats.binom.pmf(np.arange(n + 1), n, q)[m * table <= 0.05].sum()) ** m
    assert abs(wrong - exact) <= 3.3 * np.sqrt(exact * (1 - exact) / count)
    assert exact <= 0.05 and naive > 0.2 and power > 0.99
    # With q* = 90 %: 84 wins of 100 reject one edge, 79 do with Bonferroni over 50.
    assert int((table <= 0.05).sum()) - 1 == 84
    assert int((50 * table <= 0.05).sum()) - 1 == 79


def test_level_of_the_rank_among_few_renamings() -> None:
    """One head of four is the best of them by luck in 1 of 4 draws, whatever the controls."""
    value_of = np.random.default_rng(45).normal(size=4)
    for n in (19, 200):
        wrong = 0
        for own in range(4):
            others = [h for h in range(4) if h != own]
            drawn = np.random.default_rng(own).choice(others, n)
            better = int((value_of[drawn] >= value_of[own]).sum())
            p = max(p_value(n - better, n, None), 1 / (len(set(drawn.tolist())) + 1))
            wrong += p <= 0.05
        assert wrong == 0


def test_few_different_renamings_give_no_small_p_value(tmp_path: Path) -> None:
    path = tmp_path / "few.circuit"
    own = "path Q = input -> a3.h2 -> logits\n"
    lets = own + "let p = chance(effect(Q, as: rms), among: 40)\n"
    lets += "let of_half = chance(effect(Q, as: rms), among: 40, share: 50%)"
    path.write_text(FILE.format(lets=lets))
    outcome = check_file(path, CheckOptions())
    found = {q.name: q for q in outcome.judgement.quantities}
    assert found["p"].estimate == pytest.approx(1 / 4)
    assert found["p"].notes[0] == "40 of 40 random controls score worse; 3 different ones"
    assert found["of_half"].estimate == pytest.approx(0.5**40)
