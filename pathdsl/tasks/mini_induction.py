"""Induction as the bundled model `induction-mini` was, and was not, trained on it.

Each prompt draws anew which first word goes with which second word, and writes such pairs in a
random order with other words between them: `… A B … C D … A`, and the answer is B. Nothing but that
A stood right before B tells it. Elhage et al. 2021; Olsson et al. 2022 (arXiv:2209.11895);
Goldowsky-Dill et al. 2023 (arXiv:2304.05969).

- `train`: A and B may be a pair in training;
- `test`: they never are.

The division is by a hash of A and B, not by a draw: it needs no list and never changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from pathdsl.draws import Draws
from pathdsl.tasks.base import SEED, TAKE, Column, Generator, Parameter, Row
from pathdsl.tasks.repeated_tokens import VOCABULARY

__all__ = ["GENERATOR", "PAIRS", "WORDS", "Part", "held_out", "pairs_of", "parts_of"]

WORDS: tuple[str, ...] = VOCABULARY[::4]
PAIRS = 8  # of a prompt, at most

Part = tuple[str, ...]
"""A pair of words, or one word that belongs to none."""

_HELD_OUT_SHARE = 5  # of so many ordered pairs of words one is never a pair in training


@cache
def held_out(first: str, second: str) -> bool:
    """Whether the words are never a pair in training."""
    name = ("mini_induction", "pair", first, second)
    return Draws(0, *name).below(_HELD_OUT_SHARE) == 0


def pairs_of(words: Sequence[str], split: str) -> tuple[list[Part], list[Part]]:
    """`PAIRS` pairs of the split out of different words, and the words left, alone."""
    wanted = split == "test"
    left = list(words)
    pairs: list[Part] = []
    while len(pairs) < PAIRS:
        first = left.pop()
        # A first word that no word fits is left out.
        for second in reversed(left):
            if held_out(first, second) is wanted:
                left.remove(second)
                pairs.append((first, second))
                break
    return pairs, [(word,) for word in left]


def parts_of(words: Sequence[str], order: Sequence[int], split: str) -> list[Part]:
    """The pairs of these numbers in this order; -1, -2, … are words that belong to none."""
    pairs, rest = pairs_of(words, split)
    return [pairs[number] if number >= 0 else rest[-number - 1] for number in order]


def _row(index: int, *, seed: int, length: int, split: str) -> Row:
    draws = Draws(seed, "mini_induction", split, str(length), "row", str(index))
    # As many words between the pairs as leave an even number of places, END not counted.
    between = (length - 1) % 2 + 2 * draws.below(length // 8)
    count = (length - 1 - between) // 2
    # The pair that is asked for and the other one stand once, the rest as it comes.
    repeated = [2 + draws.below(PAIRS - 2) for _ in range(count - 2)]
    order = draws.shuffled([0, 1, *repeated, *range(-between, 0)])
    words = draws.shuffled(WORDS)
    half = len(words) // 2
    parts = parts_of(words[:half], order, split)
    other = parts_of(words[half:], order, split)
    asked, unasked = (parts[order.index(number)] for number in (0, 1))
    # The first words of the two exchanged: what stands behind them stays where it is.
    exchanged = list(parts)
    exchanged[order.index(0)] = (unasked[0], asked[1])
    exchanged[order.index(1)] = (asked[0], unasked[1])
    line = [word for part in parts for word in part]
    starts = [0]
    for word in line:
        starts.append(starts[-1] + 1 + len(word))

    def span(word: str) -> list[int]:
        place = line.index(word)
        return [starts[place] + 1, starts[place + 1]]

    def text(parts: list[Part], end: str) -> str:
        return "".join(f" {word}" for part in [*parts, (end,)] for word in part)

    return {
        "prompt": text(parts, asked[0]),
        "prompt_other": text(other, other[order.index(0)][0]),
        "prompt_exchanged": text(exchanged, asked[0]),
        "answer": f" {asked[1]}",
        "wrong": f" {unasked[1]}",
        "split": split,
        "spans": {
            "FIRST": span(asked[0]),
            "AFTER": span(asked[1]),
            "OTHER_FIRST": span(unasked[0]),
            "OTHER_AFTER": span(unasked[1]),
        },
    }


GENERATOR = Generator(
    name="mini_induction",
    summary="pairs of words, one to be completed, divided as the training of `induction-mini` was",
    doc="""Pairs of words, drawn anew for each prompt, in a random order with other words between
them: `… A B … C D … A`, and the answer, read at END, is B. A B and C D stand once, the other pairs
as it comes. That A stood right before B is all that tells the answer.

- `split: "test"` (the default): A and B, and the words of every other pair of `prompt`, are never a
  pair in the training of the bundled model `induction-mini`;
- `split: "train"`: they may be.

All words are in the vocabulary of that model and single tokens of GPT-2 too, `<bos>` before them.

Treated values: `prompt_other`, other words in the same order of pairs; `prompt_exchanged`, where A
and C have each other's first place, so that D is right. Between it and `prompt` nothing but the
words before B and D differs.

Metric: `logit(answer) - logit(wrong)`, where `wrong` is D. Sources: arXiv:2209.11895;
arXiv:2304.05969.""",
    row=_row,
    parameters=(
        TAKE,
        SEED,
        Parameter(name="length", kind="int", default=24, least=8, most=30, doc="words per prompt"),
        Parameter(
            name="split",
            kind="str",
            default="test",
            choices=("test", "train"),
            doc="pairs held out of training, or such as it had",
        ),
    ),
    prompt_columns=(
        Column(name="prompt", doc="… A B … C D … A"),
        Column(name="prompt_other", doc="the same with other words"),
        Column(name="prompt_exchanged", doc="… C B … A D … A"),
    ),
    token_columns=(
        Column(name="answer", doc="B, which stands behind A"),
        Column(name="wrong", doc="D, which stands behind C, and behind A in `prompt_exchanged`"),
    ),
    labels=(Column(name="split", doc="the split that was asked for"),),
    positions=(
        Column(name="FIRST", doc="the A before B; the other A is END"),
        Column(name="AFTER", doc="B"),
        Column(name="OTHER_FIRST", doc="C"),
        Column(name="OTHER_AFTER", doc="D"),
    ),
    examples=({"length": 8}, {"length": 30, "split": "train"}),
)
