"""Parts: what of a plan is computed at one go, and kept and found again by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

__all__ = ["Part", "Parts"]


class Part(NamedTuple):
    """What is computed at one go: rows `start` to `stop` of the task.

    `kind` is `values`: of every measure of every output for draw number `number`, (values, rows) in
    the order of the plan's outputs and their measures; or `sums`: of what the constant of treated
    value number `number` is the mean of, (1, sums).
    """

    kind: str
    number: int
    start: int
    stop: int


class Parts(Protocol):
    """Parts of one plan that are known, and where the others go."""

    def ahead(self, parts: Sequence[Part]) -> Iterable[Part]:
        """Parts of sums that are looked after before they are added up, in this order."""

    def found(self, part: Part, shape: tuple[int, int]) -> np.ndarray | None:
        """The numbers of a part of that shape, float64, or None."""

    def keep(self, part: Part, numbers: np.ndarray) -> None:
        """The numbers of a part that was computed."""
