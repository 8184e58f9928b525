"""`pathdsl breaking`: what was weakened where the text of the claim, or any text, stayed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from pathdsl.checking.lock.file import dumped
from pathdsl.lang.canonical import tree_hash, used_hashes
from pathdsl.lang.program import load_program
from tests.cli.test_breaking import Capture, changes, edit, folder, git

__all__ = ["folder"]

MORE = """
let hid = faithfulness(nodes, metric: LD)
let deep = hid
let half = hid / 2
let lim = 0.8
let each_of for h in {previous, match} = mean(LD(reference) - LD(treat(through(h))))
claim hidden: hid >= 99% at 95% confidence
claim deeply: 99% <= deep at 95% confidence
claim halved: half >= 45% at 95% confidence
claim bounded: faithfulness(nodes, metric: LD) >= lim at 95% confidence
claim largest: max(each_of) >= 1 at 95% confidence
claim told: faithfulness(nodes, metric: LD) >= 80% "The circuit is enough"
"""
HASH = "0" * 64


@pytest.fixture
def more(folder: Path) -> Path:
    """The repository of the other tests with quantities, words and a hypothesis."""
    path = folder / "x.circuit"
    path.write_text(path.read_text().replace("language = 1", "language = 1; hypothesis = nodes"))
    path.write_text(path.read_text() + MORE)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "More")
    return folder


Q = "claim sufficient: faithfulness(nodes, metric: LD) >= 80%"
WIDER = "wider path set (now with input -[q]-> a0.h0 -> logits)"


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("let hid = faithfulness(nodes", "let hid = faithfulness(full",
         [("weaker", f"claim {name}", WIDER) for name in ("hidden", "deeply", "halved")]),
        ("let hid = faithfulness(nodes, metric: LD)",
         "let hid = faithfulness(nodes, metric: LD, form: ratio)",
         [("changed", "claim hidden", "another `form`"),
          ("changed", "claim deeply", "another `form`"),
          ("changed", "claim halved", "measures something else")]),
        ("let deep = hid", "let deep = faithfulness(full, metric: LD)",
         [("weaker", "claim deeply", WIDER)]),
        ("let deep = hid", "let deep = faithfulness(nodes, metric: LD)", []),
        (Q, "let q = faithfulness(nodes, metric: LD)\nclaim sufficient: q >= 80%", []),
        (Q, "let q = faithfulness(nodes, metric: LD)\nclaim sufficient: q >= 70%",
         [("weaker", "claim sufficient", "lower threshold")]),
        (Q, "let q = faithfulness(full, metric: LD)\nclaim sufficient: q >= 80%",
         [("weaker", "claim sufficient", WIDER)]),
        (Q, Q.replace("80%", "l") + " at 95% confidence\nlet l = 0.5 + 0.1\nclaim r: 1 >= 0",
         [("weaker", "claim sufficient", "lower threshold"), ("noted", "claim r", "new")]),
        ("let lim = 0.8", "let lim = 0.7", [("weaker", "claim bounded", "lower threshold")]),
        ("let lim = 0.8", "let lim = 0.4 * 2", []),
        ("let each_of for h in {previous, match}", "let each_of for h in {match}",
         [("changed", "claim largest", "narrower path set")]),
        ('"The circuit is enough"', '"The circuit is all"',
         [("noted", "claim told", "other words")]),
        ('"Two heads"', '"One head"', [("noted", "circuit", "another title")]),
        ("circuit c ", "circuit d ", [("noted", "circuit", "renamed")]),
        ("hypothesis = nodes", "hypothesis = some",
         [("noted", "circuit", "another `hypothesis`")]),
        ("; hypothesis = nodes", "", [("noted", "circuit", "another `hypothesis`")]),
        ("treated = other }", "treated = other; split_by = kind }",
         [("changed", "task rows", "another `split_by`")]),
        ("task rows {", "task whole {", [("noted", "task rows", "renamed")]),
        ("claim control: ", "claim check: ", [("noted", "claim control", "renamed")]),
    ],
)  # fmt: skip
def test_a_change_that_hides(
    more: Path, capsys: Capture, before: str, after: str, found: list[tuple[str, str, str]]
) -> None:
    edit(more / "x.circuit", before, after)
    code = int(any(kind != "noted" for kind, *_ in found))
    told = changes(capsys, code, "x.circuit")
    assert [(k, of, what if what in {w for *_, w in found} else what.split(" (")[0])
            for k, of, what in told] == found  # fmt: skip


def test_a_part_in_the_place_of_all_rows(more: Path, capsys: Capture) -> None:
    edit(more / "x.circuit", "task rows {", 'task whole {',
         "path nodes", 'task rows = whole where kind == "easy"\npath nodes')  # fmt: skip
    assert ("weaker", "task rows", "a `where` leaves rows out") in changes(capsys, 1, "x.circuit")


def test_names_of_positions_in_another_order_are_no_change(more: Path, capsys: Capture) -> None:
    edit(more / "library.circuit", "[FIRST_A, FIRST_B]", "[FIRST_B, FIRST_A]")
    assert changes(capsys, 0, "x.circuit") == []


# ------------------------------------------------------------------------------- files


def test_a_renamed_file_is_compared_under_its_new_name(more: Path, capsys: Capture) -> None:
    """Naming the new file alone, or what a shell makes of `*.circuit`, told nothing."""
    os.rename(more / "x.circuit", more / "y.circuit")
    edit(more / "y.circuit", ">= 80% at", ">= 50% at")
    wanted = [("noted", "file", "renamed"), ("weaker", "claim sufficient", "lower threshold")]
    assert changes(capsys, 1, "y.circuit") == wanted
    assert changes(capsys, 1, "library.circuit", "y.circuit") == wanted
    assert changes(capsys, 1, "library.circuit") == wanted, "it lay beside the named file"
    assert changes(capsys, 1, ".") == wanted
    (more.parent / "elsewhere").mkdir()
    for name in ("y.circuit", "library.circuit", "rows.jsonl"):
        shutil.move(more / name, more.parent / "elsewhere" / name)
    assert changes(capsys, 1, "../elsewhere/y.circuit") == wanted


def test_a_deleted_file_is_told_where_its_neighbours_are_named(more: Path, capsys: Capture) -> None:
    text = (more / "x.circuit").read_text()
    (more / "z.circuit").write_text(text.replace("circuit c", "circuit z"))
    git(more, "add", "-A")
    git(more, "commit", "-q", "-m", "Another")
    os.remove(more / "z.circuit")
    told = changes(capsys, 1, "x.circuit")
    assert ("weaker", "claim sufficient", "dropped with its file") in told
    assert changes(capsys, 1, "z.circuit") != [], "also where it is named itself"


# ------------------------------------------------------------------------------- rows


def rows_outside(folder: Path, sha256: str = "") -> Path:
    """Rows that no commit holds, in a file that git ignores."""
    path = folder / "big.jsonl"
    path.write_text('{"prompt": [1]}\n{"prompt": [2]}\n')
    (folder / ".gitignore").write_text("big.jsonl\n")
    option = f', sha256: "{sha256}"' if sha256 else ""
    edit(folder / "x.circuit", 'jsonl("rows.jsonl")', f'jsonl("big.jsonl"{option})')
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Rows elsewhere")
    return path


def test_rows_in_no_commit_are_said_not_to_be_compared(folder: Path, capsys: Capture) -> None:
    rows_outside(folder)
    ((kind, of, what),) = changes(capsys, 1, "x.circuit")
    assert (kind, of) == ("changed", "task rows") and "cannot be compared" in what
    assert "in no commit" in what and "`sha256:`" in what


def test_rows_in_no_commit_are_compared_by_the_hash_of_the_text(
    folder: Path, capsys: Capture
) -> None:
    data = b'{"prompt": [1]}\n{"prompt": [2]}\n'
    path = rows_outside(folder, hashlib.sha256(data).hexdigest())
    assert changes(capsys, 0, "x.circuit") == []
    path.write_text('{"prompt": [1]}\n{"prompt": [3]}\n')
    assert changes(capsys, 1, "x.circuit") == [
        ("changed", "task rows", "other rows in `big.jsonl`")
    ]


# ------------------------------------------------------------------------------- locks


def lock(folder: Path, **other: object) -> None:
    """A lock of the file as it is, with other inputs where said: `model__weights={…}`."""
    program, _ = load_program(str(folder / "x.circuit"))
    task = {
        "marks": [], "data": "as written", "n": 2, "rows": HASH, "row_ids": HASH, "treated": "x",
        "reference": "prompt", "layernorm": "recompute", "average": "ratio_of_means",
        "cluster": "", "seeds": {"data": 0, "treated": None}, "special_tokens": "",
    }  # fmt: skip
    inputs = {
        "file": {"tree": tree_hash(program.file), "uses": dict(used_hashes(program))},
        "model": {"config": HASH, "dtype": "float32", "tokenizer": HASH, "weights": {"w": HASH}},
        "tasks": {"rows": task, "t": dict(task)}, "overrides": {},
    }  # fmt: skip
    for key, value in other.items():
        *way, last = key.split("__")
        place: dict = inputs
        for step in way:
            place = place[step]
        place[last] = value
    kept = json.loads((Path(__file__).parents[2] / "hypotheses" / "quickstart" /
                       "induction.circuit.lock").read_text())  # fmt: skip
    (folder / "x.circuit.lock").write_text(dumped(kept | {"inputs": inputs}))


OTHER = "1" * 64


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({}, []),
        ({"model__weights": {"w": OTHER}},
         [("changed", "model", "other weights under the same text")]),
        ({"model__tokenizer": OTHER}, [("changed", "model", "another tokenizer")]),
        ({"model__config": OTHER}, [("changed", "model", "another config")]),
        ({"tasks__t__rows": OTHER}, [("changed", "task t", "other rows under the same text")]),
        ({"tasks__t__marks": ["aaaaaa"]},
         [("changed", "task t", "other rows under the same text")]),
        ({"tasks__t__n": 1}, [("weaker", "task t", "fewer prompts under the same text")]),
        ({"tasks__t__seeds": {"data": 0, "treated": 1}},
         [("changed", "task t", "another `seeds`")]),
        ({"overrides": {"take": 5}},
         [("changed", "lock", "locked with other options of the command line")]),
    ],
)  # fmt: skip
def test_inputs_of_both_locks_are_compared(
    folder: Path, capsys: Capture, other: dict, told: list[tuple[str, str, str]]
) -> None:
    lock(folder)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Locked")
    lock(folder, **other)
    assert changes(capsys, int(bool(told)), "x.circuit") == told


def test_a_lock_of_another_text_and_one_that_is_gone_are_named(
    folder: Path, capsys: Capture
) -> None:
    lock(folder)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Locked")
    edit(folder / "x.circuit", ">= 80%", ">= 81%")
    told = changes(capsys, 0, "x.circuit")
    what = "the lock is of another text: weights and rows are not compared"
    assert ("noted", "lock", what) in told
    os.remove(folder / "x.circuit.lock")
    told = changes(capsys, 0, "x.circuit")
    assert ("noted", "lock", "no longer there: weights and rows are not compared") in told


def test_a_lock_tells_of_rows_that_are_in_no_commit(folder: Path, capsys: Capture) -> None:
    path = rows_outside(folder)
    lock(folder, tasks__rows__data_file=hashlib.sha256(path.read_bytes()).hexdigest())
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Locked")
    assert changes(capsys, 0, "x.circuit") == []
    path.write_text('{"prompt": [7]}\n')
    assert ("changed", "task rows", "other rows in `big.jsonl`") in changes(capsys, 1, "x.circuit")
