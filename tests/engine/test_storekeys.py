"""Keys of the store: what decides a value changes its key, what does not leaves it as it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import pathdsl.engine.lazy_model as lazymodel
import pathdsl.engine.store.digest as storekeys
from pathdsl.engine.data.task import TaskSpec
from pathdsl.engine.lazy_model import LazyModel
from pathdsl.engine.load.source import ModelSource
from pathdsl.engine.planner import Limits
from pathdsl.engine.store.digest import as_json, digest
from pathdsl.engine.store.keys import TaskKeys
from pathdsl.engine.store.store import Store
from pathdsl.graph.paths.pathset import FULL, NONE, Pos, minus
from pathdsl.models import bundled
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import Action, Block, RunSpec, Target, under_text
from pathdsl.plan.taskdata import Repeats, TaskData
from pathdsl.plan.treated import TreatedSpec
from tests.engine.engine_cases import (
    MEAN,
    NOISE,
    PAIRED,
    REFERENCE,
    RESAMPLE,
    TASK,
    ZERO,
    path_sets,
    treat,
)  # fmt: skip

PLACE = Pos(name="A")
LOGIT = Measure(kind="logit", column="t3")


def key(
    run: RunSpec, measure: Measure = LOGIT, task: TaskData = TASK, setting: str = "s",
    layernorm: str = "recompute",
) -> str | None:  # fmt: skip
    return TaskKeys(setting, task, layernorm).value(run, measure)


# ------------------------------------------------------------------------------- runs and measures


def test_every_run_and_measure_has_a_key_of_its_own() -> None:
    specs = [PAIRED, replace(PAIRED, column="prompt"), ZERO, MEAN, replace(MEAN, by=""), NOISE,
             replace(NOISE, seed=7), replace(NOISE, scale=2.0), replace(NOISE, at=(PLACE,)),
             RESAMPLE, replace(RESAMPLE, draws=2), replace(RESAMPLE, seed=9)]  # fmt: skip
    runs = [REFERENCE, *(treat("q", spec) for spec in specs), *(treat(n) for n in path_sets())]
    runs += [treat(FULL), treat(NONE), treat(minus(FULL, path_sets()["q"]))]
    runs.append(RunSpec(task="t", kind="treated", treated=PAIRED))
    runs = list(dict.fromkeys(runs))
    kinds = ("logit", "prob", "logprob", "rank", "top1")
    measures = [Measure(kind=kind, column="t3") for kind in kinds]  # type: ignore[arg-type]
    measures += [Measure(kind="kl"), Measure(kind="top_token"), replace(LOGIT, column="t4")]
    measures += [replace(LOGIT, position="A"), replace(LOGIT, position="[1]")]
    measures += [Measure(kind="attention", head=(0, h), query="END", key=k) for h in (0, 1)
                 for k in "AS"]  # fmt: skip
    heads = [Measure(kind="norm", nodes="a0.h0"), Measure(kind="norm", nodes="m0")]
    heads += [Measure(kind="dla", nodes="m0", column=column) for column in ("t3", "t4")]
    heads += [Measure(kind="norm", nodes="m0", position="A")]
    heads += [Measure(kind="cosine", nodes="m0", run=run) for run in ("reference", "treated")]
    copied = Measure(kind="copy_score", head=(0, 1), of=("A",), top=5)
    heads += [copied, replace(copied, head=(1, 1)), replace(copied, of=("A", "S"))]
    heads += [replace(copied, top=3), replace(copied, negated=True)]
    measures += heads
    keys = [key(run, measure) for run in runs for measure in measures]
    assert None not in keys and len(set(keys)) == len(runs) * len(measures)


def test_labels_and_the_name_of_the_task_are_no_part_of_a_key() -> None:
    run = treat("q")
    assert key(replace(run, label="x", form="y")) == key(run)
    assert key(replace(run, task="other"), task=replace(TASK, name="other", key="k")) == key(run)


def under(*actions: Action, run: RunSpec = REFERENCE) -> RunSpec:
    blocks = (Block(name="b", actions=actions),)
    return replace(run, blocks=blocks, under=under_text(blocks))


def test_a_key_knows_what_a_block_says_and_reads() -> None:
    head = Target(kind="head", layer=0, head=1, at=PLACE)
    scale = Action(verb="scale", targets=(head,), number=2.0)
    several = [
        scale,
        replace(scale, number=3.0),
        replace(scale, targets=(replace(head, at=None),)),
        Action(verb="zero", targets=(head,), slot="v"),
        Action(verb="set", targets=(head,), source=MEAN),
        Action(verb="set", targets=(head,), source=treat("q")),
        Action(verb="set", targets=(head,), source=treat("c")),
        Action(verb="add", targets=(replace(head, head=-1, kind="mark"),), vector=(1.0, 2.0)),
    ]
    runs = [REFERENCE, *(under(action) for action in several), under(*several[:1], run=treat("q"))]
    assert len({key(run) for run in runs}) == len(runs)
    named = under(scale)
    other = replace(named, blocks=(replace(named.blocks[0], name="another"),))
    assert key(other) == key(named)
    moved = {**TASK.positions, "A": tuple((0,) for _ in TASK.row_ids)}
    assert key(named, task=replace(TASK, positions=moved)) != key(named)
    column = {**TASK.prompts, "other": TASK.prompts["prompt"]}
    read = under(several[4])
    assert key(read, task=replace(TASK, prompts=column)) != key(read)


def test_a_field_that_is_added_to_a_run_enters_the_key() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Longer(RunSpec):
        norms: str = "recompute"

    names = [f.name for f in fields(RunSpec)]
    run = Longer(**{name: getattr(treat("q"), name) for name in names})
    assert key(run) != key(replace(run, norms="frozen"))


# ------------------------------------------------------------------------------- data


def changed(column: str, task: TaskData = TASK) -> TaskData:
    """The task with one other token in a prompt column."""
    ids = task.prompts[column].copy()
    ids[0, 0] = (ids[0, 0] + 1) % 11
    return replace(task, prompts={**task.prompts, column: ids})


def shifted(name: str) -> TaskData:
    """The task with a position elsewhere on one row."""
    places = list(TASK.positions[name])
    places[0] = ((places[0][0] + 1) % 5,)
    return replace(TASK, positions={**TASK.positions, name: tuple(places)})


ANSWER = replace(TASK, answers={**TASK.answers, "t3": ((4,), *TASK.answers["t3"][1:])})
LABEL = replace(TASK, labels={"template": ("z", *TASK.labels["template"][1:])})
RENAMED = replace(TASK, row_ids=("new", *TASK.row_ids[1:]))
COPIED = replace(
    TASK,
    repeats=Repeats(
        reference=np.arange(TASK.n_rows), pairs={}, first=np.arange(TASK.n_rows) // 2 * 2
    ),
)
LONGER = replace(TASK, lengths=np.array([TASK.lengths[0], 4, *TASK.lengths[2:]]))
WITHOUT_POSITIONS, AT_A, AT_S = "q", "c", "b"


@pytest.mark.parametrize(
    ("run", "task", "matters"),
    [
        (treat(WITHOUT_POSITIONS), changed("prompt"), True),
        (treat(WITHOUT_POSITIONS), changed("other"), True),
        (treat(WITHOUT_POSITIONS), LONGER, True),
        (treat(WITHOUT_POSITIONS), ANSWER, True),
        (REFERENCE, changed("prompt"), True),
        (REFERENCE, changed("other"), False),
        (treat(WITHOUT_POSITIONS, ZERO), changed("other"), False),
        (treat(WITHOUT_POSITIONS, NOISE), changed("other"), False),
        (treat(WITHOUT_POSITIONS, MEAN), changed("other"), True),
        (treat(WITHOUT_POSITIONS, RESAMPLE), changed("other"), True),
        (treat(WITHOUT_POSITIONS), LABEL, False),
        (treat(WITHOUT_POSITIONS, MEAN), LABEL, True),
        (treat(WITHOUT_POSITIONS, replace(MEAN, by="")), LABEL, False),
        (treat(WITHOUT_POSITIONS), RENAMED, False),
        (treat(WITHOUT_POSITIONS, NOISE), RENAMED, True),
        (treat(WITHOUT_POSITIONS, RESAMPLE), RENAMED, True),
        (treat(WITHOUT_POSITIONS, RESAMPLE), COPIED, True),
        (treat(WITHOUT_POSITIONS, MEAN), COPIED, False),
        (treat(WITHOUT_POSITIONS), shifted("A"), False),
        (treat(AT_A), shifted("A"), True),
        (treat(AT_A), shifted("S"), False),
        (treat(AT_S), shifted("S"), True),
        (treat(WITHOUT_POSITIONS, NOISE), shifted("S"), True),
        (treat(WITHOUT_POSITIONS, replace(NOISE, at=(PLACE,))), shifted("S"), False),
    ],
)  # fmt: skip
def test_data_enter_the_key_where_they_are_read(
    run: RunSpec, task: TaskData, matters: bool
) -> None:
    assert (key(run) != key(run, task=task)) == matters


def test_the_place_of_a_measure_enters_the_key() -> None:
    at_a = replace(LOGIT, position="A")
    assert key(REFERENCE, at_a) != key(REFERENCE, at_a, shifted("A"))
    assert key(REFERENCE, LOGIT) == key(REFERENCE, LOGIT, shifted("A"))
    mass = Measure(kind="attention", head=(1, 0), query="END", key="S")
    assert key(REFERENCE, mass) != key(REFERENCE, mass, shifted("S"))
    assert key(REFERENCE, mass) == key(REFERENCE, mass, ANSWER)


def test_what_a_measure_of_components_reads_enters_the_key() -> None:
    beside = Measure(kind="cosine", nodes="m0", run="treated")

    def found(own: TreatedSpec, task: TaskData = TASK, measure: Measure = beside) -> str | None:
        return TaskKeys("s", task, "recompute", own).value(REFERENCE, measure)

    other = replace(TASK, prompts={**TASK.prompts, "other": TASK.prompts["other"] + 1})
    assert len({found(PAIRED), found(MEAN), found(ZERO), found(PAIRED, other)}) == 4
    alone = replace(beside, run="reference")
    assert found(PAIRED, TASK, alone) == found(ZERO, other, alone)
    copies = Measure(kind="copy_score", head=(0, 1), of=("S",), top=5)
    assert key(REFERENCE, copies) != key(REFERENCE, copies, shifted("S"))
    assert key(REFERENCE, copies) == key(REFERENCE, copies, shifted("A"))


def test_setting_and_norm_enter_every_key() -> None:
    run = treat("q")
    assert len({key(run), key(run, setting="other"), key(run, layernorm="freeze")}) == 3
    proofs = [
        TaskKeys(setting, task, norm).proofs(treated)
        for setting, task, norm, treated in [
            ("s", TASK, "recompute", PAIRED),
            ("x", TASK, "recompute", PAIRED),
            ("s", changed("prompt"), "recompute", PAIRED),
            ("s", changed("other"), "recompute", PAIRED),
            ("s", TASK, "freeze", PAIRED),
            ("s", TASK, "recompute", MEAN),
            ("s", TASK, "recompute", None),
        ]
    ]
    assert len(set(proofs)) == len(proofs)
    assert TaskKeys("s", ANSWER, "recompute").proofs(PAIRED) == proofs[0]


# ------------------------------------------------------------------------------- spelling


def test_values_that_differ_are_spelled_differently() -> None:
    others = [None, True, False, 1, 1.0, "1", "", 0, 0.0, -0.0, (), ("",), ((),), b"", {"a": 1},
              np.zeros(2), np.zeros((2, 1)), np.zeros(2, np.int64), float("nan")]  # fmt: skip
    assert len({digest(value) for value in others}) == len(others)
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest("a", "bc") != digest("ab", "c")
    assert digest(1 << 200_000) != digest(1 << 200_001)  # a mask of a large graph


def test_what_has_no_spelling_is_refused() -> None:
    with pytest.raises(TypeError, match="`object` has no spelling"):
        as_json(object())


# ------------------------------------------------------------------------------- the setting


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(bundled("induction-2l"), folder)
    return folder


def setting(
    folder: Path, store: Path, limits: Limits | None = None, threads: int | None = 1, **more: str
) -> str:
    source = ModelSource(kind="folder", location=str(folder), **more)  # type: ignore[arg-type]
    with Store(store) as kept:
        return LazyModel(source, "cpu", threads, kept).setting(limits or Limits())


def test_the_same_model_has_the_same_setting(model: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = setting(model, store)
    elsewhere = shutil.copytree(model, tmp_path / "copy")
    assert first == setting(model, store) == setting(elsewhere, store)
    assert first == setting(model, tmp_path / "another store")


def _weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    arrays = {name: array.copy() for name, array in load_file(path).items()}
    name = max(arrays, key=lambda one: arrays[one].size)
    arrays[name].flat[0] += 0.5
    save_file(arrays, path, metadata={"format": "pt"})


def _config(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"note": "changed"}))


@pytest.mark.parametrize("change", [_weights, _config])
def test_weights_and_config_enter_the_setting(
    model: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    before = setting(model, tmp_path / "store")
    change(model)
    assert setting(model, tmp_path / "store") != before


@pytest.mark.parametrize(
    "limits", [Limits(memory=1_000_000), Limits(max_states=99), Limits(max_copies=999)]
)
def test_limits_enter_the_setting(model: Path, tmp_path: Path, limits: Limits) -> None:
    assert setting(model, tmp_path / "s", limits) != setting(model, tmp_path / "s")


def test_dtype_and_threads_enter_the_setting(model: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    found = {setting(model, store), setting(model, store, dtype="float64"),
             setting(model, store, threads=2)}  # fmt: skip
    assert len(found) == 3
    torch.set_num_threads(1)


@pytest.mark.parametrize("which", ["program_text", "versions", "processor", "_device_name"])
def test_program_libraries_and_machine_enter_the_setting(
    model: Path, tmp_path: Path, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = setting(model, tmp_path / "store")
    monkeypatch.setattr(lazymodel, which, lambda *_: {"other": "1"})
    assert setting(model, tmp_path / "store") != before


def test_versions_and_program_text_are_those_of_now() -> None:
    found = storekeys.versions()
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"numpy", "scipy", "transformers"} < set(found)
    assert len(storekeys.program_text()) == 64
    assert storekeys.program_text.__wrapped__() == storekeys.program_text()


def test_every_module_that_computes_is_in_the_program_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(storekeys.__file__).parents[2]
    copy = tmp_path / "pathdsl"
    for part in ("draws.py", "lang/signatures/treated.py", "graph", "plan", "engine"):
        place = root / part
        (shutil.copytree if place.is_dir() else _copy)(place, copy / part)
    monkeypatch.setattr(storekeys, "__file__", str(copy / "engine" / "store" / "digest.py"))
    text = storekeys.program_text.__wrapped__
    before = text()
    for name in ("draws.py", "lang/signatures/treated.py", "engine/run/attention.py",
                 "engine/adapters/gpt2.py", "plan/copies.py",
                 "graph/paths/automaton.py"):  # fmt: skip
        path = copy / name
        path.write_text(path.read_text() + "# another\n")
        assert text() != before
        before = text()


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def test_treated_values_and_tasks_have_no_field_that_keys_miss() -> None:
    """A new field must be thought about: see `TaskKeys._read_by` and `Recall`."""
    treated = {"kind", "column", "by", "at", "scale", "seed", "draws"}
    assert {f.name for f in fields(TreatedSpec)} == treated
    data = {"row_ids", "reference", "prompts", "lengths", "answers", "positions", "labels"}
    data |= {"repeats", "appended", "apart", "special"}
    not_read = {"name", "clusters", "crossed", "tokens", "facts", "key", "drawn", "first_answers"}
    not_read |= {"unchanged", "near_copies"}  # follow from the prompts
    not_read |= {"whole", "answer_tokens", "branches", "longest"}  # keys are of each branch's rows
    assert {f.name for f in fields(TaskData)} == data | not_read
    spec = {"layernorm", "routing", "treated"}
    before_rows = {"name", "data", "reference", "positions", "cluster", "crossed", "bos", "average",
                   "filters", "span"}  # fmt: skip
    before_rows |= {"tokens", "answers", "chat"}  # what they decide are token ids, which are read
    only_reported = {"split_by"}  # claims are shown by its values; no run is another for it
    assert {f.name for f in fields(TaskSpec)} == spec | before_rows | only_reported


def test_generations_of_one_name_are_other_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "processor\t: {}\ncpu family\t: 25\nmodel\t\t: {}\nmodel name\t: Fast One\n"

    def text(model: int) -> str:
        both = told.format(0, model) + "\n" + told.format(1, model)
        monkeypatch.setattr(Path, "read_text", lambda self, **options: both)
        return storekeys.processor.__wrapped__()

    assert "Fast One family 25 model 1" in text(1)
    assert text(1) != text(17)
    monkeypatch.setattr(Path, "read_text", lambda self, **options: "Hardware : none of these\n")
    assert "family" not in storekeys.processor.__wrapped__()
