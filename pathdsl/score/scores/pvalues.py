r"""Exact tests over the prompts: p-values of hypotheses about per-prompt values.

- `sign_test(x)`: H0 that x is above 0 as often as below. Of the m values that are not 0, k are
  above; k is Binomial(m, 1/2). Ties say nothing and are left out (Dixon and Mood 1946, J. Amer.
  Statist. Assoc. 41:557).
- `binomial_test(x, share: q)`: H0 that x > 0 on a share q of the prompts at most (`side: above`),
  at least (`below`) or exactly (`both`); k of n is Binomial(n, q). The test of "more often than
  q", Clopper and Pearson 1934 (Biometrika 26:404) inverted.
- `independence_test(x, y)`: H0 that x and y are independent over the prompts. The statistic is HSIC
  with Gaussian kernels (see `hsic`; Shi et al. 2024, arXiv:2410.13032, apply it to a circuit's
  complement). p = (1 + b)/(1 + B), b of B permutations of y having an HSIC at least as large
  (Phipson and Smyth 2010 on the added ones).

Two-sided p-values are twice the smaller tail. Where a task names a `cluster`, a cluster is one
value, its mean: prompts made from one template are no independent evidence; so are rows of one
prompt. A value within the run's rounding of 0 is 0: a tie of the sign test, and counted against the
claim by the binomial one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from pathdsl.lang import ast
from pathdsl.lang.signatures.calls import Arguments, resolve_arguments
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.score.context import Context
from pathdsl.score.faults import fault
from pathdsl.score.quantity import (
    Aggregate,
    Constant,
    Counted,
    RowOp,
    mean,
    requests,
    row_denominators,
)  # fmt: skip
from pathdsl.score.rounds import Steps, ordered
from pathdsl.score.session import Bindings
from pathdsl.score.statistics.alike import alike, clusters_of
from pathdsl.score.statistics.evaluate import Evaluator
from pathdsl.score.statistics.hsic import independence

__all__ = ["binomial", "one_tail", "p_value"]

UNDEFINED = "a denominator is 0 on some prompt, within rounding"


def p_value(context: Context, call: ast.Call, bindings: Bindings) -> Steps:
    """The p-value of a test as a number between 0 and 1; nan where a value is undefined.

    Raises LanguageError PD423 and PD427 for values that do not pair, as averages do.
    """
    arguments = resolve_arguments(P_VALUES[call.name], call.arguments)
    written = [arguments[name] for name in ("x", "y") if name in arguments]
    rows = [context.row(x, bindings) for x in written]  # type: ignore[arg-type]
    both = RowOp(op="-", args=(rows[0], rows[-1]))
    for each in rows:
        context.rows_of(each, call)  # a number that no prompt changes is a fault
    task = context.rows_of(both, call)
    if context.session.tasks[task].crossed is not None:
        raise fault(
            "PD434",
            f"`{call.name}` counts independent rows, and the rows of `{task}` are crossed",
            call,
            help="claim a mean with an interval, `mean(…) > 0 at 95% confidence`",
        )
    means = [mean(each, task) for each in rows]
    yield ordered(requests(node) for node in means)

    def tested(means: Sequence[Aggregate]) -> Constant:
        values = [_units(context.evaluator, node, means) for node in means]
        if any(not np.isfinite(x).all() for x, _ in values):
            return Constant(is_p=True, value=float("nan"), note=UNDEFINED)
        return _TESTS[call.name](values, arguments)

    counted = Counted(
        subjects=(), means=tuple(means), again=lambda paths, other, means: tested(means)
    )
    unread = Constant(is_p=True, value=float("nan"))
    return replace(tested(means) if context.judges else unread, counted=counted)


Sample = tuple[np.ndarray, np.ndarray]
"""(clusters,) values and how far rounding may move each."""


def _units(evaluator: Evaluator, node: Aggregate, read: Sequence[Aggregate]) -> Sample:
    """The values of each cluster; nan where one is undefined. `read`: all that a test reads."""
    x = evaluator.vector(node).copy()
    error = np.broadcast_to(evaluator.row_error(node.rows).mean(axis=0), x.shape)
    for below in row_denominators(node.rows):
        zero = np.abs(evaluator.rows(below)) <= evaluator.row_error(below)
        x[np.broadcast_to(zero, (zero.shape[0], len(x))).any(axis=0)] = np.nan
    tasks, inside = evaluator.session.tasks, evaluator.mask(node)
    clusters, _ = clusters_of(tasks[node.task], alike(read, tasks))
    _, place = np.unique(clusters[inside], return_inverse=True)
    size = np.bincount(place)
    return np.bincount(place, x[inside]) / size, np.bincount(place, error[inside]) / size


# -------------------------------------------------------------------------------------------------
# Counts
# -------------------------------------------------------------------------------------------------


def one_tail(hits: int, n: int, share: float, side: str) -> float:
    """P(X >= hits) (`above`) or P(X <= hits) (`below`) for X of Binomial(n, share)."""
    from scipy.special import bdtr, bdtrc

    if side == "above":
        return 1.0 if hits <= 0 else float(bdtrc(hits - 1, n, share))
    return 1.0 if hits >= n else float(bdtr(hits, n, share))


def binomial(hits: int, n: int, share: float, side: str) -> float:
    """The p-value of `hits` of `n`; `both` is twice the smaller tail."""
    if side != "both":
        return one_tail(hits, n, share, side)
    tails = [one_tail(hits, n, share, tail) for tail in ("above", "below")]
    return min(1.0, 2 * min(tails))


def _sign(samples: Sequence[Sample], given: Arguments) -> Constant:
    x, error = samples[0]
    above, below = int((x > error).sum()), int((x < -error).sum())
    note = f"{above} above 0, {below} below, {len(x) - above - below} ties left out"
    p = binomial(above, above + below, 0.5, given.word("side"))
    return Constant(is_p=True, value=p, note=note)


def _share(samples: Sequence[Sample], given: Arguments) -> Constant:
    share, side = given.number("share"), given.word("side")
    x, error = samples[0]
    sure, possible = int((x > error).sum()), int((x > -error).sum())
    ends = {"above": (sure,), "below": (possible,), "both": (sure, possible)}[side]
    # Exact zeros are no hits whatever the rounding; only what rounding could lift is in doubt.
    doubt = f", {possible - sure} within rounding of 0" if possible > sure else ""
    p = max(binomial(hits, len(x), share, side) for hits in range(min(ends), max(ends) + 1))
    return Constant(is_p=True, value=p, note=f"{sure} of {len(x)} above 0{doubt}")


# -------------------------------------------------------------------------------------------------
# Independence
# -------------------------------------------------------------------------------------------------


def _independent(samples: Sequence[Sample], given: Arguments) -> Constant:
    draws, seed = given.integer("draws"), given.integer("seed")
    for x, error in samples:
        if len(x) < 2 or np.ptp(x) <= 2 * float(error.max()):
            note = "one of the two is constant: nothing to depend on"
            return Constant(is_p=True, value=1.0, note=note)
    (x, _), (y, _) = samples
    hsic, p = independence(x, y, draws, seed)
    return Constant(is_p=True, value=p, note=f"HSIC {hsic:.3g} over {len(x)}, {draws} permutations")


_TESTS: dict[str, Callable[[Sequence[Sample], Arguments], Constant]] = {
    "sign_test": _sign,
    "binomial_test": _share,
    "independence_test": _independent,
}
