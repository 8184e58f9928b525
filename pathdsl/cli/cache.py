"""`pathdsl cache`: what the result store holds, and removing it.

pathdsl cache info [--store DIR]        how much, and where; of a folder that shards fill
pathdsl cache list                      the values of each plan, the last used first
pathdsl cache prune --older-than 30d    what was not used for so long
pathdsl cache path                      the folder alone, for scripts
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pathdsl.cli.complaints import complain
from pathdsl.cli.options import Format, NoColor, StoreFolder, Style, size
from pathdsl.cli.output import out, view_of
from pathdsl.cli.store import store_limit
from pathdsl.cli.verb import Verb
from pathdsl.errors import ExitCode

if TYPE_CHECKING:
    from pathdsl.engine.store.prune import Contents
    from pathdsl.engine.store.store import Store

__all__ = ["app"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

app = typer.Typer(
    help="Inspect and prune the result store: values that earlier checks computed.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _contents(shared: Path | None) -> Contents:
    """What is in the store; a store that was never used is empty and is not made for that.

    `shared`: a folder that shards fill, in the place of the user's.
    """
    from pathdsl.engine.store.folder import unusable
    from pathdsl.engine.store.index import FAULTS
    from pathdsl.engine.store.prune import Contents, contents
    from pathdsl.engine.store.store import INDEX, Store, default_folder

    if shared is not None:
        return _shared(shared)
    folder = default_folder()
    if not os.path.exists(folder / INDEX):
        return Contents(folder=folder)
    try:
        with Store(folder, store_limit()) as store:
            _vet(store)
            return contents(store)
    except FAULTS as error:
        complain([unusable(folder, error)])
        raise typer.Exit(ExitCode.MACHINE_FAILED) from error


def _shared(folder: Path) -> Contents:
    from pathdsl.engine.store.prune import contents
    from pathdsl.engine.store.shared import SharedStore

    if not (folder / "index").is_dir():
        raise typer.BadParameter(f"`--store {folder}`: no shard has written there")
    with SharedStore(folder) as store:
        _vet(store)
        return contents(store)


def _vet(store: Store, *, write: bool = False) -> None:
    """Say what is wrong with a store; leave with 3 where that forbids reading or writing it."""
    complain(store.warnings)
    if not store.on or (write and not store.writable):
        raise typer.Exit(ExitCode.MACHINE_FAILED)


@app.command("info", cls=Verb, short_help="Say how much there is, and where.")
def info(style: Style = Format.TEXT, store: StoreFolder = None) -> None:
    """Say how many values are kept, how large they are, and where they lie."""
    from pathdsl.report.data.result import dump
    from pathdsl.report.text.cache import contents_object, info_text

    found, limit = _contents(store), store_limit() if store is None else None
    if style is Format.JSON:
        out(dump(contents_object(found, limit, everything=False)))
    else:
        out(info_text(found, limit))


@app.command("list", cls=Verb, short_help="List the values of each plan.")
def list_(
    style: Style = Format.TEXT,
    everything: Annotated[bool, typer.Option("--all", help="Write keys and models out.")] = False,
    no_color: NoColor = False,
    store: StoreFolder = None,
) -> None:
    """List what is kept, one line for each plan, the last used first."""
    from pathdsl.report.data.result import dump
    from pathdsl.report.text.cache import contents_object, list_text

    view = view_of(no_color=no_color, everything=everything)
    found, limit = _contents(store), store_limit() if store is None else None
    if style is Format.JSON:
        out(dump(contents_object(found, limit, everything=True)))
    else:
        out(list_text(found, view))


@app.command("prune", cls=Verb, short_help="Remove what was not used for long.")
def prune(
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="AGE", help="Not used for so long: 30d, 12h, 2w."),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option("--max-size", metavar="SIZE", help="Leave at most this, as in 1GB."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove everything.")] = False,
    style: Style = Format.TEXT,
) -> None:
    """Remove values by age, the least recently used beyond a size (2 GB if not said), and what is
    damaged."""
    from pathdsl.engine.store.folder import unusable
    from pathdsl.engine.store.index import FAULTS
    from pathdsl.engine.store.prune import Pruned, clear
    from pathdsl.engine.store.prune import prune as remove
    from pathdsl.engine.store.store import INDEX, Store, default_folder
    from pathdsl.report.data.result import dump
    from pathdsl.report.text.cache import pruned_object, pruned_text

    if everything and (older_than or max_size):
        raise typer.BadParameter("`--all` takes no `--older-than` and no `--max-size`")
    oldest = None if older_than is None else _age(older_than)
    most = store_limit() if max_size is None else size("--max-size", max_size)
    folder = default_folder()
    gone = Pruned()
    try:
        if everything:
            gone = clear(folder) if os.path.isdir(folder) else gone
        elif os.path.exists(folder / INDEX):
            with Store(folder, most) as store:
                _vet(store, write=True)
                gone = remove(store, max_bytes=most, older_than=oldest, verify=True)
    except FAULTS as error:
        complain([unusable(folder, error)])
        raise typer.Exit(ExitCode.MACHINE_FAILED) from error
    out(dump(pruned_object(gone)) if style is Format.JSON else pruned_text(gone))


@app.command("path", cls=Verb, short_help="Print the folder.")
def path(style: Style = Format.TEXT) -> None:
    """Print the folder of the store; `PATHDSL_CACHE` names another."""
    from pathdsl.engine.store.store import default_folder
    from pathdsl.report.data.result import dump

    folder = str(default_folder())
    out(dump({"schema_version": 1, "folder": folder}) if style is Format.JSON else folder + "\n")


def _age(text: str) -> float:
    """Seconds: `30d`, `12h`."""
    found = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([smhdw])", text.strip())
    if found is None:
        raise typer.BadParameter(
            f"`{text[:40]}` is no age; wanted for example `30d`, `12h` or `2w`"
        )
    return float(found[1]) * _SECONDS[found[2]]
