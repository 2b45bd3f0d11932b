"""The folders of the packages that plugins are in, for files that ship with them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from glidepath.registry.discovery.scan import PluginRecord
from glidepath.registry.discovery.unknown import Unknown
from glidepath.registry.text.problems import did_you_mean


def package_folder(package: str, records: Iterable[PluginRecord]) -> Path:
    """The folder of a package that a working plugin is in. Imports nothing.

    package: "acme" or "acme.diffusion"; a folder below a plugin's package may be named as a package too.

    Raises:
        Unknown: no working plugin is in that package.
    """
    records = tuple(records)
    folders = _folders(records)
    words = package.split(".")
    for length in range(len(words), 0, -1):
        folder = folders.get(".".join(words[:length]))
        if folder is not None and all(word.isidentifier() for word in words[length:]):
            below = folder.joinpath(*words[length:])
            if below.is_dir():
                return below
    failed = [
        f"the {record.title} failed to load: {record.error}"
        if record.faults
        else f"the {record.title} is disabled by {record.disabled}"
        for record in records
        if not record.works and record.module.partition(".")[0] == words[0] and record.module
    ]
    hint = (
        did_you_mean(package, folders) or "files can be read from the packages of installed, working plugins"
    )
    raise Unknown(
        f"no working plugin is in a package {package!r}", "; ".join([*failed, hint]), sorted(folders)
    )


def _folders(records: Iterable[PluginRecord]) -> dict[str, Path]:
    """The packages that working plugins are in, with their parents, without namespace packages."""
    folders = {}
    for record in records:
        package = record.module if record.works else ""
        while package:
            file = getattr(sys.modules.get(package), "__file__", None)
            if file and Path(file).stem == "__init__":
                folders[package] = Path(file).parent
            package = package.rpartition(".")[0]
    return folders
