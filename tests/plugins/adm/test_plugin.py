"""The descriptor of `adm-unet`: what it accepts, offers and asks for, without torch."""

from __future__ import annotations

import attrs
import pytest

from glidepath.core.errors import PartError
from glidepath.plugins.adm.configs import AdmUNetConfig
from glidepath.plugins.adm.faults import unet_faults
from glidepath.plugins.adm.plugin import components
from glidepath.plugins.adm.unet import AdmUNet

ADM_UNET = next(component for component in components() if component.name == "adm-unet")


def test_what_is_provided_follows_the_parameters() -> None:
    config = AdmUNetConfig(
        image_size=32, in_channels=4, learned_variance=False, predicts="velocity", attention_resolutions=(8,)
    )
    assert ADM_UNET.provides(config) == {
        "image.channels": 4,
        "image.size": 32,
        "image.upsamples": False,
        "prediction.kind": "velocity",
        "prediction.learned_variance": False,
    }


def test_a_denoiser_with_text_needs_its_widths() -> None:
    needs = ADM_UNET.needs(AdmUNetConfig(text_width=512))
    assert {key: need.value for key, need in needs.items()} == {"text.width": 512, "text.pooled": 768}
    assert {key: need.field for key, need in needs.items()} == {
        "text.width": "text_width",
        "text.pooled": "channels",
    }


def test_a_denoiser_without_text_refuses_a_text_encoder() -> None:
    needs = ADM_UNET.needs(AdmUNetConfig())
    assert needs.keys() == {"text.width"}
    assert needs["text.width"].optional
    assert needs["text.width"].test is not None
    assert "takes no text" in needs["text.width"].test(512)


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"image_size": 60}, "image_size", "is not a multiple of 8"),
        ({"image_size": 64, "patch_size": 3}, "image_size", "is not a multiple of 24"),
        ({"attention_resolutions": (4,)}, "attention_resolutions", "4 is no size .* 64, 32, 16, 8"),
        (
            {"patch_size": 2, "attention_resolutions": (64,)},
            "attention_resolutions",
            "64 is no size .* 32, 16, 8, 4",
        ),
        ({"patch_size": 2, "dims": 1}, "patch_size", "with dims 1, patch_size is 1"),
        ({"channels": 100}, "channel_mult", "1 x 100 channels = 100, which is not a multiple of 32"),
        ({"channel_mult": (0.1, 1, 2, 3)}, "channel_mult", r"0.1 x 192 channels = 19, which"),
        ({"head_channels": 100}, "head_channels", "100 does not divide the 384 channels"),
        ({"head_channels": None, "heads": 5}, "heads", "5 does not divide the 384 channels"),
        ({"head_channels": None, "heads_upsample": 7}, "heads_upsample", "7 does not divide the 384"),
    ],
)
def test_parameters_that_do_not_fit_together_are_faults(
    change: dict[str, object], field: str, message: str
) -> None:
    config = attrs.evolve(AdmUNetConfig(), **change)
    assert ADM_UNET.check is unet_faults
    found = unet_faults(config)
    assert field in {name for name, _ in found}
    with pytest.raises(PartError, match=f"denoiser adm-unet: {field}: .*{message}"):
        AdmUNet(config)


@pytest.mark.parametrize(
    "change",
    [
        {"channels": 0},
        {"channel_mult": ()},
        {"channel_mult": (1, 0)},
        {"dropout": 1.5},
        {"dims": 4},
        {"patch_size": 0},
        {"num_classes": 0},
        {"text_width": 0},
        {"heads": 0},
        {"head_channels": 0},
    ],
)
def test_parameters_out_of_range_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        AdmUNetConfig(**change)  # type: ignore[arg-type]


def test_the_defaults_have_no_fault() -> None:
    assert unet_faults(AdmUNetConfig()) == []
