"""Colored objects as the bundled model `reuse-mini` was, and was not, trained on them.

One scene, one question and no solved example; the answer is the color as it stands in the scene:

- `train`: colors and things that stand side by side in training;
- `test`: no color of the scene ever stood beside its thing in training, so the answer cannot be
  known from what color a thing usually has.

The division is by a hash of color and thing, not by a draw: it needs no list and never changes.
"""

from __future__ import annotations

from pathdsl.draws import Draws
from pathdsl.tasks import colored_objects
from pathdsl.tasks.base import SEED, TAKE, Column, Generator, Parameter, Row, find_spans
from pathdsl.tasks.colored_objects import (
    ASKED,
    PLACES,
    QUESTION,
    SCENE,
    THERE,
    marked,
    scene_words,
)

__all__ = ["COLORS", "GENERATOR", "THINGS", "draw_scene", "pairs"]

COLORS: tuple[str, ...] = colored_objects.COLORS[:8]
THINGS: tuple[str, ...] = colored_objects.OBJECTS[:8]

_HELD_OUT_SHARE = 5  # one color and thing in five never stand side by side in training


def pairs(split: str) -> frozenset[tuple[str, str]]:
    """The pairs of a color and a thing that stand side by side in a split."""
    wanted = split == "test"
    return frozenset(
        (color, thing)
        for color in COLORS
        for thing in THINGS
        if (Draws(0, "mini_colored_objects", "pair", color, thing).below(_HELD_OUT_SHARE) == 0)
        is wanted
    )


_PAIRS = {split: pairs(split) for split in ("train", "test")}


def draw_scene(draws: Draws, split: str) -> tuple[list[str], list[str], dict[str, str]]:
    """Three colors, their things, and the words of `SCENE`; every pair is of the split."""
    while True:
        colors, things = draws.sample(COLORS, 3), draws.sample(THINGS, 3)
        if _PAIRS[split].issuperset(zip(colors, things, strict=True)):
            place, there = draws.choice(PLACES), draws.choice(THERE)
            return colors, things, scene_words(colors, things, place, there)


def _row(index: int, *, seed: int, split: str) -> Row:
    block, place = divmod(index, len(ASKED))
    name = ("mini_colored_objects", split)
    asked, contrast = Draws(seed, *name, "block", str(block)).shuffled(ASKED)[place]
    draws = Draws(seed, *name, "row", str(index))
    colors, things, words = draw_scene(draws, split)
    while True:  # at every place another color and another thing
        other_colors, other_things, other_words = draw_scene(draws, split)
        shown = zip([*colors, *things], [*other_colors, *other_things], strict=True)
        if all(one != other for one, other in shown):
            break
    absent = draws.choice([thing for thing in THINGS if thing not in things])

    def text(thing: str) -> tuple[str, dict[str, list[int]]]:
        return find_spans(SCENE + QUESTION, {**words, "O": thing})

    prompt, spans = text(things[asked])
    # Other things and colors throughout, under the same frame.
    frame = {name: words[name] for name in ("place", "there")}
    other = {**other_words, **frame, "O": other_words[f"O{asked + 1}"]}
    return {
        "prompt": prompt,
        "prompt_contrast": text(things[contrast])[0],
        "prompt_absent": text(absent)[0],
        "prompt_other": find_spans(SCENE + QUESTION, other)[0],
        "answer": f" {colors[asked]}",
        "wrong": f" {colors[contrast]}",
        "third": f" {colors[3 - asked - contrast]}",
        "asked": asked + 1,
        "contrast": contrast + 1,
        "split": split,
        "spans": marked(spans, asked),
    }


GENERATOR = Generator(
    name="mini_colored_objects",
    summary="what color is one of three things, divided as the training of `reuse-mini` was",
    doc="""Three things with their colors, and the question what color one of them is: the task
`colored_objects` without a solved example, in the words of the bundled model `reuse-mini`. The
answer is the color as it stands in the scene, read at END, the colon behind `A`.

- `split: "test"` (the default): no color of the scene stood beside its thing in training;
- `split: "train"`: every color stood beside its thing.

Which thing is asked for, and which the contrast asks for, comes in shuffled blocks of the six
pairs. Usual treated values: `prompt_contrast`, which changes the question alone; `prompt_other`,
where all three colors and things are others.

Metric: `logit(answer) - logit(wrong)`; `accuracy(RUN, answer: answer)`. WRONG is the set of both
other colors' places: `pattern(a2.h1@END) = uniform(WRONG)`. Source: arXiv:2310.08744.""",
    row=_row,
    parameters=(
        TAKE,
        SEED,
        Parameter(
            name="split",
            kind="str",
            default="test",
            choices=("test", "train"),
            doc="pairs of a color and a thing held out of training, or seen in it",
        ),
    ),
    prompt_columns=(
        Column(name="prompt", doc="the scene and the question"),
        Column(name="prompt_contrast", doc="the question is about another of the three things"),
        Column(name="prompt_absent", doc="the question is about a thing that is not there"),
        Column(name="prompt_other", doc="other colors and things, the same thing in order asked"),
    ),
    token_columns=(
        Column(name="answer", doc="the color of the thing"),
        Column(name="wrong", doc="the color that `prompt_contrast` asks for"),
        Column(name="third", doc="the color of the third thing"),
    ),
    labels=(
        *colored_objects.GENERATOR.labels,
        Column(name="split", doc="the split that was asked for"),
    ),
    positions=tuple(
        column for column in colored_objects.GENERATOR.positions if column.name != "EXAMPLE"
    ),
    examples=({"split": "train"},),
)
