"""Results for reports: the made-up outcome as an object, and one that a stranger means ill with."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pathdsl.report.data.hashed import result_hash
from pathdsl.report.data.result import check_object, dump, file_object
from tests.report.outcomes import outcome

BAD = "<script>alert(1)</script>\"'><img src=https://evil.example/x onerror=alert(1)>"
TEX = r"50%_#&$^~{}\input{secret}\write18{rm}"


def sealed(result: dict[str, Any]) -> dict[str, Any]:
    """The result with the hashes of what it holds now, as a forger would make them."""
    for file in result["files"]:
        file["result_sha256"] = result_hash(file)
    return result


def made_up() -> dict[str, Any]:
    """The made-up outcome as `check --format json` prints it."""
    made = replace(outcome(), replaced={"take": "5"})
    file = file_object(made)
    found: dict[str, Any] = json.loads(dump(check_object([file], made.exit_code)))
    return found


def drawn() -> dict[str, Any]:
    """The same with a drawing: three units at two positions and one at none."""
    found = made_up()
    places = [("a0.h1", "S2"), ("a1.h2", "END"), ("a1.h3", "END"), ("m1", None)]
    nodes = [
        {
            "name": f"{label}@{at}" if at else label,
            "label": label,
            "kind": "head" if label.startswith("a") else "mlp",
            "layer": int(label[1]),
            "at": at,
            "groups": ["first"] if label == "a0.h1" else ["second"] if at else [],
        }
        for label, at in places
    ]
    edges = [
        {"from": -1, "to": 0, "slots": ["v"]},
        {"from": 0, "to": 1, "slots": ["q", "k"]},
        {"from": 1, "to": -2, "slots": []},
    ]
    file = found["files"][0]
    file["drawing"] = {
        "path": "main", "layers": 2, "positions": ["S2", "END"], "nodes": nodes, "edges": edges,
        "n_edges": 3,
    }  # fmt: skip
    file["formulas"] = [
        {"kind": "claim", "name": "sufficient",
         "text": "claim sufficient: A >= 80% at 95% confidence",
         "latex": r"\frac{\mathrm{A}}{2} \ge 80\%", "units": ["a0.h1@S2"]},
        {"kind": "metric", "name": "LD", "text": "metric LD = logit(io)", "latex": "x"},
    ]  # fmt: skip
    return sealed(found)


def hostile(bad: str) -> dict[str, Any]:
    """`drawn` with the text in the place of every text that is not one of a few fixed words."""
    found = drawn()
    fixed = {
        "verdict", "expected", "relation", "severity", "code", "kind", "slots", "at", "positions",
        "layernorm", "latex",
    }  # fmt: skip

    def spoil(value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {
                (bad if key in ("methodology", "replaced", "sources") else k): spoil(v, k)
                for k, v in value.items()
            }
        if isinstance(value, list):
            return [spoil(one, key) for one in value]
        return bad if isinstance(value, str) and key not in fixed else value

    file = spoil(found["files"][0], "")
    for node in file["drawing"]["nodes"]:
        node["at"] = bad
    file["drawing"]["positions"] = [bad]
    for formula in file["formulas"]:
        formula["latex"] = bad
    found["files"] = [file]
    return sealed(found)
