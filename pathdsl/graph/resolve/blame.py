"""Which part of a path expression is to blame: that it is empty, or that it has too many states.

Blame(resolver).empty(expr, bindings)       PD209 at the first part that leaves nothing
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pathdsl.errors import Diagnostic, PathdslError
from pathdsl.graph.resolve.places import Bindings
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang import ast
from pathdsl.lang.walk import strip
from pathdsl.limits import MOVES

__all__ = ["Blame"]

PROBE_STATES = 2_000
PROBE_MOVES = MOVES.most // 10
"""Steps of counting that looking for one part may take, all probes together."""


class _Spent(Exception):
    """The steps for probes are used up."""


class Blame:
    """Looks at the parts of path sets that have a fault."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        self.program = resolver.program
        self._moves = 0

    def _prefixes(self, chain: ast.Chain) -> Iterator[tuple[ast.Chain, ast.Hop | ast.Repeat]]:
        """A chain cut off after each step, where a chain can end."""
        for i, step in enumerate(chain.steps):
            if isinstance(step, ast.Hop) and isinstance(strip(step.target), ast.ResidRef):
                continue
            yield replace(chain, steps=chain.steps[: i + 1]), step

    def _is_empty(self, expr: ast.PathExpr, bindings: Bindings) -> bool:
        try:
            return not self.resolver.count(self.resolver.path_set(expr, bindings))
        except PathdslError:
            return False

    def empty(self, expr: ast.PathExpr, bindings: Bindings) -> Diagnostic:
        """The fault of an empty path set, at the first part that leaves nothing."""
        message, help = "this path set is empty", "choose nodes that some path joins"
        blamed: ast.Node
        match expr:
            case ast.Group(inner=inner):
                return self.empty(inner, bindings)
            case ast.Name(name=name) if name in self.program.paths and name not in bindings:
                return self.empty(self.program.paths[name].path, {})
            case ast.Chain(first=first):
                blamed, label = first, "no path passes here"
                for prefix, step in self._prefixes(expr):
                    if self._is_empty(prefix, bindings):
                        blamed = step.target if isinstance(step, ast.Hop) else step
                        label = "no path that came so far goes on like this"
                        break
            case ast.SetOp(op=op, left=left, right=right):
                for side in (left, right) if op == "&" else (left,):
                    if self._is_empty(side, bindings):
                        return self.empty(side, bindings)
                blamed = right
                label = (
                    "shares no path with the left side"
                    if op == "&"
                    else "takes away every path of the left side"
                )
                help = "make one of the two sides larger" if op == "&" else "take away less"
            case ast.Choice(options=options):
                return self.empty(options[0], bindings)
            case ast.Edges():
                blamed, label = expr, "these edges join no `input` with `logits`"
                help = "list a chain from `input` to `logits`"
            case ast.EdgesFile(path=path, options=options):
                blamed, label = expr, "the edges in its graph join no `input` with `logits`"
                if not options:
                    help = f'choose by score: `edges("{path}", top: 200)`'
            case _:
                blamed, label = expr, "no path is in this set"
        return Diagnostic(code="PD209", message=message, span=blamed.span, label=label, help=help)

    def located(self, diagnostic: Diagnostic, expr: ast.PathExpr, bindings: Bindings) -> Diagnostic:
        """The fault of a path set with too many states, at the part that multiplied them.

        Where telling its parts apart takes too long, a part is blamed as a whole.
        """
        self._moves = PROBE_MOVES
        return self._located(diagnostic, expr, bindings)

    def _located(
        self, diagnostic: Diagnostic, expr: ast.PathExpr, bindings: Bindings
    ) -> Diagnostic:
        try:
            return self._at_part(diagnostic, expr, bindings)
        except _Spent:
            return replace(diagnostic, span=expr.span, label="multiplies the states")

    def _at_part(
        self, diagnostic: Diagnostic, expr: ast.PathExpr, bindings: Bindings
    ) -> Diagnostic:
        blamed: ast.Node = expr
        label = "multiplies the states"
        match expr:
            case ast.Group(inner=inner):
                return self._located(diagnostic, inner, bindings)
            case ast.Name(name=name) if name in self.program.paths and name not in bindings:
                return self._located(diagnostic, self.program.paths[name].path, {})
            case ast.SetOp(left=left, right=right):
                sizes = [self._states(left, bindings), self._states(right, bindings)]
                if max(sizes) >= PROBE_STATES:
                    side = left if sizes[0] >= sizes[1] else right
                    return self._located(diagnostic, side, bindings)
                label = f"combines sets of {sizes[0]:,} and {sizes[1]:,} states"
            case ast.Choice(options=options):
                sizes = [self._states(option, bindings) for option in options]
                if max(sizes) >= PROBE_STATES:
                    worst = options[sizes.index(max(sizes))]
                    return self._located(diagnostic, worst, bindings)
                label = f"{len(options)} alternatives are told apart all the way"
            case ast.Chain():
                before, growth = 1, 0.0
                for prefix, step in self._prefixes(expr):
                    after = self._states(prefix, bindings)
                    if after / before > growth:
                        growth, blamed = after / before, step
                        shown = f"{after:,}" if after < PROBE_STATES else f"over {after:,}"
                        label = f"multiplies the states from {before:,} to {shown}"
                    before = after
        return replace(diagnostic, span=blamed.span, label=label)

    def _states(self, expr: ast.PathExpr, bindings: Bindings) -> int:
        """States of a part, at most PROBE_STATES."""
        probe = Resolver(self.program, self.resolver.shape, PROBE_STATES)
        product = None
        try:
            product = probe.sets.product(probe.path_set(expr, bindings))
            product.moves = self._moves
            return max(1, product.n_states())
        except PathdslError as error:
            if any(diagnostic.code == MOVES.code for diagnostic in error.diagnostics):
                raise _Spent from error
            return PROBE_STATES
        finally:
            self._moves -= product.spent if product else 0
