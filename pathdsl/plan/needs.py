"""Where each step is needed: dead code, and positions that nothing reads, are not computed.

Walks the steps backwards from where the outputs read (docs/semantics.md, Exact evaluation).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

from pathdsl.graph.model.shape import ModelShape
from pathdsl.plan.masks import FALSE, MaskTable
from pathdsl.plan.steps import (
    NOTHING,
    REFERENCE,
    ActedHeadCopy,
    AttentionResid,
    Blend,
    HeadCopy,
    HeadsWrite,
    HiddenCopy,
    InputResid,
    JoinResid,
    MlpCopy,
    MlpResid,
    PlainResid,
    Step,
    ValueCopy,
    parts_of,
)

__all__ = ["PlainNeed", "back_masks", "plain_write", "scale_masks"]

PlainNeed = dict[tuple[int, str, int], int]
"""(source, kind, layer) of a value of a plain run to the mask of tokens where it is read."""


def back_masks(
    steps: list[Step],
    wanted: Mapping[int, int],
    masks: MaskTable,
    constant: Callable[[int], bool],
) -> tuple[list[int], PlainNeed]:
    """Where each step is needed, given where the outputs read: dead code stays at FALSE.

    `constant`: whether a source is no run but a table of constants. Returns (need per step, need
    per plain value (source, kind, layer) that a blend reads).
    """
    need = [FALSE] * len(steps)
    plain: PlainNeed = {}
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
            case AttentionResid(layer=layer, previous=previous, heads=heads) as written:
                want(previous, here)
                whole = plain_write(written, here, masks)
                if whole is not None and not constant(whole):
                    want_blend(((whole, here),), here, "attn", layer)
                else:
                    for blend in heads:
                        want_blend(blend, here, "head", layer)
            case MlpResid(layer=layer, previous=previous, blend=blend, neurons=neurons):
                if previous != NOTHING:
                    want(previous, here)
                want_blend(blend, here, "hidden" if neurons else "mlp", layer)
                for _, apart in neurons:
                    want_blend(apart, here, "hidden", layer)
            case HeadsWrite(layer=layer, blends=blends, beside=beside):
                for blend in beside or blends:
                    want_blend(blend, here, "head", layer)
            case ValueCopy(place=place, of=of, blend=blend, terms=terms):
                want_blend(blend, here, of.kind, of.layer)
                for _, added in terms:
                    want_blend(added, here, place.kind, place.layer)
            case HeadCopy(query=query, keys=keys, values=values) as head:
                if isinstance(head, ActedHeadCopy):
                    for act in head.acts:
                        if act.pattern >= 0:
                            want(act.pattern, masks.both(here, act.queries))
                want(query, here)
                for distances, step in (*keys, *values):
                    want(step, masks.looked_at_by(here, distances))
            case MlpCopy(resid=resid) | HiddenCopy(resid=resid):
                want(resid, here)
            case JoinResid(parts=parts):
                for step, mask in parts:
                    if (both := masks.both(mask, here)) != FALSE:
                        want(step, both)
            case PlainResid():
                pass
    return need, plain


def plain_write(step: AttentionResid, where: int, masks: MaskTable) -> int | None:
    """The plain source whose whole attention write this is at `where`, if every head is its own.

    A frozen norm after attention has the reference run's scale, so the write of a treated run is
    another one there.
    """
    found = {
        source for blend in step.heads for source, mask in blend if masks.both(mask, where) != FALSE
    }
    if len(found) != 1 or (source := next(iter(found))) >= 0:
        return None
    return None if step.frozen and source != REFERENCE else source


def scale_masks(
    steps: Sequence[Step], need: Sequence[int], final: int, shape: ModelShape, masks: MaskTable
) -> PlainNeed:
    """Where frozen norms need scales of the reference run; empty without a frozen step.

    `need` is that of `back_masks`, `final` the mask at which the final norm is frozen. A copy norms
    the whole of every step that it reads, so its scales are needed where those steps are.
    """
    found: PlainNeed = {}

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
                    for part, _ in parts_of(steps, read):
                        want("scale_attention", layer, need[part])
            case AttentionResid(layer=layer, frozen=True) | HeadsWrite(layer=layer, frozen=True):
                want("scale_after_attention", layer, here)
            case HiddenCopy(layer=layer, frozen=True):
                want("scale_mlp", layer, here)
            case MlpCopy(layer=layer, frozen=True):
                want("scale_mlp", layer, here)
                if shape.norm_after_attention:  # all such families norm what the MLP writes, too
                    want("scale_after_mlp", layer, here)
            case PlainResid() | InputResid() | MlpResid() | JoinResid() | ValueCopy():
                pass
            case HeadCopy() | AttentionResid() | HeadsWrite() | HiddenCopy() | MlpCopy():
                pass  # with norms of its own
            case unknown:
                assert_never(unknown)
    want("scale_final", shape.n_layers, final)
    return found
