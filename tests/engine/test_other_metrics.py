"""`eap_ig` and `atp_star` of metrics that are no difference of two logits, on unmodified models.

Slopes of a probability, of a product of measures and of a log probability hang on all logits, and
in a block whose MLP reads beside its heads the two read one stream; both are told apart here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from pathdsl.engine.attribution.attribute import attribute
from pathdsl.score.quantity import RowExpr, RowOp
from tests.engine.attribution_cases import adapter, asked, measured, model_of
from tests.engine.engine_cases import RESAMPLE, TASK
from tests.engine.family_cases import Exact
from tests.engine.test_graddrop import compare, deep, of_units
from tests.oracle.attributed import Literal
from tests.oracle.crossed import BAD, GOOD, Crossed

torch.set_num_threads(1)

METRICS: dict[str, tuple[RowExpr, Callable[[Tensor], Tensor]]] = {
    "prob": (measured("prob", "t1"), lambda last: last.softmax(-1)[GOOD]),
    "logprob": (measured("logprob", "t2"), lambda last: last.log_softmax(-1)[BAD]),
    "product": (
        RowOp(op="*", args=(measured("logprob", "t1"), measured("logit", "t2"))),
        lambda last: last.log_softmax(-1)[GOOD] * last[BAD],
    ),
}


class Other(Literal):
    """Another metric of the last token's logits."""

    def __init__(self, model: object, read: Callable[[Tensor], Tensor]) -> None:
        super().__init__(model)
        self.read = read

    def metric(self, last: Tensor, good: int, bad: int) -> Tensor:
        """That metric."""
        return self.read(last)


def prompts(row: int) -> tuple[list[int], list[int]]:
    length = int(TASK.lengths[row])
    reference, treated = (TASK.prompts[c][row, :length].tolist() for c in ("prompt", "other"))
    return reference, treated


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", ["gpt_neox", "llama"])
def test_star(name: str, metric: str) -> None:
    expr, read = METRICS[metric]
    with Exact():
        apart = attribute(deep(name), TASK, asked("atp_star", by_position=True, metric=expr))
        whole = attribute(deep(name), TASK, asked("atp_star", metric=expr))
        literal = Other(deep(name).model, read)  # type: ignore[attr-defined]
        for row in range(2):
            by_position, pooled = literal.star(*prompts(row), GOOD, BAD)
            wanted = of_units(apart.units, by_position)
            compare(apart.values[:, : wanted.shape[1], row], wanted)
            compare(whole.values[:, row], of_units(whole.units, pooled))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("rule", "points"), [("right", (1, 2, 3)), ("left", (0, 1, 2))])
@pytest.mark.parametrize("name", ["gpt_neox", "gpt2", "llama"])
def test_integral_over_inputs(name: str, rule: str, points: tuple[int, ...], metric: str) -> None:
    """Every edge into an MLP or the logits, and all edges of a sender into one layer's heads."""
    expr, read = METRICS[metric]
    with Exact():
        question = asked("eap_ig", "edges", steps=3, rule=rule, metric=expr, by_position=True)
        found = attribute(adapter(name), TASK, question)
        model = model_of(name)
        model.set_attn_implementation("eager")
        crossed = Crossed(model)
        for row in range(3):
            reference, treated = prompts(row)
            changes = crossed.changes(reference, treated)
            with torch.no_grad():
                own = crossed.streams(reference).into[0]
            slopes: dict[str, Tensor] = {}
            for k in points:
                at = own + (1 - k / 3) * changes["input"]
                for reader, slope in crossed.reading(reference, at, read).items():
                    slopes[reader] = slopes.get(reader, 0) + slope / 3  # type: ignore[arg-type]
            ours: dict[tuple[str, str], np.ndarray] = {}
            for unit, values in zip(found.units, found.values, strict=True):
                key = unit.sender, unit.receiver.partition(".")[0]
                ours[key] = ours.get(key, 0) + values[: len(reference), row]
            assert max(np.abs(one).max() for one in ours.values()) > 1e-4
            for (sender, reader), values in ours.items():
                wanted = (changes[sender] * slopes[reader]).sum(-1).detach()
                np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("metric", METRICS)
def test_draws_of_a_treated_value(metric: str) -> None:
    """The score of several draws is no score of one of them, and is finite, by every method."""
    expr, _ = METRICS[metric]
    for method, of in (("atp_star", "nodes"), ("eap_ig", "edges"), ("eap_gp", "edges")):
        steps = {"steps": 2, "rule": "left"} if of == "edges" else {}
        question = asked(method, of, metric=expr, treated=RESAMPLE, **steps)  # type: ignore[arg-type]
        found = attribute(deep("gpt_neox"), TASK, question)
        assert np.isfinite(found.values).all() and np.abs(found.values).max() > 1e-5
