"""Every generator keeps the contract of `pathdsl.tasks.base`; the IOI rows are what they say."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from pathdsl import tasks
from pathdsl.models import bundled
from pathdsl.tasks import mini_colored_objects, mini_docstring, mini_greater_than, mini_induction
from pathdsl.tasks.base import Generator, Row
from pathdsl.tasks.ioi import NAMES, OBJECTS, PLACES, TEMPLATES
from pathdsl.tasks.mini_ioi import PATTERN_NAMES, UNSEEN_NAMES, pairs

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("PATHDSL_SHARED", ROOT.parent / "shared"))
GPT2 = SHARED / "models" / "gpt2-tokenizer"
BUNDLED = (
    "ioi", "mini_ioi", "induction", "frac_prevs", "balance", "two_hop", "ioi_shifted", "ioi_extra",
    "colored_objects", "greater_than", "docstring", "gendered_pronoun", "repeated_tokens", "facts",
    "mini_colored_objects", "mini_greater_than", "mini_induction", "mini_docstring",
)  # fmt: skip
CASES = [
    (name, dict(arguments)) for name in BUNDLED for arguments in ({}, *tasks.get(name).examples)
]


def tokenizer_of(name: str) -> Tokenizer:
    if name == "ioi-mini":
        return Tokenizer.from_file(str(bundled("ioi-mini") / "tokenizer.json"))
    if not GPT2.exists():
        pytest.skip("the GPT-2 tokenizer is not here")
    files = (str(GPT2 / "vocab.json"), str(GPT2 / "merges.txt"))
    tokenizer = Tokenizer(models.BPE.from_file(*files))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


@pytest.mark.parametrize(("name", "arguments"), CASES)
class TestContract:
    def test_rows_depend_on_seed_and_index_only(self, name: str, arguments: dict) -> None:
        generator = tasks.get(name)
        arguments = {"take": 70, **arguments}
        many = generator.rows(**arguments)
        assert generator.rows(**{**arguments, "take": 31}) == many[:31]
        assert generator.rows(**arguments) == many
        assert generator.rows(**{"seed": 1, **arguments}) != many or "seed" in arguments
        assert len({row["id"] for row in many}) == 70
        if generator.distinct is not None:
            assert len({row["prompt"] for row in many}) == 70

    def test_rows_have_the_fields_that_the_generator_documents(
        self, name: str, arguments: dict
    ) -> None:
        generator = tasks.get(name)
        for row in generator.rows(**{**arguments, "take": 40}):
            check_fields(generator, row)

    def test_rows_survive_jsonl(self, name: str, arguments: dict) -> None:
        rows = tasks.get(name).rows(**{**arguments, "take": 5})
        assert [json.loads(line) for line in tasks.to_jsonl(rows).splitlines()] == rows

    def test_prompts_of_a_row_have_one_length_and_differ(self, name: str, arguments: dict) -> None:
        generator = tasks.get(name)
        for row in generator.rows(**{**arguments, "take": 40}):
            prompts = [row[column.name] for column in generator.prompt_columns]
            if name != "facts":  # whose subjects have as many tokens, not as many words
                parts = [
                    re.findall(r"\w+|[^\w\s]", p) if isinstance(p, str) else p for p in prompts
                ]
                assert len({*map(len, parts)}) == 1
            assert len({str(prompt) for prompt in prompts}) == len(prompts)


def check_fields(generator: Generator, row: Row) -> None:
    columns = (*generator.prompt_columns, *generator.token_columns, *generator.labels)
    place = "spans" if isinstance(row["prompt"], str) else "positions"
    wanted = {"id", *(column.name for column in columns)}
    assert set(row) - {place} == wanted
    assert set(row.get(place, {})) == {column.name for column in generator.positions}
    for column in generator.token_columns:
        value = row[column.name]
        assert all(
            isinstance(one, str | int) for one in (value if isinstance(value, list) else [value])
        )
    for column in generator.labels:
        assert isinstance(row[column.name], str | int)
    for index in row.get("positions", {}).values():
        assert 0 <= index < len(row["prompt"])


@pytest.mark.parametrize("name", BUNDLED)
def test_documentation_is_there(name: str) -> None:
    generator = tasks.get(name)
    assert generator.name == name and generator.summary and len(generator.doc) > 200
    assert [p.name for p in generator.parameters[:2]] == ["take", "seed"]
    assert all(len(line) <= 100 for line in generator.doc.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"take": 0}, "`take` is 0, wanted at least 1"),
        ({"take": True}, "`take` is True, wanted int"),
        ({"sed": 1}, "no argument `sed`, wanted one of `take`, `seed`, `order`, `form`"),
        ({"order": "ABBA"}, "`order` is `ABBA`, wanted one of `both`, `abba`, `baba`"),
    ],
)
def test_faults_are_said(arguments: dict, message: str) -> None:
    assert tasks.get("ioi").faults(**arguments) == [message]
    with pytest.raises(ValueError, match="generator `ioi`"):
        tasks.get("ioi").rows(**arguments)


def test_even_lengths_cannot_balance() -> None:
    assert tasks.get("balance").faults(length=12) == ["`length` is 12, wanted an odd number"]


def test_registry_is_closed_and_light() -> None:
    assert tasks.names()[: len(BUNDLED)] == BUNDLED
    with pytest.raises(KeyError):
        tasks.get("os")
    code = (
        "import sys, pathdsl.tasks as t, pathdsl.models\n"
        "for name in t.names(): t.get(name).rows(take=1)\n"
        "assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("name", ["ioi", "mini_ioi"])
def test_ioi_rows_are_what_they_say(name: str) -> None:
    for row in tasks.get(name).rows(take=90):
        io, s = row["io"].strip(), row["s"].strip()
        words = row["prompt"].replace(",", "").replace(".", "").split()
        assert words[-1] == "to" and words.count(io) == 1 and words.count(s) == 2
        read = {n: row["prompt"][start:end] for n, (start, end) in row["spans"].items()}
        assert read == {"IO": io, "S1": s, "S2": s}
        assert row["spans"]["S1"][1] < row["spans"]["S2"][0]
        assert (row["spans"]["IO"] < row["spans"]["S1"]) is (row["order"] == "abba")
        abc = row["prompt_abc"].replace(",", "").replace(".", "").split()
        others = [new for old, new in zip(words, abc, strict=True) if old != new]
        assert len(others) == 3 and len({*others, io, s}) == 5
        assert row["prompt_swap"].replace(",", "").replace(".", "").split().count(io) == 2


@pytest.mark.parametrize("order", ["both", "abba", "baba"])
def test_templates_are_drawn_equally_often(order: str) -> None:
    counts = Counter(row["template"] for row in tasks.get("ioi").rows(take=90, order=order))
    kinds = 2 * len(TEMPLATES) if order == "both" else len(TEMPLATES)
    assert len(TEMPLATES) == 15 and set(counts.values()) == {90 // kinds} and len(counts) == kinds


def test_word_lists_have_no_repetitions() -> None:
    for words, size in ((NAMES, 100), (PLACES, 12), (OBJECTS, 12)):
        assert len(words) == len(set(words)) == size


@pytest.mark.parametrize("which", ["gpt2", "ioi-mini"])
def test_every_word_is_one_token_and_prompts_align(which: str) -> None:
    tokenizer = tokenizer_of(which)
    for word in (*NAMES, *PLACES, *OBJECTS):
        assert len(tokenizer.encode(f" {word}", add_special_tokens=False).ids) == 1, word
    for row in [*tasks.get("ioi").rows(take=60), *tasks.get("mini_ioi").rows(take=60)]:
        reference = tokenizer.encode(row["prompt"])
        for column in tasks.get("ioi").prompt_columns:
            assert len(tokenizer.encode(row[column.name]).ids) == len(reference.ids)
        for position, (start, end) in row["spans"].items():
            inside = [
                i
                for i, (first, last) in enumerate(reference.offsets)
                if first < end and start < last
            ]
            assert len(inside) == 1
            name = row["io"] if position == "IO" else row["s"]
            assert reference.ids[inside[0]] == tokenizer.encode(name).ids[-1]


def test_splits_of_mini_ioi_share_nothing() -> None:
    train, test, unseen = (set(pairs(split)) for split in ("train", "test", "names"))
    assert not train & test and len(PATTERN_NAMES) == 80 and len(UNSEEN_NAMES) == 20
    assert {name for pair in train for name in pair} == set(PATTERN_NAMES)
    assert {name for pair in unseen for name in pair} == set(UNSEEN_NAMES)
    for split, allowed in (("train", train), ("test", test), ("names", unseen)):
        for row in tasks.get("mini_ioi").rows(take=60, split=split):
            assert tuple(sorted((row["io"].strip(), row["s"].strip()))) in allowed


def test_splits_of_colored_objects_and_of_years_share_nothing() -> None:
    for split in ("train", "test"):
        allowed = mini_colored_objects.pairs(split)
        for row in tasks.get("mini_colored_objects").rows(take=60, split=split):
            words = {name: _at(row, name) for name in ("C1", "C2", "C3", "O1", "O2", "O3")}
            assert {(words[f"C{i}"], words[f"O{i}"]) for i in (1, 2, 3)} <= allowed
            assert row["answer"] == f" {_at(row, 'RIGHT')}" and _at(row, "THING") == _at(
                row, "ASKED"
            )
            assert row["answer"] not in (row["wrong"], row["third"])
        nouns = mini_greater_than.combinations(split)
        for row in tasks.get("mini_greater_than").rows(take=60, split=split):
            assert row["noun"] in nouns[f"{row['year']:02d}"]
    for of in (mini_colored_objects.pairs, lambda s: {*_flat(mini_greater_than.combinations(s))}):
        assert not set(of("train")) & set(of("test"))


@pytest.mark.parametrize("length", [8, 23, 30])
@pytest.mark.parametrize("split", ["train", "test"])
def test_pairs_of_mini_induction_are_told_by_adjacency_alone(split: str, length: int) -> None:
    for row in tasks.get("mini_induction").rows(take=100, split=split, length=length):
        words, other = row["prompt"].split(), row["prompt_other"].split()
        *line, a = words
        answer, wrong = row["answer"].strip(), row["wrong"].strip()
        places = [_at(row, name) for name in ("FIRST", "AFTER", "OTHER_FIRST", "OTHER_AFTER")]
        assert [places[0], places[1], places[3]] == [a, answer, wrong]
        assert len(words) == length and [line.count(word) for word in places] == [1] * 4
        assert (a, answer) in pairwise(line) and (places[2], wrong) in pairwise(line)
        assert mini_induction.held_out(a, answer) is (split == "test")
        assert [words.index(w) for w in words] == [other.index(w) for w in other]
        assert not {*words} & {*other} and {*words, *other} <= {*mini_induction.WORDS}
        swapped = {a: places[2], places[2]: a}
        exchanged = [swapped.get(word, word) for word in line]
        assert row["prompt_exchanged"].split() == [*exchanged, a]


@pytest.mark.parametrize("split", ["train", "test"])
def test_docstrings_of_mini_docstring_go_on_with_what_stands_behind(split: str) -> None:
    def read(prompt: str) -> tuple[list[str], list[str]]:
        """The arguments of the definition, and those described."""
        (defined,) = re.findall(r"\(self, (.*)\):", prompt)
        return defined.split(", "), re.findall(r":param (\w+):", prompt)

    orders = set()
    for row in tasks.get("mini_docstring").rows(take=100, split=split):
        defined, described = read(row["prompt"])
        at = defined.index(_at(row, "C_DEF"))
        a, b, c, s = defined[at - 2 : at + 2]
        assert described == [a, b] == [_at(row, "A_DOC"), _at(row, "B_DOC")]
        assert [_at(row, f"{name}_DEF") for name in "ABCS"] == [a, b, c, s]
        assert [row[column].strip() for column in ("a", "b", "answer", "wrong")] == [a, b, c, s]
        assert _at(row, "COMMA") == "," and row["spans"]["COMMA"][0] == row["spans"]["B_DEF"][1]
        assert all(mini_induction.held_out(*x) is (split == "test") for x in pairwise(defined))
        words = re.findall(r"\w+", row["prompt"])
        assert len(words) - len({*words}) == 4  # A and B, and `param` thrice
        other, of_other = read(row["prompt_random"])
        assert of_other == other[at - 2 : at] and not {*defined} & {*other}
        swap = {b: c, c: b}
        order, exchanged = ([of.get(word, word) for word in defined] for of in (swap, {c: s, s: c}))
        assert read(row["prompt_next"]) == (defined, [b, c])
        assert read(row["prompt_order"]) == (order, [a, b])
        assert read(row["prompt_exchanged"]) == (exchanged, [a, b])
        assert order[order.index(b) + 1] == exchanged[exchanged.index(b) + 1] == s
        assert {*defined, *other} <= {*mini_docstring.WORDS}
        orders.add(at)
    assert len(orders) == 2


def _at(row: Row, name: str) -> str:
    start, end = row["spans"][name]
    return row["prompt"][start:end]


def _flat(of_year: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(year, noun) for year, nouns in of_year.items() for noun in nouns]


def test_installed_packages_may_add_generators(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name, value = "extra", "package:GENERATOR"

        def load(self) -> Generator:
            return EXTRA

    def entry_points(*, group: str, name: str = "extra") -> list[Point]:
        return [Point()] if (group, name) == ("pathdsl.tasks", "extra") else []

    ioi = tasks.get("ioi")
    values = {f: getattr(ioi, f) for f in Generator.__dataclass_fields__}
    EXTRA = Generator(**{**values, "name": "extra"})
    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    assert tasks.names()[-1] == "extra" and tasks.get("extra") is EXTRA


def test_generators_need_no_third_party_library() -> None:
    assert importlib.util.find_spec("pathdsl.tasks") is not None
    for file in (ROOT / "pathdsl" / "tasks").glob("*.py"):
        assert "import torch" not in file.read_text()
