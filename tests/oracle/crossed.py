"""Ways, shares and crossing edges on unmodified models of `transformers`, prompt by prompt.

What the definitions of EAP with GradPath, information flow routes and position-aware scores of
edges say, carried out literally: the model's modules run as they are, and hooks change what one of
them reads or catch what it writes. Nothing here knows of an adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.oracle.attributed import Literal, ungrouped

Prompt = list[int]
GOOD, BAD = 1, 2

_OUT = {"gpt2": "attn.c_proj", "gpt_neox": "attention.dense"}
_NORM = {"gpt2": "ln_1"}
_PARALLEL = ("gpt_neox",)


def _first(out: Any) -> Tensor:
    return out[0] if isinstance(out, tuple) else out


@dataclass(slots=True, kw_only=True)
class Streams:
    """What was read and written in one run, (pos, …) by layer.

    `into`: the stream that enters each layer, and the final one; `middle`: that behind attention.
    `attention`, `mlp`: what is added; `z`, `projected`: what the output projection of the heads
    reads and gives. `logits`: (pos, vocabulary).
    """

    into: list[Tensor]
    middle: list[Tensor]
    attention: list[Tensor]
    mlp: list[Tensor]
    z: list[Tensor]
    projected: list[Tensor]
    logits: Tensor


class Crossed:
    """One unmodified model."""

    def __init__(self, model: Any) -> None:
        self.model, self.literal = model, Literal(model)
        self.kind = model.config.model_type
        self.blocks, self.places = self.literal.blocks, self.literal.places
        self.n_heads = model.config.num_attention_heads
        self.parallel = self.kind in _PARALLEL
        self.out = _OUT.get(self.kind, f"{self.places.attention}.o_proj")
        self.norm = _NORM.get(self.kind, "input_layernorm")

    def streams(self, ids: Prompt, embedded: Tensor | None = None) -> Streams:
        """A run, from other values (pos, d) of what enters the first block where they are given."""
        found = Streams(into=[], middle=[], attention=[], mlp=[], z=[], projected=[],
                        logits=torch.zeros(()))  # fmt: skip
        handles = []

        def enters(module: Any, inputs: tuple[Tensor, ...]) -> Any:
            given = embedded is not None and not found.into
            found.into.append(embedded if given else inputs[0][0])  # type: ignore[arg-type]
            return (found.into[-1][None], *inputs[1:])  # what is caught is what is read

        def leaves(module: Any, inputs: Any, out: Any) -> Any:
            found.into.append(_first(out)[0])
            last = found.into[-1][None]
            return (last, *out[1:]) if isinstance(out, tuple) else last

        def writes(into: list[Tensor]) -> Callable[..., None]:
            def hook(module: Any, inputs: Any, out: Any) -> None:
                into.append(_first(out)[0])

            return hook

        def reads(module: Any, inputs: tuple[Tensor, ...]) -> None:
            found.z.append(inputs[0][0].unflatten(-1, (self.n_heads, -1)))

        for block in self.blocks:
            part = block.get_submodule
            handles += [
                block.register_forward_pre_hook(enters),
                part(self.places.attention_adds).register_forward_hook(writes(found.attention)),
                part(self.places.mlp_adds).register_forward_hook(writes(found.mlp)),
                part(self.out).register_forward_pre_hook(reads),
                part(self.out).register_forward_hook(writes(found.projected)),
            ]
        handles.append(self.blocks[-1].register_forward_hook(leaves))
        try:
            found.logits = self.model(torch.tensor([ids]), use_cache=False).logits[0]
        finally:
            for handle in handles:
                handle.remove()
        found.middle = [x + a for x, a in zip(found.into, found.attention, strict=False)]
        return found

    # ---------------------------------------------------------------- the way of GradPath

    def way(self, reference: Prompt, treated: Prompt, steps: int) -> list[Tensor]:
        """The points y(0) … y(steps), (pos, d) each."""
        with torch.no_grad():
            other = self.streams(treated)
            at = self.streams(reference).into[0]
        found = [at]
        for _ in range(steps):
            leaf = found[-1].clone().requires_grad_()
            apart = (self.streams(reference, leaf).logits - other.logits).square().sum()
            (gradient,) = torch.autograd.grad(apart, leaf)
            found.append(found[-1] - gradient / gradient.square().sum().sqrt())
        return found

    # ---------------------------------------------------------------- information flow

    def flow(self, ids: Prompt) -> dict[tuple[str, str], Tensor]:
        """(pos,) the share of each (sender, reader), readers being `a0`, `m0` and `logits`."""
        with torch.no_grad():
            run = self.streams(ids)
            parts = {"input": run.into[0]}
            found: dict[tuple[str, str], Tensor] = {}
            for layer, block in enumerate(self.blocks):
                found |= self._into(f"a{layer}", parts, run.into[layer])
                heads = self._heads(block, layer, run)
                mlp = parts if self.parallel else {**parts, **heads}
                read = run.into[layer] if self.parallel else run.middle[layer]
                found |= self._into(f"m{layer}", mlp, read)
                parts |= heads
                parts[f"m{layer}"] = run.mlp[layer]
            return found | self._into("logits", parts, run.into[-1])

    def _heads(self, block: Any, layer: int, run: Streams) -> dict[str, Tensor]:
        """What each head adds: its part of the projection, times what becomes of the sum behind."""
        project = block.get_submodule(self.out)
        z = run.z[layer]
        nothing = project(torch.zeros_like(z.flatten(1)))
        after = run.attention[layer] / run.projected[layer]  # 1 without a norm behind
        found = {}
        for head in range(self.n_heads):
            alone = torch.zeros_like(z)
            alone[:, head] = z[:, head]
            found[f"a{layer}.h{head}"] = (project(alone.flatten(1)) - nothing) * after
        return found

    @staticmethod
    def _into(
        reader: str, parts: dict[str, Tensor], whole: Tensor
    ) -> dict[tuple[str, str], Tensor]:
        near = {
            name: (whole.abs().sum(-1) - (part - whole).abs().sum(-1)).clamp(min=0)
            for name, part in parts.items()
        }
        total = sum(near.values())
        return {(name, reader): (one / total).nan_to_num() for name, one in near.items()}

    # ---------------------------------------------------------------- what is read

    def reading(
        self, ids: Prompt, embedded: Tensor, metric: Callable[[Tensor], Tensor]
    ) -> dict[str, Tensor]:
        """(pos, d) the metric's slope at what `a0` (all heads together), `m0` and `logits` read,
        each by itself, in a run from these values of `input`; of the logits at the last token."""
        inputs: dict[str, Tensor] = {}
        handles = []

        def reads(name: str) -> Callable[..., Any]:
            def hook(module: Any, given: tuple[Tensor, ...]) -> Any:
                inputs[name] = given[0].clone()  # apart from what others read
                return (inputs[name], *given[1:])

            return hook

        mlp = {"gpt2": "ln_2", "gemma2": "pre_feedforward_layernorm"}
        for layer, block in enumerate(self.blocks):
            part = block.get_submodule
            handles += [
                part(self.norm).register_forward_pre_hook(reads(f"a{layer}")),
                part(mlp.get(self.kind, "post_attention_layernorm")).register_forward_pre_hook(
                    reads(f"m{layer}")
                ),
            ]
        last = {"gpt2": "transformer.ln_f", "gpt_neox": "gpt_neox.final_layer_norm"}
        final = self.model.get_submodule(last.get(self.kind, "model.norm"))
        handles.append(final.register_forward_pre_hook(reads("logits")))
        try:
            logits = self.streams(ids, embedded.clone().requires_grad_()).logits
        finally:
            for handle in handles:
                handle.remove()
        found = torch.autograd.grad(metric(logits[-1]), list(inputs.values()), allow_unused=True)
        return {
            name: torch.zeros_like(value[0]) if slope is None else slope[0]
            for (name, value), slope in zip(inputs.items(), found, strict=True)
        }

    # ---------------------------------------------------------------- crossing edges

    def changes(self, reference: Prompt, treated: Prompt) -> dict[str, Tensor]:
        """(pos, d) what treating each sender alone changes of what is added to the stream."""
        with torch.no_grad():
            clean, other = self.streams(reference), self.streams(treated)
            found = {"input": other.into[0] - clean.into[0]}
            for layer, block in enumerate(self.blocks):
                for head in range(self.n_heads):
                    z = clean.z[layer].clone()
                    z[:, head] = other.z[layer][:, head]
                    added = block.get_submodule(self.out)(z.flatten(1))
                    if self.places.attention_adds != self.places.attention:
                        added = block.get_submodule(self.places.attention_adds)(added)
                    found[f"a{layer}.h{head}"] = added - clean.attention[layer]
                found[f"m{layer}"] = other.mlp[layer] - clean.mlp[layer]
            return found

    @contextmanager
    def _reading(self, layer: int, place: int, change: Tensor) -> Iterator[None]:
        """Within it the heads of a layer read a changed stream at one token, and nothing else."""

        def hook(module: Any, inputs: tuple[Tensor, ...]) -> Any:
            x = inputs[0].clone()
            x[0, place] += change
            return (x, *inputs[1:])

        part = self.blocks[layer].get_submodule(self.norm)
        handle = part.register_forward_pre_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    def crossing(self, reference: Prompt, treated: Prompt) -> dict[tuple[str, int], Tensor]:
        """(3, heads, i, j) by sender and layer of the readers: q, k and v read at i by a head at j.

        What the head writes at j with this edge patched at i, less what it writes, times the
        metric's gradient there.
        """
        clean = self.literal.run(reference, GOOD, BAD)
        at_z = torch.autograd.grad(
            clean.metric, [clean.values["head", n] for n in range(len(self.blocks))],
            allow_unused=True,
        )  # fmt: skip
        changes = self.changes(reference, treated)
        found = {}
        for layer in range(len(self.blocks)):
            attended, own = clean.attended[layer], clean.values["head", layer].detach()
            gradient = at_z[layer]
            assert gradient is not None
            for sender, change in changes.items():
                if sender != "input" and int(sender[1:].partition(".")[0]) >= layer:
                    continue
                scores = torch.zeros(3, self.n_heads, len(reference), len(reference),
                                     dtype=own.dtype)  # fmt: skip
                for place in range(len(reference)):
                    with torch.no_grad(), self._reading(layer, place, change[place]):
                        moved = self.literal.run(reference, GOOD, BAD).attended[layer]
                    for slot, name in enumerate("qkv"):
                        inputs = {one: getattr(attended, one).detach().clone() for one in "qkv"}
                        inputs[name][:, :, place] = getattr(moved, name)[:, :, place]
                        with torch.no_grad(), ungrouped(attended.module):
                            out, _ = attended.function(
                                attended.module, *inputs.values(), *attended.rest,
                                **attended.named,
                            )  # fmt: skip
                        apart = (out.transpose(1, 2) - own) * gradient
                        scores[slot, :, place] = apart[0].sum(-1)
                found[sender, layer] = scores
        return found
