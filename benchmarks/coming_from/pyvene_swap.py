import json
import sys

import pyvene as pv
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, file = sys.argv[1:]
rows, words = [json.loads(line) for line in open(file)], AutoTokenizer.from_pretrained(folder)


def ids(column, **options):
    return words([row[column] for row in rows], return_tensors="pt", **options).input_ids


base, source = ids("prompt"), ids("prompt_swap")
answer = ids("s", add_special_tokens=False)[:, 0]  # the right answer to the source
torch.set_grad_enabled(False)
model = AutoModelForCausalLM.from_pretrained(folder).eval()
END = base.shape[1] - 1

for name, heads in (("h1", [1]), ("h2", [2]), ("both", [1, 2])):
    part = pv.RepresentationConfig(3, "head_attention_value_output", "h.pos", len(heads))
    config = pv.IntervenableConfig([part], intervention_types=pv.VanillaIntervention)
    where = [[[heads] * len(rows), [[END]] * len(rows)]]  # one intervention: heads, positions
    _, out = pv.IntervenableModel(config, model=model)(
        {"input_ids": base},
        [{"input_ids": source}],
        unit_locations={"sources->base": (where, where)},
    )
    last = out.logits[:, -1]
    print(f"right[{name}]", (last.argmax(-1) == answer).float().mean().item())
    print(f"sure[{name}]", last.log_softmax(-1).gather(1, answer[:, None]).mean().item())
