"""Each room of the registry imports rooms above it alone, and no import runs in a circle.

The rooms are those of the table on the page of the layout. Imports inside functions and for types count.
"""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from .sources import CORE, PLUGINS, REGISTRY, ROOT, TESTING, files, imports, name_of, targets


def _rooms() -> list[str]:
    """The rooms in the order of the table, from the ground up."""
    page = (ROOT / "docs" / "layout.md").read_text(encoding="utf-8")
    _, section = page.split("## Rooms of the registry\n")
    return re.findall(r"^\| `(\w+)` \|", section.partition("\n## ")[0], re.MULTILINE)


ROOMS = _rooms()


def _room(file: Path) -> str:
    return file.relative_to(REGISTRY).parts[0]


def test_every_file_of_the_registry_stands_in_a_room() -> None:
    assert {_room(file) for file in files(REGISTRY)} == {*ROOMS, "__init__.py"}
    assert len(ROOMS) == len(set(ROOMS))


def test_a_room_imports_rooms_above_it_alone() -> None:
    upward = [
        f"{name_of(file)}:{statement.line} imports {name_of(target)}"
        for file in files(REGISTRY)
        if _room(file) in ROOMS
        for statement, target in targets(file)
        if target.is_relative_to(REGISTRY) and _room(target) not in ROOMS[: ROOMS.index(_room(file)) + 1]
    ]
    assert not upward, "\n".join(upward)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_lives_there_and_holds_no_code_of_its_own(room: str) -> None:
    text = (REGISTRY / room / "__init__.py").read_text(encoding="utf-8")
    assert text.startswith('"""')
    if room != "cli":  # `glidepath.registry.cli:main` is the console script
        assert not imports(REGISTRY / room / "__init__.py")


def test_no_import_runs_in_a_circle() -> None:
    graph = {
        file: {target for _, target in targets(file)} for file in files(CORE, REGISTRY, TESTING, PLUGINS)
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " <- ".join(map(name_of, error.args[1]))
        pytest.fail(f"imports run in a circle: {circle}", pytrace=False)
