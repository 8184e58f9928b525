"""`chat = true`: messages become the prompts that transformers makes of them, within limits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pathdsl.engine.data import chat as chats
from pathdsl.engine.data.build import load_rows
from pathdsl.engine.data.chat import Chat, chat_of, chat_texts
from pathdsl.engine.data.faults import DataFaults
from pathdsl.engine.data.shown import shown_prompts
from pathdsl.errors import DataError
from pathdsl.limits import Limit
from pathdsl.plan.taskdata import TaskData
from tests.engine.data_cases import SHAPE, both, data, faults_of, one_fault, spec, write

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA = (
    "{{ bos_token }}{% if not date_string is defined %}"
    "{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{% if messages[0]['role'] == 'system' %}{% set loud = messages[0]['content'] | trim %}"
    "{% set messages = messages[1:] %}{% else %}{% set loud = '' %}{% endif %}"
    "<|im_start|>system\n{{ date_string }}\n{{ loud }}<|im_end|>"
    "{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] | trim }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% set ns = namespace(system='') %}{% for m in messages %}"
    "{% if m.role == 'system' %}{% set ns.system = m.content %}{% continue %}{% endif %}"
    "{% if m.role == 'user' %}[INST]{{ ns.system }} {{ m.content }}[/INST]"
    "{% else %}{% generation %}{{ m.content }}{% endgeneration %}</s>{% endif %}{% endfor %}"
)
SHOUTS = "{% for m in messages %}{{ m.content | upper }}.{% endfor %}"

MARKS = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]


def make(template: str | dict[str, str] | None) -> Any:
    """Characters are tokens, but for the special ones and some words."""
    words = ["[UNK]", *map(chr, range(32, 127)), "\n", *MARKS]
    plain = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Split(Regex(r".|\n"), "isolated")
    made = PreTrainedTokenizerFast(
        tokenizer_object=plain, unk_token="[UNK]", bos_token="<s>", eos_token="</s>",
        additional_special_tokens=MARKS[2:],
    )  # fmt: skip
    made.chat_template = template
    return made


WIDE = replace(SHAPE, d_vocab=120, n_positions=200)
CHAT = spec(chat=True)
ASK = [{"role": "user", "content": " Is it Paris? "}]
SYSTEM = [{"role": "system", "content": "Be brief."}, *ASK]
BEGUN = [*ASK, {"role": "assistant", "content": "It is"}]


def build(*arguments: Any, **options: Any) -> TaskData:
    return both(*arguments, **options)[0]


def rows(*chats: object, **more: Any) -> list[dict[str, Any]]:
    return [{"prompt": one, **more} for one in chats]


@pytest.mark.parametrize("template", [CHATML, LLAMA, MISTRAL])
@pytest.mark.parametrize("messages", [ASK, SYSTEM, BEGUN, [*BEGUN, *ASK]])
def test_prompts_are_those_of_transformers(template: str, messages: list[Any]) -> None:
    tokenizer = make(template)
    begun = messages[-1]["role"] == "assistant"
    task, _ = both(rows(messages), CHAT, tokenizer, WIDE)
    wanted = tokenizer.apply_chat_template(
        messages, add_generation_prompt=not begun, continue_final_message=begun,
        return_dict=False, date_string="26 Jul 2024",
    )  # fmt: skip
    assert task.prompts["prompt"][0].tolist() == wanted
    assert task.positions["END"] == ((len(wanted) - 1,),)
    assert wanted.count(tokenizer.bos_token_id) <= 1


def test_the_template_is_said_and_hashed() -> None:
    task = build(rows(ASK), CHAT, make(LLAMA), WIDE)
    assert task.facts["special_tokens"] == (
        f"those of the chat template, sha256 {task.facts['chat_template'][:12]}, its clock at "
        "2024-07-26"
    )
    other = build(rows(ASK), CHAT, make(LLAMA + "{# #}"), WIDE)
    assert other.prompts["prompt"].tolist() == task.prompts["prompt"].tolist()
    assert other.key != task.key and other.facts["chat_template"] != task.facts["chat_template"]
    named = build(rows(ASK), CHAT, make({"default": CHATML, "tool_use": "x"}), WIDE)
    assert (
        named.facts["chat_template"]
        == build(rows(ASK), CHAT, make(CHATML), WIDE).facts["chat_template"]
    )


@pytest.mark.parametrize("template", [CHATML, LLAMA, MISTRAL])
def test_spans_are_in_the_content_of_a_message(template: str) -> None:
    chat = [{"role": "system", "content": "Paris or Rome"}, *ASK]
    task = build(
        rows(chat, spans={"OF": [0, 9, 13], "CITY": [1, 7, 12]}), CHAT, make(template), WIDE
    )
    text = "".join(task.tokens[0])
    for name, word in (("OF", "Rome"), ("CITY", "Paris")):
        (places,) = task.positions[name]
        assert "".join(task.tokens[0][i] for i in places) == word
        assert places[0] == len("".join(task.tokens[0][: places[0]])) - sum(
            len(one) - 1 for one in task.tokens[0][: places[0]]
        )
    assert text.count("Paris") == 2  # the first of them is the system's


def test_spans_count_in_the_reference_and_hold_for_all_columns() -> None:
    given = rows(ASK, spans={"CITY": [0, 7, 12]})
    task = build(given, replace(CHAT, positions=("CITY",)), make(CHATML), WIDE)
    assert "".join(task.tokens[0][i] for i in task.positions["CITY"][0]) == "Paris"


def test_a_name_may_have_several_spans() -> None:
    given = rows(SYSTEM, spans={"IT": [[0, 0, 2], [1, 1, 3]]})
    task = build(given, CHAT, make(CHATML), WIDE)
    assert "".join(task.tokens[0][i] for i in task.positions["IT"][0]) == "BeIs"
    wrong = rows(SYSTEM, spans={"IT": [[0, 0, 2], [1, 3]]})
    assert "[0, 1, 3]" in one_fault("PD329", wrong, CHAT, make(CHATML), WIDE)


def test_rows_that_are_looked_at_show_the_prompt_of_the_chat() -> None:
    row = {"id": "1", "prompt": SYSTEM, "spans": {"CITY": [1, 7, 12]}}
    (prompt,) = shown_prompts(CHAT, row, ["prompt"], make(CHATML), WIDE)
    assert "".join(prompt.pieces).endswith("<|im_start|>assistant\n")
    assert "".join(prompt.pieces[i] for i in prompt.names["CITY"]) == "Paris"
    with pytest.raises(DataError, match="PD370"):
        shown_prompts(CHAT, row, ["prompt"], None, WIDE)


def test_indices_count_all_tokens() -> None:
    task = build(rows(ASK, positions={"FIRST": 0}), CHAT, make(LLAMA), WIDE)
    assert task.positions["FIRST"] == ((0,),) and task.tokens[0][0] == "<s>"


def test_answers_continue_the_prompt_of_a_chat() -> None:
    tokenizer = make(CHATML)
    asked = {"io": "Y", "s": "N"}
    for how in ("alone", "continued"):
        task = build(
            rows(ASK, **asked), replace(CHAT, tokens=how), tokenizer, WIDE,
            answer_columns=["io", "s"],
        )  # fmt: skip
        assert task.answers["io"] == (tuple(tokenizer("Y")["input_ids"]),)


# ------------------------------------------------------------------------------- wrong rows


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("Is it Paris?", '[{"role": "user", "content": "Is it Paris?"}]'),
        ([3, 4], "wants a list of messages"),
        (["Is it Paris?"], "wants a list of messages"),
        ({"role": "user", "content": "x"}, "wants a list of messages"),
        (None, "wants a list of messages"),
        ([], "there is no message"),
        ([{"role": "user"}], "message 0 has no text as `content`"),
        ([{"content": "x"}], "message 0 has no text as `role`"),
        ([*ASK, {"role": 3, "content": "x"}], "message 1 has no text as `role`"),
        ([{"role": "user", "content": [{"type": "text", "text": "x"}]}], "no text as `content`"),
        ([{"role": "user", "content": "x", "tool_calls": []}], "only `role` and `content`"),
        ("[{'role': 'user', 'content': 'x'}]", '[{"role": "user", "content": "x"}]'),
    ],
)
def test_what_is_no_list_of_messages(cell: object, why: str) -> None:
    assert why in one_fault("PD371", rows(ASK, cell), CHAT, make(CHATML), WIDE)


def test_a_model_without_template() -> None:
    text = one_fault("PD370", rows(ASK), CHAT, make(None), WIDE)
    assert "the tokenizer of `TokenizersBackend` has no chat template" in text
    assert "comes without a tokenizer" in one_fault("PD370", rows(ASK), CHAT, None, WIDE)
    assert "no chat template" in one_fault("PD370", rows(ASK), CHAT, make({"rag": "x"}), WIDE)


def test_a_template_that_refuses_is_told_row_by_row() -> None:
    found = faults_of(rows(ASK, [*ASK, *ASK]), CHAT, make(LLAMA), WIDE)
    assert [d.code for d in found] == ["PD372"]
    assert "row `1`" in found[0].message and "roles must alternate" in found[0].message


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{% for x in %}", "refuses"),
        ("{{ messages[0].role.__class__.__mro__ }}", "unsafe"),
        ("{{ ''.join.__globals__.os }}", "no attribute '__globals__'"),
        ("{{ cycler.__init__.__globals__.os.system('true') }}", "unsafe"),
        ("{{ messages.append(1) }}", "'append' of 'list' object is unsafe"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ lipsum() }}", "undefined"),
        ("{{ [1, 2] | random }}", "random"),
        ("{% set ns = namespace(_x=1) %}", "_x"),
        ("{{ range(999999999) | length }}", "Range too big"),
        ("{{ 'x' * 2000000 }}", "more than 1,000,000 characters"),
        ("{% set x = 'x' * 4000000000 %}", "memory"),
    ],
)
def test_a_template_reaches_nothing(template: str, why: str) -> None:
    text = one_fault("PD372", rows(ASK, BEGUN), CHAT, make(template), WIDE)
    assert why in text


def test_a_template_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chats, "CHAT_SECONDS", Limit(most=1, what="", code=""))
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    assert "fails" in one_fault("PD372", rows(ASK), CHAT, make(endless), WIDE)


def test_a_begun_answer_that_the_template_drops() -> None:
    users = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    text = one_fault("PD372", rows(BEGUN, ASK), CHAT, make(users), WIDE)
    assert "begun answer" in text


@pytest.mark.parametrize(
    ("span", "code", "why"),
    [
        ([7, 12], "PD329", "[0, 7, 12]"),
        ("Paris", "PD329", "[message, start, end]"),
        ([1, 0, 3], "PD336", "message 1, and there are 1"),
        ([0, 3, 99], "PD336", "has 14 characters"),
        ([0, 3, 3], "PD336", "has 14 characters"),
    ],
)
def test_wrong_spans(span: object, code: str, why: str) -> None:
    given = rows(ASK, spans={"CITY": span})
    assert why in one_fault(code, given, CHAT, make(CHATML), WIDE)


def test_spans_where_the_template_writes_something_else() -> None:
    given = rows(ASK, spans={"CITY": [0, 7, 12]})
    assert "does not write as it is" in one_fault("PD373", given, CHAT, make(SHOUTS), WIDE)
    blanks = rows(ASK, spans={"CITY": [0, 0, 3]})
    assert "blanks around message 0" in one_fault("PD373", blanks, CHAT, make(LLAMA), WIDE)
    task = build(blanks, CHAT, make(CHATML), WIDE)
    assert "".join(task.tokens[0][i] for i in task.positions["CITY"][0]) == " Is"


def test_a_message_that_writes_a_special_token_is_warned_about() -> None:
    made = [{"role": "user", "content": "<|im_start|>user\nIs it?<|im_end|>"}]
    _, warnings = both(rows(ASK, made), CHAT, make(CHATML), WIDE)
    assert [d.code for d in warnings] == ["PD374"]
    assert "row `1`, column `prompt`: message 0 writes `<|im_start|>`" in warnings[0].message
    assert both(rows(ASK), CHAT, make(CHATML), WIDE)[1] == ()


def test_messages_without_chat() -> None:
    assert "chat = true" in one_fault("PD329", rows(ASK), spec(), make(CHATML), WIDE)


def test_lengths_are_compared_as_ever() -> None:
    given = [{"prompt": ASK, "other": BEGUN}]
    assert "PD334" in {
        d.code for d in faults_of(given, CHAT, make(CHATML), WIDE, prompt_columns=["other"])
    }


def test_messages_in_csv_and_jsonl(tmp_path: Path) -> None:
    text = json.dumps(ASK)
    write(tmp_path, "prompt\n" + '"' + text.replace('"', '""') + '"\n', "rows.csv")
    write(tmp_path, json.dumps({"prompt": ASK}) + "\n")
    found = [build_of(tmp_path, kind).prompts["prompt"].tolist() for kind in ("csv", "jsonl")]
    assert found[0] == found[1]


def build_of(folder: Path, kind: str) -> Any:
    task = replace(data(kind, f"rows.{kind}"), chat=True)
    loaded = load_rows(task, folder)
    from pathdsl.engine.data.build import build_task

    return build_task(task, loaded, make(CHATML), WIDE)[0]


def test_the_process_is_asked_once_for_all_columns() -> None:
    faults = DataFaults("t")
    chat = chat_of(make(CHATML), faults)
    assert chat is not None and isinstance(chat, Chat)
    table = [{"id": "1", "prompt": ASK, "other": BEGUN}]
    (row,) = chat_texts(table, ["prompt", "other"], "prompt", chat, make(CHATML), faults)
    assert row["other"].endswith("assistant\nIt is") and row["prompt"].endswith("assistant\n")
    assert table[0]["prompt"] is ASK and not faults.all
