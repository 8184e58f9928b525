"""Runs a plan over all rows: batches, draws, constants; from a plan to numbers per prompt.

Batches follow from the plan and a stated memory limit. Rows are independent, so another limit
changes results by rounding only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.execute import BatchExecution
from pathdsl.engine.measure import measure_outputs
from pathdsl.engine.plain import ConstantTable, Key, PlainValues, plain_run
from pathdsl.engine.sites import Sites
from pathdsl.engine.treated import mean_groups, noise_values, resample_rows
from pathdsl.plan.liveness import row_bytes, schedule
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import TreatedSpec
from pathdsl.plan.steps import REFERENCE, PlainResid, Plan, treated_source
from pathdsl.plan.taskdata import TaskData

DEFAULT_MEMORY = 256_000_000
Progress = Callable[[int, int], None]
Values = dict[tuple[int, Measure], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to execute: bytes that values of one batch may take; null: treated := reference."""

    memory: int = DEFAULT_MEMORY
    null_pair: bool = False
    rows: int | None = None


def rows_per_batch(plan: Plan, itemsize: int, memory: int) -> int:
    """How many rows go together; a function of the plan and the limit only."""
    return max(1, min(plan.masks.n_rows, memory // max(row_bytes(plan, itemsize), 1)))


def execute(
    plan: Plan,
    task: TaskData,
    adapter: Adapter,
    settings: Settings,
    progress: Progress | None = None,
) -> Values:
    """(output number, measure) to (draws, rows) float64 for every output of a plan."""
    with torch.no_grad():
        return _execute(plan, task, adapter, settings, progress)


def _execute(
    plan: Plan,
    task: TaskData,
    adapter: Adapter,
    settings: Settings,
    progress: Progress | None,
) -> Values:
    wanted = plain_wants(plan)
    n_rows = min(settings.rows or task.n_rows, task.n_rows)
    step = rows_per_batch(plan, adapter.dtype.itemsize, settings.memory)
    constants = {
        treated_source(number): _constants(
            spec, task, adapter, wanted[treated_source(number)], step
        )
        for number, spec in enumerate(plan.treated)
        if spec.constant and not settings.null_pair
    }
    order = schedule(plan)
    patterns = {
        source: mask
        for output in plan.outputs
        for read in output.attention
        for source, mask in read.blend
        if source >= 0
    }
    final = reference_final(plan)
    draws = plan.draws
    permutations = {
        number: resample_rows(task, spec)
        for number, spec in enumerate(plan.treated)
        if spec.kind == "resample"
    }
    parts: dict[tuple[int, Measure], list[list[np.ndarray]]] = defaultdict(
        lambda: [[] for _ in range(draws)]
    )
    starts = range(0, n_rows, step)
    for done, start in enumerate(starts):
        sites = Sites(plan.masks, start, min(start + step, n_rows), adapter.device)
        reference = _run_column(adapter, task, task.reference, None, sites, wanted[REFERENCE])
        for draw in range(draws):
            sources: dict[int, PlainValues] = {REFERENCE: reference}
            for number, spec in enumerate(plan.treated):
                source = treated_source(number)
                want = wanted[source]
                if settings.null_pair:
                    sources[source] = _run_column(adapter, task, task.reference, None, sites, want)
                elif spec.constant:
                    sources[source] = constants[source].values(want, adapter, sites)
                elif spec.kind == "noise":
                    sources[source] = _run_noise(adapter, task, spec, sites, want)
                else:
                    rows = permutations[number][draw] if spec.kind == "resample" else None
                    sources[source] = _run_column(adapter, task, spec.column, rows, sites, want)
            execution = BatchExecution(plan, order, adapter, sites, sources, patterns)
            execution.run()
            measured = measure_outputs(plan, task, adapter, execution, sites, final)
            for key, values in measured.items():
                parts[key][draw].append(values)
        if progress is not None:
            progress(done + 1, len(starts))
    return {
        key: np.stack([np.concatenate(batches) for batches in by_draw])
        for key, by_draw in parts.items()
    }


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


def _run_column(
    adapter: Adapter,
    task: TaskData,
    column: str,
    permutation: np.ndarray | None,
    sites: Sites,
    want: Mapping[Key, int],
) -> PlainValues:
    """A plain run of one prompt column on the batch's rows, or on the rows drawn for them."""
    if not want:
        return PlainValues()
    rows = np.arange(sites.start, sites.stop)
    if permutation is not None:
        rows = permutation[rows]
    ids, lengths = _batch_ids(task, column, rows)
    return plain_run(adapter, adapter.embed(ids), lengths, want, sites)


def _run_noise(
    adapter: Adapter, task: TaskData, spec: TreatedSpec, sites: Sites, want: Mapping[Key, int]
) -> PlainValues:
    rows = np.arange(sites.start, sites.stop)
    ids, lengths = _batch_ids(task, task.reference, rows)
    embedded = adapter.embed(ids)
    noise = noise_values(task, spec, rows, adapter.shape.d_model, adapter.embedding_std())[
        :, : ids.shape[1]
    ]
    noise = torch.from_numpy(noise).to(device=adapter.device, dtype=adapter.dtype)
    return plain_run(adapter, embedded + noise, lengths, want, sites)


def _constants(
    spec: TreatedSpec, task: TaskData, adapter: Adapter, want: Mapping[Key, int], step: int
) -> ConstantTable:
    """Zero, or the mean of each component's output per token index over the rows of a group.

    Sums are accumulated in float64 in the order of the rows.
    """
    if spec.kind == "zero" or not want:
        return ConstantTable(tables={}, groups=np.zeros(task.n_rows, np.int64))
    groups = mean_groups(task, spec)
    n_groups = int(groups.max()) + 1
    sums: dict[Key, Tensor] = {}
    counts = torch.zeros((n_groups, task.n_pos), dtype=torch.float64)
    from pathdsl.plan.masks import TRUE, MaskTable  # a table of its own: all tokens are wanted

    masks = MaskTable(task.valid)
    for start in range(0, task.n_rows, step):
        sites = Sites(masks, start, min(start + step, task.n_rows), adapter.device)
        values = _run_column(
            adapter, task, spec.column or task.reference, None, sites, dict.fromkeys(want, TRUE)
        )
        group = torch.from_numpy(groups[start + sites.rows_of(TRUE)])
        place = torch.from_numpy(sites.positions_of(TRUE))
        counts.index_put_((group, place), torch.ones(len(group), dtype=torch.float64), True)
        for key in want:
            value = values.values[key].double().cpu()
            if key not in sums:
                sums[key] = torch.zeros(
                    (n_groups, task.n_pos, *value.shape[1:]), dtype=torch.float64
                )
            sums[key].index_put_((group, place), value, True)
    tables = {
        key: (total / counts.clamp(min=1).reshape(*counts.shape, *[1] * (total.dim() - 2))).to(
            adapter.dtype
        )
        for key, total in sums.items()
    }
    return ConstantTable(tables=tables, groups=groups)
