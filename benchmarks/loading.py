"""How much memory loading a model takes at most, as multiples of its weights.

    python -m benchmarks.loading

Models of the shape of GPT-2 (124 million weights, random) are saved as float32 and as float16 and
loaded in float32, each in a process of its own, in which a small model was loaded before: what the
libraries take is not counted. `anonymous` leaves out pages of the weight file, which the system
takes back where memory is short. Linux only. The figures stand in docs/benchmarks.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.child import ROOT

__all__ = ["measure"]

SAVE = """
import sys, torch
from transformers import GPT2Config, GPT2LMHeadModel
torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config())
model.to(getattr(torch, sys.argv[2])).save_pretrained(sys.argv[1])
"""
LOAD = """
import json, sys, threading, time
from dataclasses import replace
from pathlib import Path
from pathdsl.engine.load.source import parse_override
from pathdsl.engine.load.weights import load

def now():
    lines = [line.split() for line in Path("/proc/self/status").read_text().splitlines()]
    return {one[0][:-1]: 1024 * int(one[1]) for one in lines if one[0] in ("VmRSS:", "RssAnon:")}

def source(text):
    return replace(parse_override(text)[1], dtype="float32")

load(source("m=bundled:induction-2l"))
before, most, done = now(), now(), False

def watch():
    while not done:
        for name, size in now().items():
            most[name] = max(most[name], size)
        time.sleep(0.001)

thread = threading.Thread(target=watch)
thread.start()
model = load(source("m=folder:" + sys.argv[1])).model
done = True
thread.join()
held = sum(one.numel() * one.element_size() for one in model.parameters())
print(json.dumps({name: (most[name] - before[name]) / held for name in most} | {"weights": held}))
"""


def measure(stored: str) -> dict[str, float]:
    """The peaks of resident and of anonymous memory for a file of this dtype, and the weights."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", SAVE, folder, stored], check=True, cwd=ROOT)
        done = subprocess.run(
            [sys.executable, "-c", LOAD, folder], check=True, cwd=ROOT, capture_output=True
        )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print a line for each dtype."""
    for stored in ("float32", "float16"):
        found = measure(stored)
        print(
            f"{stored}: {found['VmRSS']:.2f} times the weights ({found['weights'] / 1e6:.0f} MB), "
            f"anonymous {found['RssAnon']:.2f}"
        )


if __name__ == "__main__":
    if not Path("/proc/self/status").exists():
        raise SystemExit("peak memory is read from /proc")
    main()
