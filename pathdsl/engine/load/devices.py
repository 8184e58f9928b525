"""Where a model runs: one device by name, or all of the machine's (`--device auto`).

With "auto" transformers and accelerate place whole layers, the first device filled first; what is
left over they would read from the disk at every call. A check calls each layer many times, so this
is refused (PD620) with the memory that is needed.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pathdsl.engine.load.source import ModelSource
from pathdsl.errors import EngineError

if TYPE_CHECKING:
    import torch

__all__ = [
    "AUTO",
    "check_device",
    "check_placed",
    "device_text",
    "make_deterministic",
    "no_placing",
    "opened",
]

AUTO = "auto"


def check_device(source: ModelSource, device: str) -> torch.device:
    """The device of that name, for "auto" the one that is filled first.

    Raises EngineError PD619 where this machine has none of that name, PD621 where "auto" lacks the
    package that places weights.
    """
    if device == AUTO:
        if find_spec("accelerate") is None:
            raise no_placing(source)
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return opened(device)
    except RuntimeError as error:
        raise EngineError(
            source.fault(
                "PD619",
                f"this machine has no usable device `{device}`",
                notes=(str(error),),
                advice="--device cpu",
            )
        ) from error


def opened(device: str) -> torch.device:
    """The device of that name, if tensors can be there; else RuntimeError with the reason."""
    import torch

    try:
        target = torch.device(device)
        if target.type == "meta":
            raise RuntimeError("weights on `meta` have no values")
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise RuntimeError(str(error).splitlines()[0]) from error
    return target


def make_deterministic(device: torch.device, threads: int | None = None) -> None:
    """Sets the whole process to deterministic algorithms, full products, and `threads`."""
    import torch

    if device.type == "cuda":
        # cuBLAS reads it when its handle is made; results differ between runs without it.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # As use_deterministic_algorithms(True), which also imports torch.compile: it takes a second.
    torch.set_deterministic_debug_mode("error")
    # No value is read before it is written; filling new memory with nan is for finding such faults.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    # Partial sums of a product of halves are added in float32, however it is split.
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cudnn.benchmark = False
    if threads is not None:
        torch.set_num_threads(threads)


def no_placing(source: ModelSource, reason: str = "") -> EngineError:
    """The exception that says which package `--device auto` lacks (PD621)."""
    return EngineError(
        source.fault(
            "PD621",
            "`--device auto` needs the package `accelerate`, which is not installed",
            notes=(reason.strip().splitlines()[0],) if reason.strip() else (),
            advice="pip install 'pathdsl[auto]'",
        )
    )


def check_placed(source: ModelSource, model: Any) -> None:
    """Raise EngineError PD620 where weights were left on the disk or the CPU beside a GPU."""
    left = [name for name, weight in model.named_parameters() if weight.device.type == "meta"]
    if not left:
        return
    weights = list(model.parameters())
    needed = sum(weight.numel() * weight.element_size() for weight in weights)
    missing = sum(w.numel() * w.element_size() for w in weights if w.device.type == "meta")
    raise EngineError(
        source.fault(
            "PD620",
            f"the devices of this machine do not hold `{source.location}` in {source.dtype}: its "
            f"weights take {_gigabytes(needed)}, and {_gigabytes(missing)} of them were left over",
            notes=(f"{len(left)} weights have no device, first `{left[0]}`",),
            advice="dtype: bfloat16",
        )
    )


def device_text(model: Any, device: torch.device) -> str:
    """The device of a loaded model by its name; where there are several, what each holds."""
    import torch

    placed = getattr(model, "hf_device_map", None) or {}
    devices = [torch.device(where) for where in placed.values()]
    if len(set(devices)) < 2:
        return _name(devices[0] if devices else device)
    runs = [
        (where, [part for part, _ in parts])
        for where, parts in groupby(zip(placed, devices, strict=True), key=lambda pair: pair[1])
    ]
    told = [
        f"{_name(where)} ({where}): {parts[0]}" + (f" to {parts[-1]}" if len(parts) > 1 else "")
        for where, parts in runs
    ]
    return "; ".join(told)


def _name(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
