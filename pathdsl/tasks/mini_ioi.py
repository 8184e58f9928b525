"""The IOI task as the bundled model `ioi-mini` was, and was not, trained on it.

Same templates and words as `ioi`, with the names divided by what the model's training saw:

- `train`: both names are of the eighty that training uses in the pattern, and the pair is one that
  training uses;
- `test`: both names are of the eighty, but this pair never stands in the pattern in training, so
  no combination of names, place and object was seen;
- `names`: both names are of the twenty that stand only in other sentences in training.

The division is by a hash of the pair, not by a draw, so that it needs no list and never changes.
"""

from __future__ import annotations

from itertools import combinations as pairs_of

from pathdsl.draws import Draws
from pathdsl.tasks.base import SEED, TAKE, Column, Generator, Parameter, Row
from pathdsl.tasks.ioi import (
    LABELS,
    NAMES,
    ORDER,
    POSITIONS,
    PROMPT_COLUMNS,
    TOKEN_COLUMNS,
    combinations,
    make_row,
)

__all__ = ["GENERATOR", "PATTERN_NAMES", "UNSEEN_NAMES", "pairs"]

UNSEEN_NAMES: tuple[str, ...] = NAMES[4::5]
PATTERN_NAMES: tuple[str, ...] = tuple(name for name in NAMES if name not in set(UNSEEN_NAMES))

_HELD_OUT_SHARE = 5  # one pair in five is never seen in the pattern


def pairs(split: str) -> list[tuple[str, str]]:
    """The unordered pairs of names of a split, in alphabetical order."""
    if split == "names":
        return list(pairs_of(UNSEEN_NAMES, 2))
    wanted = split == "test"
    return [
        pair
        for pair in pairs_of(PATTERN_NAMES, 2)
        if (Draws(0, "mini_ioi", "pair", *pair).below(_HELD_OUT_SHARE) == 0) is wanted
    ]


_PAIRS: dict[str, list[tuple[str, str]]] = {}


def _row(index: int, *, seed: int, order: str, split: str) -> Row:
    if split not in _PAIRS:
        _PAIRS[split] = pairs(split)
    kinds = combinations(order)
    block, place = divmod(index, len(kinds))
    names = ("mini_ioi", split, order)
    template, kind = Draws(seed, *names, "block", str(block)).shuffled(kinds)[place]
    draws = Draws(seed, *names, "row", str(index))
    pair = draws.shuffled(draws.choice(_PAIRS[split]))
    # The unrelated names of the other columns are of the same kind as the pair's.
    pool = UNSEEN_NAMES if split == "names" else PATTERN_NAMES
    others = draws.sample([name for name in pool if name not in pair], 3)
    return {**make_row(draws, [*pair, *others], template, kind), "split": split}


GENERATOR = Generator(
    name="mini_ioi",
    summary="indirect object identification, divided as the training of `ioi-mini` was",
    doc="""The task `ioi` with a parameter that says what the bundled model `ioi-mini` saw of it:

- `split: "test"` (the default): pairs of names that never stand in the pattern in training;
- `split: "train"`: pairs that do;
- `split: "names"`: names that stand only in other sentences in training.

All words are in the vocabulary of `ioi-mini` and single tokens of GPT-2 too. Columns, positions
and the metric `logit(io) - logit(s)` are those of `ioi`.""",
    row=_row,
    parameters=(
        TAKE,
        SEED,
        ORDER,
        Parameter(
            name="split",
            kind="str",
            default="test",
            choices=("test", "train", "names"),
            doc="pairs held out of training, pairs seen in training, or names never seen in it",
        ),
    ),
    prompt_columns=PROMPT_COLUMNS,
    token_columns=TOKEN_COLUMNS,
    labels=(*LABELS, Column(name="split", doc="the split that was asked for")),
    positions=POSITIONS,
    examples=({"split": "train"}, {"split": "names", "order": "abba"}),
)
