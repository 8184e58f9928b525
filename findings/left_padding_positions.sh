#!/bin/sh
# transformers 5.23.0 (torch 2.13.0, CPU): the same batch, padded on the left with the right
# `attention_mask`, gives GPT-2 and GPT-Neo other logits than each prompt alone; OPT and the rotary
# families agree.
#
# A forward call of GPT-2 and GPT-Neo counts positions from the left end of the batch, padding
# included (only `generate` counts from the mask); OPT counts from the mask; rotary embeddings see
# only distances. So logit differences and patched runs of prompts of several lengths are wrong in
# two families, and a check on a model of another family does not show it. Passing `position_ids`
# counted from the mask mends it.
#
# Output seen (largest difference of logits to the prompt alone; two blanks of padding):
#   gpt2      4.2   with position_ids 0.0
#   gpt_neo   5.3   with position_ids 0.0
#   opt       0.0
#   llama     0.0
#   gpt_neox  0.0
#   gptj      0.0
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.23.0
cd "$work"
TRANSFORMERS_VERBOSITY=error OMP_NUM_THREADS=1 nice -n 10 "$work/venv/bin/python" - <<'PY'
import torch
import transformers as t

ends = dict(vocab_size=50, bos_token_id=0, eos_token_id=0, pad_token_id=0)
short = dict(n_layer=2, n_head=2, n_embd=16, n_positions=32, initializer_range=0.5, **ends)
wide = dict(num_attention_heads=2, hidden_size=16, num_hidden_layers=2, **ends)
configs = {
    "gpt2": t.GPT2Config(**short),
    "gpt_neo": t.GPTNeoConfig(
        num_layers=2, num_heads=2, hidden_size=16, attention_types=[[["global"], 2]],
        max_position_embeddings=32, initializer_range=0.5, **ends,
    ),
    "opt": t.OPTConfig(
        ffn_dim=32, word_embed_proj_dim=16, max_position_embeddings=32, init_std=0.5, **wide
    ),
    "llama": t.LlamaConfig(intermediate_size=32, initializer_range=0.5, **wide),
    "gpt_neox": t.GPTNeoXConfig(intermediate_size=32, initializer_range=0.5, **wide),
    "gptj": t.GPTJConfig(rotary_dim=4, **short),
}
ids = torch.tensor([[3, 4, 5, 6], [0, 0, 9, 10]])
mask = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]])
counted = (mask.cumsum(1) - 1).clamp(min=0)
for name, config in configs.items():
    torch.manual_seed(0)
    model = t.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        alone = model(ids[1:, 2:]).logits[0]
        padded = model(ids, attention_mask=mask).logits[1, 2:]
        away = (padded - alone).abs().max().item()
        line = f"{name:<9} {away:.1f}"
        if name in ("gpt2", "gpt_neo"):
            mended = model(ids, attention_mask=mask, position_ids=counted).logits[1, 2:]
            rest = (mended - alone).abs().max().item()
            line += f"   with position_ids {rest:.1f}"
            assert away > 0.5 and rest < 1e-4
        else:
            assert away < 1e-4
    print(line)
PY
