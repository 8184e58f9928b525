"""Scores kept prompt by prompt: two files, an index in JSON and the numbers as safetensors.

`ioi.scores.json` says what the scores are of and names units and prompts, `ioi.scores.safetensors`
beside it holds one tensor `scores`, (units, rows) or (units, positions, rows) float64. What a
resample, another selection or a certificate needs is in them; no model runs again.

The index holds the sha256 of the numbers, and is written after them: a pair of which one was
replaced is refused. Nothing in either file is code. Equal scores give equal bytes.

    write_kept(Path("ioi.scores.json"), kept)
    kept = read_kept(Path("ioi.scores.json"), layout)

Names of units: an output is `a9.h6`, an input `->a9.h6<q>` or `->m3`, an edge `a5.h5->a9.h6<q>`.

Source of the format of the numbers: github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np

from pathdsl.errors import DataError, Diagnostic
from pathdsl.graph.files.eap import parse_edge
from pathdsl.graph.model.components import LOGITS, Layout
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.limits import KEPT_BYTES
from pathdsl.near import quoted
from pathdsl.reading import read_file
from pathdsl.score.attribution import Scored, ScoredUnit
from pathdsl.strictjson import JsonFault, read_json
from pathdsl.whole import write_whole

__all__ = ["SUFFIX", "Kept", "read_kept", "unit_name", "unit_of", "values_path", "write_kept"]

SUFFIX = ".scores.json"
FORMAT = 1
_TENSOR = "scores"
_HEADER = 4096
"""Bytes that the header of one tensor never reaches."""
_HASH = re.compile(r"[0-9a-f]{16,128}")
_NEURON = re.compile(r"m(0|[1-9][0-9]{0,5})\.n(0|[1-9][0-9]{0,8})")
_INPUT = re.compile(r"->([^<>]+?)(?:<([qkv])>)?")
_TEXTS = ("version", "model", "data", "task", "method", "rule", "metric", "metric_unit", "treated")
OF = {"nodes": False, "edges": True, "neurons": False}
"""What is scored, and whether a unit of it has two ends."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """Scores, and what says of what they are.

    `rows`: one hash a row, in the order of the values; `clusters`: what is resampled together,
    one number a row. `method` is a name of `pathdsl.lang.signatures.attribution`, `steps` and
    `rule` those of its integral, 0 and "" without one. `metric` and `treated` are as they are
    written, `metric_unit` is what a score is in. `model` and `data` say which weights and which
    rows it was, `version` which pathdsl wrote the file.
    """

    scored: Scored
    rows: tuple[str, ...]
    clusters: tuple[int, ...]
    of: Literal["nodes", "edges", "neurons"]
    method: str
    steps: int
    rule: str
    metric: str
    metric_unit: str
    treated: str
    task: str
    model: str
    data: str
    version: str

    @property
    def of_edges(self) -> bool:
        """Whether its units are edges."""
        return OF[self.of]

    @property
    def by_position(self) -> bool:
        """Whether each position has its own score."""
        return self.scored.values.ndim == 3


def unit_name(unit: ScoredUnit) -> str:
    """`a9.h6`, `->a9.h6<q>`, `a5.h5->a9.h6<q>`."""
    slot = f"<{unit.slot}>" if unit.slot else ""
    return f"{unit.sender}->{unit.receiver}{slot}" if unit.receiver else unit.sender


def unit_of(name: str, layout: Layout) -> ScoredUnit | None:
    """The unit of a name; None for what this model does not have."""
    neuron = _NEURON.fullmatch(name)
    if neuron:
        shape = layout.shape
        inside = int(neuron[1]) < shape.n_layers and int(neuron[2]) < shape.d_mlp
        alone = inside and shape.has_mlp and not shape.routes(int(neuron[1]))
        return ScoredUnit(sender=name) if alone else None
    if "->" not in name:
        known = name in layout.named and name != LOGITS.name
        return ScoredUnit(sender=name) if known else None
    read = _INPUT.fullmatch(name)
    if read:
        receiver, slot = layout.named.get(read[1]), read[2] or ""
        if receiver is None or (slot or None) not in layout.slots_of(receiver):
            return None
        return ScoredUnit(receiver=read[1], slot=slot)
    edge = parse_edge(name, layout)
    if edge is None:
        return None
    sender, receiver, slot = edge
    return ScoredUnit(sender=layout.label(sender), receiver=layout.label(receiver), slot=slot)


def values_path(path: Path) -> Path:
    """The file of the numbers that belongs to an index: `ioi.scores.safetensors`."""
    return path.with_suffix(".safetensors")


# -------------------------------------------------------------------------------------------------


def write_kept(path: Path, kept: Kept) -> None:
    """Write both files, each whole or not at all; `path` is that of the index, `….scores.json`.

    Raises OSError where that cannot be done, and ValueError for what `read_kept` would refuse
    whatever the model: another name, numbers of another shape or not finite.
    """
    if not path.name.endswith(SUFFIX):
        raise ValueError(f"`{path.name}` does not end in `{SUFFIX}`")
    values = np.ascontiguousarray(kept.scored.values, dtype="<f8")
    names = [unit_name(unit) for unit in kept.scored.units]
    if values.ndim not in (2, 3) or (values.shape[0], values.shape[-1]) != (
        len(names), len(kept.rows)
    ):  # fmt: skip
        raise ValueError(
            f"numbers of the shape {values.shape} for {len(names)} units and {len(kept.rows)} rows"
        )
    if len(set(names)) < len(names) or len(kept.clusters) != len(kept.rows):
        raise ValueError("a unit stands twice, or the clusters are not one a row")
    if not np.isfinite(values).all():
        raise ValueError(f"the score of `{names[_first_not_finite(values)[0]]}` is not finite")
    from safetensors.numpy import save

    data = save({_TENSOR: values})
    index = {
        "pathdsl": "scores",
        "format": FORMAT,
        **{key: getattr(kept, key) for key in _TEXTS},
        "of": kept.of,
        "steps": kept.steps,
        "shape": list(values.shape),
        "values": hashlib.sha256(data).hexdigest(),
        "rows": list(kept.rows),
        "clusters": [int(cluster) for cluster in kept.clusters],
        "units": names,
    }
    write_whole(values_path(path), data)
    write_whole(path, (json.dumps(index, indent=0, ensure_ascii=False) + "\n").encode())


def _first_not_finite(values: np.ndarray) -> tuple[int, int]:
    """The unit and the row of the first score that is no number."""
    at = np.argwhere(~np.isfinite(values))[0]
    return int(at[0]), int(at[-1])


# -------------------------------------------------------------------------------------------------


def read_kept(path: Path, layout: Layout, *, model: str | None = None) -> Kept:
    """The scores of an index and of the numbers beside it.

    `model`: what the index has to say as its `model`, where that is known. Raises OSError where the
    index cannot be read, and DataError (PD245) for everything else: no such files, cut off, of
    another model, of another shape, scores that are no numbers.
    """
    index = _Index(path, _object(path))
    if model is not None and index.text("model") != model:
        index.refuse(
            f"its scores are of the model {quoted(index.text('model'))}, and this is "
            f"{quoted(model)}",
            "score this model",
        )
    units = _units(index, layout)
    rows = index.texts("rows")
    if not all(map(_HASH.fullmatch, rows)):
        index.refuse("its `rows` are no hashes", "")
    clusters = index.numbers("clusters")
    if len(clusters) != len(rows):
        index.refuse(f"it has {len(clusters)} `clusters` for {len(rows)} rows", "")
    shape = index.numbers("shape")
    if len(shape) not in (2, 3) or (shape[0], shape[-1]) != (len(units), len(rows)):
        index.refuse(f"its `shape` is {shape} for {len(units)} units and {len(rows)} rows", "")
    if not units or not rows or min(shape) < 1:
        index.refuse("it holds no scores", "")
    method = index.text("method")
    if method not in ATTRIBUTIONS:
        index.refuse(f"it names the method {quoted(method)}", "one of " + ", ".join(ATTRIBUTIONS))
    of = index.text("of")
    if of not in OF:
        index.refuse(f"its scores are `of` {quoted(of)}", "one of " + ", ".join(OF))
    if OF[of] and not all(unit.sender and unit.receiver for unit in units):
        index.refuse("its scores are `of` edges, and not all its units are", "")
    return Kept(
        scored=Scored(units=units, values=_values(index, shape)),
        rows=rows,
        clusters=clusters,
        of=of,  # type: ignore[arg-type]
        steps=index.number("steps"),
        **{key: index.text(key) for key in _TEXTS},
    )


def _object(path: Path) -> Mapping[str, Any]:
    """The index as an object of this format."""
    if path.suffix == ".safetensors":
        _refuse(path, "it holds the numbers alone", f"name the index, `{path.stem}.json`")
    data = read_file(path, KEPT_BYTES.most + 1)
    if len(data) > KEPT_BYTES.most:
        _refuse(path, f"it has more than the {KEPT_BYTES.most:,} bytes that are read", "")
    if data[:2] == b"PK" or data[:1] == b"\x80":
        _refuse(path, "it is a pickle, which can run code", "name the index, `….scores.json`")
    try:
        found = read_json(data, finite=True)
    except JsonFault as fault:
        _refuse(path, f"line {fault.line}, column {fault.column}: {fault}", "name the index")
    if not isinstance(found, dict) or found.get("pathdsl") != "scores":
        _refuse(
            path,
            "it is no index of scores",
            "one that `pathdsl discover` wrote, `….scores.json`; the scores of other tools are "
            'read by `edges("FILE", top: N)`',
        )
    if found.get("format") != FORMAT or isinstance(found["format"], bool):
        _refuse(
            path,
            f"its `format` is {json.dumps(found.get('format'))[:40]}, and this pathdsl reads "
            f"{FORMAT}",
            "score again",
        )
    return found


@dataclass(frozen=True, slots=True)
class _Index:
    """An index whose entries are vetted when they are read."""

    path: Path
    content: Mapping[str, Any]

    def refuse(self, why: str, advice: str) -> NoReturn:
        _refuse(self.path, why, advice or "score again, or restore both files")

    def _get(self, key: str) -> Any:
        if key not in self.content:
            self.refuse(f"it has no `{key}`", "")
        return self.content[key]

    def text(self, key: str) -> str:
        found = self._get(key)
        if not isinstance(found, str):
            self.refuse(f"its `{key}` is no text", "")
        return found

    def number(self, key: str) -> int:
        found = self._get(key)
        if not _is_count(found):
            self.refuse(f"its `{key}` is no whole number from 0", "")
        return int(found)

    def texts(self, key: str) -> tuple[str, ...]:
        found = self._get(key)
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            self.refuse(f"its `{key}` is no list of texts", "")
        return tuple(found)

    def numbers(self, key: str) -> tuple[int, ...]:
        found = self._get(key)
        if not isinstance(found, list) or not all(map(_is_count, found)):
            self.refuse(f"its `{key}` is no list of whole numbers from 0", "")
        return tuple(found)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _units(index: _Index, layout: Layout) -> tuple[ScoredUnit, ...]:
    names = index.texts("units")
    found = [unit_of(name, layout) for name in names]
    unknown = [name for name, unit in zip(names, found, strict=True) if unit is None]
    if unknown:
        shown = ", ".join(quoted(name) for name in unknown[:3])
        more = f" and {len(unknown) - 3:,} more" if len(unknown) > 3 else ""
        index.refuse(f"this model has no unit {shown}{more}", "score this model")
    if len(set(names)) < len(names):
        twice, _ = Counter(names).most_common(1)[0]
        index.refuse(f"the unit {quoted(twice)} stands twice", "")
    return tuple(unit for unit in found if unit is not None)


def _values(index: _Index, shape: tuple[int, ...]) -> np.ndarray:
    """The numbers beside an index, float64 of this shape."""
    path = values_path(index.path)
    size = 8
    for length in shape:
        size *= length
    if size > KEPT_BYTES.most:
        index.refuse(f"it promises more than the {KEPT_BYTES.most:,} bytes that are read", "")
    try:
        data = read_file(path, size + _HEADER)
    except OSError as error:
        index.refuse(
            f"its numbers cannot be read: `{path.name}`, {error.strerror or error}",
            f"`{path.name}` belongs beside it",
        )
    if hashlib.sha256(data).hexdigest() != index.text("values"):
        index.refuse(f"`{path.name}` does not hold the numbers that it was written with", "")
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = load(data)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        index.refuse(f"`{path.name}` is no safetensors file: {str(error)[:80]}", "")
    values = found.get(_TENSOR)
    if len(found) != 1 or values is None or values.dtype != np.float64 or values.shape != shape:
        has = ", ".join(f"{quoted(k)} {v.dtype} {v.shape}" for k, v in list(found.items())[:3])
        index.refuse(
            f"`{path.name}` holds {has or 'nothing'}, wanted `{_TENSOR}` float64 {shape}", ""
        )
    if not np.isfinite(values).all():
        unit, row = _first_not_finite(values)
        name = index.texts("units")[unit]
        index.refuse(f"the score of {quoted(name)} on row {row + 1} is no finite number", "")
    return values


def _refuse(path: Path, why: str, advice: str) -> NoReturn:
    raise DataError(
        Diagnostic(code="PD245", message=f"`{path}` cannot be used: {why}", help=advice)
    )
