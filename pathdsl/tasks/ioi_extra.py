"""IOI in which IO, or S, is named once more before S2: the adversarial prompts.

Wang et al. 2022 (arXiv:2211.00593), section 4: a circuit that finds the name that stands twice is
misled where IO stands twice as well. Sentences are this project's own.
"""

from __future__ import annotations

from pathdsl.tasks.base import SEED, TAKE, Column, Generator, Lists, Parameter, Row
from pathdsl.tasks.ioi import (
    LABELS,
    ORDER,
    POSITIONS,
    PROMPT_COLUMNS,
    TOKEN_COLUMNS,
    WORDS,
    of_index,
)

__all__ = ["GENERATOR", "SENTENCES"]

SENTENCES: tuple[str, ...] = (
    "Then, {1} and {2} went to the {place}. {EXTRA} was in a good mood. {3} gave a {object} to",
    "Then, {1} and {2} had a lovely day at the {place}. {EXTRA} was very happy. "
    "{3} gave a {object} to",
    "Then, {1} and {2} were working at the {place}. {EXTRA} was a little tired. "
    "{3} decided to give a {object} to",
    "Then, {1} and {2} were thinking of going to the {place}. {EXTRA} had been there before. "
    "{3} wanted to give a {object} to",
    "Then, {1} and {2} had a long argument, and {EXTRA} was angry, and afterwards {3} said to",
    "After {1} and {2} went to the {place}, {EXTRA} was in a good mood. {3} gave a {object} to",
    "When {1} and {2} found a {object} at the {place}, {EXTRA} was surprised. "
    "{3} decided to give it to",
    "When {1} and {2} found a {object} at the {place}, {EXTRA} was surprised. "
    "{3} decided to give the {object} to",
    "While {1} and {2} were working at the {place}, {EXTRA} felt tired. {3} gave a {object} to",
    "While {1} and {2} were walking to the {place}, {EXTRA} felt cold. {3} gave a {object} to",
    "After the lunch, {1} and {2} went to the {place}. {EXTRA} was in a good mood. "
    "{3} gave a {object} to",
    "Afterwards, {1} and {2} went to the {place}. {EXTRA} was enjoying the day. "
    "{3} gave a {object} to",
    "Then, {1} and {2} had a long argument. {EXTRA} was angry. Afterwards {3} said to",
    "The {place} {1} and {2} went to had a {object}. {EXTRA} saw it first. {3} gave it to",
    "Friends {1} and {2} found a {object} at the {place}. {EXTRA} saw it first. {3} gave it to",
)


def _row(index: int, *, seed: int, order: str, extra: str, words: Lists) -> Row:
    row = of_index(
        index, seed=seed, order=order, words=words, sentences=SENTENCES, more=[("EXTRA", extra)]
    )
    return {**row, "extra": extra}


GENERATOR = Generator(
    name="ioi_extra",
    summary="indirect object identification with IO or S named once more (adversarial)",
    doc="""The task `ioi` with a sentence between, in which IO (`extra: "io"`) or S (`extra: "s"`)
stands once more. With IO both names stand twice before S2's sentence ends, and duplicate names no
longer tell which one is the answer; with S nothing about the answer becomes harder.

Row by row, names, template, place and object are those of `ioi` with the same arguments, so that
two tasks compare the same sentences. In every prompt column EXTRA repeats the name that stands in
the first place of IO, or of S, there.
Metric: `logit(io) - logit(s)`. Source: arXiv:2211.00593, section 4.""",
    row=_row,
    parameters=(
        TAKE,
        SEED,
        ORDER,
        Parameter(
            name="extra",
            kind="str",
            default="io",
            choices=("io", "s"),
            doc="who is named once more",
        ),
    ),
    prompt_columns=PROMPT_COLUMNS,
    token_columns=TOKEN_COLUMNS,
    labels=(*LABELS, Column(name="extra", doc="`io` or `s`, as was asked for")),
    positions=(*POSITIONS, Column(name="EXTRA", doc="the name that stands once more")),
    words=WORDS,
    examples=({"extra": "s"}, {"order": "baba"}),
)
