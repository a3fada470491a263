"""The table in which the fault suite ends: what was injected, how often, and what broke."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import asdict
from typing import Any

import pytest
from attacks.scoring import Attacked, render

ROWS = pytest.StashKey[list[Attacked]]()

OUTCOME = pytest.StashKey[str]()

Score = Callable[[Iterable[Attacked]], None]


@pytest.fixture
def score(request: pytest.FixtureRequest) -> Score:
    """Enter rows into the table, and fail if a promise was broken in one of them."""

    def enter(rows: Iterable[Attacked]) -> None:
        found = list(rows)
        request.config.stash[ROWS] += found
        assert [text for row in found for text in row.violations] == []
        assert all(row.injected for row in found), "an attack that injected nothing shows nothing"

    return enter


@pytest.fixture
def field_failure(request: pytest.FixtureRequest, score: Score) -> Iterator[None]:
    """Enter the test itself: it does what made another logger fail."""
    yield
    outcome = request.node.stash[OUTCOME]
    if outcome != "skipped":
        row = Attacked("field failures", "field failures", injected=1, runs=1)
        row.violated(["it happens here too"] if outcome == "failed" else [], request.node.name)
        score([row])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call":
        item.stash[OUTCOME] = report.outcome
    return report


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    output: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if output is not None:  # one of several processes, which the one that prints asks
        output["attacked"] = [asdict(row) for row in session.config.stash[ROWS]]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    output: dict[str, Any] = getattr(node, "workeroutput", {})
    config: pytest.Config = node.config
    config.stash[ROWS].extend(Attacked(**row) for row in output.get("attacked", []))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.stash[ROWS]:
        terminalreporter.section("what was attacked")
        rows = config.stash[ROWS]
        terminalreporter.write_line(render(rows))
