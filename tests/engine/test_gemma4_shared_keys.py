"""Gemma 4 whose last layers are given keys and values of earlier ones: forward, tree, hooks."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.adapters.base import layers
from pathdsl.engine.attribution.vet import vet
from pathdsl.engine.data.task import DataCall, TaskSpec
from pathdsl.engine.load.source import ModelSource, vet_config
from pathdsl.engine.load.weights import load
from pathdsl.engine.planner import Planner
from pathdsl.engine.self_check import prove, prove_null_pair
from pathdsl.errors import LanguageError, PlanError
from pathdsl.graph.paths.pathset import FULL
from pathdsl.plan.runs import Target
from tests.engine.attribution_cases import asked
from tests.engine.engine_cases import PAIRED, TASK
from tests.engine.family_cases import Exact
from tests.engine.test_adapter_gemma4 import CONFIG, SOURCE, make, worst
from tests.engine.test_under_tree import VERBS, compare, compare_parts
from tests.engine.tree_cases import REFERENCE, Opened, from_tree, open_case
from tests.engine.under_cases import Drawer
from tests.oracle.gemma4 import Gemma4, keys_from
from tests.oracle.strategies import seeded_case
from tests.oracle.writer import Chooser

KINDS = ["sliding_attention", "full_attention"] * 3
SHARED: Mapping[str, Any] = {
    "num_hidden_layers": 6, "layer_types": KINDS, "num_kv_shared_layers": 3,
    "scalars": (0.5, 1.7, 0.3, 1.2, 0.8, 1.1),
    # Without a second embedding `transformers` (5.23) cuts it where logits are counted.
    "output_hidden_states": True,
}  # fmt: skip
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "wide": {"use_double_wide_mlp": True},
    "few_keys": {"attention_k_eq_v": True, "num_global_key_value_heads": 1},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_decomposed_forward_is_the_plain_one(name: str) -> None:
    model = make(**{**SHARED, **VARIANTS[name]})
    for lengths in (torch.tensor([9, 9, 9]), torch.tensor([9, 4, 1])):
        assert worst(model.float(), lengths) < 1e-4
        with Exact():
            assert worst(model.double(), lengths) < 1e-10


def test_whose_keys_a_layer_reads() -> None:
    shape = adapter_for(make(**{**SHARED, **VARIANTS["wide"]})).shape
    assert shape.keys_from == (0, 1, 2, 1, 2, 1)
    assert (shape.units, shape.d_mlp) == ((20, 20, 20, 40, 40, 40), 40)
    assert [shape.start(layer) for layer in range(6)] == [0, 1, 1, 1, 1, 1]


def test_a_run_does_not_begin_behind_the_keys_that_it_reads() -> None:
    adapter = adapter_for(make(**SHARED))
    embedded = adapter.embed(torch.tensor([[1, 2, 3]]))
    whole = list(layers(adapter, embedded))
    (*_, last) = layers(adapter, None, first=1, stream=whole[0].after)
    assert torch.equal(last.after, whole[-1].after)
    with pytest.raises(ValueError, match="keys of layer 1"):
        next(layers(adapter, None, first=2, stream=whole[1].after))


def test_weights_of_keys_that_no_model_reads(tmp_path: Path) -> None:
    """Published files hold keys and values of the layers that are given others."""
    make(**SHARED).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    assert not any(".layers.4.self_attn.k_" in name for name in weights)
    own = "model.layers.4.self_attn.k_proj.weight"
    weights[own] = weights[own.replace(".4.", ".2.")].clone()
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    loaded = load(ModelSource(kind="folder", location=str(tmp_path)))
    assert worst(loaded.model, torch.tensor([9, 9, 9])) < 1e-4


# ------------------------------------------------------------------------------- tree, hooks, null


def opened(seeds: tuple[int, ...], **options: object) -> Iterator[tuple[int, Opened]]:
    """The cases of some seeds, each on a model of it, whose heads share keys in two ways."""
    for seed in seeds:
        case = seeded_case(seed)
        n = case.config["n_layer"]
        slides = n == 3 and seed % 2
        kinds = ["sliding_attention" if slides else "full_attention", *["full_attention"] * (n - 1)]
        sizes = {
            "num_hidden_layers": n, "num_attention_heads": case.config["n_head"],
            "num_key_value_heads": 1, "sliding_window": 2, "layer_types": kinds,
            "num_kv_shared_layers": 1 if slides or seed % 3 == 0 else n - 1,
            "output_hidden_states": True,
        }  # fmt: skip
        model = make(case.seed, **{**sizes, **options}).double()
        case = replace(case, config={**case.config, "keys_from": keys_from(model.config)})
        try:
            yield seed, open_case(case, model=model)
        except LanguageError:
            continue


def test_engine_is_the_literal_tree() -> None:
    moved, compared = 0, 0
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
    assert compared == 2 * len(TREES) and moved >= len(TREES)


TREES = (200, 211, 214, 217, 224, 230)


class OnMarks(Drawer):
    """Draws actions on the mark behind the entry that keys of later layers are read at."""

    def target(self, kinds: Sequence[str]) -> Target:
        found = super().target(kinds)
        return Target(kind="mark", layer=1, at=found.at) if "mark" in kinds else found


@pytest.mark.parametrize(
    ("drawer", "seeds"), [(Drawer, (2, 7, 23, 38, 44)), (OnMarks, (15, 30, 47, 52, 106))]
)
def test_intervened_runs_are_the_literal_tree(drawer: type[Drawer], seeds: tuple[int, ...]) -> None:
    done = 0
    with Exact(), torch.no_grad():
        for seed, one in opened(seeds, scalars=(1.0, 1.0, 1.0)):  # the tree's own stream
            one, rng = replace(one, frozen=seed % 3 == 2), random.Random(seed)
            parts = Gemma4.of(one.adapter.model)  # type: ignore[attr-defined]
            verbs = ["set"] if drawer is OnMarks else [rng.choice(VERBS), rng.choice(VERBS)]
            made = drawer(one, Chooser(rng.randint), parts)
            done += compare(one, made, [[verb] for verb in verbs])
            compare_parts(one, rng, parts, made, verbs)
    assert done == len(seeds)


def same(found: np.ndarray, wanted: np.ndarray, text: str) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9, err_msg=text)


@pytest.mark.parametrize(("slot", "which"), [("k", 0), ("v", 1)])
def test_a_patched_key_is_a_hook_on_what_a_layer_is_given(slot: str, which: int) -> None:
    """`any -[k]-> a1.h1`: the keys of one head in one layer, those of layer 0 itself are left."""
    case = replace(
        seeded_case(203), text=f"path P = input -[{slot}]-> a1.h1\n", path="P", scope=None,
        run="treat", treated="paired",
    )  # fmt: skip
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
             "layer_types": ["full_attention"] * 2, "num_kv_shared_layers": 1,
             "output_hidden_states": True}  # fmt: skip
    model = make(**sizes).double()
    one = open_case(case, model=model)
    kept: list[Any] = []

    def given(_module: object, args: object, options: dict[str, Any]) -> Any:
        """Keeps what the layer is given, or puts what was kept in the place of head 1's."""
        states = options["shared_kv_states"]["full_attention"]
        if not kept:
            kept.append([part.clone() for part in states])
            return None
        changed = [part.clone() for part in states]
        changed[which][:, 1] = kept[0][which][:, 1]
        return args, {**options, "shared_kv_states": {"full_attention": tuple(changed)}}

    attention = model.model.layers[1].self_attn
    with Exact(), torch.no_grad():
        found = one.logits([one.run(one.treated)])[0]
        for row, wanted in zip(case.rows, found, strict=True):
            kept.clear()
            hook = attention.register_forward_pre_hook(given, with_kwargs=True)
            model(torch.tensor([row.treated]))
            logits = model(torch.tensor([row.reference])).logits[0, -1]
            hook.remove()
            np.testing.assert_allclose(wanted, logits.numpy(), rtol=0, atol=1e-10)
    assert np.abs(found - one.plain("reference")).max() > 1e-3


def test_null_pair_and_self_check() -> None:
    _, one = next(opened((200,)))
    plan = one.plan([one.run(one.treated), one.run(FULL), REFERENCE])
    with torch.no_grad():
        assert prove_null_pair(plan, one.task, one.adapter, 1e-6).holds
    spec = TaskSpec(name="t", data=DataCall(name="jsonl"), reference="prompt", treated=PAIRED)
    for dtype in (torch.float32, torch.float64):
        adapter = adapter_for(make(**{**SHARED, **VARIANTS["few_keys"]}).to(dtype))
        found = prove(Planner(adapter.shape, {"t": TASK}, {"t": spec}), adapter, TASK)
        assert [proof.code for proof in found] == ["PD630", "PD631", "PD632", "PD633"]
        assert all(proof.holds for proof in found), found


# ------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_kv_shared_layers": 3}, "leaves no layer with keys"),
        ({"num_kv_shared_layers": 2}, "leaves no layer with keys for some kind"),
        ({"num_kv_shared_layers": 1, "layer_types": ["full_attention"] * 3,
          "per_layer_config": {"2": {"head_dim": 8}}}, "cannot read the keys of layer 1"),
    ],
)  # fmt: skip
def test_configs_that_cannot_be(changes: dict[str, object], said: str) -> None:
    with pytest.raises((LanguageError, PlanError)) as caught:
        vet_config(SOURCE, {**CONFIG, **changes})
    assert said in str(caught.value)


@pytest.mark.parametrize("method", ["eap", "atp", "ifr", "exact"])
def test_attributions_that_would_go_back_to_one_layer_are_refused(method: str) -> None:
    shape = adapter_for(make(**SHARED)).shape
    if method == "exact":
        vet(asked(method, "edges"), shape, False)
        return
    with pytest.raises(PlanError) as caught:
        vet(asked(method, "edges" if method != "atp" else "nodes"), shape, False)
    (fault,) = caught.value.diagnostics
    assert fault.code == "PD435" and "keys and values of earlier ones" in fault.notes[0]
