"""How good a circuit has to be: `faithfulness >= 90%`, or another score that all edges reach.

    read_goal("completeness(knockouts: random(20, seed: 0), as: share) <= 20%")
    read_goal("kl <= 0.1")                                   # faithfulness(…, as: kl)

The circuit itself is not written, since it is what is looked for. A score may be a goal if its
record says that the set of all paths passes whatever the model does: then a circuit that grows
reaches it in the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pathdsl.lang.check.scope import listed
from pathdsl.lang.signatures.kinds import UNITS
from pathdsl.lang.signatures.relations import RELATIONS, RelationRecord
from pathdsl.lang.signatures.scores import SCORES, Form, ScoreRecord
from pathdsl.near import did_you_mean

__all__ = ["Goal", "Unwanted", "read_goal", "unknown"]


class Unwanted(Exception):
    """Why a discovery cannot be done as asked, with what would work."""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """That there is none of that name, with those that there are."""
    known = tuple(known)
    hint = did_you_mean(name, known) or f"known: {listed(known)}"
    return f"no {what} `{name}`; {hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The smallest circuit whose score passes `threshold` is wanted.

    `options` are those of the score as text, "" for none, `written` the threshold as it was.
    """

    score: str
    options: str
    relation: RelationRecord
    threshold: float
    written: str

    def __str__(self) -> str:
        return f"{self.title} {self.relation.name} {self.written}"

    @property
    def title(self) -> str:
        """The score with its options, without what it is of."""
        return f"{self.score}({self.options})" if self.options else self.score

    @property
    def usual(self) -> bool:
        """Whether it is the share of the way that is kept, which every report has."""
        return self.score == next(iter(GOALS)) and not self.options

    @property
    def larger(self) -> bool:
        """Whether more is better."""
        return self.relation.asks == "above"

    def meets(self, value: float) -> bool:
        """Whether a value passes; nan does not."""
        if value == self.threshold:
            return not self.relation.strict
        return value > self.threshold if self.larger else value < self.threshold

    def of(self, circuit: str, task: str = "") -> str:
        """The score of a circuit as a file says it; `task` where the file has several."""
        options = [circuit, *([self.options] if self.options else [])]
        return f"{self.score}({', '.join([*options, *([f'task: {task}'] if task else [])])})"

    def claim(self, name: str, circuit: str, task: str = "") -> str:
        """A claim that a circuit reaches it."""
        return (
            f"claim {name}: {self.of(circuit, task)} {self.relation.name} {self.written} "
            "at 95% confidence"
        )


_GOAL = re.compile(
    r"\s*(\w+)\s*(?:\((.*)\))?\s*(>=|>|<=|<|==|~=|=)\s*([0-9][0-9_]*(?:\.[0-9]+)?)\s*(%?)\s*\Z",
    re.A,
)
_EXAMPLE = '`--until "faithfulness >= 90%"`'
GOALS = {name: record for name, record in SCORES.items() if record.eased_by_width}
"""The scores that a goal may name; the first is the one that every report has."""


def read_goal(text: str) -> Goal:
    """A goal; raises Unwanted for what is none."""
    found = _GOAL.match(text)
    if found is None:
        raise Unwanted(f"`--until {text[:60]}`: wanted a score, `>=` and a number, {_EXAMPLE}")
    name, inside, sign, number, per_cent = found.groups()
    options = (inside or "").strip()
    if name not in SCORES:
        score = next((key for key, record in GOALS.items() if _is_form(record, name)), None)
        if score is None:
            words = (*GOALS, *(one.name for one in next(iter(GOALS.values())).forms))
            raise Unwanted(f"`--until`: {unknown('score', name, words)}: {_EXAMPLE}")
        if re.search(r"\bas\s*:", options):
            raise Unwanted(f"`--until`: `{name}` is a form itself; leave `as:` out")
        name, options = score, f"as: {name}" + f", {options}" * bool(options)
    record = SCORES[name]
    if why := _no_goal(record):
        raise Unwanted(f"`--until`: {why}; those that all edges reach: {listed(GOALS)}, {_EXAMPLE}")
    _vet_options(record, options)
    form = _form(record, options)
    relation = RELATIONS.get(sign)
    wanted = "above" if form.better == "larger" else "below"
    if relation is None or relation.asks != wanted:
        turned = ">=" if wanted == "above" else "<="
        raise Unwanted(
            f"`--until`: the size grows until the score is reached, and of `{_named(name, form)}` "
            f"{'more' if wanted == 'above' else 'less'} is better: wanted `{turned}`, {_EXAMPLE}"
        )
    threshold = float(number.replace("_", "")) / (100 if per_cent else 1)
    _vet_threshold(form, _named(name, form), threshold, wanted)
    if per_cent and form.unit in UNITS and not UNITS[form.unit].percent:
        raise Unwanted(
            f"`--until`: `{_named(name, form)}` is in {form.unit}, which have no percentage: "
            f"wanted a number"
        )
    return Goal(
        score=name, options=options, relation=relation, threshold=threshold,
        written=f"{number}{per_cent}",
    )  # fmt: skip


def _is_form(record: ScoreRecord, name: str) -> bool:
    """Whether a score may be named by one of its forms alone: nothing else has to be said of it."""
    needs = any(one.required and not one.by_place for one in record.parameters)
    return bool(name) and not needs and name in {form.name for form in record.forms}


def _no_goal(record: ScoreRecord) -> str:
    """Why a score is no goal; "" for one that is."""
    name = record.name
    if record.eased_by_width:
        return ""
    if record.of_file:
        return f"`{name}` is of a file of scores, and of no circuit"
    if record.of == "run":
        return f"`{name}` is of a run, and of no circuit"
    if record.of == "unit":
        return f"`{name}` is of one node or edge"
    if record.of == "score":
        return f"`{name}` compares a score with that of random sets, and draws them anew"
    if not record.needs_task:
        return f"`{name}` is counted on the graph, whatever the circuit does"
    if record.keeps:
        return f"`{name}` falls as the circuit grows, and the smallest one has most of it"
    return f"`{name}` is of what is treated, and not of a circuit that is kept"


def _form(record: ScoreRecord, options: str) -> Form:
    said = re.search(r"\bas\s*:\s*(\w+)", options)
    names = [one.name for one in record.forms]
    if said and said[1] not in names:
        raise Unwanted(f"`--until`: {unknown(f'form of `{record.name}`', said[1], names)}")
    return record.form(said[1] if said else None)


def _named(score: str, form: Form) -> str:
    return f"{score}(as: {form.name})" if form is not SCORES[score].forms[0] else score


def _vet_options(record: ScoreRecord, options: str) -> None:
    """What stands in brackets is options; the rest is told by the language itself."""
    first = options.split(",", 1)[0]
    if options and ":" not in first:
        raise Unwanted(
            f"`--until`: `{first.strip()[:40]}` stands where the circuit does, which is the one "
            f"that is looked for: leave it out, and write options by name, `{record.name}(as: …)`"
        )
    if re.search(r"\bgreedy\b", options):
        raise Unwanted(
            "`--until`: greedy knockouts are searched anew for every circuit; draw them, "
            "`knockouts: random(20, seed: 0)`"
        )


def _vet_threshold(form: Form, name: str, threshold: float, wanted: str) -> None:
    """That the whole reaches it, and that nothing at all does not."""
    full, none = form.fixed.full, form.fixed.none
    beyond = full is not None and (threshold > full if wanted == "above" else threshold < full)
    if beyond or threshold == none:
        of = f"{full:.0%}" if wanted == "above" else f"{full:g}"
        raise Unwanted(
            f"`--until`: all edges have a {name} of {of}"
            + (f", and none of {none:g}" if none is not None else "")
            + f"; wanted something between, {_EXAMPLE}"
        )
