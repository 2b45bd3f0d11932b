"""Each numbered sentence of docs/security.md: the test of the same number holds it."""

from __future__ import annotations

import base64
import gzip
import json
import os
import pickle
import re
import socket
import struct
import subprocess
import sys
import time
import types
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, PngImagePlugin
from safetensors.torch import load_file, save_file
from tests.registry.tiny import SPEC, write_tiny

from glidepath.core.errors import GlidepathError
from glidepath.registry.assembly.build import assemble
from glidepath.registry.assembly.weights import file_sha256
from glidepath.registry.cli import main
from glidepath.registry.files import process_state
from glidepath.registry.files.tensor_file import read_tensors
from glidepath.registry.records.images import KEY, read_manifest, save_png
from glidepath.registry.records.manifest import FORMAT

from .distributions import install, supplying
from .sources import PLUGINS, REGISTRY

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
HELD: dict[str, list[str]] = {}


def holds(number: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark a test as the one of a sentence of the page."""

    def marked(test: Callable[..., None]) -> Callable[..., None]:
        HELD.setdefault(number, []).append(test.__name__)
        return test

    return marked


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own for each test, and none of the modules that it made afterwards."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `check` says of a spec that it refuses."""

    def check(text: str, *arguments: str) -> str:
        Path("stranger.yaml").write_text(text, encoding="utf-8")
        capsys.readouterr()
        assert main(["check", "stranger.yaml", *arguments]) == 2
        return capsys.readouterr().err

    return check


class Bomb:
    """An object whose pickle makes a file where it is loaded."""

    def __reduce__(self) -> Any:
        return open, ("it-ran", "w")


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "os:system",
        "wsgiref.util:FileWrapper",
        "glidepath-diffusion/wsgiref",
        "../wsgiref",
        "wsgiref",
    ],
)
@holds("S1")
def test_what_no_plugin_supplies_is_not_imported(refused: Any, name: str) -> None:
    sys.modules.pop("wsgiref", None)
    assert "there is no sampler" in refused(f"extends: shapes\nsampler: {{use: '{name}'}}\n")
    assert "wsgiref" not in sys.modules


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.mkdir [it-ran]",
        "!!python/object/new:os.mkdir [it-ran]",
        "!!python/name:os.mkdir",
        "!!python/module:wsgiref",
        "!pathlib [x]",
    ],
)
@holds("S2")
def test_tags_make_no_objects(refused: Any, tag: str) -> None:
    assert "the tag" in refused(f"extends: shapes\nsampler: {tag}\n")
    assert not Path("it-ran").exists()


@pytest.mark.parametrize("key", ["_target_", "_partial_", "target", "class"])
@holds("S3")
def test_keys_that_elsewhere_name_code_are_unknown_parameters(refused: Any, key: str) -> None:
    said = refused(f"extends: shapes\nsampler: {{use: ddim, {key}: os.mkdir}}\n")
    assert f"sampler ddim has no parameter '{key}'" in said


@pytest.mark.parametrize("text", ["${os.mkdir:it-ran}", "${oc.create:x}", "${oc.decode:x}", "${eval:1+1}"])
@holds("S4")
def test_interpolations_call_nothing(refused: Any, text: str) -> None:
    assert "is not accepted" in refused(f"extends: shapes\nsampler: {{use: ddim, steps: '{text}'}}\n")


@holds("S5")
def test_the_environment_is_read_where_that_is_allowed_only(
    refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "7123")
    text = "extends: shapes\nsampler: {use: ddim, steps: '${oc.env:SECRET}'}\n"
    said = refused(text)
    assert "may not read the environment" in said
    assert "7123" not in said
    assert "7123" in refused(text, "--allow-env")  # allowed, it is more steps than there are


@holds("S6")
def test_files_that_a_spec_names_are_read_as_specs_and_tensors(refused: Any) -> None:
    code = "open('it-ran', 'w')\n"
    Path("code.py").write_text(code)
    Path("code.yaml").write_text(code)
    assert "a spec is a mapping" in refused("extends: ./code.yaml\n")
    assert "is no file of weights" in refused("extends: shapes\nweights: code.py\n")
    spec = write_tiny(Path.cwd())
    Path("tiny.safetensors").write_text(code)
    with pytest.raises(GlidepathError, match="cannot read weights"):
        assemble(spec)
    assert not Path("it-ran").exists()


@pytest.mark.parametrize("name", ["pipe", "device"])
@pytest.mark.parametrize(
    "text",
    [
        "extends: ./{}.yaml",
        "weights: {}.pt",
        "weights: {}.safetensors",
        "text_encoder: {{tokenizer: {{use: words, vocabulary: null, file: {}.txt}}}}",
        "text_encoder: {{tokenizer: {{use: bpe, vocabulary: {0}.txt, merges: {0}.txt}}}}",
        "text_encoder: {{tokenizer: {{use: clip-bpe, vocabulary: {}.txt.gz}}}}",
    ],
)
@holds("S6")
def test_what_is_no_regular_file_is_not_read(
    capsys: pytest.CaptureFixture[str], text: str, name: str
) -> None:
    write_tiny(Path.cwd())
    for suffix in (".yaml", ".pt", ".safetensors", ".txt", ".txt.gz"):
        os.mkfifo(f"pipe{suffix}")
        Path(f"device{suffix}").symlink_to("/dev/zero")
    base = "" if text.startswith("extends") else "extends: ./tiny.yaml\n"
    Path("stranger.yaml").write_text(base + text.format(name))
    assert main(["sample", "a star", "--spec", "stranger.yaml", "--out", "x.png", "--device", "cpu"]) in (
        1,
        2,
    )
    assert re.search(r"is not a file|there is no file", capsys.readouterr().err)


@pytest.mark.parametrize(
    "command",
    [
        ["check", "hub.yaml"],
        ["plan", "hub.yaml", "--quick"],
        ["show", "ddim"],
        ["list"],
        ["lock", "shapes"],
        ["diff", "shapes", "shapes"],
    ],
)
@holds("S7")
def test_nothing_is_asked_of_the_network_before_images_are_made(
    monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    def refuse(*_arguments: object, **_keywords: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    Path("hub.yaml").write_text("extends: shapes\nweights: hub:somebody/something/weights.safetensors\n")
    assert main(command) == 0


@holds("S7")
def test_weights_of_a_hub_are_fetched_when_their_hash_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"a": torch.zeros(1)}, "fetched.safetensors")
    asked = []

    def download(repository: str, name: str, *, revision: str | None, local_files_only: bool) -> str:
        asked.append(f"{repository}/{name}")
        return "fetched.safetensors"

    hub = types.ModuleType("huggingface_hub")
    answering = types.SimpleNamespace(model_info=lambda *_, **__: None)
    vars(hub).update(hf_hub_download=download, HfApi=lambda: answering, utils=types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    Path("hub.yaml").write_text("extends: shapes\nweights: hub:somebody/something/weights.safetensors\n")
    assert main(["check", "hub.yaml"]) == 0
    assert asked == []
    assert main(["lock", "hub.yaml"]) == 0
    assert set(asked) == {"somebody/something/weights.safetensors"}


@holds("S8")
def test_checking_writes_nothing() -> None:
    Path("mine.yaml").write_text("extends: shapes\n")
    assert main(["check", "mine.yaml"]) == 0
    assert os.listdir() == ["mine.yaml"]


@pytest.mark.parametrize(
    "text",
    [
        "x: " + "a" * 2**20,
        "x: " + "[" * 5000 + "]" * 5000,
        "\n".join(
            ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
            + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)]
        ),
        "\n".join(["a0: xxxxxxxxxx"] + [f"a{i}: '{f'${{a{i - 1}}}' * 10}'" for i in range(1, 20)]),
    ],
    ids=["long", "deep", "aliases", "interpolations"],
)
@holds("S9")
def test_what_would_exhaust_the_machine_is_refused_at_once(refused: Any, text: str) -> None:
    began = time.process_time()
    assert refused(text)
    assert time.process_time() - began < 10


ESCAPES = "\x1b]0;owned\x07\x9b2J\u202e"


@pytest.mark.parametrize(
    "command",
    [
        ["check", "{}.yaml"],
        ["check", "{}right.yaml"],
        ["check", "{}.yaml", "--json"],
        ["check", "shapes", "--set", "{}=1"],
        ["show", "{}"],
        ["{}"],
        ["list", "--{}"],
        ["diff", "shapes", "{}.json"],
        ["replay", "{}.png"],
        ["replay", "carries.png"],
        ["study", "{}.yaml"],
    ],
)
@holds("S10")
def test_messages_steer_no_terminal(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    Path(f"{ESCAPES}.yaml").write_text(
        'extends: shapes\nsampler: {use: "\\e[2J\\x07ddim"}\n"\\e]0;owned\\a": 1\n'
    )
    Path(f"{ESCAPES}right.yaml").write_text("extends: shapes\n")
    save_png(Image.new("RGB", (1, 1)), Path("carries.png"), {"format": ESCAPES})
    main([word.format(ESCAPES) for word in command])
    said = "".join(capsys.readouterr())
    assert said
    assert not set(said) & set("\x1b\x07\x9b\u202e")


@pytest.mark.parametrize(
    "tokenizer",
    ["words, vocabulary: null, file: ", "bpe, vocabulary: v.json, merges: ", "clip-bpe, vocabulary: "],
)
@holds("S9")
def test_words_that_would_exhaust_the_machine_are_refused(
    capsys: pytest.CaptureFixture[str], tokenizer: str
) -> None:
    write_tiny(Path.cwd())
    Path("v.json").write_text("{}")
    Path("bomb.gz").write_bytes(gzip.compress(b"a b\n" * 2**22))
    Path("large").write_bytes(b"a b\n" * 2**22)
    for name in ("bomb.gz", "large")[tokenizer.startswith("words") :]:
        schema = f"text_encoder: {{tokenizer: {{use: {tokenizer}{name}}}}}\n"
        Path("stranger.yaml").write_text(f"extends: ./tiny.yaml\n{schema}")
        assert main(["sample", "a star", "--spec", "stranger.yaml", "--out", "x.png", "--device", "cpu"]) == 1
        assert re.search(r"(larger|unpacks to more) than 8,388,608 bytes", capsys.readouterr().err)


@holds("S10")
def test_what_is_escaped_is_json_still(capsys: pytest.CaptureFixture[str]) -> None:
    Path(f"{ESCAPES}.yaml").write_text("extends: shapes\n")
    assert main(["diff", "shapes", f"./{ESCAPES}.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["b"]["name"] == f"./{ESCAPES}.yaml"


@holds("S11")
def test_the_section_of_plugins_installs_nothing(refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    said = refused("extends: shapes\nplugins: {require: {no-such-thing: '>=1'}}\n")
    assert "the spec requires 'no-such-thing', which is not installed" in said


CODE = (
    "open('it-ran', 'w')\ndirection = 'higher'\ndef per_prompt(images, prompts): return [0] * len(images)\n"
)
OWN = "{use: python, file: mine.py}"


@pytest.mark.thorough
@holds("S12")
def test_code_of_a_study_is_run_by_a_run_alone(refused: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(CODE)
    Path("base.yaml").write_text(f"extends: shapes\nmetrics: {{primary: {{mine: {OWN}}}}}\n")
    study = "base: {extends: shapes, runtime: {device: cpu}, sampler: {steps: 1}}\nengine: in-process\n"
    study += "data: {prompts: [a red star]}\n"
    Path("study.yaml").write_text(study + f"metrics: {{primary: {{mine: {OWN}}}}}\n")
    Path("other.yaml").write_text("base: base.yaml\ndata: {prompts: [a red star]}\n")
    assert main(["study", "plan", "other.yaml"]) == 2
    assert "metrics" in refused(f"extends: shapes\nmetric: {OWN}\n" + f"metrics: {OWN}\n")
    for words in (["plan"], ["show"], ["status"], ["why"]):
        more = ["base"] if words[0] in ("show", "why") else []
        main(["study", *words, "study.yaml", *more])
    assert not Path("it-ran").exists()
    assert main(["study", "run", "study.yaml"]) == 0
    assert Path("it-ran").exists()
    Path("it-ran").unlink()
    assert main(["study", "report", "study.yaml"]) == 0
    assert not Path("it-ran").exists()


@holds("S13")
@pytest.mark.parametrize(
    ("part", "needs"),
    [
        ("alerts=[{use: webhook, url: http://example.org/}]", "urllib"),
        ("alerts=[{use: apprise, urls: mailto://example.org}]", "apprise"),
        ("trackers=[{use: mlflow, uri: http://example.org/}]", "mlflow"),
        ("trackers=[{use: wandb, api_key: x}]", "wandb"),
    ],
)
def test_a_spec_names_no_address_that_alerts_or_trackers_send_to(
    part: str, needs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(needs, reason=f"{needs} is not installed, so its parameters are not read")
    assert main(["check", "shapes", "--set", part]) == 2
    assert "parameter" in capsys.readouterr().err


@pytest.fixture
def image(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `replay` says of an image that it refuses, whose spec is changed."""

    def replay(**changes: object) -> str:
        write_tiny(Path.cwd())
        made = ["sample", "a star", "--spec", "tiny.yaml", "--out", "star.png", "--device", "cpu"]
        assert main([*made, "--scale", "1"]) == 0
        picture, manifest = read_manifest(Path("star.png"))
        manifest["spec"] |= changes
        info = PngImagePlugin.PngInfo()
        info.add_itxt(KEY, json.dumps(manifest))
        picture.save("stranger.png", pnginfo=info)
        capsys.readouterr()
        assert main(["replay", "stranger.png"]) in (1, 2)
        assert not Path("stranger-replay.png").exists()
        return capsys.readouterr().err

    return replay


@holds("S12")
def test_the_spec_of_an_image_brings_no_code(image: Any) -> None:
    Path("mine.py").write_text(CODE)
    metric = {"use": "python", "file": "mine.py"}
    assert "metric" in image(metric=metric)
    assert "python" in image(sampler=metric)
    assert not Path("it-ran").exists()


@holds("I1")
def test_the_spec_of_an_image_extends_nothing(image: Any) -> None:
    assert "extends nothing" in image(extends="shapes")


@pytest.mark.parametrize("name", ["/etc/elsewhere.safetensors", "../outside.safetensors", "link.safetensors"])
@holds("I2")
def test_the_spec_of_an_image_names_no_file_elsewhere(image: Any, name: str) -> None:
    Path("link.safetensors").symlink_to("/etc/hostname")
    assert "is outside the folder of the spec" in image(weights=name)


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "/etc/secret.safetensors", "..\\secret.safetensors"]
)
@holds("I8")
def test_folders_of_models_are_not_left(image: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("models").mkdir()
    Path("secret.safetensors").write_bytes(b"")
    monkeypatch.setenv("GLIDEPATH_MODELS", "models")
    assert "is outside the folder of the spec" in image(weights=name)


@holds("I3")
def test_the_spec_of_an_image_reads_no_environment(image: Any, capsys: Any) -> None:
    assert "may not read the environment" in image(weights="${oc.env:HOME}")
    assert main(["replay", "stranger.png", "--allow-env"]) == 2


@holds("I4")
def test_an_image_with_too_much_text_is_refused(capsys: Any) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt(KEY, json.dumps({"format": "x" * 2**23}), zip=True)
    Image.new("RGB", (1, 1)).save("bomb.png", pnginfo=info)
    assert main(["replay", "bomb.png"]) == 1
    assert "glidepath: error" in capsys.readouterr().err


def png_of(side: int) -> bytes:
    """A PNG that claims to be so wide and high."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = (header, b"IDAT" + zlib.compress(b"\0" * 100_000), b"IEND")
    told = (struct.pack(">I", len(it) - 4) + it + struct.pack(">I", zlib.crc32(it)) for it in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(told)


@pytest.mark.parametrize("name", ["image", "mask", "low_res"])
@pytest.mark.parametrize("side", [5_000, 60_000])
@holds("I4")
def test_a_carried_picture_with_too_many_pixels_is_refused(capsys: Any, name: str, side: int) -> None:
    write_tiny(Path.cwd())
    made = ["sample", "a star", "--spec", "tiny.yaml", "--out", "star.png", "--device", "cpu"]
    assert main(made) == 0
    picture, manifest = read_manifest(Path("star.png"))
    carried = {name: {"sha256": "a", "png": base64.b64encode(png_of(side)).decode()}}
    save_png(picture, Path("bomb.png"), {**manifest, "strength": 0.5, "pictures": carried})
    assert main(["replay", "bomb.png"]) == 1
    assert re.search(r"16,777,216 pixels|exceeds limit", capsys.readouterr().err)


@holds("I4")
def test_an_image_with_too_many_pixels_is_refused(capsys: Any) -> None:
    for side in (9_000, 13_000, 30_000):
        Path("bomb.png").write_bytes(png_of(side))
        assert main(["sample", "a star", "--image", "bomb.png", "--strength", "0.5"]) == 1
        assert main(["replay", "bomb.png"]) == 1
        assert main(["diff", "bomb.png", "bomb.png"]) == 2
        assert capsys.readouterr().err.count("glidepath: error: cannot read bomb.png as an image") == 3


@holds("I5")
def test_an_image_tells_no_folders_and_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "7123")
    monkeypatch.setattr(process_state, "_noted", {})  # what parts of other tests have set in this process
    private, here = tmp_path / "private", tmp_path / "here"
    private.mkdir()
    here.mkdir()
    spec = write_tiny(private)
    monkeypatch.chdir(here)
    assert main(["sample", "a star", "--spec", str(spec), "--out", "star.png", "--device", "cpu"]) == 0
    _, manifest = read_manifest(Path("star.png"))
    text = json.dumps(manifest)
    assert manifest["spec"]["weights"] == "tiny.safetensors"
    assert str(tmp_path) not in text
    assert "private" not in text
    assert "7123" not in text
    assert set(manifest) == {
        "format", "spec", "shots", "columns", "scale", "distributions", "weights", "environment"
    }  # fmt: skip
    assert set(manifest["environment"]) == {"torch", "python", "device", "dtype", "threads"}


@pytest.mark.parametrize(
    "options",
    [
        ["--image", "photo.png", "--strength", "0.5"],
        ["--image", "fine.png", "--mask", "photo.png"],
        ["--spec", "glide-upsample", "--low-res", "photo.png"],
        ["--noise-film", "photo.png"],
    ],
)
@pytest.mark.parametrize("sort", ["eps", "pipe", "damaged"])
@holds("I6")
def test_no_picture_starts_a_program_hangs_or_ends_in_a_traceback(
    capsys: Any, monkeypatch: pytest.MonkeyPatch, sort: str, options: list[str]
) -> None:
    Image.new("RGB", (32, 32)).save("fine.png")
    if sort == "pipe":
        os.mkfifo("photo.png")
    elif sort == "eps":
        eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n%%EOF\n"
        Path("photo.png").write_bytes(eps)
    else:
        Path("photo.png").write_bytes(Path("fine.png").read_bytes()[:60])
    monkeypatch.setattr(subprocess, "Popen", None)
    prompts = [] if options[0] == "--noise-film" else ["a star"]
    assert main(["sample", *prompts, "--out", "x.png", "--device", "cpu", *options]) in (1, 2)
    assert re.search("photo.png (as an image: |is not a file)", capsys.readouterr().err)


@holds("I6")
def test_one_module_opens_pictures() -> None:
    files = [file for folder in (REGISTRY, PLUGINS) for file in folder.rglob("*.py")]
    opens = [file.name for file in files if "Image.open(" in file.read_text(encoding="utf-8")]
    assert opens == ["pictures.py"]


@pytest.mark.parametrize(
    "text",
    ['{"format": "F", "seed": Infinity}', '{"format": "F", "spec": ' + '{"x": ' * 800 + "1" + "}" * 801],
)
@holds("I7")
def test_a_manifest_that_is_no_plain_data_is_refused(capsys: Any, text: str) -> None:
    text = text.replace("F", FORMAT, 1)
    info = PngImagePlugin.PngInfo()
    info.add_itxt(KEY, text)
    Image.new("RGB", (1, 1)).save("stranger.png", pnginfo=info)
    Path("stranger.json").write_text(text)
    assert main(["replay", "stranger.png"]) == 1
    assert main(["diff", "shapes", "stranger.json"]) == 2
    assert len(re.findall("glidepath: error: .*(Infinity|levels)", capsys.readouterr().err)) == 2


@pytest.mark.parametrize("name", ["tiny.safetensors", "tiny.pt"])
@pytest.mark.parametrize("write", [torch.save, lambda it, file: Path(file).write_bytes(pickle.dumps(it))])
@holds("C1")
def test_code_in_a_checkpoint_is_not_run(name: str, write: Callable[[object, str], None]) -> None:
    spec = write_tiny(Path.cwd(), SPEC.replace("tiny.safetensors", name))
    write({"denoiser.x": Bomb()}, name)
    with pytest.raises(GlidepathError):
        assemble(spec)
    assert not Path("it-ran").exists()


def _tampered(change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    spec = write_tiny(Path.cwd())
    tensors = load_file("tiny.safetensors")
    change(tensors)
    save_file(tensors, "tiny.safetensors")
    return spec


@holds("C2")
def test_tensors_of_other_names_and_shapes_are_refused() -> None:
    with pytest.raises(GlidepathError, match="not known to the part"):
        assemble(_tampered(lambda it: it.update({"denoiser.more": torch.zeros(1)})))
    Path("tiny.safetensors").unlink()
    with pytest.raises(GlidepathError, match="of another shape"):
        assemble(_tampered(lambda it: it.update({next(iter(it)): torch.zeros(7, 7, 7)})))


@holds("C3")
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(GlidepathError, match="NaN or infinite"):
        assemble(_tampered(lambda it: it[next(iter(it))].fill_(value)))


@holds("C3")
def test_integers_are_refused() -> None:
    with pytest.raises(GlidepathError, match="not of floating-point numbers"):
        assemble(_tampered(lambda it: it.update({name: it[name].int() for name in list(it)[:1]})))


@holds("C3")
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_values_that_are_not_finite_in_the_precision_of_the_run_are_refused(dtype: str) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        name = next(name for name in tensors if name.startswith("denoiser."))
        tensors[name] = torch.full_like(
            tensors[name], 1e300 if dtype == "float32" else 1e30, dtype=torch.float64
        )

    with pytest.raises(GlidepathError, match=f"not fit {dtype}"):
        assemble(_tampered(change), [f"runtime.dtype={dtype}"])


@holds("C4")
def test_another_file_than_the_hash_says_is_not_used() -> None:
    write_tiny(Path.cwd())
    address = f"{{path: tiny.safetensors, sha256: {'0' * 64}}}"
    Path("tiny.yaml").write_text(SPEC.replace("weights: tiny.safetensors", f"weights: {address}"))
    with pytest.raises(GlidepathError, match="nothing of it is used"):
        assemble(Path("tiny.yaml"))


@holds("C4")
def test_another_file_of_its_size_and_time_is_not_used() -> None:
    write_tiny(Path.cwd())
    file = Path("tiny.safetensors")
    stated = [f"weights={{path: tiny.safetensors, sha256: {file_sha256(file)}}}"]
    assemble(Path("tiny.yaml"), stated)
    before = file.stat()
    save_file({name: 2 * value for name, value in load_file(file).items()}, "other.safetensors")
    os.utime("other.safetensors", ns=(before.st_atime_ns, before.st_mtime_ns))
    Path("other.safetensors").replace(file)
    with pytest.raises(GlidepathError, match="nothing of it is used"):
        assemble(Path("tiny.yaml"), stated)


@holds("C5")
def test_a_file_that_inflates_is_not_read() -> None:
    torch.save({"x": torch.ones(1)}, "w.pt")
    with zipfile.ZipFile("w.pt") as archive, zipfile.ZipFile("v.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in archive.namelist():
            packed.writestr(name, archive.read(name))
    with pytest.raises(GlidepathError, match="is compressed"):
        read_tensors(Path("v.pt"))


@holds("C6")
@pytest.mark.parametrize("name", ["../w.pt", "/etc/passwd", "sub/w.pt", "..", ""])
def test_an_index_leads_to_no_other_folder(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.bin.index.json").write_text(json.dumps({"weight_map": {"x": name}}))
    assert main(["convert", "a.bin.index.json"]) == 1
    assert "is not the name of a file beside it" in capsys.readouterr().err


RUNS = "from pathlib import Path\nPath('it-ran').touch()\n"
BUILT = {"parts": "from pathlib import Path\nPath('it-was-built').touch()\nclass Walk: ...\n"}


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install a plugin that leaves a file when it is imported, and another when its part is."""

    def put(*requires: str) -> None:
        source = RUNS + supplying("sampler", "walk", "stranger.parts:Walk")
        install(Path("site"), "stranger", "1.0", source, requires=requires, modules=BUILT)
        monkeypatch.syspath_prepend(Path("site").absolute())

    return put


@holds("P1")
def test_a_plugin_is_imported_and_its_part_when_it_is_built(plugin: Any) -> None:
    plugin()
    assert main(["list", "sampler"]) == 0
    assert Path("it-ran").exists()
    with pytest.raises(GlidepathError, match="which is no Sampler"):
        assemble("shapes", ["sampler={use: walk}"])
    assert Path("it-was-built").exists()


@holds("P2")
def test_checking_imports_no_implementation(plugin: Any) -> None:
    plugin()
    assert main(["check", "shapes", "--set", "sampler={use: walk}"]) == 0
    assert not Path("it-was-built").exists()


@holds("P3")
def test_code_that_is_not_installed_is_no_plugin(plugin: Any) -> None:
    plugin()
    for file in Path("site").glob("*.dist-info/*"):
        file.unlink()
    assert main(["list", "sampler"]) == 0
    assert not Path("it-ran").exists()


@holds("P3")
def test_the_command_takes_no_plugin_from_the_current_folder() -> None:
    source = RUNS + supplying("sampler", "walk", "stranger.parts:Walk")
    install(Path.cwd(), "stranger", "1.0", source)
    command = Path(sys.executable).with_name("glidepath")
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [command, "list", "sampler"], env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "ddim" in done.stdout
    assert "walk" not in done.stdout
    assert not Path("it-ran").exists()


@pytest.mark.parametrize(
    ("variable", "value", "arguments"),
    [
        ("GLIDEPATH_DISABLE", "stranger", ["list"]),
        ("GLIDEPATH_PLUGINS", "glidepath-diffusion", ["list"]),
        ("", "", ["list", "--no-plugins"]),
        ("", "", ["check", "denied.yaml"]),
        ("", "", ["check", "allowed.yaml"]),
    ],
)
@holds("P4")
def test_switches_act_before_an_import(
    plugin: Any, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, arguments: list[str]
) -> None:
    plugin()
    Path("denied.yaml").write_text("extends: shapes\nplugins: {deny: [stranger]}\n")
    Path("allowed.yaml").write_text("extends: shapes\nplugins: {allow: [glidepath-diffusion]}\n")
    if variable:
        monkeypatch.setenv(variable, value)
    assert main(arguments) == 0
    assert not Path("it-ran").exists()


@holds("P5")
def test_a_plugin_for_other_versions_is_not_imported(plugin: Any) -> None:
    plugin("glidepath-diffusion>=99")
    assert main(["list"]) == 0
    assert not Path("it-ran").exists()


def test_each_sentence_of_the_page_has_a_test_and_each_test_its_sentence() -> None:
    """Every sentence of a section stands in a numbered entry of its list."""
    text = PAGE.read_text(encoding="utf-8")
    numbers = re.findall(r"^- \*\*([A-Z]\d+)\*\* \S", text, re.MULTILINE)
    assert len(numbers) == len(set(numbers))
    assert set(numbers) == set(HELD)
    _, *sections = text.split("\n## ")
    for section in sections:
        _, _, body = section.partition("\n")
        entries, _, _ = body.partition("\nWhat is not promised: ")
        loose = [line for line in entries.splitlines() if line and not line.startswith(("- **", "  "))]
        assert not loose
