"""The parts, with tiny networks in place of published ones, through the conformance kit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glidepath.testing.suite import Suite

pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
pytest.importorskip("transformers", reason="needs the extra [diffusers]")

pytestmark = pytest.mark.thorough

Saved = Callable[[str], Path]


def clip(folder: Path, number: str = "") -> dict[str, Any]:
    return {
        "use": "glidepath-diffusion/clip-text",
        "config": str(folder / f"text_encoder{number}" / "config.json"),
        "tokenizer": str(folder / f"tokenizer{number}"),
    }


def example(part: str, saved: Saved) -> dict[str, Any]:
    """Parameters of a part with a tiny network."""
    if part == "text_encoder/joined-text":
        encoders = [clip(saved("sdxl")), clip(saved("sdxl"), "_2")]
        return {"encoders": encoders, "tokens": [[0, 1]], "pooled": [1]}
    if part == "text_encoder/t5-text":
        folder = saved("pixart")
        saved_as = {"config": folder / "text_encoder" / "config.json", "tokenizer": folder / "tokenizer"}
        return {"context": 16, **{name: str(path) for name, path in saved_as.items()}}
    if part == "text_encoder/clip-text":
        return {name: value for name, value in clip(saved("sd15")).items() if name != "use"}
    if part == "conditioner/image-prompt":
        return {
            name: str(saved("image_encoder") / file)
            for name, file in {"config": "config.json", "processor": "preprocessor_config.json"}.items()
        }
    folders = {"denoiser/diffusers-network": "sd15/unet", "codec/autoencoder": "sd15/vae"}
    name, _, inner = folders.get(part, "controlnet/").partition("/")
    return {"config": str(saved(name) / inner / "config.json")}


@pytest.mark.parametrize(
    "part",
    [
        "denoiser/diffusers-network",
        "codec/autoencoder",
        "text_encoder/clip-text",
        "text_encoder/t5-text",
        "text_encoder/joined-text",
        "conditioner/image-prompt",
        "control/controlnet",
    ],
)
def test_a_part_with_a_tiny_network_conforms(part: str, saved: Saved) -> None:
    suite = Suite("glidepath-diffusion", examples={part: example(part, saved)})
    outcomes = [suite.run(case) for case in suite.cases.values() if case.subject.id == part]
    assert outcomes
    assert [f"{it.id}: {it.reason}" for it in outcomes if it.is_fault] == []
