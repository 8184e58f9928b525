"""What torch says of this machine, known without importing it where it was asked before.

Keys of the result store hold the number of threads and the instruction set by which torch computes.
A check whose values are all stored reads both from the store, under the versions, the processor and
the environment that decide them. Only a process that imports torch here writes them down: any other
may have set its threads before.
"""

from __future__ import annotations

import json
import os
import sys

from pathdsl.engine.store.digest import digest, processor, program_text, versions
from pathdsl.engine.store.store import Store
from pathdsl.record import record

__all__ = ["Machine", "machine_of", "set_threads", "settle", "threads_now"]

_DECIDE = ("OMP_", "MKL_", "KMP_", "GOMP_", "ATEN_", "ONEDNN_", "DNNL_", "TORCH_", "OPENBLAS_")


@record
class Machine:
    """The threads that torch starts with, and the CPU as it computes on it."""

    threads: int
    cpu: str


_wanted: list[int] = []  # threads to be set when torch is imported


def machine_of(store: Store) -> Machine:
    """The machine, from the store or by importing torch, which then is kept there."""
    key = _key()
    text = store.record(key)
    known = _read(text) if text is not None else None
    if known is not None:
        return known
    if text is not None:
        store.reject([key])
    ours = "torch" not in sys.modules
    import torch

    found = Machine(
        threads=torch.get_num_threads(), cpu=f"cpu {torch.backends.cpu.get_cpu_capability()}"
    )
    if ours:
        store.add_record(key, json.dumps({"threads": found.threads, "cpu": found.cpu}))
    return found


def threads_now(machine: Machine) -> int:
    """The threads of this process, as torch has them or will have them."""
    if (torch := sys.modules.get("torch")) is not None:
        settle()
        return int(torch.get_num_threads())
    return _wanted[-1] if _wanted else machine.threads


def set_threads(count: int) -> None:
    """Have torch compute with so many threads, when it is imported."""
    _wanted[:] = [count]
    if "torch" in sys.modules:
        settle()


def settle() -> None:
    """Set what was asked for before torch was imported."""
    if _wanted:
        import torch

        torch.set_num_threads(_wanted.pop())


def _key() -> str:
    """What decides how torch starts on this machine."""
    chosen = {
        name: value for name, value in os.environ.items() if name.startswith(_DECIDE)
    }  # fmt: skip
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    return digest(
        "machine", program_text(), versions(), processor(), chosen, os.cpu_count() or 0, free
    )


def _read(text: str) -> Machine | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or {*found} != {"threads", "cpu"}:
        return None
    threads, cpu = found["threads"], found["cpu"]
    if type(threads) is not int or threads < 1 or not isinstance(cpu, str):
        return None
    return Machine(threads=threads, cpu=cpu)
