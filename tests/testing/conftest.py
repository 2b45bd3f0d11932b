"""The distribution `planted`, as pip would leave it, and others that a test makes up."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def install(folder: Path, distribution: str, entries: Mapping[str, str]) -> None:
    """Write a distribution's metadata, as pip would."""
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    lines = (f"{name} = {module}" for name, module in entries.items())
    text = "\n".join(["[glidepath.plugins]", *lines, ""])
    (info / "entry_points.txt").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def planted_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of sys.path that holds `planted`; its modules are those beside this file."""
    folder = tmp_path_factory.mktemp("site")
    install(folder, "planted", {"planted": "planted_plugin"})
    sys.path[:0] = [str(folder), str(HERE)]
    yield folder
    for name in (str(folder), str(HERE)):
        sys.path.remove(name)
    for module in ("planted", "planted_changes", "planted_plugin"):
        sys.modules.pop(module, None)
