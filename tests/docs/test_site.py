"""The site builds without a warning, asks no other host for anything, and its reference has every part."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from glidepath import core, registry, testing
from glidepath.registry import Catalogue, load_catalogue
from glidepath.registry.describe import hooks
from glidepath.registry.describe.commands import BUILTIN_COMMANDS
from glidepath.registry.describe.kinds import CORE_KINDS
from glidepath.registry.describe.parameters import REQUIRED, parameters

from .session import ROOT

pytestmark = pytest.mark.thorough

CATALOGUE: Catalogue = load_catalogue(environ={}, no_plugins=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    # The theme prints a notice about its own future, which is no warning of this site.
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    assert "WARNING" not in printed
    return folder


def test_every_page_of_the_folder_is_in_the_site(site: Path) -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / f"{page.stem}.html").is_file()
    assert not (site / "reference.py").exists()


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    loading = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
    for page in site.rglob("*.html"):
        assert not loading.findall(page.read_text(encoding="utf-8")), page.name
    for style in site.rglob("*.css"):
        assert not re.findall(r"url\([\"']?(?:https?:)?//", style.read_text(encoding="utf-8")), style.name


def test_formulas_are_mathml_when_the_site_is_built(site: Path) -> None:
    source = (ROOT / "docs" / "mathematics.md").read_text(encoding="utf-8")
    built = (site / "mathematics.html").read_text(encoding="utf-8")
    assert built.count('<math display="block">') == source.count("```math\n")
    assert '<mover accent="true"><mi>α</mi><mo stretchy="false">¯</mo></mover>' in built
    assert not re.findall(r'class="arithmatex">\\', built)


@pytest.mark.parametrize("kind", CATALOGUE.kinds)
def test_the_reference_has_every_part_of_a_kind_with_every_parameter(site: Path, kind: str) -> None:
    text = _text(site / "reference" / f"{kind}.html")
    for registered in CATALOGUE.components(kind):
        assert registered.component.summary.lower() in text.lower()
        for reference in registered.component.references:
            assert reference in text
        for parameter in parameters(CATALOGUE.config_class(registered)):
            assert parameter.name in text
            assert " ".join(parameter.doc.replace("`", "").split()) in text


@pytest.mark.parametrize("kind", CATALOGUE.kinds)
def test_the_examples_of_the_reference_are_the_defaults(site: Path, kind: str) -> None:
    examples = re.findall(
        r'<div class="language-yaml highlight">(.*?)</div>', _html(site, kind), flags=re.DOTALL
    )
    found = CATALOGUE.components(kind)
    assert len(examples) == len(found)
    for registered, example in zip(found, examples, strict=True):
        (value,) = yaml.safe_load(unescape(re.sub(r"<[^>]+>", "", example))).values()
        part = value[0] if isinstance(value, list) else value
        part = {"use": part} if isinstance(part, str) else part
        assert CATALOGUE.look_up(kind, part.pop("use")) == registered  # an extra may be absent
        described = parameters(CATALOGUE.config_class(registered))
        assert list(part) == [parameter.name for parameter in described]
        for parameter in described:
            if parameter.default is not REQUIRED and not parameter.part:
                default = parameter.default
                assert part[parameter.name] == (list(default) if isinstance(default, tuple) else default)


def test_the_reference_has_every_hook_with_what_is_said_of_it(site: Path) -> None:
    text = _text(site / "reference" / "hooks.html")
    specified = [value for name, value in vars(hooks).items() if hasattr(value, f"{hooks.PROJECT}_spec")]
    assert hooks.components in specified
    for hook in specified:
        assert f"{hook.__name__}(" in text
        assert " ".join((hook.__doc__ or "").replace("`", "").split()) in text.replace("`", "")


@pytest.mark.parametrize("face", [core, registry, testing], ids=lambda face: face.__name__)
def test_the_reference_has_every_public_name_with_what_is_said_of_it(site: Path, face: ModuleType) -> None:
    file = site / "reference" / f"{face.__name__.rpartition('.')[2]}.html"
    page, text = file.read_text(encoding="utf-8"), _text(file).replace("`", "")
    for name in face.__all__:
        assert re.search(rf'<h3 id="\w+">{name}<', page)
        defined = getattr(face, name)
        if isinstance(defined, type) or inspect.isfunction(defined):
            first = (defined.__doc__ or "").partition("\n\n")[0].replace("`", "")
            assert " ".join(first.split()) in text
        for method, member in vars(defined).items() if isinstance(defined, type) else ():
            if inspect.isfunction(member) and member.__doc__ and not method.startswith("_"):
                assert f"{name}.{method}" in text


def test_a_type_alias_of_core_is_shown_as_it_is_written(site: Path) -> None:
    text = _text(site / "reference" / "core.html")
    assert "Predict = Callable[[Tensor, Step], Prediction]" in text
    assert "a denoiser with its conditioning and levels bound." in text


def test_the_page_of_an_interface_of_core_is_linked(site: Path) -> None:
    page = (site / "reference" / "core.html").read_text(encoding="utf-8")
    for kind in CORE_KINDS:
        assert f'The interface of the kind <a href="{kind.name}.html">{kind.name}</a>' in page


def test_the_reference_has_every_command(site: Path) -> None:
    text = _text(site / "reference" / "commands.html")
    for name in [*BUILTIN_COMMANDS, *CATALOGUE.commands()]:
        assert f"usage: glidepath {name}" in text


def _html(site: Path, kind: str) -> str:
    return (site / "reference" / f"{kind}.html").read_text(encoding="utf-8")


def _text(page: Path) -> str:
    """What a page says, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))).split())
