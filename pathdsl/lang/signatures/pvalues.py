"""What the calls that give p-values take, and how `chance` draws and counts its controls.

Calls over per-prompt expressions stand where `mean(x)` stands and give one number over all prompts,
the p-value of an exact test::

    claim better: sign_test(LD(keep(P)) - LD(reference), side: above) <= 5% at 95% confidence

Source: language.md section 6, semantics.md section 6.
"""

from __future__ import annotations

from pathdsl import limits
from pathdsl.lang import ast
from pathdsl.lang.signatures.kinds import REQUIRED, Kind, Parameter, Signature

__all__ = ["DRAWN", "P_VALUES", "SIDES", "is_p_value"]

SIDES = ("both", "above", "below")
_SEED = Parameter(name="seed", kind=Kind.INTEGER, default=0)
_X = Parameter(name="x", kind=Kind.EXPRESSION, default=REQUIRED, by_place=True)
_Y = Parameter(name="y", kind=Kind.EXPRESSION, default=REQUIRED, by_place=True)


def _share(default: object) -> Parameter:
    return Parameter(
        name="share", kind=Kind.NUMBER, default=default, least=0.0, most=1.0, open_ends=True
    )


def _side(default: str, choices: tuple[str, ...] = SIDES) -> Parameter:
    return Parameter(name="side", kind=Kind.WORD, choices=choices, default=default)


P_VALUES = {
    signature.name: signature
    for signature in (
        Signature(
            name="sign_test",
            parameters=(_X, _side("both")),
            example="sign_test(LD(treated) - LD(reference), side: below)",
        ),
        Signature(
            name="binomial_test",
            parameters=(_X, _share(REQUIRED), _side("above")),
            example="binomial_test(LD(reference), share: 80%)",
        ),
        Signature(
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
                ),
                _SEED,
            ),
            example="independence_test(LD(treated), LD(reference), draws: 1000, seed: 0)",
        ),
    )
}

DRAWN = (
    Parameter(name="among", kind=Kind.INTEGER, default=100, least=1, most=limits.AMONG.most),
    Parameter(name="by", kind=Kind.WORD, choices=("units", "walks"), default="units"),
    _share(None),
    _side("above", ("above", "below")),
)


def is_p_value(side: ast.Node) -> bool:
    """True where one side of a claim is itself a p-value: a test or `chance(…)`."""
    match side:
        case ast.Bracket(inner=inner):
            return is_p_value(inner)
        case ast.Score(name=name):
            return name == "chance"
        case ast.Call(name=name):
            return name in P_VALUES
        case _:
            return False
