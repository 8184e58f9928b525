"""How often the layers of a model are read where its weights are streamed, from a plan alone.

A layer is read when a pass comes to it from another one (`pathdsl.engine.load.streaming`): once by
each plain run, or by several that share their products, and once by all copies of all runs of a
batch together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby

from pathdsl.engine.run.kept import block_rows
from pathdsl.engine.run.plain import layers_of
from pathdsl.engine.run.runner import stretches
from pathdsl.engine.run.under import plain_wants
from pathdsl.plan.liveness import schedule
from pathdsl.plan.needs import plain_write
from pathdsl.plan.outputs import Plan
from pathdsl.plan.steps import (
    REFERENCE,
    AttentionResid,
    HeadCopy,
    HeadsWrite,
    HiddenCopy,
    MlpCopy,
    MlpResid,
    RecurrentCopy,
    ScaleCopy,
    treated_source,
)

__all__ = ["layer_reads"]


def layer_reads(
    plan: Plan,
    batch: int,
    memory: int,
    *,
    null_pair: bool = False,
    rows: Sequence[int] | None = None,
) -> int:
    """Layers that are read for all runs of a plan at most, so many rows to a batch.

    `memory`: bytes that values may take. `null_pair`: with every treated value the reference run's.
    `rows`: of which, ascending; None: all. Rows of one batch are taken to be of one length, and no
    plain run to be known from another plan.
    """
    step = batch if rows is not None else block_rows(plan.shape, plan.masks.n_pos, memory)
    chosen = range(plan.masks.n_rows) if rows is None else rows
    each = chain.from_iterable(_passes(plan, batch, step, null_pair, chosen))
    return sum(1 for _ in groupby(each))


def _passes(
    plan: Plan, batch: int, step: int, null_pair: bool, rows: Sequence[int]
) -> Iterator[Iterable[int]]:
    """The layers of one pass after another; plain runs go `step` rows at a time."""
    spans = list(stretches(rows, batch))
    wanted = plain_wants(plan)
    runs = {} if null_pair else {treated_source(n): t for n, t in enumerate(plan.treated)}
    drawn = [source for source, spec in runs.items() if not spec.how.constant]
    if spans:
        for number, spec in enumerate(plan.treated):
            source = treated_source(number)
            if source not in runs or source in drawn or not spec.how.averaged:
                continue
            mean = plan.means.get(number)
            if mean is None:
                yield from [range(layers_of(wanted[source]))] * -(-plan.masks.n_rows // step)
            else:
                every = range(plan.masks.n_rows)
                yield from _passes(mean.plan, batch, step, False, every)
    depths = {source: layers_of(wanted[source]) for source in drawn}
    depths[REFERENCE] = layers_of(wanted[REFERENCE])
    if null_pair:
        depths[REFERENCE] = max(map(layers_of, wanted.values()), default=0)
    copies = _copied(plan)
    done = -1
    for start, stop in spans:
        blocks = [block for block in range(start // step, -(-stop // step)) if block > done]
        done = max([done, *blocks])
        once = [REFERENCE] if plan.draws > 1 else [REFERENCE, *drawn]
        yield from [range(depths[source]) for source in once for _ in blocks]
        for _ in range(plan.draws):
            if plan.draws > 1:
                yield from [range(depths[source]) for source in drawn for _ in blocks]
            yield copies


def _copied(plan: Plan) -> list[int]:
    """The layers whose weights the copies of a plan go through, in their order."""
    found: list[int] = []
    for _, numbers in schedule(plan).slots:
        layers = [(n, own) for n in numbers if (own := _weighs(plan, n)) is not None]
        if any(isinstance(plan.steps[n], HeadCopy) for n, _ in layers):
            found.append(plan.shape.entry(layers[0][1], "k"))
        found += [own for _, own in layers[:1]]
    return found


def _weighs(plan: Plan, number: int) -> int | None:
    """The layer whose weights a step is computed with, None for one without."""
    step = plan.steps[number]
    normed = plan.shape.normed_stream
    match step:
        case AttentionResid():
            whole = plain_write(step, plan.need[number], plan.masks)
            given = whole is not None and (whole, "attn", step.layer) in plan.plain_need
            return None if given and not normed else step.layer
        case MlpResid():
            return step.layer if step.neurons or normed else None
        case ScaleCopy():
            return step.layer if step.layer < plan.shape.n_layers else None
        case HeadsWrite() | HeadCopy() | RecurrentCopy() | MlpCopy() | HiddenCopy():
            return step.layer
        case _:
            return None
