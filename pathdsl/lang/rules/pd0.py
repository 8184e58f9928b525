"""Pages of the PD0 codes: a text that is no `.circuit` file, or a statement that is not one."""

from __future__ import annotations

from pathdsl.lang.rules.page import Example, Page
from pathdsl.lang.rules.sample import HEAD, MODEL


def _page(code: str, name: str, summary: str, why: str, repair: str, failing: str, passing: str
          ) -> Page:  # fmt: skip
    return Page(
        code=code, name=name, summary=summary, why=why, repair=repair,
        failing=Example(text=failing), passing=Example(text=passing),
    )  # fmt: skip


# What an example with runs stands on.
_BASE = (
    'model gpt2 = hf("openai-community/gpt2", '
    'revision: "607a30d783dfa663caf39e06633721c8d4cfcd7e")\n'
)

PAGES: tuple[Page, ...] = (
    _page(
        "PD001", "unexpected-text",
        "A statement holds something that cannot stand where it stands.",
        "The parser reads each statement by itself and stops at the first word that fits no "
        "form of "
        "it. The message says what was found and what could have stood there.",
        "Compare the statement with its form: `pathdsl explain` and the reference list them all.",
        "group mover @END { a9.h9 }\n",
        "group mover @END = { a9.h9 }\n",
    ),
    _page(
        "PD002", "unknown-statement",
        "A line at column 1 begins with a word that is no statement keyword.",
        "Statements are told apart by their first word: `circuit`, `use`, `model`, `task`, "
        "`group`, "
        "`path`, `metric`, `let`, `intervene`, `claim`.",
        "Use one of these, or put `#` before a remark.",
        "grup mover = { a9.h9 }\n",
        "group mover = { a9.h9 }\n",
    ),
    _page(
        "PD003", "bracket-not-matched",
        "A bracket is opened and not closed, closed and not opened, or closed by another kind.",
        "What stands inside a bracket belongs together; without its end the rest of the statement "
        "cannot be read.",
        "Close each `(`, `[`, `{` and `-[` by `)`, `]`, `}` and `]->`.",
        "group mover = { a9.h9, a9.h6\n\npath main = mover -> logits\n",
        "group mover = { a9.h9, a9.h6 }\n\npath main = mover -> logits\n",
    ),
    _page(
        "PD004", "unterminated-string",
        "A string does not end on its line.",
        "A string stands between two `\"` on one line; without the second one it would swallow the "
        "statements below.",
        "Add the closing quote; write `\\n` for a line break and `\\\"` for a quote inside.",
        'circuit ioi "Indirect object identification\n',
        'circuit ioi "Indirect object identification" { language = 1 }\n' + MODEL,
    ),
    _page(
        "PD005", "sign-of-another-language",
        "An operator, quote or comment sign is written as another language writes it.",
        "`=>`, `≥`, `&&`, `//` and single quotes are understood, but one meaning has one spelling "
        "here, so that files can be compared and searched.",
        "Write the sign that the help shows. A claim has no `==`: write `A ~= B within D`.",
        "path main = a9.h9 => logits\n",
        "path main = a9.h9 -> logits\n",
    ),
    _page(
        "PD006", "node-of-another-tool",
        "A node is written as another tool or a paper writes it.",
        "`9.9`, `L9H9`, `blocks.9.attn.hook_z` and `a9.h9<v>` are recognised only to say what they "
        "are called here. The spelling is that of EAP-IG and MIB circuit files, and a slot belongs "
        "to the arrow.",
        "Write `a9.h9` for head 9 of layer 9, `m5` for the MLP of layer 5, `r5` for the residual "
        "stream that enters layer 5; layers and heads count from 0.",
        "path main = 9.9 -> logits\n",
        "path main = a9.h9 -> logits\n",
    ),
    _page(
        "PD007", "reserved-node",
        "The spelling of a node is kept for a later version.",
        "Dictionary features (`f12.4096`) and the residual stream between a head and an MLP "
        "(`r5.mid`) have their spelling already, so that no file uses it for something else.",
        "Use heads, MLPs and `r5`, the residual stream as it enters a layer.",
        "path main = through(r5.mid)\n",
        "path main = through(r5)\n",
    ),
    _page(
        "PD008", "nested-too-deep",
        "Brackets and operators stand more than 200 deep inside one another.",
        "Such a statement is no longer read by anybody, and every later step would have to walk a "
        "tree of that depth. A chain `a - b - c` is as deep as it is long.",
        "Give the parts names of their own, with `path` or `let`.",
        "path deep = " + "(" * 201 + "m0 -> logits" + ")" * 201 + "\n",
        "path deep = " + "(" * 20 + "m0 -> logits" + ")" * 20 + "\n",
    ),
    Page(
        code="PD009", name="file-not-readable",
        summary="A file is missing, is a folder, or may not be read.",
        why="Nothing can be said about a text that cannot be read.",
        repair="Check the path and its permissions; name the files of a folder one by one.",
        shown_by="tests/lang/test_parse_source.py::test_missing",
    ),
    _page(
        "PD010", "not-a-text",
        "The file holds bytes that are no UTF-8 text, or control characters.",
        "A `.circuit` file is UTF-8 text; a control character is most often a sign that a binary "
        "file was named by mistake.",
        "Save the file as UTF-8, or name another file.",
        "path direct = m0 -> logits\n# \x00\n",
        "path direct = m0 -> logits\n",
    ),
    Page(
        code="PD011", name="file-too-big",
        summary="The file is larger than 2 MB.",
        why="A hypothesis is written by people; a text of this size is data in the wrong "
        "place, and "
        "refusing it keeps a check from hanging.",
        repair="Put rows into a `.jsonl` file and edges into a `.json` file, and name them.",
        shown_by="tests/lang/test_parse_source.py::test_too_big",
    ),
    _page(
        "PD012", "malformed-number",
        "A number is not of the kind that is wanted, too large, or no number at all.",
        "Layers, counts and seeds are whole numbers of at most 18 digits; a confidence is a "
        "percentage; a `%` touches its number.",
        "Write `at 95% confidence`, `window(3)`, `a[7..9].h*`.",
        HEAD + "claim c: mean(LD(reference)) > 0 at 95 confidence\n",
        HEAD + "claim c: mean(LD(reference)) > 0 at 95% confidence\n",
    ),
    _page(
        "PD013", "separator-missing",
        "Two fields, actions or edge chains stand on one line with nothing between them.",
        "Inside braces a line's end or `;` says where one ends; without it a forgotten operator "
        "would go unseen.",
        "Put `;` or a line break between them.",
        'circuit ioi { language = 1 cite = "arXiv:2211.00593" }\n',
        'circuit ioi { language = 1; cite = "arXiv:2211.00593" }\n' + MODEL,
    ),
    _page(
        "PD014", "statement-unfinished",
        "A statement ends before it is complete.",
        "A statement ends where the next keyword stands at column 1, or at the end of the file.",
        "Write the missing part; the message says what could follow.",
        "path main = a9.h9 ->\n",
        "path main = a9.h9 -> logits\n",
    ),
    _page(
        "PD015", "statement-not-at-column-1",
        "A statement's keyword does not stand at the start of a line.",
        "Keywords at column 1 are how the parser finds the next statement when one is broken, and "
        "how readers and `grep` find them.",
        "Start a new line with the keyword, without indentation.",
        "group one = { a0.h1 } group two = { a0.h2 }\n",
        "group one = { a0.h1 }\ngroup two = { a0.h2 }\n",
    ),
    _page(
        "PD016", "unknown-escape",
        "A string holds an escape that is not known.",
        "Known are `\\\"`, `\\\\`, `\\n`, `\\t` and `\\u00e9`; anything else is more likely a "
        "path with "
        "backslashes than meant as written.",
        "Write `\\\\` for a backslash; paths of files use `/` everywhere.",
        'circuit ioi "part\\a"\n',
        'circuit ioi "part/a" { language = 1 }\n' + MODEL,
    ),
    _page(
        "PD017", "range-backwards",
        "A range or a repeat count ends before it begins.",
        "`a[7..9]` names layers 7, 8 and 9: both ends are included, the smaller one first.",
        "Turn the ends round.",
        "group late = { a[9..7].h* }\n",
        "group late = { a[7..9].h* }\n",
    ),
    _page(
        "PD018", "given-twice",
        "A field, an argument, a slot or a part of a claim is given twice.",
        "One of the two would have to be ignored, and a reader could not tell which.",
        "Remove one of them.",
        "circuit ioi { language = 1; language = 1 }\n",
        "circuit ioi { language = 1 }\n" + MODEL,
    ),
    _page(
        "PD019", "part-out-of-place",
        "An argument without a name follows one with a name, or `within` follows another sign.",
        "Arguments with a name come last; `within` is the tolerance of `~=` and of nothing else.",
        "Move the argument to the front; write `~=` where a tolerance is meant.",
        HEAD + "claim c: mean(LD(reference)) > 3 within 0.1\n",
        HEAD + "claim c: mean(LD(reference)) ~= 3 within 0.1 at 95% confidence\n",
    ),
    _page(
        "PD020", "malformed-section",
        "A repeated section, or the list of an `edges`, is not formed as it must be.",
        "A section `(-> mlp)*` holds edges, says how often it is walked and holds no other "
        "section; "
        "`edges { … }` lists single edges, so it has no `~>`.",
        "Add `*`, `+`, `?` or `{1,3}`; name the inner part with `path`; write `->` inside `edges`.",
        "path main = a7.h3 (-> mlp) -> logits\n",
        "path main = a7.h3 (-> mlp)* -> logits\n",
    ),
    _page(
        "PD021", "number-wanted",
        "A run, a path or a node stands where a number is wanted.",
        "Runs and paths are no numbers: a metric reads a run, and `treat` or `keep` makes a "
        "run of a "
        "path set.",
        "Write `mean(LD(treat(P)))` where `P` is a path set and `LD` a metric.",
        "let total = treat(a9.h9 -> logits)\n",
        _BASE
        + "task t {\n  data = ioi(take: 8, seed: 0)\n"
        "  reference = prompt\n  treated = prompt_abc\n}\n"
        "metric LD: logits = logit(io) - logit(s)\n"
        "let total = mean(LD(treat(a9.h9 -> logits)))\n",
    ),
    Page(
        code="PD022", name="no-circuit-file",
        summary="A path leads to a file that is no circuit file.",
        why="A fault shows the line that it is in, and this may be any file of the machine: the "
        "path may come from a stranger, or be a link. So nothing of it is shown.",
        repair="Name a file that ends in `.circuit`, links resolved.",
        failing=Example(text='use "notes.txt"\n', files={"notes.txt": "call them at noon\n"}),
        passing=Example(
            text='use "movers.circuit"\n', files={"movers.circuit": "group movers = { a9.h9 }\n"}
        ),
    ),
    Page(
        code="PD023", name="too-many-files",
        summary="A program uses more than 1,000 files.",
        why="Every file is read before anything is said of the first.",
        repair="Put their declarations into fewer files.",
        shown_by="tests/lang/test_fence.py::test_a_program_has_so_many_files",
    ),
    Page(
        code="PD024", name="needs-newer-pathdsl",
        summary="The file says that it needs a newer pathdsl than the one that runs.",
        why="It has a form that this version cannot read; all other faults would follow from that.",
        repair="Install the version that the file names, or a later one.",
        failing=Example(text='circuit ioi { language = 1; needs = "9999.0" }\nlet x = new form\n'),
        passing=Example(text='circuit ioi { language = 1; needs = "0.1" }\n' + MODEL),
    ),
)  # fmt: skip
