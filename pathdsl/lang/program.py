"""One file together with the files that it uses: names to declarations, and where each came from.

`use "other.circuit"` brings in the tasks, groups, paths, metrics, lets and interventions of another
file, transitively; never its circuit block, its model or its claims. All names of a program form
one namespace (the circuit block's own name is a title and stands outside it). The first
declaration of a name is kept, every further one is reported with both places.

Source: language.md section 3.

    program, faults = load_program("hypotheses/ioi.circuit")
    program.paths["main"], program.origin["main"]
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pathdsl.errors import Diagnostic, Span
from pathdsl.lang import ast
from pathdsl.lang.parse import parse
from pathdsl.lang.source import SourceFile, read_source
from pathdsl.lang.walk import walk

__all__ = ["Declaration", "Program", "load_program"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A file with all that `use` brings in.

    `claims` are this file's, in order. `origin` says for every name which file declared it, so
    that relative data paths resolve to their own file. `broken` are names whose declaration could
    not be parsed: uses of them are no fault of their own.
    """

    path: str
    file: ast.File
    sources: Mapping[str, SourceFile] = field(default_factory=dict)
    circuit: ast.CircuitDecl | None = None
    model: ast.ModelDecl | None = None
    tasks: Mapping[str, ast.TaskDecl] = field(default_factory=dict)
    groups: Mapping[str, ast.GroupDecl] = field(default_factory=dict)
    paths: Mapping[str, ast.PathDecl] = field(default_factory=dict)
    metrics: Mapping[str, ast.MetricDecl] = field(default_factory=dict)
    lets: Mapping[str, ast.LetDecl] = field(default_factory=dict)
    interventions: Mapping[str, ast.InterveneDecl] = field(default_factory=dict)
    claims: tuple[ast.ClaimDecl, ...] = ()
    origin: Mapping[str, str] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    _known: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, key: object, make: Callable[[], T]) -> T:
        """What several checks ask of a program and one works out; `key` names the question."""
        if key not in self._known:
            self._known[key] = make()
        found: T = self._known[key]
        return found

    def nodes(self, declaration: Declaration) -> tuple[ast.Node, ...]:
        """A declaration of this program and every syntax node below it, parents first."""
        return self.once(("nodes", id(declaration)), lambda: tuple(walk(declaration)))

    @property
    def is_library(self) -> bool:
        """True for a file that is only there to be used: no circuit block, no model, no claim."""
        return not self.claims and self.circuit is None and self.model is None

    def find(self, name: str) -> Declaration | None:
        """The declaration of a name, or None."""
        for table in (
            self.groups,
            self.paths,
            self.metrics,
            self.lets,
            self.tasks,
            self.interventions,
        ):
            if name in table:
                return table[name]  # type: ignore[return-value]
        if self.model is not None and self.model.name.name == name:
            return self.model
        return self.once("claims", self._claims_by_name).get(name)

    def _claims_by_name(self) -> dict[str, ast.ClaimDecl]:
        # Backwards, so that of two with one name the first is kept.
        return {claim.name.name: claim for claim in reversed(self.claims)}

    def kind(self, name: str) -> str:
        """What a name is: "group", "path", "metric", …, or "" where nothing declares it."""
        found = self.find(name)
        return _KINDS[type(found)] if found is not None else ""

    def names(self, *kinds: str) -> list[str]:
        """All declared names of these kinds, in order of declaration."""
        return [name for name in self.origin if self.kind(name) in kinds]

    def declarations(self) -> Iterator[Declaration]:
        """Every declaration of the program, `use` first, without the model."""
        for table in (self.tasks, self.groups, self.paths, self.metrics, self.lets):
            yield from table.values()
        yield from self.interventions.values()
        yield from self.claims


def kind_of(declaration: Declaration) -> str:
    """The word for a declaration's kind, as messages use it."""
    return _KINDS[type(declaration)]


def load_program(path: str, text: str | None = None) -> tuple[Program, list[Diagnostic]]:
    """The program of a file and every fault of syntax, of `use` and of names declared twice.

    `text` replaces the file's content (an editor's unsaved buffer). A file that cannot be read
    gives an empty program and the fault that says why.
    """
    loader = _Loader()
    source = SourceFile(path, text) if text is not None else read_source(path)
    if isinstance(source, Diagnostic):
        file = ast.File(span=Span(path=path, start=0, end=0), path=path)
        return Program(path=path, file=file), [source]
    file = loader.load(source, used=False)
    return loader.program(path, file), loader.faults


class _Loader:
    """Collects declarations over the files of one program."""

    def __init__(self) -> None:
        self.faults: list[Diagnostic] = []
        self.sources: dict[str, SourceFile] = {}
        self.found: dict[str, Declaration] = {}
        self.origin: dict[str, str] = {}
        self.claims: list[ast.ClaimDecl] = []
        self.broken: set[str] = set()
        self.loaded: set[Path] = set()
        self.open: list[Path] = []

    def load(self, source: SourceFile, *, used: bool) -> ast.File:
        """Parse one file and take in its declarations, after those of the files that it uses."""
        self.sources[source.path] = source
        file, faults = parse(source.text, source.path)
        self.faults += faults
        self.broken |= {name.name for name in file.broken}
        if faults and not file.statements:  # nothing of the text could be read
            self.broken |= set(_STARTS.findall(source.text))
        identity = Path(source.path).resolve()
        self.loaded.add(identity)
        self.open.append(identity)
        for statement in file.statements:
            if isinstance(statement, ast.UseDecl):
                self.use(statement, source.path)
        for statement in file.statements:
            if isinstance(statement, ast.UseDecl | ast.CircuitDecl):
                continue
            if used and isinstance(statement, ast.ModelDecl | ast.ClaimDecl):
                continue
            self.declare(statement, source.path)
        self.open.pop()
        return file

    def use(self, statement: ast.UseDecl, path: str) -> None:
        """Follow one `use`; cycles and unreadable files are faults, a second route is none."""
        target = os.path.normpath(os.path.join(os.path.dirname(path), statement.path))
        identity = Path(target).resolve()
        if identity in self.open:
            chain = [*self.open[self.open.index(identity) :], identity]
            self.faults.append(
                Diagnostic(
                    code="PD106",
                    message=f"`{statement.path}` uses itself: "
                    + " -> ".join(f"`{p.name}`" for p in chain),
                    span=statement.path_span,
                    label="closes the circle",
                    help="move what both files need into a third file and use that one",
                )
            )
            return
        if identity in self.loaded:
            return
        source = read_source(target, named=False)
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
        self.load(source, used=True)

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
        if isinstance(statement, ast.ModelDecl) and isinstance(earlier, ast.ModelDecl):
            return  # PD118 says more
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
            model=next((s for s in own if isinstance(s, ast.ModelDecl)), None),
            tasks=table(ast.TaskDecl),
            groups=table(ast.GroupDecl),
            paths=table(ast.PathDecl),
            metrics=table(ast.MetricDecl),
            lets=table(ast.LetDecl),
            interventions=table(ast.InterveneDecl),
            claims=tuple(self.claims),
            origin=self.origin,
            broken=frozenset(self.broken),
        )
