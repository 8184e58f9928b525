"""Every measure against the outputs of the unmodified model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import pathdsl.engine.run.measure as module
from pathdsl.engine.run.measure import from_logits
from pathdsl.errors import PlanError
from pathdsl.graph.paths.pathset import FULL
from pathdsl.plan.readout import Measure
from tests.engine.engine_cases import (
    COLUMNS,
    MEAN,
    PAIRED,
    REFERENCE,
    TASK,
    ZERO,
    adapter_of,
    hf,
    path_sets,
    prompt,
    treat,
    values,
)  # fmt: skip

ROWS = range(TASK.n_rows)
TREATED = treat(FULL, PAIRED)


def tokens(row: int, position: str) -> tuple[int, ...]:
    return TASK.positions[position][row]


def by_hand(measure: Measure, column: str, row: int) -> float:
    """A measure from the log-probabilities of the unmodified model, position by position."""
    out = hf(prompt(row, column)).logits[0].double()
    ref = hf(prompt(row)).logits[0].double()
    found = []
    for place in tokens(row, measure.position):
        raw, logs = out[place], out[place].log_softmax(-1)
        if measure.column == "next":
            ids = [prompt(row)[place + 1]]
        elif measure.column:
            ids = list(TASK.answers[measure.column][row])
        match measure.kind:
            case "logit":
                found.append(raw[ids[0]])
            case "prob":
                found.append(sum(logs[i].exp() for i in ids))
            case "logprob":
                found.append(sum(logs[i].exp() for i in ids).log())
            case "rank":
                best = max(raw[i] for i in ids)
                found.append(1 + sum(raw[i] > best for i in range(11)))
            case "top1":
                found.append(raw.argmax() in ids)
            case "top_token":
                found.append(raw.argmax())
            case "kl":
                logs_ref = ref[place].log_softmax(-1)
                found.append((logs_ref.exp() * (logs_ref - logs)).sum())
    return float(np.mean([float(x) for x in found]))


MEASURES = [
    *(Measure(kind=kind, column="t4", position=at)  # type: ignore[arg-type]
      for kind in ("logit", "prob", "logprob", "rank", "top1") for at in ("END", "A", "S")),
    *(Measure(kind=kind, column="several", position=at)  # type: ignore[arg-type]
      for kind in ("prob", "logprob", "rank", "top1") for at in ("END", "S")),
    Measure(kind="kl"), Measure(kind="kl", position="S"), Measure(kind="top_token"),
    Measure(kind="top_token", position="A"),
]  # fmt: skip


@pytest.mark.parametrize(("run", "column"), [(REFERENCE, "prompt"), (TREATED, "other")],
                         ids=["reference", "treated"])  # fmt: skip
def test_measures_by_hand(run, column: str) -> None:
    found = values([run], MEASURES)
    alone = {m: values([run], [m])[run, m] for m in MEASURES}
    for measure in MEASURES:
        wanted = [by_hand(measure, column, row) for row in ROWS]
        for value in (found[run, measure][0], alone[measure][0]):
            np.testing.assert_allclose(value, wanted, atol=1e-10, err_msg=str(measure))


def test_next_is_the_token_that_follows() -> None:
    firsts = replace(TASK, positions={**TASK.positions, "F": ((0, 1),) * TASK.n_rows})
    for kind in ("logit", "prob", "logprob", "rank", "top1"):
        measure = Measure(kind=kind, column="next", position="F")  # type: ignore[arg-type]
        found = values([TREATED], [measure], task=firsts)[TREATED, measure][0]
        for row in ROWS:
            out = hf(prompt(row, "other")).logits[0].double()
            one = []
            for place in (0, 1):
                token, logs = prompt(row)[place + 1], out[place].log_softmax(-1)
                rank = 1 + int((out[place] > out[place][token]).sum())
                known = {"logit": out[place][token], "prob": logs[token].exp(),
                         "logprob": logs[token], "rank": rank, "top1": rank == 1}  # fmt: skip
                one.append(known[kind])
            assert found[row] == pytest.approx(float(np.mean([float(x) for x in one])), abs=1e-10)


def test_kl_of_the_reference_is_nothing() -> None:
    kl = Measure(kind="kl")
    found = values([REFERENCE, TREATED], [kl])
    np.testing.assert_allclose(found[REFERENCE, kl], 0, atol=1e-12)
    assert (found[TREATED, kl] > 0).all()


def test_kl_of_a_mixed_run() -> None:
    run, kl = treat("q"), Measure(kind="kl")
    found = values([run], [kl, *COLUMNS])
    logs = torch.from_numpy(np.stack([found[run, m][0] for m in COLUMNS], 1)).log_softmax(-1)
    for row in ROWS:
        ref = hf(prompt(row)).logits[0, -1].log_softmax(-1)
        wanted = float((ref.exp() * (ref - logs[row])).sum())
        assert found[run, kl][0, row] == pytest.approx(wanted, abs=1e-10)


def test_chunks_of_the_vocabulary_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [TREATED, treat("c")]
    whole = values(runs, MEASURES)
    monkeypatch.setattr(module, "VOCAB_CHUNK", 20)
    cut = values(runs, MEASURES)
    for key, value in whole.items():
        np.testing.assert_allclose(cut[key], value, atol=1e-12)


@pytest.mark.parametrize(
    ("logits", "ids", "rank", "top"),
    [
        ([3.0, 2.0, 1.0], (0,), 1, 1),
        ([3.0, 3.0, 1.0], (0,), 2, 0),  # a tie counts against
        ([3.0, 3.0, 1.0], (0, 1), 2, 1),  # both have rank 2, and the best token is in the list
        ([3.0, 3.0, 3.0], (2,), 3, 0),
        ([3.0, 3.0, 3.0], (1, 2), 3, 0),
        ([3.0, 2.0, 1.0], (1, 2), 2, 0),
        ([3.0, 2.0, 1.0], (0, 2), 1, 1),
        ([0.0, 0.0, 0.0], (0, 1, 2), 3, 1),
        ([3.0, 2.0, 2.0], (1, 1), 3, 0),  # a token that is listed twice is one token
    ],
)
def test_ties_count_against(logits: list[float], ids: tuple[int, ...], rank: int, top: int) -> None:
    """A list's rank is the best of its tokens' own, as docs/language.md has it."""
    given = torch.tensor([logits], dtype=torch.float64)

    def value(kind: str, asked: tuple[int, ...]) -> float:
        measure = Measure(kind=kind, column="x")  # type: ignore[arg-type]
        (found,) = from_logits(measure, given, [asked], None).tolist()
        return float(found)

    assert value("rank", ids) == rank == min(value("rank", (one,)) for one in ids)
    assert value("top1", ids) == top


def test_the_rank_of_a_list_with_many_ties() -> None:
    """Three answers share the logit of 37 others, above all the rest: rank 40, not 38."""
    logits = torch.cat([torch.ones(40), torch.zeros(60)]).double().unsqueeze(0)
    measure = Measure(kind="rank", column="x")
    assert from_logits(measure, logits, [(3, 17, 21)], None).tolist() == [40]


def test_equal_unembeddings_tie() -> None:
    """Two tokens with one unembedding vector tie exactly in the model too."""
    from pathdsl.engine.adapters.gpt2 import Gpt2Adapter
    from tests.engine.engine_cases import CONFIG
    from tests.oracle.cases import build_model

    model = build_model({**CONFIG, "tie_word_embeddings": False}, 5)
    with torch.no_grad():
        model.lm_head.weight[3] = model.lm_head.weight[4]
    three, four = (Measure(kind="rank", column=f"t{i}") for i in (3, 4))
    found = values([REFERENCE], [three, four], adapter=Gpt2Adapter(model))
    np.testing.assert_array_equal(found[REFERENCE, three], found[REFERENCE, four])
    assert (found[REFERENCE, three] >= 2).all()


# ------------------------------------------------------------------------------------ attention


def mass(row: int, layer: int, head: int, query: str, key: str, column: str = "prompt") -> float:
    pattern = hf(prompt(row, column), output_attentions=True).attentions[layer][0, head]
    keys = list(tokens(row, key))
    return float(np.mean([float(pattern[q, keys].sum()) for q in tokens(row, query)]))


LOOKS = [
    Measure(kind="attention", head=(layer, head), query=query, key=key)
    for layer in (0, 1) for head in (0, 1)
    for query, key in (("END", "A"), ("S", "S"), ("END", "S"), ("A", "END"), ("S", "A"))
]  # fmt: skip


@pytest.mark.parametrize("memory", [1, 1 << 40])
@pytest.mark.parametrize(("run", "column"), [(REFERENCE, "prompt"), (TREATED, "other")],
                         ids=["reference", "treated"])  # fmt: skip
def test_attention_is_that_of_the_model(run, column: str, memory: int) -> None:
    found = values([run], LOOKS, memory=memory)
    for m in LOOKS:
        wanted = [mass(row, *m.head, m.query, m.key, column) for row in ROWS]  # type: ignore[misc]
        np.testing.assert_allclose(found[run, m][0], wanted, atol=1e-10, err_msg=str(m))


def test_attention_of_a_mixed_copy() -> None:
    """Queries from the treated prompt, keys from the reference: the pattern by hand."""
    from pathdsl.graph.resolve.resolver import Resolver
    from pathdsl.lang.program import load_program

    program, _ = load_program("a.circuit", "path p = input ~[q]~> a1.h0 -> logits\n")
    paths = Resolver(program, adapter_of().shape).path_set(program.paths["p"].path)
    run, measure = treat(paths), Measure(kind="attention", head=(1, 0), query="END", key="A")
    found = values([run], [measure, *COLUMNS])[run, measure][0]
    adapter = adapter_of()
    for row in ROWS:
        normed = {}
        for column in ("prompt", "other"):
            states = hf(prompt(row, column), output_hidden_states=True).hidden_states
            normed[column] = adapter.attention_input(1, states[1][0])
        with torch.no_grad():
            q = adapter.project(1, "q", normed["other"][-1:], [0])[0, 0]
            k = adapter.project(1, "k", normed["prompt"], [0])[:, 0]
            pattern = (k @ q / 2.0).softmax(-1)  # d_head is 4
        assert found[row] == pytest.approx(float(pattern[list(tokens(row, "A"))].sum()), abs=1e-10)


@pytest.mark.parametrize("spec", [ZERO, MEAN], ids=["zero", "mean"])
def test_a_constant_has_no_pattern(spec) -> None:
    run = treat(FULL, spec)
    measure = Measure(kind="attention", head=(1, 0), query="END", key="A")
    with pytest.raises(PlanError, match="PD227"):
        values([run], [measure])


def test_attention_beside_other_measures() -> None:
    measure = Measure(kind="attention", head=(1, 1), query="S", key="A")
    for name in path_sets():
        run = treat(name)
        both = values([run], [measure, *COLUMNS])
        np.testing.assert_allclose(both[run, measure], values([run], [measure])[run, measure])
        assert ((both[run, measure] >= 0) & (both[run, measure] <= 1 + 1e-12)).all()
