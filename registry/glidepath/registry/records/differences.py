"""What is not as it was: two manifests held against each other, part by part."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from glidepath.registry.records.manifest import Images, Manifest, Release
from glidepath.registry.text.tree import join_path
from glidepath.registry.text.yaml_text import yaml_text


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT: Any = _Absent()
"""In place of a value that one side does not have."""

_NOT_PARAMETERS = ("use", "weights")
_KEYS = {f"{name}s": name for name in ("prompt", "seed", "sample", "label", "negative")} | {"texts": "texts"}


_TITLES = {
    "distributions": "distribution {0}",
    "requires": "what {0} requires",
    "code": "sha256 of {1} of {0}",
    "files": "sha256 of the file at {0}",
}


@attrs.frozen
class Change:
    """One thing that differs.

    section: "spec", "distributions", "requires", "code", "files", "weights", "environment", or "images".
    path: where in it: "sampler.steps"; a distribution; "acme: acme/parts.py"; "torch". The dotted path of an
        entry of a list that stands elsewhere now is written "guidance[0 -> 1]".
    was, now: the values; `ABSENT` where a side has none.
    """

    section: str
    path: str
    was: Any
    now: Any

    def sentence(self) -> str:
        """In words: "distribution acme was 1.2, and is 1.10"."""
        words = self.path.split(": ", 1) if self.section == "code" else [self.path]
        title = _TITLES.get(self.section, "{0}").format(*words)
        if self.section == "weights":
            title = f"sha256 of the weights{f' of {self.path}' if self.path else ''}"
        return f"{title} was {shown(self.was)}, and is {shown(self.now)}"


def changes(was: Manifest, now: Manifest) -> list[Change]:
    """All that differs in what is recorded on both sides.

    Files of weights, and files that parameters name, are compared by what is in them, not by their names.
    Where the version of a distribution differs, its files are not listed.
    """
    by_content = {path.partition("/")[0] for path in set(was.files or ()) & set(now.files or ())}
    differing = [
        Change("spec", *change)
        for change in _pipelines(was.spec, now.spec, "")
        if change[0] not in by_content
    ]
    differing += _distributions(was.distributions, now.distributions)
    differing += _mapping("files", was.files, now.files)
    differing += _mapping("weights", was.weights, now.weights)
    both = set(was.environment) & set(now.environment)  # an image knows its device, which a lock does not
    before, after = ({name: side.environment[name] for name in both} for side in (was, now))
    differing += _mapping("environment", before, after)
    differing += _mapping("images", _of_images(was.images), _of_images(now.images))
    return differing


def shown(value: object) -> str:
    """A value of a change, on one line: text as it is, all else as YAML."""
    return value if isinstance(value, str) else "absent" if value is ABSENT else yaml_text(value)


def _distributions(was: Mapping[str, Release], now: Mapping[str, Release]) -> Iterator[Change]:
    versions = [{name: release.version for name, release in side.items()} for side in (was, now)]
    yield from _mapping("distributions", *versions)
    both = [(name, was[name], now[name]) for name in sorted(set(was) & set(now))]
    for name, before, after in both:
        if None not in (before.requires, after.requires) and before.requires != after.requires:
            yield Change("requires", name, before.requires, after.requires)
    for name, before, after in both:
        if before.version == after.version:
            for file in _mapping("code", before.files, after.files):
                yield attrs.evolve(file, path=f"{name}: {file.path}")


def _of_images(images: Images | None) -> dict[str, Any] | None:
    """What is compared of images: not how they lie in their file."""
    if images is None:
        return None
    return {
        **{said: [key.to_json().get(name) for key in images.keys] for said, name in _KEYS.items()},
        "strength": images.strength,
        "size": images.size,
        **{name: picture.sha256 for name, picture in images.pictures.items()},
    }


def _mapping(section: str, was: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> Iterator[Change]:
    """The entries of two mappings that differ, by name."""
    if was is None or now is None:
        return
    for name in sorted({*was, *now}):
        before, after = was.get(name, ABSENT), now.get(name, ABSENT)
        if not _same(before, after):
            yield Change(section, name, before, after)


_Found = Iterator[tuple[str, Any, Any]]


def _pipelines(was: Mapping[str, Any], now: Mapping[str, Any], path: str) -> _Found:
    """What differs between two specs, or two stages."""
    for key in dict.fromkeys((*was, *now)):
        before, after = was.get(key, ABSENT), now.get(key, ABSENT)
        if key == "stages" and isinstance(before, Mapping) and isinstance(after, Mapping):
            both = [[name for name in side if name in before and name in after] for side in (before, after)]
            if both[0] != both[1]:
                yield join_path(path, "stages"), list(before), list(after)
            for name in dict.fromkeys((*before, *after)):
                old, new = before.get(name, ABSENT), after.get(name, ABSENT)
                if isinstance(old, Mapping) and isinstance(new, Mapping):
                    yield from _pipelines(old, new, join_path("stages", name))
                else:
                    yield join_path("stages", name), old, new
        elif key != "weights":
            yield from _position(before, after, join_path(path, key))


def _position(was: Any, now: Any, path: str) -> _Found:
    """What differs where a part, a list of parts or a value stands."""
    if _is_part(was) and _is_part(now):
        if was["use"] != now["use"]:
            yield path, was["use"], now["use"]
        for name in dict.fromkeys((*was, *now)):
            if name not in _NOT_PARAMETERS:
                yield from _position(was.get(name, ABSENT), now.get(name, ABSENT), join_path(path, name))
    elif _are_parts(was) and _are_parts(now):
        yield from _lists(was, now, path)
    elif isinstance(was, Mapping) and isinstance(now, Mapping) and not _is_part(was) and not _is_part(now):
        for name in dict.fromkeys((*was, *now)):
            yield from _position(was.get(name, ABSENT), now.get(name, ABSENT), join_path(path, name))
    elif not _same(was, now):
        yield path, was, now


def _lists(was: Sequence[Any], now: Sequence[Any], path: str) -> _Found:
    """What differs between two lists of parts: the same components are matched, in their order."""
    before, after = ([str(part["use"]) for part in side] for side in (was, now))
    for tag, i, i_end, j, j_end in difflib.SequenceMatcher(None, before, after, False).get_opcodes():
        matched = min(i_end - i, j_end - j) if tag in ("equal", "replace") else 0
        for offset in range(matched):
            at = f"{i + offset}" if i == j else f"{i + offset} -> {j + offset}"
            yield from _position(was[i + offset], now[j + offset], f"{path}[{at}]")
        for index in range(i + matched, i_end):
            yield f"{path}[{index}]", was[index], ABSENT
        for index in range(j + matched, j_end):
            yield f"{path}[{index}]", ABSENT, now[index]


def _is_part(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("use"), str)


def _are_parts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(_is_part(item) for item in value)


def _same(was: Any, now: Any) -> bool:
    """Equal as JSON: 1 is not true, and 1 is not 1.0."""
    if was is ABSENT or now is ABSENT:
        return was is now
    return json.dumps(was, sort_keys=True) == json.dumps(now, sort_keys=True)
