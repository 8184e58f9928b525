"""What is kept of a plain run: the kinds of its values, and of the scales of its norms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pathdsl.graph.model.shape import ModelShape

__all__ = ["OF_MLP", "PLAIN_KINDS", "SCALES", "PlainKind"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainKind:
    """One kind of value that is kept of a plain run, by layer or stage.

    `axes`: those of the value beside its tokens. `stage`: the stage of the stream at which it is
    there. `wide`: kept in float32 where the model's dtype is narrower.
    """

    axes: Callable[[ModelShape], tuple[int, ...]]
    stage: Callable[[int], int]
    wide: bool = False


def _stream(shape: ModelShape) -> tuple[int, ...]:
    return (shape.d_model,)


def _scale(stage: Callable[[int], int]) -> PlainKind:
    """The scale of a norm, one number per token."""
    return PlainKind(axes=lambda shape: (1,), stage=stage, wide=True)


def _after_attention(layer: int) -> int:
    return 2 * layer + 1


def _after_mlp(layer: int) -> int:
    return 2 * layer + 2


PLAIN_KINDS: dict[str, PlainKind] = {
    "input": PlainKind(axes=_stream, stage=lambda number: 0),
    "resid": PlainKind(axes=_stream, stage=lambda stage: stage),
    "head": PlainKind(axes=lambda shape: (shape.n_heads, shape.d_head), stage=_after_attention),
    "attn": PlainKind(axes=_stream, stage=_after_attention),
    "mlp": PlainKind(axes=_stream, stage=_after_mlp),
    "hidden": PlainKind(axes=lambda shape: (shape.d_mlp + 1,), stage=_after_mlp),
    "scale_attention": _scale(_after_attention),
    "scale_after_attention": _scale(_after_attention),
    "scale_mlp": _scale(_after_mlp),
    "scale_after_mlp": _scale(_after_mlp),
    "scale_final": _scale(lambda layer: 2 * layer),
}
"""`head`: of all heads of a layer; `attn`: what they write together. `hidden`: hidden units of an
MLP and, last, whether its output bias is there (1). Scales of norms: before attention, of the
heads' sum, before the MLP, of the MLP's output, and of the final norm (whose layer is the number of
layers)."""

OF_MLP = ("scale_mlp", "scale_after_mlp")
"""Scales of the norms of an MLP, the one behind it last."""
SCALES = tuple(name for name, kind in PLAIN_KINDS.items() if kind.wide)
