"""What the configuration files of diffusers and transformers say. Read as data, without either of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glidepath.core import GlidepathError
from glidepath.registry import read_text

CONTROLNETS = ("ControlNetModel", "SD3ControlNetModel", "FluxControlNetModel")
"""Classes of ControlNets that can be asked."""

_LEGACY = {"ada_norm_zero": "DiTTransformer2DModel", "ada_norm_single": "PixArtTransformer2DModel"}
"""What became of `Transformer2DModel` in diffusers, by its `norm_type`; DiT and PixArt were published so."""


def read_json(file: Path) -> Mapping[str, Any]:
    """A file that holds a mapping.

    Raises:
        GlidepathError: it is not there, or holds something else.
    """
    try:
        found = json.loads(read_text(file))
    except OSError as error:
        raise GlidepathError(f"{file} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise GlidepathError(f"{file} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise GlidepathError(f"{file} holds no mapping")
    return found


def read_config(file: Path) -> Mapping[str, Any]:
    """The configuration of a network, its config.json.

    Raises:
        GlidepathError: it is not there, or is none; or it asks for code of its own, or for quantized weights.
    """
    found = read_json(file)
    if "auto_map" in found:
        raise GlidepathError(f"{file} asks for code that comes with it (auto_map), which is never run")
    if "quantization_config" in found:
        raise GlidepathError(
            f"{file} is of quantized weights (quantization_config); use the folder of the full ones"
        )
    if found.get("_class_name") == "Transformer2DModel" and found.get("norm_type") in _LEGACY:
        return {**found, "_class_name": _LEGACY[found["norm_type"]]}
    return found


def latent_channels(config: Mapping[str, Any]) -> int:
    """C of an autoencoder's latents."""
    return int(config.get("latent_channels") or 4)


def latent_factor(config: Mapping[str, Any]) -> int:
    """How many pixels along each side one position of an autoencoder's latents stands for."""
    if "encoder_block_out_channels" in config:
        blocks = config["encoder_block_out_channels"]
    else:
        blocks = config.get("block_out_channels") or [0]
    return 1 << (len(blocks) - 1)


def encoded_for(config: Mapping[str, Any]) -> str:
    """How a ControlNet reads its picture, in the words of `control-picture`."""
    if config.get("_class_name") == "SD3ControlNetModel":
        return "unshifted" if config.get("force_zeros_for_pooled_projection", True) else "x_0"
    is_flux = config.get("_class_name") == "FluxControlNetModel"
    return "x_0" if is_flux and config.get("conditioning_embedding_channels") is None else "no"


def has_projection(config: Mapping[str, Any]) -> bool:
    """Whether a saved CLIP has a projection."""
    return any("WithProjection" in str(name) for name in config.get("architectures") or ())
