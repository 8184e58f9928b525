"""The base of all syntax nodes, and what paths and values both hold: slots and arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pathdsl.errors import Span

Slot = Literal["q", "k", "v"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Base of all syntax nodes."""

    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument(Node):
    """One argument of a call; `keyword` is "" for a positional one, `value` any value or path."""

    keyword: str = ""
    value: Node
