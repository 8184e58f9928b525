"""Docstrings: the next argument that a Python docstring describes is the next one of the function.

Source of the task: Heimersheim and Janiak 2023, "A circuit for Python docstrings in a 4-layer
attention-only transformer"; also a task of Conmy et al. 2023 (arXiv:2304.14997). Form and kinds of
corruption follow them; words are this project's own.
"""

from __future__ import annotations

from pathdsl.draws import Draws, Order
from pathdsl.tasks.base import (
    SEED,
    TAKE,
    Column,
    Generator,
    Lists,
    Row,
    Words,
    find_spans,
    picked,
    ways,
)

__all__ = ["GENERATOR", "NOUNS", "TEMPLATE"]

TEMPLATE = '''def {method}(self, {P1}, {P2}, {A_DEF}, {B_DEF}{COMMA} {C_DEF}, {S}):
    """{first} {w1} {w2}

    :param {A_DOC}: {w3} {w4}
    :param {B_DOC}: {w5} {w6}
    :param'''

METHODS: tuple[str, ...] = tuple(
    """load port save open close send read write build make move copy merge split find match check
    test update remove replace render draw print parse scan fetch push pull start stop run call set
    get add""".split()
)
ARGUMENTS: tuple[str, ...] = tuple(
    """size name file path data value index count width height color depth mode format title label
    owner token price score weight speed angle level limit offset length rate scale shape style
    theme state source target server client user group role status time date year month day hour
    address city country region code key type model version number result error message text line
    word letter page book image video audio sound signal frame pixel point vector matrix node edge
    tree root leaf branch parent child table row column cell field record query filter order sort
    range end step total amount balance account bank card product item stock store brand""".split()
)
FIRST_NOUNS: tuple[str, ...] = tuple(
    """oil water wood stone paper glass river lake forest horse bird fish winter night music song
    movie story heart brain engine fire ice rain wind cloud storm dust sand king battle peace bread
    apple orange drug pain blood bone skin train plane ship boat""".split()
)
NOUNS: tuple[str, ...] = tuple(
    """oil water wood stone glass metal cotton silk wool bread milk butter cheese sugar salt pepper
    rice corn apple orange banana river lake ocean island valley forest desert beach hill cave cliff
    road bridge tunnel tower castle church temple garden farm barn horse cow sheep goat pig dog cat
    bird fish snake frog lion tiger bear wolf fox deer rabbit mouse summer winter spring autumn
    morning evening night thunder rain snow wind cloud storm fog ice fire smoke dust sand mud crime
    law court judge police army navy soldier general king queen prince knight battle peace music
    song dance theater movie poem novel story drama comedy doctor nurse hospital medicine pain fever
    heart lung brain blood bone skin muscle engine wheel motor truck train plane ship boat rocket
    teacher student school lesson exam pencil""".split()
)


def _alone(word: str) -> tuple[str, ...]:
    return (word,)


WORDS = (
    Words(name="methods", words=METHODS, least=4),
    Words(name="arguments", words=ARGUMENTS, least=30),
    Words(name="first nouns", words=FIRST_NOUNS, least=4, pieces=_alone),
    Words(name="nouns", words=NOUNS, least=20),
)
# The orders of A, B and C in which C does not stand behind B.
_SHUFFLES = ("ACB", "BAC", "CAB", "CBA")
_NAMES = ("P1", "P2", "A", "B", "C", "S")


def _choices(words: Lists) -> tuple[tuple[tuple[str, ...], int], ...]:
    return (
        (words["arguments"], len(_NAMES)),
        (words["nouns"], 6),
        (words["first nouns"], 1),
        (words["methods"], 1),
    )


def _distinct(*, seed: int, words: Lists) -> int:
    return ways(*_choices(words))


def _row(index: int, *, seed: int, words: Lists) -> Row:
    choices = _choices(words)
    number = Order(ways(*choices), seed, "docstring")[index]
    arguments, nouns, (first,), (method,) = picked(number, *choices)
    own = dict(zip(_NAMES, arguments, strict=True))
    draws = Draws(seed, "docstring", "row", str(index))
    rest = [one for one in words["arguments"] if one not in arguments]
    other = dict(zip(_NAMES, draws.sample(rest, len(_NAMES)), strict=True))
    shuffled = draws.choice(_SHUFFLES)
    described = {f"w{i}": noun for i, noun in enumerate(nouns, start=1)}

    def text(
        defined: dict[str, str], documented: dict[str, str]
    ) -> tuple[str, dict[str, list[int]]]:
        named = {
            **{name: defined[name] for name in ("P1", "P2", "S")},
            **{f"{name}_DEF": defined[name] for name in "ABC"},
            **{f"{name}_DOC": documented[name] for name in "AB"},
        }
        return find_spans(
            TEMPLATE, {**named, **described, "first": first, "method": method, "COMMA": ","}
        )

    prompt, spans = text(own, own)
    in_other_order = {**own, **{at: own[one] for at, one in zip("ABC", shuffled, strict=True)}}
    marked = ("A_DEF", "B_DEF", "C_DEF", "A_DOC", "B_DOC", "COMMA")
    return {
        "prompt": prompt,
        "prompt_random": text(other, other)[0],
        "prompt_random_def": text(other, own)[0],
        "prompt_random_doc": text(own, other)[0],
        "prompt_shuffled": text(in_other_order, own)[0],
        "answer": f" {own['C']}",
        "a": f" {own['A']}",
        "b": f" {own['B']}",
        "before_1": f" {own['P1']}",
        "before_2": f" {own['P2']}",
        "after": f" {own['S']}",
        "random": f" {other['C']}",
        "shuffled": shuffled,
        "spans": {name: spans[name] for name in marked},
    }


GENERATOR = Generator(
    name="docstring",
    summary="the next argument that a Python docstring describes",
    doc="""A Python function of six arguments, P1, P2, A, B, C and S, and the beginning of its
docstring, which describes A and B; the answer is C, read at END, the token `param`. P1, P2 and S
stand around what is described and make the task one of order. Arguments (109), nouns and the name
of the function are drawn without repeating a prompt.

Treated values: `prompt_random` has other arguments everywhere; `prompt_random_def` only in the
definition and `prompt_random_doc` only in the docstring, so that the two no longer match;
`prompt_shuffled` has A, B and C in another order in the definition, in which C does not follow B.

The metric of the paper is the logit of C less the largest of the other arguments':
`logit(answer) - max(logit(a), logit(b), logit(before_1), logit(before_2), logit(after))`.
Sources: Heimersheim and Janiak 2023; arXiv:2304.14997, appendix F.""",
    row=_row,
    parameters=(TAKE, SEED),
    prompt_columns=(
        Column(name="prompt", doc="definition and docstring up to the third `:param`"),
        Column(name="prompt_random", doc="the same with six other arguments"),
        Column(name="prompt_random_def", doc="other arguments in the definition alone"),
        Column(name="prompt_random_doc", doc="other arguments in the docstring alone"),
        Column(name="prompt_shuffled", doc="A, B, C in another order in the definition"),
    ),
    token_columns=(
        Column(name="answer", doc="C, the argument behind B in the definition"),
        Column(name="a", doc="A, described first"),
        Column(name="b", doc="B, described second"),
        Column(name="before_1", doc="P1, the first argument of the definition"),
        Column(name="before_2", doc="P2, the second"),
        Column(name="after", doc="S, the last"),
        Column(name="random", doc="C of `prompt_random`"),
    ),
    labels=(Column(name="shuffled", doc="the order of `prompt_shuffled`, as in `CAB`"),),
    positions=(
        *(Column(name=f"{x}_DEF", doc=f"{x} in the definition") for x in "ABC"),
        *(Column(name=f"{x}_DOC", doc=f"{x} in the docstring") for x in "AB"),
        Column(name="COMMA", doc="the comma behind B in the definition"),
    ),
    words=WORDS,
    distinct=_distinct,
    examples=({"seed": 1},),
)
