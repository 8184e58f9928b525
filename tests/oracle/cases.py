"""One drawn case: a small random model, a few prompts, a `.circuit` text; and the oracle's answer.

Example::

    case = draw_case().example()
    for row in range(len(case.rows)):
        expected = oracle_logits(case, row)  # (d_vocab,) at the last position
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Literal

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from pathdsl.lang import ast
from pathdsl.lang.syntax.parse import parse

from .constants import mean_constants, zero_constants
from .graph import neurons_of
from .paths import Environment, Path, Row, all_paths, matches
from .tree import Array, Constants, run

TreatedKind = Literal["paired", "mean", "zero"]
RunKind = Literal["treat", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRow:
    """One prompt: reference and treated token ids of equal length, named positions, a label."""

    reference: tuple[int, ...]
    treated: tuple[int, ...]
    positions: Mapping[str, tuple[int, ...]]
    template: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A model, a task, a path set and a run.

    `config` are the keyword arguments of a `GPT2Config`; `text` holds `group` and `path`
    statements, among them `path P` and, with a scope, `path S`; under `treated = "mean"` the mean
    is of the treated ids by `template` and length.
    """

    config: Mapping[str, Any]
    seed: int
    rows: tuple[CaseRow, ...]
    text: str
    path: str = "P"
    treated: TreatedKind = "paired"
    run: RunKind = "keep"
    scope: str | None = None
    std: float = field(default=0.4)


def build_model(config: Mapping[str, Any], seed: int, std: float = 0.4) -> GPT2LMHeadModel:
    """A GPT-2 in float64, eval mode, with every weight and bias random and visibly large."""
    model = GPT2LMHeadModel(GPT2Config(**config)).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            centre = 1.0 if ".ln_" in name and name.endswith("weight") else 0.0
            parameter.copy_(centre + std * noise)
    return model


@lru_cache(128)
def parse_text(text: str) -> ast.File:
    """The syntax tree of a text; ValueError with its diagnostics if it has a fault."""
    file, diagnostics = parse(text, "case.circuit")
    if diagnostics:
        raise ValueError("\n".join(d.message for d in diagnostics) + "\n" + text)
    return file


def environment(case: Case) -> Environment:
    """What the names in the case's text mean on its rows and its model."""
    return _environment(*_graph_of(case))


def membership(case: Case, row: int, path: str = "") -> Callable[[Path], bool]:
    """Whether a path is in the case's path set on a row, or in another set of its text.

    No weight decides it, so the answers are remembered for all models of one size that are compared
    on the same case.
    """
    return _membership(path or case.path, row, *_graph_of(case))


Rows = tuple[tuple[int, tuple[tuple[str, tuple[int, ...]], ...]], ...]


def _graph_of(case: Case) -> tuple[str, int, int, Rows, tuple[int, ...]]:
    """What decides the paths of a case: its text, its layers and heads, its rows, whose keys."""
    rows = tuple((len(row.reference), tuple(row.positions.items())) for row in case.rows)
    keys_from = case.config.get("keys_from", ())
    return case.text, case.config["n_layer"], case.config["n_head"], rows, keys_from


def _environment(
    text: str, n_layers: int, n_heads: int, rows: Rows, keys_from: tuple[int, ...]
) -> Environment:
    return Environment.of(
        parse_text(text),
        n_layers=n_layers,
        n_heads=n_heads,
        rows=tuple(Row(length=length, positions=dict(places)) for length, places in rows),
        keys_from=keys_from,
    )


@lru_cache(128)
def _membership(
    name: str,
    row: int,
    text: str,
    n_layers: int,
    n_heads: int,
    rows: Rows,
    keys_from: tuple[int, ...],
) -> Callable[[Path], bool]:
    env = _environment(text, n_layers, n_heads, rows, keys_from)
    return cache(lambda path: matches(env.paths[name], env, path, row))


def kept_predicate(case: Case, row: int) -> Callable[[Path], bool]:
    """Whether a path keeps the reference input in the case's run on a row (docs/semantics.md).

    `treat(P)` treats P, `keep(P)` treats all but P; paths outside a scope always keep.
    """
    inside = membership(case, row)
    in_scope = membership(case, row, case.scope) if case.scope else lambda _: True

    def kept(path: Path) -> bool:
        if not in_scope(path):
            return True
        return inside(path) if case.run == "keep" else not inside(path)

    return kept


def count_paths(case: Case, row: int) -> tuple[int, int]:
    """How many position-level paths of a row are in the path set, and how many there are."""
    inside = membership(case, row)
    answers = [
        inside(path) for path in all_paths(environment(case), len(case.rows[row].reference) - 1)
    ]
    return sum(answers), len(answers)


def constants_of(case: Case, model: Any) -> list[Constants] | None:
    """The treated constants of each row, or None where treated values are paired."""
    neurons = neurons_of(parse_text(case.text))
    match case.treated:
        case "mean":
            ids = [row.treated for row in case.rows]
            templates = [row.template for row in case.rows]
            return mean_constants(model, ids, templates, neurons)
        case "zero":
            return [zero_constants(model, len(row.reference), neurons) for row in case.rows]
        case "paired":
            return None


def oracle_logits(
    case: Case, row: int, model: Any = None, at: int | None = None, *, frozen: bool = False
) -> Array:
    """The logits (d_vocab,) of the case's run on a row, at `at` or the last position."""
    model = build_model(case.config, case.seed, case.std) if model is None else model
    constants = constants_of(case, model)
    prompt = case.rows[row]
    return run(
        model,
        prompt.reference,
        prompt.treated if constants is None else constants[row],
        kept_predicate(case, row),
        len(prompt.reference) - 1 if at is None else at,
        frozen=frozen,
        neurons=neurons_of(parse_text(case.text)),
    )
