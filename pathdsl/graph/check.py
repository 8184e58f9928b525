"""Everything that the shape of a model can say about a program, before weights and data.

Every group, path, loop, run and score argument is resolved once; each fault is told once, where it
was written. A path set must hold a path, may not need too many automaton states, and a node written
in `edges { … }` must lie on a complete path of that set.

Source: language.md sections 5 and 8.

    check_graph(program, shape)     [] or diagnostics PD2xx
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from pathdsl.errors import Diagnostic, PathdslError, Severity, Span
from pathdsl.graph.eap import unused_edges
from pathdsl.graph.neurons import atom_mask, atom_text, atoms, intersect, mask_of, told_apart
from pathdsl.graph.pathset import NONE, Listed
from pathdsl.graph.places import Bindings, Member
from pathdsl.graph.product import MAX_STATES
from pathdsl.graph.resolver import Resolver
from pathdsl.graph.shape import ModelShape
from pathdsl.graph.units import components_of
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.walk import children, strip, walk
from pathdsl.limits import MOVES, STATES

__all__ = ["check_graph"]

PROBE_STATES = 2_000
PATH_WORDS = (
    ast.Chain, ast.Choice, ast.SetOp, ast.Group, ast.Full, ast.NonePath, ast.Through, ast.Within,
    ast.Edges, ast.EdgesFile, ast.RandomLike, ast.RandomEdges,
)  # fmt: skip
NODE_WORDS = (
    ast.HeadRef, ast.KvRef, ast.MlpRef, ast.NeuronRef, ast.ResidRef, ast.Word, ast.NodeSet, ast.Name
)  # fmt: skip
NODE_OPTIONS = ("given", "over", "like", "scope")


def check_graph(
    program: Program, shape: ModelShape, max_states: int = MAX_STATES
) -> list[Diagnostic]:
    """Every fault of the program on a model of this shape, each once, in the order of the file."""
    checker = _Checker(Resolver(program, shape, max_states))
    for group in program.groups.values():
        checker.attempt(lambda ref=group.name: checker.resolver.places.nodes(ref, {}))
    for path in program.paths.values():
        name = path.name.name
        if not checker.paths(path.path, {}):
            checker.faulty.add(name)
    for declaration in program.declarations():
        match declaration:
            case ast.LetDecl(loop=loop, expression=expression):
                checker.looped(loop, (expression,))
            case ast.ClaimDecl(loop=loop):
                checker.looped(loop, (declaration.left, declaration.right))
            case ast.MetricDecl(expression=expression):
                checker.within(expression, {})
            case ast.InterveneDecl(actions=actions):
                for action in actions:
                    checker.node(action.node, {})
                    if action.value is not None:
                        checker.within(action.value, {})
    return checker.faults


class _Checker:
    """Collects faults; `faulty` are named paths that are wrong already, so uses of them are not."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        self.program = resolver.program
        self.faults: list[Diagnostic] = []
        self.told: set[tuple[str, Span | None]] = set()
        self.enough = False
        self.faulty: set[str] = set()

    def attempt(self, act: Callable[[], object]) -> bool:
        """Do something that may raise; whether it did not."""
        if self.enough:
            return False
        try:
            act()
        except PathdslError as error:
            for diagnostic in error.diagnostics:
                self.add(diagnostic)
            return False
        return True

    def add(self, diagnostic: Diagnostic) -> None:
        """Keep a fault unless the same code stands at the same place already."""
        place = diagnostic.code, diagnostic.span
        if place not in self.told:
            self.faults.append(diagnostic)
        self.told.add(place)
        # One path set that is too large is work enough for one look at a file.
        self.enough = self.enough or diagnostic.code in (STATES.code, MOVES.code)

    # ---------------------------------------------------------------------------------------------
    # Where path sets and nodes are written
    # ---------------------------------------------------------------------------------------------

    def looped(self, loop: ast.Loop | None, expressions: tuple[ast.Node, ...]) -> None:
        """Check expressions once, or once for every member of their loop."""
        if loop is None:
            for expression in expressions:
                self.within(expression, {})
            return
        members: list[Member] = []
        if not self.attempt(lambda: members.extend(self.resolver.loop(loop))):
            return
        variable = loop.variable.name
        for expression in expressions:
            for part in self.parts(expression):
                used = any(isinstance(n, ast.Name) and n.name == variable for n in walk(part))
                for member in members if used else members[:1]:
                    before = len(self.faults)
                    self.part(part, {variable: member})
                    if len(self.faults) > before:
                        self.note(before, f"with {variable} = {member.label}")
                        break

    def note(self, start: int, text: str) -> None:
        """Add a note to the faults from `start` on."""
        self.faults[start:] = [replace(d, notes=(*d.notes, text)) for d in self.faults[start:]]

    def within(self, expression: ast.Node, bindings: Bindings) -> None:
        for part in self.parts(expression):
            self.part(part, bindings)

    def parts(self, node: ast.Node) -> Iterator[ast.Node]:
        """The path expressions and node references inside an expression."""
        match node:
            case ast.PathRun(paths=paths, options=options):
                yield paths
                yield from self.options(options)
            case ast.Score(name="cpr" | "cmd"):
                yield node  # reads its file by rank, not as a path set
            case ast.Score(subjects=subjects, options=options):
                for subject in subjects:
                    if isinstance(subject, ast.Score | ast.PlainRun | ast.PathRun):
                        yield from self.parts(subject)
                    else:
                        yield subject
                yield from self.options(options)
            case ast.AttentionArgs(head=head):
                yield head
            case ast.Subscript(member=member):
                yield member
            case _:
                for child in children(node):
                    yield from self.parts(child)

    def options(self, options: tuple[ast.Argument, ...]) -> Iterator[ast.Node]:
        for option in options:
            if option.keyword in NODE_OPTIONS:
                if isinstance(option.value, ast.MapValue):
                    for pair in option.value.items:
                        yield from pair
                elif isinstance(strip(option.value), ast.Edges | ast.EdgesFile):
                    yield option  # edges to range over, not a path set of its own
                else:
                    yield option.value
            elif isinstance(option.value, ast.Call | ast.PathRun | ast.PlainRun):
                yield from self.parts(option.value)

    def part(self, part: ast.Node, bindings: Bindings) -> None:
        """Check one path expression or node reference."""
        if isinstance(part, ast.Argument):
            self.attempt(lambda: self.resolver.path_set(part.value, bindings))  # type: ignore[arg-type]
        elif isinstance(part, ast.Score):
            self.ranked(part)
        elif isinstance(part, PATH_WORDS):
            self.paths(part, bindings)
        elif isinstance(part, ast.Name) and part.name not in bindings:
            if part.name in self.program.paths and part.name not in self.faulty:
                self.paths(part, bindings)
            elif part.name in self.program.groups:
                self.node(part, bindings)
        elif isinstance(part, NODE_WORDS):
            self.node(part, bindings)

    def ranked(self, score: ast.Score) -> None:
        """Check the file of a score over ranked edges, and its scope."""
        for option in score.options:
            if option.keyword == "scope":
                self.within(option.value, {})
        for subject in score.subjects:
            if isinstance(subject, ast.EdgesFile):
                self.attempt(partial(self.resolver.ranking, subject, signed=True))

    def node(self, ref: ast.NodeRef, bindings: Bindings) -> bool:
        if isinstance(ref, ast.Name) and not (
            ref.name in bindings or ref.name in self.program.groups
        ):
            return True
        return self.attempt(lambda: self.resolver.places.member(ref, bindings))

    # ---------------------------------------------------------------------------------------------
    # Path sets
    # ---------------------------------------------------------------------------------------------

    def paths(self, expr: ast.PathExpr, bindings: Bindings) -> bool:
        """Check one path set; whether it is sound."""
        if any(
            isinstance(n, ast.Name) and n.name in self.faulty and n.name not in bindings
            for n in walk(expr)
        ):
            return False
        before = len(self.faults)
        self.attempt(lambda: self.check(expr, bindings))
        return len(self.faults) == before

    def check(self, expr: ast.PathExpr, bindings: Bindings) -> None:
        paths = self.resolver.path_set(expr, bindings)
        if paths == NONE and self.says_none(expr, bindings):
            return
        try:
            count = self.resolver.count(paths)
        except PathdslError as error:
            for diagnostic in error.diagnostics:
                if diagnostic.code == MOVES.code:  # looking for the part would cost as much again
                    diagnostic = replace(diagnostic, span=expr.span, label="multiplies them")
                if diagnostic.span is None:
                    diagnostic = self.located(diagnostic, expr, bindings)
                self.add(diagnostic)
            return
        if not count:
            self.add(self.empty(expr, bindings))
            return
        for node in walk(expr):
            if isinstance(node, ast.Edges):
                self.listed(node, bindings)
            elif isinstance(node, ast.EdgesFile):
                self.file(node, bindings)

    def says_none(self, expr: ast.Node, bindings: Bindings) -> bool:
        """Whether an expression is `none` as written, through names or not."""
        expr = strip(expr)
        if isinstance(expr, ast.Name) and expr.name in self.program.paths:
            return expr.name not in bindings and self.says_none(
                self.program.paths[expr.name].path, {}
            )
        return isinstance(expr, ast.NonePath)

    def listed(self, edges: ast.Edges, bindings: Bindings) -> None:
        """Every node that is written must lie on a complete path of the listed edges."""
        paths = self.resolver.path_set(edges, bindings)
        used = components_of(self.resolver, paths)
        layout = self.resolver.layout
        mask = mask_of(used, told_apart(paths, layout), layout)
        for chain in edges.chains:
            refs = [chain.first, *(s.target for s in chain.steps if isinstance(s, ast.Hop))]
            for ref in refs:
                places = self.resolver.places.nodes(strip(ref), bindings)  # type: ignore[arg-type]
                lost = [
                    atom
                    for place in places
                    for atom in atoms(place.mask, layout)
                    if not intersect(atom_mask(*atom), mask, layout)
                    and (place.named or not intersect(place.mask, mask, layout))
                ]
                if lost:
                    name = atom_text(*lost[0], layout)
                    self.add(
                        Diagnostic(
                            code="PD220",
                            message=f"`{name}` lies on no complete path of these edges",
                            span=ref.span,
                            label="leads nowhere, or nothing leads to it",
                            help=f"list an edge into `{name}` and one out of it, or leave it out",
                        )
                    )

    def file(self, expr: ast.EdgesFile, bindings: Bindings) -> None:
        """Warn of listed edges of a file that have no effect."""
        paths = self.resolver.path_set(expr, bindings)
        unused = unused_edges(paths, self.resolver.layout) if isinstance(paths, Listed) else ()
        if unused:
            more = f" and {len(unused) - 5} more" if len(unused) > 5 else ""
            self.add(
                Diagnostic(
                    code="PD220",
                    message=f"on no complete path: {len(unused)} of the edges of `{expr.path}`",
                    span=expr.span,
                    label="without effect",
                    notes=(", ".join(f"`{name}`" for name in unused[:5]) + more,),
                    help="remove them from the file, or judge the circuit without them",
                    severity=Severity.WARNING,
                )
            )

    # ---------------------------------------------------------------------------------------------
    # Which part is to blame
    # ---------------------------------------------------------------------------------------------

    def prefixes(self, chain: ast.Chain) -> Iterator[tuple[ast.Chain, ast.Hop | ast.Repeat]]:
        """A chain cut off after each step, where a chain can end."""
        for i, step in enumerate(chain.steps):
            if isinstance(step, ast.Hop) and isinstance(strip(step.target), ast.ResidRef):
                continue
            yield replace(chain, steps=chain.steps[: i + 1]), step

    def is_empty(self, expr: ast.PathExpr, bindings: Bindings) -> bool:
        try:
            return not self.resolver.count(self.resolver.path_set(expr, bindings))
        except PathdslError:
            return False

    def empty(self, expr: ast.PathExpr, bindings: Bindings) -> Diagnostic:
        """The fault of an empty path set, at the first part that leaves nothing."""
        message, help = "this path set is empty", "choose nodes that some path joins"
        match expr:
            case ast.Group(inner=inner):
                return self.empty(inner, bindings)
            case ast.Name(name=name) if name in self.program.paths and name not in bindings:
                return self.empty(self.program.paths[name].path, {})
            case ast.Chain(first=first):
                blamed, label = first, "no path passes here"
                for prefix, step in self.prefixes(expr):
                    if self.is_empty(prefix, bindings):
                        blamed = step.target if isinstance(step, ast.Hop) else step
                        label = "no path that came so far goes on like this"
                        break
            case ast.SetOp(op=op, left=left, right=right):
                for side in (left, right) if op == "&" else (left,):
                    if self.is_empty(side, bindings):
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
            case _:
                blamed, label = expr, "no path is in this set"
        return Diagnostic(code="PD209", message=message, span=blamed.span, label=label, help=help)

    def located(self, diagnostic: Diagnostic, expr: ast.PathExpr, bindings: Bindings) -> Diagnostic:
        """The fault of a path set with too many states, at the part that multiplied them."""
        blamed: ast.Node = expr
        label = "multiplies the states"
        match expr:
            case ast.Group(inner=inner):
                return self.located(diagnostic, inner, bindings)
            case ast.Name(name=name) if name in self.program.paths and name not in bindings:
                return self.located(diagnostic, self.program.paths[name].path, {})
            case ast.SetOp(left=left, right=right):
                sizes = [self.states(left, bindings), self.states(right, bindings)]
                if max(sizes) >= PROBE_STATES:
                    side = left if sizes[0] >= sizes[1] else right
                    return self.located(diagnostic, side, bindings)
                label = f"combines sets of {sizes[0]:,} and {sizes[1]:,} states"
            case ast.Choice(options=options):
                sizes = [self.states(option, bindings) for option in options]
                if max(sizes) >= PROBE_STATES:
                    worst = options[sizes.index(max(sizes))]
                    return self.located(diagnostic, worst, bindings)
                label = f"{len(options)} alternatives are told apart all the way"
            case ast.Chain():
                before, growth = 1, 0.0
                for prefix, step in self.prefixes(expr):
                    after = self.states(prefix, bindings)
                    if after / before > growth:
                        growth, blamed = after / before, step
                        shown = f"{after:,}" if after < PROBE_STATES else f"over {after:,}"
                        label = f"multiplies the states from {before:,} to {shown}"
                    before = after
        return replace(diagnostic, span=blamed.span, label=label)

    def states(self, expr: ast.PathExpr, bindings: Bindings) -> int:
        """States of a part, at most PROBE_STATES."""
        probe = Resolver(self.program, self.resolver.shape, PROBE_STATES)
        try:
            return max(1, probe.product(probe.path_set(expr, bindings)).n_states())
        except PathdslError:
            return PROBE_STATES
