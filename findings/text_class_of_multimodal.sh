#!/bin/sh
# transformers 5.23.0: checkpoints of Gemma 3, Gemma 4, Mistral 3, Qwen 3.5 and Llama 4 hold a model
# of text and one of images, and each family has a class for the text alone. Given the folder of the
# whole, the same call means three things: the classes of Qwen 3.5 and Llama 4 find the weights of
# the text; those of Gemma 3, Gemma 4 and Mistral 3 find none and hand back a model of random
# weights, with a warning that lists names; and `AutoModelForCausalLM` makes the class of text for
# the former, the whole model for Gemma, and an error for Mistral 3. With `key_mapping` all of them load, and on text
# they are then the whole model bit for bit.
#
# Output seen (tiny models; `off`: largest difference of a logit from the whole model on text):
#   gemma3    Gemma3ForCausalLM     auto Gemma3ForConditionalGeneration    missing 29  off 2e+00  mapped 0
#   gemma4    Gemma4ForCausalLM     auto Gemma4ForConditionalGeneration    missing 31  off 2e+00  mapped 0
#   mistral3  MistralForCausalLM    auto refuses it                        missing 21  off 2e+00  mapped 0
#   qwen3_5   Qwen3_5ForCausalLM    auto Qwen3_5ForCausalLM                missing 0   off 0e+00  mapped 0
#   llama4    Llama4ForCausalLM     auto Llama4ForCausalLM                 missing 0   off 0e+00  mapped 0
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.23.0
cd "$work"
OMP_NUM_THREADS=1 nice -n 10 "$work/venv/bin/python" - <<'PY'
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
TEXT = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}
VIT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
       "num_attention_heads": 2, "image_size": 16, "patch_size": 4}
QWEN = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2,
        "out_hidden_size": 32, "patch_size": 4, "num_position_embeddings": 16}
# family -> class of its text, what its text has besides, what reads images, whether it is found
FAMILIES = {
    "gemma3": ("Gemma3ForCausalLM", {}, VIT, False),
    "gemma4": ("Gemma4ForCausalLM", {"hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0,
               "global_head_dim": 16}, {**VIT, "num_key_value_heads": 2, "head_dim": 8}, False),
    "mistral3": ("MistralForCausalLM", {}, {**VIT, "head_dim": 8}, False),
    "qwen3_5": ("Qwen3_5ForCausalLM", {"layer_types": ["full_attention"] * 2}, QWEN, True),
    "llama4": ("Llama4ForCausalLM", {"num_local_experts": 2, "intermediate_size_mlp": 24},
               {**VIT, "vision_output_dim": 16, "projector_input_dim": 16,
                "projector_output_dim": 16}, True),
}
NAMES = {r"^language_model\.": "", r"^model\.language_model\.": "model."}
IDS = torch.tensor([[3, 9, 27, 31, 14, 8, 22, 41]])
MASK = torch.ones_like(IDS)

for family, (name, text, images, found) in FAMILIES.items():
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, text_config={**TEXT, **text}, vision_config=images)
    whole = AutoModelForImageTextToText.from_config(config).eval()
    with torch.no_grad():
        for weight in whole.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    whole.save_pretrained(family)
    try:
        auto = type(AutoModelForCausalLM.from_pretrained(family)).__name__
    except ValueError as error:
        assert str(error).startswith("Unrecognized configuration class")
        auto = "refuses it"
    kind = getattr(transformers, name)

    def off(model: torch.nn.Module) -> float:
        with torch.no_grad():
            ours = model.eval()(input_ids=IDS, attention_mask=MASK).logits
            wanted = whole(input_ids=IDS, attention_mask=MASK).logits
        return float((ours - wanted).abs().max())

    alone, report = kind.from_pretrained(
        family, config=whole.config.text_config, output_loading_info=True
    )
    settings = whole.config.text_config
    settings.tie_word_embeddings = whole.config.tie_word_embeddings
    mapped = kind.from_pretrained(family, config=settings, key_mapping=NAMES)
    missing, apart, then = len(report["missing_keys"]), off(alone), off(mapped)
    print(f"{family:<9} {name:<21} auto {auto:<33} missing {missing:<3} off {apart:.0e}  "
          f"mapped {then:.0f}")
    assert then == 0.0
    assert (missing == 0 and apart == 0.0 and auto == name) if found else (
        missing > 10 and apart > 1e-3 and auto in ("refuses it", type(whole).__name__))
PY
