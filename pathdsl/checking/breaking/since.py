"""Files beside what they were at a revision of git.

since = changes_since(["hypotheses"], "HEAD~1")
since.commit, [(one.path, one.changes) for one in since.files]
"""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pathdsl.checking.breaking.changes import Change, FileChanges
from pathdsl.checking.breaking.claims import program_changes
from pathdsl.checking.breaking.revision import Repository
from pathdsl.checking.prepare import shape_at_hand
from pathdsl.errors import Diagnostic, ExitCode, LanguageError, PathdslError, Severity
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang import ast
from pathdsl.lang.fence import FREE, Fence
from pathdsl.lang.program import Program, load_program
from pathdsl.lang.syntax.parse import parse
from pathdsl.reading import read_file

__all__ = ["Since", "changes_since"]

_NO_EARLIER = "PD663"
"""The earlier text has faults, so that its claims are not known."""


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

    Files that are gone from the folders of the named ones are among them, and a file that has
    another name now is compared with what it was under the other. Runs no model and downloads
    nothing. A file in a folder that had faults then is told as such, since it claimed nothing then;
    one that is named by itself, or that has faults now, is an error.
    Raises LanguageError PD661 outside of a work tree of git, PD662 for an unknown revision; the
    faults of a file are with that file.
    """
    folder = names[0] if os.path.isdir(names[0]) else os.path.dirname(names[0]) or "."
    repository = Repository.around(folder)
    commit = repository.commit(revision)
    asked: set[str] = set()  # by their own name, not through a folder
    typed: dict[str, str] = {}  # names as they were typed, by the path from the top
    for name in names:
        inside = repository.inside(name)
        if not os.path.isdir(name):
            typed[inside] = name
            asked.add(inside)
            continue
        for path in repository.circuits(commit, inside):
            typed[path] = _shown(repository, path)
    come, lost = repository.come_and_gone(commit)
    around = {posixpath.dirname(path) for path in typed}
    for path in lost:
        if posixpath.dirname(path) in around:
            typed.setdefault(path, _shown(repository, path))
    files: list[FileChanges] = []
    with tempfile.TemporaryDirectory(prefix="pathdsl-") as there:
        fences = (Fence((os.path.realpath(there),)), FREE if allow_outside else None)
        repository.laid_out(commit, [*typed, *lost], Path(there))
        made = {path: _shown(repository, path) for path in come}
        earlier = _earlier(lost, typed | made, Path(there))
        # What a file beside the named ones has become is among them, wherever it lies now.
        typed |= {
            path: made[path] for path, old in earlier.items() if path in made and old in typed
        }
        for inside, name in typed.items():
            if inside in earlier.values():
                continue  # told with the file that it has become
            before = earlier.get(inside, inside)
            was = "" if before == inside else _shown(repository, before)
            try:
                files.append(_compared(name, Path(there) / before, revision, fences, was))
            except PathdslError as error:
                faults = tuple(_at(revision, fault, there) for fault in error.diagnostics)
                note = "not compared: it has faults"
                if faults[0].code == _NO_EARLIER and inside not in asked:
                    note = f"not compared: it has faults at {revision}"
                    faults = ()
                files.append(FileChanges(path=name, note=note, faults=faults))
    return Since(revision=revision, commit=commit, files=tuple(files))


def _shown(repository: Repository, path: str) -> str:
    """A path from the top of the work tree as it would be typed here."""
    return os.path.relpath(repository.root / path, os.path.realpath("."))


def _earlier(gone: Iterable[str], names: Mapping[str, str], there: Path) -> dict[str, str]:
    """What files of now that were not there were then: a file that is gone, of the same circuit.

    By the paths from the top; else one with at least half of its claims.
    """
    lost = {path: _names(there / path) for path in gone}
    found: dict[str, str] = {}
    for path, name in names.items():
        if (there / path).exists() or not os.path.exists(name):
            continue
        circuit, claims = _names(Path(name))
        alike: list[tuple[int, str]] = []
        for other, (named, claimed) in lost.items():
            shared = len(claims & claimed)
            same = bool(circuit) and named == circuit
            if other not in found.values() and claimed and (same or 2 * shared >= len(claimed)):
                alike.append((-shared - 1000 * same, other))
        if alike:
            found[path] = min(alike)[1]
    return found


def _names(path: Path) -> tuple[str, set[str]]:
    """The circuit of a file and its claims, as far as its text can be read."""
    try:
        file, _ = parse(read_file(path).decode("utf-8", "replace"), str(path))
    except OSError:
        return "", set()
    circuits = [one.name.name for one in file.statements if isinstance(one, ast.CircuitDecl)]
    claims = {one.name.name for one in file.statements if isinstance(one, ast.ClaimDecl)}
    return (circuits[0] if circuits else ""), claims


def _compared(
    name: str, earlier: Path, revision: str, fences: tuple[Fence, Fence | None], was: str = ""
) -> FileChanges:
    """The changes of one file; raises PathdslError where one of the two texts has faults.

    `fences`: where what the earlier text and the one of now name may lie. `was` is the name that
    the file had.
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
    changes = program_changes(old, new, shape, why)
    if was:
        changes.insert(0, Change(kind="noted", of="file", what="renamed", before=was, after=name))
    return FileChanges(path=name, changes=tuple(changes))


def _stop_at(faults: Sequence[Diagnostic], earlier: str = "") -> None:
    wrong = [fault for fault in faults if fault.severity is Severity.ERROR]
    if wrong and earlier:
        raise LanguageError(
            Diagnostic(
                code=_NO_EARLIER,
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
