"""Which layers of a model have a recurrence over tokens in the place of heads; from its config.

A DeltaNet carries a matrix from token to token: what it writes at a token is one function of the
stream at all tokens up to there, and none of its parts reads one token alone, since a short
convolution over tokens stands before them. So all of a layer's is one component, `a3.h0`, whose
only input is `v`, the one that may come from earlier tokens. No torch.

Source: Yang et al. 2024 (arXiv:2412.06464), equation 10.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pathdsl.graph.model.fields import Config, UnsupportedConfig, integer

__all__ = ["Recurrence", "Recurrences", "delta_nets"]

CHUNK = 64
"""Tokens that `transformers` takes in one product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """The layers that are recurrent: for each layer whether it is.

    Each has `n_states` matrices (`d_key`, `d_value`), `n_keys` queries and keys that write and read
    them, and convolutions over `n_mixed` tokens.
    """

    layers: tuple[bool, ...]
    n_states: int
    n_keys: int
    d_key: int
    d_value: int
    n_mixed: int

    @property
    def width(self) -> int:
        """Numbers that one token is projected to: queries, keys, values, gates, rates, decays."""
        return 2 * self.n_keys * self.d_key + 2 * self.n_states * (self.d_value + 1)

    @property
    def working(self) -> int:
        """Numbers that one token takes while a layer is computed, about."""
        return 2 * self.width + self.n_states * (4 * self.d_key + 5 * self.d_value + 4 * CHUNK)

    def macs(self, d_model: int) -> int:
        """Multiply-adds of one layer for one token."""
        values, keys = self.n_states * self.d_value, self.n_keys * self.d_key
        mixed = self.n_mixed * (2 * keys + values)
        in_chunk = CHUNK * (5 * self.d_key + 3 * self.d_value) // 2
        states = self.n_states * (in_chunk + 3 * self.d_key * self.d_value)
        return d_model * (self.width + values) + mixed + states


Recurrences = Callable[[Config, int], Recurrence | None]
"""Those of a config with so many layers; None where no layer is recurrent."""


def delta_nets(config: Config, n_layers: int) -> Recurrence | None:
    """The DeltaNets of a Qwen 3.5: layers of the type `linear_attention`."""
    kinds = config.get("layer_types")
    if not isinstance(kinds, list | tuple):
        every = integer(config, "full_attention_interval")
        if every < 1:
            raise ValueError("`full_attention_interval` names no layers")
        kinds = ["linear_attention" if (k + 1) % every else "full_attention"
                 for k in range(n_layers)]  # fmt: skip
    if strange := sorted(set(map(str, kinds)) - {"full_attention", "linear_attention"}):
        raise UnsupportedConfig(f"the config has layers of type `{strange[0]}`")
    if len(kinds) != n_layers:
        raise ValueError(f"{len(kinds)} `layer_types` for {n_layers} layers")
    if "linear_attention" not in kinds:
        return None
    sizes = {
        name: integer(config, f"linear_{key}")
        for name, key in (
            ("n_states", "num_value_heads"), ("n_keys", "num_key_heads"),
            ("d_key", "key_head_dim"), ("d_value", "value_head_dim"),
            ("n_mixed", "conv_kernel_dim"),
        )
    }  # fmt: skip
    if least := next((name for name, size in sizes.items() if size < 1), ""):
        raise ValueError(f"a DeltaNet has no size {sizes[least]}")
    if sizes["n_states"] % sizes["n_keys"]:
        raise ValueError(
            f"{sizes['n_states']} value heads do not share out {sizes['n_keys']} key heads"
        )
    return Recurrence(layers=tuple(kind == "linear_attention" for kind in kinds), **sizes)
