"""Checks with the result store: the same numbers, and only what is new is computed."""

from __future__ import annotations

import importlib
import os
import random
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pathdsl.engine.lazy_model as lazymodel
import pathdsl.engine.planner as planner_module
import pathdsl.engine.recall as recall
import pathdsl.engine.run.runner as runner_module
import pathdsl.engine.self_check as proofs
import pathdsl.engine.store.store as store_module
from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.engine.load.source import ModelSource
from pathdsl.engine.planner import Limits
from pathdsl.engine.rounding import ROUNDING
from pathdsl.engine.store.prune import contents
from pathdsl.engine.store.store import About, Store
from pathdsl.errors import ExitCode, Severity
from pathdsl.report.data.values import as_jsonl, values_of
from tests.cli.run import forked
from tests.engine.fuzz_store import broken_store
from tests.score.work import Work

HEAD = """
circuit c { language = 1 }
model toy = bundled("induction-2l")
task copy {
  data      = induction(take: 40, seed: 0)
  reference = prompt
  treated   = prompt_other
  positions = [FIRST_A, FIRST_B]
}
task drawn {
  data      = induction(take: 40, seed: 0)
  reference = prompt
  treated   = resample(prompt_other, draws: 2, seed: 3)
}
path main = a1.h2@END -> logits
path back = a0.h1@FIRST_B -[k]-> a1.h2@END -> logits
metric LD on copy: logits = logit(answer) - logit(wrong)
metric LP on drawn: nats = logprob(answer) - logprob(wrong)
metric looks on copy = attention(a1.h2, END -> FIRST_B)
"""
GOOD = 'claim good: mean(LD(reference) - LD(treat(main))) > 1 at 95% confidence "it writes"\n'
OTHER = "claim other: mean(LD(reference) - LD(treat(back))) > 1 at 95% confidence\n"
SWEEP = "let direct for h in attn: logits = mean(LD(treat(h -> logits)) - LD(reference))\n"
DRAWN = "let drawn_too: nats = mean(LP(treat(main)) - LP(reference))\n"
ATTENDS = "let seen = mean(looks(reference))\n"


def check(folder: Path, text: str, store: Store | None, **options: object) -> FileOutcome:
    path = folder / "x.circuit"
    path.write_text(HEAD + text)
    outcome = check_file(str(path), CheckOptions(store=store, **options))  # type: ignore[arg-type]
    assert store is None or store.on
    return outcome


def all_of(outcome: FileOutcome) -> object:
    """Everything that a check says, to the last bit, but for what it computed."""
    assert outcome.judgement is not None and outcome.session is not None
    values = [
        (run.label, measure, outcome.session.value(run, measure).tobytes())
        for run, measures in outcome.session.asked.items()
        for measure in measures
    ]
    # PD645 is about memory, of which a check takes little where all values are stored.
    diagnostics = tuple(one for one in outcome.diagnostics if one.code != "PD645")
    told = diagnostics, outcome.judgement, dict(outcome.methodology), outcome.proofs
    return values, repr(told), outcome.exit_code, as_jsonl(values_of(outcome))


def counts(outcome: FileOutcome) -> tuple[int, int, int]:
    assert outcome.tally is not None
    return outcome.tally.computed, outcome.tally.stored, outcome.tally.beside_others


def planned(outcome: FileOutcome) -> set[str]:
    """The runs that were planned and executed."""
    return {output.run.label or output.run.kind for p in outcome.plans for output in p.outputs}


# ------------------------------------------------------------------------------- the same numbers


@pytest.mark.parametrize("memory", [256_000_000, 400_000, 20_000])
def test_bits_are_the_same_without_the_store_and_with_it(tmp_path: Path, memory: int) -> None:
    text, limits = GOOD + SWEEP + DRAWN + ATTENDS, Limits(memory=memory)
    without = check(tmp_path, text, None, limits=limits)
    assert without.tally is None
    with Store(tmp_path / "store") as store:
        cold = check(tmp_path, text, store, limits=limits)
        warm = check(tmp_path, text, store, limits=limits)
    assert all_of(without) == all_of(cold) == all_of(warm)
    n_values = counts(cold)[0]
    assert counts(cold) == (n_values, 0, 0) and counts(warm) == (0, n_values, 0)
    assert cold.plans and not warm.plans and not warm.costs
    assert {proof.code for _, proof in warm.proofs} >= {"PD630", "PD631", "PD632", "PD634"}


def test_another_memory_limit_computes_anew_and_stays_within_rounding(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        large = check(tmp_path, GOOD + SWEEP, store)
        small = check(tmp_path, GOOD + SWEEP, store, limits=Limits(memory=20_000))
    assert counts(small)[1] == 0
    close(large, small)


def close(left: FileOutcome, right: FileOutcome) -> None:
    """Every value of both checks within the rounding of float32."""
    assert left.session is not None and right.session is not None
    for run, measures in left.session.asked.items():
        for measure in measures:
            a, b = left.session.value(run, measure), right.session.value(run, measure)
            scale = max(1.0, float(np.abs(a).max()))
            np.testing.assert_allclose(a, b, rtol=0, atol=ROUNDING["float32"] * scale)


def test_nothing_is_loaded_where_everything_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path / "store") as store:
        cold = check(tmp_path, GOOD, store)

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("weights were read")

        monkeypatch.setattr(lazymodel, "load", refuse)
        monkeypatch.setattr(runner_module, "execute", refuse)
        monkeypatch.setattr(planner_module, "build_plans", refuse)
        assert all_of(check(tmp_path, GOOD, store)) == all_of(cold)
        with pytest.raises(AssertionError, match="weights were read"):
            check(tmp_path, GOOD + OTHER, store)


def test_a_search_in_rounds(tmp_path: Path) -> None:
    text = (
        "group early @FIRST_B = { a0.h0, a0.h1 }\ngroup late @END = { a1.h1, a1.h2 }\n"
        "path both = within(early, late)\n"
        "claim whole: completeness(both, knockouts: greedy(steps: 2, runs: 2, sample: 2, seed: 0),"
        " task: copy, metric: LD) <= 2 at 95% confidence\n"
    )
    with Store(tmp_path / "store") as store:
        cold = check(tmp_path, text, store)
        assert len(cold.plans) > 1, [d.message for d in cold.diagnostics]
        warm = check(tmp_path, text, store)
    assert all_of(cold) == all_of(warm) and counts(warm)[0] == counts(warm)[2] == 0


# ------------------------------------------------------------------------------- edits


def test_an_edit_of_a_threshold_computes_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        check(tmp_path, GOOD, store)
        edited = check(tmp_path, GOOD.replace("> 1", "> 2").replace("good", "better"), store)
    assert planned(edited) == set() and counts(edited)[0] == 0
    assert edited.judgement is not None and edited.judgement.claims[0].threshold == 2.0


def test_a_new_claim_computes_its_new_runs_only(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        first = check(tmp_path, GOOD + SWEEP, store)
        edited = check(tmp_path, GOOD + SWEEP + OTHER, store)
        again = check(tmp_path, GOOD + SWEEP + OTHER, store)
    without = check(tmp_path, GOOD + SWEEP + OTHER, None)
    n_first = counts(first)[0]
    assert planned(edited) == {"treat(back)"}
    assert counts(edited) == (2, n_first, n_first)  # the company of all has changed
    assert counts(again) == (0, n_first + 2, n_first + 2)
    assert all_of(again) == all_of(edited)
    close(edited, without)
    judged = [
        [(c.name, c.verdict) for c in outcome.judgement.claims]  # type: ignore[union-attr]
        for outcome in (edited, without)
    ]
    assert judged[0] == judged[1]
    null = [proof for _, proof in edited.proofs if proof.code == "PD634"]
    assert len(null) == 1
    assert [proof.compared for _, proof in edited.proofs] == [
        proof.compared for _, proof in without.proofs
    ]


def test_a_claim_that_goes_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        first = check(tmp_path, GOOD + SWEEP + OTHER, store)
        fewer = check(tmp_path, GOOD + OTHER, store)
    assert planned(fewer) == set() and counts(fewer)[0] == 0 and counts(fewer)[2] > 0
    assert first.session is not None and fewer.session is not None
    for run, measures in fewer.session.asked.items():
        for measure in measures:
            assert np.array_equal(
                first.session.value(run, measure), fewer.session.value(run, measure)
            )


@pytest.mark.parametrize(
    ("old", "new", "computes"),
    [
        ("seed: 0", "seed: 1", True),
        ("take: 40", "take: 41", True),
        ("treated   = prompt_other", "treated   = zero", True),
        ("treated   = prompt_other", "treated   = mean(prompt_other)", True),
        ('bundled("induction-2l")', 'bundled("induction-2l", dtype: float64)', True),
        ("a1.h2@END -> logits", "a1.h1@END -> logits", True),
        ("task copy", "task renamed", False),
        ("path main", "# a remark\npath main", False),
        ("reference = prompt\n", "reference = prompt\n  average = mean_of_ratios\n", False),
    ],
)  # fmt: skip
def test_what_an_edit_costs(tmp_path: Path, old: str, new: str, computes: bool) -> None:
    head = HEAD.partition("task drawn")[0]
    rest = "path main = a1.h2@END -> logits\nmetric LD: logits = logit(answer) - logit(wrong)\n"
    path = tmp_path / "x.circuit"
    with Store(tmp_path / "store") as store:
        path.write_text(head + rest + GOOD)
        before = check_file(str(path), CheckOptions(store=store))
        assert before.judgement is not None
        edited = (head + rest + GOOD).replace(old, new)
        assert edited != head + rest + GOOD
        path.write_text(edited)
        after = check_file(str(path), CheckOptions(store=store))
    assert after.judgement is not None, after.diagnostics
    assert bool(counts(after)[0]) == computes, counts(after)
    if not computes:
        assert counts(after)[2] == 0


# ------------------------------------------------------------------------------- what goes wrong


def test_what_does_not_prove_itself_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = proofs.prove_null_pair
    with Store(tmp_path / "store") as store:
        monkeypatch.setattr(
            proofs, "prove_null_pair", lambda *a: replace(real(*a), error=float("nan"))
        )
        failed = check(tmp_path, GOOD, store)
        assert failed.exit_code is ExitCode.MACHINE_FAILED
        monkeypatch.setattr(proofs, "prove_null_pair", real)
        good = check(tmp_path, GOOD, store)
        assert good.exit_code is ExitCode.AS_EXPECTED and counts(good)[1] == 0


def test_a_model_that_does_not_prove_itself_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = proofs.prove
    with Store(tmp_path / "store") as store:
        monkeypatch.setattr(proofs, "prove", lambda *a: [replace(p, error=1.0) for p in real(*a)])
        for _ in range(2):
            assert check(tmp_path, GOOD, store).exit_code is ExitCode.MACHINE_FAILED
        monkeypatch.setattr(proofs, "prove", real)
        assert check(tmp_path, GOOD, store).exit_code is ExitCode.AS_EXPECTED


def test_what_was_computed_before_a_check_is_cut_off_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = importlib.import_module("pathdsl.score.judge")  # the package has a function so named
    real = judge.judge

    def cut_off(*arguments: object, **options: object) -> None:
        real(*arguments, **options)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with Store(tmp_path / "store") as store:
        monkeypatch.setattr(judge, "judge", cut_off)
        with pytest.raises(KeyboardInterrupt):
            check(tmp_path, GOOD + SWEEP, store)
        monkeypatch.setattr(judge, "judge", real)
        again = check(tmp_path, GOOD + SWEEP, store)
        assert counts(again)[0] == 0
    assert all_of(again) == all_of(check(tmp_path, GOOD + SWEEP, None))


def test_a_truncated_blob_is_computed_again(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        cold = check(tmp_path, GOOD, store)
        (blob,) = (tmp_path / "store").glob("blobs/*/*")
        whole = blob.read_bytes()
        blob.write_bytes(whole[: len(whole) // 2])
        again = check(tmp_path, GOOD, store)
        assert counts(again) == counts(cold) and all_of(again) == all_of(cold)
        assert blob.read_bytes() == whole
        assert counts(check(tmp_path, GOOD, store))[0] == 0


def test_checks_with_stores_broken_at_random(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is broken, the report is the same to the last bit."""
    whole, folder = tmp_path / "whole", tmp_path / "broken"
    with Store(whole) as store:
        cold = check(tmp_path, GOOD, store)
    loaded: dict[object, object] = {}  # the model once, since it is not the model that is tried
    real = lazymodel.load

    def load(source: ModelSource, *given: Any, **named: Any) -> object:
        if source.written not in loaded:
            loaded[source.written] = real(source, *given, **named)
        return loaded[source.written]

    monkeypatch.setattr(lazymodel, "load", load)
    for seed in range(15):
        what = broken_store(whole, folder, random.Random(f"check {seed}"))
        with Store(folder) as store:
            again = check_file(str(tmp_path / "x.circuit"), CheckOptions(store=store))
            assert all_of(again) == all_of(cold), (seed, what)
            assert len(store.warnings) <= 2


def test_a_store_that_fails_on_the_way_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "x.circuit").write_text(HEAD + GOOD)
    with Store(tmp_path / "store") as store:
        monkeypatch.setattr(store_module, "write_whole", full)
        found = check_file(str(tmp_path / "x.circuit"), CheckOptions(store=store))
        monkeypatch.undo()
        assert store.trouble is not None and store.trouble.code == "PD640"
    assert all_of(found) == all_of(check(tmp_path, GOOD, None))


def test_weights_that_change_on_the_way_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lazymodel, "weight_hashes", lambda *_: ("", {"model": "another"}))
    with Store(tmp_path / "store") as store:
        outcome = check(tmp_path, GOOD, store)
    assert outcome.exit_code is ExitCode.MACHINE_FAILED
    codes = [d.code for d in outcome.diagnostics if d.severity is Severity.ERROR]
    assert codes == ["PD609"]


# ------------------------------------------------------------------------------- cut off


ONE_TASK = """
model toy = bundled("induction-2l")
task copy {
  data      = induction(take: 200, seed: 0)
  reference = prompt
  treated   = TREATED
}
metric LD: logits = logit(answer) - logit(wrong)
let direct for h in attn: logits = mean(LD(treat(h (-> mlp)* -> logits)) - LD(reference))
"""
SMALL = Limits(memory=400_000)
"""Several batches for every plan."""


def one_task(
    folder: Path,
    treated: str = "prompt_other",
    store: Store | None = None,
    limits: Limits = SMALL,
) -> FileOutcome:
    path = folder / "x.circuit"
    path.write_text(ONE_TASK.replace("TREATED", treated))
    outcome = check_file(str(path), CheckOptions(store=store, limits=limits))
    assert outcome.judgement is not None, outcome.diagnostics
    return outcome


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_check_killed_at_half_is_half_done(tmp_path: Path) -> None:
    with Work() as whole:
        without = one_task(tmp_path)
    folder = tmp_path / "store"

    def cut_off() -> None:
        recall.EVERY = 0.0
        with Work(whole.done // 2, lambda: os.kill(os.getpid(), signal.SIGKILL)):
            with Store(folder) as store:
                one_task(tmp_path, store=store)

    child = forked(cut_off)
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    with Store(folder) as store:
        assert contents(store).unfinished
        with Work() as rest:
            second = one_task(tmp_path, store=store)
        assert contents(store).unfinished == () and contents(store).plans
        third = one_task(tmp_path, store=store)
    assert 0.3 * whole.done < rest.done <= 0.6 * whole.done
    assert all_of(without) == all_of(second) == all_of(third)
    assert counts(second)[1] == 0 and counts(third)[0] == 0
    told = second.costs[0].macs / without.costs[0].macs
    assert 0.2 < told < 0.7  # the cost is of what was executed now


class Killed(BaseException):
    """In the place of a signal, after which nothing more is written."""


@pytest.mark.parametrize(
    "treated",
    ["prompt_other", "mean(prompt_other)", "resample(prompt_other, draws: 3, seed: 3)",
     "noise(at: [END], scale: 1.0, seed: 1)"],
)  # fmt: skip
def test_what_is_finished_is_kept(
    tmp_path: Path, treated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, limits = recall.KeptParts.flush, Limits(memory=800_000)

    def flush(self: recall.KeptParts) -> None:
        if not isinstance(sys.exception() if sys.version_info > (3, 11) else None, Killed):
            real(self)

    def cut() -> None:
        raise stop

    monkeypatch.setattr(recall.KeptParts, "flush", flush)
    with Work() as whole:
        without = one_task(tmp_path, treated, limits=limits)
    for stop, every in ((KeyboardInterrupt, 1e9), (Killed, 0.0)):
        monkeypatch.setattr(recall, "EVERY", every)
        with Store(tmp_path / stop.__name__) as store:
            with pytest.raises(stop), Work(whole.done // 2, cut):
                one_task(tmp_path, treated, store, limits)
            assert store.under_way is not None and store.under_way.task == "copy"
            with Work() as rest:
                second = one_task(tmp_path, treated, store, limits)
            assert store.under_way is None and store.warnings == ()
        assert rest.done <= 0.6 * whole.done and all_of(without) == all_of(second)


def test_a_check_may_be_cut_off_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time at another place; no one loses what the others had done."""
    monkeypatch.setattr(recall, "EVERY", 0.0)
    with Work() as whole:
        without = one_task(tmp_path)
    spent = 0
    with Store(tmp_path / "store") as store:
        for _ in range(20):
            with Work(whole.done // 3, _interrupt) as part:
                try:
                    last = one_task(tmp_path, store=store)
                except KeyboardInterrupt:
                    spent += part.done
                    continue
            spent += part.done
            break
    assert all_of(without) == all_of(last) and spent <= 1.6 * whole.done


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_parts_of_a_plan_that_does_not_prove_itself_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "EVERY", 0.0)
    real = proofs.prove_null_pair
    with Store(tmp_path / "store") as store:
        monkeypatch.setattr(proofs, "prove_null_pair", lambda *a: replace(real(*a), error=1.0))
        check(tmp_path, SWEEP, store, limits=SMALL)
        assert contents(store).blobs == ()


def test_a_part_of_another_shape_is_computed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Work() as whole:
        without = one_task(tmp_path)
    with Store(tmp_path / "store") as store:
        with pytest.raises(KeyboardInterrupt), Work(whole.done // 2, _interrupt):
            one_task(tmp_path, store=store)
        rows = list(store.index.execute("SELECT key, plan FROM entries JOIN blobs ON blob = name"))
        store.index.execute("DELETE FROM blobs")
        for key, plan in rows:
            store.add({key: np.ones((2, 3))}, plan=plan, proof="", about=About(), unfinished=True)
        second = one_task(tmp_path, store=store)
        assert rows and store.damaged == len(rows)
    assert all_of(without) == all_of(second)
