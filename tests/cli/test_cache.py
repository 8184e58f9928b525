"""`pathdsl cache`, and `check` with the store, as a user meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pathdsl.cli import main as cli
from pathdsl.engine.store.store import INDEX
from pathdsl.report.data.result import schema
from tests.cli.run import INDUCTION, forked, pathdsl

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATHDSL_CACHE", str(tmp_path / "store"))
    path = tmp_path / "x.circuit"
    path.write_text(INDUCTION)
    return path


def run(*arguments: str) -> int:
    return cli._run(list(arguments), False)


def told(capsys: Capture, *arguments: str, code: int = 0) -> str:
    assert run(*arguments) == code
    return capsys.readouterr().out


def objects(capsys: Capture, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(told(capsys, *arguments, "--format", "json"))
    return found


def without_store(text: str) -> object:
    """A report as JSON without what says how much was computed."""
    found = json.loads(text)
    for one in found["files"]:
        del one["cost"], one["store"]
    return found


# ------------------------------------------------------------------------------- check


def test_a_second_check_computes_nothing_and_says_the_same(file: Path, capsys: Capture) -> None:
    first, second, third = (
        told(capsys, "check", "x.circuit", "--format", "json", *more)
        for more in ((), (), ("--no-cache",))
    )
    for text in (first, second, third):
        jsonschema.validate(json.loads(text), schema())
    stores = [json.loads(text)["files"][0]["store"] for text in (first, second, third)]
    n_values = stores[0]["computed"]
    assert stores[0] == {"computed": n_values, "stored": 0, "beside_others": 0}
    assert stores[1] == {"computed": 0, "stored": n_values, "beside_others": 0}
    assert stores[2] is None and n_values > 0
    costs = [json.loads(text)["files"][0]["cost"] for text in (first, second, third)]
    assert costs[0] == costs[2] is not None and costs[1] is None
    assert without_store(first) == without_store(second) == without_store(third)
    # The reports are the same bytes up to there, digits included.
    assert first.replace(json.dumps(stores[0]), "").splitlines()[:20] == second.splitlines()[:20]


def test_no_cache_neither_reads_nor_writes(file: Path, capsys: Capture) -> None:
    told(capsys, "check", "x.circuit", "--no-cache")
    assert not (file.parent / "store").exists()


def test_the_report_says_what_was_stored(file: Path, capsys: Capture) -> None:
    cold = told(capsys, "check", "x.circuit")
    assert "result store" not in cold and " component copies" in cold
    assert "values from the result store\n" in told(capsys, "check", "x.circuit")
    file.write_text(INDUCTION + "let more: logits = mean(LD(treat(a0.h0 -> a1.h2 -> logits)))\n")
    edited = " ".join(told(capsys, "check", "x.circuit").split())
    assert "computed beside other runs" in edited and "(`--no-cache`)" in edited


def test_values_of_a_warm_check_are_complete(file: Path, capsys: Capture) -> None:
    told(capsys, "check", "x.circuit", "--values", "cold.jsonl")
    told(capsys, "check", "x.circuit", "--values", "warm.jsonl")
    cold, warm = (Path(f"{name}.jsonl").read_text() for name in ("cold", "warm"))
    assert cold == warm and cold.count("\n") > 100


def test_a_folder_that_cannot_be_written_is_one_warning(
    file: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file.parent / "taken").write_text("a file")
    monkeypatch.setenv("PATHDSL_CACHE", str(file.parent / "taken" / "store"))
    (file.parent / "y.circuit").write_text(INDUCTION)
    assert run("check", "x.circuit", "y.circuit", "--format", "json") == 0
    printed = capsys.readouterr()
    assert printed.err.count("PD640") == 2  # the fault itself, and where to read more
    assert printed.err.count("warning[PD640]") == 1
    assert [one["store"] for one in json.loads(printed.out)["files"]] == [None, None]
    assert all(not d["code"] == "PD640" for f in json.loads(printed.out)["files"]
               for d in f["diagnostics"])  # fmt: skip
    assert told(capsys, "cache", "prune", "--all").startswith("removed 0 values")


def test_the_bound_of_the_store(
    file: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATHDSL_CACHE_SIZE", "1kB")
    told(capsys, "check", "x.circuit")
    assert objects(capsys, "cache", "info")["bytes"] == 0
    monkeypatch.setenv("PATHDSL_CACHE_SIZE", "much")
    assert run("check", "x.circuit") == 2
    assert "PATHDSL_CACHE_SIZE" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_two_checks_at_once(file: Path) -> None:
    arguments = ["check", "x.circuit", "--format", "json", "-q", "--threads", "1"]

    def check(name: str) -> None:
        done = pathdsl(*arguments, cwd=file.parent)
        Path(f"{name}.out").write_text(done.stdout)
        Path(f"{name}.err").write_text(done.stderr)
        sys.exit(done.returncode)

    both = [forked(lambda name=name: check(name)) for name in "ab"]
    for child in both:
        child.join(300)
    assert [child.exitcode for child in both] == [0, 0]
    assert [Path(f"{name}.err").read_text() for name in "ab"] == ["", ""]
    warm = pathdsl(*arguments, cwd=file.parent).stdout
    assert json.loads(warm)["files"][0]["store"]["computed"] == 0
    texts = [Path(f"{name}.out").read_text() for name in "ab"]
    assert without_store(texts[0]) == without_store(texts[1]) == without_store(warm)


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_check_after_one_that_was_killed_while_it_wrote(
    file: Path, where: str, capsys: Capture
) -> None:
    real = os.replace

    def dying(source: str, target: str) -> None:
        if str(target).endswith(".safetensors"):
            if where == "after":
                real(source, target)
            os.kill(os.getpid(), signal.SIGKILL)
        real(source, target)

    def check() -> None:
        os.replace = dying
        run("check", "x.circuit", "--threads", "1")

    child = forked(check)
    child.join(300)
    assert child.exitcode == -signal.SIGKILL
    assert (file.parent / "store" / INDEX).exists()
    assert objects(capsys, "cache", "info")["values"] == 0
    found = objects(capsys, "check", "x.circuit")
    assert found["exit_code"] == 0 and found["files"][0]["store"]["stored"] == 0
    assert objects(capsys, "check", "x.circuit")["files"][0]["store"]["computed"] == 0


# ------------------------------------------------------------------------------- cache


def test_an_unused_store_is_empty_and_is_not_made(file: Path, capsys: Capture) -> None:
    assert told(capsys, "cache", "path") == f"{file.parent / 'store'}\n"
    assert "0 values of 0 plans" in told(capsys, "cache", "info")
    assert told(capsys, "cache", "list") == "the result store is empty\n"
    assert told(capsys, "cache", "prune", "--all") == "removed 0 values of 0 plans, 0 B\n"
    assert objects(capsys, "cache", "prune")["values"] == 0
    assert not (file.parent / "store").exists()


def test_info_list_and_prune(file: Path, capsys: Capture) -> None:
    told(capsys, "check", "x.circuit")
    found = objects(capsys, "cache", "info")
    assert found["plans"] == 1 and found["values"] > 0 and found["max_bytes"] == 2_000_000_000
    assert found["folder"] == objects(capsys, "cache", "path")["folder"]
    (only,) = objects(capsys, "cache", "list")["list"]
    assert only["task"] == "t" and only["model"] == 'bundled("induction-2l")'
    assert len(only["values"]) == found["values"] and only["bytes"] == found["bytes"]
    assert "reference: logit(answer) @END" in only["values"]
    line = told(capsys, "cache", "list").splitlines()[1]
    assert line.startswith(only["key"][:12]) and 'bundled("induction-2l")' in line
    assert only["key"] in told(capsys, "cache", "list", "--all")
    assert objects(capsys, "cache", "prune", "--older-than", "1h")["values"] == 0
    assert objects(capsys, "cache", "prune", "--max-size", "1GB")["values"] == 0
    gone = objects(capsys, "cache", "prune", "--max-size", "1kB")
    assert gone["values"] == found["values"] and gone["bytes"] == found["bytes"]
    assert objects(capsys, "cache", "info")["values"] == 0
    told(capsys, "check", "x.circuit")
    assert objects(capsys, "cache", "prune", "--older-than", "0s")["plans"] == 1
    told(capsys, "check", "x.circuit")
    assert f"removed {found['values']} values of 1 plan" in told(capsys, "cache", "prune", "--all")
    assert not list(file.parent.glob("store/blobs/*/*"))


def test_a_damaged_index_is_repaired_by_what_the_warning_says(file: Path, capsys: Capture) -> None:
    told(capsys, "check", "x.circuit")
    (file.parent / "store" / INDEX).write_bytes(b"damaged" * 1000)
    assert run("check", "x.circuit") == 0
    assert "pathdsl cache prune --all" in capsys.readouterr().err
    for verb in ("info", "list", "prune"):
        assert run("cache", verb) == 3
        assert "warning[PD640]" in capsys.readouterr().err
    told(capsys, "cache", "prune", "--all")
    told(capsys, "check", "x.circuit")
    assert objects(capsys, "cache", "info")["plans"] == 1


@pytest.mark.parametrize(
    "arguments", [("--older-than", "soon"), ("--max-size", "big"), ("--all", "--max-size", "1GB")]
)
def test_prune_refuses_what_it_cannot_read(file: Path, arguments: tuple[str, ...]) -> None:
    assert run("cache", "prune", *arguments) == 2


def test_cache_starts_fast(file: Path) -> None:
    script = (
        "import sys\nfrom pathdsl.cli.main import _run\n"
        "assert _run(['cache', 'info'], False) == 0 and _run(['cache', 'list'], False) == 0\n"
        "heavy = {'torch', 'transformers', 'numpy', 'networkx', 'sympy', 'scipy', 'safetensors'}\n"
        "print(sorted(heavy & {m.split('.')[0] for m in sys.modules}))\n"
    )
    os.makedirs(file.parent / "store", exist_ok=True)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
