"""Pages of the family PD2: what the shape of a model forbids, and path sets that cannot be used."""

from __future__ import annotations

from pathdsl.lang.rules.page import Example, Page
from pathdsl.lang.rules.pd2_files import FILE_PAGES
from pathdsl.lang.rules.pd2_interventions import INTERVENTION_PAGES
from pathdsl.lang.rules.pd2_prompts import PROMPT_PAGES
from pathdsl.lang.rules.pd2_structures import STRUCTURE_PAGES
from pathdsl.lang.rules.pd3_models import OF_GRAPHS
from pathdsl.lang.rules.sample import HEAD, sample, whole

__all__ = ["PAGES"]

_CONFIG = '{"cfg": {"n_layers": 4, "n_heads": 4}, "nodes": {}, "edges": {'
_EDGES = (
    '"input->a0.h1<v>": {"score": 0.9, "in_graph": true}, '
    '"a0.h1->logits": {"score": -0.4, "in_graph": true}'
)

_GEMMA = (
    '{"model_type": "gemma2", "hidden_size": 8, "num_attention_heads": 2, "head_dim": 4, '
    '"num_key_value_heads": 1, "num_hidden_layers": 4, "intermediate_size": 32, '
    '"vocab_size": 100, "max_position_embeddings": 64}'
)


def _use(path: str, *before: str, files: dict[str, str] | None = None) -> Example:
    """A file that judges one path set of the bundled model of 4 layers with 4 heads each."""
    return sample(*before, f"let kept = mean(LD(keep({path})))", files=files)


def _in_gemma(path: str) -> Example:
    """A file that judges one path set of a small Gemma 2."""
    text = HEAD.replace('bundled("ioi-mini")', 'folder("gemma")')
    return whole(text, f"let kept = mean(LD(keep({path})))", files={"gemma/config.json": _GEMMA})


def _alternatives(count: int) -> str:
    """The paths that meet one of two nodes, and one of another two, `count` times."""
    pairs = [
        f"(through(a{i % 4}.h{i // 4 % 4}@S{1 + i % 2}) | through(m{i % 4}@IO))"
        for i in range(count)
    ]
    return " & ".join(pairs)


PAGES: tuple[Page, ...] = (
    *FILE_PAGES,
    *PROMPT_PAGES,
    *INTERVENTION_PAGES,
    *OF_GRAPHS,
    *STRUCTURE_PAGES,
    Page(
        code="PD201",
        name="layer-goes-back",
        summary="An arrow leads to a node that reads before the sender writes.",
        why="A node reads the sum of what was written before it: earlier layers, and for an MLP "
        "the heads of its own layer. Heads of one layer do not read each other.",
        repair="Turn the arrow round, or choose a receiver in a later layer.",
        failing=_use("a3.h0 -> a1.h2"),
        passing=_use("a1.h2 -> a3.h0"),
    ),
    Page(
        code="PD202",
        name="position-moves-without-attention",
        summary="Sender and receiver stand at different positions and no head carries anything.",
        why="Only keys and values are read at another position. A query, an MLP and `logits` read "
        "where they stand. One name with two offsets, or two indices, are different positions; "
        "two names may be the same token and are left to the data.",
        repair="Read it as a key or value, `-[k,v]->`, or go there through heads, `~>`.",
        failing=_use("a0.h0@S1 -[q]-> a1.h0@S1+1"),
        passing=_use("a0.h0@S1 -[k,v]-> a1.h0@S1+1"),
    ),
    Page(
        code="PD203",
        name="position-travels-back",
        summary="The sender stands after the receiver, in a model whose heads look back alone.",
        why=(
            "Causal attention reads from its own position and earlier ones. `END`, the last token, "
            "stands after every other named position, so nothing travels from `END` to another "
            "name, and `offset(+2)` reads nothing. A name that marks the last token itself is "
            "written `END`. Heads of an encoder see both ways, and this is not said of them."
        ),
        repair="Turn the arrow round, or name an earlier position for the sender.",
        failing=_use("a0.h0@END -[v]-> a1.h0@S2"),
        passing=_use("a0.h0@S2 -[v]-> a1.h0@END"),
    ),
    Page(
        code="PD204",
        name="no-such-edge",
        summary="The model has no such edge, whatever the layers are.",
        why="`input` reads nothing, an MLP has no q, k and v, a parallel block (GPT-NeoX, GPT-J) "
        "has no edge from its heads to its MLP, and a sliding window hides what is too far back.",
        repair="Choose a receiver that reads the sender.",
        failing=_use("a0.h0 -> input"),
        passing=_use("input -> a0.h0"),
    ),
    Page(
        code="PD205",
        name="node-out-of-range",
        summary="A layer, head or mark that this model does not have.",
        why="Layers and heads count from 0; a range includes both ends.",
        repair="Stay below the numbers that `pathdsl explain` or the message gives.",
        failing=_use("through(a4.h0)"),
        passing=_use("through(a3.h3)"),
    ),
    Page(
        code="PD208",
        name="not-a-node",
        summary="A residual mark or a name stands where a node is wanted.",
        why="`r5` is no node but a mark on the edge that crosses the entry of layer 5; an arrow "
        "leads into it and another one out of it.",
        repair="Write `A -> r5 -> B` or `through(r5)`.",
        failing=_use("through({r1, a1.h0})"),
        passing=_use("through(r1) | through(a1.h0)"),
    ),
    Page(
        code="PD209",
        name="empty-path-set",
        summary="No path of the model is in this set.",
        why="A run over no path would be the plain run under another name, and a claim about it "
        "would say nothing about the hypothesis. `none` says it where it is meant.",
        repair="Follow the message to the first step that no path can take.",
        failing=_use("within(a0.h0) & through(a1.h0)"),
        passing=_use("within(a0.h0, a1.h0) & through(a1.h0)"),
    ),
    Page(
        code="PD210",
        name="too-many-states",
        summary="The automaton of a path set passes `--max-states`.",
        why="Cost grows with the states. Counting a section in front of a node that may itself "
        "stand inside the section doubles them with every repetition; the set is never "
        "approximated.",
        repair="Use `*` in place of a count, name the layers of the section, or raise the bound.",
        shown_by="tests/graph/test_check.py::test_too_many_states_names_the_step",
    ),
    Page(
        code="PD211",
        name="path-too-long",
        summary="A path expression spells out too many nodes and edges, or too many copies.",
        why="Names are filled in where they stand, so that paths built of paths grow very fast; "
        "the size is bounded before anything is built.",
        repair="Name sets of nodes with `group`, repeat less, or split the hypothesis.",
        shown_by="tests/graph/test_check.py::test_endless_names_are_refused",
    ),
    Page(
        code="PD212",
        name="neurons-behind-a-norm",
        summary="A neuron of a model whose MLPs write through a norm is named.",
        why="In Gemma 2, Gemma 3 and OLMo 2 a norm stands between the MLP and the residual stream. "
        "It rescales by what all neurons wrote together, so that no neuron writes anything of its "
        "own and the MLP is no sum of its neurons.",
        repair="Name the whole MLP, or use a model without that norm.",
        failing=_in_gemma("through(m2.n17)"),
        passing=_in_gemma("through(m2)"),
    ),
    Page(
        code="PD256",
        name="part-of-a-mixture",
        summary="An expert of a mixture, or a neuron inside of one, is named.",
        why="In Mixtral, OLMoE or GPT-OSS a router gives each token a few of many experts, "
        "and weights what they write. Router and experts read the same stream, and the weights of "
        "all change with it, so the mixture is one node: `m5`. What an expert does alone is asked "
        "with `routing = frozen`, which holds experts and weights, against `recompute`.",
        repair="Name the whole MLP.",
        failing=_use("through(m2.e3)"),
        passing=_use("through(m2)"),
    ),
    Page(
        code="PD257",
        name="nothing-to-route",
        summary="A task has `routing = frozen`, and its model has no mixture of experts.",
        why="Only a router chooses experts. On other models the field would say that something is "
        "held which is not there.",
        repair="Leave `routing` out.",
        failing=whole(HEAD.replace("}\n\nmetric", "  routing   = frozen\n}\n\nmetric")),
        passing=whole(HEAD),
    ),
    Page(
        code="PD213",
        name="relation-cannot-hold",
        summary="A relation contradicts the two positions.",
        why="`prev` asks for exactly one token between sender and head; from `S1` to `S1` it is "
        "none.",
        repair="Leave out the relation or one of the positions.",
        failing=_use("a0.h0@S1 -[k: prev]-> a1.h0@S1"),
        passing=_use("a0.h0@S1 -[k: prev]-> a1.h0@S1+1"),
    ),
    Page(
        code="PD214",
        name="except-at-another-position",
        summary="`except` takes out a node at one position from a set that holds it elsewhere.",
        why="A node without `@` stands at every position, and a set cannot hold it at all but one.",
        repair="Leave the position out, or take the paths away: `P - through(a9.h6@END)`.",
        failing=_use("within({a0.h0, a1.h0, except a1.h0@END})"),
        passing=_use("within({a0.h0, a1.h0}) - through(a1.h0@END)"),
    ),
    Page(
        code="PD215",
        name="alternatives-multiply",
        summary="Counting a path set takes too many steps: its alternatives at positions multiply.",
        why="Whether two alternatives hold on one path depends on which positions fall together, "
        "and `&` and `-` of many keep every combination apart.",
        repair="Judge the parts as path sets of their own, or leave positions out.",
        failing=_use(_alternatives(24)),
        passing=_use(_alternatives(2)),
    ),
    Page(
        code="PD216",
        name="listed-edge-wanted",
        summary="`edges { … }` holds something else than direct edges.",
        why="A listed circuit says of each single edge whether it is in it. `~>` and repeated "
        "sections describe routes.",
        repair="Write each edge with `->`, or use a path instead.",
        failing=_use("edges { early -> logits }", "path early = a0.h0 -> a1.h0"),
        passing=_use("edges { input -> a0.h0 -> early -> logits }", "group early = { a1.h0 }"),
    ),
    Page(
        code="PD217",
        name="circuit-file-unusable",
        summary="A circuit file cannot be read, or was made for another model.",
        why="Every edge and node of the file is looked up in the model; one that is not there is "
        "never passed over. Only the JSON form of EAP-IG and MIB is read, since a pickle can run "
        "code.",
        repair="Export the circuit for this model with `to_json`.",
        failing=_use(
            'edges("found.json")', files={"found.json": f'{_CONFIG}"a9.h9->logits": {{}}}}}}'}
        ),
        passing=_use('edges("found.json")', files={"found.json": f"{_CONFIG}{_EDGES}}}}}"}),
    ),
    Page(
        code="PD218",
        name="no-random-control",
        summary="No random control of this path set exists.",
        why="Units are renamed to others of their kind, so a set that names every MLP, or more "
        "than half of the heads, leaves nothing to draw.",
        repair="Write `mlp` or `attn` for the nodes that are background, or rename some of its "
        "units alone: `random_like(P, over: {…})`. In a model of one layer draw edges: "
        "`random_edges(like: P, by: walks, seed: 0)`.",
        failing=_use("random_like(within(a0.h0, m[0..3]), seed: 0)"),
        passing=_use("random_like(within(a0.h0, mlp), seed: 0)"),
    ),
    Page(
        code="PD219",
        name="logits-ends-path",
        summary="Something follows `logits`.",
        why="Nothing reads `logits`; every path ends there.",
        repair="End the path at `logits`.",
        failing=_use("a0.h0 -> logits -> a1.h0"),
        passing=_use("a0.h0 -> a1.h0 -> logits"),
    ),
    Page(
        code="PD220",
        name="edge-without-effect",
        summary="A listed node or edge lies on no complete path.",
        why="A set of edges denotes the paths from `input` to `logits` that use only these. What "
        "lies on none of them changes nothing; other tools may count it all the same. In a file "
        "that was imported it is a warning.",
        repair="List an edge into the node and one out of it, or leave it out.",
        failing=_use("edges { input -> a0.h1 -> logits; a1.h0 -> a2.h0 }"),
        passing=_use("edges { input -> a0.h1 -> logits; input -> a1.h0 -> a2.h0 -> logits }"),
    ),
    Page(
        code="PD221",
        name="run-without-treated-value",
        summary="A run needs a treated value and neither it nor its task gives one.",
        why="What the treated paths carry changes the verdict, so there is no default.",
        repair="Add `treated = COLUMN`, a mean or `zero` to the task, or name it in the run.",
        shown_by="tests/plan/test_build.py",
    ),
    Page(
        code="PD222",
        name="no-edges-to-range-over",
        summary="`per: edge` over a path set that lists no edges.",
        why="A path expression has no edges of its own to take out one by one: most of them are "
        "background.",
        repair="Judge an `edges { … }` set, or say which edges with `over: edges { … }`.",
        shown_by="tests/graph/test_units.py::test_edges_need_a_listed_set",
    ),
)
