r"""Verdicts: what an interval says about a threshold, one claim or a family of claims.

A claim `A >= t` is *supported* when the whole interval satisfies it, *refuted* when none of it
does, *inconclusive* when it straddles. `A ~= B within D` is an equivalence test: supported when the
two-sided interval at confidence C lies within B - D and B + D. (Schuirmann 1987's two one-sided
tests at level alpha use the interval at 1 - 2 alpha; here C is that interval's confidence, so `at
95%` is TOST at alpha = 2.5 %, the stricter convention, and one interval decides every relation.)

Where an end point lies within rounding of a threshold, nobody knows on which side: the claim is
inconclusive, whatever its relation. Exact quantities (counts, p-values, a difference of a run with
itself) have no rounding; what equals the threshold satisfies `>=`, `<=` and `~=`, not `>` and `<`.

Families: Holm 1979 (Scand. J. Statist. 6:65) tests the j-th smallest of m p-values at
alpha/(m - j + 1), here with the interval at 1 - alpha/(m - j + 1), and stops at the first
inconclusive member. Benjamini and Hochberg 1995 find the largest k with p_(k) <= k alpha/m; its
members are then judged with intervals at 1 - k alpha/m, which also bound the share of intervals
that miss (Benjamini and Yekutieli 2005, J. Amer. Statist. Assoc. 100:71). A member's p-value
inverts its interval: the smallest alpha at which the verdict is still definite. Where the members
are p-values of exact tests themselves, `sign_test(x) <= 5%`, these are corrected and compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite
from typing import assert_never

from pathdsl.lang.signatures.relations import RELATIONS, Asks
from pathdsl.score.remarks import DOUBT
from pathdsl.score.results import Verdict
from pathdsl.score.statistics.ends import Interval

__all__ = [
    "CORRECTIONS", "Correction", "Judged", "Rule", "decide", "in_doubt", "invert", "settle",
    "smallest",
]  # fmt: skip

POWER = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a claim asks of its quantity; `within` is D of `~=`.

    A value nearer to the threshold than `tolerance` equals it where the quantity is `exact`, and is
    on neither side of it elsewhere.
    """

    relation: str
    threshold: float
    within: float = 0.0
    tolerance: float = 0.0
    exact: bool = False

    @property
    def asks(self) -> Asks:
        """Where values satisfy the claim: above the threshold, below it or around it."""
        return RELATIONS[self.relation].asks

    @property
    def bounds(self) -> tuple[float, ...]:
        """Where values begin or cease to satisfy the claim."""
        t, d = self.threshold, self.within
        return (t - d, t + d) if self.asks == "around" else (t,)

    def doubtful(self, value: float) -> bool:
        """Whether rounding may have moved a value across the threshold."""
        near = min(abs(value - bound) for bound in self.bounds)
        return not self.exact and near <= self.tolerance

    def satisfied(self, value: float) -> bool:
        """Whether one value satisfies the claim, taken as it is."""
        t, e = self.threshold, self.tolerance if self.exact else 0.0
        strict = RELATIONS[self.relation].strict
        match self.asks:
            case "above":
                return value > t + e if strict else value >= t - e
            case "below":
                return value < t - e if strict else value <= t + e
            case "around":
                return abs(value - t) <= self.within + e
            case unknown:
                assert_never(unknown)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A verdict and the confidence of the interval, or the corrected p-value, that gave it."""

    verdict: Verdict
    level: float | None
    p: float | None = None


def decide(rule: Rule, interval: Interval) -> Verdict:
    """The verdict of an interval; an interval with infinite ends decides what it can."""
    if rule.doubtful(interval.low) or rule.doubtful(interval.high):
        return Verdict.INCONCLUSIVE
    low, high = rule.satisfied(interval.low), rule.satisfied(interval.high)
    if low and high:
        return Verdict.SUPPORTED
    if rule.asks == "around":
        d = rule.within + rule.tolerance
        outside = interval.low > rule.threshold + d or interval.high < rule.threshold - d
        return Verdict.REFUTED if outside else Verdict.INCONCLUSIVE
    return Verdict.INCONCLUSIVE if low or high else Verdict.REFUTED


def in_doubt(rule: Rule, interval: Interval) -> str:
    """What to say where rounding alone makes a claim inconclusive; "" where it does not."""
    taken_as_it_is = decide(replace(rule, tolerance=0.0, exact=True), interval)
    both = rule.doubtful(interval.low) and rule.doubtful(interval.high)
    if taken_as_it_is is decide(rule, interval) and not both:
        return ""
    what = "an end of the interval" if interval.low < interval.high else "the estimate"
    return f"{what} is {DOUBT}, {rule.tolerance:.2g}"


def smallest(rule: Rule, estimate: float, p_value: Callable[[float], float]) -> float:
    """The p-value of a claim: the smallest alpha whose interval at 1 - alpha is definite.

    `p_value(c)` is the smallest alpha whose interval leaves c out.
    """
    t, d, e = rule.threshold, rule.within, rule.tolerance
    if rule.asks != "around":
        return p_value(t + e if estimate > t else t - e) if abs(estimate - t) > e else 1.0
    beyond = abs(estimate - t) - d
    if abs(beyond) <= e:
        return 1.0
    side = 1 if estimate > t else -1
    if beyond > 0:  # refuted: the nearer margin is left out
        return p_value(t + side * (d + e))
    return max(p_value(t - d + e), p_value(t + d - e))


def invert(rule: Rule, interval: Callable[[float], Interval]) -> float:
    """As `smallest`, by trying levels, to 3 digits; where no formula gives p-values."""

    def definite(exponent: float) -> bool:
        return decide(rule, interval(1 - 10.0**exponent)) is not Verdict.INCONCLUSIVE

    low, high = -12.0, -1e-9
    if not definite(high):
        return 1.0
    if definite(low):
        return 0.0
    for _ in range(16):
        middle = (low + high) / 2
        low, high = (low, middle) if definite(middle) else (middle, high)
    return float(10.0**high)


Judge = Callable[[float], Verdict]


def _ranks(p_values: Sequence[float]) -> list[int]:
    """Members by p-value, equal ones in their own order."""
    return sorted(range(len(p_values)), key=lambda i: (p_values[i], i))


def _holm(p_values: Sequence[float], judges: Sequence[Judge], alpha: float) -> list[Judged]:
    m = len(p_values)
    found: dict[int, Judged] = {}
    stopped = False
    for j, i in enumerate(_ranks(p_values)):
        level = 1 - alpha / (m - j)
        verdict = judges[i](level)
        if verdict is Verdict.INCONCLUSIVE:
            stopped = True
        elif stopped and verdict is not Verdict.UNDEFINED:
            verdict = Verdict.INCONCLUSIVE
        found[i] = Judged(verdict=verdict, level=level)
    return [found[i] for i in range(m)]


def _holm_adjusted(p_values: Sequence[float]) -> list[float]:
    corrected, largest = [1.0] * len(p_values), 0.0
    for j, i in enumerate(_ranks(p_values)):
        largest = max(largest, (len(p_values) - j) * p_values[i])
        corrected[i] = min(1.0, largest)
    return corrected


def _bh(p_values: Sequence[float], judges: Sequence[Judge], alpha: float) -> list[Judged]:
    m = len(p_values)
    order = _ranks(p_values)
    passed = [j for j, i in enumerate(order, start=1) if p_values[i] <= j * alpha / m]
    k = passed[-1] if passed else 0
    level = 1 - max(k, 1) * alpha / m
    found: dict[int, Judged] = {}
    for j, i in enumerate(order, start=1):
        verdict = judges[i](level)
        if j > k and verdict is not Verdict.UNDEFINED:
            verdict = Verdict.INCONCLUSIVE
        found[i] = Judged(verdict=verdict, level=level)
    return [found[i] for i in range(m)]


def _bh_adjusted(p_values: Sequence[float]) -> list[float]:
    corrected, least = [1.0] * len(p_values), 1.0
    for j, i in reversed(list(enumerate(_ranks(p_values), start=1))):
        least = min(least, len(p_values) * p_values[i] / j)
        corrected[i] = least
    return corrected


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """How a family of claims is corrected for their number; all in the family's own order.

    `family(p_values, judges, alpha)`: the verdicts, where `judges` give each member's verdict at a
    level. Undefined members keep that verdict and count; give them p = 1.
    `adjusted(p_values)`: for each the smallest level of the family at which it is rejected.
    """

    family: Callable[[Sequence[float], Sequence[Judge], float], list[Judged]]
    adjusted: Callable[[Sequence[float]], list[float]]


CORRECTIONS = {
    "holm": Correction(family=_holm, adjusted=_holm_adjusted),
    "bh": Correction(family=_bh, adjusted=_bh_adjusted),
}
"""The corrections of `pathdsl.lang.signatures.methods`."""


def settle(
    rule: Rule,
    estimate: float,
    interval: Interval,
    n: int,
    level: float,
    power: float = POWER,
    *,
    units: int | None = None,
) -> int | None:
    """About how many rows would settle an inconclusive claim, or None where none can be given.

    With that many rows a fresh sample settles the claim with probability `power` if the estimate is
    the truth. The half-width w at n rows, z standard errors at this level, shrinks as 1/sqrt(n), so
    that at N = n x^2 a boundary at distance d is outside the interval of a fresh sample with
    probability Phi(z (x d / w - 1)); where the estimate is within the margins of `~=`, both must
    be (Phillips 1990, J. Pharmacokin. Biopharm. 18:137). For one boundary that is
    N = n (w / d)^2 (1 + z(power) / z)^2. With `units` independent clusters z is Student's
    quantile, which falls as they become more.
    """
    from scipy.special import ndtr, ndtri, stdtrit  # who reads results needs no scipy

    if not interval.known or n == 0:
        return None
    distances = [abs(estimate - bound) - rule.tolerance for bound in rule.bounds]
    if abs(estimate - rule.threshold) > rule.within:
        distances = [min(distances)]  # beyond the margins only the nearer one is in the way
    if min(distances) <= 1e-12 * max(map(abs, rule.bounds)):
        return None
    # The wider side: the interval of an absolute value is cut off at 0 on the other.
    width = max(interval.high - estimate, estimate - interval.low)
    if width <= 0:
        return None

    def quantile(x: float) -> float:
        p = (1 + level) / 2
        if units is None or units < 2 or "hull" not in interval.method.split():
            return float(ndtri(p))
        return float(stdtrit(max(2.0, units * x * x) - 1, p))

    error = width / quantile(1.0)

    def settles(x: float) -> bool:
        outside = sum(float(ndtr(x * d / error - quantile(x))) for d in distances)
        return outside - (len(distances) - 1) >= power

    # Half of 1 - power for the nearest boundary is enough for any two.
    low, high = 0.0, (quantile(1.0) + float(ndtri((1 + power) / 2))) * error / min(distances)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if settles(middle) else (middle, high)
    return max(n + 1, ceil(n * high**2)) if isfinite(high) else None
