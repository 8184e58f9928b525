"""IOI with the two names one token earlier or later, and the name that stands again in its place.

Wang et al. 2022 (arXiv:2211.00593) separate two signals by which heads find S1: which name it is,
and where it stands. Their early and late prompts move IO and S1 by one token and leave S2 and END
where they are. Sentences are this project's own.
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

# As many tokens in both: the comma behind the first word against the `and` behind the second.
_MIDDLES: tuple[tuple[str, str], ...] = (
    ("went to the {place}", "{3} gave a {object} to"),
    ("had a lovely day at the {place}", "{3} gave a {object} to"),
    ("were working at the {place}", "{3} decided to give a {object} to"),
    ("were thinking of going to the {place}", "{3} wanted to give a {object} to"),
    ("were walking to the {place}", "{3} gave a {object} to"),
    ("found a {object} at the {place}", "{3} gave it to"),
    ("bought a {object} at the {place}", "{3} decided to give it to"),
    ("had a long argument at the {place}", "{3} gave a {object} to"),
)
SENTENCES = {
    "late": tuple(f"Then, {{1}} and {{2}} {first}. {second}" for first, second in _MIDDLES),
    "early": tuple(f"Then {{1}} and {{2}} {first}, and {second}" for first, second in _MIDDLES),
}


def _row(index: int, *, seed: int, order: str, names: str, words: Lists) -> Row:
    other = "early" if names == "late" else "late"

    def row(which: str) -> Row:
        sentences = SENTENCES[which]
        return of_index(
            index, seed=seed, order=order, words=words, sentences=sentences, stream="ioi_shifted"
        )

    own, moved = row(names), row(other)
    return {
        **own,
        "prompt_shifted": moved["prompt"],
        "prompt_shifted_abc": moved["prompt_abc"],
        "names": names,
    }


GENERATOR = Generator(
    name="ioi_shifted",
    summary="indirect object identification, the two names one token earlier or later",
    doc="""Eight sentences of the task `ioi` with a comma behind the first word (`names: "late"`) or
without (`names: "early"`); then IO and S1 stand one token earlier, and `, and` in the place of the
full stop keeps S2 and END at their places. `prompt_shifted` is the same sentence of the other kind.

It moves where S1 stands and nothing that is said. Columns, positions and the metric
`logit(io) - logit(s)` are otherwise those of `ioi`; positions are those of `prompt`.
Source: arXiv:2211.00593.""",
    row=_row,
    parameters=(
        TAKE,
        SEED,
        ORDER,
        Parameter(
            name="names",
            kind="str",
            default="late",
            choices=("late", "early"),
            doc="whether `prompt` has the names late, and `prompt_shifted` early, or the reverse",
        ),
    ),
    prompt_columns=(
        *PROMPT_COLUMNS,
        Column(name="prompt_shifted", doc="the same words, IO and S1 a token earlier or later"),
        Column(name="prompt_shifted_abc", doc="that sentence with three unrelated names"),
    ),
    token_columns=TOKEN_COLUMNS,
    labels=(*LABELS, Column(name="names", doc="`late` or `early`, as was asked for")),
    positions=POSITIONS,
    words=WORDS,
    examples=({"names": "early"}, {"order": "abba"}),
)
