"""The model of text inside one that reads images or sound, by its config and its weights' names.

A prompt of text goes through nothing but that part: `gemma3` is then the `gemma3_text` that its
`text_config` describes, with weights that lie under `language_model`. `transformers` has a class
for each such part, and that is what is loaded, proved and taken apart; weights of the other parts
are not read. No torch.

    >>> language_part({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}})[PART]
    'gemma3'
    >>> language_name("model.language_model.layers.0.mlp.up_proj.weight")
    'model.layers.0.mlp.up_proj.weight'
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["PART", "RENAMED", "WHOLES", "language_name", "language_part"]

PART = "part_of"
"""The field of a config that says which model it is a part of."""

_GEMMA3 = {
    "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
    "num_attention_heads": 8, "vocab_size": 262208, "max_position_embeddings": 131072,
}  # fmt: skip
_MISTRAL = {
    "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "vocab_size": 32000, "max_position_embeddings": 131072,
}  # fmt: skip
_QWEN35 = {
    "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 32,
    "num_attention_heads": 16, "vocab_size": 248320, "max_position_embeddings": 32768,
}  # fmt: skip
WHOLES: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "gemma3": {"gemma3_text": _GEMMA3},
    "gemma4": {"gemma4_text": {**_GEMMA3, "num_hidden_layers": 30, "vocab_size": 262144}},
    "qwen3_5": {"qwen3_5_text": _QWEN35},
    "qwen3_5_moe": {
        "qwen3_5_moe_text": {
            "hidden_size": 2048, "num_hidden_layers": 40, "num_attention_heads": 16,
            "vocab_size": 248320, "max_position_embeddings": 32768,
        },
    },
    "mistral3": {
        "mistral": _MISTRAL,
        "ministral3": {**_MISTRAL, "num_hidden_layers": 34, "vocab_size": 131072,
                       "max_position_embeddings": 262144},
    },
    "llama4": {
        "llama4_text": {
            "hidden_size": 5120, "intermediate_size": 8192, "num_hidden_layers": 48,
            "num_attention_heads": 40, "vocab_size": 202048, "max_position_embeddings": 131072,
        },
    },
}  # fmt: skip
"""Models whose part for text is taken, by model type: the kinds of that part, each with the sizes
that it has where its config is silent. Configs of such models leave out what is usual."""

_ABOVE = ("quantization_config", "compression_config", "auto_map")
"""Fields that may stand in the whole config alone."""

RENAMED: Mapping[str, str] = {r"^language_model\.": "", r"^model\.language_model\.": "model."}
"""Names of weights in the whole model and in its part, as patterns of `re.sub`."""


def language_part(config: dict[str, Any]) -> dict[str, Any]:
    """The config of the part that reads text, for configs of `WHOLES`; any other as it is."""
    whole, text = str(config.get("model_type")), config.get("text_config")
    if whole not in WHOLES or not isinstance(text, Mapping):
        return config
    # A part that does not say its type is of the first kind, as `transformers` makes it.
    kind = str(text.get("model_type") or next(iter(WHOLES[whole])))
    usual = WHOLES[whole].get(kind)
    if usual is None:
        return config
    above = {name: config[name] for name in _ABOVE if config.get(name) is not None}
    own = {name: value for name, value in text.items() if value is not None}
    return {**usual, **above, **own, "model_type": kind, PART: whole}


def language_name(name: str) -> str | None:
    """What a weight of the whole model is called in its part for text; None where it is of none."""
    for pattern, instead in RENAMED.items():
        if re.match(pattern, name):
            return re.sub(pattern, instead, name)
    return name if name.startswith("lm_head.") else None
