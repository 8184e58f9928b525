"""What `check --format json` printed, read again; it may be a stranger's, and a forger's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pathdsl.report.data.hashed import result_hash
from pathdsl.report.data.result import schema
from pathdsl.strictjson import JsonFault, read_json

__all__ = ["ChangedResult", "NotAResult", "read_result"]

Object = Mapping[str, Any]


class NotAResult(ValueError):
    """A text that is not what `check --format json` prints; the message says where."""


class ChangedResult(ValueError):
    """A result that no check can have written; the message says what was changed."""


def read_result(text: str) -> Object:
    """The object that `check --format json` printed; raises NotAResult for anything else.

    Raises ChangedResult where a number was changed after it was written: where the hash is not that
    of what came out, or where what came out contradicts itself. A result without a hash, which an
    earlier version wrote, is held to the latter alone.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    from pathdsl.report.data.consistent import contradictions

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
        controls = [place for one in file["claims"] for place in one.get("controls") or ()]
        if any(place >= len(file["claims"]) for place in controls):
            raise NotAResult(f"$.files[{i}].claims: a claim names a control that is not there")
    said = next(contradictions(result), "")
    for file in result["files"]:
        held = file.get("result_sha256")
        if held is not None and held != (found := result_hash(file)):
            name = f"`{file['circuit'] or file['path']}`"
            hashes = f"{name} holds the hash {held[:12]}…, and what it shows has {found[:12]}…"
            raise ChangedResult(f"{hashes}{'; ' if said else ''}{said}")
    if said:
        raise ChangedResult(said)
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
