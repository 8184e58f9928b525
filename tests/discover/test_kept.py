"""Kept scores come back bit for bit, and whatever else lies there is a diagnostic."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from pathdsl.errors import DataError
from pathdsl.lang.rules import pages
from pathdsl.score.attribution import Scored, ScoredUnit
from pathdsl.score.kept.file import read_kept, unit_name, unit_of, values_path, write_kept
from tests.discover.cases import kept_of, layout_of, scored_of

LAYOUT = layout_of()


def written(folder: Path) -> Path:
    path = folder / "t.scores.json"
    write_kept(path, kept_of(scored_of(LAYOUT)))
    return path


def test_all_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "t.scores.json"
    kept = kept_of(scored_of(LAYOUT))
    write_kept(path, kept)
    back = read_kept(path, LAYOUT, model="sha256:00")
    for field in fields(kept):
        if field.name != "scored":
            assert getattr(back, field.name) == getattr(kept, field.name), field.name
    assert back.scored.units == kept.scored.units
    assert back.scored.values.tobytes() == kept.scored.values.tobytes()
    assert not back.by_position


def test_equal_scores_are_equal_bytes(tmp_path: Path) -> None:
    kept = kept_of(scored_of(LAYOUT))
    files = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.scores.json"
        write_kept(path, kept)
        files.append((path.read_bytes(), values_path(path).read_bytes()))
    assert files[0] == files[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.scores.json", "a.scores.safetensors", "b.scores.json", "b.scores.safetensors",
    ]  # fmt: skip


def test_by_position_and_every_kind_of_unit(tmp_path: Path) -> None:
    units = (
        ScoredUnit(sender="input"),
        ScoredUnit(sender="a1.h0"),
        ScoredUnit(receiver="a1.h0", slot="k"),
        ScoredUnit(sender="m1"),
        ScoredUnit(receiver="m1"),
        ScoredUnit(receiver="logits"),
        ScoredUnit(sender="m1.n31"),
        ScoredUnit(sender="a0.h1", receiver="a1.h0", slot="v"),
        ScoredUnit(sender="a1.h1", receiver="m1"),
    )
    assert [unit_of(unit_name(unit), LAYOUT) for unit in units] == list(units)
    values = np.arange(9 * 3 * 2, dtype=float).reshape(9, 3, 2)
    kept = replace(kept_of(Scored(units=units, values=values)), of="nodes")
    write_kept(tmp_path / "n.scores.json", kept)
    back = read_kept(tmp_path / "n.scores.json", LAYOUT)
    assert back.by_position and (back.scored.values == values).all()


@pytest.mark.parametrize(
    "name",
    [
        "a0.h2", "a2.h0", "logits", "m0.n32", "m2.n0", "m00.n1", "->input", "->m0<q>", "->a0.h0",
        "a1.h0->a0.h1<q>", "input->logits<q>", "->", "", "a0.h1->", "a0.h1->a1.h0", "x",
    ],
)  # fmt: skip
def test_names_of_nothing(name: str) -> None:
    assert unit_of(name, LAYOUT) is None


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        index = json.loads(path.read_text())
        change(index)
        path.write_text(json.dumps(index))

    return spoil


def with_values(tensors: dict[str, np.ndarray] | bytes) -> Callable[[Path], None]:
    """Other numbers, with their hash in the index."""

    def spoil(path: Path) -> None:
        data = tensors if isinstance(tensors, bytes) else save(tensors)
        values_path(path).write_bytes(data)
        changed(lambda i: i.update(values=hashlib.sha256(data).hexdigest()))(path)

    return spoil


GOOD = scored_of(LAYOUT).values


def holed() -> np.ndarray:
    values = GOOD.copy()
    values[3, 1] = np.nan
    return values


def cut(path: Path) -> None:
    values_path(path).write_bytes(values_path(path).read_bytes()[:-8])


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no json": (lambda p: p.write_text("hello"), "line 1, column 1"),
    "empty": (lambda p: p.write_bytes(b""), "line 1, column 1"),
    "pickle": (lambda p: p.write_bytes(pickle.dumps({"a": 1})), "pickle"),
    "cut index": (lambda p: p.write_bytes(p.read_bytes()[:90]), "line "),
    "foreign": (lambda p: p.write_text('{"cfg": {}, "nodes": {}, "edges": {}}'), "no index"),
    "list": (lambda p: p.write_text("[]"), "no index"),
    "later format": (changed(lambda i: i.update(format=2)), "`format` is 2"),
    "true format": (changed(lambda i: i.update(format=True)), "`format` is true"),
    "no numbers": (lambda p: values_path(p).unlink(), "cannot be read"),
    "cut numbers": (cut, "does not hold"),
    "other numbers": (lambda p: values_path(p).write_bytes(save({"scores": GOOD + 1})), "not hold"),
    "no safetensors": (with_values(b"x" * 40), "no safetensors file"),
    "wrong name": (with_values({"s": GOOD}), "wanted `scores`"),
    "two tensors": (with_values({"scores": GOOD, "more": GOOD}), "wanted `scores`"),
    "wrong shape": (with_values({"scores": GOOD[:-1]}), "wanted `scores`"),
    "float32": (with_values({"scores": GOOD.astype(np.float32)}), "wanted `scores`"),
    "nan": (with_values({"scores": holed()}), "on row 2 is no finite number"),
    "no key": (changed(lambda i: i.pop("metric")), "no `metric`"),
    "no hash": (changed(lambda i: i.pop("values")), "no `values`"),
    "number": (changed(lambda i: i.update(metric=3)), "`metric` is no text"),
    "steps": (changed(lambda i: i.update(steps=-1)), "`steps` is no whole number"),
    "unit": (changed(lambda i: i["units"].__setitem__(0, "a9.h9->logits")), "no unit `a9.h9->lo"),
    "twice": (changed(lambda i: i["units"].__setitem__(0, i["units"][1])), "stands twice"),
    "units": (changed(lambda i: i["units"].pop()), "its `shape`"),
    "unit no text": (changed(lambda i: i["units"].__setitem__(0, 1)), "no list of texts"),
    "rows": (changed(lambda i: i["rows"].__setitem__(0, "row 1")), "no hashes"),
    "fewer rows": (changed(lambda i: i["rows"].pop()), "`clusters` for"),
    "shape": (changed(lambda i: i.update(shape=[1])), "its `shape`"),
    "huge": (changed(lambda i: i.update(shape=[i["shape"][0], 2**40, i["shape"][1]])), "more than"),
    "method": (changed(lambda i: i.update(method="magic")), "method `magic`"),
    "of": (changed(lambda i: i.update(of="marks")), "`of` `marks`"),
    "no edges": (changed(lambda i: i["units"].__setitem__(0, "a0.h0")), "not all its units are"),
    "model": (changed(lambda i: i.update(model="sha256:22")), "of the model `sha256:22`"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_named(fault: str, tmp_path: Path) -> None:
    path = written(tmp_path)
    spoil, said = FAULTS[fault]
    spoil(path)
    with pytest.raises(DataError) as raised:
        read_kept(path, LAYOUT, model="sha256:00")
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.code == "PD245" and "PD245" in pages()
    assert said in diagnostic.message, diagnostic.message
    assert diagnostic.help


def test_the_numbers_are_not_the_index(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        read_kept(values_path(written(tmp_path)), LAYOUT)
    (diagnostic,) = raised.value.diagnostics
    assert "`t.scores.json`" in diagnostic.help


def test_no_index_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_kept(tmp_path / "none.scores.json", LAYOUT)


def test_what_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    kept = kept_of(scored_of(LAYOUT))
    twice = Scored(units=(kept.scored.units[0],) * 2, values=GOOD[:2])
    for path, one in (
        ("t.json", kept),
        ("t.scores.json", replace(kept, scored=Scored(units=kept.scored.units, values=holed()))),
        ("t.scores.json", replace(kept, rows=kept.rows[1:])),
        ("t.scores.json", replace(kept, clusters=kept.clusters[1:])),
        ("t.scores.json", replace(kept, scored=twice)),
    ):
        with pytest.raises(ValueError):
            write_kept(tmp_path / path, one)
    assert list(tmp_path.iterdir()) == []


def test_another_model_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(DataError, match="this model has no unit"):
        read_kept(path, layout_of(1, 1))
