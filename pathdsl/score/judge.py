"""Judging a program: every `let` becomes a quantity with an interval, every claim a verdict.

All claims and lets are lowered together and what they ask for is measured in rounds: one call of
the session where nothing is searched, one more per step of the longest greedy search. Then all is
arithmetic on per-prompt values; nothing here runs a model.

    judgement = judge(program, resolver, session)
    [(c.name, c.verdict) for c in judgement.claims]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pathdsl.errors import Diagnostic
from pathdsl.graph.paths import pathset
from pathdsl.lang import ast
from pathdsl.lang.method.ranges import REPAIR, decided
from pathdsl.lang.only import asked_name, is_asked, judged_with
from pathdsl.lang.program import Program
from pathdsl.lang.signatures.calls import resolve_arguments
from pathdsl.lang.signatures.methods import METHODS
from pathdsl.lang.signatures.relations import RELATIONS
from pathdsl.lang.units import unit_of
from pathdsl.score.claims import Question, judge_family, rule_of
from pathdsl.score.constant import constant_metrics
from pathdsl.score.evidence import about_interval, finite, members_of, no_interval
from pathdsl.score.faults import fault, warning
from pathdsl.score.identity import Same
from pathdsl.score.instead import Beside, Side
from pathdsl.score.lowering import Lowering
from pathdsl.score.prompts import prompt_shares, spread
from pathdsl.score.quantity import Constant, Scalar, difference, is_constant, notes_of
from pathdsl.score.remarks import is_no_interval
from pathdsl.score.results import ClaimResult, Judgement, QuantityResult
from pathdsl.score.rounds import Steps, drive
from pathdsl.score.session import Member, PathAlgebra, Resolver, Session
from pathdsl.score.statistics.design import design_of
from pathdsl.score.statistics.evaluate import Evaluator
from pathdsl.score.statistics.intervals import Bootstrap
from pathdsl.score.unchanged import unchanged_prompts
from pathdsl.score.vacuous import About, about, cannot_fail, members_note

__all__ = ["CONFIDENCE", "judge"]

CONFIDENCE = 0.95
NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Instance:
    """One let or claim, or one `member` of it."""

    member: str
    decl: ast.LetDecl | ast.ClaimDecl
    bindings: Mapping[str, Member]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Silent:
    """A quantity without an interval: its name, why it has none, and where it stands."""

    name: str
    why: str
    at: ast.Node


def judge(
    program: Program,
    resolver: Resolver,
    session: Session,
    only: str | None = None,
    algebra: PathAlgebra = pathset,
) -> Judgement:
    """All quantities and claims; `only` is one name, `each_mover[a9.h9@END]` for one member.

    Raises LanguageError (PD420 to PD434) for what has no meaning on this model and these rows.
    `algebra` is what path sets are combined with.
    """
    lowering = Lowering(program, resolver, session, algebra)
    lets = [i for d in program.lets.values() for i in _instances(d, resolver, only)]
    claims = [i for d in program.claims for i in _instances(d, resolver, only)]
    steps: dict[Side, Steps] = {}
    for i, let in enumerate(lets):
        assert isinstance(let.decl, ast.LetDecl)
        steps["let", i, ""] = lowering.scalar(let.decl.expression, let.bindings)
    for i, claim in enumerate(claims):
        assert isinstance(claim.decl, ast.ClaimDecl)
        steps["claim", i, "left"] = lowering.scalar(claim.decl.left, claim.bindings)
        steps["claim", i, "right"] = lowering.scalar(claim.decl.right, claim.bindings)
        within = claim.decl.within
        if within is not None:
            steps["claim", i, "within"] = lowering.scalar(within, claim.bindings)
    beside = Beside(algebra)
    found = drive(steps, session, beside)

    diagnostics: list[Diagnostic] = []
    silent: list[_Silent] = []
    units = unit_of(program)
    bootstraps: dict[tuple[int, int], Bootstrap] = {}
    evaluator = lowering.context.evaluator
    bootstrap = _bootstrap((), evaluator, bootstraps)
    quantities = []
    for i, let in enumerate(lets):
        quantities.append(_quantity(let, found["let", i, ""], bootstrap, units))
        diagnostics += _undefined(quantities[-1], let.decl.name)
        silent += _silent(quantities[-1], let.decl.name)
        bootstrap.forget()
    results: list[ClaimResult] = []
    splits = {name: label for name in session.tasks if (label := lowering.context.split_by(name))}
    by_decl: dict[str, list[int]] = {}
    for i, claim in enumerate(claims):
        by_decl.setdefault(claim.decl.name.name, []).append(i)
    same = Same(resolver, algebra, evaluator)
    fixed: dict[str, list[tuple[str, bool, str]]] = {}
    alternatives: list[tuple[ast.ClaimDecl, ClaimResult, Sequence[About]]] = []
    for places in by_decl.values():
        decl = claims[places[0]].decl
        assert isinstance(decl, ast.ClaimDecl)
        sides = [_sides(found, i) for i in places]
        asks = [partial(_question, decl, claims[i].member, evaluator) for i in places]
        questions = [ask(side) for ask, side in zip(asks, sides, strict=True)]
        used = _bootstrap(decl.methods, evaluator, bootstraps)
        family = judge_family(decl, questions, used, splits)
        used.forget()
        for at, (ask, side) in enumerate(zip(asks, sides, strict=True)):
            sets = about(side, ask, beside, evaluator)
            if (known := same.decided(questions[at].node)) is not None:
                holds = rule_of(questions[at], evaluator, defined=True).satisfied(known[0])
                fixed.setdefault(decl.name.name, []).append((family[at].member, holds, known[1]))
            both = tuple(one for of in sets for one in (of.none, of.full))
            family[at] = replace(family[at], instead=both)
            alternatives.append((decl, family[at], sets))
        if decl.loop is not None:
            family = [r for r in family if is_asked(only, decl.name.name, r.member)]
        results += family
        for result in family:
            diagnostics += _undefined(result, decl.name)
            silent += _silent(result, decl.name)
    diagnostics += _without_interval(silent)
    for decl, _, _ in alternatives:
        diagnostics += _decided(decl, fixed.get(decl.name.name, ()))
    diagnostics += cannot_fail([one for one in alternatives if one[0].name.name not in fixed])
    diagnostics += constant_metrics(program, list(found.values()), evaluator)
    diagnostics = list(dict.fromkeys(diagnostics))
    return Judgement(
        quantities=tuple(quantities), claims=tuple(results), diagnostics=tuple(diagnostics)
    )


def _instances(
    decl: ast.LetDecl | ast.ClaimDecl, resolver: Resolver, only: str | None
) -> list[_Instance]:
    name = decl.name.name
    if decl.loop is None:
        return [_Instance(member="", decl=decl, bindings={})] if is_asked(only, name) else []
    if only is not None and asked_name(only) != name:
        return []
    variable = decl.loop.variable.name
    members = resolver.loop(decl.loop)
    judged = judged_with(decl, [member.label for member in members], only)
    return [
        _Instance(member=member.label, decl=decl, bindings={variable: member})
        for member in members
        if member.label in judged
    ]


def _quantity(
    let: _Instance,
    node: Scalar,
    bootstrap: Bootstrap,
    units: Mapping[str, str],
) -> QuantityResult:
    evaluator = bootstrap.evaluator
    reason = bootstrap.undefined(node, CONFIDENCE)
    interval = None if reason else bootstrap.interval(node, CONFIDENCE)
    notes = [*notes_of(node), *([f"undefined: {reason}"] if reason else [])]
    if interval is not None and (why := no_interval(node, interval, bootstrap, CONFIDENCE)):
        notes.append(why)
    design = design_of(node, evaluator.session.tasks)
    if interval is not None:
        notes += about_interval(node, interval, design.n_units)
    return QuantityResult(
        declared=let.decl.name.name,
        member=let.member,
        unit=units.get(let.decl.name.name, "none"),
        estimate=None if reason else finite(evaluator.estimate(node)),
        interval=interval.pair() if interval is not None else None,
        n=design.n,
        rows=design.n_written,
        unchanged=unchanged_prompts(node, evaluator.session.tasks),
        confidence=CONFIDENCE,
        members=() if reason else members_of(node, bootstrap, CONFIDENCE),
        notes=tuple(notes),
        prompts=None if reason else spread(prompt_shares(node, evaluator), node, evaluator),
    )


def _sides(found: Mapping[Side, Scalar], place: int) -> tuple[Scalar, ...]:
    """What stands left and right in a claim, and after `within`."""
    within = found.get(("claim", place, "within"), Constant(value=0.0))
    return found["claim", place, "left"], found["claim", place, "right"], within


def _question(
    decl: ast.ClaimDecl, member: str, evaluator: Evaluator, sides: Sequence[Scalar]
) -> Question:
    """The claim as one quantity against one number."""
    left, right, within = sides
    if not is_constant(within):
        assert decl.within is not None
        raise fault(
            "PD433",
            "the margin after `within` is measured",
            decl.within,
            help="an equivalence margin is fixed beforehand, `within 0.1`",
        )
    estimate = evaluator.estimate
    relation: str = decl.relation
    notes: tuple[str, ...] = ()
    if is_constant(right):
        node, threshold = left, estimate(right)
    elif is_constant(left):
        node, threshold, relation = right, estimate(left), RELATIONS[relation].turned
    else:
        node, threshold = difference(left, right), 0.0
        notes = ("both sides are measured: the estimate is left minus right",)
    return Question(
        member=member,
        node=node,
        relation=relation,
        threshold=threshold,
        within=estimate(within) if RELATIONS[relation].asks == "around" else None,
        notes=notes,
    )


def _decided(decl: ast.ClaimDecl, members: Sequence[tuple[str, bool, str]]) -> list[Diagnostic]:
    """PD526 for a claim whose runs are one, so that no value decides it."""
    if not members:
        return []
    _, holds, why = members[0]
    message, _, label = decided(decl, holds, why)
    notes = members_note(decl, [member for member, _, _ in members])
    return [warning("PD526", message, decl.name, label=label, help=REPAIR, notes=notes)]


def _bootstrap(
    methods: tuple[ast.Call, ...], evaluator: Evaluator, made: dict[tuple[int, int], Bootstrap]
) -> Bootstrap:
    """The bootstrap that a claim asks for, or the usual one; shared by claims that ask alike."""
    signature = METHODS["bootstrap"]
    written = next((m.arguments for m in reversed(methods) if m.name == signature.name), ())
    given = resolve_arguments(signature, written)
    count, seed = given.integer("draws"), given.integer("seed")
    if (count, seed) not in made:
        made[count, seed] = Bootstrap(evaluator, count=count, seed=seed)
    return made[count, seed]


def _undefined(result: QuantityResult | ClaimResult, at: ast.Node) -> list[Diagnostic]:
    return [
        warning("PD431", f"`{result.name}` is undefined: {note.removeprefix('undefined: ')}", at)
        for note in result.notes
        if note.startswith("undefined: ")
    ]


def _silent(result: QuantityResult | ClaimResult, at: ast.Node) -> list[_Silent]:
    notes = [note for note in result.notes if is_no_interval(note)]
    return [_Silent(name=result.name, why=note, at=at) for note in notes[:1]]


def _without_interval(found: Sequence[_Silent]) -> list[Diagnostic]:
    """One warning for all that have no interval, at the first: they lack it for one reason."""
    if not found:
        return []
    first, *others = found
    listed = ", ".join(f"`{other.name}`" for other in others[:NAMED])
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    notes = (f"no interval either: {listed}{more}",) if others else ()
    return [warning("PD432", f"`{first.name}` has no interval: {first.why}", first.at, notes=notes)]
