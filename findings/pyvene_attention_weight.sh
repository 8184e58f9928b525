#!/bin/sh
# pyvene 0.1.8 with transformers 5.23.0 (torch 2.13.0, CPU): an interchange intervention on GPT-2's
# `attention_weight` changes nothing, under eager and under sdpa attention, and says nothing.
#
# The component stands for the input of the module `attn.attn_dropout`. GPT-2 still has that module
# and no longer calls it (dropout is a function now), so the hook never runs: the intervened logits
# are the base logits, bit for bit, as if the attention pattern had no causal effect. The other
# components of the same layer act.
#
# Output seen (largest change of a logit):
#   eager  attention_weight 0.000   query_output 0.429   attention_output 2.509   mlp_output 2.336
#   sdpa   attention_weight 0.000   query_output 0.429   attention_output 2.509   mlp_output 2.336
#   calls of attn_dropout: 0
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.23.0 pyvene==0.1.8
cd "$work"
TRANSFORMERS_VERBOSITY=error OMP_NUM_THREADS=1 nice -n 10 "$work/venv/bin/python" -W ignore - <<'PY'
import pyvene as pv
import torch
from transformers import GPT2Config, GPT2LMHeadModel

config = GPT2Config(
    vocab_size=50, n_layer=2, n_head=2, n_embd=16, n_positions=32, initializer_range=0.5,
    bos_token_id=0, eos_token_id=0,
)
base = {"input_ids": torch.tensor([[3, 4, 5, 6]])}
source = {"input_ids": torch.tensor([[9, 8, 7, 1]])}
calls = []
for attention in ("eager", "sdpa"):
    torch.manual_seed(0)
    model = GPT2LMHeadModel._from_config(config, attn_implementation=attention).eval()
    model.transformer.h[0].attn.attn_dropout.register_forward_hook(lambda *a: calls.append(1))
    with torch.no_grad():
        plain = model(**base).logits
    moved = {}
    for name in ("attention_weight", "query_output", "attention_output", "mlp_output"):
        unit = "h" if name == "attention_weight" else "pos"
        patched = pv.IntervenableModel(
            pv.IntervenableConfig(
                [pv.RepresentationConfig(0, name, unit, 1)],
                intervention_types=pv.VanillaIntervention,
            ),
            model=model,
        )
        with torch.no_grad():
            _, out = patched(base, [source], unit_locations={"sources->base": 1})
        moved[name] = (out.logits - plain).abs().max().item()
    print(f"{attention:<6} " + "   ".join(f"{name} {size:.3f}" for name, size in moved.items()))
    assert moved.pop("attention_weight") == 0 and min(moved.values()) > 0.01
print(f"calls of attn_dropout: {len(calls)}")
assert not calls
PY
