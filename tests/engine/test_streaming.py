"""Weights that stay in their files: the bits of a model that is loaded, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import GPT2LMHeadModel

from pathdsl.engine.load import room, streaming
from pathdsl.engine.load.room import room_of
from pathdsl.engine.load.source import ModelSource
from pathdsl.engine.load.streaming import Stream, stream_of
from pathdsl.engine.load.weights import LoadedModel, load
from pathdsl.engine.run.reads import layer_reads
from pathdsl.engine.run.runner import Settings, execute, plan_cost, rows_within
from pathdsl.engine.self_check import null_reads, prove, prove_null_pair, prove_reads
from pathdsl.errors import EngineError, PathdslError
from pathdsl.plan.readout import Measure
from tests.engine import decoder_cases, encoder_cases, family_cases, toy_cases
from tests.engine import test_gemma4_second_embedding as gemma4
from tests.engine.engine_cases import (
    COLUMNS,
    CONFIG,
    REFERENCE,
    SPECS,
    TASK,
    all_runs,
    make_task,
    planner,
    treat,
)
from tests.oracle.cases import build_model

MODELS: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: build_model(CONFIG, 5),
    "gpt2_untied": lambda: build_model({**CONFIG, "tie_word_embeddings": False}, 5),
    "qwen2": lambda: family_cases.make("qwen2"),
    "gemma3": lambda: family_cases.make("gemma3"),  # a scale behind the embedding
    "phi3_long": lambda: family_cases.make("phi3_long"),
    "gpt_oss": lambda: family_cases.make("gpt_oss"),  # experts that are saved together
    "qwen3_5": lambda: family_cases.make("qwen3_5_deltas"),
    "mixtral": lambda: family_cases.make("mixtral"),  # one by one, under other names
    "qwen2_moe": lambda: family_cases.make("qwen2_moe"),  # one by one, not in every layer
    "opt": lambda: encoder_cases.make("opt_350m"),
    "bloom": lambda: decoder_cases.make("bloom"),
    "bert": lambda: encoder_cases.make("bert"),  # a tied unembedding with a bias
    "toy": lambda: toy_cases.make("caps"),
    # Keys of other layers; and of its second embedding no more columns than a block has.
    "gemma4": lambda: gemma4.make(
        **{**gemma4.GIVEN, **gemma4.VARIANTS["e2b"], "hidden_size_per_layer_input": 1}
    ),
}


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As large models are read: no weight is small, and unembeddings go in several blocks."""
    monkeypatch.setattr(streaming, "KEPT_BYTES", 0)
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 0)
    monkeypatch.setattr(streaming, "LEAST_ROWS", 4)
    monkeypatch.setattr(room, "SMALL_WEIGHTS", 0)
    yield
    torch.set_deterministic_debug_mode("default")


def at(folder: Path, dtype: str = "float32") -> ModelSource:
    return ModelSource(kind="folder", location=str(folder), name="m", dtype=dtype)


def both(folder: Path, dtype: str = "float32") -> tuple[LoadedModel, LoadedModel, Stream]:
    """The model loaded, and streamed."""
    held, streamed = load(at(folder, dtype)), load(at(folder, dtype), streamed=True)
    stream = stream_of(streamed.model)
    assert stream is not None and stream_of(held.model) is None
    return held, streamed, stream


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpt2")
    MODELS["gpt2"]().save_pretrained(folder, max_shard_size="2KB")
    return folder


@pytest.mark.parametrize("stored", [torch.float32, torch.float16])
@pytest.mark.parametrize("name", MODELS)
def test_the_bits_of_a_loaded_model(name: str, stored: torch.dtype, tmp_path: Path) -> None:
    MODELS[name]().to(stored).save_pretrained(tmp_path, max_shard_size="1KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    held, streamed, stream = both(tmp_path)
    shape = held.adapter.shape
    ids = torch.randint(3, shape.d_vocab, (3, 7), generator=torch.Generator().manual_seed(1))
    normed = torch.randn(3, 2, shape.d_model, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for some in (ids, ids[:1, :1]):
            for forward in ("plain_forward", "decomposed_forward"):
                before = stream.reads
                found = getattr(streamed.adapter, forward)(some)
                assert stream.reads == before + shape.n_layers
                assert torch.equal(found, getattr(held.adapter, forward)(some)), forward
        columns = (a.adapter.unembed_columns(normed, ids[:, :2]) for a in (held, streamed))
        assert torch.equal(*columns)
    assert held.adapter.embedding_std() == streamed.adapter.embedding_std()
    assert dict(held.weights) == dict(streamed.weights) and held.facts == streamed.facts
    # What stands for the weights holds none, so that nobody takes it for them.
    assert all(bool(p.isnan().all()) for p in streamed.model.parameters())


@pytest.mark.parametrize("name", ["gpt2", "gemma3"])
def test_addresses_are_those_of_a_loaded_model(name: str, tmp_path: Path) -> None:
    """Products with one row change their last bits with the address of the weights."""
    MODELS[name]().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    for extra in ("", "more"):  # the length of the header decides
        save_file(weights, tmp_path / "model.safetensors", {"format": "pt", "said": extra})
        held, streamed, _ = both(tmp_path)
        for part in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "self_attn.q_proj", "mlp.up_proj"):
            owners = [
                [m for n, m in one.model.named_modules() if n.endswith(f"1.{part}")]
                for one in (held, streamed)
            ]
            for mine, theirs in zip(*owners, strict=True):
                assert (mine.weight.data_ptr() - theirs.weight.data_ptr()) % 16 == 0
                assert mine.weight.requires_grad == theirs.weight.requires_grad


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_runs_have_the_same_bits_and_plan_counts_the_reads(spec: Any, gpt2: Path) -> None:
    held, streamed, stream = both(gpt2)
    measures = (*COLUMNS, Measure(kind="kl"), Measure(kind="top1", column="t0"))
    requests = [(run, m) for run in (REFERENCE, *all_runs(spec)) for m in measures]
    for plan in planner().plans(requests):
        for rows in (2, TASK.n_rows):
            own = Settings(memory=rows * cost_of(plan))
            wanted = execute(plan, TASK, held.adapter, own)
            stream.drop()
            before = stream.reads
            found = execute(plan, TASK, streamed.adapter, own)
            assert wanted.keys() == found.keys()
            for key, value in wanted.items():
                np.testing.assert_array_equal(found[key], value)
            batch = rows_within(plan, plan_cost(plan, 4), own.memory, "cpu")
            assert 0 < stream.reads - before <= layer_reads(plan, batch, own.memory)


def cost_of(plan: Any) -> int:
    from pathdsl.engine.run.runner import plan_cost

    return plan_cost(plan, 4).row_bytes


def test_the_proofs_are_the_same(gpt2: Path) -> None:
    held, streamed, stream = both(gpt2)
    plans = planner()
    (plan,) = plans.plans([(treat("c"), measure) for measure in COLUMNS])
    found = [
        [*prove(plans, one.adapter, TASK), prove_null_pair(plan, TASK, one.adapter, 1e-4)]
        for one in (held, streamed)
    ]
    assert found[0] == found[1] and all(proof.holds for proof in found[0])
    for prompts in (TASK, make_task((5,) * 40), make_task((5, 4) * 30)):
        before = stream.reads
        prove(planner(prompts), streamed.adapter, prompts)
        assert stream.reads - before == prove_reads(planner(prompts), prompts, 4)
    stream.drop()
    before = stream.reads
    prove_null_pair(plan, TASK, streamed.adapter, 1e-4)
    assert stream.reads - before == null_reads(plan, 4, 256_000_000)


def test_layers_are_dropped(gpt2: Path) -> None:
    _, streamed, stream = both(gpt2)
    blocks = streamed.model.transformer.h
    first = blocks[0].mlp.c_fc.weight
    assert blocks[0].mlp.c_fc.weight is first and stream.part == 0
    kept = first.clone()
    assert blocks[1].mlp.c_fc.weight is not first and stream.part == 1
    assert blocks[0].mlp.c_fc.weight is not first and stream.reads == 3
    assert torch.equal(first, kept)  # who held it still has it


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 1), st.booleans(), st.booleans()), max_size=12))
def test_converted_weights_are_never_written_over(
    half: tuple[Any, dict[str, torch.Tensor]], uses: list[tuple[int, bool, bool]]
) -> None:
    """Room is taken again only where nobody holds what was in it: a weight, a view, a graph."""
    model, wanted = half
    held: list[tuple[str, Any]] = []
    for layer, out, keeps in uses:
        name = f"transformer.h.{layer}.mlp.{'c_proj' if out else 'c_fc'}.weight"
        weight = model.transformer.h[layer].mlp._modules["c_proj" if out else "c_fc"].weight
        assert torch.equal(weight, wanted[name].float())
        if keeps:
            held.append((name, weight[1:]))
        del weight
        for kept, view in held:
            assert torch.equal(view, wanted[kept][1:].float())


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, torch.Tensor]]:
    """A streamed model, and what its file holds in float16."""
    folder = tmp_path_factory.mktemp("half")
    MODELS["gpt2"]().half().save_pretrained(folder)
    return load(at(folder), streamed=True).model, load_file(folder / "model.safetensors")


def test_room_is_taken_again() -> None:
    rooms = streaming._Rooms()
    shape = torch.Size((3, 5))
    first = rooms.empty(shape, torch.float32)
    address = first.data_ptr()
    assert rooms.empty(shape, torch.float32).data_ptr() != address
    del first
    assert rooms.empty(shape, torch.float32).data_ptr() == address


# ------------------------------------------------------------------------------- what is stated


def test_how_a_memory_is_shared(gpt2: Path) -> None:
    numbers = sum(p.numel() for p in MODELS["gpt2"]().parameters())
    weights = 4 * numbers
    layer = 4 * sum(p.numel() for p in MODELS["gpt2"]().transformer.h[0].parameters())
    assert room_of(at(gpt2), None).values == 256_000_000
    held = room_of(at(gpt2), 2 * weights)
    assert not held.streamed and held.values == weights == held.weights
    streamed = room_of(at(gpt2), 2 * weights - 1)
    assert streamed.streamed and streamed.values == 2 * weights - 1 - layer
    assert room_of(at(gpt2), 2 * weights - 1, "cuda").values == 2 * weights - 1 - 2 * layer
    assert room_of(at(gpt2), layer).values == 0
    with pytest.raises(EngineError) as caught:
        room_of(at(gpt2), layer - 1)
    fault = caught.value.diagnostics[0]
    assert fault.code == "PD620" and "a layer" in fault.message and "--memory" in fault.help


def test_small_models_are_held_whatever_is_stated(
    gpt2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    assert room_of(at(gpt2), 1) == room.Room(values=1, weights=room_of(at(gpt2), 1).weights)


def test_experts_saved_one_by_one_count_as_they_are_joined(tmp_path: Path) -> None:
    model = family_cases.make("mixtral")
    model.save_pretrained(tmp_path)
    weights = 4 * sum(p.numel() for p in model.parameters())
    layer = 4 * sum(p.numel() for p in model.model.layers[0].parameters())
    found = room_of(at(tmp_path), weights)
    assert found.streamed and (found.weights, found.layer) == (weights, layer)


EXPERT = "model.layers.1.block_sparse_moe.experts.2.w1.weight"


@pytest.mark.parametrize(
    "change",
    [lambda w: w.pop(EXPERT), lambda w: w.update({EXPERT: w[EXPERT].half()})],
    ids=["missing", "of another dtype"],
)
def test_experts_that_are_not_alike_are_refused(change: Any, tmp_path: Path) -> None:
    family_cases.make("mixtral").save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(EngineError) as caught:
        room_of(at(tmp_path), 20_000)
    fault = caught.value.diagnostics[0]
    assert fault.code == "PD620" and fault.help.startswith("--memory ") and fault.notes
    with pytest.raises(PathdslError) as caught_too:
        load(at(tmp_path), streamed=True)
    assert caught_too.value.diagnostics[0].code in ("PD605", "PD620")


@pytest.mark.parametrize("length", [0, 7, 8, 200])
def test_a_damaged_file(length: int, tmp_path: Path) -> None:
    MODELS["gpt2"]().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(EngineError) as caught:
        room_of(at(tmp_path), 1000)
    assert caught.value.diagnostics[0].code == "PD609"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda w: w.pop("transformer.h.1.mlp.c_fc.weight"), "PD605"),
        (lambda w: w.update(strange=torch.ones(3)), "PD605"),
        (lambda w: w.update({"transformer.h.0.ln_1.bias": torch.ones(3)}), "PD605"),
        (lambda w: w["transformer.h.0.ln_1.bias"].fill_(float("inf")), "PD606"),
    ],
)
def test_refused_as_a_loaded_model_is(change: Any, code: str, tmp_path: Path) -> None:
    MODELS["gpt2"]().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, {"format": "pt"})
    told = []
    for streamed in (False, True):
        with pytest.raises(PathdslError) as caught:
            load(at(tmp_path), streamed=streamed)
        told.append((caught.value.diagnostics[0].code, caught.value.diagnostics[0].notes))
    assert told[0] == told[1] and told[0][0] == code


@pytest.mark.parametrize("equal", [True, False])
def test_an_unembedding_beside_the_embedding(equal: bool, tmp_path: Path) -> None:
    """Tied where both are in the file with the same numbers, untied with others, as when loaded."""
    model: GPT2LMHeadModel = MODELS["gpt2"]()
    model.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    weights["lm_head.weight"] = weights["transformer.wte.weight"].clone() + (0 if equal else 1)
    save_file(weights, path, {"format": "pt"})
    held, streamed, _ = both(tmp_path)
    for one in (held, streamed):
        tied = one.model.lm_head._parameters.items(), one.model.transformer.wte._parameters.items()
        assert (dict(tied[0])["weight"] is dict(tied[1])["weight"]) is equal
    ids = family_cases.some_ids(2, 5)
    with torch.no_grad():
        assert torch.equal(held.adapter.plain_forward(ids), streamed.adapter.plain_forward(ids))


# ------------------------------------------------------------------------------- in a check


def test_a_check_under_a_memory_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Claims, attributions and proofs of a file: the same result byte for byte."""
    from pathdsl.cli import main as cli

    begun: list[int] = []
    monkeypatch.setattr(Stream, "_enter", _counting(Stream._enter, begun))
    monkeypatch.chdir(tmp_path)
    Path("x.circuit").write_text(FILE)
    told = []
    for memory in ([], ["--memory", "4.3MB"]):  # the weights are 2.2 MB, a layer 0.5 MB
        begun.clear()
        assert cli._run(
            ["check", "x.circuit", "--no-cache", "--format", "json", *memory], False
        ) in (0, 1)
        told.append(capsys.readouterr().out)
        assert bool(begun) is bool(memory)
    assert told[0] == told[1] and "atp" in told[0]
    assert cli._run(["plan", "x.circuit", "--memory", "4.3MB"], False) == 0
    assert "read a layer at a time" in capsys.readouterr().out
    assert cli._run(["plan", "x.circuit", "--memory", "0.3MB"], False) == 3
    assert "PD620" in capsys.readouterr().err


def _counting(enter: Callable[..., None], begun: list[int]) -> Callable[..., None]:
    def entered(self: Stream, part: int | str) -> None:
        begun.append(1)
        enter(self, part)

    return entered


FILE = """circuit c "A check" { language = 1; hypothesis = movers }

model mini = bundled("ioi-mini")

task t {
  data      = mini_ioi(take: 2, seed: 0)
  reference = prompt
  treated   = prompt_abc
}

path movers = within(a3.h0, a2.h1, mlp)

metric LD: logits = logit(io) - logit(s)


claim most:  faithfulness(movers) <= 1000%
claim slope: attribution(a3.h0, by: atp) <= 1000
"""
