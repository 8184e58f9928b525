"""Gendered pronouns: "So Evan is such a good cook, isn't", and the answer is " he".

Source of the task: Mathwin et al. 2023, "Identifying a preliminary circuit for predicting gendered
pronouns in GPT-2 small"; also a task of Conmy et al. 2023 (arXiv:2304.14997). Names, sentences and
nouns are this project's own. The names are those that one gender bears in most uses.
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

__all__ = ["GENERATOR", "NOUNS", "TEMPLATES"]

TEMPLATES: tuple[str, ...] = (
    "So {NAME} {IS} such a good {noun}, isn't",
    "So {NAME} {IS} really a great {noun}, isn't",
    "Well, {NAME} {IS} a very good {noun}, isn't",
    "I think {NAME} {IS} an excellent {noun}, isn't",
    "You know, {NAME} {IS} my favorite {noun}, isn't",
)
HE: tuple[str, ...] = tuple(
    """Aaron Adam Alan Albert Andrew Anthony Arthur Benjamin Bob Brandon Brian Bruce Carl Charles
    Craig Daniel David Dennis Donald Edward Eric Ethan Frank Fred Gary George Greg Harold Harry
    Henry Howard Jack Jacob James Jason John Joseph Keith Kevin Luke Martin Michael Nathan Oliver
    Patrick Paul Peter Robert Simon Thomas Walter""".split()
)
SHE: tuple[str, ...] = tuple(
    """Alice Amanda Amy Andrea Angela Anna Barbara Beth Carol Caroline Charlotte Christina Claire
    Clara Diana Elizabeth Emily Emma Eva Hannah Helen Jane Jennifer Jessica Joan Julia Karen Kate
    Laura Linda Lisa Lucy Margaret Maria Mary Megan Nancy Nicole Rachel Rebecca Ruth Sarah Sophie
    Stephanie Susan Julie Katherine Michelle Heather Melissa Victoria""".split()
)
NOUNS: tuple[str, ...] = tuple(
    """friend cook singer dancer teacher doctor lawyer writer reader driver neighbor colleague
    student player runner painter musician speaker listener guest host baker farmer
    scientist nurse coach captain pilot judge""".split()
)
GENDERS = ("he", "she")
WORDS = (
    Words(name="names of men", words=HE, least=4),
    Words(name="names of women", words=SHE, least=4),
    Words(name="nouns", words=NOUNS, least=2),
)
_NAMES = {"he": "names of men", "she": "names of women"}
_KINDS = [(number, gender) for number in range(len(TEMPLATES)) for gender in GENDERS]


def _distinct(*, seed: int, words: Lists) -> int:
    fewest = min(len(words[_NAMES[gender]]) for gender in GENDERS)
    return len(_KINDS) * fewest * len(words["nouns"])


def _row(index: int, *, seed: int, words: Lists) -> Row:
    block, place = divmod(index, len(_KINDS))
    shuffled = Draws(seed, "gendered_pronoun", "block", str(block)).shuffled(_KINDS)
    number, gender = shuffled[place]
    other = GENDERS[1 - GENDERS.index(gender)]
    names, nouns = words[_NAMES[gender]], words["nouns"]
    choices = ((names, 1), (nouns, 1))
    order = Order(ways(*choices), seed, "gendered_pronoun", str(number), gender)
    (name,), (noun,) = picked(order[block], *choices)
    draws = Draws(seed, "gendered_pronoun", "row", str(index))
    others = draws.choice(words[_NAMES[other]])
    same = draws.choice([one for one in names if one != name])

    def text(of: str) -> tuple[str, dict[str, list[int]]]:
        return find_spans(TEMPLATES[number], {"NAME": of, "IS": "is", "noun": noun})

    prompt, spans = text(name)
    return {
        "prompt": prompt,
        "prompt_other_gender": text(others)[0],
        "prompt_same_gender": text(same)[0],
        "answer": f" {gender}",
        "wrong": f" {other}",
        "gender": gender,
        "template": f"{number + 1:02d}",
        "name": name,
        "noun": noun,
        "spans": {"NAME": spans["NAME"], "IS": spans["IS"]},
    }


GENERATOR = Generator(
    name="gendered_pronoun",
    summary="the pronoun of a name: `So Emma is such a good cook, isn't`",
    doc="""A name with which most readers expect ` he` or ` she`, read at END, the token behind
which the pronoun stands. Five sentences, each with both kinds of names, come in shuffled blocks of
ten, so that all are drawn equally often; names (51 and 51) and nouns (29) are drawn without
repeating a prompt.

Usual treated value: `prompt_other_gender`, another name that turns the answer round. With
`prompt_same_gender`, another name that keeps it, nothing of the difference should change.

Metric: `logit(answer) - logit(wrong)`. Source: Mathwin et al. 2023; arXiv:2304.14997, appendix
K.""",
    row=_row,
    parameters=(TAKE, SEED),
    prompt_columns=(
        Column(name="prompt", doc="the sentence up to ` isn't`"),
        Column(name="prompt_other_gender", doc="the same with a name of the other pronoun"),
        Column(name="prompt_same_gender", doc="the same with another name of the same pronoun"),
    ),
    token_columns=(
        Column(name="answer", doc="` he` or ` she`"),
        Column(name="wrong", doc="the other one, the answer of `prompt_other_gender`"),
    ),
    labels=(
        Column(name="gender", doc="`he` or `she`"),
        Column(name="template", doc="`01` to `05`; prompts of one sentence align word by word"),
        Column(name="name", doc="the name"),
        Column(name="noun", doc="the noun"),
    ),
    positions=(
        Column(name="NAME", doc="the name"),
        Column(name="IS", doc="the word `is` behind it"),
    ),
    words=WORDS,
    distinct=_distinct,
    examples=({"seed": 2},),
)
