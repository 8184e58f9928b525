"""A model whose weights stay in their files: a layer is read when it is used, and then dropped.

`transformers` builds the model and says which weight of the files is which of its own, by tensors
of one number each that stand for them. Behind every access to a weight of a module is then a
`Stream`, which maps the weights of one layer at a time: whoever asks for one of another layer
makes it let go of the last. So everything that is computed with a module, by an adapter or by the
model's own forward pass, is computed with its weights, whatever the order; plans go through the
layers in theirs.

A weight that has its dtype in the file is used where the file is mapped, at the address within its
page at which it is when the whole model is loaded: products with one row depend on that. Others are
converted, layer by layer. Weights outside of layers that are small stay; of token embeddings those
rows are read that are asked for, and a converted unembedding goes through its product in blocks of
columns. Experts that are saved one by one are put together, layer by layer.

The mapping of parameters that fetches on access is as in ZeRO-3 of DeepSpeed (Rajbhandari et al.
2020, arXiv:1910.02054; `runtime/zero/parameter_offload.py`).
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

from pathdsl.engine.heap import give_back, large_blocks_at_once
from pathdsl.engine.load.header import Stored, UnlikeFile, layer_of

__all__ = ["Stream", "Streamed", "built", "rows_of", "stream_of"]

KEPT_BYTES = 1_000_000
"""Bytes of a weight outside of layers that is kept once it is read, as norms are."""

LEAST_ROWS = 256
"""Rows of a converted unembedding that take part in a product together, at least."""

BLOCK_BYTES = 4_000_000
"""Bytes of a converted unembedding that take part in a product together."""

_KINDS = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
}  # fmt: skip


class Streamed(dict[str, Any]):
    """The parameters of one module, fetched by name.

    What goes over all of them (`items()`) finds tensors of the right shape, dtype and device that
    hold no weights: nan.
    """

    def __init__(self, own: Mapping[str, Any], stream: Stream) -> None:
        super().__init__(own)
        self.stream = stream
        self.instead: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Any:
        if name in self.instead:
            return self.instead[name]
        return self.stream.weight(super().__getitem__(name))

    def rows(self, name: str, ids: Tensor) -> Tensor:
        """Rows of a weight by number, (...) -> (..., columns)."""
        return self.stream.rows(super().__getitem__(name), ids)

    def stands_for(self, name: str) -> Tensor:
        """The tensor of nan that stands for a weight."""
        found: Tensor = super().__getitem__(name)
        return found


def rows_of(module: nn.Module, ids: Tensor) -> Tensor:
    """Rows of a module's weight by number, (...) -> (..., columns): of a streamed one only those
    are read."""
    own: Any = module._parameters
    if isinstance(own, Streamed):
        return own.rows("weight", ids)
    weight: Any = module.weight
    found: Tensor = weight[ids.to(weight.device)]
    return found


def stream_of(model: nn.Module) -> Stream | None:
    """What reads the weights of a model, None for one that holds them."""
    return next(
        (own.stream for part in model.modules() if isinstance(own := part._parameters, Streamed)),
        None,
    )


class Stream:
    """The weights of one model in their files: `reads` counts layers that were begun.

    `part`: the layer whose weights are at hand, or the name of a weight outside of layers.
    """

    def __init__(self, stored: Mapping[Tensor, Stored], device: torch.device) -> None:
        self.reads = 0
        self.part: int | str | None = None
        self.device = device
        self._stored = dict(stored)
        self._at_hand: dict[Tensor, Tensor] = {}
        self._open: dict[Path, Any] = {}
        self._kept: dict[Tensor, Tensor] = {}
        self._rooms = _Rooms()
        self._coming: _Coming | None = None
        self._layers: dict[int, list[Tensor]] = {}
        for of, one in self._stored.items():
            if (layer := layer_of(one.name)) is not None:
                self._layers.setdefault(layer, []).append(of)

    def weight(self, of: Tensor | None) -> Tensor | None:
        """The weight that a placeholder stands for."""
        if of is None or of not in self._stored:
            return of
        found = self._at_hand.get(of)
        if found is None:
            found = self._kept.get(of)
        return self._read(of) if found is None else found

    def rows(self, of: Tensor, ids: Tensor) -> Tensor:
        """Rows of a weight, in its dtype and where it belongs, (...) -> (..., columns)."""
        return self.in_file(of)[ids.cpu()].to(device=self.device, dtype=of.dtype)

    def block(self, of: Tensor, start: int, stop: int) -> Tensor:
        """Neighbouring rows of a weight outside of layers, as a part of their own."""
        stored = self._stored[of]
        if self.part != stored.name:
            self._enter(stored.name)
        with self._file(stored) as file:
            return self._as(of, file.get_slice(stored.name)[start:stop])

    def stored(self, of: Tensor) -> Stored:
        """Where a weight lies."""
        return self._stored[of]

    def converts(self, of: Tensor) -> bool:
        """Whether a weight has another dtype than in its file."""
        return _KINDS.get(self._stored[of].kind) != of.dtype

    def in_file(self, of: Tensor) -> Tensor:
        """A whole weight where its file is mapped, in the file's dtype."""
        stored = self._stored[of]
        if stored.pieces:
            found = torch.empty(stored.shape, dtype=_KINDS[stored.kind])
            self._put_together(stored, found)
            return found
        with self._file(stored) as file:
            found = file.get_tensor(stored.name)
        return found

    def drop(self) -> None:
        """Let go of what is at hand."""
        self._coming = None
        self._at_hand.clear()
        self._open.clear()
        self.part = None

    def _read(self, of: Tensor) -> Tensor:
        stored = self._stored[of]
        layer = layer_of(stored.name)
        if layer is None and of.numel() * of.element_size() <= KEPT_BYTES:
            self._kept[of] = self._as(of, self.in_file(of))
            return self._kept[of]
        part: int | str = stored.name if layer is None else layer
        if part != self.part:
            self._enter(part)
            if of in self._at_hand:  # it has been on its way
                return self._at_hand[of]
        if stored.pieces and self.device.type == "cpu":
            found = self._rooms.empty(of.shape, of.dtype)
            self._put_together(stored, found)
            found = found.requires_grad_(of.requires_grad)
        elif stored.pieces:
            found = self._as(of, self.in_file(of))
        else:
            found = self._as(of, self._opened(stored).get_tensor(stored.name))
        self._at_hand[of] = found
        return found

    def _put_together(self, stored: Stored, into: Tensor) -> None:
        """Write the pieces of a weight into it, in its dtype."""
        rows = into.view(-1, into.shape[-1])
        for piece in stored.pieces:
            count = piece.shape[0]
            rows[:count].copy_(self._opened(piece).get_tensor(piece.name))
            rows = rows[count:]

    def _opened(self, stored: Stored) -> Any:
        if stored.path not in self._open:
            self._open[stored.path] = self._file(stored)
        return self._open[stored.path]

    def _enter(self, part: int | str) -> None:
        coming = self._coming
        self.drop()
        self.part = part
        if not isinstance(part, int):
            return
        self.reads += 1
        then = (part + 1) % len(self._layers)  # behind the last layer another pass may begin
        if self.device.type == "cpu":
            for stored in map(self._stored.__getitem__, self._layers.get(then, ())):
                _will_need(stored)
            return
        if coming is not None and coming.layer == part:
            self._at_hand.update(coming.weights())
        if then != part:
            self._coming = _Coming(then, self._layers.get(then, ()), self._moved, self.device)

    def _moved(self, of: Tensor) -> Tensor:
        """A weight on its way to another device; what was begun before goes on there."""
        mapped = self.in_file(of)
        if torch.cuda.is_available():  # from pages that stay where they are, it is no wait
            mapped = mapped.pin_memory()
        value = mapped.to(device=self.device, non_blocking=True).to(of.dtype)
        return value.requires_grad_(of.requires_grad)

    def _as(self, of: Tensor, mapped: Tensor) -> Tensor:
        """A weight of the file in the dtype and where it belongs; the file's own where it may be.

        That it wants gradients decides how products are formed, whether any are taken or not.
        """
        if self.device.type == "cpu" and mapped.dtype != of.dtype:
            value = self._rooms.empty(mapped.shape, of.dtype).copy_(mapped)
        else:
            value = mapped.to(device=self.device, dtype=of.dtype)
        return value.requires_grad_(of.requires_grad)

    def _file(self, stored: Stored) -> Any:
        return safe_open(stored.path, framework="pt")


class _Rooms:
    """Memory for converted weights, taken again when nobody holds what was in it.

    Pages of their own: an allocator would keep what is given back, and a process that converts
    layer after layer would grow; new pages for each layer take as long as converting it.
    """

    def __init__(self) -> None:
        self._rooms: list[mmap.mmap] = []

    def empty(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """A tensor whose numbers are to be written."""
        count = shape.numel()
        size = max(count * dtype.itemsize, 1)
        room = next((r for r in self._rooms if len(r) == size and _is_free(r)), None)
        if room is None:
            self._rooms = [r for r in self._rooms if not _is_free(r)]
            private = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0)
            room = mmap.mmap(-1, size, **({"flags": private} if private else {}))
            self._rooms.append(room)
        return torch.frombuffer(room, dtype=dtype, count=count).view(shape)


def _is_free(room: mmap.mmap) -> bool:
    """Whether only a list holds it: a tensor keeps a reference as long as its storage, or a view of
    it, lives."""
    return sys.getrefcount(room) <= _OF_ONE_IN_A_LIST


_OF_ONE_IN_A_LIST = 1 << 30
_OF_ONE_IN_A_LIST = max(sys.getrefcount(room) + 1 for room in [mmap.mmap(-1, 1)])


class _Coming:
    """A layer that is moved to another device while the one before it computes there."""

    def __init__(
        self,
        layer: int,
        of: Sequence[Tensor],
        move: Callable[[Tensor], Tensor],
        device: torch.device,
    ) -> None:
        self.layer = layer
        self._device = device
        self._side = torch.cuda.Stream(device) if torch.cuda.is_available() else None
        with torch.cuda.stream(self._side):
            self._weights = {one: move(one) for one in of}

    def weights(self) -> dict[Tensor, Tensor]:
        """The weights, from when what computes with them may begin."""
        if self._side is not None:
            now = torch.cuda.current_stream(self._device)
            now.wait_stream(self._side)
            for weight in self._weights.values():
                weight.record_stream(now)
        return self._weights


def _will_need(stored: Stored) -> None:
    """Tell the system that a part of a file is read soon, where systems can be told."""
    if not hasattr(os, "posix_fadvise"):
        return
    for piece in stored.pieces:
        _will_need(piece)
    if stored.pieces:
        return
    number = os.open(stored.path, os.O_RDONLY)
    try:
        size = stored.end - stored.begin
        os.posix_fadvise(number, stored.begin, size, os.POSIX_FADV_WILLNEED)
    finally:
        os.close(number)


# ------------------------------------------------------------------------------- building


def built(
    auto: Any,
    config: Any,
    stored: Mapping[str, Stored],
    dtype: torch.dtype,
    device: torch.device,
    **options: Any,
) -> tuple[Any, Mapping[str, Any]]:
    """A model of a config whose weights stay in their files, and what `transformers` reports.

    Args:
        auto: the class of `transformers` that makes models of such configs.
        stored: the weights of its files by name.
        options: what `from_pretrained` takes besides.

    Raises UnlikeFile where a weight is not in the files as the model has it; and what
    `from_pretrained` raises.
    """
    large_blocks_at_once()
    give_back()
    with torch.device("meta"):
        kind: Any = type(auto.from_config(config))
    state, known = _standing(stored, dtype, device)
    # transformers says what is missing, left over, of another shape, tied; and makes the buffers.
    model, report = kind.from_pretrained(
        None, config=config, state_dict=state, dtype=dtype, output_loading_info=True, **options
    )
    if any(report.get(kind) for kind in ("missing_keys", "mismatched_keys", "error_msgs")):
        return model, report
    _buffers(model, known, device)
    _install(model, known, stored, device)
    return model, report


def _standing(
    stored: Mapping[str, Stored], dtype: torch.dtype, device: torch.device
) -> tuple[dict[str, Tensor], dict[int, Stored]]:
    """A tensor in place of each weight, as large as one number, and the weight by its address."""
    same = _same_content([one for one in stored.values() if layer_of(one.name) is None])
    state: dict[str, Tensor] = {}
    known: dict[int, Stored] = {}
    for name, one in stored.items():
        floating = one.kind in _KINDS
        # transformers ties two weights that should be where it finds them equal; nan never is.
        fill = (float("inf") if name in same else float("nan")) if floating else 0
        number = torch.full((1,), fill, dtype=dtype if floating else torch.int64)
        state[name] = number.expand(one.shape)
        known[number.data_ptr()] = one
    return state, known


def _same_content(stored: Sequence[Stored]) -> set[str]:
    """Names of weights that another one of the same shape is equal to."""
    found: set[str] = set()
    for place, one in enumerate(stored):
        for other in stored[place + 1 :]:
            if (one.shape, one.kind) == (other.shape, other.kind) and _equal(one, other):
                found |= {one.name, other.name}
    return found


def _equal(one: Stored, other: Stored) -> bool:
    with safe_open(one.path, framework="pt") as first, safe_open(other.path, "pt") as second:
        return torch.equal(first.get_tensor(one.name), second.get_tensor(other.name))


def _buffers(model: Any, known: Mapping[int, Stored], device: torch.device) -> None:
    """Buffers that the files hold are read; all of them go where the model belongs."""
    for part in model.modules():
        for name, buffer in part._buffers.items():
            if buffer is None:
                continue
            stored = known.get(buffer.data_ptr()) if buffer.numel() else None
            if stored is not None:
                with safe_open(stored.path, framework="pt") as file:
                    buffer = file.get_tensor(stored.name).to(buffer.dtype).clone()
            part._buffers[name] = buffer.to(device)


def _install(
    model: Any, known: Mapping[int, Stored], stored: Mapping[str, Stored], device: torch.device
) -> None:
    """Put a `Stream` behind every weight of a model."""
    found: dict[Tensor, Stored] = {}
    moved: dict[Tensor, Tensor] = {}
    names = dict(model.named_parameters())
    for name, parameter in names.items():
        own = known.get(parameter.data_ptr())
        if own is None:  # transformers pads the bias of a tied unembedding, to the length it has
            own = stored.get(name) if parameter.dim() == 1 else None
        if own is None or own.shape != tuple(parameter.shape):
            raise UnlikeFile(name)
        here: Tensor = parameter
        if device.type != "cpu":
            one = torch.full((1,), float("nan"), dtype=parameter.dtype, device=device)
            here = one.expand(own.shape).requires_grad_(parameter.requires_grad)
        moved[parameter], found[here] = here, own
    stream = Stream(found, device)
    for part in model.modules():
        if part._parameters:
            own_weights = {n: p if p is None else moved[p] for n, p in part._parameters.items()}
            part._parameters = Streamed(own_weights, stream)
            _by_parts(part)


def _by_parts(part: nn.Module) -> None:
    """Embeddings read the rows that they are asked for, converted unembeddings go in blocks."""
    own: Any = part._parameters
    weight = own.stands_for("weight") if "weight" in own else None
    if weight is None or weight.numel() * weight.element_size() <= KEPT_BYTES:
        return
    scaled = type(part).__name__.endswith("ScaledWordEmbedding")  # rows, and then a factor
    if type(part) is nn.Embedding or (isinstance(part, nn.Embedding) and scaled):
        part.forward = _looked_up(part, own)  # type: ignore[method-assign, assignment]
    elif type(part) is nn.Linear and _converted_outside(own, weight):
        part.forward = _in_blocks(part, own, weight)  # type: ignore[method-assign, assignment]


def _converted_outside(own: Streamed, weight: Tensor) -> bool:
    stream = own.stream
    outside = layer_of(stream.stored(weight).name) is None
    return outside and stream.converts(weight) and stream.device.type == "cpu"


def _looked_up(part: Any, own: Streamed) -> Callable[[Tensor], Tensor]:
    """The forward pass of an embedding, of the rows that its tokens name."""

    def forward(ids: Tensor) -> Tensor:
        chosen, places = ids.cpu().unique(return_inverse=True)
        padding, part.padding_idx = part.padding_idx, None  # which row that was: for gradients only
        own.instead["weight"] = own.rows("weight", chosen)
        try:
            found: Tensor = type(part).forward(part, places.to(own.stream.device))
        finally:
            del own.instead["weight"]
            part.padding_idx = padding
        return found

    return forward


def _in_blocks(part: Any, own: Streamed, weight: Tensor) -> Callable[[Tensor], Tensor]:
    """The forward pass of an unembedding, block after block of its columns."""
    step = BLOCK_BYTES // (weight.shape[1] * weight.element_size())
    step = max(step - step % 256, LEAST_ROWS)

    def forward(x: Tensor) -> Tensor:
        bias, n_out = part.bias, weight.shape[0]
        out = x.new_empty((*x.shape[:-1], n_out))
        for start in range(0, n_out, step):
            stop = min(start + step, n_out)
            block = own.stream.block(weight, start, stop)
            out[..., start:stop] = functional.linear(
                x, block, None if bias is None else bias[start:stop]
            )
        return out

    return forward
