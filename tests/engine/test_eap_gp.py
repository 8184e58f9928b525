"""`eap_gp` against its definition: the way on unmodified models, slopes at its points."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from pathdsl.engine.attribution.attribute import attribute
from pathdsl.errors import PlanError
from tests.engine.attribution_cases import MAIN, MODELS, adapter, asked, measured, minus, model_of
from tests.engine.engine_cases import MEAN, NOISE, PAIRED, RESAMPLE, TASK
from tests.engine.family_cases import Exact
from tests.engine.test_attribution_integrals import Literal, runs
from tests.oracle.crossed import Crossed

torch.set_num_threads(1)


def points(name: str, steps: int) -> list[torch.Tensor]:
    """y(0) … y(steps) of every prompt, (rows, pos, d) each, padded with zeros."""
    crossed = Crossed(model_of(name))
    if hasattr(crossed.model, "set_attn_implementation"):
        crossed.model.set_attn_implementation("eager")
    found: list[list[torch.Tensor]] = []
    for row, length in enumerate(TASK.lengths):
        reference, treated = (TASK.prompts[c][row, :length].tolist() for c in ("prompt", "other"))
        found.append(crossed.way(reference, treated, steps))
    width = TASK.n_pos
    return [
        torch.stack([torch.nn.functional.pad(y, (0, 0, 0, width - len(y))) for y in of_rows])
        for of_rows in zip(*found, strict=True)
    ]


@pytest.mark.parametrize(("rule", "counted"), [("left", (1, 2)), ("right", (0, 1))])
@pytest.mark.parametrize("name", MAIN)
def test_the_mean_slope_along_the_way(name: str, rule: str, counted: tuple[int, ...]) -> None:
    with Exact():
        found = attribute(adapter(name), TASK, asked("eap_gp", "edges", steps=2, rule=rule))
        literal, reference, treated = runs(name, PAIRED)
        changes = {at: treated[at] - reference[at] for at in reference}
        way = points(name, 2)
        wanted = sum(literal.slopes(way[j], {}, changes, found.units) for j in counted)
    assert np.abs(found.values).max() > 1e-3
    np.testing.assert_allclose(found.values, wanted / 2, rtol=0, atol=1e-9)


def test_one_step_by_the_rule_right_is_eap() -> None:
    with Exact():
        found = attribute(adapter("llama"), TASK, asked("eap_gp", "edges", steps=1, rule="right"))
        wanted = attribute(adapter("llama"), TASK, asked("eap", "edges"))
    np.testing.assert_allclose(found.values, wanted.values, rtol=0, atol=1e-12)


def test_every_step_has_length_1_and_comes_nearer() -> None:
    with Exact():
        way = points("gpt2", 3)
    for one, other in pairwise(way):
        np.testing.assert_allclose((one - other).flatten(1).norm(dim=1), 1.0, atol=1e-12)


def test_equal_prompts_have_no_way_and_no_scores() -> None:
    task = replace(TASK, prompts={**TASK.prompts, "other": TASK.prompts["prompt"]})
    with Exact():
        found = attribute(adapter("gpt2"), task, asked("eap_gp", "edges", steps=3, rule="left"))
    assert np.abs(found.values).max() == 0.0


@pytest.mark.parametrize("method", ["eap_gp", "peap", "ifr"])
def test_prompts_do_not_hang_on_their_neighbours(method: str) -> None:
    """One prompt at a time, as little memory has it, without the padding beside longer ones."""
    steps = {"steps": 2, "rule": "left"} if method == "eap_gp" else {}
    question = asked(method, "edges", by_position=True, **steps)  # type: ignore[arg-type]
    with Exact():
        every = attribute(adapter("llama"), TASK, question)
        alone = attribute(adapter("llama"), TASK, question, memory=1)
    np.testing.assert_allclose(every.values, alone.values, rtol=0, atol=1e-11)


@pytest.mark.parametrize("spec", [NOISE, RESAMPLE], ids=str)
def test_each_draw_has_a_way_of_its_own(spec: object) -> None:
    question = asked("eap_gp", "edges", steps=2, rule="left", treated=spec)  # type: ignore[arg-type]
    found = attribute(adapter("gpt2"), TASK, question)
    assert np.isfinite(found.values).all() and np.abs(found.values).max() > 1e-3


def test_a_mean_has_no_prompt_to_go_to() -> None:
    with pytest.raises(PlanError) as caught:
        attribute(adapter("gpt2"), TASK, asked("eap_gp", "edges", steps=2, rule="left",
                                               treated=MEAN))  # fmt: skip
    assert caught.value.diagnostics[0].code == "PD435"


def test_it_is_linear_in_the_metric_and_takes_a_divergence() -> None:
    one, other = measured("logprob", "t1"), measured("prob", "t2")

    def scored(metric: object) -> np.ndarray:
        with Exact():
            return attribute(
                adapter("gpt2"), TASK,
                asked("eap_gp", "edges", steps=2, rule="left", metric=metric),  # type: ignore[arg-type]
            ).values  # fmt: skip

    both = scored(minus(one, other))
    np.testing.assert_allclose(both, scored(one) - scored(other), rtol=0, atol=1e-12)
    assert np.abs(scored(measured("kl"))).max() > 1e-6


def test_frozen_norms_are_constants_of_every_run() -> None:
    with Exact():
        question = asked("eap_gp", "edges", steps=2, rule="left")
        frozen = attribute(adapter("gpt2"), TASK, question, frozen=True)
        plain = attribute(adapter("gpt2"), TASK, question)
    assert np.abs(frozen.values - plain.values).max() > 1e-4


def test_the_literal_model_is_the_one_that_is_scored() -> None:
    """The two oracles read the same logits."""
    with Exact(), torch.no_grad():
        literal = Literal(adapter("gpt2"), torch.from_numpy(TASK.lengths))
        ids = torch.from_numpy(TASK.prompts["prompt"])
        logits, _ = literal.run(adapter("gpt2").embed(ids))
        length = int(TASK.lengths[0])
        crossed = Crossed(MODELS["gpt2"]().double())
        other = crossed.streams(ids[0, :length].tolist()).logits
    np.testing.assert_allclose(logits[0, :length], other, rtol=0, atol=1e-11)
