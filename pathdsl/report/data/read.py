"""What `check --format json` printed, read again; it may be a stranger's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pathdsl.report.data.result import schema
from pathdsl.strictjson import JsonFault, read_json

__all__ = ["NotAResult", "read_result"]

Object = Mapping[str, Any]


class NotAResult(ValueError):
    """A text that is not what `check --format json` prints; the message says where."""


def read_result(text: str) -> Object:
    """The object that `check --format json` printed; raises NotAResult for anything else."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    try:
        result: Object = read_json(text, finite=True)
    except JsonFault as error:
        raise NotAResult(f"line {error.line}: {error}") from error
    fault = best_match(Draft202012Validator(schema()).iter_errors(result))
    if fault is not None:
        raise NotAResult(f"{fault.json_path}: {fault.message[:200]}")
    for i, file in enumerate(result["files"]):
        _vet_drawing(file.get("drawing"), f"$.files[{i}].drawing")
        for j, drawing in enumerate(file.get("drawings", ())):
            _vet_drawing(drawing, f"$.files[{i}].drawings[{j}]")
        places = [place for claim in file["claims"] for place in claim.get("path_sets", ())]
        if any(place >= len(file.get("path_sets", ())) for place in places):
            raise NotAResult(f"$.files[{i}].claims: a claim names a path set that is not there")
    return result


def _vet_drawing(drawing: Object | None, place: str) -> None:
    """What the schema cannot say: positions are listed and edges join nodes that there are."""
    if drawing is None:
        return
    for node in drawing["nodes"]:
        if node["at"] is not None and node["at"] not in drawing["positions"]:
            raise NotAResult(f"{place}: `{node['at']}` is none of its positions")
    ends = [end for edge in drawing["edges"] or () for end in (edge["from"], edge["to"])]
    if any(end >= len(drawing["nodes"]) for end in ends):
        raise NotAResult(f"{place}: an edge ends at a node that is not there")
