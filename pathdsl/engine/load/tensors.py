"""Files of tensors, as `torch.save` writes them: read as numbers, and nothing in them is run.

An archive is looked at before torch sees it: members that are packed, or more than the limit when
unpacked, are refused. Then `torch.load(weights_only=True)` makes tensors of it, and of those only
what is stored in full is taken: a tensor that repeats one number by its strides could stand for
more numbers than any memory holds.

    read_tensors(Path("graph.pt").read_bytes())       # {"edges_in_graph": Array(…), …}
"""

from __future__ import annotations

import warnings
import zipfile
from io import BytesIO

from pathdsl.graph.formats.circuit import Array, UnusableFile
from pathdsl.graph.formats.content import refuse_archive
from pathdsl.limits import TENSOR_BYTES, TENSOR_NUMBERS

__all__ = ["read_tensors", "save_tensors"]


def read_tensors(data: bytes) -> object:
    """What an archive holds, tensors as `Array`s, everything else as plain values.

    A dict whose keys are tuples is a list of pairs.

    Raises UnusableFile: PD447 for a damaged or dangerous archive, PD442 for one that holds objects.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            members = archive.infolist()
            packed = [one for one in members if one.compress_type != zipfile.ZIP_STORED]
            size = sum(one.file_size for one in members)
            names = [one.filename for one in members]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UnusableFile(
            f"its archive is damaged or cut off: {str(error).lower()}", code="PD447",
            advice="copy the file again, and compare the sizes",
        ) from None  # fmt: skip
    if packed or size > TENSOR_BYTES.most or len(members) > 100_000:
        raise UnusableFile(
            f"its archive unpacks to {size:,} bytes; `torch.save` packs nothing, and at most "
            f"{TENSOR_BYTES.most:,} are read",
            code="PD447", advice="save it again with `torch.save`",
        )  # fmt: skip
    if not any(name.endswith("data.pkl") for name in names):
        raise UnusableFile("it is an archive, and not one of `torch.save`", code="PD447")
    import pickle

    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        try:
            refuse_archive(data)
        except (zipfile.BadZipFile, OSError) as error:
            raise UnusableFile(f"it cannot be read: {error}", code="PD447") from None
        raise UnusableFile("it holds objects beside tensors", code="PD442") from None
    except Exception as error:  # torch has no type of its own for a file that is damaged
        why = str(error).strip().splitlines()[0:1] or [type(error).__name__]
        raise UnusableFile(f"its tensors cannot be read: {why[0][:200]}", code="PD447") from None
    left = [TENSOR_NUMBERS.most]
    return _plain(found, left, 0)


def _plain(value: object, left: list[int], depth: int) -> object:
    import torch

    if depth > 20:
        raise UnusableFile("it is nested too deep", code="PD447")
    if isinstance(value, dict) and any(isinstance(key, tuple) for key in value):
        return _plain(list(value.items()), left, depth)
    if isinstance(value, dict):
        return {str(key): _plain(one, left, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        left[0] -= len(value)
        if left[0] < 0:
            raise _too_many()
        return [_plain(one, left, depth + 1) for one in value]
    if isinstance(value, torch.Tensor):
        plain = value.layout is torch.strided and value.device.type == "cpu"
        if not plain or value.is_complex() or value.is_quantized:
            raise UnusableFile(f"it holds a tensor of {value.dtype}, wanted numbers", code="PD447")
        left[0] -= value.numel()
        stored = value.untyped_storage().nbytes() // max(1, value.element_size())
        if left[0] < 0 or value.numel() > max(stored, 1):
            raise _too_many()
        truth = value.dtype is torch.bool
        exact = value.detach().contiguous()
        exact = exact if truth else exact.to(torch.float64)
        return Array(shape=tuple(value.shape), values=exact.reshape(-1).tolist(), truth=truth)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise UnusableFile(f"it holds a {type(value).__name__} beside tensors", code="PD447")


def _too_many() -> UnusableFile:
    return UnusableFile(
        f"it stands for more than the {TENSOR_NUMBERS.most:,} numbers that are read at most, or "
        "for more than it holds", code="PD447",
    )  # fmt: skip


def save_tensors(content: dict[str, object]) -> bytes:
    """What `torch.load(weights_only=True)` reads: `Array`s as tensors, float32 and bool."""
    import torch

    def tensor(value: object) -> object:
        if not isinstance(value, Array):
            return value
        dtype = torch.bool if value.truth else torch.float32
        return torch.tensor(value.values, dtype=dtype).reshape(value.shape)

    out = BytesIO()
    torch.save({key: tensor(value) for key, value in content.items()}, out)
    return out.getvalue()
