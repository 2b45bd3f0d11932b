"""The same spec as a file, a mapping, a config, layers, or composed by Hydra: the same pipeline."""

from __future__ import annotations

from pathlib import Path

import hydra
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from tests.registry.tiny import SPEC, write_tiny

from glidepath.core import Pipeline
from glidepath.registry import SpecSource, assemble


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with tiny.yaml and its weights."""
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path)
    return tmp_path


def image(source: SpecSource, *overrides: str) -> torch.Tensor:
    pipeline = assemble(source, overrides)
    assert isinstance(pipeline, Pipeline)
    return pipeline(["a green star"], seed=3)


def test_each_form_of_a_spec_draws_the_image_of_the_equal_file(folder: Path) -> None:
    values = yaml.safe_load(SPEC)
    changed = {"sampler": {"use": "ddim", "steps": 4}, "schedule": "linear"}
    sources: list[SpecSource] = [
        folder / "tiny.yaml",
        values,
        OmegaConf.create(values),
        [{**values, **changed}, {"schedule": "cosine"}],
        ["tiny.yaml", {}, OmegaConf.create({"sampler": {"steps": 4}})],
        OmegaConf.create({"extends": "tiny.yaml"}),
        OmegaConf.create(["tiny.yaml", {"sampler": {"steps": 4}}]),
    ]
    expected = image("tiny.yaml")
    assert all(torch.equal(image(source), expected) for source in sources)
    assert not torch.equal(image(values, "sampler.steps=3"), expected)


def test_what_hydra_composes_draws_the_image_of_the_equal_file(folder: Path) -> None:
    values = yaml.safe_load(SPEC)
    sampler, denoiser = values.pop("sampler"), values.pop("denoiser")
    configs = {
        "config.yaml": {"defaults": ["_self_", {"sampler": "slow"}, {"denoiser": "unet"}], **values},
        "sampler/slow.yaml": {**sampler, "steps": 50},
        "sampler/quick.yaml": {**sampler, "steps": "${guidance.0.scale}"},
        "denoiser/unet.yaml": {**denoiser, "text_width": "${text_encoder.width}"},
    }
    for name, config in configs.items():
        file = folder / "conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(config))
    with hydra.initialize_config_dir(str(folder / "conf"), version_base="1.3"):
        composed = hydra.compose("config", ["sampler=quick", "guidance.0.scale=4"])
    text = SPEC.replace("scale: 2", "scale: 4")
    (folder / "equal.yaml").write_text(text)
    assert torch.equal(image(composed), image("equal.yaml"))
