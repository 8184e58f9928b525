"""`%%circuit`: a hypothesis in the cell of a notebook, checked or linted where it stands.

    %load_ext pathdsl

    %%circuit --only sufficient
    model m = bundled("ioi-mini")
    …

A cell is a file without a name in the folder that the notebook runs in. With a name, `%%circuit
ioi.circuit`, it is written there first, and other cells can `use` it. `%circuit ioi.circuit` reads
a file as it is. What comes back is shown as text or as HTML by whatever shows it.

Source: docs/editor.md, Notebooks.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, NoReturn

from pathdsl.errors import Diagnostic, Severity
from pathdsl.lang.fence import SUFFIX
from pathdsl.lang.render import render
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.lang.visible import visible
from pathdsl.whole import write_whole

if TYPE_CHECKING:
    from pathdsl.api import Result

__all__ = ["CELL", "Linted", "Refused", "circuit", "register"]

CELL = "<cell>"
"""The path of a cell that has no name."""


class Refused(Exception):
    """What is wrong with the line of a magic, as one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Linted:
    """The faults of a cell or file, as `pathdsl lint` finds them."""

    path: str
    faults: tuple[Diagnostic, ...]
    sources: Mapping[str, SourceFile]
    left_out: str

    @property
    def ok(self) -> bool:
        """Whether nothing stops a check."""
        return all(one.severity is not Severity.ERROR for one in self.faults)

    def __repr__(self) -> str:
        text = render(self.faults, self.sources).rstrip("\n") or f"{self.path}: no faults"
        return f"{text}\nnote: {self.left_out}" if self.left_out else text

    def _repr_html_(self) -> str:
        """What notebooks show: every fault with its place and its repair."""
        blocks = []
        for one in self.faults:
            colour = "#cf222e" if one.severity is Severity.ERROR else "#9a6700"
            text = render([one], self.sources).rstrip("\n")
            blocks.append(
                f'<pre style="border-left:3px solid {colour};padding-left:8px;margin:4px 0">'
                f"{escape(text)}</pre>"
            )
        if not blocks:
            blocks.append(f'<p style="color:#1a7f37">{escape(visible(self.path))}: no faults</p>')
        if self.left_out:
            blocks.append(f"<p>{escape(visible(self.left_out))}</p>")
        return "<div>\n" + "\n".join(blocks) + "\n</div>"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused(message)


def _parser() -> _Parser:
    parser = _Parser(prog="%%circuit", add_help=False, allow_abbrev=False)
    parser.add_argument("file", nargs="?")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true")
    what.add_argument("--lint", action="store_true")
    parser.add_argument("--only")
    parser.add_argument("--take", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--text", action="store_true")
    parser.add_argument("--no-cache", action="store_true")
    return parser


def circuit(line: str, cell: str | None = None) -> Result | Linted | str:
    """What a magic returns; `cell` is None for the one of a line. Raises Refused.

    `--lint`: faults alone, without a model · `--check`: verdicts, which is what happens if nothing
    is said · `--only NAME`, `--take N`, `--seed N` as of `pathdsl check` · `--text`: the report as
    text · `--no-cache`: nothing is read from the store.
    """
    try:
        given = _parser().parse_args(shlex.split(line))
    except ValueError as error:  # a quote that is not closed
        raise Refused(str(error)) from error
    path, text = given.file or CELL, cell
    if cell is None and not given.file:
        raise Refused("name a file, `%circuit ioi.circuit`, or write `%%circuit` over a cell")
    if given.file and not given.file.endswith(SUFFIX):
        raise Refused(f"`{given.file}` does not end in `{SUFFIX}`")
    if cell is not None and given.file:
        try:
            write_whole(given.file, cell.encode("utf-8"))
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise Refused(f"`{given.file}` cannot be written: {why}") from error
        text = None
    if given.lint:
        refused = [name for name in ("only", "take", "seed") if getattr(given, name) is not None]
        if refused:
            raise Refused(f"`--{refused[0]}` is of a check: leave out `--lint`")
        return _linted(path, text)
    result = _checked(path, text, given)
    return str(result) if given.text else result


def _linted(path: str, text: str | None) -> Linted:
    from pathdsl.checking.prepare import unchecked, vet_file
    from pathdsl.lang.syntax.source import sources_of

    program, faults = vet_file(path, text)
    return Linted(
        path=path,
        faults=tuple(faults),
        sources=sources_of(faults, program.sources),
        left_out=unchecked(program, faults),
    )


def _checked(path: str, text: str | None, given: argparse.Namespace) -> Result:
    from pathdsl.api import Result, vet_counts
    from pathdsl.checking.check import check_program
    from pathdsl.checking.options import CheckOptions, UnknownName, is_in, judged_names
    from pathdsl.checking.user_store import open_store
    from pathdsl.lang.lint import lint_file
    from pathdsl.near import did_you_mean

    try:
        options = CheckOptions(
            overrides=vet_counts(given.take, given.seed, None),
            only=given.only,
            store=None if given.no_cache else open_store(),
        )
        program, faults = lint_file(path, text)
        if not is_in(given.only, program) and not faults:
            names = judged_names(program)
            hint = did_you_mean(given.only, names) or "there are " + ", ".join(names)
            raise Refused(f"no claim or let is named `{given.only}`; {hint}")
        return Result(outcome=check_program(program, faults, options))
    except UnknownName as error:
        raise Refused(f"`--only {error.name}`: {error.why}") from error
    except ValueError as error:
        raise Refused(str(error)) from error


def register(shell: Any) -> None:
    """Give a shell of IPython the magics `%%circuit` and `%circuit`."""
    from IPython.core.error import UsageError

    def magic(line: str, cell: str | None = None) -> Result | Linted | str | None:
        try:
            result = circuit(line, cell)
        except Refused as why:
            raise UsageError(f"%%circuit: {why}") from None
        if isinstance(result, str):
            print(result)
            return None
        return result

    shell.register_magic_function(magic, magic_kind="line_cell", magic_name="circuit")
