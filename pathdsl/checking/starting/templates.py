"""Templates of first files: one file of the folder `templates` for each experiment.

A template begins with a comment that holds its record as TOML, and is a `.circuit` file with the
model, the rows and the heads left open. A new one needs no other change.

    >>> template_named("minimality").about
    'whether every part of a circuit is needed'
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pathdsl.errors import Diagnostic, LanguageError
from pathdsl.near import did_you_mean
from pathdsl.record import record

__all__ = ["Template", "filled", "template_named", "templates", "usual_rows"]

FOLDER = Path(__file__).parent / "templates"
_SUFFIX = ".jinja"


@record
class Template:
    """One experiment.

    `about`: what it tells. `model` and `data`: what it is filled in with where nothing is said;
    `other`: the rows for another model. `treated`: the column of what is treated, "" for the one
    that rows usually have. `heads` and `early`, heads of an earlier layer: those of `model`, empty
    where the experiment needs none. `layers`: how many a model has to have. `edges`: the file of
    edges for `model`, "" where none is read.
    """

    name: str
    rank: int
    about: str
    model: str
    data: str
    other: str
    treated: str
    heads: tuple[str, ...]
    early: tuple[str, ...]
    layers: int
    edges: str


@cache
def templates() -> tuple[Template, ...]:
    """All templates, the plainest first."""
    files = (p for p in FOLDER.glob(f"*{_SUFFIX}") if not p.name.startswith("_"))
    return tuple(sorted(map(_read, files), key=lambda one: one.rank))


def template_named(name: str) -> Template:
    """The template of that name, `-` and `_` alike; raises LanguageError PD470."""
    known = {one.name: one for one in templates()}
    if (found := known.get(name.strip().lower().replace("-", "_"))) is not None:
        return found
    hint = did_you_mean(name, known)
    raise LanguageError(
        Diagnostic(
            code="PD470",
            message=f"no template `{name[:60]}`" if name else "no template is named",
            notes=(hint,) if hint else (f"there are {', '.join(f'`{one}`' for one in known)}",),
            help="pathdsl init --list",
        )
    )


def usual_rows(template: Template, model: str) -> str:
    """The rows for a model where none are said: those of a template that is about this model."""
    about = [one for one in (template, *templates()) if one.model == model]
    return about[0].data if about else template.other


def filled(template: Template, values: Mapping[str, Any]) -> str:
    """The text of a template with its open places filled in."""
    # What is made is a `.circuit` file: nothing is to be escaped for HTML.
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template(f"{template.name}{_SUFFIX}").render(values).lstrip("\n")


def _read(path: Path) -> Template:
    text = path.read_text(encoding="utf-8")
    head = tomllib.loads(text.removeprefix("{#").partition("#}")[0])
    return Template(
        name=path.stem,
        rank=head["rank"],
        about=head["about"],
        model=head["model"],
        data=head["data"],
        other=head["other"],
        treated=head.get("treated", ""),
        heads=tuple(head["heads"]),
        early=tuple(head.get("early", ())),
        layers=head.get("layers", 1),
        edges=head.get("edges", ""),
    )
