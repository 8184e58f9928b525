"""What a lock says: everything that decides the numbers of a checked file, and the numbers.

A lock has five parts. `inputs` must be found again exactly: syntax trees, rows, weights, config,
tokenizer, dtype, what the command line replaced. `claims` and `quantities` must be found again
within `tolerance`. `surroundings` may differ, and are named where they do: versions, device,
processor, threads, implementation of attention, hub commit, plans.

Nothing in it tells the time or names a place on the machine, so the same check writes the same
bytes (docs/reproducibility.md).

    outcome = check_file(path, options)          # without a store: everything computed
    write_lock(path, lock_of(outcome, options))
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathdsl.checking.digests import digest_of, place_of
from pathdsl.checking.discovered import records_named
from pathdsl.checking.lock.file import CIRCUIT_FILES, LOCK_VERSION, RECORDS, Lock
from pathdsl.checking.said import claims_said, quantities_said
from pathdsl.lang import ast
from pathdsl.lang.canonical import tree_hash, used_hashes
from pathdsl.lang.program import Program
from pathdsl.lang.serving import model_of
from pathdsl.lang.signatures.interventions import vectors_in
from pathdsl.lang.walk import walk
from pathdsl.plan.outputs import Plan
from pathdsl.plan.taskdata import TaskData

if TYPE_CHECKING:
    from pathdsl.checking.options import CheckOptions
    from pathdsl.checking.outcome import FileOutcome
    from pathdsl.engine.data.task import TaskSpec
    from pathdsl.engine.lazy_model import LazyModel

__all__ = ["MARK", "lock_of", "row_marks", "tolerance_of"]

MARK = 6
"""Hexadecimal digits that tell one row from what it was; the hash of all rows is kept whole."""
PER_LINE = 12

_PACKAGES = ("numpy", "pathdsl", "scipy", "torch", "transformers")
_NOT_OF_THE_MODEL = ("_name_or_path", "transformers_version")
_INTERVAL = 10


def tolerance_of(rounding: float) -> dict[str, float]:
    """How far a number may lie from the locked one, relative to the larger of 1 and that number.

    `rounding` is that of one logit in the dtype of arithmetic. An estimate is an average of such
    values or a quotient of averages. The ends of an interval are order statistics of resampled
    estimates, chosen by counts that rounding may move by one, so they may differ ten times as much.
    """
    return {"estimate": rounding, "interval": _INTERVAL * rounding}


def lock_of(outcome: FileOutcome, options: CheckOptions) -> Lock:
    """The lock of a file that was judged; `options` are those that it was judged with.

    Raises ValueError where there is no judgement, or where values came from a store that does not
    hold whole plans (`every_plan` of the options), as computing everything would make them.
    """
    program, judgement, model = outcome.program, outcome.judgement, outcome.model
    others = list(outcome.models.items())[1:]
    if program is None or judgement is None or model is None or outcome.session is None:
        raise ValueError(f"`{outcome.path}` was not judged")
    if outcome.tally is not None and (outcome.tally.beside_others or not options.every_plan):
        raise ValueError("a lock is made of the values of whole plans, not of any stored ones")
    facts, specs = model.facts, outcome.session.planner.specs
    return {
        "lock_version": LOCK_VERSION,
        "circuit": program.circuit.name.name if program.circuit else None,
        "inputs": {
            "file": {
                "tree": tree_hash(program.file),
                "uses": dict(used_hashes(program)),
                **_vectors(program),
                **_circuit_files(program),
                **_records(program),
            },
            "model": _model(model),
            **({"models": {name: _model(one) for name, one in others}} if others else {}),
            "tasks": {
                name: {
                    **_task(task, specs[name], options),
                    **_on(name, outcome),
                }
                for name, task in outcome.tasks.items()
            },
            "overrides": dict(options.overrides),
        },
        "surroundings": {
            "attention": facts["attention"],
            "commit": facts["revision"],
            "device": facts["device"],
            "model": _source(model.source),
            **({"models": {name: _surrounding(one) for name, one in others}} if others else {}),
            "packages": {name: version(name) for name in _PACKAGES},
            "plans": _plans(outcome.plans),
            "processor": _processor(),
            "python": platform.python_version(),
            "threads": int(facts["threads"]),
        },
        "tolerance": tolerance_of(outcome.session.rounding()),
        "claims": claims_said(judgement),
        "quantities": quantities_said(judgement),
    }


def _model(model: LazyModel) -> Lock:
    return {
        "config": _config_hash(model.config),
        "dtype": model.facts["dtype"],
        "tokenizer": model.tokenizer_hash(),
        "weights": dict(model.weights),
    }


def _surrounding(model: LazyModel) -> Lock:
    """Of a further model: what may differ, beside what all models share."""
    return {
        "attention": model.facts["attention"],
        "commit": model.facts["revision"],
        "model": _source(model.source),
    }


def _on(task: str, outcome: FileOutcome) -> Lock:
    """The model that a task runs on, where there are several."""
    if len(outcome.models) < 2 or outcome.program is None:
        return {}
    found = model_of(outcome.program, task)
    return {"model": found.name.name} if found is not None else {}


def _vectors(program: Program) -> dict[str, dict[str, str]]:
    """The sha256 of each file of vectors, by its path as written; nothing where there is none."""
    found = {}
    for block in program.interventions.values():
        for written, call in vectors_in(block):
            if (digest := digest_of(program, place_of(call, written))) is not None:
                found[written] = digest
    return {"vectors": found} if found else {}


def _circuit_files(program: Program) -> dict[str, dict[str, str]]:
    """The sha256 of each file of scores, `edges("FILE")` and `nodes("FILE")`, by its path.

    The path is that from the folder of the checked file; nothing where there is none.
    """
    home = Path(program.file.span.path).parent.resolve()
    found = {}
    for declaration in program.declarations():
        for node in walk(declaration):
            if isinstance(node, ast.EdgesFile | ast.NodesFile):
                place = place_of(node, node.path)
                if (digest := digest_of(program, place)) is not None:
                    found[Path(os.path.relpath(place.resolve(), home)).as_posix()] = digest
    return {CIRCUIT_FILES: found} if found else {}


def _records(program: Program) -> dict[str, dict[str, str]]:
    """The sha256 of each record of discovery rows, by its path as written; nothing for none."""
    found = {}
    for named in records_named(program):
        if (digest := digest_of(program, place_of(named, named.value))) is not None:
            found[named.value] = digest
    return {RECORDS: found} if found else {}


# ------------------------------------------------------------------------------- numbers


# ------------------------------------------------------------------------------- inputs


def _task(task: TaskData, spec: TaskSpec, options: CheckOptions) -> Lock:
    stated = {**spec.data.arguments, **options.overrides}
    drawn = spec.treated is not None and spec.treated.how.drawn != "nothing"
    found: Lock = {
        "average": spec.average,
        "cluster": spec.cluster,
        "data": task.facts.get("data", ""),
        "layernorm": spec.layernorm,
        "marks": row_marks(task),
        "n": task.n_rows,
        "reference": task.reference,
        "row_ids": _sha256(list(task.row_ids)),
        "rows": task.facts.get("rows", ""),
        "seeds": {
            "data": stated.get("seed"),
            "treated": spec.treated.seed if spec.treated and drawn else None,
        },
        "special_tokens": task.facts.get("special_tokens", ""),
        "treated": str(spec.treated) if spec.treated is not None else None,
    }
    if spec.routed:
        found["routing"] = spec.routing
    if spec.crossed:
        found["crossed"] = spec.crossed
    if "chat_template" in task.facts:
        found["chat_template"] = task.facts["chat_template"]
    if spec.whole:
        found["answers"] = spec.answers
    if "data_sha256" in task.facts:
        found["data_file"] = task.facts["data_sha256"]
    return found


def row_marks(task: TaskData) -> list[str]:
    """A mark for each row, of its id, tokens, answers, positions and labels; several to a line."""
    marks = [_row_mark(task, row) for row in range(task.n_rows)]
    return [" ".join(marks[at : at + PER_LINE]) for at in range(0, len(marks), PER_LINE)]


def _row_mark(task: TaskData, row: int) -> str:
    lengths = {name: int(task.reading(name).lengths[row]) for name in task.prompts}
    whole = [
        task.row_ids[row],
        {name: ids[row, : lengths[name]].tolist() for name, ids in task.prompts.items()},
        {name: list(ids[row]) for name, ids in task.answers.items()},
        {name: list(where[row]) for name, where in task.positions.items()},
        {name: labels[row] for name, labels in task.labels.items()},
        int(task.clusters[row]),
        *([int(task.crossed[row])] if task.crossed is not None else []),
        *({c: {name: list(where[row]) for name, where in own.positions.items()}}
          for c, own in task.apart.items()),
    ]  # fmt: skip
    return _sha256(whole)[:MARK]


def _config_hash(config: Mapping[str, object]) -> str:
    """The config without where it was loaded from and what saved it."""
    return _sha256({k: v for k, v in config.items() if k not in _NOT_OF_THE_MODEL})


def _sha256(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


# ------------------------------------------------------------------------------- surroundings


def plan_hash(plan: Plan) -> str:
    """The sha256 of what a plan computes, step by step, and at which positions."""
    from pathdsl.engine.store.digest import digest

    masks = [plan.masks.array(number) for number in range(plan.masks.n_masks)]
    return digest(
        plan.shape, plan.treated, plan.steps, plan.need, plan.outputs, plan.frozen,
        {str(key): mask for key, mask in plan.plain_need.items()}, dict(plan.position_masks), masks,
        *(plan_hash(mean.plan) for mean in plan.means.values()),
    )  # fmt: skip


def _plans(plans: Sequence[Plan]) -> dict[str, str]:
    """One hash for each task, of all plans of its runs."""
    hashes: dict[str, list[str]] = {}
    for plan in plans:
        hashes.setdefault(plan.task, []).append(plan_hash(plan))
    return {task: _sha256(found) for task, found in hashes.items()}


def _source(source: Any) -> str:
    """Where the model came from; of a folder only its last part, which names no machine."""
    if source.lies != "in a folder":
        return str(source.written)
    last = str(source.typed or source.location).replace("\\", "/").rstrip("/").rpartition("/")[2]
    return f'folder("{last}")'


def _processor() -> str:
    from pathdsl.engine.store.digest import processor

    return processor()
