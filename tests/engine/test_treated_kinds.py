"""A kind of treated value is one record: a made-up one runs, costs and is kept like the others."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pathdsl
from pathdsl.engine.data.treated import ON_ROWS, OnRows
from pathdsl.engine.run.kept import BlockRun
from pathdsl.engine.run.plain import PlainValues
from pathdsl.engine.run.treated import SOURCES, PlainSource, Rows
from pathdsl.engine.self_check import prove
from pathdsl.engine.store.keys import TaskKeys
from pathdsl.lang.signatures.calls import TREATED
from pathdsl.lang.signatures.kinds import Kind, Signature, first
from pathdsl.lang.signatures.treated import TREATED_KINDS, TreatedKind
from pathdsl.plan.build import build_plans
from pathdsl.plan.liveness import cost
from pathdsl.plan.steps import PLAIN_KINDS
from pathdsl.plan.treated import TreatedSpec
from tests.engine.engine_cases import (
    COLUMNS,
    PAIRED,
    TASK,
    ZERO,
    adapter_of,
    planner,
    position_mask,
    treat,
)
from tests.engine.tree_cases import open_case
from tests.oracle.cases import kept_predicate, parse_text
from tests.oracle.constants import zero_constants
from tests.oracle.graph import neurons_of
from tests.oracle.strategies import seeded_case
from tests.oracle.tree import forward_of, run

DOUBLED: dict[str, Any] = {
    "name": "doubled",
    "signature": Signature(
        name="doubled", parameters=(first("column", Kind.COLUMN),), example="doubled(prompt)"
    ),
    "constant": False,
    "drawn": "nothing",
    "runs": 1,
    "own_run": False,
    "varied": False,
    "warns": False,
}
ONES: dict[str, Any] = {
    **DOUBLED,
    "name": "ones",
    "signature": Signature(name="ones", example="ones"),
    "constant": True,
    "runs": 0,
}
ROWS: dict[str, Any] = {
    "unchanged": lambda task, spec: np.zeros(task.n_rows, bool),
    "moved": lambda task, spec: np.ones((task.n_rows, task.n_pos), bool),
    "nothing": lambda task, spec, which: (f"it is nothing {which}", "another"),
}


def doubled(rows: Rows, number: int, spec: TreatedSpec, want: Any) -> Any:
    """The paired prompt with twice the values of `input`."""

    def enters(here: np.ndarray, draw: int) -> BlockRun:
        ids, lengths = rows.ids(spec.column, here)
        return rows.entering(ids, lengths, lambda: rows.adapter.embed(ids), "twice")

    return PlainSource(rows=rows, enters=enters, want=want, n_pos=rows.task.n_pos)


def ones(rows: Rows, number: int, spec: TreatedSpec, want: Any) -> Any:
    """A constant of ones."""

    def values(sites: Any, draw: int) -> PlainValues:
        shape, dtype = rows.adapter.shape, rows.adapter.dtype
        full = {
            key: torch.ones(
                (sites.count(mask), *PLAIN_KINDS[key[0]].axes(shape, key[1])), dtype=dtype
            )
            for key, mask in want.items()
        }
        return PlainValues(stored=dict(want), values=full)

    return values


KINDS = {"doubled": (DOUBLED, doubled), "ones": (ONES, ones)}
TABLES: dict[str, dict[str, Any]] = {"kinds": TREATED_KINDS, "rows": ON_ROWS, "sources": SOURCES}


def add(patch: pytest.MonkeyPatch, name: str, without: str = "") -> None:
    """Make a kind known, but for one of the tables."""
    facts, source = KINDS[name]
    entries = {"kinds": TreatedKind(**facts), "rows": OnRows(**ROWS), "sources": source}
    for table, entry in entries.items():
        if table != without:
            patch.setitem(TABLES[table], name, entry)
    patch.setitem(TREATED, name, facts["signature"])


FILE = """
model toy = bundled("induction-2l")
task copy {{ data = induction(take: 8, seed: 0); reference = prompt; treated = {treated} }}
path main = input -> a0.h1 -[k]-> a1.h2 -> logits
metric LD: logits = logit(answer) - logit(wrong)
claim one: mean(LD(reference) - LD(treat(main))) > 0 at 95% confidence
claim all: mean(LD(reference) - LD(treated)) > 0 at 95% confidence
"""


def checked(folder: Path, treated: str) -> dict[str, float]:
    """The estimates of a small file that is checked with a treated value."""
    path = folder / "made_up.circuit"
    path.write_text(FILE.format(treated=treated))
    result = pathdsl.check(path)
    return {claim.name: claim.estimate for claim in result.claims}


def test_every_table_has_every_kind() -> None:
    assert list(TREATED_KINDS) == list(ON_ROWS) == list(SOURCES)


@pytest.mark.parametrize("name", [f.name for f in fields(TreatedKind)])
def test_a_kind_without_one_of_its_facts_is_none(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        TreatedKind(**{key: value for key, value in DOUBLED.items() if key != name})


@pytest.mark.parametrize("name", [f.name for f in fields(OnRows)])
def test_a_kind_on_rows_without_one_of_its_parts_is_none(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        OnRows(**{key: value for key, value in ROWS.items() if key != name})


@pytest.mark.parametrize("without", ["rows", "sources"])
def test_a_kind_that_a_table_lacks_is_not_guessed(
    without: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(monkeypatch, "ones", without)
    with pytest.raises(KeyError, match="ones"):
        checked(tmp_path, "ones")


def test_a_kind_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="`ones`"):
        TreatedSpec(kind="ones")


@pytest.mark.parametrize("treated", ["doubled(prompt_other)", "ones"])
def test_a_made_up_kind_is_checked(
    treated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(monkeypatch, treated.partition("(")[0])
    estimates = checked(tmp_path, treated)
    assert estimates != checked(tmp_path, "prompt_other")
    assert all(np.isfinite(list(estimates.values())))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_made_up_kind_is_the_literal_tree(
    name: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(monkeypatch, name)
    one = open_case(seeded_case(seed))
    spec = TreatedSpec(kind=name, column="treated" if name == "doubled" else "")
    (found,) = one.logits([replace(one.run(one.treated), treated=spec)])
    model, neurons = one.adapter.model, neurons_of(parse_text(one.case.text))
    for number, row in enumerate(one.case.rows):
        treated: Any = 2 * forward_of(model).embed(row.treated)
        if name == "ones":
            zero = zero_constants(model, len(row.reference), neurons)
            treated = {node: np.ones_like(value) for node, value in zero.items()}
        kept, end = kept_predicate(one.case, number), len(row.reference) - 1
        wanted = run(model, row.reference, treated, kept, end, neurons=neurons)
        np.testing.assert_allclose(found[number], wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", KINDS)
def test_a_made_up_kind_costs_and_has_keys(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    add(monkeypatch, name)
    spec = TreatedSpec(kind=name, column="other" if name == "doubled" else "")
    like = PAIRED if name == "doubled" else ZERO
    weighed = []
    for one in (spec, like):
        requests = [(treat("q", one), m) for m in COLUMNS]
        place = position_mask(TASK)
        (plan,) = build_plans(adapter_of().shape, "t", TASK.valid, place, requests)
        weighed.append(cost(plan, 8, None))
    assert weighed[0] == weighed[1]
    keys = TaskKeys("s", TASK, "recompute")
    assert keys.value(treat("q", spec), COLUMNS[0]) != keys.value(treat("q", like), COLUMNS[0])
    codes = [proof.code for proof in prove(planner(treated=spec), adapter_of(), TASK)]
    assert codes == ["PD630", "PD631", "PD632"]  # no prompt whose run PD633 could compare with
