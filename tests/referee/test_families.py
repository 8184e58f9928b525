"""Families that are counted: claims of one form, however they are written and in how many files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pathdsl.cli import main as cli
from pathdsl.errors import Diagnostic
from pathdsl.lang.method.families import MANY_COPIES, about
from pathdsl.lang.method.whole import check_method
from pathdsl.lang.program import load_program
from pathdsl.lang.rules.sample import HEAD, TASK
from pathdsl.report.data.families import families_of, family_text

SIX = range(6)


def told(text: str, head: str = HEAD) -> list[Diagnostic]:
    program, faults = load_program("example.circuit", head + text)
    assert faults == [], [fault.message for fault in faults]
    return [one for one in check_method(program) if one.code == "PD503"]


def claims(form: str, tail: str = "") -> str:
    """One claim for each of six heads; `I` in the form is the index, `E` the effect of the head."""
    effect = "effect(through(a9.hI))"
    return "".join(
        f"claim c{i}: {form.replace('E', effect).replace('I', str(i))} at 95% confidence{tail}\n"
        for i in SIX
    )


DODGES = {
    "as it is": claims("E < -0.1"),
    "times one": claims("E * 1 < -0.1"),
    "plus nothing": claims("E + 0 < -0.I"),
    "twice turned": claims("-(-(E)) < 0"),
    "turned round": claims("0 > E"),
    "turned and negated": "".join(
        f"claim c{i}: {sides} at 95% confidence\n"
        for i, sides in enumerate(
            s.replace("E", f"effect(through(a9.h{i}))")
            for i, s in enumerate(["E < 0", "0 > E", "-E > 0", "E - 0 < 0", "E * 2 < 0", "(E) < 0"])
        )
    ),
    "largest of two equal": claims("max(E, E) < 0"),
    "a difference": claims("E - 0.I < 0.1"),
    "its own let": "".join(f"let e{i}: logits = effect(through(a9.h{i}))\n" for i in SIX)
    + claims("eI < 0"),
    "lets of lets": "".join(
        f"let d{i}: logits = effect(through(a9.h{i}))\nlet e{i}: logits = d{i} * 2\n" for i in SIX
    )
    + claims("eI < 0"),
    "a loop over one": "".join(
        f"claim c{i} for h in {{a9.h{i}}}: effect(through(h)) < 0 at 95% confidence\n" for i in SIX
    ),
    "a corrected loop over one": "".join(
        f"claim c{i} for h in a9.h{i}: effect(through(h)) < 0 at 95% confidence by holm()\n"
        for i in SIX
    ),
    "a corrected loop over two": "".join(
        f"claim c{i} for h in a{i}.h[0,1]: effect(through(h)) < 0 at 95% confidence by holm()\n"
        for i in SIX
    ),
    "other confidences": "".join(
        f"claim c{i}: effect(through(a9.h{i})) < 0 at 9{i}% confidence\n" for i in SIX
    ),
    "means and medians": "".join(
        f"claim c{i}: {f}(LD(treat(through(a9.h{i})))) < 1 at 95% confidence\n"
        for i, f in enumerate(["mean", "median", "mean", "median", "mean", "median"])
    ),
    "means and tests": "".join(
        f"claim c{i}: {claim} at 95% confidence\n"
        for i, claim in enumerate(
            c.replace("X", f"LD(treat(through(a9.h{i})))")
            for i, c in enumerate(["mean(X) < 1", "sign_test(X) < 5%"] * 3)
        )
    ),
    "with and without the reference": "".join(
        f"claim c{i}: {claim} at 95% confidence\n"
        for i, claim in enumerate(
            c.replace("X", f"LD(treat(through(a9.h{i})))")
            for i, c in enumerate(
                2
                * [
                    "mean(X) < 1",
                    "mean(LD(reference) - X) > 1",
                    "mean(X) / mean(LD(reference)) < 1",
                ]
            )
        )
    ),
    "copied metrics": "".join(f"metric M{i}: logits = logit(io) - logit(s)\n" for i in SIX)
    + claims("effect(through(a9.hI), metric: MI) < 0"),
    "metrics put together otherwise": "".join(
        f"metric M{i}: logits = {m}\n"
        for i, m in enumerate(["logit(io) - logit(s)", "-(logit(s) - logit(io))"] * 3)
    )
    + claims("effect(through(a9.hI), metric: MI) < 0"),
    "rows by other seeds": "".join(
        TASK.replace("task ioi", f"task t{i}").replace("seed: 0", f"seed: {i}") for i in SIX
    )
    + claims("effect(through(a9.h0), metric: LD, task: tI) < 0"),
    "parts of the rows": "".join(f'task t{i} = ioi where template == "{i}"\n' for i in SIX)
    + claims("effect(through(a9.h0), metric: LD, task: tI) < 0"),
    "expected either way": "".join(
        f"claim c{i}: effect(through(a9.h{i})) < 0 at 95% confidence"
        + (" expect refuted\n" if i % 2 else "\n")
        for i in SIX
    ),
    "heads of a look": "".join(
        f"metric look{i} = attention(a9.h{i}, END -> S2)\n" for i in SIX
    )
    + claims("mean(lookI(reference)) > 50%"),
    "other knockouts by seed": claims(
        "completeness(mlp, knockouts: random(20, seed: I), metric: LD) < 1"
    ),
    "chance of each": claims("chance(E) < 5%"),
    "members of a sweep": "let e for h in a9: logits = effect(through(h), metric: LD)\n"
    + claims("e[a9.hI] < 0"),
}  # fmt: skip


@pytest.mark.parametrize("dodge", DODGES)
def test_a_family_is_one_however_it_is_written(dodge: str) -> None:
    (found,) = told(DODGES[dodge])
    assert found.message == "6 claims of one form, each at its own confidence"


HONEST = {
    "scores of one set": "".join(
        f"claim c{i}: {claim} at 95% confidence\n"
        for i, claim in enumerate(
            [
                "faithfulness(a9) > 80%",
                "faithfulness(a9, as: ratio) > 80%",
                "completeness(a9, knockouts: groups) < 1",
                "minimality(a9) > 0.1",
                "effect(a9) < 0",
                "accuracy(keep(a9), answer: io) > 80%",
                "mean(LD(treat(a9))) < 1",
            ]
        )
    ),
    "one number between many bounds": "".join(
        f"claim c{i}: effect(through(a9.h1)) {rest} at 95% confidence\n"
        for i, rest in enumerate(["< 0", "< -0.1", "< -0.2", "> -9", "> -5", "> -4"])
    ),
    "one run described": "".join(
        f"claim c{i}: {rest} at 95% confidence\n"
        for i, rest in enumerate(
            f"{f} > 0"
            for f in (
                "mean(LD(keep(a9)))", "median(LD(keep(a9)))", "quantile(LD(keep(a9)), 10%)",
                "quantile(LD(keep(a9)), 25%)", "min(mean(LD(keep(a9))), 4)",
            )
        )
    ),
    "many controls of one claim": "claim c: faithfulness(a9.h1 -> logits) > 80% at 95% confidence\n"
    + "".join(
        f"claim x{i}: faithfulness(random_like(a9.h1 -> logits, seed: {i})) > 80% "
        "at 95% confidence expect refuted\n"
        for i in SIX
    ),
    "sizes on the graph": claims("overlap(through(a9.hI), mlp) < 50%"),
    "by estimates": claims("E < 0").replace(" at 95% confidence", ""),
    "corrected": "claim c for h in a9: effect(through(h)) < 0 at 95% confidence by holm()\n",
}  # fmt: skip


@pytest.mark.parametrize("file", HONEST)
def test_honest_files_are_no_families(file: str) -> None:
    assert told(HONEST[file]) == []


def test_forms_are_texts_that_files_share() -> None:
    program, _ = load_program(
        "a", HEAD + "claim one: effect(through(a9.h1)) < -0.1 at 95% confidence\n"
    )
    renamed = HEAD.replace("task ioi", "task other").replace("metric LD", "metric D")
    other, _ = load_program(
        "b", renamed + "claim two: 0.1 < -effect(through(a0.h2)) at 90% confidence\n"
    )
    assert about(program)["one"] == about(other)["two"]
    assert about(program)["one"] == (
        "effect as mean of logit(io), logit(s) on ioi (prompt against prompt_abc)"
    )


# -------------------------------------------------------------------------------------------------
# Several files
# -------------------------------------------------------------------------------------------------

TOY = """circuit f{i} "File {i}" {{ language = 1 }}
model toy = bundled("induction-2l")
task rows{i} {{ data = induction(take: 40, seed: {i}); reference = prompt; treated = prompt_other }}
metric L{i}: logits = logit(answer) - logit(wrong)
claim first: faithfulness(through(a1.h{i})) >= 10% at 95% confidence
claim second: 0.1 < 1 * faithfulness(through(a0.h{i})) at 90% confidence
claim alone: mean(L{i}(reference)) > 1 at 95% confidence
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(3):
        (tmp_path / f"f{i}.circuit").write_text(TOY.format(i=i), encoding="utf-8")
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    cli._run(list(arguments), False)
    return capsys.readouterr().out


def test_claims_of_several_files_are_counted_together(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "6 claims of one form in 3 files, each at its own confidence: faithfulness as recovered"
    check = ("check", str(folder), "--no-cache", "-q")
    assert said in " ".join(printed(capsys, *check).split())
    one = printed(capsys, "check", str(folder / "f0.circuit"), "--no-cache", "-q")
    assert "of one form" not in one
    result = json.loads(printed(capsys, *check, "--format", "json"))
    (family,) = result["families"]
    assert family["count"] == len(family["claims"]) == 6
    assert family["claims"][0]["path"].endswith("f0.circuit")
    assert family["form"] == result["files"][2]["claims"][1]["about"]
    saved = folder / "all.json"
    del result["families"]  # counted anew, so that older results and joined ones are told, too
    saved.write_text(json.dumps(result), encoding="utf-8")
    for form in ("html", "md"):
        page = printed(capsys, "report", str(saved), "--to", form)
        assert "6 claims of one form in 3 files" in page


def test_what_counts_to_no_family_of_files() -> None:
    claim = {"name": "c", "about": "x"}
    files = [{"path": f"{i}", "claims": [claim]} for i in range(MANY_COPIES)]
    (family,) = families_of(files)
    assert family_text(family) == (
        f"{MANY_COPIES} claims of one form in {MANY_COPIES} files, each at its own confidence: x"
    )
    assert families_of(files[1:]) == []
    assert families_of([{"path": "a", "claims": [claim] * 9}]) == []
    assert families_of([{"path": "a", "diagnostics": []}]) == []
    old = [{"path": file["path"], "claims": [{"name": "c"}]} for file in files]
    assert families_of(old) == []
