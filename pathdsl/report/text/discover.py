"""What `discover` prints: before it runs what it will do, afterwards what it found; and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any

from pathdsl.checking.discovery.found import Areas, Discovery, Forecast, Reached
from pathdsl.discover.acdc import OrderDependence
from pathdsl.discover.certificate import ABSTAIN, IN, OUT
from pathdsl.errors import Diagnostic
from pathdsl.lang.method.claims import ENOUGH_PROMPTS
from pathdsl.report.data.result import diagnostic_object
from pathdsl.report.numbers import many, size_text
from pathdsl.report.text.check import verdicts
from pathdsl.report.text.style import View, fit, paragraph, table
from pathdsl.score.kept.stability import Stability
from pathdsl.score.results import PointResult, QuantityResult

__all__ = ["discovery_object", "discovery_text", "forecast_text", "too_few"]

PUBLISHED = 0.67
"""Mean pairwise Jaccard index of bootstrap circuits of EAP-IG on IOI in GPT-2 small."""
PUBLISHED_IN = "Méloux et al. 2025, arXiv:2510.00845"
VERDICTS = {IN: "in", OUT: "out", ABSTAIN: "abstain"}
"""The words of a certificate."""


def forecast_text(forecast: Forecast, view: View) -> str:
    """What will be done, and at what cost."""
    scoring = f"about {many(round(forecast.scoring), 'plain forward pass', 'plain forward passes')}"
    if forecast.resumed:
        scoring += ", less where they were kept"
    lines = [
        view.heading(f"{forecast.task}: {forecast.units:,} {forecast.kind}, `{forecast.metric}`"),
        f"  rows      {forecast.finding} find, {forecast.judging} judge: {forecast.rule}",
    ]
    if forecast.scoring:
        lines.append(f"  scores    {forecast.method}, {scoring}")
    if forecast.circuits:
        what = many(forecast.circuits, "circuit")
        lines.append(f"  measures  {what} at most, {forecast.measuring:.0f} passes")
    if forecast.goal:
        lines.append(f"  until     {forecast.goal}")
    if not forecast.circuits:
        lines.append(f"  removals  at most {forecast.measuring:,.0f} passes, in three orders")
    if forecast.bounding:
        what = many(forecast.subsets, "random subset")
        lines.append(f"  bound     {what}, at most {forecast.bounding:,.0f} passes")
    if forecast.curves:
        lines.append(
            f"  curves    circuits of all sizes, at most {forecast.curves:.0f} passes over the "
            "rows that judge"
        )
    lines.append(f"  memory    at most {size_text(forecast.memory)} beside the weights")
    written = ", ".join(f"{name} {what}" for name, what in forecast.places.items())
    lines.append(f"  writes    {written}")
    return fit("\n".join(lines), view) + "\n\n"


def discovery_text(found: Discovery, view: View) -> str:
    """What was found."""
    kind = found.forecast.kind
    share = found.edges / found.units
    lines = [view.heading(found.forecast.places["circuit"])]
    lines.append(
        f"  {found.edges:,} of {found.units:,} {kind} ({share:.1%}), {many(found.nodes, 'node')}"
    )
    if found.dangling:
        lines.append(f"  {len(found.dangling)} more were selected and lie on no path: taken out")
    if found.tied:
        lines.append("  equal scores at the border: the names of the edges decided")
    lines += ["", view.heading("Faithfulness"), *_faithfulness(found)]
    if found.goal is not None:
        lines += ["", view.heading(found.goal.text), *_goal(found.goal)]
    if found.reached is False:
        lines.append(
            "  no circuit that was measured reaches the goal: the best of them was written"
        )
    lines += [line for part in _parts(found, view) for line in ("", *part)]
    lines += ["", view.heading("Judged on rows that found nothing of it"), *_judged(found, view)]
    lines += ["", f"wrote {', '.join(found.written)}", f"took {found.seconds:.1f} s"]
    return fit("\n".join(lines), view) + "\n"


def _faithfulness(found: Discovery) -> list[str]:
    finding = f"{found.finding:.3f}" if isfinite(found.finding) else "undefined"
    rows = [["  rows that found it", finding]]
    held = "undefined" if found.held_out is None else f"{found.held_out:.3f}"
    if found.interval is not None:
        held += f"  [{found.interval[0]:.3f}, {found.interval[1]:.3f}]"
    rows.append(["  held-out rows", held])
    return table(rows)


def _goal(goal: Reached) -> list[str]:
    finding, held = (
        "undefined" if one is None else f"{one:.3f}" for one in (goal.finding, goal.held_out)
    )
    return table(
        [["  rows that found it", finding], ["  held-out rows", held + _ends(goal.interval)]]
    )


def _ends(interval: tuple[float, float] | None) -> str:
    return f"  [{interval[0]:.3f}, {interval[1]:.3f}]" if interval is not None else ""


def _parts(found: Discovery, view: View) -> Iterator[list[str]]:
    if found.curve:
        rows = [
            [f"  {one.edges:,}", f"{one.edges / found.units:.2%}", _number(one.value)]
            for one in found.curve
            if one.edges  # before the first path there is nothing to see
        ]
        yield [
            view.heading("Sizes measured on the rows that found it"),
            *table([["  size", "of all", _score(found)], *rows], right=(0, 1, 2)),
        ]
    if found.roles:
        rows = [
            [f"  {head}", role.replace("_", " "), f"attention to {to}", f"{value:.2f}"]
            for head, (role, to, value) in found.roles.items()
        ]
        yield [view.heading("Roles, by attention on the rows that found it"), *table(rows)]
    if found.not_placed:
        yield [paragraph(f"No positions are named: {found.not_placed}.", view, "")]
    if found.stability is not None:
        one = found.stability
        yield [
            view.heading("Stability"),
            *table(
                [
                    ["  mean pairwise Jaccard", f"{one.jaccard:.2f}",
                     f"{many(one.samples, 'bootstrap sample')} of {one.clusters} "
                     f"{'clusters' if one.clusters < one.rows else 'prompts'}"],
                    ["  published, IOI in GPT-2 small", f"{PUBLISHED:.2f}", PUBLISHED_IN],
                    ["  with the circuit itself", f"{one.to_found:.2f}", ""],
                    ["  edges in nine of ten samples", f"{_steady(found)}", f"of {found.edges}"],
                ]
            ),
            *too_few(one, view),
            *_certified(found, view),
        ]  # fmt: skip
    if found.orders is not None:
        yield [view.heading("Order of the removals"), *_orders(found.orders)]
    if found.rivals:
        yield [view.heading("Beside other rules, on held-out rows"), *_rivals(found)]
    if found.areas is not None:
        yield [view.heading("Curves, on held-out rows"), *_areas(found.areas, view)]
    if found.bound is not None:
        yield [view.heading("Outside of it"), paragraph(str(found.bound), view, "  ", "  ")]


def _number(value: float) -> str:
    return f"{value:.3f}" if isfinite(value) else "undefined"


def _score(found: Discovery) -> str:
    return found.goal.score if found.goal is not None else "faithfulness"


def _areas(areas: Areas, view: View) -> list[str]:
    """Sizes by both rankings, then the areas."""
    rows = [["  edges", "of all", "faithfulness, signed", "distance, absolute"]]
    for one, other in zip(areas.signed, areas.absolute, strict=True):
        rows.append(
            [f"  {one.edges:,}", f"{100 * one.share:g}%",
             _measured(one.estimate, one.interval),
             _measured(other.distance, other.distance_interval)]
        )  # fmt: skip
    names = (
        ("CPR", areas.cpr, "area under the faithfulness"),
        ("CMD", areas.cmd, "area under the distance"),
    )
    ends = [[f"  {name}", _measured(one.estimate, one.interval), best] for name, one, best in names]
    told = [paragraph(f"Warning: {_above(one)}", view, "  ", "  ") for one in areas.warnings]
    return [*table(rows, right=(0, 1)), *table(ends), *told]


def _above(warning: Diagnostic) -> str:
    area = warning.message.split(" is ", 1)[1]
    return f"the area of CPR is {area} ({warning.code})"


def _measured(value: float | None, interval: tuple[float, float] | None) -> str:
    return "undefined" if value is None else f"{value:.3f}{_ends(interval)}"


def too_few(stability: Stability, view: View) -> list[str]:
    """A warning where samples of so few rows say little of other rows."""
    if stability.clusters >= ENOUGH_PROMPTS:
        return []
    what = "clusters" if stability.clusters < stability.rows else "prompts"
    said = (
        f"Warning: samples of {stability.clusters} {what} are much alike, and say little of "
        f"others: give {ENOUGH_PROMPTS} or more to the rows that find"
    )
    return [paragraph(said, view, "  ", "  ")]


def _certified(found: Discovery, view: View) -> list[str]:
    one, of = found.certificate, found.stability
    if one is None or of is None:
        return []
    told = one.told(found.chosen, "clusters" if of.clusters < of.rows else "prompts")
    return [paragraph(f"Certificate: {told}", view, "  ", "  ")]


def _steady(found: Discovery) -> int:
    assert found.stability is not None
    return int((found.stability.frequency >= 0.9).sum())


def _rivals(found: Discovery) -> list[str]:
    rows = []
    for one in found.rivals:
        said: str = "equal, and other edges: a rival" if one.rivals else one.verdict
        if one.idle:
            said = "neither keeps anything"
        rows.append(
            [f"  {one.names[1]}", f"{one.sizes[1]} edges", f"Jaccard {one.jaccard:.2f}",
             f"keeps {-one.difference:+.2f} [{-one.high:+.2f}, {-one.low:+.2f}]", said]
        )  # fmt: skip
    return table(rows)


def _orders(orders: OrderDependence) -> list[str]:
    rows = [
        [f"  heads {order}", f"{int(one.chosen.sum()):,} edges", f"KL {one.value:.3g}"]
        for order, one in orders.found.items()
    ]
    least = min(orders.jaccard.values(), default=1.0)
    return [
        *table(rows),
        f"  {orders.common:,} edges in all, {orders.united:,} in any; least Jaccard {least:.2f}",
    ]


def _judged(found: Discovery, view: View) -> list[str]:
    judgement = found.outcome.judgement
    if judgement is None:
        told = [f"  {one.code}: {one.message}" for one in found.outcome.diagnostics[:3]]
        return ["  could not be judged", *told]
    if found.unclaimed:
        return [paragraph(f"Nothing is claimed: {found.unclaimed}.", view, "  ", "  ")]
    rows = [
        [f"  {claim.verdict.value}", claim.name, _estimate(claim)] for claim in judgement.claims
    ]
    return [*table(rows), f"  {verdicts(judgement.claims, view)}"]


def _estimate(claim: Any) -> str:
    text = "" if claim.estimate is None else f"{claim.estimate:.3f}"
    if claim.interval is not None:
        text += f"  [{claim.interval[0]:.3f}, {claim.interval[1]:.3f}]"
    return f"{text}  wanted {claim.relation} {claim.threshold:.4g}"


# ------------------------------------------------------------------------------- JSON


def discovery_object(found: Discovery) -> dict[str, Any]:
    """The same as one object."""
    judgement, forecast = found.outcome.judgement, found.forecast
    stability, orders, certificate = found.stability, found.orders, found.certificate
    return {
        "schema_version": 1,
        "circuit": forecast.places["circuit"],
        "written": list(found.written),
        "task": forecast.task,
        "metric": forecast.metric,
        "method": forecast.method,
        "rows": {
            "finding": forecast.finding, "judging": forecast.judging, "rule": forecast.rule,
        },
        "cost": {
            "scoring": forecast.scoring, "measuring": forecast.measuring,
            "bounding": forecast.bounding, "curves": forecast.curves,
        },
        "size": {
            "wanted": found.wanted, "found": found.edges, "of": found.units,
            "kind": forecast.kind, "nodes": found.nodes, "dangling": list(found.dangling),
            "tied": found.tied,
        },
        "faithfulness": {
            "finding": found.finding if isfinite(found.finding) else None,
            "held_out": found.held_out,
            "interval": list(found.interval) if found.interval is not None else None,
        },
        "reached": found.reached,
        "goal": None
        if found.goal is None
        else {
            "text": found.goal.text, "finding": found.goal.finding,
            "held_out": found.goal.held_out,
            "interval": list(found.goal.interval) if found.goal.interval is not None else None,
        },
        "curve": [
            {
                "wanted": one.wanted, "edges": one.edges, "score": _score(found),
                "value": one.value if isfinite(one.value) else None,
            }
            for one in found.curve
        ],
        "areas": None if found.areas is None else _areas_object(found.areas),
        "roles": {
            head: {"role": role, "looks_to": to, "attention": value}
            for head, (role, to, value) in found.roles.items()
        },
        "positions": found.placed,
        "stability": None
        if stability is None
        else {
            "jaccard": stability.jaccard,
            "to_found": stability.to_found,
            "samples": stability.samples,
            "published": {"jaccard": PUBLISHED, "source": PUBLISHED_IN},
        },
        "certificate": None
        if certificate is None
        else {
            "samples": certificate.samples, "drawn": certificate.drawn, "of": certificate.units,
            "level": certificate.level, "together": certificate.together,
        },
        "edges": _edge_objects(found),
        "orders": None
        if orders is None
        else {
            "common": orders.common,
            "united": orders.united,
            "jaccard": [
                {"orders": [str(a), str(b)], "jaccard": value}
                for (a, b), value in orders.jaccard.items()
            ],
        },
        "rivals": [
            {
                "rules": list(one.names), "sizes": list(one.sizes), "jaccard": one.jaccard,
                "difference": one.difference, "interval": [one.low, one.high],
                "verdict": one.verdict, "rival": one.rivals, "idle": one.idle,
                "keeps": list(one.keeps),
            }
            for one in found.rivals
        ],
        "bound": None
        if found.bound is None
        else {
            "bound": found.bound.bound, "confidence": found.bound.confidence,
            "units": found.bound.units, "subsets": found.bound.subsets,
            "share": found.bound.share, "curve": [list(one) for one in found.bound.curve],
            "why": found.bound.why,
        },
        "unclaimed": found.unclaimed,
        "claims": [
            {
                "name": claim.name, "verdict": claim.verdict.value,
                "as_expected": claim.as_expected, "estimate": claim.estimate,
                "interval": list(claim.interval) if claim.interval is not None else None,
            }
            for claim in (judgement.claims if judgement is not None else ())
        ],
        "diagnostics": [
            diagnostic_object(one, found.outcome.sources) for one in found.outcome.diagnostics
        ],
        "exit_code": int(found.exit_code),
    }  # fmt: skip


def _areas_object(areas: Areas) -> dict[str, Any]:
    """Both areas with the circuits that they are over."""

    def area(one: QuantityResult) -> dict[str, Any]:
        return {"estimate": one.estimate, "interval": list(one.interval) if one.interval else None}

    def points(some: Sequence[PointResult]) -> list[dict[str, Any]]:
        return [
            {
                "share": one.share, "edges": one.edges, "faithfulness": one.estimate,
                "interval": list(one.interval) if one.interval else None,
                "distance": one.distance,
                "distance_interval": list(one.distance_interval)
                if one.distance_interval
                else None,
            }
            for one in some
        ]  # fmt: skip

    return {
        "cpr": {**area(areas.cpr), "rank": "signed", "points": points(areas.signed)},
        "cmd": {**area(areas.cmd), "rank": "absolute", "points": points(areas.absolute)},
        "warnings": [f"{one.code}: {one.message}" for one in areas.warnings],
    }


def _edge_objects(found: Discovery) -> list[dict[str, Any]]:
    """What resamples say of each edge that is in the circuit or certified in; empty without."""
    stability, one = found.stability, found.certificate
    if stability is None:
        return []
    told = found.chosen if one is None else found.chosen | (one.verdict == IN)
    edges: list[dict[str, Any]] = []
    for n in map(int, told.nonzero()[0]):
        edges.append(
            {
                "edge": found.names[n],
                "in_circuit": bool(found.chosen[n]),
                "frequency": float(stability.frequency[n]),
                "certified": None if one is None else VERDICTS[int(one.verdict[n])],
                "interval": None if one is None else [float(one.low[n]), float(one.high[n])],
                "radius": None if one is None else int(one.radius[n]),
            }
        )
    return edges
