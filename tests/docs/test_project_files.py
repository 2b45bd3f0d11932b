"""The files at the top of the project agree with one another."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, distribution

import attrs
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from glidepath.registry import Component, load_catalogue
from glidepath.registry.assembly.weights import file_sha256
from glidepath.registry.records.images import read_manifest

from .blocks import blocks
from .session import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line[:1] not in ("", "#")
)
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
INSTALL_FOR_TESTS = 'pip install -c constraints.txt -e ".[test]"'


def _stated() -> list[Requirement]:
    """What pyproject.toml asks for, the extras included."""
    lines = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    return [requirement for requirement in map(Requirement, lines) if requirement.name != PROJECT["name"]]


def _needed() -> set[str]:
    """What is installed here and needed by the project or by something that it needs."""
    needed: set[str] = set()
    waiting = _stated()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        extras = requirement.extras or {""}
        applies = requirement.marker is None or any(
            requirement.marker.evaluate({"extra": it}) for it in extras
        )
        if name in needed or not applies:
            continue
        try:
            found = distribution(name)
        except PackageNotFoundError:  # of an extra that is not installed
            continue
        needed.add(name)
        for line in found.requires or ():
            inner = Requirement(line)
            if inner.marker is None or any(inner.marker.evaluate({"extra": it}) for it in extras):
                waiting.append(inner)
    return needed


def test_everything_that_is_stated_is_pinned_within_its_range() -> None:
    for requirement in _stated():
        version = PINS[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} and {version}"


def test_everything_that_is_needed_is_pinned() -> None:
    assert _needed() - {*PINS, "glidepath-diffusion"} == set()


def test_pins_are_sorted_and_have_canonical_names() -> None:
    assert list(PINS) == sorted(PINS)
    assert all(name == canonicalize_name(name) and Version(version) for name, version in PINS.items())


def test_the_readme_has_two_commands_that_install() -> None:
    installing = [it.text for it in blocks(ROOT / "README.md") if it.text.startswith("pip install -c")]
    sample = 'pip install -c constraints.txt . && glidepath sample "a red apple, 3d" --spec emoji-64'
    assert installing == [sample, f"{INSTALL_FOR_TESTS} && pytest"]


def test_the_checks_run_the_second_command_of_the_readme_and_more() -> None:
    lines = CI.splitlines()
    at = [
        next(index for index, line in enumerate(lines) if line.startswith(command))
        for command in (INSTALL_FOR_TESTS, "ruff check .", "ruff format --check .", "mypy", "pytest ")
    ]
    assert at == sorted(at)
    assert "set -euo pipefail" in lines
    assert "--fail-under=95" in CI


def test_the_checks_run_every_test_but_the_slow_ones_and_what_an_extra_brings_by_name() -> None:
    commands = [it for it in CI.replace("\\\n", "").splitlines() if it.startswith("pytest ")]
    own, thorough, named = commands
    assert own == "pytest -p no:cacheprovider --durations=15 --cov --cov-report="
    assert thorough.endswith('-m "(thorough or hypothesis) and not slow" --hypothesis-profile=thorough')
    for test in re.findall(r"\s(tests/\S+)", named):
        file, _, function = test.partition("::")
        assert (ROOT / file).exists(), file
        assert f"def {function}(" in (ROOT / file).read_text(encoding="utf-8") if function else True, file


def test_the_checks_install_every_extra_that_is_not_large() -> None:
    (extras,) = re.findall(r'^pip install -c constraints\.txt -e "\.\[(bench.*)\]"$', CI, re.MULTILINE)
    installed = set(extras.split(","))
    within = {name for name in EXTRAS for line in EXTRAS["test"] if line == f"{PROJECT['name']}[{name}]"}
    # trackio asks for an older Pillow than everything else is tested with
    assert installed | within == set(EXTRAS) - {"ray", "trackio"}


def test_the_checks_can_be_started() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_the_picture_is_of_the_weights_that_come_with_the_project() -> None:
    _, manifest = read_manifest(ROOT / "docs" / "images" / "things.png")
    folder = ROOT / "plugins" / "glidepath" / "plugins" / "emoji"
    assert manifest["weights"] == {
        f"stages.{stage}": file_sha256(folder / f"{name}.safetensors")
        for stage, name in (("base", "emoji"), ("upsample", "upsample"))
    }, "see 'The images in the README' in CONTRIBUTING.md"


def test_the_readme_names_the_prompts_of_the_picture_in_order() -> None:
    _, manifest = read_manifest(ROOT / "docs" / "images" / "things.png")
    said = "; ".join(f'"{key["prompt"]}"' for key in manifest["shots"])
    assert said in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


def test_the_readme_names_every_part_that_makes_an_image() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    catalogue = load_catalogue(environ={}, no_plugins=True)
    for kind in ("schedule", "denoiser", "text_encoder", "tokenizer", "guidance", "sampler", "codec"):
        for registered in catalogue.components(kind):
            assert f"`{registered.component.name}`" in text


def test_the_guide_of_plugins_has_every_field_of_a_component_and_every_key_of_bundled_parts() -> None:
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    catalogue = load_catalogue(environ={}, no_plugins=True)
    named = {field.name for field in attrs.fields(Component)}
    for registered in catalogue.components():
        config = catalogue.config_class(registered)
        if config is None or all(field.default is not attrs.NOTHING for field in attrs.fields(config)):
            default = config() if config else None
            named |= {*registered.component.provides(default), *registered.component.needs(default)}
    # of conditions the page has a row for all names
    named = {re.sub(r"^(condition|reads)\..*", r"\1.NAME", name.removeprefix("before.")) for name in named}
    assert {name for name in named if f"`{name}`" not in text} == set()


def test_the_page_of_the_layout_names_files_that_exist() -> None:
    roots = ("core/glidepath", "registry/glidepath/registry", "plugins/glidepath/plugins", ".")
    named = re.findall(r"`([\w/]+\.py)`", (ROOT / "docs" / "layout.md").read_text(encoding="utf-8"))
    missing = [name for name in named if not any((ROOT / root / name).is_file() for root in roots)]
    assert set(missing) == {"plugin.py", "configs.py"}  # of every plugin


def test_the_changelog_speaks_of_the_current_version_first() -> None:
    versions = re.findall(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == PROJECT["version"]
