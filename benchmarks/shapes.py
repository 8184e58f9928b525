"""The models that the engine is measured on: published shapes, random weights (seed 0), no names.

`gpt2` is GPT-2 small's shape, `small` four layers of four heads, `pythia` Pythia-70m's, `llama` one
with grouped queries, gated MLPs and RMSNorm of about the same size as GPT-2 small, `mixture` the
same with eight experts of half the width, two for a token; `bert` is BERT base's, whose heads see
both ways, and `attention` twelve layers of twelve heads alone, without MLPs and norms. `depth2` to
`depth12` are equal but for their number of layers. `llama1b` is Llama 3.2 1B's, its weights in
bfloat16 as in the published file, `small_llama` one of grouped queries that is as small as `small`,
`mini` that of the bundled `ioi-mini`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .child import result_of

__all__ = ["DEPTHS", "SHAPES", "SHORT", "Shape", "save", "save_apart"]

SHORT = 512
"""Tokens that every shape has positions for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One model to measure on: its config's class name and fields, layers and heads.

    `auto`: the class of `transformers` that makes the model; `own`: whether its config is of the
    project's own family. `reads`: where a metric is read, as a file says it, "" for the last token.
    """

    config: str
    fields: dict[str, Any]
    n_layers: int
    n_heads: int
    d_vocab: int
    mlps: bool = True
    own: bool = False
    auto: str = "AutoModelForCausalLM"
    reads: str = ""


SHAPES = {
    "gpt2": Shape(config="GPT2Config", fields={}, n_layers=12, n_heads=12, d_vocab=50257),
    "small": Shape(
        config="GPT2Config",
        fields={"n_layer": 4, "n_head": 4, "n_embd": 128, "vocab_size": 1000, "n_positions": 512},
        n_layers=4,
        n_heads=4,
        d_vocab=1000,
    ),
    "pythia": Shape(
        config="GPTNeoXConfig",
        fields={
            "num_hidden_layers": 6,
            "num_attention_heads": 8,
            "hidden_size": 512,
            "intermediate_size": 2048,
            "vocab_size": 50304,
            "max_position_embeddings": 2048,
        },
        n_layers=6,
        n_heads=8,
        d_vocab=50304,
    ),
    "llama": Shape(
        config="LlamaConfig",
        fields={
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "num_key_value_heads": 4,
            "hidden_size": 768,
            "intermediate_size": 2048,
            "vocab_size": 32000,
            "max_position_embeddings": 1024,
        },
        n_layers=12,
        n_heads=12,
        d_vocab=32000,
    ),
}
_LLAMA = SHAPES["llama"]
SHAPES["mixture"] = Shape(
    config="MixtralConfig",
    fields={
        **_LLAMA.fields,
        "intermediate_size": _LLAMA.fields["intermediate_size"] // 2,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
    },
    n_layers=_LLAMA.n_layers,
    n_heads=_LLAMA.n_heads,
    d_vocab=_LLAMA.d_vocab,
)
SHAPES["bert"] = Shape(
    config="BertConfig",
    fields={},
    n_layers=12,
    n_heads=12,
    d_vocab=30522,
    auto="AutoModelForMaskedLM",
    reads="@[7]",
)
SHAPES["attention"] = Shape(
    config="ToyConfig",
    fields={
        "n_layers": 12,
        "n_heads": 12,
        "d_model": 768,
        "d_head": 64,
        "n_ctx": 1024,
        "d_vocab": 32000,
        "attn_only": True,
        "normalization_type": None,
    },
    n_layers=12,
    n_heads=12,
    d_vocab=32000,
    mlps=False,
    own=True,
)

DEPTHS = (2, 4, 8, 12)
for _depth in DEPTHS:  # equal but for their depth, so that only it is measured
    SHAPES[f"depth{_depth}"] = Shape(
        config="GPT2Config",
        fields={
            "n_layer": _depth,
            "n_head": 4,
            "n_embd": 256,
            "vocab_size": 1000,
            "n_positions": 512,
        },
        n_layers=_depth,
        n_heads=4,
        d_vocab=1000,
    )

SHAPES["llama1b"] = Shape(
    config="LlamaConfig",
    fields={
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": True,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        "dtype": "bfloat16",
    },
    n_layers=16,
    n_heads=32,
    d_vocab=128256,
)
SHAPES["small_llama"] = Shape(
    config="LlamaConfig",
    fields={
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_size": 128,
        "intermediate_size": 256,
        "vocab_size": 1000,
        "max_position_embeddings": 512,
    },
    n_layers=4,
    n_heads=4,
    d_vocab=1000,
)

SHAPES["mini"] = Shape(
    config="GPT2Config",
    fields={
        "n_layer": 4,
        "n_head": 4,
        "n_embd": 128,
        "n_inner": 256,
        "vocab_size": 194,
        "n_positions": 512,
    },
    n_layers=4,
    n_heads=4,
    d_vocab=194,
)


def save(name: str, into: Path, device: str = "cpu", length: int = 0) -> Path:
    """A `save_pretrained` folder of one shape; made once, in `into`.

    Weights are drawn on the device, which is fast for a large model; other devices draw others.
    `length`: of the longest prompt; where a table of positions is shorter, a longer one is made.
    """
    import torch
    import transformers

    folder = _folder(name, into, length)
    if not (folder / "model.safetensors").is_file():
        shape = SHAPES[name]
        torch.manual_seed(0)
        if shape.own:
            from pathdsl.engine.toy.model import ToyConfig as made
        else:
            made = getattr(transformers, shape.config)
        config = made(**shape.fields)
        if length > SHORT:
            config.max_position_embeddings = length
        with torch.device(device):
            model = getattr(transformers, shape.auto).from_config(config)
        model.save_pretrained(folder)
    return folder


def save_apart(name: str, into: Path, device: str = "cpu", length: int = 0) -> Path:
    """The same made by a process of its own: this one's memory does not grow by it."""
    folder = _folder(name, into, length)
    if not (folder / "model.safetensors").is_file():
        made = {"name": name, "into": str(into), "device": device, "length": length}
        result_of("benchmarks.shapes", made, f"the weights of `{name}`")
    return folder


def _folder(name: str, into: Path, length: int) -> Path:
    return into / (name if length <= SHORT else f"{name}-{length}")


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(str(save(asked.pop("name"), Path(asked.pop("into")), **asked))))
