"""What claims measure, in one spelling: so many times each term, and a number beside them.

`0 < x`, `x * 1 >= 0`, `-x < 0` and a `let` of x say one thing, and so do two spellings of a mean
of differences. A term is what is left when sums, brackets, names and constants are looked through:
a score with all its options, a mean over runs, a quotient. Each comes with the one that it would be
if random path sets were the sets that they imitate.

Source: docs/language.md, `let`, `claim` and Complete path sets.

    said = quantities_of(program).claim(claim)
    said.terms, said.asks, said.number         # {faithfulness(main, …): 1.0}, "above", 0.85
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Literal

from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.reach import in_order, named
from pathdsl.lang.serving import (
    choose_metric,
    choose_task,
    form_of,
    named_option,
    score_inside,
    wants_metric,
)
from pathdsl.lang.signatures.calls import Filled, resolve_options
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.lang.signatures.relations import RELATIONS, Asks
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.signatures.statistics import STATISTICS
from pathdsl.lang.spelling import position_text
from pathdsl.lang.walk import compared, quantities, strip
from pathdsl.record import record

__all__ = ["Fact", "Quantities", "Said", "Term", "quantities_of"]

Better = Literal["larger", "smaller", "size", "neither"]
Bound = Mapping[str, "Term"]
_TURNED: Mapping[Asks, Asks] = {"below": "above", "above": "below", "around": "around"}


@dataclass(eq=False, slots=True, kw_only=True)
class Term:
    """One thing that is measured or written, once for all its spellings: compared by identity.

    `has_paths`: whether it hangs on a path set; `random`: on one that is drawn. `imitated`: the
    term with the sets that are imitated in place of those drawn, and without the seeds of searches;
    for a term without either, itself. `better`: the direction in which a path set does better, for
    a score.
    """

    serial: int
    kind: str
    parts: tuple[object, ...]
    has_paths: bool
    random: bool
    seeded: bool
    better: Better = "neither"
    imitated: Term = field(init=False, repr=False)


@record
class Fact:
    """What a measured term is: a score, or a metric of a run, which then has the name "".

    `inner` are the path sets, runs and scores that it is of; `metric` and `task` are names.
    """

    score: str
    metric: str | None
    task: str | None
    inner: tuple[Term, ...]
    options: Mapping[str, object]


@dataclass(slots=True, kw_only=True)
class _Sum:
    terms: dict[Term, float]
    number: float = 0.0

    def plus(self, other: _Sum, times: float = 1.0) -> _Sum:
        terms = dict(self.terms)
        for term, count in other.terms.items():
            terms[term] = terms.get(term, 0.0) + times * count
        kept = {term: count for term, count in terms.items() if count}
        return _Sum(terms=kept, number=self.number + times * other.number)

    def times(self, number: float) -> _Sum:
        terms = {term: count * number for term, count in self.terms.items() if number}
        return _Sum(terms=terms, number=self.number * number)


@record
class Said:
    """A claim as `terms`, each with its factor, whose sum `asks` for a side of a `number`.

    Whether the number itself will do is left out. The first term about a path set has the factor 1.
    `within` is the distance of `~=`, 0 for the others. `steps`: of a claim of `emerges` the side
    and the step that it asks for.
    """

    terms: Mapping[Term, float]
    asks: Asks
    number: float
    within: float = 0.0
    steps: tuple[Asks, float] | None = None

    @property
    def random(self) -> bool:
        """Whether it is about a path set that is drawn."""
        return any(term.random for term in self.terms)

    @property
    def has_paths(self) -> bool:
        """Whether it is about a path set."""
        return any(term.has_paths for term in self.terms)

    @property
    def turned(self) -> Said:
        """That the claim does not hold, whenever that is."""
        return Said(
            terms=self.terms,
            asks=_TURNED[self.asks],
            number=self.number,
            within=self.within,
        )

    @property
    def imitated(self) -> Said | None:
        """The same of the sets that are imitated; None where nothing is left of it."""
        terms: dict[Term, float] = {}
        for term, count in self.terms.items():
            terms[term.imitated] = terms.get(term.imitated, 0.0) + count
        return _said(_Sum(terms={t: n for t, n in terms.items() if n}), self)


def _said(found: _Sum, like: Said) -> Said | None:
    """A claim with other terms; the numbers are scaled with them."""
    ordered = sorted(found.terms, key=lambda term: term.serial)
    first = next((t for t in ordered if t.has_paths), ordered[0] if ordered else None)
    if first is None:
        return None
    unit = found.terms[first]
    return Said(
        terms={term: found.terms[term] / unit for term in ordered},
        asks=like.asks if unit > 0 else _TURNED[like.asks],
        number=like.number / unit + 0.0,
        within=abs(like.within / unit),
        steps=like.steps,
    )


_PLAIN = (str, bool, int, float, NoneType)


class Quantities:
    """The terms of one program; what is equal is one term, also across claims.

    `facts` say of the terms that are scores and metrics of runs what they are.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.facts: dict[Term, Fact] = {}
        self._known: dict[tuple[object, ...], Term] = {}
        self._claims: dict[int, Said | None] = {}
        self._metrics: dict[tuple[str, str | None], list[object]] = {}
        self._lets: dict[str, _Sum] = {}
        self._paths: dict[str, Term] = {}
        self._members: dict[tuple[str, Term], _Sum] = {}

    def claim(self, claim: ast.ClaimDecl) -> Said | None:
        """What a claim says; None for one in which nothing is measured."""
        if id(claim) not in self._claims:
            self._claims[id(claim)] = self._claim(claim)
        return self._claims[id(claim)]

    def _claim(self, claim: ast.ClaimDecl) -> Said | None:
        names = [n.name for side in (claim.left, claim.right) for n in quantities(side)]
        known = [name for name in names if name in self.program.lets]
        for name in in_order(self._named, known, self._lets):
            self._let(name)
        bound: Bound = {}
        if claim.loop is not None:
            bound = {
                one.variable.name: self._made("each", self._term(one.members, {}))
                for one in claim.loop.bindings
            }
        sides = self._sum(claim.left, bound).plus(self._sum(claim.right, bound), -1.0)
        within = self._sum(claim.within, bound).number if claim.within is not None else 0.0
        asks = RELATIONS[claim.relation].asks
        emerges, steps = claim.emerges, None
        if emerges is not None and isinstance(emerges.step, ast.Number):
            steps = RELATIONS[emerges.relation].asks, emerges.step.value
        like = Said(terms={}, asks=asks, number=-sides.number, within=within, steps=steps)
        return _said(sides, like)

    # ---------------------------------------------------------------------------------------------
    # Sums
    # ---------------------------------------------------------------------------------------------

    def _named(self, name: str) -> list[str]:
        return [one for one in named(self.program, name) if one in self.program.lets]

    def _let(self, name: str) -> _Sum:
        if name not in self._lets:
            self._lets[name] = self._alone(self._made("circle", name))
            let = self.program.lets[name]
            if let.loop is None:
                self._lets[name] = self._sum(let.expression, {})
        return self._lets[name]

    def _member(self, node: ast.Subscript, bound: Bound) -> _Sum:
        name, indices = node.name.name, [self._term(i, bound) for i in (node.member, *node.more)]
        member = indices[0] if len(indices) == 1 else self._made("index", *indices)
        let = self.program.lets.get(name)
        if let is None or let.loop is None:
            return self._alone(self._made("member", name, member))
        if (name, member) not in self._members:
            self._members[name, member] = self._alone(self._made("circle", name))
            inside = dict(zip(let.loop.names, indices, strict=False))
            self._members[name, member] = self._sum(let.expression, inside)
        return self._members[name, member]

    def _sum(self, node: ast.Node, bound: Bound) -> _Sum:
        match node:
            case ast.Number(value=value):
                return _Sum(terms={}, number=value)
            case ast.Bracket(inner=inner):
                return self._sum(inner, bound)
            case ast.Unary(operand=operand):
                return self._sum(operand, bound).times(-1.0)
            case ast.Binary(op=op, left=left, right=right):
                a, b = self._sum(left, bound), self._sum(right, bound)
                return self._binary(op, a, b)
            case ast.Name(name=name) if name not in bound and name in self.program.lets:
                return self._let(name)
            case ast.Subscript():
                return self._member(node, bound)
            case ast.Call(name="mean", arguments=(argument,)) if not isinstance(
                argument.value, ast.OverMembers
            ):
                averaged = self._sum(argument.value, bound)
                terms = {self._made("mean", term): n for term, n in averaged.terms.items()}
                return _Sum(terms=terms, number=averaged.number)
            case _:
                return self._alone(self._term(node, bound))

    def _binary(self, op: str, left: _Sum, right: _Sum) -> _Sum:
        if op in ("+", "-"):
            return left.plus(right, 1.0 if op == "+" else -1.0)
        if op == "*" and not (left.terms and right.terms):
            return left.times(right.number) if left.terms else right.times(left.number)
        if op == "/" and not right.terms and right.number:
            return left.times(1 / right.number)
        return self._alone(self._made(op, self._whole(left), self._whole(right)))

    def _alone(self, term: Term) -> _Sum:
        return _Sum(terms={term: 1.0})

    def _whole(self, found: _Sum) -> Term:
        """A sum as one term."""
        ordered = sorted(found.terms, key=lambda term: term.serial)
        if len(ordered) == 1 and found.terms[ordered[0]] == 1 and not found.number:
            return ordered[0]
        parts = [part for term in ordered for part in (term, found.terms[term])]
        return self._made("sum", *parts, found.number)

    # ---------------------------------------------------------------------------------------------
    # Terms
    # ---------------------------------------------------------------------------------------------

    def _term(self, node: object, bound: Bound) -> Term:
        match node:
            case ast.Group(inner=inner) | ast.Bracket(inner=inner):
                return self._term(inner, bound)
            case ast.Name(name=name, at=at) if name in bound:
                return bound[name] if at is None else self._made("at", bound[name], str(at))
            case ast.Name(name=name, at=None) if name in self.program.paths:
                return self._path(name)
            case ast.RandomLike(inner=inner, options=options):
                over = next((o.value for o in options if o.keyword == "over"), None)
                drawn = self._term(inner, bound)
                return self._drawn(drawn, self._term(over, bound) if over is not None else None)
            case ast.RandomEdges(options=options):
                given = {o.keyword: o.value for o in options}
                if "like" not in given or "count" in given:
                    return self._made(
                        "drawn by count", *(self._term(v, bound) for v in given.values())
                    )
                return self._drawn(self._term(given["like"], bound), None)
            case ast.Score():
                return self._score(node, bound)
            case ast.PathRun(which=which, paths=paths, options=options):
                ordered = sorted(options, key=lambda option: option.keyword)
                flat = [p for o in ordered for p in (o.keyword, self._term(o.value, bound))]
                run = self._term(paths, bound)
                return self._made("paths run", which, run, self._term(node.blocks, bound), *flat)
            case ast.Call() if node.name in self.program.metrics:
                task = named_option(node.arguments, "task")
                runs = tuple(self._term(a.value, bound) for a in node.arguments if not a.keyword)
                place = (position_text(node.at),) if node.at is not None else ()
                measured = self._made("of", *self._measured(node.name, task), *place, *runs)
                chosen = choose_task(self.program, self.program.metrics[node.name], task).name
                self.facts[measured] = Fact(
                    score="", metric=node.name, task=chosen, inner=runs, options={}
                )
                return measured
            case ast.Call() if node.name in P_VALUES or node.name in STATISTICS:
                parts: list[object] = [node.name]
                for argument in node.arguments:
                    value = self._whole(self._sum(argument.value, bound))
                    seed = argument.keyword == "seed"
                    parts += [argument.keyword, self._made("seed", value) if seed else value]
                return self._made("call", *parts)
            case ast.Node():
                inside = [getattr(node, name) for name in compared(node)]
                return self._made(type(node).__name__, *(self._part(v, bound) for v in inside))
            case tuple():
                return self._made("several", *(self._part(item, bound) for item in node))
            case _:
                return self._made("plain", type(node).__name__, str(node))

    def _part(self, value: object, bound: Bound) -> object:
        return value if isinstance(value, _PLAIN) else self._term(value, bound)

    def _path(self, name: str) -> Term:
        if name not in self._paths:
            self._paths[name] = self._made("circle", name)
            for one in in_order(self._inside, self._inside(name), self._paths):
                self._path(one)
            self._paths[name] = self._term(self.program.paths[name].path, {})
        return self._paths[name]

    def _inside(self, name: str) -> list[str]:
        return [one for one in named(self.program, name) if one in self.program.paths]

    def _drawn(self, imitated: Term, over: Term | None) -> Term:
        """A set drawn like another; which one the seed draws is left out."""
        return self._made("drawn", imitated, over)

    def _score(self, score: ast.Score, bound: Bound) -> Term:
        subjects = score.subjects
        if SCORES[score.name].of == "score":
            subjects = (score_inside(score),) if subjects else ()  # type: ignore[assignment]
        inner = tuple(self._term(strip(subject), bound) for subject in subjects)
        parts: list[object] = [score.name, *inner]
        given = resolve_options(score)
        asked, metric = named_option(score.options, "task"), None
        if wants_metric(score) or given.get("metric") is not None:
            metric = choose_metric(self.program, score).name or ""
            parts += self._measured(metric, asked)
        declared = self.program.metrics.get(metric or "")
        task = choose_task(self.program, declared, asked).name
        parts.append(task)
        options = {n: v for n, v in given.items() if n not in ("metric", "task")}
        for name, value in options.items():
            parts += [name, *self._option(name, value, bound)]
        of_paths = SCORES[score.name].of == "paths"
        term = self._made("paths score" if of_paths else "score", *parts)
        term.better = form_of(score).better
        self.facts[term] = Fact(
            score=score.name, metric=metric, task=task, inner=inner, options=options
        )
        return term

    def _option(self, name: str, value: object, bound: Bound) -> Iterable[object]:
        if isinstance(value, Filled):
            yield value.name
            for inner, given in value.arguments.items():
                yield from (inner, *self._option(inner, given, bound))
        else:
            part = self._part(value, bound)
            yield self._made("seed", part) if name == "seed" else part

    def _measured(self, metric: str, task: str | None) -> list[object]:
        """A metric by its expression, and the task that it reads."""
        if (metric, task) not in self._metrics:
            declared = self.program.metrics.get(metric)
            chosen = choose_task(self.program, declared, task).name
            written = (declared.expression, declared.at) if declared is not None else (metric,)
            parts = [self._part(one, {}) for one in written]
            self._metrics[metric, task] = [*parts, chosen]
        return self._metrics[metric, task]

    def _made(self, kind: str, *parts: object) -> Term:
        """The one term of that kind and these parts."""
        key = (kind, *parts)
        known = self._known.get(key)
        if known is not None:
            return known
        inner = [part for part in parts if isinstance(part, Term)]
        made = Term(
            serial=len(self._known),
            kind=kind,
            parts=parts,
            has_paths=kind.startswith("paths") or any(term.has_paths for term in inner),
            random=kind in ("drawn", "drawn by count") or any(term.random for term in inner),
            seeded=kind == "seed" or any(term.seeded for term in inner),
        )
        self._known[key] = made
        made.imitated = self._imitated(made) if made.random or made.seeded else made
        return made

    def _imitated(self, term: Term) -> Term:
        if term.kind == "drawn":
            first = term.parts[0]
            assert isinstance(first, Term)
            return first.imitated
        if term.kind == "seed":
            return self._made("any seed")
        parts = [p.imitated if isinstance(p, Term) else p for p in term.parts]
        if term.kind != "sum":
            return self._made(term.kind, *parts)
        whole = _Sum(terms={}, number=float(parts[-1]))  # type: ignore[arg-type]
        for one, count in zip(parts[:-1:2], parts[1::2], strict=True):
            whole = whole.plus(_Sum(terms={one: count}))  # type: ignore[dict-item]
        return self._whole(whole)


def quantities_of(program: Program) -> Quantities:
    """The terms of a program, made once for all that ask."""
    found: Quantities = program.once("quantities", lambda: Quantities(program))
    return found
