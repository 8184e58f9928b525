"""A check whose values are all stored: nothing heavy is imported, and a changed weight is seen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from pathdsl.engine.lazy_model import LazyModel
from pathdsl.engine.load import hashes, kept_tokenizer
from pathdsl.engine.load.kept_tokenizer import KeptTokenizer, tokenizer_by
from pathdsl.engine.load.source import ModelSource
from pathdsl.engine.load.weights import LoadedModel, load
from pathdsl.engine.store.store import Store
from pathdsl.errors import EngineError
from pathdsl.models import bundled
from tests.cli.run import INDUCTION, pathdsl

ENDS = (
    "import atexit, sys\n"
    "atexit.register(lambda: print('HEAVY', *sorted({'torch', 'transformers', 'sympy', 'typer',"
    " 'scipy'} & {*sys.modules}), file=sys.stderr))\n"
)


CHECKED = "x.circuit", "i.circuit", "y.circuit"
EVERY_KIND = (
    "claim share: accuracy(reference, answer: io) > 0.2 at 95% confidence\n"
    "claim middle: median(LD(reference)) > 0.2 at 95% confidence\n"
    "claim most: max(effect(main), effect(through(a3.h2))) > 0.2 at 95% confidence\n"
    "claim open: mean(LD(reference)) > 7.2 at 95% confidence\n"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of its own and files that were not checked yet."""
    folder = tmp_path_factory.mktemp("stored")
    shutil.copytree(bundled("ioi-mini"), folder / "model")
    settled = time.time() - 60
    for path in (folder / "model").iterdir():
        os.utime(path, (settled, settled))
    (folder / "x.circuit").write_text(
        'model m = folder("model")\n\ntask t {\n  data      = mini_ioi(take: 60, seed: 0)\n'
        "  reference = prompt\n  treated   = prompt_abc\n}\n\n"
        "path main = through(a3.h1)\n\nmetric LD: logits = logit(io) - logit(s)\n\n"
        "let plain: logits = mean(LD(reference))\n\n"
        "claim some: effect(main) > -100 at 95% confidence\n"
    )
    (folder / "y.circuit").write_text((folder / "x.circuit").read_text() + EVERY_KIND)
    (folder / "i.circuit").write_text(INDUCTION)
    return folder


@pytest.fixture(scope="module")
def first(home: Path) -> dict[str, Any]:
    """What the first check said: it fills the store, in a process that imports everything."""
    found, heavy = _check(home, *CHECKED)
    assert {"torch", "transformers", "scipy"} <= heavy
    return found


def _here(home: Path, *words: str) -> dict[str, Any]:
    """What a check says in this process, which has imported torch already."""
    done = pathdsl("check", "--format", "json", *words, cwd=home, PATHDSL_CACHE=str(home / "store"))
    assert done.returncode in (0, 1), done.stderr
    return dict(json.loads(done.stdout))


def _check(home: Path, *files: str) -> tuple[dict[str, Any], set[str]]:
    """What a check of some files says, in a process of its own, and what that imported."""
    store = {"PATHDSL_CACHE": str(home / "store"), "OMP_NUM_THREADS": "1"}
    script = ENDS + (
        "from pathdsl.cli.main import main\nmain(['check', '--format', 'json', *sys.argv[1:]])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *files], cwd=home, capture_output=True, text=True,
        env={**os.environ, **store},
    )  # fmt: skip
    last = done.stderr.splitlines()[-1]
    assert last.startswith("HEAVY"), done.stderr
    return json.loads(done.stdout), {*last.split()[1:]}


def _told(result: dict[str, Any]) -> list[dict[str, object]]:
    """The files without what says where values came from and how long it took."""
    files = json.loads(json.dumps(result["files"]))
    spent = ("seconds", "store", "cost")
    return [{k: v for k, v in one.items() if k not in spent} for one in files]


def test_nothing_heavy_is_imported_and_nothing_is_another(
    home: Path, first: dict[str, Any]
) -> None:
    again, heavy = _check(home, *CHECKED)
    assert not {"torch", "transformers", "scipy"} & heavy, heavy
    assert _told(first) == _told(again)
    for one in again["files"]:
        assert one["store"]["computed"] == 0 < one["store"]["stored"]
    opened = again["files"][-1]["claims"][-1]
    assert opened["verdict"] == "inconclusive" and opened["settle_n"] > 60
    # What the third file shares with the first was computed beside other runs.
    assert _told(_here(home, *CHECKED[:2], "--no-cache")) == _told(again)[:2]


def test_an_edit_to_a_claim_needs_no_torch_either(home: Path, first: dict[str, Any]) -> None:
    text = (home / "x.circuit").read_text()
    (home / "x.circuit").write_text(text.replace("> -100", "> -99"))
    _, heavy = _check(home, "x.circuit")
    assert "torch" not in heavy
    (home / "x.circuit").write_text(text)


def test_changed_weights_are_seen(home: Path, first: dict[str, Any]) -> None:
    weights = home / "model" / "model.safetensors"
    kept = weights.read_bytes()
    tensors = load_file(weights)
    name = next(one for one in tensors if one.endswith("attn.c_proj.weight"))
    tensors[name] = tensors[name] * 1.5
    save_file(tensors, weights, metadata={"format": "pt"})
    assert len(weights.read_bytes()) == len(kept)
    changed = _here(home, "x.circuit")
    assert changed["files"][0]["store"]["computed"] > 0
    assert first["files"][0]["weights"] != changed["files"][0]["weights"]
    assert _told(first)[:1] != _told(changed)
    weights.write_bytes(kept)
    again, _ = _check(home, "x.circuit")
    assert _told(again) == _told(first)[:1]


def test_locked_reads_every_byte(home: Path, first: dict[str, Any]) -> None:
    """Even where a hash under the same times and size is in the store."""
    weights = home / "model" / "model.safetensors"
    (home / "lock.circuit").write_text((home / "x.circuit").read_text())
    made = pathdsl("lock", "lock.circuit", cwd=home)
    assert made.returncode == 0, made.stderr
    with Store(home / "store") as store:
        wrong = hashes.Hashes(store)
        key, _ = hashes._key(weights)
        store.replace_record(key, "0" * 64)  # as if a write had left all times as they were
        assert wrong(weights) == "0" * 64
    assert _here(home, "--locked", "lock.circuit")["exit_code"] == 0
    with Store(home / "store") as store:
        store.reject([key])


def test_a_file_that_was_just_written_is_hashed_each_time(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"one")
    with Store(tmp_path / "store") as store:
        hash_of = hashes.Hashes(store)
        first = hash_of(path)
        assert hash_of(path) == first and not hash_of.keys
        path.write_bytes(b"two")
        assert hash_of(path) != first


def test_what_decides_a_tokenizers_answers(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of the folder, and those of the folder in it that holds templates by their names."""
    folder = tmp_path / "model"
    shutil.copytree(home / "model", folder)
    source = ModelSource(kind="folder", location=str(folder))
    with Store(tmp_path / "store") as store:

        def template() -> object:
            found = tokenizer_by(source, store, ["task"])
            assert isinstance(found, KeptTokenizer)
            found.keep()
            return found.chat_template

        (folder / "chat_template.jinja").write_text("A")
        assert template() == template() == "A"
        (folder / "chat_template.jinja").write_text("B")
        assert template() == "B"
        more = folder / "additional_chat_templates"
        more.mkdir()
        (more / "tool.jinja").write_text("C")
        assert template() == {"default": "B", "tool": "C"}
        (more / "tool.jinja").write_text("D")
        assert template() == {"default": "B", "tool": "D"}
        (folder / "notes.npz").write_bytes(b"large")
        monkeypatch.setattr(kept_tokenizer, "LARGE", 3)
        assert template() == template() == {"default": "B", "tool": "D"}

        def refuse(path: object) -> bytes:
            raise PermissionError(13, "not yours")

        monkeypatch.setattr(kept_tokenizer, "LARGE", 10**9)
        monkeypatch.setattr(kept_tokenizer, "read_file", refuse)
        real = tokenizer_by(source, store, ["task"])
        assert not isinstance(real, KeptTokenizer) and real is not None


def test_what_is_loaded_is_what_was_looked_at(home: Path, tmp_path: Path) -> None:
    """A config that is written in between would be computed with and kept as the one before."""
    folder = tmp_path / "model"
    shutil.copytree(home / "model", folder)
    source = ModelSource(kind="folder", location=str(folder))

    def loading(*given: Any, **options: Any) -> LoadedModel:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"layer_norm_epsilon": 0.5}))
        return load(*given, **options)

    with Store(tmp_path / "store") as store:
        with pytest.raises(EngineError, match="changed while they were read"):
            LazyModel(source, store=store, loading=loading)
        assert LazyModel(source, store=store, loading=loading).adapter.shape.n_layers == 4
