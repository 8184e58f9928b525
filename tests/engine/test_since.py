"""Positions before the first change of a treated prompt pass no gradients: no score needs them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pathdsl.engine.attribution.attribute import METHODS, attribute
from pathdsl.engine.attribution.chunks import Chunk
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.plan.taskdata import TaskData
from tests.engine.attribution_cases import DIFFERENCE, MODELS, adapter, asked, measured, minus
from tests.engine.engine_cases import PAIRED, TASK
from tests.engine.family_cases import Exact


def beginning_alike(first: int) -> TaskData:
    """The rows with the first tokens of both prompts equal."""
    other = TASK.prompts["other"].copy()
    other[:, :first] = TASK.prompts["prompt"][:, :first]
    return replace(TASK, prompts={**TASK.prompts, "other": other})


def both_ways(
    monkeypatch: pytest.MonkeyPatch, task: TaskData, name: str, method: str, of: str,
    metric: object = DIFFERENCE,
) -> None:  # fmt: skip
    record = ATTRIBUTIONS[method]
    rule = record.rules[0] if record.rules else ""
    seen: list[int] = []
    own = Chunk._first_change

    def noted(chunk: Chunk, embedded: object) -> int:
        seen.append(own(chunk, embedded))  # type: ignore[arg-type]
        return seen[-1]

    ask = asked(method, of, treated=PAIRED, by_position=True, steps=record.steps, rule=rule,
                metric=metric)  # type: ignore[arg-type]  # fmt: skip
    with Exact():
        monkeypatch.setattr(Chunk, "_first_change", noted)
        found = attribute(adapter(name), task, ask)
        monkeypatch.setattr(Chunk, "_first_change", lambda chunk, embedded: 0)
        wanted = attribute(adapter(name), task, ask)
    causal = adapter(name).shape.causal
    assert seen == [2 if causal else 0]  # heads that see later positions see the change
    assert np.abs(wanted.values).max() > 1e-3
    np.testing.assert_allclose(found.values, wanted.values, rtol=0, atol=1e-11)
    assert bool(np.abs(found.values[:, :2]).max() < 1e-14) is causal


@pytest.mark.parametrize(
    ("method", "of"),
    [(name, of) for name, how in METHODS.items() for of in ("nodes", "marks", "edges", "neurons")
     if getattr(how, of) is not None and not how.whole],
)  # fmt: skip
def test_every_method(monkeypatch: pytest.MonkeyPatch, method: str, of: str) -> None:
    both_ways(monkeypatch, beginning_alike(2), "gpt2", method, of)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "toy_bent"])  # no softmax
@pytest.mark.parametrize("method", ["atp_qk", "atp_star"])
def test_every_structure(monkeypatch: pytest.MonkeyPatch, name: str, method: str) -> None:
    both_ways(monkeypatch, beginning_alike(2), name, method, "nodes")


def test_a_metric_that_reads_before_the_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """`A` is the first token of some rows."""
    metric = minus(measured("logit", "t1"), measured("logit", "t2", "A"))
    both_ways(monkeypatch, beginning_alike(2), "gpt2", "atp_star", "nodes", metric)


def test_equal_prompts_have_no_scores() -> None:
    task = replace(TASK, prompts={**TASK.prompts, "other": TASK.prompts["prompt"]})
    with Exact():
        found = attribute(adapter("gpt2"), task, asked("atp_star", by_position=True))
    assert np.abs(found.values).max() < 1e-15
