"""Names of measures and scores that came after version 0.1 are free: what a file declares wins."""

from __future__ import annotations

import pytest

from pathdsl.errors import Severity
from pathdsl.lang import ast
from pathdsl.lang.check.names import is_reserved
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import load_program
from pathdsl.lang.signatures.measures import MEASURES
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.units import unit_of

FREE = [
    *(name for name, one in MEASURES.items() if not one.reserved),
    *(name for name, one in SCORES.items() if not one.reserved),
]
SLOTS = ["q", "k", "v"]
HEAD = """circuit c {
  language = 1
}

model mini = bundled("ioi-mini")

task ioi {
  data      = mini_ioi(take: 40)
  reference = prompt
  treated   = prompt_abc
}

"""


def faults(text: str) -> list[str]:
    return [d.code for d in lint_file("c.circuit", text)[1] if d.severity is Severity.ERROR]


def program(text: str):
    found, errors = load_program("c.circuit", text)
    assert not errors, errors
    return found


def test_the_names() -> None:
    assert set(FREE) == {
        "dla", "norm", "cosine", "copy_score", "broken", "size", "attribution", "stability",
    }  # fmt: skip
    assert not any(map(is_reserved, FREE))


@pytest.mark.parametrize("name", [*FREE, *SLOTS])
def test_as_a_group_before_brackets_and_positions(name: str) -> None:
    text = HEAD + (
        f"group {name} @END = {{ a3.h1, a3.h2 }}\n\n"
        f"path p = through({name}@END) | ({name} -> logits) | {name}@END -> logits\n\n"
        "metric LD: logits = logit(io) - logit(s)\n\n"
        f"let x for h in {name}: logits = mean(LD(treat(h -> logits)))\n"
        "let y: logits                 = x[a3.h1@END] + mean(LD(treat(p)))\n"
        f"let z: logits                 = mean(LD(treat({name}@END -> logits)))\n"
    )
    assert faults(text) == []
    assert "y" in program(text).lets


@pytest.mark.parametrize("name", [*FREE, *SLOTS])
def test_as_a_path(name: str) -> None:
    text = HEAD + (
        f"path {name} = a3.h1@END -> logits\n\nmetric LD: logits = logit(io) - logit(s)\n\n"
        f"let x: logits = mean(LD(treat({name}))) + mean(LD(keep({name} | a3.h2 -> logits)))\n"
        f"let y         = faithfulness({name})\n"
    )
    assert faults(text) == []


@pytest.mark.parametrize("name", [*FREE, *SLOTS])
def test_as_a_metric_that_is_called(name: str) -> None:
    text = HEAD + (
        f"metric {name}: prob = prob(io)\n\nmetric other: logits = logit(io) - logit(s)\n\n"
        f"let x: prob = mean({name}(reference)) - mean({name}(treated, task: ioi))\n"
        f"let y: prob = mean({name}(treat(a3.h1 -> logits)))\n"
        f"let w: prob = effect(full, metric: {name})\n"
        f"let d       = mean(other(reference)) / mean(other(treated))\n"
        f"claim c: x > 10% at 95% confidence\n"
    )
    assert faults(text) == []
    found = program(text)
    assert unit_of(found)["x"] == unit_of(found)["y"] == "prob"
    let = found.lets["x"].expression
    assert isinstance(let, ast.Binary) and isinstance(let.left, ast.Call)
    assert [c.name for c in (let.left.arguments[0].value,) if isinstance(c, ast.Call)] == [name]


@pytest.mark.parametrize("name", [*FREE, *SLOTS])
def test_as_a_let_with_members(name: str) -> None:
    text = HEAD + (
        "metric LD: logits = logit(io) - logit(s)\n\n"
        f"let {name} for h in a3: logits = mean(LD(treat(h -> logits)))\n"
        f"let y: logits                  = {name}[a3.h1] - {name}[a3.h2]\n"
    )
    assert faults(text) == []


@pytest.mark.parametrize("name", ["dla", "norm", "cosine", "copy_score"])
def test_a_metric_with_the_name_of_the_measure_that_it_is(name: str) -> None:
    """In a metric nothing that is declared can be called, so there the measure is meant."""
    record = MEASURES[name]
    example = record.example.replace("a9.h9", "a3.h1")
    text = HEAD + f"metric {name} = {example}\n\nlet x = mean({name}(reference))\n"
    assert faults(text) == []
    assert unit_of(program(text))["x"] == record.unit


LETTERS = {
    "model": "model Q = bundled('ioi-mini')",
    "task": """task Q = ioi where order == 'abba'
        let x = mean(LD(reference, task: Q))
        let by_task for t in [ioi, Q] = mean(LD(reference, task: t))""",
    "group": """group Q @END = { a3.h1, a3.h2 }
        path p = input ~[Q]~> Q -> logits | Q@END(-> mlp)* -> logits
        path p2 = a0.h1 -[Q]-> Q@END (-> mlp)? -> logits - within(Q, a0.h1)
        intervene i { zero q|k|v(Q); scale Q = 2; pattern(Q@END) = only(S1) }
        let x = mean(LD(treat(p | p2) with i))""",
    "path": """path Q = a0.h1 -[Q]-> a3.h2 -> logits
        let x = mean(LD(treat(Q | (Q) & full)))""",
    "metric": """metric Q @END = logit(io)
        let x = mean(Q(reference)) / mean(Q (treated))""",
    "let": """let Q for h in a3 = effect(through(h), metric: LD)
        let x = Q[a3.h1] - Q [a3.h2] + Q[a3.h0]""",
    "intervention": """intervene Q { zero Q(a3.h1) }
        let x = mean(LD(reference with Q))
        let y = mean(LD(treated with [Q]))""",
    "claim": "claim Q for h in a3: effect(through(h), metric: LD) < 1 at 95% confidence by holm()",
    "variable of nodes": """let x for Q in a2 = effect(Q -[Q]-> a3.h0 -> logits, metric: LD)
        let u = max(Q in a3: effect(through(Q), metric: LD))""",
    "variable of positions": "let x for Q in [S1, END] = effect(through(m0@Q), metric: LD)",
    "variable of indices": "let x for Q in [0..2] = effect(through(m0@[Q]), metric: LD)",
    "variable of metrics": "let x for Q in [LD] = mean(Q(reference))",
}


@pytest.mark.parametrize("name", SLOTS)
@pytest.mark.parametrize("kind", LETTERS)
def test_a_slot_letter_is_every_kind_of_name(kind: str, name: str) -> None:
    """Before `(`, `[` and `@`, and beside arrows with that slot."""
    head = HEAD.replace('model mini = bundled("ioi-mini")\n', "") if kind == "model" else HEAD
    lines = LETTERS[kind].replace("\n        ", "\n").replace("Q", name).replace("'", '"')
    text = f"{head}metric LD: logits = logit(io) - logit(s)\n{lines}\n"
    assert faults(text) == []
    once = format_text(text, "c.circuit")
    assert format_text(once, "c.circuit") == once


@pytest.mark.parametrize("name", SLOTS)
def test_a_slot_letter_is_a_column_a_position_and_a_field(name: str) -> None:
    measured = f"logit({name}) - prob({name}) @{name} + dla(a3.h1, {name}) @{name}+1"
    column = program(f"metric x = {measured}\n")
    calls = [n for n in column.nodes(column.metrics["x"]) if isinstance(n, ast.Call)]
    assert [call.at.name for call in calls if call.at is not None] == [name, name]
    fields = f"positions = [{name}, S1]\n  cluster = {name}\n  {name} = {name}({name}: 1)"
    listed = program(f"task t {{\n  {fields}\n}}\n")
    assert [f.name for f in listed.tasks["t"].fields] == ["positions", "cluster", name]


def test_columns_that_look_like_nodes_are_columns() -> None:
    """`logit(a1)` reads the column `a1` as it did before nodes could be arguments."""
    for column in ("a1", "m2", "r3", "input", "any", "attn", "mlp", "logits"):
        found = program(f"metric x = logit({column}) - prob(io)\n")
        (call, *_) = [n for n in found.nodes(found.metrics["x"]) if isinstance(n, ast.Call)]
        assert isinstance(call.arguments[0].value, ast.Name), column
        assert call.arguments[0].value.name == column
        keyword = program(f"task t {{\n  data = rows({column}: 3)\n}}\n")
        (call,) = [n for n in keyword.nodes(keyword.tasks["t"]) if isinstance(n, ast.Call)]
        assert call.arguments[0].keyword == column


WRITTEN = HEAD + (
    "group movers @END = { a3.h1, a3.h2 }\n\n"
    "metric w: logits     = dla(movers, io) - dla({ movers, m0, except a3.h2 }, s)\n"
    "metric n             = norm(a3.h*) + norm(input) @S2 + norm(a[0..2].h[1,3]@END)\n"
    "metric c             = cosine({any, input}, treated)\n"
    "metric k             = copy_score(a3.h1, of: [IO, S1+1], top: 5, negated: true)\n"
    "metric at_S2 @S2     = norm(a2.kv0@S2)\n"
    "let b                = broken(reference, keep(movers -> logits), answer: io, task: ioi)\n"
    "let all: logits      = mean(w(reference)) + mean(n(reference)) * 0 / mean(c(reference))\n"
    "let ks               = mean(k(reference)) + mean(at_S2(reference))\n"
)


def test_forms_are_formatted_once() -> None:
    once = format_text(WRITTEN, "c.circuit")
    assert format_text(once, "c.circuit") == once
    assert "dla({movers, m0, except a3.h2}, s)" in once
    assert "copy_score(a3.h1, of: [IO, S1+1], top: 5, negated: true)" in once


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("metric x = dla(a3.h1)", "PD113"),
        ("metric x = dla(a3.h1, io, s)", "PD117"),
        ("metric x = dla(a3.h1, template)", "PD301"),
        ("metric x = dla(nobody, io)", "PD101"),
        ("metric x = dla(m0.n3, io)", "PD115"),
        ("metric x = dla(logits, io)", "PD115"),
        ("metric x = dla({a3.h1, logits}, io)", "PD115"),
        ("metric x = norm(r2)", "PD123"),
        ("metric x = norm(movers) @S2", "PD121"),
        ("metric x @S2 = norm({a3.h1, a3.h2@END})", "PD121"),
        ("metric x = cosine(a3.h1, treat(movers -> logits))", "PD115"),
        ("metric x = cosine(a3.h1)", "PD113"),
        ("metric x = copy_score(a3.h1)", "PD113"),
        ("metric x = copy_score({a3.h1, a3.h2}, of: IO)", "PD115"),
        ("metric x = copy_score(a3.h1, of: NOWHERE)", "PD109"),
        ("metric x = copy_score(a3.h1, of: IO, top: 0)", "PD116"),
        ("metric x = copy_score(a3.h1, of: IO) @S2", "PD115"),
        ("let x = mean(dla(a3.h1, io))", "PD406"),
        ("let x = broken(reference, answer: io)", "PD113"),
        ("let x = broken(reference, treated)", "PD113"),
        ("let x = stability()", "PD113"),
        ('let x = stability(edges("found.scores.json"))', "PD113"),
        ('let x = stability(edges("found.scores.json"), sise: 5%)', "PD117"),
        ("let x = stability(p, size: 5%)", "PD115"),
        ("let x = broken(reference, treated, answer: prompt)", "PD301"),
        ("let x = broken(reference, treated, answer: reference)", "PD115"),
        ("metric x: nats = dla(a3.h1, io)", "PD402"),
        ("metric x = dla(a3.h1, io) + norm(a3.h1)", "PD401"),
        ("let x = mean(LD(a3.h1))", "PD021"),
        ("let x = mean({a3.h1})", "PD021"),
    ],
)
def test_faults(line: str, code: str) -> None:
    text = HEAD + (
        "group movers @END = { a3.h1, a3.h2 }\n\npath p = movers -> logits\n\n"
        "metric LD: logits = logit(io) - logit(s)\n\nlet used: logits = mean(LD(treat(p)))\n\n"
    )
    assert code in faults(text + line + "\n"), faults(text + line + "\n")
