"""`peap` against its definition on unmodified models."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pathdsl.engine.attribution.attribute import attribute
from pathdsl.engine.data.positions import token_at
from pathdsl.errors import PlanError
from pathdsl.graph.paths.pathset import Pos
from pathdsl.score.attribution import ScoredUnit
from tests.engine.attribution_cases import MAIN, adapter, asked, measured, minus, model_of
from tests.engine.engine_cases import SPECS, TASK
from tests.engine.family_cases import Exact
from tests.oracle.crossed import Crossed

torch.set_num_threads(1)
SLOTS = "qkv"


def crossed(name: str) -> Crossed:
    model = model_of(name)
    model.set_attn_implementation("eager")
    return Crossed(model)


def of_unit(unit: ScoredUnit, found: dict[tuple[str, int], torch.Tensor]) -> np.ndarray:
    """(i, j) of one edge into a head."""
    layer, head = (int(part[1:]) for part in unit.receiver.split("."))
    return found[unit.sender, layer][SLOTS.index(unit.slot), head].numpy()


@pytest.mark.parametrize("name", [*MAIN, "qwen3"])
def test_crossing_edges_at_every_pair_of_tokens(name: str) -> None:
    rows = 2
    with Exact():
        model = adapter(name)
        whole = attribute(model, TASK, asked("peap", "edges"))
        apart = attribute(model, TASK, asked("peap", "edges", by_position=True))
        read = [
            attribute(model, TASK, asked("peap", "edges", by_position=True,
                                         reader=token_at(TASK, place)))
            for place in range(TASK.n_pos)
        ]  # fmt: skip
        literal = crossed(name)
        for row in range(rows):
            length = int(TASK.lengths[row])
            prompts = (TASK.prompts[c][row, :length].tolist() for c in ("prompt", "other"))
            found = literal.crossing(*prompts)
            heads = [n for n, unit in enumerate(whole.units) if unit.slot]
            wanted = np.stack([of_unit(whole.units[n], found) for n in heads])
            assert np.abs(wanted).max() > 1e-3
            np.testing.assert_allclose(whole.values[heads, row], wanted.sum((1, 2)), atol=1e-10)
            np.testing.assert_allclose(apart.values[heads][:, :length, row], wanted.sum(2),
                                       atol=1e-10)  # fmt: skip
            for place in range(length):
                np.testing.assert_allclose(
                    read[place].values[heads][:, :length, row], wanted[:, :, place], atol=1e-10
                )


@pytest.mark.parametrize("name", MAIN)
def test_other_edges_are_those_of_eap(name: str) -> None:
    with Exact():
        found = attribute(adapter(name), TASK, asked("peap", "edges", by_position=True))
        wanted = attribute(adapter(name), TASK, asked("eap", "edges", by_position=True))
    others = [n for n, unit in enumerate(found.units) if not unit.slot]
    np.testing.assert_allclose(found.values[others], wanted.values[others], rtol=0, atol=1e-12)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", MAIN)
def test_small_changes_are_those_of_eap(name: str, frozen: bool) -> None:
    """To first order in the treated value it is the derivative of the exact patch."""
    from tests.engine.attribution_oracle import shared_sides

    share = 1e-6
    with Exact():
        with shared_sides(share):
            found = attribute(adapter(name), TASK, asked("peap", "edges"), frozen=frozen)
        wanted = attribute(adapter(name), TASK, asked("eap", "edges"), frozen=frozen)
    np.testing.assert_allclose(found.values / share, wanted.values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_every_treated_value(spec: object) -> None:
    found = attribute(adapter("gpt2"), TASK, asked("peap", "edges", treated=spec))  # type: ignore[arg-type]
    assert np.isfinite(found.values).all() and np.abs(found.values).max() > 1e-3


def test_readers_add_up() -> None:
    with Exact():
        whole = attribute(adapter("llama"), TASK, asked("peap", "edges", by_position=True))
        parts = [
            attribute(adapter("llama"), TASK, asked("peap", "edges", by_position=True,
                                                    reader=token_at(TASK, place))).values
            for place in range(TASK.n_pos)
        ]  # fmt: skip
    np.testing.assert_allclose(sum(parts), whole.values, rtol=0, atol=1e-11)


def test_no_other_method_tells_readers() -> None:
    with pytest.raises(PlanError) as caught:
        attribute(adapter("gpt2"), TASK, asked("eap", "edges", reader=Pos(name="END")))
    assert caught.value.diagnostics[0].code == "PD435"


def test_it_is_linear_in_the_metric() -> None:
    one, other = measured("logprob", "t1"), measured("prob", "t2")

    def scored(metric: object) -> np.ndarray:
        with Exact():
            question = asked("peap", "edges", metric=metric)  # type: ignore[arg-type]
            return attribute(adapter("gemma2"), TASK, question).values

    both = scored(minus(one, other))
    np.testing.assert_allclose(both, scored(one) - scored(other), rtol=0, atol=1e-11)
