"""The short run: a few seeded cases of every boundary; `python -m tests.fuzz` is the long one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests import seeds as counts
from tests.fuzz.__main__ import case
from tests.fuzz.boundaries import BOUNDARIES, sound_folder
from tests.fuzz.judge import Answer, faults
from tests.fuzz.mutate import RAW, changed_json, changed_text


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "sound"
    sound_folder(folder)
    return folder


@pytest.mark.parametrize("numbers", counts.chunks("broken"))
@pytest.mark.parametrize("name", BOUNDARIES)
def test_broken_files_are_answered(
    name: str, numbers: tuple[int, ...], sound: Path, tmp_path: Path
) -> None:
    wrong = {}
    for number in numbers:
        answer, found = case(name, number, 0, sound, tmp_path / "case")
        if found:
            wrong[number] = (answer.words, found)
    assert not wrong


def test_the_judge_sees_what_is_wrong() -> None:
    def told(code: int, said: str, **more: object) -> list[str]:
        return faults(Answer(words=("check",), code=code, said=said, seconds=0.1, **more))  # type: ignore[arg-type]

    assert not told(2, "error[PD322]: line 3 of `rows.jsonl` is not JSON")
    for code, said in (
        (3, "this is a bug in pathdsl: TypeError"),
        (2, "Traceback (most recent call last)"),
        (2, "something in `rows.jsonl`"),
        (2, "error[PD322]: something"),
        (1, "all \x1b[2J is well"),
        (7, "x.circuit"),
        (0, "x" * 100_000),
    ):
        assert told(code, said), (code, said)
    assert told(-1, "", raised="ValueError: x")


def test_changes_are_those_of_their_seed() -> None:
    text = '{"a": [1, {"b": "c"}], "d": null}'
    for change in (changed_json, changed_text):
        made = [change(text, random.Random(seed)) for seed in range(200)]
        assert made == [change(text, random.Random(seed)) for seed in range(200)]
        assert len(set(made)) > 100
    every = b"".join(changed_json(text, random.Random(seed)) for seed in range(600))
    assert all(raw.encode() in every for raw in RAW.values())
