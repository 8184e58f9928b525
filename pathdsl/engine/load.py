"""Loads a model for checking: its own weights, complete, finite, in eval mode, without a sound.

`from_pretrained` is generous: it initialises weights that are missing, drops those that it does
not know, unpickles old files and runs code that comes with a model. A checker must do none of
that, so everything is looked at before and after, and refused by name (PD600 to PD620).

Determinism, set by `load` for the whole process: deterministic algorithms only, TF32 off, cuDNN
without its autotuner. The number of threads changes the order of sums inside a matrix product; it
is left as it is unless `threads` is given, and recorded in the facts, since bit-identical results
need the same number.

    loaded = load(source_from(program.model, folder))
    loaded.adapter.shape, loaded.facts["dtype"]
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError, safe_open

from pathdsl.engine.adapters import Adapter, adapter_for
from pathdsl.engine.source import DTYPES, ModelSource, config_of, folder_of, vet_config
from pathdsl.errors import EngineError, LanguageError

__all__ = ["LoadedModel", "check_device", "load", "load_tokenizer", "make_deterministic"]

_INDEX = "model.safetensors.index.json"
_WEIGHTS = "model.safetensors"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model ready to be taken apart; `tokenizer` is None where the model has none.

    `facts`: for the methodology line and the lock, text by name: source, revision, dtype, attention
    implementation, device, threads, versions, tokenizer hash. `weights`: sha256 by file name.
    """

    model: Any
    adapter: Adapter
    tokenizer: Any | None
    source: ModelSource
    facts: Mapping[str, str]
    weights: Mapping[str, str] = field(default_factory=dict)


def load(source: ModelSource, device: str = "cpu", threads: int | None = None) -> LoadedModel:
    """The model of a source with its adapter and tokenizer, on `device`.

    Raises LanguageError where the file names something that cannot be used (PD600, PD601, PD604,
    PD607, PD608, PD610, PD612, PD613, PD615) and EngineError where the weights or the machine
    fail (PD602, PD603, PD605, PD606, PD609, PD611, PD617, PD619, PD620).
    """
    if source.dtype not in DTYPES:
        raise LanguageError(source.fault("PD610", f"dtype `{source.dtype}` is not supported"))
    target = check_device(source, device)
    make_deterministic(target, threads)
    with _quiet():
        place, files = _hub_files(source) if source.kind == "hf" else _folder_files(source)
        for path in files:
            _check_file(source, path)
        model = _read_weights(source, place, target)
        _check_finite(source, model)
        model.eval()
        adapter = adapter_for(model)
        tokenizer = load_tokenizer(source)
    commit = getattr(model.config, "_commit_hash", None) or ""
    weights = {path.name: _sha256(path) for path in files}
    facts = {
        "model": source.written if source.kind != "folder" else f'folder("{place}")',
        "revision": str(commit) if source.kind == "hf" else "",
        "architecture": type(model).__name__,
        "dtype": source.dtype,
        "attention": str(model.config._attn_implementation),
        "device": torch.cuda.get_device_name(target) if target.type == "cuda" else target.type,
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tokenizer": _tokenizer_hash(tokenizer),
    }
    return LoadedModel(
        model=model,
        adapter=adapter,
        tokenizer=tokenizer,
        source=source,
        facts=facts,
        weights=weights,
    )


# ------------------------------------------------------------------------------- the machine


def check_device(source: ModelSource, device: str) -> torch.device:
    """The device of that name; raises EngineError PD619 where this machine has none."""
    try:
        target = torch.device(device)
        if target.type == "meta":
            raise RuntimeError("weights on `meta` have no values")
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise EngineError(
            source.fault(
                "PD619",
                f"this machine has no usable device `{device}`",
                notes=(str(error).splitlines()[0],),
                advice="--device cpu",
            )
        ) from error
    return target


def make_deterministic(device: torch.device, threads: int | None = None) -> None:
    """Sets the whole process to deterministic algorithms, full float32 products, and `threads`."""
    if device.type == "cuda":
        # cuBLAS reads it when its handle is made; results differ between runs without it.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=False)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    if threads is not None:
        torch.set_num_threads(threads)


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar, warning or report of transformers; its settings are put back afterwards."""
    log = transformers.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()


# ------------------------------------------------------------------------------- the files


def _folder_files(source: ModelSource) -> tuple[str, list[Path]]:
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


def _hub_files(source: ModelSource) -> tuple[str, list[Path]]:
    """The hub id and the weight files in the local cache, downloaded if need be, config vetted."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    revision = source.revision or None

    def fetch(name: str) -> Path:
        return Path(hf_hub_download(source.location, name, revision=revision))

    def absent(name: str) -> bool:
        """Whether the repository is there and has no such file."""
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
        if not _cached_absent(source, _WEIGHTS) and not absent(_WEIGHTS):
            return source.location, [fetch(_WEIGHTS)]
        if not absent(_INDEX):
            import json

            index = json.loads(fetch(_INDEX).read_text(encoding="utf-8"))
            return source.location, [
                fetch(name) for name in sorted(set(index["weight_map"].values()))
            ]
        pickled = not absent("pytorch_model.bin")
    except (OSError, ValueError) as error:
        raise _unreachable(source, error) from error
    except Exception as error:
        # The hub client raises errors of several HTTP libraries; all mean the same to the user.
        if type(error).__module__.split(".")[0] in (
            "httpx",
            "httpcore",
            "requests",
            "huggingface_hub",
        ):
            raise _unreachable(source, error) from error
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


def _cached_absent(source: ModelSource, name: str) -> bool:
    """Whether the cache knows that the repository has no such file."""
    from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache

    found = try_to_load_from_cache(source.location, name, revision=source.revision or None)
    return found is _CACHED_NO_EXIST


def _unreachable(source: ModelSource, error: Exception) -> EngineError:
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


def _check_file(source: ModelSource, path: Path) -> None:
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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ------------------------------------------------------------------------------- the weights


def _read_weights(source: ModelSource, place: str, device: torch.device) -> Any:
    """The model as transformers builds it, every weight from the files and every file's weight used."""
    try:
        model, report = transformers.AutoModelForCausalLM.from_pretrained(
            place,
            revision=source.revision or "main",
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="eager",
            dtype=getattr(torch, source.dtype),
            output_loading_info=True,
        )
        kinds = ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")
        found = {kind: sorted(map(str, report.get(kind) or ())) for kind in kinds}
        if any(found.values()):
            raise _misfit(source, found)
        return model.to(device)
    except torch.OutOfMemoryError as error:
        raise _no_memory(source, device) from error
    except MemoryError as error:
        raise _no_memory(source, device) from error
    except RuntimeError as error:
        if "memory" in str(error) and "mismatch" not in str(error):
            raise _no_memory(source, device) from error
        raise _misfit(source, {"error_msgs": str(error).splitlines()[:1]}) from error
    except OSError as error:
        if source.kind == "hf":
            raise _unreachable(source, error) from error
        raise EngineError(
            source.fault("PD609", f"the weights of `{place}` cannot be read: {error}")
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LanguageError(
            source.fault(
                "PD615", f"transformers cannot build `{place}`: {str(error).splitlines()[0]}"
            )
        ) from error


def _misfit(source: ModelSource, found: Mapping[str, list[str]]) -> EngineError:
    words = {
        "missing_keys": "not in the weight file, so they would be random",
        "unexpected_keys": "in the weight file and not used by the model",
        "mismatched_keys": "of another shape than the config says",
        "error_msgs": "reported by transformers",
    }
    notes = []
    for kind, keys in found.items():
        if keys:
            more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
            notes.append(f"{words[kind]}: {', '.join(keys[:5])}{more}")
    return EngineError(
        source.fault(
            "PD605",
            f"the weights of `{source.location}` do not fit its config",
            notes=tuple(notes),
            advice="save model and config together with `model.save_pretrained(folder)`",
        )
    )


def _no_memory(source: ModelSource, device: torch.device) -> EngineError:
    return EngineError(
        source.fault(
            "PD620",
            f"there is not enough memory on `{device}` for `{source.location}` in {source.dtype}",
            advice="dtype: bfloat16",
        )
    )


def _check_finite(source: ModelSource, model: Any) -> None:
    """Raise EngineError PD606 where a weight is infinite or not a number."""
    bad = [name for name, p in model.named_parameters() if not bool(torch.isfinite(p).all())]
    if bad:
        note = ()
        if source.dtype == "float16":
            note = ("float16 ends at 65504: larger weights become infinite",)
        raise EngineError(
            source.fault(
                "PD606",
                f"{len(bad)} weights of `{source.location}` hold infinite values or no numbers, "
                f"first `{bad[0]}`",
                notes=note,
                advice="dtype: float32" if note else "",
            )
        )


# ------------------------------------------------------------------------------- the tokenizer


def load_tokenizer(source: ModelSource) -> Any | None:
    """The model's fast tokenizer, or None where the model comes without one; reads no weights.

    Raises EngineError PD617 where tokenizer files are there and cannot be used, PD611 where the
    hub cannot be reached.
    """
    folder = folder_of(source)
    # transformers makes an empty tokenizer for a folder that has none.
    if folder is not None and not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        return None
    place = source.location if folder is None else str(folder)
    try:
        with _quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                place, revision=source.revision or "main", trust_remote_code=False
            )
    except Exception as error:
        if folder is None and isinstance(error, OSError):
            raise _unreachable(source, error) from error
        raise EngineError(
            source.fault(
                "PD617",
                f"the tokenizer of `{place}` cannot be used",
                notes=(str(error).strip().splitlines()[0],) if str(error).strip() else (),
                advice="tokenizer.save_pretrained(folder)",
            )
        ) from error
    if not getattr(tokenizer, "is_fast", False):
        raise EngineError(
            source.fault(
                "PD617",
                f"the tokenizer of `{place}` is not a fast one, so it cannot say which characters "
                "a token covers",
            )
        )
    return tokenizer if len(tokenizer) > 0 else None


def _tokenizer_hash(tokenizer: Any | None) -> str:
    """sha256 of the tokenizer's own serialisation, "" for none."""
    if tokenizer is None:
        return ""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
