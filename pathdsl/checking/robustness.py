"""Robustness: the same claims judged in every cell of a grid of choices of method.

Each cell is a file of its own and is judged by the ordinary pipeline; what the cells share (the
reference run, the weights) comes from the result store. A *flip* is a verdict other than that of
the file as it is written. The *worst case* of a claim is the cell whose verdict is furthest from
what the claim expects; among equal verdicts, the one whose estimate is furthest on the wrong side.

Source: Miller, Chughtai and Saunders 2024 (arXiv:2407.08734), who advise to report the worst case
over choices of method and not one of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.checking.planned import plan_file
from pathdsl.errors import Diagnostic, ExitCode, PathdslError, errors_in
from pathdsl.lang.only import asked_name
from pathdsl.lang.signatures.relations import RELATIONS
from pathdsl.lang.vary import Cell
from pathdsl.score.results import ClaimResult, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pathdsl.engine.meter import Progress

__all__ = ["ClaimRobustness", "Judged", "Robustness", "forwards_of", "judge_cells"]

_RANKS = {
    Verdict.SUPPORTED: (
        Verdict.SUPPORTED, Verdict.INCONCLUSIVE, Verdict.UNDEFINED, Verdict.REFUTED
    ),
    Verdict.REFUTED: (
        Verdict.REFUTED, Verdict.INCONCLUSIVE, Verdict.UNDEFINED, Verdict.SUPPORTED
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A claim in one cell: its result, or why there is none."""

    cell: Cell
    result: ClaimResult | None = None
    why: str = ""
    applies: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRobustness:
    """One claim (or one member) as written and in every cell, in the order of the grid."""

    name: str
    own: ClaimResult
    cells: tuple[Judged, ...]

    def flipped(self, judged: Judged) -> bool:
        """Whether a cell has another verdict than the file as written."""
        return judged.result is not None and judged.result.verdict is not self.own.verdict

    @property
    def flips(self) -> tuple[Judged, ...]:
        """The cells with another verdict."""
        return tuple(judged for judged in self.cells if self.flipped(judged))

    @property
    def worst(self) -> Judged | None:
        """The cell that speaks most against the claim; None where no cell was judged."""
        judged = [one for one in self.cells if one.result is not None]
        return max(judged, key=lambda one: _badness(one.result), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """All claims of one file over the grid.

    `base` is the check of the file as written, with `claims` empty where it could not be judged.
    `gone` are members that the file as written does not have, by cell. Numbers below `noise` are
    rounding.
    """

    base: FileOutcome
    cells: tuple[Cell, ...]
    claims: tuple[ClaimRobustness, ...] = ()
    gone: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    noise: float = 0.0

    @property
    def exit_code(self) -> ExitCode:
        """0 where no verdict flips, 1 where one does, 2 where there are cells and none was judged.

        That of the file as written where it could not be judged itself.
        """
        if not self.claims:
            code = self.base.exit_code
            return code if code > ExitCode.NOT_AS_EXPECTED else ExitCode.NOTHING_TO_CHECK
        if self.cells and all(claim.worst is None for claim in self.claims):
            return ExitCode.WRONG_INPUT
        flipped = any(claim.flips for claim in self.claims)
        return ExitCode.NOT_AS_EXPECTED if flipped else ExitCode.AS_EXPECTED


def _badness(result: ClaimResult | None) -> tuple[int, float]:
    """Larger is worse for what the claim expects."""
    assert result is not None
    rank = _RANKS[result.expected].index(result.verdict)
    if result.estimate is None:
        return rank, 0.0
    match RELATIONS[result.relation].asks:
        case "above":
            short = result.threshold - result.estimate
        case "below":
            short = result.estimate - result.threshold
        case "around":
            short = abs(result.estimate - result.threshold) - (result.within or 0.0)
    return rank, short if result.expected is Verdict.SUPPORTED else -short


def judge_cells(
    base: Cell,
    cells: Sequence[Cell],
    options: CheckOptions,
    only: str | None = None,
    progress: Progress | None = None,
) -> Robustness:
    """The claims of `base` judged as written and in every cell; faults of a cell are its reasons.

    `only` is a claim or one member of it. Nothing is raised for what the pipeline reports.
    """
    told = progress or (lambda what, done, total: None)
    told("as written", 0, len(cells) + 1)
    own = check_file(base.path, options, base.text)
    if own.judgement is None:
        return Robustness(base=_light(own), cells=tuple(cells))
    known = {
        result.name: result
        for result in own.judgement.claims
        if only is None or _asked(result, only)
    }
    rows: dict[str, list[Judged]] = {name: [] for name in known}
    gone: dict[str, tuple[str, ...]] = {}
    for i, cell in enumerate(cells, start=1):
        told(cell.name, i, len(cells) + 1)
        results, whys = _judge(cell, options)
        used: set[str] = set()
        for name in known:
            judged = _row(name, cell, results, whys)
            if judged.result is not None:
                used.add(judged.result.name)
            rows[name].append(judged)
        if only is None:
            new = tuple(r.name for r in results if r.name not in used)
            gone |= {cell.name: new} if new else {}
    claims = tuple(
        ClaimRobustness(name=name, own=result, cells=tuple(rows[name]))
        for name, result in known.items()
    )
    return Robustness(
        base=_light(own), cells=tuple(cells), claims=claims, gone=gone, noise=own.noise
    )


def _light(outcome: FileOutcome) -> FileOutcome:
    """An outcome without the session, which holds the model."""
    return replace(outcome, session=None, plans=(), other_plans=())


def _asked(result: ClaimResult, only: str) -> bool:
    return only in (result.name, result.declared)


def _plain(name: str) -> str:
    """A member's name without positions and readings, by which it is known from cell to cell."""
    return re.sub(r"@[\w+\-\[\]]*?(?=[\],} ]|$)|_as_(nodes|edges)\b", "", name)


def _row(name: str, cell: Cell, results: Sequence[ClaimResult], whys: Mapping[str, str]) -> Judged:
    claim = asked_name(name)
    if claim in cell.left_out:
        return Judged(cell=cell, why=cell.left_out[claim], applies=False)
    if claim in whys:
        return Judged(cell=cell, why=whys[claim])
    same = [r for r in results if r.name == name]
    same = same or [r for r in results if _plain(r.name) == _plain(name)]
    if len(same) != 1:
        return Judged(cell=cell, why="the claim has no such member there")
    return Judged(cell=cell, result=same[0])


def _judge(cell: Cell, options: CheckOptions) -> tuple[list[ClaimResult], dict[str, str]]:
    """The results of a cell, and why there are none, by claim.

    A fault of one claim must not hide the others: where the cell fails, each is judged alone.
    """
    if cell.fault or not cell.claims:
        return [], dict.fromkeys(cell.claims, cell.fault)
    outcome = check_file(cell.path, options, cell.text)
    if outcome.judgement is not None:
        return list(outcome.judgement.claims), {}
    if len(cell.claims) == 1:
        return [], {cell.claims[0]: _why(outcome.diagnostics)}
    results: list[ClaimResult] = []
    whys: dict[str, str] = {}
    for claim in cell.claims:
        found, why = _judge(cell.only([claim]), options)
        results += found
        whys |= why
    return results, whys


def _why(diagnostics: Iterable[Diagnostic]) -> str:
    wrong = errors_in(diagnostics)
    return f"[{wrong[0].code}] {wrong[0].message}" if wrong else "it was not judged"


def forwards_of(cell: Cell, options: CheckOptions) -> float | None:
    """The cost of a cell in plain forward passes over its prompts, without weights.

    Searches are counted by their first step. None where the cell cannot be planned.
    """
    if not cell.text:
        return None
    try:
        planned = plan_file(cell.path, options, cell.text)
    except PathdslError:
        return None
    return sum(part.cost.forwards for part in planned.parts) if planned is not None else 0.0
