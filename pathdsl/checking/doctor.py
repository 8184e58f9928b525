"""Can this model be checked? Its structure, what a check of it weighs, and every self-check.

The answer needs no file: the self-checks run on prompts of random tokens, and on a small plan that
computes copies of heads, so that all that a verdict would rest on has been seen to hold.

    diagnosis = diagnose(ModelSource(kind="bundled", location="ioi-mini"))
    diagnosis.exit_code, [proof.error for proof in diagnosis.proofs]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pathdsl.draws import Draws
from pathdsl.engine.data.task import DataCall, TaskSpec
from pathdsl.engine.load.files import hub_folder
from pathdsl.engine.load.resembling import Resemblance, resemblance
from pathdsl.engine.load.source import ModelSource, config_of, folder_of, shape_of
from pathdsl.engine.load.weights import LoadedModel, load, quiet
from pathdsl.engine.planner import Planner
from pathdsl.engine.proof import Proof, unproved
from pathdsl.engine.rounding import rounding_of
from pathdsl.engine.run.runner import rows_per_batch
from pathdsl.engine.self_check import PROOF_ROWS, prove, prove_null_pair
from pathdsl.errors import Diagnostic, EngineError, ExitCode, PathdslError
from pathdsl.graph.model.components import HEAD, RECURRENCE, Layout
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.pathset import ANY_EDGE, FULL, Nodes, PathSet, cat, complete, minus
from pathdsl.plan.liveness import DEFAULT_MEMORY, row_bytes, schedule
from pathdsl.plan.outputs import Plan
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.taskdata import TaskData
from pathdsl.plan.treated import TreatedSpec

__all__ = ["Diagnosis", "Graph", "Memory", "TokenizerFacts", "diagnose", "random_task"]

TASK = "random tokens"
LONGEST = 12
PROMPTS, TOKENS = 64, 15
"""The check whose memory is estimated: so many prompts of so many tokens."""

_LOGITS = 16  # of so many tokens the null pair compares logits


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Sizes of a computational graph: senders, edges with q, k and v apart, complete paths."""

    senders: int
    edges: int
    paths: int

    @classmethod
    def of(cls, shape: ModelShape) -> Graph:
        """The counts of one shape; paths are counted layer by layer, never enumerated."""
        below = [1]  # paths from `input` to any component below each layer
        for layer in range(shape.n_layers):
            here = below[layer]
            slots = RECURRENCE.slots if shape.recurs(layer) else HEAD.slots
            heads = shape.heads_in(layer) * sum(below[shape.entry(layer, slot)] for slot in slots)
            mlp = here + (0 if shape.parallel else heads) if shape.has_mlp else 0
            below.append(here + heads + mlp)
        return cls(senders=shape.n_senders, edges=Layout(shape).n_edges(), paths=below[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes that a check of `PROMPTS` prompts of `tokens` tokens needs, estimated from a plan.

    `values`: of one batch of a small circuit (heads of the first layer into heads of the last) and
    its complement, next to the reference and the treated run; `proofs`: logits of the whole
    vocabulary that the self-checks compare.
    """

    weights: int
    values: int
    proofs: int
    tokens: int

    @property
    def total(self) -> int:
        """Weights and the larger of the others, which never live at the same time."""
        return self.weights + max(self.values, self.proofs)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerFacts:
    """A tokenizer: its class, its algorithm, its special tokens, and what it adds to a text."""

    name: str
    algorithm: str
    size: int
    special: Mapping[str, str]
    added: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What is known of a model; `faults` say why it is refused, and then the rest may be None.

    `resembles`: of an unknown family, which known one is most like it.
    """

    source: ModelSource
    shape: ModelShape | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    norms: Mapping[str, int] = field(default_factory=dict)
    parameters: int | None = None
    memory: Memory | None = None
    tokenizer: TokenizerFacts | None = None
    proofs: tuple[Proof, ...] = ()
    resembles: Resemblance | None = None
    faults: tuple[Diagnostic, ...] = ()
    exit_code: ExitCode = ExitCode.AS_EXPECTED

    @property
    def graph(self) -> Graph | None:
        """The counts of the graph, where the structure is known."""
        return None if self.shape is None else Graph.of(self.shape)


def diagnose(
    source: ModelSource, device: str = "cpu", threads: int | None = None, seed: int = 0
) -> Diagnosis:
    """Load a model and prove what a check would; faults are returned, never raised."""
    found = Diagnosis(source=source)
    try:
        found = replace(found, shape=shape_of(source))
        loaded = load(source, device, threads)
        found = replace(found, **_of_model(loaded))
        with _memory_told(source, device):
            found = replace(found, proofs=_prove(loaded, seed))
    except PathdslError as error:
        return replace(
            found,
            shape=found.shape or _cached_shape(source),
            resembles=_resembles(source, error),
            faults=tuple(_as_typed(fault, source) for fault in error.diagnostics),
            exit_code=error.exit_code,
        )
    faults = unproved((TASK, proof) for proof in found.proofs)
    if faults:
        return replace(found, faults=tuple(faults), exit_code=ExitCode.MACHINE_FAILED)
    return found


def random_task(shape: ModelShape, seed: int) -> TaskData:
    """Four prompts of different lengths and as many others, of random tokens of the vocabulary."""
    longest = min(LONGEST, shape.n_positions)
    lengths = [max(1, longest - 3 * row) for row in range(4)]
    prompts = {}
    for column in ("prompt", "other"):
        draws = Draws(seed, "doctor", column)
        prompts[column] = np.zeros((len(lengths), longest), np.int64)
        for row, length in enumerate(lengths):
            prompts[column][row, :length] = [draws.below(shape.d_vocab) for _ in range(length)]
    return _task(prompts, lengths, shape)


# -------------------------------------------------------------------------------------------------


def _of_model(loaded: LoadedModel) -> dict[str, Any]:
    """The fields of a diagnosis that a loaded model fills."""
    parameters = list(loaded.model.parameters())  # tied ones once
    weights = sum(p.numel() * p.element_size() for p in parameters)
    kinds = (type(module).__name__ for module in loaded.model.modules())
    shape = loaded.adapter.shape
    return {
        "shape": shape,
        "facts": loaded.facts,
        "norms": dict(Counter(kind for kind in kinds if "norm" in kind.lower())),
        "parameters": sum(p.numel() for p in parameters),
        "memory": _memory(shape, weights, loaded.adapter.dtype.itemsize),
        "tokenizer": _tokenizer(loaded.tokenizer),
    }


def _tokenizer(tokenizer: Any | None) -> TokenizerFacts | None:
    if tokenizer is None:
        return None
    special = tokenizer.special_tokens_map
    added = tokenizer("", add_special_tokens=True)["input_ids"]
    return TokenizerFacts(
        name=type(tokenizer).__name__,
        algorithm=type(tokenizer.backend_tokenizer.model).__name__,
        size=len(tokenizer),
        special={
            name.removesuffix("_token"): str(text)
            for name, text in special.items()
            if not isinstance(text, list | tuple)
        },
        added=tuple(tokenizer.convert_ids_to_tokens(added)),
    )


def _task(prompts: Mapping[str, np.ndarray], lengths: list[int], shape: ModelShape) -> TaskData:
    rows = range(len(lengths))
    return TaskData(
        name=TASK,
        row_ids=tuple(f"random-{row}" for row in rows),
        reference="prompt",
        prompts=prompts,
        lengths=np.array(lengths),
        answers={f"#{token}": tuple((token,) for _ in rows) for token in _compared(shape)},
        positions={"END": tuple((length - 1,) for length in lengths)},
        labels={},
        clusters=np.arange(len(lengths)),
    )


def _compared(shape: ModelShape) -> list[int]:
    """Logits spread over all of them."""
    last = shape.n_logits - 1
    return sorted({last * part // (_LOGITS - 1) for part in range(_LOGITS)})


def _planner(task: TaskData, shape: ModelShape) -> Planner:
    treated = TreatedSpec(kind="paired", column="other")
    data = DataCall(name="random_tokens")
    spec = TaskSpec(name=TASK, data=data, reference=task.reference, treated=treated)
    return Planner(shape, {TASK: task}, {TASK: spec})


def _circuit(shape: ModelShape) -> PathSet:
    """Paths straight from a head of the first layer into one of the last; through one of them
    where there is one layer."""
    layout = Layout(shape)
    ends = [
        Nodes(mask=sum(1 << head for head in layout.heads_of(layer)))
        for layer in sorted({0, shape.n_layers - 1})
    ]
    middle = [part for end in ends for part in (ANY_EDGE, end)][1:]
    return complete(cat(*middle), layout.any_mask, 1 << layout.logits)


def _plan(planner: Planner, shape: ModelShape, measures: list[Measure]) -> Plan:
    """The reference run, `treat` and `keep` of the small circuit."""
    circuit = _circuit(shape)
    runs = [RunSpec(task=TASK, kind="reference"), RunSpec(task=TASK, kind="treated")]
    runs += [RunSpec(task=TASK, kind="treat", paths=p) for p in (circuit, minus(FULL, circuit))]
    (plan,) = planner.plans([(run, measure) for run in runs for measure in measures])
    return plan


def _prove(loaded: LoadedModel, seed: int) -> tuple[Proof, ...]:
    adapter = loaded.adapter
    task = random_task(adapter.shape, seed)
    planner = _planner(task, adapter.shape)
    measures = [Measure(kind="logit", column=column) for column in task.answers]
    plan = _plan(planner, adapter.shape, measures)
    pair = prove_null_pair(plan, task, adapter, rounding_of(adapter))
    return (*prove(planner, adapter, task), pair)


def _memory(shape: ModelShape, weights: int, itemsize: int) -> Memory:
    """By a plan for prompts of equal length; batches end at the memory limit of a check."""
    tokens = min(TOKENS, shape.n_positions)
    ids = np.zeros((PROMPTS, tokens), np.int64)
    task = _task({"prompt": ids, "other": ids}, [tokens] * PROMPTS, shape)
    plan = _plan(_planner(task, shape), shape, [Measure(kind="kl")])
    batch = rows_per_batch(plan, itemsize, DEFAULT_MEMORY)
    row = row_bytes(plan, itemsize, schedule(plan))
    logits = len(plan.outputs) * shape.n_logits * itemsize  # read at one position of each run
    # Two plain runs and one put together, two copies of their real tokens, three in float64.
    compared = PROOF_ROWS * tokens * shape.n_logits * (5 * itemsize + 3 * 8)
    return Memory(weights=weights, values=batch * (row + logits), proofs=compared, tokens=tokens)


_UNKNOWN = ("PD604", "PD607")
"""Codes of models whose family may be an unknown one."""


def _resembles(source: ModelSource, error: PathdslError) -> Resemblance | None:
    """What a model that was refused for its family resembles, where its config can be read."""
    if not any(fault.code in _UNKNOWN for fault in error.diagnostics):
        return None
    try:
        config = config_of(source)
    except PathdslError:
        return None
    with quiet():
        return None if config is None else resemblance(config)


def _cached_shape(source: ModelSource) -> ModelShape | None:
    """The shape where the config says it and nothing is wrong with it."""
    try:
        return shape_of(source)
    except PathdslError:
        return None


@contextmanager
def _memory_told(source: ModelSource, device: str) -> Iterator[None]:
    """Memory that runs out while proofs are made is PD620, as it is while weights are read."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch says so in a RuntimeError of its own words.
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        message = f"there is not enough memory on `{device}` to check `{source.location}`"
        raise EngineError(source.fault("PD620", message, advice="dtype: bfloat16")) from error


def _as_typed(fault: Diagnostic, source: ModelSource) -> Diagnostic:
    """The fault with places as they were typed, and a repair that fits this command."""
    places = _places(source)

    def plain(text: str) -> str:
        for place, typed in places.items():
            text = text.replace(place, typed)
        return text

    advice = plain(fault.help)
    if advice.startswith("--model "):
        advice = "pathdsl doctor folder:PATH"
    elif advice.startswith("dtype: "):
        advice = advice.replace("dtype: ", "--dtype ")
    notes = [plain(n) for n in fault.notes if not n.startswith("a folder is relative")]
    return replace(fault, message=plain(fault.message), notes=tuple(notes), help=advice)


def _places(source: ModelSource) -> dict[str, str]:
    """Places on this machine that messages may name, and what stands for them."""
    if source.lies == "on the hub":
        return {f"{hub_folder()}/": ""}
    places = {source.location: source.typed or source.location}
    if source.lies == "in pathdsl":
        try:
            places = {str(folder_of(source)): source.location}
        except PathdslError:
            return {}
    return places
