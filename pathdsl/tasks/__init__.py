"""Data generators by name: `data = ioi(take: 256, seed: 0)` in a task means `get("ioi")`.

The bundled generators are a closed list, imported when first asked for. Packages that the user
installed may add more under the entry-point group `pathdsl.tasks`; each entry point loads a
`Generator`, and its name is the generator's. A bundled name cannot be taken over. A checked file
only ever names a generator: it never names code.

    >>> get("ioi").rows(take=1)[0]["prompt"].endswith(" to")
    True
"""

from __future__ import annotations

from importlib import import_module

from pathdsl.tasks.base import Column, Generator, Parameter, Row, to_jsonl

__all__ = [
    "BUNDLED",
    "ENTRY_POINTS",
    "Column",
    "Generator",
    "Parameter",
    "Row",
    "get",
    "names",
    "to_jsonl",
]

ENTRY_POINTS = "pathdsl.tasks"

BUNDLED = (
    "ioi", "mini_ioi", "induction", "frac_prevs", "balance", "two_hop", "ioi_shifted", "ioi_extra",
    "colored_objects", "greater_than", "docstring", "gendered_pronoun", "repeated_tokens", "facts",
    "mini_colored_objects", "mini_greater_than", "mini_induction", "mini_docstring",
)  # fmt: skip


def names() -> tuple[str, ...]:
    """The names of all generators: the bundled ones, then those of installed packages, sorted."""
    from importlib.metadata import entry_points  # as long to import as a file takes to lint

    installed = {point.name for point in entry_points(group=ENTRY_POINTS)} - set(BUNDLED)
    return (*BUNDLED, *sorted(installed))


def get(name: str) -> Generator:
    """The generator of that name.

    Raises KeyError where there is none, TypeError where an installed package's entry point is not
    a `Generator` of that name.
    """
    if name in BUNDLED:
        return import_module(f"pathdsl.tasks.{name}").GENERATOR
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS, name=name):
        generator = point.load()
        if not isinstance(generator, Generator) or generator.name != name:
            raise TypeError(f"entry point `{point.value}` is not a generator named `{name}`")
        return generator
    raise KeyError(name)
