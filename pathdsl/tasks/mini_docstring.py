"""Docstrings as the bundled model `attention-mini` was, and was not, trained on them.

The task of Heimersheim and Janiak 2023 ("A circuit for Python docstrings in a 4-layer
attention-only transformer") in few words: a function of six arguments, of which the docstring
describes two that follow each other, and is to go on with the next. Which argument follows which
is drawn anew for each prompt.

- `train`: two arguments that follow each other may do so in training;
- `test`: they never do.

The division is that of `mini_induction`, whose words these are.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence

from pathdsl.draws import Draws
from pathdsl.tasks.base import SEED, TAKE, Column, Generator, Parameter, Row
from pathdsl.tasks.mini_induction import WORDS as ALL_WORDS
from pathdsl.tasks.mini_induction import held_out

__all__ = ["GENERATOR", "WORDS", "chain_of", "text_of"]

WORDS: tuple[str, ...] = tuple(
    word for word in ALL_WORDS if not keyword.iskeyword(word) and word != "self"
)
ARGUMENTS = 6  # of a prompt


def chain_of(words: Sequence[str], count: int, split: str) -> tuple[list[str], list[str]]:
    """So many words, each two that follow each other of the split, and the words left."""
    wanted = split == "test"
    left = list(words)
    while True:
        chain = [left.pop()]
        while len(chain) < count:
            fit = next((w for w in reversed(left) if held_out(chain[-1], w) is wanted), None)
            if fit is None:
                break  # no word fits behind the last: the first of the chain is left out
            left.remove(fit)
            chain.append(fit)
        else:
            return chain, left
        left.extend(reversed(chain[1:]))


def text_of(
    method: str, arguments: Sequence[str], head: Sequence[str], described: Sequence[Sequence[str]]
) -> str:
    """The definition and the beginning of the docstring, up to the next `:param`.

    `head`: words of its first line; `described`: arguments, each with the words behind its colon.
    """
    lines = [f"def {method}(self, {', '.join(arguments)}):", f'    """ {" ".join(head)}']
    lines += [f"    :param {name}: {' '.join(words)}" for name, *words in described]
    return "\n".join([*lines, "    :param"])


def _row(index: int, *, seed: int, split: str) -> Row:
    draws = Draws(seed, "mini_docstring", split, "row", str(index))
    words = draws.shuffled(WORDS)
    half = len(words) // 2
    arguments, (method, *rest) = chain_of(words[:half], ARGUMENTS, split)
    other, _ = chain_of(words[half:], ARGUMENTS, split)
    start = draws.below(2)  # two arguments before A and one behind C, or the other way about
    names = ("P1", "P2", "A", "B", "C", "S", "T")[start : start + ARGUMENTS]

    def text(defined: Sequence[str], first: str, second: str) -> str:
        described = [(first, *rest[2:4]), (second, *rest[4:6])]
        return text_of(method, defined, rest[:2], described)

    own = dict(zip(names, arguments, strict=True))
    new = dict(zip(names, other, strict=True))

    def exchanged(one: str, two: str) -> list[str]:
        there = {**own, one: own[two], two: own[one]}
        return [there[name] for name in names]

    prompt = text(arguments, own["A"], own["B"])

    def spans(word: str) -> list[list[int]]:
        return [list(found.span()) for found in re.finditer(rf"\b{word}\b", prompt)]

    (a_def, a_doc), (b_def, b_doc) = spans(own["A"]), spans(own["B"])
    return {
        "prompt": prompt,
        "prompt_random": text(other, new["A"], new["B"]),
        "prompt_next": text(arguments, own["B"], own["C"]),
        "prompt_order": text(exchanged("B", "C"), own["A"], own["B"]),
        "prompt_exchanged": text(exchanged("C", "S"), own["A"], own["B"]),
        "answer": f" {own['C']}",
        "wrong": f" {own['S']}",
        "a": f" {own['A']}",
        "b": f" {own['B']}",
        "split": split,
        "spans": {
            "A_DEF": a_def,
            "B_DEF": b_def,
            "COMMA": [b_def[1], b_def[1] + 1],
            "C_DEF": spans(own["C"])[0],
            "S_DEF": spans(own["S"])[0],
            "A_DOC": a_doc,
            "B_DOC": b_doc,
        },
    }


GENERATOR = Generator(
    name="mini_docstring",
    summary="the next argument of a docstring, divided as the training of `attention-mini` was",
    doc="""A Python method of six arguments besides `self`, and the beginning of its docstring,
which describes two that follow each other, A and B; the answer is C, the argument behind B, read at
END, the token `:param`. One or two arguments stand before A, one or two behind C, the first S.

- `split: "test"` (the default): no two arguments that follow each other in `prompt` ever do so in
  the training of the bundled model `attention-mini`, nor are they a pair of its induction;
- `split: "train"`: they may.

All words are in the vocabulary of that model and single tokens of GPT-2 too.

Treated values: `prompt_random` has other arguments everywhere. In the others S is right, each for
another reason: in `prompt_next` the docstring describes B and C; in `prompt_order` B and C have
each other's place in the definition, so that another argument stands before S; in
`prompt_exchanged` C and S have, so that it stands where C stood.

Metric: `logit(answer) - logit(wrong)`, where `wrong` is S. Source: Heimersheim and Janiak 2023.""",
    row=_row,
    parameters=(
        TAKE,
        SEED,
        Parameter(
            name="split",
            kind="str",
            default="test",
            choices=("test", "train"),
            doc="neighbours held out of training, or such as it had",
        ),
    ),
    prompt_columns=(
        Column(name="prompt", doc="definition and docstring up to the third `:param`"),
        Column(name="prompt_random", doc="the same with six other arguments"),
        Column(name="prompt_next", doc="the docstring describes B and C"),
        Column(name="prompt_order", doc="B and C exchanged in the definition"),
        Column(name="prompt_exchanged", doc="C and S exchanged in the definition"),
    ),
    token_columns=(
        Column(name="answer", doc="C, the argument behind B in the definition"),
        Column(name="wrong", doc="S, the argument behind C"),
        Column(name="a", doc="A, described first"),
        Column(name="b", doc="B, described second"),
    ),
    labels=(Column(name="split", doc="the split that was asked for"),),
    positions=(
        *(Column(name=f"{x}_DEF", doc=f"{x} in the definition") for x in "ABCS"),
        *(Column(name=f"{x}_DOC", doc=f"{x} in the docstring") for x in "AB"),
        Column(name="COMMA", doc="the comma behind B in the definition"),
    ),
    examples=({"split": "train"},),
)
