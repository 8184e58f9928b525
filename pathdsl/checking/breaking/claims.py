"""Which claims say less than they did: claims compared part by part.

What is weaker depends on what is expected: a claim that must be refuted says more, not less, when
its threshold is lower.

Source: docs/reproducibility.md, What became weaker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from pathdsl.checking.breaking.changes import (
    Change,
    Kind,
    constant,
    put_in_place,
    renamed,
    written,
)
from pathdsl.checking.breaking.inputs import model_changes, task_changes
from pathdsl.checking.breaking.locked import lock_changes, locked_inputs
from pathdsl.checking.breaking.measured import Pair, expanded, measured, name_now, skeleton
from pathdsl.checking.discovered import records_named
from pathdsl.errors import PathdslError
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.resolve.instances import instances
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang import ast
from pathdsl.lang.canonical import spelled
from pathdsl.lang.defaults import meant
from pathdsl.lang.loops import Value, substituted
from pathdsl.lang.program import Program
from pathdsl.lang.signatures.methods import correction_of, strictness
from pathdsl.lang.signatures.relations import RELATIONS, RelationRecord
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.walk import strip

__all__ = ["program_changes"]

_LESS: tuple[Kind, Kind] = ("weaker", "noted")


def program_changes(
    old: Program, new: Program, shape: ModelShape | None, why: str = ""
) -> list[Change]:
    """Every change of the claims and of what they stand on, in the order of the earlier file.

    `shape` is of the model as it is now; None, with the reason in `why`, leaves path sets that are
    written otherwise undecided.
    """
    tasks = renamed(old.tasks, new.tasks)
    metrics = renamed(old.metrics, new.metrics)
    claims = renamed(_claims(old), _claims(new))
    pair = Pair(
        old=old,
        new=new,
        names={**tasks, **metrics},
        resolvers=(Resolver(old, shape), Resolver(new, shape)) if shape is not None else None,
        why=why,
    )
    locks = locked_inputs(old), locked_inputs(new)
    changes = [*_circuit(old, new), *_records(old, new), *model_changes(old, new)]
    changes += task_changes(old, new, tasks, locks)
    changes += lock_changes(locks, tasks, new, changes)
    changes += _metrics(pair, metrics)
    changes += _interventions(pair)
    now = _claims(new)
    for name, before in _claims(old).items():
        after = now.get(claims.get(name, name))
        of = f"claim {name}"
        if after is None:
            text = written(old, before)
            changes.append(Change(kind="weaker", of=of, what="dropped", before=text))
            continue
        if name in claims:
            changes.append(Change(kind="noted", of=of, what="renamed", after=claims[name]))
        changes += _claim(pair, before, after, of)
    taken = {claims.get(name, name) for name in _claims(old)}
    changes += [
        Change(kind="noted", of=f"claim {name}", what="new", after=written(new, claim))
        for name, claim in now.items()
        if name not in taken
    ]
    return changes


def _circuit(old: Program, new: Program) -> Iterator[Change]:
    """Name, title and fields of the circuit block, which no claim depends on."""
    if old.circuit is None or new.circuit is None:
        return
    note = partial(Change, kind="noted", of="circuit")
    names = old.circuit.name.name, new.circuit.name.name
    if names[0] != names[1]:
        yield note(what="renamed", before=names[0], after=names[1])
    if old.circuit.title != new.circuit.title:
        yield note(what="another title", before=old.circuit.title, after=new.circuit.title)
    a, b = ({field.name: field.value for field in one.circuit.fields} for one in (old, new)
            if one.circuit is not None)  # fmt: skip
    for key in dict.fromkeys([*a, *b]):
        one, two = a.get(key), b.get(key)
        if spelled(one) == spelled(two):
            continue
        if key == "hypothesis" and one and two and expanded(old, one) == expanded(new, two):
            continue  # a new name of the same path set
        if key == "discovered":
            continue  # claims depend on it
        yield note(what=f"another `{key}`", before=written(old, one), after=written(new, two))


def _records(old: Program, new: Program) -> Iterator[Change]:
    """The records of rows that found a circuit, and that claims about it are not judged on."""
    before, after = (
        {named.value: written(program, named) for named in records_named(program)}
        for program in (old, new)
    )
    gone = [text for name, text in before.items() if name not in after]
    added = [text for name, text in after.items() if name not in before]
    if gone and not added:
        what = "the rows that found it are no longer kept from judging it"
        yield Change(kind="weaker", of="circuit", what=what, before=", ".join(gone))
    elif gone:
        what = "other rows are said to have found it"
        texts = ", ".join(gone), ", ".join(added)
        yield Change(kind="changed", of="circuit", what=what, before=texts[0], after=texts[1])
    elif added:
        what = "rows that found it are kept from judging it"
        yield Change(kind="noted", of="circuit", what=what, after=", ".join(added))


def _claims(program: Program) -> dict[str, ast.ClaimDecl]:
    return {claim.name.name: claim for claim in program.claims}


def _metrics(pair: Pair, names: Mapping[str, str]) -> Iterator[Change]:
    for name, before in pair.old.metrics.items():
        after = pair.new.metrics.get(names.get(name, name))
        of = f"metric {name}"
        if after is None:
            yield Change(kind="changed", of=of, what="gone", before=written(pair.old, before))
            continue
        if name in names:
            yield Change(kind="noted", of=of, what="renamed", after=names[name])
        (a, one), (b, two) = (
            skeleton(pair, p, m) for p, m in ((pair.old, before), (pair.new, after))
        )
        a["name"] = b["name"] = None
        if a != b or expanded(pair.old, tuple(one)) != expanded(pair.new, tuple(two)):
            yield Change(
                kind="changed", of=of, what="measures something else",
                before=written(pair.old, before), after=written(pair.new, after),
            )  # fmt: skip


def _interventions(pair: Pair) -> Iterator[Change]:
    for name, before in pair.old.interventions.items():
        after = pair.new.interventions.get(name)
        if after is None or expanded(pair.old, before) != expanded(pair.new, after):
            what = "gone" if after is None else "changes the model in another way"
            yield Change(kind="changed", of=f"intervention {name}", what=what)


# ------------------------------------------------------------------------------- one claim


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sides:
    """A claim with its constant, if there is one, on the right."""

    left: ast.Expr
    relation: RelationRecord
    right: ast.Expr


def _sides(program: Program, claim: ast.ClaimDecl) -> _Sides:
    relation = RELATIONS[claim.relation]
    left, right = put_in_place(program, claim.left), put_in_place(program, claim.right)
    turned = constant(right, program) is None and constant(left, program) is not None
    if turned and relation.asks != "around":
        return _Sides(left=right, relation=RELATIONS[relation.turned], right=left)
    return _Sides(left=left, relation=relation, right=right)


def _claim(pair: Pair, old: ast.ClaimDecl, new: ast.ClaimDecl, of: str) -> Iterator[Change]:
    new = _variables_of(old, new)
    before, after = _sides(pair.old, old), _sides(pair.new, new)
    supported = old.expect == "supported"
    if old.text != new.text:
        yield Change(kind="noted", of=of, what="other words", before=old.text, after=new.text)
    if old.expect != new.expect:
        weaker = new.expect == "refuted"
        yield Change(
            kind="weaker" if weaker else "noted", of=of,
            what="now expected to be refuted" if weaker else "now expected to be supported",
        )  # fmt: skip
    other = partial(
        Change, of=of, what="another relation", before=before.relation.name,
        after=after.relation.name,
    )  # fmt: skip
    if before.relation.asks != after.relation.asks:
        yield other(kind="changed")
    else:
        if before.relation.strict != after.relation.strict:
            yield other(kind="weaker" if before.relation.strict == supported else "noted")
        yield from _threshold(pair, before, after, of, supported)
    yield from _emergence(old, new, of, supported)
    yield from _within(pair, old, new, of, supported)
    yield from _confidence(pair, old, new, of)
    yield from _methods(old, new, of)
    yield from _loops(pair, old, new, of)
    yield from measured(pair, old, new, before.left, after.left, _kinds(before, supported))
    if constant(before.right, pair.old) is None and constant(after.right, pair.new) is None:
        yield from measured(
            pair, old, new, before.right, after.right, _EITHER, "another right side"
        )


def _emergence(
    old: ast.ClaimDecl, new: ast.ClaimDecl, of: str, supported: bool
) -> Iterator[Change]:
    """What is claimed of training steps: another step, another relation, or of one model now."""
    a, b = (None if one.emerges is None else spelled(one.emerges) for one in (old, new))
    if a == b:
        return

    def text(claim: ast.ClaimDecl) -> str:
        found = claim.emerges
        step = found.step.written if found and isinstance(found.step, ast.Number) else "…"
        return f"emerges(…) {found.relation} {step}" if found is not None else "of one model"

    first, second = old.emerges, new.emerges
    kind: Kind = "changed"
    if first is not None and second is not None and first.relation == second.relation:
        if isinstance(first.step, ast.Number) and isinstance(second.step, ast.Number):
            later = second.step.value > first.step.value
            easier = later == (RELATIONS[first.relation].asks == "below")
            kind = "weaker" if easier == supported else "noted"
    yield Change(
        kind=kind, of=of, what="another emergence", before=text(old), after=text(new)
    )  # fmt: skip


def _variables_of(old: ast.ClaimDecl, new: ast.ClaimDecl) -> ast.ClaimDecl:
    """The later claim with the earlier one's names for its variables."""
    if old.loop is None or new.loop is None or len(old.loop.names) != len(new.loop.names):
        return new
    pairs = list(zip(old.loop.bindings, new.loop.bindings, strict=True))
    values = {
        b.variable.name: Value(label=a.variable.name, node=a.variable)
        for a, b in pairs
        if a.variable.name != b.variable.name
    }
    if not values:
        return new
    (first, _), *_ = pairs
    more = tuple(replace(b, variable=a.variable) for a, b in pairs[1:])
    loop = replace(new.loop, variable=first.variable, more=more)
    return replace(substituted(new, values), loop=loop)


_EITHER: dict[str, Kind] = {"wider": "changed", "narrower": "changed"}
"""Of the side that a claim compares with: a larger set may make it easier or harder."""


def _kinds(sides: _Sides, supported: bool) -> dict[str, Kind]:
    """What a wider and a narrower path set make of a claim.

    A faithful wider set says less; that it is not faithful says more. Of other measures it is known
    only that a set with more paths in it says less about each.
    """
    kinds: dict[str, Kind] = {"wider": "weaker" if supported else "changed", "narrower": "changed"}
    score = strip(sides.left)
    order = SCORES[score.name].order if isinstance(score, ast.Score) else None
    if order is not None and sides.relation.asks == order.asks:
        turned = _LESS[:: 1 if supported else -1]
        kinds |= dict(zip((order.less, order.more), turned, strict=True))
    return kinds


def _threshold(
    pair: Pair, before: _Sides, after: _Sides, of: str, supported: bool
) -> Iterator[Change]:
    a, b = constant(before.right, pair.old), constant(after.right, pair.new)
    texts = {"before": written(pair.old, before.right), "after": written(pair.new, after.right)}
    if a is None or b is None:
        if (a is None) != (b is None):  # two expressions are compared as what is measured is
            yield Change(kind="changed", of=of, what="another right side", **texts)
    elif a != b and before.relation.asks == "around":
        yield Change(kind="changed", of=of, what="another target", **texts)
    elif a != b:
        easier = b < a if before.relation.asks == "above" else b > a
        what = "lower threshold" if b < a else "higher threshold"
        yield Change(kind="weaker" if easier == supported else "noted", of=of, what=what, **texts)


def _within(
    pair: Pair, old: ast.ClaimDecl, new: ast.ClaimDecl, of: str, supported: bool
) -> Iterator[Change]:
    a, b = constant(old.within, pair.old), constant(new.within, pair.new)
    if (a is None and spelled(old.within) == spelled(new.within)) or (a is not None and a == b):
        return
    texts = {"before": written(pair.old, old.within), "after": written(pair.new, new.within)}
    if a is None or b is None:
        yield Change(kind="changed", of=of, what="another `within`", **texts)
        return
    what = "wider `within`" if b > a else "narrower `within`"
    yield Change(kind="weaker" if (b > a) == supported else "noted", of=of, what=what, **texts)


def _confidence(pair: Pair, old: ast.ClaimDecl, new: ast.ClaimDecl, of: str) -> Iterator[Change]:
    a = old.confidence.value if old.confidence is not None else 0.0
    b = new.confidence.value if new.confidence is not None else 0.0
    if a != b:
        what = "lower confidence" if b else "no confidence any more"
        yield Change(
            kind="weaker" if b < a else "noted", of=of, what=what if b < a else "higher confidence",
            before=written(pair.old, old.confidence), after=written(pair.new, new.confidence),
        )  # fmt: skip


def _methods(old: ast.ClaimDecl, new: ast.ClaimDecl, of: str) -> Iterator[Change]:
    a, b = correction_of(old), correction_of(new)
    if a != b:
        weaker = strictness(b) < strictness(a)
        yield Change(
            kind="weaker" if weaker else "noted", of=of,
            what="weaker correction" if weaker else "stronger correction",
            before=f"{a}()" if a else "none", after=f"{b}()" if b else "none",
        )  # fmt: skip
    rest = [
        [spelled(meant(m)) for m in claim.methods if not strictness(m.name)] for claim in (old, new)
    ]
    if rest[0] != rest[1]:
        yield Change(kind="changed", of=of, what="another method")


def _loops(pair: Pair, old: ast.ClaimDecl, new: ast.ClaimDecl, of: str) -> Iterator[Change]:
    if old.loop is None or new.loop is None:
        if old.loop is not new.loop:
            yield Change(kind="changed", of=of, what="another `for`")
        return
    texts = {"before": written(pair.old, old.loop), "after": written(pair.new, new.loop)}
    try:
        labels = _labels(pair, old, new)
    except PathdslError:
        labels = None
    if labels is None:
        if expanded(pair.old, old.loop) != expanded(pair.new, new.loop):
            yield Change(kind="changed", of=of, what="another `for`", **texts)
        return
    gone = [label for label in labels[0] if label not in labels[1]]
    more = [label for label in labels[1] if label not in labels[0]]
    if gone:
        what = f"no longer claimed for {', '.join(gone)}"
        yield Change(kind="weaker", of=of, what=what, **texts)
    elif more:
        yield Change(kind="noted", of=of, what=f"also claimed for {', '.join(more)}", **texts)


def _labels(
    pair: Pair, old: ast.ClaimDecl, new: ast.ClaimDecl
) -> tuple[list[str], list[str]] | None:
    if pair.resolvers is None or old.loop is None or new.loop is None:
        return None
    found = [
        [", ".join(name_now(pair, program, m)) for m in instances(program, resolver, claim.loop)]
        for program, resolver, claim in zip(
            (pair.old, pair.new), pair.resolvers, (old, new), strict=True
        )
    ]
    return found[0], found[1]
