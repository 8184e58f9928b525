"""From a program to its tasks' arrays: which columns are used, rows loaded, vetted, tokenised."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pathdsl.engine.data.asked import NamedValue, asked_of, read_elsewhere
from pathdsl.engine.data.build import build_task, load_rows
from pathdsl.engine.data.faults import DataFaults
from pathdsl.engine.data.task import Hits, TaskSpec, task_spec
from pathdsl.engine.data.told import OF_CELLS, placed_in, told_once
from pathdsl.engine.data.vetted import same_answers
from pathdsl.errors import DataError, Diagnostic
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang import ast
from pathdsl.lang.check.arguments import across
from pathdsl.lang.program import Program
from pathdsl.lang.serving import (
    fields_of,
    model_of,
    root_task,
)
from pathdsl.plan.taskdata import TaskData


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The tasks of a program, ready to run, with what was noticed on the way."""

    tasks: Mapping[str, TaskData]
    specs: Mapping[str, TaskSpec]
    warnings: tuple[Diagnostic, ...] = ()
    overrides: Mapping[str, int] = field(default_factory=dict)


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


def _as_read(task: TaskData) -> dict[str, list[Hashable]]:
    """What is read of each row in each token column: several tokens in any order, or an answer."""
    return {
        column: [ids if task.whole else frozenset(ids) for ids in found]
        for column, found in task.answers.items()
    }


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
    asked = asked_of(program)
    summed = {*asked.readers} - {one.spec for one in asked.named if one.verb != "add"}
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
            its_tokenizer, its_shape = others.get(name, (tokenizer, shape))
            tasks[name], noticed = build_task(
                spec, rows, its_tokenizer, its_shape, treated=asked.treated(name, present),
                answer_columns=asked.answers(name, present), elsewhere=elsewhere, summed=summed,
            )  # fmt: skip
            pairs = DataFaults(spec.name, spec.data.span or spec.span)
            same_answers(tasks[name].row_ids, _as_read(tasks[name]), asked.contrasts[name], pairs)
            pairs.stop()
            if len(program.models) > 1 and (model := model_of(program, name)) is not None:
                facts = {**tasks[name].facts, "model": model.name.name}
                if spec.filters:
                    facts["where"] = _chosen_by(program, spec, model)
                tasks[name] = replace(tasks[name], facts=facts)
            specs[name] = spec
            warnings[name] = placed_in(
                declaration, spec, rows, (*rows.warnings, *noticed, *pairs.warnings)
            )
        except DataError as error:
            faults[name] = placed_in(declaration, spec, rows, error.diagnostics)
    if faults:
        raise DataError(told_once(program, faults))
    _vet_values(program, tasks, asked.named)
    told = [fault for found in warnings.values() for fault in found if fault.code not in OF_CELLS]
    of_cells = {
        name: tuple(fault for fault in found if fault.code in OF_CELLS)
        for name, found in warnings.items()
    }
    return Prepared(
        tasks=tasks,
        specs=specs,
        warnings=(*told, *told_once(program, of_cells)),
        overrides=dict(overrides or {}),
    )
