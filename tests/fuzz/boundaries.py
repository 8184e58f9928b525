"""The boundaries: for each, a sound folder, and what one seed breaks in it.

A boundary is a function of (folder, draw) that changes the folder and returns the command line to
run in it. The folder is a copy of `sound_folder`, in which nothing is wrong.
"""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from tests.bad_input_cases import HEAD, good_row, sound, write_rows
from tests.fuzz.mutate import changed_bytes, changed_json, changed_text

__all__ = ["BOUNDARIES", "sound_folder"]

ROWS = 8
CHECK = ["check", "x.circuit", "--no-color", "--allow-inconclusive"]
FRESH = [*CHECK, "--no-cache"]
PLAN = ["plan", "x.circuit", "--no-color"]


def sound_folder(folder: Path) -> None:
    """A model, rows as JSONL and CSV, an edge file, a lock, a result, and a store that is filled.

    `x.circuit` reads the rows of JSONL; `csv.circuit` and `edges.circuit` read the other files.
    """
    from tests.fuzz.judge import run

    sound(folder)
    rows = [good_row(i) | {"group": f"g{i % 2}", "right": i % 5} for i in range(ROWS)]
    write_rows(folder, rows)
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    for row in rows:
        cells = {k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in row.items()}
        writer.writerow(cells | {"right": f"[{row['right']}]", "wrong": f"[{row['wrong']}]"})
    (folder / "rows.csv").write_text(table.getvalue())
    edges = {
        name: {"score": score, "in_graph": score > 0}
        for name, score in (
            ("input->logits", 0.5),
            ("a0.h0->logits", -0.25),
            ("a1.h2->logits", 1.5),
            ("input->a1.h2<v>", 0.75),
        )
    }
    config = json.loads((folder / "model" / "config.json").read_text())
    sizes = {"n_layers": config["n_layer"], "n_heads": config["n_head"]}
    (folder / "edges.json").write_text(json.dumps({"cfg": sizes, "nodes": {}, "edges": edges}))
    (folder / "csv.circuit").write_text(HEAD.replace('jsonl("rows.jsonl")', 'csv("rows.csv")'))
    (folder / "edges.circuit").write_text(
        HEAD.replace("a1.h2@END -> logits", 'edges("edges.json", top: 2)')
    )
    for name in ("x", "csv", "edges"):
        done = run([CHECK[0], f"{name}.circuit", *CHECK[2:]], folder)
        assert done.code == 0, done.said
    assert run(["lock", "x.circuit", "--quiet"], folder).code == 0
    done = run([*FRESH, "--format", "json"], folder)
    (folder / "result.json").write_text(done.said)


def rows(folder: Path, draw: random.Random) -> list[str]:
    """A line of JSONL."""
    lines = (folder / "rows.jsonl").read_text().splitlines()
    place = draw.randrange(len(lines))
    data = [line.encode() for line in lines]
    data[place] = changed_json(lines[place], draw)
    (folder / "rows.jsonl").write_bytes(b"\n".join(data) + b"\n")
    return draw.choice((FRESH, PLAN))


def cells(folder: Path, draw: random.Random) -> list[str]:
    """Cells of a CSV file: their JSON, their texts, and the table itself."""
    path = folder / "rows.csv"
    if draw.random() < 0.5:
        path.write_bytes(changed_text(path.read_text(), draw))
    else:
        table = list(csv.reader(io.StringIO(path.read_text())))
        row = draw.choice(table[1:])
        place = draw.randrange(len(row))
        found = row[place] if row[place][:1] in ("[", "{") else json.dumps(row[place])
        row[place] = changed_json(found, draw).decode("utf-8", "replace")
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(table)
    words = draw.choice((FRESH, PLAN))
    return [words[0], "csv.circuit", *words[2:]]


def edge_files(folder: Path, draw: random.Random) -> list[str]:
    """A file of edges with scores."""
    path = folder / "edges.json"
    path.write_bytes(changed_json(path.read_text(), draw))
    words = draw.choice((FRESH, PLAN, ["lint", "edges.circuit"]))
    return [words[0], "edges.circuit", *words[2:]]


def configs(folder: Path, draw: random.Random) -> list[str]:
    """The config of a model."""
    path = folder / "model" / "config.json"
    path.write_bytes(changed_json(path.read_text(), draw))
    return draw.choice((FRESH, FRESH, ["doctor", "model"], ["lint", "x.circuit"]))


def weights(folder: Path, draw: random.Random) -> list[str]:
    """The weights of a model: the header of the file, and an index that names files."""
    path = folder / "model" / "model.safetensors"
    data = path.read_bytes()
    if draw.random() < 0.3:
        index = {"metadata": {}, "weight_map": {"wte.weight": "part.safetensors"}}
        text = changed_json(json.dumps(index), draw)
        (folder / "model" / "model.safetensors.index.json").write_bytes(text)
        path.rename(folder / "model" / "part.safetensors")
    else:
        size = 8 + int.from_bytes(data[:8], "little")
        head = changed_json(data[8:size].decode(), draw)
        told = len(head) if draw.random() < 0.8 else draw.choice((0, 1, 2**40, 2**63))
        path.write_bytes(told.to_bytes(8, "little") + head + data[size:])
    return FRESH


def locks(folder: Path, draw: random.Random) -> list[str]:
    """A lock beside the file."""
    path = folder / "x.circuit.lock"
    path.write_bytes(changed_json(path.read_text(), draw))
    return draw.choice(([*CHECK, "--locked"], FRESH, ["lock", "x.circuit", "--quiet"]))


def results(folder: Path, draw: random.Random) -> list[str]:
    """What `check --format json` printed, laid out by `report`."""
    path = folder / "result.json"
    path.write_bytes(changed_json(path.read_text(), draw))
    return ["report", "result.json", "--to", draw.choice(("html", "tex", "md")), "-o", "out.txt"]


def circuits(folder: Path, draw: random.Random) -> list[str]:
    """The hypothesis itself."""
    (folder / "x.circuit").write_bytes(changed_text(HEAD, draw))
    return draw.choice((FRESH, PLAN, ["lint", "x.circuit"], ["fmt", "--check", "x.circuit"]))


def store(folder: Path, draw: random.Random) -> list[str]:
    """The result store: a text or number of its index, the index file, a file of values."""
    home = folder / "store"
    index = home / "index.sqlite"
    files = sorted(p for p in home.rglob("*") if p.is_file())
    if draw.random() < 0.5 and index.exists():
        with sqlite3.connect(index) as base:
            tables = [
                t for (t,) in base.execute("select name from sqlite_master where type='table'")
            ]
            table = draw.choice(sorted(tables))
            columns = [row[1] for row in base.execute(f"pragma table_info({table})")]
            column = draw.choice(columns)
            known = [row[0] for row in base.execute(f"select {column} from {table} limit 1")]
            value: object = draw.choice(["x", "[]", "{}", "", None, -1, 10**12, b"\xff", "[[1]]"])
            if known and isinstance(known[0], str) and known[0][:1] in ("[", "{"):
                value = changed_json(known[0], draw).decode("utf-8", "replace")
            try:
                base.execute(f"update {table} set {column} = ?", (value,))
            except sqlite3.Error:
                pass
        base.close()
    elif files:
        path = draw.choice(files)
        path.write_bytes(changed_bytes(path.read_bytes(), draw))
    return draw.choice((CHECK, CHECK, ["cache", "info"], ["cache", "list"], ["cache", "prune"]))


BOUNDARIES: dict[str, Callable[[Path, random.Random], list[str]]] = {
    one.__name__: one
    for one in (
        rows, cells, edge_files, configs, weights, locks, results, circuits, store,
    )
}  # fmt: skip


def fresh_copy(sound: Path, folder: Path) -> None:
    """A copy to break."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sound, folder)
