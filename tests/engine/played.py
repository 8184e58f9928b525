"""A CUDA device that is not there, played: who has a tensor where is as it would be.

Tensors that a program puts on `cuda` are remembered and say that they are there, and a call with
tensors from both sides is refused as torch refuses it. Numbers are the processor's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

CUDA = torch.device("cuda", 0)
INDEXING = (Tensor.__getitem__, Tensor.__setitem__, Tensor.index_put_, Tensor.index_put)
"""Of these, torch takes indices that are on the processor."""


class Played(TorchFunctionMode):
    """Tensors on a CUDA device that is not there."""

    def __init__(self) -> None:
        self.there: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self.calls = 0
        self.crossings = 0
        """How often values went from one side to the other, indices among them."""

    def put(self, value: Tensor) -> Tensor:
        """Remember a tensor as one on the device."""
        self.there[value] = True
        return value

    def take(self, model: nn.Module) -> nn.Module:
        """The model, with all of its weights and buffers on the device."""
        for value in (*model.parameters(), *model.buffers()):
            self.put(value)
        return model

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
            self.crossings += func is Tensor.cpu and args[0] in self.there
            return func(*args).clone() if func is Tensor.cpu else func(*args)
        if func is Tensor.to:
            return self._to(*args, **kwargs)
        target = kwargs.pop("device", None)
        tensors = list(_tensors((args, kwargs)))
        if func in INDEXING:
            tensors = [args[0], *_tensors(args[2:])]
            if args[0] in self.there:
                self.crossings += sum(map(self._comes, _several(args[1])))
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

    def _comes(self, index: Any) -> bool:
        """Whether an index is brought to the device, or one of truth values is counted out."""
        if isinstance(index, Tensor):
            return index.dim() > 0 and (index not in self.there or index.dtype == torch.bool)
        return isinstance(index, list)

    def _to(self, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        target = kwargs.pop("device", None)
        if args and isinstance(args[0], str | torch.device):
            target, args = args[0], args[1:]
        elif args and isinstance(args[0], Tensor):  # `x.to(y)`
            target = CUDA if args[0] in self.there else "cpu"
            args = (args[0].dtype, *args[1:])
        elsewhere = target is not None and (torch.device(target).type == "cuda") != (
            value in self.there
        )
        self.crossings += elsewhere
        there = (value in self.there) != elsewhere
        out = Tensor.to(value, *args, **kwargs) if args or kwargs else value
        out = out.clone() if elsewhere else out
        return self.put(out) if there else out


def _several(index: Any) -> tuple[Any, ...]:
    return tuple(index) if isinstance(index, tuple) else (index,)


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
