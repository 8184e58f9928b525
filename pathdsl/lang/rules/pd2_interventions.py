"""Pages of codes of `intervene` blocks: what actions cannot do, and what they do not do."""

from __future__ import annotations

from pathdsl.lang.rules.page import Example, Page
from pathdsl.lang.rules.sample import TOY

__all__ = ["INTERVENTION_PAGES"]

_NEURON = "let under_it: logits = mean(LD(treat(through(m1.n3)) with changed))"
_RUN = "let under_it: logits = mean(LD(reference with changed))"


def _plan(*lines: str, files: dict[str, str] | None = None) -> Example:
    return Example(text=TOY + "\n".join(lines) + "\n", command="plan", files=files or {})


def _block(actions: str, run: str = _RUN) -> Example:
    return _plan(f"intervene changed {{ {actions} }}", run)


INTERVENTION_PAGES: tuple[Page, ...] = (
    Page(
        code="PD225",
        name="not-executed",
        summary="A form of an intervention that the language has is not executed yet.",
        why="Running the file as if the form were not there would give a number that looks right.",
        repair="Write it without the form that is named.",
        failing=_block("set m1 = m0", _NEURON),
        passing=_block("set m1 = m0", _NEURON.replace(".n3", "")),
    ),
    Page(
        code="PD230",
        name="action-on-another-value",
        summary="An action cannot act on the value that it is put on.",
        why=(
            "`pattern`, `block` and `zero` act inside heads. A head's value is as wide as the head "
            "and is written by weights of its own, so another head's value, an MLP's or a vector "
            "means nothing there; the same holds of a neuron. What `set X = NODE` takes is of the "
            "same token."
        ),
        repair="Act on a mark, an MLP or `input`, or inside a head.",
        failing=_block("set a1.h0 = a0.h1"),
        passing=_block("set r0@END = r1@END"),
    ),
    Page(
        code="PD231",
        name="two-actions-on-one-value",
        summary="Two actions act on one value at one position of some prompt.",
        why="The second would undo the first or change what it made, and a reader would have to "
        "know which. Several names may stand for one token, and blocks of `with [a, b]` count "
        "together.",
        repair="Leave one out, or put them at different positions.",
        failing=_block("scale a0.h1 = 2.0; scale a0.h[0..1]@END = 0.5"),
        passing=_block("scale a0.h1@FIRST_A = 2.0; scale a0.h1@END = 0.5"),
    ),
    Page(
        code="PD232",
        name="no-key-left",
        summary="On some prompt an action leaves a head no key that it may look at.",
        why="A head's weights are a distribution over the keys at or before its own position; over "
        "no key there is none.",
        repair="Name a key at or before the head's position, on every prompt.",
        failing=_block("pattern(a1.h2@FIRST_A) = uniform(END)"),
        passing=_block("pattern(a1.h2@END) = uniform(FIRST_A)"),
    ),
    Page(
        code="PD233",
        name="constants-carry-nothing",
        summary="Every path that a run treats, or keeps, goes through a value that is set to a "
        "constant.",
        why="`set X = RUN` or a treated value puts something there that does not depend on what X "
        "would read, so nothing is carried along paths through X and the run would show no effect, "
        "whatever the model does.",
        repair="Name paths that go round it, or take the run without the block.",
        failing=_block(
            "set a1.h2 = treated", "let carried = mean(LD(treat(through(a1.h2)) with changed))"
        ),
        passing=_block(
            "set a1.h2 = treated", "let carried = mean(LD(treat(through(a0.h1)) with changed))"
        ),
    ),
    Page(
        code="PD234",
        name="action-without-effect",
        summary="An action changes nothing on any prompt.",
        why="A factor of 1, a key that no query sees, a vector of zeros, a value set to itself: a "
        "report would name an intervention that did not take place.",
        repair="Take the action out, or write what was meant.",
        failing=_block("block(a1.h2@FIRST_A -> END)"),
        passing=_block("block(a1.h2@END -> FIRST_A)"),
    ),
    Page(
        code="PD235",
        name="vector-unusable",
        summary="A vector cannot be read from its file, or is none for this model.",
        why="Only safetensors files are read, which cannot run code; the tensor must be a vector "
        "as wide as the residual stream.",
        repair="Save it with `safetensors`, under the key that the file names.",
        failing=_block('add r1@END = vector("direction.safetensors", key: "d")'),
        passing=_block("add r1@END = mean(prompt) - mean(prompt_other)"),
    ),
)
