"""Encoders, and OPT with norms behind its parts, against the literal tree and against hooks."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.self_check import prove_null_pair
from pathdsl.errors import LanguageError
from pathdsl.graph.paths.pathset import FULL, NONE
from tests import seeds as counts
from tests.engine.encoder_cases import VARIANTS, from_tree, make, opened
from tests.engine.family_cases import Exact
from tests.engine.test_under_tree import compare, compare_parts
from tests.engine.tree_cases import REFERENCE, open_case
from tests.engine.under_cases import Drawer
from tests.oracle.cases import Case, CaseRow
from tests.oracle.encoders import encoder_of
from tests.oracle.strategies import seeded_case
from tests.oracle.tree import plain_values
from tests.oracle.writer import Chooser

EXACT = 1e-9
PRE_NORM = [name for name in VARIANTS if name.startswith("modernbert")]
POST_NORM = [name for name in VARIANTS if name not in PRE_NORM]
INSIDE = ("zero", "block", "only", "uniform", "copied")


@pytest.mark.parametrize("seeds", counts.chunks("encoders"))
@pytest.mark.parametrize("name", VARIANTS)
def test_engine_is_the_literal_tree(name: str, seeds: tuple[int, ...]) -> None:
    compared, moved = 0, 0
    with Exact(), torch.no_grad():
        for one in opened(name, seeds):
            found = one.logits(list(dict.fromkeys([one.run(one.treated), REFERENCE])))
            text, wanted = one.case.text, from_tree(one)
            np.testing.assert_allclose(found[0], wanted, rtol=0, atol=EXACT, err_msg=text)
            plain = one.plain("reference")
            np.testing.assert_allclose(found[-1], plain, rtol=0, atol=EXACT, err_msg=text)
            compared += 1
            moved += bool(np.abs(found[0] - found[-1]).max() > 1e-3)
    assert compared >= len(seeds) - 2 and moved >= 3


@pytest.mark.parametrize("name", PRE_NORM)
def test_frozen_norms(name: str) -> None:
    with Exact(), torch.no_grad():
        for one in opened(name, (3, 7, 9, 16)):
            one = replace(one, frozen=True)
            found = one.logits([one.run(one.treated)])
            np.testing.assert_allclose(found[0], from_tree(one), rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", ["modernbert", "bert"])
def test_fused_attention(name: str) -> None:
    with Exact(), torch.no_grad():
        for one in opened(name, (3, 7, 9)):
            one = replace(one, adapter=adapter_for(one.adapter.model, fused=True))  # type: ignore[attr-defined]
            found = one.logits([one.run(one.treated)])
            np.testing.assert_allclose(found[0], from_tree(one), rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", ["modernbert_biases", "bert", "roberta", "opt_350m"])
def test_neurons_as_nodes(name: str) -> None:
    done = 0
    with Exact(), torch.no_grad():
        for seed in (303, 306, 309, 311, 317, 320):
            case = seeded_case(seed, (1, 6))
            layers, heads = case.config["n_layer"], case.config["n_head"]
            model = make(name, seed=seed, num_hidden_layers=layers, num_attention_heads=heads)
            try:
                one = open_case(case, model=model.double())
            except LanguageError:
                continue
            found = one.logits([one.run(one.treated)])
            np.testing.assert_allclose(found[0], from_tree(one), rtol=0, atol=EXACT)
            done += ".n" in case.text
    assert done >= 3


@pytest.mark.parametrize("name", VARIANTS)
def test_treating_nothing_and_everything(name: str) -> None:
    with Exact(), torch.no_grad():
        for one in opened(name, (3, 5)):
            one = replace(one, case=replace(one.case, treated="paired"))
            found = one.logits([one.run(NONE), one.run(FULL)])
            np.testing.assert_allclose(found[0], one.plain("reference"), rtol=0, atol=EXACT)
            np.testing.assert_allclose(found[1], one.plain("treated"), rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", VARIANTS)
def test_null_pair(name: str) -> None:
    """Treated = reference changes nothing, in float64 as the model rounds."""
    one = next(opened(name, (7,)))
    plan = one.plan([one.run(one.treated), one.run(FULL), REFERENCE])
    with torch.no_grad():
        proof = prove_null_pair(plan, one.task, one.adapter, 1e-6)
    assert proof.holds, proof


@pytest.mark.parametrize("name", VARIANTS)
def test_the_oracle_is_the_unmodified_model(name: str) -> None:
    """So the two are independent: numpy parts, and `transformers`."""
    ids = [3, 7, 4, 7, 5, 9]
    with Exact(), torch.no_grad():
        model = make(name).double()
        parts = encoder_of(model)
        values = plain_values(parts, ids)
        wanted = model(torch.tensor([ids])).logits[0].numpy()
    for at in range(len(ids)):
        last = parts.stream(("logits",), {node: value[at] for node, value in values.items()})
        np.testing.assert_allclose(parts.logits(last), wanted[at], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", PRE_NORM)
def test_interventions(name: str) -> None:
    """Also on keys behind the head's own position."""
    done = 0
    with Exact(), torch.no_grad():
        for seed, one in enumerate(opened(name, (3, 7, 13, 20))):
            rng = random.Random(seed)
            drawer = Drawer(one, Chooser(rng.randint), encoder_of(one.adapter.model))  # type: ignore[attr-defined]
            verbs = [[rng.choice((*INSIDE, "scale", "set", "add", "move"))] for _ in range(2)]
            done += compare(one, drawer, verbs)
            compare_parts(one, rng, encoder_of(one.adapter.model))  # type: ignore[attr-defined]
    assert done


@pytest.mark.parametrize("name", ["bert", "opt_350m"])
def test_interventions_inside_heads_where_the_stream_is_normed(name: str) -> None:
    done = 0
    with Exact(), torch.no_grad():
        for seed, one in enumerate(opened(name, (3, 7, 13, 20))):
            rng = random.Random(seed)
            drawer = Drawer(one, Chooser(rng.randint), encoder_of(one.adapter.model))  # type: ignore[attr-defined]
            done += compare(one, drawer, [[rng.choice(INSIDE)], [rng.choice(INSIDE)]])
    assert done


# ------------------------------------------------------------------------------------- hooks

WRITERS: Any = {
    "modernbert": lambda model, layer: model.model.layers[layer].attn.Wo,
    "bert": lambda model, layer: model.bert.encoder.layer[layer].attention.output.dense,
    "roberta": lambda model, layer: model.roberta.encoder.layer[layer].attention.output.dense,
}
BLOCKS: Any = {
    "modernbert": lambda model, layer: model.model.layers[layer],
    "bert": lambda model, layer: model.bert.encoder.layer[layer],
    "roberta": lambda model, layer: model.roberta.encoder.layer[layer],
}
ROW = CaseRow(reference=(3, 7, 4, 7), treated=(5, 9, 3, 6), positions={}, template="x")


def patched(model: Any, module: nn.Module, at: list[int], part: slice) -> np.ndarray:
    """Logits at END with a module's input at some positions as on the treated prompt."""
    seen: list[torch.Tensor] = []
    handle = module.register_forward_pre_hook(lambda _m, args: seen.append(args[0].clone()))
    model(torch.tensor([ROW.treated]))
    handle.remove()

    def put(_m: nn.Module, args: tuple[Any, ...]) -> Any:
        changed = args[0].clone()
        changed[:, at, part] = seen[0][:, at, part]
        return (changed, *args[1:])

    handle = module.register_forward_pre_hook(put)
    found = model(torch.tensor([ROW.reference])).logits[0, -1].numpy()
    handle.remove()
    return np.asarray(found)


@pytest.mark.parametrize("name", WRITERS)
def test_patches_are_those_of_hooks(name: str) -> None:
    """Of heads, of the stream at one position, and of one that only later positions tell of."""
    kind = {"modernbert": "modernbert_biases"}.get(name, name)
    model = make(kind, num_hidden_layers=2).double()
    for text, module, at, part in (
        ("a0.h1", WRITERS[name](model, 0), [0, 1, 2, 3], slice(4, 8)),
        ("a1.h0@END", WRITERS[name](model, 1), [3], slice(0, 4)),
        ("a0.h1@[1]", WRITERS[name](model, 0), [1], slice(4, 8)),
        ("r1@[1]", BLOCKS[name](model, 1), [1], slice(None)),
        ("r1", BLOCKS[name](model, 1), [0, 1, 2, 3], slice(None)),
    ):
        path = f"path P = {text}\n" if text[0] == "a" else f"path P = through({text})\n"
        case = Case(config={}, seed=0, rows=(ROW,), text=path, run="treat")
        with Exact(), torch.no_grad():
            one = open_case(case, model=model)
            found = one.logits([one.run(one.treated)])[0, 0]
            wanted = patched(model, module, at, part)
            plain = model(torch.tensor([ROW.reference])).logits[0, -1].numpy()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10, err_msg=text)
        assert np.abs(found - plain).max() > 1e-3, text


# --------------------------------------------------------------------------- what edges there are


def code_of(text: str, name: str = "modernbert", **options: object) -> str:
    """The code with which a path set is refused on a small model, "" where it is taken."""
    case = Case(config={}, seed=0, rows=(ROW,), text=f"path P = {text}\n", run="treat")
    try:
        open_case(case, model=make(name, **options))
    except LanguageError as error:
        return error.diagnostics[0].code
    return ""


def test_edges_from_later_positions() -> None:
    assert code_of("a0.h0@[3] -[v]-> a1.h0@[0] -> logits") == ""
    assert code_of("a0.h0@[3] -[v]-> a1.h0@[0] -> logits", "opt_350m") == "PD203"
    assert code_of("a0.h0@[3] -[k: offset(+2)]-> a1.h0@[1] -> logits") == ""
    assert code_of("a0.h0@[3] -[k: offset(+2)]-> a1.h0@[1] -> logits", "opt_350m") == "PD203"
    assert code_of("a0.h0 -[k: offset(2)]-> a1.h0 -> logits", "opt_350m") == "PD203"
    assert code_of("a0.h0@[3] -[k: prev]-> a1.h0@[1] -> logits") == "PD213"
    assert code_of("a0.h0@[3] -[k: offset(+1)]-> a1.h0@[1] -> logits") == "PD213"
    assert code_of("a0.h0@[3] -[q]-> a1.h0@[1] -> logits") == "PD202"
    assert code_of("a0.h0@[3] -> m1@[1] -> logits") == "PD202"
    assert code_of("a0.h0@[3] ~> m1@[1] -> logits") == ""
    # local_attention 2: one position on either side in layers 0 and 2
    assert code_of("m1@[3] -[v]-> a2.h0@[2] -> logits") == ""
    assert code_of("m1@[3] -[v]-> a2.h0@[1] -> logits") == "PD204"
    assert code_of("m1@[0] -[v]-> a2.h0@[2] -> logits") == "PD204"
