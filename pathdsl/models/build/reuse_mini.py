"""Train `reuse-mini`, one small GPT-2 for three tasks (`python -m … FOLDER`).

Indirect object identification, colored objects and greater-than are learned together, each batch
of one of them, and so that reuse between them can be measured. The loss is cross-entropy at the
places where an answer is wanted; AdamW, one seed, one processor core. The first steps are of the
curriculum `pairs` (`reuse_mini_data`); up to step `TAUGHT` the answer is also wanted where it can
first be known: the color at each thing, the other name where a name stands again. Positions begin
as sines and cosines and are trained like all else.

Folders `FOLDER/reuse-mini-step-N` are the model after N steps, `FOLDER/reuse-mini` that after the
last. Every draw is seeded and the algorithms are deterministic, but another machine, number of
threads or version of torch may sum in another order: the shipped weights are the authority, not
this script. Weights are stored as float16, half the size, and computed with in what a file asks.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase

from pathdsl.models.build.reuse_mini_data import SEED, batch, build_tokenizer
from pathdsl.models.build.training import (
    command,
    descend,
    optimizer_of,
    rotating_positions,
    small_gpt2,
)
from pathdsl.tasks import get

__all__ = ["CHECKPOINTS", "STEPS", "accuracy", "kind_of", "start", "train"]

STEPS = 2000
CHECKPOINTS = (300, 400, 500, 700, 900)
PAIRS_ALONE = 250  # steps at the start that are of the curriculum alone
KNOWN = 600  # steps after which most batches are of indirect object identification
TAUGHT = 1200  # steps in which answers are also wanted before the end of the prompt
PEAK_RATE = 2e-3
WARM_UP = 50
DECAY = 600  # steps at the end in which the rate falls to zero
CYCLE = ("colored", "indirect", "pairs", "colored", "greater", "indirect")
AFTER = ("indirect", "indirect", "colored", "indirect", "indirect", "greater")


def kind_of(step: int) -> str:
    """The kind of batch of a step."""
    if step < PAIRS_ALONE:
        return "pairs"
    kind = (CYCLE if step < KNOWN else AFTER)[step % len(CYCLE)]
    taught = step < TAUGHT and kind in ("colored", "indirect")
    return f"{kind}-taught" if taught else kind


def rate(step: int) -> float:
    """The learning rate: linear warm-up, and linear decay to zero at the end."""
    return PEAK_RATE * min((step + 1) / WARM_UP, 1.0, (STEPS - step) / DECAY)


@torch.no_grad()
def accuracy(
    model: GPT2LMHeadModel,
    tokenizer: PreTrainedTokenizerBase,
    task: str,
    split: str,
    take: int = 200,
) -> float:
    """Top-1 accuracy over the vocabulary; of greater-than, P(later) - P(other)."""
    total = 0.0
    for row in get(task).rows(take=take, split=split, seed=1):
        logits = model(tokenizer(row["prompt"], return_tensors="pt").input_ids).logits[0, -1]
        if "later" in row:
            later, other = (tokenizer.convert_tokens_to_ids(row[c]) for c in ("later", "not_later"))
            found = logits.softmax(-1)
            total += float(found[later].sum() - found[other].sum())
        else:
            answer = row["io"] if "io" in row else row["answer"]
            total += int(logits.argmax() == tokenizer.convert_tokens_to_ids(answer))
    return total / take


def start(vocabulary: int) -> GPT2LMHeadModel:
    """The model before the first step."""
    torch.manual_seed(SEED)
    model = small_gpt2(vocabulary)
    rotating_positions(model)
    return model


def train(folder: Path, steps: int = STEPS, *, report_every: int = 100) -> GPT2LMHeadModel:
    """Train from scratch, write model and checkpoints into folders of the folder given."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    tokenizer = build_tokenizer()
    model = start(len(tokenizer))
    optimizer = optimizer_of(model, PEAK_RATE)
    started, losses = time.time(), {}

    def save(name: str) -> None:
        stored = GPT2LMHeadModel(model.config)
        stored.load_state_dict(model.state_dict())
        stored.half().save_pretrained(folder / name)
        build_tokenizer().save_pretrained(folder / name)  # that of the batches may be set to pad

    for step in range(steps):
        kind = kind_of(step)
        ids, at, wanted = batch(kind, step, tokenizer)
        # Padding stands on the right, where no place that is read can see it.
        states = model.transformer(ids).last_hidden_state
        logits = model.lm_head(states[torch.arange(len(ids))[:, None], at])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(0, 1))
        descend(model, optimizer, loss, rate(step))
        losses[kind] = round(loss.item(), 3)
        if (step + 1) % report_every == 0:
            model.eval()
            found = [
                accuracy(model, tokenizer, task, "test", 60)
                for task in ("mini_colored_objects", "mini_ioi", "mini_greater_than")
            ]
            model.train()
            print(step + 1, losses, found, f"{time.time() - started:.0f} s", flush=True)
        if step + 1 in CHECKPOINTS:
            save(f"reuse-mini-step-{step + 1}")
    model.eval()
    save("reuse-mini")
    return model


if __name__ == "__main__":
    command(train, __doc__, steps=STEPS)
