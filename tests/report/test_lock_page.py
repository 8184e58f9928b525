"""What drawn reports say of a lock: none, unread, another text's, not compared, held, drifted."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pathdsl.checking.lock.file import LockFile
from pathdsl.lang.canonical import tree_hash
from pathdsl.report.content.file import contents
from pathdsl.report.data.read import read_result
from pathdsl.report.data.result import check_object, dump, file_object, schema
from pathdsl.report.formats import write
from tests.report.outcomes import outcome
from tests.report.pages import BAD, made_up, sealed
from tests.report.test_written import Page

HASH = "0123456789abcdef" * 4
COMPARED = {
    "said": "36 numbers as locked, bit for bit", "drifted": False,
    "identical": True, "numbers": 36, "largest": 0.0,
    "tolerance": {"estimate": 1e-4, "interval": 1e-3}, "drift": [], "surroundings": [],
}  # fmt: skip
DRIFT = [
    {"code": "PD656", "what": "task t: rows", "locked": HASH, "found": HASH[::-1], "apart": None,
     "allowed": None, "about": "2 of 4 rows differ", "text": "task t: rows: 2 of 4 rows differ"},
    {"code": "PD658", "what": "ATE: estimate", "locked": 3.5, "found": 3.6, "apart": 0.03,
     "allowed": 1e-4, "about": ""},
]  # fmt: skip


def lock(text: str | None = None) -> dict[str, Any]:
    made = outcome()
    assert made.program is not None
    tree = tree_hash(made.program.file) if text is None else text
    task = {"rows": HASH, "seeds": {"data": 0, "treated": None}, "marks": ["aa bb"], "n": 4}
    return {
        "inputs": {"file": {"tree": tree, "uses": {}}, "model": {"weights": {"w.st": HASH}},
                   "tasks": {"t": task}, "overrides": {}},
        "surroundings": {"packages": {"torch": "2.9"}, "threads": 1, "odd": "\ud800<b>"},
        "claims": {"a": {"verdict": "supported"}}, "quantities": {},
    }  # fmt: skip


def result(found: LockFile | None, compared: dict[str, Any] | None = None) -> dict[str, Any]:
    made = replace(outcome(), lock=found)
    file = file_object(made)
    if compared is not None:
        file["lock"] = compared
    read: dict[str, Any] = json.loads(dump(check_object([file], made.exit_code)))
    Draft202012Validator(schema()).validate(read)
    return read


def beside(text: str | None = None) -> LockFile:
    return LockFile(path="ioi.circuit.lock", sha256=HASH, lock=lock(text))


NONE = result(None)
HELD = result(beside(), COMPARED)
OTHER = result(beside("another"))
UNREAD = result(LockFile(path="ioi.circuit.lock", fault="the lock `x` cannot be read; why"))
MOVED = result(
    beside(),
    COMPARED | {"said": "drifted from 1 input, 1 number", "drifted": True, "drift": DRIFT},
)
ALONE = result(beside())


@pytest.mark.parametrize("kind", ["html", "md", "tex"])
@pytest.mark.parametrize(
    ("made", "said", "tone"),
    [
        (NONE, "no lock lies beside the file", ""),
        (HELD, "36 numbers as locked, bit for bit; nothing drifted", "good"),
        (OTHER, "but of another text of it", "open"),
        (UNREAD, "cannot be read; why", "bad"),
        (MOVED, "drifted from 1 input, 1 number", "bad"),
        (ALONE, "was not compared with it", ""),
    ],
    ids=["none", "held", "other", "unread", "moved", "alone"],
)
def test_the_state_of_the_lock_is_told(made, said: str, tone: str, kind) -> None:
    text = write(made, kind)
    told = Page(text).text if kind == "html" else text
    assert said in told or said[0].upper() + said[1:] in told
    view = contents(made, checked=False)[0].lock
    assert view is not None and view.tone == tone


def test_hashes_and_drift_stand_in_the_page() -> None:
    text = Page(write(MOVED, "html")).text
    for wanted in (
        "task t: rows: 2 of 4 rows differ",
        "ATE: estimate",
        "drifted from its lock",
        f"model weights w.st {HASH}",
        f"task t rows {HASH}",
        "task t seeds data 0",
        "package torch 2.9",
        "ioi.circuit.lock",
    ):
        assert wanted in text, wanted
    assert "aa bb" not in text, "marks of rows are for programs"
    assert rf"(lock \texttt{{{HASH[:12]}}})" in write(MOVED, "tex")
    assert f"`{HASH}`" in write(MOVED, "md")


def test_a_lock_of_a_stranger_puts_no_markup_into_the_page() -> None:
    bad = json.loads(json.dumps(MOVED))
    file = bad["files"][0]
    file["lock"]["drift"][0] |= {"what": BAD, "text": BAD}
    file["lock_file"] |= {"path": BAD, "inputs": {BAD: BAD}, "surroundings": {BAD: BAD}}
    text = write(read_result(json.dumps(sealed(bad))), "html")
    assert "<script>alert" not in text and "<img" not in text


def test_results_of_before_there_was_the_key_say_nothing() -> None:
    old = made_up()
    del old["files"][0]["lock_file"]
    assert contents(old, checked=False)[0].lock is None
    assert "<h2>Lock</h2>" not in write(old, "html")


def test_a_lock_is_no_part_of_the_hash_of_what_came_out() -> None:
    assert (
        contents(ALONE, checked=False)[0].short_hash == contents(MOVED, checked=False)[0].short_hash
    )
