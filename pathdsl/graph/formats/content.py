"""What the bytes of a circuit file hold, by the bytes alone: JSON, a list in Python, a drawing, a
pickle, tensors. Nothing is run, and no pickle is opened."""

from __future__ import annotations

import ast
import pickletools
import re
import zipfile
from io import BytesIO

from pathdsl.graph.formats.circuit import UnusableFile
from pathdsl.limits import LITERAL_BYTES, PICKLE_CODES
from pathdsl.strictjson import MOST_DIGITS, MOST_LEVELS, JsonFault, read_json

__all__ = ["content_of", "is_archive", "refuse_pickle"]

CONVERT = """import json, pickle
class Index: pass  # stands for ACDC's index, and runs nothing
class Safe(pickle.Unpickler):
    def find_class(self, module, name): return {"TorchIndex": Index, "slice": slice}[name]
def plain(x): return plain(x.hashable_tuple) if isinstance(x, Index) else [plain(y) for y in x] \
if isinstance(x, (list, tuple)) else x if isinstance(x, (str, int, float, type(None))) else None
json.dump(plain(Safe(open("FILE", "rb")).load()), open("FILE.json", "w"))"""
"""A script that makes JSON of a list of edges: what is no list, text or number becomes null, and a
class of any other name ends it with a KeyError."""


def is_archive(data: bytes) -> bool:
    """Whether it is an archive, as `torch.save` writes it."""
    return data.startswith(b"PK\x03\x04")


def content_of(data: bytes) -> object:
    """The value of JSON or of a list in Python, else the text.

    Raises UnusableFile for what is no text (PD442 a pickle), and for JSON that is refused.
    """
    if is_archive(data):
        raise UnusableFile("it holds tensors, which only `pathdsl import` reads", code="PD442",
                           advice="pathdsl import FILE")  # fmt: skip
    if data[:1] == b"\x80" or (data[:2] in (b"(l", b"(d", b"]q") and data.rstrip()[-1:] == b"."):
        refuse_pickle(data)
    text = None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnusableFile(f"it is no text: byte {error.start} is not UTF-8") from None
    try:
        return read_json(text)
    except JsonFault as fault:
        if fault.refused or text.lstrip()[:1] not in ("[", "("):
            if fault.refused or text.lstrip()[:1] == "{":
                raise UnusableFile(f"line {fault.line}, column {fault.column}: {fault}") from None
            return text
        return _literal(text, fault)


def _literal(text: str, fault: JsonFault) -> object:
    """A list as Python prints it; tuples become lists, and `slice(None, None, None)` null."""
    place = f"line {fault.line}, column {fault.column}: {fault}"
    if len(text) > LITERAL_BYTES.most:
        raise UnusableFile(f"{place}; a list that is no JSON may have {LITERAL_BYTES.most:,} bytes")
    depth = deepest = 0
    for one in re.finditer(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|[\[({]|[\])}]", text):
        depth += {"[": 1, "(": 1, "{": 1, "]": -1, ")": -1, "}": -1}.get(one.group(), 0)
        deepest = max(deepest, depth)
    if deepest > MOST_LEVELS or re.search(rf"\d{{{MOST_DIGITS}}}", text):
        raise UnusableFile(f"{place}; nested too deep, or a number is too long")
    bare = text.replace("slice(None, None, None)", "None")
    bare = re.sub(r"TorchIndex\((\[[^\[\]()]*\])\)", r"\1", bare)
    bare = re.sub(r"(?<=[\[,\s]):(?=\s*[,\]])", "None", bare)
    try:
        return _plain(ast.literal_eval(bare.strip()))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        raise UnusableFile(f"{place}; nor is it a list of texts and numbers in Python") from None


def _plain(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError("no list, text or number")


def refuse_pickle(data: bytes) -> None:
    """Raise PD442 for a pickle, with what converts it; its codes are listed, and none is run."""
    names: list[str] = []
    try:
        for count, (_, argument, _) in enumerate(pickletools.genops(data)):
            if count > PICKLE_CODES.most:
                break
            if isinstance(argument, str):
                names.append(argument[:200])
    except Exception:  # whatever a damaged pickle does to the reader of its codes
        pass
    seen = set(names) | {part for name in names for part in name.split()}
    if "adjacency_matrix" in seen or any(one.startswith("circuit_tracer") for one in seen):
        raise UnusableFile(
            "it is a pickle of circuit-tracer, which runs code when it is loaded",
            code="PD442",
            advice="import the JSON that `create_graph_files(graph, SLUG, FOLDER)` of "
            "circuit-tracer writes",
        )
    if (
        any(one.startswith(("torch", "collections.OrderedDict")) for one in seen)
        or data[2:40].find(b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19") == 0
    ):
        raise UnusableFile(
            "it is a pickle of tensors in the old form of `torch.save`",
            code="PD442",
            advice='torch.save(torch.load("FILE", weights_only=True), "NEW.pt")',
        )
    raise UnusableFile(
        "it is a pickle, which can run code when it is loaded",
        code="PD442",
        advice="this makes JSON of a list of edges and runs nothing of the file:\n" + CONVERT,
    )


def refuse_archive(data: bytes) -> None:
    """Raise PD442 for an archive of `torch.save` that holds objects, by its names alone."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        for name in archive.namelist():
            if name.endswith("/data.pkl") and archive.getinfo(name).file_size < 50_000_000:
                refuse_pickle(archive.read(name))
