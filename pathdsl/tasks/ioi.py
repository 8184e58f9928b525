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
from pathdsl.tasks.base import (
    SEED,
    TAKE,
    Column,
    Generator,
    Lists,
    Parameter,
    Row,
    Words,
    find_spans,
)

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
# What stands before each template in long prompts, so that prompts of one template still align.
OPENINGS: tuple[str, ...] = (
    "It was the last day of a very long week, and nobody had to work. ",
    "The rain had stopped early in the morning, and the air was warm. ",
    "This is a story about a small town by the sea and some people in it. ",
)
WORDS: tuple[Words, ...] = (
    Words(name="names", words=NAMES, least=10),
    Words(name="places", words=PLACES, least=2),
    Words(name="objects", words=OBJECTS, least=2),
)
_LISTS: Lists = {one.name: one.words for one in WORDS}


def combinations(order: str) -> list[tuple[int, str]]:
    """The (template, order) pairs in use: thirty, or fifteen where one order is asked for."""
    orders = ORDERS if order == "both" else (order,)
    return [(number, kind) for number in range(len(TEMPLATES)) for kind in orders]


def make_row(
    draws: Draws,
    names: Sequence[str],
    template: int,
    order: str,
    *,
    words: Lists = _LISTS,
    sentences: Sequence[str] = TEMPLATES,
    more: Sequence[tuple[str, str]] = (),
) -> Row:
    """One row, without its id: the names, place and object are drawn from the stream given.

    `names` are the reference's IO and S followed by three others, all different. `sentences` are
    in the place of the fifteen templates. `more`: further words of a sentence, `io` or `s` for the
    name that stands there, whose spans the row has too.
    """
    io, s, *others = names
    drawn = {"place": draws.choice(words["places"]), "object": draws.choice(words["objects"])}

    def written(of_io: str, of_s1: str, of_s2: str, of_s: str) -> tuple[str, dict[str, list[int]]]:
        first, second = (of_io, of_s1) if order == "abba" else (of_s1, of_io)
        further = {name: of_io if which == "io" else of_s for name, which in more}
        named = {"1": first, "2": second, "3": of_s2, **further}
        return find_spans(sentences[template], {**drawn, **named})

    def text(of_io: str, of_s1: str, of_s2: str, of_s: str = "") -> str:
        return written(of_io, of_s1, of_s2, of_s or of_s1)[0]

    prompt, spans = written(io, s, s, s)
    place_of_io, place_of_s1 = ("1", "2") if order == "abba" else ("2", "1")
    return {
        "prompt": prompt,
        "prompt_abc": text(*others),
        "prompt_swap": text(io, s, io),
        "prompt_s2_other": text(io, s, others[2]),
        "prompt_names_exchanged": text(s, io, s),
        "prompt_roles_exchanged": text(s, io, io),
        "prompt_other_names": text(others[0], others[1], others[1]),
        "prompt_other_names_swap": text(others[0], others[1], others[0]),
        "prompt_io_other": text(others[0], s, s),
        "prompt_s_other": text(io, others[1], others[1]),
        "prompt_s1_other": text(io, others[1], s, s),
        "io": f" {io}",
        "s": f" {s}",
        "template": f"{order}_{template + 1:02d}",
        "order": order,
        "spans": {
            "IO": spans[place_of_io],
            "S1": spans[place_of_s1],
            "S2": spans["3"],
            **{name: spans[name] for name, _ in more},
        },
    }


def of_index(
    index: int,
    *,
    seed: int,
    order: str,
    words: Lists,
    sentences: Sequence[str] = TEMPLATES,
    more: Sequence[tuple[str, str]] = (),
    stream: str = "ioi",
) -> Row:
    """Row `index`: the same names, template, place and object whatever the sentences are.

    `stream`: another one draws other names.
    """
    pairs = [pair for pair in combinations(order) if pair[0] < len(sentences)]
    block, place = divmod(index, len(pairs))
    template, kind = Draws(seed, stream, order, "block", str(block)).shuffled(pairs)[place]
    draws = Draws(seed, stream, order, "row", str(index))
    names = draws.sample(words["names"], 5)
    return make_row(draws, names, template, kind, words=words, sentences=sentences, more=more)


LONG = tuple(OPENINGS[i % len(OPENINGS)] + text for i, text in enumerate(TEMPLATES))


def _row(index: int, *, seed: int, order: str, form: str, words: Lists) -> Row:
    sentences = LONG if form == "long" else TEMPLATES
    return of_index(index, seed=seed, order=order, words=words, sentences=sentences)


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
    Column(
        name="prompt_roles_exchanged",
        doc="IO and S change names everywhere: the answer is S, the positions are the prompt's",
        added=True,
    ),
    Column(
        name="prompt_other_names",
        doc="two random names for IO and S in the same pattern: the answer is neither",
        added=True,
    ),
    Column(
        name="prompt_other_names_swap",
        doc="the same two random names, and S2 is the name in IO's place",
        added=True,
    ),
    Column(name="prompt_io_other", doc="a random name for IO, S stays", added=True),
    Column(name="prompt_s_other", doc="one random name for S1 and S2, IO stays", added=True),
    Column(name="prompt_s1_other", doc="a random name for S1, S2 stays: no name twice", added=True),
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
`prompt_swap` to find what carries the identity of the subject. What tells S from IO are names and
places: `prompt_roles_exchanged` inverts the names and keeps the places, `prompt_names_exchanged`
inverts the places and keeps the names, `prompt_swap` inverts both, and `prompt_other_names` and
`prompt_other_names_swap` do so with names that say nothing.

`form: "long"` puts a sentence of some fifteen words first; row by row, names and words are those
of `form: "plain"`. `ioi_shifted` and `ioi_extra` are further variants.

Metric: `logit(io) - logit(s)`. Source: arXiv:2211.00593.""",
    row=_row,
    parameters=(
        TAKE,
        SEED,
        ORDER,
        Parameter(
            name="form",
            kind="str",
            default="plain",
            choices=("plain", "long"),
            doc="the templates alone, or behind an opening sentence",
            added=True,
        ),
    ),
    prompt_columns=PROMPT_COLUMNS,
    token_columns=TOKEN_COLUMNS,
    labels=LABELS,
    positions=POSITIONS,
    words=WORDS,
    examples=({"order": "abba"}, {"order": "baba"}, {"form": "long"}),
)
