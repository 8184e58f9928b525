"""Which modules a Llama-like model of `transformers` consists of, and what else is refused.

All these families are built of the same children under the same names, each from its own modelling
file: `model.embed_tokens`, `model.layers.N` with `self_attn` and `mlp`, `model.norm`,
`model.rotary_emb`, `lm_head`. A `Build` says where the classes are and which children differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Any, cast

from torch import nn

from pathdsl.engine.adapters.base import refuse
from pathdsl.engine.adapters.parts import check_parts
from pathdsl.graph.model.shape import SHAPES, ModelShape

__all__ = ["BUILDS", "Build", "check_modules", "shape_of_model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """The children of an MLP that routes; class names are the prefix and the part.

    `shared`: an MLP that every token uses, and `shared_gate` the linear map whose sigmoid gates it;
    "" where there is none. `router_class`: the whole name, "" for the usual one. `own`: parameters
    of the experts.
    """

    block: str = "SparseMoeBlock"
    router: str = "gate"
    router_class: str = ""
    shared: str = ""
    shared_gate: str = ""
    own: tuple[str, ...] = ("gate_up_proj", "down_proj")


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """The children of one family's modules; class names are `prefix` and the part.

    `norms`: of a block; `embedding`: class of the token embedding, "" for `nn.Embedding`. `whole`:
    class of the model with its unembedding, where it has another prefix. `mlp`: name of an MLP;
    `routed`: what a mixture of experts is made of. `own`: part -> parameters of modules of that
    class that are neither weight nor bias.
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
    whole: str = ""
    mlp: str = "mlp"
    routed: Routed | None = None
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def modules(self) -> ModuleType:
        """The modelling file of `transformers`."""
        return import_module(f"transformers.models.{self.file}.modeling_{self.file}")

    def part(self, name: str) -> type[nn.Module]:
        """The class of one part, such as `Attention`."""
        found: type[nn.Module] = getattr(self.modules(), self.prefix + name)
        return found

    def causal(self) -> type[nn.Module]:
        """The class of the whole model."""
        found: type[nn.Module] = getattr(self.modules(), f"{self.whole or self.prefix}ForCausalLM")
        return found

    def parameters(self) -> dict[str, tuple[str, ...]]:
        """Class name -> parameters that are neither weight nor bias."""
        found = {self.prefix + part: names for part, names in self.own.items()}
        if self.routed is not None:
            found[self.prefix + "Experts"] = self.routed.own
        return found

    def wanted(self, shape: ModelShape) -> Iterator[tuple[str, type[nn.Module]]]:
        """Every module by path, with the class it must be."""
        norm = self.part(self.norm)
        yield "model", self.part(self.model)
        yield "model.embed_tokens", self.part(self.embedding) if self.embedding else nn.Embedding
        yield "model.layers", nn.ModuleList
        yield "model.norm", norm
        yield "model.rotary_emb", self.part("RotaryEmbedding")
        yield "lm_head", nn.Linear
        for layer in range(shape.n_layers):
            block = f"model.layers.{layer}"
            mlp = f"{block}.{self.mlp}"
            yield block, self.part("DecoderLayer")
            yield f"{block}.self_attn", self.part("Attention")
            yield from self._mixture(mlp) if shape.routes(layer) else self._mlp(mlp)
            yield from ((f"{block}.self_attn.{name}", nn.Linear) for name in self.projections)
            yield from ((f"{block}.{name}", norm) for name in self.norms)
            yield from ((f"{block}.{name}", nn.Dropout) for name in self.dropouts)
            if self.head_norms:
                yield from ((f"{block}.self_attn.{name}", norm) for name in ("q_norm", "k_norm"))

    def _mlp(self, path: str) -> Iterator[tuple[str, type[nn.Module]]]:
        yield path, self.part("MLP")
        yield from ((f"{path}.{name}", nn.Linear) for name in self.gates)

    def _mixture(self, path: str) -> Iterator[tuple[str, type[nn.Module]]]:
        routed = self.routed
        assert routed is not None, self.prefix
        yield path, self.part(routed.block)
        router = routed.router_class or f"{self.prefix}TopKRouter"
        yield f"{path}.{routed.router}", getattr(self.modules(), router)
        yield f"{path}.experts", self.part("Experts")
        if routed.shared:
            yield from self._mlp(f"{path}.{routed.shared}")
        if routed.shared_gate:
            yield f"{path}.{routed.shared_gate}", nn.Linear


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
    "mixtral": Build(file="mixtral", prefix="Mixtral", routed=Routed()),
    "qwen2_moe": Build(
        file="qwen2_moe",
        prefix="Qwen2Moe",
        routed=Routed(shared="shared_expert", shared_gate="shared_expert_gate"),
    ),
    "qwen3_moe": Build(file="qwen3_moe", prefix="Qwen3Moe", head_norms=True, routed=Routed()),
    "olmoe": Build(file="olmoe", prefix="Olmoe", head_norms=True, routed=Routed()),
    "gpt_oss": Build(
        file="gpt_oss",
        prefix="GptOss",
        routed=Routed(
            block="MLP",
            router="router",
            own=("gate_up_proj", "gate_up_proj_bias", "down_proj", "down_proj_bias"),
        ),
        own={"Attention": ("sinks",)},
    ),
    "granite_swa": Build(file="granite_swa", prefix="GraniteSWA", own={"Attention": ("sinks",)}),
    "llama4_text": Build(
        file="llama4",
        prefix="Llama4Text",
        whole="Llama4",
        mlp="feed_forward",
        routed=Routed(
            block="Moe", router="router", router_class="Llama4Router", shared="shared_expert"
        ),
    ),
}


def shape_of_model(model: nn.Module) -> ModelShape:
    """The shape that the config of a loaded model describes; raises EngineError PD612."""
    config = cast(Any, model).config.to_dict()
    try:
        return SHAPES[str(config["model_type"])](config)
    except ValueError as error:
        raise refuse("PD612", f"the model's config: {error}") from error


def check_modules(
    model: nn.Module,
    build: Build,
    shape: ModelShape,
    also: Mapping[str, type[nn.Module]] = MappingProxyType({}),
) -> None:
    """Raise where the model is not an unmodified model of that build (PD607, PD612).

    `also`: modules that hang on the config, by path.
    """
    whole = build.causal()
    parts = {**dict(build.wanted(shape)), **also}
    activations = ("act_fn", "activation_fn")
    check_parts(model, whole, whole.__name__, parts, activations, build.parameters())
