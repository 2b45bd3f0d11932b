"""Folders of tiny models, made once for the tests of a process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model by its name: a function of `folders`."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
        pytest.importorskip("transformers", reason="needs the extra [diffusers]")
        from . import folders

        if name not in made:
            made[name] = getattr(folders, name)(tmp_path_factory.mktemp(name))
        return made[name]

    return folder
