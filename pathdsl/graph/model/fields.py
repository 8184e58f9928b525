"""What is read from a config given as a plain mapping (`config.json`), and what that may raise.

ValueError for a missing field and for counts that cannot be, `UnsupportedConfig` for what no
decomposition exists of. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "UnsupportedConfig", "divided", "integer", "layers_said", "rotary_positions", "rotations",
]  # fmt: skip

Config = Mapping[str, object]

_ROTARY = (
    "default", "linear", "dynamic", "yarn", "llama3", "longrope", "su", "proportional",
)  # fmt: skip


class UnsupportedConfig(ValueError):
    """An option that no adapter computes (PD612), why that is, and what can be used instead."""

    def __init__(self, what: str, notes: tuple[str, ...] = (), advice: str = "") -> None:
        super().__init__(what)
        self.notes, self.advice = notes, advice


def integer(config: Config, key: str, default: int | None = None) -> int:
    """An integer of a config; absent and null fields take the default."""
    value = config.get(key)
    if value is None:
        value = default
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"config has no integer `{key}`")
    return value


def divided(d_model: int, n_heads: int) -> int:
    """The width of a head where heads share out the residual stream."""
    if n_heads < 1 or d_model % n_heads:
        raise ValueError(f"{n_heads} heads do not share out d_model {d_model}")
    return d_model // n_heads


def layers_said(layers: Sequence[int]) -> str:
    """Layers in rising order, those that follow each other as one: `0-2, 4-6`."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and runs[-1][-1] == layer - 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def rotations(config: Config) -> Iterator[Config]:
    """The parameters of each rotation: one, or one for each kind of layer."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        raise ValueError("`rope_parameters` is no object")
    nested = [part for part in rope.values() if isinstance(part, Mapping)]
    yield from nested or [rope]


def rotary_positions(config: Config, yarn_is_long: bool = False) -> int:
    """How many positions the rotation is one fixed function of position for.

    `longrope` uses other frequencies for all positions once a batch is longer than the original
    context; `dynamic` beyond `max_position_embeddings`. So the context ends there.
    """
    most = integer(config, "max_position_embeddings")
    for part in rotations(config):
        kind = part.get("rope_type") or part.get("type") or "default"
        if kind not in _ROTARY:
            raise UnsupportedConfig(f"rotary embeddings of type `{kind}` are not known")
        original = config.get("original_max_position_embeddings")
        original = original or part.get("original_max_position_embeddings")
        changes = kind in ("longrope", "su") or (kind == "yarn" and yarn_is_long)
        if changes and isinstance(original, int):
            most = min(most, original)
    return most
