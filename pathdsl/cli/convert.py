"""`pathdsl convert`: a checkpoint of a toy model as a folder that `folder("…")` loads."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pathdsl.cli.complaints import complain
from pathdsl.cli.output import err, out
from pathdsl.errors import ExitCode, PathdslError

__all__ = ["Layouts", "convert"]


class Layouts(StrEnum):
    """How a checkpoint holds its weights."""

    TL = "tl"
    NANDA = "nanda"
    SOLU_OLD = "solu-old"
    MINGPT = "mingpt"
    TL4 = "tl4"


def convert(
    checkpoint: Annotated[
        str,
        typer.Argument(metavar="CHECKPOINT", help="A `.pth` file, or a folder with the last one."),
    ],
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="The folder to write.")],
    layout: Annotated[
        Layouts | None,
        typer.Option("--layout", help="Where shapes do not tell it: names and which way round."),
    ] = None,
    config: Annotated[
        list[str] | None,
        typer.Option("--config", metavar="FILE", help="JSON over the `config.json` beside it."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write into a folder that holds something.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one object.")] = False,
) -> None:
    """Write a folder that `folder("…")` loads from a checkpoint of TransformerLens and its kin.

    Nothing in the checkpoint is run. What is left out, made anew or taken as a default is said;
    a weight that is unknown, a shape that does not fit and an option that is not computed are
    refused.
    """
    from pathdsl.engine.toy.convert import convert as converted
    from pathdsl.engine.toy.convert import write
    from pathdsl.lang.render import screen

    target = Path(folder)
    if target.exists() and not force and (not target.is_dir() or any(target.iterdir())):
        err(f"`{folder}` is there already: `--force` writes into it\n")
        raise typer.Exit(ExitCode.WRONG_INPUT)
    try:
        found = converted(
            Path(checkpoint), [Path(one) for one in config or ()], layout.value if layout else ""
        )
    except PathdslError as error:
        complain(error.diagnostics)
        raise typer.Exit(ExitCode.WRONG_INPUT) from error
    if target.resolve() == found.home.resolve():
        err(f"`{folder}` is where the checkpoint lies: its config would be written over\n")
        raise typer.Exit(ExitCode.WRONG_INPUT)
    try:
        write(found, target)
    except OSError as error:
        err(f"`{folder}` cannot be written: {(error.strerror or str(error)).lower()}\n")
        raise typer.Exit(ExitCode.WRONG_INPUT) from error
    if as_json:
        told = {"written": folder, "config": found.config, "report": dict(found.said)}
        out(json.dumps(told, indent=2, ensure_ascii=False) + "\n", verbatim=True)
        raise typer.Exit(ExitCode.AS_EXPECTED)
    room = max(len(what) for what, _ in found.said) + 2
    lines = [checkpoint]
    lines += [f"  {what.ljust(room)}{text}" for what, text in found.said]
    lines += [f"wrote {folder}", f"see whether it can be checked: pathdsl doctor {folder}"]
    out("".join(f"{screen(line)}\n" for line in lines))
    raise typer.Exit(ExitCode.AS_EXPECTED)
