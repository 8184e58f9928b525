"""Which task and which metric a quantity means, and what is known about a task's rows.

A metric without `on` serves every task that has its columns; `LD(RUN, task: gn)` chooses among
several, and with a single task there is nothing to choose. A score that names no metric takes the
only one that serves its task. What the columns are is known for generators, not for files before
they are read.

Source: docs/language.md, `metric` and Scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

from pathdsl.lang import ast
from pathdsl.lang.loops import meant_nodes
from pathdsl.lang.program import Program
from pathdsl.lang.signatures.calls import DATA_FILES, TASK_FIELDS, literal, whole_answers
from pathdsl.lang.signatures.measures import columns_in
from pathdsl.lang.signatures.scores import DISSIMILARITIES, SCORES, Dissimilarity, Form
from pathdsl.lang.spelling import position_text
from pathdsl.lang.walk import strip, walk
from pathdsl.record import record

if TYPE_CHECKING:
    from pathdsl.tasks import Generator

__all__ = [
    "PASSED",
    "Choice",
    "Columns",
    "averages_ratios",
    "choose_metric",
    "choose_task",
    "columns_of",
    "dissimilarity_of",
    "field_word",
    "fields_of",
    "form_of",
    "generator",
    "generator_names",
    "is_bundled",
    "known_positions",
    "lineage",
    "metrics_elsewhere",
    "metrics_placed",
    "metrics_read",
    "model_of",
    "placed",
    "reads_whole",
    "root_task",
    "score_inside",
    "scores_meant",
    "serving",
    "tasks_read",
    "treated_by",
]


PASSED = ("metric", "task", "scope", "treated")
"""Options of a score of a score that are those of the score inside."""


@record
class Columns:
    """The fields of a task's rows, by what they can be used for.

    `added`: those that came after such rows were published (`pathdsl.tasks.base`).
    """

    prompts: tuple[str, ...]
    tokens: tuple[str, ...]
    labels: tuple[str, ...]
    added: frozenset[str]


@record
class Choice:
    """What was chosen, or the names it could be: none of them, or more than one."""

    name: str | None
    candidates: tuple[str, ...] = ()


def _registry() -> ModuleType | None:
    try:
        import pathdsl.tasks as registry
    except ImportError:
        return None
    return registry


@cache
def generator_names() -> tuple[str, ...] | None:
    """The names of all data generators, or None where there is no registry."""
    registry = _registry()
    return tuple(registry.names()) if registry is not None else None


def is_bundled(name: str) -> bool:
    """Whether a generator of that name comes with this package."""
    registry = _registry()
    return registry is not None and name in registry.BUNDLED


@cache
def generator(name: str) -> Generator | None:
    """The generator of that name, or None: unknown, or an installed one that cannot be loaded."""
    registry = _registry()
    if registry is None:
        return None
    try:
        return registry.get(name)
    except (KeyError, ImportError, TypeError, AttributeError):
        return None


def lineage(program: Program, task: ast.TaskDecl) -> Iterator[ast.TaskDecl]:
    """A task and those that it is derived from, outwards, each once, as far as declared."""
    seen: set[str] = set()
    current: ast.TaskDecl | None = task
    while current is not None and current.name.name not in seen:
        seen.add(current.name.name)
        yield current
        current = program.tasks.get(current.base.name) if current.base is not None else None


def fields_of(program: Program, task: ast.TaskDecl) -> dict[str, ast.Field]:
    """The fields of a task, those of the tasks it is derived from included."""
    found: dict[str, ast.Field] = {}
    for one in lineage(program, task):
        for field in one.fields:
            found.setdefault(field.name, field)
    return found


def model_of(program: Program, task: str) -> ast.ModelDecl | None:
    """The model that a task runs on: the one that it names, or the only one of the file.

    None where that is not clear, or not declared.
    """
    decl = program.tasks.get(task)
    field = fields_of(program, decl).get("model") if decl is not None else None
    if field is None:
        return program.model if len(program.models) == 1 else None
    return program.models.get(str(literal(field.value)))


def field_word(program: Program, task: ast.TaskDecl, name: str) -> str:
    """One of a few words that a field of a task has, or that it means where it is absent."""
    field = fields_of(program, task).get(name)
    value = literal(field.value) if field is not None else None
    return value if isinstance(value, str) else str(TASK_FIELDS[name].default)


def averages_ratios(program: Program, task: ast.TaskDecl | None) -> bool:
    """Whether the ratio of every prompt is averaged, and not the quotient of means taken."""
    return task is not None and field_word(program, task, "average") == "mean_of_ratios"


def columns_of(program: Program, task: ast.TaskDecl) -> Columns | None:
    """The columns of a task whose data is a known generator; None where only the data can tell."""
    data = fields_of(program, task).get("data")
    if data is None or not isinstance(data.value, ast.Call) or data.value.name in DATA_FILES:
        return None
    made = generator(data.value.name)
    if made is None:
        return None
    return Columns(
        prompts=tuple(c.name for c in made.prompt_columns),
        tokens=tuple(c.name for c in made.token_columns),
        labels=tuple(c.name for c in made.labels),
        added=made.added,
    )


def known_positions(program: Program, task: ast.TaskDecl) -> tuple[str, ...]:
    """`END`, `ANSWER` where answers are read whole, the names the task lists, and those its
    generator marks."""
    fields = fields_of(program, task)
    found = ["END"]
    if whole_answers(field_word(program, task, "answers")):
        found.append("ANSWER")
    if "positions" in fields:
        found += [n.name for n in walk(fields["positions"].value) if _named(n)]  # type: ignore[attr-defined]
    data = fields.get("data")
    if data is not None and isinstance(data.value, ast.Call):
        made = generator(data.value.name)
        found += [c.name for c in made.positions] if made is not None else []
    return tuple(dict.fromkeys(found))


def reads_whole(program: Program, metric: ast.MetricDecl) -> bool:
    """Whether some task that a metric serves reads answers of several tokens as one."""
    return any(
        whole_answers(field_word(program, program.tasks[name], "answers"))
        for name in serving(program, metric)
    )


def _named(node: ast.Node) -> bool:
    return isinstance(node, ast.Name | ast.Position) and bool(node.name)


def answer_columns(metric: ast.MetricDecl) -> list[ast.Name]:
    """The columns that a metric's measures read, `next` left out."""
    return [
        column
        for node in walk(metric.expression)
        if isinstance(node, ast.Call)
        for column in columns_in(node)
        if column.name != "next"
    ]


def serving(program: Program, metric: ast.MetricDecl) -> tuple[str, ...]:
    """The tasks that a metric serves: the one it is `on`, or those that may have its columns."""
    if metric.task is not None:
        return (metric.task.name,) if metric.task.name in program.tasks else ()
    if len(program.tasks) == 1:  # nothing to choose; a column it lacks is a fault of its own
        return tuple(program.tasks)
    read = {name.name for name in answer_columns(metric)}
    columns = {name: columns_of(program, task) for name, task in program.tasks.items()}
    return tuple(
        name for name, known in columns.items() if known is None or read <= set(known.tokens)
    )


def choose_task(program: Program, metric: ast.MetricDecl | None, asked: str | None) -> Choice:
    """The task of a metric's run or of a score; `asked` is the name after `task:` if any."""
    if asked is not None:
        return Choice(name=asked)
    names = tuple(program.tasks)
    if metric is None or metric.task is None:
        if len(names) <= 1:
            return Choice(name=names[0] if names else None)
        names = serving(program, metric) if metric is not None else names
    else:
        names = (metric.task.name,)
    return Choice(name=names[0] if len(names) == 1 else None, candidates=names)


def named_option(options: tuple[ast.Argument, ...], keyword: str) -> str | None:
    """The word given for an option, or None."""
    for option in options:
        if option.keyword == keyword:
            value = literal(option.value)
            return value if isinstance(value, str) else None
    return None


def score_inside(score: ast.Score) -> ast.Node | None:
    """What a score of a score is of, with the options that are written outside of it, `chance(s,
    metric: LD)`; None where it is of nothing."""
    if not score.subjects:
        return None
    inner = strip(score.subjects[0])
    if not isinstance(inner, ast.Score):
        return inner
    written = {option.keyword for option in inner.options}
    passed = (o for o in score.options if o.keyword in PASSED and o.keyword not in written)
    return replace(inner, options=(*inner.options, *passed))


def scores_meant(nodes: Iterable[ast.Node]) -> dict[int, ast.Score]:
    """Each score among nodes by the identity of its node, one inside another with the options that
    it is passed."""
    found: dict[int, ast.Score] = {}
    for node in nodes:
        if isinstance(node, ast.Score):
            found.setdefault(id(node), node)
            inner = score_inside(node) if SCORES[node.name].of == "score" else None
            if isinstance(inner, ast.Score):
                found[id(strip(node.subjects[0]))] = inner
    return found


def treated_by(node: ast.PathRun | ast.Score) -> ast.Node | None:
    """The treated value that a run or a score names for itself; None where it is its task's."""
    return next((o.value for o in node.options if o.keyword == "treated"), None)


def form_of(score: ast.Score) -> Form:
    """The form that a score has; the default one where its `as:` is a fault."""
    return SCORES[score.name].form(named_option(score.options, "as"))


def dissimilarity_of(score: ast.Score) -> Dissimilarity | None:
    """What compares two runs, for a form that reads `by:`; the default where that is a fault."""
    parameter = SCORES[score.name].parameter("by")
    if parameter is None or "by" not in form_of(score).options:
        return None
    by = named_option(score.options, "by")
    return DISSIMILARITIES[by if by in DISSIMILARITIES else str(parameter.default)]


def wants_metric(score: ast.Score) -> bool:
    """True where a score is made of a metric's values."""
    compared = dissimilarity_of(score)
    return form_of(score).reads_metric and (compared is None or compared.reads_metric)


def choose_metric(program: Program, score: ast.Score) -> Choice:
    """The metric of a score: the one it names, or the only one that serves its task."""
    asked = named_option(score.options, "metric")
    if asked is not None:
        return Choice(name=asked)
    task = named_option(score.options, "task")
    if task not in program.tasks:
        task = next(iter(program.tasks)) if len(program.tasks) == 1 else None
    names: tuple[str, ...] = program.once(
        ("metrics of", task),
        lambda: tuple(
            name
            for name, metric in program.metrics.items()
            if task is None or task in serving(program, metric)
        ),
    )
    return Choice(name=names[0] if len(names) == 1 else None, candidates=names)


def task_arguments(program: Program, task: ast.TaskDecl) -> Mapping[str, int | float | str | bool]:
    """The literal keyword arguments of a task's data, `take` and `seed` among them."""
    data = fields_of(program, task).get("data")
    if data is None or not isinstance(data.value, ast.Call):
        return {}
    found = {a.keyword: literal(a.value) for a in data.value.arguments if a.keyword}
    return {name: value for name, value in found.items() if value is not None}


def metrics_read(program: Program, nodes: Iterable[ast.Node]) -> tuple[str, ...]:
    """The metrics that these nodes name or, being scores, take; in order of mention."""
    found: dict[str, None] = {}
    for node in nodes:
        name: str | None = None
        if isinstance(node, ast.Call):
            name = node.name
        elif isinstance(node, ast.Score) and wants_metric(node):
            name = choose_metric(program, node).name
        if name is not None and name in program.metrics:
            found[name] = None
    return tuple(found)


def placed(metric: ast.MetricDecl, at: ast.Position | None) -> ast.MetricDecl:
    """The metric as `LD(RUN) @P` reads it: at P, but for measures that have a place of their own.

    It is called `LD @P` then.
    """
    if at is None:
        return metric
    name = replace(metric.name, name=f"{metric.name.name} @{position_text(at)}")
    return replace(metric, at=at, name=name)


def metrics_placed(program: Program, nodes: Iterable[ast.Node]) -> list[ast.MetricDecl]:
    """The metrics that these nodes read, each as it is read: once for each place."""
    found: dict[tuple[str, ast.Position | None], None] = {}
    for node in nodes:
        at = node.at if isinstance(node, ast.Call) else None
        found |= {(name, at): None for name in metrics_read(program, [node])}
    return [placed(program.metrics[name], at) for name, at in found]


def metrics_elsewhere(program: Program, statements: Iterable[ast.Node]) -> list[ast.MetricDecl]:
    """The metrics that statements read at a place that they name, `LD(RUN) @S1`; each once."""
    nodes = (node for one in statements for node in meant_nodes(program, one))
    calls = (node for node in nodes if isinstance(node, ast.Call) and node.at is not None)
    return metrics_placed(program, calls)


def tasks_read(program: Program, nodes: Iterable[ast.Node]) -> set[str]:
    """The tasks on which these nodes measure, as far as the text says it."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Call) and node.name in program.metrics:
            metric: str | None = node.name
            asked = named_option(node.arguments, "task")
        elif isinstance(node, ast.Score):
            metric = choose_metric(program, node).name if wants_metric(node) else None
            asked = named_option(node.options, "task")
        else:
            continue
        name = choose_task(program, program.metrics.get(metric or ""), asked).name
        if name is not None and name in program.tasks:
            found.add(name)
    return found


def root_task(program: Program, name: str) -> str:
    """The task that a part of a task is cut from; the name itself for a whole one."""
    task = program.tasks.get(name)
    if task is None:
        return name
    *_, last = lineage(program, task)
    return last.name.name if last.base is None else last.base.name
