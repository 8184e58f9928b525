"""Factual recall: "The capital of Italy is", and the answer is " Rome".

The kind of prompt that Meng et al. 2022 (arXiv:2202.05262) and Geva et al. 2023 (arXiv:2304.14767)
study: a subject of one or several tokens, whose attribute is to be said at the end. The facts are a
small list of this project's own: what is widely known, does not change soon, and has one answer of
one token. Kinship with published lists is in the kind of relation, not in entries or wordings.
"""

from __future__ import annotations

from functools import lru_cache

from pathdsl.draws import Draws, Order
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

__all__ = ["FACTS", "GENERATOR", "TEMPLATES"]

TEMPLATES: dict[str, tuple[str, ...]] = {
    "capital": ("The capital of{SUBJECT} is", "The name of the capital of{SUBJECT} is"),
    "language": ("Most of the people in{SUBJECT} speak", "The language spoken in{SUBJECT} is"),
    "continent": (
        "The country of{SUBJECT} is on the continent of",
        "The continent on which one finds{SUBJECT} is",
    ),
    "city": (
        "The landmark{SUBJECT} is in the city of",
        "The landmark known as{SUBJECT} stands in",
    ),
    "sport": (
        "The famous athlete{SUBJECT} played the sport of",
        "The sport that made the athlete{SUBJECT} famous is",
    ),
}
# Answer: subjects. A bar divides the tokens of GPT-2, so that tokens can be counted without it.
_LISTS: dict[str, str] = {
    "capital": """Paris: France. Berlin: Germany. Rome: Italy. Madrid: Spain. Lisbon: Portugal.
        Vienna: Austria. Athens: Greece. Warsaw: Poland. Budapest: Hungary. Stockholm: Sweden.
        Oslo: Norway. Copenhagen: Denmark. Helsinki: Finland. Dublin: Ireland. Moscow: Russia.
        Cairo: Egypt. Baghdad: Iraq. Tehran: Iran. Damascus: Syria. Beirut: Lebanon. Tokyo: Japan.
        Beijing: China. Havana: Cuba. Ottawa: Canada. Bangkok: Thailand. Kabul: Afghanistan.
        Islamabad: Pakistan. Brussels: Belgium. Tripoli: Libya. Santiago: Chile. Lima: Peru.
        Seoul: South| Korea. Riyadh: Saudi| Arabia. Edinburgh: Scotland. Cardiff: Wales.
        London: England.""",
    "language": """French: France. German: Germany, Austria. Italian: Italy. Spanish: Spain, Mexico,
        Argentina, Chile, Colombia, Venezuela, Cuba, Ecuador, Uruguay, Costa| Rica, Honduras,
        El| Salvador. Portuguese: Portugal, Brazil. Greek: Greece. Polish: Poland.
        Hungarian: Hungary. Swedish: Sweden. Norwegian: Norway. Danish: Denmark. Finnish: Finland.
        Russian: Russia. Arabic: Egypt, Syria, Saudi| Arabia, Libya, Jordan, Yemen. Turkish: Turkey.
        Japanese: Japan. Chinese: China. Korean: South| Korea, North| Korea. Thai: Thailand.
        Vietnamese: Vietnam. English: England, Australia. Romanian: Romania.""",
    "continent": """Europe: France, Germany, Italy, Spain, Portugal, Austria, Greece, Poland,
        Hungary, Sweden, Norway, Denmark, Belgium, Switzerland, Romania, Bulgaria, Serbia, Croatia.
        Africa: Kenya, Nigeria, Ghana, Ethiopia, Morocco, Algeria, Tunisia, Uganda, Rwanda, Senegal,
        Sudan, Angola, Zimbabwe, Mali, Niger, Cameroon, Bots|wana, Nam|ibia, Zamb|ia, Libya,
        Somalia, Tanzania. Asia: Japan, China, India, Thailand, Vietnam, Pakistan, Nepal,
        Bangladesh, Mongolia, Cambodia, Laos, Malaysia, Afghanistan, Iraq, Iran, South| Korea,
        North| Korea, Saudi| Arabia, Sri| Lanka.""",
    "city": """Paris: Lou|vre, Mou|lin| Rouge, Sor|bon|ne. London: Big| Ben, Tower| Bridge,
        Buckingham| Palace, British| Museum, Hyde| Park. Rome: Tre|vi| Fountain, S|istine| Chapel.
        Berlin: Brand|enburg| Gate, Reich|st|ag. Athens: Part|hen|on, Ac|ropolis.
        Moscow: Red| Square. Beijing: Forbidden| City, Temple| of| Heaven. Chicago: Willis| Tower,
        Navy| Pier. Boston: Fen|way| Park, Freedom| Trail. Seattle: Space| Need|le,
        Pike| Place| Market. Toronto: CN| Tower. Madrid: Pr|ado| Museum. Barcelona: Camp| Nou.
        Vienna: Hof|burg, Pr|ater. Jerusalem: Western| Wall. Washington: White| House,
        Lincoln| Memorial. Sydney: Bond|i| Beach. Philadelphia: Liberty| Bell, Independence| Hall.
        Amsterdam: Anne| Frank| House. Istanbul: Hag|ia| Sophia, Blue| Mosque.
        Copenhagen: Little| Mermaid. Prague: Charles| Bridge. Budapest: Chain| Bridge.""",
    "sport": """basketball: Michael| Jordan, LeBron| James, Kobe| Bryant, Stephen| Curry, Larry|
        Bird, Tim| Duncan, Kevin| Durant, Magic| Johnson, Charles| Barkley, James| Harden,
        Russell| Westbrook. baseball: Babe| Ruth, Barry| Bonds, Hank| Aaron, Mike| Trout,
        Jackie| Robinson, Ted| Williams, Alex| Rodriguez, David| Ortiz, Derek| J|eter,
        Mickey| M|antle, Roger| Cle|mens, Clayton| Kers|haw, Ken| Griff|ey, Willie| M|ays.
        tennis: Andy| Murray, Venus| Williams, Roger| Fed|erer, Sere|na| Williams, Rafael| Nad|al,
        Andre| Ag|assi, Pete| Samp|ras. football: Tom| Brady, Peyton| Manning, Joe| Montana,
        Jerry| Rice, Aaron| Rodgers, Drew| Brees, Eli| Manning, Ray| Lewis, Dan| Marino,
        Randy| Moss, Brett| Fav|re, John| El|way, Em|mitt| Smith. golf: Tiger| Woods, Gary| Player,
        Arnold| Palmer, Jack| Nick|laus, Jordan| Sp|ieth. hockey: Sidney| Crosby, Patrick| Kane,
        Bobby| Or|r, Gord|ie| Howe, Mark| Mess|ier.""",
}
Fact = tuple[str, str]


def _facts(text: str) -> tuple[Fact, ...]:
    """The (subject, answer) pairs of a list."""
    found = []
    for part in " ".join(text.split()).strip(".").split(". "):
        answer, _, subjects = part.partition(": ")
        found += [(subject, answer) for subject in subjects.split(", ")]
    return tuple(found)


FACTS: dict[str, tuple[Fact, ...]] = {name: _facts(text) for name, text in _LISTS.items()}


def _pieces(subject: str) -> tuple[str, ...]:
    first, *rest = subject.split("|")
    return (f" {first}", *rest)


def _each(which: int) -> tuple[str, ...]:
    """The subjects, or the answers, of all relations, each once."""
    return tuple(dict.fromkeys(fact[which] for facts in FACTS.values() for fact in facts))


WORDS = (
    Words(name="subjects", words=_each(0), least=10, pieces=_pieces),
    Words(name="answers", words=_each(1), least=6),
)


@lru_cache(maxsize=32)
def _usable(
    relation: str, subjects: tuple[str, ...], answers: tuple[str, ...]
) -> tuple[tuple[Fact, tuple[Fact, ...]], ...]:
    """The facts of a relation, each with those of another answer and as many tokens."""
    facts = [f for f in FACTS[relation] if f[0] in subjects and f[1] in answers]
    found = []
    for fact in facts:
        partners = tuple(
            other
            for other in facts
            if other[1] != fact[1] and len(_pieces(other[0])) == len(_pieces(fact[0]))
        )
        if partners:
            found.append((fact, partners))
    return tuple(found)


def _sentences(relation: str) -> list[tuple[str, int]]:
    """The (relation, sentence) pairs in use."""
    names = tuple(TEMPLATES) if relation == "all" else (relation,)
    return [(name, number) for name in names for number in range(len(TEMPLATES[name]))]


def _distinct(*, seed: int, relation: str, words: Lists) -> int:
    kinds = _sentences(relation)
    sizes = [len(_usable(name, words["subjects"], words["answers"])) for name, _ in kinds]
    return len(kinds) * min(sizes)


def _row(index: int, *, seed: int, relation: str, words: Lists) -> Row:
    kinds = _sentences(relation)
    block, place = divmod(index, len(kinds))
    shuffled = Draws(seed, "facts", relation, "block", str(block)).shuffled(kinds)
    name, number = shuffled[place]
    usable = _usable(name, words["subjects"], words["answers"])
    (subject, answer), partners = usable[
        Order(len(usable), seed, "facts", name, str(number))[block]
    ]
    draws = Draws(seed, "facts", relation, "row", str(index))
    other, wrong = draws.choice(partners)

    def text(of: str) -> tuple[str, dict[str, list[int]]]:
        return find_spans(TEMPLATES[name][number], {"SUBJECT": "".join(_pieces(of))})

    prompt, spans = text(subject)
    first, last = spans["SUBJECT"]
    own = _pieces(subject)
    return {
        "prompt": prompt,
        "prompt_other": text(other)[0],
        "answer": f" {answer}",
        "wrong": f" {wrong}",
        "relation": name,
        "template": f"{name}_{number + 1:02d}",
        "subject": prompt[first + 1 : last],
        "other_subject": "".join(_pieces(other))[1:],
        "subject_tokens": len(own),
        "spans": {
            "SUBJECT": [first + 1, last],
            "SUBJECT_LAST": [last - len(own[-1].strip()), last],
        },
    }


GENERATOR = Generator(
    name="facts",
    summary="factual recall: capitals, languages, continents, landmarks, sports",
    doc="""A sentence about a subject that is to be continued with what is known of it. Five
relations with two sentences each come in shuffled blocks, so that all are drawn equally often;
subjects are drawn without repeating a prompt, and a task cannot have more rows than there are
facts. The treated prompt is the same sentence with another subject, of as many tokens, whose answer
is `wrong`. SUBJECT are all tokens of the subject.

Whether a model knows a fact is for it to say:
`task known = recall where right(reference) == 1`, with `metric right = top1(answer)`.

Metric: `logit(answer) - logit(wrong)`. Sources of the kind of task: arXiv:2202.05262,
arXiv:2304.14767; the facts are this project's own.""",
    row=_row,
    parameters=(
        TAKE,
        SEED,
        Parameter(
            name="relation",
            kind="str",
            default="all",
            choices=("all", *TEMPLATES),
            doc="one relation, or all five in equal shares",
        ),
    ),
    prompt_columns=(
        Column(name="prompt", doc="the sentence up to the answer"),
        Column(name="prompt_other", doc="the same with a subject of another answer"),
    ),
    token_columns=(
        Column(name="answer", doc="what is true of the subject"),
        Column(name="wrong", doc="what is true of the subject of `prompt_other`"),
    ),
    labels=(
        Column(name="relation", doc="`capital`, `language`, `continent`, `city` or `sport`"),
        Column(name="template", doc="`capital_01` to `sport_02`: the sentence"),
        Column(name="subject", doc="the subject"),
        Column(name="other_subject", doc="the subject of `prompt_other`"),
        Column(name="subject_tokens", doc="how many tokens it has"),
    ),
    positions=(
        Column(name="SUBJECT", doc="the tokens of the subject"),
        Column(name="SUBJECT_LAST", doc="the last of them"),
    ),
    words=WORDS,
    distinct=_distinct,
    examples=({"relation": "sport"}, {"relation": "capital"}),
)
