"""What a model and a plan prove about themselves before any claim is judged.

Each proof compares two ways to the same numbers; a proof that does not hold stops the check
(docs/semantics.md, What every check proves first). Errors are the largest absolute difference,
divided by the largest magnitude of what is compared where that is above 1; tolerances follow the
dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter, layers
from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.planner import Planner
from pathdsl.engine.proof import Proof, worst_of
from pathdsl.engine.rounding import rounding_of
from pathdsl.engine.run.reads import layer_reads
from pathdsl.engine.run.runner import Settings, Values, execute, plan_cost, rows_within
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.pathset import FULL, Nodes, PathSet, cat, complete, minus, union
from pathdsl.plan.build import build_plans
from pathdsl.plan.liveness import DEFAULT_MEMORY, Cost
from pathdsl.plan.outputs import Plan
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec, under_text
from pathdsl.plan.taskdata import TaskData

PROOF_ROWS = 8
PROOF_AMONG = 32
NULL_ROWS = 4
STEPS = 3


def prove(
    planner: Planner, adapter: Adapter, task: TaskData, tick: Callable[[], None] = lambda: None
) -> list[Proof]:
    """All proofs that need no hypothesis, on the first rows of a task, with its answers behind the
    prompts, too, where they are read there.

    `tick` is called after each of `STEPS` steps.
    """
    found = _prove(planner, adapter, task, tick)
    for column, branch in task.branches.items():
        again = _prove(planner, adapter, _to_the_end(branch), lambda: None)
        found = [_worse(one, other, column) for one, other in zip(found, again, strict=True)]
    return found


def _to_the_end(branch: TaskData) -> TaskData:
    """Rows with answers behind the prompts, whose `END` is the last token of all."""
    last = tuple((int(n) - 1,) for n in branch.lengths)
    return replace(branch, positions={**branch.positions, "END": last})


def _worse(prompts: Proof, answered: Proof, column: str) -> Proof:
    """The same proof on prompts and on prompts with answers as one."""
    return replace(
        worst_of((prompts, answered)),
        compared=f"{prompts.compared}, also with `{column}` behind them",
        logits=prompts.logits and _largest([prompts.logits, answered.logits or 0.0]),
    )


def _prove(
    planner: Planner, adapter: Adapter, task: TaskData, tick: Callable[[], None]
) -> list[Proof]:
    """The proofs on one set of rows."""
    with torch.no_grad():
        tolerance = rounding_of(adapter)
        rows = _proof_rows(task)
        spec = planner.specs[task.name].treated
        columns = [task.reference]
        if spec is not None and spec.column and spec.column not in columns:
            columns.append(spec.column)
        stream, logits = adapter.final_stream(*_ids(task, task.reference, rows))
        tick()
        added, written, decomposed = _written(adapter, task, rows)
        found = [_compared(decomposed, logits, task, rows)]
        del logits, decomposed  # of a large vocabulary they weigh more than a layer
        for column in columns[1:]:
            ids = _ids(task, column, rows)
            found.append(
                _compared(adapter.decomposed_forward(*ids), adapter.plain_forward(*ids), task, rows)
            )
        plain = {column: ends for column, (_, _, ends) in zip(columns, found, strict=True)}
        proofs = [
            Proof(
                code="PD630",
                name="decomposed forward = plain forward",
                error=_largest(error for error, _, _ in found),
                tolerance=tolerance,
                compared=f"{len(rows)} prompts, all positions, whole vocabulary",
                logits=_largest(magnitude for _, magnitude, _ in found),
            ),
            Proof(
                code="PD631",
                name="sum of writers = residual stream",
                error=_largest([_distance(added, stream, task, rows), *written]),
                tolerance=tolerance,
                compared=f"{len(rows)} prompts, final residual stream of the unmodified model",
            ),
        ]
        tick()
        proofs += _extremes(planner, adapter, task, rows, plain, tolerance)
        tick()
        return proofs


def prove_null_pair(
    plan: Plan, task: TaskData, adapter: Adapter, tolerance: float, memory: int = DEFAULT_MEMORY
) -> Proof:
    """Every run of a plan, treated value := reference, is the reference run, under what it stands.

    A run whose treated side stands under more than its reference side is tried without that.
    """
    rows = min(NULL_ROWS, task.n_rows)
    memory = min(memory, DEFAULT_MEMORY)
    settings = Settings(null_pair=True, rows=range(rows), memory=memory)
    errors = [0.0]
    for one in (plan, *_without_more(plan, task)):
        values = execute(one, task, adapter, settings)
        errors += _null_errors(one, values, whole=one is not plan)
    return Proof(
        code="PD634",
        name="null pair has no effect",
        error=_largest(errors),
        tolerance=tolerance,
        compared=f"every run on {rows} prompts, treated := reference",
    )


def _null_errors(plan: Plan, values: Values, *, whole: bool) -> Iterator[float]:
    """How far each value lies from the reference run's; `whole`: of every run."""
    reference = {
        (under_text(run.blocks), measure): found[0]
        for (number, measure), found in values.items()
        if not (run := plan.outputs[number].run).treats
    }
    first: dict[tuple[str, Measure], np.ndarray] = {}
    for (number, measure), found in values.items():
        run = plan.outputs[number].run
        if measure.record.reads in ("head", "copy"):
            continue  # no logits; a pattern and copies are compared by what they lead to
        if run.of_treated is not None and not whole:
            continue
        key = under_text(run.blocks), measure
        base = reference.get(key)
        if base is None:
            base = first.setdefault(key, found[0])
        if measure.record.exact:
            continue  # steps of a near-tie are no error of the engine; logits are compared
        scale = max(1.0, float(np.abs(base).max()))
        yield float(np.abs(found - base).max()) / scale


def _without_more(plan: Plan, task: TaskData) -> tuple[Plan, ...]:
    """Plans of the runs whose treated side stands under more, without that."""
    requests = []
    for output in plan.outputs:
        if output.run.of_treated is not None:
            run = replace(output.run, of_treated=None, under=under_text(output.run.blocks))
            alone = replace(run, kind="reference", paths=None, treated=None)
            requests += [(one, measure) for measure in output.measures for one in (alone, run)]
    if not requests:
        return ()
    return build_plans(
        plan.shape, task.name, task.valid, position_mask(task), requests, frozen=plan.frozen,
        routed=plan.routed,
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------


def _largest(errors: Iterable[float]) -> float:
    """The largest error; nan if one is nan, which Python's `max` may drop."""
    return float(np.max(list(errors)))


def _proof_rows(task: TaskData) -> np.ndarray:
    """The first rows, and the shortest and longest prompt of the first `PROOF_AMONG`."""
    lengths = task.lengths[:PROOF_AMONG]
    rows = dict.fromkeys([int(lengths.argmin()), int(lengths.argmax())])
    rows |= dict.fromkeys(range(len(lengths)))
    return np.array(sorted(list(rows)[:PROOF_ROWS]))


def _ids(task: TaskData, column: str, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    lengths = task.lengths[rows]
    ids = task.prompts[column][rows][:, : int(lengths.max())]
    return torch.from_numpy(np.ascontiguousarray(ids)), torch.from_numpy(lengths)


def _compared(
    found: Tensor, wanted: Tensor, task: TaskData, rows: np.ndarray
) -> tuple[float, float, Tensor]:
    """How far logits (rows, pos, d_vocab) lie apart, their magnitude, and `wanted` at the ends of
    the rows, (rows, d_vocab)."""
    at_end = torch.arange(len(rows)), torch.from_numpy(task.lengths[rows] - 1)
    error, magnitude = _distance(found, wanted, task, rows), _magnitude(wanted, task, rows)
    return error, magnitude, wanted.cpu()[at_end]


def _distance(found: Tensor, wanted: Tensor, task: TaskData, rows: np.ndarray) -> float:
    """Largest difference at real tokens, relative to the largest magnitude if above 1."""
    scale = max(1.0, _magnitude(wanted, task, rows))
    each = zip(found, wanted, task.lengths[rows].tolist(), strict=True)  # row by row: less memory
    return (
        _largest(
            float((one[:length].double() - other[:length].double()).abs().max())
            for one, other, length in each
        )
        / scale
    )


def _magnitude(values: Tensor, task: TaskData, rows: np.ndarray) -> float:
    """The largest magnitude at real tokens."""
    lengths = task.lengths[rows].tolist()
    return _largest(
        float(row[:length].double().abs().max())
        for row, length in zip(values, lengths, strict=True)
    )


def _written(
    adapter: Adapter, task: TaskData, rows: np.ndarray
) -> tuple[Tensor, list[float], Tensor]:
    """A reference run from the parts: input plus every writer's own output (rows, pos, d_model),
    how far each layer's writes lie from the sums of its heads' and its neurons', and the logits."""
    ids, lengths = _ids(task, task.reference, rows)
    total = resid = adapter.embed(ids)
    errors: list[float] = []
    for each in layers(adapter, resid, lengths):
        layer, resid = each.layer, each.after
        heads = adapter.write_each(layer, each.z).sum(-2)
        errors.append(_distance(heads, adapter.write(layer, each.z), task, rows))
        # A norm after attention is of the heads' sum.
        total = adapter.behind_attention(layer, total + each.written)
        if each.out is not None:
            total = adapter.behind_mlp(layer, total + each.out)
            whole = adapter.shape.normed_mlp or adapter.shape.routes(layer)
            if not whole:  # an MLP is its neurons and its output bias
                hidden = adapter.mlp_hidden(layer, each.read)
                parts = adapter.mlp_write(layer, hidden, torch.ones_like(hidden[..., :1]))
                errors.append(_distance(parts, each.out, task, rows))
    return total, errors, adapter.unembed(adapter.final_norm(resid))


def _extremes(
    planner: Planner,
    adapter: Adapter,
    task: TaskData,
    rows: np.ndarray,
    plain: Mapping[str, Tensor],
    tolerance: float,
) -> list[Proof]:
    """`keep(full)` is the reference run and `keep(none)` the treated run, by way of the planner.

    `plain`: by column the logits of the unmodified model at the ends of the rows, (rows, d_vocab).

    The sets are written so that nothing cancels on paper: every head's paths, their complement and
    their union go through automaton, masks and blends.
    """
    spec = planner.specs[task.name].treated
    if spec is None:
        return []
    ids = _read_ids(adapter.shape)
    measures = [Measure(kind="logit", column=f"#{i}") for i in ids]
    asked = _with_answers(task, ids)
    plans = _extreme_plans(planner, task)
    proofs = []
    for plan in plans:
        settings = Settings(memory=planner.room(task.name), rows=rows.tolist())
        values = execute(plan, asked, adapter, settings)
        for number, output in enumerate(plan.outputs):
            found = np.stack([values[number, m][0] for m in measures], axis=1)
            treated = output.run.label == "everything"
            if treated and not spec.how.own_run:
                continue
            column = spec.column if treated else task.reference
            wanted = plain[column][:, ids].double().numpy()
            scale = max(1.0, float(np.abs(wanted).max()))
            proofs.append(
                Proof(
                    code="PD633" if treated else "PD632",
                    name="keep(none) = treated run" if treated else "keep(full) = reference run",
                    error=float(np.abs(found - wanted).max()) / scale,
                    tolerance=tolerance,
                    compared=f"{len(rows)} prompts, {len(ids)} logits at END, unmodified model",
                )
            )
    return proofs


def _extreme_plans(planner: Planner, task: TaskData) -> tuple[Plan, ...]:
    """The plans of the runs that keep every path and no path; none without a treated value."""
    shape, spec = planner.shape_of(task.name), planner.specs[task.name].treated
    if spec is None:
        return ()
    layout_any = (1 << shape.n_senders) - 2
    part: PathSet = complete(cat(Nodes(mask=layout_any)), layout_any, 1 << shape.n_senders)
    everything = union(part, minus(FULL, part))
    runs = [
        RunSpec(task=task.name, kind="treat", paths=paths, treated=spec, label=label)
        for label, paths in (("nothing", minus(FULL, everything)), ("everything", everything))
    ]
    return build_plans(
        shape,
        task.name,
        task.valid,
        position_mask(task),
        [(run, Measure(kind="logit", column=f"#{i}")) for run in runs for i in _read_ids(shape)],
        frozen=planner.specs[task.name].frozen,
        routed=planner.specs[task.name].routed,
    )


def _read_ids(shape: ModelShape) -> list[int]:
    """The tokens whose logits are compared."""
    return sorted({0, shape.n_logits - 1, shape.n_logits // 2})


def prove_cost(planner: Planner, task: TaskData, itemsize: int) -> float:
    """What `prove` costs, in plain forward passes over all prompts of the task.

    Each column goes through the unmodified model and through the components; in the reference run
    each head and each MLP writes once more.
    """
    own = sum(prove_cost(planner, branch, itemsize) for branch in task.branches.values())
    spec = planner.specs[task.name].treated
    columns = 2 if spec is not None and spec.column not in ("", task.reference) else 1
    found = (2 * columns + 0.5) * min(PROOF_ROWS, task.n_rows) / task.n_rows
    for plan in _extreme_plans(planner, task):
        found += rows_cost(plan, plan_cost(plan, itemsize), PROOF_ROWS)
    return found + own


def prove_reads(planner: Planner, task: TaskData, itemsize: int) -> int:
    """Layers that `prove` reads where weights are streamed: of each column by the unmodified model
    and by the components, and by the runs that keep every path and no path."""
    found = sum(prove_reads(planner, branch, itemsize) for branch in task.branches.values())
    spec, rows = planner.specs[task.name].treated, _proof_rows(task).tolist()
    columns = 2 if spec is not None and spec.column not in ("", task.reference) else 1
    found += 2 * columns * planner.shape_of(task.name).n_layers
    for plan in _extreme_plans(planner, task):
        weighed = plan_cost(plan, itemsize)
        found += layer_reads(
            plan, rows_within(plan, weighed, planner.room(task.name), "cpu"), rows=rows
        )
    return found


def null_reads(plan: Plan, itemsize: int, memory: int) -> int:
    """Layers that `prove_null_pair` reads where weights are streamed."""
    rows = range(min(NULL_ROWS, plan.masks.n_rows))
    room = min(memory, DEFAULT_MEMORY)
    batch = rows_within(plan, plan_cost(plan, itemsize), room, "cpu")
    return layer_reads(plan, batch, null_pair=True, rows=rows)


def rows_cost(plan: Plan, weighed: Cost, rows: int) -> float:
    """What the first rows of a plan cost, in plain forward passes over all of them.

    Means are over all rows even so.
    """
    means = sum(spec.runs for spec in plan.treated if spec.how.constant) * weighed.plain_run
    share = min(rows / max(plan.masks.n_rows, 1), 1.0)
    return (means + (weighed.macs - means) * share) / max(weighed.plain_macs, 1)


def null_cost(plan: Plan, weighed: Cost) -> float:
    """What `prove_null_pair` costs, in plain forward passes over all prompts of the task.

    Every treated value is the reference run's, so that there is one plain run.
    """
    alone = weighed.macs - (weighed.plain_runs - 1) * weighed.plain_run
    return alone / max(weighed.plain_macs, 1) * min(NULL_ROWS / max(plan.masks.n_rows, 1), 1.0)


def _with_answers(task: TaskData, ids: list[int]) -> TaskData:
    """The task with fixed tokens as answer columns, for comparing raw logits."""
    columns = {f"#{i}": tuple((i,) for _ in range(task.n_rows)) for i in ids}
    return replace(task, answers={**task.answers, **columns})
