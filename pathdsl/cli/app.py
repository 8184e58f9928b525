"""The command line as typer reads it: every verb with its options, and what `--help` says of it.

Verbs are small modules of their own and import what they need when they run.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from pathdsl.cli import (
    breaking,
    cache,
    check,
    convert,
    data,
    diff,
    discover,
    doctor,
    explain,
    export,
    fmt,
    graph,
    importing,
    init,
    lint,
    lock,
    lsp,
    plan,
    report,
    robustness,
    selftest,
)
from pathdsl.cli.exits import table
from pathdsl.cli.output import out
from pathdsl.cli.verb import Verb

__all__ = ["app"]

app = typer.Typer(
    name="pathdsl",
    help="A causal-graph language and hypothesis checker for transformer circuits.",
    epilog=table(),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
_verb = partial(app.command, cls=Verb)
_verb("check", short_help="Judge the claims of files.", epilog=table())(check.check)
_verb("report", short_help="Write HTML, LaTeX or Markdown.")(report.report)
_verb("lint", short_help="Report faults without a model.")(lint.lint)
_verb("fmt", short_help="Write files in canonical form.")(fmt.fmt)
_verb("plan", short_help="Say what a check would run and cost.")(plan.plan)
_verb("explain", short_help="Explain a code, a word or a name.")(explain.explain)
_verb("data", short_help="Write rows, or show prompts.")(data.data)
_verb("graph", short_help="Print the nodes and edges of a path set.")(graph.graph)
_verb("init", short_help="Write a first file.")(init.init)
_verb("import", short_help="Read a circuit of another program.")(importing.import_)
_verb("convert", short_help="Read a checkpoint of a toy model.")(convert.convert)
_verb("export", short_help="Write circuits for other programs.")(export.export)
_verb("lock", short_help="Check files and write their locks.", epilog=table())(lock.lock)
_verb("breaking", short_help="Say which claims became weaker.", epilog=table())(breaking.breaking)
_verb("diff", short_help="Compare two circuits.", epilog=table())(diff.diff)
_verb("discover", short_help="Find a circuit and judge it.")(discover.discover)
_verb("selftest", short_help="Check the checker.")(selftest.selftest)
_verb("robustness", short_help="Judge claims under other choices.", epilog=robustness.EPILOG)(
    robustness.robustness
)
_verb("lsp", short_help="Serve an editor.")(lsp.lsp)
_verb("doctor", short_help="Say whether a model can be checked.")(doctor.doctor)
app.add_typer(cache.app, name="cache", short_help="Inspect and prune the result store.")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        out(f"pathdsl {version('pathdsl')}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an unexpected failure.")
    ] = False,
) -> None:
    """A causal-graph language and hypothesis checker for transformer circuits."""
