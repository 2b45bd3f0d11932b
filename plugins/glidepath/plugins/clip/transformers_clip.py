"""The CLIP models of the package transformers (Radford et al. 2021), for images without noise."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from glidepath.core import PartError
from glidepath.plugins.clip.configs import TransformersClipConfig
from glidepath.plugins.clip.interface import Clip

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""Of the colours of CLIP's training images, for a folder that does not say others."""


class TransformersClip(Clip):
    """A `CLIPModel` of a local folder. Its state dict is the model's own: a model.safetensors fits."""

    noised = False
    pixel_scale: Tensor
    pixel_shift: Tensor

    def __init__(self, config: TransformersClipConfig) -> None:
        """Raises PartError where transformers is absent, or the folder holds no CLIP that it can read."""
        super().__init__()
        self.model, self._tokenizer = _read(config.folder)
        self.image_size = int(self.model.config.vision_config.image_size)
        self._context = int(self.model.config.text_config.max_position_embeddings)
        mean, deviation = (torch.tensor(colour).reshape(3, 1, 1) for colour in _colours(config.folder))
        # from [-1, 1] to [0, 1] to mean 0 and deviation 1, in one multiplication and one addition
        self.register_buffer("pixel_scale", 0.5 / deviation, persistent=False)
        self.register_buffer("pixel_shift", (0.5 - mean) / deviation, persistent=False)

    @property
    def logit_scale(self) -> Tensor:
        """That of the model, learned with it; 100 in OpenAI's."""
        scale: Tensor = self.model.logit_scale.exp()
        return scale

    def embed_texts(self, prompts: Sequence[str]) -> Tensor:
        """[B, D] of B prompts, truncated to the model's context."""
        if isinstance(prompts, str) or not prompts:
            raise PartError(f"a CLIP takes a list of prompts, at least one; got {prompts!r}")
        tokens = self._tokenizer(
            list(prompts),
            padding="max_length",
            truncation=True,
            max_length=self._context,
            return_tensors="pt",
        )
        device = self.model.logit_scale.device
        features: Tensor = self.model.get_text_features(**tokens.to(device)).pooler_output
        return F.normalize(features, dim=-1)

    def truncated(self, prompt: str) -> str:
        """The end of a prompt that the context does not hold beside the two marks."""
        ids = self._tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
        return str(self._tokenizer.decode(ids[self._context - 2 :])).strip()

    def embed_images(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """[B, D] of x_0 [B, 3, S, S] in [-1, 1]."""
        if t is not None:
            raise PartError("this CLIP reads images without noise, and a timestep was given")
        shape = (3, self.image_size, self.image_size)
        if x.ndim != 4 or tuple(x.shape[1:]) != shape:
            raise PartError(f"this CLIP reads images [B, {', '.join(map(str, shape))}], not {list(x.shape)}")
        pixels = torch.addcmul(self.pixel_shift, x, self.pixel_scale)
        features: Tensor = self.model.get_image_features(pixels).pooler_output
        return F.normalize(features, dim=-1)

    def read_weights(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Those of a CLIPModel, as the folder has them."""
        return {f"model.{name}": tensor for name, tensor in tensors.items()}


def _read(folder: Path) -> tuple[Any, Any]:
    """The model and the tokenizer of a folder; nothing is downloaded, and no pickle is read."""
    try:
        from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
        from transformers.utils import logging
    except ModuleNotFoundError as error:
        raise PartError(
            "clip transformers-clip needs the package transformers: pip install 'glidepath-diffusion[clip]'"
        ) from error
    _require_files(folder)
    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        config = CLIPConfig.from_pretrained(folder, local_files_only=True)
        # on the device `meta` a plan is measured, and there are no weights to read
        if torch.get_default_device().type == "meta" or not any(folder.glob("*.safetensors")):
            return CLIPModel(config), tokenizer
        model = CLIPModel.from_pretrained(
            folder, config=config, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
        return model, tokenizer
    except Exception as error:
        raise PartError(
            f"clip transformers-clip: folder: transformers cannot read the CLIP in {folder}: {error}"
        ) from error
    finally:
        if bar:
            logging.enable_progress_bar()


def _require_files(folder: Path) -> None:
    """Refuse what transformers would take for the name of a model on the hub, or for one of all defaults."""
    if not folder.is_dir():
        raise PartError(f"clip transformers-clip: folder: there is no folder {folder}")
    for names in (("config.json",), ("tokenizer.json", "vocab.json")):
        if not any((folder / name).is_file() for name in names):
            raise PartError(f"clip transformers-clip: folder: {folder} has no {' or '.join(names)}")


def _colours(folder: Path) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and deviation of the colours that the model was trained on."""
    file = folder / "preprocessor_config.json"
    try:
        settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (OSError, ValueError) as error:
        raise PartError(f"clip transformers-clip: folder: {file} cannot be read: {error}") from error
    return settings.get("image_mean", _MEAN), settings.get("image_std", _DEVIATION)
