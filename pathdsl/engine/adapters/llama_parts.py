"""Which modules a Llama-like model of `transformers` consists of, and what else is refused.

All these families are built of the same children under the same names, each from its own modelling
file: `model.embed_tokens`, `model.layers.N` with `self_attn` and `mlp`, `model.norm`,
`model.rotary_emb`, `lm_head`. A `Build` says where the classes are and which children differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, cast

from torch import nn

from pathdsl.engine.adapters.base import refuse
from pathdsl.engine.adapters.parts import check_parts
from pathdsl.graph.model.shape import SHAPES, ModelShape

__all__ = ["BUILDS", "Build", "check_modules", "shape_of_model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """The children of one family's modules; class names are `prefix` and the part.

    `norms`: of a block; `embedding`: class of the token embedding, "" for `nn.Embedding`.
    """

    file: str
    prefix: str
    model: str = "Model"
    norm: str = "RMSNorm"
    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    projections: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    gates: tuple[str, ...] = ("gate_proj", "up_proj", "down_proj")
    dropouts: tuple[str, ...] = ()
    head_norms: bool = False
    embedding: str = ""

    def modules(self) -> ModuleType:
        """The modelling file of `transformers`."""
        return import_module(f"transformers.models.{self.file}.modeling_{self.file}")

    def part(self, name: str) -> type[nn.Module]:
        """The class of one part, such as `Attention`."""
        found: type[nn.Module] = getattr(self.modules(), self.prefix + name)
        return found

    def wanted(self, n_layers: int) -> Iterator[tuple[str, type[nn.Module]]]:
        """Every module by path, with the class it must be."""
        norm = self.part(self.norm)
        yield "model", self.part(self.model)
        yield "model.embed_tokens", self.part(self.embedding) if self.embedding else nn.Embedding
        yield "model.layers", nn.ModuleList
        yield "model.norm", norm
        yield "model.rotary_emb", self.part("RotaryEmbedding")
        yield "lm_head", nn.Linear
        for layer in range(n_layers):
            block = f"model.layers.{layer}"
            yield block, self.part("DecoderLayer")
            yield f"{block}.self_attn", self.part("Attention")
            yield f"{block}.mlp", self.part("MLP")
            yield from ((f"{block}.self_attn.{name}", nn.Linear) for name in self.projections)
            yield from ((f"{block}.mlp.{name}", nn.Linear) for name in self.gates)
            yield from ((f"{block}.{name}", norm) for name in self.norms)
            yield from ((f"{block}.{name}", nn.Dropout) for name in self.dropouts)
            if self.head_norms:
                yield from ((f"{block}.self_attn.{name}", norm) for name in ("q_norm", "k_norm"))


_AROUND = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)

# model_type of the config -> its modules
BUILDS: dict[str, Build] = {
    "llama": Build(file="llama", prefix="Llama"),
    "mistral": Build(file="mistral", prefix="Mistral"),
    "qwen2": Build(file="qwen2", prefix="Qwen2"),
    "qwen3": Build(file="qwen3", prefix="Qwen3", head_norms=True),
    "smollm3": Build(file="smollm3", prefix="SmolLM3"),
    "olmo": Build(file="olmo", prefix="Olmo", norm="LayerNorm"),
    "olmo2": Build(
        file="olmo2",
        prefix="Olmo2",
        norms=("post_attention_layernorm", "post_feedforward_layernorm"),
        head_norms=True,
    ),
    "phi3": Build(
        file="phi3",
        prefix="Phi3",
        projections=("qkv_proj", "o_proj"),
        gates=("gate_up_proj", "down_proj"),
        dropouts=("resid_attn_dropout", "resid_mlp_dropout"),
    ),
    "gemma": Build(file="gemma", prefix="Gemma", embedding="TextScaledWordEmbedding"),
    "gemma2": Build(
        file="gemma2", prefix="Gemma2", embedding="TextScaledWordEmbedding", norms=_AROUND
    ),
    "gemma3_text": Build(
        file="gemma3",
        prefix="Gemma3",
        model="TextModel",
        embedding="TextScaledWordEmbedding",
        norms=_AROUND,
        head_norms=True,
    ),
}


def shape_of_model(model: nn.Module) -> ModelShape:
    """The shape that the config of a loaded model describes; raises EngineError PD612."""
    config = cast(Any, model).config.to_dict()
    try:
        return SHAPES[str(config["model_type"])](config)
    except ValueError as error:
        raise refuse("PD612", f"the model's config: {error}") from error


def check_modules(model: nn.Module, build: Build, n_layers: int) -> None:
    """Raise where the model is not an unmodified model of that build (PD607, PD612)."""
    whole = build.part("ForCausalLM")
    parts = dict(build.wanted(n_layers))
    check_parts(model, whole, whole.__name__, parts, ("act_fn", "activation_fn"))
