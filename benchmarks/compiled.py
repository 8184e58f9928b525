"""Would torch.compile or CUDA graphs pay? One MLP, the largest part of a plan, in each way.

    python -m benchmarks compiled [--shape gpt2] [--device cuda] [--repeat 3] [--json FILE]
        [--dtype bfloat16]

A plan evaluates the copies of a layer's MLP in one product over all their tokens, and how many
those are differs from layer to layer and from batch to batch. So `compiled` is `torch.compile` with
dynamic shapes, prepared once; `graph`, on CUDA only, is a CUDA graph, which is captured for one
number of tokens and has to be captured again for the next. `as it is` is what `check` runs. The
difference is the largest one of outputs of size 1: what `check` runs are the unmodified modules.
Where a way cannot be prepared, as without a compiler, its row says why (`failed`).
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .child import result_of
from .engine import wait_for
from .shapes import save

__all__ = ["TOKENS", "compare_compiled", "run_child", "timed_ways"]

TOKENS = (64, 1024, 8192)
CALLS = 8
"""Calls of one timing, so that a device's own pace is measured and not the first launch."""


def run_child(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """Time each way at each number of tokens in this process."""
    return list(timed_ways(arguments))


def timed_ways(arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of `run_child` one by one."""
    import torch

    from pathdsl.engine.load.source import ModelSource
    from pathdsl.engine.load.weights import load

    shape, device, dtype = arguments["shape"], arguments["device"], arguments["dtype"]
    folder = save(shape, Path(arguments["scratch"]), device)
    source = ModelSource(kind="folder", location=str(folder), dtype=dtype)
    adapter = load(source, device, arguments["threads"]).adapter
    layer = adapter.shape.n_layers // 2

    def as_it_is(x: Any) -> Any:
        return adapter.mlp(layer, x)

    def seconds(call: Callable[[], Any]) -> float:
        found = []
        for _ in range(arguments["repeat"]):
            wait_for(adapter.device)
            started = time.perf_counter()
            for _ in range(CALLS):
                call()
            wait_for(adapter.device)
            found.append((time.perf_counter() - started) / CALLS)
        return statistics.median(found)

    compiled = torch.compile(as_it_is, dynamic=True)

    def compile_for(x: Any) -> tuple[Callable[[], Any], float]:
        started = time.perf_counter()
        compiled(x)
        wait_for(adapter.device)
        return lambda: compiled(x), time.perf_counter() - started

    ways: dict[str, Callable[[Any], tuple[Callable[[], Any], float]]] = {
        "as it is": lambda x: (lambda: as_it_is(x), 0.0)
    }
    if adapter.device.type == "cuda":
        ways["graph"] = lambda x: _captured(as_it_is, x)
    ways["compiled"] = compile_for
    with torch.no_grad():
        for tokens in TOKENS:
            x = torch.randn(
                (tokens, adapter.shape.d_model), generator=torch.Generator().manual_seed(0)
            ).to(adapter.device, adapter.dtype)
            as_it_is(x)
            wanted, plain = as_it_is(x), 0.0
            for by, prepare in ways.items():
                about = {"shape": shape, "device": device, "dtype": dtype, "tokens": tokens,
                         "by": by}  # fmt: skip
                try:
                    call, took = prepare(x)
                except Exception as error:  # of a compiler that is not there, or of the driver
                    told = str(error).strip().splitlines() or [type(error).__name__]
                    yield about | {"failed": told[0][:200]}
                    continue
                each = seconds(call)
                plain = plain or each
                scale = wanted.abs().max().clamp(min=1)
                yield about | {
                    "seconds": each, "multiple": each / plain, "prepare_s": took,
                    "difference": float((call() - wanted).abs().max() / scale),
                }  # fmt: skip


def _captured(call: Callable[[Any], Any], x: Any) -> tuple[Callable[[], Any], float]:
    """A CUDA graph of one call, and the seconds that capturing it took."""
    import torch

    started = time.perf_counter()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        call(x)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = call(x)
    took = time.perf_counter() - started

    def replay() -> Any:
        graph.replay()
        return out

    return replay, took


def compare_compiled(
    shape: str,
    repeat: int,
    tell: Callable[[str], None],
    threads: int | None,
    device: str,
    dtype: str = "float32",
) -> list[dict[str, Any]]:
    """Every way at every number of tokens, in a process of its own, told line by line."""
    with tempfile.TemporaryDirectory() as scratch:
        rows = result_of(
            "benchmarks.compiled",
            {"shape": shape, "repeat": repeat, "threads": threads, "device": device,
             "dtype": dtype, "scratch": scratch},
            "compiled",
        )  # fmt: skip
    tell(f"{'shape':<8}{'device':<8}{'tokens':>7}  {'MLP by':<10}{'ms':>9}{'x':>7}{'prepare':>9}"
         f"{'difference':>12}")  # fmt: skip
    for r in rows:
        if "failed" in r:
            tell(f"{r['shape']:<8}{r['device']:<8}{r['tokens']:>7}  {r['by']:<10}{r['failed']}")
            continue
        tell(f"{r['shape']:<8}{r['device']:<8}{r['tokens']:>7}  {r['by']:<10}"
             f"{r['seconds'] * 1e3:>9.2f}{r['multiple']:>7.2f}{r['prepare_s']:>8.1f}s"
             f"{r['difference']:>12.1e}")  # fmt: skip
    return rows


if __name__ == "__main__":
    print(json.dumps(run_child(json.loads(sys.argv[1]))))
