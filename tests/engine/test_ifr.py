"""`ifr` against its definition on unmodified models."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pathdsl.engine.attribution.attribute import attribute
from pathdsl.engine.attribution.flow import _shares
from pathdsl.score.attribution import ScoredUnit
from tests.engine.attribution_cases import MAIN, MODELS, adapter, asked, model_of
from tests.engine.engine_cases import TASK
from tests.engine.family_cases import Exact
from tests.oracle.crossed import Crossed

torch.set_num_threads(1)


def eager(name: str) -> Crossed:
    model = model_of(name)
    model.set_attn_implementation("eager")
    return Crossed(model)


def reader(unit: ScoredUnit) -> str:
    return unit.receiver.partition(".")[0]


@pytest.mark.parametrize("name", [*MAIN, "olmo2", "qwen3"])
def test_every_share_at_every_position_and_their_means(name: str) -> None:
    with Exact():
        apart = attribute(adapter(name), TASK, asked("ifr", "edges", by_position=True))
        whole = attribute(adapter(name), TASK, asked("ifr", "edges"))
        crossed = eager(name)
        for row in range(4):
            length = int(TASK.lengths[row])
            flow = crossed.flow(TASK.prompts["prompt"][row, :length].tolist())
            wanted = torch.stack([flow[one.sender, reader(one)] for one in apart.units]).numpy()
            np.testing.assert_allclose(apart.values[:, :length, row], wanted, rtol=0, atol=1e-11)
            assert not apart.values[:, length:, row].any()
            mean = wanted.mean(axis=1)
            np.testing.assert_allclose(whole.values[:, row], mean, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", MODELS)
def test_shares_are_between_0_and_1_and_add_up_for_each_reader(name: str) -> None:
    """To 1, or to 0 where nothing that is written is near what is read."""
    scored = attribute(adapter(name), TASK, asked("ifr", "edges", by_position=True))
    assert scored.values.min() >= 0 and scored.values.max() <= 1 + 1e-12
    totals: dict[tuple[str, str], np.ndarray] = {}
    for unit, values in zip(scored.units, scored.values, strict=True):
        key = unit.receiver, unit.slot
        totals[key] = totals.get(key, 0.0) + values
    for total in totals.values():
        there = np.arange(TASK.n_pos)[:, None] < TASK.lengths
        off = np.minimum(np.abs(total - 1.0), np.abs(total))
        np.testing.assert_allclose(off[there], 0.0, rtol=0, atol=1e-6)


def test_queries_keys_and_values_read_the_same() -> None:
    scored = attribute(adapter("gpt2"), TASK, asked("ifr", "edges"))
    by_name = {(u.sender, u.receiver, u.slot): v for u, v in zip(scored.units, scored.values,
                                                                  strict=True)}  # fmt: skip
    for sender in ("input", "a0.h0", "m0"):
        for slot in "kv":
            assert (by_name[sender, "a1.h1", slot] == by_name[sender, "a1.h0", "q"]).all()


def test_metric_treated_value_and_norms_are_not_read() -> None:
    from tests.engine.attribution_cases import measured
    from tests.engine.engine_cases import RESAMPLE

    plain = attribute(adapter("gpt2"), TASK, asked("ifr", "edges"))
    for other in (dict(treated=RESAMPLE), dict(metric=measured("rank", "t1"))):
        found = attribute(adapter("gpt2"), TASK, asked("ifr", "edges", **other))  # type: ignore[arg-type]
        assert (found.values == plain.values).all()
    frozen = attribute(adapter("gpt2"), TASK, asked("ifr", "edges"), frozen=True)
    assert (frozen.values == plain.values).all()


def test_by_hand() -> None:
    """x = (3, -1), of parts (2, 0), (1, -1) and one against it, (0, 4)."""
    parts = [torch.tensor([[part]]) for part in ([2.0, 0.0], [1.0, -1.0], [0.0, 4.0])]
    # |x| = 4; distances 2, 2 and 8: proximities 2, 2 and 0
    found = _shares(parts, torch.tensor([[[3.0, -1.0]]]))
    assert found.flatten().tolist() == [0.5, 0.5, 0.0]
    assert _shares(parts[2:], torch.tensor([[[3.0, -1.0]]])).tolist() == [[[0.0]]]
