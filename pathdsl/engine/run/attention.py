"""Attention of head copies whose keys and values come from several streams.

A relation (`-[k: prev]->`) makes a head read one version of its keys at one distance and another
elsewhere; a stream that is a plain run's at some positions and a copy's own at others gives two
versions too. Every (query, key) pair belongs to exactly one *class*: a set of distances, a set of
key positions, a key step, a value step. The versions are laid side by side along the key axis, and
a mask shows each query the right version of each key. One softmax over the side-by-side axis is
then the exact softmax over the keys.

Keys and values of plain runs are shared by all copies of a head: they are projected once, and the
queries of all copies go through one product with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter, Slot
from pathdsl.engine.run.projections import Projected, Wanted
from pathdsl.engine.run.sites import Padded, Sites
from pathdsl.plan.masks import MaskTable
from pathdsl.plan.outputs import Plan
from pathdsl.plan.steps import ActedHeadCopy, HeadAct, HeadCopy, PlainResid, parts_of

MAX_SCORES = 1 << 25
"""Entries of the score matrices that are in memory at once (128 MiB in float32)."""

OWN = -1
"""In a class: each copy has a key (or value) step of its own."""


class KeyClass(NamedTuple):
    """One class of a group: distances, key positions, and the plain steps that all copies share."""

    distances: int
    mask: int
    key: int
    value: int


class Reads(NamedTuple):
    """What one copy reads: (step, mask) of its query, and (key step, value step) for each class."""

    number: int
    head: int
    query: tuple[tuple[int, int], ...]
    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadGroup:
    """Copies of one layer with equal needs and classes: one batched attention.

    Where keys or values are shared, all copies are of one head.
    """

    copies: tuple[Reads, ...]
    need: int
    classes: tuple[KeyClass, ...]
    want_pattern: bool
    acts: tuple[HeadAct, ...]

    def projections(self) -> Iterator[Wanted]:
        """Every projection that the group uses."""
        for copy in self.copies:
            for step, mask in copy.query:
                yield Wanted("q", step, mask, copy.head)
            for part, (key, value) in zip(self.classes, copy.pairs, strict=True):
                yield Wanted("k", key, part.mask, copy.head)
                yield Wanted("v", value, part.mask, copy.head)

    def chunks(self, sites: Sites) -> Iterator[HeadGroup]:
        """The group cut so that its scores fit into the working memory."""
        n_keys = sum(sites.padded(part.mask).index.shape[1] for part in self.classes)
        rectangle = sites.padded(self.need).index
        each = max(rectangle.numel() * n_keys, 1)
        size = max(MAX_SCORES // each, 1)
        for start in range(0, len(self.copies), size):
            yield replace(self, copies=self.copies[start : start + size])


def group_heads(
    plan: Plan, numbers: Sequence[int], patterns: Mapping[int, int], sites: Sites
) -> list[HeadGroup]:
    """Copies of one layer gathered into groups that one batched attention serves.

    Classes in which no query of this batch has a key are left out: their keys are not there. Every
    query keeps the class of its own position.
    """
    masks, steps = plan.masks, plan.steps

    def shared(step: int) -> int:
        return step if isinstance(steps[step], PlainResid) else OWN

    found: dict[tuple[int, int, tuple[KeyClass, ...], bool, tuple[HeadAct, ...]], list[Reads]] = {}
    for number in numbers:
        step, need = steps[number], plan.need[number]
        assert isinstance(step, HeadCopy)
        classes, pairs = [], []
        for distances, seen, key_read, value_read in _distance_classes(step, need, masks):
            for key, key_mask in parts_of(steps, key_read):
                for value, value_mask in parts_of(steps, value_read):
                    mask = masks.both(masks.both(seen, key_mask), value_mask)
                    if sites.count(mask):
                        classes.append(KeyClass(distances, mask, shared(key), shared(value)))
                        pairs.append((key, value))
        query = tuple(
            (part, both)
            for part, mask in parts_of(steps, step.query)
            if sites.count(both := masks.both(mask, need))
        )
        whose = step.head if any(c.key != OWN or c.value != OWN for c in classes) else OWN
        acts = step.acts if isinstance(step, ActedHeadCopy) else ()
        key_of_group = (need, whose, tuple(classes), number in patterns, acts)
        found.setdefault(key_of_group, []).append(Reads(number, step.head, query, tuple(pairs)))
    return [
        HeadGroup(copies=tuple(copies), need=need, classes=classes, want_pattern=wanted, acts=acts)
        for (need, _, classes, wanted, acts), copies in found.items()
    ]


def _distance_classes(
    step: HeadCopy, need: int, masks: MaskTable
) -> Iterator[tuple[int, int, int, int]]:
    """(distances, keys that a query sees at them, key step, value step)."""
    for key_set, key in step.keys:
        for value_set, value in step.values:
            distances = key_set
            if key_set != value_set:
                both = masks.distances(key_set) & masks.distances(value_set)
                if not both.any():
                    continue
                distances = masks.distance_set(both)
            yield distances, masks.looked_at_by(need, distances), key, value


def attend_group(
    adapter: Adapter,
    layer: int,
    group: HeadGroup,
    projected: Projected,
    sites: Sites,
    masks: MaskTable,
    pattern_of: Callable[[int], Tensor | None],
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor] | None]:
    """Outputs (copies, tokens of need, d_head) and, if wanted, patterns.

    A pattern is (weights (copies, rows, queries, keys), query positions (rows, queries) with -1
    where there is none, key positions (rows, keys) with -1 where there is none).
    `pattern_of`: (rows, pos, pos), the pattern of another head copy; None where it is not needed.
    """
    asked = sites.padded(group.need)
    rows, n_queries = asked.index.shape
    n_copies = len(group.copies)
    q = _queries(group, projected, sites)[:, asked.index].transpose(0, 1)
    q = q.contiguous()  # (rows, copies, queries, d_head)
    inside = Inside(group.acts, sites, masks)
    q = inside.zeroed("q", q, asked)
    if adapter.fused and not group.acts and len(group.classes) == 1 and not group.want_pattern:
        z = _fused(adapter, layer, group, q, projected, sites, masks)
        flat = z.transpose(0, 1).reshape(n_copies, rows * n_queries, -1)
        return flat.index_select(1, asked.back), None
    heads = [copy.head for copy in group.copies]
    together = q.flatten(1, 2)  # (rows, copies * queries, d_head)
    scores, seen, places = [], [], []
    for number, part in enumerate(group.classes):
        have = sites.padded(part.mask)
        keys = inside.zeroed("k", _side(group, number, "k", projected, have.index), have)
        if part.key == OWN:
            scores.append(adapter.scores(layer, q, keys))
        else:
            scores.append(adapter.scores(layer, together, keys).unflatten(1, (n_copies, -1)))
        bias = adapter.position_bias(layer, heads, asked.positions, have.positions)
        if bias is not None:
            scores[-1] = scores[-1] + bias.transpose(0, 1)
        seen.append(inside.seen(_seen(part, asked, have, masks), asked, have))
        # each (rows, queries, keys)
        places.append(have.positions.masked_fill(~have.real, -1))
    sinks = adapter.sinks(layer, [copy.head for copy in group.copies])
    of_copies = None if sinks is None else sinks.view(1, -1, 1, 1)
    pattern = adapter.softmax(_cat(scores), _cat(seen).unsqueeze(1), of_copies)
    if group.acts:
        pattern = inside.pattern(pattern, _cat(seen), asked, _cat(places), pattern_of)
    total: Tensor | None = None
    offset = 0
    for number, part in enumerate(group.classes):
        have = sites.padded(part.mask)
        values = inside.zeroed("v", _side(group, number, "v", projected, have.index), have)
        weights = pattern[..., offset : (offset := offset + values.shape[-2])]
        if part.value == OWN:
            mixed = adapter.mix(weights, values)
        else:
            mixed = adapter.mix(weights.flatten(1, 2), values).unflatten(1, (n_copies, -1))
        total = mixed if total is None else total + mixed
    assert total is not None
    total = adapter.gated(layer, q, total)
    flat = total.transpose(0, 1).reshape(n_copies, rows * n_queries, -1).index_select(1, asked.back)
    if not group.want_pattern:
        return flat, None
    queries = asked.positions.masked_fill(~asked.real, -1)
    return flat, (pattern.transpose(0, 1), queries, _cat(places))


class Inside:
    """What an intervention does inside the heads of one group; most groups have nothing."""

    def __init__(self, acts: tuple[HeadAct, ...], sites: Sites, masks: MaskTable) -> None:
        self.acts = acts
        self.sites = sites
        self.masks = masks

    def _holds(self, mask: int, positions: Tensor) -> Tensor:
        """(rows, n) bool: which of the positions (rows, n), -1 for none, are in a mask."""
        array = self.masks.array(mask)[self.sites.start : self.sites.stop]
        inside = torch.from_numpy(array.copy()).to(positions.device, non_blocking=True)
        return inside.gather(1, positions.clamp(min=0)) & (positions >= 0)

    def zeroed(self, slot: Slot, vectors: Tensor, at: Padded) -> Tensor:
        """Queries, keys or values (rows, …, tokens, d_head), those of `zero` as 0."""
        for act in self.acts:
            if act.kind == slot:
                gone = self._holds(act.queries, at.positions.masked_fill(~at.real, -1))
                shape = (len(gone), *[1] * (vectors.dim() - 3), gone.shape[1], 1)
                vectors = vectors.masked_fill(gone.view(shape), 0.0)
        return vectors

    def seen(self, seen: Tensor, asked: Padded, have: Padded) -> Tensor:
        """(rows, queries, keys) bool: the keys that are left."""
        for act in self.acts:
            if act.kind in ("block", "only"):
                queries = self._holds(act.queries, asked.positions).unsqueeze(-1)
                keys = self._holds(act.keys, have.positions).unsqueeze(1)
                seen = seen & ~(queries & (keys if act.kind == "block" else ~keys))
        return seen

    def pattern(
        self,
        pattern: Tensor,
        seen: Tensor,
        asked: Padded,
        places: Tensor,
        pattern_of: Callable[[int], Tensor | None],
    ) -> Tensor:
        """The weights (rows, copies, queries, keys), those of `pattern` in their place."""
        for act in self.acts:
            if act.kind == "uniform":
                on = seen & self._holds(act.keys, places).unsqueeze(1)
                other = on.to(pattern.dtype)
                other = other / other.sum(-1, keepdim=True).clamp(min=1)
            elif act.kind == "copied":
                whole = pattern_of(act.pattern)
                if whole is None:
                    continue  # no query of this batch takes it
                whole = whole.to(pattern.dtype)
                rows = torch.arange(len(whole), device=whole.device)[:, None, None]
                at = whole[rows, asked.positions[:, :, None], places.clamp(min=0)[:, None, :]]
                other = at * seen
            else:
                continue
            queries = self._holds(act.queries, asked.positions)[:, None, :, None]
            pattern = torch.where(queries, other.unsqueeze(1), pattern)
        return pattern


def _seen(part: KeyClass, asked: Padded, have: Padded, masks: MaskTable) -> Tensor:
    """(rows, queries, keys) bool: which keys of the class a query reads."""
    distance = asked.positions.unsqueeze(-1) - have.positions.unsqueeze(1)
    place = distance - masks.first_distance
    allowed = torch.from_numpy(np.asarray(masks.distances(part.distances)))
    allowed = allowed.to(distance.device, non_blocking=True)
    return (place >= 0) & allowed[place.clamp(min=0)] & have.real.unsqueeze(1)


def _fused(
    adapter: Adapter,
    layer: int,
    group: HeadGroup,
    q: Tensor,
    projected: Projected,
    sites: Sites,
    masks: MaskTable,
) -> Tensor:
    """Outputs (rows, copies, queries, d_head) of q of that shape, by fused attention.

    Only for one class: versions side by side would hold a copy of the shared keys for each query.
    """
    (part,) = group.classes
    have = sites.padded(part.mask)
    n_copies = len(group.copies)
    seen = _seen(part, sites.padded(group.need), have, masks)
    keys, values = (_side(group, 0, slot, projected, have.index) for slot in ("k", "v"))
    if part.key != OWN and part.value != OWN:  # all queries of all copies, as if of one
        z, _ = adapter.attend_masked(
            layer, q.flatten(1, 2).unsqueeze(0), keys.unsqueeze(0), values.unsqueeze(0),
            seen.repeat(1, n_copies, 1),
        )  # fmt: skip
        return z[0].unflatten(1, (n_copies, -1))
    each = [
        side if side.dim() == 4 else side.unsqueeze(1).expand(-1, n_copies, -1, -1)
        for side in (keys, values)
    ]  # (rows, copies, keys, d_head)
    keys, values = (side.transpose(0, 1) for side in each)
    z, _ = adapter.attend_masked(layer, q.transpose(0, 1), keys, values, seen)
    return z.transpose(0, 1)


def _cat(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


def _queries(group: HeadGroup, projected: Projected, sites: Sites) -> Tensor:
    """(copies, tokens of need, d_head)."""
    found = []
    for copy in group.copies:
        parts = [
            (projected.at("q", step, mask, copy.head), mask) for step, mask in copy.query
        ]  # (tokens of mask, d_head)
        if len(parts) == 1:
            found.append(parts[0][0])
            continue
        whole = parts[0][0].new_empty((sites.count(group.need), parts[0][0].shape[-1]))
        for piece, mask in parts:
            where = sites.places(mask, group.need)
            assert where is not None
            whole[where] = piece
        found.append(whole)
    return torch.stack(found)


def _side(
    group: HeadGroup, number: int, slot: Literal["k", "v"], projected: Projected, index: Tensor
) -> Tensor:
    """Keys or values of a class: (rows, keys, d_head), or (rows, copies, keys, d_head) if own."""
    part, side = group.classes[number], 0 if slot == "k" else 1
    if (part.key, part.value)[side] != OWN:
        first = group.copies[0]
        return projected.at(slot, first.pairs[number][side], part.mask, first.head)[index]
    own = [
        projected.at(slot, copy.pairs[number][side], part.mask, copy.head) for copy in group.copies
    ]
    return torch.stack(own)[:, index].transpose(0, 1).contiguous()
