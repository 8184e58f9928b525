"""A check of a model that is larger than the memory that it is given, beside one that holds it.

    python -m benchmarks.streaming [gpt2-2gb] [gpt2-16gb] [--repeat 3] [--json FILE] [--into FOLDER]

Folders of GPT-2's shape with random weights are made: `gpt2-2gb` (22 layers, 1,280 wide) in float32
and in float16, `gpt2-16gb` (32 layers, 3,072 wide) in float32. The same file is checked with the
weights in memory and with `--memory`, by turns, in processes of their own, after the folder was
read once. Told are processor and wall seconds, the most anonymous memory, and the most of all
memory in a control group with a limit, where one can be made (as root, cgroup v1 or v2); results
are compared byte for byte. The model of 16 GB is checked with `--memory` alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .child import ROOT
from .processes import SHARED

MAKE = """
import json, re, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel, GPT2TokenizerFast
into, words, layers, width, heads, dtype = sys.argv[1:]
config = GPT2Config(n_embd=int(width), n_layer=int(layers), n_head=int(heads), dtype=dtype,
                    architectures=["GPT2LMHeadModel"])
with torch.device("meta"):
    shapes = {name: p.shape for name, p in GPT2LMHeadModel(config).named_parameters()}
config.save_pretrained(into)
torch.manual_seed(0)
where, shards = {}, {}
for name in shapes:  # a file for each layer, so that no more than one is in memory
    layer = re.search(r"[.]([0-9]+)[.]", name)
    shards.setdefault(layer[1] if layer else "outside", []).append(name)
for number, names in enumerate(shards.values(), 1):
    file = f"model-{number:05}-of-{len(shards):05}.safetensors"
    save_file({
        name: (torch.ones(shapes[name]) if "ln_" in name and name.endswith("weight")
               else 0.02 * torch.randn(shapes[name])).to(getattr(torch, dtype))
        for name in names
    }, Path(into, file), {"format": "pt"})
    where.update(dict.fromkeys(names, file))
Path(into, "model.safetensors.index.json").write_text(
    json.dumps({"metadata": {}, "weight_map": where}))
words = GPT2TokenizerFast(vocab=f"{words}/vocab.json", merges=f"{words}/merges.txt")
words.save_pretrained(into)
"""
FILE = """circuit big "A model larger than memory" {{ language = 1; hypothesis = movers }}

model gpt = folder("{folder}")

task ioi {{
  data      = ioi(take: {rows}, seed: 0)
  reference = prompt
  treated   = prompt_abc
}}

path movers = within(a9.h9, a9.h6, a15.h0, a20.h3, mlp)

metric LD: logits = logit(io) - logit(s)

claim sufficient: faithfulness(movers) <= 1000%
"""
GROUPS = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
LIMITS = {
    "memory.limit_in_bytes": "memory.max_usage_in_bytes", "memory.max": "memory.peak",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A folder to be made, and how it is checked: `memory` for `--memory`, `limit` in bytes."""

    name: str
    layers: int
    width: int
    heads: int
    rows: int
    dtypes: tuple[str, ...]
    memory: str
    limit: int
    held: bool


SHAPES = (
    Shape(name="gpt2-2gb", layers=22, width=1280, heads=20, rows=4,
          dtypes=("float32", "float16"), memory="0.12GB", limit=800_000_000, held=True),
    Shape(name="gpt2-16gb", layers=32, width=3072, heads=24, rows=2,
          dtypes=("float32",), memory="0.8GB", limit=2_500_000_000, held=False),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one check took: seconds, and bytes at most. `all_memory` is None without a group."""

    processor: float
    wall: float
    anonymous: int
    all_memory: int | None
    result: bytes


def folder_of(shape: Shape, dtype: str, into: Path) -> Path:
    """The folder of a shape, made if it is not there; SystemExit without GPT-2's tokenizer."""
    words, found = SHARED / "models" / "gpt2-tokenizer", into / f"{shape.name}-{dtype}"
    if not words.is_dir():
        raise SystemExit(f"no tokenizer at {words}")
    if not (found / "tokenizer.json").is_file():
        given = (found, words, shape.layers, shape.width, shape.heads, dtype)
        subprocess.run([sys.executable, "-c", MAKE, *map(str, given)], check=True,
                       capture_output=True)  # fmt: skip
    return found


def group(limit: int | None) -> tuple[Path | None, str]:
    """A control group of its own with a limit on memory, and the file of its peak."""
    for root in GROUPS:
        here = root / f"pathdsl-benchmark-{os.getpid()}"
        for name, peak in LIMITS.items():
            try:
                here.mkdir(exist_ok=True)
                if limit is not None:
                    (here / name).write_text(str(limit))
                elif not (here / name).exists():
                    continue
                if (here / peak).exists():
                    return here, peak
            except OSError:
                continue
        if here.is_dir():
            here.rmdir()
    return None, ""


def check(file: Path, options: Sequence[str], limit: int | None) -> Taken:
    """One check in a process of its own, in a group of its own where one can be made."""
    own, peak = group(limit)

    def join() -> None:
        if own is not None:
            (own / "cgroup.procs").write_text(str(os.getpid()))

    words = [sys.executable, "-m", "pathdsl", "check", str(file), "--no-cache", "--quiet"]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            [*words, "--format", "json", *options], cwd=ROOT, stdout=out, preexec_fn=join
        )
        anonymous = 0
        while process.poll() is None:
            anonymous = max(anonymous, _anonymous(process.pid))
            time.sleep(0.02)
        wall = time.perf_counter() - start
        out.seek(0)
        result = out.read()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    everything = None
    if own is not None:
        everything = int((own / peak).read_text())
        time.sleep(0.5)
        own.rmdir()
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}")
    processor = sum(getattr(after, n) - getattr(before, n) for n in ("ru_utime", "ru_stime"))
    return Taken(
        processor=processor, wall=wall, anonymous=anonymous, all_memory=everything, result=result
    )


def _anonymous(process: int) -> int:
    """Bytes of anonymous memory of a process now, 0 where it is over."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)


def measure(shape: Shape, dtype: str, into: Path, repeat: int, threads: int) -> dict[str, Any]:
    """Both ways by turns: medians, the ratio of each pair, and whether the results are equal."""
    folder = folder_of(shape, dtype, into)
    for path in folder.iterdir():  # the page cache is warm
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass
    file = into / f"{shape.name}-{dtype}.circuit"
    file.write_text(FILE.format(folder=folder, rows=shape.rows))
    ways: dict[str, list[Taken]] = {"held": [], "streamed": []}
    for _ in range(repeat):
        threads_of = ("--threads", str(threads))
        if shape.held:
            ways["held"].append(check(file, threads_of, None))
        ways["streamed"].append(check(file, (*threads_of, "--memory", shape.memory), shape.limit))
    results = {one.result for taken in ways.values() for one in taken}
    pairs = zip(ways["held"], ways["streamed"], strict=shape.held)
    return {
        "shape": {k: v for k, v in asdict(shape).items() if k != "dtypes"},
        "file": dtype,
        "threads": threads,
        "same_bytes": len(results) == 1 if shape.held else None,
        "ratios": [round(b.processor / a.processor, 3) for a, b in pairs],
        **{
            way: {
                "processor": statistics.median(one.processor for one in taken),
                "wall": statistics.median(one.wall for one in taken),
                "anonymous": max(one.anonymous for one in taken),
                "all_memory": max((one.all_memory or 0) for one in taken) or None,
            }
            for way, taken in ways.items()
            if taken
        },
    }


def main() -> None:
    """Measure, tell a line for each, keep the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__)
    parser.add_argument("names", nargs="*", help="default: gpt2-2gb")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--into", type=Path, help="folder for models (default: one that goes)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as own:
        into = options.into or Path(own)
        into.mkdir(parents=True, exist_ok=True)
        for shape in SHAPES:
            if shape.name in (options.names or ["gpt2-2gb"]):
                for dtype in shape.dtypes:
                    found.append(measure(shape, dtype, into, options.repeat, options.threads))
                    print(json.dumps(found[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
