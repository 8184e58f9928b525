"""Words that came after the first version are reserved nowhere: what a file declares is meant."""

from __future__ import annotations

import pytest

from pathdsl.errors import Severity
from pathdsl.lang import ast
from pathdsl.lang.check.names import is_reserved
from pathdsl.lang.lint import lint_file
from pathdsl.lang.syntax.parse import parse

WORDS = ("share", "sum", "layer", "index", "members", "size", "node", "edge", "head", "nodes",
         "top", "correlation", "spearman", "pearson", "q", "k", "v", "answers", "whole",
         "one_token", "ANSWER", "id", "draws", "attribution", "slot", "steps", "rule", "exact",
         "atp", "eap", "left", "right", "rms", "UNIT", "stability",
         "emerges", "json", "parquet", "dataset", "revision", "config", "split",
         "select", "greedy", "pnr", "ilp", "stable", "acdc")  # fmt: skip
HEAD = """circuit words "Words" { language = 1 }
model mini = bundled("ioi-mini")
task ioi { data = ioi(take: 60); reference = prompt; treated = prompt_abc }
"""
USES = {
    "path": [
        "path {} = a3.h1 -> logits", "let kept = mean(LD(keep({})))",
        "let both = paths(({}) & full)", "let of for p in [{}] = paths(p)",
    ],
    "group": [
        "group {} = {{ a3.h1, a3.h2 }}", "let kept = mean(LD(keep(through({}@END))))",
        "let each for h in {}: logits = effect(through(h))", "let one = paths({} -> logits)",
        "let many = max(h in {}: paths(through(h)))",
    ],
    "metric": [
        "metric {}: logits = logit(io)", "let kept = mean({}(reference))",
        "let treated_ = mean({}(treat(full)) - {}(reference))", "let of = effect(full, metric: {})",
    ],
    "let": [
        "let {} for h in attn: logits = effect(through(h), metric: LD)", "let one = {}[a3.h1]",
        "let two = {}[a3.h1] - {} [a3.h2]", "claim c for h in attn: {}[h] < 9 by holm()",
    ],
    "plain let": ["let {} = mean(LD(reference))", "let twice = 2 * {}", "let less = {} -1"],
    "task": [
        "task {} = ioi where order == \"abba\"", "let there = mean(LD(reference, task: {}))",
        "let on_each for t in [ioi, {}]: logits = mean(LD(reference, task: t))",
    ],
    "variable": ["let each for {} in attn: logits = mean(LD(treat({}@END -> logits)))"],
    "claim": ["claim {}: mean(LD(reference, task: ioi)) > 0 at 95% confidence"],
}  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("kind", USES)
def test_a_new_word_may_be_a_name(word: str, kind: str) -> None:
    assert not is_reserved(word)
    metric = "" if kind == "metric" else "metric LD: logits = logit(io) - logit(s)\n"
    text = HEAD + metric + "\n".join(USES[kind]).replace("{{", "{").replace("}}", "}")
    text = text.replace("{}", word)
    faults = [f for f in lint_file("words.circuit", text)[1] if f.severity is Severity.ERROR]
    assert faults == []


@pytest.mark.parametrize("word", ["share", "sum"])
def test_a_declared_name_wins_over_the_function(word: str) -> None:
    text = HEAD + f"metric {word}: logits = logit(io)\nlet x = {word}(h in attn: paths(h) > 0)\n"
    found = lint_file("words.circuit", text)[1]
    assert "PD115" in {f.code for f in found}  # a metric takes a run
    (_, _, _, _, let) = parse(text, "words.circuit")[0].statements
    assert isinstance(let, ast.LetDecl) and isinstance(let.expression, ast.Call)


def test_a_function_that_is_not_declared_is_the_one_over_members() -> None:
    text = HEAD + "let x = share(h in attn: paths(through(h)) > 0)\n"
    found = lint_file("words.circuit", text)[1]
    assert [f for f in found if f.severity is Severity.ERROR] == []
