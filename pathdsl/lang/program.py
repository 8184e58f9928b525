"""One file together with the files that it uses: names to declarations, and where each came from.

`use "other.circuit"` brings in the tasks, groups, paths, metrics, lets and interventions of another
file, transitively; never its circuit block, its models or its claims. All names of a program form
one namespace (the circuit block's own name is a title and stands outside it). The first
declaration of a name is kept, every further one is reported with both places.

Source: docs/language.md, use.

    program, faults = load_program("ioi.circuit")
    program.paths["main"], program.origin["main"]
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pathdsl.errors import Diagnostic, Span
from pathdsl.lang import ast
from pathdsl.lang.fence import CLOSED, Fence, is_circuit, no_circuit, outside, too_many
from pathdsl.lang.syntax.parse import parse
from pathdsl.lang.syntax.source import SourceFile, read_source
from pathdsl.lang.walk import walk
from pathdsl.limits import FILES
from pathdsl.record import record

__all__ = ["Declaration", "Program", "Reader", "load_program"]

Declaration = (
    ast.TaskDecl
    | ast.GroupDecl
    | ast.PathDecl
    | ast.MetricDecl
    | ast.LetDecl
    | ast.InterveneDecl
    | ast.ModelDecl
    | ast.ClaimDecl
)

D = TypeVar("D")
T = TypeVar("T")

_KINDS: dict[type, str] = {
    ast.TaskDecl: "task",
    ast.GroupDecl: "group",
    ast.PathDecl: "path",
    ast.MetricDecl: "metric",
    ast.LetDecl: "let",
    ast.InterveneDecl: "intervention",
    ast.ModelDecl: "model",
    ast.ClaimDecl: "claim",
}
_STARTS = re.compile(
    r"^(?:model|task|group|path|metric|let|intervene|claim)[ \t]+(\w+)", re.MULTILINE
)


@record
class Program:
    """A file with all that `use` brings in.

    `claims` are this file's, in order, `models` too, and `model` is the first of these. `origin`
    says for every name which file declared it, so that relative data paths resolve to their own
    file. `broken` are names whose declaration could not be parsed: uses of them are no fault of
    their own. `fence` is where the files that it names may lie. `circuits` are the circuit blocks
    of all files: what a used one says of the rows that found it holds for its paths anywhere.
    """

    path: str
    file: ast.File
    sources: Mapping[str, SourceFile] = field(default_factory=dict)
    circuit: ast.CircuitDecl | None = None
    circuits: tuple[ast.CircuitDecl, ...] = ()
    models: Mapping[str, ast.ModelDecl] = field(default_factory=dict)
    tasks: Mapping[str, ast.TaskDecl] = field(default_factory=dict)
    groups: Mapping[str, ast.GroupDecl] = field(default_factory=dict)
    paths: Mapping[str, ast.PathDecl] = field(default_factory=dict)
    metrics: Mapping[str, ast.MetricDecl] = field(default_factory=dict)
    lets: Mapping[str, ast.LetDecl] = field(default_factory=dict)
    interventions: Mapping[str, ast.InterveneDecl] = field(default_factory=dict)
    claims: tuple[ast.ClaimDecl, ...] = ()
    origin: Mapping[str, str] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    fence: Fence = CLOSED
    _known: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, key: object, make: Callable[[], T]) -> T:
        """What several checks ask of a program and one works out; `key` names the question."""
        if key not in self._known:
            self._known[key] = make()
        answer: T = self._known[key]
        return answer

    def nodes(self, statement: ast.Node) -> tuple[ast.Node, ...]:
        """A statement of this program and every syntax node below it, parents first."""
        return self.once(("nodes", id(statement)), lambda: tuple(walk(statement)))

    @property
    def model(self) -> ast.ModelDecl | None:
        """The first model, which is the only one of most files; None without one."""
        return next(iter(self.models.values()), None)

    @property
    def is_library(self) -> bool:
        """True for a file that is only there to be used: no circuit block, no model, no claim."""
        return not self.claims and self.circuit is None and not self.models

    def find(self, name: str) -> Declaration | None:
        """The declaration of a name, or None."""
        for table in (
            self.groups,
            self.paths,
            self.metrics,
            self.lets,
            self.tasks,
            self.interventions,
            self.models,
        ):
            if name in table:
                return table[name]
        return self.once("claims", self._claims_by_name).get(name)

    def _claims_by_name(self) -> dict[str, ast.ClaimDecl]:
        # Backwards, so that of two with one name the first is kept.
        return {claim.name.name: claim for claim in reversed(self.claims)}

    def kind(self, name: str) -> str:
        """What a name is: "group", "path", "metric", …, or "" where nothing declares it."""
        declaration = self.find(name)
        return _KINDS[type(declaration)] if declaration is not None else ""

    def names(self, *kinds: str) -> list[str]:
        """All declared names of these kinds, in order of declaration."""
        return [name for name in self.origin if self.kind(name) in kinds]

    def declarations(self) -> Iterator[Declaration]:
        """Every declaration of the program, `use` first, without the models."""
        for table in (self.tasks, self.groups, self.paths, self.metrics, self.lets):
            yield from table.values()
        yield from self.interventions.values()
        yield from self.claims


def kind_of(declaration: Declaration) -> str:
    """The word for a declaration's kind, as messages use it."""
    return _KINDS[type(declaration)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """How files are read: `source` gives the text of one by its path, `parsed` what a text says.

    What is parsed comes with the source that its spans point into, of the same path.
    """

    source: Callable[[str], SourceFile | Diagnostic]
    parsed: Callable[[SourceFile], tuple[SourceFile, ast.File, list[Diagnostic]]]


def _from_disk(path: str) -> SourceFile | Diagnostic:
    return read_source(path, named=False)


def _parsed(source: SourceFile) -> tuple[SourceFile, ast.File, list[Diagnostic]]:
    return (source, *parse(source.text, source.path))


FROM_DISK = Reader(source=_from_disk, parsed=_parsed)


def load_program(
    path: str, text: str | None = None, fence: Fence | None = None, reader: Reader = FROM_DISK
) -> tuple[Program, list[Diagnostic]]:
    """The program of a file and every fault of syntax, of `use` and of names declared twice.

    `text` replaces the file's content (an editor's unsaved buffer). `fence`: where files that it
    names may lie, that around `path` if not said. A file that cannot be read gives an empty program
    and the fault that says why. `reader`: how texts are read, where an editor keeps what it parsed.
    """
    fence = Fence.around(path) if fence is None else fence
    loader = _Loader(fence, reader)
    source = SourceFile(path, text) if text is not None else read_source(path)
    if isinstance(source, Diagnostic):
        file = ast.File(span=Span(path=path, start=0, end=0), path=path)
        return Program(path=path, file=file, fence=fence), [source]
    file = loader.load(source, named=text is not None or is_circuit(path))
    return loader.program(path, file), loader.faults


@dataclass(slots=True)
class _Open:
    """A file whose `use` statements are being followed: those before `next` are done."""

    file: ast.File
    path: str
    identity: str
    uses: list[ast.UseDecl]
    next: int = 0


class _Loader:
    """Collects declarations over the files of one program."""

    def __init__(self, fence: Fence, reader: Reader) -> None:
        self.fence = fence
        self.reader = reader
        self.faults: list[Diagnostic] = []
        self.sources: dict[str, SourceFile] = {}
        self.found: dict[str, Declaration] = {}
        self.origin: dict[str, str] = {}
        self.claims: list[ast.ClaimDecl] = []
        self.circuits: list[ast.CircuitDecl] = []
        self.broken: set[str] = set()
        self.loaded: set[str] = set()
        self.open: list[_Open] = []

    def load(self, source: SourceFile, *, named: bool) -> ast.File:
        """Take in a file's declarations, after those of the files that it uses, and theirs.

        `named`: the file is named as a circuit file is. The files that are open stand in a list, so
        that a chain of them may be as long as it likes.
        """
        first = self.parsed(source, named, None)
        while self.open:
            top = self.open[-1]
            if top.next < len(top.uses):
                top.next += 1
                self.use(top.uses[top.next - 1], top.path)
                continue
            for statement in top.file.statements:
                if isinstance(statement, ast.CircuitDecl):
                    self.circuits.append(statement)
                if isinstance(statement, ast.UseDecl | ast.CircuitDecl):
                    continue
                if top.file is not first and isinstance(statement, ast.ModelDecl | ast.ClaimDecl):
                    continue
                self.declare(statement, top.path)
            self.open.pop()
        return first

    def parsed(self, source: SourceFile, named: bool, use: ast.UseDecl | None) -> ast.File:
        """Parse a file and open it; of one that is no circuit nothing is said but that."""
        source, file, faults = self.reader.parsed(source)
        identity = os.path.realpath(source.path)
        self.loaded.add(identity)
        hidden = bool(faults) and not named
        if hidden:
            where = (use.path, use.path_span) if use is not None else (source.path, None)
            self.faults.append(no_circuit(*where))
            file = ast.File(span=file.span, path=file.path)
        uses = [one for one in file.statements if isinstance(one, ast.UseDecl)]
        self.open.append(_Open(file=file, path=source.path, identity=identity, uses=uses))
        if hidden:
            return file
        self.sources[source.path] = source
        self.faults += faults
        self.broken |= {name.name for name in file.broken}
        if faults and not file.statements:  # nothing of the text could be read
            self.broken |= set(_STARTS.findall(source.text))
        return file

    def use(self, statement: ast.UseDecl, path: str) -> None:
        """Open one `use`; cycles and unreadable files are faults, a second route is none."""
        target = os.path.normpath(os.path.join(os.path.dirname(path), statement.path))
        if not self.fence.holds(target):
            self.faults.append(outside(statement.path, statement.path_span))
            return
        identity = os.path.realpath(target)
        opened = [one.identity for one in self.open]
        if identity in opened:
            chain = [*opened[opened.index(identity) :], identity]
            self.faults.append(
                Diagnostic(
                    code="PD106",
                    message=f"`{statement.path}` uses itself: "
                    + " -> ".join(f"`{os.path.basename(p)}`" for p in _short(chain)),
                    span=statement.path_span,
                    label="closes the circle",
                    help="move what both files need into a third file and use that one",
                )
            )
            return
        if identity in self.loaded:
            return
        if len(self.loaded) >= FILES.most:
            self.faults.append(too_many(FILES.most, statement.path_span))
            return
        source = self.reader.source(target)
        if isinstance(source, Diagnostic):
            self.faults.append(
                Diagnostic(
                    code="PD105",
                    message=f"`{statement.path}` cannot be used: {source.message}",
                    span=statement.path_span,
                    label="this file",
                    notes=("paths are relative to the file they are written in",),
                    help=source.help,
                )
            )
            return
        self.parsed(source, is_circuit(target), statement)

    def declare(self, statement: Declaration, path: str) -> None:
        """Take in one declaration, or report that its name is taken."""
        name = statement.name.name
        earlier = self.found.get(name)
        if earlier is None:
            self.found[name] = statement
            self.origin[name] = path
            if isinstance(statement, ast.ClaimDecl):
                self.claims.append(statement)
            return
        where = "" if self.origin[name] == path else f" in `{self.origin[name]}`"
        self.faults.append(
            Diagnostic(
                code="PD103",
                message=f"`{name}` is declared twice, as {_KINDS[type(earlier)]}{where} "
                f"and as {_KINDS[type(statement)]}",
                span=statement.name.span,
                label="declared again here",
                labels=((earlier.name.span, "first declared here"),),
                help=f"rename one of them, for example `{name}_2`",
            )
        )

    def program(self, path: str, file: ast.File) -> Program:
        """The finished program."""

        def table(kind: type[D]) -> dict[str, D]:
            return {n: d for n, d in self.found.items() if isinstance(d, kind)}

        own = file.statements
        return Program(
            path=path,
            file=file,
            sources=self.sources,
            circuit=next((s for s in own if isinstance(s, ast.CircuitDecl)), None),
            circuits=tuple(self.circuits),
            models=table(ast.ModelDecl),
            tasks=table(ast.TaskDecl),
            groups=table(ast.GroupDecl),
            paths=table(ast.PathDecl),
            metrics=table(ast.MetricDecl),
            lets=table(ast.LetDecl),
            interventions=table(ast.InterveneDecl),
            claims=tuple(self.claims),
            origin=self.origin,
            broken=frozenset(self.broken),
            fence=self.fence,
        )


def _short(chain: list[str], most: int = 8) -> list[str]:
    """A long chain without its middle."""
    return chain if len(chain) <= most else [*chain[: most // 2], "…", *chain[-most // 2 :]]
