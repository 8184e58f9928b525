"""`pathdsl init`: every template lints clean and runs; wrong inputs are told with their repair."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from pathdsl.checking.starting.templates import templates
from pathdsl.cli import init as verb
from pathdsl.models import bundled
from tests.cli.run import pathdsl

NAMES = [one.name for one in templates()]
PAGE = (Path(__file__).parents[2] / "docs" / "init.md").read_text(encoding="utf-8")
CSV = re.findall(r"```csv file=rows.csv\n(.*?)```", PAGE, re.DOTALL)[0]
ROW = '{"prompt": "a b", "other": "a c", "answer": " x", "positions": {"SUBJECT": 1}}\n'


def told(*arguments: str, cwd: Path, code: int = 2) -> str:
    """What is said of an `init` that ends with this code."""
    done = pathdsl("init", *arguments, cwd=cwd)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_there_are_ten() -> None:
    assert len(NAMES) == 10


@pytest.mark.parametrize("name", NAMES)
def test_a_template_lints_clean_and_is_judged(name: str, tmp_path: Path) -> None:
    told("--template", name, cwd=tmp_path, code=0)
    path = f"{name}.circuit"
    done = pathdsl("lint", path, cwd=tmp_path)
    assert done.stdout.strip() == "1 file: no faults"
    assert pathdsl("fmt", "--check", path, cwd=tmp_path).returncode == 0
    done = pathdsl("check", path, "--set", "take=30", "-q", "--no-cache", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert re.search(r"refuted +control .* as expected", done.stdout)
    assert max(map(len, (tmp_path / path).read_text().splitlines())) <= 150


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_every_claim_of_a_template_comes_out(name: str, tmp_path: Path) -> None:
    told("--template", name, cwd=tmp_path, code=0)
    done = pathdsl("check", f"{name}.circuit", "-q", "--no-cache", cwd=tmp_path)
    assert done.returncode == 0 and "warning" not in done.stdout, done.stdout


@pytest.mark.parametrize("name", [one for one in NAMES if one != "edges_of_a_file"])
def test_a_template_fits_another_model(name: str, tmp_path: Path) -> None:
    """A folder, and rows of a file: heads are placeholders, and nothing is warned of."""
    shutil.copytree(bundled("reuse-mini"), tmp_path / "model")
    rows = pathdsl("data", "mini_ioi(take: 40)", cwd=tmp_path).stdout
    (tmp_path / "rows.jsonl").write_text(rows)
    given = ("--model", "folder:model", "--data", "rows.jsonl")
    told("--template", name, *given, "-o", "x.circuit", cwd=tmp_path, code=0)
    done = pathdsl("lint", "x.circuit", cwd=tmp_path)
    assert done.stdout.strip() == "1 file: no faults", done.stdout
    text = (tmp_path / "x.circuit").read_text()
    assert 'folder("model")' in text and "laceholders" in text


def test_list(tmp_path: Path) -> None:
    lines = told("--list", cwd=tmp_path, code=0).splitlines()
    assert [line.split()[0] for line in lines] == NAMES


def test_the_page_has_every_template() -> None:
    for one in templates():
        assert f"| `{one.name}` | {one.about} |\n" in PAGE


def test_nothing_is_written_over(tmp_path: Path) -> None:
    told("--template", "minimality", cwd=tmp_path, code=0)
    (tmp_path / "minimality.circuit").write_text("mine")
    assert "--force" in told("--template", "minimality", cwd=tmp_path)
    assert (tmp_path / "minimality.circuit").read_text() == "mine"
    told("--template", "minimality", "--force", cwd=tmp_path, code=0)
    (tmp_path / "other.edges.json").write_text("mine")
    assert "--force" in told("--template", "edges_of_a_file", "-o", "other.circuit", cwd=tmp_path)
    assert not (tmp_path / "other.circuit").exists()


def test_the_examples_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(CSV)
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for part in block.split("$ ")[1:]:
            command, _, wanted = part.partition("\n")
            done = pathdsl(*command.split()[1:], cwd=tmp_path)
            assert (done.stdout + done.stderr).strip() == wanted.strip()


def test_numbers_of_a_csv_file_are_ids(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(CSV)
    told("--template", "paper_claim", "--data", "rows.csv", "-o", "x.circuit", cwd=tmp_path, code=0)
    assert "ids: [correct_idx, incorrect_idx]" in (tmp_path / "x.circuit").read_text()
    done = pathdsl("check", "x.circuit", "-q", "--no-cache", cwd=tmp_path)
    assert done.returncode in (0, 1) and "as_reported" in done.stdout


@pytest.mark.parametrize("mark", [";", "\t"])
def test_cells_of_a_spreadsheet(mark: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(re.sub(r',(?=[a-z0-9"])', mark, CSV))
    told("--template", "paper_claim", "--data", "rows.csv", "-o", "x.circuit", cwd=tmp_path, code=0)
    assert "ids: [correct_idx, incorrect_idx]" in (tmp_path / "x.circuit").read_text()


def test_rows_of_a_bundled_model(tmp_path: Path) -> None:
    given = ("--template", "direct_effects", "--model", "bundled:induction-2l", "-o", "x.circuit")
    told(*given, cwd=tmp_path, code=0)
    assert "= induction(" in (tmp_path / "x.circuit").read_text()


def test_asked_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "_on_terminal", lambda: True)
    answers = ["minimalty", "minimality", "", "x.circuit", *[""] * 4, "-", ""]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(answers) + "\n"))
    said = told(cwd=tmp_path, code=0)
    assert "did you mean `minimality`?" in said and "Column of the prompts [prompt]" in said
    assert "logprob(io)" in (tmp_path / "x.circuit").read_text()


FAULTS = [
    ("", "PD470", "pathdsl init --list"),
    ("-t minimalty", "PD470", "did you mean `minimality`?"),
    ("-t minimality --data rows.jsonl --treated othr", "PD471", "--treated other"),
    ("-t minimality --data bare.jsonl", "PD471", "--treated COLUMN"),
    ("-t minimality --data rows.txt", "PD471", "`.jsonl`"),
    ("-t minimality --data none.csv", "PD320", "none.csv"),
    ("-t minimality --data nowhere", "PD326", "`ioi`"),
    ("-t minimality --data mini_iooi", "PD326", "did you mean `mini_ioi`"),
    ("-t minimality --data ioi(take:60", "PD471", "--data 'ioi(take:60)'"),
    ("-t minimality --data 'ioi(tke: 3)'", "PD117", "`take`"),
    ("-t minimality --data 'ioi(take'", "PD471", "a generator is a name, `ioi`"),
    ("-t minimality --positions S3", "PD472", "--positions IO,S1,S2"),
    ("-t minimality --data bare.jsonl --treated prompt --positions A", "PD472", '"positions"'),
    ("-t minimality --heads a9.h9", "PD473", "--heads a3.h3"),
    ("-t minimality --heads 9.6", "PD473", "--heads a3.h0"),
    ("-t minimality --early a0.h0", "PD473", "no `--early`"),
    ("-t minimality --model hf:no/thing", "PD473", "hf download no/thing config.json"),
    ("-t minimality --model folder:nowhere", "PD6", "nowhere"),
    ("-t edges_of_a_file --model reuse-mini --data mini_ioi", "PD474", "--edges circuit.json"),
    ("-t direct_effects --reference prompt --treated prompt", "PD358", "another prompt"),
    ("-t direct_effects --model induction-2l --data mini_ioi", "PD342", "token ids"),
    ("-t edges_of_a_file --edges none.json", "PD474", "none.json"),
    ("-t minimality --edges none.json", "PD474", "edges_of_a_file"),
]


@pytest.mark.parametrize(("given", "code", "repair"), FAULTS)
def test_a_fault_has_a_repair(given: str, code: str, repair: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(ROW)
    (tmp_path / "bare.jsonl").write_text('{"prompt": "a b", "answer": " x"}\n')
    (tmp_path / "rows.txt").write_text("a b\n")
    said = told(*shlex.split(given), cwd=tmp_path)
    assert f"[{code}" in said and repair in said, said
    assert not list(tmp_path.glob("*.circuit"))


MASKED = """[PAD] [UNK] [CLS] [SEP] [MASK] is the capital of france italy . paris rome""".split()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small BERT, and rows with a mask."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

    place = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(MASKED), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32,
    )  # fmt: skip
    BertForMaskedLM(config).eval().save_pretrained(place / "bert")
    vocabulary = {word: i for i, word in enumerate(MASKED)}
    BertTokenizerFast(vocab=vocabulary).save_pretrained(place / "bert")
    lands = {"france": "paris", "italy": "rome"}
    rows = [
        {"prompt": f"[MASK] is the capital of {a} .", "other": f"[MASK] is the capital of {b} .",
         "answer": lands[a], "wrong": lands[b]}
        for a, b in (("france", "italy"), ("italy", "france"))
    ]  # fmt: skip
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place


@pytest.mark.parametrize("name", [one for one in NAMES if one != "edges_of_a_file"])
def test_a_masked_model_is_read_at_the_mask(name: str, encoder: Path) -> None:
    own = ["--model", "folder:bert", "--data", "rows.jsonl", "-o", f"{name}.circuit"]
    told("-t", name, *own, cwd=encoder, code=0)
    text = (encoder / f"{name}.circuit").read_text()
    assert "positions = [MASK]" in text and "metric LD @MASK" in text
    assert "END" not in text and "last token" not in text
    assert pathdsl("lint", f"{name}.circuit", cwd=encoder).stdout.strip() == "1 file: no faults"
    if name in ("direct_effects", "paper_claim"):
        done = pathdsl("check", f"{name}.circuit", "--no-cache", cwd=encoder)
        assert done.returncode == 1 and "PD264" not in done.stdout, done.stdout + done.stderr


def test_the_mask_may_be_named(encoder: Path) -> None:
    own = ["--model", "folder:bert", "--data", "rows.jsonl", "-o", "named.circuit"]
    told("-t", "minimality", *own, "--positions", "MASK", cwd=encoder, code=0)
    assert (encoder / "named.circuit").read_text().count("[MASK]") == 1


@pytest.mark.parametrize("name", ["completeness", "paper_claim"])
def test_a_model_without_mlps_gets_no_paths_through_them(name: str, tmp_path: Path) -> None:
    own = ["--model", "bundled:attention-mini", "--data", "mini_induction"]
    told("-t", name, *own, cwd=tmp_path, code=0)
    assert "mlp" not in (tmp_path / f"{name}.circuit").read_text().lower()
