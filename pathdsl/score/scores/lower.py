"""The scores of the language: each `Score` of the syntax tree becomes a quantity.

`faithfulness`, `completeness` and `minimality` have modules of their own. The others:

- `effect(P)` = mean(m(treat(P)) - m(reference)): total, direct and indirect effects, by P; with
  `as: rms` the root of the mean square.
- `accuracy(RUN, answer: COLUMN)`: the share of prompts whose top token is an answer.
- `overlap(P, Q)`: units in both by units in either (`united`, Jaccard), in the first, in the second
  or in the smaller (the overlap coefficient); Merullo et al. 2023 (arXiv:2310.08744) leave the
  denominator of their 78 % unstated, so it is always named here. `node` counts the units of P and Q
  (every node on a path where one of them names none), `edge` the edges on a path.
- `cpr`, `cmd`: areas over the sizes of a ranked circuit (`areas`).
- `paths(P)`: the number of (node, slot) sequences.
- `chance(SCORE(P), among: N)` has a module of its own as well.

A score that reads tokens (`kl`, `agreement`, `accuracy`) reads them at END, or where the metric
named by `metric:` reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from pathdsl.graph.paths.pathset import PathSet
from pathdsl.lang import ast
from pathdsl.lang.serving import choose_metric, named_option, wants_metric
from pathdsl.lang.signatures.calls import resolve_options
from pathdsl.plan.readout import Measure
from pathdsl.score.faults import fault
from pathdsl.score.metrics import atom
from pathdsl.score.quantity import Constant, RowMetric, RowOp, Scalar
from pathdsl.score.rounds import Steps
from pathdsl.score.scores.areas import AREAS, area
from pathdsl.score.scores.chance import chance
from pathdsl.score.scores.completeness import change, completeness
from pathdsl.score.scores.faithfulness import faithfulness, rms
from pathdsl.score.scores.minimality import minimality
from pathdsl.score.scores.setting import Setting

if TYPE_CHECKING:
    from pathdsl.score.lowering import Bindings, Lowering

__all__ = ["lower_score"]


def lower_score(lowering: Lowering, score: ast.Score, bindings: Bindings) -> Steps:
    """The quantity of a score; yields what searches ask for."""
    options = resolve_options(score)
    match score.name:
        case "paths":
            paths = lowering.resolver.path_set(_path(score, 0), bindings)
            return Constant(value=float(lowering.resolver.count(paths)))
        case "overlap":
            return _overlap(lowering, score, options, bindings)
        case "accuracy":
            return _accuracy(lowering, score, options, bindings)
        case "chance":
            return (yield from chance(lowering, score, options, bindings, lower_score, _extended))
    setting = _setting(lowering, score, bindings)
    subject = _path(score, 0)
    if score.name in AREAS:
        return _area(lowering, setting, score, options)
    paths = lowering.resolver.path_set(subject, bindings)
    match score.name:
        case "faithfulness":
            return faithfulness(
                setting,
                paths,
                str(options["as"]),
                by=str(options["by"]),
                among=str(options["among"]) if options["among"] is not None else None,
                answer=str(options["answer"] or ""),
            )
        case "completeness":
            return (yield from completeness(setting, subject, paths, options, score))
        case "minimality":
            return (yield from minimality(setting, subject, paths, options, score))
        case "effect":
            return _effect(setting, paths, str(options["as"]))
        case _:
            raise fault("PD423", f"`{score.name}` is no score", score)


def _path(score: ast.Score, place: int) -> ast.PathExpr:
    subject = score.subjects[place]
    if isinstance(subject, ast.PlainRun | ast.PathRun | ast.Score):
        raise fault("PD423", f"`{score.name}` takes a path set here", subject)
    return subject


def _title(lowering: Lowering, score: ast.Score, bindings: Bindings) -> str:
    """How the score's path set is written; a control that `chance` drew stands in no source."""
    if not score.subjects:
        return "P"
    subject = score.subjects[0]
    if isinstance(subject, ast.RandomLike) and subject.span == score.span:
        return f"random_like({lowering.text(subject.inner, bindings)}, seed: …)"
    if isinstance(subject, ast.RandomEdges) and subject.span == score.span:
        like = lowering.text(subject.options[0].value, bindings)
        return f"random_edges(like: {like}, by: walks, seed: …)"
    return lowering.text(subject, bindings) or "P"


def _setting(lowering: Lowering, score: ast.Score, bindings: Bindings) -> Setting:
    """Task, metric and scope of a score; PD420 where several metrics could be meant."""
    given = {o.keyword: o.value for o in score.options}
    name: str | None = None
    if wants_metric(score) or "metric" in given:
        choice = choose_metric(lowering.program, score)
        name = choice.name
        if name is None:
            raise fault(
                "PD420",
                "it is not clear which metric is meant",
                score,
                help="name it, `metric: " + (choice.candidates or ("LD",))[0] + "`",
            )
    task = lowering.task(name, named_option(score.options, "task"), score)
    metric = lowering.metric(name, score) if name is not None else None
    scope = given.get("scope")
    return Setting(
        lowering=lowering,
        bindings=bindings,
        task=task,
        metric=metric,
        scope=lowering.resolver.path_set(scope, bindings) if scope is not None else None,  # type: ignore[arg-type]
        mean_of_ratios=lowering.mean_of_ratios(task),
        position=(metric.position if metric is not None and "metric" in given else "") or "END",
        title=_title(lowering, score, bindings),
    )


def _extended(lowering: Lowering, score: ast.Score, seed: int, bindings: Bindings) -> Steps:
    """What leaving out a random edge that a random walk added to P does, as minimality counts."""
    yield from ()  # nothing is searched for
    setting = _setting(lowering, score, bindings)
    listed, edge = lowering.resolver.extended(_path(score, 0), seed, bindings)
    setting = replace(setting, title=f"{setting.title} and a random walk")
    return change(setting, listed, (), (edge,), form=str(resolve_options(score)["as"]))


def _area(
    lowering: Lowering, setting: Setting, score: ast.Score, options: dict[str, object]
) -> Scalar:
    subject = score.subjects[0]
    if not isinstance(subject, ast.EdgesFile):
        raise fault("PD423", f"`{score.name}` takes a file of edges", subject)
    ranking = lowering.resolver.ranking(subject, signed=options["rank"] == "signed")
    return area(setting, ranking, score.name)


def _effect(setting: Setting, paths: PathSet, form: str) -> Scalar:
    treated = setting.rows(setting.treat(paths, f"treat({setting.title})"))
    moved = RowOp(op="-", args=(treated, setting.rows(setting.reference())))
    label = f"m(treat({setting.title})) - m(reference)"
    return rms(setting, moved, label) if form == "rms" else setting.average(moved, f"mean({label})")


def _accuracy(
    lowering: Lowering, score: ast.Score, options: dict[str, object], bindings: Bindings
) -> Scalar:
    setting = _setting(lowering, score, bindings)
    run = score.subjects[0]
    if not isinstance(run, ast.PlainRun | ast.PathRun):
        raise fault("PD423", "`accuracy` takes a run", run)
    spec = lowering.run(run, setting.task, bindings)
    if setting.scope is not None and isinstance(run, ast.PathRun):
        base = lowering.algebra.intersection(spec.treated_paths, setting.scope)
        spec = replace(spec, paths=base)
    top = atom(Measure(kind="top1", column=str(options["answer"]), position=setting.position))
    return setting.average(RowMetric(metric=top, run=spec), f"accuracy({spec.label or spec.kind})")


def _overlap(
    lowering: Lowering, score: ast.Score, options: dict[str, object], bindings: Bindings
) -> Scalar:
    subjects = (_path(score, 0), _path(score, 1))
    first, second = _compared(lowering, subjects, options["over"], bindings)
    below = {
        "united": len(first | second),
        "of_first": len(first),
        "of_second": len(second),
        "of_smaller": min(len(first), len(second)),
    }[str(options["as"])]
    return Constant(value=len(first & second) / below if below else float("nan"))


def _compared(
    lowering: Lowering,
    subjects: tuple[ast.PathExpr, ast.PathExpr],
    over: object,
    bindings: Bindings,
) -> tuple[frozenset[str], frozenset[str]]:
    resolver = lowering.resolver

    def both(
        of: Callable[[ast.PathExpr], frozenset[str]],
    ) -> tuple[frozenset[str], frozenset[str]]:
        return of(subjects[0]), of(subjects[1])

    if isinstance(over, ast.Edges | ast.EdgesFile):
        return both(lambda p: frozenset(e.label for e in resolver.edges(p, bindings, over)))
    first, second = tuple(resolver.path_set(p, bindings) for p in subjects)
    if over == "edge":
        return resolver.edge_set(first, second), resolver.edge_set(second, first)
    nodes = over if isinstance(over, ast.Node) else None
    units = both(lambda p: frozenset(u.label for u in resolver.units(p, bindings, nodes)))
    if nodes is None and not all(units):
        return resolver.node_set(first, second), resolver.node_set(second, first)
    return units
