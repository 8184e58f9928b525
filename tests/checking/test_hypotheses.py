"""Every file that ships: on its page, on the graph of its model, and planned without weights."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.planned import plan_file
from pathdsl.checking.prepare import prepare
from pathdsl.checking.presence import check_presence
from pathdsl.engine.load.source import ModelSource, shape_of, source_of, vet_config
from pathdsl.errors import errors_in
from pathdsl.graph.check import check_graph
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import Program, load_program

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("PATHDSL_SHARED", ROOT.parent / "shared"))
TOKENIZER = SHARED / "models" / "gpt2-tokenizer"
FILES = sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("hypotheses/**/*.circuit"))

CONFIGS: dict[str, dict[str, int]] = {
    "openai-community/gpt2": {"n_layer": 12, "n_head": 12, "n_embd": 768},
    "openai-community/gpt2-xl": {"n_layer": 48, "n_head": 25, "n_embd": 1600},
    "openai-community/gpt2-medium": {"n_layer": 24, "n_head": 16, "n_embd": 1024},
}
"""What decides plans, of the configs of models of the hub; these have the tokenizer of GPT-2."""

OF_HUNDREDS = (
    "hypotheses/gpt2/causal_tracing.circuit",
    "hypotheses/gpt2/ioi_discovery.circuit",
    "hypotheses/gpt2_medium/colored_objects.circuit",
    "hypotheses/gpt2_medium/ioi.circuit",
    "hypotheses/gpt2_xl/factual_recall.circuit",
)
"""Files of some 700 runs, for each of which paths are planned and looked for on prompts."""

WARNED = {
    "hypotheses/recipes/places.circuit": {"PD506"},
    "hypotheses/gpt2/causal_tracing.circuit": {"PD506"},
    "hypotheses/gpt2_xl/factual_recall.circuit": {"PD506"},
}
"""Files that are about what a warning tells of."""

PLANNED = [pytest.param(path, marks=[pytest.mark.long] * (path in OF_HUNDREDS)) for path in FILES]


def config_of(source: ModelSource) -> dict[str, object]:
    location = source.location
    if source.kind == "folder":  # of another tokenizer, perhaps, in the place of which is GPT-2's
        config = json.loads((Path(location) / "config.json").read_text())
        return {**config, "d_vocab": max(config["d_vocab"], 50257)}
    assert location in CONFIGS, f"add what the config of {location} says"
    return {
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 50257,
        "n_positions": 1024, "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new",
        **CONFIGS[location],
    }  # fmt: skip


def without_weights(program: Program) -> dict[str, ModelSource]:
    """The models of a program that ship as a config or a hub id alone, by their names in it."""
    found = {name: source_of(program, model=decl) for name, decl in program.models.items()}
    return {name: source for name, source in found.items() if source.kind != "bundled"}


NOT_SHIPPED = [path for path in FILES if path.startswith(("hypotheses/gpt2", "hypotheses/attn"))]


def with_weights(folder: Path, width: int = 2) -> None:
    """Random weights of as many layers and heads as the config beside says, heads `width` wide."""
    torch = pytest.importorskip("torch")
    from transformers import GPT2Config, GPT2LMHeadModel

    from pathdsl.engine.toy.model import ToyConfig, ToyModel

    torch.manual_seed(0)
    if json.loads((folder / "config.json").read_text())["model_type"] == "pathdsl_toy":
        toy = ToyConfig.from_pretrained(folder)
        toy.d_model, toy.d_head = width * toy.n_heads, width
        ToyModel(toy).save_pretrained(folder)
        return
    config = GPT2Config.from_pretrained(folder)
    config.n_embd = width * config.n_head
    GPT2LMHeadModel(config).save_pretrained(folder)


@pytest.mark.long
@pytest.mark.parametrize("path", NOT_SHIPPED)
def test_on_random_weights_it_runs_to_its_verdicts(path: str, tmp_path: Path) -> None:
    program, _ = load_program(str(ROOT / path))
    asked = options(program, tmp_path)
    for source in asked.models.values():
        with_weights(Path(source.location))
    outcome = check_file(str(ROOT / path), asked)
    assert not errors_in(outcome.diagnostics), [d.message for d in errors_in(outcome.diagnostics)]
    assert outcome.judgement is not None
    assert len(outcome.judgement.claims) == outcome.declared_claims > 0


def options(program: Program, folder: Path) -> CheckOptions:
    """Models without weights as folders of config and tokenizer, and eight rows for them."""
    models = {}
    for name, source in without_weights(program).items():
        if not TOKENIZER.exists():
            pytest.skip("the GPT-2 tokenizer is not here")
        place = folder / name
        place.mkdir()
        (place / "config.json").write_text(json.dumps(config_of(source)))
        (place / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
        for part in ("vocab.json", "merges.txt"):
            shutil.copyfile(TOKENIZER / part, place / part)
        models[name] = ModelSource(kind="folder", location=str(place))
    return CheckOptions(overrides={"take": 8} if models else {}, models=models)


LARGEST = "hypotheses/gpt2_xl/factual_recall.circuit"
"""Its windows on the graph of 48 layers take half a minute."""


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=[pytest.mark.long] * (path == LARGEST)) for path in FILES]
)
def test_on_the_page_and_on_the_graph(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    program, faults = lint_file(str(ROOT / path), text)
    sources = without_weights(program).values()
    open_revisions = any(one.kind == "hf" and not one.revision for one in sources)
    allowed = WARNED.get(path, set()) | ({"PD510"} if open_revisions else set())
    assert {fault.code for fault in faults} <= allowed, [fault.message for fault in faults]
    assert format_text(text, path) == text
    for decl in program.models.values():
        source = source_of(program, model=decl)
        shape: ModelShape | None
        if source.kind == "hf":
            shape = vet_config(source, config_of(source))
        else:
            shape = shape_of(source)
        assert shape is not None
        assert not errors_in(check_graph(program, shape))


@pytest.mark.parametrize("path", PLANNED)
def test_what_it_names_is_there_on_prompts(path: str, tmp_path: Path) -> None:
    program, _ = load_program(str(ROOT / path))
    ready = prepare(program, options(program, tmp_path))
    assert not errors_in(check_presence(program, ready.resolver, ready.planner))


@pytest.mark.parametrize("path", PLANNED)
def test_it_can_be_planned(path: str, tmp_path: Path) -> None:
    program, _ = load_program(str(ROOT / path))
    outcome = plan_file(str(ROOT / path), options(program, tmp_path))
    assert outcome is not None and outcome.parts
