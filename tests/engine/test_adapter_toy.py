"""The adapter of toy models against their reference module, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.attribution.vet import vet
from pathdsl.engine.load.source import ModelSource, shape_of, vet_config
from pathdsl.engine.load.weights import load
from pathdsl.errors import LanguageError, PlanError
from pathdsl.graph.check import check_graph
from pathdsl.graph.model.families import toy_shape
from pathdsl.graph.model.toy import TOY, toy_spec
from tests.engine import decoder_cases as cases
from tests.engine.attribution_cases import asked
from tests.engine.toy_cases import SMALL, VARIANTS, make
from tests.graph.helpers import program


@pytest.mark.parametrize("name", VARIANTS)
def test_decomposed_forward_is_the_plain_one(name: str) -> None:
    """In float64 to its own rounding: nothing on the way is float32."""
    lengths = torch.tensor([9, 4, 1])
    model = make(name)
    for dtype, most in ((torch.float32, 1e-4), (torch.float64, 1e-12)):
        adapter = adapter_for(model.to(dtype))
        assert cases.worst(adapter) < most
        assert cases.worst(adapter, lengths) < most
    assert adapter.precision == torch.float64


def test_half_precision_and_padding() -> None:
    cases.check_half(TOY)
    cases.check_padding(TOY)


PARTS = [
    "no_norm",
    "brackets",
    "ln",
    "rms_pre",
    "rotary",
    "parallel",
    "grouped",
    "windows",
    "attn_scale",
]


@pytest.mark.parametrize("name", PARTS)
def test_parts_stream_and_proofs(name: str) -> None:
    cases.check_parts_agree(TOY, **VARIANTS[name])
    cases.check_stream(TOY, **VARIANTS[name])
    cases.check_proofs(TOY, **VARIANTS[name])


def test_shortformer_adds_positions_to_queries_and_keys_alone() -> None:
    """And to nothing of the stream: a value is the same wherever it stands."""
    adapter = adapter_for(make("shortformer").double())
    x, one, other = torch.randn(2, 8).double(), torch.tensor([0, 1]), torch.tensor([5, 1])
    for slot in ("q", "k", "v"):
        here, there = (adapter.project(0, slot, x, positions=at) for at in (one, other))
        assert torch.equal(here[1], there[1])
        assert torch.equal(here[0], there[0]) == (slot == "v")
    ids = torch.tensor([[3, 3]])
    assert torch.equal(adapter.embed(ids)[0, 0], adapter.embed(ids)[0, 1])
    assert adapter.input_weight(0, "q") is None and adapter.input_weight(0, "v") is not None


@pytest.mark.parametrize(
    "name", ["no_norm", "ln", "grouped", "caps", "attn_coeff", "parallel", "brackets"]
)
def test_patch_of_one_head_is_that_of_hooks(name: str) -> None:
    cases.check_head_patch(TOY, **VARIANTS[name])


def test_rows_of_a_bent_pattern() -> None:
    """With a rate of 0.3 over n visible keys they sum to 0.3 + 0.7 n."""
    adapter = adapter_for(make("attn_coeff").double())
    q = torch.randn(1, 1, 4, 3).double()
    _, pattern = adapter.attend(0, q, q, q, torch.arange(4).expand(1, 4), want_pattern=True)
    assert pattern is not None
    wanted = 0.3 + 0.7 * torch.arange(1, 5).double()
    assert torch.allclose(pattern.sum(-1)[0, 0], wanted)
    assert bool((pattern[0, 0].triu(1) == 0).all())


def test_from_disk(tmp_path: Path) -> None:
    cases.check_from_disk(TOY, tmp_path, {})


def test_every_switch_survives_the_disk(tmp_path: Path) -> None:
    for name in VARIANTS:
        folder = tmp_path / name
        make(name).save_pretrained(folder)
        source = ModelSource(kind="folder", location=str(folder), dtype="float64")
        loaded = load(source)
        assert loaded.adapter.shape == shape_of(source) == adapter_for(make(name)).shape
        ids = cases.some_ids()
        with torch.no_grad():
            assert torch.equal(loaded.model(ids).logits, make(name).double()(ids).logits), name


def test_refusals() -> None:
    make("ln")
    model: Any = make("ln")
    model.blocks[1].attn.probe = torch.nn.Linear(2, 2).eval()
    assert cases.code_of(model) == "PD612"
    model = make("ln")
    model.blocks[1].ln2 = torch.nn.RMSNorm(8).eval()
    assert cases.code_of(model) == "PD612"
    model = make("ln")
    model.blocks[0].attn.q.double()
    assert cases.code_of(model) == "PD612"
    model = make("ln")
    model.train()
    assert cases.code_of(model) == "PD618"

    class Mine(type(model)):  # type: ignore[misc]
        pass

    assert cases.code_of(Mine(model.config).eval()) == "PD607"


# ------------------------------------------------------------------------------- configs

WRONG: dict[str, tuple[dict[str, object], str]] = {
    "typo": ({"atn_only": True}, "did you mean `attn_only`"),
    "act": ({"act_fn": "mish"}, "wanted one of `relu`"),
    "no act": ({"act_fn": None}, "`act_fn` is `None`"),
    "norm": ({"normalization_type": "BatchNorm"}, "`LN`, `LNPre`, `RMS`, `RMSPre`"),
    "positions": ({"positional_embedding_type": "alibi"}, "`standard`"),
    "direction": ({"attention_dir": "casual"}, "`causal`, `bidirectional`"),
    "text": ({"n_layers": "2"}, "wanted a whole number"),
    "truth": ({"n_heads": True}, "wanted a whole number"),
    "none": ({"d_head": 0}, "wanted a whole number"),
    "groups": ({"n_key_value_heads": 3}, "do not share out"),
    "rotary": (
        {"positional_embedding_type": "rotary", "rotary_dim": 3}, "not an even part of a head"
    ),
    "scale": ({"attn_scale": 0}, "wanted a number above 0"),
    "eps": ({"eps": -1}, "wanted a number of at least 0"),
    "rate": ({"attn_coeff": 1.5}, "wanted a number from 0 to 1"),
    "cap": ({"output_logits_soft_cap": "no"}, "wanted a number above 0"),
    "windows": ({"windows": [3]}, "for 2 layers"),
    "window": ({"windows": [0, None]}, "a number of positions or null"),
    "switch": ({"gated_mlp": "no"}, "wanted true or false"),
    "tied": ({"tie_word_embeddings": True}, "two matrices of its own"),
    "gated solu_ln": ({"gated_mlp": True, "act_fn": "solu_ln"}, "gated_mlp"),
    "huge": ({"n_layers": 10**9}, "wanted a whole number"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_configs_that_cannot_be(name: str) -> None:
    fields, said = WRONG[name]
    config = {**SMALL, "model_type": TOY, **fields}
    with pytest.raises(LanguageError) as caught:
        vet_config(ModelSource(kind="folder", location="x"), config)
    (fault,) = caught.value.diagnostics
    assert fault.code == "PD615" and said in fault.message, fault.message


@pytest.mark.parametrize("missing", ["d_vocab", "n_ctx", "normalization_type", "d_mlp"])
def test_what_must_be_given(missing: str) -> None:
    config = {name: value for name, value in SMALL.items() if name != missing}
    with pytest.raises(ValueError, match=missing):
        toy_spec(config)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    make("ln").save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    source = ModelSource(kind="folder", location=str(tmp_path))
    for fields in ({"normalization_type": None}, {"qkv_bias": False}, {"d_vocab_out": 3}):
        path.write_text(json.dumps({**config, **fields}))
        with pytest.raises(Exception, match="do not fit its config"):
            load(source)


# ------------------------------------------------------------------------------- the graph


def test_neurons_behind_the_norm_of_solu_ln() -> None:
    shape = toy_shape({**SMALL, **VARIANTS["solu_ln"]})
    (fault,) = check_graph(program("path p = through(m1.n3)\n"), shape)
    assert fault.code == "PD212" and "a norm stands between neurons" in fault.label
    with pytest.raises(PlanError, match="write nothing of their own"):
        vet(asked("atp", "neurons"), shape, False)
    assert not check_graph(program("path p = through(m1)\n"), shape)
    assert not check_graph(program("path p = through(m1.n3)\n"), toy_shape({**SMALL}))


@pytest.mark.parametrize("method", ["atp_qk", "atp_star", "peap"])
def test_formulas_of_a_softmax_are_refused_on_a_bent_pattern(method: str) -> None:
    bent = toy_shape({**SMALL, **VARIANTS["attn_coeff"]})
    with pytest.raises(PlanError, match="through a softmax"):
        vet(asked(method, "edges" if method == "peap" else "nodes"), bent, False)
    vet(asked("atp"), bent, False)


def test_attention_alone() -> None:
    shape = toy_shape({**SMALL, **VARIANTS["attn_only"]})
    assert not shape.has_mlp and shape.n_senders == 5
    (fault,) = check_graph(program("path p = a0.h1 -> m1\n"), shape)
    assert fault.code == "PD205"
