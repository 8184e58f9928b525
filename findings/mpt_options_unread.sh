#!/bin/sh
# transformers 5.23.0: nine options of MptConfig are documented, stored and saved, and nothing of the
# model is computed from them: `alibi` (off: it stays on), `alibi_bias_max`, `prefix_lm`, `qk_ln`,
# `attn_uses_sequence_id`, `attn_type`, and at the top `learned_pos_emb` (True by default, and no
# table of positions is made), `no_bias`, `logit_scale`. Each is an option of the models' own code
# that changes logits or adds weights. `softmax_scale` and `clip_qkv` are read.
#
# Output seen (distance of the logits from those of the default config, same seed):
#   parameters 14, with a bias, a norm of queries or a table of positions: []
#   not read  alibi=False 0.0  alibi_bias_max=2 0.0  prefix_lm=True 0.0  qk_ln=True 0.0 (and so on)
#   read      softmax_scale=0.01 1.2e-03  clip_qkv=0.001 2.5e-01
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.23.0
cd "$work"
OMP_NUM_THREADS=1 nice -n 10 "$work/venv/bin/python" - <<'PY'
import torch
from transformers import MptConfig, MptForCausalLM

SIZES = {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 16, "vocab_size": 50}
IDS = torch.tensor([[3, 9, 27, 31, 14, 8, 22, 41]])


def made(attn: dict[str, object], options: dict[str, object]) -> tuple[MptForCausalLM, torch.Tensor]:
    torch.manual_seed(0)
    model = MptForCausalLM(MptConfig(**SIZES, attn_config=attn, **options)).double().eval()
    with torch.no_grad():
        return model, model(input_ids=IDS, use_cache=False).logits


def distance(attn: dict[str, object], options: dict[str, object]) -> float:
    return float((made(attn, options)[1] - plain).abs().max())


def told(name: str, value: object, how_far: float) -> str:
    return f"{name}={value!r} {how_far:.1e}" if how_far else f"{name}={value!r} 0.0"


model, plain = made({}, {})
assert model.config.learned_pos_emb and model.config.attn_config.alibi
names = [name for name, _ in model.named_parameters()]
odd = [name for name in names if "bias" in name or "q_ln" in name or "wpe" in name]
print(f"parameters {len(names)}, with a bias, a norm of queries or a table of positions: {odd}")
inside = {
    "alibi": False, "alibi_bias_max": 2, "prefix_lm": True, "qk_ln": True,
    "attn_uses_sequence_id": True, "attn_type": "multiquery_attention",
}
outside = {"learned_pos_emb": False, "no_bias": False, "logit_scale": 0.1}
unread = {name: distance({name: value}, {}) for name, value in inside.items()}
unread |= {name: distance({}, {name: value}) for name, value in outside.items()}
read = {
    name: distance({name: value}, {})
    for name, value in {"softmax_scale": 0.01, "clip_qkv": 0.001}.items()
}
values = inside | outside | {"softmax_scale": 0.01, "clip_qkv": 0.001}
print("not read ", "  ".join(told(name, values[name], far) for name, far in unread.items()))
print("read     ", "  ".join(told(name, values[name], far) for name, far in read.items()))
assert not odd and not any(unread.values()) and all(read.values())
PY
