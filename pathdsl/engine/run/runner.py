"""Runs a plan over all rows: batches, draws, constants; from a plan to numbers per prompt.

Batches follow from the plan and stated limits: how many rows share a batch may move the last bits
of a value, so it is never decided by what happens to be free or how far another process has come.
Each *part*, the values of one batch for one draw, has the same bits whatever else was computed
before it, beside it or elsewhere: parts that are known already (`Parts`) are not computed again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.data.treated import mean_groups, noise_values, resample_rows
from pathdsl.engine.meter import Meter
from pathdsl.engine.run.execute import BatchExecution
from pathdsl.engine.run.measure import measure_outputs
from pathdsl.engine.run.plain import ConstantTable, Key, PlainValues, plain_run
from pathdsl.engine.run.sites import Sites
from pathdsl.plan.liveness import Cost, cost, schedule
from pathdsl.plan.masks import TRUE, MaskTable
from pathdsl.plan.readout import Measure
from pathdsl.plan.steps import REFERENCE, SCALES, PlainResid, Plan, treated_source
from pathdsl.plan.taskdata import TaskData
from pathdsl.plan.treated import TreatedSpec

DEFAULT_MEMORY = 256_000_000
BATCH_MACS = {"cpu": 400_000_000_000}
OTHER_MACS = 40_000_000_000_000
"""Multiply-adds of one batch at most, by the kind of device: a few seconds, which is what a check
that is cut off has to do again."""
SUMS_BYTES = 256_000_000
"""Bytes of the sums behind one mean that are worth keeping."""
Values = dict[tuple[int, Measure], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to execute: bytes that values of one batch may take; null: treated := reference.

    `cost`: the plan's, where it is known already.
    """

    memory: int = DEFAULT_MEMORY
    null_pair: bool = False
    rows: int | None = None
    cost: Cost | None = None


class Part(NamedTuple):
    """What is computed at one go: rows `start` to `stop` of the task.

    `kind` is `values`: of every measure of every output for draw number `number`, (values, rows) in
    the order of the plan's outputs and their measures; or `sums`: of what the constant of treated
    value number `number` is the mean of, (1, sums).
    """

    kind: str
    number: int
    start: int
    stop: int


class Parts(Protocol):
    """Parts of one plan that are known, and where the others go."""

    def found(self, part: Part, shape: tuple[int, int]) -> np.ndarray | None:
        """The numbers of a part of that shape, float64, or None."""

    def keep(self, part: Part, numbers: np.ndarray) -> None:
        """The numbers of a part that was computed."""


def rows_per_batch(plan: Plan, itemsize: int, memory: int, device: str = "cpu") -> int:
    """How many rows go together; a function of the plan, the limit and the kind of device only."""
    return rows_within(plan, plan_cost(plan, itemsize), memory, device)


def rows_within(plan: Plan, weighed: Cost, memory: int, device: str) -> int:
    """As `rows_per_batch`, where the plan's cost is known."""
    n_rows = max(plan.masks.n_rows, 1)
    macs = max(weighed.macs // (n_rows * plan.draws), 1)
    by_macs = max(BATCH_MACS.get(device, OTHER_MACS) // macs, 1)
    equal = -(-n_rows // -(-n_rows // by_macs))  # as many batches, of one size: no small last one
    return max(1, min(plan.masks.n_rows, memory // max(weighed.row_bytes, 1), equal))


def plan_cost(plan: Plan, itemsize: int) -> Cost:
    """What a plan costs with the measures that it has."""
    return cost(plan, itemsize, vocab_columns(plan))


def vocab_columns(plan: Plan) -> int | None:
    """Vocabulary columns that a plan's measures read; None when some read all of them."""
    if any(m.record.vocabulary for output in plan.outputs for m in output.measures):
        return None
    return max((len(output.measures) for output in plan.outputs), default=0)


def values_of(plan: Plan) -> list[tuple[int, Measure]]:
    """The values of a plan in the order of its parts."""
    return [(n, measure) for n, output in enumerate(plan.outputs) for measure in output.measures]


def execute(
    plan: Plan,
    task: TaskData,
    adapter: Adapter,
    settings: Settings,
    meter: Meter | None = None,
    parts: Parts | None = None,
) -> Values:
    """(output number, measure) to (draws, rows) float64 for every output of a plan."""
    with torch.no_grad():
        return _Execution(plan, task, adapter, settings, meter or Meter(), parts).values()


class _Execution:
    """One plan on all rows."""

    def __init__(
        self,
        plan: Plan,
        task: TaskData,
        adapter: Adapter,
        settings: Settings,
        meter: Meter,
        parts: Parts | None,
    ) -> None:
        self.plan, self.task, self.adapter, self.settings = plan, task, adapter, settings
        self.meter, self.parts = meter, parts
        self.n_rows = min(settings.rows or task.n_rows, task.n_rows)
        self.cost = settings.cost or plan_cost(plan, adapter.dtype.itemsize)
        self.step = rows_within(plan, self.cost, settings.memory, adapter.device.type)
        self.wanted = plain_wants(plan)
        self.final = reference_final(plan)
        self.order = schedule(plan)
        self.patterns = {
            source: mask
            for output in plan.outputs
            for read in output.attention
            for source, mask in read.blend
            if source >= 0
        }
        self.permutations = {
            number: resample_rows(task, spec)
            for number, spec in enumerate(plan.treated)
            if spec.kind == "resample"
        }
        self.constants: dict[int, ConstantTable] = {}

    def values(self) -> Values:
        """What is not known yet, computed, and all of it put together."""
        plan, names = self.plan, values_of(self.plan)
        whole = np.empty((len(names), plan.draws, self.n_rows))
        todo: list[tuple[int, int, list[int]]] = []
        for start in range(0, self.n_rows, self.step):
            stop = min(start + self.step, self.n_rows)
            missing = []
            for draw in range(plan.draws):
                part = Part("values", draw, start, stop)
                known = self._found(part, (len(names), stop - start))
                if known is None:
                    missing.append(draw)
                else:
                    whole[:, draw, start:stop] = known
            if missing:
                todo.append((start, stop, missing))
        self.meter.start(self.meter.what, self._work(todo))
        if todo and not self.settings.null_pair:
            for number, spec in enumerate(plan.treated):
                if spec.constant:
                    self.constants[number] = self._constants(number, spec)
        for start, stop, draws in todo:
            sites = Sites(plan.masks, start, stop, self.adapter.device)
            reference = self._column(self.task.reference, None, sites, self.wanted[REFERENCE])
            for draw in draws:
                measured = self._batch(sites, draw, reference)
                numbers = np.empty((len(names), stop - start))
                for place, name in enumerate(names):
                    numbers[place] = measured[name]
                whole[:, draw, start:stop] = numbers
                self._keep(Part("values", draw, start, stop), numbers)
        self.meter.end()
        return {name: whole[number] for number, name in enumerate(names)}

    def _batch(
        self, sites: Sites, draw: int, reference: PlainValues
    ) -> dict[tuple[int, Measure], np.ndarray]:
        """(output number, measure) to (rows of the batch,) for one draw."""
        plan, task, adapter = self.plan, self.task, self.adapter
        sources: dict[int, PlainValues] = {REFERENCE: reference}
        for number, spec in enumerate(plan.treated):
            source = treated_source(number)
            want = self.wanted[source]
            if self.settings.null_pair:
                sources[source] = self._column(task.reference, None, sites, want)
            elif spec.constant:
                sources[source] = self.constants[number].values(want, adapter, sites)
            elif spec.kind == "noise":
                sources[source] = self._noise(spec, sites, want)
            else:
                rows = self.permutations[number][draw] if spec.kind == "resample" else None
                sources[source] = self._column(spec.column, rows, sites, want)
        rows_of_all = plan.masks.n_rows
        n_rows = sites.stop - sites.start
        execution = BatchExecution(plan, self.order, adapter, sites, sources, self.patterns)
        execution.run(
            lambda slot: self.meter.add(self.cost.by_slot.get(slot, 0) * n_rows // rows_of_all)
        )
        each = self.cost.readout * n_rows // (rows_of_all * max(len(plan.outputs), 1))
        return measure_outputs(
            plan, task, adapter, execution, sites, self.final, lambda: self.meter.add(each)
        )

    # ---------------------------------------------------------------------------------------------

    def _found(self, part: Part, shape: tuple[int, int]) -> np.ndarray | None:
        return self.parts.found(part, shape) if self.parts is not None else None

    def _keep(self, part: Part, numbers: np.ndarray) -> None:
        if self.parts is not None:
            self.parts.keep(part, numbers)

    def _work(self, todo: Sequence[tuple[int, int, list[int]]]) -> int:
        """Multiply-adds of what is to do, as the meter will count them."""
        each = self.cost.plain_run // max(self.plan.masks.n_rows, 1)
        own, means = 0, 0
        for number, spec in enumerate(self.plan.treated):
            if not self.wanted[treated_source(number)]:
                continue
            if spec.constant and not self.settings.null_pair:
                means += spec.kind != "zero"
            else:
                own += 1
        rows = sum(stop - start for start, stop, _ in todo)
        drawn = sum((stop - start) * len(draws) for start, stop, draws in todo)
        copies = (sum(self.cost.by_slot.values()) + self.cost.readout) * drawn
        total = copies // max(self.plan.masks.n_rows, 1) + each * own * drawn
        total += each * rows * bool(self.wanted[REFERENCE])
        return total + (each * means * self.task.n_rows if todo else 0)

    def _layer(self, n_rows: int) -> Callable[[], None]:
        """What a plain run of so many rows tells after each layer."""
        share = max(self.plan.masks.n_rows, 1) * self.adapter.shape.n_layers
        each = self.cost.plain_run * n_rows // share
        return lambda: self.meter.add(each)

    def _column(
        self, column: str, permutation: np.ndarray | None, sites: Sites, want: Mapping[Key, int]
    ) -> PlainValues:
        """A plain run of one prompt column on the batch's rows, or on the rows drawn for them."""
        if not want:
            return PlainValues()
        rows = np.arange(sites.start, sites.stop)
        if permutation is not None:
            rows = permutation[rows]
        ids, lengths = _batch_ids(self.task, column, rows)
        embedded = self.adapter.embed(ids)
        return plain_run(self.adapter, embedded, lengths, want, sites, self._layer(len(rows)))

    def _noise(self, spec: TreatedSpec, sites: Sites, want: Mapping[Key, int]) -> PlainValues:
        adapter = self.adapter
        rows = np.arange(sites.start, sites.stop)
        ids, lengths = _batch_ids(self.task, self.task.reference, rows)
        embedded = adapter.embed(ids)
        noise = noise_values(
            self.task, spec, rows, adapter.shape.d_model, adapter.embedding_std()
        )[:, : ids.shape[1]]  # fmt: skip
        noise = torch.from_numpy(noise).to(device=adapter.device, dtype=adapter.dtype)
        return plain_run(adapter, embedded + noise, lengths, want, sites, self._layer(len(rows)))

    def _constants(self, number: int, spec: TreatedSpec) -> ConstantTable:
        """Zero, or the mean of each component's output per token index over the rows of a group.

        Sums are float64: of the rows of a batch in their order, then of the batches in theirs.
        """
        task, want = self.task, self.wanted[treated_source(number)]
        if spec.kind == "zero" or not want:
            return ConstantTable(tables={}, groups=np.zeros(task.n_rows, np.int64))
        groups = mean_groups(task, spec)
        n_groups = int(groups.max()) + 1
        widths = {key: _width(key, self.adapter) for key in want}
        each = task.n_pos * sum(math.prod(width) for width in widths.values())
        starts = range(0, task.n_rows, self.step)
        worth_keeping = 8 * each * min(n_groups * len(starts), task.n_rows) <= SUMS_BYTES
        sums = {
            key: torch.zeros((n_groups, task.n_pos, *width), dtype=torch.float64)
            for key, width in widths.items()
        }
        counts = torch.zeros((n_groups, task.n_pos), dtype=torch.float64)
        masks = MaskTable(task.valid)  # of its own: all tokens are wanted
        for start in starts:
            stop = min(start + self.step, task.n_rows)
            sites = Sites(masks, start, stop, self.adapter.device)
            here, group = np.unique(groups[start:stop], return_inverse=True)
            token = torch.from_numpy(group[sites.rows_of(TRUE)])
            place = torch.from_numpy(sites.positions_of(TRUE))
            part = Part("sums", number, start, stop)
            known = self._found(part, (1, len(here) * each)) if worth_keeping else None
            if known is None:
                known = self._sums(spec, sites, widths, (len(here), token, place))
                if worth_keeping:
                    self._keep(part, known)
            where = torch.from_numpy(here)
            counts.index_put_(
                (where[token], place), torch.ones(len(token), dtype=torch.float64), True
            )
            pieces = np.split(
                known[0],
                np.cumsum([len(here) * task.n_pos * math.prod(w) for w in widths.values()])[:-1],
            )
            for (key, width), piece in zip(widths.items(), pieces, strict=True):
                sums[key][where] += torch.from_numpy(piece).reshape(len(here), task.n_pos, *width)
        tables = {
            key: (total / counts.clamp(min=1).reshape(*counts.shape, *[1] * (total.dim() - 2))).to(
                self.adapter.dtype
            )
            for key, total in sums.items()
        }
        return ConstantTable(tables=tables, groups=groups)

    def _sums(
        self,
        spec: TreatedSpec,
        sites: Sites,
        widths: Mapping[Key, tuple[int, ...]],
        where: tuple[int, Tensor, Tensor],
    ) -> np.ndarray:
        """(1, sums) of the values of one batch by group and position, key after key."""
        n_groups, group, place = where
        values = self._column(
            spec.column or self.task.reference, None, sites, dict.fromkeys(widths, TRUE)
        )
        found = []
        for key, width in widths.items():
            total = torch.zeros((n_groups, self.task.n_pos, *width), dtype=torch.float64)
            total.index_put_((group, place), values.values[key].double().cpu(), True)
            found.append(total.reshape(-1).numpy())
        return np.concatenate(found)[None]


def _width(key: Key, adapter: Adapter) -> tuple[int, ...]:
    """The axes of a plain value beside its tokens."""
    shape = adapter.shape
    match key[0]:
        case "head":
            return shape.n_heads, shape.d_head
        case "hidden":
            return (shape.d_mlp + 1,)
        case kind if kind in SCALES:
            return (1,)
        case _:
            return (shape.d_model,)


def plain_wants(plan: Plan) -> dict[int, dict[Key, int]]:
    """For each source the values that the plan reads of it, with the masks of tokens."""
    wanted: dict[int, dict[Key, int]] = defaultdict(dict)
    for (source, kind, layer), mask in plan.plain_need.items():
        wanted[source][kind, layer] = mask
    for number in plan.alive:
        step = plan.steps[number]
        if isinstance(step, PlainResid):
            wanted[step.source]["resid", step.stage] = plan.need[number]
    return wanted


def reference_final(plan: Plan) -> int | None:
    """The step of the reference run's final residual stream, if the plan has it."""
    wanted = PlainResid(stage=2 * plan.shape.n_layers, source=REFERENCE)
    return next((n for n in plan.alive if plan.steps[n] == wanted), None)


def _batch_ids(task: TaskData, column: str, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    lengths = task.lengths[rows]
    ids = task.prompts[column][rows][:, : int(lengths.max())]
    return torch.from_numpy(np.ascontiguousarray(ids)), torch.from_numpy(lengths)
