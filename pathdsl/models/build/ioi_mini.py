"""Train `ioi-mini`, a small GPT-2 that identifies indirect objects (`python -m … FOLDER`).

The corpus is made of short stories drawn from a seed: sentences of the IOI pattern (the templates
of `pathdsl.tasks.ioi`) with pairs of names of the split `train`; the same templates with three
different names, where the recipient is either of the first two; and other sentences, in which all
hundred names stand, are remembered and are copied, but in which no name has to be avoided because
it was repeated. Cross-entropy on every token, AdamW, one seed, processor only.

Every draw is seeded and the algorithms are deterministic, but another machine, number of threads or
version of torch may sum in another order: the shipped weights are the authority, not this script.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from tokenizers import Regex, pre_tokenizers
from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from pathdsl.draws import Draws
from pathdsl.models.build.training import command, descend, optimizer_of, small_gpt2, word_level
from pathdsl.tasks import get
from pathdsl.tasks.base import find_spans
from pathdsl.tasks.ioi import NAMES, OBJECTS, PLACES, TEMPLATES, combinations, make_row
from pathdsl.tasks.mini_ioi import PATTERN_NAMES, pairs

SEED = 0
STEPS = 3000
BATCH = 96
PEAK_RATE = 2e-3
WARM_UP = 100
ALONE = 1200  # steps at the start in which a story is one sentence of the pattern
THREE_NAMES = 1  # in ten sentences of the pattern, those in which no name stands twice
IGNORED = -100  # the label that torch's cross-entropy leaves out

# {a}, {b}: any two of the hundred names; {o}, {u}: two objects; {p}, {q}: two places.
OTHER_SENTENCES = (
    "Today {a} found a {o} at the {p}. Later {a} took the {o} to the {q}.",
    "Yesterday {a} lost a {o} and {b} lost a {u}. Today {a} found the {o}.",
    "Yesterday {a} lost a {o} and {b} lost a {u}. Today {b} found the {u}.",
    "At the {p}, {a} saw a {o}. At the {q}, {b} saw a {u}. The {o} was for {a}.",
    "At the {p}, {a} saw a {o}. At the {q}, {b} saw a {u}. The {u} was for {b}.",
    "Everyone at the {p} likes {a}. Everyone at the {q} likes {b}.",
    "Today the {o} belongs to {a}. Everyone knows that the {o} belongs to {a}.",
    "In the morning {a} went to the {p}. In the evening {b} went to the {q}.",
    "The {o} of {a} is at the {p}. The {u} of {b} is at the {q}. The {o} of {a} is old.",
    "The {o} of {a} is at the {p}. The {u} of {b} is at the {q}. The {u} of {b} is old.",
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer; a word's leading space belongs to its token, as in GPT-2."""
    splitter = pre_tokenizers.Split(Regex(r" ?\w+| ?[^\w\s]|\s"), behavior="isolated")
    words = {".": None, ",": None}
    for name in (*NAMES, *PLACES, *OBJECTS):
        words[f" {name}"] = None
    for sentence in (*TEMPLATES, *OTHER_SENTENCES):
        bare = find_spans(sentence, dict.fromkeys("ab123oupq", "#") | {"place": "#", "object": "#"})
        for start in (bare[0], f" {bare[0]}"):  # a sentence may open a story or follow another
            for word, _ in splitter.pre_tokenize_str(start):
                if "#" not in word:
                    words[word] = None
    return word_level(splitter, words)


def story(index: int, seen_pairs: list[tuple[str, str]], *, alone: bool = False) -> str:
    """The story of that number; eight in ten hold one sentence of the pattern, `alone` all."""
    draws = Draws(SEED, "ioi-mini", "story", str(index))

    def other() -> str:
        a, b = draws.sample(NAMES, 2)
        (o, u), (p, q) = draws.sample(OBJECTS, 2), draws.sample(PLACES, 2)
        words = {"a": a, "b": b, "o": o, "u": u, "p": p, "q": q}
        return find_spans(draws.choice(OTHER_SENTENCES), words)[0]

    def pattern() -> str:
        template, order = draws.choice(combinations("both"))
        pair = draws.shuffled(draws.choice(seen_pairs))
        spare = draws.sample([name for name in PATTERN_NAMES if name not in pair], 3)
        row = make_row(draws, [*pair, *spare], template, order)
        if draws.below(10) < THREE_NAMES:
            return row["prompt_s2_other"] + draws.choice([row["io"], row["s"]]) + "."
        return row["prompt"] + row["io"] + "."

    kind = draws.below(10)
    if alone or kind < 5:
        return pattern()
    if kind < 7:
        return f"{other()} {pattern()}"
    return other() if kind < 9 else f"{pattern()} {other()}"


def batch(
    step: int, tokenizer: PreTrainedTokenizerFast, seen: list[tuple[str, str]]
) -> torch.Tensor:
    """Token ids (BATCH, pos) of one step, ended by <eos> and padded on the right."""
    alone = step < ALONE
    texts = [story(step * BATCH + i, seen, alone=alone) + "<eos>" for i in range(BATCH)]
    return tokenizer(texts, padding=True, return_tensors="pt").input_ids


def rate(step: int) -> float:
    """The learning rate: linear warm-up, then linear decay to zero."""
    return PEAK_RATE * min((step + 1) / WARM_UP, (STEPS - step) / (STEPS - WARM_UP))


@torch.no_grad()
def accuracy(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerBase, split: str, take: int = 1000
) -> dict[str, float]:
    """Top-1 accuracy over the vocabulary, share of rows with IO over S, mean logit difference."""
    rows = get("mini_ioi").rows(take=take, split=split, seed=1)
    hits, wins, gaps = 0, 0, 0.0
    for row in rows:
        ids = tokenizer(row["prompt"], return_tensors="pt").input_ids
        logits = model(ids).logits[0, -1]
        io, s = (tokenizer.convert_tokens_to_ids(row[column]) for column in ("io", "s"))
        hits += int(logits.argmax() == io)
        wins += int(logits[io] > logits[s])
        gaps += float(logits[io] - logits[s])
    return {"top1": hits / take, "io_over_s": wins / take, "logit_difference": gaps / take}


def train(folder: Path, *, report_every: int = 250) -> None:
    """Train from scratch and write the model and its tokenizer into the folder."""
    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    tokenizer = build_tokenizer()
    model = small_gpt2(len(tokenizer))
    optimizer = optimizer_of(model, PEAK_RATE)
    seen, started = pairs("train"), time.time()
    for step in range(STEPS):
        ids = batch(step, tokenizer, seen)
        labels = ids.masked_fill(ids == tokenizer.pad_token_id, IGNORED)
        loss = model(ids, labels=labels).loss
        descend(model, optimizer, loss, rate(step))
        if (step + 1) % report_every == 0:
            model.eval()
            shares = [accuracy(model, tokenizer, split, 100)["top1"] for split in ("test", "names")]
            model.train()
            spent = time.time() - started
            print(f"{step + 1:5d} loss {loss.item():.3f} top-1 {shares} {spent:.0f} s", flush=True)
    model.eval()
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)  # that of the batches may be set to pad
    for split in ("train", "test", "names"):
        print(split, accuracy(model, tokenizer, split))


if __name__ == "__main__":
    command(train, __doc__)
