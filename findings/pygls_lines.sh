#!/bin/sh
# pygls 2.1.1 (lsprotocol 2025.0.0): a document's lines are those of Python's `str.splitlines`, which
# ends a line at U+2028, U+2029, U+0085, form feed and vertical tab as well. The Language Server
# Protocol ends lines at \n, \r\n and \r alone, and editors count so.
#
# A prompt copied from a PDF or a web page often holds a form feed or U+2028. Below it every
# position that the editor sends is taken for one further up, so that edits land elsewhere in the
# server's copy: the text that it analyses is no longer the one on the screen, without an error.
#
# Output seen:
#   lines by the protocol 2, by pygls 3
#   the editor replaces line 1 from 0 to 5, `claim`, by `let`
#   document then: 'prompt with a\u2028let\nclaim c'
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  pygls==2.1.1 lsprotocol==2025.0.0
cat > "$work/run.py" <<'PY'
from lsprotocol import types
from pygls.workspace import TextDocument

text = "prompt with a\u2028break\nclaim c"
document = TextDocument("file:///a.txt", source=text)
print(f"lines by the protocol {text.count(chr(10)) + 1}, by pygls {len(document.lines)}")
print("the editor replaces line 1 from 0 to 5, `claim`, by `let`")
edit = types.TextDocumentContentChangePartial(
    range=types.Range(
        start=types.Position(line=1, character=0), end=types.Position(line=1, character=5)
    ),
    text="let",
)
document.apply_change(edit)
print(f"document then: {ascii(document.source)}")
PY
"$work/venv/bin/python" "$work/run.py" | tee "$work/seen"
cat > "$work/wanted" <<'TXT'
lines by the protocol 2, by pygls 3
the editor replaces line 1 from 0 to 5, `claim`, by `let`
document then: 'prompt with a\u2028let\nclaim c'
TXT
diff "$work/wanted" "$work/seen"
