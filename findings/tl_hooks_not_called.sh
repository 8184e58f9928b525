#!/bin/sh
# transformer-lens 4.3.0 with transformers 5.24.0 (torch 2.13.0, CPU): some hook points are listed,
# accept a hook and never call it.
#
# On GPT-2 and GPT-NeoX these are the joint `attn.qkv` in and out, on GPT-NeoX also the rotated
# queries and keys, `attn.hook_rot_q` and `attn.hook_rot_k`. A patch there leaves the logits bit for
# bit as they were, without a message; for other unused points (`hook_result`, `hook_q_input`, …)
# `run_with_hooks` raises a ValueError that says what to switch on. Count calls before believing
# that something has no effect.
#
# Output seen (layer 0; hooks that replace the value by noise):
#   gpt2      called: 17   refused: 5   never called: qkv.hook_in, qkv.hook_out
#   gpt_neox  called: 19   refused: 5   never called: hook_rot_k, hook_rot_q, qkv.hook_in, qkv.hook_out
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.24.0 transformer-lens==4.3.0
cd "$work"
TRANSFORMERS_VERBOSITY=error OMP_NUM_THREADS=1 nice -n 10 "$work/venv/bin/python" -W ignore - <<'PY'
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

torch.manual_seed(0)
ends = dict(vocab_size=50, bos_token_id=0, eos_token_id=0, initializer_range=0.5)
GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=16, n_positions=32, **ends)).save_pretrained(
    "gpt2"
)
GPTNeoXForCausalLM(
    GPTNeoXConfig(
        num_hidden_layers=1, num_attention_heads=2, hidden_size=16, intermediate_size=32, **ends
    )
).save_pretrained("gpt_neox")
ids = torch.tensor([[3, 4, 5, 6]])
joint = ["qkv.hook_in", "qkv.hook_out"]
for name, right in (("gpt2", joint), ("gpt_neox", ["hook_rot_k", "hook_rot_q", *joint])):
    bridge = TransformerBridge.boot_transformers(name, device="cpu")
    called, silent, refused = 0, [], 0
    with torch.no_grad():
        plain = bridge(ids)
        for place in sorted(bridge.hook_dict):
            if not place.startswith("blocks.0.attn."):
                continue
            calls = []

            def noise(value, hook):
                calls.append(hook)
                return torch.randn_like(value)

            try:
                out = bridge.run_with_hooks(ids, fwd_hooks=[(place, noise)])
            except ValueError:
                refused += 1
                continue
            if calls:
                called += 1
                continue
            assert torch.equal(out, plain)
            silent.append(place.removeprefix("blocks.0.attn."))
    print(f"{name:<9} called: {called}   refused: {refused}   never called: {', '.join(silent)}")
    assert silent == right
PY
