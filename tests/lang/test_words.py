"""Every word of the language has an entry, and every example in one is read by the language."""

from __future__ import annotations

import re

import pytest

from pathdsl.lang.elsewhere import ELSEWHERE
from pathdsl.lang.rules.sample import HEAD
from pathdsl.lang.signatures import calls
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.lang.signatures.members import OVER_MEMBERS
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.lang.syntax.parse import parse
from pathdsl.lang.syntax.tables import folder
from pathdsl.lang.words import Word, all_words, words_named

GRAMMAR = folder().joinpath("circuit.lark").read_text(encoding="utf-8")
TABLES = (
    calls.SCORES, calls.MEASURES, calls.STATISTICS, calls.METHODS, calls.LOADERS, calls.DATA_FILES,
    calls.TREATED, calls.PATH_SETS, calls.CIRCUIT_FILES, calls.KNOCKOUTS, calls.CIRCUIT_FIELDS,
    calls.TASK_FIELDS, ATTRIBUTIONS, OVER_MEMBERS, P_VALUES,
)  # fmt: skip
WRAPPED = {
    "statement": "{}",
    "path set": "path p = {}",
    "node": "path p = {}",
    "position": "path p = {}",
    "sign": "",
    "slot": "path p = {}",
    "relation": "path p = {}",
    "run": "let x = {}",
    "part of a claim": "claim c: {}",
    "loop": "{}",
    "part of a task or metric": "{}",
    "action": "intervene i {{ {} }}",
    "field of circuit": 'circuit t "T" {{ {} }}',
    "field of task": "task t {{ {} }}",
    "score": "let x = {}",
    "measure": "metric X = {}",
    "statistic": "let x = {}",
    "test": "let x = {}",
    "function over members": "let x = {}",
    "function of two loops": "let x = {}",
    "function over revisions": "claim c: {} at 95% confidence",
    "method": "claim c: mean(LD(reference)) > 0 at 95% confidence by {}",
    "model": "model m = {}",
    "data": "task t {{ data = {} }}",
    "treated value": "task t {{ treated = {} }}",
    "search": "let x = completeness(P, knockouts: {})",
    "method of attribution": "let x = {}",
}


@pytest.mark.parametrize("table", TABLES)
def test_every_record_has_an_entry(table: dict[str, object]) -> None:
    missing = [name for name in table if not words_named(name)]
    assert missing == []


def test_every_word_of_the_grammar_has_an_entry() -> None:
    terminals = re.findall(r"^[A-Z_]+(?:\.\d)?: /([a-z_]{2,}|[qkv])\(", GRAMMAR, re.M)
    listed = re.findall(r"^[A-Z_]+(?:\.\d)?: /\(([a-z_|]+)\)\(", GRAMMAR, re.M)
    words = {*terminals, *(word for one in listed for word in one.split("|"))}
    assert len(words) > 40
    assert sorted(word for word in words - {"true", "false"} if not words_named(word)) == []


def test_options_and_choices_have_entries() -> None:
    for word in all_words():
        for option in word.options:
            name = re.split(r":| =", option.written)[0]
            assert words_named(name), name
    assert {one.kind for one in words_named("recovered")} == {"choice", "another tool's word"}
    assert "tokens = continued" in words_named("continued")[0].meaning


@pytest.mark.parametrize("word", all_words(), ids=lambda one: f"{one.kind}-{one.name}")
def test_examples_are_read(word: Word) -> None:
    wrapped = WRAPPED[word.kind]
    if word.kind == "sign":
        wrapped = "claim c: {}" if word.name == "~=" else "path p = {}"
    _, faults = parse(HEAD + wrapped.format(word.example) + "\n", "w.circuit")
    assert [one.message for one in faults] == []


@pytest.mark.parametrize("name", ELSEWHERE)
def test_repairs_for_other_tools_words_are_read(name: str) -> None:
    right = ELSEWHERE[name][1].strip("`")
    forms = (
        "{}",
        "let x = {}",
        "path p = {}",
        "let x = mean(LD({}))",
        "path p = a9.h9{} -> logits",
        "metric M = {}",
        "model m = {}",
    )
    assert any(parse(HEAD + form.format(right) + "\n", "w.circuit")[1] == [] for form in forms)
    assert not any(word.name == name for word in all_words())


def test_every_option_says_what_it_is_for() -> None:
    for word in all_words():
        for option in word.options:
            assert option.means or " = " in option.written, f"{word.name}, {option.written}"


@pytest.mark.parametrize("name", ["END", "ANSWER", "MASK"])
def test_positions_that_the_language_knows_have_an_entry(name: str) -> None:
    assert [word.kind for word in words_named(name)] == ["position"]
