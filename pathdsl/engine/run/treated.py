"""How the values of each kind of treated value are computed: a plain run by batch, or a table.

A kind is one function of `SOURCES`: called once before the first batch, it gives what is called
for each batch and draw. What holds for all batches (means, the rows drawn) is computed in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.data.places import places
from pathdsl.engine.data.treated import mean_groups, noise_values, resample_rows
from pathdsl.engine.run.parts import Part, Parts
from pathdsl.engine.run.plain import (
    ConstantTable,
    Key,
    PlainValues,
    layers_of,
    plain_runs,
)  # fmt: skip
from pathdsl.engine.run.sites import Sites
from pathdsl.plan.masks import MaskTable
from pathdsl.plan.steps import PLAIN_KINDS
from pathdsl.plan.taskdata import TaskData
from pathdsl.plan.treated import TreatedSpec

__all__ = ["SOURCES", "Kept", "Rows", "SourceValues", "Want", "mean_of", "together"]

Want = Mapping[Key, int]
"""The values that a plan reads of a source, with the masks of tokens at which it does."""

SourceValues = Callable[[Sites, int], PlainValues]
"""The values of one source for a batch and a draw by number."""

STACKED_TOKENS = 2048
"""Tokens of plain runs that go through the model together, padding included."""

SUMS_BYTES = 256_000_000
"""Bytes of the sums behind one mean that are worth keeping."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a task on a model, `step` to a batch.

    `tick`: what a plain run of so many rows calls after each layer. `parts`: what is known already.
    `kept`: by column, of those that means run and the plan reads as they are.
    """

    task: TaskData
    adapter: Adapter
    step: int
    tick: Callable[[int], Callable[[], None]]
    parts: Parts | None = None
    kept: Mapping[str, Kept] = field(default_factory=dict)

    def found(self, part: Part, shape: tuple[int, int]) -> np.ndarray | None:
        """The numbers of a part that are known, or None."""
        return self.parts.found(part, shape) if self.parts is not None else None

    def ahead(self, parts: Sequence[Part]) -> Iterable[Part]:
        """Those of a mean's parts that are looked after first, in this order."""
        return self.parts.ahead(parts) if self.parts is not None else ()

    def keep(self, part: Part, numbers: np.ndarray) -> None:
        """Hand over the numbers of a part that was computed."""
        if self.parts is not None:
            self.parts.keep(part, numbers)

    def ids(
        self, column: str, rows: np.ndarray, partners: np.ndarray | None = None
    ) -> tuple[Tensor, Tensor]:
        """Token ids (rows, pos) of a prompt column on rows by number, and their lengths.

        `partners`: the rows whose prompts are taken instead, with the answers of `rows` behind
        them where answers stand there. They have equal lengths.
        """
        task = self.task
        of = rows if partners is None else partners
        ids, lengths = task.prompts[column][of], task.reading(column).lengths[rows]
        if partners is not None and task.appended is not None:
            inside = np.arange(ids.shape[1]) < task.prompt_lengths[of][:, None]
            ids = np.where(inside, ids, task.prompts[column][rows])
        ids = ids[:, : int(lengths.max())]
        return torch.from_numpy(np.ascontiguousarray(ids)), torch.from_numpy(lengths)

    def run(self, embedded: Tensor, lengths: Tensor, sites: Sites, want: Want) -> PlainValues:
        """A plain run of a batch from its values of `input`, (rows, pos, d_model)."""
        tick, readers = self.tick(len(embedded)), [[(want, sites)]]
        ((found,),) = plain_runs(self.adapter, [embedded], [lengths], readers, tick)
        return found

    def of_column(
        self, column: str, want: Want, partners: np.ndarray | None = None
    ) -> SourceValues:
        """Plain runs of a column on each row, or on its `partners`, (draws, rows) row numbers."""

        def inputs(sites: Sites, draw: int) -> tuple[Tensor, Tensor]:
            rows = np.arange(sites.start, sites.stop)
            of = None if partners is None else partners[draw][rows]
            ids, lengths = self.ids(column, rows, of)
            return self.adapter.embed(ids), lengths

        known = self.kept.get(column)
        whose = known if known is not None and known.want is want else None
        return PlainSource(rows=self, inputs=inputs, want=want, known=whose)


@dataclass(slots=True, kw_only=True, eq=False)
class Kept:
    """What a plan reads of the plain runs of a column that a mean makes before, batch by batch.

    `room`: bytes that are left for it. A batch that has none is run again.
    """

    want: Want
    masks: MaskTable
    room: int
    values: dict[int, PlainValues] = field(default_factory=dict)

    def read(self, source: PlainSource, sites: Sites) -> PlainValues:
        """The values of a mean's `source` for a batch, and beside them what is kept of it."""
        embedded, lengths = source.inputs(sites, 0)
        readers = [(source.want, sites)]
        if self.room > 0:
            readers.append((self.want, Sites(self.masks, sites.start, sites.stop, sites.device)))
        tick = source.rows.tick(len(embedded))
        ((own, *others),) = plain_runs(source.rows.adapter, [embedded], [lengths], [readers], tick)
        for other in others:
            self.values[sites.start] = other
            self.room -= sum(v.numel() * v.element_size() for v in other.values.values())
        return own


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainSource:
    """The values of a source that is a plain run.

    `inputs`: what enters it, (rows, pos, d_model), and lengths. `known`: runs that a mean made,
    which are always made alone, whoever is first.
    """

    rows: Rows
    inputs: Callable[[Sites, int], tuple[Tensor, Tensor]]
    want: Want
    known: Kept | None = None

    def __call__(self, sites: Sites, draw: int) -> PlainValues:
        """Its values for a batch and a draw."""
        if not self.want:
            return PlainValues()
        if self.known is not None and sites.start in self.known.values:
            return self.known.values.pop(sites.start)
        return self.rows.run(*self.inputs(sites, draw), sites, self.want)


def together(
    sources: Mapping[int, SourceValues], sites: Sites, draw: int
) -> dict[int, PlainValues]:
    """The values of sources for a batch and a draw.

    Plain runs through equally many layers share their matrix products. Which do follows from the
    plan and the batch alone, as the last bits may.
    """
    found: dict[int, PlainValues] = {}
    stacks: dict[tuple[int, int], list[tuple[int, PlainSource, Tensor, Tensor]]] = {}
    for number, source in sources.items():
        if not isinstance(source, PlainSource) or not source.want or source.known is not None:
            found[number] = source(sites, draw)
            continue
        embedded, lengths = source.inputs(sites, draw)
        key = layers_of(source.want), embedded.shape[1]
        stacks.setdefault(key, []).append((number, source, embedded, lengths))
    for (_, n_pos), stack in stacks.items():
        size = max(STACKED_TOKENS // max((sites.stop - sites.start) * n_pos, 1), 1)
        for start in range(0, len(stack), size):
            part = stack[start : start + size]
            rows = part[0][1].rows
            made = plain_runs(
                rows.adapter,
                [embedded for _, _, embedded, _ in part],
                [lengths for _, _, _, lengths in part],
                [[(run.want, sites)] for _, run, _, _ in part],
                rows.tick(len(part) * (sites.stop - sites.start)),
            )
            found |= {one[0]: values for one, (values,) in zip(part, made, strict=True)}
    return {number: found[number] for number in sources}


def _paired(rows: Rows, number: int, spec: TreatedSpec, want: Want) -> SourceValues:
    return rows.of_column(spec.column, want)


def _resample(rows: Rows, number: int, spec: TreatedSpec, want: Want) -> SourceValues:
    return rows.of_column(spec.column, want, resample_rows(rows.task, spec))


def _noise(rows: Rows, number: int, spec: TreatedSpec, want: Want) -> SourceValues:
    task, adapter = rows.task, rows.adapter

    def inputs(sites: Sites, draw: int) -> tuple[Tensor, Tensor]:
        here = np.arange(sites.start, sites.stop)
        ids, lengths = rows.ids(task.reference, here)
        added = noise_values(task, spec, here, adapter.shape.d_model, adapter.embedding_std(), draw)
        noise = torch.from_numpy(added).to(device=adapter.device, dtype=adapter.dtype)
        return adapter.embed(ids) + noise, lengths

    return PlainSource(rows=rows, inputs=inputs, want=want)


def _zero(rows: Rows, number: int, spec: TreatedSpec, want: Want) -> SourceValues:
    groups, places = np.zeros(rows.task.n_rows, int), np.zeros(rows.task.valid.shape, int)
    return _constant(rows, ConstantTable(tables={}, groups=groups, places=places), want)


def _mean(rows: Rows, number: int, spec: TreatedSpec, want: Want) -> SourceValues:
    return _constant(rows, _means(rows, number, spec, want), want)


def _constant(rows: Rows, table: ConstantTable, want: Want) -> SourceValues:
    def values(sites: Sites, draw: int) -> PlainValues:
        found = table.values(want, rows.adapter, sites)
        for key in (("input", 0), ("resid", 0)):
            if rows.task.appended is not None and key in found.values:
                found.values[key] = _own_answers(rows, sites, found.stored[key], found.values[key])
        return found

    return values


def _own_answers(rows: Rows, sites: Sites, mask: int, constants: Tensor) -> Tensor:
    """Constants of `input` (tokens of the mask, d): in answers each token is its own."""
    here = np.arange(sites.start, sites.stop)
    ids, _ = rows.ids(rows.task.reference, here)
    row, place = sites.rows_of(mask), sites.positions_of(mask)
    behind = torch.from_numpy(place >= rows.task.prompt_lengths[here][row]).to(constants.device)
    own = rows.adapter.embed(ids)[torch.from_numpy(row), torch.from_numpy(place)]
    return torch.where(behind[:, None], own.to(constants.device), constants)


SOURCES: dict[str, Callable[[Rows, int, TreatedSpec, Want], SourceValues]] = {
    "paired": _paired,
    "mean": _mean,
    "zero": _zero,
    "noise": _noise,
    "resample": _resample,
}
"""Each kind of `TREATED_KINDS`: from a treated value, by its number in the plan, to its values."""


# ------------------------------------------------------------------------------- means


def mean_of(rows: Rows, spec: TreatedSpec, want: Want, plain: SourceValues) -> SourceValues:
    """The mean over other runs than plain ones; `plain` gives their values at every token."""
    return _constant(rows, _means(replace(rows, parts=None), -1, spec, want, plain), want)


def _means(
    rows: Rows, number: int, spec: TreatedSpec, want: Want, plain: SourceValues | None = None
) -> ConstantTable:
    """The mean of each component's output per place over the rows of a group.

    A place is a token index, or what `spec.at` names. Sums are float64: of the rows of a batch in
    their order, then of the batches in theirs.
    """
    task, adapter = rows.task, rows.adapter
    groups = mean_groups(task, spec)
    theirs = task.reading(spec.column)
    of_mean, given = _places(theirs, spec), _places(task, spec)
    if spec.placed:  # answers behind the prompts have means, and are none of what these are of
        prompts = np.arange(theirs.n_pos) < theirs.prompt_lengths[:, None]
        of_mean = np.where(prompts, of_mean, -1)
    if not want:
        return ConstantTable(tables={}, groups=groups, places=given)
    # A place may hold no token of the prompts: in self-checks `END` stands in the answer.
    n_groups, n_places = int(groups.max()) + 1, int(max(of_mean.max(), given.max())) + 1
    widths = {key: PLAIN_KINDS[key[0]].axes(adapter.shape) for key in want}
    sizes = [n_places * math.prod(width) for width in widths.values()]  # for each group
    step = max(rows.step * task.n_pos // max(task.n_pos, theirs.n_pos), 1)
    starts = range(0, task.n_rows, step)
    worth_keeping = 8 * sum(sizes) * min(n_groups * len(starts), task.n_rows) <= SUMS_BYTES
    sums = {
        key: torch.zeros((n_groups, n_places, *width), dtype=torch.float64)
        for key, width in widths.items()
    }
    counts = torch.zeros((n_groups, n_places), dtype=torch.float64)
    masks = MaskTable(theirs.valid)  # of its own: all tokens are wanted, or those of the places
    wanted = masks.intern(of_mean >= 0)
    plain = plain or rows.of_column(spec.column, dict.fromkeys(widths, wanted))
    kept = rows.kept.get(spec.column) if step == rows.step else None

    def summed(start: int) -> tuple[np.ndarray, np.ndarray, Tensor, Tensor]:
        """The groups of a batch, its sums, and the group and place of each of its tokens."""
        stop = min(start + step, task.n_rows)
        sites = Sites(masks, start, stop, adapter.device)
        here, group = np.unique(groups[start:stop], return_inverse=True)
        row = sites.rows_of(wanted)
        token = torch.from_numpy(group[row])
        place = torch.from_numpy(of_mean[start + row, sites.positions_of(wanted)])
        part = Part("sums", number, start, stop)
        found = rows.found(part, (1, len(here) * sum(sizes))) if worth_keeping else None
        if found is None:
            if kept is not None and isinstance(plain, PlainSource):
                values = kept.read(plain, sites)
            else:
                values = plain(sites, 0)
            each = {key: values.at(key, wanted, sites) for key in widths}
            found = _sums(each, widths, (len(here), n_places), (token, place))
            if worth_keeping:
                rows.keep(part, found)
        return here, found[0], token, place

    batches = [Part("sums", number, start, min(start + step, task.n_rows)) for start in starts]
    early = {part.start: summed(part.start)
             for part in (rows.ahead(batches) if worth_keeping else ())}  # fmt: skip
    for start in starts:
        here, found, token, place = early.pop(start) if start in early else summed(start)
        where = torch.from_numpy(here)
        counts.index_put_((where[token], place), torch.ones(len(token), dtype=torch.float64), True)
        pieces = np.split(found, np.cumsum([len(here) * size for size in sizes])[:-1])
        for (key, width), piece in zip(widths.items(), pieces, strict=True):
            sums[key][where] += torch.from_numpy(piece).reshape(len(here), n_places, *width)
    tables = {
        key: (total / counts.clamp(min=1).reshape(*counts.shape, *[1] * (total.dim() - 2))).to(
            adapter.dtype
        )
        for key, total in sums.items()
    }
    return ConstantTable(tables=tables, groups=groups, places=given)


def _places(task: TaskData, spec: TreatedSpec) -> np.ndarray:
    """(rows, pos) the place of each token, -1 for none: without places of its own its index."""
    if spec.placed:
        return places(task, spec)
    return np.broadcast_to(np.arange(task.n_pos), task.valid.shape)


def _sums(
    plain: Mapping[Key, Tensor],
    widths: Mapping[Key, tuple[int, ...]],
    size: tuple[int, int],
    where: tuple[Tensor, Tensor],
) -> np.ndarray:
    """(1, sums) of the values of one batch by group and place, key after key."""
    found = []
    for key, width in widths.items():
        total = torch.zeros((*size, *width), dtype=torch.float64)
        total.index_put_(where, plain[key].double().cpu(), True)
        found.append(total.reshape(-1).numpy())
    return np.concatenate(found)[None]
