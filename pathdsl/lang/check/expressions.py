"""Checks of metrics, lets and claims: what may be measured, averaged and scored, and on which task.

Units and the difference between a value per prompt and a quantity are checked by
`pathdsl.lang.units`.

Source: docs/language.md, metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches

from pathdsl.errors import Diagnostic
from pathdsl.lang import ast
from pathdsl.lang.check.arguments import VALUES, check_arguments, check_value, unknown_word, wrong
from pathdsl.lang.check.emergence import is_misplaced, misplaced
from pathdsl.lang.check.loops import check_indices, check_loop, example_of, of_each
from pathdsl.lang.check.measures import check_measured_nodes
from pathdsl.lang.check.nodes import NODES, check_nodes, check_position, one_place
from pathdsl.lang.check.paths import PATHS, check_path
from pathdsl.lang.check.scope import (
    Check,
    Faults,
    Repair,
    Scope,
    fault,
    listed,
    source_text,
    suggestion,
    unknown,
)
from pathdsl.lang.check.scores import check_score, needs_treated
from pathdsl.lang.loops import combinations, nodes_alone, substituted
from pathdsl.lang.serving import choose_task, columns_of, fields_of, serving
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.lang.signatures.calls import (
    AVERAGING,
    MEASURES,
    RUN_OPTIONS,
    SCORES,
    STATISTICS,
    Kind,
    Parameter,
    Signature,
)
from pathdsl.lang.signatures.correlations import (
    CORRELATION,
    correlated,
    families,
    is_correlation,
)
from pathdsl.lang.signatures.members import HOW_MANY, OVER_MEMBERS, OverRecord, over_of
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.lang.signatures.relations import RELATIONS
from pathdsl.lang.walk import children, walk

__all__ = ["CHECKS", "check_metric", "check_quantity", "check_run"]

_RUN = Signature(
    name="a metric",
    parameters=(
        Parameter(name="run", kind=Kind.RUN, by_place=True),
        Parameter(name="task", kind=Kind.TASK),
    ),
    example="LD(reference)",
)


def check_run(scope: Scope, run: ast.PlainRun | ast.PathRun) -> Faults:
    """The paths, options and intervention of a run."""
    for name in run.blocks:
        yield from unknown(scope, name, ("intervention",))
    if isinstance(run, ast.PathRun):
        yield from check_path(scope, run.paths)
        yield from check_arguments(scope, RUN_OPTIONS, run.options, run.span)


def _run(scope: Scope, parameter: Parameter, value: ast.Node) -> Faults:
    if isinstance(value, ast.PlainRun | ast.PathRun):
        yield from check_run(scope, value)
    else:
        told = wrong(parameter, value, "`reference`, `treated`, `treat(P)` or `keep(P)`")
        yield replace(told, help=_run_of_column(scope, value) or told.help)


def _run_of_column(scope: Scope, value: ast.Node) -> str:
    """The run that a prompt column is read in, where it stands in the place of one."""
    fields = fields_of(scope.program, scope.task) if scope.task is not None else {}
    for name in ("reference", "treated"):
        written = fields[name].value if name in fields else None
        if isinstance(written, ast.Name) and isinstance(value, ast.Name):
            if written.name == value.name:
                return f"`{name}`: the run on the prompts of `{value.name}`"
    return ""


CHECKS: Mapping[Kind, Check] = {**VALUES, **NODES, **PATHS, Kind.RUN: _run}
"""How a value of each kind is checked."""


# -------------------------------------------------------------------------------------------------
# Metrics
# -------------------------------------------------------------------------------------------------


_NEEDED = {
    "run": "two runs",
    "paths": "a path set and what to count",
    "unit": "a node or an edge, and `by:` a method",
    "kept": "a file of kept scores, and `size:`",
}
"""What tells a score with a free name from a metric of that name."""
_READS_ONE = "a measure is read at one place"
_READ_EACH = "read it at each, `(logit(a) @S1 + logit(a) @S2) / 2`"


def check_metric(scope: Scope, metric: ast.MetricDecl) -> Faults:
    """A metric's task, position, measures and columns."""
    program = scope.program
    if metric.at is not None:
        yield from check_position(scope, metric.at)
        yield from one_place(metric.at, _READS_ONE, _READ_EACH)
    if metric.task is not None:
        yield from unknown(scope, metric.task, ("task",))
        scope = scope.on(program.tasks.get(metric.task.name))
    elif len(program.tasks) == 1:
        scope = scope.on(next(iter(program.tasks.values())))
    elif program.tasks and not serving(program, metric):
        known = {c for t in program.tasks.values() for c in _tokens(scope, t)}
        yield fault(
            "PD301",
            f"no task has all the columns of `{metric.name.name}`",
            metric.expression.span,
            "columns of no single task",
            help=f"known: {listed(sorted(known))}" if known else "",
        )
    yield from _measured(scope, metric.expression, metric.at)


def _tokens(scope: Scope, task: ast.TaskDecl) -> tuple[str, ...]:
    columns = columns_of(scope.program, task)
    return columns.tokens if columns is not None else ()


def _indexed(scope: Scope, value: ast.Node) -> str:
    """`logits[io]`, as an array is indexed elsewhere: the call of the measure that is meant."""
    if not isinstance(value, ast.Subscript) or value.more:
        return ""
    (measure,) = get_close_matches(value.name.name, MEASURES, n=1) or [""]
    return f"`{measure}({source_text(scope.program, value.member)})`" if measure else ""


def _measured(scope: Scope, value: ast.Node, at: ast.Position | None) -> Faults:
    """The measures below a metric's expression, which are read at `at` unless they say where."""
    match value:
        case ast.Number() | ast.Unary() | ast.Bracket() | ast.Binary():
            for part in children(value):
                yield from _measured(scope, part, at)
        case ast.Call(name=name) if name in MEASURES:
            yield from _measure(scope, value)
            yield from check_measured_nodes(scope, value, value.at or at)
        case ast.Call(name=name) if name in AVERAGING or name in P_VALUES:
            yield fault(
                "PD406",
                f"a metric is per prompt, `{name}` is over the prompts",
                value.name_span,
                "averages what a metric gives",
                help=_of_several(scope, value)
                if name in AVERAGING and _several(value)
                else "average in a `let` or a claim: `let X = mean(LD(reference))`",
            )
        case ast.Call(name=name) if name in STATISTICS:
            yield from check_arguments(scope, STATISTICS[name], value.arguments, value.span)
            for argument in value.arguments:
                yield from _measured(scope, argument.value, at)
        case ast.Call(name=name):
            known = (*MEASURES, *(n for n in STATISTICS if n not in AVERAGING))
            yield from unknown_word(name, known, value.name_span, "measure of a run")
        case _:
            yield fault(
                "PD406",
                "a metric is made of what is measured on one run",
                value.span,
                "not a measure",
                help=_indexed(scope, value)
                or f"measures: {listed(s.example for s in MEASURES.values())}",
            )


def _several(call: ast.Call) -> bool:
    """Whether a call is of several things, all measured: no `quantile(x, 90%)`."""
    given = call.arguments
    return len(given) > 1 and not any(a.keyword or isinstance(a.value, ast.Number) for a in given)


def _of_several(scope: Scope, call: ast.Call) -> str:
    parts = [source_text(scope.program, argument.value) for argument in call.arguments]
    return f"of several measures on one prompt: `({' + '.join(parts)}) / {len(parts)}`"


def _measure(scope: Scope, call: ast.Call) -> Faults:
    if call.at is not None:
        yield from check_position(scope, call.at)
        yield from one_place(call.at, _READS_ONE, _READ_EACH)
    yield from check_arguments(scope, MEASURES[call.name], call.arguments, call.span)
    for argument in call.arguments:
        value = argument.value
        if isinstance(value, ast.AttentionArgs):
            yield from check_nodes(scope, value.head)
            yield from check_position(scope, value.query)
            yield from check_position(scope, value.key)
            if not isinstance(value.head, ast.HeadRef | ast.Name):
                yield fault(
                    "PD115",
                    "`attention` is of a head",
                    value.head.span,
                    "not a head",
                    help="name a single head, `attention(a9.h9, END -> IO)`",
                )
        elif MEASURES[call.name].reads == "reference" and value != ast.PlainRun(
            span=value.span, which="reference"
        ):
            yield fault(
                "PD115",
                f"`{call.name}` compares with the reference run",
                value.span,
                "another run",
                help=f"`{call.name}(reference)`",
            )


# -------------------------------------------------------------------------------------------------
# Quantities
# -------------------------------------------------------------------------------------------------


def check_quantity(scope: Scope, value: ast.Node) -> Faults:
    """Names, calls, runs and scores of the expression of a let or a claim."""
    match value:
        case ast.Number() | ast.Unary() | ast.Bracket() | ast.Binary():
            for part in children(value):
                yield from check_quantity(scope, part)
        case ast.Name():
            yield from _let(scope, value)
        case ast.Subscript(name=name):
            yield from unknown(scope, name, ("let",))
            let = scope.program.lets.get(name.name)
            yield from check_indices(scope, value, let.loop if let is not None else None)
            if let is not None and let.loop is None:
                yield fault(
                    "PD127",
                    f"`{name.name}` is a single quantity, it has no members",
                    value.span,
                    "asks for one member",
                    labels=[(let.name.span, "declared without `for`")],
                    help=f"write `{name.name}`",
                )
        case ast.Score():
            yield from check_score(scope, value)
        case _ if is_misplaced(scope, value):
            yield from misplaced(scope, value)
        case ast.Call() if (over := over_of(value, scope.program.kind)) is not None:
            yield from _over(scope, value, *over)
        case ast.Call() if is_correlation(value, scope.program.kind):
            yield from _correlation(scope, value)
        case ast.Call(name=name) if name in STATISTICS:
            yield from check_arguments(scope, STATISTICS[name], value.arguments, value.span)
            for argument in value.arguments:
                yield from check_quantity(scope, argument.value)
        case ast.Call(name=name) if name in P_VALUES:
            yield from check_arguments(scope, P_VALUES[name], value.arguments, value.span)
            for argument in value.arguments:
                if not argument.keyword:
                    yield from check_quantity(scope, argument.value)
        case ast.Call(name=name) if name in MEASURES and (
            MEASURES[name].reserved or not scope.program.kind(name)
        ):
            yield fault(
                "PD406",
                f"`{name}` is measured in a metric, on the run that the metric gets",
                value.span,
                "no run here",
                help=f"`metric X = {MEASURES[name].example}`, then `mean(X(reference))`",
            )
        case ast.Call():
            yield from _metric_run(scope, value)
        case ast.OverMembers():
            examples = (record.example for record in OVER_MEMBERS.values())
            yield fault(
                "PD115",
                "no function over members takes this",
                value.span,
                "ranges over members",
                help=f"these do: {listed(examples)}",
            )
        case ast.PlainRun() | ast.PathRun():
            yield fault(
                "PD115",
                "a run is no number",
                value.span,
                "wanted a metric of this run",
                help="measure it, for example `mean(LD(reference))`",
            )
        case _:
            yield fault("PD115", "wanted a number or a quantity", value.span, "neither")


def _over(scope: Scope, call: ast.Call, record: OverRecord, over: ast.OverMembers) -> Faults:
    """A function over members: its loop, what it takes, and that for every item of its lists."""
    yield from check_loop(scope, over.loop)
    place = next(i for i, argument in enumerate(call.arguments) if argument.value is over)
    for counted in call.arguments[:place]:
        yield from check_value(scope, HOW_MANY, counted.value)
    if record.counts and not place:
        yield fault(
            "PD113",
            f"`{record.name}` needs to know how many",
            call.span,
            "no number before the members",
            help=f"`{record.example}`",
        )
    taken = "two arguments" if record.counts else "one argument"
    for surplus in call.arguments[place + 1 :]:
        yield fault(
            "PD117",
            f"`{record.name}` over members takes {taken}",
            surplus.span,
            "not an argument of it",
            help=f"`{record.example}`; without `in`, `{record.name}` is over prompts"
            if record.name in STATISTICS
            else f"`{record.example}`",
        )
    if record.makes == "counting" and over.relation is None:
        yield fault(
            "PD113",
            f"`{record.name}` needs a condition",
            over.value.span,
            "a number, and no condition on it",
            help=f"`{record.example}`",
        )
    elif record.makes != "counting" and over.relation is not None:
        yield fault(
            "PD115",
            f"`{record.name}` takes a number, and this is a condition",
            over.span,
            "true or false",
            help="`share(h in SET: CONDITION)` is the share of members that satisfy one",
        )
    elif over.relation is not None and RELATIONS[over.relation].asks == "around":
        yield fault(
            "PD110",
            "a condition on members compares with `<`, `<=`, `>` or `>=`",
            over.span,
            f"`{over.relation}` wants a tolerance",
            help="`abs(x - y) < 0.1`",
        )
    each = dict(enumerate(combinations(over.loop, scope.program)))
    inner = replace(scope, inner=(*scope.inner, *filter(None, [nodes_alone(over.loop)])))

    def found(number: int) -> Faults:
        for side in over.sides:
            yield from check_quantity(inner, substituted(side, each[number]))

    yield from of_each(found, each)


def _correlation(scope: Scope, call: ast.Call) -> Faults:
    """Two families over the same members, or two numbers per prompt."""
    yield from check_arguments(scope, CORRELATION, call.arguments, call.span)
    program, sides = scope.program, correlated(call)
    lets = families(program, call)
    names = {let.name.name for let in lets}
    others = [side for side in sides if not (isinstance(side, ast.Name) and side.name in names)]
    for side in others:
        yield from check_quantity(scope, side)
    if len(sides) != 2 or not lets:
        return
    if others:
        let = lets[0]
        yield fault(
            "PD136",
            f"`{let.name.name}` has members, and what it is correlated with has none",
            others[0].span,
            "over the prompts",
            labels=[(let.loop.span if let.loop is not None else let.span, "over members")],
            help="correlate two lets with one `for`, or two metrics of runs",
        )
        return
    loops = [let.loop for let in lets if let.loop is not None]
    counts = [len(loop.bindings) for loop in loops]
    if counts[0] != counts[1]:
        yield fault(
            "PD136",
            f"`{lets[0].name.name}` and `{lets[1].name.name}` range over different things",
            call.span,
            "no members in common",
            labels=[(loop.span, "one loop") for loop in loops],
            help="write one loop for both lets",
        )


def _let(scope: Scope, name: ast.Name) -> Faults:
    program = scope.program
    if program.kind(name.name) == "metric":
        yield from unknown(scope, name, ("let",), help=f"measure a run: `{name.name}(reference)`")
        return
    let = program.lets.get(name.name)
    if let is None:
        if program.kind(name.name) or scope.is_variable(name.name):
            yield from unknown(scope, name, ("let",))
        elif name.name not in program.broken:
            yield fault(
                "PD101",
                f"no let is named `{name.name}`",
                name.span,
                "not declared in this file or in one that it uses",
                **suggestion(name.name, [*program.lets, *program.metrics], name.span),
            )
    elif let.loop is not None:
        names = " and ".join(f"`{variable}`" for variable in let.loop.names)
        yield fault(
            "PD127",
            f"`{name.name}` has one value for each {names}",
            name.span,
            "which member?",
            labels=[(let.loop.span, "declared with `for`")],
            help=f"choose one, for example `{name.name}[{example_of(let.loop, program)}]`",
        )


def _called(call: ast.Call) -> Repair | None:
    """The repair for a word of the language that is called, and is no function."""
    help = {name: f"`attribution(a5.h5 -> a9.h9, by: {name})`" for name in ATTRIBUTIONS}
    help["average"] = "`mean(LD(reference))`: a mean over prompts"
    return {"help": help[call.name], "fix": None} if call.name in help else None


def _metric_run(scope: Scope, call: ast.Call) -> Faults:
    program = scope.program
    metric = program.metrics.get(call.name)
    if metric is None:
        kind = program.kind(call.name)
        if kind:
            yield from unknown(scope, ast.Name(span=call.name_span, name=call.name), ("metric",))
        elif call.name in SCORES:
            record = SCORES[call.name]
            needed = _NEEDED[record.of]
            yield fault(
                "PD113",
                f"`{call.name}` needs {needed}",
                call.span,
                f"not {needed}",
                help=f"`{record.example}`",
            )
        elif call.name in OVER_MEMBERS and call.name not in program.broken:
            over = OVER_MEMBERS[call.name]
            yield fault(
                "PD113",
                f"`{over.name}` needs members to range over",
                call.span,
                "no `NAME in SET:`",
                help=f"`{over.example}`",
            )
        elif call.name not in program.broken:
            yield fault(
                "PD101",
                f"no metric or statistic is named `{call.name}`",
                call.name_span,
                "not declared in this file or in one that it uses",
                **(
                    _called(call)
                    or suggestion(
                        call.name,
                        [
                            *program.metrics,
                            *STATISTICS,
                            *P_VALUES,
                            *OVER_MEMBERS,
                            CORRELATION.name,
                            *SCORES,
                        ],
                        call.name_span,
                    )
                ),
            )
        return
    if call.at is not None:
        yield from check_position(scope, call.at)
        yield from one_place(call.at, "a metric is read at one place", _READ_EACH)
        yield from _read_already(metric, call.at)
    runs = [a.value for a in call.arguments if not a.keyword]
    if not runs:
        yield fault(
            "PD113",
            f"`{call.name}` needs a run",
            call.span,
            "left out here",
            help=f"`{call.name}(reference)`",
        )
    asked = next((a.value for a in call.arguments if a.keyword == "task"), None)
    asked_name = asked.name if isinstance(asked, ast.Name) else None
    choice = choose_task(program, metric, asked_name)
    task = program.tasks.get(choice.name) if choice.name is not None else None
    yield from check_arguments(scope.on(task), _RUN, call.arguments, call.span)
    if choice.name is None:
        if len(choice.candidates) > 1:
            yield fault(
                "PD303",
                f"`{call.name}` serves {len(choice.candidates)} tasks",
                call.span,
                "on which?",
                labels=[(program.tasks[n].name.span, "one of them") for n in choice.candidates],
                help=f"`{call.name}(RUN, task: {choice.candidates[0]})`",
            )
        return
    if asked is not None and task is not None and choice.name not in serving(program, metric):
        yield _not_served(scope, metric, asked, choice.name)
    for run in runs:
        if isinstance(run, ast.PlainRun | ast.PathRun):
            yield from needs_treated(scope, run, task)


def _read_already(metric: ast.MetricDecl, at: ast.Position) -> Faults:
    """A position on a metric's run where the metric says itself where it is read."""
    free = [
        node
        for node in walk(metric.expression)
        if isinstance(node, ast.Call)
        and (record := MEASURES.get(node.name)) is not None
        and record.reads not in ("head", "copy")
        and node.at is None
    ]
    declared = metric.at or next(
        (n.at for n in walk(metric.expression) if isinstance(n, ast.Call) and n.at is not None),
        metric.name,
    )
    if metric.at is not None or not free:
        yield fault(
            "PD121",
            f"`{metric.name.name}` says itself where it is read",
            at.span,
            "a second position",
            labels=[(declared.span, "said here")],
            help=f"leave it out, or declare a metric without: `metric {metric.name.name} = …`",
        )


def _not_served(scope: Scope, metric: ast.MetricDecl, asked: ast.Node, task: str) -> Diagnostic:
    served = serving(scope.program, metric)
    return fault(
        "PD304",
        f"`{metric.name.name}` does not serve the task `{task}`",
        asked.span,
        "its data have other columns" if metric.task is None else "declared on another task",
        labels=[(metric.name.span, "the metric")],
        help=f"it serves {listed(served)}" if served else "",
    )
