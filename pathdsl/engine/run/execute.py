"""Executes a plan on one batch of rows: steps by slot, equal layers together.

Nothing is decided here: which copies exist, where they are needed and when they are freed all comes
from the plan. Values live as (tokens, width) matrices over the tokens at which the plan needs them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from pathdsl.engine.adapters.base import SLOTS, Adapter
from pathdsl.engine.adapters.norms import Given, Noted
from pathdsl.engine.run.attention import HeadGroup, attend_group, group_heads
from pathdsl.engine.run.plain import PlainValues, with_bias
from pathdsl.engine.run.projections import Projected, chunk_tokens, portions, project_all
from pathdsl.engine.run.recurrences import recur
from pathdsl.engine.run.sites import Decided, Sites, neighbours
from pathdsl.plan.liveness import Schedule, reads_of
from pathdsl.plan.masks import TRUE
from pathdsl.plan.needs import mlp_scales, plain_write
from pathdsl.plan.outputs import Plan
from pathdsl.plan.steps import (
    NOTHING,
    OF_MLP,
    REFERENCE,
    ROUTING,
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
    ValueCopy,
    frozen_kinds,
    keys_frozen,
)

MLP_TOKENS = 2048
"""Tokens that go through an MLP at a time: what is between its products stays in caches, and in
memory that is used again."""


Normed = HeadCopy | RecurrentCopy | MlpCopy | HiddenCopy | AttentionResid


class BatchExecution:
    """One batch of one plan: `run()` computes every live step, `at()` reads what is kept.

    `decided` is shared by the batches of a plan.
    `patterns`: head copies whose attention is wanted; `attention` then holds for each of them its
    weights (rows, queries, keys) with the positions of queries and keys, -1 where there is none.
    """

    def __init__(
        self,
        plan: Plan,
        order: Schedule,
        adapter: Adapter,
        sites: Sites,
        sources: Mapping[int, PlainValues],
        patterns: Mapping[int, int],
        decided: Decided,
    ) -> None:
        self.decided = decided
        self.plan = plan
        self.order = order
        self.adapter = adapter
        self.sites = sites
        self.sources = sources
        self.patterns = patterns
        self.masks = plan.masks
        self.most = chunk_tokens(adapter)
        self.values: dict[int, Tensor] = {}
        self.attention: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def run(self, tick: Callable[[float], None] = lambda slot: None) -> None:
        """Compute all slots, each value until its last use; `tick` is told of each slot then."""
        frees: dict[float, list[int]] = defaultdict(list)
        for number, slot in self.order.last_use.items():
            frees[slot].append(number)
        for slot, numbers in self.order.slots:
            self._slot(numbers)
            for number in frees.get(slot, ()):
                self.values.pop(number, None)
            tick(slot)

    # ---------------------------------------------------------------------------------------------

    def _slot(self, numbers: Iterable[int]) -> None:
        kinds: dict[type, list[int]] = defaultdict(list)
        for number in numbers:
            if self.sites.count(self.plan.need[number]):
                kinds[type(self.plan.steps[number])].append(number)
        for number in kinds[PlainResid]:
            self._plain(number)
        for number in kinds[ValueCopy]:
            self._value_copy(number)
        for number in kinds[ScaleCopy]:
            self._scale_copy(number)
        for number in kinds[InputResid]:
            step = self.plan.steps[number]
            assert isinstance(step, InputResid)
            stream = slice(self.plan.shape.d_model)
            self.values[number] = self._of_input(step.blend, self.plan.need[number], stream)
        for group in self._by_norm(kinds[AttentionResid]):
            self._attention_resids(group)
        self._mlp_resids(kinds[MlpResid])
        for number in kinds[HeadsWrite]:
            self._heads_write(number)
        for group in self._by_norm([*kinds[HeadCopy], *kinds[ActedHeadCopy]]):
            self._heads(group)
        for number in kinds[RecurrentCopy]:
            step = self.plan.steps[number]
            assert isinstance(step, RecurrentCopy)
            self.values[number] = recur(self, step, self.plan.need[number])
        for group in self._by_norm(kinds[MlpCopy]):
            self._mlps(group, self.adapter.mlp)
        for group in self._by_norm(kinds[HiddenCopy]):
            self._mlps(group, self._hidden)

    def _tokens(self, number: int) -> int:
        return self.sites.count(self.plan.need[number])

    def _normed(self, number: int) -> Normed:
        """A step that has a norm of its own."""
        step = self.plan.steps[number]
        assert isinstance(step, Normed)
        return step

    def _by_norm(self, numbers: Sequence[int]) -> Iterable[list[int]]:
        """Steps with norms of their own, then by what their norms are frozen to."""
        parts: dict[Frozen, list[int]] = {False: []}
        for number in numbers:
            parts.setdefault(self._normed(number).frozen, []).append(number)
        return (part for part in parts.values() if part)

    def scales(self, kinds: Sequence[str], layer: int, masks: Sequence[int], to: Frozen) -> Given:
        """The scales that a layer's norms are frozen to, at the tokens of each mask in turn; and
        the routing.

        Without norms that the family does not have.
        """
        found = {}
        kinds = frozen_kinds(to, kinds)
        for kind in kinds:
            each = [self._scales(kind, layer, mask, to) for mask in masks]
            known = [scale for scale in each if scale is not None]
            if len(known) == len(each):
                found[kind] = torch.cat(known)
        return Given(scales=found, own_norms=[*kinds] == [ROUTING])

    def _scales(self, kind: str, layer: int, mask: int, to: Frozen) -> Tensor | None:
        blend = to.blend(kind) if isinstance(to, FrozenTo) else ((REFERENCE, mask),)
        read = [s for s, where in blend if self.sites.count(self.masks.both(where, mask))]
        for source in read:
            run = self.plan.run_of(source, kind, layer)
            there = self.sources[run].values if source < 0 else {}
            if not (source in self.values or (kind, layer) in there):
                return None
        return self._blend(blend, mask, lambda s, at: self._source(s, kind, layer, at))

    def _scale_copy(self, number: int) -> None:
        """A scale of a norm on a step of its own; nothing where the family has no such norm."""
        step, need = self.plan.steps[number], self.plan.need[number]
        assert isinstance(step, ScaleCopy)
        noted = Noted()
        if step.heads:
            every = self._mixed_heads(step.layer, range(len(step.heads)), step.heads, need)
            self.adapter.attention_write(step.layer, every, noted)
        else:
            stream = self._read_by_mlp(step, need)
            if step.kind == "scale_final":
                self.adapter.final_norm(stream, noted)
            elif step.kind in OF_MLP:
                self.adapter.mlp(step.layer, stream, noted)
            else:
                self.adapter.attention_input(step.layer, stream, noted)
        if step.kind in noted.found:
            self.values[number] = noted.found[step.kind]

    def _frozen(self, kinds: Sequence[str], numbers: Sequence[int]) -> Given | None:
        """The scales for steps of one layer that are all frozen, or None where none is."""
        step = self.plan.steps[numbers[0]]
        assert isinstance(step, AttentionResid | MlpCopy | HiddenCopy)
        if not step.frozen:
            return None
        at = [self.plan.need[number] for number in numbers]
        return self.scales(kinds, step.layer, at, step.frozen)

    def _plain(self, number: int) -> None:
        step, need = self.plan.steps[number], self.plan.need[number]
        assert isinstance(step, PlainResid)
        self.values[number] = self._of_run(step.source, "resid", step.stage, need)

    def _value_copy(self, number: int) -> None:
        """What an intervention makes of a value, see `ValueCopy`."""
        step, need = self.plan.steps[number], self.plan.need[number]
        assert isinstance(step, ValueCopy)

        found = self.blended(step.blend, *step.of, need)
        if step.factor != 1:
            found = found * step.factor
        for factor, blend in step.terms:
            found = found + factor * self.blended(blend, *step.place, need)
        if step.vector and step.place.kind != "hidden":
            vector = self._vector(step)  # of `input`, to what it writes to the stream
            found = found + functional.pad(vector, (0, found.shape[-1] - len(vector)))
        self.values[number] = found

    def _vector(self, step: ValueCopy) -> Tensor:
        whole = torch.tensor(step.vector, dtype=torch.float64, device="cpu")
        return whole.to(device=self.adapter.device, dtype=self.adapter.dtype)

    def blended(self, blend: Blend, kind: str, layer: int, head: int, mask: int = TRUE) -> Tensor:
        """What a blend of one value is at the tokens of a mask; `head` -1: of no head."""

        def value(source: int, at: int) -> Tensor:
            found = self._source(source, kind, layer, at)
            return found[:, head] if source < 0 and head >= 0 else found

        return self._blend(blend, mask, value)

    def at(self, number: int, mask: int) -> Tensor:
        """The value of a step at the tokens of `mask`, a subset of where it is needed."""
        step = self.plan.steps[number]
        if isinstance(step, JoinResid):
            return self._blend(step.parts, mask, self.at)
        return self.sites.take(self.values[number], self.plan.need[number], mask)

    def _source(self, source: int, kind: str, layer: int, mask: int) -> Tensor:
        if source >= 0:
            return self.at(source, mask)
        return self._of_run(source, kind, layer, mask)

    def _of_run(self, source: int, kind: str, layer: int, mask: int) -> Tensor:
        """A value of a plain run, or of a constant."""
        run = self.plan.run_of(source, kind, layer)
        return self.sources[run].at((kind, layer), mask, self.sites)

    def _of_input(self, blend: Blend, need: int, part: slice) -> Tensor:
        """Some numbers of the value of `input`, each token's from the source that is named."""

        def value(source: int, mask: int) -> Tensor:
            if source >= 0:
                return self.sites.take(self.values[source][:, part], self.plan.need[source], mask)
            kept = self.sources[self.plan.run_of(source, "input", 0)]
            return self.sites.take(kept.values["input", 0][:, part], kept.stored["input", 0], mask)

        return self._blend(blend, need, value)

    def _read_by_mlp(self, step: MlpCopy | HiddenCopy | ScaleCopy, need: int) -> Tensor:
        """The stream that an MLP reads, with what `input` gives it behind it where it does."""
        stream = self.at(step.resid, need)
        if isinstance(step, HiddenCopy) or not step.given:
            return stream
        given = self._of_input(step.given, need, self.plan.shape.given(step.layer))
        return torch.cat((stream, given), dim=-1)

    def _blend(self, blend: Blend, need: int, value: Callable[[int, int], Tensor]) -> Tensor:
        """Values at `need`, each token from the source that the blend names there."""
        if len(blend) == 1:
            return value(blend[0][0], self.masks.both(blend[0][1], need))
        parts = [
            (source, both)
            for source, mask in blend
            if self.sites.count(both := self.masks.both(mask, need))
        ]
        if len(parts) == 1:
            return value(parts[0][0], parts[0][1])
        out: Tensor | None = None
        for source, mask in parts:
            piece = value(source, mask)
            if out is None:
                out = piece.new_empty((self.sites.count(need), *piece.shape[1:]))
            where = self.sites.places(mask, need)
            assert where is not None
            out[where] = piece
        assert out is not None
        return out

    # ---------------------------------------------------------------------------------------------

    def _attention_resids(self, numbers: Sequence[int]) -> None:
        """Residual steps after a layer's attention: blended heads through `attention_write`.

        Where every head is a plain run's, so is what they write together.
        """
        summed = []
        for number in numbers:
            step, need = self.plan.steps[number], self.plan.need[number]
            assert isinstance(step, AttentionResid)
            whole = plain_write(step, need, self.masks)
            if whole is not None and (whole, "attn", step.layer) in self.plan.plain_need:
                written = self._of_run(whole, "attn", step.layer, need)
                total = self.at(step.previous, need) + written
                self.values[number] = self.adapter.behind_attention(step.layer, total)
            else:
                summed.append(number)
        for batch in portions(summed, self._tokens, self.most):
            step = self.plan.steps[batch[0]]
            assert isinstance(step, AttentionResid)
            mixed = [self._mixed_heads_of(number) for number in batch]
            scales = self._frozen(["scale_after_attention"], batch)
            written = self.adapter.attention_write(step.layer, torch.cat(mixed), scales)
            pieces = written.split([len(z) for z in mixed])
            for number, piece in zip(batch, pieces, strict=True):
                previous = self.plan.steps[number]
                assert isinstance(previous, AttentionResid)
                total = piece.add_(self.at(previous.previous, self.plan.need[number]))
                self.values[number] = self.adapter.behind_attention(step.layer, total)

    def _heads_write(self, number: int) -> None:
        """What some heads of a layer write together, without the output bias."""
        step, need = self.plan.steps[number], self.plan.need[number]
        assert isinstance(step, HeadsWrite)
        layer = step.layer
        if not step.beside:
            z = self._mixed_heads(layer, step.heads, step.blends, need)
            self.values[number] = self.adapter.write(layer, z, step.heads)
            return
        # The norm of all heads' sum: with its scale given it is linear, up to what it adds to 0.
        every = self._mixed_heads(layer, range(self.plan.shape.heads_in(layer)), step.beside, need)
        if step.frozen:
            scales = self.scales(["scale_after_attention"], layer, [need], step.frozen)
        else:
            noted = Noted()
            self.adapter.attention_write(layer, every, noted)
            scales = Given(scales=noted.found)
        chosen = torch.zeros_like(every)
        heads = list(step.heads)
        chosen[:, heads] = every[:, heads]
        written = self.adapter.attention_write(layer, chosen, scales)
        self.values[number] = written - self.adapter.attention_write(
            layer, torch.zeros_like(every), scales
        )

    def _mixed_heads_of(self, number: int) -> Tensor:
        """(tokens, n_heads, d_head): every head of a residual step's layer."""
        step = self.plan.steps[number]
        assert isinstance(step, AttentionResid)
        numbers = range(len(step.heads))
        need = self.plan.need[number]
        return self._mixed_heads(step.layer, numbers, step.heads, need, ("heads of", number))

    def _mixed_heads(
        self,
        layer: int,
        numbers: Sequence[int],
        blends: Sequence[Blend],
        need: int,
        key: tuple[str, int] | None = None,
    ) -> Tensor:
        """(tokens, heads, d_head): heads of a layer, each from the source that its blend names.

        `key`: a shorter name of these blends at these tokens."""
        whole, rest = self.decided.of(
            self.sites, key or ("heads", tuple(blends), need), lambda: self._parted(blends, need)
        )
        shape = self.plan.shape
        if len(whole) == 1 and not rest and len(numbers) == shape.heads_in(layer):
            source = next(iter(whole))
            return self._of_run(source, "head", layer, need)
        out = torch.empty(
            (self.sites.count(need), len(numbers), shape.head_width(layer)),
            dtype=self.adapter.dtype,
            device=self.adapter.device,
        )
        for source, places in whole.items():
            values = self._of_run(source, "head", layer, need)
            for here, there in neighbours(places, numbers):
                out[:, here] = values[:, there]
        for place, blend in rest:

            def value(source: int, mask: int, head: int = numbers[place]) -> Tensor:
                if source >= 0:
                    return self.at(source, mask)
                return self._of_run(source, "head", layer, mask)[:, head]

            out[:, place] = self._blend(blend, need, value)
        return out

    def _parted(
        self, blends: Sequence[Blend], need: int
    ) -> tuple[dict[int, list[int]], list[tuple[int, Blend]]]:
        """Places of blends that are one plain run's here, by its source, and the other blends."""
        whole: dict[int, list[int]] = defaultdict(list)
        rest: list[tuple[int, Blend]] = []
        for place, blend in enumerate(blends):
            parts = tuple(
                (source, mask)
                for source, mask in blend
                if self.sites.count(self.masks.both(mask, need))
            )
            if len(parts) == 1 and parts[0][0] < 0:
                whole[parts[0][0]].append(place)
            else:
                rest.append((place, parts))
        return whole, rest

    def _mlp_resids(self, numbers: Sequence[int]) -> None:
        split = []
        for number in numbers:
            step = self.plan.steps[number]
            assert isinstance(step, MlpResid)
            if step.neurons:
                split.append(number)
            else:
                self._mlp_resid(number)
        self._split_mlp_resids(split)

    def _mlp_resid(self, number: int) -> None:
        step, need = self.plan.steps[number], self.plan.need[number]
        assert isinstance(step, MlpResid)
        out = self._blend(step.blend, need, lambda s, m: self._source(s, "mlp", step.layer, m))
        if step.previous != NOTHING:
            previous = self.at(step.previous, need)
            own = number in self.order.written_over
            out = self.adapter.behind_mlp(step.layer, out.add_(previous) if own else previous + out)
        self.values[number] = out

    def _split_mlp_resids(self, numbers: Sequence[int]) -> None:
        """Residual steps after an MLP whose neurons come from several sources."""
        for batch in portions(numbers, self._tokens, self.most):
            mixed = [self._mixed_hidden(number) for number in batch]
            first = self.plan.steps[batch[0]]
            assert isinstance(first, MlpResid)
            written = torch.cat(
                [
                    self.adapter.mlp_write(first.layer, part[:, :-1], part[:, -1:])
                    for part in torch.cat(mixed).split(MLP_TOKENS)
                ]
            )
            pieces = written.split([len(hidden) for hidden in mixed])
            for number, piece in zip(batch, pieces, strict=True):
                step, need = self.plan.steps[number], self.plan.need[number]
                assert isinstance(step, MlpResid)
                for source, mask in step.blend:
                    copy = self.plan.steps[source] if source >= 0 else None
                    both = self.masks.both(mask, need)
                    if isinstance(copy, ValueCopy) and copy.vector and self.sites.count(both):
                        here = self.sites.inside(both, need)
                        piece = piece.clone()
                        piece[slice(None) if here is None else here] += self._vector(copy)
                if step.previous != NOTHING:
                    total = self.at(step.previous, need) + piece
                    piece = self.adapter.behind_mlp(step.layer, total)
                self.values[number] = piece

    def _mixed_hidden(self, number: int) -> Tensor:
        """(tokens, d_mlp + 1): the rest of an MLP, and groups of neurons from other sources."""
        step, need = self.plan.steps[number], self.plan.need[number]
        assert isinstance(step, MlpResid)
        out = self._blend(step.blend, need, lambda s, m: self._source(s, "hidden", step.layer, m))
        out = out.clone()  # what a source keeps is not written to
        for neurons, blend in step.neurons:
            columns = torch.tensor(neurons, device=out.device)

            def value(source: int, mask: int, columns: Tensor = columns) -> Tensor:
                return self._source(source, "hidden", step.layer, mask).index_select(1, columns)

            out[:, columns] = self._blend(blend, need, value)
        return out

    def _hidden(self, layer: int, resid: Tensor, scales: Given | None) -> Tensor:
        return with_bias(self.adapter.mlp_hidden(layer, resid, scales))

    def _mlps(
        self, numbers: Sequence[int], evaluate: Callable[[int, Tensor, Given | None], Tensor]
    ) -> None:
        """All copies of one layer's MLP, or of its hidden units, through one product."""
        for batch in portions(numbers, self._tokens, self.most):
            inputs = []
            for number in batch:
                step = self.plan.steps[number]
                assert isinstance(step, MlpCopy | HiddenCopy)
                inputs.append(self._read_by_mlp(step, self.plan.need[number]))
            layer = self._normed(batch[0]).layer
            joined = torch.cat(inputs)
            scales = self._frozen(mlp_scales(self.plan.shape), batch)
            outs = torch.cat(
                [
                    evaluate(layer, part, scales and scales.part(start, MLP_TOKENS))
                    for start, part in _parts(joined)
                ]
            )
            for number, piece in zip(batch, outs.split([len(x) for x in inputs]), strict=True):
                self.values[number] = piece

    def _heads(self, numbers: Sequence[int]) -> None:
        """All head copies of one layer, in portions that share the streams they read."""
        first = self._normed(numbers[0])
        layer, frozen = first.layer, first.frozen
        projected = Projected(self.plan, self.sites)

        entry, scales = self.plan.shape.entry(layer, "k"), self._before_attention
        inputs = [(layer, SLOTS, scales(layer, frozen))]
        if entry != layer:
            keys = entry, SLOTS[1:], scales(entry, keys_frozen(frozen))
            inputs = [keys, (layer, SLOTS[:1], inputs[0][2])]
        for portion in self._by_stream(numbers):
            groups = self.decided.of(
                self.sites,
                ("groups", *portion),
                lambda portion=portion: group_heads(  # type: ignore[misc]
                    self.plan, portion, self.patterns, self.sites, self.adapter.fused
                ),
            )
            for of, slots, given in inputs:
                wanted = (
                    one for group in groups for one in group.projections() if one.slot in slots
                )
                project_all(self.adapter, of, wanted, self.values, projected, given)
            for group in groups:
                for part in group.chunks(self.sites, self.plan.shape.d_head):
                    self._attend(layer, part, projected)
            projected.keep_shared()

    def _before_attention(
        self, layer: int, frozen: Frozen
    ) -> Callable[[Sequence[int]], Given | None]:
        """What gives the scales that the norm before a layer's attention has on some steps."""

        def scales(steps: Sequence[int]) -> Given | None:
            at = [self.plan.need[step] for step in steps]
            return self.scales(["scale_attention"], layer, at, frozen) if frozen else None

        return scales

    def _attend(self, layer: int, group: HeadGroup, projected: Projected) -> None:
        z, pattern = attend_group(
            self.adapter, layer, group, projected, self.sites, self.masks, self._pattern
        )
        for place, copy in enumerate(group.copies):
            self.values[copy.number] = z[place]
            if pattern is not None and copy.number in self.patterns:
                weights, queries, keys = pattern
                self.attention[copy.number] = (weights[place], queries, keys)

    def _pattern(self, number: int) -> Tensor | None:
        """(rows, pos, pos) the weights of a head copy, 0 where it has none; None: not computed."""
        if number not in self.attention:
            return None
        weights, queries, keys = self.attention[number]
        rows, n_pos = len(weights), self.masks.n_pos
        found = weights.new_zeros((rows, n_pos + 1, n_pos + 1))  # the last: no token
        row = torch.arange(rows, device=weights.device)[:, None, None]
        found.index_put_(
            (row, queries[:, :, None] % (n_pos + 1), keys[:, None, :] % (n_pos + 1)),
            weights, accumulate=True,
        )  # fmt: skip
        return found[:, :n_pos, :n_pos]

    def _by_stream(self, numbers: Sequence[int]) -> Iterable[list[int]]:
        """Copies that read the same streams together, in portions of bounded tokens."""
        streams = self.decided.of(
            self.sites, ("streams", *numbers), lambda: self._streams(numbers)
        )  # fmt: skip
        keys = list(streams)
        tokens = [sum(self.sites.count(self.plan.need[read]) for read in key) for key in keys]
        for portion in portions(range(len(keys)), tokens.__getitem__, self.most):
            yield [number for place in portion for number in streams[keys[place]]]

    def _streams(self, numbers: Sequence[int]) -> dict[tuple[int, ...], list[int]]:
        """Copies by the streams that they read, but for those of plain runs."""
        streams: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for number in numbers:
            own = dict.fromkeys(
                read for read in reads_of(self.plan, number)
                if not isinstance(self.plan.steps[read], PlainResid)
            )  # fmt: skip
            streams[tuple(own)].append(number)
        return streams


def _parts(joined: Tensor) -> Iterable[tuple[int, Tensor]]:
    """Rows of a matrix in chunks, each with the number of its first row."""
    for place, part in enumerate(joined.split(MLP_TOKENS)):
        yield place * MLP_TOKENS, part
