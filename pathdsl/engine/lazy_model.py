"""A model whose weights are read when something must be computed.

With a result store the hashes of the weight files are looked at first. Where the store knows what
loading these files gave (attention implementation, dtype of arithmetic, threads), a check whose
values are all stored reports the same facts without reading a weight and without torch. Without a
store the model loads at once.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from threading import current_thread, main_thread
from typing import TYPE_CHECKING

from pathdsl.engine.load.devices import check_device, make_deterministic
from pathdsl.engine.load.hashes import Hashes
from pathdsl.engine.load.machine import machine_of, set_threads, settle, threads_now
from pathdsl.engine.load.source import ModelSource, config_of
from pathdsl.engine.load.versions import version_warning
from pathdsl.engine.load.weights import (
    LoadedModel,
    load,
    load_tokenizer,
    tokenizer_hash,
    weight_hashes,
)
from pathdsl.engine.meter import Meter
from pathdsl.engine.planner import Limits
from pathdsl.engine.rounding import ROUNDING, precision_of
from pathdsl.engine.store.digest import digest, processor, program_text, versions
from pathdsl.engine.store.store import Store
from pathdsl.errors import Diagnostic, EngineError

if TYPE_CHECKING:
    import torch

    from pathdsl.engine.adapters.base import Adapter

__all__ = ["LazyModel", "collect"]

_KEPT = ("architecture", "dtype", "attention", "device", "threads", "torch", "transformers")


def collect() -> None:
    """Garbage is collected; Ctrl-C that comes meanwhile counts behind it, since what is raised in a
    finalizer is dropped."""
    known = signal.getsignal(signal.SIGINT)
    if known is not signal.default_int_handler or current_thread() is not main_thread():
        gc.collect()
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        gc.collect()
    finally:
        signal.signal(signal.SIGINT, known)
    if came:
        raise KeyboardInterrupt


class Turns:
    """Which of several models has its weights in memory: one at a time, whoever asks."""

    def __init__(self) -> None:
        self._held: LazyModel | None = None

    def take(self, model: LazyModel) -> None:
        """It is this model's turn: the one that had it lets go of its weights."""
        if self._held is not None and self._held is not model:
            self._held.release()
            collect()  # modules hold one another in circles
            import torch

            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        self._held = model


class LazyModel:
    """One model on one device; `adapter` reads the weights if that has not happened yet.

    Raises what `pathdsl.engine.load.weights.load` raises: at once without a store, else when files
    are missing, and for damaged weights when they are read. `loading` stands for that `load`.
    `computes`: the device with what else on it decides how products are formed, with a store.
    `streamed`: reading the weights is building what reads them, layer by layer, when it computes.
    """

    def __init__(
        self,
        source: ModelSource,
        device: str = "cpu",
        threads: int | None = None,
        store: Store | None = None,
        *,
        fused: bool = False,
        meter: Meter | None = None,
        turns: Turns | None = None,
        loading: Callable[..., LoadedModel] | None = None,
        streamed: bool = False,
    ) -> None:
        self.source = source
        self.turns = turns or Turns()
        self.meter = meter or Meter()
        self.fused, self.streamed = fused, streamed
        self._loading = loading
        self.device = device
        self.threads = threads
        self._loaded: LoadedModel | None = None
        self._facts: dict[str, str] = {}
        self._precision = ""
        self._identity = ""
        self.computes = ""
        self._weights: Mapping[str, str] = {}
        self._config = ""
        self._forget: Callable[[], None] = lambda: None
        if store is None or not store.on:
            self._load()
            return
        self.meter.start("reading what the model is")
        hashes = Hashes(store)
        self._forget = hashes.forget
        threads_at_start, device_name = _machine(source, device, store)
        self.computes = device_name
        commit, self._weights = weight_hashes(source, hashes)
        self._config = digest(self.config)
        self._identity = digest(
            program_text(), versions(), processor(), self._weights, self._config,
            source.dtype, device, device_name, fused,
        )  # fmt: skip
        facts_key = digest("facts", self._identity, threads, threads_at_start)
        text = store.record(facts_key)
        known = _read_facts(text) if text is not None else None
        if known is None:
            if text is not None:
                store.reject([facts_key])
            self._load()
            facts = {name: self.facts[name] for name in _KEPT}
            text = json.dumps({"facts": facts, "precision": self._precision}, sort_keys=True)
            store.add_record(facts_key, text)
            return
        self._precision, found = known
        self._facts = {"model": source.written, "revision": commit, **found}
        # The process is left as loading would leave it; later files of a check depend on it.
        if "torch" in sys.modules:
            make_deterministic(check_device(source, device), int(self._facts["threads"]))
        else:
            set_threads(int(self._facts["threads"]))

    @property
    def loaded(self) -> bool:
        """Whether the weights have been read."""
        return self._loaded is not None

    @property
    def adapter(self) -> Adapter:
        """The parts of the model; reads the weights if need be."""
        if self._loaded is None:
            self._load()
        assert self._loaded is not None
        return self._loaded.adapter

    def release(self) -> None:
        """Let go of the weights; what is known of the model stays, and `adapter` reads them again.

        Whoever holds an adapter holds its weights: it is asked for where it is used.
        """
        self._loaded = None

    @property
    def facts(self) -> Mapping[str, str]:
        """Text by name, as `LoadedModel.facts`; without the tokenizer's hash before loading."""
        return self._facts

    def tokenizer_hash(self) -> str:
        """The sha256 of the tokenizer's files, which are read where the model was not loaded."""
        if "tokenizer" not in self._facts:
            self._facts["tokenizer"] = tokenizer_hash(load_tokenizer(self.source))
        return self._facts["tokenizer"]

    @property
    def weights(self) -> Mapping[str, str]:
        """The sha256 of each weight file by its name."""
        return self._weights

    @property
    def config(self) -> Mapping[str, object]:
        """The model's `config.json`, whose files are at hand by now."""
        return config_of(self.source) or {}

    @property
    def precision(self) -> str:
        """The dtype of arithmetic by name, `float32`."""
        return self._precision

    @property
    def rounding(self) -> float:
        """How far two evaluations of one logit may lie apart."""
        return ROUNDING[self._precision]

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What loading warns of; known without reading a weight."""
        return version_warning(self.source, version("transformers"))

    def setting(self, limits: Limits) -> str:
        """The part of a key that runs and tasks have no part in; of no use without a store."""
        facts = [self._facts[name] for name in ("threads", "attention", "device")]
        return digest("setting", self._identity, facts, limits)

    def _load(self) -> None:
        self.turns.take(self)
        self.meter.start("loading the model")
        settle()
        loaded = (self._loading or load)(
            self.source, self.device, self.threads, fused=self.fused, streamed=self.streamed
        )
        self.meter.end()
        # What is kept is kept under what was looked at: that must be what was loaded.
        others = bool(self._weights) and dict(loaded.weights) != dict(self._weights)
        if others:
            self._forget()
        if others or (self._config and self._config != digest(self.config)):
            raise EngineError(
                self.source.fault(
                    "PD609",
                    f"the files of `{self.source.location}` changed while they were read",
                    advice="pathdsl check again, when nothing writes to them",
                )
            )
        self._loaded = replace(loaded, tokenizer=None)  # nobody asks here, and it takes 30 MB
        self._weights = loaded.weights
        self._facts = dict(loaded.facts)
        self._precision = precision_of(loaded.adapter)


def _read_facts(text: str) -> tuple[str, dict[str, str]] | None:
    """The dtype of arithmetic and the facts that loading gave; None for any other text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or {*found} != {"facts", "precision"}:
        return None
    precision, facts = found["precision"], found["facts"]
    if not isinstance(facts, dict) or {*facts} != {*_KEPT} or precision not in [*ROUNDING]:
        return None
    if not all(isinstance(fact, str) for fact in facts.values()):
        return None
    return (precision, facts) if facts["threads"].isdecimal() else None


def _machine(source: ModelSource, device: str, store: Store) -> tuple[int, str]:
    """The threads of this process, and the device as keys name it; of a CPU both without torch."""
    if device == "cpu" and "torch" not in sys.modules:
        machine = machine_of(store)
        return threads_now(machine), machine.cpu
    target = check_device(source, device)
    import torch

    settle()
    return torch.get_num_threads(), _device_name(target)


def _device_name(device: torch.device) -> str:
    """The device with what else on it decides how products are formed."""
    import torch

    if device.type == "cuda":
        name, power = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
        return f"{name} {power} cuda {torch.version.cuda} cudnn {torch.backends.cudnn.version()}"
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()}"
