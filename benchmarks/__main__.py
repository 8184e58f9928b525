"""All measurements of the project.

    python -m benchmarks [processes | engine] [NAME …] [--repeat 3] [--json FILE]

`engine`: the workloads W1 to W7 as multiples of one plain forward (`benchmarks/engine.py`);
`processes`: whole commands, their time and memory (`benchmarks/processes.py`). Both without a word.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

SUITES = ("engine", "processes")


def about() -> dict[str, Any]:
    """Versions and machine, for the table's heading."""
    import torch
    import transformers

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "processors": os.cpu_count(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="suites or workloads (default: all)")
    parser.add_argument("--shape", action="append", help="gpt2, small, pythia or llama")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of torch (default: as check does)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    suites = [name for name in options.names if name in SUITES] or list(SUITES)
    names = [name for name in options.names if name not in SUITES]
    found: dict[str, Any] = {"about": about()}
    if "engine" in suites:
        from .engine import measure_all
        from .shapes import SHAPES
        from .workloads import WORKLOADS

        wanted = [name for name in WORKLOADS if not names or name in names]
        found["engine"] = measure_all(
            wanted, options.shape or list(SHAPES), options.repeat, options.threads,
            lambda line: print(line, flush=True),
        )  # fmt: skip
    if "processes" in suites:
        from .processes import measure_processes

        found["processes"] = measure_processes(names, options.repeat)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
