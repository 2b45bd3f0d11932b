"""The descriptors of the clip plugin: what they accept, need and offer, without torch."""

from __future__ import annotations

import importlib
from pathlib import Path

import attrs

from glidepath.plugins.clip.configs import ClipGuidanceConfig, NoisedClipConfig, TransformersClipConfig
from glidepath.plugins.clip.plugin import components, kinds, noised_clip_faults
from glidepath.registry.describe.component import PART

COMPONENTS = {f"{component.kind}/{component.name}": component for component in components()}


def test_the_parts_are_of_core_kinds_and_of_one_that_the_plugin_adds() -> None:
    assert set(COMPONENTS) == {"clip/noised-clip", "clip/transformers-clip", "guidance/clip"}
    (kind,) = kinds()
    module, _, name = kind.interface.partition(":")
    assert (kind.name, kind.slot) == ("clip", "")
    assert isinstance(getattr(importlib.import_module(module), name), type)


def test_a_tokenizer_and_a_clip_are_parts_of_their_own() -> None:
    inner = {
        f"{config.__name__}.{field.name}": field.metadata[PART]
        for config in (NoisedClipConfig, TransformersClipConfig, ClipGuidanceConfig)
        for field in attrs.fields(config)
        if PART in field.metadata
    }
    assert inner == {"NoisedClipConfig.tokenizer": "tokenizer", "ClipGuidanceConfig.clip": "clip"}


def test_parameters_that_do_not_fit_together_are_faults() -> None:
    assert COMPONENTS["clip/noised-clip"].check is noised_clip_faults
    assert noised_clip_faults(NoisedClipConfig()) == []
    faults = noised_clip_faults(NoisedClipConfig(text_heads=7, image_heads=5, patch_size=3))
    assert [field for field, _ in faults] == ["text_heads", "image_heads", "patch_size"]


def test_a_noised_clip_needs_its_own_timesteps_and_image_size() -> None:
    needs = COMPONENTS["clip/noised-clip"].needs(NoisedClipConfig(timesteps=300, image_size=32))
    wanted = {key: need.value for key, need in needs.items()}
    assert wanted == {
        "schedule.num_steps": 300,
        "schedule.rescale_timesteps": False,
        "schedule.time": "t",
        "image.size": 32,
    }
    assert not needs["schedule.num_steps"].optional


def test_a_clip_for_clean_images_fits_any_schedule_and_size() -> None:
    assert COMPONENTS["clip/noised-clip"].needs(NoisedClipConfig(timesteps=0)) == {}
    assert COMPONENTS["clip/transformers-clip"].needs(TransformersClipConfig(folder="clip")) == {}


def test_a_folder_without_weights_is_told_before_anything_is_built(tmp_path: Path) -> None:
    lacks = COMPONENTS["clip/transformers-clip"].lacks
    config = TransformersClipConfig(folder=tmp_path)
    assert [field for field, _ in lacks(config)] == ["weights"]
    (tmp_path / "model.safetensors").touch()
    assert list(lacks(config)) == []


def test_the_guidance_can_be_weighted_by_step() -> None:
    assert COMPONENTS["guidance/clip"].provides(ClipGuidanceConfig(clip=None)) == {"guidance.weight": True}
