#!/bin/sh
# transformers 5.23.0: GPT-OSS and Granite SWA give each head a sink, a constant beside the scores in
# the denominator of the softmax. With `output_attentions=True` GPT-OSS returns the weights that the
# values are added up by, less than one in all. Granite SWA returns weights that add up to one, and
# multiplies what the head mixes by a factor that is nowhere in the output. So the same picture of
# attention means two things, and weights times values are Granite SWA's head no more: with a large
# sink a head that writes nothing looks as busy as any.
#
# Output seen (sinks 0 and 3 in float64; `off`: weights times values beside what the head mixed,
# relative to the largest of it):
#   gpt_oss      sink 0  sums 0.419 to 0.920  off 0.0e+00
#   gpt_oss      sink 3  sums 0.035 to 0.365  off 0.0e+00
#   granite_swa  sink 0  sums 1.000 to 1.000  off 4.6e-01
#   granite_swa  sink 3  sums 1.000 to 1.000  off 3.2e+00
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.23.0
cd "$work"
OMP_NUM_THREADS=1 nice -n 10 "$work/venv/bin/python" - <<'PY'
import torch
from transformers import AutoModelForCausalLM, GptOssConfig, GraniteSWAConfig

HEADS, WIDTH = 4, 8
SIZES = {
    "vocab_size": 50, "hidden_size": HEADS * WIDTH, "intermediate_size": 32, "head_dim": WIDTH,
    "num_hidden_layers": 1, "num_attention_heads": HEADS, "num_key_value_heads": HEADS,
    "initializer_range": 0.1, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}
CONFIGS = {
    "gpt_oss": lambda: GptOssConfig(**SIZES, num_local_experts=2, num_experts_per_tok=1),
    "granite_swa": lambda: GraniteSWAConfig(**SIZES),
}
IDS = torch.tensor([[3, 9, 27, 31, 14, 8, 22, 41]])


def seen(family: str, sink: float) -> tuple[float, float, float]:
    """The least and the most that a row of weights adds up to, and how far off the head they are."""
    torch.manual_seed(0)
    config = CONFIGS[family]()
    config._experts_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").double().eval()
    attention = model.model.layers[0].self_attn
    held = {}
    attention.v_proj.register_forward_hook(lambda module, given, out: held.update(v=out))
    attention.o_proj.register_forward_pre_hook(lambda module, given: held.update(z=given[0]))
    with torch.no_grad():
        attention.sinks.fill_(sink)
        weights = model(input_ids=IDS, output_attentions=True, use_cache=False).attentions[0][0]
    values, mixed = (held[k][0].unflatten(-1, (HEADS, WIDTH)).transpose(0, 1) for k in "vz")
    off = (weights @ values - mixed).abs().max() / mixed.abs().max()
    sums = weights.sum(-1)
    return float(sums.min()), float(sums.max()), float(off)


for family in CONFIGS:
    for sink in (0.0, 3.0):
        least, most, off = seen(family, sink)
        print(f"{family:<12} sink {sink:.0f}  sums {least:.3f} to {most:.3f}  off {off:.1e}")
        if family == "gpt_oss":
            assert most < 0.99 and off < 1e-5
        else:
            assert least > 0.999 and off > 0.1
PY
