"""Which known family an unknown one resembles, and in what it differs: for those who may add it.

Nothing of this is used to compute with. An unknown family is compared by the fields of its config
and, where its class is part of `transformers`, by its modules (built without weights, on the device
`meta`) and by the text of its modelling file, which is read and not run for known families.

    found = resemblance({"model_type": "helium", …})
    found.nearest, found.modules, found.code, found.fields
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from pathdsl.graph.model.builds import BUILDS
from pathdsl.graph.model.families import SHAPES

__all__ = ["Resemblance", "resemblance"]

Config = Mapping[str, object]

_LAYERS = 2
"""So many layers are built to be compared."""

_MOST: Mapping[str, int] = {"expert": 512, "layer": 512, "head": 4096}
"""What there may be many modules of, by what stands in the name of its field: with more, nothing is
made of a config."""

_LIKE = 0.4
"""At least this share of a modelling file has to read like that of the nearest family."""

_ENDINGS = ("ForCausalLM", "ForMaskedLM", "LMHeadModel", "ForConditionalGeneration", "Model")
_IDLE = (nn.Dropout, nn.Identity)
_UNREAD = re.compile(
    r"dropout|pdrop|initializer|init_|loss|use_cache|token_id|output_|^_|tokenizer|_plan$"
)
"""Fields of configs that do not change a forward pass in eval mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resemblance:
    """What is known of an unknown family.

    `kind`: its model type; `part`: the object of the config that it is of, empty for the whole.
    `nearest`: the known family that is most like it, empty where none is much alike. `same`: how
    many of `of` classes and functions of its modelling file read the same, None where there is no
    such class in `transformers`. `modules`, `code` and `fields`: what differs, a sentence or a name
    each. `refused`: why its config cannot be read as one of the nearest family, empty where it can.
    `parts`: of a model that is no decoder of text alone, each part and what stands for it.
    """

    kind: str
    part: str
    nearest: str
    same: int | None
    of: int | None
    modules: tuple[str, ...]
    code: tuple[str, ...]
    fields: tuple[str, ...]
    refused: str
    parts: tuple[str, ...]


def resemblance(config: Config) -> Resemblance | None:
    """The known family that a config of an unknown one resembles; None without a model type."""
    kind, part, inner = str(config.get("model_type") or ""), "", config
    if not kind:
        return None
    parts = tuple(_parts(config))
    text = config.get("text_config")
    if isinstance(text, Mapping) and kind not in SHAPES:
        own = str(text.get("model_type") or "")
        if not own or own in SHAPES:
            return Resemblance(
                kind=own or kind, part="text_config" if own else "", nearest=own, same=None,
                of=None, modules=(), code=(), fields=(), refused="", parts=parts,
            )  # fmt: skip
        kind, part, inner = own, "text_config", text
    if kind in SHAPES:
        return None
    inner = _whole(inner, kind)
    fields = {key: inner[key] for key in inner if _matters(key)}
    model = None if inner.get("is_encoder_decoder") else _built(kind, inner)
    same: int | None = None
    of: int | None = None
    modules: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    if inner.get("is_encoder_decoder"):
        nearest = ""
    elif model is None:
        nearest = _by_fields(inner, fields)
    else:
        defined = _used(_definitions(kind), model, _prefix(kind))
        nearest = _by_code(defined)
        if nearest:
            same, of, code = _compared(defined, _definitions(nearest))
            modules = tuple(_module_differences(model, kind, nearest))
    return Resemblance(
        kind=kind, part=part, nearest=nearest, same=same, of=of, modules=modules, code=code,
        fields=tuple(_field_differences(fields, nearest)) if nearest else (),
        refused=_refused(inner, nearest) if nearest else "", parts=parts,
    )  # fmt: skip


# ------------------------------------------------------------------------------------- fields


@cache
def _of_every_config() -> frozenset[str]:
    """Fields that configs of all kinds have."""
    from transformers import PretrainedConfig

    return frozenset(PretrainedConfig().to_dict()) | {"architectures", "auto_map", "torch_dtype"}


@cache
def _known_fields(kind: str) -> Mapping[str, object]:
    from transformers import AutoConfig

    found: Mapping[str, object] = AutoConfig.for_model(kind).to_dict()
    return found


def _comparable() -> list[str]:
    """The known families that are part of the installed `transformers`, those of the table, Llama
    at their head, before the others: of equally near ones the first is said."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    ordered = dict.fromkeys([*BUILDS, *SHAPES])
    return [kind for kind in ordered if kind in SHAPES and kind in CONFIG_MAPPING_NAMES]


def _matters(field: str) -> bool:
    """Whether a field of a config may change what a model computes."""
    return field not in _of_every_config() and not _UNREAD.search(field)


def _whole(config: Config, kind: str) -> Config:
    """A config with the fields that its class fills in, where `transformers` has it."""
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if kind not in CONFIG_MAPPING_NAMES or _is_huge(config):
        return config
    try:
        return {**AutoConfig.for_model(kind, **_plain(config)).to_dict(), **config}
    except Exception:  # classes raise what they like for a config that they do not take
        return config


def _is_huge(config: Config) -> bool:
    """Whether to make something of every layer, head or expert would take long."""
    counts = [(key, value) for key, value in config.items() if isinstance(value, int | float)]
    return any(
        word in key and value > most for key, value in counts for word, most in _MOST.items()
    )


def _plain(config: Config) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "model_type"}


def _by_fields(config: Config, fields: Mapping[str, object]) -> str:
    """The known family whose config has most of these fields, and of several one as which the
    config can be read. Empty where none has half of them."""
    if not fields:
        return ""

    def likeness(kind: str) -> tuple[int, bool]:
        known = {key for key in _known_fields(kind) if _matters(key)}
        return len(known & set(fields)), not _refused(config, kind)

    nearest = max(_comparable(), key=likeness)
    return nearest if 2 * likeness(nearest)[0] >= len(fields) else ""


def _field_differences(fields: Mapping[str, object], nearest: str) -> Iterator[str]:
    known = {*_known_fields(nearest), "rope_theta", "rope_scaling", "partial_rotary_factor"}
    for key, value in sorted(fields.items()):
        if key not in known and value not in (None, False, [], {}, ""):
            text = json.dumps(value, default=str)
            yield f"`{key}: {text if len(text) <= 40 else text[:37] + '...'}`"


def _refused(config: Config, nearest: str) -> str:
    """Why a config cannot be read as one of a known family."""
    if _is_huge(config):
        return "its counts are too large"
    try:
        SHAPES[nearest]({**config, "model_type": nearest})
    except (ValueError, TypeError, ArithmeticError, KeyError, AttributeError) as error:
        return str(error)
    return ""


# ------------------------------------------------------------------------------------- parts


def _parts(config: Config) -> Iterator[str]:
    """The parts of a model that is more than a decoder of text, and what stands for each."""
    for key, value in config.items():
        if isinstance(value, Mapping) and key.endswith("_config") and value.get("model_type"):
            kind = str(value["model_type"])
            can = "can be taken apart alone" if kind in SHAPES else "no node stands for it"
            if key == "text_config" and kind not in SHAPES:
                can = "the part that reads text"
            yield f"`{key}`: `{kind}`, {can}"
    if config.get("is_encoder_decoder"):
        kind = str(config.get("model_type"))
        yield from _of_encoder_and_decoder(_built(kind, config, whole=True))


def _of_encoder_and_decoder(model: nn.Module | None) -> Iterator[str]:
    names = dict(model.named_children()) if model is not None else {}
    for name in ("encoder", "decoder"):
        kind = f" (`{type(names[name]).__name__}`)" if name in names else ""
        if name == "encoder":
            yield f"`encoder`{kind}: reads one text, and no node stands for what it gives"
            continue
        crosses = sorted(
            {
                re.sub(r"\d+", "N", path)
                for path, _ in (names[name].named_modules() if name in names else ())
                if re.search(
                    r"(?i)(encoder_?attn|encdecattention|cross_?attn|crossattention)$", path
                )
            }
        )
        through = f" through `{crosses[0]}`" if crosses else ""
        yield f"`decoder`{kind}: reads the encoder{through}, an edge that the graph has not"


# ------------------------------------------------------------------------------------- modules


def _built(kind: str, config: Config, whole: bool = False) -> nn.Module | None:
    """A model of `transformers` without weights, of a few layers; None where there is no class."""
    import torch
    import transformers

    auto = "AutoModel" if whole else _class_of(kind)[0]
    if not auto or _is_huge(config):
        return None
    make: Any = getattr(transformers, auto)
    for given in (_shortened(config), {}, {"head_dim": 64}):  # Ministral has no width by default
        try:
            own = transformers.AutoConfig.for_model(kind, **given)
            with torch.device("meta"):
                made: nn.Module = make.from_config(own)
            return made
        except Exception:  # classes raise what they like for a config that they do not take
            continue
    return None


def _shortened(config: Config) -> dict[str, Any]:
    """A config of few layers, and of as many entries wherever it has one for each layer."""
    found, layers = _plain(config), config.get("num_hidden_layers")
    if not isinstance(layers, int):
        return found
    for key, value in found.items():
        if isinstance(value, list) and len(value) == layers:
            found[key] = value[:_LAYERS]
    return {**found, "num_hidden_layers": min(layers, _LAYERS)}


def _class_of(kind: str) -> tuple[str, str]:
    """The class of `transformers` that predicts tokens, and the one that makes it: of those with
    heads that see earlier positions first. Empty where there is none."""
    from transformers.models.auto import modeling_auto

    for auto, known in (
        ("AutoModelForCausalLM", modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES),
        ("AutoModelForMaskedLM", modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES),
    ):
        if name := known.get(kind):
            return auto, name if isinstance(name, str) else name[0]
    return "", ""


def _prefix(kind: str) -> str:
    """What the names of a family's classes begin with."""
    name = _class_of(kind)[1]
    return next((name.removesuffix(end) for end in _ENDINGS if name.endswith(end)), name)


def _tree(model: nn.Module, prefix: str) -> dict[str, str]:
    """Modules and parameters of other names than `weight` and `bias`, by path with `N` for every
    number, each with its class."""
    found: dict[str, str] = {}
    for path, part in model.named_modules():
        if path and not isinstance(part, _IDLE):
            found[_numbered(path)] = type(part).__name__.removeprefix(prefix)
    for path, _ in model.named_parameters():
        if path.rpartition(".")[2] not in ("weight", "bias"):
            found[_numbered(path)] = "parameter"
    return found


def _numbered(path: str) -> str:
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "N", path)


def _module_differences(model: nn.Module, kind: str, nearest: str) -> Iterator[str]:
    known = _built(nearest, {})
    if known is None:
        return
    theirs, ours = _tree(model, _prefix(kind)), _tree(known, _prefix(nearest))
    for path in _topmost(theirs, ours):
        yield f"`{path}` ({theirs[path]}) is not in `{nearest}`"
    for path in _topmost(ours, theirs):
        yield f"`{path}` of `{nearest}` is missing"
    for path in sorted(set(ours) & set(theirs)):
        if ours[path] != theirs[path]:
            yield f"`{path}` is a `{theirs[path]}`, in `{nearest}` a `{ours[path]}`"


def _topmost(some: Mapping[str, str], others: Mapping[str, str]) -> list[str]:
    """Paths that others have not, without those below one that they have not either."""
    missing = {path for path in some if path not in others}
    return sorted(path for path in missing if path.rpartition(".")[0].removesuffix(".N") not in
                  missing and path.rpartition(".")[0] not in missing)  # fmt: skip


# ------------------------------------------------------------------------------------- code


@cache
def _definitions(kind: str) -> Mapping[str, str]:
    """Classes and functions of a family's modelling file without its prefix, what is only written
    for readers left out: annotations, texts and decorators."""
    import transformers
    from transformers.models.auto.configuration_auto import model_type_to_module_name

    name = model_type_to_module_name(kind)
    folder = Path(str(transformers.__file__)).parent / "models" / name
    path = folder / f"modeling_{name}.py"
    if not path.is_file():
        return {}
    prefix = _prefix(kind)
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            text = ast.unparse(_Bare().visit(node))
            found[node.name.removeprefix(prefix)] = text.replace(prefix, "") if prefix else text
    return found


class _Bare(ast.NodeTransformer):
    """Takes annotations, docstrings and decorators out of a definition."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """One function."""
        node.returns, node.decorator_list = None, []
        return self._without_text(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """One class."""
        node.decorator_list = []
        return self._without_text(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """One argument."""
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """`name: kind = value` as `name = value`."""
        if node.value is None:
            return node
        return ast.Assign(targets=[node.target], value=node.value, lineno=node.lineno)

    def _without_text(self, node: Any) -> ast.AST:
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)


def _used(defined: Mapping[str, str], model: nn.Module, prefix: str) -> dict[str, str]:
    """What of a modelling file a model is made of: classes of its modules, and functions that they
    call."""
    classes = {type(part).__name__.removeprefix(prefix) for part in model.modules()}
    found = {name: text for name, text in defined.items() if name in classes}
    while True:
        text = "\n".join(found.values())
        more = {
            name: body
            for name, body in defined.items()
            if name not in found and name.islower() and re.search(rf"\b{name}\b", text)
        }
        if not more:
            return found
        found |= more


def _by_code(defined: Mapping[str, str]) -> str:
    """The known family whose modelling file reads most alike; empty where none does."""

    def likeness(kind: str) -> float:
        known = _definitions(kind)
        return sum(_alike(text, known[name]) for name, text in defined.items() if name in known)

    nearest = max(_comparable(), key=likeness)
    return nearest if likeness(nearest) >= _LIKE * len(defined) else ""


def _compared(
    defined: Mapping[str, str], known: Mapping[str, str]
) -> tuple[int, int, tuple[str, ...]]:
    """How many definitions are the same, of how many, and what of the others reads otherwise."""
    shared = [name for name in defined if name in known]
    other = [name for name in shared if defined[name] != known[name]]
    differing = [part for name in other for part in _otherwise(name, defined[name], known[name])]
    return len(shared) - len(other), len(defined), tuple(differing)


def _otherwise(name: str, text: str, known: str) -> list[str]:
    """The methods of a class that read otherwise; its name where it is a function."""
    bodies = [
        {part.name: ast.unparse(part) for part in node.body if isinstance(part, ast.FunctionDef)}
        if isinstance(node := ast.parse(one).body[0], ast.ClassDef)
        else {}
        for one in (text, known)
    ]
    names = [part for part in bodies[0] if bodies[0][part] != bodies[1].get(part)]
    # What a class makes shows in its modules.
    names = [part for part in names if part != "__init__"] or names
    return [f"{name}.{part}" for part in names] or [name]


@cache
def _alike(one: str, other: str) -> float:
    if one == other:
        return 1.0
    return SequenceMatcher(None, one.split("\n"), other.split("\n"), autojunk=False).ratio()
