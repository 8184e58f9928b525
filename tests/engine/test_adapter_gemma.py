"""What is Gemma's own: caps, scaled embeddings, norms after the parts, two kinds of rotation."""

from __future__ import annotations

import pytest
import torch

from pathdsl.engine.adapters import adapter_for
from pathdsl.errors import EngineError
from tests.engine.family_cases import Exact, make, some_ids


def test_caps_bound_scores_and_logits() -> None:
    adapter = adapter_for(make("gemma2"))
    q, k = 100 * torch.randn(2, 5, 6), 100 * torch.randn(2, 5, 6)
    assert adapter.scores(0, q, k).abs().max() <= 1.5
    assert adapter.unembed(100 * torch.randn(2, 16)).abs().max() <= 3.0
    free = adapter_for(make("gemma2_no_caps"))
    assert free.scores(0, q, k).abs().max() > 1.5


def test_gemma_3_caps_no_scores() -> None:
    """As in `transformers`, which takes the option and does not apply it."""
    capped = adapter_for(make("gemma3", attn_logit_softcapping=0.01).double())
    free = adapter_for(make("gemma3").double())
    with torch.no_grad(), Exact():
        one, two = (a.plain_forward(some_ids()) for a in (capped, free))
        assert torch.equal(one, two)
        assert (capped.decomposed_forward(some_ids()) - one).abs().max() < 1e-10


def test_layers_rotate_by_their_kind() -> None:
    adapter = adapter_for(make("gemma3"))
    x, places = torch.randn(1, 9, 4, 6), torch.arange(9)[None]
    sliding, full, again = (adapter.placed(layer, "q", x, places) for layer in range(3))
    assert torch.equal(sliding, again) and not torch.allclose(sliding, full)


@pytest.mark.parametrize("name", ["gemma", "gemma2", "gemma3"])
def test_embeddings_are_scaled(name: str) -> None:
    model = make(name)
    adapter = adapter_for(model)
    weight = model.model.embed_tokens.weight.detach()
    assert torch.allclose(adapter.embed(torch.tensor([[3]]))[0, 0], 4 * weight[3])
    assert adapter.embedding_std() == pytest.approx(4 * float(weight.double().numpy().std()))


@pytest.mark.parametrize("name", ["gemma2", "gemma3", "olmo2"])
def test_the_norm_after_attention_is_of_the_sum(name: str) -> None:
    """Sharing the norm out over heads would be another model; the bias is inside it."""
    adapter = adapter_for(make(name).double())
    z = torch.randn(2, 4, adapter.shape.d_head).double()
    norm = adapter.model.model.layers[1].post_attention_layernorm  # type: ignore[attr-defined]
    summed = adapter.write_each(1, z).sum(-2) + adapter.write_bias(1)
    assert torch.allclose(adapter.attention_write(1, z), norm(summed), atol=1e-6)
    apart = norm(adapter.write_each(1, z)).sum(-2) + adapter.write_bias(1)
    assert not torch.allclose(adapter.attention_write(1, z), apart, atol=0.1)


def test_later_positions_are_refused() -> None:
    model = make("gemma3")
    model.config.use_bidirectional_attention = True
    with pytest.raises(EngineError, match="use_bidirectional_attention"):
        adapter_for(model)
