"""The same experiment in a library and as a `.circuit` file: do numbers agree, what does it take?

    python -m benchmarks.coming_from [LIBRARY …] [--in LIBRARY=PYTHON …] [--repeat 3] [--json FILE]

The scripts and files beside this module stand in docs/coming-from as they are. Each is run as a
user runs it, as a whole process on one thread, with the bundled `ioi-mini` and 50 prompts of one
template; `--in` names the interpreter of an environment that has the library. In turn, `--repeat`
times: the script, an import of what it imports, `pathdsl check` without a store, and the same with
every value in the store. Times are user and system seconds of the processor, medians. A library
that is not there is skipped by name.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.child import ROOT

__all__ = ["PAGES", "ROWS", "compare", "markdown", "numbers", "ours", "rows_of"]

HERE = Path(__file__).parent
MODEL = ROOT / "pathdsl" / "models" / "data" / "ioi-mini"
ROWS = 50
DRAWN = "mini_ioi(take: 2000, seed: 0)"
TEMPLATE = "abba_12"
LIBRARIES = "import torch; from transformers import AutoTokenizer, GPT2LMHeadModel; "
AGREE = 1e-5
"""Numbers in float32 that lie further apart than this are told as different."""


WHAT = {
    "script": "the script",
    "import": "importing torch, transformers and {title} alone",
    "first": "`pathdsl check`, nothing stored",
    "again": "`pathdsl check` again",
}
"""What is timed, by key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of docs/coming-from: the library, its script, what that imports, our file."""

    title: str
    package: str
    script: str
    imports: str
    circuit: str


PAGES = {
    "transformerlens": Page(
        title="TransformerLens", package="transformer-lens", script="transformerlens_heads.py",
        imports="import transformer_lens.model_bridge", circuit="heads.circuit",
    ),
    "nnsight": Page(
        title="nnsight", package="nnsight", script="nnsight_heads.py", imports="import nnsight",
        circuit="two_heads.circuit",
    ),
    "pyvene": Page(
        title="pyvene", package="pyvene", script="pyvene_swap.py", imports="import pyvene",
        circuit="swap.circuit",
    ),
}  # fmt: skip


def rows_of(drawn: str) -> str:
    """Of what `pathdsl data` printed, 50 prompts whose words stand at the same places."""
    lines = [line for line in drawn.splitlines(keepends=True) if f'"{TEMPLATE}"' in line]
    return "".join(lines[:ROWS])


def numbers(text: str) -> dict[str, float]:
    """What a script printed, a name and a number on a line; what else is said is left out."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        with contextlib.suppress(ValueError):
            found[name] = float(value)
    return found


def ours(text: str) -> dict[str, float]:
    """Estimates by name in what `pathdsl check --format json` printed."""
    (file,) = json.loads(text)["files"]
    return {one["name"]: one["estimate"] for one in file["quantities"]}


def timed(command: Sequence[str], folder: Path) -> tuple[str, float]:
    """What a command printed, and its processor seconds; SystemExit where it fails."""
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": str(ROOT), "PATHDSL_CACHE": str(folder / "store"),
    }  # fmt: skip
    with (folder / "said").open("w+") as said, (folder / "errors").open("w+") as errors:
        with subprocess.Popen(
            command, cwd=folder, stdout=said, stderr=errors, env=environment
        ) as child:
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0), errors.seek(0)
        if child.returncode:
            raise SystemExit(f"{' '.join(command)}: {errors.read().strip()[-2000:]}")
        return said.read(), used.ru_utime + used.ru_stime


def versions(python: str, package: str) -> dict[str, str] | None:
    """Versions of a library and of what it stands on, None where it is not installed."""
    names = [package, "torch", "transformers"]
    script = "import importlib.metadata as m, json, sys; names = sys.argv[1:]\n"
    script += "print(json.dumps({name: m.version(name) for name in names}))"
    done = subprocess.run([python, "-c", script, *names], capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


def compare(
    names: Sequence[str], interpreters: Mapping[str, str], tell: Callable[[str], None], repeat: int
) -> dict[str, Any]:
    """By page: versions, numbers of both by name, times, the largest difference."""
    found: dict[str, Any] = {}
    for name in names or list(PAGES):
        page = PAGES[name]
        python = interpreters.get(name, sys.executable)
        has = versions(python, page.package)
        if has is None:
            tell(f"{name}: skipped, not installed (--in {name}=PYTHON)")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            drawn, _ = timed([sys.executable, "-m", "pathdsl", "data", DRAWN], folder)
            (folder / "rows.jsonl").write_text(rows_of(drawn), encoding="utf-8")
            shutil.copy(HERE / page.circuit, folder)
            check = [sys.executable, "-m", "pathdsl", "check", page.circuit, "--format", "json"]
            commands = {
                "script": [python, "-P", str(HERE / page.script), str(MODEL), "rows.jsonl"],
                "import": [python, "-c", LIBRARIES + page.imports],
                "first": [*check, "--no-cache"],
                "again": check,
            }
            said = {key: timed(command, folder)[0] for key, command in commands.items()}
            times: dict[str, list[float]] = {key: [] for key in commands}
            for _ in range(repeat):
                for key, command in commands.items():
                    times[key].append(timed(command, folder)[1])
        mine = ours(said["first"])
        both = {key: [value, mine[key]] for key, value in numbers(said["script"]).items()}
        row = {
            "versions": has,
            "numbers": both,
            "difference": max(abs(a - b) for a, b in both.values()),
            "seconds": {key: statistics.median(each) for key, each in times.items()},
            "repeat": repeat,
        }
        found[name] = row
        told = "  ".join(f"{key} {value:.2f} s" for key, value in row["seconds"].items())
        apart = "" if row["difference"] <= AGREE else f", more than {AGREE:g}"
        tell(f"{name:<16} {len(both)} numbers within {row['difference']:.1e}{apart}   {told}")
    return found


def markdown(row: Mapping[str, Any], title: str) -> str:
    """The numbers and the times of one page, as its two tables."""
    lines = [f"| | {title} | pathdsl |", "|---|--:|--:|"]
    for name, (theirs, mine) in row["numbers"].items():
        lines.append(f"| `{name}` | {theirs:.5f} | {mine:.5f} |")
    told = row["versions"]
    library, torch, transformers = told.values()
    lines += [
        "",
        f"The largest difference is {row['difference']:.1e} ({title} {library}, transformers "
        f"{transformers}, torch {torch.partition('+')[0]}).",
        "",
        "| whole process | processor seconds |",
        "|---|--:|",
    ]
    for key, what in WHAT.items():
        lines.append(f"| {what.format(title=title)} | {row['seconds'][key]:.1f} |")
    return "\n".join(lines) + "\n"


def main(words: Sequence[str] | None = None) -> None:
    """Compare and print; exit 1 where numbers differ."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coming_from", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="LIBRARY", help=", ".join(PAGES))
    parser.add_argument("--in", action="append", default=[], metavar="LIBRARY=PYTHON", dest="into")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(words)
    if unknown := [name for name in options.names if name not in PAGES]:
        parser.error(f"no library `{unknown[0]}`; there are: {', '.join(PAGES)}")
    pythons = dict(pair.split("=", 1) for pair in options.into if "=" in pair)
    if len(pythons) < len(options.into) or {*pythons} - {*PAGES}:
        parser.error(f"--in LIBRARY=PYTHON, of the libraries {', '.join(PAGES)}")
    if options.repeat < 1:
        parser.error("--repeat is at least 1")
    found = compare(
        options.names, pythons, lambda line: print(line, flush=True), options.repeat
    )  # fmt: skip
    for name, row in found.items():
        print(f"\n{markdown(row, PAGES[name].title)}", end="")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if any(row["difference"] > AGREE for row in found.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
