"""Words that a model's tokenizer splits are left out of what a generator draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pathdsl import tasks
from pathdsl.engine.data.build import build_task, load_rows
from pathdsl.engine.data.prepare import prepare_tasks
from pathdsl.engine.data.rows import rows_hash
from pathdsl.engine.data.task import DataCall, TaskSpec
from pathdsl.engine.data.tokens import word_fits
from pathdsl.errors import DataError
from pathdsl.lang.program import load_program
from pathdsl.models import bundled
from pathdsl.plan.treated import TreatedSpec
from tests.engine.data_cases import SHAPE

LOST = ("Mary", "Emily", "castle")


def words_of(*names: str) -> set[str]:
    """The words of some generators' prompts, and single letters."""
    found = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,?:'\"\n")
    for name in names:
        for row in tasks.get(name).rows(take=60):
            found |= {word.strip(".,?:") for word in row["prompt"].split()}
        for one in tasks.get(name).words:
            found |= {piece.strip() for word in one.words for piece in one.pieces(word)}
    return found - {*LOST, ""}


def like_llama(prepend: bool) -> PreTrainedTokenizerFast:
    """Words behind a visible blank, a beginning-of-sequence token, and single letters.

    `prepend`: a blank is put before every text, and with it before an answer that has its own.
    """
    vocabulary = {"<unk>": 0, "<s>": 1, "▁": 2}
    for word in sorted(words_of("ioi", "ioi_extra", "facts")):
        for text in (word, f"▁{word}"):
            vocabulary.setdefault(text, len(vocabulary))
    pieces = [(text, -1.0 if len(text) > 2 else -20.0) for text in vocabulary]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    steps: list[normalizers.Normalizer] = [normalizers.Replace(" ", "▁")]
    if prepend:
        steps.insert(0, normalizers.Prepend("▁"))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.decoder = decoders.Replace("▁", " ")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>")


LLAMA = like_llama(prepend=False)
WIDE = replace(SHAPE, d_vocab=len(LLAMA), n_positions=64)


def spec(name: str, **arguments: int | str) -> TaskSpec:
    column = "prompt_other" if name == "facts" else "prompt_abc"
    return TaskSpec(
        name="t",
        data=DataCall(name=name, arguments=arguments),
        reference="prompt",
        treated=TreatedSpec(kind="paired", column=column),
    )


def test_words_fit_where_they_are_one_token_behind_a_word() -> None:
    fits = word_fits(LLAMA)
    assert fits((" John",)) and not fits((" Mary",)) and not fits((" Johnn",))
    assert fits((" South", " Korea")) and not fits((" SouthKorea",))
    assert not fits((" €",))
    assert word_fits(like_llama(prepend=True))((" John",))


@pytest.mark.parametrize("name", ["ioi", "ioi_extra"])
def test_words_are_left_out_and_said(name: str, tmp_path: Path) -> None:
    task = spec(name, take=60)
    loaded = load_rows(task, tmp_path, tokenizer=LLAMA)
    said = "without 2 of 100 names, 1 of 12 places, not one token each here"
    assert loaded.facts["taken"] == said and len(loaded.rows) == 60
    assert not any(word in str(row) for row in loaded.rows for word in LOST)
    assert load_rows(task, tmp_path, tokenizer=LLAMA).rows == loaded.rows
    built, warnings = build_task(task, loaded, LLAMA, WIDE, answer_columns=["io", "s"])
    assert warnings == ()
    for row, given in enumerate(loaded.rows):
        for place, answer in (("IO", "io"), ("S1", "s"), ("S2", "s")):
            (at,) = built.positions[place][row]
            assert built.tokens[row][at].strip() == given[answer].strip()


def test_without_a_tokenizer_rows_are_those_of_the_lists(tmp_path: Path) -> None:
    loaded = load_rows(spec("ioi", take=60), tmp_path)
    assert loaded.rows == tasks.get("ioi").rows(take=60) and "taken" not in loaded.facts


def test_an_answer_that_only_continues_says_how(tmp_path: Path) -> None:
    tokenizer = like_llama(prepend=True)
    task = spec("ioi", take=30)
    loaded = load_rows(task, tmp_path, tokenizer=tokenizer)
    with pytest.raises(DataError) as caught:
        build_task(task, loaded, tokenizer, WIDE, answer_columns=["io"])
    assert {(d.code, d.help) for d in caught.value.diagnostics} >= {("PD333", "tokens = continued")}
    task = replace(task, tokens="continued")
    built, _ = build_task(task, loaded, tokenizer, WIDE, answer_columns=["io"])
    assert all(len(one) == 1 for one in built.answers["io"])


def test_too_few_words_or_prompts(tmp_path: Path) -> None:
    for name, why in (
        ("greater_than", "0 of 631 years"),
        ("colored_objects", "of 12 colors are tokens"),
        ("facts", "`take` is 350, and the words that are left make"),
    ):
        with pytest.raises(DataError) as caught:
            load_rows(spec(name, take=350), tmp_path, tokenizer=KNOWS_SOME)
        (fault,) = caught.value.diagnostics
        assert fault.code == "PD375" and why in fault.message, fault


class _Some:
    """Words but for colors and years, and no country of Asia."""

    unk_token_id = 0

    def __call__(self, text: str, add_special_tokens: bool = False) -> dict[str, list[int]]:
        words = text.split(" ")
        split = ("red", "blue", "green", "black", "white", "pink", "gold", "Japan", "China")
        ids = [1 + hash_of(letter) for word in words for letter in _parts(word, split)]
        return {"input_ids": ids}


def _parts(word: str, split: tuple[str, ...]) -> list[str]:
    return list(word) if word in split or any(c.isdigit() for c in word) else [word]


def hash_of(text: str) -> int:
    """A number of a text."""
    return int.from_bytes(text.encode(), "big")


KNOWS_SOME = _Some()


def test_added_columns_count_in_no_hash(tmp_path: Path) -> None:
    loaded = load_rows(spec("ioi", take=60), tmp_path, tokenizer=LLAMA)
    bare = [{k: v for k, v in row.items() if k not in loaded.added} for row in loaded.rows]
    assert len(loaded.added) == 6 and loaded.facts["rows"] == rows_hash(bare)
    assert loaded.facts["rows"] != rows_hash(loaded.rows)
    plain = spec("ioi", take=60)
    used = replace(plain, treated=TreatedSpec(kind="paired", column="prompt_io_other"))
    one, other = (build_task(task, loaded, LLAMA, WIDE)[0] for task in (plain, used))
    assert one.drawn == other.drawn and not loaded.added & {*one.labels}
    assert "prompt_io_other" in other.prompts


def test_a_position_may_be_several_spans(tmp_path: Path) -> None:
    row = {"id": "1", "prompt": "After John and Paul went", "spans": {"TWO": [[6, 10], [15, 19]]}}
    task = TaskSpec(name="t", data=DataCall(name="jsonl"), reference="prompt")
    built, _ = build_task(task, [row], LLAMA, WIDE)
    assert [built.tokens[0][i].strip() for i in built.positions["TWO"][0]] == ["John", "Paul"]
    for wrong, code in (([[6, 10], [15, 99]], "PD336"), ([[6, 10], 3], "PD329"), ([[]], "PD329")):
        with pytest.raises(DataError) as caught:
            build_task(task, [{**row, "spans": {"TWO": wrong}}], LLAMA, WIDE)
        assert [d.code for d in caught.value.diagnostics] == [code]


def test_words_are_vetted_by_the_model_of_the_task_that_draws_them() -> None:
    """Rows drawn for a second model are those that a file with that model alone has."""
    drawn = "data = ioi(take: 60); reference = prompt; treated = prompt_abc"
    text = (
        'circuit c { language = 1 }\nmodel one = bundled("ioi-mini")\n'
        f'model two = bundled("ioi-mini")\ntask a {{ {drawn}; model = one }}\n'
        f"task b {{ {drawn}; model = two }}\ntask of_a = a {{ model = two }}\n"
        "metric L: logits = logit(io) - logit(s)\nlet x: logits = mean(L(reference, task: b))\n"
    )
    mini = AutoTokenizer.from_pretrained(bundled("ioi-mini"))
    others = dict.fromkeys(("b", "of_a"), (LLAMA, WIDE))
    program, faults = load_program("c.circuit", text)
    assert not faults
    with pytest.raises(DataError) as refused:  # it has the rows of `a`, whose words are split here
        prepare_tasks(program, mini, WIDE, others=others)
    assert {"task `of_a`" in one.message for one in refused.value.diagnostics} == {True}
    program, faults = load_program("c.circuit", text.replace("task of_a", "# task of_a"))
    found = prepare_tasks(program, mini, WIDE, others=others).tasks
    for name, tokenizer in (("a", mini), ("b", LLAMA)):
        alone = load_rows(spec("ioi", take=60), Path(), tokenizer=tokenizer)
        assert found[name].facts["rows"] == rows_hash(alone.rows, alone.added)
