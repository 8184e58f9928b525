#!/bin/sh
# transformers 5.23.0 and 5.24.0 (torch 2.13.0, CPU): what a hook on a decoder block receives depends
# on the family and the release, a tensor or a tuple, and the usual `output[0]` fits both.
#
# On a tuple `output[0]` is the residual stream [prompt, position, d]. On a tensor it is the first
# prompt [position, d]: `output[0][:, -1] = 0`, meant for the last position of every prompt, sets
# the last residual coordinate of prompt 0 at every position, with no error, and leaves the other
# prompts as they are. Attention modules give a tuple in all of them, so that a helper which works on
# attention fails on blocks. Between 5.23.0 and 5.24.0 GPT-J went from tuples to a tensor and its
# rotary table from every `attn.embed_positions` to `transformer.rotary_emb`; the blocks' keyword
# argument `past_key_values` became `cache`.
#
# Output seen (T: tensor, (T,..): tuple; the last column: prompts that the edit changed, of 2):
#   5.23.0  gpt2      block T       attention (T,..)  changed 1
#   5.23.0  gpt_neo   block (T,..)  attention (T,..)  changed 2
#   5.23.0  gptj      block (T,..)  attention (T,..)  changed 2
#   5.23.0  gpt_neox  block T       attention (T,..)  changed 1
#   5.23.0  llama     block T       attention (T,..)  changed 1
#   5.23.0  bloom     block (T,..)  attention (T,..)  changed 2
#   5.23.0  gptj tables: transformer.h.0.attn.embed_positions, transformer.h.1.attn.embed_positions
#   5.23.0  llama block's argument: past_key_values
#   5.24.0  gpt2      block T       attention (T,..)  changed 1
#   5.24.0  gpt_neo   block (T,..)  attention (T,..)  changed 2
#   5.24.0  gptj      block T       attention (T,..)  changed 1
#   5.24.0  gpt_neox  block T       attention (T,..)  changed 1
#   5.24.0  llama     block T       attention (T,..)  changed 1
#   5.24.0  bloom     block (T,..)  attention (T,..)  changed 2
#   5.24.0  gptj tables: transformer.rotary_emb.embed_positions
#   5.24.0  llama block's argument: cache
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
cat > "$work/run.py" <<'PY'
import sys

import torch
import transformers as t

ends = dict(vocab_size=50, bos_token_id=0, eos_token_id=0)
short = dict(n_layer=2, n_head=2, n_embd=16, n_positions=32, **ends)
wide = dict(num_attention_heads=2, hidden_size=16, num_hidden_layers=2, **ends)
configs = {
    "gpt2": t.GPT2Config(**short),
    "gpt_neo": t.GPTNeoConfig(
        num_layers=2, num_heads=2, hidden_size=16, attention_types=[[["global"], 2]],
        max_position_embeddings=32, **ends,
    ),
    "gptj": t.GPTJConfig(rotary_dim=4, **short),
    "gpt_neox": t.GPTNeoXConfig(intermediate_size=32, **wide),
    "llama": t.LlamaConfig(intermediate_size=32, **wide),
    "bloom": t.BloomConfig(n_layer=2, n_head=2, hidden_size=16, **ends),
}
ids = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 10]])
lines = []
for name, config in configs.items():
    torch.manual_seed(0)
    model = t.AutoModelForCausalLM.from_config(config).eval()
    base = model.base_model
    block = (base.layers if hasattr(base, "layers") else base.h)[0]
    attention = next(m for n, m in block.named_children() if n in (
        "attn", "attention", "self_attn", "self_attention"))
    seen = {}
    block.register_forward_hook(lambda m, a, out: seen.update(block=out))
    attention.register_forward_hook(lambda m, a, out: seen.update(attention=out))
    with torch.no_grad():
        plain = model(ids).logits
        kinds = {k: "T" if torch.is_tensor(v) else "(T,..)" for k, v in seen.items()}

        def edit(module, args, output):
            output[0][:, -1] = 0
            return output

        block.register_forward_hook(edit)
        moved = (model(ids).logits - plain).abs().flatten(1).amax(1) > 1e-6
    lines.append(
        f"{t.__version__}  {name:<9} block {kinds['block']:<7} "
        f"attention {kinds['attention']:<7} changed {int(moved.sum())}"
    )
    if name == "gptj":
        places = [n for n, _ in model.named_buffers()]
    if name == "llama":
        args = {}
        block.register_forward_pre_hook(lambda m, a, k: args.update(k), with_kwargs=True)
        model(ids)
        cache = sorted({"cache", "past_key_values"} & set(args))
lines.append(f"{t.__version__}  gptj tables: {', '.join(places)}")
lines.append(f"{t.__version__}  llama block's argument: {', '.join(cache)}")
print("\n".join(lines))
want = [line.strip("# \n") for line in open(sys.argv[1]) if line.startswith("#   5.2")]
assert lines == [line for line in want if line.startswith(t.__version__)]
PY
cp "$0" "$work/stated"
cd "$work"
for version in 5.23.0 5.24.0; do
  "$work/venv/bin/pip" install -q torch==2.13.0 "transformers==$version"
  TRANSFORMERS_VERBOSITY=error OMP_NUM_THREADS=1 nice -n 10 "$work/venv/bin/python" run.py stated
done
