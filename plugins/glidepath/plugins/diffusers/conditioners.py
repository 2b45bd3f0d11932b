"""What models of today are told beside the prompt: sizes, a picture to follow, a picture as a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from glidepath.core import Codec, Condition, Conditioner, Input, NoiseSchedule, PartError, Request
from glidepath.plugins.diffusers.autoencoder import Autoencoder
from glidepath.plugins.diffusers.configs import SizeIdsConfig
from glidepath.plugins.diffusers.known import LEVEL_WIDTH
from glidepath.plugins.diffusers.saved import read_config, read_json
from glidepath.plugins.diffusers.steering_configs import (
    ControlPictureConfig,
    ImagePromptConfig,
    InpaintingConfig,
    NoisedLowResConfig,
    PromptMaskConfig,
)
from glidepath.plugins.diffusers.wrapped import Wrapped


class SizeIds(Conditioner):
    """The sizes that SDXL is told (Podell et al. 2023, section 2.2); its refiner is told a score too."""

    makes = frozenset({"size_ids"})

    def __init__(self, config: SizeIdsConfig) -> None:
        super().__init__()
        self.config = config

    def conditions(self, request: Request, codec: Codec) -> Mapping[str, Condition]:
        """size_ids [B, 6]: original size, crop, size of the image; with a score [B, 5], it stands last."""
        size = _size(request)
        before = [*(self.config.original or size), *self.config.crop]
        if self.config.score is None:
            return {"size_ids": Condition(_rows([*before, *size], request.batch))}
        null = torch.tensor([[*before, self.config.negative_score]])
        return {"size_ids": Condition(_rows([*before, self.config.score], request.batch), null)}


class Resolution(Conditioner):
    """The size of the image and its ratio, which PixArt-alpha of 1024 pixels is told."""

    makes = frozenset({"resolution", "aspect_ratio"})

    def conditions(self, request: Request, codec: Codec) -> Mapping[str, Condition]:
        """resolution [B, 2]: height and width; aspect_ratio [B, 1]: height over width."""
        height, width = _size(request)
        return {
            "resolution": Condition(_rows([height, width], request.batch)),
            "aspect_ratio": Condition(_rows([height / width], request.batch)),
        }


class EditImage(Conditioner):
    """The image that an instruction changes, for the UNet of InstructPix2Pix (Brooks et al. 2023)."""

    makes = frozenset({"edit_image"})
    inputs = MappingProxyType({"edit_image": Input("the image that the prompt says how to change")})

    def conditions(self, request: Request, codec: Codec) -> Mapping[str, Condition]:
        """edit_image [B, C, h, w], the mode of its posterior, not scaled; zeros stand for no image."""
        x_0 = codec.encode(request.rows("edit_image").to(_of(codec).device))
        z = x_0 / _of(codec).scale + _of(codec).shift
        return {"edit_image": Condition(z, torch.zeros_like(z))}


class NoisedLowRes(Conditioner):
    """The picture that a latent upscaler enlarges, noised as far as it is told (Ho et al. 2022)."""

    makes = frozenset({"low_res", "noise_level"})
    inputs = MappingProxyType({"low_res": Input("what it enlarges, the images to start from", size="any")})

    def __init__(self, config: NoisedLowResConfig, schedule: NoiseSchedule) -> None:
        super().__init__()
        if schedule.continuous or config.level >= schedule.num_steps:
            raise PartError(f"level is a timestep of its schedule, and {config.level} is none")
        self.level = config.level
        self.alpha, self.sigma = map(float, schedule.alpha_sigma(torch.tensor(config.level)))

    def conditions(self, request: Request, codec: Codec) -> Mapping[str, Condition]:
        """low_res [B, 3, h, w], the picture in the size of x, noised; noise_level [B] int64."""
        picture = request.rows("low_res")
        if picture.is_floating_point():
            raise PartError("this upscaler enlarges pictures, and was handed latents (handover)")
        picture = picture.to(torch.float32) / 127.5 - 1
        size = codec.latent_size(_size(request))
        picture = F.interpolate(picture, size=size, mode="bilinear", antialias=True)
        noise = request.noise().posterior(tuple(picture.shape), picture.device)
        return {
            "low_res": Condition(self.alpha * picture + self.sigma * noise),
            "noise_level": Condition(torch.full((request.batch,), self.level)),
        }


class LatentLowRes(Conditioner):
    """The latents that an upscaler of latents enlarges: of a picture, or of the stage before."""

    makes = frozenset({"low_res", "low_res_level"})
    inputs = MappingProxyType({"low_res": Input("what it enlarges, the images to start from", size="any")})

    def conditions(self, request: Request, codec: Codec) -> Mapping[str, Condition]:
        """low_res [B, C, h, w], each value repeated up to the size of x; low_res_level [B, 128]: no noise.

        The level is what Fourier features make of 0, the cosines first (Crowson 2022, the program of
        Stable Diffusion's upscaler of latents). A picture loses what is beyond the last whole position.
        """
        given = request.rows("low_res")
        if not given.is_floating_point():
            height, width = (side - side % codec.factor for side in given.shape[2:])
            device = codec.device if isinstance(codec, Autoencoder) else given.device
            whole = given[..., :height, :width].to(device)
            given = codec.encode(whole, _drawn(request, whole, codec))
        low_res = F.interpolate(given, size=codec.latent_size(_size(request)), mode="nearest")
        level = [1.0] * (LEVEL_WIDTH // 2) + [0.0] * (LEVEL_WIDTH // 2)
        return {"low_res": Condition(low_res), "low_res_level": Condition(_rows(level, request.batch))}


class ControlPicture(Conditioner):
    """A picture that a ControlNet follows: edges, depths, poses."""

    def __init__(self, config: ControlPictureConfig) -> None:
        super().__init__()
        self.name = config.name
        self.makes = frozenset({config.name})
        self.inputs = {config.name: Input("the picture that its ControlNet follows")}
        self.encoded = config.encoded

    def conditions(self, request: Request, codec: Codec) -> Mapping[str, Condition]:
        """[B, 3, H, W] in [0, 1], or encoded [B, C, h, w]; the unconditional prediction follows it too."""
        pictures = request.rows(self.name)
        if self.encoded == "no":
            return {self.name: Condition(pictures.to(torch.float32) / 255)}
        encoder = _of(codec)
        pictures = pictures.to(encoder.device)
        x_0 = encoder.encode(pictures, _drawn(request, pictures, encoder))
        shifted = self.encoded == "x_0"
        return {self.name: Condition(x_0 if shifted else x_0 + encoder.scale * encoder.shift)}


class ImagePrompt(Wrapped, Conditioner):
    """A picture as a prompt: its embedding in a CLIP, which an IP-adapter attends to (Ye et al. 2023)."""

    def __init__(self, config: ImagePromptConfig) -> None:
        import transformers

        super().__init__()
        settings = transformers.CLIPVisionConfig.from_dict(dict(read_config(config.config)))
        self.network = transformers.CLIPVisionModelWithProjection(settings)
        self.processor: Any = transformers.CLIPImageProcessor.from_dict(dict(read_json(config.processor)))
        self.hidden, self.name = config.hidden, config.name
        self.makes = frozenset({config.name})
        self.inputs = {config.name: Input("the picture that is a prompt", size="any")}

    def conditions(self, request: Request, codec: Codec) -> Mapping[str, Condition]:
        """[B, 1, D], or [B, 1, L, D] where hidden vectors are read.

        Zeros stand for no picture; where hidden vectors are read, those of a picture of zeros.
        """
        pictures = list(request.rows(self.name).cpu().numpy())
        pixels = self.processor(pictures, return_tensors="pt").pixel_values.to(self.device, self.dtype)
        embedded = self._embedded(pixels)
        absent = self._embedded(torch.zeros_like(pixels[:1])) if self.hidden else torch.zeros_like(embedded)
        return {self.name: Condition(embedded, absent)}

    def _embedded(self, pixels: Tensor) -> Tensor:
        with torch.no_grad():
            output = self.network(pixels, output_hidden_states=self.hidden)
        vectors: Tensor = output.hidden_states[-2] if self.hidden else output.image_embeds
        return vectors.to(torch.float32)[:, None]


class PromptMask(Conditioner):
    """Where an image prompt has its say."""

    def __init__(self, config: PromptMaskConfig) -> None:
        super().__init__()
        self.name = config.name
        self.makes = frozenset({config.name})
        self.inputs = {config.name: Input("white where the image prompt has its say")}

    def conditions(self, request: Request, codec: Codec) -> Mapping[str, Condition]:
        """[B, 1, H, W], 1 where it has and 0 elsewhere."""
        return {self.name: Condition((request.rows(self.name)[:, :1] >= 128).to(torch.float32))}


class Inpainting(Conditioner):
    """A mask and what it leaves of an image, for networks that were trained for inpainting.

    The pictures are other ones than `image` and `mask`, which restore what is known at each step.
    """

    makes = frozenset({"inpaint_mask", "inpaint_image"})
    inputs = MappingProxyType(
        {
            "inpaint_image": Input("the image of which a part is made anew"),
            "inpaint_mask": Input("white where the image is made anew, black where it is kept"),
        }
    )

    def __init__(self, config: InpaintingConfig) -> None:
        super().__init__()
        self.folded = config.folded

    def conditions(self, request: Request, codec: Codec) -> Mapping[str, Condition]:
        """inpaint_mask [B, 1 or factor^2, h, w], 1 where it is made anew; inpaint_image [B, C, h, w]."""
        encoder = _of(codec)
        device = encoder.device
        hidden = (request.rows("inpaint_mask")[:, :1].to(device) >= 128).to(torch.float32)
        pixels = request.rows("inpaint_image").to(device) / 127.5 - 1
        kept = encoder.encode_pixels(pixels * (1 - hidden), _drawn(request, pixels, encoder))
        if self.folded:
            mask = F.pixel_unshuffle(hidden, encoder.factor)
        else:
            mask = F.interpolate(hidden, size=kept.shape[2:])
        return {"inpaint_mask": Condition(mask), "inpaint_image": Condition(kept)}


def _of(codec: Codec) -> Autoencoder:
    if not isinstance(codec, Autoencoder):
        raise PartError("this network runs in the latents of an autoencoder of diffusers, which is no other")
    return codec


def _drawn(request: Request, pictures: Tensor, encoder: Codec) -> Tensor:
    """The noise from which an encoder draws an x_0 of each of some pictures [B, 3, H, W]."""
    shape = (request.batch, encoder.channels, *encoder.latent_size(pictures.shape[2:]))
    return request.noise().posterior(shape, pictures.device)


def _size(request: Request) -> tuple[int, int]:
    if request.size is None:
        raise PartError("a request reaches conditioners with the size of its images")
    height, width = request.size
    return height, width


def _rows(values: list[float], batch: int) -> Tensor:
    return torch.tensor([values], dtype=torch.float32).expand(batch, -1)
