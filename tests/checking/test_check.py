"""`check_file` end to end on bundled models: exit codes, what is recorded, what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pathdsl.checking.check import check_file, exit_code
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.engine import self_check
from pathdsl.engine.load.source import parse_override
from pathdsl.engine.planner import Limits
from pathdsl.errors import ExitCode, Severity

QUICK = Path(__file__).resolve().parents[2] / "hypotheses" / "quickstart"

HEAD = """
circuit c { language = 1 }
model toy = bundled("induction-2l")
task copy {
  data      = induction(take: 40, seed: 0)
  reference = prompt
  treated   = prompt_other
  positions = [FIRST_A, FIRST_B]
}
path main = a1.h2@END -> logits
metric LD: logits = logit(answer) - logit(wrong)
"""
GOOD = 'claim good: mean(LD(reference) - LD(treat(main))) > 1 at 95% confidence "it writes"\n'
BAD = "claim bad: mean(LD(reference) - LD(treat(main))) < 0 at 95% confidence\n"


def check(folder: Path, text: str, **options: object) -> FileOutcome:
    path = folder / "x.circuit"
    path.write_text(HEAD + text)
    return check_file(str(path), CheckOptions(**options))  # type: ignore[arg-type]


def errors(outcome: FileOutcome) -> list[str]:
    return [d.code for d in outcome.diagnostics if d.severity is Severity.ERROR]


def test_claims_that_hold(tmp_path: Path) -> None:
    outcome = check(tmp_path, GOOD + "let size: logits = mean(LD(reference))\n")
    assert outcome.exit_code is ExitCode.AS_EXPECTED and not errors(outcome)
    assert outcome.judgement is not None and outcome.session is not None
    assert [(c.name, str(c.verdict)) for c in outcome.judgement.claims] == [("good", "supported")]
    assert [q.name for q in outcome.judgement.quantities] == ["size"]
    assert {p.code for _, p in outcome.proofs} == {"PD630", "PD631", "PD632", "PD633", "PD634"}
    assert outcome.tasks["copy"].n_rows == 40
    assert len(outcome.plans) == len(outcome.costs) >= 1 and outcome.seconds > 0


def test_a_claim_that_does_not(tmp_path: Path) -> None:
    assert check(tmp_path, GOOD + BAD).exit_code is ExitCode.NOT_AS_EXPECTED
    turned = BAD.replace("confidence", "confidence expect refuted")
    assert check(tmp_path, GOOD + turned).exit_code is ExitCode.AS_EXPECTED


def test_an_inconclusive_claim_may_be_excused(tmp_path: Path) -> None:
    """Below 30 prompts a constant sample has no interval."""
    few = {"take": 20}
    strict = check(tmp_path, GOOD, overrides=few)
    assert strict.judgement is not None
    assert str(strict.judgement.claims[0].verdict) == "inconclusive"
    assert strict.exit_code is ExitCode.NOT_AS_EXPECTED
    excused = check(tmp_path, GOOD, overrides=few, allow_inconclusive=True)
    assert excused.exit_code is ExitCode.AS_EXPECTED
    assert exit_code(strict.judgement, True) is ExitCode.AS_EXPECTED


def test_nothing_to_check(tmp_path: Path) -> None:
    assert check(tmp_path, "").exit_code is ExitCode.NOTHING_TO_CHECK
    only_let = check(tmp_path, "let d: logits = mean(LD(reference))\n")
    assert only_let.exit_code is ExitCode.AS_EXPECTED
    assert only_let.judgement is not None and only_let.judgement.quantities[0].estimate is not None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("a1.h2@END -> logits", "a9.h2@END -> logits"), "PD205"),
        (("a1.h2@END -> logits", "a1.h2@END -> a0.h1"), "PD201"),
        (("a1.h2@END", "m1.n99999@END"), "PD205"),
        (("logit(wrong)", "logit(nothing)"), "PD301"),
        (("take: 40", "take: 0"), ""),
        (("treated   = prompt_other", "treated   = prompt_missing"), "PD301"),
        (("[FIRST_A, FIRST_B]", "[FIRST_C]"), "PD335"),
        (("treated   = prompt_other\n", ""), "PD302"),
        (('bundled("induction-2l")', 'bundled("no-such")'), "PD613"),
    ],
)
def test_wrong_files(tmp_path: Path, change: tuple[str, str], code: str) -> None:
    path = tmp_path / "x.circuit"
    assert change[0] in HEAD
    path.write_text(HEAD.replace(*change) + GOOD)
    outcome = check_file(str(path), CheckOptions())
    assert outcome.exit_code is ExitCode.WRONG_INPUT
    assert errors(outcome) and outcome.judgement is None
    assert not code or code in errors(outcome)
    assert all(d.message for d in outcome.diagnostics)


def test_what_no_intervention_executes_is_refused(tmp_path: Path) -> None:
    text = "intervene off { set m0 = input }\n"
    text += "claim c: mean(LD(treat(through(m0.n3)) with off)) > 0 at 95% confidence\n"
    outcome = check(tmp_path, text)
    assert outcome.exit_code is ExitCode.WRONG_INPUT and "PD225" in errors(outcome)
    found = next(d for d in outcome.diagnostics if d.code == "PD225")
    assert found.span is not None
    assert (HEAD + text)[found.span.start : found.span.end] == "set m0 = input"


def test_faults_of_the_file_stop_before_weights_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pathdsl.engine.load.weights as load

    def refuse(*_: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(load, "load", refuse)
    outcome = check(tmp_path, GOOD.replace("treat(main)", "treat(a1.h2 -> a0.h1)"))
    assert outcome.exit_code is ExitCode.WRONG_INPUT


def test_a_fault_of_the_data_is_told_for_the_whole_task_and_not_for_its_parts(
    tmp_path: Path,
) -> None:
    rows = (
        '{"prompt": [1, 2], "prompt_other": [2, 1, 3], "answer": 1, "wrong": 2, "kind": "a"}\n'
        '{"prompt": [1, 2], "prompt_other": [2, 1], "answer": 1, "wrong": 2, "kind": "b"}\n'
    )
    (tmp_path / "rows.jsonl").write_text(rows)
    task = """
task part = whole where kind == "a"
task rest = whole where kind == "c"
task whole { data = jsonl("rows.jsonl"); reference = prompt; treated = prompt_other }
metric LD2 on part = rank(answer)
let first = mean(LD2(reference))
"""  # `part` stands before the task that it is a part of, and `rest` has a fault of its own
    good = "let second: logits = mean(LD(reference, task: copy))"
    found = check(tmp_path, good + task).diagnostics
    told = [(d.code, d.message.partition(":")[0]) for d in found if d.severity is Severity.ERROR]
    assert told == [("PD324", "task `rest`"), ("PD334", "task `whole`")]


def test_limits_refuse_by_name(tmp_path: Path) -> None:
    outcome = check(tmp_path, GOOD, limits=Limits(max_copies=2))
    assert outcome.exit_code is ExitCode.WRONG_INPUT and errors(outcome) == ["PD211"]
    wide = GOOD.replace("treat(main)", "treat(input (-> any){1,3} -> attn)")
    outcome = check(tmp_path, wide, limits=Limits(max_states=2))
    assert outcome.exit_code is ExitCode.WRONG_INPUT and "PD210" in errors(outcome)


def test_only_one_claim(tmp_path: Path) -> None:
    outcome = check(tmp_path, GOOD + BAD, only="good")
    assert outcome.exit_code is ExitCode.AS_EXPECTED and outcome.judgement is not None
    assert [c.name for c in outcome.judgement.claims] == ["good"]
    assert outcome.methodology["only"] == "good"


def test_overrides_are_said(tmp_path: Path) -> None:
    plain = check(tmp_path, GOOD)
    changed = check(tmp_path, GOOD, overrides={"take": 6, "seed": 3})
    assert changed.tasks["copy"].n_rows == 6 and plain.tasks["copy"].n_rows == 40
    assert changed.tasks["copy"].key != plain.tasks["copy"].key
    said = changed.methodology["not the published scope"]
    assert said == "take=6, seed=3 set on the command line"
    assert "not the published scope" not in plain.methodology
    assert "6 prompts" in changed.methodology["task copy"]


def test_the_methodology_says_every_choice(tmp_path: Path) -> None:
    said = check(tmp_path, GOOD).methodology
    assert said["model"] == 'bundled("induction-2l")'
    assert said["treated copy"] == "prompt_other"
    assert (said["norm copy"], said["average copy"]) == ("recomputed", "ratio_of_means")
    assert said["dtype"] == "float32" and said["device"] == "cpu" and said["attention"]
    assert said["positions"] == "END" and said["units"] == "logits"
    assert "special tokens" in said["task copy"] and "studentised" in said["intervals"]


def test_another_model_in_its_place(tmp_path: Path) -> None:
    from pathdsl.models import bundled

    shutil.copytree(bundled("induction-2l"), tmp_path / "copy")
    name, source = parse_override(f"toy=folder:{tmp_path / 'copy'}")
    outcome = check(tmp_path, GOOD, models={name: source})
    assert outcome.exit_code is ExitCode.AS_EXPECTED
    assert "replaced" in outcome.methodology and "copy" in outcome.methodology["model"]
    gone = parse_override(f"toy=folder:{tmp_path / 'gone'}")[1]
    assert errors(check(tmp_path, GOOD, models={"toy": gone})) == ["PD600"]


def test_equal_checks_have_equal_bits(tmp_path: Path) -> None:
    one, two = check(tmp_path, GOOD + BAD), check(tmp_path, GOOD + BAD)
    assert one.judgement == two.judgement
    small = check(tmp_path, GOOD + BAD, limits=Limits(memory=1))
    assert small.judgement is not None and one.judgement is not None
    for a, b in zip(small.judgement.claims, one.judgement.claims, strict=True):
        assert a.estimate == pytest.approx(b.estimate, abs=1e-4) and a.verdict == b.verdict


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: "
                                 "can't allocate memory: you tried to allocate 9 bytes.")],
    ids=["python", "torch"],
)  # fmt: skip
def test_memory_that_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    from pathdsl.engine.run import runner

    def exhausted(*_: object) -> None:
        raise error

    monkeypatch.setattr(runner, "execute", exhausted)
    monkeypatch.setattr(self_check, "execute", exhausted)
    outcome = check(tmp_path, GOOD)
    assert outcome.exit_code is ExitCode.MACHINE_FAILED and errors(outcome) == ["PD635"]
    (found,) = [d for d in outcome.diagnostics if d.code == "PD635"]
    assert "--memory" in found.help and "--only" in found.help


def test_other_errors_are_not_swallowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathdsl.engine.run import runner

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(runner, "execute", broken)
    monkeypatch.setattr(self_check, "execute", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        check(tmp_path, GOOD)


def test_a_model_that_fails_its_proofs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathdsl.engine.adapters.gpt2 import Gpt2Adapter

    unembed = Gpt2Adapter.unembed
    monkeypatch.setattr(Gpt2Adapter, "unembed", lambda *a: 1.01 * unembed(*a))
    outcome = check(tmp_path, GOOD)
    assert outcome.exit_code is ExitCode.MACHINE_FAILED
    assert "PD630" in errors(outcome) and outcome.judgement is None
    assert any("task `copy`" in d.message for d in outcome.diagnostics)


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    check(tmp_path, GOOD, progress=lambda *said: told.append(said))
    assert told and told[-1][1] == told[-1][2]


@pytest.mark.parametrize("name", ["induction", "wrong"])
def test_files_of_the_quickstart(name: str) -> None:
    outcome = check_file(str(QUICK / f"{name}.circuit"), CheckOptions(overrides={"take": 48}))
    assert outcome.exit_code is ExitCode.AS_EXPECTED
    assert all(proof.holds for _, proof in outcome.proofs)


def test_knockouts_that_are_stated_of_nodes_outside_of_the_circuit(tmp_path: Path) -> None:
    """They were left out without a word, so that the unit was judged given nothing."""
    text = "path inner = within(a1.h2@END, a1.h1)\n"
    outcome = check(tmp_path, text + "let x = minimality(inner, given: { a1.h2: {a0.h1, m1} })\n")
    (found,) = [d for d in outcome.diagnostics if d.code == "PD429"]
    assert "`inner`" in found.message and found.span is not None
    sound = check(tmp_path, text + "let x = minimality(inner, given: { a1.h2: a1.h1 })\n")
    assert "PD429" not in errors(sound)
