"""Hypothesis strategies that draw valid `.circuit` files as text, for laws of parser and formatter.

The files parse; their names mean nothing. `files()` has loose spacing as authors write it, and
`with_comments(text)` sprinkles comments and line breaks over the token boundaries of a text.
"""

from __future__ import annotations

from hypothesis import strategies as st
from lark import Token

from pathdsl.lang.syntax.parse import parse_pieces


def among(texts: list[str]) -> st.SearchStrategy[str]:
    """One of some texts, without printing them all: hypothesis prints strategies in full."""

    @st.composite
    def text(draw: st.DrawFn) -> str:
        return draw(st.sampled_from(texts))

    return text()


NAMES = st.sampled_from(["g", "main", "P1", "name_mover", "LD", "h", "io", "x_2", "template"])
SMALL = st.integers(0, 20).map(str)
NUMBERS = st.sampled_from(["0", "1", "0.5", "80%", "1e-3", "10_000", "99.9%", "2.50"])
SIGNED = st.one_of(NUMBERS, NUMBERS.map("-{}".format))
STRINGS = st.sampled_from(['"text"', '""', r'"a \"b\" \\ # no comment"', '"é → 日本"'])
LITERALS = st.one_of(SIGNED, STRINGS, st.sampled_from(["true", "false"]))
BLANKS = st.sampled_from(["", " ", "  ", "\t"])
INDICES = st.one_of(
    SMALL,
    st.just("*"),
    st.sampled_from(["[7..9]", "[0,6]", "[0..2, 6]", "[ 1 .. 3 ]"]),
)
POSITIONS = among(
    ["S2", "END", "S1+1", "S1-2", "[3]", "[i]", "[ - 1 ]", "[0..5]", "[2 .. -1]", "[i..5]",
     "S1..S2", "S1+1 .. S2-1", "[0]..S1", "{S1,S2}", "{ S1..S2, {END,[3..4]}, }"]
)  # fmt: skip
PLACES = among(
    ["S1+1", "3", "-1", "[ 3 ]", "[-2..-1]", "S1..S2", "S1+1 ..END", "@ {S1,END}", "@[3]"]
)
AT = st.one_of(st.just(""), st.just(""), POSITIONS.map("@{}".format), POSITIONS.map(" @ {}".format))


def joined(parts: st.SearchStrategy[str], mark: str = ",", *, most: int = 3,
           trailing: bool = True) -> st.SearchStrategy[str]:  # fmt: skip
    """One to `most` parts with a separator and loose blanks."""
    ends = st.sampled_from(["", mark]) if trailing else st.just("")
    return st.tuples(st.lists(parts, min_size=1, max_size=most), BLANKS, ends).map(
        lambda drawn: f"{drawn[1]}{mark} ".join(drawn[0]) + drawn[2]
    )


ATOMS = st.one_of(
    st.tuples(NAMES, AT).map("".join),
    st.tuples(INDICES, AT).map(lambda d: f"a{d[0]}{d[1]}"),
    st.tuples(INDICES, INDICES, AT).map(lambda d: f"a{d[0]}.h{d[1]}{d[2]}"),
    st.tuples(INDICES, INDICES, AT).map(lambda d: f"a{d[0]}.kv{d[1]}{d[2]}"),
    st.tuples(INDICES, AT).map(lambda d: f"m{d[0]}{d[1]}"),
    st.tuples(INDICES, INDICES).map(lambda d: f"m{d[0]}.n{d[1]}"),
    st.tuples(INDICES, AT).map(lambda d: f"r{d[0]}{d[1]}"),
    st.tuples(st.sampled_from(["input", "logits", "attn", "mlp", "any"]), AT).map("".join),
    st.tuples(
        st.sampled_from(['nodes("f.json")', 'nodes ( "f.json", top: 5%, rank: signed, )']), AT
    ).map("".join),
)
SETS = st.tuples(
    joined(ATOMS, trailing=False), st.sampled_from(["", ", except g", ", except a9.h6, m5,"]), AT
).map(lambda d: f"{{{d[0]}{d[1]}}}{d[2]}")
NODES = st.one_of(ATOMS, ATOMS, SETS)
ARROWS = st.sampled_from(
    ["->", "~>", "-[q]->", "-[k,v]->", "~[q]~>", "-[k: prev, v: same]->", "-[k,v: window(3)]->",
     "-[ v: offset(-2) ]->", "~[k:prev,v]~>"]
)  # fmt: skip
DIRECT = st.sampled_from(["->", "-[q]->", "-[k,v: prev]->"])
TIMES = st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{ 0, 2 }"])
EDGE_CHAINS = st.tuples(NODES, DIRECT, NODES, st.booleans(), DIRECT, ATOMS).map(
    lambda d: f"{d[0]} {d[1]} {d[2]}" + (f" {d[4]} {d[5]}" if d[3] else "")
)
OPTIONS = among(
    ["", ", seed: 0", ", scope: full - through(g)", ", as: ratio", ", over: {a9.h0, m5}",
     ", knockouts: greedy(10, seed: 0)", ", given: { a9.h0: g, m5: {a, b} }", ", split: false",
     ", treated: noise(at: [S1, S1+1], scale: 3.0)", ", metric: LD, task: gn,", ", at: S1+1",
     ", at: S1 ..S2", ", at: @{S1,S2}", ", at: [@[3],S1..END-1]"]
)  # fmt: skip


def _paths(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    sections = st.tuples(
        st.lists(st.tuples(ARROWS, NODES).map(" ".join), min_size=1, max_size=2), TIMES
    ).map(lambda d: f"({' '.join(d[0])}){d[1]}")
    places = st.one_of(NODES, inner.map("({})".format))
    steps = st.one_of(sections, st.tuples(ARROWS, places).map(" ".join))
    return st.one_of(
        st.tuples(places, st.lists(steps, min_size=1, max_size=3)).map(
            lambda d: " ".join([d[0], *d[1]])
        ),
        st.tuples(inner, st.sampled_from(["|", " | "]), inner).map("".join),
        st.tuples(inner, st.sampled_from([" & ", " - "]), places).map("".join),
        st.tuples(inner, OPTIONS).map(lambda d: f"random_like({d[0]}{d[1]})"),
    )


BASE_PATHS = st.one_of(
    NODES,
    st.sampled_from(["full", "none", 'edges("f.json", top: 200)', "random_edges(count: 3)"]),
    joined(NODES).map("through({})".format),
    joined(NODES).map("within({})".format),
    joined(EDGE_CHAINS, ";").map("edges {{ {} }}".format),
    joined(EDGE_CHAINS, "\n").map("edges {{ {} }}".format),
)
# Deferred, since hypothesis prints strategies in full and these are large.
_ALL_PATHS = st.recursive(BASE_PATHS, _paths, max_leaves=4)
PATHS = st.deferred(lambda: _ALL_PATHS)
_ALL_RUNS = st.tuples(
    st.one_of(
        st.sampled_from(["reference", "treated"]),
        st.tuples(PATHS, OPTIONS).map(lambda d: f"treat({d[0]}{d[1]})"),
        st.tuples(PATHS, OPTIONS).map(lambda d: f"keep( {d[0]}{d[1]} )"),
    ),
    st.sampled_from(["", "", " with repair"]),
).map("".join)
RUNS = st.deferred(lambda: _ALL_RUNS)
_ALL_SCORES = st.one_of(
    st.tuples(st.sampled_from(["faithfulness", "effect", "paths"]), PATHS, OPTIONS).map(
        lambda d: f"{d[0]}({d[1]}{d[2]})"
    ),
    st.tuples(PATHS, PATHS).map(lambda d: f"overlap({d[0]}, {d[1]}, over: node)"),
    RUNS.map("accuracy({}, answer: io)".format),
    st.tuples(RUNS, RUNS).map(lambda d: f"broken({d[0]}, {d[1]}, answer: io)"),
    PATHS.map("chance(faithfulness({}), among: 100, seed: 0)".format),
)
SCORES = st.deferred(lambda: _ALL_SCORES)


def _sums(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from([" + ", " - ", "*", " / "]), inner).map("".join),
        inner.map("({})".format),
        inner.map("-{}".format),
        inner.map("abs( {} )".format),
        inner.map("({})^2".format),
        st.tuples(inner, NUMBERS).map(lambda d: f"quantile({d[0]}, {d[1]})"),
        inner.map("max(h in attn: {})".format),
        st.tuples(inner, inner).map("share(h in attn, p in [S1,END] :{0[0]}<{0[1]})".format),
    )


_ALL_SUMS = st.recursive(
    st.one_of(
        NUMBERS,
        NAMES,
        SCORES,
        RUNS.map("LD({})".format),
        RUNS.map("LD({}, task: gn)".format),
        AT.map("logit(io){}".format),
        NODES.map("direct[{}]".format),
        st.tuples(NODES, st.one_of(PLACES, st.just("en"))).map("heat[{0[0]}, {0[1]}]".format),
        st.tuples(POSITIONS, POSITIONS).map("attention(a9.h9@END, {0[0]} -> {0[1]})".format),
    ),
    _sums,
    max_leaves=4,
)
SUMS = st.deferred(lambda: _ALL_SUMS)
THINGS = st.one_of(
    joined(st.one_of(NAMES, PLACES, st.sampled_from(["END", "a9.h6"]))).map("[{}]".format),
    PATHS.map("[{}]".format),
    st.sampled_from(["[0..5]", "[ 2 .. 3 ]", "[-3 .. -1]", "[]"]),
)
WINDOWS = st.sampled_from(["windows(m[0..47], 5)", "windows(attn, 1, by: layer)"])
DOMAINS = st.one_of(NODES, THINGS, WINDOWS)
BINDINGS = st.one_of(
    DOMAINS.map("h in {}".format), st.tuples(DOMAINS, DOMAINS).map("h in {0[0]},p in {0[1]}".format)
)
LOOPS = st.one_of(st.just(""), BINDINGS.map(" for {}".format))
UNITS = st.sampled_from(["", ": logits", " : prob"])
VALUES = st.one_of(
    LITERALS, NAMES, joined(st.one_of(LITERALS, NAMES, st.just("S1+1"))).map("[{}]".format),
    st.just("mean(prompt_abc, by: template)"), st.just("zero"),
    st.just("mean(prompt_abc,by:id,at:[S1,END-1])"), st.just("mean( prompt_abc , at : any )"),
    st.just("noise(at:S1,draws:10)"),
)  # fmt: skip
GAPS = [" # c{}\n", "\n# c{}  \n", "\n\n  # c{}\n\n", "\n", "#c{}\r\n"]
BREAKS = st.sampled_from(["; ", "\n", "\n\n  ", " ;\n"])


@st.composite
def blocks(draw: st.DrawFn) -> str:
    """A block of fields with different names."""
    known = ["data", "cite", "reference", "language", "chat", "needs", "x"]
    names = draw(st.lists(st.sampled_from(known), unique=True, max_size=4))
    fields = [f"{name} = {draw(VALUES)}" for name in names]
    return "{ " + "".join(field + draw(BREAKS) for field in fields) + "}"


@st.composite
def actions(draw: st.DrawFn) -> str:
    """The block of an intervention."""
    lines = draw(
        st.lists(
            st.one_of(
                st.tuples(NODES, POSITIONS).map(lambda d: f"pattern({d[0]}) = uniform({d[1]})"),
                st.tuples(NODES, POSITIONS).map(lambda d: f"block( {d[0]} -> {d[1]})"),
                NODES.map("zero v({})".format),
                st.tuples(NODES, SIGNED).map(lambda d: f"scale {d[0]} = {d[1]}"),
                st.tuples(NODES, RUNS).map(" = ".join).map("set {}".format),
            ),
            max_size=3,
        )
    )
    return "{" + "".join(line + draw(BREAKS) for line in lines) + "}"


@st.composite
def claims(draw: st.DrawFn) -> str:
    """A claim with some of its parts."""
    sign = draw(st.sampled_from(["<", "<=", ">", ">=", "~="]))
    text = f"claim {draw(NAMES)}{draw(LOOPS)}: {draw(SUMS)} {sign} {draw(SUMS)}"
    text += " within 0.1" if sign == "~=" else ""
    for part in (" at 95% confidence", " by holm() by bootstrap(10000, seed: 0)",
                 " expect refuted", ' "text"'):  # fmt: skip
        text += part if draw(st.booleans()) else ""
    return text


_ALL_STATEMENTS = st.one_of(
    st.tuples(NAMES, blocks()).map(lambda d: f'circuit {d[0]} "title" {d[1]}'),
    NAMES.map("circuit {}".format),
    st.just('use "other.circuit"'),
    NAMES.map('model {} = hf("id", revision: "607a", dtype: float32)'.format),
    st.tuples(NAMES, blocks()).map(lambda d: f"task {d[0]}{d[1]}"),
    st.just('task abba = ioi where template == "abba"'),
    st.tuples(NAMES, st.sampled_from(["", ' where template == "abba" and n >= 2']), blocks()).map(
        lambda d: f"task {d[0]} = ioi{d[1]}{d[2]}"
    ),
    st.tuples(NAMES, AT, joined(NODES, most=9), AT).map(
        lambda d: f"group {d[0]}{d[1]} = {{{d[2]}}}{d[3]}"
    ),
    st.tuples(NAMES, PATHS).map(" = ".join).map("path {}".format),
    st.tuples(NAMES, st.sampled_from(["", " on ioi"]), AT, UNITS, SUMS).map(
        lambda d: f"metric {d[0]}{d[1]}{d[2]}{d[3]} = {d[4]}"
    ),
    st.tuples(NAMES, LOOPS, UNITS, SUMS).map(lambda d: f"let {d[0]}{d[1]}{d[2]}={d[3]}"),
    st.tuples(NAMES, actions()).map(" ".join).map("intervene {}".format),
    claims(),
)
STATEMENTS = st.deferred(lambda: _ALL_STATEMENTS)


@st.composite
def files(draw: st.DrawFn, *, most: int = 5) -> str:
    """A valid file of up to `most` statements."""
    statements = draw(st.lists(STATEMENTS, max_size=most))
    return "".join(s + draw(st.sampled_from(["\n", "\n\n", "\r\n\n\n"])) for s in statements)


@st.composite
def with_comments(draw: st.DrawFn, text: str) -> str:
    """The same file with comments and line breaks put at random between its tokens."""
    pieces, faults = parse_pieces(text, "drawn.circuit")
    assert not faults
    tokens = [
        (token, index == 0)
        for piece in pieces
        if piece.tree is not None
        for index, token in enumerate(
            piece.tree.scan_values(lambda value: isinstance(value, Token))
        )
    ]
    places = [i for i, (token, _) in enumerate(tokens) if token.type != "SHIFT"]
    if not places:
        return draw(st.sampled_from(["", "# alone\n"]))
    chosen = sorted(draw(st.sets(st.sampled_from(places), max_size=8)))
    out, done = [], 0
    for number, index in enumerate(chosen):
        token, first = tokens[index]
        gap = draw(st.sampled_from(GAPS))
        out += [text[done : token.start_pos], gap.format(number), "" if first else "  "]
        done = token.start_pos
    end = draw(st.sampled_from(["", "# end", "\n\n# end\n"]))
    return "".join(out) + text[done:] + end
