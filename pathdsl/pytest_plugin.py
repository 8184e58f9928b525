"""Claims as tests: `pytest hypotheses/` collects each claim of each `.circuit` file.

A file is vetted when it is collected (syntax, names, graph; no torch) and checked when its first
claim runs; all claims of a file are evaluated by that one check. A claim that came out as expected
passes, any other fails with its part of the report. A claim with `for` is one test, which fails
with the members that did not come out as expected: which members there are is known to the model,
not to the file. Faults of a file are errors of its collection, and faults that only show with rows
or weights are errors of its tests.

Files are collected where they are named, or lie in a folder that is named, on the command line or
in `testpaths`. `pytest` without either walks the whole tree and would run whatever models it meets:
there, `pathdsl_whole_tree = true` asks for it.

Loading this module imports nothing of pathdsl but the package itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathdsl.api import Result
    from pathdsl.errors import Diagnostic
    from pathdsl.lang.ast import ClaimDecl
    from pathdsl.lang.syntax.source import SourceFile

__all__ = ["CircuitFault", "CircuitFile", "Claim", "PathdslWarning"]

WHOLE_TREE = "pathdsl_whole_tree"


class PathdslWarning(pytest.PytestWarning):
    """A warning of pathdsl about a `.circuit` file, in the summary of the run."""


class CircuitFault(Exception):
    """A file, its data or its model is wrong; the text says what and where."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the command line and of the configuration."""
    group = parser.getgroup("pathdsl", "claims of .circuit files")
    group.addoption(
        "--pathdsl-set",
        action="append",
        default=[],
        metavar="NAME=N",
        help="Set `take` or `seed` of every task's data, as `pathdsl check --set` does.",
    )
    group.addoption(
        "--pathdsl-device",
        default="cpu",
        choices=("cpu", "cuda", "mps", "auto"),
        help="Where models run.",
    )
    group.addoption(
        "--pathdsl-allow-inconclusive",
        action="store_true",
        help="Skip an inconclusive claim instead of failing it.",
    )
    group.addoption(
        "--pathdsl-no-cache",
        action="store_true",
        help="Compute everything; read and keep no results.",
    )
    group.addoption(
        "--pathdsl-allow-outside",
        action="store_true",
        help="Files may name others outside of their own folder and of the one pytest runs in.",
    )
    parser.addini(
        WHOLE_TREE,
        "Collect .circuit files also where neither a path nor testpaths is given.",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse settings that cannot be read before anything is collected.

    A project that turns warnings of its own code into errors does not mean those about files: they
    are told, unless `-W error::pathdsl.pytest_plugin.PathdslWarning` asks for more.
    """
    category = f"{PathdslWarning.__module__}.{PathdslWarning.__qualname__}"
    config.addinivalue_line("filterwarnings", f"default::{category}")
    _settings(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist, which gets the paths as arguments, whether they were given."""
    node.workerinput["pathdsl_whole_tree"] = _whole_tree(node.config)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> CircuitFile | None:
    """The collector of a `.circuit` file; None for other files."""
    if file_path.suffix != ".circuit":
        return None
    config = parent.config
    if _whole_tree(config) and not config.getini(WHOLE_TREE):
        return None
    return CircuitFile.from_parent(parent, path=file_path)


class CircuitFile(pytest.File):
    """A `.circuit` file; a library has no claim and yields no test."""

    _checked: Result | None = None
    _refused: CircuitFault | None = None

    def collect(self) -> Iterator[Claim]:
        """A test for each claim; raises CircuitFault where the file is wrong."""
        from pathdsl.checking.prepare import vet_file
        from pathdsl.errors import Severity
        from pathdsl.lang.fence import FREE

        fence = FREE if self.config.getoption("pathdsl_allow_outside") else None
        program, found = vet_file(self.shown_path(), None, fence)
        errors = [fault for fault in found if fault.severity is Severity.ERROR]
        if errors:
            raise CircuitFault(_rendered(errors, program.sources))
        self.warn_of(found)
        for claim in program.claims:
            line = program.sources[claim.name.span.path].line_col(claim.name.span.start)[0]
            yield Claim.from_parent(self, name=claim.name.name, claim=claim, line=line)

    def shown_path(self) -> str:
        """The path as reports write it: relative to where pytest was started, if it lies there."""
        try:
            return str(self.path.relative_to(self.config.invocation_params.dir))
        except ValueError:
            return str(self.path)

    def checked(self) -> Result:
        """The result of the check of this file, which runs once.

        Raises CircuitFault where the file could not be judged.
        """
        from pathdsl.errors import Severity

        if self._checked is None:
            self._checked = _check(self.shown_path(), self.config)
            try:
                self.warn_of(self._checked.diagnostics)
            except CircuitFault as fault:
                self._refused = fault  # for every claim, not only for the one that ran first
        if self._refused is not None:
            raise self._refused
        result = self._checked
        errors = [fault for fault in result.diagnostics if fault.severity is Severity.ERROR]
        if errors:
            program = result.outcome.program
            raise CircuitFault(_rendered(errors, program.sources if program is not None else {}))
        return result

    def warn_of(self, found: Any) -> None:
        """Put the warnings among diagnostics into the summary of the run, each once.

        Raises CircuitFault where the run turns these warnings into errors.
        """
        from pathdsl.errors import Severity

        told = self.stash.setdefault(_TOLD, set())
        for fault in found:
            if fault.severity is Severity.WARNING and fault not in told:
                told.add(fault)
                try:
                    self.warn(PathdslWarning(_line(fault, self.shown_path())))
                except PathdslWarning:
                    why = "warnings about files are errors in this run (`-W error`)"
                    raise CircuitFault(f"{_rendered([fault], {})}\n{why}") from None

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Faults as pathdsl prints them, without a traceback."""
        if isinstance(excinfo.value, CircuitFault):
            return str(excinfo.value)
        return super().repr_failure(excinfo)


_TOLD = pytest.StashKey[set["Diagnostic"]]()


class Claim(pytest.Item):
    """One `claim` statement with all its members."""

    parent: CircuitFile

    def __init__(self, *, claim: ClaimDecl, line: int, **more: Any) -> None:
        super().__init__(**more)
        self.claim = claim
        self.line = line

    def setup(self) -> None:
        """Check the file, if no claim of it did: what stops the check is an error, no failure."""
        try:
            self.parent.checked()
        except CircuitFault as fault:
            pytest.fail(str(fault), pytrace=False)  # pytest asks `repr_failure` for calls only

    def runtest(self) -> None:
        """Raise NotAsExpected with the report of the members that are not as expected."""
        from pathdsl.lang.visible import visible
        from pathdsl.report.annotate.findings import excused, level_of, said
        from pathdsl.report.content.file import content_of

        result = self.parent.checked()
        claims = content_of(result.outcome).claims
        members = [one for one in claims if one.declared == self.name]
        for one in members:
            self.user_properties.append((f"verdict {one.name}", visible(said(one))))
        allowed = self.config.getoption("pathdsl_allow_inconclusive")
        if any(level_of(one, allowed) == "error" for one in members):
            raise NotAsExpected(_report(self.name, result))
        open_still = [one.name for one in members if excused(one, allowed)]
        if open_still:
            pytest.skip(f"inconclusive: {', '.join(open_still)}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The report of the claim, without a traceback."""
        if isinstance(excinfo.value, NotAsExpected):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the claim is written, and its title in reports."""
        return self.path, self.line - 1, f"claim {self.name}"


class NotAsExpected(Exception):
    """A claim did not come out as expected; the text is its report."""


def _whole_tree(config: pytest.Config) -> bool:
    """Whether pytest was started without a path and without `testpaths`."""
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        return bool(worker.get("pathdsl_whole_tree", False))
    return config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR


def _settings(config: pytest.Config) -> dict[str, int]:
    """`--pathdsl-set` read; pytest.UsageError for what cannot be."""
    texts = config.getoption("pathdsl_set")
    if not texts:
        return {}
    from pathdsl.checking.options import read_setting

    overrides: dict[str, int] = {}
    for text in texts:
        try:
            overrides |= [read_setting(text)]
        except ValueError as error:
            raise pytest.UsageError(f"--pathdsl-set {text}: {error}") from None
    return overrides


def _check(path: str, config: pytest.Config) -> Result:
    import pathdsl
    from pathdsl.checking.user_store import open_store

    settings = _settings(config)
    store = None if config.getoption("pathdsl_no_cache") else open_store()
    with warnings.catch_warnings():
        # What libraries warn of is no fault of a claim, also where a project turns warnings of
        # its own code into errors.
        warnings.simplefilter("default")
        try:
            return pathdsl.check(
                path,
                take=settings.get("take"),
                seed=settings.get("seed"),
                device=config.getoption("pathdsl_device"),
                allow_inconclusive=config.getoption("pathdsl_allow_inconclusive"),
                store=store,
                allow_outside=config.getoption("pathdsl_allow_outside"),
            )
        finally:
            if store is not None:
                store.close()


def _report(name: str, result: Result) -> str:
    """The report of the members of one claim that are not as expected, and how many are."""
    from pathdsl.lang.visible import visible
    from pathdsl.report.content.file import content_of
    from pathdsl.report.numbers import many
    from pathdsl.report.text.claims import claim_block
    from pathdsl.report.text.style import View

    claims = content_of(result.outcome).claims
    members = [one for one in claims if one.declared == name]
    wrong = [one for one in members if not one.as_expected]
    blocks = [claim_block(one, View()) for one in wrong]
    if len(members) > len(wrong):
        blocks.append(f"  {many(len(members) - len(wrong), 'other member')} as expected")
    return visible("\n\n".join(blocks))


def _rendered(faults: list[Diagnostic], known: Any) -> str:
    from pathdsl.lang.render import render
    from pathdsl.lang.syntax.source import sources_of

    texts: dict[str, SourceFile] = sources_of(faults, known)
    return render(faults, texts, style="full", colour=False).rstrip()


def _line(fault: Diagnostic, path: str) -> str:
    from pathdsl.lang.render import render
    from pathdsl.lang.syntax.source import sources_of

    shown = render([fault], sources_of([fault], {}), style="concise", colour=False).strip()
    return shown if fault.span is not None else f"{path}: {shown}"
