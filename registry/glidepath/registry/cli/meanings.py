"""What a word stands for that a command takes for something else: a slot that was given for a kind, say."""

from __future__ import annotations

from collections.abc import Iterator

from glidepath.registry.discovery.catalogue import Catalogue


def meanings(catalogue: Catalogue, word: str) -> Iterator[str]:
    """A clause for each thing of that name, with the command that shows it."""
    if word in catalogue.kinds:
        yield f"{word!r} is a kind of part: `glidepath list {word}` names those that there are"
    elif word in catalogue.slots:
        kind = catalogue.slots[word].name
        yield f"{word!r} is a slot of a spec, which takes a {kind}: `glidepath list {kind}`"
    for entry in catalogue.components():
        if word in (entry.component.name, entry.full_name):
            kind = entry.component.kind
            yield f"{word!r} is a {kind}: `glidepath show {kind}/{catalogue.spelling(entry)}`"
    if word == "preset":
        yield "presets are named by `glidepath list preset`"
    elif word in catalogue.presets():
        yield f"{word!r} is a preset: `glidepath show preset/{word}`"
    if word in (record.name for record in catalogue.records):
        yield f"{word!r} is a plugin: `glidepath plugins`"
