"""`intervene` blocks on the page: forms, names, canonical form, faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathdsl.lang import ast
from pathdsl.lang.canonical import spelled
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.lint import lint_file
from pathdsl.lang.syntax.parse import parse

HEAD = """circuit example "An example" {
  language = 1
}
model mini = bundled("ioi-mini")
task ioi {
  data      = mini_ioi(take: 60)
  reference = prompt
  treated   = prompt_abc
}
group movers @END = { a3.h1, a3.h2 }
metric LD: logits = logit(io) - logit(s)
"""
FORMS = """intervene all {
  pattern(a3.h1@END) = uniform(IO, S1)
  pattern(a2.*@END) = only([0], END-1)
  pattern(a1.h0) = from(treated)
  block({a3.h2, movers}@END -> S2)
  zero q|k(a0.h1)
  zero v(movers)
  scale m1 = -2.5
  set a3.h3 = treat(through(movers), treated: zero) with other
  set m2 = mean(prompt_abc, by: template)
  set m3 = zero
  set r1@END = r3@END
  set m0 = movers
  add r2@END = 2 * mean(prompt) - mean(prompt_abc) / 3
  add r3@END = vector("v.safetensors", key: "d", scale: 4.0) - mean(prompt)
}
"""
NEW_WORDS = ("add", "vector", "uniform", "only", "from")


def actions(text: str) -> tuple[ast.Action, ...]:
    file, faults = parse(text, "x.circuit")
    assert not faults, faults
    (block,) = (s for s in file.statements if isinstance(s, ast.InterveneDecl))
    return block.actions


def codes(text: str, tmp_path: Path) -> list[str]:
    path = tmp_path / "x.circuit"
    path.write_text(text)
    return [d.code for d in lint_file(str(path))[1] if d.code != "PD104"]


def test_every_form_is_read_and_stays_as_it_is() -> None:
    found = actions(FORMS.replace("a2.*", "a2"))
    verbs = ["pattern"] * 3 + ["block", "zero", "zero", "scale"] + ["set"] * 5 + ["add"] * 2
    assert [a.verb for a in found] == verbs
    assert found[4].slot == "q" and found[4].more == ("k",) and found[5].more == ()
    run = found[7].value
    assert isinstance(run, ast.PathRun) and [n.name for n in run.blocks] == ["other"]
    text = format_text(FORMS.replace("a2.*", "a2"), "x.circuit")
    assert format_text(text, "x.circuit") == text
    assert [spelled(a) for a in actions(text)] == [spelled(a) for a in found]


def test_runs_under_several() -> None:
    file, faults = parse("let x = mean(LD(treat(full) with [a, b,]))\n", "x")
    assert not faults
    text = str(spelled(file))
    assert "'also'" in text and "'under'" in text
    alone, _ = parse("let x = mean(LD(treat(full) with a))\n", "x")
    listed, _ = parse("let x = mean(LD(treat(full) with [a]))\n", "x")
    assert spelled(alone) == spelled(listed) and "also" not in str(spelled(alone))
    _, faults = parse("let x = mean(LD(reference with [a, a]))\n", "x")
    assert [f.code for f in faults] == ["PD018"]


@pytest.mark.parametrize("word", NEW_WORDS)
def test_new_words_are_names(word: str, tmp_path: Path) -> None:
    """As a path, a group, a metric and a let, also before `(`, `[` and `@`."""
    statements = {
        "path": f"path {word} = movers -> logits\nlet x = effect({word}, metric: LD)\n"
        f"let y = mean(LD(treat({word} & full)))\n",
        "group": f"group {word} = {{ a3.h1 }}\nlet x = effect(through({word}@END), metric: LD)\n",
        "metric": f"metric {word} = top1(io)\nlet x = mean({word}(reference))\n",
        "let": f"let {word} for h in movers = effect(through(h), metric: LD)\n"
        f"let x = {word}[a3.h1] + {word}[a3.h2]\n",
    }
    for text in statements.values():
        _, faults = parse(HEAD + text, "x")
        assert not faults, faults
        assert not [c for c in codes(HEAD + text, tmp_path) if c < "PD5"], text


@pytest.mark.parametrize(
    ("block", "code"),
    [
        ("scale r1 = 2.0", "PD123"),
        ("zero v(nobody)", "PD101"),
        ("pattern(a0.h1) = even(S1)", "PD110"),
        ("pattern(a0.h1) = from(S1)", "PD115"),
        ("pattern(a0.h1) = from(reference with changed)", "PD115"),
        ("pattern(a0.h1) = uniform(reference)", "PD115"),
        ("set a0.h1 = reference with changed", "PD108"),
        ("set a0.h1 = vector(\"v.safetensors\", key: \"d\")", "PD110"),
        ("set a0.h1 = noise", "PD115"),
        ("add r1 = LD(reference)", "PD110"),
        ("add r1 = 2", "PD115"),
        ("add r1 = vector(\"v.safetensors\")", "PD113"),
    ],
)  # fmt: skip
def test_faults(block: str, code: str, tmp_path: Path) -> None:
    text = f"{HEAD}intervene changed {{ {block} }}\nlet x = mean(LD(reference with changed))\n"
    found = [c for c in codes(text, tmp_path) if c < "PD5"]
    assert code in found


def test_names_behind_with(tmp_path: Path) -> None:
    text = HEAD + "intervene a { scale m0 = 2.0 }\nlet x = mean(LD(treated with [a, b]))\n"
    text += "let y = mean(LD(treat(movers -> logits, treated: reference with c)))\n"
    assert codes(text, tmp_path).count("PD101") == 2


def test_blocks_that_read_one_another(tmp_path: Path) -> None:
    text = HEAD + "intervene a { set m0 = reference with b }\n"
    text += "intervene b { set m1 = reference with a }\nlet x = mean(LD(reference with a))\n"
    assert codes(text, tmp_path).count("PD108") == 2


def test_a_loop_over_blocks_is_refused(tmp_path: Path) -> None:
    text = HEAD + "intervene off { scale m1 = 0.0 }\nlet x for i in [off] = mean(LD(reference))\n"
    path = tmp_path / "x.circuit"
    path.write_text(text)
    found = [d.message for d in lint_file(str(path))[1] if d.code == "PD111"]
    assert found and found[0].startswith("`off` is an intervention")
