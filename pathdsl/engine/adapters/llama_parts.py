"""Which modules a model of a family of the table consists of, and what else is refused.

All these families have the same children: `model.layers.N` with `self_attn` and `mlp`,
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
from pathdsl.graph.model.shape import SHAPES, ModelShape

__all__ = ["check_modules", "class_of", "shape_of_model"]


def class_of(build: Build, name: str) -> type[nn.Module]:
    """The class of one part, such as `Attention`; `nn.` and a name is one of torch."""
    if name.startswith("nn."):
        found: type[nn.Module] = getattr(nn, name.removeprefix("nn."))
        return found
    file = import_module(f"transformers.models.{build.file}.modeling_{build.file}")
    found = getattr(file, build.prefix + name)
    return found


def modules_of(
    build: Build, shape: ModelShape, config: Mapping[str, object]
) -> Iterator[tuple[str, type[nn.Module]]]:
    """Every module by path, with the class it must be."""
    yield "model", class_of(build, build.model)
    yield "model.embed_tokens", class_of(build, build.embedding)
    yield "model.layers", nn.ModuleList
    yield f"model.{build.final}", class_of(build, build.norm)
    yield "model.rotary_emb", class_of(build, "RotaryEmbedding")
    yield "lm_head", nn.Linear
    inside = dict(_of_layer(build, shape, config))
    for layer in range(shape.n_layers):
        yield from ((f"model.layers.{layer}{name}", kind) for name, kind in inside.items())


def _of_layer(
    build: Build, shape: ModelShape, config: Mapping[str, object]
) -> Iterator[tuple[str, type[nn.Module]]]:
    attention, mlp = ".self_attn", ".mlp"
    yield "", class_of(build, "DecoderLayer")
    yield attention, class_of(build, "Attention")
    yield mlp, class_of(build, "MLP")
    for name in (build.query, build.key, build.value, build.fused, build.out):
        if name:
            yield f"{attention}.{name}", nn.Linear
    for name in (build.gate, build.up, build.gate_up, build.down):
        if name:
            yield f"{mlp}.{name}", nn.Linear
    for name in build.norms_in(config):
        yield f".{name}", class_of(build, build.norm)
    if build.head_norms is not None and build.norms_heads(config):
        counts = shape.n_heads, shape.n_groups
        for name, count in zip(build.head_norms.names, counts, strict=True):
            yield f"{attention}.{name}", class_of(build, build.head_norms.norm)
            if build.head_norms.over == "list":
                yield f"{attention}.{name}.norms", nn.ModuleList
                for head in range(count):
                    yield f"{attention}.{name}.norms.{head}", nn.LayerNorm


def shape_of_model(model: nn.Module) -> ModelShape:
    """The shape that the config of a loaded model describes; raises EngineError PD612."""
    config = cast(Any, model).config.to_dict()
    try:
        return SHAPES[str(config["model_type"])](config)
    except ValueError as error:
        raise refuse("PD612", f"the model's config: {error}") from error


def check_modules(model: nn.Module, build: Build, shape: ModelShape) -> None:
    """Raise where the model is not an unmodified model of that build (PD607, PD612)."""
    whole = class_of(build, "ForCausalLM")
    parts = dict(modules_of(build, shape, cast(Any, model).config.to_dict()))
    check_parts(model, whole, whole.__name__, parts, (build.activation,))
