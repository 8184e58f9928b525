"""What a model and a plan prove about themselves before any claim is judged.

Each proof compares two ways to the same numbers; a proof that does not hold stops the check
(docs/semantics.md, What every check proves first). Errors are the largest absolute difference,
divided by the largest magnitude of what is compared where that is above 1; tolerances follow the
dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter, layers
from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.heap import LARGE_BYTES, give_back
from pathdsl.engine.planner import Planner
from pathdsl.engine.proof import Proof, worst_of
from pathdsl.engine.rounding import rounding_of
from pathdsl.engine.run.kept import Kept
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
COMPARED = 1 << 18
"""Numbers that are compared together, so that what compares takes little beside them."""
STEPS = 3
"""Steps that `prove` tells of at most: two columns of prompts, and the runs of a plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a model has shown on some prompts, none of which hangs on a task or a plan.

    `error`: how far the decomposed forward lies from the plain one; `largest` logit in magnitude;
    `written`: how far the writers lie from the residual stream, None where that was not asked.
    `ends`: (rows, ids) float64, the plain forward's logits of `_read_ids` behind the last token.
    """

    error: float
    largest: float
    written: float | None
    ends: np.ndarray


AllShown = dict[bytes, Shown]
"""By what entered the model: prompts that several tasks have are run once."""


def prove(
    planner: Planner,
    adapter: Adapter,
    task: TaskData,
    tick: Callable[[], None] = lambda: None,
    shown: AllShown | None = None,
) -> list[Proof]:
    """All proofs that need no hypothesis, on the first rows of a task, with its answers behind the
    prompts, too, where they are read there.

    `tick` is called after each of `STEPS` steps. `shown` is what this model has shown before, and
    gets what it shows now.
    """
    shown = {} if shown is None else shown
    found = _prove(planner, adapter, task, tick, shown)
    for column, branch in task.branches.items():
        again = _prove(planner, adapter, _to_the_end(branch), lambda: None, shown)
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
    planner: Planner, adapter: Adapter, task: TaskData, tick: Callable[[], None], shown: AllShown
) -> list[Proof]:
    """The proofs on one set of rows."""
    with torch.no_grad():
        tolerance = rounding_of(adapter)
        rows = _proof_rows(task)
        plain: dict[str, Shown] = {}
        for column in _proof_columns(planner, task):
            name, whole = _name(task, column, rows), column == task.reference
            if name not in shown or (whole and shown[name].written is None):
                shown[name] = _show(adapter, *_ids(task, column, rows), whole=whole)
            plain[column] = shown[name]
            tick()
        written = plain[task.reference].written
        assert written is not None
        proofs = [
            Proof(
                code="PD630",
                name="decomposed forward = plain forward",
                error=_largest(one.error for one in plain.values()),
                tolerance=tolerance,
                compared=f"{len(rows)} prompts, all positions, whole vocabulary",
                logits=_largest(one.largest for one in plain.values()),
            ),
            Proof(
                code="PD631",
                name="sum of writers = residual stream",
                error=written,
                tolerance=tolerance,
                compared=f"{len(rows)} prompts, final residual stream of the unmodified model",
            ),
        ]
        proofs += _extremes(planner, adapter, task, rows, plain, tolerance)
        tick()
        return proofs


def _proof_columns(planner: Planner, task: TaskData) -> list[str]:
    """The columns on which a model proves itself, the reference prompt first."""
    spec = planner.specs[task.name].treated
    treated = spec.column if spec is not None else ""
    return [task.reference, *([treated] if treated not in ("", task.reference) else [])]


def _show(adapter: Adapter, ids: Tensor, lengths: Tensor, *, whole: bool) -> Shown:
    """One pass of the unmodified model and one of its parts; `whole`: of each part alone, too."""
    stream, plain = adapter.final_stream(ids, lengths)
    written = None
    if whole:
        added, errors, found = _written(adapter, ids, lengths)
        written = _largest([_distance(added, stream, lengths), *errors])
    else:
        found = adapter.decomposed_forward(ids, lengths)
    at_end = torch.arange(len(ids)), lengths - 1
    ends = plain[at_end][:, _read_ids(adapter.shape)].double().cpu().numpy()
    shown = Shown(
        error=_distance(found, plain, lengths), largest=_magnitude(plain, lengths),
        written=written, ends=ends,
    )  # fmt: skip
    large = plain.numel() * plain.element_size() > LARGE_BYTES
    del found, plain, stream
    if large:
        give_back()
    return shown


def _name(task: TaskData, column: str, rows: np.ndarray) -> bytes:
    """What enters the model in a proof."""
    ids, lengths = (one.numpy() for one in _ids(task, column, rows))
    return f"{ids.shape} ".encode() + ids.tobytes() + lengths.tobytes()


def null_settings(task: TaskData, memory: int) -> Settings:
    """How the null pair of a plan is executed, as its runs are."""
    return Settings(memory=memory, null_pair=True, rows=range(min(NULL_ROWS, task.n_rows)))


def prove_null_pair(
    plan: Plan,
    task: TaskData,
    adapter: Adapter,
    tolerance: float,
    memory: int = DEFAULT_MEMORY,
    kept: Kept | None = None,
) -> Proof:
    """Every run of a plan, treated value := reference, is the reference run, under what it stands.

    A run whose treated side stands under more than its reference side is tried without that.
    `kept` may have the reference run of these rows, under this limit of memory.
    """
    rows = min(NULL_ROWS, task.n_rows)
    errors = [0.0]
    for one in (plan, *_without_more(plan, task)):
        values = execute(one, task, adapter, null_settings(task, memory), kept=kept)
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
    lengths = task.reading(column).lengths[rows]
    ids = task.prompts[column][rows][:, : int(lengths.max())]
    return torch.from_numpy(np.ascontiguousarray(ids)), torch.from_numpy(lengths)


def _distance(found: Tensor, wanted: Tensor, lengths: Tensor) -> float:
    """Largest difference at real tokens, relative to the largest magnitude if above 1."""
    errors = [
        (here.double() - there.double()).abs().max()
        for one, other, length in zip(found, wanted, lengths.tolist(), strict=True)
        for here, there in zip(_parts(one[:length]), _parts(other[:length]), strict=True)
    ]
    return float(torch.stack(errors).max()) / max(1.0, _magnitude(wanted, lengths))


def _magnitude(values: Tensor, lengths: Tensor) -> float:
    """The largest magnitude at real tokens."""
    each = [
        part.abs().max()
        for one, length in zip(values, lengths.tolist(), strict=True)
        for part in _parts(one[:length])
    ]
    return float(torch.stack(each).max())


def _parts(values: Tensor) -> Sequence[Tensor]:
    """Tokens by a few where each has the logits of a whole vocabulary."""
    return values.split(max(COMPARED // max(values[0].numel(), 1), 1))


def _written(adapter: Adapter, ids: Tensor, lengths: Tensor) -> tuple[Tensor, list[float], Tensor]:
    """A plain run from the parts: input plus every writer's own output (rows, pos, d_model), how
    far each layer's writes lie from the sums of its heads' and its neurons', and the logits."""
    embedded = adapter.embed(ids)
    total = resid = embedded[..., : adapter.shape.d_model]
    errors: list[float] = []
    for each in layers(adapter, embedded, lengths):
        layer, resid = each.layer, each.after
        heads = adapter.write_each(layer, each.z).sum(-2)
        errors.append(_distance(heads, adapter.write(layer, each.z), lengths))
        # A norm after attention is of the heads' sum.
        total = adapter.behind_attention(layer, total + each.written)
        if each.out is not None:
            total = adapter.behind_mlp(layer, total + each.out)
            whole = adapter.shape.normed_mlp or adapter.shape.routes(layer)
            if not whole:  # an MLP is its neurons and its output bias
                hidden = adapter.mlp_hidden(layer, each.read)
                parts = adapter.mlp_write(layer, hidden, torch.ones_like(hidden[..., :1]))
                errors.append(_distance(parts, each.out, lengths))
    return total, errors, adapter.unembed(adapter.final_norm(resid))


def _extremes(
    planner: Planner,
    adapter: Adapter,
    task: TaskData,
    rows: np.ndarray,
    plain: dict[str, Shown],
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
    for plan in plans:
        settings = Settings(memory=planner.room(task.name), rows=rows.tolist())
        values = execute(plan, asked, adapter, settings)
        for number, output in enumerate(plan.outputs):
            found = np.stack([values[number, m][0] for m in measures], axis=1)
            treated = output.run.label == "everything"
            wanted = plain[spec.column if treated else task.reference].ends
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
    """The plans of the runs that keep every path and, where the treated value is a run of its own
    that this can be compared with, no path; none without a treated value."""
    shape, spec = planner.shape_of(task.name), planner.specs[task.name].treated
    if spec is None:
        return ()
    layout_any = (1 << shape.n_senders) - 2
    part: PathSet = complete(cat(Nodes(mask=layout_any)), layout_any, 1 << shape.n_senders)
    everything = union(part, minus(FULL, part))
    runs = [
        RunSpec(task=task.name, kind="treat", paths=paths, treated=spec, label=label)
        for label, paths in (("nothing", minus(FULL, everything)), ("everything", everything))
        if label == "nothing" or spec.how.own_run
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


def prove_cost(
    planner: Planner, task: TaskData, itemsize: int, shown: Collection[bytes] = ()
) -> float:
    """What `prove` costs, in plain forward passes over all prompts of the task.

    Each column goes through the unmodified model and through the components; in the reference run
    each head and each MLP writes once more. What the model has `shown` costs nothing.
    """
    found, rows = 0.0, _proof_rows(task)
    for column in _proof_columns(planner, task):
        if _name(task, column, rows) not in shown:
            found += (2.5 if column == task.reference else 2) * len(rows) / task.n_rows
    for plan in _extreme_plans(planner, task):
        weighed = plan_cost(plan, itemsize)
        found += weighed.macs / max(weighed.plain_macs, 1) * len(rows) / task.n_rows
    branches = task.branches.values()
    return found + sum(prove_cost(planner, branch, itemsize, shown) for branch in branches)


def prove_reads(planner: Planner, task: TaskData, itemsize: int) -> int:
    """Layers that `prove` reads where weights are streamed: of each column by the unmodified model
    and by the components, and by the runs that keep every path and no path."""
    found, rows = 0, _proof_rows(task).tolist()
    for _ in _proof_columns(planner, task):
        found += 2 * planner.shape_of(task.name).n_layers
    room = planner.room(task.name)
    for plan in _extreme_plans(planner, task):
        batch = rows_within(plan, plan_cost(plan, itemsize), room, "cpu")
        found += layer_reads(plan, batch, room, rows=rows)
    return found + sum(prove_reads(planner, one, itemsize) for one in task.branches.values())


def null_reads(plan: Plan, itemsize: int, memory: int) -> int:
    """Layers that `prove_null_pair` reads where weights are streamed and no plain run is kept."""
    rows = range(min(NULL_ROWS, plan.masks.n_rows))
    batch = rows_within(plan, plan_cost(plan, itemsize), memory, "cpu")
    return layer_reads(plan, batch, memory, null_pair=True, rows=rows)


def null_cost(plan: Plan, weighed: Cost) -> float:
    """What `prove_null_pair` costs, in plain forward passes over all prompts of the task.

    Every treated value is the reference run's, which was made before.
    """
    alone = weighed.macs - weighed.plain_runs * weighed.plain_run
    return alone / max(weighed.plain_macs, 1) * min(NULL_ROWS / max(plan.masks.n_rows, 1), 1.0)


def _with_answers(task: TaskData, ids: list[int]) -> TaskData:
    """The task with fixed tokens as answer columns, for comparing raw logits."""
    columns = {f"#{i}": tuple((i,) for _ in range(task.n_rows)) for i in ids}
    return replace(task, answers={**task.answers, **columns})
