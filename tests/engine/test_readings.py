"""Which token was read: digits that are ids or texts, continuations, and what reports show."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from pathdsl.engine.data.build import DataCall, TaskSpec, build_task, load_rows
from pathdsl.engine.data.prepare import prepare_tasks
from pathdsl.errors import DataError, Diagnostic, Severity
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang.program import load_program
from pathdsl.plan.taskdata import TaskData
from tests.engine.data_cases import SHAPE, spec

WORDS = ["[UNK]", "<s>", "▁He", "▁said", ",", "▁", '"', "I", "▁I", "▁1", "▁2", "▁37", "▁she", "1"]
SPLIT = pre_tokenizers.Sequence(
    [
        pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always"),
        pre_tokenizers.Split(Regex('[,"]'), "isolated"),
    ]
)
BIG = replace(SHAPE, d_vocab=40, n_positions=16)


def tokenizer(*, special: bool = False) -> PreTrainedTokenizerFast:
    """Words have their blank before them, as SentencePiece writes it; alone, too."""
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = SPLIT
    made.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    if special:
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 1)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", bos_token="<s>")


def read(
    folder: Path,
    kind: str,
    rows: Sequence[Mapping[str, Any]],
    task: TaskSpec | None = None,
    *,
    made: object = None,
    shape: ModelShape = BIG,
    **read_as: tuple[str, ...],
) -> tuple[TaskData, tuple[Diagnostic, ...]]:
    """Rows written as a file of a kind, read and vetted with metrics on the column `a`."""
    if kind == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        content = text.getvalue()
    else:
        content = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"rows.{kind}").write_text(content, encoding="utf-8")
    call = DataCall(name=kind, path=f"rows.{kind}", **read_as)
    task = replace(task or spec(), data=call)
    loaded = load_rows(task, folder)
    return build_task(task, loaded, made or tokenizer(), shape, answer_columns=["a"])


def table(*cells: object) -> list[dict[str, object]]:
    return [{"prompt": "He" + " said" * i, "a": cell} for i, cell in enumerate(cells, start=1)]


def codes(found: Sequence[Diagnostic]) -> list[str]:
    return [one.code for one in found]


def said(one: Diagnostic) -> str:
    return " ".join((one.message, *one.notes, one.help))


def refused(code: str, *arguments: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(*arguments, **options)
    assert codes(caught.value.diagnostics) == [code]
    return said(caught.value.diagnostics[0])


# ------------------------------------------------------------------------------- ids or texts


@pytest.mark.parametrize(
    ("kind", "cells", "ids", "seen"),
    [
        ("csv", (37, 12), (11,), "`'37'` is read as the text `37`, id 11, and could be the id 37"),
        ("jsonl", ("1", "37"), (9,), "`'1'` is read as the text `1`, id 9, and could be the id 1"),
        ("jsonl", (1, 37), (1,), "`1` is read as the id 1, `<s>`, and could be the text `1`, id 9"),
        ("jsonl", ([1, 2], [37]), (1, 2), "`1` is read as the id 1"),
    ],
)
def test_digits_are_read_as_before_and_both_readings_are_told(
    kind: str, cells: tuple[object, ...], ids: tuple[int, ...], seen: str, tmp_path: Path
) -> None:
    rows = table(*(2 if cell == 12 else cell for cell in cells))
    task, found = read(tmp_path, kind, rows)
    assert task.answers["a"][0] == ids
    assert codes(found) == ["PD353"]
    assert found[0].severity is Severity.WARNING
    assert seen in said(found[0])
    assert "`ids: [a]` or `texts: [a]`" in said(found[0])


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("cells", [("1", "37"), (1, 37)], ids=["texts", "numbers"])
def test_a_declared_column_is_what_it_is_declared_to_be(
    kind: str, cells: tuple[object, ...], tmp_path: Path
) -> None:
    task, found = read(tmp_path, kind, table(*cells), ids=("a",))
    assert (task.answers["a"], found) == (((1,), (37,)), ())
    task, found = read(tmp_path, kind, table(*cells), texts=("a",))
    assert (task.answers["a"], found) == (((9,), (11,)), ())
    assert task.facts["data"] == f'{kind}("rows.{kind}", texts: [a])'


@pytest.mark.parametrize("cell", ["[1, 37]", '["1", "37"]'])
def test_lists_are_lists_of_what_is_declared(cell: str, tmp_path: Path) -> None:
    task, _ = read(tmp_path, "csv", table(cell), ids=("a",))
    assert task.answers["a"] == ((1, 37),)
    values = json.loads(cell)
    task, _ = read(tmp_path, "jsonl", table(values), texts=("a",))
    assert task.answers["a"] == ((9, 11),)


@pytest.mark.parametrize(
    ("kind", "declared", "cell"),
    [
        ("csv", "ids", "she"), ("csv", "ids", "1.0"), ("csv", "ids", "-1"), ("csv", "ids", ""),
        ("csv", "ids", "9" * 5000), ("csv", "ids", "[1 2]"), ("csv", "ids", "[[1]]"),
        ("jsonl", "ids", 1.0), ("jsonl", "ids", True), ("jsonl", "ids", None),
        ("jsonl", "texts", 1.0), ("jsonl", "texts", True), ("jsonl", "texts", {"a": 1}),
    ],
)  # fmt: skip
def test_what_cannot_be_read_as_declared_is_refused(
    kind: str, declared: str, cell: object, tmp_path: Path
) -> None:
    assert f"`{declared}:` says" in refused(
        "PD352", tmp_path, kind, table(cell), **{declared: ("a",)}
    )


def test_a_declared_column_must_be_there(tmp_path: Path) -> None:
    assert "`ids:` lists" in refused("PD328", tmp_path, "csv", table("1"), ids=("b",))


def test_texts_are_not_taken_for_json(tmp_path: Path) -> None:
    """Of a CSV prompt that looks like a list of ids, `texts:` makes the text that it is."""
    words = [*WORDS, "▁[1,", "▁2]"]
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    plain = PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]")
    rows = [{"prompt": "[1, 2]", "a": "she"}]
    task, found = read(tmp_path, "csv", rows, made=plain)
    assert task.prompts["prompt"].tolist() == [[1, 2]]
    assert codes(found) == ["PD353"]
    assert "`[1, 2]` is read as ids, beginning with 1, `<s>`" in found[0].message
    task, found = read(tmp_path, "csv", rows, made=plain, ids=("prompt",))
    assert (task.prompts["prompt"].tolist(), found) == ([[1, 2]], ())
    task, found = read(tmp_path, "csv", rows, made=plain, texts=("prompt",))
    assert (task.prompts["prompt"].tolist(), found) == ([[14, 15]], ())


@pytest.mark.parametrize(("cells", "ids"), [(("she", 2), ((12,), (2,))), (("2", 2), ((10,), (2,)))])
def test_texts_and_ids_in_one_column_are_told(
    cells: tuple[object, ...], ids: tuple[tuple[int, ...], ...], tmp_path: Path
) -> None:
    task, found = read(tmp_path, "jsonl", table(*cells))
    assert task.answers["a"] == ids
    assert codes(found) == ["PD359"]
    assert "row `2` `2`, read as the id 2, ` He`" in found[0].message
    assert "and could be the text `2`, id 10" in found[0].message


def test_prompts_that_are_texts_and_ids_are_told(tmp_path: Path) -> None:
    rows = [{"prompt": "He said", "a": "she"}, {"prompt": [2, 3, 3], "a": "she"}]
    _, found = read(tmp_path, "jsonl", rows)
    assert codes(found) == ["PD359"]
    assert "row `2` a list, read as token ids" in found[0].message


@pytest.mark.parametrize("cells", [("she", "I"), ("39", "she"), (39, 38), ("41", "42")])
def test_nothing_is_told_where_there_is_one_reading(
    cells: tuple[object, ...], tmp_path: Path
) -> None:
    """39 is no text of the vocabulary, and 41 no id of it."""
    words = [*WORDS, "▁39", "▁41", "▁42"] if cells[0] in ("39", "41") else WORDS
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = SPLIT
    plain = PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]")
    assert read(tmp_path, "jsonl", table(*cells), made=plain)[1] == ()


def test_an_id_that_is_read_as_several_tokens_gets_its_repair(tmp_path: Path) -> None:
    split = tokenizer()
    split.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [SPLIT, pre_tokenizers.Split(Regex("[0-9]"), "isolated")]
    )
    assert "ids: [a]" in refused("PD333", tmp_path, "csv", table("11"), made=split)


def test_an_id_without_a_tokenizer_gets_its_repair(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('prompt,a\n"[1, 2]",7\n')
    call = DataCall(name="csv", path="rows.csv")
    task = replace(spec(), data=call)
    with pytest.raises(DataError) as caught:
        build_task(task, load_rows(task, tmp_path), None, BIG, answer_columns=["a"])
    assert [(d.code, d.help) for d in caught.value.diagnostics] == [("PD342", "ids: [a]")]
    task = replace(task, data=replace(call, ids=("a",)))
    built, _ = build_task(task, load_rows(task, tmp_path), None, BIG, answer_columns=["a"])
    assert built.answers["a"] == ((7,),)
    assert built.first_answers["a"] == (("7", 7),)


def test_a_generator_means_what_it_makes() -> None:
    task = replace(spec(), data=DataCall(name="ioi"))
    rows = [{"id": "1", "prompt": "He said", "a": "1"}]
    assert build_task(task, rows, tokenizer(), BIG, answer_columns=["a"])[1] == ()


# ------------------------------------------------------------------------------- cells


def test_a_python_list_gets_its_repair(tmp_path: Path) -> None:
    assert '["she", "I"]' in refused("PD354", tmp_path, "csv", table("['she', 'I']"))
    assert '["she", "I"]' in refused("PD354", tmp_path, "jsonl", table("['she', 'I']"))
    rows = [{"prompt": "He said", "a": "she", "positions": "{'S': 1}"}]
    assert '{"S": 1}' in refused("PD329", tmp_path, "csv", rows)


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ('{"a": 1, "a": 2}', "the key `a` stands twice in one object"),
        ("[" * 100_000, "nested more than 100 levels deep"),
        (f"[{'9' * 5000}]", "a number of 5,000 digits"),
    ],
)
def test_a_cell_of_json_that_is_unclear_is_refused(cell: str, why: str, tmp_path: Path) -> None:
    assert why in refused("PD322", tmp_path, "csv", [{"prompt": "He", "a": "she", "x": cell}])


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"prompt": "He", "a": "she", "a": "I"}', "column 30 of `rows.jsonl` is refused: the key"),
        (f'{{"prompt": [{"9" * 5000}]}}', "column 13 of `rows.jsonl` is refused: a number of"),
        ("[" * 100_000, "is refused: nested more than 100 levels deep"),
    ],
)
def test_a_line_of_json_that_is_unclear_is_refused(line: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(line)
    with pytest.raises(DataError) as caught:
        load_rows(replace(spec(), data=DataCall(name="jsonl", path="rows.jsonl")), tmp_path)
    assert codes(caught.value.diagnostics) == ["PD322"]
    assert why in caught.value.diagnostics[0].message


# ------------------------------------------------------------------------------- the end of prompts


@pytest.mark.parametrize(
    ("special", "bos", "ids", "told"),
    [
        (True, None, [1, 1, 2], True),
        (False, True, [1, 1, 2], True),
        (True, False, [1, 2], False),
        (False, None, [1, 2], False),
    ],
)
def test_a_second_bos_is_told(
    special: bool, bos: bool | None, ids: list[int], told: bool, tmp_path: Path
) -> None:
    made = tokenizer(special=special)
    rows = [{"prompt": "<s>He", "a": "she"}]
    task, found = read(tmp_path, "jsonl", rows, spec(bos=bos), made=made)
    assert task.prompts["prompt"].tolist() == [ids]
    assert codes(found) == ["PD355"] * told
    if told:
        assert "bos = false" in said(found[0])


QUOTE = [{"prompt": 'He said, "', "a": "I"}, {"prompt": "He said", "a": "I"}]


def test_another_continuation_is_told_and_can_be_read(tmp_path: Path) -> None:
    """Alone the word has its blank, behind a quotation mark it has none."""
    task, found = read(tmp_path, "jsonl", QUOTE[:1])
    assert task.answers["a"] == ((8,),)
    assert codes(found) == ["PD356"]
    assert "is read as ` I`, id 8, and the prompt goes on with `I`, id 7" in found[0].message
    continued = replace(spec(), tokens="continued")
    task, found = read(tmp_path, "jsonl", QUOTE[:1], continued)
    assert (task.answers["a"], found) == (((7,),), ())
    assert task.first_answers["a"] == (("I", 7),)


def test_what_is_one_token_only_behind_the_prompt_gets_its_repair(tmp_path: Path) -> None:
    """A quotation mark alone is `▁` and itself; behind a word it is one token."""
    rows = [{"prompt": "He said,", "a": '"'}]
    with pytest.raises(DataError) as caught:
        read(tmp_path, "jsonl", rows)
    assert codes(caught.value.diagnostics) == ["PD333", "PD356"]
    assert caught.value.diagnostics[1].help == "tokens = continued"
    task, found = read(tmp_path, "jsonl", rows, replace(spec(), tokens="continued"))
    assert (task.answers["a"], found) == (((6,),), ())


def test_words_that_would_be_run_into_one_are_no_continuation(tmp_path: Path) -> None:
    """`He said` and `I` make `He saidI`; with a blank between them the token is the one read."""
    glued = tokenizer()
    glued.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [SPLIT, pre_tokenizers.Split(Regex("(?<=d)I"), "isolated")]
    )
    task, found = read(tmp_path, "jsonl", QUOTE[1:], made=glued)
    assert (task.answers["a"], found) == (((8,),), ())
    rows = [{"prompt": "He said,", "a": "I"}]
    _, found = read(tmp_path, "jsonl", rows, made=glued)
    assert codes(found) == ["PD356"]
    assert "with a blank between them it is the token that is read" in said(found[0])


def test_continuations_stand_behind_what_is_put_in_front_of_the_prompt(tmp_path: Path) -> None:
    for bos, special in ((True, False), (None, True)):
        task, _ = read(
            tmp_path, "jsonl", QUOTE[:1], replace(spec(bos=bos), tokens="continued"),
            made=tokenizer(special=special),
        )  # fmt: skip
        assert task.answers["a"] == ((7,),)
        assert task.prompts["prompt"][0, 0] == 1


def test_ids_continue_as_they_are(tmp_path: Path) -> None:
    rows = [{"prompt": [2, 3], "a": 8}]
    task, _ = read(tmp_path, "jsonl", rows, replace(spec(), tokens="continued"), ids=("a",))
    assert task.answers["a"] == ((8,),)


@pytest.mark.parametrize(
    ("prompt", "answer", "why"),
    [
        ("He said", "I", "makes other tokens of the end of the prompt"),
        ('He said, "', "I I", "is 2 tokens"),
        ([2, 3], "I", "makes other tokens of the end of the prompt"),
    ],
)
def test_what_does_not_continue_by_one_token_is_refused(
    prompt: object, answer: str, why: str, tmp_path: Path
) -> None:
    rows = [{"prompt": prompt, "a": answer}]
    continued = replace(spec(), tokens="continued")
    assert why in refused("PD357", tmp_path, "jsonl", rows, continued)


def test_parts_of_a_task_do_not_repeat_what_the_whole_has_told(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"He{said}", "a": cell, "g": g}
        for said, cell, g in ((" said", "she", "x"), (" said said", 2, "y"))
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "parts.circuit"
    path.write_text(
        'task t { data = jsonl("rows.jsonl"); reference = prompt }\n'
        'task part = t where g == "x"\n'
        "metric L: logits = logit(a)\nlet l = mean(L(reference, task: part))\n"
    )
    program, _ = load_program(str(path))
    prepared = prepare_tasks(program, tokenizer(), BIG)
    assert codes(prepared.warnings) == ["PD359"]
    assert set(prepared.tasks) == {"t", "part"}
