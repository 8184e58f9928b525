"""`pathdsl graph`: nodes and edges of a file's path set, as DOT or node-link JSON."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer

from pathdsl.cli.checked import (
    file_and_name,
    path_set_of,
    program_of,
    resolver_on,
    vet_options,
    vet_task,
)
from pathdsl.cli.complaints import complain
from pathdsl.cli.options import AllowOutside, MaxStates, Models, read_options
from pathdsl.cli.output import out
from pathdsl.errors import ExitCode, PathdslError

__all__ = ["GraphFormat", "graph"]


class GraphFormat(StrEnum):
    """DOT for graphviz, or networkx's node-link JSON."""

    DOT = "dot"
    JSON = "json"


def graph(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A `.circuit` file.")],
    path: Annotated[
        str | None,
        typer.Option("--path", metavar="NAME", help="A path set; the file's hypothesis if absent."),
    ] = None,
    style: Annotated[
        GraphFormat, typer.Option("--format", help="DOT, or node-link JSON.")
    ] = GraphFormat.DOT,
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="NAME", help="On the model of this task, of several."),
    ] = None,
    models: Models = [],
    max_states: MaxStates = None,
    allow_outside: AllowOutside = False,
) -> None:
    """Print the nodes and edges on the paths of a path set; loads no weights."""
    from pathdsl.report.data.graph import as_dot, as_node_link, graph_of

    options = read_options(models=models, max_states=max_states, allow_outside=allow_outside)
    whole, name = file_and_name(file)
    if name and os.path.exists(whole) and path is None:
        raise typer.BadParameter(f"a path set is named apart: `{whole} --path {name}`")
    vet_options([file], options)
    program = program_of(file, options)
    name = path_set_of(program, file, path, "--path NAME")
    vet_task(program, file, task)
    try:
        drawn = graph_of(resolver_on(program, file, task, options), program, name)
    except PathdslError as error:
        complain(error.diagnostics, program.sources)
        raise typer.Exit(error.exit_code) from error
    out(as_dot(drawn) if style is GraphFormat.DOT else as_node_link(drawn))
    raise typer.Exit(ExitCode.AS_EXPECTED)
