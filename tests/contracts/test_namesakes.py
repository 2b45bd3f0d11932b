"""Parts of one name from several distributions serve side by side, each by its whole name."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.registry.tiny import CASCADE, write_cascade

from glidepath.registry.cli import main
from glidepath.registry.records.images import read_manifest

from .distributions import install

PLUGIN = """
@attrs.frozen(kw_only=True)
class Config:
    steps: int = attrs.field(default=2, metadata=doc("how many"))
    then: None = attrs.field(default=None, metadata=part("sampler", "what ends the walk"))

@hookimpl
def components():
    return [Component(kind="sampler", name="euler", target="PACKAGE.parts:Euler", config=Config, summary="x")]
"""
PARTS = """
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.samplers.configs import DdimConfig

BUILT = []

class Euler(DdimSampler):
    def __init__(self, config, then=None):
        super().__init__(DdimConfig(steps=config.steps))
        BUILT.append((config.steps, type(then).__module__))
"""


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """acme-one and acme-two, both with a sampler `euler`, beside glidepath's own."""
    folder = tmp_path / "site"
    for distribution, version in (("acme-one", "1.1"), ("acme-two", "2.2")):
        source = "from glidepath.registry import part\n" + PLUGIN
        package = distribution.replace("-", "_")
        install(folder, distribution, version, source.replace("PACKAGE", package), modules={"parts": PARTS})
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("acme_one", "acme_two"):
            del sys.modules[name]


def test_both_are_installed_without_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "--strict"]) == 0
    said = capsys.readouterr().out
    assert "sampler acme-one/euler (acme-one 1.1)" in said
    assert "sampler acme-two/euler (acme-two 2.2)" in said


def test_the_short_name_lists_the_whole_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "shapes", "--set", "sampler={use: euler}"]) == 2
    said = capsys.readouterr().err
    assert "installed plugins supply a sampler named 'euler'" in said
    assert "acme-one/euler, acme-two/euler" in said


def test_two_stages_of_a_cascade_use_one_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_cascade(tmp_path)
    text = CASCADE.replace("  small: {", "  small: {sampler: {use: acme-one/euler, steps: 3}, ")
    text = text.replace("sampler: {steps: 3, temperature: 0.997}", "sampler: {use: acme-two/euler}")
    (tmp_path / "both.yaml").write_text(text)
    assert main(["check", "both.yaml", "--strict"]) == 0
    assert main(["sample", "a star", "--spec", "both.yaml", "--out", "star.png", "--device", "cpu"]) == 0
    assert sys.modules["acme_one.parts"].BUILT == [(3, "builtins")]
    assert sys.modules["acme_two.parts"].BUILT == [(2, "builtins")]
    _, manifest = read_manifest(tmp_path / "star.png")
    assert {name: manifest["distributions"][name]["version"] for name in ("acme-one", "acme-two")} == {
        "acme-one": "1.1",
        "acme-two": "2.2",
    }
    capsys.readouterr()
    assert main(["replay", "star.png"]) == 0


def test_one_may_stand_inside_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    ours = "glidepath-diffusion/euler"
    nested = f"sampler={{use: acme-one/euler, then: {{use: acme-two/euler, steps: 4, then: {ours}}}}}"
    assert main(["check", "shapes", "--set", nested]) == 0
    capsys.readouterr()
    assert main(["plan", "shapes", "--set", nested, "--quick", "--json"]) == 0
    assert "acme-two/euler" in json.dumps(json.loads(capsys.readouterr().out))
