"""Every format of circuits: what it can say, how it is known, who reads and writes it.

record("acdc").reads(content_of(data))            # a Circuit
recognised(content_of(data)).name                 # "eap-ig"
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pathdsl.graph.formats import acdc, auto_circuit, circuitkit, drawn, eap, features, pairs
from pathdsl.graph.formats.circuit import Circuit, Lost, UnusableFile

__all__ = ["CARRIED", "FORMATS", "FormatRecord", "Written", "read_content", "recognised"]

Carried = Literal["edges", "nodes", "slots", "positions", "neurons", "scores", "signs", "marks"]
CARRIED: tuple[Carried, ...] = (
    "edges", "nodes", "slots", "positions", "neurons", "scores", "signs", "marks",
)  # fmt: skip
"""What a format may be able to say. `marks`: what is kept beside what is not."""

Written = bytes | dict[str, object]
"""Bytes, or tensors to be saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatRecord:
    """One format.

    `tensors`: it is saved by torch, and only `pathdsl import` reads it. `known`: whether content is
    in it. `reads` and `writes` are None where it is not read, or not written; what is written comes
    with what it could not say. `ending`: of a file that is written. `ranks_all`: a file of it ranks
    every edge of a model, so that one without scores gets 1 in the circuit and 0 outside.
    `unwritten`: why none is written. `called`: other names of it.
    """

    name: str
    title: str
    carries: frozenset[Carried]
    tensors: bool
    known: Callable[[object], bool]
    reads: Callable[[object], Circuit] | None
    writes: Callable[[Circuit], tuple[Written, tuple[Lost, ...]]] | None
    ending: str
    ranks_all: bool
    unwritten: str = ""
    called: tuple[str, ...] = ()


def _text(known: Callable[[str], bool]) -> Callable[[object], bool]:
    return lambda content: isinstance(content, str) and known(content)


def _of_text(read: Callable[[str], Circuit]) -> Callable[[object], Circuit]:
    return lambda content: read(str(content))


def _whole(write: Callable[[Circuit], Written]) -> Callable[[Circuit], tuple[Written, tuple[()]]]:
    return lambda circuit: (write(circuit), ())


def _dumped(rows: object) -> bytes:
    return (json.dumps(rows, separators=(",", ":")) + "\n").encode()


def _truth(circuit: Circuit) -> tuple[Written, tuple[Lost, ...]]:
    rows, lost = pairs.truth_form(circuit)
    return _dumped(rows), lost


def _artifact(circuit: Circuit) -> tuple[Written, tuple[Lost, ...]]:
    content, lost = circuitkit.artifact_form(circuit)
    return _dumped(content), lost


def _kit(content: object) -> Circuit:
    if circuitkit.is_artifact(content):
        return circuitkit.read_artifact(content)
    if circuitkit.is_scores(content):
        return circuitkit.read_scores(content)
    return circuitkit.read_names(content)


def _is_kit(content: object) -> bool:
    return (
        circuitkit.is_artifact(content)
        or circuitkit.is_scores(content)
        or circuitkit.is_names(content)
    )


FORMATS: tuple[FormatRecord, ...] = (
    FormatRecord(
        name="eap-ig", title="EAP-IG and MIB, JSON", tensors=False, ending=".json", ranks_all=True,
        carries=frozenset({"edges", "nodes", "slots", "scores", "signs", "marks"}),
        known=eap.is_json, reads=eap.read_json_form, writes=_whole(eap.text_form),
    ),
    FormatRecord(
        name="eap-ig-pt", title="EAP-IG, tensors", tensors=True, ending=".pt", ranks_all=True,
        carries=frozenset({"edges", "nodes", "slots", "scores", "signs", "marks"}),
        known=eap.is_tensors, reads=eap.read_tensor_form, writes=_whole(eap.tensor_form),
    ),
    FormatRecord(
        name="auto-circuit", title="auto-circuit, prune scores", tensors=True, ending=".pt",
        ranks_all=True, carries=frozenset({"edges", "slots", "positions", "scores", "signs"}),
        known=auto_circuit.is_tensors, reads=auto_circuit.read,
        writes=_whole(auto_circuit.tensor_form),
    ),
    FormatRecord(
        name="acdc", title="ACDC, list of edges", tensors=False, ending=".json", ranks_all=False,
        carries=frozenset({"edges", "slots", "positions", "scores", "signs"}),
        known=acdc.is_list, reads=acdc.read,
        writes=_whole(lambda circuit: _dumped(acdc.literal_form(circuit))),
    ),
    FormatRecord(
        name="edge-pruning", title="Edge-Pruning, edges.json", tensors=False, ending=".json",
        ranks_all=False, carries=frozenset({"edges", "slots"}),
        known=pairs.is_pruned, reads=pairs.read_pruned,
        writes=_whole(lambda circuit: _dumped(pairs.pruned_form(circuit))),
    ),
    FormatRecord(
        name="interpbench", title="InterpBench, ground truth", tensors=False, ending=".json",
        ranks_all=False, carries=frozenset({"edges"}),
        known=pairs.is_interpbench, reads=pairs.read_interpbench, writes=_truth,
    ),
    FormatRecord(
        name="attribution-graph", title="circuit-tracer and Neuronpedia, graph JSON", tensors=False,
        ending=".json", ranks_all=False, carries=frozenset({"nodes", "positions"}),
        known=features.is_graph, reads=features.read, writes=None,
        unwritten="its nodes are features, of which heads and MLPs have none",
        called=("circuit-tracer", "neuronpedia"),
    ),
    FormatRecord(
        name="circuitkit", title="CircuitKIT, artifacts and lists of names", tensors=False,
        ending=".json", ranks_all=False,
        carries=frozenset({"edges", "nodes", "neurons", "scores", "signs"}),
        known=_is_kit, reads=_kit, writes=_artifact,
    ),
    FormatRecord(
        name="node-link", title="node-link JSON of networkx, `pathdsl graph --format json`",
        tensors=False, ending=".json", ranks_all=False, carries=frozenset({"edges", "slots"}),
        known=drawn.is_node_link, reads=drawn.read_node_link, writes=_whole(drawn.node_link_form),
    ),
    FormatRecord(
        name="graphml", title="GraphML", tensors=False, ending=".graphml", ranks_all=False,
        carries=frozenset({"edges", "slots"}),
        known=_text(drawn.is_graphml), reads=_of_text(drawn.read_graphml),
        writes=_whole(drawn.graphml_form),
    ),
    FormatRecord(
        name="dot", title="DOT of Graphviz", tensors=False, ending=".dot", ranks_all=False,
        carries=frozenset({"edges", "slots"}),
        known=_text(drawn.is_dot), reads=_of_text(drawn.read_dot), writes=_whole(drawn.dot_form),
    ),
    FormatRecord(
        name="mermaid", title="Mermaid, flowchart", tensors=False, ending=".mmd", ranks_all=False,
        carries=frozenset({"edges", "slots"}),
        known=_text(drawn.is_mermaid), reads=_of_text(drawn.read_mermaid),
        writes=_whole(drawn.mermaid_form),
    ),
)  # fmt: skip
"""All of them; a folder of the MIB leaderboard holds files of the first."""


def recognised(content: object) -> FormatRecord:
    """The format of a content. Raises UnusableFile PD441 where it is in none, or in several."""
    found = [one for one in FORMATS if one.known(content)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnusableFile(
            "it could be " + " and ".join(f"`{one.name}`" for one in found) + " alike",
            code="PD441", advice=f"say which: `--from {found[0].name}`",
        )  # fmt: skip
    empty = [one.name for one in FORMATS if one.name in ("acdc", "edge-pruning", "interpbench")]
    if content == []:
        raise UnusableFile(
            "an empty list could be " + " and ".join(f"`{one}`" for one in empty)
            + ", and says no circuit in any of them", code="PD441",
        )  # fmt: skip
    raise UnusableFile(
        "it is in none of the formats that are read: " + ", ".join(one.name for one in FORMATS),
        code="PD441", advice=_hint(content),
    )  # fmt: skip


# Comments, then a statement of this language.
_OWN_LANGUAGE = re.compile(r"\s*(?:#[^\n]*\n\s*)*(?:circuit|model|use)\s+\w")


def _hint(content: object) -> str:
    if isinstance(content, dict) and content.get("pathdsl") == "scores":
        return ("it keeps scores prompt by prompt: `pathdsl export FILE.circuit --to eap-ig "
                "-o FOLDER` makes a circuit file of it")  # fmt: skip
    if isinstance(content, dict) and any(key in content for key in ("edges", "nodes")):
        return "a circuit file says which model it is for in an object `cfg`, or `--from FORMAT`"
    if isinstance(content, str) and _OWN_LANGUAGE.match(content):
        return (
            "a file of this language needs no import: `pathdsl check FILE`, `pathdsl export FILE`"
        )
    return "`docs/formats.md` has an example of each"


def read_content(content: object, name: str = "") -> Circuit:
    """The circuit of a content, in the format called `name`, or in the one that it is in.

    Raises UnusableFile.
    """
    chosen = [one for one in FORMATS if one.name == name]
    record = chosen[0] if chosen else recognised(content)
    if record.reads is None:
        raise UnusableFile(f"`{record.name}` is not read")
    if not record.known(content):
        raise UnusableFile(f"it is no file of {record.title}", code="PD441")
    return record.reads(content)
