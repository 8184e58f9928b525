"""The families of the table that came later: against the plain forward, the tree, hooks, and null.

The checks are those of the first ones, on fewer drawn cases: what one adapter does alike is known
from them, and what an entry of the table says of a family shows on any.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.load.source import ModelSource, vet_config
from pathdsl.engine.self_check import prove_null_pair
from pathdsl.errors import LanguageError
from pathdsl.graph.model.builds import BUILDS
from pathdsl.graph.model.families import SHAPES
from pathdsl.graph.paths.pathset import FULL
from tests.engine import test_adapter_llama as llama
from tests.engine import test_families_tree as tree
from tests.engine.family_cases import EVERY, LATER, SMALL, Exact, make, some_ids
from tests.engine.tree_cases import REFERENCE, Opened, from_tree, open_case
from tests.oracle.strategies import seeded_case

SEEDS = (200, 203, 206, 208, 209, 210, 211, 217, 300, 305, 307, 308)
NEURONS = (400, 402, 410, 411, 441, 404, 405)
PLAIN = [name for name in LATER if "_rope_" not in name]
LONG = pytest.param(12, marks=pytest.mark.long)


def opened(name: str, seeds: Sequence[int] = SEEDS, neurons: bool = False) -> Iterator[Opened]:
    """The cases of some seeds that the graph of the variant accepts, each on a model of it."""
    for seed in seeds:
        case = seeded_case(seed, (1, 6)) if neurons else seeded_case(seed)
        layers, heads = case.config["n_layer"], case.config["n_head"]
        sizes = {"num_hidden_layers": layers, "num_attention_heads": heads}
        sizes["num_key_value_heads"] = 1
        options = LATER[name][1]
        if "layer_types" in options:
            sizes["layer_types"] = options["layer_types"][:layers]
        if options.get("sliding_window"):
            sizes["sliding_window"] = 2
        model = make(name, seed=case.seed, **sizes).double()
        try:
            yield open_case(case, model=model)
        except LanguageError:  # half of them in parallel blocks
            continue


def same(one: Opened) -> bool:
    """Assert that the engine is the tree, with norms of their own and frozen; whether it moves."""
    moved = False
    for frozen in (False, True):
        one = replace(one, frozen=frozen)
        found = one.logits(list(dict.fromkeys([one.run(one.treated), REFERENCE])))
        text = one.case.text
        np.testing.assert_allclose(found[0], from_tree(one), rtol=0, atol=tree.EXACT, err_msg=text)
        plain = one.plain("reference")
        np.testing.assert_allclose(found[-1], plain, rtol=0, atol=tree.EXACT, err_msg=text)
        moved |= bool(np.abs(found[0] - found[-1]).max() > 1e-3)
    return moved


@pytest.mark.parametrize("name", LATER)
def test_forward_padding_heads_and_hooks(name: str) -> None:
    llama.test_decomposed_forward_is_the_plain_one(name)
    llama.test_padding_does_not_reach_real_positions(name)
    llama.test_selected_heads_are_those_of_the_whole_layer(name)
    llama.test_a_patched_head_is_a_hook_on_the_output_projection(name)


@pytest.mark.parametrize("name", LATER)
def test_the_config_on_disk_says_what_the_model_says(name: str, tmp_path: Path) -> None:
    llama.test_the_config_on_disk_says_what_the_model_says(name, tmp_path)


@pytest.mark.parametrize("kind", BUILDS)
def test_what_an_absent_field_means(kind: str) -> None:
    """A config that says the sizes alone means what it means to `transformers`."""
    least = {key: value for key, value in SMALL.items() if not key.endswith(("id", "value_heads"))}
    least |= {"num_attention_heads": 32, "hidden_size": 256}  # as many as absent groups are of
    config = AutoConfig.for_model(kind, **least).to_dict()
    assert SHAPES[kind]({"model_type": kind, **least}) == SHAPES[kind](config)


@pytest.mark.parametrize(
    ("kind", "changes", "text"),
    [
        ("phi", {"partial_rotary_factor": 0.75}, "turns 3 entries of heads of width 4"),
        ("stablelm", {"head_dim": 6}, "heads of this family are 4 wide"),
        ("cohere2", {"head_dim": 6}, "`head_dim: 6` is not read"),
        ("olmo3", {"layer_types": ["chunked_attention"] * 3}, "layers of type `chunked_attention`"),
        ("ministral3", {"rope_parameters": {"rope_type": "default", "rope_theta": 9.0}},
         "no number `llama_4_scaling_beta`"),
        ("granite", {"num_key_value_heads": 3}, "do not share out"),
        ("cohere", {"logit_scale": None}, "no number `logit_scale`"),
    ],
)  # fmt: skip
def test_configs_that_cannot_be(kind: str, changes: dict[str, object], text: str) -> None:
    with pytest.raises(LanguageError) as caught:
        vet_config(
            ModelSource(kind="folder", location="nowhere"),
            {"model_type": kind, **SMALL, **changes},
        )
    assert text in caught.value.diagnostics[0].message


@pytest.mark.parametrize("name", ["starcoder2", "phi", "stablelm", "cohere", "glm4"])
def test_changed_modules(name: str) -> None:
    added, replaced, missing, foreign = (make(name) for _ in range(4))
    added.model.layers[0].mlp.probe = torch.nn.Linear(2, 2)
    replaced.model.layers[1].self_attn.q_proj = torch.nn.Identity()
    del missing.model.layers[2].input_layernorm
    foreign.model.layers[1].self_attn.q_bias = torch.nn.Parameter(torch.zeros(2))
    found = [llama.code_of(model) for model in (added, replaced, missing, foreign)]
    assert found == ["PD612"] * 4


def test_scales_are_those_of_the_config() -> None:
    """Multipliers far from 1 change the logits, and queries grow with their position."""
    for name, field in (
        ("granite", "embedding_multiplier"), ("granite", "residual_multiplier"),
        ("granite", "attention_multiplier"), ("granite", "logits_scaling"),
        ("cohere", "logit_scale"),
    ):  # fmt: skip
        one, two = (adapter_for(make(name, **{field: value})) for value in (1.0, 1.7))
        with torch.no_grad():
            found, other = (a.decomposed_forward(some_ids()) for a in (one, two))
        assert (found - other).abs().max() > 1e-3, field
    adapter = adapter_for(make("ministral3"))
    x = torch.randn(1, 4, 4, 6)
    grown, still = (adapter.placed(0, slot, x, torch.arange(4)[None]) for slot in ("q", "k"))
    size = grown.norm(dim=-1) / still.norm(dim=-1)
    assert torch.allclose(size[0, :2], torch.ones(())) and (size[0, 2:] > 1.2).all()


def test_parts_of_logits_are_scaled_as_logits() -> None:
    """Shares of a stream in the logits add up to them."""
    for name in ("granite", "cohere"):
        adapter = adapter_for(make(name).double())
        x, ids = torch.randn(1, 1, 16).double(), torch.tensor([[3, 7]])
        whole = adapter.unembed_columns(x, ids)[0, 0]
        assert torch.allclose(adapter.unembed_part(x[0], ids)[0], whole)


@pytest.mark.parametrize("count", [2, LONG])
@pytest.mark.parametrize("name", PLAIN)
def test_engine_is_the_literal_tree(name: str, count: int) -> None:
    with Exact(), torch.no_grad():
        moved = [same(one) for one in islice(opened(name), count)]
    assert len(moved) >= 2 and sum(moved) >= 1


@pytest.mark.parametrize("name", [n for n in PLAIN if not BUILDS[LATER[n][0]].after_mlp])
def test_neurons_are_those_of_the_tree(name: str) -> None:
    with Exact(), torch.no_grad():
        moved = [same(one) for one in islice(opened(name, NEURONS, neurons=True), 1)]
    assert len(moved) == 1


@pytest.mark.parametrize("name", PLAIN)
def test_the_tree_is_of_the_unmodified_model(name: str) -> None:
    tree.test_the_oracle_is_the_unmodified_model(name)


@pytest.mark.parametrize("name", LATER)
def test_null_pair(name: str) -> None:
    """Treated = reference changes nothing, in float64 as the model rounds."""
    one = next(opened(name))
    plan = one.plan([one.run(one.treated), one.run(FULL), REFERENCE])
    with torch.no_grad():
        proof = prove_null_pair(plan, one.task, adapter_for(one.adapter.model), 1e-6)
    assert proof.holds, proof


def test_every_family_of_the_table_has_a_case() -> None:
    assert {kind for kind, _ in EVERY.values()} >= set(BUILDS)
    for name, build in BUILDS.items():  # what `ModelShape.norm_after_attention` takes for granted
        assert bool(build.after_attention) == bool(build.after_mlp), name


def test_configs_as_older_versions_wrote_them(tmp_path: Path) -> None:
    """EXAONE 4 without `layer_types`, Seed-OSS whose `head_dim` is null."""
    for name, absent, changes in (
        ("exaone4", "layer_types", {"sliding_window_pattern": 2}),
        ("exaone4", "layer_types", {"sliding_window_pattern": 4}),
        ("seed_oss", "", {"head_dim": None}),
    ):
        config = make(name).config.to_dict() | changes
        config.pop(absent, None)
        (tmp_path / "config.json").write_text(json.dumps(config, default=str))
        shape = vet_config(ModelSource(kind="folder", location="x"), config)
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path))
        assert shape == adapter_for(model.eval()).shape, name


def test_what_embeds_a_text_has_no_logits_to_measure() -> None:
    config = {**make("gemma3").config.to_dict(), "use_bidirectional_attention": True}
    with pytest.raises(LanguageError) as caught:
        vet_config(ModelSource(kind="folder", location="x"), config)
    (found,) = caught.value.diagnostics
    assert found.code == "PD612" and "EmbeddingGemma" in found.notes[0] and "BERT" in found.help


def test_a_published_exaone_4_says_its_layers_by_letters() -> None:
    """`sliding_window_pattern: "LLLG"` beside `layer_types`, which is what `transformers` reads."""
    config = {**SMALL, **LATER["exaone4"][1], "model_type": "exaone4"}
    source = ModelSource(kind="folder", location="x")
    shape = vet_config(source, {**config, "sliding_window_pattern": "LLLG"})
    assert shape.windows == (3, None, 3)
    config.pop("layer_types")
    with pytest.raises(LanguageError, match="sliding_window_pattern"):
        vet_config(source, {**config, "sliding_window_pattern": "LLLG"})
