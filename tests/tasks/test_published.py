"""Rows of the published tasks: what stands where, what a corruption changes, what is drawn how."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from pathdsl import tasks
from pathdsl.draws import Order
from pathdsl.tasks.base import Row, TooFewWords, find_spans, picked, ways
from pathdsl.tasks.facts import FACTS
from tests.tasks.test_generators import BUNDLED, ROOT, tokenizer_of

WITH_WORDS = [name for name in BUNDLED if tasks.get(name).words]
PIECES = re.compile(r"\w+|[^\w\s]")


def marked(row: Row, name: str) -> list[str]:
    """The texts at a position of `prompt`."""
    span = row["spans"][name]
    spans = span if isinstance(span[0], list) else [span]
    return [row["prompt"][start:end] for start, end in spans]


def changed(row: Row, column: str) -> list[tuple[str, str]]:
    """The words of `prompt` that another column has otherwise, in pairs."""
    before, after = PIECES.findall(row["prompt"]), PIECES.findall(row[column])
    return [(a, b) for a, b in zip(before, after, strict=True) if a != b]


def test_rows_of_before_are_what_they_were() -> None:
    """Columns that came later count in no hash: these are of the rows of version 0.1."""
    wanted = {
        ("ioi", "both"): "8844f7b77473",
        ("ioi", "abba"): "e273fd84bada",
        ("mini_ioi", "both"): "bf4612bda815",
    }
    for (name, order), digest in wanted.items():
        generator = tasks.get(name)
        assert len(generator.added) == 6
        rows = [
            {key: value for key, value in row.items() if key not in generator.added}
            for row in generator.rows(take=200, order=order)
        ]
        assert hashlib.sha256(json.dumps(rows).encode()).hexdigest().startswith(digest)


@pytest.mark.parametrize("seed", ["0", "1"])
def test_rows_do_not_depend_on_the_hash_seed(seed: str) -> None:
    code = (
        "import hashlib, json, pathdsl.tasks as t\n"
        "rows = [t.get(name).rows(take=30) for name in t.names()]\n"
        "print(hashlib.sha256(json.dumps(rows).encode()).hexdigest())"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, cwd=ROOT,
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
    )  # fmt: skip
    here = [tasks.get(name).rows(take=30) for name in tasks.names()]
    assert found.stdout.strip() == hashlib.sha256(json.dumps(here).encode()).hexdigest()


@pytest.mark.parametrize("name", WITH_WORDS)
def test_every_word_is_made_of_single_tokens_and_prompts_align(name: str) -> None:
    tokenizer, generator = tokenizer_of("gpt2"), tasks.get(name)

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    for words in generator.words:
        assert len(set(words.words)) == len(words.words)
        for word in words.words:
            pieces = words.pieces(word)
            assert len(ids("the" + "".join(pieces) if pieces[0][0] == " " else pieces[0])) == (
                len(pieces) + (pieces[0][0] == " ")
            ), word
    for row in generator.rows(take=60):
        assert len({len(ids(row[column.name])) for column in generator.prompt_columns}) == 1
        for column in generator.token_columns:
            value = row[column.name]
            for one in value if isinstance(value, list) else [value]:
                assert len(ids(one)) == 1
                if name != "greater_than":  # ` 1280` is one token, and the prompt ends in ` 12`
                    assert ids(row["prompt"] + one) == ids(row["prompt"]) + ids(one)
        offsets = tokenizer.encode(row["prompt"], add_special_tokens=False).offsets
        for span in row["spans"].values():
            for start, end in span if isinstance(span[0], list) else [span]:
                inside = [(a, b) for a, b in offsets if a < end and start < b]
                assert (
                    row["prompt"][inside[0][0] : inside[-1][1]].strip() == row["prompt"][start:end]
                )


# ------------------------------------------------------------------------------- ioi


@pytest.mark.parametrize("order", ["abba", "baba"])
@pytest.mark.parametrize("name", ["ioi", "mini_ioi", "ioi_shifted"])
def test_corruptions_of_ioi_change_what_they_say(name: str, order: str) -> None:
    for row in tasks.get(name).rows(take=45, order=order):
        io, s = row["io"].strip(), row["s"].strip()
        first = (io, s) if order == "abba" else (s, io)
        a, b = changed(row, "prompt_other_names")[0][1], changed(row, "prompt_other_names")[1][1]
        x, y = (a, b) if order == "abba" else (b, a)  # in the places of IO and S

        def three(column: str) -> list[str]:
            names = {io, s, x, y, *(new for _, new in changed(row, column))}  # noqa: B023
            return [word for word in PIECES.findall(row[column]) if word in names]  # noqa: B023

        def wanted(of_io: str, of_s1: str, of_s2: str) -> list[str]:
            return [*((of_io, of_s1) if order == "abba" else (of_s1, of_io)), of_s2]

        assert three("prompt") == [*first, s]
        assert three("prompt_swap") == wanted(io, s, io)
        assert three("prompt_names_exchanged") == wanted(s, io, s)
        assert three("prompt_roles_exchanged") == wanted(s, io, io)
        assert three("prompt_other_names") == wanted(x, y, y)
        assert three("prompt_other_names_swap") == wanted(x, y, x)
        assert three("prompt_io_other") == wanted(x, s, s)
        assert three("prompt_s_other") == wanted(io, y, y)
        assert three("prompt_s1_other") == wanted(io, y, s)
        assert three("prompt_abc")[:2] == wanted(x, y, "")[:2]


def test_long_prompts_are_the_plain_ones_behind_a_sentence() -> None:
    plain, long = (tasks.get("ioi").rows(take=60, form=form) for form in ("plain", "long"))
    for one, other in zip(plain, long, strict=True):
        assert other["prompt"].endswith(one["prompt"]) and other["template"] == one["template"]
        before = len(other["prompt"]) - len(one["prompt"])
        assert before > 60
        for name, (start, end) in one["spans"].items():
            assert other["spans"][name] == [start + before, end + before]
    assert one["id"] == "ioi-0-both-00059" and other["id"] == "ioi-0-both-long-00059"


def test_early_and_late_names_are_one_token_apart() -> None:
    late, early = (
        tasks.get("ioi_shifted").rows(take=40, names=names) for names in ("late", "early")
    )
    for one, other in zip(late, early, strict=True):
        assert one["prompt_shifted"] == other["prompt"] and other["prompt_shifted"] == one["prompt"]

        def places(row: Row) -> dict[str, int]:
            text = row["prompt"]
            return {
                name: len(PIECES.findall(text[:start])) for name, (start, _) in row["spans"].items()
            }

        there, here = places(one), places(other)
        assert here == {"IO": there["IO"] - 1, "S1": there["S1"] - 1, "S2": there["S2"]}


@pytest.mark.parametrize("extra", ["io", "s"])
def test_the_extra_name_stands_between(extra: str) -> None:
    plain = tasks.get("ioi").rows(take=60)
    for row, without in zip(tasks.get("ioi_extra").rows(take=60, extra=extra), plain, strict=True):
        assert (row["io"], row["s"], row["template"]) == (
            without["io"], without["s"], without["template"],
        )  # fmt: skip
        words = PIECES.findall(row["prompt"])
        assert marked(row, "EXTRA") == [row[extra].strip()]
        assert words.count(row["io"].strip()) == (2 if extra == "io" else 1)
        assert words.count(row["s"].strip()) == (2 if extra == "io" else 3)
        spans = row["spans"]
        assert max(spans["IO"], spans["S1"]) < spans["EXTRA"] < spans["S2"]


# ------------------------------------------------------------------------------- the others


def test_years_are_as_the_metric_needs_them() -> None:
    rows = tasks.get("greater_than").rows(take=97 * 3)
    assert set(Counter(row["year"] for row in rows).values()) == {3}
    for row in rows:
        year, century = f"{row['year']:02d}", row["century"]
        assert row["prompt"] == (
            f"The {row['noun']} lasted from the year {century}{year} to the year {century}"
        )
        assert marked(row, "YY") == [year] and marked(row, "XX") == [century]
        assert row["not_later"] + row["later"] == [f"{one:02d}" for one in range(100)]
        assert row["not_later"][-1] == year
        assert changed(row, "prompt_01") == [(century + year, f"{century}01")]
        assert changed(row, "prompt_other_year") == [
            (century + year, f"{century}{row['other_year']:02d}")
        ]


def test_pronouns_are_balanced_and_names_alone_change() -> None:
    rows = tasks.get("gendered_pronoun").rows(take=100)
    assert set(Counter((row["template"], row["gender"]) for row in rows).values()) == {10}
    men = {row["name"] for row in rows if row["gender"] == "he"}
    women = {row["name"] for row in rows if row["gender"] == "she"}
    assert not men & women
    for row in rows:
        assert marked(row, "NAME") == [row["name"]] and marked(row, "IS") == ["is"]
        ((old, other),) = changed(row, "prompt_other_gender")
        ((_, same),) = changed(row, "prompt_same_gender")
        own, others = (men, women) if row["gender"] == "he" else (women, men)
        assert old == row["name"] and other not in own and same not in others
        assert {row["answer"], row["wrong"]} == {" he", " she"}
        assert row["answer"] == f" {row['gender']}"


def test_colored_objects_ask_for_what_they_show() -> None:
    rows = tasks.get("colored_objects").rows(take=60)
    assert set(Counter((row["asked"], row["contrast"]) for row in rows).values()) == {10}
    for row in rows:
        asked, contrast = row["asked"], row["contrast"]
        colors = [marked(row, f"C{i}")[0] for i in (1, 2, 3)]
        things = [marked(row, f"O{i}")[0] for i in (1, 2, 3)]
        assert len({*colors}) == 3 and len({*things}) == 3
        assert row["answer"].strip().lower() == colors[asked - 1] == marked(row, "RIGHT")[0]
        assert row["wrong"].strip().lower() == colors[contrast - 1]
        assert marked(row, "WRONG") == [c for i, c in enumerate(colors, 1) if i != asked]
        assert marked(row, "ASKED") == marked(row, "THING") == [things[asked - 1]]
        assert changed(row, "prompt_contrast") == [(things[asked - 1], things[contrast - 1])]
        ((_, absent),) = changed(row, "prompt_absent")
        assert absent not in PIECES.findall(row["prompt"])
        example = row["prompt"].partition("\nQ: ")[0]
        assert not {*colors, *things} & set(PIECES.findall(example))
        color = marked(row, "EXAMPLE")[0].lower()
        thing = re.findall(r"color is the (\w+)", example)[0]
        assert f"{color} {thing}" in example
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", row["prompt"])


def test_docstrings_match_their_functions() -> None:
    for row in tasks.get("docstring").rows(take=60):
        defined = re.findall(r"\w+", re.findall(r"\(self, (.*)\):", row["prompt"])[0])
        p1, p2, a, b, c, s = defined
        assert len({*defined}) == 6
        assert [f" {one}" for one in defined] == [
            row[name] for name in ("before_1", "before_2", "a", "b", "answer", "after")
        ]
        assert re.findall(r":param (\w+):", row["prompt"]) == [a, b]
        assert row["prompt"].endswith(":param")
        for name, word in zip(
            ("A_DEF", "B_DEF", "C_DEF", "A_DOC", "B_DOC"), (a, b, c, a, b), strict=True
        ):
            assert marked(row, name) == [word]
        assert row["prompt"][: row["spans"]["COMMA"][1]].endswith(f" {b},")
        new = re.findall(r"\w+", re.findall(r"\(self, (.*)\):", row["prompt_random"])[0])
        assert not {*new} & {*defined} and row["random"] == f" {new[4]}"
        pairs = list(zip(defined, new, strict=True))
        documented = [(a, new[2]), (b, new[3])]
        assert changed(row, "prompt_random") == [*pairs, *documented]
        assert changed(row, "prompt_random_def") == pairs
        assert changed(row, "prompt_random_doc") == documented
        other = re.findall(r"\w+", re.findall(r"\(self, (.*)\):", row["prompt_shuffled"])[0])
        assert sorted(other) == sorted(defined) and other[:2] == [p1, p2] and other[5] == s
        assert other[other.index(b) + 1] != c


@pytest.mark.parametrize("length", [2, 20, 150])
def test_repeated_words_repeat(length: int) -> None:
    for row in tasks.get("repeated_tokens").rows(take=20, length=length):
        words = row["prompt"].split()
        assert words[:length] + words[length:] == [*words[:length], *words[: length - 1]]
        assert len({*words[:length]}) == length and row["answer"] == f" {words[length - 1]}"
        assert marked(row, "AFTER") == [row["answer"].strip()]
        assert marked(row, "FIRST") == [words[-1]] and marked(row, "AGAIN") == [words[0]]
        start = row["spans"]["FIRST"][0]
        assert len(row["prompt"][:start].split()) == length - 2
        others = row["prompt_other"].split()
        assert not {*words} & {*others} and row["wrong"].strip() == others[length - 1]
        assert row["prompt_unrepeated"].split() == [*others[:length], *words[length:]]


def test_facts_are_of_one_answer_and_partners_of_another() -> None:
    for facts in FACTS.values():
        assert len({subject for subject, _ in facts}) == len(facts)
    rows = tasks.get("facts").rows(take=360)
    assert set(Counter(row["template"] for row in rows).values()) == {36}
    for row in rows:
        known = {"".join(s.split("|")): answer for s, answer in FACTS[row["relation"]]}
        assert row["answer"] == f" {known[row['subject']]}"
        assert row["wrong"] == f" {known[row['other_subject']]}" != row["answer"]
        assert row["prompt_other"] == row["prompt"].replace(row["subject"], row["other_subject"])
        assert marked(row, "SUBJECT") == [row["subject"]]
        assert row["subject"].endswith(marked(row, "SUBJECT_LAST")[0])
    with pytest.raises(ValueError, match="`take` is 361, and there are 360 different prompts"):
        tasks.get("facts").rows(take=361)


# ------------------------------------------------------------------------------- words left out


def test_words_that_do_not_fit_are_left_out_before_the_draws() -> None:
    generator = tasks.get("ioi")
    lost = {"Mary", "John", "Emily", "park"}

    def fits(pieces: tuple[str, ...]) -> bool:
        return "".join(pieces).strip() not in lost

    rows = generator.rows(fits, take=300)
    assert not any(word in row["prompt"] for row in rows for word in lost)
    assert set(Counter(row["template"] for row in rows).values()) == {10}
    assert generator.left_out(fits) == (
        "without 3 of 100 names, 1 of 12 places, not one token each here"
    )
    assert generator.left_out(lambda pieces: True) == ""
    assert generator.rows(lambda pieces: True, take=9) == generator.rows(take=9)


def test_too_few_words_are_refused() -> None:
    with pytest.raises(TooFewWords, match="0 of 100 names are tokens"):
        tasks.get("ioi").rows(lambda pieces: False, take=3)
    with pytest.raises(TooFewWords, match="make 80 prompts"):
        tasks.get("gendered_pronoun").rows(few_nouns, take=81)
    assert len(tasks.get("gendered_pronoun").rows(few_nouns, take=80)) == 80


def few_nouns(pieces: tuple[str, ...]) -> bool:
    """Whether a word is among a few."""
    return pieces[0].strip() in {
        "friend", "cook", "Alice", "Amy", "Emma", "Mary", "Adam", "Paul", "John", "Eric",
    }  # fmt: skip


# ------------------------------------------------------------------------------- the means


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 65, 1000])
def test_an_order_has_every_number_once(size: int) -> None:
    order = Order(size, 3, "sizes")
    assert sorted(order[i] for i in range(size)) == list(range(size))
    for wrong in (-1, size):
        with pytest.raises(ValueError, match="no place"):
            order[wrong]


def test_orders_are_fair_and_fixed_for_ever() -> None:
    assert [Order(10**30, 0, "fixed")[i] for i in range(2)] == FIXED
    firsts = Counter(Order(5, seed, "fair")[0] for seed in range(2000))
    assert all(330 < count < 470 for count in firsts.values())
    with pytest.raises(ValueError, match="at least one"):
        Order(0, 0)


FIXED = [244550296000579679231612851336, 370240506366373825939715426961]


def test_every_number_picks_otherwise() -> None:
    choices = (("abcd", 2), ("xy", 1))
    found = {str(picked(n, *choices)) for n in range(ways(*choices))}
    assert len(found) == 24


def test_spans_of_templates() -> None:
    text, spans = find_spans("{A} and {B}", {"A": "one", "B": "two"})
    assert text == "one and two" and spans == {"A": [0, 3], "B": [8, 11]}
