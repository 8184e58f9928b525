"""The adapters built on Llama's block against the unmodified `transformers` models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.engine.adapters import Adapter, adapter_for
from pathdsl.engine.load.source import ModelSource, vet_config
from pathdsl.engine.load.weights import load
from pathdsl.errors import EngineError, ExitCode, LanguageError
from tests.engine.data_cases import SHARED
from tests.engine.family_cases import EVERY, FAMILIES, SMALL, Exact, make, some_ids

STORIES = SHARED / "models" / "stories260K"
LENGTHS = torch.tensor([9, 4, 1])
REAL = torch.arange(9) < LENGTHS[:, None]


def worst(adapter: Adapter) -> tuple[float, float]:
    """The largest difference at real tokens of padded rows, and the largest logit."""
    ids = some_ids()
    with torch.no_grad():
        ours, theirs = adapter.decomposed_forward(ids, LENGTHS), adapter.plain_forward(ids)
    return float((ours - theirs)[REAL].abs().max()), float(theirs[REAL].abs().max())


@pytest.mark.parametrize("name", FAMILIES)
def test_decomposed_forward_is_the_plain_one(name: str) -> None:
    assert worst(adapter_for(make(name)))[0] < 2e-5
    assert (
        worst(adapter_for(make(name).double()))[0] < 1e-6
    )  # `transformers` goes by way of float32
    with Exact():
        assert worst(adapter_for(make(name).double()))[0] < 1e-10
    for dtype in (torch.bfloat16, torch.float16):
        error, scale = worst(adapter_for(make(name).to(dtype)))
        assert error < 0.05 * scale


@pytest.mark.parametrize("name", FAMILIES)
def test_padding_does_not_reach_real_positions(name: str) -> None:
    adapter, ids = adapter_for(make(name)), some_ids()
    other = torch.where(REAL, ids, (ids + 1) % 11)
    with torch.no_grad():
        one, two = (adapter.decomposed_forward(x, LENGTHS) for x in (ids, other))
        masked = adapter.model(input_ids=ids, attention_mask=REAL.long()).logits  # type: ignore[attr-defined]
    if adapter.shape.mixture is None:
        assert torch.equal(one[REAL], two[REAL])
    # Tokens of one expert share a product, and the number of its rows may move last bits.
    assert torch.allclose(one[REAL], two[REAL], rtol=0, atol=1e-5) and torch.isfinite(one).all()
    assert (masked - one)[REAL].abs().max() < 2e-5


@pytest.mark.parametrize("name", FAMILIES)
def test_selected_heads_are_those_of_the_whole_layer(name: str) -> None:
    adapter = adapter_for(make(name).double())
    x, places = torch.randn(2, 5, 16).double(), torch.tensor([[3, 1, 4, 0, 5], [2, 2, 7, 1, 8]])
    for heads in ([2], [1, 2, 3], [3, 0], []):
        for slot in ("q", "k", "v"):
            whole = adapter.project(1, slot, x, positions=places)
            part = adapter.project(1, slot, x, heads, positions=places)
            assert torch.allclose(part, whole[..., heads, :], atol=1e-6)
            flat = adapter.project(1, slot, x.flatten(0, 1), heads, positions=places.flatten())
            assert torch.allclose(part.flatten(0, 1), flat, atol=1e-6)
        z = torch.randn(2, 5, 4, adapter.shape.d_head).double()
        each = adapter.write_each(1, z)
        assert torch.allclose(adapter.write_each(1, z[..., heads, :], heads), each[..., heads, :])
        assert torch.allclose(
            adapter.write(1, z[..., heads, :], heads), each[..., heads, :].sum(-2)
        )


@pytest.mark.parametrize("name", FAMILIES)
def test_a_patched_head_is_a_hook_on_the_output_projection(name: str) -> None:
    """Layer 1's head 2 from another prompt: its slice of what enters `o_proj`."""
    with Exact(), torch.no_grad():
        adapter = adapter_for(make(name).double())
        model, ids = adapter.model, some_ids(2)  # type: ignore[attr-defined]
        size, other = adapter.shape.d_head, some_ids(2).flip(0)
        part = slice(2 * size, 3 * size)
        entered: list[Tensor] = []
        attention = model.model.layers[1].self_attn
        projection = getattr(attention, "o_proj", None) or attention.dense
        keep = projection.register_forward_pre_hook(lambda _m, inputs: entered.append(inputs[0]))
        model(other)
        keep.remove()

        def put(_module: object, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            mixed = inputs[0].clone()
            mixed[..., part] = entered[0][..., part]
            return (mixed,)

        handle = projection.register_forward_pre_hook(put)
        wanted = model(ids).logits
        handle.remove()
        found = by_hand(adapter, ids, head=2, z=entered[0][..., part])
    assert (found - wanted).abs().max() < 1e-10
    assert (wanted - adapter.plain_forward(ids)).abs().max() > 1e-3


def by_hand(
    adapter: Adapter, ids: Tensor, *, head: int, z: Tensor | None = None, k: Tensor | None = None
) -> Tensor:
    """The forward pass from the adapter's parts, with layer 1's head output or key replaced."""
    places = torch.arange(ids.shape[1]).expand(ids.shape)
    resid = adapter.embed(ids)
    for layer in range(adapter.shape.n_layers):
        normed = adapter.attention_input(layer, resid)
        q, keys, v = (
            adapter.project(layer, slot, normed, positions=places).permute(2, 0, 1, 3)
            for slot in ("q", "k", "v")
        )
        if layer == 1 and k is not None:
            keys = keys.clone()
            keys[head] = k
        out, _ = adapter.attend(layer, q, keys, v, places)
        if layer == 1 and z is not None:
            out = out.clone()
            out[head] = z
        after = resid + adapter.attention_write(layer, out.permute(1, 2, 0, 3))
        resid = after + adapter.mlp(layer, resid if adapter.shape.parallel else after)
    return adapter.unembed(adapter.final_norm(resid))


def test_the_key_of_one_query_head_leaves_its_group_alone() -> None:
    """Against eager attention written out: heads 2 and 3 read one stored key, 2 another copy."""
    with Exact(), torch.no_grad():
        model = make("llama").double()
        adapter, (ids, other) = adapter_for(model), (some_ids(2), some_ids(2).flip(0))
        attention, caught = model.model.layers[1].self_attn, []
        handle = attention.k_proj.register_forward_hook(lambda _m, _i, out: caught.append(out))
        model(other)
        handle.remove()
        places = torch.arange(9)
        angles = places[:, None] * 10000.0 ** (-torch.arange(2).double() / 2)
        cos, sin = (x.repeat(1, 2) for x in (angles.cos(), angles.sin()))

        def turned(x: Tensor) -> Tensor:
            one, two = x[..., :2], x[..., 2:]
            return x * cos + torch.cat((-two, one), -1) * sin

        theirs = turned(caught[0].view(2, 9, 2, 4).transpose(1, 2))[:, 1]  # head 2 is of group 1

        def attend(module: object, inputs: tuple[Tensor], kwargs: dict, out: tuple) -> tuple:
            x = kwargs["hidden_states"]
            q = turned(attention.q_proj(x).view(2, 9, 4, 4).transpose(1, 2))
            k = turned(attention.k_proj(x).view(2, 9, 2, 4).transpose(1, 2))
            v = attention.v_proj(x).view(2, 9, 2, 4).transpose(1, 2)
            heads = []
            for head in range(4):
                key = theirs if head == 2 else k[:, head // 2]
                scores = q[:, head] @ key.transpose(1, 2) / 2
                scores = scores.masked_fill(places > places[:, None], -torch.inf)
                heads.append(scores.softmax(-1) @ v[:, head // 2])
            return (attention.o_proj(torch.cat(heads, -1)), out[1])

        handle = attention.register_forward_hook(attend, with_kwargs=True)
        wanted = model(ids).logits
        handle.remove()
        found = by_hand(adapter, ids, head=2, k=theirs)
    assert (found - wanted).abs().max() < 1e-10
    assert (wanted - adapter.plain_forward(ids)).abs().max() > 1e-4


def test_chosen_columns_and_the_final_stream() -> None:
    for name in ("llama", "gemma2", "olmo2"):
        adapter = adapter_for(make(name))
        x, ids = torch.randn(2, 3, 16), torch.tensor([[0, 10], [5, 5]])
        wanted = torch.gather(adapter.unembed(x), 2, ids[:, None].expand(2, 3, 2))
        assert torch.allclose(adapter.unembed_columns(x, ids), wanted, atol=1e-5)
        with torch.no_grad():
            stream, _ = adapter.final_stream(some_ids())
            again = adapter.unembed(adapter.final_norm(stream))
        assert torch.allclose(again, adapter.plain_forward(some_ids()), atol=1e-5)


def test_protocol() -> None:
    assert all(isinstance(adapter_for(make(name)), Adapter) for name in FAMILIES)


# ------------------------------------------------------------------------------------- the shape


@pytest.mark.parametrize("name", FAMILIES)
def test_the_config_on_disk_says_what_the_model_says(name: str, tmp_path: Path) -> None:
    model = make(name)
    model.save_pretrained(tmp_path)
    source = ModelSource(kind="folder", location=str(tmp_path), dtype="float64")
    loaded = load(source)
    config = json.loads((tmp_path / "config.json").read_text())
    assert vet_config(source, config) == loaded.adapter.shape == adapter_for(model).shape
    assert worst(loaded.adapter)[0] < 1e-6
    for key in ("layer_types", "no_rope_layers"):
        if "layer_types" not in EVERY[name][1]:  # those that the config would have by itself
            config.pop(key, None)
    assert vet_config(source, config) == loaded.adapter.shape


def test_windows_and_contexts() -> None:
    windows = {name: adapter_for(make(name)).shape.windows for name in FAMILIES}
    assert windows["llama"] == windows["mistral_full"] == ()
    assert windows["mistral"] == (3, 3, 3) and windows["phi3"] == (4, 4, 4)
    assert windows["qwen2"] == (None, 3, 3) and windows["smollm3"] == (None, 2, None)
    assert windows["gemma2"] == windows["gemma3"] == (3, None, 3)
    assert adapter_for(make("phi3_long")).shape.n_positions == 16
    assert adapter_for(make("llama_rope_yarn")).shape.n_positions == 32


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"rope_scaling": {"type": "spiral"}}, "PD612"),
        ({"use_bidirectional_attention": True}, "PD612"),
        ({"layer_types": ["chunked_attention"] * 3, "model_type": "qwen3"}, "PD612"),
        ({"num_key_value_heads": 3}, "PD615"),
        ({"hidden_size": None}, "PD615"),
        ({"layer_types": ["sliding_attention"] * 3, "model_type": "qwen2"}, "PD615"),
        ({"layer_types": ["full_attention"], "model_type": "qwen2"}, "PD615"),
        ({"quantization_config": {"bits": 4}}, "PD608"),
        ({"model_type": "gemma3", "text_config": {}}, "PD607"),
    ],
)
def test_refused_configs(changes: dict[str, object], code: str) -> None:
    source = ModelSource(kind="folder", location="nowhere")
    with pytest.raises(LanguageError) as caught:
        vet_config(source, {"model_type": "llama", **SMALL, **changes})
    assert caught.value.diagnostics[0].code == code


# ------------------------------------------------------------------------------------- refusals


def code_of(model: torch.nn.Module) -> str:
    with pytest.raises(EngineError) as caught:
        adapter_for(model.eval())
    return caught.value.diagnostics[0].code


def test_changed_modules() -> None:
    for name in ("llama", "phi3", "olmo2", "gemma3"):
        added, replaced, missing = make(name), make(name), make(name)
        added.model.layers[0].mlp.probe = torch.nn.Linear(2, 2)
        replaced.model.layers[1].self_attn.o_proj = torch.nn.Identity()
        del missing.model.layers[2].post_attention_layernorm
        assert [code_of(model) for model in (added, replaced, missing)] == ["PD612"] * 3


def test_subclasses_mixed_dtypes_quantised_and_training() -> None:
    class Mine(LlamaForCausalLM):
        pass

    assert code_of(Mine(make("llama").config)) == "PD607"
    mixed, marked = make("qwen3"), make("qwen3")
    mixed.model.layers[0].mlp.double()
    marked.config.quantization_config = {"quant_method": "bitsandbytes"}
    assert code_of(mixed) == "PD612" and code_of(marked) == "PD608"
    with pytest.raises(EngineError, match="training mode"):
        adapter_for(make("olmo").train())


# ------------------------------------------------------------------------- a real grouped model

PRONOUN = """
circuit pronoun {{ language = 1 }}
model stories = folder("{model}", dtype: float32)
task t {{
  data = jsonl("rows.jsonl")
  reference = prompt
  treated = other
}}
metric L: logits = logit(she) - logit(he)
let by_head for h in a4: logits = mean(L(reference) - L(treat(h -> logits)))
path all = within(attn, mlp)
path keys = input -[k]-> a2.h3 ~> logits
let one_key: logits = mean(abs(L(treat(keys)) - L(reference)))
claim knows: mean(L(reference) - L(treat(full))) > 4 at 95% confidence
claim whole: faithfulness(all, metric: L) >= 99% at 95% confidence
"""


@pytest.mark.skipif(not STORIES.is_dir(), reason=f"the stories model is not at {STORIES}")
def test_a_trained_llama(tmp_path: Path) -> None:
    pairs = [("Lily", "Tim"), ("Lucy", "Jack"), ("Ann", "Jack")]  # of equally many tokens
    pairs += [(girl, boy) for girl in ("Mia", "Amy", "Sue", "Mary", "Sara")
              for boy in ("Max", "Bob", "Jim")]  # fmt: skip
    rows = [
        {
            "id": f"{number}-{girl}-{boy}",
            "prompt": f"{begin}, there was a little girl named {girl}.",
            "other": f"{begin}, there was a little boy named {boy}.",
            "she": "She",
            "he": "He",
        }
        for number, begin in enumerate(("Once upon a time", "One day"))
        for girl, boy in pairs
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "pronoun.circuit").write_text(PRONOUN.format(model=STORIES))
    options = CheckOptions(threads=1, allow_outside=True)
    outcome = check_file(str(tmp_path / "pronoun.circuit"), options)
    assert outcome.judgement is not None, [f"{d.code} {d.message} {d.notes}" for d in
                                           outcome.diagnostics]  # fmt: skip
    verdicts = {c.name: str(c.verdict) for c in outcome.judgement.claims}
    assert outcome.exit_code is ExitCode.AS_EXPECTED, verdicts
    assert {proof.code for _, proof in outcome.proofs} >= {"PD630", "PD631", "PD632", "PD634"}
    assert all(proof.holds for _, proof in outcome.proofs)
    assert {q.name: q.estimate for q in outcome.judgement.quantities}["one_key"] > 0
