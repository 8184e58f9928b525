"""`pathdsl breaking --against REV`: what became weaker since a commit, in repositories of git."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pathdsl.cli import main as cli

Capture = pytest.CaptureFixture[str]

FILE = """circuit c "Two heads" { language = 1 }

use "library.circuit"

model m = bundled("induction-2l")

task rows { data = jsonl("rows.jsonl"); reference = prompt; treated = other }

path nodes = within(previous, match)
path some  = match -> logits

metric LD on t: logits = logit(answer) - logit(wrong)

let total: logits = mean(LD(reference) - LD(treated))

claim sufficient: faithfulness(nodes, metric: LD) >= 80% at 95% confidence
claim needed:     mean(LD(treat(nodes))) / total <= 10% at 95% confidence
claim near:       faithfulness(nodes, metric: LD) ~= 1 within 0.1 at 95% confidence
claim control:    faithfulness(some, metric: LD) >= 50% at 95% confidence expect refuted
claim each for h in {previous, match}: mean(LD(reference) - LD(treat(through(h)))) > 1 at 95% confidence by holm()
"""  # noqa: E501
LIBRARY = """task t {
  data      = induction(take: 40, seed: 0, length: 16)
  reference = prompt
  treated   = prompt_other
  positions = [FIRST_A, FIRST_B]
}

group previous @FIRST_B = { a0.h1 }
group match    @END     = { a1.h2 }
"""


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


def run(*arguments: str) -> int:
    return cli._run(list(arguments), False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit: a file, what it uses, and rows."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("NO_COLOR", "1")
    place = tmp_path / "repository" / "hypotheses"
    place.mkdir(parents=True)
    (place / "x.circuit").write_text(FILE)
    (place / "library.circuit").write_text(LIBRARY)
    (place / "rows.jsonl").write_text('{"prompt": [1]}\n{"prompt": [2]}\n')
    git(place.parent, "init", "-q")
    git(place.parent, "add", "-A")
    git(place.parent, "commit", "-q", "-m", "First")
    monkeypatch.chdir(place)
    return place


def edit(path: Path, *pairs: str) -> None:
    text = path.read_text()
    for before, after in zip(pairs[::2], pairs[1::2], strict=True):
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)


def changes(capsys: Capture, exits: int, *arguments: str) -> list[tuple[str, str, str]]:
    capsys.readouterr()
    code = run("breaking", "--against", "HEAD", "--format", "json", *(arguments or ("x.circuit",)))
    said = capsys.readouterr()
    assert code == exits, said.err
    found: dict[str, Any] = json.loads(said.out)
    assert found["exit_code"] == exits
    return [(c["kind"], c["of"], c["what"]) for f in found["files"] for c in f["changes"]]


def test_nothing_changed(folder: Path, capsys: Capture) -> None:
    assert changes(capsys, 0) == []
    edit(folder / "x.circuit", "path nodes", "# a remark\npath  nodes", "80%", "80 %")
    edit(folder / "x.circuit", "80 %", "80%")
    assert changes(capsys, 0) == []
    assert run("breaking", "--against", "HEAD", "x.circuit") == 0
    assert "since HEAD: every claim says what it said" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "after", "kind", "of", "what"),
    [
        (">= 80%", ">= 70%", "weaker", "claim sufficient", "lower threshold"),
        (">= 80%", ">= 90%", "noted", "claim sufficient", "higher threshold"),
        (">= 80%", "> 80%", "noted", "claim sufficient", "another relation"),
        (">= 80%", "<= 80%", "changed", "claim sufficient", "another relation"),
        ("<= 10%", "<= 20%", "weaker", "claim needed", "higher threshold"),
        ("<= 10%", "<= 5%", "noted", "claim needed", "lower threshold"),
        (">= 50%", ">= 60%", "weaker", "claim control", "higher threshold"),  # to be refuted
        (">= 50%", ">= 40%", "noted", "claim control", "lower threshold"),
        ("> 1 at", ">= 1 at", "weaker", "claim each", "another relation"),
        ("within 0.1", "within 0.2", "weaker", "claim near", "wider `within`"),
        ("within 0.1", "within 0.05", "noted", "claim near", "narrower `within`"),
        ("~= 1 ", "~= 2 ", "changed", "claim near", "another target"),
        ("10% at 95%", "10% at 90%", "weaker", "claim needed", "lower confidence"),
        ("10% at 95%", "10% at 99%", "noted", "claim needed", "higher confidence"),
        (" by holm()", "", "weaker", "claim each", "weaker correction"),
        ("holm()", "bh()", "weaker", "claim each", "weaker correction"),
        (" expect refuted", "", "noted", "claim control", "now expected to be supported"),
        ("10% at 95% confidence", "10% at 95% confidence expect refuted", "weaker", "claim needed",
         "now expected to be refuted"),
        ("10% at 95% confidence", "10%", "weaker", "claim needed", "no confidence any more"),
        ("{previous, match}", "{match}", "weaker", "claim each",
         "no longer claimed for a0.h1@FIRST_B"),
        ("{previous, match}", "{previous, match, a1.h0@END}", "noted", "claim each",
         "also claimed for a1.h0@END"),
        ('"induction-2l")', '"induction-2l", dtype: float64)', "changed", "model",
         "another model, revision or dtype"),
        ("treat(through(h))", "treat(h -> logits)", "changed", "claim each",
         "narrower path set"),
        ("mean(LD(reference) - LD(treated))", "median(LD(reference) - LD(treated))", "changed",
         "claim needed", "measures something else"),
        ("logit(answer) - logit(wrong)", "logit(answer)", "changed", "metric LD",
         "measures something else"),
        ("claim near:", "claim close:", "noted", "claim near", "renamed"),
    ],
)  # fmt: skip
def test_one_change_of_a_claim(
    before: str, after: str, kind: str, of: str, what: str, folder: Path, capsys: Capture
) -> None:
    edit(folder / "x.circuit", before, after)
    ((found_kind, found_of, found_what),) = changes(capsys, 0 if kind == "noted" else 1)
    assert (found_kind, found_of) == (kind, of)
    assert what in found_what


def test_a_dropped_and_a_new_claim(folder: Path, capsys: Capture) -> None:
    edit(folder / "x.circuit", "claim needed:     mean", "claim fresh: 2 + mean")
    assert changes(capsys, 1) == [
        ("weaker", "claim needed", "dropped"), ("noted", "claim fresh", "new")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "kind", "of", "what"),
    [
        ("take: 40", "take: 30", "weaker", "task t", "fewer prompts"),
        ("take: 40", "take: 50", "noted", "task t", "more prompts"),
        ("seed: 0", "seed: 1", "changed", "task t", "other data"),
        ("treated   = prompt_other", "treated   = zero", "changed", "task t",
         "another treated value"),
        ("reference = prompt\n", "reference = prompt\n  layernorm = frozen\n", "changed", "task t",
         "another `layernorm`"),
        ("reference = prompt\n", "reference = prompt\n  chat = true\n", "changed", "task t",
         "another `chat`"),
    ],
)  # fmt: skip
def test_one_change_of_a_task_in_a_used_file(
    before: str, after: str, kind: str, of: str, what: str, folder: Path, capsys: Capture
) -> None:
    edit(folder / "library.circuit", before, after)
    assert changes(capsys, 0 if kind == "noted" else 1) == [(kind, of, what)]


def test_fields_that_change_no_claim(folder: Path, capsys: Capture) -> None:
    edit(folder / "library.circuit", "reference = prompt\n", "reference = prompt\n  chat = false\n")
    edit(folder / "x.circuit", "{ language = 1 }", '{ language = 1; needs = "0.1" }')
    assert changes(capsys, 0) == [("noted", "circuit", "another `needs`")]


def kinds(found: list[tuple[str, str, str]]) -> dict[str, tuple[str, str]]:
    return {of.removeprefix("claim "): (kind, what.partition(" (")[0]) for kind, of, what in found}


def test_a_wider_path_set_shows_on_the_graph(folder: Path, capsys: Capture) -> None:
    edit(folder / "library.circuit", "{ a1.h2 }", "{ a1.h2, a1.h0 }")
    found = kinds(changes(capsys, 1))
    assert found["sufficient"] == ("weaker", "wider path set")
    assert found["needed"] == ("weaker", "wider path set")
    assert found["control"] == ("noted", "wider path set")  # still not faithful: says more
    assert found["each"] == ("noted", "also claimed for a1.h0@END")


def test_a_narrower_path_set(folder: Path, capsys: Capture) -> None:
    edit(
        folder / "x.circuit",
        "within(previous, match)",
        "within(previous, match) & through(previous)",
    )
    found = kinds(changes(capsys, 1))
    assert found["sufficient"] == ("noted", "narrower path set")
    assert found["needed"] == ("changed", "narrower path set")


def test_another_path_set_comes_with_a_path(folder: Path, capsys: Capture) -> None:
    edit(folder / "x.circuit", "match -> logits", "{a1.h0@END} -> logits")
    ((kind, of, what),) = changes(capsys, 1)
    assert (kind, of) == ("changed", "claim control")
    assert "now with input" in what and "a1.h0" in what and "without input" in what


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("within(previous, match)", "within(match, previous)"),
        ("within(previous, match)", "within({previous, match})"),
        ("path some  = match -> logits", "path some  = (({a1.h2@END}) -> logits) | none"),
        ("through(h)", "through(h) & full"),
    ],
)
def test_the_same_path_set_written_otherwise(
    before: str, after: str, folder: Path, capsys: Capture
) -> None:
    edit(folder / "x.circuit", before, after)
    assert changes(capsys, 0) == []


def test_new_names_are_no_change(folder: Path, capsys: Capture) -> None:
    for path in (folder / "x.circuit", folder / "library.circuit"):
        text = path.read_text().replace("nodes", "whole").replace("previous", "before")
        path.write_text(text.replace("LD", "gap").replace("total", "gross"))
    assert changes(capsys, 0) == [("noted", "metric LD", "renamed")]


def test_rows_of_a_file(folder: Path, capsys: Capture) -> None:
    (folder / "rows.jsonl").write_text('{"prompt": [1]}\n')
    assert changes(capsys, 1) == [("weaker", "task rows", "fewer lines in `rows.jsonl`")]
    (folder / "rows.jsonl").write_text('{"prompt": [1]}\n{"prompt": [3]}\n')
    assert changes(capsys, 1) == [("changed", "task rows", "other lines in `rows.jsonl`")]


def test_without_the_graph_a_changed_set_is_said_to_be_changed(
    folder: Path, capsys: Capture
) -> None:
    edit(folder / "x.circuit", 'bundled("induction-2l")', 'folder("gone")')
    git(folder, "commit", "-q", "-a", "-m", "Another model")
    edit(folder / "library.circuit", "{ a1.h2 }", "{ a1.h2, a1.h0 }")
    found = changes(capsys, 1)
    assert {kind for kind, _, _ in found} == {"changed"}
    assert any("not compared on the graph" in what for _, _, what in found)


def test_new_and_removed_files_and_libraries(folder: Path, capsys: Capture) -> None:
    (folder / "new.circuit").write_text(FILE)
    assert run("breaking", "--against", "HEAD", "new.circuit", "library.circuit") == 0
    said = capsys.readouterr().out
    assert "new since HEAD" in said and "compared with the files that use it" in said
    (folder / "new.circuit").unlink()  # else it is what the other has become
    (folder / "x.circuit").unlink()
    found = changes(capsys, 1, ".")
    assert ("weaker", "claim sufficient", "dropped with its file") in found and len(found) == 5
    os.chdir(folder.parent)
    assert run("breaking", "--against", "HEAD") == 1
    assert f"{Path('hypotheses/x.circuit')}\n" in capsys.readouterr().out


def test_against_an_older_commit_and_a_tag(folder: Path, capsys: Capture) -> None:
    git(folder, "tag", "published")
    edit(folder / "x.circuit", ">= 80%", ">= 70%")
    git(folder, "commit", "-q", "-a", "-m", "Weaker")
    assert run("breaking", "--against", "HEAD", "x.circuit") == 0
    for revision in ("published", "HEAD~1", git(folder, "rev-parse", "HEAD~1").strip()[:10]):
        assert run("breaking", "--against", revision, "x.circuit") == 1
    assert "lower threshold: 80% -> 70%" in capsys.readouterr().out


def test_no_work_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    (tmp_path / "x.circuit").write_text(FILE)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert run("breaking", "--against", "HEAD", "x.circuit") == 2
    assert "error[PD661]" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run("breaking", "--against", "HEAD", "x.circuit") == 2
    assert "error[PD661]" in capsys.readouterr().err


def test_a_file_outside_the_work_tree(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "x.circuit").write_text(FILE)
    assert run("breaking", "x.circuit", str(tmp_path / "x.circuit")) == 2
    assert "outside the work tree" in capsys.readouterr().err


@pytest.mark.parametrize("revision", ["gone", "--help", "-x", "HEAD:hypotheses", "HEAD;ls"])
def test_an_unknown_revision(revision: str, folder: Path, capsys: Capture) -> None:
    assert run("breaking", f"--against={revision}", "x.circuit") == 2
    assert "error[PD662]" in capsys.readouterr().err


def test_no_revision(folder: Path, capsys: Capture) -> None:
    assert run("breaking", "--against=", "x.circuit") == 2
    assert "`--against` is given an empty value" in capsys.readouterr().err


def test_an_earlier_text_with_faults(folder: Path, capsys: Capture) -> None:
    edit(folder / "x.circuit", "path some  = match -> logits", "path some  = match ->")
    assert run("breaking", "--against", "HEAD", "x.circuit") == 2  # of today's text, as lint says
    assert "error[PD014]" in capsys.readouterr().err
    git(folder, "commit", "-q", "-a", "-m", "Broken")
    (folder / "x.circuit").write_text(FILE)
    assert run("breaking", "--against", "HEAD", "x.circuit") == 2
    said = capsys.readouterr().err
    assert "error[PD663]" in said and "PD014" in said and "pathdsl-" not in said
    assert run("breaking", "--format", "json", "x.circuit") == 2
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert file["note"] == "not compared: it has faults" and not file["changes"]


def test_a_file_that_never_was(folder: Path, capsys: Capture) -> None:
    assert run("breaking", "--against", "HEAD", "gone.circuit") == 2
    assert "error[PD009]" in capsys.readouterr().err


def test_nothing_of_the_repository_is_run(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    mark = tmp_path / "was-run"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    script.chmod(0o755)
    (folder / ".gitattributes").write_text("*.circuit diff=odd filter=odd\n")
    for key in ("diff.odd.textconv", "diff.odd.command", "core.fsmonitor", "core.pager"):
        git(folder, "config", key, str(script))
    edit(folder / "x.circuit", ">= 80%", ">= 70%")
    mark.unlink(missing_ok=True)
    assert [kind for kind, _, _ in changes(capsys, 1)] == ["weaker"]
    assert not mark.exists()
