"""Indirect object identification: "Then, Mary and John went to the park. John gave a book to".

Source of the task: Wang et al. 2022 (arXiv:2211.00593): fifteen templates, each with the first two
names in either order, and for every prompt a partner `p_ABC` of the same template whose three
names are unrelated. Structure and positions follow the paper;
word lists and part of the wording are this project's own. Every word that varies is one GPT-2
token with its leading space. Differences from the published code, on purpose: draws are seeded,
the three names of an ABC prompt always differ from each other and from the reference's names, all
fifteen templates are used in both orders, and templates come in shuffled blocks, so that every
template is drawn equally often.
"""

from __future__ import annotations

from collections.abc import Sequence

from pathdsl.draws import Draws
from pathdsl.tasks.base import SEED, TAKE, Column, Generator, Parameter, Row, find_spans

__all__ = ["GENERATOR", "NAMES", "OBJECTS", "PLACES", "TEMPLATES", "make_row"]

# {1} and {2}: the first two names in their order; {3}: the name that stands again.
TEMPLATES: tuple[str, ...] = (
    "Then, {1} and {2} went to the {place}. {3} gave a {object} to",
    "Then, {1} and {2} had a lovely day at the {place}. {3} gave a {object} to",
    "Then, {1} and {2} were working at the {place}. {3} decided to give a {object} to",
    "Then, {1} and {2} were thinking of going to the {place}. {3} wanted to give a {object} to",
    "Then, {1} and {2} had a long argument, and afterwards {3} said to",
    "After {1} and {2} went to the {place}, {3} gave a {object} to",
    "When {1} and {2} found a {object} at the {place}, {3} decided to give it to",
    "When {1} and {2} found a {object} at the {place}, {3} decided to give the {object} to",
    "While {1} and {2} were working at the {place}, {3} gave a {object} to",
    "While {1} and {2} were walking to the {place}, {3} gave a {object} to",
    "After the lunch, {1} and {2} went to the {place}. {3} gave a {object} to",
    "Afterwards, {1} and {2} went to the {place}. {3} gave a {object} to",
    "Then, {1} and {2} had a long argument. Afterwards {3} said to",
    "The {place} {1} and {2} went to had a {object}. {3} gave it to",
    "Friends {1} and {2} found a {object} at the {place}. {3} gave it to",
)

NAMES: tuple[str, ...] = tuple(
    """Aaron Adam Alan Albert Alice Amanda Amy Andrea Andrew Angela Anna Anthony Arthur Barbara
    Benjamin Beth Bob Brandon Brian Bruce Carl Carol Caroline Charles Charlotte Christina Claire
    Clara Craig Daniel David Dean Dennis Diana Donald Edward Elizabeth Emily Emma Eric Ethan Eva
    Felix Fred Gary George Gordon Greg Hannah Harold Harry Helen Henry Howard Isaac Jack Jacob
    James Jane Jason Jennifer Jessica Joan John Joseph Julia Karen Kate Keith Kevin Laura Leo
    Linda Lisa Louis Lucy Luke Margaret Maria Martin Mary Megan Michael Nancy Nathan Nicole Oliver
    Oscar Patrick Paul Peter Rachel Robert Ruth Sarah Simon Sophie Susan Thomas Walter""".split()
)
PLACES: tuple[str, ...] = tuple(
    "library museum market bakery farm castle beach park zoo theater church village".split()
)
OBJECTS: tuple[str, ...] = tuple(
    "book letter hat lamp ball camera bottle coat cake key guitar ticket".split()
)
ORDERS = ("abba", "baba")


def combinations(order: str) -> list[tuple[int, str]]:
    """The (template, order) pairs in use: thirty, or fifteen where one order is asked for."""
    orders = ORDERS if order == "both" else (order,)
    return [(number, kind) for number in range(len(TEMPLATES)) for kind in orders]


def make_row(draws: Draws, names: Sequence[str], template: int, order: str) -> Row:
    """One row, without its id: the names, place and object are drawn from the stream given.

    `names` are the reference's IO and S followed by three others, all different.
    """
    io, s, *others = names
    words = {"place": draws.choice(PLACES), "object": draws.choice(OBJECTS)}

    def text(first: str, second: str, third: str) -> tuple[str, dict[str, list[int]]]:
        return find_spans(TEMPLATES[template], {**words, "1": first, "2": second, "3": third})

    def written(of_io: str, of_s1: str, of_s2: str) -> str:
        pair = (of_io, of_s1) if order == "abba" else (of_s1, of_io)
        return text(*pair, of_s2)[0]

    prompt, spans = text(*((io, s) if order == "abba" else (s, io)), s)
    place_of_io, place_of_s1 = ("1", "2") if order == "abba" else ("2", "1")
    return {
        "prompt": prompt,
        "prompt_abc": written(*others),
        "prompt_swap": written(io, s, io),
        "prompt_s2_other": written(io, s, others[2]),
        "prompt_names_exchanged": written(s, io, s),
        "io": f" {io}",
        "s": f" {s}",
        "template": f"{order}_{template + 1:02d}",
        "order": order,
        "spans": {"IO": spans[place_of_io], "S1": spans[place_of_s1], "S2": spans["3"]},
    }


def _row(index: int, *, seed: int, order: str) -> Row:
    pairs = combinations(order)
    block, place = divmod(index, len(pairs))
    template, kind = Draws(seed, "ioi", order, "block", str(block)).shuffled(pairs)[place]
    draws = Draws(seed, "ioi", order, "row", str(index))
    return make_row(draws, draws.sample(NAMES, 5), template, kind)


ORDER = Parameter(
    name="order",
    kind="str",
    default="both",
    choices=("both", *ORDERS),
    doc="which name stands first: `abba` = IO first, `baba` = S first, or both kinds of prompt",
)
PROMPT_COLUMNS = (
    Column(name="prompt", doc="the sentence up to ` to`; the name that follows is IO"),
    Column(name="prompt_abc", doc="same words, three unrelated names for IO, S1 and S2"),
    Column(name="prompt_swap", doc="S2 is IO's name: the roles are exchanged, the answer is S"),
    Column(name="prompt_s2_other", doc="S2 is a third name: no name stands twice"),
    Column(
        name="prompt_names_exchanged",
        doc="IO and S1 change places, S2 stays: same answer, other position",
    ),
)
TOKEN_COLUMNS = (
    Column(name="io", doc="the indirect object, the right answer, with its leading space"),
    Column(name="s", doc="the subject, the name that stands twice"),
)
LABELS = (
    Column(
        name="template", doc="`abba_01` to `baba_15`; prompts of one template align word by word"
    ),
    Column(name="order", doc="`abba` (IO first) or `baba` (S first)"),
)
POSITIONS = (
    Column(name="IO", doc="the indirect object's only place"),
    Column(name="S1", doc="the subject's first place; `S1+1` is the word after it"),
    Column(name="S2", doc="the subject's second place"),
)

GENERATOR = Generator(
    name="ioi",
    summary="indirect object identification, fifteen templates in both orders",
    doc="""Each prompt names two people, then one of them again who gives something to ...: the
answer is the other one. IO is the indirect object (the answer), S the subject (named twice).

Fifteen templates in two orders (ABBA: IO stands first; BABA: S stands first) come in shuffled
blocks of thirty, so every template is drawn equally often. Names (100), places (12) and objects
(12) are drawn uniformly, the names of one row all different. The final name is not in the prompt:
read the answer at END, the token ` to`.

Usual treated values: `mean(prompt_abc, by: template)` as in Wang et al. (take at least a few
hundred rows, the mean of a template is over its own rows); the paired column `prompt_abc`;
`prompt_swap` to find what carries the identity of the subject.

Metric: `logit(io) - logit(s)`. Source: arXiv:2211.00593.""",
    row=_row,
    parameters=(TAKE, SEED, ORDER),
    prompt_columns=PROMPT_COLUMNS,
    token_columns=TOKEN_COLUMNS,
    labels=LABELS,
    positions=POSITIONS,
    examples=({"order": "abba"}, {"order": "baba"}),
)
