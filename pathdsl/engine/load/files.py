"""Finds the weight files of a model, in a folder or on the hub, and refuses all but safetensors."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any

from pathdsl.engine.load.language_part import language_name
from pathdsl.engine.load.pickles import PICKLES
from pathdsl.engine.load.source import ModelSource, config_of, folder_of, vet_config
from pathdsl.errors import EngineError, LanguageError
from pathdsl.reading import read_file
from pathdsl.strictjson import JsonFault, read_json

__all__ = [
    "TOKENIZER_FILES",
    "all_files", "check_file", "check_size", "folder_files", "hub_files", "hub_folder", "sha256_of",
    "strangers", "unreachable",
]  # fmt: skip

_INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_WEIGHTS = "model.safetensors"
_FLOATS = ("F64", "F32", "F16", "BF16")
_PEFT = "adapter_config.json"
# What older versions of transformers saved with the weights: causal masks, tables of angles, a mark
# of a version. Modules make these from the config, so nothing is computed from what is saved. And
# what encoders were trained with beside the masked tokens: the pooler and what reads it alone.
_SAVED_BUFFERS = {
    "gpt2": re.compile(r"\.attn\.(masked_)?bias$"),
    "gpt_neo": re.compile(r"\.attn\.attention\.(masked_)?bias$"),
    "gptj": re.compile(r"\.attn\.((masked_)?bias|embed_positions)$"),
    "gpt_neox": re.compile(r"\.attention\.(masked_)?bias$"),
    "opt": re.compile(r"(^|\.)decoder\.version$"),
    "bert": re.compile(
        r"^((bert\.)?(pooler\.dense\.(weight|bias)|embeddings\.position_ids)"
        r"|cls\.seq_relationship\.(weight|bias))$"
    ),
    "roberta": re.compile(r"^(roberta\.)?(pooler\.dense\.(weight|bias)|embeddings\.position_ids)$"),
}
_ANGLES = re.compile(r"\.rotary_emb\.inv_freq$")


def all_files(folder: Path) -> list[Path]:
    """The files of a model's folder, and those of the one in it that transformers reads."""
    places = (folder, folder / "additional_chat_templates")
    found = [path for place in places if place.is_dir() for path in place.iterdir()]
    return sorted(path for path in found if path.is_file())


def folder_files(source: ModelSource) -> tuple[str, list[Path]]:
    """The folder and its weight files, config vetted."""
    folder = folder_of(source)
    if folder is not None and os.path.isfile(folder / _PEFT):
        raise _peft(source)
    config = config_of(source)
    assert folder is not None and config is not None  # only a hub model has none
    vet_config(source, config)
    return str(folder), _weight_files(source, folder)


def _weight_files(source: ModelSource, folder: Path) -> list[Path]:
    if os.path.isfile(folder / _WEIGHTS):
        return [folder / _WEIGHTS]
    if os.path.isfile(folder / _INDEX):
        return [folder / name for name in _shards(source, folder / _INDEX, folder)]
    if pickles := sorted(path.name for kind in PICKLES for path in folder.glob(f"*{kind}")):
        raise EngineError(
            source.fault(
                "PD603",
                f"`{folder}` has its weights only in `{pickles[0]}`",
                notes=("a pickle runs code when it is read; only safetensors are loaded",),
                advice="model.save_pretrained(folder) writes `model.safetensors`",
            )
        )
    raise EngineError(
        source.fault(
            "PD602",
            f"`{folder}` has no weights: there is no `{_WEIGHTS}`",
            advice=f"--model {source.name}=folder:PATH",
        )
    )


def _peft(source: ModelSource) -> LanguageError:
    return LanguageError(
        source.fault(
            "PD607",
            f"`{source.location}` holds an adapter of PEFT (`{_PEFT}`), not a model as it runs",
            notes=("low-rank parts beside the weights are no nodes of the graph",),
            advice="merge it into its model: `model.merge_and_unload().save_pretrained(folder)`",
        )
    )


def _shards(source: ModelSource, index: Path, folder: Path | None = None) -> list[str]:
    """The weight files that an index names, sorted; PD609 where it is damaged or one is missing."""

    def damaged(message: str, advice: str = "copy or download it again") -> EngineError:
        return EngineError(source.fault("PD609", message, advice=advice))

    try:
        names = sorted(set(read_json(read_file(index))["weight_map"].values()))
    except (OSError, JsonFault, KeyError, TypeError, AttributeError) as error:
        raise damaged(f"`{index}` is no index of weight files") from error
    if not names or any(not isinstance(n, str) or Path(n).name != n for n in names):
        raise damaged(f"`{index}` names no files beside it")
    missing = [name for name in names if folder is not None and not os.path.isfile(folder / name)]
    if missing:
        listed = ", ".join(f"`{name}`" for name in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise damaged(
            f"{len(missing)} of the {len(names)} weight files of `{source.location}` "
            f"{'are' if len(missing) > 1 else 'is'} missing: {listed}{more}",
            f"copy or download {'them' if len(missing) > 1 else 'it'} again",
        )
    return names


def hub_files(source: ModelSource) -> tuple[str, list[Path]]:
    """The hub id and the weight files in the local cache, downloaded if need be, config vetted."""
    from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    revision = source.revision or None

    def fetch(name: str) -> Path:
        return Path(hf_hub_download(source.location, name, revision=revision))

    def absent(name: str) -> bool:
        """Whether the repository is there and has no such file."""
        if try_to_load_from_cache(source.location, name, revision=revision) is _CACHED_NO_EXIST:
            return True
        try:
            fetch(name)
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            return True
        return False

    def absent_or_unknown(name: str) -> bool:
        """The same, and True where neither the cache nor the hub can say."""
        try:
            return absent(name)
        except LocalEntryNotFoundError:
            return True

    try:
        if not absent_or_unknown(_PEFT):
            raise _peft(source)
        if absent("config.json"):
            raise LanguageError(source.fault("PD601", f"`{source.location}` has no `config.json`"))
        config = config_of(source)
        if config is not None:
            vet_config(source, config)
        if not absent(_WEIGHTS):
            return source.location, [fetch(_WEIGHTS)]
        if not absent(_INDEX):
            return source.location, [fetch(name) for name in _shards(source, fetch(_INDEX))]
        pickled = not absent("pytorch_model.bin") or not absent("pytorch_model.bin.index.json")
    except (OSError, ValueError) as error:
        raise unreachable(source, error) from error
    except Exception as error:
        # The hub client raises errors of several HTTP libraries; all mean the same to the user.
        if type(error).__module__.split(".")[0] in (
            "httpx",
            "httpcore",
            "requests",
            "huggingface_hub",
        ):
            raise unreachable(source, error) from error
        raise
    if pickled:
        raise EngineError(
            source.fault(
                "PD603",
                f"`{source.location}` has its weights only in `pytorch_model.bin`",
                notes=("a pickle runs code when it is read; only safetensors are loaded",),
            )
        )
    raise EngineError(source.fault("PD602", f"`{source.location}` has no `{_WEIGHTS}`"))


def unreachable(source: ModelSource, error: Exception) -> EngineError:
    """The exception that says why a hub model cannot be had (PD611), and what to do."""
    revision = f" at revision `{source.revision}`" if source.revision else ""
    return EngineError(
        source.fault(
            "PD611",
            f"cannot get `{source.location}`{revision} from the model hub",
            notes=(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}",)
            if str(error).strip()
            else (),
            advice=f"--model {source.name}=folder:PATH",
        )
    )


def check_size(source: ModelSource, held: int) -> None:
    """Raise EngineError PD605 where weight files of `held` numbers are too small for the config.

    What is missing would be made up first, however much it is; counted are the least that every
    family has: embeddings, the values and outputs of heads, two matrices of every MLP.
    """
    shape = vet_config(source, config_of(source) or {})
    heads = shape.n_heads + shape.n_groups
    attentive = sum(not shape.recurs(layer) for layer in range(shape.n_layers))
    units = 0
    for layer in range(shape.n_layers if shape.has_mlp else 0):
        mixture = shape.mixture if shape.routes(layer) else None
        units += shape.used_units(layer) if mixture is None else mixture.n_experts * mixture.width
    least = (shape.d_vocab + shape.d_vocab_out) * shape.d_model + 2 * shape.d_model * units
    least += attentive * shape.d_model * shape.d_head * heads
    least -= sum(map(shape.shares, range(shape.n_layers))) * (
        shape.d_model * shape.d_head * shape.n_groups
    )
    if least > held:
        raise EngineError(
            source.fault(
                "PD605",
                f"the weights of `{source.location}` do not fit its config",
                notes=(
                    f"its config is that of a model of {least:,} weights at least, and "
                    f"{held:,} are there",
                ),
                advice="save model and config together with `model.save_pretrained(folder)`",
            )
        )


def check_file(source: ModelSource, path: Path) -> int:
    """The numbers that a weight file holds.

    Raises EngineError PD609 where it is damaged, PD608 where it holds integers.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as weights:
            parts = {name: weights.get_slice(name) for name in weights.keys()}
            held = sum(prod(part.get_shape()) for part in parts.values())
            kinds = {n: part.get_dtype() for n, part in parts.items() if n.endswith(".weight")}
    except (SafetensorError, OSError) as error:
        raise EngineError(
            source.fault(
                "PD609",
                f"`{path}` is damaged or incomplete",
                notes=(str(error).splitlines()[0],),
                advice="copy or download it again",
            )
        ) from error
    # transformers would convert these to the dtype asked for, scales and all left out.
    if odd := [name for name, kind in kinds.items() if kind not in _FLOATS]:
        raise EngineError(
            source.fault(
                "PD608",
                f"`{path}` holds quantised weights: `{odd[0]}` is of dtype {kinds[odd[0]]}",
                advice="use the unquantised model",
            )
        )
    return held


def strangers(
    model: Any, unused: Iterable[str], files: Iterable[Path], *, part: bool = False
) -> list[str]:
    """The tensors of weight files that a loaded model does not use, saved buffers left out; sorted.

    `part`: the files hold other parts, which are left out.

    `unused`: those that transformers names. It leaves out whatever its own patterns find, and these
    find more than buffers, so the files are looked at again.
    """
    from safetensors import safe_open

    buffers = _SAVED_BUFFERS.get(model.config.model_type)
    turns = any(_ANGLES.search(name) for name, _ in model.named_buffers(prefix="."))
    quiet = [re.compile(p) for p in model._keys_to_ignore_on_load_unexpected or ()]
    if turns:
        quiet.append(re.compile(r"rotary_emb\.inv_freq"))
    known, prefix = set(model.state_dict()), f"{model.base_model_prefix}."
    found, of_text = set(unused), set[str]()
    for path in files:
        with safe_open(path, framework="pt") as weights:
            of_text.update(filter(None, map(language_name, weights.keys() if part else ())))
            found.update(
                name
                for name in weights.keys()
                if not {name, prefix + name} & known and any(p.search(name) for p in quiet)
            )
    if part:
        renamed = {language_name(name) or name for name in found}  # or transformers has done so
        found = (renamed & of_text) - known
    unread = tuple(_of_shared_keys(model))
    return sorted(
        name
        for name in found
        if not (buffers and buffers.search(name))
        and not (turns and _ANGLES.search(name))
        and not name.startswith(unread)
    )


def _of_shared_keys(model: Any) -> Iterator[str]:
    """What weights of keys and values begin with in layers that are given those of other layers:
    published files of Gemma 4 hold some, which no model reads."""
    for name, part in model.named_modules():
        if getattr(part, "is_kv_shared_layer", False):
            for own in ("k_proj", "v_proj", "k_norm", "v_norm"):
                yield f"{name}.{own}."
                yield f"{name.removeprefix(f'{model.base_model_prefix}.')}.{own}."


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hub_folder() -> str:
    """The folder on this machine that holds what was downloaded from the hub."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return str(HF_HUB_CACHE)
