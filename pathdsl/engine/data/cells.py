"""Cells of data files: JSON in CSV, and columns that a task declares to be ids or texts.

`csv("f.csv", ids: [answer])` reads the cell `673` as token 673, `texts: [answer]` as the three
digits; `["673", "12"]` is a list of those. Without either, a CSV cell is a text unless it holds a
JSON list or object, and a value of JSON is what it is there.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pathdsl.engine.data.faults import Cell, DataFaults, shown
from pathdsl.strictjson import JsonFault, read_json

__all__ = ["csv_cell", "json_repair", "read_columns"]

_DIGITS = re.compile(r"\s*[0-9]{1,18}\s*\Z")
_LONGEST = 10_000  # characters of a Python list for which the JSON is looked for
_EXAMPLES = {"ids": "[673, 12]", "texts": '["gem", "gems"]'}


def csv_cell(cell: str, *, text: bool = False) -> object:
    """The value of a CSV cell: what its JSON list or object says, or its text.

    `text`: only a list of texts is read as JSON. Raises JsonFault where the cell is JSON, and says
    something unclear or beyond all measure.
    """
    if cell[:1] not in ("[", "{"):
        return cell
    try:
        found = read_json(cell)
    except JsonFault as fault:
        if fault.refused and not text:
            raise
        return cell
    if text and not (isinstance(found, list) and all(isinstance(item, str) for item in found)):
        return cell
    return found


def json_repair(text: str) -> str:
    """The JSON of a list or map as Python writes it, `['a', 'b']`; "" where the text is neither."""
    if text[:1] not in ("[", "{") or len(text) > _LONGEST:
        return ""
    try:
        found = ast.literal_eval(text)
        return json.dumps(found, ensure_ascii=False) if isinstance(found, list | dict) else ""
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return ""


def read_columns(
    rows: list[dict[str, Any]], ids: Iterable[str], texts: Iterable[str], faults: DataFaults
) -> list[dict[str, Any]]:
    """The rows with the columns `ids` as token ids and the columns `texts` as texts.

    Notes PD328 for a column that a row lacks and PD352 for a cell that cannot be read so.
    """
    kinds: Mapping[str, str] = {**dict.fromkeys(ids, "ids"), **dict.fromkeys(texts, "texts")}
    if not kinds:
        return rows
    found = []
    for row in rows:
        read: dict[str, Any] = {}
        for column, kind in kinds.items():
            where = Cell(row=row["id"], column=column)
            if column not in row:
                faults.add(
                    "PD328", f"row `{row['id']}` has no column `{column}`, which `{kind}:` lists",
                    row=row['id'],
                    about=column,
                )  # fmt: skip
                continue
            try:
                read[column] = _read(row[column], kind)
            except ValueError:
                wanted = "one token id" if kind == "ids" else "a text"
                faults.add(
                    "PD352",
                    f"{where}: found {shown(row[column])}, and `{kind}:` says {wanted} or a list "
                    "of those",
                    row=where.row,
                    about=column,
                    advice=json_repair(str(row[column])) or _EXAMPLES[kind],
                )
        found.append({**row, **read})
    return found


def _read(value: object, kind: str) -> object:
    """One cell as ids or texts; ValueError where it is neither one nor a list of them."""
    if kind == "texts" and isinstance(value, str):
        return value
    if isinstance(value, str) and value[:1] == "[":
        try:
            value = read_json(value)
        except JsonFault:
            raise ValueError from None
    if isinstance(value, list):
        if any(isinstance(item, list) for item in value):
            raise ValueError
        return [_read(item, kind) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError  # a number with a point had another spelling once: nobody knows which
    if kind == "texts":
        return str(value)
    if isinstance(value, str) and not _DIGITS.match(value):
        raise ValueError
    return int(value)
