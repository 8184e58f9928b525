"""What `doctor` found, as text and as JSON: structure, graph, weights, proofs, and one last line.

The JSON object names no place on the machine and keeps full precision; numbers of paths are texts
there, since most readers of JSON round what is larger than 2**53.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from pathdsl.checking.doctor import PROMPTS, Diagnosis, Graph, Memory, TokenizerFacts
from pathdsl.engine.load.resembling import Resemblance
from pathdsl.errors import ExitCode
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang.render import render
from pathdsl.lang.visible import visible
from pathdsl.report.data.result import Object, diagnostic_object, proof_object
from pathdsl.report.numbers import groups_text, many, mlps_text, size_text, widths_text
from pathdsl.report.text.style import View, paragraph, table

__all__ = ["NEEDED", "doctor_object", "doctor_report"]

NEEDED = {
    "PD600": "a folder that `model.save_pretrained(folder)` wrote",
    "PD601": "`config.json` beside the weights, as `model.save_pretrained(folder)` writes it",
    "PD602": "the weights as `model.safetensors`, as `model.save_pretrained(folder)` writes them",
    "PD603": "the weights as safetensors: load them where you trust them, then "
    "`model.save_pretrained(folder)`",
    "PD604": "a class that is part of transformers; code that comes with a model is never run",
    "PD605": "weights and a config that were saved together",
    "PD606": "weights that are finite numbers in this dtype",
    "PD607": "an adapter for this block structure; docs/models.md lists those that there are",
    "PD608": "the weights before they were quantised",
    "PD609": "the weight file again, complete",
    "PD611": "the hub within reach, a model of that name, or a folder with a copy of it",
    "PD612": "an adapter that computes this option, or a model without it",
    "PD613": "one of the names above, or `folder:PATH`, or `hf:ID`",
    "PD615": "a config that transformers itself accepts",
    "PD617": "a fast tokenizer in the folder, or none: prompts are then token ids",
    "PD619": "another `--device`",
    "PD620": "more memory, or a narrower `--dtype`",
}
_PROOFS_NEEDED = "an adapter that reproduces this model; `--dtype float64` tells rounding apart"


def doctor_report(diagnosis: Diagnosis, view: View) -> str:
    """What is known of the model, and in the last line whether it can be checked."""
    lines = [view.heading(diagnosis.source.written)]
    if diagnosis.shape is not None:
        lines += _section("Structure", _structure(diagnosis.shape, diagnosis), view)
        lines += _section("Graph", _graph(diagnosis.shape), view)
    if diagnosis.parameters is not None:
        lines += _section("Model", _model(diagnosis), view)
    if diagnosis.proofs:
        rows = [
            [
                f"  {proof.name}",
                f"{proof.error:.1e}",
                f"allowed {proof.tolerance:.0e}",
                "holds" if proof.holds else "FAILS",
            ]
            for proof in diagnosis.proofs
        ]
        lines += ["", view.heading("Self-checks, on prompts of random tokens")]
        lines += table(rows, right=(1,), width=view.width)
    if diagnosis.resembles is not None:
        told = [[name, visible(text)] for name, text in _resemblance(diagnosis.resembles)]
        lines += _section(RESEMBLES, told, view)
    lines.append("")
    if diagnosis.exit_code is ExitCode.AS_EXPECTED:
        lines.append(view.paint("this model can be checked", "bold", "green"))
        return "\n".join(lines) + "\n"
    lines.append(render(diagnosis.faults, {}, colour=view.colour))
    needed = _needed(diagnosis)
    if needed:
        lines.append(view.heading("Needed"))
        lines += [paragraph(text, view, "  ", "  ") for text in needed]
        lines.append("")
    codes = ", ".join(dict.fromkeys(fault.code for fault in diagnosis.faults))
    lines.append(view.paint(f"this model cannot be checked: {codes}", "bold", "red"))
    return "\n".join(lines) + "\n"


def doctor_object(diagnosis: Diagnosis) -> Object:
    """The same for programs; what is not known is null."""
    shape, memory, tokenizer = diagnosis.shape, diagnosis.memory, diagnosis.tokenizer
    return {
        "schema_version": 1,
        "model": diagnosis.source.written,
        "checkable": diagnosis.exit_code is ExitCode.AS_EXPECTED,
        "structure": _structure_object(shape, diagnosis) if shape is not None else None,
        "graph": _graph_object(shape) if shape is not None else None,
        "parameters": diagnosis.parameters,
        "memory": _memory_object(memory) if memory is not None else None,
        "tokenizer": _tokenizer_object(tokenizer) if tokenizer is not None else None,
        "facts": {name: text for name, text in diagnosis.facts.items() if name != "model"},
        "resembles": _resemblance_object(diagnosis.resembles),
        "proofs": [proof_object(proof) for proof in diagnosis.proofs],
        "diagnostics": [diagnostic_object(fault, {}) for fault in diagnosis.faults],
        "needed": _needed(diagnosis),
        "exit_code": int(diagnosis.exit_code),
    }


def _needed(diagnosis: Diagnosis) -> list[str]:
    proofs = {proof.code for proof in diagnosis.proofs}
    texts = [
        _PROOFS_NEEDED if f.code in proofs else NEEDED.get(f.code, "") for f in diagnosis.faults
    ]
    return [text for text in dict.fromkeys(texts) if text]


def _section(title: str, facts: list[list[str]], view: View) -> list[str]:
    """A heading and its facts, the names in one column and long texts wrapped beside them."""
    room = max(len(name) for name, _ in facts) + 4
    lines = ["", view.heading(title)]
    for name, text in facts:
        wrapped = paragraph(text, view, " " * room)
        lines.append(f"  {name}".ljust(room) + wrapped[room:])
    return lines


def _structure(shape: ModelShape, diagnosis: Diagnosis) -> list[list[str]]:
    parts = many(shape.n_heads, "head")
    if shape.has_mlp:
        order = "in parallel" if shape.parallel else "after them"
        parts += f" and an MLP {order}"
    kind = diagnosis.facts.get("architecture")
    facts = [
        ["family", shape.family + (f" ({kind})" if kind else "")],
        ["layers", f"{shape.n_layers:,}, each of {parts}{shape.recurrences}"],
        ["kv heads", groups_text(shape)],
        [
            "widths",
            f"d_model {shape.d_model:,}, head {shape.d_head:,}"
            + (f", MLP {widths_text(shape)}" if shape.has_mlp and shape.mixture is None else "")
            + (f", {shape.per_layer_input:,} more for each MLP" if shape.per_layer_input else "")
            + f", vocabulary {shape.d_vocab:,}"
            + (f", {shape.d_vocab_out:,} logits" if shape.d_vocab_out else ""),
        ],
        *([["MLPs", mlps_text(shape)]] if shape.mixture is not None else []),
        ["context", f"{many(shape.n_positions, 'position')}; {_windows(shape)}"],
    ]
    if diagnosis.norms or diagnosis.parameters is not None:
        norms = ", ".join(f"{count} {name}" for name, count in diagnosis.norms.items())
        facts.append(["norms", norms or "none"])
    return facts


RESEMBLES = "Nearest known structure, of which nothing was computed"
_MOST = 12
"""So many differences of a kind are told as text."""


def _resemblance(found: Resemblance) -> list[list[str]]:
    whose = f"`{found.kind}`" + (f" in `{found.part}`" if found.part else "")
    rows = []
    if found.nearest == found.kind and found.part:
        rows.append(["family", f"{whose} is a known one"])
    elif found.nearest:
        how = "by the fields of its config"
        if found.same is not None:
            how = f"{found.same} of {found.of} classes and functions of its code are the same"
        rows.append(["family", f"{whose} is most like `{found.nearest}`: {how}"])
    elif not found.parts:
        rows.append(["family", f"{whose} is like none that is known"])
    if found.code:
        rows.append(["code", "differs in " + _listed([f"`{name}`" for name in found.code], ", ")])
    if found.modules:
        rows.append(["modules", _listed(found.modules, "; ")])
    if found.fields:
        own = f"`{found.nearest}` has no " + _listed(found.fields, ", ")
        rows.append(["config", own])
    if found.refused:
        rows.append(["as that", f"its config cannot be read: {found.refused}"])
    if found.parts:
        rows.append(["parts", _listed(found.parts, "; ")])
    return rows


def _listed(texts: Sequence[str], between: str) -> str:
    rest = len(texts) - _MOST
    return between.join(texts[:_MOST]) + (f"{between}and {rest} more" if rest > 0 else "")


def _resemblance_object(found: Resemblance | None) -> Object | None:
    if found is None:
        return None
    return {
        "family": found.kind,
        "part": found.part or None,
        "nearest": found.nearest or None,
        "same": found.same,
        "of": found.of,
        "code": list(found.code),
        "modules": list(found.modules),
        "config": list(found.fields),
        "refused": found.refused or None,
        "parts": list(found.parts),
    }


def _windows(shape: ModelShape) -> str:
    told = _window_sizes(shape)
    return told if shape.causal else f"heads see later positions, too; {told}"


def _window_sizes(shape: ModelShape) -> str:
    sizes = sorted({size for size in shape.windows if size is not None})
    if not sizes:
        return "no sliding windows"
    texts = []
    for size in sizes:
        layers = [layer for layer, own in enumerate(shape.windows) if own == size]
        every = len(layers) == shape.n_layers
        where = "all layers" if every else "layers " + ", ".join(map(str, layers))
        side = "" if shape.causal else " on either side, the own one included,"
        texts.append(f"windows of {many(size, 'position')}{side} in {where}")
    return "; ".join(texts)


def _graph(shape: ModelShape) -> list[list[str]]:
    graph = Graph.of(shape)
    return [
        ["nodes", f"{graph.senders:,} senders, and `logits`"],
        *([["neurons", _neurons(shape)]] if shape.has_mlp else []),
        ["edges", f"{graph.edges:,}, the q, k and v of a head apart"],
        ["paths", f"{_large(graph.paths)} from `input` to `logits`"],
    ]


def _neurons(shape: ModelShape) -> str:
    """Whether neurons may be named."""
    if shape.no_neurons:
        return f"none: {shape.no_neurons}"
    dense = [k for k in range(shape.n_layers) if not shape.routes(k)]
    if not dense:
        return "none: a router weights what experts write"
    where = "each MLP" if len(dense) == shape.n_layers else "each MLP that is no mixture"
    return f"{shape.d_mlp:,} in {where}, nodes where they are named: `m{dense[0]}.n[0..3]`"


def _large(count: int) -> str:
    """`1,234`, `2.7e22`; exact integers are longer than a float can be."""
    digits = str(count)
    if len(digits) <= 9:
        return f"{count:,}"
    return f"{digits[0]}.{digits[1]}e{len(digits) - 1}"


def _model(diagnosis: Diagnosis) -> list[list[str]]:
    facts = diagnosis.facts
    parts = [
        ["parameters", f"{diagnosis.parameters:,}"],
        ["tokenizer", _tokenizer(diagnosis.tokenizer, diagnosis.shape)],
        [
            "machine",
            f"{facts['device']}, {many(int(facts['threads']), 'thread')}, "
            f"{facts['dtype']}, {facts['attention']} attention",
        ],
    ]
    if (memory := diagnosis.memory) is not None:
        parts.insert(1, ["weights", f"{size_text(memory.weights)} in {facts['dtype']}"])
        parts.insert(
            2,
            [
                "memory",
                f"about {size_text(memory.total)} for a check of {PROMPTS} prompts of "
                f"{many(memory.tokens, 'token')}: the weights, then {size_text(memory.proofs)} for "
                f"self-checks or {size_text(memory.values)} for values, whichever is more "
                "(estimated from a plan of four runs; libraries come on top)",
            ],
        )
    return parts


def _tokenizer(tokenizer: TokenizerFacts | None, shape: ModelShape | None) -> str:
    if tokenizer is None:
        if shape is not None and shape.d_vocab_out:
            return "none: prompts are token ids, answers are numbers of logits"
        return "none: prompts and answers are token ids"
    text = f"{tokenizer.name} ({tokenizer.algorithm}), {many(tokenizer.size, 'token')}; "
    special = ", ".join(f"{name} `{token}`" for name, token in tokenizer.special.items())
    text += f"special: {special}; " if special else "no special tokens; "
    added = " ".join(f"`{token}`" for token in tokenizer.added)
    text += f"adds {added} to a text" if added else "adds nothing to a text"
    if shape is not None and tokenizer.size > shape.d_vocab:
        text += f"; it has tokens beyond the model's {shape.d_vocab:,}, which no prompt may hold"
    return text


def _structure_object(shape: ModelShape, diagnosis: Diagnosis) -> Object:
    return {
        "family": shape.family,
        "layers": shape.n_layers,
        "heads": shape.n_heads,
        "kv_heads": shape.n_kv_heads or shape.n_heads,
        "recurrences": None if shape.recurrence is None else asdict(shape.recurrence),
        "d_model": shape.d_model,
        "d_head": shape.d_head,
        "d_mlp": shape.d_mlp if shape.has_mlp else None,
        "experts": None if shape.mixture is None else asdict(shape.mixture),
        "vocabulary": shape.d_vocab,
        "logits": shape.n_logits,
        "positions": shape.n_positions,
        "parallel": shape.parallel,
        "causal": shape.causal,
        "windows": [shape.window(layer) for layer in range(shape.n_layers)],
        "norms": dict(diagnosis.norms) if diagnosis.parameters is not None else None,
    }


def _graph_object(shape: ModelShape) -> Object:
    graph = Graph.of(shape)
    return {"senders": graph.senders, "edges": graph.edges, "paths": str(graph.paths)}


def _memory_object(memory: Memory) -> Object:
    return {
        "weights_bytes": memory.weights,
        "values_bytes": memory.values,
        "proofs_bytes": memory.proofs,
        "total_bytes": memory.total,
        "prompts": PROMPTS,
        "tokens": memory.tokens,
    }


def _tokenizer_object(tokenizer: TokenizerFacts) -> Object:
    return {
        "kind": tokenizer.name,
        "algorithm": tokenizer.algorithm,
        "size": tokenizer.size,
        "special": dict(tokenizer.special),
        "added": list(tokenizer.added),
    }
