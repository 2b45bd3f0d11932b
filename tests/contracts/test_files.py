"""What a file of the project may be: how long, and which words it may know."""

from __future__ import annotations

import re

from .sources import CORE, PLUGINS, REGISTRY, TESTING, files, name_of

LONGEST = 400
OF_PLUGINS = re.compile(
    r"stud(?:y|ies)|glidepath (?:train|convert)\b|[\"'](?:train|convert|shapes)[\"']"
    r"|\bpresets?[ /]shapes\b|glidepath \w+ shapes\b|\bshapes\.(?:json|yaml)",
    re.IGNORECASE,
)
"""Commands, keys and presets of plugins."""


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {
        name_of(file): len(file.read_text(encoding="utf-8").splitlines())
        for file in files(CORE, REGISTRY, TESTING, PLUGINS)
    }
    long = {name: length for name, length in lengths.items() if length > LONGEST}
    assert not long


def test_the_registry_names_nothing_that_belongs_to_a_plugin() -> None:
    """What belongs to a plugin is told by a plugin, through a hook."""
    named = [
        f"{name_of(file)}:{number}: {line.strip()}"
        for file in files(REGISTRY)
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if OF_PLUGINS.search(line)
    ]
    assert not named, "\n".join(named)
