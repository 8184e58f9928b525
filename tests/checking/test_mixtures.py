"""Files on mixtures of experts and on heads with sinks: routing, refusals, what is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.lock.contents import lock_of
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.checking.prepare import vet_file
from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.attribution.vet import vet
from pathdsl.engine.load.source import ModelSource, vet_config
from pathdsl.engine.store.store import Store
from pathdsl.errors import LanguageError, PlanError
from pathdsl.report.numbers import mlps_text
from tests.engine.attribution_cases import asked
from tests.engine.family_cases import make

HEAD = """circuit mix "A mixture" {{
  language = 1
}}
model m = folder("{model}")
task t {{
  data      = jsonl("rows.jsonl")
  reference = prompt
  treated   = other{field}
}}
metric LD: logits = logit(good) - logit(bad)
path P = input -> m1 -> logits | a0.h1 -> m0 -> logits
"""
KEPT = "let kept = mean(LD(treat(P)))\n"
FROZEN = "\n  routing   = frozen"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Saved models, and rows of token ids."""
    place = tmp_path_factory.mktemp("mixtures")
    for name in ("mixtral", "qwen2_moe", "gpt_oss", "llama"):
        make(name, num_hidden_layers=2).save_pretrained(place / name)
    rows = [
        {"id": f"{i}", "prompt": [1, i, 4, 10 - i], "other": [1, 10 - i, 4, i], "good": i,
         "bad": (i + 3) % 11}
        for i in range(2, 10)
    ]  # fmt: skip
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place


def text(model: str, field: str = "", rest: str = KEPT) -> str:
    return HEAD.format(model=model, field=field) + rest


def checked(folder: Path, name: str, content: str, **options: object) -> FileOutcome:
    path = folder / name
    path.write_text(content)
    outcome = check_file(str(path), CheckOptions(threads=1, **options))  # type: ignore[arg-type]
    assert outcome.judgement is not None, [d.message for d in outcome.diagnostics]
    return outcome


def kept(outcome: FileOutcome) -> float:
    assert outcome.judgement is not None
    (one,) = outcome.judgement.quantities
    assert one.estimate is not None
    return one.estimate


def test_the_routing_of_a_task_moves_its_numbers(folder: Path) -> None:
    free = checked(folder, "free.circuit", text("mixtral"))
    said = checked(folder, "said.circuit", text("mixtral", "\n  routing = recompute"))
    frozen = checked(folder, "frozen.circuit", text("mixtral", FROZEN))
    both = checked(folder, "both.circuit", text("mixtral", FROZEN + "\n  layernorm = frozen"))
    assert kept(free) == kept(said)
    assert len({kept(free), kept(frozen), kept(both)}) == 3
    assert free.methodology["routing t"].startswith("recomputed")
    assert frozen.methodology["routing t"].startswith("frozen")
    assert all(proof.holds for _, proof in frozen.proofs)
    assert "routing t" not in checked(folder, "dense.circuit", text("llama")).methodology


def test_a_stored_value_is_of_one_routing(folder: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    first = [
        kept(checked(folder, "a.circuit", text("mixtral", field), store=store))
        for field in ("", FROZEN, "", FROZEN)
    ]
    assert first[:2] == first[2:] and first[0] != first[1]


def test_a_lock_holds_a_routing_that_is_frozen(folder: Path) -> None:
    options = CheckOptions(threads=1)
    locks = [
        lock_of(checked(folder, "a.circuit", text("mixtral", field)), options)["inputs"]["tasks"][
            "t"
        ]
        for field in ("", FROZEN)
    ]
    assert "routing" not in locks[0] and locks[1]["routing"] == "frozen"


def codes(folder: Path, content: str) -> list[tuple[str, str]]:
    path = folder / "wrong.circuit"
    path.write_text(content)
    _, faults = vet_file(str(path), content)
    return [(one.code, one.message) for one in faults if one.severity.value == "error"]


def test_what_is_refused_by_name(folder: Path) -> None:
    (frozen,) = codes(folder, text("llama", FROZEN))
    assert frozen[0] == "PD257" and "`t` has a frozen routing" in frozen[1]
    assert codes(folder, text("mixtral", FROZEN)) == []
    expert = "let e = mean(LD(treat(through(m1.e3))))\n"
    assert codes(folder, text("mixtral", rest=expert)) == [
        ("PD256", "`m1.e3` is an expert of a mixture, and experts are no nodes")
    ]
    neuron = "let n = mean(LD(treat(through(m0.n3))))\n"
    assert codes(folder, text("mixtral", rest=neuron)) == [
        ("PD256", "`m0` is a mixture of experts, whose neurons are no nodes")
    ]
    assert codes(folder, text("qwen2_moe", rest=neuron.replace("m0", "m1"))) == []
    every = neuron.replace("m0", "m*")
    assert [code for code, _ in codes(folder, text("qwen2_moe", rest=every))] == ["PD256"]


@pytest.mark.parametrize(
    ("name", "changes", "code", "said"),
    [
        ("mixtral", {"num_experts_per_tok": 9}, "PD615", "a token uses 9 of 4 experts"),
        ("mixtral", {"num_experts": 7}, "PD615", "are two numbers"),
        ("mixtral", {"num_local_experts": "8"}, "PD615", "`num_local_experts`"),
        ("qwen2_moe", {"decoder_sparse_step": 0}, "PD615", "name no layers"),
        ("qwen2_moe", {"mlp_only_layers": "x"}, "PD615", "name no layers"),
        ("gpt_oss", {"layer_types": ["full_attention"]}, "PD615", "1 `layer_types` for 2 layers"),
        ("gpt_oss", {"quantization_config": {"quant_method": "mxfp4"}}, "PD608", "quantised"),
        ("granite_swa", {"layer_rope_theta": [1.0]}, "PD615", "1 `layer_rope_theta`"),
        ("llama4", {"attention_chunk_size": None}, "PD615", "`attention_chunk_size`"),
        ("llama4", {"layer_types": ["sliding_attention"] * 2}, "PD612", "`sliding_attention`"),
        ("qwen3_5", {"layer_types": ["sliding_attention"] * 2}, "PD612", "`sliding_attention`"),
        ("qwen3_5", {"layer_types": ["full_attention"]}, "PD615", "1 `layer_types` for 2 layers"),
        ("qwen3_5", {"layer_types": None, "full_attention_interval": 0}, "PD615", "no layers"),
        ("qwen3_5", {"layer_types": None, "linear_num_key_heads": 3}, "PD615", "share out"),
        ("qwen3_5", {"layer_types": None, "linear_conv_kernel_dim": 0}, "PD615", "no size 0"),
        ("olmoe", {"head_dim": 7}, "PD612", "is not read"),
    ],
)  # fmt: skip
def test_configs_that_cannot_be_used(
    name: str, changes: dict[str, object], code: str, said: str
) -> None:
    sizes = {"num_hidden_layers": 2}
    lists = {
        "granite_swa": {"layer_rope_theta": [1.0, 2.0]},
        "qwen3_5": {"layer_types": ["full_attention"] * 2},
    }
    more = lists.get(name, {})
    config = {**make(name, **sizes, **more).config.to_dict(), **changes}
    with pytest.raises(LanguageError) as caught:
        vet_config(ModelSource(kind="folder", location="x"), config)
    (found,) = caught.value.diagnostics
    assert found.code == code and said in found.message


def test_a_gate_behind_values_has_no_slopes_here(folder: Path) -> None:
    shape = adapter_for(make("qwen3_5")).shape
    vet(asked("exact", "nodes"), shape, False)
    for method, of in (("atp", "nodes"), ("eap", "edges"), ("ifr", "edges")):
        with pytest.raises(PlanError) as caught:
            vet(asked(method, of), shape, False)
        assert caught.value.diagnostics[0].code == "PD435"
    place = folder / "qwen3_5"
    make("qwen3_5").save_pretrained(place)
    copied = text(
        "qwen3_5", rest="metric C = copy_score(a1.h0, of: [END])\nlet c = mean(C(reference))\n"
    )
    assert [code for code, _ in codes(folder, copied)] == ["PD262"]
    assert codes(folder, text("qwen3_5")) == []


def test_a_chunk_ends_the_context() -> None:
    config = make("llama4").config.to_dict()
    source = ModelSource(kind="folder", location="x")
    assert vet_config(source, config).n_positions == 16
    whole = {**config, "layer_types": ["full_attention"] * 3}
    assert vet_config(source, whole).n_positions == 32


def test_neurons_between_mixtures_are_nodes(folder: Path) -> None:
    whole = checked(
        folder, "w.circuit", text("qwen2_moe", rest="let k = mean(LD(treat(m1 -> logits)))\n")
    )
    parts = "let k = mean(LD(treat(m1.n[0..19] -> logits | {m1, except m1.n[0..19]} -> logits)))\n"
    split = checked(folder, "s.circuit", text("qwen2_moe", rest=parts))
    some = "let k = mean(LD(treat(m1.n[0..9] -> logits)))\n"
    assert kept(whole) == pytest.approx(kept(split), abs=1e-5)
    assert (
        abs(kept(checked(folder, "n.circuit", text("qwen2_moe", rest=some))) - kept(whole)) > 1e-4
    )


def test_attention_beside_a_sink_adds_up_to_less_than_one(folder: Path) -> None:
    rest = "metric A = attention(a1.h0, END -> [0]..END)\nlet a = mean(A(reference))\n"
    found = kept(checked(folder, "s.circuit", text("gpt_oss", rest=rest)))
    assert 0.05 < found < 0.999
    assert kept(checked(folder, "p.circuit", text("llama", rest=rest))) == pytest.approx(1.0)


def test_attributions_on_a_mixture(folder: Path) -> None:
    """What has no rule for a router, or for a frozen one, is refused."""
    shape = adapter_for(make("mixtral")).shape
    vet(asked("eap", "edges"), shape, False)
    vet(asked("exact", "edges"), shape, True)
    for method, of, routed in (
        ("relp", "nodes", False),
        ("eap", "edges", True),
        ("atp", "neurons", False),
    ):
        with pytest.raises(PlanError) as caught:
            vet(asked(method, of), shape, routed)
        assert caught.value.diagnostics[0].code == "PD435"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("llama", "of width 20"),
        ("mixtral", "mixtures of 4 experts of width 20, 2 for a token"),
        (
            "qwen2_moe",
            "mixtures of 4 experts of width 6, 2 for a token, 10 hidden units shared, "
            "in layers 0, 2; others of width 20",
        ),
    ],
)
def test_how_mlps_are_told(name: str, said: str) -> None:
    assert mlps_text(adapter_for(make(name)).shape) == said
