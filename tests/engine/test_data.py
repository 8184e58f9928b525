"""Tokens, rows, columns and positions, and every fault that a user's data can have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import pathdsl
from pathdsl.engine.data.build import (
    DataCall,
    LoadedRows,
    build_task,
    next_tokens,
    resolve_positions,
)
from pathdsl.errors import DataError, Diagnostic, Severity
from pathdsl.graph.paths.pathset import Pos
from pathdsl.plan.treated import TreatedSpec
from tests.engine.data_cases import (
    IDS,
    SHAPE,
    both,
    build,
    faults_of,
    make_tokenizer,
    one_fault,
    spec,
)

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


@pytest.mark.parametrize(
    "row", [{"io": "9" * 5000}, {"io": "a" * 5000, "id": "b" * 5000}, {"io": "x", "id": "c" * 5000}]
)
def test_faults_are_short_whatever_a_cell_holds(row: dict[str, str]) -> None:
    said = one_fault("PD333", [{"prompt": "a"} | row], answer_columns=["io"])
    assert len(said) < 500 and "…" in said


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
    rows = [{"prompt": "a"}, *[{"prompt": ""}] * 25]
    (found,) = faults_of(rows)
    assert "row `1`" in found.message
    assert found.notes[-1].startswith("likewise 24 more rows: `2`, `3`, ")
    assert found.notes[-1].endswith("`9`, …")
    (found,) = faults_of([{"prompt": ""}] * 2)
    assert found.notes[-1] == "likewise row `1`"


def test_all_faults_are_reported_together() -> None:
    rows = [{"prompt": "", "io": "Mary"}, {"prompt": "a", "io": 99, "positions": {"S": 4}}]
    codes = [d.code for d in faults_of(rows, answer_columns=["io"])]
    assert sorted(codes) == ["PD330", "PD332", "PD333", "PD336", "PD359"]


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


# ------------------------------------------------------------------------------- positions


def test_positions_by_index_and_by_name() -> None:
    rows = [
        {"prompt": [2, 3, 4, 5], "positions": {"S": 1, "M": [2, 0, 2]}},
        {"prompt": [2, 3, 4], "positions": {"S": 0, "M": [1], "rare": 1}},
    ]
    task = build(rows, spec(positions=("S", "M")))
    assert task.positions == {"S": ((1,), (0,)), "M": ((0, 2), (1,)), "END": ((3,), (2,))}
    assert resolve_positions(task, Pos(name="S", offset=1)) == ((2,), (1,))
    assert resolve_positions(task, Pos(name="M", offset=1)) == ((1, 3), (2,))
    assert resolve_positions(task, Pos(name="END", offset=-1)) == ((2,), (1,))
    assert resolve_positions(task, Pos(index=2)) == ((2,), (2,))
    assert next_tokens(task, Pos(name="S")) == ((4,), (3,))
    assert next_tokens(task, Pos(name="M")) == ((3, 5), (4,))
    for written, code, said in (
        ("S+2", None, ""),
        ("END+1", "PD336", "row `0`"),
        ("S-1", "PD336", "row `1`: position `S-1` is -1"),
        ("[3]", "PD336", "row `1`"),
        ("rare", "PD338", "`S`, `M`, `END`"),
    ):
        if code is None:
            assert resolve_positions(task, Pos.parse(written)) == ((3,), (2,))
            continue
        with pytest.raises(DataError) as caught:
            resolve_positions(task, Pos.parse(written))
        assert caught.value.diagnostics[0].code == code
        assert said in caught.value.diagnostics[0].message
    with pytest.raises(DataError) as caught:
        next_tokens(task, Pos(name="END"))
    (found,) = caught.value.diagnostics  # one fault, however many rows
    assert found.code == "PD347" and "row `0`: no token follows `END`, nor on 1 others" in (
        found.message
    )


def test_written_positions() -> None:
    assert Pos.parse("S1+1") == Pos(name="S1", offset=1)
    assert Pos.parse("END-2") == Pos(name="END", offset=-2)
    assert Pos.parse("[3]") == Pos(index=3)
    for bad in ("", "1", "[-1]", "S1 + 1", "S1+", "[S1]"):
        with pytest.raises(ValueError, match="no position"):
            Pos.parse(bad)


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


def test_bos_of_token_ids() -> None:
    """Ids are used as they are: said once, and refused where a token was asked for."""
    rows = [{"prompt": [2, 3]}, {"prompt": [3, 2]}]
    assert "is a list of token ids" in one_fault("PD349", rows, spec(bos=True))
    task, warnings = both(rows, spec(bos=False))
    assert [d.code for d in warnings] == ["PD349"]
    assert task.facts["special_tokens"] == "none (token ids as given)"
    _, warnings = both([{"prompt": "a b"}], spec(bos=False))
    assert not warnings


def test_words_of_a_sentencepiece_tokenizer_keep_their_blanks() -> None:
    """Decoded one by one they lose them, and prompts would read `<s> T om was`."""
    words = ["<s>", "▁T", "om", "▁was", "[UNK]"]
    plain = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    plain.decoder = decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]")
    assert tokenizer.decode([1]) == "T"
    rows = [{"prompt": [0, 1, 2, 3]}]
    assert build(rows, tokenizer=tokenizer).tokens == (("<s>", " T", "om", " was"),)


@pytest.mark.parametrize(("rows", "told"), [(2, True), (4, True), (5, False)])
@pytest.mark.parametrize("data", ["jsonl", "csv", "ioi"])
def test_small_groups_of_a_mean_over_rows_of_a_file(rows: int, told: bool, data: str) -> None:
    sizes = {"a": rows, "b": rows + 1}
    table = [
        {"id": f"{t}{i}", "prompt": [1, 2, i], "t": t} for t, n in sizes.items() for i in range(n)
    ]
    means = spec(treated=TreatedSpec(kind="mean", column="prompt", by="t"))
    _, warnings = build_task(replace(means, data=DataCall(name=data)), table, None, SHAPE)
    assert ("PD508" in {found.code for found in warnings}) is (told and data != "ioi")


def test_small_groups_of_a_generator_are_told_where_other_rows_were_taken() -> None:
    """The lint counts the rows that the file says; `--set take=4` reads others."""
    table = [{"id": f"{i}", "prompt": [1, 2, i], "t": "ab"[i % 2]} for i in range(4)]
    means = replace(
        spec(treated=TreatedSpec(kind="mean", column="prompt", by="t")),
        data=DataCall(name="ioi", arguments={"take": 40}),
    )
    for take, told in ((40, False), (4, True)):
        loaded = LoadedRows(rows=table, facts={"data": f"ioi(take: {take})"})
        _, warnings = build_task(means, loaded, None, SHAPE)
        assert ("PD508" in {found.code for found in warnings}) is told


# --------------------------------------------------------------- where in the file of rows


def _checked(tmp_path: Path, name: str, rows: str, task: str = "") -> list[Diagnostic]:
    (tmp_path / name).write_text(rows, encoding="utf-8")
    call = "csv" if name.endswith("csv") else "jsonl"
    text = (
        'circuit c "C" { language = 1 }\nmodel mini = bundled("ioi-mini")\n'
        f'task t {{ data = {call}("{name}"); reference = prompt{task} }}\n'
        "metric L: logits = logit(answer)\nlet x: logits = mean(L(reference))\n"
    )
    file = tmp_path / "c.circuit"
    file.write_text(text, encoding="utf-8")
    return list(pathdsl.check(str(file)).diagnostics)


def test_a_fault_of_a_row_names_the_line_of_the_file(tmp_path: Path) -> None:
    rows = 'note,prompt,answer\n"two\nlines",When Mary, John\nb,When Mary,Johnx\nc,When,Johnx\n'
    (found,) = _checked(tmp_path, "rows.csv", rows)
    assert found.code == "PD333" and "row `2`" in found.message
    assert found.notes == ("line 4 of `rows.csv`", "likewise row `3`")
    assert found.span is not None
    text = (tmp_path / "c.circuit").read_text(encoding="utf-8")
    assert text[found.span.start : found.span.end] == 'csv("rows.csv")'


def test_rows_with_ids_of_their_own_are_found_by_their_line(tmp_path: Path) -> None:
    rows = '\n{"id": "x", "prompt": "When", "answer": "Johnx"}\n'
    (found,) = _checked(tmp_path, "rows.jsonl", rows)
    assert found.notes[0] == "line 2 of `rows.jsonl`"


def test_a_place_outside_of_the_prompt_has_a_place_in_the_file(tmp_path: Path) -> None:
    rows = '{"prompt": "When", "answer": " John", "positions": {"S": 9}}\n'
    found = _checked(tmp_path, "rows.jsonl", rows, "; positions = [S]")[0]
    assert found.code == "PD336" and found.span is not None
    assert found.notes[0] == "line 1 of `rows.jsonl`"
