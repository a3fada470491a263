"""A base class for agents: `run` is what an agent does, `execute` does it and records it."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from provenance_log.instrument import AgentRun, ended
from provenance_log.tracker import ProvenanceTracker, get_tracker


class BaseAgent(ABC):
    """An agent whose executions are sessions, unless `enable_provenance` is false.

    A failure to record never reaches the agent; see `ProvenanceTracker`.
    """

    def __init__(
        self,
        db_path: Path | str | None = None,
        enable_provenance: bool = True,
        tracker: ProvenanceTracker | None = None,
    ) -> None:
        """Use `tracker`, or the one of this process, which `db_path` is handed to."""
        self.db_path = None if db_path is None else Path(db_path)
        self.enable_provenance = enable_provenance
        self.results: dict[str, Any] = {}
        self._tracker = tracker

    @property
    def tracker(self) -> ProvenanceTracker | None:
        """Where this agent records; None where it does not."""
        if not self.enable_provenance:
            return None
        if self._tracker is None:
            self._tracker = get_tracker(self.db_path)
        return self._tracker

    @abstractmethod
    def run(self, query: str, **kwargs: Any) -> Any:
        """Do the agent's work; may be a coroutine function. A direct call is not recorded."""

    def execute(self, query: str, **kwargs: Any) -> Any:
        """Run the agent inside a session of its own, and return or raise what `run` does.

        The session's agent type is the name of the class. Where `run` is a coroutine function,
        so is this.
        """
        tracker = self.tracker
        if tracker is None:
            return self.run(query, **kwargs)
        if inspect.iscoroutinefunction(self.run):
            return self._execute_later(tracker, query, kwargs)
        run = AgentRun(tracker, type(self).__name__, query, kwargs)
        with ended(run) as results, run.resumed():
            results.append(self.run(query, **kwargs))
            return results[-1]

    async def _execute_later(
        self, tracker: ProvenanceTracker, query: str, kwargs: dict[str, Any]
    ) -> Any:
        run = AgentRun(tracker, type(self).__name__, query, kwargs)
        with ended(run) as results, run.resumed():
            results.append(await self.run(query, **kwargs))
            return results[-1]

    def log(self, message: str, level: str = "INFO") -> None:
        """Print a message, and record it in the current session."""
        print(f"[{type(self).__name__}] [{level}] {message}")  # noqa: T201 - what `log` is for
        if self.tracker is not None:
            name = f"log_{level.lower()}"
            self.tracker.record_event("log", name, {"message": message, "level": level})
