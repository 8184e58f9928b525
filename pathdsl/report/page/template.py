"""The texts that lay reports out, in the folder `templates`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

import jinja2

__all__ = ["rendered", "text_of"]


def rendered(
    name: str,
    values: Mapping[str, Any],
    filters: Mapping[str, Callable[..., Any]],
    finalize: Callable[[Any], Any],
    **syntax: Any,
) -> str:
    """The template, and those that it includes, with the values.

    `finalize` makes a text of what is printed, escaped.

    `syntax` is what the template writes otherwise than jinja2 does, by jinja2's names.
    """
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, finalize=finalize,
        undefined=jinja2.StrictUndefined, loader=jinja2.FunctionLoader(text_of), **syntax,
    )  # fmt: skip
    environment.filters |= filters
    return environment.from_string(text_of(name)).render(values)


@cache
def text_of(name: str) -> str:
    """The text of a file in `templates`."""
    return resources.files("pathdsl.report.page").joinpath("templates", name).read_text("utf-8")
