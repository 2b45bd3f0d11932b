"""`glidepath.core` offers its names without importing them before they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import glidepath.core


def test_every_name_that_is_offered_exists() -> None:
    for name in glidepath.core.__all__:
        assert getattr(glidepath.core, name) is not None


def test_a_name_that_is_not_offered_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'glidepath\.core' has no attribute 'Pipelines'"):
        _ = glidepath.core.Pipelines


def test_the_package_alone_imports_no_torch() -> None:
    code = "import sys; import glidepath.core; assert 'torch' not in sys.modules"
    path = ":".join(entry for entry in sys.path if entry)
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": path})
