"""Where each step is needed: dead code, and positions that nothing reads, are not computed.

Walks the steps backwards from where the outputs read (docs/semantics.md, Exact evaluation).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import assert_never

from pathdsl.graph.model.shape import ModelShape
from pathdsl.plan.masks import FALSE, MaskTable
from pathdsl.plan.steps import (
    NOTHING,
    OF_MLP,
    PLAIN_KINDS,
    REFERENCE,
    ActedHeadCopy,
    AttentionResid,
    Blend,
    Frozen,
    FrozenTo,
    HeadCopy,
    HeadsWrite,
    HiddenCopy,
    InputResid,
    JoinResid,
    MlpCopy,
    MlpResid,
    PlainResid,
    RecurrentCopy,
    ScaleCopy,
    Step,
    ValueCopy,
    frozen_kinds,
    keys_frozen,
    parts_of,
)

__all__ = ["PlainNeed", "back_masks", "lent", "plain_write", "settled_masks", "stages_read"]

PlainNeed = dict[tuple[int, str, int], int]
"""(source, kind, layer) of a value of a plain run to the mask of tokens where it is read."""


def settled_masks(
    steps: list[Step],
    wanted: Mapping[int, int],
    masks: MaskTable,
    constant: Callable[[int], bool],
    finals: Iterable[tuple[int, Frozen]],
    shape: ModelShape,
) -> tuple[list[int], PlainNeed]:
    """`back_masks` with the scales that frozen norms need, and with what these need.

    `finals`: the masks at which final norms are frozen, and to what.
    """
    wanted, finals = dict(wanted), list(finals)
    while True:
        need, plain = back_masks(steps, wanted, masks, constant)
        scales, copies = scale_masks(steps, need, finals, shape, masks)
        missing = {n: mask for n, mask in copies.items() if masks.without(mask, need[n]) != FALSE}
        if not missing:
            return need, plain | scales
        for number, mask in missing.items():
            wanted[number] = masks.either(wanted.get(number, FALSE), mask)


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
            case RecurrentCopy(values=values):
                for distances, step in values:
                    want(step, masks.looked_at_by(here, distances))
            case MlpCopy(resid=resid, given=given):
                want(resid, here)
                want_blend(given, here, "input", 0)
            case HiddenCopy(resid=resid):
                want(resid, here)
            case ScaleCopy(layer=layer, resid=resid, heads=heads, given=given):
                if resid != NOTHING:
                    want(resid, here)
                want_blend(given, here, "input", 0)
                for blend in heads:
                    want_blend(blend, here, "head", layer)
            case JoinResid(parts=parts):
                for step, mask in parts:
                    if (both := masks.both(mask, here)) != FALSE:
                        want(step, both)
            case PlainResid():
                pass
    return need, plain


def stages_read(
    steps: Sequence[Step], need: Sequence[int], plain: Mapping[tuple[int, str, int], int]
) -> PlainNeed:
    """Values of plain runs that blends read, `plain`, and the stages of them that steps are."""
    found = dict(plain)
    for step, here in zip(steps, need, strict=True):
        if isinstance(step, PlainResid) and here != FALSE:
            found[step.source, "resid", step.stage] = here
    return found


def lent(
    reads: PlainNeed, reached: Mapping[int, Sequence[int]], masks: MaskTable
) -> dict[tuple[str, int], int]:
    """Values of the reference run for which a treated run stands in, with its source.

    Where both are equal either will do. So the reference run stops behind the last layer that is
    read of it where it differs from some treated run, `reached`, if that one goes on anyway.
    """
    stages: dict[int, dict[tuple[str, int], int]] = {}
    for source, kind, layer in reads:
        of = stages.setdefault(source, {})
        of[kind, layer] = (PLAIN_KINDS[kind].stage(layer) + 1) // 2  # layers to go through
    own = stages.get(REFERENCE, {})
    best: dict[tuple[str, int], int] = {}
    for source, where in reached.items():
        if max(stages.get(source, {}).values(), default=0) < max(own.values(), default=0):
            continue
        least = 0
        for (kind, layer), layers in own.items():
            told = masks.both(reads[REFERENCE, kind, layer], where[min(2 * layers, len(where) - 1)])
            if told != FALSE:
                least = max(least, layers)
        found = {key: source for key, layers in own.items() if layers > least}
        best = found if len(found) > len(best) else best
    return best


def plain_write(step: AttentionResid, where: int, masks: MaskTable) -> int | None:
    """The plain source whose whole attention write this is at `where`, if every head is its own.

    A frozen norm after attention has the reference run's scale, so the write of a treated run is
    another one there; under an intervention even that of the reference run may be.
    """
    found = {
        source for blend in step.heads for source, mask in blend if masks.both(mask, where) != FALSE
    }
    if len(found) != 1 or (source := next(iter(found))) >= 0:
        return None
    if isinstance(step.frozen, FrozenTo) or (step.frozen and source != REFERENCE):
        return None
    return source


def scale_masks(
    steps: Sequence[Step], need: Sequence[int], finals: Iterable[tuple[int, Frozen]],
    shape: ModelShape, masks: MaskTable,
) -> tuple[PlainNeed, dict[int, int]]:  # fmt: skip
    """Where frozen norms need scales of the reference run, and by number which `ScaleCopy` steps.

    `need` is that of `back_masks`. A copy norms the whole of every step that it reads, so its
    scales are needed where those steps are.
    """
    found: PlainNeed = {}
    copies: dict[int, int] = {}

    def want(kind: str, layer: int, mask: int, frozen: Frozen) -> None:
        blend = frozen.blend(kind) if isinstance(frozen, FrozenTo) else ((REFERENCE, mask),)
        for source, where in blend:
            if (both := masks.both(where, mask)) == FALSE:
                continue
            if source >= 0:
                copies[source] = masks.either(copies.get(source, FALSE), both)
            else:
                key = (REFERENCE, kind, layer)
                found[key] = masks.either(found.get(key, FALSE), both)

    for step, here in zip(steps, need, strict=True):
        if here == FALSE:
            continue
        match step:
            case (
                HeadCopy(frozen=False) | AttentionResid(frozen=False) | HeadsWrite(frozen=False)
                | HiddenCopy(frozen=False) | MlpCopy(frozen=False) | RecurrentCopy(frozen=False)
            ):  # fmt: skip
                pass  # with norms of its own
            case HeadCopy(layer=layer, query=query, keys=keys, values=values, frozen=to):
                for part, _ in parts_of(steps, query):
                    want("scale_attention", layer, need[part], to)
                entry = shape.entry(layer, "k")
                for _, read in (*keys, *values):
                    for part, _ in parts_of(steps, read):
                        want("scale_attention", entry, need[part], keys_frozen(to))
            case RecurrentCopy(layer=layer, values=values, frozen=to):
                for _, read in values:
                    for part, _ in parts_of(steps, read):
                        want("scale_attention", layer, need[part], to)
            case AttentionResid(layer=layer, frozen=to) | HeadsWrite(layer=layer, frozen=to):
                want("scale_after_attention", layer, here, to)
            case HiddenCopy(layer=layer, frozen=to):
                want("scale_mlp", layer, here, to)
            case MlpCopy(layer=layer, frozen=to):
                for kind in frozen_kinds(to, mlp_scales(shape)):
                    want(kind, layer, here, to)
            case PlainResid() | InputResid() | MlpResid() | JoinResid() | ValueCopy() | ScaleCopy():
                pass
            case unknown:
                assert_never(unknown)
    for mask, to in finals:
        want("scale_final", shape.n_layers, mask, to)
    return found, copies


def mlp_scales(shape: ModelShape) -> tuple[str, ...]:
    """Kinds of the norms of an MLP as a whole."""
    # All families with a norm behind attention norm what the MLP writes, too.
    return OF_MLP[: 1 + shape.norm_after_attention + bool(shape.per_layer_input)]
