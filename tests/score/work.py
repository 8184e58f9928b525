"""Counts the multiplications of a check, whoever makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Work(TorchDispatchMode):
    """`done` counts; `stop` is called once more than `most` were made."""

    def __init__(self, most: int | None = None, stop: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.done = 0
        self.most = most
        self.stop = stop

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # fmt: skip
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.done += count(*args, **(kwargs or {}), out_val=out)
            if self.most is not None and self.done > self.most:
                self.most = None
                self.stop()
        return out
