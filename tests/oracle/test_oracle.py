"""The oracle against the unmodified model: plain forwards, and patches made with hooks by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from .cases import Case, CaseRow, build_model, kept_predicate, oracle_logits
from .constants import mean_constants, zero_constants
from .graph import INPUT
from .tree import Constants, Weights, plain_values, run

CONFIG = {
    "n_layer": 2, "n_head": 2, "n_embd": 8, "n_inner": 16, "vocab_size": 11, "n_positions": 8,
    "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
SIZE = 4  # d_head
REFERENCE, TREATED = (3, 1, 4, 1), (5, 9, 2, 6)
PLACES = {"SA": (1,), "SB": (0, 2)}

Edit = Callable[[torch.Tensor], torch.Tensor]


@pytest.fixture(scope="module")
def model() -> Any:
    """Two layers of two heads, random, float64."""
    return build_model(CONFIG, seed=0)


def case_of(text: str, **options: Any) -> Case:
    """A case of one row with a path set `P = text` (or whole statements)."""
    row = CaseRow(reference=REFERENCE, treated=TREATED, positions=PLACES, template="x")
    text = text if text.startswith(("path", "group")) else f"path P = {text}"
    return Case(config=CONFIG, seed=0, rows=(row,), text=text + "\n", **options)


def treat(text: str, model: Any, **options: Any) -> np.ndarray:
    """The oracle's logits of `treat(text)`."""
    return oracle_logits(case_of(text, run="treat", **options), 0, model)


def keep(text: str, model: Any, **options: Any) -> np.ndarray:
    """The oracle's logits of `keep(text)`."""
    return oracle_logits(case_of(text, run="keep", **options), 0, model)


# -------------------------------------------------------------------------------------------------
# The same by hooks on the model
# -------------------------------------------------------------------------------------------------


def forward(model: Any, ids: tuple[int, ...]) -> np.ndarray:
    """Logits (T, d_vocab) of the unmodified model."""
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


@contextmanager
def hooked(edits: list[tuple[Any, str, Edit]]) -> Iterator[None]:
    """Edit the input or output of modules while the model runs."""
    handles = []
    for module, side, edit in edits:
        if side == "input":
            handles.append(
                module.register_forward_pre_hook(lambda _m, args, e=edit: (e(args[0]), *args[1:]))
            )
        else:
            handles.append(module.register_forward_hook(lambda _m, _a, out, e=edit: e(out)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def captured(model: Any, module: Any, side: str, ids: tuple[int, ...]) -> torch.Tensor:
    """The input or output of a module in a plain forward."""
    seen: list[torch.Tensor] = []

    def keep_it(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.clone())
        return x

    with hooked([(module, side, keep_it)]):
        forward(model, ids)
    return seen[0]


def put_head(model: Any, layer: int, head: int, z: torch.Tensor, at: list[int]) -> Any:
    """A hook that overwrites one head's z (T, d_head) at some positions."""

    def edit(x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x[0, at, head * SIZE : (head + 1) * SIZE] = z[at]
        return x

    return model.transformer.h[layer].attn.c_proj, "input", edit


def head_z(model: Any, layer: int, head: int, ids: tuple[int, ...]) -> torch.Tensor:
    """One head's z (T, d_head) in a plain forward."""
    taken = captured(model, model.transformer.h[layer].attn.c_proj, "input", ids)
    return taken[0, :, head * SIZE : (head + 1) * SIZE]


EVERYWHERE = [0, 1, 2, 3]


# -------------------------------------------------------------------------------------------------
# The tree
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(2, 2, 4), (3, 1, 3)])
def test_everything_kept_is_the_reference_and_nothing_kept_the_treated(
    size: tuple[int, int, int],
) -> None:
    layers, heads, length = size
    model = build_model({**CONFIG, "n_layer": layers, "n_head": heads}, seed=3)
    reference, treated = REFERENCE[:length], TREATED[:length]
    for at in range(length):
        for constant in (False, True):
            other = zero_constants(model, length) if constant else treated
            got = run(model, reference, other, lambda _: True, at)
            np.testing.assert_allclose(got, forward(model, reference)[at], atol=1e-10, rtol=0)
        got = run(model, reference, treated, lambda _: False, at)
        np.testing.assert_allclose(got, forward(model, treated)[at], atol=1e-10, rtol=0)


def test_embeddings_as_treated_value(model: Any) -> None:
    noisy = np.random.default_rng(0).normal(size=(4, 8))
    got = run(model, REFERENCE, noisy, lambda _: False, 3)
    with hooked([(model.transformer.drop, "output", lambda _: torch.tensor(noisy)[None])]):
        expected = forward(model, REFERENCE)[3]
    np.testing.assert_allclose(got, expected, atol=1e-10, rtol=0)


def test_plain_values_are_what_the_modules_compute(model: Any) -> None:
    values = plain_values(model, REFERENCE)
    for layer in range(2):
        mlp = captured(model, model.transformer.h[layer].mlp, "output", REFERENCE)[0]
        np.testing.assert_allclose(values["m", layer], mlp.numpy(), atol=1e-10, rtol=0)
        for head in range(2):
            z = head_z(model, layer, head, REFERENCE).numpy()
            np.testing.assert_allclose(values["a", layer, head], z, atol=1e-10, rtol=0)


@pytest.mark.parametrize("at", ["", "@SA", "@SB", "@END", "@SA+1", "@[0]"])
def test_treating_through_a_head_is_activation_patching(model: Any, at: str) -> None:
    places = {"": EVERYWHERE, "@SA": [1], "@SB": [0, 2], "@END": [3], "@SA+1": [2], "@[0]": [0]}
    for layer, head in ((0, 1), (1, 0)):
        z = head_z(model, layer, head, TREATED)
        with hooked([put_head(model, layer, head, z, places[at])]):
            expected = forward(model, REFERENCE)[3]
        for text in (f"through(a{layer}.h{head}{at})", f"a{layer}.h{head}{at}"):
            np.testing.assert_allclose(treat(text, model), expected, atol=1e-10, rtol=0)


def test_treating_through_an_mlp_is_activation_patching(model: Any) -> None:
    out = captured(model, model.transformer.h[0].mlp, "output", TREATED)
    with hooked([(model.transformer.h[0].mlp, "output", lambda _: out)]):
        expected = forward(model, REFERENCE)[3]
    np.testing.assert_allclose(treat("m0", model), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize(("mark", "at"), [("r0", 1), ("r1", 1), ("r1", 3), ("r2", 3)])
def test_treating_a_residual_mark_patches_the_stream(model: Any, mark: str, at: int) -> None:
    blocks = [*model.transformer.h, model.transformer.ln_f]
    block = blocks[int(mark[1])]
    taken = captured(model, block, "input", TREATED)

    def edit(x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x[:, at] = taken[:, at]
        return x

    with hooked([(block, "input", edit)]):
        expected = forward(model, REFERENCE)[3]
    for text in (f"through({mark}@[{at}])", f"input ~> {mark}@[{at}] ~> logits"):
        np.testing.assert_allclose(treat(text, model), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize(("layer", "head"), [(0, 0), (1, 0)])
def test_direct_effect_of_a_head(model: Any, layer: int, head: int) -> None:
    change = head_z(model, layer, head, TREATED) - head_z(model, layer, head, REFERENCE)
    out = model.transformer.h[layer].attn.c_proj.weight[head * SIZE : (head + 1) * SIZE].detach()
    with hooked([(model.transformer.ln_f, "input", lambda x: x + change @ out)]):
        expected = forward(model, REFERENCE)[3]
    got = treat(f"a{layer}.h{head} -> logits", model)
    np.testing.assert_allclose(got, expected, atol=1e-10, rtol=0)


def test_edge_from_the_input_into_an_mlp(model: Any) -> None:
    change = captured(model, model.transformer.drop, "output", TREATED) - captured(
        model, model.transformer.drop, "output", REFERENCE
    )
    with hooked([(model.transformer.h[0].ln_2, "input", lambda x: x + change)]):
        expected = forward(model, REFERENCE)[3]
    np.testing.assert_allclose(treat("input -> m0", model), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("slot", ["q", "k", "v"])
def test_edge_into_one_slot_of_a_head(model: Any, slot: str) -> None:
    block = model.transformer.h[1]
    change = captured(model, model.transformer.h[0].mlp, "output", TREATED) - captured(
        model, model.transformer.h[0].mlp, "output", REFERENCE
    )
    with torch.no_grad():
        fused = block.attn.c_attn(block.ln_1(captured(model, block, "input", REFERENCE) + change))
    begin = "qkv".index(slot) * 8 + SIZE  # of head 1

    def edit(x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x[..., begin : begin + SIZE] = fused[..., begin : begin + SIZE]
        return x

    with hooked([(block.attn.c_attn, "output", edit)]):
        expected = forward(model, REFERENCE)[3]
    got = treat(f"m0 -[{slot}]-> a1.h1", model)
    np.testing.assert_allclose(got, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("relation", ["prev", "same", "window(2)", "offset(-2)"])
def test_relation_on_the_values_of_a_head(model: Any, relation: str) -> None:
    """Treat `m0` in the values that one head reads at related positions, by its pattern."""
    block = model.transformer.h[1]
    back = {"prev": {1}, "same": {0}, "window(2)": {0, 1}, "offset(-2)": {2}}[relation]
    out = model.transformer.h[0].mlp
    change = captured(model, out, "output", TREATED) - captured(model, out, "output", REFERENCE)
    with torch.no_grad():
        stream = captured(model, block, "input", REFERENCE)
        plain, mixed = (block.attn.c_attn(block.ln_1(x))[0] for x in (stream, stream + change))
        z = torch.zeros(4, SIZE, dtype=torch.float64)
        for at in range(4):
            query, keys = plain[at, :SIZE], plain[: at + 1, 8 : 8 + SIZE]
            pattern = (keys @ query / SIZE**0.5).softmax(0)
            values = [
                (mixed if at - key in back else plain)[key, 16 : 16 + SIZE] for key in range(at + 1)
            ]
            z[at] = pattern @ torch.stack(values)
    with hooked([put_head(model, 1, 0, z, EVERYWHERE)]):
        expected = forward(model, REFERENCE)[3]
    got = treat(f"m0 -[v: {relation}]-> a1.h0", model)
    np.testing.assert_allclose(got, expected, atol=1e-10, rtol=0)


# -------------------------------------------------------------------------------------------------
# Constants
# -------------------------------------------------------------------------------------------------


def as_tensor(constants: Constants) -> dict[Any, torch.Tensor]:
    """Constants as tensors."""
    return {node: torch.tensor(value) for node, value in constants.items()}


@pytest.mark.parametrize("kind", ["mean", "zero"])
def test_a_node_circuit_is_ablation_of_all_other_heads(model: Any, kind: str) -> None:
    """The circuit's heads at all positions and every MLP; direct `input` edges are all kept."""
    others = [(1, 2, 3, 4), REFERENCE, (7, 7, 0, 2)]
    if kind == "mean":
        constants = mean_constants(model, [*others, (1, 2)], ["x", "x", "x", "x"])[0]
        assert constants["m", 0].shape == (4, 8)
    else:
        constants = zero_constants(model, 4)
    values = as_tensor(constants)
    cut = [(0, 1), (1, 0)]
    with hooked([put_head(model, *lh, values["a", *lh], EVERYWHERE) for lh in cut]):
        expected = forward(model, REFERENCE)[3]
    case = case_of("within(a0.h0, a1.h1, mlp)")
    got = run(model, REFERENCE, constants, kept_predicate(case, 0), 3)
    np.testing.assert_allclose(got, expected, atol=1e-10, rtol=0)


def test_nothing_kept_under_constants_is_the_logits_of_the_constants(model: Any) -> None:
    constants = mean_constants(model, [REFERENCE, TREATED], ["x", "x"])[0]
    values = as_tensor(constants)
    edits: list[tuple[Any, str, Edit]] = []
    for layer, block in enumerate(model.transformer.h):
        for head in (0, 1):
            edits.append(put_head(model, layer, head, values["a", layer, head], EVERYWHERE))
        edits.append((block.mlp, "output", lambda _, layer=layer: values["m", layer][None]))
    edits.append((model.transformer.drop, "output", lambda _: values[INPUT][None]))
    with hooked(edits):
        expected = forward(model, REFERENCE)[3]
    got = run(model, REFERENCE, constants, lambda _: False, 3)
    np.testing.assert_allclose(got, expected, atol=1e-10, rtol=0)


def test_kept_is_decided_per_position(model: Any) -> None:
    """At position 0 there is no previous token: the head has its constant there, not elsewhere.

    `a0.h0` keeps only the values of the previous position. So its copies at 1, 2, 3 are computed
    from the constants and that one kept embedding; its copy at 0 is the constant.
    """
    constants = mean_constants(model, [REFERENCE, TREATED], ["x", "x"])[0]
    kept = kept_predicate(case_of("input -[v: prev]-> a0.h0 -[v]-> a1.h0 -> logits"), 0)
    weights = Weights.of(model)
    first, second = weights.heads["a", 0, 0], weights.heads["a", 1, 0]
    cut, whole = constants[INPUT], weights.embed(REFERENCE)
    z = [constants["a", 0, 0][0]]
    for at in (1, 2, 3):
        values = first.project("v", cut[: at + 1])
        values[at - 1] = first.project("v", whole[at - 1])
        z.append(
            first.attend(first.project("q", cut[at]), first.project("k", cut[: at + 1]), values)
        )
    others = weights.written(("a", 0, 1), constants["a", 0, 1])
    bias = weights.attention_bias
    cut_stream = cut + others + bias[0] + constants["m", 0]
    mixed = cut_stream + weights.written(("a", 0, 0), np.stack(z))
    cut_stream = cut_stream + weights.written(("a", 0, 0), constants["a", 0, 0])
    for at in range(4):
        z_second = second.attend(
            second.project("q", cut_stream[at]),
            second.project("k", cut_stream[: at + 1]),
            second.project("v", mixed[: at + 1]),
        )
        if at == 0:  # no path is kept here
            z_second = constants["a", 1, 0][0]
        stream = cut_stream[at] + bias[1] + constants["m", 1][at]
        stream = stream + weights.written(("a", 1, 1), constants["a", 1, 1][at])
        stream = stream + weights.written(("a", 1, 0), z_second)
        expected = weights.unembedding @ weights.final_norm(stream)
        got = run(model, REFERENCE, constants, kept, at)
        np.testing.assert_allclose(got, expected, atol=1e-10, rtol=0)
