"""`check --shard K/N --store DIR`: the command line of shards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.checking.test_shards import SEARCH, text
from tests.cli.run import pathdsl

LIMITS = ("--memory", "500kB", "--threads", "1")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "x.circuit").write_text(text("prompt_abc"))
    (tmp_path / "search.circuit").write_text(text("prompt_abc", more=SEARCH))
    return tmp_path


def test_two_shards_and_the_check_behind_them(home: Path) -> None:
    alone = pathdsl("check", "x.circuit", "--no-cache", "--format", "json", *LIMITS, cwd=home)
    for number in (2, 1):
        done = pathdsl("check", "x.circuit", "--shard", f"{number}/2", "--store", "s", *LIMITS,
                       cwd=home)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"shard {number}/2 of x.circuit: " in done.stdout
        assert "0 were there" in done.stdout and "so far" not in done.stdout
    found = pathdsl("check", "x.circuit", "--store", "s", "--format", "json", *LIMITS, cwd=home)
    assert found.returncode == alone.returncode == 0
    one, two = (json.loads(done.stdout)["files"][0] for done in (alone, found))
    assert two["store"]["computed"] == 0 and two["result_sha256"] == one["result_sha256"]
    again = pathdsl("check", "x.circuit", "--shard", "1/2", "--store", "s", *LIMITS, cwd=home)
    assert again.returncode == 0 and "0 items computed" in again.stdout


def test_a_search_exits_with_4(home: Path) -> None:
    first = ("check", "search.circuit", "--shard", "1/2", "--store", "s", *LIMITS)
    done = pathdsl(*first, cwd=home)
    assert done.returncode == 4 and "PD643" in done.stderr and "so far" in done.stdout
    done = pathdsl(*first, "--wait", "--timeout", "1s", cwd=home)
    assert done.returncode == 4


def test_a_faulty_file_exits_with_2(home: Path) -> None:
    (home / "x.circuit").write_text("model m = \n")
    done = pathdsl("check", "x.circuit", "--shard", "1/2", "--store", "s", cwd=home)
    assert done.returncode == 2 and "PD0" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--shard", "1/2"], "give `--store DIR`"),
        (["--shard", "3/2", "--store", "s"], "no shard 3 of 2"),
        (["--shard", "1/2", "--store", "s", "--values", "v.csv"], "takes no `--values`"),
        (["--shard", "1/2", "--store", "s", "--format", "json"], "takes no `--format`"),
        (["--shard", "1/2", "--store", "s", "--timeout", "2h"], "`--wait` waits"),
        (["--shard", "1/2", "--store", "s", "--wait", "--timeout", "2"], "20m"),
        (["--wait"], "for one `--shard`"),
        (["--store", "s", "--no-cache"], "takes no `--no-cache`"),
        (["--store", "s", "--locked"], "takes no `--locked`"),
        (["--store", "s", "--watch"], "takes no `--watch`"),
        (["--store", "s", "--revisions", "a,b"], "takes no `--revisions`"),
    ],
)
def test_what_has_no_meaning_is_refused(words: list[str], told: str, home: Path) -> None:
    done = pathdsl("check", "x.circuit", *words, cwd=home)
    assert done.returncode == 2 and told in " ".join(done.stderr.replace("│", " ").split())
    assert not (home / "s").exists()


def test_a_folder_that_cannot_be_used_ends_the_check(home: Path) -> None:
    (home / "s").write_text("a file")
    done = pathdsl("check", "x.circuit", "--store", "s", cwd=home)
    assert done.returncode == 3 and "PD640" in done.stderr and not done.stdout


def test_a_lock_of_what_shards_computed_is_that_of_one_machine(home: Path) -> None:
    options = ("-q", *LIMITS)
    code = pathdsl("lock", "search.circuit", *options, cwd=home).returncode
    alone = (home / "search.circuit.lock").read_bytes()
    for number in (2, 1, 2, 1, 2, 1):
        pathdsl("check", "search.circuit", "--shard", f"{number}/2", "--store", "s", *options,
                cwd=home)  # fmt: skip
    for _ in range(2):  # from parts, and from whole plans
        (home / "search.circuit.lock").unlink()
        done = pathdsl("lock", "search.circuit", "--store", "s", *options, cwd=home)
        assert done.returncode == code, done.stderr
        assert (home / "search.circuit.lock").read_bytes() == alone
        assert pathdsl("check", "search.circuit", "--store", "s", *options, cwd=home).stdout
    other = ("--memory", "500kB", "--threads", "2")
    refused = pathdsl("lock", "search.circuit", "--store", "s", *other, cwd=home)
    assert refused.returncode == 3 and "PD642" in refused.stderr and "threads" in refused.stderr
    assert (home / "search.circuit.lock").read_bytes() == alone
