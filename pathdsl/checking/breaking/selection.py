"""Which rows a task is made of, beside which they were: the whole task, and the conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pathdsl.checking.breaking.changes import Change, written
from pathdsl.lang import ast
from pathdsl.lang.canonical import spelled
from pathdsl.lang.program import Program
from pathdsl.lang.signatures.comparisons import COMPARISONS

__all__ = ["selection_changes"]


def selection_changes(
    old: tuple[Program, ast.TaskDecl],
    new: tuple[Program, ast.TaskDecl],
    names: Mapping[str, str],
    of: str,
) -> Iterator[Change]:
    """What changed between the `where` of a task and that of the same task now.

    Conditions of which each old one still holds, where a new one does, leave rows out: weaker.
    `names`: tasks that have another name now.
    """
    (was, before), (now, after) = old, new
    a, b = before.base, after.base
    if (names.get(a.name, a.name) if a else None) != (b.name if b else None):
        yield Change(
            kind="changed", of=of, what="another selection of rows",
            before=written(was, a), after=written(now, b),
        )  # fmt: skip
        return
    one, two = _spellings(before), _spellings(after)
    if one == two:
        return
    fewer = all(any(_implies(y, x) for y in after.where) for x in before.where)
    yield Change(
        kind="weaker" if fewer else "changed", of=of,
        what="a `where` leaves more rows out" if fewer else "another selection of rows",
        before=_text(was, before), after=_text(now, after),
    )  # fmt: skip


def _spellings(task: ast.TaskDecl) -> set[str]:
    """The conditions without their order, which is no matter."""
    return {str(spelled(one)) for one in task.where}


def _text(program: Program, task: ast.TaskDecl) -> str:
    return " and ".join(written(program, one) for one in task.where)


def _implies(one: ast.Condition, other: ast.Condition) -> bool:
    """Whether a row that meets `one` surely meets `other`; of numbers by where they lie."""
    if spelled(one.left) != spelled(other.left):
        return False
    if spelled(one.value) == spelled(other.value) and one.relation == other.relation:
        return True
    x, y = one.value, other.value
    first, second = COMPARISONS.get(one.relation), COMPARISONS.get(other.relation)
    if first is None or second is None:
        return False
    if first.asks == "equal" and second.asks == "other":
        return spelled(x) != spelled(y) and type(x) is type(y)
    if not isinstance(x, ast.Number) or not isinstance(y, ast.Number):
        return False
    if first.asks == "equal":
        return second.holds(x.value, y.value)
    if not first.ordered or first.name[0] != second.name[0] or not second.ordered:
        return False
    # Beyond its bound in the same direction: the bound itself counts where `one` has it.
    return second.holds(x.value, y.value) or (x.value == y.value and first.name == second.name[0])
