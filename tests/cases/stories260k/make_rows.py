"""Write pronouns.jsonl: sentences about a girl or a boy, each beside its twin about the other.

    python tests/cases/stories260k/make_rows.py MODEL_FOLDER

Nothing is drawn at random and no row is dropped: the file is every pair of subjects of a split in
every sentence of that split. Subjects are paired by number of tokens, so that a prompt and its twin
are of equal length. No pair and no sentence stands in both splits.

How they were chosen, from the plain model and before any patching: of some fifty names, ones that
are followed by the right pronoun more likely than by the other after "NAME went to the park." (the
model takes Kate, Rose and Jen for boys, so they are out), as many as could be paired; and sentences
after which a pronoun is likely. Rows on which the model is wrong stay in.

Another tokenizer may split the two names of a pair into unequally many tokens. Such pairs are left
out, and stderr says which.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

# (girl, boy), of equally many tokens
PAIRS = {
    "find": [
        ("Lily", "Tim"), ("Sue", "Max"), ("Mia", "Bob"), ("Lucy", "Jack"), ("Anna", "John"),
        ("The little girl", "The little boy"),
    ],
    "judge": [
        ("Sara", "Tommy"), ("Amy", "Jim"), ("Lila", "Spot"), ("Sally", "Mark"), ("Ella", "Peter"),
        ("Molly", "Billy"), ("Jane", "Joe"), ("Bella", "Fred"), ("The girl", "The boy"),
    ],
}  # fmt: skip
# what follows the subject, and the pronouns that may come next
SENTENCES = {
    "find": [
        (" was happy because", "she", "he"),
        (" went to the park.", "She", "He"),
        (" had a big red ball.", "She", "He"),
        (" liked to play.", "She", "He"),
        (" saw a cat and", "she", "he"),
    ],
    "judge": [
        (" was sad because", "she", "he"),
        (" was playing with a ball.", "She", "He"),
        (" was very happy.", "She", "He"),
        (" wanted to go home.", "She", "He"),
        (" found a toy and", "she", "he"),
        (" was so tired that", "she", "he"),
    ],
}


def rows(tokenizer: PreTrainedTokenizerBase) -> list[dict[str, object]]:
    """All rows of both splits; `SUBJECT` is the indices of the subject's tokens."""
    written: list[dict[str, object]] = []
    first = len(tokenizer("")["input_ids"])  # special tokens in front
    assert len(tokenizer("Lily")["input_ids"]) > first, "the folder has no tokenizer"
    for split, pairs in PAIRS.items():
        for pair in pairs:
            girl, boy = (len(tokenizer(name)["input_ids"]) for name in pair)
            if girl != boy:
                print(f"left out: {pair[0]} is {girl} tokens, {pair[1]} {boy}", file=sys.stderr)
                continue
            for number, (rest, she, he) in enumerate(SENTENCES[split]):
                answers = (one_token(tokenizer, she), one_token(tokenizer, he))
                for who, gender in enumerate(("girl", "boy")):
                    row = {
                        "id": f"{split}-{'-'.join(pair).replace(' ', '_')}-{number}-{gender}",
                        "prompt": pair[who] + rest,
                        "twin": pair[1 - who] + rest,
                        "right": answers[who],
                        "wrong": answers[1 - who],
                        "split": split,
                        "gender": gender,
                        "pair": "/".join(pair),
                        "sentence": f"{split}-{number}",
                        "positions": {"SUBJECT": list(range(first, girl))},
                    }
                    written.append(row)
    return written


def one_token(tokenizer: PreTrainedTokenizerBase, word: str) -> str:
    """The word as one token after a blank: ` She` for GPT-2, `She` where the blank is implied."""
    spaced = f" {word}"
    length = len(tokenizer(spaced, add_special_tokens=False)["input_ids"])
    return spaced if length == 1 else word


if __name__ == "__main__":
    found = rows(AutoTokenizer.from_pretrained(sys.argv[1]))
    target = Path(__file__).parent / "pronouns.jsonl"
    target.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
