"""Checkpoints in their producers' own layouts: each with its forward pass written out in numpy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import erf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.load.source import ModelSource
from pathdsl.engine.load.weights import load
from pathdsl.engine.toy.convert import convert, write
from pathdsl.engine.toy.layouts import LAYOUTS
from pathdsl.errors import EngineError
from tests.cli.run import pathdsl

State = dict[str, torch.Tensor]
IDS = [3, 1, 4, 1, 0]


def some(*shape: int) -> torch.Tensor:
    return 0.5 * torch.randn(*shape, dtype=torch.float64)


def softmax(x: np.ndarray) -> np.ndarray:
    shares = np.exp(x - x.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def causal(scores: np.ndarray) -> np.ndarray:
    return np.where(np.tril(np.ones(scores.shape[-2:])) > 0, scores, -np.inf)


def layer_norm(x: np.ndarray, gain: np.ndarray, shift: np.ndarray) -> np.ndarray:
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * gain + shift


# ------------------------------------------------------------------------------- four producers


def redwood() -> tuple[State, dict[str, Any], Callable[[Mapping[str, np.ndarray]], np.ndarray]]:
    """Two layers of attention without norms or biases: positions for queries and keys alone."""
    h, d, k, v, n = 3, 8, 5, 11, 9
    state = {"embed.W_E": some(v, d), "pos_embed.W_pos": some(n, d), "unembed.W_U": some(d, v)}
    for layer in (0, 1):
        a = f"blocks.{layer}.attn"
        state |= {f"{a}.W_Q": some(h, d, k), f"{a}.W_K": some(h, d, k), f"{a}.W_V": some(h, d, k),
                  f"{a}.W_O": some(h, k, d), f"{a}.mask": torch.ones(n, n).tril().bool(),
                  f"{a}.IGNORE": torch.tensor(-1e5)}  # fmt: skip
    config = {"n_layers": 2, "d_model": d, "n_heads": h, "d_head": k, "n_ctx": n, "d_vocab": v,
              "attn_only": True, "normalization": None, "shortformer_pos": True, "d_mlp": 32,
              "act_fn": "gelu", "lr": 0.001, "tokenizer_name": "NeelNanda/gpt-neox"}  # fmt: skip

    def forward(w: Mapping[str, np.ndarray]) -> np.ndarray:
        x, places = w["embed.W_E"][IDS], w["pos_embed.W_pos"][: len(IDS)]
        for layer in (0, 1):
            total = 0
            for head in range(h):
                q, key, value, out = (w[f"blocks.{layer}.attn.W_{one}"][head] for one in "QKVO")
                scores = (x + places) @ q @ ((x + places) @ key).T / np.sqrt(k)
                total = total + softmax(causal(scores)) @ (x @ value) @ out
            x = x + total
        return x @ w["unembed.W_U"]

    return state, config, forward


def grokking(
    attn_coeff: float | None = None, n_out: int = 10
) -> tuple[State, dict[str, Any], Callable[[Mapping[str, np.ndarray]], np.ndarray]]:
    """One layer without norms, as Nanda's code and that of Clock and Pizza have it."""
    h, d, k, m, v, n = 2, 6, 3, 24, 11, 5
    state = {
        "embed.W_E": some(d, v), "pos_embed.W_pos": some(n, d), "unembed.W_U": some(d, n_out),
        "blocks.0.attn.W_Q": some(h, k, d), "blocks.0.attn.W_K": some(h, k, d),
        "blocks.0.attn.W_V": some(h, k, d), "blocks.0.attn.W_O": some(d, h * k),
        "blocks.0.attn.mask": torch.ones(n, n).tril(), "blocks.0.mlp.W_in": some(m, d),
        "blocks.0.mlp.b_in": some(m), "blocks.0.mlp.W_out": some(d, m),
        "blocks.0.mlp.b_out": some(d),
    }  # fmt: skip
    config: dict[str, Any] = {"act_fn": "ReLU", "d_model": d, "n_heads": h, "funcs": "x", "C": 59}
    if attn_coeff is not None:
        config |= {"attn_coeff": attn_coeff, "attention_dir": "bidirectional"}

    def forward(w: Mapping[str, np.ndarray]) -> np.ndarray:
        x = w["embed.W_E"][:, IDS].T + w["pos_embed.W_pos"][: len(IDS)]
        q, key, value = (np.einsum("ihd,pd->iph", w[f"blocks.0.attn.W_{one}"], x) for one in "QKV")
        scores = np.einsum("iqh,iph->iqp", q, key) / np.sqrt(k)
        if attn_coeff is None:
            pattern = softmax(causal(scores))
        else:
            pattern = softmax(scores) * attn_coeff + (1 - attn_coeff)
        z = np.einsum("iqp,iph->qih", pattern, value).reshape(len(IDS), h * k)
        x = x + z @ w["blocks.0.attn.W_O"].T
        hidden = np.maximum(x @ w["blocks.0.mlp.W_in"].T + w["blocks.0.mlp.b_in"], 0)
        x = x + hidden @ w["blocks.0.mlp.W_out"].T + w["blocks.0.mlp.b_out"]
        return x @ w["unembed.W_U"]

    return state, config, forward


def solu_old() -> tuple[State, dict[str, Any], Callable[[Mapping[str, np.ndarray]], np.ndarray]]:
    """One layer of SoLU with its norm, every matrix turned around, norms by another name."""
    h, d, k, m, v, n = 2, 6, 3, 24, 11, 9
    state = {
        "embed.W_E": some(d, v), "pos_embed.W_pos": some(d, n), "unembed.W_U": some(v, d),
        "unembed.b_U": some(v), "blocks.0.attn.W_O": some(h, d, k), "blocks.0.attn.b_O": some(d),
        "blocks.0.mlp.W_in": some(m, d), "blocks.0.mlp.b_in": some(m),
        "blocks.0.mlp.W_out": some(d, m), "blocks.0.mlp.b_out": some(d),
    }  # fmt: skip
    for one in "QKV":
        state |= {f"blocks.0.attn.W_{one}": some(h, k, d), f"blocks.0.attn.b_{one}": some(h, k)}
    for norm, width in (("norm", d), ("blocks.0.norm1", d), ("blocks.0.norm2", d),
                        ("blocks.0.mlp.norm", m)):  # fmt: skip
        state |= {f"{norm}.w": some(width), f"{norm}.b": some(width)}
    config = {"act_fn": "solu_ln", "normalization_type": "LN", "n_layers": 1}

    def forward(w: Mapping[str, np.ndarray]) -> np.ndarray:
        x = w["embed.W_E"].T[IDS] + w["pos_embed.W_pos"].T[: len(IDS)]
        read = layer_norm(x, w["blocks.0.norm1.w"], w["blocks.0.norm1.b"])
        total = w["blocks.0.attn.b_O"]
        for head in range(h):
            q, key, value = (
                read @ w[f"blocks.0.attn.W_{one}"][head].T + w[f"blocks.0.attn.b_{one}"][head]
                for one in "QKV"
            )
            pattern = softmax(causal(q @ key.T / np.sqrt(k)))
            total = total + pattern @ value @ w["blocks.0.attn.W_O"][head].T
        x = x + total
        read = layer_norm(x, w["blocks.0.norm2.w"], w["blocks.0.norm2.b"])
        before = read @ w["blocks.0.mlp.W_in"].T + w["blocks.0.mlp.b_in"]
        hidden = before * softmax(before)
        hidden = layer_norm(hidden, w["blocks.0.mlp.norm.w"], w["blocks.0.mlp.norm.b"])
        x = x + hidden @ w["blocks.0.mlp.W_out"].T + w["blocks.0.mlp.b_out"]
        return layer_norm(x, w["norm.w"], w["norm.b"]) @ w["unembed.W_U"].T + w["unembed.b_U"]

    return state, config, forward


def othello() -> tuple[State, dict[str, Any], Callable[[Mapping[str, np.ndarray]], np.ndarray]]:
    """One layer of minGPT: linear maps as torch has them, heads side by side, an exact GELU."""
    h, d, m, v, n = 2, 6, 24, 11, 9
    k = d // h
    state = {"tok_emb.weight": some(v, d), "pos_emb": some(1, n, d), "head.weight": some(v, d),
             "blocks.0.attn.mask": torch.ones(1, 1, n, n).tril()}  # fmt: skip
    for part, out, width in (("attn.query", d, d), ("attn.key", d, d), ("attn.value", d, d),
                             ("attn.proj", d, d), ("mlp.0", m, d), ("mlp.2", d, m)):  # fmt: skip
        state |= {f"blocks.0.{part}.weight": some(out, width), f"blocks.0.{part}.bias": some(out)}
    for norm in ("ln_f", "blocks.0.ln1", "blocks.0.ln2"):
        state |= {f"{norm}.weight": some(d), f"{norm}.bias": some(d)}
    config = {"act_fn": "gelu", "n_heads": h, "normalization_type": "LN"}

    def forward(w: Mapping[str, np.ndarray]) -> np.ndarray:
        def linear(name: str, x: np.ndarray) -> np.ndarray:
            return x @ w[f"blocks.0.{name}.weight"].T + w[f"blocks.0.{name}.bias"]

        def norm(name: str, x: np.ndarray) -> np.ndarray:
            return layer_norm(x, w[f"{name}.weight"], w[f"{name}.bias"])

        x = w["tok_emb.weight"][IDS] + w["pos_emb"][0, : len(IDS)]
        read = norm("blocks.0.ln1", x)
        q, key, value = (linear(f"attn.{one}", read) for one in ("query", "key", "value"))
        parts = [slice(head * k, head * k + k) for head in range(h)]
        z = [softmax(causal(q[:, p] @ key[:, p].T / np.sqrt(k))) @ value[:, p] for p in parts]
        x = x + linear("attn.proj", np.concatenate(z, -1))
        hidden = linear("mlp.0", norm("blocks.0.ln2", x))
        hidden = 0.5 * hidden * (1 + np.vectorize(erf)(hidden / np.sqrt(2)))
        x = x + linear("mlp.2", hidden)
        return norm("ln_f", x) @ w["head.weight"].T

    return state, config, forward


PRODUCERS: Mapping[str, tuple[str, Callable[[], Any]]] = {
    "redwood": ("tl", redwood),
    "grokking": ("nanda", grokking),
    "pizza": ("nanda", lambda: grokking(0.2)),
    "uniform": ("nanda", lambda: grokking(0.0, 3)),
    "solu_old": ("solu-old", solu_old),
    "othello": ("mingpt", othello),
}


def saved(folder: Path, name: str, file: str = "run_final.pth") -> Any:
    """A checkpoint of a producer in a folder; its forward pass on the weights as they are."""
    torch.manual_seed(0)
    state, config, forward = PRODUCERS[name][1]()
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / file)
    (folder / "config.json").write_text(json.dumps(config))
    return lambda: forward({key: one.double().numpy() for key, one in state.items()})


@pytest.mark.parametrize("name", PRODUCERS)
def test_what_the_producer_computes(name: str, tmp_path: Path) -> None:
    forward = saved(tmp_path / "theirs", name)
    found = convert(tmp_path / "theirs", [])
    assert dict(found.said)["layout"].startswith(f"`{PRODUCERS[name][0]}`")
    write(found, tmp_path / "ours")
    from pathdsl.engine.toy.model import ToyModel

    model = ToyModel.from_pretrained(tmp_path / "ours", dtype=torch.float64).eval()
    with torch.no_grad():
        logits = model(torch.tensor([IDS])).logits[0].numpy()
    np.testing.assert_allclose(logits, forward(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["redwood", "grokking", "solu_old", "othello"])
def test_a_folder_of_it_is_loaded(name: str, tmp_path: Path) -> None:
    forward = saved(tmp_path / "theirs", name)
    write(convert(tmp_path / "theirs", []), tmp_path / "ours")
    loaded = load(ModelSource(kind="folder", location=str(tmp_path / "ours"), dtype="float64"))
    assert loaded.facts["architecture"] == "ToyModel" and loaded.tokenizer is None
    with torch.no_grad():
        logits = loaded.adapter.decomposed_forward(torch.tensor([IDS]))[0].numpy()
    np.testing.assert_allclose(logits, forward(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_layers", [1, 6, 7, 8, 9])
def test_which_matrices_of_old_solu_files_are_turned(n_layers: int) -> None:
    """All of those up to six layers, positions up to eight, none beyond."""
    table = LAYOUTS["solu-old"].table(n_layers)
    assert table["blocks.*.mlp.W_in"][1] == ("m d" if n_layers <= 6 else "d m")
    assert table["pos_embed.W_pos"][1] == ("d n" if n_layers <= 8 else "n d")
    assert LAYOUTS["solu-old"].renamed("blocks.3.norm1.w") == "blocks.3.ln1.w"
    assert LAYOUTS["solu-old"].renamed("norm.b") == "ln_final.b"


# ------------------------------------------------------------------------------- what is told


def test_the_report(tmp_path: Path) -> None:
    saved(tmp_path, "redwood")
    said = dict(convert(tmp_path, []).said)
    assert said["made anew"] == "`blocks.L.attn.IGNORE`, `blocks.L.attn.mask`, as the config says"
    assert said["no biases"] == (
        "`blocks.L.attn.k`, `blocks.L.attn.q`, `blocks.L.attn.v`, `blocks.L.attn.o`, `unembed`"
    )
    assert "`lr`" in said["not read"] and "gpt-neox" in said["tokenizer"]
    assert said["by default"] == "`attention_dir: causal`"
    assert said["structure"] == "2 layers of 3 heads; no norms; positions shortformer"
    assert "checkpoint" not in said


def test_the_number_of_a_checkpoint(tmp_path: Path) -> None:
    saved(tmp_path, "redwood")
    (tmp_path / "checkpoints").mkdir()
    state = torch.load(tmp_path / "run_final.pth", weights_only=True)
    torch.save(state, tmp_path / "checkpoints" / "run_v1_004000.pth")
    found = convert(tmp_path / "checkpoints" / "run_v1_004000.pth", [])
    assert found.config["converted"]["checkpoint"] == 4000
    assert found.config["positional_embedding_type"] == "shortformer"  # of the config above it
    assert dict(found.said)["checkpoint"] == "4000"
    torch.save({"model": state, "epoch": 7, "loss": [1.0]}, tmp_path / "whole.pth")
    found = convert(tmp_path / "whole.pth", [])
    assert found.config["converted"]["checkpoint"] == 7
    assert dict(found.said)["left out"] == "`epoch`, `loss`"
    for name, number in (("a_step_12", 12), ("epoch3", 3), ("model_x1", None), ("2", None)):
        torch.save(state, tmp_path / f"{name}.pth")
        note = convert(tmp_path / f"{name}.pth", []).config["converted"]
        assert note.get("checkpoint") == number
    for name in ("a_step_12", "epoch3", "model_x1", "2", "whole"):
        (tmp_path / f"{name}.pth").unlink()
    assert "checkpoint" not in convert(tmp_path, []).config["converted"]


def test_a_config_over_the_one_beside_it(tmp_path: Path) -> None:
    saved(tmp_path, "grokking")
    (tmp_path / "more.json").write_text('{"act_fn": "gelu", "eps": 0.1}')
    (tmp_path / "last.json").write_text('{"act_fn": "tanh"}')
    found = convert(tmp_path, [tmp_path / "more.json", tmp_path / "last.json"])
    assert (found.config["act_fn"], found.config["eps"]) == ("tanh", 0.1)
    assert dict(found.said)["config"] == "`config.json`, `more.json`, `last.json`"


def test_the_same_bits_every_time(tmp_path: Path) -> None:
    saved(tmp_path / "theirs", "othello")
    for name in ("a", "b"):
        write(convert(tmp_path / "theirs", []), tmp_path / name)
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_weights_that_a_compiled_model_saved(tmp_path: Path) -> None:
    saved(tmp_path, "grokking")
    state = torch.load(tmp_path / "run_final.pth", weights_only=True)
    wrapped = {f"_orig_mod.{key}": one for key, one in state.items()}
    torch.save(wrapped, tmp_path / "run_final.pth")
    assert len(convert(tmp_path, []).weights) == 11


def test_one_dtype_and_biases_that_some_layers_lack(tmp_path: Path) -> None:
    saved(tmp_path, "redwood")
    state = torch.load(tmp_path / "run_final.pth", weights_only=True)
    state = {key: one.float() if one.is_floating_point() else one for key, one in state.items()}
    state["embed.W_E"] = state["embed.W_E"].half()
    state["blocks.1.attn.b_Q"] = torch.ones(3, 5)
    torch.save(state, tmp_path / "run_final.pth")
    found = convert(tmp_path, [])
    assert {one.dtype for one in found.weights.values()} == {torch.float32}
    assert found.config["qkv_bias"] and not found.config["o_bias"]
    assert not found.weights["blocks.0.attn.q.bias"].any()
    assert found.weights["blocks.1.attn.q.bias"].all()


def test_the_bias_behind_a_gate_is_folded(tmp_path: Path) -> None:
    """TransformerLens adds `b_in` to the product: (act(gate x) * up x + b_in) W_out."""
    torch.manual_seed(0)
    state, config, _ = grokking()
    state = {key: one for key, one in state.items() if "mask" not in key}
    d, m = 6, 24
    state |= {"embed.W_E": some(11, d), "blocks.0.attn.W_O": some(2, 3, d),
              "blocks.0.mlp.W_in": some(d, m), "blocks.0.mlp.W_gate": some(d, m),
              "blocks.0.mlp.W_out": some(m, d)}  # fmt: skip
    state |= {f"blocks.0.attn.W_{one}": some(2, d, 3) for one in "QKV"}
    torch.save(state, tmp_path / "a_final.pth")
    config |= {"act_fn": "silu", "normalization_type": None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = convert(tmp_path, [])
    assert "`b_in`" in dict(found.said)["folded"]
    from pathdsl.engine.toy.model import ToyConfig, ToyModel

    model = ToyModel(ToyConfig(**found.config)).double().eval()
    model.load_state_dict(found.weights)
    x = some(4, d)
    gate, up = x @ state["blocks.0.mlp.W_gate"], x @ state["blocks.0.mlp.W_in"]
    hidden = torch.nn.functional.silu(gate) * up + state["blocks.0.mlp.b_in"]
    wanted = hidden @ state["blocks.0.mlp.W_out"] + state["blocks.0.mlp.b_out"]
    with torch.no_grad():
        assert torch.allclose(model.blocks[0].mlp(x), wanted, rtol=0, atol=1e-12)


# ------------------------------------------------------------------------------- what is refused


def fault(code: str, place: Path, *configs: Path, layout: str = "") -> str:
    with pytest.raises(EngineError) as caught:
        convert(place, configs, layout)
    (one,) = caught.value.diagnostics
    assert one.code == code, one
    return " ".join((one.message, *one.notes, one.help))


class Loud:
    """Says so where it is unpickled."""

    def __reduce__(self) -> Any:
        return (print, ("unpickled",))


def test_files_that_hold_no_weights(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.pth"
    assert "there is no" in fault("PD670", file)
    torch.save({"model": Loud(), "x": torch.ones(2)}, file)
    assert "torch.save(model.state_dict()" in fault("PD670", file)
    assert "unpickled" not in capfd.readouterr().out
    file.write_bytes(b"\x80\x02cbuiltins\nprint\n.")
    fault("PD670", file)
    for bad in (b"", b"PK\x03\x04 and no more", b"{}"):
        file.write_bytes(bad)
        assert "cannot be read" in fault("PD670", file)
    for content in ([torch.ones(2)], {"a": 1}, {"model": {"w": torch.ones(2)},
                                                "other": {"w": torch.ones(2)}}):  # fmt: skip
        torch.save(content, file)
        fault("PD670", file)
    saved(tmp_path / "m", "redwood")
    state = torch.load(tmp_path / "m" / "run_final.pth", weights_only=True)
    state["embed.W_E"] = torch.ones(1).expand(10**9, 8)
    torch.save(state, file)
    assert "no plain tensor" in fault("PD670", file)


def test_weights_of_a_training_that_diverged(tmp_path: Path) -> None:
    saved(tmp_path / "m", "redwood")
    file = tmp_path / "m" / "run_final.pth"
    state = torch.load(file, weights_only=True)
    state["blocks.0.attn.W_O"][0, 0, :2] = torch.tensor([torch.nan, torch.inf])
    torch.save(state, file)
    size = f"{state['blocks.0.attn.W_O'].numel():,}"
    said = fault("PD670", file)
    assert "1 weight of the checkpoint holds" in said
    assert f"first `blocks.0.attn.W_O`: 1 of {size} are no numbers, 1 infinite" in said
    state["unembed.W_U"].fill_(-torch.inf)
    torch.save(state, file)
    assert "2 weights of the checkpoint hold infinite" in fault("PD670", file)


def test_folders_without_a_last_checkpoint(tmp_path: Path) -> None:
    assert "no files of weights" in fault("PD670", tmp_path)
    for name in ("a.pth", "b.pth"):
        torch.save({"w": torch.ones(2)}, tmp_path / name)
    said = fault("PD670", tmp_path)
    assert "`a.pth`, `b.pth`" in said and "none is the last one" in said


def square(folder: Path) -> None:
    """A checkpoint in which every matrix is square."""
    folder.mkdir()
    state = {"embed.W_E": some(4, 4), "pos_embed.W_pos": some(4, 4), "unembed.W_U": some(4, 4)}
    for one in "QKVO":
        state[f"blocks.0.attn.W_{one}"] = some(2, 4, 4)
    torch.save(state, folder / "a_final.pth")
    (folder / "config.json").write_text('{"normalization_type": null}')


def test_square_matrices(tmp_path: Path) -> None:
    square(tmp_path / "a")
    said = fault("PD671", tmp_path / "a")
    assert "`tl` and `solu-old`" in said and "--layout tl" in said
    one, other = (convert(tmp_path / "a", [], name) for name in ("tl", "solu-old"))
    assert torch.equal(one.weights["embed.weight"], other.weights["embed.weight"].T)


def changed(folder: Path, name: str, change: Callable[[State], object]) -> Path:
    saved(folder, name)
    state = torch.load(folder / "run_final.pth", weights_only=True)
    change(state)
    torch.save(state, folder / "run_final.pth")
    return folder


def test_weights_that_are_unknown_or_missing(tmp_path: Path) -> None:
    at = changed(tmp_path / "a", "redwood", lambda s: s.update({"blocks.0.attn.W_QQ": some(2, 2)}))
    assert "`blocks.0.attn.W_QQ`" in fault("PD672", at)
    at = changed(tmp_path / "b", "redwood", lambda s: s.update({"head.W": some(2, 2)}))
    assert "`head.W`" in fault("PD672", at, layout="tl")
    at = changed(tmp_path / "c", "redwood", lambda s: s.pop("blocks.1.attn.W_V"))
    assert "has no `blocks.1.attn.v.weight`" in fault("PD672", at)
    at = changed(tmp_path / "d", "grokking", lambda s: s.pop("unembed.W_U"))
    assert "`unembed.weight`" in fault("PD672", at)
    at = changed(tmp_path / "e", "redwood", lambda s: s.update({"ln_final.w": some(8)}))
    fault("PD672", at)
    at = changed(tmp_path / "f", "redwood", lambda s: [
        s.pop(key) for key in list(s) if key.startswith("blocks.0")
    ])  # fmt: skip
    assert "blocks.0" in fault("PD673", at)


HUGE = "9" * 5000


@pytest.mark.parametrize(
    ("key", "shape", "code", "said"),
    [("blocks.300000.attn.W_Q", (3, 8, 4), "PD673", "blocks.2"),
     (f"blocks.{HUGE}.attn.W_Q", (3, 8, 4), "PD672", "has not"),
     (f"blocks.{HUGE}.attn.mask", (9, 9), "PD672", "has not"),
     ("blocks.7.attn.mask", (9, 9), "PD672", "weights of 2 layers"),
     ("blocks.0.attn.mask", (), "PD673", "is of shape ()"),
     ("blocks.0.attn.rotary_sin", (3,), "PD673", "is of shape (3,)")],
    ids=["far layer", "no number", "no number of a table", "no layer", "no axis", "one axis"],
)  # fmt: skip
def test_keys_and_tables_that_lie(
    key: str, shape: tuple[int, ...], code: str, said: str, tmp_path: Path
) -> None:
    at = changed(tmp_path, "redwood", lambda s: s.update({key: torch.ones(shape)}))
    assert said in fault(code, at)


def test_weights_of_other_shapes(tmp_path: Path) -> None:
    at = changed(tmp_path / "a", "redwood", lambda s: s.update(
        {"blocks.1.attn.W_Q": some(3, 5, 8)}
    ))  # fmt: skip
    said = fault("PD673", at)
    assert "`blocks.1.attn.W_Q` is of shape (3, 5, 8), wanted (heads 3, d_model 8" in said
    saved(tmp_path / "b", "grokking")
    assert "wanted" in fault("PD673", tmp_path / "b", layout="tl")
    saved(tmp_path / "c", "redwood")
    for name, value in (("n_heads", 4), ("d_vocab", 12), ("n_layers", 3), ("n_ctx", 10)):
        (tmp_path / "x.json").write_text(json.dumps({name: value}))
        assert f"`{name}` of the config is {value}" in fault(
            "PD673", tmp_path / "c", tmp_path / "x.json"
        )
    saved(tmp_path / "d", "othello")
    (tmp_path / "x.json").write_text('{"n_heads": null}')
    assert "n_heads" in fault("PD673", tmp_path / "d", tmp_path / "x.json")


CONFIGS: Mapping[str, tuple[str, Mapping[str, Any], str]] = {
    "act": ("grokking", {"act_fn": "mish"}, "wanted one of `relu`"),
    "no act": ("grokking", {"act_fn": None}, '{"act_fn": "relu"}'),
    "norm": ("redwood", {"normalization": "LN"}, "no weights of norms"),
    "norm name": ("redwood", {"normalization": "Batch"}, "`LNPre`"),
    "other norm": ("solu_old", {"normalization_type": "RMS"}, "weights of LN norms"),
    "final": ("solu_old", {"final_rms": True}, "`final_rms`"),
    "positions": (
        "redwood", {"shortformer_pos": False, "positional_embedding_type": "rotary"},
        "has learned positions",
    ),
    "alibi": (
        "redwood", {"shortformer_pos": False, "positional_embedding_type": "alibi"}, "`standard`"
    ),
    "typo": ("pizza", {"attention_dir": "casual"}, "heads see every position"),
    "direction": ("redwood", {"attention_dir": "both"}, "`causal` or `bidirectional`"),
    "experts": ("grokking", {"num_experts": 4}, "`num_experts: 4`, which is not computed"),
    "qk": ("grokking", {"use_qk_norm": True}, "not computed"),
    "yarn": ("grokking", {"use_yarn_rope": True}, "not computed"),
    "gate": ("grokking", {"gated_mlp": True}, "the weights say otherwise"),
    "alone": ("grokking", {"attn_only": True}, "the weights say otherwise"),
    "size": ("grokking", {"d_model": "6"}, "a whole number above 0"),
    "switch": ("grokking", {"parallel_attn_mlp": "no"}, "true or false"),
    "scale": ("grokking", {"attn_scale": -2}, "`attn_scale`"),
    "types": ("redwood", {"use_local_attn": True, "attn_types": ["global"]}, "attn_types"),
    "local": (
        "redwood",
        {"use_local_attn": True, "attn_types": ["local", "global"], "window_size": 3},
        "is not the mask of the config",
    ),
    "kind": ("redwood", {"model_type": "gpt2"}, "model type `gpt2`"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_that_do_not_fit(name: str, tmp_path: Path) -> None:
    producer, fields, said = CONFIGS[name]
    saved(tmp_path, producer)
    (tmp_path / "more.json").write_text(json.dumps(fields))
    assert said in fault("PD674", tmp_path, tmp_path / "more.json")


def test_configs_that_cannot_be_read(tmp_path: Path) -> None:
    saved(tmp_path, "redwood")
    other = tmp_path / "more.json"
    assert "cannot be read" in fault("PD674", tmp_path, other)
    for text in ("{", "[1]", '{"a": 1, "a": 2}'):
        other.write_text(text)
        fault("PD674", tmp_path, other)


def test_what_the_model_of_transformer_lens_4_leaves_out(tmp_path: Path) -> None:
    """Its attention is scaled whatever `use_attn_scale` says, its rotations are of neighbours."""
    from pathdsl.engine.toy.model import ToyModel
    from tests.engine.toy_cases import make

    model = make("rotary", normalization_type="LN", attn_only=True, n_heads=2)
    assert isinstance(model, ToyModel)
    torch.save(model.state_dict(), tmp_path / "a_final.pth")
    config = {"n_heads": 2, "n_ctx": 9, "normalization_type": "LN", "use_attn_scale": False,
              "positional_embedding_type": "rotary"}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = convert(tmp_path, [])
    assert dict(found.said)["layout"].startswith("`tl4`")
    assert found.config["rotary_adjacent_pairs"] and "attn_scale" not in found.config
    for name in ("parallel_attn_mlp", "scale_attn_by_inverse_layer_idx", "use_local_attn"):
        (tmp_path / "x.json").write_text(json.dumps({name: True}))
        said = fault("PD674", tmp_path, tmp_path / "x.json")
        assert f"`{name}`, which the model of TransformerLens 4 does not compute" in said


def test_norms_that_leave_no_trace(tmp_path: Path) -> None:
    saved(tmp_path, "redwood")
    (tmp_path / "config.json").unlink()
    assert '{"normalization_type": null}' in fault("PD674", tmp_path)


def test_masks_and_tables_are_compared(tmp_path: Path) -> None:
    """A window that the config does not say, and a table of other angles."""
    banded = torch.ones(9, 9).tril().bool() & torch.ones(9, 9).triu(-2).bool()
    at = changed(tmp_path / "a", "redwood", lambda s: s.update({"blocks.0.attn.mask": banded}))
    assert "other positions" in fault("PD674", at)
    (tmp_path / "x.json").write_text(json.dumps(
        {"use_local_attn": True, "attn_types": ["local", "global"], "window_size": 3}
    ))  # fmt: skip
    assert convert(at, [tmp_path / "x.json"]).config["windows"] == [3, None]

    def turned(pairs: bool, base: float) -> Callable[[State], object]:
        angles = torch.arange(9.0)[:, None] / base ** (torch.arange(2.0) / 2)
        angles = angles.repeat_interleave(2, 1) if pairs else angles.repeat(1, 2)

        def change(state: State) -> None:
            state.pop("pos_embed.W_pos")
            for layer in (0, 1):
                state[f"blocks.{layer}.attn.rotary_sin"] = angles.sin()
                state[f"blocks.{layer}.attn.rotary_cos"] = angles.cos()

        return change

    rotary = {"shortformer_pos": False, "positional_embedding_type": "rotary", "rotary_dim": 4}
    (tmp_path / "r.json").write_text(json.dumps(rotary))
    at = changed(tmp_path / "b", "redwood", turned(False, 10000.0))
    assert not convert(at, [tmp_path / "r.json"]).config["rotary_adjacent_pairs"]
    for number, (pairs, base) in enumerate(((True, 10000.0), (False, 100.0))):
        at = changed(tmp_path / f"c{number}", "redwood", turned(pairs, base))
        assert "not the table of angles" in fault("PD674", at, tmp_path / "r.json")


# ------------------------------------------------------------------------------- the command


def test_the_command(tmp_path: Path) -> None:
    saved(tmp_path / "theirs", "grokking")
    (tmp_path / "theirs" / "tokenizer_config.json").write_text("{}")
    found = pathdsl("convert", "theirs", "ours", cwd=tmp_path)
    assert found.returncode == 0 and "wrote ours" in found.stdout, found
    assert "copied: `tokenizer_config.json`" in found.stdout
    assert (tmp_path / "ours" / "tokenizer_config.json").is_file()
    found = pathdsl("convert", "theirs", "ours", cwd=tmp_path)
    assert found.returncode == 2 and "--force" in found.stderr
    found = pathdsl("convert", "theirs", "ours", "--force", "--json", cwd=tmp_path)
    told = json.loads(found.stdout)
    assert told["config"]["model_type"] == "pathdsl_toy" and told["report"]["layout"]
    found = pathdsl("convert", "theirs", "other", "--layout", "tl", cwd=tmp_path)
    assert found.returncode == 2 and "PD673" in found.stderr
    assert not (tmp_path / "other").exists()
    found = pathdsl("convert", "theirs", "theirs", "--force", cwd=tmp_path)
    assert found.returncode == 2 and "written over" in found.stderr
    (tmp_path / "ours" / "tokenizer_config.json").unlink()
    found = pathdsl("doctor", "ours", cwd=tmp_path)
    assert found.returncode == 0 and "this model can be checked" in found.stdout, found


def test_an_adapter_of_what_was_converted(tmp_path: Path) -> None:
    saved(tmp_path, "solu_old")
    write(convert(tmp_path, []), tmp_path / "ours")
    source = ModelSource(kind="folder", location=str(tmp_path / "ours"))
    shape = adapter_for(load(source).model).shape
    assert shape.normed_hidden and shape.no_neurons
