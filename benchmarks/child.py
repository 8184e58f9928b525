"""Measuring in a process of its own: a module of this package that prints its result as JSON.

    result_of("benchmarks.engine", {"name": "W3", …})
    for row in rows_of("benchmarks.engine", {"names": ["W3"], …}, limit=60): …

The module reads its arguments as JSON from the command line. Its last line of output is the result,
or each line is a row of its own, which is there as soon as it was measured.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Timer
from typing import Any

__all__ = ["ROOT", "Failed", "Overtime", "result_of", "rows_of"]

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


class Failed(Exception):
    """A process ended without success; the text is the end of its complaints."""


class Overtime(Exception):
    """A process was ended because it took longer than it may."""


def rows_of(
    module: str,
    arguments: Mapping[str, Any],
    limit: float,
    environment: Mapping[str, str] = {},
) -> Iterator[Any]:
    """Each row that the module prints, a JSON object on a line of its own, as it comes.

    Raises Overtime after `limit` seconds, when the process and all that it started are ended, and
    Failed where it fails.
    """
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(arguments)],
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            start_new_session=True,
        ) as child,
    ):
        late = []

        def end() -> None:
            late.append(True)
            _end(child)

        timer = Timer(max(limit, 0.0), end)
        timer.start()
        try:
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith("{") and line.endswith("\n"):  # else cut off, or a library's
                    yield json.loads(line)
            child.wait()
        finally:
            timer.cancel()
            if child.poll() is None:
                _end(child)
        if late:
            raise Overtime
        if child.returncode:
            complaints.seek(0)
            raise Failed(complaints.read().strip()[-2000:])


def _end(child: subprocess.Popen[str]) -> None:
    """End a process and what it started."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
