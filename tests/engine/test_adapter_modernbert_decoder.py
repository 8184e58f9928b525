"""The decoder of ModernBERT against the unmodified model, the tree, hooks and null."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.data.task import DataCall, TaskSpec
from pathdsl.engine.load.source import ModelSource, vet_config
from pathdsl.engine.load.weights import load
from pathdsl.engine.planner import Planner
from pathdsl.engine.self_check import prove, prove_null_pair
from pathdsl.errors import EngineError, LanguageError
from pathdsl.graph.check import check_graph
from pathdsl.graph.paths.pathset import FULL
from tests.engine import encoder_cases as encoders
from tests.engine.engine_cases import PAIRED, TASK
from tests.engine.family_cases import Exact
from tests.engine.tree_cases import REFERENCE, open_case
from tests.graph.helpers import program
from tests.oracle.strategies import seeded_case

KINDS = ["sliding_attention", "full_attention", "sliding_attention"]
ODD: Mapping[str, Mapping[str, Any]] = {
    "windows": {"local_attention": 5, "layer_types": KINDS},
    "biases": {
        "local_attention": 4, "attention_bias": True, "mlp_bias": True, "norm_bias": True,
        "classifier_bias": True, "decoder_bias": False, "global_attn_every_n_layers": 2,
    },
    "own_token": {"local_attention": 2, "layer_types": KINDS[::-1]},
    "gelu_new": {"hidden_activation": "gelu_new", "tie_word_embeddings": False},
}  # fmt: skip


def make(name: str, attention: str = "eager", seed: int = 0, **options: object) -> Any:
    """A random model in float32 whose weights, biases and norms are far from their first values."""
    given: dict[str, Any] = {**encoders.SMALL, **ODD[name], **options}
    if "layer_types" in given:
        given["layer_types"] = given["layer_types"][: given["num_hidden_layers"]]
    config = AutoConfig.for_model("modernbert-decoder", **given)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn(parameter.shape))
    return model


@pytest.mark.parametrize("name", ODD)
def test_decomposed_forward_is_the_plain_one(name: str) -> None:
    for attention in ("eager", "sdpa"):
        model = make(name, attention)
        for lengths in (None, torch.tensor([9, 4, 1])):
            assert encoders.worst(model.float(), lengths) < 1e-4
            with Exact():
                assert encoders.worst(model.double(), lengths) < 1e-10


@pytest.mark.parametrize("name", ["windows", "biases", "own_token"])
def test_engine_is_the_literal_tree(name: str) -> None:
    moved, compared = 0, 0
    with Exact(), torch.no_grad():
        for seed in (203, 206, 209):
            case = seeded_case(seed)
            layers, heads = case.config["n_layer"], case.config["n_head"]
            sizes = {"num_hidden_layers": layers, "num_attention_heads": heads}
            try:
                one = open_case(case, model=make(name, seed=seed, **sizes).double())
            except LanguageError:
                continue
            for frozen in (False, True):
                one = replace(one, frozen=frozen)
                found = one.logits(list(dict.fromkeys([one.run(one.treated), REFERENCE])))
                same(found[0], encoders.from_tree(one), case.text)
                same(found[-1], one.plain("reference"), case.text)
                moved += bool(np.abs(found[0] - found[-1]).max() > 1e-3)
                compared += 1
    assert compared >= 4 and moved >= 1


def same(found: np.ndarray, wanted: np.ndarray, text: str) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9, err_msg=text)


def test_null_pair_and_self_check() -> None:
    case = seeded_case(203)
    sizes = {"num_hidden_layers": case.config["n_layer"],
             "num_attention_heads": case.config["n_head"]}  # fmt: skip
    one = open_case(case, model=make("windows", **sizes).double())
    plan = one.plan([one.run(one.treated), one.run(FULL), REFERENCE])
    with torch.no_grad():
        assert prove_null_pair(plan, one.task, one.adapter, 1e-6).holds
    spec = TaskSpec(name="t", data=DataCall(name="jsonl"), reference="prompt", treated=PAIRED)
    for dtype in (torch.float32, torch.float64):
        adapter = adapter_for(make("biases").to(dtype))
        found = prove(Planner(adapter.shape, {"t": TASK}, {"t": spec}), adapter, TASK)
        assert all(proof.holds for proof in found), found


@pytest.mark.parametrize("layer", [0, 2])
def test_a_patched_head_is_a_hook_on_the_output_projection(layer: int) -> None:
    case = replace(
        seeded_case(203), text=f"path P = a{layer}.h1\n", path="P", scope=None, run="treat",
        treated="paired",
    )  # fmt: skip
    model = make("windows").double()
    one = open_case(case, model=model)
    writer, kept = model.model.layers[layer].attn.Wo, []
    with Exact(), torch.no_grad():
        found = one.logits([one.run(one.treated)])[0]
        for row, ours in zip(case.rows, found, strict=True):
            kept.clear()
            hook = writer.register_forward_pre_hook(lambda _m, a: kept.append(a[0]))
            model(torch.tensor([row.treated]))
            hook.remove()

            def put(_m: object, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
                changed = args[0].clone()
                changed[..., 4:8] = kept[0][..., 4:8]
                return (changed,)

            hook = writer.register_forward_pre_hook(put)
            logits = model(torch.tensor([row.reference])).logits[0, -1]
            hook.remove()
            np.testing.assert_allclose(ours, logits.numpy(), rtol=0, atol=1e-10)


# ------------------------------------------------------------------------------- the config

CONFIG = {"model_type": "modernbert-decoder", **encoders.SMALL}
SOURCE = ModelSource(kind="folder", location="x")


def test_the_config_on_disk_says_what_the_model_says(tmp_path: Any) -> None:
    for name in ODD:
        make(name).save_pretrained(tmp_path / name)
        loaded = load(ModelSource(kind="folder", location=str(tmp_path / name)))
        assert loaded.adapter.shape == vet_config(SOURCE, {**CONFIG, **ODD[name]})
        assert encoders.worst(loaded.model) < 1e-4


def test_shape_and_what_has_no_meaning() -> None:
    shape = vet_config(SOURCE, {**CONFIG, "local_attention": 6, "layer_types": KINDS})
    assert (shape.causal, shape.prediction_head, shape.windows) == (True, True, (3, None, 3))
    (fault,) = check_graph(program("path p = a1.h0 -[k: offset(+1)]-> a2.h1\n"), shape)
    assert fault.code == "PD203"
    with pytest.raises(LanguageError, match="chunked"):
        vet_config(SOURCE, {**CONFIG, "layer_types": ["chunked_attention"] * 3})
    with pytest.raises(LanguageError, match="local_attention"):
        vet_config(SOURCE, {**CONFIG, "local_attention": 0})


@pytest.mark.parametrize("changes", [{"local_attention": 2}, {"sliding_window": 2}])
def test_the_saved_window_wins(changes: dict[str, int], tmp_path: Any) -> None:
    """`save_pretrained` writes `sliding_window` beside `local_attention`; it is what counts."""
    make(next(iter(ODD))).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    loaded = load(ModelSource(kind="folder", location=str(tmp_path)))
    assert encoders.worst(loaded.model) < 1e-4


def test_changed_modules() -> None:
    added, replaced, missing = (make("windows") for _ in range(3))
    added.model.layers[0].mlp.probe = torch.nn.Linear(2, 2)
    replaced.model.layers[1].attn.q_proj = torch.nn.Identity()
    del missing.lm_head.norm
    for model in (added, replaced, missing):
        with pytest.raises(EngineError) as caught:
            adapter_for(model)
        assert caught.value.diagnostics[0].code == "PD612"
