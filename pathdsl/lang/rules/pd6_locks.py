"""Pages of locks: what a lock file may lack, and what a check may find otherwise than its lock."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page

_READ = "tests/checking/test_lockfile.py"
_DRIFT = "tests/cli/test_lock.py"
_GIT = "tests/cli/test_breaking.py"


def _page(code: str, name: str, summary: str, why: str, repair: str, shown_by: str) -> Page:
    return Page(
        code=code, name=name, summary=summary, why=why, repair=repair, shown_by=shown_by
    )  # fmt: skip


LOCK_PAGES: tuple[Page, ...] = (
    _page(
        "PD650", "lock-missing",
        "`check --locked` found no `FILE.circuit.lock` beside the file.",
        "Without a lock there is nothing to compare with, and a check that compares with nothing "
        "would pass.",
        "Get the lock from whoever published the file, or make one: `pathdsl lock FILE`.",
        f"{_READ}::test_a_missing_lock",
    ),
    _page(
        "PD651", "lock-not-readable",
        "The lock is no JSON, or a part of it is missing or of another kind.",
        "A lock is compared part by part; a part that cannot be read cannot be held to.",
        "Restore it from version control, or make it anew with `pathdsl lock FILE`.",
        f"{_READ}::test_a_damaged_lock",
    ),
    _page(
        "PD652", "lock-of-a-later-version",
        "The lock was written by a later version of pathdsl, in a form that is not known here.",
        "A part that this version does not know could not be compared, and would go unseen.",
        "Use a version of pathdsl that knows it.",
        f"{_READ}::test_a_lock_of_a_later_version",
    ),
    _page(
        "PD653", "lock-not-written",
        "The lock cannot be written beside the file.",
        "A lock stands beside its file, so that both are committed together.",
        "Make the folder writable, or copy the file to a folder that is.",
        f"{_READ}::test_a_lock_that_cannot_be_written",
    ),
    _page(
        "PD655", "file-drift",
        "The file, a file that it uses, or both, are not the ones that were locked.",
        "The lock holds a hash of the syntax tree, so comments and layout may change and nothing "
        "else. Numbers of another hypothesis say nothing about this one.",
        "See what became weaker with `pathdsl breaking --against REV FILE`, then lock again.",
        f"{_DRIFT}::test_a_changed_threshold",
    ),
    _page(
        "PD656", "data-drift",
        "Rows, row ids, seeds, treated values or the norm mode of a task are not those locked.",
        "A claim is about these prompts; on others it would be another claim. A row that changed "
        "is named.",
        "Restore the data, leave out `--set` and `--seed`, or lock what is there.",
        f"{_DRIFT}::test_a_changed_row",
    ),
    _page(
        "PD657", "model-drift",
        "Weights, config, tokenizer or dtype of the model are not those that were locked.",
        "The hashes are of the files' contents: the same name on the hub may hold other weights.",
        "Name the commit, `hf(..., revision: \"...\")`, or lock these weights.",
        f"{_DRIFT}::test_a_changed_weight",
    ),
    _page(
        "PD658", "number-drift",
        "An estimate, the end of an interval or a number of prompts is not the one locked.",
        "Numbers may differ by the tolerance that the lock states, which is rounding: another "
        "processor adds in another order. More than that has a cause.",
        "Look at the drifts of inputs and surroundings that are listed with it; with none, report "
        "it.",
        f"{_DRIFT}::test_a_number_beyond_the_tolerance",
    ),
    _page(
        "PD659", "verdict-drift",
        "A verdict is another one than was locked, or a claim is new or gone.",
        "Verdicts are what others build on, so they are compared exactly, also where the numbers "
        "are within their tolerance.",
        "Look at the drifts listed with it, then lock again if the new verdict is the right one.",
        f"{_DRIFT}::test_a_changed_threshold",
    ),
    _page(
        "PD660", "other-surroundings",
        "Versions, device, processor, threads or plans differ from those of the lock.",
        "This is no drift: the same numbers in other surroundings say more than in the same ones. "
        "Where numbers drifted, it is the first place to look.",
        "Nothing needs repair while the numbers hold.",
        f"{_DRIFT}::test_other_packages_are_a_note",
    ),
    _page(
        "PD661", "no-work-tree",
        "`pathdsl breaking` was asked about a place that is in no work tree of git, or git is not "
        "installed.",
        "It compares a file with its text at a revision, and only git has that.",
        "Run it inside the repository that the file belongs to.",
        f"{_GIT}::test_no_work_tree",
    ),
    _page(
        "PD662", "unknown-revision",
        "`--against` names no commit, branch or tag that git knows here.",
        "There is no text to compare with.",
        "List what there is with `git log --oneline` and `git tag`; a shallow clone lacks older "
        "commits.",
        f"{_GIT}::test_an_unknown_revision",
    ),
    _page(
        "PD663", "earlier-text-has-faults",
        "The file as it was at the revision cannot be read as a hypothesis.",
        "What its claims were is not known, so none can be said to have been kept.",
        "Compare with a revision at which it had no faults.",
        f"{_GIT}::test_an_earlier_text_with_faults",
    ),
)  # fmt: skip
