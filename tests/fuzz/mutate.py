"""Seeded changes of sound files: their bytes, their lines, and the values of their JSON.

The same seed gives the same file. Odd values are those that somebody's program might well write,
and those that somebody might write on purpose; none of them is more than some 100 kB.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from typing import Any

__all__ = ["changed_bytes", "changed_json", "changed_text"]

# Written into the text as they stand, since no value of Python gives them.
RAW = {
    "@digits": "9" * 5000,
    "@-digits": "-" + "9" * 400,
    "@huge": "1e999",
    "@nan": "NaN",
    "@inf": "-Infinity",
    "@deep": "[" * 100_000 + "]" * 100_000,
    "@open": "[" * 2_000,
    "@objects": '{"a":' * 150 + "1" + "}" * 150,
    "@half": '"\\ud800"',
    "@twice": '{"a": 1, "a": 2}',
}
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 10**9, 10**18, 2**63, -(2**63), 0.5, -0.0, 1e308, 1e-320,
    "", "x", "0", "1", "yes", "n" * 300, "\x1b[31m\u202e", "\x00", "é\u0301", "../../../etc/hosts",
    [], {}, [None], [[]], ["a", 1], {"a": None}, list(range(50)), *RAW,
)  # fmt: skip
PIECES = (
    b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n", b"\n\n", b'"', b"'", b"{", b"}", b"[",
    b"]", b",", b":", b"(", b")", b"->", b"@", b"%", b"-1", b"1e999", b"9" * 30, b"nan",
    b"\x1b[2J", "\u202e".encode(), b" ", b"\\", b"/", b"=", b"a0.h0", b"true", b"null",
)  # fmt: skip


def changed_bytes(data: bytes, draw: random.Random) -> bytes:
    """One to three changes: a piece put in, taken out, moved, cut off, or a bit turned."""
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(data) + 1)
        end = min(len(data), at + draw.choice((1, 2, 5, 20, 200)))
        match draw.randrange(6):
            case 0:
                data = data[:at] + draw.choice(PIECES) + data[at:]
            case 1:
                data = data[:at] + data[end:]
            case 2:
                data = data[:at] + draw.choice(PIECES) + data[end:]
            case 3:
                data = data[:at] if draw.random() < 0.3 else data[:end] + data[at:]
            case 4 if data:
                place = draw.randrange(len(data))
                turned = data[place] ^ 1 << draw.randrange(8)
                data = data[:place] + bytes([turned]) + data[place + 1 :]
            case _:
                lines = data.split(b"\n")
                draw.shuffle(lines)
                data = b"\n".join(lines) if draw.random() < 0.3 else data + data[at:end]
    return data


def changed_text(text: str, draw: random.Random) -> bytes:
    """A text with words of it changed for one another, numbers for odd ones, or its bytes."""
    words = re.findall(r"\w+|[^\w\s]+", text)
    if draw.random() < 0.5:
        return changed_bytes(text.encode(), draw)
    for _ in range(draw.randint(1, 3)):
        found = draw.choice(list(re.finditer(r"\w+|[^\w\s]+", text)) or [None])
        if found is None:
            break
        odd = (str(one) for one in ODD if isinstance(one, str | int) and one not in RAW)
        new = draw.choice([*words, *odd, "9" * 400, "(" * 300])
        text = text[: found.start()] + new + text[found.end() :]
    return text.encode("utf-8", "surrogatepass")


def changed_json(text: str, draw: random.Random) -> bytes:
    """A JSON text with a value, a key or its bytes changed."""
    if draw.random() < 0.25:
        return changed_bytes(text.encode(), draw)
    root = [json.loads(text)]
    for _ in range(draw.randint(1, 2)):
        places = list(_places(root))
        if not places:
            break
        holder, key = draw.choice(places)
        _CHANGES[draw.randrange(len(_CHANGES))](holder, key, draw)
    written = json.dumps(root[0]) if root else ""
    for name, raw in RAW.items():
        written = written.replace(json.dumps(name), raw)
    return written.encode()


def _places(value: Any) -> Any:
    """Every (container, key) below a value."""
    keys = value if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], list | dict):
            yield from _places(value[key])


def _odd(holder: Any, key: Any, draw: random.Random) -> None:
    holder[key] = copy.deepcopy(draw.choice(ODD))


def _gone(holder: Any, key: Any, draw: random.Random) -> None:
    del holder[key]


def _renamed(holder: Any, key: Any, draw: random.Random) -> None:
    if isinstance(holder, dict):
        holder[draw.choice(["", "x", str(key).upper(), f"{key} ", "\x1b[1m", "n" * 300])] = (
            holder.pop(key)
        )


def _wrapped(holder: Any, key: Any, draw: random.Random) -> None:
    holder[key] = draw.choice([[holder[key]], {"value": holder[key]}, str(holder[key])])


def _swapped(holder: Any, key: Any, draw: random.Random) -> None:
    other = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    holder[key], holder[other] = holder[other], holder[key]


_CHANGES: tuple[Callable[[Any, Any, random.Random], None], ...] = (
    _odd, _odd, _odd, _gone, _renamed, _wrapped, _swapped,
)  # fmt: skip
