"""PD645: a stated memory that one prompt at a time is too much for."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions, read_size
from pathdsl.checking.planned import plan_file
from pathdsl.engine.load import room
from pathdsl.engine.load.header import Stored
from pathdsl.engine.load.room import least_stated, room_of, sized
from pathdsl.engine.load.source import ModelSource
from pathdsl.engine.planner import Limits
from pathdsl.errors import Diagnostic, EngineError

FILE = """
circuit x "x" { language = 1 }
model m = bundled("ioi-mini")
task ioi { data = ioi(take: 8, seed: 0); reference = prompt; treated = prompt_abc }
metric LD: logits = logit(io) - logit(s)
let kept: logits = mean(LD(reference))
"""
SLOPE = "let slope: logits = attribution(a3.h1, task: ioi, metric: LD, by: atp)\n"


def told(found: object) -> list[Diagnostic]:
    said = getattr(found, "warnings", None) or getattr(found, "diagnostics", ())
    return [one for one in said if one.code == "PD645"]


@pytest.mark.parametrize("more", ["", SLOPE], ids=["runs", "attribution"])
def test_the_least_that_is_named_is_enough(more: str, tmp_path: Path) -> None:
    path = tmp_path / "x.circuit"
    path.write_text(FILE + more)
    (warning,) = told(plan_file(str(path), CheckOptions(limits=Limits(memory=1))))
    assert "`--memory 1B` is less than task `ioi` takes" in warning.message
    name, _, size = warning.help.partition(" ")
    assert name == "--memory"
    least = read_size(size)
    for memory, short in ((least * 9 // 10, True), (least, False)):
        options = CheckOptions(limits=Limits(memory=memory), threads=1)
        assert bool(told(plan_file(str(path), options))) == short
    # What is computed says the same.
    assert told(check_file(str(path), CheckOptions(limits=Limits(memory=1), threads=1))) == [
        warning
    ]


def test_without_a_statement_nothing_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.circuit"
    path.write_text(FILE)
    assert not told(plan_file(str(path), CheckOptions()))


WEIGHTS = st.lists(st.integers(1, 20), min_size=1, max_size=4)


@given(
    layers=WEIGHTS,
    beside=st.integers(1, 60),
    memory=st.integers(1, 400),
    values=st.integers(1, 400),
)
def test_least_stated_is_the_least_that_is_more(
    layers: list[int], beside: int, memory: int, values: int
) -> None:
    """Against every statement up to a large one."""
    sizes = {f"h.{n}.w": size for n, size in enumerate(layers)} | {"wte": beside}
    stored = {
        name: Stored(path=Path("f"), name=name, kind="F32", shape=(size,), begin=0, end=0)
        for name, size in sizes.items()
    }
    source = ModelSource(kind="folder", location="f", dtype="float32")

    def gives(stated: int) -> int:
        try:
            return room_of(source, stated).values
        except EngineError:
            return -1

    with (
        mock.patch.object(room, "weight_files", lambda source: []),
        mock.patch.object(room, "config_of", lambda source: {}),
        mock.patch.object(room, "stored_weights", lambda source, files, part: stored),
        mock.patch.object(room, "SMALL_WEIGHTS", 100),
    ):
        assume(0 <= gives(memory) < values)
        enough = (more for more in range(memory + 1, 5000) if gives(more) >= values)
        assert least_stated(room_of(source, memory), memory, values) == next(enough)


@given(st.integers(1, 10**13))
def test_sizes_are_said_as_they_are_read(count: int) -> None:
    assert count <= read_size(sized(count, up=True)) <= 1.1 * count
    assert abs(read_size(sized(count)) - count) <= 0.05 * count + 1
