"""The files of an installed distribution: of its RECORD, or of its sources where it is installed editable."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator, Mapping
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path, PurePosixPath


def installed_files(name: str, modules: Collection[str]) -> Mapping[str, Path]:
    """The files that a distribution brings, by the name that they have below a folder of sys.path.

    What an installer writes (metadata, scripts, bytecode) is not among them.

    modules: of the distribution. Where no RECORD lists its files, they are all that is in the packages of
        these. A file has the same name either way, so that an editable installation compares with a wheel.
    """
    try:
        installed = distribution(name)
        recorded = None if _is_editable(installed) else installed.read_text("RECORD")
    except PackageNotFoundError:
        recorded = None
    if recorded:
        names = (row[0] for row in csv.reader(recorded.splitlines()) if row)
        brought = (file for file in names if _is_brought(PurePosixPath(file)))
        files = {file: Path(str(installed.locate_file(file))) for file in brought}
    else:
        files = {file: path for module in modules for file, path in _sources(module)}
    return {file: path for file, path in sorted(files.items()) if path.is_file()}


def _is_editable(installed: Distribution) -> bool:
    try:
        origin = json.loads(installed.read_text("direct_url.json") or "{}")
        return bool(origin.get("dir_info", {}).get("editable"))
    except (ValueError, AttributeError):
        return False


def _is_brought(name: PurePosixPath) -> bool:
    """Whether it is a file of the distribution, not one that an installer or Python makes of it."""
    folders = name.parts[:-1]
    return (
        not name.is_absolute()
        and ".." not in folders
        and "__pycache__" not in folders
        and not any(folder.endswith((".dist-info", ".egg-info", ".data")) for folder in folders)
        and not any(part.startswith(".") for part in name.parts)
        and name.suffix not in (".pyc", ".pyo", ".pth")
    )


def _sources(module: str) -> Iterator[tuple[str, Path]]:
    """The files of the outermost package, that is no namespace, of a module; its own, where it is in none."""
    words = module.split(".")
    path: list[str] | None = None
    for end in range(1, len(words) + 1):
        name = ".".join(words[:end])
        try:
            spec = find_spec(name) if path is None else PathFinder.find_spec(name, path)
        except (ImportError, ValueError):
            return
        if spec is None:
            return
        folders = spec.submodule_search_locations
        if spec.has_location and spec.origin:
            file, home = Path(spec.origin), PurePosixPath(*words[:end])
            if folders is None:
                yield str(home.parent / file.name), file
                return
            for below in file.parent.rglob("*"):
                inside = home / PurePosixPath(below.relative_to(file.parent).as_posix())
                if _is_brought(inside):
                    yield str(inside), below
            return
        path = list(folders or ())
