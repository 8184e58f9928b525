"""Rows that are no lines of text: JSON of other programs, Parquet, and data sets of Hugging Face.

    numbered = json_rows(call, content, faults)      # [(1, {"id": "1", "clean": "…", …}), …]

A folder of a data set is read here, by `pyarrow` alone: its files are data, and what its README
says of other files is not followed. Only a name of the hub goes through `datasets`, whose versions
from 4 on run no code of a data set. Both libraries are the extra `data`.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from pathdsl.engine.data.faults import DataFaults, shown
from pathdsl.engine.data.table import Row, csv_rows, jsonl_rows, named
from pathdsl.engine.data.task import DataCall
from pathdsl.lang.fence import Fence, outside
from pathdsl.lang.rowtext import CODE, prompts_of
from pathdsl.lang.signatures.calls import is_written_as_folder
from pathdsl.reading import read_file
from pathdsl.strictjson import JsonFault, read_json

__all__ = ["Reader", "dataset_rows", "is_folder", "json_rows", "parquet_rows"]

Numbered = list[tuple[int, Row]]
Reader = Callable[[DataCall, bytes, DataFaults], Numbered]
_INSTALL = "pip install 'pathdsl[data]'"
_OLDEST = 4
"""The version of `datasets` from which on no data set brings a script."""
_SPLITS = ("train", "test", "validation", "valid", "dev", "eval")
_MOST_FILES = 10_000


def json_rows(call: DataCall, content: bytes, faults: DataFaults) -> Numbered:
    """The rows of a JSON file: a list of objects, or the prompts of auto-circuit.

    Those are `{"word_idxs": {…}, "prompts": [{"clean", "corrupt", "answers", "wrong_answers"}]}`;
    every row gets the `word_idxs`. Notes PD322.
    """
    try:
        text = content.decode(CODE)
        found = read_json(text)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        faults.add(
            "PD323",
            f"line {line} of `{call.path}` is not UTF-8",
            line=line,
            advice="save it as UTF-8",
        )
        return []
    except JsonFault as fault:
        is_what = "is refused" if fault.refused else "is not JSON"
        lines = ("an object a line is `jsonl`",) if "\n{" in text else ()
        faults.add("PD322", f"`{call.path}` {is_what}: {fault}", notes=lines)
        return []
    found, shared = prompts_of(found)
    if not isinstance(found, list):
        faults.add(
            "PD322",
            f"`{call.path}` is neither a list of objects nor an object with `prompts`",
            advice='[{"prompt": "…", "answer": " …"}]',
        )
        return []
    rows: Numbered = []
    for number, row in enumerate(found, start=1):
        if isinstance(row, dict):
            rows.append((number, named({**shared, **row}, number)))
        else:
            faults.add(
                "PD322",
                f"row `{number}` of `{call.path}` is no object",
                row=str(number),
                about="row",
            )
    return rows


def parquet_rows(call: DataCall, content: bytes, faults: DataFaults) -> Numbered:
    """The rows of a Parquet file; missing values are no columns. Notes PD376 to PD378."""
    parquet = _library("pyarrow.parquet", faults)
    return _plain(_table(parquet.read_table, io.BytesIO(content), call.path, faults), faults)


def is_folder(call: DataCall, base_dir: Path) -> bool:
    """Whether a data set is a folder, and not a name of the hub."""
    return is_written_as_folder(call.path) or (base_dir / call.path).is_dir()


def dataset_rows(
    call: DataCall, base_dir: Path, fence: Fence, faults: DataFaults
) -> tuple[Numbered, str]:
    """The rows of a data set and their sha256: of its files, or of the rows of one of the hub.

    Notes PD376 to PD378, and PD664 for a folder outside of the fence.
    """
    if not call.path:
        faults.add("PD327", f"`{call.name}` names no data set", advice='dataset("rows")')
        faults.stop()
    if is_folder(call, base_dir):
        return _of_folder(call, base_dir / call.path, fence, faults)
    return _of_hub(call, faults), ""


# ------------------------------------------------------------------------------- a folder


def _of_folder(
    call: DataCall, folder: Path, fence: Fence, faults: DataFaults
) -> tuple[Numbered, str]:
    if not fence.holds(folder):
        faults.keep(outside(call.path, call.span))
        faults.stop()
    if not folder.is_dir():
        faults.add("PD377", f"there is no folder `{call.path}`")
        faults.stop()
    if call.arguments.get("revision"):
        faults.add(
            "PD377", f"`{call.path}` is a folder, which has no `revision:`",
            advice="`sha256:` says which files are meant",
        )  # fmt: skip
    files = [one for one in _files(call, folder, faults) if _inside(one, call, fence, faults)]
    faults.stop()
    digest = hashlib.sha256()
    rows: list[Row] = []
    for path in files:
        content = _content(path, call, faults)
        name = path.relative_to(folder).as_posix()
        digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
        rows += _KINDS[path.suffix](call, content, name, faults)
    faults.stop()
    return _plain(rows, faults), digest.hexdigest()


def _files(call: DataCall, folder: Path, faults: DataFaults) -> list[Path]:
    """The files of the wanted split, in the order of their names."""
    split, config = (str(call.arguments.get(key) or "") for key in ("split", "config"))
    if any(re.search(r"[/\\]|^\.", word) for word in (split, config)):
        faults.add("PD377", "`split:` and `config:` are names")
        faults.stop()
    if config:
        folder = folder / config
        if not folder.is_dir():
            faults.add("PD377", f"`{call.path}` has no configuration `{config}`")
            faults.stop()
    if (folder / "dataset_dict.json").is_file():  # `DatasetDict.save_to_disk`
        splits = sorted(one.parent.name for one in folder.glob("*/dataset_info.json"))
        _one_of(call, split, splits, faults)
        return _arrows(folder / split, call, faults)
    if (folder / "state.json").is_file():  # `Dataset.save_to_disk`
        if split:
            faults.add("PD377", f"`{call.path}` is one split; leave `split:` out")
            faults.stop()
        return _arrows(folder, call, faults)
    found = [p for p in sorted(folder.rglob("*"))[:_MOST_FILES] if p.suffix in _KINDS
             and p.suffix != ".arrow" and not p.name.startswith(".")]  # fmt: skip
    names = {path: re.split(r"[-_./]", path.relative_to(folder).as_posix()) for path in found}
    splits = [one for one in _SPLITS if any(one in words for words in names.values())]
    if split or len(splits) > 1:
        _one_of(call, split, splits if split not in {w for n in names.values() for w in n}
                else [split], faults)  # fmt: skip
        found = [path for path in found if split in names[path]]
    if not found:
        faults.add(
            "PD377", f"`{call.path}` holds no rows",
            advice="files that end in .parquet, .jsonl or .csv, or what `save_to_disk` writes",
        )  # fmt: skip
    if len({path.suffix for path in found}) > 1:
        faults.add(
            "PD377", f"`{call.path}` holds files of several kinds",
            advice=f'{found[0].suffix[1:]}("{call.path}/{found[0].name}")',
        )  # fmt: skip
    return found


def _one_of(call: DataCall, split: str, splits: list[str], faults: DataFaults) -> None:
    if split not in splits:
        there = ", ".join(f"`{one}`" for one in splits) or "none that its files name"
        said = f"`{call.path}` has no split `{split}`" if split else (
            f"`{call.path}` has several splits, and none is named"
        )  # fmt: skip
        faults.add(
            "PD377", said, notes=(f"there are {there}",),
            advice=f'split: "{splits[-1]}"' if splits else "leave `split:` out",
        )  # fmt: skip
        faults.stop()


def _arrows(folder: Path, call: DataCall, faults: DataFaults) -> list[Path]:
    """The files that `save_to_disk` lists, in its order."""
    try:
        state = read_json(_content(folder / "state.json", call, faults).decode())
        names = [one["filename"] for one in state["_data_files"]]
        plain = all(isinstance(name, str) and os.path.basename(name) == name for name in names)
    except (JsonFault, UnicodeDecodeError, KeyError, TypeError):
        plain, names = False, []
    if not plain:
        faults.add("PD377", f"`{call.path}`: its `state.json` is not as `save_to_disk` writes it")
        faults.stop()
    return [folder / name for name in names]


def _inside(path: Path, call: DataCall, fence: Fence, faults: DataFaults) -> bool:
    if not fence.holds(path):
        faults.keep(outside(f"{call.path}/{path.name}", call.span))
        return False
    return True


def _content(path: Path, call: DataCall, faults: DataFaults) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        faults.add("PD377", f"`{path.name}` of `{call.path}` cannot be read: {why}")
        faults.stop()
        raise


def _parquet_file(call: DataCall, content: bytes, name: str, faults: DataFaults) -> list[Row]:
    parquet = _library("pyarrow.parquet", faults)
    return _table(parquet.read_table, io.BytesIO(content), f"{call.path}/{name}", faults)


def _arrow_file(call: DataCall, content: bytes, name: str, faults: DataFaults) -> list[Row]:
    ipc = _library("pyarrow.ipc", faults)
    return _table(
        lambda file: ipc.open_stream(file).read_all(), content, f"{call.path}/{name}", faults
    )


def _text_file(call: DataCall, content: bytes, name: str, faults: DataFaults) -> list[Row]:
    """JSON lines and CSV as `jsonl` and `csv` read them."""
    there = replace(call, path=f"{call.path}/{name}")
    read = csv_rows if name.endswith(".csv") else jsonl_rows
    # Rows are numbered over all files; the reader gave each its line where it has no id.
    return [
        {k: v for k, v in row.items() if k != "id" or v != str(line)}
        for line, row in read(there, content, faults)
    ]


_KINDS: Mapping[str, Callable[[DataCall, bytes, str, DataFaults], list[Row]]] = {
    ".parquet": _parquet_file,
    ".arrow": _arrow_file,
    ".jsonl": _text_file,
    ".csv": _text_file,
}


# ------------------------------------------------------------------------------- the hub


def _of_hub(call: DataCall, faults: DataFaults) -> Numbered:
    """The rows of a data set of the hub, by `datasets`."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", call.path):
        faults.add("PD377", f"{shown(call.path)} is neither a folder that is there nor a name")
        faults.stop()
    revision = str(call.arguments.get("revision") or "")
    datasets = _library("datasets", faults)
    if int(str(datasets.__version__).partition(".")[0]) < _OLDEST:
        faults.add(
            "PD376",
            f"`datasets` {datasets.__version__} is older than {_OLDEST}, and may run code of a "
            "data set",
            advice="pip install 'datasets>=4'",
        )
        faults.stop()
    split = call.arguments.get("split")
    datasets.disable_progress_bars()
    try:
        found = datasets.load_dataset(
            call.path, name=call.arguments.get("config"), split=split, revision=revision or None
        )
    except Exception as error:  # the library raises whatever its parts raise
        why = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        faults.add(
            "PD377",
            f"the data set `{call.path}` cannot be loaded: {why}",
            notes=("it is no folder beside this file, so it was taken for a name of the hub",),
            advice='save it where the hub can be reached, `load_dataset(…).save_to_disk("rows")`, '
            'and read that: dataset("rows")',
        )
        faults.stop()
        raise
    if isinstance(found, dict):
        _one_of(call, "", sorted(found), faults)
    return _plain(found.to_list(), faults)


# ------------------------------------------------------------------------------- values


def _library(name: str, faults: DataFaults) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        faults.add("PD376", f"`{package}` is not installed, which reads these rows",
                   advice=_INSTALL)  # fmt: skip
        faults.stop()
        raise AssertionError from error


def _table(read: Callable[[Any], Any], file: Any, name: str, faults: DataFaults) -> list[Row]:
    """The rows of an Arrow table."""
    try:
        rows: list[Row] = read(file).to_pylist()
    except Exception as error:  # pyarrow raises OSError, ArrowInvalid and others of damaged files
        why = str(error).strip().partition("\n")[0][:200]
        faults.add("PD377", f"`{name}` cannot be read: {why}")
        faults.stop()
        raise
    return rows


def _plain(rows: Iterable[Row], faults: DataFaults) -> Numbered:
    """Rows of JSON's values alone, each behind its number; PD378 for others."""
    found: Numbered = []
    for number, row in enumerate(rows, start=1):
        for column, value in row.items():
            if (kind := _odd(value)) is not None:
                faults.add(
                    "PD378",
                    f"row `{number}`, column `{column}`: {kind} is no value that rows have",
                    row=str(number),
                    about=column,
                    advice="make texts or numbers of it, or leave the column out",
                )
        whole = {k: _without_nulls(v) for k, v in row.items() if v is not None}
        found.append((number, named(whole, number)))
    return found


def _odd(value: object) -> str | None:
    """What is no value of JSON in a value, None where all is."""
    if isinstance(value, dict):
        return next((kind for one in value.values() if (kind := _odd(one))), None)
    if isinstance(value, list):
        return next((kind for one in value if (kind := _odd(one))), None)
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value}"
    if value is None or isinstance(value, str | int | float):
        return None
    return f"`{type(value).__name__}`"


def _without_nulls(value: Any) -> Any:
    """A value without the fields that Arrow adds to a map because another row has them."""
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return value
