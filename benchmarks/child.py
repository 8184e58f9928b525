"""Measuring in a process of its own: a module of this package that prints its result as JSON.

    result_of("benchmarks.engine", {"name": "W3", …})

The module reads its arguments as JSON from the command line; its last line of output is the result.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "result_of"]

ROOT = Path(__file__).resolve().parent.parent


def result_of(
    module: str,
    arguments: Mapping[str, Any],
    what: str,
    environment: Mapping[str, str] = {},
    python: str = sys.executable,
) -> Any:
    """What the module printed; SystemExit with `what` and the end of its complaints if it fails.

    `environment`: variables beside those of this process; `python`: the interpreter.
    """
    done = subprocess.run(
        [python, "-m", module, json.dumps(arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    if done.returncode:
        raise SystemExit(f"{what}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
