"""What the executor may ask of a model: the parts of one transformer, one call each.

A transformer is a residual stream that heads and MLPs read and write. An adapter takes the modules
of one `transformers` model apart along exactly that line and calls *their own weights*; it never
copies or approximates them. The executor composes the parts differently for every copy of a
component, so each call takes the values that its component reads, with any leading shape.

One adapter serves one block structure (GPT-2, Llama-like, NeoX), not one model name.

Conventions, for every adapter:

- heads are counted as *query* heads, also for keys and values (with grouped queries the key of
  head 6 is the key as read by head 6);
- a head's output contains its value bias, because values contain it; the bias of the output
  projection belongs to no sender and is `write_bias`; an MLP's output contains its output bias;
- calls are pure functions of their arguments and the weights, and leave gradients alone: a caller
  that needs none wraps them in `torch.no_grad()`;
- calls that apply norms of the residual stream take `scales`: `Noted` collects the norms' scales,
  `Given` replaces them (`pathdsl.engine.adapters.norms`), None is the model's own computation;
- positions are counted from 0, special tokens included; rows are padded on the right.

The idea of patching each component's q, k and v input separately is that of ACDC (Conmy et al.
2023, arXiv:2304.14997, section 2) and of path patching (Goldowsky-Dill et al. 2023).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from pathdsl.engine.adapters.norms import Given, Noted, Scales
from pathdsl.errors import Diagnostic, EngineError
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.pathset import Slot

__all__ = [
    "SLOTS", "Adapter", "LayerValues", "Slot", "check_weights", "layers", "refuse",
    "refuse_foreign", "visible",
]  # fmt: skip

SLOTS: tuple[Slot, ...] = ("q", "k", "v")


@runtime_checkable
class Adapter(Protocol):
    """The parts of one loaded model. `d` below is d_model; `...` is any leading shape."""

    shape: ModelShape
    fused: bool
    """Whether attention whose pattern nobody wants is torch's `scaled_dot_product_attention`."""

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of weights and residual stream."""
        ...

    @property
    def precision(self) -> torch.dtype:
        """The dtype whose rounding two ways to one number may differ by: `dtype`, or float32 in a
        float64 model whose own code passes through float32."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        ...

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """The weights of the model."""
        ...

    @abstractmethod
    def embed(self, ids: Tensor) -> Tensor:
        """The sender `input`: token plus position embedding, (rows, pos) ids -> (rows, pos, d); and
        beside it, up to `ModelShape.input_width`, what MLPs are given of the tokens."""
        ...

    def noised(self, ids: Tensor, added: Tensor) -> Tensor:
        """`embed` where `added` (rows, pos, d) is added to what enters the stream, and what follows
        from that is of the sum."""
        ...

    def embedding_std(self) -> float:
        """The standard deviation of all entries of the token embedding matrix (population, in
        float64): the unit of `noise(scale: …)`."""
        ...

    @abstractmethod
    def attention_input(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm before attention, (..., d) -> (..., d)."""
        ...

    @abstractmethod
    def project(
        self,
        layer: int,
        slot: Slot,
        normed: Tensor,
        heads: Sequence[int] | None = None,
        positions: Tensor | None = None,
        scales: Scales | None = None,
    ) -> Tensor:
        """One input of heads with its bias, (..., d) -> (..., n_heads_selected, d_head).

        `heads` None: all, in order. `positions`: integers broadcastable to `normed.shape[:-1]`,
        where each vector stands, for rotary families; None means 0, 1, 2, … along the axis before
        the last. `scales`: of norms of queries and keys, `scale_q` and `scale_k`, where there are.
        """
        ...

    @abstractmethod
    def input_weight(self, layer: int, slot: Slot) -> Tensor | None:
        """The weight of `project` by query head, (n_heads, d_head, d), where it is affine.

        `project(x)` is then `placed(weight x + bias)`. None where a norm or a clip stands in it.
        """
        ...

    @abstractmethod
    def placed(self, layer: int, slot: Slot, x: Tensor, positions: Tensor) -> Tensor:
        """The linear rest of `project`: q, k or v (..., n_heads, d_head) turned by position, scaled
        as the family does it; `positions` as there."""
        ...

    def attend(
        self,
        layer: int,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        query_positions: Tensor,
        valid: Tensor | None = None,
        *,
        want_pattern: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attention of all heads of a layer: their outputs and, if wanted, their patterns.

        q (n_heads, rows, nq, d_head); k, v (n_heads, rows, nk, d_head), key j standing at position
        j; query_positions (rows, nq) int, ascending; valid (rows, nk) bool, True where a real token
        stands.
        -> (n_heads, rows, nq, d_head), and (n_heads, rows, nq, nk) or None.
        """
        ...

    def attend_masked(
        self,
        layer: int,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor,
        *,
        bias: Tensor | None = None,
        want_pattern: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """`attend` of `n` head copies with any mask: (rows, nq, nk) bool, True where a query may
        read a key. `bias`: their `position_bias`."""
        ...

    def mask(
        self, layer: int, query_positions: Tensor, n_keys: int, valid: Tensor | None = None
    ) -> Tensor:
        """(rows, nq, n_keys) bool: True where a query of this layer may read a key."""
        ...

    @abstractmethod
    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Scaled and not yet masked scores, (..., nq, d_head), (..., nk, d_head) -> (..., nq, nk).

        Soft-capping, where a family has it, is applied here. `position_bias` is not yet in them.
        """
        ...

    def position_bias(
        self, layer: int, heads: Sequence[int], queries: Tensor, keys: Tensor
    ) -> Tensor | None:
        """What is added to `scores` by position (ALiBi), None in families that add nothing.

        Of `n` heads, with the positions of queries (rows, nq) and keys (rows, nk) as they stand in
        the prompt: (n, rows, nq, nk), or (n, rows, 1, nk) where every query has the same. It is
        right up to a constant of each query, which a softmax does not see.
        """
        ...

    @abstractmethod
    def softmax(self, scores: Tensor, mask: Tensor, sinks: Tensor | None = None) -> Tensor:
        """The pattern, (..., nq, nk) in the model's dtype; `mask` is True where a key is visible.

        `sinks`, of families that have any: of each head, with as many axes as the scores. Without
        them a query that sees no key at all (padding) gets a finite, meaningless row.
        """
        ...

    def gated(self, layer: int, q: Tensor, z: Tensor) -> Tensor:
        """What heads write of what they mix, (..., nq, d_head), with the queries that it is for:
        z itself but in families whose queries have a gate."""
        ...

    def sinks(self, layer: int, heads: Sequence[int] | None = None) -> Tensor | None:
        """Of each head, (n_heads_selected,), a constant that its softmax counts as one key more,
        whose value is 0; None for families without."""
        ...

    def mix(self, pattern: Tensor, v: Tensor) -> Tensor:
        """Values weighted by the pattern, (..., nq, nk), (..., nk, d_head) -> (..., nq, d_head)."""
        ...

    def recurrent_input(self, layer: int, normed: Tensor) -> Tensor:
        """What a layer's recurrence projects each token to, (..., d) -> (..., width): see
        `pathdsl.graph.model.recurrence.Recurrence`."""
        ...

    def recurrent(self, layer: int, x: Tensor, at: Tensor | None = None) -> Tensor:
        """What a layer's recurrence writes, (rows, pos, width) -> (rows, pos, d).

        Position 0 is the first token, and padding stands on the right. `at`: (rows, n) positions,
        -> (rows, n, d) what is written there.
        """
        ...

    def write(self, layer: int, z: Tensor, heads: Sequence[int] | None = None) -> Tensor:
        """The summed write of heads, without bias: (..., n_heads_selected, d_head) -> (..., d)."""
        ...

    def write_each(self, layer: int, z: Tensor, heads: Sequence[int] | None = None) -> Tensor:
        """Each head's own write: (..., n_heads_selected, d_head) -> (..., n_heads_selected, d)."""
        ...

    def output_weight(self, layer: int) -> Tensor:
        """The weight of `write_each` by query head, (n_heads, d_head, d)."""
        ...

    @abstractmethod
    def write_bias(self, layer: int) -> Tensor:
        """The bias of attention's output projection, (d,): a constant of the residual stream."""
        ...

    @abstractmethod
    def attention_write(self, layer: int, z: Tensor, scales: Scales | None = None) -> Tensor:
        """All that attention adds to the residual stream, (..., n_heads, d_head) -> (..., d).

        The output projection of every head's output, its bias, and the norm between the heads and
        the stream where a family has one: each reader applies it to the sum that it reads.
        """
        ...

    @abstractmethod
    def mlp(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """What the MLP adds to the residual stream, (..., d) -> (..., d): with the norm before it,
        its output bias and, where a family has one, the norm after it.

        Where `input` gives it something beside the stream, that stands behind the stream's d
        numbers, `ModelShape.per_layer_input` more.
        """
        ...

    @abstractmethod
    def mlp_before(
        self, layer: int, resid: Tensor, scales: Scales | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the MLP's activation reads, with the norm before it, (..., d) -> (..., d_mlp), and
        what multiplies its result in a gated MLP, None in others."""
        ...

    @abstractmethod
    def mlp_activation(self, layer: int, before: Tensor) -> Tensor:
        """The MLP's activation, entry by entry."""
        ...

    @abstractmethod
    def mlp_after(self, layer: int, hidden: Tensor, scales: Scales | None = None) -> Tensor:
        """What the MLP adds from its hidden units, (..., d_mlp) -> (..., d): with its output bias
        and the norm after it."""
        ...

    def mlp_hidden(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The MLP's hidden units, (..., d) -> (..., d_mlp): what its output projection reads.

        Raises ValueError where a norm stands behind the MLP (`ModelShape.normed_mlp`).
        """
        ...

    @abstractmethod
    def mlp_write(self, layer: int, hidden: Tensor, bias: Tensor) -> Tensor:
        """What hidden units add to the residual stream, (..., d_mlp) -> (..., d).

        `bias` (..., 1): by what the output bias is multiplied, 1 where it is there.
        """
        ...

    @abstractmethod
    def behind_attention(self, layer: int, total: Tensor) -> Tensor:
        """The stream behind attention, (..., d) -> (..., d): the sum of the stream before and what
        attention wrote, or its norm (`ModelShape.normed_stream`)."""
        ...

    @abstractmethod
    def behind_mlp(self, layer: int, total: Tensor) -> Tensor:
        """The same behind the MLP, (..., d) -> (..., d)."""
        ...

    def final_norm(self, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm before the unembedding, (..., d) -> (..., d)."""
        ...

    def unembed(self, normed: Tensor) -> Tensor:
        """Logits over the vocabulary, (..., d) -> (..., d_vocab)."""
        ...

    def unembed_columns(self, normed: Tensor, ids: Tensor) -> Tensor:
        """Logits of chosen tokens, (rows, n, d) with ids (rows, c) -> (rows, n, c)."""
        ...

    def final_norm_part(self, written: Tensor, scales: Given) -> Tensor:
        """What a part of the last stream adds to the normed one, (..., d) -> (..., d) in float64:
        centred where the norm centres, with the given scale and the gain, without the bias."""
        ...

    def unembed_part(self, normed: Tensor, ids: Tensor) -> Tensor:
        """What a part of the normed stream adds to the logits of chosen tokens, (n, d) in float64
        with ids (n, c) -> (n, c): before any cap, without the bias of the unembedding."""
        ...

    def decomposed_forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits (rows, pos, d_vocab) of ids (rows, pos), computed from the parts above.

        `lengths` (rows,): true lengths of right-padded rows; what stands at padding is meaningless.
        """
        ...

    def plain_forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits (rows, pos, d_vocab) of the unmodified `transformers` model, for self-checks."""
        ...

    def final_stream(self, ids: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(rows, pos, d): what enters the unmodified model's final norm, and its logits (rows, pos,
        d_vocab) from the same pass, for self-checks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerValues:
    """One layer of a forward pass: what its parts read and write, each (rows, pos, …).

    `inputs`: queries, keys and values, (n_heads, rows, pos, d_head) each; none of a recurrence,
    whose `z` is (…, 1, d). `z`: heads' outputs (…,
    n_heads, d_head); `written`: all that attention adds to the stream, `middle` the stream behind
    it; `read` what the MLP reads and `out` what it adds, None without one; `after`: the stream that
    leaves the layer. `noted`: scales of its norms if wanted.
    """

    layer: int
    inputs: tuple[Tensor, ...]
    z: Tensor
    written: Tensor
    middle: Tensor
    read: Tensor
    out: Tensor | None
    after: Tensor
    noted: Noted | None


def layers(
    adapter: Adapter,
    embedded: Tensor | None,
    lengths: Tensor | None = None,
    *,
    first: int = 0,
    stream: Tensor | None = None,
    n_layers: int | None = None,
    note_scales: bool = False,
) -> Iterator[LayerValues]:
    """The layers of a plain forward pass, one after another, from the parts of a model.

    Args:
        embedded: (rows, pos, input_width) values of `input`; None where a stream is given and
            `input` gives MLPs nothing beside it.
        stream: (rows, pos, d) what enters layer `first`, None for 0.
        lengths: (rows,) true lengths of right-padded rows.
        n_layers: the layer before which to stop, None for none.
    """
    shape = adapter.shape
    if stream is None:
        assert embedded is not None
        stream = embedded[..., : shape.d_model]
    resid = stream
    rows, pos, _ = resid.shape
    places = torch.arange(pos, device=adapter.device).expand(rows, pos)
    valid = None if lengths is None else places < lengths.to(adapter.device).unsqueeze(-1)
    last = shape.n_layers if n_layers is None else min(n_layers, shape.n_layers)
    if shape.start(first) < first:
        raise ValueError(f"from layer {first} on heads read keys of layer {shape.start(first)}")
    lent: dict[int, tuple[Tensor, Tensor]] = {}
    for layer in range(first, last):
        noted = Noted() if note_scales else None
        normed = adapter.attention_input(layer, resid, noted)
        inputs: tuple[Tensor, ...] = ()
        if shape.recurs(layer):
            z = adapter.recurrent(layer, adapter.recurrent_input(layer, normed)).unsqueeze(-2)
        else:
            slots = SLOTS[:1] if shape.shares(layer) else SLOTS
            q, *stored = (
                adapter.project(layer, slot, normed, positions=places).permute(2, 0, 1, 3)
                for slot in slots
            )  # each (n_heads, rows, pos, d_head)
            k, v = stored or lent[shape.entry(layer, "k")]
            if layer in shape.keys_from[layer + 1 :]:
                lent[layer] = k, v
            inputs = (q, k, v)
            z = adapter.attend(layer, q, k, v, places, valid)[0].permute(1, 2, 0, 3)
        written = adapter.attention_write(layer, z, noted)
        middle = adapter.behind_attention(layer, resid + written)
        read = resid if shape.parallel else middle
        if shape.per_layer_input:
            assert embedded is not None
            read = torch.cat((read, embedded[..., shape.given(layer)]), dim=-1)
        out = adapter.mlp(layer, read, noted) if shape.has_mlp else None
        resid = middle if out is None else adapter.behind_mlp(layer, middle + out)
        yield LayerValues(
            layer=layer, inputs=inputs, z=z, written=written, middle=middle, read=read, out=out,
            after=resid, noted=noted,
        )  # fmt: skip


def visible(
    query_positions: Tensor,
    n_keys: int,
    valid: Tensor | None = None,
    window: int | None = None,
    *,
    causal: bool = True,
) -> Tensor:
    """(rows, nq, n_keys) bool: key j is visible to a query at p when p - window < j <= p.

    query_positions (rows, nq); valid (rows, n_keys) bool or None (all keys real); window None:
    all keys up to the query's own. Where attention is not `causal`: when p - window < j < p +
    window, and all keys without a window.
    """
    keys = torch.arange(n_keys, device=query_positions.device)
    at = query_positions.unsqueeze(-1)  # (rows, nq, 1)
    seen = keys <= at if causal else (keys >= 0).expand(*at.shape[:2], n_keys)  # (rows, nq, n_keys)
    if window is not None:
        seen = seen & (keys > at - window) & (keys < at + window)
    if valid is not None:
        seen = seen & valid.to(seen.device).unsqueeze(1)
    return seen


def refuse(
    code: str, message: str, *, notes: tuple[str, ...] = (), advice: str = ""
) -> EngineError:
    """The exception that says why a model object cannot be taken apart."""
    return EngineError(Diagnostic(code=code, message=message, notes=notes, help=advice))


def refuse_foreign(model: torch.nn.Module) -> None:
    """Raise EngineError for what other libraries do to a model: PEFT (PD607), shards (PD612)."""
    for name, part in model.named_modules():
        if type(part).__module__.partition(".")[0] == "peft":
            raise refuse(
                "PD607",
                f"the model carries adapters of PEFT: `{name or 'model'}` is a "
                f"`{type(part).__name__}`",
                notes=("low-rank parts beside the weights are no nodes of the graph",),
                advice="merge them into the weights: `model.merge_and_unload()`",
            )
    # The class by name: importing it costs the start of torch.distributed.
    shards = [n for n, p in model.named_parameters() if type(p.data).__name__ == "DTensor"]
    if shards or (getattr(model, "_tp_size", None) or 1) > 1:
        raise refuse(
            "PD612",
            "the model's weights are tensor-parallel shards"
            + (f": `{shards[0]}` is a DTensor" if shards else " (`tp_plan`)"),
            notes=("each process holds a part of every head's weights",),
            advice="load it without `tp_plan`; `--device auto` places whole layers",
        )


def check_weights(model: torch.nn.Module) -> tuple[torch.dtype, torch.device]:
    """The dtype of a model's parameters, and the device of them or of the token embedding.

    Several devices are allowed where transformers placed the weights (`hf_device_map`).

    Raises EngineError PD608 for weights that are not floating point or marked as quantised, PD612
    for mixed dtypes or devices and for weights that are not there (`meta`), PD618 for a module in
    training mode.
    """
    config = getattr(model, "config", None)
    if getattr(config, "quantization_config", None) or getattr(model, "is_quantized", False):
        raise refuse(
            "PD608",
            "the model's weights are quantised",
            notes=("a decomposition of rounded weights is not the decomposition of the model",),
            advice="load the unquantised weights in float32, float64, bfloat16 or float16",
        )
    kinds = {(p.dtype, p.device) for p in model.parameters()}
    if odd := sorted({str(dtype) for dtype, _ in kinds if not dtype.is_floating_point}):
        raise refuse("PD608", f"the model has weights of dtype {', '.join(odd)}, wanted a float")
    if any(device.type == "meta" for _, device in kinds):
        raise refuse(
            "PD612",
            "the model's weights are not loaded (device `meta`)",
            notes=("weights that a `device_map` leaves on disk or CPU stand there, too",),
        )
    if len(kinds) > 1 and len({dtype for dtype, _ in kinds}) == 1:
        if getattr(model, "hf_device_map", None):
            tokens = cast(Any, model).get_input_embeddings().weight
            kinds = {(tokens.dtype, tokens.device)}
    if len(kinds) != 1:
        listed = ", ".join(sorted(f"`{dtype}` on `{device}`" for dtype, device in kinds))
        raise refuse(
            "PD612",
            f"the model's weights are of several kinds: {listed or 'none at all'}",
            advice="`model.to(device, dtype)` brings them to one",
        )
    (dtype, device) = next(iter(kinds))
    if training := [name or "model" for name, part in model.named_modules() if part.training]:
        raise refuse(
            "PD618",
            f"`{training[0]}` is in training mode, so dropout would make every run different",
            advice="call `model.eval()`",
        )
    return dtype, device
