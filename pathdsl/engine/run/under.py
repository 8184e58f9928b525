"""The values of an intervened model's plain runs, batch by batch, for means over them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from math import inf

import torch
from torch import Tensor

from pathdsl.engine.run.execute import BatchExecution
from pathdsl.engine.run.plain import Key, PlainValues
from pathdsl.engine.run.sites import Decided, Sites
from pathdsl.engine.run.treated import SOURCES, Rows, SourceValues, Want, mean_of, of_batch
from pathdsl.graph.model.components import HEAD
from pathdsl.plan.liveness import plain_reads, schedule
from pathdsl.plan.masks import FALSE, TRUE
from pathdsl.plan.outputs import MeanPlan, Plan
from pathdsl.plan.steps import REFERENCE, ActedHeadCopy, treated_source
from pathdsl.plan.treated import TreatedSpec

__all__ = ["pattern_masks", "plain_wants", "source_of"]


def plain_wants(plan: Plan) -> dict[int, dict[Key, int]]:
    """For each source the values that the plan reads of it, with the masks of tokens."""
    wanted: dict[int, dict[Key, int]] = defaultdict(dict)
    for (source, kind, layer), mask in plain_reads(plan).items():
        wanted[source][kind, layer] = mask
    return wanted


def pattern_masks(plan: Plan) -> dict[int, int]:
    """The head copies whose patterns are read, with the masks of the queries at which they are."""
    found: dict[int, int] = {}

    def add(source: int, mask: int) -> None:
        found[source] = plan.masks.either(found.get(source, FALSE), mask)

    for output in plan.outputs:
        for read in output.attention:
            for source, mask in read.blend:
                if source >= 0:
                    add(source, mask)
    for number in plan.alive:
        step = plan.steps[number]
        if isinstance(step, ActedHeadCopy):
            for source in step.patterns:
                add(source, plan.need[source])
    return found


def source_of(
    rows: Rows, plan: Plan, number: int, spec: TreatedSpec, want: Want, null_pair: bool
) -> SourceValues:
    """Where the values of a plan's treated value come from; `null_pair`: the reference's own."""
    mean = plan.means.get(number)
    if null_pair and mean is not None:
        return values_under(rows, mean, null_pair)
    if null_pair:
        return rows.of_column(rows.task.reference, want)
    if mean is not None and spec.how.averaged:
        return mean_of(rows, spec, want, values_under(rows, mean, null_pair))
    return SOURCES[spec.kind](rows, number, spec, want)


def values_under(rows: Rows, mean: MeanPlan, null_pair: bool) -> SourceValues:
    """The values of each batch at every token; `null_pair`: of the reference prompt."""
    plan, rows = mean.plan, replace(rows, parts=None)
    wanted = plain_wants(plan)
    order = schedule(plan)
    # All is read at the end.
    order = replace(order, last_use=dict.fromkeys(order.last_use, inf), written_over={})
    sources: dict[int, SourceValues] = {
        REFERENCE: rows.of_column(rows.task.reference, wanted[REFERENCE])
    }
    for number, spec in enumerate(plan.treated):
        source = treated_source(number)
        sources[source] = source_of(rows, plan, number, spec, wanted[source], null_pair)
    patterns, decided = pattern_masks(plan), Decided()

    def values(sites: Sites, draw: int) -> PlainValues:
        here = Sites(plan.masks, sites.start, sites.stop, sites.device)
        plain = of_batch(sources, here, draw)
        execution = BatchExecution(plan, order, rows.adapter, here, plain, patterns, decided)
        execution.run()
        kept = PlainValues()
        for (kind, layer), blends in mean.values.items():
            heads = kind == HEAD.name
            parts: list[Tensor] = [
                execution.blended(blend, kind, layer, head if heads else -1)
                for head, blend in enumerate(blends)
            ]
            whole = torch.stack(parts, dim=1) if heads else parts[0]
            if not heads and len(parts) > 1:
                whole = whole.clone()
                for neurons, part in zip(mean.neurons[layer], parts[1:], strict=True):
                    whole[:, list(neurons)] = part[:, list(neurons)]
            kept.stored[kind, layer] = TRUE
            kept.values[kind, layer] = whole
        return kept

    return values
