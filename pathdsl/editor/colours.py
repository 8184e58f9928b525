"""How a text is coloured: rules in order, made from the table of words and the grammar's terminals.

One list of rules is read by all that colours: the Pygments lexer (`pathdsl.editor.lexer`) and the
TextMate grammar that editors and code hosts have (`grammars/circuit.tmLanguage.json`, written by
`python -m pathdsl.editor.textmate`). The parser decides what a word is by where it stands; a rule
can only look at its line, so that rules say where: behind `@`, before `:` or `=`, in an arrow's
labels, at column 1. Words that nothing may be called are coloured anywhere.

Source: grammars/circuit.lark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache

from pathdsl.editor.words import coloured
from pathdsl.lang.syntax.sweep import KEYWORDS
from pathdsl.lang.syntax.tables import parser
from pathdsl.record import record

__all__ = ["COLOURS", "Colour", "Region", "Rule", "rules"]


@record
class Colour:
    """How one kind of text is called: by Pygments (`Keyword.Type`) and in TextMate grammars."""

    pygments: str
    scope: str


COLOURS: Mapping[str, Colour] = {
    "statement": Colour(pygments="Keyword.Declaration", scope="storage.type.statement"),
    "clause": Colour(pygments="Keyword", scope="keyword.control"),
    "action": Colour(pygments="Keyword", scope="keyword.other.action"),
    "node": Colour(pygments="Name.Builtin", scope="support.constant.node"),
    "path set": Colour(pygments="Name.Builtin.Pseudo", scope="support.type.path-set"),
    "run": Colour(pygments="Name.Builtin.Pseudo", scope="variable.language.run"),
    "score": Colour(pygments="Name.Function.Magic", scope="support.function.score"),
    "function": Colour(pygments="Name.Function", scope="entity.name.function"),
    "constant": Colour(pygments="Keyword.Constant", scope="constant.language"),
    "relation": Colour(pygments="Keyword.Type", scope="support.type.relation"),
    "slot": Colour(pygments="Name.Entity", scope="storage.modifier.slot"),
    "unit": Colour(pygments="Keyword.Type", scope="support.type.unit"),
    "declared": Colour(pygments="Name.Class", scope="entity.name.type"),
    "argument": Colour(pygments="Name.Attribute", scope="variable.parameter"),
    "field": Colour(pygments="Name.Attribute", scope="variable.other.property"),
    "position": Colour(pygments="Name.Label", scope="entity.name.tag.position"),
    "name": Colour(pygments="Name", scope="variable.other"),
    "number": Colour(pygments="Number", scope="constant.numeric"),
    "string": Colour(pygments="String", scope="string.quoted.double"),
    "comment": Colour(pygments="Comment", scope="comment.line.number-sign"),
    "operator": Colour(pygments="Operator", scope="keyword.operator"),
    "punctuation": Colour(pygments="Punctuation", scope="punctuation"),
    "blank": Colour(pygments="Text.Whitespace", scope=""),
}
"""Every kind of text; the kinds of words are among them."""


@record
class Rule:
    """`match` is coloured as `kinds`: one for each of its groups, or one for the whole."""

    match: str
    kinds: tuple[str, ...]


@record
class Region:
    """From `begin` to `end` the rules of the state `inside` hold; both ends are coloured alike."""

    begin: str
    kinds: tuple[str, ...]
    end: str
    inside: str


Part = Rule | Region
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_END = r"(?![A-Za-z0-9_])"
_START = r"(?<![A-Za-z0-9_.])"


@cache
def rules() -> dict[str, tuple[Part, ...]]:
    """The rules of each state, the first that fits wins; "root" is that of a file.

    "expression": all but blocks · "data": a circuit or task · "block": its fields · "actions": an
    `intervene` · "arrow": the labels of one.
    """
    next_one = rf"(?=^(?:{_any(KEYWORDS)}){_END})"
    declares = [one for one in KEYWORDS if one not in ("circuit", "task", "intervene", "use")]
    comment = Rule(match=r"#[^\r\n]*", kinds=("comment",))
    string = Rule(match=r'"(?:[^"\n\r\\]|\\[^\n\r])*"', kinds=("string",))
    number = Rule(match=_terminal("NUMBER"), kinds=("number",))
    name = Rule(match=_NAME, kinds=("name",))
    calls = Rule(match=rf"{_NAME}(?=[ \t]*\()", kinds=("function",))
    argument = Rule(match=rf"{_NAME}(?=[ \t]*:)", kinds=("argument",))
    operator = Rule(match=r"->|~>|>=|<=|~=|==|!=|\.\.|[-+*/^|&<>=@?]", kinds=("operator",))
    punctuation = Rule(match=r"[(){}\[\],;:]", kinds=("punctuation",))
    constants = Rule(match=rf"(?:{_any(('true', 'false'))}){_END}", kinds=("constant",))
    nested = Region(begin=r"\(", kinds=("punctuation",), end=r"\)", inside="expression")
    expression: tuple[Part, ...] = (
        comment,
        string,
        Region(begin=r"[-~]\[", kinds=("operator",), end=r"\][-~]>", inside="arrow"),
        Rule(match=rf"(:)(\s*)({_any(_of('unit'))})(?=\s*=)",
             kinds=("punctuation", "blank", "unit")),
        Rule(match=rf"(@)(\s*)({_NAME})([+-]\d+(?![A-Za-z0-9_.]))?",
             kinds=("operator", "blank", "position", "number")),
        *(Rule(match=_START + _terminal(node), kinds=("node",))
          for node in ("HEAD", "MLP", "RESID")),
        *_words("node"),
        argument,
        Rule(match=rf"(expect)(\s+)(supported|refuted){_END}",
             kinds=("clause", "blank", "constant")),
        Rule(match=rf"({_any(_of('score', 'anywhere'))})(?=\s*\()", kinds=("score",)),
        *_words("run"),
        *(Rule(match=rf"{one}(?=\s*[({{])", kinds=("path set",))
          for one in _of("path set", "bracket") if one != "nodes"),
        Rule(match=r'nodes(?=\s*\(\s*")', kinds=("path set",)),
        Rule(match=r"within(?=\s*\()", kinds=("path set",)),
        Rule(match=rf"(?:{_any(set(_of('path set', 'anywhere')) - {'within'})}){_END}",
             kinds=("path set",)),
        *_words("clause"),
        constants,
        calls,
        number,
        name,
        operator,
        punctuation,
    )  # fmt: skip
    return {
        "root": (
            comment,
            Region(begin=rf"^(circuit|task)(\s+)({_NAME})", kinds=("statement", "blank",
                   "declared"), end=next_one, inside="data"),
            Region(begin=rf"^(intervene)(\s+)({_NAME})", kinds=("statement", "blank",
                   "declared"), end=next_one, inside="actions"),
            Rule(match=r"^(use)(?=\s*\")", kinds=("statement",)),
            Rule(match=rf"^({_any(declares)})(\s+)({_NAME})",
                 kinds=("statement", "blank", "declared")),
            *expression,
        ),
        "expression": (nested, *expression),
        "data": (
            comment,
            string,
            Region(begin=r"\{", kinds=("punctuation",), end=r"\}", inside="block"),
            nested,
            *_words("clause"),
            constants,
            calls,
            number,
            name,
            operator,
            punctuation,
        ),
        "block": (
            comment,
            string,
            Region(begin=r"\{", kinds=("punctuation",), end=r"\}", inside="block"),
            nested,
            Rule(match=rf"({_NAME})(?=\s*=)", kinds=("field",)),
            constants,
            calls,
            number,
            Rule(match=rf"(@)(\s*)({_NAME})", kinds=("operator", "blank", "position")),
            name,
            operator,
            punctuation,
        ),
        "actions": (
            Rule(match=r"(zero)(\s+)([qkv])(?:(\s*\|\s*)([qkv]))?(?:(\s*\|\s*)([qkv]))?(?=\s*\()",
                 kinds=("action", "blank", "slot", "operator", "slot", "operator", "slot")),
            Rule(match=r"(pattern|block)(?=\s*\()", kinds=("action",)),
            Rule(match=rf"(scale|set|add)(?=[ \t]+{_NAME})", kinds=("action",)),
            *expression,
        ),
        "arrow": (
            comment,
            *_words("slot"),
            *_words("relation"),
            number,
            nested,
            operator,
            punctuation,
        ),
    }  # fmt: skip


def _of(kind: str, inside: str = "") -> list[str]:
    """The words of a kind."""
    found = [w.name for w in coloured() if w.kind == kind and inside in ("", w.inside)]
    return list(dict.fromkeys(found))


def _words(kind: str) -> list[Rule]:
    """The words of a kind, wherever they stand."""
    return [Rule(match=rf"{_START}(?:{_any(_of(kind))}){_END}", kinds=(kind,))]


def _any(names: Iterable[str]) -> str:
    """Any of these words, the longest first."""
    return "|".join(re.escape(one) for one in sorted(names, key=lambda one: (-len(one), one)))


def _terminal(name: str) -> str:
    """The grammar's own expression for a terminal."""
    return str(parser().get_terminal(name).pattern.value)
