"""`stability(edges("FILE"), size: N)`: the arithmetic of kept scores, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.errors import Diagnostic, ExitCode
from pathdsl.score.attribution import Scored, ScoredUnit
from pathdsl.score.kept.file import values_path, write_kept
from pathdsl.score.kept.graph import EdgeGraph
from pathdsl.score.kept.selection import Asked, select
from pathdsl.score.kept.stability import bootstrap_weights, stability
from tests.discover.cases import edges_of, kept_of
from tests.score.test_areas import FILE, layout  # noqa: F401

ROWS = 20


@pytest.fixture
def folder(layout, tmp_path: Path) -> Path:  # noqa: F811
    units = edges_of(layout)
    rng = np.random.default_rng(0)
    values = rng.normal(size=len(units))[:, None] + rng.normal(size=(len(units), ROWS))
    kept = kept_of(Scored(units=units, values=values))
    write_kept(tmp_path / "found.scores.json", kept)
    return tmp_path


def checked(folder: Path, text: str):
    path = folder / "x.circuit"
    path.write_text(FILE + text)
    return check_file(str(path), CheckOptions(threads=1))


def faults(folder: Path, text: str) -> list[Diagnostic]:
    outcome = checked(folder, text)
    assert outcome.exit_code is ExitCode.WRONG_INPUT, outcome.diagnostics
    return [d for d in outcome.diagnostics if d.severity.value == "error"]


def test_it_is_what_the_kept_scores_say(folder, layout):  # noqa: F811
    outcome = checked(
        folder,
        'let plain = stability(edges("found.scores.json"), size: 5%)\n'
        'let other = stability(edges("found.scores.json"), size: 40, rank: signed, draws: 50, '
        "seed: 3)\n"
        'claim same: stability(edges("found.scores.json"), size: 5%) >= 0.99 expect refuted\n'
        'claim some: stability(edges("found.scores.json"), size: 5%) > 1%\n',
    )
    assert outcome.judgement is not None, outcome.diagnostics
    units = edges_of(layout)
    rng = np.random.default_rng(0)
    values = rng.normal(size=len(units))[:, None] + rng.normal(size=(len(units), ROWS))
    graph = EdgeGraph.of(units, layout)
    got = {q.name: q for q in outcome.judgement.quantities}
    for name, n, signed, samples, seed in (
        ("plain", len(units) // 20, False, 1000, 0), ("other", 40, True, 50, 3),
    ):  # fmt: skip
        want = stability(
            graph, values, range(ROWS), choose=None, n=n, signed=signed, samples=samples, seed=seed
        )
        assert got[name].estimate == want.jaccard and 0 < want.jaccard < 1
        assert got[name].n == 0 and got[name].unit == "none"  # a number, as every count is
        (note,) = got[name].notes[:1]
        assert f"{samples:,} circuits of {n:,} edges" in note and "20 prompts that `eap`" in note
    assert all(claim.as_expected for claim in outcome.judgement.claims)
    assert outcome.exit_code is ExitCode.AS_EXPECTED


def test_every_option_changes_it(folder):
    calls = [
        "5%",
        "10%",
        "5%, rank: signed",
        "5%, draws: 7",
        "5%, seed: 5",
        "5%, select: greedy",
        "5%, task: ioi",
    ]
    outcome = checked(
        folder,
        "".join(
            f'let x{i} = stability(edges("found.scores.json"), size: {call})\n'
            for i, call in enumerate(calls)
        ),
    )
    plain, *others, on_task = (q.estimate for q in outcome.judgement.quantities)
    assert all(other != plain for other in others) and on_task == plain


@pytest.mark.parametrize("rule", ["greedy", "pnr"])
def test_other_selections_are_taken_anew_from_each_resample(rule, folder, layout):  # noqa: F811
    """One by one: the scores of a resample, its circuit, and all pairs of circuits."""
    outcome = checked(
        folder,
        f'let x = stability(edges("found.scores.json"), size: 100, select: {rule}, draws: 9)\n',
    )
    (got,) = outcome.judgement.quantities
    units = edges_of(layout)
    rng = np.random.default_rng(0)
    values = rng.normal(size=len(units))[:, None] + rng.normal(size=(len(units), ROWS))
    graph = EdgeGraph.of(units, layout)
    circuits, asked = [], Asked(n=100, signed=False, share=0.5, among=None)
    for weights in bootstrap_weights(range(ROWS), 9, 0):
        means = np.array([float(np.dot(weights, row)) for row in values])
        circuits.append({*np.flatnonzero(select(rule, graph, means, asked).chosen)})
    pairs = [(a, b) for i, a in enumerate(circuits) for b in circuits[:i]]
    want = np.mean([len(a & b) / len(a | b) if a | b else 1.0 for a, b in pairs])
    assert got.estimate == pytest.approx(want, abs=1e-12) and 0 < want < 1
    assert f"9 circuits of 100 edges by `{rule}`" in got.notes[0]


@pytest.mark.parametrize("rule", ["ilp", "stable", "acdc"])
def test_selections_that_are_not_repeated(rule, folder):
    call = f'let x = stability(edges("found.scores.json"), size: 5%, select: {rule})\n'
    (fault,) = faults(folder, call)
    assert fault.code == "PD436" and f"no `select: {rule}`" in fault.message
    assert "`top`, `greedy` and `pnr`" in fault.help or "`pnr`" in fault.help


def test_a_rank_that_a_selection_does_not_read(folder):
    call = 'let x = stability(edges("found.scores.json"), size: 5%, select: pnr, rank: signed)\n'
    assert [one.code for one in faults(folder, call)] == ["PD129"]


def test_scores_by_position_are_summed(folder, layout):  # noqa: F811
    units = edges_of(layout)
    values = np.random.default_rng(1).normal(size=(len(units), ROWS))
    for name, given in (
        ("flat", values),
        ("placed", np.stack([values - 2.0, np.full_like(values, 2.0)], axis=1)),
    ):
        write_kept(folder / f"{name}.scores.json", kept_of(Scored(units=units, values=given)))
    outcome = checked(
        folder,
        "".join(
            f'let {name} = stability(edges("{name}.scores.json"), size: 30)\n'
            for name in ("flat", "placed")
        ),
    )
    flat, placed = outcome.judgement.quantities
    assert placed.estimate == pytest.approx(flat.estimate, abs=1e-9)


def test_what_is_refused(folder, layout):  # noqa: F811
    let = 'let x = stability(edges("found.scores.json"), size: {})\n'
    (fault,) = faults(folder, let.format("0%"))
    assert fault.code in ("PD116", "PD115")
    (fault,) = faults(folder, let.format(100_000))
    assert fault.code == "PD116" and "100,000 of the" in fault.message
    (fault,) = faults(folder, 'let x = stability(edges("none.scores.json"), size: 5%)\n')
    assert "none.scores.json" in fault.message
    (folder / "eap.json").write_text('{"cfg": {}, "nodes": {}, "edges": {}}')
    (fault,) = faults(folder, 'let x = stability(edges("eap.json"), size: 5%)\n')
    assert fault.code == "PD245" and "no index of scores" in fault.message
    assert fault.span is not None and fault.span.path.endswith("x.circuit")
    (fault,) = faults(folder, 'let x = stability(edges("found.scores.json", top: 3), size: 5%)\n')
    assert fault.code == "PD115" and "keeps scores prompt by prompt" in fault.message
    (fault,) = faults(folder, "path P = through(a0)\nlet x = stability(P, size: 5%)\n")
    assert fault.code == "PD115"
    (fault,) = faults(folder, let.replace(")\n", ", rank: top)\n").format("5%"))
    assert fault.code == "PD110"
    nodes = Scored(units=(ScoredUnit(sender="a0.h0"),), values=np.ones((1, 3)))
    write_kept(folder / "nodes.scores.json", replace(kept_of(nodes), of="nodes"))
    (fault,) = faults(folder, 'let x = stability(edges("nodes.scores.json"), size: 1)\n')
    assert fault.code == "PD245" and "it scores nodes" in fault.message
    values_path(folder / "found.scores.json").write_bytes(b"")
    (fault,) = faults(folder, let.format("5%"))
    assert fault.code == "PD245" and "does not hold" in fault.message


def test_a_lock_and_lint_know_the_file(folder):
    from pathdsl.checking.lock.contents import lock_of

    text = 'claim some: stability(edges("found.scores.json"), size: 5%) > 1%\n'
    before = lock_of(checked(folder, text), CheckOptions(threads=1))
    assert "found.scores.json" in str(before)
