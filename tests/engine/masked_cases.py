"""A BERT that is trained in seconds to predict, at the mask, the word that stands behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

WORDS = [f"w{i}" for i in range(6)]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
AT = 3
"""Where the mask stands: behind `[CLS]` and two words."""


def tokenizer() -> PreTrainedTokenizerFast:
    """Words to tokens, `[CLS]` in front of a text and `[SEP]` behind it."""
    ids = {word: i for i, word in enumerate([*SPECIAL, *WORDS])}
    made = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ("pad", "unk", "cls", "sep", "mask")
    given: dict[str, Any] = {f"{n}_token": t for n, t in zip(names, SPECIAL, strict=True)}
    return PreTrainedTokenizerFast(tokenizer_object=made, **given)


def prompts(rows: int, seed: int, words: int = 5) -> torch.Tensor:
    """(rows, words + 2) token ids, the mask at `AT`, among random words."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(len(SPECIAL), len(SPECIAL) + len(WORDS), (rows, words + 2),
                        generator=generator)  # fmt: skip
    ids[:, 0], ids[:, -1], ids[:, AT] = 2, 3, 4
    return ids


def trained(folder: Path, steps: int = 120) -> None:
    """Trains the model and saves it, with its tokenizer and rows, in `folder`."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS), hidden_size=32, intermediate_size=32,
        num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=16,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = BertForMaskedLM(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(steps):
        ids = prompts(64, step)
        loss = torch.nn.functional.cross_entropy(model(ids).logits[:, AT], ids[:, AT + 1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    words = [*SPECIAL, *WORDS]
    rows = []
    for number, (one, other) in enumerate(zip(prompts(60, 1000), prompts(60, 2000), strict=True)):
        other[AT + 1] = len(SPECIAL) + (int(one[AT + 1]) - len(SPECIAL) + 1) % len(WORDS)
        texts = (" ".join(words[i] for i in ids[1:-1]) for ids in (one, other))
        row = dict(zip(("prompt", "other"), texts, strict=True))
        row |= {"id": str(number), "answer": words[one[AT + 1]], "wrong": words[other[AT + 1]]}
        rows.append(json.dumps(row))
    (folder / "rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


FILE = """circuit ahead "The word behind the mask" {
  language   = 1
  hypothesis = looks_ahead
}

model bert = folder("%s")

task masked {
  data      = jsonl("rows.jsonl")
  reference = prompt
  treated   = other
  positions = [MASK]
}

group heads @MASK = { a0.h[0..1] }

path looks_ahead = input@MASK+1 -[v: offset(+1)]-> heads ~> logits
path looks_back  = input@MASK-1 -[v: prev]-> heads ~> logits

metric LD @MASK: logits = logit(answer) - logit(wrong)

claim ahead: faithfulness(looks_ahead, metric: LD) >= 90%% at 95%% confidence
claim back:  faithfulness(looks_back, metric: LD)  >= 50%% at 95%% confidence expect refuted
claim does:  accuracy(reference, answer: answer, metric: LD) >= 90%% at 95%% confidence
"""
