"""Tiny random decoders, GPT-Neo to MPT and toy models, and checks that hold for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from pathdsl.engine.adapters import Adapter, adapter_for
from pathdsl.engine.data.task import DataCall, TaskSpec
from pathdsl.engine.load.source import ModelSource, shape_of
from pathdsl.engine.load.weights import load
from pathdsl.engine.planner import Planner
from pathdsl.engine.self_check import prove
from pathdsl.errors import EngineError
from tests.engine import toy_cases
from tests.engine.engine_cases import PAIRED, TASK
from tests.engine.family_cases import Exact
from tests.engine.tree_cases import open_case
from tests.oracle.cases import Case, CaseRow

torch.set_num_threads(1)

VOCABULARY = 11
SMALL: Mapping[str, Mapping[str, Any]] = {
    "gpt_neo": {"max_position_embeddings": 12, "num_layers": 2, "num_heads": 2, "window_size": 2,
                "attention_types": [[["local", "global"], 1]], "intermediate_size": 12},
    "gptj": {"n_positions": 12, "n_embd": 8, "n_layer": 2, "n_head": 2, "rotary_dim": 2,
             "n_inner": 12},
    "gpt_neox": {"max_position_embeddings": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
                 "intermediate_size": 12, "rotary_pct": 0.5},
    "opt": {"max_position_embeddings": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
            "ffn_dim": 12},
    "falcon": {"max_position_embeddings": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
               "ffn_hidden_size": 12},
    "bloom": {"n_layer": 2, "n_head": 2},
    "mpt": {"max_seq_len": 12, "n_layers": 2, "n_heads": 2},
    toy_cases.TOY: toy_cases.SMALL,
}  # fmt: skip
# family -> the module that writes heads to the stream, for hooks on the unmodified model
WRITERS: Mapping[str, Callable[[Any, int], nn.Linear]] = {
    "gpt_neo": lambda model, layer: model.transformer.h[layer].attn.attention.out_proj,
    "gptj": lambda model, layer: model.transformer.h[layer].attn.out_proj,
    "gpt_neox": lambda model, layer: model.gpt_neox.layers[layer].attention.dense,
    "opt": lambda model, layer: model.model.decoder.layers[layer].self_attn.out_proj,
    "falcon": lambda model, layer: model.transformer.h[layer].self_attention.dense,
    "bloom": lambda model, layer: model.transformer.h[layer].self_attention.dense,
    "mpt": lambda model, layer: model.transformer.blocks[layer].attn.out_proj,
    toy_cases.TOY: lambda model, layer: model.blocks[layer].attn.o,
}


def make(family: str, attention: str = "eager", seed: int = 0, **options: object) -> Any:
    """A random model in float32 whose weights, biases and norms are far from their first values."""
    if family == toy_cases.TOY:
        return toy_cases.make("no_norm", seed, **options)
    settings: dict[str, Any] = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 0}
    settings |= {"pad_token_id": None} if family != "opt" else {"pad_token_id": 1}
    settings |= {"mpt": {"d_model": 8}, "gptj": {}}.get(family, {"hidden_size": 8})
    config = AutoConfig.for_model(family, **{**settings, **SMALL[family], **options})
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn(parameter.shape))
    return model


def some_ids(rows: int = 3, pos: int = 9) -> torch.Tensor:
    return torch.randint(VOCABULARY, (rows, pos), generator=torch.Generator().manual_seed(1))


def worst(adapter: Adapter, lengths: torch.Tensor | None = None) -> float:
    """The largest difference of decomposed and plain logits at real tokens."""
    ids = some_ids()
    with torch.no_grad():
        ours = adapter.decomposed_forward(ids, lengths)
        theirs = adapter.plain_forward(ids, lengths)
    real = torch.arange(ids.shape[1]) < (lengths[:, None] if lengths is not None else 99)
    real = real.expand(ids.shape)
    return float((ours[real] - theirs[real]).abs().max())


def code_of(model: nn.Module) -> str:
    """The code with which a model is refused."""
    with pytest.raises(EngineError) as caught:
        adapter_for(model)
    return caught.value.diagnostics[0].code


# ------------------------------------------------------------------------------------- checks


def check_forward(family: str, attention: str, **options: object) -> None:
    """Decomposed = plain, in float32, in float64 and, without any float32 inside, to 1e-10."""
    model = make(family, attention, **options)
    adapter = adapter_for(model)
    lengths = torch.tensor([9, 4, 1])
    assert worst(adapter) < 1e-4
    assert worst(adapter, lengths) < 1e-4
    adapter = adapter_for(model.double())
    assert worst(adapter) < 1e-5
    with Exact():
        assert worst(adapter) < 1e-10
        assert worst(adapter, lengths) < 1e-10


def check_stays_in_float64(family: str, **options: object) -> None:
    """Where `transformers` computes in float64 throughout, so does the adapter."""
    assert worst(adapter_for(make(family, "sdpa", **options).double())) < 1e-10


def check_half(family: str) -> None:
    """Half precision runs, and stays as near as it can."""
    for dtype in (torch.bfloat16, torch.float16):
        adapter = adapter_for(make(family).to(dtype))
        assert adapter.dtype == dtype
        with torch.no_grad():
            scale = float(adapter.plain_forward(some_ids()).abs().max())
        assert worst(adapter) < 0.05 * scale


def check_padding(family: str) -> None:
    """What stands at padding reaches no real position."""
    adapter, ids, lengths = adapter_for(make(family).double()), some_ids(), torch.tensor([9, 4, 1])
    other = torch.where(torch.arange(9) < lengths[:, None], ids, (ids + 1) % VOCABULARY)
    with torch.no_grad():
        one, two = (adapter.decomposed_forward(x, lengths) for x in (ids, other))
    assert torch.equal(one[1, :4], two[1, :4])
    assert torch.isfinite(one).all()


def check_parts_agree(family: str, attention: str = "eager", **options: object) -> None:
    """Chosen heads, flat positions, single writes and columns are parts of the whole."""
    model = make(family, attention, **options)
    adapter = adapter_for(model.double())
    n_heads, d_head = adapter.shape.n_heads, adapter.shape.d_head
    x = torch.randn(2, 5, 8).double()
    grid = torch.tensor([[0, 1, 2, 3, 4], [4, 0, 7, 7, 2]])
    for slot in ("q", "k", "v"):
        whole = adapter.project(1, slot, x, positions=grid)
        assert whole.shape == (2, 5, n_heads, d_head)
        flat = adapter.project(1, slot, x.flatten(0, 1), positions=grid.flatten())
        assert torch.allclose(flat.view_as(whole), whole)
        assert torch.allclose(adapter.project(1, slot, x)[0], whole[0])
        one = adapter.project(1, slot, x[:, 2], positions=torch.tensor(2))
        assert torch.allclose(one[0], whole[0, 2])
        for heads in ([1], [1, 0], []):
            some = adapter.project(1, slot, x, heads, grid)
            assert torch.allclose(some, whole[..., heads, :])
    z = torch.randn(2, 5, n_heads, d_head).double()
    each = adapter.write_each(1, z)
    assert torch.allclose(adapter.write(1, z), each.sum(-2))
    assert torch.allclose(adapter.write(1, z[..., [1], :], [1]), each[..., 1, :])
    assert torch.allclose(adapter.attention_write(1, z), each.sum(-2) + adapter.write_bias(1))
    normed, ids = torch.randn(2, 3, 8).double(), torch.tensor([[0, 10], [5, 5]])
    wanted = torch.gather(adapter.unembed(normed), 2, ids[:, None].expand(2, 3, 2))
    assert torch.allclose(adapter.unembed_columns(normed, ids), wanted)
    q, k, v = (torch.randn(n_heads, 2, 7, d_head).double() for _ in range(3))
    out, pattern = adapter.attend(0, q, k, v, torch.arange(7).expand(2, 7), want_pattern=True)
    assert pattern is not None
    assert torch.allclose(pattern.sum(-1), torch.ones(()).double())
    assert torch.equal(out, adapter.mix(pattern, v))
    assert isinstance(adapter, Adapter)


def check_stream(family: str, attention: str = "eager", **options: object) -> None:
    """Input and every component's write add up to what enters the final norm."""
    adapter, ids = adapter_for(make(family, attention, **options).double()), some_ids()
    places = torch.arange(9).expand(3, 9)
    with torch.no_grad(), Exact():
        resid = total = adapter.embed(ids)
        for layer in range(adapter.shape.n_layers):
            normed = adapter.attention_input(layer, resid)
            q, k, v = (
                adapter.project(layer, slot, normed, positions=places).permute(2, 0, 1, 3)
                for slot in ("q", "k", "v")
            )
            z = adapter.attend(layer, q, k, v, places)[0].permute(1, 2, 0, 3)
            after = resid + adapter.attention_write(layer, z)
            out = adapter.mlp(layer, resid if adapter.shape.parallel else after)
            total = total + adapter.write_each(layer, z).sum(-2) + adapter.write_bias(layer) + out
            resid = after + out
        assert torch.allclose(total, adapter.final_stream(ids)[0], atol=1e-10)


def check_refusals(family: str, remove: str, replace: str, embedding: str) -> None:
    """Wrappers, added, replaced, missing, quantised, mixed, unloaded, training: by their codes."""
    plain = make(family)

    class Mine(type(plain)):  # type: ignore[misc]
        pass

    assert code_of(Mine(plain.config).eval()) == "PD607"
    added, replaced, missing, mixed, rounded, training = (make(family) for _ in range(6))
    added.get_submodule(replace).probe = nn.Linear(2, 2).eval()
    assert code_of(added) == "PD612"
    parent, _, name = replace.rpartition(".")
    setattr(replaced.get_submodule(parent), name, nn.Bilinear(2, 2, 2).eval())
    assert code_of(replaced) == "PD612"
    parent, _, name = remove.rpartition(".")
    delattr(missing.get_submodule(parent), name)
    assert code_of(missing) == "PD612"
    mixed.get_submodule(remove).double()
    assert code_of(mixed) == "PD612"
    plain.config.quantization_config = {"quant_method": "bitsandbytes"}
    assert code_of(plain) == "PD608"
    weight = torch.zeros(VOCABULARY, 8, dtype=torch.int8)
    rounded.get_submodule(embedding).weight = nn.Parameter(weight, requires_grad=False)
    assert code_of(rounded) == "PD608"
    training.get_submodule(remove).train()
    assert code_of(training) == "PD618"


def check_from_disk(family: str, folder: Path, saved: Mapping[str, torch.Tensor]) -> None:
    """A saved model loads, its config gives its shape; old buffers in the file do no harm."""
    model = make(family)
    model.save_pretrained(folder)
    source = ModelSource(kind="folder", location=str(folder))
    loaded = load(source)
    assert shape_of(source) == loaded.adapter.shape
    assert loaded.facts["attention"] == "eager"
    with torch.no_grad():
        wanted = model(some_ids()).logits
        assert torch.equal(loaded.adapter.plain_forward(some_ids()), wanted)
    file = folder / "model.safetensors"
    weights = load_file(file)
    save_file({**weights, **saved}, file, metadata={"format": "pt"})
    with torch.no_grad():
        assert torch.equal(load(source).adapter.plain_forward(some_ids()), wanted)
    save_file({**weights, "transformer.probe.bias": torch.ones(2)}, file, metadata={"format": "pt"})
    with pytest.raises(EngineError) as caught:
        load(source)
    assert caught.value.diagnostics[0].code == "PD605"


def check_proofs(family: str, attention: str = "eager", **options: object) -> None:
    """Every proof of the self-check holds in each dtype; float64 as `transformers` rounds it."""
    spec = TaskSpec(name="t", data=DataCall(name="jsonl"), reference="prompt", treated=PAIRED)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        adapter = adapter_for(make(family, attention, **options).to(dtype))
        found = prove(Planner(adapter.shape, {"t": TASK}, {"t": spec}), adapter, TASK)
        assert [proof.code for proof in found] == ["PD630", "PD631", "PD632", "PD633"]
        assert all(proof.holds for proof in found), found


# ------------------------------------------------------------------------------------- patches

REFERENCE, TREATED = (3, 1, 4, 1), (5, 9, 2, 6)


def check_head_patch(family: str, attention: str = "eager", **options: object) -> None:
    """`treat(a0.h1)` and `treat(a1.h0@END)` are the patches that hooks make."""
    model = make(family, attention, **options).double()
    row = CaseRow(reference=REFERENCE, treated=TREATED, positions={}, template="x")
    for text, layer, head, at in (("a0.h1", 0, 1, [0, 1, 2, 3]), ("a1.h0@END", 1, 0, [3])):
        case = Case(config={}, seed=0, rows=(row,), text=f"path P = {text}\n", run="treat")
        one = open_case(case, model=model)
        part = slice(head * one.adapter.shape.d_head, (head + 1) * one.adapter.shape.d_head)
        writer, seen = WRITERS[family](model, layer), []
        with torch.no_grad(), Exact():
            handle = writer.register_forward_pre_hook(lambda _m, a, s=seen: s.append(a[0].clone()))
            model(torch.tensor([TREATED]))
            handle.remove()

            def put(
                _m: nn.Module, args: tuple, s: list = seen, p: slice = part, a: list = at
            ) -> Any:
                changed = args[0].clone()
                changed[:, a, p] = s[0][:, a, p]
                return (changed,)

            handle = writer.register_forward_pre_hook(put)
            wanted = model(torch.tensor([REFERENCE])).logits[0, -1]
            handle.remove()
            plain = model(torch.tensor([REFERENCE])).logits[0, -1]
            found = one.logits([one.run(one.treated)])[0, 0]
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-10, rtol=0)
        assert np.abs(found - plain.numpy()).max() > 1e-3
