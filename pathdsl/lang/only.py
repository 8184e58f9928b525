"""Which declarations and members `--only` asks for: `each`, `each[a9.h9@END]` or `each[a9.h9]`.

A member may be written without its position, and then every member of that name is meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pathdsl.lang import ast
from pathdsl.lang.signatures.methods import correction_of

__all__ = ["asked_name", "is_asked", "judged_with"]

_PLACE = r"(?:\[\d+(?:\.\.\d+)?\]|[A-Za-z_]\w*(?:[+-]\d+)?)"
_POSITION = re.compile(rf"@(?:{{[^}}]*}}|{_PLACE}(?:\.\.(?![amr]\d){_PLACE})?)")


def asked_name(only: str) -> str:
    """The declaration that is asked for: `each` of `each[a9.h9]`."""
    return only.partition("[")[0].strip()


def is_asked(only: str | None, name: str, member: str | None = None) -> bool:
    """Whether a declaration, or a member of its loop, is asked for; None asks for all."""
    if only is None:
        return True
    asked, bracket, rest = only.partition("[")
    if asked.strip() != name:
        return False
    if not bracket:
        return True
    if member is None or not rest.rstrip().endswith("]"):
        return False
    label = _plain(rest.rstrip()[:-1])
    return label in (_plain(member), _plain(_POSITION.sub("", member)))


def judged_with(
    declaration: ast.LetDecl | ast.ClaimDecl, labels: Sequence[str], only: str | None
) -> set[str]:
    """The members to evaluate: a family that is corrected is judged whole or not at all.

    One member of it would otherwise lose the correction by being asked for alone.
    """
    name = declaration.name.name
    asked = {label for label in labels if is_asked(only, name, label)}
    return set(labels) if asked and correction_of(declaration) else asked


def _plain(text: str) -> str:
    return "".join(text.split())
