"""The columns that a file of rows has, read without a model: what `lint` can know of it.

columns_in_file(program, task)    # ("prompt", "other", "answer")
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path

from pathdsl.lang import ast
from pathdsl.lang.fence import SUFFIX
from pathdsl.lang.program import Program
from pathdsl.lang.rowtext import CODE, WORD_PLACES, CsvFault, cells_of, lines_of, prompts_of
from pathdsl.lang.serving import Columns, fields_of
from pathdsl.lang.signatures.calls import DATA_FILES, path_in
from pathdsl.reading import read_file

__all__ = ["columns_in_file"]

_MOST = 1_000_000
"""Bytes of a file of JSON lines: of a larger one some row behind them might have the column."""
_NOT_COLUMNS = ("positions", "spans", WORD_PLACES)


def columns_in_file(program: Program, task: ast.TaskDecl) -> Columns | None:
    """Every column that some row of a task's file has; None where that is not plainly known.

    What is wrong with the file, or with its rows, is told by those who read all of it.
    """
    data = fields_of(program, task).get("data")
    if data is None or not isinstance(data.value, ast.Call) or data.value.name not in DATA_FILES:
        return None
    written = path_in(data.value)
    path = Path(data.value.span.path).parent / written.value if written else None
    if path is None or path.suffix == SUFFIX or not program.fence.holds(path):
        return None
    try:
        state = os.stat(path)
        known = _columns(str(path), data.value.name, state.st_mtime_ns, state.st_size)
    except (OSError, ValueError):
        return None
    if known is None:
        return None
    names = tuple(dict.fromkeys(("id", *known)))
    return Columns(prompts=names, tokens=names, labels=names, added=frozenset())


@lru_cache(maxsize=64)
def _columns(path: str, kind: str, changed: int, size: int) -> tuple[str, ...] | None:
    """`changed` and `size` are there for the cache: a server looks at each keystroke."""
    where = DATA_FILES[kind].columns
    if where == "beside the rows":
        return _beside(path)
    content = read_file(path, _MOST + 1)
    if where == "in the first line":
        try:
            return tuple(next(cells_of(content.decode(CODE, "replace")), (0, 0, []))[2]) or None
        except CsvFault:
            return None
    if len(content) > _MOST:
        return None
    text = content.decode(CODE)
    found: dict[str, None] = {}
    try:
        if where == "in the whole file":
            rows_read, _ = prompts_of(json.loads(text))
        else:
            rows_read = [json.loads(line) for _, line in lines_of(text)]
    except (ValueError, RecursionError):
        return None
    if not isinstance(rows_read, list):
        return None
    for row in rows_read:
        if not isinstance(row, dict):
            return None
        found |= dict.fromkeys(name for name in row if name not in _NOT_COLUMNS)
    return tuple(found) or None


def _beside(path: str) -> tuple[str, ...] | None:
    """The columns of a Parquet file by its footer, of a folder of `save_to_disk` by its record."""
    if os.path.isdir(path):
        record = os.path.join(path, "dataset_info.json")
        try:
            features = json.loads(read_file(record, _MOST))["features"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        names = list(features) if isinstance(features, dict) else []
    else:
        try:
            from pyarrow.parquet import read_schema

            names = read_schema(path).names
        except Exception:  # no library, or no such file: told by those who read the rows
            return None
    return tuple(name for name in names if name not in _NOT_COLUMNS) or None
