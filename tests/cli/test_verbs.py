"""The verbs that need no weights, run inside the test's own process."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from pathdsl.checking.options import UnknownName, vet_names
from pathdsl.cli import main as cli
from pathdsl.cli.exits import MEANINGS, table
from pathdsl.cli.options import read_options, size
from pathdsl.cli.output import colour_on
from pathdsl.errors import ExitCode, overall
from tests.cli.run import BROKEN, INDUCTION

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.circuit"
    path.write_text(INDUCTION)
    return path


def run(*arguments: str) -> int:
    return cli._run(list(arguments), False)


def test_every_exit_code_has_a_meaning_and_is_in_the_help(capsys: Capture) -> None:
    assert set(MEANINGS) == set(ExitCode)
    assert run("check", "--help") == 0
    told = capsys.readouterr().out
    for code, meaning in MEANINGS.items():
        assert f"{int(code):>5}  {meaning}" in table()
        assert f"{int(code)}  {meaning}" in told


@pytest.mark.parametrize(
    ("codes", "wanted"),
    [([], 5), ([5, 5], 5), ([0, 5], 0), ([0, 1, 5], 1), ([1, 2], 2), ([3, 2], 3)],
)
def test_over_several_files_the_largest_wins(codes: list[int], wanted: int) -> None:
    assert overall(ExitCode(code) for code in codes) == wanted


def test_only_built_verbs_are_there(capsys: Capture) -> None:
    assert run("--help") == 0
    told = capsys.readouterr().out
    for verb in ("check", "lint", "fmt", "plan", "explain", "graph", "selftest", "doctor",
                 "cache", "lock", "breaking", "diff", "robustness", "data", "export",
                 "import", "init", "lsp"):  # fmt: skip
        assert f"  {verb} " in told


def test_version(capsys: Capture) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("pathdsl 0.")


def test_a_bug_is_called_a_bug(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def fails(**_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("pathdsl.cli.app.app", fails)
    assert cli._run([], False) == ExitCode.MACHINE_FAILED
    told = capsys.readouterr().err
    assert "this is a bug in pathdsl: ZeroDivisionError: by zero" in told
    assert "--debug" in told and "Traceback" not in told
    cli._run([], True)
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pathdsl.cli.app.app", stops)
    assert cli._run([], False) == 130


def test_fmt_checks_shows_and_writes(file: Path, capsys: Capture) -> None:
    assert run("fmt", "--check", "x.circuit") == 0
    file.write_text(INDUCTION.replace("@FIRST_B = { a0.h1 }", "@FIRST_B={a0.h1}"))
    file.chmod(0o640)
    before = file.read_text()
    assert run("fmt", "--check", "x.circuit") == 1
    assert run("fmt", "--diff", "x.circuit") == 0
    told = capsys.readouterr()
    assert "+group previous @FIRST_B = { a0.h1 }" in told.out and file.read_text() == before
    assert run("fmt", ".") == 0
    assert file.read_text() == INDUCTION and file.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in file.parent.iterdir()] == ["x.circuit"]
    file.write_text(BROKEN)
    assert run("fmt", "x.circuit") == 2 and file.read_text() == BROKEN


def test_fmt_and_lint_read_the_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    class Given:
        buffer = io.BytesIO(b"group g={ a9.h9,a9.h6 }")

    monkeypatch.setattr(sys, "stdin", Given)
    assert run("fmt", "-") == 0
    assert capsys.readouterr().out == "group g = { a9.h9, a9.h6 }\n"
    Given.buffer = io.BytesIO(BROKEN.encode())
    assert run("lint", "-", "--format", "concise") == 2
    assert capsys.readouterr().out.startswith("<stdin>:1:")


def test_lint_formats(file: Path, capsys: Capture) -> None:
    file.write_text(INDUCTION.replace("logit(wrong)", "logit(wrongs)"))
    assert run("lint", "x.circuit") == 2
    told = capsys.readouterr().out
    assert "-->" in told and told.endswith("1 file: 1 error\n")
    assert run("lint", "x.circuit", "--format", "json") == 2
    found = json.loads(capsys.readouterr().out)
    (fault,) = found["files"][0]["diagnostics"]
    assert fault["span"]["line"] == 20 and fault["severity"] == "error"


def test_lint_says_when_the_graph_is_unchecked(file: Path, capsys: Capture) -> None:
    told = "the graph was not checked: no config of `nobody/nothing-1b` is on this machine"
    text = INDUCTION.replace('bundled("induction-2l")', 'hf("nobody/nothing-1b", revision: "REV")')
    file.write_text(text.replace("REV", "0" * 40))
    assert run("lint", "x.circuit") == 0
    said = capsys.readouterr().out
    assert (
        said == f"note: x.circuit: {told}; `pathdsl plan x.circuit` fetches it\n1 file: no faults\n"
    )
    assert run("lint", "x.circuit", "--format", "json") == 0
    (found,) = json.loads(capsys.readouterr().out)["files"]
    assert found["unchecked"].startswith(told)
    for form in ("concise", "github", "sarif"):
        assert run("lint", "x.circuit", "--format", form) == 0
    capsys.readouterr()
    file.write_text(INDUCTION)
    assert run("lint", "x.circuit", "--format", "json") == 0
    assert "unchecked" not in json.loads(capsys.readouterr().out)["files"][0]
    file.write_text(text.replace("LD:", "LD @:"))
    assert run("lint", "x.circuit") == 2  # of a file with faults nothing was asked of the graph
    assert "note: x" not in capsys.readouterr().out


def test_lint_says_which_rows_it_did_not_look_at(
    file: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "\n".join(
        ['{"prompt": [1, 2, 3], "prompt_other": [1, 2, 4], "answer": 5, "wrong": 6}'] * 9
    )
    (file.parent / "rows.jsonl").write_text(rows)
    data = re.sub(r"data( *)= .*", r'data\1= jsonl("rows.jsonl")', INDUCTION)
    file.write_text(data)
    monkeypatch.setattr("pathdsl.engine.data.at_hand.MOST_BYTES", 100)
    assert run("lint", "x.circuit") == 0
    assert capsys.readouterr().out.startswith(
        "note: x.circuit: the rows in `rows.jsonl` (0.0 MB) were not looked at; "
        "`pathdsl plan x.circuit` reads them\n"
    )


def test_plan_in_text_and_json(file: Path, capsys: Capture) -> None:
    file.write_text(
        INDUCTION + "claim complete: completeness(nodes, knockouts: greedy(2, seed: 0)) <= 1\n"
    )
    assert run("plan", "x.circuit", "--memory", "1MB") == 0
    told = capsys.readouterr().out
    assert "treat(h -> logits)  ×6" in told and "no weights were loaded" in told
    assert "adaptive: complete search" in told and "limit 1.0 MB" in told
    assert run("plan", "x.circuit", "--format", "json", "--only", "sufficient") == 0
    (found,) = json.loads(capsys.readouterr().out)["files"]
    (task,) = found["tasks"]
    assert [r["run"] for r in task["runs"]] == ["keep(nodes)", "keep(none)", "reference"]
    assert found["adaptive"] == {"names": [], "later_runs": 0}
    assert task["forwards"] > 1 and task["copies"] == sum(task["copies_by_layer"])


def test_graph_in_dot_and_json(file: Path, capsys: Capture) -> None:
    import networkx as nx

    assert run("graph", "x.circuit") == 0
    told = capsys.readouterr().out
    assert '"a0.h1" -> "a1.h2" [label = "k,q,v"];' in told
    assert run("graph", "x.circuit", "--format", "json") == 0
    found = nx.node_link_graph(json.loads(capsys.readouterr().out), edges="edges")
    assert set(found) == {"input", "a0.h1", "a1.h2", "logits"}
    assert found.nodes["a1.h2"]["group"] == "match"
    file.write_text(INDUCTION.replace("  hypothesis = nodes\n", ""))
    assert run("graph", "x.circuit") == 2


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("through(a0.h0) & through(a0.h1)", "shares no path with the left side"),
        ("none", "is `none`"),
        ("full - full", "takes away every path"),
        ("edges { a0.h0 -> a1.h1 }", "join no `input` with `logits`"),
    ],
)
@pytest.mark.parametrize("style", ["dot", "json"])
def test_no_graph_of_nothing(path: str, said: str, style: str, file: Path, capsys: Capture) -> None:
    file.write_text(INDUCTION + f"path empty = {path}\n")
    assert run("graph", "x.circuit", "--path", "empty", "--format", style) == 2
    told = capsys.readouterr()
    assert told.out == "" and "PD209" in told.err and said in told.err


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ("PD203", "PD203 position-travels-back"),
        ("position-travels-back", "This does not"),
        ("induction", "Token columns"),
        ("x.circuit:nodes", "2 units: a0.h1@FIRST_B, a1.h2@END"),
        ("x.circuit:match", "1 node: a1.h2@END"),
        ("x.circuit:LD", r"\operatorname{logit}"),
        ("x.circuit:sufficient", "faithfulness(nodes) >= 80%"),
        ("x.circuit:direct", "treat(h -> logits)"),
        ("x.circuit:direct[a1.h2]", "2 runs:\n    treat(a1.h2 -> logits)\n    reference\n"),
        ("x.circuit:sufficient", "3 runs:\n    keep(nodes)\n    keep(none)\n    reference\n"),
        ("mini_ioi", 'training;\n- `split: "train"`'),
        ("x.circuit:t", "FIRST_A, FIRST_B"),
        ("x.circuit:m", "2"),
        ("x.circuit", "claim   sufficient, control"),
    ],
)
def test_explain(subject: str, said: str, file: Path, capsys: Capture) -> None:
    assert run("explain", subject) == 0
    assert said in capsys.readouterr().out


def test_sizes() -> None:
    assert [size("--memory", t) for t in ("2GB", "512 MiB", "1.5kb", "9")] == [
        2 * 10**9,
        2**29,
        1500,
        9,
    ]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert colour_on(Terminal(), off=False) and not colour_on(Terminal(), off=True)
    assert not colour_on(io.StringIO(), off=False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colour_on(Terminal(), off=False)


@pytest.mark.parametrize(
    "verb",
    [
        "breaking", "check --revisions a,b", "check --shard 1/2 --store s", "data --show 2", "diff",
        "explain", "lock", "plan", "robustness",
    ],
)  # fmt: skip
def test_complaints_follow_the_options(
    verb: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard error too, whatever a verb complains about before it reports anything."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    file.write_text("path p = a9.h9\nclaim c: mean(LD(reference)) >= 1\n")
    names = {"diff": ["x.circuit"] * 2, "explain": ["x.circuit:p"]}.get(verb, ["x.circuit"])
    checks = verb.startswith("check")
    for words in ([], ["--no-color"], *([["--diagnostics", "concise"]] * checks)):
        monkeypatch.setattr(sys, "stderr", Terminal())
        assert run(*verb.split(), *names, *words) == 2
        told = sys.stderr.getvalue()  # type: ignore[attr-defined]
        # A bar hides the cursor and clears its line, which is no colour.
        assert bool(re.search(r"\x1b\[[0-9;]*m", told)) == (not words)
        assert ("\n  = more: " in re.sub(r"\x1b\[[0-9;]*m", "", told)) == ("concise" not in words)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "x.circuit", "--only", "a", "--only", "b"], "`--only` takes one value"),
        (["plan", "x.circuit", "--memory", "1GB", "--memory=2GB"], "`--memory` takes one value"),
        (["plan", "x.circuit", "--format", "json", "--format", "text"], "given 2 times"),
        (["cache", "prune", "--older-than", "1d", "--older-than", "2d"], "`--older-than` takes"),
        (["lint", "x.circuit", "--seed", "1", "--seed", "2"], "--seed"),
        (["plan", "x.circuit", "--set", "take=3", "--set", "take=4"], "given another value"),
        (["plan", "x.circuit", "--model", "m=hf:a", "--model", "m=hf:b"], "given another value"),
    ],
)
def test_an_option_given_twice_drops_nothing_silently(
    arguments: list[str], said: str, file: Path, capsys: Capture
) -> None:
    assert run(*arguments) == ExitCode.WRONG_INPUT
    assert said in capsys.readouterr().err


def test_options_that_may_come_again(file: Path, capsys: Capture) -> None:
    assert run("lint", "x.circuit", "--no-color", "--no-color") == 0
    assert run("plan", "x.circuit", "--set", "take=30", "--set", "seed=1") == 0
    assert run("plan", "x.circuit", "--set", "take=30", "--set", "take=30") == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["init", "--template", "direct_effects", "--data", ""],
        ["init", "--template", "direct_effects", "--model", " "],
        ["import", "found.json", "--out", ""],
        ["export", "x.circuit", "--to", "dot", "-o", ""],
        ["report", "x.circuit", "--figures="],
        ["check", "x.circuit", "--set", ""],
    ],
)
def test_an_empty_value_is_refused(arguments: list[str], file: Path, capsys: Capture) -> None:
    before = sorted(file.parent.iterdir())
    assert run(*arguments) == 2
    assert "is given an empty value" in " ".join(capsys.readouterr().err.split())
    assert sorted(file.parent.iterdir()) == before


def test_a_model_that_no_file_has_is_refused_and_a_second_one_is_replaced(
    file: Path, capsys: Capture
) -> None:
    for verb in (["graph", "x.circuit"], ["export", "x.circuit", "--to", "dot", "-o", "out"]):
        assert run(*verb, "--model", "zzz=bundled:ioi-mini") == 2
        assert "`--model zzz=…`: the file's model is" in capsys.readouterr().err
    models = 'model a = bundled("ioi-mini")\nmodel b = bundled("ioi-mini")\n'
    Path("two.circuit").write_text(models)
    for name in ("a", "b"):
        vet_names(["two.circuit"], read_options(models=[f"{name}=bundled:ioi-mini-tuned"]))
    with pytest.raises(UnknownName, match="`a`, `b`"):
        vet_names(["two.circuit"], read_options(models=["c=bundled:ioi-mini-tuned"]))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "x.pdf"], "no format is known by `.pdf`; there are `.html`, `.tex`, `.md`"),
        (["-o", "x.txt"], "no format is known by `.txt`"),
        (["--index", "-o", "x.html"], "`--index` writes Markdown"),
    ],
)
def test_a_report_is_not_written_under_the_name_of_another_format(
    arguments: list[str], said: str, file: Path, capsys: Capture
) -> None:
    where = str(file.parent) if "--index" in arguments else "x.circuit"
    assert run("report", where, *arguments) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not Path(arguments[-1]).exists()
