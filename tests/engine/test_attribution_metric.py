"""Metrics as functions with a gradient, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pathdsl.engine.adapters.base import layers
from pathdsl.engine.attribution.attribute import attribute
from pathdsl.engine.attribution.metric import MetricAt, measures_of, slopes
from pathdsl.engine.attribution.rules import PLAIN
from pathdsl.engine.run import measure as measured_by_engine
from pathdsl.errors import PathdslError
from pathdsl.plan.runs import RunSpec
from pathdsl.score.attribution import Attribution
from pathdsl.score.metrics import atom
from pathdsl.score.quantity import RowExpr, RowMetric, RowNumber, RowOp
from tests.engine.attribution_cases import MAIN, adapter, asked, measured, minus
from tests.engine.attribution_oracle import derivative
from tests.engine.engine_cases import MEAN, PAIRED, TASK, ZERO, treat, values
from tests.engine.family_cases import Exact


def op(name: str, *args: RowExpr) -> RowOp:
    return RowOp(op=name, args=args)  # type: ignore[arg-type]


METRICS = {
    "difference": minus(measured("logit", "t1"), measured("logit", "t2")),
    "list": measured("logprob", "several"),
    "prob": minus(measured("prob", "several"), measured("prob", "t3", "A")),
    "several positions": measured("logit", "t4", "S"),
    "next token": measured("logprob", "next", "END-1"),
    "quotient": op("/", measured("logprob", "t1"),
                   minus(RowNumber(value=9.0), measured("prob", "t2"))),
    "absolute": op("abs", minus(measured("logit", "t1"), measured("logit", "t2"))),
    "largest": op("max", measured("logit", "t1"), measured("logit", "t2"),
                  measured("logprob", "t3")),
    "power": op("^", measured("prob", "t1"), RowNumber(value=0.5)),
}  # fmt: skip


def metric_on(name: str, expr: RowExpr) -> tuple[MetricAt, torch.Tensor]:
    """The metric on all rows, and the final stream of the reference run."""
    model = adapter(name)
    ids, lengths = torch.from_numpy(TASK.prompts["prompt"]), torch.from_numpy(TASK.lengths)
    with torch.no_grad():
        *_, last = layers(model, model.embed(ids), lengths)
    read = {m: TASK.as_read(m) for m in measures_of(expr)}
    found = MetricAt(model, TASK, expr, read, (0, TASK.n_rows), PLAIN)
    found.at_reference(last.after)
    return found, last.after


@pytest.mark.parametrize("expr", METRICS.values(), ids=METRICS)
def test_values_are_those_of_the_engine(expr: RowExpr) -> None:
    one, final = metric_on("gpt2", expr)
    run = RunSpec(task="t", kind="reference")
    wanted = values([run], list(measures_of(expr)))
    for measure, value in one.values(final).items():
        np.testing.assert_allclose(value, wanted[run, measure][0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunk", [1 << 23, 20])
@pytest.mark.parametrize("expr", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize("name", MAIN)
def test_gradients_are_derivatives(
    name: str, expr: RowExpr, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where not all logits are in memory at once."""
    monkeypatch.setattr("pathdsl.engine.attribution.metric.VOCAB_CHUNK", chunk)
    with Exact():
        one, final = metric_on(name, expr)
        gradient = one.gradient(final)
        way = torch.randn(final.shape, dtype=torch.float64)
        found = (gradient * way).sum((1, 2)).numpy()
        wanted = derivative(lambda h: slopes(expr, one.values(final + 0.1 * h * way))[0])
    np.testing.assert_allclose(0.1 * found, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["kl", "reverse_kl"])
def test_a_divergence_has_a_gradient_away_from_the_reference(kind: str) -> None:
    with Exact():
        one, final = metric_on("llama", measured(kind))
        way = torch.randn(final.shape, dtype=torch.float64)
        found = (one.gradient(final + way) * way).sum((1, 2)).numpy()
        wanted = derivative(lambda h: next(iter(one.values(final + (1 + h) * way).values())))
        assert float(one.gradient(final).abs().max()) < 1e-12
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)


def test_the_engine_has_no_other_measures() -> None:
    """Every measure at the logits is either followed here or refused."""
    known = {*measured_by_engine._OF_ANSWERS, *measured_by_engine._OF_PAIRS}
    assert known == {"logit", "prob", "logprob", "rank", "top1", "top_token", "kl", "reverse_kl"}


REFUSED: dict[str, tuple[Attribution, str]] = {
    "rank": (asked("eap", "edges", metric=measured("rank", "t1")), "counts"),
    "hit": (asked("atp", metric=measured("top1", "t1")), "counts"),
    "divergence": (asked("atp", metric=measured("kl")), "0 at the reference run"),
    "norm": (asked("atp", metric=measured("norm")), "not at the logits"),
    "treated": (
        asked("atp", metric=RowMetric(metric=atom(next(measures_of(METRICS["list"]))),
                                      run=treat("q"))),
        "measured on",
    ),
    "mean of inputs": (
        asked("eap_ig", "edges", treated=MEAN, steps=2, rule="right"), "component by component"),
    "zero at both ends": (
        asked("clean_corrupted", "edges", treated=ZERO), "component by component"),
    "no edges": (asked("atp", "edges"), "scores no edges"),
    "no nodes": (asked("eap", "nodes"), "scores no nodes"),
    "no points": (asked("eap_ig", "edges", steps=0, rule="right"), "integral of 0 points"),
    "no rule": (asked("eap_ig", "edges", steps=2, rule="middle"), "rule `middle`"),
    "equality": (
        asked("atp", metric=op("same", METRICS["list"], METRICS["list"])), "no gradient"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_score_is_refused(case: str) -> None:
    question, words = REFUSED[case]
    with pytest.raises(PathdslError) as caught:
        attribute(adapter("gpt2"), TASK, question)
    (found,) = caught.value.diagnostics
    text = " ".join((found.message, *found.notes))
    assert found.code == "PD435" and words in text, text


def test_neurons_behind_a_norm_are_refused() -> None:
    with pytest.raises(PathdslError) as caught:
        attribute(adapter("gemma2"), TASK, asked("atp", "neurons", treated=PAIRED))
    assert "write nothing of their own" in caught.value.diagnostics[0].message


@pytest.mark.parametrize("method", ["eap", "relp", "gim"])
@pytest.mark.parametrize("name", MAIN)
def test_edges_of_a_sender_add_up_to_its_node(name: str, method: str) -> None:
    """At first order a node's output does what its edges do together."""
    nodes = "atp" if method == "eap" else method
    with Exact():
        of_edges = attribute(adapter(name), TASK, asked(method, "edges"))
        of_nodes = attribute(adapter(name), TASK, asked(nodes, "nodes"))
    total: dict[str, np.ndarray] = {}
    for unit, row in zip(of_edges.units, of_edges.values, strict=True):
        total[unit.sender] = total.get(unit.sender, 0.0) + row
    for unit, row in zip(of_nodes.units, of_nodes.values, strict=True):
        if unit.sender:
            np.testing.assert_allclose(total[unit.sender], row, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("method", "of"), [("eap", "edges"), ("atp", "nodes"), ("atp", "neurons")])
def test_positions_add_up(method: str, of: str) -> None:
    whole = attribute(adapter("gpt2"), TASK, asked(method, of))
    apart = attribute(adapter("gpt2"), TASK, asked(method, of, by_position=True))
    assert apart.values.shape == (len(whole.units), TASK.n_pos, TASK.n_rows)
    np.testing.assert_allclose(apart.values.sum(1), whole.values, rtol=0, atol=1e-11)
    assert not apart.values[:, ~TASK.valid.T].any()


def test_how_prompts_are_cut_into_chunks_changes_nothing_but_rounding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = attribute(adapter("gpt2"), TASK, asked("eap", "edges", treated=MEAN))
    monkeypatch.setattr("pathdsl.engine.attribution.cost.CHUNK_TOKENS", 10)
    cut = attribute(adapter("gpt2"), TASK, asked("eap", "edges", treated=MEAN))
    np.testing.assert_allclose(cut.values, whole.values, rtol=0, atol=1e-12)
