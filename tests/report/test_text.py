"""What people read: every kind of claim, long sweeps, colours, narrow terminals."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from pathdsl.checking.outcome import FileOutcome
from pathdsl.errors import ExitCode
from pathdsl.lang.render import width
from pathdsl.lang.visible import plainly, printed
from pathdsl.report.text.check import closing, report
from pathdsl.report.text.claims import claim_block
from pathdsl.report.text.style import View, fit
from pathdsl.score.results import Judgement, MemberResult, PartResult, Term, Verdict
from tests.report.outcomes import SPREAD, claim, content, outcome, quantity, task

CLAIMS = """\
Claims
  supported     sufficient
                0.932  [0.910, 0.951]  wanted >= 0.8   n = 4, 95% confidence
                F(keep(nodes)) = 2.510 · F(reference) = 3.520

  refuted       control  as expected
                0.050  [0.020, 0.090]  wanted >= 0.8   n = 4, 95% confidence
                F(keep(nodes)) = 2.510 · F(reference) = 3.520

  refuted       complete  NOT as expected
                0.50  [0.40, 0.60]  wanted <= 0.3   n = 4, 95% confidence
                F(keep(nodes)) = 2.510 · F(reference) = 3.520
                worst of 6 candidates:
                  {a5.h0@END}  0.500  [0.490, 0.510]
                  {a4.h0@END}  0.400  [0.390, 0.410]
                  {a3.h0@END}  0.300  [0.290, 0.310]
                  … 3 more; `--all` shows them
                over prompts: -0.2 to 1.8, quartiles 0.1, 0.5, 0.8; 2 of 4 satisfy it
                prompts that speak most against it:
                  r0       0  When Mary and John went to the store,
                  r1  0.1000  When Mary and John went to the store,
                  r2  0.2000  When Mary and John went to the store,
                  … 1 more prompt; `--all` shows them

  inconclusive  each[a9.h9@END]  NOT as expected
                0.713  [0.661, 0.842]  wanted >= 0.8
                n = 4, 95% confidence, 97.5% after correction, p = 0.031
                F(keep(nodes)) = 2.510 · F(reference) = 3.520
                about 1,234 prompts would settle it

  undefined     ratio  NOT as expected
                “why not”
                undefined  wanted >= 0.8   n = 4, 95% confidence
                undefined: the interval of the denominator contains 0
"""
SUMMARY = (
    "5 claims: 1 supported, 1 refuted as expected, 1 refuted NOT as expected, "
    "1 inconclusive NOT as\n"
    "  expected, 1 undefined NOT as expected\n"
)


def text(view: View, **replaced: str) -> str:
    return report(replace(outcome(), replaced=replaced), view)


def test_claims_and_summary() -> None:
    told = text(View())
    assert CLAIMS in told
    assert told.endswith(SUMMARY)
    assert "  ioi: Who gets the drink\n" in told
    assert '  model bundled("mini") · task ioi, 4 prompts\n' in told
    assert "warning[PD431]" in told
    assert "published scope" not in told


def test_what_tasks_share_is_said_once_and_unread_tasks_by_name_only() -> None:
    found, names = outcome(), ("ioi", "base", "other")
    said = {f"task {name}": f"4 prompts; rows of {name} " + "word " * 10 for name in names}
    said |= {f"treated {name}": "prompt_abc" for name in names}
    said |= {
        "average ioi": "ratio_of_means",
        "average other": "mean_of_ratios",
        "average base": "x",
    }
    plans = tuple(SimpleNamespace(task=name) for name in ("ioi", "other"))
    shown = replace(
        found, methodology=said, plans=plans, tasks=dict.fromkeys(names, found.tasks["ioi"])
    )
    assert found.program is not None
    told = " ".join(report(shown, View(width=400)).split())
    assert "task ioi, 4 prompts · task other, 4 prompts Quantities" in told.replace(
        told[told.index(" warning[") : told.index(" Quantities")], ""
    )
    assert told.count("prompt_abc") == 1 and "treated: prompt_abc" in told
    assert "average ioi: ratio_of_means" in told and "average other: mean_of_ratios" in told
    assert "rows of base" not in told and "average base" not in told
    assert "tasks read by no run: base" in told


def test_a_long_sweep_shows_its_ends() -> None:
    told = text(View())
    assert "direct (20 members, largest first)" in told
    assert "[a0.h0]" in told and "[a9.h0]" in told and "[a19.h0]" in told
    assert "… 8 between; `--all` shows them" in told and "[a12.h0]" not in told
    assert "undefined: the denominator may be 0" in told
    everything = text(View(everything=True))
    assert "[a12.h0]" in everything and "--all" not in everything


def test_what_the_command_line_replaced_is_said() -> None:
    assert "not the published scope: take = 5 set on the command line" in text(View(), take="5")


def test_colours_change_nothing_else() -> None:
    plain, coloured = text(View()), printed(text(View(colour=True)))
    assert "\x1b[" not in plain and "\x1b[1;32msupported" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_lines_fit_the_screen() -> None:
    for wide in (100, 72):
        for line in text(View(width=wide)).splitlines():
            assert width(line) <= wide, line


def test_quiet_is_a_line_per_claim() -> None:
    told = text(View(quiet=True))
    line = "  refuted       control  0.050  [0.020, 0.090]  wanted >= 0.8 at 95%  as expected\n"
    assert line in told
    assert "Quantities" not in told and "Method" not in told


def test_files_that_were_not_judged() -> None:
    stopped = FileOutcome(
        path="x.circuit", program=None, diagnostics=(), exit_code=ExitCode.WRONG_INPUT
    )
    assert report(stopped, View()).endswith("not checked: its faults are above\n")
    codes = [ExitCode.AS_EXPECTED, ExitCode.WRONG_INPUT, ExitCode.NOTHING_TO_CHECK]
    assert (
        closing(codes, View())
        == "\n3 files: 1 as expected, 1 with faults, 1 with nothing to check\n"
    )
    assert closing(codes[:1], View()) == ""


def test_a_claim_by_a_label_stands_in_columns() -> None:
    parts = (
        PartResult(
            field="order", value="abba", n=30, estimate=0.9, interval=(0.85, 0.95), satisfied=True
        ),
        PartResult(
            field="order", value="baba", n=9, estimate=0.4, interval=(0.3, 0.5), satisfied=False
        ),
        PartResult(field="order", value=3, n=0, estimate=None, interval=None, satisfied=None),
    )
    found = claim_block(content(claim("good", Verdict.SUPPORTED, parts=parts)), View())
    assert [line.split() for line in found.splitlines()[3:]] == [
        ["by", "order:"],
        ["abba", "0.900", "[0.850,", "0.950]", "n", "=", "30"],
        ["baba", "0.40", "[0.30,", "0.50]", "n", "=", "9", "does", "not", "satisfy", "it"],
        ["3", "undefined", "n", "=", "0"],
    ]
    columns = {line.index("n = ") for line in found.splitlines()[4:]}
    assert len(columns) == 1


def test_with_all_each_average_of_a_claim_is_spread() -> None:
    terms = (
        Term(text="F(a)", value=1.0, prompts=SPREAD),
        Term(text="F(b)", value=2.0, prompts=None),
    )
    one = content(claim("good", Verdict.SUPPORTED, terms=terms, prompts=SPREAD))
    assert "over prompts" not in claim_block(one, View())
    told = claim_block(one, View(everything=True))
    assert "over prompts: -0.2 to 1.8, quartiles 0.1, 0.5, 0.8; 2 of 4 satisfy it" in told
    assert "F(a): -0.2 to 1.8, quartiles 0.1, 0.5, 0.8" in told
    assert "F(b): " not in told


@pytest.mark.parametrize("colour", [False, True])
def test_a_strangers_tokens_do_not_steer_the_terminal(colour: bool) -> None:
    made = outcome()
    bad = replace(task(), tokens=(("a", " \x1b[2J", " \u202eb", " \x07"),) * 4)
    judgement = made.judgement
    assert judgement is not None
    claims = tuple(replace(one, text="x\x1b]0;y\x07") for one in judgement.claims)
    made = replace(made, tasks={"ioi": bad}, judgement=replace(judgement, claims=claims))
    text = printed(report(made, View(colour=colour)))
    assert "[U+001B][2J" in text and "[U+202E]b" in text and "[U+0007]" in text
    assert not set(text) & set("\x07\u202e")
    assert ("\x1b[" in text) is colour and "\x1b[2J" not in text and "\x1b]" not in text


LONG = "n" * 60


def with_long_names() -> FileOutcome:
    """Names of 60 letters wherever a file may have them, and a wide sweep."""
    made = outcome()
    assert made.judgement is not None
    sweep = [quantity(f"x[a{i}.h{j}@END]", float(i + j)) for i in range(4) for j in range(4)]
    named = (quantity(LONG, 3.0), quantity(f"x[{LONG}]", 1.0), quantity(f"{LONG}[b]", 2.0))
    members = tuple(
        MemberResult(name=f"{{{LONG}{i}, a0.h0@END}}", estimate=0.1 * i, interval=(0.0, 1.0))
        for i in range(6)
    )
    claims = (
        claim(LONG, Verdict.SUPPORTED, text="word " * 30),
        claim(f"y[{LONG}]", Verdict.REFUTED, members=members),
    )
    words = tuple(f" w{i}" for i in range(60))
    read = replace(task(), tokens=(words,) * 4)
    judgement = Judgement(
        quantities=(*made.judgement.quantities, *sweep, *named),
        claims=(*made.judgement.claims, *claims),
    )
    return replace(made, judgement=judgement, tasks={"ioi": read})


@pytest.mark.parametrize("wide", [20, 40, 60, 72, 100])
@pytest.mark.parametrize("colour", [False, True])
def test_no_line_is_wider_than_the_screen_unless_a_word_is(wide: int, colour: bool) -> None:
    made = with_long_names()
    for more in ({}, {"everything": True}, {"quiet": True}):
        told = report(made, View(width=wide, colour=colour, **more))
        shown = plainly(told)  # faults keep the lines of the file
        fault = shown[shown.index("warning") : shown.index("explain PD431")]
        for line in shown.replace(fault, "").splitlines():
            assert width(line) <= wide or " " not in line.strip(), line
        assert LONG in told


def test_with_all_nothing_in_a_list_is_cut() -> None:
    for wide in (60, 100):
        told = report(with_long_names(), View(width=wide, everything=True))
        assert "…" not in told
        flat = " ".join(told.split())
        assert f"{{{LONG}5, a0.h0@END}}" in flat
        assert " ".join(f"w{i}" for i in range(60)) in flat, "a prompt stands whole"
    assert "…" in report(with_long_names(), View(width=60))


def test_lines_that_fit_stay_as_they_are() -> None:
    text = "  a  b   c\n\n    d\n"
    assert fit(text, View(width=12)) == text
    assert fit("    aa bb cc dd", View(width=12)) == "    aa bb cc\n    dd"
    assert fit("  name: one two", View(width=12)) == "  name: one\n    two"
    assert fit("    " + "x" * 12, View(width=12)) == "x" * 12
    painted = View(colour=True).faint("  … three more of them")
    assert plainly(fit(painted, View(width=12))) == "  … three\n    more of\n    them"
