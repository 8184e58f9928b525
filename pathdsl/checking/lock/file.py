"""Lock files on disk: `FILE.circuit.lock` beside the file, JSON with sorted keys.

One number or hash a line, so that a version control system shows what moved. A lock is read as data
and checked part by part before anything is compared with it.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

from pathdsl.errors import Diagnostic, LanguageError
from pathdsl.lang.fence import Fence
from pathdsl.limits import LOCK_BYTES
from pathdsl.reading import read_file
from pathdsl.strictjson import JsonFault, read_json
from pathdsl.whole import write_whole

__all__ = [
    "CIRCUIT_FILES", "LOCK_VERSION", "RECORDS", "Lock", "LockFile", "dumped", "lock_beside",
    "lock_path", "read_lock", "write_lock",
]  # fmt: skip

LOCK_VERSION = 1
Lock = dict[str, Any]
"""What a lock says, as JSON holds it; `pathdsl.checking.lock.contents` says what stands where."""

CIRCUIT_FILES = "circuit_files"
"""The key of `inputs.file` that locks before 0.2 have not: files of scores by path, and hashes."""

RECORDS = "discovered"
"""The key of `inputs.file` of files that were discovered: their records by path, and hashes."""

MAX_BYTES = LOCK_BYTES.most
_SHORT = 200


def lock_path(path: str) -> str:
    """The lock of a file: `ioi.circuit` has `ioi.circuit.lock`."""
    return f"{path}.lock"


def dumped(lock: Lock) -> str:
    """The text of a lock, ending in a line break: the same lock is the same text."""
    text = json.dumps(lock, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return text + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class LockFile:
    """A lock that lies beside a file; `sha256` is of its bytes.

    `lock` is None, and `fault` says why, where it cannot be read.
    """

    path: str
    sha256: str = ""
    lock: Lock | None = None
    fault: str = ""


def lock_beside(path: str) -> LockFile | None:
    """The lock beside the file `path`, read and not compared; None where there is none."""
    name = lock_path(path)
    try:
        lock = read_lock(path)
        data = read_file(name)
    except LanguageError as error:
        fault = error.diagnostics[0]
        if fault.code == "PD650":
            return None
        return LockFile(path=name, fault="; ".join([fault.message, *fault.notes]))
    except OSError as error:
        return LockFile(path=name, fault=(error.strerror or str(error)).lower())
    return LockFile(path=name, sha256=sha256(data).hexdigest(), lock=lock)


def write_lock(path: str, lock: Lock, fence: Fence | None = None) -> bool:
    """Write the lock of the file `path`, whole or not at all; False where it was there already.

    `fence`: where it may lie, if it is a link; that around the file if not said. Raises
    LanguageError PD653 where it cannot be written.
    """
    name, data = lock_path(path), dumped(lock).encode("utf-8")
    real = Path(name).resolve()
    try:
        if not (fence or Fence.around(path)).holds(real):
            raise OSError(errno.EPERM, "it is a link that leads to another place")
        if real.exists() and read_file(real, len(data) + 1) == data:
            return False
        write_whole(real, data)
    except OSError as error:
        raise LanguageError(
            Diagnostic(
                code="PD653",
                message=f"cannot write `{name}`: {(error.strerror or str(error)).lower()}",
                help=f"copy the file to a folder of yours and run `pathdsl lock {Path(path).name}`",
            )
        ) from error
    return True


def read_lock(path: str) -> Lock:
    """The lock of the file `path`.

    Raises LanguageError: PD650 where there is none, PD651 where it is damaged, PD652 where a later
    version of pathdsl wrote it.
    """
    name = lock_path(path)
    try:
        data = read_file(name, MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise LanguageError(
            Diagnostic(
                code="PD650",
                message=f"there is no lock `{name}` to compare with",
                help=f"pathdsl lock {path}",
            )
        ) from error
    except OSError as error:
        raise _damaged(path, (error.strerror or str(error)).lower()) from error
    if len(data) > MAX_BYTES:
        raise _damaged(path, f"it is larger than {MAX_BYTES // 1_000_000} MB")
    try:
        lock = read_json(data, finite=True)
    except JsonFault as fault:
        raise _damaged(path, f"line {fault.line}: {fault}") from fault
    found = lock.get("lock_version") if isinstance(lock, dict) else None
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise _damaged(path, "it has no `lock_version`")
    if found > LOCK_VERSION:
        raise LanguageError(
            Diagnostic(
                code="PD652",
                message=f"`{name}` has lock version {found}, this pathdsl reads {LOCK_VERSION}",
                help="pip install --upgrade pathdsl",
            )
        )
    for place, good in _WANTED.items():
        value: Any = lock
        for key in place.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if not good(value):
            raise _damaged(path, f"`{place}` is missing or not what a lock holds there")
    return dict(lock)


def _damaged(path: str, why: str) -> LanguageError:
    return LanguageError(
        Diagnostic(
            code="PD651",
            message=f"the lock `{lock_path(path)}` cannot be read",
            notes=(why[:_SHORT],),
            help=f"git checkout -- {lock_path(path)}",
        )
    )


# ------------------------------------------------------------------------------- the parts


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _real(value: Any) -> bool:
    """Whether a number can be compared with one of this machine, which is a float."""
    if not _whole(value) and not isinstance(value, float):
        return False
    try:
        return isfinite(float(value))
    except OverflowError:
        return False


def _judged(*texts: str) -> Callable[[Any], bool]:
    """A table of numbers by name; each entry has these texts besides."""

    def good(value: Any) -> bool:
        return isinstance(value, dict) and all(
            isinstance(one, dict)
            and all(key in one and (one[key] is None or _real(one[key])) for key in _ENDS)
            and _whole(one.get("n"))
            and all(isinstance(one.get(key), str) for key in texts)
            for one in value.values()
        )

    return good


def _models(value: Any) -> bool:
    """The further models of a file with several, by their names."""
    return isinstance(value, dict) and all(
        isinstance(one, dict) and _texts(one.get("weights")) for one in value.values()
    )


def _tasks(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(one, dict)
        and _whole(one.get("n"))
        and isinstance(one.get("rows"), str)
        and isinstance(one.get("marks"), list)
        and all(isinstance(line, str) for line in one["marks"])
        for one in value.values()
    )


_ENDS = ("estimate", "low", "high")
_WANTED: dict[str, Callable[[Any], bool]] = {
    "inputs.file.tree": lambda value: isinstance(value, str),
    "inputs.file.uses": _texts,
    f"inputs.file.{CIRCUIT_FILES}": lambda value: value is None or _texts(value),
    f"inputs.file.{RECORDS}": lambda value: value is None or _texts(value),
    "inputs.model.weights": _texts,
    "inputs.model": lambda value: isinstance(value, dict),
    "inputs": lambda value: _models(value.get("models", {})),
    "inputs.tasks": _tasks,
    "inputs.overrides": lambda value: isinstance(value, dict) and all(map(_whole, value.values())),
    "surroundings": lambda value: isinstance(value, dict),
    "surroundings.packages": _texts,
    "tolerance.estimate": lambda value: _real(value) and value > 0,
    "tolerance.interval": lambda value: _real(value) and value > 0,
    "claims": _judged("verdict", "expected"),
    "quantities": _judged("unit"),
}
"""What must stand where, by the keys that lead there."""
