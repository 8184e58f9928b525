"""What judging returns: quantities and claims with their intervals, verdicts and evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any, Literal

from pathdsl.errors import Diagnostic
from pathdsl.record import record
from pathdsl.score.places import Place

__all__ = [
    "LONGEST_FORMULA", "ClaimResult", "CurveResult", "FromTerms", "Instead", "Judgement",
    "MemberResult", "OtherNorm", "PartResult", "PointResult", "QuantityResult", "Spread",
    "TellingRow", "Term", "Verdict",
]  # fmt: skip


class Verdict(StrEnum):
    """The four outcomes of a claim; docs/semantics.md, Verdicts."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"
    UNDEFINED = "undefined"


@record
class MemberResult:
    """One K of a worst-of-K score, or one unit of minimality with its best K.

    `decided_by` names that best K, `a9.h9 given {a9.h6}`; "" where there was no choice of one.
    """

    name: str
    estimate: float | None
    interval: tuple[float, float] | None
    decided_by: str = ""


@record
class Spread:
    """How a number is distributed over prompts; quartiles interpolate linearly (type 7).

    `n` prompts have a finite value. `negative` counts those below 0 and `satisfied` those that
    satisfy the claim by themselves, None where there is no claim.
    """

    n: int
    least: float
    quartiles: tuple[float, float, float]
    most: float
    negative: int
    satisfied: int | None = None


@record
class _Named:
    """The result of a declaration, or of one `member` of its loop, "" where it has none.

    `at` says where the member stands in the model, None where it is no node or mark.
    `indices` is what each variable of the loop stands for: {"r": "r5", "p": "S2"} of `r5, S2`.
    `over` is the function over members that it is, "" where it is none.
    """

    declared: str
    member: str = ""
    at: Place | None = None
    indices: Mapping[str, str] = field(default_factory=dict)
    over: str = ""

    @property
    def name(self) -> str:
        """`each[a9.h9@END]`, or the declared name alone."""
        return f"{self.declared}[{self.member}]" if self.member else self.declared


@record
class QuantityResult(_Named):
    """One `let`, or one member of it; `estimate` is None where it is undefined.

    `n` is the number of distinct prompts behind it, in `rows` rows, 0 for a quantity that is
    counted and not measured; on `unchanged` of them a treated value is the reference's own.
    `claimed`: whether a claim is about it, or about something that it is a part of.
    """

    unit: str
    estimate: float | None
    interval: tuple[float, float] | None
    n: int
    rows: int = 0
    unchanged: int = 0
    confidence: float = 0.95
    members: tuple[MemberResult, ...] = ()
    notes: tuple[str, ...] = ()
    prompts: Spread | None = None
    claimed: bool = False


@record
class Term:
    """One opened term of a claim, `F(keep(nodes))`; `prompts` are the values that it averages."""

    text: str
    value: float | None
    prompts: Spread | None = None


FromTerms = int | list[Any] | None
"""How an estimate is made of the values of its terms: the number of one of them from 0,
`["number", x]`, or an operation with what it is of, `["/", ["-", 0, 1], ["-", 2, 1]]`. None where
no term enters, or where it would be long."""
LONGEST_FORMULA = 200
"""Operations, terms and numbers that such a formula has at most."""


@record
class TellingRow:
    """A prompt that speaks most against the claim; `value` is its share in the estimate."""

    task: str
    index: int
    row_id: str
    value: float


@record
class OtherNorm:
    """A claim judged in the norm mode that its tasks do not declare.

    `layernorm` is that mode, or `a: recompute, b: frozen` where its tasks differ in it.
    """

    layernorm: str
    verdict: Verdict
    estimate: float | None
    interval: tuple[float, float] | None


@record
class PartResult:
    """A claim's quantity on the rows whose label `field` has one value, without a verdict.

    `n` counts their distinct prompts; `satisfied` says whether the estimate satisfies the claim,
    None where the estimate is undefined.
    """

    field: str
    value: str | int | float | bool
    n: int
    estimate: float | None
    interval: tuple[float, float] | None
    satisfied: bool | None


@record
class Instead:
    """A claim with no path (`none`) or all paths (`full`) in the place of the path set `of`.

    `estimate` is None where it has no value; `satisfied` is None where it was not evaluated, since
    that would have taken more runs. There is no interval: an estimate alone says it.
    """

    paths: Literal["none", "full"]
    of: str
    estimate: float | None
    satisfied: bool | None


@record
class ClaimResult(_Named):
    """One claim, or one member of it.

    `estimate` is compared with `threshold`; where both sides vary it is left minus right and the
    threshold 0. `settle_n` estimates how many prompts would settle an inconclusive claim. `level`
    is the confidence of the interval that decided, larger than `confidence` under a correction.
    `tasks` are those that it reads. `other_norm` is None where it was judged in one norm mode only.
    `prompts` is how the prompts' shares in the estimate are distributed, None where it is counted
    or no smooth function of means. `parts` are its values by label where its tasks are split.
    `n` counts distinct prompts, `rows` the rows that they stand in.
    `unchanged` counts the prompts of `n` on which a treated value is the reference's own.
    `instead`: what it would give for no path and for all paths, for each path set that it is about.
    `from_terms` says how the estimate is made of `terms`.
    """

    verdict: Verdict
    expected: Verdict
    as_expected: bool
    estimate: float | None
    interval: tuple[float, float] | None
    relation: str
    threshold: float
    within: float | None
    confidence: float | None
    level: float | None
    n: int
    rows: int = 0
    p_value: float | None = None
    terms: tuple[Term, ...] = ()
    from_terms: FromTerms = None
    members: tuple[MemberResult, ...] = ()
    worst: tuple[TellingRow, ...] = ()
    notes: tuple[str, ...] = ()
    settle_n: int | None = None
    text: str = ""
    tasks: tuple[str, ...] = ()
    other_norm: OtherNorm | None = None
    prompts: Spread | None = None
    parts: tuple[PartResult, ...] = ()
    unchanged: int = 0
    instead: tuple[Instead, ...] = ()

    @property
    def changes_with_norm(self) -> bool:
        """Whether the other norm mode gives another verdict."""
        return self.other_norm is not None and self.other_norm.verdict is not self.verdict


@record
class PointResult:
    """The circuit of the first `edges` of a ranking, `share` of all.

    `estimate` is its faithfulness, `distance` how far that is from 1; None where undefined.
    """

    share: float
    edges: int
    estimate: float | None
    interval: tuple[float, float] | None
    distance: float | None
    distance_interval: tuple[float, float] | None


@record
class CurveResult:
    """The circuits of growing size behind an area, `of` a file of scores as it is written.

    `names` are the lets and claims that read it; intervals have the level `confidence`.
    """

    of: str
    rank: str
    names: tuple[str, ...]
    confidence: float
    points: tuple[PointResult, ...]


@record
class Judgement:
    """Every quantity and claim of one program, and warnings met on the way.

    `other_norms`: the second norm mode of each task that was judged in both. `curves`: those behind
    areas.
    """

    quantities: tuple[QuantityResult, ...]
    claims: tuple[ClaimResult, ...]
    diagnostics: tuple[Diagnostic, ...] = ()
    other_norms: Mapping[str, str] = field(default_factory=dict)
    curves: tuple[CurveResult, ...] = ()

    @property
    def as_expected(self) -> bool:
        """True when every claim came out as expected."""
        return all(claim.as_expected for claim in self.claims)
