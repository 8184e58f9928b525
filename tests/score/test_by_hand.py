"""Every score against a few lines of numpy on hooked runs of the unmodified model.

Definitions: language.md section 6, semantics.md section 5; Wang et al. 2022 (arXiv:2211.00593) for
faithfulness, completeness and minimality of node circuits. Nothing of the engine or of
`pathdsl.score` enters the numbers on the right.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.draws import Draws
from pathdsl.score.quantity import Half
from pathdsl.score.statistics.design import part_mask
from tests.score.by_hand import Cache, Head, Hooked

EXACT = 1e-9
TASKS = {"p": ("paired", False), "m": ("mean", False), "pr": ("paired", True), "mr": ("mean", True)}

GROUPS: dict[str, set[Head]] = {
    "from_io": {(0, 0, "IO"), (1, 2, "IO")},
    "copier": {(0, 2, "S2"), (0, 3, "S2")},
    "carrier": {(1, 1, "END"), (2, 0, "END"), (2, 3, "END")},
    "sup": {(3, 1, "END"), (3, 2, "END")},
}
EXTRA: Head = (0, 1, "")
SMALL = GROUPS["carrier"] | GROUPS["copier"]
C: set[Head] = {h for group in GROUPS.values() for h in group} | {EXTRA}

LETS = """
let recovered_T = faithfulness(nodes, task: T)
let ratio_T     = faithfulness(nodes, as: ratio, task: T)
let gap_T       = faithfulness(nodes, as: gap, task: T)
let explained_T = faithfulness(nodes, as: explained, task: T)
let kl_T        = faithfulness(nodes, as: kl, task: T)
let squared_T   = faithfulness(nodes, as: explained, by: squared, task: T)
let by_kl_T     = faithfulness(nodes, as: explained, by: kl, task: T)
let reversed_T  = faithfulness(nodes, as: explained, by: reverse_kl, task: T)
let aue_T       = faithfulness(nodes, as: unexplained, by: reverse_kl, task: T)
let ate_T       = faithfulness(none, as: unexplained, task: T)
let of_right_T  = faithfulness(nodes, as: agreement, among: right, answer: io, task: T)
let agreement_T = faithfulness(nodes, as: agreement, task: T)
let bare_T      = faithfulness(bare, task: T)
let recovered_attn_T = faithfulness(nodes, task: T, scope: through(attn))
let recovered_last_T = faithfulness(nodes, task: T, scope: through(a3))
let explained_last_T = faithfulness(nodes, as: explained, task: T, scope: through(a3))
let random_T       = completeness(nodes, knockouts: random(6, seed: 0), task: T)
let random_share_T = completeness(nodes, knockouts: random(6, seed: 0), as: share, task: T)
let groups_T       = completeness(nodes, knockouts: groups, task: T)
let node_T         = minimality(nodes, task: T)
let node_share_T   = minimality(nodes, as: share, task: T)
let group_T        = minimality(nodes, per: group, task: T)
let among_groups_T = minimality(nodes, knockouts: groups, task: T)
let given_T        = minimality(nodes, given: { a3.h1: {sup, carrier} }, task: T)
let total_T        = effect(through(a3.h1@END), task: T)
let total_group_T  = effect(through(copier), task: T)
let direct_T       = effect(a2.h0@END -> logits, task: T)
let right_T        = accuracy(keep(nodes), answer: io, task: T)
let sized_T        = mean(abs(LD(reference, task: T) - LD(keep(nodes), task: T)))
"""
ONCE = """
let greedy_gap   = completeness(nodes, knockouts: greedy(2, seed: 0, runs: 1, sample: 50), task: p)
let greedy_wang  = completeness(nodes, task: m,
  knockouts: greedy(2, seed: 0, runs: 1, sample: 50, by: circuit))
let p_value      = chance(faithfulness(small, task: p), among: 5, seed: 4)
let p_value_gap  = chance(completeness(small, knockouts: groups, task: m), among: 3, seed: 4)
let jaccard      = overlap(nodes, other)
let of_one       = overlap(nodes, other, as: of_first)
let of_two       = overlap(nodes, other, as: of_second)
let of_less      = overlap(nodes, other, as: of_smaller)
"""


def written(head: Head) -> str:
    return f"a{head[0]}.h{head[1]}" + (f"@{head[2]}" if head[2] else "")


def head(text: str) -> Head:
    found = re.fullmatch(r"a(\d)\.h(\d)(?:@(\w+))?", text)
    assert found is not None, text
    return int(found[1]), int(found[2]), found[3] or ""


def heads(text: str) -> set[Head]:
    """The heads of a member's name, `{a0.h0@IO, a1.h2@IO}`."""
    return {head(part) for part in text.strip("{}").split(", ") if part}


def source() -> str:
    lines = ["circuit hand { language = 1 }", 'model mini = bundled("ioi-mini", dtype: float64)']
    for task, (kind, of_ratios) in TASKS.items():
        treated = "prompt_abc" if kind == "paired" else "mean(prompt_abc, by: template)"
        lines += [
            f"task {task} {{",
            '  data = mini_ioi(take: 16, seed: 5, order: "abba")',
            f"  reference = prompt; treated = {treated}; positions = [IO, S1, S2]",
            *(["  average = mean_of_ratios"] if of_ratios else []),
            "}",
        ]
    for name, members in GROUPS.items():
        inside = ", ".join(written(h).partition("@")[0] for h in sorted(members))
        lines.append(f"group {name} @{next(iter(members))[2]} = {{ {inside} }}")
    names = ", ".join([*GROUPS, written(EXTRA)])
    lines += [
        f"path nodes = within({names}, mlp)",
        f"path bare = within({names})",
        "path small = within(carrier, copier, mlp)",
        "path other = within(sup, copier, a2.h1@END, mlp)",
        "metric LD: logits = logit(io) - logit(s)",
        *(re.sub(r"\bT\b|(?<=_)T\b", task, LETS) for task in TASKS),
        ONCE,
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> FileOutcome:
    path = tmp_path_factory.mktemp("hand") / "hand.circuit"
    path.write_text(source())
    found = check_file(str(path), CheckOptions(threads=1))
    assert found.judgement is not None, [d.message for d in found.diagnostics]
    return found


@pytest.fixture(scope="module")
def hooked() -> Hooked:
    return Hooked(take=16, seed=5, order="abba")


class Hand:
    """The scores of one task from hooked runs."""

    def __init__(self, hooked: Hooked, task: str) -> None:
        kind, self.of_ratios = TASKS[task]
        self.h, self.by = hooked, getattr(hooked, kind)
        self.model = hooked.ld(hooked.reference)
        self._seen: dict[object, np.ndarray] = {}

    def circuit(self, less: set[Head] = frozenset(), base: set[Head] = C) -> np.ndarray:
        key = ("C", frozenset(base - less))
        if key not in self._seen:
            self._seen[key] = self.h.ld(self.h.circuit(self.by, base - less))
        return self._seen[key]

    def knocked(self, less: set[Head]) -> np.ndarray:
        key = ("M", frozenset(less))
        if key not in self._seen:
            self._seen[key] = self.h.ld(self.h.knocked(self.by, less))
        return self._seen[key]

    def quotient(self, above: np.ndarray, below: np.ndarray, rows: object = slice(None)) -> float:
        above, below = above[rows], below[rows]
        return float((above / below).mean() if self.of_ratios else above.mean() / below.mean())

    def change(
        self, a: np.ndarray, b: np.ndarray, share: bool, rows: object = slice(None)
    ) -> float:
        if share:
            return abs(self.quotient(a - b, self.model, rows))
        return abs(float((a - b)[rows].mean()))

    def incomplete(
        self, k: set[Head], share: bool = False, rows: object = slice(None), base: set[Head] = C
    ) -> float:
        return self.change(self.circuit(k, base), self.knocked(k), share, rows)

    def removal(self, v: set[Head], ks: list[set[Head]], share: bool = False) -> float:
        return max(self.change(self.circuit(k | v), self.circuit(k - v), share) for k in ks)

    def recovered(self, run: np.ndarray, empty: np.ndarray) -> float:
        return self.quotient(run - empty, self.model - empty)

    def explained(self, run: np.ndarray, empty: np.ndarray) -> float:
        return 1 - self.quotient(abs(self.model - run), abs(self.model - empty))


def scores(hooked: Hooked, task: str) -> dict[str, float]:
    hand = Hand(hooked, task)
    by, ld = hand.by, hooked.ld
    kept: Cache = hooked.circuit(by, C)
    run, empty = ld(kept), ld(by)
    all_heads = {(layer, h, "") for layer in range(4) for h in range(4)}
    no_heads, no_last = (
        hand.knocked(all_heads), hand.knocked({h for h in all_heads if h[0] == 3})
    )  # fmt: skip
    last = ld(hooked.circuit_in_last_layer(by, C))
    group_of = {v: group for group in GROUPS.values() for v in group}
    rest = {v: group_of.get(v, {v}) - {v} for v in C}
    return {
        "recovered": hand.recovered(run, empty),
        "ratio": hand.quotient(run, hand.model),
        "gap": abs(hand.model.mean() - run.mean()),
        "explained": hand.explained(run, empty),
        "kl": hooked.kl(kept).mean(),
        "squared": 1 - hand.quotient((hand.model - run) ** 2, (hand.model - empty) ** 2),
        "by_kl": 1 - hand.quotient(hooked.kl(kept), hooked.kl(by)),
        "reversed": 1 - hand.quotient(hooked.kl(kept, True), hooked.kl(by, True)),
        "aue": hooked.kl(kept, True).mean(),
        "ate": abs(hand.model - empty).mean(),
        "of_right": (hooked.top(kept) == hooked.io.numpy())[
            hooked.top(hooked.reference) == hooked.io.numpy()
        ].mean(),
        "agreement": (hooked.top(kept) == hooked.top(hooked.reference)).mean(),
        "bare": hand.recovered(ld(hooked.circuit(by, C, mlps=False)), empty),
        # Every path without a head keeps: the circuit is the same, the empty one is not.
        "recovered_attn": hand.recovered(run, no_heads),
        "recovered_last": hand.recovered(last, no_last),
        "explained_last": hand.explained(last, no_last),
        "groups": max(hand.incomplete(k) for k in GROUPS.values()),
        "node": min(hand.removal({v}, [set(), rest[v]]) for v in C),
        "node_share": min(hand.removal({v}, [set(), rest[v]], True) for v in C),
        "group": min(hand.removal(v, [set()]) for v in GROUPS.values()),
        "among_groups": min(
            hand.removal({v}, [set(), *(g - {v} for g in GROUPS.values())]) for v in C
        ),
        "given": min(
            hand.removal(
                {v},
                [GROUPS["sup"] | GROUPS["carrier"]] if v == (3, 1, "END") else [set(), rest[v]],
            )
            for v in C
        ),
        "total": (hand.knocked({(3, 1, "END")}) - hand.model).mean(),
        "total_group": (hand.knocked(GROUPS["copier"]) - hand.model).mean(),
        "direct": (ld(hooked.direct(by, {(2, 0, "END")})) - hand.model).mean(),
        "right": (hooked.top(kept) == hooked.io.numpy()).mean(),
        "sized": abs(hand.model - run).mean(),
    }


@pytest.mark.parametrize("task", TASKS)
def test_scores(outcome: FileOutcome, hooked: Hooked, task: str) -> None:
    found = {q.name: q for q in outcome.judgement.quantities}
    wanted = scores(hooked, task)
    hand = Hand(hooked, task)
    for name in ("random", "random_share"):
        members = found[f"{name}_{task}"].members
        assert len(members) == 6 and len({m.name for m in members}) == 6
        by_hand = [hand.incomplete(heads(m.name), name == "random_share") for m in members]
        assert [m.estimate for m in members] == pytest.approx(by_hand, abs=EXACT)
        wanted[name] = max(by_hand)
    assert {f"{name}_{task}" for name in wanted} == {
        name for name in found if name.endswith(f"_{task}")
    }
    wrong = {
        name: (found[f"{name}_{task}"].estimate, value)
        for name, value in wanted.items()
        if not abs(found[f"{name}_{task}"].estimate - value) <= EXACT
    }
    assert not wrong


def test_members_of_minimality(outcome: FileOutcome, hooked: Hooked) -> None:
    hand = Hand(hooked, "m")
    found = {q.name: q for q in outcome.judgement.quantities}["node_m"].members
    group_of = {v: group for group in GROUPS.values() for v in group}
    assert {head(m.name) for m in found} == C
    for member in found:
        v = head(member.name)
        ks = [set(), group_of.get(v, {v}) - {v}]
        assert member.estimate == pytest.approx(hand.removal({v}, ks), abs=EXACT)


@pytest.mark.parametrize(("name", "task"), [("greedy_gap", "p"), ("greedy_wang", "m")])
def test_greedy(outcome: FileOutcome, hooked: Hooked, name: str, task: str) -> None:
    """Chosen on one half, judged on the other; a sample larger than C looks at every unit."""
    data, hand = outcome.tasks[task], Hand(hooked, task)
    search = part_mask(data, Half(seed=0, side="search"))
    judge = part_mask(data, Half(seed=0, side="judge"))
    assert search.sum() == judge.sum() == 8 and not (search & judge).any()
    k: set[Head] = set()
    best = hand.incomplete(k, rows=search)
    for _ in range(2):
        grown = [k | {v} for v in sorted(C - k)]
        if name == "greedy_gap":
            values = [hand.incomplete(g, rows=search) for g in grown]
            if max(values) <= best:
                break
        else:
            values = [hand.change(hand.circuit(g), hand.circuit(k), False, search) for g in grown]
        best, k = max(values), grown[int(np.argmax(values))]
    found = {q.name: q for q in outcome.judgement.quantities}[name]
    assert [heads(m.name) for m in found.members] == [k]
    assert found.estimate == pytest.approx(hand.incomplete(k, rows=judge), abs=EXACT)
    assert found.n == 8


def test_overlap_and_chance(outcome: FileOutcome, hooked: Hooked, tmp_path: Path) -> None:
    found = {q.name: q for q in outcome.judgement.quantities}
    other = GROUPS["sup"] | GROUPS["copier"] | {(2, 1, "END")}
    shared = len(C & other)
    # The text names MLPs by `mlp`, which is background and no unit.
    assert found["jaccard"].estimate == pytest.approx(shared / len(C | other))
    assert found["of_one"].estimate == pytest.approx(shared / len(C))
    assert found["of_two"].estimate == pytest.approx(shared / len(other))
    assert found["of_less"].estimate == pytest.approx(shared / min(len(C), len(other)))
    assert all(found[n].interval is None or len(set(found[n].interval)) == 1 for n in ("jaccard",))

    draws = Draws(4, "chance")
    seeds = [draws.below(2**31) for _ in range(5)]
    lets = "".join(
        f"let c{i} = overlap(random_like(small, seed: {s}), small)\n" for i, s in enumerate(seeds)
    )
    path = tmp_path / "controls.circuit"
    path.write_text(source().split("\nlet ", 1)[0] + "\n" + lets)
    resolver, program = controls_of(path)
    paired, mean = Hand(hooked, "p"), Hand(hooked, "m")
    recovered, gaps = [], []
    for let in program.lets.values():
        renamed = let.expression.subjects[0]
        control = {head(u.label) for u in resolver.units(renamed)}
        assert len(control) == len(SMALL) and not control & SMALL
        recovered.append(paired.recovered(paired.circuit(base=control), hooked.ld(hooked.paired)))
        groups = [{head(u.label) for u in us} for _, us in resolver.groups_of(renamed)]
        gaps.append(max(mean.incomplete(g, base=control) for g in groups))
    own = paired.recovered(paired.circuit(base=SMALL), hooked.ld(hooked.paired))
    assert found["p_value"].estimate == pytest.approx((1 + sum(r >= own for r in recovered)) / 6)
    gap = max(mean.incomplete(GROUPS[g], base=SMALL) for g in ("carrier", "copier"))
    assert found["p_value_gap"].estimate == pytest.approx((1 + sum(g <= gap for g in gaps[:3])) / 4)


def controls_of(path: Path):
    from pathdsl.checking.prepare import prepare
    from pathdsl.lang.program import load_program

    program, faults = load_program(str(path), path.read_text())
    assert not faults
    return prepare(program, CheckOptions()).resolver, program
