"""Negative prompts and the pictures of conditioners, from the command line into the record and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tests.registry.tiny import SPEC, run, write_tiny

from glidepath.registry import assemble
from glidepath.registry.records.images import read_manifest
from glidepath.registry.records.manifest import FORMAT, Manifest, ManifestError

PLUGIN = """
from glidepath.registry import Component, hookimpl

@hookimpl
def components():
    return [
        Component(
            kind="conditioner",
            name="nudge",
            target="acme.parts:Nudge",
            summary="s",
            provides=lambda _config: {"text.width": 32, "text.pooled": 128},
        ),
        Component(kind="adapter", name="lower", target="acme.parts:Lower", summary="s"),
        Component(
            kind="text_encoder",
            name="pair",
            target="acme.parts:Pair",
            summary="s",
            provides=lambda _config: {"text.width": 32, "text.pooled": 128},
        ),
    ]
"""
PARTS = """
import torch
from glidepath.core import Adapter, Condition, Conditioner, Input, TextEmbedding, TextEncoder

class Nudge(Conditioner):
    makes = frozenset({"text"})
    inputs = {"swatch": Input("whose mean the text is", size="any")}

    def conditions(self, request, codec):
        mean = request.rows("swatch").float().mean((1, 2, 3)) / 255
        tokens = mean.reshape(-1, 1, 1).expand(-1, 6, 32)
        return {"text": Condition(TextEmbedding(mean[:, None].expand(-1, 128), tokens), None)}

class Pair(TextEncoder):
    pooled_width, token_width, context, texts = 128, 32, 6, ("prompt_2",)

    def forward(self, prompts):
        pairs = [(prompt, prompt) if isinstance(prompt, str) else prompt for prompt in prompts]
        values = torch.tensor([len(one) / 9 - len(other) / 7 for one, other in pairs]).reshape(-1, 1, 1)
        return TextEmbedding(values[:, 0].expand(-1, 128), values.expand(-1, 6, 32))

    def unconditional(self, negative=None):
        return self.forward(negative or [""])

class Lower(Adapter):
    def load(self, tensors):
        (self.factor,) = tensors.values()

    def apply(self, networks):
        for parameter in networks["denoiser"].parameters():
            parameter.data *= self.factor
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path)
    return tmp_path


@pytest.fixture
def acme(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundled plugins, and one with a conditioner and an adapter; a spec of the first in swatch.yaml."""
    monkeypatch.chdir(tmp_path)
    site.bundle()
    site.plugin("acme", PLUGIN, version="1.2")
    (site.folder / "acme" / "parts.py").write_text(PARTS)
    write_tiny(tmp_path)
    text, rest = SPEC.index("text_encoder:"), SPEC.index("denoiser:")
    spec = f"{SPEC[:text]}conditioners: [nudge]\n{SPEC[rest:]}guidance: []\n"
    spec = spec.replace("guidance: [{use: classifier-free, scale: 2}]\n", "")
    (tmp_path / "swatch.yaml").write_text(spec.replace("tiny.safetensors", "denoiser.safetensors"))
    denoiser = {
        name: it for name, it in load_file("tiny.safetensors").items() if name.startswith("denoiser.")
    }
    save_file(denoiser, "denoiser.safetensors")
    Image.new("RGB", (3, 2), (200, 10, 10)).save("red.png")
    Image.new("RGB", (3, 2), (20, 20, 20)).save("dark.png")
    return tmp_path


def sample(*arguments: object) -> int:
    return run("sample", "--scale", 1, "--out", "x.png", *arguments)


def test_a_negative_prompt_that_nothing_reads_is_warned_of(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "warning: negative prompts change nothing: the spec has no guidance, which would read them"
    assert sample("a star", "--spec", "tiny.yaml", "--negative", "green") == 0
    assert sample("a star", "--spec", "tiny.yaml", "--set", "guidance=[]") == 0
    assert said not in capsys.readouterr().err
    assert sample("a star", "--spec", "tiny.yaml", "--negative", "green", "--set", "guidance=[]") == 0
    assert said in capsys.readouterr().err


def test_a_negative_prompt_is_drawn_recorded_and_replayed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sample("a star", "a ring", "--spec", "tiny.yaml", "--negative", "green") == 0
    _, data = read_manifest(Path("x.png"))
    assert [shot["negative"] for shot in data["shots"]] == ["green", "green"]
    with_negative = Image.open("x.png").tobytes()
    assert run("replay", "x.png") == 0
    assert "the same image, pixel for pixel" in capsys.readouterr().out
    assert sample("a star", "a ring", "--spec", "tiny.yaml") == 0
    assert Image.open("x.png").tobytes() != with_negative
    _, data = read_manifest(Path("x.png"))
    assert set(data["shots"][0]) == {"prompt", "seed", "sample"}


def test_each_prompt_may_have_a_negative_of_its_own(folder: Path) -> None:
    each = ["--negative", "green", "--negative", "red"]
    assert sample("a star", "a ring", "--spec", "tiny.yaml", "--batch", 1, *each) == 0
    _, data = read_manifest(Path("x.png"))
    assert [shot["negative"] for shot in data["shots"]] == ["green", "red"]
    assert sample("a star", "a ring", "a", "--spec", "tiny.yaml", *each) == 2


def test_the_picture_of_a_conditioner_is_drawn_carried_and_replayed(
    acme: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sample("--spec", "swatch.yaml", "--input", "swatch=red.png") == 0, capsys.readouterr().err
    made = Image.open("x.png").tobytes()
    _, data = read_manifest(Path("x.png"))
    assert set(data["pictures"]) == {"swatch"}
    Path("red.png").unlink()
    assert run("replay", "x.png") == 0
    assert "the same image, pixel for pixel" in capsys.readouterr().out
    assert sample("--spec", "swatch.yaml", "--input", "swatch=dark.png") == 0
    assert Image.open("x.png").tobytes() != made


@pytest.fixture
def pair(acme: Path) -> str:
    """A spec whose text encoder reads a second text."""
    spec = Path("swatch.yaml").read_text().replace("conditioners: [nudge]", "text_encoder: pair")
    Path("pair.yaml").write_text(spec.replace("guidance: []", "guidance: [{use: classifier-free, scale: 2}]"))
    return "pair.yaml"


def test_a_second_text_is_drawn_recorded_and_replayed(pair: str, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["--text", "prompt_2=oil", "--text", "negative_prompt_2=ink", "--text", "negative_prompt_2=chalk"]
    assert sample("a star", "a ring", "--spec", pair, *texts) == 0, capsys.readouterr().err
    made = Image.open("x.png").tobytes()
    _, data = read_manifest(Path("x.png"))
    assert [shot["texts"] for shot in data["shots"]] == [
        {"prompt_2": "oil", "negative_prompt_2": "ink"},
        {"prompt_2": "oil", "negative_prompt_2": "chalk"},
    ]
    assert run("replay", "x.png") == 0
    assert "the same image, pixel for pixel" in capsys.readouterr().out
    assert sample("a star", "a ring", "--spec", pair) == 0
    assert Image.open("x.png").tobytes() != made
    assert "texts" not in read_manifest(Path("x.png"))[1]["shots"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "prompt_3=x"], "--text prompt_3: this model reads prompt_2, negative_prompt_2"),
        (["--text", "oil"], "'oil' is no NAME=TEXT"),
        (["--text", "prompt_2=a", "--text", "prompt_2=b"], "2 texts prompt_2 were given for 1 prompts"),
        (["--spec", "tiny.yaml", "--text", "prompt_2=a"], "this model reads prompts alone"),
    ],
)
def test_texts_that_the_model_does_not_read_are_refused(
    pair: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sample("a star", "--spec", pair, *arguments) != 0
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "this model needs a picture, whose mean the text is: --input swatch=FILE"),
        (["--input", "pose=red.png"], "--input pose: this model takes image, mask, swatch"),
        (["--input", "swatch=no.png"], "--input swatch: there is no file no.png"),
        (["--input", "swatch=red.png", "--input", "swatch=dark.png"], "--input swatch was given twice"),
        (["--input", "swatch"], "'swatch' is no NAME=FILE"),
        (["--input", "swatch=red.png", "--negative", "x"], "--negative is for a model that reads prompts"),
    ],
)
def test_pictures_and_negatives_that_the_model_does_not_take_are_refused(
    acme: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sample("--spec", "swatch.yaml", *arguments) != 0
    assert message in capsys.readouterr().err


def test_the_file_of_an_adapter_is_loaded_and_recorded(acme: Path) -> None:
    plain = assemble("tiny.yaml")
    save_file({"factor": torch.tensor(0.5)}, "half.safetensors")
    adapted = ["adapters=[{use: lower, weights: half.safetensors}]"]
    half = assemble("tiny.yaml", adapted)
    for one, other in zip(plain.denoiser.parameters(), half.denoiser.parameters(), strict=True):
        assert torch.equal(0.5 * one, other)
    assert sample("a star", "--spec", "tiny.yaml", "--set", adapted[0]) == 0
    _, data = read_manifest(Path("x.png"))
    assert set(data["weights"]) == {"", "adapters[0]"}
    save_file({"factor": torch.tensor(torch.nan)}, "half.safetensors")
    with pytest.raises(Exception, match="adapters"):
        assemble("tiny.yaml", adapted)


def test_texts_that_are_not_those_of_every_image_are_no_manifest() -> None:
    key = {"prompt": "a", "seed": 0, "sample": 0}
    rest = {"format": FORMAT, "spec": {}, "environment": {}, "distributions": {}, "weights": {}}
    shots = [{**key, "texts": {"prompt_2": "x"}}, {**key, "sample": 1}]
    with pytest.raises(ManifestError, match="its images do not have the same texts"):
        Manifest.from_json({**rest, "columns": 1, "scale": 1, "shots": shots})
    whole = Manifest.from_json({**rest, "columns": 1, "scale": 1, "shots": shots[:1]})
    assert whole.images is not None
    assert whole.images.keys[0].texts == (("prompt_2", "x"),)
    assert whole.to_json()["shots"] == shots[:1]
