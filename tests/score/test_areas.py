"""CPR and CMD against numpy's trapezoids: on the fake world, and on a model by single circuits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.engine.load.source import shape_of, source_from
from pathdsl.graph.files.eap import edge_name
from pathdsl.graph.files.ranking import read_ranking
from pathdsl.graph.model.components import Layout
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import load_program
from pathdsl.score.scores.areas import SIZES, weights
from tests.score.fakes import HEADER, PATHS, FakeRanking
from tests.score.test_scores import f, value

MODEL = 'model mini = bundled("ioi-mini", dtype: float64)\n'
FILE = (
    "circuit curve { language = 1 }\n"
    + MODEL
    + """task ioi {
  data      = mini_ioi(take: 12, seed: 3)
  reference = prompt
  treated   = prompt_abc
}
metric LD: logits = logit(io) - logit(s)
"""
)


def test_weights_are_trapezoids():
    heights = np.random.default_rng(0).normal(size=len(SIZES))
    assert np.dot(weights(), heights) == pytest.approx(np.trapezoid(heights, SIZES))
    assert sum(weights()) == pytest.approx(0.999)


@pytest.mark.parametrize(
    ("rank", "average"),
    [
        ("signed", "ratio_of_means"),
        ("absolute", "mean_of_ratios"),
        pytest.param("signed", "mean_of_ratios", marks=pytest.mark.long),
        pytest.param("absolute", "ratio_of_means", marks=pytest.mark.long),
    ],
)
def test_areas_by_hand(rank, average):
    header = HEADER.replace("treated = other", f"treated = other; average = {average}")
    ranking = FakeRanking(rank == "signed")

    def heights(s):
        m, e = f(s, ()), f(s, PATHS)
        circuits = [f(s, PATHS - ranking.first(int(k * 1000))) for k in SIZES]
        if average == "mean_of_ratios":
            return [((c - e) / (m - e)).mean() for c in circuits]
        return [(c.mean() - e.mean()) / (m.mean() - e.mean()) for c in circuits]

    got, s, _ = value(f'cpr(edges("scores.json"), rank: {rank})', header=header)
    assert got.estimate == pytest.approx(np.trapezoid(heights(s), SIZES))
    assert got.interval[0] < got.estimate < got.interval[1]
    got, s, _ = value(f'cmd(edges("scores.json"), rank: {rank})', header=header)
    assert got.estimate == pytest.approx(np.trapezoid(abs(1 - np.array(heights(s))), SIZES))
    assert len(s.rounds) == 1


# -------------------------------------------------------------------------------------------------
# On a model
# -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def layout() -> Layout:
    program, _ = load_program("curve.circuit", FILE)
    shape = shape_of(source_from(program.model, Path(), {}))
    assert shape is not None
    return Layout(shape)


def score_file(layout: Layout, kept: int = -1) -> dict:
    """Every edge with a random score, as EAP-IG writes it; `kept` edges of them if given."""
    names = [
        edge_name(sender, receiver, slot, layout)
        for receiver in range(1, layout.logits + 1)
        for slot in layout.slots_of(receiver)
        for sender in range(receiver)
        if layout.senders_of[receiver] >> sender & 1
    ]
    draws = np.random.default_rng(7).normal(size=len(names))
    edges = {
        name: {"score": float(x), "in_graph": False} for name, x in zip(names, draws, strict=True)
    }
    shape = layout.shape
    return {
        "cfg": {"n_layers": shape.n_layers, "n_heads": shape.n_heads},
        "nodes": {},
        "edges": dict(list(edges.items())[:kept] if kept >= 0 else edges),
    }


def test_ranking_orders_all_edges(layout, tmp_path):
    made = score_file(layout)
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(made))
    scores = {name: edge["score"] for name, edge in made["edges"].items()}
    for signed in (True, False):
        ranking = read_ranking(path, layout, signed=signed)
        assert len(ranking) == len(scores) == layout.n_edges()
        names = [edge_name(*edge, layout) for edge in ranking.edges]
        assert names == sorted(scores, key=lambda n: -scores[n] if signed else -abs(scores[n]))


def test_areas_of_a_model_are_those_of_its_circuits(layout, tmp_path):
    made = score_file(layout)
    total = len(made["edges"])
    (tmp_path / "scores.json").write_text(json.dumps(made))
    signed = sorted(made["edges"], key=lambda name: -made["edges"][name]["score"])
    lines = [
        'let cpr_signed = cpr(edges("scores.json"), rank: signed)',
        'let cmd_absolute = cmd(edges("scores.json"), rank: absolute)',
    ]
    sizes = [int(k * total) for k in SIZES]
    for place, count in enumerate(sizes):
        names = set(signed[:count])
        edges = {n: {**e, "in_graph": n in names} for n, e in made["edges"].items()}
        (tmp_path / f"s{place}.json").write_text(json.dumps({**made, "edges": edges}))
    joined = []
    for place, count in enumerate(sizes):
        for kind, paths in (
            ("size", f'edges("scores.json", top: {count})'),
            ("sign", f'edges("s{place}.json")'),
        ):
            probe = tmp_path / "probe.circuit"
            probe.write_text(FILE + f"let x = faithfulness({paths})\n")
            if count and not _empty(probe):
                lines.append(f"let {kind}{place} = faithfulness({paths})")
                joined.append(f"{kind}{place}")
    path = tmp_path / "curve.circuit"
    path.write_text(FILE + "\n".join(lines) + "\n")
    outcome = check_file(str(path), CheckOptions(threads=1))
    assert outcome.judgement is not None, [d.message for d in outcome.diagnostics]
    got = {q.name: q.estimate for q in outcome.judgement.quantities}
    assert len(joined) >= 6
    by_sign = [got.get(f"sign{place}", 0.0) for place in range(len(sizes))]
    by_size = [got.get(f"size{place}", 0.0) for place in range(len(sizes))]
    assert by_sign[-1] == pytest.approx(1.0, abs=1e-9)
    assert got["cpr_signed"] == pytest.approx(np.trapezoid(by_sign, SIZES), abs=1e-9)
    wanted = np.trapezoid(abs(1 - np.array(by_size)), SIZES)
    assert got["cmd_absolute"] == pytest.approx(wanted, abs=1e-9)
    assert by_sign != by_size


def _empty(path: Path) -> bool:
    """Whether the file's path set is refused as empty, which the curve counts as `none`."""
    from pathdsl.graph.check import check_graph

    program, _ = load_program(str(path))
    shape = shape_of(source_from(program.model, path.parent, {}))
    return any(d.code == "PD209" for d in check_graph(program, shape, 100_000))


def test_a_file_that_ranks_some_edges_only_is_refused(layout, tmp_path):
    (tmp_path / "scores.json").write_text(json.dumps(score_file(layout, kept=30)))
    path = tmp_path / "curve.circuit"
    path.write_text(FILE + 'let x = cpr(edges("scores.json"), rank: signed)\n')
    outcome = check_file(str(path), CheckOptions())
    (fault,) = [d for d in outcome.diagnostics if d.code == "PD217"]
    assert f"ranks 30 of the model's {layout.n_edges():,} edges" in fault.message


@pytest.mark.parametrize(
    ("score", "code"),
    [
        ('cpr(edges("s.json"))', "PD113"),
        ('cpr(edges("s.json"), rank: positive)', "PD110"),
        ('cpr(edges("s.json", top: 3), rank: signed)', "PD115"),
        ("cmd(within(mlp), rank: signed)", "PD115"),
    ],
)
def test_what_is_no_ranking(score, code):
    _, found = lint_file("curve.circuit", FILE + f"let x = {score}\n")
    assert code in {d.code for d in found}
