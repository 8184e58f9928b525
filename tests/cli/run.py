"""Runs the command as a user does, without a terminal: in this process, or in one of its own."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest import mock

from pathdsl.cli.main import main

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


def pathdsl(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """In this process, which has imported torch already."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        mock.patch.dict(os.environ, environment),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def process(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, which takes some seconds where it imports torch."""
    return subprocess.run(
        [sys.executable, "-m", "pathdsl", *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip


SEVERAL = """
import contextlib, io, json, sys
from pathdsl.cli.main import _run
done = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        with contextlib.redirect_stderr(io.StringIO()) as err:
            code = _run(words, False)
    done.append((words, code, out.getvalue(), err.getvalue()))
print(json.dumps(done))
"""


def in_one_process(
    commands: list[list[str]], *, cwd: Path, before: str = "", **environment: str
) -> list[subprocess.CompletedProcess[str]]:
    """Several commands in one process of their own; `before`: a script that it runs first."""
    done = subprocess.run(
        [sys.executable, "-c", before + SEVERAL, json.dumps(commands)],
        cwd=cwd, capture_output=True, text=True, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [subprocess.CompletedProcess(*one) for one in json.loads(done.stdout)]


def forked(act: Callable[[], object]) -> BaseProcess:
    """A process that does this; it begins as a copy of this one, with everything imported.

    `join` it; then `exitcode` is that of the command line, or less than 0 after a signal.
    """
    child = multiprocessing.get_context("fork").Process(target=act)
    child.start()
    return child
