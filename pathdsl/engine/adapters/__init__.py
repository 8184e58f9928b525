"""The adapters by block structure: `adapter_for(model)` takes a loaded model apart, or refuses.

The registry names the `model_type` of a config; modules are imported when their family is asked
for. A family that is not here is refused by name, never approximated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from pathdsl.engine.adapters.base import Adapter, refuse, refuse_foreign
from pathdsl.engine.adapters.split import split

if TYPE_CHECKING:
    import torch

__all__ = ["FAMILIES", "Adapter", "Family", "adapter_for", "fuses"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Where the adapter of one `model_type` is.

    `fuses`: its scores are a scaled product of queries and keys and nothing else, which is what
    torch's fused attention computes. (GPT-Neo and GPT-J take them in float32 whatever the dtype,
    Gemma 2 caps them, GPT-OSS and Granite SWA have sinks.)
    """

    module: str
    adapter: str
    fuses: bool = True


_LLAMA = Family(module="llama", adapter="LlamaAdapter")
_MIXTURE = Family(module="mixtures", adapter="MixtureAdapter")

# By the model_type of the config, as in `pathdsl.graph.model.shape.SHAPES`.
FAMILIES: dict[str, Family] = {
    "gpt2": Family(module="gpt2", adapter="Gpt2Adapter"),
    "gpt_neo": Family(module="gptneo", adapter="GptNeoAdapter", fuses=False),
    "gptj": Family(module="gptj", adapter="GptJAdapter", fuses=False),
    "gpt_neox": Family(module="neox", adapter="NeoxAdapter"),
    "opt": Family(module="opt", adapter="OptAdapter"),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "smollm3": _LLAMA,
    "olmo": Family(module="olmo", adapter="OlmoAdapter"),
    "olmo2": Family(module="olmo", adapter="Olmo2Adapter"),
    "phi3": Family(module="phi3", adapter="Phi3Adapter"),
    "gemma": Family(module="gemma", adapter="GemmaAdapter"),
    "gemma2": Family(module="gemma", adapter="Gemma2Adapter", fuses=False),
    "gemma3_text": Family(module="gemma", adapter="Gemma3Adapter"),
    "mixtral": _MIXTURE,
    "qwen2_moe": _MIXTURE,
    "qwen3_moe": _MIXTURE,
    "olmoe": Family(module="mixtures", adapter="OlmoeAdapter"),
    "gpt_oss": Family(module="sinks", adapter="GptOssAdapter", fuses=False),
    "granite_swa": Family(module="sinks", adapter="GraniteSwaAdapter", fuses=False),
    "llama4_text": Family(module="llama4", adapter="Llama4Adapter"),
}


def fuses(config: Mapping[str, object]) -> bool:
    """Whether torch's fused attention computes what a model of this config does."""
    family = FAMILIES.get(str(config.get("model_type")))
    return family is not None and family.fuses and not config.get("reorder_and_upcast_attn")


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
    family = FAMILIES[kind]
    module = import_module(f"{__name__}.{family.module}")
    adapter: Adapter = getattr(module, family.adapter)(model)
    adapter.fused = fused
    return split(adapter, model) if getattr(model, "hf_device_map", None) else adapter
