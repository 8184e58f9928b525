#!/bin/sh
# circuit-tracer 0.5.0 with transformers 4.57.3 (torch 2.13.0, CPU): two nodes of one graph file
# can have the same node_id, and a list of transcoders gets another scan in every process.
#
# The error of layer L at position P is written as node "0_L_P", the id that feature L of layer 0
# has at P. Where both survive pruning, `nodes` holds the id twice and `links` name it for both, so
# that edges of the error and edges of the feature can no longer be told apart; a reader that keeps
# nodes in a dict loses one. `feature` does tell the nodes apart (-1 for errors), the links do not.
# `scan`, which names the transcoders, is for a list of them "custom-" and Python's hash of their
# names, which is salted: two runs over the same list give two names. Read `transcoder_list`.
#
# Output seen (a graph of two layers and one token, in which feature 1 of layer 0 is active):
#   node 0_1_0 is written twice: cross layer transcoder (2), mlp reconstruction error (-1)
#   links from 0_1_0 to the logit: 2.0 3.0
#   two processes, one list of transcoders: the same scan? False
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==4.57.3 circuit-tracer==0.5.0
cd "$work"
cat > write.py <<'PY'
import sys

import torch
from circuit_tracer.attribution.targets import LogitTarget
from circuit_tracer.graph import Graph
from circuit_tracer.utils.create_graph_files import create_graph_files
from tokenizers import Tokenizer, models
from transformer_lens import HookedTransformerConfig
from transformers import PreTrainedTokenizerFast

words = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
PreTrainedTokenizerFast(tokenizer_object=words, unk_token="a").save_pretrained("words")
shape = dict(n_layers=2, d_model=4, n_ctx=4, d_head=2, n_heads=2, d_vocab=2, act_fn="relu")
# Columns and rows: the feature, the errors of layers 0 and 1, the token, the logit.
adjacency = torch.zeros(5, 5)
adjacency[4] = torch.tensor([2.0, 0.5, 3.0, 0.5, 0.0])
adjacency[0, 3] = adjacency[2, 3] = 1.0
graph = Graph(
    input_string="a",
    input_tokens=torch.tensor([0]),
    active_features=torch.tensor([[0, 0, 1]]),  # layer, position, feature
    adjacency_matrix=adjacency,
    cfg=HookedTransformerConfig(**shape, tokenizer_name="words"),
    selected_features=torch.tensor([0]),
    activation_values=torch.tensor([1.0]),
    logit_targets=[LogitTarget("b", 1)],
    logit_probabilities=torch.tensor([1.0]),
    scan=["layer0", "layer1"],
)
create_graph_files(graph, "g", sys.argv[1], node_threshold=1.0, edge_threshold=1.0)
PY
for run in one two; do
  HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 nice -n 10 "$work/venv/bin/python" -W ignore write.py "./$run"
done
"$work/venv/bin/python" - <<'PY'
import json

one, two = (json.load(open(f"{run}/g.json")) for run in ("one", "two"))
ids = [node["node_id"] for node in one["nodes"]]
twice = [node for node in one["nodes"] if ids.count(node["node_id"]) > 1]
kinds = ", ".join(f"{node['feature_type']} ({node['feature']})" for node in twice)
print(f"node {twice[0]['node_id']} is written twice: {kinds}")
logit = next(node["node_id"] for node in one["nodes"] if node["feature_type"] == "logit")
ends = {"source": "0_1_0", "target": logit}
weights = [link["weight"] for link in one["links"] if ends.items() <= link.items()]
print("links from 0_1_0 to the logit:", *weights)
scans = one["metadata"]["scan"], two["metadata"]["scan"]
print("two processes, one list of transcoders: the same scan?", scans[0] == scans[1])
assert [node["feature_type"] for node in twice] == [
    "cross layer transcoder",
    "mlp reconstruction error",
]
assert weights == [2.0, 3.0]
assert scans[0] != scans[1]
assert one["metadata"]["transcoder_list"] == two["metadata"]["transcoder_list"]
PY
