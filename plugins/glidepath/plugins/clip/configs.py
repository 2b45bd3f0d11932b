"""The parameters of each part. Imports no torch; imported where a part is used, not where it is listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
from attrs.validators import ge, gt, le, optional

from glidepath.registry import asset, doc, part

_AT_LEAST_1: Any = optional(ge(1))  # attrs types the validator of an optional field as of the field itself


@attrs.frozen(kw_only=True)
class NoisedClipConfig:
    """A CLIP that reads x_t: it was trained on images noised to every timestep. The defaults are GLIDE's.

    Weights have the keys of GLIDE's two files, those of the text encoder after "text.", those of the image
    encoder after "image.".
    """

    width: int = attrs.field(
        default=512, validator=ge(1), metadata=doc("of the embeddings, in which text and image are compared")
    )
    text_width: int = attrs.field(default=512, validator=ge(1), metadata=doc("width of the text encoder"))
    text_layers: int = attrs.field(default=12, validator=ge(1), metadata=doc("its transformer blocks"))
    text_heads: int = attrs.field(
        default=8, validator=ge(1), metadata=doc("its attention heads; they divide text_width")
    )
    context: int = attrs.field(
        default=77,
        validator=ge(3),
        metadata=doc("tokens of a prompt that are read, its beginning and its end included"),
    )
    vocabulary_rows: int | None = attrs.field(
        default=65536,
        validator=_AT_LEAST_1,
        metadata=doc(
            "rows of the table of tokens; GLIDE's has more than its tokenizer has tokens; none: as many as "
            "the tokenizer has"
        ),
    )
    image_size: int = attrs.field(
        default=64, validator=ge(1), metadata=doc("height and width of an image, in pixels")
    )
    patch_size: int = attrs.field(
        default=4,
        validator=ge(1),
        metadata=doc("height and width of the patches that it is cut into; divides image_size"),
    )
    image_width: int = attrs.field(default=768, validator=ge(1), metadata=doc("width of the image encoder"))
    image_layers: int = attrs.field(default=12, validator=ge(1), metadata=doc("its transformer blocks"))
    image_heads: int = attrs.field(
        default=12, validator=ge(1), metadata=doc("its attention heads; they divide image_width")
    )
    timesteps: int = attrs.field(
        default=1000,
        validator=ge(0),
        metadata=doc(
            "how many noise levels it knows: those of the schedule; 0: none, it reads images without noise"
        ),
    )
    logit_scale: float = attrs.field(
        default=100.0,
        validator=gt(0),
        metadata=doc("what the cosine of a text and an image is multiplied by to give a log-likelihood"),
    )
    tokenizer: Any = attrs.field(
        default="glidepath-diffusion/clip-bpe", metadata=part("tokenizer", "turns the prompt into integers")
    )


@attrs.frozen(kw_only=True)
class TransformersClipConfig:
    """A CLIP of the package transformers (OpenAI's, LAION's and others), for images without noise.

    Its weights are those of the folder, unless the part has `weights` of its own. Nothing is downloaded.
    """

    folder: Path = attrs.field(
        converter=Path,
        metadata=asset(
            "what a CLIPModel, its tokenizer and its image processor save: config.json, model.safetensors, "
            "tokenizer.json or vocab.json with merges.txt, preprocessor_config.json"
        ),
    )


@attrs.frozen(kw_only=True)
class ClipGuidanceConfig:
    """The gradient of how well a CLIP finds the image to fit its prompt, for the sampler to follow.

    A noised CLIP reads x_t. Any other reads the predicted x_0, clipped to [-1, 1]. In a list with
    classifier-free guidance it stands best after it: before it, every gradient is computed twice, once for
    the unconditional half, which drops it.
    """

    clip: Any = attrs.field(metadata=part("clip", "compares the prompt with the image; give it weights"))
    scale: float = attrs.field(
        default=3.0,
        validator=ge(0),
        metadata=doc("what the gradient of the log-likelihood is multiplied by; 0: none is computed"),
    )
    through_denoiser: bool = attrs.field(
        default=False,
        metadata=doc(
            "on the predicted x_0: take its gradient back to x_t through the denoiser, in about three times "
            "the time and with its activations kept; false: as if data were Gaussian, without the denoiser"
        ),
    )
    cutouts: int = attrs.field(
        default=0,
        validator=ge(0),
        metadata=doc(
            "on the predicted x_0: how many square pieces of it are compared, at random places and sizes; "
            "0: the whole image"
        ),
    )
    cut_power: float = attrs.field(
        default=1.0,
        validator=gt(0),
        metadata=doc("above 1 pieces are small more often than large, below 1 large more often than small"),
    )
    cut_min: float = attrs.field(
        default=0.5,
        validator=[gt(0), le(1)],
        metadata=doc("the side of the smallest piece, as a share of the image's"),
    )
    cut_seed: int = attrs.field(
        default=0,
        metadata=doc("decides, together with the step, the places; they are the same for all images"),
    )
