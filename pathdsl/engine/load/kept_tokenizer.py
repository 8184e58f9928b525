"""A tokenizer whose answers are kept in the result store, so that stored checks need none.

What a tokenizer says of a text depends on its files and on the libraries that read them. Answers
are kept under the hash of these, for the tasks that asked; a text that was not asked about before
loads the tokenizer itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pathdsl.engine.data.at_hand import NotKept
from pathdsl.engine.load.files import TOKENIZER_FILES, all_files
from pathdsl.engine.load.hashes import Hashes
from pathdsl.engine.load.machine import machine_of
from pathdsl.engine.load.source import ModelSource, folder_of
from pathdsl.engine.store.digest import digest, program_text
from pathdsl.engine.store.store import Store
from pathdsl.reading import read_file

__all__ = ["KeptTokenizer", "has_tokenizer", "known_tokenizer", "tokenizer_by"]

LARGE = 64_000_000
"""Bytes above which a file beside the tokenizer is not read each time."""

MOST_BYTES = 32_000_000
"""Of answers for the tasks of one file; more are not kept."""

_FACTS = (
    "bos_token", "bos_token_id", "unk_token", "unk_token_id", "mask_token_id", "all_special_ids",
    "chat_template", "special_tokens_map", "name_or_path",
)  # fmt: skip
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".gguf")


class KeptTokenizer:
    """Answers as the tokenizer of transformers does; `_real` is loaded where it must be."""

    def __init__(self, source: ModelSource, store: Store, key: str, book: dict[str, Any]) -> None:
        self._source, self._store, self._key, self._book = source, store, key, book
        self._made: Any = None
        self._grown = False

    @property
    def _real(self) -> Any:
        if self._made is None:
            machine_of(self._store)
            self._made = _load(self._source)
        return self._made

    def __getattr__(self, name: str) -> Any:
        """A fact that is kept, else an attribute of the tokenizer itself."""
        if name in _FACTS:
            return self._book["facts"][name]
        return getattr(self._real, name)

    def __len__(self) -> int:
        """How many tokens there are."""
        return int(self._book["facts"]["length"])

    @property
    def added_tokens_decoder(self) -> dict[int, Any]:
        """The added tokens by id: their content, and whether they are special."""
        added = self._book["facts"]["added"]
        return {one: SimpleNamespace(content=text, special=special) for one, text, special in added}

    def __call__(self, text: str | Sequence[str], **options: Any) -> dict[str, Any]:
        """Token ids of a text or of several, with the places of its tokens where asked for."""

        def made() -> Any:
            found = self._real(text, **options)
            return {name: found[name] for name in ("input_ids", "offset_mapping") if name in found}

        return dict(self._answer(["call", text, options], made))

    def convert_ids_to_tokens(self, ids: Any) -> Any:
        """The raw texts of tokens."""
        ids = list(ids) if isinstance(ids, tuple) else ids
        return self._answer(["tokens", ids], lambda: self._real.convert_ids_to_tokens(ids))

    def decode(self, ids: Sequence[int]) -> str:
        """Tokens as text."""
        return str(self._answer(["decode", list(ids)], lambda: self._real.decode(ids)))

    def _answer(self, asked: list[Any], made: Any) -> Any:
        text = json.dumps(asked, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        if name not in self._book["answers"]:
            self._book["answers"][name] = made()
            self._grown = True
        return self._book["answers"][name]

    def keep(self) -> None:
        """Write down what was learnt since the tokenizer was opened."""
        if not self._grown:
            return
        self._grown = False
        text = json.dumps(self._book)
        if len(text) <= MOST_BYTES:
            self._store.replace_record(self._key, text)


class KnownTokenizer(KeptTokenizer):
    """Answers what is kept, and raises NotKept for all else."""

    @property
    def _real(self) -> Any:
        raise NotKept


def has_tokenizer(source: ModelSource) -> bool | None:
    """Whether the model comes with a tokenizer; None where its files are not in a folder."""
    folder = folder_of(source)
    if folder is None:
        return None
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def known_tokenizer(
    source: ModelSource, store: Store, tasks: Sequence[str]
) -> KnownTokenizer | None:
    """What is kept of a tokenizer, for the tasks as of `tokenizer_by`; None where that is nothing.

    No library of tokenizers is imported.
    """
    folder = folder_of(source)
    if folder is None or not store.on:
        return None
    try:
        key = digest("answers", _identity(folder, store), list(tasks))
    except OSError:
        return None
    text = store.record(key)
    book = _read(text) if text is not None else None
    return KnownTokenizer(source, store, key, book) if book is not None and book["facts"] else None


def tokenizer_by(source: ModelSource, store: Store | None, tasks: Sequence[str]) -> Any | None:
    """The tokenizer of a model, by way of a store where its files are in a folder.

    `tasks` are the texts of the tasks that will ask, by which answers are kept together. Raises
    what `load_tokenizer` raises.
    """
    folder = folder_of(source)
    if store is None or not store.on or folder is None:
        return _load(source)
    if not has_tokenizer(source):
        return None
    try:
        key = digest("answers", _identity(folder, store), list(tasks))
    except OSError:
        return _load(source)  # something lies there that only others may read
    text = store.record(key)
    book = _read(text) if text is not None else None
    if book is not None:
        return KeptTokenizer(source, store, key, book) if book["facts"] else None
    machine_of(store)  # transformers imports torch, and who does so before has to note its state
    real = _load(source)
    book = {"facts": {}, "answers": {}}
    if real is None:
        store.replace_record(key, json.dumps(book))
        return None
    book["facts"] = _facts(real)
    if json.loads(json.dumps(book)) != book:
        return real  # something that JSON does not hold
    kept = KeptTokenizer(source, store, key, book)
    kept._made, kept._grown = real, True
    return kept


def _load(source: ModelSource) -> Any | None:
    from pathdsl.engine.load.weights import load_tokenizer  # which `lint` needs not

    return load_tokenizer(source)


def _facts(real: Any) -> dict[str, Any]:
    found = {name: getattr(real, name) for name in _FACTS}
    added = real.added_tokens_decoder.items()
    found["added"] = [[one, token.content, bool(token.special)] for one, token in added]
    found["special_tokens_map"] = {
        name: [*map(str, value)] if isinstance(value, list) else str(value)
        for name, value in real.special_tokens_map.items()
    }
    return found | {"length": len(real), "name_or_path": str(real.name_or_path)}


def _identity(folder: Path, store: Store) -> str:
    """What decides every answer: all files but weights, and the libraries that read them.

    Raises OSError where one of the files cannot be read.
    """
    known = Hashes(store)  # large files that are no tokenizer's are read once

    def hash_of(path: Path) -> str:
        if path.stat().st_size > LARGE:
            return known(path)
        return hashlib.sha256(read_file(path)).hexdigest()

    files = {
        path.relative_to(folder).as_posix(): hash_of(path)
        for path in all_files(folder)
        if path.suffix not in _WEIGHTS
    }
    return digest(str(folder), files, program_text(), [_version(n) for n in _LIBRARIES])


_LIBRARIES = ("transformers", "tokenizers", "sentencepiece", "tiktoken")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _read(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or {*found} != {"facts", "answers"}:
        return None
    facts, answers = found["facts"], found["answers"]
    if not isinstance(facts, dict) or not isinstance(answers, dict):
        return None
    return found if not facts or {*facts} == {*_FACTS, "added", "length"} else None
