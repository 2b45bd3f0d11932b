"""Plugins installed from wheels, beside glidepath's own wheel: no source tree is on the path.

What the wheels say that they need is there, and nothing else: it is linked from where it is installed.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Sequence
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from glidepath.plugins.scaffold.package import new_plugin, templates, write
from glidepath.registry import load_catalogue

from .wheels import build_wheels

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(file.parent for file in (ROOT / "examples").glob("*/pyproject.toml"))
SETTINGS = {
    "CUDA_VISIBLE_DEVICES": "",
    "HOME": os.environ.get("HOME", ""),
    "OMP_NUM_THREADS": "1",
    "PATH": os.environ["PATH"],
    "TQDM_DISABLE": "1",
}

SAMPLE = """
    import sys
    from pathlib import Path
    import glidepath.registry
    from glidepath.registry.cli import main

    root, *specs = sys.argv[1:]
    assert Path(glidepath.registry.__file__).is_relative_to(sys.prefix), glidepath.registry.__file__
    assert not [entry for entry in sys.path if entry and Path(entry).is_relative_to(root)], sys.path
    for index, spec in enumerate(specs):
        written = Path(spec).read_text()
        of = ["stages.base.", "stages.again."] if "stages:" in written else [""]
        of = [] if "generator:" in written else of
        few = [text for stage in of for text in ("--set", f"{stage}sampler.steps=2")]
        command = ["--strict", "sample", "a red star", "--spec", spec, *few]
        assert main([*command, "--out", f"{index}.png"]) == 0, spec
        assert Path(f"{index}.png").read_bytes().startswith(b"\\x89PNG"), spec
"""


@pytest.mark.thorough
def test_every_new_plugin_and_every_example_works_from_its_wheel(tmp_path: Path) -> None:
    """Each package passes its own tests, and its part runs in a spec, or a metric in a study."""
    written = tmp_path / "written"
    written.mkdir()
    catalogue = load_catalogue(environ={}, no_plugins=True)
    names = {kind: f"glidepath-acme-{kind.replace('_', '-')}" for kind in templates(catalogue)}
    plugins = [new_plugin(name, kind, catalogue) for kind, name in names.items()]
    for plugin in plugins:
        write(plugin, written / plugin.distribution)
    projects = [*(written / plugin.distribution for plugin in plugins), *EXAMPLES]
    wheels = build_wheels([ROOT, *projects], tmp_path / "wheels")
    assert len(wheels) == 1 + len(projects)

    python = _environment(tmp_path / "venv", wheels)
    folders = [_what_tests_need(project, tmp_path / "tests" / project.name) for project in projects]
    pytest = [python, "-m", "pytest", "-q", "-rf", "--import-mode=importlib", "-p", "no:cacheprovider"]
    _run([*pytest, *folders], tmp_path)
    # that of a metric is a study, which its own tests run
    specs = [folder / "example.yaml" for folder in folders if not folder.name.endswith("-metric")]
    _run([python, "-c", textwrap.dedent(SAMPLE), ROOT, *specs], tmp_path)


def _environment(folder: Path, wheels: Sequence[Path]) -> Path:
    """A fresh virtual environment with these wheels and what they need; its Python."""
    _run([sys.executable, "-m", "venv", "--without-pip", folder], folder.parent)
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    _link_what_is_needed(["pytest", *itertools.chain.from_iterable(map(_required, wheels))], site)
    # without an index: what is missing is not fetched, and no namesake is taken in place of a wheel
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile"]
    _run([*install, "--no-index", *wheels], folder.parent)
    return python


def _required(wheel: Path) -> list[str]:
    """The requirements that stand in a wheel."""
    with zipfile.ZipFile(wheel) as opened:
        (name,) = [it for it in opened.namelist() if it.endswith(".dist-info/METADATA")]
        return Parser().parsestr(opened.read(name).decode()).get_all("Requires-Dist", [])


def _link_what_is_needed(stated: Sequence[str], site: Path) -> None:
    """Link the packages that requirements name, and what those need, but glidepath, into a folder."""
    waiting, linked = [*stated], {"glidepath-diffusion"}
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name in linked or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        linked.add(name)
        found = distribution(name)
        waiting += found.requires or ()
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            (site / top).symlink_to(str(found.locate_file(top)))


def _what_tests_need(project: Path, folder: Path) -> Path:
    """The tests and the files beside them, away from the package's source."""
    for name in ("tests", *(study.parent.name for study in project.glob("*/study.yaml"))):
        shutil.copytree(project / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (project / "README.md", *project.glob("*.yaml")):
        shutil.copy(file, folder)
    return folder


def _run(command: Sequence[str | Path], folder: Path) -> None:
    """Run a command that has to succeed, without a word of this process's environment."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=SETTINGS,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
