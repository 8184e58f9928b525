"""One file judged at each revision of a model, and its claims of `emerges` over all of them.

Each revision is checked by the ordinary pipeline, so that its numbers are those of a check of that
revision alone, to the last bit. Weights are read once and let go before the next are read. What is
kept of a revision are its results, and of claims of `emerges` the values per prompt.

A revision that cannot be judged is a hole: it is told, the others are judged, and no claim of
`emerges` is decided over it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pathdsl.checking.book import open_book
from pathdsl.checking.check import check_program
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.checking.training.revisions import Revision, Varied
from pathdsl.checking.training.shared import OneOfSeries, Shared
from pathdsl.engine.lazy_model import collect
from pathdsl.engine.load.source import shape_of
from pathdsl.errors import Diagnostic, ExitCode, PathdslError, errors_in, overall
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang import ast
from pathdsl.lang.only import is_asked
from pathdsl.lang.program import Program
from pathdsl.lang.syntax.source import SourceFile, sources_of
from pathdsl.score.emerging import EmergenceResult, Kept, emerged
from pathdsl.score.results import ClaimResult, QuantityResult, Verdict
from pathdsl.score.statistics.book import Book

if TYPE_CHECKING:
    from pathdsl.engine.meter import Progress

__all__ = ["AtStep", "Series", "Track", "judge_series"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AtStep:
    """What came of one revision: `outcome` is without its session, `why` says why none is there.

    `shape` is that of the model that is varied, None where no config gives one. Numbers below
    `noise` are rounding.
    """

    revision: Revision
    outcome: FileOutcome
    shape: ModelShape | None
    why: str = ""
    noise: float = 0.0

    @property
    def judged(self) -> bool:
        """Whether there are numbers."""
        return self.outcome.judgement is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One let or ordinary claim over the steps; None where a revision has no such result."""

    name: str
    results: tuple[QuantityResult | ClaimResult | None, ...]

    @property
    def first(self) -> QuantityResult | ClaimResult:
        """The first that is there."""
        return next(one for one in self.results if one is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Everything a report may say about one file over the revisions of one model.

    `diagnostics` are those of all revisions, each once, `where` the steps of those that not every
    revision gives. `prepared` counts how often rows were read and tokenised.
    """

    path: str
    program: Program
    varied: Varied
    steps: tuple[AtStep, ...]
    emergences: tuple[EmergenceResult, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    where: Mapping[Diagnostic, tuple[int, ...]] = field(default_factory=dict)
    allow_inconclusive: bool = False
    prepared: int = 0
    seconds: float = 0.0

    @property
    def quantities(self) -> list[Track]:
        """The lets over the steps."""
        return self._tracks(lambda outcome: outcome.judgement.quantities)  # type: ignore[union-attr]

    @property
    def claims(self) -> list[Track]:
        """The claims that are judged at each step, those of `emerges` left out."""
        later = {claim.name.name for claim in self.program.claims if claim.emerges is not None}
        return self._tracks(
            lambda outcome: [c for c in outcome.judgement.claims if c.declared not in later]  # type: ignore[union-attr]
        )

    def _tracks(
        self, of: Callable[[FileOutcome], Sequence[QuantityResult | ClaimResult]]
    ) -> list[Track]:
        found: list[Mapping[str, QuantityResult | ClaimResult]] = [
            {one.name: one for one in of(at.outcome)} if at.judged else {} for at in self.steps
        ]
        known = dict.fromkeys(name for at in found for name in at)
        return [Track(name=name, results=tuple(at.get(name) for at in found)) for name in known]

    @property
    def alike(self) -> list[tuple[AtStep, ...]]:
        """Revisions that have the same weights, two or more together."""
        by_weights: dict[tuple[tuple[str, str], ...], list[AtStep]] = {}
        for at in self.steps:
            model = at.outcome.models.get(self.varied.model)
            if model is not None and model.weights:
                by_weights.setdefault(tuple(sorted(model.weights.items())), []).append(at)
        return [tuple(some) for some in by_weights.values() if len(some) > 1]

    @property
    def misshapen(self) -> list[AtStep]:
        """Revisions of another shape than most have: no checkpoints of the same training."""
        known = [at.shape for at in self.steps if at.shape is not None]
        usual = max(known, key=known.count, default=None)
        return [at for at in self.steps if at.shape not in (None, usual)]

    @property
    def sources(self) -> dict[str, SourceFile]:
        """The texts that the diagnostics point into."""
        return sources_of(self.diagnostics, self.program.sources)

    @property
    def noise(self) -> float:
        """Numbers below it are rounding."""
        return max((at.noise for at in self.steps), default=0.0)

    @property
    def exit_code(self) -> ExitCode:
        """0 where every claim came out as expected, at every step and of `emerges` once.

        1 where one did not, and the code of the revision that could not be judged where there is
        one.
        """
        codes = [at.outcome.exit_code for at in self.steps if not at.judged]
        results = [one for track in self.claims for one in track.results if one is not None]
        for verdict, as_expected in (
            *((one.verdict, one.as_expected) for one in results if isinstance(one, ClaimResult)),
            *((one.verdict, one.as_expected) for one in self.emergences),
        ):
            excused = self.allow_inconclusive and verdict is Verdict.INCONCLUSIVE
            good = as_expected or excused
            codes.append(ExitCode.AS_EXPECTED if good else ExitCode.NOT_AS_EXPECTED)
        if not codes and self.quantities:
            codes.append(ExitCode.AS_EXPECTED)
        return overall(codes)


def judge_series(
    program: Program,
    faults: Sequence[Diagnostic],
    varied: Varied,
    options: CheckOptions,
    progress: Progress | None = None,
) -> Series:
    """A program without errors, with its warnings, judged at each revision.

    Nothing is raised for what the pipeline reports.
    """
    started = time.monotonic()
    told = progress or (lambda what, done, total: None)
    shared = Shared()
    book = options.book or open_book(program.path, options.store)
    steps: list[AtStep] = []
    kept: list[Kept | str] = []
    for i, revision in enumerate(varied.revisions):
        told(revision.name, i, len(varied.revisions))
        at, values = _judged(program, list(faults), varied.model, revision, options, shared, book)
        steps.append(at)
        kept.append(values if at.judged else at.why)
    emergences = [
        result
        for decl in program.claims
        if decl.emerges is not None and _is_asked(options.only, decl)
        for result in emerged(decl, varied.steps, kept)
        if is_asked(options.only, decl.name.name, result.member)
    ]
    diagnostics, where = _together(steps)
    return Series(
        path=program.path,
        program=program,
        varied=varied,
        steps=tuple(steps),
        emergences=tuple(emergences),
        diagnostics=diagnostics,
        where=where,
        allow_inconclusive=options.allow_inconclusive,
        prepared=shared.made,
        seconds=time.monotonic() - started,
    )


def _is_asked(only: str | None, decl: ast.ClaimDecl) -> bool:
    return only is None or only.partition("[")[0].strip() == decl.name.name


def _judged(
    program: Program,
    faults: list[Diagnostic],
    model: str,
    revision: Revision,
    options: CheckOptions,
    shared: Shared,
    book: Book,
) -> tuple[AtStep, Kept]:
    """One revision, whose weights are let go."""
    kept = Kept()
    one = replace(
        options,
        models={**options.models, model: revision.source},
        series=OneOfSeries(shared=shared, kept=kept),
        book=book,
    )
    outcome = check_program(program, faults, one)
    for used in outcome.models.values():
        used.release()
    kept.rest()
    collect()  # modules hold one another in circles
    wrong = errors_in(outcome.diagnostics)
    why = ""
    if outcome.judgement is None:
        why = f"[{wrong[0].code}] {wrong[0].message}" if wrong else "nothing to judge"
    try:
        shape = shape_of(revision.source)
    except PathdslError:  # told by the outcome
        shape = None
    light = replace(outcome, session=None, plans=(), other_plans=())  # a session holds the model
    at = AtStep(revision=revision, outcome=light, shape=shape, why=why, noise=outcome.noise)
    return at, kept


def _together(
    steps: Sequence[AtStep],
) -> tuple[tuple[Diagnostic, ...], dict[Diagnostic, tuple[int, ...]]]:
    """The diagnostics of all revisions, each once, and the steps of those that not all give.

    Those that say the same at one place with other numbers are one, the first.
    """
    first: dict[object, Diagnostic] = {}
    at: dict[object, list[int]] = {}
    for one in steps:
        for found in one.outcome.diagnostics:
            hole = not one.judged and found in errors_in([found])
            key = (found.code, found.span, found.message if hole else "")
            first.setdefault(key, found)
            if one.revision.step not in at.setdefault(key, []):
                at[key].append(one.revision.step)
    where = {first[k]: tuple(s) for k, s in at.items() if len(s) < len(steps)}
    return tuple(first.values()), where
