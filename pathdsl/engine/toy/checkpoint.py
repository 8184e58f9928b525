"""Reads a checkpoint of somebody's training: its tensors by name, and nothing in it is run.

`torch.load(weights_only=True)` makes tensors of an archive and refuses everything else; tensors on
devices that are not here come to the CPU. A file of safetensors is read as such. What a training
script saves beside the weights (an optimiser, an epoch) is left out and named.

    read_checkpoint(Path("attn-only-2l_final.pth")).tensors["embed.W_E"].shape
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathdsl.errors import Diagnostic, EngineError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Checkpoint", "checkpoint_in", "read_checkpoint", "refused"]

_ENDS = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")
_WRAPPED = ("_orig_mod.", "module.")  # what torch.compile and data parallelism put before names
_NUMBERED = r"(?:step|epoch|ckpt|checkpoint|iter)[_-]?(\d+)$"
_COUNTS = ("step", "steps", "epoch", "iteration", "iter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """`tensors` by name, in full and on the CPU; `left` what the file holds beside them.

    `number`: which one of a training run it is, None where neither name nor content says so.
    `inner`: under which name of the file the weights stand, "" for the file itself.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    left: tuple[str, ...]
    number: int | None
    inner: str


def refused(
    code: str, message: str, *, notes: tuple[str, ...] = (), advice: str = ""
) -> EngineError:
    """The exception that says why a checkpoint cannot be converted."""
    return EngineError(Diagnostic(code=code, message=message, notes=notes, help=advice))


def checkpoint_in(path: Path) -> Path:
    """The file of weights that a path means: itself, or the last one of a folder.

    Raises EngineError PD670 where there is none, or several and none is called `…final`.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise refused("PD670", f"there is no `{path}`", advice="name a file of weights")
    found = sorted(one for one in path.iterdir() if one.is_file() and one.suffix in _ENDS)
    final = [one for one in found if one.stem.endswith("final")]
    chosen = final or found
    if len(chosen) == 1:
        return chosen[0]
    inside = sorted((path / "checkpoints").glob("*.pth"))
    some = [one.relative_to(path).as_posix() for one in [*chosen, *inside]]
    more = f" and {len(some) - 5} more" if len(some) > 5 else ""
    raise refused(
        "PD670",
        f"`{path}` has {len(chosen) or 'no'} files of weights"
        + (", and none is the last one by its name" if len(chosen) > 1 else ""),
        notes=(f"there are {', '.join(f'`{one}`' for one in some[:5])}{more}",) if some else (),
        advice=f"pathdsl convert {path.name}/{some[0]} FOLDER" if some else "",
    )


def read_checkpoint(path: Path) -> Checkpoint:
    """The weights of a file; raises EngineError PD670 for what holds none, or more than tensors."""
    found: Any
    if path.suffix == ".safetensors":
        found = _safetensors(path)
    else:
        found = _pickled(path)
    inner, state, left, number = _state(path, found)
    for prefix in _WRAPPED:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): one for name, one in state.items()}
    in_series = path.parent.name == "checkpoints"
    if by_name := re.search(r"(\d+)$" if in_series else _NUMBERED, path.stem):
        number = int(by_name.group(1))
    tensors = {name: _plain(path, name, one) for name, one in state.items()}
    return Checkpoint(path=path, tensors=tensors, left=left, number=number, inner=inner)


def _safetensors(path: Path) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, str(error)) from error


def _pickled(path: Path) -> Any:
    import pickle
    import warnings

    import torch

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if any(one.compress_type != zipfile.ZIP_STORED for one in archive.infolist()):
                    raise _damaged(path, "its archive is packed, which `torch.save` never does")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named is None and not re.search(r"[Uu]nsupported (class|global)", str(error)):
            raise _damaged(path, "") from error
        raise refused(
            "PD670",
            f"`{path}` holds more than tensors"
            + (f": `{named.group(1)}`" if named is not None else ""),
            notes=("a pickle runs code when its objects are made, so that none is",),
            advice='where it was made: torch.save(model.state_dict(), "weights.pth")',
        ) from error
    except EngineError:
        raise
    except Exception as error:  # torch has no type of its own for a file that is damaged
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> EngineError:
    lines = why.strip().splitlines()[:1]
    return refused(
        "PD670",
        f"`{path}` cannot be read as a file of weights",
        notes=tuple(line[:200] for line in lines),
        advice="copy or download it again",
    )


def _state(path: Path, found: Any) -> tuple[str, dict[str, Any], tuple[str, ...], int | None]:
    """The name under which weights stand, they, what else there is, and a count of steps."""
    import torch

    def weights(value: Any) -> bool:
        return isinstance(value, Mapping) and bool(value) and all(
            isinstance(name, str) and isinstance(one, torch.Tensor) for name, one in value.items()
        )  # fmt: skip

    if weights(found):
        return "", dict(found), (), None
    if not isinstance(found, Mapping):
        raise refused("PD670", f"`{path}` holds a {type(found).__name__}, and no weights by name")
    inner = [str(name) for name, value in found.items() if weights(value)]
    listed = ", ".join(f"`{name}`" for name in list(map(str, found))[:8])
    if len(inner) != 1:
        raise refused(
            "PD670",
            f"`{path}` holds {'several' if inner else 'no'} sets of weights by name",
            notes=(f"it holds {listed}",),
            advice='torch.save(saved["NAME"], "weights.pth")',
        )
    counts = [
        value for name, value in found.items()
        if name in _COUNTS and isinstance(value, int) and not isinstance(value, bool)
    ]  # fmt: skip
    left = tuple(str(name) for name in found if str(name) != inner[0])
    return inner[0], dict(found[inner[0]]), left, counts[0] if counts else None


def _plain(path: Path, name: str, value: Tensor) -> Tensor:
    """The tensor, stored in full; raises PD670 for one that stands for more than it holds."""
    import torch

    strided = value.layout is torch.strided and not value.is_complex() and not value.is_quantized
    held = value.untyped_storage().nbytes() // max(1, value.element_size()) if strided else 0
    if not strided or value.numel() > max(held, 1):
        raise refused("PD670", f"`{name}` of `{path}` is no plain tensor of numbers")
    return value.detach().contiguous()
