"""The GPT-2 adapter against the unmodified `transformers` model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from transformers import CTRLConfig, CTRLLMHeadModel, GPT2Config, GPT2LMHeadModel

from pathdsl.engine.adapters import Adapter, adapter_for
from pathdsl.engine.adapters.base import visible
from pathdsl.engine.adapters.gpt2 import Gpt2Adapter
from pathdsl.errors import EngineError

SHARED = Path(
    os.environ.get("PATHDSL_SHARED", Path(__file__).resolve().parents[2].parent / "shared")
)
SORTER = SHARED / "models" / "gpt-nano-sort"

ODD = {
    "plain": {},
    "no_scale": {"scale_attn_weights": False},
    "by_layer": {"scale_attn_by_inverse_layer_idx": True},
    "neither": {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True},
    "upcast": {"reorder_and_upcast_attn": True},
    "upcast_by_layer": {"reorder_and_upcast_attn": True, "scale_attn_by_inverse_layer_idx": True},
    "untied": {"tie_word_embeddings": False},
    "relu": {"activation_function": "relu", "n_inner": 7},
    "silu": {"activation_function": "silu", "layer_norm_epsilon": 1e-2},
    "one_head": {"n_head": 1, "n_layer": 1},
}


def make(attention: str = "eager", **options: object) -> GPT2LMHeadModel:
    """A random GPT-2 whose biases, norms and scores are far from their initial values."""
    settings = {"vocab_size": 31, "n_positions": 12, "n_embd": 24, "n_layer": 3, "n_head": 4}
    config = GPT2Config(**{**settings, **options})
    config._attn_implementation = attention
    torch.manual_seed(0)
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model


def some_ids(model: GPT2LMHeadModel, rows: int = 3, pos: int = 9) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(model.config.vocab_size, (rows, pos), generator=generator)


def worst(adapter: Adapter, ids: torch.Tensor, lengths: torch.Tensor | None = None) -> float:
    with torch.no_grad():
        ours, theirs = adapter.decomposed_forward(ids, lengths), adapter.plain_forward(ids)
    if lengths is not None:
        real = torch.arange(ids.shape[1]) < lengths[:, None]
        ours, theirs = ours[real], theirs[real]
    return float((ours - theirs).abs().max())


@pytest.mark.parametrize(
    ("name", "attention"),
    [(name, "eager") for name in ODD] + [("by_layer", "sdpa"), ("upcast", "sdpa")],
)
def test_decomposed_forward_is_the_plain_one(name: str, attention: str) -> None:
    model = make(attention, **ODD[name])
    ids = some_ids(model)
    assert worst(adapter_for(model), ids) < 1e-4
    if ODD[name].get("reorder_and_upcast_attn") and attention == "eager":
        assert code_of(model.double()) == "PD612"  # transformers itself raises in float64
    else:
        assert worst(adapter_for(model.double()), ids) < 1e-10


def test_padding_does_not_reach_real_positions() -> None:
    model = make().double()
    adapter, ids = adapter_for(model), some_ids(model)
    lengths = torch.tensor([9, 4, 1])
    assert worst(adapter, ids, lengths) < 1e-10
    other = torch.where(torch.arange(9) < lengths[:, None], ids, (ids + 1) % 31)
    with torch.no_grad():
        one, two = (adapter.decomposed_forward(x, lengths) for x in (ids, other))
    assert torch.equal(one[1, :4], two[1, :4])
    assert torch.isfinite(one).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    model = make().to(dtype)
    adapter = adapter_for(model)
    assert adapter.dtype == dtype
    with torch.no_grad():
        scale = float(adapter.plain_forward(some_ids(model)).abs().max())
    assert worst(adapter, some_ids(model)) < 0.05 * scale


def test_the_bundled_sorter_from_disk() -> None:
    if not SORTER.exists():
        pytest.skip(f"{SORTER} is not here")
    model = GPT2LMHeadModel.from_pretrained(SORTER, attn_implementation="eager").eval()
    ids = torch.cartesian_prod(*[torch.arange(3)] * 6)
    assert worst(adapter_for(model), ids) < 1e-4
    assert worst(adapter_for(model.double()), ids) < 1e-10


def test_gpt2_small_shape() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(min(2, threads))
    try:
        with torch.device("meta"):  # the usual initialisation takes longer than the test
            model = GPT2LMHeadModel(GPT2Config(vocab_size=500))
        model = model.to_empty(device="cpu").eval()
        model.config._attn_implementation = "eager"
        torch.manual_seed(0)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                is_norm = "ln_" in name and name.endswith("weight")
                parameter.uniform_(-0.03, 0.03).add_(float(is_norm))
        model.tie_weights()
        adapter = adapter_for(model)
        assert (adapter.shape.n_senders, adapter.shape.d_head) == (157, 64)
        assert worst(adapter, some_ids(model, 2, 12)) < 1e-4
        assert worst(adapter_for(model.double()), some_ids(model, 2, 12)) < 1e-10
    finally:
        torch.set_num_threads(threads)


def test_selected_heads_are_those_of_the_whole_layer() -> None:
    model = make().double()
    adapter = adapter_for(model)
    x = torch.randn(2, 5, 24, dtype=torch.float64)
    for heads in ([2], [1, 2, 3], [3, 0], []):
        for slot in ("q", "k", "v"):
            whole = adapter.project(1, slot, x)
            assert torch.allclose(adapter.project(1, slot, x, heads), whole[..., heads, :])
        z = torch.randn(2, 5, 4, 6, dtype=torch.float64)
        each = adapter.write_each(1, z)
        assert torch.allclose(adapter.write_each(1, z[..., heads, :], heads), each[..., heads, :])
        part = adapter.write(1, z[..., heads, :], heads)
        assert torch.allclose(part, each[..., heads, :].sum(-2))
    assert torch.allclose(adapter.write(1, z), adapter.write_each(1, z).sum(-2))


def test_split_attention_is_the_joined_one_at_chosen_queries() -> None:
    adapter = adapter_for(make().double())
    q, k, v = (torch.randn(3, 2, 7, 6, dtype=torch.float64) for _ in range(3))
    everywhere = torch.arange(7).expand(2, 7)
    z, pattern = adapter.attend(2, q, k, v, everywhere, want_pattern=True)
    assert pattern is not None
    assert torch.allclose(pattern.sum(-1), torch.ones(()).double())
    assert not pattern.triu(1).any()
    places = torch.tensor([[6, 2], [0, 5]])
    chosen = torch.gather(q, 2, places[None, :, :, None].expand(3, 2, 2, 6))
    mask = adapter.mask(2, places, 7)
    split = adapter.mix(adapter.softmax(adapter.scores(2, chosen, k), mask), v)
    wanted = torch.gather(z, 2, places[None, :, :, None].expand(3, 2, 2, 6))
    assert torch.allclose(split, wanted)
    assert adapter.attend(2, chosen, k, v, places)[1] is None


def test_who_owns_which_bias() -> None:
    adapter = adapter_for(make().double())
    nothing = torch.zeros(1, 1, 24, dtype=torch.float64)
    assert adapter.project(0, "v", nothing).abs().min() > 0
    assert not adapter.write(0, torch.zeros(1, 4, 6, dtype=torch.float64)).any()
    assert adapter.write_bias(0).shape == (24,)


def test_chosen_columns_with_and_without_bias() -> None:
    model = make().double()
    adapter = adapter_for(model)
    x, ids = torch.randn(2, 3, 24).double(), torch.tensor([[0, 30], [5, 5]])
    for bias in (None, torch.randn(31).double()):
        model.lm_head.bias = None if bias is None else torch.nn.Parameter(bias)
        wanted = torch.gather(adapter.unembed(x), 2, ids[:, None].expand(2, 3, 2))
        assert torch.allclose(adapter.unembed_columns(x, ids), wanted)


def test_mask_with_window_and_padding() -> None:
    seen = visible(torch.tensor([[3]]), 5, torch.tensor([[True, True, False, True, False]]), 3)
    assert seen.tolist() == [[[False, True, False, True, False]]]


def test_embedding_std() -> None:
    model = make()
    assert adapter_for(model).embedding_std() == pytest.approx(
        float(model.transformer.wte.weight.detach().double().numpy().std())
    )


def test_gradients_flow() -> None:
    model = make()
    adapter = adapter_for(model)
    resid = adapter.embed(some_ids(model)).detach().requires_grad_()
    adapter.mlp(0, resid).sum().backward()
    assert resid.grad is not None


# ------------------------------------------------------------------------------------- refusals


def code_of(model: torch.nn.Module) -> str:
    with pytest.raises(EngineError) as caught:
        adapter_for(model)
    assert int(caught.value.exit_code) == 3
    return caught.value.diagnostics[0].code


def test_another_architecture() -> None:
    config = CTRLConfig(vocab_size=9, n_embd=8, n_layer=1, n_head=1)
    with pytest.raises(EngineError, match="ctrl"):
        adapter_for(CTRLLMHeadModel(config).eval())


def test_cross_attention() -> None:
    assert code_of(make(add_cross_attention=True)) == "PD612"


def test_a_subclass_or_wrapper() -> None:
    class Mine(GPT2LMHeadModel):
        pass

    assert code_of(Mine(GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=5)).eval()) == "PD607"


def test_added_replaced_and_missing_modules() -> None:
    added = make()
    added.transformer.h[0].mlp.probe = torch.nn.Linear(2, 2)
    replaced = make()
    replaced.transformer.h[1].attn.c_attn = torch.nn.Linear(24, 72)
    missing = make()
    del missing.transformer.h[2].ln_2
    for model in (added, replaced, missing):
        assert code_of(model.eval()) == "PD612"


def test_weights_of_several_dtypes_and_of_none() -> None:
    mixed = make()
    mixed.transformer.h[0].mlp.double()
    assert code_of(mixed) == "PD612"
    with torch.device("meta"):
        empty = GPT2LMHeadModel(GPT2Config(n_layer=1)).eval()
    assert code_of(empty) == "PD612"


def test_quantised() -> None:
    marked = make()
    marked.config.quantization_config = {"quant_method": "bitsandbytes"}
    assert code_of(marked) == "PD608"
    rounded = make()
    rounded.transformer.wte.weight = torch.nn.Parameter(
        torch.zeros(31, 24, dtype=torch.int8), requires_grad=False
    )
    assert code_of(rounded) == "PD608"


def test_training_mode() -> None:
    model = make()
    model.transformer.h[1].attn.attn_dropout.train()
    assert code_of(model) == "PD618"


def test_protocol() -> None:
    assert isinstance(Gpt2Adapter(make()), Adapter)
