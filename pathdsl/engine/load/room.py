"""How weights and values share a stated memory: who is held, and what is left. Needs no torch.

Decided by the statement and the sizes in the weight files alone, never by what is free: how many
rows share a batch follows from it, and the last bits of values from that.
"""

from __future__ import annotations

from dataclasses import dataclass

from pathdsl.engine.load.devices import AUTO
from pathdsl.engine.load.experts import of_one_expert, with_joined
from pathdsl.engine.load.header import layer_of, stored_weights
from pathdsl.engine.load.language_part import PART
from pathdsl.engine.load.source import ModelSource, config_of
from pathdsl.engine.load.weights import weight_files
from pathdsl.errors import EngineError
from pathdsl.plan.liveness import DEFAULT_MEMORY

__all__ = ["SMALL_WEIGHTS", "Room", "least_stated", "room_of", "sized"]

SMALL_WEIGHTS = 64_000_000
"""Bytes of weights that are always held, and not counted: the program takes four times as much."""

_SIZES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a model may take: `values` bytes for the values of one batch.

    `streamed`: its weights are read a layer at a time, and `layer` bytes are kept for them.
    """

    values: int = DEFAULT_MEMORY
    streamed: bool = False
    weights: int = 0
    layer: int = 0


def room_of(source: ModelSource, memory: int | None, device: str = "cpu") -> Room:
    """The room of a model under a stated memory; None: weights are held beside 256 MB of values.

    Weights that take at most half of it are held, and values get what is left. Larger ones are
    read a layer at a time, and values get what one layer leaves; on another device than the
    processor's two layers, since the next one is moved there meanwhile.

    Raises EngineError PD620 where one layer does not fit, or where the weights do not lie in their
    files as the model has them, PD609 for damaged files. Without files it is all for values.
    """
    if memory is None:
        return Room()
    try:
        files = weight_files(source)
    except EngineError:  # what is wrong is told when they are loaded; a plan needs none
        return Room(values=memory)
    part = PART in (config_of(source) or {})
    stored = with_joined(stored_weights(source, files, part=part))
    size = _SIZES.get(source.dtype, 4)
    layers: dict[int, int] = {}
    for one in stored.values():
        if (layer := layer_of(one.name)) is not None:
            layers[layer] = layers.get(layer, 0) + one.numbers * size
    weights = sum(one.numbers for one in stored.values()) * size
    if weights <= SMALL_WEIGHTS or device == AUTO:
        return Room(values=memory, weights=weights)
    if 2 * weights <= memory:
        return Room(values=memory - weights, weights=weights)
    if any(map(of_one_expert, stored)):
        raise EngineError(
            source.fault(
                "PD620",
                f"the weights of `{source.location}` take {sized(weights)}, more than half of the "
                f"{sized(memory)} that are stated, and its experts are not read a layer at a time",
                notes=("the matrices of some layer's experts are not all there, or not alike",),
                advice=f"--memory {sized(2 * weights, up=True)}",
            )
        )
    layer = max(layers.values(), default=weights) * (1 if device == "cpu" else 2)
    if layer > memory:
        raise EngineError(
            source.fault(
                "PD620",
                f"{'a layer' if device == 'cpu' else 'two layers'} of `{source.location}` "
                f"{'takes' if device == 'cpu' else 'take'} {sized(layer)} in {source.dtype}, and "
                f"{sized(memory)} are stated for weights and values",
                advice=f"--memory {sized(2 * layer, up=True)}",
            )
        )
    return Room(values=memory - layer, streamed=True, weights=weights, layer=layer)


def least_stated(room: Room, memory: int, values: int) -> int:
    """The least statement above `memory` under which values get so many bytes; `room` is what
    `memory` makes of a model."""
    if room.values == memory:
        return values
    if room.streamed and room.layer + values < 2 * room.weights:
        return room.layer + values
    return room.weights + max(room.weights, values)


def sized(count: int, *, up: bool = False) -> str:
    """Bytes as `--memory` takes them, rounded up where that is asked for."""
    sizes = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"), (1, "B"))
    unit, name = next((size, name) for size, name in sizes if count >= size or size == 1)
    tenths = -(-count * 10 // unit) if up else round(count * 10 / unit)
    return f"{tenths / 10:g}{name}"
