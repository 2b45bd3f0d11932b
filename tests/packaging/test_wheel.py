"""What is built for users: one wheel with the three packages, their types and data, and nothing else."""

from __future__ import annotations

import configparser
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from .wheels import build_wheels

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = ("core", "registry", "plugins")
NAMESPACES = (PurePosixPath("glidepath"), PurePosixPath("glidepath/plugins"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    (file,) = build_wheels([ROOT], tmp_path_factory.mktemp("wheel"))
    return zipfile.ZipFile(file)


def _sources() -> dict[str, Path]:
    """Every file of the three packages, by the name that it has in the wheel."""
    found = {}
    for package in PACKAGES:
        for file in (ROOT / package / "glidepath").rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                found[file.relative_to(ROOT / package).as_posix()] = file
    return found


def test_the_wheel_holds_every_file_of_the_three_packages(wheel: zipfile.ZipFile) -> None:
    """A line such as `core` in .gitignore would leave a package out, silently."""
    missing = set(_sources()) - set(wheel.namelist())
    assert not missing


def test_the_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    strangers = {name for name in wheel.namelist() if ".dist-info/" not in name} - set(_sources())
    assert not strangers


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_there(wheel: zipfile.ZipFile, package: str) -> None:
    assert any(name.startswith(f"glidepath/{package}/") and name.endswith(".py") for name in wheel.namelist())


def test_the_namespaces_stay_open_to_others(wheel: zipfile.ZipFile) -> None:
    assert not {"glidepath/__init__.py", "glidepath/plugins/__init__.py"} & set(wheel.namelist())


def test_types_are_marked_in_every_package_with_code(wheel: zipfile.ZipFile) -> None:
    names = {PurePosixPath(name) for name in wheel.namelist()}
    top = {name.parent for name in names if name.name == "__init__.py" and len(name.parents) in (3, 4)}
    packages = {folder for folder in top if folder.parent in NAMESPACES}
    assert {PurePosixPath("glidepath/core"), PurePosixPath("glidepath/plugins/text")} <= packages
    assert not [folder for folder in packages if folder / "py.typed" not in names]


def test_presets_and_weights_of_the_bundled_plugins_ship(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    data = [name for name in _sources() if name.endswith((".yaml", ".safetensors"))]
    assert "glidepath/plugins/shapes/shapes.yaml" in data
    assert set(data) <= set(names)


def test_the_conformance_kit_ships(wheel: zipfile.ZipFile) -> None:
    """With its types, for the authors of plugins."""
    names = set(wheel.namelist())
    assert {f"glidepath/testing/{name}" for name in ("__init__.py", "py.typed", "author.py")} <= names
    assert "glidepath/testing/kinds/__init__.py" in names


def test_no_test_ships(wheel: zipfile.ZipFile) -> None:
    """Those of the template are for the plugins that are made from it."""
    names = [name for name in wheel.namelist() if not name.endswith(".template")]
    assert not [name for name in names if "tests/" in name or "/test_" in name or "conftest" in name]


def test_entry_points_name_modules_that_ship(wheel: zipfile.ZipFile) -> None:
    (file,) = (name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt"))
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.read_string(wheel.read(file).decode())
    assert dict(parser["glidepath.plugins"]) == PROJECT["entry-points"]["glidepath.plugins"]
    assert parser["console_scripts"]["glidepath"] == "glidepath.registry.cli:main"
    for module in parser["glidepath.plugins"].values():
        assert f"{module.replace('.', '/')}.py" in wheel.namelist()


def test_every_bundled_plugin_is_declared() -> None:
    declared = set(PROJECT["entry-points"]["glidepath.plugins"].values())
    present = {
        f"glidepath.plugins.{file.parent.name}.plugin"
        for file in (ROOT / "plugins/glidepath/plugins").glob("*/plugin.py")
    }
    assert declared == present


def test_the_licence_ships(wheel: zipfile.ZipFile) -> None:
    (file,) = (name for name in wheel.namelist() if name.endswith("licenses/LICENSE"))
    assert b"Apache License" in wheel.read(file)


def test_an_installed_wheel_lists_its_parts(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """The wheel alone on the path: the discovery finds what the entry points declare."""
    wheel.extractall(tmp_path)
    code = "from glidepath.registry.cli import main; raise SystemExit(main(['--strict', 'list']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "adm-unet" in done.stdout
    origin = subprocess.run(
        [sys.executable, "-c", "import glidepath.registry; print(glidepath.registry.__file__)"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert origin.stdout.startswith(str(tmp_path))
