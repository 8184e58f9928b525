"""What a file of weights says at its beginning: where each weight lies. Needs no torch.

A safetensors file begins with eight bytes, the length of a JSON object that follows: names to
dtype, shape and the two ends of each weight, counted from behind the object. (The format is that of
https://github.com/huggingface/safetensors, README, Format.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from pathdsl.engine.load.language_part import language_name
from pathdsl.engine.load.source import ModelSource
from pathdsl.errors import EngineError
from pathdsl.strictjson import JsonFault, read_json

__all__ = ["Stored", "UnlikeFile", "layer_of", "stored_weights"]

MOST_BYTES = 100_000_000
"""Bytes of a header; the library reads no longer one."""

_NUMBER = re.compile(r"(?:^|\.)(\d+)\.")


class UnlikeFile(Exception):
    """A weight of the model is not in its files as it is: `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One weight in a file: `begin` and `end` are bytes of the file, `kind` is its dtype there.

    `pieces`: of a weight that lies there in several, which are one behind the other in it.
    """

    path: Path
    name: str
    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int
    pieces: tuple[Stored, ...] = ()

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


def layer_of(name: str) -> int | None:
    """The layer of a weight by its name, None for one outside of layers.

    Layers are the outermost list of modules in every family: `model.layers.3.mlp.up_proj.weight`.
    """
    found = _NUMBER.search(name)
    return int(found[1]) if found else None


def stored_weights(
    source: ModelSource, files: Iterable[Path], *, part: bool = False
) -> dict[str, Stored]:
    """Every weight of a model's files by its name; raises EngineError PD609 for a damaged file.

    `part`: of the part for text alone, by the names that they have in it.
    """
    found = {one.name: one for path in files for one in _in_file(source, path)}
    if not part:
        return found
    return {own: one for name, one in found.items() if (own := language_name(name))}


def _in_file(source: ModelSource, path: Path) -> list[Stored]:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= MOST_BYTES:
                raise ValueError(f"its header has {length:,} bytes")
            header: Mapping[str, object] = read_json(file.read(length))
        return [
            _stored(path, name, found, 8 + length)
            for name, found in header.items()
            if name != "__metadata__"
        ]
    except (OSError, JsonFault, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(
            source.fault(
                "PD609",
                f"`{path}` is damaged or incomplete",
                notes=(str(error).splitlines()[0],) if str(error) else (),
                advice="copy or download it again",
            )
        ) from error


def _stored(path: Path, name: str, found: object, behind: int) -> Stored:
    if not isinstance(found, dict):
        raise ValueError(f"`{name}` is no object")
    begin, end = found["data_offsets"]
    return Stored(
        path=path, name=name, kind=str(found["dtype"]), shape=tuple(map(int, found["shape"])),
        begin=behind + int(begin), end=behind + int(end),
    )  # fmt: skip
