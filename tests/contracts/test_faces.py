"""The public faces: what each offers, and that plugins, examples and templates use nothing below them."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys

import pytest

from .sources import FACES, PLUGINS, ROOT, name_of

USERS = sorted(
    file
    for folder in (PLUGINS, ROOT / "examples")
    for pattern in ("*.py", "*.py.template")
    for file in folder.rglob(pattern)
)
BELOW = re.compile(r"^\s*(?:from|import)\s+(glidepath\.(?:core|registry|testing)\.[\w.]+)", re.MULTILINE)


def test_plugins_examples_and_templates_import_the_faces_and_nothing_below_them() -> None:
    below = [
        f"{name_of(file)} imports {module}"
        for file in USERS
        for module in BELOW.findall(file.read_text(encoding="utf-8"))
    ]
    assert not below, "\n".join(below)


@pytest.mark.parametrize("face", FACES)
def test_every_name_that_is_offered_exists(face: str) -> None:
    package = importlib.import_module(face)
    assert package.__all__
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert name in dir(package)


@pytest.mark.parametrize("face", FACES)
def test_a_name_that_is_not_offered_is_an_attribute_error(face: str) -> None:
    with pytest.raises(AttributeError, match=rf"'{re.escape(face)}' has no attribute 'absent'"):
        _ = importlib.import_module(face).absent


@pytest.mark.parametrize("face", FACES)
def test_importing_a_face_imports_none_of_its_modules(face: str) -> None:
    code = (
        f"import sys, {face}\n"
        f"inner = [name for name in sys.modules if name.startswith('{face}.')]\n"
        "print(*sorted({*inner, *({'torch', 'attrs', 'pytest'} & {*sys.modules})} - {'glidepath.core.lazy'}))"
    )
    path = os.pathsep.join(str(ROOT / name) for name in ("core", "registry", "plugins"))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "\n", done.stderr


@pytest.mark.parametrize("face", FACES)
def test_no_module_hides_a_name_of_a_face(face: str) -> None:
    """`import glidepath.registry.x` puts x on the package, in place of a function called x."""
    modules = {path.stem for path in FACES[face].iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not modules & set(importlib.import_module(face).__all__)
