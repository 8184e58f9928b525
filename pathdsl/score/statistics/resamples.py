"""Resamples of the prompts, drawn once for all quantities that share a design."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from pathdsl.score.quantity import Scalar
from pathdsl.score.statistics.design import Design, Stratum, Weights, design_of, generator_of
from pathdsl.score.statistics.evaluate import Evaluator

__all__ = ["Resamples", "mark_of"]

KEPT_ENTRIES = 64_000_000  # about as many bytes


class Resamples:
    """`count` resamples by one seed, kept as bytes while they fit."""

    def __init__(self, evaluator: Evaluator, *, count: int, seed: int) -> None:
        self.evaluator = evaluator
        self.count = count
        self.seed = seed
        self._kept: dict[object, list[Weights]] = {}
        self._kept_entries = 0
        self._last: tuple[object, list[Sequence[np.ndarray]]] | None = None

    def release(self) -> None:
        """Let go of what was drawn, which would be drawn again as it was."""
        self._kept.clear()
        self._kept_entries = 0
        self._last = None

    def generator(self, stratum: Stratum) -> np.random.Generator:
        """What draws the units of a stratum, from the beginning."""
        return generator_of(self.seed, stratum)

    def values(self, node: Scalar) -> np.ndarray:
        """(count,) values of a quantity."""
        design = design_of(node, self.evaluator.session.tasks)
        return np.concatenate([self.evaluator.values(node, w) for w in self.weights(design)])

    def unit_counts(self, design: Design) -> Iterable[Sequence[np.ndarray]]:
        """Blocks of how often each unit was drawn, by stratum: (block, units), as its first row.

        Those of the last design are kept as they are, not to be written to: members of a sweep
        share it.
        """
        mark = mark_of(design)
        if self._last is None or self._last[0] != mark:
            entries = self.count * sum(s.n_units for s in design.strata)
            if entries > KEPT_ENTRIES // 8:
                yield from self._unit_counts(design)
                return
            self._last = mark, [*self._unit_counts(design)]
        yield from self._last[1]

    def _unit_counts(self, design: Design) -> Iterable[Sequence[np.ndarray]]:
        tasks = {key: task for task, key in design.keys.items()}
        firsts = []
        for stratum in design.strata:
            units, first = np.unique(stratum.unit, return_index=True)
            firsts.append((tasks[stratum.key], first[units >= 0]))
        for counts in self._blocks(design):
            yield [counts[task][:, first].astype(np.float64) for task, first in firsts]

    def weights(self, design: Design) -> Iterable[Weights]:
        """Blocks of how often each row was drawn, by task."""
        for block in self._blocks(design):
            yield {task: counts.astype(np.float64) for task, counts in block.items()}

    def _blocks(self, design: Design) -> Iterable[Weights]:
        """The resamples of a design, kept as bytes, since many quantities share a design."""
        mark = mark_of(design)
        if mark not in self._kept:
            entries = self.count * sum(design.n_rows.values())
            if entries > KEPT_ENTRIES:
                yield from design.resamples(self.count, self.seed)
                return
            if self._kept_entries + entries > KEPT_ENTRIES:
                self._kept.clear()
                self._kept_entries = 0
            blocks = [_packed(block) for block in design.resamples(self.count, self.seed)]
            self._kept[mark] = blocks
            self._kept_entries += entries
        yield from self._kept[mark]


def mark_of(design: Design) -> object:
    """What resamples of a design are known by."""
    strata = tuple((s.key, s.name, s.unit.tobytes()) for s in design.strata)
    return tuple(sorted(design.keys.items())), strata


def _packed(weights: Weights) -> Weights:
    """Weights in the smallest type that holds how often a row was drawn."""
    return {
        task: counts.astype(np.uint8 if counts.max(initial=0.0) < 256 else np.uint16)
        for task, counts in weights.items()
    }
