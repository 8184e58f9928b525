"""Model statements, the option `--model`, configs without weights, and the pages of the codes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from pathdsl.engine.load.source import (
    ModelSource,
    config_of,
    parse_override,
    shape_of,
    source_from,
)
from pathdsl.errors import LanguageError, Span
from pathdsl.lang import ast
from pathdsl.lang.program import load_program
from pathdsl.lang.rules.page import Example
from pathdsl.lang.rules.pd6_models import MODEL_PAGES

HERE = Span(path="x.circuit", start=0, end=5)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    GPT2LMHeadModel(
        GPT2Config(vocab_size=5, n_positions=6, n_embd=4, n_layer=1, n_head=2)
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def at(folder: Path, **options: str) -> ModelSource:
    return ModelSource(kind="folder", location=str(folder), name="gpt2", **options)


# ------------------------------------------------------------------------------- sources


def call(name: str, *positional: ast.Expr, **options: ast.Expr) -> ast.ModelDecl:
    arguments = [ast.Argument(value=value, span=HERE) for value in positional]
    arguments += [ast.Argument(keyword=k, value=v, span=HERE) for k, v in options.items()]
    source = ast.Call(name=name, arguments=tuple(arguments), span=HERE, name_span=HERE)
    return ast.ModelDecl(name=ast.Name(name="gpt2", span=HERE), source=source, span=HERE)


def text(value: str) -> ast.String:
    return ast.String(value=value, span=HERE)


def word(value: str) -> ast.Name:
    return ast.Name(name=value, span=HERE)


def test_source_of_a_declaration(tmp_path: Path) -> None:
    hub = source_from(
        call("hf", text("a/b"), revision=text("607a"), dtype=word("float64")), tmp_path
    )
    assert hub == ModelSource(kind="hf", location="a/b", revision="607a", dtype="float64")
    assert hub.written == 'hf("a/b", revision: "607a")'
    assert (hub.name, hub.span) == ("gpt2", HERE)
    assert source_from(call("hf", id=text("a/b")), tmp_path).location == "a/b"  # as lint allows
    relative = source_from(call("folder", text("m")), tmp_path)
    assert relative.location == str(tmp_path / "m")
    assert source_from(call("folder", path=text("m")), tmp_path) == relative


EMPTY = (
    call("hf", text("")),
    call("folder", text("")),
    call("hf", text("a"), revision=text("")),
)


@pytest.mark.parametrize("decl", EMPTY)
def test_texts_that_are_empty(decl: ast.ModelDecl, tmp_path: Path) -> None:
    with pytest.raises(LanguageError) as caught:
        source_from(decl, tmp_path)
    assert [d.code for d in caught.value.diagnostics] == ["PD616"]
    assert caught.value.diagnostics[0].span == HERE


def test_overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, folder = parse_override("gpt2=folder:some/where")
    assert (name, folder.location) == ("gpt2", str(tmp_path / "some" / "where"))
    assert parse_override("m=hf:a/b@607a,dtype=float64")[1] == ModelSource(
        kind="hf", location="a/b", revision="607a", dtype="float64"
    )
    decl = call("hf", text("a/b"), dtype=word("bfloat16"))
    chosen = source_from(decl, tmp_path, {name: folder})
    assert (chosen.kind, chosen.dtype, chosen.span) == ("folder", "bfloat16", HERE)
    assert source_from(decl, tmp_path, {"other": folder}).kind == "hf"


@pytest.mark.parametrize("bad", ["gpt2", "gpt2=x", "gpt2=url:x", "=folder:x", "gpt2=folder:"])
def test_wrong_overrides(bad: str) -> None:
    with pytest.raises(LanguageError) as caught:
        parse_override(bad)
    assert caught.value.diagnostics[0].code == "PD614"


def test_wrong_dtype_in_an_override() -> None:
    with pytest.raises(LanguageError) as caught:
        parse_override("m=hf:a,dtype=int4")
    assert caught.value.diagnostics[0].code == "PD610"


def test_shape_without_torch(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    shape = shape_of(at(folder))
    assert shape is not None
    assert (shape.n_layers, shape.d_vocab) == (1, 5)
    script = (
        "import sys; from pathdsl.engine.load.source import *; "
        f"s = shape_of(ModelSource(kind='folder', location={str(folder)!r})); "
        "h = config_of(ModelSource(kind='hf', location='owner/never-downloaded')); "
        "assert s.n_heads == 2 and h is None; "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", script], cwd=root, check=True)


def test_hub_names_that_are_none() -> None:
    with pytest.raises(LanguageError) as caught:
        config_of(ModelSource(kind="hf", location="a/b/c"))
    assert caught.value.diagnostics[0].code == "PD616"


# ------------------------------------------------------------------------------- the pages


@pytest.mark.parametrize(
    ("code", "example", "wanted"),
    [
        pytest.param(page.code, example, wanted, id=f"{page.code}-{wanted}")
        for page in MODEL_PAGES
        for example, wanted in ((page.failing, True), (page.passing, False))
        if example is not None
    ],
)
def test_examples_of_the_pages(code: str, example: Example, wanted: bool, tmp_path: Path) -> None:
    path = tmp_path / "example.circuit"
    path.write_text(example.text)
    for name, content in example.files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    program, faults = load_program(str(path))
    assert program.model is not None
    assert not faults
    found = ""
    try:
        assert shape_of(source_from(program.model, tmp_path)) is not None
    except LanguageError as error:
        found = error.diagnostics[0].code
    assert found == (code if wanted else "")
