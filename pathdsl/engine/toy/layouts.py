"""In which names and which way round checkpoints hold their weights.

A layout says of each key what it is here, and the axes of its tensor by letters: `h` heads, `g`
key/value heads, `k` the width of a head, `d` the stream, `m` hidden units, `v` tokens, `o` logits,
`n` positions; `(h k)` is one axis for both. Sizes are what these letters must be for all tensors to
fit, so that a tensor of another layout does not pass. Where every matrix is square more than one
layout fits, and which it is must be said.

Source: TransformerLens 3 and 4 (`HookedTransformer.state_dict`, `TransformerBridge.state_dict`);
the training code of Nanda et al. 2023 (arXiv:2301.05217) and of Zhong et al. 2023
(arXiv:2306.17844); Nanda's first SoLU models; minGPT as in Li et al. 2023 (arXiv:2210.13382).

    >>> tables = LAYOUTS["tl"].table(2)
    >>> tables["blocks.*.attn.W_O"]
    ('blocks.*.attn.o.weight', 'h k d')
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["AXES", "LAYOUTS", "Fitted", "Layout", "Misfit", "arranged", "fit", "starred"]

AXES = {
    "h": "heads", "g": "key/value heads", "k": "width of a head", "d": "d_model", "m": "d_mlp",
    "v": "d_vocab", "o": "d_vocab_out", "n": "n_ctx", "1": "1",
}  # fmt: skip
Table = Mapping[str, tuple[str, str]]

# The reference module's own axes, by name without the layer.
TARGETS = {
    "embed.weight": "v d", "pos_embed.weight": "n d", "unembed.weight": "o d", "unembed.bias": "o",
    "ln_final.weight": "d", "ln_final.bias": "d",
    **{f"blocks.*.{ln}.{part}": "d" for ln in ("ln1", "ln2") for part in ("weight", "bias")},
    "blocks.*.attn.q.weight": "(h k) d", "blocks.*.attn.q.bias": "(h k)",
    **{f"blocks.*.attn.{slot}.weight": "(g k) d" for slot in "kv"},
    **{f"blocks.*.attn.{slot}.bias": "(g k)" for slot in "kv"},
    "blocks.*.attn.o.weight": "d (h k)", "blocks.*.attn.o.bias": "d",
    "blocks.*.mlp.up.weight": "m d", "blocks.*.mlp.up.bias": "m",
    "blocks.*.mlp.gate.weight": "m d",
    "blocks.*.mlp.ln.weight": "m", "blocks.*.mlp.ln.bias": "m",
    "blocks.*.mlp.down.weight": "d m", "blocks.*.mlp.down.bias": "d",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One layout. `table(n_layers)`: key, with `*` for a layer, to name here and axes.

    `renamed`: a key as the table has it. `norms`: whether there are norms where no weights of any
    are, which the keys cannot say: None if the config must. `bridge`: whether only the model of
    TransformerLens 4 has it, which computes less of its config. `says`: what it is, in words.
    """

    name: str
    says: str
    table: Callable[[int], Table]
    renamed: Callable[[str], str]
    norms: bool | None
    bridge: bool


def _with(**changed: str) -> Table:
    """TransformerLens' keys, with other axes for some of its matrices."""
    axes = {
        "W_E": "v d", "W_pos": "n d", "W_Q": "h d k", "W_K": "g d k", "W_O": "h k d",
        "W_in": "d m", "W_out": "m d", "W_U": "d o", **changed,
    }  # fmt: skip
    keys: dict[str, tuple[str, str]] = {
        "embed.W_E": ("embed.weight", axes["W_E"]),
        "pos_embed.W_pos": ("pos_embed.weight", axes["W_pos"]),
        "blocks.*.attn.W_Q": ("blocks.*.attn.q.weight", axes["W_Q"]),
        "blocks.*.attn.b_Q": ("blocks.*.attn.q.bias", "h k"),
        "blocks.*.attn.W_O": ("blocks.*.attn.o.weight", axes["W_O"]),
        "blocks.*.attn.b_O": ("blocks.*.attn.o.bias", "d"),
        "blocks.*.mlp.W_in": ("blocks.*.mlp.up.weight", axes["W_in"]),
        "blocks.*.mlp.W_gate": ("blocks.*.mlp.gate.weight", axes["W_in"]),
        "blocks.*.mlp.b_in": ("blocks.*.mlp.up.bias", "m"),
        "blocks.*.mlp.W_out": ("blocks.*.mlp.down.weight", axes["W_out"]),
        "blocks.*.mlp.b_out": ("blocks.*.mlp.down.bias", "d"),
        "unembed.W_U": ("unembed.weight", axes["W_U"]),
        "unembed.b_U": ("unembed.bias", "o"),
    }
    for one in "KV":
        for before in ("", "_"):
            slot = f"blocks.*.attn.{one.lower()}"
            keys[f"blocks.*.attn.{before}W_{one}"] = (f"{slot}.weight", axes["W_K"])
            keys[f"blocks.*.attn.{before}b_{one}"] = (f"{slot}.bias", "g k")
    for norm, width in (("blocks.*.ln1", "d"), ("blocks.*.ln2", "d"), ("blocks.*.mlp.ln", "m"),
                        ("ln_final", "d")):  # fmt: skip
        keys[f"{norm}.w"], keys[f"{norm}.b"] = (f"{norm}.weight", width), (f"{norm}.bias", width)
    return keys


_LEFT = {"W_E": "d v", "W_Q": "h k d", "W_K": "g k d", "W_O": "h d k", "W_in": "m d",
         "W_out": "d m", "W_U": "o d", "W_pos": "d n"}  # fmt: skip


def _solu_old(n_layers: int) -> Table:
    """Up to six layers every matrix is turned; up to eight, positions still are."""
    if n_layers <= 6:
        return _with(**_LEFT)
    return _with(W_pos="d n") if n_layers <= 8 else _with()


def _nanda(n_layers: int) -> Table:
    """Matrices are turned but for positions and the unembedding; one W_O for all heads."""
    return _with(**{**_LEFT, "W_O": "d (h k)", "W_U": "d o", "W_pos": "n d"})


def _tl4(n_layers: int) -> Table:
    """As `torch.nn.Linear` has them."""
    own = {"up": "in", "down": "out"}
    return {
        re.sub(r"mlp\.(up|down)", lambda found: f"mlp.{own[found.group(1)]}", name): (name, axes)
        for name, axes in TARGETS.items()
    }


def _mingpt(n_layers: int) -> Table:
    """minGPT with queries, keys and values apart."""
    keys = {
        "tok_emb.weight": ("embed.weight", "v d"),
        "pos_emb": ("pos_embed.weight", "1 n d"),
        "head.weight": ("unembed.weight", "o d"),
        "head.bias": ("unembed.bias", "o"),
    }
    parts = {"attn.query": "attn.q", "attn.key": "attn.k", "attn.value": "attn.v",
             "attn.proj": "attn.o", "mlp.0": "mlp.up", "mlp.2": "mlp.down", "ln1": "ln1",
             "ln2": "ln2"}  # fmt: skip
    for part in ("weight", "bias"):
        keys[f"ln_f.{part}"] = (f"ln_final.{part}", "d")
        for theirs, ours in parts.items():
            if (name := f"blocks.*.{ours}.{part}") in TARGETS:
                keys[f"blocks.*.{theirs}.{part}"] = (name, TARGETS[name])
    return keys


def _norm_to_ln(key: str) -> str:
    key = key.replace("norm", "ln")
    return f"ln_final.{key.removeprefix('ln.')}" if key.startswith("ln.") else key


LAYOUTS = {
    one.name: one
    for one in (
        Layout(
            name="tl", says="TransformerLens, `HookedTransformer`", table=lambda n: _with(),
            renamed=lambda key: key, norms=None, bridge=False,
        ),
        Layout(
            name="nanda", says="Nanda's grokking code, and Clock and Pizza", table=_nanda,
            renamed=lambda key: key, norms=False, bridge=False,
        ),
        Layout(
            name="solu-old", says="Nanda's first SoLU models", table=_solu_old,
            renamed=_norm_to_ln, norms=None, bridge=False,
        ),
        Layout(
            name="mingpt", says="minGPT, as Othello-GPT", table=_mingpt,
            renamed=lambda key: key, norms=None, bridge=False,
        ),
        Layout(
            name="tl4", says="TransformerLens 4, `TransformerBridge.boot_native`", table=_tl4,
            renamed=lambda key: key, norms=None, bridge=True,
        ),
    )
}  # fmt: skip


class Misfit(ValueError):
    """Why tensors are not in a layout; `unknown` keys, else the first tensor of another shape."""

    def __init__(self, message: str, unknown: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.unknown = unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A layout, the size of each letter, and what each key is here: its name and its axes."""

    layout: Layout
    sizes: Mapping[str, int]
    keys: Mapping[str, tuple[str, str]]
    n_layers: int


_LAYER = re.compile(r"^blocks\.(\d{1,6})\.")  # no model has more layers


def starred(key: str) -> tuple[str, str]:
    """A key with `*` for its layer, and the layer."""
    found = _LAYER.match(key)
    return (_LAYER.sub("blocks.*.", key), found.group(1)) if found else (key, "")


def fit(layout: Layout, tensors: Mapping[str, Tensor], known: Mapping[str, int]) -> Fitted:
    """The sizes with which all tensors are in a layout; raises Misfit where there are none.

    `known`: sizes that the config gives, by letter. They are needed where one axis is of two.
    """
    layers = {int(layer) for key in tensors if (layer := starred(key)[1])}
    n_layers = max(layers, default=-1) + 1
    if len(layers) != n_layers or not n_layers:
        absent = next(layer for layer in range(n_layers + 1) if layer not in layers)
        raise Misfit(f"it has no `blocks.{absent}`")
    table = layout.table(n_layers)
    keys: dict[str, tuple[str, str]] = {}
    unknown = []
    for key in tensors:
        pattern, layer = starred(layout.renamed(key))
        if pattern not in table:
            unknown.append(key)
            continue
        name, axes = table[pattern]
        keys[key] = name.replace("*", layer), axes
    if unknown:
        raise Misfit(f"no layer of this layout has `{unknown[0]}`", tuple(unknown))
    sizes: dict[str, int] = {"1": 1}
    if not any("g" in axes for _, axes in keys.values()):
        raise Misfit("there are no keys and values")
    fused = []
    for key, (_, axes) in keys.items():
        shape, groups = tuple(tensors[key].shape), _groups(axes)
        if len(shape) != len(groups):
            raise Misfit(_of_shape(key, shape, axes))
        for size, letters in zip(shape, groups, strict=True):
            if len(letters) > 1:
                fused.append((key, shape, axes, size, letters))
            elif sizes.setdefault(letters, size) != size:
                raise Misfit(_of_shape(key, shape, axes, sizes))
    for key, shape, axes, size, letters in fused:
        head = sizes.get(letters[0], known.get(letters[0], known.get("h", 0)))
        width = sizes.get("k", size // head if head and size % head == 0 else 0)
        if not head or head * width != size:
            more = "" if head else ", and the config does not say `n_heads`"
            raise Misfit(_of_shape(key, shape, axes, {**sizes, letters[0]: head}) + more)
        sizes[letters[0]], sizes["k"] = head, width
    names = [name for name, _ in keys.values()]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise Misfit(f"two keys are `{twice}`")
    return Fitted(layout=layout, sizes=sizes, keys=keys, n_layers=n_layers)


def _groups(axes: str) -> list[str]:
    """The letters of each axis: `d (h k)` -> `d`, `hk`."""
    return [one.replace(" ", "").strip("()") for one in re.findall(r"\([^)]*\)|\S", axes)]


def _of_shape(
    key: str, shape: tuple[int, ...], axes: str, sizes: Mapping[str, int] | None = None
) -> str:
    def said(letters: str) -> str:
        words = " times ".join(AXES[one] for one in letters)
        known = [(sizes or {}).get(one) for one in letters]
        return words if None in known or 0 in known else f"{words} {prod(known)}"  # type: ignore[arg-type]

    wanted = ", ".join(said(letters) for letters in _groups(axes))
    return f"`{key}` is of shape {shape}, wanted ({wanted})"


def arranged(fitted: Fitted, key: str, tensor: Tensor) -> tuple[str, Tensor]:
    """A tensor under its name here, with the axes that the reference module has."""
    name, axes = fitted.keys[key]
    sizes, target = fitted.sizes, TARGETS[starred(name)[0]]
    letters = [one for one in "".join(_groups(axes)) if one != "1"]
    apart = tensor.reshape([sizes[one] for one in letters])
    order = "".join(_groups(target))
    apart = apart.permute([letters.index(one) for one in order])
    shape = [prod(sizes[one] for one in group) for group in _groups(target)]
    return name, apart.reshape(shape).contiguous()
