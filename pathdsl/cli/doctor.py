"""`pathdsl doctor`: can this model be checked, and if not, why?"""

from __future__ import annotations

import os
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pathdsl.cli.options import Device, Format, NoColor, OnDevice, Style, Threads
from pathdsl.cli.output import err, out, view_of
from pathdsl.errors import LanguageError

if TYPE_CHECKING:
    from pathdsl.engine.load.source import ModelSource

__all__ = ["Dtype", "doctor", "read_model", "with_loader"]

_WANTED = "a folder, a hub id, folder:PATH, hf:ID, hf:ID@REVISION or bundled:NAME"


class Dtype(StrEnum):
    """The dtype of weights and arithmetic."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


def doctor(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A hub id, a folder, folder:PATH, hf:ID@REVISION, bundled:NAME."
        ),
    ],
    style: Style = Format.TEXT,
    device: OnDevice = Device.CPU,
    dtype: Annotated[
        Dtype | None, typer.Option("--dtype", help="Of weights and arithmetic; float32 if absent.")
    ] = None,
    threads: Threads = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of the random prompts.")] = 0,
    no_color: NoColor = False,
) -> None:
    """Say what a model is made of, whether it can be checked, and if not, what it lacks."""
    view = view_of(no_color=no_color)
    source = read_model(model, dtype)

    from pathdsl.checking.doctor import diagnose
    from pathdsl.models import names
    from pathdsl.report.data.result import dump
    from pathdsl.report.text.doctor import doctor_object, doctor_report

    found = diagnose(source, device.value, threads, seed)
    if style is Format.JSON:
        out(dump(doctor_object(found)))
    else:
        out(doctor_report(found, view))
    if found.exit_code and _is_taken_for_hub(model):
        err(
            f"there is no folder `{model}` and no bundled model of that name "
            f"({', '.join(names())}), so it was taken for a model of the hub\n"
        )
    raise typer.Exit(found.exit_code)


def _is_taken_for_hub(text: str) -> bool:
    """Whether a text without `hf:` means a model of the hub, for want of a folder."""
    return "/" not in text and ":" not in text and read_model(text).lies == "on the hub"


def with_loader(text: str) -> str:
    """What names a model, with the `folder:`, `hf:` or `bundled:` that it may lack; see
    `read_model`."""
    from pathdsl.lang.signatures.calls import LOADERS
    from pathdsl.models import names

    where = text.partition(",dtype=")[0]
    if where.partition(":")[0] in LOADERS:
        return text
    if where.startswith((".", "/", "~")) or os.path.exists(where):
        return f"folder:{text}"
    if ":" in where.partition("@")[0]:
        return text  # another loader, which there is not
    return f"bundled:{text}" if where in names() else f"hf:{text}"


def read_model(text: str, dtype: Dtype | None = None) -> ModelSource:
    """The model that a text means; raises typer.BadParameter where it means none.

    A text without `folder:`, `hf:` or `bundled:` is a folder if something lies there, else a
    bundled name, else a hub id; what begins as only paths do is a folder in any case.
    """
    from pathdsl.engine.load.source import DTYPES, parse_override

    where, _, stated = with_loader(text).partition(",dtype=")
    if ",dtype=" in text and stated not in DTYPES:
        known = ", ".join(f"`{one}`" for one in DTYPES)
        raise typer.BadParameter(f"`{text}`: dtype `{stated}` is not supported, wanted {known}")
    if dtype is not None and stated not in ("", dtype.value):
        raise typer.BadParameter(f"`{text}` and `--dtype {dtype.value}` differ")
    try:
        _, source = parse_override(f"model={where}")
    except LanguageError as error:
        raise typer.BadParameter(f"`{text}` names no model; wanted {_WANTED}") from error
    typed = source.typed
    if source.lies == "in a folder" and Path(typed).is_absolute():
        typed = Path(typed).name or typed  # reports name no place on a machine
    wanted = dtype.value if dtype is not None else stated or "float32"
    return replace(source, dtype=wanted, typed=typed)
