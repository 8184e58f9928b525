"""What an attribution is said to cost, against what it does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from pathdsl.engine.attribution.attribute import METHODS, attribute
from pathdsl.engine.attribution.cost import attribution_cost
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from tests.engine.attribution_cases import adapter, asked
from tests.engine.engine_cases import RESAMPLE, TASK


class Counted(TorchDispatchMode):
    """Counts the arithmetic of products."""

    total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call and count."""
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **{k: v for k, v in (kwargs or {}).items() if k != "out"},
                                out_val=out)  # fmt: skip
        return out


@pytest.mark.parametrize("method", METHODS)
def test_counted_arithmetic_is_about_what_is_done(method: str) -> None:
    """Within a third on a small model, whose readout and scores weigh more than in a large one."""
    record, model = ATTRIBUTIONS[method], adapter("llama")
    of = "edges" if record.edges else "nodes"
    question = asked(method, of, steps=4 if record.steps else 0, rule="right" * bool(record.steps))
    cost = attribution_cost(question, model.shape, TASK.n_rows, TASK.n_pos, 8)
    assert cost is not None
    ids = torch.from_numpy(TASK.prompts["prompt"])
    with Counted() as plain, torch.no_grad():
        model.model(ids, use_cache=False)  # type: ignore[attr-defined]
    with Counted() as done:
        attribute(model, TASK, question)
    found = done.total / plain.total
    assert found / 1.34 < cost.forwards < found * 1.34, (found, cost.forwards)


def test_each_draw_of_an_integral_has_runs_of_its_own() -> None:
    shape = adapter("llama").shape
    one, three = (
        attribution_cost(
            asked("eap_ig", "edges", treated=spec, steps=2, rule="left"), shape, 8, 5, 4
        )
        for spec in (asked("eap", "edges").treated, RESAMPLE)
    )
    assert one is not None and three is not None
    assert 2.5 < three.forwards / one.forwards < 3.1


def test_memory_grows_with_prompts_by_their_scores_alone() -> None:
    shape, question = adapter("llama").shape, asked("eap", "edges")
    few, many = (attribution_cost(question, shape, n, 16, 4) for n in (1000, 2000))
    assert few is not None and many is not None
    units = len(attribute(adapter("llama"), TASK, question).units)
    assert many.peak - few.peak == 8 * units * 1000 and few.rows == many.rows == 30


def test_exact_is_counted_in_its_plan() -> None:
    assert attribution_cost(asked("exact", "edges"), adapter("llama").shape, 8, 5, 4) is None
