"""Write pronouns.jsonl: sentences about a girl or a boy, each beside its twin about the other.

    python tests/cases/stories260k/make_rows.py MODEL_FOLDER

Nothing is drawn at random and no row is dropped: the file is every pair of subjects of a split in
every sentence of that split. Subjects are paired by number of tokens, so that a prompt and its twin
are of equal length. No pair and no sentence stands in both splits.

How they were chosen, from the plain model and before any patching: of some fifty names, ones that
are followed by the right pronoun more likely than by the other after "NAME went to the park." (Kate,
Rose and Jen, say, are not: the model takes them for boys), as many as could be paired; and sentences
after which a pronoun is likely. Rows on which the model is wrong stay in.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from transformers import AutoTokenizer

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


def rows(tokenizer: object) -> list[dict[str, object]]:
    """All rows of both splits; `SUBJECT` is token indices, with `<s>` at 0."""
    written = []
    for split, pairs in PAIRS.items():
        for pair in pairs:
            lengths = {len(tokenizer(name)["input_ids"]) for name in pair}
            assert len(lengths) == 1, f"{pair} differ in number of tokens"
            end = lengths.pop()
            for number, (rest, she, he) in enumerate(SENTENCES[split]):
                for who, other, right, wrong in (
                    ("girl", "boy", she, he),
                    ("boy", "girl", he, she),
                ):
                    names = dict(zip(("girl", "boy"), pair, strict=True))
                    written.append(
                        {
                            "id": f"{split}-{'-'.join(pair).replace(' ', '_')}-{number}-{who}",
                            "prompt": names[who] + rest,
                            "twin": names[other] + rest,
                            "right": right,
                            "wrong": wrong,
                            "split": split,
                            "gender": who,
                            "pair": "/".join(pair),
                            "sentence": f"{split}-{number}",
                            "positions": {"SUBJECT": list(range(1, end))},
                        }
                    )
    return written


if __name__ == "__main__":
    found = rows(AutoTokenizer.from_pretrained(sys.argv[1]))
    target = Path(__file__).parent / "pronouns.jsonl"
    target.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
