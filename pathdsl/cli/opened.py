"""A file together with its model's shape, for verbs that look at the graph and load nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pathdsl.cli.complaints import complain
from pathdsl.cli.options import Scope
from pathdsl.errors import ExitCode, Severity
from pathdsl.lang import ast
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import Program

if TYPE_CHECKING:
    from pathdsl.graph.model.shape import ModelShape
    from pathdsl.graph.resolve.resolver import Resolver

__all__ = ["Opened", "open_file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A program without faults."""

    path: str
    program: Program
    scope: Scope

    def hypothesis(self) -> str | None:
        """The path set that the circuit block names, or None."""
        fields = self.program.circuit.fields if self.program.circuit else ()
        for field in fields:
            if field.name == "hypothesis" and isinstance(field.value, ast.Name):
                return field.value.name
        return None

    def shape(self) -> ModelShape:
        """The shape of the model, from its config; raises PathdslError where there is none."""
        from pathdsl.engine.load.source import shape_of, source_of

        source = source_of(self.program, self.scope.models)
        shape = shape_of(source)
        if shape is None:
            from pathdsl.engine.load.source import vet_config
            from pathdsl.engine.load.weights import fetch_config

            shape = vet_config(source, fetch_config(source))
        return shape

    def resolver(self) -> Resolver:
        """Path expressions on the model's graph; raises PathdslError."""
        from pathdsl.graph.paths.product import MAX_STATES
        from pathdsl.graph.resolve.resolver import Resolver

        limit = self.scope.limits.max_states if self.scope.limits else MAX_STATES
        return Resolver(self.program, self.shape(), limit)


def open_file(path: str, scope: Scope) -> Opened | ExitCode:
    """The file, or the exit code after its faults were printed."""
    program, found = lint_file(path, None, scope.fence)
    wrong = [d for d in found if d.severity is Severity.ERROR]
    if wrong:
        complain(wrong, program.sources)
        return ExitCode.WRONG_INPUT
    return Opened(path=path, program=program, scope=scope)
