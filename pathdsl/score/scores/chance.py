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

import numpy as np

from pathdsl.draws import Draws
from pathdsl.lang import ast
from pathdsl.lang.serving import form_of, score_inside
from pathdsl.lang.signatures.calls import resolve_options
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.score.context import Context
from pathdsl.score.faults import fault
from pathdsl.score.quantity import Constant, Scalar, Worst, requests
from pathdsl.score.rounds import Steps, at_once, gather, ordered
from pathdsl.score.scores.minimality import extended
from pathdsl.score.scores.pvalues import one_tail
from pathdsl.score.scores.setting import setting_of, subject_of
from pathdsl.score.session import Bindings
from pathdsl.score.statistics.evaluate import Evaluator
from pathdsl.score.statistics.verdict import CORRECTIONS

__all__ = ["chance", "p_value"]

NAMED = 4


def chance(
    context: Context,
    score: ast.Score,
    bindings: Bindings,
    lower: Callable[[Context, ast.Score, Bindings], Steps],
) -> Steps:
    """The p-value as a constant; `lower` lowers one score."""
    options = resolve_options(score)
    inner = score_inside(score)
    if not isinstance(inner, ast.Score) or SCORES[inner.name].controls == "none":
        raise fault("PD423", "`chance` takes a score of one path set", score)
    draws = Draws(options.integer("seed"), "chance")
    seeds = [draws.below(2**31) for _ in range(options.integer("among"))]
    walks = options["by"] == "walks"
    by_edge = walks and SCORES[inner.name].controls == "edge"
    steps = [lower(context, inner, bindings)]
    if by_edge:
        setting = setting_of(context, inner, bindings)
        steps += [at_once(extended)(setting, seed) for seed in seeds]
    else:
        over = tuple(o for o in score.options if o.keyword == "over")
        controls = (_walked(inner, s) if walks else _renamed(inner, s, over) for s in seeds)
        steps += [lower(context, control, bindings) for control in controls]
    found = yield from gather(steps)
    yield ordered(requests(node) for node in found)
    side = options.word("side")
    share = None if options["share"] is None else options.number("share")
    own = found[0]
    edges = own.members if by_edge and isinstance(own, Worst) else ()
    subjects = edges or (("", own),)
    better = _compare(inner, found[1:], context.evaluator)
    wins = [better(node, side) for _, node in subjects]
    n = len(seeds)
    p_values = [p_value(w, n, share, side) for w in wins]
    least = min(range(len(wins)), key=lambda i: (wins[i], i))
    worse = "worse" if side == "above" else "no better"
    note = f"{wins[least]} of {n} random controls score {worse}"
    if not edges:
        different = len(set(found[1:]))
        lowest = 1 / (different + 1) if not walks and share is None else 0.0
        note += f"; {different} different ones" if different < n else ""
        return Constant(is_p=True, value=max(p_values[least], lowest), note=note)
    note += f" than the least edge, `{edges[least][0]}`"
    if side == "above":
        return Constant(is_p=True, value=p_values[least], note=note)
    corrected = CORRECTIONS["holm"].adjusted(p_values)
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


def _seed(seed: int, at: ast.Node) -> ast.Argument:
    number = ast.Number(value=float(seed), integer=True, written=str(seed), span=at.span)
    return ast.Argument(keyword="seed", value=number, span=at.span)


def _renamed(score: ast.Score, seed: int, over: tuple[ast.Argument, ...]) -> ast.Score:
    """The same score of `random_like(P, seed: …)`."""
    options = (_seed(seed, score), *over)
    control = ast.RandomLike(inner=subject_of(score), options=options, span=score.span)
    return replace(score, subjects=(control,))


def _walked(score: ast.Score, seed: int) -> ast.Score:
    """The same score of `random_edges(like: P, by: walks, seed: …)`."""
    span = score.span
    like = ast.Argument(keyword="like", value=subject_of(score), span=span)
    by = ast.Argument(keyword="by", value=ast.Name(name="walks", span=span), span=span)
    control = ast.RandomEdges(options=(like, by, _seed(seed, score)), span=span)
    return replace(score, subjects=(control,))


def _goodness(score: ast.Score, values: np.ndarray) -> np.ndarray:
    """The values in the direction in which a path set does better than its controls."""
    better = form_of(score).better
    if better == "neither":
        raise fault("PD423", f"`{score.name}` says not which of two path sets is better", score)
    ordered = {"larger": values, "smaller": -values, "size": np.abs(values)}
    return ordered[better]
