"""One forward with patches, in each library that people patch models with, as its pages show it.

Every driver takes the same loaded `transformers` model, a GPT-2 or a Llama (nothing folded,
attention written out, on any device and in any dtype), and is asked for the same: replace outputs
at some sites, keep others, return the logits. `hooks` is plain PyTorch, without a library; the
others are asked for by their package's name.

Sources: TransformerLens 4 (`TransformerBridge.run_with_hooks`), nnsight 0.8 (`NNsight.trace`),
pyvene 0.1.8 (`IntervenableModel` with functions as interventions).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from .patches import Kind, Patch, Site, Values, mixed

__all__ = ["DRIVERS", "PARTS", "Driver", "Taken", "driver_for", "installed", "touched_queries"]

Kept = dict[Site, Tensor]


class Driver(Protocol):
    """What a comparison needs of a library."""

    def forward(
        self, ids: Tensor, patches: Sequence[Patch], values: Values, keep: Collection[Site]
    ) -> tuple[Tensor, Kept]:
        """Logits (rows, positions, vocabulary) and what is at the sites to keep."""


def by_site(
    patches: Sequence[Patch], keep: Collection[Site]
) -> list[tuple[Site, list[Patch], bool]]:
    """Each site to touch once, in the order of a forward: its patches, and whether to keep it."""
    sites = {p.site for p in patches} | set(keep)
    return [
        (site, [p for p in patches if p.site == site], site in keep)
        for site in sorted(sites, key=lambda site: site.order)
    ]


def _touch(
    value: Tensor, site: Site, patches: list[Patch], values: Values, n_heads: int, kept: Kept | None
) -> Tensor:
    """The value with the patches of its site, written down where `kept` is given."""
    out = mixed(value, patches, values, n_heads) if patches else value
    if kept is not None:
        kept[site] = out
    return out


def touched_queries(value: Tensor, touch: Callable[[Tensor], Tensor]) -> Tensor:
    """GPT-2's queries are the first third of what its projection gives."""
    query, rest = value.tensor_split([value.shape[-1] // 3], dim=-1)
    return torch.cat((touch(query), rest), dim=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Where the sites of a family are: the list of its layers, and of each kind the module in a
    layer ("" for the layer) with the side of it that is the site.

    `fused`: one module gives queries, keys and values, in this order. `booted`: a name that
    TransformerLens knows the family by.
    """

    layers: str
    modules: Mapping[Kind, tuple[str, str]]
    fused: bool
    booted: str


PARTS: Mapping[str, Parts] = {
    "gpt2": Parts(
        layers="transformer.h",
        modules={
            "resid": ("", "input"), "q": (".attn.c_attn", "output"),
            "z": (".attn.c_proj", "input"), "mlp": (".mlp", "output"),
        },
        fused=True,
        booted="gpt2",
    ),
    "llama": Parts(
        layers="model.layers",
        modules={
            "resid": ("", "input"), "q": (".self_attn.q_proj", "output"),
            "z": (".self_attn.o_proj", "input"), "mlp": (".mlp", "output"),
        },
        fused=False,
        booted="meta-llama/Llama-3.2-1B",
    ),
}  # fmt: skip
"""By `model_type` of the config."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A loaded model with what a driver must know of it."""

    model: Any

    @property
    def parts(self) -> Parts:
        """Where its sites are."""
        return PARTS[self.model.config.model_type]

    @property
    def n_heads(self) -> int:
        """How many query heads a layer has."""
        return int(self.model.config.num_attention_heads)

    def module(self, site: Site) -> tuple[str, str]:
        """The module of a site by path, and whether its input or its output is the site."""
        name, side = self.parts.modules[site.kind]
        return f"{self.parts.layers}.{site.layer}{name}", side

    def toucher(
        self, site: Site, patches: list[Patch], values: Values, kept: Kept | None
    ) -> Callable[[Tensor], Tensor]:
        """What a module's input or output becomes; for fused queries, of the whole projection."""
        touch = partial(
            _touch, site=site, patches=patches, values=values, n_heads=self.n_heads, kept=kept
        )
        return (
            partial(touched_queries, touch=touch)
            if site.kind == "q" and self.parts.fused
            else touch
        )


class Hooks:
    """Plain PyTorch: forward hooks on the modules of `transformers`."""

    def __init__(self, model: Any, scratch: Path) -> None:
        self.model, self.taken = model, Taken(model)

    def forward(
        self, ids: Tensor, patches: Sequence[Patch], values: Values, keep: Collection[Site]
    ) -> tuple[Tensor, Kept]:
        """As `Driver.forward`."""
        kept: Kept = {}
        handles = []

        def before(touch: Callable[[Tensor], Tensor], module: Any, inputs: tuple[Any, ...]) -> Any:
            return (touch(inputs[0]), *inputs[1:])

        def after(touch: Callable[[Tensor], Tensor], module: Any, inputs: Any, out: Tensor) -> Any:
            return touch(out)

        try:
            for site, here, kept_here in by_site(patches, keep):
                touch = self.taken.toucher(site, here, values, kept if kept_here else None)
                name, side = self.taken.module(site)
                module = self.model.get_submodule(name)
                if side == "input":
                    handles.append(module.register_forward_pre_hook(partial(before, touch)))
                else:
                    handles.append(module.register_forward_hook(partial(after, touch)))
            return self.model(ids, use_cache=False).logits, kept
        finally:
            for handle in handles:
                handle.remove()


_LENS_NAMES = {
    "resid": "hook_resid_pre",
    "q": "attn.hook_q",
    "z": "attn.hook_z",
    "mlp": "hook_mlp_out",
}


class Lens:
    """TransformerLens: hooks on a bridge over the same model, its weights as they are."""

    def __init__(self, model: Any, scratch: Path) -> None:
        from tokenizers import Tokenizer
        from tokenizers.models import WordLevel
        from transformer_lens.model_bridge import TransformerBridge
        from transformers import AutoTokenizer, PreTrainedTokenizerFast

        # A bridge wants a tokenizer that can be loaded again; prompts are ids, so any will do.
        words = Tokenizer(WordLevel({"<end>": 0, "a": 1}, unk_token="<end>"))
        ends = {"bos_token": "<end>", "eos_token": "<end>", "pad_token": "<end>"}
        folder = scratch / "words"
        PreTrainedTokenizerFast(tokenizer_object=words, **ends).save_pretrained(folder)
        taken = Taken(model)
        self.n_heads = taken.n_heads
        self.bridge = TransformerBridge.boot_transformers(
            taken.parts.booted, hf_model=model, tokenizer=AutoTokenizer.from_pretrained(folder),
            device=model.device, dtype=model.dtype,
        )  # fmt: skip

    def forward(
        self, ids: Tensor, patches: Sequence[Patch], values: Values, keep: Collection[Site]
    ) -> tuple[Tensor, Kept]:
        """As `Driver.forward`."""
        kept: Kept = {}

        def hook(value: Tensor, hook: Any, *, touch: Callable[[Tensor], Tensor]) -> Tensor:
            return touch(value)

        hooks = []
        for site, here, kept_here in by_site(patches, keep):
            touch = partial(_touch, site=site, patches=here, values=values, n_heads=self.n_heads,
                            kept=kept if kept_here else None)  # fmt: skip
            name = f"blocks.{site.layer}.{_LENS_NAMES[site.kind]}"
            hooks.append((name, partial(hook, touch=touch)))
        return self.bridge.run_with_hooks(ids, fwd_hooks=hooks), kept


class Nnsight:
    """nnsight: values read and assigned inside a trace, in the order of the forward."""

    def __init__(self, model: Any, scratch: Path) -> None:
        from nnsight import NNsight

        self.taken = Taken(model)
        self.model = NNsight(model)

    def forward(
        self, ids: Tensor, patches: Sequence[Patch], values: Values, keep: Collection[Site]
    ) -> tuple[Tensor, Kept]:
        """As `Driver.forward`."""
        kept: Kept = {}
        plan = []
        for site, here, kept_here in by_site(patches, keep):
            touch = self.taken.toucher(site, here, values, kept if kept_here else None)
            name, side = self.taken.module(site)
            plan.append((self.model.get(name), side, bool(here), touch))
        with self.model.trace(ids, use_cache=False):
            for module, side, changes, touch in plan:
                value = touch(module.input if side == "input" else module.output)
                if changes and side == "input":
                    module.input = value
                elif changes:
                    module.output = value
            logits = self.model.output.logits.save()
        return logits, kept


class Pyvene:
    """pyvene: a model made intervenable at a run's sites, with functions as interventions."""

    def __init__(self, model: Any, scratch: Path) -> None:
        self.model, self.taken = model, Taken(model)

    def forward(
        self, ids: Tensor, patches: Sequence[Patch], values: Values, keep: Collection[Site]
    ) -> tuple[Tensor, Kept]:
        """As `Driver.forward`."""
        from pyvene import IntervenableModel

        kept: Kept = {}
        parts = []
        for site, here, kept_here in by_site(patches, keep):
            touch = self.taken.toucher(site, here, values, kept if kept_here else None)
            name, side = self.taken.module(site)
            layers = self.taken.parts.layers
            component = name.replace(f"{layers}.{site.layer}", f"{layers}[{site.layer}]", 1)
            parts.append({
                "component": f"{component}.{side}",
                "intervention": lambda base, source, touch=touch: touch(base),
            })  # fmt: skip
        if not parts:
            return self.model(ids, use_cache=False).logits, kept
        intervenable = IntervenableModel(parts, model=self.model)
        return intervenable({"input_ids": ids}, use_cache=False)[1].logits, kept


# The name of each driver: its package, and how it runs a forward.
DRIVERS: dict[str, tuple[str, Callable[[Any, Path], Driver]]] = {
    "hooks": ("torch", Hooks),
    "transformer_lens": ("transformer_lens", Lens),
    "nnsight": ("nnsight", Nnsight),
    "pyvene": ("pyvene", Pyvene),
}


def installed(name: str) -> str | None:
    """The version of a driver's package, None where it is not installed."""
    try:
        return version(DRIVERS[name][0])
    except PackageNotFoundError:
        return None


def driver_for(name: str, model: Any, scratch: Path) -> Driver:
    """A driver over a loaded model; `scratch` is a folder for files that it needs."""
    return DRIVERS[name][1](model, scratch)
