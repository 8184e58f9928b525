"""Rows that a `where` keeps: by labels, and by what the model does on plain runs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pathdsl.checking.breaking.selection import selection_changes
from pathdsl.checking.check import check_file
from pathdsl.checking.lock.against import lock_anew
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.planned import plan_file
from pathdsl.engine.store.store import Store
from pathdsl.errors import ExitCode, PathdslError, Severity
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import load_program
from pathdsl.lang.syntax.parse import parse
from pathdsl.report.data.result import file_object
from pathdsl.tasks import get
from tests.score.arrays import agg, bootstrap

OPTIONS = CheckOptions()
HEAD = """circuit rows "Rows" { language = 1 }
model mini = bundled("ioi-mini")
task facts { data = jsonl("rows.jsonl"); reference = prompt; treated = mixed }
task part = facts where %s
metric LD: logits = logit(who) - logit(s)
metric ok = top1(who)
metric both = top1(who) * (1 - top1(s))
"""
CLAIM = "claim c: accuracy(keep(through(a3)), task: part, answer: io) >= 1% at 95% confidence\n"


def turned(row: Mapping[str, Any]) -> str:
    """The prompt with its first two names in the other order."""
    names = {row["io"].strip(): row["s"].strip(), row["s"].strip(): row["io"].strip()}
    return re.sub("|".join(names), lambda found: names[found[0]], row["prompt"], count=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    # The model names `io`: right on two rows of three, and in half of the treated prompts.
    rows = []
    for i, row in enumerate(get("mini_ioi").rows(take=60)):
        more = {
            "shots": i % 5,
            "kind": "ab"[i % 2],
            "who": row["s" if i % 3 == 0 else "io"],
            "mixed": turned(row) if i % 4 > 1 else row["prompt_abc"],
        }
        rows.append({k: v for k, v in dict(row).items() if k != "spans"} | more)
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def written(folder: Path, where: str, lines: str = CLAIM) -> str:
    path = folder / "x.circuit"
    path.write_text(HEAD % where + lines)
    return str(path)


def planned(folder: Path, where: str, lines: str = CLAIM):
    found = plan_file(written(folder, where, lines), OPTIONS)
    assert found is not None
    return found


def codes(found) -> set[str]:
    return {fault.code for fault in found}


# ------------------------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("where", "n"),
    [
        ("shots >= 3", 24), ("shots > 3", 12), ("shots < 1", 12), ("shots <= 1", 24),
        ("shots != 0", 48), ("shots == 2", 12), ('kind == "a"', 30), ('kind != "a"', 30),
        ('kind == "a" and shots >= 3', 12), ("shots >= 1 and shots <= 2", 24),
    ],
)  # fmt: skip
def test_rows_meet_all_conditions(folder: Path, where: str, n: int) -> None:
    found = planned(folder, where)
    task = found.tasks["part"]
    assert (task.n_rows, task.facts["rows_before"], task.facts["where"]) == (n, "60", where)
    assert not codes(found.warnings) & {"PD361"}


def test_a_csv_cell_is_compared_as_it_is_written(tmp_path: Path) -> None:
    rows = get("mini_ioi").rows(take=12)
    lines = ["prompt,mixed,io,s,who,shots"] + [
        ",".join(f'"{r[c]}"' for c in ("prompt", "prompt_abc", "io", "s", "io"))
        + f",{10 if i % 2 else '9.5'}"
        for i, r in enumerate(rows)
    ]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    text = (HEAD % "shots >= 10" + CLAIM).replace('jsonl("rows.jsonl")', 'csv("rows.csv")')
    found = plan_file(str(tmp_path / "x.circuit"), OPTIONS, text)
    assert found is not None and found.tasks["part"].n_rows == 6


@pytest.mark.parametrize(
    ("where", "code", "said"),
    [
        ("shots >= 9", "PD324", "no row meets `shots >= 9`"),
        ('kind == "a" and shots == 9', "PD324", 'no row with `kind == "a"` meets `shots == 9`'),
        ("kind >= 3", "PD305", "has no number in `kind`: found `'a'`, nor have 59 others"),
    ],
)
def test_what_rows_cannot_meet_is_said(folder: Path, where: str, code: str, said: str) -> None:
    with pytest.raises(PathdslError) as caught:
        planned(folder, where)
    (one,) = caught.value.diagnostics
    assert one.code == code and said in one.message
    assert one.span is not None
    text = (HEAD % where)[one.span.start : one.span.end]
    assert text == where.rpartition(" and ")[2]


def test_a_label_that_no_row_has_is_said(folder: Path) -> None:
    with pytest.raises(PathdslError) as caught:
        planned(folder, "shot == 3")
    (one,) = caught.value.diagnostics
    assert one.code == "PD301" and one.help == "did you mean `shots`?"


def test_a_condition_that_leaves_none_out_is_warned_about(folder: Path) -> None:
    found = [w for w in planned(folder, 'kind == "a" and shots != "3"').warnings]
    (one,) = [w for w in found if w.code == "PD361"]
    assert one.severity is Severity.WARNING and "`shots` is" in one.notes[0]
    assert not codes(planned(folder, "shots >= 1").warnings) & {"PD361"}


def test_a_part_of_a_part_is_told_once(folder: Path) -> None:
    lines = 'task less = part where kind == "a"\n' + CLAIM.replace("part", "less")
    found = planned(folder, "shots >= 0", lines)
    assert found.tasks["less"].n_rows == 30
    assert found.tasks["less"].facts["where"] == 'shots >= 0 and kind == "a"'
    assert [w.code for w in found.warnings].count("PD361") == 1


# ------------------------------------------------------------------------------- the language


def test_the_words_of_a_condition_stay_free() -> None:
    text = 'task t = b where and == 1 and reference != "x" and attention >= -2 and a1 < 3\n'
    file, faults = parse(text, "x.circuit")
    assert faults == [] and format_text(text, "x.circuit") == text
    (task,) = file.statements
    assert [one.left.name for one in task.where] == ["and", "reference", "attention", "a1"]


def test_one_old_condition_has_its_old_tree() -> None:
    (old,) = parse('task t = b where split == "find"', "x")[0].statements
    assert old.where_field.name == "split" and old.conditions == ()
    assert [one.relation for one in old.where] == ["=="]


@pytest.mark.parametrize(
    ("where", "code", "said"),
    [
        ("a == 1 or b == 2", "PD005", "all conditions"),
        ("a == 1, b == 2", "PD005", "joined by `and`"),
        ("a == 1 && b == 2", "PD005", "joined by `and`"),
        ("a ~= 1", "PD005", "or does not"),
        ('shots >= "3"', "PD305", "texts have no order"),
        ("shots < true", "PD305", "have no order"),
        ("ok(treat(full)) == 1", "PD306", "plain run"),
        ("LD(reference) == 1", "PD306", "reads `logit(who)`"),
        ("ok(reference) >= 1", "PD306", "`==` or `!=`"),
        ("ok(reference) == 2", "PD306", "`==` or `!=`"),
        ("okay(reference) == 1", "PD101", "no metric is named `okay`"),
        ("accuracy(reference) == 1", "PD101", "no metric is named `accuracy`"),
    ],
)
def test_conditions_that_mean_nothing(folder: Path, where: str, code: str, said: str) -> None:
    _, found = lint_file(written(folder, where))
    wrong = [one for one in found if one.severity is Severity.ERROR]
    assert wrong and wrong[0].code == code and said in wrong[0].message


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("n >= 4", "n >= 6", "weaker"), ("n >= 4", "n > 4", "weaker"),
        ("n > 4", "n >= 4", "changed"), ("n >= 6", "n >= 4", "changed"),
        ("n >= 4", "n == 5", "weaker"), ("n >= 4", "n == 3", "changed"),
        ("n <= 4", "n < 3", "weaker"), ("n <= 4", "n >= 3", "changed"),
        ('s != "a"', 's == "b"', "weaker"), ('s == "a"', 's == "b"', "changed"),
        ("n == 1", "n == 1 and m == 2", "weaker"), ("n == 1 and m == 2", "n == 1", "changed"),
        ("n == 1 and m == 2", "m == 2 and n == 1", ""),
        ("ok(reference) == 1", "ok(reference) == 1 and n == 1", "weaker"),
        ("ok(reference) == 1", "ok(treated) == 1", "changed"),
    ],
)  # fmt: skip
def test_a_where_that_leaves_more_out_is_weaker(before: str, after: str, kind: str) -> None:
    sides = []
    for where in (before, after):
        program, _ = load_program("x.circuit", f"task t = b where {where}\n")
        sides.append((program, program.tasks["t"]))
    found = list(selection_changes(*sides, {}, "task t"))
    assert [change.kind for change in found] == [kind] * bool(kind)


# ------------------------------------------------------------------------------- plain runs


def hits(folder: Path, run: str = "reference") -> list[str]:
    """The ids of the rows on which a plain run is right, by the values that `check` reads."""
    lines = f"let share = mean(ok({run}, task: facts))\n" + CLAIM
    found = check_file(written(folder, "shots >= 1", lines), OPTIONS)
    assert found.session is not None
    values = next(
        found.session.value(one, measure)[0]
        for one, measures in found.session.asked.items()
        for measure in measures
        if one.task == "facts" and one.kind == run and measure.kind == "top1"
    )
    return [name for name, hit in zip(found.tasks["facts"].row_ids, values, strict=True) if hit]


@pytest.mark.parametrize("run", ["reference", "treated"])
def test_rows_are_those_that_the_run_is_right_on(folder: Path, run: str) -> None:
    right = hits(folder, run)
    found = check_file(written(folder, f"ok({run}) == 1"), OPTIONS)
    wrong = check_file(written(folder, f"ok({run}) != 1"), OPTIONS)
    assert list(found.tasks["part"].row_ids) == right
    assert sorted([*right, *wrong.tasks["part"].row_ids]) == sorted(found.tasks["facts"].row_ids)
    tasks = {one["name"]: one for one in file_object(found)["tasks"]}
    assert (tasks["part"]["rows"], tasks["part"]["prompts"]) == (60, len(right))
    assert tasks["part"]["where"] == f"ok({run}) == 1"
    assert tasks["facts"]["read"]


def test_conditions_on_labels_and_runs_meet_and_parts_follow_their_whole(folder: Path) -> None:
    right = set(hits(folder))
    lines = "task rest = part where both(reference) == 1 and shots <= 3\n" + CLAIM
    found = check_file(written(folder, "shots >= 2 and ok(reference) == 1", lines), OPTIONS)
    shots = dict(zip(found.tasks["facts"].row_ids, [i % 5 for i in range(60)], strict=True))
    part = [name for name in found.tasks["facts"].row_ids if name in right and shots[name] >= 2]
    assert list(found.tasks["part"].row_ids) == part
    assert list(found.tasks["rest"].row_ids) == [name for name in part if shots[name] <= 3]
    assert len(found.proofs) == len(set(map(str, found.proofs)))  # each task is proved once


def test_a_run_that_is_right_on_no_row_leaves_none(folder: Path) -> None:
    lines = "task none_ = part where ok(reference) == 0\n" + CLAIM
    found = check_file(written(folder, "ok(reference) == 1", lines), OPTIONS)
    assert "PD324" in codes(found.diagnostics) and found.exit_code == ExitCode.WRONG_INPUT


def test_what_was_chosen_comes_from_the_store_and_is_the_same(folder: Path) -> None:
    path = written(folder, "ok(reference) == 1")
    plain = check_file(path, OPTIONS)
    with Store(folder / "store", 10**8) as store:
        options = CheckOptions(store=store)
        first, second = check_file(path, options), check_file(path, options)
    assert second.tally is not None and second.tally.computed == 0
    assert plain.tasks["part"].row_ids == second.tasks["part"].row_ids
    numbers = [[c.estimate for c in o.judgement.claims] for o in (plain, first, second)]
    assert numbers[0] == numbers[1] == numbers[2]


def test_a_plan_counts_all_rows_and_says_so(folder: Path) -> None:
    from pathdsl.report.text.plan import plan_report
    from pathdsl.report.text.style import View

    found = planned(folder, "shots >= 2 and ok(reference) == 1")
    assert found.tasks["part"].n_rows == 36
    assert [part.plan.task for part in found.parts] == ["facts", "part"]
    text = " ".join(plan_report(found, View(width=200)).split())
    assert "at most 36 of 60 rows (where shots >= 2 and ok(reference) == 1)" in text
    assert "which ones is known when the model has run" in text


def test_a_lock_holds_the_rows_and_they_are_chosen_again(folder: Path) -> None:
    path = written(folder, "ok(reference) == 1")
    assert lock_anew(check_file(path, OPTIONS), OPTIONS)[0]
    again = check_file(path, CheckOptions(locked=True))
    assert again.comparison is not None and not again.comparison.drifted
    lock = json.loads(Path(path + ".lock").read_text())
    task = lock["inputs"]["tasks"]["part"]
    assert task["n"] == again.tasks["part"].n_rows < 60
    task["row_ids"] = "0" * 64
    Path(path + ".lock").write_text(json.dumps(lock))
    assert "PD656" in codes(check_file(path, CheckOptions(locked=True)).diagnostics)


# ------------------------------------------------------------------------------- circles


@pytest.mark.parametrize(
    "side",
    [
        "accuracy(reference, task: part, answer: who)", "mean(LD(reference, task: part))",
        "mean(LD(keep(full), task: part))", "mean(LD(treat(none), task: part))",
        "share(h in [a0.h0]: mean(LD(reference, task: part)) > 0)",
    ],
)  # fmt: skip
def test_a_claim_about_what_chose_its_rows_is_refused(folder: Path, side: str) -> None:
    line = f"claim c: {side} > 0 at 95% confidence\n"
    with pytest.raises(PathdslError) as caught:
        planned(folder, "ok(reference) == 1", line)
    assert codes(caught.value.diagnostics) == {"PD362"}
    assert "PD362" not in codes(planned(folder, "shots >= 1", line).warnings)
    found = check_file(written(folder, "ok(reference) == 1", line), OPTIONS)
    assert "PD362" in codes(found.diagnostics) and found.judgement is None


@pytest.mark.parametrize(
    ("side", "code"),
    [
        ("effect(full, task: part, metric: LD)", "PD532"),
        ("mean(LD(reference, task: part) - LD(treated, task: part))", "PD532"),
        ("mean(there(reference, task: part))", "PD532"),  # another column
        ("faithfulness(through(a3.h1), task: part, metric: LD)", "PD532"),
        ("accuracy(keep(through(a3)), task: part, answer: io)", ""),
        ("mean(LD(treated, task: part))", ""),
        ("mean(LD(reference, task: facts))", ""),
    ],
)
def test_a_claim_that_compares_with_it_is_warned_about(folder: Path, side: str, code: str) -> None:
    lines = f"metric there: logits = logit(s)\nclaim c: {side} > 0 at 95% confidence\n"
    found = codes(planned(folder, "ok(reference) == 1", lines).warnings)
    assert found & {"PD362", "PD532"} == ({code} if code else set())


def test_rows_chosen_by_the_reference_run_keep_the_level_of_what_does_not_hang_on_it() -> None:
    """Effects of mean 0 beside a run that chose the rows; and a run that is drawn anew."""
    rng = np.random.default_rng(5)
    found = {"effect": 0, "anew": 0}
    for _ in range(400):
        able, luck, other = rng.normal(0.5, 1, 100), rng.normal(size=100), rng.normal(size=100)
        chosen = able + luck > 0
        for name, effect in (("effect", rng.normal(size=100)), ("anew", other - luck)):
            interval = bootstrap({"x": effect[chosen]}, count=200).interval(agg("x"), 0.95)
            low, high = interval.pair()
            found[name] += not low <= 0 <= high
    assert found["effect"] <= 0.075 * 400  # 5 % and three standard errors
    assert found["anew"] > 0.5 * 400  # what PD532 is about
