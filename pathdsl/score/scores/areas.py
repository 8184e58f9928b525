"""CPR and CMD of the MIB benchmark: how faithfulness grows with the size of a ranked circuit.

With f(k) = (F(C_k) - F(E)) / (F(M) - F(E)), C_k the first k of a ranking of all edges and E the
empty circuit:

- `cpr`, the integrated circuit performance ratio: the area under f(k), higher is better;
- `cmd`, the integrated circuit-model distance: the area under abs(1 - f(k)), 0 is best.

Areas are those of the benchmark's code: ten sizes, trapezoids over the share that was asked for
(not the share that lies on a path), not divided by the range. Half of an area is the last segment,
between half of the edges and all.

Source: Mueller et al. 2025 (arXiv:2504.13151), section 3; the sizes, the rounding down of k and the
trapezoids are those of its code, `MIB_circuit_track/evaluation.py`.
"""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

from pathdsl.graph.files.ranking import SIZES
from pathdsl.lang import ast
from pathdsl.score.curves import Curve, Point
from pathdsl.score.faults import fault
from pathdsl.score.quantity import Constant, Op, Scalar, difference
from pathdsl.score.scores.setting import Setting

__all__ = ["SIZES", "cmd", "cpr", "weights"]


def cpr(setting: Setting) -> Scalar:
    """The area under f(k); unitless, 0.999 wide."""
    return _area(setting, of_faithfulness=True)


def cmd(setting: Setting) -> Scalar:
    """The area under abs(1 - f(k)); unitless, 0.999 wide."""
    return _area(setting, of_faithfulness=False)


def _area(setting: Setting, *, of_faithfulness: bool) -> Scalar:
    """A sum over the ten sizes of the faithfulness or of the distance at each.

    The curve that it is over is kept in the setting's context.
    """
    subject = setting.score.subjects[0]
    if not isinstance(subject, ast.EdgesFile):
        raise fault("PD423", f"`{setting.score.name}` takes a file of edges", subject)
    signed = setting.options.word("rank") == "signed"
    ranking = setting.resolver.ranking(subject, signed=signed)
    model, empty = setting.reference(), setting.empty()
    terms: list[Scalar] = []
    points: list[Point] = []
    for size, weight in zip(SIZES, weights(), strict=True):
        count = int(size * len(ranking))
        label = f"keep(first {count:,} of {setting.title})"
        circuit = setting.keep(ranking.first(count), label)
        faithful = setting.quotient((circuit, empty), (model, empty))
        distance = Op(op="abs", args=(difference(Constant(value=1.0), faithful),))
        points.append(Point(share=size, count=count, faithful=faithful, distance=distance))
        height = faithful if of_faithfulness else distance
        terms.append(Op(op="*", args=(Constant(value=weight), height)))
    area = reduce(lambda left, right: Op(op="+", args=(left, right)), terms)
    setting.context.curves[area] = Curve(
        title=setting.title,
        rank=setting.options.word("rank"),
        of_faithfulness=of_faithfulness,
        points=tuple(points),
    )
    return area


def weights() -> tuple[float, ...]:
    """What each size adds to an area per unit of height: half of the segments on its two sides."""
    gaps = [0.0, *(b - a for a, b in pairwise(SIZES)), 0.0]
    return tuple((left + right) / 2 for left, right in pairwise(gaps))
