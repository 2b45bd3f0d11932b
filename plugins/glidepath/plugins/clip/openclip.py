"""The CLIP models of the package open_clip (Cherti et al. 2023), for images without noise."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from glidepath.core import PartError
from glidepath.plugins.clip.configs import OpenClipConfig
from glidepath.plugins.clip.interface import Clip
from glidepath.plugins.clip.plugin import open_clip_faults


class OpenClip(Clip):
    """A model of open_clip. Its state dict is the model's own, so that open_clip's files are its weights."""

    noised = False
    pixel_scale: Tensor
    pixel_shift: Tensor

    def __init__(self, config: OpenClipConfig) -> None:
        """Raises PartError where open_clip is absent, has no such model, or cannot read its weights."""
        super().__init__()
        for field, fault in open_clip_faults(config):
            raise PartError(f"clip open-clip: {field} {fault}")
        package = _open_clip()
        _check_name(config, package)
        self.model = _model(config, package)
        self._tokenize: Any = package.get_tokenizer(config.model)
        about = package.get_model_preprocess_cfg(self.model)
        self.image_size = _side(about["size"])
        mean, deviation = (torch.tensor(about[name]).reshape(3, 1, 1) for name in ("mean", "std"))
        # from [-1, 1] to [0, 1] to mean 0 and deviation 1, in one multiplication and one addition
        self.register_buffer("pixel_scale", 0.5 / deviation, persistent=False)
        self.register_buffer("pixel_shift", (0.5 - mean) / deviation, persistent=False)

    @property
    def logit_scale(self) -> Tensor:
        """That of the model, learned with it; 100 in OpenAI's."""
        scale: Tensor = self.model.logit_scale.exp()
        return scale.squeeze()

    def embed_texts(self, prompts: Sequence[str]) -> Tensor:
        """[B, D] of B prompts, truncated to the model's context."""
        if isinstance(prompts, str) or not prompts:
            raise PartError(f"a CLIP takes a list of prompts, at least one; got {prompts!r}")
        ids: Tensor = self._tokenize(list(prompts))
        device = self.model.logit_scale.device
        texts: Tensor = self.model.encode_text(ids.to(device, non_blocking=True), normalize=True)
        return texts

    def embed_images(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """[B, D] of x_0 [B, 3, S, S] in [-1, 1]."""
        if t is not None:
            raise PartError("this CLIP reads images without noise, and a timestep was given")
        wanted = (3, self.image_size, self.image_size)
        if x.ndim != 4 or tuple(x.shape[1:]) != wanted:
            raise PartError(f"this CLIP reads images [B, {', '.join(map(str, wanted))}], not {list(x.shape)}")
        pixels = torch.addcmul(self.pixel_shift, x, self.pixel_scale)
        images: Tensor = self.model.encode_image(pixels, normalize=True)
        return images

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The model's."""
        return self.model.state_dict(*args, **kwargs)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load the model's."""
        return self.model.load_state_dict(state_dict, strict=strict, assign=assign)


def _open_clip() -> ModuleType:
    try:
        import open_clip
    except ModuleNotFoundError as error:
        raise PartError(
            "clip open-clip needs the package open_clip: pip install 'glidepath-diffusion[clip]'"
        ) from error
    except RuntimeError as error:  # torchvision, when it is of another version than torch
        raise PartError(f"clip open-clip: the package open_clip cannot be imported: {error}") from error
    package: ModuleType = open_clip
    return package


def _check_name(config: OpenClipConfig, package: ModuleType) -> None:
    """Refuse what open_clip does not have, and what it would fetch without being told to."""
    if ":" in config.model:  # a schema of open_clip's: hf-hub:..., local-dir:...
        return
    about = package.get_model_config(config.model)
    if about is None:
        raise PartError(
            f"clip open-clip: model: open_clip has no {config.model!r}; open_clip.list_models() names them"
        )
    fetched = [name for name in ("hf_model_name", "hf_tokenizer_name") if about["text_cfg"].get(name)]
    if fetched and config.pretrained is None:
        raise PartError(
            f"clip open-clip: model: the text side of {config.model} is of another package, and open_clip "
            f"fetches its tokenizer ({about['text_cfg'][fetched[-1]]}) from the hub; name one of the model's "
            "tags as `pretrained` to let it"
        )


def _model(config: OpenClipConfig, package: ModuleType) -> Any:
    """The model, with its weights unless it is only measured: on the device `meta` there are none to read."""
    measured = torch.get_default_device().type == "meta"
    pretrained = None if measured else config.pretrained
    if config.checkpoint is not None and not measured:
        pretrained = _existing(config.checkpoint)
    logging.root.addFilter(_is_no_false_alarm)
    try:
        device = "meta" if measured else "cpu"
        return package.create_model(config.model, pretrained=pretrained, device=device)
    except Exception as error:
        weights = f" with the weights {pretrained}" if pretrained else ""
        raise PartError(f"clip open-clip: open_clip cannot make {config.model}{weights}: {error}") from error
    finally:
        logging.root.removeFilter(_is_no_false_alarm)


def _is_no_false_alarm(record: logging.LogRecord) -> bool:
    """Whether a warning is worth showing: not that weights are random, where the part's own follow."""
    return not record.getMessage().startswith("No pretrained weights loaded")


def _existing(file: Path) -> str:
    if not file.is_file():
        raise PartError(f"clip open-clip: checkpoint: there is no file {file}")
    return str(file)


def _side(size: int | Sequence[int]) -> int:
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise PartError(f"clip open-clip: model: it reads images of {size}, which are no squares")
    return sides.pop()
