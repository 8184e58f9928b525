"""All static checks that need neither a model nor data.

`check` resolves every name of a program and reports every fault it finds, not only the first. It
is a list of small checks by concern:

- `names`: reserved, shadowed, circular, unused names;
- `blocks`: circuit block, model, tasks;
- `nodes`, `paths`: nodes, positions, path expressions;
- `arguments`, `expressions`, `scores`: calls, metrics, quantities, scores.

What needs the model's graph is checked by `pathdsl.graph`, what needs the rows by the data layer.

    program, faults = load_program("ioi.circuit")
    faults += check(program)
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from pathdsl.errors import Diagnostic, Fix
from pathdsl.lang import ast
from pathdsl.lang.check.arguments import check_arguments, check_value, unknown_word
from pathdsl.lang.check.blocks import check_circuit, check_model, check_task, check_whole
from pathdsl.lang.check.emergence import check_emergence
from pathdsl.lang.check.expressions import CHECKS, check_metric, check_quantity
from pathdsl.lang.check.interventions import check_action, check_rings
from pathdsl.lang.check.loops import check_loop, of_each
from pathdsl.lang.check.names import check_cycles, check_depth, check_reserved, check_unused
from pathdsl.lang.check.nodes import check_group
from pathdsl.lang.check.paths import check_path
from pathdsl.lang.check.scope import Faults, Scope, fault
from pathdsl.lang.loops import Looped, sides_of, variants
from pathdsl.lang.program import Declaration, Program
from pathdsl.lang.signatures.kinds import Kind, Parameter
from pathdsl.lang.signatures.methods import METHODS, strictness

__all__ = ["check", "check_statement", "too_deep"]

_CONFIDENCE = Parameter(name="confidence", kind=Kind.NUMBER, least=0.0, most=1.0, open_ends=True)


def check(program: Program) -> list[Diagnostic]:
    """Every fault of names, nodes, paths, arguments and tasks, in the order of the checks."""
    scope = Scope(program=program, checks=CHECKS)
    if deep := too_deep(program):
        return deep
    faults = [
        *check_whole(program),
        *check_reserved(program),
        *check_cycles(program),
        *check_unused(program),
    ]
    for circuit in (s for s in program.file.statements if isinstance(s, ast.CircuitDecl)):
        faults += check_circuit(scope, circuit)
    for model in (s for s in program.file.statements if isinstance(s, ast.ModelDecl)):
        faults += check_model(scope, model)
    for declaration in program.declarations():
        faults += _declaration(scope, declaration)
    return list(dict.fromkeys(faults))


def check_statement(program: Program, statement: ast.Statement) -> list[Diagnostic]:
    """The faults that `check` finds in one statement, without those of the program as a whole.

    Raises RecursionError where it names what is defined by itself.
    """
    scope = Scope(program=program, checks=CHECKS)
    match statement:
        case ast.UseDecl():
            return []
        case ast.CircuitDecl():
            found = check_circuit(scope, statement)
        case _:
            found = _declaration(scope, statement)
    return list(dict.fromkeys(found))


def too_deep(program: Program) -> list[Diagnostic]:
    """The fault for which nothing else of a program is looked at; at most one."""
    return program.once("too_deep", lambda: list(check_depth(program)))


def _declaration(scope: Scope, declaration: Declaration) -> Faults:
    match declaration:
        case ast.TaskDecl():
            yield from check_task(scope, declaration)
        case ast.GroupDecl():
            yield from check_group(scope, declaration)
        case ast.PathDecl(path=path):
            yield from check_path(scope, path)
        case ast.MetricDecl():
            yield from check_metric(scope, declaration)
        case ast.LetDecl():
            yield from _looped(scope, declaration)
        case ast.InterveneDecl(actions=actions):
            for action in actions:
                yield from check_action(scope, action)
            yield from check_rings(scope, declaration)
        case ast.ClaimDecl():
            yield from _claim(scope, declaration)
        case ast.ModelDecl():
            yield from check_model(scope, declaration)
        case _:
            assert_never(declaration)


def _looped(scope: Scope, declaration: Looped) -> Faults:
    """A loop, and the expressions of its statement for every item of its lists."""
    if declaration.loop is not None:
        yield from check_loop(scope, declaration.loop)
    each = dict(enumerate(variants(scope.program, declaration)))

    def found(number: int) -> Faults:
        _, one = each[number]
        inner = replace(scope, loop=one.loop)
        for side in sides_of(one):
            yield from check_quantity(inner, side)

    yield from of_each(found, {number: values for number, (values, _) in each.items()})


def _claim(scope: Scope, claim: ast.ClaimDecl) -> Faults:
    yield from _looped(scope, claim)
    yield from check_emergence(scope, claim)
    if claim.confidence is not None:
        yield from _confidence(scope, claim.confidence)
    yield from _methods(scope, claim.methods)


def _confidence(scope: Scope, confidence: ast.Number) -> Faults:
    for problem in check_value(scope, _CONFIDENCE, confidence):
        value = confidence.value
        whole = problem.code == "PD116" and 1 < value < 100 and not confidence.percent
        help = f"`at {value:g}% confidence`" if whole else "`at 95% confidence`"
        meant = f"{value:g}%" if whole else "95%"
        fix = Fix(span=confidence.span, was=confidence.written, text=meant)
        yield fault(problem.code, problem.message, problem.span, problem.label, help=help, fix=fix)


def _methods(scope: Scope, methods: tuple[ast.Call, ...]) -> Faults:
    corrections: list[ast.Call] = []
    for method in methods:
        yield from unknown_word(method.name, METHODS, method.name_span, "method of a claim")
        if method.name in METHODS:
            yield from check_arguments(scope, METHODS[method.name], method.arguments, method.span)
        if strictness(method.name):
            corrections.append(method)
    if len(corrections) > 1:
        yield fault(
            "PD129",
            f"`{corrections[0].name}` and `{corrections[1].name}` both correct for many claims",
            corrections[1].span,
            "the second correction",
            labels=[(corrections[0].span, "the first")],
            help="leave one of them out",
        )
