"""What the exit codes mean: the help text prints it, and a test holds it to the enum."""

from __future__ import annotations

from pathdsl.errors import ExitCode

__all__ = ["MEANINGS", "table"]

MEANINGS: dict[ExitCode, str] = {
    ExitCode.AS_EXPECTED: "every claim came out as expected, or there is none",
    ExitCode.NOT_AS_EXPECTED: "some claim did not, or `check --locked`, `breaking` or "
    "`fmt --check` found something",
    ExitCode.WRONG_INPUT: "files, options or data are wrong",
    ExitCode.MACHINE_FAILED: "the machine failed: memory, weights, a self-check",
    ExitCode.LACKING: "a shard needs values of other shards that are not there",
    ExitCode.NOTHING_TO_CHECK: "no claim and no quantity in any file",
    ExitCode.INTERRUPTED: "interrupted",
}


def table() -> str:
    """The codes as lines that click leaves unwrapped."""
    lines = [f"{int(code):>5}  {meaning}" for code, meaning in MEANINGS.items()]
    return "\n".join(["\b", "Exit codes:", *lines])
