"""What a check would run: runs, copies by layer and by run, cost and memory, as text and as JSON.

A *copy* is one component in one context; a copy that several runs need is computed once. Costs
count multiply-adds and are stated as a multiple of one plain forward pass over the same rows.

Source: docs/semantics.md, Exact evaluation; `pathdsl.plan.liveness`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pathdsl.checking.planned import AttributionPlan, PlanOutcome, TaskPlan
from pathdsl.graph.model.components import bits
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.plan.liveness import reads_of
from pathdsl.plan.outputs import Plan, ends_of
from pathdsl.plan.steps import COPIES, parts_of
from pathdsl.report.data.result import diagnostic_object
from pathdsl.report.numbers import many, plain, replaced_text, rows_text, size_text
from pathdsl.report.text.style import View, clip, fit, paragraph, table

__all__ = ["Sharing", "plan_object", "plan_report", "sharing"]

RUNS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """Who computes what: copies that serve several runs and one run, and each run's copies.

    `by_run`: for each output the copies that it rests on, and how many of them no other run uses.
    """

    shared: int
    own: int
    by_run: tuple[tuple[int, int], ...]


def sharing(plan: Plan) -> Sharing:
    """Count the computed copies of a plan by the runs that rest on them."""
    users: dict[int, int] = {}
    for number, output in enumerate(plan.outputs):
        bit = 1 << number
        ends = [output.resid, *(s for a in output.attention for s, _ in a.blend if s >= 0)]
        ends += ends_of(output)
        if output.frozen >= 0:
            ends.append(output.frozen)
        for step in (part for end in ends for part, _ in parts_of(plan.steps, end)):
            users[step] = users.get(step, 0) | bit
    for number in range(len(plan.steps) - 1, -1, -1):
        if number in users:
            for read in reads_of(plan, number):
                users[read] = users.get(read, 0) | users[number]
    whose = [users.get(n, 0) for n in plan.alive if isinstance(plan.steps[n], COPIES)]
    counts = [[0, 0] for _ in plan.outputs]
    for runs in whose:
        for number in bits(runs):
            counts[number][0] += 1
            counts[number][1] += runs.bit_count() == 1
    shared = sum(runs.bit_count() > 1 for runs in whose)
    return Sharing(
        shared=shared, own=len(whose) - shared, by_run=tuple((all_, own) for all_, own in counts)
    )


def plan_report(outcome: PlanOutcome, view: View) -> str:
    """The plan of one file as text, ending in an empty line."""
    lines = [view.heading(outcome.path)]
    circuit = outcome.program.circuit
    if circuit is not None:
        lines.append(f"  {circuit.name.name}" + (f": {circuit.title}" if circuit.title else ""))
    if outcome.models:
        lines += [f"  model {name} = {text}" for name, text in outcome.models.items()]
        lines.append("  no weights were loaded; `check` loads one model after another")
    else:
        lines.append(f"  model {outcome.model}, {outcome.dtype}; no weights were loaded")
    if outcome.replaced:
        replaced = replaced_text(outcome.replaced)
        text = f"not the published scope: {replaced} set on the command line"
        lines.append(view.paint(paragraph(text, view, "  ", "  "), "yellow"))
    for part in outcome.parts:
        lines += ["", *_task(part, outcome, view)]
    for one in outcome.attributions:
        lines += ["", *_attribution(one, outcome, view)]
    if not outcome.parts and not outcome.attributions:
        lines += ["", "nothing runs: every quantity is counted on the graph"]
    if outcome.adaptive:
        text = (
            f"adaptive: {', '.join(outcome.adaptive)} search for knockouts by what they measure; "
            f"beyond the runs above at most {outcome.later_runs:,} more"
        )
        lines += ["", paragraph(text, view, "  ", "  ")]
    return fit("\n".join(lines), view) + "\n\n"


def _task(part: TaskPlan, outcome: PlanOutcome, view: View) -> list[str]:
    plan, cost = part.plan, part.cost
    task = outcome.tasks[plan.task]
    counted = sharing(plan)
    shared, own = counted.shared, counted.own
    times = plain(cost.forwards, 2 if cost.forwards < 10 else 1)
    where, taken = task.facts.get("where", ""), task.facts.get("taken", "")
    prompts = f"{task.n_rows:,}"
    if where or taken:
        prompts = rows_text(task.n_rows, task.rows_before, where, taken)
    if "open" in task.facts:
        prompts = f"at most {prompts}; which ones is known when the model has run"
    layers = ", ".join(map(str, cost.copies_by_layer))
    facts = [
        ["  prompts", f"{prompts}, up to {plan.masks.n_pos} tokens"],
        ["  model", task.facts.get("model", "")],
        ["  treated", str(part.spec.treated) if part.spec.treated else "none"],
        ["", f"`at: any` leaves out {task.facts.get('left_out')}" if "left_out" in task.facts
         else ""],
        ["  norms", "frozen; `check` judges again with recomputed ones" if plan.frozen else ""],
        ["  runs", f"{len(plan.outputs):,}, from {many(cost.plain_runs, 'plain run')}"],
        ["  copies", f"{shared + own:,}: {shared:,} shared by several runs, {own:,} of one run"],
        ["", f"by layer: {layers}" if any(cost.copies_by_layer) else ""],
        ["  cost", f"about {times} plain forward passes over the same prompts, "
         f"{plain(part.self_checks, 1)} more for self-checks"],
        ["  memory", f"{size_text(cost.row_bytes)} a prompt, "
         f"{size_text(cost.row_bytes * part.batch)} a batch of {many(part.batch, 'prompt')} "
         f"(limit {size_text(part.room.values)})"],
        ["  weights", _weights(part) if part.room.streamed else ""],
    ]  # fmt: skip
    behind = f", `{plan.behind}` behind the prompts" if plan.behind else ""
    lines = [view.heading(f"Task {plan.task}{behind}"), *table([f for f in facts if f[1]])]
    rows = [["  run", "copies", "its own"]]
    alike: dict[str, list[tuple[int, int]]] = {}
    for output, counts in zip(plan.outputs, counted.by_run, strict=True):
        alike.setdefault(output.run.form or output.run.label or output.run.kind, []).append(counts)
    shown = list(alike.items())[: None if view.everything else RUNS]
    room = view.width - 32
    for name, outputs in shown:
        times = f"  ×{len(outputs)}" if len(outputs) > 1 else ""
        each = [sum(column) for column in zip(*outputs, strict=True)]
        cut = name if view.everything else clip(name, room)
        rows.append([f"  {cut}{times}", *(f"{n:,}" for n in each)])
    body = table(rows, right=(1, 2), width=view.width)
    lines += ["", view.faint(body[0]), *body[1:]]
    rest = sum(len(outputs) for outputs in list(alike.values())[len(shown) :])
    if rest:
        lines.append(f"  … {many(rest, 'more run')}; `--all` shows them")
    return lines


def _weights(part: TaskPlan) -> str:
    """How often weights are read that are not held."""
    room, layers = part.room, max(part.plan.shape.n_layers, 1)
    times = plain(part.reads / layers, 1), plain(part.proof_reads / layers, 1)
    return (
        f"{size_text(room.weights)}, read a layer at a time ({size_text(room.layer)}): at most "
        f"{times[0]} times by the runs, {times[1]} by self-checks"
    )


def _attribution(one: AttributionPlan, outcome: PlanOutcome, view: View) -> list[str]:
    asked, task = one.asked, outcome.tasks[one.task]
    facts = [
        ["  prompts", f"{task.n_rows:,}, up to {task.n_pos} tokens"],
        ["  treated", str(asked.treated) if ATTRIBUTIONS[asked.method].effect else ""],
        ["  scores", f"{asked.of}{' at each position' if asked.by_position else ''}"
         f"{f', read at {asked.reader}' if asked.reader is not None else ''}, all of them in one "
         "go"],
        ["  integral", f"{asked.steps} steps, {asked.rule}" if asked.steps else ""],
    ]  # fmt: skip
    if one.cost is not None:
        times = plain(one.cost.forwards, 2 if one.cost.forwards < 10 else 1)
        facts += [
            ["  cost", f"about {times} plain forward passes over the same prompts"],
            ["  memory", f"about {size_text(one.cost.peak)} beside the weights, "
             f"{many(one.cost.rows, 'prompt')} at a time"],
        ]  # fmt: skip
    return [
        view.heading(f"Attribution by {asked.method}, task {one.task}"),
        *table([fact for fact in facts if fact[1]]),
    ]


def plan_object(outcome: PlanOutcome) -> dict[str, Any]:
    """The plan of one file for programs."""
    circuit = outcome.program.circuit
    return {
        "path": outcome.path,
        "circuit": circuit.name.name if circuit else None,
        "replaced": dict(outcome.replaced),
        "tasks": [_task_object(part, outcome) for part in outcome.parts],
        "attributions": [
            {
                "task": one.task,
                "method": one.asked.method,
                "of": one.asked.of,
                "by_position": one.asked.by_position,
                "treated": str(one.asked.treated),
                "steps": one.asked.steps,
                "rule": one.asked.rule,
                "forwards": None if one.cost is None else one.cost.forwards,
                "peak_bytes": None if one.cost is None else one.cost.peak,
            }
            for one in outcome.attributions
        ],
        "diagnostics": [diagnostic_object(d, outcome.sources) for d in outcome.warnings],
        "adaptive": {"names": list(outcome.adaptive), "later_runs": outcome.later_runs},
        "memory_limit": outcome.memory,
    }


def _streamed_object(part: TaskPlan) -> dict[str, Any]:
    """Bytes of all weights and of a layer, and how many layers are read."""
    return {
        "weights": part.room.weights,
        "layer": part.room.layer,
        "layer_reads": part.reads,
        "self_check_layer_reads": part.proof_reads,
    }


def _task_object(part: TaskPlan, outcome: PlanOutcome) -> dict[str, Any]:
    plan, cost = part.plan, part.cost
    counted, task = sharing(plan), outcome.tasks[plan.task]
    return {
        "task": plan.task,
        **({"model": task.facts["model"]} if "model" in task.facts else {}),
        "prompts": task.n_rows,
        "rows_open_until": task.facts.get("open", ""),
        "behind": plan.behind,
        "tokens": plan.masks.n_pos,
        "treated": str(part.spec.treated) if part.spec.treated else None,
        "layernorm": part.spec.layernorm,
        **({"routing": part.spec.routing} if plan.shape.mixture is not None else {}),
        "plain_runs": cost.plain_runs,
        "copies": counted.shared + counted.own,
        "shared_copies": counted.shared,
        "copies_by_layer": list(cost.copies_by_layer),
        "forwards": cost.forwards,
        "self_checks": part.self_checks,
        "row_bytes": cost.row_bytes,
        "batch_rows": part.batch,
        **({"streamed": _streamed_object(part)} if part.room.streamed else {}),
        "runs": [
            {"run": output.run.label or output.run.kind, "copies": copies, "own_copies": own}
            for output, (copies, own) in zip(plan.outputs, counted.by_run, strict=True)
        ],
    }
