#!/bin/sh
# gim-explain 0.1.4 with transformers 5.23.0 (torch 2.13.0, CPU): no attention implementation of a
# transformers model gets all three rules of GIM, and nothing says so.
#
# The method freezes the statistics of norms, takes the softmax's gradient at temperature 2 and
# scales the gradients of queries, keys and values. On a transformers model the context manager
# finds nn.LayerNorm and nn.RMSNorm, and not the RMS norm that Llama and its relatives define; the
# temperature reaches attention that calls softmax itself, the scaling attention that calls
# scaled_dot_product_attention. So with "sdpa", the default, temperatures of 1 and 2 give the same
# gradient bit for bit, and on Llama norms are not frozen either: only the scaling is left. With
# "eager" it is the other way round on GPT-2; on Llama and GPT-NeoX, whose softmax passes a dtype,
# the temperature raises a TypeError, and without it nothing is left on Llama: the plain gradient.
# Compare each rule with the plain gradient before calling the scores GIM's.
#
# Output seen (does this rule alone change the gradient?):
#   gpt2     sdpa   norms: yes        temperature: no         scaling: yes
#   gpt2     eager  norms: yes        temperature: yes        scaling: no
#   gpt_neox sdpa   norms: yes        temperature: no         scaling: yes
#   gpt_neox eager  norms: yes        temperature: TypeError  scaling: no
#   llama    sdpa   norms: no         temperature: no         scaling: yes
#   llama    eager  norms: no         temperature: TypeError  scaling: no
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.23.0 gim-explain==0.1.4
cd "$work"
TRANSFORMERS_VERBOSITY=error OMP_NUM_THREADS=1 nice -n 10 "$work/venv/bin/python" -W ignore - <<'PY'
import torch
from gim.context import GIM
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

size = dict(
    vocab_size=50,
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    initializer_range=0.5,
    bos_token_id=0,
    eos_token_id=0,
)
small = dict(vocab_size=50, n_layer=2, n_head=2, n_embd=16, n_positions=32)
small |= dict(initializer_range=0.5, bos_token_id=0, eos_token_id=0)
makers = {
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**small)),
    "gpt_neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**size)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**size)),
}
off = dict(freeze_norm=False, softmax_temperature=None, q_scale=None, k_scale=None, v_scale=None)
rules = {
    "norms": dict(freeze_norm=True),
    "temperature": dict(softmax_temperature=2),
    "scaling": dict(q_scale=0.25, k_scale=0.25, v_scale=0.5),
}
ids = torch.tensor([[3, 4, 5, 6, 7]])


def gradient(model, **options):
    embedded = model.get_input_embeddings()(ids).detach().requires_grad_(True)
    with GIM(model, **{**off, **options}):
        logit = model(inputs_embeds=embedded, use_cache=False).logits[0, -1, 9]
        return torch.autograd.grad(logit, embedded)[0]


def says(model, options):
    try:
        changed = not torch.equal(gradient(model, **options), gradient(model))
    except TypeError:
        return "TypeError"
    return "yes" if changed else "no"


seen = {}
for name, make in makers.items():
    for attention in ("sdpa", "eager"):
        torch.manual_seed(0)
        model = make().double().eval()
        model.set_attn_implementation(attention)
        row = [says(model, options) for options in rules.values()]
        seen[name, attention] = row
        told = "  ".join(f"{rule}: {word:<9}" for rule, word in zip(rules, row))
        print(f"{name:<8} {attention:<6} {told}".rstrip())
assert seen == {
    ("gpt2", "sdpa"): ["yes", "no", "yes"],
    ("gpt2", "eager"): ["yes", "yes", "no"],
    ("gpt_neox", "sdpa"): ["yes", "no", "yes"],
    ("gpt_neox", "eager"): ["yes", "TypeError", "no"],
    ("llama", "sdpa"): ["no", "no", "yes"],
    ("llama", "eager"): ["no", "TypeError", "no"],
}
PY
