"""From questions to claim results: intervals, corrections over a family, verdicts and evidence.

The four verdicts and their special cases (docs/semantics.md, Verdicts):

- a denominator whose own interval contains 0 makes a claim *undefined*, never as expected;
- a constant sample below 30 prompts has no interval and is *inconclusive*;
- without `at` the estimate decides and no correction applies;
- what rounding may have moved across the threshold is *inconclusive*, with `at` and without;
- with `expect refuted` only *refuted* is as expected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from pathdsl.lang import ast
from pathdsl.lang.signatures.methods import correction_of
from pathdsl.score.evidence import (
    about_interval,
    about_share,
    finite,
    from_terms,
    members_of,
    no_interval,
    terms_of,
)
from pathdsl.score.places import place_of
from pathdsl.score.prompts import opened, prompt_shares, spread, telling_rows
from pathdsl.score.quantity import Among, Constant, Scalar, inner_first, is_constant, notes_of
from pathdsl.score.remarks import CORRECTED, HELD_BACK, NOT_RESAMPLED
from pathdsl.score.results import ClaimResult, Verdict
from pathdsl.score.split import parts_of
from pathdsl.score.statistics.book import Book, key_of
from pathdsl.score.statistics.design import Design, chosen_what, design_of, searched_rows
from pathdsl.score.statistics.ends import Interval
from pathdsl.score.statistics.evaluate import Evaluator
from pathdsl.score.statistics.intervals import Bootstrap
from pathdsl.score.statistics.rounding import ULPS
from pathdsl.score.statistics.verdict import (
    CORRECTIONS,
    Judged,
    Rule,
    decide,
    in_doubt,
    invert,
    settle,
    smallest,
)  # fmt: skip
from pathdsl.score.unchanged import unchanged_prompts

__all__ = ["Question", "judge_family", "rule_of"]

DEFAULT = 0.95


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """A claim or one `member` of it: a quantity against a number; `within` is D of `~=`.

    `indices` is what each variable of the loop stands for, `over` the function over members it is.
    """

    member: str
    indices: Mapping[str, str]
    over: str
    node: Scalar
    relation: str
    threshold: float
    within: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Posed:
    """A question with what is needed to judge it at any level."""

    question: Question
    rule: Rule
    estimate: float
    undefined: str
    interval: Callable[[float], Interval]

    @property
    def is_p(self) -> bool:
        """Whether the claim is about a p-value itself."""
        return isinstance(self.question.node, Constant) and self.question.node.is_p

    def verdict(self, level: float) -> Verdict:
        if self.undefined:
            return Verdict.UNDEFINED
        return decide(self.rule, self.interval(level))


def judge_family(
    decl: ast.ClaimDecl,
    questions: Sequence[Question],
    bootstrap: Bootstrap,
    splits: Mapping[str, str] = {},
) -> list[ClaimResult]:
    """The results of all members of one claim, corrected over them where the claim says so.

    `splits` names the label by which a task's claims are reported, for tasks that name one.
    """
    confidence = decl.confidence.value if decl.confidence is not None else None
    posed = [_pose(q, bootstrap, confidence) for q in questions]
    p_values: list[float | None] = [None] * len(posed)
    if confidence is None:
        judged = [
            Judged(
                verdict=Verdict.UNDEFINED if p.undefined else _by_estimate(p.rule, p.estimate),
                level=None,
            )
            for p in posed
        ]
    else:
        correction = correction_of(decl)
        if not correction:
            judged = [Judged(verdict=p.verdict(confidence), level=confidence) for p in posed]
        elif all(p.is_p for p in posed):
            judged = _corrected(posed, correction, confidence)
            p_values = [p.estimate if not p.undefined else None for p in posed]
        else:
            by_level = [_p_value(p, bootstrap) for p in posed]
            p_values = list(by_level)
            family = CORRECTIONS[correction].family
            judged = family(by_level, [p.verdict for p in posed], 1 - confidence)
    return [
        _result(decl, p, j, value, bootstrap, confidence, splits)
        for p, j, value in zip(posed, judged, p_values, strict=True)
    ]


def _pose(question: Question, bootstrap: Bootstrap, confidence: float | None) -> _Posed:
    evaluator, node = bootstrap.evaluator, question.node
    undefined = bootstrap.undefined(node, confidence if confidence is not None else DEFAULT)
    return _Posed(
        question=question,
        rule=rule_of(question, evaluator, defined=not undefined),
        estimate=evaluator.estimate(node),
        undefined=undefined,
        interval=lru_cache(maxsize=None)(lambda level: bootstrap.interval(node, level)),
    )


def rule_of(question: Question, evaluator: Evaluator, *, defined: bool) -> Rule:
    """What a question asks of its quantity, which has a value if it is `defined`."""
    error = evaluator.tolerance(question.node) if defined else 0.0
    return Rule(
        relation=question.relation,
        threshold=question.threshold,
        within=question.within or 0.0,
        tolerance=error + ULPS * abs(question.threshold) if defined else 0.0,
        exact=defined and evaluator.allowance(question.node) == 0,
    )


def _by_estimate(rule: Rule, estimate: float) -> Verdict:
    return decide(rule, _point(estimate))


def _point(value: float) -> Interval:
    return Interval(low=value, high=value, method="estimate")


def _p_value(posed: _Posed, bootstrap: Bootstrap) -> float:
    """The member's p-value: the smallest alpha at which its verdict is definite."""
    if posed.undefined:
        return 1.0
    formula = bootstrap.p_values(posed.question.node)
    if formula is None:
        return invert(posed.rule, posed.interval)
    return smallest(posed.rule, posed.estimate, formula)


def _settled_by(
    posed: _Posed, shown: Interval, design: Design, level: float, book: Book
) -> int | None:
    """The rows that would settle a claim, worked out once: see `settle`."""
    asked = posed.rule, posed.estimate, shown, design.n, level

    def made() -> tuple[int]:
        return (settle(*asked, units=design.n_units) or 0,)

    return int(book.numbers(key_of("settle", asked, design.n_units), "rows", made, 1)[0]) or None


def _corrected(posed: Sequence[_Posed], method: str, confidence: float) -> list[Judged]:
    """Claims that p-values are small, which the correction makes larger.

    That a p-value is large is no discovery: such claims are judged as they are.
    """
    p_values = [1.0 if p.undefined else p.estimate for p in posed]
    judged = []
    for p, corrected in zip(posed, CORRECTIONS[method].adjusted(p_values), strict=True):
        small = p.rule.asks == "below" and not p.undefined
        verdict = _by_estimate(p.rule, corrected) if small else p.verdict(confidence)
        judged.append(Judged(verdict=verdict, level=confidence, p=corrected if small else None))
    return judged


def _result(
    decl: ast.ClaimDecl,
    posed: _Posed,
    judged: Judged,
    p_value: float | None,
    bootstrap: Bootstrap,
    confidence: float | None,
    splits: Mapping[str, str],
) -> ClaimResult:
    question, node = posed.question, posed.question.node
    evaluator = bootstrap.evaluator
    design = design_of(node, evaluator.session.tasks)
    shown = None
    if judged.level is not None and not posed.undefined:
        shown = posed.interval(judged.level)
    settle_n = None
    notes = [*question.notes, *notes_of(node)]
    if judged.p is not None:
        notes.append(f"p = {judged.p:.3g} {CORRECTED}")
    if posed.undefined:
        notes.append(f"undefined: {posed.undefined}")
    if is_constant(node) and not posed.undefined:
        notes.append(NOT_RESAMPLED)
    if shown is not None and (why := no_interval(node, shown, bootstrap, judged.level or 0.0)):
        notes.append(why)
    if shown is not None:
        notes += about_interval(node, shown, design.n_units)
        notes += about_share(node, bootstrap, judged.level or DEFAULT)
    if not posed.undefined and (doubt := in_doubt(posed.rule, shown or _point(posed.estimate))):
        notes.append(doubt)
    if design.share < 1:
        searched = searched_rows(node, evaluator.session.tasks)
        if searched:
            notes.append(f"{chosen_what(node)} on {searched} prompts, judged on {design.n}")
    if shown is not None and judged.level and judged.verdict is Verdict.INCONCLUSIVE:
        rows = _settled_by(posed, shown, design, judged.level, bootstrap.leaves.book)
        smooth = not any(isinstance(one, Among) for one in inner_first(node))  # no steps
        settle_n = ceil(rows / design.share) if rows is not None and smooth else None
        if decide(posed.rule, shown) is not Verdict.INCONCLUSIVE:
            notes.append(HELD_BACK)
    expected = Verdict(decl.expect)
    defined = not posed.undefined
    whole = opened(node, evaluator)
    shares = prompt_shares(whole, evaluator) if defined else ()
    return ClaimResult(
        declared=decl.name.name,
        member=question.member,
        at=place_of(decl, question.indices),
        indices=question.indices,
        over=question.over,
        verdict=judged.verdict,
        expected=expected,
        as_expected=judged.verdict is expected,
        estimate=finite(posed.estimate) if defined else None,
        interval=shown.pair() if shown is not None else None,
        relation=question.relation,
        threshold=question.threshold,
        within=question.within,
        confidence=confidence,
        level=judged.level,
        n=design.n,
        rows=design.n_written,
        unchanged=unchanged_prompts(node, evaluator.session.tasks),
        p_value=p_value,
        terms=terms_of(whole, evaluator),
        from_terms=from_terms(whole) if defined else None,
        members=members_of(node, bootstrap, confidence or DEFAULT) if defined else (),
        worst=telling_rows(shares, posed.rule),
        parts=parts_of(node, splits, bootstrap, posed.rule, confidence or DEFAULT),
        prompts=spread(shares, whole, evaluator, posed.rule),
        notes=tuple(notes),
        settle_n=settle_n,
        text=decl.text,
        tasks=tuple(design.keys),
    )
