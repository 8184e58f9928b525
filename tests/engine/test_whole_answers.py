"""Answers of several tokens: the engine against the literal tree with the answer appended.

And against the unmodified model, prompt by prompt; on prompts and answers of different lengths.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from pathdsl.engine.data.answers import with_branches
from pathdsl.engine.data.faults import DataFaults
from pathdsl.engine.data.task import DataCall, TaskSpec
from pathdsl.engine.data.tokens import Encoder
from pathdsl.engine.planner import Planner
from pathdsl.engine.run.runner import Settings, execute
from pathdsl.engine.self_check import prove, prove_null_pair
from pathdsl.errors import LanguageError
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import Request, RunSpec
from pathdsl.plan.treated import TreatedSpec
from tests.engine.decoder_cases import make as make_decoder
from tests.engine.family_cases import Exact, make
from tests.engine.tree_cases import REFERENCE, Opened, open_case, spec_of, task_of
from tests.oracle.blocks import Blocks
from tests.oracle.cases import Case, kept_predicate
from tests.oracle.constants import mean_constants, zero_constants
from tests.oracle.graph import INPUT
from tests.oracle.strategies import VOCABULARY, seeded_case
from tests.oracle.tree import Constants, forward_of
from tests.oracle.tree import run as run_tree

EXACT = 1e-9
SEEDS = (4, 16, 19, 23, 29, 34, 35, 36, 46, 58)
COLUMNS = ("answer", "wrong")
WHOLE = ("logprob", "prob", "top1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A drawn case whose rows have answers, as planned and for the tree.

    `tree` is the case without its answers, in the spelling of the oracle, whose `END` is the last
    token of all: there the prompt's is `LAST`.
    """

    opened: Opened
    tree: Case
    answers: dict[str, tuple[tuple[int, ...], ...]]
    planner: Planner

    def values(self, requests: list[Request]) -> dict[Request, np.ndarray]:
        """(rows,) of every request of one draw."""
        found = {}
        for plan in self.planner.plans(requests):
            values = execute(plan, self.planner.rows(plan), self.opened.adapter, Settings())
            for (number, measure), value in values.items():
                found[plan.outputs[number].run, measure] = value[0]
        return {one: found[self.planner.read(one)] for one in requests}

    def behind(self, column: str) -> Case:
        """The rows with the answers of a column behind their prompts."""
        rows = []
        for row, ids in zip(self.tree.rows, self.answers[column], strict=True):
            n = len(row.reference)
            places = {"LAST": (n - 1,), "ANSWER": tuple(range(n, n + len(ids)))}
            rows.append(
                replace(
                    row,
                    reference=(*row.reference, *ids),
                    treated=(*row.treated, *ids),
                    positions={**row.positions, **places},
                )
            )
        return replace(self.tree, rows=tuple(rows))

    def constants(self, case: Case, parts: object, column: str) -> list[Constants] | None:
        """Of means by template and both lengths, and zero; `input` in answers is its own."""
        if case.treated == "paired":
            return None
        lengths = [len(ids) for ids in self.answers[column]]
        if case.treated == "mean":
            groups = [(row.template, n) for row, n in zip(case.rows, lengths, strict=True)]
            found = mean_constants(parts, [row.treated for row in case.rows], groups)
        else:
            found = [zero_constants(parts, len(row.reference)) for row in case.rows]
        own = []
        for row, n, one in zip(case.rows, lengths, found, strict=True):
            value = one[INPUT].copy()
            value[-n:] = forward_of(parts).embed(row.reference)[-n:]
            own.append({**one, INPUT: value})
        return own

    def from_tree(self, column: str, parts: object) -> dict[str, np.ndarray]:
        """(rows,) log probability and whether each token is the most likely, by the definition."""
        case = self.behind(column)
        constants = self.constants(case, parts, column)
        total, best = [], []
        for number, (row, ids) in enumerate(zip(case.rows, self.answers[column], strict=True)):
            start = len(row.reference) - len(ids) - 1
            treated = row.treated if constants is None else constants[number]
            read = [
                run_tree(
                    parts,
                    row.reference,
                    treated,
                    kept_predicate(case, number),
                    start + j,
                    frozen=self.opened.frozen,
                )
                for j in range(len(ids))
            ]
            logits = torch.from_numpy(np.stack(read)).log_softmax(-1).numpy()
            total.append(sum(logits[j, token] for j, token in enumerate(ids)))
            best.append(float(all(logits[j].argmax() == token for j, token in enumerate(ids))))
        logprob = np.array(total)
        return {"logprob": logprob, "prob": np.exp(logprob), "top1": np.array(best)}


def answered(
    seed: int, model_of: Callable[[Case], torch.nn.Module] | None = None, frozen: bool = False
) -> Answered | None:
    """The case of a seed with answers of one to three tokens; None where it has no meaning."""
    case, draw = seeded_case(seed), random.Random(seed)
    if draw.random() < 0.6:  # some at the answer, whose tokens the tree has too
        case = replace(case, text=case.text.replace("@SA ", "@ANSWER ", 1))
    if draw.random() < 0.5:
        case = replace(case, text=case.text.replace("@END", "@ANSWER", 1))
    answers = {
        column: tuple(
            tuple(draw.randrange(VOCABULARY) for _ in range(draw.choice((1, 1, 2, 3))))
            for _ in case.rows
        )
        for column in COLUMNS
    }
    answers["answer"] = (answers["answer"][0][:1] * 2, *answers["answer"][1:])
    try:
        opened = open_case(case, model=model_of(case) if model_of else None)
    except LanguageError:
        return None
    opened = replace(opened, frozen=frozen)
    encoder = Encoder(None, opened.adapter.shape, None, DataFaults())
    task = with_branches(replace(opened.task, answers=answers), encoder)
    spec = TaskSpec(
        name="t", data=DataCall(name="jsonl"), reference="reference", treated=spec_of(case),
        answers="whole", layernorm="frozen" if frozen else "recompute",
    )  # fmt: skip
    planner = Planner(shape=opened.adapter.shape, tasks={"t": task}, specs={"t": spec})
    tree = replace(case, text=case.text.replace("@END", "@LAST"))
    return Answered(opened=opened, tree=tree, answers=answers, planner=planner)


def check(one: Answered, parts: object) -> None:
    """The case's run and the reference run, read in each way behind each answer."""
    run = one.opened.run(one.opened.treated)
    requests = [
        (run_, Measure(kind=kind, column=column))
        for run_ in (run, REFERENCE)
        for column in COLUMNS
        for kind in WHOLE
    ]
    found = one.values(requests)
    text = one.opened.case.text
    for column in COLUMNS:
        wanted = one.from_tree(column, parts)
        for kind in WHOLE:
            value = found[run, Measure(kind=kind, column=column)]
            np.testing.assert_allclose(value, wanted[kind], rtol=0, atol=EXACT, err_msg=text)
        plain = plain_logprob(one, column)
        value = found[REFERENCE, Measure(kind="logprob", column=column)]
        np.testing.assert_allclose(value, plain, rtol=0, atol=EXACT, err_msg=text)


def plain_logprob(one: Answered, column: str) -> np.ndarray:
    """(rows,) log probability of the answers in the unmodified model, row by row."""
    found = []
    for row, ids in zip(one.opened.case.rows, one.answers[column], strict=True):
        tokens = torch.tensor([[*row.reference, *ids]])
        with torch.no_grad():
            logits = one.opened.adapter.model(tokens).logits[0].double().log_softmax(-1)
        places = range(len(row.reference) - 1, tokens.shape[1] - 1)
        found.append(sum(float(logits[p, i]) for p, i in zip(places, ids, strict=True)))
    return np.array(found)


def meant(seeds: tuple[int, ...], **options: object) -> Iterator[Answered]:
    """The cases of seeds that have a meaning."""
    yield from filter(None, (answered(seed, **options) for seed in seeds))  # type: ignore[arg-type]


@pytest.mark.parametrize("frozen", [False, True])
def test_engine_is_the_literal_tree(frozen: bool) -> None:
    cases = list(meant(SEEDS, frozen=frozen))
    for one in cases:
        check(one, one.opened.adapter.model)
    texts = [one.opened.case.text for one in cases]
    assert sum("@ANSWER" in text for text in texts) >= 3
    assert {one.opened.case.treated for one in cases} == {"paired", "mean", "zero"}


def _llama_like(name: str) -> Callable[[Case], torch.nn.Module]:
    def model(case: Case) -> torch.nn.Module:
        layers, heads = case.config["n_layer"], case.config["n_head"]
        sizes = {"num_hidden_layers": layers, "num_attention_heads": heads, "head_dim": 6,
                 "num_key_value_heads": 1}  # fmt: skip
        if name.startswith("gemma"):
            sizes["sliding_window"] = 2
        return make(name, seed=case.seed, **sizes).double()

    return model


def _neox(case: Case) -> torch.nn.Module:
    layers, heads = case.config["n_layer"], case.config["n_head"]
    sizes = {"num_hidden_layers": layers, "num_attention_heads": heads}
    return make_decoder("gpt_neox", seed=case.seed, **sizes).double()


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_families_built_like_llama(name: str) -> None:
    with Exact(), torch.no_grad():
        for one in meant((200, 203, 208, 211), model_of=_llama_like(name)):
            check(one, one.opened.adapter.model)


def test_parallel_blocks() -> None:
    with Exact(), torch.no_grad():
        for one in meant((300, 307, 312, 317), model_of=_neox):
            check(one, Blocks.of(one.opened.adapter.model))


def test_one_token_is_read_as_ever() -> None:
    """Where every answer is one token the value is that of the measure at END, bit for bit."""
    one = answered(4)
    assert one is not None
    task = one.planner.tasks["t"]
    single = {c: tuple(ids[:1] for ids in found) for c, found in one.answers.items()}
    bare = replace(one.opened.task, answers=single)
    encoder = Encoder(None, one.opened.adapter.shape, None, DataFaults())
    requests = [
        (run, Measure(kind=kind, column="answer"))
        for run in (one.opened.run(one.opened.treated), REFERENCE)
        for kind in (*WHOLE, "logit", "rank")
    ]
    found = []
    for rows in (bare, with_branches(bare, encoder)):
        assert not rows.branches
        planner = Planner(shape=one.planner.shape, tasks={"t": rows}, specs=one.planner.specs)
        found.append(replace(one, planner=planner).values(requests))
    for request in requests:
        np.testing.assert_array_equal(found[0][request], found[1][request])
    assert set(task.branches) == set(COLUMNS)


def test_proofs_are_of_answers_too() -> None:
    one = answered(2)
    assert one is not None
    task = one.planner.tasks["t"]
    for proof in prove(one.planner, one.opened.adapter, task):
        assert proof.holds and "also with `answer` behind them" in proof.compared
    run = one.opened.run(one.opened.treated)
    for plan in one.planner.plans([(run, Measure(kind="logprob", column="answer"))]):
        assert plan.behind == "answer"
        rows = one.planner.rows(plan)
        assert prove_null_pair(plan, rows, one.opened.adapter, 1e-9).holds


def test_partners_of_resample_get_the_row_s_own_answer() -> None:
    one = answered(4)
    assert one is not None
    case = one.opened.case
    length = len(case.rows[0].reference)
    rows = [row for row in case.rows if len(row.reference) == length][:2]
    if len(rows) < 2:
        rows = [case.rows[0], replace(case.rows[0], reference=case.rows[0].treated)]
    answers = ((3, 1), (5, 2, 4))
    bare = replace(task_of(replace(case, rows=tuple(rows))), answers={"answer": answers})
    task = with_branches(bare, Encoder(None, one.opened.adapter.shape, None, DataFaults()))
    drawn = TreatedSpec(kind="resample", column="treated", draws=2, seed=0)
    spec = replace(one.planner.specs["t"], treated=drawn)
    planner = Planner(shape=one.planner.shape, tasks={"t": task}, specs={"t": spec})
    measure = Measure(kind="logprob", column="answer")
    (plan,) = planner.plans([(RunSpec(task="t", kind="treated"), measure)])
    values = execute(plan, planner.rows(plan), one.opened.adapter, Settings())
    (found,) = values.values()
    for row, answer in enumerate(answers):
        ids = torch.tensor([[*rows[1 - row].treated, *answer]])
        with torch.no_grad():
            logits = one.opened.adapter.model(ids).logits[0].double().log_softmax(-1)
        wanted = sum(float(logits[length - 1 + j, t]) for j, t in enumerate(answer))
        np.testing.assert_allclose(found[:, row], wanted, rtol=0, atol=EXACT)
