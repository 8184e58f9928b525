"""Attributions in a file: what they are equal to, that each is computed once, proved and kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pathdsl.engine.attribution.attribute as attribute_module
from pathdsl.checking.breaking.claims import program_changes
from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.checking.planned import plan_file
from pathdsl.engine.load.source import shape_of, source_from
from pathdsl.engine.scored import asked_in
from pathdsl.engine.store.store import Store
from pathdsl.errors import ExitCode
from pathdsl.lang.program import load_program
from pathdsl.report.content.method import cost_text
from pathdsl.report.data.result import file_object
from pathdsl.report.data.values import values_of
from pathdsl.report.text.plan import plan_object, plan_report
from pathdsl.report.text.style import View
from pathdsl.score.attribution import Scored, ScoredUnit

HEAD = """circuit c { language = 1 }
model mini = bundled("ioi-mini")
task ioi { data = mini_ioi(take: 40, seed: 0); reference = prompt; treated = prompt_abc }
metric LD: logits = logit(io) - logit(s)
"""
SAME = {
    "node": ("attribution(a3.h1, by: exact)", "effect(through(a3.h1))"),
    "placed": ("attribution(a0.h1 @{S2, END}, by: exact)", "effect(a0.h1 @{S2, END})"),
    "slot": ("attribution(a3.h1, slot: v, by: exact)", "effect({input, any} -[v]-> a3.h1)"),
    "asks": ("attribution(a3.h1 @END, slot: q, by: exact)",
             "effect({input, any} -[q]-> a3.h1 @END)"),
    "read": ("attribution(a3.h1 @S2, slot: k, by: exact)",
             "effect({input, any} @S2 -[k]-> a3.h1)"),
    "edge": ("attribution(a0.h1 -[k]-> a3.h1, by: exact)", "effect(a0.h1 -[k]-> a3.h1)"),
    "size": ("attribution(a3.h1, by: exact, as: rms)", "effect(through(a3.h1), as: rms)"),
    "zero": ("attribution(a3.h1, by: exact, treated: zero)", "effect(a3.h1, treated: zero)"),
    "all": ("attribution(input, by: exact)", "effect(full)"),
    "mark": ("attribution(r2 @S2, by: exact)", "effect(through(r2@S2))"),
}  # fmt: skip
ESTIMATES = """
let guess for h in attn: logits = attribution(h, by: atp)
let keys for h in attn: logits  = attribution(h, slot: k, by: atp)
let real for h in attn: logits  = attribution(h, by: exact)
let two: logits                 = attribution(a0.h1 @{S2, END}, by: atp)
let one for p in [S2, END] = attribution(a0.h1 @p, by: atp)
let edge: logits                = attribution(a3.h1 -> logits, by: eap)
let edges_ for e in edges { a3.h1 -> logits; a3.h2 -> logits } = attribution(e, by: eap)
let size: logits                = attribution(a3.h1, by: atp, as: rms)
let many                        = share(h in attn: attribution(h, by: atp) < -0.1)
let most: logits                = max(h in attn: attribution(h, by: atp))
let best: logits                = top(2, h in attn: attribution(h, by: atp))
let zeroed: logits              = attribution(a3.h1, by: atp, treated: zero)
claim agrees: correlation(guess, real, by: spearman) >= -0.9 at 95% confidence
claim least: min(h in attn: guess[h]) <= 0 at 95% confidence
"""


def run(folder: Path, text: str, store: Store | None = None, **options: Any) -> FileOutcome:
    path = folder / "x.circuit"
    path.write_text(HEAD + text, encoding="utf-8")
    return check_file(str(path), CheckOptions(store=store, **options))


def estimates(outcome: FileOutcome) -> dict[str, float]:
    assert outcome.judgement is not None, [d.message for d in outcome.diagnostics]
    return {one.name: one.estimate or 0.0 for one in outcome.judgement.quantities}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> FileOutcome:
    lets = [
        f"let {name}_{i} = {text}" for name, both in SAME.items() for i, text in enumerate(both)
    ]
    return run(tmp_path_factory.mktemp("a"), "\n".join(lets) + ESTIMATES)


@pytest.mark.parametrize("name", SAME)
def test_exact_is_what_the_language_writes_with_runs(judged: FileOutcome, name: str) -> None:
    found = estimates(judged)
    assert found[f"{name}_0"] == found[f"{name}_1"] != 0


def test_an_estimate_is_the_mean_of_the_scores_of_its_unit(judged: FileOutcome) -> None:
    found, session = estimates(judged), judged.session
    assert session is not None
    task = judged.tasks["ioi"]
    requests = dict.fromkeys(request for request, _ in session.scores_read)
    by_what: dict[tuple[str, str, bool, str], Scored] = {}
    for request in requests:
        asked = asked_in(request)
        scored = attribute_module.attribute(session.adapter, task, asked)  # type: ignore[union-attr]
        by_what[asked.method, asked.of, asked.by_position, str(asked.treated)] = scored
    assert len(requests) == len(by_what) == 4

    def mean(method: str, of: str, treated: str = "prompt_abc", **unit: str) -> float:
        scored = by_what[method, of, False, treated]
        return float(scored.values[scored.units.index(ScoredUnit(**unit))].mean())

    assert found["guess[a3.h1]"] == pytest.approx(mean("atp", "nodes", sender="a3.h1"), rel=1e-12)
    keys = mean("atp", "nodes", receiver="a3.h1", slot="k")
    assert found["keys[a3.h1]"] == pytest.approx(keys, rel=1e-12)
    edge = mean("eap", "edges", sender="a3.h1", receiver="logits")
    assert found["edge"] == found["edges_[a3.h1 -> logits]"] == pytest.approx(edge, rel=1e-12)
    assert found["zeroed"] == pytest.approx(mean("atp", "nodes", "zero", sender="a3.h1"), rel=1e-12)
    scored = by_what["atp", "nodes", False, "prompt_abc"]
    rows = scored.values[scored.units.index(ScoredUnit(sender="a3.h1"))]
    assert found["size"] == pytest.approx(float((rows**2).mean() ** 0.5), rel=1e-12)
    heads = [found[name] for name in found if name.startswith("guess[")]
    assert found["most"] == max(heads)
    assert found["many"] == np.mean([value < -0.1 for value in heads])


def test_a_set_of_positions_is_the_sum_of_its_positions(judged: FileOutcome) -> None:
    found = estimates(judged)
    assert found["two"] == pytest.approx(found["one[S2]"] + found["one[END]"], rel=1e-12)
    assert found["one[END]"] != 0


OTHERS = """
let both                = attribution(m0 @{S2, END} -> m3, by: ifr)
let apart for p in [S2, END] = attribution(m0 @p -> m3, by: ifr)
let read: logits        = attribution(m0 @S2 -[v]-> a3.h1 @END, by: peap)
let all_read: logits    = attribution(m0 @S2 -[v]-> a3.h1, by: peap)
let not_read: logits    = attribution(m0 @S2 -[v]-> a3.h1 @S1, by: peap)
let stream: logits      = attribution(r0 @S2, by: atp)
let node: logits        = attribution(input @S2, by: atp)
let last: logits        = attribution(r4, by: atp)
let summed: logits      = sum(e in edges { {input, any} -> logits }: attribution(e, by: eap))
let way: logits         = attribution(m0 -> logits, by: eap_gp, steps: 1, rule: right)
let slope: logits       = attribution(m0 -> logits, by: eap)
"""


def test_shares_readers_marks_and_ways_in_a_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    outcome = run(tmp_path, OTHERS, store)
    found = estimates(outcome)
    # A share at two tokens is the mean of those at each.
    assert found["both"] == pytest.approx((found["apart[S2]"] + found["apart[END]"]) / 2, rel=1e-9)
    assert 0 < found["both"] < 1
    # The metric reads the last layer's heads at END alone, and no head reads ahead.
    assert found["read"] == pytest.approx(found["all_read"], rel=1e-6) != 0
    assert found["not_read"] == 0
    assert found["stream"] == pytest.approx(found["node"], rel=1e-5) != 0
    assert found["last"] == pytest.approx(found["summed"], rel=1e-4)
    assert found["way"] == pytest.approx(found["slope"], rel=1e-5) != 0
    written = {(row["written"], row["treated"], row["metric"]) for row in values_of(outcome)}
    edge = "attribution(m0 -[v]-> a3.h1, at: S2, read at: END, by: peap)"
    assert (edge, "prompt_abc", "LD") in written
    assert ("attribution(m0 -> m3, at: {S2, END}, by: ifr)", None, None) in written
    again = run(tmp_path, OTHERS, store)
    assert estimates(again) == found
    assert again.session is not None and again.session.attributed == []


def test_claims_about_estimates_have_intervals(judged: FileOutcome) -> None:
    assert judged.judgement is not None
    for claim in judged.judgement.claims:
        low, high = claim.interval
        assert low is not None and high is not None and low < claim.estimate < high


def test_its_scores_are_among_the_values(judged: FileOutcome) -> None:
    rows = [r for r in values_of(judged) if r["written"] == "attribution(a3.h1, slot: k, by: atp)"]
    assert len(rows) == 40 and {r["metric"] for r in rows} == {"LD"}
    assert np.mean([r["value"] for r in rows]) == pytest.approx(estimates(judged)["keys[a3.h1]"])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every attribution that is computed: what was asked, and on how many rows."""
    found: list[Any] = []
    whole = attribute_module.attribute

    def counted(adapter: Any, task: Any, asked: Any, **more: Any) -> Scored:
        found.append((asked, more.get("rows")))
        return whole(adapter, task, asked, **more)

    monkeypatch.setattr(attribute_module, "attribute", counted)
    yield found


MANY = (
    "let a for h in attn: logits = attribution(h, by: atp)\n"
    "let b for h in attn: logits = attribution(h, slot: v, by: atp)\n"
    "let c = share(h in attn: attribution(h, by: atp) > 0)\n"
    "claim d: attribution(a3.h1, by: atp) <= 1 at 95% confidence\n"
)


def test_all_units_of_one_attribution_are_one_request(tmp_path: Path, asked: list[Any]) -> None:
    outcome = run(tmp_path, MANY)
    assert [rows for _, rows in asked] == [None, 4]  # the scores, and the null pair
    (proof,) = [p for _, p in outcome.proofs if p.code == "PD634"]
    assert proof.holds and proof.error == 0.0 and "by: atp" in proof.compared


def test_scores_where_there_can_be_none_end_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = attribute_module.attribute

    def wrong(*given: Any, **more: Any) -> Scored:
        scored = whole(*given, **more)
        return replace(scored, values=scored.values + 0.01)

    monkeypatch.setattr(attribute_module, "attribute", wrong)
    outcome = run(tmp_path, MANY)
    assert outcome.exit_code is ExitCode.MACHINE_FAILED
    assert "PD634" in {d.code for d in outcome.diagnostics}


def test_the_store_gives_the_same_bits(tmp_path: Path, asked: list[Any]) -> None:
    with Store(tmp_path / "cache") as store:
        first = run(tmp_path, MANY, store)
        assert len(asked) == 2
        again = run(tmp_path, MANY, store)
        assert len(asked) == 2
        assert estimates(first) == estimates(again)
        assert first.judgement is not None and again.judgement is not None
        assert first.judgement.claims == again.judgement.claims
        assert first.proofs == again.proofs
        # Another value, metric, method or place is another attribution.
        for more, new in (("treated: zero", 2), ("metric: PR", 2), ("as: rms", 0), ("slot: q", 0)):
            metric = "" if "metric" in more else ", metric: LD"
            text = f"let x = attribution(a3.h1, by: atp, {more}{metric})\n"
            before = len(asked)
            run(tmp_path, "metric PR: prob = prob(io)\n" + text, store)
            assert len(asked) == before + new, more


def test_a_damaged_store_is_no_source_of_scores(tmp_path: Path, asked: list[Any]) -> None:
    with Store(tmp_path / "cache") as store:
        first = run(tmp_path, MANY, store)
        store.index.execute("UPDATE records SET text = '{}'")
        again = run(tmp_path, MANY, store)
    assert len(asked) == 4 and estimates(first) == estimates(again)


def test_both_norm_modes(tmp_path: Path) -> None:
    text = "claim d: attribution(a3.h1, by: atp) <= 1 at 95% confidence\n"
    outcome = run(tmp_path, text, both_norms=True)
    assert outcome.judgement is not None
    (claim,) = outcome.judgement.claims
    assert claim.other_norm is not None and claim.other_norm.estimate != claim.estimate


def test_a_plan_says_what_is_attributed(tmp_path: Path) -> None:
    path = tmp_path / "x.circuit"
    path.write_text(HEAD + MANY, encoding="utf-8")
    outcome = plan_file(str(path), CheckOptions(store=None))
    assert outcome is not None and not outcome.parts
    (one,) = plan_object(outcome)["attributions"]
    assert (one["method"], one["of"], one["task"]) == ("atp", "nodes", "ioi")
    text = plan_report(outcome, View(width=100))
    assert "Attribution by atp, task ioi" in text and "nothing runs" not in text


CHANGED: list[tuple[str, str]] = [
    ("by: atp", "by: exact"),
    ("a3.h1", "a3.h2"),
    ("a3.h1", "a3.h1, slot: q"),
]


@pytest.mark.parametrize(("before", "after"), CHANGED)
def test_another_unit_or_method_is_another_claim(before: str, after: str) -> None:
    text = HEAD + "claim d: attribution(a3.h1, by: atp) <= 1 at 95% confidence\n"
    old, new = (load_program("x.circuit", t)[0] for t in (text, text.replace(before, after)))
    assert old.model is not None
    shape = shape_of(source_from(old.model, "."))
    assert program_changes(old, old, shape) == []
    found = program_changes(old, new, shape)
    assert {change.of for change in found} == {"claim d"}


def test_a_report_counts_what_was_attributed(judged: FileOutcome) -> None:
    cost = file_object(judged)["cost"]
    assert cost["attributions"] == 4 and cost["forwards"] > cost["self_checks"] + 8
    assert "4 attributions" in cost_text(cost)
    assert "estimates" in judged.methodology and "eap" in judged.methodology["estimates"]


def test_thousands_of_edges_share_one_request_and_few_seconds(tmp_path: Path) -> None:
    path = tmp_path / "x.circuit"
    path.write_text(
        HEAD + "let x for e in edges(full): logits = attribution(e, by: eap)\n"
        "let y for e in edges(full): logits = attribution(e, by: eap_ig)\n"
        "claim c: correlation(x, y, by: pearson) > 0.5 at 95% confidence\n",
        encoding="utf-8",
    )
    outcome = plan_file(str(path), CheckOptions(store=None))
    assert outcome is not None
    assert [one.asked.method for one in outcome.attributions] == ["eap", "eap_ig"]
