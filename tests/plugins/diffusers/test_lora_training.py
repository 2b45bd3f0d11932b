"""LoRA that `glidepath train` writes: read by diffusers and by the adapter `lora` to the same images."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from tests.plugins.train.tiny import PARTS

from glidepath.core import GlidepathError, Pipeline
from glidepath.plugins.train.command import main
from glidepath.registry import assemble
from glidepath.registry import main as glidepath

Saved = Callable[[str], Path]

pytest.importorskip("peft", reason="needs peft, of the extra [diffusers]")

TARGETS = ["to_q", "to_v", "to_out.0"]


def pictures(folder: Path, count: int, size: int) -> Path:
    folder.mkdir()
    for index in range(count):
        pixels = np.random.default_rng(index).integers(0, 255, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text("a red circle")
    return folder


def spec_of(folder: Path, tmp_path: Path, **train: Any) -> Path:
    """A spec that trains LoRA of a folder of diffusers."""
    from .equality import STEPS, ours

    size = ours(folder).image_size[0]
    data = {"use": "captioned-folder", "size": size}
    images = pictures(tmp_path / "images", 3, size)
    values = {
        "use": "diffusion",
        "steps": 4,
        "batch": 2,
        "learning_rate": 0.05,
        "warmup_steps": 0,
        "init_from_weights": True,
        "ema": 0.0,
        "checkpoint_every": 2,
        **train,
    }
    tree = {
        "extends": str(folder),
        "sampler": {"steps": STEPS},
        "data": {**data, "folder": str(images)},
        "train": values,
    }
    file = tmp_path / "lora.yaml"
    file.write_text(json.dumps(tree))
    return file


@pytest.mark.parametrize(
    ("keys", "text"), [("diffusers", False), ("diffusers", True), ("kohya", False), ("kohya", True)]
)
def test_what_was_trained_is_read_by_diffusers_to_the_same_images(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: str, text: bool
) -> None:
    from .equality import STEPS, assert_equal, first_noise, latents_of, ours, theirs

    monkeypatch.chdir(tmp_path)
    folder = saved("sd15")
    lora = {"rank": 2, "alpha": 6.0, "targets": TARGETS, "keys": keys}
    # diffusers knows kohya's keys of a text encoder by those of out_proj
    text_targets = ["q_proj", "v_proj", *(["out_proj"] if keys == "kohya" else [])]
    lora |= {"text_targets": text_targets} if text else {}
    assert main([str(spec_of(folder, tmp_path, lora=lora)), "--out", "run"]) == 0
    file = tmp_path / "run" / "lora.safetensors"
    assert not (tmp_path / "run" / "weights.safetensors").exists()
    reference, plain = theirs(folder), ours(folder)
    noise = first_noise(plain)
    before = latents_of(reference, noise)
    reference.load_lora_weights(str(file))
    expected = latents_of(reference, noise)
    assert (expected - before).abs().max() > 0.05
    assert_equal(ours(folder, adapters=[{"use": "lora", "weights": str(file)}]), noise, expected)
    # the run's own spec has the adapter
    own, same = (
        assemble(str(tmp_path / "run" / "spec.yaml")),
        assemble(
            {
                "extends": str(folder),
                "sampler": {"steps": STEPS},
                "adapters": [{"use": "lora", "weights": str(file)}],
            }
        ),
    )
    assert isinstance(own, Pipeline)
    assert isinstance(same, Pipeline)
    assert torch.equal(*(last_of(pipeline) for pipeline in (own, same)))


def last_of(pipeline: Pipeline) -> torch.Tensor:
    *_, last = pipeline.states(["a red circle"])
    return last.x


def test_a_transformer_is_trained_too(saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from .equality import assert_equal, first_noise, latents_of, ours, theirs

    monkeypatch.chdir(tmp_path)
    folder = saved("sd3")
    assert main([str(spec_of(folder, tmp_path, lora={"rank": 2}, learning_rate=0.01)), "--out", "run"]) == 0
    file = tmp_path / "run" / "lora.safetensors"
    assert all(name.startswith("transformer.") for name in load_file(file))
    reference = theirs(folder)
    noise = first_noise(ours(folder))
    before = latents_of(reference, noise)
    reference.load_lora_weights(str(file))
    expected = latents_of(reference, noise)
    assert (expected - before).abs().max() > 0.01
    assert_equal(ours(folder, adapters=[{"use": "lora", "weights": str(file)}]), noise, expected)


def test_a_network_of_glidepath_beside_a_text_encoder_of_glidepath_is_trained_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text encoder that LoRA leaves alone need be none of transformers."""
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "images", 2, 8)
    tree = yaml.safe_load(PARTS)
    tree["text_encoder"]["tokenizer"]["vocabulary"] = ["a", "red", "circle"]
    tree |= {
        "runtime": {"device": "cpu"},
        "data": {"use": "captioned-folder", "folder": "images", "size": 8},
        "train": {"use": "diffusion", "steps": 1, "batch": 2, "warmup_steps": 0},
    }
    Path("whole.yaml").write_text(json.dumps(tree))
    assert main(["whole.yaml"]) == 0
    lora = {"rank": 2, "targets": ["emb_layers.1"]}
    tree |= {"weights": "runs/whole/weights.safetensors"}
    tree["train"] |= {"init_from_weights": True, "learning_rate": 0.1, "ema": 0.0, "lora": lora}
    Path("changed.yaml").write_text(json.dumps(tree))
    assert main(["changed.yaml"]) == 0
    assert any(it.any() for it in load_file("runs/changed/lora.safetensors").values())
    assert list(assemble("runs/changed/spec.yaml").states(["a red circle"]))


def test_checkpoints_hold_changes_alone_and_a_run_resumes_exactly(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = spec_of(saved("sd15"), tmp_path, lora={"rank": 2, "targets": TARGETS})
    assert main([str(spec), "--out", "whole"]) == 0
    assert main([str(spec), "--out", "cut", "--steps-now", "3"]) == 0
    with safe_open(tmp_path / "cut" / "checkpoint-00000003.safetensors", "pt") as file:
        names = [name for name in file.keys() if not name.startswith("optimizer.")]  # noqa: SIM118
    assert names
    assert all(".lora_" in name for name in names)
    assert main([str(spec), "--out", "cut"]) == 0
    one, other = (load_file(tmp_path / name / "lora.safetensors") for name in ("whole", "cut"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_prior_is_a_half_of_each_batch(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a weight of 0 the other half changes nothing; with one of 1 it does."""
    monkeypatch.chdir(tmp_path)
    found = []
    for index, weight in enumerate((0.0, 0.0, 1.0)):
        here = tmp_path / str(index)
        here.mkdir()
        folder = saved("sd15")
        prior = {"use": "captioned-folder"}
        spec = spec_of(folder, here, lora={"rank": 2, "targets": TARGETS}, prior_weight=weight)
        tree = json.loads(spec.read_text())
        others = pictures(here / "others", 2 + index, tree["data"]["size"])  # other images each time
        tree["train"]["prior"] = {**prior, "size": tree["data"]["size"], "folder": str(others)}
        spec.write_text(json.dumps(tree))
        assert main([str(spec), "--out", str(here / "run")]) == 0
        found.append(load_file(here / "run" / "lora.safetensors"))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert not all(torch.equal(found[0][name], found[2][name]) for name in found[0])


def test_the_guides_spec_trains_a_folder_of_diffusers(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it stands in docs/training.md, but for the size of a tiny model, and with few steps."""
    from .equality import ours

    page = (Path(__file__).parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
    [spec] = [block for block in page.split("```") if "extends: ./stable-diffusion-v1-5" in block]
    commands = [line for line in page.splitlines() if line.startswith("glidepath ") and "lora" in line]
    monkeypatch.chdir(tmp_path)
    shutil.copytree(saved("sd15"), tmp_path / "stable-diffusion-v1-5")
    size = ours(saved("sd15")).image_size[0]
    pictures(tmp_path / "photos", 3, size)
    Path("lora.yaml").write_text(spec.replace("size: 512", f"size: {size}"), encoding="utf-8")
    changes = {
        "train": ["--set", "train.steps=2"],
        "sample": ["--set", "sampler.steps=2", "--out", "made.png"],
    }
    assert [command.split()[1] for command in commands] == ["data", "train", "sample"]
    for command in commands:
        words = shlex.split(command)[1:]
        assert glidepath([*words, *changes.get(words[0], [])]) == 0
    assert "3 pictures" in capsys.readouterr().out
    assert Path("made.png").is_file()


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"lora": {"rank": 2}, "init_from_weights": False}, "init_from_weights"),
        ({"lora": {"rank": 2}, "only": ["denoiser"]}, "leave this out"),
        ({"lora": {"targets": ["nothing"]}}, "no layers to change"),
        ({"lora": {"text_targets": ["nothing"]}}, "no layers to change"),
        ({"lora": {"rank": 0}}, "rank"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GlidepathError, match=said):
        main([str(spec_of(saved("sd15"), tmp_path, **train)), "--out", "run"])
