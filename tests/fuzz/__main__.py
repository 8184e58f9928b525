"""A long run: `python -m tests.fuzz --seconds 600`, from the top folder of the project.

    --seed N        another sequence; case k of a boundary is the same for a seed on any machine
    --only NAME     one boundary of `tests.fuzz.boundaries`
    --keep FOLDER   where the folders of failures are left, beside what was said

Prints, for each boundary, how many cases there were, what they exited with, the longest, and every
failure with its seed; exits 1 where there was one. `tests/fuzz/test_fuzz.py` is the short run.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.boundaries import BOUNDARIES, fresh_copy, sound_folder
from tests.fuzz.judge import Answer, faults, run


def case(name: str, number: int, seed: int, sound: Path, folder: Path) -> tuple[Answer, list[str]]:
    """Case `number` of a boundary: the answer and what is wrong with it."""
    fresh_copy(sound, folder)
    words = BOUNDARIES[name](folder, random.Random(f"{seed}/{name}/{number}"))
    answer = run(words, folder)
    return answer, faults(answer)


def main() -> int:
    """Go round the boundaries until the time is over."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(BOUNDARIES), action="append")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    names = given.only or list(BOUNDARIES)
    codes: dict[str, Counter[int]] = {name: Counter() for name in names}
    longest = dict.fromkeys(names, 0.0)
    failures = Counter[str]()
    end, number = time.monotonic() + given.seconds, 0
    with tempfile.TemporaryDirectory() as there:
        sound, folder = Path(there) / "sound", Path(there) / "case"
        sound_folder(sound)
        while time.monotonic() < end:
            for name in names:
                answer, wrong = case(name, number, given.seed, sound, folder)
                codes[name][answer.code] += 1
                longest[name] = max(longest[name], answer.seconds)
                if wrong:
                    failures[name] += 1
                    print(f"{name} {number}: {' '.join(answer.words)}: {'; '.join(wrong)}")
                    if given.keep is not None:
                        place = given.keep / f"{name}-{number}"
                        shutil.copytree(folder, place, dirs_exist_ok=True)
                        (place / "said.txt").write_text(answer.said, errors="replace")
            number += 1
    print(f"{'boundary':<12}{'cases':>7}  {'exit codes':<36}{'longest':>8}  failures")
    for name in names:
        told = ", ".join(f"{code}: {n}" for code, n in sorted(codes[name].items()))
        cases = sum(codes[name].values())
        print(f"{name:<12}{cases:>7}  {told:<36}{longest[name]:>6.1f} s  {failures[name]}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
