"""What an installed distribution says of itself, read from its METADATA before anything of it is imported."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import attrs

_FILES = ("METADATA", "PKG-INFO")
_STATED = re.compile(r"^(Name|Version):[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)
_REQUIRES = re.compile(r"^Requires-Dist:\s*(([\w.-]+).*)$", re.MULTILINE | re.IGNORECASE)
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """A name as it is compared (PEP 503): lower case, a hyphen for each run of hyphens, dots, underscores."""
    return re.sub(r"[-_.]+", "-", name).lower()


@attrs.frozen
class Requires:
    """A requirement of a distribution that is bound to versions.

    name: canonical, of the distribution that is required. versions: as PEP 440 writes a range, ">=0.1,<0.3".
    """

    name: str
    versions: str

    def __str__(self) -> str:
        return f"{self.name}{self.versions}"

    def met_by(self, version: str) -> bool:
        """Whether a version is in the range. One that is no version, such as "", is not judged."""
        return _contains(self.versions, version)


def stated(info: Path) -> tuple[str, str]:
    """The name and the version that the metadata states, each "" where it states none."""
    found = {header.lower(): value for header, value in reversed(_STATED.findall(_headers(info)))}
    return found.get("name", ""), found.get("version", "")


def stated_requirements(info: Path, among: Collection[str]) -> tuple[Requires, ...]:
    """What a distribution requires of those in `among` (canonical names), where it bounds their versions.

    A requirement of an extra, or for another system or Python, does not count; nor does one that cannot be
    read: it was for the installer to complain of.
    """
    lines = (line.strip() for line, name in _REQUIRES.findall(_headers(info)) if canonical(name) in among)
    return tuple(requires for line in lines if (requires := _requirement(line)))


def unmet(requirements: Collection[Requires], versions: Mapping[str, str]) -> Iterator[tuple[Requires, str]]:
    """The requirements that an installed version does not meet, each with that version."""
    for requires in requirements:
        version = versions.get(requires.name, "")
        if version and not requires.met_by(version):
            yield requires, version


@lru_cache(maxsize=1024)
def _requirement(line: str) -> Requires | None:
    """A line of the metadata; None where it does not count."""
    # imported where a plugin states requirements: it costs 40 ms
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return None
    applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    if not applies or not requirement.specifier:
        return None
    # lower bounds first: `packaging` keeps no order
    bounds = sorted(map(str, requirement.specifier), key=lambda bound: (bound.startswith("<"), bound))
    return Requires(canonical(requirement.name), ",".join(bounds))


@lru_cache(maxsize=1024)
def _contains(versions: str, version: str) -> bool:
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    try:
        return SpecifierSet(versions).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True


def _headers(info: Path) -> str:
    content = next(filter(None, (read_metadata(info, name) for name in _FILES)), b"")
    headers = _END_OF_HEADERS.split(content, maxsplit=1)[0].decode("utf-8", errors="replace")
    return headers.replace("\r\n", "\n")


def read_metadata(info: str | Path, name: str) -> bytes:
    """A file of a distribution's metadata; nothing where there is none."""
    try:
        with open(f"{info}/{name}", "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""
