"""What the rows show of the interventions that runs stand under, before weights are read.

Actions that change nothing are warned about (PD234); a path set all of whose paths go through
constants is a fault (PD233). What actions cannot do at all, planning says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.planner import Planner
from pathdsl.errors import Diagnostic, PathdslError, Severity, Span
from pathdsl.graph.model.components import Layout
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.walk import walk
from pathdsl.lang.written import written
from pathdsl.plan.acts import Act, Acts
from pathdsl.plan.masks import FALSE, MaskTable
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import Block, Request, RunSpec, Target
from pathdsl.plan.table import CopyTable

__all__ = ["check_interventions", "used_blocks"]


def used_blocks(program: Program) -> tuple[str, ...]:
    """The interventions that some run of a let or claim stands under, by name, in order.

    With those of the runs that their actions read.
    """
    names: dict[str, None] = {}
    pending: list[ast.Node] = [*program.lets.values(), *program.claims]
    while pending:
        for node in walk(pending.pop(0)):
            if isinstance(node, ast.PlainRun | ast.PathRun):
                new = [n.name for n in node.blocks if n.name not in names]
                names |= dict.fromkeys(new)
                pending += [program.interventions[n] for n in new if n in program.interventions]
    return tuple(names)


def check_interventions(
    program: Program, planner: Planner, asked: Iterable[Request]
) -> list[Diagnostic]:
    """Everything that is to be said of the runs that are asked for first."""
    runs = dict.fromkeys(planner.normal(run) for run, _ in asked if run.under)
    found = list(_empty(program))
    done: set[tuple[str, tuple[Block, ...]]] = set()
    for run in runs:
        try:
            for blocks in (run.blocks, run.treated_blocks):
                if blocks and (run.task, blocks) not in done:
                    done.add((run.task, blocks))
                    found += _idle(_acts(planner, run.task, blocks))
            found += _carries_nothing(program, planner, run)
        except PathdslError as error:
            found += error.diagnostics
    return list(dict.fromkeys(found))


def _empty(program: Program) -> Iterator[Diagnostic]:
    """PD234 for every block of a run that has no action."""
    for name in used_blocks(program):
        block = program.interventions.get(name)
        if block is not None and not block.actions:
            yield Diagnostic(
                code="PD234",
                message=f"`{name}` changes nothing: it has no action",
                span=block.name.span,
                severity=Severity.WARNING,
                help="write its actions between the braces, or leave the block out",
            )


def _acts(planner: Planner, task: str, blocks: tuple[Block, ...]) -> Acts:
    rows = planner.tasks[task].longest or planner.tasks[task]
    shape = planner.shape_of(task)
    masks = MaskTable(rows.valid, causal=shape.causal)
    table = CopyTable(Layout(shape), masks, ())
    place = position_mask(rows)
    return Acts(
        blocks, shape, masks, table.all_distances,
        lambda pos: masks.intern(place(pos)), rows.row_ids,
    )  # fmt: skip


def _idle(acts: Acts) -> Iterator[Diagnostic]:
    """PD234 for every action that changes nothing on these rows."""
    by_action: dict[Span | None, list[str]] = {}
    every: dict[Span | None, int] = {}
    for listed in acts.on.values():
        for act in listed:
            every[act.action.span] = every.get(act.action.span, 0) + 1
            if why := _no_change(act):
                by_action.setdefault(act.action.span, []).append(why)
    for (layer, _), listed in acts.inside.items():
        for act in listed:
            every[act.action.span] = every.get(act.action.span, 0) + 1
            if act.action.verb == "block":
                if not acts.seen_pairs(layer, act.mask, act.keys).any():
                    why = "the key is nowhere at or before the head's own position"
                    if not acts.shape.causal:
                        why = "the head sees the key nowhere"
                    by_action.setdefault(act.action.span, []).append(why)
    for span, reasons in by_action.items():
        if len(reasons) == every[span]:
            yield Diagnostic(
                code="PD234",
                message=f"this action changes nothing: {reasons[0]}",
                span=span,
                severity=Severity.WARNING,
                help="take it out, or write what was meant",
            )


def _no_change(act: Act) -> str:
    action = act.action
    if action.verb == "scale" and action.number == 1:
        return "the factor is 1"
    if action.verb == "add":
        if not any(number for number, _ in action.terms) and not any(action.vector):
            return "what is added is 0"
    if isinstance(action.source, Target) and not act.before:
        if replace(action.source, at=None) in {replace(t, at=None) for t in action.targets}:
            if len(action.targets) == 1:
                return "the value is set to itself"
    return ""


def _carries_nothing(program: Program, planner: Planner, run: RunSpec) -> Iterator[Diagnostic]:
    """PD233 where all paths that a run treats, or all that it keeps, go through constants."""
    if run.kind != "treat" or run.identity.kind != "treat":
        return
    if not any(action.fixes for block in run.blocks for action in block.actions):
        return
    measure = Measure(kind="top_token")
    bare = replace(run, blocks=(), of_treated=None, under="")
    paths = replace(planner, by_value=False, kept=None)
    (with_blocks,), (without,) = (paths.plans([(one, measure)]) for one in (run, bare))
    ends = [(plan.outputs[0].kept, plan.outputs[0].cut) for plan in (with_blocks, without)]
    for what, now, before in zip(("keeps", "treats"), *ends, strict=True):
        if now == FALSE != before:
            yield Diagnostic(
                code="PD233",
                message=f"every path that `{run.label}` {what} goes through a value that is set "
                "to a constant",
                span=_span_of(program, run),
                label="carries nothing",
                help="name paths that go round it, or take the run without the block",
            )


def _span_of(program: Program, run: RunSpec) -> Span | None:
    for declaration in (*program.lets.values(), *program.claims):
        for node in walk(declaration):
            if isinstance(node, ast.PathRun) and node.blocks:
                if written(program, node) == run.form:
                    return node.span
    return None
