"""Files as they were at a revision of git, laid out in a folder so that `use` finds them.

Git is asked for contents only (`rev-parse`, `ls-tree`, `ls-files`, `show`); nothing of a file is
executed, no filter of the repository is applied, and nothing is written to it.

    repository = Repository.around("hypotheses")
    commit = repository.commit("HEAD~1")
    there = repository.laid_out(commit, ["hypotheses/quickstart/ioi.circuit"], Path(folder))
"""

from __future__ import annotations

import os
import posixpath
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pathdsl.checking.lock.file import lock_path
from pathdsl.errors import Diagnostic, LanguageError
from pathdsl.lang import ast
from pathdsl.lang.signatures.calls import DATA_FILES, path_in
from pathdsl.lang.signatures.interventions import vectors_in
from pathdsl.lang.syntax.parse import parse
from pathdsl.lang.walk import walk

__all__ = ["Repository"]

SECONDS = 60
_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=", "--no-pager")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A work tree of git; `root` is its absolute top folder."""

    root: Path

    @classmethod
    def around(cls, folder: str) -> Repository:
        """The work tree that a folder lies in; raises LanguageError PD661 where there is none."""
        try:
            told = _git(folder, "rev-parse", "--show-toplevel")
        except OSError as error:
            raise _no_repository(
                folder, f"git: {(error.strerror or str(error)).lower()}"
            ) from error
        if told is None or not told.strip():
            raise _no_repository(folder, "git finds no work tree there")
        return cls(root=Path(os.fsdecode(told).rstrip("\n")).resolve())

    def commit(self, revision: str) -> str:
        """The commit that a revision names; raises LanguageError PD662 where it names none."""
        told = None
        if revision and "\0" not in revision:
            told = self._git(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
            )
        if told is None:
            raise LanguageError(
                Diagnostic(
                    code="PD662",
                    message=f"git knows no revision `{revision}`",
                    help="pathdsl breaking --against HEAD",
                )
            )
        return told.decode("ascii").strip()

    def inside(self, path: str) -> str:
        """A path relative to the top folder; raises LanguageError PD661 where it lies outside."""
        place = Path(os.path.abspath(path))
        try:
            return (place.parent.resolve() / place.name).relative_to(self.root).as_posix()
        except ValueError as error:
            raise _no_repository(path, "it lies outside the work tree") from error

    def circuits(self, commit: str, under: str) -> list[str]:
        """Paths of all `.circuit` files at a commit or now, under a folder of the work tree.

        `under` and the paths are relative to the top folder; files that git ignores are left out.
        """
        base = "" if under in ("", ".") else f"{under.rstrip('/')}/"
        return sorted(n for n in self._then(commit) | self._now() if n.startswith(base))

    def come_and_gone(self, commit: str) -> tuple[list[str], list[str]]:
        """The `.circuit` files that are there now and were not, and those that no longer are."""
        were = self._then(commit)
        come = [name for name in self._now() - were if os.path.lexists(self.root / name)]
        return sorted(come), sorted(n for n in were if not os.path.lexists(self.root / n))

    def _then(self, commit: str) -> set[str]:
        """The `.circuit` files of a commit, from the top folder."""
        return _circuits(self._git("ls-tree", "-r", "-z", "--name-only", commit))

    def _now(self) -> set[str]:
        """Those that git knows or would add now."""
        return _circuits(self._git("ls-files", "-z", "--cached", "--others", "--exclude-standard"))

    def content(self, commit: str, path: str) -> bytes | None:
        """What a file held at a commit; None where it was not there. `path` is from the top."""
        kind = self._git("cat-file", "-t", f"{commit}:{path}")
        if kind is None or kind.strip() != b"blob":
            return None
        return self._git("show", "--no-textconv", "--no-ext-diff", f"{commit}:{path}")

    def laid_out(self, commit: str, paths: Iterable[str], folder: Path) -> None:
        """Write files as they were with their locks, and all that they use or read.

        They lie beneath a folder. Files that were not there are left out; so is what lies outside
        the work tree.
        """
        waiting, seen = list(paths), set()
        while waiting:
            path = waiting.pop()
            if path in seen or path.startswith("../") or posixpath.isabs(path):
                continue
            seen.add(path)
            data = self.content(commit, path)
            if data is None:
                continue
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            if path.endswith(".circuit"):
                home = posixpath.dirname(path)
                waiting.append(lock_path(path))
                waiting += [posixpath.normpath(posixpath.join(home, n)) for n in _named(data, path)]

    def _git(self, *arguments: str) -> bytes | None:
        return _git(str(self.root), *arguments)


def _circuits(listed: bytes | None) -> set[str]:
    """The `.circuit` files that git lists with `-z`."""
    names = (listed or b"").split(b"\0")
    return {os.fsdecode(name) for name in names if name.endswith(b".circuit")}


def _named(data: bytes, path: str) -> list[str]:
    """The files that a text names: those it uses, its rows and its circuit files."""
    file, _ = parse(data.decode("utf-8", "replace"), path)
    found = []
    for node in walk(file):
        match node:
            case ast.UseDecl(path=name) | ast.EdgesFile(path=name) | ast.NodesFile(path=name):
                found.append(name)
            case ast.Call(name=name) if name in DATA_FILES and (given := path_in(node)):
                if not DATA_FILES[name].hub:
                    found.append(given.value)
            case ast.InterveneDecl():
                found += [name for name, _ in vectors_in(node)]
    return [name for name in found if name and "\0" not in name]


def _git(folder: str, *arguments: str) -> bytes | None:
    """What git prints, None where it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", folder, *_SAFE, *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"},
        )
    except subprocess.TimeoutExpired as error:
        raise _no_repository(folder, f"git did not answer within {SECONDS} s") from error
    return done.stdout if done.returncode == 0 else None


def _no_repository(what: str, why: str) -> LanguageError:
    return LanguageError(
        Diagnostic(
            code="PD661",
            message=f"`{what}` is in no work tree of git, so there is no earlier text to compare",
            notes=(why,),
            help="git init && git add . && git commit -m 'Add hypotheses'",
        )
    )
