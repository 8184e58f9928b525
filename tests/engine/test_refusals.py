"""What is not loaded, by name: other kinds of models, shards, adapters, quantised weights."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import nn

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.load import devices
from pathdsl.engine.load.devices import check_placed, device_text
from pathdsl.engine.load.files import folder_files
from pathdsl.engine.load.source import vet_config
from pathdsl.engine.load.versions import TESTED, in_range
from pathdsl.engine.load.weights import load
from pathdsl.errors import EngineError, LanguageError, Severity
from tests.engine import decoder_cases, family_cases
from tests.engine.test_load import at, configure, folder, refused, rewrite, saved

__all__ = ["folder", "saved"]  # fixtures


@pytest.fixture(autouse=True)
def _as_before() -> object:
    yield
    torch.set_deterministic_debug_mode("default")


def raised(model: nn.Module) -> tuple[str, str, str]:
    with pytest.raises(EngineError) as caught:
        adapter_for(model)
    found = caught.value.diagnostics[0]
    return found.code, found.message, found.help


# ------------------------------------------------------------------------------- PEFT


def test_a_folder_of_an_adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    refused(at(folder), "PD607", 2, "adapter_config.json", "merge_and_unload()")
    (folder / "config.json").unlink()
    refused(at(folder), "PD607", 2, "PEFT")


def test_adapters_in_a_loaded_model() -> None:
    model = family_cases.make("llama")
    lora = type("Linear", (nn.Linear,), {"__module__": "peft.tuners.lora.layer"})(8, 8)
    model.model.layers[0].self_attn.q_proj = lora  # type: ignore[union-attr, index]
    code, message, advice = raised(model)
    assert code == "PD607" and "`model.layers.0.self_attn.q_proj`" in message and "PEFT" in message
    assert "merge_and_unload" in advice


# ------------------------------------------------------------------------------- shards


def test_tensor_parallel_models() -> None:
    model = family_cases.make("llama")
    model._tp_size = 2  # type: ignore[assignment]
    code, message, advice = raised(model)
    assert code == "PD612" and "tensor-parallel" in message and "--device auto" in advice
    model._tp_size = 1  # type: ignore[assignment]
    adapter_for(model)
    shard = type("DTensor", (torch.Tensor,), {})
    weight = model.model.norm.weight  # type: ignore[union-attr]
    model.model.norm.weight = nn.Parameter(weight.detach().as_subclass(shard))  # type: ignore
    code, message, _ = raised(model)
    assert code == "PD612" and "`model.norm.weight` is a DTensor" in message


def test_an_index_of_missing_shards(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    names = [f"model-0000{i}-of-00005.safetensors" for i in range(1, 6)]
    index.write_text(json.dumps({"weight_map": {f"w{i}": name for i, name in enumerate(names)}}))
    save_file({"w1": torch.ones(1)}, folder / names[1])
    refused(at(folder), "PD609", 3, "4 of the 5", names[0], "and 1 more", "download them again")
    for text in ("{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"w": 1}}'):
        index.write_text(text)
        refused(at(folder), "PD609", 3, "index.json")
    index.write_text(json.dumps({"weight_map": {"w": "../model.safetensors"}}))
    refused(at(folder), "PD609", 3, "no files beside it")


def test_only_the_shards_of_the_index_are_read(folder: Path) -> None:
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="1KB")
    save_file({"w": torch.ones(1)}, folder / "model-other.safetensors")
    _, files = folder_files(at(folder))
    assert files and "model-other.safetensors" not in [path.name for path in files]


@pytest.mark.parametrize(
    "name", ["pytorch_model-00001-of-00002.bin", "consolidated.00.pth", "model.ckpt"]
)
def test_pickled_shards(name: str, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / name)
    refused(at(folder), "PD603", 3, name, "pickle runs code", "save_pretrained")


def test_safetensors_beside_a_pickle(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"not a pickle at all")
    load(at(folder))


# ------------------------------------------------------------------------------- quantised weights


def test_other_configs_of_quantisation(folder: Path) -> None:
    configure(folder, compression_config={"format": "int-quantized"})
    refused(at(folder), "PD608", 2, "compression_config")


def test_integers_in_the_weight_file(folder: Path) -> None:
    name = "transformer.h.0.mlp.c_fc.weight"
    rewrite(folder, lambda weights: weights.update({name: weights[name].to(torch.int8)}))
    refused(at(folder), "PD608", 3, name, "I8")


# ------------------------------------------------------------------------------- kinds of models


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "mamba2"}, ("`mamba2`", "supported model types: `gpt2`")),
        ({}, ("`unknown`",)),
        (
            {"model_type": "jamba", "num_experts": 8},
            ("`jamba` is a mixture of experts (`num_experts: 8`)", "one MLP", "`mixtral`"),
        ),
        ({"model_type": "glm4_moe", "num_experts": 128}, ("`num_experts: 128`",)),
        ({"model_type": "deepseek_v3", "n_routed_experts": 256}, ("mixture of experts",)),
        (
            {"model_type": "llava", "vision_config": {"a": 1},
             "text_config": {"model_type": "llama"}},
            ("`llava` reads images beside text", "model type `llama`"),
        ),
        (
            {"model_type": "llama4", "vision_config": {"a": 1},
             "text_config": {"num_local_experts": 16}},
            ("`llama4` is a mixture of experts (`num_local_experts: 16`)",),
        ),
        ({"model_type": "qwen2_audio", "audio_config": {"a": 1}}, ("reads sound",)),
        ({"model_type": "gemma3n", "vision_config": {"a": 1}}, ("AltUp", "one residual stream")),
        ({"model_type": "gemma3n_text"}, ("AltUp", "Gemma 1, 2 or 3")),
        ({"model_type": "lfm2"}, ("short convolutions", "no node")),
        ({"model_type": "lfm2_moe", "num_experts": 4}, ("short convolutions",)),
        ({"model_type": "bitnet", "quantization_config": {"a": 1}}, ("attn_sub_norm", "unrounded")),
        ({"model_type": "t5", "is_encoder_decoder": True}, ("encoder", "decoder-only")),
    ],
)  # fmt: skip
def test_kinds_of_models(config: dict[str, object], said: tuple[str, ...], folder: Path) -> None:
    with pytest.raises(LanguageError) as caught:
        vet_config(at(folder), config)
    (found,) = caught.value.diagnostics
    text = " ".join((found.message, *found.notes, found.help))
    assert found.code == "PD607"
    for words in said:
        assert words in text


def test_a_decoder_without_experts_is_not_refused(folder: Path) -> None:
    model = family_cases.make("llama")
    vet_config(at(folder), {**model.config.to_dict(), "num_experts": 0, "vision_config": None})


# ------------------------------------------------------------------------------- how it is loaded


def test_how_transformers_is_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Safetensors only, no code of the model, the declared dtype whatever the config says."""
    asked: list[dict[str, object]] = []
    real = transformers.AutoModelForCausalLM.from_pretrained

    def spy(place: str, **options: object) -> object:
        asked.append(options)
        return real(place, **options)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", spy)
    configure(folder, dtype="bfloat16", torch_dtype="bfloat16")
    loaded = load(at(folder))
    (options,) = asked
    assert options["use_safetensors"] is True
    assert options["trust_remote_code"] is False
    assert options["dtype"] is torch.float32
    assert "device_map" not in options
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    assert loaded.facts["dtype"] == "float32"


def test_a_tokenizer_with_its_own_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": [None, "evil.Mine"]}, "tokenizer_class": "Mine"})
    )
    (folder / "evil.py").write_text("raise SystemExit('executed')")
    refused(at(folder), "PD617", 3)


# ------------------------------------------------------------------------------- versions


def test_an_untested_transformers_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(at(folder)).warnings == ()
    # The first import of a model class puts another module object in the place of `transformers`.
    monkeypatch.setattr(sys.modules["transformers"], "__version__", "6.1.0")
    loaded = load(at(folder))
    (found,) = loaded.warnings
    assert (found.code, found.severity) == ("PD622", Severity.WARNING)
    assert found.help == "pip install 'transformers>=5.20,<6'"
    assert loaded.facts["transformers"] == "6.1.0 (untested; tested: 5.20 to 5.24)"


@pytest.mark.parametrize(
    ("version", "tested"),
    [
        ("5.20.0", True),
        ("5.23.0", True),
        ("5.99.0.dev0", True),
        ("5.18.0", False),
        ("4.57.1", False),
        ("6.0.0rc1", False),
    ],
)
def test_tested_versions(version: str, tested: bool) -> None:
    assert in_range(version) is tested


def test_the_dependency_is_the_tested_range() -> None:
    root = Path(__file__).resolve().parents[2]
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"transformers>={TESTED[0]},<6" in declared
    lines = (root / "constraints.txt").read_text().splitlines()
    (pinned,) = [line for line in lines if line.startswith("transformers==")]
    version = tuple(map(int, pinned.removeprefix("transformers==").split(".")[:2]))
    first, last = (tuple(map(int, one.split("."))) for one in TESTED)
    assert first <= version <= last
    assert f"transformers {TESTED[0]} to {TESTED[1]}" in (root / "docs" / "models.md").read_text()


# ------------------------------------------------------------------------------- several devices


def test_device_auto_needs_accelerate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    with pytest.raises(EngineError) as caught:
        load(at(folder), device="auto")
    (found,) = caught.value.diagnostics
    assert (found.code, found.help) == ("PD621", "pip install 'pathdsl[auto]'")


def test_device_auto_on_one_device(folder: Path) -> None:
    pytest.importorskip("accelerate")
    ids = torch.tensor([[1, 2, 3]])
    one, other = (load(at(folder), device=device) for device in ("cpu", "auto"))
    assert other.facts["device"] == "cpu"
    assert torch.equal(one.adapter.decomposed_forward(ids), other.adapter.decomposed_forward(ids))


def test_device_auto_asks_for_a_placement(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What transformers places is taken as it is, and what it leaves on the disk is refused."""
    real = transformers.AutoModelForCausalLM.from_pretrained
    left = [""]

    def placing(place: str, device_map: str, **options: object) -> object:
        assert device_map == "auto"
        model, report = real(place, **options)
        model.hf_device_map = {"transformer.wte": "cpu", "transformer.h.0": left[0] or "cpu"}
        if left[0]:
            model.transformer.h[0].to("meta")
        return model, report

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", placing)
    monkeypatch.setattr(devices, "find_spec", lambda name: object())
    assert load(at(folder), device="auto").facts["device"] == "cpu"
    left[0] = "disk"
    with pytest.raises(EngineError) as caught:
        load(at(folder), device="auto")
    (found,) = caught.value.diagnostics
    assert found.code == "PD620" and found.help == "dtype: bfloat16"


def test_weights_left_over_are_counted(folder: Path) -> None:
    class Layer(nn.Module):
        def __init__(self, device: str) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(500_000, 1, device=device))

    whole, part = nn.ModuleList([Layer("cpu")]), nn.ModuleList([Layer("cpu"), Layer("meta")])
    check_placed(at(folder), whole)
    with pytest.raises(EngineError) as caught:
        check_placed(at(folder), part)
    (found,) = caught.value.diagnostics
    assert found.code == "PD620"
    assert "take 4.0 MB, and 2.0 MB of them were left over" in found.message
    assert "`1.weight`" in found.notes[0]


def test_what_each_device_holds_is_told() -> None:
    model = nn.Module()
    assert device_text(model, torch.device("cpu")) == "cpu"
    model.hf_device_map = {"wte": "cpu", "h.0": "cpu", "h.1": "mps", "ln_f": "mps"}  # type: ignore
    told = device_text(model, torch.device("cpu"))
    assert told == "cpu (cpu): wte to h.0; mps (mps): h.1 to ln_f"


# ------------------------------------------------------------------------------- saved buffers

_HERE = "transformer.h.0.attn"
SAVED = [
    ("gpt2", [f"{_HERE}.bias", f"{_HERE}.masked_bias"]),
    ("gpt2", ["h.0.attn.bias", "h.0.attn.masked_bias"]),
    ("gpt_neo", [f"{_HERE}.attention.bias", f"{_HERE}.attention.masked_bias"]),
    ("gptj", [f"{_HERE}.bias", f"{_HERE}.masked_bias", f"{_HERE}.embed_positions"]),
    ("gpt_neox", [f"gpt_neox.layers.0.attention.{n}"
                  for n in ("bias", "masked_bias", "rotary_emb.inv_freq")]),
    ("opt", ["model.decoder.version", "decoder.version"]),
    ("llama", ["model.layers.0.self_attn.rotary_emb.inv_freq"]),
    ("qwen2", ["model.layers.1.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq"]),
]  # fmt: skip
# Like those buffers by name, and weights that a forward pass may have used.
STRANGE = [
    ("gpt2", f"{_HERE}.attn_bias.weight"),
    ("gpt2", f"{_HERE}.masked_bias.scale"),
    ("gpt2", "transformer.h.0.crossattention.bias_table"),
    ("gpt_neox", "gpt_neox.layers.0.attention.bias_k"),
    ("gpt_neox", "gpt_neox.layers.0.attention.masked_bias.1"),
    ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq_scale"),
    ("llama", "model.layers.0.self_attn.sinks"),
    ("gpt2", "transformer.rotary_emb.inv_freq"),  # this family turns nothing
]


def tiny(family: str, folder: Path) -> Path:
    model = decoder_cases.make(family) if family in decoder_cases.SMALL else None
    if family == "gpt2":
        from transformers import GPT2Config, GPT2LMHeadModel

        config = GPT2Config(vocab_size=5, n_positions=6, n_embd=4, n_layer=1, n_head=2)
        model = GPT2LMHeadModel(config)
    model = model if model is not None else family_cases.make(family)
    model.save_pretrained(folder)  # type: ignore[operator]
    return folder


@pytest.mark.parametrize(("family", "names"), SAVED)
def test_buffers_that_older_versions_saved(family: str, names: list[str], tmp_path: Path) -> None:
    place = tiny(family, tmp_path / "model")
    before = load(at(place)).model.state_dict()
    rewrite(place, lambda weights: weights.update({name: torch.ones(2) for name in names}))
    after = load(at(place)).model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(("family", "name"), STRANGE)
def test_weights_that_only_look_like_buffers(family: str, name: str, tmp_path: Path) -> None:
    place = tiny(family, tmp_path / "model")
    rewrite(place, lambda weights: weights.update({name: torch.ones(2)}))
    refused(at(place), "PD605", 3, name, "not used by the model")


# ------------------------------------------------------------------------------- parts


def put(model: nn.Module, path: str, part: nn.Module) -> None:
    owner, _, name = path.rpartition(".")
    model.get_submodule(owner).add_module(name, part)


class Turned(nn.Dropout):
    """Looks like a dropout, and computes."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return -input


@pytest.mark.parametrize("part", [nn.Dropout(0.5), nn.Identity(), nn.ModuleList()])
@pytest.mark.parametrize("family", ["gpt2", "llama", "gptj"])
def test_what_computes_nothing_may_be_added(family: str, part: nn.Module) -> None:
    model = family_cases.make("llama") if family == "llama" else small(family)
    block = "model.layers.0" if family == "llama" else "transformer.h.0"
    put(model, f"{block}.more", part.eval())
    adapter_for(model)


@pytest.mark.parametrize(
    "part", [nn.ReLU(), nn.Linear(2, 2), nn.LayerNorm(2), nn.Dropout2d(), nn.Softmax(-1),
             nn.ModuleList([nn.Dropout()]), Turned()]
)  # fmt: skip
@pytest.mark.parametrize("family", ["gpt2", "llama", "gptj"])
def test_what_may_compute_may_not(family: str, part: nn.Module) -> None:
    model = family_cases.make("llama") if family == "llama" else small(family)
    block = "model.layers.0" if family == "llama" else "transformer.h.0"
    put(model, f"{block}.more", part.eval())
    code, message, _ = raised(model)
    assert code == "PD612" and f"`{block}.more" in message


def small(family: str) -> nn.Module:
    if family == "gptj":
        return decoder_cases.make("gptj")
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=5, n_positions=6, n_embd=4, n_layer=2, n_head=2)
    return GPT2LMHeadModel(config).eval()


def test_dropouts_may_be_missing_and_not_be_replaced() -> None:
    model = small("gpt2")
    del model.transformer.h[0].attn.attn_dropout  # type: ignore[union-attr, index]
    put(model, "transformer.h.1.mlp.dropout", nn.Identity().eval())
    adapter_for(model)
    put(model, "transformer.h.1.mlp.dropout", Turned().eval())
    code, message, _ = raised(model)
    assert code == "PD612" and "`transformer.h.1.mlp.dropout` of the model is Turned" in message
    model = small("gpt2")
    del model.transformer.h[0].ln_1  # type: ignore[union-attr, index]
    code, message, _ = raised(model)
    assert code == "PD612" and "`transformer.h.0.ln_1` of the model is missing" in message


@pytest.mark.parametrize(
    ("family", "owner"),
    [("llama", "model.layers.1.self_attn"), ("llama", "model.layers.0.self_attn.q_proj"),
     ("gpt2", "transformer.h.0.attn"), ("gptj", "transformer"), ("llama", "")],
)  # fmt: skip
def test_a_weight_that_no_part_has(family: str, owner: str) -> None:
    """Attention sinks, scales and the like are parameters of a module and no module themselves."""
    model = family_cases.make("llama") if family == "llama" else small(family)
    model.get_submodule(owner).register_parameter("sinks", nn.Parameter(torch.zeros(4)))
    code, message, _ = raised(model)
    name = f"{owner}.sinks".lstrip(".")
    assert code == "PD612" and message.endswith(f"has not: `{name}`")


def test_activations_are_called_and_so_may_be_any() -> None:
    model = small("gpt2")
    put(model, "transformer.h.0.mlp.act", nn.PReLU().eval())
    ids = torch.tensor([[1, 2, 3]])
    adapter = adapter_for(model)
    torch.testing.assert_close(adapter.decomposed_forward(ids), adapter.plain_forward(ids))


def test_settings_for_single_layers_are_refused_where_they_would_be_ignored(folder: Path) -> None:
    """`transformers` takes `skip` and runs every part of a Llama all the same."""
    config = family_cases.make("llama").config.to_dict()
    with pytest.raises(LanguageError, match="per_layer_config") as caught:
        vet_config(at(folder), {**config, "per_layer_config": {"0": {"skip": ["mlp"]}}})
    assert caught.value.diagnostics[0].code == "PD612"
