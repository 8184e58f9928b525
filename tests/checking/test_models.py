"""Several models in a file and derived tasks: the numbers as apart, and one model at a time."""

from __future__ import annotations

import gc
import json
import re
import weakref
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from pathdsl.checking.breaking.claims import program_changes
from pathdsl.checking.check import check_file
from pathdsl.checking.lock.contents import lock_of
from pathdsl.checking.lock.drift import compare
from pathdsl.checking.lock.file import dumped
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.checking.planned import plan_file
from pathdsl.checking.prepare import prepare, shape_at_hand
from pathdsl.engine.lazy_model import LazyModel
from pathdsl.engine.store.store import Store
from pathdsl.errors import ExitCode, PathdslError
from pathdsl.lang.program import load_program
from pathdsl.report.data.result import check_object, dump, file_object, schema
from pathdsl.report.text.check import report
from pathdsl.report.text.style import View

BASE = 'model base  = bundled("ioi-mini")\n'
TUNED = 'model tuned = bundled("ioi-mini-tuned")\n'
CIRCUIT = "circuit two { language = 1 }\n"
TASK = """task ioi {
  data      = mini_ioi(take: 40, seed: 0, split: names)
  reference = prompt
  treated   = prompt_abc
  positions = [IO, S1, S2]
%s}
"""
ON_BASE = TASK % "  model     = base\n"
DERIVED = "task ioi_tuned = ioi { model = tuned }\n"
REST = """metric LD: logits = logit(io) - logit(s)
path main = through(a3.h1@END, a3.h2@END)
"""
HEAD = CIRCUIT + BASE + TUNED + ON_BASE + DERIVED + REST
OF_EACH = """
let share_NAME = faithfulness(main, task: TASK)
let size_NAME: logits = mean(LD(treat(main), task: TASK))
let searched_NAME = completeness(main, knockouts: greedy(steps: 2, sample: 2), task: TASK)
claim right_NAME: accuracy(reference, task: TASK, answer: io) >= 50% at 95% confidence
"""


def of_each(name: str, task: str) -> str:
    return OF_EACH.replace("NAME", name).replace("TASK", task)


def check(folder: Path, text: str, **options: object) -> FileOutcome:
    path = folder / "x.circuit"
    path.write_text(text)
    outcome = check_file(str(path), CheckOptions(**options))  # type: ignore[arg-type]
    assert outcome.judgement is not None, [d.message for d in outcome.diagnostics]
    return outcome


def codes(folder: Path, text: str) -> dict[str, str]:
    """The faults of a file by their codes, with what is to be done."""
    path = folder / "x.circuit"
    path.write_text(text)
    outcome = check_file(str(path), CheckOptions())
    return {d.code: f"{d.message} | {d.help}" for d in outcome.diagnostics if d.severity == "error"}


def estimates(outcome: FileOutcome) -> dict[str, object]:
    assert outcome.judgement is not None
    both = (*outcome.judgement.quantities, *outcome.judgement.claims)
    return {one.name: (one.estimate, one.interval, one.n) for one in both}


def test_two_models_in_a_file_give_what_they_give_apart(tmp_path: Path) -> None:
    whole = check(tmp_path, HEAD + of_each("one", "ioi") + of_each("two", "ioi_tuned"))
    found = estimates(whole)
    for name, model in (("one", BASE), ("two", TUNED)):
        alone = check(tmp_path, CIRCUIT + model + TASK % "" + REST + of_each(name, "ioi"))
        own = estimates(alone)
        assert own and {key: found[key] for key in own} == own  # every bit
    assert found["share_one"] != found["share_two"]


def test_one_set_of_weights_is_in_memory_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[object]] = []
    most = [0]
    load = LazyModel._load

    def counted(self: LazyModel) -> None:
        self.turns.take(self)  # as loading does first
        gc.collect()
        most[0] = max(most[0], 1 + sum(one() is not None for one in alive))
        load(self)
        assert self._loaded is not None
        alive.append(weakref.ref(self._loaded.adapter))

    monkeypatch.setattr(LazyModel, "_load", counted)
    text = HEAD.replace("treated   =", "layernorm = frozen\n  treated   =")
    both = of_each("one", "ioi") + of_each("two", "ioi_tuned")
    check(tmp_path, text + both, both_norms=True)
    assert len(alive) >= 2 and most[0] == 1
    store = Store(tmp_path / "store")
    for _ in range(2):
        alive.clear()
        check(tmp_path, HEAD + both, store=store)
        assert most[0] == 1
    assert not alive  # all values are stored: no weights are read


def test_a_round_without_searches_loads_each_model_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = LazyModel._load

    def noted(self: LazyModel) -> None:
        loaded.append(self.source.name)
        load(self)

    monkeypatch.setattr(LazyModel, "_load", noted)
    check(
        tmp_path,
        HEAD + "let d = mean(LD(treat(main), task: ioi) - LD(treat(main), task: ioi_tuned))",
    )
    assert sorted(loaded) == ["base", "tuned"]


def test_a_derived_task_pairs_with_its_parent_by_row(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
let pairs: logits = mean(LD(reference, task: ioi_tuned) - LD(reference, task: ioi))
let apart: logits = mean(LD(reference, task: ioi_tuned)) - mean(LD(reference, task: ioi))
"""
    )
    outcome = check(tmp_path, text)
    session = outcome.session
    assert session is not None and outcome.judgement is not None
    found = {one.name: one for one in outcome.judgement.quantities}
    logits = {}
    for run, measures in session.asked.items():
        by_column = {m.column: session.value(run, m)[0] for m in measures}
        logits[run.task] = by_column["io"] - by_column["s"]
    apart = logits["ioi_tuned"] - logits["ioi"]
    for name in ("pairs", "apart"):  # the means apart are resampled together
        assert found[name].estimate == pytest.approx(apart.mean(), abs=1e-12)
        low, high = found[name].interval or (0.0, 0.0)
        t = 2.0227  # Student's 97.5 % of 39
        error = t * apart.std(ddof=1) / np.sqrt(len(apart))
        assert (low, high) == pytest.approx((apart.mean() - error, apart.mean() + error), rel=0.2)
    assert outcome.tasks["ioi"].row_ids == outcome.tasks["ioi_tuned"].row_ids


def test_a_derived_task_of_one_model_differs_in_its_field_alone(tmp_path: Path) -> None:
    one = CIRCUIT + BASE + TASK % "" + "task frozen = ioi { layernorm = frozen }\n" + REST
    one += "let d: logits = mean(LD(treat(main), task: frozen) - LD(treat(main), task: ioi))\n"
    one += "let f: logits = mean(LD(treat(main), task: frozen))\n"
    one += "let z: logits = mean(LD(treat(main), task: zeroed))\n"
    one += 'task zeroed = frozen where order == "abba" { treated = zero }\n'
    outcome = check(tmp_path, one)
    declared = TASK % "  layernorm = frozen\n"
    own = check(
        tmp_path, CIRCUIT + BASE + declared + REST + "let f: logits = mean(LD(treat(main)))"
    )
    assert estimates(outcome)["f"] == estimates(own)["f"]
    specs = outcome.session.planner.specs  # type: ignore[union-attr]
    assert (specs["zeroed"].layernorm, str(specs["zeroed"].treated)) == ("frozen", "zero")
    assert 0 < outcome.tasks["zeroed"].n_rows < 40
    estimate, interval, _ = estimates(outcome)["d"]  # type: ignore[misc]
    assert estimate != 0 and interval is not None


def test_tasks_on_one_file_pair_where_their_reference_columns_differ(tmp_path: Path) -> None:
    other = TASK % "" + (TASK % "").replace("task ioi", "task swapped").replace(
        "= prompt\n", "= prompt_swap\n"
    )
    text = CIRCUIT + BASE + other + REST
    text += "let d: logits = mean(LD(reference, task: ioi) - LD(reference, task: swapped))\n"
    found = estimates(check(tmp_path, text))
    assert found["d"][2] == 40  # type: ignore[index]


def test_rows_of_other_draws_do_not_pair(tmp_path: Path) -> None:
    text = HEAD + (ON_BASE.replace("task ioi", "task other").replace("seed: 0", "seed: 1"))
    text += "let d: logits = mean(LD(reference, task: ioi_tuned) - LD(reference, task: other))\n"
    assert "take the means first" in codes(tmp_path, text)["PD427"]


def test_a_loop_ranges_over_the_model_of_its_tasks(tmp_path: Path) -> None:
    small = (
        'model small = bundled("induction-2l")\n'
        + """task copy {
  data      = induction(take: 20, seed: 0)
  reference = prompt
  treated   = prompt_other
  model     = small
}
metric right: logits = logit(answer) - logit(wrong)
"""
    )
    head = CIRCUIT + BASE + ON_BASE + small + REST
    text = """
let of_base for h in attn: logits = effect(through(h), task: ioi, metric: LD)
let of_small for h in attn: logits = effect(through(h), task: copy, metric: right)
let counted = size(through(attn), in: node, task: copy)
claim both: SIZE < OTHER at 95% confidence
"""
    text = head + text.replace("SIZE", "effect(through(a3.h1), task: ioi, metric: LD)")
    text = text.replace("OTHER", "effect(through(a1.h0), task: copy, metric: right)")
    found = estimates(check(tmp_path, text))
    assert sum(name.startswith("of_base[") for name in found) == 16
    assert sum(name.startswith("of_small[") for name in found) == 6
    both = (
        "effect(through(h), task: ioi, metric: LD) + effect(through(h), task: copy, metric: right)"
    )
    assert "a0.h3" in codes(tmp_path, head + f"let x for h in attn: logits = {both}\n")["PD239"]
    unclear = codes(tmp_path, head + "let x = size(through(attn), in: node)\n")
    assert "`task: " in unclear["PD239"]
    lone = "let x: logits = effect(through(a3.h1), task: copy, metric: right)\n"
    assert "layers 0 to 1" in codes(tmp_path, head + lone)["PD205"]


TWO = BASE + TUNED + ON_BASE
OTHER = TASK % "" + REST
WRONG = [
    (BASE + TUNED + OTHER, "PD307"),
    (BASE + TUNED + TASK % "" + DERIVED + REST, "PD307"),
    (BASE + BASE + OTHER, "PD103"),
    (BASE + TUNED + TASK % "  model = tunde\n" + REST, "PD101"),
    (BASE + TUNED + TASK % '  model = "base"\n' + REST, "PD115"),
    (BASE + TUNED + TASK % "  model = main\n" + REST, "PD111"),
    (TWO + "task t = ioi\n" + REST, "PD308"),
    (TWO + "task t = ioi {}\n" + REST, "PD308"),
    (TWO + "task t = ioi { data = mini_ioi(take: 4, seed: 1) }\n" + REST, "PD308"),
    (TWO + "task t = ioi { cluster = order }\n" + REST, "PD308"),
    (TWO + "task t = ioi { modle = tuned }\n" + REST, "PD112"),
    (TWO + "task t = io { model = tuned }\n" + REST, "PD101"),
    (TWO + "task t = t { model = tuned }\n" + REST, "PD108"),
    (TWO + 'task t = s where order == "a"\ntask s = t where order == "b"\n' + REST, "PD108"),
    (TWO + "task t = ioi { treated = ioi }\n" + REST, "PD309"),
    (TWO + "task t = ioi { treated = tuned }\n" + REST, "PD309"),
    (TWO + DERIVED + REST + "let e = mean(LD(treat(main, treated: ioi), task: ioi))", "PD309"),
    (TWO + 'task t = ioi { model = tuned } where order == "abba"\n' + REST, "PD001"),
    (TWO + DERIVED + REST + "let e = mean(LD(reference))", "PD303"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code"), WRONG)
def test_what_is_wrong_is_told_with_its_repair(text: str, code: str, tmp_path: Path) -> None:
    found = codes(tmp_path, CIRCUIT + text)
    assert code in found, found
    if code not in ("PD001", "PD108", "PD111"):  # where the label says it
        assert found[code].partition(" | ")[2], found


def test_a_file_of_rows_may_have_a_column_named_like_a_task(tmp_path: Path) -> None:
    rows = ('{"prompt": " Mary gave", "ioi": " John gave", "io": " Mary", "s": " John"}\n') * 2
    (tmp_path / "rows.jsonl").write_text(rows)
    own = ON_BASE.replace("mini_ioi(take: 40, seed: 0, split: names)", 'jsonl("rows.jsonl")')
    own = own.replace("prompt_abc", "ioi").replace("  positions = [IO, S1, S2]\n", "")
    assert "PD309" not in codes(tmp_path, CIRCUIT + BASE + TUNED + own + DERIVED + REST)
    other = own.replace("treated   = ioi", "treated   = base")
    let = "let d: logits = mean(LD(treat(main), task: ioi))\n"
    assert "PD309" in codes(tmp_path, CIRCUIT + BASE + TUNED + other + DERIVED + REST + let)


def test_a_used_task_names_a_model_that_this_file_declares(tmp_path: Path) -> None:
    (tmp_path / "tasks.circuit").write_text(ON_BASE)
    use = CIRCUIT + 'use "tasks.circuit"\n'
    let = "let d: logits = mean(LD(reference, task: ioi))\n"
    assert "model base" in codes(tmp_path, use + TUNED + REST + let)["PD138"]
    assert not codes(tmp_path, use + BASE + REST + let)
    lone = check_file(str(tmp_path / "tasks.circuit"), CheckOptions())
    assert lone.exit_code is ExitCode.NOTHING_TO_CHECK and not lone.diagnostics


def test_locks_list_each_model(tmp_path: Path) -> None:
    text = HEAD + of_each("one", "ioi") + of_each("two", "ioi_tuned")
    text = re.sub("let searched.*\n", "", text)
    locks = [lock_of(check(tmp_path, text), CheckOptions()) for _ in range(2)]
    assert dumped(locks[0]) == dumped(locks[1])
    inputs = locks[0]["inputs"]
    assert list(inputs["models"]) == ["tuned"]
    assert inputs["models"]["tuned"]["weights"] != inputs["model"]["weights"]
    assert [task["model"] for task in inputs["tasks"].values()] == ["base", "tuned"]
    assert not compare(locks[0], locks[1]).drifted
    other = lock_of(check(tmp_path, text.replace("ioi-mini-tuned", "ioi-mini")), CheckOptions())
    drifts = {one.what: one.code for one in compare(locks[0], other).drifts}
    assert drifts["model tuned weights model.safetensors"] == "PD657"
    alone = lock_of(
        check(tmp_path, CIRCUIT + BASE + TASK % "" + REST + of_each("one", "ioi")), CheckOptions()
    )
    assert "models" not in alone["inputs"] and "model" not in alone["inputs"]["tasks"]["ioi"]


def test_reports_say_which_model(tmp_path: Path) -> None:
    text = HEAD + of_each("one", "ioi")
    tuned, base = (f"accuracy(reference, task: {t}, answer: io)" for t in ("ioi_tuned", "ioi"))
    text += f"claim better: {tuned} > {base} at 95% confidence\n"
    text = re.sub("let searched.*\n", "", text)
    outcome = check(tmp_path, text)
    made = file_object(outcome)
    assert made["weights"]["models"].keys() == {"base", "tuned"}
    assert [task["model"] for task in made["tasks"]] == ["base", "tuned"]
    whole = json.loads(dump(check_object([file_object(outcome)], outcome.exit_code)))
    Draft202012Validator(schema()).validate(whole)
    said = report(outcome, View())
    assert 'base = bundled("ioi-mini"), tuned = bundled("ioi-mini-tuned")' in said
    assert "accuracy(reference) on ioi_tuned" in said
    plan = plan_file(str(tmp_path / "x.circuit"), CheckOptions())
    assert plan is not None and list(plan.models) == ["base", "tuned"]


def test_rows_chosen_by_the_base_model_are_those_of_the_tuned_one(tmp_path: Path) -> None:
    text = HEAD + "metric ok = top1(io)\n"
    text += "task missed = ioi where ok(reference) == 0 { model = tuned }\n"
    text += "claim mended: accuracy(reference, task: missed, answer: io) >= 50% at 95% confidence\n"
    outcome = check(tmp_path, text)
    assert {d.code for d in outcome.diagnostics} & {"PD362", "PD532"} == set()  # another model's
    assert 0 < outcome.tasks["missed"].n_rows < 40
    hits = check(tmp_path, HEAD + "metric ok = top1(io)\nlet a = mean(ok(reference, task: ioi))\n")
    share = estimates(hits)["a"][0]  # type: ignore[index]
    assert outcome.tasks["missed"].n_rows == round(40 * (1 - share))


def test_another_model_of_a_task_is_a_change(tmp_path: Path) -> None:
    text = HEAD + of_each("one", "ioi_tuned")

    def changes(new: str) -> list[tuple[str, str]]:
        programs = []
        for name, one in (("old", text), ("new", new)):
            path = tmp_path / f"{name}.circuit"
            path.write_text(one)
            programs.append(load_program(str(path))[0])
        found = program_changes(programs[0], programs[1], shape_at_hand(programs[1]))
        return [(one.of, one.what) for one in found]

    assert not changes(text)
    (other,) = changes(text.replace("{ model = tuned }", "{ model = base }"))
    assert other[0] == "task ioi_tuned" and "another model" in other[1]
    renamed = text.replace("model tuned", "model child").replace("= tuned }", "= child }")
    assert not changes(renamed)
    frozen = changes(text.replace("{ model = tuned }", "{ model = tuned; layernorm = frozen }"))
    assert frozen == [("task ioi_tuned", "another `layernorm`")]


def test_planning_needs_no_weights_and_resolves_each_task_on_its_model(tmp_path: Path) -> None:
    path = tmp_path / "x.circuit"
    path.write_text(HEAD)
    ready = prepare(load_program(str(path))[0], CheckOptions())
    assert list(ready.sources) == ["base", "tuned"] and ready.tasks_of("tuned") == ("ioi_tuned",)
    assert not ready.resolver.others  # models of one shape share the graph
    path.write_text(HEAD.replace('bundled("ioi-mini-tuned")', 'folder("nowhere")'))
    with pytest.raises(PathdslError):
        prepare(load_program(str(path))[0], CheckOptions())
