"""Checks of scores: subjects, options, the metric and the task they mean.

Source: docs/scores.md.
"""

from __future__ import annotations

from pathdsl.lang import ast
from pathdsl.lang.check.arguments import check_arguments
from pathdsl.lang.check.attribution import check_attribution
from pathdsl.lang.check.scope import Faults, Scope, fault, listed
from pathdsl.lang.serving import (
    PASSED,
    choose_metric,
    choose_task,
    compares,
    fields_of,
    form_of,
    named_option,
    score_inside,
    serving,
    treated_by,
    wants_metric,
)
from pathdsl.lang.signatures.kinds import Signature
from pathdsl.lang.signatures.knockouts import KNOCKOUTS
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.signatures.selections import AGAIN, SELECTIONS
from pathdsl.lang.walk import strip

__all__ = ["check_score", "needs_treated"]


def check_score(scope: Scope, score: ast.Score) -> Faults:
    """Everything about one score that needs neither model nor data."""
    record = SCORES[score.name]  # the grammar knows the names of the scores
    metric = None
    task = named_option(score.options, "task")
    if wants_metric(score) or named_option(score.options, "metric") is not None:
        choice = choose_metric(scope.program, score)
        metric = scope.program.metrics.get(choice.name or "")
        if choice.name is None and not scope.program.broken:
            yield from _which_metric(score, choice.candidates)
        served = serving(scope.program, metric) if metric is not None else ()
        if metric is not None and task in scope.program.tasks and task not in served:
            yield fault(
                "PD304",
                f"`{metric.name.name}` does not serve the task `{task}`",
                score.span,
                "metric and task do not belong together",
                labels=[(metric.name.span, "the metric")],
                help=f"it serves {listed(served)}" if served else "",
            )
    chosen = choose_task(scope.program, metric, task)
    its_task = scope.program.tasks.get(chosen.name or "")
    if chosen.name is None and record.needs_task:
        yield from _which_task(scope, score, chosen.candidates, metric)
    subjects = tuple(ast.Argument(span=s.span, value=s) for s in score.subjects)
    arguments = (*subjects, *score.options)
    yield from check_arguments(scope.on(its_task), record, arguments, score.span)
    for subject in score.subjects:
        if record.of == "score":
            yield from _controlled(scope, score, subject)
            yield from _walked(score, subject)
        elif record.of == "run" and isinstance(subject, ast.PlainRun | ast.PathRun):
            yield from needs_treated(scope, subject, its_task)
    if record.treats and compares(score) and its_task is not None and treated_by(score) is None:
        yield from _missing_treated(scope, score, its_task)
    yield from _units(scope, score)
    yield from _forms(score)
    yield from _unread(score)
    if record.of_file:
        yield from _whole_file(score)
        yield from _selected(score)
    elif record.of == "unit":
        yield from check_attribution(scope.on(its_task), score, metric)


_WANTED = {"file": "ranks every edge", "kept": "keeps scores prompt by prompt"}


def _whole_file(score: ast.Score) -> Faults:
    """A fault unless the score is of a whole file of edges."""
    for subject in score.subjects[:1]:
        if isinstance(subject, ast.EdgesFile) and not subject.options:
            continue
        yield fault(
            "PD115",
            f"`{score.name}` is of a file that {_WANTED[SCORES[score.name].of]}",
            subject.span,
            "a part of the file" if isinstance(subject, ast.EdgesFile) else "a path set",
            help=f"`{SCORES[score.name].example}`",
        )


def _selected(score: ast.Score) -> Faults:
    """PD436 for a rule that is not asked for circuits of resamples, PD129 for a rank unread."""
    written = {o.keyword: o for o in score.options}
    record = SELECTIONS.get(named_option(score.options, "select") or "")
    if record is None:
        return
    if record.not_again:
        yield fault(
            "PD436",
            f"`{score.name}` has no `select: {record.name}`: it {record.not_again}",
            written["select"].span,
            "cannot be asked again and again",
            help=f"{listed(AGAIN)} take a circuit from the kept scores of each resample",
        )
        return
    for keyword in record.unread:
        if keyword in written:
            yield fault(
                "PD129",
                f"`select: {record.name}` does not read `{keyword}:`",
                written[keyword].span,
                "says nothing here",
                help="leave it out",
            )


def _forms(score: ast.Score) -> Faults:
    """Options that another form of the score reads, and those that say nothing alone."""
    record, form = SCORES[score.name], form_of(score)
    written = {o.keyword: o for o in score.options}
    name = named_option(score.options, "as") or form.name
    for keyword in dict.fromkeys(option for one in record.forms for option in one.options):
        if keyword in written and keyword not in form.options:
            readers = tuple(one.name for one in record.forms if keyword in one.options)
            yield fault(
                "PD129",
                f"`as: {name}` does not read `{keyword}:`",
                written[keyword].span,
                f"belongs to {listed(tuple(f'as: {reader}' for reader in readers))}",
                help=f"leave it out, or ask for `as: {readers[0]}`",
            )
    given = [option for option in form.together if option in written]
    lacking = [option for option in form.together if option not in written]
    if given and lacking:
        values = ", ".join(f"{option}: {_example(record, option)}" for option in form.together)
        yield fault(
            "PD113",
            f"`{given[0]}:` needs `{lacking[0]}:`",
            written[given[0]].span,
            "alone, it says nothing",
            help=f"`{score.name}(P, as: {form.name}, {values})`",
        )


def _unread(score: ast.Score) -> Faults:
    """Options that other options leave nothing to say, or that the run inside cannot take up."""
    written = {o.keyword: o for o in score.options}
    given = written.get("knockouts")
    named = given.value if given is not None else None
    chosen = KNOCKOUTS.get(named.name) if isinstance(named, ast.Name | ast.Call) else None
    if "split" in written and not (chosen is not None and chosen.searches):
        yield fault(
            "PD129",
            "`split:` says which rows a search for knockouts reads, and nothing is searched",
            written["split"].span,
            "belongs to `knockouts: greedy(…)`",
            help="leave it out",
        )
    record = SCORES[score.name]
    if "over" in written and record.of == "paths":
        grouped = named_option(score.options, "per") == "group"
        by_groups = record.parameter("per") is None and chosen is not None and not chosen.of_units
        if grouped or by_groups:
            yield fault(
                "PD129",
                "`over:` replaces the units of a path set, and its groups are left out whole",
                written["over"].span,
                "not for groups",
                help="leave it out",
            )
    run = score.subjects[0] if score.subjects else None
    if "scope" in written and isinstance(run, ast.PlainRun):
        yield fault(
            "PD129",
            f"`scope:` says within which paths a run treats some, and `{run.which}` is whole",
            written["scope"].span,
            "belongs to `treat(P)` or `keep(P)`",
            help="leave it out",
        )


def _example(record: Signature, option: str) -> str:
    """A value that an option could have."""
    parameter = record.parameter(option)
    return parameter.choices[0] if parameter is not None and parameter.choices else "io"


def _which_metric(score: ast.Score, candidates: tuple[str, ...]) -> Faults:
    if candidates:
        message = f"`{score.name}` could use any of {len(candidates)} metrics"
        help = f"`metric: {candidates[0]}` chooses; there are {listed(candidates)}"
    else:
        message = f"`{score.name}` needs a metric, and there is none for its task"
        help = "declare one, for example `metric LD: logits = logit(io) - logit(s)`"
    yield fault("PD404", message, score.name_span, "which metric?", help=help)


def _which_task(
    scope: Scope, score: ast.Score, candidates: tuple[str, ...], metric: ast.MetricDecl | None
) -> Faults:
    if metric is None and wants_metric(score):
        return  # the metric decides, and its absence is reported
    names = candidates or tuple(scope.program.tasks)
    if not names:
        return  # reported once for the file
    yield fault(
        "PD303",
        f"`{score.name}` could be on any of {len(names)} tasks",
        score.name_span,
        "on which?",
        labels=[(scope.program.tasks[n].name.span, "one of them") for n in names],
        help=f"`task: {names[0]}` chooses",
    )


def _controlled(scope: Scope, score: ast.Score, subject: ast.Node) -> Faults:
    if not isinstance(subject, ast.Score):
        yield fault(
            "PD115",
            "`chance` is of a score",
            subject.span,
            "not a score",
            help="`chance(faithfulness(P), among: 100, seed: 0)`",
        )
    elif SCORES[subject.name].controls == "none":
        controlled = tuple(name for name, one in SCORES.items() if one.controls != "none")
        yield fault(
            "PD115",
            f"`chance` compares path sets, and `{subject.name}` is not a score of one",
            subject.span,
            f"wanted {listed(controlled)}",
        )
    else:
        whole = score_inside(score)
        assert isinstance(whole, ast.Score)
        yield from check_score(scope, whole)
        inner = {o.keyword: o for o in subject.options}
        for option in score.options:
            if option.keyword in inner and option.keyword in PASSED:
                yield fault(
                    "PD114",
                    f"`{option.keyword}` is given twice, to the score and to `{score.name}`",
                    option.span,
                    "given again here",
                    labels=[(inner[option.keyword].span, "first given here")],
                    help="leave one of them out",
                )


def _walked(score: ast.Score, subject: ast.Node) -> Faults:
    """Faults of `by: walks`, which draws edges where `by: units` renames nodes."""
    options = {o.keyword: o for o in score.options}
    if named_option(score.options, "by") != "walks" or not isinstance(subject, ast.Score):
        return
    inner = {o.keyword: o for o in subject.options}
    if "over" in options:
        yield fault(
            "PD129",
            "`over:` names nodes to rename, and random walks draw edges",
            options["over"].span,
            "belongs to `by: units`",
            labels=[(options["by"].span, "by walks")],
            help="leave `over:` out",
        )
    controls = SCORES[subject.name].controls
    if controls == "units":
        yield fault(
            "PD129",
            f"`{subject.name}` knocks out units of P, and a union of random walks has other ones",
            options["by"].span,
            "not for this score",
            labels=[(subject.name_span, "the score")],
            help="leave `by: walks` out",
        )
    if controls == "edge":
        edges = named_option(subject.options, "per") == "edge"
        wrong = inner.get("knockouts") or inner.get("over") or (None if edges else subject)
        if wrong is not None:
            yield fault(
                "PD129",
                f"random walks are compared with `{subject.name}(P, per: edge)` alone",
                wrong.span,
                "each listed edge of P, without knockouts",
                labels=[(options["by"].span, "by walks")],
                help=f"`chance({subject.name}(P, per: edge), by: walks)`",
            )


def needs_treated(
    scope: Scope, run: ast.PlainRun | ast.PathRun, task: ast.TaskDecl | None
) -> Faults:
    """A fault where a run treats paths and neither it nor its task says with what."""
    if task is None or (isinstance(run, ast.PlainRun) and run.which == "reference"):
        return
    if isinstance(run, ast.PathRun) and treated_by(run) is not None:
        return
    yield from _missing_treated(scope, run, task)


def _missing_treated(scope: Scope, node: ast.Node, task: ast.TaskDecl) -> Faults:
    if "treated" in fields_of(scope.program, task):
        return
    yield fault(
        "PD302",
        f"this treats paths, and the task `{task.name.name}` does not say with what",
        node.span,
        "which value do they carry?",
        labels=[(task.name.span, "has no `treated`")],
        help="for example `treated = mean(prompt)` in the task",
        notes=("there is no default, since the treated value changes the verdict",),
    )


def _units(scope: Scope, score: ast.Score) -> Faults:
    options = {o.keyword: o for o in score.options}
    by_edge = named_option(score.options, "per") == "edge"
    if SCORES[score.name].parameter("per") is None or not by_edge:
        return
    over = options.get("over")
    listed_edges = _is_edges(scope, score.subjects[0] if score.subjects else None, frozenset())
    if over is not None:
        listed_edges = _is_edges(scope, over.value, frozenset())
    if not listed_edges:
        yield fault(
            "PD128",
            "`per: edge` needs to know which edges",
            options["per"].span,
            "the path set is no `edges { … }`",
            help="name them: `over: edges { input -> a0.h1; a0.h1 -> logits }`",
        )
    if "given" in options:
        yield fault(
            "PD129",
            "`given:` names nodes, and `per: edge` leaves out edges",
            options["given"].span,
            "belongs to `per: node` or `per: group`",
            labels=[(options["per"].span, "per edge")],
            help="leave `given:` out",
        )


def _is_edges(scope: Scope, path: ast.Node | None, seen: frozenset[str]) -> bool:
    if path is None:
        return False
    path = strip(path)
    if isinstance(path, ast.RandomLike):
        return _is_edges(scope, path.inner, seen)
    if isinstance(path, ast.Name) and path.name in scope.program.paths and path.name not in seen:
        return _is_edges(scope, scope.program.paths[path.name].path, seen | {path.name})
    return isinstance(path, ast.Edges | ast.EdgesFile | ast.RandomEdges)
