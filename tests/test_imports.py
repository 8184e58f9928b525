"""The architecture as tests: imports run one way, heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pathdsl"
QUICKSTART = "hypotheses/quickstart/induction.circuit"

# Each package may import itself and those before it.
ORDER = [
    "errors",
    "lang",
    "graph",
    "plan",
    "score",
    "engine",
    "discover",
    "checking",
    "report",
    "api",
    "editor",
    "cli",
    "pytest_plugin",
]
# Leaves: they import only one another, and may be used by the packages named here.
LEAVES = {
    "record": {
        "errors",
        "limits",
        "lang",
        "graph",
        "plan",
        "engine",
        "score",
        "discover",
        "checking",
        "report",
        "editor",
        "cli",
        "tasks",
    },
    "draws": {"graph", "engine", "score", "discover", "tasks", "models", "checking"},
    "limits": {
        "lang",
        "graph",
        "plan",
        "engine",
        "score",
        "discover",
        "report",
        "cli",
        "tasks",
        "draws",
        "checking",
    },
    "near": {
        "lang",
        "graph",
        "score",
        "engine",
        "discover",
        "api",
        "checking",
        "editor",
        "cli",
        "strictjson",
    },
    "reading": {
        "lang",
        "graph",
        "engine",
        "score",
        "discover",
        "report",
        "api",
        "editor",
        "cli",
        "checking",
    },
    "strictjson": {
        "lang",
        "graph",
        "engine",
        "score",
        "discover",
        "report",
        "api",
        "cli",
        "checking",
    },
    "tasks": {"lang", "engine", "checking", "report", "cli", "models"},
    "models": {"engine", "cli", "score", "checking", "editor"},
    "whole": {"engine", "score", "discover", "cli", "checking", "editor"},
}
# What made the bundled models: nothing imports it, and it may read the module of toy models.
SCRIPTS = "pathdsl.models.build."
READ_BY_SCRIPTS = "pathdsl.engine.toy.model."
# A library is imported in these places only (prefixes of dotted module names).
HOMES = {
    "lark": ("pathdsl.lang",),
    "networkx": ("pathdsl.report.data.graph", "pathdsl.cli.graph"),
    "sympy": ("pathdsl.score", "pathdsl.report.formulas"),
    "scipy": ("pathdsl.score", "pathdsl.engine", "pathdsl.discover", "pathdsl.checking"),
    "torch": ("pathdsl.engine", "pathdsl.models.build"),
    "transformers": ("pathdsl.engine", "pathdsl.models.build"),
    "safetensors": ("pathdsl.engine", "pathdsl.score.kept", "pathdsl.models"),
    "huggingface_hub": ("pathdsl.engine",),
    "typer": ("pathdsl.cli",),
    "rich": ("pathdsl.cli", "pathdsl.report"),
    "jinja2": (
        "pathdsl.report.page.template",
        "pathdsl.engine.data.templates",
        "pathdsl.checking.starting.templates",
    ),
    "markupsafe": ("pathdsl.report",),
    "matplotlib": ("pathdsl.report.figures.files",),
    "jsonschema": ("pathdsl.report.data.read",),
    "pyarrow": ("pathdsl.engine.data.sources", "pathdsl.lang.headers"),
    "datasets": ("pathdsl.engine.data.sources",),
    "pygls": ("pathdsl.editor",),
    "lsprotocol": ("pathdsl.editor",),
    "pygments": ("pathdsl.editor",),
    "IPython": ("pathdsl.editor",),
}
# A file is split where its subject splits; this catches one that holds several.
MAX_LINES = 600


@cache
def modules() -> dict[str, tuple[Path, ast.Module]]:
    """Every module of the package by its dotted name, with its path and its tree."""
    paths = sorted(p for p in PACKAGE.rglob("*.py") if "__pycache__" not in p.parts)
    return {dotted(p): (p, ast.parse(p.read_text(encoding="utf-8"))) for p in paths}


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST, module: str, is_package: bool = False) -> Iterator[str]:
    """Every name that an import statement reads, also inside functions and TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")
            home = base[: len(base) - node.level + is_package] if node.level else []
            stem = ".".join([*home, *([node.module] if node.module else [])])
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def imports() -> Iterator[tuple[str, str]]:
    """(module, name that it imports) of the whole package."""
    for module, (path, tree) in modules().items():
        for target in imported(tree, module, path.name == "__init__.py"):
            yield module, target


def runs_one_way(module: str, target: str) -> bool:
    """Whether a module may import a name of the package."""
    own, other = (*module.split("."), "")[1], target.split(".")[1]
    if other == own or own in ("", "__main__"):
        return True
    if module.startswith(SCRIPTS):
        return other in LEAVES or target.startswith(READ_BY_SCRIPTS)
    if other in LEAVES:
        return own in LEAVES[other]
    return own in ORDER and other in ORDER and ORDER.index(other) < ORDER.index(own)


def test_imports_run_one_way() -> None:
    wrong = [
        f"{module} imports {target}"
        for module, target in imports()
        if target.startswith("pathdsl.") and not runs_one_way(module, target)
    ]
    assert wrong == []


def test_nothing_imports_the_scripts_that_made_the_bundled_models() -> None:
    readers = {module for module, target in imports() if f"{target}.".startswith(SCRIPTS)}
    assert not [module for module in readers if not module.startswith(SCRIPTS)]


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from pathdsl.engine import runner", "pathdsl.lang.check.whole"),
        ("from pathdsl.engine.load import files", "pathdsl.models.build.training"),
        ("from pathdsl.engine.toy.model import ToyModel", "pathdsl.models.other"),
        ("from pathdsl.engine.load import files", "pathdsl.models.build.training"),
        ("from pathdsl.engine.toy.model import ToyModel", "pathdsl.models.other"),
        ("import pathdsl.score.judge", "pathdsl.plan.build"),
        ("def late():\n    from pathdsl.cli.main import main", "pathdsl.report.text.check"),
        ("from pathdsl.lang import ast", "pathdsl.tasks.base"),
        ("from pathdsl.models import bundled", "pathdsl.lang.check.whole"),
        ("from ...engine import run", "pathdsl.graph.model.shape"),
    ],
)
def test_a_turned_arrow_is_seen(source: str, module: str) -> None:
    assert not all(runs_one_way(module, target) for target in imported(ast.parse(source), module))


def test_no_imports_in_a_circle() -> None:
    graph = nx.DiGraph()
    for module, target in imports():
        # `from a.b import c` reads the module a.b.c where there is one, else the name c of a.b
        read = next((m for m in (target, target.rpartition(".")[0]) if m in modules()), module)
        if read != module:
            graph.add_edge(module, read)
    assert [sorted(c) for c in nx.strongly_connected_components(graph) if len(c) > 1] == []


def test_libraries_stay_in_their_homes() -> None:
    astray = [
        f"{module} imports {target}, wanted only in {', '.join(homes)}"
        for module, target in imports()
        if (homes := HOMES.get(target.split(".")[0]))
        and not any(module == home or module.startswith(home + ".") for home in homes)
    ]
    assert astray == []


def test_files_hold_one_subject() -> None:
    lengths = {m: len(path.read_text("utf-8").splitlines()) for m, (path, _) in modules().items()}
    assert {m: n for m, n in lengths.items() if n > MAX_LINES} == {}


@pytest.mark.parametrize(
    "verb",
    [["lint", QUICKSTART], ["fmt", "--check", QUICKSTART], ["explain", "PD203"], ["--help"]],
    ids=lambda verb: verb[0],
)
def test_light_verbs_never_import_heavy_libraries(verb: list[str]) -> None:
    heavy = ("torch", "transformers", "networkx", "sympy", "scipy", "safetensors")
    script = (
        "import sys\n"
        "from pathdsl.cli.main import main\n"
        "try:\n"
        f"    main({verb!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        f"print('heavy:', *sorted({{m.split('.')[0] for m in sys.modules}} & {set(heavy)!r}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "bug in pathdsl" not in done.stderr
    assert done.stdout.rstrip().splitlines()[-1] == "heavy:"


def test_no_file_of_the_project_names_a_place_on_one_machine() -> None:
    places = re.compile(r"(?<![\w.~])/(?:home|Users|work|root|opt|mnt|tmp)/\w")
    suffixes = {".py", ".toml", ".md", ".txt", ".circuit", ".lark", ".json", ".yaml"}
    folders = ("pathdsl", "tests", "docs", "grammars", "hypotheses", ".ci")
    files = [p for folder in folders for p in (ROOT / folder).rglob("*") if p.is_file()]
    files += [p for p in ROOT.glob("*") if p.is_file() and not p.name.startswith(".")]
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in files
        if path.suffix in suffixes or path.name in ("Makefile", "run")
        for match in places.finditer(path.read_text(encoding="utf-8"))
        if path != Path(__file__)
    ]
    assert found == []
