"""Measure `induction-mini` and write its card (`python -m … [FOLDER]`).

Every number of the card comes from here. A head's loss is the fall of the logit difference when the
head alone takes, at every position, the value that it has on the paired prompt.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel

from pathdsl.models import DATA
from pathdsl.models.build.induction_mini import STEPS, TAUGHT, accuracy
from pathdsl.models.build.ioi_mini_card import run_with
from pathdsl.models.build.training import command
from pathdsl.tasks import get
from pathdsl.tasks.base import Row

TAKE = 2000
PAIRED = ("prompt_exchanged", "prompt_other")

__all__ = ["head_losses", "looks", "write_card"]


def _rows(take: int) -> list[Row]:
    return get("mini_induction").rows(take=take, seed=2, split="train")


def _ids(tokenizer, rows: list[Row], column: str) -> Tensor:
    return tokenizer([row[column] for row in rows], return_tensors="pt").input_ids


@torch.no_grad()
def head_losses(model: GPT2LMHeadModel, tokenizer, paired: str, take: int = 500) -> Tensor:
    """What each head's value from the paired prompt costs, (layer, head)."""
    rows = _rows(take)
    right, wrong = (
        torch.tensor(tokenizer.convert_tokens_to_ids([row[column] for row in rows]))
        for column in ("answer", "wrong")
    )
    at = torch.arange(take)

    def value(logits: Tensor) -> float:
        return float((logits[at, right] - logits[at, wrong]).mean())

    reference = _ids(tokenizer, rows, "prompt")
    _, values = run_with(model, _ids(tokenizer, rows, paired), {})
    whole = value(run_with(model, reference, {})[0])
    losses = torch.zeros(model.config.n_layer, model.config.n_head)
    for layer, other in values.items():
        for head in range(model.config.n_head):
            losses[layer, head] = whole - value(run_with(model, reference, {layer: other}, head)[0])
    return losses


@torch.no_grad()
def looks(model: GPT2LMHeadModel, tokenizer, take: int = 500) -> dict[str, Tensor]:
    """Mean attention of each head, (layer, head), to places that stand to the query in some way."""
    rows = _rows(take)
    ids = _ids(tokenizer, rows, "prompt")
    patterns = torch.stack(model(ids, output_attentions=True).attentions)
    # <bos> is the place 0, and the place before one is looked for from the third word on.
    found = {
        f"{back} before": patterns.diagonal(-back, -2, -1)[..., 3:].mean((1, 3))
        for back in (0, 1, 2)
    }
    at = torch.arange(take)
    for name, word in (("FIRST", ids[:, -1]), ("AFTER", _ids(tokenizer, rows, "answer")[:, -1])):
        place = (ids == word[:, None]).int().argmax(-1)  # the first of the places of the word
        found[f"END to {name}"] = patterns[:, at, :, -1, place].mean(0)
    return found


def write_card(folder: Path) -> str:
    """Measure the model in the folder, write its `MODEL_CARD.md` and return the text."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    config = model.config
    shares = [
        f"| `{split}` | {accuracy(model, tokenizer, split, TAKE):.1%} |"
        for split in ("test", "train")
    ]
    columns = [
        *looks(model, tokenizer).values(),
        *(head_losses(model, tokenizer, paired) for paired in PAIRED),
    ]
    heads = "\n".join(
        f"| a{layer}.h{head} | " + " | ".join(f"{of[layer, head]:z.2f}" for of in columns) + " |"
        for layer in range(config.n_layer)
        for head in range(config.n_head)
    )
    text = CARD.format(
        parameters=f"{sum(p.numel() for p in model.parameters()):,}",
        vocabulary=config.vocab_size,
        context=config.n_positions,
        width=config.n_embd,
        inner=config.n_inner,
        steps=f"{STEPS:,}",
        taught=TAUGHT,
        accuracies="\n".join(shares),
        heads=heads,
    )
    (folder / "MODEL_CARD.md").write_text(text, encoding="utf-8")
    return text


CARD = """# induction-mini

A small trained GPT-2 of two layers that does induction on random words: after "... red fish ...
blue boat ... red" it says " fish", whatever pairs of words the prompt has. It knows nothing of
English.

- Architecture: `GPT2LMHeadModel`, 2 layers of 4 heads, d_model {width}, MLPs of {inner} neurons,
  {parameters} parameters (stored as float16, tied embeddings), {context} positions, no dropout.
- Tokenizer: word level, {vocabulary} tokens, of which 96 are words with their leading space; it
  puts `<bos>` in front. Other words are `<unk>`.
- Data: lines of pairs of words, drawn anew for each line from a seed by
  `pathdsl.models.build.induction_mini`, with other words between them. One in five ordered pairs of
  words is never a pair. No data of others.
- Training: {steps} batches; cross-entropy at the first word of a pair that stood before; AdamW,
  seed 0, one processor core, minutes: `python -m pathdsl.models.build.induction_mini FOLDER`.
  **Taught**: in the first {taught} batches the loss also asked a0.h0 to look at the token before
  and the other heads of the first layer at their own, and positions began as sines and cosines.
  Then all were free. That there are such heads is the training's doing; what uses them, and how,
  is not. Not taught, the model had learned nothing of the task after as many batches; with a0.h0
  alone taught (at other sizes of line and step), another head of the layer looked two tokens back,
  and END looked at the word behind the answer. Seeded and deterministic, but another machine or
  version of torch may round otherwise: the shipped weights are the authority. This card: `python -m
  pathdsl.models.build.induction_mini_card`.
- Licence: the same as pathdsl's.

## Accuracy

2,000 prompts each (`mini_induction(take: 2000, seed: 1, split: ...)`), top-1 over the whole
vocabulary. `test`: no pair of the prompt was ever one in training.

| split | top-1 |
|---|---|
{accuracies}

## Heads

500 prompts of `train`. Mean attention to the place so many tokens before, from every place, and
from END; then the fall of `logit(answer) - logit(wrong)` where the head alone has, at all
positions, the value of `prompt_exchanged`, of `prompt_other`.

| head | 0 before | 1 before | 2 before | END to FIRST | END to AFTER | exchanged | other |
|---|---|---|---|---|---|---|---|
{heads}

These are measurements, not a hypothesis.
"""


if __name__ == "__main__":
    command(write_card, __doc__, shipped=DATA / "induction-mini")
