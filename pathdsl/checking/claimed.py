"""The path sets that claims are judged on: how each is defined, and how large it is on the model.

found = claimed_sets(program, resolver, judgement.claims)
[(one.name, one.nodes, one.of_nodes) for one in found.sets]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pathdsl.errors import Diagnostic, PathdslError, Severity, Span
from pathdsl.graph.model.components import bits
from pathdsl.graph.paths.pathset import FULL, PathSet, intersection, minus
from pathdsl.graph.resolve.instances import Index, Instance, instances, members_of, ranging
from pathdsl.graph.resolve.places import Bindings, text_of
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.reach import reach
from pathdsl.lang.serving import tasks_read
from pathdsl.lang.subjects import (
    Subject,
    hypothesis_of,
    is_about,
    is_complement,
    is_control,
    left_out,
    meant,
    subjects,
)
from pathdsl.lang.walk import strip
from pathdsl.lang.written import written
from pathdsl.record import record
from pathdsl.score.results import ClaimResult

__all__ = ["Claimed", "ClaimedSet", "Size", "claimed_sets"]

NAMED = 3
SIZED = 24
"""Members of one loop whose sets are counted; each takes milliseconds, and they are much alike."""
MOST_NODES, MOST_EDGES, FILLED = 0.8, 0.75, 0.5
"""The shares of nodes and edges from which a set is most of the model, if it also holds that share
of the paths along its edges: all paths through one head of the first layer have nearly all edges,
and are few."""


@record
class Size:
    """How many nodes and edges lie on some path of a set, and how many the model has."""

    nodes: int
    of_nodes: int
    edges: int
    of_edges: int


@record
class ClaimedSet:
    """A path set of some claim.

    `name`: as claims write it, `main`, `through(a1.h2@END)`, and `form` the same before loop
    variables have their members. `definition`: what the file says that a named set is, "" for an
    expression that stands in the claim itself. `size` is None for members of a long loop and where
    counting takes too many steps.
    """

    name: str
    form: str
    definition: str
    size: Size | None


@record
class Claimed:
    """The path sets of the claims of one file, in the order of mention.

    `by_claim`: for each claim the places of its sets in `sets`. `declared`: the named paths and
    groups that they are made of, each with its text. `drawn`: the named sets that claims are about,
    also of their complements, the hypothesis first. `about_hypothesis` is None where none is
    stated.
    """

    sets: tuple[ClaimedSet, ...]
    by_claim: tuple[tuple[int, ...], ...]
    declared: Mapping[str, str]
    drawn: tuple[str, ...]
    hypothesis: str | None
    about_hypothesis: bool | None


def claimed_sets(
    program: Program, resolver: Resolver, claims: Sequence[ClaimResult]
) -> tuple[Claimed, list[Diagnostic]]:
    """The path sets of judged claims, and PD522 for each that is kept and most of the model."""
    finder = _Finder(program, resolver)
    by_claim = tuple([finder.claim(one) for one in claims])
    return finder.claimed(by_claim), finder.warnings()


class _Finder:
    """Walks the claims of one program; every path set is resolved and counted once."""

    def __init__(self, program: Program, resolver: Resolver) -> None:
        self.program = program
        self.whole = resolver
        self.resolver = resolver
        self.hypothesis = hypothesis_of(program)
        if self.hypothesis not in program.paths:
            self.hypothesis = None
        self.about = False
        self.sets: list[ClaimedSet] = []
        self.drawn: dict[PathSet, str] = {}
        self.nodes: list[ast.Node] = []
        self.large: dict[str, tuple[Size, list[tuple[ast.ClaimDecl, ast.PathExpr]]]] = {}
        self._places: dict[str, int] = {}
        self._sizes: dict[tuple[Resolver, PathSet], Size | None] = {}
        self._members: dict[str, dict[str, Instance]] = {}
        self._indices: dict[str, Index] = {}

    def claim(self, result: ClaimResult) -> tuple[int, ...]:
        """The places of a claim's path sets, which are added."""
        decl = self.program.find(result.declared)
        if not isinstance(decl, ast.ClaimDecl):
            return ()
        self.resolver = _graph_of(self.program, self.whole, decl)
        one, before = Instance(), 0
        if decl.loop is not None:
            members = self._of_loop(decl.name.name, decl.loop)
            one, before = members[result.member], list(members).index(result.member)
        places: dict[int, None] = {}
        for subject in subjects(self.program, one.of(decl), one.bindings, self):
            counted = before + len(places) < SIZED if before < SIZED else False
            place = self.add(subject, counted)
            places[place] = None
            self.note(subject)
            if counted and subject.wants >= 0:
                self.weigh(decl, subject, self.sets[place].name)
        return tuple(places)

    def add(self, subject: Subject, counted: bool) -> int:
        """The place of a path set."""
        expr, program = strip(subject.paths), self.program
        name = text_of(program, expr, subject.bound)
        if name not in self._places:
            definition = ""
            if isinstance(expr, ast.Name) and name in program.paths:
                definition = _definition(program, program.paths[name].path)
            size = self.size(self.resolver.path_set(subject.paths, subject.bound), counted)
            form = written(program, expr)
            self._places[name] = len(self.sets)
            self.sets.append(ClaimedSet(name=name, form=form, definition=definition, size=size))
            self.nodes.append(expr)
        return self._places[name]

    def size(self, paths: PathSet, counted: bool = True) -> Size | None:
        """The size of a set; None where it is not counted, or takes more steps than are allowed."""
        key = self.resolver, paths
        if key not in self._sizes and counted:
            try:
                self._sizes[key] = _size(self.resolver, paths)
            except PathdslError:
                self._sizes[key] = None
        return self._sizes.get(key)

    def note(self, subject: Subject) -> None:
        """Note whether a set is the hypothesis, and which named sets are to be drawn."""
        program = self.program
        if self.hypothesis is not None and is_about(program, subject, self.hypothesis):
            self.about = True
        if subject.how == "scope":
            return
        for node in (subject.paths, *left_out(program, subject.paths)):
            named = strip(node)
            if isinstance(named, ast.Name) and named.name in program.paths:
                if not is_control(program, named):
                    self.drawn.setdefault(self.resolver.path_set(named), named.name)

    def weigh(self, decl: ast.ClaimDecl, subject: Subject, name: str) -> None:
        """Note a set that a claim keeps and that is most of the model."""
        kept = self._kept(subject)
        size = self.size(kept) if kept is not None else None
        if kept is None or size is None or not self._is_most(kept, size):
            return
        title = f"`{name}`" if subject.how == "kept" else f"what `treat({name})` leaves"
        claims = self.large.setdefault(title, (size, []))[1]
        if all(decl is not other for other, _ in claims):
            claims.append((decl, subject.paths))

    def _kept(self, subject: Subject) -> PathSet | None:
        """What a run or a score keeps as if it were a circuit; None for any other use of a set.

        A set written as all paths but some is no circuit, unless it is the hypothesis; to treat it
        is to keep the others.
        """
        program, paths = self.program, subject.paths
        if is_control(program, paths):
            return None
        if subject.how == "kept":
            stated = self.hypothesis is not None and meant(program, paths) == meant(
                program, program.paths[self.hypothesis].path
            )
            if is_complement(program, paths) and not stated:
                return None
        elif subject.how != "treated" or not is_complement(program, paths):
            return None
        kept = self.resolver.path_set(paths, subject.bound)
        if subject.how == "treated":
            kept = minus(FULL, kept)
        if subject.scope is not None:
            kept = intersection(kept, self.resolver.path_set(subject.scope, subject.bound))
        return kept

    def _is_most(self, paths: PathSet, size: Size) -> bool:
        """Whether a set is most of the model."""
        many = size.nodes >= MOST_NODES * size.of_nodes and size.edges >= MOST_EDGES * size.of_edges
        return many and _filled(self.resolver, paths) >= FILLED

    def warnings(self) -> list[Diagnostic]:
        """PD522 for each large set, at the first claim that keeps it; members of a loop are one."""
        by_place: dict[Span | None, list[str]] = {}
        for title, (_, places) in self.large.items():
            by_place.setdefault(places[0][1].span, []).append(title)
        return [
            _too_large(title, *self.large[title], others) for title, *others in by_place.values()
        ]

    def claimed(self, by_claim: tuple[tuple[int, ...], ...]) -> Claimed:
        """All that was found."""
        program, hypothesis, drawn = self.program, self.hypothesis, self.drawn
        if hypothesis is not None:
            paths = self.resolver.path_set(program.paths[hypothesis].path)
            # The hypothesis stands first, under its own name, where a claim is about it.
            rest = {key: name for key, name in drawn.items() if key != paths}
            drawn = {paths: hypothesis, **rest} if self.about else rest
        return Claimed(
            sets=tuple(self.sets),
            by_claim=by_claim,
            declared=self._declared(),
            drawn=tuple(drawn.values()),
            hypothesis=hypothesis,
            about_hypothesis=self.about if hypothesis is not None else None,
        )

    def _declared(self) -> dict[str, str]:
        """The paths and groups that the sets are made of, in the order of the program."""
        program = self.program
        seen: set[str] = set()
        for node in self.nodes:
            for inner in reach(program, node, seen):
                if isinstance(inner, ast.Name) and inner.name in program.groups:
                    seen.add(inner.name)
        named = [one for one in program.origin if one in seen]
        found = (program.paths.get(one) or program.groups.get(one) for one in named)
        return {
            decl.name.name: written(program, decl) for decl in found if decl is not None
        }  # fmt: skip

    def named(
        self, let: ast.LetDecl, node: ast.Subscript, bound: Bindings
    ) -> tuple[ast.Node, Bindings]:
        """The expression of the member of a let that a subscript names, and what is bound in it."""
        name = let.name.name
        if name not in self._indices:
            assert let.loop is not None
            resolver = ranging(self.program, self.whole, let)
            self._indices[name] = Index(self.program, resolver, let.loop)
        one = self._indices[name].named(node, bound)
        return one.of(let.expression), one.bindings

    def of(self, over: ast.OverMembers, bound: Bindings) -> Iterator[tuple[ast.Node, Bindings]]:
        """What a function over members takes of each, and what is bound in it."""
        for one in members_of(self.program, self.whole, over, bound):
            for part in over.sides:
                yield one.of(part), one.bindings

    def _of_loop(self, name: str, loop: ast.Loop) -> dict[str, Instance]:
        if name not in self._members:
            members = instances(self.program, self.resolver, loop)
            self._members[name] = {one.label: one for one in members}
        return self._members[name]


def _graph_of(program: Program, resolver: Resolver, claim: ast.ClaimDecl) -> Resolver:
    """The graph on which a claim's sets are shown: that of its tasks' model.

    Of several models that differ in their nodes the first on which every set of it is one.
    """
    if not resolver.others:
        return resolver
    read = tasks_read(program, reach(program, claim))
    graphs = list(dict.fromkeys(resolver.on(name) for name in program.tasks if name in read))
    for graph in graphs[:-1]:
        try:
            for subject in subjects(program, claim):
                graph.path_set(subject.paths)
        except PathdslError:
            continue
        return graph
    return graphs[-1] if graphs else resolver


def _size(resolver: Resolver, paths: PathSet) -> Size:
    product = resolver.sets.product(paths)
    read, layout = product.senders(), product.layout
    return Size(
        nodes=sum(layout.any_mask >> one & 1 for one in product.own_nodes()),
        of_nodes=layout.any_mask.bit_count(),
        edges=sum(senders.bit_count() for senders in read.values()),
        of_edges=layout.n_edges(),
    )


def _filled(resolver: Resolver, paths: PathSet) -> float:
    """The share of a set among all paths along its own edges; 1 for a set that is `none`."""
    product = resolver.sets.product(paths)
    counts = {0: 1}
    for (receiver, _), senders in sorted(product.senders().items()):
        here = sum(counts.get(one, 0) for one in bits(senders))  # all of them come before it
        counts[receiver] = counts.get(receiver, 0) + here
    along = counts.get(product.layout.logits, 0)
    return product.count() / along if along else 1.0


def _too_large(
    title: str,
    size: Size,
    places: Sequence[tuple[ast.ClaimDecl, ast.PathExpr]],
    alike: Sequence[str],
) -> Diagnostic:
    """`alike`: other members of its loop of which the same is to be said."""
    (first, paths), *others = places
    more = f" and {len(alike) - NAMED} more" if len(alike) > NAMED else ""
    return Diagnostic(
        code="PD522",
        message=f"{title} is most of the model: {size.nodes:,} of {size.of_nodes:,} nodes, "
        f"{size.edges:,} of {size.of_edges:,} edges",
        span=paths.span,
        label=f"kept in `{first.name.name}`, with little left to be wrong about",
        labels=tuple((other.name.span, "and here") for other, _ in others[:3]),
        notes=(f"so are {', '.join(alike[:NAMED])}{more}",) if alike else (),
        help="keep what does the work alone, or claim what the rest does not do",
        severity=Severity.WARNING,
    )


def _definition(program: Program, path: ast.Node) -> str:
    """The text of a path on one line, on which edge chains need a sign between them."""
    if isinstance(path, ast.Edges):
        return f"edges {{ {'; '.join(written(program, chain) for chain in path.chains)} }}"
    return written(program, path)
