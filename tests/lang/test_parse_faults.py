"""Syntax faults in the user's words: the code, where it points, and the help."""

from __future__ import annotations

import pytest

from pathdsl.errors import Diagnostic
from pathdsl.lang.rules.pd0 import PAGES
from pathdsl.lang.syntax.parse import parse
from pathdsl.lang.syntax.spellings import correction


def fault_of(text: str) -> tuple[Diagnostic, str]:
    faults = parse(text, "x.circuit")[1]
    assert len(faults) == 1, faults
    span = faults[0].span
    assert span is not None
    return faults[0], text[span.start : span.end]


@pytest.mark.parametrize(
    ("text", "code", "at", "help"),
    [
        ("path p = a => b", "PD005", "=>", "`->`"),
        ("path p = a > b", "PD005", ">", "`->`"),
        ("path p = a --> b", "PD005", "-->", "`->`"),
        ("path p = a → b", "PD005", "→", "`->`"),
        ("path p = a and b", "PD005", "and", "`&`"),
        ("path p = a || b", "PD005", "||", "`|`"),
        ("claim c: A == B", "PD005", "==", "`A ~= B within 0.1`"),
        ("claim c: A ≥ 3", "PD005", "≥", "`>=`"),
        ("claim c: A => 3", "PD005", "=>", "`>=`"),
        ("claim c A >= 3", "PD001", "", "`claim c: …`"),
        ("claim c: A ~= B", "PD014", "~=", "`A ~= B within 0.1`"),
        ("claim c: A > 3 at 95 confidence", "PD012", "95", "`at 95% confidence`"),
        ("claim c: A > 3 at 0.95 confidence", "PD012", "0.95", "`at 95% confidence`"),
        ("claim c: A >= 80 % at 95% confidence", "PD012", "%", "`80%`"),
        ("claim c: A > 1 expect fail", "PD001", "fail", "`expect refuted`"),
        ("claim c: mean(LD(treat(P)) >= 80% at 95% confidence", "PD003", "(", "`)`"),
        ("group g = {a9.h0,\n", "PD003", "{", "`}`"),
        ("path p = a)", "PD003", ")", ""),
        ("path p = a -[q]> b", "PD003", "]", "`]->`"),
        ('use "abc', "PD004", '"abc', '`"abc"`'),
        ("use 'abc'", "PD005", "'abc'", '`"abc"`'),
        ("let x = 3 // foo", "PD005", "//", "`# …`"),
        ("task t = x where a = \"b\"", "PD005", "=", "`==`"),
        ("let x = f(a=3)", "PD005", "=", "`:`"),
        ("path p = 9.9 -> logits", "PD006", "9.9", "`a9.h9`"),
        ("path p = L9H9", "PD006", "L9H9", "`a9.h9`"),
        ("path p = blocks.9.attn.hook_z[3] -> b", "PD006", "blocks.9.attn.hook_z[3]", "`a9.h3`"),
        ("path p = a5.h5->a8.h6<v>", "PD006", "<v>", "`a5.h5 -[v]-> a8.h6`"),
        ("path p = f12.4096 -> logits", "PD007", "f12.4096", ""),
        ("path p = through(r5.mid)", "PD007", "r5.mid", ""),
        ("grup g = {a9.h0}", "PD002", "grup", "`group`"),
        ("group g = { a[7-9].h* }", "PD012", "a[7-9]",
         "`a[7..9].h*`, `a9.h[0,6]`, `m[0..3]`: both ends are included"),
        ("group g = { a[9..7].h* }", "PD017", "[9..7]", "both ends are included: `7..9`"),
        ("path p = a (-> b){3,1} -> c", "PD017", "{3,1}", "`{1,3}`"),
        ("path p = a (-> b) -> c", "PD020", ")", "`(-> mlp)*`"),
        ("path p = a (-> (-> b)*)* -> c", "PD020", "(->", ""),
        ("path p = a (-> mlp | -[v]-> attn)* -> c", "PD020", "|",
         "`(-> {mlp, attn})*` goes through either, and what shall not be used is taken away: "
         "`P - (input ~[q,k]~> attn ~> logits)`"),
        ("path p = a (-> mlp, -> attn)* -> c", "PD020", ",",
         "`(-> {mlp, attn})*` goes through either, and what shall not be used is taken away: "
         "`P - (input ~[q,k]~> attn ~> logits)`"),
        ("path p = a (-> mlp & -> attn)* -> c", "PD020", "&",
         "`(-> {mlp, attn})*` goes through either, and what shall not be used is taken away: "
         "`P - (input ~[q,k]~> attn ~> logits)`"),
        ("claim c: 0.2 < x < 0.8", "PD001", "<",
         "two claims, `0.2 < x` and `x < 0.8`, or one around the middle: `x ~= 0.5 within 0.3`"),
        ("claim c: 0.2 < x and x < 0.8", "PD001", "and",
         "two claims, `0.2 < x` and `x < 0.8`, or one around the middle: `x ~= 0.5 within 0.3`"),
        ("claim c: x in [0.2, 0.8]", "PD001", "in",
         "two claims, `0.2 < x` and `x < 0.8`, or one around the middle: `x ~= 0.5 within 0.3`"),
        ("claim c: x ~= y ~= z within 1", "PD001", "~=",
         "two claims, `0.2 < x` and `x < 0.8`, or one around the middle: `x ~= 0.5 within 0.3`"),
        ("metric LD @S2 on ioi: logits = x", "PD001", "on", "`metric LD on ioi @S2: logits = …`"),
        ("metric LD: logits on ioi = x", "PD001", "on", "`metric LD on ioi: logits = …`"),
        ("metric LD: prob @[3] = x", "PD001", "@", "`metric LD @[3]: prob = …`"),
        ("path p = edges { a ~> b }", "PD020", "~>",
         "write `->`, or use a path expression without `edges`"),
        ("task t { a = 1 b = 2 }", "PD013", "b = 2", "`a = 1; b = 2`"),
        ("task t { a = 1; a = 2 }", "PD018", "a", ""),
        ("path p = a -[k,k]-> b", "PD018", "k", ""),
        ("let x = f(a: 1, 2)", "PD019", "2", ""),
        ("let x = LD(a -> b)", "PD021", "->",
         "`treat(A -> B)` or `keep(A -> B)` makes a run of it"),
        ("let x = LD(a9.h0 -> b)", "PD021", "->",
         "`treat(A -> B)` or `keep(A -> B)` makes a run of it"),
        ("let x = LD(a9.h0)", "PD021", "a9.h0",
         "treat its paths and read a metric: `LD(treat(through(a9.h0)))`"),
        ("let x = treat(P)", "PD021", "treat", "read a run with a metric: `LD(treat(P))`"),
        ("path a = b path c = d", "PD015", "path", ""),
        ("  path a = b", "PD015", "path", ""),
        ("let a = 3;", "PD001", ";", ""),
        ('circuit x "a\\qb"', "PD016", "\\q",
         "known are `\\\"`, `\\\\`, `\\n`, `\\t` and `\\u00e9`"),
        ("let x = 1e999", "PD012", "1e999", ""),
        ("path p = a9.h6x", "PD001", "a9.h6x",
         "nodes are written `a9.h6`, `a9.h*`, `a9.kv2`, `m5`, `r5`"),
    ],
)  # fmt: skip
def test_slips(text: str, code: str, at: str, help: str) -> None:
    fault, found = fault_of(text)
    assert (fault.code, fault.help) == (code, help), fault
    assert found == at or (code == "PD021" and found in at)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path p = ", "the statement ends too early, expected a path"),
        ("path p", "the statement ends too early, expected `=`"),
        ("path p = a | | b", "found `|`, expected a path"),
        ("group g = a9.h0", "found `a9.h0`, expected `{`"),
        ("group g = {}", "found `}`, expected a node or `except`"),
        ("path p = a -[x]-> b", "found `x`, expected `q`, `k` or `v`"),
        ("let x = a +", "the statement ends too early, expected a number, a metric or a score"),
        ("metric LD logits = 3", "found `logits`, expected `:`, `=` or `on`"),
    ],
)
def test_what_was_expected(text: str, message: str) -> None:
    assert fault_of(text)[0].message == message


@pytest.mark.parametrize(
    ("word", "right"),
    [("9.6", "a9.h6"), ("L9H6", "a9.h6"), ("L9.H6", "a9.h6"), ("a9.6", "a9.h6"),
     ("blocks.5.hook_mlp_out", "m5"), ("blocks.5.mlp.hook_post", "m5"), ("mlp5", "m5"),
     ("blocks.9.attn.hook_z", "a9"), ("transformer.h.5.mlp", "m5"), ("A9", "a9"),
     ("blocks.3.hook_resid_pre", "r3"), ("name_mover", ""), ("a9.h6", "")],
)  # fmt: skip
def test_spellings_of_other_tools(word: str, right: str) -> None:
    assert correction(word) == right


def test_a_name_like_another_tools_node_may_be_defined() -> None:
    assert not parse("group L9H9 = { a9.h9 }\npath p = L9H9\n", "x")[1]
    named = "task t { data = x(); reference = prompt; positions = [E1, A1] }\n"
    assert not parse(named + "path p = input@A1 -> a9.h9@A1 -> logits\n", "x")[1]
    assert [d.code for d in parse(named + "path p = A2 -> logits\n", "x")[1]] == ["PD006"]


ALONE = [page for page in PAGES if page.failing is None or not page.failing.files]
"""Pages whose examples are one text; tests/lang/test_pages.py runs those with several files."""


@pytest.mark.parametrize("page", ALONE, ids=lambda page: page.code)
def test_pages(page: object) -> None:
    page = next(p for p in PAGES if p is page)
    if page.failing is None or page.passing is None:
        assert page.shown_by
        return
    assert page.code in {fault.code for fault in parse(page.failing.text, "x")[1]}
    assert not parse(page.passing.text, "x")[1]
