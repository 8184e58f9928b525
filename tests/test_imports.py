"""The architecture as tests: imports run one way, heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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
    "engine",
    "score",
    "checking",
    "report",
    "api",
    "cli",
    "pytest_plugin",
]
# Leaves: they import only one another, and may be used by the packages named here.
LEAVES = {
    "draws": {"graph", "engine", "score", "tasks", "models", "checking"},
    "limits": {
        "lang",
        "graph",
        "plan",
        "engine",
        "score",
        "report",
        "cli",
        "tasks",
        "draws",
        "checking",
    },
    "reading": {"lang", "graph", "engine", "score", "report", "api", "cli", "checking"},
    "strictjson": {"lang", "graph", "engine", "score", "report", "api", "cli", "checking"},
    "tasks": {"lang", "engine", "report", "cli", "models"},
    "models": {"engine", "cli", "score", "checking"},
    "whole": {"engine", "score", "cli", "checking"},
}
# A library is imported in these places only (prefixes of dotted module names).
HOMES = {
    "lark": ("pathdsl.lang",),
    "networkx": ("pathdsl.graph.network", "pathdsl.report.data.graph", "pathdsl.cli.graph"),
    "sympy": ("pathdsl.score", "pathdsl.report.formulas"),
    "scipy": ("pathdsl.score", "pathdsl.engine", "pathdsl.checking"),
    "torch": ("pathdsl.engine", "pathdsl.checking.doctor", "pathdsl.models.build"),
    "transformers": ("pathdsl.engine", "pathdsl.models.build"),
    "safetensors": ("pathdsl.engine", "pathdsl.models"),
    "huggingface_hub": ("pathdsl.engine", "pathdsl.checking.doctor"),
    "typer": ("pathdsl.cli",),
    "rich": ("pathdsl.cli", "pathdsl.report"),
    "jinja2": ("pathdsl.report.page.template",),
    "markupsafe": ("pathdsl.report",),
    "jsonschema": ("pathdsl.report.data.read",),
}
MAX_LINES = 400
LONG: dict[str, int] = {}  # module to lines, with the reason beside it


def modules() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if "__pycache__" not in p.parts)


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST, module: str, is_package: bool) -> Iterator[str]:
    """Every module that an import statement names, also inside functions and TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")
            home = base[: len(base) - node.level + is_package] if node.level else []
            stem = ".".join([*home, *([node.module] if node.module else [])])
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def turned_round(source: str, module: str, is_package: bool = False) -> list[str]:
    """The imports of a module that run against the order."""
    own = module.split(".")[1] if "." in module else ""
    wrong = []
    for target in imported(ast.parse(source), module, is_package):
        if not target.startswith("pathdsl."):
            continue
        other = target.split(".")[1]
        if other == own or own in ("", "__main__"):
            continue
        if other in LEAVES:
            allowed = own in LEAVES[other]
        elif own in ORDER and other in ORDER:
            allowed = ORDER.index(other) < ORDER.index(own)
        else:
            allowed = False
        if not allowed:
            wrong.append(f"{module} imports {target}")
    return wrong


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_run_one_way(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert turned_round(source, dotted(path), path.name == "__init__.py") == []


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from pathdsl.engine import runner", "pathdsl.lang.check.whole"),
        ("import pathdsl.score.judge", "pathdsl.plan.build"),
        ("def late():\n    from pathdsl.cli.main import main", "pathdsl.report.text.check"),
        ("from pathdsl.lang import ast", "pathdsl.tasks.base"),
        ("from pathdsl.models import bundled", "pathdsl.lang.check.whole"),
        ("from ...engine import run", "pathdsl.graph.model.shape"),
    ],
)
def test_a_turned_arrow_is_seen(source: str, module: str) -> None:
    assert turned_round(source, module)


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_libraries_stay_in_their_homes(path: Path) -> None:
    tree, module = ast.parse(path.read_text(encoding="utf-8")), dotted(path)
    for target in imported(tree, module, path.name == "__init__.py"):
        homes = HOMES.get(target.split(".")[0])
        if homes is not None:
            inside = any(module == home or module.startswith(home + ".") for home in homes)
            assert inside, f"{module} imports {target}, wanted only in {', '.join(homes)}"


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_files_stay_short(path: Path) -> None:
    most = LONG.get(path.relative_to(PACKAGE).as_posix(), MAX_LINES)
    n_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert n_lines <= most, f"{dotted(path)} has {n_lines} lines; split it"


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
