"""A checkpoint of somebody's training as a folder that `folder("…")` loads.

    found = convert(Path("attn-only-2l_final.pth"), [])
    found.config, found.said             # the fields of the reference module, and the report
    write(found, Path("attn-only-2l"))

Every key of the checkpoint is a weight of the model, or a table that the model makes of its config
(a causal mask, angles of rotations), which is compared with what the config says and left out. A
key that is neither is refused. What the reference module has and the checkpoint has not is a bias,
and there is none; any other weight that is missing is refused.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathdsl.engine.load.files import sha256_of
from pathdsl.engine.load.weights import TOKENIZER_FILES
from pathdsl.engine.toy.checkpoint import checkpoint_in, read_checkpoint, refused
from pathdsl.engine.toy.layouts import LAYOUTS, Fitted, Misfit, arranged, fit, starred
from pathdsl.engine.toy.options import SIZES, known_sizes, options_of
from pathdsl.graph.model.toy import TOY, ToySpec, toy_spec
from pathdsl.near import did_you_mean
from pathdsl.reading import read_file
from pathdsl.strictjson import JsonFault, read_json

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Converted", "convert", "write"]

_TABLES = re.compile(r"^blocks\.\d{1,6}\.attn\.(mask|IGNORE|rotary_sin|rotary_cos)$")
_TOKENIZER = (
    *TOKENIZER_FILES, "tokenizer_config.json", "special_tokens_map.json", "merges.txt",
    "added_tokens.json",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """The config and the weights of a folder to be written, and the report: (what, said) pairs.

    `tokenizer`: files beside the checkpoint that are copied. `home`: the folder that it lies in.
    """

    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    said: tuple[tuple[str, str], ...]
    tokenizer: tuple[Path, ...]
    home: Path


def convert(place: Path, configs: Sequence[Path], layout: str = "") -> Converted:
    """What a checkpoint (a file, or a folder with one) becomes.

    `configs`: files of JSON over the `config.json` that lies beside the checkpoint or above its
    `checkpoints/`; later ones win. `layout`: one of `LAYOUTS`, "" for the only one that fits.

    Raises EngineError PD670 (not readable), PD671 (more than one layout fits), PD672 (a key that is
    unknown or missing), PD673 (shapes), PD674 (a config that contradicts or is not computed).
    """
    path = checkpoint_in(place)
    config, read = _config(path, configs)
    checkpoint = read_checkpoint(path)
    tables = {key: one for key, one in checkpoint.tensors.items() if _TABLES.match(key)}
    state = {key: one for key, one in checkpoint.tensors.items() if key not in tables}
    fitted = _fitted(path, state, known_sizes(config), layout)
    _vet_shapes(fitted, tables)
    _vet_finite(state)
    weights = dict(arranged(fitted, key, one) for key, one in state.items())
    sizes = _sizes(fitted, config, weights, tables)
    options = options_of(
        config, fitted.n_layers, attn_only=not sizes.get("d_mlp"),
        norms=_norm_of(weights, "blocks.0.ln1"), final=_norm_of(weights, "ln_final"),
        places="pos_embed.weight" in weights, bare=fitted.layout.norms, bridge=fitted.layout.bridge,
    )  # fmt: skip
    fields = {**sizes, **options.fields}
    folded = _fold_gated_bias(fields, weights)
    filled = _biases(fields, weights)
    if fields.get("act_fn") == "solu_ln":
        fields["mlp_norm_weights"] = "blocks.0.mlp.ln.weight" in weights
    try:
        spec = toy_spec(fields)
    except ValueError as error:
        raise refused("PD674", f"the config cannot be used: {error}") from error
    _vet_tables(spec, tables)
    weights = _of_one_dtype(weights)
    _vet_weights(fields, weights)
    note: dict[str, Any] = {
        "from": path.name, "sha256": sha256_of(path),
        "layout": fitted.layout.name,
    }  # fmt: skip
    if checkpoint.number is not None:
        note["checkpoint"] = checkpoint.number
    dropped = sorted({starred(key)[0].replace("*", "L") for key in tables})
    beside = [path.parent / name for name in _TOKENIZER]
    tokenizer = tuple(one for one in beside if one.is_file())
    said = [
        ("layout", f"`{fitted.layout.name}`: {fitted.layout.says}"),
        ("structure", _structure(spec)),
        ("checkpoint", "" if checkpoint.number is None else str(checkpoint.number)),
        ("weights", f"`{checkpoint.inner}` of the file" if checkpoint.inner else ""),
        ("left out", _listed(checkpoint.left)),
        ("made anew", _listed(dropped) + (", as the config says" if dropped else "")),
        ("no biases", _listed(filled)),
        ("folded", folded),
        ("config", _listed(read) or "none: sizes are those of the weights"),
        ("by default", _listed([f"{one}: {_default(fields, one)}" for one in options.defaults])),
        ("not read", _listed(options.unread)),
        ("tokenizer", _tokenizer_said(config, tokenizer)),
    ]
    return Converted(
        config={"model_type": TOY, **fields, "converted": note}, weights=weights,
        said=tuple((what, text) for what, text in said if text), tokenizer=tokenizer,
        home=path.parent,
    )  # fmt: skip


def write(found: Converted, folder: Path) -> None:
    """Write a folder that `folder("…")` loads; raises OSError where that cannot be done."""
    from safetensors.torch import save

    from pathdsl.whole import write_whole

    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found.config, indent=2, ensure_ascii=False) + "\n"
    write_whole(folder / "model.safetensors", save(dict(found.weights), {"format": "pt"}))
    for path in found.tokenizer:
        shutil.copyfile(path, folder / path.name)
    write_whole(folder / "config.json", text.encode())


# ------------------------------------------------------------------------------- the config


def _config(path: Path, given: Sequence[Path]) -> tuple[dict[str, Any], list[str]]:
    """The merged configs, and the names of the files that were read."""
    places = [path.parent / "config.json"]
    if path.parent.name == "checkpoints":
        places.append(path.parent.parent / "config.json")
    found = [one for one in places if one.is_file()][:1]
    merged: dict[str, Any] = {}
    for one in [*found, *given]:
        try:
            content = read_json(read_file(one))
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise refused("PD674", f"`{one}` cannot be read: {why}") from error
        except JsonFault as error:
            raise refused(
                "PD674", f"`{one}` is no JSON: line {error.line}, column {error.column}: {error}"
            ) from error
        if not isinstance(content, dict):
            raise refused("PD674", f"`{one}` is not a JSON object")
        merged.update(content)
    if merged.get("model_type") not in (None, TOY):
        raise refused(
            "PD674",
            f"the config is of model type `{merged['model_type']}`",
            notes=("a model of `transformers` is saved with `model.save_pretrained(folder)`",),
            advice=f'folder("{path.parent.name}")',
        )
    return merged, [one.name for one in [*found, *given]]


# ------------------------------------------------------------------------------- the layout


def _fitted(
    path: Path, state: Mapping[str, Tensor], known: Mapping[str, int], layout: str
) -> Fitted:
    fits: list[Fitted] = []
    misfits: dict[str, Misfit] = {}
    for name, one in LAYOUTS.items():
        if layout in ("", name):
            try:
                fits.append(fit(one, state, known))
            except Misfit as error:
                misfits[name] = error
    if len(fits) > 1:
        names = [one.layout.name for one in fits]
        raise refused(
            "PD671",
            f"the shapes of `{path.name}` fit the layouts "
            + " and ".join(f"`{one}`" for one in names),
            notes=("every matrix that would tell them apart is square",),
            advice=f"--layout {names[0]}",
        )
    if fits:
        return fits[0]
    nearest = min(misfits, key=lambda name: (len(misfits[name].unknown), name))
    if unknown := misfits[nearest].unknown:
        known_keys = [key.replace("*", "0") for key in LAYOUTS[nearest].table(1)]
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise refused(
            "PD672",
            f"`{path.name}` has weights that layout `{nearest}` has not: "
            + ", ".join(f"`{one}`" for one in unknown[:5]) + more,
            notes=tuple(filter(None, [did_you_mean(starred(unknown[0])[0], known_keys)])),
            advice="" if layout else f"--layout {' | '.join(LAYOUTS)}",
        )  # fmt: skip
    notes = tuple(
        f"layout `{name}`: {error}" for name, error in misfits.items() if not error.unknown
    )
    raise refused("PD673", f"the weights of `{path.name}` fit no layout", notes=notes)


def _sizes(
    fitted: Fitted, config: Mapping[str, Any], weights: Mapping[str, Tensor],
    tables: Mapping[str, Tensor],
) -> dict[str, Any]:  # fmt: skip
    """The sizes as fields; raises PD673 where the config says others."""
    sizes = fitted.sizes
    known = known_sizes(config)
    for name, letter in SIZES.items():
        own = sizes.get(letter, 0)
        if letter in known and known[letter] != own and (own or letter != "m"):
            raise refused(
                "PD673", f"`{name}` of the config is {known[letter]}, and the weights have {own}"
            )
    if config.get("n_layers") not in (None, fitted.n_layers):
        raise refused(
            "PD673",
            f"`n_layers` of the config is {config['n_layers']}, and the weights have "
            f"{fitted.n_layers}",
        )
    found: dict[str, Any] = {"n_layers": fitted.n_layers}
    for name, letter in SIZES.items():
        if letter in sizes:
            found[name] = sizes[letter]
    for name, other in (("n_key_value_heads", "n_heads"), ("d_vocab_out", "d_vocab")):
        if found.get(name) == found.get(other):
            found.pop(name, None)
    found["n_ctx"] = _context(sizes.get("n"), config, tables)
    found["gated_mlp"] = "blocks.0.mlp.gate.weight" in weights
    for name, own in (("gated_mlp", found["gated_mlp"]), ("attn_only", "d_mlp" not in found)):
        if config.get(name) not in (None, own):
            raise refused(
                "PD674",
                f"`{name}` of the config is `{config[name]}`, and the weights say otherwise",
            )
    return found


def _context(learned: int | None, config: Mapping[str, Any], tables: Mapping[str, Tensor]) -> int:
    said = config.get("n_ctx")
    if said is not None and (not isinstance(said, int) or isinstance(said, bool) or said < 1):
        raise refused("PD674", f"`n_ctx` of the config is `{said}`, wanted a whole number above 0")
    mask = next((one for key, one in tables.items() if key.endswith(".mask")), None)
    found = learned or said or (None if mask is None else int(mask.shape[-1]))
    if found is None:
        raise refused(
            "PD674",
            "neither config nor weights say how many positions the model has",
            advice='--config FILE with {"n_ctx": 1024}',
        )
    if learned and said and learned != said:
        raise refused("PD673", f"`n_ctx` of the config is {said}, and the weights have {learned}")
    return int(found)


# ------------------------------------------------------------------------------- the weights


def _norm_of(weights: Mapping[str, Tensor], name: str) -> str:
    """The kind of a norm by its weights: a LayerNorm has a bias."""
    if f"{name}.weight" not in weights:
        return ""
    return "LN" if f"{name}.bias" in weights else "RMS"


def _fold_gated_bias(fields: Mapping[str, Any], weights: dict[str, Tensor]) -> str:
    """TransformerLens adds `b_in` of a gated MLP behind the gate: a constant of what it writes."""
    import torch

    if not fields["gated_mlp"]:
        return ""
    folded = False
    for layer in range(fields["n_layers"]):
        name = f"blocks.{layer}.mlp"
        own = weights.pop(f"{name}.up.bias", None)
        if own is None:
            continue
        down = weights[f"{name}.down.weight"]
        added = down.double() @ own.double()
        folded = folded or bool(own.any())
        bias = weights.get(f"{name}.down.bias", torch.zeros_like(down[:, 0])).double() + added
        weights[f"{name}.down.bias"] = bias.to(down.dtype)
    return "`b_in` behind the gates, into the output biases" if folded else ""


_BIASES = {"qkv_bias": ("attn.q", "attn.k", "attn.v"), "o_bias": ("attn.o",),
           "mlp_bias": ("mlp.up", "mlp.down")}  # fmt: skip


def _biases(fields: dict[str, Any], weights: dict[str, Tensor]) -> list[str]:
    """Say of each kind of bias whether there is one, and fill in those of a kind that are not.

    The names of biases that are not in the checkpoint.
    """
    absent = []
    for switch, parts in _BIASES.items():
        if switch == "mlp_bias" and fields["gated_mlp"]:
            parts = ("mlp.down",)
        names = [
            f"blocks.{layer}.{part}"
            for layer in range(fields["n_layers"]) for part in parts
            if f"blocks.{layer}.{part}.weight" in weights
        ]  # fmt: skip
        have = [name for name in names if f"{name}.bias" in weights]
        fields[switch] = bool(have)
        lack = [name for name in names if name not in have]
        absent += sorted({starred(name)[0].replace("*", "L") for name in lack})
        for name in lack if have else ():
            weight = weights[f"{name}.weight"]
            weights[f"{name}.bias"] = weight.new_zeros(weight.shape[0])
    fields["unembed_bias"] = "unembed.bias" in weights
    return absent + ([] if fields["unembed_bias"] else ["unembed"])


def _of_one_dtype(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All in one dtype, the widest of them; raises PD670 for what is no floating-point number."""
    import torch

    for name, one in weights.items():
        if not one.is_floating_point():
            raise refused("PD670", f"`{name}` holds {one.dtype}, wanted floating-point numbers")
    dtype = None
    for one in weights.values():
        dtype = one.dtype if dtype is None else torch.promote_types(dtype, one.dtype)
    return {name: one.to(dtype).clone() for name, one in weights.items()}


def _vet_weights(fields: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Raise PD672 or PD673 where the reference module has other weights, by name or by shape."""
    import torch

    from pathdsl.engine.toy.model import ToyConfig, ToyModel

    with torch.device("meta"):
        wanted = ToyModel(ToyConfig(**fields)).state_dict()
    lack = [name for name in wanted if name not in weights]
    more = [name for name in weights if name not in wanted]
    if lack or more:
        listed = ", ".join(f"`{name}`" for name in (lack or more)[:5])
        raise refused(
            "PD672",
            f"the checkpoint has no {listed}"
            if lack
            else f"the checkpoint has {listed}, which a model of its config has not",
            advice=""
            if lack
            else "see `normalization_type`, `act_fn` and `attn_only` of its config",
        )
    for name, one in wanted.items():
        if weights[name].shape != one.shape:
            raise refused(
                "PD673",
                f"`{name}` is of shape {tuple(weights[name].shape)}, wanted {tuple(one.shape)}",
            )


def _vet_finite(state: Mapping[str, Tensor]) -> None:
    """Raise PD670 where a weight is infinite or not a number, by its key in the checkpoint."""
    import torch

    bad = {key: one for key, one in state.items() if not bool(torch.isfinite(one).all())}
    if not bad:
        return
    first, one = next(iter(bad.items()))
    raise refused(
        "PD670",
        f"{len(bad)} weight{'s' * (len(bad) > 1)} of the checkpoint hold"
        f"{'s' * (len(bad) == 1)} infinite values or no numbers, first `{first}`: "
        f"{int(torch.isnan(one).sum()):,} of {one.numel():,} are no numbers, "
        f"{int(torch.isinf(one).sum()):,} infinite",
        notes=("every logit of such a model would be no number",),
        advice="an earlier checkpoint of the training, before it diverged",
    )


def _vet_shapes(fitted: Fitted, tables: Mapping[str, Tensor]) -> None:
    """Raise PD672 for a table of a layer that there is not, PD673 for one of another shape."""
    for key, table in tables.items():
        if int(starred(key)[1]) >= fitted.n_layers:
            raise refused(
                "PD672", f"the checkpoint has `{key}`, and weights of {fitted.n_layers} layers"
            )
        least = {"mask": 2, "IGNORE": 0}.get(key.rpartition(".")[2], 2)
        if table.dim() < least or (table.dim() > 2 and key.endswith(("sin", "cos"))):
            raise refused(
                "PD673", f"`{key}` is of shape {tuple(table.shape)}, wanted (positions, numbers)"
            )


def _vet_tables(spec: ToySpec, tables: Mapping[str, Tensor]) -> None:
    """Raise PD674 where a saved mask or table of angles is not that of the config."""
    import torch

    from pathdsl.engine.toy.model import rotated

    for key, table in tables.items():
        layer, part = int(starred(key)[1]), key.rpartition(".")[2]
        if part == "mask" and spec.causal:
            n = table.shape[-1]
            back = torch.arange(n).unsqueeze(-1) - torch.arange(n)
            window = spec.windows[layer]
            seen = (back >= 0) & (back < (n if window is None else window))
            if table.numel() != n * n or not torch.equal(table.reshape(n, n).bool(), seen):
                raise refused(
                    "PD674",
                    f"`{key}` is not the mask of the config: heads of layer {layer} see other "
                    "positions",
                    advice="see `use_local_attn`, `attn_types` and `window_size` of the config",
                )
        if part in ("rotary_sin", "rotary_cos"):
            n, width = table.shape
            one = torch.zeros(n, 1, spec.d_head, dtype=torch.float64)
            first = torch.arange(0, width, 2) if spec.rotary_adjacent_pairs else slice(width // 2)
            one[:, 0, first] = 1.0
            turned = rotated(spec, one, torch.arange(n))[:, 0, :width]
            rest = torch.arange(1, width, 2) if spec.rotary_adjacent_pairs else slice(
                width // 2, width
            )  # fmt: skip
            half = turned[:, first] if part == "rotary_cos" else turned[:, rest]
            own = table.double()
            wanted = torch.empty_like(own)
            wanted[:, first], wanted[:, rest] = half, half
            if width != spec.rotary_dim or float((own - wanted).abs().max()) > 1e-3:
                raise refused(
                    "PD674",
                    f"`{key}` is not the table of angles of the config",
                    advice="see `rotary_dim`, `rotary_base` and `rotary_adjacent_pairs` of the "
                    "config",
                )


# ------------------------------------------------------------------------------- the report


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _default(fields: Mapping[str, Any], name: str) -> object:
    from pathdsl.graph.model.toy import FIELDS

    return fields.get(name, FIELDS[name])


def _structure(spec: ToySpec) -> str:
    parts = [
        f"{spec.n_layers} layer{'s' * (spec.n_layers > 1)} of {spec.n_heads} heads"
        + (f" and an MLP ({spec.act_fn})" if spec.d_mlp else ""),
        f"norms {spec.norm}" if spec.norm else "no norms",
        f"positions {spec.positions}" if spec.positions != "none" else "no positions",
    ]
    if not spec.causal:
        parts.append("heads see every position")
    if spec.d_out != spec.d_vocab:
        parts.append(f"{spec.d_vocab} tokens, {spec.d_out} logits")
    return "; ".join(parts)


def _tokenizer_said(config: Mapping[str, Any], files: Sequence[Path]) -> str:
    if files:
        return f"copied: {_listed([one.name for one in files])}"
    name = config.get("tokenizer_name")
    if isinstance(name, str) and name:
        return (
            f"none beside the checkpoint; its config names `{name}`: "
            f'AutoTokenizer.from_pretrained("{name}").save_pretrained(FOLDER)'
        )
    return "none: prompts and answers are token ids"
