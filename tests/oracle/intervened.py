"""The literal tree of an intervened model, and its plain forward passes, in float64.

An intervention is a list of `Doing`s, one at a time on a value at some positions. What `set`, `add`
and `pattern` read of other runs stands in them as arrays, so nothing is shared with the engine.

Source: docs/semantics.md, Interventions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .graph import (
    INPUT,
    LOGITS,
    Environment,
    Path,
    PlaceNode,
    Step,
    heads_of,
    layer_of,
    place_of_reading,
    senders,
)
from .tree import Array, Constants, attended, forward_of, mlp_part, recurs

Values = Mapping[PlaceNode, Array]
"""A plain run: per component its value, per mark ("r", layer) the stream, per pattern ("p", layer,
head) the weights (T, T)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """One action on one row: at the positions `at` of `node`, which may be a mark ("r", layer).

    `value`: (T, …) what `fix` puts there or `add` adds. `pair`: what `move` puts there
    on the reference and on the treated side, and in a plain run of the treated column.
    `pattern`: (T, T) weights, rows that it replaces.
    """

    verb: str  # scale, fix, move, add, zero, block, only, uniform, copied
    node: PlaceNode
    at: frozenset[int]
    factor: float = 1.0
    value: Array | None = None
    pair: tuple[Array, ...] | None = None
    slot: str = ""
    keys: frozenset[int] = frozenset()
    pattern: Array | None = None


def _attended(
    parts: Any, node: PlaceNode, at: int, seen: Sequence[int],
    projected: Mapping[str, Array], doings: Sequence[Doing],
) -> tuple[Array, Array]:  # fmt: skip
    """z (d_head,) of one query, and its weights over the keys seen, (n,).

    The weights are read off the model's own attention with the unit vectors as its values.
    """
    q, k, v = projected["q"][0], projected["k"].copy(), projected["v"].copy()
    keys = list(seen)
    left = [True] * len(keys)
    for doing in doings:
        if doing.node != node:
            continue
        if doing.verb == "zero":
            if doing.slot == "q" and at in doing.at:
                q = np.zeros_like(q)
            for place, key in enumerate(keys):
                if key in doing.at and doing.slot == "k":
                    k[place] = 0
                if key in doing.at and doing.slot == "v":
                    v[place] = 0
        elif at in doing.at and doing.verb in ("block", "only"):
            left = [
                old and (key in doing.keys) == (doing.verb == "only")
                for old, key in zip(left, keys, strict=True)
            ]
    chosen = [place for place, stays in enumerate(left) if stays]
    weights = np.zeros(len(keys))
    at_keys = [keys[place] for place in chosen]
    asks, gate = q[: k.shape[1]], q[k.shape[1] :]  # a gate of the head stands behind its query
    weights[chosen] = attended(parts, node, asks, k[chosen], np.eye(len(chosen)), at_keys)
    for doing in doings:
        if doing.node == node and at in doing.at:
            if doing.verb == "uniform":
                on = np.array([key in doing.keys for key in keys], float)
                weights = on / on.sum()
            elif doing.verb == "copied":
                assert doing.pattern is not None
                weights = doing.pattern[at, keys]
    z = weights @ v
    return (z / (1 + np.exp(-gate)) if len(gate) else z), weights


def _streamed(
    parts: Any, env: Environment, receiver: PlaceNode, at: int, values: Mapping[PlaceNode, Array],
    flags: Mapping[PlaceNode, tuple[bool, bool]], doings: Sequence[Doing], like: Any = None,
) -> tuple[Array, bool, bool]:  # fmt: skip
    """The stream that `receiver` reads at a position, and whether kept, treated paths stand in it.

    A mark's action changes what was written below it, together. `like`: other values, whose sums
    give norms behind attention their scales.
    """
    here = layer_of(receiver, env)
    if receiver[0] == "r":
        here = receiver[1]
    moved: Array | float = 0.0
    kept = cut = False
    done: set[PlaceNode] = set()
    marks = {d.node[1] for d in doings if d.node[0] == "r" and at in d.at and d.node[1] <= here}
    for layer in sorted(marks):
        below = {n: v for n, v in values.items() if layer_of(n, env) < layer}
        kept = kept or any(flags[n][0] for n in below if n not in done)
        cut = cut or any(flags[n][1] for n in below if n not in done)
        done |= set(below)
        reader = LOGITS if layer == env.n_layers else ("a", layer, 0)
        entering = _sum(parts, reader, below, like)
        now = entering + moved
        (doing,) = (d for d in doings if d.node == ("r", layer) and at in d.at)
        if doing.verb == "fix":
            new, kept, cut = doing.value[at], False, False
        elif doing.verb == "move":
            kept = any(flags[n][2] for n in below)  # a second input: constants hide no path
            cut = not kept and any(flags[n][3] for n in below)
            new = doing.pair[1 if cut else 0][at]
        else:
            new = now + doing.value[at]
        moved = new - entering
    if receiver[0] == "m" and getattr(parts, "gives", False):  # what goes by no mark
        done.discard(INPUT)
    kept = kept or any(flags[n][0] for n in values if n not in done)
    cut = cut or any(flags[n][1] for n in values if n not in done)
    if receiver[0] == "r":
        receiver = LOGITS if here == env.n_layers else ("a", here, 0)
    return _with(_sum(parts, receiver, values, like), moved), kept, cut


def _with(read: Array, moved: Any) -> Array:
    """What is read with something added to the stream, which stands first in it."""
    found = np.array(read)
    found[..., : np.shape(moved)[-1] if np.ndim(moved) else None] += moved
    return found


def _sum(parts: Any, receiver: PlaceNode, values: Any, like: Any) -> Array:
    if like is None:
        return parts.stream(receiver, values)  # type: ignore[no-any-return]
    return parts.stream(receiver, values, {node: like[node] for node in values})  # type: ignore[no-any-return]


def run_under(
    model: Any,
    reference: Array,
    treated: Array | Constants,
    kept: Callable[[Path], bool],
    read_position: int,
    doings: Sequence[Doing],
    treated_run: Values | None = None,
    treated_doings: Sequence[Doing] = (),
    frozen_to: Values | None = None,
    read: PlaceNode | None = None,
    neurons: frozenset[tuple[int, int]] = frozenset(),
) -> Array:
    """The logits (d_vocab,) at `read_position` of one row, or the value of `read` there.

    `reference`, `treated`: embeddings (T, d_model), `treated` at times constants per component.
    `treated_run`: values of components all of whose paths are treated, where these are not those of
    the model under `doings` on `treated` but under `treated_doings`. `frozen_to`: the run whose
    scales norms of copies with kept and treated paths have. `read`: of the copy that goes straight
    to logits. `neurons`: hidden units that are components of their own.
    """
    parts = forward_of(model)
    env = replace(parts.env, neurons=neurons)
    constants = treated if isinstance(treated, Mapping) else None
    treated_input = constants[INPUT] if constants is not None else treated

    def sent(receiver: PlaceNode, slot: str | None, at: int, suffix: Path) -> Any:
        values, flags = {}, {}
        for sender in senders(place_of_reading(receiver, slot, env), env):
            values[sender], *paths = value((Step(sender, at, slot), *suffix))
            flags[sender] = paths
        return values, flags

    def stream_of(receiver: PlaceNode, at: int, values: Any, flags: Any, like: Any = None) -> Any:
        # At a mark that acts on the treated side the stream is the treated run's where no path
        # through it is kept.
        moved: Array | float = 0.0
        for layer in range(layer_of(receiver, env) + 1) if treated_run is not None else ():
            below = {n: v for n, v in values.items() if layer_of(n, env) < layer}
            reader = LOGITS if layer == env.n_layers else ("a", layer, 0)
            for doing in treated_doings:
                if doing.node == ("r", layer) and at in doing.at:
                    if not any(flags[n][0] for n in below):
                        if doing.verb == "add":
                            moved = moved + doing.value[at]
                        else:
                            moved = treated_run["r", layer][at] - _sum(parts, reader, below, like)
        found, some_kept, some_cut = _streamed(
            parts, env, receiver, at, values, flags, doings, like
        )
        return _with(found, moved), some_kept, some_cut

    def read_by(receiver: PlaceNode, at: int, got: Any, mixed: bool) -> tuple[Array, Array | None]:
        """The stream of these values, and of the run that norms are frozen to where they are."""
        if frozen_to is None or not mixed:
            return stream_of(receiver, at, *got)[0], None
        like = {node: frozen_to[node][at] for node in got[0]}
        moved = frozen_to["moved", layer_of(receiver, env)][at]
        other = _with(parts.stream(receiver, like), moved)
        return stream_of(receiver, at, *got, like)[0], other

    def value(suffix: Path) -> tuple[Array, bool, bool, bool, bool]:
        node, at, _ = suffix[0]
        if node == INPUT:
            some_kept = kept(suffix)
            some_cut = not some_kept
            every = some_kept, some_cut
            output = (reference if some_kept else treated_input)[at]
        elif node[0] in ("m", "n"):
            got = sent(node, None, at, suffix)
            some_kept, some_cut = stream_of(node, at, *got)[1:]
            every = every_of([got])
            read_here, other = read_by(node, at, got, some_kept and some_cut)
            output = mlp_part(parts, node, read_here, neurons, other)
        elif recurs(parts, node):
            by_token = [sent(node, "v", place, suffix) for place in range(at + 1)]
            flags = [stream_of(node, place, *got)[1:] for place, got in enumerate(by_token)]
            some_kept, some_cut = (any(flag[which] for flag in flags) for which in (0, 1))
            every = every_of(by_token)
            both = some_kept and some_cut
            streams = [read_by(node, place, got, both) for place, got in enumerate(by_token)]
            output = parts.recur(node, *zip(*streams, strict=True))
        else:
            seen = list(parts.keys(node, at))
            projected, some_kept, some_cut = {}, False, False
            all_sent = {}
            for slot, places in (("q", [at]), ("k", seen), ("v", seen)):
                for place in places:
                    got = all_sent[slot, place] = sent(node, slot, place, suffix)
                    reader = place_of_reading(node, slot, env)
                    was_kept, was_cut = stream_of(reader, place, *got)[1:]
                    some_kept, some_cut = some_kept or was_kept, some_cut or was_cut
            every = every_of(all_sent.values())
            for slot in "qkv":
                found = []
                for (of, place), got in all_sent.items():
                    if of == slot:
                        reader = place_of_reading(node, slot, env)
                        read_here, other = read_by(reader, place, got, some_kept and some_cut)
                        found.append(parts.project(node, slot, read_here, place, other))
                projected[slot] = np.stack(found)
            output = _attended(parts, node, at, seen, projected, doings)[0]
        only_treated = some_cut and not some_kept
        for doing in doings:
            if doing.node == node and at in doing.at and doing.verb == "fix":
                return doing.value[at], False, False, *every
        if only_treated and treated_run is not None:
            return treated_run[node][at], False, True, *every
        settled = constants is not None and only_treated
        if settled:
            output = constants[node][at]
        for doing in doings:
            if doing.node != node or at not in doing.at:
                continue
            match doing.verb:
                case "move":  # a second input: constants hide no path
                    some_kept, some_cut = every[0], every[1] and not every[0]
                    output = doing.pair[1 if some_cut else 0][at]
                    if some_cut and constants is not None:  # which are of the changed model
                        output = constants[node][at]
                case "scale" if not settled:
                    output = output * doing.factor
                case "add" if not settled:
                    output = output + doing.value[at]
        return output, some_kept, some_cut, *every

    def every_of(sent_here: Any) -> tuple[bool, bool]:
        """Whether some path of all that was sent is kept, treated; also behind constants."""
        flags = [one for _, by_sender in sent_here for one in by_sender.values()]
        return any(one[2] for one in flags), any(one[3] for one in flags)

    end = (Step(LOGITS, read_position),)
    if read is not None and read[0] != "r":
        return value((Step(read, read_position, None), *end))[0]
    if read is not None:
        reader = read
        values, flags = {}, {}
        for sender in senders(LOGITS, env):
            if layer_of(sender, env) < read[1]:
                values[sender], *paths = value((Step(sender, read_position, None), *end))
                flags[sender] = paths
        return _streamed(parts, env, reader, read_position, values, flags, doings)[0]
    got = sent(LOGITS, None, read_position, end)
    some_kept, some_cut = stream_of(LOGITS, read_position, *got)[1:]
    return parts.logits(*read_by(LOGITS, read_position, got, some_kept and some_cut))


def plain_under(
    model: Any, embedded: Array, doings: Sequence[Doing], treated: bool = False,
    neurons: frozenset[tuple[int, int]] = frozenset(),
) -> Values:  # fmt: skip
    """Every value, stream at a mark and pattern of a plain run, and `logits` (T, d_vocab).

    `treated`: whether it is the treated column's, for `move`. `neurons`: as of `run_under`.
    """
    parts, length = forward_of(model), len(embedded)
    env, places = replace(parts.env, neurons=neurons), range(len(embedded))
    found: dict[Any, Array] = {}

    def acted(node: PlaceNode, whole: Array) -> Array:
        whole = whole.copy()
        for doing in doings:
            if doing.node == node:
                for at in doing.at:
                    match doing.verb:
                        case "fix":
                            whole[at] = doing.value[at]
                        case "move":
                            whole[at] = doing.pair[2 if treated else 0][at]
                        case "scale":
                            whole[at] = whole[at] * doing.factor
                        case "add":
                            whole[at] = whole[at] + doing.value[at]
        return whole

    # The stream is kept as a difference from the sum of writers, so that norms behind attention
    # are the model's own.
    moved = np.zeros_like([parts.stream(("a", 0, 0), {INPUT: one}) for one in embedded])

    def stream(receiver: PlaceNode) -> Array:
        before = senders(receiver, env)
        read = [parts.stream(receiver, {s: found[s][at] for s in before}) for at in places]
        return _with(np.stack(read), moved)

    entering: dict[int, Array] = {}

    def stream_at(node: PlaceNode, slot: str) -> Array:
        """What one input of a head reads, as it was at the entry of the layer that makes it."""
        return entering[place_of_reading(node, slot, env)[1]]

    def mark(layer: int) -> None:
        nonlocal moved
        plain = stream(LOGITS if layer == env.n_layers else ("a", layer, 0))
        found["r", layer] = acted(("r", layer), plain)
        moved = moved + found["r", layer] - plain
        found["moved", layer] = moved

    found[INPUT] = acted(INPUT, embedded)
    for layer in range(env.n_layers):
        mark(layer)
        entering[layer] = stream(("a", layer, 0))
        for node in heads_of(layer, env):
            head = int(node[2])  # type: ignore[misc]
            read = [stream_at(node, slot) for slot in "qkv"]
            if recurs(parts, node):
                own: list[None] = [None] * length
                whole = [parts.recur(node, [*read[2][: at + 1]], own[: at + 1]) for at in places]
                found[node] = acted(node, np.stack(whole))
                continue
            z, weights = [], np.zeros((length, length))
            for at in places:
                seen = list(parts.keys(node, at))
                projected = {
                    slot: np.stack([parts.project(node, slot, one[p], p) for p in which])
                    for slot, which, one in zip("qkv", ([at], seen, seen), read, strict=True)
                }
                out, row = _attended(parts, node, at, seen, projected, doings)
                weights[at, seen] = row
                z.append(out)
            found[node] = acted(node, np.stack(z))
            found["p", layer, head] = weights
        read = stream(("m", layer))
        apart: list[PlaceNode] = [("n", at, j) for at, j in sorted(neurons) if at == layer]
        for node in [("m", layer), *apart]:
            whole = np.stack([mlp_part(parts, node, one, neurons) for one in read])
            found[node] = acted(node, whole)
    mark(env.n_layers)
    found[LOGITS] = np.stack([parts.logits(one) for one in found["r", env.n_layers]])
    return found
