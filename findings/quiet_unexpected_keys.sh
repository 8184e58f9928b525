#!/bin/sh
# transformers 5.23.0 (torch 2.13.0, CPU): a weight file may hold tensors that the model never
# uses, and `output_loading_info` says nothing about them.
#
# GPT-2 lists "attn.bias" and GPT-NeoX "attention.bias" among the names to keep quiet about, meant
# for the causal masks that old files hold. They are searched for anywhere in a name, as regular
# expressions whose dot is any character. So trained weights of a changed architecture (a gate, a
# learned bias) are dropped without a report, while a name without that text is reported.
#
# Output seen:
#   GPT2LMHeadModel
#     reported: ['transformer.h.0.head_gate.weight']
#     dropped, not reported: ['transformer.h.0.attn.bias_k', 'transformer.h.0.attn_bias_gate.weight']
#   GPTNeoXForCausalLM
#     reported: ['gpt_neox.layers.0.head_gate.weight']
#     dropped, not reported: ['gpt_neox.layers.0.attention.bias_k', 'gpt_neox.layers.0.attention_bias_gate.weight']
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.23.0
cd "$work"
TRANSFORMERS_VERBOSITY=error OMP_NUM_THREADS=1 nice -n 10 "$work/venv/bin/python" - <<'PY'
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

ends = dict(vocab_size=50, bos_token_id=0, eos_token_id=0)
gpt2 = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=16, n_positions=32, **ends))
neox = GPTNeoXForCausalLM(
    GPTNeoXConfig(
        num_hidden_layers=1, num_attention_heads=2, hidden_size=16, intermediate_size=32, **ends
    )
)
for model, block, attention in (
    (gpt2, "transformer.h.0.", "attn"),
    (neox, "gpt_neox.layers.0.", "attention"),
):
    name = type(model).__name__
    model.save_pretrained(name)
    weights = load_file(f"{name}/model.safetensors")
    extra = {
        block + attention + ".bias_k",
        block + attention + "_bias_gate.weight",
        block + "head_gate.weight",
    }
    weights.update({key: torch.randn(16) for key in extra})
    save_file(weights, f"{name}/model.safetensors", metadata={"format": "pt"})
    loaded, info = type(model).from_pretrained(name, output_loading_info=True)
    unused = extra - set(loaded.state_dict())
    reported = set(info["unexpected_keys"])
    print(name)
    print("  reported:", sorted(reported))
    print("  dropped, not reported:", sorted(unused - reported))
    assert unused == extra
    assert reported == {block + "head_gate.weight"}
PY
