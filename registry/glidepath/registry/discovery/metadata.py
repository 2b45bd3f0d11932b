"""What an installed distribution says of itself, read from its METADATA before anything of it is imported."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_FILES = ("METADATA", "PKG-INFO")
_VERSION = re.compile(r"^Version:\s*(\S+)", re.MULTILINE | re.IGNORECASE)
_REQUIRES = re.compile(r"^Requires-Dist:\s*(([\w.-]+).*)$", re.MULTILINE | re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})*", re.ASCII)
_BOUND = re.compile(rf"\s*(>=|<=|==|!=|<|>)\s*({_NUMBER.pattern})\s*", re.ASCII)
_COMPARED: Mapping[str, Callable[[list[int], list[int]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
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
        return _holds(self.versions, version)


def stated_version(info: Path) -> str:
    """The version that the metadata states, "" when there is none."""
    found = _VERSION.search(_headers(info))
    return found[1] if found else ""


def stated_requirements(info: Path, among: Collection[str]) -> tuple[Requires, ...]:
    """What a distribution requires of those in `among` (canonical names), where it bounds their versions.

    A requirement of an extra, or for another system or Python, does not count; nor does one that cannot be
    read: it was for the installer to complain of.
    """
    return tuple(_requirements(_headers(info), among))


def _requirements(headers: str, among: Collection[str]) -> Iterator[Requires]:
    for line, name in _REQUIRES.findall(headers):
        if canonical(name) not in among:
            continue
        if bounds := _bounds(line.strip()[len(name) :]):
            yield Requires(canonical(name), ",".join(f"{how}{bound}" for how, bound in bounds))
            continue
        from packaging.requirements import InvalidRequirement  # most starts do without

        try:
            requirement = _parsed(line.strip())
            holds = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        except InvalidRequirement:
            continue
        if holds and requirement.specifier:
            yield Requires(canonical(requirement.name), _in_order(requirement))


def unmet(requirements: Collection[Requires], versions: Mapping[str, str]) -> Iterator[tuple[Requires, str]]:
    """The requirements that an installed version does not meet, each with that version."""
    for requires in requirements:
        version = versions.get(requires.name, "")
        if version and not requires.met_by(version):
            yield requires, version


@lru_cache(maxsize=1024)
def _holds(versions: str, version: str) -> bool:
    if (bounds := _bounds(versions)) and _NUMBER.fullmatch(version):
        return all(_COMPARED[how](*_of_one_length(version, bound)) for how, bound in bounds)
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    try:
        return SpecifierSet(versions).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True


@lru_cache(maxsize=1024)
def _bounds(versions: str) -> list[tuple[str, str]]:
    """A range such as ">=0.1,<0.3" as pairs; [] for any other, which takes `packaging`, and that 40 ms."""
    pairs = [_BOUND.fullmatch(one) for one in versions.split(",")]
    return [(pair[1], pair[2]) for pair in pairs if pair] if all(pairs) else []


def _of_one_length(one: str, other: str) -> tuple[list[int], list[int]]:
    """Versions as numbers, with zeros behind the shorter: 1.0 is 1."""
    numbers = [list(map(int, text.split("."))) for text in (one, other)]
    length = max(map(len, numbers))
    first, second = ([*some, *[0] * (length - len(some))] for some in numbers)
    return first, second


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Requirement:
    from packaging.requirements import Requirement

    return Requirement(text)


def _in_order(requirement: Requirement) -> str:
    """The range, its lower bounds first: `packaging` keeps no order."""
    return ",".join(sorted(map(str, requirement.specifier), key=lambda one: (one.startswith("<"), one)))


def _headers(info: Path) -> str:
    for name in _FILES:
        try:
            with open(f"{info}/{name}", "rb", buffering=0) as file:
                content = file.read()
        except OSError:
            continue
        headers = _END_OF_HEADERS.split(content, maxsplit=1)[0].decode("utf-8", errors="replace")
        return headers.replace("\r\n", "\n")
    return ""
