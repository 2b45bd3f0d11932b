"""What all plugins share: the state of the process. Importing one changes nothing of it for the others."""

from __future__ import annotations

import locale  # noqa: F401  its settings are read whoever imports it
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import attrs

_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE") if hasattr(signal, name)
]

_CUDNN = ("enabled", "benchmark", "deterministic")

_noted: dict[str, dict[str, str]] = {}


@attrs.frozen
class _Setting:
    """Something of the process that any module can set.

    of: the module that has it; where nobody imported that, it is as it always is.
    read, write: get that module.
    used: what becomes of it when a part that is used sets it: "" put back, "left", or left and "told" in the
        records of images.
    """

    name: str
    of: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], object]
    used: str = ""


def _environment(of: Any) -> dict[Any, Any]:
    return dict(getattr(of.environ, "_data", of.environ))  # not decoded: it is read often


def _restore_environment(of: Any, before: Mapping[Any, Any]) -> None:
    now = _environment(of)
    for name in {**now, **before}:
        if name not in before:
            del of.environ[of.fsdecode(name)]
        elif now.get(name) != before[name]:
            of.environ[of.fsdecode(name)] = of.fsdecode(before[name])


def _umask(of: Any) -> int:
    mask: int = of.umask(0o077)
    of.umask(mask)
    return mask


def _streams(of: Any) -> tuple[Any, ...]:
    return of.stdin, of.stdout, of.stderr, of.excepthook


def _restore_streams(of: Any, before: Any) -> None:
    of.stdin, of.stdout, of.stderr, of.excepthook = before


def _restore_recursion(of: Any, before: int) -> None:
    of.setrecursionlimit(before)


def _handlers(of: Any) -> dict[Any, Any]:
    return {number: of.getsignal(number) for number in _SIGNALS}


def _restore_handlers(of: Any, before: Mapping[Any, Any]) -> None:
    for number, handler in before.items():
        if handler is not None and of.getsignal(number) is not handler:
            of.signal(number, handler)


def _start_method(of: Any) -> str | None:
    method: str | None = of.get_start_method(allow_none=True)
    return method


def _restore_start_method(of: Any, before: str | None) -> None:
    of.set_start_method(before, force=True)


def _restore_path(of: Any, before: list[str]) -> None:
    # what was added is searched last: it may be where the plugin's own modules are, and hides no others there
    of.path[:] = [*before, *(folder for folder in of.path if folder not in before)]


def _filters(of: Any) -> tuple[Any, ...]:
    return list(of.filters), of.showwarning


def _restore_filters(of: Any, before: Any) -> None:
    of.resetwarnings()  # Python forgets what it remembers of the filters
    of.filters[:], of.showwarning = before


def _logging(of: Any) -> tuple[Any, ...]:
    return of.root.level, list(of.root.handlers), of.root.manager.disable


def _restore_logging(of: Any, before: Any) -> None:
    of.root.setLevel(before[0])
    of.root.handlers[:] = before[1]
    of.disable(before[2])


def _restore_device(of: Any, before: str) -> None:
    of.set_default_device(None if before == "cpu" else before)


def _restore_determinism(of: Any, before: int) -> None:
    of.set_deterministic_debug_mode(before)


def _restore_precision(of: Any, before: str) -> None:
    of.set_float32_matmul_precision(before)


def _restore_autocast(of: Any, before: bool) -> None:
    of.set_autocast_enabled("cpu", before)


def _cudnn(of: Any) -> tuple[bool, ...]:
    return tuple(getattr(of.backends.cudnn, name) for name in _CUDNN)


def _restore_cudnn(of: Any, before: tuple[bool, ...]) -> None:
    for name, value in zip(_CUDNN, before, strict=True):
        setattr(of.backends.cudnn, name, value)


_SETTINGS = (
    # first: they may turn into an error what is done about the others
    _Setting("filters of warnings", "warnings", _filters, _restore_filters, used="left"),
    _Setting("the current directory", "os", lambda of: of.getcwd(), lambda of, it: of.chdir(it)),
    _Setting("the umask", "os", _umask, lambda of, it: of.umask(it)),
    _Setting(
        "the locale", "locale", lambda of: of.setlocale(of.LC_ALL), lambda of, it: of.setlocale(of.LC_ALL, it)
    ),
    _Setting("the standard streams", "sys", _streams, _restore_streams),
    _Setting("the recursion limit", "sys", lambda of: of.getrecursionlimit(), _restore_recursion),
    _Setting("handlers of signals", "signal", _handlers, _restore_handlers),
    _Setting("how processes start", "multiprocessing", _start_method, _restore_start_method),
    _Setting("sys.path", "sys", lambda of: list(of.path), _restore_path, used="left"),
    _Setting("the root logger", "logging", _logging, _restore_logging, used="left"),
    _Setting("the environment", "os", _environment, _restore_environment, used="told"),
    _Setting("numpy's errors", "numpy", lambda of: of.geterr(), lambda of, it: of.seterr(**it), used="told"),
    *(
        _Setting(f"torch's {name}", "torch", read, write, used="told")
        for name, read, write in (
            ("default dtype", lambda of: of.get_default_dtype(), lambda of, it: of.set_default_dtype(it)),
            ("default device", lambda of: str(of.get_default_device()), _restore_device),
            ("threads", lambda of: of.get_num_threads(), lambda of, it: of.set_num_threads(it)),
            ("determinism", lambda of: of.get_deterministic_debug_mode(), _restore_determinism),
            ("precision of products", lambda of: of.get_float32_matmul_precision(), _restore_precision),
            ("gradients", lambda of: of.is_grad_enabled(), lambda of, it: of.set_grad_enabled(it)),
            ("autocast", lambda of: of.is_autocast_enabled("cpu"), _restore_autocast),
            ("cuDNN", _cudnn, _restore_cudnn),
        )
    ),
)


class SharedState:
    """The state of the process while plugins are loaded: each finds it as it was before the first.

    What torch, numpy and logging are set to is known from the moment in which somebody imports them.
    """

    def __init__(self) -> None:
        self._before = _read()
        self._awaited = {setting.of for setting in _SETTINGS} - sys.modules.keys()

    def __enter__(self) -> SharedState:
        sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *_error: object) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Of a module that is awaited, as others find it; when it is imported, its settings are read."""
        if name not in self._awaited:
            return None
        self._awaited.discard(name)
        spec = find_spec(name)
        loader: Any = spec.loader if spec is not None else None
        if loader is not None:
            run = loader.exec_module

            def run_and_read(module: ModuleType) -> None:
                run(module)
                # torch adds filters of warnings of its own
                self._before |= _read(of=name) | _read(of="warnings")

            loader.exec_module = run_and_read
        return spec

    def put_back(self) -> list[str]:
        """Put back what was changed since the last time; what that was."""
        changed = _put_back(self._before, left_too=True)
        if changed:
            self._before = _read()
        return list(changed.values())


@contextmanager
def used(distribution: str) -> Iterator[None]:
    """While code of a part runs that is used: what the part may set for its own sake stays, and is noted."""
    before = _read()
    try:
        yield
    finally:
        changed = _put_back(before, left_too=False)
        for setting in _SETTINGS:
            if setting.used == "told" and setting.name in changed:
                _noted.setdefault(distribution, {})[setting.name] = changed[setting.name]


def changed_by_parts() -> dict[str, str]:
    """What distributions, whose parts were used in this process, have set in it for all."""
    return {distribution: "; ".join(changes.values()) for distribution, changes in sorted(_noted.items())}


def _read(of: str = "") -> dict[str, Any]:
    state: dict[str, Any] = {}
    for setting in _SETTINGS:
        module = sys.modules.get(setting.of)
        if module is not None and (of == setting.of or (not of and not _is_being_imported(module))):
            try:
                state[setting.name] = setting.read(module)
            except Exception:  # a folder that was deleted
                continue
    return state


def _is_being_imported(module: ModuleType) -> bool:
    """Whether another thread is at it: what is read of torch then imports more of it, and breaks both."""
    return bool(getattr(module.__spec__, "_initializing", False))


def _put_back(before: Mapping[str, Any], *, left_too: bool) -> dict[str, str]:
    """Put back what is not as before. What changed, by the setting's name, in words."""
    now = _read()
    if now == before:
        return {}
    changed: dict[str, str] = {}
    for setting in _SETTINGS:
        was, it_is = before.get(setting.name), now.get(setting.name)
        if setting.name not in before or was == it_is:
            continue
        changed[setting.name] = f"{setting.name} ({_difference(was, it_is)})"
        if left_too or not setting.used:
            with suppress(Exception):  # signals, outside of the main thread
                setting.write(sys.modules[setting.of], was)
    return changed


def _difference(was: Any, it_is: Any) -> str:
    if isinstance(was, dict) and isinstance(it_is, dict):
        names = [key for key in {**was, **it_is} if was.get(key) != it_is.get(key)]
        return ", ".join(os.fsdecode(name) if isinstance(name, bytes | str) else name.name for name in names)
    if isinstance(was, list) and isinstance(it_is, list):
        return ", ".join(map(str, [item for item in it_is if item not in was])) or "in another order"
    return "others" if isinstance(was, tuple) else f"{it_is}, was {was}"
