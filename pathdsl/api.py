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
from pathdsl.errors import MOST_THREADS, Diagnostic, ExitCode
from pathdsl.lang.visible import visible
from pathdsl.near import did_you_mean
from pathdsl.score.results import ClaimResult, QuantityResult

if TYPE_CHECKING:
    import pandas

    from pathdsl.report.figures.family import Family

__all__ = ["Result", "check_path", "vet_counts"]


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


def check_path(path: str, options: CheckOptions, models: Mapping[str, str]) -> Result:
    """Check one file; `models` are replacements as `--model` writes them, by the model's name.

    Raises ValueError for names in the options that the file does not have, LanguageError for a
    replacement that cannot be read.
    """
    from pathdsl.engine.load.source import parse_override

    sources = dict(parse_override(f"{name}={where}") for name, where in models.items())
    options = replace(options, models={**options.models, **sources})
    if not isinstance(options.only, str | None):
        raise TypeError(f"`only={options.only!r}`: wanted the name of a claim or quantity")
    try:
        vet_names([path], options)
        return Result(outcome=check_file(path, options))
    except UnknownName as error:
        if error.option == "models":
            raise ValueError(f"`models`: no model `{error.name}`; {error.why}") from None
        raise ValueError(f"`only={error.name!r}`: {error.why}") from None


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
