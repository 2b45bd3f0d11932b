"""Distributions of plugins as pip leaves them: a folder of sys.path with packages and their metadata."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

HEAD = """\
import attrs
from glidepath.registry import Command, Component, Extra, Kind, Preset, doc, hookimpl

"""


def install(
    folder: Path,
    distribution: str,
    version: str,
    source: str,
    *,
    requires: Sequence[str] = ("glidepath-diffusion>=0.1",),
    modules: Mapping[str, str] | None = None,
) -> Path:
    """Put a distribution with one plugin, of its name, into a folder; returns the module of the plugin.

    source: what follows the imports in the plugin's module. modules: others of its package, by name.
    """
    package = distribution.replace("-", "_")
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir(parents=True)
    metadata = [f"Name: {distribution}", f"Version: {version}", *(f"Requires-Dist: {it}" for it in requires)]
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *metadata, "", "A plugin.", ""]))
    (info / "entry_points.txt").write_text(f"[glidepath.plugins]\n{distribution} = {package}.plugin\n")
    (info / "INSTALLER").write_text("pip\n")
    (info / "RECORD").write_text("")
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text("")
    for name, text in {"plugin": HEAD + textwrap.dedent(source), **(modules or {})}.items():
        (folder / package / f"{name}.py").write_text(textwrap.dedent(text))
    return folder / package / "plugin.py"


def supplying(kind: str, name: str, target: str, **fields: object) -> str:
    """Source of a hook that supplies one part, with a config class `Config` where there is one."""
    given = "".join(f", {field}={value}" for field, value in fields.items())
    return textwrap.dedent(
        f"""
        @hookimpl
        def components():
            return [Component(kind={kind!r}, name={name!r}, target={target!r}, summary="a part"{given})]
        """
    )
