#!/bin/sh
# transformers 5.23.0: eager attention of Falcon adds ALiBi twice, sdpa adds it once. (falcon-rw-1b
# and falcon-rw-7b have `alibi: true`; the models with rotations are not concerned.) In eager mode
# the bias goes into the mask, as sdpa wants it, and is added to the scores once more. So the same
# weights give other logits by the implementation of attention, and code that asks for `eager` to
# see patterns studies a model that was not trained. Nothing is said.
#
# Output seen (logits up to 3.8; half: eager, with the tensor of ALiBi divided by 2):
#   rotary: eager - sdpa   0.0000
#   alibi:  eager - sdpa   0.2213
#   alibi:  half  - sdpa   0.0000
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.23.0
cd "$work"
OMP_NUM_THREADS=1 nice -n 10 "$work/venv/bin/python" - <<'PY'
import torch
from transformers import FalconConfig, FalconForCausalLM
from transformers.models.falcon import modeling_falcon


def logits(attention: str, alibi: bool) -> torch.Tensor:
    config = FalconConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=alibi,
        multi_query=False, parallel_attn=False, bias=True, initializer_range=0.2,
    )
    torch.manual_seed(0)
    model = FalconForCausalLM._from_config(config, attn_implementation=attention).double().eval()
    ids = torch.tensor([[3, 9, 27, 31, 14, 8, 22, 41]])
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


sdpa = logits("sdpa", True)
rotary = distance(logits("eager", False), logits("sdpa", False))
twice = distance(logits("eager", True), sdpa)
whole = modeling_falcon.build_alibi_tensor
modeling_falcon.build_alibi_tensor = lambda *given, **named: whole(*given, **named) / 2
half = distance(logits("eager", True), sdpa)
print(f"largest logit {float(sdpa.abs().max()):.1f}")
print(f"rotary: eager - sdpa   {rotary:.4f}")
print(f"alibi:  eager - sdpa   {twice:.4f}")
print(f"alibi:  half  - sdpa   {half:.4f}")
assert rotary < 1e-3 and half < 1e-3 < twice
PY
