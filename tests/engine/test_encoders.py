"""Encoders against the unmodified `transformers` models: forwards, padding, loading, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pathdsl.checking.check import CheckOptions, check_file
from pathdsl.checking.prepare import vet_file
from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.data.task import DataCall, TaskSpec
from pathdsl.engine.load.source import ModelSource, shape_of, vet_config
from pathdsl.engine.load.weights import load
from pathdsl.engine.planner import Planner
from pathdsl.engine.self_check import prove
from pathdsl.errors import EngineError, LanguageError, PathdslError
from pathdsl.graph.model.families import SHAPES
from tests.engine import masked_cases
from tests.engine.encoder_cases import SMALL, VARIANTS, VOCABULARY, make, some_ids, worst
from tests.engine.engine_cases import PAIRED, TASK
from tests.engine.family_cases import Exact

LENGTHS = torch.tensor([9, 4, 1])
ENCODERS = [name for name in VARIANTS if not name.startswith("opt")]
KINDS = ["modernbert", "bert", "roberta"]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", VARIANTS)
def test_decomposed_forward_is_the_plain_one(name: str, attention: str) -> None:
    model = make(name, attention)
    assert worst(model) < 1e-4 and worst(model, LENGTHS) < 1e-4
    with Exact():
        model = make(name, attention).double()
        assert worst(model) < 1e-10 and worst(model, LENGTHS) < 1e-10


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_float64_is_kept_where_the_family_keeps_it(name: str) -> None:
    model = make(name).double()
    assert worst(model, LENGTHS) < 1e-13
    assert adapter_for(model).precision == torch.float64


@pytest.mark.parametrize("name", KINDS)
def test_half_precision(name: str) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        model = make(name).to(dtype)
        with torch.no_grad():
            scale = float(adapter_for(model).plain_forward(some_ids()).abs().max())
        assert worst(model, LENGTHS) < 0.05 * scale


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_is_masked_as_the_model_masks_it(name: str) -> None:
    """Rows without padding are the model's own rows with an attention mask."""
    model, ids = make(name), some_ids()
    real = torch.arange(9) < LENGTHS[:, None]
    ids = torch.where(real, ids, 0)
    with torch.no_grad():
        theirs = model(input_ids=ids, attention_mask=real.long()).logits
        adapter = adapter_for(model)
        for ours in (adapter.plain_forward(ids, LENGTHS), adapter.decomposed_forward(ids, LENGTHS)):
            assert torch.allclose(ours[real], theirs[real], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ENCODERS)
def test_what_stands_at_padding_reaches_no_token(name: str) -> None:
    adapter, ids = adapter_for(make(name).double()), some_ids()
    real = torch.arange(9) < LENGTHS[:, None]
    other = torch.where(real, ids, 3 + (ids - 2) % (VOCABULARY - 3))
    with torch.no_grad():
        one, two = (adapter.decomposed_forward(x, LENGTHS) for x in (ids, other))
    assert torch.equal(one[real], two[real]) and torch.isfinite(one).all()


def test_a_padding_token_inside_a_prompt_takes_no_position_of_roberta() -> None:
    model, ids = make("roberta").double(), torch.tensor([[1, 4, 0, 5, 2], [1, 0, 0, 5, 2]])
    adapter = adapter_for(model)
    with torch.no_grad():
        ours, theirs = adapter.decomposed_forward(ids), model(ids).logits
    assert torch.allclose(ours, theirs, atol=1e-12)


def test_windows_reach_both_ways() -> None:
    adapter = adapter_for(make("modernbert"))
    assert adapter.shape.windows == (2, None, 2) and not adapter.shape.causal
    seen = adapter.mask(0, torch.tensor([[3]]), 6)[0, 0].tolist()
    assert seen == [False, False, True, True, True, False]
    assert adapter.mask(1, torch.tensor([[3]]), 6).all()
    assert [adapter.shape.sees(0, d) for d in (-2, -1, 0, 1, 2)] == [False, True, True, True, False]


def test_the_unit_of_noise_is_that_of_the_stream() -> None:
    model = make("modernbert")
    parts = model.model.embeddings
    entering = parts.norm(parts.tok_embeddings.weight).detach().double()
    found = adapter_for(model).embedding_std()
    assert found == pytest.approx(float(entering.std(correction=0)), rel=1e-6)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["modernbert_biases", "bert", "roberta"])
def test_self_check(name: str, attention: str) -> None:
    spec = TaskSpec(name="t", data=DataCall(name="jsonl"), reference="prompt", treated=PAIRED)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        adapter = adapter_for(make(name, attention).to(dtype))
        found = prove(Planner(adapter.shape, {"t": TASK}, {"t": spec}), adapter, TASK)
        assert [proof.code for proof in found] == ["PD630", "PD631", "PD632", "PD633"]
        assert all(proof.holds for proof in found), found


@pytest.mark.parametrize("name", KINDS)
def test_a_proof_fails_where_a_norm_is_left_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = adapter_for(make(name))
    if not adapter.shape.normed_stream:
        monkeypatch.setattr(type(adapter), "attention_input", lambda s, layer, r, scales=None: r)
    monkeypatch.setattr(type(adapter), "behind_mlp", lambda self, layer, total: total)
    spec = TaskSpec(name="t", data=DataCall(name="jsonl"), reference="prompt", treated=PAIRED)
    found = prove(Planner(adapter.shape, {"t": TASK}, {"t": spec}), adapter, TASK)
    assert not found[0].holds


# ------------------------------------------------------------------------------------- loading


def code_of(act: Any) -> str:
    with pytest.raises(PathdslError) as caught:
        act()
    return caught.value.diagnostics[0].code


@pytest.mark.parametrize("name", KINDS)
def test_from_disk(name: str, tmp_path: Path) -> None:
    """Also with a pooler and a next-sentence layer beside; nothing else may be left over."""
    model = make(name)
    model.save_pretrained(tmp_path)
    source = ModelSource(kind="folder", location=str(tmp_path))
    loaded = load(source)
    assert shape_of(source) == loaded.adapter.shape
    ids = some_ids()
    with torch.no_grad():
        assert torch.equal(loaded.adapter.plain_forward(ids), model(ids).logits)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    inner = {"bert": "bert.", "roberta": "roberta."}.get(name, "")
    if inner:
        saved = {f"{inner}pooler.dense.weight": torch.ones(8, 8),
                 f"{inner}embeddings.position_ids": torch.arange(16)[None]}  # fmt: skip
        saved |= {"cls.seq_relationship.bias": torch.ones(2)} if name == "bert" else {}
        save_file({**weights, **saved}, file, metadata={"format": "pt"})
        with torch.no_grad():
            assert torch.equal(load(source).adapter.plain_forward(ids), model(ids).logits)
    save_file({**weights, f"{inner}probe.bias": torch.ones(2)}, file, metadata={"format": "pt"})
    assert code_of(lambda: load(source)) == "PD605"
    dense = next(key for key in weights if key.endswith("dense.weight"))
    save_file({k: w for k, w in weights.items() if k != dense}, file, metadata={"format": "pt"})
    assert code_of(lambda: load(source)) == "PD605"


def test_a_field_that_transformers_reads_under_another_name(tmp_path: Path) -> None:
    """`sliding_window` of a ModernBERT sets `local_attention`, so edges would be other ones."""
    make("modernbert").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "sliding_window": 3}))
    source = ModelSource(kind="folder", location=str(tmp_path))
    with pytest.raises(LanguageError, match="`windows` is") as caught:
        load(source)
    assert caught.value.diagnostics[0].code == "PD615"


@pytest.mark.parametrize(
    ("name", "part"),
    [("modernbert", "model.layers.1.attn.Wo"), ("modernbert", "head.dense"),
     ("bert", "bert.encoder.layer.1.attention.output.dense"),
     ("bert", "cls.predictions.transform.LayerNorm"), ("roberta", "lm_head.dense"),
     ("roberta", "roberta.embeddings.LayerNorm")],
)  # fmt: skip
def test_changed_models_are_refused(name: str, part: str) -> None:
    added, replaced, missing, training, mixed = (make(name) for _ in range(5))
    added.get_submodule(part).probe = nn.Linear(2, 2).eval()
    parent, _, last = part.rpartition(".")
    setattr(replaced.get_submodule(parent), last, nn.Bilinear(2, 2, 2).eval())
    delattr(missing.get_submodule(parent), last)
    for model in (added, replaced, missing):
        assert code_of(lambda model=model: adapter_for(model)) == "PD612"
    training.get_submodule(part).train()
    assert code_of(lambda: adapter_for(training)) == "PD618"
    mixed.get_submodule(part).double()
    assert code_of(lambda: adapter_for(mixed)) == "PD612"

    class Mine(type(added)):  # type: ignore[misc]
        pass

    assert code_of(lambda: adapter_for(Mine(added.config).eval())) == "PD607"


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("bert", {"is_decoder": True}, "PD612"),
    ("bert", {"position_embedding_type": "relative_key"}, "PD612"),
    ("bert", {"add_cross_attention": True}, "PD612"),
    ("bert", {"num_attention_heads": 3}, "PD615"),
    ("roberta", {"max_position_embeddings": 1}, "PD615"),
    ("modernbert", {"layer_types": ["full_attention"]}, "PD615"),
    ("modernbert", {"layer_types": ["chunked_attention"] * 3}, "PD612"),
    ("modernbert", {"global_attn_every_n_layers": 0}, "PD615"),
    ("modernbert", {"local_attention": -4}, "PD615"),
    ("modernbert", {"norm_bias": "no"}, "PD615"),
    ("modernbert", {"head_dim": 8}, "PD612"),
]


@pytest.mark.parametrize(("kind", "changes", "code"), BAD)
def test_configs_that_cannot_be_used(kind: str, changes: dict[str, Any], code: str) -> None:
    source = ModelSource(kind="folder", location="x")
    config = {**SMALL, "model_type": kind, **changes}
    assert code_of(lambda: vet_config(source, config)) == code
    vet_config(source, {**SMALL, "model_type": kind})


def test_configs_of_before_say_where_attention_is_global() -> None:
    old = {"model_type": "modernbert", "num_hidden_layers": 4, "global_attn_every_n_layers": 2,
           "local_attention": 8, "global_rope_theta": 1000.0}  # fmt: skip
    assert SHAPES["modernbert"](old).windows == (None, 5, None, 5)
    assert SHAPES["modernbert"]({"model_type": "modernbert"}).windows[:4] == (None, 65, 65, None)
    assert SHAPES["roberta"]({"model_type": "roberta"}).n_positions == 510


# ------------------------------------------------------------------------- files on encoders


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained BERT in `m`, its rows beside it."""
    folder = tmp_path_factory.mktemp("masked")
    masked_cases.trained(folder / "m")
    shutil.move(folder / "m" / "rows.jsonl", folder / "rows.jsonl")
    return folder


def written(folder: Path, *lines: str, without: str = "") -> str:
    """The path of a file of these lines behind the usual beginning."""
    text = masked_cases.FILE.replace(without, "") if without else masked_cases.FILE
    path = folder / f"{abs(hash((lines, without)))}.circuit"
    path.write_text(text % "m" + "\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_a_path_through_a_later_position_is_found(trained: Path) -> None:
    outcome = check_file(written(trained), options=CheckOptions())
    assert outcome.exit_code == 0, outcome.diagnostics
    verdicts = {claim.name: claim.verdict for claim in outcome.judgement.claims}
    assert verdicts == {"ahead": "supported", "back": "refuted", "does": "supported"}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("metric D @MASK: logits = dla(a0.h0, answer)", "PD262"),
        ("metric D = copy_score(a0.h0, of: MASK)", "PD262"),
        ("metric D @MASK: logits = logit(next)", "PD263"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused_by_name(trained: Path, line: str, code: str) -> None:
    unit = ": logits" if ": logits" in line else ""
    _, faults = vet_file(written(trained, line, f"let d{unit} = mean(D(reference))"))
    assert code in [fault.code for fault in faults if fault.severity.name == "ERROR"]


@pytest.mark.parametrize(
    ("field", "code"), [("layernorm = frozen", "PD262"), ("answers = whole", "PD263")]
)
def test_fields_of_tasks_that_have_no_meaning(trained: Path, field: str, code: str) -> None:
    path = Path(written(trained))
    path.write_text(path.read_text().replace("positions =", f"{field}\n  positions ="))
    assert code in [fault.code for fault in vet_file(str(path))[1]]


def test_a_prompt_without_its_mask(trained: Path) -> None:
    rows = [json.loads(line) for line in (trained / "rows.jsonl").read_text().splitlines()]
    rows[3]["prompt"] = rows[3]["prompt"].replace("[MASK]", "w1")
    (trained / "bare.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    path = Path(written(trained))
    path.write_text(path.read_text().replace("rows.jsonl", "bare.jsonl"))
    outcome = check_file(str(path), options=CheckOptions())
    fault = next(fault for fault in outcome.diagnostics if fault.code == "PD335")
    assert "holds no mask token" in fault.message


def test_a_metric_that_is_read_behind_the_prompt(trained: Path) -> None:
    """Without a position it is read at `[SEP]`; at a mask, or at a word, nothing is said."""
    path = Path(written(trained))
    text = path.read_text()
    for end in ("@MASK = {", "@MASK+1 -[v: offset(+1)]->", "@MASK-1 -[v: prev]->"):
        text = text.replace(end, "= {" if "=" in end else " ->")  # paths that reach every place
    for place, told in ((" @MASK:", 0), (":", 1), (" @[0]:", 1), (" @MASK-1:", 0)):
        path.write_text(text.replace(" @MASK:", place))
        outcome = check_file(str(path), options=CheckOptions())
        found = [fault for fault in outcome.diagnostics if fault.code == "PD264"]
        assert len(found) == told, place
        assert all("`[SEP]`" in one.message or place == " @[0]:" for one in found)


def test_gradients_are_refused_where_the_stream_is_normed(trained: Path) -> None:
    lines = ("let by_slope = attribution(a0.h0, by: atp, metric: LD)",
             "let patched  = attribution(a0.h0, by: exact, metric: LD)")  # fmt: skip
    outcome = check_file(written(trained, lines[0]), options=CheckOptions())
    assert "PD435" in [fault.code for fault in outcome.diagnostics]
    outcome = check_file(written(trained, lines[1]), options=CheckOptions())
    assert outcome.exit_code == 0, outcome.diagnostics


def test_an_encoder_is_not_read_as_a_decoder() -> None:
    with pytest.raises((EngineError, LanguageError)):
        adapter_for(nn.Linear(2, 2))
    assert np.all([not SHAPES[kind]({**SMALL, "model_type": kind}).causal for kind in KINDS])
