"""Forms of scores: what stands behind `as:`, where it lies, and what it is by construction.

Source: docs/scores.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.lang.signatures.dissimilarities import DISSIMILARITIES
from pathdsl.lang.signatures.kinds import Unit
from pathdsl.lang.signatures.ranges import ANY, NOT_BELOW_0, SHARE, Range, apply, point
from pathdsl.record import record

__all__ = [
    "AREAS", "ATTRIBUTED", "COMPLETE", "EFFECT", "FAITHFUL", "MEASURED", "MINIMAL", "OVERLAP",
    "Fixed", "Form", "chance", "counted", "not_below_0", "share", "share_of",
]  # fmt: skip

Given = Mapping[str, object]
"""The options of a score by name."""
Spans = Callable[[Range, Given], Range]
"""Where a score lies, by where its metric does and by its options."""


@record
class Fixed:
    """What a form is whatever the model does, for some path sets; None where it is measured.

    `none`: P is no path; `full`: all paths, or those of the scope; `same`: P is Q.
    """

    none: float | None
    full: float | None
    same: float | None


MEASURED = Fixed(none=None, full=None, same=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One form of a score: a word after `as:`, or "" for a score that has one form alone.

    `unit` is the metric's, one of its own, or that of what the option `by:` compares.
    `reads_metric`: made of values of a metric, unless `by:` names a divergence. `better` is the
    direction in which P does better than its controls; a `size` does so away from 0.
    `divides_by` says what a quotient has below the line: a `difference` of two values of the
    metric (or a mean distance), or its `value`, which has to have a zero; the order of averaging
    changes quotients. `options` are read by this form and not by every other; options that
    `together` names stand both or not at all. `other_side` is the form measured from the other run
    of a pair, a mean or a quotient of means of its per-prompt terms: `reference` and `every` (all
    paths treated), `treat` (P treated) and `keep` (P kept). () has no such form. `range` is where
    it lies, and `fixed` what it is by construction.
    """

    name: str = ""
    unit: Unit | Literal["metric", "by"]
    reads_metric: bool
    better: Literal["larger", "smaller", "size", "neither"]
    divides_by: Literal["nothing", "difference", "value"]
    range: Spans
    fixed: Fixed
    options: tuple[str, ...] = ()
    together: tuple[str, ...] = ()
    other_side: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.unit == "by" and "by" not in self.options:
            raise ValueError(f"`{self.name}` has the unit of an option that it does not read")


# -------------------------------------------------------------------------------------------------
# Ranges
# -------------------------------------------------------------------------------------------------


def _any(metric: Range, given: Given) -> Range:
    return ANY


def share_of(metric: Range, given: Given) -> Range:
    """Of a share."""
    return SHARE


def not_below_0(metric: Range, given: Given) -> Range:
    """Of a size."""
    return NOT_BELOW_0


def _up_to_1(metric: Range, given: Given) -> Range:
    return Range(-inf, 1.0)


def _by_value(metric: Range, given: Given) -> Range:
    """Two values of the metric, one by the other."""
    return apply("/", metric, metric)


def _distance(metric: Range, given: Given) -> Range:
    return metric.distance


def _change(metric: Range, given: Given) -> Range:
    return metric.change


def _apart(metric: Range, given: Given) -> Range:
    """The mean of what `by:` names."""
    by = DISSIMILARITIES.get(str(given.get("by")))
    if by is None or not by.reads_metric:
        return NOT_BELOW_0
    return metric.distance if by.unit == "metric" else apply("^", metric.distance, point(2.0))


def _attributed(metric: Range, given: Given) -> Range:
    """A slope is not bound by what the metric can be, what is measured is."""
    record = ATTRIBUTIONS.get(str(given.get("by")))
    if record is None:
        return ANY
    if not record.signed:
        return NOT_BELOW_0 if record.effect else SHARE
    return metric.change if record.exact else ANY


def chance(metric: Range, given: Given) -> Range:
    """All controls worse is the least that a p-value can be."""
    among, of = given["among"], given["share"]
    if not isinstance(among, int):
        return SHARE
    if not isinstance(of, float | int):
        return Range(1 / (among + 1), 1.0)
    return Range(float(of if given["side"] == "above" else 1 - of) ** among, 1.0)


# -------------------------------------------------------------------------------------------------
# Forms
# -------------------------------------------------------------------------------------------------


def _metric(
    name: str,
    better: Literal["larger", "smaller", "size"],
    range: Spans,
    fixed: Fixed,
    *,
    other_side: tuple[str, ...] = (),
) -> Form:
    """A form in the metric's unit."""
    return Form(
        name=name, unit="metric", reads_metric=True, better=better, divides_by="nothing",
        range=range, fixed=fixed, other_side=other_side,
    )  # fmt: skip


def share(
    name: str,
    better: Literal["larger", "smaller"],
    divides_by: Literal["difference", "value"],
    range: Spans,
    fixed: Fixed,
    *,
    options: tuple[str, ...] = (),
    other_side: tuple[str, ...] = (),
) -> Form:
    """A form that is a quotient of two values of the metric."""
    return Form(
        name=name, unit="none", reads_metric=True, better=better, divides_by=divides_by,
        range=range, fixed=fixed, options=options, other_side=other_side,
    )  # fmt: skip


def counted(name: str, range: Spans, fixed: Fixed = MEASURED) -> Form:
    """A form that reads no metric."""
    return Form(
        name=name, unit="none", reads_metric=False, better="neither", divides_by="nothing",
        range=range, fixed=fixed,
    )  # fmt: skip


def _all_is(value: float, none: float | None = None) -> Fixed:
    return Fixed(none=none, full=value, same=None)


FAITHFUL = (
    share(
        "recovered", "larger", "difference", _any, _all_is(1.0, none=0.0),
        other_side=("{reference} - {treat}", "{reference} - {every}"),
    ),
    share("ratio", "larger", "value", _by_value, _all_is(1.0)),
    _metric("gap", "smaller", _distance, _all_is(0.0)),
    share("explained", "larger", "difference", _up_to_1, _all_is(1.0, none=0.0), options=("by",)),
    Form(
        name="unexplained", unit="by", reads_metric=True, better="smaller", divides_by="nothing",
        range=_apart, fixed=_all_is(0.0), options=("by",),
    ),
    Form(
        name="kl", unit="nats", reads_metric=False, better="smaller", divides_by="nothing",
        range=not_below_0, fixed=_all_is(0.0),
    ),
    Form(
        name="agreement", unit="none", reads_metric=False, better="larger", divides_by="nothing",
        range=share_of, fixed=_all_is(1.0), options=("among", "answer"),
        together=("among", "answer"),
    ),
    _metric("rms", "smaller", _distance, _all_is(0.0)),
)  # fmt: skip
COMPLETE = (
    _metric("gap", "smaller", _distance, _all_is(0.0)),
    share("share", "smaller", "value", not_below_0, _all_is(0.0)),
)
MINIMAL = (
    _metric("gap", "larger", _distance, MEASURED),
    share("share", "larger", "value", not_below_0, MEASURED),
    _metric("rms", "larger", _distance, MEASURED),
)
_UNMOVED = Fixed(none=0.0, full=None, same=None)
EFFECT = (
    _metric("mean", "size", _change, _UNMOVED, other_side=("{every} - {keep}",)),
    _metric("rms", "size", _distance, _UNMOVED),
)
ATTRIBUTED = (
    _metric("mean", "size", _attributed, MEASURED),
    _metric("rms", "size", not_below_0, MEASURED),
)
AREAS: tuple[tuple[str, str, Literal["larger", "smaller"], Spans], ...] = (
    ("cpr", "signed", "larger", _any),
    ("cmd", "absolute", "smaller", not_below_0),
)
OVERLAP = tuple(
    counted(name, share_of, Fixed(none=None, full=None, same=1.0))
    for name in ("united", "of_first", "of_second", "of_smaller")
)
