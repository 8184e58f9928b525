"""One open file: its program after every keystroke, and what is wrong with it.

Two looks at a version. The quick one, at each keystroke: statements that changed are parsed and
checked for themselves, and what was said of the others stands where they are now. The whole one is
`lint`, on the page and on the graph of the model, and is made when the hands rest; it says exactly
what `pathdsl lint` prints.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from pathdsl.checking.prepare import resolver_at_hand, with_graph, with_rows
from pathdsl.editor.names import Mention, mentions, placed
from pathdsl.editor.statements import Statements, Version
from pathdsl.errors import Diagnostic, PathdslError, Span
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang import ast
from pathdsl.lang.check.whole import check_statement
from pathdsl.lang.fence import Fence
from pathdsl.lang.lint import lint_program, sort_diagnostics
from pathdsl.lang.program import Program, Reader, load_program
from pathdsl.lang.serving import known_positions
from pathdsl.lang.syntax.parse import parse
from pathdsl.lang.syntax.source import SourceFile, read_source

__all__ = ["Document", "Whole"]

Opened = Callable[[str], str | None]
"""The text of a file that is open in the editor, by its path; None for any other."""
Parsed = tuple[SourceFile, ast.File, list[Diagnostic]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What one whole look at a version gave: its faults, and sizes by name.

    `loaded` are the faults of syntax and of names declared twice. `resolver` is None where no
    config of the model is at hand, or none can be used.
    """

    version: Version
    program: Program
    faults: tuple[Diagnostic, ...]
    loaded: frozenset[Diagnostic]
    resolver: Resolver | None
    sizes: Mapping[str, str] = field(default_factory=dict)


class Document:
    """A file that is open; what it names may lie below `roots`, folders that the user opened."""

    def __init__(self, path: str, text: str, opened: Opened, roots: tuple[str, ...] = ()) -> None:
        self.path = path
        self._statements = Statements(path)
        self._opened = opened
        self._others: dict[str, Parsed] = {}
        self._mentions: dict[int, tuple[ast.Statement, tuple[Mention, ...]]] = {}
        around = Fence.around(path)
        self.fence = replace(around, roots=tuple(dict.fromkeys((*(around.roots or ()), *roots))))
        self.whole: Whole | None = None
        self.change(text)

    # ---------------------------------------------------------------------------------------------
    # Reading
    # ---------------------------------------------------------------------------------------------

    def change(self, text: str) -> None:
        """Take in a new text: the quick look."""
        self.version = self._statements.read(text)
        version = self.version
        identity = os.path.realpath(self.path)

        def parsed(source: SourceFile) -> Parsed:
            if os.path.realpath(source.path) == identity:
                return version.source, version.file, version.faults
            known = self._others.get(source.path)
            if known is None or known[0].text != source.text:
                known = self._others[source.path] = (source, *parse(source.text, source.path))
            return known

        reader = Reader(source=self._source, parsed=parsed)
        self.program, loaded = load_program(self.path, text, self.fence, reader)
        self._now = version, self.program, tuple(loaded)
        self.faults = self._quick()

    def _source(self, path: str) -> SourceFile | Diagnostic:
        text = self._opened(path)
        return SourceFile(path, text) if text is not None else read_source(path, named=False)

    def _quick(self) -> list[Diagnostic]:
        """Faults of syntax and names, of the changed statements, and those that are still there."""
        found = list(self._now[2])
        for statement in self.version.fresh:
            if self.whole is None:
                break  # the file was just opened: the whole look is next
            try:
                found += check_statement(self.program, statement)
            except RecursionError:  # it is defined by itself: the whole look says so
                pass
        return sort_diagnostics([*found, *self._still()], first=self.path)

    def _still(self) -> Iterator[Diagnostic]:
        """The faults of the whole look at an earlier version, but in what changed since."""
        if self.whole is None or not self.version.continues(self.whole.version):
            return
        for fault in self.whole.faults:
            if fault in self.whole.loaded:  # these are known at every keystroke
                continue
            if fault.span is None or self._is_here(fault.span):
                labels = tuple(one for one in fault.labels if self._is_here(one[0]))
                yield fault if labels == fault.labels else replace(fault, labels=labels)

    def _is_here(self, span: Span) -> bool:
        return span.path != self.path or self.version.here(span) is not None

    def look(self) -> Whole:
        """The whole look at this version; may be called beside the loop that reads keystrokes."""
        version, program, loaded = self._now  # at once: a keystroke may come meanwhile
        linted = sort_diagnostics([*loaded, *lint_program(program)], first=self.path)
        faults = with_rows(program, with_graph(program, linted))
        try:
            resolver = resolver_at_hand(program)
        except PathdslError:  # the fault is told already
            resolver = None
        return Whole(
            version=version, program=program, faults=tuple(faults), loaded=frozenset(loaded),
            resolver=resolver,
            sizes=_sizes(program, resolver) if resolver is not None else {},
        )  # fmt: skip

    def seen(self, whole: Whole) -> bool:
        """Take in what a whole look gave; False where the text has changed meanwhile."""
        self.whole = whole
        if whole.version is not self.version:
            return False
        self.faults = list(whole.faults)
        return True

    # ---------------------------------------------------------------------------------------------
    # Names
    # ---------------------------------------------------------------------------------------------

    def mentions(self, statement: ast.Statement) -> tuple[Mention, ...]:
        """The names of a statement of the program, each with its exact place."""
        known = self._mentions.get(id(statement))
        if known is None or known[0] is not statement:
            source = self.program.sources.get(statement.span.path)
            text = source.text if source is not None else ""
            known = (statement, tuple(placed(one, text) for one in mentions(statement)))
            if len(self._mentions) > 20_000:
                self._mentions.clear()
            self._mentions[id(statement)] = known
        return known[1]

    def statements(self) -> list[ast.Statement]:
        """Those of this file, then the declarations that it uses from others."""
        used = (d for d in self.program.declarations() if d.span.path != self.path)
        return [*self.program.file.statements, *used]

    def at(self, offset: int) -> tuple[Mention, ast.Statement] | None:
        """The name at a place of this file, or just before it, and its statement."""
        statement, place = self.version.statement(offset), self.version.there(offset)
        if statement is None or place is None:
            return None
        found = [one for one in self.mentions(statement) if one.span.start <= place <= one.span.end]
        inside = [one for one in found if place < one.span.end] or found
        return (inside[0], statement) if inside else None

    def meant(self, mention: Mention) -> tuple[str, object]:
        """What a name means: two names with one answer mean one thing.

        ("variable", place), ("declared", name), ("position", name), ("column", name), ("file",
        path), or ("word", name) for what the language means by it.
        """
        program, name = self.program, mention.name
        if mention.variable is not None:
            return "variable", mention.variable
        if mention.told == "file":
            return "file", name
        if mention.told == "name" and (program.find(name) is not None or self.is_title(name)):
            return "declared", name
        if mention.told in ("name", "position") and name in self.positions():
            return "position", name
        if mention.told == "column":
            return "column", name
        return "word", name

    def is_title(self, name: str) -> bool:
        """Whether it is the name of the circuit block, which nothing mentions."""
        circuit = self.program.circuit
        return circuit is not None and circuit.name.name == name

    def positions(self) -> tuple[str, ...]:
        """The positions of all tasks, as far as they are known without rows."""
        program = self.program
        found = [name for task in program.tasks.values() for name in known_positions(program, task)]
        return tuple(dict.fromkeys(["END", *found]))


def _sizes(program: Program, resolver: Resolver) -> dict[str, str]:
    """How many paths each path of the file has, and how many nodes each group, in words."""
    found: dict[str, str] = {}
    if resolver.others:
        return found  # several graphs: `explain` says each
    for name, path in program.paths.items():
        if program.origin.get(name) == program.path:
            try:
                count = resolver.count(resolver.path_set(path.path))
            except (PathdslError, RecursionError):
                continue
            shown = f"{count:,}" if count < 10**9 else f"{count:.2e}"
            found[name] = f"{shown} path{'s' * (count != 1)}"
    for name, group in program.groups.items():
        if program.origin.get(name) == program.path:
            try:
                members = resolver.places.singles(replace(group.name, at=None), {})
            except (PathdslError, RecursionError):
                continue
            found[name] = f"{len(members):,} node{'s' * (len(members) != 1)}"
    return found
