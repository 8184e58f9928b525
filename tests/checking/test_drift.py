"""Two locks compared: every part that differs is named, and nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pathdsl.checking.lock.drift import Comparison, compare, diagnostics
from pathdsl.checking.lock.file import read_lock
from pathdsl.errors import LanguageError, Severity
from tests.checking.test_lockfile import LOCK


def changed(place: str, value: object) -> dict[str, Any]:
    lock = copy.deepcopy(LOCK)
    *above, last = place.split("/")
    inside = lock
    for key in above:
        inside = inside[key]
    inside[last] = value
    return lock


def against(lock: dict[str, Any]) -> Comparison:
    return compare(LOCK, lock, {"t": ("row-0", "row-1", "row-2", "row-3")})


def test_a_lock_is_itself() -> None:
    found = against(copy.deepcopy(LOCK))
    assert not found.drifted and found.identical and found.largest == 0 and found.numbers == 2
    assert found.notes == () and diagnostics(found, "x.circuit") == []


@pytest.mark.parametrize(
    ("place", "value", "code", "what"),
    [
        ("inputs/file/tree", "f" * 64, "PD655", "tree"),
        ("inputs/file/uses", {}, "PD655", "uses other.circuit"),
        ("inputs/model/dtype", "float64", "PD657", "dtype"),
        ("inputs/model/weights/w", "f" * 64, "PD657", "weights w"),
        ("inputs/model/weights", {"w": "d" * 64, "v": "1"}, "PD657", "weights v"),
        ("inputs/tasks/t/rows", "f" * 64, "PD656", "task t: rows"),
        ("inputs/tasks/t/layernorm", "frozen", "PD656", "task t: layernorm"),
        ("inputs/tasks", {}, "PD656", "task t"),
        ("inputs/overrides", {}, "PD656", "set on the command line: take"),
        ("claims/c/verdict", "refuted", "PD659", "c: verdict"),
        ("claims/c/estimate", 0.2, "PD658", "c: estimate"),
        ("claims/c/estimate", None, "PD658", "c: estimate"),
        ("claims/c/low", 0.0, "PD658", "c: low"),
        ("claims/c/n", 5, "PD658", "c: n"),
        ("claims", {}, "PD659", "claim c"),
        ("quantities/q/unit", "prob", "PD659", "q: unit"),
        ("quantities/r", LOCK["quantities"]["q"], "PD659", "quantity r"),
    ],
)
def test_one_change_is_one_drift(place: str, value: object, code: str, what: str) -> None:
    found = against(changed(place, value))
    assert [(one.code, one.what) for one in found.drifts] == [(code, what)]
    (told,) = diagnostics(found, "x.circuit")
    assert told.code == code and told.severity is Severity.ERROR and told.help
    assert what.partition(":")[0] in told.notes[0]


def test_a_row_is_named() -> None:
    found = against(changed("inputs/tasks/t/marks", ["000000 111111", "2222ff 333333"]))
    (one,) = found.drifts
    assert one.code == "PD656" and one.about == "1 of 4 rows differ, first `row-2`"
    found = against(changed("inputs/tasks/t/marks", ["000000 111111"]))
    assert found.drifts[0].about == "4 rows were locked, 2 found"


def test_surroundings_are_no_drift() -> None:
    found = against(changed("surroundings/packages/torch", "2.14.0"))
    assert not found.drifted and [one.what for one in found.notes] == ["packages torch"]
    (told,) = diagnostics(found, "x.circuit")
    assert told.code == "PD660" and told.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("key", "locked", "found", "drifts"),
    [
        ("estimate", 0.1, 0.10009, False),
        ("estimate", 0.1, 0.10011, True),
        ("estimate", 1e4, 1e4 + 0.9, False),  # relative to numbers above 1
        ("estimate", 1e4, 1e4 + 1.1, True),
        ("low", 0.1, 0.1009, False),  # ends of intervals are allowed ten times as much
        ("high", 0.1, 0.1011, True),
        ("high", 0.1, None, True),
    ],
)
def test_the_tolerance(key: str, locked: float, found: float | None, drifts: bool) -> None:
    old, new = (changed(f"claims/c/{key}", value) for value in (locked, found))
    result = compare(old, new)
    assert result.drifted is drifts and not result.identical


def test_a_lock_cannot_widen_the_tolerance() -> None:
    old = changed("tolerance/estimate", 10.0)
    found = compare(old, changed("claims/c/estimate", 0.2))
    assert found.drifted and found.tolerance["estimate"] == LOCK["tolerance"]["estimate"]
    old["tolerance"]["estimate"] = 1e-9  # a narrower one holds
    assert compare(old, changed("claims/c/estimate", 0.1 + 1e-8)).drifted


def test_many_numbers_are_counted_and_the_inputs_are_named_as_a_cause() -> None:
    old, new = copy.deepcopy(LOCK), changed("inputs/model/dtype", "float64")
    for n in range(9):
        old["quantities"][f"q{n}"] = {**LOCK["quantities"]["q"]}
        new["quantities"][f"q{n}"] = {**LOCK["quantities"]["q"], "estimate": 5.0}
    model, numbers = diagnostics(compare(old, new), "x.circuit")
    assert model.code == "PD657" and numbers.message.startswith("9 of 11 numbers")
    assert "4 more" in numbers.notes[5] and "inputs" in numbers.notes[6]


QUICKSTART = Path(__file__).parents[2] / "hypotheses" / "quickstart"
NOTES = ("surroundings", "tolerance")  # what differs there is told, and fails nothing by itself
NUMBERS = ("estimate", "low", "high")  # within the tolerance they are not "bit for bit"


def parts(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every table, list and leaf of a lock, by the keys that lead to it."""
    yield at, value
    inside = value.items() if isinstance(value, dict) else ()
    for key, one in enumerate(value) if isinstance(value, list) else inside:
        yield from parts(one, (*at, key))


def others(value: Any) -> list[Any]:
    """Values near a value, and of other kinds."""
    match value:
        case dict() | list():
            return [None, "x"]
        case None:
            return [0.5, "x", {}]
        case str():
            return [value + "x", None, {}]
        case int():
            return [value + 1, float(value), -value or 7, None, {}]
        case _:
            return [value * (1 + 1e-15) or 1e-300, value * 1.5 + 1, None, {}]


def told(lock: dict[str, Any], true: dict[str, Any], folder: Path) -> tuple[str, Comparison | None]:
    """What a check says of an edited lock: refused, drift, note, not bit for bit; or nothing."""
    (folder / "x.circuit.lock").write_text(json.dumps(lock), encoding="utf-8")
    try:
        found = compare(read_lock(str(folder / "x.circuit")), true)
    except LanguageError as error:
        return f"refused {error.diagnostics[0].code}", None
    codes = [one.code for one in diagnostics(found, "x.circuit")]
    if codes:
        return " ".join(codes), found
    return "" if found.identical else "not bit for bit", found


@pytest.mark.parametrize("name", ["induction", "wrong"])
def test_every_part_of_a_lock_is_compared(name: str, tmp_path: Path) -> None:
    true = json.loads((QUICKSTART / f"{name}.circuit.lock").read_text("utf-8"))
    assert told(true, true, tmp_path)[0] == ""
    edits = 0
    for at, value in parts(true):
        if not at:
            continue
        tried: list[Any] = [(other, "edited") for other in others(value)] + [(None, "taken out")]
        if isinstance(value, dict):
            tried += [({**value, "more": one}, "with more") for one in ("x", None)]
        for other, how in tried:
            lock = copy.deepcopy(true)
            inside: Any = lock
            for key in at[:-1]:
                inside = inside[key]
            if how == "taken out":
                del inside[at[-1]]
            else:
                inside[at[-1]] = other
            said, found = told(lock, true, tmp_path)
            assert said, f"{at} {how}, {value!r} to {other!r}, is not noticed"
            if found is not None and at[0] not in NOTES and at[-1] not in NUMBERS:
                assert found.drifted, f"{at} {how} is told and fails nothing"
            edits += 1
    for more in ("x", None):
        assert told({**true, "more": more}, true, tmp_path)[0] == "PD655"
    assert edits > 500


def test_a_tolerance_of_another_version_is_a_note() -> None:
    found = compare(changed("tolerance/estimate", 10.0), LOCK)
    assert not found.drifted and [one.what for one in found.notes] == ["tolerance estimate"]


def test_values_that_look_alike_are_told_apart() -> None:
    (one,) = against(changed("inputs/tasks/t/seed", 1)).drifts
    assert (one.locked, one.found) == (None, 1)
    found = compare(changed("inputs/overrides/take", 4.0), LOCK)
    (text,) = diagnostics(found, "x.circuit")[0].notes
    assert text == "set on the command line: take: locked 4.0, found 4"
