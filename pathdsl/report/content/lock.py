"""What a report says of the lock of a file: what lies beside it, and what drifted from it.

Made from the keys `lock_file` (what a lock holds) and `lock` (a check beside it) of a file's JSON
object. A result of before there was `lock_file` has nothing to show unless it was compared.
"""

from __future__ import annotations

from pathdsl.report.content.rows import Object
from pathdsl.report.numbers import many

__all__ = ["LockContent", "lock_content", "other_weights"]


class LockContent:
    """A lock in texts. `said` is its state in words, `brief` the same in few.

    `tone` is that of claims, "" where it is neither.
    `drifts` are sentences, `around` the same of surroundings, which may differ. `held` and `beside`
    are what the lock says of inputs and surroundings, name and text.
    """

    def __init__(self, file: Object) -> None:
        held, compared = file.get("lock_file") or {}, file.get("lock")
        self.tone, self.said = _state(file, held, compared)
        self.brief = _brief(file, held, compared)
        self.path: str = held.get("path", "")
        self.sha256: str = held.get("sha256") or ""
        self.drifts = [_in_words(one) for one in (compared or {}).get("drift", ())]
        self.around = [_in_words(one) for one in (compared or {}).get("surroundings", ())]
        self.held = [(_plainly(name), text) for name, text in held.get("inputs", {}).items()]
        around = held.get("surroundings", {})
        self.beside = [(_plainly(name), text) for name, text in around.items()]


def lock_content(file: Object) -> LockContent | None:
    """The lock of one file; None where nothing is known of one."""
    looked_for = file.get("lock") is not None or "lock_file" in file
    return LockContent(file) if looked_for else None


def other_weights(file: Object) -> str:
    """That the lock beside the file is of other weights than were used, with both hashes; or ""."""
    locked, used = file.get("locked_weights"), (file.get("weights") or {}).get("sha256")
    if not locked or not used or locked == used:
        return ""
    return (
        f"the lock beside the file is of other weights, sha256 {locked[:12]}; these are {used[:12]}"
    )


def _state(file: Object, held: Object, compared: Object | None) -> tuple[str, str]:
    if compared is not None:
        said = f"checked against its lock: {compared.get('said', 'compared')}"
        return ("bad", said) if compared["drifted"] else ("good", f"{said}; nothing drifted")
    if not held:
        return "", f"no lock lies beside the file; `pathdsl lock {file['path']}` writes one"
    if held["fault"]:
        return "bad", held["fault"]
    quantities = many(held["quantities"], "quantity", "quantities")
    said = f"a lock of {many(held['claims'], 'claim')} and {quantities} lies beside the file"
    again = f"`pathdsl check --locked {file['path']}` compares"
    if other_weights(file):
        return "bad", f"{said}, but of other weights than this check used: {again}"
    if not held["same_text"]:
        return "open", f"{said}, but of another text of it: {again}"
    return "", f"{said} and is of this text of it; this check was not compared with it: {again}"


def _brief(file: Object, held: Object, compared: Object | None) -> str:
    if compared is not None:
        return "drifted from its lock" if compared["drifted"] else "as locked"
    if not held:
        return "no lock"
    if held["fault"]:
        return "its lock cannot be read"
    others = [what for what, is_other in (
        ("weights", other_weights(file)), ("text", not held["same_text"])
    ) if is_other]  # fmt: skip
    return (
        f"its lock is of another {' and '.join(others)}" if others else "not compared to its lock"
    )


def _in_words(one: Object) -> str:
    """A drift in words; of a result of before there were any, what drifted."""
    return str(one.get("text") or one["what"])


def _plainly(name: str) -> str:
    """`tasks copy row_ids` is `task copy row_ids`, `packages torch` `package torch`."""
    first, _, rest = name.partition(" ")
    return f"{first[:-1]} {rest}" if first in ("tasks", "packages", "plans") else name
