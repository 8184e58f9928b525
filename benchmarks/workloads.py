"""The measured workloads as `.circuit` text: what a user would write, by name.

W1 direct effects of every head (MLPs recomputed / held) · W2 every head into the queries of three
heads · W3 one circuit · W4 every edge of a small model · W5 attribution of every edge · W6
knockouts of the circuit · W7 residual stream and heads patched one by one · W8 a hundred
interventions on single heads · W9 W1h and W7a as loops of several variables · W10 and W11
attribution of every node at every position · W12 of every edge by an integral · W13 the residual
stream of one layer at fifteen positions.
Prompts are ids: `ROWS` rows of `LENGTH` tokens; the treated prompt differs at three of them, in
`W7a@9` and its like first at token 9.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pathdsl.draws import Draws
from pathdsl.graph.model.components import Layout
from pathdsl.graph.model.shape import ModelShape

from .shapes import SHAPES

__all__ = [
    "LENGTH",
    "PEERS",
    "ROWS",
    "WORKLOADS",
    "Workload",
    "acted_heads",
    "circuit_heads",
    "circuit_text",
    "edges_text",
    "receivers_of",
    "rows_text",
    "units",
]

ROWS = 64
LENGTH = 15
PEERS = ("hooks", "transformer_lens", "nnsight", "pyvene")
"""Names of `benchmarks/drivers.py`, where torch need not be imported for them."""

# Wang et al. 2022, figure 2: the 26 heads of the IOI circuit.
IOI_HEADS = (
    "a0.h1, a0.h10, a3.h0, a2.h2, a4.h11, a5.h5, a5.h8, a5.h9, a6.h9, a7.h3, a7.h9, a8.h6, a8.h10, "
    "a9.h9, a9.h6, a10.h0, a10.h7, a11.h10, a9.h0, a9.h7, a10.h1, a10.h2, a10.h6, a10.h10, a11.h2, "
    "a11.h9"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One workload: how many units its multiple is divided by (1: in all), and what to reach.

    `peer` and `bound` are the figures of the design for the `gpt2` shape (`small` for W4). `waits`:
    what it needs that is not there yet; such a workload is named and not measured. `attributes`: of
    an attribution, which has no runs, the method and what it scores. `first`: the first token at
    which the treated prompts differ, where that is another one.
    """

    title: str
    per: int = 1
    shapes: tuple[str, ...] = ("gpt2", "pythia", "llama", "mixture")
    peer: float | None = None
    bound: float | None = None
    reach: float | None = None
    waits: str = ""
    attributes: tuple[str, Literal["nodes", "edges"]] | None = None
    first: int | None = None


EVERY = ("gpt2", "pythia", "llama", "mixture", "bert", "attention")

WORKLOADS = {
    "W1r": Workload(title="direct effect of each head, MLPs recomputed", peer=333, bound=3.7,
                    reach=6),
    "W1h": Workload(title="direct effect of each head, MLPs held", peer=171, bound=1.3, reach=2,
                    shapes=EVERY),
    "W2": Workload(title="each head into three heads' queries at END", peer=321, bound=4.3,
                   reach=8),
    "W3": Workload(title="one circuit, everything else treated", peer=26, bound=1.1, reach=2.5,
                   shapes=EVERY),
    "W4": Workload(title="every edge alone, per edge", per=479, shapes=("small",), peer=6,
                   bound=0.16, reach=0.35),
    "W5": Workload(title="eap of every edge", peer=52, bound=2.15, reach=2.8,
                   attributes=("eap", "edges")),
    "W6a": Workload(title="single knockouts of the circuit, per knockout", per=26, peer=15,
                    bound=0.2, reach=0.4),
    "W6b": Workload(title="100 random K, circuit and model, per K", per=100, peer=31, bound=1.0,
                    reach=1.6),
    "W7a": Workload(title="residual stream, every layer and position", peer=145, bound=26,
                    reach=45),
    "W7b": Workload(title="every head patched", peer=157, bound=43, reach=65),
    "W7a@1": Workload(title="W7a, first other token 1", shapes=("gpt2",), reach=28, first=1),
    "W7a@9": Workload(title="W7a, first other token 9", shapes=("gpt2",), reach=8, first=9),
    "W7b@1": Workload(title="W7b, first other token 1", shapes=("gpt2",), reach=46, first=1),
    "W7b@9": Workload(title="W7b, first other token 9", shapes=("gpt2",), reach=22, first=9),
    "W8a": Workload(title="one head set to 0 at END by a block, 100 blocks"),
    "W8b": Workload(title="one head set to 0 everywhere by a block, 100 blocks"),
    "W9a": Workload(title="W1h as a loop over heads and metrics"),
    "W9b": Workload(title="W7a as a loop over layers and positions"),
    "W10": Workload(title="atp_qk of every node at every position", bound=1.95, reach=2.5,
                    attributes=("atp_qk", "nodes")),
    "W11": Workload(title="atp_star of every node at every position", bound=5.4, reach=6,
                    attributes=("atp_star", "nodes")),
    "W12": Workload(title="eap_ig of every edge, five points", bound=7.3, reach=8,
                    attributes=("eap_ig", "edges")),
    "W13": Workload(title="residual stream of the middle layer, fifteen positions"),
}  # fmt: skip


def rows_text(
    d_vocab: int, rows: int = ROWS, length: int = LENGTH, first: int | None = None
) -> str:
    """JSON lines: ids drawn by hash, `cf` differs from `prompt` at three positions.

    `first`: the first of them; the others follow evenly.
    """
    lines = []
    places = sorted({length // 5, length // 2, (4 * length) // 5})
    if first is not None:
        places = [first + third * (length - first) // 3 for third in range(3)]
    for row in range(rows):
        draws = Draws(0, "benchmark", str(row))
        ids = [draws.below(d_vocab) for _ in range(length)]
        other = list(ids)
        for t in places:
            other[t] = draws.below(d_vocab)
        good = draws.below(d_vocab)
        bad = (good + 1 + draws.below(d_vocab - 1)) % d_vocab
        line = {"id": f"r{row}", "prompt": ids, "cf": other, "io": good, "s": bad}
        lines.append(json.dumps(line))
    return "\n".join(lines) + "\n"


def _heads(shape: str, members: int | None = None) -> tuple[str, int]:
    """The circuit's heads: the published ones, or as large a share (or `members`) drawn by hash."""
    if shape == "gpt2" and members is None:
        return IOI_HEADS, 26
    n_layers, n_heads = SHAPES[shape].n_layers, SHAPES[shape].n_heads
    names = [f"a{layer}.h{head}" for layer in range(n_layers) for head in range(n_heads)]
    count = members or round(len(names) * 26 / 144)
    return ", ".join(Draws(0, "benchmark heads").sample(names, count)), count


def circuit_heads(shape: str, members: int | None = None) -> list[tuple[int, int]]:
    """The circuit's heads on a shape as (layer, head)."""
    found = re.findall(r"a(\d+)\.h(\d+)", _heads(shape, members)[0])
    return [(int(layer), int(head)) for layer, head in found]


def acted_heads(shape: str) -> list[tuple[int, int]]:
    """The heads of W8 as (layer, head), drawn by hash: a hundred, or all of a model with fewer."""
    n_layers, n_heads = SHAPES[shape].n_layers, SHAPES[shape].n_heads
    every = [(layer, head) for layer in range(n_layers) for head in range(n_heads)]
    return Draws(0, "benchmark actions").sample(every, min(100, len(every)))


def receivers_of(shape: str) -> tuple[tuple[int, int], ...]:
    """The three heads of W2, as (layer, head): published ones, or of the layers before the last."""
    if shape == "gpt2":
        return (9, 9), (9, 6), (10, 0)
    late = SHAPES[shape].n_layers - 2
    return (max(late - 1, 0), 0), (max(late - 1, 0), 1), (late, 2)


def units(name: str, shape: str) -> int:
    """What the multiple of a workload is divided by on a shape."""
    return _heads(shape)[1] if name == "W6a" else WORKLOADS[name].per


def circuit_text(
    name: str, shape: str, folder: Path, knockouts: int = 100, members: int | None = None,
    length: int = LENGTH,
) -> str:  # fmt: skip
    """The file of one workload on one shape; `members`: how many heads its circuit has."""
    n_layers = SHAPES[shape].n_layers
    heads, _ = _heads(shape, members)
    head = (
        f'model m = folder("{folder}")\n'
        'task t {\n  data = jsonl("rows.jsonl")\n  reference = prompt\n  treated = cf\n}\n'
        f"group circuit_heads = {{ {heads} }}\n"
        f"path nodes = within(circuit_heads{', mlp' if SHAPES[shape].mlps else ''})\n"
        f"metric LD {SHAPES[shape].reads}: logits = logit(io) - logit(s)\n"
    )
    receivers = ", ".join(f"a{layer}.h{h}" for layer, h in receivers_of(shape))
    each = "for h in attn: logits = mean(LD"
    match name.partition("@")[0]:
        case "W1r":
            body = f"let e {each}(treat(h (-> mlp)* -> logits)))\n"
        case "W1h":
            body = f"let e {each}(treat(h -> logits)))\n"
        case "W2":  # heads of the last receiver's layer and above reach none of the three
            body = (
                f"group R @END = {{ {receivers} }}\n"
                f"let e for h in a[0..{n_layers - 3}].h*: logits = "
                "mean(LD(treat(h (-> mlp)* -[q]-> R)))\n"
            )
        case "W3":
            body = "let e: logits = mean(LD(keep(nodes)))\n"
        case "W6a":
            body = "let e for h in circuit_heads: logits = mean(LD(keep(nodes - through(h))))\n"
        case "W6b":
            body = f"let e: logits = completeness(nodes, knockouts: random({knockouts}, seed: 0))\n"
        case "W7a":
            places = [(r, p) for r in range(n_layers) for p in range(LENGTH)]
            body = "".join(
                f"let e{r}_{p}: logits = mean(LD(treat(through(r{r}@[{p}]))))\n" for r, p in places
            )
        case "W7b":
            body = f"let e {each}(treat(through(h))))\n"
        case "W8a" | "W8b":
            at = "@END" if name == "W8a" else ""
            body = "".join(
                f"intervene b{n} {{ scale a{layer}.h{head}{at} = 0.0 }}\n"
                f"let e{n}: logits = mean(LD(reference with b{n}))\n"
                for n, (layer, head) in enumerate(acted_heads(shape))
            )
        case "W9a":
            body = "let e for h in attn, x in [LD]: logits = mean(x(treat(h -> logits)))\n"
        case "W9b":
            body = (
                f"let e for r in r[0..{n_layers - 1}], i in [0..{LENGTH - 1}]: logits = "
                "mean(LD(treat(through(r@[i]))))\n"
            )
        case "W13":  # from the first position to the last, evenly
            places = [n * (length - 1) // (LENGTH - 1) for n in range(LENGTH)]
            body = (
                f"let e for i in [{', '.join(map(str, places))}]: logits = "
                f"mean(LD(treat(through(r{n_layers // 2}@[i]))))\n"
            )
        case _ if WORKLOADS[name].attributes:
            body = "let e: logits = mean(LD(reference))\n"
        case _:
            raise ValueError(f"no workload `{name}`")
    return head + body


def edges_text(shape: ModelShape, folder: Path) -> str:
    """W4: one quantity for each edge of the graph."""
    layout = Layout(shape)
    lines = [circuit_text("W3", "small", folder).rsplit("let", 1)[0]]
    for receiver in range(1, len(layout.components)):
        for slot in layout.slots_of(receiver):
            arrow = f"-[{slot}]->" if slot else "->"
            for sender in range(receiver):
                if layout.senders_of[receiver] >> sender & 1:
                    path = f"{layout.label(sender)} {arrow} {layout.label(receiver)}"
                    lines.append(f"let e{len(lines)}: logits = mean(LD(treat({path})))\n")
    return "".join(lines)
