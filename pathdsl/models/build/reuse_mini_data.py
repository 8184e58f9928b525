"""What `reuse-mini` is trained on: prompts of three tasks with what is wanted at some places.

Every batch is of one kind, so that little is padded. `pairs` is the curriculum: colors and things
side by side without a sentence, and then things again, each of which wants its color. What a small
model cannot find for a long while in whole questions, it finds there in a few hundred steps: that
a thing takes up the color before it, and that a thing looks for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from tokenizers import Regex, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from pathdsl.draws import Draws
from pathdsl.models.build.training import word_level
from pathdsl.tasks import mini_colored_objects, mini_greater_than, mini_ioi
from pathdsl.tasks.base import find_spans
from pathdsl.tasks.colored_objects import PLACES, QUESTION, SCENE, THERE, scene_words
from pathdsl.tasks.greater_than import TEMPLATE, YEARS, centuries_of
from pathdsl.tasks.ioi import NAMES, OBJECTS, TEMPLATES, combinations, make_row
from pathdsl.tasks.ioi import PLACES as IOI_PLACES
from pathdsl.tasks.mini_colored_objects import COLORS, THINGS, draw_scene
from pathdsl.tasks.mini_greater_than import WAR_NOUNS
from pathdsl.tasks.mini_ioi import PATTERN_NAMES

__all__ = ["KINDS", "SEED", "batch", "build_tokenizer"]

SEED = 0
PAIRS = 4  # pairs of a color and a thing in a prompt of the curriculum
QUESTIONS = 3  # questions in a row about one scene; the first one is the task's
TWO_DIGITS = tuple(f"{number:02d}" for number in range(100))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer; a leading space belongs to the word, and a year is two tokens."""
    splitter = pre_tokenizers.Split(Regex(r" ?\d\d| ?[^\W\d]+| ?[^\w\s]|\s"), behavior="isolated")
    names = {"1": NAMES[0], "2": NAMES[1], "3": NAMES[0]}
    whole = find_spans(TEMPLATE, {"NOUN": "war", "XX": "17", "YY": "43", "END": "17"})
    texts = [whole[0], " a an"]
    for sentence in TEMPLATES:
        texts.append(find_spans(sentence, names | {"place": "park", "object": "book"})[0])
    for there in THERE:
        words = scene_words(list(COLORS[:3]), list(THINGS[:3]), PLACES[0], there)
        texts.append(find_spans(f"{SCENE}{QUESTION}\nQ: {QUESTION}", words | {"O": THINGS[0]})[0])
    for word in (*NAMES, *IOI_PLACES, *OBJECTS, *COLORS, *THINGS, *PLACES, *WAR_NOUNS):
        texts.append(f" {word}")
    texts += [f" {year[:2]}{year[2:]}" for year in YEARS] + list(TWO_DIGITS)
    pieces = {piece for text in texts for piece, _ in splitter.pre_tokenize_str(text)}
    return word_level(splitter, pieces)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One text, the characters at whose tokens something is wanted, and what: equally likely."""

    text: str
    at: tuple[int, ...]
    words: tuple[tuple[str, ...], ...]


def pairs(draws: Draws) -> Wanted:
    """Colors and things side by side, then things again with their colors."""
    while True:
        colors, things = draws.sample(COLORS, PAIRS), draws.sample(THINGS, PAIRS)
        if SEEN_PAIRS.issuperset(zip(colors, things, strict=True)):
            break
    shown = list(zip(colors, things, strict=True))
    again = [draws.choice(shown) for _ in range(PAIRS)]
    text, at, words = "", [], []
    for color, thing in shown:
        text += f" {color} {thing}"
        at.append(len(text) - 1)
        words.append((f" {color}",))
    for color, thing in again:
        text += f" {thing}"
        at.append(len(text) - 1)
        words.append((f" {color}",))
        text += f" {color}"
    return Wanted(text, tuple(at), tuple(words))


def colored(draws: Draws, taught: bool) -> Wanted:
    """A scene and questions; `taught`: the color is also wanted at each thing and where asked."""
    colors, things, words = draw_scene(draws, "train")
    text, spans = find_spans(SCENE, words)
    at, wanted = [], []

    def want(place: int, color: str) -> None:
        at.append(place)
        wanted.append((f" {color}",))

    if taught:
        for i, color in enumerate(colors):
            want(spans[f"O{i + 1}"][0], color)
    for number in range(QUESTIONS):
        i = draws.below(3)
        text += "\nQ: " if number else ""
        asked, place = find_spans(QUESTION, {"O": things[i]})
        if taught:
            want(len(text) + place["O"][0], colors[i])
        text += asked
        want(len(text) - 1, colors[i])
        text += f" {colors[i]}"
    return Wanted(text, tuple(at), tuple(wanted))


def indirect(draws: Draws, taught: bool) -> Wanted:
    """A sentence of the pattern; `taught`: the answer is also wanted where the subject is again."""
    template, order = draws.choice(combinations("both"))
    pair = draws.shuffled(draws.choice(SEEN_NAMES))
    spare = draws.sample([name for name in PATTERN_NAMES if name not in pair], 3)
    row = make_row(draws, [*pair, *spare], template, order)
    at = (*((row["spans"]["S2"][0],) if taught else ()), len(row["prompt"]) - 1)
    return Wanted(row["prompt"], at, ((row["io"],),) * len(at))


def greater(draws: Draws) -> Wanted:
    """A sentence with two years; every later one of the century is wanted as much as another."""
    year = draws.choice(sorted(SEEN_NOUNS))
    noun, century = draws.choice(SEEN_NOUNS[year]), draws.choice(centuries_of(YEARS)[year])
    named = {"NOUN": noun, "XX": century, "YY": year, "END": century}
    text = find_spans(TEMPLATE, named)[0]
    return Wanted(text, (len(text) - 1,), (TWO_DIGITS[int(year) + 1 :],))


SEEN_PAIRS = mini_colored_objects.pairs("train")
SEEN_NAMES = mini_ioi.pairs("train")
SEEN_NOUNS = mini_greater_than.combinations("train")

KINDS: dict[str, tuple[int, Callable[[Draws], Wanted]]] = {
    "pairs": (48, pairs),
    "colored-taught": (48, lambda draws: colored(draws, taught=True)),
    "colored": (48, lambda draws: colored(draws, taught=False)),
    "indirect-taught": (64, lambda draws: indirect(draws, taught=True)),
    "indirect": (64, lambda draws: indirect(draws, taught=False)),
    "greater": (64, greater),
}
"""By the name of a kind, how many texts a batch has and what draws one."""


def batch(
    kind: str, step: int, tokenizer: PreTrainedTokenizerFast
) -> tuple[Tensor, Tensor, Tensor]:
    """The batch of a step: token ids (batch, pos), places (batch, k), wanted (batch, k, vocab).

    What is wanted is a probability for each token of the vocabulary.
    """
    size, draw = KINDS[kind]
    rows = [draw(Draws(SEED, "reuse-mini", kind, str(step * size + i))) for i in range(size)]
    encoded = tokenizer([row.text for row in rows], padding=True, return_tensors="pt")
    at = [[encoded.char_to_token(i, c) for c in row.at] for i, row in enumerate(rows)]
    wanted = torch.zeros(size, len(rows[0].at), len(tokenizer))
    for i, row in enumerate(rows):
        for k, words in enumerate(row.words):
            wanted[i, k, tokenizer.convert_tokens_to_ids(list(words))] = 1 / len(words)
    return encoded.input_ids, torch.tensor(at), wanted
