"""What `lint` says of files of rows: what `check` will say, as far as it shows without a model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.prepare import vet_file
from pathdsl.checking.user_store import open_store
from pathdsl.engine.data.at_hand import MOST_BYTES
from pathdsl.errors import Diagnostic, Severity, errors_in

HEAD = """circuit own "Own rows" {{
  language = 1
}}

model mini = bundled("ioi-mini")

task own {{
  data = {data}
  reference = prompt
  treated = other
{more}}}

metric LD: logits = logit(io) - logit(s)
claim moved: mean(LD(treat(a0.h0 -> logits)) - LD(reference)) > 0 at 95% confidence
"""
PROMPTS = (
    "Then, Mary and John went to the park. John gave a book to",
    "Then, John and Mary went to the park. Mary gave a book to",
)
OTHERS = (
    "Then, Sarah and Paul went to the park. Simon gave a book to",
    "Then, Paul and Sarah went to the park. Simon gave a book to",
)
NAMES = (" Mary", " John")


def rows(*changes: dict[str, Any]) -> str:
    """JSON lines: a usual row for each change of it; None takes a field out."""
    lines = []
    for i, change in enumerate(changes):
        row = {
            "id": str(i), "prompt": PROMPTS[i % 2], "other": OTHERS[i % 2],
            "io": NAMES[i % 2], "s": NAMES[(i + 1) % 2], **change,
        }  # fmt: skip
        lines.append(json.dumps({k: v for k, v in row.items() if v is not None}) + "\n")
    return "".join(lines)


def write(
    folder: Path, text: str, more: str = "", data: str = 'jsonl("rows.jsonl")', name: str = ""
) -> str:
    (folder / (name or "rows.jsonl")).write_text(text)
    path = folder / "own.circuit"
    path.write_text(HEAD.format(data=data, more=more and f"  {more}\n"))
    return str(path)


def of_rows(found: list[Diagnostic]) -> list[Diagnostic]:
    return [one for one in found if one.code.startswith("PD3")]


def linted(path: str) -> list[Diagnostic]:
    return of_rows(vet_file(path)[1])


def checked(path: str) -> list[Diagnostic]:
    with open_store() as store:
        return of_rows([*check_file(path, CheckOptions(store=store)).diagnostics])


SHOWN: dict[str, tuple[str, str, str]] = {
    "PD322": (rows({}, {}) + '{"prompt": \n', "", ""),
    "PD324": ("\n", "", ""),
    "PD325": (rows({}, {}), "", 'jsonl("rows.jsonl", take: 3)'),
    "PD328": (rows({}, {"s": None}), "", ""),
    "PD329": (rows({}, {"io": 1.5}), "", ""),
    "PD330": (rows({}, {"prompt": ""}), "", ""),
    "PD332": (rows({}, {"io": 100_000}), "", ""),
    "PD335": (rows({}, {}), "positions = [S2]", ""),
    "PD339": (rows({}, {"id": "0"}), "", ""),
    "PD350": (rows({}, {"io": [8, 9]}), "", ""),
    "PD358": (rows({"other": PROMPTS[0]}, {"other": PROMPTS[1]}), "", ""),
    "PD360": (rows({"a": 1, "b": 1}, {"a": 2, "b": 1}), "cluster = [a, b]", ""),
    "PD363": (rows({"s": " Mary"}, {"s": " John"}), "", ""),
}


@pytest.mark.parametrize("code", SHOWN)
def test_what_check_refuses_lint_says(code: str, tmp_path: Path) -> None:
    text, more, data = SHOWN[code]
    path = write(tmp_path, text, more, data or 'jsonl("rows.jsonl")')
    said = linted(path)
    assert [one.code for one in said if one.severity is Severity.ERROR] == [code]
    assert all(one.span is not None for one in said)
    assert errors_in(said) == errors_in(checked(path))


UNREAD = {
    "PD333": rows({}, {"io": " Zanzibar"}),
    "PD334": rows({}, {"other": "Then, Paul went. Simon gave a book to"}),
}


@pytest.mark.parametrize("code", UNREAD)
def test_what_hangs_on_tokens_is_said_once_they_are_known(code: str, tmp_path: Path) -> None:
    path = write(tmp_path, UNREAD[code])
    assert linted(path) == []
    said = checked(path)
    assert [one.code for one in said] == [code]
    assert linted(path) == said


def test_a_text_that_nobody_asked_about_is_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path, UNREAD["PD333"])
    checked(path)
    write(tmp_path, rows({}, {"io": " Timbuktu"}))
    assert linted(path) == []
    write(tmp_path, rows({}, {}))
    assert linted(path) == []


def test_a_model_without_a_tokenizer_takes_ids(tmp_path: Path) -> None:
    path = Path(write(tmp_path, rows({}, {})))
    path.write_text(path.read_text().replace("ioi-mini", "induction-2l"))
    assert [one.code for one in linted(str(path))] == ["PD342"]


def test_equal_answers_in_some_rows_are_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path, rows({}, {"s": " John"}))
    (said,) = linted(path)
    assert (said.code, said.severity) == ("PD363", Severity.WARNING)
    assert said.notes == ("line 2 of `rows.jsonl`", "so on 1 of 2 rows")
    assert checked(path) == [said]


@pytest.mark.parametrize(
    ("metric", "code"),
    [
        ("logit(io) + logit(s)", None),
        ("logit(io) - prob(s)", None),
        ("logit(io) - logit(io)", None),  # PD527, of the check
        ("(logit(io)) - (logit(s))", "PD363"),
        ("logprob(io) - logprob(s)", "PD363"),
    ],
)
def test_only_a_difference_of_two_columns_is_a_contrast(
    metric: str, code: str | None, tmp_path: Path
) -> None:
    path = Path(write(tmp_path, rows({"s": " Mary"}, {"s": " John"})))
    text = path.read_text().replace("LD: logits = logit(io) - logit(s)", f"LD = {metric}")
    path.write_text(text)
    assert [one.code for one in linted(str(path))] == ([code] if code else [])


OTHER_FILES: dict[str, tuple[str, str, Callable[[], str]]] = {
    "csv": ("rows.csv", "PD322", lambda: "prompt,other,io,s\na,b,c\n"),
    "json": ("rows.json", "PD322", lambda: '[{"prompt": "a"'),
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_other_kinds_of_files(kind: str, tmp_path: Path) -> None:
    name, code, text = OTHER_FILES[kind]
    path = write(tmp_path, text(), data=f'{kind}("{name}")', name=name)
    assert code in [one.code for one in linted(path)]


def test_a_large_file_is_left_to_those_who_read_all_of_it(tmp_path: Path) -> None:
    text = rows({}, {}) + " " * MOST_BYTES + '\n{"prompt": \n'
    assert linted(write(tmp_path, text)) == []


def test_a_part_of_a_task_says_nothing_twice(tmp_path: Path) -> None:
    path = Path(write(tmp_path, rows({"a": 1}, {"a": 2, "s": None})))
    text = path.read_text().replace("metric LD", "metric LD on own")
    path.write_text(text + "task part = own where a == 2\n")
    assert [one.code for one in linted(str(path))] == ["PD328"]


def test_it_imports_no_library_of_arrays(tmp_path: Path) -> None:
    path = write(tmp_path, UNREAD["PD334"])
    checked(path)
    heavy = "numpy", "torch", "scipy", "transformers", "tokenizers"
    code = (
        "import sys; from pathdsl.checking.prepare import vet_file; "
        f"said = vet_file({path!r})[1]; "
        "print([one.code for one in said if one.code < 'PD5'], "
        f"[name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['PD334'] []"
