"""The workloads as people write them by hand: whole forwards in which outputs are replaced.

A `Run` is one forward of the reference prompt in which outputs of heads, MLPs or the residual
stream are replaced by those of another forward. A direct effect freezes everything after the head
at its reference value; paths into queries take two forwards, the second of which reads what the
first computed. The runs are made from the labels of a check's own runs, so that both sides do the
same work in the same order.

    runs = hand_written("W1h", labels, circuit, receivers, n_layers=12, n_heads=12)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BY_HAND", "Kind", "Patch", "Run", "Site", "Values", "hand_written", "mixed", "wanted"]

BY_HAND = ("W1r", "W1h", "W2", "W3", "W6a", "W6b", "W7a", "W7b", "W8a", "W8b", "W9a", "W9b")
"""The workloads that `hand_written` knows."""

Head = tuple[int, int]
Kind = Literal["resid", "q", "z", "mlp"]
Source = Literal["reference", "treated", "first", "zero"]


class Site(NamedTuple):
    """Where a layer is read and replaced: its input, its heads' queries or outputs, its MLP's."""

    layer: int
    kind: Kind

    @property
    def order(self) -> tuple[int, int]:
        """Sites sorted by this are in the order in which a forward reaches them."""
        return self.layer, ("resid", "q", "z", "mlp").index(self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """Replace what is at a site, for some heads (None: all of it) at a position (None: at all)."""

    site: Site
    source: Source
    heads: tuple[int, ...] | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The patches of one measured forward; `first`: of a forward before it, which it reads."""

    patches: tuple[Patch, ...]
    first: tuple[Patch, ...] = ()


Values = Mapping[tuple[Source, Site], "Tensor"]


def wanted(runs: Collection[Run], source: Source) -> set[Site]:
    """The sites that must be kept of the plain forward `source`."""
    patches = [p for run in runs for p in (*run.first, *run.patches)]
    return {p.site for p in patches if p.source == source}


def mixed(base: Tensor, patches: Sequence[Patch], values: Values, n_heads: int) -> Tensor:
    """A copy of `base` with all patches of one site applied; heads may be folded or unfolded."""
    import torch

    out = base.clone()
    for patch in patches:
        value = torch.zeros_like(out)
        if patch.source != "zero":
            value = values[patch.source, patch.site].reshape(out.shape)
        where = slice(None) if patch.position is None else patch.position
        if patch.heads is None:
            out[:, where] = value[:, where]
            continue
        heads = list(patch.heads)
        split = (*out.shape[:2], n_heads, -1)
        out.view(split)[:, where, heads] = value.reshape(split)[:, where, heads]
    return out


def hand_written(
    name: str,
    labels: Sequence[str],
    circuit: Collection[Head],
    receivers: Collection[Head],
    n_layers: int,
    n_heads: int,
    acted: Sequence[Head] = (),
) -> list[Run]:
    """The runs of a workload, one for each label of the check's runs, in their order.

    `circuit`: the heads of the group that W3 and W6 keep; `receivers`: those of W2; `acted`:
    those of W8's blocks by number. Raises ValueError for other workloads than `BY_HAND`.
    """
    every = {(layer, head) for layer in range(n_layers) for head in range(n_heads)}
    outside = every - set(circuit)
    runs = []
    for label in labels:
        heads = [(int(a), int(h)) for a, h in re.findall(r"\ba(\d+)\.h(\d+)", label)]
        match name:
            case "W1r":
                frozen = _held("z", heads[0][0] + 1, n_layers)
                runs.append(Run(patches=(*_outputs(heads), *frozen)))
            case "W1h" | "W9a":
                layer = heads[0][0]
                frozen = (*_held("z", layer + 1, n_layers), *_held("mlp", layer, n_layers))
                runs.append(Run(patches=(*_outputs(heads), *frozen)))
            case "W2":
                frozen = _held("z", heads[0][0] + 1, n_layers)
                queries = _at_sites("q", receivers, "first", -1)
                runs.append(Run(first=(*_outputs(heads), *frozen), patches=queries))
            case "W3" | "W6a":
                runs.append(Run(patches=_outputs(outside | set(heads))))
            case "W6b":
                kept = label.startswith("keep")
                runs.append(Run(patches=_outputs(outside | set(heads) if kept else heads)))
            case "W7a" | "W9b":
                layer, position = (int(x) for x in re.findall(r"r(\d+)@\[(\d+)\]", label)[0])
                patch = Patch(site=Site(layer, "resid"), position=position, source="treated")
                runs.append(Run(patches=(patch,)))
            case "W7b":
                runs.append(Run(patches=_outputs(heads)))
            case "W8a" | "W8b":
                head = acted[int(label.rpartition("b")[2])]
                place = -1 if name == "W8a" else None
                runs.append(Run(patches=_at_sites("z", [head], "zero", place)))
            case _:
                raise ValueError(f"`{name}` is not written by hand")
    return runs


def _at_sites(
    kind: Kind, heads: Collection[Head], source: Source, position: int | None = None
) -> tuple[Patch, ...]:
    """One patch for each layer that has some of the heads."""
    return tuple(
        Patch(
            site=Site(layer, kind),
            heads=tuple(sorted({head for at, head in heads if at == layer})),
            source=source,
            position=position,
        )
        for layer in sorted({at for at, _ in heads})
    )


def _outputs(heads: Collection[Head]) -> tuple[Patch, ...]:
    """The heads' outputs become those on the treated prompt."""
    return _at_sites("z", heads, "treated")


def _held(kind: Kind, start: int, n_layers: int) -> tuple[Patch, ...]:
    """Everything of a kind from a layer on keeps its value on the reference prompt."""
    return tuple(Patch(site=Site(at, kind), source="reference") for at in range(start, n_layers))
