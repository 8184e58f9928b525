"""Where the values of a plan are needed, given where its outputs read: everything else is dead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pathdsl.graph.shape import ModelShape
from pathdsl.plan.masks import FALSE, MaskTable
from pathdsl.plan.steps import (
    REFERENCE,
    AttentionResid,
    Blend,
    HeadCopy,
    InputResid,
    MlpCopy,
    MlpResid,
    PlainResid,
    Step,
)

__all__ = ["PlainKey", "back_masks", "scale_masks"]

PlainKey = tuple[int, str, int]
"""(source, kind, layer) of a value of a plain run."""


def back_masks(
    steps: Sequence[Step], wanted: Mapping[int, int], masks: MaskTable
) -> tuple[list[int], dict[PlainKey, int]]:
    """Where each step is needed, given where the outputs read: dead code stays at FALSE.

    Returns (need per step, need per plain value (source, kind, layer) that a blend reads).
    """
    need = [FALSE] * len(steps)
    plain: dict[PlainKey, int] = {}
    for step, mask in wanted.items():
        need[step] = masks.either(need[step], mask)

    def want(step: int, mask: int) -> None:
        need[step] = masks.either(need[step], mask)

    def want_blend(blend: Blend, mask: int, kind: str, layer: int) -> None:
        for source, where in blend:
            both = masks.both(where, mask)
            if both == FALSE:
                continue
            if source >= 0:
                want(source, both)
            else:
                key = (source, kind, layer)
                plain[key] = masks.either(plain.get(key, FALSE), both)

    for number in range(len(steps) - 1, -1, -1):
        here = need[number]
        if here == FALSE:
            continue
        match steps[number]:
            case InputResid(blend=blend):
                want_blend(blend, here, "input", 0)
            case AttentionResid(layer=layer, previous=previous, heads=heads):
                want(previous, here)
                for blend in heads:
                    want_blend(blend, here, "head", layer)
            case MlpResid(layer=layer, previous=previous, blend=blend):
                want(previous, here)
                want_blend(blend, here, "mlp", layer)
            case HeadCopy(query=query, keys=keys, values=values):
                want(query, here)
                for distances, step in (*keys, *values):
                    want(step, masks.looked_at_by(here, distances))
            case MlpCopy(resid=resid):
                want(resid, here)
            case PlainResid():
                pass
    return need, plain


def scale_masks(
    steps: Sequence[Step], need: Sequence[int], final: int, shape: ModelShape, masks: MaskTable
) -> dict[PlainKey, int]:
    """Where frozen norms need scales of the reference run; empty without a frozen step.

    `need` is that of `back_masks`, `final` the mask at which the final norm is frozen. A copy norms
    the whole of every step that it reads, so its scales are needed where those steps are.
    """
    found: dict[PlainKey, int] = {}

    def want(kind: str, layer: int, mask: int) -> None:
        if mask != FALSE:
            key = (REFERENCE, kind, layer)
            found[key] = masks.either(found.get(key, FALSE), mask)

    for step, here in zip(steps, need, strict=True):
        if here == FALSE:
            continue
        match step:
            case HeadCopy(layer=layer, query=query, keys=keys, values=values, frozen=True):
                for read in (query, *(number for _, number in (*keys, *values))):
                    want("scale_attention", layer, need[read])
            case AttentionResid(layer=layer, frozen=True):
                want("scale_after_attention", layer, here)
            case MlpCopy(layer=layer, frozen=True):
                want("scale_mlp", layer, here)
                if shape.norm_after_attention:  # all such families norm what the MLP writes, too
                    want("scale_after_mlp", layer, here)
            case _:
                pass
    want("scale_final", shape.n_layers, final)
    return found
