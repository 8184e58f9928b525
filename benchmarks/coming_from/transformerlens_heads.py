import json
import sys

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoTokenizer

folder, file = sys.argv[1:]
rows, words = [json.loads(line) for line in open(file)], AutoTokenizer.from_pretrained(folder)


def ids(column, **options):
    return words([row[column] for row in rows], return_tensors="pt", **options).input_ids


def difference(logits):
    return (logits[:, -1].gather(1, io) - logits[:, -1].gather(1, s)).mean().item()


def lost(name, change):
    return total - difference(model.run_with_hooks(clean, fwd_hooks=[(name, change)]))


clean, corrupt = ids("prompt"), ids("prompt_abc")
io, s = ids("io", add_special_tokens=False), ids("s", add_special_tokens=False)
torch.set_grad_enabled(False)
model = TransformerBridge.boot_transformers(folder, device="cpu")
model.set_use_split_qkv_input(True)
(logits, of_clean), (_, other) = model.run_with_cache(clean), model.run_with_cache(corrupt)
total = difference(logits)

for layer in range(4):  # activation patching: each head at the last token
    for head in range(4):

        def patch(z, hook, head=head):
            z[:, -1, head] = other[hook.name][:, -1, head]
            return z

        print(f"head[a{layer}.h{head}@END]", lost(f"blocks.{layer}.attn.hook_z", patch))

S2 = 11  # path patching: what a0.h0 writes at S2, into the value of a3.h2
z = "blocks.0.attn.hook_z"
change = (other[z] - of_clean[z])[:, S2, 0] @ model.W_O[0, 0]


def into_value(x, hook):
    x[:, S2, 2] += change
    return x


print("edge", lost("blocks.3.hook_v_input", into_value))
