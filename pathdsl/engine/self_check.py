"""What a model and a plan prove about themselves before any claim is judged.

Each proof compares two ways to the same numbers; a proof that does not hold stops the check
(semantics.md section 4). Errors are the largest absolute difference, divided by the largest
magnitude of what is compared where that is above 1; tolerances follow the dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.run.runner import Settings, execute, plan_cost
from pathdsl.engine.session import Planner, rounding_of
from pathdsl.errors import Diagnostic
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.pathset import FULL, Nodes, PathSet, cat, complete, minus, union
from pathdsl.plan.build import build_plans
from pathdsl.plan.liveness import Cost
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.steps import Plan
from pathdsl.plan.taskdata import TaskData

PROOF_ROWS = 8
PROOF_AMONG = 32
NULL_ROWS = 4
STEPS = 3
OF_RUNS = ("PD632", "PD633")
"""Proofs of `prove` that go by way of plans, and so by a task's norm mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One proof: its code and name, the largest error seen, what was allowed, what was compared.

    `logits` is the largest logit in magnitude where all logits of a model were compared.
    """

    code: str
    name: str
    error: float
    tolerance: float
    compared: str
    logits: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the error is a number and within what is allowed."""
        return bool(self.error <= self.tolerance)  # False for nan


def prove(
    planner: Planner, adapter: Adapter, task: TaskData, tick: Callable[[], None] = lambda: None
) -> list[Proof]:
    """All proofs that need no hypothesis, on the first rows of a task.

    `tick` is called after each of `STEPS` steps.
    """
    with torch.no_grad():
        tolerance = rounding_of(adapter)
        rows = _proof_rows(task)
        spec = planner.specs[task.name].treated
        columns = [task.reference]
        if spec is not None and spec.column and spec.column not in columns:
            columns.append(spec.column)
        plain = {column: _plain_logits(adapter, task, column, rows) for column in columns}
        tick()
        proofs = [
            Proof(
                code="PD630",
                name="decomposed forward = plain forward",
                error=_largest(
                    _distance(_decomposed(adapter, task, column, rows), plain[column], task, rows)
                    for column in columns
                ),
                tolerance=tolerance,
                compared=f"{len(rows)} prompts, all positions, whole vocabulary",
                logits=_largest(_magnitude(plain[column], task, rows) for column in columns),
            ),
            Proof(
                code="PD631",
                name="sum of writers = residual stream",
                error=_writers(adapter, task, rows),
                tolerance=tolerance,
                compared=f"{len(rows)} prompts, final residual stream of the unmodified model",
            ),
        ]
        tick()
        proofs += _extremes(planner, adapter, task, rows, plain, tolerance)
        tick()
        return proofs


def prove_null_pair(plan: Plan, task: TaskData, adapter: Adapter, tolerance: float) -> Proof:
    """Every run of a plan, treated value := reference, is the reference run."""
    rows = min(NULL_ROWS, task.n_rows)
    values = execute(plan, task, adapter, Settings(null_pair=True, rows=rows))
    reference = {
        measure: found[0]
        for (number, measure), found in values.items()
        if plan.outputs[number].run.kind == "reference"
    }
    errors = [0.0]
    first: dict[Measure, np.ndarray] = {}
    for (_, measure), found in values.items():
        if measure.of_head:
            continue
        base = reference.get(measure)
        if base is None:
            base = first.setdefault(measure, found[0])
        if measure.record.exact:
            continue  # steps of a near-tie are no error of the engine; logits are compared
        scale = max(1.0, float(np.abs(base).max()))
        errors.append(float(np.abs(found - base).max()) / scale)
    return Proof(
        code="PD634",
        name="null pair has no effect",
        error=_largest(errors),
        tolerance=tolerance,
        compared=f"{len(plan.outputs)} runs on {rows} prompts, treated := reference",
    )


def worst_of(proofs: Sequence[Proof]) -> Proof:
    """Equal proofs of several plans as one: the largest error, and what all of them compared."""
    worst = max(proofs, key=lambda proof: np.inf if np.isnan(proof.error) else proof.error)
    if len(proofs) == 1:
        return worst
    return replace(worst, compared=f"{worst.compared}; the worst of {len(proofs)} plans")


def unproved(proofs: Iterable[tuple[str, Proof]]) -> list[Diagnostic]:
    """A diagnostic for every proof, of a task by name, that does not hold."""
    return [
        Diagnostic(
            code=proof.code,
            message=f"self-check failed on task `{task}`: {proof.name} is off by {proof.error:.3g}",
            notes=(f"compared {proof.compared}; allowed {proof.tolerance:g}",),
            help="no claim is judged on a model that the engine does not reproduce; try "
            "`dtype: float64`, and report the model",
        )
        for task, proof in proofs
        if not proof.holds
    ]


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


def _plain_logits(adapter: Adapter, task: TaskData, column: str, rows: np.ndarray) -> Tensor:
    ids, lengths = _ids(task, column, rows)
    return adapter.plain_forward(ids, lengths)


def _decomposed(adapter: Adapter, task: TaskData, column: str, rows: np.ndarray) -> Tensor:
    ids, lengths = _ids(task, column, rows)
    return adapter.decomposed_forward(ids, lengths)


def _distance(found: Tensor, wanted: Tensor, task: TaskData, rows: np.ndarray) -> float:
    """Largest difference at real tokens, relative to the largest magnitude if above 1."""
    scale = max(1.0, _magnitude(wanted, task, rows))
    return _magnitude(found.double() - wanted.double(), task, rows) / scale


def _magnitude(values: Tensor, task: TaskData, rows: np.ndarray) -> float:
    """The largest magnitude at real tokens."""
    lengths = torch.from_numpy(task.lengths[rows])
    real = (torch.arange(values.shape[1]) < lengths.unsqueeze(-1)).to(values.device)
    return float(values[real].double().abs().max())


def _writers(adapter: Adapter, task: TaskData, rows: np.ndarray) -> float:
    """Input plus every writer's own output against what enters the model's final norm."""
    ids, lengths = _ids(task, task.reference, rows)
    total = adapter.embed(ids)
    resid = total
    n_pos = ids.shape[1]
    places = torch.arange(n_pos, device=adapter.device).expand(len(rows), n_pos)
    valid = places < lengths.to(adapter.device).unsqueeze(-1)
    errors: list[float] = []  # of each layer's writes as the sums of its heads' and neurons'
    for layer in range(adapter.shape.n_layers):
        normed = adapter.attention_input(layer, resid)
        q, k, v = (
            adapter.project(layer, slot, normed, positions=places).permute(2, 0, 1, 3)
            for slot in ("q", "k", "v")
        )
        z, _ = adapter.attend(layer, q, k, v, places, valid)
        z = z.permute(1, 2, 0, 3)  # (rows, pos, heads, d_head)
        each = adapter.write_each(layer, z).sum(-2)
        errors.append(_distance(each, adapter.write(layer, z), task, rows))
        written = adapter.attention_write(layer, z)  # a norm after attention is of the heads' sum
        before = resid
        resid, total = resid + written, total + written
        if adapter.shape.has_mlp:
            read = before if adapter.shape.parallel else resid
            out = adapter.mlp(layer, read)
            resid, total = resid + out, total + out
            if not adapter.shape.normed_mlp:  # an MLP is its neurons and its output bias
                hidden = adapter.mlp_hidden(layer, read)
                parts = adapter.mlp_write(layer, hidden, torch.ones_like(hidden[..., :1]))
                errors.append(_distance(parts, out, task, rows))
    stream = adapter.final_stream(ids, lengths)
    return _largest([_distance(total, stream, task, rows), *errors])


def _extremes(
    planner: Planner,
    adapter: Adapter,
    task: TaskData,
    rows: np.ndarray,
    plain: dict[str, Tensor],
    tolerance: float,
) -> list[Proof]:
    """`keep(full)` is the reference run and `keep(none)` the treated run, by way of the planner.

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
    ends = task.lengths[rows] - 1
    at_end = torch.arange(len(rows)), torch.from_numpy(ends)
    for plan in plans:
        settings = Settings(memory=planner.limits.memory, rows=PROOF_AMONG)
        values = execute(plan, asked, adapter, settings)
        for number, output in enumerate(plan.outputs):
            found = np.stack([values[number, m][0][rows] for m in measures], axis=1)
            treated = output.run.label == "everything"
            if treated and (spec.constant or spec.kind in ("noise", "resample")):
                continue
            column = spec.column if treated else task.reference
            wanted = plain[column].cpu()[at_end][:, ids].double().numpy()
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
    shape, spec = planner.shape, planner.specs[task.name].treated
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
        frozen=planner.specs[task.name].layernorm == "frozen",
    )


def _read_ids(shape: ModelShape) -> list[int]:
    """The tokens whose logits are compared."""
    return sorted({0, shape.d_vocab - 1, shape.d_vocab // 2})


def prove_cost(planner: Planner, task: TaskData, itemsize: int) -> float:
    """What `prove` costs, in plain forward passes over all prompts of the task.

    Each column goes through the unmodified model and through the components; the sum of writers is
    two more passes, in which each head and each MLP writes twice.
    """
    spec = planner.specs[task.name].treated
    columns = 2 if spec is not None and spec.column not in ("", task.reference) else 1
    found = (2 * columns + 2.5) * min(PROOF_ROWS, task.n_rows) / task.n_rows
    for plan in _extreme_plans(planner, task):
        found += rows_cost(plan, plan_cost(plan, itemsize), PROOF_AMONG)
    return found


def rows_cost(plan: Plan, weighed: Cost, rows: int) -> float:
    """What the first rows of a plan cost, in plain forward passes over all of them.

    Means are over all rows even so.
    """
    means = sum(spec.kind == "mean" for spec in plan.treated) * weighed.plain_run
    share = min(rows / max(plan.masks.n_rows, 1), 1.0)
    return (means + (weighed.macs - means) * share) / max(weighed.plain_macs, 1)


def null_cost(plan: Plan, weighed: Cost) -> float:
    """What `prove_null_pair` costs, in plain forward passes over all prompts of the task."""
    own = sum(spec.constant for spec in plan.treated) - sum(s.kind == "mean" for s in plan.treated)
    macs = weighed.macs + own * weighed.plain_run
    return macs / max(weighed.plain_macs, 1) * min(NULL_ROWS / max(plan.masks.n_rows, 1), 1.0)


def _with_answers(task: TaskData, ids: list[int]) -> TaskData:
    """The task with fixed tokens as answer columns, for comparing raw logits."""
    columns = {f"#{i}": tuple((i,) for _ in range(task.n_rows)) for i in ids}
    return replace(task, answers={**task.answers, **columns})
