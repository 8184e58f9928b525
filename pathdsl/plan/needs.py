"""Where each step is needed: dead code, and positions that nothing reads, are not computed.

Walks the steps backwards from where the outputs read (semantics.md section 3, rule 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pathdsl.plan.masks import FALSE, MaskTable
from pathdsl.plan.steps import (
    AttentionResid,
    Blend,
    HeadCopy,
    InputResid,
    JoinResid,
    MlpCopy,
    MlpResid,
    PlainResid,
    Step,
)

PlainNeed = dict[tuple[int, str, int], int]


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
            case AttentionResid(layer=layer, previous=previous, heads=heads):
                want(previous, here)
                whole = one_source(heads, here, masks)
                if whole is not None and not constant(whole):
                    want_blend(((whole, here),), here, "attn", layer)
                else:
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
            case JoinResid(parts=parts):
                for step, mask in parts:
                    if (both := masks.both(mask, here)) != FALSE:
                        want(step, both)
            case PlainResid():
                pass
    return need, plain


def one_source(heads: Sequence[Blend], where: int, masks: MaskTable) -> int | None:
    """The plain source that every head of a layer is read from at `where`, if it is one."""
    found = {
        source for blend in heads for source, mask in blend if masks.both(mask, where) != FALSE
    }
    if len(found) == 1 and (source := next(iter(found))) < 0:
        return source
    return None
