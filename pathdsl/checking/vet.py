"""Static checks together with those of the graph, where the model's config is at hand. No torch.

`lint` is to find everything that shows before weights and rows: a head that the model has not, a
layer that goes back, an empty path set. For that it needs the model's shape, which a folder, a
bundled model or a hub model in the local cache gives without loading anything.
"""

from __future__ import annotations

from pathdsl.engine.load.source import shape_of, source_of
from pathdsl.errors import Diagnostic, PathdslError, Severity
from pathdsl.lang.fence import Fence
from pathdsl.lang.lint import lint_file, sort_diagnostics
from pathdsl.lang.program import Program


def vet_file(
    path: str, text: str | None = None, fence: Fence | None = None
) -> tuple[Program, list[Diagnostic]]:
    """The program, and its faults on the page and on the graph of its model, sorted.

    Without a config at hand (a hub model that was never fetched) the graph is left to `plan`.
    """
    program, found = lint_file(path, text, fence)
    if program.model is None or any(d.severity is Severity.ERROR for d in found):
        return program, found
    try:
        shape = shape_of(source_of(program))
        if shape is None:
            return program, found
        from pathdsl.graph.check import check_graph

        found = [*found, *check_graph(program, shape)]
    except PathdslError as error:
        found = [*found, *error.diagnostics]
    return program, sort_diagnostics(found, first=path)
