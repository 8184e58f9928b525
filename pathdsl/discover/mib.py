"""Circuit files of EAP-IG, and submissions of them to the leaderboard of the MIB benchmark.

A submission is a folder with one file a cell. A cell is a task and a model, `ioi_gpt2`; its folder
holds `importances.json`: every edge of the model with a score and whether it is in the circuit, in
the format of EAP-IG. The evaluator ranks by score, the largest and the largest absolute first, and
takes its ten sizes; `in_graph` it does not read. There a score is how far the metric *falls* when
the edge is treated, the negative of a kept score. Where nobody scored the edges, those of the
circuit get 1 and all others 0, and every size between takes edges of one score in an order of its
own.

Source: the submission rules of Mueller et al. 2025 (arXiv:2504.13151), and the loader
`Graph.from_json` of EAP-IG (Hanna et al. 2024): it needs `cfg`, `nodes` and `edges`, and fails on
a name that the model does not have.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pathdsl.errors import Diagnostic, LanguageError
from pathdsl.graph.files.eap import edge_name
from pathdsl.graph.formats.circuit import Circuit, Edge, Entry, ModelFacts
from pathdsl.graph.formats.eap import text_form
from pathdsl.graph.formats.names import parse_edge_text
from pathdsl.graph.model.components import Layout
from pathdsl.graph.model.shape import ModelShape
from pathdsl.near import did_you_mean, quoted

__all__ = ["FILE", "MODELS", "TASKS", "Cell", "all_edges", "cell_of", "importances", "refuse",
           "scored"]  # fmt: skip

FILE = "importances.json"
TASKS = (
    "ioi", "mcqa", "arithmetic_addition", "arithmetic_subtraction", "arc_easy", "arc_challenge",
)  # fmt: skip
MODELS = {
    "gpt2": (12, 12, 768),
    "qwen2.5": (24, 14, 896),
    "gemma2": (26, 8, 2304),
    "llama3": (32, 32, 4096),
    "interpbench": (6, 4, 64),
}
"""The benchmark's models, with their layers, heads and width of the stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A task of the benchmark on one of its models; `str` is the name of its folder."""

    task: str
    model: str

    def __str__(self) -> str:
        return f"{self.task}_{self.model}"


def refuse(message: str, advice: str, *notes: str) -> LanguageError:
    """The exception for what the format cannot say (PD246)."""
    return LanguageError(Diagnostic(code="PD246", message=message, help=advice, notes=notes))


def cell_of(name: str, tasks: Collection[str], shape: ModelShape) -> Cell:
    """The cell that is meant: by its `name`, else the one of the file's tasks and of its model.

    Raises LanguageError (PD246) where that is none, or the cell's model is another one.
    """
    size = (shape.n_layers, shape.n_heads, shape.d_model)
    if name:
        return _named(name, size)
    models = [model for model, known in MODELS.items() if known == size]
    found = [task for task in tasks if task in TASKS]
    if len(models) != 1 or len(found) != 1:
        raise refuse(
            "it is not clear which task and model of the benchmark this is",
            "name it before the file, `ioi_gpt2=FILE:PATH`",
            "tasks: " + ", ".join(TASKS),
            "models: " + ", ".join(MODELS),
        )
    return Cell(task=found[0], model=models[0])


def _named(name: str, size: tuple[int, int, int]) -> Cell:
    task, _, model = name.rpartition("_")
    # The rules write both `arc_easy` and `arc-easy`.
    task = task.replace("-", "_")
    if model not in MODELS or task not in TASKS:
        known = [f"{one}_{other}" for one in TASKS for other in MODELS]
        raise refuse(
            f"{quoted(name)} is no cell of the benchmark",
            did_you_mean(name, known) or "TASK_MODEL, such as `ioi_gpt2`",
            "tasks: " + ", ".join(TASKS),
            "models: " + ", ".join(MODELS),
        )
    if MODELS[model] != size:
        layers, heads, width = MODELS[model]
        raise refuse(
            f"`{model}` of the benchmark has {layers} layers of {heads} heads and a stream of "
            f"{width}; this model has {size[0]}, {size[1]} and {size[2]}",
            "name the cell of the model that the circuit is of",
        )
    return Cell(task=task, model=model)


def all_edges(layout: Layout) -> tuple[str, ...]:
    """The names of all edges of a model, in the order of its graph."""
    return tuple(edge_name(u, v, slot, layout) for u, v, slot in layout.edges())


def scored(
    layout: Layout, chosen: Collection[str] | None, scores: Mapping[str, float] | None
) -> Circuit:
    """A circuit of every edge of a model, for the writers of formats.

    `chosen`: the edges of the circuit, None for no circuit: a ranking alone. `scores`: one for
    every edge; None for 1 in the circuit and 0 outside. Raises LanguageError (PD246) where an edge
    has no score, or neither is given.
    """
    names = all_edges(layout)
    if scores is None:
        if chosen is None:
            raise refuse("there is neither a circuit nor scores", "name a path set, `FILE:PATH`")
        scores = {name: float(name in chosen) for name in names}
    missing = [name for name in names if name not in scores]
    if missing:
        raise refuse(
            f"{len(missing):,} of the model's {len(names):,} edges have no score, {missing[0]} "
            "among them",
            "score all edges",
        )
    inside = frozenset(chosen or ())
    edges = {
        Edge(*(parse_edge_text(name) or ("", "", ""))): Entry(
            kept=name in inside, score=float(scores[name])
        )
        for name in names
    }
    nodes = {end for edge, entry in edges.items() if entry.kept for end in edge[:2]}
    shape = layout.shape
    return Circuit(
        format="eap-ig",
        model=ModelFacts(
            n_layers=shape.n_layers, n_heads=shape.n_heads, d_model=shape.d_model,
            parallel=shape.parallel,
        ),
        edges=edges, nodes={str(one): Entry(kept=str(one) in nodes) for one in layout.components},
        ranks="edges", masks={}, scores="", nan_first=False, cut=False, lost=(), remarks=(),
        places={},
    )  # fmt: skip


def importances(
    layout: Layout, chosen: Collection[str] | None, scores: Mapping[str, float] | None
) -> bytes:
    """A circuit file that lists every edge, such as that of a cell.

    Raises LanguageError (PD246) as `scored`, and for a model without MLPs.
    """
    if not layout.shape.has_mlp:
        raise refuse("the format has an MLP in every layer, and this model has none", "")
    return text_form(scored(layout, chosen, scores))
