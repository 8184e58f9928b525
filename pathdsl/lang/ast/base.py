"""The base of all syntax nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pathdsl.errors import Span

Slot = Literal["q", "k", "v"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Base of all syntax nodes."""

    span: Span = field(compare=False, repr=False)
