"""A metric of the language as a function with a gradient at the final residual stream.

The measures at the logits are those of `pathdsl.engine.run.measure`, token by token in float64; the
metric's expression and the arithmetic around it are differentiated on paper
(`pathdsl.score.metrics.Metric.slopes`). Logits are computed at positions that are read, and columns
of the vocabulary alone where nothing normalises over it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.attribution.rules import Rules
from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.run.measure import VOCAB_CHUNK, from_logits, token_answers
from pathdsl.graph.paths.pathset import Pos
from pathdsl.plan.readout import Measure
from pathdsl.plan.taskdata import TaskData
from pathdsl.score.quantity import RowExpr, RowMetric, RowNumber, RowOp

__all__ = ["MetricAt", "measures_of", "slopes"]

MeasureValues = Mapping[Measure, np.ndarray]
"""A measure's value on each row of a chunk, (rows,) float64."""


def measures_of(expr: RowExpr) -> Iterator[Measure]:
    """The measures that an expression is made of."""
    match expr:
        case RowMetric(metric=metric):
            yield from metric.measures
        case RowOp(args=args):
            for arg in args:
                yield from measures_of(arg)


def slopes(expr: RowExpr, values: MeasureValues) -> tuple[np.ndarray, dict[Measure, np.ndarray]]:
    """The value of an expression on each row, and its derivative by each measure, (rows,) each."""
    match expr:
        case RowNumber(value=number):
            return np.array(number), {}
        case RowMetric(metric=metric):
            return metric.evaluate(values), metric.slopes(values)
        case RowOp(op=op, args=args):
            parts = [slopes(arg, values) for arg in args]
            x = [value for value, _ in parts]
            with np.errstate(all="ignore"):
                whole, outer = _ARITHMETIC[op](x)
            found: dict[Measure, np.ndarray] = {}
            for by, (_, inner) in zip(outer, parts, strict=True):
                for measure, slope in inner.items():
                    found[measure] = found.get(measure, 0.0) + by * slope
            return whole, found
    raise TypeError(f"{type(expr).__name__} has no value for each prompt")


_X = list[np.ndarray]
_ARITHMETIC: dict[str, Callable[[_X], tuple[np.ndarray, _X]]] = {
    "+": lambda x: (x[0] + x[1], [np.ones(1), np.ones(1)]),
    "-": lambda x: (x[0] - x[1], [np.ones(1), -np.ones(1)]),
    "*": lambda x: (x[0] * x[1], [x[1], x[0]]),
    "/": lambda x: (x[0] / x[1], [1 / x[1], -x[0] / x[1] ** 2]),
    "^": lambda x: (
        x[0] ** x[1], [x[1] * x[0] ** (x[1] - 1), np.nan_to_num(x[0] ** x[1] * np.log(x[0]))],
    ),
    "neg": lambda x: (-x[0], [-np.ones(1)]),
    "abs": lambda x: (np.abs(x[0]), [np.sign(x[0])]),
    "min": lambda x: _extreme(x, np.minimum),
    "max": lambda x: _extreme(x, np.maximum),
}  # fmt: skip
"""Each operator: its value, and its derivative by each argument."""


def _extreme(x: _X, which: np.ufunc) -> tuple[np.ndarray, _X]:
    """The extreme of the arguments, whose derivatives arguments that are it share."""
    stacked = np.stack(np.broadcast_arrays(*x))
    value = which.reduce(stacked)
    at = stacked == value
    return value, list(at / at.sum(axis=0))


class MetricAt:
    """The measures of some rows that are read on one branch of a task, and what they add up to.

    `rows`: row numbers `start` to `stop` of `task`, the branch. `elsewhere`: values of measures
    that are read on other branches.
    """

    def __init__(
        self,
        adapter: Adapter,
        task: TaskData,
        expr: RowExpr,
        measures: Mapping[Measure, Measure],
        rows: tuple[int, int],
        scales: Rules,
    ) -> None:
        """`measures`: those read here, each with the form in which it is read on this branch."""
        self.adapter, self.task, self.expr, self.rules = adapter, task, expr, scales
        self.measures = list(measures)
        self.n_rows = rows[1] - rows[0]
        self.elsewhere: dict[Measure, np.ndarray] = {}
        place = position_mask(task)
        masks = [place(Pos.parse(read.position))[slice(*rows)] for read in measures.values()]
        wanted = np.logical_or.reduce(masks)
        self.row, self.pos = np.nonzero(wanted)
        self.first = int(self.pos.min(initial=task.n_pos - 1))
        """The first position that is read."""
        self.inside = [mask[self.row, self.pos] for mask in masks]
        self.counts = [mask.sum(axis=1) for mask in masks]
        self.whole = [task.reads_whole(read) for read in measures.values()]
        self.answers = [
            token_answers(task, read, self.row + rows[0], self.pos) if read.column else []
            for read in measures.values()
        ]
        self.vocabulary = any(m.record.vocabulary for m in self.measures)
        self.against = any(m.record.reads == "reference" for m in self.measures)
        self._reference: Tensor | None = None
        self.begin(0, None)

    def begin(self, start: int, before: Tensor | None) -> None:
        """Say where final streams begin from here on: at position `start` of the prompt, or behind
        `before`, (rows, n, d), which all runs have in common."""
        self._start, self._before = start, before

    def _read(self, final: Tensor) -> Tensor:
        """(tokens, d): the final stream where it is read."""
        if self._before is not None:
            final = torch.cat((self._before, final), dim=1)
        return final[self.row, self.pos - self._start]

    def at_reference(self, final: Tensor) -> None:
        """Note the final stream of the reference run, (rows, pos, d), that divergences read."""
        if self.against:
            with torch.no_grad():
                self._reference = self.adapter.final_norm(self._read(final))

    def values(self, final: Tensor) -> dict[Measure, np.ndarray]:
        """Each measure on each row from the final stream (rows, pos, d)."""
        with torch.no_grad():
            stream = self._read(final)
            tokens = [self._tokens(stream[part], part) for part in self._parts()]
        return self._by_row(np.concatenate([one.cpu().numpy() for one in tokens], axis=1))

    def gradient(self, final: Tensor) -> Tensor:
        """The metric's gradient at the final stream (rows, pos, d): each row's own."""
        leaf = self._read(final).detach().requires_grad_()
        pieces, parts = [], self._parts()
        for part in parts:
            with torch.set_grad_enabled(len(parts) == 1):
                pieces.append(self._tokens(leaf[part], part))
        by_token = np.concatenate([one.detach().cpu().numpy() for one in pieces], axis=1)
        values = self._by_row(by_token)
        _, found = slopes(self.expr, {**self.elsewhere, **values})
        weights = torch.from_numpy(self._weights(found, values))
        first = self._start + (0 if self._before is None else self._before.shape[1])
        gradient = torch.zeros_like(final)
        for piece, part in zip(pieces, parts, strict=True):
            if len(parts) > 1:
                with torch.enable_grad():
                    piece = self._tokens(leaf[part], part)
            (at,) = torch.autograd.grad(piece, leaf, weights[:, part].to(piece))
            here = self.pos[part] >= first
            gradient[self.row[part][here], self.pos[part][here] - first] = at[part][here]
        return gradient

    def _parts(self) -> list[slice]:
        """The tokens read, as many together as whose logits are in memory at once."""
        n = len(self.row)
        size = max(VOCAB_CHUNK // self.adapter.shape.n_logits, 1) if self.vocabulary else n
        return [slice(start, start + size) for start in range(0, n, max(size, 1))]

    def _tokens(self, stream: Tensor, part: slice) -> Tensor:
        """(measures, tokens of the part) float64 from the stream at these tokens, (tokens, d)."""
        normed = self.adapter.final_norm(stream, self.rules.scales)
        if not self.vocabulary:
            ids = torch.tensor([[ids[0] for ids in answers[part]] for answers in self.answers])
            logits = self.adapter.unembed_columns(normed.unsqueeze(1), ids.t())
            return logits[:, 0].double().t()
        logits = self.adapter.unembed(normed).double()
        base = None
        if self._reference is not None:
            with torch.no_grad():
                base = self.adapter.unembed(self._reference[part]).double()
        return torch.stack(
            [
                from_logits(measure, logits, answers[part], base, whole=whole)
                for measure, answers, whole in zip(
                    self.measures, self.answers, self.whole, strict=True
                )
            ]
        )

    def _by_row(self, tokens: np.ndarray) -> dict[Measure, np.ndarray]:
        found = {}
        for number, measure in enumerate(self.measures):
            inside = tokens[number] * self.inside[number]
            total = np.bincount(self.row, weights=inside, minlength=self.n_rows)
            if self.whole[number]:
                found[measure] = _OF_SUM[measure.kind][0](total)
            else:
                found[measure] = total / self.counts[number]
        return found

    def _weights(
        self, by_measure: Mapping[Measure, np.ndarray], values: MeasureValues
    ) -> np.ndarray:
        """(measures, tokens): what each token's measure counts for in its row's metric."""
        found = np.zeros((len(self.measures), len(self.row)))
        for number, measure in enumerate(self.measures):
            slope = np.broadcast_to(by_measure.get(measure, np.zeros(1)), (self.n_rows,))
            if self.whole[number]:
                slope = slope * _OF_SUM[measure.kind][1](values[measure])
            else:
                slope = slope / self.counts[number]
            found[number] = slope[self.row] * self.inside[number]
        return found


_OF_SUM: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]]
_OF_SUM = {"logprob": (lambda x: x, np.ones_like), "prob": (np.exp, lambda value: value)}
"""Of an answer of several tokens: the measure from its log probability, and from the measure its
derivative."""
