"""Files that a spec names: where they are, and whether the spec may name them."""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath

from glidepath.registry.faults import Faults, shown
from glidepath.registry.tree import Scalar


def locate(node: Scalar, path: str, faults: Faults) -> Path | None:
    """The absolute path of the file that a text names, relative to the folder of the file it stands in.

    A text that came with an image or a checkpoint names files in its folder only: no absolute path, no "..",
    no link that leads out of it. None after a fault.
    """
    name, folder = node.text, node.source.folder
    if not name or not name.isprintable():
        faults.add(f"{shown(name)} is not the name of a file", node.place, path)
        return None
    if folder is None:
        faults.add(
            "a spec without a folder may name no file", node.place, path, "say which folder its files are in"
        )
        return None
    located = Path(os.path.abspath(folder / name))
    if not node.source.trusted and not _stays_within(folder, name):
        what = f"{shown(name)} is outside the folder of the spec"
        hint = "a spec that came with an image or a checkpoint may name files of its own folder only"
        faults.add(what, node.place, path, hint)
        return None
    return located


def _stays_within(folder: Path, name: str) -> bool:
    windows = PureWindowsPath(name)  # splits at both kinds of slash
    if windows.drive or windows.root or ".." in windows.parts:
        return False
    return Path(os.path.realpath(folder / name)).is_relative_to(os.path.realpath(folder))
