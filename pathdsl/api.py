"""What `pathdsl.check` returns, and how its options become those of a check.

>>> import pathdsl
>>> result = pathdsl.check("hypotheses/quickstart/induction.circuit")
>>> result["sufficient"].verdict, result.exit_code
(<Verdict.SUPPORTED: 'supported'>, <ExitCode.AS_EXPECTED: 0>)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions, UnknownName, vet_names
from pathdsl.checking.outcome import FileOutcome
from pathdsl.errors import MOST_THREADS, Diagnostic, ExitCode, LanguageError, errors_in
from pathdsl.lang.lint import lint_file
from pathdsl.lang.visible import visible
from pathdsl.near import did_you_mean
from pathdsl.score.results import ClaimResult, QuantityResult

if TYPE_CHECKING:
    import pandas

    from pathdsl.checking.training.series import AtStep, Series, Track
    from pathdsl.report.figures.family import Family
    from pathdsl.score.emerging import EmergenceResult

__all__ = ["Result", "SeriesResult", "check_path", "check_series", "vet_counts", "vet_held"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Result:
    """What a check found out about one file.

    `outcome` is everything there is, with the session, the plans and the prompts. As text
    (`print(result)`) it is the report of `pathdsl check`, in a notebook a table.
    """

    outcome: FileOutcome

    @property
    def path(self) -> str:
        """The file, as it was named."""
        return self.outcome.path

    @property
    def claims(self) -> tuple[ClaimResult, ...]:
        """The claims in the order of the file, each member of a `for` on its own.

        Empty where the file could not be judged.
        """
        judgement = self.outcome.judgement
        return judgement.claims if judgement is not None else ()

    @property
    def quantities(self) -> tuple[QuantityResult, ...]:
        """Every `let` in the order of the file, each member of a `for` on its own."""
        judgement = self.outcome.judgement
        return judgement.quantities if judgement is not None else ()

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Faults and warnings, sorted by place; a fault means that nothing was judged."""
        return self.outcome.diagnostics

    @property
    def replaced(self) -> Mapping[str, str]:
        """What was set in place of what the file says, by name."""
        return self.outcome.replaced

    @property
    def exit_code(self) -> ExitCode:
        """What `pathdsl check` would exit with; 0 when every claim came out as expected."""
        return self.outcome.exit_code

    @property
    def families(self) -> Mapping[str, Family]:
        """The members of each `for` together, by the declared name: of quantities, then claims."""
        from pathdsl.report.figures.family import Family

        noise = self.outcome.noise
        members: dict[str, list[ClaimResult | QuantityResult]] = {}
        results: list[ClaimResult | QuantityResult] = [*self.quantities, *self.claims]
        for one in results:
            if one.member:
                members.setdefault(one.declared, []).append(one)
        return {
            name: Family(name=name, members=tuple(those), noise=noise)
            for name, those in members.items()
        }

    def __getitem__(self, name: str) -> ClaimResult | QuantityResult | Family:
        """The claim or the quantity of that name, `each[a9.h9@END]` for a member of a loop.

        The name of a loop alone, `each`, gives its members together. Raises KeyError with the
        nearest names for any other.
        """
        results: list[ClaimResult | QuantityResult] = [*self.quantities, *self.claims]
        by_name = {**self.families, **{one.name: one for one in results}}
        if name not in by_name:
            hint = did_you_mean(name, by_name)
            raise KeyError(f"no claim or quantity `{name}`; {hint}".rstrip("; "))
        return by_name[name]

    def to_dict(self) -> dict[str, Any]:
        """The object that `pathdsl check --format json` prints, for the schema of version 1."""
        from pathdsl.report.data.result import check_object, file_object

        return check_object([file_object(self.outcome)], self.exit_code)

    def referee(self) -> str:
        """What a referee would ask of the result, with the answers: one screen of text."""
        from pathdsl.report.text.referee import referee

        return referee(self.to_dict(), checked=True).rstrip("\n")

    def to_frame(self, of: Literal["claims", "quantities"] = "claims") -> pandas.DataFrame:
        """A data frame with a row for each claim, or for each quantity.

        Columns are those of `pathdsl.report.data.tables`; what is undefined is missing. Raises
        ImportError where pandas is not installed, ValueError for another `of`.
        """
        from pathdsl.report.data import tables

        if of not in ("claims", "quantities"):
            raise ValueError(f'`to_frame({of!r})`: wanted "claims" or "quantities"')
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "`to_frame` needs pandas: pip install 'pathdsl[frames]'; "
                "`to_dict` has the same numbers without it"
            ) from error
        rows, columns = (
            (tables.claim_rows(self.claims), tables.CLAIM_COLUMNS)
            if of == "claims"
            else (tables.quantity_rows(self.quantities), tables.QUANTITY_COLUMNS)
        )
        frame = pandas.DataFrame(rows, columns=list(columns))
        # Also where a column has no number at all, which would be one of objects.
        kinds: dict[str, Any] = {name: float for name in columns if name in tables.NUMBERS}
        return frame.astype(kinds | {name: "Int64" for name in columns if name in tables.COUNTED})

    def __copy__(self) -> Result:
        """Itself: a result does not change."""
        return self

    def __deepcopy__(self, memo: object) -> Result:
        """Itself: a result does not change, and a copy would copy the model."""
        return self

    def __reduce__(self) -> NoReturn:
        """Raises TypeError: a result holds the model that was run, which is not pickled."""
        raise TypeError(
            "a result holds the model and is not pickled: pickle `result.to_dict()`, or "
            "`result.claims` and `result.quantities`"
        )

    def __str__(self) -> str:
        from pathdsl.report.text.check import report
        from pathdsl.report.text.style import View

        return report(self.outcome, View()).rstrip("\n")

    def __repr__(self) -> str:
        from pathdsl.report.text.check import summary_line
        from pathdsl.report.text.style import View

        return f"<pathdsl result of {self.path!r}: {visible(summary_line(self.outcome, View()))}>"

    def _repr_html_(self) -> str:
        """What notebooks show."""
        from pathdsl.report.page.notebook import notebook

        return notebook(self.outcome)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SeriesResult:
    """What a check found out about one file at each revision of a model.

    `series` is everything there is. As text (`print(result)`) it is the report of
    `pathdsl check --revisions`.
    """

    series: Series

    @property
    def steps(self) -> tuple[AtStep, ...]:
        """The revisions by their training step: `revision.step`, `judged`, `why`, `outcome`."""
        return self.series.steps

    @property
    def claims(self) -> Mapping[str, Track | EmergenceResult]:
        """Claims by name: of `emerges` the one result, of others a result for each step."""
        tracks: dict[str, Track | EmergenceResult] = {one.name: one for one in self.series.claims}
        return tracks | {one.name: one for one in self.series.emergences}

    @property
    def quantities(self) -> Mapping[str, Track]:
        """Every `let` by name: `results` has one for each step, None where it was not judged."""
        return {one.name: one for one in self.series.quantities}

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Faults and warnings of all revisions, each once."""
        return self.series.diagnostics

    @property
    def exit_code(self) -> ExitCode:
        """What `pathdsl check --revisions` would exit with."""
        return self.series.exit_code

    def __getitem__(self, name: str) -> Track | EmergenceResult:
        """The claim or the quantity of that name; KeyError with the nearest names for any other."""
        known = {**self.quantities, **self.claims}
        if name not in known:
            hint = did_you_mean(name, known)
            raise KeyError(f"no claim or quantity `{name}`; {hint}".rstrip("; "))
        return known[name]

    def to_dict(self) -> dict[str, Any]:
        """The object that `pathdsl check --revisions … --format json` prints."""
        from pathdsl.report.text.training import training_object

        return training_object(self.series)

    def __str__(self) -> str:
        from pathdsl.report.text.style import View
        from pathdsl.report.text.training import training_report

        return training_report(self.series, View()).rstrip("\n")

    def __repr__(self) -> str:
        judged = sum(at.judged for at in self.steps)
        where = f"{judged} of {len(self.steps)} revisions judged"
        return f"<pathdsl result of {self.series.path!r} over training: {where}>"


def check_path(path: str, options: CheckOptions, models: Mapping[str, str]) -> Result:
    """Check one file; `models` are replacements as `--model` writes them, by the model's name.

    Raises ValueError for names in the options that the file does not have, LanguageError for a
    replacement that cannot be read.
    """
    options = _vetted([path], options, models)
    try:
        return Result(outcome=check_file(path, options))
    except UnknownName as error:
        raise _unknown(error) from None


def vet_counts(take: int | None, seed: int | None, threads: int | None) -> dict[str, int]:
    """The overrides of every task's data.

    Raises TypeError for what is no whole number, ValueError for less than one row or thread.
    """
    for name, n, what in (
        ("take", take, "row"),
        ("seed", seed, ""),
        ("threads", threads, "thread"),
    ):
        if n is None:
            continue
        if not isinstance(n, int) or isinstance(n, bool):
            raise TypeError(f"`{name}={n!r}`: wanted a whole number")
        if what and n < 1:
            raise ValueError(f"`{name}={n}`: at least one {what} is needed")
        if name == "threads" and n > MOST_THREADS:
            raise ValueError(f"`{name}={n}`: at most {MOST_THREADS:,} threads")
    return {name: n for name, n in (("take", take), ("seed", seed)) if n is not None}


def vet_held(limits: object, store: object) -> None:
    """Raises TypeError for limits and a store that are none, ValueError for a limit below 1."""
    from pathdsl.engine.planner import Limits
    from pathdsl.engine.store.store import Store

    if store is not None and not isinstance(store, Store):
        raise TypeError(f"`store={store!r}`: wanted `pathdsl.open_store()` or `pathdsl.Store(…)`")
    if limits is None:
        return
    if not isinstance(limits, Limits):
        raise TypeError(f"`limits={limits!r}`: wanted `pathdsl.Limits(memory=2 * 10**9)`")
    for name in ("memory", "max_states", "max_copies"):
        n = getattr(limits, name)
        if n is None and name == "memory":
            continue
        if not isinstance(n, int) or isinstance(n, bool):
            raise TypeError(f"`limits`: `{name}={n!r}`: wanted a whole number")
        if n < 1:
            raise ValueError(f"`limits`: `{name}={n}`: at least 1 is needed")


def check_series(
    path: str, revisions: str, options: CheckOptions, models: Mapping[str, str]
) -> SeriesResult:
    """Check one file at each revision; `revisions` as `--revisions` writes them.

    Raises ValueError for revisions that cannot be read and for names that the file does not have,
    LanguageError for a file with faults and for `models` that cannot be read, and other
    `PathdslError`s where the model itself cannot be used.
    """
    from pathdsl.checking.training.revisions import read_revisions
    from pathdsl.checking.training.series import judge_series

    if not isinstance(revisions, str):
        raise TypeError(f"`revisions={revisions!r}`: wanted a text, 'step0..step1000:100'")
    options = _vetted([path], options, models)
    program, faults = lint_file(path, None, options.fence)
    if wrong := errors_in(faults):
        raise LanguageError(wrong)
    try:
        varied = read_revisions(revisions, program, options)
    except ValueError as error:
        raise ValueError(f"`revisions={revisions!r}`: {error}") from error
    return SeriesResult(series=judge_series(program, faults, varied, options, options.progress))


def _vetted(paths: list[str], options: CheckOptions, models: Mapping[str, str]) -> CheckOptions:
    """The options with models replaced, as `check_path` says."""
    from pathdsl.engine.load.source import parse_override

    sources = dict(parse_override(f"{name}={where}") for name, where in models.items())
    options = replace(options, models={**options.models, **sources})
    if not isinstance(options.only, str | None):
        raise TypeError(f"`only={options.only!r}`: wanted the name of a claim or quantity")
    try:
        vet_names(paths, options)
    except UnknownName as error:
        raise _unknown(error) from None
    return options


def _unknown(error: UnknownName) -> ValueError:
    if error.option == "models":
        return ValueError(f"`models`: no model `{error.name}`; {error.why}")
    return ValueError(f"`only={error.name!r}`: {error.why}")
