"""What the folder of a pipeline becomes. None of these needs diffusers: a folder is read as data."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from glidepath.core import GlidepathError
from glidepath.plugins.diffusers import plugin
from glidepath.plugins.diffusers.configs import NetworkConfig
from glidepath.plugins.diffusers.imported import read_folder
from glidepath.plugins.diffusers.schedulers import read_scheduler
from glidepath.registry import PartPlan, SpecError, load_catalogue, make_plan, parse_spec, read_spec
from glidepath.registry.cli import main

LATENT = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
UNET = {
    "_class_name": "UNet2DConditionModel",
    "in_channels": 4,
    "out_channels": 4,
    "sample_size": 8,
    "cross_attention_dim": 32,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
}
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
}


def write(folder: Path, index: Mapping[str, Any] = INDEX, **files: Mapping[str, Any]) -> Path:
    """A folder without weights."""
    parts = {
        "model_index": index,
        "scheduler/scheduler_config": {"_class_name": "PNDMScheduler", **LATENT, "skip_prk_steps": True},
        "unet/config": UNET,
        "vae/config": {"_class_name": "AutoencoderKL", "latent_channels": 4, "block_out_channels": [8, 16]},
        "text_encoder/config": {"architectures": ["CLIPTextModel"], "hidden_size": 32},
        **files,
    }
    for name, content in parts.items():
        file = folder / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    return folder


def test_stable_diffusion_is_imported_as_its_pipeline_samples_it(tmp_path: Path) -> None:
    imported = read_folder(write(tmp_path), "sd")
    assert imported.spec == {
        "schedule": {"use": "quadratic", "beta_start": 0.00085, "beta_end": 0.012, "num_steps": 1000},
        "text_encoder": {
            "use": "clip-text",
            "config": "sd/text_encoder/config.json",
            "weights": "sd/text_encoder",
            "tokenizer": "sd/tokenizer",
        },
        "denoiser": {"use": "diffusers-network", "config": "sd/unet/config.json", "weights": "sd/unet"},
        "guidance": [{"use": "classifier-free", "scale": 7.5}],
        "sampler": {"use": "pndm", "steps": "leading50+1", "warm_up": "heun", "end": "first"},
        "codec": {"use": "autoencoder", "config": "sd/vae/config.json", "weights": "sd/vae"},
    }
    assert imported.notes == ("safety_checker is left out: images are not looked at for what they show",)


@pytest.mark.parametrize(
    "index",
    [
        {**INDEX, "_class_name": ["pipeline", "MyPipeline"]},
        {**INDEX, "custom_pipeline": "owner/name"},
        {**INDEX, "unet": ["my_unet", "MyUNet"]},
    ],
    ids=["a class of its own", "a pipeline from elsewhere", "a part of its own"],
)
def test_a_folder_that_needs_its_own_code_is_refused(index: Mapping[str, Any], tmp_path: Path) -> None:
    with pytest.raises(GlidepathError, match="never run"):
        read_folder(write(tmp_path, index))


def test_a_pipeline_that_is_not_known_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(GlidepathError, match=r"AudioPipeline, which is not known; known are .*FluxPipeline"):
        read_folder(write(tmp_path, {**INDEX, "_class_name": "AudioPipeline"}))


@pytest.mark.parametrize(("channels", "known"), [(9, None), (4, "x_t")])
def test_a_pipeline_that_inpaints_does_so_without_a_network_that_reads_masks(
    channels: int, known: str | None, tmp_path: Path
) -> None:
    index = {**INDEX, "_class_name": "StableDiffusionInpaintPipeline"}
    spec = read_folder(write(tmp_path, index, **{"unet/config": {**UNET, "in_channels": channels}})).spec
    assert spec.get("conditioners") == ([{"use": "inpainting"}] if channels == 9 else None)
    assert spec["sampler"].get("known") == known


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GlidepathError, match=r"model_index\.json cannot be read"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("config", "sampler"),
    [
        ({"_class_name": "EulerDiscreteScheduler"}, {"sigmas": "time", "steps": 20, "start": "sigma_max"}),
        ({"_class_name": "DPMSolverMultistepScheduler"}, {"use": "dpmpp-2m", "steps": "uniform20"}),
        (
            {"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++"},
            {"use": "dpmpp-2m-sde"},
        ),
        ({"_class_name": "DPMSolverMultistepScheduler", "solver_order": 3}, {"use": "dpmpp-3m"}),
        ({"_class_name": "DDIMScheduler", "steps_offset": 1}, {"use": "ddim", "steps": "leading20+1"}),
        ({"_class_name": "UniPCMultistepScheduler", "use_karras_sigmas": True}, {"sigmas": "karras"}),
    ],
    ids=lambda value: value.get("_class_name", "") if isinstance(value, dict) else None,
)
def test_a_scheduler_says_what_its_file_leaves_out(
    config: Mapping[str, Any], sampler: Mapping[str, Any]
) -> None:
    assert sampler.items() <= read_scheduler({**LATENT, **config}, 20).sampler.items()


def test_what_a_scheduler_asks_for_in_vain_is_told() -> None:
    walk = read_scheduler({"_class_name": "LMSDiscreteScheduler", "thresholding": True}, 20)
    assert walk.notes == (
        "LMSDiscrete sets thresholding, which is left out",
        "the scheduler LMSDiscrete is not known: euler stands in its place",
    )


def test_a_flow_has_the_shift_of_its_scheduler() -> None:
    fixed = read_scheduler({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}, 28)
    assert (fixed.predicts, fixed.schedule["shift"], fixed.schedule["grid"]) == (
        "flow",
        3.0,
        "flow-match-euler",
    )
    dynamic = {"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": True, "shift": 3.0}
    schedule = read_scheduler(dynamic, 28, grid="trailing").schedule
    assert (schedule["dynamic"], "shift" in schedule) == ("exponential", False)
    heun = read_scheduler({"_class_name": "FlowMatchHeunDiscreteScheduler", "use_karras_sigmas": True}, 8)
    assert (heun.sampler["slope"], heun.schedule["spacing"], heun.notes) == ("flow", "karras", ())


def test_the_command_writes_a_spec_whose_paths_are_seen_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "models" / "sd")
    assert main(["import", "models/sd", "--out", "specs/sd.yaml", "--steps", "20"]) == 0
    text = (tmp_path / "specs" / "sd.yaml").read_text()
    assert 'config: "../models/sd/unet/config.json"' in text
    assert 'steps: "leading20+1"' in text
    assert main(["import", "models/sd", "--out", "specs/sd.yaml"]) == 1
    assert "--overwrite replaces it" in capsys.readouterr().err


def test_what_is_missing_of_a_folder_is_told_at_once_and_the_spec_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "models" / "sd")
    shards = {name: f"model-0000{index}-of-00002.safetensors" for index, name in enumerate("ab", start=1)}
    (folder / "text_encoder" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    (folder / "text_encoder" / shards["a"]).touch()
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").touch()
    (folder / "vae" / "config.json").unlink()
    (folder / "vae" / "diffusion_pytorch_model.safetensors").touch()
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "vocab.json").touch()
    assert main(["import", "models/sd", "--out", "specs/sd.yaml"]) == 0
    said = capsys.readouterr().err
    assert [line.strip() for line in said.splitlines() if "missing" in line] == [
        "missing: text_encoder.tokenizer: models/sd/tokenizer has no tokenizer.json, and no merges.txt",
        f"missing: text_encoder.weights: there is no file models/sd/text_encoder/{shards['b']}",
        "missing: codec.config: there is no file or folder models/sd/vae/config.json",
    ]
    assert "sd/vae" in (tmp_path / "specs" / "sd.yaml").read_text()
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    (folder / "tokenizer" / "vocab.json").unlink()
    (folder / "tokenizer").rmdir()
    assert main(["import", "models/sd", "--refiner", "models/sd"]) == 0
    said = capsys.readouterr().err
    assert "missing: stages.base.denoiser.weights: models/sd/unet has no file of weights" in said
    assert "stages.refiner.text_encoder.tokenizer: there is no file or folder models/sd/tokenizer" in said


def test_what_was_downloaded_of_the_hub_is_imported_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("diffusers", reason="the extra [diffusers] is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    assert main(["import", "hub:acme/sd"]) == 1
    assert "get it first: hf download acme/sd" in capsys.readouterr().err
    repository = tmp_path / "cache" / "models--acme--sd"
    cached = write(repository / "snapshots" / "abc123")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc123")
    assert main(["import", "hub:acme/sd", "--out", "specs/sd.yaml"]) == 0
    spec = read_spec(tmp_path / "specs" / "sd.yaml", catalogue=load_catalogue())
    assert spec.config["codec"]["weights"] == "hub:acme/sd/vae"
    plan = make_plan(spec, load_catalogue())
    denoiser = plan.parts["denoiser"]
    assert isinstance(denoiser, PartPlan)
    assert denoiser.config.config == cached / "unet" / "config.json"
    assert str(denoiser.weights) == "hub:acme/sd/unet"


def test_a_network_without_the_conditions_that_it_reads_is_refused(saved: Callable[[str], Path]) -> None:
    catalogue = load_catalogue()
    spec = parse_spec(f"extends: {saved('sdxl')}", "s.yaml", ["conditioners=null"], catalogue=catalogue)
    with pytest.raises(SpecError, match=r"needs condition\.size_ids.*(?s:.)*size-ids"):
        make_plan(spec, catalogue)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("schedule.time=t", "needs schedule.time log-ratio"),
        ("denoiser.predicts=sample", "is preconditioned, and so predicts the velocity"),
        ("conditioners=null", r"needs condition\.low_res_level"),
    ],
)
def test_an_upscaler_of_latents_is_told_noise_levels(
    change: str, message: str, saved: Callable[[str], Path]
) -> None:
    catalogue = load_catalogue()
    folder = saved("latent_upscaler")
    make_plan(parse_spec(f"extends: {folder}", "s.yaml", catalogue=catalogue), catalogue)
    with pytest.raises(SpecError, match=message):
        make_plan(parse_spec(f"extends: {folder}", "s.yaml", [change], catalogue=catalogue), catalogue)


def test_the_folder_of_a_part_is_refused_with_that_of_its_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write(tmp_path / "sd"))
    with pytest.raises(GlidepathError, match=r"unet is a part of a pipeline, whose folder is .*sd: import"):
        read_folder(Path("unet"))


def test_a_folder_that_is_not_there_is_told_with_one_of_a_name_like_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "sdxl-base")
    assert main(["import", "./sdxl-bas"]) == 1
    assert "there is no folder or file ./sdxl-bas; did you mean 'sdxl-base'?" in capsys.readouterr().err
    Path("mine.yaml").write_text("extends: ./sdxl-bas\n")
    assert main(["check", "mine.yaml"]) == 2
    assert "did you mean 'sdxl-base'?" in capsys.readouterr().err


def test_a_prediction_that_the_scheduler_of_the_folder_contradicts_is_doubted(tmp_path: Path) -> None:
    (component,) = (one for one in plugin.components() if one.name == "diffusers-network")
    config = {"config": write(tmp_path) / "unet" / "config.json"}
    assert [field for field, _ in component.lacks(NetworkConfig(**config))] == ["weights"]
    _, (field, message) = component.lacks(NetworkConfig(**config, predicts="velocity"))
    assert field == "predicts"
    assert message.startswith("predicts velocity, and the scheduler of its folder says epsilon: ")
    (tmp_path / "scheduler" / "scheduler_config.json").unlink()
    assert len(component.lacks(NetworkConfig(**config, predicts="velocity"))) == 1


def test_a_folder_is_a_spec_to_extend(tmp_path: Path) -> None:
    write(tmp_path / "sd")
    (tmp_path / "mine.yaml").write_text("extends: ./sd\nsampler: {use: ddim, steps: 7}\n")
    spec = read_spec(tmp_path / "mine.yaml", catalogue=load_catalogue())
    assert not spec.problems
    assert spec.config["sampler"] == {"use": "ddim", "steps": 7}
    assert spec.config["denoiser"]["use"] == "glidepath-diffusion/diffusers-network"


def test_a_check_imports_none_of_the_packages(tmp_path: Path) -> None:
    for name in ("diffusers", "transformers"):
        if find_spec(name) is None:
            pytest.skip("needs the extra [diffusers]")
    write(tmp_path)
    for part in ("unet", "vae", "text_encoder"):
        (tmp_path / part / "model.safetensors").touch()
    code = (
        "import sys; from glidepath.registry.cli import main; status = main(['check', 'mine.yaml']); "
        "sys.exit(status or any(name in sys.modules for name in ('torch', 'diffusers', 'transformers')))"
    )
    (tmp_path / "mine.yaml").write_text("extends: .\n")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)


def test_a_base_and_its_refiner_are_stages_of_one_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "base")
    write(tmp_path / "refiner")
    assert main(["import", "base", "--refiner", "refiner", "--out", "sdxl.yaml"]) == 0
    assert capsys.readouterr().err.count("safety_checker is left out") == 2
    spec = read_spec(tmp_path / "sdxl.yaml", catalogue=load_catalogue())
    assert not spec.problems
    assert list(spec.config["stages"]) == ["base", "refiner"]
    assert spec.config["stages"]["refiner"]["handover"] == {"use": "unfinished", "level": 0.5716}
    assert spec.config["stages"]["refiner"]["denoiser"]["weights"] == "refiner/unet"
