"""From a program to its tasks' arrays: which columns are used, rows loaded, vetted, tokenised."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pathdsl.engine.data.build import LoadedRows, build_task, load_rows
from pathdsl.engine.data.faults import placed
from pathdsl.engine.data.task import Hits, TaskSpec, task_spec
from pathdsl.errors import DataError, Diagnostic
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang import ast
from pathdsl.lang.check.arguments import across
from pathdsl.lang.loops import meant_nodes
from pathdsl.lang.program import Program
from pathdsl.lang.serving import (
    answer_columns,
    fields_of,
    lineage,
    model_of,
    root_task,
    serving,
    tasks_read,
    treated_by,
)
from pathdsl.lang.signatures.interventions import values_of
from pathdsl.lang.signatures.measures import columns_in
from pathdsl.lang.walk import walk
from pathdsl.plan.taskdata import TaskData
from pathdsl.plan.treated import TreatedSpec, treated_spec

OF_CELLS = ("PD353", "PD355", "PD356", "PD359", "PD519")
"""Warnings about how cells are read and rows written, the same for a task and its parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The tasks of a program, ready to run, with what was noticed on the way."""

    tasks: Mapping[str, TaskData]
    specs: Mapping[str, TaskSpec]
    warnings: tuple[Diagnostic, ...] = ()
    overrides: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedValue:
    """A treated value where a run, a score or an action names it, `treat(P, treated: zero)`.

    `verb`: that of the action, "" for a run or score. `tasks`: those on which it is read; none
    where the text does not say.
    """

    node: ast.Node
    spec: TreatedSpec
    verb: str
    tasks: frozenset[str]


def named_values(program: Program) -> list[NamedValue]:
    """The treated values that runs, scores and actions name, in order of mention.

    Nothing is executed of a block that no run stands under; one that several stand under is told
    once for each.
    """
    found = []
    for declaration in (*program.lets.values(), *program.claims):
        nodes = meant_nodes(program, declaration)
        its = tasks_read(program, nodes)
        on: dict[int, set[str]] = {}
        for node in nodes:
            if isinstance(node, ast.Call | ast.Score) and (here := tasks_read(program, [node])):
                for inner in walk(node):
                    on.setdefault(id(inner), set()).update(here)
        for node in nodes:
            tasks = frozenset(on.get(id(node), its))
            for value, verb in _named_by(program, node):
                spec = treated_spec(value)
                found.append(NamedValue(node=value, spec=spec, verb=verb, tasks=tasks))
    return found


def _named_by(program: Program, node: ast.Node) -> Iterator[tuple[ast.Node, str]]:
    """The treated value that a node names, or those of the blocks that it stands under."""
    if isinstance(node, ast.PathRun | ast.PlainRun):
        for name in node.blocks:
            if name.name in program.interventions:
                yield from _of_block(program, program.interventions[name.name])
    if isinstance(node, ast.PathRun | ast.Score):
        own = treated_by(node)
        if own is not None and not isinstance(own, ast.PlainRun):
            yield own, ""


def _of_block(program: Program, block: ast.InterveneDecl) -> Iterator[tuple[ast.Node, str]]:
    """The treated values that the actions of a block name; static checks refuse circles."""
    for node in meant_nodes(program, block):
        if isinstance(node, ast.Action):
            for value in values_of(node, program.groups):
                yield value, node.verb
        yield from _named_by(program, node)


def columns_by_task(program: Program) -> dict[str, dict[str, None]]:
    """Token columns that metrics and accuracies read, by task, in order of mention."""
    columns: dict[str, dict[str, None]] = {name: {} for name in program.tasks}
    for metric in program.metrics.values():
        for task in serving(program, metric):
            columns[task] |= {name.name: None for name in answer_columns(metric)}
    return columns


def read_elsewhere(program: Program) -> set[str]:
    """Token columns that metrics read at named places only, never at the end of the prompt."""
    somewhere: dict[bool, set[str]] = {True: set(), False: set()}
    for metric in program.metrics.values():
        for node in walk(metric.expression):
            if isinstance(node, ast.Call):
                at = node.at or metric.at
                at_end = at is None or (at.name == "END" and not at.offset)
                somewhere[at_end] |= {column.name for column in columns_in(node)}
    return somewhere[False] - somewhere[True] - set(answers_of_scores(program))


def answers_of_scores(program: Program) -> tuple[str, ...]:
    """Columns named by `answer:`; which task they belong to shows when the rows are there."""
    found: dict[str, None] = {}
    for declaration in (*program.lets.values(), *program.claims):
        for node in meant_nodes(program, declaration):
            if isinstance(node, ast.Score):
                for option in node.options:
                    if option.keyword == "answer" and isinstance(option.value, ast.Name):
                        found[option.value.name] = None
    return tuple(found)


def _placed(
    declaration: ast.TaskDecl,
    spec: TaskSpec | None,
    rows: LoadedRows | None,
    found: Iterable[Diagnostic],
) -> tuple[Diagnostic, ...]:
    """Faults of rows with the line of their file, and all of them with a place in the program."""
    lines = rows.lines if rows is not None else {}
    counted = rows.counted if rows is not None else "line"
    path, span = (spec.data.path, spec.data.span) if spec is not None else ("", None)
    return placed(found, lines, path, span or declaration.span, counted)


def _told_once(program: Program, faults: Mapping[str, tuple[Diagnostic, ...]]) -> list[Diagnostic]:
    """All faults, but for those of a part of a task that the whole task has told already."""
    told: list[Diagnostic] = []
    for name, found in faults.items():
        codes: set[str] = set()
        for whole in list(lineage(program, program.tasks[name]))[1:]:
            codes |= {fault.code for fault in faults.get(whole.name.name, ())}
        told += [fault for fault in found if fault.code not in codes]
    return told


def _chosen_by(program: Program, spec: TaskSpec, model: ast.ModelDecl) -> str:
    """The conditions of a task, with the model whose runs chose rows where it is not the task's."""
    said = []
    for one in spec.filters:
        chooser = model_of(program, one.of) if one.run else None
        other = chooser is not None and chooser is not model
        said.append(f"{one} on model {chooser.name.name}" if other and chooser else str(one))
    return " and ".join(said)


def _vet_across(program: Program, name: str, spec: TaskSpec, present: set[str]) -> None:
    """Raise PD309 where the treated value is called like a task or a model, and no column is."""
    column = spec.treated.column if spec.treated is not None else ""
    if column and present and column not in present and program.kind(column) in ("task", "model"):
        value = fields_of(program, program.tasks[name])["treated"].value
        raise DataError(across(program, ast.Name(name=column, span=value.span)))


def _vet_values(
    program: Program, tasks: Mapping[str, TaskData], named: Sequence[NamedValue]
) -> None:
    """Raise PD328 or PD309 for a treated value whose column the rows of a task that reads it lack.

    Where the text does not say the task, the rows of some task have to have it.
    """
    faults: dict[Diagnostic, None] = {}
    for one in named:
        alone = [[tasks[name]] for name in tasks if name in one.tasks]
        for on in alone or [[*tasks.values()]]:
            faults |= dict.fromkeys(_lacking(program, one, on))
    if faults:
        raise DataError(list(faults))


def _lacking(program: Program, named: NamedValue, tasks: list[TaskData]) -> Iterator[Diagnostic]:
    value, column = named.node, named.spec.column
    if not column or not tasks or any(column in task.prompts for task in tasks):
        return
    if isinstance(value, ast.Name) and program.kind(column) in ("task", "model"):
        yield across(program, value)
        return
    whose = f"of task `{tasks[0].name}` " if len(tasks) == 1 else ""
    yield Diagnostic(
        code="PD328",
        message=f"no row {whose}has a prompt column `{column}`",
        span=value.span,
        label="wanted here as a treated value",
        help=f"known: {', '.join(f'`{name}`' for name in tasks[0].prompts)}",
    )


def prepare_tasks(
    program: Program,
    tokenizer: Any | None,
    shape: ModelShape,
    overrides: Mapping[str, int] | None = None,
    known: Hits | None = None,
    others: Mapping[str, tuple[Any | None, ModelShape]] = {},
) -> Prepared:
    """Load and vet every task of a program; `known` as of `load_rows`.

    `others`: the tokenizer and shape of each task that runs on another model than these.

    Raises DataError with the faults of all tasks together.
    """
    faults: dict[str, tuple[Diagnostic, ...]] = {}
    warnings: dict[str, tuple[Diagnostic, ...]] = {}
    tasks: dict[str, TaskData] = {}
    specs: dict[str, TaskSpec] = {}
    columns = columns_by_task(program)
    named = named_values(program)
    readers: dict[TreatedSpec, set[str]] = {}
    for one in named:
        readers.setdefault(one.spec, set()).update(one.tasks)
    summed = {*readers} - {one.spec for one in named if one.verb != "add"}
    scored = answers_of_scores(program)
    elsewhere = read_elsewhere(program)
    for name, declaration in program.tasks.items():
        spec, rows = None, None
        try:
            spec = task_spec(declaration, program.tasks)
            base = Path(program.origin.get(name, program.path)).parent
            # A derived task has the rows of its root, whichever model it runs on.
            vetted_by, _ = others.get(root_task(program, name), (tokenizer, shape))
            rows = load_rows(spec, base, overrides, program.fence, known, vetted_by)
            present = set(rows.rows[0]) if rows.rows else set()
            _vet_across(program, name, spec, present)
            wanted = columns[name] | {c: None for c in scored if c in present}
            treated = [
                value
                for value, on in readers.items()
                if (name in on or not on) and (not value.column or value.column in present)
            ]
            its_tokenizer, its_shape = others.get(name, (tokenizer, shape))
            tasks[name], noticed = build_task(
                spec, rows, its_tokenizer, its_shape, treated=treated, answer_columns=wanted,
                elsewhere=elsewhere, summed=summed,
            )  # fmt: skip
            if len(program.models) > 1 and (model := model_of(program, name)) is not None:
                facts = {**tasks[name].facts, "model": model.name.name}
                if spec.filters:
                    facts["where"] = _chosen_by(program, spec, model)
                tasks[name] = replace(tasks[name], facts=facts)
            specs[name] = spec
            warnings[name] = _placed(declaration, spec, rows, (*rows.warnings, *noticed))
        except DataError as error:
            faults[name] = _placed(declaration, spec, rows, error.diagnostics)
    if faults:
        raise DataError(_told_once(program, faults))
    _vet_values(program, tasks, named)
    told = [fault for found in warnings.values() for fault in found if fault.code not in OF_CELLS]
    of_cells = {
        name: tuple(fault for fault in found if fault.code in OF_CELLS)
        for name, found in warnings.items()
    }
    return Prepared(
        tasks=tasks,
        specs=specs,
        warnings=(*told, *_told_once(program, of_cells)),
        overrides=dict(overrides or {}),
    )
