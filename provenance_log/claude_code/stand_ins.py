"""Light stand-ins for modules of the standard library, in the process of a hook and nowhere else.

A hook lives for one line. Importing `typing`, `re`, `dataclasses`, `uuid` and what these import
takes several times as long as what a recorder does with them, for it uses next to nothing of them.
A stand-in has the few names that are asked for while modules are imported. Asked for any other
name, it hands over what the real module has, so that nothing is ever missing. Before a module is
imported that is not known to be content with them, all stand-ins retire.

Guaranteed: what the recorder writes is the same with and without stand-ins. Not guaranteed:
anything else about them, and anything in a process with several threads.
"""

from __future__ import annotations

import _collections
import _collections_abc
import _datetime
import _functools
import _operator
import _thread
import os
import sys
from _sha1 import sha1 as _sha1

from provenance_log.claude_code.light_classes import NamedTuple, dataclass, field, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any
else:
    ModuleType = type(sys)

if sys.version_info >= (3, 12):
    from _sha2 import sha256 as _sha256
else:
    from _sha256 import sha256 as _sha256

_real_modules: dict[str, Any] = {}
_COMPILER = "re._compiler"
_WITHOUT_IMPORTS = frozenset({"binascii", "bisect", "itertools", "math"})
_CONTENT_WITH_STAND_INS = _WITHOUT_IMPORTS | {
    *("errno", "fcntl", "orjson", "pathlib", "provenance_log", "re", "struct", "time"),
}
"""Packages whose imports were looked at."""
_IN_C = {"collections.abc": _collections_abc, "datetime": _datetime, "operator": _operator}
"""Modules that only hand on the names of another one."""
_SUBMODULES = frozenset({_COMPILER, "re._parser", "re._constants", "re._casefix"})


class StandIn(ModuleType):
    """A module that has some names at hand and asks the real one for any other."""

    def __init__(self, name: str, names: dict[str, Any]) -> None:
        super().__init__(name)
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        # What the import system asks for before it looks for a file.
        if name.startswith("__") or f"{self.__name__}.{name}" in _SUBMODULES:
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)


class _Retirement:
    """Looks at each import, and takes the stand-ins away before a module that may need more."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        """Find nothing; raises nothing."""
        package = name.partition(".")[0]
        if not package.startswith("_") and package not in _CONTENT_WITH_STAND_INS:
            _retire()


def _retire() -> None:
    """Let whatever is imported from now on be the real thing, as are the modules it imports."""
    if _Retirement in sys.meta_path:
        sys.meta_path.remove(_Retirement)
    for name, module in list(sys.modules.items()):
        if isinstance(module, StandIn) or _IN_C.get(name) is module:
            del sys.modules[name]


def _real(name: str) -> Any:
    """Return the real module; it is imported now if nobody needed it before."""
    stand_in = sys.modules.get(name)
    if name in _WITHOUT_IMPORTS and isinstance(stand_in, StandIn):
        if name not in _real_modules:
            del sys.modules[name]
            __import__(name)
            _real_modules[name] = sys.modules[name]
            sys.modules[name] = stand_in
        return _real_modules[name]
    _retire()
    __import__(name)
    return sys.modules[name]


def _later(module: str, name: str) -> Callable[..., Any]:
    """Return a function of a module that is imported when the function is called."""

    def call(*arguments: Any, **named: Any) -> Any:
        return getattr(_real(module), name)(*arguments, **named)

    return call


class _Pattern:
    """A regular expression that is compiled when it is first used."""

    def __init__(self, pattern: str | bytes, flags: int) -> None:
        self._source = pattern, flags

    def __getattr__(self, name: str) -> Any:
        if name == "_compiled":
            self._compiled = _compile(*self._source)
            return self._compiled
        value = getattr(self._compiled, name)
        setattr(self, name, value)
        return value


def _compile(pattern: str | bytes, flags: int) -> Any:
    """Compile as `re.compile` does, without the classes of its flags, which are what is dear."""
    try:
        __import__(_COMPILER)
    except ImportError:
        return _real("re").compile(pattern, flags)
    return sys.modules[_COMPILER].compile(pattern, flags)


def _compile_later(pattern: str | bytes, flags: int = 0) -> _Pattern:
    return _Pattern(pattern, flags)


class _Cached:
    """A property that is computed once, as `functools.cached_property`."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def __get__(self, owner: Any, _type: type | None = None) -> Any:
        if owner is None:
            return self
        value = owner.__dict__[self._function.__name__] = self._function(owner)
        return value


def _remembering(*_: Any, **__: Any) -> Callable[..., Any]:
    """Return what `lru_cache(maxsize=…)` returns; a process of one line forgets nothing."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        known: dict[tuple[Any, ...], Any] = {}

        def call(*arguments: Any) -> Any:
            if arguments not in known:
                known[arguments] = function(*arguments)
            return known[arguments]

        return call

    return decorate


class _Uuid:
    """A UUID that was given as text or as bytes with a version."""

    def __init__(
        self,
        text: str = "",
        *,
        bytes: bytes = b"",  # noqa: A002 - as the real one has it
        version: int = 0,
    ) -> None:
        number = int.from_bytes(bytes, "big") if bytes else int(text.replace("-", ""), 16)
        if version:
            number = number & ~(0xC000 << 48) | 0x8000 << 48
            number = number & ~(0xF000 << 64) | version << 76
        self.bytes = number.to_bytes(16, "big")

    def __str__(self) -> str:
        digits = self.bytes.hex()
        return "-".join(
            (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]),
        )


def _uuid5(namespace: _Uuid, name: str) -> _Uuid:
    digest = _sha1(namespace.bytes + name.encode(), usedforsecurity=False).digest()
    return _Uuid(bytes=digest[:16], version=5)


class _Suppressing:
    def __init__(self, *errors: type[BaseException]) -> None:
        self._errors = errors

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, self._errors)


class _Closing:
    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def __enter__(self) -> Any:
        return self._thing

    def __exit__(self, *_: object) -> None:
        self._thing.close()


def _blocks_of(function: Callable[..., Any]) -> Callable[..., _Generated]:
    """Return what `contextlib.contextmanager` returns."""
    return lambda *arguments, **named: _Generated(function(*arguments, **named))


class _Generated:
    def __init__(self, generator: Any) -> None:
        self._generator = generator

    def __enter__(self) -> Any:
        return next(self._generator)

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> bool:
        try:
            if error is None:
                next(self._generator)
            else:
                self._generator.throw(error)
        except StopIteration as end:
            return end is not error and error is not None
        except BaseException as raised:
            if raised is not error:
                raise
            return False
        raise RuntimeError("the generator goes on")


class _Literal:
    """Makes what the real `get_args` knows as well."""

    def __getitem__(self, values: Any) -> Any:
        generic_alias: Any = type(list[int])
        return generic_alias(_Literal, values)


def _b64decode(data: Any, *, validate: bool = False) -> bytes:
    decoded: bytes = _real("binascii").a2b_base64(data, strict_mode=validate)
    return decoded


def _names() -> dict[str, dict[str, Any]]:
    """Return the names that each stand-in has at hand."""
    quote = _later("urllib.parse", "quote_from_bytes")
    letters = "abcdefghijklmnopqrstuvwxyz"
    return {
        "base64": {"b64decode": _b64decode},
        "binascii": {"Error": ValueError},  # which it is one of
        "bisect": {"bisect_right": _later("bisect", "bisect_right")},
        "collections": {"deque": _collections.deque},
        "contextlib": {
            "closing": _Closing,
            "contextmanager": _blocks_of,
            "suppress": _Suppressing,
        },
        "dataclasses": {"dataclass": dataclass, "field": field, "replace": replace},
        "enum": {},
        "fnmatch": {},
        "functools": {
            "cached_property": _Cached,
            "lru_cache": _remembering,
            "partial": _functools.partial,
        },
        "hashlib": {"sha1": _sha1, "sha256": _sha256},
        "hmac": {},
        "inspect": {},
        "itertools": {
            "accumulate": _later("itertools", "accumulate"),
            "pairwise": _later("itertools", "pairwise"),
        },
        "json": {},
        "math": {},
        "ntpath": {},
        "re": {
            "ASCII": 256,
            "DOTALL": 16,
            "IGNORECASE": 2,
            "compile": _compile_later,
        },
        "secrets": {"token_bytes": os.urandom},
        "string": {"ascii_letters": letters + letters.upper(), "digits": "0123456789"},
        "threading": {
            "Lock": _thread.allocate_lock,
            "RLock": _thread.RLock,
            "get_ident": _thread.get_ident,
        },
        "typing": {
            "TYPE_CHECKING": False,
            "Any": object,
            "AnyStr": object,
            "Literal": _Literal(),
            "NamedTuple": NamedTuple,
            "NoReturn": None,
            "TypeVar": lambda name, **_: name,
            "get_args": lambda literal: literal.__args__,
        },
        "urllib.parse": {"quote_from_bytes": quote},
        "uuid": {"UUID": _Uuid, "uuid5": _uuid5},
        "warnings": {},
        "weakref": {"WeakSet": set},
    }


def install() -> None:
    """Put the stand-ins where an import looks first, for modules that are not there yet."""
    sys.meta_path.insert(0, _Retirement)
    for name, names in _names().items():
        if name not in sys.modules:
            sys.modules[name] = StandIn(name, names)
    expressions = sys.modules["re"]
    if isinstance(expressions, StandIn):
        expressions.__path__ = [f"{os.__file__.rpartition('/')[0]}/re"]


class _DecodeError(ValueError):
    """What `json.JSONDecodeError` is: a message with a place."""

    def __init__(self, msg: str, doc: str, pos: int) -> None:
        self.msg, self.doc, self.pos = msg, doc, pos
        self.lineno = doc.count("\n", 0, pos) + 1
        self.colno = pos - doc.rfind("\n", 0, pos)
        super().__init__(f"{msg}: line {self.lineno} column {self.colno} (char {pos})")


class _Nothing:
    """What nothing is that is ever encoded here."""


_FOR_ORJSON: dict[str, dict[str, Any]] = {
    "dataclasses": {"_FIELD": _Nothing()},
    "enum": {"EnumMeta": _Nothing},
    "json": {"JSONDecodeError": _DecodeError},
    "uuid": {"NAMESPACE_DNS": _Nothing()},
    "zoneinfo": {"ZoneInfo": _Nothing},
}


def import_orjson() -> None:
    """Import orjson without the modules whose objects it could encode; raises ImportError.

    It takes their classes when it is imported, and a recorder has nothing but what JSON has.
    """
    for name, module in _IN_C.items():
        sys.modules.setdefault(name, module)
    before = {name: sys.modules.get(name) for name in _FOR_ORJSON}
    for name, names in _FOR_ORJSON.items():
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__dict__.update(names)
    try:
        __import__("orjson")
    finally:
        for name, found in before.items():
            if found is None:
                del sys.modules[name]
            else:
                sys.modules[name] = found
