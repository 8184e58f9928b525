"""A file over the revisions of a model: the numbers of each alone, made once, holes told."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

import pathdsl
from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.training.revisions import read_revisions
from pathdsl.checking.training.series import Series, judge_series
from pathdsl.engine import lazy_model
from pathdsl.engine.data import prepare as rows
from pathdsl.engine.load.source import ModelSource, parse_override
from pathdsl.engine.store.store import Store
from pathdsl.errors import ExitCode
from pathdsl.lang.lint import lint_file
from pathdsl.models import bundled
from pathdsl.report.text.style import View
from pathdsl.report.text.training import training_object, training_report
from pathdsl.score.results import Verdict

SERIES = "reuse-mini-step-300,reuse-mini-step-500,reuse-mini-step-900"
TEXT = """circuit first "Names" { language = 1 }
model m = bundled("reuse-mini")
task names { data = mini_ioi(take: 60, seed: 0); reference = prompt; treated = prompt_abc }
group readers @END = { a1.h1, a1.h2, a1.h3 }
metric NAME: logits = logit(io) - logit(s)
let right = accuracy(reference, answer: io)
let of for h in readers: logits = effect(through(h), metric: NAME)
claim late: emerges(accuracy(reference, answer: io) >= 80%) <= 900 at 95% confidence
claim each for h in readers: emerges(of[h] < 0.5) <= 300 at 95% confidence by holm()
claim good: mean(NAME(reference)) > -5 at 95% confidence
claim control: mean(NAME(reference)) > 100 at 95% confidence expect refuted
"""


def judged(tmp_path: Path, revisions: str, text: str = TEXT, **options: object) -> Series:
    path = tmp_path / "first.circuit"
    path.write_text(text)
    program, faults = lint_file(str(path))
    asked = CheckOptions(**options)  # type: ignore[arg-type]
    return judge_series(program, faults, read_revisions(revisions, program, asked), asked)


def test_each_revision_has_the_numbers_of_a_check_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    held: list[lazy_model.LazyModel] = []
    released: list[bool] = []
    load = lazy_model.load

    def counted(source: ModelSource, *more: object, **named: object) -> object:
        released.append(not any(one.loaded for one in held))
        loaded.append(source.location)
        return load(source, *more, **named)  # type: ignore[arg-type]

    made: list[int] = []
    init = lazy_model.LazyModel.__init__

    def noted(self: lazy_model.LazyModel, *more: object, **named: object) -> None:
        held.append(self)
        init(self, *more, **named)  # type: ignore[arg-type]

    prepare_tasks = rows.prepare_tasks

    def once(*more: object, **named: object) -> object:
        made.append(1)
        return prepare_tasks(*more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(lazy_model, "load", counted)
    monkeypatch.setattr(lazy_model.LazyModel, "__init__", noted)
    monkeypatch.setattr(rows, "prepare_tasks", once)
    found = judged(tmp_path, SERIES)
    assert loaded == SERIES.split(",") and released == [True] * 3
    assert len(made) == found.prepared == 1
    assert not any(one.loaded for one in held)
    monkeypatch.undo()
    for i, name in enumerate(SERIES.split(",")):
        text = "\n".join(line for line in TEXT.splitlines() if "emerges" not in line)
        path = tmp_path / "alone.circuit"
        path.write_text(text)
        _, source = parse_override(f"m=bundled:{name}")
        alone = check_file(str(path), CheckOptions(models={"m": source})).judgement
        assert alone is not None
        tracks = {track.name: track.results[i] for track in found.quantities}
        assert {one.name: one for one in alone.quantities} == {
            name: replace(one, claimed=False) if one is not None else None
            for name, one in tracks.items()
        }
        claims = {track.name: track.results[i] for track in found.claims}
        assert {one.name: one.interval for one in alone.claims} == {
            name: one.interval for name, one in claims.items() if one is not None
        }


def test_members_and_exit_codes(tmp_path: Path) -> None:
    found = judged(tmp_path, SERIES)
    by_name = {one.name: one for one in found.emergences}
    assert [*by_name] == ["late", "each[a1.h1@END]", "each[a1.h2@END]", "each[a1.h3@END]"]
    assert by_name["late"].verdict is Verdict.SUPPORTED and by_name["late"].lower == 900
    assert all(one.level is not None and one.level > 1 - 0.05 / 3 for name, one in by_name.items()
               if name.startswith("each"))  # fmt: skip
    assert [track.name for track in found.claims] == ["good", "control"]
    assert found.exit_code is ExitCode.AS_EXPECTED
    only = judged(tmp_path, SERIES, only="late")
    assert [one.name for one in only.emergences] == ["late"] and not only.quantities
    assert only.exit_code is ExitCode.AS_EXPECTED
    assert only.emergences[0] == by_name["late"]
    member = judged(tmp_path, SERIES, only="each[a1.h2]")
    assert [one.name for one in member.emergences] == ["each[a1.h2@END]"]
    same = by_name["each[a1.h2@END]"]  # corrected for all; another plan rounds otherwise
    assert member.emergences[0].level == pytest.approx(same.level, abs=1e-4)
    assert member.emergences[0].lower == same.lower


def test_the_same_bits_with_a_store_and_without(tmp_path: Path) -> None:
    plain = judged(tmp_path, SERIES)
    with Store(tmp_path / "store") as store:
        first, second = (judged(tmp_path, SERIES, store=store) for _ in range(2))
    assert plain.emergences == first.emergences == second.emergences
    assert plain.quantities == first.quantities == second.quantities
    assert all(not one.outcome.costs for one in second.steps)  # nothing was computed again


def test_a_revision_that_cannot_be_loaded_is_a_hole(tmp_path: Path) -> None:
    for step in (300, 500, 900):
        shutil.copytree(bundled(f"reuse-mini-step-{step}"), tmp_path / f"ckpt-{step}")
    weights = tmp_path / "ckpt-500" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    _, source = parse_override(f"m=folder:{tmp_path / 'ckpt-300'}")
    found = judged(tmp_path, f"{tmp_path}/ckpt-*", models={"m": source})
    assert [one.revision.step for one in found.steps] == [300, 500, 900]
    assert [one.judged for one in found.steps] == [True, False, True]
    assert "PD609" in found.steps[1].why and found.prepared == 1
    late = found.emergences[0]
    assert (late.lower, late.upper) == (500, 900) and late.verdict is Verdict.SUPPORTED
    assert any("not judged" in note for note in late.notes)
    assert found.exit_code is ExitCode.MACHINE_FAILED
    text = TEXT.replace("<= 900", "<= 500")
    assert (
        judged(tmp_path, f"{tmp_path}/ckpt-*", text, models={"m": source}).emergences[0].verdict
        is Verdict.INCONCLUSIVE
    )


def test_other_tokenizers_are_prepared_on_their_own(tmp_path: Path) -> None:
    for step in (300, 900):
        shutil.copytree(bundled(f"reuse-mini-step-{step}"), tmp_path / f"ckpt-{step}")
    other = tmp_path / "ckpt-900" / "tokenizer_config.json"
    other.write_text(other.read_text() + "\n")
    _, source = parse_override(f"m=folder:{tmp_path / 'ckpt-300'}")
    found = judged(tmp_path, f"{tmp_path}/ckpt-*", models={"m": source})
    assert found.prepared == 2 and all(one.judged for one in found.steps)


def test_rows_chosen_by_the_model_are_chosen_at_each_revision(tmp_path: Path) -> None:
    text = TEXT.replace(
        "group readers",
        "metric OK = top1(io)\ntask known = names where OK(reference) == 1\ngroup readers",
    ).replace(
        "emerges(accuracy(reference, answer: io)",
        "emerges(mean(OK(keep(through(readers)), task: known))",
    )
    text = "\n".join(
        line
        for line in text.splitlines()
        if not line.startswith(("let", "claim each", "claim good", "claim control"))
    )
    found = judged(tmp_path, "reuse-mini-step-700,reuse-mini-step-900", text)
    assert [one.judged for one in found.steps] == [True, True]
    sizes = [one.outcome.tasks["known"].n_rows for one in found.steps]
    assert sizes[0] < sizes[1] == 60
    level = found.emergences[0].level
    assert level is not None and level >= 1 - 0.05 / 2 - 1e-12  # other rows: Bonferroni


def test_the_file_of_several_models(tmp_path: Path) -> None:
    text = """circuit two "Two" { language = 1 }
model a = bundled("reuse-mini")
model b = bundled("reuse-mini-step-300")
task names {
  data      = mini_ioi(take: 60, seed: 0)
  reference = prompt
  treated   = prompt_abc
  model     = a
}
task others = names { model = b }
let late  = accuracy(reference, task: names, answer: io)
let early = accuracy(reference, task: others, answer: io)
claim better: emerges(early - late < -50%) <= 300 at 95% confidence
"""
    found = judged(tmp_path, f"b={SERIES}", text)
    assert found.varied.model == "b" and found.prepared == 1
    assert [one.verdict for one in found.emergences[0].steps] == [
        Verdict.SUPPORTED, Verdict.SUPPORTED, Verdict.REFUTED,
    ]  # fmt: skip
    assert found.emergences[0].verdict is Verdict.REFUTED
    with pytest.raises(ValueError, match="say which one is varied, `--revisions a="):
        judged(tmp_path, SERIES, text)


@pytest.mark.parametrize(
    ("revisions", "steps"),
    [
        ("step0..step3000:1000", [0, 1000, 2000, 3000]),
        ("step0..2500:1000", [0, 1000, 2000, 2500]),
        ("step8..step10", [8, 9, 10]),
        ("iter-0008-hf..iter-0010-hf", [8, 9, 10]),
        ("step512, step0,main:143000", [0, 512, 143000]),
        ("stage1-step1000-tokens5B,stage1-step2000-tokens9B", [1000, 2000]),
        ("m=step1,step1,step2", [1, 2]),
    ],
)
def test_names_of_the_hub(tmp_path: Path, revisions: str, steps: list[int]) -> None:
    path = tmp_path / "hub.circuit"
    path.write_text('circuit c "C" { language = 1 }\nmodel m = hf("EleutherAI/pythia-70m")\n')
    program, _ = lint_file(str(path))
    found = read_revisions(revisions, program, CheckOptions())
    assert found.steps == steps
    assert all(one.source.revision == one.name for one in found.revisions)
    if "iter" in revisions:
        assert found.revisions[0].name == "iter-0008-hf"


@pytest.mark.parametrize(
    ("revisions", "told"),
    [
        ("main,step1", "`main` has no number: give its step, `main:STEP`"),
        ("a1b2,step1", "several: give its step"),
        ("step1,x1", "both of step 1"),
        ("step1", "one revision: `--model m=hf:EleutherAI/pythia-70m@step1` checks it alone"),
        ("step*", "the hub is not asked"),
        ("step5..step1", "runs backwards"),
        ("step0..step143000", "widen its stride"),
        ("step0..iter10:5", "no range"),
        ("step0..step10:0", "stands still"),
        ("n=step0,step1", "no model `n`"),
        ("step0,,step1", "a revision is missing"),
    ],
)
def test_what_is_no_series(tmp_path: Path, revisions: str, told: str) -> None:
    path = tmp_path / "hub.circuit"
    path.write_text('circuit c "C" { language = 1 }\nmodel m = hf("EleutherAI/pythia-70m")\n')
    program, _ = lint_file(str(path))
    with pytest.raises(ValueError) as caught:
        read_revisions(revisions, program, CheckOptions())
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("checkpoint-1000", 1000), ("step1000-main", 1000), ("ckpt_4000.pth", 4000),
        ("epoch=3-step=1000", 1000), ("v1.5-step200-tokens5B", 200), ("global_step0", 0),
        ("step10k", "`step10k` of `step10k` is no whole number"), ("step1e5", "`step1e5` of"),
        ("step0.5", "`step0.5` of"), ("tokens-10B", "`10B` of"), ("step5_step6", "and several"),
        ("epoch3-batch4", "and several"), ("last", "has no number"),
    ],
)  # fmt: skip
def test_steps_by_name(tmp_path: Path, name: str, step: int | str) -> None:
    path = tmp_path / "hub.circuit"
    path.write_text('circuit c "C" { language = 1 }\nmodel m = hf("EleutherAI/pythia-70m")\n')
    program, _ = lint_file(str(path))
    if isinstance(step, int):
        assert step in read_revisions(f"m={name},other:99", program, CheckOptions()).steps
        return
    with pytest.raises(ValueError) as caught:
        read_revisions(f"{name},other:99", program, CheckOptions())
    assert step in str(caught.value) and f"`{name}:STEP`" in str(caught.value)


def test_a_converted_checkpoint_has_the_number_that_it_was_converted_with(tmp_path: Path) -> None:
    path = tmp_path / "toy.circuit"
    path.write_text('circuit c "C" { language = 1 }\nmodel m = folder("a")\n')
    program, _ = lint_file(str(path))
    for name, number in (("run2", 4000), ("a", 500), ("step7", 900)):
        (tmp_path / name).mkdir()
        note = {"model_type": "pathdsl_toy", "converted": {"checkpoint": number}}
        (tmp_path / name / "config.json").write_text(json.dumps(note))
    asked = ",".join(f"{tmp_path}/{name}" for name in ("run2", "a", "step7"))
    found = read_revisions(asked, program, CheckOptions())
    assert [(Path(one.name).name, one.step) for one in found.revisions] == [
        ("step7", 7), ("a", 500), ("run2", 4000),
    ]  # fmt: skip


def test_a_revision_of_another_shape_is_named(tmp_path: Path) -> None:
    found = judged(tmp_path, f"{SERIES},ioi-mini:1000")
    assert [at.revision.name for at in found.misshapen] == ["ioi-mini"]
    told = training_report(found, View(width=100))
    assert "of another shape than most revisions: `ioi-mini` (step 1000)" in told
    assert training_object(found)["other_shape"] == [1000]


def test_few_prompts_do_not_define_what_a_denominator_leaves_undefined(tmp_path: Path) -> None:
    """Above 95% few prompts have no interval, and so none that holds 0."""
    text = TEXT.replace("take: 60", "take: 10").replace(
        "claim late: emerges(accuracy(reference, answer: io) >= 80%)",
        "claim late: emerges(faithfulness(through(readers)) >= 50%)",
    )
    (late,) = judged(
        tmp_path, "reuse-mini-step-300,reuse-mini-step-900", text, only="late"
    ).emergences
    assert late.steps[0].verdict is Verdict.UNDEFINED and late.estimate == 900
    assert late.steps[1].verdict is Verdict.INCONCLUSIVE


def test_an_interrupt_while_garbage_is_collected_is_not_lost() -> None:
    class Held:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            _ = [i for i in range(1000)]  # somewhere in here the handler runs

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        circle: list[object] = [Held()]
        circle.append(circle)
        del circle
        with pytest.raises(KeyboardInterrupt):
            lazy_model.collect()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_from_python(tmp_path: Path) -> None:
    path = tmp_path / "first.circuit"
    path.write_text(TEXT)
    found = pathdsl.check_revisions(path, SERIES, take=20)
    series = judged(tmp_path, SERIES, overrides={"take": 20})
    assert found.to_dict() == training_object(series)
    assert [at.revision.step for at in found.steps] == [300, 500, 900]
    assert found.exit_code is series.exit_code
    assert found.diagnostics == series.diagnostics
    assert found["late"] == series.emergences[0] == found.claims["late"]
    assert [one and one.n for one in found["right"].results] == [20, 20, 20]
    assert str(found).splitlines()[0] == str(path) and "3 of 3" in repr(found)
    with pytest.raises(KeyError, match=r"rigth.*`right`"):
        found["rigth"]
    with pytest.raises(ValueError, match="both of step 300"):
        pathdsl.check_revisions(path, "reuse-mini-step-300,reuse-mini:300")
    with pytest.raises(TypeError, match="wanted a text"):
        pathdsl.check_revisions(path, ["a", "b"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`only='lat'`"):
        pathdsl.check_revisions(path, SERIES, only="lat")
    path.write_text(TEXT.replace("a1.h1", "a1.h1 +"))
    with pytest.raises(pathdsl.LanguageError, match="PD0"):
        pathdsl.check_revisions(path, SERIES)
