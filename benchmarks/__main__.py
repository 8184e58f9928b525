"""All measurements of the project.

    python -m benchmarks [SUITE …] [NAME …] [--repeat 3] [--json FILE]
    python -m benchmarks table FILE.json [--figures FOLDER]

`engine`: the workloads W1 to W13 as multiples of one plain forward (`benchmarks/engine.py`);
`processes`: whole commands, their time and memory (`benchmarks/processes.py`). Both without a word.
`peers`: the same work in the libraries that are installed, with a comparison of the numbers
(`benchmarks/peers.py`). `scaling`: over knockout sets, prompt length and depth
(`benchmarks/scaling.py`). `profile`: what one workload spends its time on
(`benchmarks/profile.py`). `compiled`: whether torch.compile or CUDA graphs would pay
(`benchmarks/compiled.py`). `discovery`: what the sweeps of `gpt2/ioi_discovery` cost
(`benchmarks/discovery.py`). `cuda`: correctness and all figures of a CUDA device in ten minutes
(`benchmarks/cuda.py`). `table`: what was measured, as markdown,
and as plots with `--figures`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

SUITES = ("engine", "processes", "peers", "scaling", "profile", "compiled", "discovery", "cuda")
USUAL = ("engine", "processes")


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


def usable(device: str) -> None:
    """Exit with one line where this machine lacks the device."""
    from pathdsl.engine.load.devices import opened

    try:
        opened(device)
    except RuntimeError as error:
        raise SystemExit(f"no usable device `{device}`: {error}") from error


def tell(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """The options, the suites among the names taken apart; exits on names that are not known."""
    from .processes import NAMES
    from .scaling import AXES
    from .shapes import SHAPES
    from .workloads import PEERS, WORKLOADS

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("names", nargs="*", help="suites, then workloads (default: all)")
    parser.add_argument("--shape", action="append", choices=tuple(SHAPES))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rows", type=int, help="prompts of a workload (peers, profile)")
    parser.add_argument("--peer", action="append", choices=PEERS)
    parser.add_argument("--threads", type=int, help="of torch (default: as check does)")
    parser.add_argument(
        "--device", help="engine, peers, scaling, profile, compiled; cuda (default: cuda)"
    )
    parser.add_argument(
        "--dtype", default="float32", choices=("float32", "bfloat16"), help="peers, compiled"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of the suite cuda")
    parser.add_argument("--tiny", action="store_true", help="the suite cuda on small shapes")
    parser.add_argument("--figures", type=Path, help="folder for the plots of scaling")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(words)
    options.suites = [name for name in options.names if name in SUITES] or list(USUAL)
    options.names = [name for name in options.names if name not in SUITES]
    known = {
        "engine": WORKLOADS, "peers": WORKLOADS, "profile": WORKLOADS,
        "processes": NAMES, "scaling": AXES, "compiled": (), "discovery": (),
        "cuda": (),
    }  # fmt: skip
    possible = [name for suite in options.suites for name in known[suite]]
    for name in options.names:
        if name not in possible and options.names[0] != "table":
            parser.error(f"no workload `{name}`; there are: {', '.join(dict.fromkeys(possible))}")
    if options.repeat < 1 or (options.rows is not None and options.rows < 1):
        parser.error("--repeat and --rows are at least 1")
    if not 0 < options.minutes < float("inf"):
        parser.error("--minutes is a number above 0")
    if options.device is None:
        options.device = "cuda" if options.suites == ["cuda"] else "cpu"
    return options


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Run the suites asked for; their rows by suite."""
    from .shapes import SHAPES
    from .workloads import PEERS, ROWS, WORKLOADS

    names: list[str] = options.names
    found: dict[str, Any] = {}
    if "processes" in options.suites:
        # First: what this process weighs when it starts a child counts as the child's.
        from .processes import measure_processes

        found["processes"] = measure_processes(names, options.repeat)
    if options.device != "cpu":
        usable(options.device)
    found["about"] = about()
    if "engine" in options.suites:
        from .engine import measure_all

        wanted = [name for name in WORKLOADS if not names or name in names]
        found["engine"] = measure_all(
            wanted, options.shape or list(SHAPES), options.repeat, options.threads, tell,
            options.device,
        )  # fmt: skip
    if "peers" in options.suites:
        from .peers import USUAL, compare_all

        found["peers"] = [
            row
            for shape in options.shape or ["gpt2"]
            for row in compare_all(
                names or list(USUAL), shape, options.repeat, tell,
                peers=options.peer or PEERS, rows=options.rows or ROWS,
                threads=options.threads, device=options.device, dtype=options.dtype,
            )
        ]  # fmt: skip
    if "scaling" in options.suites:
        from .scaling import scale_all

        found["scaling"] = scale_all(
            names, options.shape, options.repeat, tell, options.threads, options.device
        )
    if "profile" in options.suites:
        from .profile import profile_all

        found["profile"] = [
            row
            for shape in options.shape or ["gpt2"]
            for row in profile_all(
                names, shape, tell, options.rows or ROWS, options.threads, device=options.device
            )
        ]
    if "compiled" in options.suites:
        from .compiled import compare_compiled

        found["compiled"] = [
            row
            for shape in options.shape or ["gpt2"]
            for row in compare_compiled(
                shape, options.repeat, tell, options.threads, options.device, options.dtype
            )
        ]
    if "discovery" in options.suites:
        from .discovery import measure_discovery

        found["discovery"] = measure_discovery(
            options.repeat, options.rows or ROWS, options.threads, tell
        )
    if "cuda" in options.suites:
        from .cuda import measure_cuda

        found["cuda"] = measure_cuda(
            options.device, options.minutes, tell,
            lambda so_far: write(options.json, found | {"cuda": so_far}), tiny=options.tiny,
        )  # fmt: skip
    return found


def write(path: Path | None, found: dict[str, Any]) -> None:
    """Keep what was measured, where a file was named: whole at any moment."""
    if path is not None:
        beside = path.with_name(f"{path.name}.part")
        beside.write_text(json.dumps(found, indent=2) + "\n")
        beside.replace(path)


def draw(found: dict[str, Any], folder: Path | None) -> None:
    """Write the plots of scaling where both are given."""
    if folder is not None and "scaling" in found:
        from .plot import write_figures

        for path in write_figures(found["scaling"], folder):
            tell(f"wrote {path}")


def main() -> None:
    """Measure and print."""
    options = parsed()
    if options.names[:1] == ["table"]:
        from .table import markdown

        for path in options.names[1:]:
            found = json.loads(Path(path).read_text())
            print(markdown(found))
            draw(found, options.figures)
        return
    found = measured(options)
    write(options.json, found)
    draw(found, options.figures)
    if "cuda" in found:
        from .cuda import disagreements

        if wrong := disagreements(found["cuda"]):
            raise SystemExit(f"{len(wrong)} rows do not have the numbers that they have to have")


if __name__ == "__main__":
    main()
