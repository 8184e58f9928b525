"""What `pathdsl init` writes: a template filled in, linted, in canonical form.

What is not said is guessed from the rows: `prompt` or `clean` is the reference, `prompt_abc` or
`corrupted` what is treated, and so on. What cannot be guessed is asked for by name.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pathdsl.checking.prepare import vet_file
from pathdsl.checking.starting.templates import FOLDER, Template, filled
from pathdsl.engine.data.given import PLACES
from pathdsl.engine.data.rows import load_rows
from pathdsl.engine.data.task import task_spec
from pathdsl.engine.load.source import ModelSource, shape_of
from pathdsl.errors import Diagnostic, LanguageError, PathdslError, errors_in
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang import ast
from pathdsl.lang.fence import FREE
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.signatures.calls import DATA_FILES
from pathdsl.lang.syntax.parse import parse
from pathdsl.near import did_you_mean, quoted
from pathdsl.record import record

__all__ = ["ROLES", "Draft", "Rows", "Wanted", "draft", "guessed", "rows_of", "shape_at_hand"]

ROLES = {
    "reference": ("prompt", "clean", "reference", "clean_prompt", "text", "input"),
    "treated": (
        "prompt_abc", "prompt_other", "corrupted", "corrupt", "treated", "other",
        "prompt_contrast", "corrupted_prompt", "counterfactual",
    ),
    "answer": (
        "io", "answer", "answers", "correct", "correct_idx", "correct_answer", "target", "label",
    ),
    "wrong": (
        "s", "wrong", "wrong_answers", "incorrect", "incorrect_idx", "wrong_answer", "distractor",
        "foil",
    ),
}  # fmt: skip
"""The names that columns usually have, by what they are for, the first one that is there wins."""
TOP = 200
"""Edges that are taken of a file that only ranks them."""
_NEEDED = ("reference", "treated", "answer")
_HEAD = re.compile(r"a(\d+)\.h(\d+)")
_ID_CELL = re.compile(r"\d+|\[\s*\d+(?:\s*,\s*\d+)*\s*\]")


@record
class Rows:
    """What a source of rows has: `columns`, places that every row names, cells that look like ids.

    `data` is the source as the language writes it from the file's folder.
    """

    data: str
    columns: tuple[str, ...]
    positions: tuple[str, ...]
    ids: frozenset[str]


@record
class Wanted:
    """What a user said; "" and () are left to a guess, and `positions` where it is None.

    `no_wrong`: there is no wrong answer.
    """

    reference: str = ""
    treated: str = ""
    answer: str = ""
    wrong: str = ""
    no_wrong: bool = False
    positions: tuple[str, ...] | None = None
    heads: tuple[str, ...] = ()
    early: tuple[str, ...] = ()
    edges: str = ""


@record
class Draft:
    """A file to write: its text, and the bytes of a file of edges beside it, by name."""

    text: str
    beside: tuple[tuple[str, bytes], ...]


def shape_at_hand(source: ModelSource, typed: str) -> ModelShape:
    """The layers and heads of a model; raises LanguageError PD473 where no config is at hand."""
    shape = shape_of(source)
    if shape is None:
        raise _fault(
            "PD473",
            f"the config of `{typed}` is not on this machine, so that its layers are unknown",
            help=f"hf download {source.location} config.json",
        )
    return shape


def rows_of(given: str, target: Path, option: str = "--data") -> Rows:
    """The columns and places of rows: a file by its path, a generator by name or call.

    `option` is where it was given. Raises LanguageError or DataError for what is no source of
    rows, and what such a source raises.
    """
    data = _data(given, target, option)
    text = f"task t {{\n  data = {data}\n  reference = prompt\n}}\n"
    file, faults = parse(text, str(target))
    decl = next((one for one in file.statements if isinstance(one, ast.TaskDecl)), None)
    if faults or decl is None:
        raise _fault(
            "PD471", f"{quoted(given)} is no source of rows",
            help=f"{option} {_balanced(given.strip()) or _EXAMPLE}",
            notes=("wanted a file of rows, or a generator such as `ioi` or `ioi(take: 100)`",),
        )  # fmt: skip
    _, found = vet_file(str(target), 'model m = bundled("ioi-mini")\n' + text, FREE)
    if wrong := [one for one in errors_in(found) if one.code in _OF_SOURCES]:
        raise LanguageError([_without_place(one) for one in wrong])
    try:
        rows = load_rows(task_spec(decl), target.parent, fence=FREE).rows
    except PathdslError as error:
        raise type(error)([_without_place(one) for one in error.diagnostics]) from error
    columns = dict.fromkeys(name for row in rows for name in row)
    places = [_places(row) for row in rows]
    shared = [name for name in places[0] if all(name in others for others in places)]
    call = decl.fields[0].value
    kind = DATA_FILES.get(call.name) if isinstance(call, ast.Call) else None
    untyped = kind is not None and kind.untyped
    ids = frozenset(
        name
        for name in columns
        if untyped
        and all(
            isinstance(row.get(name), str) and _ID_CELL.fullmatch(row[name].strip()) for row in rows
        )
    )
    return Rows(
        data=data,
        columns=tuple(name for name in columns if name not in ("id", *PLACES)),
        positions=tuple(shared),
        ids=ids,
    )


def guessed(role: str, rows: Rows, template: Template) -> str:
    """The column that is for something, by its name; "" where none has such a name."""
    usual = template.treated if role == "treated" else ""
    names = (usual, *ROLES[role]) if usual else ROLES[role]
    return next((name for name in names if name in rows.columns), "")


def draft(
    template: Template, target: Path, source: ModelSource, typed: str, rows: Rows, wanted: Wanted
) -> Draft:
    """The file of a template for a model and rows.

    `target` is where it will lie. Raises LanguageError PD471 for columns, PD472 for positions,
    PD473 for layers and heads, PD474 for the file of edges, and what `lint` finds.
    """
    shape = shape_at_hand(source, typed)
    own = typed == template.model
    columns = {role: _column(role, getattr(wanted, role), rows, template) for role in ROLES}
    if wanted.no_wrong:
        columns["wrong"] = ""
    masked = shape.prediction_head and not shape.causal  # it predicts what stands at a mask
    positions = _positions(wanted.positions, rows, masked=masked)
    if shape.n_layers < template.layers:
        raise _fault(
            "PD473",
            f"`{template.name}` is about {template.layers} layers, and `{typed}` has "
            f"{shape.n_layers}",
            help="pathdsl init --list",
        )
    heads = _heads("heads", wanted.heads, template.heads, own, shape, typed, shape.n_layers - 1)
    early = _heads(
        "early", wanted.early, template.early, own, shape, typed, max(0, shape.n_layers - 2)
    )
    edges, beside = _edges(template, wanted.edges, target, own)
    ids = [columns[role] for role in columns if columns[role] in rows.ids]
    values: dict[str, Any] = {
        **columns,
        "model": _loader(source, target),
        "data": _with_ids(rows.data, ids),
        "ids": ids,
        "positions": list(positions),
        "unit": "logits" if columns["wrong"] else "nats",
        "heads": heads,
        "early": early,
        "last": shape.n_layers - 1,
        "before": max(0, shape.n_layers - 2),
        "own": own and not wanted.heads and not wanted.early,
        "placeholder": bool(template.heads) and not own and not wanted.heads,
        "at_end": False,
        "place": "MASK" if masked else "END",
        "at_place": " @MASK" if masked else "",
        "spot": "mask" if masked else "last token",
        "mlps": shape.has_mlp,
        "edges": edges,
        "top": 0,
    }
    text, wrong = _written(template, values, target, vetted=not beside)
    if wrong and wanted.edges:  # a ranking marks nothing as kept
        other, still = _written(template, {**values, "top": TOP}, target, vetted=True)
        text, wrong = (other, still) if not still else (text, wrong)
    if wrong:
        raise LanguageError([_without_place(one) for one in wrong])
    return Draft(text=text, beside=beside)


def _written(
    template: Template, values: Mapping[str, Any], target: Path, *, vetted: bool
) -> tuple[str, list[Diagnostic]]:
    """The text in canonical form, and the errors in it; not vetted, there are none."""
    text = filled(template, values)
    try:
        text = format_text(text, str(target))
    except LanguageError as error:
        return text, list(error.diagnostics)
    # A file of edges that is yet to be written beside it would be missed.
    return text, errors_in(vet_file(str(target), text, generated=True)[1]) if vetted else []


# ------------------------------------------------------------------------------- parts

_OF_SOURCES = ("PD326", "PD327", "PD115", "PD116", "PD117")


def _fault(code: str, message: str, *, help: str, notes: Sequence[str] = ()) -> LanguageError:
    return LanguageError(Diagnostic(code=code, message=message, notes=tuple(notes), help=help))


def _without_place(found: Diagnostic) -> Diagnostic:
    """The same without its place, which is in a text that is not written."""
    from dataclasses import replace

    return replace(found, span=None, labels=())


def _data(given: str, target: Path, option: str) -> str:
    """A source of rows as the language writes it."""
    stripped = given.strip()
    if re.fullmatch(r"[A-Za-z_]\w*\(.*\)", stripped, re.DOTALL):
        return stripped
    if re.fullmatch(r"[A-Za-z_]\w*", stripped) and not os.path.exists(stripped):
        return f"{stripped}(take: 100, seed: 0)"
    kind = next(
        (one.name for one in DATA_FILES.values() if stripped.lower().endswith(one.endings)), ""
    )
    if not kind and os.path.isdir(stripped):
        kind = next(one.name for one in DATA_FILES.values() if one.hub)
    there = os.path.relpath(stripped, target.parent).replace(os.sep, "/")
    if not kind:
        known = ", ".join(f"`{end}`" for one in DATA_FILES.values() for end in one.endings)
        raise _fault(
            "PD471", f"{quoted(given)} is no source of rows",
            help=f"{option} {_balanced(stripped) or 'rows.jsonl'}",
            notes=(f"a file of rows ends in {known}; a generator is a name, `ioi`",),
        )  # fmt: skip
    return f"{kind}({json.dumps(there, ensure_ascii=False)})"


_EXAMPLE = "'ioi(take: 100)'"


def _balanced(given: str) -> str:
    """A call whose parentheses do not match, as it may have been meant; "" for anything else."""
    found = re.fullmatch(r"([A-Za-z_]\w*)\s*\(?([^()]*:[^()]*)\)*", given)
    return f"'{found[1]}({found[2].strip()})'" if found else ""


def _places(row: dict[str, Any]) -> dict[str, None]:
    """The names of the places of a row; those of one column alone are left out."""
    names: dict[str, None] = {}
    for field in PLACES:
        held = row.get(field)
        if isinstance(held, dict):
            names |= dict.fromkeys(k for k, v in held.items() if not isinstance(v, dict))
    return names


def _column(role: str, given: str, rows: Rows, template: Template) -> str:
    if role == "treated" and re.fullmatch(r"\w+(\(.*\))?", given) and given.endswith((")", "zero")):
        return given
    if given:
        if given in rows.columns:
            return given
        hint = did_you_mean(given, rows.columns)
        raise _fault(
            "PD471", f"the rows have no column {quoted(given)}, which `--{role}` names",
            notes=(hint or _has(rows),), help=f"--{role} {_like(given, rows)}",
        )  # fmt: skip
    found = guessed(role, rows, template)
    if not found and role in _NEEDED:
        raise _fault(
            "PD471", f"no column of the rows has a name that is usual for `--{role}`",
            notes=(_has(rows),), help=f"--{role} COLUMN",
        )  # fmt: skip
    return found


def _has(rows: Rows) -> str:
    more = ", …" if len(rows.columns) > 16 else ""
    return "they have " + ", ".join(map(quoted, rows.columns[:16])) + more


def _like(given: str, rows: Rows) -> str:
    from pathdsl.near import nearest

    return next(iter(nearest(given, rows.columns)), "COLUMN")


def _positions(given: tuple[str, ...] | None, rows: Rows, *, masked: bool) -> tuple[str, ...]:
    """The named tokens; a masked language model finds `MASK` in the prompts."""
    found = ("MASK",) if masked else ()
    if given is None:
        return tuple(dict.fromkeys((*rows.positions, *found)))
    for name in given:
        if name not in (*rows.positions, *found, "END"):
            has = ", ".join(f"`{one}`" for one in rows.positions)
            hint = did_you_mean(name, rows.positions)
            raise _fault(
                "PD472", f"not every row has the position {quoted(name)}",
                notes=(*([hint] if hint else []),
                       f"every row has {has}" if has else "the rows name no positions"),
                help=f"--positions {','.join(rows.positions)}" if rows.positions
                else '{"prompt": "…", "positions": {"SUBJECT": 3}}',
            )  # fmt: skip
    return tuple(dict.fromkeys((*(name for name in given if name != "END"), *found)))


def _heads(
    option: str,
    given: Sequence[str],
    usual: Sequence[str],
    own: bool,
    shape: ModelShape,
    typed: str,
    layer: int,
) -> list[str]:
    """The heads of an option, else those of the template, else the first two of a layer."""
    if not usual:
        if given:
            raise _fault("PD473", f"this template has no `--{option}`", help="pathdsl init --list")
        return []
    if not given:
        some = [f"a{layer}.h{h}" for h in range(min(len(usual), shape.heads_in(layer)))]
        return list(usual) if own else some
    for head in given:
        at = _HEAD.fullmatch(head)
        if at is None:
            raise _fault(
                "PD473", f"{quoted(head)} is no head: layer and head are counted from 0",
                help=f"--{option} a{layer}.h0",
            )  # fmt: skip
        last = min(int(at[1]), shape.n_layers - 1)
        if int(at[1]) > last or int(at[2]) >= shape.heads_in(last):
            raise _fault(
                "PD473",
                f"`{typed}` has no head `{head}`: layers a0 to a{shape.n_layers - 1}, heads h0 to "
                f"h{shape.n_heads - 1}"
                + (f", in layer {last} only h0" if shape.recurs(last) else ""),
                help=f"--{option} a{last}.h{min(int(at[2]), shape.heads_in(last) - 1)}",
            )
    return list(dict.fromkeys(given))


def _edges(
    template: Template, given: str, target: Path, own: bool
) -> tuple[str, tuple[tuple[str, bytes], ...]]:
    """The file of edges as the language names it, and what is written beside the file."""
    if not template.edges:
        if given:
            raise _fault(
                "PD474", f"`{template.name}` reads no file of edges",
                help="--template edges_of_a_file",
            )  # fmt: skip
        return "", ()
    if given:
        if not os.path.isfile(given):
            raise _fault(
                "PD474", f"there is no file {quoted(given)}",
                help="pathdsl discover edges FILE",
            )  # fmt: skip
        return os.path.relpath(given, target.parent).replace(os.sep, "/"), ()
    if own:
        name = f"{target.stem}.edges.json"
        return name, ((name, (FOLDER / template.edges).read_bytes()),)
    raise _fault(
        "PD474", f"`{template.name}` reads a file of edges, and none is named",
        notes=("EAP-IG, MIB and others write one; `pathdsl discover` finds one",),
        help="--edges circuit.json",
    )  # fmt: skip


def _loader(source: ModelSource, target: Path) -> str:
    if source.lies == "in a folder":
        there = os.path.relpath(source.location, target.parent).replace(os.sep, "/")
        return f"{source.kind}({json.dumps(there, ensure_ascii=False)})"
    return source.written


def _with_ids(data: str, ids: Sequence[str]) -> str:
    """A file of rows whose cells of these columns are read as ids of tokens."""
    return f"{data[:-1]}, ids: [{', '.join(ids)}])" if ids else data
