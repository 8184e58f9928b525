r"""`chance(SCORE(P))`: the p-value of a path set's score among random controls.

- Without `share`, P's rank: p = (1 + #)/(N + 1), # of N controls scoring at least as well (Shi et
  al. 2024, arXiv:2410.13032, rank circuits so; the added ones: Phipson and Smyth 2010). Renamed
  controls have none of P's units, so that among few different ones P may come first by luck: with
  D different ones p is at least 1/(D + 1).
- With `share: q`, H0 that P is better than a share q of all controls at most: of N controls W score
  worse, and p = P(Binomial(N, q) >= W). These are Shi et al.'s tests of sufficiency (of
  `faithfulness(P, as: rms)`) and of partial necessity (of `effect(P, as: rms)`).
- `side: below` turns both round: H0 that P is better than a share q at least, and
  p = P(Binomial(N, q) <= W).

Controls are P with its units renamed (`by: units`, `random_like`: equal degrees, equal or nearest
layers) or unions of random walks with as many edges as P (`by: walks`, `random_edges`). For
`minimality(P, per: edge)` a walk extends P, and the control is what leaving out a random edge of
the extension alone does; each edge of P is compared with all controls.

- `side: above`: that *every* edge matters more than a share q of useless ones. P's p-value is that
  of its least edge, and no correction over edges is needed (an intersection-union test, Berger
  1982, Technometrics 24:295).
- `side: below`: Shi et al.'s test of minimality (of `minimality(P, per: edge, as: rms)`), that
  *some* edge matters more than a share q of useless ones at most. The smallest of the edges'
  p-values is multiplied by their number (Bonferroni); the note gives each edge's after Holm.

A control without a value, or one that rounding cannot tell from P, counts against what is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pathdsl.draws import Draws
from pathdsl.lang import ast
from pathdsl.lang.signatures.calls import resolve_options
from pathdsl.lang.walk import strip
from pathdsl.score.faults import fault
from pathdsl.score.quantity import Constant, Scalar, Worst, requests
from pathdsl.score.rounds import Steps, gather, ordered
from pathdsl.score.scores.pvalues import one_tail
from pathdsl.score.statistics.evaluate import Evaluator
from pathdsl.score.statistics.verdict import adjusted

if TYPE_CHECKING:
    from pathdsl.score.lowering import Bindings, Lowering

__all__ = ["LARGER_IS_BETTER", "chance", "p_value"]

LARGER_IS_BETTER = {
    "faithfulness": {
        "recovered": 1, "ratio": 1, "gap": -1, "explained": 1, "unexplained": -1, "kl": -1,
        "agreement": 1, "rms": -1,
    },
    "completeness": {"gap": -1, "share": -1},
    "minimality": {"gap": 1, "share": 1, "rms": 1},
}  # fmt: skip
NAMED = 4

Lower = Callable[["Lowering", ast.Score, "Bindings"], Steps]
Extended = Callable[["Lowering", ast.Score, int, "Bindings"], Steps]


def chance(
    lowering: Lowering,
    score: ast.Score,
    options: dict[str, object],
    bindings: Bindings,
    lower: Lower,
    extended: Extended,
) -> Steps:
    """The p-value as a constant; `lower` lowers one score, `extended` a control of minimality."""
    inner = strip(score.subjects[0]) if score.subjects else score
    if not isinstance(inner, ast.Score) or inner.name in ("chance", "accuracy", "paths", "overlap"):
        raise fault("PD423", "`chance` takes a score of one path set", score)
    written = {o.keyword for o in inner.options}
    passed = tuple(
        o
        for o in score.options
        if o.keyword in ("metric", "task", "scope") and o.keyword not in written
    )
    inner = replace(inner, options=(*inner.options, *passed))
    draws = Draws(int(options["seed"]), "chance")  # type: ignore[call-overload]
    seeds = [draws.below(2**31) for _ in range(int(options["among"]))]  # type: ignore[call-overload]
    steps = [lower(lowering, inner, bindings)]
    if options["by"] == "walks" and inner.name == "minimality":
        steps += [extended(lowering, inner, seed, bindings) for seed in seeds]
    else:
        walks = options["by"] == "walks"
        over = tuple(o for o in score.options if o.keyword == "over")
        controls = (_walked(inner, s) if walks else _renamed(inner, s, over) for s in seeds)
        steps += [lower(lowering, control, bindings) for control in controls]
    found = yield from gather(steps)
    yield ordered(requests(node) for node in found)
    evaluator = lowering.evaluator
    side, share = str(options["side"]), options["share"]
    own, edges = found[0], ()
    if options["by"] == "walks" and inner.name == "minimality":
        edges = own.members if isinstance(own, Worst) else ()
    subjects = edges or (("", own),)
    better = _compare(inner, found[1:], evaluator)
    wins = [better(node, side) for _, node in subjects]
    n = len(seeds)
    p_values = [p_value(w, n, share, side) for w in wins]  # type: ignore[arg-type]
    least = min(range(len(wins)), key=lambda i: (wins[i], i))
    worse = "worse" if side == "above" else "no better"
    note = f"{wins[least]} of {n} random controls score {worse}"
    if not edges:
        different = len(set(found[1:]))
        lowest = 1 / (different + 1) if options["by"] == "units" and share is None else 0.0
        note += f"; {different} different ones" if different < n else ""
        return Constant(is_p=True, value=max(p_values[least], lowest), note=note)
    note += f" than the least edge, `{edges[least][0]}`"
    if side == "above":
        return Constant(is_p=True, value=p_values[least], note=note)
    corrected = adjusted(p_values, "holm")
    order = sorted(range(len(wins)), key=lambda i: (corrected[i], wins[i], i))
    shown = ", ".join(f"`{edges[i][0]}` {corrected[i]:.2g}" for i in order[:NAMED])
    more = f" and {len(order) - NAMED} larger" if len(order) > NAMED else ""
    note += f"; after Holm over {len(order)} edges: {shown}{more}"
    return Constant(is_p=True, value=corrected[order[0]], note=note)


def p_value(wins: int, n: int, share: float | None, side: str = "above") -> float:
    """The p-value where `wins` of `n` controls score worse: a rank, or that of a share of them."""
    if share is not None:
        return one_tail(wins, n, share, side)
    return (1 + (n - wins if side == "above" else wins)) / (n + 1)


def _compare(
    score: ast.Score, controls: Sequence[Scalar], evaluator: Evaluator
) -> Callable[[Scalar, str], int]:
    """How many controls score worse than a quantity; those in doubt count against the side."""
    others = _goodness(score, np.array([evaluator.estimate(node) for node in controls]))
    errors = np.array([evaluator.tolerance(node) for node in controls])

    def wins(node: Scalar, side: str) -> int:
        own = _goodness(score, np.array([evaluator.estimate(node)]))[0]
        margin = np.fmax(errors, evaluator.tolerance(node))
        if side == "above":
            return int((others < own - margin).sum())
        return len(others) - int((others > own + margin).sum())

    return wins


def _subject(score: ast.Score) -> ast.PathExpr:
    subject = score.subjects[0]
    if isinstance(subject, ast.PlainRun | ast.PathRun | ast.Score):
        raise fault("PD423", f"`{score.name}` takes a path set here", subject)
    return subject


def _seed(seed: int, at: ast.Node) -> ast.Argument:
    number = ast.Number(value=float(seed), integer=True, written=str(seed), span=at.span)
    return ast.Argument(keyword="seed", value=number, span=at.span)


def _renamed(score: ast.Score, seed: int, over: tuple[ast.Argument, ...]) -> ast.Score:
    """The same score of `random_like(P, seed: …)`."""
    options = (_seed(seed, score), *over)
    control = ast.RandomLike(inner=_subject(score), options=options, span=score.span)
    return replace(score, subjects=(control,))


def _walked(score: ast.Score, seed: int) -> ast.Score:
    """The same score of `random_edges(like: P, by: walks, seed: …)`."""
    span = score.span
    like = ast.Argument(keyword="like", value=_subject(score), span=span)
    by = ast.Argument(keyword="by", value=ast.Name(name="walks", span=span), span=span)
    control = ast.RandomEdges(options=(like, by, _seed(seed, score)), span=span)
    return replace(score, subjects=(control,))


def _goodness(score: ast.Score, values: np.ndarray) -> np.ndarray:
    if score.name == "effect":
        return np.abs(values)
    form = str(resolve_options(score)["as"])
    return values * LARGER_IS_BETTER[score.name][form]
