"""Where each step of a plan is needed, from the outputs backwards: dead code is not computed."""

from __future__ import annotations

from collections.abc import Mapping

from pathdsl.plan.masks import FALSE, MaskTable
from pathdsl.plan.steps import (
    AttentionResid,
    Blend,
    HeadCopy,
    HiddenCopy,
    InputResid,
    MlpCopy,
    MlpResid,
    PlainResid,
    Step,
)

__all__ = ["back_masks"]


def back_masks(
    steps: list[Step],
    wanted: Mapping[int, int],
    masks: MaskTable,
) -> tuple[list[int], dict[tuple[int, str, int], int]]:
    """Where each step is needed, given where the outputs read: dead code stays at FALSE.

    Returns (need per step, need per plain value (source, kind, layer) that a blend reads).
    """
    need = [FALSE] * len(steps)
    plain: dict[tuple[int, str, int], int] = {}
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
            case MlpResid(layer=layer, previous=previous, blend=blend, neurons=neurons):
                want(previous, here)
                want_blend(blend, here, "hidden" if neurons else "mlp", layer)
                for _, apart in neurons:
                    want_blend(apart, here, "hidden", layer)
            case HeadCopy(query=query, keys=keys, values=values):
                want(query, here)
                for distances, step in (*keys, *values):
                    want(step, masks.looked_at_by(here, distances))
            case MlpCopy(resid=resid) | HiddenCopy(resid=resid):
                want(resid, here)
            case PlainResid():
                pass
    return need, plain
