"""The hand-built models do their tasks, and `truth.json` is what every single edge says.

The edges are treated one at a time by a forward pass of this file's own, which keeps every
component's output apart; it is independent of the package's engine on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2LMHeadModel

from pathdsl.models import MODELS, bundled, truth
from pathdsl.tasks import get
from pathdsl.tasks.base import Row

Outputs = dict[str, Tensor]

HAND_BUILT = [model.name for model in MODELS if model.hand_built]
SCRIPTS = {
    "induction-2l": "induction",
    "frac-prevs": "frac_prevs",
    "balance": "balance",
    "two-hop": "two_hop",
}
COLUMNS = {
    "induction-2l": ("answer", "wrong"),
    "frac-prevs": ("out", "none"),
    "balance": ("yes", "no"),
    "two-hop": ("answer", "wrong"),
}
VALUES: dict[str, Callable[[Row], float]] = {
    "induction-2l": lambda row: 10.0,
    "frac-prevs": lambda row: 8.0 * row["count"] / (len(row["prompt"]) - 1),
    "balance": lambda row: 4.0 if row["kind"] == "balanced" else -4.0,
    "two-hop": lambda row: 10.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`sender->receiver<slot>`, the slot empty but for heads."""

    sender: str
    receiver: str
    slot: str = ""

    def __str__(self) -> str:
        return f"{self.sender}->{self.receiver}" + (f"<{self.slot}>" if self.slot else "")


def all_edges(model: GPT2LMHeadModel) -> Iterator[Edge]:
    """Every edge of the residual stream, earlier sender to later receiver."""
    senders = ["input"]
    for layer in range(model.config.n_layer):
        heads = [f"a{layer}.h{head}" for head in range(model.config.n_head)]
        for head in heads:
            for sender in senders:
                for slot in "qkv":
                    yield Edge(sender=sender, receiver=head, slot=slot)
        senders += heads
        for sender in senders:
            yield Edge(sender=sender, receiver=f"m{layer}")
        senders.append(f"m{layer}")
    for sender in senders:
        yield Edge(sender=sender, receiver="logits")


@torch.no_grad()
def forward(
    model: GPT2LMHeadModel, ids: Tensor, treated: Mapping[Edge, Tensor] | None = None
) -> tuple[Tensor, Outputs]:
    """Logits (batch, pos, d_vocab) and every sender's output (batch, pos, d_model).

    The receiver of a treated edge reads the value given in place of its sender's output.
    """
    treated = treated or {}
    body, heads = model.transformer, model.config.n_head
    width = model.config.n_embd // heads
    length = ids.shape[1]
    out: Outputs = {"input": body.wte(ids) + body.wpe(torch.arange(length))}
    constant = torch.zeros(model.config.n_embd, dtype=out["input"].dtype)

    def read(receiver: str, slot: str = "") -> Tensor:
        edges = {u: Edge(sender=u, receiver=receiver, slot=slot) for u in out}
        return constant + sum(treated.get(edges[u], x) for u, x in out.items())

    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    for layer, block in enumerate(body.h):
        weight, bias = block.attn.c_attn.weight, block.attn.c_attn.bias
        written: Outputs = {}
        for head in range(heads):
            name, parts = f"a{layer}.h{head}", {}
            for number, slot in enumerate("qkv"):
                first = number * model.config.n_embd + head * width
                x = block.ln_1(read(name, slot))
                parts[slot] = x @ weight[:, first : first + width] + bias[first : first + width]
            scores = parts["q"] @ parts["k"].transpose(1, 2) / width**0.5
            pattern = scores.masked_fill(future, float("-inf")).softmax(-1)
            rows = block.attn.c_proj.weight[head * width : (head + 1) * width]
            written[name] = pattern @ parts["v"] @ rows
        out |= written
        constant = constant + block.attn.c_proj.bias
        out[f"m{layer}"] = block.mlp(block.ln_2(read(f"m{layer}")))
    return model.lm_head(body.ln_f(read("logits"))), out


def load(name: str, dtype: torch.dtype = torch.float64) -> GPT2LMHeadModel:
    return AutoModelForCausalLM.from_pretrained(bundled(name), dtype=dtype).eval()


def difference(logits: Tensor, rows: list[Row], name: str) -> Tensor:
    """The metric at END of each row, (batch,)."""
    right, wrong = (torch.tensor([row[column] for row in rows]) for column in COLUMNS[name])
    at = torch.arange(len(rows))
    return logits[at, -1, right] - logits[at, -1, wrong]


def ids(rows: list[Row], column: str) -> Tensor:
    return torch.tensor([row[column] for row in rows])


@pytest.mark.parametrize("name", HAND_BUILT)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_does_its_task(name: str, dtype: torch.dtype, tolerance: float) -> None:
    generator = get(truth(name)["task"])
    model = load(name, dtype)
    for arguments in ({}, truth(name)["arguments"], *generator.examples):
        rows = generator.rows(take=60, seed=3, **arguments)
        with torch.no_grad():
            found = difference(model(ids(rows, "prompt")).logits, rows, name)
        wanted = torch.tensor([VALUES[name](row) for row in rows], dtype=dtype)
        torch.testing.assert_close(found, wanted, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", HAND_BUILT)
@pytest.mark.parametrize("kind", ["paired", "mean", "zero"])
def test_every_true_edge_matters_and_no_other(name: str, kind: str) -> None:
    known, model = truth(name), load(name)
    rows = get(known["task"]).rows(take=16, **known["arguments"])
    plain, _ = forward(model, ids(rows, "prompt"))
    base = difference(plain, rows, name)
    _, treated = forward(model, ids(rows, "prompt_other"))
    values = {}
    for edge in all_edges(model):
        values[edge] = treated[edge.sender]
        if kind == "mean":
            values[edge] = values[edge].mean(0, keepdim=True).expand_as(values[edge])
        elif kind == "zero":
            values[edge] = torch.zeros_like(values[edge])

    def effect(edges: Mapping[Edge, Tensor]) -> float:
        logits, _ = forward(model, ids(rows, "prompt"), edges)
        return (difference(logits, rows, name) - base).abs().max().item()

    alone = {edge: effect({edge: value}) for edge, value in values.items()}
    doubtful = {str(edge): size for edge, size in alone.items() if 1e-9 <= size <= 0.1}
    assert not doubtful
    true = {edge for edge, size in alone.items() if size > 0.1}
    assert sorted(map(str, true)) == known["true_edges"][kind]
    # The circuit alone does the task: all other edges treated together.
    assert effect({edge: value for edge, value in values.items() if edge not in true}) < 1e-9


@pytest.mark.parametrize("name", HAND_BUILT)
def test_forward_by_components_is_the_models_own(name: str) -> None:
    rows = get(truth(name)["task"]).rows(take=20)
    model = load(name)
    with torch.no_grad():
        theirs = model(ids(rows, "prompt")).logits
    torch.testing.assert_close(forward(model, ids(rows, "prompt"))[0], theirs, atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", HAND_BUILT)
def test_weights_of_decoys_change_nothing(name: str) -> None:
    known, model = truth(name), load(name)
    rows = get(known["task"]).rows(take=40)
    assert set(known["nodes"]).isdisjoint(known["decoys"])
    layers, heads = model.config.n_layer, model.config.n_head
    assert len(known["nodes"]) + len(known["decoys"]) == layers * (heads + 1)
    with torch.no_grad():
        before = model(ids(rows, "prompt")).logits
        width = model.config.n_embd // heads
        for decoy in known["decoys"]:
            if decoy.startswith("m"):
                model.transformer.h[int(decoy[1:])].mlp.c_proj.weight.zero_()
            else:
                layer, head = (int(part[1:]) for part in decoy.split("."))
                rows_of_head = slice(head * width, (head + 1) * width)
                model.transformer.h[layer].attn.c_proj.weight[rows_of_head].zero_()
        after = model(ids(rows, "prompt")).logits
    torch.testing.assert_close(after, before, atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", HAND_BUILT)
def test_residual_stream_has_no_mean_and_the_norm_does_nothing(name: str) -> None:
    model = load(name)
    rows = get(truth(name)["task"]).rows(take=5)
    _, outputs = forward(model, ids(rows, "prompt"))
    for sender, output in outputs.items():
        assert output.mean(-1).abs().max() < 1e-12, sender
    stream = sum(outputs.values())
    assert isinstance(stream, Tensor)
    torch.testing.assert_close(model.transformer.ln_f(stream), stream, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", HAND_BUILT)
def test_the_build_script_writes_the_shipped_folder(name: str, tmp_path: Path) -> None:
    import_module(f"pathdsl.models.build.{SCRIPTS[name]}").build(tmp_path)
    shipped = load_file(bundled(name) / "model.safetensors")
    built = load_file(tmp_path / "model.safetensors")
    assert shipped.keys() == built.keys()
    assert all(torch.equal(shipped[key], built[key]) for key in shipped)
    for file in ("model.safetensors", "truth.json", "MODEL_CARD.md"):
        assert (tmp_path / file).read_bytes() == (bundled(name) / file).read_bytes(), file


def test_the_verdict_changes_with_the_treated_value() -> None:
    known = truth("frac-prevs")["true_edges"]
    assert len(known["paired"]) == 3 and len(known["zero"]) == 5
