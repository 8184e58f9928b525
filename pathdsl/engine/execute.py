"""Executes a plan on one batch of rows: steps by slot, equal layers together.

Nothing is decided here: which copies exist, where they are needed and when they are freed all comes
from the plan. Values live as (tokens, width) matrices over the tokens at which the plan needs them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.attention import HeadGroup, attend_group, group_heads
from pathdsl.engine.plain import PlainValues, with_bias
from pathdsl.engine.sites import Sites
from pathdsl.plan.liveness import Schedule
from pathdsl.plan.steps import (
    AttentionResid,
    Blend,
    HeadCopy,
    HiddenCopy,
    InputResid,
    MlpCopy,
    MlpResid,
    PlainResid,
    Plan,
)

CHUNK_TOKENS = 8192
"""Tokens that go through one matrix product at a time; bounds the working memory of an MLP."""


class BatchExecution:
    """One batch of one plan: `run()` computes every live step, `at()` reads what is kept.

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
    ) -> None:
        self.plan = plan
        self.order = order
        self.adapter = adapter
        self.sites = sites
        self.sources = sources
        self.patterns = patterns
        self.masks = plan.masks
        self.values: dict[int, Tensor] = {}
        self.attention: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def run(self) -> None:
        """Compute all slots, freeing each value after its last use."""
        frees: dict[float, list[int]] = defaultdict(list)
        for number, slot in self.order.last_use.items():
            frees[slot].append(number)
        for slot, numbers in self.order.slots:
            self._slot(numbers)
            for number in frees.get(slot, ()):
                self.values.pop(number, None)

    # ---------------------------------------------------------------------------------------------

    def _slot(self, numbers: Iterable[int]) -> None:
        kinds: dict[type, list[int]] = defaultdict(list)
        for number in numbers:
            if self.sites.count(self.plan.need[number]):
                kinds[type(self.plan.steps[number])].append(number)
        for number in kinds[PlainResid]:
            self._plain(number)
        for number in kinds[InputResid]:
            step = self.plan.steps[number]
            assert isinstance(step, InputResid)
            self.values[number] = self._blend(
                step.blend, self.plan.need[number], lambda s, m: self._source(s, "input", 0, m)
            )
        if kinds[AttentionResid]:
            self._attention_resids(kinds[AttentionResid])
        split: list[int] = []
        for number in kinds[MlpResid]:
            step = self.plan.steps[number]
            if isinstance(step, MlpResid) and step.neurons:
                split.append(number)
            else:
                self._mlp_resid(number)
        if split:
            self._split_mlp_resids(split)
        if kinds[HeadCopy]:
            self._heads(kinds[HeadCopy])
        if kinds[MlpCopy]:
            self._mlps(kinds[MlpCopy], self.adapter.mlp)
        if kinds[HiddenCopy]:
            self._mlps(kinds[HiddenCopy], lambda at, x: with_bias(self.adapter.mlp_hidden(at, x)))

    def _plain(self, number: int) -> None:
        step, need = self.plan.steps[number], self.plan.need[number]
        assert isinstance(step, PlainResid)
        self.values[number] = self.sources[step.source].at(("resid", step.stage), need, self.sites)

    def at(self, number: int, mask: int) -> Tensor:
        """The value of a step at the tokens of `mask`, a subset of where it is needed."""
        return self.sites.take(self.values[number], self.plan.need[number], mask)

    def _source(self, source: int, kind: str, layer: int, mask: int) -> Tensor:
        if source >= 0:
            return self.at(source, mask)
        return self.sources[source].at((kind, layer), mask, self.sites)

    def _blend(self, blend: Blend, need: int, value: Callable[[int, int], Tensor]) -> Tensor:
        """Values at `need`, each token from the source that the blend names there."""
        parts = [
            (source, both)
            for source, mask in blend
            if self.sites.count(both := self.masks.both(mask, need))
        ]
        if len(parts) == 1:
            return value(parts[0][0], need)
        out: Tensor | None = None
        for source, mask in parts:
            piece = value(source, mask)
            if out is None:
                out = piece.new_empty((self.sites.count(need), *piece.shape[1:]))
            where = self.sites.inside(mask, need)
            assert where is not None
            out[where] = piece
        assert out is not None
        return out

    # ---------------------------------------------------------------------------------------------

    def _attention_resids(self, numbers: Sequence[int]) -> None:
        """Residual steps after a layer's attention: blended heads through `attention_write`."""
        for batch in _chunks(numbers, lambda n: self.sites.count(self.plan.need[n])):
            mixed = [self._mixed_heads(number) for number in batch]
            step = self.plan.steps[batch[0]]
            assert isinstance(step, AttentionResid)
            written = self.adapter.attention_write(step.layer, torch.cat(mixed))
            pieces = written.split([len(z) for z in mixed])
            for number, piece in zip(batch, pieces, strict=True):
                previous = self.plan.steps[number]
                assert isinstance(previous, AttentionResid)
                self.values[number] = self.at(previous.previous, self.plan.need[number]) + piece

    def _mixed_heads(self, number: int) -> Tensor:
        """(tokens, n_heads, d_head): every head of the layer from the source its blend names."""
        step, need = self.plan.steps[number], self.plan.need[number]
        assert isinstance(step, AttentionResid)
        whole: dict[int, list[int]] = defaultdict(list)
        rest: list[tuple[int, Blend]] = []
        for head, blend in enumerate(step.heads):
            parts = tuple(
                (source, mask)
                for source, mask in blend
                if self.sites.count(self.masks.both(mask, need))
            )
            if len(parts) == 1 and parts[0][0] < 0:
                whole[parts[0][0]].append(head)
            else:
                rest.append((head, parts))
        shape = self.plan.shape
        if len(whole) == 1 and not rest:
            source = next(iter(whole))
            return self.sources[source].at(("head", step.layer), need, self.sites)
        out = torch.empty(
            (self.sites.count(need), shape.n_heads, shape.d_head),
            dtype=self.adapter.dtype,
            device=self.adapter.device,
        )
        for source, heads in whole.items():
            values = self.sources[source].at(("head", step.layer), need, self.sites)
            out[:, heads] = values[:, heads]
        for head, blend in rest:

            def value(source: int, mask: int, head: int = head) -> Tensor:
                if source >= 0:
                    return self.at(source, mask)
                return self.sources[source].at(("head", step.layer), mask, self.sites)[:, head]

            out[:, head] = self._blend(blend, need, value)
        return out

    def _mlp_resid(self, number: int) -> None:
        step, need = self.plan.steps[number], self.plan.need[number]
        assert isinstance(step, MlpResid)
        out = self._blend(step.blend, need, lambda s, m: self._source(s, "mlp", step.layer, m))
        self.values[number] = self.at(step.previous, need) + out

    def _split_mlp_resids(self, numbers: Sequence[int]) -> None:
        """Residual steps after an MLP whose neurons come from several sources."""
        for batch in _chunks(numbers, lambda n: self.sites.count(self.plan.need[n])):
            mixed = [self._mixed_hidden(number) for number in batch]
            layer = self.plan.steps[batch[0]].layer  # type: ignore[union-attr]
            written = torch.cat(
                [
                    self.adapter.mlp_write(layer, part[:, :-1], part[:, -1:])
                    for part in torch.cat(mixed).split(CHUNK_TOKENS)
                ]
            )
            pieces = written.split([len(hidden) for hidden in mixed])
            for number, piece in zip(batch, pieces, strict=True):
                step = self.plan.steps[number]
                assert isinstance(step, MlpResid)
                self.values[number] = self.at(step.previous, self.plan.need[number]) + piece

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

    def _mlps(self, numbers: Sequence[int], part: Callable[[int, Tensor], Tensor]) -> None:
        """All copies of one layer's MLP, or of its hidden units, through one product."""
        for batch in _chunks(numbers, lambda n: self.sites.count(self.plan.need[n])):
            inputs = []
            for number in batch:
                step = self.plan.steps[number]
                assert isinstance(step, MlpCopy | HiddenCopy)
                inputs.append(self.at(step.resid, self.plan.need[number]))
            layer = self.plan.steps[batch[0]].layer  # type: ignore[union-attr]
            joined = torch.cat(inputs)
            outs = torch.cat([part(layer, tokens) for tokens in joined.split(CHUNK_TOKENS)])
            for number, piece in zip(batch, outs.split([len(x) for x in inputs]), strict=True):
                self.values[number] = piece

    def _heads(self, numbers: Sequence[int]) -> None:
        """All head copies of one layer: projections by residual step, attention by group."""
        layer = self.plan.steps[numbers[0]].layer  # type: ignore[union-attr]
        groups = group_heads(self.plan, numbers, self.patterns, self.sites)
        projected = self._projections(layer, groups)
        for group in groups:
            for part in group.chunks(self.sites):
                z, pattern = attend_group(
                    self.adapter, layer, part, projected, self.sites, self.masks
                )
                for number, piece in zip(part.numbers, z, strict=True):
                    self.values[number] = piece
                if pattern is not None:
                    for place, number in enumerate(part.numbers):
                        if number in self.patterns:
                            weights, queries, keys = pattern
                            self.attention[number] = (weights[place], queries, keys)

    def _projections(
        self, layer: int, groups: Sequence[HeadGroup]
    ) -> dict[tuple[str, int, int, int], Tensor]:
        """(slot, residual step, head, mask) to (tokens, d_head), norms shared between slots."""
        wanted: dict[int, dict[tuple[str, int], set[int]]] = defaultdict(lambda: defaultdict(set))
        for group in groups:
            for slot, step, head, mask in group.projections():
                wanted[step][slot, mask].add(head)
        out: dict[tuple[str, int, int, int], Tensor] = {}
        for step, slots in wanted.items():
            normed = self.adapter.attention_input(layer, self.values[step])
            for (slot, mask), heads in slots.items():
                ordered = sorted(heads)
                values = self.adapter.project(
                    layer,
                    slot,  # type: ignore[arg-type]
                    self.sites.take(normed, self.plan.need[step], mask),
                    ordered if len(ordered) < self.plan.shape.n_heads else None,
                    positions=torch.from_numpy(self.sites.positions_of(mask)).to(
                        self.adapter.device
                    ),
                )
                for place, head in enumerate(ordered):
                    out[slot, step, head, mask] = values[:, place]
        return out


def _chunks(numbers: Sequence[int], size: Callable[[int], int]) -> Iterable[list[int]]:
    """Steps in groups of bounded total tokens, at least one step each."""
    batch: list[int] = []
    total = 0
    for number in numbers:
        if batch and total + size(number) > CHUNK_TOKENS:
            yield batch
            batch, total = [], 0
        batch.append(number)
        total += size(number)
    if batch:
        yield batch
