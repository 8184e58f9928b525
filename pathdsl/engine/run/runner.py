"""Runs a plan over all rows: batches, draws, constants; from a plan to numbers per prompt.

Batches follow from the plan and stated limits: how many rows share a batch may move the last bits
of a value, so it is never decided by what happens to be free or how far another process has come.
Each *part*, the values of one batch for one draw, has the same bits whatever else was computed
before it, beside it or elsewhere: parts that are known already (`Parts`) are not computed again.
Plain runs and constants go by blocks of rows that are the same for all plans (`Kept`), of which
batches are made up, or which are made up of batches.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.heap import LARGE_BYTES, give_back, give_back_much
from pathdsl.engine.meter import Meter
from pathdsl.engine.run.execute import BatchExecution
from pathdsl.engine.run.kept import Kept, block_bytes, block_rows
from pathdsl.engine.run.measure import measure_outputs
from pathdsl.engine.run.parts import Part, Parts
from pathdsl.engine.run.plain import PlainValues
from pathdsl.engine.run.sites import Decided, Sites
from pathdsl.engine.run.treated import (
    SOURCES,
    PlainSource,
    Rows,
    SourceValues,
    mean_runs,
    of_batch,
)  # fmt: skip
from pathdsl.engine.run.under import pattern_masks, plain_wants, source_of
from pathdsl.plan.liveness import DEFAULT_MEMORY, Cost, cost, schedule, share_of
from pathdsl.plan.masks import FALSE
from pathdsl.plan.outputs import Plan
from pathdsl.plan.readout import Measure
from pathdsl.plan.steps import REFERENCE, PlainResid, treated_source
from pathdsl.plan.taskdata import TaskData

BATCH_MACS = {"cpu": 1_200_000_000_000}
OTHER_MACS = 40_000_000_000_000
"""Multiply-adds of one batch at most, by the kind of device: seconds, half a minute on one slow
core, which is what a check that is cut off has to do again. The interpreter's part is paid once a
batch."""
Values = dict[tuple[int, Measure], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to execute: bytes that values may take, half of them those of one batch and half what is
    kept of plain runs; null: treated := reference.

    `rows`: those to run by number, ascending; None: all. `blocks`: the batches to run by number,
    whose parts are handed over; rows of others are nan. None: all.
    """

    memory: int = DEFAULT_MEMORY
    null_pair: bool = False
    rows: Sequence[int] | None = None
    blocks: Collection[int] | None = None


def rows_per_batch(plan: Plan, itemsize: int, memory: int, device: str = "cpu") -> int:
    """How many rows go together; a function of the plan, the limit and the kind of device only."""
    return rows_within(plan, plan_cost(plan, itemsize), memory, device)


def rows_within(plan: Plan, weighed: Cost, memory: int, device: str) -> int:
    """As `rows_per_batch`, where the plan's cost is known.

    Whole blocks of plain runs, in batches of about one size, so that no small one is last; or what
    a block is made up of.
    """
    n_rows = max(plan.masks.n_rows, 1)
    macs = max(weighed.macs // (n_rows * plan.draws), 1)
    by_macs = max(BATCH_MACS.get(device, OTHER_MACS) // macs, 1)
    most = max(1, min(share_of(memory) // max(weighed.row_bytes, 1), by_macs))
    if most >= n_rows:
        return plan.masks.n_rows
    block = block_rows(plan.shape, plan.masks.n_pos, memory)
    if most < block:
        return 1 << (most.bit_length() - 1)
    blocks = -(-n_rows // block)
    batches = -(-blocks // (most // block))
    return block * -(-blocks // batches)


def least_memory(plan: Plan, weighed: Cost) -> int:
    """Bytes that the values of a plan have to be given, one row at a time."""
    return 2 * max(weighed.row_bytes, block_bytes(plan.shape, plan.masks.n_pos))


def plan_cost(plan: Plan, itemsize: int) -> Cost:
    """What a plan costs with the measures that it has."""
    return cost(plan, itemsize, vocab_columns(plan))


def vocab_columns(plan: Plan) -> int | None:
    """Vocabulary columns that a plan's measures read; None when some read all of them."""
    read = [[m for m in output.measures if m.at_logits] for output in plan.outputs]
    if any(m.record.vocabulary for measures in read for m in measures):
        return None
    return max(map(len, read), default=0)


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
    kept: Kept | None = None,
) -> Values:
    """(output number, measure) to (draws, rows) float64 for every output of a plan, on the rows
    that the settings name.

    `kept`: plain runs and constants of this model that other plans made, and where to leave those
    of this one. Without it some rows by number are run alone, in no blocks with others.
    """
    with torch.no_grad():
        return _Execution(plan, task, adapter, settings, meter or Meter(), parts, kept).values()


def expect(plan: Plan, task: TaskData, adapter: Adapter, settings: Settings, kept: Kept) -> None:
    """Say what a plan will read of plain runs, before others make them."""
    _Execution(plan, task, adapter, settings, Meter(), None, kept).expect()


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
        kept: Kept | None,
    ) -> None:
        self.plan, self.task, self.adapter, self.settings = plan, task, adapter, settings
        self.meter = meter
        self.cost = plan_cost(plan, adapter.dtype.itemsize)
        self.step = rows_within(plan, self.cost, settings.memory, adapter.device.type)
        self.wanted = plain_wants(plan)
        self.same = self._same()
        for source in self.same:
            for key, mask in self.wanted[source].items():
                known = self.wanted[REFERENCE].get(key, FALSE)
                self.wanted[REFERENCE][key] = plan.masks.either(known, mask)
        self.final = reference_final(plan)
        self.order = schedule(plan)
        self.patterns = pattern_masks(plan)
        self.decided = Decided()
        rows, asked = settings.rows, None
        if rows is not None:
            asked = np.zeros(task.n_rows, bool)
            asked[[row for row in rows if row < task.n_rows]] = True
        self.kept = kept or Kept(share_of(settings.memory))
        self.rows = Rows(task, adapter, self.step, self._layer, parts, None, self.kept, asked)
        if rows is None or kept is not None:
            self.rows = replace(
                self.rows, block=lambda n_pos: block_rows(plan.shape, n_pos, settings.memory)
            )
        self.reference = self.rows.of_column(task.reference, self.wanted[REFERENCE])
        self.runs = self._runs()

    def values(self) -> Values:
        """What is not known yet, computed, and all of it put together."""
        plan, names = self.plan, values_of(self.plan)
        n_rows, rows = self.task.n_rows, self.settings.rows
        asked = range(n_rows) if rows is None else [row for row in rows if row < n_rows]
        whole = np.full((len(names), plan.draws, n_rows), np.nan)
        blocks = self.settings.blocks
        todo: list[tuple[int, int, list[int]]] = []
        for number, (start, stop) in enumerate(stretches(asked, self.step)):
            if blocks is not None and number not in blocks:
                continue
            missing = []
            for draw in range(plan.draws):
                part = Part("values", draw, start, stop)
                known = self.rows.found(part, (len(names), stop - start))
                if known is None:
                    missing.append(draw)
                else:
                    whole[:, draw, start:stop] = known
            if missing:
                todo.append((start, stop, missing))
        self.kept.next_plan()
        self.expect([(start, stop) for start, stop, _ in todo])
        self.meter.start(self.meter.what, self._work(todo))
        if todo and self._is_large(n_rows):
            give_back_much()
        treated = self._treated() if todo else {}
        for start, stop, draws in todo:
            sites = Sites(plan.masks, start, stop, self.adapter.device)
            once = {REFERENCE: self.reference} | (treated if plan.draws == 1 else {})
            plain = of_batch(once, sites, 0)
            plain |= dict.fromkeys(self.same, plain[REFERENCE])
            for draw in draws:
                of_draw = of_batch(treated, sites, draw) if plan.draws > 1 else {}
                measured = self._batch(sites, plain | of_draw)
                numbers = np.empty((len(names), stop - start))
                for place, name in enumerate(names):
                    numbers[place] = measured[name]
                whole[:, draw, start:stop] = numbers
                self.rows.keep(Part("values", draw, start, stop), numbers)
        self.meter.end()
        kept = whole if rows is None else whole[:, :, asked]
        return {name: kept[number] for number, name in enumerate(names)}

    def _is_large(self, n_rows: int) -> bool:
        """Whether so many rows hold much in memory that the C library keeps."""
        return self.adapter.device.type == "cpu" and self.cost.row_bytes * n_rows > LARGE_BYTES

    def _same(self) -> tuple[int, ...]:
        """Sources that are the reference run itself, which one plain run of a batch gives."""
        numbers = range(len(self.plan.treated)) if self.settings.null_pair else ()
        return tuple(treated_source(n) for n in numbers if n not in self.plan.means)

    def expect(self, spans: Sequence[tuple[int, int]] | None = None) -> None:
        """Say what is read of plain runs on rows from first to end, or on all that are run."""
        if spans is None:
            rows = range(self.task.n_rows) if self.settings.rows is None else self.settings.rows
            spans = list(stretches([row for row in rows if row < self.task.n_rows], self.step))
        for source, draws in self._plain():
            for run, wanted in source.all_blocks(self.plan.masks, spans, draws):
                self.kept.expect(run, wanted)

    def _plain(self) -> Iterator[tuple[PlainSource, range]]:
        """The sources that are plain runs, and their draws."""
        yield self.reference, range(1)
        for made in self.runs.values():
            yield made, range(self.plan.draws)

    def _runs(self) -> dict[int, PlainSource]:
        """Treated values that are plain runs, by source."""
        found = {}
        for number, spec in enumerate(self.plan.treated):
            source = treated_source(number)
            if source in self.same or spec.how.constant or self.settings.null_pair:
                continue
            made = SOURCES[spec.kind](self.rows, number, spec, self.wanted[source])
            if isinstance(made, PlainSource):
                found[source] = made
        return found

    def _treated(self) -> dict[int, SourceValues]:
        """Where each other treated value comes from; what is constant is computed here."""
        found: dict[int, SourceValues] = {**self.runs}
        for number, spec in enumerate(self.plan.treated):
            source = treated_source(number)
            if source in self.same or source in found:
                continue
            want = self.wanted[source]
            found[source] = source_of(
                self.rows, self.plan, number, spec, want, self.settings.null_pair
            )
        return found

    def _batch(
        self, sites: Sites, sources: dict[int, PlainValues]
    ) -> dict[tuple[int, Measure], np.ndarray]:
        """(output number, measure) to (rows of the batch,) for one draw."""
        plan, task, adapter = self.plan, self.task, self.adapter
        rows_of_all = plan.masks.n_rows
        n_rows = sites.stop - sites.start
        execution = BatchExecution(
            plan, self.order, adapter, sites, sources, self.patterns, self.decided
        )
        large = self._is_large(n_rows)

        def computed(slot: float) -> None:
            self.meter.add(self.cost.by_slot.get(slot, 0) * n_rows // rows_of_all)
            if large:
                give_back_much()

        execution.run(computed)
        each = self.cost.readout * n_rows // (rows_of_all * max(len(plan.outputs), 1))
        measured = measure_outputs(
            plan, task, adapter, execution, sites, self.final, lambda: self.meter.add(each)
        )
        if large and (vocab_columns(plan) is None or any(one.copies for one in plan.outputs)):
            give_back()  # the logits of a vocabulary, and the pages of its table
        return measured

    # ---------------------------------------------------------------------------------------------

    def _work(self, todo: Sequence[tuple[int, int, list[int]]]) -> int:
        """Multiply-adds of what is to do, as the meter will count them."""
        plan, of, n_rows = self.plan, self.cost.plain_of, max(self.plan.masks.n_rows, 1)
        left: dict[bytes, tuple[int, int]] = {}  # layers that each block has to go through
        for source, _ in self._plain():
            for start, stop, draws in todo:
                which = draws if plan.draws > 1 and source is not self.reference else [0]
                for run, wanted in source.all_blocks(plan.masks, [(start, stop)], which):
                    before, _ = left.get(run.name, (0, 0))
                    layers = max(before, self.kept.lacks(run, wanted))
                    left[run.name] = layers, len(run.lengths)
        under = 0
        for number, spec in enumerate(plan.treated if todo else ()):
            want = self.wanted[treated_source(number)]
            if number in plan.means:
                under += spec.runs * of.get(treated_source(number), 0)
            elif spec.how.averaged and not self.settings.null_pair:
                for run, layers in mean_runs(self.rows, spec, want):
                    before, _ = left.get(run.name, (0, 0))
                    left[run.name] = max(before, layers), len(run.lengths)
        drawn = sum((stop - start) * len(draws) for start, stop, draws in todo)
        copies = (sum(self.cost.by_slot.values()) + self.cost.readout) * drawn // n_rows
        plain = sum(layers * rows for layers, rows in left.values())
        return copies + under + plain * self.cost.plain_run // (n_rows * plan.shape.n_layers)

    def _layer(self, n_rows: int) -> Callable[[], None]:
        """What a plain run of so many rows tells after each layer."""
        share = max(self.plan.masks.n_rows, 1) * self.adapter.shape.n_layers
        each = self.cost.plain_run * n_rows // share
        return lambda: self.meter.add(each)


def stretches(rows: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Ascending rows as first and end of what lies together, of so many at most."""
    start = 0
    for place, row in enumerate(rows):
        last = place + 1 == len(rows)
        if last or rows[place + 1] != row + 1 or place + 1 - start == most:
            yield rows[start], row + 1
            start = place + 1


def reference_final(plan: Plan) -> int | None:
    """The step of the reference run's final residual stream, if the plan has it."""
    wanted = PlainResid(stage=2 * plan.shape.n_layers, source=REFERENCE)
    return next((n for n in plan.alive if plan.steps[n] == wanted), None)
