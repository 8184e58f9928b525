"""Processor time of commands that should answer at once, beside another checkout if one is given.

    python -m benchmarks.starts [NAME …] [--repeat 10] [--against FOLDER]

`bare` is an interpreter that does nothing, `libraries` one that imports torch and the classes of
GPT-2 of transformers. `lint`, `fmt` and `explain` are the quick verbs; `first` is a check without a
store, `stored` one whose values are all there, both of hypotheses/quickstart/ioi.circuit. With
`--against`, a folder with another checkout, each is run in turn with that one, so that what else
the machine does falls on both. `watch` starts `check --watch` on a copy of the file and says how
long an edit to a claim and one to a path take until the verdicts are printed (wall seconds).

User and system time of the process and its children, medians.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from .child import ROOT

FILE = "hypotheses/quickstart/ioi.circuit"
LIBRARIES = (
    "import torch, transformers; from transformers import AutoTokenizer, GPT2LMHeadModel\n"
    "import transformers.models.gpt2.modeling_gpt2"
)
COMMANDS = {
    "bare": ("-c", "pass"),
    "libraries": ("-c", LIBRARIES),
    "lint": ("-m", "pathdsl", "lint", FILE),
    "fmt": ("-m", "pathdsl", "fmt", "--check", FILE),
    "explain": ("-m", "pathdsl", "explain", "PD203"),
    "first": ("-m", "pathdsl", "check", "-q", "--no-cache", FILE),
    "stored": ("-m", "pathdsl", "check", "-q", FILE),
}
EDITS = (
    ("a claim", "faithfulness(main, metric: LD) >= 85%", "faithfulness(main, metric: LD) >= 86%"),
    ("a path", "-> carrier (-> {carrier, mlp@END})*", "-> carrier"),
    ("another path", "-[v]-> suppressor (-> mlp)*", "-[v]-> suppressor"),
    ("a first path", "input@IO (-> {from_io, mlp@IO})*", "input@IO (-> mlp@IO)*"),
)


def once(tree: Path, words: tuple[str, ...], scratch: Path) -> float:
    """Processor seconds of one command in a checkout."""
    environment = {
        **os.environ, "PYTHONPATH": str(tree), "PATHDSL_CACHE": str(scratch / tree.name / "store"),
        "PYTHONPYCACHEPREFIX": str(scratch / tree.name / "code"),
    }  # fmt: skip
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    quiet = subprocess.DEVNULL
    subprocess.run([sys.executable, *words], cwd=tree, env=environment, stdout=quiet, stderr=quiet)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(name: str, trees: list[Path], repeat: int, scratch: Path) -> None:
    """Print a command's times in each checkout; the first start of each is not counted."""
    times: dict[Path, list[float]] = {tree: [] for tree in trees}
    for tree in trees:
        once(tree, COMMANDS[name], scratch)
    for _ in range(repeat):
        for tree in trees:
            times[tree].append(once(tree, COMMANDS[name], scratch))
    found = [f"{statistics.median(each):8.3f} ({min(each):.3f})" for each in times.values()]
    print(f"{name:<10}", *found, flush=True)


def watch(repeat: int, scratch: Path) -> None:
    """Print how long edits take until they are answered."""
    text = (ROOT / FILE).read_text(encoding="utf-8")
    copy = scratch / "watched.circuit"
    copy.write_text(text, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATHDSL_CACHE": str(scratch / "watch")}
    child = subprocess.Popen(
        [sys.executable, "-m", "pathdsl", "check", "--watch", "-q", str(copy)], text=True,
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    lines: queue.Queue[str] = queue.Queue()
    stream = child.stdout
    assert stream is not None
    threading.Thread(target=lambda: [lines.put(one) for one in stream], daemon=True).start()

    def answered() -> None:
        while not re.match(r"checked in", lines.get(timeout=600)):
            pass

    answered()
    time.sleep(20)  # the model is loaded behind the first answer
    for what, before, after in EDITS:
        assert before in text, before
        taken = []
        for number in range(repeat):
            edited = text.replace(before, after) + f"# {number}\n"
            started = time.monotonic()
            copy.write_text(edited, encoding="utf-8")
            answered()
            taken.append(time.monotonic() - started)
            copy.write_text(text, encoding="utf-8")
            answered()
        told = f"first {taken[0]:.2f} s, then {statistics.median(taken[1:] or taken):.2f} s"
        print(f"watch: an edit to {what}: {told}", flush=True)
    child.send_signal(signal.SIGINT)
    child.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starts")
    parser.add_argument("names", nargs="*", choices=[*COMMANDS, "watch", []])
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--against", type=Path)
    options = parser.parse_args()
    trees = [*([options.against.resolve()] if options.against else []), ROOT]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        print(f"{'':<10}", *(f"{tree.name[-16:]:>16}" for tree in trees))
        for name in COMMANDS:
            if not options.names or name in options.names:
                measure(name, trees, options.repeat, scratch)
        if not options.names or "watch" in options.names:
            watch(min(options.repeat, 5), scratch)


if __name__ == "__main__":
    main()
