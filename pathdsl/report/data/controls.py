"""Which claims are controls of which, and what of a file no claim is about, for its JSON object.

Source: `schema/check.schema.json` · `pathdsl.lang.method.controls`, what a control is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pathdsl.lang import ast
from pathdsl.lang.method.controls import controls_of
from pathdsl.lang.program import Declaration, Program
from pathdsl.lang.reach import gathered
from pathdsl.lang.serving import metrics_read, root_task, tasks_read

if TYPE_CHECKING:  # `lint` prints JSON too, and must start fast
    from pathdsl.checking.outcome import FileOutcome

__all__ = ["control_objects", "not_claimed"]

Object = dict[str, Any]


def control_objects(outcome: FileOutcome) -> list[Object]:
    """For each judged claim the places of its controls, and why it is no control itself.

    Of a loop a member has the control's member of its name, or all of them where there is none.
    """
    claims = outcome.judgement.claims if outcome.judgement is not None else ()
    if not claims or outcome.program is None:
        return [{} for _ in claims]
    found = controls_of(outcome.program)
    places: dict[str, dict[str, int]] = {}
    for place, claim in enumerate(claims):
        places.setdefault(claim.declared, {})[claim.member] = place
    objects: list[Object] = []
    for claim in claims:
        named = found.of.get(claim.declared)
        objects.append({"controls": None, "no_control": found.reasons.get(claim.declared)})
        if named is not None:
            of: list[int] = []
            for name in named:
                members = places.get(name, {})
                one = members.get(claim.member)
                of += list(members.values()) if one is None else [one]
            objects[-1]["controls"] = of
    return objects


def not_claimed(program: Program) -> list[Object]:
    """The path sets, metrics and tasks that this file declares and no claim of it is about.

    Of each whether a `let` measures it.
    """
    claimed = set(_read(program, program.claims))
    measured = set(_read(program, program.lets.values()))
    return [
        {"kind": kind, "name": name, "measured": (kind, name) in measured}
        for kind, names in (
            ("path", program.paths), ("metric", program.metrics), ("task", program.tasks)
        )
        for name in names
        if (kind, name) not in claimed and program.origin[name] == program.path
    ]  # fmt: skip


def _read(program: Program, declarations: Iterable[Declaration]) -> Iterator[tuple[str, str]]:
    """What declarations read, by kind and name; a task that is a part reads the whole."""
    for one in declarations:
        yield from gathered(program, one, "read", lambda node: _named(program, node))


def _named(program: Program, node: ast.Node) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Name) and node.name in program.paths:
        yield "path", node.name
    yield from (("metric", name) for name in metrics_read(program, [node]))
    for task in tasks_read(program, [node]):
        yield from (("task", name) for name in (task, root_task(program, task)))
