"""Measure `ioi-mini` and write its model card (`python -m pathdsl.models.build.ioi_mini_card`).

Every number of the card comes from here: accuracies by split, what each head's removal costs, and
where the heads look. Removal is mean ablation at every position, the mean over the rows' own
`prompt_abc` by template, as in Wang et al. 2022 (arXiv:2211.00593).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2LMHeadModel,
    PreTrainedTokenizerBase,
)

from pathdsl.models import DATA
from pathdsl.models.build.ioi_mini import accuracy
from pathdsl.models.build.training import command
from pathdsl.tasks import get
from pathdsl.tasks.base import Row

__all__ = ["HeadEffect", "head_effects", "run_with", "write_card"]

SPLITS = {
    "train": "pairs of names seen in the pattern",
    "test": "pairs never seen in the pattern (held out)",
    "names": "names never seen in the pattern",
}
LOOKS = (
    ("END", "IO"),
    ("END", "S1"),
    ("END", "S2"),
    ("S2", "S1"),
    ("S2", "S1+1"),
    ("S1+1", "S1"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadEffect:
    """One head: the loss of logit difference without it, and its mean attention, by place."""

    name: str
    loss: float
    attention: dict[str, float]


def _groups(rows: list[Row]) -> list[list[Row]]:
    """The rows of equal template, which align token by token."""
    by_template: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_template[row["template"]].append(row)
    return list(by_template.values())


@torch.no_grad()
def run_with(
    model: GPT2LMHeadModel, ids: Tensor, means: Mapping[int, Tensor], head: int | None = None
) -> tuple[Tensor, dict[int, Tensor]]:
    """Logits at END and every layer's head values (batch, pos, d_model) before the projection.

    `means` replaces the values of one head of its layers.
    """
    seen: dict[int, Tensor] = {}
    width = model.config.n_embd // model.config.n_head

    def hook(layer: int) -> Callable[[torch.nn.Module, tuple[Tensor]], tuple[Tensor]]:
        def before(_module: torch.nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
            values = inputs[0].clone()
            seen[layer] = inputs[0]
            if layer in means and head is not None:
                part = slice(head * width, (head + 1) * width)
                values[..., part] = means[layer][..., part]
            return (values,)

        return before

    handles = [
        model.get_submodule(f"transformer.h.{layer}.attn.c_proj").register_forward_pre_hook(
            hook(layer)
        )
        for layer in range(model.config.n_layer)
    ]
    try:
        return model(ids).logits[:, -1], seen
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def head_effects(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerBase, take: int = 600
) -> list[HeadEffect]:
    """Every head's effect on `test` rows, the largest loss of logit difference first."""
    rows = get("mini_ioi").rows(take=take, seed=2)
    layers, heads = model.config.n_layer, model.config.n_head
    loss = torch.zeros(layers, heads)
    looks: dict[str, Tensor] = defaultdict(lambda: torch.zeros(layers, heads))
    for group in _groups(rows):
        encoded = tokenizer([row["prompt"] for row in group], return_offsets_mapping=True)
        ids = torch.tensor(encoded.input_ids)
        abc = torch.tensor(tokenizer([row["prompt_abc"] for row in group]).input_ids)
        io = torch.tensor(tokenizer.convert_tokens_to_ids([row["io"] for row in group]))
        s = torch.tensor(tokenizer.convert_tokens_to_ids([row["s"] for row in group]))
        at = torch.arange(len(group))
        _, values = run_with(model, abc, {})
        logits, _ = run_with(model, ids, {})
        base = (logits[at, io] - logits[at, s]).sum()
        for layer in range(layers):
            mean = {layer: values[layer].mean(0, keepdim=True)}
            for head in range(heads):
                logits, _ = run_with(model, ids, mean, head)
                loss[layer, head] += base - (logits[at, io] - logits[at, s]).sum()
        # Prompts of one template align, so the first row's places are all rows' places.
        offsets = encoded.offset_mapping[0]
        places = {
            name: next(i for i, (a, b) in enumerate(offsets) if a < end and start < b)
            for name, (start, end) in group[0]["spans"].items()
        }
        patterns = torch.stack(model(ids, output_attentions=True).attentions)
        places |= {"END": ids.shape[1] - 1, "S1+1": places["S1"] + 1}
        for query, key in LOOKS:
            at_places = patterns[:, :, :, places[query], places[key]]  # (layer, batch, head)
            looks[f"{query} to {key}"] += at_places.sum(1)
    effects = [
        HeadEffect(
            name=f"a{layer}.h{head}",
            loss=loss[layer, head].item() / take,
            attention={name: (total[layer, head] / take).item() for name, total in looks.items()},
        )
        for layer in range(layers)
        for head in range(heads)
    ]
    return sorted(effects, key=lambda effect: -abs(effect.loss))


def write_card(folder: Path) -> str:
    """Measure the model in the folder, write its `MODEL_CARD.md` and return the text."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    config = model.config
    lines = []
    for split, what in SPLITS.items():
        found = accuracy(model, tokenizer, split, take=2000)
        lines.append(
            f"| `{split}`: {what} | {found['top1']:.2%} | {found['io_over_s']:.2%} "
            f"| {found['logit_difference']:.2f} |"
        )
    heads = []
    for effect in head_effects(model, tokenizer):
        looks = " | ".join(f"{value:.2f}" for value in effect.attention.values())
        heads.append(f"| {effect.name} | {effect.loss:+.2f} | {looks} |")
    text = CARD.format(
        layers=config.n_layer,
        heads=config.n_head,
        width=config.n_embd,
        inner=config.n_inner,
        parameters=f"{sum(p.numel() for p in model.parameters()):,}",
        vocabulary=config.vocab_size,
        context=config.n_positions,
        accuracies="\n".join(lines),
        effects="\n".join(heads),
    )
    (folder / "MODEL_CARD.md").write_text(text)
    return text


CARD = """# ioi-mini

A small trained GPT-2 that identifies indirect objects: after "Then, Mary and John went to the park.
John gave a book to" it says " Mary". Made to have a circuit worth asking about on a laptop in
seconds; it is no model of English.

- Architecture: `GPT2LMHeadModel`, {layers} layers of {heads} heads, d_model {width}, MLP width
  {inner}, {parameters} parameters (float32, tied embeddings), {context} positions, no dropout.
- Tokenizer: word level, {vocabulary} tokens, leading space part of the word (" Mary"), punctuation
  apart; it puts `<bos>` in front. A name at the very start of a text, or any other word that the
  task does not use, is `<unk>`.
- Data: synthetic stories drawn from a seed by `pathdsl.models.build.ioi_mini`: the fifteen
  templates of the task in both orders with 80 names, 12 places and 12 objects; one in ten of
  these with three different names and either of the first two for the recipient; ten kinds of
  other sentences with all 100 names. No data of others.
- Training: cross-entropy on all tokens, AdamW, seed 0, on a processor, about ten minutes:
  `python -m pathdsl.models.build.ioi_mini FOLDER`. This card: `python -m
  pathdsl.models.build.ioi_mini_card`. Seeded and deterministic, but another machine,
  number of threads or version of torch may round otherwise: the shipped weights are the authority.
- Licence: the same as pathdsl's.

## Accuracy

2,000 prompts each (`mini_ioi(take: 2000, seed: 1, split: ...)`); top-1 is over the whole
vocabulary.

| split | top-1 | IO over S | mean logit(IO) - logit(S) |
|---|---|---|---|
{accuracies}

One pair of names in five is held out: it never stands in the pattern in training, with any place or
object. The twenty names of `names` stand in training only in sentences where no name has to be
avoided because it was repeated; the last line says how far the mechanism carries to them.

## Heads

600 prompts of `test`. Loss: the fall of the mean logit difference when the head alone is replaced
by its mean over `prompt_abc` of the same template, at all positions. The other columns are mean
attention from one place to another (S1+1 is the token after S1).

| head | loss | END to IO | END to S1 | END to S2 | S2 to S1 | S2 to S1+1 | S1+1 to S1 |
|---|---|---|---|---|---|---|---|
{effects}

What stands out is cheaper than the circuit of GPT-2 small: several heads carry both names from the
first clause to END, and two heads of the last layer look at S2 and take that name's logit away. S2
hardly looks at S1, so nothing needs to notice that the name is a repetition.

These are measurements, not a hypothesis: `hypotheses/` holds circuits to judge. A loss near zero
does not say that a head is unused, since others may stand in for it.
"""


if __name__ == "__main__":
    command(write_card, __doc__, shipped=DATA / "ioi-mini")
