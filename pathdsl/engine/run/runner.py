"""Runs a plan over all rows: batches, draws, constants; from a plan to numbers per prompt.

Batches follow from the plan and stated limits: how many rows share a batch may move the last bits
of a value, so it is never decided by what happens to be free or how far another process has come.
Each *part*, the values of one batch for one draw, has the same bits whatever else was computed
before it, beside it or elsewhere: parts that are known already (`Parts`) are not computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.meter import Meter
from pathdsl.engine.run.execute import BatchExecution
from pathdsl.engine.run.measure import measure_outputs
from pathdsl.engine.run.parts import Part, Parts
from pathdsl.engine.run.plain import PlainValues
from pathdsl.engine.run.sites import Decided, Sites
from pathdsl.engine.run.treated import Kept, Rows, SourceValues, together
from pathdsl.engine.run.under import pattern_masks, plain_wants, source_of
from pathdsl.plan.liveness import (
    DEFAULT_MEMORY,
    KEPT_BYTES,
    Cost,
    cost,
    made_before,
    schedule,
)  # fmt: skip
from pathdsl.plan.masks import FALSE
from pathdsl.plan.outputs import Plan
from pathdsl.plan.readout import Measure
from pathdsl.plan.steps import REFERENCE, PlainResid, treated_index, treated_source
from pathdsl.plan.taskdata import TaskData

BATCH_MACS = {"cpu": 1_200_000_000_000}
OTHER_MACS = 40_000_000_000_000
"""Multiply-adds of one batch at most, by the kind of device: seconds, half a minute on one slow
core, which is what a check that is cut off has to do again. The interpreter's part is paid once a
batch."""
Values = dict[tuple[int, Measure], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to execute: bytes that values of one batch may take; null: treated := reference.

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
) -> Values:
    """(output number, measure) to (draws, rows) float64 for every output of a plan, on the rows
    that the settings name."""
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
        self.meter = meter
        self.cost = plan_cost(plan, adapter.dtype.itemsize)
        self.step = rows_within(plan, self.cost, settings.memory, adapter.device.type)
        self.wanted = plain_wants(plan)
        self.same = self._same()
        for source in self.same:
            for key, mask in self.wanted[source].items():
                kept = self.wanted[REFERENCE].get(key, FALSE)
                self.wanted[REFERENCE][key] = plan.masks.either(kept, mask)
        self.final = reference_final(plan)
        self.order = schedule(plan)
        self.patterns = pattern_masks(plan)
        self.decided = Decided()
        self.rows = Rows(task, adapter, self.step, self._layer, parts, self._kept())

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
        self.meter.start(self.meter.what, self._work(todo))
        reference = self.rows.of_column(self.task.reference, self.wanted[REFERENCE])
        treated = self._treated() if todo else {}
        for start, stop, draws in todo:
            sites = Sites(plan.masks, start, stop, self.adapter.device)
            # What shares products follows from the plan alone, not from which draws are known.
            once = {REFERENCE: reference} | (treated if plan.draws == 1 else {})
            plain = together(once, sites, 0)
            plain |= dict.fromkeys(self.same, plain[REFERENCE])
            for draw in draws:
                of_draw = together(treated, sites, draw) if plan.draws > 1 else {}
                measured = self._batch(sites, plain | of_draw)
                numbers = np.empty((len(names), stop - start))
                for place, name in enumerate(names):
                    numbers[place] = measured[name]
                whole[:, draw, start:stop] = numbers
                self.rows.keep(Part("values", draw, start, stop), numbers)
        self.meter.end()
        kept = whole if rows is None else whole[:, :, asked]
        return {name: kept[number] for number, name in enumerate(names)}

    def _same(self) -> tuple[int, ...]:
        """Sources that are the reference run itself, which one plain run of a batch gives."""
        numbers = range(len(self.plan.treated)) if self.settings.null_pair else ()
        return tuple(treated_source(n) for n in numbers if n not in self.plan.means)

    def _kept(self) -> dict[str, Kept]:
        """By column, of plain runs that a mean makes, what the plan reads of them besides."""
        plan = self.plan
        if self.settings.null_pair:
            return {}
        return {
            plan.treated[treated_index(source)].column: Kept(
                want=self.wanted[source], masks=plan.masks, room=KEPT_BYTES
            )
            for source in made_before(plan, self.adapter.dtype.itemsize)
        }

    def _treated(self) -> dict[int, SourceValues]:
        """Where each other treated value comes from; what is constant is computed here."""
        found = {}
        for number, spec in enumerate(self.plan.treated):
            source = treated_source(number)
            if source in self.same:
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
        execution.run(
            lambda slot: self.meter.add(self.cost.by_slot.get(slot, 0) * n_rows // rows_of_all)
        )
        each = self.cost.readout * n_rows // (rows_of_all * max(len(plan.outputs), 1))
        return measure_outputs(
            plan, task, adapter, execution, sites, self.final, lambda: self.meter.add(each)
        )

    # ---------------------------------------------------------------------------------------------

    def _work(self, todo: Sequence[tuple[int, int, list[int]]]) -> int:
        """Multiply-adds of what is to do, as the meter will count them."""
        of, n_rows = self.cost.plain_of, max(self.plan.masks.n_rows, 1)
        own, means = 0, 0
        for number, spec in enumerate(self.plan.treated):
            source = treated_source(number)
            if source in self.same or not self.wanted[source]:
                continue
            if spec.how.constant and not self.settings.null_pair:
                means += spec.runs * of.get(source, 0)
            else:
                own += of.get(source, 0)
        if not self.settings.null_pair:
            before = made_before(self.plan, self.adapter.dtype.itemsize)
            for source, (mean, share) in before.items():
                own -= round(share * min(of.get(source, 0), of.get(mean, 0)))
        rows = sum(stop - start for start, stop, _ in todo)
        drawn = sum((stop - start) * len(draws) for start, stop, draws in todo)
        copies = (sum(self.cost.by_slot.values()) + self.cost.readout + own) * drawn
        reference = max((of.get(source, 0) for source in (REFERENCE, *self.same)), default=0)
        total = (copies + reference * rows) // n_rows
        return total + (means * self.task.n_rows // n_rows if todo else 0)

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
