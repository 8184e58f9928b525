"""Lint of the method: controls, intervals, corrections and numbers of prompts of claims.

Sources: Shi et al. 2024, arXiv:2410.13032 (controls) · docs/semantics.md, Verdicts (families).
"""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

from pathdsl.lang import ast
from pathdsl.lang.check.scope import Faults, warning
from pathdsl.lang.loops import variables_of
from pathdsl.lang.program import Program
from pathdsl.lang.reach import all_of, gathered
from pathdsl.lang.serving import fields_of, root_task, task_arguments, tasks_read
from pathdsl.lang.signatures.kinds import literal
from pathdsl.lang.signatures.methods import correction_of
from pathdsl.lang.signatures.scores import SCORES, is_p_value
from pathdsl.lang.walk import strip

__all__ = [
    "ENOUGH_PROMPTS",
    "check_claims",
    "check_control",
    "check_prompts",
    "is_exact",
    "is_one",
    "is_test",
]

ENOUGH_PROMPTS = 30
MANY_COPIES = 5
"""Claims of one form from which on they are a family that `for` would make."""
FEW_MEMBERS = 2
"""Members of a sweep that a claim names, up to which they look chosen."""
_CONTROLS = (ast.RandomLike, ast.RandomEdges)
_PATHS = get_args(ast.PathExpr)


def check_control(program: Program) -> Faults:
    """No claim about what a wrong hypothesis would score."""
    if not program.claims:
        return
    for claim in program.claims:
        if claim.expect == "refuted":
            return
        if gathered(program, claim, "controls", _control):
            return
    yield warning(
        "PD501",
        "no claim says what a wrong hypothesis would score",
        program.claims[0].name.span,
        "the first of the claims",
        help="`claim control: faithfulness(random_like(P, seed: 0)) >= 80% at 95% confidence "
        "expect refuted`",
    )


def _control(node: ast.Node) -> tuple[bool, ...]:
    among_controls = isinstance(node, ast.Score) and SCORES[node.name].of == "score"
    return (True,) if among_controls or isinstance(node, _CONTROLS) else ()


def check_claims(program: Program) -> Faults:
    """Claims without an interval or a correction, and rows that choose what they judge."""
    for claim in program.claims:
        if claim.confidence is None and _is_estimated(program, claim):
            yield warning(
                "PD502",
                f"`{claim.name.name}` is judged by its estimate alone",
                claim.span,
                "no interval decides",
                help="add `at 95% confidence`",
            )
        if claim.loop is None or correction_of(claim):
            continue
        if all(is_one(program, one.members) for one in claim.loop.bindings):
            continue
        if claim.confidence is not None or is_test(claim):
            yield warning(
                "PD503",
                f"`{claim.name.name}` makes one claim per member"
                + (" at one confidence" if claim.confidence is not None else ", each a test"),
                claim.loop.span,
                "many chances to be supported by luck",
                help="add `by holm()` or `by bh()`",
            )
    yield from _copies(program)
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
    if isinstance(members, ast.NodeSet):
        return any(map(_is_sweep, members.members))
    indices = [getattr(members, name, None) for name in ("layer", "head")]
    ranges = [i for i in indices if isinstance(i, ast.Indices)]
    return any(i.every or any(a < b for a, b in i.ranges) for i in ranges)


def is_test(claim: ast.ClaimDecl) -> bool:
    """Whether a claim is about a p-value, which has no interval of its own."""
    return any(is_p_value(side) for side in (claim.left, claim.right))


def is_one(program: Program, members: ast.Node) -> bool:
    """Whether a set is a single node as it is written, so that a loop over it makes one claim."""
    match members:
        case ast.Things(items=items):
            return len(items) == 1
        case ast.IndexRange(first=low, last=high):
            return low == high
        case ast.NodeSet(members=(one,)):
            return is_one(program, one)
        case ast.Name(name=name) if name in program.groups:
            return is_one(program, program.groups[name].nodes)
        case ast.HeadRef(layer=layer, head=head):
            return _is_one_index(layer) and _is_one_index(head)
        case ast.MlpRef(layer=layer) | ast.ResidRef(layer=layer):
            return _is_one_index(layer)
        case _:
            return False


def _is_one_index(indices: ast.Indices) -> bool:
    return not indices.every and [a == b for a, b in indices.ranges] == [True]


def _copies(program: Program) -> Faults:
    """Claims that differ in their nodes only, without the correction that `for` would ask for."""
    forms = _Forms(program)
    alike: dict[int, list[ast.ClaimDecl]] = {}
    for claim in program.claims:
        if claim.loop is None and (claim.confidence is not None or is_test(claim)):
            alike.setdefault(forms.of(claim), []).append(claim)
    for same in alike.values():
        if len(same) >= MANY_COPIES:
            yield warning(
                "PD503",
                f"{len(same)} claims of one form, each at its own confidence",
                same[0].name.span,
                "the first of them",
                labels=[(claim.name.span, "and this") for claim in same[1:4]],
                help="one claim `for h in {…}` with `by holm()` or `by bh()`",
            )


class _Forms:
    """Numbers for what nodes look like with all that may differ between members of a family out.

    Equal forms have one number, also where one is written as a `let`, whose form is made once.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._numbers: dict[object, int] = {}
        self._lets: dict[str, int] = {}

    def of(self, node: object) -> int:
        """The number of a node's form."""
        match node:
            case ast.Name(name=name) if name in self.program.lets:
                if name not in self._lets:
                    self._lets[name] = -1  # a circle, which is a fault of its own
                    self._lets[name] = self.of(self.program.lets[name].expression)
                return self._lets[name]
            case ast.Name(name=name) if self._is_word(name):
                return self._number(name)
            case ast.Number():
                return self._number("a number")
            case _ if isinstance(node, _PATHS):
                return self._number("a path")
            case ast.Node():
                parts = [
                    self.of(getattr(node, one.name))
                    for one in fields(node)
                    if one.compare
                    and not (isinstance(node, ast.ClaimDecl) and one.name in ("name", "text"))
                ]
                return self._number((type(node).__name__, *parts))
            case tuple():
                return self._number(tuple(self.of(item) for item in node))
            case _:
                return self._number((type(node).__name__, str(node)))

    def _is_word(self, name: str) -> bool:
        return name not in self.program.paths and name not in self.program.groups

    def _number(self, form: object) -> int:
        return self._numbers.setdefault(form, len(self._numbers))


def _is_estimated(program: Program, claim: ast.ClaimDecl) -> bool:
    """False for claims about path sets alone, which no prompt can change, and for p-values."""
    if is_test(claim):
        return False  # a p-value has no interval of its own
    return bool(gathered(program, claim, "estimated", _estimated))


def _estimated(node: ast.Node) -> tuple[bool, ...]:
    measured = isinstance(node, ast.Score) and SCORES[node.name].gives != "count"
    return (True,) if measured or isinstance(node, ast.PlainRun | ast.PathRun) else ()


def is_exact(claim: ast.ClaimDecl) -> bool:
    """Whether no bootstrap judges a claim: a p-value, or a share of prompts that are right."""
    sides = strip(claim.left), strip(claim.right)
    share = any(isinstance(s, ast.Score) and SCORES[s.name].gives == "share" for s in sides)
    return is_test(claim) or (share and any(isinstance(s, ast.Number) for s in sides))


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
