"""The cost of verified recall: by hand on made-up units; the table of the docs, measured again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.recall import (
    PASSES,
    SUBJECTS,
    Case,
    Row,
    blocks,
    case_of,
    compare,
    draw,
    hierarchical,
    iterative,
    markdown,
    ranked,
    subsampling,
)
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS

DOCS = Path(__file__).parents[2] / "docs" / "attribution.md"


def additive(*truth: float) -> Case:
    """Units whose effects add up."""
    sizes = np.array(truth)

    def effects(groups: Sequence[Sequence[int]]) -> np.ndarray:
        return np.array([[sizes[list(group)].sum()] for group in groups])

    return Case(
        name="made up", units="nodes", layers=4, truth=sizes,
        estimate=lambda method: sizes[::-1].copy(), effects=effects,
    )  # fmt: skip


SPIKE = additive(*[0.0] * 5, 1.0, *[0.0] * 10)


def test_what_an_order_costs() -> None:
    truth = np.array([4.0, 1.0, 3.0, 0.01, 2.0])
    assert ranked(truth, truth).tolist() == [1, 2, 3, 4]  # a unit of a 400th does not matter
    assert ranked(truth, np.array([1.0, 4.0, 3.0, 2.0, 0.0])).tolist() == [4, 4, 5, 5]
    # Equal scores all have the last of their ranks: no luck is counted.
    assert ranked(truth, np.zeros(5)).tolist() == [5, 5, 5, 5]


def test_the_searches_without_gradients_on_one_spike() -> None:
    assert iterative(SPIKE).tolist() == [17 / 2]
    assert hierarchical(SPIKE).tolist() == [8]  # two halves at each of four levels; it is the right
    assert blocks(SPIKE).tolist() == [8]  # eight blocks of 2 and one opened, or four of 4: 4 + 4
    assert 4 < subsampling(SPIKE)[0] <= 16 + 16


def test_the_search_by_halves_finds_every_unit() -> None:
    case = additive(*np.random.default_rng(0).random(23) + 0.1)
    costs = hierarchical(case)
    assert len(costs) == 23 and costs[-1] == 2 * 23 - 2
    assert (np.diff(costs) >= 0).all()


def test_the_summary_is_beside_an_oracle() -> None:
    row = Row(method="", spearman=None, recall=None, costs=[1.0, 2.0, 3.0])
    assert row.summary == pytest.approx(1.0)
    twice = replace(row, costs=[2.0, 4.0, 6.0])
    assert twice.summary == pytest.approx(2.0)
    first = replace(row, costs=[8.0, 2.0, 3.0])  # weights 1, 1/2, 1/3
    assert first.summary == pytest.approx(8 ** (6 / 11))


def test_every_method_has_a_cost() -> None:
    estimates = [name for name, record in ATTRIBUTIONS.items() if not record.exact]
    assert [name for name in estimates if name not in PASSES] == []


def table_of(name: str) -> list[list[str]]:
    """The rows of the table in the docs that stands behind the command with this subject."""
    text = DOCS.read_text(encoding="utf-8")
    behind = text.partition(f'python -m benchmarks.recall "{name}" --rows 8')[2]
    table = behind.partition("\n| by ")[2].partition("\n\n")[0]
    lines = re.findall(r"^\| `.*$", table, flags=re.M)
    return [[cell.strip(" `%") for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_of_the_docs_is_what_is_measured(tmp_path: Path) -> None:
    case = case_of("ioi-mini", 8)
    rows = {row.method: row for row in compare(case)}
    printed = table_of("ioi-mini")
    assert len(printed) >= 6
    shown = markdown(list(rows.values())).splitlines()[2:]
    now = {line.split("|")[1].strip(" `"): line for line in shown}
    for cells in printed:
        found = [cell.strip(" `%") for cell in now[cells[0]].strip("|").split("|")]
        assert len(found) == len(cells)
        for was, is_now in zip(cells[1:], found[1:], strict=True):
            assert bool(was) == bool(is_now)
            if was:  # a machine may round otherwise, and two units change places
                assert float(is_now) == pytest.approx(float(was), rel=0.05, abs=2), cells[0]
    # What the table is there to show: a slope finds the units long before a search does.
    assert rows["atp"].spearman is not None and rows["atp"].spearman > 0.9
    assert rows["atp"].summary < min(rows[name].summary for name in ("iterative", "blocks"))
    pytest.importorskip("matplotlib")
    path = draw(case.name, list(rows.values()), tmp_path)
    assert path.read_text().startswith("<?xml") and "oracle" in path.read_text()


def test_subjects_name_models_that_are_bundled_or_beside_the_checkout() -> None:
    assert {"bundled", "folder"} >= {
        re.search(r"model m = (\w+)", subject.text)[1]  # type: ignore[index]
        for subject in SUBJECTS.values()
    }
