"""Repairs that a program can make: what they replace stands there, and the fault is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathdsl.errors import Diagnostic
from pathdsl.lang.lint import lint_file
from pathdsl.lang.rules import pages

HEAD = """circuit c "A file" { language = 1 }
model m = bundled("ioi-mini")
task ioi {
  data = mini_ioi(take: 20, seed: 0)
  reference = prompt
  treated = prompt_abc
}
group movers @END = { a3.h1, a3.h2 }
path main = input ~> movers -> logits
metric LD: logits = logit(io) - logit(s)
"""
SLIPS = {
    "let x = mean(LD(treat(mian)))": "let x = mean(LD(treat(main)))",
    "let x = maen(LD(treat(main)))": "let x = mean(LD(treat(main)))",
    "let x = mean(LDD(treat(main)))": "let x = mean(LD(treat(main)))",
    "let x = mean(LD(treat(main, scop: main)))": "let x = mean(LD(treat(main, scope: main)))",
    "let x = mean(LD(treat(input@EN -> logits)))": "let x = mean(LD(treat(input@END -> logits)))",
    "let x = mean(LD(treat(input@ EN -> logits)))": "let x = mean(LD(treat(input@ END -> logits)))",
    "let x: logit = mean(LD(reference))": "let x: logits = mean(LD(reference))",
    "let x = faithfulness(main, as: recoverd)": "let x = faithfulness(main, as: recovered)",
    "let x = accuracy(reference, answer: ioo)": "let x = accuracy(reference, answer: io)",
    "metric P = prob(ioo)": "metric P = prob(io)",
    "path q = input => logits": "path q = input -> logits",
    "path q = input → logits": "path q = input -> logits",
    "path q = input --> logits": "path q = input -> logits",
    "path q = L3H1 -> logits": "path q = a3.h1 -> logits",
    "path q = 3.1 -> logits": "path q = a3.h1 -> logits",
    "path q = main || main": "path q = main | main",
    "let x == 1": "let x = 1",
    "let x = mean(LD(treat(main, scope= main)))": "let x = mean(LD(treat(main, scope: main)))",
    "claim c1 mean(LD(reference)) > 0": "claim c1: mean(LD(reference)) > 0",
    "claim c1: mean(LD(reference)) ≥ 0": "claim c1: mean(LD(reference)) >= 0",
    "claim c1: mean(LD(reference)) > 0 at 95 confidence":
    "claim c1: mean(LD(reference)) > 0 at 95% confidence",
    "claim c1: mean(LD(reference)) > 0 by homl()": "claim c1: mean(LD(reference)) > 0 by holm()",
    "claim c1: mean(LD(reference)) > 0;": "claim c1: mean(LD(reference)) > 0",
    "clam c1: mean(LD(reference)) > 0": "claim c1: mean(LD(reference)) > 0",
    "use 'x.circuit'": 'use "x.circuit"',
    "let x = mean(LD(reference]": "let x = mean(LD(reference)",
    "task d = ioi where template = 1": "task d = ioi where template == 1",
    "task d = ioi where template == 1, template == 2":
    "task d = ioi where template == 1 and template == 2",
}  # fmt: skip


def fixed(text: str, fault: Diagnostic) -> str:
    """The text with a repair made; it must be one of this file that replaces what stands there."""
    fix = fault.fix
    assert fix is not None, fault
    assert text[fix.span.start : fix.span.end] == fix.was
    return text[: fix.span.start] + fix.text + text[fix.span.end :]


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_repaired_as_it_is_printed(slip: str) -> None:
    text = HEAD + slip + "\n"
    fault = next(f for f in lint_file("x.circuit", text)[1] if f.fix is not None)
    assert fixed(text, fault) == HEAD + SLIPS[slip] + "\n"
    assert fault.fix is not None
    assert fault.fix.text.strip() in fault.help


def test_what_a_page_shows_is_gone_after_its_repair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tried = 0
    for page in pages().values():
        if page.failing is None or page.failing.command != "lint":
            continue
        for name, text in page.failing.files.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(text, encoding="utf-8")
        _, faults = lint_file("example.circuit", page.failing.text)
        for fault in faults:
            if fault.fix is None:
                continue
            tried += 1
            text = fixed(page.failing.text, fault)
            _, left = lint_file("example.circuit", text)
            assert (fault.code, fault.message) not in {(f.code, f.message) for f in left}
    assert tried >= 7


BLOCKS = {
    'circuit c "A {file}" { cite = "x" }': 'circuit c "A {file}" { language = 1; cite = "x" }',
    'circuit c "A {file}" {}': 'circuit c "A {file}" { language = 1 }',
    'circuit c "A {file}" { }': 'circuit c "A {file}" { language = 1 }',
    'circuit c "A {file}"': 'circuit c "A {file}" { language = 1 }',
    'circuit c "A {file}" {\n}': 'circuit c "A {file}" {\n  language = 1\n}',
    'circuit c "A file" {\n  cite = "x"\n}':
    'circuit c "A file" {\n  language = 1\n  cite = "x"\n}',
    'circuit c "A file" {\n    # why\n    cite = "x"\n}':
    'circuit c "A file" {\n    # why\n    language = 1\n    cite = "x"\n}',
}  # fmt: skip


@pytest.mark.parametrize("block", BLOCKS)
def test_a_field_that_is_missing_is_put_into_its_block(block: str) -> None:
    rest = HEAD.partition("\n")[2] + "let x = mean(LD(reference))\n"
    text = f"{block}\n{rest}"
    fault = next(f for f in lint_file("x.circuit", text)[1] if f.code == "PD511")
    made = fixed(text, fault)
    assert made == f"{BLOCKS[block]}\n{rest}"
    assert "PD511" not in [f.code for f in lint_file("x.circuit", made)[1]]


def test_a_variable_is_not_replaced_by_what_one_of_its_values_should_be() -> None:
    text = HEAD + "let x for s in [reclaimed, recovered] = faithfulness(main, as: s)\n"
    for fault in lint_file("x.circuit", text)[1]:
        fix = fault.fix
        if fix is not None and text[fix.span.start : fix.span.end] == fix.was:
            pytest.fail(f"{fix}")
