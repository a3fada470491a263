"""Record what a Python agent does: sessions, tool calls, decisions, transformations, links.

Every call appends one line to the log of the current session and returns when it is there, so a
process that is killed loses nothing it has recorded. The current session is kept in a context
variable: threads, asyncio tasks and nested agents each have their own, and a session that is
started while another is current is its child.

A failure to record never reaches the agent: it is told once on stderr and counted in the session.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance_log.errors import ProvlogError, SettingsInvalid, StoreNotFound
from provenance_log.samples import described, kept_output, size_of
from provenance_log.settings import Settings, default_settings, load_settings
from provenance_log.store import ROOT_BELOW_PROJECT, find_root, initialise_store, open_store
from provenance_log.tracked_session import (
    READ_ONLY_EVENTS,
    ToolCall,
    TrackedSession,
    open_session,
    status_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from provenance_log.settings import DetailLevel
    from provenance_log.store import Store


class ProvenanceTracker:
    """Records into one store; one instance serves every thread and task of a process.

    `detail_level` is how much of outputs is kept: their type (`minimal`), a sample (`standard`),
    or all (`full`); by default what `config.yaml` says. With `is_strict`, a failure to record is
    raised instead of told and counted.
    """

    def __init__(
        self,
        db_path: Path | str | None = None,
        manifest_dir: Path | str | None = None,
        detail_level: DetailLevel | None = None,
        *,
        is_strict: bool = False,
    ) -> None:
        """Remember where to record; the store is found, or made, when the first session starts.

        `manifest_dir` is the root of the store, by default the nearest one, else
        `.claude/provenance` in the working directory. `db_path` becomes the database of a store
        that is made now, and is noted in each session.
        """
        self.db_path = None if db_path is None else Path(db_path)
        self.manifest_dir = None if manifest_dir is None else Path(manifest_dir)
        self.is_strict = is_strict
        self.failure_count = 0
        """Calls that could not be recorded, in this process."""
        self._detail_level = detail_level
        self._current: ContextVar[TrackedSession | None] = ContextVar("session", default=None)
        self._opening = threading.Lock()
        self._store: Store | None = None
        self._settings: Settings | None = None

    @property
    def store(self) -> Store:
        """The store that is recorded into; made where there is none. Raises `ProvlogError`."""
        with self._opening:
            if self._store is None:
                self._store = _open_or_make(self.manifest_dir, self.db_path)
            return self._store

    @property
    def settings(self) -> Settings:
        """What the store's files of settings say; the defaults where they can't be read."""
        if self._settings is None:
            root = self.store.root
            try:
                self._settings = load_settings(root)
            except SettingsInvalid as error:
                self._settings = default_settings()
                self._failed(error)
        return self._settings

    @property
    def detail_level(self) -> DetailLevel:
        """How much of outputs is kept."""
        return self._detail_level or self.settings.detail_level

    @property
    def current_session(self) -> dict[str, Any] | None:
        """What is known of the current session, or None where there is none.

        Its keys are session_id, agent_type, query, kwargs, start_time, parent_session_id, depth.
        """
        session = self._own_session()
        return None if session is None else session.facts

    def start_session(
        self,
        agent_type: str,
        query: str = "",
        kwargs: Mapping[str, Any] | None = None,
        parent_session_id: str | None = None,
        **header: Any,
    ) -> str:
        """Start a session, make it the current one, and return its id.

        Its parent is `parent_session_id`, else the session that is current, also one that was
        inherited from the process this one was forked from. `header` may hold agent_version,
        model, goals and project.
        """
        session = self.begin_session(agent_type, query, kwargs, parent_session_id, **header)
        self._current.set(session)
        return session.session_id

    def begin_session(
        self,
        agent_type: str,
        query: str = "",
        kwargs: Mapping[str, Any] | None = None,
        parent_session_id: str | None = None,
        **header: Any,
    ) -> TrackedSession:
        """Start a session as `start_session` does, without making it the current one."""
        around = self._current.get()
        session = TrackedSession(
            agent_type, query, dict(kwargs or {}), around, parent_session_id, header
        )
        self._guarded(
            session, lambda: open_session(session, self.store, self.settings, self.db_path)
        )
        return session

    @contextmanager
    def resumed(self, session: TrackedSession) -> Iterator[None]:
        """Make a session the current one for as long as the block runs."""
        token = self._current.set(session)
        try:
            yield
        finally:
            self._current.reset(token)

    def end_session(self, success: bool, result: Any = None, error: str | None = None) -> None:
        """End the current session; the one around it is current again.

        The last line is on the disk when this returns. Without a current session nothing happens.
        """
        session = self._own_session()
        if session is None:
            return
        self._guarded(
            session,
            lambda: session.end(
                success=success, result=result, error=error, detail_level=self.detail_level
            ),
        )
        self._current.set(session.parent)

    def record_event(
        self, event_type: str, event_name: str, details: Mapping[str, Any] | None = None
    ) -> str | None:
        """Record an event of any kind, and return its id; None without a current session.

        Of `details`, `status` or `success`, `error`, `duration_ms` and `files_affected` are taken
        for what they are called.
        """
        given = dict(details or {})
        return self._record(
            event_type,
            event_name,
            lambda: given,
            status=status_of(given),
            error=given.get("error"),
            duration_ms=given.get("duration_ms"),
            files_affected=given.get("files_affected"),
            is_read_only=event_type in READ_ONLY_EVENTS,
        )

    def record_tool_call(
        self,
        tool_type: str,
        tool_name: str,
        input_params: Mapping[str, Any],
        output_data: Any = None,
        duration_ms: float | None = None,
        cache_hit: bool = False,
        success: bool = True,
        error: str | BaseException | None = None,
        **more: Any,
    ) -> str | None:
        """Record a call of a tool or an interface, and return the id of its event.

        `more` may hold cache_key, cache_source, retry_count, rate_limit_delay_ms, error_type,
        status (else by `success`), files_affected and read_only; anything else is kept too.
        """
        status = more.pop("status", None) or ("success" if success else "failure")
        files_affected, is_read_only = (
            more.pop("files_affected", None),
            more.pop("read_only", False),
        )
        return self._record(
            "tool_call",
            f"{tool_type}.{tool_name}",
            lambda: {
                "tool_type": tool_type,
                "tool_name": tool_name,
                "input_params": input_params,
                "output_data": kept_output(output_data, self.detail_level),
                "output_size_bytes": size_of(output_data),
                "cache_hit": cache_hit,
                **more,
            },
            status=status,
            error=error,
            duration_ms=duration_ms,
            files_affected=files_affected,
            is_read_only=bool(is_read_only),
        )

    def record_decision(
        self,
        decision_type: str,
        decision_point: str,
        input_values: Mapping[str, Any],
        branch_taken: str,
        branches_available: Sequence[str],
        reason: str,
        **more: Any,
    ) -> str | None:
        """Record a decision, and return the id of its event.

        `more` may hold condition_evaluated.
        """
        return self._record(
            "decision",
            decision_point,
            lambda: {
                "decision_type": decision_type,
                "decision_point": decision_point,
                "input_values": input_values,
                "branch_taken": branch_taken,
                "branches_available": list(branches_available),
                "reason": reason,
                **more,
            },
            is_read_only=True,
        )

    def record_transformation(
        self,
        transformation_type: str,
        transformation_name: str,
        input_data: Any,
        output_data: Any,
        method: str,
        parameters: Mapping[str, Any] | None = None,
        duration_ms: float | None = None,
        **more: Any,
    ) -> str | None:
        """Record how data became other data, and return the id of the event.

        Schemas, sizes (items or rows) and samples of both are kept, and all of both where the
        detail level is `full`.
        """
        return self._record(
            "transformation",
            transformation_name,
            lambda: {
                "transformation_type": transformation_type,
                "transformation_name": transformation_name,
                **described("input", input_data, self.detail_level),
                **described("output", output_data, self.detail_level),
                "method": method,
                "parameters": dict(parameters or {}),
                **more,
            },
            duration_ms=duration_ms,
        )

    def link_entity(self, entity_table: str, entity_id: str, link_type: str) -> str | None:
        """Record that the session has to do with a thing of the domain; returns the event's id.

        The event names the one before it as related: the link was most likely made for it.
        """
        session = self._own_session()
        link = {
            "entity_table": str(entity_table),
            "entity_id": str(entity_id),
            "link_type": str(link_type),
        }
        related = None if session is None else session.last_event_id
        return self._record(
            "entity_link",
            "link_entity",
            lambda: {**link, "related_event_id": related},
            entity_links=[link],
            is_read_only=True,
        )

    @contextmanager
    def track_tool_call(
        self, tool_type: str, tool_name: str, input_params: Mapping[str, Any]
    ) -> Iterator[ToolCall]:
        """Record the block as one tool call, however it ends; an exception goes on its way.

        with tracker.track_tool_call("api", "kegg", {"id": "map00010"}) as call:
            call.set_result(fetch("map00010"))
        """
        call = ToolCall()
        started = time.monotonic()
        raised: BaseException | None = None
        try:
            yield call
        except BaseException as error:
            raised = error
            raise
        finally:
            self.record_tool_call(
                tool_type,
                tool_name,
                input_params,
                output_data=call.result,
                duration_ms=(time.monotonic() - started) * 1000,
                **call.ended(raised),
            )

    def _own_session(self) -> TrackedSession | None:
        """Return the current session, unless it belongs to the process we were forked from."""
        session = self._current.get()
        return session if session is not None and session.pid == os.getpid() else None

    def _record(
        self,
        event_type: str,
        event_name: str,
        describe: Callable[[], dict[str, Any]],
        **facts: Any,
    ) -> str | None:
        session = self._own_session()
        if session is None:
            return None

        def append() -> str:
            taxonomy = self.settings.taxonomy
            tool = taxonomy.tool_of_event(event_name)
            action_type = taxonomy.type_of_event(event_type, tool)
            return session.append(action_type, tool, event_type, event_name, describe(), **facts)

        return self._guarded(session, append)

    def _guarded(self, session: TrackedSession, work: Callable[[], str | None]) -> str | None:
        """Do the work; a failure is told and counted, and the agent goes on."""
        try:
            return work()
        except Exception as error:
            if self.is_strict:
                raise
            session.failure_count += 1
            self._failed(error)
            return None

    def _failed(self, error: Exception) -> None:
        self.failure_count += 1
        if self.failure_count == 1:
            # The message of an error never quotes what was to be recorded.
            text = str(error) if isinstance(error, ProvlogError | OSError) else type(error).__name__
            print(  # noqa: T201 - the one word an agent's recorder says
                f"provenance-log: not recorded: {text}\n(told once; later failures are counted)",
                file=sys.stderr,
            )


_global: list[ProvenanceTracker] = []
_global_lock = threading.Lock()


def get_tracker(db_path: Path | str | None = None) -> ProvenanceTracker:
    """Return the tracker of this process; `db_path` counts for the first call only."""
    with _global_lock:
        if not _global:
            _global.append(ProvenanceTracker(db_path))
        return _global[0]


def _open_or_make(root: Path | None, database: Path | None) -> Store:
    try:
        return open_store(root if root is not None else find_root())
    except StoreNotFound:
        place = root if root is not None else ROOT_BELOW_PROJECT
        return open_store(initialise_store(place, database).root)
