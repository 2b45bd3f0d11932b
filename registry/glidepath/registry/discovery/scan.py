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
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import attrs
from entrypoints import BadEntryPoint, CaseSensitiveConfigParser, Distribution, EntryPoint

from glidepath.registry.describe.hooks import GROUP
from glidepath.registry.discovery.metadata import canonical, read_metadata, stated
from glidepath.registry.discovery.plugin_record import PluginProblem, PluginRecord

DISTRIBUTION = "glidepath-diffusion"
"""Our own distribution: the one that `--no-plugins` leaves."""

_NAMESAKE = "glidepath"
"""A distribution of another project, whose package has the name of ours."""

_FILE = "entry_points.txt"

_EXTENDS_TORCH = "_import_device_backends"
"""The function of torch that imports what extends it."""

_PLAIN = re.compile(r"([^-]+)(?:-\d[^-]*)?\.dist-info")
"""A folder of metadata that is named as the standard has it: no hyphen but the one before the version."""

_FOLDER = re.compile(r"(.+?)(?:-(\d.*?))?(?:-py\d.*)?\.(?:dist|egg)-info")
"""Another: its name alone does not say where the version begins, or whether there is one."""


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

    Of a distribution that is there twice, the one that Python
    would import counts: the first. A folder of metadata that an upgrade left without its METADATA is none.
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


def unreadable(path: Sequence[str] | None = None, *, ours: bool = False) -> tuple[tuple[str, str], ...]:
    """Entry points that cannot be read, as (file, reason).

    `scan` passes over such files. This reads every one, for a person who asks why a plugin does not show.

    ours: also those that name our group, of which `scan` tells.
    """
    broken = []
    for _, info in _distributions(sys.path if path is None else path):
        content = _entry_points(info)
        try:
            if ours or GROUP.encode() not in content:
                _parse(content)
        except (configparser.Error, UnicodeDecodeError) as error:
            broken.append((str(Path(info, _FILE)), _one_line(error)))
    return tuple(sorted(broken))


def unreadable_metadata(error: BaseException) -> str:
    """What to say of an error that is due to the metadata of some distribution; "" of any other.

    When torch is imported it reads the entry points of all distributions, and imports those that extend it.
    It stops at the first that fails.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    broken = {}
    if any(str(frame.f_globals.get("__name__")).startswith("importlib.metadata") for frame in frames):
        broken = {file: f"cannot be read ({reason})" for file, reason in unreadable(ours=True)}
    elif any(frame.f_code.co_name == _EXTENDS_TORCH for frame in frames):
        broken = {
            str(Path(info, _FILE)): f"names what torch cannot import ({_one_line(error.__cause__ or error)})"
            for _, info in _distributions(sys.path)
            if b"[torch.backends]" in _entry_points(info)
        }
    names = {file: _identity(os.path.dirname(file)).name for file in broken}
    return "\n    ".join(
        f"{file} {what}, and so torch cannot be imported: reinstall or uninstall {names[file]}"
        for file, what in broken.items()
    )


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


def installed_names() -> list[str]:
    """The canonical names of all installed distributions."""
    return [name for name, _ in _distributions(sys.path)]


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
    found: dict[str, list[str]] = {}
    for folder in path:
        for name in sorted(_listed(folder or ".")):
            # pip renames what it could not remove to ~name
            if name.endswith((".dist-info", ".egg-info", "EGG-INFO")) and not name.startswith("~"):
                info = os.path.join(folder or ".", name)
                plain = _PLAIN.fullmatch(name)
                distribution = canonical(plain[1] if plain else str(_identity(info).name))
                found.setdefault(distribution, []).append(info)
    for distribution, infos in found.items():
        complete = infos if len(infos) == 1 else (info for info in infos if stated(Path(info))[0])
        yield distribution, next(iter(complete), infos[0])


def _listed(folder: str) -> Iterable[str]:
    """What is at the top of a folder of the path; nothing of a zip file."""
    try:
        return os.listdir(folder)
    except OSError:
        return ()


def _entry_points(info: str) -> bytes:
    """What the entry_points.txt of a distribution holds; nothing where there is none."""
    return read_metadata(info, _FILE)


def _identity(info: str) -> Distribution:
    """What the metadata states; where it states nothing, what the name of its folder says."""
    folder = _FOLDER.fullmatch(os.path.basename(info))
    name, version = (folder[1], folder[2]) if folder else (os.path.basename(info), "")
    its_name, its_version = stated(Path(info))
    return Distribution(canonical(its_name or name), its_version or version or "")


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


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
