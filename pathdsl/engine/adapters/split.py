"""An adapter over a model whose layers are on several devices (`--device auto`).

Each call runs where the weights that it uses are: its inputs are moved there, what it returns is
moved back to one device, the home, where the embedding is and where the executor keeps its values.
So the executor knows one device, and an adapter's own code sees the inputs and weights of one call
together, as on one device. Moving changes no number.

    adapter = split(adapter_for_one_device, model)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, cast

import torch
from torch import Tensor, nn

from pathdsl.engine.adapters.base import Adapter, refuse
from pathdsl.engine.adapters.norms import Given, Noted

__all__ = ["Places", "SplitAdapter", "places_of", "split"]

Move = Callable[[Tensor, torch.device], Tensor]

_AT_THE_NORM = ("final_norm", "final_norm_part")
_AT_THE_OUTPUT = ("unembed", "unembed_columns", "unembed_part")
# These see the whole model, whose own hooks move values; or only what they are given.
_ANYWHERE = (
    "embed",
    "noised",
    "embedding_std",
    "plain_forward",
    "final_stream",
    "softmax",
    "mix",
    "scaling",
    "parameters",
)
_BY_PARTS = "decomposed_forward"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The device of every part: `home` has the embedding, `layers[k]` layer k."""

    home: torch.device
    layers: tuple[torch.device, ...]
    norm: torch.device
    output: torch.device


class SplitAdapter:
    """The parts of one model, each called where it is; see `pathdsl.engine.adapters.base.Adapter`.

    Every public call of the adapter inside whose first argument is a layer runs at that layer's
    device. Raises TypeError for a call of which it is not known where it belongs.
    """

    def __init__(self, inner: Adapter, places: Places, move: Move = Tensor.to) -> None:
        self.inner = inner
        self.places = places
        self.shape = inner.shape
        self.fused = inner.fused
        self.dtype, self.precision = inner.dtype, inner.precision
        self.device = self._device = places.home
        self.model = cast(Any, inner).model
        self._move = move
        for name, call in _calls(inner):
            setattr(self, name, self._placed(name, call))

    def _placed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, with its inputs moved to where it runs and its results moved home."""
        places = self.places
        if name == _BY_PARTS:  # the same composition, of this adapter's parts
            whole: Callable[..., Any] = getattr(type(self.inner), name).__get__(self)
            return whole
        parameters = list(inspect.signature(call).parameters)
        layered = parameters[:1] == ["layer"] and name not in _ANYWHERE

        @wraps(call)
        def placed(*args: Any, **kwargs: Any) -> Any:
            if layered:
                there = places.layers[args[0] if args else kwargs["layer"]]
            elif name in _AT_THE_NORM:
                there = places.norm
            elif name in _AT_THE_OUTPUT:
                there = places.output
            else:
                there = places.home
            found = call(*self._at(there, args), **self._at(there, kwargs))
            for noted in (part for part in (*args, *kwargs.values()) if isinstance(part, Noted)):
                noted.found = self._at(places.home, noted.found)
            return self._at(places.home, found)

        if not layered and name not in (*_AT_THE_NORM, *_AT_THE_OUTPUT, *_ANYWHERE):
            raise TypeError(f"`{name}` of {type(self.inner).__name__} has no known device")
        return placed

    def _at(self, device: torch.device, value: Any) -> Any:
        """Tensors of a value moved to a device, also in tuples and mappings; the rest as it is."""
        match value:
            case Tensor():
                return self._move(value, device)
            case tuple():
                return tuple(self._at(device, part) for part in value)
            case dict():
                return {key: self._at(device, part) for key, part in value.items()}
            case Given():
                return Given(scales=self._at(device, dict(value.scales)))
            case Noted():  # what the call noted before stays where it is; see `placed`
                return value
            case _:
                return value


def _calls(inner: Adapter) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, _ in inspect.getmembers(type(inner), callable):
        if not name.startswith("_"):
            yield name, getattr(inner, name)


def places_of(inner: Adapter, model: nn.Module) -> Places:
    """Where the parts of a model are; raises EngineError PD612 where one part is on two devices."""
    parts: Any = inner
    home = _only("the embedding", [cast(Any, model).get_input_embeddings()])
    layers = tuple(_only(f"layer {k}", [block]) for k, block in enumerate(parts.blocks))
    norms = [parts.final] if parts.final is not None else []
    head = parts.head
    after = [part for name, part in model.named_modules() if name.endswith(".project_out")]
    output = _only("the unembedding", [head, *after])
    norm = _only("the final norm", norms, output)
    counted = {id(p) for part in (*parts.blocks, *norms, head, *after) for p in part.parameters()}
    for name, parameter in model.named_parameters():
        if id(parameter) not in counted and parameter.device != home:
            raise refuse(
                "PD612",
                f"`{name}` is on `{parameter.device}` and the token embedding on `{home}`",
                advice="place both on one device in the `device_map`",
            )
    return Places(home=home, layers=layers, norm=norm, output=output)


def _only(what: str, parts: list[nn.Module], default: torch.device | None = None) -> torch.device:
    """The one device of the weights of some modules, `default` where they have none."""
    devices = {p.device for part in parts for p in part.parameters()}
    if not devices and default is not None:
        return default
    if len(devices) != 1:
        listed = ", ".join(sorted(f"`{device}`" for device in devices)) or "no device"
        raise refuse("PD612", f"the weights of {what} are on {listed}, wanted one device")
    return devices.pop()


def split(inner: Adapter, model: nn.Module) -> Adapter:
    """The adapter for a model on one device, made fit for the devices on which this model is."""
    places = places_of(inner, model)
    one = {places.home, places.norm, places.output, *places.layers} == {places.home}
    return inner if one else cast(Adapter, SplitAdapter(inner, places))
