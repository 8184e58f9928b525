"""What a circuit file says is what is judged, or the file is refused by name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.lock.contents import lock_of
from pathdsl.checking.lock.drift import compare
from pathdsl.checking.options import CheckOptions
from pathdsl.engine.load.source import shape_of, source_from
from pathdsl.errors import Diagnostic, Severity
from pathdsl.graph.check import check_graph
from pathdsl.graph.files.eap import UnusableFile, read_edges_file
from pathdsl.graph.files.ranking import SIZES, read_ranking
from pathdsl.graph.model.components import Layout
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.pathset import NONE
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.fence import FREE
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import load_program
from tests.score.test_areas import FILE, score_file

PEERS = (
    Path(os.environ.get("PATHDSL_SHARED", Path(__file__).parents[3] / "shared"))
    / "cases" / "formats" / "ioi-mini"
)  # fmt: skip
INF = float("inf")
CFG = {"n_layers": 4, "n_heads": 4, "parallel_attn_mlp": False, "d_model": 128}
EDGES: dict[str, Any] = {
    "input->a0.h1<v>": {"score": 0.9, "in_graph": True},
    "a0.h1->m2": {"score": -0.7, "in_graph": True},
    "m2->logits": {"score": 0.5, "in_graph": True},
    "input->logits": {"score": 0.5, "in_graph": False},
    "a1.h0->a3.h1<q>": {"score": 0.1, "in_graph": False},
}


@pytest.fixture(scope="module")
def shape() -> ModelShape:
    program, _ = load_program("x.circuit", FILE)
    found = shape_of(source_from(program.model, Path(), {}))
    assert found is not None
    return found


def write(folder: Path, **parts: Any) -> Path:
    path = folder / "found.json"
    path.write_text(json.dumps({"cfg": CFG, "nodes": {}, "edges": EDGES, **parts}))
    return path


def nodes_file(folder: Path, **nodes: Any) -> Path:
    path = folder / "found.json"
    named = {name.replace("_", "."): entry for name, entry in nodes.items()}
    path.write_text(json.dumps({"cfg": CFG, "nodes": named}))
    return path


def faults(folder: Path, shape: ModelShape, *lines: str) -> list[Diagnostic]:
    path = folder / "x.circuit"
    path.write_text(FILE + "\n".join(lines) + "\n")
    return check_graph(load_program(str(path))[0], shape)


def refused(path: Path, shape: ModelShape, top: int | None = None) -> UnusableFile:
    with pytest.raises(UnusableFile) as found:
        read_edges_file(path, Layout(shape), top)
    return found.value


def same(folder: Path, shape: ModelShape, first: str, second: str) -> bool:
    """Whether two path expressions are one set of paths and have the same units."""
    path = folder / "x.circuit"
    path.write_text(FILE + f"path p = {first}\npath r = {second}\n")
    program, _ = load_program(str(path))
    found = Resolver(program, shape)
    one, two = program.paths["p"].path, program.paths["r"].path
    a, b = found.path_set(one), found.path_set(two)
    units = [{u.label for u in found.units(e)} for e in (one, two)]
    return a == b and units[0] == units[1] and found.count(a) > 0


# ------------------------------------------------------------------------------- scores and ties


@pytest.mark.parametrize("none", [None, float("nan"), -INF])
def test_what_has_no_score_is_never_chosen(none: Any, tmp_path: Path, shape: ModelShape) -> None:
    edges = {**EDGES, "m2->logits": {"score": none}, "input->logits": {"score": 0.5}}
    path = write(tmp_path, edges=edges)
    layout = Layout(shape)
    kept = read_edges_file(path, layout, 4)
    assert {layout.label(e.receiver) for e in kept.edges} == {"a0.h1", "m2", "logits", "a3.h1"}
    (last,) = [e for e in kept.edges if e.receiver == layout.logits]
    assert last.senders == 1  # `input->logits`, and not `m2->logits`
    assert "more than the 4 edges that have a score" in str(refused(path, shape, 5))


@pytest.mark.parametrize("score", [INF, "0.5", True, []])
def test_what_is_no_score(score: Any, tmp_path: Path, shape: ModelShape) -> None:
    edges = {**EDGES, "m2->logits": {"score": score}}
    assert "`m2->logits`" in str(refused(write(tmp_path, edges=edges), shape, 1))


def test_a_cut_among_equal_scores(tmp_path: Path, shape: ModelShape) -> None:
    write(tmp_path)
    (fault,) = faults(tmp_path, shape, 'let x = paths(edges("found.json", top: 3))')
    assert fault.code == "PD229" and "`top: 3` takes 1 of 2 edges" in fault.message
    assert fault.help.startswith("`top: 2` or `top: 4`")
    for top in (1, 2, 4, 5):
        read_edges_file(tmp_path / "found.json", Layout(shape), top)
    level = {name: {"score": 0.25} for name in EDGES}
    assert refused(write(tmp_path, edges=level), shape, 1).advice.startswith("`top: 5`, which")


def ranked(folder: Path, layout: Layout, scores: dict[int, Any]) -> Path:
    """A file of all edges, the first with the largest scores, some with another one."""
    made = score_file(layout)
    for place, name in enumerate(made["edges"]):
        made["edges"][name]["score"] = scores.get(place, 1000.0 - place)
    (folder / "found.json").write_text(json.dumps(made))
    return folder / "found.json"


def test_curves_say_where_names_decide(tmp_path: Path, shape: ModelShape) -> None:
    layout = Layout(shape)
    total = layout.n_edges()
    path = ranked(tmp_path, layout, dict.fromkeys(range(200, total), -INF))
    for signed in (True, False):
        ranking = read_ranking(path, layout, signed=signed)
        assert ranking.scores[199] is not None and set(ranking.scores[200:]) == {None}
        assert [size for size, _, _ in ranking.ties()] == [total // 2]
    (told,) = faults(tmp_path, shape, 'let x = cpr(edges("found.json"), rank: signed)')
    assert told.code == "PD229" and told.severity.value == "warning"
    assert told.notes == (f"the first {total // 2}: the last of them is one of {total - 200} "
                          "edges without a score",)  # fmt: skip
    path = ranked(tmp_path, layout, {0: -999.0, 1: 999.0})  # equal by absolute score only
    assert SIZES[2] * total == pytest.approx(2, abs=0.5)
    assert read_ranking(path, layout, signed=True).ties() == ()
    line = 'let x = cmd(edges("found.json"), rank: {})'
    assert faults(tmp_path, shape, line.format("signed")) == []
    ranked(tmp_path, layout, {1: -998.0, 2: 998.0})
    (told,) = faults(tmp_path, shape, line.format("absolute"))
    assert "the first 2" in told.message and "2 edges of score 998" in told.notes[0]
    assert faults(tmp_path, shape, line.format("signed")) == []


def test_a_file_without_any_score_orders_nothing(tmp_path: Path, shape: ModelShape) -> None:
    layout = Layout(shape)
    path = ranked(tmp_path, layout, dict.fromkeys(range(layout.n_edges()), None))
    with pytest.raises(UnusableFile, match="none of its edges has a score"):
        read_ranking(path, layout, signed=True)


# ------------------------------------------------------------------------------- nodes


def test_a_file_of_nodes_is_a_node_set(tmp_path: Path, shape: ModelShape) -> None:
    on, off = {"in_graph": True}, {"in_graph": False}
    nodes_file(tmp_path, input=on, a0_h1=on, a1_h0=off, m2=on, logits=on)
    assert same(tmp_path, shape, 'edges("found.json")', "within(a0.h1, m2)")
    nodes_file(tmp_path, input=True, a0_h1=False, logits=True)  # as the format's page has it
    assert same(tmp_path, shape, 'edges("found.json")', "within(input)")
    nodes_file(tmp_path, input=off, a0_h1=on)
    assert "`input` is not among its nodes" in str(refused(tmp_path / "found.json", shape))
    nodes_file(tmp_path, a0_h1={"score": 1.0})
    assert "node `a0.h1` has no `in_graph`" in str(refused(tmp_path / "found.json", shape))
    nodes_file(tmp_path, a9_h1=on)
    assert "this model has no node `a9.h1`" in str(refused(tmp_path / "found.json", shape))
    nodes_file(tmp_path)
    assert "no object `edges`" in str(refused(tmp_path / "found.json", shape))


def test_the_nodes_of_largest_score(tmp_path: Path, shape: ModelShape) -> None:
    scores = {"a0_h1": 1.0, "a1_h0": 0.5, "m2": -2.0, "m3": -INF}
    entries = {name: {"score": score} for name, score in scores.items()}
    path = nodes_file(tmp_path, **entries, input={"in_graph": True}, logits={"in_graph": True})
    assert same(tmp_path, shape, 'edges("found.json", top: 2)', "within(a0.h1, m2)")
    assert "more than the 3 nodes" in str(refused(path, shape, 4))
    nodes_file(tmp_path, **entries, input={"score": -3.0})  # it has a score, and so it counts
    assert same(tmp_path, shape, 'edges("found.json", top: 2)', "within(m2)")
    path = nodes_file(tmp_path, **entries, input={"score": 0.1})
    assert "`input` is not among" in str(refused(path, shape, 2))
    path = nodes_file(tmp_path, **entries, m1={"score": None})
    assert "these nodes have no score and so no rank: `m1`" in str(refused(path, shape, 2))
    path = nodes_file(tmp_path, **entries, m1={"score": 0.5})
    assert refused(path, shape, 3).code == "PD229"
    with pytest.raises(UnusableFile, match="circuit of nodes"):
        read_ranking(path, Layout(shape), signed=True)


def test_nodes_against_edges(tmp_path: Path, shape: ModelShape) -> None:
    path = write(tmp_path, nodes={"a0.h1": {"in_graph": True}, "m2": {"in_graph": False}})
    fault = refused(path, shape)
    assert fault.code == "PD228" and "`m2`" in str(fault) and "`a0.h1->m2`" in str(fault)
    read_edges_file(path, Layout(shape), 2)  # by score, the marks are those of another circuit
    edges = {**EDGES, "a0.h1->m3": {"score": 1.0, "in_graph": True}}
    path = write(tmp_path, edges=edges, nodes={"m3": {"in_graph": False}})
    read_edges_file(path, Layout(shape))  # not pruned: the edge leads nowhere
    path = write(tmp_path, nodes={"m2": {"in_graph": 0}})
    assert "node `m2` has no `in_graph` of true or false" in str(refused(path, shape))
    path = write(tmp_path, nodes={"m9": {"in_graph": False}})
    assert "no node `m9`" in str(refused(path, shape))


@pytest.mark.parametrize("where", ["a0.h1", "input"])
def test_parts_of_an_output(where: str, tmp_path: Path, shape: ModelShape) -> None:
    half = {where: {"in_graph": True, "neurons": [True, False] * 64}}
    fault = refused(write(tmp_path, nodes=half), shape)
    assert fault.code == "PD226" and f"`{where}` keeps 64 of the 128 entries" in str(fault)
    assert refused(tmp_path / "found.json", shape, 1).code == "PD226"
    (tmp_path / "found.json").write_text(json.dumps({"cfg": CFG, "nodes": half}))
    assert refused(tmp_path / "found.json", shape).code == "PD226"
    layout = Layout(shape)
    whole = {where: {"in_graph": True, "neurons": [True] * 128}}
    rest = {"m3": {"in_graph": False, "neurons": [False] * 128}}  # sends nothing of the circuit
    one = read_edges_file(write(tmp_path, nodes={**whole, **rest}), layout)
    assert one == read_edges_file(write(tmp_path), layout)
    for wrong in ({where: {"in_graph": True, "neurons": [1, 0]}}, {where: {"neurons": "all"}}):
        assert "no list of true and false" in str(refused(write(tmp_path, nodes=wrong), shape))
    made = {**score_file(layout), "nodes": half}
    (tmp_path / "found.json").write_text(json.dumps(made))
    with pytest.raises(UnusableFile) as found:
        read_ranking(tmp_path / "found.json", layout, signed=True)
    assert found.value.code == "PD226"


# ------------------------------------------------------------------------------- the text itself


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"m2->logits"', '"input->logits": {"in_graph": true}, "m2->logits"', "stands twice"),
        ('"cfg"', '"neurons": {"m2": []}, "cfg"', "`neurons` is no part of the format"),
        ('"nodes": {}', '"nodes": []', "object `nodes`"),
        ('"nodes": {}', '"nodes": {"m2": 3}', "node `m2` is no object"),
        ("-0.7", "1" * 5000, "a number of 5,000 digits"),
        ('"n_layers": 4', '"n_layers": 4.5', "`n_layers` is 4.5"),
        ('"parallel_attn_mlp": false', '"parallel_attn_mlp": 0', "`parallel_attn_mlp` is 0"),
        ("{", "[", "line 1, column"),
    ],
)
def test_texts_that_are_refused(
    old: str, new: str, said: str, tmp_path: Path, shape: ModelShape
) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace(old, new, 1))
    assert said in str(refused(path, shape))


def test_nothing_marked_says_how_to_choose(tmp_path: Path, shape: ModelShape) -> None:
    write(tmp_path, edges={name: {**e, "in_graph": False} for name, e in EDGES.items()})
    (fault,) = faults(tmp_path, shape, 'let x = paths(edges("found.json"))')
    assert fault.code == "PD209" and 'edges("found.json", top: 200)' in fault.help


# ------------------------------------------------------------------------------- files of others


@pytest.mark.skipif(not PEERS.is_dir(), reason="the files of other tools are not here")
def test_files_of_other_tools_give_their_values(tmp_path: Path) -> None:
    """Every EAP-IG file that is read has the value that EAP-IG computes; the others are refused."""
    import torch

    known = json.loads((PEERS.parent / "expected.json").read_text())["files"]
    wanted, codes = {}, {}
    head = (PEERS / "compare.circuit").read_text().partition("let whole_m")[0]
    text = head.replace('"rows.jsonl"', json.dumps(str(PEERS / "rows.jsonl")))
    for number, (name, entry) in enumerate(known.items()):
        if not name.startswith("ioi-mini/e") or "in_graph" not in entry:
            continue
        place, mean = PEERS.parent / name, sum(entry["in_graph"]["metric_per_row"]) / 8
        if "/node_" in name:  # saved as tensors only: the same as a file of nodes
            saved = torch.load(place, weights_only=True)
            labels = ["input"]
            labels += [n for k in range(4) for n in (*(f"a{k}.h{h}" for h in range(4)), f"m{k}")]
            marked = zip(labels, saved["nodes_in_graph"].tolist(), strict=True)
            place = tmp_path / f"n{number}.json"
            entries = {label: {"in_graph": mark} for label, mark in marked}
            place.write_text(json.dumps({"cfg": CFG, "nodes": entries}))
        elif place.suffix != ".json":
            continue
        line = f"let x{number}: logits = mean(LD(keep(edges({json.dumps(str(place))}))))\n"
        (tmp_path / "one.circuit").write_text(text + line)
        program, _ = load_program(str(tmp_path / "one.circuit"), fence=FREE)
        shape = shape_of(source_from(program.model, tmp_path, {}))
        assert shape is not None
        errors = [d for d in check_graph(program, shape) if d.severity.value == "error"]
        if errors:
            codes[name.rpartition("/")[2]] = errors[0].code
        else:
            wanted[f"x{number}"] = mean
            text += line
    (tmp_path / "all.circuit").write_text(text)
    outcome = check_file(str(tmp_path / "all.circuit"), CheckOptions(threads=1, allow_outside=True))
    assert outcome.judgement is not None, [d.message for d in outcome.diagnostics]
    got = {q.name: q.estimate for q in outcome.judgement.quantities}
    assert len(wanted) == 12
    assert got == pytest.approx(wanted, abs=1e-9)
    assert codes == {
        "edge_eap_scores.json": "PD209", "edge_eapig5_scores.json": "PD209",  # nothing is marked
        "node_eap_scores.pt": "PD217", "no_input_edges.json": "PD209",
        "edges60_half_neurons_json.json": "PD226", "nodes_false_edges_true.json": "PD228",
        "in_graph_0_1.json": "PD217", "parallel_null.json": "PD217",
    }  # fmt: skip


def test_an_empty_first_size_stays_none(tmp_path: Path, shape: ModelShape) -> None:
    layout = Layout(shape)
    ranking = read_ranking(ranked(tmp_path, layout, {}), layout, signed=True)
    assert ranking.first(0) == NONE and ranking.first(len(ranking)) != NONE


# -------------------------------------------------------------------------------------------------
# Nodes of a file as a set, and parts of a whole
# -------------------------------------------------------------------------------------------------

SCORED = {
    "input": {"in_graph": True, "score": 99.0}, "a0_h1": {"score": 0.5, "in_graph": True},
    "a1_h0": {"score": -3.0, "in_graph": False}, "m2": {"score": 2.0, "in_graph": True},
    "a3_h1": {"score": 1.0, "in_graph": False}, "logits": {"in_graph": True},
}  # fmt: skip


@pytest.mark.parametrize(
    ("written", "nodes"),
    [
        ('nodes("found.json")', "{a0.h1, m2}"),
        ('nodes("found.json", top: 2)', "{a1.h0, m2}"),
        ('nodes("found.json", top: 2, rank: signed)', "{a3.h1, m2}"),
        ('nodes("found.json", top: 10%)', "{a1.h0, m2}"),  # of the 20 that the model has
        ('nodes("found.json", top: 14.9%)', "{a1.h0, m2}"),
        ('nodes("found.json", top: 15%)', "{a1.h0, m2, a3.h1}"),
        ('nodes("found.json", top: 3)@END', "{a1.h0@END, m2@END, a3.h1@END}"),
        ('{nodes("found.json", top: 3), except m2}', "{a1.h0, a3.h1}"),
    ],
)
def test_nodes_of_a_file(written: str, nodes: str, tmp_path: Path, shape: ModelShape) -> None:
    nodes_file(tmp_path, **SCORED)
    for form in ("through({})", "within({})", "{} -> logits", "through({}) & through(m2)"):
        assert same(tmp_path, shape, form.replace("{}", written), form.replace("{}", nodes))


def test_nodes_are_read_beside_edges(tmp_path: Path, shape: ModelShape) -> None:
    named = {name.replace("_", "."): entry for name, entry in SCORED.items()}
    write(tmp_path, nodes=named)
    assert same(tmp_path, shape, 'through(nodes("found.json", top: 1))', "through(a1.h0)")
    assert same(tmp_path, shape, 'edges("found.json", top: 1%)', 'edges("found.json", top: 4)')
    assert same(
        tmp_path, shape, 'edges("found.json", top: 3, rank: signed) | within(m0)',
        "edges { input -> logits } | within(m0) | none"
    ) is False  # fmt: skip


@pytest.mark.parametrize(
    ("written", "code", "said"),
    [
        ('nodes("found.json", top: 5)', "PD217", "more than the 4 nodes that have a score"),
        ('nodes("found.json", top: 1%)', "PD217", "1% of the model's 20 nodes is none"),
        ('nodes("found.json", top: 50%)', "PD217", "more than the 4 nodes that have a score"),
    ],
)
def test_a_top_that_does_not_fit(
    written: str, code: str, said: str, tmp_path: Path, shape: ModelShape
) -> None:
    nodes_file(tmp_path, **SCORED)
    (found,) = faults(tmp_path, shape, f"path p = through({written})")
    assert (found.code, said in found.message) == (code, True)


def test_equal_scores_of_nodes_are_not_cut(tmp_path: Path, shape: ModelShape) -> None:
    nodes_file(tmp_path, a0_h1={"score": 1.0}, a1_h0={"score": -1.0}, m2={"score": 2.0})
    (found,) = faults(tmp_path, shape, 'path p = through(nodes("found.json", top: 2))')
    assert found.code == "PD229" and "`top: 1` or `top: 3`" in found.help
    assert not faults(
        tmp_path, shape, 'path p = through(nodes("found.json", top: 2, rank: signed))'
    )


def test_a_file_without_nodes_says_so(tmp_path: Path, shape: ModelShape) -> None:
    write(tmp_path)
    (found,) = faults(tmp_path, shape, 'group g = { nodes("found.json") }')
    assert found.code == "PD217" and "edges(…)" in found.help
    nodes_file(tmp_path, a0_h1={"score": 1.0, "in_graph": False})
    (found,) = faults(tmp_path, shape, 'group g = { nodes("found.json") }')
    assert found.code == "PD217" and "top: 10" in found.help


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("top: 0", "PD116"), ("top: 0%", "PD116"), ("top: 101%", "PD116"), ("top: 1.5", "PD115"),
        ("top: all", "PD115"), ("rank: signed", "PD115"), ("top: 2, rank: best", "PD110"),
        ("by: layer", "PD117"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("what", ["nodes", "edges"])
def test_options_of_a_circuit_file(what: str, options: str, code: str, tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "x.circuit"
    inside = f'{what}("found.json", {options})'
    path.write_text(FILE + f"let x = paths({inside} {'-> logits' * (what == 'nodes')})\n")
    found = lint_file(str(path), path.read_text())[1]
    assert code in [d.code for d in found if d.severity is Severity.ERROR]


def test_two_folders_have_files_of_one_name(tmp_path: Path, shape: ModelShape) -> None:
    (tmp_path / "lib").mkdir()
    nodes_file(tmp_path / "lib", a0_h1={"in_graph": True})
    nodes_file(tmp_path, a3_h3={"in_graph": True})
    library = 'circuit lib {\n  language = 1\n}\n\ngroup other = { nodes("found.json") }\n'
    (tmp_path / "lib" / "lib.circuit").write_text(library)
    path = tmp_path / "x.circuit"
    path.write_text(FILE + 'use "lib/lib.circuit"\npath p = through(nodes("found.json"))\n')
    program, _ = load_program(str(path))
    found = Resolver(program, shape)
    labels = [
        [m.label for m in found.places.singles(ref, {})]
        for ref in (program.groups["other"].name, program.paths["p"].path.nodes[0])  # type: ignore[union-attr]
    ]
    assert labels == [["a0.h1"], ["a3.h3"]]


def test_a_lock_holds_the_files_and_tells_another(tmp_path: Path) -> None:
    nodes_file(tmp_path, a3_h1={"score": 2.0}, a3_h2={"score": 1.0})
    path = tmp_path / "x.circuit"
    path.write_text(FILE + 'let x: logits = effect(through(nodes("found.json", top: 1)))\n')
    options = CheckOptions(store=None)

    def locked() -> dict[str, Any]:
        return lock_of(check_file(str(path), options), options)

    before = locked()
    assert list(before["inputs"]["file"]["circuit_files"]) == ["found.json"]
    nodes_file(tmp_path, a3_h1={"score": 2.0}, a3_h2={"score": 1.5})
    after = locked()
    (drift,) = compare(before, after).drifts
    assert (drift.code, drift.what) == ("PD655", "circuit_files found.json")
    # A lock of an earlier version holds no hash, and nothing is said of it.
    del before["inputs"]["file"]["circuit_files"]
    assert not compare(before, after).drifted
