"""Both path sets scored on the tasks that the files share, and their difference prompt by prompt.

The statements are those that a user would write into a file that has both sets:

    let a_1 = faithfulness(main, task: ioi, metric: LD)
    let b_1 = faithfulness(main_b, task: ioi, metric: LD)
    let difference_1 = a_1 - b_1
    claim alike_1: difference_1 ~= 0 within 5% at 95% confidence

and a check judges them, so intervals are those of docs/semantics.md: of the difference that is
resampled by prompt, and not of two intervals side by side. The claim is a test of equivalence; what
it leaves undecided is neither alike nor apart. A percentage says nothing of logits: there a
difference has no claim beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pathdsl.checking.check import check_program
from pathdsl.checking.diff.joined import Joined
from pathdsl.checking.diff.shared import SharedTask
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.errors import Diagnostic, Severity, errors_in
from pathdsl.lang import ast
from pathdsl.lang.lint import lint_program
from pathdsl.lang.program import Program
from pathdsl.lang.reach import in_order
from pathdsl.lang.serving import model_of
from pathdsl.lang.signatures.kinds import UNITS
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.syntax.parse import parse
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.lang.units import unit_of
from pathdsl.lang.walk import walk
from pathdsl.score.results import ClaimResult, QuantityResult, Verdict

__all__ = ["SCORED", "Scored", "Scores", "score_both"]

CONFIDENCE = "95%"
SOURCE = "<diff>"
"""Where the statements stand that no file has."""
_NAMED = re.compile(r"`(a|b|difference|alike)_\d+`")
SCORED = tuple(
    name
    for name, record in SCORES.items()
    if record.of == "paths"
    and record.treats
    and len(record.by_place) == 1
    and not any(p.required for p in record.parameters if not p.by_place)
)
"""The scores of one path set that need nothing else to be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One score of both path sets on one task by one metric, "" for a score that takes none.

    `difference` is A's minus B's; `alike` says whether it lies near 0, None where a percentage was
    given for a score that has a unit.
    """

    score: str
    task: str
    metric: str
    a: QuantityResult
    b: QuantityResult
    difference: QuantityResult
    alike: ClaimResult | None

    @property
    def said(self) -> str:
        """`alike`, `apart`, `undecided` or `undefined`; "" where it was not asked."""
        if self.alike is None:
            return ""
        return {
            Verdict.SUPPORTED: "alike",
            Verdict.REFUTED: "apart",
            Verdict.INCONCLUSIVE: "undecided",
            Verdict.UNDEFINED: "undefined",
        }[self.alike.verdict]

    @property
    def as_nothing(self) -> bool:
        """Whether A scores what no path at all does, as near as scores count as alike."""
        nothing = SCORES[self.score].forms[0].fixed.none
        near = self.alike.within if self.alike is not None else None
        if nothing is None or self.a.estimate is None or near is None:
            return False
        return abs(self.a.estimate - nothing) <= near


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What came of scoring; `faults` say why there is nothing, where that was a fault."""

    rows: tuple[Scored, ...]
    outcome: FileOutcome

    @property
    def noise(self) -> float:
        """Numbers below it are rounding."""
        return self.outcome.noise

    @property
    def warnings(self) -> dict[str, str]:
        """What the check said of the rows and numbers, each once: text by code."""
        found: dict[str, str] = {}
        for one in self.outcome.diagnostics:
            if one.severity is Severity.WARNING:
                found.setdefault(one.code, _NAMED.sub(_in_words, one.message))
        return found

    @property
    def faults(self) -> list[Diagnostic]:
        """What stopped the check."""
        return errors_in(self.outcome.diagnostics) if self.outcome.judgement is None else []


def _in_words(name: re.Match[str]) -> str:
    """What a reader knows a statement of ours by."""
    words = {"a": "A's score", "b": "B's score"}
    return words.get(name[1], "the difference")


def score_both(
    joined: Joined,
    first: str,
    second: str,
    tasks: Sequence[SharedTask],
    scores: Sequence[str],
    within: str,
    options: CheckOptions,
) -> Scores:
    """Judge both path sets on every task by every metric; faults are in the outcome."""
    asked = list(_asked(tasks, scores))
    other = joined.names[second]
    lets = "".join(_lets(i, one, first, other) for i, one in enumerate(asked))
    units = unit_of(_program(joined.program, tasks, lets))
    claims = "".join(
        f"claim alike_{i}: difference_{i} ~= 0 within {within} at {CONFIDENCE} confidence\n"
        for i in range(len(asked))
        if not within.endswith("%") or UNITS[units.get(f"difference_{i}", "none")].percent
    )
    program = _program(joined.program, tasks, lets + claims)
    outcome = check_program(program, errors_in(lint_program(program)), options)
    if outcome.judgement is None:
        return Scores(rows=(), outcome=outcome)
    found = {one.declared: one for one in outcome.judgement.quantities}
    judged = {one.declared: one for one in outcome.judgement.claims}
    rows = (
        Scored(
            score=score, task=task, metric=metric, a=found[f"a_{i}"], b=found[f"b_{i}"],
            difference=found[f"difference_{i}"], alike=judged.get(f"alike_{i}"),
        )
        for i, (score, task, metric) in enumerate(asked)
    )  # fmt: skip
    return Scores(rows=tuple(rows), outcome=outcome)


def _asked(tasks: Sequence[SharedTask], scores: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Score, task and metric of everything to measure."""
    for task in tasks:
        for score in scores:
            for metric in task.metrics if SCORES[score].forms[0].reads_metric else ("",):
                yield score, task.name, metric


def _lets(i: int, asked: tuple[str, str, str], a: str, b: str) -> str:
    score, task, metric = asked
    by = f", metric: {metric}" if metric else ""
    return (
        f"let a_{i} = {score}({a}, task: {task}{by})\n"
        f"let b_{i} = {score}({b}, task: {task}{by})\n"
        f"let difference_{i} = a_{i} - b_{i}\n"
    )


def _program(joined: Program, shared: Sequence[SharedTask], text: str) -> Program:
    """The program with these statements and only what they need: other tasks cost, too."""
    file, faults = parse(text, SOURCE)
    assert not faults, faults
    declared = {one.name: one.declared for one in shared}
    bases = {
        name: [one.base.name] if one.base is not None and one.base.name in joined.tasks else []
        for name, one in joined.tasks.items()
    }
    needed = frozenset(in_order(bases.__getitem__, declared))
    tasks = {name: declared.get(name, d) for name, d in joined.tasks.items() if name in needed}
    named = {
        one.name for task in tasks.values() for one in walk(task) if isinstance(one, ast.Call)
    } | {metric for one in shared for metric in one.metrics}
    models = {model_of(joined, name) for name in tasks}
    own = file.statements
    return replace(
        joined,
        sources={**joined.sources, SOURCE: SourceFile(SOURCE, text)},
        models={n: m for n, m in joined.models.items() if m in models} or joined.models,
        tasks=tasks,
        metrics={name: one for name, one in joined.metrics.items() if name in named},
        lets={one.name.name: one for one in own if isinstance(one, ast.LetDecl)},
        claims=tuple(one for one in own if isinstance(one, ast.ClaimDecl)),
    )
