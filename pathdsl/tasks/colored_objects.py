"""Colored objects: three things with their colors, and the question what color one of them is.

Source of the task: the Reasoning about Colored Objects task of BIG-bench (Srivastava et al. 2022,
arXiv:2206.04615) in the form of Merullo et al. 2024 (arXiv:2310.08744): one solved example, then
three things on a table, and the contrast prompt asks for another one of them. Things, colors and
places are this project's own.
"""

from __future__ import annotations

from typing import Any

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

__all__ = [
    "ASKED", "COLORS", "GENERATOR", "OBJECTS", "PLACES", "QUESTION", "SCENE", "THERE", "marked",
    "scene_words",
]  # fmt: skip

SCENE = "Q: On the {place}, {there}{A1} {C1} {O1}, {A2} {C2} {O2}, and {A3} {C3} {O3}. "
QUESTION = "What color is the {O}?\nA:"
COLORS: tuple[str, ...] = tuple(
    "red orange yellow green blue purple brown black white pink gold silver".split()
)
OBJECTS: tuple[str, ...] = tuple(
    """ball pen pencil mug cup plate bowl spoon fork knife book notebook box bag hat cap shirt coat
    glove sock shoe ring watch clock lamp candle key bottle jar basket brush comb towel pillow
    blanket phone wallet card button ribbon rope toy doll drum whistle bell flag stamp coin puzzle
    magnet sponge bucket scarf belt ticket mirror bracelet necklace leash""".split()
)
PLACES: tuple[str, ...] = tuple("table desk floor shelf bench counter bed chair".split())
THERE = ("there is ", "you see ", "I see ")


def _both_ways(color: str) -> tuple[str, ...]:
    return (f" {color}", f" {color.capitalize()}")


WORDS = (
    Words(name="colors", words=COLORS, least=6, pieces=_both_ways),
    Words(name="objects", words=OBJECTS, least=8),
    Words(name="places", words=PLACES, least=1),
)
# Which of the three is asked for, and which the contrast prompt asks for.
ASKED = [(asked, contrast) for asked in range(3) for contrast in range(3) if asked != contrast]


def _choices(words: Lists) -> tuple[tuple[tuple[str, ...], int], ...]:
    return (
        (words["colors"], 6),
        (words["objects"], 6),
        (words["places"], 1),
        (words["places"], 1),
        (THERE, 1),
        (THERE, 1),
        (("0", "1", "2"), 1),
    )


def _distinct(*, seed: int, words: Lists) -> int:
    # Two rows of a block ask for the thing at the same place, and are different prompts.
    return len(ASKED) // 2 * ways(*_choices(words))


def scene_words(colors: list[str], objects: list[str], place: str, there: str) -> dict[str, str]:
    """The words of `SCENE`: colors and their things, in order, and articles that fit."""
    words = {"place": place, "there": there}
    for i, (color, thing) in enumerate(zip(colors, objects, strict=True), start=1):
        article = "an" if color[0] in "aeiou" else "a"
        words |= {f"A{i}": article, f"C{i}": color, f"O{i}": thing}
    return words


def marked(spans: dict[str, list[int]], asked: int) -> dict[str, Any]:
    """The positions of a row, from the spans of its scene and question; `asked`: 0, 1 or 2."""
    of_color = [spans[f"C{i}"] for i in (1, 2, 3)]
    return {
        **{f"C{i}": spans[f"C{i}"] for i in (1, 2, 3)},
        **{f"O{i}": spans[f"O{i}"] for i in (1, 2, 3)},
        "RIGHT": of_color[asked],
        "WRONG": [span for i, span in enumerate(of_color) if i != asked],
        "THING": spans[f"O{asked + 1}"],
        "ASKED": spans["O"],
    }


def _row(index: int, *, seed: int, words: Lists) -> Row:
    block, place = divmod(index, len(ASKED))
    asked, contrast = Draws(seed, "colored_objects", "block", str(block)).shuffled(ASKED)[place]
    choices = _choices(words)
    second_pair = [c for a, c in ASKED if a == asked].index(contrast)
    number = Order(ways(*choices), seed, "colored_objects", str(asked))[2 * block + second_pair]
    colors, objects, (first,), (second,), (there,), (again,), (solved,) = picked(number, *choices)
    example = scene_words(colors[3:], objects[3:], first, there)
    scene = scene_words(colors[:3], objects[:3], second, again)
    unused = [one for one in words["objects"] if one not in objects]
    absent = Draws(seed, "colored_objects", "row", str(index)).choice(unused)
    shown = find_spans(
        SCENE + QUESTION + " {ANSWER}\n",
        {**example, "O": objects[3 + int(solved)], "ANSWER": colors[3 + int(solved)].capitalize()},
    )

    def text(thing: str) -> tuple[str, dict[str, list[int]]]:
        found, spans = find_spans(SCENE + QUESTION, {**scene, "O": thing})
        before = len(shown[0])
        return shown[0] + found, {name: [before + at for at in s] for name, s in spans.items()}

    prompt, spans = text(objects[asked])
    return {
        "prompt": prompt,
        "prompt_contrast": text(objects[contrast])[0],
        "prompt_absent": text(absent)[0],
        "answer": f" {colors[asked].capitalize()}",
        "wrong": f" {colors[contrast].capitalize()}",
        "third": f" {colors[3 - asked - contrast].capitalize()}",
        "asked": asked + 1,
        "contrast": contrast + 1,
        "spans": {**marked(spans, asked), "EXAMPLE": shown[1]["ANSWER"]},
    }


GENERATOR = Generator(
    name="colored_objects",
    summary="what color is one of three things, after one solved example",
    doc="""Each prompt is a solved example and a question about three other things with other
colors; the answer is a color with a capital, read at END, the colon behind `A`. The contrast prompt
asks for another of the same three things, and its answer is `wrong`. Which thing is asked for, and
which the contrast asks for, comes in shuffled blocks of the six pairs, so that each is drawn
equally often. Colors (12), things (60), places (8) and wordings are drawn without repeating a
prompt.

Usual treated values: `prompt_contrast`, which changes the question alone; `prompt_absent`, which
asks for a thing that is not there. All prompts have as many words, so `mean(prompt_contrast)` is
over equal places, but for an article `a` or `an`.

Metric: `logit(answer) - logit(wrong)`; `accuracy(RUN, answer: answer)`. WRONG is the set of both
other colors' places, as an intervention on attention needs it: `set pattern(a12.h3@END) =
uniform(WRONG)`. Sources: arXiv:2310.08744, arXiv:2206.04615.""",
    row=_row,
    parameters=(TAKE, SEED),
    prompt_columns=(
        Column(name="prompt", doc="the solved example and the question"),
        Column(name="prompt_contrast", doc="the question is about another of the three things"),
        Column(name="prompt_absent", doc="the question is about a thing that is not there"),
    ),
    token_columns=(
        Column(name="answer", doc="the color of the thing, with a capital"),
        Column(name="wrong", doc="the color that `prompt_contrast` asks for"),
        Column(name="third", doc="the color of the third thing"),
    ),
    labels=(
        Column(name="asked", doc="which thing is asked for: 1, 2 or 3"),
        Column(name="contrast", doc="which thing `prompt_contrast` asks for"),
    ),
    positions=(
        *(Column(name=f"C{i}", doc=f"the color of thing {i}") for i in (1, 2, 3)),
        *(Column(name=f"O{i}", doc=f"thing {i}") for i in (1, 2, 3)),
        Column(name="RIGHT", doc="the color of the thing that is asked for"),
        Column(name="WRONG", doc="the colors of the two others"),
        Column(name="THING", doc="the thing that is asked for, where it has its color"),
        Column(name="ASKED", doc="the thing in the question"),
        Column(name="EXAMPLE", doc="the answer of the solved example"),
    ),
    words=WORDS,
    distinct=_distinct,
    examples=({"seed": 3},),
)
