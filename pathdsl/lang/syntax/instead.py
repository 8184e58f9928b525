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
        (
            r"^group\s+(\w+)[^={]*=\s*\0\[?([^\]\n{(#:+]*?)\s+(?:or|and|\+)\s+([\w.*]+)\]?\s*$",
            r"`group \1 = { \2, \3 }`",
        ),
        (r"^group\s+(\w+)[^={]*=\s*\0\[?([^\]\n{(#:]*?)\]?\s*$", r"`group \1 = { \2 }`"),
        (r"\0\[\s*([am]\d[^\]\n]*)\]", r"`{\1}`: a set of nodes stands in braces"),
        (r"-\[\s*\0[qkv]{2,3}\b", "`-[q,k,v]->`, which is `->`"),
        *((rf"-\[\s*\0{slot.upper()}\b", f"`-[{slot}]->`") for slot in "qkv"),
        (r"^path\b.*\b[hH](?:ead)?_?(\d+)\0\.(\d+)", rf"`a\1.h\2`: {_HEAD}"),
        (
            r"\b([amr]\d+)\0?((?:\.h\d+)?)\0?\[\s*(\w+)\s*\]",
            r"`\1\2@\3`: a position stands behind its node",
        ),
        (
            r"\bblocks\0?\.(\d+)\.hook_([qkv])_input\b",
            r"`-[\2]-> a\1`: an input stands on the arrow",
        ),
        (r"\0expected\s+(refuted|supported|undecided)\b", r"`expect \1`"),
        (r"^path\b.*\0,", "`P | Q`: the paths of either; a set of nodes is `{a9.h9, a9.h6}`"),
        (r"\0/[/*]", "`# …`: a comment"),
        (r"^(let|claim)\s+(\w+)\s*[=:]\s*for\s+\0(\w+)\s+in\b", r"`\1 \2 for \3 in attn = …`"),
        (r"^(let|claim)\s+(\w+)\s*\0\[\s*(\w+)\s*\]", r"`\1 \2 for \3 in attn = …`"),
        (
            r"^(let|claim)\s+(\w+)\s*[=:]\s*\0\[(.*?)\s+for\s+(\w+)\s+in\b",
            r"`\1 \2 for \4 in attn = \3`",
        ),
        (
            r"^let\s+(\w+)[^=]*=\s*(emerges\([^#\n]*\)|[^<>=#\n]*?)\s*\0([<>]=?)\s*([^#\n]*?)\s*$",
            r"`claim \1: \2 \3 \4 at 95% confidence`: what is compared is a claim",
        ),
        (r"^metric\b.*\0at\s+(\w+)", r"`@\1` behind what is measured, `logit(io) @\1`"),
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
            r"^intervene\b.*\{\s*\0(?:freeze|fix|hold)\b[\s(]*(?:ln\w*|\w*norms?|scales?)\b",
            "`layernorm = frozen` in the task: the scales of norms are those of the plain run",
        ),
        (
            r"^intervene\b.*\{\s*\0(?:freeze|fix|hold|keep)\b",
            "`treat(P)` treats the paths of P alone: what they do not go through is held as it is",
        ),
        (
            r"^intervene\b.*\{\s*\0(?:patch|replace|swap)\b[\s(]*(?P<node>[am]\d+(?:\.h\d+)?)",
            r"`treat(through(\g<node>))` is a run with it patched; a block puts a value there, "
            r"`set \g<node> = mean(prompt)`",
        ),
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
    "`let NAME = mean(LD(reference))`: the report has every `let`": "print show display plot",
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
