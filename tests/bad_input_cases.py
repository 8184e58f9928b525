"""Files that are wrong in one way each, with what the answer must name."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HEAD = """circuit c { language = 1 }
model toy = folder("model")
task t {
  data      = jsonl("rows.jsonl")
  reference = prompt
  treated   = other
  positions = [X]
}
path p = a1.h2@END -> logits
metric L: logits = logit(right) - logit(wrong)
claim c: mean(L(reference) - L(treat(p))) > -100 at 95% confidence
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """One case: how to make the folder, the exit code, the code and the words to look for."""

    name: str
    make: Callable[[Path], str | None]
    code: str
    words: tuple[str, ...] = ()
    exits: int = 2


def good_row(number: int) -> dict[str, object]:
    """One row that has nothing wrong with it."""
    return {
        "id": f"row-{number}", "prompt": [1, 2 + number % 8, 3 + number // 8 % 8, 4],
        "other": [4, 3, 2, 1], "right": 1, "wrong": 2, "positions": {"X": 1},
    }  # fmt: skip


def write_rows(folder: Path, rows: list[dict[str, object]]) -> None:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def sound(folder: Path) -> None:
    """A folder in which nothing is wrong yet: `x.circuit`, `rows.jsonl` and `model`."""
    from pathdsl.models import bundled

    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(bundled("induction-2l"), folder / "model")
    for path in (folder / "model").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    write_rows(folder, [good_row(i) for i in range(4)])
    (folder / "x.circuit").write_text(HEAD)


def text(*changes: tuple[str, str]) -> Callable[[Path], None]:
    """The sound file with something replaced."""

    def make(folder: Path) -> None:
        changed = HEAD
        for old, new in changes:
            assert old in changed
            changed = changed.replace(old, new)
        (folder / "x.circuit").write_text(changed)

    return make


def content(data: bytes, name: str = "x.circuit") -> Callable[[Path], None]:
    """A file with these bytes."""

    def make(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return make


def row(**changes: object) -> Callable[[Path], None]:
    """The third row with something replaced; None takes the field out."""

    def make(folder: Path) -> None:
        rows = [good_row(i) for i in range(4)]
        rows[2] = {k: v for k, v in {**rows[2], **changes}.items() if v is not None}
        write_rows(folder, rows)

    return make


def config(**changes: object) -> Callable[[Path], None]:
    """The model's config with something replaced."""

    def make(folder: Path) -> None:
        path = folder / "model" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return make


def weights(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """Something done to the weight file."""
    return lambda folder: change(folder / "model" / "model.safetensors")


def pickled(path: Path) -> None:
    """A pickle that would write a file if it were read."""
    import pickle

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (path.parent / "was-run",)  # type: ignore[return-value]

    path.unlink()
    (path.parent / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))


def with_nan(path: Path) -> None:
    """One weight that is no number."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    first = sorted(tensors)[0]
    tensors[first] = tensors[first].clone()
    tensors[first].view(-1)[0] = float("nan")
    path.unlink()
    save_file(tensors, path, metadata={"format": "pt"})


def truncated(path: Path) -> None:
    """Only the first half of the file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def code_in_model(folder: Path) -> None:
    """A model that wants its own code to be run."""
    config(auto_map={"AutoModelForCausalLM": "modeling.Mine"})(folder)
    (folder / "model" / "modeling.py").write_text("open('was-run', 'w')\n")


def circle(folder: Path) -> None:
    """Two files that use each other."""
    text(("circuit c { language = 1 }", 'use "y.circuit"'))(folder)
    (folder / "y.circuit").write_text('use "x.circuit"\npath q = m0\n')


def latin(folder: Path) -> None:
    """Rows that are not UTF-8."""
    line = json.dumps(good_row(0) | {"note": "caf\u00e9"}, ensure_ascii=False)
    (folder / "rows.jsonl").write_bytes(line.encode("latin-1") + b"\n")


def broken_line(folder: Path) -> None:
    """The second line is cut off."""
    lines = [json.dumps(good_row(i)) for i in range(3)]
    lines[1] = lines[1][:30]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")


def two_tokens(folder: Path) -> None:
    """Texts for a model with a tokenizer; one answer is two tokens."""
    text(('folder("model")', 'bundled("ioi-mini")'), ("a1.h2@END", "a3.h1@END"))(folder)
    first = "Then, {} and John went to the park. John gave a book to"
    rows = [
        good_row(i) | {"prompt": first.format("Mary"), "other": first.format("John"),
                       "right": " Mary", "wrong": " John"}
        for i in range(3)
    ]  # fmt: skip
    rows[2]["right"] = " Mary John"
    write_rows(folder, rows)


DEEP = "[" * 100_000
NINES = "9" * 5000


def raw_row(value: str) -> Callable[[Path], None]:
    """The second row with the text of one value replaced by another."""

    def make(folder: Path) -> None:
        lines = [json.dumps(good_row(i)) for i in range(4)]
        lines[1] = lines[1].replace('"right": 1', f'"right": {value}')
        (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")

    return make


def raw_config(text: str) -> Callable[[Path], None]:
    """The model's config with one more field, as written."""

    def make(folder: Path) -> None:
        path = folder / "model" / "config.json"
        path.write_text(path.read_text().rstrip().removesuffix("}") + f', "more": {text}}}')

    return make


def deep_cell(folder: Path) -> None:
    """A cell of CSV that begins a list, and another, and another."""
    text(('jsonl("rows.jsonl")', 'csv("rows.csv")'))(folder)
    (folder / "rows.csv").write_text(f'id,prompt,other,right,wrong\n1,"{DEEP}",x,1,2\n')


def edge_score(score: str) -> Callable[[Path], None]:
    """A file of edges, one with this score."""

    def make(folder: Path) -> None:
        text(("a1.h2@END -> logits", 'edges("e.json", top: 1)'))(folder)
        (folder / "e.json").write_text(
            '{"cfg": {"n_layers": 2, "n_heads": 3}, "edges": '
            f'{{"input->logits": {{"score": {score}, "in_graph": true}}}}}}'
        )

    return make


def long_index(folder: Path) -> None:
    """An index of weight files that begins a list, and another."""
    (folder / "model" / "model.safetensors").unlink()
    (folder / "model" / "model.safetensors.index.json").write_text('{"weight_map": ' + DEEP)


LONG = "n" * 300
WRONG_HASH = hashlib.sha256(b"other rows").hexdigest()

CASES = [
    Bad(name="truncated", make=content(HEAD.encode()[:180]), code="PD0", words=("x.circuit:",)),
    Bad(name="binary", make=content(bytes(range(256)) * 40), code="PD0", words=("x.circuit",)),
    Bad(name="brackets", make=content(b"path p = " + b"(" * 10_000_000), code="PD0",
        words=("x.circuit",)),
    Bad(name="empty", make=content(b""), code="", exits=5),
    Bad(name="circular use", make=circle, code="PD1", words=("y.circuit",)),
    Bad(name="use of nothing", make=text(("circuit c", 'use "sub/gone.circuit"\ncircuit c')),
        code="PD1", words=("gone.circuit",)),
    Bad(name="data through a file", make=text(('"rows.jsonl"', '"x.circuit/rows.jsonl"')),
        code="PD3", words=("rows.jsonl",)),
    Bad(name="data that is not there", make=text(('"rows.jsonl"', '"gone/rows.jsonl"')),
        code="PD3", words=("gone",)),
    Bad(name="data that is a folder", make=text(('"rows.jsonl"', '"model"')), code="PD3",
        words=("model",)),
    Bad(name="wrong sha256", make=text(('"rows.jsonl"', f'"rows.jsonl", sha256: "{WRONG_HASH}"')),
        code="PD3", words=("rows.jsonl", "sha256")),
    Bad(name="huge take", make=text(('"rows.jsonl"', '"rows.jsonl", take: 1000000000000')),
        code="PD3", words=("take",)),
    Bad(name="huge take of a generator",
        make=text(('jsonl("rows.jsonl")', "induction(take: 100000000000000)"),
                  ("treated   = other", "treated   = prompt_other"), ("[X]", "[FIRST_A]"),
                  ("right", "answer")), code="PD116", words=("take",)),
    Bad(name="no prompts", make=content(b"", "rows.jsonl"), code="PD324", words=("rows",)),
    Bad(name="not UTF-8", make=latin, code="PD3", words=("rows.jsonl", "UTF-8")),
    Bad(name="a broken line", make=broken_line, code="PD3", words=("rows.jsonl", "2")),
    Bad(name="missing column", make=row(other=None), code="PD328", words=("row-2", "`other`")),
    Bad(name="missing answer", make=row(right=None), code="PD328", words=("row-2", "`right`")),
    Bad(name="answer of two tokens", make=two_tokens, code="PD33", words=("row-2", "`right`")),
    Bad(name="answer out of range", make=row(right=10**9), code="PD33", words=("row-2", "right")),
    Bad(name="unequal lengths", make=row(other=[1, 2, 3]), code="PD334",
        words=("row-2", "4 tokens", "`other`")),
    Bad(name="position outside", make=row(positions={"X": 9}), code="PD33", words=("row-2", "X")),
    Bad(name="position missing", make=row(positions={}), code="PD335", words=("row-2", "`X`")),
    Bad(name="text without a tokenizer", make=row(prompt="some text"), code="PD342",
        words=("row-2", "tokenizer")),
    Bad(name="ids out of range", make=row(prompt=[1, 2, 3, -4]), code="PD33", words=("row-2",)),
    Bad(name="too long a prompt", make=row(prompt=[1] * 5000, other=[2] * 5000), code="PD33",
        words=("row-2",)),
    Bad(name="no folder", make=lambda f: shutil.rmtree(f / "model"), code="PD600",
        words=("model", "--model toy=folder:PATH")),
    Bad(name="no config", make=lambda f: (f / "model" / "config.json").unlink(), code="PD601",
        words=("config.json",)),
    Bad(name="config of nonsense", make=content(b"[1, 2", "model/config.json"), code="PD615",
        words=("config.json",)),
    Bad(name="own code", make=code_in_model, code="PD604", words=("auto_map",)),
    Bad(name="no weights", make=weights(Path.unlink), code="PD602", exits=3,
        words=("model.safetensors", "--model toy=folder:PATH")),
    Bad(name="pickle", make=weights(pickled), code="PD603", exits=3,
        words=("pytorch_model.bin", "save_pretrained")),
    Bad(name="weights cut off", make=weights(truncated), code="PD609", exits=3,
        words=("model.safetensors", "again")),
    Bad(name="weights that are no numbers", make=weights(with_nan), code="PD606", exits=3,
        words=("infinite",)),
    Bad(name="a number of 5,000 digits", make=raw_row(NINES), code="PD322",
        words=("rows.jsonl", "line 2", "5,000 digits")),
    Bad(name="a row that is nested deeply", make=raw_row(DEEP), code="PD322",
        words=("rows.jsonl", "line 2", "levels deep")),
    Bad(name="a cell that is nested deeply", make=deep_cell, code="PD3", words=("row",)),
    Bad(name="a score of 5,000 digits", make=edge_score(NINES), code="PD217", words=("e.json",)),
    Bad(name="a score that is nested deeply", make=edge_score(DEEP), code="PD217",
        words=("e.json",)),
    Bad(name="a config with a number of 5,000 digits", make=raw_config(NINES), code="PD615",
        words=("config.json", "5,000 digits")),
    Bad(name="a config that is nested deeply", make=raw_config(DEEP), code="PD615",
        words=("config.json", "levels deep")),
    Bad(name="an index that is nested deeply", make=long_index, code="PD609", exits=3,
        words=("index.json",)),
    *(
        Bad(name=f"a config whose {field} is {value!r}", make=config(**{field: value}),
            code="PD615", words=(field,))
        for field, value in (
            ("layer_norm_epsilon", "x"), ("layer_norm_epsilon", float("inf")),
            ("tie_word_embeddings", "no"), ("n_layer", True), ("n_layer", 1_000_000),
            ("n_head", 2.5), ("scale_attn_weights", "false"), ("activation_function", 3),
            ("pad_token_id", "x"), ("layer_norm_epsilon", -1.0),
        )
    ),
    Bad(name="a config for single layers", make=config(per_layer_config={"0": {"n_head": 1}}),
        code="PD612", words=("per_layer_config",)),
    Bad(name="a config that transformers refuses", make=config(id2label=5), code="PD615",
        words=("save_pretrained",)),
    Bad(name="a model type that is a list", make=config(model_type=["gpt2"]), code="PD607"),
    Bad(name="a config of a thousand layers", make=config(n_layer=1_000), code="PD605", exits=3,
        words=("weights at least",)),
    Bad(name="data of a name too long", make=text(("rows.jsonl", LONG)), code="PD300"),
    Bad(name="a folder of a name too long", make=text(('("model")', f'("{LONG}")')), code="PD600"),
    Bad(name="edges of a name too long",
        make=text(("a1.h2@END -> logits", f'edges("{LONG}", top: 1)')), code="PD300"),
    Bad(name="a used file of a name too long",
        make=text(("circuit c {", f'use "{LONG}.circuit"\ncircuit c {{')), code="PD105"),
    Bad(name="weights of another shape", make=config(n_layer=3), code="PD605", exits=3,
        words=("weight",)),
]  # fmt: skip
