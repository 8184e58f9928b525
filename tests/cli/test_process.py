"""The command as a whole: exit codes, what goes to which stream, closed pipes, same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from pathdsl.report.data.result import schema
from tests.cli.run import BROKEN, INDUCTION, LIBRARY, in_one_process, pathdsl

REFUTED = "claim wrong: mean(LD(keep(none))) >= 1 at 95% confidence\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.circuit").write_text(INDUCTION)
    (tmp_path / "broken.circuit").write_text(BROKEN)
    return tmp_path


def test_as_expected_is_0_and_json_is_valid_and_the_same_in_every_process(folder: Path) -> None:
    """What another process of another hash seed prints, keeps and locks is found here again."""
    alone = ["check", "good.circuit", "--format", "json", "--no-cache", "--threads", "1"]
    kept = [word for word in alone if word != "--no-cache"]
    commands = [alone, kept, ["lock", str(folder / "good.circuit"), "--memory", "1MB"]]
    first, _, locks = in_one_process(commands, cwd=folder, PYTHONHASHSEED="7")
    assert first.returncode == locks.returncode == 0, first.stdout + first.stderr + locks.stderr
    lock = (folder / "good.circuit.lock").read_bytes()
    (folder / "good.circuit.lock").unlink()
    assert first.stdout == pathdsl(*alone, cwd=folder).stdout
    store = json.loads(pathdsl(*kept, cwd=folder).stdout)["files"][0]["store"]
    assert store["computed"] == 0 < store["stored"]
    assert pathdsl("lock", "good.circuit", "--memory", "1MB", cwd=folder).returncode == 0
    assert (folder / "good.circuit.lock").read_bytes() == lock
    found = json.loads(first.stdout)
    Draft202012Validator(schema()).validate(found)
    (file,) = found["files"]
    assert (file["path"], file["circuit"], found["exit_code"]) == ("good.circuit", "induction", 0)
    assert [c["verdict"] for c in file["claims"]] == ["supported", "refuted"]
    assert [q["name"] for q in file["quantities"]][:2] == ["total", "direct[a0.h0]"]
    assert str(folder) not in first.stdout and first.stderr == ""


def test_not_as_expected_is_1_and_values_are_written(folder: Path) -> None:
    (folder / "good.circuit").write_text(INDUCTION + REFUTED)
    done = pathdsl(
        "check", "good.circuit", "--set", "take=32", "--values", "v.csv", cwd=folder, NO_COLOR="1"
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    assert "not the published scope: take = 32" in done.stdout
    assert "3 claims: 1 supported, 1 refuted as expected, 1 refuted NOT as expected" in done.stdout
    assert "prompts that speak most against it" in done.stdout
    lines = (folder / "v.csv").read_text().splitlines()
    assert lines[0] == "file,task,run,written,treated,metric,draw,row,value"
    assert lines[1].startswith("good.circuit,t,0,reference,,LD,0,induction-0-16-00000,9.99999")
    assert (len(lines) - 1) % 32 == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("check", "broken.circuit"), 2, "PD0"),
        (("check", "nowhere.circuit"), 2, "there is no file `nowhere.circuit`"),
        (("check", "good.circuit", "--set", "take=many"), 2, "no whole number"),
        (("check", "good.circuit", "--set", "rows=3"), 2, "wanted `take=N`"),
        (("check", "good.circuit", "--seed", "1", "--set", "seed=2"), 2, "differ"),
        (("check", "good.circuit", "--memory", "much"), 2, "no size"),
        (("check", "good.circuit", "--only", "suficient"), 2, "did you mean `sufficient`?"),
        (("check", "good.circuit", "--only", "total[a0]"), 2, "`total` has no members"),
        (("check", "good.circuit", "--only", "direct[a9.h9]"), 2, "no such member"),
        (("plan", "good.circuit", "--only", "suficient"), 2, "did you mean `sufficient`?"),
        (("plan", "good.circuit", "--only", "direct[a9.h9]"), 2, "no such member"),
        (("explain", "good.circuit:direct[a9.h9]"), 2, "no such member"),
        (("check", "good.circuit", "--model", "n=folder:x"), 2, "model is `m`"),
        (("check", "good.circuit", "--model", "m=x"), 2, "NAME=folder:PATH"),
        (("check", "good.circuit", "--device", "tpu"), 2, "tpu"),
        (("check", "good.circuit", "--values", "v.txt"), 2, ".jsonl or .csv"),
        (("check", "good.circuit", "--nonsense"), 2, "--nonsense"),
        (("explain", "PD20"), 2, "did you mean"),
        (("explain", "good.circuit:totl"), 2, "did you mean `total`?"),
        (("check", "-"), 2, "`lint` and `fmt` read standard input"),
        (("check", "good.circuit", "--format", "jsn"), 2, "'--format': 'jsn' is not one of"),
        (("graph", "good.circuit:main"), 2, "`good.circuit --path main`"),
        (("graph", "good.circuit", "--path", "nods"), 2, "did you mean `nodes`?"),
    ],
)
def test_what_is_wrong_is_2(arguments: tuple[str, ...], code: int, said: str, folder: Path) -> None:
    done = pathdsl(*arguments, cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    # click wraps its messages
    assert said in " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in done.stdout + done.stderr


def test_no_claim_is_5(tmp_path: Path) -> None:
    for verb in ("check", "lint", "fmt", "plan"):
        done = pathdsl(verb, ".", cwd=tmp_path)
        assert done.returncode == 5 and "no `.circuit` file" in done.stderr
    (tmp_path / "library.circuit").write_text(LIBRARY)
    done = pathdsl("check", ".", cwd=tmp_path)
    assert done.returncode == 5 and "a library, only linted" in done.stdout


def test_a_closed_pipe_is_no_fault(folder: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "pathdsl", "explain", "PD203"],
        cwd=folder, stdout=write, stderr=subprocess.PIPE, timeout=60,
    )  # fmt: skip
    os.close(write)
    assert done.returncode == 0 and done.stderr == b""


@pytest.mark.parametrize("verb", ["lint", "fmt", "explain"])
def test_the_quick_verbs_are_quick_and_import_nothing_heavy(verb: str, folder: Path) -> None:
    arguments = {"lint": ["lint", "good.circuit"], "fmt": ["fmt", "--check", "good.circuit"]}
    code = (
        "import sys\nfrom pathdsl.cli.main import _run\n"
        f"code = _run({arguments.get(verb, ['explain', 'PD203'])!r}, True)\n"
        "heavy = {'torch', 'transformers', 'sympy', 'networkx', 'scipy', 'rich'}\n"
        "assert code == 0, code\nassert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)
    assert time.monotonic() - started < 5  # 0.5 s on a machine that does nothing else
