"""Greater-than: "The war lasted from the year 1743 to the year 17", and the years after 43.

Source of the task: Hanna et al. 2023 (arXiv:2305.00586). Form, metric and the corruption to 01
follow the paper; nouns are this project's own. Differences, on purpose: every final pair of digits
is drawn equally often, no prompt stands twice, and a row has another year of the same century too.
"""

from __future__ import annotations

from functools import lru_cache

from pathdsl.draws import Draws, Order
from pathdsl.tasks.base import SEED, TAKE, Column, Generator, Lists, Row, Words, find_spans

__all__ = ["GENERATOR", "NOUNS", "YEARS", "centuries_of", "make_row"]

TEMPLATE = "The {NOUN} lasted from the year {XX}{YY} to the year {END}"

NOUNS: tuple[str, ...] = tuple(
    """war battle siege drought famine strike truce treaty expedition voyage journey festival fair
    exhibition trial investigation construction project campaign reign regime dynasty empire
    alliance marriage engagement feud dispute conflict rebellion revolt uprising revolution
    occupation blockade embargo boycott protest march crusade pilgrimage plague epidemic outbreak
    quarantine recession depression crisis boom expansion renovation restoration excavation survey
    study experiment program course partnership contract lease agreement exile imprisonment
    sentence captivity mission tour tournament championship season career friendship debate
    negotiation conference convention retreat migration settlement conquest invasion raid search
    hunt chase collaboration fellowship ban prohibition curfew peace ceasefire presidency
    administration government parliament council monarchy republic federation rule tenure flood
    storm fire eruption custom tradition fashion trend movement era operation""".split()
)


def _years() -> tuple[str, ...]:
    """1101 to 1799 without those that GPT-2 does not split into two tokens of two digits."""
    others = {
        "11": "02 03 04 05 06 07 08 09 11 13 14 15 16 17 18 20 21 22 23 24 25 26 27 28 29 51 52 53 "
        "54 55 56 57 58 59 90 91 92 93 94 95 96 97 98 99",
        "12": "80",
        "13": "02 03 04 05 06 07 08 09",
        "14": "40",
        "15": "02 03 04 05 06 07 08 09",
        "16": "",
        "17": "",
    }
    return tuple(
        f"{century}{year:02d}"
        for century, left_out in others.items()
        for year in range(1, 100)
        if f"{year:02d}" not in left_out.split()
    )


YEARS = _years()
_FIRST, _LAST = 2, 98  # a year on either side, beside 01


def _in_two(year: str) -> tuple[str, ...]:
    return (f" {year[:2]}", year[2:])


WORDS = (
    Words(name="nouns", words=NOUNS, least=10),
    Words(name="years", words=YEARS, least=100, pieces=_in_two),
)


@lru_cache(maxsize=8)
def centuries_of(years: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The centuries of every pair of digits, where a year ends in it and one in 01."""
    used = [year[:2] for year in years if year[2:] == "01"]
    known, found = set(years), {}
    for number in range(_FIRST, _LAST + 1):
        digits = f"{number:02d}"
        if centuries := tuple(one for one in used if one + digits in known):
            found[digits] = centuries
    return found


def _distinct(*, seed: int, words: Lists) -> int:
    centuries = centuries_of(words["years"])
    fewest = min(map(len, centuries.values()), default=0)
    return len(centuries) * fewest * len(words["nouns"])


def _row(index: int, *, seed: int, words: Lists) -> Row:
    nouns, centuries = words["nouns"], centuries_of(words["years"])
    block, place = divmod(index, len(centuries))
    year = Draws(seed, "greater_than", "block", str(block)).shuffled(sorted(centuries))[place]
    order = Order(len(centuries[year]) * len(nouns), seed, "greater_than", year)
    which, noun = divmod(order[block], len(nouns))
    century = centuries[year][which]
    draws = Draws(seed, "greater_than", "row", str(index))
    return make_row(draws, nouns[noun], century, year, words["years"])


def make_row(draws: Draws, noun: str, century: str, year: str, years: tuple[str, ...]) -> Row:
    """One row, without its id; the other year is drawn from the stream given."""
    known = centuries_of(years)
    of_century = [one for one, found in known.items() if century in found]
    other = draws.choice([one for one in of_century if one != year])

    def text(digits: str) -> tuple[str, dict[str, list[int]]]:
        named = {"NOUN": noun, "XX": century, "YY": digits, "END": century}
        return find_spans(TEMPLATE, named)

    prompt, spans = text(year)
    return {
        "prompt": prompt,
        "prompt_01": text("01")[0],
        "prompt_other_year": text(other)[0],
        "later": [f"{one:02d}" for one in range(int(year) + 1, 100)],
        "not_later": [f"{one:02d}" for one in range(int(year) + 1)],
        "noun": noun,
        "century": century,
        "year": int(year),
        "other_year": int(other),
        "spans": {name: spans[name] for name in ("NOUN", "XX", "YY")},
    }


GENERATOR = Generator(
    name="greater_than",
    summary="an end year after the start year: `from the year 1743 to the year 17`",
    doc="""The model is to continue with two digits that make a later year than the one it read. All
years are XXYY with XX from 11 to 17 and YY from 02 to 98, and two tokens, XX and YY. Pairs YY come
in shuffled blocks, so that each is drawn equally often; noun and century are drawn without
repeating a prompt.

The metric of the paper is the probability of all later years less that of all others:
`prob(later) - prob(not_later)`; `not_later` holds YY itself. Usual treated value: `prompt_01`, the
same sentence with YY = 01, after which every end is later. `prompt_other_year` has another YY.

Years are asked for as pairs of digits: tokenizers that split numbers otherwise, into single digits,
cannot have this task. Source: arXiv:2305.00586.""",
    row=_row,
    parameters=(TAKE, SEED),
    prompt_columns=(
        Column(name="prompt", doc="the sentence up to the century of the end year"),
        Column(name="prompt_01", doc="the same with YY = 01"),
        Column(name="prompt_other_year", doc="the same with another YY of that century"),
    ),
    token_columns=(
        Column(name="later", doc="the pairs of digits above YY, up to 99: a list"),
        Column(name="not_later", doc="the pairs of digits from 00 to YY: a list"),
    ),
    labels=(
        Column(name="noun", doc="the noun"),
        Column(name="century", doc='XX as a text, `"17"`'),
        Column(name="year", doc="YY as a number"),
        Column(name="other_year", doc="YY of `prompt_other_year` as a number"),
    ),
    positions=(
        Column(name="NOUN", doc="the noun"),
        Column(name="XX", doc="the century of the start year; that of the end year is END"),
        Column(name="YY", doc="the two digits behind it"),
    ),
    words=WORDS,
    distinct=_distinct,
    examples=({"seed": 5},),
)
