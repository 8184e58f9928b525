"""A circuit between formats: which edges and nodes, by which names, kept or not, with which score.

Names are those of the language, `input`, `a9.h6`, `m3`, `m3.n17`, `logits`; whether a model has
them is asked later, where the model is known. Nothing that a file says is dropped in silence: what
has no field here is a `Lost` entry.

    Circuit(edges={Edge("input", "a0.h1", "v"): Entry(kept=True, score=0.5)}, …)
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pathdsl.graph.model.components import HEAD, INPUT, LOGITS, MLP, NEURON, NodeKind
from pathdsl.near import quoted

__all__ = [
    "SLOTS", "Array", "Circuit", "Edge", "Entry", "Level", "Lost", "ModelFacts", "UnusableFile",
    "edge_text", "kept_flag", "kind_of", "listed_names", "model_of_names", "number", "order_of",
]  # fmt: skip

SLOTS = ("q", "k", "v")
Level = Literal["edges", "nodes"]
SHOWN = 5
_NODE = re.compile(r"a(?P<a>\d{1,4})\.h(?P<h>\d{1,6})|m(?P<m>\d{1,4})(?:\.n(?P<n>\d{1,9}))?", re.A)


class UnusableFile(ValueError):
    """Why a circuit file is refused; `code` is that of the diagnostic, `advice` the repair."""

    def __init__(
        self, why: str, code: str = "PD217", advice: str = "", notes: tuple[str, ...] = ()
    ) -> None:
        super().__init__(why)
        self.code = code
        self.advice = advice
        self.notes = notes


class Edge(NamedTuple):
    """From what `sender` writes into an input of `receiver`; slot "" for an MLP and `logits`.

    `at` is the index of the token whose stream it crosses, None for every one: where a key or value
    is written, and where all else is read.
    """

    sender: str
    receiver: str
    slot: str = ""
    at: int | None = None


class Entry(NamedTuple):
    """What a file says of an edge or node: `kept` None and `score` None where it does not."""

    kept: bool | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Something that a file says and that is not carried over: how often, and why not.

    `changes`: without it, it is another circuit.
    """

    what: str
    why: str
    count: int = 1
    changes: bool = False

    def __str__(self) -> str:
        times = f" ({self.count:,})" if self.count > 1 else ""
        return f"{self.what}{times}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What a file says of its model, None where it does not.

    `least`: layers and heads that the names ask for, where counts are not said.
    """

    n_layers: int | None = None
    n_heads: int | None = None
    d_model: int | None = None
    parallel: bool | None = None
    name: str = ""
    least: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """One circuit, or one ranking.

    `edges` is None for a circuit of nodes, which has all edges among its nodes. `ranks`: what
    scores order. `masks`: of nodes that keep a part of what they write, which entries. `places`:
    of nodes that stand at some tokens alone, their indices. `attention`: heads join the nodes
    freely, in a tool that has no nodes for them. `scores` says in words what a score is;
    `nan_first`: the tool that wrote the file ranks NaN before all numbers. `cut`: the format marks
    nothing as kept, and a size or threshold says what is. `lost`: what is not carried; `remarks`:
    how unclear parts were read.
    """

    format: str
    model: ModelFacts
    edges: Mapping[Edge, Entry] | None
    nodes: Mapping[str, Entry]
    ranks: Level
    masks: Mapping[str, tuple[bool, ...]]
    scores: str
    nan_first: bool
    cut: bool
    lost: tuple[Lost, ...]
    remarks: tuple[str, ...]
    places: Mapping[str, tuple[int, ...]]
    attention: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """A tensor of a file as plain numbers, row by row."""

    shape: tuple[int, ...]
    values: list[float] | list[bool] | list[int]
    truth: bool

    def row(self, index: int) -> list[float] | list[bool] | list[int]:
        """Row `index` of a matrix."""
        width = self.shape[1]
        return self.values[index * width : (index + 1) * width]


def kind_of(name: str) -> NodeKind | None:
    """The kind of node that a name of the language is of; None for any other text."""
    if name in (INPUT.name, LOGITS.name):
        return INPUT if name == INPUT.name else LOGITS
    found = _NODE.fullmatch(name)
    if found is None:
        return None
    return HEAD if found["a"] else NEURON if found["n"] else MLP


def order_of(name: str) -> tuple[float, int, int, int]:
    """A key that sorts names as a model computes them: layer, heads before the MLP, index."""
    found = _NODE.fullmatch(name)
    if found is None:
        return (-1.0 if name == INPUT.name else math.inf, 0, 0, 0)
    if found["a"]:
        return (float(found["a"]), 0, int(found["h"]), 0)
    return (float(found["m"]), 1, int(found["n"] or -1), 0)


def edge_text(edge: Edge) -> str:
    """`a5.h5->a8.h6<v>`, as EAP-IG writes it; a position behind it."""
    slot = f"<{edge.slot}>" if edge.slot else ""
    return f"{edge.sender}->{edge.receiver}{slot}" + ("" if edge.at is None else f"@[{edge.at}]")


def listed_names(names: Iterable[str], shown: int = SHOWN) -> str:
    """The first few names in backticks, and how many more."""
    every = list(names)
    more = f" and {len(every) - shown:,} more" if len(every) > shown else ""
    return ", ".join(f"`{name[:60]}`" for name in every[:shown]) + more


def model_of_names(names: Iterable[str]) -> ModelFacts:
    """The smallest model that has these nodes: as many layers and heads as their names ask for."""
    layers = heads = 0
    for name in names:
        found = _NODE.fullmatch(name)
        if found is not None:
            layers = max(layers, int(found["a"] or found["m"]) + 1)
            heads = max(heads, int(found["h"]) + 1 if found["h"] else 0)
    return ModelFacts(least=(layers, heads))


def kept_flag(value: object, what: str) -> bool | None:
    """A mark of a file: true or false, 1 or 0; None where there is none."""
    if value is None:
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    raise UnusableFile(f"{what} has a mark that is neither true nor false")


def number(value: object, what: str) -> float | None:
    """A score of a file; None for null. NaN and infinities are what they are."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnusableFile(f"{what} has {quoted(repr(value))} where a number is wanted")
    return float(value)
