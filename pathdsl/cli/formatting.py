"""What `pathdsl fmt` does: the canonical form of files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pathdsl.cli.complaints import complain
from pathdsl.cli.files import expand, no_files, read_text
from pathdsl.cli.output import err, out
from pathdsl.cli.saved import save
from pathdsl.errors import Diagnostic, ExitCode, LanguageError
from pathdsl.lang.fence import is_circuit, no_circuit

__all__ = ["format_files"]


def format_files(files: Iterable[str], *, check: bool = False, diff: bool = False) -> ExitCode:
    """Rewrite files in their canonical form, or say which would change; the exit code."""
    from pathdsl.lang.format.layout import format_text

    codes = [ExitCode.AS_EXPECTED]
    changed: list[str] = []
    named = list(files)
    names = expand(named)
    if not names:
        err(no_files(named))
        return ExitCode.NOTHING_TO_CHECK
    for name in names:
        source = read_text(name)
        if isinstance(source, Diagnostic):
            complain([source])
            codes.append(ExitCode.WRONG_INPUT)
            continue
        try:
            text = format_text(source.text, source.path)
        except LanguageError as error:
            if name == "-" or is_circuit(name):
                complain(error.diagnostics, {source.path: source})
            else:
                complain([no_circuit(name, None)])
            codes.append(error.exit_code)
            continue
        if name == "-" and not (check or diff):
            out(text, verbatim=True)
            continue
        if text == source.text:
            continue
        changed.append(source.path)
        if diff:
            out(_diff(source.path, source.text, text))
        if check:
            codes.append(ExitCode.NOT_AS_EXPECTED)
        if not (check or diff):
            codes.append(ExitCode.AS_EXPECTED if save(Path(name), text) else ExitCode.WRONG_INPUT)
    what = "would be changed" if check or diff else "changed"
    for path in changed:
        err(f"{what}: {path}\n")
    return max(codes)


def _diff(path: str, before: str, after: str) -> str:
    import difflib

    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        path,
        f"{path} (formatted)",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
