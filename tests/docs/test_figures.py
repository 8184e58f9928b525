"""The heat map in docs/figures is what its command draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.run import pathdsl
from tests.docs.test_readme import ROOT

COMMAND = (
    "pathdsl report hypotheses/quickstart/ioi.circuit --only effect_of --figures docs/figures "
    "-o ioi.html"
)
"""Run where the repository's `hypotheses` lie; the README names it."""


def test_the_command_draws_the_picture(tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    (tmp_path / "hypotheses").symlink_to(ROOT / "hypotheses")
    done = pathdsl(*COMMAND.split()[1:], cwd=tmp_path)
    assert done.returncode in (0, 5), done.stderr
    found, shipped = (
        image.imread(folder / "docs" / "figures" / "effect_of.png") for folder in (tmp_path, ROOT)
    )
    # Letters are drawn alike by other versions of matplotlib, but not to the pixel.
    wide = np.array(shipped.shape[:2])
    assert (abs(np.array(found.shape[:2]) - wide) <= 0.02 * wide).all()
    rows, columns = np.minimum(found.shape[:2], shipped.shape[:2])
    apart = abs(found[:rows, :columns, :3] - shipped[:rows, :columns, :3])
    assert apart.mean() < 0.02
