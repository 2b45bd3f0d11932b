"""From a single file of a whole model to a spec: which family it is of, and which parts it holds. No torch.

A family is a preset of this plugin. Its parts read their tensors from the file itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import yaml

from glidepath.core import GlidepathError
from glidepath.plugins.diffusers.imported import INDEX, Imported, read_folder
from glidepath.plugins.diffusers.places import DENOISER, VAE, Shapes, below, clip_place, t5_place
from glidepath.plugins.diffusers.published import preset_file
from glidepath.plugins.diffusers.saved import read_config
from glidepath.registry import list_names, open_file, read_text

_LENGTH_BYTES = 8  # at the start of a safetensors file: the length of the JSON that follows, little-endian
_LONGEST_HEADER = 100_000_000
_PACKAGE = "package:glidepath.plugins.diffusers/"
_WHOLE = "${denoiser.weights}"
_DENOISERS = ("input_blocks.0.0.weight", "joint_blocks.0.x_block.attn.qkv.weight", "double_blocks.0.")
_VELOCITY = (
    "the file does not say whether it predicts the velocity, as Stable Diffusion 2.1 does, or epsilon, as "
    "2.1 base does, of 512 pixels: of that write denoiser.predicts: epsilon, and denoiser.size: 64"
)


def _unet(channels: int, given: int, layers: int, width: int) -> Shapes:
    """Of a UNet: what enters it, and in its middle the last attention to the text."""
    attention = f"middle_block.1.transformer_blocks.{layers - 1}.attn2.to_k.weight"
    return {"input_blocks.0.0.weight": (channels, given, 3, 3), attention: (4 * channels, width)}


def _mmdit(positions: int, width: int, last: str, inner: int) -> Shapes:
    return {"pos_embed": (1, positions**2, width), f"joint_blocks.{last}.weight": (inner, width)}


_FLUX: Shapes = {
    "img_in.weight": (3072, 64),
    "vector_in.in_layer.weight": (3072, 768),
    "double_blocks.18.img_attn.qkv.weight": (9216, 3072),
    "single_blocks.37.linear2.weight": (3072, 15360),
}
_FAMILIES: Mapping[str, Shapes] = {
    "sd-1.5": _unet(320, 4, 1, 768),
    "sd-1.5-inpainting": _unet(320, 9, 1, 768),
    "sd-2.1-v": _unet(320, 4, 1, 1024),
    "sdxl": _unet(320, 4, 10, 2048),
    "sdxl-inpainting": _unet(320, 9, 10, 2048),
    "sdxl-refiner": _unet(384, 4, 4, 1280),
    "sd-3-medium": _mmdit(192, 1536, "23.x_block.mlp.fc1", 6144),
    "sd-3.5-medium": _mmdit(384, 1536, "12.x_block.attn2.qkv", 4608),
    "sd-3.5-large": _mmdit(192, 2432, "37.x_block.mlp.fc1", 9728),
    "flux-dev": {**_FLUX, "guidance_in.in_layer.weight": (3072, 256)},
    "flux-schnell": _FLUX,
}
"""The shapes of some tensors of each denoiser, by its preset. The first that fits is the one."""


@attrs.frozen
class _File:
    """A file of tensors as its header says it. types: of the numbers, by tensor, such as "F16"."""

    path: Path
    shapes: Shapes
    types: Mapping[str, str]

    def holds(self, prefix: str) -> bool:
        """Whether tensors of 16 bits or more begin so, and none of fewer."""
        types = [kind for name, kind in self.types.items() if name.startswith(prefix)]
        return bool(types) and not any(kind.startswith(("F8", "I8", "U8")) for kind in types)


def family(shapes: Shapes) -> str | None:
    """The preset of the model that a file is of, by its tensors; None where none of them is known."""
    own = below(shapes, DENOISER)
    if "edm_mean" in shapes:  # of a model that has the names and the sizes of SDXL's, and another schedule
        return None
    fits = (name for name, of in _FAMILIES.items() if all(own.get(key) == it for key, it in of.items()))
    return next(fits, None)


def is_known(path: Path) -> bool:
    """Whether a file is of a family."""
    return family(_read(path).shapes) is not None


def read_file(
    path: Path,
    named: str,
    *,
    config: tuple[Path, str] | None = None,
    tokenizer: str | None = None,
    steps: int | None = None,
) -> Imported:
    """The spec of a single file.

    named: how the spec names it.
    config: the folder of a pipeline of diffusers that has what the file lacks (configurations, tokenizers,
        other weights), and how the spec names it; None: the preset of its family.
    tokenizer: the folder of CLIP's tokenizer, as the spec names it.
    steps: how many; None: as many as the preset, or the folder's pipeline, has.

    Raises:
        GlidepathError: the file cannot be read, is of no family that is known, or is of 8 bits; or the folder
            is none, as `read_folder` says.
    """
    file = _read(path)
    if config is None:
        spec, notes = _preset(file, steps), list[str]()
    else:
        imported = read_folder(*config, steps)
        spec, notes = {**imported.spec}, list(imported.notes)
        if not any(name.startswith(_DENOISERS) for name in below(file.shapes, DENOISER)):
            raise GlidepathError(f"{_unknown(file)} It has no denoiser under the names of its authors' code")
    located = _in_package if config is None else _in_folder(*config)
    prefix = next((prefix for prefix in DENOISER if file.holds(prefix)), "")
    if not file.holds(prefix):
        raise GlidepathError(f"{path} holds numbers of 8 bits, which no part reads; use the file of 16 bits")
    spec["denoiser"] = {**spec["denoiser"], "weights": named}
    if codec := spec.get("codec"):
        held = any(map(file.holds, VAE))
        spec["codec"] = {**codec, "weights": _weights(codec, held, located)}
    if text := spec.get("text_encoder"):
        read = [_encoder(one, file, located, tokenizer) for one in text.get("encoders", [text])]
        spec["text_encoder"] = {**text, "encoders": read} if "encoders" in text else read[0]
    notes += _notes(file, spec)
    return Imported(spec, tuple(notes))


def _read(path: Path) -> _File:
    """The header of a safetensors file.

    Raises:
        GlidepathError: it is none.
    """
    try:
        with open_file(path) as stream:
            length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
            if length > _LONGEST_HEADER:
                raise ValueError("it does not begin as one")
            header = json.loads(stream.read(length))
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in tensors.items()}
        return _File(path, shapes, {name: str(entry["dtype"]) for name, entry in tensors.items()})
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise GlidepathError(f"{path} cannot be read as a file of safetensors: {why}") from error


def _preset(file: _File, steps: int | None) -> dict[str, Any]:
    name = family(file.shapes)
    if name is None:
        whole = file.path.absolute().parent.parent
        if (whole / INDEX).is_file():
            alone = f"It is of a part of a pipeline, whose folder is {whole}: import that"
        elif any(map(file.holds, VAE)) or "decoder.conv_in.weight" in file.shapes:
            alone = "It holds an autoencoder: name it as `weights` of a codec `autoencoder`"
        else:
            alone = "Of another model, --config FOLDER names a folder of diffusers with its configurations"
        raise GlidepathError(f"{_unknown(file)} {alone}")
    spec: dict[str, Any] = yaml.safe_load(read_text(preset_file(name)))
    if steps is not None:
        written = spec["sampler"]["steps"]  # 28, "leading50+1"
        counted = re.sub(r"\d+", str(steps), written, count=1) if isinstance(written, str) else steps
        spec["sampler"]["steps"] = counted
    return spec


def _unknown(file: _File) -> str:
    seen = dict.fromkeys(".".join(name.split(".")[:2]) for name in file.shapes)
    return (
        f"{file.path} is of no model that is known by its tensors, which begin with "
        f"{list_names(seen) or 'nothing'}; known are {', '.join(_FAMILIES)}."
    )


def _in_package(name: str) -> Path:
    return Path(__file__).parent / name.removeprefix(_PACKAGE)


def _in_folder(folder: Path, prefix: str) -> Callable[[str], Path]:
    return lambda name: folder / name.removeprefix(f"{prefix}/")


def _weights(part: Mapping[str, Any], held: bool, located: Callable[[str], Path]) -> Any:
    """The address of a part's weights: the file, or the folder's own; None where neither has any."""
    if held:
        return _WHOLE
    own = part["weights"]
    folder = own["path"] if isinstance(own, Mapping) else own
    if folder is None or folder == _WHOLE or not any(located(folder).glob("*.safetensors")):
        return None
    return own


def _encoder(
    part: Mapping[str, Any], file: _File, located: Callable[[str], Path], tokenizer: str | None
) -> dict[str, Any]:
    """A text encoder, with its weights and its tokenizer, as far as they are given."""
    if part["use"] == "zero-text":
        return {**part}
    if part["use"] == "t5-text":
        place = t5_place(file.shapes)
        return _with_tokenizer(part, bool(place) and file.holds(place), located, None)
    width = read_config(located(part["config"])).get("hidden_size", 512)
    clip = clip_place(file.shapes, width)
    return _with_tokenizer(part, clip is not None and file.holds(clip.prefix), located, tokenizer)


def _with_tokenizer(
    part: Mapping[str, Any], held: bool, located: Callable[[str], Path], tokenizer: str | None
) -> dict[str, Any]:
    own = part["tokenizer"]
    if tokenizer is not None:
        own = tokenizer
    elif own is not None and "${" not in own and not located(own).is_dir():
        own = None
    return {**part, "weights": _weights(part, held, located), "tokenizer": own}


def _notes(file: _File, spec: Mapping[str, Any]) -> Iterator[str]:
    """What of the file is not in the spec, and what is yet to be given."""
    parts = {"codec": spec.get("codec") or {}}
    text = spec.get("text_encoder") or {}
    for index, one in enumerate(text.get("encoders", ())):
        parts[f"text_encoder.encoders[{index}]"] = one
    if "encoders" not in text:
        parts["text_encoder"] = text
    for path, part in parts.items():
        if "weights" in part and part["weights"] is None:
            yield f"{path}.weights is blank: the file does not hold this {part['use']} in 16 bits or more"
        if "tokenizer" in part and part["tokenizer"] is None:
            yield f"{path}.tokenizer is blank: no file of weights has one"
    if any(name.startswith("model_ema.") for name in file.shapes):
        yield "the averages beside the weights of the denoiser (model_ema) are left out"
    if family(file.shapes) == "sd-2.1-v":
        yield _VELOCITY
    if marks := [name for name in ("v_pred", "ztsnr") if name in file.shapes]:
        yield (
            f"it is marked {' and '.join(marks)}, which is left out: denoiser.predicts: velocity, "
            "schedule.zero_terminal_snr: true"
        )
