"""A model on a CUDA device: everything is there, and what is not is moved before it is used.

A machine for tests has no such device, so it is played: tensors that a program puts on `cuda` are
remembered and say that they are there, and a call with tensors from both sides is refused as torch
refuses it. Numbers are the processor's, so they have to be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary
from transformers import AutoModelForCausalLM

from pathdsl.engine.adapters.gpt2 import Gpt2Adapter
from pathdsl.engine.load import streaming
from pathdsl.engine.load.header import stored_weights
from pathdsl.engine.load.source import ModelSource
from pathdsl.engine.self_check import prove, prove_null_pair
from pathdsl.plan.readout import Measure
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

CUDA = torch.device("cuda", 0)
INDEXING = (Tensor.__getitem__, Tensor.__setitem__, Tensor.index_put_, Tensor.index_put)
"""Of these, torch takes indices that are on the processor."""
MEASURES = (
    *COLUMNS,
    Measure(kind="prob", column="t0"),
    Measure(kind="logprob", column="t0"),
    Measure(kind="rank", column="t0"),
    Measure(kind="top1", column="t0"),
    Measure(kind="kl"),
    Measure(kind="attention", head=(1, 0), query="END", key="A"),
)


class Played(TorchFunctionMode):
    """Tensors on a CUDA device that is not there."""

    def __init__(self) -> None:
        self.there: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self.calls = 0

    def put(self, value: Tensor) -> Tensor:
        """Remember a tensor as one on the device."""
        self.there[value] = True
        return value

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call `func` on the processor, where a device would have taken it."""
        kwargs = dict(kwargs or {})
        if func == Tensor.device.__get__:
            return CUDA if args[0] in self.there else func(*args)
        if func == Tensor.is_cuda.__get__:
            return args[0] in self.there
        if func in (Tensor.numpy, Tensor.cpu):
            if func is Tensor.numpy and args[0] in self.there:
                raise TypeError("can't convert cuda:0 device type tensor to numpy")
            return func(*args).clone() if func is Tensor.cpu else func(*args)
        if func is Tensor.to:
            return self._to(*args, **kwargs)
        target = kwargs.pop("device", None)
        tensors = list(_tensors((args, kwargs)))
        if func in INDEXING:
            tensors = [args[0], *_tensors(args[2:])]
        sides = {t in self.there for t in tensors if t.dim()}
        if len(sides) > 1:
            raise RuntimeError(f"{func}: tensors on cuda:0 and on cpu")
        there = torch.device(target).type == "cuda" if target is not None else any(
            t in self.there for t in tensors
        )  # fmt: skip
        self.calls += there
        out = func(*args, **kwargs)
        if there:
            for value in _tensors(out):
                self.put(value)
        return out

    def _to(self, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        target = kwargs.pop("device", None)
        if args and isinstance(args[0], str | torch.device):
            target, args = args[0], args[1:]
        elsewhere = target is not None and (torch.device(target).type == "cuda") != (
            value in self.there
        )
        there = (value in self.there) != elsewhere
        out = Tensor.to(value, *args, **kwargs) if args or kwargs else value
        out = out.clone() if elsewhere else out
        return self.put(out) if there else out


def _tensors(value: Any) -> Iterator[Tensor]:
    match value:
        case Tensor():
            yield value
        case list() | tuple():
            for part in value:
                yield from _tensors(part)
        case dict():
            for part in value.values():
                yield from _tensors(part)


def on_device() -> tuple[Played, Any]:
    """The mode, and an adapter all of whose weights are on its device."""
    played = Played()
    model: nn.Module = adapter_of.__wrapped__().model
    for value in (*model.parameters(), *model.buffers()):
        played.put(value)
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
