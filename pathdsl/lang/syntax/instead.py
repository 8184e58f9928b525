r"""What a person would write in the place of a slip that no rule of `faults` names.

Each is a pattern over a statement's text with `\0` where the parser stopped, and the repair, which
may take up what was written.

>>> instead("path p = (9, 9) -> logits", 10)
'`a9.h9`: a head is named by its layer and its number'
>>> begun("import", 'import "ioi.circuit"')
'`use "FILE.circuit"`'
"""

from __future__ import annotations

import re

__all__ = ["begun", "instead"]

_HEAD = "a head is named by its layer and its number"
_REST = "all paths but those of P"
_ZERO = r"`scale \g<node> = 0`; a mean is put there by `set \g<node> = mean(prompt)`"

_INSTEAD = tuple(
    (re.compile(pattern), repair)
    for pattern, repair in (
        (r"\((?:\s*\0)?\s*\0?(\d+)\s*,\s*(\d+)\s*\)", rf"`a\1.h\2`: {_HEAD}"),
        (r"^(?:path|let|claim)\b.*\bnot\s+\0", f"`full - P`: {_REST}"),
        (r"^(?:path|let|claim)\b.*[=(|&]\s*\0[~!](?!>)", f"`full - P`: {_REST}"),
        (r"\0\\", "`P - Q`: the paths of P that are not in Q"),
        (r"^path\b.*\0\+", "`P | Q`: the paths of either"),
        (r"^group\s+(\w+)[^={]*=\s*\0\[?([^\]\n{(#]*?)\]?\s*$", r"`group \1 = { \2 }`"),
        (r"\0\[\s*([am]\d[^\]\n]*)\]", r"`{\1}`: a set of nodes stands in braces"),
        (r"-\[\s*\0[qkv]{2,3}\b", "`-[q,k,v]->`, which is `->`"),
        (r"^path\s+(\w+)\s*\0:", r"`path \1 = …`"),
        (r"^circuit\s+(\w+)\s*\0=", r"`path \1 = …`: `circuit` is the head of a file"),
        (r"\0\.(mean|abs|sum|max|min)\b", r"`\1(…)`: it stands before what it is taken of"),
        (r"\b(faithfulness|effect|completeness|minimality)\(\s*\0\)", r"`\1(P)`"),
        (
            r"(\w+)\(\s*(reference|treated)\s*\0-\s*(reference|treated)\b",
            r"`\1(\2) - \1(\3)`: a metric reads one run",
        ),
        (r"\0(?:with|\()\s*([\d.]+%?)\s*confidence", r"`at \1 confidence`"),
        (r"^claim\b.*\bat\s+([\d.]+%)\s*\0", r"`at \1 confidence`"),
        (r"\bin\s+\0(\d+)\.\.(\d+)", r"`a[\1..\2]` are heads of layers, `m[\1..\2]` MLPs"),
        (
            r"^intervene\b.*\{\s*\0?(?:ablate|zero|zero_ablate|mean_ablate|knock_?out|remove)\b"
            r"[\s(]*\0?(?P<node>[am]\d+(?:\.h\d+)?)",
            _ZERO,
        ),
        (r"^intervene\b.*\{\s*\0(?P<node>[am]\d+(?:\.h\d+)?)\s*=", _ZERO),
        (
            r"^model\s+(\w+)\s*=\s*\0?[\"']?([\w./-]+)[\"']?\s*\0?$",
            r'`model \1 = hf("\2", revision: "…")`',
        ),
        (
            r"\b(csv|jsonl|edges|folder|bundled)\(\s*([\w/-]+)\0(\.[\w.]+)",
            r'`\1("\2\3")`: the name of a file stands in quotes',
        ),
        (r"^task\b.*\0,", "fields stand on lines of their own, or have `;` between them"),
        (
            r"\battention\(([^,()]+),\s*(\w+)\s*\0,\s*(\w+)",
            r"`attention(\1, \2 -> \3)`: from a query to a key",
        ),
    )
)

_BEGUN = {
    '`use "FILE.circuit"`': "import include from load require",
    "`group NAME = { a9.h9, a9.h6 }`": "node nodes head heads component components",
    "`let x for h in attn = effect(through(h))`": "for foreach",
    "`let NAME = …` is a number, `path NAME = …` a path set": "def define var const set name",
    "`path NAME = edges { a5.h5 -> a9.h9 }`": "edge edges",
    '`hypothesis = NAME` in the block `circuit NAME "…" { … }`': "hypothesis",
    "`claim NAME: faithfulness(P) >= 80% at 95% confidence`": "assert test expect",
    "`data = …` in a block `task NAME { … }`": "data dataset prompts",
    "`let x = effect(through(a9.h9))`": "patch ablate knockout",
}


def instead(statement: str, at: int) -> str:
    """The repair for a statement that stops being one at `at`, "" where none is known."""
    text = f"{statement[:at]}\0{statement[at:]}".strip()
    for pattern, repair in _INSTEAD:
        if match := pattern.search(text):
            return match.expand(repair)
    return ""


def begun(word: str, line: str) -> str:
    """The repair for a statement that begins with no keyword, "" where none is known."""
    for repair, words in _BEGUN.items():
        if word in words.split():
            return repair
    if re.match(r"[A-Za-z_]\w*\s*=(?!=)", line):
        return f"`path {word} = …` for paths, `let {word} = …` for a number"
    return ""
