"""The reference module of toy models: a residual transformer with every switch of the field's own.

It stands where a model of `transformers` stands: `AutoModelForCausalLM` knows it once this file is
imported, so that loading, weights and devices are those of every other family, and self-checks
compare the adapter with its forward pass. The switches are those of `ToySpec`, in the names of
TransformerLens; that they mean the same is tested against it.

    r = embed(ids) + pos_embed[0 … n]        # no second term with rotary, shortformer, none
    for block: r += attn(ln1(r));  r += mlp(ln2(r))       # in parallel: both of the same r
    logits = unembed(ln_final(r))

With `shortformer` positions are added to what queries and keys read, and to nothing else. Every
part is in the dtype of the weights; norms in float32 where these are narrower.

Source: Elhage et al. 2021 (transformer-circuits.pub); Press et al. 2021 for shortformer
(arXiv:2012.15832); Elhage et al. 2022 for SoLU; Zhong et al. 2023 for `attn_coeff`
(arXiv:2306.17844).

    >>> model = ToyModel(ToyConfig(n_layers=1, d_model=8, n_heads=2, d_head=3, n_ctx=5, d_vocab=7,
    ...     d_vocab_out=2, attn_only=True, normalization_type=None)).eval()
    >>> model(torch.tensor([[1, 2, 3]])).logits.shape
    torch.Size([1, 3, 2])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from pathdsl.graph.model.toy import TOY, ToySpec, toy_spec

__all__ = [
    "ToyAttention", "ToyBlock", "ToyConfig", "ToyMlp", "ToyModel", "ToyRMSNorm", "activated",
    "capped", "rotated", "shares", "spec_of",
]  # fmt: skip


class ToyConfig(PreTrainedConfig):
    """The config; its fields are `pathdsl.graph.model.toy.FIELDS`, and it holds those given."""

    model_type = TOY


def spec_of(config: Any) -> ToySpec:
    """The switches of a config object; raises ValueError for one that cannot be."""
    return toy_spec(config.to_dict())


class ToyRMSNorm(nn.Module):
    """x over its root mean square, (..., n) -> (..., n), times a weight unless there is none."""

    def __init__(self, n: int, eps: float, weighted: bool) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(n)) if weighted else None

    def forward(self, x: Tensor) -> Tensor:
        """The norm over the last axis."""
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        out = (wide * scale).to(x.dtype)
        return out if self.weight is None else out * self.weight


def _norm(kind: str, n: int, eps: float) -> nn.Module:
    """A norm of one of `NORMS`; that of "" gives what it is given."""
    if not kind:
        return nn.Identity()
    if kind.startswith("RMS"):
        return ToyRMSNorm(n, eps, weighted=kind == "RMS")
    return nn.LayerNorm(n, eps=eps, elementwise_affine=kind == "LN")


def rotated(spec: ToySpec, x: Tensor, positions: Tensor) -> Tensor:
    """Queries or keys (..., heads, d_head) rotated by their positions (...).

    Angles are taken in float64, whatever the dtype of x.
    """
    n = spec.rotary_dim
    if not n:
        return x
    rates = spec.rotary_base ** (-torch.arange(0, n, 2, dtype=torch.float64, device=x.device) / n)
    angles = positions.to(x.device, torch.float64).unsqueeze(-1) * rates  # (..., n / 2)
    cos, sin = (part.to(x.dtype).unsqueeze(-2) for part in (angles.cos(), angles.sin()))
    turned, rest = x[..., :n], x[..., n:]
    if spec.rotary_adjacent_pairs:
        one, two = turned[..., ::2], turned[..., 1::2]
    else:
        one, two = turned.chunk(2, dim=-1)
    one, two = one * cos - two * sin, two * cos + one * sin
    if spec.rotary_adjacent_pairs:
        return torch.cat((torch.stack((one, two), dim=-1).flatten(-2), rest), dim=-1)
    return torch.cat((one, two, rest), dim=-1)


def capped(x: Tensor, cap: float | None) -> Tensor:
    """Softly held between -cap and cap."""
    return x if cap is None else cap * torch.tanh(x / cap)


def shares(spec: ToySpec, scores: Tensor, mask: Tensor) -> Tensor:
    """The pattern of scores (..., nq, nk): the softmax over the keys where `mask` is True, and of
    it `attn_coeff`, and one minus that at each of these keys. Others get 0."""
    hidden = torch.finfo(scores.dtype).min
    pattern = torch.softmax(scores.masked_fill(~mask, hidden), dim=-1)
    if spec.attn_coeff == 1.0:
        return pattern
    return (pattern * spec.attn_coeff + (1 - spec.attn_coeff)).masked_fill(~mask, 0.0)


_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "relu": functional.relu,
        "gelu": functional.gelu,
        "gelu_new": lambda x: functional.gelu(x, approximate="tanh"),
        "gelu_fast": lambda x: (
            0.5 * x * (1 + torch.tanh(x * 0.7978845608 * (1 + 0.044715 * x * x)))
        ),
        "silu": functional.silu,
        "solu": lambda x: x * torch.softmax(x, dim=-1),
        "solu_ln": lambda x: x * torch.softmax(x, dim=-1),
        "relu2": lambda x: functional.relu(x).square(),
        "tanh": torch.tanh,
    }
)


def activated(spec: ToySpec, x: Tensor) -> Tensor:
    """The activation of an MLP, (..., d_mlp) -> (..., d_mlp), without the norm of `solu_ln`."""
    return _ACTIVATIONS[spec.act_fn](x)


class ToyAttention(nn.Module):
    """Attention of all heads, (rows, pos, d) -> (rows, pos, d)."""

    def __init__(self, spec: ToySpec, layer: int) -> None:
        super().__init__()
        self.spec, self.layer = spec, layer
        wide, narrow = spec.n_heads * spec.d_head, spec.n_kv_heads * spec.d_head
        self.q = nn.Linear(spec.d_model, wide, bias=spec.qkv_bias)
        self.k = nn.Linear(spec.d_model, narrow, bias=spec.qkv_bias)
        self.v = nn.Linear(spec.d_model, narrow, bias=spec.qkv_bias)
        self.o = nn.Linear(wide, spec.d_model, bias=spec.o_bias)

    def forward(self, x: Tensor, placed: Tensor, mask: Tensor) -> Tensor:
        """`placed`: what queries and keys read; `mask`: (rows, 1 or n_heads, pos, pos), True
        where one sees, or broadcastable to that."""
        spec = self.spec
        at = torch.arange(x.shape[1], device=x.device)
        q, k, v = (
            part(read).unflatten(-1, (-1, spec.d_head))
            for part, read in ((self.q, placed), (self.k, placed), (self.v, x))
        )  # (rows, pos, heads, d_head)
        q, k = rotated(spec, q, at), rotated(spec, k, at)
        times = spec.n_heads // spec.n_kv_heads
        q = q.transpose(1, 2)
        k, v = (part.repeat_interleave(times, dim=2).transpose(1, 2) for part in (k, v))
        scores = capped(q @ k.transpose(-1, -2) / spec.divisor(self.layer), spec.scores_cap)
        pattern = shares(spec, scores, mask)
        out: Tensor = self.o((pattern @ v).transpose(1, 2).flatten(-2))
        return out


class ToyMlp(nn.Module):
    """The MLP, (..., d) -> (..., d); `ln` is the norm of `solu_ln`."""

    def __init__(self, spec: ToySpec) -> None:
        super().__init__()
        self.spec = spec
        bias = spec.mlp_bias and not spec.gated_mlp
        self.up = nn.Linear(spec.d_model, spec.d_mlp, bias=bias)
        self.gate = (
            nn.Linear(spec.d_model, spec.d_mlp, bias=False) if spec.gated_mlp else nn.Identity()
        )
        kind = ("LN" if spec.mid_norm else "LNPre") if spec.act_fn == "solu_ln" else ""
        self.ln = _norm(kind, spec.d_mlp, spec.eps)
        self.down = nn.Linear(spec.d_mlp, spec.d_model, bias=spec.mlp_bias)

    def forward(self, x: Tensor) -> Tensor:
        """With a gate: what the gate lets through of the other."""
        if self.spec.gated_mlp:
            hidden = activated(self.spec, self.gate(x)) * self.up(x)
        else:
            hidden = self.ln(activated(self.spec, self.up(x)))
        out: Tensor = self.down(hidden)
        return out


class ToyBlock(nn.Module):
    """One layer, (rows, pos, d) -> (rows, pos, d)."""

    def __init__(self, spec: ToySpec, layer: int) -> None:
        super().__init__()
        self.spec = spec
        self.ln1 = _norm(spec.norm, spec.d_model, spec.eps)
        self.attn = ToyAttention(spec, layer)
        if spec.d_mlp:
            self.ln2 = _norm(spec.norm, spec.d_model, spec.eps)
            self.mlp = ToyMlp(spec)

    def forward(self, x: Tensor, places: Tensor | None, mask: Tensor) -> Tensor:
        """`places`: (pos, d), what shortformer adds to the reading of queries and keys."""
        normed = self.ln1(x)
        after = x + self.attn(normed, normed if places is None else normed + places, mask)
        if not self.spec.d_mlp:
            return after
        out: Tensor = after + self.mlp(self.ln2(x if self.spec.parallel else after))
        return out


class ToyModel(PreTrainedModel):
    """The whole model; see the head of this file. Weights are as torch makes them until loaded."""

    config_class = ToyConfig
    base_model_prefix = ""
    _supports_sdpa = True  # the adapter's part alone: this file has one way to attend
    main_input_name = "input_ids"

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        spec = self.spec = spec_of(config)
        self.embed = nn.Embedding(spec.d_vocab, spec.d_model)
        if spec.positions in ("standard", "shortformer"):
            self.pos_embed = nn.Embedding(spec.n_ctx, spec.d_model)
        self.blocks = nn.ModuleList(ToyBlock(spec, layer) for layer in range(spec.n_layers))
        self.ln_final = _norm(spec.final_norm, spec.d_model, spec.eps)
        self.unembed = nn.Linear(spec.d_model, spec.d_out, bias=spec.unembed_bias)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        return self.embed

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **options: Any
    ) -> CausalLMOutput:
        """Logits (rows, pos, d_out) of ids (rows, pos).

        `attention_mask`: (rows, pos), 0 at padding, which no query sees; or (rows, 1 or
        n_heads, pos, pos), below 0 where a query does not see a key. Raises ValueError for more
        positions than the model has.
        """
        spec, (rows, pos) = self.spec, input_ids.shape
        if pos > spec.n_ctx:
            raise ValueError(f"{pos} positions, the model has {spec.n_ctx}")
        at = torch.arange(pos, device=input_ids.device)
        seen = torch.ones(rows, 1, 1, pos, dtype=torch.bool, device=input_ids.device)
        if attention_mask is not None and attention_mask.dim() == 4:
            seen = attention_mask >= 0
        elif attention_mask is not None:
            seen = attention_mask.bool()[:, None, None]
        back = at.unsqueeze(-1) - at  # by how many positions a key stands before a query
        seen = seen & (back >= 0) if spec.causal else seen
        x = self.embed(input_ids)
        places = self.pos_embed(at) if hasattr(self, "pos_embed") else None
        if spec.positions == "standard":
            x, places = x + places, None
        for block, window in zip(self.blocks, spec.windows, strict=True):
            x = block(x, places, seen if window is None else seen & (back < window))
        return CausalLMOutput(logits=capped(self.unembed(self.ln_final(x)), spec.logits_cap))


AutoConfig.register(TOY, ToyConfig, exist_ok=True)
AutoModelForCausalLM.register(ToyConfig, ToyModel, exist_ok=True)
