"""Attribution beside that of other libraries: do the scores agree, where do definitions differ?

    python -m benchmarks.attributed [CASE …] [--in PACKAGE=PYTHON …] [--rows 16] [--json FILE]

For each case, a model with pairs of prompts of one length, each library scores nodes or edges in a
process of its own (`benchmarks/attributed_peers.py`), and `pathdsl` the same units of the same
prompts in another. The two take turns, `--repeat` times; each is told as a multiple of W0, the
plain `transformers` forward that its own process measures, and the ratio is that of the two
medians. `--in` names the interpreter of an environment that has the library: TransformerLens 4 and
auto-circuit, which needs TransformerLens 2, cannot stand in one. A library that is not there is
skipped by name.

The scores agree where no two lie further apart than `AGREE` times the largest score. What has
another definition here is compared as well, so that the difference is a number, and named.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from .child import result_of
from .shapes import SHAPES, save
from .workloads import LENGTH, rows_text

__all__ = ["AGREE", "COMPARED", "Compared", "compare", "markdown", "run_child"]

AGREE = 1e-4
ROWS = 16
BUNDLED = "ioi-mini"
CASES = (BUNDLED, "small")
"""The bundled model on its task, and a random GPT-2 of a shape of the benchmarks on random ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One kind of scores: what a library is asked for, and what of `pathdsl` it is held against.

    `differs`: how its definition is another one; "" where it is the same.
    """

    peer: str
    what: str
    method: str
    of: Literal["nodes", "edges"]
    by_position: bool
    differs: str


COMPARED = (
    Compared(
        peer="transformer_lens", what="nodes", method="atp", of="nodes", by_position=True,
        differs="",
    ),
    Compared(
        peer="transformer_lens", what="edges", method="eap", of="edges", by_position=True,
        differs="",
    ),
    Compared(
        peer="auto_circuit", what="edges", method="eap", of="edges", by_position=False, differs=""
    ),
    Compared(
        peer="auto_circuit", what="edges by masks", method="eap", of="edges", by_position=False,
        differs="",
    ),
    Compared(
        peer="auto_circuit", what="edges by an integral over masks", method="eap_ig", of="edges",
        by_position=False,
        differs="all masks move from 0 to 1 together, and `eap_ig` moves the input",
    ),
)  # fmt: skip


# -------------------------------------------------------------------------------------------------
# One process
# -------------------------------------------------------------------------------------------------


def run_child(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same scores by `pathdsl`: written to `out`; times as plain data."""
    import torch

    from pathdsl.engine.attribution.attribute import attribute
    from pathdsl.score.kept.file import unit_name

    from .engine import Prepared, attribution_of

    path = Path(arguments["rows"]).with_suffix(".circuit")
    path.write_text(
        f'model m = folder("{arguments["model"]}")\n'
        f'task t {{\n  data = jsonl("{Path(arguments["rows"]).name}")\n  reference = prompt\n'
        "  treated = cf\n}\nmetric LD: logits = logit(io) - logit(s)\n"
        "let e: logits = mean(LD(reference))\n"
    )
    ready = Prepared(path, arguments["threads"])
    asked = replace(
        attribution_of(arguments["method"], arguments["of"]), by_position=arguments["by_position"]
    )
    ready.plain()
    plain_s = min(ready.plain() for _ in range(3))
    attribute(ready.loaded.adapter, ready.task, asked)
    started = time.perf_counter()
    scored = attribute(ready.loaded.adapter, ready.task, asked)
    seconds = time.perf_counter() - started
    means = scored.values.mean(axis=-1).reshape(len(scored.units), -1)
    named = zip(map(unit_name, scored.units), means.tolist(), strict=True)
    Path(arguments["out"]).write_text(json.dumps(dict(named)))
    return {
        "plain_s": plain_s,
        "seconds": seconds,
        "threads": torch.get_num_threads(),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


def case_files(name: str, rows: int, scratch: Path) -> tuple[Path, Path]:
    """The folder of a case's model, and its rows as token ids, all of one length."""
    path = scratch / f"{name}.jsonl"
    if name != BUNDLED:
        path.write_text(rows_text(SHAPES[name].d_vocab, rows, LENGTH))
        return save(name, scratch), path
    from pathdsl.models import bundled

    from .engine import Prepared

    whole = scratch / "whole.circuit"
    whole.write_text(
        f'model m = bundled("{BUNDLED}")\n'
        f"task t {{ data = mini_ioi(take: {20 * rows}, seed: 0); reference = prompt; "
        "treated = prompt_abc }\nmetric LD: logits = logit(io) - logit(s)\n"
        "let e: logits = mean(LD(reference))\n"
    )
    task = Prepared(whole).task
    lengths = task.prompt_lengths.tolist()
    usual = Counter(lengths).most_common(1)[0][0]
    chosen = [row for row, length in enumerate(lengths) if length == usual][:rows]
    reference, treated = (task.prompts[key].tolist() for key in ("prompt", "prompt_abc"))
    good, bad = ([ids[0] for ids in task.answers[key]] for key in ("io", "s"))
    path.write_text(
        "".join(
            json.dumps({"id": f"r{row}", "prompt": reference[row][:usual],
                        "cf": treated[row][:usual], "io": good[row], "s": bad[row]}) + "\n"
            for row in chosen
        )
    )  # fmt: skip
    return bundled(BUNDLED), path


# -------------------------------------------------------------------------------------------------
# Side by side
# -------------------------------------------------------------------------------------------------


def installed(package: str, python: str) -> bool:
    """Whether an interpreter finds a package; nothing of it is run."""
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0


def compare(
    cases: Sequence[str],
    pythons: Mapping[str, str],
    tell: Callable[[str], None],
    *,
    rows: int = ROWS,
    repeat: int = 3,
    threads: int | None = None,
) -> list[dict[str, Any]]:
    """Every comparison of each case by the libraries that are there, told line by line.

    `pythons`: interpreters by package. `difference` is the largest over all units and positions,
    `largest` the largest score of `pathdsl`, `agrees` whether the first is below `AGREE` times the
    second.
    """
    there = {one.peer: pythons.get(one.peer, sys.executable) for one in COMPARED}
    for peer, python in there.items():
        if not installed(peer, python):
            tell(f"{peer}: skipped, not installed (--in {peer}=PYTHON of an environment with it)")
    found = []
    with tempfile.TemporaryDirectory() as made:
        scratch = Path(made)
        for case in cases:
            model, path = case_files(case, rows, scratch)
            for one in COMPARED:
                if installed(one.peer, there[one.peer]):
                    found.append(
                        _side_by_side(one, case, model, path, there[one.peer], repeat, threads)
                    )
                    tell(_line(found[-1]))
    return found


def _side_by_side(
    one: Compared, case: str, model: Path, rows: Path, python: str, repeat: int,
    threads: int | None,
) -> dict[str, Any]:  # fmt: skip
    scratch = rows.parent
    arguments = {
        "model": str(model), "rows": str(rows), "threads": threads, "scratch": str(scratch),
        "method": one.method, "of": one.of, "by_position": one.by_position, "peer": one.peer,
        "what": one.what, "warm": True,
    }  # fmt: skip
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    ours, theirs = [], []
    mine, other = scratch / "ours.json", scratch / "theirs.json"
    for _ in range(repeat):
        ours.append(
            result_of("benchmarks.attributed", arguments | {"out": str(mine)}, "pathdsl", offline)
        )
        theirs.append(
            result_of(
                "benchmarks.attributed_peers", arguments | {"out": str(other)}, one.peer, offline,
                python,
            )
        )  # fmt: skip
    got, want = (json.loads(path.read_text()) for path in (other, mine))
    if missing := sorted({*got} - {*want}):
        raise SystemExit(f"{one.peer}: `{missing[0]}` is no unit of `{one.method}`")
    apart = max(abs(a - b) for key in got for a, b in zip(got[key], want[key], strict=True))
    largest = max(abs(value) for key in got for value in want[key])
    multiples = [
        statistics.median(run["seconds"] / run["plain_s"] for run in runs)
        for runs in (ours, theirs)
    ]
    return {
        "case": case, "peer": one.peer, "version": theirs[0]["version"], "what": one.what,
        "method": one.method, "units": len(got), "numbers": sum(map(len, got.values())),
        "difference": apart, "largest": largest, "agrees": apart <= AGREE * largest,
        "differs": one.differs, "ours": multiples[0], "theirs": multiples[1],
        "ours_gb": ours[0]["peak_gb"], "theirs_gb": theirs[0]["peak_gb"],
    }  # fmt: skip


def _line(row: Mapping[str, Any]) -> str:
    said = (
        "agrees"
        if row["agrees"]
        else "differs"
        + (" by definition" if row["differs"] else f", by more than {AGREE:g} of the largest")
    )
    return (
        f"{row['case']:<9}{row['peer']:<17}{row['what']:<32}{row['method']:<7}"
        f"{row['numbers']:>7,}{row['largest']:>9.2g}{row['difference']:>9.1e}"
        f"{row['ours']:>8.1f}{row['theirs']:>8.1f}  {said}"
    )


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The comparisons as a table."""
    lines = [
        "| model | by | scores | beside | numbers | largest score | largest difference | "
        "`pathdsl`, × W0 | theirs, × W0 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        apart = f"{row['difference']:.1e}" + ("" if row["agrees"] else ", another definition")
        lines.append(
            f"| `{row['case']}` | {row['peer']} {row['version']} | {row['what']} | "
            f"`{row['method']}` | {row['numbers']:,} | {row['largest']:.3g} | {apart} | "
            f"{row['ours']:.1f} | {row['theirs']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main(words: Sequence[str] | None = None) -> None:
    """Compare and print; exit 1 where scores of one definition differ."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.attributed", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("cases", nargs="*", help=f"{BUNDLED}, or a shape of GPT-2 (small, gpt2)")
    parser.add_argument("--in", action="append", default=[], metavar="PACKAGE=PYTHON", dest="into")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(words)
    shapes = [name for name, shape in SHAPES.items() if shape.config == "GPT2Config"]
    if unknown := [name for name in options.cases if name not in (BUNDLED, *shapes)]:
        parser.error(f"no case `{unknown[0]}`; there are: {BUNDLED}, {', '.join(shapes)}")
    pythons = dict(pair.split("=", 1) for pair in options.into if "=" in pair)
    known = {one.peer for one in COMPARED}
    if len(pythons) < len(options.into) or {*pythons} - known:
        parser.error(f"--in PACKAGE=PYTHON, of the packages {', '.join(sorted(known))}")
    if options.rows < 2 or options.repeat < 1:
        parser.error("--rows is at least 2, and --repeat at least 1")
    found = compare(
        options.cases or CASES, pythons, lambda line: print(line, flush=True),
        rows=options.rows, repeat=options.repeat, threads=options.threads,
    )  # fmt: skip
    if found:
        print(f"\n{markdown(found)}", end="")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if any(not row["agrees"] and not row["differs"] for row in found):
        raise SystemExit(1)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1].startswith("{"):
        print(json.dumps(run_child(json.loads(sys.argv[1]))))
    else:
        main()
