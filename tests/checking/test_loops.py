"""Loops over lists and functions over members: locked, compared with a file of before, varied."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pathdsl.checking.breaking.claims import program_changes
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.robustness import judge_cells
from pathdsl.cli import main as cli
from pathdsl.engine.load.source import shape_of, source_from
from pathdsl.lang.program import Program, load_program
from pathdsl.lang.vary.grid import base_of, one_at_a_time, values_of

HEAD = """circuit loops "Loops" {{ language = 1 }}
model mini = bundled("ioi-mini")
task ioi {{ data = mini_ioi(take: 30, seed: 0); reference = prompt; treated = prompt_abc }}
task abba = ioi where order == "abba"
group movers @END = {{ {movers} }}
group early  @END = {{ a0.h0, a0.h2 }}
path late   = movers -> logits
path direct = early -> logits
metric LD: logits = logit(io) - logit(s)
"""
CLAIMS = (
    "claim by_group for g in [movers, early]: effect(through(g), metric: LD, task: ioi) < 9",
    "claim on_each for t in [ioi, abba]: faithfulness(late, task: t, metric: LD) < 80%",
    "claim few: share(h in a[0..1]: effect(through(h), metric: LD, task: ioi) < -9) <= 50%",
)


def file(*claims: str, movers: str = "a3.h1, a3.h2") -> str:
    return HEAD.format(movers=movers) + "\n".join(claims) + "\n"


def program(text: str) -> Program:
    return load_program("loops.circuit", text)[0]


def changes(old: str, new: str) -> set[tuple[str, str, str]]:
    before, after = program(old), program(new)
    assert before.model is not None
    shape = shape_of(source_from(before.model, "."))
    return {(c.kind, c.of, c.what) for c in program_changes(before, after, shape)}


def test_nothing_changes_where_nothing_did() -> None:
    renamed = [claim.replace(" g in", " one in").replace("(g)", "(one)") for claim in CLAIMS]
    assert changes(file(*CLAIMS), file(*CLAIMS)) == set()
    assert changes(file(*CLAIMS), file(*renamed)) == set()


def test_an_item_that_is_gone_is_told() -> None:
    fewer = file(CLAIMS[1].replace("[ioi, abba]", "[ioi]"))
    assert ("weaker", "claim on_each", "no longer claimed for abba") in changes(
        file(CLAIMS[1]), fewer
    )
    assert ("noted", "claim on_each", "also claimed for abba") in changes(fewer, file(CLAIMS[1]))


def test_what_a_listed_group_holds_is_compared() -> None:
    found = changes(file(CLAIMS[0]), file(CLAIMS[0], movers="a3.h1"))
    assert any(of == "claim by_group" and "path set" in what for _, of, what in found)


def test_a_function_over_members_is_compared_by_its_set_and_condition() -> None:
    for before, after in (("a[0..1]", "a[0..2]"), ("-9", "-8"), ("< -9", "<= -9")):
        found = changes(file(CLAIMS[2]), file(CLAIMS[2].replace(before, after)))
        assert {of for _, of, _ in found} == {"claim few"}, after


def test_a_product_is_compared_by_its_members() -> None:
    claim = "claim map for r in r[0..1], p in {}: effect(through(r@p), metric: LD, task: ioi) < 9"
    found = changes(file(claim.format("[S2, END]")), file(claim.format("[END]")))
    assert ("weaker", "claim map", "no longer claimed for r0, S2, r1, S2") in found


def test_members_are_varied_cell_by_cell(tmp_path: Path) -> None:
    path = tmp_path / "loops.circuit"
    path.write_text(file(*CLAIMS), encoding="utf-8")
    loaded, faults = load_program(str(path))
    assert not faults
    base = base_of(loaded, [claim.name.name for claim in loaded.claims])
    values = values_of(base)
    assert "positions" in values
    kept = {name: values[name] for name in ("positions", "direction", "metric") if name in values}
    found = judge_cells(base, one_at_a_time(base, kept), CheckOptions())
    names = [claim.name for claim in found.claims]
    assert names == [
        "by_group[movers]", "by_group[early]", "on_each[ioi]", "on_each[abba]", "few",
    ]  # fmt: skip
    judged = {
        (claim.name, cell.cell.name): cell.result is not None
        for claim in found.claims
        for cell in claim.cells
    }
    assert judged["by_group[movers]", "positions = off"]
    assert all(judged[name, "direction = swapped"] for name in names if name != "few")


def test_a_claim_over_positions_is_left_out_where_there_are_none() -> None:
    claim = "claim map for r in r[0..1], p in [S2, END]: effect(through(r@p), metric: LD) < 9"
    loaded = program(file(claim))
    base = base_of(loaded, ["map"])
    cells = one_at_a_time(base, {"positions": ("off",)})
    assert [cell.left_out.get("map") for cell in cells] == ["it ranges over positions"]


def test_members_are_locked_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "loops.circuit"
    path.write_text(file(*CLAIMS), encoding="utf-8")
    with pytest.raises(SystemExit):
        cli.main(["lock", str(path)])
    lock = json.loads((tmp_path / "loops.circuit.lock").read_text(encoding="utf-8"))
    assert {"by_group[early]", "on_each[abba]", "few"} <= set(lock["claims"])
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main(["check", str(path), "--locked", "--format", "json"])
    (found,) = json.loads(capsys.readouterr().out)["files"]
    assert not found["lock"]["drifted"]
