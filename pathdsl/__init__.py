"""A causal-graph language and hypothesis checker for transformer circuits.

Two functions and a version; everything else is reached through its own module. Nothing heavy is
imported before `check` is called.

    >>> import pathdsl
    >>> file, faults = pathdsl.parse("path p = a9.h9 -> logits")
    >>> len(file.statements), faults
    (1, [])
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathdsl.errors import Diagnostic
    from pathdsl.lang.ast import File
    from pathdsl.score.check import CheckOptions, FileOutcome

__all__ = ["__version__", "check", "parse"]

__version__ = "0.1.0"


def parse(text: str, path: str = "<text>") -> tuple[File, list[Diagnostic]]:
    """The syntax tree of a `.circuit` text and its syntax faults, in the order of the text.

    Statements with a fault are left out of the tree. `path` names the text in spans. Names, units
    and method are not looked at: `pathdsl.lang.lint.lint_file` does that. Never raises.
    """
    from pathdsl.lang.parse import parse as parse_text

    return parse_text(text, path)


def check(path: str, options: CheckOptions | None = None) -> FileOutcome:
    """Check one `.circuit` file: rows, model, runs, self-checks, quantities and verdicts.

    Never raises for faults of the file, its data, the model or the machine: they are in
    `outcome.diagnostics`, and `outcome.exit_code` is what the command line would exit with. Loads
    torch and the model.
    """
    from pathdsl.score.check import CheckOptions, check_file

    return check_file(path, options or CheckOptions())
