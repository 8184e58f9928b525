"""Which modules a model of a family of the table consists of, and what else is refused.

All these families have the same children: `model.layers.N` with `self_attn` and an MLP,
`model.embed_tokens`, `model.rotary_emb` and `lm_head`; `pathdsl.graph.model.builds.Build` names the
rest, each class from the family's own modelling file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, cast

from torch import nn

from pathdsl.engine.adapters.base import refuse
from pathdsl.engine.adapters.parts import check_parts
from pathdsl.graph.model.builds import Build
from pathdsl.graph.model.families import SHAPES
from pathdsl.graph.model.shape import ModelShape

__all__ = ["check_modules", "class_of", "shape_of_model"]


def class_of(build: Build, name: str) -> type[nn.Module]:
    """The class of one part, such as `Attention`; `nn.` and a name is one of torch."""
    if name.startswith("nn."):
        found: type[nn.Module] = getattr(nn, name.removeprefix("nn."))
        return found
    return _class(build, build.prefix + name)


def _class(build: Build, name: str) -> type[nn.Module]:
    file = import_module(f"transformers.models.{build.file}.modeling_{build.file}")
    found: type[nn.Module] = getattr(file, name)
    return found


def modules_of(
    build: Build, shape: ModelShape, config: Mapping[str, object]
) -> Iterator[tuple[str, type[nn.Module]]]:
    """Every module by path, with the class it must be."""
    yield "model", class_of(build, build.model)
    yield "model.embed_tokens", class_of(build, build.embedding)
    yield "model.layers", nn.ModuleList
    yield f"model.{build.final}", class_of(build, build.norm)
    yield "model.rotary_emb", class_of(build, build.rotary)
    yield "lm_head", nn.Linear
    kinds = [(shape.routes(layer), shape.recurs(layer)) for layer in range(shape.n_layers)]
    inside = {kind: dict(_of_layer(build, shape, config, *kind)) for kind in {*kinds}}
    for layer, kind_of in enumerate(kinds):
        of_layer = inside[kind_of]
        yield from ((f"model.layers.{layer}{name}", kind) for name, kind in of_layer.items())


def _of_layer(
    build: Build, shape: ModelShape, config: Mapping[str, object], routes: bool, recurs: bool
) -> Iterator[tuple[str, type[nn.Module]]]:
    mlp = f".{build.mlp}"
    yield "", class_of(build, "DecoderLayer")
    yield from _of_mixture(build, mlp) if routes else _of_mlp(build, mlp)
    for name in build.norms_in(config):
        yield f".{name}", class_of(build, build.norm)
    yield from _of_delta_net(build) if recurs else _of_attention(build, shape, config)


def _of_delta_net(build: Build) -> Iterator[tuple[str, type[nn.Module]]]:
    yield ".linear_attn", class_of(build, "GatedDeltaNet")
    yield ".linear_attn.conv1d", nn.Conv1d
    yield ".linear_attn.norm", class_of(build, "RMSNormGated")
    for name in (*build.delta_inputs, "out_proj"):
        yield f".linear_attn.{name}", nn.Linear


def _of_attention(
    build: Build, shape: ModelShape, config: Mapping[str, object]
) -> Iterator[tuple[str, type[nn.Module]]]:
    attention = ".self_attn"
    yield attention, class_of(build, "Attention")
    for name in (build.query, build.key, build.value, build.fused, build.out):
        if name:
            yield f"{attention}.{name}", nn.Linear
    if build.head_norms is not None and build.norms_heads(config):
        counts = shape.n_heads, shape.n_groups
        for name, count in zip(build.head_norms.names, counts, strict=True):
            yield f"{attention}.{name}", class_of(build, build.head_norms.norm)
            if build.head_norms.over == "list":
                yield f"{attention}.{name}.norms", nn.ModuleList
                for head in range(count):
                    yield f"{attention}.{name}.norms.{head}", nn.LayerNorm


def _of_mlp(build: Build, path: str) -> Iterator[tuple[str, type[nn.Module]]]:
    yield path, class_of(build, "MLP")
    for name in (build.gate, build.up, build.gate_up, build.down):
        if name:
            yield f"{path}.{name}", nn.Linear


def _of_mixture(build: Build, path: str) -> Iterator[tuple[str, type[nn.Module]]]:
    routed = build.routed
    assert routed is not None, build.prefix
    yield path, class_of(build, routed.block)
    yield f"{path}.{routed.router}", _class(build, routed.router_class)
    yield f"{path}.experts", class_of(build, "Experts")
    if routed.shared:
        yield from _of_mlp(build, f"{path}.{routed.shared}")
    if routed.shared_gate:
        yield f"{path}.{routed.shared_gate}", nn.Linear


def _own(build: Build, shape: ModelShape) -> Iterator[str]:
    """Weights that are neither `weight` nor `bias` of a leaf: stacked experts, sinks of heads."""
    stacked = () if build.routed is None else build.routed.stacked
    for layer in range(shape.n_layers):
        if shape.recurs(layer):
            yield from (f"model.layers.{layer}.linear_attn.{name}" for name in ("dt_bias", "A_log"))
        if build.sinks:
            yield f"model.layers.{layer}.self_attn.sinks"
        if shape.routes(layer):
            yield from (f"model.layers.{layer}.{build.mlp}.experts.{name}" for name in stacked)


def shape_of_model(model: nn.Module) -> ModelShape:
    """The shape that the config of a loaded model describes; raises EngineError PD612."""
    config = cast(Any, model).config.to_dict()
    try:
        return SHAPES[str(config["model_type"])](config)
    except ValueError as error:
        raise refuse("PD612", f"the model's config: {error}") from error


def check_modules(
    model: nn.Module, build: Build, shape: ModelShape, also: Mapping[str, type[nn.Module]]
) -> None:
    """Raise where the model is not an unmodified model of that build (PD607, PD612).

    `also`: modules that only some configs of the family have, by path.
    """
    whole = _class(build, f"{build.whole or build.prefix}ForCausalLM")
    parts = {**dict(modules_of(build, shape, cast(Any, model).config.to_dict())), **also}
    activations = {build.activation} if build.routed is None else {build.activation, "act_fn"}
    check_parts(model, whole, whole.__name__, parts, sorted(activations), (*_own(build, shape),))
