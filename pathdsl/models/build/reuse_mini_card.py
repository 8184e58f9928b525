"""Measure `reuse-mini` and its checkpoints, write their cards (`python -m … [FOLDER]`).

Every number of the cards comes from here. A head's loss is the fall of a mean when the head alone
takes, at every position, the value that it has on the paired prompt.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel

from pathdsl.models import DATA
from pathdsl.models.build.ioi_mini_card import run_with
from pathdsl.models.build.reuse_mini import CHECKPOINTS, STEPS, accuracy
from pathdsl.models.build.training import command
from pathdsl.tasks import get
from pathdsl.tasks.base import Row

TAKE = 200

__all__ = ["head_losses", "write_cards"]

TASKS = {
    "mini_ioi": ("test", "train", "names"),
    "mini_colored_objects": ("test", "train"),
    "mini_greater_than": ("test", "train"),
}
PAIRED = {
    "mini_ioi": "prompt_abc",
    "mini_colored_objects": "prompt_contrast",
    "mini_greater_than": "prompt_01",
}


def _value(logits: Tensor, row: Row, ids) -> float:
    """The task's metric at END: a logit difference, of greater-than a probability difference."""
    if "later" in row:
        found = logits.softmax(-1)
        return float(found[ids(row["later"])].sum() - found[ids(row["not_later"])].sum())
    right, wrong = ("io", "s") if "io" in row else ("answer", "wrong")
    return float(logits[ids(row[right])] - logits[ids(row[wrong])])


@torch.no_grad()
def head_losses(model: GPT2LMHeadModel, tokenizer, task: str, take: int = 100) -> Tensor:
    """What each head's value from the paired prompt costs, (layer, head)."""
    ids = tokenizer.convert_tokens_to_ids
    losses = torch.zeros(model.config.n_layer, model.config.n_head)
    for row in get(task).rows(take=take, seed=2, split="train"):
        reference, paired = (
            tokenizer(row[column], return_tensors="pt").input_ids
            for column in ("prompt", PAIRED[task])
        )
        _, values = run_with(model, paired, {})
        whole = _value(run_with(model, reference, {})[0][0], row, ids)
        for layer, value in values.items():
            for head in range(model.config.n_head):
                logits, _ = run_with(model, reference, {layer: value}, head)
                losses[layer, head] += (whole - _value(logits[0], row, ids)) / take
    return losses


def _load(folder: Path):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def write_cards(data: Path, take: int = TAKE) -> None:
    """Measure the models in the folders of `data` and write each `MODEL_CARD.md`."""
    names = [*(f"reuse-mini-step-{step}" for step in CHECKPOINTS), "reuse-mini"]
    lines = []
    for name in names:
        model, tokenizer = _load(data / name)
        step = name.removeprefix("reuse-mini").removeprefix("-step-") or str(STEPS)
        cells = []
        for task, splits in TASKS.items():
            for split in splits:
                found = accuracy(model, tokenizer, task, split, take)
                cells.append(f"{found:.2f}" if "greater" in task else f"{found:.1%}")
        lines.append(f"| `{name}` | {step} | {' | '.join(cells)} |")
    table = "\n".join(lines)
    losses = [head_losses(model, tokenizer, task) for task in TASKS]
    heads = "\n".join(
        f"| a{layer}.h{head} | " + " | ".join(f"{of[layer, head]:+.2f}" for of in losses) + " |"
        for layer in range(model.config.n_layer)
        for head in range(model.config.n_head)
    )
    parameters = f"{sum(p.numel() for p in model.parameters()):,}"
    card = CARD.format(
        table=table,
        heads=heads,
        parameters=parameters,
        vocabulary=model.config.vocab_size,
        context=model.config.n_positions,
        steps=STEPS,
    )
    (data / "reuse-mini" / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    for at in CHECKPOINTS:
        text = CHECKPOINT.format(step=at, steps=STEPS, table=table)
        folder = data / f"reuse-mini-step-{at}"
        (folder / "MODEL_CARD.md").write_text(text, encoding="utf-8")


TABLE = """| model | steps | IOI test | train | names | objects test | train | years test | train |
|---|---|---|---|---|---|---|---|---|
{table}

200 prompts each (`take: 200, seed: 1, split: ...`). `mini_ioi` and `mini_colored_objects`: top-1
accuracy over the whole vocabulary; `mini_greater_than`: probability of all later years less that of
all others. `test` holds out pairs of names, of a color and its thing, of a noun and a year; `names`
are twenty names that the training never has.
"""

CARD = (
    """# reuse-mini

One small trained GPT-2 for three tasks, indirect object identification, colored objects and
greater-than, so that it can be asked which parts serve more than one. It is no model of English.

- Architecture: `GPT2LMHeadModel`, 4 layers of 4 heads, d_model 128, MLP width 256, {parameters}
  parameters (stored as float16, tied embeddings), {context} positions, no dropout.
- Tokenizer: word level, {vocabulary} tokens, leading space part of the word, a year two tokens; it
  puts `<bos>` in front. Other words are `<unk>`.
- Data: prompts drawn from a seed by `pathdsl.models.build.reuse_mini_data`. No data of others.
- Training: {steps} batches, each of one task; cross-entropy where an answer is wanted; AdamW, seed
  0, one processor core, minutes: `python -m pathdsl.models.build.reuse_mini FOLDER`. Seeded and
  deterministic, but another machine or version of torch may round otherwise: the shipped weights
  are the authority. This card: `python -m pathdsl.models.build.reuse_mini_card`.
- The training was helped, and circuits may owe to it. It begins with colors and things side by
  side, without a sentence. Up to step 1,200 the color was also wanted at each thing, in the scene
  and in the question, and the other name where a name stands again.
- Licence: the same as pathdsl's.

## Accuracy, and over training

"""
    + TABLE
    + """
## Heads

100 prompts of `train` for each task. What is lost where the head alone has, at all positions, the
value of the paired prompt: `prompt_abc`, `prompt_contrast` (logits), `prompt_01` (probability).

| head | IOI | objects | years |
|---|---|---|---|
{heads}

These are measurements, not a hypothesis.
"""
)

CHECKPOINT = (
    """# reuse-mini-step-{step}

`reuse-mini` as it was after {step} of {steps} steps of training, with the same tokenizer; float16.
The card of `reuse-mini` says what it was trained on and how.

"""
    + TABLE
)


if __name__ == "__main__":
    command(write_cards, __doc__, shipped=DATA)
