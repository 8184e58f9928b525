"""The adapters by block structure: `adapter_for(model)` takes a loaded model apart, or refuses.

The registry names the `model_type` of a config; modules are imported when their family is asked
for. A family that is not here is refused by name, never approximated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from pathdsl.engine.adapters.base import Adapter, refuse, refuse_foreign
from pathdsl.engine.adapters.split import split
from pathdsl.graph.model.builds import BUILDS
from pathdsl.graph.model.toy import plain_attention

if TYPE_CHECKING:
    import torch

__all__ = [
    "FAMILIES", "Adapter", "Family", "adapter_for", "announce", "fuses", "implementation",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Where the adapter of one `model_type` is.

    `fuses`: its scores are a scaled product of queries and keys and nothing else, which is what
    torch's fused attention computes. (GPT-Neo and GPT-J take them in float32 whatever the dtype,
    Gemma 2 caps them, BLOOM and MPT add a bias by position, GPT-OSS and Granite SWA have sinks,
    heads of Qwen 3.5 gates.)
    `not_eager`: the switch of a config with which eager attention of `transformers` is not that of
    the model that was trained, so that the model's own forward pass is by `sdpa`. (Falcon's adds
    ALiBi twice.) Its scores are then no product alone.
    `auto`: the class of `transformers` that loads it with its unembedding.
    `reference`: the module of pathdsl with its whole model, where `transformers` has none.
    """

    module: str
    adapter: str
    fuses: bool
    not_eager: str = ""
    auto: str = "AutoModelForCausalLM"
    reference: str = ""


_MASKED = "AutoModelForMaskedLM"

# By the model_type of the config, as in `pathdsl.graph.model.families.SHAPES`.
FAMILIES: dict[str, Family] = {
    "gpt2": Family(module="gpt2", adapter="Gpt2Adapter", fuses=True),
    "gpt_neo": Family(module="gptneo", adapter="GptNeoAdapter", fuses=False),
    "gptj": Family(module="gptj", adapter="GptJAdapter", fuses=False),
    "gpt_neox": Family(module="neox", adapter="NeoxAdapter", fuses=True),
    "opt": Family(module="opt", adapter="OptAdapter", fuses=True),
    "falcon": Family(module="falcon", adapter="FalconAdapter", fuses=True, not_eager="alibi"),
    "bloom": Family(module="bloom", adapter="BloomAdapter", fuses=False),
    "mpt": Family(module="mpt", adapter="MptAdapter", fuses=False),
    "gemma4_text": Family(module="gemma4", adapter="Gemma4Adapter", fuses=True),
    "bert": Family(module="bert", adapter="BertAdapter", fuses=True, auto=_MASKED),
    "roberta": Family(module="bert", adapter="RobertaAdapter", fuses=True, auto=_MASKED),
    "modernbert": Family(
        module="modernbert", adapter="ModernBertAdapter", fuses=True, auto=_MASKED
    ),
    "pathdsl_toy": Family(
        module="toy", adapter="ToyAdapter", fuses=True, reference="pathdsl.engine.toy.model"
    ),
    "modernbert-decoder": Family(
        module="modernbert_decoder", adapter="ModernBertDecoderAdapter", fuses=True
    ),
    **{
        name: Family(module="llama", adapter="LlamaAdapter", fuses=not build.score_cap)
        for name, build in BUILDS.items()
    },
    **{
        name: Family(module="mixtures", adapter="MixtureAdapter", fuses=True)
        for name, build in BUILDS.items()
        if build.mixture is not None
    },
    "gpt_oss": Family(module="sinks", adapter="GptOssAdapter", fuses=False),
    "granite_swa": Family(module="sinks", adapter="GraniteSwaAdapter", fuses=False),
    "llama4_text": Family(module="llama4", adapter="Llama4Adapter", fuses=True),
    "qwen3_5_text": Family(module="qwen35", adapter="Qwen35Adapter", fuses=False),
    "qwen3_5_moe_text": Family(module="qwen35", adapter="Qwen35MoeAdapter", fuses=False),
    "qwen3_next": Family(module="qwen35", adapter="Qwen3NextAdapter", fuses=False),
}


def announce(config: Mapping[str, object] | None) -> None:
    """Make a family of pathdsl's own known to `transformers`, before it is asked for its model.

    All of them where there is no config yet.
    """
    kind = None if config is None else str(config.get("model_type"))
    for name, family in FAMILIES.items():
        if family.reference and kind in (None, name):
            import_module(family.reference)


def fuses(config: Mapping[str, object]) -> bool:
    """Whether torch's fused attention computes what a model of this config does."""
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None or not family.fuses or config.get(family.not_eager):
        return False
    if config.get("reorder_and_upcast_attn"):
        return False
    return not family.reference or plain_attention(config)


def implementation(config: Mapping[str, object], *, fused: bool) -> str:
    """The attention of `transformers` with which a model of this config is loaded."""
    family = FAMILIES.get(str(config.get("model_type")))
    never_eager = family is not None and bool(config.get(family.not_eager))
    return "sdpa" if fused or never_eager else "eager"


def adapter_for(model: torch.nn.Module, *, fused: bool = False) -> Adapter:
    """The adapter of a loaded model, with fused attention where that is asked for and it `fuses`.

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
    adapter.fused = fused and fuses(cast(Any, model).config.to_dict())
    return split(adapter, model) if getattr(model, "hf_device_map", None) else adapter
