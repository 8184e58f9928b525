"""Tiny random encoders, and cases on them whose relations reach later positions, too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from pathdsl.engine.adapters import adapter_for
from pathdsl.errors import LanguageError
from tests.engine.tree_cases import Opened, open_case
from tests.oracle.cases import oracle_logits
from tests.oracle.encoders import encoder_of
from tests.oracle.strategies import seeded_case

torch.set_num_threads(1)

VOCABULARY = 11
SMALL: Mapping[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 3,
    "num_attention_heads": 2, "max_position_embeddings": 16, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2,
}  # fmt: skip
_KINDS = ["sliding_attention", "full_attention", "sliding_attention"]
# name -> model type and options
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "modernbert": ("modernbert", {"local_attention": 2, "layer_types": _KINDS}),
    "modernbert_biases": (
        "modernbert",
        {"local_attention": 4, "attention_bias": True, "mlp_bias": True, "norm_bias": True,
         "classifier_bias": True, "decoder_bias": False, "global_attn_every_n_layers": 2},
    ),
    "modernbert_own_token": ("modernbert", {"local_attention": 1, "layer_types": _KINDS[::-1]}),
    "bert": ("bert", {"type_vocab_size": 2}),
    "bert_relu": ("bert", {"type_vocab_size": 1, "hidden_act": "relu"}),
    "roberta": ("roberta", {"type_vocab_size": 1}),
    "opt_350m": (
        "opt", {"do_layer_norm_before": False, "word_embed_proj_dim": 6, "ffn_dim": 12}
    ),
}  # fmt: skip


def make(name: str, attention: str = "eager", seed: int = 0, **options: object) -> Any:
    """A random model in float32 whose weights, biases and norms are far from their first values."""
    kind, own = VARIANTS[name]
    given: dict[str, Any] = {**SMALL, **own, **options}
    if "layer_types" in given:
        given["layer_types"] = given["layer_types"][: given["num_hidden_layers"]]
    config = AutoConfig.for_model(kind, **given)
    torch.manual_seed(seed)
    auto = AutoModelForCausalLM if kind == "opt" else AutoModelForMaskedLM
    model = auto.from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn(parameter.shape))
    return model


def some_ids(rows: int = 3, pos: int = 9) -> torch.Tensor:
    return torch.randint(3, VOCABULARY, (rows, pos), generator=torch.Generator().manual_seed(1))


def worst(model: nn.Module, lengths: torch.Tensor | None = None) -> float:
    """The largest difference of decomposed and plain logits at real tokens."""
    adapter, ids = adapter_for(model), some_ids()
    with torch.no_grad():
        ours = adapter.decomposed_forward(ids, lengths)
        theirs = adapter.plain_forward(ids, lengths)
    real = torch.arange(ids.shape[1]) < (lengths[:, None] if lengths is not None else 99)
    real = real.expand(ids.shape)
    return float((ours[real] - theirs[real]).abs().max())


def opened(name: str, seeds: Iterable[int]) -> Iterator[Opened]:
    """Cases of some seeds, each on a model of the variant; every other one looks ahead."""
    for seed in seeds:
        case = seeded_case(seed)
        if seed % 2:
            text = case.text.replace("offset(-1)", "offset(+1)").replace("prev", "offset(1)")
            case = replace(case, text=text)
        sizes = {
            "num_hidden_layers": case.config["n_layer"],
            "num_attention_heads": case.config["n_head"],
        }
        try:
            yield open_case(case, model=make(name, seed=case.seed, **sizes).double())
        except LanguageError:
            continue


def from_tree(one: Opened) -> np.ndarray:
    """(rows, vocabulary) logits by the literal definition."""
    parts = encoder_of(one.adapter.model)  # type: ignore[attr-defined]
    rows = range(len(one.case.rows))
    return np.stack([oracle_logits(one.case, row, parts, frozen=one.frozen) for row in rows])
