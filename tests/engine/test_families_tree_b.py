"""The engine on decoders with plain MLPs, GPT-Neo to MPT, against the literal tree in numpy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pathdsl.engine.self_check import prove_null_pair
from pathdsl.errors import LanguageError
from pathdsl.graph.paths.pathset import FULL, NONE
from tests import seeds as counts
from tests.engine.decoder_cases import make
from tests.engine.family_cases import Exact
from tests.engine.tree_cases import REFERENCE, Opened, open_case
from tests.oracle.blocks import Blocks
from tests.oracle.cases import oracle_logits
from tests.oracle.strategies import seeded_case
from tests.oracle.tree import plain_values

EXACT = 1e-9
# name -> family and options
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "gpt_neo_local": ("gpt_neo", {"window_size": 2}),
    "gpt_neo_own_token": ("gpt_neo", {"window_size": 1}),
    "gpt_neo_wide": ("gpt_neo", {"window_size": 3}),
    "gptj": ("gptj", {}),
    "gpt_neox_parallel": ("gpt_neox", {}),
    "gpt_neox_sequential": ("gpt_neox", {"use_parallel_residual": False, "rotary_pct": 1.0}),
    "gpt_neox_bare": ("gpt_neox", {"attention_bias": False, "rotary_emb_base": 50}),
    "opt": ("opt", {}),
    "opt_bare": ("opt", {"enable_bias": False}),
    "falcon": ("falcon", {}),
    "falcon_two_norms": (
        "falcon", {"new_decoder_architecture": True, "num_kv_heads": 1, "bias": True}
    ),
    "falcon_one_norm": (
        "falcon",
        {"new_decoder_architecture": True, "num_kv_heads": 1, "num_ln_in_parallel_attn": 1},
    ),
    "falcon_alibi": (
        "falcon",
        {"attention": "sdpa", "alibi": True, "multi_query": False, "parallel_attn": False,
         "bias": True},
    ),
    "falcon_alibi_parallel": ("falcon", {"attention": "sdpa", "alibi": True}),
    "bloom": ("bloom", {}),
    "mpt": ("mpt", {}),
    "mpt_clipped": ("mpt", {"attn_config": {"clip_qkv": 0.5, "softmax_scale": 0.9}}),
}  # fmt: skip
ALIKE = ("falcon_one_norm", "falcon_alibi_parallel", "mpt")  # what they have another has, too
SEEDS = counts.CASES["decoders"].default


def sized(family: str, layers: int, heads: int) -> dict[str, Any]:
    """The options that give a model of a family so many layers and heads."""
    match family:
        case "gpt_neo":
            kinds = (["local", "global", "local"])[:layers]
            return {"num_layers": layers, "num_heads": heads, "attention_types": [[kinds, 1]]}
        case "gptj" | "bloom":
            return {"n_layer": layers, "n_head": heads}
        case "mpt":
            return {"n_layers": layers, "n_heads": heads}
        case _:
            return {"num_hidden_layers": layers, "num_attention_heads": heads}


def opened(name: str, seeds: Iterable[int] = SEEDS) -> Iterator[Opened]:
    """The cases of some seeds that the graph of the variant accepts, each on a model of it."""
    family, options = VARIANTS[name]
    for seed in seeds:
        case = seeded_case(seed)
        sizes = sized(family, case.config["n_layer"], case.config["n_head"])
        model = make(family, seed=case.seed, **{**options, **sizes}).double()
        try:
            yield open_case(case, model=model)
        except LanguageError:
            continue


def from_tree(one: Opened) -> np.ndarray:
    """(rows, vocabulary) logits by the literal definition."""
    parts = Blocks.of(one.adapter.model)  # type: ignore[attr-defined]
    return np.stack([oracle_logits(one.case, row, parts) for row in range(len(one.case.rows))])


def same(found: np.ndarray, wanted: np.ndarray, text: str) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=EXACT, err_msg=text)


@pytest.mark.parametrize("seeds", counts.chunks("decoders"))
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.long) if n in ALIKE else n for n in VARIANTS]
)
def test_engine_is_the_literal_tree(name: str, seeds: tuple[int, ...]) -> None:
    compared, moved = 0, 0
    with Exact(), torch.no_grad():
        for one in opened(name, seeds):
            found = one.logits(list(dict.fromkeys([one.run(one.treated), REFERENCE])))
            same(found[0], from_tree(one), one.case.text)
            same(found[-1], one.plain("reference"), one.case.text)
            compared += 1
            moved += bool(np.abs(found[0] - found[-1]).max() > 1e-3)
    assert compared >= 5 and moved >= 2  # parallel blocks refuse half of the cases


@pytest.mark.parametrize("name", VARIANTS)
def test_treating_nothing_and_everything(name: str) -> None:
    with Exact(), torch.no_grad():
        for one in opened(name, range(300, 306)):
            one = replace(one, case=replace(one.case, treated="paired"))
            found = one.logits([one.run(NONE), one.run(FULL)])
            same(found[0], one.plain("reference"), one.case.text)
            same(found[1], one.plain("treated"), one.case.text)


@pytest.mark.parametrize("name", VARIANTS)
def test_null_pair(name: str) -> None:
    """Treated = reference changes nothing, in float64 as the model rounds."""
    one = next(opened(name))
    plan = one.plan([one.run(one.treated), one.run(FULL), REFERENCE])
    with torch.no_grad():
        proof = prove_null_pair(plan, one.task, one.adapter, 1e-6)
    assert proof.holds, proof


@pytest.mark.parametrize("name", VARIANTS)
def test_the_oracle_is_the_unmodified_model(name: str) -> None:
    """So the two are independent: numpy parts, and `transformers`."""
    ids, (family, options) = [3, 1, 4, 1, 5, 9], VARIANTS[name]
    with Exact(), torch.no_grad():
        model = make(family, **options).double()
        parts = Blocks.of(model)
        values = plain_values(parts, ids)
        wanted = model(torch.tensor([ids])).logits[0].numpy()
    for at in range(len(ids)):
        last = parts.stream(("logits",), {node: value[at] for node, value in values.items()})
        # GPT-J's table of angles is rounded to float32 when the model is made
        np.testing.assert_allclose(parts.logits(last), wanted[at], rtol=0, atol=1e-5)
