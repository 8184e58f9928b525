"""Checks of the circuit block, the model and the tasks.

Source: docs/language.md, task.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pathdsl.lang import ast
from pathdsl.lang.check.arguments import check_arguments, check_value, unknown_word
from pathdsl.lang.check.scope import (
    Faults,
    Scope,
    check_data_set,
    check_file_named,
    fault,
    listed,
    suggestion,
    unknown,
)
from pathdsl.lang.check.where import check_where
from pathdsl.lang.fence import outside
from pathdsl.lang.needs import FIRST, release
from pathdsl.lang.placeholders import MODEL, ROWS
from pathdsl.lang.program import Program
from pathdsl.lang.serving import fields_of, generator, generator_names, is_bundled
from pathdsl.lang.signatures.calls import (
    CIRCUIT_FIELDS,
    DATA_FILES,
    LANGUAGE_VERSION,
    LOADERS,
    ROWS_OF_PARENT,
    TASK_FIELDS,
    Kind,
    Parameter,
    literal,
    whole_answers,
)

__all__ = ["check_circuit", "check_model", "check_task", "check_whole"]


def check_whole(program: Program) -> Faults:
    """One circuit block, a model, and a task where anything is judged."""
    own = program.file.statements
    blocks = [s for s in own if isinstance(s, ast.CircuitDecl)]
    for extra in blocks[1:]:
        yield fault(
            "PD118",
            "a second circuit block",
            extra.name.span,
            "one per file",
            labels=[(blocks[0].name.span, "the first")],
        )
    if program.broken or program.is_library:
        return
    about = program.circuit.name.span if program.circuit is not None else None
    if program.claims:
        about = about or program.claims[0].name.span
    if program.model is None:
        yield fault(
            "PD118",
            "no model",
            about,
            "which model is this about?",
            help='`model gpt2 = hf("openai-community/gpt2", revision: "…")`',
        )
    if program.claims and not program.tasks:
        yield fault(
            "PD130",
            "no task",
            program.claims[0].name.span,
            "on which prompts?",
            help="`task ioi { data = ioi(take: 256, seed: 0); reference = prompt }`",
        )


def _fields(
    scope: Scope, fields: tuple[ast.Field, ...], known: Mapping[str, Parameter], block: str
) -> Faults:
    """Unknown fields of a block, and the values of the known ones."""
    for field in fields:
        parameter = known.get(field.name)
        if parameter is None:
            yield fault(
                "PD112",
                f"a {block} has no field `{field.name}`",
                field.name_span,
                "not a field of it",
                **suggestion(field.name, known, field.name_span),
            )
        elif parameter.name == "hypothesis":
            yield from _hypothesis(scope, field)
        elif parameter.name == "positions":
            yield from _position_names(field)
        elif parameter.kind is Kind.MODEL:
            yield from _model_named(scope, field)
        elif parameter.kind is not Kind.SOURCE:
            yield from check_value(scope, parameter, field.value)


def _hypothesis(scope: Scope, field: ast.Field) -> Faults:
    if isinstance(field.value, ast.Name):
        yield from unknown(scope, field.value, ("path",))
    else:
        yield fault("PD115", "`hypothesis` names a path", field.value.span, "not a name")


def _model_named(scope: Scope, field: ast.Field) -> Faults:
    """The model of a task: one of the file that is checked, whichever file declares the task."""
    program, value = scope.program, field.value
    if not isinstance(value, ast.Name):
        example = next(iter(program.models), "base")
        yield fault(
            "PD115", "`model` names a model", value.span, "not a name", help=f"`model = {example}`"
        )
        return
    declared = program.kind(value.name) or value.name in program.broken
    if declared or (value.span.path == program.path and not program.is_library):
        yield from unknown(scope, value, ("model",))
    elif not program.is_library:
        yield fault(
            "PD138",
            f"`{program.path}` uses a task that runs on `{value.name}`, and declares no such model",
            value.span,
            "no model comes with `use`",
            help=f"`model {value.name} = hf(…)` in `{program.path}`",
        )


def _position_names(field: ast.Field) -> Faults:
    if not isinstance(field.value, ast.ListValue):
        yield fault(
            "PD115",
            "`positions` lists names",
            field.value.span,
            "not a list",
            help="`positions = [IO, S1, S2]`",
        )
        return
    for item in field.value.items:
        if not isinstance(item, ast.Name | ast.Position):
            yield fault("PD115", "`positions` lists names", item.span, "not a name")
        elif (
            item.name == "END" or not item.name or (isinstance(item, ast.Position) and item.offset)
        ):
            yield fault(
                "PD115",
                "offsets and `END` need no entry in `positions`",
                item.span,
                "every prompt has it" if item.name == "END" else "follows from its name",
                help="leave it out",
            )


def check_circuit(scope: Scope, circuit: ast.CircuitDecl) -> Faults:
    """The fields of the circuit block and the version it asks for."""
    yield from _fields(scope, circuit.fields, CIRCUIT_FIELDS, "circuit block")
    for field in circuit.fields:
        if field.name == "discovered" and isinstance(field.value, ast.String):
            yield from _record(scope, field.value)
        version = literal(field.value)
        if field.name == "language" and type(version) is int and version != LANGUAGE_VERSION:
            yield fault(
                "PD119",
                f"language version {version} is not known here",
                field.value.span,
                f"this program knows version {LANGUAGE_VERSION}",
                help=f"`language = {LANGUAGE_VERSION}`, or a newer program",
            )
        if field.name == "needs" and isinstance(version, str) and release(version) is None:
            yield fault(
                "PD139",
                f"`{version}` is no version of pathdsl",
                field.value.span,
                "wanted two or three numbers with points between",
                help=f'`needs = "{FIRST}"`',
            )


def _record(scope: Scope, named: ast.String) -> Faults:
    """That the record of the rows which found the circuit is there; `check` reads it."""
    folder = Path(named.span.path).parent
    if not scope.program.fence.holds(folder / named.value):
        yield outside(named.value, named.span)
    elif not os.path.isfile(folder / named.value):
        yield fault(
            "PD380",
            f"the record of the discovery rows, `{named.value}`, is not there",
            named.span,
            f"looked for it in `{folder}`",
            help="restore the file that `pathdsl discover` wrote, or discover anew",
        )


def check_model(scope: Scope, model: ast.ModelDecl) -> Faults:
    """The loader of a model and its arguments."""
    source = model.source
    yield from unknown_word(source.name, LOADERS, source.name_span, "loader of models")
    if source.name in LOADERS:
        yield from check_arguments(scope, LOADERS[source.name], source.arguments, source.span)
        first = source.arguments[0].value if source.arguments else None
        if isinstance(first, ast.String) and first.value == MODEL:
            yield fault(
                "PD440",
                f"`{MODEL}` stands for a model that is not named yet",
                first.span,
                "to be filled in",
                help='the model of the circuit: `hf("openai-community/gpt2", revision: "…")`, '
                '`folder("PATH")` or `bundled("ioi-mini")`',
            )


def check_task(scope: Scope, task: ast.TaskDecl) -> Faults:
    """The fields of a task; columns and labels where a generator says what there is."""
    program = scope.program
    scope = scope.on(task)
    yield from _fields(scope, task.fields, TASK_FIELDS, "task")
    yield from _which_model(program, task)
    if task.base is not None:
        yield from unknown(scope, task.base, ("task",))
        yield from _derived(task, task.base)
        if task.base.name in program.tasks:
            yield from check_where(scope, task, program.tasks[task.base.name])
        return
    given = {field.name: field for field in task.fields}
    yield from _whole_answers(given)
    missing = [p.name for p in TASK_FIELDS.values() if p.required and p.name not in given]
    if missing:
        yield fault(
            "PD113",
            f"the task `{task.name.name}` needs {listed(missing, 'and')}",
            task.name.span,
            "left out here",
            help="`data = ioi(take: 256, seed: 0)` and `reference = prompt`",
        )
    if "data" in given:
        yield from _data(scope, given["data"].value)
    yield from _around(given)


def _around(given: Mapping[str, ast.Field]) -> Faults:
    """`bos` beside `chat = true`: the template says what stands in front of a prompt."""
    bos, chat = given.get("bos"), given.get("chat")
    if bos is not None and chat is not None and literal(chat.value) is True:
        yield fault(
            "PD129",
            "the chat template writes what stands in front of the messages, `bos` cannot",
            bos.span,
            "leave this out",
            labels=[(chat.span, "the template is asked for here")],
        )


def _whole_answers(given: Mapping[str, ast.Field]) -> Faults:
    """What `answers = whole` leaves nothing to say for: how texts are read, and where."""
    if "answers" not in given or not whole_answers(literal(given["answers"].value)):
        return
    if "tokens" in given and literal(given["tokens"].value) == TASK_FIELDS["tokens"].default:
        yield fault(
            "PD115",
            "`answers = whole` reads texts as they continue the prompt",
            given["tokens"].value.span,
            "not read so",
            help="leave `tokens` out",
        )
    if "positions" in given and isinstance(given["positions"].value, ast.ListValue):
        for item in given["positions"].value.items:
            if isinstance(item, ast.Name | ast.Position) and item.name == "ANSWER":
                yield fault(
                    "PD115",
                    "with `answers = whole`, `ANSWER` names the tokens of the answer",
                    item.span,
                    "needs no entry",
                    help="leave it out, or give the position of the rows another name",
                )


def _which_model(program: Program, task: ast.TaskDecl) -> Faults:
    """PD307 for a task of a file with several models that does not say which is its own."""
    if len(program.models) < 2 or "model" in fields_of(program, task):
        return
    if not task.fields and task.base is not None and task.base.name in program.tasks:
        return  # said of the task that it is made from
    names = list(program.models)
    yield fault(
        "PD307",
        f"on which model does `{task.name.name}` run? The file has {listed(names)}",
        task.name.span,
        "names no model",
        help=f"`model = {names[0]}` in its block",
    )


def _derived(task: ast.TaskDecl, base: ast.Name) -> Faults:
    """PD308 where a derived task has no difference, or one of its rows."""
    for field in task.fields:
        if field.name in ROWS_OF_PARENT:
            yield fault(
                "PD308",
                f"`{task.name.name}` has the rows of `{base.name}`, and no `{field.name}` of its "
                "own",
                field.name_span,
                "decides which rows there are, or what is resampled together",
                help=f"write it in `{base.name}`, or declare a task of its own",
            )
    if not task.fields and not task.where:
        yield fault(
            "PD308",
            f"`{task.name.name}` is `{base.name}` under another name",
            task.name.span,
            "nothing differs",
            help=f"`task {task.name.name} = {base.name} {{ model = … }}`, or `where LABEL == …`",
        )


def _data(scope: Scope, value: ast.Node) -> Faults:
    if not isinstance(value, ast.Call):
        yield fault(
            "PD115",
            "`data` takes `jsonl(…)`, `csv(…)` or a generator",
            value.span,
            "not a call",
            help='`data = jsonl("data/rows.jsonl")`',
        )
    elif value.name in DATA_FILES:
        yield from check_arguments(scope, DATA_FILES[value.name], value.arguments, value.span)
        yield from _read_twice(value)
        first = value.arguments[0].value if value.arguments else None
        if isinstance(first, ast.String):
            hub = DATA_FILES[value.name].hub
            lacking = list(
                check_data_set(scope, value, first)
                if hub
                else check_file_named(scope, first.value, first.span)
            )
            if lacking and first.value == ROWS:
                lacking = [
                    fault(
                        "PD440",
                        f"`{ROWS}` stands for rows that are not named yet",
                        first.span,
                        "to be filled in",
                        help='`jsonl("FILE")` or `csv("FILE")` with a column for each name of the '
                        "task and its metric, or a generator, `ioi(take: 60, seed: 0)`",
                    )
                ]
            yield from lacking
    elif is_bundled(value.name):  # what packages have installed takes long to list
        yield from _generator_arguments(value)
    elif (known := generator_names()) is not None:
        names = (*known, *DATA_FILES)
        yield from unknown_word(value.name, names, value.name_span, "data source")
        yield from _generator_arguments(value)


def _read_twice(call: ast.Call) -> Faults:
    """A column that is to be read as ids and as texts, or is listed twice."""
    seen: dict[str, ast.Node] = {}
    for argument in call.arguments:
        columns = argument.value
        if argument.keyword not in ("ids", "texts") or not isinstance(columns, ast.ListValue):
            continue
        for item in columns.items:
            name = item.name if isinstance(item, ast.Name) else ""
            if name in seen:
                yield fault(
                    "PD114",
                    f"the column `{name}` is listed twice",
                    item.span,
                    "given again here",
                    labels=[(seen[name].span, "first given here")],
                    help="its cells are ids or texts: leave one of them out",
                )
            elif name:
                seen[name] = item


def _generator_arguments(call: ast.Call) -> Faults:
    made = generator(call.name)
    if made is None:
        return
    from pathdsl.tasks.base import argument_faults

    known = {parameter.name: parameter for parameter in made.parameters}
    given: dict[str, Any] = {}
    take: ast.Node = call
    for argument in call.arguments:
        name = argument.keyword
        if name not in known:
            shown = f"has no argument `{name}`" if name else "takes its arguments by name"
            yield fault(
                "PD117",
                f"`{call.name}` {shown}",
                argument.span,
                "not an argument of it",
                **suggestion(name, known, argument.span),
            )
            continue
        value = literal(argument.value)
        wrong = f"`{name}` takes a plain value" if value is None else known[name].fault(value)
        if wrong is not None:
            fits = isinstance(value, int) and known[name].kind in ("int", "float")
            code = "PD116" if fits or known[name].choices else "PD115"
            yield fault(code, wrong, argument.value.span, known[name].doc)
        given[name] = value
        take = argument.value if name == "take" else take
    if argument_faults(made.parameters, given):
        return
    for wrong in made.faults(**given):  # each argument is right, and together they are not
        yield fault(
            "PD116", wrong, take.span, "more rows than there are prompts",
            help=f"`take: {made.most(**given)}`",
        )  # fmt: skip
