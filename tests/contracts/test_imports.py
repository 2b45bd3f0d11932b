"""Imports run one way: plugins to registry to core. Only core and the implementations import torch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .sources import (
    CORE,
    PLUGINS,
    REGISTRY,
    ROOT,
    TESTING,
    Import,
    file_of,
    files,
    imports,
    module_of,
    name_of,
)

CORE_MAY_IMPORT = {"torch", "attrs", "glidepath.core"}
TORCH_FREE_CORE = {
    "glidepath.core.errors",
    "glidepath.core.events",
    "glidepath.core.lazy",
    "glidepath.core.size",
    "glidepath.core.spacing",
}
TORCH = {"torch", "safetensors.torch"}
HEAVY = {*TORCH, "numpy", "PIL", "omegaconf", "tqdm"}
"""What takes long to import: not on the way of a command that lists or checks."""


def test_core_imports_torch_attrs_and_the_standard_library_only() -> None:
    allowed = {*CORE_MAY_IMPORT, *sys.stdlib_module_names}
    _refuse(CORE, lambda statement: not statement.within(*allowed))


def test_the_registry_imports_torch_and_core_only_where_it_assembles() -> None:
    _refuse(REGISTRY, lambda it: _eager(it) and it.within(*TORCH))
    _refuse(
        REGISTRY, lambda it: _eager(it) and it.within("glidepath.core") and it.module not in TORCH_FREE_CORE
    )


@pytest.mark.parametrize("folder", [REGISTRY, TESTING], ids=name_of)
def test_the_registry_and_the_conformance_kit_import_no_plugin(folder: Path) -> None:
    _refuse(folder, lambda statement: statement.within("glidepath.plugins"))


@pytest.mark.parametrize("plugin", sorted(file.parent.name for file in PLUGINS.glob("*/plugin.py")))
def test_a_plugin_imports_no_other_plugin(plugin: str) -> None:
    own = f"glidepath.plugins.{plugin}"
    _refuse(PLUGINS / plugin, lambda it: it.within("glidepath.plugins") and not it.within(own))


def _eager(statement: Import) -> bool:
    return not statement.lazy and not statement.typing


def _refuse(folder: Path, refused: Callable[[Import], bool]) -> None:
    """Fail with the places of the import statements below a folder that are refused."""
    found = [
        f"{name_of(file)}:{statement.line} imports {statement.module}"
        for file in files(folder)
        for statement in imports(file)
        if refused(statement)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("file", sorted(PLUGINS.glob("*/plugin.py")), ids=name_of)
def test_the_module_of_a_plugin_imports_nothing_heavy_and_no_parameters(file: Path) -> None:
    """Nor does anything of ours that it imports at module level, as far as that goes."""
    seen: set[Path] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        seen.add(current)
        for statement in imports(current):
            if not _eager(statement):
                continue
            place = f"{name_of(current)}:{statement.line} imports {statement.module}"
            assert not statement.within(*HEAVY), place
            if current.is_relative_to(PLUGINS):  # whose attrs classes are those of parameters
                assert not statement.within("attrs"), place
            target = file_of(statement.module)
            if target is not None and target not in seen:
                waiting.append(target)


@pytest.mark.parametrize("folder", ["core", "registry", "plugins"])
def test_the_namespaces_have_no_init_file(folder: str) -> None:
    """One would hide the parts of the namespace that lie elsewhere."""
    assert not (ROOT / folder / "glidepath" / "__init__.py").exists()
    assert not (PLUGINS / "__init__.py").exists()


LIGHT = [
    "glidepath.core.errors",
    "glidepath.core.events",
    "glidepath.core.spacing",
    *(module_of(file) for file in files(REGISTRY) if file.stem != "__main__"),
    *(module_of(file) for file in files(PLUGINS) if file.stem == "plugin" or "config" in file.stem),
]


def test_importing_what_every_command_needs_imports_no_torch() -> None:
    """Each by itself, in one process: the first that imports torch is named."""
    code = (
        "import sys, importlib\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, f'{name} imports torch'\n"
    )
    path = os.pathsep.join(str(ROOT / name) for name in ("core", "registry", "plugins"))
    done = subprocess.run(
        [sys.executable, "-c", code, *LIGHT],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
