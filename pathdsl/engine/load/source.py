"""Where a model comes from, and what its config says, before any weight is read.

`model gpt2 = hf("openai-community/gpt2", revision: "607a…", dtype: float32)` becomes a
`ModelSource`; `--model gpt2=folder:PATH` on the command line replaces it. The shape that planning
needs is read from `config.json` alone: no torch, no transformers, no network. For a hub model that
was never downloaded there is no config yet, and the answer is None.

    >>> parse_override("gpt2=bundled:ioi-mini")[1].written
    'bundled("ioi-mini")'
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from pathdsl.engine.load.config_kinds import unusable
from pathdsl.engine.load.language_part import language_part
from pathdsl.engine.load.other_kinds import other_kind
from pathdsl.engine.load.pickles import note_of_pickle
from pathdsl.errors import Diagnostic, LanguageError, Span
from pathdsl.graph.model.families import SHAPES
from pathdsl.graph.model.fields import UnsupportedConfig
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang import ast
from pathdsl.lang.fence import outside
from pathdsl.lang.program import Program
from pathdsl.lang.signatures.calls import DTYPES, LOADERS, Lies, resolve_arguments
from pathdsl.limits import HEADS
from pathdsl.reading import read_file
from pathdsl.record import record
from pathdsl.strictjson import JsonFault, read_json

__all__ = [
    "DTYPES",
    "ModelSource",
    "config_of",
    "folder_of",
    "parse_override",
    "shape_of",
    "source_from",
    "source_of",
    "vet_config",
]


@record
class ModelSource:
    """One model to load: `location` is a hub id, an absolute folder or a bundled name.

    `kind` is the loader's name. `dtype` is "" in an override, which keeps the dtype that the file
    states. `name` is the model's name in the file, `typed` the location as it was written and
    `span` the loader there, for messages; none of them takes part in equality.
    """

    kind: str
    location: str
    revision: str = ""
    dtype: str = "float32"
    name: str = field(default="model", compare=False)
    typed: str = field(default="", compare=False)
    span: Span | None = field(default=None, compare=False, repr=False)

    @property
    def lies(self) -> Lies:
        """Where its files lie."""
        return LOADERS[self.kind].lies

    @property
    def written(self) -> str:
        """The source as the language writes it, without dtype."""
        revision = f', revision: "{self.revision}"' if self.revision else ""
        return f'{self.kind}("{self.typed or self.location}"{revision})'

    def fault(
        self, code: str, message: str, *, notes: tuple[str, ...] = (), advice: str = ""
    ) -> Diagnostic:
        """A diagnostic that points to the loader in the file."""
        return Diagnostic(code=code, message=message, span=self.span, notes=notes, help=advice)


# ------------------------------------------------------------------------------- from the file


def source_from(
    decl: ast.ModelDecl,
    base_dir: Path,
    overrides: Mapping[str, ModelSource] | None = None,
) -> ModelSource:
    """The source that a `model` statement without faults names; a folder is from `base_dir`.

    `overrides`: replacements by the model's name, as `parse_override` gives them; the dtype stays
    the file's unless the override states one. Raises LanguageError PD616 for texts that are empty.
    """
    call, name = decl.source, decl.name.name
    faults = [
        Diagnostic(
            code="PD616",
            message="`revision:` is a quoted commit"
            if argument.keyword == "revision"
            else f'`{call.name}("")` names no model',
            span=argument.span,
        )
        for argument in call.arguments
        if isinstance(argument.value, ast.String) and not argument.value.value
    ]
    if faults:
        raise LanguageError(faults)
    signature = LOADERS[call.name]
    given = resolve_arguments(signature, call.arguments)
    typed = given.word(signature.by_place[0].name)
    declared = ModelSource(
        kind=call.name,
        location=str((base_dir / typed).absolute()) if signature.lies == "in a folder" else typed,
        revision=str(given.get("revision") or ""),
        dtype=given.word("dtype"),
        name=name,
        typed=typed,
        span=call.span,
    )
    override = (overrides or {}).get(name)
    if override is None:
        return declared
    dtype = override.dtype or declared.dtype
    return replace(override, dtype=dtype, name=name, span=call.span)


def source_of(
    program: Program,
    overrides: Mapping[str, ModelSource] | None = None,
    model: ast.ModelDecl | None = None,
) -> ModelSource:
    """The source of a program's model, whose folder lies where it may; overrides are free.

    `model`: one of several, the first where it is None.

    Raises LanguageError as `source_from` does, PD118 where there is no model, and PD664.
    """
    decl = model or program.model
    if decl is None:
        raise LanguageError(
            Diagnostic(code="PD118", message="the file names no model", help="model m = hf(…)")
        )
    home = Path(program.origin.get(decl.name.name, program.path)).parent
    found = source_from(decl, home, overrides)
    if found.lies == "in a folder" and decl.name.name not in (overrides or {}):
        if not program.fence.holds(found.location):
            raise LanguageError(outside(found.typed, found.span))
    return found


def parse_override(text: str) -> tuple[str, ModelSource]:
    """The name and the replacement that `--model TEXT` gives.

    `NAME=folder:PATH` (relative to the working directory), `NAME=hf:ID`, `NAME=hf:ID@REVISION`,
    `NAME=bundled:NAME`; each may end in `,dtype=float64`. Raises LanguageError PD614 or PD610.
    """
    target, _, dtype = text.partition(",dtype=")
    name, equals, rest = target.partition("=")
    kind, colon, location = rest.partition(":")
    if not (equals and colon and name.strip() and location and kind in LOADERS):
        raise LanguageError(
            Diagnostic(
                code="PD614",
                message=f"cannot read `--model {text}`",
                notes=(
                    "wanted NAME=folder:PATH, NAME=hf:ID, NAME=hf:ID@REVISION, NAME=bundled:NAME",
                ),
                help=f"--model {name.strip() or 'NAME'}=folder:PATH",
            )
        )
    if ",dtype=" in text and dtype not in DTYPES:
        raise LanguageError(
            Diagnostic(
                code="PD610",
                message=f"dtype `{dtype}` in `--model {text}` is not supported, wanted "
                + ", ".join(f"`{one}`" for one in DTYPES),
                help=f"--model {target},dtype=float32",
            )
        )
    revision = ""
    if LOADERS[kind].lies == "on the hub":
        location, _, revision = location.partition("@")
    typed = location
    if LOADERS[kind].lies == "in a folder":
        location = str(Path(location).expanduser().absolute())
    name = name.strip()
    return name, ModelSource(
        kind=kind,
        location=location,
        revision=revision,
        dtype=dtype,
        name=name,
        typed=typed,
    )


# ------------------------------------------------------------------------------- the config


def folder_of(source: ModelSource) -> Path | None:
    """The folder that holds the model's files; None for a hub model.

    Raises LanguageError: PD600 where the folder is missing, PD613 for an unknown bundled name.
    """
    if source.lies == "on the hub":
        return None
    if source.lies == "in pathdsl":
        from pathdsl.models import bundled

        try:
            return Path(bundled(source.location))
        except (KeyError, ValueError, OSError) as error:
            raise LanguageError(
                source.fault(
                    "PD613",
                    f"no bundled model `{source.location}`",
                    notes=(str(error.args[0]),) if error.args else (),
                )
            ) from error
    folder = Path(source.location)
    if not os.path.isdir(folder):
        what = "is a file, wanted a folder" if os.path.exists(folder) else "does not exist"
        raise LanguageError(
            source.fault(
                "PD600",
                f"the model folder `{folder}` {what}",
                notes=("a folder is relative to the file that names it", *note_of_pickle(folder)),
                advice=f"--model {source.name}=folder:PATH",
            )
        )
    return folder


def config_of(source: ModelSource) -> dict[str, object] | None:
    """The model's `config.json`, of a model that reads images that of its part for text; None for a
    hub model that is not in the local cache.

    Raises LanguageError PD600, PD601 (no config), PD613, PD615 (not readable).
    """
    folder = folder_of(source)
    if folder is not None:
        path = folder / "config.json"
        if not os.path.isfile(path):
            raise LanguageError(
                source.fault(
                    "PD601",
                    f"`{folder}` has no `config.json`, so it is not a `save_pretrained` folder",
                    advice="model.save_pretrained(folder) writes one",
                )
            )
    else:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            cached = try_to_load_from_cache(
                source.location, "config.json", revision=source.revision or None
            )
        except HFValidationError as error:
            raise LanguageError(source.fault("PD616", str(error).splitlines()[0])) from error
        if not isinstance(cached, str):
            return None
        path = Path(cached)
    try:
        config = read_json(read_file(path))
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise LanguageError(source.fault("PD615", f"`{path}` cannot be read: {why}")) from error
    except JsonFault as error:
        raise LanguageError(
            source.fault(
                "PD615",
                f"`{path}` cannot be read as JSON: line {error.line}, column {error.column}: "
                f"{error}",
            )
        ) from error
    if not isinstance(config, dict):
        raise LanguageError(source.fault("PD615", f"`{path}` is not a JSON object"))
    return language_part(config)


def vet_config(source: ModelSource, config: Mapping[str, object]) -> ModelShape:
    """The shape that a config describes, or why this model cannot be used.

    Raises LanguageError PD604 (custom code), PD607 (architecture), PD608 (quantised), PD612
    (unsupported option), PD615 (fields missing or impossible).
    """
    if config.get("auto_map"):
        raise LanguageError(
            source.fault(
                "PD604",
                f"`{source.location}` brings its own code (`auto_map`), which is never run",
                notes=("checking a file executes no code that comes with it",),
                advice="use a model whose architecture is part of transformers",
            )
        )
    kind = config.get("model_type")
    if other := other_kind(config):
        message, note, advice = other
        raise LanguageError(source.fault("PD607", message, notes=(note,), advice=advice))
    if not isinstance(kind, str) or kind not in SHAPES:
        supported = ", ".join(f"`{name}`" for name in SHAPES)
        raise LanguageError(
            source.fault(
                "PD607",
                f"no adapter for model type `{kind or 'unknown'}`",
                notes=(f"supported model types: {supported}",),
            )
        )
    for key in ("quantization_config", "compression_config"):
        if config.get(key):
            raise LanguageError(
                source.fault(
                    "PD608",
                    f"`{source.location}` holds quantised weights (`{key}`)",
                    advice="use the unquantised model",
                )
            )
    if config.get("add_cross_attention"):
        raise LanguageError(
            source.fault(
                "PD612",
                "the model has cross-attention (`add_cross_attention`), which no node stands for",
                advice="use the decoder-only model",
            )
        )

    def refused(what: str, code: str = "PD615", **more: Any) -> LanguageError:
        message = f"the config of `{source.location}` {what}"
        return LanguageError(source.fault(code, message, **more))

    if found := unusable(config):
        code, message, notes = found
        advice = "save it again with `model.save_pretrained(folder)`"
        raise refused(message, code, notes=notes, advice=advice)
    try:
        shape = SHAPES[kind](config)
    except UnsupportedConfig as error:
        fault = source.fault("PD612", str(error), notes=error.notes, advice=error.advice)
        raise LanguageError(fault) from error
    except (ValueError, TypeError, ArithmeticError, KeyError, AttributeError) as error:
        raise refused(f"cannot be used: {error}") from error
    n_heads = shape.n_layers * shape.n_heads
    if n_heads > HEADS.most:
        raise refused(f"has {n_heads:,} heads in all layers, at most {HEADS.most:,} are taken")
    sizes = (shape.n_layers, shape.n_heads, shape.d_head, shape.d_vocab, shape.n_positions)
    if min(sizes) < 1:
        raise refused(
            f"is impossible: {shape.n_layers} layers, {shape.n_heads} heads on d_model "
            f"{shape.d_model}"
        )
    # What reads a graph goes from layer to layer by calls, some at each.
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 1_000 + CALLS_OF_A_LAYER * shape.n_layers))
    return shape


CALLS_OF_A_LAYER = 16


def shape_of(source: ModelSource) -> ModelShape | None:
    """The model's shape from its config alone; None where no config is at hand (hub, not cached).

    Raises LanguageError as `config_of` and `vet_config` do.
    """
    config = config_of(source)
    return None if config is None else vet_config(source, config)
