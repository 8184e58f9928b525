"""What a drawn report says beyond numbers, as part of the JSON object of one file.

Title, tasks, weights, the path sets that claims are about and their drawings, formulas, the tokens
of the prompts that claims name, and the lock that lies beside the file. It stands in the object so
that a report can be written from the object alone, anywhere.

Source: `schema/check.schema.json`, the keys of `file` that are not required.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pathdsl.errors import PathdslError, Span
from pathdsl.lang import ast
from pathdsl.lang.loops import meant_nodes
from pathdsl.lang.program import Program
from pathdsl.report.data.controls import not_claimed

if TYPE_CHECKING:
    from pathdsl.checking.outcome import FileOutcome
    from pathdsl.graph.resolve.resolver import Resolver
    from pathdsl.plan.taskdata import TaskData

__all__ = ["details", "drawn"]

Object = dict[str, Any]


MOST_DRAWINGS = 6
"""Path sets that one report draws; of further ones it says how many there are."""


def details(outcome: FileOutcome) -> Object:
    """Title, sources, rounding, tasks, weights, claimed path sets and the prompts claims name."""
    program, session = outcome.program, outcome.session
    return {
        "title": program.circuit.title if program and program.circuit else "",
        "sources": _sources(program) if program else {},
        "rounding": float(session.rounding()) if session is not None else None,
        "allowance": float(session.allowance()) if session is not None else None,
        "tasks": _tasks(outcome),
        "weights": _weights(outcome),
        "locked_weights": _locked_weights(outcome),
        **_claimed(outcome),
        **({"not_claimed": not_claimed(program)} if program and outcome.judgement else {}),
        "prompts": list(_prompts(outcome)),
        "formulas": _as_written(program) if program else [],
    }


def _as_written(program: Program) -> list[Object]:
    """Metrics, quantities and claims as written alone, for text; `drawn` has the formulas, too."""
    text_of = _text_of(program)
    kinds = (
        ("metric", program.metrics.values()),
        ("let", program.lets.values()),
        ("claim", program.claims),
    )
    return [
        {"kind": kind, "name": one.name.name, "text": text_of(one.span), "latex": "", "mathml": ""}
        for kind, declared in kinds
        for one in declared
    ]


def drawn(outcome: FileOutcome) -> Object:
    """Formulas, drawings of the claimed path sets, the lock beside the file and what drifted.

    `drawing` is the first of `drawings`, null where there is none.
    """
    from pathdsl.graph.resolve.resolver import Resolver
    from pathdsl.report.data.lock import comparison_object, lock_file_object

    program, session, compared = outcome.program, outcome.session, outcome.comparison
    if program is None:
        return {}
    resolver, left_out = None, 0
    drawings: list[Object] = []
    if session is not None:
        planner = session.planner
        states = planner.limits.max_states
        others = {task: Resolver(program, own, states) for task, own in planner.shapes.items()}
        resolver = Resolver(program, planner.shape, states, others)
        drawings, left_out = _drawings(outcome, program, resolver)
    return {
        "formulas": list(_formulas(program, resolver)),
        "drawing": drawings[0] if drawings else None,
        "drawings": drawings,
        "drawings_left_out": left_out,
        "lock_file": lock_file_object(outcome.lock, program),
        **({"lock": comparison_object(compared)} if compared is not None else {}),
    }


def _drawings(
    outcome: FileOutcome, program: Program, resolver: Resolver
) -> tuple[list[Object], int]:
    """The named path sets that claims are about, then a hypothesis that none is about.

    And how many of them are left out.
    """
    from pathdsl.report.data.drawing import drawing_of

    claimed = outcome.claimed
    if claimed is None:
        return [], 0
    names = claimed.drawn[:MOST_DRAWINGS]
    about = dict.fromkeys(names, True)
    if claimed.hypothesis is not None and not claimed.about_hypothesis:
        about[claimed.hypothesis] = False
    tasks = list(outcome.tasks.values())
    drawings = [
        drawing_of(_fitting(resolver, program.paths[name].path), program, name, tasks)
        | {"claimed": by}
        for name, by in about.items()
    ]
    return drawings, len(claimed.drawn) - len(names)


def _claimed(outcome: FileOutcome) -> Object:
    """How many claims the file makes, the path sets of those that were judged, and their parts."""
    found = outcome.claimed
    if found is None:
        return {}
    return {
        "declared_claims": outcome.declared_claims,
        "hypothesis": found.hypothesis,
        "path_sets": [
            {
                "name": one.name,
                "form": one.form,
                "definition": one.definition,
                **{key: getattr(one.size, key, None) for key in SIZES},
            }
            for one in found.sets
        ],
        "made_of": [{"name": name, "text": text} for name, text in found.declared.items()],
    }


SIZES = ("nodes", "of_nodes", "edges", "of_edges")


def _weights(outcome: FileOutcome) -> Object | None:
    """The sha256 of the weights that were used; None where no model was at hand."""
    from pathdsl.checking.methodology import weights_sha256

    found: dict[str, Object] = {
        name: {"sha256": weights_sha256(one.weights), "files": dict(one.weights)}
        for name, one in outcome.models.items()
    }
    if not found:
        return None
    first, *others = found.values()
    return {**first, "models": found} if others else first  # `models` has all, the first too


def _locked_weights(outcome: FileOutcome) -> str | None:
    """The same of the weights that the lock beside the file names; None where it names none."""
    from pathdsl.checking.methodology import weights_sha256

    lock = outcome.lock.lock if outcome.lock is not None else None
    locked = lock["inputs"]["model"]["weights"] if lock is not None else {}
    return weights_sha256(locked) if locked else None


def _sources(program: Program) -> dict[str, str]:
    """What the circuit block cites."""
    cited = {}
    for field in program.circuit.fields if program.circuit else ():
        if field.name in ("cite", "doi", "authors"):
            items = field.value.items if isinstance(field.value, ast.ListValue) else (field.value,)
            cited[field.name] = ", ".join(i.value for i in items if isinstance(i, ast.String))
    return cited


def _tasks(outcome: FileOutcome) -> list[Object]:
    return [
        {
            "name": name,
            "prompts": task.n_rows,
            "rows": task.rows_before,
            "where": task.facts.get("where", ""),
            "taken": task.facts.get("taken", ""),
            "data": task.facts.get("data", ""),
            **_fact(task, "model"),
            "sha256": task.facts.get("rows", ""),
            "distinct": task.n_distinct,
            "near_copies": task.near_copies,
            "read": name in outcome.tasks_read,
            "first_row": task.row_ids[0],
            "tokens": {
                column: [{"text": text, "id": number} for text, number in answers]
                for column, answers in task.first_answers.items()
            },
            **_fact(task, "chat_template"),
        }
        for name, task in outcome.tasks.items()
    ]


def _fact(task: TaskData, key: str) -> Object:
    """A fact of a task's data under its own key; nothing where it has none."""
    return {key: task.facts[key]} if key in task.facts else {}


def _prompts(outcome: FileOutcome) -> Iterator[Object]:
    """The tokens of every prompt that a claim names, each once."""
    claims = outcome.judgement.claims if outcome.judgement is not None else ()
    rows = {(w.task, w.index): w.row_id for claim in claims for w in claim.worst}
    for (name, index), row_id in sorted(rows.items()):
        task = outcome.tasks.get(name)
        if task is not None and index < len(task.tokens):
            tokens = list(task.tokens[index])
            found: Object = {"task": name, "index": index, "row_id": row_id, "tokens": tokens}
            if task.whole:
                words = {column: list(of[index]) for column, of in task.answer_tokens.items()}
                found = {**found, "answers": words}
            yield found


def _formulas(program: Program, resolver: Resolver | None) -> Iterator[Object]:
    """Metrics, quantities and claims as written, as LaTeX and MathML; claims with their units."""
    from pathdsl.report.formulas.latex import claim_latex, expression_latex
    from pathdsl.report.formulas.mathml import claim_mathml, expression_mathml
    from pathdsl.score.metrics import compile_metric

    text_of = _text_of(program)

    def formula(kind: str, name: str, node: ast.Node, latex: str, mathml: str) -> Object:
        text = text_of(node.span)
        return {"kind": kind, "name": name, "text": text, "latex": latex, "mathml": mathml}

    for name, metric in program.metrics.items():
        latex = compile_metric(metric, program.groups).latex
        mathml = expression_mathml(name, metric.expression, text_of)
        yield formula("metric", name, metric, latex, mathml)
    for name, let in program.lets.items():
        latex = expression_latex(let.expression, text_of)
        mathml = expression_mathml(name, let.expression, text_of)
        yield formula("let", name, let, latex, mathml)
    for claim in program.claims:
        latex, mathml = claim_latex(claim, text_of), claim_mathml(claim, text_of)
        made = formula("claim", claim.name.name, claim, latex, mathml)
        yield made | {"units": _units(program, resolver, claim)}


def _fitting(resolver: Resolver, paths: ast.PathExpr) -> Resolver:
    """The first graph of the models of a file on which a path set is one."""
    for graph in resolver.graphs:
        try:
            graph.units(paths)
        except PathdslError:
            continue
        return graph
    return resolver


def _text_of(program: Program) -> Callable[[Span], str]:
    def text(span: Span) -> str:
        source = program.sources.get(span.path)
        return source.text[span.start : span.end].strip() if source is not None else ""

    return text


def _units(program: Program, resolver: Resolver | None, claim: ast.ClaimDecl) -> list[str]:
    """The units of the path sets and groups that a claim names, in order of first mention."""
    if resolver is None:
        return []
    labels: dict[str, None] = {}
    for node in meant_nodes(program, claim):
        if isinstance(node, ast.Name):
            declared = program.paths.get(node.name) or program.groups.get(node.name)
            if isinstance(declared, ast.PathDecl):
                graph = _fitting(resolver, declared.path)
                labels |= dict.fromkeys(u.label for u in graph.units(declared.path))
            elif isinstance(declared, ast.GroupDecl):
                labels |= dict.fromkeys(u.label for u in _fitting(resolver, node).units(node))
    return list(labels)
