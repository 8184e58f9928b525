"""Files that other tools wrote give the numbers that the tools computed, or are refused by name."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from tests.formats.cases import MODEL, PEERS, imported, path_of

pytestmark = pytest.mark.skipif(not PEERS.is_dir(), reason="the files of other tools are not here")
MINI = PEERS / "ioi-mini"
ROWS = ("1", "2", "3", "4", "5", "6", "7", "8")
TREE = "TREE_PATCH (keep these, patch the others)"
KEEPS = "in_graph", "in_file"


def wanted() -> list[tuple[str, tuple[str, ...], dict[str, float], float]]:
    """(file, options, the number of each row, how near) of all circuits of the list."""
    known = json.loads((PEERS / "expected.json").read_text())["files"]
    found = []
    for name, entry in known.items():
        near = 1e-9 if name.startswith("ioi-mini/e") else 1e-4
        for key, said in entry.items():
            if key in KEEPS:
                found.append((name, (), said, near, entry["rows"]))
            elif key.startswith("top: "):
                found.append((name, ("--top", key[5:]), said, near, entry["rows"]))
                if "nan" in name:
                    nan = ("--top", key[5:], "--nan", "first")
                    found.append((name, nan, said, near, entry["rows"]))
            elif key == TREE:
                nan = ("--nan", "first") if "nan" in name else ()
                found += [(name, ("--top", top, *nan), one, near, entry["rows"])
                          for top, one in said.items() if top != "0"]  # fmt: skip
    return [
        (name, options, dict(zip(rows, said["metric_per_row"], strict=True)), near)
        for name, options, said, near, rows in found
    ]


REFUSED = {
    "edge_eap_scores.json": "PD444", "edge_eap_scores.pt": "PD444",  # nothing is kept
    "edge_eapig5_scores.json": "PD444", "edge_eapig5_scores.pt": "PD444",
    "node_eap_scores.pt": "PD444", "neuron_eap_scores.pt": "PD444", "no_input_edges.json": "PD444",
    "neuron_eap_top20pct_unpruned.pt": "PD226", "neuron_eap_top20pct.pt": "PD226",
    "mixed_edges120_neurons20pct.pt": "PD226", "edges60_half_neurons_json.json": "PD226",
    "nan_scores.json --top 40": "PD445", "nan_scores.json --top 100": "PD445",
    "nan_scores.json --top 40 --nan first": "PD229", "tied_scores.json --top 40": "PD229",
    "tied_scores.json --top 100": "PD229", "mask1.pt --top 20": "PD444",  # leads nowhere
}  # fmt: skip


def converted(pickle: Path, folder: Path) -> Path:
    """The JSON that the script of the message makes of a pickle."""
    shutil.copy(pickle, folder / "edges.pkl")
    refused = imported(folder, "edges.pkl")
    assert "PD442" in refused["said"]
    lines = refused["said"].partition("runs nothing of the file:\n")[2].partition("\n  = more")[0]
    script = "\n".join(line[10:] for line in lines.splitlines())
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True)
    made = folder / f"{pickle.stem}.json"
    (folder / "edges.pkl.json").rename(made)
    return made


SHORT = (
    "edge_exact_scores.json", "edge_eapig5_top47_abs.pt", "node_eap_top9_unpruned.pt",
    "nodes_false_edges_true.json", "in_graph_0_1.json", "edges_0.3.pkl", "ig4.pt --top 60",
    "nan_scores.json --top 100 --nan first", "neuron_eap_top20pct.pt", "tied_scores.json --top 40",
)  # fmt: skip


def compare(
    folder: Path, some: list[tuple[str, tuple[str, ...], dict[str, float], float]]
) -> tuple[dict[str, object], dict[str, str], int]:
    """What differs from the tools' numbers row by row, what is refused, how much was compared."""
    rows_ = sorted({row for _, _, rows, _ in some for row in rows})
    shutil.copy(MINI / "rows.jsonl", folder / "rows.jsonl")
    text = (
        'circuit peers { language = 1 }\nmodel m = bundled("ioi-mini", dtype: float64)\n'
        'task t {\n  data = jsonl("rows.jsonl")\n  reference = prompt\n  treated = other\n}\n'
        "metric LD: logits = logit(answer) - logit(wrong)\n"
    )
    text += "".join(f'task t{row} = t where id == "{row}"\n' for row in rows_)
    numbers, refused, made = {}, {}, {}
    for count, (name, options, rows, near) in enumerate(some):
        place = PEERS / name
        if place.suffix == ".pkl":
            made[name] = made.get(name) or converted(place, folder)
            place = made[name]
        report = imported(folder, place, *options, *MODEL, name=f"c{count}")
        short = " ".join([name.rpartition("/")[2], *options])
        if report["code"]:
            code = re.search(r"PD\d+", report["said"])
            refused[short] = code[0] if code else report["said"]
            continue
        text += f"path p{count} = {path_of((folder / f'c{count}.circuit').read_text())}\n"
        for row, value in rows.items():
            let = f"x{count}_{row}"
            text += f"let {let}: logits = mean(LD(keep(p{count}), task: t{row}))\n"
            numbers[let] = (value, near, short)
    (folder / "all.circuit").write_text(text)
    outcome = check_file(str(folder / "all.circuit"), CheckOptions(threads=1, allow_outside=True))
    assert outcome.judgement is not None, [d.message for d in outcome.diagnostics]
    got = {q.name: q.estimate for q in outcome.judgement.quantities}
    wrong = {
        f"{short} row {let.rpartition('_')[2]}": (got[let], value)
        for let, (value, near, short) in numbers.items()
        if got[let] != pytest.approx(value, abs=near)
    }
    return wrong, refused, len(numbers)


def test_one_file_of_each_kind_gives_the_numbers_of_its_tool(tmp_path: Path) -> None:
    some = [
        (name, options, {"1": rows["1"]}, near)
        for name, options, rows, near in wanted()
        if " ".join([name.rpartition("/")[2], *options]) in SHORT
    ]
    wrong, refused, count = compare(tmp_path, some)
    assert len(some) == len(SHORT) and wrong == {} and count == 8
    assert refused == {one: REFUSED[one] for one in SHORT if one in REFUSED}


@pytest.mark.parametrize(
    ("scores", "options", "marked"),
    [
        ("edge_eap_scores.json", ("--top", "60"), "edge_eap_top60_abs.json"),
        ("edge_eap_scores.pt", ("--top", "60"), "edge_eap_top60_abs_unpruned.pt"),
        ("edge_eap_scores.json", ("--top", "60", "--signed"), "edge_eap_top60_signed.json"),
        ("edge_eapig5_scores.pt", ("--top", "47"), "edge_eapig5_top47_abs.pt"),
        ("node_eap_scores.pt", ("--top", "9"), "node_eap_top9.pt"),
        ("node_eap_input_unscored_top7.pt", ("--top", "7"), "node_eap_input_unscored_top7.pt"),
    ],
)
def test_the_first_of_a_ranking_are_those_that_the_tool_marks(
    scores: str, options: tuple[str, ...], marked: str, tmp_path: Path
) -> None:
    paths = []
    for name, some in ((scores, options), (marked, ())):
        assert imported(tmp_path, MINI / "eap_ig" / name, *some, *MODEL)["code"] == 0
        paths.append(path_of((tmp_path / "x.circuit").read_text()))
    assert paths[0] == paths[1]


def test_prune_scores_grow_with_the_number_of_batches() -> None:
    one, three = (
        torch.load(MINI / "auto_circuit" / f"eap_mask0{tail}.pt", weights_only=True)
        for tail in ("", "_batch1")
    )
    for name, scores in one.items():
        torch.testing.assert_close(three[name], 3 * scores, rtol=1e-4, atol=1e-5)


def test_an_edge_at_every_token_is_the_edge(tmp_path: Path) -> None:
    """Prune scores with a sequence dimension: each edge at each of the 16 tokens."""
    scores = torch.load(MINI / "auto_circuit" / "acdc.pt", weights_only=True)
    spread = {name: one.expand(16, *one.shape).clone() for name, one in scores.items()}
    torch.save(spread, tmp_path / "spread.pt")
    rows = (MINI / "rows.jsonl").read_text().splitlines()
    (tmp_path / "rows.jsonl").write_text("\n".join([rows[0], rows[1], rows[7]]) + "\n")
    entry = json.loads((PEERS / "expected.json").read_text())["files"]
    said = entry["ioi-mini/auto_circuit/acdc.pt"][TREE]["12"]["metric_per_row"]
    report = imported(tmp_path, "spread.pt", "--top", str(12 * 16), *MODEL, "--rows", "rows.jsonl")
    assert report["code"] == 0 and report["edges"] > 12
    outcome = check_file(str(tmp_path / "x.circuit"), CheckOptions(threads=1, allow_outside=True))
    assert outcome.judgement is not None, [d.message for d in outcome.diagnostics]
    (found,) = [one for one in outcome.judgement.quantities if one.name == "kept"]
    assert found.estimate == pytest.approx(sum(said) / 3, abs=1e-4)


@pytest.mark.long
def test_every_file_gives_the_numbers_of_its_tool(tmp_path: Path) -> None:
    wrong, refused, count = compare(tmp_path, wanted())
    assert wrong == {}
    assert refused == REFUSED, count
