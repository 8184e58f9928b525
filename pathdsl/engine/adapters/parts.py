"""Whether a model of `transformers` is the unmodified one that an adapter takes apart.

Strict about what computes: every module that an adapter calls or repeats is there with exactly the
class that it must have, no other is, and every weight belongs to one of them. Lenient about what
computes nothing in eval mode: dropouts, identities and empty containers come and go between
versions of `transformers`. Adapters put in by PEFT, probes and replaced parts all show up as
another class, as another child or as another weight.

    parts = parts_of(_MODEL_PARTS, "transformer.h", n_layers, _BLOCK_PARTS)
    check_parts(model, GPTJForCausalLM, "GPT-J", parts, ("act",))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from pathdsl.engine.adapters.base import refuse

__all__ = ["Modules", "check_parts", "parts_of"]

Modules = Mapping[str, type[nn.Module]]

_IDLE = (nn.Dropout, nn.Identity)
_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.Sequential)


def check_parts(
    model: nn.Module,
    wanted_class: type[nn.Module],
    family: str,
    parts: Modules,
    activations: Sequence[str],
    own: Sequence[str] = (),
) -> None:
    """Raise where a model is not an unmodified one of its class.

    `parts`: module path -> the class that it must be; a dropout may be missing. `activations`: the
    last names of the activation modules, of which any will do, since adapters call them. `own`:
    weights of modules that have others inside.

    Raises EngineError PD607 for another class, PD612 for added, replaced or missing modules and for
    weights that none of the parts has.
    """
    if type(model) is not wanted_class:
        raise refuse(
            "PD607",
            f"`{type(model).__name__}` is not a plain `{wanted_class.__name__}`",
            notes=("adapters of PEFT and wrappers of other libraries change the forward pass",),
            advice="merge adapters into the weights (`merge_and_unload()`) and save the model",
        )
    found = {
        name: part
        for name, part in model.named_modules()
        if name and not any(word in name.split(".") for word in activations)
    }
    for name, kind in parts.items():
        part = found.get(name)
        if type(part) is kind or (kind in _IDLE and (part is None or _is_idle(part))):
            continue
        now = "missing" if part is None else type(part).__name__
        raise refuse("PD612", f"module `{name}` of the model is {now}, wanted `{kind.__name__}`")
    strange = sorted(n for n, part in found.items() if n not in parts and not _is_idle(part))
    if strange:
        raise refuse("PD612", f"the model has a module that {family} has not: `{strange[0]}`")
    for name, _ in model.named_parameters():
        owner, _, last = name.rpartition(".")
        if name in own or (owner not in found and owner):  # an activation's
            continue
        leaf = owner in parts and not any(True for _ in found[owner].children())
        if not leaf or last not in ("weight", "bias"):
            raise refuse("PD612", f"the model has a weight that {family} has not: `{name}`")


def _is_idle(part: nn.Module) -> bool:
    """Whether a module gives in eval mode what it is given, or holds nothing that computes."""
    return type(part) in _IDLE or (type(part) in _CONTAINERS and not [*part.children()])


def parts_of(
    outside: Modules, layers: str, n_layers: int, block: Modules
) -> dict[str, type[nn.Module]]:
    """Every module path of a model with its class: those outside blocks, and each block's."""
    inside = {f"{layers}.{i}{name}": kind for i in range(n_layers) for name, kind in block.items()}
    return {**outside, **inside}
