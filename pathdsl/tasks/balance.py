"""Brackets: does a row of `(` and `)` balance, and never close what was not opened?

The language Dyck-1, one of the tasks of the RASP paper (Weiss et al. 2021, arXiv:2106.06981).
Rows are token ids of the bundled model `balance`: 0 is <bos>, 1 is `(`, 2 is `)`, 3 and 4 are the
answers yes and no.
"""

from __future__ import annotations

from pathdsl.draws import Draws
from pathdsl.tasks.base import SEED, TAKE, Column, Generator, Parameter, Row

__all__ = ["CLOSE", "GENERATOR", "LONGEST", "NO", "OPEN", "YES"]

OPEN, CLOSE, YES, NO = 1, 2, 3, 4
LONGEST = 23  # <bos> and eleven pairs
KINDS = ("balanced", "dips", "uneven")


def kind_of(brackets: list[int]) -> str:
    """`balanced`, `dips` (ends even, but closes too early) or `uneven` (ends at another depth)."""
    depth, lowest = 0, 0
    for bracket in brackets:
        depth += 1 if bracket == OPEN else -1
        lowest = min(lowest, depth)
    if depth:
        return "uneven"
    return "dips" if lowest < 0 else "balanced"


def _brackets(draws: Draws, kind: str, count: int) -> list[int]:
    """Brackets of that kind: drawn until they are, from words with the right number of each."""
    while True:
        opened = count // 2
        if kind == "uneven":
            opened = draws.choice([n for n in range(count + 1) if n != count // 2])
        word = draws.shuffled([OPEN] * opened + [CLOSE] * (count - opened))
        if kind_of(word) == kind:
            return word


def _row(index: int, *, seed: int, length: int) -> Row:
    draws = Draws(seed, "balance", str(length), "row", str(index))
    kind, other = draws.sample(KINDS, 2)
    return {
        "prompt": [0, *_brackets(draws, kind, length - 1)],
        "prompt_other": [0, *_brackets(draws, other, length - 1)],
        "answer": YES if kind == "balanced" else NO,
        "wrong": NO if kind == "balanced" else YES,
        "yes": YES,
        "no": NO,
        "kind": kind,
        "other_kind": other,
    }


GENERATOR = Generator(
    name="balance",
    summary="balanced brackets, for the compiled model `balance`",
    doc="""Token ids <bos> then brackets: 1 is `(`, 2 is `)`. Asked at END: do they balance? A
third of the rows do (`balanced`), a third end even but close a bracket too early (`dips`), a third
end at another depth (`uneven`); the treated prompt is of another kind, `other_kind`.

Metric: `logit(answer) - logit(wrong)` or, with the same sign in all rows, `logit(yes) - logit(no)`.
Bundled model: `balance`, which writes +4 for yes and -4 for no on the latter.""",
    row=_row,
    parameters=(
        TAKE,
        SEED,
        Parameter(
            name="length",
            kind="int",
            default=13,
            least=5,
            most=LONGEST,
            doc="tokens per prompt, <bos> included; odd, so that brackets can balance",
            odd=True,
        ),
    ),
    prompt_columns=(
        Column(name="prompt", doc="<bos> and brackets"),
        Column(name="prompt_other", doc="brackets of another kind"),
    ),
    token_columns=(
        Column(name="answer", doc="yes (3) where `prompt` is balanced, else no (4)"),
        Column(name="wrong", doc="the other one"),
        Column(name="yes", doc="3 in every row"),
        Column(name="no", doc="4 in every row"),
    ),
    labels=(
        Column(name="kind", doc="`balanced`, `dips` or `uneven`"),
        Column(name="other_kind", doc="the same of `prompt_other`"),
    ),
    examples=({"length": 5}, {"length": 23}),
)
