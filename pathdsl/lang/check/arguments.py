"""Checks of calls: which arguments there are, and what each value must be.

The signatures are data (`pathdsl.lang.signatures.calls`); everything here is one walk over them.

Source: docs/language.md, Files, words and literals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeGuard

from pathdsl.errors import Diagnostic, Span
from pathdsl.lang import ast
from pathdsl.lang.check.scope import (
    Check,
    Faults,
    Scope,
    fault,
    listed,
    suggestion,
    unknown,
)
from pathdsl.lang.elsewhere import elsewhere
from pathdsl.lang.program import Program
from pathdsl.lang.signatures.calls import KNOCKOUTS, TREATED, Kind, Parameter, Signature, literal
from pathdsl.lang.spelling import position_text

__all__ = ["VALUES", "check_arguments", "check_column", "check_value", "unknown_word", "wrong"]


def unknown_word(word: str, known: Iterable[str], span: Span, what: str) -> Faults:
    """A fault unless the word is one of a closed list."""
    known = tuple(known)
    if word not in known:
        message = f"no {what} is called `{word}`"
        repair = suggestion(word, known, span, closed=True)
        yield fault("PD110", message, span, f"not a {what}", **repair)


def check_arguments(
    scope: Scope, signature: Signature, arguments: Iterable[ast.Argument], span: Span
) -> Faults:
    """Missing, unknown, repeated and ill-valued arguments of one call written at `span`."""
    places = iter(signature.by_place)
    given: dict[str, ast.Argument] = {}
    surplus = False
    for argument in arguments:
        if argument.keyword:
            parameter = signature.parameter(argument.keyword)
        else:
            parameter = next(places, None)
            if parameter is None and signature.any_number:
                continue
        if parameter is None:
            if not surplus or argument.keyword:
                yield _surplus(signature, argument)
            surplus = True
        elif parameter.name in given:
            yield fault(
                "PD114",
                f"`{parameter.name}` is given twice",
                argument.span,
                "given again here",
                labels=[(given[parameter.name].span, "first given here")],
                help="leave one of them out",
            )
        else:
            given[parameter.name] = argument
            yield from check_value(scope, parameter, argument.value)
    missing = [p.name for p in signature.parameters if p.required and p.name not in given]
    if missing and not surplus:
        yield fault(
            "PD113",
            f"`{signature.name}` needs {listed(missing, 'and')}",
            span,
            "left out here",
            help=f"`{signature.example}`",
        )


def _surplus(signature: Signature, argument: ast.Argument) -> Diagnostic:
    names = [p.name for p in signature.parameters if not p.by_place] or [
        p.name for p in signature.parameters
    ]
    if argument.keyword:
        message = f"`{signature.name}` has no argument `{argument.keyword}`"
        repair = suggestion(argument.keyword, names, argument.span)
    else:
        count = len(signature.by_place)
        message = f"`{signature.name}` takes {count or 'no'} argument{'s' * (count != 1)} by place"
        repair = {"help": f"`{signature.example}`", "fix": None}
    return fault("PD117", message, argument.span, "not an argument of it", **repair)


def check_value(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    """Kind, choices and range of the value of one argument or field."""
    yield from scope.checks[parameter.kind](scope, parameter, value)


def _is_word(value: ast.Node) -> TypeGuard[ast.Name]:
    return isinstance(value, ast.Name) and value.at is None


def _items(value: ast.Node) -> tuple[ast.Node, ...]:
    """The members of a list; a value that is none is its own."""
    return value.items if isinstance(value, ast.ListValue) else (value,)


def wrong(parameter: Parameter, value: ast.Node, wanted: str = "") -> Diagnostic:
    """The fault of a value that is not of its parameter's kind."""
    return fault(
        "PD115",
        f"`{parameter.name}` takes {wanted or parameter.kind.value}",
        value.span,
        "something else",
        help=f"wanted {listed(parameter.choices)}"
        if parameter.choices
        else _repair(parameter, value),
    )


def _repair(parameter: Parameter, value: ast.Node) -> str:
    """What was meant by another tool's word, or by an answer in the place of its column."""
    match value:
        case ast.Name(name=name) if parameter.kind is Kind.TEXT:
            return f'`"{name}"`: a text stands in quotes'
        case ast.Name(name=name):
            return elsewhere(name)
        case ast.String() if parameter.name == "answer":
            return "answers stand in the rows: name their column, `logit(answer)`"
    return ""


def _text(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    if not isinstance(value, ast.String):
        yield wrong(parameter, value)


def _texts(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    for item in _items(value):
        yield from _text(scope, parameter, item)


def _truth(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    if not isinstance(value, ast.Bool):
        yield wrong(parameter, value)


def _column(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    if _is_word(value):
        yield from check_column(scope, value, "token" if parameter.name == "answer" else "prompt")
    else:
        yield wrong(parameter, value)


def _columns(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    items = value.items if isinstance(value, ast.ListValue) else ()
    if not items or not all(map(_is_word, items)):
        yield wrong(parameter, value)


def _label(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    if not _is_word(value):
        yield wrong(parameter, value)
    elif value.name not in parameter.choices:
        yield from check_column(scope, value, "label")


def _labels(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    """One field, or a list of two that differ."""
    fields = [field for field in _items(value) if _is_word(field)]
    names = {field.name for field in fields}
    if len(fields) < len(_items(value)) or len(names) != 1 + isinstance(value, ast.ListValue):
        yield wrong(parameter, value)
        return
    for field in fields:
        yield from check_column(scope, field, "label")


def _declared(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    """A metric or a task, by its name."""
    if _is_word(value):
        yield from unknown(scope, value, (parameter.kind.name.lower(),))
    elif isinstance(value, ast.Name) and parameter.kind is Kind.METRIC:
        assert value.at is not None
        yield fault(
            "PD134",
            f"a score takes `{value.name}` where it is declared to be read",
            value.at.span,
            "a place of its own",
            help=f"average it there, `mean({value.name}(treat(P)) @{position_text(value.at)})`, or "
            f"declare another metric with `@{position_text(value.at)}`",
        )
    else:
        yield wrong(parameter, value)


def _number(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    number = literal(value)
    whole = parameter.kind is Kind.INTEGER
    if isinstance(number, bool) or not isinstance(number, int if whole else int | float):
        yield wrong(parameter, value)
        return
    least, most = parameter.least, parameter.most
    low = least is not None and (number <= least if parameter.open_ends else number < least)
    high = most is not None and (number >= most if parameter.open_ends else number > most)
    if low or high:
        if parameter.open_ends:
            wanted = f"between {least:g} and {most:g}"
        else:
            wanted = f"at least {_shown(least)}" if low else f"at most {_shown(most)}"
        yield fault(
            "PD116",
            f"`{parameter.name}` is {_shown(number)}, wanted {wanted}",
            value.span,
            f"wanted {wanted}",
        )


def _count(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    """A whole number, or a part of what there is as a percentage."""
    if not (isinstance(value, ast.Number) and value.percent):
        yield from _number(scope, replace(parameter, kind=Kind.INTEGER), value)
    elif not 0 < value.value <= 1:
        yield fault(
            "PD116",
            f"`{parameter.name}` is {value.written}, wanted more than 0% and at most 100%",
            value.span,
            "no part of a whole",
        )


def _shown(number: float | None) -> str:
    """A number as people write it: `1,000,000` and not `1e+06`."""
    whole = number is not None and float(number).is_integer()
    return f"{int(number):,}" if whole else f"{number:g}"  # type: ignore[arg-type]


def _word(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    word = literal(value)
    if not _is_word(value):
        yield wrong(parameter, value)
    elif word not in parameter.choices:
        yield fault(
            "PD110",
            f"`{parameter.name}` cannot be `{word}`",
            value.span,
            f"wanted {listed(parameter.choices)}",
            **suggestion(str(word), parameter.choices, value.span),
        )


def check_column(scope: Scope, name: ast.Name, use: str) -> Faults:
    """A column by its use: "prompt", "token" or "label"; silent where only the data can tell."""
    columns = scope.columns
    if columns is None or (use == "token" and name.name == "next"):
        return
    known = {"prompt": columns.prompts, "token": columns.tokens, "label": columns.labels}
    if name.name in known[use]:
        return
    other = next((kind for kind, names in known.items() if name.name in names), None)
    message = f"the data have no {use} column `{name.name}`"
    label = f"is a {other} column" if other else "no such column"
    candidates = (*known[use], "next") if use == "token" else known[use]
    repair = suggestion(name.name, candidates, name.span, _known(candidates))
    yield fault("PD301", message, name.span, label, **repair)


def _known(columns: Iterable[str]) -> str:
    names = sorted(columns)
    return f"known: {listed(names)}" if names else ""


def across(program: Program, value: ast.Name) -> Diagnostic:
    """PD309 for a treated value that is the name of a task or a model, and no column."""
    kind = program.kind(value.name)
    return fault(
        "PD309",
        f"`{value.name}` is a {kind}: values of one {kind} are not put into runs of another",
        value.span,
        "no prompt column",
        help=f"compare numbers, `task: {value.name}`"
        if kind == "task"
        else f"a derived task beside this one, `{{ model = {value.name} }}`",
    )


def _treated(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    """What treated paths carry: a paired column, `zero`, or mean, noise, resample."""
    match value:
        case ast.Name(name=name, at=None) if name in TREATED:
            if not TREATED[name].parameters:
                return
            yield fault(
                "PD115",
                f"`{name}` needs its arguments",
                value.span,
                "a bare word",
                help=f"`{TREATED[name].example}`",
            )
        case ast.Name(name=name, at=None):
            columns = scope.columns
            if columns is not None and name not in columns.prompts:
                if scope.program.kind(name) in ("task", "model"):
                    yield across(scope.program, value)
                    return
                known = (*columns.prompts, *TREATED)
                repair = suggestion(name, known, value.span, _known(columns.prompts))
                if repair["help"].startswith(("`reference`", "`treated`")):  # runs, and no values
                    repair = {"help": _known(columns.prompts), "fix": None}
                yield fault(
                    "PD301",
                    f"the data have no prompt column `{name}`",
                    value.span,
                    "neither a prompt column nor a kind of treated value",
                    **repair,
                )
        case ast.Call(name=name) if name in TREATED:
            yield from check_arguments(scope, TREATED[name], value.arguments, value.span)
        case ast.Call(name=name):
            yield from unknown_word(name, TREATED, value.name_span, "treated value")
        case ast.PlainRun() if value.under is not None:
            for one in value.blocks:
                yield from unknown(scope, one, ("intervention",))
        case _:
            yield fault(
                "PD115",
                "`treated` takes a paired column, `zero`, `mean(…)`, `noise(…)` or `resample(…)`",
                value.span,
                "something else",
                help="`zero`" if literal(value) == 0 else "",
            )


def _knockouts(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    match value:
        case ast.Name(name=name, at=None) if name in parameter.choices:
            if not KNOCKOUTS[name].parameters:
                return
            yield fault(
                "PD115",
                f"`{name}` needs brackets",
                value.span,
                "a bare word",
                help=f"`{KNOCKOUTS[name].example}`",
            )
        case ast.Name(name=name, at=None) | ast.Call(name=name):
            known: Mapping[str, Signature] = {n: KNOCKOUTS[n] for n in parameter.choices}
            yield from unknown_word(name, known, value.span, "choice of knockouts")
            if isinstance(value, ast.Call) and name in known:
                yield from check_arguments(scope, known[name], value.arguments, value.span)
        case _:
            yield wrong(parameter, value, listed(parameter.choices))


def _attention(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    if not isinstance(value, ast.AttentionArgs):
        yield wrong(parameter, value)


def _elsewhere(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    """Walked by the check of the expression, or of the task."""
    yield from ()


VALUES: Mapping[Kind, Check] = {
    Kind.INTEGER: _number,
    Kind.COUNT: _count,
    Kind.NUMBER: _number,
    Kind.TEXT: _text,
    Kind.TEXTS: _texts,
    Kind.BOOL: _truth,
    Kind.WORD: _word,
    Kind.COLUMN: _column,
    Kind.COLUMNS: _columns,
    Kind.LABEL: _label,
    Kind.LABELS: _labels,
    Kind.METRIC: _declared,
    Kind.TASK: _declared,
    Kind.TREATED: _treated,
    Kind.KNOCKOUTS: _knockouts,
    Kind.ATTENTION: _attention,
    Kind.EXPRESSION: _elsewhere,
    Kind.SOURCE: _elsewhere,
    Kind.MODEL: _elsewhere,
}
"""How a value of each kind is checked, where it holds neither paths nor runs."""
