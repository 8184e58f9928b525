"""Lint of the method: what a reviewer would ask about a hypothesis that is otherwise well formed.

All warnings; they never change the exit code. Each has its reasons, with sources, on its page.

Sources: best practices 2309.16042 (noise, probabilities) · Miller et al. 2024 (granularity and
treated value) · Shi et al. 2024 (controls) · semantics.md section 6 (selection and judging).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

from pathdsl.errors import Diagnostic
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.pvalues import is_p_value
from pathdsl.lang.scope import Faults, warning
from pathdsl.lang.serving import (
    choose_metric,
    choose_task,
    fields_of,
    generator,
    named_option,
    task_arguments,
    wants_metric,
)
from pathdsl.lang.signatures import LANGUAGE_VERSION, literal
from pathdsl.lang.units import unit_of
from pathdsl.lang.walk import strip, walk

__all__ = ["check_method"]

ENOUGH_PROMPTS = 30
ENOUGH_PER_GROUP = 5
_MOST_ROWS = 5000  # rows drawn to count the groups of a mean
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
N = TypeVar("N", bound=ast.Node)
_CONTROLS = (ast.RandomLike, ast.RandomEdges)


def check_method(program: Program) -> list[Diagnostic]:
    """Every warning about the method of a program, each told once."""
    if program.is_library:
        return list(_treated(program))
    return [
        *_version(program),
        *_revision(program),
        *_control(program),
        *_claims(program),
        *_prompts(program),
        *_probability(program),
        *_treated(program),
        *_finer(program),
        *_windows(program),
    ]


def _version(program: Program) -> Faults:
    circuit = program.circuit
    if circuit is None:
        first = program.file.statements[0].span if program.file.statements else None
        yield warning(
            "PD511",
            "the file does not say which version of the language it is written in",
            first,
            "before this",
            help=f'`circuit NAME "title" {{ language = {LANGUAGE_VERSION} }}`',
        )
    elif all(field.name != "language" for field in circuit.fields):
        yield warning(
            "PD511",
            "the file does not say which version of the language it is written in",
            circuit.name.span,
            "has no `language`",
            help=f"`language = {LANGUAGE_VERSION}`",
        )


def _revision(program: Program) -> Faults:
    model = program.model
    if model is None or model.source.name != "hf":
        return
    given = next((a for a in model.source.arguments if a.keyword == "revision"), None)
    if given is None:
        yield warning(
            "PD510",
            "the model's revision is left open",
            model.source.span,
            "whatever the hub has on that day",
            help='`revision: "…"` with the commit of the weights',
        )
    elif isinstance(given.value, ast.String) and not _COMMIT.match(given.value.value):
        yield warning(
            "PD510",
            f"`{given.value.value}` is no commit",
            given.value.span,
            "a branch or tag may move",
            help='`revision: "…"` with the forty characters of a commit',
        )


def _reach(program: Program, node: ast.Node, seen: set[str]) -> Iterable[ast.Node]:
    """A node, all below it, and all below the paths and lets that it names."""
    for inner in walk(node):
        yield inner
        if isinstance(inner, ast.Name) and inner.name not in seen:
            found = program.paths.get(inner.name) or program.lets.get(inner.name)
            if found is not None:
                seen.add(inner.name)
                yield from _reach(program, found, seen)


def _control(program: Program) -> Faults:
    if not program.claims:
        return
    for claim in program.claims:
        if claim.expect == "refuted":
            return
        for node in _reach(program, claim, set()):
            if isinstance(node, _CONTROLS) or (
                isinstance(node, ast.Score) and node.name == "chance"
            ):
                return
    yield warning(
        "PD501",
        "no claim says what a wrong hypothesis would score",
        program.claims[0].name.span,
        "the first of the claims",
        help="`claim control: faithfulness(random_like(P, seed: 0)) >= 80% at 95% confidence "
        "expect refuted`",
    )


def _claims(program: Program) -> Faults:
    for claim in program.claims:
        names = {method.name for method in claim.methods}
        if claim.confidence is None and _is_estimated(program, claim):
            yield warning(
                "PD502",
                f"`{claim.name.name}` is judged by its estimate alone",
                claim.span,
                "no interval decides",
                help="add `at 95% confidence`",
            )
        if claim.loop is not None and claim.confidence is not None and not names & {"holm", "bh"}:
            yield warning(
                "PD503",
                f"`{claim.name.name}` makes one claim per member at one confidence",
                claim.loop.span,
                "many chances to be supported by luck",
                help="add `by holm()` or `by bh()`",
            )
    for score in _all(program, ast.Score):
        for option in score.options:
            if option.keyword == "split" and literal(option.value) is False:
                yield warning(
                    "PD505",
                    "the rows that choose the knockouts also judge them",
                    option.span,
                    "chosen and judged on the same rows",
                    help="leave `split: false` out",
                )


def _is_estimated(program: Program, claim: ast.ClaimDecl) -> bool:
    """False for claims about path sets alone, which no prompt can change, and for p-values."""
    if any(is_p_value(side) for side in (claim.left, claim.right)):
        return False  # a p-value has no interval of its own
    counted = ("paths", "overlap")
    for node in _reach(program, claim, set()):
        if isinstance(node, ast.Score) and node.name not in counted:
            return True
        if isinstance(node, ast.PlainRun | ast.PathRun):
            return True
    return False


def _all(program: Program, kind: type[N]) -> list[N]:
    """All nodes of a class in this program's lets and claims."""
    statements = [*program.lets.values(), *program.claims]
    return [node for statement in statements for node in walk(statement) if isinstance(node, kind)]


def _prompts(program: Program) -> Faults:
    judged = [claim for claim in program.claims if claim.confidence is not None]
    if not judged:
        return
    for task in program.tasks.values():
        take = task_arguments(program, task).get("take")
        field = fields_of(program, task).get("data")
        if task.base is not None or field is None or type(take) is not int:
            continue
        if take < ENOUGH_PROMPTS:
            yield warning(
                "PD504",
                f"{take} prompts for an interval",
                field.value.span,
                f"fewer than {ENOUGH_PROMPTS}",
                labels=[(judged[0].name.span, "judged with an interval")],
                help=f"`take: {ENOUGH_PROMPTS}` or more",
            )


def _probability(program: Program) -> Faults:
    metrics = program.metrics
    units = unit_of(program)
    if metrics and all(units.get(name) == "prob" for name in metrics):
        first = next(iter(metrics.values()))
        yield warning(
            "PD507",
            "every metric is a probability",
            first.expression.span,
            "near 0 and 1 it hides what components do",
            help="add one in logits, for example `logit(io) - logit(s)`",
        )


# -------------------------------------------------------------------------------------------------
# Treated values
# -------------------------------------------------------------------------------------------------


def _treated_values(program: Program) -> list[tuple[ast.TaskDecl | None, ast.Node]]:
    found: list[tuple[ast.TaskDecl | None, ast.Node]] = []
    for task in program.tasks.values():
        found += [(task, field.value) for field in task.fields if field.name == "treated"]
    only = next(iter(program.tasks.values())) if len(program.tasks) == 1 else None
    for run in _all(program, ast.PathRun):
        found += [(only, o.value) for o in run.options if o.keyword == "treated"]
    return found


def _treated(program: Program) -> Faults:
    for task, value in _treated_values(program):
        if not isinstance(value, ast.Call):
            continue
        if value.name == "noise":
            yield warning(
                "PD506",
                "noise moves the model off the inputs that it knows",
                value.span,
                "an input that no text has",
                help="a paired column, `mean(COLUMN, by: FIELD)` or `resample(COLUMN, by: FIELD)`",
            )
        elif value.name == "mean" and task is not None:
            yield from _small_groups(program, task, value)


def _small_groups(program: Program, task: ast.TaskDecl, mean: ast.Call) -> Faults:
    by = next((a.value for a in mean.arguments if a.keyword == "by"), None)
    data = fields_of(program, task).get("data")
    if not isinstance(by, ast.Name) or data is None or not isinstance(data.value, ast.Call):
        return
    made = generator(data.value.name)
    given = dict(task_arguments(program, task))
    if made is None or made.faults(**given):
        return
    rows = made.rows(**{**given, "take": min(int(made.complete(**given)["take"]), _MOST_ROWS)})
    if not rows or by.name not in rows[0]:
        return
    groups = Counter(str(row[by.name]) for row in rows)
    smallest = min(groups.values())
    if smallest < ENOUGH_PER_GROUP:
        yield warning(
            "PD508",
            f"the smallest of the {len(groups)} groups of this mean has {smallest} of "
            f"{len(rows)} rows",
            mean.span,
            f"fewer than {ENOUGH_PER_GROUP} rows",
            labels=[(data.value.span, f"{len(rows)} rows")],
            help=f"`take: {len(groups) * 2 * ENOUGH_PER_GROUP}`",
        )


def _finer(program: Program) -> Faults:
    values = [(task, value) for task, value in _treated_values(program) if _is_constant(value)]
    if not values:
        return
    own = {task.name.name for task, value in values if task is not None and _of_task(task, value)}
    every = {*program.tasks} <= own or len(own) < len(values)
    found: list[ast.Node] = []
    tasks = _tasks_of_runs(program)
    for holder in [*_all(program, ast.PathRun), *_all(program, ast.Score)]:
        if isinstance(holder, ast.Score) and holder.name in ("overlap", "paths"):
            continue
        if not every and tasks.get(id(holder), next(iter(own))) not in own:
            continue
        subjects = [holder.paths] if isinstance(holder, ast.PathRun) else holder.subjects  # type: ignore[attr-defined]
        for subject in subjects:
            inner = strip(subject)
            if isinstance(inner, ast.PlainRun | ast.PathRun | ast.Score):
                continue
            if any(_is_fine(node) for node in _reach(program, inner, set())):
                found.append(subject)
    if found:
        unique = list(dict.fromkeys(found))
        yield warning(
            "PD509",
            "a path set finer than nodes, with a treated value that no input has",
            unique[0].span,
            "leaves out single edges or inputs",
            labels=[
                (values[0][1].span, "a constant, not the activation of any input"),
                *((other.span, "finer too") for other in unique[1:4]),
            ],
            help="a paired column or `resample(COLUMN, by: FIELD)` is comparable across grains",
        )


def _is_constant(value: ast.Node) -> bool:
    return (isinstance(value, ast.Call) and value.name in ("mean", "zero")) or (
        isinstance(value, ast.Name) and value.name == "zero"
    )


def _of_task(task: ast.TaskDecl, value: ast.Node) -> bool:
    return any(field.value is value for field in task.fields)


def _tasks_of_runs(program: Program) -> dict[int, str]:
    """The task of each run and score, by the identity of its node, where it is clear."""
    found: dict[int, str | None] = {}
    for call in _all(program, ast.Call):
        if call.name in program.metrics:
            asked = named_option(call.arguments, "task")
            task = choose_task(program, program.metrics[call.name], asked).name
            found |= {id(a.value): task for a in call.arguments}
    for score in _all(program, ast.Score):
        name = choose_metric(program, score).name if wants_metric(score) else None
        name = named_option(score.options, "metric") or name
        asked = named_option(score.options, "task")
        task = choose_task(program, program.metrics.get(name or ""), asked).name
        found |= {id(node): task for node in (score, *score.subjects)}
    return {node: task for node, task in found.items() if task is not None}


def _is_fine(node: ast.Node) -> bool:
    if isinstance(node, ast.Arrow):
        return bool(node.labels) or not node.reach
    return isinstance(node, ast.Edges | ast.EdgesFile | ast.RandomEdges)


# -------------------------------------------------------------------------------------------------
# Windows
# -------------------------------------------------------------------------------------------------


def _windows(program: Program) -> Faults:
    """A sweep over windows of nodes without a sweep over the same kind of nodes one by one."""
    loops = [d.loop for d in (*program.lets.values(), *program.claims) if d.loop is not None]
    single = {_kind(program, loop.members) for loop in loops if not _is_window(loop.members)}
    for loop in loops:
        members = loop.members
        if not isinstance(members, ast.Windows) or members.size < 2:
            continue
        if _kind(program, members.nodes) in single or "nodes" in single:
            continue
        yield warning(
            "PD512",
            f"windows of {members.size} nodes are not compared with single nodes",
            members.span,
            "an effect of the window may be that of no single node",
            help=f"`let one for v in {_text(program, members.nodes)} = …` beside it",
        )


def _is_window(members: ast.Node) -> bool:
    return isinstance(members, ast.Windows) and members.size > 1


def _kind(program: Program, members: ast.Node) -> str:
    """`mlp`, `attn` or `resid`; `nodes` for a set of several kinds, which holds any of them."""
    found: set[str] = set()
    for node in _reach_groups(program, members):
        if isinstance(node, ast.MlpRef | ast.NeuronRef):
            found.add("mlp")
        elif isinstance(node, ast.HeadRef | ast.KvRef):
            found.add("attn")
        elif isinstance(node, ast.ResidRef):
            found.add("resid")
        elif isinstance(node, ast.Word):
            found.add(node.word)
    return found.pop() if len(found) == 1 and "any" not in found else "nodes"


def _reach_groups(program: Program, members: ast.Node) -> Iterable[ast.Node]:
    for node in walk(members):
        yield node
        if isinstance(node, ast.Name) and node.name in program.groups:
            yield from _reach_groups(program, program.groups[node.name].nodes)


def _text(program: Program, node: ast.Node) -> str:
    source = program.sources.get(node.span.path)
    return source.text[node.span.start : node.span.end] if source is not None else "SET"
