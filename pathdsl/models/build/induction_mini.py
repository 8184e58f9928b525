"""Train `induction-mini`, a small GPT-2 of two layers that does induction (`python -m … FOLDER`).

Lines of pairs of words, drawn anew for each line (`pathdsl.tasks.mini_induction`), with other words
between them. The loss is cross-entropy at the first word of a pair that stood before; AdamW, one
seed, one processor core. One in five ordered pairs of words is never a pair.

Only that A stood right before B tells that B follows A. Left to itself the model did not learn that
in as many steps, and with one head taught to look at the token before it read the word behind B,
by a second head that found A two tokens back. So for the first `TAUGHT` steps the loss also asks of
the first layer where to look, of one head at the token before, of the others at their own, and
positions begin as sines and cosines. After that all are free. The second layer is not taught.

Every draw is seeded and the algorithms are deterministic, but another machine, number of threads or
version of torch may sum in another order: the shipped weights are the authority, not this script.
Weights are stored as float16, half the size, and computed with in what a file asks.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from tokenizers import Regex, pre_tokenizers
from torch import Tensor
from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from pathdsl.draws import Draws
from pathdsl.models.build.training import (
    command,
    descend,
    optimizer_of,
    rotating_positions,
    small_gpt2,
    word_level,
)
from pathdsl.tasks import get
from pathdsl.tasks.mini_induction import PAIRS, WORDS, Part, parts_of

__all__ = ["STEPS", "TAUGHT", "accuracy", "build_tokenizer", "line", "train"]

SEED = 0
STEPS = 800
BATCH = 64
LENGTH = 32  # words of a line
BETWEEN = 10  # words of a line that are of no pair, at most
IGNORED = -100  # the label that torch's cross-entropy leaves out
PEAK_RATE = 5e-3
WARM_UP = 50
TAUGHT = 60  # steps in which the loss asks of the first layer where to look
DECAY = 400  # steps at the end in which the rate falls to zero


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer; a word's leading space belongs to its token, as in GPT-2."""
    splitter = pre_tokenizers.Split(Regex(r" ?\w+"), behavior="isolated")
    return word_level(splitter, (f" {word}" for word in WORDS))


def line(index: int) -> list[Part]:
    """The pairs and other words of the line of that number, in order."""
    draws = Draws(SEED, "induction-mini", "line", str(index))
    between = 2 * draws.below(BETWEEN // 2 + 1)
    kinds = 2 + draws.below(PAIRS - 1)
    numbers = [draws.below(kinds) for _ in range((LENGTH - between) // 2)]
    order = draws.shuffled([*numbers, *range(-between, 0)])
    # More words than are needed, for first words that no word fits.
    return parts_of(draws.sample(WORDS, 3 * PAIRS + BETWEEN), order, "train")


def batch(step: int, tokenizer: PreTrainedTokenizerBase) -> tuple[Tensor, Tensor]:
    """Token ids (BATCH, pos) of a step, and the same as labels, where nothing tells left out."""
    texts, wanted = [], []
    for row in range(BATCH):
        seen: set[Part] = set()
        words: list[str] = []
        for part in line(step * BATCH + row):
            if part in seen and len(part) == 2:
                wanted.append((row, len(words) + 2))  # <bos> is in front
            seen.add(part)
            words += part
        texts.append("".join(f" {word}" for word in words))
    ids = tokenizer(texts, return_tensors="pt").input_ids
    labels = torch.full_like(ids, IGNORED)
    rows, places = torch.tensor(wanted).T
    labels[rows, places] = ids[rows, places]
    return ids, labels


def rate(step: int) -> float:
    """The learning rate: linear warm-up, and linear decay to zero at the end."""
    return PEAK_RATE * min((step + 1) / WARM_UP, 1.0, (STEPS - step) / DECAY)


@torch.no_grad()
def accuracy(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerBase, split: str, take: int = 500
) -> float:
    """Top-1 accuracy over the vocabulary, on rows that training did not draw."""
    rows = get("mini_induction").rows(take=take, seed=1, split=split)
    logits = model(tokenizer([row["prompt"] for row in rows], return_tensors="pt").input_ids)
    wanted = tokenizer.convert_tokens_to_ids([row["answer"] for row in rows])
    return float((logits.logits[:, -1].argmax(-1) == torch.tensor(wanted)).float().mean())


def train(folder: Path, steps: int = STEPS, *, report_every: int = 100) -> GPT2LMHeadModel:
    """Train from scratch and write the model and its tokenizer into the folder."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    tokenizer = build_tokenizer()
    model = small_gpt2(len(tokenizer), layers=2, width=64, inner=4)
    rotating_positions(model)
    model.set_attn_implementation("eager")
    optimizer = optimizer_of(model, PEAK_RATE)
    started = time.time()
    for step in range(steps):
        ids, labels = batch(step, tokenizer)
        found = model(ids, labels=labels, output_attentions=True)
        loss = found.loss
        first = found.attentions[0]
        before = first.diagonal(-1, -2, -1)  # (batch, head, pos - 1)
        if step < TAUGHT:
            own = first[:, 1:].diagonal(0, -2, -1)
            loss = loss - before[:, 0].log().mean() - own.log().mean()
        descend(model, optimizer, loss, rate(step))
        if (step + 1) % report_every == 0:
            model.eval()
            share = accuracy(model, tokenizer, "test", 200)
            model.train()
            looks = [round(look, 2) for look in before.mean((0, 2)).tolist()]
            spent = f"{time.time() - started:.0f} s"
            print(step + 1, f"loss {loss.item():.3f}", share, looks, spent, flush=True)
    model.eval()
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


if __name__ == "__main__":
    command(train, __doc__, steps=STEPS)
