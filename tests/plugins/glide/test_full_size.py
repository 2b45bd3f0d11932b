"""GLIDE's base model at its full size, with random weights."""

from __future__ import annotations

import pytest
import torch

from glidepath.core.conditioning import Conditioning
from glidepath.core.text_encoder import TextEncoder
from glidepath.plugins.adm.unet import AdmUNet
from glidepath.registry.assembly.build import build_parts
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec


@pytest.mark.slow
def test_the_full_size_base_model_predicts_an_image_in_float32() -> None:
    """As a prepared predictor and without preparation: two paths to the same numbers. Needs 2 GB."""
    catalogue = load_catalogue()
    plan = make_plan(read_spec("glide-base", [], catalogue=catalogue), catalogue)
    torch.manual_seed(0)
    parts = build_parts(plan, ("schedule", "text_encoder", "denoiser"), catalogue, load=False)
    unet, encoder = parts["denoiser"], parts["text_encoder"]
    assert isinstance(unet, AdmUNet)
    assert isinstance(encoder, TextEncoder)
    with torch.inference_mode():
        for parameter in unet.parameters():
            if not parameter.any():  # what ends a residual branch starts as 0, and would hide the branch
                parameter.normal_(std=0.02)
        conditioning = Conditioning.of(1, text=encoder.eval().unconditional())
        levels = parts["schedule"].levels([500])
        x = torch.randn(1, *unet.image_shape)
        prediction = unet.eval().prepare(conditioning, levels)(x, next(levels.steps("cpu")))
        output = unet(x, levels.t, conditioning)
    assert output.shape == (1, 6, 64, 64)
    assert output.isfinite().all()
    assert output.std() > 0.01
    assert prediction.variance_fraction is not None
    both = torch.cat([prediction.value, 2 * prediction.variance_fraction - 1], dim=1)
    assert (both - output).abs().max() / output.abs().max() < 1e-5
