"""What an attribution is said to cost, against what it does."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from transformers import GPT2Config, GPT2LMHeadModel

from pathdsl.engine.adapters import Adapter, adapter_for
from pathdsl.engine.attribution.attribute import METHODS, attribute
from pathdsl.engine.attribution.cost import attribution_cost, beginning
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.plan.taskdata import TaskData
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


@cache
def larger() -> Adapter:
    """A model whose readout and attention weigh as little as in models that people load."""
    torch.manual_seed(0)
    config = GPT2Config(n_layer=6, n_head=4, n_embd=128, vocab_size=300, n_positions=32,
                        bos_token_id=0, eos_token_id=0)  # fmt: skip
    return adapter_for(GPT2LMHeadModel(config).eval())


def alike(since: int, length: int = 15, rows: int = 40) -> TaskData:
    """Prompts of one length, of which the treated ones differ from a position on."""
    ids = np.arange(rows * length).reshape(rows, length) % 200
    other = ids.copy()
    other[:, since] += 1
    return replace(
        TASK, row_ids=tuple(map(str, range(rows))), prompts={"prompt": ids, "other": other},
        lengths=np.full(rows, length), positions={"END": ((length - 1,),) * rows},
        answers={name: (found[0],) * rows for name, found in TASK.answers.items()}, labels={},
        clusters=np.arange(rows), tokens=(),
    )  # fmt: skip


@pytest.mark.parametrize("since", [0, 5])
@pytest.mark.parametrize("method", METHODS)
def test_counted_arithmetic_is_what_is_done(method: str, since: int) -> None:
    """Within a tenth, prefix and last layer included."""
    record, model, task = ATTRIBUTIONS[method], larger(), alike(since)
    of = "edges" if record.edges else "nodes"
    question = asked(method, of, steps=2 if record.steps else 0, rule="right" * bool(record.steps))
    begins = beginning(question, task, model.shape, 4)
    cost = attribution_cost(question, model.shape, task.n_rows, task.n_pos, 4, begins)
    assert cost is not None
    with Counted() as plain, torch.no_grad():
        ids = torch.from_numpy(task.prompts["prompt"])
        model.model(ids, use_cache=False)  # type: ignore[attr-defined]
    with Counted() as done:
        attribute(model, task, question)
    found = done.total / plain.total
    assert found / 1.1 < cost.forwards < found * 1.1, (found, cost.forwards)


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
    assert many.peak - few.peak == 8 * units * 1000 and few.rows == many.rows == 20


@given(method=st.sampled_from([*METHODS]), memory=st.integers(1, 10**9),
       n_rows=st.integers(1, 500), n_pos=st.integers(1, 400),
       by_position=st.booleans())  # fmt: skip
def test_a_stated_memory_bounds_it(
    method: str, memory: int, n_rows: int, n_pos: int, by_position: bool
) -> None:
    record, shape = ATTRIBUTIONS[method], adapter("llama").shape
    of = "edges" if record.edges else "nodes"
    question = asked(method, of, steps=4 if record.steps else 0, rule="right" * bool(record.steps),
                     by_position=by_position)  # fmt: skip
    free = attribution_cost(question, shape, n_rows, n_pos, 4)
    bound = attribution_cost(question, shape, n_rows, n_pos, 4, memory=memory)
    assert free is not None and bound is not None
    assert 1 <= bound.rows <= free.rows and bound.least == free.least
    if memory >= bound.least:
        assert bound.peak <= memory
    if 2 * free.peak <= memory:
        assert bound == free
    at_least = attribution_cost(question, shape, n_rows, n_pos, 4, memory=bound.least)
    assert at_least is not None and at_least.peak <= bound.least


def test_exact_is_counted_in_its_plan() -> None:
    assert attribution_cost(asked("exact", "edges"), adapter("llama").shape, 8, 5, 4) is None
