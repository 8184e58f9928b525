"""Pages of the family PD2 about circuit files whose parts cannot be judged as they stand."""

from __future__ import annotations

from pathdsl.lang.rules.page import Example, Page
from pathdsl.lang.rules.sample import sample

__all__ = ["FILE_PAGES"]

_CONFIG = '{"cfg": {"n_layers": 4, "n_heads": 4}, '
_EDGES = (
    '"edges": {"input->a0.h1<v>": {"score": 0.9, "in_graph": true}, '
    '"a0.h1->logits": {"score": -0.4, "in_graph": true}, '
    '"input->logits": {"score": 0.4, "in_graph": true}}}'
)


def _file(nodes: str, options: str = "") -> Example:
    """A file that judges a circuit file with these nodes."""
    return sample(
        f'let kept = mean(LD(keep(edges("found.json"{options}))))',
        files={"found.json": f'{_CONFIG}"nodes": {{{nodes}}}, {_EDGES}'},
    )


FILE_PAGES: tuple[Page, ...] = (
    Page(
        code="PD226",
        name="part-of-an-output",
        summary="A circuit file keeps some entries of a node's output only.",
        why="In files of EAP-IG `neurons` are entries of the d_model vector that a node writes. "
        "They are no nodes of the language, in which a head or MLP is in a circuit as a whole, nor "
        "the neurons `m2.n17` of an MLP. Without the mask it would be another circuit.",
        repair="Export the circuit at the level of edges or nodes.",
        failing=_file('"a0.h1": {"in_graph": true, "neurons": [true, false, true]}'),
        passing=_file('"a0.h1": {"in_graph": true, "neurons": [true, true, true]}'),
    ),
    Page(
        code="PD228",
        name="nodes-against-edges",
        summary="A circuit file takes a node out, and leaves in edges of it that have an effect.",
        why="Tools differ in which of the two they believe, and give different circuits for one "
        "file. Edges that lie on no complete path may remain: EAP-IG writes them before it prunes.",
        repair="Write `in_graph` alike for nodes and edges, or leave `nodes` empty.",
        failing=_file('"a0.h1": {"in_graph": false}'),
        passing=_file('"a0.h1": {"in_graph": true}, "a0.h2": {"in_graph": false}'),
    ),
    Page(
        code="PD229",
        name="cut-among-equal-scores",
        summary="The first N edges of a circuit file are asked for, and the last of them is one of "
        "several with the same score.",
        why="The file does not say which of them are meant, and tools choose differently. For "
        "`top:` it is an error. `cpr` and `cmd` cut at fixed shares, so there it is a warning, and "
        "the order of names decides.",
        repair="Choose an N between two different scores.",
        failing=_file("", ", top: 2"),
        passing=_file("", ", top: 3"),
    ),
    Page(
        code="PD245",
        name="kept-scores-unusable",
        summary="Scores that were kept prompt by prompt cannot be read, or are of another model.",
        why="`NAME.scores.json` names units, prompts and what was asked, and holds the hash of the "
        "numbers in `NAME.scores.safetensors` beside it. A pair that does not belong together, a "
        "unit that the model does not have or a score that is no number would give another circuit "
        "than the one that was found.",
        repair="Score again, or put back both files as they were written.",
        shown_by="tests/discover/test_kept.py",
    ),
    Page(
        code="PD246",
        name="not-in-this-format",
        summary="A circuit cannot be said in the format that it is exported to.",
        why="Formats of other programs have edges without positions, and a leaderboard knows its "
        "own tasks and models. What such a file cannot say would be another circuit there.",
        repair="Export a set of edges or nodes without positions, and name the cell of the "
        "benchmark: `pathdsl export ioi_gpt2=FILE:PATH --to mib -o FOLDER`.",
        shown_by="tests/discover/test_mib.py",
    ),
)
