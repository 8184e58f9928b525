"""A causal-graph language and hypothesis checker for transformer circuits.

Everything that is public is a name of this package; nothing heavy is imported before it is used.

    >>> import pathdsl
    >>> file, faults = pathdsl.parse("path p = a9.h9 -> logits")
    >>> len(file.statements), faults
    (1, [])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike

    from pathdsl.api import Result, SeriesResult
    from pathdsl.checking.user_store import open_store
    from pathdsl.engine.planner import Limits
    from pathdsl.engine.store.store import Store
    from pathdsl.errors import (
        DataError,
        Diagnostic,
        EngineError,
        ExitCode,
        LanguageError,
        PathdslError,
        PlanError,
        Severity,
        Span,
    )
    from pathdsl.lang.ast import File
    from pathdsl.report.data.result import schema
    from pathdsl.score.results import ClaimResult, QuantityResult, Verdict

__all__ = [
    "ClaimResult",
    "DataError",
    "Diagnostic",
    "EngineError",
    "ExitCode",
    "LanguageError",
    "Limits",
    "PathdslError",
    "PlanError",
    "QuantityResult",
    "Result",
    "SeriesResult",
    "Severity",
    "Span",
    "Store",
    "Verdict",
    "__version__",
    "check",
    "check_revisions",
    "load_ipython_extension",
    "open_store",
    "parse",
    "schema",
]

__version__ = "0.1.0"

_HOMES = {
    "pathdsl.api": ("Result", "SeriesResult"),
    "pathdsl.checking.user_store": ("open_store",),
    "pathdsl.engine.planner": ("Limits",),
    "pathdsl.engine.store.store": ("Store",),
    "pathdsl.errors": (
        "DataError", "Diagnostic", "EngineError", "ExitCode", "LanguageError", "PathdslError",
        "PlanError", "Severity", "Span",
    ),
    "pathdsl.report.data.result": ("schema",),
    "pathdsl.score.results": ("ClaimResult", "QuantityResult", "Verdict"),
}  # fmt: skip
"""Where the public names lie that are imported when they are asked for."""


def __getattr__(name: str) -> Any:
    """A public name of an inner module; AttributeError for any other."""
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'pathdsl' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, also those that are not imported yet."""
    return sorted({*globals(), *__all__})


def parse(text: str, path: str = "<text>") -> tuple[File, list[Diagnostic]]:
    """The syntax tree of a `.circuit` text and its syntax faults, in the order of the text.

    Statements with a fault are left out of the tree. `path` names the text in spans. Names, units
    and method are not looked at: `pathdsl.lang.lint.lint_file` does that. Raises TypeError for what
    is no text; a text raises nothing.
    """
    if not isinstance(text, str):
        raise TypeError(f"`parse` wants a text, not {type(text).__name__}")
    from pathdsl.lang.syntax.parse import parse as parse_text

    return parse_text(text, path)


def check(
    path: str | PathLike[str],
    *,
    take: int | None = None,
    seed: int | None = None,
    only: str | None = None,
    models: Mapping[str, str] | None = None,
    device: str = "cpu",
    threads: int | None = None,
    limits: Limits | None = None,
    allow_inconclusive: bool = False,
    both_norms: bool = False,
    store: Store | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    allow_outside: bool = False,
) -> Result:
    """Check one `.circuit` file: rows, model, runs, self-checks, quantities and verdicts.

    `take` and `seed` replace those of every task's data. `only` judges one claim or quantity.
    `models` replaces models by their name, written as for `--model`: `{"m": "folder:weights"}`.
    `limits` bounds memory, automata and plans. `store` keeps values between checks; None keeps
    nothing. `progress` is called with a text, the number done and the number to do.
    `allow_outside` lets the file name others outside of its own folder and of the working one.
    Loads torch and the model, and sets torch to deterministic algorithms.

    Faults of the file, its data, the model or the machine are in `result.diagnostics`, never
    raised, and `result.exit_code` is what the command line would exit with. Raises ValueError for
    options that name what the file does not have or are out of range, TypeError for options of
    another type, LanguageError for `models` that cannot be read.
    """
    import os

    from pathdsl.api import check_path, vet_counts, vet_held
    from pathdsl.checking.options import CheckOptions

    vet_held(limits, store)
    options = CheckOptions(
        overrides=vet_counts(take, seed, threads),
        only=only,
        device=device,
        allow_inconclusive=allow_inconclusive,
        both_norms=both_norms,
        limits=limits,
        progress=progress,
        threads=threads,
        store=store,
        allow_outside=allow_outside,
    )
    return check_path(os.fspath(path), options, models or {})


def check_revisions(
    path: str | PathLike[str],
    revisions: str,
    *,
    take: int | None = None,
    seed: int | None = None,
    only: str | None = None,
    models: Mapping[str, str] | None = None,
    device: str = "cpu",
    threads: int | None = None,
    limits: Limits | None = None,
    allow_inconclusive: bool = False,
    store: Store | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    allow_outside: bool = False,
) -> SeriesResult:
    """Check one `.circuit` file at each revision of a model, and its claims of `emerges`.

    `revisions` is written as for `--revisions`: `"step0..step143000:1000"`, a list with commas, or
    a pattern of folders. All else is as in `check`, which each revision goes through.

    Raises LanguageError for a file with faults, ValueError for revisions that cannot be read. What
    a single revision lacks is in the result, as a step that is not judged.
    """
    import os

    from pathdsl.api import check_series, vet_counts, vet_held
    from pathdsl.checking.options import CheckOptions

    vet_held(limits, store)
    options = CheckOptions(
        overrides=vet_counts(take, seed, threads),
        only=only,
        device=device,
        allow_inconclusive=allow_inconclusive,
        limits=limits,
        progress=progress,
        threads=threads,
        store=store,
        allow_outside=allow_outside,
    )
    return check_series(os.fspath(path), revisions, options, models or {})


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext pathdsl` calls in a notebook: the magics `%%circuit` and `%circuit`."""
    from pathdsl.editor.magic import register

    register(shell)
