"""Means at named places from rows to verdicts: what is told of them, kept of them, and varied."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pathdsl
from pathdsl.engine.data.answers import with_branches
from pathdsl.engine.data.faults import DataFaults
from pathdsl.engine.data.places import places
from pathdsl.engine.data.tokens import Encoder
from pathdsl.engine.data.treated import mean_groups
from pathdsl.engine.store.keys import TaskKeys
from pathdsl.graph.paths.pathset import Pos
from pathdsl.lang.program import load_program
from pathdsl.lang.vary.task_axes import Treated
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.treated import EVERY, TreatedSpec
from tests.engine.data_cases import SHAPE, both, build, faults_of, spec
from tests.engine.test_chat import CHAT, CHATML, WIDE, make
from tests.engine.test_chat import build as chat_build

A, END = Pos(name="A"), Pos(name="END")


def mean(*at: Pos, by: str = "", column: str = "other") -> TreatedSpec:
    return TreatedSpec(kind="mean", column=column, by=by, at=at)


def rows(*others: list[int], **more: Any) -> list[dict[str, Any]]:
    """One row for each prompt of `other`; the reference prompts have four tokens."""
    return [
        {"id": f"r{i}", "prompt": [2, 3 + i, 4, 5 + i], "other": ids, "positions": {"A": 1}, **more}
        for i, ids in enumerate(others)
    ]


# ------------------------------------------------------------------------------- rows


def test_a_column_has_lengths_and_places_of_its_own() -> None:
    table = rows([2, 9, 9, 8, 7], [2, 6])
    for row, place in zip(table, (3, 0), strict=True):
        row["positions"] = {"A": 1, "other": {"A": place}}
    task = build(table, spec(treated=mean(A, END)))
    assert task.apart["other"].lengths.tolist() == [5, 2]
    assert task.apart["other"].positions == {"A": ((3,), (0,)), "END": ((4,), (1,))}
    assert places(task, mean(A, END)).tolist() == [[-1, 0, -1, 1]] * 2
    theirs = task.reading("other")
    assert places(theirs, mean(A, END)).tolist() == [[-1, -1, -1, 0, 1], [0, 1, -1, -1, -1]]
    assert task.prompts["other"].shape == (2, 5) and task.prompts["prompt"].shape == (2, 4)
    assert mean_groups(task, mean(A)).tolist() == [0, 0]
    assert mean_groups(task, mean(A, by="id")).tolist() == [0, 1]


def test_on_prompts_of_one_length_places_are_shared() -> None:
    table = rows([2, 9, 9, 8], [2, 6, 7, 7])
    assert build(table, spec(treated=mean(A, END))).apart == {}
    table[0]["positions"] = {"A": 1, "other": {"A": [0, 2]}}
    task = build(table, spec(treated=mean(A, END)))
    assert task.apart["other"].positions["A"] == ((0, 2), (1,))


@pytest.mark.parametrize(
    ("table", "treated", "code"),
    [
        (rows([2, 9], [2, 6, 7]), [mean(A)], "PD368"),
        (rows([2, 9], [2, 6, 7]), [mean(END)], ""),
        (rows([2, 9], [2, 6, 7]), [mean(Pos(name="END", offset=-1), END)], ""),
        (rows([2, 9], [2, 6, 7]), [mean(Pos(name="END", offset=-2))], "PD336"),
        (rows([2, 9], [2, 6, 7]), [mean(EVERY)], ""),
        (rows([2, 9], [2, 6, 7]), [mean()], "PD334"),
        (rows([2, 9], [2, 6, 7]), [mean(END), TreatedSpec(kind="paired", column="other")], "PD334"),
        (rows([2, 9, 8, 7], [2, 6, 7, 7]), [mean(A, Pos(name="END", offset=-2))], "PD369"),
        (rows([2, 9, 8, 7], [2, 6, 7, 7]), [mean(END, END)], "PD369"),
        (rows([2, 9, 8, 7], [2, 6, 7, 7]), [mean(Pos(name="Q"))], "PD338"),
        (rows([2, 9, 8, 7], [2, 6, 7, 7]), [mean(A, by="kind")], "PD328"),
        (rows([2, 9, 8, 7], [2, 6, 7, 7]), [mean(A, by="id", column="prompt")], "PD358"),
        (rows([2, 9, 8, 7], [2, 6, 7, 7]), [mean(EVERY, by="id", column="prompt")], ""),
    ],
)
def test_rows_that_a_mean_does_not_fit(table: list[Any], treated: list[Any], code: str) -> None:
    if not code:
        said = both(table, spec(treated=treated[0]))[1]
        assert {one.code for one in said} <= {"PD508"}
        return
    assert {one.code for one in faults_of(table, spec(treated=treated[0]), treated=treated)} == {
        code
    }


def test_what_is_said_of_groups_and_what_is_not() -> None:
    """`at:` is what PD517 and PD508 name, and neither is said of a mean at places."""
    table = [
        {"id": str(i), "prompt": [2, 3 + i, 4, 5], "kind": "xy"[i % 2],
         "positions": {"A": 1 + i % 2}} for i in range(4)
    ]  # fmt: skip
    plain = TreatedSpec(kind="mean", column="prompt")
    said = {one.code: one for one in both(table, spec(treated=plain))[1]}
    assert "at: [A]" in said["PD517"].help and "at: [END]" in said["PD508"].help
    many = [{**row, "id": f"{row['id']}{n}", "prompt": [2, 3 + n, *row["prompt"]],
             "positions": {"A": row["positions"]["A"] + n % 2}}
            for n in range(6) for row in table]  # fmt: skip
    assert both(many, spec(treated=mean(A, column="prompt")))[1] == ()
    assert both(many, spec(treated=mean(A, column="prompt", by="kind")))[1] == ()
    few = both(table, spec(treated=mean(A, column="prompt", by="kind")))[1]
    assert [one.code for one in few] == ["PD508"]
    assert "length" not in few[0].message


def test_the_store_tells_places_apart() -> None:
    table = rows([2, 9, 9, 8], [2, 6, 7, 7])
    measure = Measure(kind="logit", column="next")
    keys = set()
    for given in (1, 2):
        for row in table:
            row["positions"] = {"A": given}
        for one in (mean(A), mean(END), mean(A, END), mean(A, by="id"), mean(EVERY), mean()):
            task = build(table, spec(treated=one))
            run = RunSpec(task="t", kind="treated", treated=one)
            keys.add(TaskKeys("s", task, "recompute", one).value(run, measure))
    assert len(keys) == 9  # of the second round those alone that read A


# ------------------------------------------------------------------------------- whole files

HEAD = """circuit placed "Placed" { language = 1 }
model mini = bundled("ioi-mini", dtype: float64)
"""
METRIC = "metric LD: logits = logit(io) - logit(s)\n"


def check(folder: Path, text: str) -> Any:
    path = folder / "placed.circuit"
    path.write_text(HEAD + text)
    return pathdsl.check(str(path))


def test_nothing_at_its_places(tmp_path: Path) -> None:
    task = (
        "task ioi { data = mini_ioi(take: 20); reference = prompt; "
        "treated = mean(prompt_abc, at: [S1]) }\n"
    )
    lines = [
        "let part  = faithfulness(through(a1.h1@S1))",
        "let still = effect(through(a3.h1@END))",
        "let some  = effect(through(a1.h1@S1))",
        "let whole = mean(LD(treated))",
        "let other = effect(through(a3.h1), treated: mean(prompt_abc, at: END))",
        "let never = effect(through(a2.h1@S1), treated: mean(prompt_abc, at: END))",
        "let sweep for p in [S1, END]: logits = effect(through(a1.h1@p))",
    ]
    outcome = check(tmp_path, task + METRIC + "\n".join(lines) + "\n").outcome
    before = len((HEAD + task + METRIC).splitlines())
    text = (tmp_path / "placed.circuit").read_text()
    told = [one.span for one in outcome.diagnostics if one.code == "PD535"]
    lines_of = sorted(text[: span.start].count("\n") - before for span in told)
    assert lines_of == [0, 1, 3, 5]
    found = {one.name: one.estimate for one in outcome.judgement.quantities}
    assert found["still"] == 0 and found["some"] != 0
    assert found["sweep[END]"] == pytest.approx(0, abs=1e-9)


def test_draws_of_noise_are_averaged_by_prompt(tmp_path: Path) -> None:
    tasks = "".join(
        f"task n{n} {{ data = mini_ioi(take: 20); reference = prompt; "
        f"treated = noise(at: [S2]{draws}) }}\n"
        for n, draws in ((0, ""), (1, ", draws: 1"), (4, ", draws: 4"))
    )
    lets = "".join(f"let x{n} = effect(through(a3.h1@END), task: n{n})\n" for n in (0, 1, 4))
    result = check(tmp_path, tasks + METRIC + lets)
    found = {one.name: one for one in result.outcome.judgement.quantities}
    assert found["x0"].estimate == found["x1"].estimate != found["x4"].estimate
    assert found["x4"].n == 20  # prompts and not draws
    locked = [str(s.treated) for s in result.outcome.session.planner.specs.values()]
    assert locked[0] == locked[1] == "noise(at: [S2], scale: 3, seed: 0)"
    assert locked[2] == "noise(at: [S2], scale: 3, draws: 4, seed: 0)"


def test_special_tokens_are_named_and_a_column_of_other_lengths_is_run(tmp_path: Path) -> None:
    text = "Then, Sarah and Paul went to"
    data = [
        {"id": str(i), "prompt": f"Then, {a} and {b} went to the park. {b} gave a book to",
         "short": text if i % 2 else f"{text} the park", "io": f" {a}", "s": f" {b}"}
        for i, (a, b) in enumerate([("Mary", "John"), ("Sarah", "Paul"), ("Paul", "Mary")])
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
    task = (
        'task own {{ data = jsonl("rows.jsonl"); reference = prompt; '
        "treated = mean(short, by: id, at: {}) }}\n"
    )
    let = "let x = effect(through(a3.h1@END), task: own)\n"
    outcome = check(tmp_path, task.format("any") + METRIC + let).outcome
    assert any("`at: any` leaves out `<bos>`" in line for line in outcome.methodology.values())
    outcome = check(tmp_path, task.format("END") + METRIC + let).outcome
    assert np.isfinite(outcome.judgement.quantities[0].estimate)
    under = (
        "intervene less { scale a1.h1 = 0.5 }\n"
        "let y = mean(LD(treat(through(a3.h1@END)) with less))\n"
    )
    outcome = check(tmp_path, task.format("END") + METRIC + under).outcome
    assert [one.code for one in outcome.diagnostics if one.code == "PD225"] == ["PD225"]


def test_what_robustness_puts_in_its_place() -> None:
    def values(treated: str) -> tuple[str, ...]:
        text = HEAD + (
            f"task t {{ data = mini_ioi(take: 20); reference = prompt; treated = {treated} }}\n"
        )
        return Treated(name="treated").values(load_program("placed.circuit", text)[0])

    assert values("mean(prompt_abc, by: id, at: [S1])") == (
        "zero", "prompt_abc", "mean(prompt_abc)", "resample(prompt_abc)",
        "mean(prompt_abc, by: id, at: any)",
    )  # fmt: skip
    assert "mean(prompt_abc, at: any)" not in values("mean(prompt_abc, at: any)")
    assert not any("at:" in one for one in values("mean(prompt_abc)"))


def test_spans_of_a_chat_in_a_column_of_other_messages() -> None:
    ask = [{"role": "user", "content": " Is it Paris? "}]
    other = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "In Rome?"}]
    table = [
        {"prompt": ask, "other": other,
         "spans": {"CITY": [0, 7, 12], "other": {"CITY": [1, 3, 7]}}}
    ] * 2  # fmt: skip
    treated = mean(Pos(name="CITY"))
    task = chat_build(table, replace(CHAT, treated=treated), make(CHATML), WIDE)
    theirs = task.reading("other")
    ids = theirs.prompts["other"][0][list(theirs.positions["CITY"][0])]
    own = task.prompts["prompt"][0][list(task.positions["CITY"][0])]
    assert "".join(chr(31 + i) for i in ids) == "Rome"
    assert "".join(chr(31 + i) for i in own) == "Paris"


def test_answers_of_several_tokens_stand_behind_the_prompts() -> None:
    """A mean at END is the prompt's; at any token answers have it, and it is of prompts alone."""
    table = rows([2, 9, 9], [2, 6], answer=[7, 8])
    for one in (mean(END), mean(EVERY)):
        task = build(
            table, spec(treated=one, answers="whole", tokens="continued"), answer_columns=[]
        )
        behind = with_branches(
            replace(task, answers={"answer": ((7, 8), (7, 8))}),
            Encoder(None, SHAPE, None, DataFaults()),
        ).branches["answer"]
        assert behind.lengths.tolist() == [6, 6]
        assert behind.reading("other").lengths.tolist() == [3, 2]
        at_end = [[-1, -1, -1, 0, -1, -1]] * 2
        assert places(behind, one).tolist() == (at_end if one == mean(END) else [[0] * 6] * 2)
        assert mean_groups(behind, one).tolist() == [0, 0]
