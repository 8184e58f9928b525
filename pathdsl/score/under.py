"""Interventions of a program as data: `RUN with NAME` resolved on a model, a block at a time.

Source: docs/language.md, intervene.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from pathdsl.graph.resolve.places import pos_of
from pathdsl.graph.resolve.targets import Target
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.signatures.interventions import names_value
from pathdsl.lang.spelling import as_position
from pathdsl.plan.runs import Action, Block, RunSpec
from pathdsl.plan.treated import TreatedSpec, treated_spec
from pathdsl.score.faults import fault
from pathdsl.score.session import Resolver

__all__ = ["Interventions"]


class Interventions:
    """The blocks of one program, each resolved once for a task.

    `run_of` resolves the runs that actions read.
    """

    def __init__(
        self, program: Program, resolver: Resolver, run_of: Callable[[ast.Run, str], RunSpec]
    ) -> None:
        self.program = program
        self.resolver = resolver
        self.run_of = run_of
        self._known: dict[tuple[str, str], Block] = {}
        self._open: list[str] = []

    def blocks(self, names: Iterable[ast.Name], task: str) -> tuple[Block, ...]:
        """The blocks of these names, in the order in which they act."""
        return tuple(self._block(name, task) for name in names)

    def _block(self, name: ast.Name, task: str) -> Block:
        declared = self.program.interventions.get(name.name)
        if declared is None:
            raise fault("PD423", f"`{name.name}` is no intervention", name)
        if (name.name, task) not in self._known:
            if name.name in self._open:
                raise fault("PD108", f"`{name.name}` is defined by itself", name)
            self._open.append(name.name)
            try:
                actions = tuple(a for one in declared.actions for a in self._actions(one, task))
            finally:
                self._open.pop()
            self._known[name.name, task] = Block(name=name.name, actions=actions)
        return self._known[name.name, task]

    def _actions(self, action: ast.Action, task: str) -> list[Action]:
        resolver, value = self.resolver.on(task), action.value
        targets = resolver.targets(action)
        made = Action(verb=action.verb, targets=targets, span=action.span)
        if action.slot is not None:
            return [replace(made, slot=slot) for slot in (action.slot, *action.more)]
        match action.verb:
            case "block":
                key = pos_of(action.key)
                assert key is not None
                return [replace(made, keys=(key,))]
            case "scale":
                assert isinstance(value, ast.Number)
                return [replace(made, number=value.value)]
            case "pattern":
                assert isinstance(value, ast.Call)
                if value.name == "from":
                    run = value.arguments[0].value
                    assert isinstance(run, ast.PlainRun)
                    return [replace(made, how="from", source=self.run_of(run, task))]
                keys = (pos_of(as_position(a.value)) for a in value.arguments)
                return [replace(made, how=value.name, keys=tuple(k for k in keys if k is not None))]
            case "set":
                return [replace(made, source=self._source(value, task))]
            case _:
                terms, vector = self._sum(value, 1.0, resolver)
                return [replace(made, terms=tuple(terms), vector=tuple(map(float, vector)))]

    def _source(self, value: ast.Node | None, task: str) -> RunSpec | TreatedSpec | Target:
        if isinstance(value, ast.PlainRun | ast.PathRun):
            return self.run_of(value, task)
        if value is not None and names_value(value, self.program.groups):
            return self._value(value)
        return self.resolver.on(task).target(value)  # type: ignore[arg-type]

    def _value(self, value: ast.Node) -> TreatedSpec:
        spec = treated_spec(value)
        if spec.by_draw:
            raise fault(
                "PD230", f"an action takes one value for each prompt, and `{spec}` has draws",
                value, "take a mean, a column, or noise of one draw",
            )  # fmt: skip
        return spec

    def _sum(
        self, value: ast.Node | None, factor: float, resolver: Resolver
    ) -> tuple[list[tuple[float, TreatedSpec]], np.ndarray]:
        """The terms of what `add` adds, and its vectors together."""
        match value:
            case ast.Bracket(inner=inner):
                return self._sum(inner, factor, resolver)
            case ast.Unary(operand=operand):
                return self._sum(operand, -factor, resolver)
            case ast.Binary(op="+" | "-" as op, left=left, right=right):
                terms, vector = self._sum(left, factor, resolver)
                more, other = self._sum(right, factor if op == "+" else -factor, resolver)
                if len(vector) and len(other):
                    return [*terms, *more], vector + other
                return [*terms, *more], vector if len(vector) else other
            case (
                ast.Binary(op="*", left=ast.Number(value=number), right=part)
                | ast.Binary(op="*", left=part, right=ast.Number(value=number))
            ):
                return self._sum(part, factor * number, resolver)
            case ast.Binary(op="/", left=part, right=ast.Number(value=number)) if number:
                return self._sum(part, factor / number, resolver)
            case ast.Call(name="vector"):
                return [], factor * np.array(resolver.vector(value))
            case ast.Call() | ast.Name():
                return [(factor, self._value(value))], np.empty(0)
            case _:
                raise fault("PD423", "this is nothing that can be added", value)
