"""Files beside what they were at a revision of git.

since = changes_since(["hypotheses"], "HEAD~1")
since.commit, [(one.path, one.changes) for one in since.files]
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pathdsl.checking.breaking.changes import Change, FileChanges
from pathdsl.checking.breaking.claims import program_changes
from pathdsl.checking.breaking.revision import Repository
from pathdsl.checking.prepare import shape_at_hand
from pathdsl.errors import Diagnostic, ExitCode, LanguageError, PathdslError, Severity
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang.fence import FREE, Fence
from pathdsl.lang.program import Program, load_program

__all__ = ["Since", "changes_since"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """Every file that was compared with the commit that `revision` names."""

    revision: str
    commit: str
    files: tuple[FileChanges, ...]

    @property
    def exit_code(self) -> ExitCode:
        """2 where a file could not be compared, 1 where something is weaker or something else."""
        if any(file.faults for file in self.files):
            return ExitCode.WRONG_INPUT
        broken = any(file.broken for file in self.files)
        return ExitCode.NOT_AS_EXPECTED if broken else ExitCode.AS_EXPECTED


def changes_since(names: Sequence[str], revision: str, *, allow_outside: bool = False) -> Since:
    """The changes of files, and of all files then or now in folders, since a revision.

    Runs no model and downloads nothing. Raises LanguageError PD661 outside of a work tree of git,
    PD662 for an unknown revision; the faults of a file are with that file.
    """
    folder = names[0] if os.path.isdir(names[0]) else os.path.dirname(names[0]) or "."
    repository = Repository.around(folder)
    commit = repository.commit(revision)
    typed: dict[str, str] = {}  # names as they were typed, by the path from the top
    for name in names:
        inside = repository.inside(name)
        if not os.path.isdir(name):
            typed[inside] = name
            continue
        for path in repository.circuits(commit, inside):
            typed[path] = os.path.relpath(repository.root / path, os.path.realpath("."))
    files: list[FileChanges] = []
    with tempfile.TemporaryDirectory(prefix="pathdsl-") as there:
        fences = (Fence((os.path.realpath(there),)), FREE if allow_outside else None)
        repository.laid_out(commit, typed, Path(there))
        for inside, name in typed.items():
            try:
                files.append(_compared(name, Path(there) / inside, revision, fences))
            except PathdslError as error:
                faults = tuple(_at(revision, fault, there) for fault in error.diagnostics)
                note = "not compared: it has faults"
                files.append(FileChanges(path=name, note=note, faults=faults))
    return Since(revision=revision, commit=commit, files=tuple(files))


def _compared(
    name: str, earlier: Path, revision: str, fences: tuple[Fence, Fence | None]
) -> FileChanges:
    """The changes of one file; raises PathdslError where one of the two texts has faults.

    `fences`: where what the earlier text and the one of now name may lie.
    """
    is_there = os.path.exists(name)
    if not earlier.is_file():
        if not is_there:
            message = f"there is no file `{name}`, nor was at {revision}"
            raise LanguageError(Diagnostic(code="PD009", message=message))
        return FileChanges(path=name, note=f"new since {revision}: nothing to compare with")
    old, faults = load_program(str(earlier), None, fences[0])
    _stop_at(faults, earlier=f"`{name}` at {revision}")
    if not is_there:
        gone = [
            Change(kind="weaker", of=f"claim {claim.name.name}", what="dropped with its file")
            for claim in old.claims
        ]
        note = "" if gone else "a library, removed"
        return FileChanges(path=name, changes=tuple(gone), note=note)
    new, faults = load_program(name, None, fences[1])
    _stop_at(faults)
    if not old.claims and not new.claims:
        return FileChanges(path=name, note="no claims: compared with the files that use it")
    shape, why = _shape(new)
    return FileChanges(path=name, changes=tuple(program_changes(old, new, shape, why)))


def _stop_at(faults: Sequence[Diagnostic], earlier: str = "") -> None:
    wrong = [fault for fault in faults if fault.severity is Severity.ERROR]
    if wrong and earlier:
        raise LanguageError(
            Diagnostic(
                code="PD663",
                message=f"{earlier} has faults, so its claims are not known",
                notes=tuple(f"[{fault.code}] {fault.message}" for fault in wrong[:3]),
                help="name a revision at which it had none: `--against REV`",
            )
        )
    if wrong:
        raise LanguageError(wrong)


def _at(revision: str, fault: Diagnostic, folder: str) -> Diagnostic:
    """The fault with the revision in the place of the temporary folder."""

    def plain(text: str) -> str:
        return text.replace(folder + os.sep, f"{revision}:").replace(folder, revision)

    notes = tuple(plain(note) for note in fault.notes)
    return replace(fault, message=plain(fault.message), notes=notes)


def _shape(program: Program) -> tuple[ModelShape | None, str]:
    """The graph of the model as it is now, or why it is not known."""
    if program.model is None:
        return None, "the file names no model"
    try:
        shape = shape_at_hand(program)
    except PathdslError as error:
        return None, error.diagnostics[0].message
    return shape, "" if shape is not None else "the model's config is not on this machine"
