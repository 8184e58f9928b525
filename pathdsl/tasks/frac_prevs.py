"""The fraction of tokens so far that are x: the classic first program of RASP and tracr.

Source: the program `frac_prevs` of Lindner et al. 2023 (arXiv:2301.05062). Rows are
token ids of the bundled model `frac-prevs`: 0 is <bos>, 1 is x, 2 to 5 are other letters, 6 is the
token whose logit is the answer.
"""

from __future__ import annotations

from pathdsl.draws import Draws
from pathdsl.tasks.base import SEED, TAKE, Column, Generator, Row, prompt_length

__all__ = ["GENERATOR", "LETTERS", "LONGEST", "OUT", "X"]

X = 1
LETTERS = (1, 2, 3, 4, 5)
OUT = 6
LONGEST = 24


def _row(index: int, *, seed: int, length: int) -> Row:
    draws = Draws(seed, "frac_prevs", str(length), "row", str(index))
    count, other_count = draws.sample(range(length), 2)

    def sequence(of_x: int) -> list[int]:
        body = [X] * of_x + [draws.choice(LETTERS[1:]) for _ in range(length - 1 - of_x)]
        return [0, *draws.shuffled(body)]

    return {
        "prompt": sequence(count),
        "prompt_other": sequence(other_count),
        "out": OUT,
        "none": 0,
        "count": count,
    }


GENERATOR = Generator(
    name="frac_prevs",
    summary="the fraction of tokens that are x, for the compiled model `frac-prevs`",
    doc="""Token ids <bos> then letters; the answer is a number, the share of the letters that are
x, and the model writes it as 8 times itself on the logit of the token `out`. The treated prompt
has another count of x. `count` is the number of x's, so the right value of
`logit(out) - logit(none)` is 8 * count / (length - 1).

Bundled model: `frac-prevs`. Its attention reads positions: an edge that carries the same value in
every prompt. Under a paired, resampled or mean treated value that edge has no effect, under `zero`
it belongs to the circuit (Miller et al. 2024, arXiv:2407.08734, section 5).""",
    row=_row,
    parameters=(TAKE, SEED, prompt_length(12, least=3, most=LONGEST)),
    prompt_columns=(
        Column(name="prompt", doc="<bos> and letters"),
        Column(name="prompt_other", doc="letters with another count of x"),
    ),
    token_columns=(
        Column(name="out", doc="the token whose logit is 8 times the fraction"),
        Column(name="none", doc="a token whose logit is always 0"),
    ),
    labels=(Column(name="count", doc="how many of the letters are x"),),
    examples=({"length": 3}, {"length": 24}),
)
