"""Metrics: canonical spelling, LaTeX, values, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from pathdsl.errors import LanguageError
from pathdsl.lang import ast
from pathdsl.lang.program import load_program
from pathdsl.plan.readout import Measure
from pathdsl.score.metrics import compile_metric

HEAD = 'task t { data = jsonl("r.jsonl"); reference = p; positions = [S2] }\n'


def metric(expression: str, at: str = "", extra: str = ""):
    text = HEAD + extra + f"metric X{at} = {expression}\n"
    program, faults = load_program("m.circuit", text)
    assert not faults, faults
    return compile_metric(program.metrics["X"], program.groups)


def test_equal_metrics_are_equal_however_they_are_written():
    a, b = metric("logit(io) - logit(s)"), metric("-1 * (logit(s) - logit(io))")
    assert a == b and hash(a) == hash(b)
    assert a.canonical == b.canonical == "logit(io)@END - logit(s)@END"
    assert a != metric("logit(s) - logit(io)")
    assert metric("0.1 * logit(io)") == metric("logit(io) / 10")


def test_positions():
    assert metric("logit(io)").position == "END"
    found = metric("logit(io) - logit(s) @[3]", at=" @S2+1")
    assert {m.column: m.position for m in found.measures} == {"io": "S2+1", "s": "[3]"}
    assert found.position == ""


def test_every_measure():
    found = metric("prob(io) + logprob(io) + rank(io) + top1(io) + kl(reference)")
    assert {m.kind for m in found.measures} == {"prob", "logprob", "rank", "top1", "kl"}
    found = metric("attention(mover, END -> S2)", extra="group mover @END = { a9.h9 }\n")
    assert found.measures == (Measure(kind="attention", head=(9, 9), query="END", key="S2"),)
    assert metric("top1(io) - rank(io)").discrete and not metric("prob(io)").discrete


def test_values_and_denominators():
    found = metric("max(abs(logit(io) - logit(s)), 2, min(logit(io), 1)) / logit(s) ^ 2")
    x, y = np.array([[1.0, -5.0, 3.0]]), np.array([[2.0, 4.0, 0.5]])
    io, s = Measure(kind="logit", column="io"), Measure(kind="logit", column="s")
    want = np.maximum(np.maximum(abs(x - y), 2), np.minimum(x, 1)) / y**2
    assert found.evaluate({io: x, s: y}) == pytest.approx(want)
    assert [d.canonical for d in found.denominators] == ["logit(s)@END**2"]
    assert found.denominators[0].evaluate({s: y}) == pytest.approx(y**2)
    assert metric("logit(io) - logit(io)").evaluate({io: x}) == pytest.approx(0 * x)


def test_latex():
    assert metric("logit(io_a)").latex == r"\operatorname{logit}(\mathrm{io\_a})"
    assert "@" in metric("prob(io)", at=" @S2").latex


def test_what_cannot_stand_in_a_metric():
    name = ast.Name(name="x", span=load_program("m", HEAD)[0].tasks["t"].span)
    broken = ast.MetricDecl(name=name, task=None, unit=None, expression=name, span=name.span)
    with pytest.raises(LanguageError, match="PD423"):
        compile_metric(broken)
    with pytest.raises(LanguageError, match="PD430"):
        metric("attention(a9, END -> S2)")
    with pytest.raises(LanguageError, match="PD430"):
        metric("attention(a*.h[0,1], END -> S2)")


def test_the_spelling_does_not_depend_on_hash_seeds():
    code = (
        "from tests.score.test_metrics import metric\n"
        "print(metric('max(prob(io), prob(s), 0.5) * (logit(b) + logit(a)) - rank(c)').canonical)"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("0", "7")
    }  # fmt: skip
    assert len(seen) == 1
