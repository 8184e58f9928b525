#!/bin/sh
# transformers 5.23.0: a tokenizer made from its files by the names that were
# right until version 4, `vocab_file=` and `merges_file=`, is empty, and says nothing.
#
# In version 5 the same files are `vocab=` and `merges=`, also by place. The old names still pass
# and are kept in `init_kwargs`; the tokenizer has its special tokens and no other word, so that
# every text becomes no token at all, or special tokens alone. With padding to a fixed length a run
# over such prompts ends without an error: all prompts are equal and every effect is 0.
#
# Output seen:
#   GPT2Tokenizer     vocab_file=: 1 word, no tokens   vocab=: 274 words, the | Ġcat | Ġsat
#   RobertaTokenizer  vocab_file=: 5 words, no tokens   vocab=: 278 words, the | Ġcat | Ġsat
#   Qwen2Tokenizer    vocab_file=: 1 word, no tokens   vocab=: 274 words, the | Ġcat | Ġsat
#   GPTNeoXTokenizer  vocab_file=: 2 words, no tokens   vocab=: 275 words, the | Ġcat | Ġsat
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q transformers==5.23.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import GPT2Tokenizer, GPTNeoXTokenizer, Qwen2Tokenizer, RobertaTokenizer

said = []
logging.getLogger("transformers").addHandler(type("Kept", (logging.Handler,), {
    "emit": lambda self, record: said.append(record.getMessage())})())
base = Tokenizer(models.BPE())
base.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
trainer = trainers.BpeTrainer(
    vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
)
base.train_from_iterator(["the cat sat on the mat with the hat"] * 50, trainer)
vocab, merges = base.model.save(".")
right = base.encode("the cat sat").tokens
for kind in (GPT2Tokenizer, RobertaTokenizer, Qwen2Tokenizer, GPTNeoXTokenizer):
    old = kind(vocab_file=vocab, merges_file=merges)
    new = kind(vocab=vocab, merges=merges)
    tokens = old.tokenize("the cat sat")
    count = f"{len(old)} word{'s' if len(old) > 1 else ''}"
    print(f"{kind.__name__:<17} vocab_file=: {count}, {' | '.join(tokens) or 'no tokens':<11} "
          f"vocab=: {len(new)} words, {' | '.join(new.tokenize('the cat sat'))}")
    assert tokens == [] and len(old) <= 5
    assert new.tokenize("the cat sat") == right
assert not said, said
PY
