"""Toy models: the config of the project's own reference module, and the shape that it describes.

The models on which the field's circuits were found (attention-only, without norms, with two output
classes) are no family of `transformers`. They are computed by `pathdsl.engine.toy.model`, whose
`config.json` has the `model_type` below and says every switch by the name that TransformerLens
uses, so that a circuit's authors know it. What is absent has the default written here; a field that
looks like one of these and is none is a fault.

    >>> spec = toy_spec({"n_layers": 1, "d_model": 8, "n_heads": 2, "d_head": 3, "n_ctx": 5,
    ...     "d_vocab": 7, "attn_only": True, "normalization_type": None, "attn_scale": 2})
    >>> spec.d_out, spec.divisor(0)
    (7, 2.0)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

from pathdsl.limits import LAYERS, SIZE
from pathdsl.near import nearest
from pathdsl.record import record

__all__ = [
    "ACTIVATIONS", "DIRECTIONS", "FIELDS", "NORMS", "POSITIONS", "TOY", "ToySpec",
    "plain_attention", "toy_spec",
]  # fmt: skip

TOY = "pathdsl_toy"
"""The `model_type` of its config."""

NORMS = ("LN", "LNPre", "RMS", "RMSPre")
ACTIVATIONS = (
    "relu", "gelu", "gelu_new", "gelu_fast", "silu", "solu", "solu_ln", "relu2", "tanh",
)  # fmt: skip
POSITIONS = ("standard", "rotary", "shortformer", "none")
DIRECTIONS = ("causal", "bidirectional")


@record
class ToySpec:
    """Every switch of a toy model, by the names of its config.

    `d_mlp`: 0 for attention alone. `d_out`: how many logits. `norm`: one of `NORMS`, "" for none;
    those with `Pre` have no weights. `final_norm`: the same of the norm before the unembedding.
    `mid_norm`: whether the norm of `solu_ln` has weights. `rotary_dim`: how many leading entries of
    q and k are rotated, 0 for none; `rotary_adjacent_pairs`: neighbours, or first half with second.
    `attn_scale`: what scores are divided by, -1 for the root of `d_head`; of layer l times l + 1
    with `scale_attn_by_inverse_layer_idx`. `attn_coeff`: the pattern is this share of the softmax
    and one minus it everywhere, so that rows need not sum to one. `windows`: for each layer how
    many positions a head sees, None for all. Caps: None where there is none. `*_bias`: whether
    there are biases, of q, k and v together.
    """

    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_mlp: int
    d_vocab: int
    d_out: int
    n_ctx: int
    gated_mlp: bool
    parallel: bool
    act_fn: str
    norm: str
    final_norm: str
    mid_norm: bool
    eps: float
    positions: str
    rotary_dim: int
    rotary_base: float
    rotary_adjacent_pairs: bool
    causal: bool
    attn_scale: float
    scale_attn_by_inverse_layer_idx: bool
    attn_coeff: float
    windows: tuple[int | None, ...]
    scores_cap: float | None
    logits_cap: float | None
    qkv_bias: bool
    o_bias: bool
    mlp_bias: bool
    unembed_bias: bool

    def divisor(self, layer: int) -> float:
        """What scores of a layer are divided by."""
        whole = float(self.d_head**0.5) if self.attn_scale == -1 else self.attn_scale
        return whole * (layer + 1) if self.scale_attn_by_inverse_layer_idx else whole


def plain_attention(config: Mapping[str, object]) -> bool:
    """Whether a pattern is the softmax of a scaled product of queries and keys."""
    spec = toy_spec(config)
    return spec.scores_cap is None and spec.attn_coeff == 1.0


# Field of a config -> its default; ... where it must be given.
FIELDS: Mapping[str, object] = {
    "n_layers": ..., "d_model": ..., "n_heads": ..., "d_head": ..., "n_ctx": ..., "d_vocab": ...,
    "normalization_type": ..., "n_key_value_heads": None, "d_mlp": None, "d_vocab_out": None,
    "attn_only": False, "gated_mlp": False, "parallel_attn_mlp": False, "act_fn": None,
    "final_rms": False, "eps": 1e-5, "positional_embedding_type": "standard", "rotary_dim": None,
    "rotary_base": 10000, "rotary_adjacent_pairs": False, "attention_dir": "causal",
    "attn_scale": -1, "scale_attn_by_inverse_layer_idx": False, "attn_coeff": 1, "windows": None,
    "attn_scores_soft_cap": -1, "output_logits_soft_cap": -1, "qkv_bias": True, "o_bias": True,
    "mlp_bias": True, "unembed_bias": True, "mlp_norm_weights": None,
}  # fmt: skip
# Beside them: what says where a model came from, and what `transformers` writes.
_NOTES = ("converted", "model_type", "tie_word_embeddings", "architectures", "dtype")


def toy_spec(config: Mapping[str, object]) -> ToySpec:
    """The switches that a config gives; raises ValueError for one that cannot be."""
    _vet_names(config)
    read = _Reader({**FIELDS, **{k: v for k, v in config.items() if k in FIELDS}})
    n_layers, n_heads = read.size("n_layers", LAYERS.most), read.size("n_heads")
    d_model, d_head, d_vocab = read.size("d_model"), read.size("d_head"), read.size("d_vocab")
    n_kv_heads = read.size("n_key_value_heads") if read.has("n_key_value_heads") else n_heads
    if n_heads % n_kv_heads:
        raise ValueError(f"{n_heads} query heads do not share out {n_kv_heads} key/value heads")
    attn_only, gated = read.switch("attn_only"), read.switch("gated_mlp")
    act_fn = "" if attn_only else read.word("act_fn", ACTIVATIONS)
    if gated and act_fn == "solu_ln":
        raise ValueError("`gated_mlp` with `act_fn: solu_ln` is no function that anybody trained")
    norm = "" if not read.has("normalization_type") else read.word("normalization_type", NORMS)
    rms, pre = norm.startswith("RMS") or read.switch("final_rms"), norm.endswith("Pre")
    positions = read.word("positional_embedding_type", POSITIONS)
    rotary_dim = 0
    if positions == "rotary":
        rotary_dim = read.size("rotary_dim") if read.has("rotary_dim") else d_head
        if rotary_dim % 2 or rotary_dim > d_head:
            raise ValueError(
                f"`rotary_dim: {rotary_dim}` is not an even part of a head of width {d_head}"
            )
    causal = read.word("attention_dir", DIRECTIONS) == "causal"
    tied = config.get("tie_word_embeddings")
    if tied:
        raise ValueError("`tie_word_embeddings: true`, and a toy model has two matrices of its own")
    return ToySpec(
        n_layers=n_layers, d_model=d_model, n_heads=n_heads, n_kv_heads=n_kv_heads, d_head=d_head,
        d_mlp=0 if attn_only else read.size("d_mlp"), d_vocab=d_vocab,
        d_out=read.size("d_vocab_out") if read.has("d_vocab_out") else d_vocab,
        n_ctx=read.size("n_ctx"), gated_mlp=gated and not attn_only,
        parallel=read.switch("parallel_attn_mlp"), act_fn=act_fn, norm=norm,
        final_norm=(("RMS" if rms else "LN") + "Pre" * pre) if norm else "",
        mid_norm=(
            read.switch("mlp_norm_weights") if read.has("mlp_norm_weights") else norm == "LN"
        ), eps=read.number("eps", least=0.0), positions=positions,
        rotary_dim=rotary_dim, rotary_base=read.number("rotary_base", above=0.0),
        rotary_adjacent_pairs=read.switch("rotary_adjacent_pairs"), causal=causal,
        attn_scale=-1.0 if read("attn_scale") == -1 else read.number("attn_scale", above=0.0),
        scale_attn_by_inverse_layer_idx=read.switch("scale_attn_by_inverse_layer_idx"),
        attn_coeff=read.number("attn_coeff", least=0.0, most=1.0),
        windows=read.windows(n_layers, causal),
        scores_cap=read.cap("attn_scores_soft_cap"), logits_cap=read.cap("output_logits_soft_cap"),
        qkv_bias=read.switch("qkv_bias"), o_bias=read.switch("o_bias"),
        mlp_bias=read.switch("mlp_bias"), unembed_bias=read.switch("unembed_bias"),
    )  # fmt: skip


def _vet_names(config: Mapping[str, object]) -> None:
    """Raise ValueError for a field that looks like one of these and is none."""
    known = (*FIELDS, *_NOTES)
    for name in config:
        if name not in known and (near := nearest(str(name), FIELDS, cutoff=0.85)):
            raise ValueError(f"`{name}` is no field of a toy model: did you mean `{near[0]}`?")


class _Reader:
    """Fields of one kind each; raises ValueError for another."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        self.fields = fields

    def __call__(self, name: str) -> object:
        value = self.fields[name]
        if value is ...:
            raise ValueError(f"the config has no `{name}`")
        return value

    def has(self, name: str) -> bool:
        return self(name) is not None

    def switch(self, name: str) -> bool:
        value = self(name)
        if not isinstance(value, bool):
            raise ValueError(f"`{name}` is `{value}`, wanted true or false")
        return value

    def size(self, name: str, most: int = SIZE.most) -> int:
        value = self(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
            raise ValueError(f"`{name}` is `{value}`, wanted a whole number from 1 to {most:,}")
        return value

    def number(
        self, name: str, *, above: float | None = None, least: float | None = None,
        most: float | None = None,
    ) -> float:  # fmt: skip
        value = self(name)
        bad = not isinstance(value, int | float) or isinstance(value, bool)
        number = 0.0 if bad else float(value)  # type: ignore[arg-type]
        low = above if above is not None else least
        wrong = bad or not isfinite(number) or (low is not None and number < low)
        wrong = wrong or number == above or (most is not None and number > most)
        if wrong:
            ends = f"from {least:g} to {most:g}" if most is not None and least is not None else (
                f"above {above:g}" if above is not None else f"of at least {low:g}"
            )  # fmt: skip
            raise ValueError(f"`{name}` is `{value}`, wanted a number {ends}")
        return number

    def cap(self, name: str) -> float | None:
        """A soft cap; none where the config has null or a negative number."""
        value = self(name)
        if value is None or (isinstance(value, int | float) and value < 0):
            return None
        return self.number(name, above=0.0)

    def word(self, name: str, known: Sequence[str]) -> str:
        """One of some words, in any case."""
        value = self(name)
        by_case = {one.lower(): one for one in known}
        found = by_case.get(value.lower()) if isinstance(value, str) else None
        if found is None:
            wanted = ", ".join(f"`{one}`" for one in known)
            raise ValueError(f"`{name}` is `{value}`, wanted one of {wanted}")
        return found

    def windows(self, n_layers: int, causal: bool) -> tuple[int | None, ...]:
        value = self("windows")
        if value is None:
            return (None,) * n_layers
        if not isinstance(value, list | tuple) or len(value) != n_layers:
            raise ValueError(f"`windows` does not give one window, or null, for {n_layers} layers")
        for one in value:
            if one is not None and (not isinstance(one, int) or isinstance(one, bool) or one < 1):
                raise ValueError(f"`windows` has `{one}`, wanted a number of positions or null")
        if not causal and any(value):
            raise ValueError("`windows` with `attention_dir: bidirectional` is not computed")
        return tuple(value)
