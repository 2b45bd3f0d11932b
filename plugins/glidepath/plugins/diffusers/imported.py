"""From the folder of a pipeline of diffusers to a spec. The folder is data: none of its code is run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from glidepath.core import GlidepathError
from glidepath.plugins.diffusers.saved import encoded_for, read_config, read_json
from glidepath.plugins.diffusers.schedulers import read_schedule, read_scheduler
from glidepath.registry import DISTRIBUTION

INDEX = "model_index.json"
_CONTROL = "controlnet"
_WEIGHTS = re.compile(r"(?:diffusion_pytorch_)?model(?:\.(?P<variant>\w+))?(?:-\d+-of-\d+)?\.safetensors")
_LIBRARIES = ("diffusers", "transformers")
_LEFT_OUT = ("safety_checker", "feature_extractor", "image_encoder")
_REFINED_BELOW = 0.5716  # sigma / alpha of SDXL just below timestep 200: denoising_start 0.8
_PASSED_OVER = {
    "safety_checker": "images are not looked at for what they show",
    "image_encoder": "no image prompts",
}


@attrs.frozen
class Imported:
    """A spec of a folder. notes: what of the folder is not in it, and what is guessed."""

    spec: Mapping[str, Any]
    notes: tuple[str, ...]


@attrs.frozen
class _Recipe:
    """What the code of a pipeline says, and its folder does not.

    text: makes the text encoder, None for none. more: each makes another conditioner, if there is one.
    steps, scale: what the pipeline takes where nothing is asked for; a scale of 1 is no guidance.
    scales: those of other conditions than the prompt.
    network: parameters of the denoiser.
    inpaints: it keeps what a mask covers, also where its network reads no mask.
    preconditioned: its network is told noise levels and returns minus the velocity.
    corrected, grid: see `read_scheduler`.
    """

    text: Callable[[_Folder], Mapping[str, Any]] | None
    more: Sequence[Callable[[_Folder], Mapping[str, Any] | None]] = ()
    steps: int = 50
    scale: float = 7.5
    scales: Mapping[str, float] = attrs.field(factory=dict)
    network: Mapping[str, Any] = attrs.field(factory=dict)
    inpaints: bool = False
    preconditioned: bool = False
    corrected: bool = False
    grid: str = "flow-match-euler"


@attrs.frozen
class _Folder:
    """A folder, and how the spec names it."""

    path: Path
    prefix: str
    index: Mapping[str, Any]

    def has(self, part: str) -> bool:
        listed = self.index.get(part)
        return isinstance(listed, list) and len(listed) == 2 and listed[1] is not None

    @property
    def denoiser(self) -> str:
        return "transformer" if self.has("transformer") else "unet"

    def named(self, name: str) -> str:
        return "/".join(filter(None, (self.prefix, name)))

    def network(self, part: str = "") -> dict[str, Any]:
        """The parameters that a part reads its network with, and its weights. "": the folder is of one."""
        named = self.named(part)
        weights: Any = named
        if variant := _only_variant(self.path / part):
            weights = {"path": named, "variant": variant}
        return {"config": f"{named}/config.json", "weights": weights}


def read_folder(
    folder: Path, prefix: str = "", steps: int | None = None, controls: Sequence[tuple[Path, str]] = ()
) -> Imported:
    """The spec of a folder that has a model_index.json.

    prefix: what stands before the paths of the spec: the folder as seen from the spec. "": they are those
        within the folder.
    steps: how many; None: as many as its pipeline takes where nothing is asked for.
    controls: as for `controlled`.

    Raises:
        GlidepathError: it is no such folder, asks for code of its own, or is of a pipeline that is not known.
    """
    outer = folder.absolute().parent
    if not (folder / INDEX).is_file() and (outer / INDEX).is_file():
        raise GlidepathError(f"{folder} is a part of a pipeline, whose folder is {outer}: import that")
    index = read_json(folder / INDEX)
    _require_no_code(folder, index)
    name = str(index.get("_class_name", ""))
    recipe = _RECIPES.get(name)
    if recipe is None:
        raise GlidepathError(
            f"{folder / INDEX} is of {name or 'a pipeline without a name'}, which is not known; known are "
            f"{', '.join(_RECIPES)}. Its parts can be named in a spec by hand"
        )
    chosen = recipe if steps is None else attrs.evolve(recipe, steps=steps)
    whole = _Folder(folder, prefix, index)
    own = [(folder / _CONTROL, whole.named(_CONTROL))] if _CONTROL in index else []
    return controlled(_spec(whole, chosen), [*own, *controls])


def controlled(imported: Imported, controls: Sequence[tuple[Path, str]]) -> Imported:
    """It follows ControlNets too: their folders, each with its prefix.

    Raises:
        GlidepathError: one cannot be read.
    """
    spec: dict[str, Any] = {}
    for slot, part in imported.spec.items():
        if slot != "denoiser":
            spec[slot] = part
            continue
        networks, conditioners = [*part.get("controls", ())], [*imported.spec.get("conditioners", ())]
        for path, prefix in controls:
            name = f"control-{len(networks) + 1}" if networks else "control"
            control, conditioner = _control(_Folder(path, prefix, {}), name)
            networks.append(control)
            conditioners.append(conditioner)
        spec |= {"conditioners": conditioners} if conditioners else {}
        spec["denoiser"] = {**part, "controls": networks} if networks else part
    return attrs.evolve(imported, spec=spec)


def refined(base: Imported, refiner: Imported) -> Imported:
    """Both as stages of one spec: the refiner goes on from the noise that the base leaves it."""
    after = {**refiner.spec, "handover": {"use": "unfinished", "level": _REFINED_BELOW}}
    return Imported({"stages": {"base": base.spec, "refiner": after}}, (*base.notes, *refiner.notes))


def _only_variant(folder: Path) -> str:
    """The variant ("fp16") of a folder's weights where it has no others; "" where it has, or has none."""
    found = [
        match for file in sorted(folder.glob("*.safetensors")) if (match := _WEIGHTS.fullmatch(file.name))
    ]
    variants = [match["variant"] or "" for match in found]
    return "" if "" in variants or not variants else variants[0]


def full_names(value: Any) -> Any:
    """A spec, or a piece of one, whose parts have their full names, for no other's are meant."""
    if isinstance(value, list):
        return [full_names(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    named = {key: full_names(item) for key, item in value.items()}
    return {**named, "use": f"{DISTRIBUTION}/{value['use']}"} if "use" in value else named


def _require_no_code(folder: Path, index: Mapping[str, Any]) -> None:
    """Refuse what could only be run with code from the folder or from elsewhere."""
    own = [f"{name}.py" for name in ("pipeline", "__init__") if (folder / f"{name}.py").exists()]
    if not isinstance(index.get("_class_name"), str) or "custom_pipeline" in index:
        raise GlidepathError(f"{folder / INDEX} is of a pipeline with code of its own, which is never run")
    for part, listed in index.items():
        if not isinstance(listed, list) or len(listed) != 2 or part in _LEFT_OUT:
            continue
        library = listed[0]
        if library is not None and library not in _LIBRARIES:
            raise GlidepathError(
                f"{folder / INDEX}: {part} is of {library}, whose code is never run; it can be of "
                f"{' and '.join(_LIBRARIES)}{f' (there is {own[0]})' if own else ''}"
            )


def _spec(folder: _Folder, recipe: _Recipe) -> Imported:
    walk = read_scheduler(
        read_json(folder.path / "scheduler" / "scheduler_config.json"),
        recipe.steps,
        corrected=recipe.corrected,
        grid=recipe.grid,
    )
    network: dict[str, Any] = {
        "use": "diffusers-network",
        **folder.network(folder.denoiser),
        **recipe.network,
    }
    predicts = "velocity" if recipe.preconditioned else walk.predicts
    if predicts != "epsilon":
        network["predicts"] = predicts
    spec: dict[str, Any] = {"schedule": dict(walk.schedule)}
    if recipe.preconditioned:
        spec["schedule"]["time"] = "log-ratio"
    if recipe.text is not None:
        spec["text_encoder"] = recipe.text(folder)
    conditioners = [made for make in recipe.more if (made := make(folder)) is not None]
    if conditioners:
        spec["conditioners"] = conditioners
    spec["denoiser"] = network
    if recipe.scales:
        spec["guidance"] = [{"use": "per-condition", "scales": {"text": recipe.scale, **recipe.scales}}]
    elif recipe.scale != 1:
        spec["guidance"] = [{"use": "classifier-free", "scale": recipe.scale}]
    spec["sampler"] = dict(walk.sampler)
    if recipe.inpaints and not _reads_mask(folder):
        spec["sampler"]["known"] = "x_t"
    notes = [f"{part} is left out: {why}" for part, why in _PASSED_OVER.items() if folder.has(part)]
    if folder.has("vae"):
        spec["codec"] = {"use": "autoencoder", **folder.network("vae")}
        if walk.clips:
            notes.append("the scheduler's clip_sample is left out: latents have no bounds to clip to")
    elif not walk.clips:
        spec["sampler"]["clip"] = False
    return Imported(spec, (*walk.notes, *notes))


def _control(folder: _Folder, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A ControlNet, and the conditioner that has its picture, of that name."""
    encoded = encoded_for(read_config(folder.path / "config.json"))
    ways = {} if encoded == "no" else {"encoded": encoded}
    picture, named = ({}, {}) if name == "control" else ({"picture": name}, {"name": name})
    control = {"use": "controlnet", **folder.network(), **picture}
    return control, {"use": "control-picture", **named, **ways}


def _clip(folder: _Folder, number: str = "", **parameters: object) -> dict[str, Any]:
    return {
        "use": "clip-text",
        **folder.network(f"text_encoder{number}"),
        "tokenizer": folder.named(f"tokenizer{number}"),
        **parameters,
    }


def _t5(folder: _Folder, number: str = "", **parameters: object) -> dict[str, Any]:
    return {
        "use": "t5-text",
        **folder.network(f"text_encoder{number}"),
        "tokenizer": folder.named(f"tokenizer{number}"),
        **parameters,
    }


def _joined(encoders: Sequence[object], tokens: object, pooled: object, **more: object) -> dict[str, Any]:
    return {"use": "joined-text", "tokens": tokens, "pooled": pooled, **more, "encoders": list(encoders)}


_INNER: Mapping[str, Any] = {"skip": 1, "final_norm": False}


def _clip_before_norm(folder: _Folder) -> dict[str, Any]:
    return _clip(folder, final_norm=False)


def _sdxl(folder: _Folder) -> dict[str, Any]:
    zeros = {"zeros_for_none": True} if folder.index.get("force_zeros_for_empty_prompt", True) else {}
    second = _clip(folder, "_2", **_INNER)
    if not folder.has("text_encoder"):  # the refiner
        return _joined([second], [[0]], [0], **zeros)
    return _joined([_clip(folder, **_INNER), second], [[0, 1]], [1], **zeros)


def _sd3(folder: _Folder) -> dict[str, Any]:
    config = read_json(folder.path / "transformer" / "config.json")
    third: Mapping[str, Any] = {"use": "zero-text", "width": config.get("joint_attention_dim", 4096)}
    if folder.has("text_encoder_3"):
        third = _t5(folder, "_3")
    clips = [_clip(folder, **_INNER), _clip(folder, "_2", **_INNER)]
    return _joined([*clips, third], [[0, 1], [2]], [0, 1])


def _flux(folder: _Folder) -> dict[str, Any]:
    return _joined([_clip(folder), _t5(folder, "_2", context=512)], [[1]], [0])


def _chroma(folder: _Folder) -> dict[str, Any]:
    return _t5(folder, context=512, masked=True)


def _pixart_alpha(folder: _Folder) -> dict[str, Any]:
    return _t5(folder, context=120, masked=True, lowercase=True)


def _pixart_sigma(folder: _Folder) -> dict[str, Any]:
    return _t5(folder, context=300, masked=True, lowercase=True)


def _size_ids(folder: _Folder) -> dict[str, Any]:
    score = {"score": 6.0} if folder.index.get("requires_aesthetics_score") else {}
    return {"use": "size-ids", **score}


def _resolution(folder: _Folder) -> dict[str, Any] | None:
    config = read_json(folder.path / "transformer" / "config.json")
    asks = config.get("use_additional_conditions", config.get("sample_size") == 128)
    return {"use": "resolution"} if asks else None


def _reads_mask(folder: _Folder) -> bool:
    config = read_json(folder.path / folder.denoiser / "config.json")
    return config.get("in_channels") == 2 * int(config.get("out_channels") or 4) + 1


def _inpainting(folder: _Folder) -> dict[str, Any] | None:
    return {"use": "inpainting"} if _reads_mask(folder) else None


def _folded_inpainting(_folder: _Folder) -> dict[str, Any]:
    return {"use": "inpainting", "folded": True}


def _encoded_control(_folder: _Folder) -> dict[str, Any]:
    return {"use": "control-picture", "encoded": "x_0"}


def _edit_image(_folder: _Folder) -> dict[str, Any]:
    return {"use": "edit-image"}


def _latent_low_res(_folder: _Folder) -> dict[str, Any]:
    return {"use": "latent-low-res"}


def _noised_low_res(folder: _Folder) -> dict[str, Any]:
    config = read_json(folder.path / "low_res_scheduler" / "scheduler_config.json")
    return {"use": "noised-low-res", "schedule": read_schedule(config)}


_STABLE_DIFFUSION = _Recipe(_clip, corrected=True)
_FLUX = _Recipe(_flux, steps=28, scale=1.0, grid="trailing")
_RECIPES: Mapping[str, _Recipe] = {
    "StableDiffusionPipeline": _STABLE_DIFFUSION,
    "StableDiffusionImg2ImgPipeline": _STABLE_DIFFUSION,
    "StableDiffusionControlNetPipeline": _STABLE_DIFFUSION,
    "StableDiffusionInpaintPipeline": _Recipe(_clip, (_inpainting,), inpaints=True, corrected=True),
    "StableDiffusionInstructPix2PixPipeline": _Recipe(
        _clip, (_edit_image,), steps=100, scales={"edit_image": 1.5}
    ),
    "StableDiffusionUpscalePipeline": _Recipe(_clip, (_noised_low_res,), steps=75, scale=9.0),
    "StableDiffusionLatentUpscalePipeline": _Recipe(
        _clip_before_norm, (_latent_low_res,), steps=75, scale=9.0, preconditioned=True
    ),
    "StableDiffusionXLPipeline": _Recipe(_sdxl, (_size_ids,), scale=5.0),
    "StableDiffusionXLControlNetPipeline": _Recipe(_sdxl, (_size_ids,), scale=5.0),
    "StableDiffusionXLImg2ImgPipeline": _Recipe(_sdxl, (_size_ids,), scale=5.0),
    "StableDiffusionXLInpaintPipeline": _Recipe(_sdxl, (_size_ids, _inpainting), scale=7.5, inpaints=True),
    "StableDiffusion3Pipeline": _Recipe(_sd3, steps=28, scale=7.0),
    "StableDiffusion3ControlNetPipeline": _Recipe(_sd3, steps=28, scale=7.0),
    "StableDiffusion3Img2ImgPipeline": _Recipe(_sd3, scale=7.0),
    "StableDiffusion3InpaintPipeline": _Recipe(_sd3, (_inpainting,), scale=7.0, inpaints=True),
    "FluxPipeline": _FLUX,
    "FluxControlNetPipeline": attrs.evolve(_FLUX, network={"distilled_guidance": 7.0}),
    "FluxControlPipeline": attrs.evolve(_FLUX, more=(_encoded_control,)),
    "FluxFillPipeline": attrs.evolve(
        _FLUX, more=(_folded_inpainting,), steps=50, network={"distilled_guidance": 30.0}
    ),
    "FluxImg2ImgPipeline": attrs.evolve(_FLUX, network={"distilled_guidance": 7.0}),
    "FluxInpaintPipeline": attrs.evolve(_FLUX, inpaints=True, network={"distilled_guidance": 7.0}),
    "ChromaPipeline": _Recipe(_chroma, steps=35, scale=5.0, grid="trailing"),
    "PixArtAlphaPipeline": _Recipe(_pixart_alpha, (_resolution,), steps=20, scale=4.5),
    "PixArtSigmaPipeline": _Recipe(_pixart_sigma, steps=20, scale=4.5),
    "DiTPipeline": _Recipe(None, scale=4.0),
    "DDPMPipeline": _Recipe(None, steps=1000, scale=1.0),
    "DDIMPipeline": _Recipe(None, scale=1.0),
}
