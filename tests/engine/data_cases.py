"""A small tokenizer, a shape and short ways to build tasks and to expect faults."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from pathdsl.engine.data.build import (
    DataCall,
    TaskSpec,
    build_task,
    load_rows,
)
from pathdsl.errors import DataError, Diagnostic, Span
from pathdsl.graph.model.shape import ModelShape
from pathdsl.plan.taskdata import TaskData

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("PATHDSL_SHARED", ROOT.parent / "shared"))
HERE = Span(path="x.circuit", start=0, end=5)

SHAPE = ModelShape(
    family="gpt2",
    n_layers=1,
    n_heads=1,
    d_model=4,
    d_head=4,
    d_mlp=4,
    d_vocab=20,
    n_positions=8,
)
WORDS = [
    "[UNK]", "<s>", "a", " a", "b", " b", " Mary", " John", " gave", ".", "Mar", "y", " Ann",
]  # fmt: skip


def make_tokenizer(*, special: bool = False, bos: bool = True) -> PreTrainedTokenizerFast:
    """Words with their leading space are tokens, as GPT-2 has them."""
    plain = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Split(Regex(r" \w+|Mar|\w+|\."), "isolated")
    if special:
        plain.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, unk_token="[UNK]", bos_token="<s>" if bos else None
    )


TOKENIZER = make_tokenizer()
IDS = [{"id": f"r{i}", "prompt": [2, 3, 4 + i], "other": [5, 6, 7], "io": 9} for i in range(3)]


def spec(**options: Any) -> TaskSpec:
    return TaskSpec(name="t", data=DataCall(name="jsonl"), reference="prompt", **options)


def build(
    rows: Sequence[Mapping[str, object]], task: TaskSpec | None = None, **options: Any
) -> TaskData:
    return both(rows, task, **options)[0]


def both(
    rows: Sequence[Mapping[str, object]],
    task: TaskSpec | None = None,
    tokenizer: object = TOKENIZER,
    shape: ModelShape = SHAPE,
    **options: Any,
) -> tuple[TaskData, tuple[Diagnostic, ...]]:
    given = [{"id": str(i), **row} for i, row in enumerate(rows)]
    return build_task(task or spec(), given, tokenizer, shape, **options)


def faults_of(*arguments: Any, **options: Any) -> tuple[Diagnostic, ...]:
    with pytest.raises(DataError) as caught:
        both(*arguments, **options)
    assert int(caught.value.exit_code) == 2
    return caught.value.diagnostics


def one_fault(code: str, *arguments: Any, **options: Any) -> str:
    found = faults_of(*arguments, **options)
    assert [d.code for d in found] == [code]
    return " ".join((found[0].message, *found[0].notes, found[0].help))


def write(folder: Path, text: str | bytes, name: str = "rows.jsonl") -> str:
    content = text if isinstance(text, bytes) else text.encode()
    (folder / name).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def data(kind: str = "jsonl", path: str = "rows.jsonl", **arguments: Any) -> TaskSpec:
    return replace(spec(), data=DataCall(name=kind, path=path, arguments=arguments))


def fails(code: str, folder: Path, task: TaskSpec, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load_rows(task, folder, **options)
    assert {d.code for d in caught.value.diagnostics} == {code}
    return " ".join(" ".join((d.message, *d.notes, d.help)) for d in caught.value.diagnostics)


def ids(folder: Path, task: TaskSpec, **options: Any) -> list[str]:
    return [row["id"] for row in load_rows(task, folder, **options).rows]
