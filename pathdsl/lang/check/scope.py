"""What the checks share: the names in reach, and the wording of faults about them.

A `Scope` is a program seen from one statement: its loop variables, if it has some, and the task
whose columns its words mean, if one is known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import TypedDict

from pathdsl.errors import Diagnostic, Fix, Severity, Span
from pathdsl.lang import ast
from pathdsl.lang.elsewhere import elsewhere
from pathdsl.lang.fence import outside
from pathdsl.lang.headers import columns_in_file
from pathdsl.lang.program import Program
from pathdsl.lang.serving import Columns, columns_of
from pathdsl.lang.signatures.calls import is_written_as_folder
from pathdsl.lang.signatures.kinds import Kind, Parameter
from pathdsl.near import nearest
from pathdsl.record import record

__all__ = [
    "Check",
    "Faults",
    "Scope",
    "check_data_set",
    "check_file_named",
    "fault",
    "listed",
    "source_text",
    "span_text",
    "suggestion",
    "unknown",
    "warning",
    "with_article",
]

Faults = Iterator[Diagnostic]
Check = Callable[["Scope", Parameter, ast.Node], Faults]

_COMMIT = re.compile(r"[0-9a-f]{40}")


@record
class Scope:
    """A program as one statement sees it; `checks` are those of a value of each kind.

    `inner` are the loops of functions over members that stand around an expression.
    """

    program: Program
    checks: Mapping[Kind, Check] = field(repr=False)
    loop: ast.Loop | None = None
    inner: tuple[ast.Loop, ...] = ()
    task: ast.TaskDecl | None = None

    def is_variable(self, name: str) -> bool:
        """True for a variable of the statement's loop, or of a function over members."""
        return name in self.variables

    @property
    def variables(self) -> dict[str, ast.Domain]:
        """What each variable in reach ranges over, the innermost of a name."""
        loops = [*((self.loop,) if self.loop is not None else ()), *self.inner]
        return {one.variable.name: one.members for loop in loops for one in loop.bindings}

    def on(self, task: ast.TaskDecl | None) -> Scope:
        """The same scope with another task."""
        return replace(self, task=task)

    @property
    def columns(self) -> Columns | None:
        """The columns of the scope's task, where they are known without reading all rows."""
        if self.task is None:
            return None
        return columns_of(self.program, self.task) or columns_in_file(self.program, self.task)


def fault(
    code: str,
    message: str,
    span: Span | None,
    label: str = "",
    *,
    labels: Iterable[tuple[Span, str]] = (),
    help: str = "",
    fix: Fix | None = None,
    notes: Iterable[str] = (),
    severity: Severity = Severity.ERROR,
) -> Diagnostic:
    """A diagnostic, in one call."""
    return Diagnostic(
        code=code,
        message=message,
        span=span,
        label=label,
        labels=tuple(labels),
        help=help,
        fix=fix,
        notes=tuple(notes),
        severity=severity,
    )


warning = partial(fault, severity=Severity.WARNING)


MOST_LISTED = 50


def listed(names: Iterable[str], word: str = "or") -> str:
    """The names in backticks, `a`, `b` or `c`; of very many the first ones. `word`: or, and."""
    given = list(names)
    quoted = [f"`{name}`" for name in given[:MOST_LISTED]]
    if len(given) > MOST_LISTED:
        quoted.append(f"{len(given) - MOST_LISTED:,} more")
    return f" {word} ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


class Repair(TypedDict):
    """What a diagnostic says that would work, for people and for programs."""

    help: str
    fix: Fix | None


def suggestion(
    name: str, known: Iterable[str], span: Span, otherwise: str = "", *, closed: bool = False
) -> Repair:
    """ "did you mean `x`?" with the word to put in place; how another tool's word is written here;
    or the few words there are.

    `span` begins with the misspelt name; `otherwise`: what is said where there are many words.
    `closed`: the known words are a closed list, of which a word as long is a slip of one.
    """
    names = list(dict.fromkeys(known))
    # A word of another tool is meant unless it is a slip of a letter or two.
    told = elsewhere(name)
    for right in nearest(name, names, cutoff=0.8 if told and not closed else 0.6):
        if told and closed and abs(len(right) - len(name)) > 1:
            continue
        place = replace(span, end=span.start + len(name))
        fix = Fix(span=place, was=name, text=right)
        return {"help": f"did you mean `{right}`?", "fix": fix}
    few = f"known: {listed(names)}" if 0 < len(names) <= 12 else ""
    return {"help": told or few or otherwise, "fix": None}


def with_article(kind: str) -> str:
    """A kind of declaration with its article."""
    return f"an {kind}" if kind.startswith("i") else f"a {kind}"


def unknown(
    scope: Scope, name: ast.Name, kinds: tuple[str, ...], *, help: str = "", variable: bool = False
) -> Faults:
    """A fault unless the name is declared as one of these kinds (or is the loop variable)."""
    program = scope.program
    kind = program.kind(name.name)
    if kind in kinds or name.name in program.broken:
        return
    if scope.is_variable(name.name):
        if variable:
            return
        kind = "loop variable"
    wanted = " or ".join(map(with_article, kinds))
    if kind:
        declaration = program.find(name.name)
        labels = [(declaration.name.span, "declared here")] if declaration is not None else []
        yield fault(
            "PD111",
            f"`{name.name}` is {with_article(kind)}, wanted {wanted}",
            name.span,
            f"{with_article(kind)} cannot stand here",
            labels=labels,
            help=help,
        )
        return
    candidates = program.names(*kinds)
    if variable:
        candidates += scope.variables
    yield fault(
        "PD101",
        f"no {' or '.join(kinds)} is named `{name.name}`",
        name.span,
        "not declared in this file or in one that it uses",
        **(_slot_on_arrow(program, name) or suggestion(name.name, candidates, name.span)),
    )


def _slot_on_arrow(program: Program, name: ast.Name) -> Repair | None:
    """The repair of `a0.h0 -q-> a3.h1`, which takes away the paths from a set named `q`."""
    source = program.sources.get(name.span.path)
    if name.name not in ("q", "k", "v") or source is None:
        return None
    start, end = name.span.start - 1, name.span.end + 2
    if source.text[start:end] != f"-{name.name}->":
        return None
    fix = Fix(
        span=replace(name.span, start=start, end=end),
        was=f"-{name.name}->",
        text=f"-[{name.name}]->",
    )
    return {"help": f"`{fix.text}`: the input of a head stands in brackets", "fix": fix}


def check_file_named(scope: Scope, written: str, span: Span) -> Faults:
    """That a file of rows or edges is there, and lies where the file may look."""
    folder = Path(span.path).parent
    if not scope.program.fence.holds(folder / written):
        yield outside(written, span)
    elif not os.path.isfile(folder / written):
        yield fault(
            "PD300",
            f"no file `{written}`",
            span,
            f"looked for it in `{folder}`",
            help="paths are relative to the file they are written in",
        )


def check_data_set(scope: Scope, call: ast.Call, name: ast.String) -> Faults:
    """That a data set which is written as a folder is there, and one of the hub is pinned."""
    folder = Path(name.span.path).parent
    if not scope.program.fence.holds(folder / name.value):
        yield outside(name.value, name.span)
    elif os.path.isdir(folder / name.value):
        return
    elif is_written_as_folder(name.value):
        yield fault(
            "PD300",
            f"no folder `{name.value}`",
            name.span,
            f"looked for it in `{folder}`",
            help="paths are relative to the file they are written in",
        )
    else:
        given = next((a.value for a in call.arguments if a.keyword == "revision"), None)
        if isinstance(given, ast.String) and _COMMIT.fullmatch(given.value):
            return
        yield fault(
            "PD379",
            f"`{name.value}` is no folder here, and as a data set of the hub it has no pinned "
            "`revision:`",
            given.span if given is not None else name.span,
            "may move" if given is not None else "whatever the hub has on that day",
            help='`revision: "…"` with the forty characters of a commit',
            severity=Severity.WARNING,
        )


def source_text(program: Program, node: ast.Node) -> str:
    """The text that a node was written as, on one line."""
    return span_text(program, node.span)


def span_text(program: Program, span: Span) -> str:
    """The text of a place in a file of the program, on one line; "" without source."""
    source = program.sources.get(span.path)
    return " ".join(source.text[span.start : span.end].split()) if source is not None else ""
