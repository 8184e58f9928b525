"""Which revisions of which model `--revisions` means, in the order of their training steps.

    step0..step143000:1000                     every 1000th, both ends included
    step0,step512,main:143000                  a list; `NAME:STEP` gives the step of a name
    'checkpoints/step-*'                       folders, or bundled models, by a pattern
    base=step0,step1000                        of the model `base`, where the file has several

What a name means depends on the model that is varied: a revision on the hub, a folder, or the name
of a bundled model. Its step is the number behind `step`, that of the checkpoint that `convert` made
a folder of, or the only number in the name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from glob import glob
from pathlib import Path

from pathdsl.checking.options import CheckOptions
from pathdsl.engine.load.source import ModelSource, config_of, source_of
from pathdsl.errors import PathdslError
from pathdsl.lang.program import Program
from pathdsl.models import names
from pathdsl.near import did_you_mean

__all__ = ["MOST", "Revision", "Varied", "read_revisions"]

MOST = 1000
"""Revisions that are judged at most."""

_RANGE = re.compile(r"(?P<a>.*?)(?P<m>\d{1,15})(?P<b>\D*)\.\.(?P<c>.*?)(?P<n>\d{1,15})(?P<d>\D*)")
_STRIDE = re.compile(r":(\d{1,15})\Z")
_STEP = re.compile(r"step[-_=]?(\d{1,15})(?!\d)", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")
_GOES_ON = re.compile(r"[.,]\d|e[-+]?\d|[kmbt](?![a-z])", re.IGNORECASE)
"""Behind the digits of a number that is more than they say: `10k`, `1e5`, `0.5`."""
_WANTED = "`step0..step143000:1000`, a list with commas, or a pattern of folders"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One revision: its step, its name as it was asked for, and what is loaded."""

    step: int
    name: str
    source: ModelSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Varied:
    """The revisions of one model of a file, by step."""

    model: str
    revisions: tuple[Revision, ...]

    @property
    def steps(self) -> list[int]:
        """The steps in their order."""
        return [one.step for one in self.revisions]


def read_revisions(text: str, program: Program, options: CheckOptions) -> Varied:
    """What `--revisions TEXT` means for a program.

    Raises ValueError for what cannot be read, for names without a step and for equal steps, and
    PathdslError where the model itself cannot be used.
    """
    model, rest = _model(text, program)
    base = source_of(program, options.models, program.models[model])
    found: dict[int, Revision] = {}
    for name, step in _items(rest, base):
        source = _source(name, base)
        if step is None:
            step = _step_of(name, source)
        if step in found and found[step].name == name:
            continue
        if step in found:
            raise ValueError(
                f"`{found[step].name}` and `{name}` are both of step {step}; leave one out, or "
                f"give its step, `{name}:STEP`"
            )
        found[step] = Revision(step=step, name=name, source=source)
        if len(found) > MOST:
            raise ValueError(f"more than {MOST:,} revisions; take a wider stride, `…:10000`")
    if len(found) < 2:
        only = next(iter(found.values())).name if found else rest
        raise ValueError(
            f"`{only}` is one revision: `--model {model}={_example(base, only)}` checks it alone"
        )
    return Varied(model=model, revisions=tuple(found[step] for step in sorted(found)))


def _example(base: ModelSource, name: str) -> str:
    on_hub = base.lies == "on the hub"
    return f"{base.kind}:{base.location}@{name}" if on_hub else f"{base.kind}:{name}"


def _model(text: str, program: Program) -> tuple[str, str]:
    """The name of the model that is varied, and the text without it."""
    found = re.match(r"([A-Za-z_]\w*)\s*=(?!=)", text)
    known = [*program.models]
    if found is not None:
        name, rest = found[1], text[found.end() :]
        if name not in known:
            hint = did_you_mean(name, known) or f"the file has `{'`, `'.join(known)}`"
            raise ValueError(f"no model `{name}`; {hint}")
        return name, rest.strip()
    if not known:
        raise ValueError("the file names no model")
    if len(known) > 1:
        raise ValueError(
            f"the file has the models `{'`, `'.join(known)}`: say which one is varied, "
            f"`--revisions {known[0]}={text}`"
        )
    return known[0], text.strip()


def _items(text: str, base: ModelSource) -> Iterator[tuple[str, int | None]]:
    """The names that are meant, each with its step where it is given."""
    for item in (part.strip() for part in text.split(",")):
        if not item:
            raise ValueError(f"a revision is missing; wanted {_WANTED}")
        if ".." in item.replace("../", ""):
            yield from ((name, None) for name in _range(item))
        elif any(sign in item for sign in "*?["):
            yield from ((name, None) for name in _pattern(item, base))
        else:
            given = _STRIDE.search(item)
            yield (item[: given.start()], int(given[1])) if given else (item, None)


def _range(item: str) -> list[str]:
    stride = _STRIDE.search(item)
    found = _RANGE.fullmatch(item[: stride.start()] if stride else item)
    if found is None or found["c"] not in ("", found["a"]) or found["d"] not in ("", found["b"]):
        raise ValueError(f"`{item}` is no range of revisions, as `step0..step143000:1000` is one")
    first, last, by = int(found["m"]), int(found["n"]), int(stride[1]) if stride else 1
    if by < 1 or last < first:
        raise ValueError(f"`{item}` runs backwards or stands still; wanted `step0..step1000:100`")
    if (last - first) // by >= MOST:
        count = (last - first) // by + 1
        raise ValueError(f"`{item}` means {count:,} revisions, {MOST:,} at most; widen its stride")
    numbers = [*range(first, last + 1, by)]
    if numbers[-1] != last:  # the end is named, so it is meant
        numbers.append(last)
    wide = len(found["m"]) if found["m"].startswith("0") and len(found["m"]) > 1 else 0
    return [f"{found['a']}{number:0{wide}d}{found['b']}" for number in numbers]


def _pattern(item: str, base: ModelSource) -> Sequence[str]:
    if base.lies == "on the hub":
        raise ValueError(
            f"`{item}` is a pattern, and the hub is not asked what it has; wanted "
            "`step0..step143000:1000` or a list with commas"
        )
    if base.lies == "in a folder":
        found = sorted(path for path in glob(str(Path(item).expanduser())) if Path(path).is_dir())
    else:
        found = [name for name in names() if fnmatchcase(name, item)]
    if not found:
        what = "folder" if base.lies == "in a folder" else "bundled model"
        raise ValueError(f"no {what} is called `{item}`")
    return found


def _step_of(name: str, source: ModelSource) -> int:
    """The step that a name tells; ValueError where it tells none, or several numbers."""
    last = Path(name).name
    found = [*_STEP.finditer(last)]
    if not found and (converted := _converted(source)) is not None:
        return converted
    found = found or [one for one in _NUMBER.finditer(last) if len(one[0]) <= 15]
    told = {int(one[one.lastindex or 0]) for one in found}
    if len(told) != 1 or (not _STEP.search(last) and len(_NUMBER.findall(last)) > 1):
        what = "no number" if not told else "no number behind `step`, and several"
        raise ValueError(f"`{name}` has {what}: give its step, `{name}:STEP`")
    if more := _GOES_ON.match(last, found[-1].end()):
        part = f"{found[-1][0]}{more[0]}"
        raise ValueError(f"`{part}` of `{name}` is no whole number: give its step, `{name}:STEP`")
    return next(iter(told))


def _converted(source: ModelSource) -> int | None:
    """The number of the checkpoint that a folder was converted from, where its config has it."""
    if source.lies != "in a folder":
        return None
    try:
        note = (config_of(source) or {}).get("converted")
    except PathdslError:  # told where the revision is judged
        return None
    number = note.get("checkpoint") if isinstance(note, dict) else None
    return number if type(number) is int and number >= 0 else None


def _source(name: str, base: ModelSource) -> ModelSource:
    match base.lies:
        case "on the hub":
            return replace(base, revision=name)
        case "in a folder":
            path = str(Path(name).expanduser().absolute())
            return replace(base, location=path, typed=name)
        case _:
            return replace(base, location=name, typed=name)
