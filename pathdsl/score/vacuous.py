"""Supported claims that no path, or any path set, satisfies as well: what is said of them (PD525).

- No path and all paths satisfy it: the claim cannot fail, whatever set it names.
- No path satisfies it: it says what a set does not do. That is no fault where another supported
  claim shows that the same set does something, for then this one bounds how much.
- All paths satisfy it: so it is with every claim that a set is enough, and nothing is said.
- Two numbers of a set that are said to agree, as on two tasks, agree by construction with no path
  and with all paths, but not for every set: that is no more than satisfied by no path.

Where a claim is about several sets, all of them have to be so: that a set is better than none is
what a comparison of two says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pathdsl.errors import Diagnostic
from pathdsl.lang import ast
from pathdsl.plan.runs import Subject
from pathdsl.record import record
from pathdsl.score.claims import Question, rule_of
from pathdsl.score.evidence import finite
from pathdsl.score.faults import warning
from pathdsl.score.instead import Beside, subjects_of
from pathdsl.score.quantity import Op, Scalar, inner_first
from pathdsl.score.results import ClaimResult, Instead, Verdict
from pathdsl.score.statistics.evaluate import Evaluator

__all__ = ["About", "about", "cannot_fail", "members_note"]

NAMED = 5
_ROUNDED = 1e-4
"""Of the margin of `~=`: what lies nearer to its number lies on it."""


@record
class About:
    """A path set of a claim, with what the claim gives without it (`none`) and for all (`full`)."""

    subject: Subject
    none: Instead
    full: Instead


def about(
    sides: Sequence[Scalar],
    question: Callable[[Sequence[Scalar]], Question],
    beside: Beside,
    evaluator: Evaluator,
) -> tuple[About, ...]:
    """What a claim gives with other sets; `question` makes one of its sides."""

    def put(subject: Subject, text: str) -> tuple[float | None, bool | None]:
        made: list[Scalar] = []
        for side in sides:
            if (one := beside.put(side, subject, text)) is None:
                return None, None
            made.append(one)
        posed = question(made)
        estimate = finite(evaluator.estimate(posed.node))
        if estimate is None or not _defined(posed.node, evaluator):
            return None, False
        rule = rule_of(posed, evaluator, defined=True)
        return estimate, rule.satisfied(estimate) and not rule.doubtful(estimate)

    found = []
    for subject in subjects_of(*sides):
        (low, no_path), (high, all_paths) = put(subject, "none"), put(subject, "full")
        none = Instead(paths="none", of=subject.text, estimate=low, satisfied=no_path)
        full = Instead(paths="full", of=subject.text, estimate=high, satisfied=all_paths)
        found.append(About(subject=subject, none=none, full=full))
    return tuple(found)


def _defined(node: Scalar, evaluator: Evaluator) -> bool:
    """False where something is divided by what rounding cannot tell from 0."""
    for one in inner_first(node):
        if isinstance(one, Op) and one.op == "/":
            below = one.args[1]
            if abs(evaluator.estimate(below)) <= evaluator.tolerance(below):
                return False
    return True


@record
class _Told:
    """A supported claim or member that says little, about the sets `texts`."""

    result: ClaimResult
    texts: tuple[str, ...]
    numbers: str


def cannot_fail(
    judged: Sequence[tuple[ast.ClaimDecl, ClaimResult, Sequence[About]]],
) -> list[Diagnostic]:
    """The warnings about all claims of a file, one for the members of a loop together."""
    supported = [one for one in judged if one[1].verdict is Verdict.SUPPORTED]
    shown = {
        of.subject.paths for _, _, sets in supported for of in sets if of.none.satisfied is False
    }
    any_set: dict[int, list[_Told]] = {}
    no_path: dict[int, list[_Told]] = {}
    decls: dict[int, ast.ClaimDecl] = {}
    for decl, result, sets in supported:
        decls[id(decl)] = decl
        if not sets or not all(of.none.satisfied for of in sets):
            continue
        texts = tuple(of.subject.text for of in sets)
        told = _Told(result=result, texts=texts, numbers=_numbers(sets[0]))
        if all(of.full.satisfied for of in sets) and not agrees(result, sets):
            any_set.setdefault(id(decl), []).append(told)
        elif not any(of.subject.drawn or of.subject.paths in shown for of in sets):
            no_path.setdefault(id(decl), []).append(told)
    found: list[Diagnostic] = []
    for key, decl in decls.items():
        found += _any_set(decl, any_set.get(key, ()))
        found += _no_path(decl, no_path.get(key, ()))
    return found


def agrees(result: ClaimResult, sets: Sequence[About]) -> bool:
    """Whether a claim says that two numbers of a set agree, which is plain of none and of all.

    Both ends lie on the number itself and the set does not, as two numbers do that are no one.
    """
    if result.within is None or result.threshold is None or result.estimate is None:
        return False
    ends = [one.estimate for of in sets for one in (of.none, of.full)]
    return not _on(result.estimate, result) and all(_on(end, result) for end in ends)


def _on(value: float | None, result: ClaimResult) -> bool:
    """Whether a value is the number of `~=`, but for rounding."""
    assert result.within is not None and result.threshold is not None
    return value is not None and abs(value - result.threshold) <= _ROUNDED * result.within


def _any_set(decl: ast.ClaimDecl, told: Sequence[_Told]) -> list[Diagnostic]:
    if not told:
        return []
    return [
        warning(
            "PD525",
            f"`{decl.name.name}` cannot fail: with no path in the place of {_sets(told[0])}, and "
            "with all paths, it is satisfied too",
            decl.name,
            label=told[0].numbers,
            help="claim what an empty set does not satisfy: `as: recovered`, a treated value that "
            "takes the behaviour away, or a nearer threshold",
            notes=members_note(decl, [one.result.member for one in told]),
        )
    ]


def _no_path(decl: ast.ClaimDecl, told: Sequence[_Told]) -> list[Diagnostic]:
    if not told:
        return []
    sets = _sets(told[0])
    does = f"{sets} does" if len(told[0].texts) == 1 else "they do"
    return [
        warning(
            "PD525",
            f"`{decl.name.name}` is satisfied by no path at all in the place of {sets}, too",
            decl.name,
            label=f"{told[0].numbers}: it says what {does} not do",
            help="claim of the same set what it does, so that this one bounds how much",
            notes=members_note(decl, [one.result.member for one in told]),
        )
    ]


def _sets(told: _Told) -> str:
    return " and ".join(f"`{text}`" for text in told.texts)


def _numbers(of: About) -> str:
    shown = [
        f"{one.paths} gives {one.estimate:.3g}"
        for one in (of.none, of.full)
        if one.estimate is not None
    ]
    return ", ".join(shown)


def members_note(decl: ast.ClaimDecl, members: Sequence[str]) -> tuple[str, ...]:
    """Which members of a loop a warning is about."""
    if decl.loop is None:
        return ()
    listed = ", ".join(f"`{member}`" for member in members[:NAMED])
    more = f" and {len(members) - NAMED} more" if len(members) > NAMED else ""
    return (f"with {', '.join(decl.loop.names)} = {listed}{more}",)
