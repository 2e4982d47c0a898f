"""The pytest plugin: its hooks. What they do is in `gradcheck.plugin`, and in `gradcheck.memory`.

pytest imports every plugin on every run, so this module imports the standard library and pytest alone, and anything
else only once a gradient has been checked, or an option asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradcheck.memory import Gathering
    from gradcheck.plugin.options import Options
    from gradcheck.plugin.results import Results
    from gradcheck.report import Report

__all__: list[str] = []

_OPTIONS: pytest.StashKey[Options] = pytest.StashKey()
_RESULTS: pytest.StashKey[Results] = pytest.StashKey()
_GATHERING: pytest.StashKey[Gathering] = pytest.StashKey()
_WARM: pytest.StashKey[bool] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare options and ini keys."""
    from gradcheck.plugin.options import add_options

    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, for suites that run with ``--strict-markers``, and read the options."""
    from gradcheck.plugin.options import Options

    config.addinivalue_line("markers", "gradcheck: checks a hand-written gradient (select with -m gradcheck)")
    options = config.stash[_OPTIONS] = Options.of(config)
    if options.alone:
        config.args = []
    if options.asks:
        _results(config)
    config.pluginmanager.register(_Listener(config))


def _results(config: pytest.Config) -> Results:
    """Give what the session has found out; made when there is something to find out."""
    if _RESULTS not in config.stash:
        from gradcheck.plugin.results import Results

        config.stash[_RESULTS] = Results.of(config.stash[_OPTIONS], config.rootpath)
    return config.stash[_RESULTS]


def pytest_report_header() -> str:
    """Name the versions that a bug report needs."""
    packages = ("gradcheck", "jax", "numpy", "python-flint")
    return "gradcheck: " + ", ".join(f"{name} {_version(name)}" for name in packages)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@pytest.hookimpl(tryfirst=True)  # before -k and -m choose among the items
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the gradients that options name."""
    targets = config.stash[_OPTIONS].targets
    if targets:
        from gradcheck.plugin.targets import collect

        items.extend(collect(session, targets))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start JAX before the first test that might use it, off the clock of Hypothesis's deadline of 200 ms.

    Only in a session in which somebody has made a rule; others never load it.
    """
    if "gradcheck.adapters" in sys.modules and not item.config.stash.get(_WARM, False):
        item.config.stash[_WARM] = True
        import gradcheck.memory  # noqa: F401  it takes down what a check comes to
        from gradcheck.checks import warm_up

        warm_up()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Gather what the checks of a test come to, and fail it if a gradient has come too close to being wrong."""
    from gradcheck.observing import observed

    if _GATHERING in item.stash:  # of an earlier try, where tests are run again
        del item.stash[_GATHERING]

    def gather(report: Report) -> None:
        if _GATHERING not in item.stash:
            from gradcheck.memory import Gathering

            item.stash[_GATHERING] = Gathering(seen=item.config.stash[_OPTIONS].wants_reports)
        item.stash[_GATHERING].add(report)

    with observed(gather):
        yield
    if _GATHERING in item.stash:
        worse = _results(item.config).regression(item.nodeid, item.stash[_GATHERING])
        if worse:
            pytest.fail(worse, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the failures a test ends with, which under ``@given`` are the shrunk ones, and say where they are."""
    failed = list(_keep(call.excinfo.value)) if call.excinfo is not None else []
    report = yield  # pytest writes the exceptions out here, and they say how to replay what was kept
    paths = [one.saved for one in failed if one.saved is not None]
    if paths:
        report.sections.append(("gradcheck", "\n".join(f"kept: {path}" for path in paths)))
    if call.when == "call" and _GATHERING in item.stash:
        gathering = item.stash[_GATHERING]
        for one in failed:
            gathering.kept(one)
        _results(item.config).attach(item, report, gathering)
    if call.when == "teardown" and _GATHERING in item.stash:  # items live as long as the session
        del item.stash[_GATHERING]
    return report


def _keep(error: BaseException) -> Iterator[Report]:
    """Keep the reports of failed checks in an exception, or in a group of them as Hypothesis raises."""
    errors: Any = sys.modules.get("gradcheck.errors")
    if errors is None:  # then no gradient was checked
        return
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _keep(part)
    elif isinstance(error, errors.CheckFailed):
        from gradcheck.report import keep

        failed: Any = error
        if failed.report.saved is None:
            failed.report = keep(failed.report)
        yield failed.report


class _Listener:
    """Hears of the report of every test, those of workers too; a hook by itself is not told of which session."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what was found out about gradients."""
        if report.when == "call" and any(name == "gradcheck" for name, _ in report.user_properties):
            _results(self._config).take(report)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker of pytest-xdist has to show of its reports."""
    packed = getattr(node, "workeroutput", {}).get("gradcheck")
    if packed:
        _results(node.config).sections.unpack(packed)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the files that were asked for; a worker hands over what it knows to the controller, which writes them."""
    results = session.config.stash.get(_RESULTS, None)
    if results is None:
        return
    output: dict[str, str] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["gradcheck"] = results.sections.packed()
    elif not results.finish():  # the summary says what, and what else the session has to say comes out all the same
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Summarise what failed; the rest if it was asked for."""
    if _RESULTS in config.stash:
        from gradcheck.plugin.summary import summary

        lines = summary(config.stash[_RESULTS])
        if lines:
            terminalreporter.write_sep("=", "gradcheck")
            terminalreporter.write_line("\n".join(lines))
