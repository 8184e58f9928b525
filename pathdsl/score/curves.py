"""The curve behind an area: the circuits of growing size that `cpr` and `cmd` integrate over.

Each point is a quantity of its own, so that it has an interval over the prompts: the faithfulness
f of the circuit, and its distance abs(1 - f). An area above 1 is no faithfulness: circuits of the
curve do more than the model does, and a ranking by signed score is rewarded for leaving out what
works against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pathdsl.errors import Diagnostic
from pathdsl.lang import ast
from pathdsl.score.evidence import finite
from pathdsl.score.faults import warning
from pathdsl.score.quantity import Scalar, inner_first
from pathdsl.score.results import CurveResult, PointResult
from pathdsl.score.statistics.intervals import Bootstrap

__all__ = ["Curve", "Point", "above_one", "curve_results"]

Named = tuple[ast.LetDecl | ast.ClaimDecl, Scalar]
"""A let or claim, and a quantity that it is made of."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Point:
    """The circuit of the first `count` edges, which are `share` of all."""

    share: float
    count: int
    faithful: Scalar
    distance: Scalar


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """What one area is over: `title` is the file of scores as written, `rank` its order.

    `of_faithfulness`: whether the area is that of f, and not of the distance.
    """

    title: str
    rank: str
    of_faithfulness: bool
    points: tuple[Point, ...]


def curve_results(
    curves: Mapping[Scalar, Curve], named: Sequence[Named], bootstrap: Bootstrap, level: float
) -> tuple[CurveResult, ...]:
    """The points of every curve that is read, areas over the same circuits together."""
    found: dict[tuple[str, str, tuple[Scalar, ...]], tuple[Curve, dict[str, None]]] = {}
    for decl, node in named:
        for one in inner_first(node):
            curve = curves.get(one)
            if curve is not None:
                heights = tuple(point.faithful for point in curve.points)
                _, names = found.setdefault((curve.title, curve.rank, heights), (curve, {}))
                names[decl.name.name] = None
    return tuple(
        CurveResult(
            of=curve.title,
            rank=curve.rank,
            names=tuple(names),
            confidence=level,
            points=tuple(_point(point, bootstrap, level) for point in curve.points),
        )
        for curve, names in found.values()
    )


def _point(point: Point, bootstrap: Bootstrap, level: float) -> PointResult:
    faithful, interval = _measured(point.faithful, bootstrap, level)
    distance, distance_interval = _measured(point.distance, bootstrap, level)
    return PointResult(
        share=point.share, edges=point.count, estimate=faithful, interval=interval,
        distance=distance, distance_interval=distance_interval,
    )  # fmt: skip


def _measured(
    node: Scalar, bootstrap: Bootstrap, level: float
) -> tuple[float | None, tuple[float, float] | None]:
    if bootstrap.undefined(node, level):
        return None, None
    return finite(bootstrap.evaluator.estimate(node)), bootstrap.interval(node, level).pair()


def above_one(
    curves: Mapping[Scalar, Curve], named: Sequence[Named], bootstrap: Bootstrap, level: float
) -> list[Diagnostic]:
    """PD545 for every area of faithfulness that passes 1, where it is first read."""
    told: dict[Scalar, Diagnostic] = {}
    for decl, node in named:
        for one in inner_first(node):
            curve = curves.get(one)
            if curve is None or one in told or not curve.of_faithfulness:
                continue
            area, _ = _measured(one, bootstrap, level)
            if area is None or area <= 1:
                continue
            notes = [
                f"the first {point.count:,} edges ({100 * point.share:g}%) have {height:.3g}"
                for point in curve.points
                if (height := _measured(point.faithful, bootstrap, level)[0]) and height > 1
            ]
            told[one] = warning(
                "PD545",
                f"the area of `{decl.name.name}` is {area:.3g}, above 1: it is no faithfulness",
                decl.name,
                label="circuits of this curve do more than the model",
                notes=tuple(notes),
                help="judge `cmd(…, rank: absolute)` as well, which counts what is above 1 as "
                "distance",
            )
    return list(told.values())
