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
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathdsl.engine.heap import give_back, may_go
from pathdsl.engine.load.devices import (
    AUTO,
    check_device,
    check_placed,
    device_text,
    make_deterministic,
    no_placing,
)
from pathdsl.engine.load.experts import with_joined
from pathdsl.engine.load.files import (
    TOKENIZER_FILES,
    check_file,
    check_size,
    folder_files,
    hub_files,
    sha256_of,
    strangers,
    unreachable,
)
from pathdsl.engine.load.header import UnlikeFile, stored_weights
from pathdsl.engine.load.language_part import PART, RENAMED, language_part
from pathdsl.engine.load.source import DTYPES, ModelSource, config_of, folder_of, vet_config
from pathdsl.engine.load.tokenizer_file import read_otherwise
from pathdsl.engine.load.versions import version_text, version_warning
from pathdsl.errors import Diagnostic, EngineError, LanguageError, PathdslError
from pathdsl.graph.model.shape import ModelShape

if TYPE_CHECKING:
    import torch

    from pathdsl.engine.adapters import Adapter

__all__ = [
    "LoadedModel",
    "fetch_config",
    "load",
    "load_tokenizer",
    "quiet",
    "tokenizer_hash",
    "weight_files",
    "weight_hashes",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model ready to be taken apart; `tokenizer` is None where the model has none.

    `facts`: for the methodology line and the lock, text by name: source, revision, dtype, attention
    implementation, device, threads, versions, tokenizer hash. `weights`: sha256 by file name.
    `warnings`: PD622, where transformers is a version that was not tested.
    """

    model: Any
    adapter: Adapter
    tokenizer: Any | None
    source: ModelSource
    facts: Mapping[str, str]
    weights: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()


def load(
    source: ModelSource,
    device: str = "cpu",
    threads: int | None = None,
    *,
    fused: bool = False,
    streamed: bool = False,
) -> LoadedModel:
    """The model of a source with its adapter and tokenizer, on `device`.

    `device` "auto": the weights are placed by transformers and accelerate, on several devices if
    one does not hold them; each layer then runs where it is.
    `fused`: attention without its (queries x keys) pattern where the family allows it; which one
    it became is the fact `attention`, and holds for the model's own forward pass, too.
    `streamed`: its weights stay in their files, and a layer is read when it is used
    (`pathdsl.engine.load.streaming`). Not with "auto".

    Raises LanguageError where the file names something that cannot be used (PD600, PD601, PD604,
    PD607, PD608, PD610, PD612, PD613, PD615) and EngineError where the weights or the machine
    fail (PD602, PD603, PD605, PD606, PD609, PD611, PD617, PD619, PD620, PD621).
    """
    import torch
    import transformers

    from pathdsl.engine.adapters import adapter_for, announce, fuses, implementation

    if source.dtype not in DTYPES:
        raise LanguageError(source.fault("PD610", f"dtype `{source.dtype}` is not supported"))
    target = check_device(source, device)
    make_deterministic(target, threads)
    spread = device == AUTO
    with quiet():
        place, files = _files(source)
        held = sum(check_file(source, path) for path in files)
        check_size(source, held)
        config = config_of(source) or {}
        fused = fused and fuses(config)
        announce(config)
        attention = implementation(config, fused=fused)
        model = _read_weights(source, place, files, target, attention, spread, streamed)
        _check_finite(source, model)
        model.eval()
        adapter = adapter_for(model, fused=fused)
        _check_shape(source, config, adapter.shape)
        if threads is None and _is_small(model):
            # Splitting tiny products costs more than it saves, most of all beside other programs.
            torch.set_num_threads(1)
        tokenizer = load_tokenizer(source)
    if streamed:
        give_back()  # reading a tokenizer and importing a model leave much behind
    else:
        for part in (model.get_input_embeddings(), model.get_output_embeddings()):
            if isinstance(weight := getattr(part, "weight", None), torch.Tensor):
                may_go(weight)
    weights = {path.name: sha256_of(path) for path in files}
    facts = {
        "model": source.written,
        "revision": _commit(source, files),
        "architecture": type(model).__name__
        + (f", the text of a {config[PART]}" if PART in config else ""),
        "dtype": source.dtype,
        "attention": str(model.config._attn_implementation),
        "device": device_text(model, target),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "transformers": version_text(transformers.__version__),
        "tokenizer": tokenizer_hash(tokenizer),
    }
    return LoadedModel(
        model=model,
        adapter=adapter,
        tokenizer=tokenizer,
        source=source,
        facts=facts,
        weights=weights,
        warnings=version_warning(source, transformers.__version__),
    )


def weight_hashes(
    source: ModelSource, hash_of: Callable[[Path], str] = sha256_of
) -> tuple[str, dict[str, str]]:
    """The commit of a hub model ("" for others), and the sha256 of each weight file by its name.

    Loads nothing, and no torch for files that lie in a folder. Raises what `load` raises where
    there are no files to read.
    """
    files = weight_files(source)
    return _commit(source, files), {path.name: hash_of(path) for path in files}


def weight_files(source: ModelSource) -> list[Path]:
    """The weight files of a model; raises what `load` raises where there are none."""
    if source.lies != "on the hub":
        return _files(source)[1]
    with quiet():
        return _files(source)[1]


def _files(source: ModelSource) -> tuple[str, list[Path]]:
    return hub_files(source) if source.lies == "on the hub" else folder_files(source)


def _commit(source: ModelSource, files: list[Path]) -> str:
    # The cache keeps a hub file in `snapshots/COMMIT/`.
    return files[0].parent.name if source.lies == "on the hub" else ""


# ------------------------------------------------------------------------------- the machine


SMALL_MODEL = 20_000_000
"""Parameters below which one thread is faster than two."""


LOOKED_AT = 1 << 20
"""Weights that are looked at together, so that what looks takes little beside them."""


def _is_small(model: Any) -> bool:
    return sum(parameter.numel() for parameter in model.parameters()) < SMALL_MODEL


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bar, warning or report of the libraries; settings are put back afterwards."""
    import transformers

    log = transformers.utils.logging
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "accelerate")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.set_verbosity(verbosity)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            log.enable_progress_bar()


# ------------------------------------------------------------------------------- the weights


_DECODER = "AutoModelForCausalLM"
# What a config may ask of how a forward pass is run and handed back: it changes no logit.
_RETURNED: Mapping[str, object] = {
    "return_dict": True, "output_attentions": False, "output_hidden_states": False,
    "chunk_size_feed_forward": 0,
}  # fmt: skip


def _read_weights(
    source: ModelSource,
    place: str,
    files: list[Path],
    device: torch.device,
    attention: str,
    spread: bool,
    streamed: bool,
) -> Any:
    """The model as transformers builds it: every weight read, and every weight used."""
    import torch
    import transformers

    config = config_of(source) or {}
    mixed = vet_config(source, config).mixture is not None
    from pathdsl.engine.adapters import FAMILIES

    try:
        kind = str(config.get("model_type"))
        auto = getattr(transformers, FAMILIES[kind].auto if kind in FAMILIES else _DECODER)
        where = {"revision": source.revision or "main", "trust_remote_code": False}
        fields = {
            **{name: own for name, own in _RETURNED.items() if name in config},
            **({"_attn_implementation": attention} if "_attn_implementation" in config else {}),
        }
        dtype: torch.dtype = getattr(torch, source.dtype)
        # What transformers takes otherwise has no float64 on a CPU, and is an error there.
        options: dict[str, Any] = {
            "attn_implementation": attention,
            **({"experts_implementation": "eager"} if mixed else {}),
        }  # fmt: skip
        part = PART in config
        given = _config_of_part(source, config, files) if part else None
        if streamed:
            from pathdsl.engine.load.streaming import built

            if given is None:
                given = transformers.AutoConfig.from_pretrained(place, **where, **fields)
            weights = with_joined(stored_weights(source, files, part=part))
            model, report = built(auto, given, weights, dtype, device, **options)
        else:
            read: Any = auto.from_pretrained
            more = {"config": given, "key_mapping": dict(RENAMED)} if part else fields
            model, report = read(
                place, **where, **more, **options, use_safetensors=True, dtype=dtype,
                output_loading_info=True, **({"device_map": "auto"} if spread else {}),
            )  # fmt: skip
        kinds = ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")
        found = {kind: sorted(map(str, report.get(kind) or ())) for kind in kinds}
        found["unexpected_keys"] = strangers(model, found["unexpected_keys"], files, part=part)
        if any(found.values()):
            raise _misfit(source, found)
        if spread:
            check_placed(source, model)
        return model if spread or streamed else model.to(device)
    except torch.OutOfMemoryError as error:
        raise _no_memory(source, device) from error
    except MemoryError as error:
        raise _no_memory(source, device) from error
    except RecursionError as error:
        raise _unbuilt(source, place, error) from error
    except RuntimeError as error:
        if "memory" in str(error) and "mismatch" not in str(error):
            raise _no_memory(source, device) from error
        raise _misfit(source, {"error_msgs": str(error).splitlines()[:1]}) from error
    except ImportError as error:
        if not spread:
            raise
        raise no_placing(source, str(error)) from error
    except OSError as error:
        if source.lies == "on the hub":
            raise unreachable(source, error) from error
        raise EngineError(
            source.fault("PD609", f"the weights of `{place}` cannot be read: {error}")
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if spread and "offload" in str(error):
            raise _no_memory(source, device) from error
        raise _unbuilt(source, place, error) from error
    except PathdslError:
        raise
    except UnlikeFile as error:
        raise EngineError(
            source.fault(
                "PD620",
                f"`{source.location}` cannot be read a layer at a time: `{error.name}` does not "
                "lie in its files as the model has it",
                advice="without `--memory` all weights are loaded",
            )
        ) from error
    except Exception as error:
        # The strict classes of configs raise errors of their own; what else transformers raises
        # while it reads a folder of somebody's is about that folder, too.
        raise _unbuilt(source, place, error) from error


def _config_of_part(
    source: ModelSource, config: Mapping[str, object], files: Iterable[Path]
) -> Any:
    """The config of a part as transformers takes it.

    Whether the unembedding is the embedding is said by the whole model's config or by the part's,
    and the files have the last word: without it the whole would miss a weight.
    """
    import transformers

    own = {key: value for key, value in config.items() if key not in (PART, "model_type")}
    own["tie_word_embeddings"] = "lm_head.weight" not in stored_weights(source, files, part=True)
    own |= {name: value for name, value in _RETURNED.items() if name in own}
    return transformers.AutoConfig.for_model(str(config["model_type"]), **own)


def _unbuilt(source: ModelSource, place: str, error: Exception) -> LanguageError:
    told = [line.strip() for line in str(error).splitlines() if line.strip()]
    return LanguageError(
        source.fault(
            "PD615",
            f"transformers cannot build `{place}`: {told[0] if told else type(error).__name__}",
            notes=tuple(told[1:3]),
            advice="save it again with `model.save_pretrained(folder)`",
        )
    )


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


def _check_shape(source: ModelSource, config: Mapping[str, object], built: ModelShape) -> None:
    """Raise PD615 where transformers built another model than the one that a file was planned for.

    Edges and positions are counted from `config.json` alone. A field that transformers reads under
    another name, or a default of another version, would make other edges than the model has.
    """
    planned = vet_config(source, config)
    for one in fields(ModelShape):
        own, theirs = getattr(planned, one.name), getattr(built, one.name)
        if own != theirs:
            raise LanguageError(
                source.fault(
                    "PD615",
                    f"transformers reads the config of `{source.location}` otherwise than it is "
                    f"written: `{one.name}` is {_short(theirs)}, and not {_short(own)}",
                    notes=("a field that is missing or has two names has another value there",),
                    advice="save it again with `model.save_pretrained(folder)`",
                )
            )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


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
    import torch

    from pathdsl.engine.load.streaming import stream_of

    stream = stream_of(model)

    def finite(parameter: torch.nn.Parameter) -> bool:
        weights = parameter.detach() if stream is None else stream.in_file(parameter)
        # A whole embedding compared with infinity takes half of its own memory again, and more.
        parts = weights.flatten().split(LOOKED_AT)
        return all(bool(torch.isfinite(part.to(parameter.dtype)).all()) for part in parts)

    bad = [name for name, p in model.named_parameters() if not finite(p)]
    if bad:
        note: tuple[str, ...] = ()
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


def fetch_config(source: ModelSource) -> dict[str, object]:
    """The config of a hub model that is not in the local cache yet; no weights, no remote code."""
    import transformers

    from pathdsl.engine.adapters import announce

    announce(None)
    try:
        with quiet():
            config = transformers.AutoConfig.from_pretrained(
                source.location, revision=source.revision or "main", trust_remote_code=False
            )
    except Exception as error:
        raise unreachable(source, error) from error
    return language_part(config.to_dict())


def load_tokenizer(source: ModelSource) -> Any | None:
    """The model's fast tokenizer, or None where the model comes without one; reads no weights.

    Raises EngineError PD617 where tokenizer files are there and cannot be used, PD611 where the
    hub cannot be reached.
    """
    folder = folder_of(source)
    # transformers makes an empty tokenizer for a folder that has none.
    if folder is not None and not any(os.path.isfile(folder / name) for name in TOKENIZER_FILES):
        return None
    import transformers

    from pathdsl.engine.adapters import announce

    place = source.location if folder is None else str(folder)
    try:
        announce(config_of(source))
        with quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                place, revision=source.revision or "main", trust_remote_code=False
            )
    except Exception as error:
        if folder is None and isinstance(error, OSError):
            raise unreachable(source, error) from error
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
    if folder is not None and (text := read_otherwise(tokenizer, folder / "tokenizer.json")):
        raise EngineError(
            source.fault(
                "PD617",
                f"transformers does not tokenise as `tokenizer.json` of `{place}` does",
                notes=(f"they differ, for example, on `{text.strip()}`",),
                advice='"tokenizer_class": "PreTrainedTokenizerFast"',
            )
        )
    return tokenizer if len(tokenizer) > 0 else None


def tokenizer_hash(tokenizer: Any | None) -> str:
    """sha256 of the tokenizer's own serialisation, "" for none."""
    if tokenizer is None:
        return ""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
