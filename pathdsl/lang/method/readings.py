"""Lint of the method: a set of nodes where a reader takes it for the circuit of these nodes.

Where a path set is wanted a set of nodes is all paths through one of them, so that `keep(heads)`
keeps much more than the heads: whatever lies before and behind each.

Source: docs/language.md, Complete path sets; a circuit of nodes is Wang et al. 2022
(arXiv:2211.00593), section 2.
"""

from __future__ import annotations

from collections.abc import Iterator

from pathdsl.lang import ast
from pathdsl.lang.check.scope import Faults, source_text, warning
from pathdsl.lang.program import Program
from pathdsl.lang.reach import all_of
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.subjects import meant

__all__ = ["check_readings"]

_SHOWN = 3
_SETS = frozenset(("attn", "mlp", "any"))
"""The words that are several nodes of a model."""


def check_readings(program: Program) -> Faults:
    """Sets of nodes that a run or a score keeps as if they were a circuit."""
    found = list(dict.fromkeys(_bare(program)))
    if not found:
        return
    first = found[0]
    text = source_text(program, meant(program, first))
    yield warning(
        "PD533",
        f"`{source_text(program, first)}` here is `through({text})`, all paths through one of its "
        "nodes, and not the circuit of these nodes",
        first.span,
        "a set of nodes, kept as if it were a circuit",
        labels=[(other.span, "the same here") for other in found[1 : 1 + _SHOWN]],
        help=f"`within({text})` keeps what runs through these nodes alone; "
        f"`through({text})` says that all paths through them are meant",
    )


def _bare(program: Program) -> Iterator[ast.Node]:
    """The path sets that are kept and are several nodes as they are written, in order."""
    for run in all_of(program, ast.PathRun):
        if run.which == "keep" and _several(program, run.paths):
            yield run.paths
    for score in all_of(program, ast.Score):
        if SCORES[score.name].keeps:
            yield from (one for one in score.subjects if _several(program, one))


def _several(program: Program, paths: ast.Node) -> bool:
    """Whether a path set is written as nodes, and more than one; a single node is no circuit."""
    node = meant(program, paths)
    if isinstance(node, ast.Name):
        return node.name in program.groups and _several(program, program.groups[node.name].nodes)
    match node:
        case ast.NodeSet(members=(one,)):
            return _several(program, one)
        case ast.NodeSet() | ast.NodesFile():
            return True
        case ast.Word(word=word):
            return word in _SETS
        case ast.HeadRef(layer=layer, head=head):
            return not (layer.single and head.single)
        case ast.MlpRef(layer=layer):
            return not layer.single
        case _:
            return False
