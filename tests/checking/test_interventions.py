"""Files whose runs stand under interventions, as `check` judges them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pathdsl.checking.breaking.claims import program_changes
from pathdsl.checking.check import check_file
from pathdsl.checking.lock.contents import lock_of
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.checking.planned import plan_file
from pathdsl.engine.store.store import Store
from pathdsl.errors import PathdslError
from pathdsl.lang.program import load_program

HEAD = """circuit example "An example" {
  language = 1
}
model mini = bundled("ioi-mini")
task ioi {
  data      = mini_ioi(take: 24, seed: 0)
  reference = prompt
  treated   = prompt_abc
  positions = [IO, S1, S2]
}
group movers @END = { a3.h1, a3.h2 }
metric LD: logits = logit(io) - logit(s)
metric mass = attention(a3.h1, END -> S2)
"""


def check(folder: Path, text: str, name: str = "x.circuit") -> FileOutcome:
    path = folder / name
    path.write_text(HEAD + text)
    return check_file(str(path), CheckOptions())


def numbers(outcome: FileOutcome) -> dict[str, float]:
    assert outcome.judgement is not None, [d.message for d in outcome.diagnostics]
    return {q.name: float(q.estimate) for q in outcome.judgement.quantities}  # type: ignore[arg-type]


def codes(outcome: FileOutcome) -> list[str]:
    return [d.code for d in outcome.diagnostics]


def test_what_two_forms_say_alike_is_the_same(tmp_path: Path) -> None:
    found = numbers(
        check(
            tmp_path,
            """intervene knock { set movers = treated }
intervene mute { scale movers = 0.0 }
intervene see { pattern(a3.h1@END) = only(S2) }
intervene same { pattern(a3.h1) = from(reference) }
intervene steered { add r3@END = mean(prompt) - mean(prompt_abc) }
let knocked = mean(LD(reference with knock))
let patched = mean(LD(treat(through(movers))))
let nothing = mean(LD(reference with mute))
let zeroed  = mean(LD(treat(through(movers), treated: zero)))
let here    = mean(mass(reference with see))
let plain   = mean(LD(reference))
let same_as = mean(LD(reference with same))
let steered_run = mean(LD(reference with steered))
let by_all  = mean(LD(treat(full, treated: reference with steered)))
let by_r3   = mean(LD(treat(through(r3@END), treated: reference with steered)))
let doubled = mean(LD(reference with [steered, see]))
""",
        )
    )
    assert found["knocked"] == pytest.approx(found["patched"], abs=1e-4)
    assert found["nothing"] == pytest.approx(found["zeroed"], abs=1e-4)
    assert found["here"] == pytest.approx(1.0)
    assert found["same_as"] == pytest.approx(found["plain"], abs=1e-4)
    assert found["by_all"] == pytest.approx(found["steered_run"], abs=1e-4)
    assert found["by_r3"] == pytest.approx(found["steered_run"], abs=1e-4)
    assert abs(found["doubled"] - found["steered_run"]) > 1e-3


@pytest.mark.parametrize("treated", ["mean(prompt_abc, by: template)", "zero", "prompt_abc"])
def test_an_intervened_model_is_a_model(tmp_path: Path, treated: str) -> None:
    """`keep(full)` and `keep(none)` under a block, written so that nothing is folded on paper."""
    text = f"""intervene b {{ scale a1 = 0.5; add r2@END = mean(prompt) - mean(prompt_abc) }}
path all = through(movers) | (full - through(movers))
let by_paths = mean(LD(keep(all, treated: {treated}) with b))
let plain    = mean(LD(reference with b))
let gone     = mean(LD(treat(all, treated: {treated}) with b))
let whole    = mean(LD(treat(full, treated: {treated}) with b))
"""
    found = numbers(check(tmp_path, text))
    assert found["by_paths"] == pytest.approx(found["plain"], abs=1e-4)
    assert found["gone"] == pytest.approx(found["whole"], abs=1e-4)


def test_a_vector_is_read_hashed_and_fenced(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    save_file({"d": np.ones(128, np.float32)}, tmp_path / "v.safetensors")
    text = """intervene s {{ add r3@END = vector("{0}", key: "{1}", scale: {2}) }}
claim moved: mean(LD(reference with s)) > -100 at 95% confidence
"""
    found = check(tmp_path, text.format("v.safetensors", "d", 0.5))
    assert found.judgement is not None
    lock = lock_of(found, CheckOptions())["inputs"]["file"]
    assert list(lock["vectors"]) == ["v.safetensors"]
    save_file({"d": 2 * np.ones(128, np.float32)}, tmp_path / "v.safetensors")
    again = check(tmp_path, text.format("v.safetensors", "d", 0.5))
    assert lock_of(again, CheckOptions())["inputs"]["file"] != lock
    for path, key in (("v.safetensors", "e"), ("no.safetensors", "d"), ("v.pt", "d")):
        assert "PD235" in codes(check(tmp_path, text.format(path, key, 1)))
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 40)
    assert "PD235" in codes(check(tmp_path, text.format("bad.safetensors", "d", 1)))
    save_file({"d": np.ones(7, np.float32)}, tmp_path / "short.safetensors")
    assert "PD235" in codes(check(tmp_path, text.format("short.safetensors", "d", 1)))
    outside = check(inside, text.format("../v.safetensors", "d", 1))
    assert "PD664" in codes(outside)
    free = check_file(outside.path, CheckOptions(allow_outside=True))
    assert free.judgement is not None


def test_the_method_says_what_was_done(tmp_path: Path) -> None:
    text = """intervene off { zero v(movers)  # both
  scale m0 = 0.5; set m2 = reference with inner }
intervene inner { scale m1 = 2.0 }
intervene unused { scale m1 = 0.5 }
claim c: mean(LD(reference with off)) < 100 at 95% confidence
"""
    said = check(tmp_path, text).methodology
    assert said["intervention off"] == (
        "zero v(movers); scale m0 = 0.5; set m2 = reference with inner"
    )
    assert said["intervention inner"] == "scale m1 = 2.0"
    assert "intervention unused" not in said


def test_runs_under_blocks_are_stored_and_found(tmp_path: Path) -> None:
    text = """intervene off {{ scale movers = {0} }}
claim c: mean(LD(reference with off)) < 100 at 95% confidence
"""
    path = tmp_path / "x.circuit"
    store = Store(tmp_path / "store")
    tallies = []
    for factor in ("0.5", "0.5", "0.25"):
        path.write_text(HEAD + text.format(factor))
        tally = check_file(str(path), CheckOptions(store=store)).tally
        assert tally is not None
        tallies.append((tally.computed > 0, tally.stored > 0))
    assert tallies == [(True, False), (False, True), (True, False)]


def test_faults_show_before_weights(tmp_path: Path) -> None:
    path = tmp_path / "x.circuit"
    for text, code in (
        ("intervene b { pattern(a3.h1@S1) = uniform(S2) }", "PD232"),
        ("intervene b { scale movers = 2.0; set a3.h1 = reference }", "PD231"),
        ("intervene b { scale a3.h1@NOWHERE = 2.0 }", "PD109"),
    ):
        path.write_text(HEAD + text + "\nlet x = mean(LD(reference with b))\n")
        with pytest.raises(PathdslError) as raised:
            plan_file(str(path), CheckOptions())
        assert code in [d.code for d in raised.value.diagnostics], text
    assert "row `mini_ioi" in "".join(
        d.message for d in check(tmp_path, "intervene b { pattern(a3.h1@S1) = uniform(S2) }\n"
                                 "let x = mean(LD(reference with b))\n").diagnostics
    )  # fmt: skip


def test_a_changed_block_is_a_changed_claim(tmp_path: Path) -> None:
    save_file({"d": np.ones(128, np.float32)}, tmp_path / "v.safetensors")
    text = """intervene s {{ scale movers = {0}; add r3 = vector("v.safetensors", key: "d") }}
claim c: mean(LD(reference with s)) > 0 at 95% confidence
"""
    paths = []
    for name, factor in (("a", "0.5"), ("b", "0.5"), ("c", "0.25")):
        paths.append(tmp_path / f"{name}.circuit")
        paths[-1].write_text(HEAD + text.format(factor))
    one, same, other = (load_program(str(path))[0] for path in paths)
    assert program_changes(one, same, None) == []
    changed = program_changes(one, other, None)
    assert [(c.kind, c.of) for c in changed] == [("changed", "intervention s")]


def test_a_block_without_actions_is_told(tmp_path: Path) -> None:
    run = "let x = mean(LD(reference with off))\n"
    assert "PD234" in codes(check(tmp_path, "intervene off { }\n" + run))
    assert "PD234" not in codes(check(tmp_path, "intervene off { scale m1 = 0.0 }\n" + run))


def test_frozen_norms_and_broken_answers_under_a_block(tmp_path: Path) -> None:
    """What is broken was right and no longer is; a file with frozen norms is judged twice."""
    text = """intervene off { scale movers = 0.0 }
metric right = top1(io)
let lost   = broken(reference, reference with off, answer: io)
let by_row = mean(right(reference) * (1 - right(reference with off)))
let part: logits = mean(LD(treat(through(a3.h1@END)) with off))
claim less: mean(LD(treat(through(a2)) with off)) < 10 at 95% confidence
"""
    path = tmp_path / "x.circuit"
    path.write_text(HEAD.replace("  positions", "  layernorm = frozen\n  positions") + text)
    frozen = check_file(str(path), CheckOptions())
    found, plain = numbers(frozen), numbers(check(tmp_path, text))
    assert found["lost"] == found["by_row"] == plain["lost"]
    assert frozen.judgement is not None and frozen.judgement.other_norms == {"ioi": "recompute"}
    assert "PD225" not in codes(frozen)


def test_actions_on_single_neurons(tmp_path: Path) -> None:
    text = """group few = { m3.n[0..63], m1.n5 }
intervene off   { scale few = 0.0 }
intervene at_0  { set few = zero }
intervene usual { set m3.n[0..63]@END = treated }
intervene as_is { set m2.n* = reference }
intervene apart { add {m3, except m3.n0} = mean(prompt) - mean(prompt); scale m3.n0 = 1.0 }
metric W = norm(m3)
let plain    = mean(LD(reference))
let silent   = mean(LD(reference with off))
let by_set   = mean(LD(reference with at_0))
let by_paths = mean(LD(treat(through(few), treated: zero)))
let usual_   = mean(LD(reference with usual))
let patched  = mean(LD(treat(through(m3.n[0..63]@END))))
let part     = mean(LD(treat(through(m3.n[0..63]@END), treated: reference with usual)))
let same_as  = mean(LD(reference with as_is))
let nothing  = mean(LD(reference with apart))
let knock for n in m3.n[0..1] = mean(LD(treat(through(n)) with off)) - mean(LD(reference with off))
let wider    = mean(W(reference with off) - W(reference))
"""
    found = numbers(check(tmp_path, text))
    for one, other in (
        ("silent", "by_set"), ("silent", "by_paths"), ("usual_", "patched"), ("usual_", "part"),
        ("plain", "same_as"), ("plain", "nothing"),
    ):  # fmt: skip
        assert found[one] == pytest.approx(found[other], abs=1e-4), one
    assert abs(found["silent"] - found["plain"]) > 1e-2 < abs(found["wider"])
    assert found["knock[m3.n0]"] == 0  # 0 whatever it reads


@pytest.mark.parametrize(
    "actions, code",
    [
        ("scale m3 = 2.0; scale m3.n1 = 0.0", "PD231"),
        ("scale m3.n[0..4] = 2.0; scale {m3, except m3.n[0..3]}@END = 0.0", "PD231"),
        ("set a3.h1 = m3.n5", "PD230"),
        ("set m3.n5 = m3.n6", "PD230"),
        ("set m3.n5 = r3", "PD230"),
        ('add m3.n5 = vector("v.safetensors", key: "d")', "PD230"),
        ('add {m3, except m3.n5} = vector("v.safetensors", key: "d")', "PD230"),
        ("zero v(m3.n5)", "PD230"),
        ("pattern(m3.n5) = uniform(S1)", "PD230"),
        ("scale m3.n99999 = 0.0", "PD205"),
        ("scale m3.n5 = 1.0", "PD234"),
        ("set m3.n5 = m3.n5", "PD234"),
    ],
)
def test_actions_that_neurons_do_not_have(tmp_path: Path, actions: str, code: str) -> None:
    text = f"intervene b {{ {actions} }}\nlet x = mean(LD(reference with b))\n"
    outcome = check(tmp_path, text)
    assert code in codes(outcome), [d.message for d in outcome.diagnostics]
