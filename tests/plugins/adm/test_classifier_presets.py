"""ADM-G: the published classifiers at their published scales, on the denoisers that they were made for."""

from __future__ import annotations

import pytest
import torch

from glidepath.plugins.adm.classifier_guidance import ClassifierGuidance
from glidepath.registry.assembly.build import build_parts
from glidepath.registry.discovery.catalogue import Catalogue, load_catalogue
from glidepath.registry.plan.parts import PartPlan
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec
from glidepath.registry.text.problems import SpecError

PUBLISHED = {
    "adm-g-64": (64, 1.0, 1000, 65_438_568, 307),
    "adm-g-128": (128, 0.5, 1000, 42_568_040, 221),
    "adm-g-256": (256, 1.0, 1000, 54_096_360, 249),
    "adm-g-256-uncond": (256, 10.0, None, 54_096_360, 249),
    "adm-g-512": (512, 4.0, 1000, 54_448_360, 281),
}
"""Image size, scale, classes of the denoiser; parameters of the classifier, and names in its state."""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(environ={}, no_plugins=True)


def plan(name: str, catalogue: Catalogue, *overrides: str) -> Plan:
    return make_plan(read_spec(name, overrides, catalogue=catalogue), catalogue)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_is_the_published_model(name: str, catalogue: Catalogue) -> None:
    size, scale, classes, parameters, keys = PUBLISHED[name]
    made = plan(name, catalogue)
    denoiser = made.parts["denoiser"]
    assert isinstance(denoiser, PartPlan)
    assert (denoiser.config.image_size, denoiser.config.num_classes) == (size, classes)
    with torch.device("meta"):
        ((guidance,),) = build_parts(made, ["guidance"], catalogue, load=False).values()
    assert isinstance(guidance, ClassifierGuidance)
    assert guidance.config.scale == scale
    classifier = guidance.classifier
    assert classifier.config.image_size == size  # type: ignore[union-attr]
    assert sum(parameter.numel() for parameter in classifier.parameters()) == parameters
    assert len(classifier.state_dict()) == keys


def test_the_classifiers_weights_have_a_place_of_their_own(catalogue: Catalogue) -> None:
    made = plan("adm-g-64", catalogue, "guidance[0].classifier.weights=classifier.safetensors")
    (guidance,) = made.parts["guidance"]  # type: ignore[misc]
    inner = guidance.parts["classifier"]
    assert inner.weights is not None
    assert inner.path == "guidance[0].classifier"


def test_a_classifier_of_other_images_than_the_denoiser_makes_is_refused(catalogue: Catalogue) -> None:
    inner = "guidance[0].classifier"
    larger = (f"{inner}.image_size=128", f"{inner}.attention_resolutions=[16]")
    with pytest.raises(SpecError, match=r"adm-classifier\) needs image\.size 128, and denoiser .* gives 64"):
        plan("adm-g-64", catalogue, *larger)
    with pytest.raises(SpecError, match=r"adm-classifier\) needs image\.channels 4, .* gives 3"):
        plan("adm-g-64", catalogue, f"{inner}.in_channels=4")
    assert plan("adm-g-64", catalogue, *larger, f"{inner}.pool=adaptive")
