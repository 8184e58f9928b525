"""Attention of head copies whose keys and values come from several streams.

A relation (`-[k: prev]->`) makes a head read one version of its keys at one distance and another
elsewhere; a stream that is a plain run's at some positions and a copy's own at others gives two
versions too. Every (query, key) pair belongs to exactly one *class*: a set of distances, a set of
key positions, a key step, a value step. The versions are laid side by side along the key axis, and
a mask shows each query the right version of each key. One softmax over the side-by-side axis is
then the exact softmax over the keys.

Keys and values of plain runs are shared by all copies of a head: they are projected once, and the
queries of all copies go through one product with them.

Fused attention goes over the queries in blocks, and gives each the keys that it can see: nothing is
held that grows with queries times keys. Patterns that are read are then worked out for the queries
at which they are, beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter, Slot
from pathdsl.engine.run.projections import Projected, Wanted
from pathdsl.engine.run.sites import Padded, Sites
from pathdsl.plan.masks import FALSE, MaskTable
from pathdsl.plan.outputs import Plan
from pathdsl.plan.steps import ActedHeadCopy, HeadAct, HeadCopy, PlainResid, parts_of

MAX_SCORES = 1 << 25
"""Entries of the score matrices that are in memory at once (128 MiB in float32)."""

MAX_SIDES = 1 << 22
"""The same of queries, keys and values side by side in fused attention (16 MiB)."""

QUERY_BLOCK = 256
"""Queries of a prompt that go through fused attention at a time."""

FEW_QUERIES = 64
"""Queries of a prompt up to which their scores with shared keys are smaller than copies of these
keys for each head copy would be."""

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

    Where keys or values are shared, all copies are of one head, unless they are `fused`.
    `read`: the mask of the queries whose patterns are read, `FALSE` for none.
    """

    copies: tuple[Reads, ...]
    need: int
    classes: tuple[KeyClass, ...]
    read: int
    acts: tuple[HeadAct, ...]
    fused: bool

    def projections(self) -> Iterator[Wanted]:
        """Every projection that the group uses."""
        for copy in self.copies:
            for step, mask in copy.query:
                yield Wanted("q", step, mask, copy.head)
            for part, (key, value) in zip(self.classes, copy.pairs, strict=True):
                yield Wanted("k", key, part.mask, copy.head)
                yield Wanted("v", value, part.mask, copy.head)

    def chunks(self, sites: Sites, d_head: int) -> Iterator[HeadGroup]:
        """The group cut so that its scores, or its sides, fit into the working memory."""
        n_keys = sum(sites.padded(part.mask).index.shape[1] for part in self.classes)
        rows, n_queries = sites.padded(self.need).index.shape
        scores = rows * n_queries * n_keys
        size = len(self.copies)
        if self.fused:
            size = MAX_SIDES // max(rows * (2 * n_keys + n_queries) * d_head, 1)
            scores = sites.padded(self.read).index.numel() * n_keys
        size = max(min(size, MAX_SCORES // max(scores, 1)), 1)
        for start in range(0, len(self.copies), size):
            yield replace(self, copies=self.copies[start : start + size])


def group_heads(
    plan: Plan, numbers: Sequence[int], patterns: Mapping[int, int], sites: Sites, fuses: bool
) -> list[HeadGroup]:
    """Copies of one layer gathered into groups that one batched attention serves.

    Classes in which no query of this batch has a key are left out: their keys are not there. Every
    query keeps the class of its own position. `fuses`: whether the adapter has fused attention;
    it is taken where some prompt of the plan has many queries, whatever the batch has.
    """
    masks, steps = plan.masks, plan.steps

    def shared(step: int) -> int:
        return step if isinstance(steps[step], PlainResid) else OWN

    many: dict[int, bool] = {}
    found: dict[tuple[Any, ...], list[Reads]] = {}
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
        acts = step.acts if isinstance(step, ActedHeadCopy) else ()
        if need not in many:
            many[need] = bool(masks.array(need).sum(axis=1).max() > FEW_QUERIES)
        fused = fuses and many[need] and not acts
        one_head = not fused and any(c.key != OWN or c.value != OWN for c in classes)
        whose = step.head if one_head else OWN
        read = masks.both(patterns.get(number, FALSE), need)
        key_of_group = (need, whose, tuple(classes), read, acts, fused)
        found.setdefault(key_of_group, []).append(Reads(number, step.head, query, tuple(pairs)))
    return [
        HeadGroup(
            copies=tuple(copies), need=need, classes=classes, read=read, acts=acts, fused=fused
        )
        for (need, _, classes, read, acts, fused), copies in found.items()
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
    """Outputs (copies, tokens of need, d_head) and the patterns that are read.

    A pattern is (weights (copies, rows, queries, keys), query positions (rows, queries) with -1
    where there is none, key positions (rows, keys) with -1 where there is none).
    `pattern_of`: (rows, pos, pos), the pattern of another head copy; None where it is not needed.
    """
    asked = sites.padded(group.need)
    rows, n_queries = asked.index.shape
    own = _queries(group, projected, sites)
    q = _laid(own, asked)
    inside = Inside(group.acts, sites, masks)
    q = inside.zeroed("q", q, asked)
    pattern: Tensor | None = None
    if group.fused:
        z = _fused(adapter, layer, group, q, projected, sites, masks)
    else:
        pattern, places = _pattern(
            adapter, layer, group, q, asked, projected, sites, masks, inside, pattern_of
        )
        z = adapter.gated(layer, q, _mixed(adapter, group, pattern, projected, sites, inside))
    flat = z.transpose(0, 1).reshape(len(group.copies), rows * n_queries, -1)
    flat = flat if asked.whole else flat.index_select(1, asked.back)
    if not sites.count(group.read):
        return flat, None
    reading = sites.padded(group.read)
    if pattern is None:
        part = [sites.take(one, group.need, group.read) for one in own]
        pattern, places = _pattern(
            adapter, layer, group, _laid(part, reading), reading, projected, sites, masks,
            inside, pattern_of,
        )  # fmt: skip
    elif group.read != group.need:
        column = sites.take(asked.back % n_queries, group.need, group.read)[reading.index]
        every = column[:, None, :, None].expand(-1, len(group.copies), -1, pattern.shape[-1])
        pattern = pattern.gather(2, every)
    queries = reading.positions.masked_fill(~reading.real, -1)
    return flat, (pattern.transpose(0, 1), queries, places)


def _laid(copies: Sequence[Tensor], at: Padded) -> Tensor:
    """Copies, (tokens, d_head) each, as (rows, copies, tokens of a row, d_head)."""
    if at.whole:  # rows of equal length lie as they are: one copy instead of three
        return torch.stack([one.view(*at.index.shape, one.shape[-1]) for one in copies], dim=1)
    return torch.stack(list(copies))[:, at.index].transpose(0, 1).contiguous()


def _pattern(
    adapter: Adapter,
    layer: int,
    group: HeadGroup,
    q: Tensor,
    asked: Padded,
    projected: Projected,
    sites: Sites,
    masks: MaskTable,
    inside: Inside,
    pattern_of: Callable[[int], Tensor | None],
) -> tuple[Tensor, Tensor]:
    """Weights (rows, copies, queries, keys) of q (rows, copies, queries, d_head), which stand as
    `asked` says, and the positions of the keys (rows, keys), -1 where there is none."""
    heads = [copy.head for copy in group.copies]
    together = q.flatten(1, 2)  # (rows, copies * queries, d_head)
    scores, seen, places = [], [], []
    for number, part in enumerate(group.classes):
        have = sites.padded(part.mask)
        keys = inside.zeroed("k", _side(group, number, "k", projected, have), have)
        if keys.dim() == 4:
            scores.append(adapter.scores(layer, q, keys))
        else:
            scores.append(adapter.scores(layer, together, keys).unflatten(1, (len(heads), -1)))
        bias = adapter.position_bias(layer, heads, asked.positions, have.positions)
        if bias is not None:
            scores[-1] = scores[-1] + bias.transpose(0, 1)
        visible = _seen(part, asked.positions, have.positions, have, masks)
        seen.append(inside.seen(visible, asked, have))
        # each (rows, queries, keys)
        places.append(have.positions.masked_fill(~have.real, -1))
    sinks = adapter.sinks(layer, heads)
    of_copies = None if sinks is None else sinks.view(1, -1, 1, 1)
    pattern = adapter.softmax(_cat(scores), _cat(seen).unsqueeze(1), of_copies)
    if group.acts:
        pattern = inside.pattern(pattern, _cat(seen), asked, _cat(places), pattern_of)
    return pattern, _cat(places)


def _mixed(
    adapter: Adapter, group: HeadGroup, pattern: Tensor, projected: Projected, sites: Sites,
    inside: Inside,
) -> Tensor:  # fmt: skip
    """The values weighted by a pattern, (rows, copies, queries, d_head)."""
    total: Tensor | None = None
    offset = 0
    for number, part in enumerate(group.classes):
        have = sites.padded(part.mask)
        values = inside.zeroed("v", _side(group, number, "v", projected, have), have)
        weights = pattern[..., offset : (offset := offset + values.shape[-2])]
        if values.dim() == 4:
            mixed = adapter.mix(weights, values)
        else:
            mixed = adapter.mix(weights.flatten(1, 2), values).unflatten(1, weights.shape[1:3])
        total = mixed if total is None else total + mixed
    assert total is not None
    return total


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


def _seen(
    part: KeyClass, queries: Tensor, keys: Tensor, have: Padded, masks: MaskTable,
    columns: slice = slice(None),
) -> Tensor:  # fmt: skip
    """(rows, queries, keys) bool: which keys of the class, those of some columns, a query reads."""
    which = np.asarray(masks.distances(part.distances))
    first, last = _ends(which)
    at = queries.unsqueeze(-1)
    if which[first : last + 1].all():
        seen = keys.unsqueeze(1) <= at - (first + masks.first_distance)
        if last + 1 < len(which):
            seen = seen & (keys.unsqueeze(1) >= at - (last + masks.first_distance))
    else:
        place = at - keys.unsqueeze(1) - masks.first_distance
        allowed = torch.from_numpy(which).to(place.device, non_blocking=True)
        seen = (place >= 0) & allowed[place.clamp(min=0)]
    return seen if have.whole else seen & have.real[:, columns].unsqueeze(1)


def _ends(which: np.ndarray) -> tuple[int, int]:
    """The first and the last that is True."""
    places = np.flatnonzero(which)
    return int(places[0]), int(places[-1])


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

    The keys of all classes stand side by side, for each block of queries those that it can see.
    """
    asked, n_queries = sites.padded(group.need), q.shape[2]
    have = [sites.padded(part.mask) for part in group.classes]
    keys, values = (
        [_own_side(group, n, slot, projected, at.index) for n, at in enumerate(have)]
        for slot in ("k", "v")
    )  # of each class (copies, rows, keys, d_head)
    spans = [_spans(part, group.need, n_queries, sites, masks) for part in group.classes]
    out = torch.zeros_like(q)
    for block, start in enumerate(range(0, n_queries, QUERY_BLOCK)):
        here = slice(start, start + QUERY_BLOCK)
        read = [(n, each[block]) for n, each in enumerate(spans) if each[block].stop]
        if not read:
            continue  # padding alone
        seen = [
            _seen(group.classes[n], asked.positions[:, here], have[n].positions[:, columns],
                  have[n], masks, columns)
            for n, columns in read
        ]  # fmt: skip
        z, _ = adapter.attend_masked(
            layer,
            q[:, :, here].transpose(0, 1),
            _cat([keys[n][:, :, columns] for n, columns in read], -2),
            _cat([values[n][:, :, columns] for n, columns in read], -2),
            _cat(seen),
        )
        out[:, :, here] = z.transpose(0, 1)
    return out


def _spans(
    part: KeyClass, need: int, n_queries: int, sites: Sites, masks: MaskTable
) -> list[slice]:
    """For each block of queries the columns of the keys of a class that some query of it sees;
    an end of 0 where there are none."""
    first, last = (end + masks.first_distance for end in _ends(masks.distances(part.distances)))
    queries, of_query = sites.positions_of(need), _columns(sites, need)
    keys, of_key = sites.positions_of(part.mask), _columns(sites, part.mask)
    found = []
    for start in range(0, n_queries, QUERY_BLOCK):
        asking = queries[(of_query >= start) & (of_query < start + QUERY_BLOCK)]
        near = of_key[(keys >= asking.min() - last) & (keys <= asking.max() - first)]
        found.append(slice(int(near.min()), int(near.max()) + 1) if len(near) else slice(0, 0))
    return found


def _columns(sites: Sites, mask: int) -> np.ndarray:
    """(tokens,) where each token of a mask stands among those of its row."""
    rows = sites.rows_of(mask)
    counts = np.bincount(rows, minlength=sites.stop - sites.start)
    return np.arange(len(rows)) - np.concatenate([[0], np.cumsum(counts)[:-1]])[rows]


def _cat(parts: list[Tensor], dim: int = -1) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)


def _queries(group: HeadGroup, projected: Projected, sites: Sites) -> list[Tensor]:
    """(tokens of need, d_head) of each copy."""
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
    return found


def _side(
    group: HeadGroup, number: int, slot: Literal["k", "v"], projected: Projected, have: Padded
) -> Tensor:
    """Keys or values of a class: (rows, keys, d_head), or (rows, copies, keys, d_head) if own."""
    part, side = group.classes[number], 0 if slot == "k" else 1
    if group.fused:
        return _own_side(group, number, slot, projected, have.index).transpose(0, 1)
    if (part.key, part.value)[side] != OWN:
        first = group.copies[0]
        return projected.at(slot, first.pairs[number][side], part.mask, first.head)[have.index]
    own = [
        projected.at(slot, copy.pairs[number][side], part.mask, copy.head) for copy in group.copies
    ]
    return _laid(own, have)


def _own_side(
    group: HeadGroup, number: int, slot: Literal["k", "v"], projected: Projected, index: Tensor
) -> Tensor:
    """Keys or values of a class for each copy: (copies, rows, keys, d_head)."""
    mask, side = group.classes[number].mask, 0 if slot == "k" else 1
    whose = [(copy.pairs[number][side], copy.head) for copy in group.copies]
    each = {one: projected.at(slot, one[0], mask, one[1]) for one in whose}
    if len(each) == 1:
        return each[whose[0]][index].expand(len(whose), -1, -1, -1)
    return torch.stack([each[one] for one in whose])[:, index]
