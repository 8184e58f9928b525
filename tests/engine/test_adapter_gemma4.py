"""Gemma 4 of text: against the plain forward, the tree, hooks, and null; and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.adapters.gemma4 import ScaledNorm
from pathdsl.engine.data.task import DataCall, TaskSpec
from pathdsl.engine.load.source import ModelSource, vet_config
from pathdsl.engine.load.weights import load
from pathdsl.engine.planner import Planner
from pathdsl.engine.self_check import prove, prove_null_pair
from pathdsl.errors import EngineError, LanguageError
from pathdsl.graph.check import check_graph
from pathdsl.graph.paths.pathset import FULL
from tests.engine import attribution_cases, attribution_oracle
from tests.engine import test_attribution_exact as exact
from tests.engine.engine_cases import PAIRED, TASK
from tests.engine.family_cases import SMALL, Exact, some_ids
from tests.engine.tree_cases import REFERENCE, Opened, from_tree, open_case
from tests.graph.helpers import program
from tests.oracle.gemma4 import Gemma4
from tests.oracle.strategies import seeded_case

KINDS = ("sliding_attention", "full_attention", "full_attention")
PLAIN = {
    "head_dim": 4, "global_head_dim": 6, "hidden_size_per_layer_input": 0, "sliding_window": 3,
    "layer_types": list(KINDS),
}  # fmt: skip
ODD: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "few_keys": {"attention_k_eq_v": True, "num_global_key_value_heads": 1},
    "own_values": {"num_global_key_value_heads": 1},  # which is then not read
    "capped": {"final_logit_softcapping": 3.0, "attention_bias": True},
    "narrow_full": {"head_dim": 6, "global_head_dim": 4},
}
SCALARS = (0.5, 1.7, 0.3)


def make(
    seed: int = 0, attention: str = "eager", scalars: tuple[float, ...] = SCALARS,
    std: float = 0.3, **changes: object,
) -> Any:  # fmt: skip
    """A random model whose layers multiply the stream by `scalars`."""
    config = AutoConfig.for_model("gemma4_text", **{**SMALL, **PLAIN, **changes})
    torch.manual_seed(seed)
    model: Any = AutoModelForCausalLM.from_config(
        config, attn_implementation=attention, experts_implementation="eager"
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(std * torch.randn(parameter.shape))
        for block, scalar in zip(model.model.layers, scalars, strict=False):
            block.layer_scalar.fill_(scalar)
    return model


def worst(model: Any, lengths: torch.Tensor, fused: bool = False) -> float:
    """The largest difference of decomposed and plain logits at real tokens."""
    adapter, ids = adapter_for(model, fused=fused), some_ids()
    with torch.no_grad():
        ours, theirs = adapter.decomposed_forward(ids, lengths), adapter.plain_forward(ids, lengths)
    real = torch.arange(ids.shape[1]) < lengths[:, None]
    return float((ours - theirs)[real].abs().max())


@pytest.mark.parametrize("scalars", [SCALARS, (1.0, 1.0, 1.0)])
@pytest.mark.parametrize("name", ODD)
def test_decomposed_forward_is_the_plain_one(name: str, scalars: tuple[float, ...]) -> None:
    model = make(scalars=scalars, **ODD[name])
    for lengths in (torch.tensor([9, 9, 9]), torch.tensor([9, 4, 1])):
        assert worst(model.float(), lengths) < 1e-4
        assert worst(model.double(), lengths) < 1e-4
        with Exact():
            assert worst(model, lengths) < 1e-10


def test_fused_and_half_precision() -> None:
    lengths = torch.tensor([9, 4, 1])
    assert worst(make(attention="sdpa"), lengths, fused=True) < 1e-4
    for dtype in (torch.bfloat16, torch.float16):
        assert worst(make().to(dtype), lengths) < 0.3


@pytest.mark.parametrize("name", ["plain", "few_keys"])
def test_selected_heads_and_writes_are_parts_of_the_whole(name: str) -> None:
    adapter = adapter_for(make(**ODD[name]).double())
    x = torch.randn(2, 5, 16).double()
    for layer in range(3):
        for slot in ("q", "k", "v"):
            whole = adapter.project(layer, slot, x)
            assert whole.shape == (2, 5, 4, 6)
            for heads in ([1], [3, 0], [2, 3]):
                some = adapter.project(layer, slot, x, heads)
                assert torch.allclose(some, whole[..., heads, :])
        z = torch.randn(2, 5, 4, 6).double()
        each = adapter.write_each(layer, z)
        assert torch.allclose(adapter.write(layer, z), each.sum(-2))
        assert torch.allclose(adapter.write(layer, z[..., [2], :], [2]), each[..., 2, :])
        weight = adapter.output_weight(layer)
        assert torch.allclose(torch.einsum("bphd,hdm->bphm", z, weight), each)


def test_a_scaled_norm_is_the_norm_of_what_it_stands_for() -> None:
    norm = make().double().model.norm
    norm.weight.data = torch.randn(16).double()
    x = torch.randn(3, 16).double()
    with Exact(), torch.no_grad():
        before, after = ScaledNorm(norm, arrives=0.2), ScaledNorm(norm, gain=0.2)
        assert torch.allclose(before(0.2 * x), norm(x), atol=1e-12)
        assert torch.allclose(after(x), 0.2 * norm(x), atol=1e-12)


# ------------------------------------------------------------------------------- tree, hooks, null


def opened(seeds: tuple[int, ...], **options: object) -> Iterator[Opened]:
    """The cases of some seeds, each on a model of it."""
    for seed in seeds:
        case = seeded_case(seed)
        layers = case.config["n_layer"]
        sizes = {"num_hidden_layers": layers, "num_attention_heads": case.config["n_head"],
                 "num_key_value_heads": 1, "sliding_window": 2,
                 "layer_types": list(KINDS[:layers])}  # fmt: skip
        try:
            yield open_case(case, model=make(case.seed, **{**sizes, **options}).double())
        except LanguageError:
            continue


@pytest.mark.parametrize("options", [{}, {"attention_k_eq_v": True}])
def test_engine_is_the_literal_tree(options: dict[str, object]) -> None:
    moved, compared = 0, 0
    with Exact(), torch.no_grad():
        for one in opened((203, 206, 209), **options):
            parts = Gemma4.of(one.adapter.model)  # type: ignore[attr-defined]
            for frozen in (False, True):
                one = replace(one, frozen=frozen)
                found = one.logits(list(dict.fromkeys([one.run(one.treated), REFERENCE])))
                same(found[0], from_tree(one, parts), one.case.text)
                same(found[-1], one.plain("reference"), one.case.text)
                moved += bool(np.abs(found[0] - found[-1]).max() > 1e-3)
                compared += 1
    assert compared >= 4 and moved >= 2


def same(found: np.ndarray, wanted: np.ndarray, text: str) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9, err_msg=text)


def test_null_pair() -> None:
    """Treated = reference changes nothing, in float64 as the model rounds."""
    one = next(opened((203,)))
    plan = one.plan([one.run(one.treated), one.run(FULL), REFERENCE])
    with torch.no_grad():
        proof = prove_null_pair(plan, one.task, one.adapter, 1e-6)
    assert proof.holds, proof


@pytest.mark.parametrize("layer", [0, 1])
def test_a_patched_head_is_a_hook_on_the_output_projection(layer: int) -> None:
    """Heads of layers of both widths."""
    case = replace(
        seeded_case(203), text=f"path P = a{layer}.h1\n", path="P", scope=None, run="treat"
    )
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
             "layer_types": list(KINDS[:2])}  # fmt: skip
    model = make(**sizes).double()
    one = open_case(replace(case, treated="paired"), model=model)
    attention, kept = model.model.layers[layer].self_attn, []
    part = slice(attention.head_dim, 2 * attention.head_dim)
    with Exact(), torch.no_grad():
        found = one.logits([one.run(one.treated)])[0]
        for row, wanted in zip(case.rows, found, strict=True):
            kept.clear()
            hook = attention.o_proj.register_forward_pre_hook(lambda _m, a: kept.append(a[0]))
            model(torch.tensor([row.treated]))
            hook.remove()

            def put(_m: object, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
                changed = args[0].clone()
                changed[..., part] = kept[0][..., part]
                return (changed,)

            hook = attention.o_proj.register_forward_pre_hook(put)
            logits = model(torch.tensor([row.reference])).logits[0, -1]
            hook.remove()
            np.testing.assert_allclose(wanted, logits.numpy(), rtol=0, atol=1e-10)


def test_self_check() -> None:
    spec = TaskSpec(name="t", data=DataCall(name="jsonl"), reference="prompt", treated=PAIRED)
    for dtype, scalars in (
        (torch.float32, SCALARS),
        (torch.float64, SCALARS),
        (torch.bfloat16, (0.5, 2.0, 0.25)),  # by other numbers bfloat16 rounds otherwise
    ):
        adapter = adapter_for(make(scalars=scalars, **ODD["few_keys"]).to(dtype))
        found = prove(Planner(adapter.shape, {"t": TASK}, {"t": spec}), adapter, TASK)
        assert [proof.code for proof in found] == ["PD630", "PD631", "PD632", "PD633"]
        assert all(proof.holds for proof in found), found


# ------------------------------------------------------------------------------- refusals

CONFIG = {**SMALL, **PLAIN, "model_type": "gemma4_text"}
SOURCE = ModelSource(kind="folder", location="x")


def test_layers_with_fewer_keys() -> None:
    shape = vet_config(SOURCE, {**CONFIG, **ODD["few_keys"]})
    assert (shape.groups, shape.d_head, shape.windows) == ((2, 1, 1), 6, (3, None, None))
    assert [*shape.heads_of_group(1, 0)] == [2, 3] and [*shape.heads_of_group(0, 2)] == [0, 1, 2, 3]


def test_the_config_on_disk_says_what_the_model_says(tmp_path: Path) -> None:
    """Also `per_layer_config`, in which `transformers` saves what full layers have of their own."""
    for name, options in ODD.items():
        make(**options).save_pretrained(tmp_path / name)
        loaded = load(ModelSource(kind="folder", location=str(tmp_path / name)))
        config = json.loads((tmp_path / name / "config.json").read_text())
        assert "per_layer_config" in config
        assert vet_config(SOURCE, config) == vet_config(SOURCE, {**CONFIG, **options})
        assert loaded.adapter.shape == vet_config(SOURCE, config)
        assert worst(loaded.model, torch.tensor([9, 9, 9])) < 1e-4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"use_bidirectional_attention": "all"}, "later positions"),
        ({"layer_types": ["chunked_attention"] * 3}, "chunked_attention"),
        ({"per_layer_config": {"1": {"skip": ["mlp"]}}}, "`skip`"),
        ({"per_layer_config": {"full_attention": {"head_dim": 8}}}, "`full_attention`"),
    ],
)
def test_what_is_not_computed(changes: dict[str, object], said: str) -> None:
    with pytest.raises(LanguageError) as caught:
        vet_config(SOURCE, {**CONFIG, **changes})
    assert caught.value.diagnostics[0].code == "PD612"
    assert said in caught.value.diagnostics[0].message


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_layer_that_cuts_the_stream_off(value: float) -> None:
    with pytest.raises(EngineError, match="layer_scalar") as caught:
        adapter_for(make(scalars=(1.0, value, 1.0)))
    assert caught.value.diagnostics[0].code == "PD612"


def test_changed_modules() -> None:
    added, replaced, missing = (make() for _ in range(3))
    added.model.layers[0].mlp.probe = torch.nn.Linear(2, 2)
    replaced.model.layers[1].self_attn.q_proj = torch.nn.Identity()
    del missing.model.layers[2].input_layernorm
    for model in (added, replaced, missing):
        with pytest.raises(EngineError) as caught:
            adapter_for(model)
        assert caught.value.diagnostics[0].code == "PD612"


@pytest.mark.parametrize("action", ["set m1 = m0", "set r2@END = r1"])
def test_values_of_other_layers_are_of_another_scale(action: str) -> None:
    shape = vet_config(SOURCE, CONFIG)
    faults = check_graph(program(f"intervene b {{ {action} }}\n"), shape)
    assert [fault.code for fault in faults] == ["PD230"]
    assert "layer_scalar" in faults[0].message
    assert not check_graph(program("intervene b { scale m1 = 0.5 }\n"), shape)


# ------------------------------------------------------------------------------- attribution


def gentle() -> Any:
    """One whose unscaled scores do not saturate, so that differences are near derivatives."""
    return make(std=0.1, num_hidden_layers=2, layer_types=list(KINDS[:2]))


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(("method", "of"), [("eap", "edges"), ("atp", "nodes")])
def test_attributions_are_derivatives_of_their_patches(
    method: str, of: str, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a stream that is multiplied, with norms that stand for others."""
    monkeypatch.setitem(attribution_cases.MODELS, "gemma4", gentle)  # type: ignore[arg-type]
    monkeypatch.setattr(attribution_oracle, "STEP", 5e-4)  # its norms bend more than others
    exact.compare("gemma4", method, of, PAIRED, frozen)


def test_an_input_of_a_head_is_the_derivative_of_its_vector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(attribution_cases.MODELS, "gemma4", gentle)  # type: ignore[arg-type]
    for slot in ("q", "k", "v"):
        exact.test_an_input_of_a_head_is_the_derivative_of_its_vector("gemma4", slot)
