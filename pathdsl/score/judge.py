"""Judging a program: every `let` becomes a quantity with an interval, every claim a verdict.

All claims and lets are lowered together and what they ask for is measured in rounds: one call of
the session where nothing is searched, one more per step of the longest greedy search. Then all is
arithmetic on per-prompt values; nothing here runs a model.

    judgement = judge(program, resolver, session)
    [(c.name, c.verdict) for c in judgement.claims]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pathdsl.errors import Diagnostic
from pathdsl.graph.paths import pathset
from pathdsl.graph.resolve.instances import Instance
from pathdsl.lang import ast
from pathdsl.lang.loops import sides_of
from pathdsl.lang.method.ranges import REPAIR, decided
from pathdsl.lang.only import is_asked
from pathdsl.lang.program import Program
from pathdsl.lang.reach import reach
from pathdsl.lang.signatures.calls import resolve_arguments
from pathdsl.lang.signatures.correlations import families, is_correlation
from pathdsl.lang.signatures.members import over_of
from pathdsl.lang.signatures.methods import METHODS
from pathdsl.lang.signatures.relations import RELATIONS
from pathdsl.lang.units import unit_of
from pathdsl.lang.walk import strip
from pathdsl.score.claims import Question, judge_family, rule_of
from pathdsl.score.constant import constant_metrics
from pathdsl.score.curves import above_one, curve_results
from pathdsl.score.evidence import about_interval, about_share, finite, members_of, no_interval
from pathdsl.score.faults import fault, warning
from pathdsl.score.identity import Same
from pathdsl.score.instead import Beside, Side
from pathdsl.score.lowering import Lowering
from pathdsl.score.members import asked_instances
from pathdsl.score.places import place_of
from pathdsl.score.prompts import opened, prompt_shares, spread
from pathdsl.score.quantity import (
    Constant,
    Scalar,
    difference,
    inner_first,
    is_constant,
    notes_of,
)  # fmt: skip
from pathdsl.score.remarks import is_no_interval
from pathdsl.score.results import ClaimResult, Judgement, QuantityResult
from pathdsl.score.rounds import Steps, drive
from pathdsl.score.session import PathAlgebra, Resolver, Session
from pathdsl.score.statistics.design import design_of
from pathdsl.score.statistics.evaluate import Evaluator
from pathdsl.score.statistics.intervals import Bootstrap
from pathdsl.score.unchanged import unchanged_prompts
from pathdsl.score.vacuous import About, about, cannot_fail, members_note

__all__ = ["CONFIDENCE", "judge", "measure"]

CONFIDENCE = 0.95
NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Instance:
    """One let or claim, or one member of it."""

    decl: ast.LetDecl | ast.ClaimDecl
    member: Instance


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Silent:
    """What is undefined or has no interval: its name, why, and where it stands."""

    name: str
    why: str
    at: ast.Node


def judge(
    program: Program,
    resolver: Resolver,
    session: Session,
    only: str | None = None,
    algebra: PathAlgebra = pathset,
    keep: Callable[[ast.ClaimDecl, Question, Bootstrap], None] | None = None,
) -> Judgement:
    """All quantities and claims; `only` is one name, `each_mover[a9.h9@END]` for one member.

    `keep` is told what every claim is judged by.

    Raises LanguageError (PD420 to PD434) for what has no meaning on this model and these rows.
    `algebra` is what path sets are combined with.
    """
    asked = _Asked(program, resolver, session, only, algebra)
    lowering, lets, claims = asked.lowering, asked.lets, asked.claims
    beside = Beside(algebra)
    found = asked.measured(beside)

    undefined: list[_Silent] = []
    silent: list[_Silent] = []
    units = unit_of(program)
    bootstraps: dict[tuple[int, int], Bootstrap] = {}
    evaluator = lowering.context.evaluator
    bootstrap = _bootstrap((), evaluator, bootstraps)
    quantities = []
    told = _Told(program, [node for (kind, _, _), node in found.items() if kind == "claim"])
    for i, let in enumerate(lets):
        made = _quantity(let, found["let", i, ""], bootstrap, units, program)
        quantities.append(replace(made, claimed=told.holds(let.decl, found["let", i, ""])))
        undefined += _undefined(quantities[-1], let.decl.name)
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
        asks = [partial(_question, decl, claims[i].member, evaluator, program) for i in places]
        questions = [ask(side) for ask, side in zip(asks, sides, strict=True)]
        over_many = any(map(partial(_over_many, program), reach(program, decl)))
        used = _bootstrap(decl.methods, evaluator, bootstraps)
        family = judge_family(decl, questions, used, splits)
        for question in questions if keep is not None else ():
            assert keep is not None
            keep(decl, question, used)
        used.forget()
        for at, (ask, side) in enumerate(zip(asks, sides, strict=True)):
            # Another set in the place of one of many members says nothing of the claim.
            sets = () if over_many else about(side, ask, beside, evaluator)
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
            undefined += _undefined(result, decl.name)
            silent += _silent(result, decl.name)
    diagnostics = [*_told_undefined(undefined), *_without_interval(silent)]
    diagnostics += [_decided(d, fixed[d.name.name]) for d in program.claims if d.name.name in fixed]
    diagnostics += cannot_fail([one for one in alternatives if one[0].name.name not in fixed])
    diagnostics += constant_metrics(program, list(found.values()), evaluator)
    named = [
        ((lets if kind == "let" else claims)[place].decl, node)
        for (kind, place, _), node in found.items()
    ]
    curves = lowering.context.curves
    if curves:
        diagnostics += above_one(curves, named, bootstrap, CONFIDENCE)
    diagnostics = list(dict.fromkeys(diagnostics))
    return Judgement(
        quantities=tuple(quantities),
        claims=tuple(results),
        diagnostics=tuple(diagnostics),
        curves=curve_results(curves, named, bootstrap, CONFIDENCE) if curves else (),
    )


def measure(
    program: Program,
    resolver: Resolver,
    session: Session,
    only: str | None = None,
    algebra: PathAlgebra = pathset,
) -> frozenset[str]:
    """Measure all that `judge` would ask for, and judge nothing; the tasks that claims read."""
    asked = _Asked(program, resolver, session, only, algebra)
    asked.lowering.context.judges = False
    found = asked.measured(Beside(algebra))
    sides = [node for (kind, _, _), node in found.items() if kind == "claim"]
    return frozenset(task for node in sides for task in design_of(node, session.tasks).keys)


class _Asked:
    """The lets and claims that are asked for, lowered, and what they come to."""

    def __init__(
        self,
        program: Program,
        resolver: Resolver,
        session: Session,
        only: str | None,
        algebra: PathAlgebra,
    ) -> None:
        self.session = session
        self.lowering = lowering = Lowering(program, resolver, session, algebra)
        self.lets = [
            _Instance(decl=d, member=one)
            for d in program.lets.values()
            for one in asked_instances(d, program, resolver, only)
        ]
        self.claims = [
            _Instance(decl=d, member=one)
            for d in program.claims
            for one in asked_instances(d, program, resolver, only)
        ]
        self._steps: dict[Side, Steps] = {}
        for i, let in enumerate(self.lets):
            assert isinstance(let.decl, ast.LetDecl)
            expression = let.member.of(let.decl.expression)
            self._steps["let", i, ""] = lowering.scalar(expression, let.member.bindings)
        for i, claim in enumerate(self.claims):
            for name, expression in zip(
                ("left", "right", "within"), sides_of(claim.decl), strict=False
            ):
                expression = claim.member.of(expression)
                scalar = lowering.scalar(expression, claim.member.bindings)
                self._steps["claim", i, name] = scalar

    def measured(self, beside: Beside) -> dict[Side, Scalar]:
        """Each side of each of them, measured round by round."""
        return drive(self._steps, self.session, beside)


def _over_many(program: Program, node: ast.Node) -> bool:
    """Whether a part of a claim is over the members of a loop."""
    if isinstance(node, ast.Call) and is_correlation(node, program.kind):
        return bool(families(program, node))
    return isinstance(node, ast.OverMembers)


class _Told:
    """What claims are about: the quantities that stand in them, and the lets that they name."""

    def __init__(self, program: Program, sides: Sequence[Scalar]) -> None:
        self._nodes = {node for side in sides for node in inner_first(side)}
        seen: set[str] = set()
        for claim in program.claims:
            for _ in reach(program, claim, seen):
                pass
        self._names = seen

    def holds(self, let: ast.LetDecl | ast.ClaimDecl, node: Scalar) -> bool:
        """Whether some claim is about a let; a mere number is known by the let's name alone."""
        if is_constant(node) or not isinstance(let, ast.LetDecl):
            return let.name.name in self._names
        return node in self._nodes


def _quantity(
    let: _Instance,
    node: Scalar,
    bootstrap: Bootstrap,
    units: Mapping[str, str],
    program: Program,
) -> QuantityResult:
    evaluator = bootstrap.evaluator
    assert isinstance(let.decl, ast.LetDecl)
    found = over_of(strip(let.decl.expression), program.kind)
    over = found[0].name if found is not None else ""
    reason = bootstrap.undefined(node, CONFIDENCE)
    interval = None if reason else bootstrap.interval(node, CONFIDENCE)
    notes = [*notes_of(node), *([f"undefined: {reason}"] if reason else [])]
    if interval is not None and (why := no_interval(node, interval, bootstrap, CONFIDENCE)):
        notes.append(why)
    design = design_of(node, evaluator.session.tasks)
    if interval is not None:
        notes += about_interval(node, interval, design.n_units)
        notes += about_share(node, bootstrap, CONFIDENCE)
    prompts = None
    if not reason:
        whole = opened(node, evaluator)
        prompts = spread(prompt_shares(whole, evaluator), whole, evaluator)
    return QuantityResult(
        declared=let.decl.name.name,
        at=place_of(let.decl, let.member.indices),
        member=let.member.label,
        indices=let.member.indices,
        over=over,
        unit=units.get(let.decl.name.name, "none"),
        estimate=None if reason else finite(evaluator.estimate(node)),
        interval=interval.pair() if interval is not None else None,
        n=design.n,
        rows=design.n_written,
        unchanged=unchanged_prompts(node, evaluator.session.tasks),
        confidence=CONFIDENCE,
        members=() if reason else members_of(node, bootstrap, CONFIDENCE),
        notes=tuple(notes),
        prompts=prompts,
    )


def _sides(found: Mapping[Side, Scalar], place: int) -> tuple[Scalar, ...]:
    """What stands left and right in a claim, and after `within`."""
    within = found.get(("claim", place, "within"), Constant(value=0.0))
    return found["claim", place, "left"], found["claim", place, "right"], within


def _question(
    decl: ast.ClaimDecl,
    member: Instance,
    evaluator: Evaluator,
    program: Program,
    sides: Sequence[Scalar],
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
    over = None
    if is_constant(right):
        node, threshold = left, estimate(right)
        over = over_of(strip(decl.left), program.kind)
    elif is_constant(left):
        node, threshold, relation = right, estimate(left), RELATIONS[relation].turned
        over = over_of(strip(decl.right), program.kind)
    else:
        node, threshold = difference(left, right), 0.0
        notes = ("both sides are measured: the estimate is left minus right",)
    return Question(
        member=member.label,
        indices=member.indices,
        over=over[0].name if over is not None else "",
        node=node,
        relation=relation,
        threshold=threshold,
        within=estimate(within) if RELATIONS[relation].asks == "around" else None,
        notes=notes,
    )


def _decided(decl: ast.ClaimDecl, members: Sequence[tuple[str, bool, str]]) -> Diagnostic:
    """PD526 for a claim whose runs are one, so that no value decides it."""
    _, holds, why = members[0]
    message, _, label = decided(decl, holds, why)
    notes = members_note(decl, [member for member, _, _ in members])
    return warning("PD526", message, decl.name, label=label, help=REPAIR, notes=notes)


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


def _undefined(result: QuantityResult | ClaimResult, at: ast.Node) -> list[_Silent]:
    return [
        _Silent(name=result.name, why=note.removeprefix("undefined: "), at=at)
        for note in result.notes
        if note.startswith("undefined: ")
    ]


def _told_undefined(found: Sequence[_Silent]) -> list[Diagnostic]:
    """A warning for each let or claim; members of one loop share theirs."""
    by_place: dict[ast.Node, list[_Silent]] = {}
    for one in found:
        by_place.setdefault(one.at, []).append(one)
    told = []
    for at, (first, *others) in by_place.items():
        notes = (f"undefined as well: {_listed(others)}",) if others else ()
        text = f"`{first.name}` is undefined: {first.why}"
        told.append(warning("PD431", text, at, notes=notes))
    return told


def _silent(result: QuantityResult | ClaimResult, at: ast.Node) -> list[_Silent]:
    notes = [note for note in result.notes if is_no_interval(note)]
    return [_Silent(name=result.name, why=note, at=at) for note in notes[:1]]


def _without_interval(found: Sequence[_Silent]) -> list[Diagnostic]:
    """One warning for all that have no interval, at the first: they lack it for one reason."""
    if not found:
        return []
    first, *others = found
    notes = (f"no interval either: {_listed(others)}",) if others else ()
    return [warning("PD432", f"`{first.name}` has no interval: {first.why}", first.at, notes=notes)]


def _listed(found: Sequence[_Silent]) -> str:
    """The first names of several, and how many more there are."""
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(f"`{one.name}`" for one in found[:NAMED]) + more
