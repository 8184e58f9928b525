"""AtP and AtP* word for word on unmodified models of `transformers`: slow, and with nothing shared.

A model runs as it is, with eager attention; what it computes on the way is caught by hooks and by a
wrapper around its own attention function, which repeats shared keys and values for each query head
before the model's function sees them. Then, of Kramár et al. 2024 (arXiv:2403.00745):

- equation 4: (treated - reference) . gradient, for every node at every position;
- query fix (equations 7, 8): the model's own attention function with the treated query and the
  reference keys, its pattern less the reference one, dotted with the gradient at the pattern;
- key fix (9, 10): key after key, one position swapped at a time;
- GradDrop (11): what block l adds to the stream is detached, so no gradient passes it; one
  backward a layer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Node = tuple[str, int]
"""A kind (`input`, `q`, `k`, `v`, `head`, `mlp`, `hidden`) and a layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the parts of one family stand, as attribute paths."""

    blocks: str
    attention: str
    attention_adds: str
    mlp_adds: str
    mlp_out: str


_LLAMA = Places(
    blocks="model.layers", attention="self_attn", attention_adds="self_attn", mlp_adds="mlp",
    mlp_out="mlp.down_proj",
)  # fmt: skip
_NORMED = Places(
    blocks="model.layers", attention="self_attn", attention_adds="post_attention_layernorm",
    mlp_adds="post_feedforward_layernorm", mlp_out="mlp.down_proj",
)  # fmt: skip
PLACES = {
    "gpt2": Places(
        blocks="transformer.h", attention="attn", attention_adds="attn", mlp_adds="mlp",
        mlp_out="mlp.c_proj",
    ),
    "gpt_neox": Places(
        blocks="gpt_neox.layers", attention="attention", attention_adds="attention",
        mlp_adds="mlp", mlp_out="mlp.dense_4h_to_h",
    ),
    "llama": _LLAMA,
    "qwen3": _LLAMA,
    "gemma2": _NORMED,
    "gemma3_text": _NORMED,
    "olmo2": _NORMED,
}  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Attended:
    """One call of a model's own attention function: (1, heads, pos, …) each, as each head reads."""

    function: Callable[..., Any]
    module: Any
    q: Tensor
    k: Tensor
    v: Tensor
    rest: tuple[Any, ...]
    named: dict[str, Any]
    pattern: Tensor

    def pattern_of(self, q: Tensor, k: Tensor) -> Tensor:
        """(heads, queries, keys): what the model's own function makes of other queries and keys."""
        with ungrouped(self.module):
            found = self.function(self.module, q, k, self.v, *self.rest, **self.named)[1]
        return found[0].detach()


@contextmanager
def ungrouped(module: Any) -> Iterator[None]:
    """The module as if each head had keys and values of its own."""
    before = getattr(module, "num_key_value_groups", None)
    if before is not None:
        module.num_key_value_groups = 1
    try:
        yield
    finally:
        if before is not None:
            module.num_key_value_groups = before


@dataclass(slots=True, kw_only=True)
class Caught:
    """What one run computed: the values of nodes, attention by layer, and the metric."""

    values: dict[Node, Tensor] = field(default_factory=dict)
    attended: list[Attended] = field(default_factory=list)
    metric: Tensor = field(default_factory=lambda: torch.zeros(()))


class Literal:
    """A model and the metric logit(good) - logit(bad) at the last position of one prompt."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.places = PLACES[model.config.model_type]
        self.blocks = list(model.get_submodule(self.places.blocks))
        self.n_layers = len(self.blocks)

    # ---------------------------------------------------------------- runs

    def run(
        self,
        ids: list[int],
        good: int,
        bad: int,
        drop: int = -1,
        patch: dict[Node, tuple[int | None, int, Tensor]] | None = None,
    ) -> Caught:
        """A run whose blocks pass gradients, but for `drop`.

        `patch`: what stands at (head or None, position) of a node instead, the position -1 for all.
        """
        caught = Caught()
        patch = patch or {}

        def changed(node: Node, value: Tensor) -> Tensor:
            """A value (1, pos, …), a head's (1, heads, pos, …), with the patch of its node."""
            if node not in patch:
                return value
            head, position, other = patch[node]
            value, where = value.clone(), slice(None) if position < 0 else position
            if head is None:
                value[0, where] = other[where]
            else:
                value[0, head, where] = other[head, where]
            return value

        def hold(node: Node, value: Tensor) -> Tensor:
            value = changed(node, value)
            caught.values[node] = value
            return value

        def before(node: Node) -> Callable[..., Any]:
            def hook(module: Any, inputs: tuple[Tensor, ...]) -> Any:
                return (hold(node, inputs[0]), *inputs[1:])

            return hook

        def adds(node: Node | None, dropped: bool) -> Callable[..., Any]:
            def hook(module: Any, inputs: Any, out: Any) -> Any:
                first = out[0] if isinstance(out, tuple) else out
                first = first if node is None else hold(node, first)
                first = first.detach() if dropped else first
                return (first, *out[1:]) if isinstance(out, tuple) else first

            return hook

        with ExitStack() as stack:

            def hooked(handle: Any) -> None:
                stack.callback(handle.remove)

            hooked(self.blocks[0].register_forward_pre_hook(before(("input", -1))))
            for layer, block in enumerate(self.blocks):
                part = block.get_submodule(self.places.attention_adds)
                hooked(part.register_forward_hook(adds(None, layer == drop)))
                part = block.get_submodule(self.places.mlp_adds)
                hooked(part.register_forward_hook(adds(("mlp", layer), layer == drop)))
                part = block.get_submodule(self.places.mlp_out)
                hooked(part.register_forward_pre_hook(before(("hidden", layer))))
            stack.enter_context(self._attention(caught, hold))
            logits = self.model(torch.tensor([ids]), use_cache=False).logits
        caught.metric = self.metric(logits[0, -1], good, bad)
        return caught

    def metric(self, last: Tensor, good: int, bad: int) -> Tensor:
        """The metric of one prompt from its logits at the last position, (vocabulary,)."""
        return last[good] - last[bad]

    @contextmanager
    def _attention(self, caught: Caught, hold: Callable[[Node, Tensor], Tensor]) -> Iterator[None]:
        modelling: Any = sys.modules[type(self.model).__module__]
        original = modelling.eager_attention_forward

        def wrapped(module: Any, q: Tensor, k: Tensor, v: Tensor, *rest: Any, **named: Any) -> Any:
            layer, group = len(caught.attended), q.shape[1] // k.shape[1]
            k, v = (x.repeat_interleave(group, dim=1) for x in (k, v))
            q, k, v = hold(("q", layer), q), hold(("k", layer), k), hold(("v", layer), v)
            with ungrouped(module):
                out, pattern = original(module, q, k, v, *rest, **named)
            caught.attended.append(
                Attended(function=original, module=module, q=q, k=k, v=v, rest=rest, named=named,
                         pattern=pattern)
            )  # fmt: skip
            # (1, pos, heads, d_head) to a head's order and back, so that all heads are alike
            z = hold(("head", layer), out.transpose(1, 2))
            return z.transpose(1, 2), pattern

        modelling.eager_attention_forward = wrapped
        try:
            yield
        finally:
            modelling.eager_attention_forward = original

    # ---------------------------------------------------------------- estimates

    def estimates(
        self, reference: list[int], treated: list[int], good: int, bad: int, drop: int = -1,
        fixed: bool = True,
    ) -> dict[Node, Tensor]:  # fmt: skip
        """What every node at every position would do: (heads, pos), (pos,), neurons (pos, d_mlp).

        `fixed`: queries and keys by equations 7 to 10, else by 4. Signed.
        """
        clean = self.run(reference, good, bad, drop)
        with torch.no_grad():
            other = self.run(treated, good, bad).values
        nodes = list(clean.values)
        sites = [clean.values[node] for node in nodes] + [a.pattern for a in clean.attended]
        found = torch.autograd.grad(clean.metric, sites, allow_unused=True)
        slopes = [
            torch.zeros_like(s) if g is None else g for s, g in zip(sites, found, strict=True)
        ]
        at_pattern = slopes[len(nodes) :]
        estimated = {}
        for node, slope in zip(nodes, slopes, strict=False):
            kind, layer = node
            moved = (other[node] - clean.values[node].detach()) * slope
            if kind in ("q", "k") and fixed:
                attended, slope = clean.attended[layer], at_pattern[layer][0]
                fix = _query_fix if kind == "q" else _key_fix
                estimated[node] = fix(attended, other[node], slope)
            else:
                estimated[node] = moved[0] if kind == "hidden" else moved[0].sum(-1)
        return estimated

    def star(
        self, reference: list[int], treated: list[int], good: int, bad: int
    ) -> tuple[dict[Node, Tensor], dict[Node, Tensor]]:
        """AtP* of every node, by position and of the node at all positions: equation 11.

        The mean is over the layers but a node's own: `input` has none.
        """
        apart: dict[Node, Tensor] = {}
        whole: dict[Node, Tensor] = {}
        for layer in range(self.n_layers):
            for node, signed in self.estimates(reference, treated, good, bad, layer).items():
                others = self.n_layers - (node[1] >= 0)
                places = 0 if node[0] == "hidden" else -1
                share = signed.abs() / others
                pooled = signed.sum(places).abs() / others
                apart[node] = apart.get(node, 0) + share
                whole[node] = whole.get(node, 0) + pooled
        return apart, whole

    def effect(
        self, reference: list[int], treated: list[int], good: int, bad: int, node: Node,
        head: int | None, position: int,
    ) -> float:  # fmt: skip
        """What the metric changes by when the node alone carries its treated value."""
        with torch.no_grad():
            clean = self.run(reference, good, bad)
            other = self.run(treated, good, bad).values[node][0]
            patched = self.run(reference, good, bad, patch={node: (head, position, other)})
        return float(patched.metric - clean.metric)


def _query_fix(attended: Attended, other: Tensor, slope: Tensor) -> Tensor:
    """(heads, pos): the pattern of treated queries on reference keys."""
    moved = attended.pattern_of(other, attended.k) - attended.pattern[0].detach()
    return (moved * slope).sum(-1)


def _key_fix(attended: Attended, other: Tensor, slope: Tensor) -> Tensor:
    """(heads, pos): the pattern with one key swapped, position by position."""
    found = []
    for place in range(other.shape[2]):
        k = attended.k.clone()
        k[:, :, place] = other[:, :, place]
        moved = attended.pattern_of(attended.q, k) - attended.pattern[0].detach()
        found.append((moved * slope).sum((-1, -2)))
    return torch.stack(found, dim=-1)
