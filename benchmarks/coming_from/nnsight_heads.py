import json
import sys

import torch
from nnsight import NNsight
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, file = sys.argv[1:]
rows, words = [json.loads(line) for line in open(file)], AutoTokenizer.from_pretrained(folder)


def ids(column, **options):
    return words([row[column] for row in rows], return_tensors="pt", **options).input_ids


def difference(logits):
    return (logits[:, -1].gather(1, io) - logits[:, -1].gather(1, s)).mean().item()


clean, corrupt = ids("prompt"), ids("prompt_abc")
io, s = ids("io", add_special_tokens=False), ids("s", add_special_tokens=False)
torch.set_grad_enabled(False)
model = NNsight(AutoModelForCausalLM.from_pretrained(folder).eval())
written = model.transformer.h[3].attn.c_proj  # its input: the heads of layer 3, side by side
with model.trace(corrupt):
    other = written.input.save()
with model.trace(clean):
    total = model.output.logits.save()

for name, heads in (("h1", [1]), ("h2", [2]), ("both", [1, 2])):
    with model.trace(clean):
        z = written.input.clone()
        for head in heads:
            part = slice(32 * head, 32 * head + 32)
            z[:, -1, part] = other[:, -1, part]
        written.input = z
        logits = model.output.logits.save()
    print(f"lost[{name}]", difference(total) - difference(logits))
