"""Measure `attention-mini` and write its card (`python -m … [FOLDER]`).

Every number of the card comes from here. A head's loss is the fall of the logit difference when the
head alone takes, at every position, the value that it has on the paired prompt.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from pathdsl.engine.toy.model import ToyModel
from pathdsl.models import DATA
from pathdsl.models.build.attention_mini import STEPS, TASKS, TAUGHT, Patterns, accuracy
from pathdsl.models.build.training import command
from pathdsl.tasks import get

TAKE = 2000
MEASURED = 500
PAIRED = {
    "mini_induction": ("prompt_exchanged", "prompt_other"),
    "mini_docstring": ("prompt_next", "prompt_order", "prompt_exchanged", "prompt_random"),
}
LOOKS = {
    "mini_induction": (("AFTER", "FIRST"), ("END", "AFTER")),
    "mini_docstring": (("C_DEF", "B_DEF"), ("END", "B_DOC"), ("END", "C_DEF")),
}

__all__ = ["Measured", "write_card"]


class Measured:
    """What the heads of a model do on one task, rows of `train` that training did not draw."""

    def __init__(
        self, model: ToyModel, tokenizer: PreTrainedTokenizerBase, task: str, take: int = MEASURED
    ) -> None:
        self.model, self.tokenizer, self.task = model, tokenizer, task
        self.rows = get(task).rows(take=take, seed=2, split="train")
        self.right, self.wrong = (
            torch.tensor(tokenizer.convert_tokens_to_ids([row[column] for row in self.rows]))
            for column in ("answer", "wrong")
        )
        self.every = torch.arange(take)

    def ids(self, column: str) -> Tensor:
        """The token ids of a column, (rows, pos)."""
        return self.tokenizer([row[column] for row in self.rows], return_tensors="pt").input_ids

    def places(self, name: str) -> Tensor:
        """The token of a position, (rows,)."""
        if name == "END":
            return torch.full_like(self.every, self.ids("prompt").shape[1] - 1)
        found = self.tokenizer([row["prompt"] for row in self.rows])
        starts = [row["spans"][name][0] for row in self.rows]
        return torch.tensor([found.char_to_token(row, at) for row, at in enumerate(starts)])

    @torch.no_grad()
    def looks(self) -> dict[str, Tensor]:
        """Mean attention of each head, (layer, head), from places of the task to others."""
        kept = [Patterns(self.model, layer) for layer in range(self.model.spec.n_layers)]
        self.model(self.ids("prompt"))
        patterns = torch.stack([one() for one in kept])  # (layer, row, head, pos, pos)
        return {
            f"{one} to {other}": patterns[
                :, self.every, :, self.places(one), self.places(other)
            ].mean(0)
            for one, other in LOOKS[self.task]
        }

    def difference(self, ids: Tensor) -> float:
        """The mean logit difference at the end."""
        logits = self.model(ids).logits[:, -1]
        return float((logits[self.every, self.right] - logits[self.every, self.wrong]).mean())

    @torch.no_grad()
    def losses(self, paired: str) -> Tensor:
        """What each head's value from the paired prompt costs, (layer, head)."""
        spec, values = self.model.spec, []
        outputs = [self.model.get_submodule(f"blocks.{i}.attn.o") for i in range(spec.n_layers)]
        keeping = [
            part.register_forward_pre_hook(lambda _part, given: values.append(given[0].clone()))
            for part in outputs
        ]
        self.model(self.ids(paired))
        for hook in keeping:
            hook.remove()
        reference = self.ids("prompt")
        whole = self.difference(reference)
        found = torch.zeros(spec.n_layers, spec.n_heads)
        for layer, part in enumerate(outputs):
            for head in range(spec.n_heads):
                here = slice(head * spec.d_head, (head + 1) * spec.d_head)

                def other(_part, given, here=here, value=values[layer]):
                    heads = given[0].clone()
                    heads[..., here] = value[..., here]
                    return (heads,)

                hook = part.register_forward_pre_hook(other)
                found[layer, head] = whole - self.difference(reference)
                hook.remove()
        return found


def _table(columns: dict[str, Tensor]) -> str:
    """Heads by columns, each (layer, head)."""
    layers, heads = next(iter(columns.values())).shape
    lines = [f"| head | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [
        f"| a{layer}.h{head} | "
        + " | ".join(f"{of[layer, head]:z.2f}" for of in columns.values())
        + " |"
        for layer in range(layers)
        for head in range(heads)
    ]
    return "\n".join(lines)


def write_card(folder: Path) -> str:
    """Measure the model in the folder, write its `MODEL_CARD.md` and return the text."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    spec = model.spec
    tables = {}
    for task in TASKS:
        of = Measured(model, tokenizer, task)
        columns = of.looks()
        columns |= {name.removeprefix("prompt_"): of.losses(name) for name in PAIRED[task]}
        tables[task] = _table(columns)
    text = CARD.format(
        layers=spec.n_layers,
        heads=spec.n_heads,
        parameters=f"{sum(p.numel() for p in model.parameters()):,}",
        vocabulary=spec.d_vocab,
        context=spec.n_ctx,
        width=spec.d_model,
        steps=f"{STEPS:,}",
        taught=TAUGHT,
        accuracies="\n".join(
            f"| `{task}` | `{split}` | {accuracy(model, tokenizer, task, split, TAKE):.1%} |"
            for task in TASKS
            for split in ("test", "train")
        ),
        **tables,
    )
    (folder / "MODEL_CARD.md").write_text(text, encoding="utf-8")
    return text


CARD = """# attention-mini

A small trained model of attention alone, without MLPs, for two tasks. After "... red fish ... blue
boat ... red" it says " fish", whatever pairs of words the prompt has; in a docstring that has
described the arguments up to "fish" of "def keep(self, red, fish, boat):" it goes on with " boat".
It knows nothing of English or of Python.

- Architecture: a toy model of pathdsl (`pathdsl_toy`), {layers} layers of {heads} heads, d_model
  {width}, no MLPs, no biases, LayerNorm without weights, {parameters} parameters (stored as
  float16), {context} positions, learned, added to what queries and keys read and to nothing else
  (`shortformer`).
- Tokenizer: word level, {vocabulary} tokens, of which 96 are words with their leading space and
  seven the marks of a definition and its docstring; it puts `<bos>` in front. Other words are
  `<unk>`.
- Data: one batch in three is of lines of pairs of words, those of `induction-mini`; the others are
  of methods of four to six arguments with docstrings, drawn anew from a seed by
  `pathdsl.models.build.attention_mini`. One in five ordered pairs of words is never a pair, nor two
  arguments that follow each other. No data of others.
- Training: {steps} batches; cross-entropy at the first word of a pair that stood before, and at
  every `:param` but the first; AdamW, seed 0, one processor core, minutes:
  `python -m pathdsl.models.build.attention_mini FOLDER`. **Taught**: in the first {taught} batches
  the loss also asked a0.h0 to look at the token before and the other heads of the first layer at
  their own, and positions began as sines and cosines. Then all were free. That there is a
  previous-token head is the training's doing; that it looks two tokens back in a definition, where
  a comma stands between, and what the others do in a docstring, is not. Not taught, the model had
  learned nothing of induction after 300 batches; of two layers and not three, nothing of docstrings
  after 1,200. Seeded and deterministic, but another machine or version of torch may round
  otherwise: the shipped weights are the authority. This card: `python -m
  pathdsl.models.build.attention_mini_card`.
- Licence: the same as pathdsl's.

## Accuracy

2,000 prompts each (`take: 2000, seed: 1, split: ...`), top-1 over the whole vocabulary. `test`: no
pair of the prompt, and no two arguments that follow each other, ever did so in training.

| task | split | top-1 |
|---|---|---|
{accuracies}

## Heads

500 prompts of `train` each. Mean attention from one place to another; then the fall of
`logit(answer) - logit(wrong)` where the head alone has, at all positions, the value of another
prompt of the task: that of `prompt_exchanged`, and so on.

`mini_induction`:

{mini_induction}

`mini_docstring`:

{mini_docstring}

These are measurements, not a hypothesis.
"""


if __name__ == "__main__":
    command(write_card, __doc__, shipped=DATA / "attention-mini")
