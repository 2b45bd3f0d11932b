"""What plugins supply for parts of a kind through the hook `checks(kind)`: checks, and how a part is used."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.testing.check import Check, KitError, check_name
from glidepath.testing.part import Part
from glidepath.testing.trial import Trial


def supplied_trial(kind: str, catalogue: Catalogue) -> type[Trial] | None:
    """How a part of a kind is used: the first `Trial` class among what plugins supply for it.

    Raises:
        KitError: a plugin's hook fails; it says whose.
    """
    return next((item for item in _supplied(kind, catalogue) if _is_trial(item)), None)


def supplied_checks(kind: str, catalogue: Catalogue, taken: Collection[str]) -> Iterator[Check]:
    """The checks of all plugins for parts of a kind; each is given a freshly built part.

    A check is named for its function; where the name is taken, a number follows. Raises as `supplied_trial`.
    """
    used = set(taken)
    for function in _supplied(kind, catalogue):
        if _is_trial(function):
            continue
        name = _free(check_name(function), used)
        used.add(name)
        about = (getattr(function, "__doc__", "") or "").strip().partition("\n")[0]
        yield Check(name, about, _of_part(function), ("builds",))


def _supplied(kind: str, catalogue: Catalogue) -> list[Any]:
    try:
        return list(catalogue.checks(kind))
    except Exception as error:
        notes = "; ".join(getattr(error, "__notes__", ()))
        raise KitError(f"{type(error).__name__}: {error} ({notes})") from error


def _is_trial(supplied: object) -> bool:
    return isinstance(supplied, type) and issubclass(supplied, Trial)


def _of_part(function: Callable[[Any], None]) -> Callable[[Part], None]:
    return lambda part: function(part.build())


def _free(name: str, used: Collection[str]) -> str:
    number = 1
    free = name
    while free in used:
        number += 1
        free = f"{name}-{number}"
    return free
