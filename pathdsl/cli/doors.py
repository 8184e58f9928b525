"""What runs the shards of `check --on`: processes of this machine, Ray, or Slurm.

A door starts a command and says what came of it; which commands, what is done again and when all is
over is `pathdsl.cli.coordinating`'s. Ray and submitit are extras, imported when they are asked for.
"""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from pathdsl.errors import Diagnostic, EngineError

__all__ = ["LOST", "Done", "Door", "Job", "Local", "Ray", "Slurm", "run_command"]

ANSWERS = 10.0
"""Seconds in which the head of a cluster has to answer."""
LOST = -1
"""The exit code of a command whose end nobody saw: its machine or its scheduler went away."""


class Done(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


class Job(Protocol):
    """A command that was started."""

    def done(self) -> Done | None:
        """What it came to; None while it runs or waits for its turn."""

    def cancel(self) -> None:
        """End it, whatever it is at."""


class Door(Protocol):
    """Where commands are run, in the folder that this process was started in."""

    def start(self, command: Sequence[str]) -> Job:
        """Have a command run."""

    def close(self) -> None:
        """Let go of what was begun to run commands."""


def run_command(command: Sequence[str], folder: str) -> tuple[int, str, str]:
    """Run a command on the machine that a scheduler chose, which has the same paths."""
    try:
        found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        why = f"{error.filename}: {(error.strerror or '').lower()}"
        return LOST, "", f"{os.uname().nodename} cannot run `{command[0]}` in `{folder}`: {why}\n"
    return found.returncode, found.stdout, found.stderr


# -------------------------------------------------------------------------------------------------


class Local:
    """Processes of this machine."""

    def start(self, command: Sequence[str]) -> Job:
        """Have a command run now."""
        return _Process(command)

    def close(self) -> None:
        """Nothing was begun."""


class _Process:
    def __init__(self, command: Sequence[str]) -> None:
        self._said = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        out, err = self._said
        self._process = subprocess.Popen(command, stdout=out, stderr=err)
        self._done: Done | None = None

    def done(self) -> Done | None:
        code = self._process.poll()
        if self._done is None and code is not None:
            out, err = map(_text, self._said)
            self._done = Done(code, out, err)
        return self._done

    def cancel(self) -> None:
        self._process.kill()
        self._process.wait()
        self.done()


def _text(file: IO[bytes]) -> str:
    with file:
        file.seek(0)
        return file.read().decode("utf-8", "replace")


# -------------------------------------------------------------------------------------------------


class Ray:
    """Tasks of Ray: on the cores of this machine, or on a cluster that runs at `address`.

    Each task asks for `cpus` cores. What Ray prints itself goes nowhere while the door is open: it
    tells of a worker that died on standard output, where a report belongs.
    """

    def __init__(self, address: str | None, cpus: int) -> None:
        _vet_address(address)
        try:
            import ray
        except ImportError as error:
            raise _missing("ray") from error
        self._ray, self._folder = ray, os.getcwd()
        self._silence = redirect_stdout(io.StringIO())
        try:
            ray.init(
                address=address, log_to_driver=False, include_dashboard=False,
                logging_level=logging.CRITICAL,
            )  # fmt: skip
        except Exception as error:
            why = str(error).strip().splitlines() or [type(error).__name__]
            raise _unreachable(address or "local", why[0]) from error
        self._run = ray.remote(max_retries=0, num_cpus=cpus)(run_command)
        self._silence.__enter__()

    def start(self, command: Sequence[str]) -> Job:
        """Have a command run when a machine has room for it."""
        return _Task(self._ray, self._run.remote(list(command), self._folder))

    def close(self) -> None:
        """Leave the cluster, or end the one of this process."""
        self._ray.shutdown()
        self._silence.__exit__(None, None, None)


def _vet_address(address: str | None) -> None:
    """Raise PD644 where nobody listens at `HOST:PORT`: Ray would try for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if not (colon and port.isdecimal()):
        return
    try:
        socket.create_connection((host.rpartition("/")[2], int(port)), ANSWERS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address or "", f"no answer: {error}") from error


def _unreachable(address: str, why: str) -> EngineError:
    return EngineError(
        Diagnostic(
            code="PD644",
            message=f"Ray cannot be reached at `{address}`",
            notes=(why,),
            help="`ray status --address HOST:PORT` says whether a cluster runs there",
        )
    )


class _Task:
    def __init__(self, ray: Any, task: Any) -> None:
        self._ray, self._task = ray, task

    def done(self) -> Done | None:
        ready, _ = self._ray.wait([self._task], timeout=0)
        if not ready:
            return None
        try:
            return Done(*self._ray.get(self._task))
        except self._ray.exceptions.RayError as error:
            return Done(LOST, "", f"Ray: {_last_line(error)}\n")

    def cancel(self) -> None:
        with suppress(self._ray.exceptions.RayError):
            self._ray.cancel(self._task, force=True)


# -------------------------------------------------------------------------------------------------


class Slurm:
    """Jobs of submitit, whose files go to `folder`. `given`: what sbatch is told beside `cpus`, by
    its own names. `cluster` is `slurm`, or one of submitit's own for tests."""

    def __init__(
        self, folder: Path, cpus: int, given: Mapping[str, str], cluster: str = "slurm"
    ) -> None:
        try:
            import submitit
        except ImportError as error:
            raise _missing("slurm") from error
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise EngineError(
                Diagnostic(
                    code="PD644",
                    message="there is no `sbatch` here, which `--on slurm` hands its jobs to",
                    help="run it where jobs are submitted, or start the shards yourself: "
                    "docs/scale.md",
                )
            )
        self._executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        of_slurm = {f"slurm_{name}": value for name, value in given.items()}
        self._executor.update_parameters(cpus_per_task=cpus, name="pathdsl", **of_slurm)
        self._folder = os.getcwd()

    def start(self, command: Sequence[str]) -> Job:
        """Submit a command."""
        return _Submitted(self._executor.submit(run_command, list(command), self._folder))

    def close(self) -> None:
        """Jobs go their own way."""


class _Submitted:
    def __init__(self, job: Any) -> None:
        self._job = job

    def done(self) -> Done | None:
        if not self._job.done():
            return None
        try:
            return Done(*self._job.result())
        except Exception as error:  # whatever ended the job, or kept its result from being read
            return Done(LOST, "", f"submitit: {_last_line(error)}\n")

    def cancel(self) -> None:
        with suppress(Exception):
            self._job.cancel()


def _last_line(error: Exception) -> str:
    """What an error of a worker says behind the traceback that its text has."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _missing(extra: str) -> EngineError:
    name = {"ray": "ray", "slurm": "submitit"}[extra]
    return EngineError(
        Diagnostic(
            code="PD644",
            message=f"`--on {extra}` needs the package `{name}`, which is not installed",
            help=f'pip install "pathdsl[{extra}]"',
        )
    )
