"""`glidepath.registry` offers its names without importing what is behind them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import glidepath.registry as registry


@pytest.mark.parametrize("name", registry.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(registry, name) is not None
    assert name in dir(registry)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'glidepath\.registry' has no attribute 'absent'"):
        _ = registry.absent


def test_importing_the_package_imports_none_of_its_modules() -> None:
    code = (
        "import sys, glidepath.registry\n"
        "print([name for name in sys.modules if name.startswith('glidepath.registry.') or name == 'attrs'])"
    )
    root = Path(registry.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


def test_no_module_hides_a_name_of_the_public_interface() -> None:
    """`import glidepath.registry.x` puts x on the package, in place of a function called x."""
    modules = {path.stem for path in Path(registry.__file__).parent.glob("*.py")}
    assert not modules & set(registry.__all__)
