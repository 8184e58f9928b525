"""Repeated random words: what comes next is what came next the first time.

The test of induction and duplicate token heads of Elhage et al. 2021 and Olsson et al. 2022
(arXiv:2209.11895), by which Wang et al. 2022 (arXiv:2211.00593), appendix H, name the heads of
their circuit. Words instead of arbitrary tokens, so that it can be asked of models with any
vocabulary."""

from __future__ import annotations

from pathdsl.draws import Order
from pathdsl.tasks.base import (
    SEED,
    TAKE,
    Column,
    Generator,
    Lists,
    Parameter,
    Row,
    Words,
    picked,
    ways,
)

__all__ = ["GENERATOR", "VOCABULARY"]

VOCABULARY: tuple[str, ...] = tuple(
    """about above across after again air all almost along also always animal another answer any
    around ask away back become before began begin being below between big book both box boy bring
    build but call came can car carry change children city close color come could country cut day
    did different do does dog door down draw each early earth eat end enough even ever every example
    eye face family far farm fast father feel feet few find fire first fish five follow food form
    found four free from full game gave get girl give go gold good got great green ground group grow
    had half hand happen hard has head hear heat help here high hold home horse hot hour house
    however hundred idea inch island just keep kind king knew know land language large last late
    laugh lay learn leave left less let letter life light line list little live long look low
    machine made main make man many map mark may mean men might mile minute miss money moon more
    morning most mother mountain move much music must name near need never new next night north
    notice now number ocean off often old once one only open order other our out over own page paper
    part pass pattern people perhaps person picture piece place plan plane plant play point power
    press problem product pull put question quick rain ran reach read ready real red rest right
    river road rock room round rule run said same saw say school science sea second see seem self
    sentence serve set several shape ship short should show side simple sing six size sleep slow
    small snow some song soon sound south special spell stand star start state stay step still stop
    story street strong study such sun sure table take talk teach tell ten test than that their them
    then there these they thing think this those thought thousand three through time together told
    too took top toward town travel tree true try turn two under unit until upon use usual verb very
    voice vowel wait walk want war warm watch water wave way week weight well went were west what
    wheel where which while white who whole why will wind wish with wonder wood word work world
    would write year young""".split()
)
WORDS = (Words(name="words", words=VOCABULARY, least=20),)


def _distinct(*, seed: int, length: int, words: Lists) -> int:
    return ways((words["words"], 2 * length))


def _row(index: int, *, seed: int, length: int, words: Lists) -> Row:
    most = _distinct(seed=seed, length=length, words=words)
    # The words asked about are the first half of the number's digits: they repeat last.
    number = Order(most, seed, "repeated_tokens", str(length))[index]
    ((*drawn,),) = picked(number, (words["words"], 2 * length))
    half, other = drawn[:length], drawn[length:]

    def text(first: list[str], second: list[str]) -> str:
        return "".join(f" {word}" for word in [*first, *second[:-1]])

    starts = [0]
    for word in [*half, *half[:-1]]:
        starts.append(starts[-1] + 1 + len(word))

    def span(place: int) -> list[int]:
        return [starts[place] + 1, starts[place + 1]]

    return {
        "prompt": text(half, half),
        "prompt_other": text(other, other),
        "prompt_unrepeated": text(other, half),
        "answer": f" {half[-1]}",
        "wrong": f" {other[-1]}",
        "spans": {"FIRST": span(length - 2), "AFTER": span(length - 1), "AGAIN": span(length)},
    }


GENERATOR = Generator(
    name="repeated_tokens",
    summary="random words twice over, for induction and duplicate token heads",
    doc="""Some different words in random order, then the same again but for the last, which is the
answer, read at END. Nothing but the repetition says what follows. A head of induction looks from
END at AFTER, one of duplicate tokens at FIRST, one of previous tokens from AFTER at FIRST:
`attention(a5.h5, END -> AFTER)`.

Treated values: `prompt_other`, other words repeated in the same way; `prompt_unrepeated`, where
other words stand in the first half, so that nothing repeats.

Metric: `logit(answer) - logit(wrong)`, where `wrong` is the answer of `prompt_other`; or
`logprob(next)` at any place of the second half. Sources: arXiv:2209.11895; arXiv:2211.00593.""",
    row=_row,
    parameters=(
        TAKE,
        SEED,
        Parameter(
            name="length", kind="int", default=20, least=2, most=150, doc="words that are repeated"
        ),
    ),
    prompt_columns=(
        Column(name="prompt", doc="the words, and again all but the last"),
        Column(name="prompt_other", doc="the same with other words"),
        Column(name="prompt_unrepeated", doc="other words in the first half alone"),
    ),
    token_columns=(
        Column(name="answer", doc="the last word of the first half"),
        Column(name="wrong", doc="the answer of `prompt_other`; it is not in `prompt`"),
    ),
    positions=(
        Column(name="FIRST", doc="the first place of the word that stands at END"),
        Column(name="AFTER", doc="the place behind it, where the answer stands"),
        Column(name="AGAIN", doc="where the words begin again"),
    ),
    words=WORDS,
    distinct=_distinct,
    examples=({"length": 2}, {"length": 50}),
)
