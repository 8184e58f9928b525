"""Attention is measured in every dtype that a model may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions

TEXT = """circuit c {{ language = 1 }}
model m = bundled("induction-2l", dtype: {dtype})
task t {{
  data = induction(take: 8, seed: 0, length: 16)
  reference = prompt
  treated = prompt_other
}}
metric A = attention(a1.h0, END -> FIRST_B)
let seen = mean(A(reference))
"""


def attention(dtype: str, folder: Path) -> float:
    path = folder / f"{dtype}.circuit"
    path.write_text(TEXT.format(dtype=dtype))
    outcome = check_file(str(path), CheckOptions(threads=1))
    assert outcome.judgement is not None, outcome.diagnostics
    (seen,) = outcome.judgement.quantities
    assert seen.estimate is not None
    return seen.estimate


def test_attention_in_half_precision(tmp_path: Path) -> None:
    exact = attention("float64", tmp_path)
    assert attention("bfloat16", tmp_path) == pytest.approx(exact, abs=0.02)
