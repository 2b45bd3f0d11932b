"""Parts as they are written now: of earlier names, and of what is to go, a spec is warned."""

from __future__ import annotations

from typing import Any

from glidepath.registry.describe.fields import current, fields
from glidepath.registry.describe.writable import unwritable
from glidepath.registry.discovery.components import Registered
from glidepath.registry.text.problems import Problems
from glidepath.registry.text.tree import MappingNode, Scalar, join_path


def warn_of_age(use: Scalar, registered: Registered, path: str, problems: Problems) -> None:
    """Warn of a part that is written under an earlier name, or is to go. use: its name as written."""
    component = registered.component
    name = use.text.rpartition("/")[2]
    if name != component.name:
        what = f"the {component.kind} {name!r} is called {component.name!r} now"
        problems.warn(what, use.place, path, f"write {use.text[: -len(name)]}{component.name}")
    if component.deprecated:
        what = f"{component.kind} {registered.full_name} is deprecated: {component.deprecated}"
        problems.warn(what, use.place, path)


def in_words_of_today(
    part: MappingNode, config: type[Any], registered: Registered, path: str, problems: Problems
) -> MappingNode:
    """A part with the names that its parameters have now, without those that no spec can write."""
    try:
        known, odd = fields(config), unwritable(config)
    except Exception:  # told where the parameters are read
        return part
    owner = f"{registered.component.kind} {registered.component.name}"
    release = f"{registered.distribution} {registered.version}"
    items = {}
    for key, entry in part.items.items():
        name, below = current(known, key), join_path(path, key)
        if name != key and name in part.items:
            hint = f"leave out {key!r}, which is its earlier name"
            what = f"{owner}: {name!r} is written twice, also as {key!r}"
            problems.add(what, entry.key, below, hint)
            continue
        if name != key:
            what = f"{owner}: the parameter {key!r} is called {name!r} now"
            problems.warn(what, entry.key, below, f"write {name}")
        if name in known and known[name].deprecated:
            what = f"{owner}: the parameter {name!r} is deprecated: {known[name].deprecated}"
            problems.warn(what, entry.key, below)
        if name in odd:
            what = f"{owner}: {name!r} is {odd[name]}, which no spec can write"
            problems.add(what, entry.key, below, f"report it to the authors of {release}")
            continue
        items[name] = entry
    written = {current(known, key) for key in part.items}
    for name, kind in odd.items():
        if name not in written:
            # its default would stand in the record of an image, and nobody could read that again
            what = f"{owner} of {release}: its parameter {name!r} is {kind}, which no spec can write"
            hint = f"report it to the authors of {release}, or choose another {registered.component.kind}"
            problems.add(what, part.items["use"].node.place, join_path(path, name), hint)
    return MappingNode(items, part.place, part.source)
