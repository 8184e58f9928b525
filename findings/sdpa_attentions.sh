#!/bin/sh
# transformers 5.23.0 (torch 2.13.0, CPU): GPT-2 and OPT, under their default attention, answer
# `output_attentions=True` with an empty tuple and no word about it.
#
# The default, "sdpa", makes no patterns. GPT-NeoX and Llama return the empty tuple, too, but log a
# warning (once a process); Falcon makes the patterns by itself and returns them. In a config that is
# given to the class, the wish passes without any effect; set on a model's config afterwards it is a
# ValueError. Code that loops over `attentions` to score heads does nothing for GPT-2, and trying it
# on another family says little. `attn_implementation="eager"` returns the patterns everywhere.
#
# Output seen:
#   gpt2      sdpa: 0 of 2 layers, 0 warnings   by config: 0   eager: 2
#   opt       sdpa: 0 of 2 layers, 0 warnings   by config: 0   eager: 2
#   gpt_neox  sdpa: 0 of 2 layers, 1 warnings   by config: 0   eager: 2
#   llama     sdpa: 0 of 2 layers, 1 warnings   by config: 0   eager: 2
#   falcon    sdpa: 2 of 2 layers, 0 warnings   by config: 2   eager: 2
#   set later: ValueError
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.23.0
cd "$work"
OMP_NUM_THREADS=1 nice -n 10 "$work/venv/bin/python" - <<'PY'
import logging
import warnings

import torch
import transformers as t
from transformers.utils import logging as spoken

ends = dict(vocab_size=50, bos_token_id=0, eos_token_id=0)
wide = dict(num_hidden_layers=2, num_attention_heads=2, hidden_size=16, **ends)
configs = {
    "gpt2": lambda **k: t.GPT2Config(n_layer=2, n_head=2, n_embd=16, n_positions=32, **ends, **k),
    "opt": lambda **k: t.OPTConfig(
        ffn_dim=32, word_embed_proj_dim=16, max_position_embeddings=32, **wide, **k
    ),
    "gpt_neox": lambda **k: t.GPTNeoXConfig(intermediate_size=32, **wide, **k),
    "llama": lambda **k: t.LlamaConfig(intermediate_size=32, **wide, **k),
    "falcon": lambda **k: t.FalconConfig(**wide, **k),
}
heard = []
ear = logging.Handler()
ear.emit = lambda record: heard.append(record.getMessage())
spoken.add_handler(ear)
ids = torch.tensor([[3, 4, 5, 6]])


def layers(config, attention, **asked):
    """How many layers' patterns a fresh model returns."""
    model = t.AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    assert model.config._attn_implementation == (attention or "sdpa")
    with torch.no_grad():
        return len(model(ids, **asked).attentions)


for name, make in configs.items():
    heard.clear()
    spoken.get_logger("any").warning_once.__func__.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call = layers(make(), None, output_attentions=True)
    told = sum("attention" in text for text in [*heard, *(str(w.message) for w in caught)])
    config, eager = layers(make(output_attentions=True), None), layers(
        make(), "eager", output_attentions=True
    )
    print(
        f"{name:<9} sdpa: {call} of 2 layers, {told} warnings   by config: {config}   eager: {eager}"
    )
    assert eager == 2 and call == config == (2 if name == "falcon" else 0)
    assert told == (1 if name in ("gpt_neox", "llama") else 0)
model = t.AutoModelForCausalLM.from_config(configs["gpt2"]())
try:
    model.config.output_attentions = True
    later = "nothing"
except ValueError as error:
    later = type(error).__name__
print(f"set later: {later}")
assert later == "ValueError"
PY
