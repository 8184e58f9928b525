"""The adapters by block structure: `adapter_for(model)` takes a loaded model apart, or refuses.

The registry names the `model_type` of a config; modules are imported when their family is asked
for. A family that is not here is refused by name, never approximated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from pathdsl.engine.adapters.base import Adapter, refuse, refuse_foreign
from pathdsl.engine.adapters.split import split

if TYPE_CHECKING:
    import torch

__all__ = ["FAMILIES", "Adapter", "adapter_for", "fuses"]

# model_type of the config -> module and class of the adapter
FAMILIES: dict[str, tuple[str, str]] = {
    "gpt2": ("pathdsl.engine.adapters.gpt2", "Gpt2Adapter"),
    "gpt_neo": ("pathdsl.engine.adapters.gptneo", "GptNeoAdapter"),
    "gptj": ("pathdsl.engine.adapters.gptj", "GptJAdapter"),
    "gpt_neox": ("pathdsl.engine.adapters.neox", "NeoxAdapter"),
    "opt": ("pathdsl.engine.adapters.opt", "OptAdapter"),
    "llama": ("pathdsl.engine.adapters.llama", "LlamaAdapter"),
    "mistral": ("pathdsl.engine.adapters.llama", "LlamaAdapter"),
    "qwen2": ("pathdsl.engine.adapters.llama", "LlamaAdapter"),
    "qwen3": ("pathdsl.engine.adapters.llama", "LlamaAdapter"),
    "smollm3": ("pathdsl.engine.adapters.llama", "LlamaAdapter"),
    "olmo": ("pathdsl.engine.adapters.olmo", "OlmoAdapter"),
    "olmo2": ("pathdsl.engine.adapters.olmo", "Olmo2Adapter"),
    "phi3": ("pathdsl.engine.adapters.phi3", "Phi3Adapter"),
    "gemma": ("pathdsl.engine.adapters.gemma", "GemmaAdapter"),
    "gemma2": ("pathdsl.engine.adapters.gemma", "Gemma2Adapter"),
    "gemma3_text": ("pathdsl.engine.adapters.gemma", "Gemma3Adapter"),
}


# Families whose scores are a scaled product of queries and keys and nothing else. GPT-Neo and GPT-J
# take them in float32 whatever the dtype, Gemma 2 caps them, so these keep their own way.
_FUSED = frozenset(FAMILIES) - {"gpt_neo", "gptj", "gemma2"}


def fuses(config: Mapping[str, object]) -> bool:
    """Whether torch's fused attention computes what a model of this config does."""
    return config.get("model_type") in _FUSED and not config.get("reorder_and_upcast_attn")


def adapter_for(model: torch.nn.Module, *, fused: bool = False) -> Adapter:
    """The adapter of a loaded `transformers` model, with fused attention for models that `fuses`.

    Raises EngineError PD607 where no adapter knows the architecture, and what the adapter itself
    refuses (PD608, PD612, PD618).
    """
    refuse_foreign(model)
    kind = str(getattr(getattr(model, "config", None), "model_type", "") or "")
    if kind not in FAMILIES:
        raise refuse(
            "PD607",
            f"no adapter for `{type(model).__name__}` (model type `{kind or 'unknown'}`)",
            notes=(f"supported model types: {', '.join(f'`{name}`' for name in FAMILIES)}",),
        )
    module, name = FAMILIES[kind]
    make: Callable[[torch.nn.Module], Adapter] = getattr(import_module(module), name)
    adapter = make(model)
    adapter.fused = fused
    return split(adapter, model) if getattr(model, "hf_device_map", None) else adapter
