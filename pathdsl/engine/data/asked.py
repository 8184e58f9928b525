"""What a program asks of its rows: columns that metrics read, treated values that runs name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pathdsl.lang import ast
from pathdsl.lang.loops import meant_nodes
from pathdsl.lang.program import Program
from pathdsl.lang.serving import (
    answer_columns,
    choose_metric,
    serving,
    tasks_read,
    treated_by,
    wants_metric,
)
from pathdsl.lang.signatures.interventions import values_of
from pathdsl.lang.signatures.measures import MEASURES, columns_in
from pathdsl.lang.walk import strip, walk
from pathdsl.plan.treated import TreatedSpec, treated_spec
from pathdsl.record import record

__all__ = ["Asked", "Contrast", "NamedValue", "answers_of_scores", "asked_of", "read_elsewhere"]


@record
class NamedValue:
    """A treated value where a run, a score or an action names it, `treat(P, treated: zero)`.

    `verb`: that of the action, "" for a run or score. `tasks`: those on which it is read; none
    where the text does not say.
    """

    node: ast.Node
    spec: TreatedSpec
    verb: str
    tasks: frozenset[str]


def _named_values(program: Program) -> list[NamedValue]:
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


def _columns_by_task(program: Program) -> dict[str, dict[str, None]]:
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


@record
class Contrast:
    """A metric that is the difference of one measure of two columns, `logit(io) - logit(s)`."""

    metric: str
    columns: tuple[str, str]


def _contrast(metric: ast.MetricDecl) -> Contrast | None:
    node = strip(metric.expression)
    if not isinstance(node, ast.Binary) or node.op != "-":
        return None
    left, right = strip(node.left), strip(node.right)
    if not isinstance(left, ast.Call) or not isinstance(right, ast.Call):
        return None
    if left.name not in MEASURES or left.name != right.name or str(left.at) != str(right.at):
        return None
    (first, *more), (second, *others) = columns_in(left), columns_in(right)
    if more or others or first.name == second.name or "next" in (first.name, second.name):
        return None
    return Contrast(metric=metric.name.name, columns=(first.name, second.name))


def _of_one_token(metric: ast.MetricDecl) -> list[ast.Call]:
    """The measures of a metric that have no meaning for a set of answers, as `logit` has none."""
    return [
        node
        for node in walk(metric.expression)
        if isinstance(node, ast.Call) and node.name in MEASURES
        if not MEASURES[node.name].vocabulary and columns_in(node)
    ]


def _measured_on(program: Program) -> dict[str, set[str]]:
    """The tasks on which quantities and claims read each metric, by the metric's name.

    All that the metric serves where the text does not say which.
    """
    found: dict[str, set[str]] = {}
    for declaration in (*program.lets.values(), *program.claims):
        for node in meant_nodes(program, declaration):
            if isinstance(node, ast.Call) and node.name in program.metrics:
                names = [node.name]
            elif isinstance(node, ast.Score) and wants_metric(node):
                chosen = choose_metric(program, node)
                names = [chosen.name] if chosen.name else list(chosen.candidates)
            else:
                continue
            for name in names:
                tasks = tasks_read(program, [node]) or set(serving(program, program.metrics[name]))
                found.setdefault(name, set()).update(tasks)
    return found


@record
class Asked:
    """What the runs, scores and metrics of a program read of the rows of its tasks.

    `columns`: token columns that metrics read, by task. `readers`: the tasks on which each treated
    value is read that a run, score or action names, none where the text does not say. `scored`:
    columns named by `answer:`. `contrasts`: metrics read that two equal answers make 0, by task.
    `single`: measures read that are of one token, in order of mention, by task.
    """

    columns: Mapping[str, Mapping[str, None]]
    named: tuple[NamedValue, ...]
    readers: Mapping[TreatedSpec, frozenset[str]]
    scored: tuple[str, ...]
    contrasts: Mapping[str, tuple[Contrast, ...]]
    single: Mapping[str, tuple[ast.Call, ...]]

    def treated(self, task: str, present: Collection[str]) -> list[TreatedSpec]:
        """The treated values that are read on a task whose rows have the fields `present`."""
        return [
            value
            for value, on in self.readers.items()
            if (task in on or not on) and (not value.column or value.column in present)
        ]

    def answers(self, task: str, present: Collection[str]) -> dict[str, None]:
        """The token columns that are read on it."""
        return {**self.columns[task], **{c: None for c in self.scored if c in present}}


def asked_of(program: Program) -> Asked:
    """What a program without faults asks of its rows."""
    named = _named_values(program)
    readers: dict[TreatedSpec, frozenset[str]] = {}
    for one in named:
        readers[one.spec] = readers.get(one.spec, frozenset()) | one.tasks
    contrasts: dict[str, list[Contrast]] = {name: [] for name in program.tasks}
    single: dict[str, list[ast.Call]] = {name: [] for name in program.tasks}
    measured = _measured_on(program)
    for metric in program.metrics.values():
        for task in measured.get(metric.name.name, ()):
            single[task] += _of_one_token(metric)
    for metric in program.metrics.values():
        found = _contrast(metric)
        if found is not None:
            for task in program.tasks:
                if task in measured.get(metric.name.name, ()):
                    contrasts[task].append(found)
    return Asked(
        columns=_columns_by_task(program),
        named=tuple(named),
        readers=readers,
        scored=answers_of_scores(program),
        contrasts={name: tuple(found) for name, found in contrasts.items()},
        single={name: tuple(found) for name, found in single.items()},
    )
