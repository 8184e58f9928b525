"""Pages of what a model and a plan prove about themselves before a claim is judged."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page

_SHOWN = "tests/engine/test_selfcheck.py"


def _proof(code: str, name: str, summary: str, why: str) -> Page:
    return Page(
        code=code,
        name=name,
        summary=summary,
        why=why,
        repair="Try `dtype: float64`. If it still fails, the model differs from what its class "
        "says: a changed module, a patched `transformers`. Report it with the config.",
        shown_by=_SHOWN,
    )


PROOF_PAGES: tuple[Page, ...] = (
    _proof(
        "PD630", "forward-not-reproduced",
        "The sum of the components is not the output of the unmodified model.",
        "Every number rests on the decomposition; where it is off, so are they all.",
    ),
    _proof(
        "PD631", "writers-not-the-stream",
        "What the components write does not add up to the residual stream.",
        "Some writer is missing or counted twice, so some edge is too.",
    ),
    _proof(
        "PD632", "full-not-the-reference",
        "Keeping every path, by way of automaton and plan, is not the unmodified model's output.",
        "The compiled run lost or mixed up a path.",
    ),
    _proof(
        "PD633", "none-not-the-treated",
        "Keeping no path, by way of automaton and plan, is not the model's output on the treated "
        "input.",
        "The compiled run lost or mixed up a path.",
    ),
    _proof(
        "PD634", "null-pair-has-effect",
        "With the treated value put equal to the reference, some run still has an effect.",
        "An effect of nothing is an error of the engine or a model that is not deterministic.",
    ),
    Page(
        code="PD635",
        name="out-of-memory",
        summary="Memory ran out while the check ran.",
        why="The plan's values for one row, or the model itself, do not fit.",
        repair="Lower `--memory`, take fewer prompts (`--set take=50`), or check one claim "
        "(`--only`).",
        shown_by="tests/checking/test_check.py",
    ),
    Page(
        code="PD640",
        name="store-not-usable",
        summary="The result store cannot be read or written, or something in it is damaged.",
        why="The folder cannot be written, the disk is full, the index is of a later version, or "
        "bytes are not those that were written. What cannot be read and what does not verify is "
        "computed; where nothing can be written, what is there is used. Verdicts do not depend on "
        "it; only time is lost.",
        repair="Remove what is damaged (`pathdsl cache prune`) or all there is (`pathdsl cache "
        "prune --all`), make room, name another folder in `PATHDSL_CACHE`, or do without "
        "(`--no-cache`).",
        shown_by="tests/engine/test_store.py",
    ),
    Page(
        code="PD641",
        name="file-not-written",
        summary="A file that the command line names cannot be written.",
        why="The disk is full, or the folder is missing or not the user's. A file appears whole or "
        "not at all: one that was there before is as it was.",
        repair="Make room, or name a file in another folder.",
        shown_by="tests/test_whole.py",
    ),
)  # fmt: skip
