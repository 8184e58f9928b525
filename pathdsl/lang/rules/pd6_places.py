"""Pages of places: where files may lie, what the system refuses, what has no graph in common."""

from __future__ import annotations

from pathdsl.lang.rules.page import Example, Page

PLACE_PAGES: tuple[Page, ...] = (
    Page(
        code="PD664", name="path-outside",
        summary="A path in a file leads out of the folder of the file and the one that pathdsl was "
        "started in.",
        why="A file may be a stranger's, and whoever checks it need not mean to open `/etc/passwd` "
        "to it. Links are followed before that is decided; the folder of the start does not count "
        "where it is the home or a folder above it. What the command line names is free.",
        repair="Start pathdsl in a folder that holds both, name the model with `--model`, or allow "
        "it: `--allow-outside`, `pathdsl.check(…, allow_outside=True)`, "
        "`pytest --pathdsl-allow-outside`.",
        failing=Example(text='use "/movers.circuit"\n'),
        passing=Example(
            text='use "movers.circuit"\n', files={"movers.circuit": "group movers = { a9.h9 }\n"}
        ),
    ),
    Page(
        code="PD665", name="output-not-written",
        summary="Standard output is closed, or there is no room where it goes.",
        why="What was found is not where it was wanted, whatever the verdicts say, so the command "
        "exits with 3. A reader that goes away (`| head`) is no such case.",
        repair="Make room, or write to another place.",
        shown_by="tests/cli/test_streams.py::test_a_full_disk",
    ),
    Page(
        code="PD666", name="refused-by-the-system",
        summary="The operating system refused something: no room, no permission, too many files.",
        why="It is no fault of the hypothesis, and nothing was judged.",
        repair="Repair what the message names, and run it again.",
        shown_by="tests/cli/test_streams.py::test_what_the_system_refuses",
    ),
    Page(
        code="PD667", name="other-graph",
        summary="`pathdsl diff` was asked about circuits of two models whose nodes or edges "
        "differ.",
        why="What two circuits share is told by the names of nodes. `a4.h1` of a model with other "
        "layers, heads or edges is another thing, and a share of such names would mean nothing.",
        repair="Compare circuits of models that have the same layers and heads. Of a file with "
        "several models the graph is chosen with `--task NAME`.",
        shown_by="tests/cli/test_diff.py::test_models_with_other_nodes",
    ),
)  # fmt: skip
