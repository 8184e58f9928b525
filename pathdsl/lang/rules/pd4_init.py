"""Pages of the family PD4 about first files, which `pathdsl init` writes."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page

__all__ = ["PAGES"]

_SHOWN_BY = "tests/cli/test_init.py"

PAGES: tuple[Page, ...] = (
    Page(
        code="PD470",
        name="no-such-template",
        summary="`pathdsl init` is asked for a template that there is not.",
        why="A template is one experiment: without its name it is open what is to be written.",
        repair="Choose one of `pathdsl init --list`.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD471",
        name="rows-without-the-column",
        summary="`pathdsl init` is given rows that lack a column, or what is no source of rows.",
        why="A file that names a column which no row has cannot be checked. Where nothing is said, "
        "columns are taken by usual names: `prompt` or `clean`, `corrupted`, `answer`, `wrong`.",
        repair="Name the columns that the rows have: `--reference clean --treated corrupted`.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD472",
        name="rows-without-the-position",
        summary="`pathdsl init` is given a position that not every row names.",
        why="A position is the place of a word in each prompt, which only the rows can tell: "
        '`"positions": {"SUBJECT": 3}`, or characters in `spans`. `END` is always there.',
        repair="Name positions that every row has, or put the missing ones into the rows.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD473",
        name="model-does-not-fit",
        summary="`pathdsl init` is given heads that a model lacks, or a model of too few layers.",
        why="Layers and heads are counted from 0, and read from the model's `config.json` before "
        "anything is written.",
        repair="Name heads that the model has, or download the config of a model of the hub.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD474",
        name="which-edges",
        summary="`pathdsl init` needs a file of edges, is given one that is not there, or for an "
        "experiment that reads none.",
        why="A circuit of another program is about one model: only that of the bundled model comes "
        "with pathdsl.",
        repair="Name the file: `--edges circuit.json`. `pathdsl discover` finds a circuit.",
        shown_by=_SHOWN_BY,
    ),
)
