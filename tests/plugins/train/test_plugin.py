"""The descriptors of the plugin `train`."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from glidepath.plugins.train.configs import DiffusionTrainerConfig
from glidepath.plugins.train.data.configs import CaptionedFolderConfig
from glidepath.plugins.train.data.dataset import CaptionedDataset
from glidepath.plugins.train.plugin import components, kinds
from glidepath.plugins.train.run.run import Trainer

COMPONENTS = {component.name: component for component in components()}


def test_the_plugin_and_the_command_line_import_without_torch() -> None:
    code = (
        "import sys, glidepath.plugins.train.plugin, glidepath.plugins.train.command as it\n"
        "it.parser()\n"
        "sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0


def test_the_kinds_are_slots_that_sampling_leaves_alone() -> None:
    found = {kind.slot: kind for kind in kinds() if kind.slot}
    assert found.keys() == {"data", "train"}
    for kind in found.values():
        assert not kind.sampling
        assert not kind.required
    assert found["data"].interface == f"{CaptionedDataset.__module__}:{CaptionedDataset.__name__}"
    assert found["train"].interface == f"{Trainer.__module__}:{Trainer.__name__}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("batch", 0),
        ("learning_rate", 0.0),
        ("decay_share", 1.5),
        ("ema", 1.0),
        ("caption_dropout", -0.1),
        ("only", ()),
        ("contrastive_batch", 1),
        ("keep", 0),
        ("log_every", 0),
    ],
)
def test_values_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        DiffusionTrainerConfig(**{name: value})


def test_a_first_stage_needs_a_text_encoder_and_without_one_nothing_does() -> None:
    needs = COMPONENTS["diffusion"].needs
    assert "text.pooled" not in needs(DiffusionTrainerConfig())
    need = needs(DiffusionTrainerConfig(contrastive_steps=5))["text.pooled"]
    assert not need.optional
    assert need.test is not None
    assert need.test(768) == ""


def test_a_folder_is_resized_to_what_the_denoiser_is_made_for() -> None:
    folder = COMPONENTS["captioned-folder"]
    config = CaptionedFolderConfig(folder="x", size=32)
    assert folder.needs(config)["pixels.size"].value == 32
    assert folder.provides(config) == {"data.channels": 3, "data.size": 32}
