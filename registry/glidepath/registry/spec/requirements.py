"""The section `plugins` of a spec: which distributions it needs, and which plugins it lets in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from glidepath.registry.describe.component import doc
from glidepath.registry.discovery.metadata import canonical
from glidepath.registry.discovery.scan import install_remedy, installed_names, installed_version
from glidepath.registry.discovery.switches import switches
from glidepath.registry.text.problems import Problems, did_you_mean, quoted
from glidepath.registry.text.tree import Entry, MappingNode, Scalar, join_path

if TYPE_CHECKING:
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.discovery.components import Registered


_LONGEST_RANGE = 200
_ALIKE = 0.85
"""Of difflib: a letter more, less or moved. The name of a plugin's distribution often begins as another's."""


@attrs.frozen(kw_only=True)
class PluginsSection:
    """What a spec says of plugins. Names are those of plugins, of distributions, or "distribution/plugin"."""

    require: dict[str, str] = attrs.field(
        factory=dict,
        metadata=doc("distributions that must be installed, each with a range of versions (PEP 440)"),
    )
    allow: tuple[str, ...] | None = attrs.field(default=None, metadata=doc("the only plugins that may load"))
    deny: tuple[str, ...] = attrs.field(default=(), metadata=doc("plugins that may not load"))


def check_requirements(root: MappingNode, catalogue: Catalogue, problems: Problems) -> None:
    """Add a problem for each distribution of `plugins.require` that is absent or out of range."""
    plugins = root.get("plugins")
    required = plugins.get("require") if isinstance(plugins, MappingNode) else None
    if isinstance(required, MappingNode):
        for name, entry in required.items.items():
            if isinstance(entry.node, Scalar) and entry.node.is_text:
                _check(name, entry, entry.node, catalogue, problems)


def _check(name: str, entry: Entry, wanted: Scalar, catalogue: Catalogue, problems: Problems) -> None:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    path = join_path("plugins.require", name)
    try:
        if len(wanted.text) > _LONGEST_RANGE:
            raise InvalidSpecifier
        specifiers = SpecifierSet(wanted.text)
    except InvalidSpecifier:
        what, hint = f"{quoted(wanted.text)} is not a range of versions", 'such as ">=1.2,<2"'
        problems.add(what, wanted.place, path, hint)
        return
    version = _installed(name, catalogue)
    hint = install_remedy(name, wanted.text)
    if version is None:
        hint = did_you_mean(canonical(name[:_LONGEST_RANGE]), installed_names(), _ALIKE) or hint
        problems.add(f"the spec requires {quoted(name)}, which is not installed", entry.key, path, hint)
    elif not specifiers.contains(version, prereleases=True):
        problems.add(
            f"the spec requires {name} {wanted.text}, and {version} is installed", wanted.place, path, hint
        )


def _installed(name: str, catalogue: Catalogue) -> str | None:
    for record in catalogue.records:
        if record.distribution == canonical(name) and record.version:
            return record.version
    return installed_version(name) or None


def refused_by(section: PluginsSection, registered: Registered) -> str:
    """Which switch of the section keeps a component's plugin out, "" for none."""
    chosen = switches({}, no_plugins=False, allow=section.allow, deny=section.deny)
    whose = registered.distribution, registered.plugin
    return next((switch.source for switch in chosen if switch.refuses(*whose)), "")
