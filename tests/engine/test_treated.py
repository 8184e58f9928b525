"""Treated values on rows, a whole task on a real tokenizer, and the pages of the codes."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pathdsl.engine.data.build import (
    build_task,
    load_rows,
)
from pathdsl.engine.data.prepare import prepare_tasks
from pathdsl.engine.data.treated import groups_of_one, mean_groups, noise_values, resample_rows
from pathdsl.engine.load.source import shape_of, source_from
from pathdsl.engine.load.weights import load_tokenizer
from pathdsl.errors import DataError, Severity
from pathdsl.graph.paths.pathset import Pos
from pathdsl.lang.program import load_program
from pathdsl.lang.rules.page import Example
from pathdsl.lang.rules.pd3_answers import PAGES as ANSWER_PAGES
from pathdsl.lang.rules.pd3_chat import PAGES as CHAT_PAGES
from pathdsl.lang.rules.pd3_data import PAGES as DATA_PAGES
from pathdsl.lang.rules.pd3_places import PAGES as PLACE_PAGES
from pathdsl.lang.rules.pd3_readings import PAGES as READING_PAGES
from pathdsl.lang.rules.pd3_sources import PAGES as SOURCE_PAGES
from pathdsl.lang.rules.pd3_where import PAGES as WHERE_PAGES
from pathdsl.lang.rules.pd6_models import MODEL_PAGES
from pathdsl.plan.treated import TreatedSpec
from tests.engine.data_cases import (
    ROOT,
    SHAPE,
    SHARED,
    both,
    build,
    data,
    faults_of,
    spec,
)

# ------------------------------------------------------------------------------- treated values

GROUPED = [
    {"id": "a", "prompt": [2, 3], "t": "x"},
    {"id": "b", "prompt": [2, 4], "t": "x"},
    {"id": "c", "prompt": [2, 5], "t": "y"},
    {"id": "d", "prompt": [2, 3, 4], "t": "x"},
    {"id": "e", "prompt": [2, 6], "t": "x"},
]
MEAN = TreatedSpec(kind="mean", column="prompt", by="t")


def test_mean_groups() -> None:
    task, warnings = both(GROUPED, spec(treated=MEAN))
    assert mean_groups(task, MEAN).tolist() == [0, 0, 1, 2, 0]
    assert groups_of_one(task, MEAN) == ("c", "d")
    assert mean_groups(task, replace(MEAN, by="")).tolist() == [0, 0, 0, 1, 0]
    assert [(d.code, d.severity) for d in warnings] == [("PD341", Severity.WARNING)]


def test_resample() -> None:
    rows = [row for row in GROUPED if row["id"] != "d"]
    how = TreatedSpec(kind="resample", column="prompt", draws=5, seed=0)
    task = build(rows, spec(treated=how))
    drawn = resample_rows(task, how)
    assert drawn.shape == (5, 4)
    assert not (drawn == np.arange(4)).any()
    assert all(len(set(drawn[:3, row])) == 3 for row in range(4))  # different while they last
    assert (resample_rows(task, replace(how, draws=2)) == drawn[:2]).all()
    assert (resample_rows(task, replace(how, seed=1)) != drawn).any()
    back = build(rows[::-1], spec(treated=how))
    names = [[task.row_ids[i] for i in one] for one in drawn]
    assert names == [[back.row_ids[i] for i in one][::-1] for one in resample_rows(back, how)]
    said = faults_of(GROUPED, spec(treated=replace(how, by="t")))
    assert [d.code for d in said] == ["PD343"]
    assert "`t` `y`" in said[0].message and said[0].notes == ("likewise row `d`",)


NOISE = [1.3451602821202882, 6.727451009599665]  # fixed for ever


def test_noise() -> None:
    how = TreatedSpec(kind="noise", at=(Pos(name="S"), Pos(name="END")), scale=3.0, seed=0)
    rows = [{**row, "positions": {"S": 1}} for row in GROUPED]
    task = build(rows, spec(treated=how))
    noise = noise_values(task, how, np.arange(5), 64, 2.0)
    assert noise.shape == (5, 3, 64)
    assert noise.dtype == np.float64
    assert not noise[:, 0].any()
    assert noise[0, 1].any()
    assert noise[3, 1].any()
    assert noise[3, 2].any()
    assert not noise[0, 2].any()
    some = noise_values(task, how, np.array([4, 0]), 64, 2.0)
    assert (some == noise[[4, 0], :2]).all()
    assert (
        noise_values(task, replace(how, at=(Pos(name="END"),)), np.arange(5), 64, 2.0)[3, 2]
        == noise[3, 2]
    ).all()
    assert (noise_values(task, how, np.arange(5), 64, 2.0, draw=1) != noise)[0, 1].all()
    wide = noise_values(task, how, np.array([0]), 100_000, 2.0)[0, 1]
    assert wide.std() == pytest.approx(6.0, rel=0.02)
    assert abs(wide.mean()) < 0.1
    assert noise_values(task, how, np.array([0]), 2, 1.0)[0, 1].tolist() == pytest.approx(
        NOISE, rel=1e-12
    )


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (TreatedSpec(kind="noise", at=(Pos(name="Q"),)), "PD338"),
        (TreatedSpec(kind="noise", at=(Pos(name="END", offset=1),)), "PD336"),
    ],
)
def test_noise_at_no_place(how: TreatedSpec, code: str) -> None:
    assert {d.code for d in faults_of(GROUPED, treated=[how])} == {code}


# ------------------------------------------------------------------------------- the whole way


def test_ioi_on_the_real_tokenizer(tmp_path: Path) -> None:
    pytest.importorskip("pathdsl.tasks")
    folder = SHARED / "models" / "gpt2-tokenizer"
    if not folder.exists():
        pytest.skip(f"{folder} is not here")
    from transformers import GPT2Tokenizer

    tokenizer = GPT2Tokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    shape = replace(SHAPE, d_vocab=50257, n_positions=1024)
    mean = TreatedSpec(kind="mean", column="prompt_abc", by="template")
    task_ = replace(
        data("ioi", "", take=60, seed=0),
        treated=mean,
        positions=("IO", "S1", "S2"),
        cluster="order",
    )
    rows = load_rows(task_, tmp_path)
    task, warnings = build_task(task_, rows, tokenizer, shape, answer_columns=["io", "s"])
    assert warnings == ()
    for row, given in enumerate(rows.rows):
        for place, answer in (("IO", "io"), ("S1", "s"), ("S2", "s")):
            (at,) = task.positions[place][row]
            assert task.tokens[row][at].strip() == given[answer].strip()
        assert task.tokens[row][task.positions["END"][row][0]] == " to"
    assert int(mean_groups(task, mean).max()) == 29


def test_no_torch() -> None:
    script = (
        "import sys; import pathdsl.engine.data.build, pathdsl.engine.data.treated; "
        "assert not {'torch', 'transformers', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


# ------------------------------------------------------------------------------- the pages


PAGES = (*DATA_PAGES, *READING_PAGES, *PLACE_PAGES)


def pages_with_examples() -> list[object]:
    return [
        pytest.param(page.code, example, wanted, id=f"{page.code}-{wanted}")
        for page in PAGES
        for example, wanted in ((page.failing, True), (page.passing, False))
        if example is not None
    ]


@pytest.mark.parametrize(("code", "example", "wanted"), pages_with_examples())
def test_examples_of_the_pages(code: str, example: Example, wanted: bool, tmp_path: Path) -> None:
    path = tmp_path / "example.circuit"
    path.write_text(example.text)
    for name_, text in example.files.items():
        (tmp_path / name_).write_text(text)
    program, faults = load_program(str(path))
    assert program.model is not None
    assert not faults
    source = source_from(program.model, tmp_path)
    shape = shape_of(source)
    assert shape is not None
    try:
        found = prepare_tasks(program, load_tokenizer(source), shape).warnings
        codes = [fault.code for fault in found]
    except DataError as error:
        codes = [fault.code for fault in error.diagnostics]
    # Method warnings (PD5) are about how few rows an example has.
    assert {c for c in codes if not c.startswith("PD5")} == ({code} if wanted else set())


def test_every_code_has_a_page() -> None:
    emitted: set[str] = set()
    for path in (ROOT / "pathdsl" / "engine").rglob("*.py"):
        emitted |= set(re.findall(r'"(PD3[2-9]\d|PD6[01]\d|PD62[0-2])"', path.read_text()))
    elsewhere = {"PD362", "PD379"}  # said by the check, and by lint
    told = {
        page.code
        for page in (*PAGES, *WHERE_PAGES, *CHAT_PAGES, *ANSWER_PAGES, *SOURCE_PAGES, *MODEL_PAGES)
        if page.code >= "PD320"
    }
    assert emitted == told - elsewhere
