"""The four runs of the repair of colored objects are those of hooks on the unmodified model."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

import pathdsl
from pathdsl import tasks
from tests.tasks.test_generators import ROOT, tokenizer_of

FILE = ROOT / "hypotheses" / "gpt2_medium" / "colored_objects.circuit"
ROWS, WIDTH, HEADS = 4, 32, 16
BLOCKS = {"inhibit": ((12, 3), (13, 4), (13, 13)), "negate": ((19, 1),)}


def file_of(folder: Path) -> Path:
    """The published file on the folder's model, with a logit difference for each run."""
    text = FILE.read_text().partition("let whole")[0]
    text = text.replace('hf("openai-community/gpt2-medium", dtype: float32)',
                        'folder("model", dtype: float64)')  # fmt: skip
    text = text.replace("take: 300", f"take: {ROWS}")
    for name, run in {"none": "", "inhibit": " with inhibit", "negate": " with negate",
                      "all": " with [inhibit, negate]"}.items():  # fmt: skip
        text += f"\nlet by_{name}: logits = mean(LD(reference{run}))\n"
    (folder / "repair.circuit").write_text(text)
    return folder / "repair.circuit"


def difference(model: Any, tokenizer: Any, blocks: tuple[str, ...]) -> float:
    """The mean logit difference where the blocks' heads average the values at the wrong colors."""
    found = []
    size = WIDTH // HEADS
    for row in tasks.get("colored_objects").rows(take=ROWS):
        coded = tokenizer.encode(row["prompt"], add_special_tokens=False)
        wrong = [
            place
            for start, end in row["spans"]["WRONG"]
            for place, (a, b) in enumerate(coded.offsets)
            if a < end and start < b
        ]
        assert len(wrong) == 2
        with ExitStack() as hooks:
            for layer, head in itertools.chain.from_iterable(BLOCKS[name] for name in blocks):
                attn, seen = model.transformer.h[layer].attn, {}
                columns = slice(head * size, (head + 1) * size)

                def keep(_m: Any, _i: Any, out: Tensor, seen: dict = seen) -> None:
                    seen["v"] = out[..., 2 * WIDTH :]

                def look(
                    _m: Any, args: Any, seen: dict = seen, columns: slice = columns,
                    wrong: list = wrong,
                ) -> Any:  # fmt: skip
                    z = args[0].clone()
                    z[:, -1, columns] = seen["v"][:, wrong, columns].mean(1)
                    return (z,)

                for handle in (attn.c_attn.register_forward_hook(keep),
                               attn.c_proj.register_forward_pre_hook(look)):  # fmt: skip
                    hooks.callback(handle.remove)
            logits = model(torch.tensor([coded.ids])).logits[0, -1]
        answer, other = (tokenizer.token_to_id("Ġ" + row[c].strip()) for c in ("answer", "wrong"))
        found.append(float(logits[answer] - logits[other]))
    return sum(found) / len(found)


def test_the_repair_is_what_hooks_do(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("gpt2")
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=24, n_head=HEADS, n_embd=WIDTH, n_positions=64, initializer_range=0.3,
        attn_implementation="eager",
    )  # fmt: skip
    model: Any = GPT2LMHeadModel(config).double().eval()
    model.save_pretrained(tmp_path / "model")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(tmp_path / "model")
    path = file_of(tmp_path)
    found = pathdsl.check(path)
    values = {name: found[name].estimate for name in
              ("by_none", "by_inhibit", "by_negate", "by_all")}  # fmt: skip
    with torch.no_grad():
        wanted = {
            "by_none": difference(model, tokenizer, ()),
            "by_inhibit": difference(model, tokenizer, ("inhibit",)),
            "by_negate": difference(model, tokenizer, ("negate",)),
            "by_all": difference(model, tokenizer, ("inhibit", "negate")),
        }
    assert values == pytest.approx(wanted, abs=1e-9)
    assert len({round(value, 6) for value in wanted.values()}) == 4
