"""What is shown while a check runs, what is said after Ctrl-C, and what costs are told."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

import pathdsl.cli.progress as progress
from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.cli import main as cli
from pathdsl.cli.progress import FIRST, NEXT, ProgressDisplay
from pathdsl.engine.meter import Meter
from tests.cli.run import INDUCTION
from tests.score.work import Work

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATHDSL_CACHE", str(tmp_path / "store"))
    path = tmp_path / "x.circuit"
    path.write_text(INDUCTION)
    return path


def test_phases_are_told_in_their_order(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pathdsl.engine.meter.OFTEN", 0.0)
    told: list[tuple[str, int, int]] = []
    outcome = check_file(str(file), CheckOptions(progress=lambda *said: told.append(said)))
    phases = list(dict.fromkeys(what for what, _, _ in told))
    runs = sum(len(plan.outputs) for plan in outcome.plans)
    assert phases == [
        "loading the model", "self-checks of task `t`", "judging", f"task `t`: {runs} runs",
        "self-check of the runs of task `t`",
    ]  # fmt: skip
    assert told[-1][0] == "judging"
    within = [(done, total) for what, done, total in told if what == phases[3]]
    assert len(within) > 20 and within == sorted(within)  # of one batch
    assert within[0][0] == 0 and within[-1][0] == within[-1][1]


def test_lines_where_there_is_no_terminal(capsys: Capture) -> None:
    now = [0.0]
    shown = ProgressDisplay(quiet=False, now=lambda: now[0])
    for seconds in (1.0, FIRST - 1, FIRST + 1, FIRST + 2, FIRST + NEXT, FIRST + NEXT + 2, 4000.0):
        now[0] = seconds
        shown.show("task `t`: 3 runs", int(seconds), 8000)
        shown.line()
    assert capsys.readouterr().err.splitlines() == [
        "pathdsl: task `t`: 3 runs, 0%, after 31 s",
        "pathdsl: task `t`: 3 runs, 1%, after 1 min 2 s",
        "pathdsl: task `t`: 3 runs, 50%, about 1 h 6 min left, after 1 h 6 min",
    ]
    now[0] += 100
    shown.show("loading the model", 0, 1)
    shown.line()
    assert capsys.readouterr().err == "pathdsl: loading the model, after 1 h 8 min\n"


def test_lines_come_while_nothing_is_told(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST", 0.0)
    with ProgressDisplay(quiet=False) as shown:
        shown.show("loading the model", 0, 1)
        shown._over.wait(1.3)
    assert capsys.readouterr().err == "pathdsl: loading the model, after 1 s\n"
    with ProgressDisplay(quiet=True) as shown:
        shown.show("loading the model", 0, 1)
        shown._over.wait(1.3)
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with ProgressDisplay(quiet=False) as shown:
        meter = Meter(shown.show)
        meter.start("loading [bold]")
        meter.end()
        meter.start("task `t`", 10)
        meter.add(4)
        shown.show("task `t`", 4, 10)
        assert shown._bar is not None
        shown._bar.refresh()
    assert "loading [bold]" in screen.getvalue() and "40%" in screen.getvalue()


# ------------------------------------------------------------------------------- Ctrl-C


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_ctrl_c_says_what_was_kept_and_how_to_go_on(file: Path, capsys: Capture) -> None:
    command = ["check", "x.circuit", "--memory", "300kB"]
    with Work() as whole:
        assert cli._run([*command, "--no-cache"], False) == 0
    report = capsys.readouterr().out
    with Work(whole.done // 100, _interrupt):
        assert cli._run(command, False) == 130
    assert capsys.readouterr().err == "interrupted: nothing was finished yet that could be kept\n"
    with Work(whole.done * 6 // 10, _interrupt):
        assert cli._run(command, False) == 130
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "% of what task `t` was at are in the result store; the same command goes on" in (
        printed.err
    )
    assert cli._run(["cache", "info"], False) == 0
    assert "batches of checks that were cut off" in capsys.readouterr().out
    with Work() as rest:
        assert cli._run(command, False) == 0
    assert rest.done < whole.done / 2
    printed = capsys.readouterr()
    assert printed.err == ""
    assert [line for line in printed.out.splitlines() if "cost:" not in line] == [
        line for line in report.splitlines() if "cost:" not in line
    ]
    assert cli._run(["cache", "list"], False) == 0
    assert "unfinished" not in capsys.readouterr().out


@pytest.mark.parametrize("command", [["lock"], ["check", "--no-cache"]])
def test_ctrl_c_where_nothing_is_kept(file: Path, capsys: Capture, command: list[str]) -> None:
    with Work(1, _interrupt):
        assert cli._run([*command, "x.circuit"], False) == 130
    said = "interrupted: nothing was kept, since no result store is used\n"
    assert capsys.readouterr().err == said
    assert sorted(path.name for path in file.parent.iterdir()) == ["x.circuit"]


# ------------------------------------------------------------------------------- cost


FEW = """
model toy = bundled("induction-2l")
task copy {
  data = induction(take: TAKE, seed: 0)
  reference = prompt
  treated = TREATED
}
metric LD: logits = logit(answer) - logit(wrong)
"""


@pytest.mark.parametrize("take", [8, 40, 200])
@pytest.mark.parametrize(
    ("treated", "let"),
    [
        ("prompt_other", "let a = mean(LD(reference))"),
        ("prompt_other", "let a for h in attn: logits = mean(LD(treat(h -> logits)))"),
        ("mean(prompt)", "let a: logits = mean(LD(treat(a1.h2 -> logits)))"),
        ("resample(prompt_other, draws: 4, seed: 3)", "let a = mean(LD(treat(a1.h2 -> logits)))"),
        ("zero", "let a: logits = mean(LD(treat(a1.h2 -> logits)))"),
    ],
    ids=["no treatment", "sweep", "mean", "resample", "zero"],
)
def test_the_cost_that_is_told_is_what_is_multiplied(
    take: int, treated: str, let: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.circuit"
    path.write_text(FEW.replace("TAKE", str(take)).replace("TREATED", treated) + let)
    with Work() as work:
        outcome = check_file(str(path), CheckOptions())
    (cost,) = outcome.costs
    made = work.done / 2 / cost.plain_macs  # a multiplication and an addition are two
    told = cost.forwards + outcome.self_checks
    assert told == pytest.approx(made, rel=0.2)
    assert outcome.self_checks > 0
