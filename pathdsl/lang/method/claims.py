"""Lint of the method: intervals of claims, rows that chose what they judge, numbers of prompts.

Source: docs/semantics.md, Verdicts.
"""

from __future__ import annotations

from pathdsl.lang import ast
from pathdsl.lang.check.scope import Faults, warning
from pathdsl.lang.loops import variables_of
from pathdsl.lang.method.estimates import is_estimated, is_exact
from pathdsl.lang.method.families import check_families
from pathdsl.lang.program import Program
from pathdsl.lang.reach import all_of, gathered
from pathdsl.lang.serving import fields_of, root_task, task_arguments, tasks_read
from pathdsl.lang.signatures.kinds import literal

__all__ = ["ENOUGH_PROMPTS", "check_claims", "check_prompts"]

ENOUGH_PROMPTS = 30
FEW_MEMBERS = 2
"""Members of a sweep that a claim names, up to which they look chosen."""


def check_claims(program: Program) -> Faults:
    """Claims without an interval or a correction, and rows that choose what they judge."""
    for claim in program.claims:
        if claim.confidence is None and is_estimated(program, claim):
            yield warning(
                "PD502",
                f"`{claim.name.name}` is judged by its estimate alone",
                claim.span,
                "no interval decides",
                help="add `at 95% confidence`",
            )
    yield from check_families(program)
    yield from _picked(program)
    for score in all_of(program, ast.Score):
        for option in score.options:
            if option.keyword == "split" and literal(option.value) is False:
                yield warning(
                    "PD505",
                    "the rows that choose the knockouts also judge them",
                    option.span,
                    "chosen and judged on the same rows",
                    help="leave `split: false` out",
                )


def _picked(program: Program) -> Faults:
    """Claims about one or two members of a sweep, which may have been chosen by what it showed."""
    for claim in program.claims:
        named = [n for n in program.nodes(claim) if isinstance(n, ast.Subscript)]
        for name in dict.fromkeys(n.name.name for n in named):
            let = program.lets.get(name)
            if let is None or let.loop is None:
                continue
            variables = variables_of(program, claim)
            members = [
                n for n in named if n.name.name == name and _is_picked(n, let.loop, variables)
            ]
            if claim.confidence is not None and 1 <= len(members) <= FEW_MEMBERS:
                yield warning(
                    "PD521",
                    f"`{claim.name.name}` is about {_few(len(members))} of the sweep `{name}`, on "
                    "the prompts of the sweep",
                    members[0].span,
                    "if the sweep showed which, its prompts cannot judge it",
                    labels=[(let.loop.span, "the sweep")],
                    help="judge it on other prompts, or all members: `claim … for h in {…}: … "
                    "by holm()`",
                )


def _few(count: int) -> str:
    return "one member" if count == 1 else f"{count} members"


def _is_picked(node: ast.Subscript, loop: ast.Loop, variables: set[str]) -> bool:
    """Whether a subscript names one place of a sweep, and not a variable's."""
    return any(
        _is_sweep(one.members) and not (isinstance(at, ast.Name) and at.name in variables)
        for one, at in zip(loop.bindings, (node.member, *node.more), strict=False)
    )


def _is_sweep(members: ast.Node) -> bool:
    """Whether a set is a range of the model and no list of nodes that somebody named."""
    if isinstance(members, ast.Windows | ast.Word | ast.IndexRange):
        return True
    if isinstance(members, ast.EdgesOf):
        return not isinstance(members.paths, ast.Edges | ast.EdgesFile)
    if isinstance(members, ast.NodeSet):
        return any(map(_is_sweep, members.members))
    indices = [getattr(members, name, None) for name in ("layer", "head")]
    ranges = [i for i in indices if isinstance(i, ast.Indices)]
    return any(i.every or any(a < b for a, b in i.ranges) for i in ranges)


def check_prompts(program: Program) -> Faults:
    """Tasks that take few rows by their own text and are judged with an interval."""
    judged = [c for c in program.claims if c.confidence is not None and not is_exact(c)]
    for task in program.tasks.values():
        name = task.name.name
        claim = next((c for c in judged if _reads(program, c, name)), None)
        take = task_arguments(program, task).get("take")
        field = fields_of(program, task).get("data")
        if claim is None or task.base is not None or field is None or type(take) is not int:
            continue
        if take < ENOUGH_PROMPTS:
            yield warning(
                "PD504",
                f"{take} prompts for an interval",
                field.value.span,
                f"fewer than {ENOUGH_PROMPTS}",
                labels=[(claim.name.span, "judged with an interval")],
                help=f"`take: {ENOUGH_PROMPTS}` or more",
            )


def _reads(program: Program, claim: ast.ClaimDecl, task: str) -> bool:
    """Whether a claim reads rows of a task or a part of it; True where the text does not say."""
    read = gathered(program, claim, "tasks", lambda node: tasks_read(program, [node]))
    return not read or task in {root_task(program, name) for name in read}
