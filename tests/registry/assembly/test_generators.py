"""A plugin's kind whose part stands in place of schedule, denoiser and sampler."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.conftest import Site
from tests.generators import PARTS

from glidepath.core import GeneratorPipeline
from glidepath.registry import Catalogue, SpecError, assemble, load_catalogue, make_plan, read_spec
from glidepath.registry.assembly.cost import measure
from glidepath.registry.cli import main
from glidepath.registry.records.images import read_manifest

PLUGIN = """
@attrs.frozen(kw_only=True)
class PaintConfig:
    layers: int = 2
    channels: int = 3

@hookimpl
def kinds():
    instead = ("schedule", "denoiser", "sampler", "guidance", "handover")
    return [Kind(name="maker", interface="acme.parts:Maker", summary="s", slot="maker", instead_of=instead)]

@hookimpl
def components():
    provides = lambda config: {"image.channels": config.channels, "image.size": 8}
    return [
        Component(kind="maker", name="paint", target="acme.parts:Paint", config=PaintConfig, summary="s",
                  provides=provides),
    ]
"""


@pytest.fixture
def acme(site: Site) -> Catalogue:
    site.bundle()
    site.plugin("acme", PLUGIN)
    (site.folder / "acme" / "parts.py").write_text(PARTS)
    return load_catalogue(path=site.path)


def test_a_spec_of_a_generator_alone_becomes_a_pipeline(acme: Catalogue) -> None:
    pipeline = assemble({"maker": "paint"}, catalogue=acme)
    assert isinstance(pipeline, GeneratorPipeline)
    assert pipeline([""], seed=1).shape == (1, 3, 8, 8)
    assert pipeline.lengths() == [2]
    again = assemble({"maker": "paint"}, ["maker.layers=3"], catalogue=acme)
    assert again.lengths() == [3]
    assert torch.equal(pipeline.model.linear.weight, again.model.linear.weight)


@pytest.mark.parametrize("slot", ["schedule", "sampler", "denoiser"])
def test_what_it_stands_in_place_of_is_a_problem_beside_it(acme: Catalogue, slot: str) -> None:
    spec = {"extends": "shapes", "maker": "paint", "text_encoder": None, "weights": None}
    told = rf"(?s)a spec with a maker has no {slot}\n.*the maker stands in its place"
    with pytest.raises(SpecError, match=told):
        make_plan(read_spec(spec, catalogue=acme), acme)
    without = dict.fromkeys(("schedule", "sampler", "denoiser", "guidance", "data", "train"))
    make_plan(read_spec({**spec, **without}, catalogue=acme), acme)


def test_it_is_no_stage_of_a_cascade(acme: Catalogue) -> None:
    with pytest.raises(SpecError, match="a stage of a cascade has no maker"):
        make_plan(read_spec({"stages": {"base": {"maker": "paint"}}}, catalogue=acme), acme)


def test_its_images_fit_the_codec(acme: Catalogue) -> None:
    spec = {"maker": {"use": "paint", "channels": 4}}
    with pytest.raises(SpecError, match=r"codec\.channels 3, and maker \(paint\) makes an x of 4"):
        make_plan(read_spec(spec, catalogue=acme), acme)


def test_its_cost_is_of_all_that_it_does(acme: Catalogue) -> None:
    cost = measure(make_plan(read_spec({"maker": "paint"}, catalogue=acme), acme), acme)[""]
    assert (cost.steps, cost.evaluations) == (2, 1)
    assert cost.total_flops == 2 * 2 * (3 * 8) * 8 * 8  # two layers, 2 FLOPs for each multiply-add
    assert cost.parameters == {"generator": 72}


def test_its_dtype_is_float32_unless_another_is_asked_for(acme: Catalogue) -> None:
    assert assemble({"maker": "paint"}, catalogue=acme).dtype == torch.float32
    asked = assemble({"maker": "paint", "runtime": {"dtype": "bfloat16"}}, catalogue=acme)
    assert asked.model.linear.weight.dtype == torch.bfloat16


def test_its_images_are_sampled_and_replayed(
    acme: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("glidepath.registry.cli.opening.load_catalogue", lambda **_: acme)
    Path("spec.yaml").write_text("maker: paint\n")
    assert main(["sample", "x", "--spec", "spec.yaml", "--out", "x.png"]) == 0
    _, manifest = read_manifest(Path("x.png"))
    assert manifest["spec"]["maker"]["use"] == "acme/paint"
    assert main(["replay", "x.png"]) == 0
    assert main(["sample", "--spec", "spec.yaml", "--noise-film", "x.png", "--out", "y.png"]) != 0
    assert "a film of noise is made along a schedule" in capsys.readouterr().err
