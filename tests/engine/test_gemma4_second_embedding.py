"""Gemma 4 with a second embedding that its MLPs are given: forward, tree, hooks, noise, null."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.adapters.base import layers
from pathdsl.engine.attribution.vet import vet
from pathdsl.engine.data.task import DataCall, TaskSpec
from pathdsl.engine.data.treated import noise_values
from pathdsl.engine.load.source import ModelSource, vet_config
from pathdsl.engine.load.weights import load
from pathdsl.engine.planner import Planner
from pathdsl.engine.self_check import prove, prove_null_pair
from pathdsl.errors import LanguageError, PlanError
from pathdsl.graph.paths.pathset import FULL, Pos
from pathdsl.plan.treated import TreatedSpec
from tests.engine.attribution_cases import asked
from tests.engine.engine_cases import PAIRED, TASK
from tests.engine.family_cases import Exact
from tests.engine.test_adapter_gemma4 import CONFIG, SOURCE, make, worst
from tests.engine.test_gemma4_experts import EXPERTS
from tests.engine.test_gemma4_shared_keys import OnMarks, same
from tests.engine.test_gemma4_shared_keys import opened as opened_shared
from tests.engine.test_under_tree import VERBS, compare, compare_parts
from tests.engine.tree_cases import REFERENCE, Opened, from_tree, open_case
from tests.engine.under_cases import Drawer
from tests.oracle.gemma4 import Gemma4
from tests.oracle.strategies import seeded_case
from tests.oracle.writer import Chooser

# By other numbers than squares the model's own factor is rounded to float32.
GIVEN: Mapping[str, Any] = {"hidden_size_per_layer_input": 4, "vocab_size_per_layer_input": 11}
ALONE: Mapping[str, Any] = {"num_kv_shared_layers": 0}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "alone": {},
    "unscaled": {"scalars": (1.0, 1.0, 1.0)},
    "e2b": {"num_hidden_layers": 4, "scalars": (0.5, 1.7, 0.3, 1.2), "num_kv_shared_layers": 2,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "use_double_wide_mlp": True, "final_logit_softcapping": 3.0},
    "experts": EXPERTS,
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_decomposed_forward_is_the_plain_one(name: str, tmp_path: Path) -> None:
    model = make(**GIVEN, **VARIANTS[name])
    model.save_pretrained(tmp_path)
    loaded = load(ModelSource(kind="folder", location=str(tmp_path)))
    assert loaded.adapter.shape == adapter_for(model).shape
    for lengths in (torch.tensor([9, 9, 9]), torch.tensor([9, 4, 1])):
        assert worst(loaded.model, lengths) < 2e-4
        with Exact():
            assert worst(model.double(), lengths) < 1e-10


def test_a_run_goes_on_from_a_stream_with_what_input_gives() -> None:
    adapter = adapter_for(make(**GIVEN))
    embedded = adapter.embed(torch.tensor([[1, 2, 3]]))
    assert embedded.shape[-1] == adapter.shape.input_width == 16 + 3 * 4
    whole = list(layers(adapter, embedded))
    (*_, last) = layers(adapter, embedded, first=1, stream=whole[0].after)
    assert torch.equal(last.after, whole[-1].after)


# ------------------------------------------------------------------------------- tree, null


def opened(seeds: tuple[int, ...], **options: object) -> Iterator[tuple[int, Opened]]:
    """The cases of some seeds, each on a model of it; every other one shares keys, too."""
    for seed in seeds:
        yield from opened_shared(
            (seed,), output_hidden_states=False, **GIVEN, **(ALONE if seed % 2 else {}), **options
        )


def test_engine_is_the_literal_tree() -> None:
    moved, compared, treated = 0, 0, set()
    with Exact(), torch.no_grad():
        for _, one in opened(TREES):
            parts = Gemma4.of(one.adapter.model)  # type: ignore[attr-defined]
            for frozen in (False, True):
                one = replace(one, frozen=frozen)
                found = one.logits(list(dict.fromkeys([one.run(one.treated), REFERENCE])))
                same(found[0], from_tree(one, parts), one.case.text)
                same(found[-1], one.plain("reference"), one.case.text)
                moved += bool(np.abs(found[0] - found[-1]).max() > 1e-3)
                compared += 1
                treated.add(one.case.treated)
    assert compared == 2 * len(TREES) and moved >= len(TREES)
    assert treated == {"paired", "mean", "zero"}


TREES = (200, 211, 214, 217, 221)


@pytest.mark.parametrize(("norms", "routing"), [(True, False), (False, True)])
def test_beside_experts_and_keys_of_other_layers(norms: bool, routing: bool) -> None:
    with Exact(), torch.no_grad():
        for _, one in opened((210, 214), **EXPERTS):
            parts = replace(Gemma4.of(one.adapter.model), norms=norms, routing=routing)  # type: ignore[attr-defined]
            one = replace(one, frozen=norms, routed=routing)
            found = one.logits(list(dict.fromkeys([one.run(one.treated), REFERENCE])))
            tree = from_tree(replace(one, frozen=True), parts)
            same(found[0], tree, one.case.text)
            same(found[-1], one.plain("reference"), one.case.text)


@pytest.mark.parametrize(("drawer", "seeds"), [(Drawer, (2, 7, 23, 44)), (OnMarks, (30, 46, 57))])
def test_intervened_runs_are_the_literal_tree(drawer: type[Drawer], seeds: tuple[int, ...]) -> None:
    """What `input` gives an MLP goes by no mark: a constant there does not hide it."""
    done = 0
    with Exact(), torch.no_grad():
        for seed, one in opened(seeds, scalars=(1.0, 1.0, 1.0)):  # the tree's own stream
            one, rng = replace(one, frozen=seed % 3 == 2), random.Random(seed)
            parts = Gemma4.of(one.adapter.model)  # type: ignore[attr-defined]
            some = [verb for verb in VERBS if verb != "move"]  # PD230 in this family
            verbs = ["set"] if drawer is OnMarks else [rng.choice(some), rng.choice(some)]
            made = drawer(one, Chooser(rng.randint), parts)
            done += compare(one, made, [[verb] for verb in verbs])
            compare_parts(one, rng, parts, made, verbs)
    assert done == len(seeds)


def test_null_pair_and_self_check() -> None:
    _, one = next(opened((200,)))
    plan = one.plan([one.run(one.treated), one.run(FULL), REFERENCE])
    with torch.no_grad():
        assert prove_null_pair(plan, one.task, one.adapter, 1e-6).holds
    spec = TaskSpec(name="t", data=DataCall(name="jsonl"), reference="prompt", treated=PAIRED)
    adapter = adapter_for(make(**GIVEN, **VARIANTS["e2b"]))
    found = prove(Planner(adapter.shape, {"t": TASK}, {"t": spec}), adapter, TASK)
    assert [proof.code for proof in found] == ["PD630", "PD631", "PD632", "PD633"]
    assert all(proof.holds for proof in found), found


# ------------------------------------------------------------------------------- hooks


def hooked(text: str, layer: int) -> tuple[Opened, Any, Any]:
    """A paired case of one path expression on a model of two layers, and the layer."""
    case = replace(
        seeded_case(203), text=f"path P = {text}\n", path="P", scope=None, run="treat",
        treated="paired",
    )  # fmt: skip
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
             "layer_types": ["sliding_attention", "full_attention"]}  # fmt: skip
    model = make(**GIVEN, **sizes).double()
    return open_case(case, model=model), model, model.model.layers[layer]


@pytest.mark.parametrize("layer", [0, 1])
def test_a_patched_mlp_is_a_hook_on_all_that_a_layer_adds_behind_attention(layer: int) -> None:
    one, model, block = hooked(f"m{layer}", layer)
    middle: list[torch.Tensor] = []
    kept: list[torch.Tensor] = []

    def added(_module: object, _args: object, out: torch.Tensor) -> torch.Tensor | None:
        """Keeps what the layer adds to the stream behind attention, or puts it there."""
        if not kept:
            kept.append(out / block.layer_scalar - middle[-1])
            return None
        return (middle[-1] + kept[0]) * block.layer_scalar

    with Exact(), torch.no_grad():
        found = one.logits([one.run(one.treated)])[0]
        for row, wanted in zip(one.case.rows, found, strict=True):
            kept.clear()
            first = block.pre_feedforward_layernorm.register_forward_pre_hook(
                lambda _m, args: middle.append(args[0].clone())
            )
            second = block.register_forward_hook(added)
            model(torch.tensor([row.treated]))
            logits = model(torch.tensor([row.reference])).logits[0, -1]
            first.remove()
            second.remove()
            np.testing.assert_allclose(wanted, logits.numpy(), rtol=0, atol=1e-10)


def test_what_an_mlp_is_given_follows_the_edge_from_input() -> None:
    """`input -> m1` beside `input -> logits`, all heads and m0 kept: a hook on one layer's part."""
    one, model, block = hooked("input -> m1 -> logits", 1)
    middle: list[torch.Tensor] = []
    with Exact(), torch.no_grad():
        found = one.logits([one.run(one.treated)])[0]
        for row, wanted in zip(one.case.rows, found, strict=True):
            ids = [torch.tensor([row.reference]), torch.tensor([row.treated])]
            first = block.pre_feedforward_layernorm.register_forward_pre_hook(
                lambda _m, args: middle.append(args[0].clone())
            )
            model(ids[0])
            first.remove()
            whole, body = middle[-1], model.model
            # m1 on a stream in which the embedding alone is the treated prompt's.
            embedded = [body.embed_tokens(one_of) for one_of in ids]
            stream = whole + (embedded[1] - embedded[0]) * body.layers[0].layer_scalar
            given = body.project_per_layer_inputs(embedded[1], body.get_per_layer_inputs(ids[1]))
            mlp = block.mlp(block.pre_feedforward_layernorm(stream))
            stream_behind = stream + (written := block.post_feedforward_layernorm(mlp))
            gate = block.act_fn(block.per_layer_input_gate(stream_behind)) * given[:, :, 1]
            gate = block.post_per_layer_input_norm(block.per_layer_projection(gate))
            last = (whole + written + gate) * block.layer_scalar
            logits = model.lm_head(body.norm(last))[0, -1]
            np.testing.assert_allclose(wanted, logits.numpy(), rtol=0, atol=1e-10)


def test_noise_is_added_to_the_embedding_that_the_second_is_made_of() -> None:
    one, model, _ = hooked("input", 0)
    at = Pos(name="SA"), Pos(name="END")
    spec = TreatedSpec(kind="noise", at=at, scale=2.0, seed=0, draws=1)
    rows = np.arange(len(one.case.rows))
    scale = model.model.layers[0].layer_scalar * model.model.layers[1].layer_scalar
    width, std = one.adapter.shape.d_model, one.adapter.embedding_std()
    noise = torch.from_numpy(noise_values(one.task, spec, rows, width, std)) / scale
    with Exact(), torch.no_grad():
        found = one.logits([replace(one.run(FULL), treated=spec)])[0]
        for row, added, wanted in zip(one.case.rows, noise, found, strict=True):
            hook = model.model.embed_tokens.register_forward_hook(
                lambda _m, _a, out, added=added: out + added[: out.shape[1]]
            )
            logits = model(torch.tensor([row.reference])).logits[0, -1]
            hook.remove()
            np.testing.assert_allclose(wanted, logits.numpy(), rtol=0, atol=1e-9)
    assert np.abs(found - one.plain("reference")).max() > 1e-2


# ------------------------------------------------------------------------------- refusals


def test_an_absent_field_is_a_second_embedding() -> None:
    config = {key: value for key, value in CONFIG.items() if key != "hidden_size_per_layer_input"}
    assert vet_config(SOURCE, config).per_layer_input == 256
    with pytest.raises(LanguageError, match="have no second embedding"):
        vet_config(SOURCE, {**CONFIG, **GIVEN, "vocab_size_per_layer_input": 10})


def test_slopes_leave_out_what_input_gives() -> None:
    shape = adapter_for(make(**GIVEN)).shape
    vet(asked("exact", "edges"), shape, False)
    with pytest.raises(PlanError) as caught:
        vet(asked("eap", "edges"), shape, False)
    (fault,) = caught.value.diagnostics
    assert fault.code == "PD435" and "beside the stream" in fault.notes[0]
