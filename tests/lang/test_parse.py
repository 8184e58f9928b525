"""The parser: every form, exact spans, recovery, and refusals that answer at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pathdsl.errors import Diagnostic
from pathdsl.lang import ast
from pathdsl.lang.syntax.parse import parse
from tests.lang.strategies import files

CASES = Path(__file__).resolve().parents[1] / "cases"


SIGNS = list("ab9.h@[]{}()-><~|&=:;,\"'#*+?%\\ \n\r\tLq")


def one(text: str) -> ast.Statement:
    file, faults = parse(text, "x.circuit")
    assert not faults, faults
    assert len(file.statements) == 1
    return file.statements[0]


def codes(text: str) -> list[str]:
    return [fault.code for fault in parse(text, "x.circuit")[1]]


def path_of(text: str) -> ast.PathExpr:
    statement = one(f"path p = {text}")
    assert isinstance(statement, ast.PathDecl)
    return statement.path


def value_of(text: str) -> ast.Expr:
    statement = one(f"let x = {text}")
    assert isinstance(statement, ast.LetDecl)
    return statement.expression


@pytest.mark.parametrize(("name", "count"), [("ioi.circuit", 22), ("every_form.circuit", 27)])
def test_whole_files(name: str, count: int) -> None:
    file, faults = parse((CASES / name).read_text(encoding="utf-8"), name)
    assert not faults
    assert len(file.statements) == count


@pytest.mark.parametrize(
    "text",
    [
        "treat(through(a9.h9))", "keep(through(a9.h9))", "treat(through(r5@S2))",
        "treat(a9.h9 -> logits)", "treat(a9.h9 (-> mlp)* -> logits)",
        "treat(a7.h3 (-> mlp)* -[q]-> name_mover)",
        "treat((a7.h3 (-> mlp)* -[q]-> R) - (R ~[q]~> R))",
        "keep(edges { input -> a0.h1; a0.h1 -[v]-> a1.h0 -> logits })",
        "keep(within(C))", "keep(within(C) - through(K))",
        "keep(input -[v]-> H | input ~[q]~> H | input ~[k]~> H, scope: through(H))",
    ],
)  # fmt: skip
def test_recipes(text: str) -> None:
    value = value_of(f"LD({text})")
    assert isinstance(value, ast.Call)
    assert isinstance(value.arguments[0].value, ast.PathRun)


def test_nodes() -> None:
    head = path_of("a[7..9].h[0,6]@S1+1")
    assert isinstance(head, ast.HeadRef)
    assert head.layer.ranges == ((7, 9),)
    assert head.head.ranges == ((0, 0), (6, 6))
    assert head.at is not None
    assert (head.at.name, head.at.offset) == ("S1", 1)
    whole = path_of("a9")
    assert isinstance(whole, ast.HeadRef)
    assert whole.head.every
    assert whole == path_of("a9.h*")
    shared = path_of("a[7..9].kv[0,2]@END")
    assert isinstance(shared, ast.KvRef)
    assert (shared.layer.ranges, shared.group.ranges) == (((7, 9),), ((0, 0), (2, 2)))
    assert shared.at is not None
    neuron = path_of("m5.n[0..63]")
    assert isinstance(neuron, ast.NeuronRef)
    assert neuron.neuron.ranges == ((0, 63),)
    members = path_of("{g, m[0..3]@[3], except a9.h6, a9.h7}")
    assert isinstance(members, ast.NodeSet)
    assert (len(members.members), len(members.excluded)) == (2, 2)


def test_paths() -> None:
    either = path_of("a -> b | c & d - e")
    assert isinstance(either, ast.Choice)
    assert isinstance(either.options[1], ast.SetOp)
    assert either.options[1].op == "-"
    chain = path_of("a (-> mlp){1,3} ~[k: prev, v: same]~> b")
    assert isinstance(chain, ast.Chain)
    repeat, hop = chain.steps
    assert isinstance(repeat, ast.Repeat)
    assert (repeat.least, repeat.most, repeat.written) == (1, 3, "{1,3}")
    assert isinstance(hop, ast.Hop)
    assert hop.arrow.reach
    assert [(x.slots, x.relation and x.relation.kind) for x in hop.arrow.labels] == [
        (("k",), "prev"), (("v",), "same"),
    ]  # fmt: skip
    shared = path_of("a -[k,v: window(3), q]-> b")
    assert isinstance(shared, ast.Chain)
    assert isinstance(shared.steps[0], ast.Hop)
    assert [x.slots for x in shared.steps[0].arrow.labels] == [("k", "v"), ("q",)]


def test_line_breaks_are_blanks_outside_braces() -> None:
    assert path_of("a\n  -> b  # why\n\n -> c") == path_of("a -> b -> c")
    assert one("task t { x = [a,\n b]\n y = f(1,\n\n 2) }") == one("task t {x=[a,b];y=f(1,2)}")


def test_expressions() -> None:
    value = value_of("1 - 2 - 3 * -x ^ 2")
    assert isinstance(value, ast.Binary)
    assert isinstance(value.left, ast.Binary)
    product = value.right
    assert isinstance(product, ast.Binary)
    # As in mathematics, the power binds before the sign.
    assert isinstance(product.right, ast.Unary)
    term = value_of("logit(io) @S2-1")
    assert isinstance(term, ast.Call)
    assert term.at is not None
    assert term.at.offset == -1
    assert isinstance(value_of("logit(io) @S2 - 1"), ast.Binary)


@pytest.mark.parametrize(
    ("text", "value", "percent", "integer"),
    [("80%", 0.8, True, False), ("0.1%", 0.001, True, False), ("10_000", 10000.0, False, True),
     ("1e-3", 0.001, False, False), ("2.5", 2.5, False, False), ("99.9%", 0.999, True, False)],
)  # fmt: skip
def test_numbers(text: str, value: float, percent: bool, integer: bool) -> None:
    number = value_of(text)
    assert isinstance(number, ast.Number)
    assert (number.value, number.percent, number.integer) == (value, percent, integer)
    assert number.written == text


def test_options() -> None:
    score = value_of(
        "minimality(P, per: node, given: {a9.h0: b}, scope: full - through(K), over: {a9.h0},"
        " knockouts: greedy(10, seed: 0), split: false, at: S1+1)"
    )
    assert isinstance(score, ast.Score)
    kinds = {option.keyword: type(option.value).__name__ for option in score.options}
    assert kinds == {
        "per": "Name", "given": "MapValue", "scope": "SetOp", "over": "NodeSet",
        "knockouts": "Call", "split": "Bool", "at": "Position",
    }  # fmt: skip


def test_claim() -> None:
    claim = one(
        "claim c for h in G: A ~= B within 5% at 95% confidence by holm() "
        'by bootstrap(10000, seed: 0) expect refuted "te\\u00e9\\"xt"'
    )
    assert isinstance(claim, ast.ClaimDecl)
    assert claim.confidence is not None
    assert claim.confidence.value == 0.95
    assert [method.name for method in claim.methods] == ["holm", "bootstrap"]
    assert (claim.relation, claim.expect, claim.text) == ("~=", "refuted", 'teé"xt')


def test_spans_are_exact() -> None:
    text = "\ufeff# é\n" + "path p = (a -[k]-> b@S1+1)\nclaim c: LD(keep(x)) >= 8%\n"
    file, faults = parse(text, "x.circuit")
    assert not faults

    def written(node: ast.Node) -> str:
        return text[node.span.start : node.span.end]

    path, claim = file.statements
    assert written(path) == "path p = (a -[k]-> b@S1+1)"
    assert isinstance(path, ast.PathDecl)
    assert written(path.path) == "(a -[k]-> b@S1+1)"
    assert isinstance(path.path, ast.Group)
    chain = path.path.inner
    assert isinstance(chain, ast.Chain)
    assert isinstance(chain.steps[0], ast.Hop)
    assert written(chain.steps[0].arrow) == "-[k]->"
    assert written(chain.steps[0].target) == "b@S1+1"
    assert isinstance(claim, ast.ClaimDecl)
    assert written(claim.left) == "LD(keep(x))"
    assert written(claim.right) == "8%"


def test_every_broken_statement_is_reported_and_the_rest_is_read() -> None:
    text = (
        "grup a = { a1.h1 }\n\ngroup b = { a1.h1\n\npath c = b => logits\npath d = b -> logits\n"
        "\nlet e = \n\nclaim f: e == 1\n"
    )
    file, faults = parse(text, "x.circuit")
    assert [f.code for f in faults] == ["PD002", "PD003", "PD005", "PD014", "PD005"]
    assert [s.name.name for s in file.statements if isinstance(s, ast.PathDecl)] == ["d"]
    assert [name.name for name in file.broken] == ["a", "b", "c", "e", "f"]
    starts = [f.span.start for f in faults if f.span]
    assert starts == sorted(starts)


def test_a_word_at_column_1_may_go_on_with_a_statement() -> None:
    assert not codes("let x =\nmean(LD(reference))\n+ 1\n\nclaim c: x > 1\nexpect refuted\n")


@pytest.mark.parametrize("text", ["", "\ufeff", "# c", "\r\n\r\n", "\t \n#\n"])
def test_empty_files(text: str) -> None:
    assert parse(text, "x.circuit")[0].statements == ()
    assert not codes(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("path p = " + "(" * 900_000, "PD008"),
        ("path p = " + "(" * 10_000_000, "PD011"),
        ("let x = 1" + " + 1" * 300_000, "PD008"),
        ("let x = " + "-" * 300_000 + "1", "PD008"),
        ("path p = a" + " - b" * 1000, "PD008"),
        ("let x = " + "2^" * 5000 + "2", "PD008"),
        ("let x = " + "9" * 100_000, "PD012"),
        ("path p = a" + "9" * 100_000, "PD012"),
        ("let x = a\x00b", "PD010"),
        ("\x89PNG\r\n\x1a\n", "PD010"),
        ("let x = \ud800", "PD010"),
        ("]" * 100_000, "PD002"),
        ('use "' + "a" * 1_000_000, "PD004"),
        ("#" * 1_000_000 + "\nfoo", "PD002"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_hostile_input_is_refused_at_once(text: str, code: str) -> None:
    begun = time.perf_counter()
    assert codes(text)[0] == code
    assert time.perf_counter() - begun < 3


def test_deep_but_allowed() -> None:
    value_of("(" * 190 + "1" + ")" * 190)
    path_of("(" * 190 + "a" + ")" * 190)


@given(st.text(alphabet=st.sampled_from(SIGNS), max_size=60),
       st.sampled_from(["path p = ", "let x = ", "group g = ", "claim c: ", "task t ", "",
                        "intervene i { ", "use "]))  # fmt: skip
@settings(max_examples=300, deadline=None)
@example("a\n->b", "path p = ")
def test_any_text_gives_a_tree_or_faults(text: str, start: str) -> None:
    file, faults = parse(start + text, "x.circuit")
    assert isinstance(file, ast.File)
    for fault in faults:
        assert isinstance(fault, Diagnostic)
        assert fault.code.startswith("PD0")
        assert fault.span is not None
        assert 0 <= fault.span.start <= fault.span.end <= len(start + text)
        assert not fault.message.endswith(".")


@given(files())
@settings(max_examples=60, deadline=None)
def test_drawn_files_parse(text: str) -> None:
    assert not codes(text)


@given(files(most=3), st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_files_never_raise(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    junk = data.draw(st.sampled_from(["", "(", "}", '"', "->", "$", "\n", "path ", "]", "é"]))
    parse(text[:at] + junk + text[at + 1 :], "x.circuit")
