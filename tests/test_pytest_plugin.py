"""`pytest hypotheses/` with the plugin, in processes and inside this one."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import pathdsl
from pathdsl.engine.store.store import Store
from tests.cli.run import BROKEN, INDUCTION, LIBRARY

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]
PLUGIN = ("-p", "pathdsl.pytest_plugin", "-p", "no:cacheprovider", "-W", "default")
WRONG = "claim wrong: mean(LD(keep(none))) >= 1 at 95% confidence\n"
EACH = (
    "claim each for h in {a0.h1, a0.h0}: "
    "mean(LD(reference) - LD(treat(through(h)))) > 1 at 95% confidence\n"
)
BAD_ROWS = INDUCTION.replace("induction(take: 40, seed: 0, length: 16)", 'jsonl("rows.jsonl")')


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a check imports: `pytester` forgets modules after a run, and some load only once."""
    path = tmp_path_factory.mktemp("warm") / "x.circuit"
    path.write_text(INDUCTION + EACH)
    with Store(path.with_name("store"), 10**8) as store:
        assert pathdsl.check(path, store=store).claims
    str(pathdsl.check(path, take=20))


@pytest.fixture(autouse=True)
def only_this_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same whether or not the entry point of pathdsl is installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def files(pytester: pytest.Pytester, **texts: str) -> Path:
    folder = pytester.path / "hypotheses"
    folder.mkdir()
    for name, text in texts.items():
        (folder / f"{name}.circuit").write_text(text)
    return folder


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*PLUGIN, *arguments)


def test_each_claim_is_a_test(pytester: pytest.Pytester) -> None:
    files(pytester, a=INDUCTION, lib=LIBRARY)
    done = run(pytester, "hypotheses", "-v")
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines(
        ["hypotheses/a.circuit::sufficient PASSED*", "hypotheses/a.circuit::control PASSED*"]
    )


def test_files_outside_are_allowed_on_demand(pytester: pytest.Pytester) -> None:
    (pytester.path / "lib.circuit").write_text(LIBRARY)
    work = pytester.path / "work"
    work.mkdir()
    (work / "a.circuit").write_text('use "../lib.circuit"\n' + INDUCTION)
    pytester.chdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        done = run(pytester, "a.circuit")
        done.assert_outcomes(errors=1)
        done.stdout.fnmatch_lines(["*PD664*"])
        run(pytester, "a.circuit", "--pathdsl-allow-outside").assert_outcomes(passed=2)


def test_a_claim_not_as_expected_fails_with_its_report(pytester: pytest.Pytester) -> None:
    files(pytester, a=INDUCTION + WRONG + EACH)
    done = run(pytester, "hypotheses")
    done.assert_outcomes(passed=2, failed=2)
    done.stdout.fnmatch_lines(
        [
            "*_ claim wrong _*",
            "  refuted       wrong  NOT as expected",
            "*wanted >= 1   n = 40, 95% confidence",
            "*_ claim each _*",
            "  refuted       each[[]a0.h0[]]  NOT as expected",
            "  1 other member as expected",
        ]
    )
    assert "each[a0.h1]  NOT" not in done.stdout.str()
    assert "Traceback" not in done.stdout.str() and "pytest_plugin.py" not in done.stdout.str()


def test_the_file_is_checked_once(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pathdsl import api

    calls: list[str] = []
    check_file = api.check_file
    monkeypatch.setattr(
        api, "check_file", lambda path, options: calls.append(path) or check_file(path, options)
    )
    files(pytester, a=INDUCTION)
    run(pytester, "hypotheses").assert_outcomes(passed=2)
    assert [Path(path).as_posix() for path in calls] == ["hypotheses/a.circuit"]


def test_one_claim_by_name(pytester: pytest.Pytester) -> None:
    files(pytester, a=INDUCTION + WRONG)
    run(pytester, "hypotheses/a.circuit::sufficient").assert_outcomes(passed=1)
    run(pytester, "hypotheses", "-k", "wrong").assert_outcomes(failed=1, deselected=2)


def test_files_of_one_name_from_another_folder(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (pytester.mkdir(name) / "x.circuit").write_text(INDUCTION)
    monkeypatch.chdir(pytester.mkdir("elsewhere"))
    done = run(pytester, "../one", "../two", "-v", "-k", "control")
    done.assert_outcomes(passed=2, deselected=2)
    done.stdout.fnmatch_lines(
        ["*one/x.circuit::control PASSED*", "*two/x.circuit::control PASSED*"]
    )


def test_faults_are_errors_of_the_collection(pytester: pytest.Pytester) -> None:
    files(pytester, a=INDUCTION, b=BROKEN, c=INDUCTION.replace("a1.h2", "a7.h2"))
    done = run(pytester, "hypotheses")
    done.assert_outcomes(errors=2)
    done.stdout.fnmatch_lines(["*ERROR collecting*b.circuit*", "error?PD003?*"])
    done.stdout.fnmatch_lines(["*ERROR collecting*c.circuit*", "error?PD2*", "*c.circuit:*"])
    assert "Traceback" not in done.stdout.str() and "pytest_plugin.py" not in done.stdout.str()


def test_faults_of_the_rows_are_errors_of_the_tests(pytester: pytest.Pytester) -> None:
    (files(pytester, a=BAD_ROWS) / "rows.jsonl").write_text(
        '{"id": "r", "prompt": "0 1", "prompt_other": "1 1", "answer": 1, "wrong": 2}\n'
    )
    done = run(pytester, "hypotheses")
    done.assert_outcomes(errors=1)  # of the file: its rows are looked at before anything is run
    done.stdout.fnmatch_lines(["*ERROR collecting hypotheses/a.circuit*", "error?PD3*"])
    assert "Traceback" not in done.stdout.str() and "pytest_plugin.py" not in done.stdout.str()


def test_warnings_are_in_the_summary(pytester: pytest.Pytester) -> None:
    files(pytester, a=INDUCTION)
    done = run(pytester, "hypotheses", "--pathdsl-set", "take=20")
    done.stdout.fnmatch_lines(["*PathdslWarning: *PD432*"])
    category = "pathdsl.pytest_plugin.PathdslWarning"
    strict = run(pytester, "hypotheses", "--pathdsl-set", "take=20", "-W", f"error::{category}")
    strict.assert_outcomes(errors=2)
    assert "Traceback" not in strict.stdout.str() and "pytest_plugin.py" not in strict.stdout.str()
    run(pytester, "hypotheses", "-W", "error").assert_outcomes(passed=2)


def test_options(pytester: pytest.Pytester) -> None:
    files(pytester, a=INDUCTION)
    done = run(pytester, "hypotheses", "--pathdsl-set", "take=20", "--pathdsl-no-cache")
    done.assert_outcomes(failed=2, warnings=done.parseoutcomes().get("warnings", 0))
    done.stdout.fnmatch_lines(["*inconclusive*NOT as expected*"])
    allowed = run(
        pytester, "hypotheses", "--pathdsl-set=take=20", "--pathdsl-allow-inconclusive", "-rs"
    )
    assert allowed.parseoutcomes()["skipped"] == 2
    allowed.stdout.fnmatch_lines(["SKIPPED*inconclusive: sufficient*"])


@pytest.mark.parametrize("text", ["rows=3", "take", "take=many", "take=0", "take=²"])
def test_settings_that_cannot_be_read(pytester: pytest.Pytester, text: str) -> None:
    done = run(pytester, f"--pathdsl-set={text}")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: --pathdsl-set {text}: *"])


def test_the_whole_tree_only_where_it_is_asked_for(pytester: pytest.Pytester) -> None:
    files(pytester, a=INDUCTION)
    pytester.makepyfile("def test_python(): pass")
    run(pytester, "--collect-only", "-q").stdout.fnmatch_lines(["1 test collected*"])
    run(pytester, "--collect-only", "-q", ".").stdout.fnmatch_lines(["3 tests collected*"])
    pytester.makeini("[pytest]\ntestpaths = hypotheses")
    run(pytester, "--collect-only", "-q").stdout.fnmatch_lines(["2 tests collected*"])
    pytester.makeini("[pytest]\npathdsl_whole_tree = true")
    run(pytester, "--collect-only", "-q").stdout.fnmatch_lines(["3 tests collected*"])


def test_workers_of_xdist(pytester: pytest.Pytester) -> None:
    files(pytester, a=INDUCTION + WRONG)
    pytester.makepyfile("def test_python(): pass")
    arguments = (*PLUGIN, "-p", "xdist.plugin", "-n", "1")
    pytester.runpytest_subprocess(*arguments, "hypotheses").assert_outcomes(passed=2, failed=1)
    pytester.runpytest_subprocess(*arguments).assert_outcomes(passed=1)


def test_numbers_reach_junit_files(pytester: pytest.Pytester) -> None:
    files(pytester, a=INDUCTION)
    run(pytester, "hypotheses", "--junitxml=j.xml").assert_outcomes(passed=2)
    root = ET.parse(pytester.path / "j.xml")
    found = {p.attrib["name"]: p.attrib["value"] for p in root.iter("property")}
    assert found["verdict sufficient"].startswith("claim `sufficient`: supported, as expected")


def test_loading_costs_nothing() -> None:
    script = (
        "import sys, pathdsl.pytest_plugin\n"
        "print(sorted(m for m in sys.modules if m.startswith('pathdsl')))\n"
        "print({'torch', 'numpy', 'lark', 'transformers'} & set(sys.modules))\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['pathdsl', 'pathdsl.pytest_plugin']", "set()"]


def test_collecting_imports_no_torch(pytester: pytest.Pytester) -> None:
    files(pytester, a=INDUCTION)
    pytester.makeconftest(
        "import sys\n"
        "def pytest_sessionfinish():\n"
        "    print('heavy:', {'torch', 'transformers', 'networkx'} & set(sys.modules))\n"
    )
    done = pytester.runpytest_subprocess(*PLUGIN, "hypotheses", "--collect-only", "-q", "-s")
    done.stdout.fnmatch_lines(["hypotheses/a.circuit::sufficient", "*heavy: set()*"])


def test_the_entry_point_can_be_switched_off(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ((name, module),) = project["entry-points"]["pytest11"].items()
    assert (name, module) == ("pathdsl", "pathdsl.pytest_plugin")
    site = pytester.mkdir("site")
    installed = site / "stand_in-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: stand-in\nVersion: 1\n")
    (installed / "entry_points.txt").write_text(f"[pytest11]\n{name} = {module}\n")
    files(pytester, a=INDUCTION)
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{site}")
    arguments = ("hypotheses", "--collect-only", "-q")
    on = pytester.runpytest_subprocess(*arguments)
    on.stdout.fnmatch_lines(["2 tests collected*"])
    off = pytester.runpytest_subprocess(*arguments, "-p", "no:pathdsl")
    off.stdout.fnmatch_lines(["no tests collected*"])


def test_the_tests_of_this_project_collect_no_circuit_file() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "pathdsl.pytest_plugin", "--collect-only",
               "-q", "tests/cases", "tests/docs/test_limits.py"]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "tests/docs/test_limits.py" in done.stdout, done.stdout + done.stderr
    assert ".circuit::" not in done.stdout and "PD" not in done.stderr
