"""Pages PD642 to PD645: checks that several processes work on, and stated memory."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page

SHARD_PAGES: tuple[Page, ...] = (
    Page(
        code="PD642", name="store-of-another-machine",
        summary="The values in a folder of shards were computed with something else than this "
        "process has.",
        why="The last bits of a value follow from the processor, the number of threads, the "
        "libraries, `--memory` and the text of pathdsl. Values of shards are put together into "
        "what one machine would have computed, so all of them must be of one kind. The folder's "
        "`made-by.json` says which.",
        repair="Give all shards, and the check behind them, the same `--threads` and `--memory`, "
        "run them on one type of processor, or name a new folder.",
        shown_by="tests/checking/test_shards.py::test_another_machine_is_refused_by_name",
    ),
    Page(
        code="PD643", name="values-of-other-shards",
        summary="A shard goes on from values that other shards compute, and these are not there.",
        why="A search, or a condition on rows, decides by values what is measured next. What was "
        "computed of the rounds before is kept. The process exits with 4.",
        repair="Run the other shards and then this one again, or all of them at once with "
        "`--wait`.",
        shown_by="tests/checking/test_shards.py::test_a_shard_that_lacks_others_exits_with_4",
    ),
    Page(
        code="PD644", name="no-such-scheduler",
        summary="`--on` names what is not installed here, or cannot be reached.",
        why="Ray and submitit are extras: `pathdsl[ray]`, `pathdsl[slurm]`. `--on slurm` hands its "
        "jobs to `sbatch`, and `--on ray --address` to a cluster that is running.",
        repair="Install the extra, or run the shards in another way: docs/scale.md.",
        shown_by="tests/cli/test_sharding.py::test_what_is_not_installed_is_said",
    ),
    Page(
        code="PD645", name="more-than-stated-memory",
        summary="The values of one prompt at a time take more than `--memory` states.",
        why="Prompts are computed together as far as the stated memory goes, and at least one is. "
        "What it takes follows from the plan: how many copies of components are alive at a time.",
        repair="State at least what the message says (`pathdsl plan` says it before anything "
        "runs), make the prompts shorter, or ask for less at once (`--only`).",
        shown_by="tests/checking/test_stated.py",
    ),
)  # fmt: skip
