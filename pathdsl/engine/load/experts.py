"""Experts that are saved one by one, as the model has them: the experts of a layer in one weight.

Files hold a matrix for each expert, `experts.3.gate_proj.weight`, and `transformers` stacks those
of a layer when it loads a model: `experts.gate_up_proj`, (experts, 2 · width, d), the rows of the
gate above those of `up`, and `experts.down_proj`, (experts, d, width). (`conversion_mapping.py` of
5.23, `mixtral` and `qwen2_moe`.) Either is its matrices one behind the other. Needs no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pathdsl.engine.load.header import Stored

__all__ = ["of_one_expert", "with_joined"]

_MATRIX = re.compile(
    r"(?P<layer>.+\.)(?:mlp|block_sparse_moe)\.experts\.(?P<number>\d{1,6})\."
    r"(?P<kind>w1|w2|w3|gate_proj|up_proj|down_proj)\.weight"
)
_JOINED = {"gate_up_proj": (("w1", "w3"), ("gate_proj", "up_proj")),
           "down_proj": (("w2",), ("down_proj",))}  # fmt: skip
"""By weight of the model: the matrices of one expert that it holds, in either way to name them."""


def of_one_expert(name: str) -> bool:
    """Whether a weight of a file is a matrix of one expert."""
    return _MATRIX.fullmatch(name) is not None


def with_joined(stored: Mapping[str, Stored]) -> dict[str, Stored]:
    """Weights by name, those of experts as the model has them where all are there and alike."""
    layers: dict[str, dict[tuple[int, str], Stored]] = {}
    found: dict[str, Stored] = {}
    for name, one in stored.items():
        match = _MATRIX.fullmatch(name)
        if match is None:
            found[name] = one
        else:
            layers.setdefault(match["layer"], {})[int(match["number"]), match["kind"]] = one
    for layer, matrices in layers.items():
        joined = _of_layer(f"{layer}mlp.experts.", matrices)
        found |= joined or {one.name: one for one in matrices.values()}
    return found


def _of_layer(place: str, matrices: Mapping[tuple[int, str], Stored]) -> dict[str, Stored] | None:
    """The weights of a layer's experts, whose names begin with `place`; None where some lack."""
    n_experts = len({number for number, _ in matrices})
    found: dict[str, Stored] = {}
    for name, ways in _JOINED.items():
        for kinds in ways:
            parts = [matrices.get((n, kind)) for n in range(n_experts) for kind in kinds]
            pieces = tuple(part for part in parts if part is not None)
            like = {(piece.kind, piece.shape) for piece in pieces}
            if len(pieces) < len(parts) or len(like) > 1 or len(pieces[0].shape) != 2:
                continue
            rows, columns = pieces[0].shape
            found[place + name] = Stored(
                path=pieces[0].path, name=place + name, kind=pieces[0].kind,
                shape=(n_experts, len(kinds) * rows, columns),
                begin=pieces[0].begin, end=pieces[0].end, pieces=pieces,
            )  # fmt: skip
    held = sum(len(one.pieces) for one in found.values())
    return found if held == len(matrices) else None
