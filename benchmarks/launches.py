"""How often a workload calls the device: kernels, copies and waits, by torch's profiler.

On CUDA kernels are counted as the driver is asked to launch them, and so are copies between host
and device and the calls that wait for the device; on the CPU, where nothing is launched, the
operators that call no other one stand for kernels. W0, one plain forward, is the measure: a
workload's kernels are given for each layer, and as a multiple of W0's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from .engine import Prepared, prepare_workload

__all__ = ["counted", "launches"]

LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch", "cudaMemsetAsync")
COPIES = ("cudaMemcpy",)
NOTHING = {
    f"aten::{name}"
    for name in (
        "as_strided", "view", "_unsafe_view", "reshape", "transpose", "t", "permute", "expand",
        "select", "slice", "narrow", "split", "split_with_sizes", "unbind", "unflatten", "flatten",
        "squeeze", "unsqueeze", "alias", "detach", "lift_fresh", "empty", "empty_like",
        "empty_strided", "new_empty", "resize_", "to", "contiguous", "result_type", "resolve_conj",
        "resolve_neg", "is_nonzero", "item", "_local_scalar_dense", "_reshape_alias",
        "tensor_split", "unsafe_split", "chunk", "size", "numpy_T", "expand_as", "view_as", "set_",
    )
}  # fmt: skip
"""Operators that only look at memory in another way, or take some."""
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


def counted(work: Callable[[], object], device: str) -> dict[str, int]:
    """Kernels, copies and waits of one call of `work`."""
    on_cuda = torch.device(device).type == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_cuda
    with profile(activities=activities) as profiler:
        work()
    events = profiler.events()
    if not on_cuda:
        aten = (e for e in events if e.name.startswith("aten::") and e.name not in NOTHING)
        return {"kernels": sum(not _calls(e) for e in aten), "copies": 0, "waits": 0}
    # Of the runtime, not of the device: each call is there once.
    of_runtime = Counter(event.name for event in events if event.name.startswith("cu"))

    def beginning(names: Iterable[str]) -> int:
        return sum(n for name, n in of_runtime.items() if name.startswith(tuple(names)))

    if not beginning(LAUNCHES):
        raise RuntimeError("the profiler saw no kernel: CUPTI is not there, or may not be used")
    return {
        "kernels": beginning(LAUNCHES), "copies": beginning(COPIES), "waits": beginning(WAITS),
    }  # fmt: skip


def _calls(event: Any) -> bool:
    """Whether an operator calls another one that does something."""
    children = (child.name for child in event.cpu_children)
    return any(name.startswith("aten::") and name not in NOTHING for name in children)


def launches(
    names: Sequence[str], shape: str, dtype: str, device: str, scratch: Path, rows: int
) -> Iterator[dict[str, Any]]:
    """A row for W0 and for each workload; what is counted was done once before."""
    ready: Prepared | None = None
    plain: dict[str, int] = {}
    for name in names:
        loaded = None if ready is None else ready.loaded
        ready = prepare_workload(
            name, shape, scratch, rows=rows, device=device, dtype=dtype, loaded=loaded
        )
        layers = ready.loaded.adapter.shape.n_layers
        about = {"shape": shape, "dtype": dtype, "rows": rows, "layers": layers}
        if not plain:
            ready.plain()
            plain = counted(ready.plain, device)
            yield {"workload": "W0", **about, "runs": 1, **plain, "multiple": 1.0}
        ready.work()
        found = counted(ready.work, device)
        runs = sum(len(plan.outputs) for plan in ready.last)
        multiple = found["kernels"] / max(plain["kernels"], 1)
        yield {"workload": name, **about, "runs": runs, **found, "multiple": multiple}
