"""Programs, shapes and a literal reading of path sets for the tests of the graph."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from pathdsl.graph.model.components import Layout, bits
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.pathset import (
    Alt,
    Cat,
    Combined,
    Edge,
    Everything,
    Listed,
    Nodes,
    Nothing,
    PathSet,
    Regex,
    Regular,
    Star,
)
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang import ast
from pathdsl.lang.program import Program, load_program

IOI_GROUPS = """
group duplicate_token @S2   = { a0.h1, a0.h10, a3.h0 }
group previous_token  @S1+1 = { a2.h2, a4.h11 }
group induction       @S2   = { a5.h5, a5.h8, a5.h9, a6.h9 }
group s_inhibition    @END  = { a7.h3, a7.h9, a8.h6, a8.h10 }
group name_mover      @END  = { a9.h9, a9.h6, a10.h0 }
group backup          @END  = { a9.h0, a9.h7, a10.h1, a10.h2, a10.h6, a10.h10, a11.h2, a11.h9 }
group negative        @END  = { a10.h7, a11.h10 }
path detect = duplicate_token | (previous_token -[k]-> induction)
path main   = input ~> (detect) (-> mlp)* -[k,v]-> s_inhibition -[q]-> name_mover ~> logits
path nodes  = within(duplicate_token, previous_token, induction, s_inhibition, name_mover, mlp)
"""

Path = tuple[tuple[int, str | None], ...]


def shape(layers: int, heads: int, **changes: object) -> ModelShape:
    """A GPT-2-like shape."""
    fields: dict[str, object] = {
        "family": "gpt2", "n_layers": layers, "n_heads": heads, "d_model": 64 * heads,
        "d_head": 64, "d_mlp": 256 * heads, "d_vocab": 100, "n_positions": 1024, **changes,
    }  # fmt: skip
    return ModelShape(**fields)  # type: ignore[arg-type]


GPT2 = shape(12, 12)


def program(text: str, path: str = "example.circuit") -> Program:
    """The program of a text without faults of syntax."""
    found, faults = load_program(path, text)
    assert not faults, faults
    return found


def resolver(text: str, of: ModelShape = GPT2, **options: int) -> Resolver:
    """A resolver for a text."""
    return Resolver(program(text), of, **options)


def expression(resolved: Resolver, name: str) -> ast.PathExpr:
    """What a named path stands for."""
    return resolved.program.paths[name].path


def path_set(text: str, of: ModelShape = GPT2, before: str = "") -> tuple[Resolver, PathSet]:
    """A resolver and the set of one path expression."""
    found = resolver(f"{before}\npath p = {text}\n", of)
    return found, found.path_set(expression(found, "p"))


def count(text: str, of: ModelShape = GPT2, before: str = "") -> int:
    """The number of paths in the set of one expression."""
    found, paths = path_set(text, of, before)
    return found.count(paths)


def all_paths(layout: Layout) -> Iterator[Path]:
    """Every path, as (component, slot by which it reads the one before it) from `input` on."""

    def upto(v: int) -> Iterator[Path]:
        if v == 0:
            yield ((0, None),)
            return
        for slot in layout.slots_of(v):
            for u in bits(layout.senders_of[v]):
                if slot in ("k", "v") and layout.layer_of[u] >= reads_at(v, slot, layout):
                    continue
                for path in upto(u):
                    yield (*path, (v, slot))

    return upto(layout.logits)


def reads_at(v: int, slot: str | None, layout: Layout) -> int:
    """The layer at whose entry an input of a head reads; of other components their own."""
    given = slot in ("k", "v") and layout.shape.keys_from
    return given[layout.layer_of[v]] if given else layout.layer_of[v]


def contains(paths: PathSet, path: Path, layout: Layout) -> bool:
    """Membership by the definition, without positions."""
    match paths:
        case Everything():
            return True
        case Nothing():
            return False
        case Combined(op=op, left=left, right=right):
            a, b = contains(left, path, layout), contains(right, path, layout)
            return {"|": a or b, "&": a and b, "-": a and not b}[op]
        case Listed(edges=edges):
            return all(
                any(e.senders >> u & 1 and e.receiver == v and e.slot == slot for e in edges)
                for (u, _), (v, slot) in pairwise(path)
            )
        case Regular(regex=regex):
            # Letters alternate: node at even places, the edge into node i + 1 between.
            return 2 * len(path) - 1 in _ends(regex, 0, path, layout)


def _ends(regex: Regex, start: int, path: Path, layout: Layout) -> set[int]:
    match regex:
        case Nodes(mask=mask):
            fits = start % 2 == 0 and start < 2 * len(path) and mask >> path[start // 2][0] & 1
            return {start + 1} if fits else set()
        case Edge(labels=labels, mark=mark):
            if start % 2 == 0 or start // 2 + 1 >= len(path):
                return set()
            (u, _), (v, slot) = path[start // 2], path[start // 2 + 1]
            if labels is not None and slot not in [label for label, _ in labels]:
                return set()
            crosses = mark is None or layout.layer_of[u] < mark <= reads_at(v, slot, layout)
            return {start + 1} if crosses else set()
        case Cat(parts=parts):
            found = {start}
            for part in parts:
                found = {end for at in found for end in _ends(part, at, path, layout)}
            return found
        case Alt(options=options):
            return {end for option in options for end in _ends(option, start, path, layout)}
        case Star(inner=inner):
            found, fresh = {start}, {start}
            while fresh:
                fresh = {e for at in fresh for e in _ends(inner, at, path, layout)} - found
                found |= fresh
            return found
