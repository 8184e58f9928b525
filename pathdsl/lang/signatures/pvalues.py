"""What the calls that give p-values take, and how `chance` draws and counts its controls.

Calls over per-prompt expressions stand where `mean(x)` stands and give one number over all prompts,
the p-value of an exact test::

    claim better: sign_test(LD(keep(P)) - LD(reference), side: above) <= 5% at 95% confidence

Source: docs/scores.md, Tests over the prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pathdsl import limits
from pathdsl.lang.signatures.kinds import (
    REQUIRED,
    SEED,
    Kind,
    Parameter,
    Signature,
    first,
    table,
    word,
)
from pathdsl.lang.signatures.ranges import SHARE, Range
from pathdsl.record import record

__all__ = ["DRAWN", "P_VALUES", "PValueRecord"]

_SIDES = ("both", "above", "below")
_X, _Y = first("x", Kind.EXPRESSION), first("y", Kind.EXPRESSION)


def _share(default: object) -> Parameter:
    return Parameter(
        name="share",
        kind=Kind.NUMBER,
        default=default,
        least=0.0,
        most=1.0,
        open_ends=True,
        means="a share: of prompts, or of the random path sets that do worse",
    )


@record
class PValueRecord(Signature):
    """What is known of a test: `range` is where its p-value lies, by its arguments."""

    range: Callable[[Mapping[str, object]], Range]


def _any_share(given: Mapping[str, object]) -> Range:
    return SHARE


def _permuted(given: Mapping[str, object]) -> Range:
    """The sample itself is among its permutations."""
    draws = given["draws"]
    return Range(1 / (draws + 1), 1.0) if isinstance(draws, int) else SHARE


P_VALUES = table(
    PValueRecord(
        name="sign_test",
        parameters=(_X, word("side", _SIDES, "both", means="which way the test looks")),
        example="sign_test(LD(treated) - LD(reference), side: below)",
        range=_any_share,
    ),
    PValueRecord(
        name="binomial_test",
        parameters=(
            _X,
            _share(REQUIRED),
            word("side", _SIDES, "above", means="which way the test looks"),
        ),
        example="binomial_test(LD(reference), share: 80%)",
        range=_any_share,
    ),
    PValueRecord(
        name="independence_test",
        parameters=(
            _X,
            _Y,
            Parameter(
                name="draws",
                kind=Kind.INTEGER,
                default=1000,
                least=1,
                most=limits.DRAWS.most,
                means="how often the pairs are drawn anew",
            ),
            SEED,
        ),
        example="independence_test(LD(treated), LD(reference), draws: 1000, seed: 0)",
        range=_permuted,
    ),
)

DRAWN = (
    Parameter(
        name="among",
        kind=Kind.INTEGER,
        default=100,
        least=1,
        most=limits.AMONG.most,
        means="how many random path sets there are",
    ),
    word(
        "by",
        ("units", "walks"),
        "units",
        means="what is drawn: other units, or other walks of the same kind",
    ),
    _share(None),
    word(
        "side",
        ("above", "below"),
        "above",
        means="on which side of the share of draws a score has to lie",
    ),
)
