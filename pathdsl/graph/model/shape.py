"""The shape of a model: how many layers and heads, what reads what; from its config alone.

Everything the language needs to know of a model before its weights are loaded. No torch.

Source of the counts: a residual transformer block reads the sum of all earlier writers, so each
component has an edge from each earlier one (Wang et al. 2022; Conmy et al. 2023 for the number of
edges).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pathdsl.graph.model.fields import layers_said
from pathdsl.graph.model.mixtures import Mixture
from pathdsl.graph.model.recurrence import Recurrence

__all__ = ["ModelShape"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Layers, heads and which edges exist.

    `parallel`: attention and MLP of a layer read the same residual stream (no edge between them).
    `windows`: for each layer how many positions a head sees, its own included; None: all before.
    `causal`: whether a head sees no position behind its own. Where it does, a window reaches as far
    on as back, and None is all positions of the prompt.
    `normed_stream`: a norm stands behind each sum of the stream (post-norm), so that what a node
    reads is a norm of sums of norms, over the copies that it is sent.
    `prediction_head`: layers of the model stand between the last stream and the unembedding, so
    that a logit is no sum of what components write.
    `normed_mlp`: a norm stands between an MLP and the residual stream, so that its neurons do not
    write to the stream each by itself.
    `gated_mlp`: an MLP has a third matrix, whose output gates its hidden units.
    `d_mlp`: hidden units of an MLP that is no mixture. `mixture`: the MLPs that are mixtures.
    `sinks`: every head has a constant in the denominator of its softmax, so that its weights add up
    to less than one. `gated_heads`: what a head mixes is multiplied by a gate that reads what its
    query reads.
    `normed_hidden`: a norm stands between an MLP's activation and its output projection.
    `mixed_hidden`: the activation makes each hidden unit of all of them, by a softmax or a norm.
    `d_vocab_out`: how many logits there are, where these are of something else than of the
    vocabulary; 0 for one of each token.
    `bent_pattern`: what attention reads values by is no softmax but one with a constant added.
    `groups`: for each layer how many key/value groups, where layers differ; `n_kv_heads` are then
    the most.
    `rescaled`: a layer multiplies the stream as it leaves it, so that one vector is not the same in
    two layers.
    `recurrence`: the layers in which one recurrence over tokens stands in the place of heads. It is
    their head 0, has one input, `v`, and what it writes is as wide as the stream.
    `keys_from`: for each layer the one whose keys and values its heads read, where that is another
    than their own; empty where each layer has its own.
    `per_layer_input`: numbers of a second embedding that `input` gives each MLP beside the stream.
    `units`: for each layer the hidden units of its MLP, where layers differ; `d_mlp` are then the
    most.
    """

    family: str
    n_layers: int
    n_heads: int
    d_model: int
    d_head: int
    d_mlp: int
    d_vocab: int
    n_positions: int
    has_mlp: bool = True
    parallel: bool = False
    windows: tuple[int | None, ...] = ()
    n_kv_heads: int = 0
    normed_mlp: bool = False
    gated_mlp: bool = False
    groups: tuple[int, ...] = ()
    rescaled: bool = False
    causal: bool = True
    normed_stream: bool = False
    prediction_head: bool = False
    mixture: Mixture | None = field(default=None, metadata={"later": True})
    sinks: bool = field(default=False, metadata={"later": True})
    gated_heads: bool = field(default=False, metadata={"later": True})
    normed_hidden: bool = False
    mixed_hidden: bool = False
    d_vocab_out: int = 0
    bent_pattern: bool = False
    recurrence: Recurrence | None = field(default=None, metadata={"later": True})
    keys_from: tuple[int, ...] = field(default=(), metadata={"later": True})
    units: tuple[int, ...] = field(default=(), metadata={"later": True})
    per_layer_input: int = field(default=0, metadata={"later": True})

    def recurs(self, layer: int) -> bool:
        """Whether a recurrence stands in the place of a layer's heads."""
        return self.recurrence is not None and self.recurrence.layers[layer]

    @property
    def recurrences(self) -> str:
        """Which layers have a recurrence in the place of heads, as it is said behind the others."""
        if self.recurrence is None:
            return ""
        where = layers_said([k for k in range(self.n_layers) if self.recurs(k)])
        return f"; in layers {where} a recurrence in the place of heads"

    def heads_in(self, layer: int) -> int:
        """How many heads a layer has."""
        return 1 if self.recurs(layer) else self.n_heads

    def head_width(self, layer: int) -> int:
        """How wide the values of a layer's heads are, before they are written to the stream."""
        return self.d_model if self.recurs(layer) else self.d_head

    def entry(self, layer: int, slot: str | None) -> int:
        """The layer whose entry an input of heads of `layer` reads, and whose weights project it.

        Their own; of `k` and `v` that of the layer whose keys and values they are given.
        """
        return self.keys_from[layer] if self.keys_from and slot in ("k", "v") else layer

    def shares(self, layer: int) -> bool:
        """Whether heads of a layer read the keys and values of another one."""
        return self.entry(layer, "k") != layer

    def start(self, layer: int) -> int:
        """The last layer up to `layer` with which a run may begin whose stream is known there.

        Behind it no head reads the keys of a layer before it.
        """
        return min([layer, *self.keys_from[layer:]])

    def routes(self, layer: int) -> bool:
        """Whether the MLP of a layer is a mixture of experts."""
        return self.mixture is not None and self.mixture.layers[layer]

    def used_units(self, layer: int) -> int:
        """Hidden units of a layer's MLP that one token uses."""
        if self.mixture is None or not self.mixture.layers[layer]:
            return self.units[layer] if self.units else self.d_mlp
        return self.mixture.top * self.mixture.width + self.mixture.shared

    @property
    def input_width(self) -> int:
        """Numbers of the value of `input`: what it writes to the stream, then what it gives the
        MLP of each layer."""
        return self.d_model + self.n_layers * self.per_layer_input

    def given(self, layer: int) -> slice:
        """Which of these are given to the MLP of a layer."""
        first = self.d_model + layer * self.per_layer_input
        return slice(first, first + self.per_layer_input)

    @property
    def mean_units(self) -> int:
        """The mean of `used_units` over layers."""
        return sum(map(self.used_units, range(self.n_layers))) // max(self.n_layers, 1)

    @property
    def n_experts(self) -> int:
        """Experts of a mixture, 0 where there is none."""
        return 0 if self.mixture is None else self.mixture.n_experts

    @property
    def n_logits(self) -> int:
        """How many logits there are."""
        return self.d_vocab_out or self.d_vocab

    @property
    def no_neurons(self) -> str:
        """Why no neuron is a node of its own; "" where neurons are."""
        if not self.has_mlp:
            return "it has no MLPs"
        if self.normed_mlp:
            return "a norm stands between the MLP and the residual stream"
        return "a norm stands between neurons and what they write" if self.normed_hidden else ""

    @property
    def norm_after_attention(self) -> bool:
        """Whether a norm stands between a layer's heads and the residual stream.

        The families that have one there have one behind the MLP, too.
        """
        return self.normed_mlp

    @property
    def n_senders(self) -> int:
        """`input`, every head and every MLP."""
        heads = sum(map(self.heads_in, range(self.n_layers)))
        return 1 + heads + self.n_layers * int(self.has_mlp)

    @property
    def n_groups(self) -> int:
        """Key/value groups of a layer, at most: heads of one share their keys and values."""
        return self.n_kv_heads or self.n_heads

    def groups_of(self, layer: int) -> int:
        """Key/value groups of `layer`."""
        if self.recurs(layer):
            return 1
        return self.groups[layer] if self.groups else self.n_groups

    def heads_of_group(self, group: int, layer: int = 0) -> range:
        """The query heads of one key/value group of a layer, as many neighbours in each group."""
        size = self.heads_in(layer) // self.groups_of(layer)
        return range(group * size, (group + 1) * size)

    def window(self, layer: int) -> int | None:
        """How many positions heads of `layer` see, or None for all up to their own."""
        return self.windows[layer] if self.windows else None

    def sees(self, layer: int, distance: int) -> bool:
        """Whether heads of `layer` see the position that many before their own, < 0 for behind."""
        if distance < 0 and self.causal:
            return False
        window = self.window(layer)
        return window is None or abs(distance) < window
