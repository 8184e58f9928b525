"""Measures in plain runs, patched runs and runs under interventions, against hooks.

What `treat(through(h))` reads straight at `logits` is the forward on the reference prompt in which
h has its treated value; of `keep(through(h))` the forward on the treated prompt in which h has its
reference value. With an intervention both stand under its hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pathdsl.graph.paths.pathset import FULL, minus
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.graph.resolve.targets import Target
from pathdsl.lang.program import load_program
from pathdsl.plan.runs import Action, Block, RunSpec
from tests.engine.engine_cases import PAIRED, REFERENCE, TASK, prompt
from tests.engine.test_written import at, copied_by_hand, exact, measure, opened, values
from tests.engine.under_cases import under
from tests.engine.written_cases import GPT2, Trace, trace

EXACT = 1e-10
NAMES = (GPT2, "llama_biases", "gemma2", "gpt_neox")
TOKEN = 4
Hooks = Callable[[], list[Any]]


@contextmanager
def edited(module: Any, edit: Callable[[Tensor], Tensor], before: bool) -> Iterator[None]:
    """A module whose first input, or whose output, is edited."""
    if before:

        def pre(module: Any, args: Any, kwargs: Any) -> Any:
            if args:
                return (edit(args[0]), *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": edit(kwargs["hidden_states"])}

        handle = module.register_forward_pre_hook(pre, with_kwargs=True)
    else:
        handle = module.register_forward_hook(lambda m, args, out: edit(out))
    try:
        yield
    finally:
        handle.remove()


class Model:
    """One model, and runs of it under hooks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.adapter, self.model = opened(name)
        self.size = self.adapter.shape.d_head
        self.vector = torch.linspace(-1, 1, self.adapter.shape.d_model, dtype=torch.float64)
        self.parts = trace(name, self.model, prompt(0)).parts
        self.block = Block(
            name="b",
            actions=(
                Action(verb="scale", targets=(Target(kind="head", layer=0, head=1),), number=-2.0),
                Action(verb="scale", targets=(Target(kind="mlp", layer=1),), number=0.5),
                Action(
                    verb="add", targets=(Target(kind="mark", layer=1),),
                    vector=tuple(self.vector.tolist()),
                ),
            ),
        )  # fmt: skip

    def hooks(self) -> list[Any]:
        """Those that do what the block does."""
        out = self.parts.out(self.parts.blocks[0])
        return [
            edited(out, self.columns(1, lambda z: -2 * z), True),
            edited(self.parts.mlp(self.parts.blocks[1]), lambda x: 0.5 * x, False),
            edited(self.parts.blocks[1], lambda x: x + self.vector, True),
        ]

    def columns(self, head: int, edit: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """An edit of one head's output alone."""
        own = slice(head * self.size, (head + 1) * self.size)

        def whole(x: Tensor) -> Tensor:
            x = x.clone()
            x[..., own] = edit(x[..., own])
            return x

        return whole

    def run(self, ids: list[int], hooks: list[Any]) -> Trace:
        """One prompt under hooks."""
        with ExitStack() as stack:
            for hook in hooks:
                stack.enter_context(hook)
            return trace(self.name, self.model, ids)

    def patched(
        self, row: int, column: str, other: str, head: tuple[int, int], under: Hooks,
        back: Hooks | None = None,
    ) -> Trace:  # fmt: skip
        """A prompt on which a head has the value that it has on another one.

        `under`: hooks of both forwards, of the second where `back` says no other.
        """
        layer, number = head
        kept: list[Tensor] = []
        module = self.parts.out(self.parts.blocks[layer])

        def keep(x: Tensor) -> Tensor:
            kept.append(x.clone())
            return x

        source = self.run(prompt(row, other), [*under(), edited(module, keep, True)])
        own = slice(number * self.size, (number + 1) * self.size)
        put = edited(module, self.columns(number, lambda x: kept[0][..., own].view_as(x)), True)
        target = self.run(prompt(row, column), [*(back or under)(), put])
        attention = target.attention[layer].clone()  # the copy that is read looks as it did there
        attention[number] = source.attention[layer][number]
        patterns = list(target.attention)
        patterns[layer] = attention
        target.attention = tuple(patterns)
        return target


def runs_of(model: Model, head: tuple[int, int]) -> dict[str, RunSpec]:
    """Runs by the prompt that they are a patched forward of."""
    text = f"path h = through(a{head[0]}.h{head[1]})"
    program, faults = load_program("h.circuit", text)
    assert not faults, faults
    paths = Resolver(program, model.adapter.shape).path_set(program.paths["h"].path)
    treat = RunSpec(task="t", kind="treat", paths=paths, treated=PAIRED)
    return {"prompt": treat, "other": replace(treat, paths=minus(FULL, paths))}


def compare(model: Model, run: RunSpec, here: Callable[[int], Trace], column: str) -> None:
    """Every measure of a run against its forward under hooks, row by row."""
    shape, name = model.adapter.shape, model.name
    nodes = ["input", "a0.h0", "a1.h1", "m0", "m1", "{input, a0.h1, m1}"]
    texts = [
        (kind, node, f"{kind}({node}{rest})")
        for node in nodes
        for kind, rest in (
            ("dla", f", t{TOKEN}"), ("norm", ""), ("cosine", ", reference"), ("cosine", ", treated")
        )
    ] + [
        (kind, f"a{layer}.h{head}", f"{kind}(a{layer}.h{head}, {rest})")
        for layer in range(shape.n_layers)
        for head in range(shape.n_heads)
        for kind, rest in (("attention", "END -> S"), ("copy_score", "of: [A, S], top: 3"))
    ]  # fmt: skip
    asked = {text: measure(text) for _, _, text in texts}
    found = values(model.adapter, [run], list(asked.values()))
    for row in range(TASK.n_rows):
        forward = here(row)
        beside = {
            which: trace(name, model.model, prompt(row, of))
            for which, of in (("reference", "prompt"), ("treated", "other"))
        }

        def write(of: Trace, node: str) -> Tensor:
            names = node.strip("{}").split(", ")
            return torch.stack([of.writes[part][-1] for part in names]).sum(0)

        for kind, node, text in texts:
            if kind == "attention":
                layer, head = (int(x) for x in node[1:].split(".h"))
                wanted = float(forward.attention[layer][head, -1, at(row, "S")].sum())
            elif kind == "copy_score":
                layer, head = (int(x) for x in node[1:].split(".h"))
                logits = copied_by_hand(name, forward, layer, head, False)
                ids = prompt(row, column)
                hits = [ids[p] in logits[p].topk(3).indices for p in (*at(row, "A"), *at(row, "S"))]
                wanted = float(np.mean(hits))
            elif kind == "dla":
                wanted = float(forward.added(write(forward, node), TOKEN)[-1])
            elif kind == "norm":
                wanted = float(write(forward, node).norm())
            else:
                other = write(beside[text.rpartition(" ")[2][:-1]], node)
                own = write(forward, node)
                wanted = float(own @ other / own.norm() / other.norm())
            np.testing.assert_allclose(
                found[run, asked[text]][row], wanted, rtol=0, atol=EXACT, err_msg=f"{text} {row}"
            )


@pytest.mark.parametrize("name", NAMES)
def test_in_plain_runs_under_an_intervention(name: str) -> None:
    with exact(name), torch.no_grad():
        model = Model(name)
        treated = replace(runs_of(model, (0, 0))["prompt"], kind="treated", paths=None)
        for run, column in ((REFERENCE, "prompt"), (treated, "other")):

            def here(row: int, column: str = column) -> Trace:
                return model.run(prompt(row, column), model.hooks())

            compare(model, under(run, (model.block,)), here, column)


@pytest.mark.parametrize("with_block", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_in_treat_and_keep_copies(name: str, with_block: bool) -> None:
    with exact(name), torch.no_grad():
        model = Model(name)
        hooks: Hooks = model.hooks if with_block else list
        for head in ((0, 0), (1, 1)):
            for column, run in runs_of(model, head).items():
                other = "other" if column == "prompt" else "prompt"

                def here(row: int, column: str = column, other: str = other, head: Any = head):
                    return model.patched(row, column, other, head, hooks)

                compare(model, under(run, (model.block,)) if with_block else run, here, column)


@pytest.mark.parametrize("name", NAMES)
def test_in_the_part_of_an_intervention_that_goes_by_a_head(name: str) -> None:
    """`treat(through(h), treated: reference with b)`: h as under b, all else recomputed."""
    with exact(name), torch.no_grad():
        model, head = Model(name), (1, 1)
        run = replace(runs_of(model, head)["prompt"], treated=replace(PAIRED, column="prompt"))

        def here(row: int) -> Trace:
            return model.patched(row, "prompt", "prompt", head, model.hooks, list)

        compare(model, under(run, (), (model.block,)), here, "prompt")
