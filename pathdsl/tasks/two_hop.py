"""Two look-ups in a row: ``<bos> x y  f g  y z  x``, and the answer is z.

A prompt is a little dictionary of pairs (key, value), then a key x. The value y of x is itself a
key, and its value z is the answer: attention that looks up y must finish before the attention that
looks up z can ask. Rows are token ids of the bundled model `two-hop`: 0 is <bos>, 1 to 12 are
interchangeable.
"""

from __future__ import annotations

from pathdsl.draws import Draws
from pathdsl.tasks.base import SEED, TAKE, Column, Generator, Parameter, Row

__all__ = ["CONTENT", "GENERATOR", "LONGEST"]

CONTENT = 12
MOST_PAIRS = 8
LONGEST = 2 * MOST_PAIRS + 2


def _row(index: int, *, seed: int, pairs: int) -> Row:
    draws = Draws(seed, "two_hop", str(pairs), "row", str(index))
    tokens = draws.shuffled(range(1, CONTENT + 1))
    chain, other_chain, fillers = tokens[:3], tokens[3:6], tokens[6:]
    places = draws.sample(range(pairs), 2)

    def sequence(x: int, y: int, z: int) -> list[int]:
        # Keys of fillers are fillers, so none of them is looked up.
        dictionary = [[draws.choice(fillers), draws.choice(fillers)] for _ in range(pairs)]
        dictionary[places[0]] = [x, y]
        dictionary[places[1]] = [y, z]
        return [0, *(token for pair in dictionary for token in pair), x]

    first, second = (2 + 2 * place for place in places)
    return {
        "prompt": sequence(*chain),
        "prompt_other": sequence(*other_chain),
        "answer": chain[2],
        "middle": chain[1],
        "wrong": other_chain[2],
        "order": "forwards" if places[0] < places[1] else "backwards",
        "positions": {"Y": first, "Z": second},
    }


GENERATOR = Generator(
    name="two_hop",
    summary="two look-ups in a row, for the compiled model `two-hop`",
    doc="""Token ids <bos>, pairs of a key and its value, then a key x. One pair is (x, y), another
(y, z), in either order; the answer, read at END, is z. The other pairs are of other tokens. The
treated prompt has the same shape with three other tokens and other fillers.

Metric: `logit(answer) - logit(wrong)`, where `wrong` is the treated prompt's answer; `middle` is y,
the answer of a model that looks up once.
Bundled model: `two-hop`: one head asks with what another head found (q-composition).""",
    row=_row,
    parameters=(
        TAKE,
        SEED,
        Parameter(
            name="pairs",
            kind="int",
            default=4,
            least=2,
            most=MOST_PAIRS,
            doc="pairs per prompt; a prompt has twice as many tokens and two",
        ),
    ),
    prompt_columns=(
        Column(name="prompt", doc="<bos>, the pairs, x"),
        Column(name="prompt_other", doc="the same with another chain and other fillers"),
    ),
    token_columns=(
        Column(name="answer", doc="z, the value of x's value"),
        Column(name="middle", doc="y, the value of x"),
        Column(name="wrong", doc="the answer of `prompt_other`; it is not in `prompt`"),
    ),
    labels=(Column(name="order", doc="`forwards` where (x, y) stands before (y, z)"),),
    positions=(
        Column(name="Y", doc="the value of x"),
        Column(name="Z", doc="the value of y"),
    ),
    examples=({"pairs": 2}, {"pairs": 8}),
)
