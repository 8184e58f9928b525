"""Rows of text files: an object a line, or a line of cells a row.

jsonl_rows(call, b'{"prompt": "a"}\n', faults)    # [(1, {"prompt": "a", "id": "1"})]
"""

from __future__ import annotations

from typing import Any

from pathdsl.engine.data.cells import csv_cell
from pathdsl.engine.data.faults import DataFaults
from pathdsl.engine.data.task import DataCall
from pathdsl.lang.rowtext import CODE, CsvFault, cells_of, lines_of
from pathdsl.strictjson import JsonFault, read_json

__all__ = ["Row", "csv_rows", "jsonl_rows", "named", "text_of"]

Row = dict[str, Any]


def text_of(call: DataCall, content: bytes, faults: DataFaults) -> str:
    """The text of a data file; raises DataError PD323 where it is not UTF-8."""
    try:
        return content.decode(CODE)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        faults.add(
            "PD323",
            f"line {line} of `{call.path}` is not UTF-8",
            line=line,
            advice="save it as UTF-8",
        )
        faults.stop()
        raise


def jsonl_rows(call: DataCall, content: bytes, faults: DataFaults) -> list[tuple[int, Row]]:
    """The rows, each behind the line on which it begins."""
    rows: list[tuple[int, Row]] = []
    text = text_of(call, content, faults)
    for number, line in lines_of(text):
        try:
            row = read_json(line)
        except JsonFault as fault:
            is_what = "is refused" if fault.refused else "is not JSON"
            faults.add(
                "PD322",
                f"line {number}, column {fault.column} of `{call.path}` {is_what}: {fault}",
                line=number,
                about=is_what,
            )
            continue
        if not isinstance(row, dict):
            faults.add(
                "PD322", f"line {number} of `{call.path}` is not a JSON object",
                line=number, about="no object",
                advice='{"id": "1", "prompt": "…"}',
            )  # fmt: skip
            continue
        rows.append((number, named(row, number)))
    return rows


def named(row: Row, number: int) -> Row:
    """The row with a textual id, its own or the number of its line."""
    own = row.get("id")
    return {**row, "id": str(number) if own is None or own == "" else str(own)}


def csv_rows(call: DataCall, content: bytes, faults: DataFaults) -> list[tuple[int, Row]]:
    """The rows, each behind the line on which it begins: a cell in quotes may hold several."""
    text = text_of(call, content, faults)
    rows: list[tuple[int, Row]] = []
    header: list[str] = []
    try:
        for line, last, cells in cells_of(text):
            if not header:
                header = cells
                if double := sorted({name for name in header if header.count(name) > 1}):
                    faults.add("PD322", f"the CSV header names `{double[0]}` twice")
                continue
            if len(cells) != len(header):
                faults.add(
                    "PD322",
                    f"line {last} has {len(cells)} cells, the header {len(header)}",
                    line=last,
                    about="cells",
                )
                continue
            row = {}
            for name, cell in zip(header, cells, strict=True):
                try:
                    row[name] = csv_cell(cell, text=name in call.texts)
                except JsonFault as fault:
                    faults.add(
                        "PD322",
                        f"line {last}, column `{name}` is refused: {fault}",
                        line=last,
                        about=name,
                    )
            rows.append((line, named(row, len(rows) + 1)))
    except CsvFault as error:
        faults.add("PD322", f"line {error.line} is not CSV: {error}", line=error.line)
    return rows
