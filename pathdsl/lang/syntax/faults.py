"""Why a statement does not parse, in the words of the person who wrote it.

`explain_fault` gets the place where the parser stopped and the terminals it would have taken there.
It tries the slips people make (another language's operator, another tool's node name, a bracket
left open) from the most telling to the least, and else says what was found and what was expected.

    >>> stop = Stop(text="use 'x'", path="x", start=0, end=7, at=4, last=3,
    ...               accepted=frozenset({"STRING"}))
    >>> explain_fault(stop).help
    '`"x"`'
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pathdsl.errors import Diagnostic, Span
from pathdsl.lang.elsewhere import elsewhere
from pathdsl.lang.syntax.instead import instead
from pathdsl.lang.syntax.spellings import correction, reserved
from pathdsl.lang.syntax.stop import ARROWS, Stop, expectation
from pathdsl.lang.syntax.sweep import KEYWORDS, open_brackets

_NAMED = re.compile(r"\w")
_NODE = re.compile(r"a\d+(\.(?:h|kv)\d+)?|m\d+(\.n\d+)?|r\d+")
_BRACKETS = {"(": ")", "[": "]", "{": "}", "-[": "]->", "~[": "]~>"}

# What people write for an operator of this language, and what it is called here.
_OTHERARROWS = ("=>", "-->", "→", "⇒", "–>", "—>", "==>", ">")
_OTHER_SIGNS = {
    "≥": ">=", "≤": "<=", "≈": "~=", "=>": ">=", "=<": "<=", "−": "-", "–": "-", "—": "-",
    "×": "*", "·": "*", "÷": "/", "&&": "&", "||": "|", "∪": "|", "∩": "&", ":=": "=",
    "and": "&", "or": "|",
}  # fmt: skip
_COMMENT = "# …"
_DOUBLED = {
    "-->": ("an arrow is written `->`", "->"),
    "||": ("either is written with a single `|`", "|"),
    "&&": ("both is written with a single `&`", "&"),
    "**": ("a power is written `^`", "^"),
    "==": ("found `==`, wanted `=`", "="),
    "//": ("a comment starts with `#`", _COMMENT),
    "/*": ("a comment starts with `#`", _COMMENT),
}


def explain_fault(stop: Stop) -> Diagnostic:
    """The Diagnostic for a statement that stops being one at `stop`."""
    for slip in _SLIPS:
        if (fault := slip(stop)) is not None:
            return fault
    expected = expectation(stop)
    help = instead(stop.text[stop.start : stop.end], stop.at - stop.start)
    if not stop.found:
        return stop.fault(
            "PD014",
            f"the statement ends too early, expected {expected}",
            label="ends here",
            help=help,
        )
    return stop.fault(
        "PD001", f"found `{stop.found}`, expected {expected}", label="not expected here", help=help
    )


# -------------------------------------------------------------------------------------------------
# Slips, from the most telling to the least
# -------------------------------------------------------------------------------------------------


def _quotes(stop: Stop) -> Diagnostic | None:
    found = stop.text[stop.at : stop.at + 1]
    line_end = stop.text.find("\n", stop.at)
    rest = stop.text[stop.at : stop.end if line_end < 0 else line_end].rstrip("\r")
    if found == '"' and not re.match(r'"(?:[^"\\]|\\.)*"', rest):
        return stop.fault(
            "PD004",
            "this string has no closing quote on its line",
            span=(stop.at, stop.at + len(rest.rstrip())),
            label="starts here",
            help=f'`{rest.split("  #")[0].rstrip(" ,)")}"`',
        )
    if found and found in "'“”‘’`«":
        inner = re.match(r"['“‘`«]([^'”’`»]*)['”’`»]?", rest)
        text = inner.group(1) if inner else ""
        return stop.fault(
            "PD005",
            f"a string stands in straight double quotes, found `{found}`",
            span=(stop.at, stop.at + len(inner.group() if inner else found)),
            help=f'`"{text}"`',
            fix=f'"{text}"' if inner and not set(text) & {'"', "\\"} else None,
        )
    return None


def _spelling(stop: Stop) -> Diagnostic | None:
    word, start = stop.word
    if not word:
        return None
    behind = stop.text[start + len(word) : start + len(word) + 4]
    span = (start, start + len(word))
    if kept := reserved(word + ("*" if behind.startswith("*") else "")):
        return stop.fault(
            "PD007",
            f"`{word}` is reserved for {kept}, which this version does not have",
            span=span,
            label="reserved, built later",
        )
    hook = re.match(r"\[(\d+)\]", behind)
    right = correction(word + (hook.group() if hook else ""))
    node_possible = bool({"HEAD", "MLP"} & stop.accepted) or stop.at > start
    number = re.fullmatch(r"\d+\.\d+", word)
    if right and right != word and node_possible and not (number and "NUMBER" in stop.accepted):
        end = span[1] + (len(hook.group()) if hook else 0)
        return stop.fault(
            "PD006",
            f"`{stop.text[start:end]}` is how another tool writes a node",
            span=(start, end),
            label=f"here it is `{right}`",
            fix=right,
        )
    expert = re.match(
        r"(m(?:\d+|\*|\[[^\]\n]*\]))\.e(?:\d+|\*|\[[^\]\n]*\]?)", stop.text[start : stop.end]
    )
    if expert:
        return stop.fault(
            "PD256",
            f"`{expert.group()}` is an expert of a mixture, and experts are no nodes",
            span=(start, start + expert.end()),
            label="weighted by a router that reads what the whole MLP reads",
            help=f"name the whole MLP, `{expert[1]}`",
        )
    broken = re.match(r"[amr]\d*(?:\.(?:h|kv|n))?\[[^\]\n]*\]?", stop.text[start : stop.end])
    if broken and broken.end() > stop.at - start and broken.end() > 1:
        return stop.fault(
            "PD012",
            f"`{broken.group()}` is no range of layers, heads or neurons",
            span=(start, start + broken.end()),
            help="`a[7..9].h*`, `a9.h[0,6]`, `m[0..3]`: both ends are included",
        )
    if re.fullmatch(r"[am]\d+\.[A-Za-z0-9_.]*", word) and not _NODE.fullmatch(word):
        return stop.fault(
            "PD001",
            f"`{word}` is no node",
            span=span,
            help=_slotted(word) or "nodes are written `a9.h6`, `a9.h*`, `a9.kv2`, `m5`, `r5`",
        )
    return None


def _slotted(word: str) -> str:
    """`a3.h1.q`: an input of a head is named on the arrow into it."""
    match = re.fullmatch(r"(a\d+\.h\d+)\.(?:hook_)?([qkv])(?:_input)?", word)
    return (
        f"`-[{match[2]}]-> {match[1]}`: an input stands on the arrow into its head" if match else ""
    )


def _loop_elsewhere(stop: Stop) -> Diagnostic | None:
    """`metric look for h in attn = …`: only lets and claims are said of each member."""
    keyword = stop.text[stop.start : stop.end].split(maxsplit=1)[:1]
    if stop.found != "for" or keyword in (["let"], ["claim"]):
        return None
    what = "block" if keyword == ["intervene"] else "metric" if keyword == ["metric"] else ""
    return stop.fault(
        "PD001",
        "`for` stands behind the name of a `let` or a `claim` only",
        label="no loop here",
        help=f"write one {what} for each" if what else "",
    )


def _slot_in_angles(stop: Stop) -> Diagnostic | None:
    match = re.compile(r"<([qkv])>").match(stop.text, stop.at)
    if not match or stop.at != stop.last:
        return None
    return stop.fault(
        "PD006",
        f"`{match.group()}` is how EAP-IG marks an input of a head",
        span=match.span(),
        label="here the slot stands on the arrow",
        help=f"`a5.h5 -[{match.group(1)}]-> a8.h6`",
    )


def _slots_listed(stop: Stop) -> Diagnostic | None:
    """`-[{q, k}]->`, `-[q|k]->`, `-[qk]->`: several inputs of a head in another writing."""
    inside = open_brackets(stop.text, stop.start, stop.at)
    arrow = next((at for opened, at in reversed(inside) if opened in ("-[", "~[")), None)
    if arrow is None or stop.found in ("", "]->", "]~>"):
        return None
    listed = re.compile(r"[-~]\[([^\]\n]*)\][-~]>").match(stop.text, arrow)
    if not listed or re.search(r"[^qkv\s,;|&+/{}()\[]", listed[1]):
        return None
    line, tip = listed.group()[0], listed.group()[-2:]
    slots = ",".join(dict.fromkeys(re.findall("[qkv]", listed[1])))
    right = f"{line}[{slots}]{tip}"
    if not slots or right == listed.group():
        return None
    return stop.fault(
        "PD001",
        "the inputs of a head are listed with commas",
        span=listed.span(),
        help=f"`{right}`",
        fix=right,
    )


def _neuron(stop: Stop) -> Diagnostic | None:
    """`m0:n3`, `m0/3`: a neuron in another writing."""
    word, start = stop.word
    written = re.compile(r"(m\d+)(?::n|/n?)(\d+)\b").match(stop.text, start)
    if not written or not re.fullmatch(r"m\d+", word) or stop.at != start + len(word):
        return None
    right = f"{written[1]}.n{written[2]}"
    return stop.fault("PD001", f"`{written.group()}` is no node", span=written.span(),
                      help=f"`{right}`", fix=right)  # fmt: skip


def _other_sign(stop: Stop) -> Diagnostic | None:
    found = stop.found
    # The first half of a sign may be one of ours: `-` of `-->`, `|` of `||`, `*` of `**`.
    doubled = stop.text[stop.at - 1 : stop.at] + found
    thrice = stop.text[stop.at - 2 : stop.at - 1] == found  # `===`
    if doubled in _DOUBLED and stop.last == stop.at and not thrice:
        span = (stop.at - 1, stop.at - 1 + len(doubled))
        right = _DOUBLED[doubled][1]
        return stop.fault(
            "PD005", _DOUBLED[doubled][0], span=span, help=f"`{right}`",
            fix=right if right != _COMMENT else None,
        )  # fmt: skip
    span = (stop.at, stop.at + len(found))
    inside = open_brackets(stop.text, stop.start, stop.at)
    if found in _OTHERARROWS and "->" in stop.wanted:
        return stop.fault(
            "PD005", f"found `{found}`, an arrow is written `->`", span=span, fix="->"
        )
    if found in ("=", "==", "===", "!=") and "REL" in stop.accepted and stop.keyword == "claim":
        return stop.fault(
            "PD005",
            f"a claim has no `{found}`: estimates are never exactly equal",
            span=span,
            label="wanted `<`, `<=`, `>`, `>=` or `~=`",
            help="`A ~= B within 0.1`",
        )
    if found == "=" and "==" in stop.wanted:
        return stop.fault("PD005", "found `=`, a filter compares with `==`", span=span,
                           fix="==")  # fmt: skip
    if "and" in stop.wanted and found in ("or", "||", "|"):
        return stop.fault(
            "PD005", f"found `{found}`, and a row has to meet all conditions of a `where`",
            span=span, help="write a label into the rows that says both, and ask for it",
        )  # fmt: skip
    if "and" in stop.wanted and found in (",", "&", "&&"):
        return stop.fault(
            "PD005", f"found `{found}`, conditions are joined by `and`", span=span, help="`and`",
            fix="and" if stop.last < stop.at else " and",
        )  # fmt: skip
    if found == "=" and ":" in stop.wanted and (inside or stop.keyword == "claim"):
        what = "a claim's name is followed by `:`" if not inside else "an argument is `name: value`"
        return stop.fault("PD005", f"found `=`, {what}", span=span, fix=":")
    if found in _OTHER_SIGNS:
        right = _OTHER_SIGNS[found]
        if right in stop.wanted or (right in (">=", "<=", "~=") and "REL" in stop.accepted):
            return stop.fault(
                "PD005", f"found `{found}`, here it is written `{right}`", span=span,
                fix=right,
            )  # fmt: skip
    if found == "%" and stop.text[stop.last - 1].isdigit():
        number = re.search(r"[\d_.]+$", stop.text[: stop.last])
        return stop.fault(
            "PD012", "`%` touches its number", span=span,
            help=f"`{number.group() if number else '95'}%`",
        )  # fmt: skip
    return None


def _colon(stop: Stop) -> Diagnostic | None:
    if stop.keyword != "claim" or ":" not in stop.wanted or "NAME" in stop.accepted:
        return None
    if open_brackets(stop.text, stop.start, stop.at) or stop.found == ":":
        return None
    name = re.compile(r"claim\s+([A-Za-z0-9_]+)").match(stop.text, stop.start)
    if not name or name.end() != stop.last:
        return None
    return stop.fault(
        "PD001",
        f"a claim's name is followed by `:`, found `{stop.found}`"
        if stop.found
        else "a claim's name is followed by `:`",
        span=(stop.last, stop.last),
        label="`:` is missing here",
        help=f"`claim {name.group(1)}: …`",
        fix=":",
    )


def _bracket(stop: Stop) -> Diagnostic | None:
    found = stop.found
    before = open_brackets(stop.text, stop.start, stop.at)
    if found in (")", "]", "}", "]->", "]~>"):
        if not before:
            return stop.fault("PD003", f"`{found}` closes nothing", label="no bracket is open")
        opened, at = before[-1]
        if _BRACKETS[opened] != found and _BRACKETS[opened] in stop.wanted:
            return stop.fault(
                "PD003",
                f"`{opened}` is closed by `{_BRACKETS[opened]}`, found `{found}`",
                fix=_BRACKETS[opened],
                labels=((_span(stop, at, len(opened)), "opened here"),),
            )
        return None
    never = open_brackets(stop.text, stop.start, stop.end)
    if not never or (found and not before):
        return None
    opened, at = (before or never)[-1]
    if found and ((opened, at) not in never or _BRACKETS[opened] not in stop.wanted):
        return None
    return stop.fault(
        "PD003",
        f"`{opened}` is never closed",
        span=(at, at + len(opened)),
        label=f"opened here, wants a `{_BRACKETS[opened]}`",
        labels=((_span(stop, *_point(stop)), "still open here"),),
        help=f"`{_BRACKETS[opened]}`",
    )


def _span(stop: Stop, at: int, length: int) -> Span:
    return Span(path=stop.path, start=at, end=at + length)


def _point(stop: Stop) -> tuple[int, int]:
    start, end = stop.here
    return start, end - start


def _statement_inside(stop: Stop) -> Diagnostic | None:
    found = stop.found
    if found not in KEYWORDS or "NAME" in stop.accepted or "$END" not in stop.accepted:
        return None
    return stop.fault(
        "PD015",
        f"`{found}` begins a statement and stands at column 1",
        label="not at the start of a line",
    )


def _semicolon(stop: Stop) -> Diagnostic | None:
    if stop.found != ";" or "$END" not in stop.accepted:
        return None
    return stop.fault("PD001", "a statement ends with its line, found `;`", label="leave this out",
                      fix="")  # fmt: skip


def _section(stop: Stop) -> Diagnostic | None:
    """`(-> mlp)` without a quantifier, and a section inside a section."""
    wanted = stop.wanted
    if {"*", "+", "?", "{"} <= wanted and "NAME" not in stop.accepted and "^" not in wanted:
        return stop.fault(
            "PD020",
            "a repeated section says how often",
            span=(stop.last - 1, stop.last),
            label="`*`, `+`, `?` or `{1,3}` is missing here",
            help="`(-> mlp)*`",
        )
    inside = open_brackets(stop.text, stop.start, stop.at)
    sections = [at for _, at in inside if _opens_section(stop.text, at)]
    if stop.found in ARROWS and len(sections) > 1 and sections[-1] == inside[-1][1]:
        return stop.fault(
            "PD020",
            "a repeated section holds no other section",
            span=(sections[-1], stop.here[1]),
            label="second section",
            labels=((_span(stop, sections[-2], 1), "first section"),),
        )
    if stop.found == "(" and sections and sections[-1] == inside[-1][1] and "->" in wanted:
        return stop.fault(
            "PD020",
            "a repeated section holds no other section",
            label="second section",
            labels=((_span(stop, sections[-1], 1), "first section"),),
        )
    return None


def _opens_section(text: str, at: int) -> bool:
    return text[at] == "(" and text[at + 1 : at + 80].lstrip().startswith(tuple(ARROWS))


def _ranging(stop: Stop) -> Diagnostic | None:
    """`max(h in attn, effect(h))`, `for t in en, zh`: a comma where the ranging ends."""
    before = stop.text[stop.start : stop.at]
    inside = open_brackets(stop.text, stop.start, stop.at)
    if stop.found == ")" and ":" in stop.wanted and inside:
        if re.match(r"\(\s*\w+\s+in\s", stop.text[inside[-1][1] : stop.at]):
            return stop.fault(
                "PD014",
                "what is taken of each member is missing",
                help="`max(h in attn: effect(through(h)))`",
            )
    if stop.accepted != {"IN"} or not re.search(r",\s*\w+\s*$", before):
        return None
    if inside:
        return stop.fault(
            "PD001",
            "a colon ends what a function over members ranges over",
            label="no `in` follows here",
            help="`max(h in attn: effect(through(h)))`; a further variable is `p in [S1, END]`",
        )
    return stop.fault(
        "PD001",
        "a loop ranges over a set for each of its variables, `a in A, b in B`",
        label="no `in` follows here",
        help="a list stands in brackets: `for t in [en, zh]`",
    )


def _between(stop: Stop) -> Diagnostic | None:
    """`0.2 < x < 0.8`, `0.2 < x and x < 0.8`, `x in [0.2, 0.8]`: a claim compares once."""
    if stop.keyword != "claim" or open_brackets(stop.text, stop.start, stop.at):
        return None
    claimed = stop.text[stop.start : stop.at].partition(":")[2]
    compares = bool(re.search(r"[<>~]=?(?!.*->)", claimed))
    again = stop.found in ("<", "<=", ">", ">=", "~=", "and", "&&") and "$END" in stop.accepted
    if not (compares and again) and not (
        stop.found == "in" and "REL" in stop.accepted and not compares
    ):
        return None
    return stop.fault(
        "PD001",
        "a claim compares two sides once",
        label="compares again" if compares else "does not compare",
        help="two claims, `0.2 < x` and `x < 0.8`, or one around the middle: `x ~= 0.5 within 0.3`",
    )


_HEAD = re.compile(
    r"metric\s+(?P<name>\w+)(?P<rest>(?:\s*(?:on\s+\w+|@\s*(?:\[\s*\w+\s*\]|\w+[+-]?\d*)|:\s*\w+))+)\s*="
)


def _order_of_metric(stop: Stop) -> Diagnostic | None:
    """`metric X @S2 on TASK`, `metric X: logits on TASK`: task, position and unit in one order."""
    if stop.keyword != "metric" or stop.found not in ("on", "@", ":"):
        return None
    head = _HEAD.match(stop.text, stop.start, stop.end)
    if head is None or head.end() <= stop.at:
        return None
    found = [
        re.findall(form, head["rest"]) for form in (r"(?<!\w)on\s+\w+", r"@[^\s:]+", r":\s*\w+")
    ]
    if any(len(parts) > 1 for parts in found):
        return None
    task, position, unit = ("".join(parts) for parts in found)
    right = " ".join(filter(None, (f"metric {head['name']}", task, position))) + unit
    return stop.fault(
        "PD001",
        "a metric has its task first, then its position, then its unit",
        label="too late",
        help=f"`{right} = …`",
    )


def _choice_in_section(stop: Stop) -> Diagnostic | None:
    """`(-> mlp | -[v]-> attn)*`: a repeated section has steps one behind the other, no choice."""
    inside = open_brackets(stop.text, stop.start, stop.at)
    if (
        stop.found not in ("|", "||", "&", ",")
        or not inside
        or not _opens_section(stop.text, inside[-1][1])
    ):
        return None
    return stop.fault(
        "PD020",
        "a repeated section has no choice of steps",
        label="no choice here",
        help="`(-> {mlp, attn})*` goes through either, and what shall not be used is taken away: "
        "`P - (input ~[q,k]~> attn ~> logits)`",
    )


def _place(stop: Stop) -> Diagnostic | None:
    """`@(S1, S2)`, `@[S1, S2]`, `@S1:S2`, `@0..5`: another writing of several places."""
    behind = stop.text[stop.start : stop.at].rpartition("@")[2]
    begins = not behind.strip() and {"NAME", "[", "{"} <= stop.wanted
    inside = re.fullmatch(r"\s*(\[[^\]@]*|\{[^}@]*|[^@,()=]*\.\.\s*)", behind)
    touches = ".." in stop.wanted and stop.found in (":", "-") and stop.last == stop.at
    if not behind + stop.found or "@" not in stop.text[stop.start : stop.at]:
        return None
    if not (begins or inside or touches) or stop.found in ("", "@"):
        return None
    return stop.fault(
        "PD001",
        f"found `{stop.found}` in a position",
        label="not expected here",
        help=_indexed(stop)
        or "positions are `@S1`, `@S1+1`, `@[3]`, `@[-1]`, spans `@S1..S2`, `@[0..5]`, sets "
        "`@{S1, S2}`",
    )


def _indexed(stop: Stop) -> str:
    """`@-1`, `@3`: an index stands in brackets."""
    index = re.compile(r"@\s*(-?\d+)(?![\w.])").search(stop.text, stop.text.rfind("@", 0, stop.at))
    return f"`@[{index.group(1)}]`" if index and index.start(1) <= stop.at < index.end() else ""


def _foreign_call(stop: Stop) -> Diagnostic | None:
    """`patch(…)`, `between(a0.h1, a3.h1)`: a function of another tool, whatever stands in it."""
    inside = open_brackets(stop.text, stop.start, stop.at)
    called = re.compile(r"([A-Za-z_]\w*)\s*\(").match
    for bracket, at in reversed(inside):
        start = at
        while bracket == "(" and start > stop.start and _NAMED.match(stop.text[start - 1]):
            start -= 1
        call = called(stop.text, start)
        if not call:
            continue
        name, help = call.group(1), elsewhere(call.group(1))
        if help and not re.search(rf"^\w+\s+{name}\b", stop.text, re.M):
            return stop.fault(
                "PD101",
                f"`{name}` is no word of this language",
                span=call.span(1),
                label="another tool's",
                help=help,
            )
    return None


def _wrong_world(stop: Stop) -> Diagnostic | None:
    """A path or a node where a number is wanted."""
    word, start = stop.word
    # In the place of a number the grammar knows no nodes: `a9.h6` stops at its dot.
    inside = start < stop.at < start + len(word) and "->" not in stop.wanted
    if inside and _NODE.fullmatch(word):
        return stop.fault(
            "PD021",
            f"`{word}` is a node, and a number is wanted here",
            span=(start, start + len(word)),
            help=f"treat its paths and read a metric: `LD(treat(through({word})))`",
        )
    if "SCORE" not in stop.accepted or "HEAD" in stop.accepted:
        return None
    if stop.found in ARROWS or stop.found == "{":
        return stop.fault(
            "PD021",
            f"found `{stop.found}`, and a number is wanted here",
            help="treat a path set and read a metric: `LD(treat(P))`",
        )
    return None


def _arrow_in_number(stop: Stop) -> Diagnostic | None:
    """`LD(a -> b)`: a path where a run or a number is wanted."""
    text = stop.text
    arrow = next((a for a in ("->", "~>", "-[", "~[") if a in text[stop.at - 1 : stop.at + 2]), "")
    if not arrow or "->" in stop.wanted or "]->" in stop.wanted:
        return None
    if not open_brackets(text, stop.start, stop.at):
        return None
    if not ({"REL", ")"} & (stop.wanted | stop.accepted) or "SCORE" in stop.accepted):
        return None
    return stop.fault(
        "PD021",
        "a path stands here, and a run or a number is wanted",
        help="`treat(A -> B)` or `keep(A -> B)` makes a run of it",
    )


_SLIPS: tuple[Callable[[Stop], Diagnostic | None], ...] = (
    _loop_elsewhere,
    _foreign_call,
    _quotes,
    _slot_in_angles,
    _slots_listed,
    _neuron,
    _spelling,
    _other_sign,
    _colon,
    _statement_inside,
    _semicolon,
    _choice_in_section,
    _section,
    _between,
    _order_of_metric,
    _arrow_in_number,
    _place,
    _bracket,
    _ranging,
    _wrong_world,
)  # fmt: skip
