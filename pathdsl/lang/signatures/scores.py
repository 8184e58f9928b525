"""Scores as records: all that the checker knows of each.

A record is a signature and what the rest asks about a score: what it is of, what it gives, its
unit, whether random controls can be drawn for it. What a score is computed from stands beside its
formula, in the table of `pathdsl.score.scores.lower`. A new score is a record here, a function
there, a name in `grammars/circuit.lark` and a section of docs/scores.md.

Source: docs/scores.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

from pathdsl.lang import ast
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS, HEAD_SLOTS, RULES
from pathdsl.lang.signatures.dissimilarities import DISSIMILARITIES, Dissimilarity
from pathdsl.lang.signatures.kinds import (
    REQUIRED,
    SEED,
    Kind,
    Parameter,
    Signature,
    Unit,
    first,
    table,
    word,
)
from pathdsl.lang.signatures.pvalues import DRAWN, P_VALUES
from pathdsl.lang.signatures.ranges import ANY, NOT_BELOW_0, SHARE, Range, apply, point
from pathdsl.lang.signatures.relations import Asks
from pathdsl.limits import BOOTSTRAP, STEPS
from pathdsl.record import record

__all__ = [
    "DISSIMILARITIES", "MEASURED", "OVER", "RENAMED", "SCORES", "Dissimilarity", "Fixed", "Form",
    "Order", "ScoreRecord", "is_p_value",
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


@record
class Order:
    """For claims that it is below a threshold, or above: what alone makes them say less, or more.

    `wider` and `narrower` path sets, `fewer` and `more` knockouts.
    """

    asks: Asks
    less: Literal["wider", "narrower", "fewer", "more"]
    more: Literal["wider", "narrower", "fewer", "more"]


@record
class ScoreRecord(Signature):
    """What is known of a score.

    `of`: what it takes, path sets, a run, a single node or edge (a `unit`), a file that ranks
    edges, a file of scores `kept` prompt by prompt, or a score. `gives`: an `estimate` over the
    prompts, a `share` of them that has an exact interval, a `count` on the graph or of a file that
    no prompt changes, or a `p-value`. `forms`: the default first. `controls`: which
    random path sets `chance` may compare it with: none, those with other `units`, `walks` as
    well, or a walk that extends P by an `edge`. `searches`: how often a greedy choice of knockouts
    is run. `keeps`: whether a set is kept as a circuit is, and all else treated. `order`: what
    `breaking` knows of claims about it beyond that a wider path set says less; None for no more.
    `reserved`: whether nothing else may have its name; a score that came after version 0.1 leaves
    the name free, and is known by the runs or the option that it is called with.
    """

    parameters: tuple[Parameter, ...]
    of: Literal["paths", "run", "unit", "file", "kept", "score"]
    gives: Literal["estimate", "share", "count", "p-value"]
    forms: tuple[Form, ...]
    controls: Literal["none", "units", "walks", "edge"]
    searches: Literal["never", "once", "for each unit"]
    keeps: bool
    order: Order | None
    reserved: bool

    def form(self, word: str | None) -> Form:
        """The form of that name; the default without a name, or with one that is a fault."""
        return next((form for form in self.forms if form.name == word), self.forms[0])

    @property
    def of_file(self) -> bool:
        """Whether it is of a file as a whole, and of no path set."""
        return self.of in ("file", "kept")

    @property
    def needs_task(self) -> bool:
        """Whether it is measured on the runs of a task; what a score inside needs is its own."""
        return self.gives != "count" and self.of != "score"

    @property
    def eased_by_width(self) -> bool:
        """Whether the set of all paths passes whatever the model does: it keeps what it is of."""
        return self.of == "paths" and self.order is not None

    @property
    def counts(self) -> bool:
        """Whether it is a number of things on the graph, of which a percentage means nothing.

        A score that version 0.1 had is compared with any number, as it was.
        """
        return self.gives == "count" and self.forms[0].range is _not_below_0 and not self.reserved

    @property
    def treats(self) -> bool:
        """Whether it treats path sets itself, with the treated value of its task."""
        return self.needs_task and self.of in ("paths", "unit", "file")


_TASK = Parameter(name="task", kind=Kind.TASK)
_METRIC = Parameter(name="metric", kind=Kind.METRIC)
_COMMON = (
    _METRIC,
    _TASK,
    Parameter(name="scope", kind=Kind.PATHS),
)
_TREATED = Parameter(name="treated", kind=Kind.TREATED)
_TREATING = (*_COMMON, _TREATED)
"""The options of scores that treat path sets themselves."""
_P = first("P", Kind.PATHS)
OVER = Parameter(name="over", kind=Kind.UNITS)
RENAMED = Parameter(name="over", kind=Kind.NODES)
"""Which units a random set has others for."""
_SPLIT = Parameter(name="split", kind=Kind.BOOL, default=True)


def _as(forms: tuple[Form, ...]) -> Parameter:
    """The option that chooses a form."""
    return word("as", tuple(form.name for form in forms), forms[0].name)


# -------------------------------------------------------------------------------------------------
# Ranges
# -------------------------------------------------------------------------------------------------


def _any(metric: Range, given: Given) -> Range:
    return ANY


def _share_of(metric: Range, given: Given) -> Range:
    return SHARE


def _not_below_0(metric: Range, given: Given) -> Range:
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
    if record is None or not record.signed:
        return ANY if record is None else NOT_BELOW_0
    return metric.change if record.exact else ANY


def _chance(metric: Range, given: Given) -> Range:
    """All controls worse is the least that a p-value can be."""
    among, share = given["among"], given["share"]
    if not isinstance(among, int):
        return SHARE
    if not isinstance(share, float | int):
        return Range(1 / (among + 1), 1.0)
    return Range(float(share if given["side"] == "above" else 1 - share) ** among, 1.0)


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


def _share(
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


def _counted(name: str, range: Spans, fixed: Fixed = MEASURED) -> Form:
    """A form that reads no metric."""
    return Form(
        name=name, unit="none", reads_metric=False, better="neither", divides_by="nothing",
        range=range, fixed=fixed,
    )  # fmt: skip


def _all_is(value: float, none: float | None = None) -> Fixed:
    return Fixed(none=none, full=value, same=None)


_FAITHFUL = (
    _share(
        "recovered", "larger", "difference", _any, _all_is(1.0, none=0.0),
        other_side=("{reference} - {treat}", "{reference} - {every}"),
    ),
    _share("ratio", "larger", "value", _by_value, _all_is(1.0)),
    _metric("gap", "smaller", _distance, _all_is(0.0)),
    _share("explained", "larger", "difference", _up_to_1, _all_is(1.0, none=0.0), options=("by",)),
    Form(
        name="unexplained", unit="by", reads_metric=True, better="smaller", divides_by="nothing",
        range=_apart, fixed=_all_is(0.0), options=("by",),
    ),
    Form(
        name="kl", unit="nats", reads_metric=False, better="smaller", divides_by="nothing",
        range=_not_below_0, fixed=_all_is(0.0),
    ),
    Form(
        name="agreement", unit="none", reads_metric=False, better="larger", divides_by="nothing",
        range=_share_of, fixed=_all_is(1.0), options=("among", "answer"),
        together=("among", "answer"),
    ),
    _metric("rms", "smaller", _distance, _all_is(0.0)),
)  # fmt: skip
_COMPLETE = (
    _metric("gap", "smaller", _distance, _all_is(0.0)),
    _share("share", "smaller", "value", _not_below_0, _all_is(0.0)),
)
_MINIMAL = (
    _metric("gap", "larger", _distance, MEASURED),
    _share("share", "larger", "value", _not_below_0, MEASURED),
    _metric("rms", "larger", _distance, MEASURED),
)
_UNMOVED = Fixed(none=0.0, full=None, same=None)
_EFFECT = (
    _metric("mean", "size", _change, _UNMOVED, other_side=("{every} - {keep}",)),
    _metric("rms", "size", _distance, _UNMOVED),
)
_ATTRIBUTED = (
    _metric("mean", "size", _attributed, MEASURED),
    _metric("rms", "size", _not_below_0, MEASURED),
)
_AREAS: tuple[tuple[str, str, Literal["larger", "smaller"], Spans], ...] = (
    ("cpr", "signed", "larger", _any),
    ("cmd", "absolute", "smaller", _not_below_0),
)
_OVERLAP = tuple(
    _counted(name, _share_of, Fixed(none=None, full=None, same=1.0))
    for name in ("united", "of_first", "of_second", "of_smaller")
)

SCORES = table(
    ScoreRecord(
        name="faithfulness",
        parameters=(
            _P,
            *_TREATING,
            _as(_FAITHFUL),
            word("by", tuple(DISSIMILARITIES), "absolute"),
            word("among", ("wrong", "right")),
            Parameter(name="answer", kind=Kind.COLUMN),
        ),
        example="faithfulness(P, as: recovered)",
        of="paths",
        gives="estimate",
        forms=_FAITHFUL,
        controls="walks",
        searches="never",
        keeps=True,
        order=Order(asks="above", less="wider", more="narrower"),
        reserved=True,
    ),
    ScoreRecord(
        name="completeness",
        parameters=(
            _P,
            *_TREATING,
            Parameter(
                name="knockouts",
                kind=Kind.KNOCKOUTS,
                default=REQUIRED,
                choices=("random", "groups", "greedy"),
            ),
            _as(_COMPLETE),
            OVER,
            _SPLIT,
        ),
        example="completeness(P, knockouts: random(100, seed: 0))",
        of="paths",
        gives="estimate",
        forms=_COMPLETE,
        controls="units",
        searches="once",
        keeps=True,
        # The worst of fewer knockouts is no worse.
        order=Order(asks="below", less="fewer", more="more"),
        reserved=True,
    ),
    ScoreRecord(
        name="minimality",
        parameters=(
            _P,
            *_TREATING,
            word("per", ("node", "edge", "group"), "node"),
            Parameter(name="knockouts", kind=Kind.KNOCKOUTS, choices=("groups", "greedy")),
            Parameter(name="given", kind=Kind.GIVEN),
            _as(_MINIMAL),
            OVER,
            _SPLIT,
        ),
        example="minimality(P, per: node)",
        of="paths",
        gives="estimate",
        forms=_MINIMAL,
        controls="edge",
        searches="for each unit",
        keeps=True,
        order=None,
        reserved=True,
    ),
    ScoreRecord(
        name="effect",
        parameters=(_P, *_TREATING, _as(_EFFECT)),
        example="effect(P)",
        of="paths",
        gives="estimate",
        forms=_EFFECT,
        controls="walks",
        searches="never",
        keeps=False,
        order=None,
        reserved=True,
    ),
    ScoreRecord(
        name="attribution",
        parameters=(
            first("UNIT", Kind.UNIT),
            _METRIC,
            _TASK,
            _TREATED,
            word("by", tuple(ATTRIBUTIONS), REQUIRED),
            word("slot", HEAD_SLOTS),
            Parameter(name="steps", kind=Kind.INTEGER, least=1, most=STEPS.most),
            word("rule", RULES),
            _as(_ATTRIBUTED),
        ),
        example="attribution(a9.h9, by: atp_star)",
        of="unit",
        gives="estimate",
        forms=_ATTRIBUTED,
        controls="none",
        searches="never",
        keeps=False,
        order=None,
        reserved=False,
    ),
    ScoreRecord(
        name="accuracy",
        parameters=(
            first("RUN", Kind.RUN),
            *_COMMON,
            Parameter(name="answer", kind=Kind.COLUMN, default=REQUIRED),
        ),
        example="accuracy(reference, answer: io)",
        of="run",
        gives="share",
        forms=(_counted("", _share_of),),
        controls="none",
        searches="never",
        keeps=False,
        order=None,
        reserved=True,
    ),
    ScoreRecord(
        name="broken",
        parameters=(
            first("RUN", Kind.RUN),
            first("BY", Kind.RUN),
            *_COMMON,
            Parameter(name="answer", kind=Kind.COLUMN, default=REQUIRED),
        ),
        example="broken(reference, treat(P), answer: io)",
        of="run",
        gives="share",
        forms=(_counted("", _share_of),),
        controls="none",
        searches="never",
        keeps=False,
        order=None,
        reserved=False,
    ),
    ScoreRecord(
        name="overlap",
        parameters=(
            _P,
            first("Q", Kind.PATHS),
            Parameter(
                name="over", kind=Kind.OVER, default="node", choices=("node", "head", "edge")
            ),
            _as(_OVERLAP),
            _TASK,
        ),
        example="overlap(P, Q, over: node, as: united)",
        of="paths",
        gives="count",
        forms=_OVERLAP,
        controls="none",
        searches="never",
        keeps=False,
        order=None,
        reserved=True,
    ),
    *(
        ScoreRecord(
            name=name,
            parameters=(_P, *_TREATING, word("rank", ("signed", "absolute"), REQUIRED)),
            example=f'{name}(edges("scores.json"), rank: {rank})',
            of="file",
            gives="estimate",
            forms=(_share("", better, "difference", spans, MEASURED),),
            controls="none",
            searches="never",
            keeps=False,
            order=None,
            reserved=True,
        )
        for name, rank, better, spans in _AREAS
    ),
    ScoreRecord(
        name="paths",
        parameters=(_P, _TASK),
        example="paths(P)",
        of="paths",
        gives="count",
        forms=(_counted("", _not_below_0),),
        controls="none",
        searches="never",
        keeps=False,
        order=None,
        reserved=True,
    ),
    ScoreRecord(
        name="size",
        parameters=(_P, word("in", ("node", "edge"), REQUIRED), _TASK),
        example="size(P, in: edge)",
        of="paths",
        gives="count",
        forms=(_counted("", _not_below_0),),
        controls="none",
        searches="never",
        keeps=False,
        order=None,
        reserved=False,
    ),
    ScoreRecord(
        name="stability",
        parameters=(
            _P,
            Parameter(name="size", kind=Kind.COUNT, default=REQUIRED, least=1),
            word("rank", ("absolute", "signed"), "absolute"),
            Parameter(name="draws", kind=Kind.INTEGER, default=1000, least=2, most=BOOTSTRAP.most),
            SEED,
            _TASK,
        ),
        example='stability(edges("found.scores.json"), size: 5%)',
        of="kept",
        gives="count",
        forms=(_counted("", _share_of),),
        controls="none",
        searches="never",
        keeps=False,
        order=None,
        reserved=False,
    ),
    ScoreRecord(
        name="chance",
        parameters=(first("SCORE", Kind.EXPRESSION), *_TREATING, *DRAWN, SEED, RENAMED),
        example="chance(faithfulness(P), among: 100, seed: 0)",
        of="score",
        gives="p-value",
        forms=(_counted("", _chance),),
        controls="none",
        searches="never",
        keeps=False,
        order=None,
        reserved=True,
    ),
)


def is_p_value(side: ast.Node) -> bool:
    """True where one side of a claim is itself a p-value: a test or `chance(…)`."""
    match side:
        case ast.Bracket(inner=inner):
            return is_p_value(inner)
        case ast.Score(name=name):
            return SCORES[name].gives == "p-value"
        case ast.Call(name=name):
            return name in P_VALUES
        case _:
            return False
