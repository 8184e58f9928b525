"""Units of metrics, lets and claims, and the difference between a prompt and the prompts.

Four units: `logits`, `nats`, `prob` and none. A bare number takes the other side's unit, a
percentage is for `prob` and the unitless only; sums and comparisons want equal units; the ratio of
equal units is unitless; nothing else makes a new unit. Independently of its unit, a value is a
constant, one number *per prompt* (a metric on a run), or a *quantity* over the prompts.

Source: docs/language.md, `metric`, `let` and `claim`.

    LD(reference)                          logits, per prompt
    mean(LD(treat(P))) / mean(LD(reference))   unitless, quantity
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, cast

from pathdsl.errors import Diagnostic
from pathdsl.lang import ast
from pathdsl.lang.check.scope import fault, suggestion
from pathdsl.lang.loops import Values, combinations, shown, substituted, variants
from pathdsl.lang.program import Program
from pathdsl.lang.serving import choose_metric, dissimilarity_of, form_of
from pathdsl.lang.signatures.calls import AVERAGING, STATISTICS
from pathdsl.lang.signatures.correlations import (
    CORRELATION,
    correlated,
    families,
    is_correlation,
)
from pathdsl.lang.signatures.kinds import UNITS, Unit, literal
from pathdsl.lang.signatures.measures import MEASURES
from pathdsl.lang.signatures.members import OverRecord, over_of
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.walk import strip, walk
from pathdsl.record import record

__all__ = ["check_units", "unit_of"]

Level = Literal["constant", "prompt", "quantity"]


@record
class Typed:
    """What an expression is: `unit` None is a bare number, which takes the other side's.

    `known` is False where a fault, reported elsewhere, leaves the unit open. `percent` keeps the
    place of a percent sign that has not met a unit yet.
    """

    unit: Unit | None = None
    level: Level = "constant"
    percent: ast.Node | None = None
    known: bool = True


OPEN = Typed(known=False)


def unit_of(program: Program) -> Mapping[str, Unit]:
    """The unit of every metric, let and claim by name; left out where a fault leaves it open."""
    return _inferred(program)[0]


def check_units(program: Program) -> list[Diagnostic]:
    """Mixed and mis-declared units, values that are not averaged, comparisons of constants."""
    return list(dict.fromkeys(_inferred(program)[1]))


def _inferred(program: Program) -> tuple[dict[str, Unit], list[Diagnostic]]:
    """The units and the faults of a program, inferred once."""

    def make() -> tuple[dict[str, Unit], list[Diagnostic]]:
        inference = _Inference(program)
        return inference.units(), inference.faults

    return program.once("units", make)


class _Inference:
    """One pass over a program; lets are inferred when first mentioned."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.faults: list[Diagnostic] = []
        self.metrics: dict[str, Typed] = {}
        self.lets: dict[str, Typed] = {}
        self.open: set[str] = set()
        self.measuring = False  # inside a metric, where a call is of a measure

    def units(self) -> dict[str, Unit]:
        """Infer everything; faults are collected on the way."""
        found: dict[str, Unit] = {}
        for name in self.program.metrics:
            self._keep(found, name, self.metric(name))
        for name in self.program.lets:
            self._keep(found, name, self.let(name))
        for claim in self.program.claims:
            self._keep(found, claim.name.name, self.claim(claim))
        return found

    @staticmethod
    def _keep(found: dict[str, Unit], name: str, typed: Typed) -> None:
        if typed.known:
            found[name] = typed.unit or "none"

    # ---------------------------------------------------------------------------------------------
    # Declarations
    # ---------------------------------------------------------------------------------------------

    def metric(self, name: str) -> Typed:
        """What a metric gives for one run, per prompt."""
        if name not in self.metrics:
            declaration = self.program.metrics[name]
            self.measuring = True
            typed = OPEN if _averages(declaration) else self.infer(declaration.expression)
            self.measuring = False
            if typed.known and typed.level == "constant":
                self._constant(declaration.expression, "metric")
            typed = self._declared(declaration.unit, typed, declaration.expression)
            self.metrics[name] = replace(typed, level="prompt", percent=None)
        return self.metrics[name]

    def let(self, name: str) -> Typed:
        """What a let is; a circle of lets, reported elsewhere, leaves its unit open."""
        if name in self.open:
            return OPEN
        if name not in self.lets:
            self.open.add(name)
            declaration = self.program.lets[name]
            found = [
                (values, self._one(one)) for values, one in variants(self.program, declaration)
            ]
            typed = self._alike(found, declaration.name)
            self.open.discard(name)
            self.lets[name] = replace(typed, level="quantity", percent=None)
        return self.lets[name]

    def _one(self, declaration: ast.LetDecl) -> Typed:
        """What a let is with these items of its lists in place."""
        typed = self.infer(declaration.expression)
        if typed.known and typed.level == "prompt":
            self._not_averaged(declaration.expression)
        if typed.known and typed.level == "constant":
            self._constant(declaration.expression, "let")
        return self._declared(declaration.unit, typed, declaration.expression)

    def _alike(self, found: Sequence[tuple[Values, Typed]], at: ast.Node) -> Typed:
        """The type of all members of a loop; a fault where they have different units."""
        known = [(values, typed) for values, typed in found if typed.known]
        if len(known) < len(found) or not known:
            return OPEN
        (values, first), *others = known
        for other, typed in others:
            if (typed.unit or "none") != (first.unit or "none"):
                units = [f"`{t.unit or 'none'}` with {shown(v)}" for v, t in
                         ((values, first), (other, typed))]  # fmt: skip
                self.faults.append(
                    fault(
                        "PD401",
                        f"members of one loop have {units[0]} and {units[1]}",
                        at.span,
                        "its members have different units",
                        help="make two loops of it",
                    )
                )
                return OPEN
        return first

    def claim(self, claim: ast.ClaimDecl) -> Typed:
        """The unit that both sides of a claim are compared in."""
        found = [(values, self._compared(one)) for values, one in variants(self.program, claim)]
        return self._alike(found, claim.name)

    def _compared(self, claim: ast.ClaimDecl) -> Typed:
        left, right = self.infer(claim.left), self.infer(claim.right)
        for side, typed in ((claim.left, left), (claim.right, right)):
            if typed.known and typed.level == "prompt":
                self._not_averaged(side)
        if left.known and right.known and left.level == right.level == "constant":
            self.faults.append(
                fault(
                    "PD407",
                    "both sides of this claim are fixed numbers",
                    claim.left.span.to(claim.right.span),
                    "no run and no score can change it",
                    help="compare a quantity, for example `mean(LD(reference)) > 0`",
                )
            )
        whole = self._equal(claim.left, left, claim.right, right, "compares")
        if claim.within is not None:
            within = self.infer(claim.within)
            whole = self._equal(claim.left, whole, claim.within, within, "compares")
        return whole

    def _declared(self, unit: ast.Name | None, typed: Typed, expression: ast.Node) -> Typed:
        if unit is None:
            return typed
        if unit.name not in UNITS:
            self.faults.append(
                fault(
                    "PD110",
                    f"no unit is called `{unit.name}`",
                    unit.span,
                    "not a unit",
                    **suggestion(unit.name, UNITS, unit.span),
                )
            )
            return typed
        declared = cast(Unit, unit.name)
        if typed.known and typed.unit is not None and typed.unit != declared:
            shown = "no unit" if typed.unit == "none" else f"`{typed.unit}`"
            self.faults.append(
                fault(
                    "PD402",
                    f"declared in `{declared}`, but the expression has {shown}",
                    unit.span,
                    "declared here",
                    labels=[(expression.span, f"has {shown}")],
                    help=f"write `: {typed.unit}`, or leave the unit out",
                )
            )
            return typed
        if typed.known and typed.unit is None:
            self._percent(typed, declared)
        return replace(typed, unit=declared, known=True)

    # ---------------------------------------------------------------------------------------------
    # Faults
    # ---------------------------------------------------------------------------------------------

    def _constant(self, expression: ast.Node, what: str) -> None:
        self.faults.append(
            fault(
                "PD407",
                f"this {what} is a fixed number",
                expression.span,
                "mentions no run, no score and nothing measured",
                help="write the number where it is used",
            )
        )

    def _not_averaged(self, expression: ast.Node) -> None:
        self.faults.append(
            fault(
                "PD405",
                "one number per prompt, where one over the prompts is wanted",
                expression.span,
                "not averaged",
                help="for example `mean(…)`, `median(…)` or `quantile(…, 90%)`",
            )
        )

    def _percent(self, typed: Typed, unit: Unit) -> bool:
        if typed.percent is None or UNITS[unit].percent:
            return False
        self.faults.append(
            fault(
                "PD403",
                f"a percentage of `{unit}`",
                typed.percent.span,
                "a percentage of what?",
                help="divide by what it is a share of, or write a plain number",
                notes=("`80%` is the number 0.8, for `prob` and unitless quantities",),
            )
        )
        return True

    def _share_of_count(self, typed: Typed, whole: ast.Node) -> None:
        """A fault for `size(P, in: edge) <= 10%`."""
        seen: set[str] = set()
        whole = strip(whole)
        while isinstance(whole, ast.Name) and whole.name not in seen and (
            let := self.program.lets.get(whole.name)
        ):  # fmt: skip
            seen.add(whole.name)
            whole = strip(let.expression)
        if typed.percent is None or not isinstance(whole, ast.Score):
            return
        if SCORES[whole.name].counts:
            others = ", ".join(f"{o.keyword}: {literal(o.value)}" for o in whole.options)
            self.faults.append(
                fault(
                    "PD403",
                    "a percentage of a number of things",
                    typed.percent.span,
                    "a percentage of how many?",
                    help=f"divide: `{whole.name}(P, {others}) / {whole.name}(full, {others})`",
                )
            )

    def _equal(self, left: ast.Node, a: Typed, right: ast.Node, b: Typed, does: str) -> Typed:
        """What two values that must have one unit are together."""
        level = self._level(left, a, right, b)
        if level is None or not (a.known and b.known):
            return replace(OPEN, level=level or "quantity")
        if a.unit is None or b.unit is None:
            unit = a.unit or b.unit
            bare = b if a.unit is not None else a
            if unit is not None and self._percent(bare, unit):
                return Typed(level=level, known=False)
            self._share_of_count(bare, right if bare is a else left)
            percent = (a.percent or b.percent) if unit is None else None
            return Typed(unit=unit, level=level, percent=percent)
        if a.unit != b.unit:
            self._mixed(left, a, right, b, does)
            return Typed(level=level, known=False)
        return Typed(unit=a.unit, level=level)

    def _mixed(self, left: ast.Node, a: Typed, right: ast.Node, b: Typed, does: str) -> None:
        shown = ["no unit" if t.unit in ("none", None) else f"`{t.unit}`" for t in (a, b)]
        self.faults.append(
            fault(
                "PD401",
                f"{does} {shown[0]} and {shown[1]}",
                right.span,
                f"has {shown[1]}",
                labels=[(left.span, f"has {shown[0]}")],
                help="the ratio of two quantities of equal unit is unitless",
            )
        )

    def _level(self, left: ast.Node, a: Typed, right: ast.Node, b: Typed) -> Level | None:
        levels = {a.level, b.level}
        if levels == {"prompt", "quantity"}:
            prompt = left if a.level == "prompt" else right
            other = right if a.level == "prompt" else left
            self.faults.append(
                fault(
                    "PD405",
                    "mixes one number per prompt with one over the prompts",
                    prompt.span,
                    "per prompt",
                    labels=[(other.span, "over the prompts")],
                    help="average the first: `mean(…)`",
                )
            )
            return None
        return a.level if a.level != "constant" else b.level

    # ---------------------------------------------------------------------------------------------
    # Expressions
    # ---------------------------------------------------------------------------------------------

    def infer(self, value: ast.Node) -> Typed:
        """The unit and level of an expression; open where another check reports the fault."""
        match value:
            case ast.Number(percent=percent):
                return Typed(percent=value if percent else None)
            case ast.Unary(operand=inner) | ast.Bracket(inner=inner):
                return self.infer(inner)
            case ast.Binary(op=op, left=left, right=right):
                return self._binary(op, left, right)
            case ast.Name(name=name) | ast.Subscript(name=ast.Name(name=name)):
                if name in self.program.lets:
                    return self.let(name)
                return replace(OPEN, level="quantity")
            case ast.Score():
                return self._score(value)
            case ast.Call(name=name):
                return self._call(value, name)
            case _:
                return OPEN

    def _call(self, call: ast.Call, name: str) -> Typed:
        known = name in self.program.metrics and not self.measuring
        if name in MEASURES and (MEASURES[name].reserved or not known):
            return Typed(unit=MEASURES[name].unit, level="prompt")
        if name in self.program.metrics:
            return self.metric(name)
        if (found := over_of(call, self.program.kind)) is not None:
            return self._over(*found)
        if is_correlation(call, self.program.kind):
            if not families(self.program, call):
                for side in correlated(call):
                    self._per_prompt(side, name, CORRELATION.example)
            return Typed(unit="none", level="quantity")
        if name in P_VALUES:
            for argument in call.arguments:
                if not argument.keyword:
                    self._per_prompt(argument.value, name, P_VALUES[name].example)
            return Typed(unit="none", level="quantity")
        if name not in STATISTICS or not call.arguments:
            return OPEN
        first = call.arguments[0].value
        if name in AVERAGING:
            typed = self._per_prompt(first, name, STATISTICS[name].example)
            return replace(typed, level="quantity")
        typed = self.infer(first)
        for argument in call.arguments[1:]:
            other = self.infer(argument.value)
            typed = self._equal(first, typed, argument.value, other, "compares")
        return typed

    def _over(self, record: OverRecord, over: ast.OverMembers) -> Typed:
        """What a function over members gives: what each gives, or a share of them."""
        found = []
        for values in combinations(over.loop, self.program):
            value = substituted(over.value, values)
            typed = self.infer(value)
            if typed.known and typed.level == "prompt":
                self.faults.append(
                    fault(
                        "PD405",
                        f"`{record.name}` is over members here, and this is one number per prompt",
                        value.span,
                        "per prompt",
                        help=f"average it first: `{record.name}(h in SET: mean(…))`",
                    )
                )
            if over.bound is not None:
                bound = substituted(over.bound, values)
                typed = self._equal(value, typed, bound, self.infer(bound), "compares")
            found.append((values, typed))
        if any(typed.level == "prompt" for _, typed in found):
            return replace(OPEN, level="quantity")
        typed = self._alike(found, over.loop)
        if record.makes == "counting" and typed.known:
            return Typed(unit="none", level="quantity")
        return replace(typed, level="quantity")

    def _per_prompt(self, value: ast.Node, name: str, example: str) -> Typed:
        """The type of what is averaged or tested; a fault unless it has a value per prompt."""
        typed = self.infer(value)
        if typed.known and typed.level != "prompt":
            self.faults.append(
                fault(
                    "PD405",
                    f"`{name}` is over one number per prompt",
                    value.span,
                    "a quantity already" if typed.level == "quantity" else "a fixed number",
                    help=f"`{example}`",
                )
            )
        return typed

    def _binary(self, op: str, left: ast.Node, right: ast.Node) -> Typed:
        a, b = self.infer(left), self.infer(right)
        if op in "+-":
            return self._equal(left, a, right, b, "adds" if op == "+" else "subtracts")
        level = self._level(left, a, right, b)
        if level is None or not (a.known and b.known):
            return replace(OPEN, level=level or "quantity")
        plain_a, plain_b = a.unit in (None, "none"), b.unit in (None, "none")
        percent = a.percent or b.percent
        if plain_a and plain_b:
            unit = None if a.unit is b.unit is None else "none"
            return Typed(unit=unit, level=level, percent=percent if unit is None else None)  # type: ignore[arg-type]
        if op == "*" and (plain_a or plain_b):
            return Typed(unit=b.unit if plain_a else a.unit, level=level)
        if op == "/" and plain_b:
            return Typed(unit=a.unit, level=level)
        if op == "/" and a.unit == b.unit:
            return Typed(unit="none", level=level)
        if op == "/" and not plain_a:
            self._mixed(left, a, right, b, "divides")
            return Typed(level=level, known=False)
        words = {"*": "a product", "/": "the inverse", "^": "a power"}
        culprit, unit = (right, b.unit) if plain_a else (left, a.unit)
        self.faults.append(
            fault(
                "PD401",
                f"{words[op]} of `{unit}` has no unit of its own",
                culprit.span,
                f"has `{unit}`",
                help="make it a ratio first: `mean(LD(treated)) / mean(LD(reference))`",
            )
        )
        return Typed(level=level, known=False)

    def _score(self, score: ast.Score) -> Typed:
        """What the score's form has as its unit: its own, the metric's, or that of what compares.

        A power of the metric has a unit only where the metric has none.
        """
        form, compared = form_of(score), dissimilarity_of(score)
        unit = compared.unit if compared is not None and form.unit == "by" else form.unit
        if unit != "metric" and unit != "power" and unit != "by":
            return Typed(unit=unit, level="quantity")
        chosen = choose_metric(self.program, score).name
        if chosen is None or chosen not in self.program.metrics:
            return Typed(known=False, level="quantity")
        metric = replace(self.metric(chosen), level="quantity")
        if unit == "metric" or metric.unit in (None, "none"):
            return metric
        written = next(o for o in score.options if o.keyword == "by")
        self.faults.append(
            fault(
                "PD401",
                f"the square of `{metric.unit}` has no unit of its own",
                written.span,
                f"the metric has `{metric.unit}`",
                help="`as: explained, by: squared` is a ratio and has none",
            )
        )
        return Typed(level="quantity", known=False)


def _averages(metric: ast.MetricDecl) -> bool:
    """Whether a metric holds what averages over prompts, which is a fault of its own (PD406)."""
    calls = (node for node in walk(metric.expression) if isinstance(node, ast.Call))
    return any(call.name in AVERAGING or call.name in P_VALUES for call in calls)
