"""The presets are the published models, and single files of these are known by their tensors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from glidepath.core import GlidepathError
from glidepath.plugins.diffusers.imported import read_folder
from glidepath.plugins.diffusers.places import ClipPlace, clip_place
from glidepath.plugins.diffusers.published import PRESETS, preset_file
from glidepath.plugins.diffusers.single import family, read_file
from glidepath.registry import Address, PartPlan, build_parts, load_catalogue, make_plan, read_spec
from glidepath.registry.cli import main

MODELS = preset_file("sdxl").parent.parent / "models"
LATENT = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
DENOISERS = {
    "sd-1.5": 859_520_964,
    "sd-1.5-inpainting": 859_535_364,
    "sd-2.1-v": 865_910_724,
    "sdxl": 2_567_463_684,
    "sdxl-inpainting": 2_567_478_084,
    "sdxl-refiner": 2_259_526_660,
    "sd-3-medium": 2_028_328_000,
    "sd-3.5-medium": 2_243_171_520,
    "sd-3.5-large": 8_056_627_520,
    "flux-dev": 11_901_408_320,
    "flux-schnell": 11_891_178_560,
    "pixart-sigma": 610_856_096,
}
"""How many parameters the published network has."""
ENCODERS = {
    "clip-l": 123_060_480,
    "clip-l-projected": 123_650_304,
    "openclip-h": 340_387_840,
    "openclip-g": 694_659_840,
    "t5-xxl": 4_762_310_656,
}
AUTOENCODERS = {
    "sd-vae": 83_653_863,
    "sdxl-vae": 83_653_863,
    "edm2-vae": 83_653_863,
    "sd-3-vae": 83_819_683,
    "flux-vae": 83_819_683,
}
LARGE = [
    pytest.param(name, marks=pytest.mark.thorough) for name in ("sd-3.5-large", "flux-dev", "flux-schnell")
]
SMALL = [name for name in DENOISERS if name not in ("sd-3.5-large", "flux-dev", "flux-schnell")]


def saved(name: str) -> Any:
    return json.loads((MODELS / f"{name}.json").read_text())


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def denoiser(preset: str) -> Any:
    """The network of a preset, without memory."""
    from glidepath.plugins.diffusers.configs import NetworkConfig
    from glidepath.plugins.diffusers.denoiser import DiffusersDenoiser

    (file,) = (
        *MODELS.glob(f"{preset.removesuffix('-v')}-unet.json"),
        *MODELS.glob(f"{preset}-transformer.json"),
    )
    with torch.device("meta"):
        return DiffusersDenoiser(NetworkConfig(config=file))


def original(preset: str, network: Any) -> Mapping[str, torch.Tensor]:
    """The tensors of a network under the names of its authors' code."""
    from . import originals

    tensors = network.state_dict()
    if "unet" in str(type(network)).lower():
        return originals.unet(tensors, network.config.layers_per_block)
    return originals.mmdit(tensors) if preset.startswith("sd-3") else originals.flux(tensors)


@pytest.mark.parametrize("preset", [*SMALL, *LARGE])
def test_a_denoiser_has_the_parameters_of_the_published_one(preset: str) -> None:
    pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
    built = denoiser(preset)
    assert count(built) == DENOISERS[preset]
    if preset == "pixart-sigma":  # which is published as a folder alone
        return
    own = original(preset, built.network)
    for prefix in ("", "model.diffusion_model.", "diffusion_model."):
        names = {f"{prefix}{name}": tensor for name, tensor in own.items()}
        assert family({name: tuple(tensor.shape) for name, tensor in names.items()}) == preset
    read = built.read_weights({f"model.diffusion_model.{name}": tensor for name, tensor in own.items()})
    expected = built.state_dict()
    assert {name: it.shape for name, it in read.items()} == {name: it.shape for name, it in expected.items()}


@pytest.mark.parametrize("name", ENCODERS)
def test_a_text_encoder_has_the_parameters_of_the_published_one(name: str) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra [diffusers]")
    (kind,), config = saved(name)["architectures"], saved(name)
    with torch.device("meta"):
        built = getattr(transformers, kind)(getattr(transformers, kind).config_class.from_dict(config))
    assert count(built) == ENCODERS[name]


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_an_autoencoder_has_the_parameters_of_the_published_one(name: str) -> None:
    diffusers = pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
    with torch.device("meta"):
        assert count(diffusers.AutoencoderKL.from_config(saved(name))) == AUTOENCODERS[name]


@pytest.mark.parametrize(
    ("preset", "parameters", "scales"),
    [
        # that of DiT counts its table of positions, which is computed here
        ("dit-xl-2-256", 675_129_632 - 256 * 1152, [0.18215]),
        ("dit-xl-2-512", 675_129_632 - 256 * 1152, [0.18215]),
        ("edm2-img512", 280_212_837, [0.5 / 4.17, 0.5 / 4.62, 0.5 / 3.71, 0.5 / 3.28]),
    ],
)
def test_presets_of_latent_networks_of_classes_have_their_codec(
    preset: str, parameters: int, scales: list[float]
) -> None:
    pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
    catalogue = load_catalogue()
    plan = make_plan(read_spec(preset, catalogue=catalogue), catalogue)
    with torch.device("meta"):
        built = build_parts(plan, ("denoiser",), catalogue, load=False)["denoiser"]
    codec = plan.parts["codec"]
    assert isinstance(codec, PartPlan)
    said = json.loads(codec.config.config.read_text())
    std = said.get("latents_std", [1.0])
    assert [said["scaling_factor"] / one for one in std] == pytest.approx(scales)
    assert count(built) == parameters


CLIP, CLIPS = ["transformers", "CLIPTextModel"], ["transformers", "CLIPTextModelWithProjection"]
T5 = ["transformers", "T5EncoderModel"]
PNDM = {"_class_name": "PNDMScheduler", **LATENT, "skip_prk_steps": True, "steps_offset": 1}
EULER = {"_class_name": "EulerDiscreteScheduler", **LATENT, "timestep_spacing": "leading", "steps_offset": 1}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000}
PUBLISHED: Mapping[str, tuple[str, Mapping[str, Any], Mapping[str, Any]]] = {
    "sd-1.5": ("StableDiffusionPipeline", {"text_encoder": CLIP}, PNDM),
    "sd-1.5-inpainting": ("StableDiffusionInpaintPipeline", {"text_encoder": CLIP}, PNDM),
    "sd-2.1-v": (
        "StableDiffusionPipeline",
        {"text_encoder": CLIP},
        {
            "_class_name": "DDIMScheduler",
            **LATENT,
            "prediction_type": "v_prediction",
            "set_alpha_to_one": False,
            "steps_offset": 1,
            "clip_sample": False,
        },
    ),
    "sdxl": ("StableDiffusionXLPipeline", {"text_encoder": CLIP, "text_encoder_2": CLIPS}, EULER),
    "sdxl-inpainting": (
        "StableDiffusionXLInpaintPipeline",
        {"text_encoder": CLIP, "text_encoder_2": CLIPS},
        EULER,
    ),
    "sdxl-refiner": (
        "StableDiffusionXLImg2ImgPipeline",
        {
            "text_encoder_2": CLIPS,
            "force_zeros_for_empty_prompt": False,
            "requires_aesthetics_score": True,
        },
        EULER,
    ),
    "sd-3-medium": (
        "StableDiffusion3Pipeline",
        {"text_encoder": CLIPS, "text_encoder_2": CLIPS, "text_encoder_3": T5},
        {**FLOW, "shift": 3.0},
    ),
    "flux-dev": (
        "FluxPipeline",
        {"text_encoder": CLIP, "text_encoder_2": T5},
        {
            **FLOW,
            "shift": 3.0,
            "use_dynamic_shifting": True,
            "base_shift": 0.5,
            "max_shift": 1.15,
            "base_image_seq_len": 256,
            "max_image_seq_len": 4096,
        },
    ),
    "flux-schnell": (
        "FluxPipeline",
        {"text_encoder": CLIP, "text_encoder_2": T5},
        {**FLOW, "shift": 1.0, "use_dynamic_shifting": False},
    ),
    "pixart-sigma": (
        "PixArtSigmaPipeline",
        {"text_encoder": T5},
        {"_class_name": "DPMSolverMultistepScheduler", "beta_start": 0.0001, "beta_end": 0.02},
    ),
}
"""The model_index.json and the scheduler_config.json of the published folders, in what is read."""

OWN = {"context", "distilled_guidance", "padding", "config", "weights", "tokenizer"}
"""What no folder says, or says elsewhere."""


def without(value: Any, left_out: set[str] = OWN) -> Any:
    """A spec without some parameters of its parts."""
    if isinstance(value, list | tuple):
        return [without(item, left_out) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: without(item, left_out) for key, item in value.items() if key not in left_out}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_samples_as_the_folder_of_its_model(name: str, tmp_path: Path) -> None:
    pipeline, index, scheduler = PUBLISHED[name]
    preset = yaml.safe_load(preset_file(name).read_text())
    network = MODELS / preset["denoiser"]["config"].rpartition("/")[2]
    part = "unet" if network.stem.endswith("unet") else "transformer"
    files = {
        "model_index": {"_class_name": pipeline, part: ["diffusers", ""], "vae": ["diffusers", ""], **index},
        "scheduler/scheduler_config": scheduler,
        f"{part}/config": json.loads(network.read_text()),
    }
    for file, content in files.items():
        path = tmp_path / f"{file}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    steps = {"flux-dev": 50, "flux-schnell": 4}.get(name)  # as their authors say
    assert without(dict(read_folder(tmp_path, steps=steps).spec)) == without(preset)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_right_and_told_what_it_lacks(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
    pytest.importorskip("transformers", reason="needs the extra [diffusers]")
    assert main(["check", name]) == 0
    told = capsys.readouterr().err
    assert "denoiser.weights" in told
    assert "give it the folder of its tokenizer" in told


def test_one_file_and_one_tokenizer_are_all_that_sdxl_lacks() -> None:
    pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
    pytest.importorskip("transformers", reason="needs the extra [diffusers]")
    catalogue = load_catalogue()
    given = ["denoiser.weights=xl.safetensors", "text_encoder.encoders[0].tokenizer=words"]
    plan = make_plan(read_spec("sdxl", given, catalogue=catalogue), catalogue)
    read = ("clip-text", "autoencoder")
    parts = [part for part in plan.all_parts() if part.registered.component.name in read]
    file, words = Path.cwd() / "xl.safetensors", Path.cwd() / "words"
    assert [part.weights for part in parts] == [Address("file", str(file))] * 3
    assert {getattr(part.config, "tokenizer", words) for part in parts} == {words}


def test_a_check_of_a_preset_imports_none_of_the_packages() -> None:
    pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
    pytest.importorskip("transformers", reason="needs the extra [diffusers]")
    code = (
        "import sys; from glidepath.registry.cli import main; status = main(['check', 'sdxl']); "
        "sys.exit(status or any(name in sys.modules for name in ('torch', 'diffusers', 'transformers')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def header(path: Path, shapes: Mapping[str, tuple[int, ...]], dtype: str = "F16") -> Path:
    """A file of safetensors whose numbers are not there: a hole of the file."""
    size, entries, end = 1 if dtype.startswith("F8") else 2, {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + size * torch.Size(shape).numel()
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(entries).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    with path.open("r+b") as stream:
        stream.truncate(8 + len(text) + end)
    return path


XL = {
    "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
    "model.diffusion_model.middle_block.1.transformer_blocks.9.attn2.to_k.weight": (1280, 2048),
    "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
    "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight": (49408, 768),
    "conditioner.embedders.1.model.token_embedding.weight": (49408, 1280),
}


def test_a_single_file_becomes_a_spec_that_names_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    Path("words").mkdir()
    Path("words", "tokenizer.json").touch()
    header(Path("models/xl.safetensors"), {**XL, "model_ema.decay": (1,)})
    command = ["import", "models/xl.safetensors", "--tokenizer", "words", "--steps", "20"]
    assert main([*command, "--out", "specs/xl.yaml"]) == 0
    spec = yaml.safe_load(Path("specs/xl.yaml").read_text())
    assert spec["denoiser"]["weights"] == "../models/xl.safetensors"
    assert spec["sampler"]["steps"] == "leading20+1"
    parts = [*spec["text_encoder"]["encoders"], spec["codec"]]
    assert [part["weights"] for part in parts] == ["${denoiser.weights}"] * 3
    assert [part["tokenizer"] for part in parts[:2]] == ["../words"] * 2
    assert capsys.readouterr().err == (
        "  the averages beside the weights of the denoiser (model_ema) are left out\n"
    )


def test_base_and_refiner_are_two_single_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    header(Path("xl.safetensors"), XL)
    refiner = {
        "model.diffusion_model.input_blocks.0.0.weight": (384, 4, 3, 3),
        "model.diffusion_model.middle_block.1.transformer_blocks.3.attn2.to_k.weight": (1536, 1280),
        "conditioner.embedders.0.model.token_embedding.weight": (49408, 1280),
    }
    header(Path("refiner.safetensors"), refiner)
    Path("depth").mkdir()
    Path("depth/config.json").write_text('{"_class_name": "ControlNetModel", "in_channels": 4}')
    command = ["import", "xl.safetensors", "--refiner", "refiner.safetensors", "--control", "depth"]
    assert main([*command, "--tokenizer", "words", "--out", "both.yaml"]) == 0
    stages = yaml.safe_load(Path("both.yaml").read_text())["stages"]
    preset = yaml.safe_load(preset_file("sdxl-refined").read_text())["stages"]
    assert stages["refiner"]["handover"] == preset["refiner"]["handover"]
    assert stages["refiner"]["denoiser"]["weights"] == "refiner.safetensors"
    assert stages["refiner"]["text_encoder"]["encoders"][0]["tokenizer"] == "words"
    assert stages["base"]["denoiser"]["controls"][0]["weights"] == "depth"
    assert [one["use"] for one in stages["base"]["conditioners"]] == ["size-ids", "control-picture"]


def test_what_a_single_file_lacks_is_left_blank_and_told(tmp_path: Path) -> None:
    own = {name.removeprefix("model.diffusion_model."): it for name, it in XL.items()}
    alone = {name: it for name, it in own.items() if "blocks" in name}
    imported = read_file(header(tmp_path / "unet.safetensors", alone), "unet.safetensors")
    assert imported.spec["codec"]["weights"] is None
    assert imported.notes == (
        "codec.weights is blank: the file does not hold this autoencoder in 16 bits or more",
        "text_encoder.encoders[0].weights is blank: the file does not hold this clip-text in 16 bits or more",
        "text_encoder.encoders[0].tokenizer is blank: no file of weights has one",
        "text_encoder.encoders[1].weights is blank: the file does not hold this clip-text in 16 bits or more",
    )


def test_a_clip_is_found_by_its_width_also_where_a_merged_model_has_shorter_names() -> None:
    names = ["cond_stage_model.transformer.", "conditioner.embedders.0.transformer."]
    for prefix in names:
        for inner in ("text_model.", ""):
            shapes = {**XL, f"{prefix}{inner}embeddings.token_embedding.weight": (49408, 1024)}
            assert clip_place(shapes, 1024) == ClipPlace(prefix, False)
    assert clip_place(XL, 1280) == ClipPlace("conditioner.embedders.1.model.", True)
    assert clip_place(XL, 1024) is None


def test_what_a_single_file_does_not_say_is_told(tmp_path: Path) -> None:
    shapes = {
        "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
        "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight": (1280, 1024),
    }
    imported = read_file(header(tmp_path / "v.safetensors", {**shapes, "v_pred": (0,)}), "v.safetensors")
    told = "\n".join(imported.notes)
    assert "of that write denoiser.predicts: epsilon, and denoiser.size: 64" in told
    assert "it is marked v_pred, which is left out" in told


@pytest.mark.parametrize(
    ("shapes", "dtype", "said"),
    [
        ({"audio.0.weight": (4,)}, "F16", r"begin with audio\.0; known are sd-1\.5, .*flux-schnell"),
        ({**XL, "edm_mean": (4,)}, "F16", "of no model that is known"),
        ({"decoder.conv_in.weight": (512, 4, 3, 3)}, "F16", "It holds an autoencoder: name it as `weights`"),
        (XL, "F8_E4M3", "holds numbers of 8 bits"),
    ],
    ids=["another model", "sdxl with another schedule", "an autoencoder", "8 bits"],
)
def test_a_file_of_no_family_is_refused_with_those_that_are_known(
    shapes: Mapping[str, tuple[int, ...]], dtype: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(GlidepathError, match=said):
        read_file(header(tmp_path / "x.safetensors", shapes, dtype), "x.safetensors")


def test_a_file_of_a_part_is_refused_with_the_folder_of_its_pipeline(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text("{}")
    file = header(tmp_path / "unet" / "model.safetensors", {"conv_in.weight": (320, 4, 3, 3)})
    with pytest.raises(GlidepathError, match=f"whose folder is {tmp_path}: import that"):
        read_file(file, "unet/model.safetensors")


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"\x04\0\0\0\0\0\0\0null", b"\x02\0\0\0\0\0\0\0[]"])
def test_what_is_no_file_of_safetensors_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(content)
    with pytest.raises(GlidepathError, match="cannot be read as a file of safetensors"):
        read_file(file, "x.safetensors")


def test_a_single_file_is_a_spec_to_extend(tmp_path: Path) -> None:
    pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
    pytest.importorskip("transformers", reason="needs the extra [diffusers]")
    header(tmp_path / "xl.safetensors", XL)
    (tmp_path / "mine.yaml").write_text("extends: ./xl.safetensors\nsampler: {use: ddim, steps: 7}\n")
    catalogue = load_catalogue()
    spec = read_spec(tmp_path / "mine.yaml", catalogue=catalogue)
    assert not spec.problems
    plan = make_plan(spec, catalogue)
    codec = plan.parts["codec"]
    assert isinstance(codec, PartPlan)
    assert codec.weights == Address("file", str(tmp_path / "xl.safetensors"))
