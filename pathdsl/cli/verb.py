"""One verb of the command line: an option that takes one value is given once.

The parsers below would take the last value and drop the others without a word, so that
`check --only a --only b` would judge `b` alone and say that all went well.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import typer
from typer.core import TyperCommand

__all__ = ["Verb"]


class Verb(TyperCommand):
    """A command that refuses an option with one value that is given twice."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; raises BadParameter for such an option."""
        if args:
            _, _, order = self.make_parser(ctx).parse_args(args=list(args))
            option: Any
            for option, times in Counter(order).items():
                if times > 1 and _of_one_value(option):
                    name = max(option.opts, key=len)
                    raise typer.BadParameter(
                        f"`{name}` takes one value, and is given {times} times"
                    )
        return super().parse_args(ctx, args)


def _of_one_value(option: Any) -> bool:
    if option.param_type_name != "option":
        return False
    return not (option.multiple or option.is_flag or option.count)
