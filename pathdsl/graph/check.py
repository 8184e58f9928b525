"""Everything that the shape of a model can say about a program, before weights and data.

Every group, path, loop, run and score argument is resolved once; each fault is told once, where it
was written. A path set must hold a path, may not need too many automaton states, and a node written
in `edges { … }` must lie on a complete path of that set.

Source: docs/language.md, Empty and large sets.

    check_graph(program, shape)     [] or diagnostics PD2xx
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from pathdsl.errors import Diagnostic, PathdslError, Severity, Span
from pathdsl.graph.files.eap import unused_edges
from pathdsl.graph.files.ranking import tie_warnings
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.neurons import atom_mask, atom_text, atoms, intersect, mask_of, told_apart
from pathdsl.graph.paths.pathset import NONE, Listed
from pathdsl.graph.paths.product import MAX_STATES
from pathdsl.graph.paths.units import components_of, heads_of
from pathdsl.graph.resolve.blame import Blame
from pathdsl.graph.resolve.instances import Instance, in_common, instances
from pathdsl.graph.resolve.places import Bindings
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.graph.resolve.targets import targets_of
from pathdsl.graph.suits import structure_faults
from pathdsl.lang import ast
from pathdsl.lang.loops import Looped, mentioned, sides_of
from pathdsl.lang.program import Declaration, Program
from pathdsl.lang.reach import reach
from pathdsl.lang.serving import tasks_read
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.lang.signatures.calls import resolve_options
from pathdsl.lang.signatures.correlations import is_correlation
from pathdsl.lang.signatures.kinds import Kind
from pathdsl.lang.signatures.measures import nodes_in
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.spelling import as_position
from pathdsl.lang.walk import children, strip, walk
from pathdsl.limits import MOVES, STATES

__all__ = ["check_graph", "check_named"]

NODE_OPTIONS = ("given", "over", "like", "scope")


def check_graph(
    program: Program,
    shape: ModelShape,
    max_states: int = MAX_STATES,
    tasks: Collection[str] | None = None,
) -> list[Diagnostic]:
    """Every fault of the program on a model of this shape, each once, in the order of the file.

    `tasks`: those that run on models of this shape, where others do not; None for all. Then what is
    measured on these alone is looked at, with the names that it is made of: what reads tasks of
    several graphs is resolved where its runs are.
    """
    checker = _Checker(Resolver(program, shape, max_states))
    declarations = [*program.declarations()]
    if tasks is not None:
        declarations = _measured_on(program, tasks)
    for fault in structure_faults(program, shape, declarations, tasks):
        checker.add(fault)
    here = {id(one) for one in declarations}
    for group in program.groups.values():
        if id(group) in here:
            checker.attempt(partial(checker.resolver.places.nodes, group.name, {}))
    for path in program.paths.values():
        name = path.name.name
        if id(path) in here and not checker.paths(path.path, {}):
            checker.faulty.add(name)
    for declaration in declarations:
        match declaration:
            case ast.LetDecl() | ast.ClaimDecl():
                checker.looped(declaration)
            case ast.MetricDecl(expression=expression):
                checker.within(expression, {})
            case ast.InterveneDecl(actions=actions):
                for action in actions:
                    checker.action(action)
                    if isinstance(action.value, ast.PlainRun | ast.PathRun):
                        checker.within(action.value, {})
    return checker.faults


def _measured_on(program: Program, tasks: Collection[str]) -> list[Declaration]:
    """The lets and claims that read these tasks and no other, and what they are made of."""
    kept: list[Declaration] = []
    names: set[str] = set()
    looped: list[Looped] = [*program.lets.values(), *program.claims]
    for declaration in looped:
        nodes = [*reach(program, declaration)]
        read = tasks_read(program, nodes)
        if read and read <= {*tasks}:
            kept.append(declaration)
            names |= {node.name for node in nodes if isinstance(node, ast.Name | ast.Call)}
    return [one for one in program.declarations() if one in kept or one.name.name in names]


def check_named(resolver: Resolver, name: str) -> list[Diagnostic]:
    """The faults of one named path set."""
    checker = _Checker(resolver)
    checker.paths(resolver.program.paths[name].path, {})
    return checker.faults


def _counts_nodes(score: ast.Score) -> bool:
    """Whether a score compares sets by their nodes because nothing else was asked for."""
    over = SCORES[score.name].parameter("over")
    by_default = all(option.keyword != "over" for option in score.options)
    return over is not None and over.kind is Kind.OVER and by_default


def _by_head(labels: Iterable[str]) -> dict[str, set[str]]:
    """The units of each head, such as `a1.h2@S1` and `a1.h2@END`."""
    found: dict[str, set[str]] = {}
    for label in labels:
        for head in heads_of([label]):
            found.setdefault(head, set()).add(label)
    return found


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}{'s' * (count != 1)}"


class _Checker:
    """Collects faults; `faulty` are named paths that are wrong already, so uses of them are not."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        self.program = resolver.program
        self.blame = Blame(resolver)
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

    def looped(self, declaration: Looped) -> None:
        """Check the expressions of a let or claim, once for every member of its loop."""
        members: list[Instance] = []
        if not self.attempt(lambda: members.extend(self.members(declaration.loop, {}))):
            return
        self.each(members, sides_of(declaration))
        for side in sides_of(declaration):
            for node in walk(side):
                if isinstance(node, ast.Call) and is_correlation(node, self.program.kind):
                    self.attempt(partial(in_common, self.program, self.resolver, node))

    def members(self, loop: ast.Loop | None, outer: Bindings) -> tuple[Instance, ...]:
        return instances(self.program, self.resolver, loop, outer)

    def each(self, members: Sequence[Instance], expressions: Iterable[ast.Node]) -> None:
        """Check expressions for every member of a loop, one in which no variable stands once."""
        for expression in expressions:
            for written in self.parts(expression):
                names = {n for node in walk(written) for n in mentioned(node)}
                for one in members if names & members[0].bindings.keys() else members[:1]:
                    before = len(self.faults)
                    if isinstance(written, ast.OverMembers):
                        self.over(one.of(written), one.bindings)
                    else:
                        self.part(one.of(written), one.bindings)
                    if len(self.faults) > before:
                        if one.indices:
                            shown = ", ".join(f"{n} = {text}" for n, text in one.indices.items())
                            self.note(before, f"with {shown}")
                        break

    def over(self, over: ast.OverMembers, outer: Bindings) -> None:
        """Check what a function over members takes, for every member."""
        members: list[Instance] = []
        if self.attempt(lambda: members.extend(self.members(over.loop, outer))):
            self.each(members, over.sides)

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
                yield from self.scoped(paths, options)
            case ast.Score(name=name) if SCORES[name].of == "kept":
                pass  # what is in the file is read where it is asked for
            case ast.Score(name=name) if SCORES[name].of == "file":
                yield node  # reads its file by rank, not as a path set
            case ast.Score(name=name, options=options) if SCORES[name].of == "unit":
                yield node  # one node or edge, and not the paths through it
                yield from self.options(options)
            case ast.Score(subjects=subjects, options=options):
                for subject in subjects:
                    if isinstance(subject, ast.Score | ast.PlainRun | ast.PathRun):
                        yield from self.parts(subject)
                    else:
                        yield subject
                        yield from self.scoped(subject, options)
                yield from self.options(options)
                if _counts_nodes(node):
                    yield node
            case ast.AttentionArgs(head=head):
                yield head
            case ast.Call() if any(nodes_in(node)):
                yield from nodes_in(node)
            case ast.Subscript(member=member, more=more):
                yield from (part for part in (member, *more) if isinstance(part, ast.NodeRef))
            case ast.OverMembers():
                yield node  # has a loop of its own
            case _:
                for child in children(node):
                    yield from self.parts(child)

    def scoped(self, paths: ast.Node, options: tuple[ast.Argument, ...]) -> Iterator[ast.Node]:
        """What a path set and its scope share, where there is one."""
        for option in options:
            if option.keyword == "scope":  # none of a set that is `none` is no fault
                if not (self.says_none(paths, {}) or self.says_none(option.value, {})):
                    yield ast.SetOp(op="&", left=paths, right=option.value, span=paths.span)  # type: ignore[arg-type]

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
            if SCORES[part.name].of == "file":
                self.ranked(part)
            elif SCORES[part.name].of == "unit":
                self.attempt(lambda: self.attributed(part, bindings))
            else:
                self.attempt(lambda: self.shared(part, bindings))
        elif isinstance(part, ast.Chain | ast.Choice | ast.Group | ast.CompleteSet):
            self.paths(part, bindings)
        elif isinstance(part, ast.Name) and part.name not in bindings:
            if part.name in self.program.paths and part.name not in self.faulty:
                self.paths(part, bindings)
            elif part.name in self.program.groups:
                self.node(part, bindings)
        elif isinstance(part, ast.NodeRef):
            self.node(part, bindings)

    def ranked(self, score: ast.Score) -> None:
        """Check the file of a score over ranked edges, and its scope."""
        options = {option.keyword: option.value for option in score.options}
        if "scope" in options:
            self.within(options["scope"], {})
        signed = resolve_options(score).word("rank") == "signed"
        for subject in score.subjects:
            if isinstance(subject, ast.EdgesFile):
                warnings: list[Diagnostic] = []
                read = partial(self.resolver.ranking, subject, signed=signed)
                self.attempt(lambda: warnings.extend(tie_warnings(read(), subject)))  # noqa: B023
                self.faults += [one for one in warnings if one not in self.faults]

    def attributed(self, score: ast.Score, bindings: Bindings) -> None:
        """Check that an attribution is of one node, mark or edge."""
        options = resolve_options(score)
        by, slot = ATTRIBUTIONS[options.word("by")], str(options["slot"] or "")
        self.resolver.attributed(score.subjects[0], slot, bindings, by)  # type: ignore[arg-type]

    def shared(self, score: ast.Score, bindings: Bindings) -> None:
        """Warn where what two sets share hangs on the positions of the same heads."""
        sets = [self.resolver.units(p, bindings) for p in score.subjects]  # type: ignore[arg-type]
        placed = [frozenset(unit.label for unit in units) for units in sets]
        if not all(placed):
            return  # nodes on a path are counted, which have no positions
        places = [_by_head(labels) for labels in placed]
        both = sorted(places[0].keys() & places[1].keys())
        apart = [head for head in both if places[0][head] != places[1][head]]
        if not apart:
            return
        one, other = (places[i][apart[0]] for i in (0, 1))
        first = min(one - other or one)
        second = min(other - one or other - {first})
        alike = sum(len(places[0][head] & places[1][head]) for head in both)
        self.add(
            Diagnostic(
                code="PD534",
                message=f"`{first}` and `{second}` count as two nodes here, and as one head in "
                "most published overlaps",
                span=score.span,
                label=f"{_many(len(both), 'head')} in both sets, {_many(alike, 'node')}",
                help="`over: head` counts heads whatever their position, `over: node` says that "
                "positions are meant",
                severity=Severity.WARNING,
            )
        )

    def action(self, action: ast.Action) -> None:
        """What an action acts on."""
        self.attempt(lambda: targets_of(self.resolver.places, action))

    def node(self, ref: ast.NodeRef, bindings: Bindings) -> bool:
        named = as_position(ref)
        if named is not None and not any(
            isinstance(n, ast.Name) and (n.name in bindings or n.name in self.program.groups)
            for n in walk(ref)
        ):
            return True  # the item of a list, such as a path or the positions `{S1, S2}`
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
                    diagnostic = self.blame.located(diagnostic, expr, bindings)
                self.add(diagnostic)
            return
        if not count:
            self.add(self.blame.empty(expr, bindings))
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
        used = components_of(self.resolver.sets, paths)
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
