"""How other tools write the nodes of a transformer, recognised only to print the correction.

TransformerLens hooks (`blocks.9.attn.hook_z`), papers (`9.9`, `L9H9`), edges of EAP-IG with a slot
in angle brackets (`a8.h6<v>`), `transformers` module names (`transformer.h.5.mlp`).

    >>> correction("blocks.5.hook_mlp_out"), correction("9.6")
    ('m5', 'a9.h6')
"""

from __future__ import annotations

import re

_NAMES: tuple[tuple[str, str], ...] = (
    (r"[Ll](\d+)\.?_?[Hh](\d+)", r"a\1.h\2"),
    (r"[aA](\d+)_?[hH](\d+)", r"a\1.h\2"),
    (r"[hH](?:ead)?_?(\d+)_(\d+)", r"a\1.h\2"),
    (r"(?:mlp|MLP|Mlp)_?(\d+)", r"m\1"),
    (r"[Ll](\d+)_?(?:mlp|MLP)", r"m\1"),
    (r"A(\d+)", r"a\1"),
    (r"M(\d+)", r"m\1"),
    (r"resid(?:_pre)?_?(\d+)", r"r\1"),
)
_DOTTED: tuple[tuple[str, str], ...] = (
    (r"[aAhHlL]?(\d+)\.[hH]?(\d+)", r"a\1.h\2"),
    (r"blocks\.(\d+)\.attn\.hook_(?:z|result|q|k|v|pattern|attn_scores)(?:\.|\[)(\d+)\]?",
     r"a\1.h\2"),
    (r"blocks\.(\d+)\.(?:attn(?:\.[a-z_]+)?|hook_attn_out)", r"a\1"),
    (r"blocks\.(\d+)\.(?:mlp(?:\.[a-z_]+)*|hook_mlp_(?:out|in))", r"m\1"),
    (r"blocks\.(\d+)\.hook_resid_pre", r"r\1"),
    (r"(?:transformer|gpt_neox|model)\.(?:h|layers)\.(\d+)\.(?:attn|attention|self_attn)", r"a\1"),
    (r"(?:transformer|gpt_neox|model)\.(?:h|layers)\.(\d+)\.mlp", r"m\1"),
    (r"mlp\.(\d+)", r"m\1"),
    (r"head\.(\d+)\.(\d+)", r"a\1.h\2"),
)  # fmt: skip

_RESERVED = re.compile(r"(f\d+\.(?:\d+|\*))|(r\d+\.mid)")


_ANY_NAME = re.compile("|".join(pattern for pattern, _ in _NAMES))
_ANYWHERE = re.compile(rf"(?<![A-Za-z0-9_])(?:{_ANY_NAME.pattern})(?![A-Za-z0-9_])")


def may_correct(text: str, start: int, end: int) -> bool:
    """False where no word of a stretch of text is one that `correction_of_name` knows."""
    return _ANYWHERE.search(text, start, end) is not None


def correction_of_name(word: str) -> str:
    """What a name that another tool gives a node is called here, or ""."""
    if not _ANY_NAME.fullmatch(word):
        return ""
    return _first(word, _NAMES)


def correction(word: str) -> str:
    """The same for a whole dotted word or number, `9.9` and the like."""
    right = _first(word, _DOTTED) or _first(word, _NAMES)
    return right if right != word else ""


def reserved(word: str) -> str:
    """What a spelling that is kept for a later version will mean, or ""."""
    match = _RESERVED.fullmatch(word)
    if not match:
        return ""
    return "a dictionary feature" if match[1] else "the residual stream between a head and an MLP"


def _first(word: str, table: tuple[tuple[str, str], ...]) -> str:
    for pattern, right in table:
        if match := re.fullmatch(pattern, word):
            return match.expand(right)
    return ""
