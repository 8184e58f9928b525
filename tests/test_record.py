"""`@record` is a frozen dataclass with slots and keyword-only fields, to whoever uses it."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from typing import Any

import pytest

from pathdsl.record import record


@record
class Base:
    """A base with one field."""

    span: int = field(compare=False, repr=False, default=0)


@record
class Part(Base):
    """Two more fields."""

    name: str
    tags: tuple[str, ...] = ()
    more: list[int] = field(default_factory=list, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainBase:
    """The same as a dataclass."""

    span: int = field(compare=False, repr=False, default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainPart(PlainBase):
    """The same as a dataclass."""

    name: str
    tags: tuple[str, ...] = ()
    more: list[int] = field(default_factory=list, compare=False)


@pytest.mark.parametrize("kind", [Part, PlainPart])
def test_it_is_as_a_dataclass_is(kind: Any) -> None:
    one, same, other = kind(name="a", span=1), kind(name="a", span=2), kind(name="b")
    assert one == same and hash(one) == hash(same) == hash(("a", ()))
    assert one != other and one != ("a", ()) and {one: 1}[same] == 1
    assert repr(one) == f"{kind.__name__}(name='a', tags=(), more=[])"
    assert replace(one, name="b") == other
    assert [f.name for f in fields(one)] == ["span", "name", "tags", "more"]
    assert asdict(one) == {"span": 1, "name": "a", "tags": (), "more": []}
    assert one.more is not same.more
    assert copy.deepcopy(one) == copy.copy(one) == pickle.loads(pickle.dumps(one)) == one
    assert pickle.loads(pickle.dumps(one)).span == 1
    with pytest.raises(FrozenInstanceError):
        one.name = "c"
    with pytest.raises(FrozenInstanceError):
        del one.name
    assert not hasattr(one, "__dict__")
    for wrong in ({}, {"name": "a", "nope": 1}, {"nope": 1}):
        with pytest.raises(TypeError):
            kind(**wrong)
    with pytest.raises(TypeError):
        kind("a")


def test_other_classes_are_never_equal_and_methods_stay() -> None:
    @record
    class Own:
        """A record with a text of its own."""

        x: int

        def __str__(self) -> str:
            return f"x={self.x}"

        def __hash__(self) -> int:
            return 7

    assert str(Own(x=1)) == "x=1" and hash(Own(x=1)) == 7
    assert Base() != Part(name="a")
    with pytest.raises(TypeError, match="__post_init__"):

        @record
        class Wrong:
            """Would never be finished."""

            x: int

            def __post_init__(self) -> None:
                raise AssertionError
