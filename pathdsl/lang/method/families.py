"""Lint of the method: claims of one form, each at its own confidence, are a family.

The form of a claim is what it measures: which scores with which form and options, which measures of
which runs, on which data. Path sets, numbers, seeds, rows and nodes are what members of a family
differ in; arithmetic, averages, tests, thresholds and the side on which they stand are looked
through. A form is a text, so that claims of several files can be compared.

    about(program)["sufficient"]      # faithfulness as recovered of logit(io), logit(s) on …

Not counted are claims that no prompt decides or that have no interval, and those about random sets
alone, since controls are no hypotheses.

Source: docs/semantics.md, Verdicts (families).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pathdsl.lang import ast
from pathdsl.lang.check.scope import Faults, warning
from pathdsl.lang.method.estimates import is_estimated, is_test
from pathdsl.lang.method.quantities import Fact, Term, quantities_of
from pathdsl.lang.program import Program
from pathdsl.lang.serving import fields_of, root_task
from pathdsl.lang.signatures.calls import Filled, path_in
from pathdsl.lang.signatures.measures import MEASURES
from pathdsl.lang.signatures.methods import correction_of
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.spelling import position_text
from pathdsl.lang.walk import walk

__all__ = ["MANY_COPIES", "about", "check_families", "is_one"]

MANY_COPIES = 5
"""Claims of one form from which on they are a family that `for` would make."""


class _Leaf(NamedTuple):
    """One measured thing: its form, what members of a family differ in, and of which sets it is."""

    form: str
    members: frozenset[object]
    has_paths: bool
    random: bool


class _Reading(NamedTuple):
    """A claim: the text of its form, and what it has that others of the form have not."""

    form: str
    members: frozenset[object]


def about(program: Program) -> Mapping[str, str]:
    """The form of each claim that counts to a family, by its name."""
    return {name: reading.form for name, reading in _readings(program).items()}


def check_families(program: Program) -> Faults:
    """Claims of a loop, and claims of one form, without a correction for their number."""
    for claim in program.claims:
        if claim.loop is None or not _is_uncorrected(program, claim):
            continue
        if claim.confidence is not None or is_test(claim):
            yield warning(
                "PD503",
                f"`{claim.name.name}` makes one claim per member"
                + (" at one confidence" if claim.confidence is not None else ", each a test"),
                claim.loop.span,
                f"many chances to be {claim.expect} by luck",
                help="add `by holm()` or `by bh()`",
            )
    alike: dict[str, dict[frozenset[object], ast.ClaimDecl]] = {}
    readings = _readings(program)
    for claim in program.claims:
        reading = readings.get(claim.name.name)
        if reading is not None and not _is_uncorrected(program, claim):
            alike.setdefault(reading.form, {}).setdefault(reading.members, claim)
    for form, members in alike.items():
        same = list(members.values())
        if len(same) >= MANY_COPIES:
            yield warning(
                "PD503",
                f"{len(same)} claims of one form, each at its own confidence",
                same[0].name.span,
                "the first of them",
                labels=[(claim.name.span, "and this") for claim in same[1:4]],
                notes=[f"each measures {form}"],
                help="one claim `for h in {…}` with `by holm()` or `by bh()`",
            )


def _is_uncorrected(program: Program, claim: ast.ClaimDecl) -> bool:
    """Whether a claim has several members and no correction for them, which is told of it alone."""
    bindings = claim.loop.bindings if claim.loop is not None else ()
    several = not all(is_one(program, one.members) for one in bindings)
    return several and not correction_of(claim)


def _readings(program: Program) -> Mapping[str, _Reading]:
    found: Mapping[str, _Reading] = program.once("readings of claims", lambda: _read(program))
    return found


def _read(program: Program) -> dict[str, _Reading]:
    forms = _Forms(program)
    found: dict[str, _Reading] = {}
    for claim in program.claims:
        judged = claim.confidence is not None and is_estimated(program, claim)
        if judged or is_test(claim):
            reading = forms.of(claim)
            if reading is not None:
                found[claim.name.name] = reading
    return found


class _Forms:
    """The forms of what is measured, each made once."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.quantities = quantities_of(program)
        self._leaves: dict[Term, frozenset[_Leaf]] = {}
        self._metrics: dict[str, tuple[str, frozenset[object]]] = {}

    def of(self, claim: ast.ClaimDecl) -> _Reading | None:
        """The reading of a claim; None where it measures random sets alone, or nothing."""
        said = self.quantities.claim(claim)
        leaves = [leaf for term in said.terms for leaf in self._of(term)] if said else []
        # What a plain run scores is the same for all members: `treat(P)` over `reference`.
        told = [leaf for leaf in leaves if leaf.has_paths] or leaves
        if not told or all(leaf.random for leaf in told):
            return None
        form = "; ".join(sorted({leaf.form for leaf in told}))
        return _Reading(form, frozenset().union(*(leaf.members for leaf in told)))

    def _of(self, term: Term) -> frozenset[_Leaf]:
        """The measured things in a term, however many lets it goes through."""
        pending = [term]
        while pending:
            top = pending[-1]
            fact = self.quantities.facts.get(top)
            if top in self._leaves:
                pending.pop()
            elif fact is not None and not _is_of_score(fact):
                self._leaves[pending.pop()] = frozenset((self._leaf(top, fact),))
            else:
                inner = list(_terms(top.parts if fact is None else fact.inner))
                missing = [one for one in inner if one not in self._leaves]
                pending += missing
                if not missing:
                    found = [self._leaves[one] for one in inner]
                    self._leaves[pending.pop()] = frozenset().union(*found)
        return self._leaves[term]

    def _leaf(self, term: Term, fact: Fact) -> _Leaf:
        members: set[object] = set()
        words = [] if not fact.score else [fact.score]
        for name, value in fact.options.items():
            parameter = SCORES[fact.score].parameter(name)
            if name != "as" and parameter is not None and value == parameter.default:
                continue
            text = self._option(value, members)
            words += [f"{name} {text}"] if text else []
        if fact.metric:
            text, heads = self._metric(fact.metric)
            members |= heads
            words += [f"of {text}" if fact.score else text]
        runs = [run for one in fact.inner if (run := self._run(one, members))]
        words += [f"of {', '.join(runs)}"] if runs else []
        if fact.task:
            members.add(("task", fact.task))
            words.append(f"on {_data(self.program, fact.task)}")
        return _Leaf(" ".join(words), frozenset(members), term.has_paths, term.random)

    def _run(self, term: Term, members: set[object]) -> str:
        """A run as a text without its paths; "" for a path set."""
        if term.kind == "paths run":
            which, paths, *rest = term.parts
            members.add(paths)
            return " ".join([f"{which}(…)", *filter(None, map(_text, rest))])
        if term.kind == "PlainRun":
            return _text(term)
        members.add(term)
        return ""

    def _option(self, value: object, members: set[object]) -> str:
        """The words of an option; nodes and numbers are what members differ in."""
        match value:
            case None:
                return ""
            case Filled(name=name, arguments=arguments):
                members.add((name, *(str(one) for one in arguments.values())))
                return name
            case bool() | str():
                return str(value)
            case _:
                members.add(str(value))
                return ""

    def _metric(self, name: str) -> tuple[str, frozenset[object]]:
        """What a metric measures, whatever it is called and however it is put together."""
        if name not in self._metrics:
            declared = self.program.metrics.get(name)
            heads: set[object] = set()
            measures: set[str] = set()
            for node in walk(declared.expression) if declared is not None else ():
                if isinstance(node, ast.Call) and node.name in MEASURES:
                    at = node.at or (declared.at if declared is not None else None)
                    measures.add(f"{node.name}({_arguments(node, heads)}){_position(at)}")
            self._metrics[name] = (", ".join(sorted(measures)) or name, frozenset(heads))
        return self._metrics[name]


def _is_of_score(fact: Fact) -> bool:
    return bool(fact.score) and SCORES[fact.score].of == "score"


def _terms(parts: Iterable[object]) -> Iterable[Term]:
    return (part for part in parts if isinstance(part, Term))


def _arguments(call: ast.Call, heads: set[object]) -> str:
    texts = []
    for argument in call.arguments:
        value = argument.value
        if isinstance(value, ast.AttentionArgs):
            heads.add(value.head)
            texts.append(f"…, {_position(value.query)[1:]} -> {_position(value.key)[1:]}")
        else:
            texts.append(value.name if isinstance(value, ast.Name) else str(value))
    return ", ".join(texts)


def _position(at: ast.Position | None) -> str:
    return f"@{position_text(at)}" if at is not None else ""


def _text(value: object) -> str:
    """The words of a term or a plain value, without numbers."""
    if isinstance(value, Term):
        return " ".join(text for text in map(_text, value.parts) if text)
    return value if isinstance(value, str) else ""


def _data(program: Program, name: str) -> str:
    """The data of a task without its numbers: where the rows come from, and which prompts meet."""
    task = program.tasks.get(root_task(program, name))
    if task is None:
        return name
    given = fields_of(program, task)
    words = []
    for field in ("data", "reference", "treated"):
        value = given[field].value if field in given else None
        words.append(" ".join(_words(value)) if value is not None else "")
    source, *prompts = words
    return f"{source} ({' against '.join(filter(None, prompts))})"


def _words(value: ast.Node) -> Iterable[str]:
    path = path_in(value) if isinstance(value, ast.Call) else None
    for node in walk(value):
        match node:
            case ast.Call(name=name) | ast.Name(name=name):
                yield name
            case ast.String(value=text) if path is None or node is path:
                yield text


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
            return layer.single and head.single
        case ast.MlpRef(layer=layer) | ast.ResidRef(layer=layer):
            return layer.single
        case _:
            return False
