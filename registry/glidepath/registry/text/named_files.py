"""Files and folders that a spec names: where they are, and whether the spec may name them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath, PureWindowsPath

from glidepath.registry.text.problems import Problems, nearest, quoted
from glidepath.registry.text.tree import Scalar

_YAML = (".yaml", ".yml")


def locate(node: Scalar, path: str, problems: Problems) -> Path | None:
    """The absolute path of what a text names, relative to the folder of the file it stands in.

    A text that came with an image or a checkpoint names files in its folders only: no absolute path, no "..",
    no link that leads out of them. None after a problem.
    """
    name, folder, beside = node.text, node.source.folder, node.source.beside
    if not name or not name.isprintable():
        problems.add(f"{quoted(name)} is not the name of a file", node.place, path)
        return None
    if folder is None:
        problems.add(
            "a spec without a folder may name no file", node.place, path, "say which folder its files are in"
        )
        return None
    folders = [folder] if beside is None else [folder, beside]
    if not node.source.trusted:
        folders = [start for start in folders if _stays_within(start, name)]
    if not folders:
        what = f"{quoted(name)} is outside the folder of the spec"
        hint = "a spec that came with an image or a checkpoint may name files of its own folder only"
        problems.add(what, node.place, path, hint)
        return None
    candidates = [start / name for start in folders]
    if beside is not None and _stays_within(beside, Path(name).name):
        candidates.append(beside / Path(name).name)
    chosen = next((file for file in candidates if is_there(file) or os.path.isdir(file)), candidates[0])
    return Path(os.path.abspath(chosen))


def is_there(path: Path) -> bool:
    """Whether there is such a file; no file has a name that the system does not take."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def leads_out(folder: Path) -> Path | None:
    """A link below a folder that leads out of it, if there is one; None for what is no folder."""
    home = os.path.realpath(folder)
    for base, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(base, name)
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(home):
                return path
    return None


def meant_file(file: Path) -> str:
    """A hint that names the YAML file or folder beside a file that is most like it, whatever they end in."""
    try:
        with os.scandir(file.parent) as beside:
            names = [it.name for it in beside if it.name.endswith(_YAML) or it.is_dir()]
    except (OSError, ValueError):
        return ""
    stems = {name.removesuffix(".yaml").removesuffix(".yml"): name for name in sorted(names)}
    near = nearest(file.stem, stems, cutoff=0.5)
    return f"did you mean {stems[near]!r}?" if near else ""


def models_folders() -> list[Path]:
    """The folders that GLIDEPATH_MODELS names, where models are kept."""
    named = os.environ.get("GLIDEPATH_MODELS", "").split(os.pathsep)
    return [Path(os.path.abspath(os.path.expanduser(name))) for name in named if name]


def portable_names(paths: Iterable[Path]) -> Callable[[PurePath], str]:
    """How files are named for others, who have other folders: nothing private.

    One below the current folder is named relative to it, and one below a folder of models relative to that.
    Of any other only the last name is told, with as many of the folders above as tell it from other `paths`.
    """
    homes = [Path.cwd(), *models_folders()]
    outside = {path.parts for path in paths if not any(map(path.is_relative_to, homes))}

    def written(path: PurePath) -> str:
        if not path.is_absolute():
            return str(path)
        if home := next((home for home in homes if path.is_relative_to(home)), None):
            return path.relative_to(home).as_posix()
        counts = range(1, len(path.parts))
        others = outside - {path.parts}
        needed = next((n for n in counts if all(it[-n:] != path.parts[-n:] for it in others)), 1)
        return PurePath(*path.parts[-needed:]).as_posix()

    return written


def _stays_within(folder: Path, name: str) -> bool:
    windows = PureWindowsPath(name)  # splits at both kinds of slash
    if windows.drive or windows.root or ".." in windows.parts:
        return False
    return Path(os.path.realpath(folder / name)).is_relative_to(os.path.realpath(folder))
