"""The hash of what came out of a check, for whoever writes a result and whoever reads it again.

It covers everything in the object of a file but what `NOT_HASHED` names: so a key that is added
later is covered, too. What is left out says where and at what cost the result was computed, or
follows from the rest; the same check gives the same hash with and without a store, whatever
`--memory`, in any folder, beside any lock.

    file["result_sha256"] == result_hash(file)

Source: docs/reports.md, The hash.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

__all__ = ["NOT_HASHED", "result_hash"]

NOT_HASHED = (
    "path", "cost", "store", "exit_code", "lock", "lock_file", "locked_weights", "result_sha256",
)  # fmt: skip
"""Keys of the object of a file. An exit code follows from claims and lock, and is recomputed."""
_PLACES = ("span", "labels")
"""Keys of a diagnostic that hold where it stands; texts of labels are hashed."""
_BESIDE = ("PD64", "PD65", "PD66")
"""Diagnostics about store, shards and memory, and about the lock beside the file and what drifted
from it."""


def result_hash(file: Mapping[str, Any]) -> str:
    """The SHA-256 of what came out, as 64 hexadecimal digits.

    `file` is the object of one file, as written or as read again by any reader of JSON: `1.0` and
    `1` are one number, and the order of keys does not count.
    """
    held = {key: value for key, value in file.items() if key not in NOT_HASHED}
    held["diagnostics"] = [
        _said(one) for one in held.get("diagnostics", ()) if not one["code"].startswith(_BESIDE)
    ]
    text = json.dumps(_plain(held), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode("ascii")).hexdigest()


def _said(diagnostic: Mapping[str, Any]) -> dict[str, Any]:
    said = {key: value for key, value in diagnostic.items() if key not in _PLACES}
    return {**said, "labels": [label["text"] for label in diagnostic.get("labels", ())]}


def _plain(value: Any) -> Any:
    """The value with whole numbers as integers, as readers that know one kind of number write."""
    match value:
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case _:
            return value
