"""Greater-than as the bundled model `reuse-mini` was, and was not, trained on it.

- `train`: nouns and start years YY that stand in one sentence in training;
- `test`: the noun and YY never stand in one sentence in training.

The division is by a hash of noun and YY, not by a draw: it needs no list and never changes.
"""

from __future__ import annotations

from functools import lru_cache

from pathdsl.draws import Draws
from pathdsl.tasks.base import SEED, TAKE, Column, Generator, Parameter, Row
from pathdsl.tasks.greater_than import GENERATOR as WHOLE
from pathdsl.tasks.greater_than import NOUNS, YEARS, centuries_of, make_row

__all__ = ["GENERATOR", "combinations"]

WAR_NOUNS: tuple[str, ...] = NOUNS[:24]

_HELD_OUT_SHARE = 5  # one noun and YY in five never stand in one sentence in training


@lru_cache(maxsize=2)
def combinations(split: str) -> dict[str, tuple[str, ...]]:
    """The nouns of every start year YY in a split."""
    wanted = split == "test"
    return {
        year: tuple(
            noun
            for noun in WAR_NOUNS
            if (Draws(0, "mini_greater_than", "pair", noun, year).below(_HELD_OUT_SHARE) == 0)
            is wanted
        )
        for year in centuries_of(YEARS)
    }


def _row(index: int, *, seed: int, split: str) -> Row:
    nouns = combinations(split)
    years = sorted(year for year, left in nouns.items() if left)
    block, place = divmod(index, len(years))
    name = ("mini_greater_than", split)
    year = Draws(seed, *name, "block", str(block)).shuffled(years)[place]
    draws = Draws(seed, *name, "row", str(index))
    noun, century = draws.choice(nouns[year]), draws.choice(centuries_of(YEARS)[year])
    return {**make_row(draws, noun, century, year, YEARS), "split": split}


GENERATOR = Generator(
    name="mini_greater_than",
    summary="an end year after the start year, divided as the training of `reuse-mini` was",
    doc="""The task `greater_than` with 24 nouns, all in the vocabulary of the bundled model
`reuse-mini`, and a parameter that says what its training saw:

- `split: "test"` (the default): the noun and YY never stand in one sentence in training;
- `split: "train"`: they do.

Columns, positions and the metric `prob(later) - prob(not_later)` are those of `greater_than`. In
training every later year was as likely as any other.""",
    row=_row,
    parameters=(
        TAKE,
        SEED,
        Parameter(
            name="split",
            kind="str",
            default="test",
            choices=("test", "train"),
            doc="pairs of a noun and YY held out of training, or seen in it",
        ),
    ),
    prompt_columns=WHOLE.prompt_columns,
    token_columns=WHOLE.token_columns,
    labels=(*WHOLE.labels, Column(name="split", doc="the split that was asked for")),
    positions=WHOLE.positions,
    examples=({"split": "train"},),
)
