"""The project's modules and their imports, read without importing any of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
CORE, REGISTRY, PLUGINS = (ROOT / name / "glidepath" / name for name in ("core", "registry", "plugins"))
TESTING = ROOT / "registry" / "glidepath" / "testing"
FACES = {f"glidepath.{folder.name}": folder for folder in (CORE, REGISTRY, TESTING)}
"""The public packages, whose names stand in `__init__.pyi`."""


@attrs.frozen
class Import:
    """An import statement. lazy: inside a function. typing: under `if TYPE_CHECKING`.

    names: what is taken from the module, of `from module import names`.
    """

    module: str
    line: int
    lazy: bool
    typing: bool
    names: tuple[str, ...] = ()

    def within(self, *packages: str) -> bool:
        """Whether the module is one of these packages, or inside one."""
        return any(self.module == package or self.module.startswith(f"{package}.") for package in packages)


@cache
def imports(file: Path) -> tuple[Import, ...]:
    """The imports of a file, those inside functions included."""
    return tuple(_walk(ast.parse(file.read_text(encoding="utf-8")), lazy=False, typing=False))


def _walk(node: ast.AST, *, lazy: bool, typing: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, lazy, typing)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: relative imports hide where a module is"
            module = str(child.module)
            names = [alias.name for alias in child.names]
            submodules = [name for name in names if file_of(f"{module}.{name}") is not None]
            for name in submodules:
                yield Import(f"{module}.{name}", child.lineno, lazy, typing)
            rest = tuple(name for name in names if name not in submodules)
            if rest:
                yield Import(module, child.lineno, lazy, typing, rest)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _walk(child, lazy=True, typing=typing)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _walk(ast.Module(child.body, []), lazy=lazy, typing=True)
            yield from _walk(ast.Module(child.orelse, []), lazy=lazy, typing=typing)
        else:
            yield from _walk(child, lazy=lazy, typing=typing)


def file_of(module: str) -> Path | None:
    """The file of a module of the project; None for other modules, and for what is no module."""
    for root in ("core", "registry", "plugins"):
        place = ROOT.joinpath(root, *module.split("."))
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file
    return None


@cache
def _face(package: str) -> dict[str, Path]:
    """Which file a public name of a face comes from."""
    stub = ast.parse((FACES[package] / "__init__.pyi").read_text(encoding="utf-8"))
    return {
        name: file
        for statement in stub.body
        if isinstance(statement, ast.ImportFrom) and (file := file_of(str(statement.module)))
        for name in (alias.asname or alias.name for alias in statement.names)
    }


def targets(file: Path) -> Iterator[tuple[Import, Path]]:
    """What a file imports of the project, as files; a name of a face stands for the file that defines it."""
    for statement in imports(file):
        if statement.module in FACES and statement.names:
            for name in statement.names:
                yield statement, _face(statement.module)[name]
        elif target := file_of(statement.module):
            yield statement, target


def files(*folders: Path) -> list[Path]:
    """The Python files of some folders, in order."""
    return sorted(file for folder in folders for file in folder.rglob("*.py"))


def name_of(file: Path) -> str:
    """A file's path within the project."""
    return file.relative_to(ROOT).as_posix()


def module_of(file: Path) -> str:
    """The name by which a file is imported."""
    module = file.relative_to(ROOT).with_suffix("").parts[1:]
    return ".".join(module[:-1] if module[-1] == "__init__" else module)
