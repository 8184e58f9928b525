"""The rows that find a circuit and those that judge it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pathdsl.checking.discovery.goal import Unwanted
from pathdsl.checking.discovery.texts import rows_text
from pathdsl.checking.discovery.wanted import Named, Wanted
from pathdsl.checking.prepare import Ready
from pathdsl.discover.rows import RowRecord, found_by, record_of, row_hashes
from pathdsl.discover.split import split_rows
from pathdsl.engine.data.rows import load_rows
from pathdsl.engine.data.tokens import special_ids
from pathdsl.lang.program import Program
from pathdsl.plan.taskdata import TaskData

__all__ = ["Rows", "data_text", "divided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows that find and those that judge: as texts, the record of the first, and how they were
    divided. `judging` is None where the file has a task for judging."""

    finding: str
    judging: str | None
    n_finding: int
    n_judging: int
    record: RowRecord
    rule: str


def divided(program: Program, ready: Ready, meant: Named, wanted: Wanted) -> Rows:
    """The rows of the task, divided where no task of the file judges."""

    task, spec = ready.planner.tasks[meant.task], ready.planner.specs[meant.task]
    if "open" in task.facts:
        raise Unwanted(
            f"the rows of `{meant.task}` are chosen by a run (`{task.facts['open']}`); discover on "
            "all rows, or choose them by a label"
        )
    tokenizer = ready.tokenizers[ready.model_of(meant.task)]
    base = Path(program.origin.get(meant.task, program.path)).parent
    table = load_rows(spec, base, None, program.fence, None, tokenizer).rows
    said = {
        "task": meant.task,
        "data": data_text(task),
        "reference": spec.reference,
        "treated": str(spec.treated),
    }
    if meant.judge is not None:
        other, of_judge = ready.planner.tasks[meant.judge], ready.planner.specs[meant.judge]
        record = record_of(task, spec, tokenizer, said, table)
        shared = found_by(record, other, of_judge, tokenizer)
        if shared:
            raise Unwanted(
                f"{len(shared)} of the {other.n_rows} rows of `{meant.judge}` are rows of "
                f"`{meant.task}`, first `{other.row_ids[shared[0]]}`: what finds a circuit does "
                "not judge it; choose other rows, or leave `--judge` out"
            )
        return Rows(
            finding=rows_text(table), judging=None, n_finding=task.n_rows, n_judging=other.n_rows,
            record=record, rule=f"all rows of `{meant.task}` find, those of `{meant.judge}` judge",
        )  # fmt: skip
    references, pairs = row_hashes(task, spec, special_ids(tokenizer))
    try:
        finding, judging = split_rows(
            references, pairs, task.clusters.tolist(), share=wanted.share, seed=wanted.seed
        )
    except ValueError as error:
        raise Unwanted(
            f"the rows of `{meant.task}` cannot be divided: {error}; take more"
        ) from error
    together = f"a `{spec.cluster}` or a prompt" if spec.cluster else "a prompt"
    rule = f"divided by seed {wanted.seed}; rows that share {together} stay together"
    whole = record_of(task, spec, tokenizer, said | {"divided": rule}, table)
    record = replace(
        whole,
        references=tuple(whole.references[row] for row in finding),
        pairs=tuple(whole.pairs[row] for row in finding),
        lines=tuple(whole.lines[row] for row in finding),
    )
    return Rows(
        finding=rows_text(table[row] for row in finding),
        judging=rows_text(table[row] for row in judging),
        n_finding=len(finding),
        n_judging=len(judging),
        record=record,
        rule=rule,
    )


def data_text(task: TaskData) -> str:
    """Where the rows of a task come from."""
    where = task.facts.get("where", "")
    return task.facts.get("data", "") + (f" where {where}" if where else "")
