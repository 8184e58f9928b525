"""Highlighting agrees with the parser: Pygments and TextMate, on every file that there is."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from lark import Token

from pathdsl.editor.colours import COLOURS
from pathdsl.editor.textmate import PLACES, made
from pathdsl.editor.words import KINDS, coloured
from pathdsl.lang.syntax.parse import parse_pieces
from pathdsl.lang.syntax.tables import parser

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "hypotheses").rglob("*.circuit")) + sorted(
    (ROOT / "tests" / "cases").glob("*.circuit")
)
NAMED = {"name", "declared", "argument", "field", "position", "function", "unit", "constant"}
"""What a NAME of the parser may be coloured as."""


def _all(terminals: tuple[str, ...], kinds: set[str]) -> dict[str, set[str]]:
    return {name: kinds for name in terminals}


TERMINALS: dict[str, set[str]] = {
    "NAME": NAMED,
    "IN_KEY": {"argument"},
    "STRING": {"string"},
    "NUMBER": {"number"},
    "SHIFT": {"operator", "number"},
    "REL": {"operator"}, "EQ": {"operator"}, "NE": {"operator"},
    **_all(("HEAD", "MLP", "RESID", "WORD"), {"node"}),
    "SLOT": {"slot"},
    "SCORE": {"score"},
    "ATTENTION": {"function"},
    "TRUE": {"constant"}, "FALSE": {"constant"},
    **_all(("REFERENCE", "TREATED", "TREAT", "KEEP"), {"run"}),
    **_all(("PREV", "SAME", "WINDOW", "OFFSET"), {"relation"}),
    **_all(("PATTERN", "BLOCK", "ZERO", "SCALE", "SET", "ADD"), {"action"}),
    **_all(("FULL", "NONE", "THROUGH", "EDGES", "RANDOM_LIKE", "RANDOM_EDGES", "NODES",
                     "OF_THROUGH", "OF_WITHIN", "OF_EDGES", "OF_FILE"), {"path set"}),
    "WITHIN": {"clause", "path set"},
    **_all(("WHERE", "AND", "ON", "FOR", "IN", "WINDOWS", "AT", "CONFIDENCE", "BY",
                     "EXPECT", "EXCEPT", "WITH"), {"clause"}),
    **_all(("CIRCUIT", "USE", "MODEL", "TASK", "GROUP", "PATH", "METRIC", "LET",
                     "INTERVENE", "CLAIM"), {"statement"}),
}  # fmt: skip
KEYS = {"REFERENCE", "TREATED", "HEAD", "MLP", "RESID", "WORD"}
"""May be the name of an argument: it is coloured as one where `:` follows."""


def tokens(text: str) -> list[Token]:
    pieces, faults = parse_pieces(text, "x.circuit")
    assert faults == []
    found: list[Token] = []
    for piece in pieces:
        if piece.tree is not None:
            found += piece.tree.scan_values(lambda value: isinstance(value, Token))
    return sorted(found, key=lambda token: token.start_pos or 0)


def wanted(token: Token, text: str) -> set[str]:
    if token.type in TERMINALS:
        found = TERMINALS[token.type]
        behind = re.match(r"\s*:", text[token.end_pos or 0 :])
        if token.type == "NAME" and token in ("full", "none"):
            return found | {"path set"}  # what is called decides that it is a path set
        return found | {"argument"} if token.type in KEYS and behind else found
    return {"operator", "punctuation"}  # terminals that are signs


def disagreements(text: str, kinds: list[str]) -> list[str]:
    """Tokens of the parser of which a character is coloured as something else."""
    wrong = []
    for token in tokens(text):
        start, end = token.start_pos or 0, token.end_pos or 0
        got = {kinds[at] for at in range(start, end) if not text[at].isspace()}
        if not got <= wanted(token, text):
            line = text.count("\n", 0, start) + 1
            wrong.append(f"line {line}: {token.type} `{token}` is coloured as {sorted(got)}")
    return wrong


@cache
def by_scope() -> dict[str, str]:
    return {f"{one.scope}.circuit": kind for kind, one in COLOURS.items() if one.scope}


def textmate(text: str) -> list[str]:
    """The kind of every character by the written grammar: what an editor does with it."""
    grammar = json.loads((ROOT / "grammars" / "circuit.tmLanguage.json").read_text("utf-8"))
    known, kinds = grammar["repository"], ["blank"] * len(text)

    def flat(patterns: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = []
        for one in patterns:
            name = one.get("include", "").removeprefix("#")
            found += flat(known[name]["patterns"]) if name else [one]
        return found

    def paint(match: re.Match[str], captures: dict[str, Any], name: str = "") -> None:
        for number, one in ({"0": {"name": name}} if name else captures).items():
            start, end = match.span(int(number))
            kinds[max(start, 0) : max(end, 0)] = [by_scope()[one["name"]]] * (end - start)

    stack: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = [
        ("", {}, flat(grammar["patterns"]))
    ]
    start = 0
    for line in text.splitlines(keepends=True):
        at, end = start, start + len(line)
        while at < end:
            closing, captures, patterns = stack[-1]
            best: tuple[int, int, re.Match[str], dict[str, Any] | None] | None = None
            if closing and (match := cached(closing).search(text, at, end)):
                best = (match.start(), -1, match, None)
            for number, one in enumerate(patterns):
                found = cached(one.get("match") or one["begin"]).search(text, at, end)
                if found and (best is None or (found.start(), number) < best[:2]):
                    best = (found.start(), number, found, one)
            if best is None:
                break
            _, _, match, rule = best
            if rule is None:
                paint(match, captures)
                stack.pop()
            elif "match" in rule:
                paint(match, rule.get("captures", {}), rule.get("name", ""))
                assert match.end() > match.start(), rule
            else:
                paint(match, rule["beginCaptures"])
                stack.append((rule["end"], rule.get("endCaptures", {}), flat(rule["patterns"])))
            at = match.end()
        start = end
    return kinds


@cache
def cached(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.MULTILINE)


def pygmented(text: str) -> list[str]:
    pytest.importorskip("pygments")
    from pygments.token import string_to_tokentype

    from pathdsl.editor.lexer import CircuitLexer

    kinds: list[str] = []
    by_token: dict[Any, str] = {}
    for kind, one in COLOURS.items():
        by_token.setdefault(string_to_tokentype(one.pygments), kind)
    for _, token, value in CircuitLexer().get_tokens_unprocessed(text):
        assert "Error" not in str(token), value
        kinds += [by_token[token]] * len(value)
    return kinds


ALIKE = {}
for _kind, _one in COLOURS.items():
    ALIKE.setdefault(_one.pygments, set()).add(_kind)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_both_colour_what_the_parser_reads(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert disagreements(text, textmate(text)) == []
    wrong = []
    for token in tokens(text):
        start, end = token.start_pos or 0, token.end_pos or 0
        kinds = pygmented_once(text)
        good = {other for kind in wanted(token, text) for other in ALIKE[COLOURS[kind].pygments]}
        got = {kinds[at] for at in range(start, end) if not text[at].isspace()}
        if not got <= good:
            wrong.append(f"{token.type} `{token}` is coloured as {sorted(got)}")
    assert wrong == []


@cache
def pygmented_once(text: str) -> list[str]:
    return pygmented(text)


NAMES = """circuit c { language = 1 }
task t {
  data = ioi(take: 3, seed: 0)
  reference = input
  treated = treated
  model = m
}
group window = { a0.h0, a9.h* }
path prev = window -[k,v: window(3)]-> a1.h1 ~[q: prev]~> logits
metric pattern on t @S1+1: prob = prob(io)
let zero: none = mean(pattern(treat(prev)))
let share for add in window: logits = max(set in window: effect(through(set)))
let size: logits = size(prev, in: edge) + share[a0.h0]
claim scale: zero ~= 50% within (1 - 2) at 95% confidence by holm() expect refuted
intervene block {
  zero q|v(a9.h9)
  scale a9.h9 = 2.0
  pattern(a9.h9@END) = uniform(S1)
  block(a9.h9 -> S1)
  set a9.h9 = treated
  add r5@END = mean(pattern)
}
let under = mean(pattern(reference with block))
"""


def test_words_that_the_file_declares_are_names() -> None:
    assert disagreements(NAMES, textmate(NAMES)) == []
    assert len(tokens(NAMES)) > 150


def test_the_written_grammars_are_current() -> None:
    for place in PLACES:
        text = (ROOT / "grammars" / place).read_text(encoding="utf-8")
        assert text == made(), "run python -m pathdsl.editor.textmate"


def test_the_table_has_every_word_of_the_grammar() -> None:
    known = {one.name for one in coloured()}
    assert {one.kind for one in coloured()} == set(KINDS) <= {*COLOURS}
    for terminal in parser().terminals:
        text = terminal.pattern.value.partition("(?=")[0].removesuffix("(?![A-Za-z0-9_])")
        if re.fullmatch(r"[a-z_]+", text):
            assert text in known, text
        if terminal.name in ("SCORE", "WORD"):
            assert set(text.strip("()").split("|")) <= known


def test_pygments_finds_the_lexer() -> None:
    pytest.importorskip("pygments")
    from pathdsl.editor.lexer import CircuitLexer

    assert CircuitLexer.aliases[0] == "circuit"
    text = "claim holds: effect(through(a9.h9)) > 0  # ok\n"
    assert "".join(value for _, _, value in CircuitLexer().get_tokens_unprocessed(text)) == text
