"""Why a statement does not parse, in the words of the person who wrote it.

`explain_fault` gets the place where the parser stopped and the terminals it would have taken there.
It tries the slips people make (another language's operator, another tool's node name, a bracket
left open) from the most telling to the least, and else says what was found and what was expected.

    >>> place = Place(text="use 'x'", path="x", start=0, end=7, at=4, last=3,
    ...               accepted=frozenset({"STRING"}))
    >>> explain_fault(place).help
    '`"x"`'
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pathdsl.errors import Diagnostic, Span
from pathdsl.lang.syntax.spellings import correction, reserved
from pathdsl.lang.syntax.stop import ARROWS, Place, expectation
from pathdsl.lang.syntax.sweep import KEYWORDS, open_brackets

_NODE = re.compile(r"a\d+(\.(?:h|kv)\d+)?|m\d+(\.n\d+)?|r\d+")
_BRACKETS = {"(": ")", "[": "]", "{": "}", "-[": "]->", "~[": "]~>"}

# What people write for an operator of this language, and what it is called here.
_OTHERARROWS = ("=>", "-->", "→", "⇒", "–>", "—>", "==>", ">")
_OTHER_SIGNS = {
    "≥": ">=", "≤": "<=", "≈": "~=", "=>": ">=", "=<": "<=", "−": "-", "–": "-", "—": "-",
    "×": "*", "·": "*", "÷": "/", "&&": "&", "||": "|", "∪": "|", "∩": "&", ":=": "=",
    "and": "&", "or": "|",
}  # fmt: skip
_DOUBLED = {
    "-->": ("an arrow is written `->`", "->"),
    "||": ("either is written with a single `|`", "|"),
    "&&": ("both is written with a single `&`", "&"),
    "**": ("a power is written `^`", "^"),
    "//": ("a comment starts with `#`", "# …"),
    "/*": ("a comment starts with `#`", "# …"),
}


def explain_fault(place: Place) -> Diagnostic:
    """The Diagnostic for a statement that stops being one at `place`."""
    for slip in _SLIPS:
        if (fault := slip(place)) is not None:
            return fault
    expected = expectation(place)
    if not place.found:
        return place.fault(
            "PD014", f"the statement ends too early, expected {expected}", label="ends here"
        )
    return place.fault(
        "PD001", f"found `{place.found}`, expected {expected}", label="not expected here"
    )


# -------------------------------------------------------------------------------------------------
# Slips, from the most telling to the least
# -------------------------------------------------------------------------------------------------


def _quotes(place: Place) -> Diagnostic | None:
    found = place.text[place.at : place.at + 1]
    line_end = place.text.find("\n", place.at)
    rest = place.text[place.at : place.end if line_end < 0 else line_end].rstrip("\r")
    if found == '"' and not re.match(r'"(?:[^"\\]|\\.)*"', rest):
        return place.fault(
            "PD004",
            "this string has no closing quote on its line",
            span=(place.at, place.at + len(rest.rstrip())),
            label="starts here",
            help=f'`{rest.split("  #")[0].rstrip(" ,)")}"`',
        )
    if found and found in "'“”‘’`«":
        inner = re.match(r"['“‘`«]([^'”’`»]*)['”’`»]?", rest)
        text = inner.group(1) if inner else ""
        return place.fault(
            "PD005",
            f"a string stands in straight double quotes, found `{found}`",
            span=(place.at, place.at + len(inner.group() if inner else found)),
            help=f'`"{text}"`',
        )
    return None


def _spelling(place: Place) -> Diagnostic | None:
    word, start = place.word
    if not word:
        return None
    behind = place.text[start + len(word) : start + len(word) + 4]
    span = (start, start + len(word))
    if kept := reserved(word + ("*" if behind.startswith("*") else "")):
        return place.fault(
            "PD007",
            f"`{word}` is reserved for {kept}, which this version does not have",
            span=span,
            label="reserved, built later",
        )
    hook = re.match(r"\[(\d+)\]", behind)
    right = correction(word + (hook.group() if hook else ""))
    node_possible = bool({"HEAD", "MLP"} & place.accepted) or place.at > start
    number = re.fullmatch(r"\d+\.\d+", word)
    if right and right != word and node_possible and not (number and "NUMBER" in place.accepted):
        end = span[1] + (len(hook.group()) if hook else 0)
        return place.fault(
            "PD006",
            f"`{place.text[start:end]}` is how another tool writes a node",
            span=(start, end),
            label=f"here it is `{right}`",
            help=f"`{right}`",
        )
    broken = re.match(r"[amr]\d*(?:\.(?:h|kv|n))?\[[^\]\n]*\]?", place.text[start : place.end])
    if broken and broken.end() > place.at - start and broken.end() > 1:
        return place.fault(
            "PD012",
            f"`{broken.group()}` is no range of layers, heads or neurons",
            span=(start, start + broken.end()),
            help="`a[7..9].h*`, `a9.h[0,6]`, `m[0..3]`: both ends are included",
        )
    if re.fullmatch(r"[am]\d+\.[A-Za-z0-9_.]*", word) and not _NODE.fullmatch(word):
        return place.fault(
            "PD001",
            f"`{word}` is no node",
            span=span,
            help="nodes are written `a9.h6`, `a9.h*`, `a9.kv2`, `m5`, `r5`",
        )
    return None


def _slot_in_angles(place: Place) -> Diagnostic | None:
    match = re.compile(r"<([qkv])>").match(place.text, place.at)
    if not match or place.at != place.last:
        return None
    return place.fault(
        "PD006",
        f"`{match.group()}` is how EAP-IG marks an input of a head",
        span=match.span(),
        label="here the slot stands on the arrow",
        help=f"`a5.h5 -[{match.group(1)}]-> a8.h6`",
    )


def _other_sign(place: Place) -> Diagnostic | None:
    found = place.found
    # The first half of a sign may be one of ours: `-` of `-->`, `|` of `||`, `*` of `**`.
    doubled = place.text[place.at - 1 : place.at] + found
    if doubled in _DOUBLED and place.last == place.at:
        span = (place.at - 1, place.at - 1 + len(doubled))
        return place.fault(
            "PD005", _DOUBLED[doubled][0], span=span, help=f"`{_DOUBLED[doubled][1]}`"
        )
    span = (place.at, place.at + len(found))
    inside = open_brackets(place.text, place.start, place.at)
    if found in _OTHERARROWS and "->" in place.wanted:
        return place.fault(
            "PD005", f"found `{found}`, an arrow is written `->`", span=span, help="`->`"
        )
    if found in ("=", "==", "===", "!=") and "REL" in place.accepted and place.keyword == "claim":
        return place.fault(
            "PD005",
            f"a claim has no `{found}`: estimates are never exactly equal",
            span=span,
            label="wanted `<`, `<=`, `>`, `>=` or `~=`",
            help="`A ~= B within 0.1`",
        )
    if found == "==" and "=" in place.wanted:
        return place.fault("PD005", "found `==`, wanted `=`", span=span, help="`=`")
    if found == "=" and "==" in place.wanted:
        return place.fault("PD005", "found `=`, a filter compares with `==`", span=span,
                           help="`==`")  # fmt: skip
    if found == "=" and ":" in place.wanted and (inside or place.keyword == "claim"):
        what = "a claim's name is followed by `:`" if not inside else "an argument is `name: value`"
        return place.fault("PD005", f"found `=`, {what}", span=span, help="`:`")
    if found in _OTHER_SIGNS:
        right = _OTHER_SIGNS[found]
        if right in place.wanted or (right in (">=", "<=", "~=") and "REL" in place.accepted):
            return place.fault(
                "PD005", f"found `{found}`, here it is written `{right}`", span=span,
                help=f"`{right}`",
            )  # fmt: skip
    if found == "%" and place.text[place.last - 1].isdigit():
        number = re.search(r"[\d_.]+$", place.text[: place.last])
        return place.fault(
            "PD012", "`%` touches its number", span=span,
            help=f"`{number.group() if number else '95'}%`",
        )  # fmt: skip
    return None


def _colon(place: Place) -> Diagnostic | None:
    if place.keyword != "claim" or ":" not in place.wanted or "NAME" in place.accepted:
        return None
    if open_brackets(place.text, place.start, place.at) or place.found == ":":
        return None
    name = re.compile(r"claim\s+([A-Za-z0-9_]+)").match(place.text, place.start)
    if not name or name.end() != place.last:
        return None
    return place.fault(
        "PD001",
        f"a claim's name is followed by `:`, found `{place.found}`"
        if place.found
        else "a claim's name is followed by `:`",
        span=(place.last, place.last),
        label="`:` is missing here",
        help=f"`claim {name.group(1)}: …`",
    )


def _bracket(place: Place) -> Diagnostic | None:
    found = place.found
    before = open_brackets(place.text, place.start, place.at)
    if found in (")", "]", "}", "]->", "]~>"):
        if not before:
            return place.fault("PD003", f"`{found}` closes nothing", label="no bracket is open")
        opened, at = before[-1]
        if _BRACKETS[opened] != found and _BRACKETS[opened] in place.wanted:
            return place.fault(
                "PD003",
                f"`{opened}` is closed by `{_BRACKETS[opened]}`, found `{found}`",
                help=f"`{_BRACKETS[opened]}`",
                labels=((_span(place, at, len(opened)), "opened here"),),
            )
        return None
    never = open_brackets(place.text, place.start, place.end)
    if not never or (found and not before):
        return None
    opened, at = (before or never)[-1]
    if found and ((opened, at) not in never or _BRACKETS[opened] not in place.wanted):
        return None
    return place.fault(
        "PD003",
        f"`{opened}` is never closed",
        span=(at, at + len(opened)),
        label=f"opened here, wants a `{_BRACKETS[opened]}`",
        labels=((_span(place, *_point(place)), "still open here"),),
        help=f"`{_BRACKETS[opened]}`",
    )


def _span(place: Place, at: int, length: int) -> Span:
    return Span(path=place.path, start=at, end=at + length)


def _point(place: Place) -> tuple[int, int]:
    start, end = place.here
    return start, end - start


def _statement_inside(place: Place) -> Diagnostic | None:
    found = place.found
    if found not in KEYWORDS or "NAME" in place.accepted or "$END" not in place.accepted:
        return None
    return place.fault(
        "PD015",
        f"`{found}` begins a statement and stands at column 1",
        label="not at the start of a line",
    )


def _semicolon(place: Place) -> Diagnostic | None:
    if place.found != ";" or "$END" not in place.accepted:
        return None
    return place.fault("PD001", "a statement ends with its line, found `;`", label="leave this out")


def _section(place: Place) -> Diagnostic | None:
    """`(-> mlp)` without a quantifier, and a section inside a section."""
    wanted = place.wanted
    if {"*", "+", "?", "{"} <= wanted and "NAME" not in place.accepted and "^" not in wanted:
        return place.fault(
            "PD020",
            "a repeated section says how often",
            span=(place.last - 1, place.last),
            label="`*`, `+`, `?` or `{1,3}` is missing here",
            help="`(-> mlp)*`",
        )
    inside = open_brackets(place.text, place.start, place.at)
    sections = [at for _, at in inside if _opens_section(place.text, at)]
    if place.found in ARROWS and len(sections) > 1 and sections[-1] == inside[-1][1]:
        return place.fault(
            "PD020",
            "a repeated section holds no other section",
            span=(sections[-1], place.here[1]),
            label="second section",
            labels=((_span(place, sections[-2], 1), "first section"),),
        )
    if place.found == "(" and sections and sections[-1] == inside[-1][1] and "->" in wanted:
        return place.fault(
            "PD020",
            "a repeated section holds no other section",
            label="second section",
            labels=((_span(place, sections[-1], 1), "first section"),),
        )
    return None


def _opens_section(text: str, at: int) -> bool:
    return text[at] == "(" and text[at + 1 : at + 80].lstrip().startswith(tuple(ARROWS))


def _wrong_world(place: Place) -> Diagnostic | None:
    """A path or a node where a number is wanted."""
    word, start = place.word
    # In the place of a number the grammar knows no nodes: `a9.h6` stops at its dot.
    if start < place.at and _NODE.fullmatch(word):
        return place.fault(
            "PD021",
            f"`{word}` is a node, and a number is wanted here",
            span=(start, start + len(word)),
            help=f"treat its paths and read a metric: `LD(treat(through({word})))`",
        )
    if "SCORE" not in place.accepted or "HEAD" in place.accepted:
        return None
    if place.found in ARROWS or place.found == "{":
        return place.fault(
            "PD021",
            f"found `{place.found}`, and a number is wanted here",
            help="treat a path set and read a metric: `LD(treat(P))`",
        )
    return None


def _arrow_in_number(place: Place) -> Diagnostic | None:
    """`LD(a -> b)`: a path where a run or a number is wanted."""
    text = place.text
    arrow = next(
        (a for a in ("->", "~>", "-[", "~[") if a in text[place.at - 1 : place.at + 2]), ""
    )
    if not arrow or "->" in place.wanted or "]->" in place.wanted:
        return None
    if not open_brackets(text, place.start, place.at):
        return None
    if not ({"REL", ")"} & (place.wanted | place.accepted) or "SCORE" in place.accepted):
        return None
    return place.fault(
        "PD021",
        "a path stands here, and a run or a number is wanted",
        help="`treat(A -> B)` or `keep(A -> B)` makes a run of it",
    )


_SLIPS: tuple[Callable[[Place], Diagnostic | None], ...] = (
    _quotes,
    _slot_in_angles,
    _spelling,
    _other_sign,
    _colon,
    _statement_inside,
    _semicolon,
    _section,
    _arrow_in_number,
    _bracket,
    _wrong_world,
)  # fmt: skip
