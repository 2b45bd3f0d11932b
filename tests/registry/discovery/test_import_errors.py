"""What is said of an import that fails: the line, the module that is missing, and what would help."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from glidepath.registry.discovery.import_errors import import_problem, import_remedy, missing_module


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of sys.path with the distribution `plain` 1.0, which requires `declared-thing`."""
    info = tmp_path / "plain-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: plain\nVersion: 1.0\nRequires-Dist: declared_thing (>=2) ; "
        'python_version >= "3"\nRequires-Dist: other>=1\n'
    )
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("plain", "library")]:
        del sys.modules[name]


def failed(site: Path, source: str) -> Exception:
    """What importing a module `plain.part` of this text raises."""
    (site / "plain" / "part.py").write_text(source)
    try:
        import_module("plain.part")
    except Exception as error:
        return error
    raise AssertionError("it was imported")


def test_a_module_that_is_missing_is_told_with_the_line_that_imports_it(site: Path) -> None:
    error = failed(site, "import json\n\nimport no_such_thing.inner\n")
    line = site / "plain" / "part.py"
    assert import_problem(error, "plain.part") == f"{line}:3 imports no_such_thing, which is not installed"
    assert import_remedy(error, "plain.part", "plain", "1.0") == (
        "pip install no_such_thing, if that is the name of the package that supplies it; "
        "plain 1.0 declares no dependency of that name, as its authors should"
    )


def test_one_that_is_declared_is_to_be_installed(site: Path) -> None:
    error = failed(site, "import declared_thing\n")
    said = import_remedy(error, "plain.part", "plain", "1.0")
    assert said == "plain 1.0 requires it: pip install declared_thing"


def test_the_line_is_that_of_the_library_which_lacks_it(site: Path) -> None:
    (site / "library.py").write_text("\n\n\n\nimport no_such_thing\n")
    error = failed(site, "import library\n")
    assert import_problem(error, "plain.part").startswith(f"{site / 'library.py'}:5 imports no_such_thing")


def test_of_a_distribution_that_cannot_be_found_nothing_is_said_to_be_undeclared(site: Path) -> None:
    error = failed(site, "import no_such_thing\n")
    said = import_remedy(error, "plain.part", "absent-distribution", "1.0")
    assert said == "pip install no_such_thing, if that is the name of the package that supplies it"


def test_a_module_of_its_own_that_is_missing_is_nothing_to_install(site: Path) -> None:
    error = failed(site, "import plain.inner\n")
    assert missing_module(error, "plain.part") == ""
    assert import_remedy(error, "plain.part", "plain", "1.0") == ""
    assert import_problem(error, "plain.part") == (
        f"ModuleNotFoundError: No module named 'plain.inner' ({site / 'plain' / 'part.py'}:1)"
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("from json import nothing_like_it\n", "ImportError: cannot import name 'nothing_like_it'"),
        ("x = 1\nraise RuntimeError('no licence')\n", "RuntimeError: no licence"),
        ("def f(:\n    pass\n", "SyntaxError: invalid syntax"),
    ],
)
def test_whatever_else_a_module_raises_is_told_with_its_line(site: Path, source: str, said: str) -> None:
    error = failed(site, source)
    told = import_problem(error, "plain.part")
    assert told.startswith(said)
    assert f"{site / 'plain' / 'part.py'}:{2 if 'licence' in source else 1})" in told
    assert import_remedy(error, "plain.part", "plain", "1.0") == ""


def test_a_module_that_is_not_there_itself_has_no_line() -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        import_module("no_such_package.part")
    said = import_problem(caught.value, "no_such_package.part")
    assert said == "ModuleNotFoundError: No module named 'no_such_package'"
