"""The measurement of shards: what was not judged is not called the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import shards


def test_a_check_that_judges_nothing_has_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="exits with 2: nothing to compare"):
        shards.compare([str(tmp_path / "none.circuit")], 2, faults=False)
