"""The base of all syntax nodes, and what paths and values both hold: slots and arguments."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from pathdsl.errors import Span
from pathdsl.record import record

Slot = Literal["q", "k", "v"]


@record
class Node:
    """Base of all syntax nodes."""

    span: Span = field(compare=False, repr=False)


@record
class Argument(Node):
    """One argument of a call; `keyword` is "" for a positional one, `value` any value or path."""

    keyword: str = ""
    value: Node
