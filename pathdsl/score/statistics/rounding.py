"""How far rounding may move a quantity, to first order, and which quantities it does not move.

Two evaluations of one metric value lie apart by the check's allowance at most (`Session.allowance`;
docs/semantics.md, Verdicts). What that does to a quantity follows from its derivatives: every value
that was measured, a metric of a run, is a *source*, and the sensitivity to it is carried through
the expression with its sign. So what is measured once and enters twice cancels where it cancels in
the quantity: a difference of a run with itself, or a quotient of equal effects, is exact, as are
counts. Runs are told apart by `Session.identity`: `keep(full)` is the reference run.

The share of members that satisfy a condition moves by those that rounding may carry across it.

Medians, quantiles, standard deviations, maxima and minima are sources of their own, which move by
as much as what they are made of.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from pathdsl.score.quantity import (
    Aggregate,
    Among,
    Constant,
    Correlation,
    Half,
    Op,
    RowExpr,
    RowMetric,
    RowNumber,
    RowOp,
    RowScored,
    Scalar,
    Slice,
    Worst,
    inner_first,
    parts,
)  # fmt: skip
from pathdsl.score.session import Session
from pathdsl.score.statistics.arithmetic import apply
from pathdsl.score.statistics.design import Weights

__all__ = ["ULPS", "Values", "digits", "of_quantity", "of_rows"]

ULPS = 8 * float(np.finfo(np.float64).eps)  # shares are exact but for the arithmetic itself


class Values(Protocol):
    """The values of quantities, such as `pathdsl.score.statistics.evaluate.Evaluator` knows."""

    session: Session

    def rows(self, expr: RowExpr) -> np.ndarray:
        """(draws, rows) values."""

    def vector(self, aggregate: Aggregate) -> np.ndarray:
        """(rows,) the mean over draws."""

    def mask(self, aggregate: Aggregate) -> np.ndarray:
        """(rows,) bool: the rows that the aggregate is over."""

    def values(self, node: Scalar, weights: Weights | None) -> np.ndarray:
        """(resamples,) the quantity under each row of weights; None: every prompt once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """What rounding moves: a value per prompt of `over`, or where that is None one number.

    `once` says that a prompt has one such value and not one for each draw.
    """

    of: RowExpr | Scalar
    over: tuple[str, Half | Slice | None] | None = None
    once: bool = True


_Moves = Mapping[Hashable, np.ndarray]
"""By how much each source may move what is looked at, with the sign of its derivative: for values
per prompt (draws, rows) or what broadcasts to it, for a number one entry."""


def of_rows(evaluator: Values, rows: RowExpr) -> np.ndarray:
    """How far rounding may move each row value; broadcasts with `Evaluator.rows`."""
    found = np.zeros((1, 1))
    for move in _of_rows(evaluator, rows, ("", None)).values():
        found = found + np.abs(move)
    return found


def of_quantity(evaluator: Values, node: Scalar) -> float:
    """How far rounding may move a quantity; 0 where it is exact."""
    values = _values(evaluator, node)
    moves: dict[int, _Moves] = {}
    for one in inner_first(node):
        x = [values[id(part)] for part in parts(one)]
        moves[id(one)] = _of_scalar(evaluator, one, x, [moves[id(part)] for part in parts(one)])
    return _total(evaluator, moves[id(node)])


def _values(evaluator: Values, node: Scalar) -> dict[int, np.ndarray]:
    """The value of every object of a quantity, by its id."""
    found: dict[int, np.ndarray] = {}
    for one in inner_first(node):
        match one:
            case Op(op=op) | Worst(which=op):
                found[id(one)] = apply(op, [found[id(part)] for part in parts(one)])
            case Among():
                found[id(one)] = evaluator.values(one, None)
            case _:
                found[id(one)] = evaluator.values(one, None)
    return found


def _total(evaluator: Values, moves: _Moves) -> float:
    return sum(_size(evaluator, source, move) for source, move in moves.items())


def digits(evaluator: Values, node: Scalar) -> float:
    """How far the arithmetic on values may move a quantity whatever the dtype of the model."""
    values = _values(evaluator, node)
    errors: dict[int, float] = {}
    for one in inner_first(node):
        x = [values[id(part)] for part in parts(one)]
        below = [errors[id(part)] for part in parts(one)]
        match one:
            case Constant():
                error = 0.0
            case Aggregate():
                rows = evaluator.vector(one)[evaluator.mask(one)]
                error = ULPS * float(np.max(np.abs(rows), initial=0.0))
            case Worst() | Op(op="min" | "max"):
                error = max(below)
            case Among():
                error = ULPS
            case Correlation():
                error = 100 * ULPS
            case Op(op=op):
                moves: list[_Moves] = [{at: np.full(1, bound)} for at, bound in enumerate(below)]
                error = sum((float(np.abs(m).sum()) for m in _through(op, x, moves).values()), 0.0)
                error += ULPS * float(np.nan_to_num(np.abs(values[id(one)][0]), posinf=0.0))
        errors[id(one)] = error
    return errors[id(node)]


def _size(evaluator: Values, source: Hashable, move: np.ndarray) -> float:
    """The move of an average: each prompt's and each draw's value is rounded on its own."""
    if not isinstance(source, _Source) or source.over is None:
        return float(np.abs(move).sum())
    task, part = source.over
    mask = evaluator.mask(Aggregate(kind="mean", rows=RowNumber(value=0.0), task=task, part=part))
    if source.once:
        move = move.mean(axis=0, keepdims=True)  # it enters in every draw with the same rounding
    sizes = np.broadcast_to(np.abs(move).mean(axis=0), mask.shape)[mask]
    return float(sizes.mean()) if len(sizes) else 0.0


# -------------------------------------------------------------------------------------------------
# Per prompt
# -------------------------------------------------------------------------------------------------


def _of_rows(evaluator: Values, rows: RowExpr, over: tuple[str, Half | Slice | None]) -> _Moves:
    match rows:
        case RowNumber() | RowOp(op="same"):
            return {}
        case RowMetric(metric=metric) if metric.discrete:
            return {}
        case RowMetric(metric=metric, run=run):
            allowance = np.full((1, 1), evaluator.session.allowance(run.task))
            if metric.of_writes:  # they cancel in the logits, and may be larger than any of these
                allowance = allowance * np.maximum(1.0, np.abs(evaluator.rows(rows)))
            return _moved({_source(evaluator, rows, over): allowance})
        case RowScored(run=run):  # a sum of products, which may be larger than any metric
            allowance = np.full((1, 1), evaluator.session.allowance(run.task))
            allowance = allowance * np.maximum(1.0, np.abs(evaluator.rows(rows)))
            return _moved({_source(evaluator, rows, over): allowance})
    moves = [_of_rows(evaluator, arg, over) for arg in rows.args]
    if rows.op in ("min", "max"):
        largest = np.zeros((1, 1))
        for each in moves:
            size = sum((np.abs(move) for move in each.values()), np.zeros((1, 1)))
            largest = np.maximum(largest, size)
        return _moved({_source(evaluator, rows, over): largest})
    return _through(rows.op, [evaluator.rows(arg) for arg in rows.args], moves)


def _source(evaluator: Values, rows: RowExpr, over: tuple[str, Half | Slice | None]) -> _Source:
    once = len(evaluator.rows(rows)) == 1
    return _Source(of=_same(evaluator, rows), over=over, once=once)


def _same(evaluator: Values, rows: RowExpr) -> RowExpr:
    """The expression with each run under its one name."""
    match rows:
        case RowMetric(run=run) | RowScored(run=run):
            return replace(rows, run=evaluator.session.identity(run))
        case RowOp(args=args):
            return replace(rows, args=tuple(_same(evaluator, arg) for arg in args))
        case _:
            return rows


# -------------------------------------------------------------------------------------------------
# Over all prompts
# -------------------------------------------------------------------------------------------------


def _of_scalar(evaluator: Values, node: Scalar, x: list[np.ndarray], below: list[_Moves]) -> _Moves:
    """The moves of a quantity from the values and the moves of its parts."""
    match node:
        case Constant():
            return {}
        case Aggregate(kind="mean"):
            return _of_rows(evaluator, node.rows, (node.task, node.part))
        case Aggregate():
            error = of_rows(evaluator, node.rows).mean(axis=0)
            mask = evaluator.mask(node)
            inside = np.broadcast_to(error, mask.shape)[mask]
            named = replace(node, rows=_same(evaluator, node.rows))
            return _moved({_Source(of=named): np.max(inside, initial=0.0, keepdims=True)})
        case Worst() | Op(op="min" | "max"):
            largest = max((_total(evaluator, moves) for moves in below), default=0.0)
            return _moved({_Source(of=node): np.full(1, largest)})
        case Among(threshold=threshold, members=members):
            near = [
                abs(float(value[0]) - threshold) <= move if move else not np.isfinite(value[0])
                for value, move in zip(
                    x, (_total(evaluator, moves) for moves in below), strict=True
                )
            ]
            return _moved({_Source(of=node): np.full(1, sum(near) / len(members))})
        case Correlation():
            return _moved(
                {_Source(of=node): np.full(1, _of_correlation(evaluator, node, x, below))}
            )
        case Op(op=op):
            return _through(op, x, below)


def _of_correlation(
    evaluator: Values, node: Correlation, x: list[np.ndarray], below: list[_Moves]
) -> float:
    """How far a correlation may move: by moves over spreads, and by pairs whose order may turn.

    With moves of at most d in values of spread s, r moves by 2 d/s at most; two neighbours that
    change places move a rank correlation of n by 12/n^2 at most.
    """
    found = 0.0
    for place, side in enumerate((node.xs, node.ys)):
        if node.of_prompts is not None:
            mean = node.of_prompts[place]
            mask = evaluator.mask(mean)
            error = of_rows(evaluator, mean.rows).mean(axis=0)
            values = evaluator.vector(mean)[mask]
            moves = np.broadcast_to(error, mask.shape)[mask]
        else:
            half = slice(place * len(side), (place + 1) * len(side))
            values = np.array([float(one[0]) for one in x[half]])
            moves = np.array([_total(evaluator, one) for one in below[half]])
        n = len(values)
        if n < 2 or not moves.any():
            continue
        if node.ranked:
            order = np.argsort(values, kind="stable")
            close = np.diff(values[order]) <= moves[order][1:] + moves[order][:-1]
            found += 12.0 * int((close & (np.diff(values[order]) > 0)).sum()) / n**2
        elif (spread := float(values.std())) > 0:
            found += 2.0 * float(np.sqrt((moves**2).mean())) / spread
    return found


# -------------------------------------------------------------------------------------------------
# Arithmetic
# -------------------------------------------------------------------------------------------------


def _through(op: str, x: list[np.ndarray], moves: list[_Moves]) -> _Moves:
    """Moves of `op` applied to values `x`, by the derivative with respect to each of them.

    Where a factor or a base is nearer to 0 than it may move, the derivative is that where it may
    have been: a square of 0 within rounding is no exact 0, and its root has a derivative.
    """
    sizes = [sum((np.abs(move) for move in each.values()), np.zeros(1)) for each in moves]

    def away(place: int) -> np.ndarray:
        least = np.maximum(np.abs(x[place]), sizes[place])
        return np.where(x[place] < 0, -least, least)

    with np.errstate(all="ignore"):
        match op:
            case "+":
                slopes = [np.ones(1), np.ones(1)]
            case "-":
                slopes = [np.ones(1), -np.ones(1)]
            case "*":
                slopes = [away(1), away(0)]
            case "/":
                slopes = [1 / x[1], -(x[0] / x[1]) / x[1]]
            case "^":
                # A root is steepest at 0: from there it moves by the root of the whole move.
                near = (np.abs(x[0]) < sizes[0]) & (x[1] < 1)
                slopes = [
                    np.where(near, 1.0, x[1]) * np.power(away(0), x[1] - 1),
                    np.power(x[0], x[1]) * np.log(np.abs(x[0])),
                ]
            case "neg":
                slopes = [-np.ones(1)]
            case "abs":
                slopes = [np.where(x[0] < 0, -1.0, 1.0)]
            case _:
                raise ValueError(f"no derivative of `{op}` is known")
    found: dict[Hashable, np.ndarray] = {}
    for slope, each in zip(slopes, moves, strict=True):
        # Where a slope is not finite the value is not either, which the verdict says.
        slope = np.where(np.isfinite(slope), slope, 0.0)
        for source, move in each.items():
            added = slope * move
            if source not in found:
                found[source] = added
                continue
            total = found[source] + added
            # What cancels on paper leaves the last digits of the two.
            noise = ULPS * (np.abs(found[source]) + np.abs(added))
            found[source] = np.where(np.abs(total) <= noise, 0.0, total)
    return _moved(found)


def _moved(found: _Moves) -> _Moves:
    """Without what does not move."""
    return {source: move for source, move in found.items() if move.any()}
