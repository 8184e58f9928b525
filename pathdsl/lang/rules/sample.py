"""The file that most examples of the pages are small changes of."""

from __future__ import annotations

from pathdsl.lang.rules.page import Example

__all__ = ["CIRCUIT", "HEAD", "METRIC", "MODEL", "TASK", "TOY", "sample", "whole"]

CIRCUIT = """circuit example "An example" {
  language = 1
}
"""
MODEL = """
model mini = bundled("ioi-mini")
"""
TASK = """
task ioi {
  data      = ioi(take: 60, seed: 0)
  reference = prompt
  treated   = prompt_abc
}
"""
METRIC = """
metric LD: logits = logit(io) - logit(s)
"""
HEAD = CIRCUIT + MODEL + TASK + METRIC
TOY = """circuit example "An example" {
  language = 1
}
model toy = bundled("induction-2l")
task copy {
  data      = induction(take: 32, seed: 0)
  reference = prompt
  treated   = prompt_other
  positions = [FIRST_A, FIRST_B]
}
metric LD: logits = logit(answer) - logit(wrong)
"""
"""The beginning of examples that run, on the smallest model."""


def sample(*lines: str, files: dict[str, str] | None = None) -> Example:
    """An example for `lint`: the usual beginning, and these lines after it."""
    return whole(HEAD, *lines, files=files)


def whole(*parts: str, files: dict[str, str] | None = None) -> Example:
    """An example for `lint` of these parts alone; lines that do not end get their end."""
    text = ""
    for part in parts:
        lone = not part.endswith("\n")
        text += ("\n" if lone and text.endswith("}\n") else "") + part + ("\n" if lone else "")
    return Example(text=text.lstrip("\n"), files=files or {})
