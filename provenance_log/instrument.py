"""Decorators: a function becomes a tracked tool, or a tracked agent, without a change inside it.

Functions, coroutine functions, generators and asynchronous generators are taken as they are, and
what they return, yield and raise is what their caller gets. Recording never raises into them.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, overload

from provenance_log.samples import SAMPLE_ITEMS
from provenance_log.tracker import ProvenanceTracker, get_tracker

if TYPE_CHECKING:
    from provenance_log.tracked_session import TrackedSession

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Run(Protocol):
    """One call of a tracked function, from before its first line to after its last."""

    def resumed(self) -> AbstractContextManager[None]:
        """Return what has to be around the function whenever it runs."""

    def end(self, result: Any, error: BaseException | None) -> None:
        """Record how it ended."""


_Begin = Callable[[tuple[Any, ...], dict[str, Any]], _Run]


@overload
def track_tool(function: _Function, /) -> _Function: ...
@overload
def track_tool(
    *,
    tool_type: str = "function",
    tool_name: str | None = None,
    tracker: ProvenanceTracker | None = None,
) -> Callable[[_Function], _Function]: ...
def track_tool(
    function: Any = None,
    /,
    *,
    tool_type: str = "function",
    tool_name: str | None = None,
    tracker: ProvenanceTracker | None = None,
) -> Any:
    """Record every call of a function as a tool call of the session that is current then.

    The inputs are its arguments by name, without `self` and `cls`. Of a generator, one call is
    recorded when it ends, with how many items it yielded and the first few of them.
    """

    def decorate(target: _Function) -> _Function:
        name = tool_name or target.__qualname__

        def new_run(arguments: dict[str, Any]) -> _Run:
            return _ToolRun(tracker or get_tracker(), tool_type, name, arguments)

        return _wrapped(target, new_run)

    return decorate if function is None else decorate(function)


@overload
def track_agent(function: _Function, /) -> _Function: ...
@overload
def track_agent(
    *,
    agent_type: str | None = None,
    tracker: ProvenanceTracker | None = None,
) -> Callable[[_Function], _Function]: ...
def track_agent(
    function: Any = None,
    /,
    *,
    agent_type: str | None = None,
    tracker: ProvenanceTracker | None = None,
) -> Any:
    """Make every call of a function a session; what it calls in turn is inside it, or below.

    The session's query is the argument called `query`, else the first text; its kwargs are the
    other arguments. It succeeds if the function returns, or the generator comes to its end.
    """

    def decorate(target: _Function) -> _Function:
        name = agent_type or target.__qualname__

        def new_run(arguments: dict[str, Any]) -> _Run:
            return AgentRun(tracker or get_tracker(), name, _query_of(arguments), arguments)

        return _wrapped(target, new_run)

    return decorate if function is None else decorate(function)


class _ToolRun:
    """A call that becomes one tool call."""

    def __init__(
        self, tracker: ProvenanceTracker, tool_type: str, name: str, arguments: dict[str, Any]
    ) -> None:
        self._tracker = tracker
        self._call = (tool_type, name, arguments)
        self._started = time.monotonic()

    def resumed(self) -> AbstractContextManager[None]:
        return nullcontext()

    def end(self, result: Any, error: BaseException | None) -> None:
        status = "success" if error is None else "failure"
        if error is not None and not isinstance(error, Exception):
            status = "partial"  # cancelled, or nobody wants the rest
        self._tracker.record_tool_call(
            *self._call,
            output_data=result,
            duration_ms=(time.monotonic() - self._started) * 1000,
            error=error,
            status=status,
        )


class AgentRun:
    """A call that becomes a session."""

    def __init__(
        self, tracker: ProvenanceTracker, agent_type: str, query: str, kwargs: dict[str, Any]
    ) -> None:
        self._tracker = tracker
        self._session: TrackedSession = tracker.begin_session(agent_type, query, kwargs)

    def resumed(self) -> AbstractContextManager[None]:
        """Make the session the current one while the agent runs."""
        return self._tracker.resumed(self._session)

    def end(self, result: Any, error: BaseException | None) -> None:
        """End the session; a generator whose consumer has enough did not fail."""
        is_fine = error is None or isinstance(error, GeneratorExit)
        text = None if is_fine else f"{type(error).__name__}: {error}"
        with self.resumed():
            self._tracker.end_session(success=is_fine, result=result, error=text)


@contextmanager
def ended(run: _Run) -> Iterator[list[Any]]:
    """Record how the block ended; what it puts into the list last is the result."""
    results: list[Any] = []
    try:
        yield results
    except BaseException as error:
        run.end(results[-1] if results else None, error)
        raise
    run.end(results[-1] if results else None, None)


def _wrapped(target: _Function, new_run: Callable[[dict[str, Any]], _Run]) -> _Function:
    """Return a function of the same kind with a record around each call."""
    describe = _describer(target)

    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Run:
        return new_run(describe(args, kwargs))

    if inspect.iscoroutinefunction(target):
        wrapper = _around_coroutine(target, begin)
    elif inspect.isasyncgenfunction(target):
        wrapper = _around_async_generator(target, begin)
    elif inspect.isgeneratorfunction(target):
        wrapper = _around_generator(target, begin)
    else:
        wrapper = _around_function(target, begin)
    return cast("_Function", functools.wraps(target)(wrapper))


def _around_function(target: Callable[..., Any], begin: _Begin) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        run = begin(args, kwargs)
        with ended(run) as results, run.resumed():
            results.append(target(*args, **kwargs))
            return results[-1]

    return call


def _around_coroutine(target: Callable[..., Any], begin: _Begin) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        run = begin(args, kwargs)
        with ended(run) as results, run.resumed():
            results.append(await target(*args, **kwargs))
            return results[-1]

    return call


def _around_generator(target: Callable[..., Any], begin: _Begin) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        run = begin(args, kwargs)
        with ended(run) as results:
            return (yield from _Counted(target(*args, **kwargs), run, results))

    return call


def _around_async_generator(target: Callable[..., Any], begin: _Begin) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        run = begin(args, kwargs)
        with ended(run) as results:
            yielded = _Yielded(results)
            inner = target(*args, **kwargs)
            step = functools.partial(inner.asend, None)
            while True:
                try:
                    with run.resumed():
                        item = await step()
                except StopAsyncIteration:
                    return
                yielded.add(item)
                try:
                    step = functools.partial(inner.asend, (yield item))
                except GeneratorExit:
                    with run.resumed():
                        await inner.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - it is the inner one's to raise
                    step = functools.partial(inner.athrow, error)

    return call


class _Yielded:
    """How many items were yielded, and the first few."""

    def __init__(self, results: list[Any]) -> None:
        self.facts: dict[str, Any] = {"yielded": 0, "sample": []}
        results.append(self.facts)

    def add(self, item: Any) -> None:
        self.facts["yielded"] += 1
        if len(self.facts["sample"]) < SAMPLE_ITEMS:
            self.facts["sample"].append(item)


class _Counted(Generator[Any, Any, Any]):
    """A generator around another one, which runs only while its run is resumed."""

    def __init__(self, inner: Generator[Any, Any, Any], run: _Run, results: list[Any]) -> None:
        self._inner = inner
        self._run = run
        self._yielded = _Yielded(results)

    def send(self, value: Any, /) -> Any:
        return self._step(lambda: self._inner.send(value))

    def throw(self, typ: Any, val: Any = None, tb: Any = None, /) -> Any:
        error = val if val is not None else typ() if isinstance(typ, type) else typ
        return self._step(lambda: self._inner.throw(error.with_traceback(tb)))

    def _step(self, go: Callable[[], Any]) -> Any:
        with self._run.resumed():
            try:
                item = go()
            except StopIteration as end:
                if end.value is not None:
                    self._yielded.facts["returned"] = end.value
                raise
        self._yielded.add(item)
        return item


def _describer(target: Callable[..., Any]) -> Callable[[Any, Any], dict[str, Any]]:
    """Return a function that gives the arguments of a call their names; it never raises."""
    try:
        signature: inspect.Signature | None = inspect.signature(target)
    except (ValueError, TypeError):  # some built-in functions have none
        signature = None

    def describe(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if signature is None:
            return {**{str(index): value for index, value in enumerate(args)}, **kwargs}
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:  # which the call itself is about to raise
            return {"args": list(args), "kwargs": kwargs}
        return {
            name: value for name, value in bound.arguments.items() if name not in {"self", "cls"}
        }

    return describe


def _query_of(arguments: dict[str, Any]) -> str:
    """Take the query out of the arguments."""
    texts = [name for name, value in arguments.items() if isinstance(value, str)]
    name = "query" if "query" in texts else next(iter(texts), None)
    return "" if name is None else str(arguments.pop(name))
