"""Runs the command as a user does: a process of its own, no terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

INDUCTION = """circuit induction "Two heads copy what came after the last time" {
  language   = 1
  hypothesis = nodes
}

model m = bundled("induction-2l")

task t {
  data      = induction(take: 40, seed: 0, length: 16)
  reference = prompt
  treated   = prompt_other
  positions = [FIRST_A, FIRST_B]
}

group previous @FIRST_B = { a0.h1 }
group match    @END     = { a1.h2 }

path nodes = within(previous, match)

metric LD: logits = logit(answer) - logit(wrong)

let total: logits = mean(LD(reference) - LD(treated))
let direct for h in attn: logits = mean(LD(treat(h -> logits)) - LD(reference))

claim sufficient: faithfulness(nodes) >= 80% at 95% confidence
claim control:    faithfulness(random_like(nodes, seed: 0)) >= 80% at 95% confidence expect refuted
"""
BROKEN = "model m = bundled(\n\ngroup g = { a0.h0 }\n"
LIBRARY = "group movers @END = { a1.h2 }\n"


def pathdsl(
    *arguments: str, cwd: Path, given: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pathdsl", *arguments],
        cwd=cwd, input=given, capture_output=True, text=True, timeout=300,
        env={**os.environ, **environment},
    )  # fmt: skip
