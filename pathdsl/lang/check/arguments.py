"""Checks of calls: which arguments there are, and what each value must be.

The signatures are data (`pathdsl.lang.signatures.calls`); everything here is one walk over them.

Source: language.md sections 3, 5 and 6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pathdsl.errors import Diagnostic, Span
from pathdsl.lang import ast
from pathdsl.lang.check.nodes import check_nodes, check_positions, is_nodes
from pathdsl.lang.check.scope import Faults, Scope, fault, listed, meant, unknown
from pathdsl.lang.signatures.calls import KNOCKOUTS, TREATED, Kind, Parameter, Signature, literal
from pathdsl.lang.walk import strip

__all__ = ["check_arguments", "check_column", "check_treated", "check_value", "unknown_word"]


def unknown_word(word: str, known: Iterable[str], span: Span, what: str) -> Faults:
    """A fault unless the word is one of a closed list."""
    known = tuple(known)
    if word not in known:
        yield fault(
            "PD110", f"no {what} is called `{word}`", span, f"not a {what}", help=meant(word, known)
        )


def check_arguments(
    scope: Scope, signature: Signature, arguments: Iterable[ast.Argument], span: Span
) -> Faults:
    """Missing, unknown, repeated and ill-valued arguments of one call written at `span`."""
    places = iter(signature.by_place)
    found: dict[str, ast.Argument] = {}
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
        elif parameter.name in found:
            yield fault(
                "PD114",
                f"`{parameter.name}` is given twice",
                argument.span,
                "given again here",
                labels=[(found[parameter.name].span, "first given here")],
                help="leave one of them out",
            )
        else:
            found[parameter.name] = argument
            yield from check_value(scope, parameter, argument.value)
    missing = [p.name for p in signature.parameters if p.required and p.name not in found]
    if missing and not surplus:
        yield fault(
            "PD113",
            f"`{signature.name}` needs {listed(missing).replace(' or ', ' and ')}",
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
        help = meant(argument.keyword, names)
    else:
        count = len(signature.by_place)
        message = f"`{signature.name}` takes {count or 'no'} argument{'s' * (count != 1)} by place"
        help = f"`{signature.example}`"
    return fault("PD117", message, argument.span, "not an argument of it", help=help)


def check_value(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    """Kind, choices and range of the value of one argument or field."""
    # Paths and runs hold calls of their own, so their checks import this module.
    from pathdsl.lang.check.expressions import check_run
    from pathdsl.lang.check.paths import check_path

    kind = parameter.kind
    match kind:
        case Kind.INTEGER | Kind.NUMBER:
            yield from _number(parameter, value)
        case Kind.TEXT | Kind.BOOL:
            wanted = ast.String if kind is Kind.TEXT else ast.Bool
            if not isinstance(value, wanted):
                yield _wrong(parameter, value)
        case Kind.TEXTS:
            items = value.items if isinstance(value, ast.ListValue) else (value,)
            for item in items:
                if not isinstance(item, ast.String):
                    yield _wrong(parameter, item)
        case Kind.WORD:
            yield from _word(parameter, value)
        case Kind.COLUMN | Kind.LABEL:
            if not _is_word(value):
                yield _wrong(parameter, value)
            elif kind is Kind.LABEL:
                yield from check_column(scope, value, "label")  # type: ignore[arg-type]
            elif parameter.name == "answer":
                yield from check_column(scope, value, "token")  # type: ignore[arg-type]
            else:
                yield from check_column(scope, value, "prompt")  # type: ignore[arg-type]
        case Kind.LABELS:
            yield from _labels(scope, parameter, value)
        case Kind.COLUMNS:
            items = value.items if isinstance(value, ast.ListValue) else ()
            if not items or not all(map(_is_word, items)):
                yield _wrong(parameter, value)
        case Kind.METRIC | Kind.TASK:
            if not _is_word(value):
                yield _wrong(parameter, value)
            else:
                yield from unknown(scope, value, (kind.name.lower(),))  # type: ignore[arg-type]
        case Kind.TREATED:
            yield from check_treated(scope, value)
        case Kind.POSITIONS:
            yield from check_positions(scope, value)
        case Kind.PATHS:
            yield from check_path(scope, value)
        case Kind.NODES:
            yield from check_nodes(scope, value)
        case Kind.UNITS | Kind.OVER:
            word = literal(value)
            if kind is Kind.OVER and word in parameter.choices:
                return
            if isinstance(strip(value), ast.Edges | ast.EdgesFile):
                yield from check_path(scope, value)
            elif is_nodes(value):
                yield from check_nodes(scope, value)
            else:
                yield _wrong(parameter, value)
        case Kind.KNOCKOUTS:
            yield from _knockouts(scope, parameter, value)
        case Kind.GIVEN:
            yield from _given(scope, parameter, value)
        case Kind.RUN:
            if isinstance(value, ast.PlainRun | ast.PathRun):
                yield from check_run(scope, value)
            else:
                yield _wrong(parameter, value, "`reference`, `treated`, `treat(P)` or `keep(P)`")
        case Kind.ATTENTION:
            if not isinstance(value, ast.AttentionArgs):
                yield _wrong(parameter, value)
        case Kind.EXPRESSION | Kind.SOURCE:
            pass  # walked by the check of the expression, or of the task


def _is_word(value: ast.Node) -> bool:
    return isinstance(value, ast.Name) and value.at is None


def _wrong(parameter: Parameter, value: ast.Node, wanted: str = "") -> Diagnostic:
    return fault(
        "PD115",
        f"`{parameter.name}` takes {wanted or parameter.kind.value}",
        value.span,
        "something else",
        help=f"wanted {listed(parameter.choices)}" if parameter.choices else "",
    )


def _labels(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    """One field, or a list of two that differ."""
    fields = value.items if isinstance(value, ast.ListValue) else (value,)
    names = {field.name for field in fields if isinstance(field, ast.Name) and _is_word(field)}
    if len(names) < len(fields) or len(names) != 1 + isinstance(value, ast.ListValue):
        yield _wrong(parameter, value)
        return
    for field in fields:
        yield from check_column(scope, field, "label")  # type: ignore[arg-type]


def _number(parameter: Parameter, value: ast.Node) -> Faults:
    number = literal(value)
    whole = parameter.kind is Kind.INTEGER
    if isinstance(number, bool) or not isinstance(number, int if whole else int | float):
        yield _wrong(parameter, value)
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


def _shown(number: float | None) -> str:
    """A number as people write it: `1,000,000` and not `1e+06`."""
    whole = number is not None and float(number).is_integer()
    return f"{int(number):,}" if whole else f"{number:g}"  # type: ignore[arg-type]


def _word(parameter: Parameter, value: ast.Node) -> Faults:
    word = literal(value)
    if not _is_word(value):
        yield _wrong(parameter, value)
    elif word not in parameter.choices:
        yield fault(
            "PD110",
            f"`{parameter.name}` cannot be `{word}`",
            value.span,
            f"wanted {listed(parameter.choices)}",
            help=meant(str(word), parameter.choices),
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
    label = f"is a {other} column" if other else "not a column of the task's generator"
    candidates = (*known[use], "next") if use == "token" else known[use]
    yield fault("PD301", message, name.span, label, help=meant(name.name, candidates))


def check_treated(scope: Scope, value: ast.Node) -> Faults:
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
                known = (*columns.prompts, *TREATED)
                yield fault(
                    "PD301",
                    f"the data have no prompt column `{name}`",
                    value.span,
                    "neither a prompt column nor a kind of treated value",
                    help=meant(name, known),
                )
        case ast.Call(name=name) if name in TREATED:
            yield from check_arguments(scope, TREATED[name], value.arguments, value.span)
        case ast.Call(name=name):
            yield from unknown_word(name, TREATED, value.name_span, "treated value")
        case _:
            yield fault(
                "PD115",
                "`treated` takes a paired column, `zero`, `mean(…)`, `noise(…)` or `resample(…)`",
                value.span,
                "something else",
            )


def _knockouts(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    match value:
        case ast.Name(name="groups", at=None):
            return
        case ast.Name(name=name, at=None) if name in parameter.choices:
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
            yield _wrong(parameter, value, listed(parameter.choices))


def _given(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    if not isinstance(value, ast.MapValue):
        yield _wrong(parameter, value)
        return
    seen: dict[ast.Node, Span] = {}
    for key, knockouts in value.items:
        yield from check_nodes(scope, key)
        yield from check_nodes(scope, knockouts)
        if isinstance(key, ast.Word):
            yield fault(
                "PD115",
                f"`{key.word}` is background, not a unit that can be left out",
                key.span,
                "wanted a head, an MLP or a group",
            )
        elif key in seen:
            yield fault(
                "PD114",
                "this unit is given twice",
                key.span,
                "given again here",
                labels=[(seen[key], "first given here")],
            )
        seen.setdefault(key, key.span)
