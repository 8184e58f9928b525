"""The scores of the language: each `Score` of the syntax tree becomes a quantity.

`faithfulness`, `completeness` and `minimality` have modules of their own. The others:

- `effect(P)` = mean(m(treat(P)) - m(reference)): total, direct and indirect effects, by P.
- `accuracy(RUN, answer: COLUMN)`: the share of prompts whose top token is an answer.
- `overlap(P, Q)`: units in both by units in either (`united`, Jaccard), in the first, in the second
  or in the smaller (the overlap coefficient); Merullo et al. 2023 (arXiv:2310.08744) leave the
  denominator of their 78 % unstated, so it is always named here. `node` counts the units of P and Q
  (every node on a path where one of them names none), `edge` the edges on a path.
- `cpr`, `cmd`: areas over the sizes of a ranked circuit (`areas`).
- `paths(P)`: the number of (node, slot) sequences.
- `chance(SCORE(P), among: N)`: p = (1 + #)/(N + 1), # the number of random controls whose score is
  at least as good as P's (Shi et al. 2024 rank against random circuits; the added ones keep a
  p-value off 0: Phipson and Smyth 2010).

A score that reads tokens (`kl`, `agreement`, `accuracy`) reads them at END, or where the metric
named by `metric:` reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pathdsl.draws import Draws
from pathdsl.graph.pathset import PathSet
from pathdsl.lang import ast
from pathdsl.lang.serving import choose_metric, named_option, wants_metric
from pathdsl.lang.signatures import literal, resolve_options
from pathdsl.lang.walk import strip
from pathdsl.plan.readout import Measure
from pathdsl.score.areas import AREAS, area
from pathdsl.score.completeness import completeness
from pathdsl.score.faithfulness import faithfulness
from pathdsl.score.faults import fault
from pathdsl.score.metrics import atom
from pathdsl.score.minimality import minimality
from pathdsl.score.quantity import Constant, RowMetric, RowOp, Scalar, requests
from pathdsl.score.rounds import Steps, gather, ordered
from pathdsl.score.setting import Setting

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
            return (yield from _chance(lowering, score, options, bindings))
    setting = _setting(lowering, score, bindings)
    subject = _path(score, 0)
    if score.name in AREAS:
        return _area(lowering, setting, score, options)
    paths = lowering.resolver.path_set(subject, bindings)
    match score.name:
        case "faithfulness":
            answer = options["answer"]
            return faithfulness(
                setting,
                paths,
                str(options["as"]),
                by=str(options["by"]),
                among=str(options["among"]) if options["among"] is not None else None,
                answer=str(literal(answer)) if isinstance(answer, ast.Node) else "",
            )
        case "completeness":
            return (yield from completeness(setting, subject, paths, options, score))
        case "minimality":
            return (yield from minimality(setting, subject, paths, options, score))
        case "effect":
            return _effect(setting, paths)
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


def _area(
    lowering: Lowering, setting: Setting, score: ast.Score, options: dict[str, object]
) -> Scalar:
    subject = score.subjects[0]
    if not isinstance(subject, ast.EdgesFile):
        raise fault("PD423", f"`{score.name}` takes a file of edges", subject)
    ranking = lowering.resolver.ranking(subject, signed=options["rank"] == "signed")
    return area(setting, ranking, score.name)


def _effect(setting: Setting, paths: PathSet) -> Scalar:
    treated = setting.rows(setting.treat(paths, f"treat({setting.title})"))
    change = RowOp(op="-", args=(treated, setting.rows(setting.reference())))
    return setting.average(change, f"mean(m(treat({setting.title})) - m(reference))")


def _accuracy(
    lowering: Lowering, score: ast.Score, options: dict[str, object], bindings: Bindings
) -> Scalar:
    setting = _setting(lowering, score, bindings)
    answer = options["answer"]
    column = literal(answer) if isinstance(answer, ast.Node) else answer
    run = score.subjects[0]
    if not isinstance(run, ast.PlainRun | ast.PathRun):
        raise fault("PD423", "`accuracy` takes a run", run)
    spec = lowering.run(run, setting.task, bindings)
    if setting.scope is not None and isinstance(run, ast.PathRun):
        base = lowering.algebra.intersection(spec.treated_paths, setting.scope)
        spec = replace(spec, paths=base)
    top = atom(Measure(kind="top1", column=str(column), position=setting.position))
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


# -------------------------------------------------------------------------------------------------
# Chance
# -------------------------------------------------------------------------------------------------

LARGER_IS_BETTER = {
    "faithfulness": {
        "recovered": 1, "ratio": 1, "gap": -1, "explained": 1, "unexplained": -1, "kl": -1,
        "agreement": 1,
    },
    "completeness": {"gap": -1, "share": -1},
    "minimality": {"gap": 1, "share": 1},
}  # fmt: skip


def _chance(
    lowering: Lowering, score: ast.Score, options: dict[str, object], bindings: Bindings
) -> Steps:
    inner = strip(score.subjects[0]) if score.subjects else score
    if not isinstance(inner, ast.Score) or inner.name in ("chance", "accuracy", "paths", "overlap"):
        raise fault("PD423", "`chance` takes a score of one path set", score)
    written = {o.keyword for o in inner.options}
    passed = tuple(
        o
        for o in score.options
        if o.keyword in ("metric", "task", "scope") and o.keyword not in written
    )
    inner = replace(inner, options=(*inner.options, *passed))
    draws = Draws(int(options["seed"]), "chance")  # type: ignore[call-overload]
    seeds = [draws.below(2**31) for _ in range(int(options["among"]))]  # type: ignore[call-overload]
    over = tuple(o for o in score.options if o.keyword == "over")
    scored = [inner, *(_control(inner, seed, over) for seed in seeds)]
    found = yield from gather([lower_score(lowering, s, bindings) for s in scored])
    yield ordered(requests(node) for node in found)
    evaluator = lowering.evaluator
    values = np.array([evaluator.estimate(node) for node in found])
    goodness = _goodness(inner, values)
    tolerance = evaluator.tolerance(found[0])
    worse = goodness[1:] < goodness[0] - tolerance  # a control without a value counts as good
    return Constant(value=(1 + int((~worse).sum())) / (len(seeds) + 1))


def _control(score: ast.Score, seed: int, over: tuple[ast.Argument, ...]) -> ast.Score:
    """The same score of `random_like(P, seed: …)`."""
    span = score.span
    number = ast.Number(value=float(seed), integer=True, written=str(seed), span=span)
    option = ast.Argument(keyword="seed", value=number, span=span)
    control = ast.RandomLike(inner=_path(score, 0), options=(option, *over), span=span)
    return replace(score, subjects=(control,))


def _goodness(score: ast.Score, values: np.ndarray) -> np.ndarray:
    if score.name == "effect":
        return np.abs(values)
    form = str(resolve_options(score)["as"])
    return values * LARGER_IS_BETTER[score.name][form]
