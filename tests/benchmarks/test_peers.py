"""The same work by hand gives the same numbers: plain hooks here, libraries where installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks import peers
from benchmarks.child import ROOT
from benchmarks.drivers import DRIVERS, by_site, installed
from benchmarks.patches import BY_HAND, Patch, Site, hand_written, wanted
from benchmarks.peers import AGREE, compare_all
from benchmarks.workloads import PEERS

LIBRARIES = [name for name in DRIVERS if name != "hooks"]


def compared(names: list[str], peer: str) -> list[dict[str, object]]:
    lines: list[str] = []
    rows = compare_all(
        names, "small", 1, lines.append, peers=[peer], rows=2, length=8, knockouts=3, threads=1
    )
    assert len(lines) == 1 + len(rows)  # the heading; nothing was skipped
    return [row for row in rows if row["peer"] == peer]


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hooks change nothing that outlives them, so they need no process of their own."""
    monkeypatch.setattr(peers, "_in_child", peers.run_child)


def test_hooks_agree_in_processes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hooks in one; the program itself is in this one."""
    real = peers._in_child

    def in_child(arguments: dict[str, object]) -> dict[str, object]:
        return (peers.run_child if arguments["peer"] == "pathdsl" else real)(arguments)

    monkeypatch.setattr(peers, "_in_child", in_child)
    (row,) = compared(["W3"], "hooks")
    assert row["agrees"] and row["runs"] == 1


def test_hooks_agree_on_usual_workloads(one_process: None) -> None:
    rows = compared(["W1h", "W3", "W7b"], "hooks")
    assert [row["workload"] for row in rows] == ["W1h", "W3", "W7b"]
    assert [row["runs"] for row in rows] == [16, 1, 16]
    for row in rows:
        assert row["agrees"]
        assert 0 < row["difference"] < AGREE["float32"] < 0.1 < row["largest"]
        assert row["multiple"] > 0
        assert row["times_pathdsl"] > 0


@pytest.mark.parametrize(
    "name", [name for name in BY_HAND if name not in ("W1h", "W3", "W7b", "W7a", "W9b")]
)
def test_hooks_agree_on_others(one_process: None, name: str) -> None:
    (row,) = compared([name], "hooks")
    assert row["agrees"]
    assert row["largest"] > 0.1


@pytest.mark.parametrize("peer", LIBRARIES)
def test_libraries_agree(peer: str) -> None:
    if installed(peer) is None:
        pytest.skip(f"{peer} is not installed")
    rows = compared(["W1h", "W2", "W3"], peer)
    assert len(rows) == 3
    assert all(row["agrees"] for row in rows)


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DRIVERS, "nowhere", ("no-package-of-this-name", DRIVERS["hooks"][1]))
    lines: list[str] = []
    assert compare_all([], "small", 1, lines.append, peers=["nowhere"]) == []
    assert lines[0].startswith("nowhere: skipped, not installed")


def test_names_are_those_of_the_drivers() -> None:
    assert tuple(DRIVERS) == PEERS


def test_processes_are_measured_before_torch_is_imported() -> None:
    """What a process weighs when it starts a child counts as the child's."""
    code = "import sys; from benchmarks.__main__ import parsed; parsed(['processes', 'lint'])"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_refused_by_name() -> None:
    with pytest.raises(SystemExit, match="W4: not written by hand"):
        compare_all(["W4"], "small", 1, print)
    with pytest.raises(SystemExit, match="`pythia` has others"):
        compare_all(["W3"], "pythia", 1, print)


def test_direct_effect_freezes_what_follows() -> None:
    (run,) = hand_written("W1h", ["treat(a1.h2 -> logits)"], [], [], 3, 4)
    assert run.patches == (
        Patch(site=Site(1, "z"), heads=(2,), source="treated"),
        Patch(site=Site(2, "z"), source="reference"),
        Patch(site=Site(1, "mlp"), source="reference"),
        Patch(site=Site(2, "mlp"), source="reference"),
    )
    assert wanted([run], "reference") == {Site(2, "z"), Site(1, "mlp"), Site(2, "mlp")}
    order = [site for site, _, _ in by_site(run.patches, ())]
    assert order == [Site(1, "z"), Site(1, "mlp"), Site(2, "z"), Site(2, "mlp")]


def test_circuit_leaves_the_rest_treated() -> None:
    circuit = [(0, 0), (1, 1)]
    (kept,) = hand_written("W3", ["keep(nodes)"], circuit, [], 2, 2)
    assert [(p.site.layer, p.heads) for p in kept.patches] == [(0, (1,)), (1, (0,))]
    (less,) = hand_written("W6a", ["keep(nodes - through(a1.h1))"], circuit, [], 2, 2)
    assert [(p.site.layer, p.heads) for p in less.patches] == [(0, (1,)), (1, (0, 1))]
