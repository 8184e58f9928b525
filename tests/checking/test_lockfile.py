"""Lock files on disk: what is written is read again; what is damaged is refused by name."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pathdsl.checking.lock.file import LOCK_VERSION, dumped, lock_path, read_lock, write_lock
from pathdsl.errors import LanguageError

NUMBERS = {"estimate": 0.1, "low": None, "high": None, "n": 4}
LOCK: dict[str, Any] = {
    "lock_version": LOCK_VERSION,
    "circuit": "c",
    "inputs": {
        "file": {"tree": "a" * 64, "uses": {"other.circuit": "b" * 64}},
        "model": {"config": "c", "dtype": "float32", "tokenizer": "", "weights": {"w": "d" * 64}},
        "tasks": {"t": {"n": 4, "rows": "e" * 64, "marks": ["000000 111111 222222 333333"]}},
        "overrides": {"take": 4},
    },
    "surroundings": {"packages": {"torch": "2.13.0"}, "device": "cpu", "threads": 1},
    "tolerance": {"estimate": 1e-4, "interval": 1e-3},
    "claims": {"c": {**NUMBERS, "verdict": "supported", "expected": "supported"}},
    "quantities": {"q": {**NUMBERS, "unit": "logits"}},
}


def code_of(path: Path) -> str:
    with pytest.raises(LanguageError) as refused:
        read_lock(str(path))
    (fault,) = refused.value.diagnostics
    assert fault.help
    return fault.code


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = str(tmp_path / "x.circuit")
    assert write_lock(path, LOCK)
    assert read_lock(path) == LOCK
    assert not write_lock(path, LOCK)  # the same bytes are not written twice
    assert Path(lock_path(path)).read_text("utf-8") == dumped(LOCK)
    assert [p.name for p in tmp_path.iterdir()] == ["x.circuit.lock"]


def test_the_order_of_keys_is_no_part_of_the_text() -> None:
    turned = {key: LOCK[key] for key in reversed(LOCK)}
    assert dumped(turned) == dumped(LOCK)


def test_numbers_keep_every_bit(tmp_path: Path) -> None:
    lock, path = copy.deepcopy(LOCK), str(tmp_path / "x.circuit")
    lock["claims"]["c"]["estimate"] = 0.1 + 0.2
    write_lock(path, lock)
    assert read_lock(path)["claims"]["c"]["estimate"] == 0.1 + 0.2


def test_a_missing_lock(tmp_path: Path) -> None:
    assert code_of(tmp_path / "x.circuit") == "PD650"


@pytest.mark.parametrize(
    "text",
    [
        "", "no json", "[]", "{}", '{"lock_version": true}', '{"lock_version": "1"}',
        '{"lock_version": 0}', '{"lock_version": 1}', "[" * 100_000, "\udcff",
        dumped(LOCK).replace("0.1", "NaN"), dumped(LOCK)[:-10],
        dumped(LOCK).replace("0.1", "1" + "0" * 400), dumped(LOCK).replace("0.1", "1" * 5000),
        dumped(LOCK).replace('"supported"', '"\\ud800"'),
        dumped(LOCK).replace('"n": 4,', '"n": 5, "n": 4,'),
    ],
)  # fmt: skip
def test_a_damaged_lock(text: str, tmp_path: Path) -> None:
    Path(lock_path(str(tmp_path / "x.circuit"))).write_bytes(
        text.encode("utf-8", "surrogateescape")
    )
    assert code_of(tmp_path / "x.circuit") == "PD651"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("inputs.file.tree", 1), ("inputs.file.uses", []), ("inputs.model.weights", {"w": 1}),
        ("inputs.tasks", {"t": {"n": 4}}), ("inputs.tasks", {"t": 1}),
        ("inputs.overrides", {"take": "4"}), ("surroundings", None),
        ("surroundings.packages", {"torch": 2}), ("tolerance.estimate", 0),
        ("tolerance.interval", "1e-3"), ("claims", []), ("claims", {"c": NUMBERS}),
        ("claims", {"c": {**LOCK["claims"]["c"], "n": 1.5}}),
        ("quantities", {"q": {"unit": "logits", "n": 1}}),
        ("quantities", {"q": {**NUMBERS, "estimate": "1", "unit": "logits"}}),
    ],
)  # fmt: skip
def test_a_part_of_another_kind(place: str, value: object, tmp_path: Path) -> None:
    lock = copy.deepcopy(LOCK)
    *above, last = place.split(".")
    inside = lock
    for key in above:
        inside = inside[key]
    inside[last] = value
    Path(lock_path(str(tmp_path / "x.circuit"))).write_text(json.dumps(lock))
    assert code_of(tmp_path / "x.circuit") == "PD651"
    del inside[last]
    Path(lock_path(str(tmp_path / "x.circuit"))).write_text(json.dumps(lock))
    assert code_of(tmp_path / "x.circuit") == "PD651"


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "x.circuit.lock").mkdir()
    assert code_of(tmp_path / "x.circuit") == "PD651"


def test_a_lock_of_a_later_version(tmp_path: Path) -> None:
    lock = {"lock_version": LOCK_VERSION + 1, "what": "nobody knows"}
    (tmp_path / "x.circuit.lock").write_text(json.dumps(lock))
    assert code_of(tmp_path / "x.circuit") == "PD652"


def test_a_lock_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "x.circuit.lock").mkdir()
    with pytest.raises(LanguageError, match="PD653"):
        write_lock(str(tmp_path / "x.circuit"), LOCK)
    with pytest.raises(LanguageError, match="PD653"):
        write_lock(str(tmp_path / "gone" / "x.circuit"), LOCK)
    assert os.listdir(tmp_path) == ["x.circuit.lock"]  # nothing half written
