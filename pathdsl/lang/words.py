"""Every word of the language: what kind of word it is, what it means, and an example.

    >>> [word.kind for word in words_named("edges")]
    ['path set', 'loop']
    >>> words_named("ablate")[0].kind
    "another tool's word"

`pathdsl explain WORD` prints an entry, and an editor shows it on hovering. Words that
are records (scores, measures, methods, …) take their example and options from there;
docs/language.md is the authority.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache

from pathdsl.lang.elsewhere import ELSEWHERE
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.lang.signatures.calls import (
    CIRCUIT_FIELDS,
    DATA_FILES,
    KNOCKOUTS,
    LOADERS,
    MEASURES,
    METHODS,
    SCORES,
    STATISTICS,
    TASK_FIELDS,
    TREATED,
)
from pathdsl.lang.signatures.correlations import CORRELATION
from pathdsl.lang.signatures.emergence import EMERGES
from pathdsl.lang.signatures.kinds import REQUIRED, Parameter, Signature
from pathdsl.lang.signatures.members import OVER_MEMBERS
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.record import record

__all__ = ["Option", "Word", "all_words", "words_named"]


@record
class Option:
    """One option of a word: how it is written, with its choices or default, and what it is for."""

    written: str
    means: str


@record
class Word:
    """One word in one sense. `page` is the part of the documentation that has the whole of it.

    `taken_by`: of an option, the words that take it.
    """

    name: str
    kind: str
    meaning: str
    example: str
    page: str
    options: tuple[Option, ...] = ()
    taken_by: tuple[str, ...] = ()


_STATEMENTS = {
    "circuit": (
        "what the file is: its language, title, citation and hypothesis",
        'circuit ioi "Indirect objects" { language = 1 }',
    ),
    "use": ("brings in another file's declarations", 'use "shared.circuit"'),
    "model": ("the model that the file is about", 'model mini = bundled("ioi-mini")'),
    "task": (
        "the prompts, and what treated paths carry",
        "task ioi { data = mini_ioi(take: 60); reference = prompt; treated = prompt_abc }",
    ),
    "group": ("a name for a set of nodes", "group movers @END = { a3.h1, a3.h2 }"),
    "path": ("a name for a set of paths", "path main = a0.h0 -[v]-> a3.h1 -> logits"),
    "metric": (
        "a number per prompt and run, read at the logits",
        "metric LD: logits = logit(io) - logit(s)",
    ),
    "let": ("a number over the prompts", "let total = mean(LD(reference) - LD(treated))"),
    "intervene": ("a change of the model", "intervene louder { scale a3.h1 = 2.0 }"),
    "claim": (
        "what the file asserts, judged supported, refuted or inconclusive",
        "claim enough: faithfulness(main) >= 80% at 95% confidence",
    ),
}
_NODES = {
    "input": ("the embedding of the tokens, positions included", "input@S2 -> a0.h0"),
    "logits": ("where every path ends", "a3.h1 -> logits"),
    "attn": ("all heads of the model", "input -> attn@END -> logits"),
    "mlp": ("all MLPs of the model", "a3.h1 (-> mlp)* -> logits"),
    "any": ("all heads and MLPs", "input -> any -> logits"),
    "a9": ("all heads of layer 9, counted from 0", "a9@END -> logits"),
    "a9.h6": ("head 6 of layer 9, both counted from 0", "a9.h6@END -> logits"),
    "a9.kv2": ("the query heads that share the keys and values of group 2", "a9.kv2 -> logits"),
    "m5": ("the MLP of layer 5", "m5 -> logits"),
    "m5.n17": ("neuron 17 of the MLP of layer 5", "m5.n17 -> logits"),
    "r5": ("the residual stream as it enters layer 5, a mark on paths", "through(r5@END)"),
    "except": ("leaves members out of a set of nodes", "{attn, except a3.h1} -> logits"),
}
_POSITIONS = {
    "END": ("the last token of the prompt", "a3.h1@END -> logits"),
    "ANSWER": (
        "the tokens of the answer behind the prompt, in a task with `answers = whole`",
        "a3.h1@ANSWER -> logits",
    ),
    "MASK": (
        "where the prompt holds the tokenizer's mask token, in a task with `positions = [MASK]`",
        "a3.h1@MASK -> logits",
    ),
}
_SIGNS = {
    "->": ("a direct edge: nothing but the residual stream between", "a0.h0 -> a3.h1 -> logits"),
    "~>": ("any nodes between, or none", "a0.h0 ~> a3.h1 ~> logits"),
    "-[": ("an edge into these inputs of a head", "a0.h0 -[k,v]-> a3.h1 -> logits"),
    "@": ("where a node's output stands", "a3.h1@END -> logits"),
    "|": ("the paths in either set", "through(m0) | through(m1)"),
    "&": ("the paths in both sets", "through(m0) & through(m1)"),
    "-": ("the paths in the first set that are not in the second", "full - through(m0)"),
    ")*": ("a section any number of times, or not at all", "a3.h1 (-> mlp)* -> logits"),
    "~=": (
        "about equal, by the stated tolerance",
        "mean(LD(keep(main))) ~= 2 within 0.5 at 90% confidence",
    ),
}
_SLOTS = {
    "q": ("the query of a head, as an edge's end", "a0.h0 -[q]-> a3.h1 -> logits"),
    "k": ("the key of a head, as an edge's end", "a0.h0 -[k]-> a3.h1 -> logits"),
    "v": ("the value of a head, as an edge's end", "a0.h0 -[v]-> a3.h1 -> logits"),
}
_RELATIONS = {
    "prev": ("the sender stands one token before the head", "input -[k: prev]-> a1 -> logits"),
    "same": ("the sender stands at the head's own token", "input -[k: same]-> a1 -> logits"),
    "window": (
        "the sender stands at one of the last tokens, the head's own among them",
        "input -[k,v: window(3)]-> a1 -> logits",
    ),
    "offset": (
        "the sender stands that many tokens from the head",
        "input -[k: offset(-2)]-> a1 -> logits",
    ),
}
_PATH_SETS = {
    "full": ("all paths of the model", "full - through(a3.h1)"),
    "none": ("no path", "none"),
    "through": ("the paths that visit one of these nodes or marks", "through(a3.h1@END, r2@S2)"),
    "within": ("the paths that visit none but these nodes", "within(a0.h0, a3.h1, mlp)"),
    "edges": (
        "the paths all of whose edges are listed, here or in a file",
        'edges("circuit.json", top: 200)',
    ),
    "nodes": (
        "the heads and MLPs of a circuit file",
        'through(nodes("circuit.json", top: 20))',
    ),
    "random_like": (
        "a path set with its units renamed at random, as a control",
        "random_like(main, seed: 0)",
    ),
    "random_edges": (
        "the paths in a random list of edges, as a control",
        "random_edges(count: 40, like: main, seed: 0)",
    ),
}
_RUNS = {
    "reference": ("the plain model on the reference prompt", "mean(LD(reference))"),
    "treated": ("the run in which every path is treated", "mean(LD(treated))"),
    "treat": (
        "paths in P carry the treated value, all others the reference",
        "mean(LD(treat(through(a3.h1))))",
    ),
    "keep": (
        "paths in P keep the reference, all others are treated",
        "mean(LD(keep(main)))",
    ),
    "scope": ("paths outside of it keep the reference", "mean(LD(keep(main, scope: full)))"),
    "with": ("a run of the changed model", "mean(LD(reference with louder))"),
}
_CLAIMS = {
    "at": ("the confidence of a claim's interval", "faithfulness(main) >= 80% at 95% confidence"),
    "confidence": ("stands behind `at C%`", "faithfulness(main) >= 80% at 95% confidence"),
    "expect": (
        "the claim is to come out refuted, as a control does",
        "faithfulness(main) >= 80% at 95% confidence expect refuted",
    ),
    "by": (
        "how many claims are corrected for, or how intervals are made",
        "mean(LD(treat(main))) > 0 at 95% confidence by holm()",
    ),
    "within D": (
        "how far apart the two sides of `~=` may be",
        "mean(LD(keep(main))) ~= 2 within 0.5 at 90% confidence",
    ),
}
_LOOPS = {
    "for": (
        "a let or a claim for each member of a set",
        "let d for h in attn = effect(through(h))",
    ),
    "in": ("names what a loop ranges over", "let d for h in attn = effect(through(h))"),
    "windows": (
        "every n neighbours of a set, as what a loop ranges over",
        "let d for w in windows(m*, 3) = effect(through(w))",
    ),
    "edges": (
        "the edges on some path of P, as what a loop ranges over",
        "let a for e in edges(main) = attribution(e, by: eap)",
    ),
}
_TASKS = {
    "where": ("the rows of a task that meet a condition", 'task part = ioi where order == "abba"'),
    "and": ("joins the conditions of `where`", 'task part = ioi where order == "abba" and n > 2'),
    "on": ("the task that a metric is for", "metric P on ioi: prob = prob(io)"),
}
_ACTIONS = {
    "pattern": ("sets attention weights of a head", "pattern(a3.h1@END) = uniform(IO, S1)"),
    "block": ("a key is not seen from a position", "block(a3.h2@END -> S2)"),
    "zero": ("an input of a head is 0", "zero v(a3.h1)"),
    "scale": ("a value times a number", "scale a3.h1 = 2.0"),
    "set": ("a value is that of another run, node or mean", "set a3.h1 = mean(prompt_abc)"),
    "add": (
        "adds treated values or a vector to a value",
        "add r3@END = mean(prompt) - mean(other)",
    ),
    "uniform": ("equal weights on these keys", "pattern(a3.h1@END) = uniform(IO, S1)"),
    "only": ("no keys but these are seen", "pattern(a3.h1@END) = only(IO, S1)"),
    "from": ("the weights of a plain run", "pattern(a3.h1@END) = from(treated)"),
    "vector": (
        "a direction from a safetensors file",
        'add r3@END = vector("v.safetensors", key: "d", scale: 4.0)',
    ),
}
_FIELDS_OF_CIRCUIT = {
    "language": ("the version of the language", "language = 1"),
    "needs": ("the oldest pathdsl that can read the file", 'needs = "0.1"'),
    "cite": ("what to cite, a text or a list", 'cite = "arXiv:2211.00593"'),
    "doi": ("the DOI of the paper", 'doi = "10.1000/1"'),
    "authors": ("who wrote the file, a list of texts", 'authors = ["A. Author"]'),
    "hypothesis": ("the path that the file is about", "hypothesis = main"),
    "discovered": (
        "the record of the rows that found the circuit, which never judge it",
        'discovered = "ioi.rows.json"',
    ),
}
_FIELDS_OF_TASK = {
    "data": ("a file or a generator of rows", "data = mini_ioi(take: 60)"),
    "reference": ("the prompt column on which the behaviour happens", "reference = prompt"),
    "treated": ("what treated paths carry", "treated = prompt_abc"),
    "positions": ("the names that every row gives to tokens", "positions = [IO, S1, S2]"),
    "cluster": ("rows of one value are no independent evidence", "cluster = pair"),
    "split_by": ("claims are also reported by its values", "split_by = template"),
    "layernorm": ("which scales norms have where paths meet", "layernorm = frozen"),
    "routing": ("which experts a mixture has where paths meet", "routing = frozen"),
    "average": ("how ratios over prompts are formed", "average = ratio_of_means"),
    "bos": ("whether a beginning-of-sequence token is put in front", "bos = true"),
    "tokens": ("how the text of an answer becomes a token", "tokens = continued"),
    "chat": ("prompts are messages, in the model's own template", "chat = true"),
    "answers": ("whether answers may have several tokens", "answers = whole"),
    "model": ("which of several models the task runs on", "model = base"),
}
_SCORES = {
    "faithfulness": "does the circuit alone do what the model does?",
    "completeness": "do circuit and model stay alike when both lose the same units?",
    "minimality": "does every part of the circuit matter?",
    "effect": "how much the metric moves when these paths are treated",
    "attribution": "what patching one node, mark or edge alone would do, measured or estimated",
    "accuracy": "the share of prompts whose most likely token is the answer",
    "broken": "the share of right answers that the second run gets wrong",
    "overlap": "how many units two path sets share, under a stated denominator",
    "cpr": "the area under faithfulness over circuit sizes (MIB); above 1 it is none",
    "cmd": "the area between that curve and 1 (MIB)",
    "paths": "how many paths a set has",
    "size": "how many edges or nodes a path set has",
    "stability": "how alike the circuits are that other draws of the prompts would give",
    "chance": "the value that this score reaches for random path sets alike",
}
_MEASURES = {
    "logit": "the logit of the token in a column",
    "prob": "the probability of the token in a column",
    "logprob": "its logarithm, in nats",
    "rank": "1 for the most likely token",
    "top1": "1 where the most likely token is the one of the column, else 0",
    "kl": "KL(reference ‖ this run) over the vocabulary, in nats",
    "reverse_kl": "KL(this run ‖ reference) over the vocabulary, in nats",
    "attention": "the attention of a head from one position to another",
    "dla": "direct logit attribution: what a write adds to a token's logit",
    "norm": "the length of what nodes write",
    "cosine": "the cosine of a write in this run and in another",
    "copy_score": "the share of tokens that a head would copy",
}
_STATISTICS = {
    "mean": "the mean over prompts",
    "median": "the median over prompts",
    "quantile": "a quantile over prompts",
    "std": "the standard deviation over prompts",
    "abs": "the absolute value",
    "min": "the smaller of two numbers",
    "max": "the larger of two numbers",
}
_P_VALUES = {
    "sign_test": "p-value of a sign test over prompts",
    "binomial_test": "p-value that a share of prompts is above 0 by chance",
    "independence_test": "p-value that two numbers per prompt are independent",
}
_OVER = {
    "max": "the largest of the members' values",
    "min": "the smallest of the members' values",
    "mean": "the mean over the members of a set",
    "sum": "the sum over the members of a set",
    "share": "the share of members that satisfy a condition",
    "top": "the mean of the largest, chosen on one half of the prompts and judged on the other",
}
_METHODS = {
    "holm": "corrects for all members that are claimed: no false one among them",
    "bh": "corrects for the share of false ones among those supported",
    "bootstrap": "intervals from that many resamples",
}
_LOADERS = {
    "hf": "a model of the Hugging Face hub",
    "folder": "a model in a folder that `save_pretrained` wrote",
    "bundled": "a model that ships with pathdsl",
}
_DATA_FILES = {
    "jsonl": "rows from a file, one JSON object a line",
    "csv": "rows from a CSV file",
    "json": "rows from a JSON file: a list of objects, or the prompts of auto-circuit",
    "parquet": "rows from a Parquet file",
    "dataset": "rows of a Hugging Face data set: a folder, or a name of the hub",
}
_TREATED = {
    "mean": "each component's mean over rows",
    "zero": "treated paths carry 0",
    "noise": "the reference prompt with Gaussian noise on the embedding of some tokens",
    "resample": "the value on other rows",
}
_KNOCKOUTS = {
    "random": "random subsets of the units",
    "groups": "the groups that the path set names",
    "greedy": "sets built unit by unit, chosen on one half of the prompts",
}
_ATTRIBUTIONS = {
    "exact": "each unit patched alone",
    "atp": "the slope at the reference run times the change",
    "atp_qk": "AtP with queries and keys carried through the softmax",
    "atp_star": "AtP with the query and key fix and GradDrop; sizes, no signs",
    "eap": "edge attribution patching: slope times change, for every edge",
    "eap_ig": "EAP with gradients integrated over inputs",
    "eap_ig_activations": "EAP with gradients integrated over one layer's values at a time",
    "clean_corrupted": "EAP with the mean of the slopes at both ends",
    "eap_gp": "EAP with gradients integrated along a path that follows the gradient",
    "peap": "EAP token by token, edges between tokens patched",
    "ifr": "information flow routes: shares of what is written, no effect of the metric",
    "relp": "slopes by the rules of layer-wise relevance propagation",
    "gim": "slopes that see through softmax saturation",
}


def _plain(kind: str, page: str, table: Mapping[str, tuple[str, str]]) -> Iterable[Word]:
    for name, (meaning, example) in table.items():
        yield Word(name=name, kind=kind, meaning=meaning, example=example, page=page)


def _fields(
    kind: str,
    page: str,
    records: Mapping[str, Parameter],
    table: Mapping[str, tuple[str, str]],
) -> Iterable[Word]:
    for name, one in records.items():
        meaning, example = table[name]
        yield Word(
            name=name, kind=kind, meaning=meaning, example=example, page=page,
            options=_choices(name, one.choices),
        )  # fmt: skip


def _choices(name: str, choices: tuple[str, ...]) -> tuple[Option, ...]:
    written = f"{name} = {' or '.join(choices)}"
    return (Option(written=written, means=""),) if choices else ()


def _called(
    kind: str, page: str, records: Mapping[str, Signature], table: Mapping[str, str]
) -> Iterable[Word]:
    for name, one in records.items():
        yield Word(
            name=name, kind=kind, meaning=table[name], example=one.example, page=page,
            options=tuple(_option(p) for p in one.parameters if not p.by_place),
        )  # fmt: skip


def _option(parameter: Parameter) -> Option:
    """`as: recovered, ratio, gap`, the default first."""
    return Option(written=_written(parameter), means=parameter.means)


def _written(parameter: Parameter) -> str:
    choices = list(parameter.choices)
    default = parameter.default
    if default in choices:
        choices.remove(default)
        choices.insert(0, default)
    if choices:
        return f"{parameter.name}: {', '.join(choices)}"
    plain = default is not REQUIRED and isinstance(default, int | float | str) and default != ""
    return f"{parameter.name}: {default}" if plain else f"{parameter.name}:"


@cache
def all_words() -> tuple[Word, ...]:
    """Every word, the keywords first; a name stands once for each of its senses."""
    language, scores = "docs/language.md", "docs/scores.md"
    return (
        *_plain("statement", language, _STATEMENTS),
        *_plain("node", f"{language}#nodes", _NODES),
        *_plain("position", f"{language}#positions", _POSITIONS),
        *_plain("sign", language, _SIGNS),
        *_plain("slot", f"{language}#edges", _SLOTS),
        *_plain("relation", f"{language}#edges", _RELATIONS),
        *_plain("path set", f"{language}#complete-path-sets", _PATH_SETS),
        *_plain("run", f"{language}#runs", _RUNS),
        *_plain("part of a claim", f"{language}#claim", _CLAIMS),
        *_plain("loop", f"{language}#loops", _LOOPS),
        *_plain("part of a task or metric", f"{language}#task", _TASKS),
        *_plain("action", f"{language}#intervene", _ACTIONS),
        *_fields("field of circuit", f"{language}#circuit", CIRCUIT_FIELDS, _FIELDS_OF_CIRCUIT),
        *_fields("field of task", f"{language}#task", TASK_FIELDS, _FIELDS_OF_TASK),
        *_called("score", scores, SCORES, _SCORES),
        *_called("measure", f"{language}#metric", MEASURES, _MEASURES),
        *_called("statistic", f"{language}#let", STATISTICS, _STATISTICS),
        *_called("test", f"{scores}#tests-over-the-prompts", P_VALUES, _P_VALUES),
        *_called(
            "function over members", f"{language}#functions-over-members", OVER_MEMBERS, _OVER
        ),
        *_called(
            "function of two loops", scores, {CORRELATION.name: CORRELATION},
            {CORRELATION.name: "how two lets over the same members go together"},
        ),
        *_called(
            "function over revisions", "docs/revisions.md", {EMERGES.name: EMERGES},
            {EMERGES.name: "the training step from which a condition holds at all later ones"},
        ),
        *_called("method", f"{language}#claim", METHODS, _METHODS),
        *_called("model", f"{language}#model", LOADERS, _LOADERS),
        *_called("data", f"{language}#data", DATA_FILES, _DATA_FILES),
        *_called("treated value", f"{language}#treated-values", TREATED, _TREATED),
        *_called("search", f"{scores}#completenessp-knockouts-k", KNOCKOUTS, _KNOCKOUTS),
        *(
            Word(
                name=name, kind="method of attribution", meaning=_ATTRIBUTIONS[name],
                example=f"attribution({'a9.h9' if record.nodes else 'm5 -> logits'}, by: {name})",
                page="docs/attribution.md",
            )
            for name, record in ATTRIBUTIONS.items()
        ),
    )  # fmt: skip


def _option_words() -> Iterable[Word]:
    """Options and what may stand behind them, each once, with what takes it."""
    taken: dict[str, dict[str, str]] = {}
    meant: dict[str, dict[str, None]] = {}
    chosen: dict[str, list[str]] = {}
    for word in all_words():
        for option in word.options:
            name, colon, choices = option.written.partition(":")
            if not colon:
                continue
            meant.setdefault(name, {})[option.means] = None
            taken.setdefault(name, {}).setdefault(word.name, word.example)
            for choice in filter(str.isidentifier, choices.replace(",", " ").split()):
                chosen.setdefault(choice, []).append(f"`{name}: {choice}` of {word.name}")
    for field in TASK_FIELDS.values():
        for choice in field.choices:
            chosen.setdefault(choice, []).append(f"`{field.name} = {choice}` of a task")
    for name, users in taken.items():
        shown = next((one for one in users.values() if f"{name}: " in one), "")
        yield Word(
            name=name, kind="option", meaning="; or ".join(meant[name]),
            example=shown or f"{next(iter(users))}(…, {name}: …)", page="docs/language.md",
            taken_by=tuple(users),
        )  # fmt: skip
    for choice, places in chosen.items():
        yield Word(
            name=choice, kind="choice", meaning="; ".join(dict.fromkeys(places)),
            example=_where_chosen(places[0]), page="docs/language.md",
        )  # fmt: skip


def _where_chosen(place: str) -> str:
    """`faithfulness(…, as: gap)` of "`as: gap` of faithfulness"."""
    _, written, user = place.split("`")
    return written if " = " in written else f"{user.removeprefix(' of ')}(…, {written})"


_LAYER = re.compile(r"(?<![^.])(a|h|kv|m|n|r)(?:\d+|\*|\[[^\]]*\])(?![^.])")
_SHOWN = {"a": "a9", "h": "h6", "kv": "kv2", "m": "m5", "n": "n17", "r": "r5"}


@cache
def _by_name() -> Mapping[str, tuple[Word, ...]]:
    found: dict[str, tuple[Word, ...]] = {}
    for word in (*all_words(), *_option_words()):
        name = word.name.split()[0]
        found[name] = (*found.get(name, ()), word)
    for name, (meaning, right) in ELSEWHERE.items():
        word = Word(
            name=name, kind="another tool's word", meaning=f"{meaning}, written {right} here",
            example=right.strip("`"), page="docs/language.md#recipes",
        )  # fmt: skip
        found[name] = (*found.get(name, ()), word)
    return found


def words_named(name: str) -> tuple[Word, ...]:
    """A word in all its senses; none where the language and its neighbours have no such word.

    >>> words_named("a3.h1")[0].meaning
    'head 6 of layer 9, both counted from 0'
    """
    found = _by_name()
    layers = _LAYER.sub(lambda part: _SHOWN[part[1]], name)
    return found.get(name) or found.get(layers, ())
