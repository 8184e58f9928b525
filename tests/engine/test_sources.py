"""Rows of JSON, Parquet and data sets: the same rows as JSON lines, and what is wrong with them."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pathdsl import check
from pathdsl.engine.data.rows import LoadedRows, load_rows
from pathdsl.engine.data.task import task_spec
from pathdsl.errors import DataError
from pathdsl.lang.fence import Fence
from pathdsl.lang.lint import lint_file
from pathdsl.lang.syntax.parse import parse
from pathdsl.tasks import get
from tests.docs.test_language import DOCS, blocks

HEAD = """circuit sources "Rows" {{ language = 1 }}
model mini = bundled("ioi-mini")
task t {{
  data = {data}
  reference = {reference}; treated = {treated}; positions = [{positions}]{bos}
}}
metric LD: logits = logit({answer}) - logit({wrong})
let kept: logits = mean(LD(treat(through(r0@S2))))
"""
USUAL = {"reference": "prompt", "treated": "prompt_abc", "positions": "S2", "answer": "io",
         "wrong": "s", "bos": ""}  # fmt: skip
ROWS = [{"id": str(i), **{k: v for k, v in row.items() if k != "id"}}
        for i, row in enumerate(get("mini_ioi").rows(take=6, seed=0), start=1)]  # fmt: skip


def loaded(data: str, folder: Path) -> LoadedRows:
    file, faults = parse(f"task t {{\n  data = {data}\n  reference = prompt\n}}\n", "x.circuit")
    assert not faults
    (decl,) = file.statements
    return load_rows(task_spec(decl), folder, fence=Fence((str(folder),)))  # type: ignore[arg-type]


def fault(data: str, folder: Path) -> Any:
    with pytest.raises(DataError) as caught:
        loaded(data, folder)
    return caught.value.diagnostics[-1]


def _table(rows: list[dict[str, Any]], path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(arrow.Table.from_pylist(rows), path)


def _json(folder: Path) -> str:
    (folder / "rows.json").write_text(json.dumps(ROWS))
    return 'json("rows.json"'


def _parquet(folder: Path) -> str:
    _table(ROWS, folder / "rows.parquet")
    return 'parquet("rows.parquet"'


def _saved(folder: Path) -> str:
    pytest.importorskip("datasets").Dataset.from_list(ROWS).save_to_disk(folder / "saved")
    return 'dataset("saved"'


def _saved_splits(folder: Path) -> str:
    datasets = pytest.importorskip("datasets")
    both = {"train": datasets.Dataset.from_list(ROWS[:1]), "test": datasets.Dataset.from_list(ROWS)}
    datasets.DatasetDict(both).save_to_disk(folder / "both")
    return 'dataset("both", split: "test"'


def _folder_of_parquet(folder: Path) -> str:
    parts = folder / "parts" / "data"
    _table(ROWS[:3], parts / "test-00000-of-00002.parquet")
    _table(ROWS[3:], parts / "test-00001-of-00002.parquet")
    _table(ROWS[:2], parts / "train-00000-of-00001.parquet")
    return 'dataset("parts", split: "test"'


def _folder_of_lines(folder: Path) -> str:
    (folder / "lines" / "main").mkdir(parents=True)
    (folder / "lines/main/test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "lines/README.md").write_text("---\nconfigs: [{data_files: /etc/passwd}]\n---\n")
    return 'dataset("lines", config: "main"'


SOURCES = [_json, _parquet, _saved, _saved_splits, _folder_of_parquet, _folder_of_lines]


@pytest.mark.parametrize("source", SOURCES)
def test_the_rows_are_those_of_json_lines(source: Callable[[Path], str], tmp_path: Path) -> None:
    written = source(tmp_path)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    lines = loaded('jsonl("rows.jsonl")', tmp_path)
    found = loaded(f"{written})", tmp_path)
    assert found.rows == lines.rows and found.facts["rows"] == lines.facts["rows"]
    assert len(loaded(f"{written}, take: 3, seed: 1)", tmp_path).rows) == 3
    digest = found.facts["data_sha256"]
    again = loaded(f'{written}, sha256: "{digest[:12]}")', tmp_path)
    assert again.facts["data_sha256"] == digest
    assert fault(f'{written}, sha256: "00000000")', tmp_path).code == "PD321"


def test_a_change_of_a_file_changes_the_hash(tmp_path: Path) -> None:
    written = _folder_of_lines(tmp_path)
    before = loaded(f"{written})", tmp_path).facts["data_sha256"]
    path = tmp_path / "lines/main/test.jsonl"
    path.write_text(path.read_text() + "\n")
    assert loaded(f"{written})", tmp_path).facts["data_sha256"] != before


PROMPTS = {
    "seq_labels": ["a"] * 14,
    "word_idxs": {"IO": 2, "S1": 4, "S2": 10},
    "prompts": [
        {
            "clean": "Then, Mary and John went to the park. John gave a book to",
            "corrupt": "Then, Sarah and Paul went to the park. Simon gave a book to",
            "answers": [" Mary"],
            "wrong_answers": [" John"],
        },
        {
            "clean": "Then, John and Mary went to the park. Mary gave a book to",
            "corrupt": "Then, Paul and Sarah went to the park. Simon gave a book to",
            "answers": [" John"],
            "wrong_answers": [" Mary"],
        },
    ],
}
AS_SPANS = {"IO": [6, 10], "S1": [15, 19], "S2": [38, 42]}


def test_prompts_of_auto_circuit_as_they_are(tmp_path: Path) -> None:
    """Places do not count the special token in front: they are those that characters give."""
    (tmp_path / "prompts.json").write_text(json.dumps(PROMPTS))
    rows = [{"clean": one["clean"], "corrupt": one["corrupt"], "answers": one["answers"],
             "wrong_answers": one["wrong_answers"], "spans": AS_SPANS}
            for one in PROMPTS["prompts"]]  # type: ignore[index] # fmt: skip
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    given = {**USUAL, "reference": "clean", "treated": "corrupt", "answer": "answers",
             "wrong": "wrong_answers", "positions": "IO, S1, S2"}  # fmt: skip
    path = tmp_path / "x.circuit"
    for bos in ("", "; bos = true", "; bos = false"):
        told = []
        for name in ("prompts", "rows"):
            path.write_text(HEAD.format(**{**given, "data": f'json("{name}.json")', "bos": bos}))
            outcome = check(path, store=None).outcome
            assert outcome.judgement is not None, outcome.diagnostics
            told.append([one.estimate for one in outcome.judgement.quantities])
        assert told[0] == told[1]


def test_columns_are_known_without_a_model(tmp_path: Path) -> None:
    for source in (_json, _parquet, _saved):
        path = tmp_path / "x.circuit"
        path.write_text(HEAD.format(**{**USUAL, "data": f"{source(tmp_path)})",
                                       "reference": "promt"}))  # fmt: skip
        (found,) = [one for one in lint_file(str(path))[1] if "promt" in one.message]
        assert "`prompt`" in f"{found.help} {found.notes}", found


def test_a_row_is_named_by_its_number(tmp_path: Path) -> None:
    rows = [{**row, "id": f"r{row['id']}"} for row in ROWS]
    rows[2]["positions"] = {"S2": 99}
    rows[2].pop("spans", None)
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (tmp_path / "x.circuit").write_text(HEAD.format(**USUAL, data='json("rows.json")'))
    (found,) = check(tmp_path / "x.circuit", store=None).outcome.diagnostics
    assert "row 3 of `rows.json`" in found.notes, found


@pytest.mark.parametrize(
    ("name", "content", "data", "code", "told"),
    [
        ("a.json", '{"a": 1}\n{"a": 2}\n', 'json("a.json")', "PD322", "`jsonl`"),
        ("a.json", '{"a": 1}', 'json("a.json")', "PD322", "`prompts`"),
        ("a.json", '[{"a": 1}, 3]', 'json("a.json")', "PD322", "row `2`"),
        ("a.parquet", "no", 'parquet("a.parquet")', "PD377", "a.parquet"),
        ("d/train.jsonl", "{}", 'dataset("d", split: "test")', "PD377", "`train`"),
        ("d/x.py", "", 'dataset("d")', "PD377", "holds no rows"),
        ("d/a.csv", "a", 'dataset("d", revision: "main")', "PD377", "no `revision:`"),
        ("d/a.csv", "a", 'dataset("d", config: "..")', "PD377", "are names"),
        ("d/a.csv", "a", 'dataset("d", config: "x")', "PD377", "no configuration"),
        ("d/state.json", '{"_data_files": [{"filename": "../x"}]}', 'dataset("d")', "PD377",
         "state"),
        ("d/a.csv", "a", 'dataset("./e")', "PD377", "no folder"),
        ("d/a.csv", "a", 'dataset("../d")', "PD664", "leads out"),
        ("d/a.csv", "a", 'dataset("no such name")', "PD377", "neither a folder"),
        ("d/a.csv", "a", 'dataset("")', "PD327", "names no data set"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(
    name: str, content: str, data: str, code: str, told: str, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(content)
    found = fault(data, tmp_path)
    assert found.code == code, found
    assert told in f"{found.message} {found.notes} {found.help}", found


def test_several_splits_are_a_question(tmp_path: Path) -> None:
    _saved_splits(tmp_path)
    found = fault('dataset("both")', tmp_path)
    assert found.code == "PD377" and found.help == 'split: "train"'
    _folder_of_parquet(tmp_path)
    assert "several splits" in fault('dataset("parts")', tmp_path).message


def test_dates_are_no_values(tmp_path: Path) -> None:
    _table([{"prompt": "a", "day": datetime.date(2020, 1, 1)}] * 3, tmp_path / "rows.parquet")
    found = fault('parquet("rows.parquet")', tmp_path)
    assert found.code == "PD378" and "row `1`, column `day`" in found.message


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.parquet").write_text("")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "datasets", None)
    found = fault('parquet("rows.parquet")', tmp_path)
    assert found.code == "PD376" and "pip install 'pathdsl[data]'" in found.help
    assert fault('dataset("owner/name")', tmp_path).code == "PD376"


def test_a_name_goes_to_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    asked: list[Any] = []

    def load(*given: Any, **more: Any) -> Any:
        asked.append((given, more))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load)
    commit = "0" * 40
    call = f'dataset("owner/name", split: "test", config: "en", revision: "{commit}")'
    found = loaded(call, tmp_path)
    assert asked == [(("owner/name",), {"name": "en", "split": "test", "revision": commit})]
    assert found.warnings == ()
    assert found.facts["data_sha256"] == found.facts["rows"]
    path = tmp_path / "x.circuit"
    for data, codes in (
        (call, []),
        ('dataset("owner/name")', ["PD379"]),
        ('dataset("owner/name", revision: "main")', ["PD379"]),
        ('dataset("./name")', ["PD300"]),
    ):
        path.write_text(HEAD.format(**USUAL, data=data))
        assert [one.code for one in lint_file(str(path))[1] if one.code[:3] == "PD3"] == codes

    def fails(*given: Any, **more: Any) -> Any:
        raise ConnectionError("cannot reach the hub")

    monkeypatch.setattr(datasets, "load_dataset", fails)
    last = fault(call, tmp_path)
    assert last.code == "PD377" and "save_to_disk" in last.help


@pytest.mark.parametrize("source", [_parquet, _saved])
def test_ids_and_texts_are_read_as_said(source: Callable[[Path], str], tmp_path: Path) -> None:
    written = source(tmp_path)
    assert fault(f"{written}, ids: [io])", tmp_path).code == "PD352"
    assert fault(f"{written}, texts: [nothing])", tmp_path).code == "PD328"


def test_the_examples_of_the_page_are_judged(tmp_path: Path) -> None:
    for block in blocks(DOCS / "rows.md"):
        for name, text in block.files.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / "x.circuit").write_text(block.text, encoding="utf-8")
        outcome = check(tmp_path / "x.circuit", store=None).outcome
        assert outcome.exit_code in (0, 5) and outcome.judgement is not None, outcome.diagnostics
        assert [one.estimate for one in outcome.judgement.quantities] != [0.0]
