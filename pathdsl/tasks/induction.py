"""Induction: ``<bos> ... A B ... A``, and the answer is B.

The behaviour and the two-head circuit are those of Elhage et al. 2021 ("A Mathematical Framework
for Transformer Circuits") and Olsson et al. 2022 (arXiv:2209.11895). Rows are token ids of the
bundled model `induction-2l`; any model whose vocabulary has as many tokens can be asked too.
"""

from __future__ import annotations

from pathdsl.draws import Draws
from pathdsl.tasks.base import SEED, TAKE, Column, Generator, Row, prompt_length

__all__ = ["CONTENT", "GENERATOR", "LONGEST"]

CONTENT = 16  # token 0 is <bos>; 1 to 16 are interchangeable
LONGEST = 24


def _row(index: int, *, seed: int, length: int) -> Row:
    draws = Draws(seed, "induction", str(length), "row", str(index))
    tokens = list(range(1, CONTENT + 1))
    a, b, other_a, other_b, *fillers = draws.shuffled(tokens)
    first = 1 + draws.below(length - 3)

    def sequence(of_a: int, of_b: int) -> list[int]:
        body = [0, *(draws.choice(fillers) for _ in range(length - 2)), of_a]
        body[first : first + 2] = [of_a, of_b]
        return body

    return {
        "prompt": sequence(a, b),
        "prompt_other": sequence(other_a, other_b),
        "answer": b,
        "wrong": other_b,
        "first": first,
        "positions": {"FIRST_A": first, "FIRST_B": first + 1},
    }


GENERATOR = Generator(
    name="induction",
    summary="a repeated pair of tokens, for the hand-built model `induction-2l`",
    doc="""Token ids <bos> ... A B ... A; the answer, read at END, is B. Two tokens A and B stand
side by side at a place drawn uniformly, A stands again at the end, and the rest are fillers, never
A or B. The treated prompt has the same shape with two other tokens and other fillers.

Metric: `logit(answer) - logit(wrong)`, where `wrong` is the treated prompt's answer.
Bundled model: `induction-2l` (ids 0 to 16, at most 24 positions).""",
    row=_row,
    parameters=(TAKE, SEED, prompt_length(16, least=5, most=LONGEST)),
    prompt_columns=(
        Column(name="prompt", doc="<bos> ... A B ... A"),
        Column(name="prompt_other", doc="the same with another pair and other fillers"),
    ),
    token_columns=(
        Column(name="answer", doc="B, the token that followed A"),
        Column(name="wrong", doc="the answer of `prompt_other`; it is not in `prompt`"),
    ),
    labels=(Column(name="first", doc="the index of the first A, for means by place"),),
    positions=(
        Column(name="FIRST_A", doc="the first A"),
        Column(name="FIRST_B", doc="the B after it; the second A is END"),
    ),
    examples=({"length": 5}, {"length": 24}),
)
