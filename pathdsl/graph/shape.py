"""The shape of a model: how many layers and heads, what reads what; from its config alone.

Everything the language needs to know of a model before its weights are loaded. No torch.

Source of the counts: a residual transformer block reads the sum of all earlier writers, so each
component has an edge from each earlier one (Wang et al. 2022; Conmy et al. 2023 for the number of
edges).
"""

from __future__ import annotations

from collections.abc import Mapping
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


def gpt2_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a GPT-2 config given as a plain mapping (`config.json`)."""

    def integer(key: str, default: int | None = None) -> int:
        value = config.get(key, default)
        if not isinstance(value, int):
            raise ValueError(f"config has no integer `{key}`")
        return value

    d_model, n_heads = integer("n_embd"), integer("n_head")
    d_mlp = config.get("n_inner") or 4 * d_model
    return ModelShape(
        family="gpt2",
        n_layers=integer("n_layer"),
        n_heads=n_heads,
        d_model=d_model,
        d_head=d_model // n_heads,
        d_mlp=int(d_mlp),  # type: ignore[call-overload]
        d_vocab=integer("vocab_size"),
        n_positions=integer("n_positions", 1024),
        n_kv_heads=n_heads,
    )
