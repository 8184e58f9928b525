"""`pathdsl breaking`: what scores are called with, files of edges, both sides, and defaults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_breaking import FILE, Capture, changes, edit, folder, git

__all__ = ["folder"]

SCORES = {
    ("input", "a0.h1<v>"): 1.0,
    ("a0.h1", "a1.h2<k>"): 0.9,
    ("a1.h2", "logits"): 0.8,
    ("input", "a1.h2<v>"): 0.1,
    ("input", "logits"): 0.05,
}
MORE = """claim gap: completeness(nodes, metric: LD, knockouts: greedy(3)) <= 0.5 at 95% confidence
claim drawn: completeness(nodes, metric: LD, knockouts: random(20)) <= 0.5 at 95% confidence
claim least: minimality(nodes, metric: LD, knockouts: greedy(3)) >= 0.1 at 95% confidence
claim listed: faithfulness(edges("s.json", top: 3), metric: LD) >= 10% at 95% confidence
claim more: faithfulness(nodes, metric: LD) > faithfulness(some, metric: LD) at 95% confidence
claim drawn_from: faithfulness(nodes, metric: LD) > 0 at 95% confidence by bootstrap(2000, seed: 0)
"""


def scores(**changed: float) -> str:
    edges = {f"{a}->{b}": {"score": value} for (a, b), value in SCORES.items()}
    for name, value in changed.items():
        edges[name.replace("__", "->")]["score"] = value
    return json.dumps({"cfg": {"n_layers": 2, "n_heads": 3}, "edges": edges})


@pytest.fixture
def more(folder: Path) -> Path:
    """The repository of the other tests, with claims about searches and listed edges."""
    (folder / "x.circuit").write_text(FILE + MORE)
    (folder / "s.json").write_text(scores())
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "More")
    return folder


@pytest.mark.parametrize(
    ("before", "after", "kind", "of", "what"),
    [
        ("greedy(3)) <=", "greedy(3), split: false) <=", "weaker", "claim gap",
         "the rows that choose the knockouts now judge them, too"),
        ("greedy(3)) <=", "greedy(1)) <=", "weaker", "claim gap", "fewer knockouts"),
        ("greedy(3)) <=", "greedy(3, runs: 2)) <=", "weaker", "claim gap", "fewer knockouts"),
        ("greedy(3)) <=", "greedy(9)) <=", "noted", "claim gap", "more knockouts"),
        ("greedy(3)) <=", "greedy(9, runs: 2)) <=", "changed", "claim gap", "another `knockouts`"),
        ("greedy(3)) <=", "greedy(9, seed: 4)) <=", "changed", "claim gap", "another `knockouts`"),
        ("greedy(3)) <=", "random(3)) <=", "changed", "claim gap", "another `knockouts`"),
        ("greedy(3)) <=", "greedy(3), as: share) <=", "changed", "claim gap", "another `as`"),
        ("greedy(3)) >=", "greedy(1)) >=", "changed", "claim least", "fewer knockouts"),
        ("greedy(3)) >=", "greedy(3), per: group) >=", "changed", "claim least", "another `per`"),
        ("random(20)", "random(2)", "weaker", "claim drawn", "fewer knockouts"),
        ("random(20)", "random(50)", "noted", "claim drawn", "more knockouts"),
        ("by bootstrap(2000", "by bootstrap(20", "changed", "claim drawn_from", "another method"),
        ("> faithfulness(some", "> 0.1 * faithfulness(some", "changed", "claim more",
         "another right side"),
    ],
)  # fmt: skip
def test_what_a_score_is_called_with(
    before: str, after: str, kind: str, of: str, what: str, more: Path, capsys: Capture
) -> None:
    edit(more / "x.circuit", before, after)
    assert changes(capsys, 0 if kind == "noted" else 1) == [(kind, of, what)]


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("x.circuit", "greedy(3)) <=", "greedy(steps: 3, seed: 0, runs: 10), split: true) <="),
        ("x.circuit", "random(20)", "random(seed: 0, count: 20)"),
        ("x.circuit", "(nodes, metric: LD) >= 80%", "(nodes, as: recovered, metric: LD) >= 80%"),
        ("x.circuit", "bootstrap(2000, seed: 0)", "bootstrap(2000)"),
        ("x.circuit", '"induction-2l")', '"induction-2l", dtype: float32)'),
        ("x.circuit", 'jsonl("rows.jsonl")', 'jsonl(path: "rows.jsonl", seed: 0)'),
        ("library.circuit", "seed: 0, length: 16", "length: 16"),
        ("library.circuit", "reference = prompt\n", "reference = prompt\n  layernorm = recompute\n"
         "  average = ratio_of_means\n"),
    ],
)  # fmt: skip
def test_a_default_written_out_is_no_change(
    file: str, before: str, after: str, more: Path, capsys: Capture
) -> None:
    edit(more / file, before, after)
    assert changes(capsys, 0) == []


def test_a_take_that_is_left_out_is_that_of_the_generator(more: Path, capsys: Capture) -> None:
    edit(more / "library.circuit", "take: 40, ", "")  # 100 rows then
    assert changes(capsys, 0) == [("noted", "task t", "more prompts")]


def test_both_sides_are_opened(more: Path, capsys: Capture) -> None:
    edit(more / "x.circuit", "path some  = match -> logits", "path some  = match ~> logits")
    found = {of: (kind, what.partition(" (")[0]) for kind, of, what in changes(capsys, 1)}
    assert found["claim more"] == ("changed", "wider path set")


def test_a_file_of_edges_is_read(more: Path, capsys: Capture) -> None:
    (more / "s.json").write_text(scores(input__logits=0.02))  # the best three stay
    assert changes(capsys, 0) == []
    (more / "s.json").write_text(scores(input__logits=2.0))
    ((kind, of, what),) = changes(capsys, 1)
    assert (kind, of) == ("changed", "claim listed") and what.startswith("another path set")


def test_the_order_of_edges_counts_for_a_ranking(more: Path, capsys: Capture) -> None:
    claim = 'claim area: cpr(edges("s.json"), rank: signed, metric: LD) > 0 at 95% confidence\n'
    (more / "x.circuit").write_text(FILE + claim)
    git(more, "commit", "-q", "-a", "-m", "A ranking")
    (more / "s.json").write_text(scores(input__logits=2.0))
    assert changes(capsys, 1) == [("changed", "claim area", "measures something else")]


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("<= 500", "<= 900", "weaker"), ("<= 500", "<= 300", "noted"),
        ("<= 500", "< 500", "changed"), ("emerges(", "(", "changed"),
    ],
)  # fmt: skip
def test_when_something_emerges(
    before: str, after: str, kind: str, folder: Path, capsys: Capture
) -> None:
    claim = "claim early: emerges(faithfulness(nodes, metric: LD) > 0) <= 500 at 95% confidence\n"
    (folder / "x.circuit").write_text(FILE + claim)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Early")
    changed = claim.replace(before, after)
    if "emerges" not in changed:
        changed = changed.replace(" <= 500", "").replace("> 0)", ") > 0").replace(": (", ": ")
        changed = changed.replace("LD) )", "LD)")
    (folder / "x.circuit").write_text(FILE + changed)
    ((found, of, what),) = changes(capsys, int(kind != "noted"))
    assert (found, of, what) == (kind, "claim early", "another emergence")
