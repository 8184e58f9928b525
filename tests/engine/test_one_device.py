"""A model on a CUDA device: everything is there, and what is not is moved before it is used.

A machine for tests has no such device, so it is played (`played.py`). Numbers are the processor's,
so they have to be the same.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.adapters.gpt2 import Gpt2Adapter
from pathdsl.engine.attribution import tape
from pathdsl.engine.attribution.attribute import METHODS, attribute
from pathdsl.engine.load import streaming
from pathdsl.engine.load.header import stored_weights
from pathdsl.engine.load.source import ModelSource
from pathdsl.engine.self_check import prove, prove_null_pair
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import load_program
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.plan.readout import Measure
from tests.engine import attribution_cases
from tests.engine.engine_cases import (
    COLUMNS,
    PAIRED,
    REFERENCE,
    SPECS,
    TASK,
    adapter_of,
    all_runs,
    planner,
    treat,
    values,
)
from tests.engine.played import CUDA, Played

HEADS = ("a0h0", "a0h1", "a1h0", "a1h1")
MEASURES = (
    *COLUMNS,
    Measure(kind="prob", column="t0"),
    Measure(kind="logprob", column="t0"),
    Measure(kind="rank", column="t0"),
    Measure(kind="top1", column="t0"),
    Measure(kind="kl"),
    Measure(kind="attention", head=(1, 0), query="END", key="A"),
)


def on_device() -> tuple[Played, Any]:
    """The mode, and an adapter all of whose weights are on its device."""
    played = Played()
    model = played.take(adapter_of.__wrapped__().model)
    with played:
        return played, Gpt2Adapter(model)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_every_run_and_every_measure(spec: Any, frozen: bool) -> None:
    runs = [REFERENCE, *all_runs(spec)]
    measures = MEASURES if not spec.how.constant else MEASURES[:-1]  # a constant has no pattern
    wanted = values(runs, measures, frozen=frozen)
    played, adapter = on_device()
    with played:
        assert adapter.device == CUDA
        found = values(runs, measures, adapter=adapter, frozen=frozen)
    assert played.calls > 500
    assert set(found) == set(wanted)
    for key in wanted:
        np.testing.assert_array_equal(found[key], wanted[key], err_msg=str(key))


def test_a_run_more_crosses_to_be_read_and_no_more() -> None:
    """Ids that are asked for, their logits, where a head alone is another; no maps of tokens."""
    text = "".join(f"path {name}_alone = through({name[:2]}.{name[2:]})\n" for name in HEADS)
    program, _ = load_program("heads.circuit", text)
    resolver = Resolver(program, adapter_of().shape)
    runs = [treat(resolver.path_set(path.path)) for path in program.paths.values()]
    crossed = []
    for asked in (runs[:1], runs):
        played, adapter = on_device()
        with played:
            values(asked, COLUMNS[:1], adapter=adapter)
        crossed.append(played.crossings)
    assert crossed[1] - crossed[0] <= 8 * (len(runs) - 1), crossed


def test_every_attribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autograd makes tensors behind the back of the mode, so that it is told of them here."""
    played = Played()
    model = attribution_cases.model_of("llama")
    here = adapter_for(model)
    back, entered = tape.Part.back, tape._Input.apply

    def told(self: tape.Part, *gradients: Tensor) -> tuple[Tensor, ...]:
        found = back(self, *gradients)
        inside = gradients[0] in played.there
        return tuple(played.put(one) if inside and one is not None else one for one in found)

    def apply(value: Tensor, asking: Tensor) -> Tensor:
        found = entered(value, asking)
        return played.put(found) if value in played.there else found

    monkeypatch.setattr(tape.Part, "back", told)
    monkeypatch.setattr(tape, "_Input", SimpleNamespace(apply=apply))
    with played, attribution_cases.Exact():
        there = adapter_for(played.take(deepcopy(model)))
        assert there.device == CUDA
        for method, made in METHODS.items():
            of, record = "edges" if made.edges is not None else "nodes", ATTRIBUTIONS[method]
            asked = attribution_cases.asked(
                method, of, steps=record.steps, rule=record.rules[0] if record.rules else ""
            )
            wanted, before = attribute(here, TASK, asked).values, played.calls
            found = attribute(there, TASK, asked).values
            assert played.calls > before + 50, method
            np.testing.assert_array_equal(found, wanted, err_msg=method)


def test_the_proofs() -> None:
    plans = planner()
    played, adapter = on_device()
    with played:
        proofs = prove(plans, adapter, TASK)
        for plan in plans.plans([(treat("c"), measure) for measure in MEASURES]):
            proofs.append(prove_null_pair(plan, TASK, adapter, 1e-9))
    assert len(proofs) >= 4 and all(proof.holds for proof in proofs)


def test_both_sides_in_one_call_are_an_error() -> None:
    played = Played()
    with played:
        here, there = torch.ones(3), torch.ones(3, device="cuda")
        assert there.device == CUDA and here.device.type == "cpu"
        assert (there + there.new_ones(3)).device == CUDA
        assert there[torch.tensor([0, 1])].device == CUDA
        assert there.cpu().numpy().sum() == 3
        for wrong in (
            lambda: here + there,
            lambda: torch.cat([here, there]),
            lambda: there.index_select(0, torch.tensor([0])),
            lambda: there.__setitem__(slice(2), here[:2]),
        ):
            with pytest.raises(RuntimeError, match="cuda:0 and on cpu"):
                wrong()
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
    assert PAIRED in SPECS


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_weights_that_stay_on_the_processors_side(spec: Any, tmp_path: Path) -> None:
    """A streamed model: a layer is moved when it is used, and the next one with it."""
    model = adapter_of.__wrapped__(torch.float32).model
    model.save_pretrained(tmp_path)
    source = ModelSource(kind="folder", location=str(tmp_path))
    stored = stored_weights(source, tmp_path.glob("*.safetensors"))
    runs = [REFERENCE, *all_runs(spec)]
    wanted = values(runs, MEASURES[:-1], adapter=Gpt2Adapter(model))
    played = Played()
    with pytest.MonkeyPatch.context() as patch, played:
        patch.setattr(streaming, "KEPT_BYTES", 0)
        made, _ = streaming.built(
            AutoModelForCausalLM, model.config, stored, torch.float32, CUDA,
            attn_implementation="eager",
        )  # fmt: skip
        adapter, stream = Gpt2Adapter(made.eval()), streaming.stream_of(made)
        assert adapter.device == CUDA and stream is not None
        found = values(runs, MEASURES[:-1], adapter=adapter)
        assert made.transformer.h[0].mlp.c_fc.weight.device == CUDA
        coming = stream._coming
        assert coming is not None and coming.layer == 1
        moved = list(coming.weights().values())
        assert all(weight.device == CUDA for weight in moved)
        assert any(made.transformer.h[1].mlp.c_fc.weight is weight for weight in moved)
    assert played.calls > 500 and stream.reads > 1
    for key, value in wanted.items():
        np.testing.assert_array_equal(found[key], value, err_msg=str(key))
