"""A made-up outcome that shows everything a report can show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pathdsl.checking.outcome import FileOutcome
from pathdsl.errors import Diagnostic, ExitCode, Severity, Span
from pathdsl.lang.program import load_program
from pathdsl.plan.taskdata import TaskData
from pathdsl.report.content.claims import ClaimContent
from pathdsl.report.content.file import content_of
from pathdsl.score.places import spelled
from pathdsl.score.results import (
    ClaimResult,
    Judgement,
    MemberResult,
    QuantityResult,
    Spread,
    TellingRow,
    Term,
    Verdict,
)

TEXT = 'circuit ioi "Who gets the drink" {\n  language = 1\n}\nlet ATE = mean(LD(reference))\n'


SPREAD = Spread(
    n=4, least=-0.25, quartiles=(0.125, 0.5, 0.75), most=1.75, negative=1, satisfied=2
)  # fmt: skip


def task() -> TaskData:
    words = ("When", " Mary", " and", " John", " went", " to", " the", " store", ",")
    return TaskData(
        name="ioi", row_ids=("r0", "r1", "r2", "r3"), reference="prompt", prompts={},
        lengths=np.array([9, 9, 9, 9]), answers={}, positions={}, labels={},
        clusters=np.arange(4), tokens=(words,) * 4,
    )  # fmt: skip


def named(name: str) -> dict[str, Any]:
    declared, _, rest = name.partition("[") if name.endswith("]") else (name, "", "")
    member = rest.removesuffix("]")
    return {"declared": declared, "member": member, "at": spelled(member)}


def quantity(name: str, estimate: float | None, half: float = 0.1) -> QuantityResult:
    ends = None if estimate is None else (estimate - half, estimate + half)
    notes = ("undefined: the denominator may be 0",) if estimate is None else ()
    return QuantityResult(
        **named(name), unit="logits", estimate=estimate, interval=ends, n=4, notes=notes
    )


def claim(name: str, verdict: Verdict, expected: Verdict = Verdict.SUPPORTED, **more: object):
    given: dict = {
        "estimate": 0.713, "interval": (0.661, 0.762), "relation": ">=", "threshold": 0.8,
        "within": None, "confidence": 0.95, "level": 0.95, "n": 4,
        "terms": (Term(text="F(keep(nodes))", value=2.51), Term(text="F(reference)", value=3.52)),
    }  # fmt: skip
    return ClaimResult(
        **named(name), verdict=verdict, expected=expected, as_expected=verdict is expected,
        **(given | more),
    )  # fmt: skip


def content(one: ClaimResult) -> ClaimContent:
    """What reports say of a claim."""
    judged = replace(outcome(), judgement=Judgement(quantities=(), claims=(one,)))
    return content_of(judged).claims[0]


def outcome() -> FileOutcome:
    program, _ = load_program("ioi.circuit", TEXT)
    members = tuple(
        MemberResult(name=f"{{a{i}.h0@END}}", estimate=i / 10, interval=_around(i / 10))
        for i in range(6)
    )  # fmt: skip
    rows = tuple(TellingRow(task="ioi", index=i, row_id=f"r{i}", value=0.1 * i) for i in range(4))
    claims = (
        claim("sufficient", Verdict.SUPPORTED, estimate=0.932, interval=(0.91, 0.951)),
        claim("control", Verdict.REFUTED, Verdict.REFUTED, estimate=0.05, interval=(0.02, 0.09)),
        claim("complete", Verdict.REFUTED, relation="<=", threshold=0.3, estimate=0.5,
              interval=(0.4, 0.6), members=members, worst=rows, prompts=SPREAD),
        claim("each[a9.h9@END]", Verdict.INCONCLUSIVE, interval=(0.661, 0.842), level=0.975,
              p_value=0.0312, settle_n=1234),
        claim("ratio", Verdict.UNDEFINED, estimate=None, interval=None, terms=(), text="why not",
              notes=("undefined: the interval of the denominator contains 0",)),
    )  # fmt: skip
    sweep = [quantity(f"direct[a{i}.h0]", (-1.0) ** i * (20 - i)) for i in range(20)]
    return FileOutcome(
        path="ioi.circuit",
        program=program,
        diagnostics=(
            Diagnostic(
                code="PD431", message="`ratio` is undefined", severity=Severity.WARNING,
                span=Span(path="ioi.circuit", start=55, end=58),
            ),
        ),
        exit_code=ExitCode.NOT_AS_EXPECTED,
        judgement=Judgement(
            quantities=(quantity("ATE", 3.48, 0.17), quantity("odd", None), *sweep), claims=claims
        ),
        methodology={"model": 'bundled("mini")', "dtype": "float32", "reading": "word " * 30},
        tasks={"ioi": task()},
    )  # fmt: skip


def _around(value: float) -> tuple[float, float]:
    return value - 0.01, value + 0.01
