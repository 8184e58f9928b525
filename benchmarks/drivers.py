"""One forward with patches, in each library that people patch models with, as its pages show it.

Every driver takes the same loaded `transformers` GPT-2 (nothing folded, attention written out) and
is asked for the same: replace outputs at some sites, keep others, return the logits. `hooks` is
plain PyTorch, without a library; the others are asked for by their package's name.

Sources: TransformerLens 4 (`TransformerBridge.run_with_hooks`), nnsight 0.8 (`NNsight.trace`),
pyvene 0.1.8 (`IntervenableModel` with functions as interventions).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from .patches import Patch, Site, Values, mixed

__all__ = ["DRIVERS", "Driver", "driver_for", "installed"]

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


def _queries(value: Tensor, touch: Callable[[Tensor], Tensor]) -> Tensor:
    """GPT-2's queries are the first third of what its projection gives."""
    query, rest = value.tensor_split([value.shape[-1] // 3], dim=-1)
    return torch.cat((touch(query), rest), dim=-1)


def _module(site: Site) -> tuple[str, str]:
    """The module of a GPT-2 of `transformers`, and whether its input or output is the site."""
    match site.kind:
        case "resid":
            return f"transformer.h.{site.layer}", "input"
        case "q":
            return f"transformer.h.{site.layer}.attn.c_attn", "output"
        case "z":
            return f"transformer.h.{site.layer}.attn.c_proj", "input"
        case "mlp":
            return f"transformer.h.{site.layer}.mlp", "output"


class Hooks:
    """Plain PyTorch: forward hooks on the modules of `transformers`."""

    def __init__(self, model: Any, scratch: Path) -> None:
        self.model = model

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
                touch = _toucher(site, here, values, self.model.config.n_head,
                                 kept if kept_here else None)  # fmt: skip
                name, side = _module(site)
                module = self.model.get_submodule(name)
                if side == "input":
                    handles.append(module.register_forward_pre_hook(partial(before, touch)))
                else:
                    handles.append(module.register_forward_hook(partial(after, touch)))
            return self.model(ids, use_cache=False).logits, kept
        finally:
            for handle in handles:
                handle.remove()


def _toucher(
    site: Site, patches: list[Patch], values: Values, n_heads: int, kept: Kept | None
) -> Callable[[Tensor], Tensor]:
    """What a module's input or output becomes; for queries, of the whole projection."""
    touch = partial(_touch, site=site, patches=patches, values=values, n_heads=n_heads, kept=kept)
    return partial(_queries, touch=touch) if site.kind == "q" else touch


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
        self.n_heads = model.config.n_head
        self.bridge = TransformerBridge.boot_transformers(
            "gpt2", hf_model=model, tokenizer=AutoTokenizer.from_pretrained(folder), device="cpu"
        )

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

        self.n_heads = model.config.n_head
        self.model = NNsight(model)

    def forward(
        self, ids: Tensor, patches: Sequence[Patch], values: Values, keep: Collection[Site]
    ) -> tuple[Tensor, Kept]:
        """As `Driver.forward`."""
        kept: Kept = {}
        plan = []
        for site, here, kept_here in by_site(patches, keep):
            touch = _toucher(site, here, values, self.n_heads, kept if kept_here else None)
            name, side = _module(site)
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
        self.model = model

    def forward(
        self, ids: Tensor, patches: Sequence[Patch], values: Values, keep: Collection[Site]
    ) -> tuple[Tensor, Kept]:
        """As `Driver.forward`."""
        from pyvene import IntervenableModel

        kept: Kept = {}
        parts = []
        for site, here, kept_here in by_site(patches, keep):
            touch = _toucher(site, here, values, self.model.config.n_head,
                             kept if kept_here else None)  # fmt: skip
            name, side = _module(site)
            component = name.replace(".h.", ".h[", 1).replace(f"[{site.layer}", f"[{site.layer}]")
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
