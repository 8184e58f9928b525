"""Rows, tokens, positions and treated values, and every fault that a user's data can have."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from pathdsl.engine.data import (
    DataCall,
    Filter,
    TaskSpec,
    build_task,
    load_rows,
    next_tokens,
    parse_position,
    resolve_positions,
    task_spec,
    treated_spec,
)
from pathdsl.engine.load import load_tokenizer
from pathdsl.engine.source import shape_of, source_from
from pathdsl.engine.treated import groups_of_one, mean_groups, noise_values, resample_rows
from pathdsl.errors import DataError, Diagnostic, Severity, Span
from pathdsl.graph.shape import ModelShape
from pathdsl.lang import ast
from pathdsl.lang.program import load_program
from pathdsl.lang.rules.page import Example
from pathdsl.lang.rules.pd3_data import PAGES
from pathdsl.lang.rules.pd6_models import MODEL_PAGES
from pathdsl.plan.runs import TreatedSpec
from pathdsl.plan.taskdata import TaskData

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("PATHDSL_SHARED", ROOT.parent / "shared"))
HERE = Span(path="x.circuit", start=0, end=5)

SHAPE = ModelShape(
    family="gpt2",
    n_layers=1,
    n_heads=1,
    d_model=4,
    d_head=4,
    d_mlp=4,
    d_vocab=20,
    n_positions=8,
)
WORDS = [
    "[UNK]", "<s>", "a", " a", "b", " b", " Mary", " John", " gave", ".", "Mar", "y", " Ann",
]  # fmt: skip


def make_tokenizer(*, special: bool = False, bos: bool = True) -> PreTrainedTokenizerFast:
    """Words with their leading space are tokens, as GPT-2 has them."""
    plain = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Split(Regex(r" \w+|Mar|\w+|\."), "isolated")
    if special:
        plain.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, unk_token="[UNK]", bos_token="<s>" if bos else None
    )


TOKENIZER = make_tokenizer()
IDS = [{"id": f"r{i}", "prompt": [2, 3, 4 + i], "other": [5, 6, 7], "io": 9} for i in range(3)]


def spec(**options: Any) -> TaskSpec:
    return TaskSpec(name="t", data=DataCall(name="jsonl"), reference="prompt", **options)


def build(
    rows: Sequence[Mapping[str, object]], task: TaskSpec | None = None, **options: Any
) -> TaskData:
    return both(rows, task, **options)[0]


def both(
    rows: Sequence[Mapping[str, object]],
    task: TaskSpec | None = None,
    tokenizer: object = TOKENIZER,
    shape: ModelShape = SHAPE,
    **options: Any,
) -> tuple[TaskData, tuple[Diagnostic, ...]]:
    given = [{"id": str(i), **row} for i, row in enumerate(rows)]
    return build_task(task or spec(), given, tokenizer, shape, **options)


def faults_of(*arguments: Any, **options: Any) -> tuple[Diagnostic, ...]:
    with pytest.raises(DataError) as caught:
        both(*arguments, **options)
    assert int(caught.value.exit_code) == 2
    return caught.value.diagnostics


def one_fault(code: str, *arguments: Any, **options: Any) -> str:
    found = faults_of(*arguments, **options)
    assert [d.code for d in found] == [code]
    return " ".join((found[0].message, *found[0].notes, found[0].help))


# ------------------------------------------------------------------------------- tokens


def test_ids_are_used_as_they_are() -> None:
    rows = [{"prompt": [2, 3, 4], "io": 9}, {"prompt": [5], "io": [1, " b"]}]
    task = build(rows, answer_columns=["io", "next"])
    assert task.prompts["prompt"].tolist() == [[2, 3, 4], [5, 0, 0]]
    assert task.prompts["prompt"].dtype == np.int64
    assert task.lengths.tolist() == [3, 1]
    assert task.answers == {"io": ((9,), (1, 5))}
    assert task.positions == {"END": ((2,), (0,))}
    assert task.clusters.tolist() == [0, 1]
    assert task.n_pos == 3


def test_texts_and_special_tokens() -> None:
    rows = [{"prompt": "a b", "x": " Mary"}]
    plain = build(rows)
    assert plain.prompts["prompt"].tolist() == [[2, 5]]
    assert plain.tokens == (("a", " b"),)
    assert plain.facts["special_tokens"] == "none (the tokenizer adds none)"
    assert build(rows, spec(bos=True)).prompts["prompt"].tolist() == [[1, 2, 5]]
    own = build(rows, tokenizer=make_tokenizer(special=True))
    assert own.prompts["prompt"].tolist() == [[1, 2, 5]]
    assert "`<s>`" in own.facts["special_tokens"]
    none = build(rows, spec(bos=False), tokenizer=make_tokenizer(special=True))
    assert none.prompts["prompt"].tolist() == [[2, 5]]
    assert own.key != none.key


def test_answers_carry_their_leading_space_and_no_special_token() -> None:
    task = build(
        [{"prompt": "a", "io": " Mary"}],
        tokenizer=make_tokenizer(special=True),
        answer_columns=["io"],
    )
    assert task.answers["io"] == ((6,),)


def test_answer_of_several_tokens() -> None:
    said = one_fault("PD333", [{"prompt": "a", "io": "Mary"}], answer_columns=["io"])
    assert "2 tokens (`Mar` `y`)" in said
    assert said.endswith('" Mary"')


def test_answer_outside_the_vocabulary() -> None:
    said = one_fault("PD333", [{"prompt": "a", "io": ["a", "Zoe"]}], answer_columns=["io"])
    assert "`Zoe` is not in the vocabulary" in said


@pytest.mark.parametrize("value", [None, 1.5, True, {}, [], [None], [True]])
def test_answer_of_a_wrong_type(value: object) -> None:
    assert "`io`" in one_fault("PD329", [{"prompt": "a", "io": value}], answer_columns=["io"])


@pytest.mark.parametrize("value", [-1, 20, [3, 20]])
def test_answer_id_out_of_vocabulary(value: object) -> None:
    assert "0 to 19" in one_fault("PD332", [{"prompt": "a", "io": value}], answer_columns=["io"])


@pytest.mark.parametrize("value", [None, 3, {}, ["a"], [1.0], [True]])
def test_prompt_of_a_wrong_type(value: object) -> None:
    assert "row `0`, column `prompt`" in one_fault("PD329", [{"prompt": value}])


@pytest.mark.parametrize("value", ["", []])
def test_empty_prompt(value: object) -> None:
    one_fault("PD330", [{"prompt": value}])
    one_fault("PD330", [{"prompt": value}], spec(bos=True))


def test_long_prompt() -> None:
    assert "9 tokens, the model takes 8" in one_fault("PD331", [{"prompt": [2] * 9}])


@pytest.mark.parametrize("bad", [-1, 20])
def test_prompt_id_out_of_vocabulary(bad: int) -> None:
    assert f"token id {bad}" in one_fault("PD332", [{"prompt": [2, bad]}])


def test_tokenizer_larger_than_the_model() -> None:
    assert "12" in one_fault("PD332", [{"prompt": " Ann"}], shape=replace(SHAPE, d_vocab=12))


def test_unknown_word_is_a_warning() -> None:
    _, warnings = both([{"prompt": "a Zoe"}])
    assert [(d.code, d.severity) for d in warnings] == [("PD346", Severity.WARNING)]
    assert "Zoe" in warnings[0].message


def test_no_tokenizer() -> None:
    said = one_fault("PD342", [{"prompt": "a"}, {"prompt": "b"}], tokenizer=None)
    assert "token ids" in said
    task = build([{"prompt": [1]}], tokenizer=None)
    assert (task.tokens, task.facts["special_tokens"]) == (
        (("1",),),
        "none (token ids as given)",
    )


def test_no_beginning_of_sequence_token() -> None:
    one_fault("PD344", [{"prompt": "a"}], spec(bos=True), tokenizer=make_tokenizer(bos=False))


# ------------------------------------------------------------------------------- rows and columns


def test_lengths_of_one_row_must_agree() -> None:
    paired = spec(treated=TreatedSpec(kind="paired", column="other"))
    rows = [{"prompt": "a b", "other": "a"}, {"prompt": "a", "other": "b"}]
    said = one_fault("PD334", rows, paired)
    assert "row `0`" in said
    assert "prompt: `a` ` b`" in said
    assert "other: `a`" in said


def test_missing_columns() -> None:
    mean = spec(treated=TreatedSpec(kind="mean", column="abc", by="template"), cluster="doc")
    found = faults_of([{"prompt": "a", "x": 1}], mean, answer_columns=["io"])
    assert {d.code for d in found} == {"PD328"}
    named = " ".join(d.message for d in found)
    assert all(f"`{name}`" in named for name in ("abc", "template", "doc", "io"))
    assert "`prompt`, `x`" in found[0].notes[0]


def test_label_that_is_no_label() -> None:
    rows = [{"prompt": "a", "doc": [1]}, {"prompt": "a", "doc": 1}]
    assert "row `0`" in one_fault("PD329", rows, spec(cluster="doc"))


def test_many_faults_are_counted() -> None:
    found = faults_of([{"prompt": ""}] * 25)
    assert len(found) == 11
    assert found[-1].message == "task `t`: and 15 more like this (prompt)"


def test_all_faults_are_reported_together() -> None:
    rows = [{"prompt": "", "io": "Mary"}, {"prompt": "a", "io": 99, "positions": {"S": 4}}]
    codes = [d.code for d in faults_of(rows, answer_columns=["io"])]
    assert sorted(codes) == ["PD330", "PD332", "PD333", "PD336"]


def test_no_rows() -> None:
    one_fault("PD324", [])


def test_double_ids() -> None:
    assert "`x`" in one_fault("PD339", [{"id": "x", "prompt": "a"}, {"id": "x", "prompt": "b"}])


def test_clusters_and_labels() -> None:
    rows = [{"prompt": "a", "doc": d, "flag": True, "free": [1]} for d in ("x", "y", "x")]
    task = build(rows, spec(cluster="doc"))
    assert task.clusters.tolist() == [0, 1, 0]
    assert task.labels == {"doc": ("x", "y", "x"), "flag": (True, True, True)}


def test_tasks_that_share_rows_share_the_key() -> None:
    one, two = build(IDS), build(IDS, replace(spec(), name="u"), prompt_columns=["other"])
    assert one.key == two.key
    assert one.facts["rows"] == two.facts["rows"]
    assert one.key != build(IDS, replace(spec(), reference="other")).key
    assert one.key != build(IDS[:2]).key


def test_equal_reference_and_treated_is_a_warning() -> None:
    paired = spec(treated=TreatedSpec(kind="paired", column="other"))
    rows = [{"prompt": "a", "other": "a"}, {"prompt": "a", "other": "b"}]
    _, warnings = both(rows, paired)
    assert [(d.code, "row `0`" in d.message) for d in warnings] == [("PD340", True)]
    _, warnings = both(rows, spec(treated=TreatedSpec(kind="paired", column="prompt")))
    assert [d.code for d in warnings] == ["PD340"]


# ------------------------------------------------------------------------------- positions


def test_positions_by_index_and_by_name() -> None:
    rows = [
        {"prompt": [2, 3, 4, 5], "positions": {"S": 1, "M": [2, 0, 2]}},
        {"prompt": [2, 3, 4], "positions": {"S": 0, "M": [1], "rare": 1}},
    ]
    task = build(rows, spec(positions=("S", "M", "END")))
    assert task.positions == {"S": ((1,), (0,)), "M": ((0, 2), (1,)), "END": ((3,), (2,))}
    assert resolve_positions(task, "S", 1) == ((2,), (1,))
    assert resolve_positions(task, "M", 1) == ((1, 3), (2,))
    assert resolve_positions(task, "END", -1) == ((2,), (1,))
    assert resolve_positions(task, index=2) == ((2,), (2,))
    assert next_tokens(task, "S") == ((4,), (3,))
    assert next_tokens(task, "M") == ((3, 5), (4,))
    for written, code, said in (
        ("S+2", None, ""),
        ("END+1", "PD336", "row `0`"),
        ("S-1", "PD336", "row `1`: position `S-1` is -1"),
        ("[3]", "PD336", "row `1`"),
        ("rare", "PD338", "`S`, `M`, `END`"),
    ):
        if code is None:
            assert resolve_positions(task, *parse_position(written)) == ((3,), (2,))
            continue
        with pytest.raises(DataError) as caught:
            resolve_positions(task, *parse_position(written))
        assert caught.value.diagnostics[0].code == code
        assert said in caught.value.diagnostics[0].message
    with pytest.raises(DataError) as caught:
        next_tokens(task, "END")
    assert [d.code for d in caught.value.diagnostics] == ["PD347", "PD347"]


def test_written_positions() -> None:
    assert parse_position("S1+1") == ("S1", 1, None)
    assert parse_position("END-2") == ("END", -2, None)
    assert parse_position("[3]") == ("", 0, 3)
    for bad in ("", "1", "[-1]", "S1 + 1", "S1+", "[S1]"):
        with pytest.raises(ValueError, match="no position"):
            parse_position(bad)


def test_spans() -> None:
    text = "a Mary gave."
    rows = [{"prompt": text, "spans": {"S": [2, 6], "V": [7, 11], "both": [2, 11]}}]
    task = build(rows, spec(positions=("S", "V")), tokenizer=make_tokenizer(special=True))
    assert task.tokens == (("<s>", "a", " Mary", " gave", "."),)
    assert task.positions["END"] == ((len(task.tokens[0]) - 1,),)
    assert task.positions["S"] == ((2,),)
    assert task.positions["V"] == ((3,),)
    assert task.positions["both"] == ((2, 3),)
    start = build([{"prompt": "Mary gave", "spans": {"S": [0, 4]}}])
    assert start.positions["S"] == ((0, 1),)  # two tokens without a leading space


def test_span_that_splits_a_token() -> None:
    said = one_fault("PD337", [{"prompt": "a gave", "spans": {"S": [2, 4]}}])
    assert "`ga`" in said
    assert "splits the token" in said
    bare = make_tokenizer()
    bare.backend_tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    blank = [{"prompt": "a b", "spans": {"S": [1, 2]}}]
    assert "lies on no token" in one_fault("PD337", blank, tokenizer=bare)


def test_spans_count_in_the_column_prompt() -> None:
    rows = [{"prompt": "a gave b", "longer": " Mary b a", "spans": {"S": [2, 6]}}]
    task = build(rows, replace(spec(), reference="longer"))
    assert task.positions["S"] == ((1,),)
    rows[0]["longer"] = " b"
    assert "spans count" in one_fault("PD334", rows, replace(spec(), reference="longer"))


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ({"positions": {"S": 3}}, "PD336"),
        ({"positions": {"S": -1}}, "PD336"),
        ({"positions": {"S": [0, 5]}}, "PD336"),
        ({"positions": {"S": []}}, "PD348"),
        ({"positions": {"S": "1"}}, "PD329"),
        ({"positions": {"S": True}}, "PD329"),
        ({"positions": {"S": None}}, "PD329"),
        ({"positions": [1]}, "PD329"),
        ({"spans": {"S": [0, 99]}}, "PD336"),
        ({"spans": {"S": [3, 3]}}, "PD336"),
        ({"spans": {"S": [1]}}, "PD329"),
        ({"spans": "S"}, "PD329"),
    ],
)
def test_wrong_places(place: dict[str, object], code: str) -> None:
    assert "row `0`" in one_fault(code, [{"prompt": "a b.", **place}])


def test_spans_of_ids() -> None:
    one_fault("PD329", [{"prompt": [1, 2], "spans": {"S": [0, 1]}}])


def test_missing_positions() -> None:
    rows = [{"prompt": "a", "positions": {"S": 0}}, {"prompt": "a"}]
    assert "row `1` gives no position `S`" in one_fault("PD335", rows, spec(positions=("S",)))


# ------------------------------------------------------------------------------- files


def write(folder: Path, text: str | bytes, name: str = "rows.jsonl") -> str:
    content = text if isinstance(text, bytes) else text.encode()
    (folder / name).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def data(kind: str = "jsonl", path: str = "rows.jsonl", **arguments: Any) -> TaskSpec:
    return replace(spec(), data=DataCall(name=kind, path=path, arguments=arguments))


def fails(code: str, folder: Path, task: TaskSpec, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load_rows(task, folder, **options)
    assert {d.code for d in caught.value.diagnostics} == {code}
    return " ".join(" ".join((d.message, *d.notes, d.help)) for d in caught.value.diagnostics)


def ids(folder: Path, task: TaskSpec, **options: Any) -> list[str]:
    return [row["id"] for row in load_rows(task, folder, **options).rows]


def test_jsonl(tmp_path: Path) -> None:
    digest = write(tmp_path, '\ufeff{"prompt": "a"}\r\n\n{"prompt": "b", "id": 7}\n')
    loaded = load_rows(data(sha256=digest[:4].upper()), tmp_path)
    assert loaded.rows == [{"prompt": "a", "id": "1"}, {"prompt": "b", "id": "7"}]
    assert loaded.facts["data_sha256"] == digest
    assert loaded.facts["data"].startswith('jsonl("rows.jsonl", sha256: ')


def test_bad_lines_are_all_reported(tmp_path: Path) -> None:
    write(tmp_path, '{"a": 1}\n{"a": \n[1]\n\n' + "[" * 100_000)
    said = fails("PD322", tmp_path, data())
    assert "line 2, column 7" in said
    assert "line 3 of `rows.jsonl` is not a JSON object" in said
    assert "line 5" in said


def test_hash(tmp_path: Path) -> None:
    digest = write(tmp_path, "{}\n")
    assert f'sha256: "{digest}"' in fails("PD321", tmp_path, data(sha256="0000"))
    assert "4 hexadecimal digits" in fails("PD321", tmp_path, data(sha256=digest[:3]))
    fails("PD321", tmp_path, data(sha256="wxyz"))


def test_no_file(tmp_path: Path) -> None:
    assert "nowhere.jsonl" in fails("PD320", tmp_path, data(path="nowhere.jsonl"))
    fails("PD320", tmp_path, data(path="."))
    fails("PD327", tmp_path, data(path=""))


def test_not_utf8(tmp_path: Path) -> None:
    write(tmp_path, b'{"a": 1}\n{"a": "\xff"}\n')
    assert "line 2" in fails("PD323", tmp_path, data())


def test_empty_file(tmp_path: Path) -> None:
    write(tmp_path, "\n \n")
    fails("PD324", tmp_path, data())


def test_take(tmp_path: Path) -> None:
    write(tmp_path, "".join(f'{{"id": {i}}}\n' for i in range(20)))
    assert ids(tmp_path, data(take=3)) == ["0", "1", "2"]
    drawn = ids(tmp_path, data(take=6, seed=1))
    assert drawn == sorted(drawn, key=int)
    assert len(set(drawn)) == 6
    assert drawn == ids(tmp_path, data(take=6, seed=1))
    assert drawn != ids(tmp_path, data(take=6, seed=2))
    assert len(ids(tmp_path, data(take=6, seed=1), overrides={"take": 2})) == 2
    assert ids(tmp_path, data(take=6), overrides={"seed": 1}) == drawn
    assert "take: 20" in fails("PD325", tmp_path, data(take=21))
    fails("PD327", tmp_path, data(take=0, seed="x"))
    fails("PD327", tmp_path, data(take=True))
    fails("PD327", tmp_path, data(rows=1))


def test_csv(tmp_path: Path) -> None:
    text = 'prompt,io,positions,n\n"a, b", Mary,"{""S"": 1}",3\n[2],[5],{},4\n'
    write(tmp_path, text, "rows.csv")
    rows = load_rows(data("csv", "rows.csv"), tmp_path).rows
    assert rows == [
        {"prompt": "a, b", "io": " Mary", "positions": {"S": 1}, "n": "3", "id": "1"},
        {"prompt": [2], "io": [5], "positions": {}, "n": "4", "id": "2"},
    ]
    four = replace(data("csv", "rows.csv"), filters=(Filter(field="n", value=4),))
    assert ids(tmp_path, four) == ["2"]
    write(tmp_path, "a,a\n1,2\n1\n", "rows.csv")
    said = fails("PD322", tmp_path, data("csv", "rows.csv"))
    assert "`a` twice" in said
    assert "line 3 has 1 cells" in said


def test_filters(tmp_path: Path) -> None:
    rows = [{"t": "x", "n": 1}, {"t": "y", "n": 2}, {"t": "x", "n": True}]
    write(tmp_path, "\n".join(json.dumps(row) for row in rows))

    def only(*filters: Filter) -> TaskSpec:
        return replace(data(), filters=filters)

    assert ids(tmp_path, only(Filter(field="t", value="x"))) == ["1", "3"]
    assert ids(tmp_path, only(Filter(field="n", value=1))) == ["1"]
    assert ids(tmp_path, only(Filter(field="n", value=True))) == ["3"]
    both_ = only(Filter(field="t", value="x"), Filter(field="n", value=1))
    assert ids(tmp_path, both_) == ["1"]
    assert "`t` equal to `z`" in fails("PD324", tmp_path, only(Filter(field="t", value="z")))
    assert "`u`" in fails("PD328", tmp_path, only(Filter(field="u", value="z")))
    write(tmp_path, '{"id": "a"}\n{"id": "a"}')
    fails("PD339", tmp_path, data())


def test_generators(tmp_path: Path) -> None:
    pytest.importorskip("pathdsl.tasks")
    loaded = load_rows(data("ioi", "", take=4, seed=3), tmp_path)
    assert len(loaded.rows) == 4
    assert loaded.facts["data"] == "ioi(take: 4, seed: 3)"
    assert len(load_rows(data("ioi", "", take=4), tmp_path, {"take": 2, "seed": 9}).rows) == 2
    assert "`ioi`" in fails("PD326", tmp_path, data("no_such", ""))
    said = fails("PD327", tmp_path, data("ioi", "", take=-1, colour="red"))
    assert "`take` is -1" in said
    assert "no argument `colour`" in said
    fails("PD327", tmp_path, data("ioi", "a text"))


# ------------------------------------------------------------------------------- treated values

GROUPED = [
    {"id": "a", "prompt": [2, 3], "t": "x"},
    {"id": "b", "prompt": [2, 4], "t": "x"},
    {"id": "c", "prompt": [2, 5], "t": "y"},
    {"id": "d", "prompt": [2, 3, 4], "t": "x"},
    {"id": "e", "prompt": [2, 6], "t": "x"},
]
MEAN = TreatedSpec(kind="mean", column="prompt", by="t")


def test_mean_groups() -> None:
    task, warnings = both(GROUPED, spec(treated=MEAN))
    assert mean_groups(task, MEAN).tolist() == [0, 0, 1, 2, 0]
    assert groups_of_one(task, MEAN) == ("c", "d")
    assert mean_groups(task, replace(MEAN, by="")).tolist() == [0, 0, 0, 1, 0]
    assert [(d.code, d.severity) for d in warnings] == [("PD341", Severity.WARNING)]


def test_resample() -> None:
    rows = [row for row in GROUPED if row["id"] != "d"]
    how = TreatedSpec(kind="resample", column="prompt", draws=5, seed=0)
    task = build(rows, spec(treated=how))
    drawn = resample_rows(task, how)
    assert drawn.shape == (5, 4)
    assert not (drawn == np.arange(4)).any()
    assert all(len(set(drawn[:3, row])) == 3 for row in range(4))  # different while they last
    assert (resample_rows(task, replace(how, draws=2)) == drawn[:2]).all()
    assert (resample_rows(task, replace(how, seed=1)) != drawn).any()
    back = build(rows[::-1], spec(treated=how))
    names = [[task.row_ids[i] for i in one] for one in drawn]
    assert names == [[back.row_ids[i] for i in one][::-1] for one in resample_rows(back, how)]
    said = faults_of(GROUPED, spec(treated=replace(how, by="t")))
    assert [d.code for d in said] == ["PD343", "PD343"]
    assert "`t` `y`" in said[0].message


NOISE = [1.3451602821202882, 6.727451009599665]  # fixed for ever


def test_noise() -> None:
    how = TreatedSpec(kind="noise", at=("S", "END"), scale=3.0, seed=0)
    rows = [{**row, "positions": {"S": 1}} for row in GROUPED]
    task = build(rows, spec(treated=how))
    noise = noise_values(task, how, np.arange(5), 64, 2.0)
    assert noise.shape == (5, 3, 64)
    assert noise.dtype == np.float64
    assert not noise[:, 0].any()
    assert noise[0, 1].any()
    assert noise[3, 1].any()
    assert noise[3, 2].any()
    assert not noise[0, 2].any()
    some = noise_values(task, how, np.array([4, 0]), 64, 2.0)
    assert (some == noise[[4, 0], :2]).all()
    assert (
        noise_values(task, replace(how, at=("END",)), np.arange(5), 64, 2.0)[3, 2] == noise[3, 2]
    ).all()
    assert (noise_values(task, how, np.arange(5), 64, 2.0, draw=1) != noise)[0, 1].all()
    wide = noise_values(task, how, np.array([0]), 100_000, 2.0)[0, 1]
    assert wide.std() == pytest.approx(6.0, rel=0.02)
    assert abs(wide.mean()) < 0.1
    assert noise_values(task, how, np.array([0]), 2, 1.0)[0, 1].tolist() == pytest.approx(
        NOISE, rel=1e-12
    )


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (TreatedSpec(kind="noise", at=("Q",)), "PD338"),
        (TreatedSpec(kind="noise", at=("END+1",)), "PD336"),
        (TreatedSpec(kind="noise", at=("?",)), "PD338"),
    ],
)
def test_noise_at_no_place(how: TreatedSpec, code: str) -> None:
    assert {d.code for d in faults_of(GROUPED, treated=[how])} == {code}


# ------------------------------------------------------------------------------- from the syntax


def name(text: str) -> ast.Name:
    return ast.Name(name=text, span=HERE)


def number(value: float, written: str = "") -> ast.Number:
    return ast.Number(value=value, integer=isinstance(value, int), written=written, span=HERE)


def call(function: str, *positional: ast.Expr, **options: ast.Expr) -> ast.Call:
    arguments = [ast.Argument(value=value, span=HERE) for value in positional]
    arguments += [ast.Argument(keyword=k, value=v, span=HERE) for k, v in options.items()]
    return ast.Call(name=function, arguments=tuple(arguments), span=HERE, name_span=HERE)


def decl(task: str = "ioi", **fields: ast.Expr) -> ast.TaskDecl:
    written = tuple(
        ast.Field(name=k, value=v, span=HERE, name_span=HERE) for k, v in fields.items()
    )
    return ast.TaskDecl(name=name(task), fields=written, span=HERE)


def where(task: str, base: str, field: str, value: ast.Expr) -> ast.TaskDecl:
    return ast.TaskDecl(
        name=name(task), base=name(base), where_field=name(field), where_value=value, span=HERE
    )


def test_task_spec() -> None:
    places = ast.ListValue(items=(name("IO"), name("S1")), span=HERE)
    base = decl(
        data=call("ioi", take=number(256), order=ast.String(value="abba", span=HERE)),
        reference=name("prompt"),
        treated=call("mean", name("prompt_abc"), by=name("template")),
        positions=places,
        cluster=name("doc"),
        bos=ast.Bool(value=False, span=HERE),
    )
    found = task_spec(base)
    assert found.data.written == 'ioi(take: 256, order: "abba")'
    assert found.treated == TreatedSpec(kind="mean", column="prompt_abc", by="template")
    assert (found.positions, found.cluster, found.bos) == (("IO", "S1"), "doc", False)
    assert (found.layernorm, found.average) == ("recompute", "ratio_of_means")
    one = where("abba", "ioi", "order", ast.String(value="abba", span=HERE))
    two = where("few", "abba", "n", number(3))
    filtered = task_spec(two, {"ioi": base, "abba": one, "few": two})
    assert filtered == replace(
        found,
        name="few",
        filters=(Filter(field="order", value="abba"), Filter(field="n", value=3)),
    )


def test_treated_specs() -> None:
    at = ast.ListValue(items=(name("S1"), ast.Position(name="S1", offset=1, span=HERE)), span=HERE)
    noise = treated_spec(call("noise", at=at, scale=number(2.5), seed=number(4)))
    assert noise == TreatedSpec(kind="noise", at=("S1", "S1+1"), scale=2.5, seed=4)
    assert treated_spec(call("noise", at=at)).scale == 3.0
    assert treated_spec(name("zero")) == TreatedSpec(kind="zero")
    assert treated_spec(name("other")) == TreatedSpec(kind="paired", column="other")
    assert treated_spec(call("resample", name("prompt"))) == TreatedSpec(
        kind="resample", column="prompt", draws=8
    )


GOOD = {"data": call("ioi"), "reference": name("prompt")}


@pytest.mark.parametrize(
    "wrong",
    [
        decl(reference=name("prompt")),
        decl(data=call("ioi")),
        decl(**{**GOOD, "data": number(3)}),
        decl(**{**GOOD, "data": call("ioi", number(3))}),
        decl(**{**GOOD, "data": call("ioi", take=call("f"))}),
        decl(**GOOD, colour=name("red")),
        decl(**GOOD, layernorm=name("thawed")),
        decl(**GOOD, bos=number(1)),
        decl(**GOOD, positions=number(1)),
        decl(**GOOD, treated=number(1)),
        decl(**GOOD, treated=call("median", name("x"))),
        decl(**GOOD, treated=call("mean")),
        decl(**GOOD, treated=call("mean", name("x"), over=name("y"))),
        decl(**GOOD, treated=call("resample", name("x"), draws=number(0))),
        decl(**GOOD, treated=call("resample", name("x"), seed=name("y"))),
        decl(**GOOD, treated=call("noise", scale=number(1))),
        where("a", "nowhere", "x", number(1)),
        where("a", "a", "x", number(1)),
    ],
)
def test_task_fields_that_cannot_be_read(wrong: ast.TaskDecl) -> None:
    with pytest.raises(DataError) as caught:
        task_spec(wrong, {"a": wrong})
    assert {d.code for d in caught.value.diagnostics} == {"PD345"}
    assert caught.value.diagnostics[0].span == HERE


# ------------------------------------------------------------------------------- the whole way


def test_ioi_on_the_real_tokenizer(tmp_path: Path) -> None:
    pytest.importorskip("pathdsl.tasks")
    folder = SHARED / "models" / "gpt2-tokenizer"
    if not folder.exists():
        pytest.skip(f"{folder} is not here")
    from transformers import GPT2Tokenizer

    tokenizer = GPT2Tokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    shape = replace(SHAPE, d_vocab=50257, n_positions=1024)
    mean = TreatedSpec(kind="mean", column="prompt_abc", by="template")
    task_ = replace(
        data("ioi", "", take=60, seed=0),
        treated=mean,
        positions=("IO", "S1", "S2"),
        cluster="order",
    )
    rows = load_rows(task_, tmp_path)
    task, warnings = build_task(task_, rows, tokenizer, shape, answer_columns=["io", "s"])
    assert warnings == ()
    for row, given in enumerate(rows.rows):
        for place, answer in (("IO", "io"), ("S1", "s"), ("S2", "s")):
            (at,) = task.positions[place][row]
            assert task.tokens[row][at].strip() == given[answer].strip()
        assert task.tokens[row][task.positions["END"][row][0]] == " to"
    assert int(mean_groups(task, mean).max()) == 29


def test_no_torch() -> None:
    script = (
        "import sys; import pathdsl.engine.data, pathdsl.engine.treated; "
        "assert not {'torch', 'transformers', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


# ------------------------------------------------------------------------------- the pages


def pages_with_examples() -> list[object]:
    return [
        pytest.param(page.code, example, wanted, id=f"{page.code}-{wanted}")
        for page in PAGES
        for example, wanted in ((page.failing, True), (page.passing, False))
        if example is not None
    ]


@pytest.mark.parametrize(("code", "example", "wanted"), pages_with_examples())
def test_examples_of_the_pages(code: str, example: Example, wanted: bool, tmp_path: Path) -> None:
    path = tmp_path / "example.circuit"
    path.write_text(example.text)
    for name_, text in example.files.items():
        (tmp_path / name_).write_text(text)
    program, faults = load_program(str(path))
    assert program.model is not None
    assert not faults
    source = source_from(program.model, tmp_path)
    shape = shape_of(source)
    assert shape is not None
    try:
        task = task_spec(program.tasks["own"], program.tasks)
        rows = load_rows(task, tmp_path)
        found = build_task(task, rows, load_tokenizer(source), shape, answer_columns=["io", "s"])[1]
        codes = [fault.code for fault in found]
    except DataError as error:
        codes = [fault.code for fault in error.diagnostics]
    assert set(codes) == ({code} if wanted else set())


def test_every_code_has_a_page() -> None:
    emitted: set[str] = set()
    for path in (ROOT / "pathdsl" / "engine").rglob("*.py"):
        emitted |= set(re.findall(r'"(PD3[2-9]\d|PD6[01]\d|PD620)"', path.read_text()))
    assert emitted == {page.code for page in (*PAGES, *MODEL_PAGES)}
