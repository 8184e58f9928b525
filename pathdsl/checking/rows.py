"""The rows of a task or of a data source, for a look at them or for a file of their own.

rows_of(program, "ioi", CheckOptions()).rows
rows_of(called("ioi(take: 3)"), CALLED, CheckOptions()).rows
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathdsl.checking.options import CheckOptions
from pathdsl.engine.load.source import ModelSource, shape_of, source_of, vet_config
from pathdsl.errors import LanguageError, errors_in
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang.fence import Fence
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import Program
from pathdsl.lang.serving import columns_of, model_of

if TYPE_CHECKING:
    from pathdsl.engine.data.rows import Row
    from pathdsl.engine.data.shown import ShownPrompt
    from pathdsl.engine.data.task import TaskSpec

__all__ = ["CALLED", "TaskRows", "called", "rows_of"]

CALLED = "rows"
"""The task of a program that stands for a call alone."""
_PLACE = "the call"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRows:
    """The rows of one task, with what is needed to show them.

    `prompts` are the prompt columns that are known.
    `tokenizer` and `shape` are None without a model. `taken` says which words or rows were left
    out, and `open` which conditions only a run can decide: their rows are all there.
    """

    spec: TaskSpec
    rows: list[Row]
    prompts: tuple[str, ...]
    tokenizer: Any | None
    shape: ModelShape | None
    taken: str
    open: str

    def shown(self, index: int, columns: Sequence[str]) -> list[ShownPrompt]:
        """These prompts of a row as tokens, or as words without a model. Raises DataError."""
        from pathdsl.engine.data.shown import shown_prompts

        row = self.rows[index]
        return shown_prompts(self.spec, row, columns, self.tokenizer, self.shape)


def called(call: str, fence: Fence | None = None) -> Program:
    """A program with one task, whose data is the call, a name alone meaning its defaults.

    Raises LanguageError with the faults of the call, ValueError where it is none.
    """
    call = f"{call}()" if call.isidentifier() else call
    text = f"task {CALLED} {{ data = {call}\n reference = prompt }}"
    program, faults = lint_file(_PLACE, text, fence)
    wrong = errors_in(faults)
    fields = [field.name for task in program.tasks.values() for field in task.fields]
    if fields != ["data", "reference"] or any(one.code.startswith("PD0") for one in wrong):
        raise ValueError(f"`{call}` is no call of a data source; wanted `ioi(take: 3, seed: 0)`")
    if wrong:
        raise LanguageError(wrong)
    return program


def rows_of(
    program: Program, task: str, options: CheckOptions, model: ModelSource | None = None
) -> TaskRows:
    """The rows of a task of a program without faults; no weights are read.

    `model`: in the place of the program's. Raises PathdslError.
    """
    from pathdsl.engine.data.rows import load_rows
    from pathdsl.engine.data.task import task_spec
    from pathdsl.engine.load.weights import fetch_config, load_tokenizer

    shape, tokenizer = None, None
    if model is None and program.model is not None:
        model = source_of(program, options.models, model_of(program, task))
    if model is not None:
        shape = shape_of(model) or vet_config(model, fetch_config(model))
        tokenizer = load_tokenizer(model)
    declaration = program.tasks[task]
    spec = task_spec(declaration, program.tasks)
    base = Path(program.origin.get(task, program.path)).parent
    loaded = load_rows(spec, base, options.overrides, program.fence, None, tokenizer)
    known = columns_of(program, declaration)
    read = spec.treated.columns if spec.treated is not None else ()
    prompts = known.prompts if known is not None else (spec.reference, *read)
    return TaskRows(
        spec=spec,
        rows=loaded.rows,
        prompts=prompts,
        tokenizer=tokenizer,
        shape=shape,
        taken=loaded.facts.get("taken", ""),
        open=loaded.facts.get("open", ""),
    )
