"""Commands on small circuit files, in this process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.cli.run import pathdsl

PEERS = (
    Path(os.environ.get("PATHDSL_SHARED", Path(__file__).parents[3] / "shared"))
    / "cases" / "formats"
)  # fmt: skip
MODEL = ("--model", "bundled:ioi-mini,dtype=float64")


def imported(folder: Path, file: Path | str, *options: str, name: str = "x") -> dict[str, Any]:
    """The report of an import into `name.circuit`; what was said, where it was refused."""
    done = pathdsl(
        "import", str(file), *options, "-o", f"{name}.circuit", "--force", "--json", cwd=folder
    )
    if done.returncode:
        return {"code": done.returncode, "said": done.stderr}
    return {"code": 0, **json.loads(done.stdout)}


def path_of(text: str) -> str:
    """The expression of the path set of an imported file."""
    return text.partition("path hypothesis = ")[2].partition("\n\nmetric")[0]
