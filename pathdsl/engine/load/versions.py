"""Which versions of transformers the adapters were tested with.

An adapter calls the modules of transformers and repeats how they are put together, so another
major version may put them together otherwise. A check would notice: the decomposed forward pass is
compared with the unmodified model's before every verdict (PD630). So it is a warning, not a
refusal.
"""

from __future__ import annotations

from dataclasses import replace

from packaging.version import InvalidVersion, Version

from pathdsl.engine.load.source import ModelSource
from pathdsl.errors import Diagnostic, Severity

__all__ = ["TESTED", "in_range", "version_text", "version_warning"]

TESTED = ("5.20", "5.24")
"""The first and the last version of transformers that the tests of the engine ran with; 5.18
rotates only by positions that are the same for all rows of a batch."""


def in_range(version: str) -> bool:
    """Whether a version has the major version of the tested ones and is not older."""
    try:
        found = Version(version).release
    except InvalidVersion:
        return False
    first = Version(TESTED[0]).release
    return found[0] == first[0] and found[:2] >= first[:2]


def version_text(version: str) -> str:
    """A version for the methodology, which says so where it was not tested."""
    return version if in_range(version) else f"{version} (untested; tested: {_range()})"


def version_warning(source: ModelSource, version: str) -> tuple[Diagnostic, ...]:
    """The warning PD622 where a version was not tested, else nothing."""
    if in_range(version):
        return ()
    fault = source.fault(
        "PD622",
        f"transformers {version} was not tested with this version of pathdsl, {_range()} was",
        notes=("the self-checks compare every model with its own forward pass all the same",),
        advice=f"pip install 'transformers>={TESTED[0]},<{Version(TESTED[0]).major + 1}'",
    )
    return (replace(fault, severity=Severity.WARNING),)


def _range() -> str:
    return f"{TESTED[0]} to {TESTED[1]}"
