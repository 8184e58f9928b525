"""Spans and sets of positions against the literal tree and hooks, on rows of any length."""

from __future__ import annotations

import random
import re
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch

from pathdsl.engine.data import positions
from pathdsl.errors import DataError, LanguageError
from pathdsl.graph.paths.pathset import Pos
from pathdsl.plan.taskdata import TaskData
from tests.engine.test_under_tree import compare
from tests.engine.tree_cases import REFERENCE, Opened, from_tree, open_case, position_mask
from tests.engine.under_cases import FURTHER, KEYS, PLACES, Drawer
from tests.oracle.cases import Case, CaseRow
from tests.oracle.strategies import seeded_case
from tests.oracle.writer import Chooser

EXACT = 1e-9
FORMS = (
    "SA..END", "[0]..SA", "[0]..SB", "SB..END", "SA..SB", "SB..SA", "{SA, END}", "{SA, SB}", "[-1]",
    "[-2]", "[-2..-1]", "[0..1]", "[1..-1]", "{[0], SB..END}", "SA+1..END", "SA..END-1",
    "SA+1..END-1", "{SA, [1..2], END}", "[0..-2]",
)  # fmt: skip


def with_spans(case: Case, seed: int) -> Case:
    """The case with every position of its text made one of these forms, equal ones equal."""
    choose = random.Random(seed)
    made: dict[str, str] = {}

    def other(match: re.Match[str]) -> str:
        return "@" + made.setdefault(match[1], choose.choice(FORMS))

    return replace(case, text=re.sub(r"@(\[\d+\]|\w+(?:[+-]\d+)?)", other, case.text))


def opened(case: Case) -> Opened | None:
    """The case, None where the language or some row refuses it."""
    try:
        one = open_case(case)
        for form in re.findall(r"@(\{[^}]*\}|\S+?)(?=[\s,)}|]|$)", case.text):
            positions.resolve_positions(one.task, Pos.parse(canonical(form)))
    except (LanguageError, DataError):
        return None
    return one


def canonical(form: str) -> str:
    """`[-2]` is `END-1`, also as an end."""

    def end(index: str) -> str:
        there = int(index) + 1
        return f"END{there:+d}" if there else "END"

    form = re.sub(r"\[(-\d+)\.\.(-\d+)\]", lambda m: f"{end(m[1])}..{end(m[2])}", form)
    form = re.sub(r"\[(\d+)\.\.(-\d+)\]", lambda m: f"[{m[1]}]..{end(m[2])}", form)
    return re.sub(r"\[(-\d+)\]", lambda m: end(m[1]), form)


@pytest.mark.parametrize("start", range(0, 60, 15))
def test_engine_is_the_literal_tree(start: int) -> None:
    compared = 0
    for seed in range(start, start + 15):
        case = with_spans(seeded_case(seed), seed)
        if "@" not in case.text or (one := opened(case)) is None:
            continue
        found = one.logits([one.run(one.treated), REFERENCE])
        tree = from_tree(one)
        np.testing.assert_allclose(found[0], tree, rtol=0, atol=EXACT, err_msg=case.text)
        compared += 1
    assert compared >= 2


@pytest.fixture(scope="module")
def rows() -> list[TaskData]:
    """The rows of thirty cases, less those that the language refuses."""
    found = []
    for seed in range(30):
        with suppress(LanguageError):
            found.append(open_case(seeded_case(seed)).task)
    return found


@pytest.mark.parametrize("form", FORMS)
def test_positions_of_rows_are_those_of_the_oracle(form: str, rows: list[TaskData]) -> None:
    seen = 0
    for task in rows:
        pos = Pos.parse(canonical(form))
        try:
            mask = positions.position_mask(task)(pos)
        except (LanguageError, DataError):
            continue
        assert np.array_equal(mask, position_mask(task)(pos))
        seen += 1
    assert seen


@pytest.mark.parametrize("verb", ["scale", "set", "zero", "block", "only", "uniform", "add"])
def test_actions_at_spans_are_the_literal_tree(verb: str) -> None:
    done = 0
    for seed in range(40):
        try:
            one = open_case(seeded_case(seed))
        except LanguageError:
            continue
        if min(len(row.reference) for row in one.case.rows) < 2:
            continue
        drawer = Drawer(
            one, Chooser(random.Random(seed).randint), places=[*FURTHER, *PLACES[1:]],
            keys=[*FURTHER, *KEYS],
        )  # fmt: skip
        done += compare(one, drawer, [[verb]])
        if done == 6:
            return
    assert done >= 2


# ------------------------------------------------------------------------------- hooks

CONFIG = {
    "n_layer": 2, "n_head": 2, "n_embd": 8, "n_inner": 16, "vocab_size": 11, "n_positions": 12,
    "attn_implementation": "eager",
}  # fmt: skip
ROWS = (
    CaseRow(reference=(1, 2, 3, 4, 5, 6), treated=(2, 3, 4, 5, 6, 7), positions={"SA": (1,),
            "SB": (3, 4)}, template="x"),
    CaseRow(reference=(3, 9, 1), treated=(4, 10, 2), positions={"SA": (0,), "SB": (1, 2)},
            template="x"),
    CaseRow(reference=(7, 7, 2, 5), treated=(8, 8, 3, 6), positions={"SA": (1,), "SB": (2, 3)},
            template="y"),
)  # fmt: skip
SPANS = {
    "[-2..-1]": [(4, 5), (1, 2), (2, 3)],
    "[-2]": [(4,), (1,), (2,)],
    "SA..SB": [(1, 2, 3, 4), (0, 1, 2), (1, 2, 3)],
    "{SA, [-1]}": [(1, 5), (0, 2), (1, 3)],
    "[0..1]": [(0, 1)] * 3,
    "[1..-1]": [(1, 2, 3, 4, 5), (1, 2), (1, 2, 3)],
    "SA+1..SB": [(2, 3, 4), (1, 2), (2, 3)],
}  # fmt: skip


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("form", SPANS)
def test_a_patched_stream_is_that_of_hooks_on_padded_batches(form: str, side: str) -> None:
    """The stream at the entry of layer 1 is taken from the treated prompts, at these tokens."""
    case = Case(
        config=CONFIG, seed=3, rows=ROWS, text=f"path P = through(r1@{form})\n", run="treat"
    )
    one = open_case(case)
    found = one.logits([one.run(one.treated)])[0]
    model, length = one.adapter.model, max(len(row.reference) for row in ROWS)
    begins = [length - len(row.reference) if side == "left" else 0 for row in ROWS]

    def batch(column: str) -> dict[str, torch.Tensor]:
        ids, mask = torch.zeros(2, len(ROWS), length, dtype=torch.long)
        for i, row in enumerate(ROWS):
            own = torch.tensor(getattr(row, column))
            ids[i, begins[i] : begins[i] + len(own)] = own
            mask[i, begins[i] : begins[i] + len(own)] = 1
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        return {"input_ids": ids, "attention_mask": mask, "position_ids": places}

    kept: list[torch.Tensor] = []
    block = model.transformer.h[1]
    with torch.no_grad():
        handle = block.register_forward_pre_hook(lambda m, args: kept.append(args[0].clone()))
        model(**batch("treated"))
        handle.remove()

        def patch(module: object, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            stream = args[0].clone()
            for i, places in enumerate(SPANS[form]):
                at = [begins[i] + place for place in places]
                stream[i, at] = kept[0][i, at]
            return (stream, *args[1:])

        handle = block.register_forward_pre_hook(patch)
        logits = model(**batch("reference")).logits
        handle.remove()
    for i, row in enumerate(ROWS):
        wanted = logits[i, begins[i] + len(row.reference) - 1].numpy()
        np.testing.assert_allclose(found[i], wanted, rtol=0, atol=EXACT)


# ------------------------------------------------------------------------------- rows


def faults(form: str) -> list[tuple[str, str]]:
    case = Case(config=CONFIG, seed=3, rows=ROWS, text="path P = through(r1)\n")
    with pytest.raises(DataError) as raised:
        positions.resolve_positions(open_case(case).task, Pos.parse(form))
    return [(one.code, one.message) for one in raised.value.diagnostics]


def test_what_is_wrong_on_a_row_is_told_with_the_row() -> None:
    ((code, message),) = faults("END-1..SA+1")
    assert code == "PD348" and "row `0`" in message
    assert "begins at token 4 and ends at token 2" in message
    assert {code for code, _ in faults("[2..4]")} == {"PD336"}
    assert [m for _, m in faults("SA-1..END")] == [
        "task `t`: row `1`: position `SA-1` is -1, the prompt has tokens 0 to 2"
    ]
    assert {code for code, _ in faults("SA..SB-1")} == {"PD236"}
    assert {code for code, _ in faults("{SA, NOWHERE..END}")} == {"PD338"}
