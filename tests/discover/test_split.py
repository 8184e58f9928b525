"""Rows that find and rows that judge."""

from __future__ import annotations

import pytest

from pathdsl.discover.split import groups_of, split_rows


def test_rows_of_one_prompt_pair_or_cluster_stay_together() -> None:
    references = ("a", "b", "a", "c", "d", "e")
    pairs = ("1", "2", "3", "2", "5", "6")
    assert groups_of(references, pairs, range(6)) == [[0, 2], [1, 3], [4], [5]]
    assert groups_of(references, pairs, (0, 1, 2, 3, 0, 5)) == [[0, 2, 4], [1, 3], [5]]


def test_each_row_is_in_one_part() -> None:
    names = tuple(map(str, range(101)))
    finding, judging = split_rows(names, names, range(101), share=0.5, seed=0)
    assert len(finding) == 51 and sorted(finding + judging) == list(range(101))
    assert finding == sorted(finding) and judging == sorted(judging)
    assert split_rows(names, names, range(101), share=0.5, seed=0) == (finding, judging)
    assert split_rows(names, names, range(101), share=0.5, seed=1)[0] != finding
    assert len(split_rows(names, names, range(101), share=0.1, seed=0)[0]) == 11


@pytest.mark.parametrize("seed", range(10))
def test_some_rows_judge_however_large_a_group_is(seed: int) -> None:
    clusters = (0,) * 9 + (1,)
    names = tuple(map(str, range(10)))
    finding, judging = split_rows(names, names, clusters, share=0.99, seed=seed)
    assert finding and judging


def test_one_group_cannot_be_divided() -> None:
    with pytest.raises(ValueError, match="all of them stay together"):
        split_rows(("a", "a", "a"), ("1", "2", "3"), range(3), share=0.5, seed=0)
