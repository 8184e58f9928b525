"""Whether the tokenizer that transformers makes is the one that the model's folder holds.

For some classes transformers 5 takes the vocabulary and merges from tokenizer.json and makes the
normaliser and the splitting into words itself (findings/tokenizer_json_replaced.sh). A model that
was trained with others would then read tokens that it never saw, without a word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["PROBES", "read_otherwise"]

PROBES = (
    " Then, Mary and John went to the park.", " AB cd 12 345,678.90 x1y2", " naïve Ünïcode CAFÉ ﬁ",
    " don't  two  blanks\tand tabs\n\nand lines", ' def f(x): return "a_b"[0] + {1: 2}',
)  # fmt: skip
"""Texts on which two tokenizers of one vocabulary differ if they split or normalise differently.

They begin with a blank, so that a prefix blank, which an option may set, changes nothing.
"""


def read_otherwise(tokenizer: Any, path: Path) -> str:
    """A text that the file tokenises otherwise than `tokenizer` does; "" where there is none.

    Also "" where the file cannot be read alone, which is not this rule's to judge.
    """
    from tokenizers import Tokenizer

    try:
        own = Tokenizer.from_file(str(path))
    except Exception:  # tokenizers raises nothing more special
        return ""
    for text in PROBES:
        found = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
        if found != own.encode(text, add_special_tokens=False).ids:
            return text
    return ""
