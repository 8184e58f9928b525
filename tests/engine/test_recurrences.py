"""DeltaNets, each one component of its layer: against the plain forward, the tree, hooks, null."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pathdsl.checking.doctor import Graph
from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.run import execute as executing
from pathdsl.engine.self_check import prove_null_pair
from pathdsl.errors import LanguageError
from pathdsl.graph.controls.random_like import random_edges, renaming
from pathdsl.graph.model.components import HEAD, RECURRENCE, Layout
from pathdsl.plan.steps import HeadCopy, RecurrentCopy
from tests.engine import test_adapter_llama as llama
from tests.engine import test_families_tree as tree
from tests.engine.family_cases import RECURRENT, Exact, make
from tests.engine.test_under_tree import VERBS, compare, compare_parts
from tests.engine.tree_cases import REFERENCE, Opened, from_tree, open_case
from tests.engine.under_cases import Drawer
from tests.oracle.cases import Case
from tests.oracle.strategies import seeded_case
from tests.oracle.writer import Chooser

KINDS = ["linear_attention", "full_attention", "linear_attention"]
BY_DISTANCE = (
    "path P = input -[v: prev]-> a0.h0 ~> logits\n",
    "path P = input ~> a2.h0@END -> logits | input -[v: window(2)]-> a2.h0 ~> logits\n",
    "path P = a0.h0@SA -[v: prev]-> a2.h0 ~> logits\n",
    "path P = any -[v: offset(-2)]-> a2.h0 -> m2 ~> logits | m0 -[v: prev]-> a2.h0 ~> logits\n",
)
"""Sets under which a copy reads other streams from other distances."""


def on_model(name: str, case: Case, layers: int) -> Opened:
    sizes = {
        "num_hidden_layers": layers, "num_attention_heads": 2, "num_key_value_heads": 1,
        "layer_types": KINDS[:layers],
    }  # fmt: skip
    return open_case(case, model=make(name, seed=case.seed, **sizes).double())


def opened(name: str, seeds: Iterable[int]) -> Iterator[Opened]:
    """The cases of some seeds that the language accepts: a layer of a DeltaNet has one head."""
    for seed in seeds:
        case = seeded_case(seed)
        try:
            yield on_model(name, case, case.config["n_layer"])
        except LanguageError:
            continue


def by_distance(name: str) -> Iterator[Opened]:
    for seed, text in enumerate(BY_DISTANCE):
        case = replace(seeded_case(203 + seed), text=text, scope=None, path="P")
        yield on_model(name, replace(case, config={**case.config, "n_layer": 3}), 3)


def same(one: Opened) -> bool:
    """Assert that the engine is the tree; whether the run differs from the reference run."""
    found = one.logits(list(dict.fromkeys([one.run(one.treated), REFERENCE])))
    text = one.case.text
    np.testing.assert_allclose(found[0], from_tree(one), rtol=0, atol=tree.EXACT, err_msg=text)
    plain = one.plain("reference")
    np.testing.assert_allclose(found[-1], plain, rtol=0, atol=tree.EXACT, err_msg=text)
    return bool(np.abs(found[0] - found[-1]).max() > 1e-3)


def copies(one: Opened) -> list[RecurrentCopy]:
    plan = one.plan([one.run(one.treated), REFERENCE])
    return [step for n in plan.alive if isinstance(step := plan.steps[n], RecurrentCopy)]


@pytest.mark.parametrize("name", RECURRENT)
def test_forward_padding_and_config(name: str, tmp_path: Path) -> None:
    llama.test_decomposed_forward_is_the_plain_one(name)
    llama.test_padding_does_not_reach_real_positions(name)
    llama.test_the_config_on_disk_says_what_the_model_says(name, tmp_path)
    tree.test_the_oracle_is_the_unmodified_model(name)


@pytest.mark.parametrize("name", RECURRENT)
def test_long_prompts_go_in_the_chunks_of_the_model(name: str) -> None:
    adapter = adapter_for(make(name, max_position_embeddings=128).double())
    for length in (16, 17, 33, 70):
        ids = torch.randint(11, (2, length))
        with torch.no_grad():
            apart = adapter.decomposed_forward(ids) - adapter.plain_forward(ids)
        assert float(apart.abs().max()) < 1e-4  # both by way of float32


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", RECURRENT)
def test_engine_is_the_literal_tree(name: str, frozen: bool) -> None:
    with Exact(), torch.no_grad():
        moved = [same(replace(one, frozen=frozen)) for one in opened(name, (203, 206, 209, 217))]
    assert len(moved) >= 3 and sum(moved) >= 2


@pytest.mark.parametrize("frozen", [False, True])
def test_streams_that_are_told_apart_by_distance(frozen: bool) -> None:
    with Exact(), torch.no_grad():
        for one in by_distance("qwen3_5_deltas"):
            assert any(len(copy.values) > 1 for copy in copies(one)), one.case.text
            same(replace(one, frozen=frozen))


def test_how_many_rows_go_together_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    with Exact(), torch.no_grad():
        for one in (*by_distance("qwen3_5_deltas"), *opened("qwen3_5_deltas", (206,))):
            runs = [one.run(one.treated), REFERENCE]
            before = one.logits(runs)
            with monkeypatch.context() as patch:
                patch.setattr(executing, "chunk_tokens", lambda adapter: 1)
                np.testing.assert_allclose(one.logits(runs), before, rtol=0, atol=tree.EXACT)


@pytest.mark.parametrize("frozen", [False, True])
def test_under_interventions(frozen: bool) -> None:
    done = 0
    with Exact(), torch.no_grad():
        for one in opened("qwen3_5_deltas", (7, 13, 20)):
            rng = random.Random(one.case.seed)
            one = replace(one, frozen=frozen)
            drawer = Drawer(one, Chooser(rng.randint))
            for _ in range(3):
                done += compare(one, drawer, [[rng.choice(VERBS)]])
            compare_parts(one, rng)
    assert done >= 3


@pytest.mark.parametrize("name", RECURRENT)
def test_null_pair(name: str) -> None:
    for one in by_distance(name):
        plan = one.plan([one.run(one.treated), REFERENCE])
        assert prove_null_pair(plan, one.task, one.adapter, 1e-6).holds


@pytest.mark.parametrize("name", RECURRENT)
def test_a_treated_node_is_a_hook_on_its_module(name: str) -> None:
    """`through(a0.h0)`: what the DeltaNet writes at all tokens is that of the treated prompts."""
    with Exact(), torch.no_grad():
        case = replace(seeded_case(203), text="path P = through(a0.h0)\n", scope=None, run="treat",
                       treated="paired")  # fmt: skip
        one = on_model(name, case, 2)
        (found,) = one.logits([one.run(one.treated)])
        module = one.adapter.model.model.layers[0].linear_attn  # type: ignore[attr-defined]
        seen: list[torch.Tensor] = []
        model = one.adapter.model  # type: ignore[attr-defined]
        for row, prompt in enumerate(case.rows):
            handle = module.register_forward_hook(lambda m, i, out: seen.append(out))
            model(torch.tensor([prompt.treated]))
            handle.remove()
            handle = module.register_forward_hook(lambda m, i, out: seen[-1])
            wanted = model(torch.tensor([prompt.reference]))
            handle.remove()
            np.testing.assert_allclose(
                found[row], wanted.logits[0, -1].numpy(), rtol=0, atol=tree.EXACT
            )


def test_the_graph() -> None:
    shape = adapter_for(make("qwen3_5_deltas")).shape
    layout = Layout(shape)
    assert [shape.heads_in(k) for k in range(3)] == [1, 4, 1]
    assert [len(layout.heads_of(k)) for k in range(3)] == [1, 4, 1]
    assert shape.n_senders == len(layout.components) - 1 == Graph.of(shape).senders
    assert layout.slots_of(layout.head(0, 0)) == ("v",)
    assert layout.slots_of(layout.head(1, 3)) == ("q", "k", "v")
    assert layout.n_edges() == sum(1 for _ in layout.edges())
    assert shape.recurrences == "; in layers 0, 2 a recurrence in the place of heads"


def test_controls_draw_one_kind_for_another_of_it() -> None:
    case = replace(seeded_case(203), text="path P = input -> a0.h0 -> m1 -> logits\n", scope=None)
    one = on_model("qwen3_5_deltas", replace(case, config={**case.config, "n_layer": 3}), 3)
    from pathdsl.graph.paths.sets import PathSets

    layout = Layout(one.adapter.shape)
    sets = PathSets(layout)
    for seed in range(5):
        drawn = renaming(sets, one.paths, seed)
        assert all(layout.kind(old) is layout.kind(new) for old, new in drawn.items())
    for edges in (random_edges(sets, one.paths, None, seed) for seed in range(3)):
        kinds = {layout.kind(edge.receiver) for edge in edges.edges if edge.slot == "v"}
        assert HEAD not in kinds and RECURRENCE in kinds


def test_heads_of_the_other_layers_are_as_ever() -> None:
    with Exact(), torch.no_grad():
        case = replace(seeded_case(206), text="path P = any -[k: prev]-> a1.h1 ~> logits\n",
                       scope=None)  # fmt: skip
        one = on_model("qwen3_next", replace(case, config={**case.config, "n_layer": 3}), 3)
        same(one)
        plan = one.plan([one.run(one.treated)])
        assert any(isinstance(plan.steps[n], HeadCopy) for n in plan.alive)
