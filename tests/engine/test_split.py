"""Models on several devices: every call runs where its layer is, and no number changes.

A machine for tests has one device, so devices are labels here: a tensor that was moved carries the
label of where it is, weights carry theirs, and an operation on two labels is an error, as it is on
two devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pathdsl.engine.adapters import Adapter, adapter_for, fuses
from pathdsl.engine.adapters.base import check_weights
from pathdsl.engine.adapters.split import Places, SplitAdapter, places_of
from pathdsl.errors import EngineError
from tests.engine import decoder_cases, family_cases
from tests.engine.engine_cases import REFERENCE, SPECS, TASK, adapter_of, all_runs, values

HOME = torch.device("cpu")
CASES = {
    **{name: family_cases.make for name in family_cases.EVERY},
    **{name: decoder_cases.make for name in decoder_cases.SMALL},
}


class Labelled(Tensor):
    """A tensor that knows which device it would be on."""

    place: torch.device

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Calls `func`; its results are where all its arguments were."""
        found = set(_labels((args, kwargs)))
        assert len(found) == 1, f"{func} of tensors on {sorted(map(str, found))}"
        with torch._C.DisableTorchFunctionSubclass():
            out = func(*args, **(kwargs or {}))
        return _relabelled(out, found.pop())


def label(value: Tensor, place: torch.device) -> Tensor:
    with torch._C.DisableTorchFunctionSubclass():
        out = value.detach().as_subclass(Labelled)
    out.place = place
    return out


def _labels(value: Any) -> Iterator[torch.device]:
    match value:
        case Labelled():
            yield value.place
        case list() | tuple():
            for part in value:
                yield from _labels(part)
        case dict():
            yield from _labels(list(value.values()))


def _relabelled(value: Any, place: torch.device) -> Any:
    match value:
        case Tensor():
            return label(value, place)
        case list() | tuple() if any(isinstance(part, Tensor) for part in value):
            return type(value)([_relabelled(part, place) for part in value])
        case _:
            return value


def labelled_twin(adapter: Adapter) -> tuple[SplitAdapter, set[str]]:
    """The adapter with each layer on a device of its own, and the devices that values went to."""
    inner = cast(Any, adapter)
    layers = tuple(torch.device("cuda", k) for k in range(adapter.shape.n_layers))
    last = layers[-1]
    places = Places(home=HOME, layers=layers, norm=last, output=HOME)
    visited: set[str] = set()

    def move(value: Tensor, place: torch.device) -> Tensor:
        visited.add(str(place))
        return label(value, place)

    for k, block in enumerate(inner.blocks):
        _label_weights(block, layers[k])
    if inner.final is not None:
        _label_weights(inner.final, last)
    return SplitAdapter(adapter, places, move), visited


def _label_weights(part: nn.Module, place: torch.device) -> None:
    for module in part.modules():
        for name, weight in list(module._parameters.items()):
            if weight is not None:
                module._parameters[name] = label(weight, place)  # type: ignore[assignment]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", sorted(CASES))
def test_the_parts_of_every_family(name: str, fused: bool) -> None:
    fused = fused and fuses(CASES[name](name).config.to_dict())
    ids, lengths = family_cases.some_ids(), torch.tensor([9, 5, 7])
    plain = adapter_for(CASES[name](name), fused=fused)
    whole, visited = labelled_twin(adapter_for(CASES[name](name), fused=fused))
    assert isinstance(whole, Adapter)
    with torch.no_grad():
        wanted = plain.decomposed_forward(ids, lengths)
        found = whole.decomposed_forward(ids, lengths)
        assert isinstance(found, Labelled) and found.place == HOME
        assert torch.equal(_bare(found), wanted)
        assert visited == {str(HOME), *map(str, whole.places.layers)}
        resid = plain.embed(ids)
        for layer in range(plain.shape.n_layers):
            if plain.shape.recurs(layer):  # which has no heads
                continue
            z = torch.randn(3, 9, plain.shape.n_heads, plain.shape.d_head)
            some = [plain.shape.n_heads - 1, 0]
            for call in ("write_each", "write"):
                one, two = (getattr(a, call)(layer, z[..., :2, :], some) for a in (plain, whole))
                assert torch.equal(one, _bare(two))
            assert torch.equal(plain.write_bias(layer), _bare(whole.write_bias(layer)))
            for slot in ("q", "k", "v"):
                one, two = (
                    a.project(layer, slot, resid, some, positions=torch.arange(9))
                    for a in (plain, whole)
                )
                assert torch.equal(one, _bare(two))


def _bare(value: Tensor) -> Tensor:
    assert isinstance(value, Labelled) and value.place == HOME
    with torch._C.DisableTorchFunctionSubclass():
        return value.as_subclass(Tensor)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("frozen", [False, True])
def test_plans(spec: Any, frozen: bool) -> None:
    runs = [REFERENCE, *all_runs(spec)]
    wanted = values(runs, frozen=frozen)
    twin, visited = labelled_twin(adapter_of.__wrapped__())
    found = values(runs, adapter=twin, frozen=frozen)  # type: ignore[arg-type]
    assert visited == {str(HOME), "cuda:0", "cuda:1"}
    assert all(np.array_equal(found[key], wanted[key]) for key in wanted)
    assert TASK.n_rows > 1


def test_values_on_two_devices_are_an_error() -> None:
    here, there = (label(torch.ones(2), torch.device("cuda", k)) for k in (0, 1))
    with pytest.raises(AssertionError, match=r"cuda:0.*cuda:1"):
        here + there
    with pytest.raises(AssertionError, match="cuda"):
        torch.cat([here, there])


def test_a_call_without_a_place_is_refused() -> None:
    class More(type(adapter_of())):  # type: ignore[misc]
        def sideways(self, resid: Tensor) -> Tensor:
            return resid

    more = More(decomposed_model())
    with pytest.raises(TypeError, match="sideways"):
        labelled_twin(more)


def decomposed_model() -> nn.Module:
    return adapter_of.__wrapped__().model  # one of its own: the labels stay on the weights


# ------------------------------------------------------------------------------- real placement


def test_one_device_stays_as_it_is() -> None:
    model = family_cases.make("llama")
    model.hf_device_map = {"": "cpu"}  # type: ignore[assignment]
    assert not isinstance(adapter_for(model), SplitAdapter)
    places = places_of(adapter_for(model), model)
    assert places == Places(home=HOME, layers=(HOME,) * len(places.layers), norm=HOME, output=HOME)


def test_several_devices_only_where_transformers_placed_them() -> None:
    model = family_cases.make("llama")
    model.model.layers[1].to("meta")  # type: ignore[union-attr, index]
    with pytest.raises(EngineError) as caught:
        check_weights(model)
    assert caught.value.diagnostics[0].code == "PD612"
    model.hf_device_map = {"": 0}  # type: ignore[assignment]
    with pytest.raises(EngineError) as caught:
        adapter_for(model)
    assert "not loaded" in caught.value.diagnostics[0].message


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("model.layers.1.mlp", "the weights of layer 1 are on `cpu`, `meta`"),
        ("model.embed_tokens", "the token embedding on `meta`"),
    ],
)
def test_a_part_on_two_devices_is_refused(part: str, said: str) -> None:
    model = family_cases.make("llama", tie_word_embeddings=False)
    adapter = adapter_for(model)
    if part == "model.embed_tokens":
        extra = nn.Linear(2, 2)
        model.add_module("extra", extra)
    model.get_submodule(part).to("meta")
    with pytest.raises(EngineError) as caught:
        places_of(adapter, model)
    assert said in caught.value.diagnostics[0].message
