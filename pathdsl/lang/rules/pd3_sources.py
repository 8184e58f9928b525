"""Pages PD376 to PD379: rows of Parquet files and of data sets of Hugging Face."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page

__all__ = ["PAGES"]

_SHOWN_BY = "tests/engine/test_sources.py"

PAGES: tuple[Page, ...] = (
    Page(
        code="PD376",
        name="no-library-for-rows",
        summary="Rows of Parquet or of a data set are named, and the library is not installed.",
        why="`pyarrow` and `datasets` are large, and most files do without: they are an extra.",
        repair="`pip install 'pathdsl[data]'`, or write the rows as JSON lines.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD377",
        name="unreadable-data-set",
        summary="A Parquet file or a data set cannot be read, or it is open which part is meant.",
        why="A name that is no folder beside the file is taken for one of the hub. A data set with "
        "several splits has rows of each, and those of a script are not read at all.",
        repair='Name the split: `split: "test"`. Where the hub cannot be reached, save the data '
        'set elsewhere, `load_dataset(…).save_to_disk("rows")`, and name the folder.',
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD378",
        name="no-value-of-rows",
        summary="A cell of Parquet or of a data set is a date, bytes, NaN or the like.",
        why="Rows hold texts, numbers, truth values, lists and maps of them, as JSON does, so that "
        "their hash is the same wherever they come from.",
        repair="Make a text or a number of the column, or leave it out, before it is saved.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD379",
        name="data-set-not-pinned",
        summary="A data set of the hub is named without the commit of its `revision:`.",
        why="Its owner may change the rows at any time, and the same file would then say something "
        "about others.",
        repair='Write the commit: `dataset("owner/name", split: "test", revision: "…")`.',
        shown_by=_SHOWN_BY,
    ),
)
