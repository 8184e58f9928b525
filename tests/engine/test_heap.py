"""What is given back to the system: pages that are as they are in a file, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pathdsl.engine import heap

pytestmark = pytest.mark.skipif(heap._glibc() is None, reason="glibc gives memory back")

NUMBERS = 2 * heap.LARGE_BYTES // 4


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.fixture
def mapped(tmp_path: Path) -> torch.Tensor:
    """A weight that lies in a file, every page of it read."""
    torch.arange(NUMBERS, dtype=torch.float32).numpy().tofile(tmp_path / "weight")
    weight = torch.from_file(str(tmp_path / "weight"), shared=False, size=NUMBERS)
    weight.sum()
    return weight


def test_pages_of_a_file_go_and_come_back(mapped: torch.Tensor) -> None:
    before = resident()
    heap.may_go(mapped)
    heap.give_back()
    assert before - resident() > heap.LARGE_BYTES
    assert torch.equal(mapped, torch.arange(NUMBERS, dtype=torch.float32))


@pytest.mark.parametrize("place", [0, 12_345, -1])
def test_what_was_written_is_not_lost(mapped: torch.Tensor, place: int) -> None:
    mapped[place] = -3.0
    heap.may_go(mapped)
    heap.give_back()
    wanted = torch.arange(NUMBERS, dtype=torch.float32)
    wanted[place] = -3.0
    assert torch.equal(mapped, wanted)


def test_weights_in_no_file_stay() -> None:
    weight = torch.arange(NUMBERS, dtype=torch.float32)
    heap.may_go(weight)
    heap.give_back()
    assert torch.equal(weight, torch.arange(NUMBERS, dtype=torch.float32))


def test_small_weights_and_those_that_are_gone_are_not_kept_in_mind() -> None:
    heap.TABLES.clear()
    heap.may_go(torch.zeros(8))
    heap.may_go(torch.zeros(NUMBERS))
    heap.may_go(kept := torch.zeros(NUMBERS))
    assert [known() is kept for known in heap.TABLES] == [True]


def test_free_memory_goes_where_there_is_much() -> None:
    heap.give_back()
    blocks = [torch.full((30_000,), float(number)) for number in range(1200)]
    apart = blocks[::50]  # between which all is free
    del blocks
    before = resident()
    heap.give_back_much()
    assert before - resident() > heap.FREE_BYTES
    assert [float(one.mean()) for one in apart] == [50.0 * place for place in range(24)]
