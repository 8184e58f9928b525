"""Plain runs under interventions against hooks on the unmodified model, on four families."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pathdsl.engine.adapters import adapter_for
from pathdsl.graph.paths.pathset import Pos
from pathdsl.graph.resolve.targets import Target
from pathdsl.plan.runs import Action, Block
from pathdsl.plan.treated import TreatedSpec
from tests.engine import decoder_cases, family_cases, toy_cases
from tests.engine.engine_cases import COLUMNS, REFERENCE, TASK, adapter_of, values
from tests.engine.family_cases import Exact
from tests.engine.under_cases import under

EXACT = 1e-9
Edit = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A model with the modules that hooks sit on, by layer.

    `writer` reads all heads' z, (…, n_heads * d_head); `mlp` gives what the MLP adds.
    """

    model: Any
    layers: Any
    writer: Callable[[Any], Any]
    mlp: Callable[[Any], Any]
    value: Callable[[Any], tuple[Any, int, int]]  # module, first column and width of head 0's value
    inner: Callable[[Any], Any]  # the module that reads the neurons


def gpt2() -> Family:
    model = adapter_of().model
    size = model.config.n_embd // model.config.n_head
    return Family(
        model=model, layers=model.transformer.h, writer=lambda b: b.attn.c_proj,
        mlp=lambda b: b.mlp, value=lambda b: (b.attn.c_attn, 2 * model.config.n_embd, size),
        inner=lambda b: b.mlp.c_proj,
    )  # fmt: skip


def llama(name: str) -> Family:
    model: Any = family_cases.make(name).double()
    after = getattr(model.model.layers[0], "post_feedforward_layernorm", None)
    return Family(
        model=model, layers=model.model.layers, writer=lambda b: b.self_attn.o_proj,
        mlp=lambda b: b.mlp if after is None else b.post_feedforward_layernorm,
        value=lambda b: (b.self_attn.v_proj, 0, b.self_attn.head_dim),
        inner=lambda b: b.mlp.down_proj,
    )  # fmt: skip


def neox() -> Family:
    model: Any = decoder_cases.make("gpt_neox").double()
    return Family(
        model=model, layers=model.gpt_neox.layers, writer=lambda b: b.attention.dense,
        mlp=lambda b: b.mlp, value=lambda b: (b.attention.query_key_value, 8, 4),
        inner=lambda b: b.mlp.dense_4h_to_h,
    )  # fmt: skip


def toy() -> Family:
    model: Any = toy_cases.make("attn_coeff").double()
    return Family(
        model=model, layers=model.blocks, writer=lambda b: b.attn.o, mlp=lambda b: b.mlp,
        value=lambda b: (b.attn.v, 0, 3), inner=lambda b: b.mlp.down,
    )  # fmt: skip


FAMILIES: Mapping[str, Callable[[], Family]] = {
    "gpt2": gpt2,
    "llama": lambda: llama("llama"),
    "gemma2": lambda: llama("gemma2"),
    "cohere": lambda: llama("cohere"),
    "gpt_neox": neox,
    "toy": toy,
}


@contextmanager
def edited(module: Any, edit: Edit, *, before: bool = False) -> Iterator[None]:
    if before:
        handle = module.register_forward_pre_hook(lambda m, args: (edit(args[0]), *args[1:]))
    else:
        handle = module.register_forward_hook(
            lambda m, args, out: (edit(out[0]), *out[1:]) if isinstance(out, tuple) else edit(out)
        )
    try:
        yield
    finally:
        handle.remove()


def by_hooks(family: Family, make: Callable[[int], list[Any]], mask: Any = None) -> np.ndarray:
    """(rows, vocabulary) logits at END, with the hooks of each row."""
    found = []
    for row in range(TASK.n_rows):
        ids = torch.from_numpy(TASK.prompts["prompt"][row][: TASK.lengths[row]])[None]
        with torch.no_grad(), ExitStack() as stack:
            for hook in make(row):
                stack.enter_context(hook)
            options = {} if mask is None else {"attention_mask": mask(row)}
            found.append(family.model(ids, **options).logits[0, -1].double().numpy())
    return np.stack(found)


def by_engine(family: Family, *actions: Action) -> np.ndarray:
    run = under(REFERENCE, (Block(name="b", actions=actions),))
    out = values([run], adapter=adapter_for(family.model))  # type: ignore[arg-type]
    return np.stack([out[run, m][0] for m in COLUMNS], axis=-1)


def same(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=EXACT)


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> Iterator[Family]:
    with Exact(), torch.no_grad():
        yield FAMILIES[request.param]()


def columns(start: int, width: int, make: Edit) -> Edit:
    def edit(x: Tensor) -> Tensor:
        x = x.clone()
        x[..., start : start + width] = make(x[..., start : start + width])
        return x

    return edit


def at(row: int, name: str, make: Edit) -> Edit:
    places = list(TASK.positions[name][row])

    def edit(x: Tensor) -> Tensor:
        x = x.clone()
        x[:, places] = make(x[:, places])
        return x

    return edit


def size_of(family: Family) -> int:
    return int(adapter_for(family.model).shape.d_head)


def test_scale_of_a_head_and_an_mlp(family: Family) -> None:
    size, first, last = size_of(family), family.layers[0], family.layers[-1]
    layer = len(family.layers) - 1
    wanted = by_hooks(
        family,
        lambda row: [
            edited(family.writer(first), columns(size, size, lambda x: -2 * x), before=True),
            edited(family.mlp(last), at(row, "S", lambda x: 0.5 * x)),
        ],
    )
    head = Target(kind="head", layer=0, head=1)
    mlp = Target(kind="mlp", layer=layer, at=Pos(name="S"))
    found = by_engine(
        family,
        Action(verb="scale", targets=(head,), number=-2.0),
        Action(verb="scale", targets=(mlp,), number=0.5),
    )
    same(found, wanted)


def test_single_neurons(family: Family) -> None:
    """Their activations, as they enter the output projection: scaled, added to, set to a mean."""
    shape = adapter_for(family.model).shape
    if shape.normed_mlp:
        pytest.skip("a norm stands behind the MLP: PD212")
    first, last = family.inner(family.layers[0]), family.inner(family.layers[-1])
    kept: dict[str, list[Tensor]] = {}
    for column in ("prompt", "other"):
        for row in range(TASK.n_rows):
            ids = torch.from_numpy(TASK.prompts[column][row][: TASK.lengths[row]])[None]

            def keep(x: Tensor, column: str = column) -> Tensor:
                kept.setdefault(column, []).append(x[0, :, 3:6].clone())
                return x

            with edited(last, keep, before=True):
                family.model(ids)

    def mean(column: str, row: int) -> Tensor:
        peers = [
            kept[column][other] for other in range(TASK.n_rows)
            if TASK.lengths[other] == TASK.lengths[row]
            and TASK.labels["template"][other] == TASK.labels["template"][row]
        ]  # fmt: skip
        return torch.stack(peers).mean(0)

    def added(row: int) -> Tensor:
        return 2 * mean("other", row) - kept["prompt"][row]

    def places(name: str, row: int) -> list[int]:
        return list(TASK.positions[name][row])

    def wanted(make: Callable[[int], Edit]) -> np.ndarray:
        return by_hooks(
            family,
            lambda row: [
                edited(first, columns(7, 1, lambda x: 0 * x), before=True),
                edited(last, columns(3, 3, make(row)), before=True),
            ],
        )

    off = Action(verb="scale", number=0.0, targets=(Target(kind="neurons", layer=0, neurons=(7,)),))
    three = Target(kind="neurons", layer=shape.n_layers - 1, neurons=(3, 4, 5), at=Pos(name="S"))
    of_other = TreatedSpec(kind="mean", column="other", by="template")

    def set_to(row: int) -> Edit:
        return at(row, "S", lambda x: mean("other", row)[places("S", row)][None])

    def plus(row: int) -> Edit:
        return at(row, "S", lambda x: x + added(row)[places("S", row)][None])

    plain = TreatedSpec(kind="paired", column="prompt")
    for action, make in (
        (Action(verb="set", targets=(three,), source=of_other), set_to),
        (Action(verb="add", targets=(three,), terms=((2.0, of_other), (-1.0, plain))), plus),
    ):
        same(by_engine(family, off, action), wanted(make))


def test_values_that_are_zero(family: Family) -> None:
    """Of all heads that read them: a group's values are one projection."""
    shape = adapter_for(family.model).shape
    module, start, width = family.value(family.layers[1])
    heads = tuple(Target(kind="head", layer=1, head=h) for h in shape.heads_of_group(0))
    wanted = by_hooks(family, lambda row: [edited(module, columns(start, width, torch.zeros_like))])
    same(by_engine(family, Action(verb="zero", targets=heads, slot="v")), wanted)


def test_a_vector_on_the_stream_and_back_patching(family: Family) -> None:
    width = adapter_for(family.model).shape.d_model
    vector = np.linspace(-1, 1, width)
    added = torch.from_numpy(vector)
    later = {}
    for row in range(TASK.n_rows):
        ids = torch.from_numpy(TASK.prompts["prompt"][row][: TASK.lengths[row]])[None]

        def keep(x: Tensor, row: int = row) -> Tensor:
            later[row] = x
            return x

        with edited(family.layers[1], keep, before=True):
            family.model(ids)

    def places(row: int) -> list[int]:
        return list(TASK.positions["A"][row])

    wanted = by_hooks(
        family,
        lambda row: [
            edited(
                family.layers[0], at(row, "A", lambda x: later[row][:, places(row)]), before=True
            ),
            edited(family.layers[-1], lambda x: x + added, before=True),
        ],
    )  # fmt: skip
    first = Target(kind="mark", layer=0, at=Pos(name="A"))
    last = Target(kind="mark", layer=len(family.layers) - 1)
    found = by_engine(
        family,
        Action(verb="set", targets=(first,), source=Target(kind="mark", layer=1)),
        Action(verb="add", targets=(last,), vector=tuple(map(float, vector))),
    )
    same(found, wanted)


def test_a_blocked_key(family: Family) -> None:
    """Of one head in every layer, as a mask for each head of the unmodified model."""
    shape = adapter_for(family.model).shape

    def mask(row: int) -> Any:
        length = int(TASK.lengths[row])
        least = torch.finfo(torch.float64).min
        seen = torch.full((length, length), least, dtype=torch.float64).triu(1)
        whole = seen.repeat(1, shape.n_heads, 1, 1)
        whole[0, 1, 1:, 0] = least
        if shape.family == "gemma2":  # one mask for layers of each type
            return {"full_attention": whole, "sliding_attention": windowed(whole)}
        return whole

    def windowed(whole: Tensor) -> Tensor:
        length = whole.shape[-1]
        apart = torch.arange(length)[:, None] - torch.arange(length)
        out = whole.clone()
        out[..., apart >= 3] = torch.finfo(torch.float64).min
        return out

    wanted = by_hooks(family, lambda row: [], mask)
    targets = tuple(
        Target(kind="head", layer=layer, head=1, at=Pos(index=place))
        for layer in range(shape.n_layers) for place in (1, 2)
    )  # fmt: skip
    found = by_engine(family, Action(verb="block", targets=targets, keys=(Pos(index=0),)))
    short = TASK.lengths == 3
    same(found[short], wanted[short])
