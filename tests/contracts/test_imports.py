"""Imports run one way: plugins to registry to core. Only core and the implementations import torch."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[2]
KIT = ROOT / "registry" / "glidepath" / "testing"
CORE, REGISTRY, PLUGINS = (ROOT / name / "glidepath" / name for name in ("core", "registry", "plugins"))

CORE_MAY_IMPORT = {"torch", "attrs", "glidepath.core"}
TORCH_FREE_CORE = {"glidepath.core.errors", "glidepath.core.lazy", "glidepath.core.spacing"}
TORCH = {"torch", "safetensors.torch"}
HEAVY = {*TORCH, "numpy", "PIL", "omegaconf", "tqdm"}
"""What takes long to import: not on the way of a command that lists or checks."""


@attrs.frozen
class Import:
    """An import statement. lazy: inside a function. typing: under `if TYPE_CHECKING`."""

    module: str
    line: int
    lazy: bool
    typing: bool

    def within(self, *packages: str) -> bool:
        return any(self.module == package or self.module.startswith(f"{package}.") for package in packages)


def _imports(file: Path) -> list[Import]:
    return list(_walk(ast.parse(file.read_text(encoding="utf-8")), lazy=False, typing=False))


def _walk(node: ast.AST, *, lazy: bool, typing: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, lazy, typing)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: relative imports hide where a module is"
            for alias in child.names:
                whole = f"{child.module}.{alias.name}"
                submodule = _file_of(whole) is not None
                yield Import(whole if submodule else str(child.module), child.lineno, lazy, typing)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _walk(child, lazy=True, typing=typing)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _walk(ast.Module(child.body, []), lazy=lazy, typing=True)
            yield from _walk(ast.Module(child.orelse, []), lazy=lazy, typing=typing)
        else:
            yield from _walk(child, lazy=lazy, typing=typing)


def _file_of(module: str) -> Path | None:
    for root in ("core", "registry", "plugins"):
        place = ROOT.joinpath(root, *module.split("."))
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file
    return None


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _name(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", _files(CORE), ids=_name)
def test_core_imports_torch_attrs_and_the_standard_library_only(file: Path) -> None:
    allowed = {*CORE_MAY_IMPORT, *sys.stdlib_module_names}
    strangers = [it for it in _imports(file) if not it.within(*allowed)]
    assert not strangers


@pytest.mark.parametrize("file", _files(REGISTRY), ids=_name)
def test_the_registry_imports_torch_and_core_only_where_it_assembles(file: Path) -> None:
    for it in _imports(file):
        if it.lazy or it.typing:
            continue
        assert not it.within(*TORCH), f"line {it.line} imports {it.module} at module level"
        if it.within("glidepath.core"):
            assert it.module in TORCH_FREE_CORE, f"line {it.line} imports {it.module}, which imports torch"


@pytest.mark.parametrize("file", [*_files(REGISTRY), *_files(KIT)], ids=_name)
def test_the_registry_and_the_conformance_kit_import_no_plugin(file: Path) -> None:
    assert not [it for it in _imports(file) if it.within("glidepath.plugins")]


@pytest.mark.parametrize("file", _files(PLUGINS), ids=_name)
def test_a_plugin_imports_no_other_plugin(file: Path) -> None:
    own = f"glidepath.plugins.{file.relative_to(PLUGINS).parts[0]}"
    foreign = [it for it in _imports(file) if it.within("glidepath.plugins") and not it.within(own)]
    assert not foreign


@pytest.mark.parametrize("file", sorted(PLUGINS.glob("*/plugin.py")), ids=_name)
def test_the_module_of_a_plugin_imports_nothing_heavy_and_no_parameters(file: Path) -> None:
    """Nor does anything of ours that it imports at module level, as far as that goes."""
    seen: set[Path] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        seen.add(current)
        for it in _imports(current):
            if it.lazy or it.typing:
                continue
            assert not it.within(*HEAVY), f"{_name(current)}:{it.line} imports {it.module}"
            if current.is_relative_to(PLUGINS):  # whose attrs classes are those of parameters
                assert not it.within("attrs"), f"{_name(current)}:{it.line} imports {it.module}"
            target = _file_of(it.module)
            if target is not None and target not in seen:
                waiting.append(target)


@pytest.mark.parametrize("folder", ["core", "registry", "plugins"])
def test_the_namespaces_have_no_init_file(folder: str) -> None:
    """One would hide the parts of the namespace that lie elsewhere."""
    assert not (ROOT / folder / "glidepath" / "__init__.py").exists()
    assert not (PLUGINS / "__init__.py").exists()


LIGHT = [
    "glidepath.core.errors",
    "glidepath.core.spacing",
    "glidepath.registry",
    *(f"glidepath.registry.{file.stem}" for file in sorted(REGISTRY.glob("*.py")) if file.stem != "__init__"),
    *(f"glidepath.registry.cli.{file.stem}" for file in sorted((REGISTRY / "cli").glob("[a-z]*.py"))),
    *(f"glidepath.plugins.{file.parent.name}.plugin" for file in sorted(PLUGINS.glob("*/plugin.py"))),
    *(f"glidepath.plugins.{file.parent.name}.{file.stem}" for file in sorted(PLUGINS.glob("*/*config*.py"))),
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
