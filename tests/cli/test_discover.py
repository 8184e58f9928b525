"""`pathdsl discover`: what it prints, and what each wrong thing is told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.run import pathdsl

TASK = """model toy = bundled("induction-2l")

task copy {
  data      = induction(take: 40, seed: 0, length: 16)
  reference = prompt
  treated   = prompt_other
}

metric LD: logits = logit(answer) - logit(wrong)
"""
OTHER = """
task more { data = induction(take: 20, seed: 3, length: 16); reference = prompt; treated = zero }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "x.circuit").write_text(TASK)
    return tmp_path


def told(folder: Path, *arguments: str, text: str = TASK) -> str:
    """The complaint of a command that ends with 2, on one line."""
    (folder / "x.circuit").write_text(text)
    done = pathdsl("discover", "x.circuit", *arguments, "--no-cache", "-q", cwd=folder)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and "bug" not in done.stderr
    assert not (folder / "x_found.circuit").exists()
    return " ".join(done.stderr.replace("│", " ").split())


def test_it_says_before_and_after(folder: Path) -> None:
    done = pathdsl("discover", "x.circuit", "--size", "10", "--no-cache", "-q", cwd=folder)
    assert done.returncode == 0, done.stderr
    before, _, after = done.stdout.partition("\n\n")
    assert "20 find, 20 judge" in before and "plain forward passes" in before
    assert "memory" in before and "x_found.circuit" in before
    assert "held-out rows" in after and "0.67" in after and "arXiv:2510.00845" in after
    assert "wrote x_found.circuit" in after
    assert " ".join(after.split()).count("subsamples of 10 of 20 prompts, 95% for all edges") == 1
    checked = pathdsl("check", "x_found.circuit", "--no-cache", "-q", cwd=folder)
    assert "refuted" in checked.stdout
    assert pathdsl("fmt", "--check", "x_found.circuit", cwd=folder).returncode == 0


def test_as_one_object(folder: Path) -> None:
    arguments = ("--size", "10", "--json", "--no-cache", "-q")
    done = pathdsl("discover", "x.circuit", *arguments, cwd=folder)
    found = json.loads(done.stdout)
    assert found["size"]["wanted"] == 10 and found["rows"]["finding"] == 20
    assert found["faithfulness"]["held_out"] is not None
    assert found["certificate"]["drawn"] == 10 and found["certificate"]["samples"] == 200
    inside = [one for one in found["edges"] if one["in_circuit"]]
    assert len(inside) == found["size"]["found"]
    for one in found["edges"]:
        low, high = one["interval"]
        assert one["certified"] == ("in" if low > 0.5 else "out" if high < 0.5 else "abstain")
    assert "plain forward passes" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "repair"),
    [
        (["--size", "10", "--method", "eep"], "no method `eep`; did you mean `eap`"),
        (["--size", "10", "--select", "best"], "no selection `best`"),
        (["--size", "0"], "`--size 0` is no circuit at all"),
        (["--size", "0%"], "is no circuit at all"),
        (["--size", "0.1%"], "is less than one"),
        (["--size", "2.5"], "wanted a count or a share"),
        (["--size", "-3"], "wanted a count or a share"),
        (["--size", "101%"], "more than there is"),
        (["--size", "100000"], "the model has 75 edges"),
        ([], "how large a circuit? `--size 5%`"),
        (["--size", "5%", "--until", "faithfulness >= 90%"], "choose one of them"),
        (["--until", "goodness >= 90%"], "no score `goodness`"),
        (["--until", "faithfulness < 90%"], "until the score is reached"),
        (["--until", "faithfulness >= 190%"], "faithfulness of 100%"),
        (["--until", "kl >= 0.1"], "less is better: wanted `<=`"),
        (["--until", "kl <= 10%"], "is in nats, which have no percentage"),
        (["--until", "faithfulness(found) >= 90%"], "leave it out, and write options by name"),
        (["--until", "faithfulness(as: klm) <= 1"], "did you mean `kl`"),
        (["--until", "completeness <= 20%"], "needs `knockouts` (PD113)"),
        (["--until", "completeness(knockouts: greedy(5, seed: 0)) <= 1"], "searched anew for"),
        (["--until", "minimality >= 0.1"], "falls as the circuit grows"),
        (["--until", "effect <= 1"], "of what is treated"),
        (["--until", "size(in: edge) <= 10"], "counted on the graph"),
        (["--until", "accuracy(answer: answer) >= 90%"], "`accuracy` is of a run"),
        (["--until", "cpr(rank: signed) >= 90%"], "of a file of scores"),
        (["--until", "stability(size: 5%) >= 90%"], "of a file of scores"),
        (["--until", "attribution(by: atp) >= 1"], "of one node or edge"),
        (["--until", "chance(among: 100) <= 5%"], "draws them anew"),
        (["--until", "better"], 'wanted a score, `>=` and a number, `--until "faithfulness'),
        (["--budget", "3"], "the least is"),
        (["--budget", "0"], "wanted plain forward passes"),
        (["--method", "acdc"], "`--method acdc --tau 0.01`"),
        (["--method", "acdc", "--tau", "0.1", "--size", "5%"], "a threshold and no size"),
        (["--size", "5%", "--method", "exact", "--bound", "290"], "none is left to bound"),
        (["--size", "5%", "--bound", "12"], "takes 290 random subsets at least"),
        (["--size", "5%", "--bound", "100W0s"], "pays for 50 random subsets"),
        (["--size", "5%", "--bound", "579.9W0s"], "the least is `580W0s`"),
        (["--size", "5%", "--bound", "many"], "wanted random subsets, `290`, or plain"),
        (["--size", "5%", "--bound", "0W0s"], "wanted plain forward passes"),
        (["--budget", "-4"], "wanted plain forward passes"),
        (["--method", "acdc", "--tau", "0.1", "--curves"], "not for `--method acdc`"),
        (["--size", "5%", "--method", "atp", "--curves"], "score edges, `--method eap`"),
        (["--size", "5%", "--tau", "0.1"], "the threshold of `--method acdc`"),
        (["--size", "5%", "--steps", "3"], "has no integral"),
        (["--size", "5%", "--method", "ifr", "--signed"], "those of `ifr` have none"),
        (
            ["--size", "5%", "--method", "ifr", "--select", "pnr"],
            "`--select pnr` ranks by the sign",
        ),
        (["--size", "5%", "--method", "eap_ig", "--rule", "up"], "`right` or `left`"),
        (["--size", "5%", "--task", "cop"], "did you mean `copy`"),
        (["--size", "5%", "--judge", "copy"], "would judge what they found"),
        (["--size", "5%", "--metric", "LL"], "known: `LD`"),
        (["--size", "5%", "--share", "100%"], "below 100%"),
        (["--size", "5%", "-o", "x.circuit"], "is the task itself"),
        (["--size", "5%", "-o", "found.txt"], "ends in `.circuit`"),
        (["--size", "5%", "-o", "../found.circuit"], "lies beside its task"),
        (["--size", "30%", "--method", "atp", "--select", "greedy"], "score edges, `--method eap`"),
    ],
)
def test_a_wrong_option_gets_its_repair(arguments: list[str], repair: str, folder: Path) -> None:
    assert repair in told(folder, *arguments)


@pytest.mark.parametrize(
    ("text", "repair"),
    [
        (TASK[: TASK.index("metric")], "has no metric: what is the behaviour?"),
        (TASK + OTHER, "`--task copy` names the one whose rows find the circuit"),
        (TASK + "metric P: prob = prob(answer)\n", "choose with `--metric LD`"),
        (TASK.replace("  treated   = prompt_other\n", ""), "`treated = COLUMN`"),
        (TASK[: TASK.index("task")] + TASK[TASK.index("metric") :], "has no task"),
        (TASK.replace("take: 40", "take: 1"), "cannot be divided"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_enough_gets_its_repair(text: str, repair: str, folder: Path) -> None:
    assert repair in told(folder, "--size", "5%", text=text)


def test_faults_of_the_file_are_those_of_any_verb(folder: Path) -> None:
    assert "PD109" in told(folder, "--size", "5%", text=TASK + "path p = a0.h0@NOWHERE -> logits\n")
    done = pathdsl("discover", "nothing.circuit", "--size", "5%", cwd=folder)
    assert done.returncode == 2 and "PD009" in done.stderr


def test_a_file_that_is_there_stays(folder: Path) -> None:
    (folder / "x_found.circuit").write_text("# mine\n")
    done = pathdsl("discover", "x.circuit", "--size", "10", "--no-cache", "-q", cwd=folder)
    assert done.returncode == 2 and "--force" in done.stderr
    assert (folder / "x_found.circuit").read_text() == "# mine\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(folder: Path) -> None:
    folder.chmod(0o500)
    try:
        done = pathdsl("discover", "x.circuit", "--size", "10", "--no-cache", "-q", cwd=folder)
    finally:
        folder.chmod(0o700)
    assert done.returncode == 2 and "cannot be written" in done.stderr
