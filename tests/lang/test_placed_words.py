"""Means at named places and noise of several draws, as they are written: what lint says of them."""

from __future__ import annotations

import pytest

from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import load_program
from pathdsl.plan.treated import EVERY, TreatedSpec, treated_spec

FILE = """circuit placed "Placed" {{ language = 1 }}
model mini = bundled("ioi-mini")
task ioi {{ data = mini_ioi(take: 60); reference = prompt; treated = {} }}
metric LD: logits = logit(io) - logit(s)
let x = effect(through(a3.h1@END))
"""


def faults(treated: str) -> list[str]:
    return [one.code for one in lint_file("placed.circuit", FILE.format(treated))[1]]


@pytest.mark.parametrize(
    "treated",
    [
        "mean(prompt_abc, at: any)",
        "mean(prompt_abc, at: END)",
        "mean(prompt_abc, by: id, at: [S1, END-1])",
        "mean(prompt_abc, by: template, at: S2)",
        "mean(prompt_abc, by: id)",
    ],
)
def test_means_that_are_well_written(treated: str) -> None:
    """Nothing is said; only a coarse count of rows could be, and of groups of one by id is not."""
    assert faults(treated) in ([], ["PD508"])
    assert faults(treated) == [] or "template" in treated


@pytest.mark.parametrize(
    ("treated", "code"),
    [
        ("mean(prompt_abc, at: [any])", "PD115"),
        ("mean(prompt_abc, at: [S1, any])", "PD115"),
        ("mean(prompt_abc, at: [])", "PD115"),
        ("mean(prompt_abc, at: S3)", "PD109"),
        ("mean(prompt_abc, at: attn)", "PD115"),
        ('mean(prompt_abc, at: "S1")', "PD115"),
        ("mean(prompt_abc, at: END, at: S1)", "PD018"),
        ("mean(prompt_abc, by: ids, at: END)", "PD301"),
        ("mean(prompt, END)", "PD117"),
        ("mean(at: END)", "PD113"),
        ("zero(at: END)", "PD117"),
        ("resample(prompt, at: END)", "PD117"),
        ("resample(prompt, by: id)", "PD301"),
        ("noise(at: any)", "PD115"),
        ("noise(at: S1, draws: 0)", "PD116"),
        ("noise(at: S1, draws: 1.5)", "PD115"),
    ],
)
def test_means_that_are_not(treated: str, code: str) -> None:
    assert code in faults(treated)


def test_a_value_is_written_as_the_language_writes_it() -> None:
    for text in (
        "mean(prompt_abc, at: any)",
        "mean(prompt_abc, by: id, at: [S1, END-1])",
        "mean(prompt_abc, by: template)",
        "noise(at: [S1], scale: 3, seed: 0)",
        "noise(at: [S1], scale: 3, draws: 10, seed: 0)",
        "resample(prompt, draws: 8, seed: 0)",
        "resample(prompt, draws: 1, seed: 0)",
    ):
        program, found = load_program("placed.circuit", FILE.format(text))
        assert not found
        field = next(f for f in program.tasks["ioi"].fields if f.name == "treated")
        assert str(treated_spec(field.value)) == text


def test_what_follows_from_places_and_draws() -> None:
    mean = TreatedSpec(kind="mean", column="prompt", at=(EVERY,))
    assert mean.placed and mean.runs == 1 and not mean.by_draw
    assert not TreatedSpec(kind="mean", column="prompt").placed
    noise = TreatedSpec(kind="noise", at=(EVERY,))
    assert not noise.placed and not noise.by_draw
    several = TreatedSpec(kind="noise", at=(EVERY,), draws=10)
    assert several.by_draw and several.runs == 10
    assert TreatedSpec(kind="resample", column="prompt", draws=1).by_draw
