"""What a check finds otherwise than its lock: inputs, numbers, verdicts, surroundings.

Every value of a lock is compared: inputs exactly, numbers within the tolerance that the lock states
(never a wider one than this version would state), verdicts exactly. Surroundings and a tolerance
other than this version's are notes: where they differ and the numbers hold, the claim is the
stronger for it. A key that is no part of a lock is a drift like any other.

    found = compare(read_lock(path), lock_of(outcome, options), row_ids)
    found.drifted, [one.what for one in found.drifts]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pathdsl.checking.lock.file import CIRCUIT_FILES, Lock
from pathdsl.errors import Diagnostic, Severity
from pathdsl.lang.render import screen

__all__ = ["Comparison", "Drift", "compare", "diagnostics", "note"]

Value = str | int | float | None

FILE, DATA, MODEL, NUMBER, VERDICT, AROUND = (
    "PD655", "PD656", "PD657", "PD658", "PD659", "PD660",
)  # fmt: skip
INPUTS = (FILE, DATA, MODEL)
_ENDS = {"estimate": "estimate", "low": "interval", "high": "interval"}
_TABLES = ("claims", "quantities")
_SECTIONS = ("file", "overrides", "model", "models", "tasks")
_MISSING = object()
_SHOWN = 5
_HASH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One thing found otherwise; `what` names it, `about` says what is not in the two values.

    `apart` is by how much a number moved, None for what is no number.
    """

    code: str
    what: str
    locked: Value
    found: Value
    apart: float | None = None
    allowed: float | None = None
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A check beside its lock.

    `drifts` fail the check, `notes` do not. `numbers` is how many numbers were compared, `largest`
    by how much one differs at most, relative to the larger of 1 and the locked one; `identical`:
    every bit of every number is the locked one. `tolerance` is what was allowed.
    """

    drifts: tuple[Drift, ...]
    notes: tuple[Drift, ...]
    numbers: int
    largest: float
    identical: bool
    tolerance: Mapping[str, float]

    @property
    def drifted(self) -> bool:
        """Whether the check is not the one that was locked."""
        return bool(self.drifts)


def compare(
    locked: Lock, found: Lock, row_ids: Mapping[str, Sequence[str]] | None = None
) -> Comparison:
    """Everything that differs between two locks; `row_ids` of the found rows, to name one."""
    tolerance = {
        kind: min(locked["tolerance"][kind], found["tolerance"][kind])
        for kind in ("estimate", "interval")
    }
    parts = ("inputs", "surroundings", "tolerance", *_TABLES)
    drifts = [*_plain(_without(locked, parts), _without(found, parts), FILE)]
    drifts += _inputs(locked["inputs"], found["inputs"], row_ids or {})
    moved: list[Drift] = []
    n_numbers, largest, identical = 0, 0.0, True
    for table in _TABLES:
        old, new = locked[table], found[table]
        drifts += _names(table, old, new)
        for name in (name for name in old if name in new):
            drifts += _verdicts(name, old[name], new[name])
            for one, apart in _numbers(name, old[name], new[name], tolerance):
                n_numbers += 1
                largest = max(largest, apart)
                if one is not None:
                    moved.append(one)
            identical = identical and all(_same(old[name][k], new[name][k]) for k in _ENDS)
    return Comparison(
        drifts=(*drifts, *moved),
        notes=(
            *_plain(locked["surroundings"], found["surroundings"], AROUND),
            *_plain(locked["tolerance"], found["tolerance"], AROUND, "tolerance "),
        ),
        numbers=n_numbers,
        largest=largest,
        identical=identical,
        tolerance=tolerance,
    )


# ------------------------------------------------------------------------------- inputs


def _inputs(
    old: Mapping[str, Any], new: Mapping[str, Any], row_ids: Mapping[str, Sequence[str]]
) -> Iterator[Drift]:
    yield from _plain(_without(old, _SECTIONS), _without(new, _SECTIONS), FILE)
    # A lock of before says nothing of files of scores, and is no worse for it.
    unsaid = () if CIRCUIT_FILES in old["file"] else (CIRCUIT_FILES,)
    yield from _plain(old["file"], _without(new["file"], unsaid), FILE)
    yield from _plain(old["overrides"], new["overrides"], DATA, "set on the command line: ")
    yield from _plain(old["model"], new["model"], MODEL)
    yield from _plain(old.get("models", {}), new.get("models", {}), MODEL, "model ")
    for name in dict.fromkeys([*old["tasks"], *new["tasks"]]):
        if name not in old["tasks"] or name not in new["tasks"]:
            there = "locked" if name in old["tasks"] else "found"
            yield Drift(
                code=DATA, what=f"task {name}", locked=None, found=None, about=f"is only {there}"
            )
            continue
        before, after = dict(old["tasks"][name]), dict(new["tasks"][name])
        marks, now = (" ".join(task.pop("marks")).split() for task in (before, after))
        about = _rows(marks, now, row_ids.get(name, ()))
        listed = list(_plain(before, after, DATA, f"task {name}: "))
        if about and not any(one.what == f"task {name}: rows" for one in listed):
            listed.append(Drift(code=DATA, what=f"task {name}: tokens", locked=None, found=None))
        for one in listed:
            rows = one.what.endswith((": rows", ": tokens"))
            yield one if not rows else Drift(
                code=one.code, what=one.what, locked=one.locked, found=one.found, about=about
            )  # fmt: skip


def _rows(old: Sequence[str], new: Sequence[str], ids: Sequence[str]) -> str:
    """Which rows differ, in words; "" for none."""
    if len(old) != len(new):
        return f"{len(old)} rows were locked, {len(new)} found"
    other = [at for at, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
    if not other:
        return ""
    first = f"`{ids[other[0]]}`" if other[0] < len(ids) else f"number {other[0] + 1}"
    return f"{len(other)} of {len(new)} rows differ, first {first}"


def _plain(
    old: Mapping[str, Any], new: Mapping[str, Any], code: str, before: str = ""
) -> Iterator[Drift]:
    """Every value of a table of tables that differs, named by the keys that lead to it."""
    for key in sorted({*old, *new}):
        a, b = old.get(key, _MISSING), new.get(key, _MISSING)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _plain(a, b, code, f"{before}{key} ")
        elif isinstance(a, dict) or isinstance(b, dict):
            inside = [value if isinstance(value, dict) else {} for value in (a, b)]
            yield from _plain(inside[0], inside[1], code, f"{before}{key} ")
            if not inside[0] and not inside[1]:  # a table of nothing in the place of a value
                yield _drift(code, before + key, a, b)
        elif not _same(a, b):
            yield _drift(code, before + key, a, b)


def _drift(code: str, what: str, locked: object, found: object) -> Drift:
    sides = {"locked": locked, "found": found}
    one = next((side for side, value in sides.items() if value is _MISSING), None)
    a, b = (None if value is _MISSING else _text(value) for value in sides.values())
    if one is None and _shown(a) == _shown(b):  # 1 and 1.0, or apart in the last digits only
        a, b = repr(locked), repr(found)
    if one is None or not (a is None and b is None):
        return Drift(code=code, what=what, locked=a, found=b)
    there = "found" if one == "locked" else "locked"
    about = f"is only {there}, as nothing"
    return Drift(code=code, what=what, locked=None, found=None, about=about)


def _same(a: object, b: object) -> bool:
    """Whether two values are one in every bit and of one kind: 0 is not 0.0, nor false."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and repr(a) == repr(b)


def _without(table: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in keys}


def _text(value: Any) -> Value:
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    return value if value is None or plain else str(value)


# ------------------------------------------------------------------------------- numbers


def _names(table: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Drift]:
    kind = {"claims": "claim", "quantities": "quantity"}[table]
    for name in (name for name in old if name not in new):
        yield Drift(
            code=VERDICT, what=f"{kind} {name}", locked=_said(old[name]), found=None,
            about="was locked and is not judged now",
        )  # fmt: skip
    for name in (name for name in new if name not in old):
        yield Drift(
            code=VERDICT, what=f"{kind} {name}", locked=None, found=_said(new[name]),
            about="is judged now and was not locked",
        )  # fmt: skip


def _said(entry: Mapping[str, Any]) -> Value:
    found: Value = entry.get("verdict", entry["estimate"])
    return found


def _verdicts(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Drift]:
    """All of an entry that is no number."""
    numbers = (*_ENDS, "n")
    yield from _plain(_without(old, numbers), _without(new, numbers), VERDICT, f"{name}: ")


def _numbers(
    name: str, old: Mapping[str, Any], new: Mapping[str, Any], tolerance: Mapping[str, float]
) -> Iterator[tuple[Drift | None, float]]:
    """Every number of an entry: its drift, if it is one, and how far it is from the locked one."""
    if not _same(old["n"], new["n"]):
        one = Drift(code=NUMBER, what=f"{name}: n", locked=old["n"], found=new["n"], allowed=0.0)
        yield one, 0.0
    for key, kind in _ENDS.items():
        a, b = old[key], new[key]
        if a is None and b is None:
            continue
        apart = None if a is None or b is None else abs(a - b) / max(1.0, abs(a))
        moved = apart is None or apart > tolerance[kind]
        one = Drift(
            code=NUMBER, what=f"{name}: {key}", locked=a, found=b, apart=apart,
            allowed=tolerance[kind],
        )  # fmt: skip
        yield one if moved else None, float("inf") if apart is None else apart


# ------------------------------------------------------------------------------- as diagnostics


_TITLES = {
    FILE: "the file is not the one that was locked",
    DATA: "the data are not those that were locked",
    MODEL: "the model is not the one that was locked",
    VERDICT: "what is judged, or a verdict, is not as it was locked",
    NUMBER: "numbers are not those that were locked",
}


def diagnostics(found: Comparison, path: str) -> list[Diagnostic]:
    """One diagnostic for each code that occurs, each drift a note; surroundings as a warning."""
    told = []
    inputs = any(one.code in INPUTS for one in found.drifts)
    for code, title in _TITLES.items():
        ones = [one for one in found.drifts if one.code == code]
        if not ones:
            continue
        notes = [note(one) for one in ones[:_SHOWN]]
        if len(ones) > _SHOWN:
            notes.append(f"and {len(ones) - _SHOWN} more: `--format json` lists all")
        if code == NUMBER:
            title = f"{len(ones)} of {found.numbers} {title}"
            if inputs:
                notes.append("they may follow from the inputs, which are not those locked either")
        told.append(
            Diagnostic(code=code, message=title, notes=tuple(notes), help=_help(code, path, inputs))
        )
    if found.notes:
        told.append(
            Diagnostic(
                code=AROUND,
                message="the lock was made in other surroundings",
                notes=tuple(note(one) for one in found.notes),
                severity=Severity.WARNING,
            )
        )
    return told


def note(one: Drift) -> str:
    """One drift in a line: what, locked, found, and by how much.

    A lock may come from a stranger, so its control characters are made visible.
    """
    return screen(_note(one))


def _note(one: Drift) -> str:
    if one.about and one.locked is None and one.found is None:
        return f"{one.what}: {one.about}" if "row" in one.about else f"{one.what} {one.about}"
    if one.about and (one.locked is None or one.found is None):
        return f"{one.what} {one.about}"
    text = f"{one.what}: locked {_shown(one.locked)}, found {_shown(one.found)}"
    if one.apart is not None:
        text += f", apart by {one.apart:.1e} (allowed {one.allowed:.0e})"
    return f"{text}; {one.about}" if one.about else text


def _shown(value: Value) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, str) and len(value) == _HASH and set(value) <= set("0123456789abcdef"):
        return f"{value[:12]}…"
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _help(code: str, path: str, inputs: bool) -> str:
    match code:
        case "PD655":
            return f"if the change is meant: pathdsl lock {path}"
        case "PD656":
            return f"use the data that were locked, or lock what is there: pathdsl lock {path}"
        case "PD657":
            return f"use the weights that were locked, or lock these: pathdsl lock {path}"
        case _ if inputs:
            return f"pathdsl lock {path}"
        case _:
            return "install the versions that the lock names, and check again"
