"""Measures of components and `broken` in whole checks: values, store, and runs nobody asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pathdsl import check
from pathdsl.engine.store.store import Store

FILE = """
circuit c {{ language = 1 }}
model mini = bundled("ioi-mini", dtype: float64)
task ioi {{ data = mini_ioi(take: 40); reference = prompt; treated = {treated} }}
group movers @END = {{ a3.h1, a3.h2 }}
path direct = movers -> logits
path other  = a2.h1 -> logits
metric LD: logits    = logit(io) - logit(s)
metric write: logits = dla(movers, io) - dla(movers, s)
metric one: logits   = dla(a3.h1, io) - dla(a3.h1, s)
metric two: logits   = dla(a3.h2, io) - dla(a3.h2, s)
metric long          = norm(movers)
metric turned        = cosine(movers, reference)
metric away          = cosine(movers, treated)
metric copies        = copy_score(a3.h1, of: [IO, S1])
metric negates       = copy_score(a3.h1, of: [IO, S1], negated: true)
"""


def checked(folder: Path, text: str, treated: str = "prompt_abc", **options: Any) -> dict[str, Any]:
    path = folder / "x.circuit"
    path.write_text(FILE.format(treated=treated) + text, encoding="utf-8")
    found: dict[str, Any] = check(path, **options).to_dict()["files"][0]
    return found


def estimates(found: dict[str, Any]) -> dict[str, float]:
    errors = [d["message"] for d in found["diagnostics"] if d["severity"] == "error"]
    assert errors == []
    return {one["name"]: one["estimate"] for one in found["quantities"]}


def test_sums_shares_and_what_runs_have_in_common(tmp_path: Path) -> None:
    found = estimates(
        checked(
            tmp_path,
            "let whole: logits = mean(write(treat(other)))\n"
            "let parts: logits = mean(one(treat(other))) + mean(two(treat(other)))\n"
            "let at_once: logits = mean(write(treat(direct)))\n"
            "let plainly: logits = mean(write(treated))\n"
            "let length = mean(long(treat(direct)))\n"
            "let plain_length = mean(long(treated))\n"
            "let there = mean(away(reference))\n"
            "let back = mean(turned(treat(direct)))\n"
            "let itself = mean(turned(treat(other)))\n"
            "let right = accuracy(reference, answer: io)\n"
            "let left = accuracy(treat(direct), answer: io)\n"
            "let lost = broken(reference, treat(direct), answer: io)\n"
            "let won = broken(treat(direct), reference, answer: io)\n"
            "let copied = mean(copies(reference))\n"
            "let negated = mean(negates(reference))\n",
            store=None,
        )
    )
    assert found["whole"] == pytest.approx(found["parts"], abs=1e-9)
    # The heads' direct copies are the treated run's; only the scale of the final norm is not.
    assert found["length"] == pytest.approx(found["plain_length"], abs=1e-9)
    assert found["at_once"] != pytest.approx(found["plainly"], abs=1e-3)
    assert found["there"] == pytest.approx(found["back"], abs=1e-9)
    assert found["itself"] == pytest.approx(1.0, abs=1e-9)
    assert found["left"] == pytest.approx(found["right"] - found["lost"] + found["won"], abs=1e-12)
    assert found["lost"] > 0
    assert found["copied"] == 0 and found["negated"] > 0.5  # it takes S2's logit away


def test_values_of_a_task_with_another_treated_value_are_others(tmp_path: Path) -> None:
    """`cosine(…, treated)` of the reference run is no value of the reference run alone."""
    text, store = "let x = mean(away(reference))\n", Store(tmp_path / "store")
    first = estimates(checked(tmp_path, text, store=store))["x"]
    again = checked(tmp_path, text, store=store)
    assert estimates(again)["x"] == first and again["store"]["computed"] == 0
    mean = estimates(checked(tmp_path, text, "mean(prompt_abc)", store=store))["x"]
    assert abs(mean - first) > 0.01


def test_a_run_that_only_the_report_asks_for_does_not_end_the_check(tmp_path: Path) -> None:
    """With all paths treated by zero nothing has a direction: `full` is not tried there."""
    found = checked(
        tmp_path,
        "claim c: mean(turned(treat(other))) > 0.5 at 95% confidence\n",
        "zero",
        store=None,
    )
    assert estimates(found) == {}
    assert [claim["verdict"] for claim in found["claims"]] == ["supported"]


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        ("mean(turned(treated)) > 0.5", "PD261"),
        ("mean(copies(treated)) > 0.5", "PD260"),
    ],
)
def test_what_cannot_be_measured_is_said(tmp_path: Path, claim: str, code: str) -> None:
    found = checked(tmp_path, f"claim c: {claim} at 95% confidence\n", "zero", store=None)
    assert code in [d["code"] for d in found["diagnostics"]]
    assert found["claims"] == []
