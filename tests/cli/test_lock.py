"""`pathdsl lock` and `check --locked`: what was locked holds, and what changed is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pathdsl.cli import main as cli
from pathdsl.report.data.result import schema
from tests.bad_input_cases import HEAD, good_row, sound, write_rows
from tests.cli.run import BROKEN, INDUCTION, LIBRARY

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "hypotheses" / "quickstart"
Capture = pytest.CaptureFixture[str]


def run(*arguments: str) -> int:
    return cli._run(list(arguments), False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Path:
    """A folder with a model, eight rows, a file and its lock."""
    place = tmp_path / "place"
    sound(place)
    write_rows(place, [good_row(i) for i in range(8)])  # six are needed for an interval at 95%
    monkeypatch.chdir(place)
    monkeypatch.setenv("NO_COLOR", "1")
    assert run("lock", "x.circuit") == 0
    assert capsys.readouterr().out == "wrote: x.circuit.lock (1 claim: 1 supported)\n"
    return place


def drift(capsys: Capture, *arguments: str, exits: int = 1) -> dict[str, Any]:
    """What `check --locked` says, as an object; its diagnostics by code under `codes`."""
    assert run("check", "--locked", "--format", "json", "x.circuit", *arguments) == exits
    said = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema()).validate(said)
    (file,) = said["files"]
    codes = [d["code"] for d in file["diagnostics"] if "PD650" <= d["code"] <= "PD660"]
    return {"codes": codes, "file": file, **file["lock"]}


def edit(place: Path, **changes: Any) -> None:
    """Change parts of the lock, `claims__c__estimate=1.0`."""
    path = place / "x.circuit.lock"
    lock = json.loads(path.read_text("utf-8"))
    for keys, value in changes.items():
        *above, last = keys.split("__")
        inside = lock
        for key in above:
            inside = inside[key]
        inside[last] = value
    path.write_text(json.dumps(lock))


def test_the_quickstart_locks_hold_in_another_checkout(tmp_path: Path, capsys: Capture) -> None:
    shutil.copytree(QUICKSTART, tmp_path / "files")
    assert run("check", "--locked", "-q", str(tmp_path / "files")) == 0
    said = capsys.readouterr().out
    assert said.count("\nlock: ") == len(list(QUICKSTART.glob("*.circuit"))) == 3
    assert "drifted" not in said


def test_every_quickstart_file_has_a_lock_without_a_place_in_it() -> None:
    for path in QUICKSTART.glob("*.circuit"):
        text = path.with_name(f"{path.name}.lock").read_text("utf-8")
        assert str(ROOT) not in text and '"lock_version": 1' in text


def test_the_same_machine_gives_the_same_bits(folder: Path, capsys: Capture) -> None:
    found = drift(capsys, exits=0)
    assert found["identical"] and not found["drifted"] and found["numbers"] == 3
    assert found["file"]["store"] is None  # computed, not remembered
    assert run("check", "--locked", "x.circuit") == 0
    assert "lock: 3 numbers as locked, bit for bit\n" in capsys.readouterr().out


def test_the_same_check_writes_the_same_bytes(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another process too: tests/cli/test_process.py."""
    before = (folder / "x.circuit.lock").read_bytes()
    assert str(folder).encode() not in before
    assert run("lock", "x.circuit") == 0
    assert capsys.readouterr().out.startswith("unchanged: ")
    (folder / "x.circuit.lock").unlink()
    monkeypatch.chdir(ROOT)
    assert run("lock", str(folder / "x.circuit"), "--memory", "1MB") == 0
    assert (folder / "x.circuit.lock").read_bytes() == before


def test_comments_and_layout_are_no_drift(folder: Path, capsys: Capture) -> None:
    (folder / "x.circuit").write_text("# a remark\n\n" + HEAD.replace(" = ", "  =  "))
    assert not drift(capsys, exits=0)["drifted"]


def test_a_changed_threshold(folder: Path, capsys: Capture) -> None:
    (folder / "x.circuit").write_text(HEAD.replace("> -100", "> 100"))
    found = drift(capsys)
    assert found["codes"] == ["PD655", "PD659"]
    assert [one["what"] for one in found["drift"]] == ["tree", "c: verdict"]
    assert found["drift"][1]["locked"] == "supported" and found["drift"][1]["found"] == "refuted"


def test_a_changed_row(folder: Path, capsys: Capture) -> None:
    rows = [good_row(i) for i in range(8)]
    rows[2]["other"] = [4, 3, 1, 1]
    write_rows(folder, rows)
    found = drift(capsys)
    assert "PD656" in found["codes"] and "PD655" not in found["codes"]
    whats = {one["what"]: one["about"] for one in found["drift"]}
    assert whats["task t: rows"] == "1 of 8 rows differ, first `row-2`"
    assert "task t: data_file" in whats


def test_a_changed_weight(folder: Path, capsys: Capture) -> None:
    from safetensors.numpy import load_file, save_file

    path = folder / "model" / "model.safetensors"
    weights = load_file(path)
    name = next(n for n in weights if n.endswith("attn.c_proj.weight"))
    weights[name] = weights[name] + 0.01
    save_file(weights, path, metadata={"format": "pt"})
    found = drift(capsys)
    assert "PD657" in found["codes"]
    assert [one["what"] for one in found["drift"] if one["code"] == "PD657"] == [
        "weights model.safetensors"
    ]


def test_a_changed_config(folder: Path, capsys: Capture) -> None:
    path = folder / "model" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "transformers_version": "5.99"}))
    assert not drift(capsys, exits=0)["drifted"]  # what saved it is no part of the model
    path.write_text(json.dumps({**config, "layer_norm_epsilon": 1e-2}))
    assert "config" in {one["what"] for one in drift(capsys)["drift"]}


def test_a_seed_and_a_number_of_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.circuit").write_text(INDUCTION)
    assert run("lock", "x.circuit") == 0
    capsys.readouterr()
    found = drift(capsys, "--seed", "1")
    whats = {one["what"] for one in found["drift"] if one["code"] == "PD656"}
    assert {"set on the command line: seed", "task t: rows", "task t: seeds data"} <= whats
    found = drift(capsys, "--set", "take=30")
    assert any("40 rows were locked, 30 found" in one["about"] for one in found["drift"])
    assert run("lock", "x.circuit", "--set", "take=30") == 0  # a lock of another scope says so
    assert "  the lock before drifted from " in capsys.readouterr().out
    assert not drift(capsys, "--set", "take=30", exits=0)["drifted"]


def test_a_number_beyond_the_tolerance(folder: Path, capsys: Capture) -> None:
    estimate = json.loads((folder / "x.circuit.lock").read_text())["claims"]["c"]["estimate"]
    edit(folder, claims__c__estimate=estimate + 1e-6)
    found = drift(capsys, exits=0)
    assert not found["identical"] and 0 < found["largest"] <= 1.01e-6
    edit(folder, claims__c__estimate=estimate + 0.01)
    found = drift(capsys)
    assert found["codes"] == ["PD658"]
    assert run("check", "--locked", "x.circuit") == 1
    said = capsys.readouterr().out
    assert "error[PD658] number-drift" in said and "lock: drifted from 1 number\n" in said


def test_other_packages_are_a_note(folder: Path, capsys: Capture) -> None:
    edit(folder, surroundings__packages__torch="0.1", surroundings__device="cuda")
    found = drift(capsys, exits=0)
    assert found["codes"] == ["PD660"] and not found["drifted"]
    assert {one["what"] for one in found["surroundings"]} == {"device", "packages torch"}


def test_a_package_of_another_version_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    told = tmp_path / "site" / "scipy-9.9.9.dist-info" / "METADATA"
    told.parent.mkdir(parents=True)
    told.write_text("Metadata-Version: 2.1\nName: scipy\nVersion: 9.9.9\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    found = drift(capsys, exits=0)
    (one,) = found["surroundings"]
    assert (one["code"], one["what"], one["found"]) == ("PD660", "packages scipy", "9.9.9")


def test_control_characters_of_a_lock_do_not_reach_the_screen(
    folder: Path, capsys: Capture
) -> None:
    sign = "\x1b[31mred\x07\nlock: 3 numbers as locked\u202e"
    edit(folder, inputs__tasks__t__average=sign, surroundings__device=sign)
    assert run("check", "--locked", "-q", "x.circuit") == 1
    said = "".join(capsys.readouterr())
    assert "average: locked" in said and "\x1b" not in said and "\u202e" not in said
    assert "\nlock: 3 numbers" not in said
    assert run("lock", "-q", "x.circuit") == 0
    assert "\x1b" not in "".join(capsys.readouterr())


def test_a_missing_lock_is_told_before_anything_runs(folder: Path, capsys: Capture) -> None:
    (folder / "x.circuit.lock").unlink()
    shutil.rmtree(folder / "model")  # would be a fault of its own, if it came to that
    assert run("check", "--locked", "x.circuit") == 2
    said = capsys.readouterr().out
    assert "error[PD650]" in said and "pathdsl lock x.circuit" in said and "PD600" not in said


def test_libraries_have_no_lock(folder: Path, capsys: Capture) -> None:
    (folder / "library.circuit").write_text(LIBRARY)
    assert run("lock", "library.circuit") == 5
    assert capsys.readouterr().out == "library.circuit: nothing to lock\n"
    assert run("check", "--locked", "library.circuit") == 5
    assert not (folder / "library.circuit.lock").exists()


def test_a_file_with_faults_gets_no_lock(folder: Path, capsys: Capture) -> None:
    (folder / "bad.circuit").write_text(BROKEN)
    assert run("lock", "bad.circuit", "x.circuit") == 2
    said = capsys.readouterr()
    assert "bad.circuit: not locked\n" in said.out and "PD0" in said.err
    assert not (folder / "bad.circuit.lock").exists()


def test_a_refuted_claim_is_locked_as_it_came_out(folder: Path, capsys: Capture) -> None:
    (folder / "x.circuit").write_text(HEAD.replace("> -100", "> 100"))
    assert run("lock", "x.circuit") == 1
    assert "1 refuted NOT as expected" in capsys.readouterr().out
    lock = json.loads((folder / "x.circuit.lock").read_text())
    assert lock["claims"]["c"]["verdict"] == "refuted"
    assert not drift(capsys)["drifted"]  # as locked, and still not as expected: exit 1


def test_a_used_file_is_an_input(folder: Path, capsys: Capture) -> None:
    (folder / "library.circuit").write_text(LIBRARY)
    (folder / "x.circuit").write_text(HEAD.replace("model toy", 'use "library.circuit"\nmodel toy'))
    assert run("lock", "x.circuit") == 0
    (folder / "library.circuit").write_text(LIBRARY + "group more = { a0.h1 }\n")
    capsys.readouterr()
    found = drift(capsys)
    assert [one["what"] for one in found["drift"]] == ["uses library.circuit"]


def test_a_copy_of_the_weights_is_the_same_model(folder: Path, capsys: Capture) -> None:
    shutil.copytree(folder / "model", folder / "copy")
    found = drift(capsys, "--model", "toy=folder:copy", exits=0)
    assert not found["drifted"]
    assert [one["what"] for one in found["surroundings"]] == ["model"]


def test_a_lock_is_of_the_whole_file(folder: Path, capsys: Capture) -> None:
    assert run("check", "--locked", "--only", "c", "x.circuit") == 2
    assert "--only" in capsys.readouterr().err


def test_a_lock_of_a_later_version_is_not_overwritten(folder: Path, capsys: Capture) -> None:
    edit(folder, lock_version=99)
    before = (folder / "x.circuit.lock").read_text()
    assert run("lock", "x.circuit") == 2
    assert "PD652" in capsys.readouterr().err
    assert (folder / "x.circuit.lock").read_text() == before


def test_lock_as_json(folder: Path, capsys: Capture) -> None:
    edit(folder, claims__c__estimate=5.0)
    assert run("lock", "--format", "json", "x.circuit") == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert file["written"] and file["lock"] == "x.circuit.lock"
    assert file["before"]["drift"][0]["what"] == "c: estimate"
    assert file["claims"] == {"c": "supported"}
