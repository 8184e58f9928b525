"""The shape of a model: how many layers and heads, what reads what; from its config alone.

Everything the language needs to know of a model before its weights are loaded. No torch.

Source of the counts: a residual transformer block reads the sum of all earlier writers, so each
component has an edge from each earlier one (Wang et al. 2022; Conmy et al. 2023 for the number of
edges).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Layers, heads and which edges exist.

    `parallel`: attention and MLP of a layer read the same residual stream (no edge between them).
    `windows`: for each layer how many positions a head sees, its own included; None: all before.
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

    @property
    def n_senders(self) -> int:
        """`input`, every head and every MLP."""
        return 1 + self.n_layers * (self.n_heads + int(self.has_mlp))

    def window(self, layer: int) -> int | None:
        """How many positions heads of `layer` see, or None for all up to their own."""
        return self.windows[layer] if self.windows else None


# -------------------------------------------------------------------------------------------------
# From a config given as a plain mapping (`config.json`). Each raises ValueError for a missing field
# and for counts that cannot be.


def integer(config: Mapping[str, object], key: str, default: int | None = None) -> int:
    """An integer of a config; absent and null fields take the default."""
    value = config.get(key)
    if value is None:
        value = default
    if not isinstance(value, int):
        raise ValueError(f"config has no integer `{key}`")
    return value


def divided(d_model: int, n_heads: int) -> int:
    """The width of a head where heads share out the residual stream."""
    if n_heads < 1 or d_model % n_heads:
        raise ValueError(f"{n_heads} heads do not share out d_model {d_model}")
    return d_model // n_heads


def gpt2_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a GPT-2."""
    d_model, n_heads = integer(config, "n_embd"), integer(config, "n_head")
    d_mlp = config.get("n_inner") or 4 * d_model
    return ModelShape(
        family="gpt2",
        n_layers=integer(config, "n_layer"),
        n_heads=n_heads,
        d_model=d_model,
        d_head=divided(d_model, n_heads),
        d_mlp=int(d_mlp),  # type: ignore[call-overload]
        d_vocab=integer(config, "vocab_size"),
        n_positions=integer(config, "n_positions", 1024),
        n_kv_heads=n_heads,
    )


# model_type of a config -> its shape. Keys are those of `pathdsl.engine.adapters.FAMILIES`.
SHAPES: dict[str, Callable[[Mapping[str, object]], ModelShape]] = {
    "gpt2": gpt2_shape,
}
