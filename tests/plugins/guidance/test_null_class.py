"""Classifier-free guidance of a denoiser that reads class labels: it needs a label for no class."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from glidepath.core.denoiser import Denoiser
from glidepath.core.errors import PartError
from glidepath.core.pipeline import Pipeline
from glidepath.plugins.adm.configs import AdmUNetConfig
from glidepath.plugins.adm.faults import unet_faults
from glidepath.plugins.adm.unet import AdmUNet
from glidepath.plugins.guidance.classifier_free import ClassifierFreeGuidance
from glidepath.plugins.guidance.configs import ClassifierFreeConfig
from glidepath.plugins.samplers.configs import DdimConfig
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.schedules.configs import CosineConfig
from glidepath.plugins.schedules.cosine import CosineSchedule
from glidepath.registry.assembly.build import assemble
from glidepath.registry.text.problems import SpecError

SPEC = """
schedule: cosine
denoiser: {use: adm-unet, image_size: 8, channels: 32, channel_mult: [1], res_blocks: 1, head_channels: 32,
           attention_resolutions: [], num_classes: 3, null_class: NULL}
guidance: [{use: classifier-free, scale: SCALE}]
sampler: {use: ddim, steps: 2}
"""


def denoiser(null_class: bool) -> AdmUNet:
    torch.manual_seed(0)
    network = AdmUNet(
        AdmUNetConfig(
            image_size=8,
            channels=32,
            channel_mult=(1,),
            res_blocks=1,
            head_channels=32,
            attention_resolutions=(),
            num_classes=3,
            null_class=null_class,
        )
    )
    for parameter in network.parameters():  # what is zero at first would hear no label
        torch.nn.init.normal_(parameter, std=0.2)
    return network


def pipeline(network: Denoiser, scale: float) -> Pipeline:
    return Pipeline(
        schedule=CosineSchedule(CosineConfig()),
        denoiser=network,
        sampler=DdimSampler(DdimConfig(steps=3)),
        guidance=[ClassifierFreeGuidance(ClassifierFreeConfig(scale=scale))],
    )


def test_the_null_class_has_a_row_of_the_table_after_the_others() -> None:
    network = denoiser(null_class=True)
    assert network.label_emb.num_embeddings == 4
    assert (network.num_classes, network.null_label) == (3, 3)
    assert denoiser(null_class=False).null_label is None


def test_guidance_moves_away_from_the_null_class() -> None:
    """At scale 0 only that is left, so that the label says nothing; at another it does."""
    network = denoiser(null_class=True)
    ignored = [pipeline(network, 0.0)([""], labels=[label]) for label in (0, 2)]
    assert torch.equal(*ignored)
    heard = [pipeline(network, 2.0)([""], labels=[label]) for label in (0, 2)]
    assert not torch.equal(*heard)


def test_the_null_class_cannot_be_asked_for_by_number() -> None:
    with pytest.raises(PartError, match="classes 0 to 2"):
        pipeline(denoiser(null_class=True), 2.0)([""], labels=[3])


def test_without_a_null_class_sampling_says_what_is_missing() -> None:
    with pytest.raises(PartError, match="absence of labels"):
        pipeline(denoiser(null_class=False), 2.0)([""], labels=[0])


@pytest.mark.parametrize(
    ("null_class", "scale", "fits"), [(True, 3, True), (False, 3, False), (False, 1, True)]
)
def test_check_refuses_guidance_that_has_nothing_to_compare_with(
    tmp_path: Path, null_class: bool, scale: float, fits: bool
) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(SPEC.replace("NULL", str(null_class).lower()).replace("SCALE", str(scale)))
    if fits:
        assemble(str(file))
        return
    with pytest.raises(SpecError, match=r"labels\.null"):
        assemble(str(file))


def test_a_null_class_without_classes_is_a_fault() -> None:
    ((field, message),) = unet_faults(AdmUNetConfig(null_class=True))
    assert field == "null_class"
    assert "num_classes" in message
