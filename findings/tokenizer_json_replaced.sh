#!/bin/sh
# transformers 5.23.0, tokenizers 0.23.x: AutoTokenizer does not use the whole of a tokenizer.json.
# Where the class is GPT2Tokenizer, Qwen2Tokenizer or GPTNeoXTokenizer (also where the folder names
# none and config.json says gpt2), only vocabulary and merges are taken from the file; normaliser
# and pre-tokenizer (for NeoX also the post-processor that puts BOS in front) are the class's own.
# The same folder read as PreTrainedTokenizerFast, or by the library `tokenizers`, gives the file's
# tokens. Nothing is said, no matter how much the ids differ. (For LlamaTokenizer a byte-level file
# is noticed and read whole.)
#
# A model trained with its own tokenizer, saved beside a GPT-2 config, is thus fed other tokens than
# it was trained on: here digits come as one token instead of two, the blank in front is missing,
# and capitals stay (and so do positions in a prompt: a circuit's END or S2 moves).
#
# Output seen, for "AB 12" (the file: lower case, digits apart, a blank and BOS in front):
#   tokenizers                       ['<bos>', 'Ġab', 'Ġ', 'Ġ1', 'Ġ', '2']
#   auto, PreTrainedTokenizerFast    ['<bos>', 'Ġab', 'Ġ', 'Ġ1', 'Ġ', '2']
#   auto, GPT2TokenizerFast          ['<bos>', 'A', 'B', 'Ġ', '12']
#   auto, none named, config gpt2    ['<bos>', 'A', 'B', 'Ġ', '12']
#   auto, Qwen2Tokenizer             ['<bos>', 'A', 'B', 'Ġ', '1', '2']
#   auto, GPTNeoXTokenizerFast       ['A', 'B', 'Ġ', '12']
#   messages: 0
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.23.0 tokenizers==0.23.3
cd "$work"
OMP_NUM_THREADS=1 nice -n 10 "$work/venv/bin/python" - 2> messages <<'PY'
import json
import os

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer

vocab = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
merges = [("1", "2"), ("Ġ", "a"), ("Ġa", "b"), ("Ġ", "1")]
for pair in merges:
    vocab["".join(pair)] = len(vocab)
vocab["<bos>"] = len(vocab)
file = Tokenizer(models.BPE(vocab, merges))
file.normalizer = normalizers.Lowercase()
file.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=True)]
)
file.decoder = decoders.ByteLevel()
file.add_special_tokens(["<bos>"])
file.post_processor = processors.TemplateProcessing(
    single="<bos> $A", special_tokens=[("<bos>", vocab["<bos>"])]
)


def read(named):
    """The tokens that AutoTokenizer makes where tokenizer_config.json names this class."""
    folder = named or "none"
    os.mkdir(folder)
    file.save(f"{folder}/tokenizer.json")
    said = {"bos_token": "<bos>", "eos_token": "<bos>", "unk_token": "<bos>"}
    if named:
        said["tokenizer_class"] = named
    with open(f"{folder}/tokenizer_config.json", "w") as out:
        json.dump(said, out)
    with open(f"{folder}/config.json", "w") as out:
        json.dump({"model_type": "gpt2"}, out)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer.convert_ids_to_tokens(tokenizer("AB 12").input_ids)


own = file.encode("AB 12").tokens
print(f"{'tokenizers':<32} {own}")
for named, right in (
    ("PreTrainedTokenizerFast", own),
    ("GPT2TokenizerFast", ["<bos>", "A", "B", "Ġ", "12"]),
    (None, ["<bos>", "A", "B", "Ġ", "12"]),
    ("Qwen2Tokenizer", ["<bos>", "A", "B", "Ġ", "1", "2"]),
    ("GPTNeoXTokenizerFast", ["A", "B", "Ġ", "12"]),
):
    got = read(named)
    print(f"{'auto, ' + (named or 'none named, config gpt2'):<32} {got}")
    assert got == right
assert own == ["<bos>", "Ġab", "Ġ", "Ġ1", "Ġ", "2"]
PY
echo "messages: $(grep -c '^.transformers' messages || true)"
! grep -q '^.transformers' messages
