"""Which plugins are installed, and which may load: found by their entry points, before anything is imported.

The `entrypoints` package supplies the types. The scan is ours: the package's own stops at the first file that
it cannot read, of whichever distribution, and hides every plugin behind it. Here each file is read alone.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import attrs
from entrypoints import BadEntryPoint, CaseSensitiveConfigParser, Distribution, EntryPoint

from glidepath.registry.describe.hooks import GROUP
from glidepath.registry.discovery.metadata import canonical as canonical
from glidepath.registry.discovery.metadata import stated_version
from glidepath.registry.text.problems import did_you_mean

DISTRIBUTION = "glidepath-diffusion"
"""Our own distribution: the one that `--no-plugins` leaves."""

_NAMESAKE = "glidepath"
"""A distribution of another project, whose package has the name of ours."""

NOT_LOADED = ("scan", "requires", "import", "register")
"""Stages of which a fault means that nothing of the plugin can be used."""


_FILE = "entry_points.txt"
_HEADER = re.compile(r"\[([\w.-]+)\]", re.ASCII)
_ENTRY = re.compile(r"([\w.-]+) ?= ?([\w.:-]+)", re.ASCII)


@attrs.frozen(kw_only=True)
class Fault:
    """Why a plugin, or something that it supplies, cannot be used.

    stage: where it came to light: "scan", "requires", "import", "register", "hook components", "target", ...
    error: what is wrong, in one sentence.
    hint: what would put it right.
    where: "file:line" of the cause, where it is known.
    """

    stage: str
    error: str
    hint: str = ""
    where: str = ""


@attrs.frozen(kw_only=True)
class PluginRecord:
    """What became of one entry point of the group `glidepath.plugins`.

    name: the entry point's; "" when a distribution's entry points could not be read at all.
    distribution: canonical (PEP 503) name. version: "" when the metadata does not say.
    module: what the entry point names, "package.module".
    file: the module's file once it is imported; until then the entry_points.txt that names it.
    disabled: which switch keeps it from loading, "" when none does.
    faults: all that is wrong with it, in the order in which it came to light.
    warnings: what its author should know, and what stops nothing.
    requires: which versions of glidepath and of other plugins its distribution asks for, "acme>=0.1".
    lacks: why parts of it cannot be used here, where nothing is wrong with them; `examination` fills it.
    components: "kind/name" of each part that it supplies; kinds, presets, commands: the names of those.
    """

    name: str
    distribution: str
    version: str = ""
    module: str = ""
    file: str = ""
    disabled: str = ""
    faults: tuple[Fault, ...] = ()
    warnings: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    lacks: tuple[Fault, ...] = ()
    components: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    presets: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    @property
    def stage(self) -> str:
        """ "ok", "disabled", or the stage of the first fault."""
        if self.disabled:
            return "disabled"
        return self.faults[0].stage if self.faults else "ok"

    @property
    def error(self) -> str:
        """The first fault, "" when there is none."""
        return self.faults[0].error if self.faults else ""

    @property
    def hint(self) -> str:
        """What would put the first fault right."""
        return self.faults[0].hint if self.faults else ""

    @property
    def works(self) -> bool:
        """Whether it was imported and registered: what of it is sound can be used."""
        return not self.disabled and not any(fault.stage in NOT_LOADED for fault in self.faults)

    @property
    def title(self) -> str:
        """The plugin as messages name it."""
        release = f"{self.distribution} {self.version}".strip()
        return f"plugin {self.name!r} of {release}" if self.name else release


@attrs.frozen(kw_only=True)
class Found:
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

    found: tuple[Found, ...]
    malformed: tuple[PluginRecord, ...]
    versions: Mapping[str, str] = MappingProxyType({})
    warnings: tuple[str, ...] = ()


def scan(path: Sequence[str] | None = None) -> Scan:
    """Read the entry points of the distributions on `path` (sys.path unless given).

    Of a distribution that is there twice, the one that Python would import counts: the first.
    Zip files and eggs are not looked into.
    """
    found: list[Found] = []
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
                found.append(Found(entry=EntryPoint.from_string(value, entry, distro), file=file))
            except BadEntryPoint:
                malformed.append(
                    _malformed(distro, file, entry, f"{value!r} is not of the form 'package.module'")
                )
    return Scan(
        tuple(sorted(found, key=lambda entry: (entry.distribution, entry.name))),
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
    if (plain := _plain(text)) is not None:
        return plain, twice
    try:
        parser = _parser(text, strict=True)
    except configparser.DuplicateOptionError as error:
        if error.section == GROUP:
            twice.append(error.option)
        parser = _parser(text, strict=False)
    except configparser.DuplicateSectionError:
        parser = _parser(text, strict=False)
    return (dict(parser[GROUP]) if parser.has_section(GROUP) else {}), twice


def _plain(text: str) -> dict[str, str] | None:
    """The group's entries in a file as build tools write it; None for any other, which takes longer."""
    entries: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    section = ""
    for line in text.splitlines():
        if header := _HEADER.fullmatch(line):
            section = header[1]
            name = ""
        elif entry := _ENTRY.fullmatch(line):
            name = entry[1]
            if section == GROUP:
                entries[name] = entry[2]
        elif line:
            return None
        else:
            continue
        if not section or (section, name) in seen:
            return None
        seen.add((section, name))
    return entries


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
        faults=(Fault(stage="scan", error=error, hint=hint, where=str(file)),),
    )


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@attrs.frozen
class Switch:
    """One setting that keeps plugins from loading.

    source: what set it, as messages name it: "GLIDEPATH_DISABLE", "--no-plugins", "plugins.allow".
    names: entry-point names, distributions, or "distribution/name".
    allows: True for a list of the only ones that may load, False for a list of those that may not.
    """

    source: str
    names: tuple[str, ...]
    allows: bool

    def refuses(self, plugin: Found) -> bool:
        """Whether it keeps `plugin` from loading."""
        return self.allows != any(_names(name, plugin) for name in self.names)

    def unmatched(self, plugins: Collection[Found]) -> Iterator[str]:
        """A warning for each name that is no installed plugin's."""
        for name in self.names:
            if not any(_names(name, plugin) for plugin in plugins):
                known = {spelling for plugin in plugins for spelling in (plugin.name, plugin.distribution)}
                hint = did_you_mean(name, known)
                yield f"{self.source} names {name!r}, which is not installed" + (f"; {hint}" if hint else "")


def _names(name: str, plugin: Found) -> bool:
    distribution, slash, entry = name.partition("/")
    if slash:
        return (canonical(distribution), canonical(entry)) == (plugin.distribution, canonical(plugin.name))
    return canonical(name) in (plugin.distribution, canonical(plugin.name))


def switches(
    environ: Mapping[str, str], *, no_plugins: bool, allow: Collection[str] | None, deny: Collection[str]
) -> tuple[Switch, ...]:
    """All settings together: a plugin loads when none refuses it. An empty variable counts as absent."""
    chosen = []
    if no_plugins:
        chosen.append(Switch("--no-plugins", (DISTRIBUTION,), allows=True))
    if allowed := _listed(environ.get("GLIDEPATH_PLUGINS", "")):
        chosen.append(Switch("GLIDEPATH_PLUGINS", allowed, allows=True))
    if denied := _listed(environ.get("GLIDEPATH_DISABLE", "")):
        chosen.append(Switch("GLIDEPATH_DISABLE", denied, allows=False))
    if allow is not None:
        chosen.append(Switch("plugins.allow", tuple(allow), allows=True))
    if deny:
        chosen.append(Switch("plugins.deny", tuple(deny), allows=False))
    return tuple(chosen)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
