"""Checks of the circuit block, the model and the tasks.

Source: docs/language.md, task.
"""

from __future__ import annotations

from collections.abc import Mapping

from pathdsl.lang import ast
from pathdsl.lang.check.arguments import check_arguments, check_value, unknown_word
from pathdsl.lang.check.scope import (
    Faults,
    Scope,
    check_file_named,
    fault,
    listed,
    suggestion,
    unknown,
)
from pathdsl.lang.check.where import check_where
from pathdsl.lang.program import Program
from pathdsl.lang.serving import generator, generator_names
from pathdsl.lang.signatures.calls import (
    CIRCUIT_FIELDS,
    DATA_FILES,
    LANGUAGE_VERSION,
    LOADERS,
    TASK_FIELDS,
    Kind,
    Parameter,
    literal,
    whole_answers,
)

__all__ = ["check_circuit", "check_model", "check_task", "check_whole"]


def check_whole(program: Program) -> Faults:
    """One circuit block, one model, and a task where anything is judged."""
    own = program.file.statements
    yield from _at_most_one([s for s in own if isinstance(s, ast.CircuitDecl)], "circuit block")
    yield from _at_most_one([s for s in own if isinstance(s, ast.ModelDecl)], "model")
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


def _at_most_one(statements: list[ast.CircuitDecl] | list[ast.ModelDecl], what: str) -> Faults:
    for extra in statements[1:]:
        yield fault(
            "PD118",
            f"a second {what}",
            extra.name.span,
            "one per file",
            labels=[(statements[0].name.span, "the first")],
            help="another model is another file that uses this one" if what == "model" else "",
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
                help=suggestion(field.name, known),
            )
        elif parameter.name == "hypothesis":
            yield from _hypothesis(scope, field)
        elif parameter.name == "positions":
            yield from _position_names(field)
        elif parameter.kind is not Kind.SOURCE:
            yield from check_value(scope, parameter, field.value)


def _hypothesis(scope: Scope, field: ast.Field) -> Faults:
    if isinstance(field.value, ast.Name):
        yield from unknown(scope, field.value, ("path",))
    else:
        yield fault("PD115", "`hypothesis` names a path", field.value.span, "not a name")


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
        version = literal(field.value)
        if field.name == "language" and type(version) is int and version != LANGUAGE_VERSION:
            yield fault(
                "PD119",
                f"language version {version} is not known here",
                field.value.span,
                f"this program knows version {LANGUAGE_VERSION}",
                help=f"`language = {LANGUAGE_VERSION}`, or a newer program",
            )


def check_model(scope: Scope, model: ast.ModelDecl) -> Faults:
    """The loader of a model and its arguments."""
    source = model.source
    yield from unknown_word(source.name, LOADERS, source.name_span, "loader of models")
    if source.name in LOADERS:
        yield from check_arguments(scope, LOADERS[source.name], source.arguments, source.span)


def check_task(scope: Scope, task: ast.TaskDecl) -> Faults:
    """The fields of a task; columns and labels where a generator says what there is."""
    program = scope.program
    scope = scope.on(task)
    if task.base is not None:
        yield from unknown(scope, task.base, ("task",))
        if task.base.name in program.tasks:
            yield from check_where(scope, task, program.tasks[task.base.name])
        return
    yield from _fields(scope, task.fields, TASK_FIELDS, "task")
    given = {field.name: field for field in task.fields}
    yield from _whole_answers(given)
    missing = [p.name for p in TASK_FIELDS.values() if p.required and p.name not in given]
    if missing:
        yield fault(
            "PD113",
            f"the task `{task.name.name}` needs {listed(missing).replace(' or ', ' and ')}",
            task.name.span,
            "left out here",
            help="`data = ioi(take: 256, seed: 0)` and `reference = prompt`",
        )
    if "data" in given:
        yield from _data(scope, given["data"].value)


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


def _data(scope: Scope, value: ast.Node) -> Faults:
    known = generator_names()
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
            yield from check_file_named(scope, first.value, first.span)
    elif known is not None:
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
    known = {parameter.name: parameter for parameter in made.parameters}
    for argument in call.arguments:
        name = argument.keyword
        if name not in known:
            shown = f"has no argument `{name}`" if name else "takes its arguments by name"
            yield fault(
                "PD117",
                f"`{call.name}` {shown}",
                argument.span,
                "not an argument of it",
                help=suggestion(name, known),
            )
            continue
        value = literal(argument.value)
        wrong = f"`{name}` takes a plain value" if value is None else known[name].fault(value)
        if wrong is not None:
            fits = isinstance(value, int) and known[name].kind in ("int", "float")
            code = "PD116" if fits or known[name].choices else "PD115"
            yield fault(code, wrong, argument.value.span, known[name].doc)
