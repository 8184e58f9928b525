"""A gated DeltaNet in float64 numpy, one token after another.

Source: Yang et al. 2024 (arXiv:2412.06464), equation 10; the modelling files of `transformers` 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .tree import Array, _array

DeltaNet = Callable[[Sequence[Array]], Array]
"""What it writes at the last of some normed vectors, those of a prompt's tokens in order."""


def _silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def _unit(x: Array) -> Array:
    return x / np.sqrt((x**2).sum() + 1e-6)


def _into(config: Any, module: Any) -> dict[str, Array]:
    """Weights of queries, keys and values together, gates `z`, rates `b` and decays `a`."""
    if hasattr(module, "in_proj_qkv"):
        return {
            at: _array(getattr(module, f"in_proj_{at}").weight) for at in ("qkv", "z", "b", "a")
        }
    keys, size = config.linear_num_key_heads, config.linear_key_head_dim
    both, rest = (_array(getattr(module, f"in_proj_{name}").weight) for name in ("qkvz", "ba"))
    of_key = both.reshape(keys, -1, both.shape[1])
    wide = (of_key.shape[1] - 2 * size) // 2
    q, k, v, z = np.split(of_key, [size, 2 * size, 2 * size + wide], axis=1)
    b, a = np.split(rest.reshape(keys, -1, both.shape[1]), 2, axis=1)
    flat = [x.reshape(-1, both.shape[1]) for x in (q, k, v, z, b, a)]
    return {"qkv": np.concatenate(flat[:3]), "z": flat[3], "b": flat[4], "a": flat[5]}


def delta_net(config: Any, module: Any) -> DeltaNet:
    """The DeltaNet of one layer."""
    into = _into(config, module)
    kernel = _array(module.conv1d.weight)[:, 0]  # (channels, tokens), the token's own last
    rates, base = np.exp(_array(module.A_log)), _array(module.dt_bias)
    keys, values = config.linear_num_key_heads, config.linear_num_value_heads
    size, wide = config.linear_key_head_dim, config.linear_value_head_dim
    gain, out = _array(module.norm.weight), _array(module.out_proj.weight)

    def mixed(xs: Sequence[Array], at: int) -> tuple[Array, Array, Array]:
        total = np.zeros(len(kernel))
        for back in range(min(kernel.shape[1], at + 1)):
            total = total + kernel[:, -1 - back] * (into["qkv"] @ xs[at - back])
        q, k, v = np.split(_silu(total), [keys * size, 2 * keys * size])
        return q.reshape(keys, size), k.reshape(keys, size), v.reshape(values, wide)

    def run(xs: Sequence[Array]) -> Array:
        states = np.zeros((values, size, wide))
        read = np.zeros((values, wide))
        for at, x in enumerate(xs):
            q, k, v = mixed(xs, at)
            beta = 1 / (1 + np.exp(-(into["b"] @ x)))
            decay = np.exp(-rates * np.logaddexp(0, into["a"] @ x + base))
            for head in range(values):
                of = head * keys // values
                key, state = _unit(k[of]), states[head] * decay[head]
                states[head] = state + np.outer(key, beta[head] * (v[head] - key @ state))
                read[head] = (_unit(q[of]) / np.sqrt(size)) @ states[head]
        gates = (into["z"] @ xs[-1]).reshape(values, wide)
        scale = np.sqrt((read**2).mean(axis=1, keepdims=True) + config.rms_norm_eps)
        return np.asarray(out @ (read / scale * gain * _silu(gates)).reshape(-1))

    return run
