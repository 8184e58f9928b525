"""`lint`, `fmt`, `explain CODE` and `check` without typer, whose import takes longer than a file.

A command line is answered here where it is plain: known flags, a known format, names of files. All
others are left to typer, which knows every way to write one and what to say of a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field

from pathdsl.errors import ExitCode
from pathdsl.record import record

__all__ = ["QUICK", "Given", "answered", "read"]


@record
class Given:
    """A plain command line after its verb: names, flags without their dashes, `--format`."""

    names: tuple[str, ...]
    flags: frozenset[str] = field(default_factory=frozenset)
    style: str = ""


def answered(arguments: Sequence[str]) -> ExitCode | None:
    """Run a quick verb and give its exit code; None where the command line is not plain."""
    if not arguments or arguments[0] not in QUICK:
        return None
    verb, *words = arguments
    flags, styled, run = QUICK[verb]
    given = read(words, flags, styled=styled)
    return run(given) if given is not None else None


def read(words: Sequence[str], flags: Sequence[str], *, styled: bool) -> Given | None:
    """The parts of a plain command line; None for any other.

    `flags` are the options without a value that the verb has; `styled`: it has `--format` as well.
    """
    names: list[str] = []
    seen: set[str] = set()
    style = ""
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        if option == "--format" and styled and not style:
            style = value if equals else next(rest, "")
            if not style or style.startswith("-"):
                return None
        elif word == "-q" and "quiet" in flags:
            seen.add("quiet")
        elif word[:2] == "--" and word[2:] in flags:
            seen.add(word[2:])
        elif word == "-" or (word and not word.startswith("-")):
            names.append(word)
        else:
            return None
    if not names:
        return None
    return Given(names=tuple(names), flags=frozenset(seen), style=style)


def _lint(given: Given) -> ExitCode | None:
    from pathdsl.report.formats import taken_by

    style = given.style or "text"
    if style not in [one.name for one in taken_by("lint")]:
        return None
    from pathdsl.cli.linting import lint_files

    return lint_files(
        given.names,
        style,
        allow_outside="allow-outside" in given.flags,
        no_color="no-color" in given.flags,
    )


def _check(given: Given) -> ExitCode | None:
    from pathdsl.report.formats import Settings, taken_by

    style, flags = given.style or "text", given.flags
    if style not in [one.name for one in taken_by("check")]:
        return None
    if not _readable_size():
        return None
    from pathdsl.checking.options import CheckOptions
    from pathdsl.cli.judging import judge_files
    from pathdsl.cli.output import view_of

    allow, locked = "allow-inconclusive" in flags, "locked" in flags
    options = CheckOptions(
        allow_inconclusive=allow,
        both_norms="both-norms" in flags,
        locked=locked,
        allow_outside="allow-outside" in flags,
    )
    view = view_of(
        no_color="no-color" in flags,
        everything="all" in flags,
        quiet="quiet" in flags,
        concise=False,
    )
    settings = Settings(view=view, allow_inconclusive=allow, locked=locked)
    return judge_files(given.names, options, settings, style, store="no-cache" not in flags)


def _readable_size() -> bool:
    """Whether the environment bounds the store by a size, or by nothing."""
    from pathdsl.checking.user_store import most_bytes

    try:
        most_bytes()
    except ValueError:
        return False
    return True


def _fmt(given: Given) -> ExitCode:
    from pathdsl.cli.formatting import format_files

    return format_files(given.names, check="check" in given.flags, diff="diff" in given.flags)


def _explain(given: Given) -> ExitCode | None:
    from pathdsl.cli.output import out, view_of
    from pathdsl.lang.rules import page_of

    page = page_of(given.names[0]) if len(given.names) == 1 else None
    if page is None:
        return None
    from pathdsl.report.text.explain_page import page_text

    out(page_text(page, view_of(no_color="no-color" in given.flags)))
    return ExitCode.AS_EXPECTED


_CHECKS = (
    "all", "allow-inconclusive", "allow-outside", "both-norms", "locked", "no-cache", "no-color",
    "quiet",
)  # fmt: skip
QUICK: dict[str, tuple[tuple[str, ...], bool, Callable[[Given], ExitCode | None]]] = {
    "lint": (("allow-outside", "no-color"), True, _lint),
    "check": (_CHECKS, True, _check),
    "fmt": (("check", "diff"), False, _fmt),
    "explain": (("no-color",), False, _explain),
}
"""By verb: its flags, whether it takes `--format`, and what runs it."""
