"""Shards of a check: the bits of one machine, whatever the shards, their order and their ends."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.engine import recall, shards
from pathdsl.engine.planner import Limits
from pathdsl.engine.proof import Proof
from pathdsl.engine.recall import KeptParts
from pathdsl.engine.run.parts import Part
from pathdsl.engine.shards import Shard, Share, read_shard
from pathdsl.engine.store.shared import SharedStore, Work
from pathdsl.engine.store.store import Store
from pathdsl.errors import ExitCode
from tests.cli.run import forked

HEAD = """circuit sharded "Items of one check" { language = 1 }
model mini = bundled("ioi-mini")
task ioi {
  data      = mini_ioi(take: 16, seed: 0)
  reference = prompt
  treated   = TREATED
  NORM
}
group early        = { a0.h0, a0.h2, a1.h0 }
group movers @END  = { a3.h1, a3.h2 }
path main = within(early, movers, mlp)
metric LD: logits = logit(io) - logit(s)
let kept = faithfulness(main, metric: LD, task: ioi)
claim works: faithfulness(main, metric: LD, task: ioi) >= 1% at 95% confidence
"""
SEARCH = (
    "claim complete: completeness(main, knockouts: greedy(1, runs: 1), metric: LD, task: ioi) <= 5 "
    "at 95% confidence\n"
)
PLAIN = CheckOptions(limits=Limits(memory=500_000), threads=1)


def text(treated: str = "mean(prompt_abc)", norm: str = "", more: str = "") -> str:
    return HEAD.replace("TREATED", treated).replace("NORM", norm) + more


def values(outcome: FileOutcome) -> list[tuple[str, bytes]]:
    """The bits of every value that a check read, by run and measure as they were asked for."""
    session = outcome.session
    assert session is not None, outcome.diagnostics
    return [
        (f"{run.label} {measure}", session.value(run, measure).tobytes())
        for run, measures in session.asked.items()
        for measure in measures
        if measure.asked is None
    ]


def said(outcome: FileOutcome) -> object:
    assert outcome.judgement is not None, outcome.diagnostics
    return [(c.name, c.verdict, c.estimate, c.interval, c.other_norm)
            for c in outcome.judgement.claims]  # fmt: skip


def shard(
    path: Path, folder: Path, number: int, of: int, options: CheckOptions = PLAIN, wait: float = 0
) -> tuple[FileOutcome, Share]:
    share = Share(shard=Shard(number=number, of=of), wait=wait)
    with SharedStore(folder, f"{number}-of-{of}") as store:
        return check_file(str(path), replace(options, store=store, share=share)), share


def gathered(path: Path, folder: Path, options: CheckOptions = PLAIN) -> FileOutcome:
    with SharedStore(folder) as store:
        return check_file(str(path), replace(options, store=store))


def written(folder: Path, content: str) -> Path:
    path = folder / "x.circuit"
    path.write_text(content)
    return path


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "PATIENCE", 0.0)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FileOutcome]:
    path = written(tmp_path_factory.mktemp("alone"), text(more=SEARCH))
    return path, check_file(str(path), PLAIN)


@pytest.mark.parametrize("of", [1, 2, 5])
def test_any_shards_in_any_order_give_the_bits_of_one_machine(
    of: int, alone: tuple[Path, FileOutcome], tmp_path: Path
) -> None:
    path, whole = alone
    folder = tmp_path / "store"
    rng = random.Random(of)
    left, computed, passes = {*range(1, of + 1)}, 0, 0
    counts: set[int] = set()
    while left:
        passes += 1
        for number in rng.sample(sorted(left), len(left)):
            outcome, share = shard(path, folder, number, of)
            computed += share.computed
            if outcome.exit_code is ExitCode.AS_EXPECTED:
                left.discard(number)
                counts.add(share.asked)
            else:
                assert outcome.exit_code is ExitCode.LACKING
                assert [d.code for d in outcome.diagnostics if d.severity == "error"] == ["PD643"]
        assert passes < 9
    assert counts == {computed}  # each item once
    found = gathered(path, folder)
    assert values(found) == values(whole) and said(found) == said(whole)
    assert found.tally is not None and found.tally.computed == 0
    assert not any(cost.macs for cost in found.costs) and found.self_checks == 0
    assert not any(model.loaded for model in found.models.values())
    assert values(gathered(path, folder)) == values(whole)  # of whole plans now


@pytest.mark.parametrize(
    ("treated", "norm", "more"),
    [
        ("prompt_abc", "layernorm = frozen", ""),
        ("noise(at: [END], draws: 3, seed: 1)", "", ""),
        ("prompt_abc", "", "metric OK = top1(io)\ntask part = ioi where OK(reference) == 1\n"
         "claim some: accuracy(keep(main), task: part, answer: io) >= 1% at 95% confidence\n"),
        ("prompt_abc", "", "let a = attribution(a3.h1, by: atp, metric: LD)\n"
         "let b for h in early: logits = attribution(h, by: exact, metric: LD)\n"),
    ],
    ids=["both norms", "draws", "where", "attribution"],
)  # fmt: skip
def test_what_else_a_check_asks_for(treated: str, norm: str, more: str, tmp_path: Path) -> None:
    path = written(tmp_path, text(treated, norm, more))
    whole = check_file(str(path), PLAIN)
    for _ in range(4 if "where" in more else 1):
        codes = [shard(path, tmp_path / "store", n, 2)[0].exit_code for n in (2, 1)]
    assert codes == [ExitCode.AS_EXPECTED] * 2
    found = gathered(path, tmp_path / "store")
    assert values(found) == values(whole) and said(found) == said(whole)
    assert whole.judgement is not None and found.judgement is not None
    assert [q.estimate for q in found.judgement.quantities] == [
        q.estimate for q in whole.judgement.quantities
    ]
    assert found.tally is not None and found.tally.computed == 0


TWO = """circuit two "Two models" { language = 1 }
model mini  = bundled("ioi-mini")
model other = bundled("ioi-mini", dtype: float64)
task a { data = mini_ioi(take: 12, seed: 0); reference = prompt; treated = zero; model = mini }
task b { data = mini_ioi(take: 12, seed: 1); reference = prompt; treated = zero; model = other }
metric LD: logits = logit(io) - logit(s)
claim one: effect(through(a3.h1), metric: LD, task: a) > -100 at 95% confidence
claim two: effect(through(a3.h1), metric: LD, task: b) > -100 at 95% confidence
"""


def test_two_models(tmp_path: Path) -> None:
    path = written(tmp_path, TWO)
    whole = check_file(str(path), PLAIN)
    shares = [shard(path, tmp_path / "store", number, 3)[1] for number in (2, 1, 3)]
    assert {share.asked for share in shares} == {sum(share.computed for share in shares)}
    found = gathered(path, tmp_path / "store")
    assert values(found) == values(whole) and said(found) == said(whole)
    assert found.tally is not None and found.tally.computed == 0


def test_a_proof_that_fails_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, text("prompt_abc"))
    with monkeypatch.context() as patch:
        patch.setattr(Proof, "holds", property(lambda proof: proof.code != "PD634"))
        codes = [shard(path, tmp_path / "store", n, 2)[0].exit_code for n in (1, 2)]
        assert sorted(codes) == [ExitCode.AS_EXPECTED, ExitCode.MACHINE_FAILED]
        judged = gathered(path, tmp_path / "store")
        assert judged.exit_code is ExitCode.MACHINE_FAILED and judged.judgement is None
    found = gathered(path, tmp_path / "store")
    assert found.tally is not None and found.tally.computed == 0 and found.self_checks > 0
    assert "PD634" in {proof.code for _, proof in found.proofs}


def test_a_check_computes_what_dead_shards_left(
    alone: tuple[Path, FileOutcome], tmp_path: Path
) -> None:
    path, whole = alone
    folder = tmp_path / "store"
    done = 0

    def dying() -> None:
        keep = KeptParts.keep

        def some(self: KeptParts, part: Part, numbers: np.ndarray) -> None:
            nonlocal done
            done += part.kind == "values"
            if done == 3:
                os._exit(9)
            keep(self, part, numbers)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(KeptParts, "keep", some)
            patch.setattr(recall, "EVERY", 0.0)
            shard(path, folder, 1, 2)

    child = forked(dying)
    child.join()
    assert child.exitcode == 9
    with SharedStore(folder) as store:
        (plan,) = store.works
        assert store.n_values()[plan] == 2
    found = gathered(path, folder)
    assert values(found) == values(whole) and said(found) == said(whole)
    assert found.tally is not None and found.tally.computed > 0


def test_shards_at_once_wait_for_one_another(
    alone: tuple[Path, FileOutcome], tmp_path: Path
) -> None:
    path, whole = alone
    folder = tmp_path / "store"

    def worker(number: int) -> None:
        outcome, _ = shard(path, folder, number, 2, wait=60)
        os._exit(outcome.exit_code)

    children = [forked(lambda number=number: worker(number)) for number in (1, 2)]
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    found = gathered(path, folder)
    assert values(found) == values(whole)
    assert found.tally is not None and found.tally.computed == 0


def test_a_shard_that_lacks_others_exits_with_4(
    alone: tuple[Path, FileOutcome], tmp_path: Path
) -> None:
    outcome, share = shard(alone[0], tmp_path / "store", 1, 2)
    assert outcome.exit_code is ExitCode.LACKING and share.computed
    waited, _ = shard(alone[0], tmp_path / "store", 1, 2, wait=0.3)  # and nobody comes
    assert waited.exit_code is ExitCode.LACKING


def test_a_test_is_no_search(tmp_path: Path) -> None:
    """A p-value is read of values that others compute, and nothing that is measured hangs on it."""
    often = (
        "claim often: binomial_test(LD(reference, task: ioi), share: 50%) <= 5% at 95% confidence\n"
    )
    path = written(tmp_path, text(more=often))
    done, share = shard(path, tmp_path / "s", 2, 2)
    assert done.exit_code is ExitCode.AS_EXPECTED and 0 < share.ours < share.asked
    shard(path, tmp_path / "s", 1, 2)
    assert said(gathered(path, tmp_path / "s")) == said(check_file(str(path), PLAIN))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (replace(PLAIN, threads=2), "threads"),
        (replace(PLAIN, limits=Limits(memory=600_000)), "memory"),
    ],
    ids=["threads", "memory"],
)
def test_another_machine_is_refused_by_name(
    options: CheckOptions, word: str, tmp_path: Path
) -> None:
    path = written(tmp_path, text("prompt_abc"))
    shard(path, tmp_path / "store", 1, 2)
    other, _ = shard(path, tmp_path / "store", 2, 2, options)
    judged = gathered(path, tmp_path / "store", options)
    for outcome in (other, judged):
        (error,) = [d for d in outcome.diagnostics if d.severity == "error"]
        assert error.code == "PD642" and word in error.message and word in error.help
        assert outcome.exit_code is ExitCode.MACHINE_FAILED and outcome.judgement is None


def test_another_processor_is_refused_by_name(tmp_path: Path) -> None:
    path = written(tmp_path, text("prompt_abc"))
    shard(path, tmp_path / "store", 1, 2)
    made = tmp_path / "store" / "made-by.json"
    made.write_text(json.dumps({**json.loads(made.read_text()), "processor": "another"}))
    outcome, _ = shard(path, tmp_path / "store", 2, 2)
    (error,) = [d for d in outcome.diagnostics if d.severity == "error"]
    assert error.code == "PD642" and "another processor" in error.message
    assert "`another` there" in error.notes[0]


# -------------------------------------------------------------------------------------------------
# The folder
# -------------------------------------------------------------------------------------------------

ABOUT = recall.About(task="t", labels={})


def added(folder: Path, who: str, keys: Mapping[str, float], part: bool = True) -> SharedStore:
    store = SharedStore(folder, who)
    for key, value in keys.items():
        store.add({key: np.full((1, 2), value)}, plan="p", proof="", about=ABOUT, unfinished=part)
    return store


def test_each_process_writes_an_index_of_its_own(tmp_path: Path) -> None:
    first = added(tmp_path, "1-of-2", {"a": 1.0})
    second = added(tmp_path, "2-of-2", {"b": 2.0})
    names = sorted(p.name.split(".")[0] for p in (tmp_path / "index").iterdir())
    assert names == ["1-of-2", "2-of-2"]
    assert {*second.parts_of("p")} == {"a", "b"} and {*first.parts_of("p")} == {"a"}
    first.refresh()
    assert {*first.parts_of("p")} == {"a", "b"}
    assert not any(path.suffix in (".sqlite", "-wal") for path in tmp_path.rglob("*"))


def test_the_bound_of_the_user_store_prunes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATHDSL_CACHE_SIZE", "1B")
    added(tmp_path, "1-of-1", {"a": 1.0, "b": 2.0})
    whole = added(tmp_path, "check", {"c": 3.0}, part=False)
    whole.forget("p")
    assert {*SharedStore(tmp_path).find(["a", "b", "c"])} == {"a", "b", "c"}


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 400), flip=st.integers(0, 400))
def test_an_index_that_is_cut_off_or_damaged_says_less_and_nothing_else(
    cut: int, flip: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("index")
    added(folder, "1-of-1", {"a": 1.0, "b": 2.0})
    (path,) = (folder / "index").iterdir()
    data = bytearray(path.read_bytes())
    whole = bytes(data)
    data[flip % len(data)] ^= 1
    path.write_bytes(bytes(data[: len(data) - cut % len(data)]))
    store = SharedStore(folder)
    found = store.find(["a", "b"])
    for key, value in (("a", 1.0), ("b", 2.0)):
        assert key not in found or (found[key].values == value).all()
    path.write_bytes(whole)  # what was not there yet has come
    store.refresh()
    assert {*store.find(["a", "b"])} == {"a", "b"}


def test_a_damaged_or_missing_blob_is_added_again(tmp_path: Path) -> None:
    added(tmp_path, "1-of-1", {"a": 1.0})
    (blob,) = tmp_path.rglob("*.safetensors")
    data = blob.read_bytes()
    blob.write_bytes(data[:-1] + b"x")
    store = SharedStore(tmp_path)
    assert not store.find(["a"]) and store.damaged == 1
    assert not store.keys_of("p")
    store.add({"a": np.full((1, 2), 1.0)}, plan="p", proof="", about=ABOUT, unfinished=True)
    assert {*SharedStore(tmp_path).find(["a"])} == {"a"}
    blob.unlink()
    store = SharedStore(tmp_path)
    assert not store.find(["a"])
    blob.write_bytes(data)
    store.refresh()
    assert {*store.find(["a"])} == {"a"}


@given(st.integers(1, 300), st.integers(1, 300))
def test_blocks_are_all_rows_each_once(step: int, rows: int) -> None:
    work = Work(plan="p", label="", step=step, n_rows=rows, draws=1, values=1, macs=1, itemsize=4,
                treats=False)  # fmt: skip
    assert [row for start, stop in work.blocks for row in range(start, stop)] == [*range(rows)]
    assert work.items == -(-rows // step)


@pytest.mark.parametrize("wrong", ["", "3", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1 /2"])
def test_what_is_no_shard(wrong: str) -> None:
    with pytest.raises(ValueError, match="shard"):
        read_shard(wrong)
    assert str(read_shard("3/16")) == "3/16"


def test_a_user_store_takes_no_shards(tmp_path: Path) -> None:
    path = written(tmp_path, text("prompt_abc"))
    share = Share(shard=Shard(number=1, of=2))
    with Store(tmp_path) as store, pytest.raises(ValueError, match="shared store"):
        check_file(str(path), replace(PLAIN, store=store, share=share))
