"""Which plugins are installed: found by their entry points, before anything is imported.

The `entrypoints` package supplies the types. The scan is ours: the package's own stops at the first file that
it cannot read, of whichever distribution, and hides every plugin behind it. Here each file is read alone.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import attrs
from entrypoints import BadEntryPoint, CaseSensitiveConfigParser, Distribution, EntryPoint

from glidepath.registry.describe.hooks import GROUP
from glidepath.registry.discovery.metadata import canonical, stated_version
from glidepath.registry.discovery.plugin_record import PluginProblem, PluginRecord

DISTRIBUTION = "glidepath-diffusion"
"""Our own distribution: the one that `--no-plugins` leaves."""

_NAMESAKE = "glidepath"
"""A distribution of another project, whose package has the name of ours."""

_FILE = "entry_points.txt"


@attrs.frozen(kw_only=True)
class InstalledPlugin:
    """An entry point of the group, not imported.

    entry: of the `entrypoints` package; its `distro` has the canonical name.
    file: the entry_points.txt that holds it.
    """

    entry: EntryPoint
    file: Path

    @property
    def name(self) -> str:
        """The entry point's name."""
        return str(self.entry.name)

    @property
    def distribution(self) -> str:
        """The canonical name of the distribution."""
        return str(self.entry.distro.name)

    @property
    def version(self) -> str:
        """The version of the distribution."""
        return str(self.entry.distro.version or "")

    @property
    def module(self) -> str:
        """The module that it names."""
        return str(self.entry.module_name)

    @property
    def info(self) -> Path:
        """The folder of the distribution's metadata."""
        return self.file.parent


@attrs.frozen
class Scan:
    """What is installed: entry points, by distribution and name; and records of those that are malformed.

    versions: of glidepath and of the distributions with plugins, by name; "" where nothing states it.
    warnings: what else is installed and in the way.
    """

    plugins: tuple[InstalledPlugin, ...]
    malformed: tuple[PluginRecord, ...]
    versions: Mapping[str, str] = MappingProxyType({})
    warnings: tuple[str, ...] = ()


def scan(path: Sequence[str] | None = None) -> Scan:
    """Read the entry points of the distributions on `path` (sys.path unless given).

    Of a distribution that is there twice, the one that Python would import counts: the first.
    Zip files and eggs are not looked into.
    """
    plugins: list[InstalledPlugin] = []
    malformed: list[PluginRecord] = []
    versions: dict[str, str] = {}
    warnings: list[str] = []
    for name, info in _distributions(sys.path if path is None else path):
        if name == DISTRIBUTION:  # without plugins of its own, too
            versions[DISTRIBUTION] = str(_identity(info).version or "")
        content = _entry_points(info)
        # The group's name without its brackets, so that a header with a typing error is seen and reported.
        if GROUP.encode() not in content:
            if name == _NAMESAKE:
                warnings.append(
                    f"{name} {_identity(info).version}, another project, is installed beside {DISTRIBUTION}, "
                    f"and its package has the same name: pip uninstall {name}"
                )
            continue
        file, distro = Path(info, _FILE), _identity(info)
        versions[distro.name] = str(distro.version or "")
        try:
            entries, twice = _parse(content)
        except (configparser.Error, UnicodeDecodeError) as error:
            malformed.append(_malformed(distro, file, "", _one_line(error)))
            continue
        for entry in twice:
            malformed.append(_malformed(distro, file, entry, f"the name {entry!r} occurs twice in [{GROUP}]"))
        for entry, value in entries.items():
            try:
                plugins.append(InstalledPlugin(entry=EntryPoint.from_string(value, entry, distro), file=file))
            except BadEntryPoint:
                malformed.append(
                    _malformed(distro, file, entry, f"{value!r} is not of the form 'package.module'")
                )
    return Scan(
        tuple(sorted(plugins, key=lambda entry: (entry.distribution, entry.name))),
        tuple(sorted(malformed, key=lambda record: (record.distribution, record.name))),
        MappingProxyType(versions),
        tuple(warnings),
    )


def unreadable(path: Sequence[str] | None = None) -> tuple[tuple[str, str], ...]:
    """Entry points that cannot be read and do not name our group, as (file, reason).

    `scan` passes over such files. This reads every one, for a person who asks why a plugin does not show.
    """
    broken = []
    for _, info in _distributions(sys.path if path is None else path):
        content = _entry_points(info)
        try:
            if GROUP.encode() not in content:
                _parse(content)
        except (configparser.Error, UnicodeDecodeError) as error:
            broken.append((str(Path(info, _FILE)), _one_line(error)))
    return tuple(sorted(broken))


def installed_version(distribution: str, path: Sequence[str] | None = None) -> str:
    """The version of an installed distribution, "" when it is not installed."""
    wanted = canonical(distribution)
    for name, info in _distributions(sys.path if path is None else path):
        if name == wanted:
            return str(_identity(info).version)
    return ""


def own_version() -> str:
    """Our own version, "unknown" when glidepath runs from a source tree without being installed."""
    return installed_version(DISTRIBUTION) or "unknown"


def installed_names(path: Sequence[str] | None = None) -> list[str]:
    """The canonical names of all installed distributions."""
    return [name for name, _ in _distributions(sys.path if path is None else path)]


def install_remedy(distribution: str, versions: str) -> str:
    """What brings a distribution of such versions (">=1,<2", "==1.2")."""
    if canonical(distribution) == _NAMESAKE:
        return f"glidepath's own distribution is named {DISTRIBUTION}"
    wanted = f"{distribution}{versions}"
    return f"pip install {wanted}" if shlex.quote(wanted) == wanted else f'pip install "{wanted}"'


def _distributions(path: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The canonical name and the metadata folder of each distribution, the first of each name.

    Folders are text here: few of the many have plugins, and a `Path` takes as long to make as to open a file.
    """
    seen: set[str] = set()
    for folder in path:
        try:
            names = sorted(os.listdir(folder or "."))
        except OSError:
            continue
        for name in names:
            # pip renames what it could not remove to ~name
            if not name.endswith((".dist-info", ".egg-info")) or name.startswith("~"):
                continue
            distribution = canonical(_stem(name).partition("-")[0])
            if distribution not in seen:
                seen.add(distribution)
                yield distribution, os.path.join(folder or ".", name)


def _entry_points(info: str) -> bytes:
    """What the entry_points.txt of a distribution holds; nothing where there is none."""
    try:
        with open(os.path.join(info, _FILE), "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""


def _identity(info: str) -> Distribution:
    distro = Distribution.from_name_version(_stem(os.path.basename(info)))
    # the folder of an .egg-info in a source tree has no version in its name
    version = re.sub(r"-py\d.*", "", distro.version) if distro.version else stated_version(Path(info))
    return Distribution(canonical(distro.name), version)


def _stem(folder: str) -> str:
    """The name of a metadata folder without its ending: "acme-1.0", or "acme" for one in a source tree."""
    return folder[: -len(".dist-info")]


def _parse(content: bytes) -> tuple[dict[str, str], list[str]]:
    """The group's entries by name, and the names that occur twice among them."""
    text = content.decode("utf-8-sig")
    twice: list[str] = []
    try:
        parser = _parser(text, strict=True)
    except configparser.DuplicateOptionError as error:
        if error.section == GROUP:
            twice.append(error.option)
        parser = _parser(text, strict=False)
    except configparser.DuplicateSectionError:
        parser = _parser(text, strict=False)
    return (dict(parser[GROUP]) if parser.has_section(GROUP) else {}), twice


def _parser(text: str, *, strict: bool) -> configparser.ConfigParser:
    # A section called DEFAULT would leak into every group, and a % would be an interpolation.
    parser: configparser.ConfigParser = CaseSensitiveConfigParser(
        delimiters=("=",), interpolation=None, strict=strict, default_section=""
    )
    parser.read_string(text, source="entry_points.txt")
    return parser


def _malformed(distro: Distribution, file: Path, name: str, error: str) -> PluginRecord:
    hint = f"reinstall {distro.name}, or tell its authors: its entry points are malformed"
    return PluginRecord(
        name=name,
        distribution=distro.name,
        version=distro.version or "",
        file=str(file),
        problems=(PluginProblem(stage="scan", error=error, hint=hint, where=str(file)),),
    )


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
