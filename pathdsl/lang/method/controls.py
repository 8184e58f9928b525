"""Lint of the method: whether a claim says what a wrong hypothesis would score, and could fail.

A control measures what a claim measures, of a random set like that of the claim, and fails where
the claim holds: a claim at 1000, or about `none`, is refuted whatever the model does. The
complement of P is none, since it may be small, and neither is a part of P or another hypothesis.

Source: Shi et al. 2024, arXiv:2410.13032 · docs/language.md, `claim`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import isclose

from pathdsl.lang import ast
from pathdsl.lang.check.scope import Faults, source_text, span_text, warning
from pathdsl.lang.loops import variants
from pathdsl.lang.method.estimates import is_estimated, is_test
from pathdsl.lang.method.quantities import Said, Term, quantities_of
from pathdsl.lang.program import Program
from pathdsl.lang.reach import reach
from pathdsl.lang.serving import named_option
from pathdsl.lang.signatures.relations import Asks
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.walk import strip
from pathdsl.record import record

__all__ = ["BY_WALKS", "Controls", "check_control", "control_of", "controls_of"]

_LIKE = "random_like({}, seed: 0)"
BY_WALKS = "random_edges(like: {{}}, by: walks, seed: {})"

MOST_P = 0.5
"""Up to which p-value P stands before most of its controls."""
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Claim:
    """A claim, and what it says as a sum, of what it names and of what that imitates.

    The second also with each item of its lists in the place of their variables.
    `holds` is what it says where it comes as expected.
    """

    written: ast.ClaimDecl
    said: Said
    imitated: tuple[Said, ...]
    refuted: bool

    @property
    def name(self) -> str:
        return self.written.name.name

    @property
    def holds(self) -> Said:
        return self.said.turned if self.refuted else self.said


@record
class Controls:
    """Which claims are controls of which, by declared names.

    `of`: for each claim that needs a control the claims that are one, itself where it compares its
    path set with random ones. `reasons`: for each claim that looks like a control why it is one of
    no claim, "" where it is one.
    """

    of: Mapping[str, tuple[str, ...]]
    reasons: Mapping[str, str]


def controls_of(program: Program) -> Controls:
    """The controls of a program without faults, by the rule of PD501, for each claim by itself."""
    claims = _claims(program)
    held = _held(program, claims)
    comparing = [c for c in claims if _compares(c) or (c in held and _by_chance(c))]
    like = [c for c in claims if c.said.random or (c.refuted and held)]
    like = [c for c in like if c not in comparing]
    inside = {c.name: _inside(c.said) for c in comparing}
    failing = [(c.name, said) for c in like if c.said.random for said in _failing(c)]
    of = {
        claim.name: (
            *(c.name for c in comparing if c is claim or inside[c.name] & claim.said.terms.keys()),
            *dict.fromkeys(
                name
                for name, fails in failing
                if any(_is_control_of(fails, asked) for asked in claim.imitated)
            ),
        )
        for claim in held
    }
    used = {name for names in of.values() for name in names}
    reasons = {c.name: "" if c.name in used else _reason(program, c, held) for c in like}
    return Controls(of=of, reasons={**dict.fromkeys([c.name for c in comparing], ""), **reasons})


def _inside(said: Said) -> set[Term]:
    """Everything that the terms of a claim are made of."""
    found: set[Term] = set()
    pending = list(said.terms)
    while pending:
        term = pending.pop()
        if term not in found:
            found.add(term)
            pending += [part for part in term.parts if isinstance(part, Term)]
    return found


def _claims(program: Program) -> list[_Claim]:
    found = quantities_of(program)

    def imitated(claim: ast.ClaimDecl) -> tuple[Said, ...]:
        meant = [claim, *(one for _, one in variants(program, claim))]
        said = [one for each in meant if (one := found.claim(each)) is not None]
        return tuple(one for each in said if (one := each.imitated) is not None)

    return [
        _Claim(
            written=claim, said=said, imitated=imitated(claim), refuted=claim.expect == "refuted"
        )
        for claim in program.claims
        if (said := found.claim(claim)) is not None
    ]


def _held(program: Program, claims: list[_Claim]) -> list[_Claim]:
    """The claims that need a control."""
    return [c for c in claims if not c.refuted and _needs(program, c)]


def check_control(program: Program) -> Faults:
    """No claim about what a wrong hypothesis would score."""
    claims = _claims(program)
    held = _held(program, claims)
    if not held or any(_compares(c) for c in claims) or any(map(_by_chance, held)):
        return
    controls = [c for c in claims if c.said.random or c.refuted]
    reasons: list[tuple[_Claim, str]] = []
    for control in controls:
        reason = _reason(program, control, held)
        if not reason:
            return
        reasons.append((control, reason))
    first = held[0].written.name
    yield warning(
        "PD501",
        "no claim says what a wrong hypothesis would score" + _told(reasons),
        first.span,
        "the first of the claims",
        labels=[
            *((c.written.name.span, "this is no control of it") for c, _ in reasons[:_SHOWN]),
        ],
        notes=[f"no control: {reason}" for _, reason in reasons[1 : 1 + _SHOWN]],
        help=control_of(program, held[0].written),
    )


def _needs(program: Program, claim: _Claim) -> bool:
    """Whether a claim is about what the model does with a path set that somebody chose."""
    judged = is_test(claim.written) or is_estimated(program, claim.written)
    return judged and any(term.has_paths and not term.random for term in claim.said.terms)


def _told(reasons: list[tuple[_Claim, str]]) -> str:
    if not reasons:
        return ""
    more = f", and {len(reasons) - 1} more are no controls" if len(reasons) > 1 else ""
    return f": {reasons[0][1]}{more}"


def control_of(program: Program, written: ast.ClaimDecl, drawn: str = _LIKE) -> str:
    """A control of a claim where its path set is plain to see, else that of some P.

    `drawn`: the random set, with `{}` for the one that it is like.
    """
    scores = [n for n in program.nodes(written) if isinstance(n, ast.Score)]
    one = scores[0] if len(scores) == 1 else None
    subject = one.subjects[0] if one is not None and one.subjects else None
    if not scores:
        named = [n for n in program.nodes(written) if isinstance(n, ast.Name)]
        sets = [name for name in named if name.name in program.paths]
        subject = sets[0] if len(sets) == 1 else None
    if isinstance(subject, ast.Name) and subject.name in program.paths and not written.loop:
        start, end = written.left.span.start, (written.within or written.right).span.end
        if written.emerges is not None:
            start, end = written.emerges.span.start, written.emerges.span.end
        at = subject.span
        if start <= at.start and at.end <= end and (name := source_text(program, subject)):
            before = span_text(program, replace(at, start=start, end=at.start))
            behind = span_text(program, replace(at, start=at.end, end=end))
            return (
                f"`claim control: {before}{drawn.format(name)}{behind} "
                "at 95% confidence expect refuted`"
            )
    some = f"faithfulness({drawn.format('P')}) >= 80%"
    if written.emerges is not None:
        some = f"emerges({some}) <= STEP"
    return f"`claim control: {some} at 95% confidence expect refuted`"


# -------------------------------------------------------------------------------------------------
# Claims that have their control in themselves
# -------------------------------------------------------------------------------------------------


def _compares(claim: _Claim) -> bool:
    """Whether a claim says that P does better than a random set like it."""
    said = claim.holds
    terms = list(said.terms)
    if any(_tested(term) for term in terms) and is_test(claim.written):
        return said.asks == "below" and said.number <= MOST_P
    if len(terms) == 1 and terms[0].kind == "/":
        above, below = terms[0].parts
        assert isinstance(above, Term) and isinstance(below, Term)
        if below.random and below.imitated is above.imitated:
            return _better(above, said.asks, said.number - 1)
        if above.random and above.imitated is below.imitated:
            return _better(below, said.turned.asks, 1 - said.number)
    if len(terms) != 2 or said.asks == "around":
        return False
    drawn = [term for term in terms if term.random]
    chosen = [term for term in terms if not term.random]
    if len(drawn) != 1 or drawn[0].imitated is not chosen[0].imitated:
        return False
    factors = said.terms[chosen[0]], said.terms[drawn[0]]
    if not isclose(factors[0], -factors[1]):
        return False
    sign = 1.0 if factors[0] > 0 else -1.0
    asks = said.asks if sign > 0 else said.turned.asks
    return _better(chosen[0], asks, sign * said.number)


def _better(term: Term, asks: Asks, margin: float) -> bool:
    """Whether P is claimed to lie on its better side of a control, by no less than nothing."""
    if asks == "above":
        return term.better != "smaller" and margin >= 0
    return asks == "below" and term.better != "larger" and margin <= 0


def _tested(term: Term) -> bool:
    """Whether a test over the prompts compares P with a random set like it."""
    whole = [part for part in term.parts if isinstance(part, Term)]
    summed = [part for one in whole for part in (one, *one.parts) if isinstance(part, Term)]
    plain = {one.imitated for one in summed if not one.random}
    return any(one.random and one.imitated in plain for one in summed)


def _by_chance(claim: _Claim) -> bool:
    """Whether a claim ranks P before most of its random controls."""
    written = claim.written
    for side in (strip(written.left), strip(written.right)):
        if isinstance(side, ast.Score) and SCORES[side.name].of == "score":
            above = named_option(side.options, "side") in (None, "above")
            return above and claim.said.asks == "below" and claim.said.number <= MOST_P
    return False


# -------------------------------------------------------------------------------------------------
# Claims beside others
# -------------------------------------------------------------------------------------------------


def _reason(program: Program, control: _Claim, held: list[_Claim]) -> str:
    """Why a claim is a control of none of those held; "" for one that is."""
    if not control.said.random:
        return f"`{control.name}` is about no random set"
    best, rank = "", 0
    pairs = [(c, a, f) for c in held for a in c.imitated for f in _failing(control)]
    for claim, asked, fails in pairs:
        if _is_control_of(fails, asked):
            return ""
        if not _same(fails, asked):
            continue
        if fails.asks != asked.asks:
            text, at = f"`{control.name}` asks for the other side than `{claim.name}`", 2
        elif not _no_sooner(fails, asked):
            text, at = f"`{control.name}` asks for another step than `{claim.name}`", 3
        else:
            text, at = _threshold(program, control, claim), 3
        if at > rank:
            best, rank = text, at
    return best or _elsewhere(program, control)


def _is_control_of(fails: Said, asked: Said) -> bool:
    """Whether what fails where a control holds is what a claim says, or less."""
    alike = fails.asks == asked.asks and _same(fails, asked)
    return alike and _no_harder(fails, asked) and _no_sooner(fails, asked)


def _failing(control: _Claim) -> tuple[Said, ...]:
    """What is said of P where it is said of the random set: it fails where a control holds."""
    return tuple(like if control.refuted else like.turned for like in control.imitated)


def _elsewhere(program: Program, control: _Claim) -> str:
    """What a random set imitates, where nothing like it is claimed."""
    for node in reach(program, control.written):
        if isinstance(node, ast.RandomEdges) and any(o.keyword == "count" for o in node.options):
            return f"`{control.name}` draws `count:` edges, which may be fewer than its set has"
    drawn = next((n for n in reach(program, control.written) if _is_drawn(n)), None)
    inner = _inner(drawn)
    name = source_text(program, inner) if inner is not None else ""
    if not name:
        return f"`{control.name}` measures what no supported claim measures"
    return f"`{control.name}` measures of a set like `{name}` what no claim measures of `{name}`"


def _is_drawn(node: ast.Node) -> bool:
    return isinstance(node, ast.RandomLike | ast.RandomEdges)


def _inner(node: ast.Node | None) -> ast.Node | None:
    if isinstance(node, ast.RandomLike):
        return node.inner
    if isinstance(node, ast.RandomEdges):
        return next((o.value for o in node.options if o.keyword == "like"), None)
    return None


def _same(control: Said, claim: Said) -> bool:
    """Whether two claims measure the same, up to factors of terms that hang on no path set."""
    if control.terms.keys() != claim.terms.keys():
        return False
    return all(isclose(n, claim.terms[t]) for t, n in control.terms.items() if t.has_paths)


def _no_harder(control: Said, claim: Said) -> bool:
    """Whether a control asks for no more than the claim, so that it fails no more easily."""
    if control.asks == "around":
        return isclose(control.number, claim.number) and control.within >= claim.within
    sign = 1.0 if control.asks == "above" else -1.0
    # A term without paths stands on the side of the number: `P >= 80% * R` is `P - 80% * R >= 0`.
    plain = [t for t in control.terms if not t.has_paths]
    asked = [(-control.terms[t], -claim.terms[t]) for t in plain]
    eased = all(isclose(a, b) or (sign * a <= sign * b and a * b >= 0) for a, b in asked)
    numbers = control.number, claim.number
    return eased and (isclose(*numbers) or sign * numbers[0] < sign * numbers[1])


def _no_sooner(control: Said, claim: Said) -> bool:
    """Whether a control asks for no step that is harder to meet than that of the claim.

    One that is no `emerges` is judged at every step, and a claim of `emerges` may be beside it.
    """
    if control.steps is None or claim.steps is None:
        return True
    (side, step), (asked, last) = control.steps, claim.steps
    return side == asked and (step >= last if side == "below" else step <= last)


def _threshold(program: Program, control: _Claim, claim: _Claim) -> str:
    asked = [_number(program, one) for one in (control, claim)]
    return f"`{control.name}` has threshold {asked[0]} where `{claim.name}` has {asked[1]}"


def _number(program: Program, claim: _Claim) -> str:
    """The number of a claim as it is written, where it is written at all."""
    within = claim.written.within
    sides: Iterator[ast.Node] = (
        strip(s) for s in (within, claim.written.right, claim.written.left) if s is not None
    )
    number = next((s for s in sides if isinstance(s, ast.Number)), None)
    return source_text(program, number) if number is not None else f"{claim.said.number:g}"
