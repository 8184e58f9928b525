#!/bin/sh
# transformers 5.23.0 (torch 2.13.0, CPU): `tie_word_embeddings: true` does not mean that a loaded
# model is tied. Where a weight file holds both matrices with different values, the model keeps the
# two apart; `config.tie_word_embeddings` stays true, in memory and in what `save_pretrained` writes,
# and `output_loading_info` is empty. One logged warning tells.
#
# A logit lens or direct logit attribution that takes `wte` because the config says "tied" (or
# another reader of the same folder that ties as the config says) decodes with the wrong matrix.
# Ask the model: `lm_head.weight is wte.weight`.
#
# Output seen:
#   config says tied: True   one matrix: False   loading info: nothing
#   largest logit difference between reading with lm_head and with wte: 11.4
#   saved again: config says tied: True   lm_head in the file: True
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.23.0
cd "$work"
TRANSFORMERS_VERBOSITY=error OMP_NUM_THREADS=1 nice -n 10 "$work/venv/bin/python" - <<'PY'
import json

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

torch.manual_seed(0)
config = GPT2Config(
    vocab_size=50, n_layer=1, n_head=2, n_embd=16, n_positions=32, bos_token_id=0, eos_token_id=0
)
GPT2LMHeadModel(config).save_pretrained("both")
weights = load_file("both/model.safetensors")
weights["lm_head.weight"] = torch.randn(50, 16)
save_file(weights, "both/model.safetensors", metadata={"format": "pt"})
model, info = AutoModelForCausalLM.from_pretrained("both", output_loading_info=True)
one = model.lm_head.weight is model.transformer.wte.weight
said = {kind: found for kind, found in info.items() if found}
print(
    f"config says tied: {model.config.tie_word_embeddings}   one matrix: {one}   "
    f"loading info: {said or 'nothing'}"
)
with torch.no_grad():
    got = model.eval()(torch.tensor([[3, 4, 5]]), output_hidden_states=True)
    away = (got.logits - got.hidden_states[-1] @ model.transformer.wte.weight.T).abs().max()
print(f"largest logit difference between reading with lm_head and with wte: {away:.1f}")
model.save_pretrained("again")
with open("again/config.json") as file:
    still = json.load(file)["tie_word_embeddings"]
kept = "lm_head.weight" in load_file("again/model.safetensors")
print(f"saved again: config says tied: {still}   lm_head in the file: {kept}")
assert model.config.tie_word_embeddings and not one and not said and away > 1
assert torch.equal(model.lm_head.weight, weights["lm_head.weight"]) and still and kept
PY
