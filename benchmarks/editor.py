"""How long the language server takes at a keystroke, and for a whole look at a file.

    python -m benchmarks.editor                  on files of 100, 1,000 and 5,000 lines
    python -m benchmarks.editor --lines 1000     on one of this length

A keystroke is a character written into a claim in the middle of the file: reading the text,
parsing and checking what changed, and the faults of the whole file at their places now. Seconds of
processor time; the whole look runs beside the loop that reads keystrokes.
"""

from __future__ import annotations

import argparse
import statistics
import time

from pathdsl.editor.document import Document

HEAD = """circuit long "Many statements" {
  language = 1
  hypothesis = main
}

model mini = bundled("ioi-mini")

task ioi {
  data      = mini_ioi(take: 200, seed: 0)
  reference = prompt
  treated   = prompt_abc
  positions = [IO, S1, S2]
}

group s_copier @S2 = { a0.h0, a0.h2, a0.h3 }
path main = input@S2 ~> s_copier ~> logits
metric LD: logits = logit(io) - logit(s)
"""
SECTION = """
# section {i}
group gr{i} @END = {{ a2.h0, a2.h1, a3.h2 }}
path pa{i} = input@S2 (-> {{s_copier, mlp@S2}})* -[v]-> gr{i} (-> mlp)* -> logits
let ef{i} for h in gr{i}: logits = mean(LD(reference) - LD(treat(through(h))))
claim cn{i}: mean(LD(treat(pa{i}))) / mean(LD(reference)) <= 10% at 95% confidence
claim cf{i}: faithfulness(pa{i} | main, metric: LD) >= 85% at 95% confidence
claim ch{i} for h in gr{i}: ef{i}[h] > 0.1 at 95% confidence by holm()
"""
WRITTEN = "claim written: faithfulness(main, metric: LD) >= 85% at 95% confidence\n"


def text_of(n_lines: int) -> str:
    """A file of about that many lines."""
    n_sections = max(1, (n_lines - HEAD.count("\n")) // SECTION.count("\n"))
    return HEAD + "".join(SECTION.format(i=i) for i in range(n_sections))


def opened(text: str) -> tuple[Document, float, float]:
    """The document after its first whole look, and what opening and looking took."""
    start = time.process_time()
    document = Document("long.circuit", text, lambda path: None)
    at_once = time.process_time()
    document.seen(document.look())
    return document, at_once - start, time.process_time() - at_once


def keystrokes(document: Document, text: str) -> list[float]:
    """Seconds of each character that is written into the middle of a file."""
    at = text.index("\n# section", len(text) // 2) + 1
    taken = []
    for n in range(1, len(WRITTEN) + 1):
        changed = text[:at] + WRITTEN[:n] + text[at:]
        start = time.process_time()
        document.change(changed)
        taken.append(time.process_time() - start)
    return taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.editor", description=__doc__)
    parser.add_argument("--lines", type=int, nargs="*", default=(100, 1_000, 5_000))
    options = parser.parse_args()
    opened(text_of(20))  # imports and the parser's tables
    print("| lines | opened | whole look | keystroke, median | worst |")
    print("|---|---|---|---|---|")
    for n_lines in options.lines:
        text = text_of(n_lines)
        document, open_s, look_s = opened(text)
        taken = keystrokes(document, text)
        print(
            f"| {text.count(chr(10)):,} | {open_s:.2f} s | {look_s:.2f} s "
            f"| {1000 * statistics.median(taken):.1f} ms | {1000 * max(taken):.1f} ms |"
        )


if __name__ == "__main__":
    main()
