"""Train `attention-mini`, a small attention-only model of two tasks (`python -m … FOLDER`).

No MLPs, positions added to queries and keys alone, norms without weights: a toy model
(`pathdsl.engine.toy.model`). One batch in three is of lines of pairs of words, those of
`induction-mini`; the others are of Python methods with docstrings, of four to six arguments that
the docstring describes in order from the first or the second on. The loss is cross-entropy where an
answer is wanted: at the first word of a pair that stood before, and at every `:param` but the
first. AdamW, one seed, one processor core. One in five ordered pairs of words is never a pair, and
never two arguments that follow each other.

For the first `TAUGHT` steps the loss also asks of the first layer where to look, of one head at the
token before, of the others at their own, and positions begin as sines and cosines; without that the
model had learned nothing of induction after 300 steps. After that all are free, and what looks
where in a docstring was never taught.

Every draw is seeded and the algorithms are deterministic, but another machine, number of threads or
version of torch may sum in another order: the shipped weights are the authority, not this script.
Weights are stored as float16, half the size, and computed with in what a file asks.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from pathdsl.draws import Draws
from pathdsl.engine.toy.model import ToyConfig, ToyModel, shares
from pathdsl.models.build.induction_mini import line
from pathdsl.models.build.training import CONTEXT, command, descend, optimizer_of, word_level
from pathdsl.tasks import get
from pathdsl.tasks.mini_docstring import WORDS, chain_of, text_of
from pathdsl.tasks.mini_induction import WORDS as ALL_WORDS
from pathdsl.tasks.mini_induction import Part

__all__ = [
    "STEPS", "TASKS", "TAUGHT", "Patterns", "accuracy", "build_tokenizer", "method", "start",
    "train",
]  # fmt: skip

SEED = 0
STEPS = 1600
BATCH = 64
LAYERS, HEADS, WIDTH = 3, 4, 64
INDUCTION = 3  # one of so many batches is of induction
IGNORED = -100  # the label that torch's cross-entropy leaves out
PEAK_RATE = 5e-3
WARM_UP = 50
TAUGHT = 60  # steps in which the loss asks of the first layer where to look
DECAY = 600  # steps at the end in which the rate falls to zero
PARAM = "\n    :param"
MARKS = ("def", "(self", ",", "):", '\n    """', PARAM, ":")
TASKS = ("mini_induction", "mini_docstring")


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Words with their leading space, and the marks of a definition and its docstring."""
    parts = Regex(r'\n    :param|\n    """|\(self|\):|[,:]| ?\w+')
    splitter = pre_tokenizers.Split(parts, behavior="isolated")
    return word_level(splitter, [*(f" {word}" for word in ALL_WORDS), *MARKS])


def method(index: int) -> str:
    """The method of that number, its docstring describing all it is to describe."""
    draws = Draws(SEED, "attention-mini", "docstring", str(index))
    count = 4 + draws.below(3)
    arguments, (name, *rest) = chain_of(draws.shuffled(WORDS), count, "train")
    first = draws.below(2)
    head, rest = rest[: 1 + draws.below(3)], rest[3:]
    described = []
    for argument in arguments[first:]:
        words = 1 + draws.below(2)
        described.append((argument, *rest[:words]))
        rest = rest[words:]
    return text_of(name, arguments, head, described)


def of_lines(step: int, tokenizer: PreTrainedTokenizerBase) -> tuple[Tensor, Tensor]:
    """Token ids (BATCH, pos) of a step of induction, and the labels."""
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
    return ids, _labels(ids, wanted)


def of_docstrings(step: int, tokenizer: PreTrainedTokenizerBase) -> tuple[Tensor, Tensor]:
    """Token ids (BATCH, pos) of a step of docstrings, and the labels.

    Padding stands on the right, where no place that is read can see it.
    """
    texts = [method(step * BATCH + row) for row in range(BATCH)]
    ids = tokenizer(texts, return_tensors="pt", padding=True).input_ids
    is_param = ids == tokenizer.convert_tokens_to_ids(PARAM)
    wanted = []
    for row, places in enumerate(is_param.tolist()):
        # What comes first cannot be told, and behind the last nothing stands.
        at = [place for place, here in enumerate(places) if here][1:-1]
        wanted += [(row, place + 1) for place in at]
    return ids, _labels(ids, wanted)


def _labels(ids: Tensor, wanted: list[tuple[int, int]]) -> Tensor:
    """The ids at the rows and places wanted, `IGNORED` elsewhere."""
    labels = torch.full_like(ids, IGNORED)
    rows, places = torch.tensor(wanted).T
    labels[rows, places] = ids[rows, places]
    return labels


def rate(step: int) -> float:
    """The learning rate: linear warm-up, and linear decay to zero at the end."""
    return PEAK_RATE * min((step + 1) / WARM_UP, 1.0, (STEPS - step) / DECAY)


@torch.no_grad()
def accuracy(
    model: ToyModel, tokenizer: PreTrainedTokenizerBase, task: str, split: str, take: int = 500
) -> float:
    """Top-1 accuracy over the vocabulary, on rows that training did not draw."""
    rows = get(task).rows(take=take, seed=1, split=split)
    logits = model(tokenizer([row["prompt"] for row in rows], return_tensors="pt").input_ids).logits
    wanted = tokenizer.convert_tokens_to_ids([row["answer"] for row in rows])
    return float((logits[:, -1].argmax(-1) == torch.tensor(wanted)).float().mean())


class Patterns:
    """The pattern of every head of a layer at the last forward pass, (rows, heads, pos, pos)."""

    def __init__(self, model: ToyModel, layer: int) -> None:
        self.spec, self.layer = model.spec, layer
        self.found: dict[str, Tensor] = {}
        for slot in "qk":
            part = getattr(model.blocks[layer].attn, slot)
            part.register_forward_hook(
                lambda _module, _given, out, slot=slot: self.found.update({slot: out})
            )

    def __call__(self) -> Tensor:
        """The patterns, of a batch without padding before what is read."""
        q, k = (
            self.found[slot].unflatten(-1, (-1, self.spec.d_head)).transpose(1, 2) for slot in "qk"
        )
        mask = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril()
        return shares(self.spec, q @ k.transpose(-1, -2) / self.spec.divisor(self.layer), mask)


def start(vocabulary: int) -> ToyModel:
    """The model before the first step; the unembedding begins as the embedding."""
    torch.manual_seed(SEED)
    config: dict[str, Any] = {
        "n_layers": LAYERS, "d_model": WIDTH, "n_heads": HEADS, "d_head": WIDTH // HEADS,
        "n_ctx": CONTEXT, "d_vocab": vocabulary, "attn_only": True, "normalization_type": "LNPre",
        "positional_embedding_type": "shortformer", "qkv_bias": False, "o_bias": False,
        "unembed_bias": False,
    }  # fmt: skip
    model = ToyModel(ToyConfig(**config))
    steps = torch.exp(torch.arange(WIDTH // 2) * (-math.log(200.0) * 2 / WIDTH))
    angles = torch.arange(CONTEXT)[:, None] * steps
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.08)
        model.embed.weight.normal_(std=0.2)
        model.unembed.weight.copy_(model.embed.weight)
        model.pos_embed.weight.copy_(torch.cat([angles.sin(), angles.cos()], 1))
    return model


def train(folder: Path, steps: int = STEPS, *, report_every: int = 100) -> ToyModel:
    """Train from scratch and write the model and its tokenizer into the folder."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    tokenizer = build_tokenizer()
    model = start(len(tokenizer))
    patterns = Patterns(model, 0)
    optimizer = optimizer_of(model, PEAK_RATE)
    started, losses = time.time(), {}
    for step in range(steps):
        kind = of_docstrings if step % INDUCTION else of_lines
        ids, labels = kind(step, tokenizer)
        loss = torch.nn.functional.cross_entropy(
            model(ids).logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED
        )
        if step < TAUGHT:
            first = patterns()
            before = first.diagonal(-1, -2, -1)  # (batch, head, pos - 1)
            own = first[:, 1:].diagonal(0, -2, -1)
            loss = loss - before[:, 0].log().mean() - own.log().mean()
        descend(model, optimizer, loss, rate(step))
        losses[kind.__name__] = round(loss.item(), 3)
        if (step + 1) % report_every == 0:
            found = [accuracy(model, tokenizer, task, "test", 200) for task in TASKS]
            print(step + 1, losses, found, f"{time.time() - started:.0f} s", flush=True)
    model.half().save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)  # that of the batches is set to pad
    return model


if __name__ == "__main__":
    command(train, __doc__, steps=STEPS)
