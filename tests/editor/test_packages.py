"""What other programs load: the extension of VS Code, the entry points of Pygments and Jupyter."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pathdsl.editor.jupyter import spec

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "grammars" / "vscode"
MANIFEST: dict[str, Any] = json.loads((EXTENSION / "package.json").read_text(encoding="utf-8"))
WANTED = {
    "type": "object",
    "required": ["name", "publisher", "version", "engines", "main", "contributes", "license"],
    "properties": {
        "name": {"pattern": "^[a-z0-9-]+$"},
        "publisher": {"pattern": "^[a-z0-9-]+$"},
        "version": {"pattern": r"^\d+\.\d+\.\d+$"},
        "engines": {"type": "object", "required": ["vscode"]},
        "main": {"type": "string"},
        "contributes": {"type": "object", "required": ["languages", "grammars", "configuration"]},
    },
}
"""What VS Code asks of a manifest, so far as it is asked here."""


def test_the_manifest_has_what_vs_code_asks_for() -> None:
    jsonschema.validate(MANIFEST, WANTED)
    contributes = MANIFEST["contributes"]
    (language,), (grammar,) = contributes["languages"], contributes["grammars"]
    assert language["id"] == grammar["language"] and language["extensions"] == [".circuit"]
    for name in (MANIFEST["main"], language["configuration"], grammar["path"]):
        assert (EXTENSION / name).is_file(), name
    written = json.loads((EXTENSION / grammar["path"]).read_text(encoding="utf-8"))
    assert written["scopeName"] == grammar["scopeName"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert MANIFEST["version"] == project["version"]
    client = (EXTENSION / MANIFEST["main"]).read_text(encoding="utf-8")
    imported = set(re.findall(r'require\("([\w-]+)', client))
    assert imported - {"vscode"} == set(MANIFEST["dependencies"])
    (setting,) = contributes["configuration"]["properties"].items()
    assert setting[0] == "circuit.command" and setting[1]["default"] == ["pathdsl", "lsp"]
    assert (EXTENSION / "LICENSE").read_text("utf-8") == (ROOT / "LICENSE").read_text("utf-8")


def test_the_language_of_the_extension_is_this_one() -> None:
    configured = json.loads((EXTENSION / "language-configuration.json").read_text("utf-8"))
    assert configured["comments"] == {"lineComment": "#"}
    word = re.compile(configured["wordPattern"])
    assert [word.fullmatch(one) is not None for one in ("a9.h6", "m3", "main", "9")] == [
        True, True, True, False,
    ]  # fmt: skip


@pytest.mark.long
def test_the_extension_packs(tmp_path: Path) -> None:
    vsce = shutil.which("vsce")
    if vsce is None:
        pytest.skip("vsce is not installed")
    folder = shutil.copytree(EXTENSION, tmp_path / "vscode")
    subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=folder, check=True)
    out = tmp_path / "pathdsl.vsix"
    command = [vsce, "package", "--allow-missing-repository", "-o", str(out)]
    subprocess.run(command, cwd=folder, check=True)
    inside = zipfile.ZipFile(out).namelist()
    for name in (MANIFEST["main"], "./circuit.tmLanguage.json", "./package.json"):
        assert f"extension/{name.removeprefix('./')}" in inside
    assert any("node_modules/vscode-languageclient/" in name for name in inside)


def test_the_client_is_javascript() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    subprocess.run([node, "--check", str(EXTENSION / MANIFEST["main"])], check=True)


def test_jupyterlab_learns_the_file_type(tmp_path: Path) -> None:
    folder = ROOT / "grammars" / "jupyterlab"
    manifest = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    assert manifest["version"] == MANIFEST["version"]
    built = manifest["jupyterlab"]["_build"]
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    # What JupyterLab does with an extension that is built already.
    script = f"""
        require("vm").runInThisContext(require("fs").readFileSync({str(folder / built["load"])!r}));
        globalThis._JUPYTERLAB[{manifest["name"]!r}].init({{}});
        globalThis._JUPYTERLAB[{manifest["name"]!r}].get({built["extension"]!r}).then((made) => {{
          const plugin = made().default;
          const docRegistry = {{ addFileType: (type) => console.log(JSON.stringify(type)) }};
          plugin.activate({{ docRegistry }});
        }});
    """
    done = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["extensions"] == [".circuit"]
    assert told["mimeTypes"] == spec()["pathdsl"]["mime_types"]


def test_the_entry_points_lead_somewhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for group, name in (("pygments.lexers", "circuit"), ("jupyter_lsp_spec_v1", "pathdsl")):
        module, _, member = project["entry-points"][group][name].partition(":")
        if group == "pygments.lexers":
            pytest.importorskip("pygments")
        assert callable(getattr(import_module(module), member))


def test_jupyter_starts_the_same_server() -> None:
    (found,) = spec().values()
    assert found["argv"] == [sys.executable, "-m", "pathdsl", "lsp"]
    assert found["languages"] == [MANIFEST["contributes"]["languages"][0]["id"]]
    schema = pytest.importorskip("jupyter_lsp.schema")
    assert list(schema.LANGUAGE_SERVER_SPEC_MAP.iter_errors(spec())) == []
