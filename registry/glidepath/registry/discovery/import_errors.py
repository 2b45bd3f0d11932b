"""What to say of an import that fails: the line that asks for what is missing, and what would help."""

from __future__ import annotations

import re
import traceback
from types import ModuleType

from glidepath.registry.discovery.metadata import canonical
from glidepath.registry.text.problems import did_you_mean

_MACHINERY = "importlib"
_NAME = re.compile(r"[\w.-]+", re.ASCII)


def import_problem(error: BaseException, module: str) -> str:
    """What went wrong while a module was imported, with "file:line" where there is one.

    error: caught by the function that imported the module.
    """
    place = _raised_at(error)
    if missing := missing_module(error, module):
        return f"{place} imports {missing}, which is not installed" if place else f"it needs {missing}"
    return f"{error_text(error)} ({place})" if place else error_text(error)


def import_remedy(error: BaseException, module: str, distribution: str, version: str) -> str:
    """What would help where a module of a distribution lacks another one, or a name; "" for the rest.

    The package that supplies a module may have another name than the module: who wrote the plugin knows.
    """
    if isinstance(error, AttributeError) and error.name and isinstance(error.obj, ModuleType):
        return did_you_mean(error.name, [name for name in vars(error.obj) if not name.startswith("_")])
    missing = missing_module(error, module).partition(".")[0]
    if not missing:
        return ""
    stated = _stated(distribution)
    if stated is not None and canonical(missing) in stated:
        return f"{distribution} {version} requires it: pip install {missing}"
    remedy = f"pip install {missing}, if that is the name of the package that supplies it"
    if stated is not None:
        remedy += f"; {distribution} {version} declares no dependency of that name, as its authors should"
    return remedy


def missing_module(error: BaseException, module: str) -> str:
    """The module of another package that an import of `module` did not find; "" where there is none."""
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    return "" if not name or name.partition(".")[0] == module.partition(".")[0] else name


def raised_within(error: BaseException, module: str) -> str:
    """ "file:line" of the innermost frame that is of the package which a module is in; "" where none is."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    package = module.rpartition(".")[0] or module
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if is_within(str(frame.f_globals.get("__name__", "")), package):
            return f"{frame.f_code.co_filename}:{line}"
    return ""


def is_within(module: str, package: str) -> bool:
    """Whether a module is a package, or in it."""
    return module == package or module.startswith(f"{package}.")


def error_text(error: BaseException) -> str:
    """An exception in one line: its type, and what it says."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _raised_at(error: BaseException) -> str:
    """ "file:line" of the innermost frame below the one that caught it, without Python's import machinery."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    _, *below = traceback.walk_tb(error.__traceback__)
    for frame, line in reversed(below):
        if not is_within(str(frame.f_globals.get("__name__", "")), _MACHINERY):
            return f"{frame.f_code.co_filename}:{line}"
    return ""


def _stated(distribution: str) -> set[str] | None:
    """The names that a distribution requires; None where it cannot be found."""
    from importlib.metadata import PackageNotFoundError, requires  # every command imports this module

    try:
        lines = requires(distribution) or []
    except (PackageNotFoundError, ValueError):
        return None
    names = (_NAME.match(line.strip()) for line in lines)
    return {canonical(name[0]) for name in names if name}
