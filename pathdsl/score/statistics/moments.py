r"""Smooth quantities as functions of sums over independent units, with values and gradients.

A *smooth* quantity is arithmetic on means and standard deviations over prompts. It depends on the
prompts by a few totals only: for every mean the sum of its values and the number of its prompts,
for every `std` the sum of squares as well. The totals are sums over units (prompts, or clusters of
prompts), so a resample, or leaving a unit out, moves them linearly:

    T = sum_i w_i s_i          s (units, columns) in each stratum, w how often a unit was drawn

`Moments` compiles one or more quantities into the columns s and a short program on T. Linear
combinations of means over the same prompts become one column: `F(C) - F(E)` is one mean.
Derivatives with respect to T are taken backwards through the program, and give the influence of
each unit, s_i . dg/dT, from which standard errors follow (the infinitesimal jackknife; Efron 1982,
The Jackknife, the Bootstrap and Other Resampling Plans, chapter 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathdsl.score.quantity import Aggregate, Constant, Op, Scalar, inner_first, parts
from pathdsl.score.statistics.arithmetic import apply
from pathdsl.score.statistics.design import Design, row_key
from pathdsl.score.statistics.evaluate import Evaluator

__all__ = ["Moments", "is_smooth"]

ARITHMETIC = ("+", "-", "*", "/", "^", "neg")


def is_smooth(node: Scalar) -> bool:
    """Whether a quantity is arithmetic on means and standard deviations."""
    return all(_is_smooth(one) for one in inner_first(node))


def _is_smooth(node: Scalar) -> bool:
    match node:
        case Aggregate():
            return node.smooth
        case Op(op=op):
            return op in ARITHMETIC
        case Constant():
            return True
        case _:
            return False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Step:
    """One step of a program: `args` are earlier steps, or columns for `mean` and `std`."""

    op: str
    args: tuple[int, ...] = ()
    value: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Linear:
    """`constant` plus a sum of means, each with its factor."""

    constant: float
    means: dict[Aggregate, float]


class Moments:
    """The columns of some smooth quantities and the program from totals to their values.

    `columns[s]` is (units, columns) for stratum s of the design, (rows, columns) of crossed rows.
    `totals` is (1, columns), observed.
    """

    def __init__(self, nodes: Sequence[Scalar], evaluator: Evaluator, design: Design) -> None:
        self._evaluator = evaluator
        self._design = design
        self._steps: list[_Step] = []
        self._known: dict[int, int] = {}
        self._linear_known: dict[int, _Linear | None] = {}
        self._keep: list[Scalar] = []  # ids are of living objects only
        self._column_of: dict[tuple[str, bytes, bytes], int] = {}
        self._columns: list[tuple[str, np.ndarray]] = []
        self.outputs = [self._add(node) for node in nodes]
        self.columns = [
            np.stack([self._per_unit(i, key, v) for key, v in self._columns], axis=1)
            if self._columns
            else np.zeros((stratum.n_units, 0))
            for i, stratum in enumerate(design.strata)
        ]
        self.totals = sum((c.sum(axis=0) for c in self.columns), np.zeros(len(self._columns)))[None]

    @property
    def mark(self) -> list[object]:
        """All that the values and their gradients come from."""
        steps = [[one.op, list(one.args), one.value] for one in self._steps]
        return [steps, list(self.outputs), list(self.columns), self.totals]

    def _per_unit(self, place: int, key: str, values: np.ndarray) -> np.ndarray:
        """(units,) sums of row values over the units of one stratum; crossed rows one by one."""
        stratum = self._design.strata[place]
        inside = stratum.unit >= 0
        size = int(inside.sum()) if stratum.table is not None else stratum.n_units
        if stratum.key != key:
            return np.zeros(size)
        if stratum.table is not None:
            return values[inside]
        return np.bincount(stratum.unit[inside], values[inside], stratum.n_units)

    # ---------------------------------------------------------------------------------------------
    # Compiling
    # ---------------------------------------------------------------------------------------------

    def _add(self, node: Scalar) -> int:
        """The step of a quantity; the parts of what is no sum of means have steps of their own."""
        self._keep.append(node)
        for one in inner_first(node):
            self._linear(one)  # from the inside out, so that nothing recurses deeply
        pending = [node]
        while pending:
            one = pending.pop()
            if id(one) in self._known:
                continue
            waiting = [p for p in self._waits_for(one) if id(p) not in self._known]
            if waiting:
                pending += [one, *waiting]
            else:
                self._known[id(one)] = self._compiled(one)
        return self._known[id(node)]

    def _waits_for(self, node: Scalar) -> tuple[Scalar, ...]:
        return () if self._linear(node) is not None else parts(node)

    def _compiled(self, node: Scalar) -> int:
        linear = self._linear(node)
        if linear is not None:
            return self._sum(linear)
        match node:
            case Aggregate(kind="std"):
                return self._std(node)
            case Op(op=op, args=args) if op in ARITHMETIC:
                return self._step(_Step(op=op, args=tuple(self._known[id(arg)] for arg in args)))
            case _:
                raise ValueError(f"not smooth: {type(node).__name__}")

    def _step(self, step: _Step) -> int:
        self._steps.append(step)
        return len(self._steps) - 1

    def _linear(self, node: Scalar) -> _Linear | None:
        """The node as a sum of means, or None where it is none."""
        if id(node) not in self._linear_known:
            self._keep.append(node)
            self._linear_known[id(node)] = self._as_linear(node)
        return self._linear_known[id(node)]

    def _as_linear(self, node: Scalar) -> _Linear | None:
        match node:
            case Constant(value=value):
                return _Linear(value, {})
            case Aggregate(kind="mean"):
                return _Linear(0.0, {node: 1.0})
            case Op(op="neg", args=(arg,)):
                return _combined(self._linear(arg), -1.0)
            case Op(op="+" | "-" as op, args=(left, right)):
                # The right one is scaled and the left one added: `left + sign * right`.
                added = self._linear(left)
                if added is None:
                    return None
                return _combined(self._linear(right), 1.0 if op == "+" else -1.0, added)
            case Op(op="*" | "/" as op, args=(left, right)):
                first, second = self._linear(left), self._linear(right)
                if first is None or second is None:
                    return None
                if op == "*" and not first.means:
                    return _combined(second, first.constant)
                if second.means or (op == "/" and second.constant == 0):
                    return None
                return _combined(first, second.constant if op == "*" else 1 / second.constant)
            case _:
                return None

    def _sum(self, linear: _Linear) -> int:
        """A step for a sum of means: one mean for all that are over the same prompts."""
        by_rows: dict[tuple[str, bytes], list[tuple[Aggregate, float]]] = {}
        for aggregate, factor in linear.means.items():
            key = row_key(self._evaluator.session.tasks[aggregate.task])
            mask = self._evaluator.mask(aggregate)
            by_rows.setdefault((key, mask.tobytes()), []).append((aggregate, factor))
        parts = []
        for (key, _), terms in by_rows.items():
            mask = self._evaluator.mask(terms[0][0])
            total = np.zeros(len(mask))
            for aggregate, factor in terms:
                total = total + factor * self._evaluator.vector(aggregate)
            parts.append(self._mean(key, mask, total))
        found = self._step(_Step(op="number", value=linear.constant))
        if parts and linear.constant == 0:
            found = parts.pop(0)
        for part in parts:
            found = self._step(_Step(op="+", args=(found, part)))
        return found

    def _mean(self, key: str, mask: np.ndarray, values: np.ndarray) -> int:
        """A step for the mean of row values inside a mask, kept as deviations from it."""
        centre = float(values[mask].mean()) if mask.any() else float("nan")
        column = self._column(key, mask, np.where(mask, values - centre, 0.0))
        count = self._column(key, mask, mask.astype(np.float64))
        return self._step(_Step(op="mean", args=(column, count), value=centre))

    def _std(self, node: Aggregate) -> int:
        key, mask = row_key(self._evaluator.session.tasks[node.task]), self._evaluator.mask(node)
        values = self._evaluator.vector(node)
        centred = np.where(mask, values - (values[mask].mean() if mask.any() else 0.0), 0.0)
        columns = (centred, centred**2, mask.astype(np.float64))
        found = tuple(self._column(key, mask, column) for column in columns)
        return self._step(_Step(op="std", args=found))

    def _column(self, key: str, mask: np.ndarray, values: np.ndarray) -> int:
        mark = (key, mask.tobytes(), values.tobytes())
        if mark not in self._column_of:
            self._column_of[mark] = len(self._columns)
            self._columns.append((key, values))
        return self._column_of[mark]

    # ---------------------------------------------------------------------------------------------
    # Evaluating
    # ---------------------------------------------------------------------------------------------

    def values(self, totals: np.ndarray) -> list[np.ndarray]:
        """Every step under totals (b, columns), each (b,); results stand at `outputs`."""
        found: list[np.ndarray] = []
        with np.errstate(all="ignore"):
            for step in self._steps:
                found.append(self._value(step, totals, found))
        return found

    @staticmethod
    def _value(step: _Step, totals: np.ndarray, found: list[np.ndarray]) -> np.ndarray:
        if step.op == "number":
            return np.full(len(totals), step.value)
        if step.op == "mean":
            column, count = step.args
            return np.asarray(step.value + totals[:, column] / totals[:, count])
        if step.op == "std":
            first, second, n = (totals[:, i] for i in step.args)
            return np.sqrt(np.maximum(second / n - (first / n) ** 2, 0.0) * n / (n - 1))
        return apply(step.op, [found[i] for i in step.args])

    def gradient(self, output: int, totals: np.ndarray, values: list[np.ndarray]) -> np.ndarray:
        """(b, columns) derivatives of a step with respect to the totals."""
        found = np.zeros_like(totals)
        pull: dict[int, np.ndarray] = {output: np.ones(len(totals))}
        with np.errstate(all="ignore"):
            for place in range(output, -1, -1):
                if place in pull:
                    self._pull_back(place, pull.pop(place), totals, values, pull, found)
        return found

    def _pull_back(
        self, place: int, by: np.ndarray, totals: np.ndarray, values: list[np.ndarray],
        pull: dict[int, np.ndarray], found: np.ndarray,
    ) -> None:  # fmt: skip
        """Passes the derivative with respect to one step on to what it was made of."""
        step = self._steps[place]
        if step.op == "mean":
            column, count = step.args
            n = totals[:, count]
            found[:, column] += by / n
            found[:, count] -= by * totals[:, column] / n**2
            return
        if step.op == "std":
            self._pull_std(step, by, totals, values[place], found)
            return
        x = [values[i] for i in step.args]
        for i, part in zip(step.args, _derivatives(step.op, x, values[place]), strict=True):
            pull[i] = pull[i] + by * part if i in pull else by * part

    @staticmethod
    def _pull_std(
        step: _Step, by: np.ndarray, totals: np.ndarray, value: np.ndarray, found: np.ndarray
    ) -> None:
        # n/(n - 1) is held: it moves by 1/n^2 only, and only with clusters of unlike sizes.
        first, second, n = (totals[:, i] for i in step.args)
        half = by * n / (n - 1) / (2 * value)
        found[:, step.args[1]] += half / n
        found[:, step.args[0]] -= half * 2 * first / n**2
        found[:, step.args[2]] += half * (2 * first**2 / n**3 - second / n**2)


def _combined(
    scaled: _Linear | None, factor: float, added: _Linear | None = None
) -> _Linear | None:
    """`added + factor * scaled`; None where `scaled` is none."""
    if scaled is None:
        return None
    means = dict(added.means) if added is not None else {}
    for aggregate, own in scaled.means.items():
        means[aggregate] = means.get(aggregate, 0.0) + factor * own
    constant = (added.constant if added is not None else 0.0) + factor * scaled.constant
    return _Linear(constant, means)


def _derivatives(op: str, x: list[np.ndarray], value: np.ndarray) -> tuple[np.ndarray, ...]:
    """The derivatives of arithmetic with respect to each of its arguments."""
    one = np.ones_like(value)
    match op:
        case "number":
            return ()
        case "+":
            return one, one
        case "-":
            return one, -one
        case "neg":
            return (-one,)
        case "*":
            return x[1], x[0]
        case "/":
            return 1 / x[1], -value / x[1]
        case "^":
            by_exponent = np.where(x[0] > 0, value * np.log(np.maximum(x[0], 1e-300)), 0.0)
            return x[1] * np.power(x[0], x[1] - 1), by_exponent
        case _:
            raise ValueError(f"`{op}` is no step")
