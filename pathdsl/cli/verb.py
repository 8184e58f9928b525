"""One verb of the command line: an option that takes one value is given once, and not empty.

The parsers below would take the last value and drop the others without a word, so that
`check --only a --only b` would judge `b` alone and say that all went well. An empty value is that
of a variable of the shell that is not set, and would read as the option left out or as this folder.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import typer
from typer.core import TyperCommand

__all__ = ["Verb"]

_MAY_BE_EMPTY = ("--wrong",)
"""Options whose empty value means something, as their help says."""


class Verb(TyperCommand):
    """A command that refuses an option with one value given twice, and an empty value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; raises BadParameter for such an option."""
        if args:
            values, _, order = self.make_parser(ctx).parse_args(args=list(args))
            option: Any
            for option, times in Counter(order).items():
                if times > 1 and _of_one_value(option):
                    name = max(option.opts, key=len)
                    raise typer.BadParameter(
                        f"`{name}` takes one value, and is given {times} times"
                    )
                given = values.get(option.name)
                for one in given if isinstance(given, list) else [given]:
                    if option.param_type_name == "option" and _is_empty(one):
                        name = max(option.opts, key=len)
                        if name not in _MAY_BE_EMPTY:
                            raise typer.BadParameter(f"`{name}` is given an empty value")
        return super().parse_args(ctx, args)


def _is_empty(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


def _of_one_value(option: Any) -> bool:
    if option.param_type_name != "option":
        return False
    return not (option.multiple or option.is_flag or option.count)
