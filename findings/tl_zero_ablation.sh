#!/bin/sh
# transformer-lens 4.3.0 with transformers 5.24.0 (torch 2.13.0, CPU): setting a head's `hook_z` to
# zero is another intervention after weight processing than before it.
#
# `enable_compatibility_mode()` folds value biases into the output bias. The model's log
# probabilities stay; but a head's z no longer holds its share of the bias, so zero keeps the bias
# where it used to remove it. The effect of the same head, by the same line of code, changes size
# and here its sign. MLPs (output bias included) and patching from another prompt, where the bias
# cancels, do not depend on it. (`no_processing=True` leaves the weights alone.) GPT-2's shape, all
# biases random.
#
# Output seen (change of a logit difference, prompt 0, layer 0, head 0):
#   unprocessed   clean -0.383   z = 0: +0.867   z of prompt 1: +1.208   MLP = 0: +0.665
#   processed     clean -0.383   z = 0: -0.151   z of prompt 1: +1.208   MLP = 0: +0.665
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.24.0 transformer-lens==4.3.0
cd "$work"
TRANSFORMERS_VERBOSITY=error OMP_NUM_THREADS=1 nice -n 10 "$work/venv/bin/python" -W ignore - <<'PY'
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import GPT2Config, GPT2LMHeadModel

torch.manual_seed(0)
config = GPT2Config(
    vocab_size=50, n_layer=2, n_head=2, n_embd=16, n_positions=32, initializer_range=0.5,
    bos_token_id=0, eos_token_id=0,
)
model = GPT2LMHeadModel(config).eval()
for name, weight in model.named_parameters():
    if name.endswith("bias"):
        weight.data.normal_()
model.save_pretrained("model")
ids = torch.tensor([[3, 4, 5, 6], [9, 8, 7, 1]])


def zero_head(value, hook):
    value = value.clone()
    value[:, :, 0] = 0
    return value


def other_head(value, hook):
    value = value.clone()
    value[:, :, 0] = value.flip(0)[:, :, 0]
    return value


def zero(value, hook):
    return torch.zeros_like(value)


rows = {}
for name in ("unprocessed", "processed"):
    bridge = TransformerBridge.boot_transformers("model", device="cpu")
    if name == "processed":
        bridge.enable_compatibility_mode(disable_warnings=True)

    def difference(logits):
        return (logits[0, -1, 3] - logits[0, -1, 5]).item()

    with torch.no_grad():
        clean = difference(bridge(ids))
        rows[name] = [clean] + [
            difference(bridge.run_with_hooks(ids, fwd_hooks=[(place, edit)])) - clean
            for place, edit in (
                ("blocks.0.attn.hook_z", zero_head),
                ("blocks.0.attn.hook_z", other_head),
                ("blocks.0.hook_mlp_out", zero),
            )
        ]
    print(
        "{:<13} clean {:+.3f}   z = 0: {:+.3f}   z of prompt 1: {:+.3f}   MLP = 0: {:+.3f}".format(
            name, *rows[name]
        )
    )
away = [abs(a - b) for a, b in zip(rows["unprocessed"], rows["processed"], strict=True)]
assert away[1] > 0.3 and max(away[0], away[2], away[3]) < 1e-3, away
PY
