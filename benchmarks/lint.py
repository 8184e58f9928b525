"""How long long files take: the statements of one form, more and more of them.

    python -m benchmarks.lint                 seconds of processor time, this checkout
    python -m benchmarks.lint --sizes 1000    smaller files

The growth is what is measured: ten times the statements are to take ten times the time. Run it with
PYTHONPATH at another checkout for figures side by side.
"""

from __future__ import annotations

import argparse
import resource
import time

from pathdsl.lang.lint import lint_file

HEAD = """circuit long "Many statements" { language = 1 }
model mini = bundled("ioi-mini")
task ioi {
  data = mini_ioi(take: 200, seed: 0)
  reference = prompt
  treated = prompt_abc
}
path main = a0.h0 -> a3.h1 -> logits
metric LD: logits = logit(io) - logit(s)
"""
FORMS = {
    "claims": "claim c{i}: mean(LD(reference)) > 0\n",
    "intervals": "claim c{i}: faithfulness(main) >= 80% at 95% confidence\n",
    "no colon": "claim c{i} mean(LD(reference)) > 0\n",
    "other arrow": "path p{i} = a0.h0 => logits\n",
    "unknown name": "claim d{i}: nix > 0\n",
}
SIZES = (1_000, 10_000, 45_000)


def text_of(form: str, n_statements: int) -> str:
    """A file with that many statements of one form."""
    return HEAD + "".join(FORMS[form].format(i=i) for i in range(n_statements))


def seconds(form: str, n_statements: int) -> float:
    """Processor time of one lint, faults not printed."""
    text = text_of(form, n_statements)
    start = time.process_time()
    lint_file("long.circuit", text)
    return time.process_time() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lint", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    options = parser.parse_args()
    lint_file("long.circuit", HEAD)  # imports and the parser's tables
    print("| statements | " + " | ".join(f"{n:,}" for n in options.sizes) + " |")
    print("|---|" + "---|" * len(options.sizes))
    for form in FORMS:
        found = [f"{seconds(form, n):.2f} s" for n in options.sizes]
        print(f"| {form} | " + " | ".join(found) + " |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"\npeak {peak:.2f} GB")


if __name__ == "__main__":
    main()
