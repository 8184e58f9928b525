"""Where models come from, and every way in which loading one can be refused."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel

from pathdsl.engine.load.source import (
    ModelSource,
)
from pathdsl.engine.load.weights import load, load_tokenizer
from pathdsl.errors import EngineError, PathdslError, Span

HERE = Span(path="x.circuit", start=0, end=5)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _as_before() -> object:
    yield
    torch.set_deterministic_debug_mode("default")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    GPT2LMHeadModel(
        GPT2Config(vocab_size=5, n_positions=6, n_embd=4, n_layer=1, n_head=2)
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def at(folder: Path, **options: str) -> ModelSource:
    return ModelSource(kind="folder", location=str(folder), name="gpt2", **options)


def configure(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


def refused(source: ModelSource, code: str, exit_code: int, *words: str) -> None:
    with pytest.raises(PathdslError) as caught:
        load(source)
    diagnostic = caught.value.diagnostics[0]
    assert diagnostic.code == code
    assert int(caught.value.exit_code) == exit_code
    text = " ".join((diagnostic.message, *diagnostic.notes, diagnostic.help))
    for word in words:
        assert word in text


# ------------------------------------------------------------------------------- loading


def test_a_folder(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    loaded = load(at(folder))
    assert capfd.readouterr() == ("", "")
    assert loaded.adapter.shape.n_heads == 2
    assert loaded.tokenizer is None
    assert not loaded.model.training
    assert loaded.facts["attention"] == "eager"
    assert loaded.facts["dtype"] == "float32"
    assert loaded.facts["torch"] == torch.__version__
    assert len(loaded.weights["model.safetensors"]) == 64
    assert torch.are_deterministic_algorithms_enabled()
    ids = torch.tensor([[1, 2, 3]])
    assert torch.allclose(
        loaded.adapter.decomposed_forward(ids), loaded.adapter.plain_forward(ids), atol=1e-5
    )


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_dtypes(folder: Path, dtype: str) -> None:
    assert load(at(folder, dtype=dtype)).adapter.dtype == getattr(torch, dtype)


def test_shards(folder: Path) -> None:
    model = GPT2LMHeadModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="1KB")
    loaded = load(at(folder))
    assert len(loaded.weights) > 1
    wanted = model.transformer.wte.weight
    assert torch.equal(loaded.model.transformer.wte.weight, wanted)
    lost = next(folder.glob("model-00001*"))
    lost.unlink()
    count = len(loaded.weights)
    refused(
        at(folder), "PD609", 3, f"1 of the {count} weight files", lost.name, "download it again"
    )


def test_names_of_the_original_gpt2_file(folder: Path) -> None:
    def old(weights: dict[str, torch.Tensor]) -> None:
        for name in list(weights):
            weights[name.removeprefix("transformer.")] = weights.pop(name)
        weights["h.0.attn.bias"] = torch.ones(1, 1, 6, 6)

    rewrite(folder, old)
    load(at(folder))


def test_threads(folder: Path) -> None:
    before = torch.get_num_threads()
    try:
        assert load(at(folder), threads=1).facts["threads"] == "1"
    finally:
        torch.set_num_threads(before)


def test_tokenizer(folder: Path) -> None:
    plain = Tokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    plain.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"})
    )
    loaded = load(at(folder))
    assert loaded.tokenizer("b a")["input_ids"] == [1, 0]
    assert len(loaded.facts["tokenizer"]) == 64
    (folder / "tokenizer.json").write_text("{")
    refused(at(folder), "PD617", 3)


@pytest.mark.parametrize("named", ["", "GPT2TokenizerFast", "PreTrainedTokenizerFast"])
def test_a_tokenizer_that_transformers_makes_otherwise_is_refused(folder: Path, named: str) -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    plain.normalizer = normalizers.Lowercase()
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    plain.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": named} if named else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if named == "PreTrainedTokenizerFast":
        assert load(at(folder)).tokenizer is not None
    else:
        refused(at(folder), "PD617", 3, "does not tokenise as", "PreTrainedTokenizerFast")


def test_bundled_models_load() -> None:
    names = pytest.importorskip("pathdsl.models").names()
    from pathdsl.models import bundled

    there = [name for name in names if (bundled(name) / "model.safetensors").exists()]
    for name in there[:1]:
        loaded = load(ModelSource(kind="bundled", location=name))
        assert loaded.facts["model"] == f'bundled("{name}")'


# ------------------------------------------------------------------------------- refusals


def test_no_folder(tmp_path: Path) -> None:
    refused(at(tmp_path / "nowhere"), "PD600", 2, "--model gpt2=folder:PATH")
    (tmp_path / "file").write_text("")
    refused(at(tmp_path / "file"), "PD600", 2, "is a file")


def test_no_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    refused(at(folder), "PD601", 2)


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_config_that_is_no_json_object(folder: Path, text: str) -> None:
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    refused(at(folder), "PD615", 2)


@pytest.mark.parametrize(
    "fields", [{"n_head": 3}, {"n_layer": "two"}, {"n_head": 0}, {"n_layer": 1_000_000}]
)
def test_impossible_config(folder: Path, fields: dict[str, object]) -> None:
    configure(folder, **fields)
    refused(at(folder), "PD615", 2)


@pytest.mark.parametrize(
    "fields",
    [{"return_dict": False}, {"chunk_size_feed_forward": 2}, {"output_hidden_states": True},
     {"_attn_implementation": "flash_attention_2"}],
)  # fmt: skip
def test_how_a_forward_pass_is_run_is_not_the_configs_matter(
    folder: Path, fields: dict[str, object]
) -> None:
    ids = torch.tensor([[1, 2, 3]])
    wanted = load(at(folder)).adapter.plain_forward(ids)
    configure(folder, **fields)
    loaded = load(at(folder))
    assert loaded.facts["attention"] == "eager"
    assert torch.equal(loaded.adapter.plain_forward(ids), wanted)


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    refused(at(folder), "PD602", 3)


def test_pickles_only(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    refused(at(folder), "PD603", 3, "pickle runs code")


def test_custom_code(folder: Path) -> None:
    configure(folder, auto_map={"AutoModelForCausalLM": "evil.Model"})
    (folder / "evil.py").write_text("raise SystemExit('executed')")
    refused(at(folder), "PD604", 2, "auto_map")


def test_architecture(folder: Path) -> None:
    configure(folder, model_type="mamba")
    refused(at(folder), "PD607", 2, "mamba", "gpt2")


def test_quantised(folder: Path) -> None:
    configure(folder, quantization_config={"quant_method": "gptq"})
    refused(at(folder), "PD608", 2)


def test_cross_attention(folder: Path) -> None:
    configure(folder, add_cross_attention=True)
    refused(at(folder), "PD612", 2)


def test_dtype(folder: Path) -> None:
    refused(at(folder, dtype="int8"), "PD610", 2)


def test_missing_weights_are_never_initialised(folder: Path) -> None:
    rewrite(folder, lambda weights: weights.pop("transformer.h.0.ln_1.weight"))
    refused(at(folder), "PD605", 3, "random", "ln_1.weight")


def test_untied_head_without_weights(folder: Path) -> None:
    configure(folder, tie_word_embeddings=False)
    refused(at(folder), "PD605", 3, "lm_head")


def test_unused_weights(folder: Path) -> None:
    rewrite(folder, lambda weights: weights.update({"score.weight": torch.ones(2, 4)}))
    refused(at(folder), "PD605", 3, "score.weight")


def test_weights_of_another_shape(folder: Path) -> None:
    configure(folder, n_positions=7)
    refused(at(folder), "PD605", 3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers(folder: Path, value: float) -> None:
    rewrite(folder, lambda weights: weights["transformer.wpe.weight"].view(-1)[3].fill_(value))
    refused(at(folder), "PD606", 3, "wpe")


def test_weights_beyond_float16(folder: Path) -> None:
    rewrite(folder, lambda weights: weights["transformer.wpe.weight"].view(-1)[3].fill_(1e5))
    load(at(folder))
    refused(at(folder, dtype="float16"), "PD606", 3, "65504", "dtype: float32")


@pytest.mark.parametrize("keep", [0, 4, 60, -1])
def test_truncated_weights(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(at(folder), "PD609", 3)


def test_no_such_device(folder: Path) -> None:
    with pytest.raises(EngineError) as caught:
        load(at(folder), device="no-such-device")
    assert caught.value.diagnostics[0].code == "PD619"


def test_no_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(GPT2LMHeadModel, "to", full)
    refused(at(folder), "PD620", 3, "bfloat16")


def test_unknown_bundled_model() -> None:
    pytest.importorskip("pathdsl.models")
    refused(ModelSource(kind="bundled", location="nothing"), "PD613", 2)


def test_tokenizer_of_a_folder_without_one_is_none(folder: Path) -> None:
    assert load_tokenizer(at(folder)) is None


# ------------------------------------------------------------------------------- the hub


HUB_SCRIPT = """
import sys
from pathdsl.engine.load.weights import load
from pathdsl.engine.load.source import ModelSource, shape_of
from pathdsl.errors import PathdslError
there = ModelSource(kind="hf", location="owner/tiny", revision=sys.argv[1], name="m")
print(shape_of(there).n_heads)
loaded = load(there)
print(loaded.facts["revision"], sorted(loaded.weights))
for location in ("owner/absent", "owner/old"):
    absent = ModelSource(kind="hf", location=location, revision=sys.argv[1], name="m")
    print(shape_of(absent) is None)
    try:
        load(absent)
    except PathdslError as error:
        print(error.diagnostics[0].code, error.diagnostics[0].help)
for revision in ("", "main"):
    loaded = load(ModelSource(kind="hf", location="owner/unpinned", revision=revision, name="m"))
    print(loaded.facts["revision"], loaded.facts["dtype"], loaded.model.dtype)
try:
    load(ModelSource(kind="hf", location="owner/lora", name="m"))
except PathdslError as error:
    print(error.diagnostics[0].code, error.diagnostics[0].message)
"""


def test_hub_models_from_the_local_cache(folder: Path, tmp_path: Path) -> None:
    hub = tmp_path / "home" / "hub"
    for name in ("tiny", "unpinned", "lora", "old"):
        repository = hub / f"models--owner--{name}"
        place = repository / "snapshots" / COMMIT
        shutil.copytree(folder, place)
        if name in ("unpinned", "lora"):
            configure(place, dtype="bfloat16")
            (repository / "refs").mkdir()
            (repository / "refs" / "main").write_text(COMMIT)
        if name == "lora":
            (place / "adapter_config.json").write_text("{}")
    # What the cache notes when a repository was seen to lack a file.
    (place / "model.safetensors").unlink()
    lacks = hub / "models--owner--old" / ".no_exist" / COMMIT
    lacks.mkdir(parents=True)
    for name in ("model.safetensors", "model.safetensors.index.json"):
        (lacks / name).touch()
    (place / "pytorch_model.bin").touch()
    done = subprocess.run(
        [sys.executable, "-c", HUB_SCRIPT, COMMIT],
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "2",
        f"{COMMIT} ['model.safetensors']",
        "True",
        "PD611 --model m=folder:PATH",
        "False",
        "PD603 ",
        f"{COMMIT} float32 torch.float32",
        f"{COMMIT} float32 torch.float32",
        "PD607 `owner/lora` holds an adapter of PEFT (`adapter_config.json`), not a model as it "
        "runs",
    ]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs the peak of Linux")
def test_loading_takes_little_more_than_the_weights(tmp_path: Path) -> None:
    """The most memory in use while a model loads, less what was before, against its weights."""
    config = GPT2Config(n_layer=1, n_head=4, n_embd=256, vocab_size=100_000, n_positions=64)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    source = ModelSource(kind="folder", location=str(tmp_path))

    def memory(of: str) -> int:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(re.search(rf"{of}:\s+(\d+) kB", status)[1])  # type: ignore[index]

    load(source)  # what the libraries take
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    except OSError:
        pytest.skip("the peak cannot be set back here")
    before = memory("VmRSS")
    loaded = load(source)
    held = sum(one.numel() * one.element_size() for one in loaded.model.parameters())
    assert held > 100_000_000
    assert memory("VmHWM") - before < 1.15 * held + 8_000_000
