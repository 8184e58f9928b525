"""The methodology of a check as text: every choice that moves a number, said once.

Source for what must be said: Miller et al. 2024 (arXiv:2407.08734); Zhang & Nanda 2024
(arXiv:2309.16042); docs/method.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pathdsl.checking.discovered import records_named
from pathdsl.checking.interventions import used_blocks
from pathdsl.discover.rows import read_record
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang import ast
from pathdsl.lang.check.scope import listed
from pathdsl.lang.loops import meant_nodes
from pathdsl.lang.program import Program
from pathdsl.lang.reach import all_of
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.lang.signatures.calls import resolve_options
from pathdsl.lang.signatures.norms import NORM_MODES, ROUTINGS
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.spelling import position_text
from pathdsl.lang.units import unit_of
from pathdsl.lang.written import written
from pathdsl.score.statistics.alike import task_clusters
from pathdsl.score.statistics.crossed import Table

if TYPE_CHECKING:
    from pathdsl.checking.options import CheckOptions
    from pathdsl.checking.prepare import Ready
    from pathdsl.engine.data.task import TaskSpec
    from pathdsl.engine.lazy_model import LazyModel
    from pathdsl.plan.taskdata import TaskData


__all__ = ["methodology", "weights_sha256"]

_FACTS = ("revision", "dtype", "attention", "device", "threads", "torch", "transformers")

MOST_SHOWN = 3
"""Tokens of one answer that are shown; the others are counted."""


TAIL = 0.025
"""Of 95 %, on one side."""


def methodology(
    ready: Ready, models: Mapping[str, LazyModel], options: CheckOptions
) -> Mapping[str, str]:
    """What a reader must know to redo the numbers, by name, in the order to print.

    `models` are those that were run, by their names; of several what differs from the first is said
    of each.
    """
    first, *others = models
    facts, shape = models[first].facts, ready.resolver.shape
    said: dict[str, str] = {}
    said["model"] = ready.source.written
    if others:
        named = (f"{name} = {ready.sources[name].written}" for name in models)
        said["models"] = ", ".join(named)
    if replaced := [name for name in models if name in options.models]:
        which = listed(replaced, "and") if others else "the file's model"
        said["replaced"] = f"{which} was replaced for this run"
    said |= {key: facts[key] for key in _FACTS if facts.get(key)}
    if models[first].weights:
        said["weights"] = _weights_line(models[first].weights)
    said["graph"] = _graph_line(shape)
    for name in others:
        own, graph = models[name].facts, ready.resolver.on(ready.tasks_of(name)[0]).shape
        said |= {
            f"{key} {name}": own[key]
            for key in _FACTS
            if own.get(key) and own[key] != facts.get(key)
        }
        if models[name].weights:
            said[f"weights {name}"] = _weights_line(models[name].weights)
        if graph != shape:
            said[f"graph {name}"] = _graph_line(graph)
    said["reading"] = (
        "path sets on the treeified graph, evaluated exactly; attention's output bias belongs to "
        "no sender"
    )
    shapes = [graph.shape for graph in ready.resolver.graphs]
    if any(one.norm_after_attention for one in shapes):
        said["heads"] = (
            "a head's value is taken before the norm after attention; each reader applies that "
            "norm to the sum of the head copies that it reads"
        )
    if any(one.keys_from for one in shapes):
        said["keys and values"] = (
            "heads of layers that are given those of an earlier layer read them at its entry, with "
            "its norm and weights, and their queries at their own"
        )
    if any(one.per_layer_input for one in shapes):
        said["second embedding"] = (
            "what MLPs are given beside the stream is a part of `input` and comes by its edge"
        )
    if any(one.normed_stream for one in shapes):
        said["norms of the stream"] = (
            "each reader norms the sums of the copies that it reads, one inside the other"
        )
    if any(one.prediction_head for one in shapes):
        said["prediction head"] = (
            "the layers between the last stream and the unembedding belong to `logits`"
        )
    if any(not one.causal for one in shapes):
        said["heads see"] = "positions before and behind their own; padding is masked"
    if any(one.sinks for one in shapes):
        said["sinks"] = (
            "a head's weights add up to less than one: the rest goes to a constant of the head, "
            "which writes nothing"
        )
    for name, task in ready.planner.tasks.items():
        spec = ready.planner.specs[name]
        said[f"task {name}"] = _task_line(task, spec)
        said[f"treated {name}"] = f"{spec.treated}" if spec.treated is not None else "none declared"
        said[f"norm {name}"] = NORM_MODES[spec.layernorm].said
        if ready.planner.shape_of(name).mixture is not None:
            said[f"routing {name}"] = ROUTINGS[spec.routing].said
        said[f"average {name}"] = spec.average
        if task.near_copies:
            said[f"near copies {name}"] = _near_line(task)
        said[f"unseen {name}"] = _unseen_line(task, spec)
        if task.first_answers:
            said[f"tokens {name}"] = _tokens_line(task, spec)
    for name in used_blocks(ready.program):
        block = ready.program.interventions[name]
        actions = (written(ready.program, action) for action in block.actions)
        said[f"intervention {name}"] = "; ".join(actions)
    for record in records_named(ready.program):
        rows = len(read_record(Path(record.span.path).parent / record.value).references)
        said["discovered"] = f"found on {rows} other rows, by {record.value}"
    if estimated := _estimates(ready.program, effect=True):
        said["estimates"] = (
            f"{estimated}: what patching one unit would do, by slopes and not by runs"
        )
    if described := _estimates(ready.program, effect=False):
        said["shares"] = (
            f"{described}: how much of what is read each sender makes up in the reference run; "
            "nothing is treated, and no metric is read"
        )
    if options.overrides:
        changed = ", ".join(f"{key}={value}" for key, value in options.overrides.items())
        said["not the published scope"] = f"{changed} set on the command line"
    if options.only:
        said["only"] = options.only
    said["positions"] = _positions(ready.program)
    units = {unit for unit in unit_of(ready.program).values() if unit != "none"}
    said["units"] = ", ".join(sorted(units)) or "none"
    said["intervals"] = (
        "prompts (or clusters) resampled, jointly for all terms of an expression; hull of "
        "Student's t and the studentised bootstrap for means and what is smooth in them, order "
        "statistics for quantiles, Clopper-Pearson for shares; `max`, `min` and `abs` by the ends "
        "of their parts, which hold together; values used as treated values held fixed"
    )
    return said


def _estimates(program: Program, *, effect: bool) -> str:
    """The methods of attributions that estimate effects, or give shares, each with its integral and
    its source."""
    found: dict[str, None] = {}
    for score in all_of(program, ast.Score):
        if SCORES[score.name].of != "unit":
            continue
        options = resolve_options(score)
        record = ATTRIBUTIONS[options.word("by")]
        if record.exact or record.effect != effect:
            continue
        steps, rule = options["steps"] or record.steps, options["rule"] or (*record.rules, "")[0]
        integral = f"{steps} steps, {rule}; " if record.steps else ""
        found[f"{record.name} ({integral}{record.source})"] = None
    return ", ".join(found)


def _graph_line(shape: ModelShape) -> str:
    return (
        f"{shape.family}: {shape.n_layers} layers, {shape.n_heads} heads"
        f"{shape.recurrences}{', MLPs' if shape.has_mlp else ', no MLPs'}; what is embedded is "
        "one sender; q, k and v of a head are inputs apart"
    )


def weights_sha256(weights: Mapping[str, str]) -> str:
    """One hash of all weight files, by their names: that of the file where there is one.

    Of several it is the sha256 of what `sha256sum` prints of them, sorted by name.
    """
    if len(weights) == 1:
        return next(iter(weights.values()))
    listed = "".join(f"{weights[name]}  {name}\n" for name in sorted(weights))
    return sha256(listed.encode()).hexdigest()


def _weights_line(weights: Mapping[str, str]) -> str:
    what = next(iter(weights)) if len(weights) == 1 else f"{len(weights)} files"
    return f"{what} sha256 {weights_sha256(weights)}"


def _task_line(task: TaskData, spec: TaskSpec) -> str:
    facts = task.facts
    count = f"{task.n_rows} prompts"
    if "where" in facts:
        count = f"{task.n_rows} of {task.rows_before} rows, where {facts['where']}"
    parts = [
        count,
        *_distinct(task),
        f"from {facts.get('data', '?')}",
        *([facts["taken"]] if "taken" in facts else []),
        f"rows sha256 {facts.get('rows', '')[:12]}",
        f"reference {task.reference}",
        f"special tokens: {facts.get('special_tokens', 'none')}",
    ]
    if "left_out" in facts:
        parts.append(f"`at: any` leaves out {facts['left_out']}")
    if "model" in facts:
        parts.append(f"on model {facts['model']}")
    if spec.crossed:
        parts.append(f"rows crossed by {spec.cluster} and {spec.crossed}")
    elif spec.cluster:
        parts.append(f"clusters by {spec.cluster}")
    if spec.split_by:
        parts.append(f"claims split by {spec.split_by}")
    return "; ".join(parts)


def _distinct(task: TaskData) -> list[str]:
    """How many prompts are distinct, where some stand in several rows."""
    if task.repeats is None:
        return []
    found = []
    if task.n_distinct < task.n_rows:
        found.append(f"{task.n_distinct} distinct prompts, each counted once")
    if (n := len(np.unique(task.repeats.reference))) < task.n_distinct:
        found.append(f"{n} distinct reference prompts")
    return found


def _near_line(task: TaskData) -> str:
    """How many prompts are nearly the same: by design in templates, one by one by hand."""
    of = task.n_rows
    if task.repeats is not None:
        of = len(np.unique(task.repeats.reference))
    return f"{task.near_copies} of {of} prompts differ from another one in one token"


def _unseen_line(task: TaskData, spec: TaskSpec) -> str:
    """What the sample is too small to hold: a share of n prompts is missed with (1 - share)^n."""
    clusters, crossed = task_clusters(task)
    n = len(np.unique(clusters)) if crossed is None else Table(clusters, crossed).units
    share = 1 - TAIL ** (1 / max(n, 1))
    of = f"values of `{spec.cluster}`" if spec.cluster else "prompts"
    return f"an effect on fewer than {100 * share:.2g}% of all {of} may not show at 95%"


def _tokens_line(task: TaskData, spec: TaskSpec) -> str:
    """Which token every column is, on the first row."""
    parts = []
    for column, found in task.first_answers.items():
        shown = ", ".join(
            f"`{word}` {number}" if word != str(number) else word
            for word, number in found[:MOST_SHOWN]
        )
        more = f" and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
        parts.append(f"{column} {shown}{more}")
    how = "texts continue the prompt; " if spec.continued else ""
    if spec.whole:
        counts = {len(ids) for found in task.answers.values() for ids in found}
        least, most = min(counts), max(counts)
        tokens = f"{least} to {most} tokens" if least < most else f"{most} tokens"
        how = f"answers whole, as they continue the prompt, {tokens}; "
    return f"{how}row {task.row_ids[0]}: {'; '.join(parts)}"


def _positions(program: Program) -> str:
    """Which positions the path sets name; none: every path at every position."""
    names: dict[str, None] = {}
    for declaration in (
        *program.groups.values(), *program.paths.values(), *program.lets.values(), *program.claims
    ):  # fmt: skip
        places = [n for n in meant_nodes(program, declaration) if isinstance(n, ast.Position)]
        inside = {id(part) for place in places for part in place.parts}
        for node in places:
            if id(node) not in inside:
                names[position_text(node)] = None
    return ", ".join(names) or "all (no node is tied to one)"
