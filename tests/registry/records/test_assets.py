"""What parts read beside weights: how a spec names it, what is recorded of it, and how it is found again."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
from safetensors.torch import load_file, save_file
from tests.conftest import Site
from tests.registry.tiny import SPEC, run, write_tiny

from glidepath.registry import assemble
from glidepath.registry.assembly import assets
from glidepath.registry.assembly.warnings import missing_inputs
from glidepath.registry.describe.component import asset, doc
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.files.tensor_file import WeightsError
from glidepath.registry.plan.parts import PartPlan
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.records.finding import absent
from glidepath.registry.records.images import read_manifest
from glidepath.registry.records.manifest import read_image
from glidepath.registry.records.recording import describe_plan
from glidepath.registry.spec.spec import parse_spec, read_spec
from glidepath.registry.text.named_files import portable_names
from glidepath.registry.text.problems import Place, SpecError

WORDS = "a\ngreen\nred\nstar\nring\n"
FIELD = "text_encoder.tokenizer.file"


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Models outside the current folder: two networks whose files have one name, and a vocabulary."""
    monkeypatch.delenv("GLIDEPATH_MODELS", raising=False)
    folder = tmp_path / "models" / "tiny"
    for name in ("unet", "text"):
        (folder / name).mkdir(parents=True)
    (folder / "words.txt").write_text(WORDS)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_tiny(folder)
    tensors = load_file(folder / "tiny.safetensors")
    for name, slot in (("unet", "denoiser"), ("text", "text_encoder")):
        own = {key.partition(".")[2]: value for key, value in tensors.items() if key.startswith(slot)}
        save_file(own, folder / name / "model.safetensors")
    (folder / "tiny.safetensors").unlink()
    Path("spec.yaml").write_text(
        SPEC.replace("vocabulary: [a, green, red, star, ring]", f"vocabulary: null, file: {folder}/words.txt")
        .replace("  width: 32\n", f"  width: 32\n  weights: {folder}/text/model.safetensors\n")
        .replace("  image_size: 8\n", f"  image_size: 8\n  weights: {folder}/unet\n")
        .replace("weights: tiny.safetensors\n", "")
    )
    return folder.parent


def sample() -> dict[str, Any]:
    """What the image carries that is made."""
    assert run("sample", "a star", "--spec", "spec.yaml", "--out", "x.png", "--device", "cpu") == 0
    return read_manifest(Path("x.png"))[1]


def plan(text: str, folder: Path, *, untrusted: bool = False) -> Any:
    catalogue = load_catalogue()
    return make_plan(
        parse_spec(text, "s.yaml", catalogue=catalogue, folder=folder, untrusted=untrusted), catalogue
    )


def spec(address: str) -> str:
    return SPEC.replace("vocabulary: [a, green, red, star, ring]", f"vocabulary: null, file: {address}")


def test_an_image_carries_the_hashes_of_what_was_read_and_no_folder_of_its_maker(models: Path) -> None:
    carried = sample()
    assert carried["files"] == {FIELD: sha256(WORDS)}
    written = carried["spec"]
    assert written["denoiser"]["weights"] == "unet"
    assert written["text_encoder"]["weights"] == "model.safetensors"
    assert written["text_encoder"]["tokenizer"]["file"] == "words.txt"
    assert str(models.parent) not in json.dumps(carried)


def test_below_a_folder_of_models_names_are_relative_to_that(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLIDEPATH_MODELS", str(models))
    written = sample()["spec"]
    assert written["denoiser"]["weights"] == "tiny/unet"
    assert written["text_encoder"]["weights"] == "tiny/text/model.safetensors"


def test_names_that_are_alike_keep_the_folders_that_tell_them_apart(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("m/unet/w.pt", "m/vae/w.pt", "m/vae/other.pt")]
    written = portable_names(files)
    assert [written(file) for file in files] == ["unet/w.pt", "vae/w.pt", "other.pt"]
    assert written(Path.cwd() / "a" / "b.pt") == "a/b.pt"


@pytest.mark.parametrize("told", ["option", "variable"])
def test_models_that_were_moved_replay(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], told: str
) -> None:
    sample()
    elsewhere = models.rename(models.with_name("library"))
    (elsewhere / "tiny").rename(elsewhere / "renamed")
    # others of the same names come first
    decoy = elsewhere / "another"
    decoy.mkdir()
    (decoy / "words.txt").write_text("other\nwords\n")
    (decoy / "model.safetensors").write_bytes(b"other")
    assert run("replay", "x.png") == 1
    assert "name the folder of your models with --models DIR" in capsys.readouterr().err
    option = ["--models", elsewhere] if told == "option" else []
    if told == "variable":
        monkeypatch.setenv("GLIDEPATH_MODELS", str(elsewhere))
    assert run("replay", "x.png", *option) == 0
    said = capsys.readouterr()
    assert "the same image, pixel for pixel" in said.out
    assert "differs" not in said.err


def test_what_is_not_there_is_named_before_the_spec_is_read(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample()
    _, then, _ = read_image(Path("x.png"))
    assert sorted(absent(then, Path())) == ["model.safetensors", "unet", "words.txt"]
    assert absent(then, models / "tiny") == ["model.safetensors"]
    assert run("replay", "x.png", "--models", "nowhere") == 1
    assert "--models nowhere: there is no such folder" in capsys.readouterr().err


def test_replay_says_which_file_is_another(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample()
    changed = "a\nred\ngreen\nstar\nring\n"
    (models / "tiny" / "words.txt").write_text(changed)
    run("replay", "x.png", "--models", models)
    said = capsys.readouterr().err
    assert f"differs: sha256 of the file at {FIELD} was {sha256(WORDS)}, and is {sha256(changed)}" in said


def test_a_manifest_leads_to_no_file_outside_the_models(models: Path) -> None:
    from glidepath.registry.records.finding import find_again
    from glidepath.registry.records.manifest import Manifest

    (models.parent / "secret.txt").write_text(WORDS)
    for name in ("../secret.txt", str(models.parent / "secret.txt"), "..\\secret.txt", "file:secret.txt"):
        stranger = Manifest(
            spec={"a": {"use": "x", "f": name}}, distributions={}, weights={}, environment={},
            files={"a.f": sha256(WORDS)},
        )  # fmt: skip
        assert find_again(stranger, Path(), [models]) == []


@attrs.frozen
class Config:
    """Two assets, and a path that is none."""

    folder: Path = attrs.field(metadata=asset("with files"))
    table: Path = attrs.field(metadata=doc("a file"))
    data: Path = attrs.field(metadata=doc("a folder of pictures, say"))


def test_each_file_of_an_asset_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "clip" / "sub").mkdir(parents=True)
    (tmp_path / "clip" / "sub" / "b.json").write_text("b")
    (tmp_path / "clip" / "a.json").write_text("a")
    (tmp_path / "clip" / ".cache").write_text("a note of a program")
    config: Any = Config(tmp_path / "clip", tmp_path / "clip" / "a.json", tmp_path / "clip")
    registered: Any = None
    part = PartPlan(
        path="guidance[0]", registered=registered, config=config, parts={}, places={}, weights=None,
        place=Place("spec.yaml"),
    )  # fmt: skip
    assert assets.asset_hashes(part) == {
        "guidance[0].folder/a.json": sha256("a"),
        "guidance[0].folder/sub/b.json": sha256("b"),
        "guidance[0].table": sha256("a"),
    }


def test_an_asset_has_the_addresses_of_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "words.txt").write_text(WORDS)
    for address in ("words.txt", f"{{path: words.txt, sha256: '{sha256(WORDS)}'}}"):
        write_tiny(tmp_path, spec(address))
        assert assemble(tmp_path / "tiny.yaml").text_encoder is not None
    made = plan(spec("package:glidepath.plugins.text/words.txt"), tmp_path)
    tokenizer = made.parts["text_encoder"].parts["tokenizer"]
    assert made.tree["text_encoder"]["tokenizer"]["file"] == "package:glidepath.plugins.text/words.txt"
    assert tokenizer.config.file == Path(tokenizer.registered.file).with_name("words.txt")
    write_tiny(tmp_path, spec(f"{{path: words.txt, sha256: '{'1' * 64}'}}"))
    with pytest.raises(WeightsError, match=r"words\.txt has sha256 .*, and the spec expects 1111"):
        assemble(tmp_path / "tiny.yaml")


def test_an_asset_of_a_hub_is_fetched_when_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    address = "{path: 'hub:acme/base/words.txt', revision: v1}"
    write_tiny(tmp_path).write_text(spec(address))
    catalogue = load_catalogue()
    made = make_plan(read_spec(tmp_path / "tiny.yaml", catalogue=catalogue), catalogue)
    assert made.tree["text_encoder"]["tokenizer"]["file"] == {
        "path": "hub:acme/base/words.txt",
        "revision": "v1",
    }
    assert list(missing_inputs(made, catalogue)) == []
    with pytest.raises(WeightsError, match=r"hub:acme/base/words\.txt needs huggingface_hub"):
        assemble(tmp_path / "tiny.yaml")
    (tmp_path / "words.txt").write_text(WORDS)
    monkeypatch.setattr(assets, "fetch_path", lambda _address: tmp_path / "words.txt")
    assert assemble(tmp_path / "tiny.yaml").text_encoder is not None
    assert describe_plan(made, catalogue).files == {FIELD: sha256(WORDS)}


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("3", "file takes text, and 3 without quotes is the number 3"),
        ("{file: a.txt}", "file has no 'file'"),
        ("{path: a.txt, variant: fp16}", "file has no 'variant'"),
        ("https://acme.org/words.txt", "there is no kind of address 'https'"),
        ("package:json/../words.txt", "'json/../words.txt' does not name a file of a package"),
        ("hub:words.txt", "'words.txt' does not name a file of a hub repository"),
    ],
)
def test_a_wrong_address_of_an_asset_is_a_fault(tmp_path: Path, address: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        plan(spec(address), tmp_path)
    (problem,) = caught.value.problems
    assert problem.what.startswith(said)
    assert problem.path.startswith(FIELD)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("hub:acme/base/words.txt", "this address needs a sha256"),
        ("../words.txt", "'../words.txt' is outside the folder of the spec"),
        ("linked", "'linked' holds a link that leads out of it: out.txt"),
    ],
)
def test_a_stranger_names_assets_of_its_folder_only(tmp_path: Path, address: str, said: str) -> None:
    (tmp_path / "here" / "linked").mkdir(parents=True)
    (tmp_path / "here" / "linked" / "out.txt").symlink_to(tmp_path / "words.txt")
    (tmp_path / "words.txt").write_text(WORDS)
    with pytest.raises(SpecError, match=said):
        plan(spec(address), tmp_path / "here", untrusted=True)


def test_an_image_of_a_hub_says_exactly_what_is_fetched_again() -> None:
    from glidepath.registry.records.finding import pinned
    from glidepath.registry.records.manifest import Manifest

    then = Manifest(
        spec={
            "weights": "hub:a/b/w.pt",
            "guidance": [{"weights": {"path": "hub:a/b/c", "revision": "v1"}, "folder": "hub:a/b"}],
        },
        distributions={},
        weights={"": "1" * 64, "guidance[0]": "2" * 64},
        environment={},
        files={"guidance[0].folder/a.json": "3" * 64},
    )
    assert pinned(then) == {
        "weights": {"path": "hub:a/b/w.pt", "sha256": "1" * 64},
        "guidance": [
            {
                "weights": {"path": "hub:a/b/c", "revision": "v1", "sha256": "2" * 64},
                "folder": {"path": "hub:a/b", "sha256": "3" * 64},
            }
        ],
    }
    assert then.spec["weights"] == "hub:a/b/w.pt"


def test_what_ships_beside_a_preset_is_named_by_its_package_wherever_the_image_goes(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.bundle()
    preset = 'Preset(name="acme-tiny", file=Path(__file__).with_name("tiny.yaml"), summary="a tiny one")'
    source = f"""from pathlib import Path

@hookimpl
def components():
    return ()

@hookimpl
def presets():
    return ({preset},)
"""
    folder = site.plugin("acme", source).parent
    (folder / "words.txt").write_text(WORDS)
    write_tiny(folder, spec("words.txt"))
    for name in ("drawn", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "drawn")
    run("sample", "a red star", "--spec", "acme-tiny", "--out", "star.png")
    recorded = read_image(Path("star.png"))[1].spec
    assert recorded["text_encoder"]["tokenizer"]["file"] == "package:acme/words.txt"
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "words.txt").write_text("other\n")
    assert run("replay", str(tmp_path / "drawn" / "star.png")) == 0
