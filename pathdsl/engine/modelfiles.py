"""Finds the weight files of a model, in a folder or on the hub, and refuses all but safetensors."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from pathdsl.engine.source import ModelSource, config_of, folder_of, vet_config
from pathdsl.errors import EngineError, LanguageError

__all__ = ["check_file", "folder_files", "hub_files", "sha256_of", "unreachable"]

_INDEX = "model.safetensors.index.json"
_WEIGHTS = "model.safetensors"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")


def folder_files(source: ModelSource) -> tuple[str, list[Path]]:
    """The folder and its weight files, config vetted."""
    folder = folder_of(source)
    config = config_of(source)
    assert folder is not None and config is not None  # only a hub model has none
    vet_config(source, config)
    return str(folder), _weight_files(source, folder)


def _weight_files(source: ModelSource, folder: Path) -> list[Path]:
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    if (folder / _INDEX).is_file():
        shards = sorted(folder.glob("model-*.safetensors"))
        if shards:
            return shards
    if pickles := sorted(path.name for kind in _PICKLES for path in folder.glob(kind)):
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

    try:
        if absent("config.json"):
            raise LanguageError(source.fault("PD601", f"`{source.location}` has no `config.json`"))
        config = config_of(source)
        if config is not None:
            vet_config(source, config)
        if not absent(_WEIGHTS):
            return source.location, [fetch(_WEIGHTS)]
        if not absent(_INDEX):
            index = json.loads(fetch(_INDEX).read_text(encoding="utf-8"))
            return source.location, [
                fetch(name) for name in sorted(set(index["weight_map"].values()))
            ]
        pickled = not absent("pytorch_model.bin")
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


def check_file(source: ModelSource, path: Path) -> None:
    """Raise EngineError PD609 where a weight file is damaged."""
    try:
        with safe_open(path, framework="pt") as weights:
            weights.keys()
    except (SafetensorError, OSError) as error:
        raise EngineError(
            source.fault(
                "PD609",
                f"`{path}` is damaged or incomplete",
                notes=(str(error).splitlines()[0],),
                advice="copy or download it again",
            )
        ) from error


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
