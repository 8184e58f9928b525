"""Converted checkpoints against TransformerLens itself, where it is installed.

With TransformerLens 3 `HookedTransformer` is there, with 4 `TransformerBridge.boot_native`. Neither
is a dependency: these tests skip without them. What they hold is held without them, too, by the
forward passes that are written out in `tests/engine/test_convert.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from pathdsl.engine.toy.convert import convert
from pathdsl.engine.toy.model import ToyConfig, ToyModel

lens = pytest.importorskip("transformer_lens")

BASE: Mapping[str, Any] = {
    "n_layers": 2, "d_model": 12, "n_ctx": 10, "d_head": 6, "n_heads": 2, "d_vocab": 11,
    "d_mlp": 20, "act_fn": "relu", "normalization_type": "LN",
}  # fmt: skip
_ALONE = {"attn_only": True, "act_fn": None, "d_mlp": None}
CASES: Mapping[str, Mapping[str, Any]] = {
    "ln": {}, "none": {"normalization_type": None}, "ln_pre": {"normalization_type": "LNPre"},
    "rms": {"normalization_type": "RMS", "act_fn": "silu"},
    "rms_pre": {"normalization_type": "RMSPre"}, "final_rms": {"final_rms": True},
    "final_rms_pre": {"normalization_type": "LNPre", "final_rms": True},
    "attn_only": {**_ALONE, "normalization_type": None}, "attn_only_ln": _ALONE,
    "shortformer": {**_ALONE, "positional_embedding_type": "shortformer"},
    "rotary": {"positional_embedding_type": "rotary", "rotary_dim": 4},
    "rotary_pairs": {
        "positional_embedding_type": "rotary", "rotary_adjacent_pairs": True, "rotary_base": 77,
    },
    "llama": {
        "positional_embedding_type": "rotary", "gated_mlp": True, "normalization_type": "RMS",
        "act_fn": "silu",
    },
    "gated": {"gated_mlp": True, "act_fn": "gelu"},
    "grouped": {"n_heads": 4, "n_key_value_heads": 2}, "parallel": {"parallel_attn_mlp": True},
    "solu": {"act_fn": "solu"}, "solu_ln": {"act_fn": "solu_ln"},
    "solu_ln_pre": {"act_fn": "solu_ln", "normalization_type": "LNPre"},
    "gelu_new": {"act_fn": "gelu_new"}, "gelu_fast": {"act_fn": "gelu_fast"},
    "caps": {"attn_scores_soft_cap": 2.0, "output_logits_soft_cap": 3.0},
    "local": {"use_local_attn": True, "window_size": 3, "attn_types": ["global", "local"]},
    "unscaled": {"use_attn_scale": False},
    "scale": {"attn_scale": 2.5, "scale_attn_by_inverse_layer_idx": True},
    "logits": {"d_vocab_out": 3},
    "brackets": {"attention_dir": "bidirectional", "d_vocab_out": 2, "d_vocab": 5},
    "odd": {"d_head": 5, "n_heads": 3, "d_model": 7},
}  # fmt: skip
# What the model of TransformerLens 4 does not compute, or (`gelu_fast`) does not name.
_NOT_IN_4 = ("shortformer", "parallel", "gelu_fast", "local", "scale", "rotary")
IN_4 = [name for name in CASES if name not in _NOT_IN_4]


def moved(model: torch.nn.Module) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn(parameter.shape, dtype=parameter.dtype))


def save(folder: Path, model: torch.nn.Module, config: Mapping[str, Any]) -> None:
    torch.save(model.state_dict(), folder / "random_final.pth")
    plain = (int, float, str, bool, type(None), list)
    kept = {name: one for name, one in config.items() if isinstance(one, plain)}
    (folder / "config.json").write_text(json.dumps(kept))


def logits(folder: Path, ids: torch.Tensor) -> torch.Tensor:
    found = convert(folder, [])
    model = ToyModel(ToyConfig(**found.config)).eval().double()
    model.load_state_dict(found.weights, strict=True)
    with torch.no_grad():
        return model(ids).logits


IDS = torch.randint(5, (3, 7), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", CASES)
def test_hooked_transformer(name: str, tmp_path: Path) -> None:
    try:
        from transformer_lens import HookedTransformer, HookedTransformerConfig
    except ImportError:
        pytest.skip("TransformerLens 4 has no HookedTransformer")
    config = HookedTransformerConfig(**BASE | CASES[name], device="cpu", dtype=torch.float64)
    model = HookedTransformer(config).double()
    moved(model)
    save(tmp_path, model, config.to_dict())
    with torch.no_grad():
        wanted = model(IDS)
    assert (logits(tmp_path, IDS) - wanted).abs().max() < 1e-12


@pytest.mark.parametrize("name", IN_4)
def test_bridge(name: str, tmp_path: Path) -> None:
    """Its norms without weights and RMSNorms are in float32 whatever the dtype."""
    pytest.importorskip("transformer_lens.model_bridge.sources.native")
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    fields = {**BASE, **CASES[name]}
    if fields.get("attn_only"):
        fields |= {"act_fn": "relu", "d_mlp": 20}
    config = TransformerBridgeConfig(**fields, architecture="TransformerLensNative")
    model = TransformerBridge.boot_native(config, dtype=torch.float64).eval()
    moved(model)
    with torch.no_grad():
        for name_, parameter in model.state_dict().items():
            if name_ == "unembed.bias":
                parameter.zero_()  # its head has no bias
    if fields.get("attn_only"):
        fields["d_mlp"] = None
    save(tmp_path, model, fields)
    with torch.no_grad():
        wanted = model(IDS)
    single = fields["normalization_type"] not in (None, "LN") or fields.get("final_rms")
    worst = float((logits(tmp_path, IDS) - wanted).abs().max())
    assert worst < (1e-5 if single or "rotary" in str(fields) else 1e-12), worst


@pytest.mark.parametrize("name", ["ln", "none", "attn_only", "solu_ln", "grouped", "caps"])
def test_its_own_converter_agrees(name: str, tmp_path: Path) -> None:
    """Keys of `HookedTransformer`, read by TransformerLens 4's converter and by ours."""
    pytest.importorskip("transformer_lens.utilities.tl_checkpoint_conversion")
    pytest.importorskip("transformer_lens.model_bridge.sources.native")
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

    fields = {**BASE, **CASES[name]}
    config = TransformerBridgeConfig(
        **{**fields, "act_fn": fields["act_fn"] or "relu", "d_mlp": fields["d_mlp"] or 20},
        architecture="TransformerLensNative",
    )
    model = TransformerBridge.boot_native(config, dtype=torch.float64).eval()
    state = in_old_keys(fields)
    torch.save(state, tmp_path / "random_final.pth")
    (tmp_path / "config.json").write_text(json.dumps(fields))
    model.load_state_dict(convert_tl_checkpoint(state, config), strict=True)
    with torch.no_grad():
        wanted = model(IDS)
    assert (logits(tmp_path, IDS) - wanted).abs().max() < 1e-12


def in_old_keys(fields: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """A random state dict as `HookedTransformer` saves it."""
    torch.manual_seed(2)

    def some(*shape: int) -> torch.Tensor:
        return 0.4 * torch.randn(*shape, dtype=torch.float64)

    d, h, k, m = (fields[n] for n in ("d_model", "n_heads", "d_head", "d_mlp"))
    g, v = fields.get("n_key_value_heads") or h, fields["d_vocab"]
    under = "_" if g != h else ""
    state = {"embed.W_E": some(v, d), "pos_embed.W_pos": some(fields["n_ctx"], d),
             "unembed.W_U": some(d, v),
             "unembed.b_U": torch.zeros(v, dtype=torch.float64)}  # fmt: skip
    norms = ["ln_final"] if fields["normalization_type"] else []
    for layer in range(fields["n_layers"]):
        a, b = f"blocks.{layer}.attn", f"blocks.{layer}.mlp"
        state |= {f"{a}.W_Q": some(h, d, k), f"{a}.b_Q": some(h, k), f"{a}.W_O": some(h, k, d),
                  f"{a}.b_O": some(d), f"{a}.mask": torch.ones(10, 10).tril().bool(),
                  f"{a}.IGNORE": torch.tensor(-torch.inf)}  # fmt: skip
        for one in "KV":
            state |= {f"{a}.{under}W_{one}": some(g, d, k), f"{a}.{under}b_{one}": some(g, k)}
        if m:
            state |= {f"{b}.W_in": some(d, m), f"{b}.b_in": some(m), f"{b}.W_out": some(m, d),
                      f"{b}.b_out": some(d)}  # fmt: skip
        if fields["act_fn"] == "solu_ln":
            state |= {f"{b}.ln.w": some(m), f"{b}.ln.b": some(m)}
        if norms:
            norms += [f"blocks.{layer}.ln1"] + [f"blocks.{layer}.ln2"] * bool(m)
    for norm in norms:
        state |= {f"{norm}.w": some(d), f"{norm}.b": some(d)}
    return state
