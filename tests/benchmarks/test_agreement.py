"""How well estimates rank nodes: the figures by hand, and the table of the docs made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.agreement import agreement, agreements, main, markdown

DOCS = Path(__file__).parents[2] / "docs" / "attribution.md"


def test_agreement_by_hand() -> None:
    truth = np.array([5.0, 0.0, 3.0, 2.0, 0.0])
    moved, rank, recall = agreement(truth, np.array([9.0, 8.0, 1.0, 2.0, 0.0]))
    assert moved == 3  # of 5, 3, 2 the estimates are 9, 1, 2
    assert rank == pytest.approx(0.5)
    assert recall == (1.0, 1.0)  # five nodes have no others beside the top 10
    many = np.arange(100.0)
    assert agreement(many, -many)[2] == (0.0, 0.0)
    assert agreement(many, np.where(many >= 95, many, 0))[2][0] == 0.5


@pytest.mark.parametrize(
    "model", ["induction-2l", pytest.param("ioi-mini", marks=pytest.mark.long)]
)
def test_the_table_of_the_docs(model: str) -> None:
    """To 0.01 and one of the top nodes: the last bits of float32 may order two that are equal."""
    written = [line.split("|")[1:-1] for line in DOCS.read_text().splitlines()
               if line.startswith(f"| `{model}` |")]  # fmt: skip
    found = [line.split("|")[1:-1]
             for line in markdown(agreements(model)).splitlines()[2:]]  # fmt: skip
    assert [row[:4] for row in written] == [row[:4] for row in found]
    for one, other in zip(written, found, strict=True):
        assert float(one[4]) == pytest.approx(float(other[4]), abs=0.01)
        for told, again, step in zip(one[5:], other[5:], (10, 2), strict=True):
            assert abs(int(told.strip(" %")) - int(again.strip(" %"))) <= step


def test_query_and_key_fix_rank_no_worse() -> None:
    """On the induction model, whose attention is saturated."""
    by_method = {row.method: row for row in agreements("induction-2l", 8, pooled=True)}
    assert by_method["atp_qk"].recall[0] > by_method["atp"].recall[0]


def test_wrong_words_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for words, told in ((["gpt3"], "no model `gpt3`"), (["--rows", "1"], "at least 2")):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 2
        assert told in capsys.readouterr().err
