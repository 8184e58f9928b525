"""How the values of each kind of treated value are computed: a plain run by batch, or a table.

A kind is one function of `SOURCES`: called once before the first batch, it gives what is called
for each batch and draw. What holds for all batches (means, the rows drawn) is computed in between.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.data.places import places as named_places
from pathdsl.engine.data.positions import resolve_positions
from pathdsl.engine.data.treated import mean_groups, noise_values, resample_rows
from pathdsl.engine.run.kept import Block, BlockRun, Kept, Tables, Tokens
from pathdsl.engine.run.parts import Part, Parts
from pathdsl.engine.run.plain import ConstantTable, Key, PlainValues, layers_of
from pathdsl.engine.run.sites import Sites
from pathdsl.plan.masks import MaskTable
from pathdsl.plan.steps import PLAIN_KINDS
from pathdsl.plan.taskdata import TaskData
from pathdsl.plan.treated import TreatedSpec

__all__ = ["SOURCES", "PlainSource", "Rows", "SourceValues", "Want", "mean_of", "of_batch"]

Want = Mapping[Key, int]
"""The values that a plan reads of a source, with the masks of tokens at which it does."""

SourceValues = Callable[[Sites, int], PlainValues]
"""The values of one source for a batch and a draw by number."""

SUMS_BYTES = 256_000_000
"""Bytes of the sums behind one mean that are worth keeping."""

TABLE_BYTES = 32_000_000
"""Bytes of the sums of a mean up to which all of the layers that runs come by are summed."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a task on a model, `step` to a batch.

    `tick`: what a plain run of so many rows calls after each layer. `parts`: what is known already.
    `block`: how many rows of prompts of so many tokens are a block; None: as many as are asked for.
    `kept`: what is known of blocks. `asked`: (rows,) bool, None for all.
    """

    task: TaskData
    adapter: Adapter
    step: int
    tick: Callable[[int], Callable[[], None]]
    parts: Parts | None = None
    block: Callable[[int], int] | None = None
    kept: Kept = field(default_factory=lambda: Kept(0))
    asked: np.ndarray | None = None

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

    def of_column(self, column: str, want: Want, partners: np.ndarray | None = None) -> PlainSource:
        """Plain runs of a column on each row, or on its `partners`, (draws, rows) row numbers."""

        def enters(here: np.ndarray, draw: int) -> BlockRun:
            of = None if partners is None else partners[draw][here]
            ids, lengths = self.ids(column, here, of)
            return self.entering(ids, lengths)

        return PlainSource(
            rows=self, enters=enters, want=want, n_pos=self.task.reading(column).n_pos
        )

    def entering(
        self,
        ids: Tensor,
        lengths: Tensor,
        added: Callable[[], Tensor] | None = None,
        what: str = "",
    ) -> BlockRun:
        """The run of a block of prompts; `added` to its embeddings is what `what` says."""

        def embedded() -> Tensor:
            return self.adapter.embed(ids) if added is None else self.adapter.noised(ids, added())

        of = f"{self.kept.owner} {what} {tuple(ids.shape)} ".encode()
        name = hashlib.blake2b(of + ids.numpy().tobytes() + lengths.numpy().tobytes()).digest()
        return BlockRun(
            name=name, adapter=self.adapter, embedded=embedded, lengths=lengths.numpy(),
            tick=self.tick(len(ids)), share=len(ids) / self.task.n_rows,
        )  # fmt: skip

    def blocks(self, start: int, stop: int, n_pos: int) -> Iterator[tuple[int, int]]:
        """The blocks of prompts of so many tokens that rows `start` to `stop` lie in."""
        if self.block is None:
            yield start, stop
            return
        size = self.block(n_pos)
        for first in range(start - start % size, stop, size):
            yield first, min(first + size, self.task.n_rows)


@dataclass(slots=True, kw_only=True, eq=False)
class PlainSource:
    """The values of a source that is a plain run.

    `enters`: the run of a block of rows, by number, in a draw; `n_pos`: tokens of the longest
    prompt that it is of.
    """

    rows: Rows
    enters: Callable[[np.ndarray, int], BlockRun]
    want: Want
    n_pos: int
    _last: tuple[bytes, Block] | None = None

    def __call__(self, sites: Sites, draw: int, *, keep: bool = True) -> PlainValues:
        """Its values for a batch and a draw; `keep`: whether a plan reads them."""
        if not self.want:
            return PlainValues()
        pieces: dict[Key, list[Tensor]] = {}
        for start, stop in self.rows.blocks(sites.start, sites.stop, self.n_pos):
            run = self.enters(np.arange(start, stop), draw)
            block = self._block(run, self.tokens(sites.masks, run, start), keep, stop > sites.stop)
            here = self.tokens(sites.masks, run, start, (sites.start, sites.stop))
            for key, where in here.items():
                if key in block.values:
                    pieces.setdefault(key, []).append(block.at(key, where))
        values = {key: of[0] if len(of) == 1 else torch.cat(of) for key, of in pieces.items()}
        return PlainValues(stored={key: self.want[key] for key in values}, values=values)

    def _block(self, run: BlockRun, wanted: Tokens, keep: bool, goes_on: bool) -> Block:
        """A block; where it `goes_on` in the next batch it stays at hand."""
        if self._last is not None and self._last[0] == run.name:
            block = self._last[1]
        else:
            block = self.rows.kept.block(run, wanted, keep=keep)
        self._last = (run.name, block) if goes_on else None
        return block

    def tokens(
        self, masks: MaskTable, run: BlockRun, start: int, among: tuple[int, int] | None = None
    ) -> Tokens:
        """The tokens of a block that are wanted of each value, `among` rows first to end."""
        n_rows, n_pos = run.real.shape
        of_rows = np.ones(self.rows.task.n_rows, bool)
        if self.rows.asked is not None:
            of_rows = self.rows.asked
        inside = of_rows[start : start + n_rows]
        if among is not None:
            number = np.arange(start, start + n_rows)
            inside = inside & (number >= among[0]) & (number < among[1])
        found: dict[int, np.ndarray] = {}
        for mask in {*self.want.values()}:
            where = masks.array(mask)[start : start + n_rows, :n_pos]
            found[mask] = where if inside.all() else where & inside[:, None]
        return {key: found[mask] for key, mask in self.want.items()}

    def all_blocks(
        self, masks: MaskTable, spans: Iterable[tuple[int, int]], draws: Iterable[int]
    ) -> Iterator[tuple[BlockRun, Tokens]]:
        """Each block of these rows, first to end, with what is wanted of it."""
        starts = {span for a, b in spans for span in self.rows.blocks(a, b, self.n_pos)}
        for start, stop in sorted(starts) if self.want else ():
            for draw in draws:
                run = self.enters(np.arange(start, stop), draw)
                yield run, self.tokens(masks, run, start)


def of_batch(
    sources: Mapping[int, SourceValues], sites: Sites, draw: int
) -> dict[int, PlainValues]:
    """The values of sources for a batch and a draw."""
    return {number: source(sites, draw) for number, source in sources.items()}


def _paired(rows: Rows, number: int, spec: TreatedSpec, want: Want) -> SourceValues:
    return rows.of_column(spec.column, want)


def _resample(rows: Rows, number: int, spec: TreatedSpec, want: Want) -> SourceValues:
    return rows.of_column(spec.column, want, resample_rows(rows.task, spec))


def _noise(rows: Rows, number: int, spec: TreatedSpec, want: Want) -> SourceValues:
    task, adapter = rows.task, rows.adapter
    places = [resolve_positions(task, at) for at in spec.at]

    def enters(here: np.ndarray, draw: int) -> BlockRun:
        ids, lengths = rows.ids(task.reference, here)

        def noise() -> Tensor:
            std = adapter.embedding_std()
            added = noise_values(task, spec, here, adapter.shape.d_model, std, draw)
            return torch.from_numpy(added[:, : ids.shape[1]]).to(adapter.device, adapter.dtype)

        which = [(task.row_ids[row], *(at[row] for at in places)) for row in here]
        return rows.entering(ids, lengths, noise, f"{spec!r} {draw} {which}")

    return PlainSource(rows=rows, enters=enters, want=want, n_pos=task.n_pos)


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
    own = own[:, : constants.shape[-1]]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """What a mean is over: `groups` (rows,) of rows, `places` (rows, pos) of tokens, -1 for none.

    `given`: (rows, pos) the places of the tokens that get it; `theirs`: the rows as the runs behind
    it have them. `sizes`: how many groups and places there are.
    """

    theirs: TaskData
    groups: np.ndarray
    places: np.ndarray
    given: np.ndarray
    sizes: tuple[int, int]

    @classmethod
    def of(cls, task: TaskData, spec: TreatedSpec) -> Mean:
        """That of a treated value."""
        groups, theirs = mean_groups(task, spec), task.reading(spec.column)
        of_mean, given = _places(theirs, spec), _places(task, spec)
        if spec.placed:  # answers behind the prompts have means, and are none of what these are of
            prompts = np.arange(theirs.n_pos) < theirs.prompt_lengths[:, None]
            of_mean = np.where(prompts, of_mean, -1)
        # A place may hold no token of the prompts: in self-checks `END` stands in the answer.
        sizes = int(groups.max()) + 1, int(max(of_mean.max(), given.max())) + 1
        return cls(theirs=theirs, groups=groups, places=of_mean, given=given, sizes=sizes)

    def name(self, rows: Rows, column: str) -> bytes:
        """What decides the mean, of which model: which tokens go into which sum of which block."""
        arrays = rows.task.prompts[column], self.theirs.lengths, self.groups, self.places
        shapes = [array.shape for array in arrays]
        found = hashlib.blake2b(f"mean {rows.kept.owner} {self.sizes} {shapes}".encode())
        for array in arrays:
            found.update(np.ascontiguousarray(array).tobytes())
        return found.digest()

    def wanted(self, rows: Rows, want: Want) -> list[Key]:
        """What is averaged where some is wanted: of small means the same kinds up to that layer."""
        kinds, last = {kind for kind, _ in want} & {"head", "attn", "mlp"}, layers_of(want)
        every = [(kind, layer) for kind in sorted(kinds) for layer in range(last)]
        shape = rows.adapter.shape
        width = sum(math.prod(PLAIN_KINDS[kind].axes(shape, layer)) for kind, layer in every)
        small = 8 * math.prod(self.sizes) * width <= TABLE_BYTES
        return [*dict.fromkeys([*want, *(every if small else ())])]


def mean_runs(rows: Rows, spec: TreatedSpec, want: Want) -> Iterator[tuple[BlockRun, int]]:
    """The blocks that a mean takes if it is not known, each with the layers it goes through."""
    mean = Mean.of(rows.task, spec)
    if {*want} <= {*rows.kept.tables(mean.name(rows, spec.column))}:
        return
    source = rows.of_column(spec.column, want)
    for start, stop in rows.blocks(0, rows.task.n_rows, source.n_pos):
        yield source.enters(np.arange(start, stop), 0), layers_of(want)


def _means(
    rows: Rows, number: int, spec: TreatedSpec, want: Want, plain: SourceValues | None = None
) -> ConstantTable:
    """The mean of each component's output per place over the rows of a group.

    A place is a token index, or what `spec.at` names. Sums are float64: of the rows of a block in
    their order, then of the blocks in theirs.
    """
    mean = Mean.of(rows.task, spec)
    if not want:
        return ConstantTable(tables={}, groups=mean.groups, places=mean.given)
    if plain is not None or rows.block is None:
        tables = _averaged(rows, number, spec, want, mean, plain)
        return ConstantTable(tables=tables, groups=mean.groups, places=mean.given)
    name = mean.name(rows, spec.column)
    tables = rows.kept.tables(name)
    if not {*want} <= {*tables}:
        tables = _averaged(rows, number, spec, want, mean, None)
        rows.kept.keep_tables(name, tables)
    return ConstantTable(tables=tables, groups=mean.groups, places=mean.given)


def _averaged(
    rows: Rows,
    number: int,
    spec: TreatedSpec,
    want: Want,
    mean: Mean,
    plain: SourceValues | None,
) -> Tables:
    """(groups, places, …) of each value, what no token goes into being 0."""
    task, adapter, theirs, groups = rows.task, rows.adapter, mean.theirs, mean.groups
    n_groups, n_places = mean.sizes
    keys = [*want] if plain is not None else mean.wanted(rows, want)
    widths = {key: PLAIN_KINDS[key[0]].axes(adapter.shape, key[1]) for key in keys}
    sizes = [n_places * math.prod(width) for width in widths.values()]  # for each group
    step = max(rows.step * task.n_pos // max(task.n_pos, theirs.n_pos), 1)
    if plain is None and rows.block is not None:  # what is averaged hangs on no plan
        step = rows.block(theirs.n_pos)
    starts = range(0, task.n_rows, step)
    worth_keeping = 8 * sum(sizes) * min(n_groups * len(starts), task.n_rows) <= SUMS_BYTES
    sums: dict[Key, Tensor] = {}
    counts = torch.zeros((n_groups, n_places), dtype=torch.float64)
    masks = MaskTable(theirs.valid)  # of its own: all tokens are wanted, or those of the places
    wanted = masks.intern(mean.places >= 0)
    own = replace(rows, asked=None).of_column(spec.column, dict.fromkeys(widths, wanted))

    def summed(start: int) -> tuple[np.ndarray, Iterable[Tensor], Tensor, Tensor]:
        """The groups of a batch, the sums of each value, and the group and place of each token."""
        stop = min(start + step, task.n_rows)
        sites = Sites(masks, start, stop, adapter.device)
        here, group = np.unique(groups[start:stop], return_inverse=True)
        row = sites.rows_of(wanted)
        token = torch.from_numpy(group[row])
        place = torch.from_numpy(mean.places[start + row, sites.positions_of(wanted)])
        part = Part("sums", number, start, stop)
        each = [len(here) * size for size in sizes]
        found = rows.found(part, (1, sum(each))) if worth_keeping else None
        sums: Iterable[Tensor] = ()
        if found is None:
            values = own(sites, 0, keep=False) if plain is None else plain(sites, 0)
            at = {key: values.at(key, wanted, sites) for key in widths}
            sums = _sums(at, widths, (len(here), n_places), (token, place))
            if worth_keeping and rows.parts is not None:
                found = torch.cat([total.flatten() for total in sums]).numpy()[None]
                rows.keep(part, found)
        if found is not None:
            pieces = torch.from_numpy(found[0]).split(each)
            shapes = [(len(here), n_places, *width) for width in widths.values()]
            sums = (piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True))
        return here, sums, token, place

    def mean_of(total: Tensor) -> Tensor:
        counted = counts.clamp(min=1).reshape(*counts.shape, *[1] * (total.dim() - 2))
        return (total / counted).to(adapter.dtype)

    batches = [Part("sums", number, start, min(start + step, task.n_rows)) for start in starts]
    early = {part.start: summed(part.start)
             for part in (rows.ahead(batches) if worth_keeping else ())}  # fmt: skip
    tables: Tables = {}
    for start in starts:
        here, found, token, place = early.pop(start) if start in early else summed(start)
        where = torch.from_numpy(here)
        counts.index_put_((where[token], place), torch.ones(len(token), dtype=torch.float64), True)
        for key, total in zip(widths, found, strict=True):
            if len(starts) == 1 and len(here) == n_groups:  # one value at a time is held in float64
                tables[key] = mean_of(total)
                continue
            if key not in sums:
                sums[key] = torch.zeros((n_groups, n_places, *widths[key]), dtype=torch.float64)
            sums[key][where] += total
    return tables or {key: mean_of(sums.pop(key)) for key in widths}


def _places(task: TaskData, spec: TreatedSpec) -> np.ndarray:
    """(rows, pos) the place of each token, -1 for none: without places of its own its index."""
    if spec.placed:
        return named_places(task, spec)
    return np.broadcast_to(np.arange(task.n_pos), task.valid.shape)


def _sums(
    plain: Mapping[Key, Tensor],
    widths: Mapping[Key, tuple[int, ...]],
    size: tuple[int, int],
    where: tuple[Tensor, Tensor],
) -> Iterator[Tensor]:
    """The sums of the values of one batch by group and place, one value after another."""
    for key, width in widths.items():
        total = torch.zeros((*size, *width), dtype=torch.float64)
        yield total.index_put_(where, plain[key].double().cpu(), True)
