"""What revisions of one model share: rows, tokens, path sets and plans are made once.

They are shared where the config gives the same shape and the tokenizer is the same, by the content
of its files; a revision that differs is prepared on its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pathdsl.engine.load.files import all_files
from pathdsl.engine.load.source import ModelSource, config_of, folder_of
from pathdsl.engine.load.weights import TOKENIZER_FILES, load_tokenizer
from pathdsl.graph.model.shape import ModelShape
from pathdsl.reading import read_file
from pathdsl.score.emerging import Kept

__all__ = ["Key", "OneOfSeries", "Shared", "tokenizer_identity"]

_NAMES = (
    *TOKENIZER_FILES, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "merges.txt", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
Key = tuple[tuple[tuple[str, object], ...], tuple[str, ...]]


@dataclass(slots=True)
class Shared:
    """Preparations (`pathdsl.checking.prepare.Ready`) by what decides them; `made` counts them."""

    found: dict[Key, Any] = field(default_factory=dict)

    @property
    def made(self) -> int:
        """How often rows were read and tokenised."""
        return len(self.found)

    def key(self, sources: Mapping[str, ModelSource], shapes: Mapping[str, ModelShape]) -> Key:
        """What decides a preparation, the file and the options of a check apart."""
        told = tuple(tokenizer_identity(source) for source in sources.values())
        return tuple(shapes.items()), told


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOfSeries:
    """What a check knows of the series that it is one of; `CheckOptions.series`."""

    shared: Shared
    kept: Kept


def tokenizer_identity(source: ModelSource) -> str:
    """The sha256 of what decides every answer of a model's tokenizer; reads no weights."""
    found = hashlib.sha256()
    folder = folder_of(source)
    if folder is not None:
        kind: Any = (config_of(source) or {}).get("model_type")
        found.update(repr(kind).encode())
        for path in all_files(folder):
            if path.name in _NAMES or path.parent != folder:
                content = hashlib.sha256(read_file(path)).hexdigest()
                found.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
        return found.hexdigest()
    tokenizer = load_tokenizer(source)
    if tokenizer is not None:
        facts = (
            tokenizer.backend_tokenizer.to_str(), tokenizer.special_tokens_map,
            tokenizer.chat_template, len(tokenizer),
        )  # fmt: skip
        found.update(repr(facts).encode())
    return found.hexdigest()
