"""Claims of `emerges`: what was lowered at every revision of a series, judged together at the end.

`judge` hands over the quantity of each such claim, revision by revision (`Kept.take`); `emerged`
then puts the intervals of all steps on one level and says where the emergence lies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite

import numpy as np

from pathdsl.lang import ast
from pathdsl.lang.signatures.methods import correction_of
from pathdsl.record import record
from pathdsl.score.claims import Question, rule_of
from pathdsl.score.quantity import is_constant
from pathdsl.score.results import Verdict, _Named
from pathdsl.score.statistics.design import design_of
from pathdsl.score.statistics.emergence import between, decide_step, deviations_of, joint_tail
from pathdsl.score.statistics.ends import Interval
from pathdsl.score.statistics.intervals import SKEWED, USUAL, Bootstrap
from pathdsl.score.statistics.lattice import leaves
from pathdsl.score.statistics.leaves import Leaf
from pathdsl.score.statistics.resamples import mark_of
from pathdsl.score.statistics.verdict import decide

__all__ = ["EmergenceResult", "Kept", "StepResult", "emerged"]

NAMED = 6
"""Steps that a note lists."""
MOST_BYTES = 256_000_000
BYTES_OF_A_LEAF = 40
"""For each resample, while its distribution is kept from the tail of all steps to its ends."""


@record
class StepResult:
    """A condition at one step: `interval` holds together with those of all other steps.

    `verdict` is None where the revision was not judged, or the claim has no such member there;
    `why` says why, or why it has no value.
    """

    step: int
    verdict: Verdict | None
    estimate: float | None
    interval: tuple[float, float] | None
    n: int
    why: str = ""


@record
class EmergenceResult(_Named):
    """One claim of `emerges`, or one member of it.

    `condition` is the claim's condition as relation and threshold, `relation` and `step` what it
    says of the steps. The emergence lies from `lower` to `upper`: `lower` is None where it surely
    never emerges, `upper` where it may not. `estimate` is that of the estimates, None for never.
    `level` is the confidence of a single step's interval, None where estimates decide.
    """

    verdict: Verdict
    expected: Verdict
    as_expected: bool
    relation: str
    step: float
    condition: str
    threshold: float
    lower: int | None
    upper: int | None
    estimate: int | None
    confidence: float | None
    level: float | None
    steps: tuple[StepResult, ...]
    notes: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Posed:
    """A condition at one step, with what judges it."""

    question: Question
    bootstrap: Bootstrap

    @cached_property
    def leaves(self) -> list[Leaf]:
        """What its intervals are made of."""
        node = self.question.node
        if is_constant(node):
            return []
        return [self.bootstrap.leaves.of(part) for part in leaves(self.bootstrap.form(node))]

    def rest(self) -> None:
        """Let go of what would be drawn again as it was."""
        self.__dict__.pop("leaves", None)
        self.bootstrap.forget()
        self.bootstrap.leaves.resamples.release()


Key = tuple[str, str]
"""A claim and its member, "" where it has none."""


@dataclass(slots=True)
class Kept:
    """What was lowered at one revision, by claim and member."""

    posed: dict[Key, _Posed] = field(default_factory=dict)

    def take(self, decl: ast.ClaimDecl, question: Question, bootstrap: Bootstrap) -> None:
        """Keep the question of a claim of `emerges`; others are judged where they are."""
        if decl.emerges is not None:
            self.posed[decl.name.name, question.member] = _Posed(
                question=question, bootstrap=bootstrap
            )

    def rest(self) -> None:
        """Keep nothing but what was measured, until all revisions are there."""
        for one in self.posed.values():
            one.rest()


def emerged(
    decl: ast.ClaimDecl, steps: Sequence[int], kept: Sequence[Kept | str]
) -> list[EmergenceResult]:
    """The results of a claim of `emerges`, all members; in the place of a revision that was not
    judged stands why.

    A correction over m members asks each at 1 - alpha/m, by Bonferroni.
    """
    members: dict[str, None] = {}
    for one in kept:
        if isinstance(one, Kept):
            members |= dict.fromkeys(m for name, m in one.posed if name == decl.name.name)
    alpha = None if decl.confidence is None else 1 - decl.confidence.value
    if alpha is not None and correction_of(decl):
        alpha /= max(len(members), 1)
    return [_emerged(decl, member, steps, kept, alpha) for member in members]


def _emerged(
    decl: ast.ClaimDecl,
    member: str,
    steps: Sequence[int],
    kept: Sequence[Kept | str],
    alpha: float | None,
) -> EmergenceResult:
    emerges = decl.emerges
    assert emerges is not None and isinstance(emerges.step, ast.Number)
    key = decl.name.name, member
    posed = [one.posed.get(key) if isinstance(one, Kept) else None for one in kept]
    whys = [one if isinstance(one, str) else "the claim has no such member there" for one in kept]
    known = [one for one in posed if one is not None]
    tail = None if alpha is None else _tail(known, alpha)
    each = [
        StepResult(step=step, verdict=None, estimate=None, interval=None, n=0, why=why)
        if one is None
        else _at(one, step, tail)
        for step, one, why in zip(steps, posed, whys, strict=True)
    ]
    found = between(steps, [one.verdict or Verdict.INCONCLUSIVE for one in each])
    guessed = between(steps, [_by_estimate(one, at) for one, at in zip(posed, each, strict=True)])
    step = emerges.step.value
    verdict = decide_step(found, emerges.relation, step)
    expected = Verdict(decl.expect)
    first = known[0].question
    return EmergenceResult(
        declared=decl.name.name,
        member=member,
        indices=first.indices,
        over=first.over,
        verdict=verdict,
        expected=expected,
        as_expected=verdict is expected,
        relation=emerges.relation,
        step=step,
        condition=first.relation,
        threshold=first.threshold,
        lower=found.lower,
        upper=found.upper,
        estimate=guessed.lower,
        confidence=decl.confidence.value if decl.confidence is not None else None,
        level=1 - 2 * tail if tail is not None else None,
        steps=tuple(each),
        notes=tuple(_notes(each, step, found.never)),
        text=decl.text,
    )


def _tail(known: Sequence[_Posed], alpha: float) -> float:
    """The tail of every step's ends, at which all hold together."""
    designs = {
        mark_of(design_of(one.question.node, one.bootstrap.evaluator.session.tasks))
        for one in known
        if one.leaves
    }
    count, total = known[0].bootstrap.count, sum(len(one.leaves) for one in known)
    many = total * BYTES_OF_A_LEAF * count > MOST_BYTES

    def deviations() -> Iterator[np.ndarray | None]:
        for one in known:
            yield from map(deviations_of, one.leaves)
            if many:
                one.rest()
            one.bootstrap.leaves.resamples.release()  # each revision has its own

    return joint_tail(deviations(), total, count, alpha, aligned=len(designs) <= 1)


def _at(posed: _Posed, step: int, tail: float | None) -> StepResult:
    """What is known of the condition at one step."""
    question, bootstrap = posed.question, posed.bootstrap
    node, evaluator = question.node, bootstrap.evaluator
    estimate = evaluator.estimate(node)
    level = 1 - 2 * tail if tail is not None else USUAL
    # Few prompts have no interval above 95%, and what may be 0 there may be 0 at 95%.
    why = bootstrap.undefined(node, level) or bootstrap.undefined(node, min(level, 0.95))
    n = design_of(node, evaluator.session.tasks).n
    if why:
        return StepResult(
            step=step, verdict=Verdict.UNDEFINED, estimate=None, interval=None, n=n, why=why
        )
    rule = rule_of(question, evaluator, defined=True)
    if tail is None or is_constant(node):
        ends = estimate, estimate
    else:
        few = min((leaf.units for leaf in posed.leaves if leaf.units is not None), default=SKEWED)
        if few < SKEWED and 1 - 2 * tail > USUAL:
            why = f"{few} prompts, and {SKEWED} are needed for intervals that hold together"
            ends = float("-inf"), float("inf")
        else:
            ends = bootstrap.together(node, tail)
    interval = Interval(low=ends[0], high=ends[1], method="together")
    posed.rest()
    return StepResult(
        step=step,
        verdict=decide(rule, interval),
        estimate=estimate if isfinite(estimate) else None,
        interval=interval.pair() if tail is not None else None,
        n=n,
        why=why,
    )


def _by_estimate(posed: _Posed | None, at: StepResult) -> Verdict:
    """Whether the estimate satisfies the condition; what has none does not."""
    if posed is None or at.estimate is None:
        return Verdict.REFUTED
    rule = rule_of(posed.question, posed.bootstrap.evaluator, defined=True)
    return Verdict.SUPPORTED if rule.satisfied(at.estimate) else Verdict.REFUTED


def _notes(each: Sequence[StepResult], step: float, never: bool) -> Iterator[str]:
    alike: dict[tuple[Verdict | None, str], list[StepResult]] = {}
    for one in each:
        if one.why:  # reasons that differ in numbers are one
            alike.setdefault((one.verdict, re.sub(r"-?\d[\d.e-]*", "0", one.why)), []).append(one)
    for (verdict, _), some in alike.items():
        what = {None: "not judged, so that nothing is known", Verdict.UNDEFINED: "undefined"}.get(
            verdict, "without an interval"
        )
        yield f"{what} at step {_listed([one.step for one in some])}: {some[0].why}"
    steps = [one.step for one in each]
    if step not in steps:
        yield f"{step:.15g} is none of the steps that were judged"
    if never:
        yield f"it does not hold at the last step, {steps[-1]}"
    elif each[0].verdict is Verdict.SUPPORTED and all(
        one.verdict is Verdict.SUPPORTED for one in each
    ):
        yield f"it holds at every step that was judged, and may have before {steps[0]}"


def _listed(steps: Sequence[int]) -> str:
    """The first few of some steps."""
    more = f" and {len(steps) - NAMED} more" if len(steps) > NAMED else ""
    return ", ".join(map(str, steps[:NAMED])) + more
