"""Vectors of safetensors files, as `vector("v.safetensors", key: "d")` names them.

Only this format is read, whose values are plain numbers behind a header of JSON
(github.com/huggingface/safetensors, "Format"): no file of it can run code.
"""

from __future__ import annotations

import struct
from pathlib import Path

from pathdsl.reading import read_file
from pathdsl.strictjson import JsonFault, read_json

__all__ = ["UnusableVector", "read_vector"]

MAX_BYTES = 256 << 20
MAX_HEADER = 1 << 20
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class UnusableVector(ValueError):
    """Why a vector is refused."""


def read_vector(path: Path, key: str, width: int) -> tuple[float, ...]:
    """The numbers of one tensor of a file, which must be a vector of that width.

    Raises OSError where the file cannot be read, UnusableVector for everything else.
    """
    if path.suffix.lower() != ".safetensors":
        raise UnusableVector("only safetensors files are read; others could run code")
    data = read_file(path, MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UnusableVector(f"the file has more than the {MAX_BYTES:,} bytes that are read")
    if len(data) < 8 or (size := struct.unpack("<Q", data[:8])[0]) > min(MAX_HEADER, len(data) - 8):
        raise UnusableVector("this is no safetensors file, its header is cut off or too long")
    try:
        header = read_json(data[8 : 8 + size])
    except JsonFault as fault:
        raise UnusableVector(f"its header cannot be read: {fault}") from fault
    names = [name for name in header if name != "__metadata__"] if isinstance(header, dict) else []
    if key not in names:
        known = ", ".join(f"`{name}`" for name in names[:6]) or "nothing"
        raise UnusableVector(f"it has no tensor `{key}`; it has {known}")
    entry = header[key]
    if not isinstance(entry, dict):
        raise UnusableVector(f"its entry `{key}` cannot be read")
    dtype, shape, offsets = (entry.get(name) for name in ("dtype", "shape", "data_offsets"))
    if shape != [width]:
        raise UnusableVector(f"`{key}` has the shape {shape}, wanted [{width}], the stream's width")
    if dtype not in _TYPES:
        raise UnusableVector(f"`{key}` has the dtype {dtype}, wanted one of {', '.join(_TYPES)}")
    import numpy as np  # most files name no vector, and `lint` does without

    kind = np.dtype(_TYPES[dtype])
    begin = offsets[0] if isinstance(offsets, list) and len(offsets) == 2 else -1
    body = data[8 + size :]
    if not isinstance(begin, int) or begin < 0 or begin + width * kind.itemsize > len(body):
        raise UnusableVector(f"the numbers of `{key}` lie outside of the file")
    found = np.frombuffer(body, kind, width, begin)
    if dtype == "BF16":
        found = (found.astype(np.uint32) << 16).view(np.float32)
    numbers = found.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise UnusableVector(f"`{key}` holds numbers that are not finite")
    return tuple(float(number) for number in numbers)
