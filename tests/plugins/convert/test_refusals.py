"""What `glidepath convert` refuses, and that nothing is left of it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from glidepath.registry.cli import main

from .checkpoints import ADM, ADM_SETTINGS, GLIDE, parts, published, randomise

pytestmark = pytest.mark.thorough

Refusal = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refusal:
    """Run the command, which must fail and write nothing; returns what it says."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, status: int = 1) -> str:
        before = sorted(tmp_path.rglob("*"))
        assert main(["convert", *arguments]) == status
        assert sorted(tmp_path.rglob("*")) == before
        return capsys.readouterr().err

    return run


def save(name: str = "adm.pt", text: str = ADM) -> dict[str, torch.Tensor]:
    tensors = randomise(published(parts(text)))
    torch.save(tensors, name)
    return tensors


def test_a_file_that_is_not_there(refused: Refusal, tmp_path: Path) -> None:
    assert "there is no file base.pt" in refused("base.pt")
    assert "is a folder; name the checkpoint in it" in refused(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html>Sign in", "it is a web page (HTML), not a checkpoint"),
        (b"\n <html><body>404", "it is a web page (HTML), not a checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "it is a Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "it is no checkpoint"),
        (b"just some words", "it is no checkpoint"),
    ],
)
def test_a_file_that_is_no_checkpoint(refused: Refusal, content: bytes, message: str) -> None:
    Path("base.pt").write_bytes(content)
    assert message in refused("base.pt")


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_truncated_file_of_pytorch(refused: Refusal, share: float) -> None:
    save()
    data = Path("adm.pt").read_bytes()
    Path("adm.pt").write_bytes(data[: int(share * len(data))])
    assert "it is cut short" in refused("adm.pt")


def test_a_truncated_file_of_the_older_format(refused: Refusal) -> None:
    torch.save({"x": torch.ones(10_000)}, "old.pt", _use_new_zipfile_serialization=False)
    data = Path("old.pt").read_bytes()
    Path("old.pt").write_bytes(data[: len(data) // 2])
    assert "it is cut short or damaged" in refused("old.pt")


@pytest.mark.parametrize("share", [0.0001, 0.5, 0.999])
def test_a_truncated_safetensors_file(refused: Refusal, share: float) -> None:
    save_file(save("a.pt"), "adm.safetensors")
    data = Path("adm.safetensors").read_bytes()
    Path("adm.safetensors").write_bytes(data[: int(share * len(data))])
    assert "it is cut short" in refused("adm.safetensors")


class Trap:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("sprung"),))


@pytest.mark.parametrize("by", ["torch", "pickle"])
def test_a_pickle_that_is_more_than_tensors_is_refused_and_does_nothing(refused: Refusal, by: str) -> None:
    if by == "torch":
        torch.save({"x": torch.ones(1), "y": Trap()}, "base.pt")
    else:
        Path("base.pt").write_bytes(pickle.dumps({"y": Trap()}, protocol=2))
    said = refused("base.pt")
    assert "it holds Python objects beside tensors" in said
    assert "nothing of it was read" in said
    assert not Path("sprung").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state": {}, "param_groups": []}, "it holds the state of an optimizer"),
        ({"x": torch.ones(1), "step": 3}, "it also holds 'step' (int)"),
        ({0: torch.ones(1)}, "it holds tensors under keys that are no text, such as 0"),
        ([torch.ones(1)], "it holds a list"),
        ({}, "it holds nothing"),
    ],
)
def test_a_file_of_pytorch_that_is_no_state_dict(refused: Refusal, content: object, message: str) -> None:
    torch.save(content, "model.pt")
    said = refused("model.pt")
    assert "does not hold a flat mapping of names to tensors (a state dict)" in said
    assert message in said


def test_a_model_and_its_average_are_both_named(refused: Refusal) -> None:
    tensors = randomise(published(parts(ADM)))
    average = {name: value.clone() for name, value in tensors.items()}
    torch.save({"model": {"state_dict": tensors}, "ema": average, "step": 3}, "run.ckpt")
    size = len(tensors)
    both = f"'ema' ({size} tensors), 'model.state_dict' ({size} tensors)"
    assert f"holds state dicts under {both}; say which is meant, as in --key model.state_dict" in refused(
        "run.ckpt"
    )
    said = refused("run.ckpt", "--key", "model")
    assert f"run.ckpt holds no state dict under 'model'; it holds them under {both}" in said
    save()
    assert "it is one itself: leave out --key" in refused("adm.pt", "--key", "ema")


def test_a_mapping_that_holds_itself_or_is_nested_deep_ends_in_the_same_refusal(refused: Refusal) -> None:
    ring: dict[str, object] = {"step": 3}
    ring["again"] = ring
    deep: dict[str, object] = {}
    for _ in range(100):
        deep = {"inner": deep}
    for content in (ring, deep):
        torch.save(content, "model.pt")
        assert "does not hold a flat mapping of names to tensors" in refused("model.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_named(refused: Refusal, value: float) -> None:
    tensors = save()
    tensors["out.2.weight"].view(-1)[5] = value
    tensors["time_embed.0.bias"][:2] = value
    torch.save(tensors, "adm.pt")
    said = refused("adm.pt", *ADM_SETTINGS)
    assert (
        "adm.pt: 2 tensors are NaN or infinite: time_embed.0.bias (2 of 128), out.2.weight (1 of 864)" in said
    )


def test_integers_are_no_weights(refused: Refusal) -> None:
    tensors = save()
    tensors["out.2.bias"] = tensors["out.2.bias"].to(torch.int32)
    torch.save(tensors, "adm.pt")
    assert "1 tensor is not of floating-point numbers: out.2.bias (int32)" in refused("adm.pt")


def test_an_unknown_checkpoint(refused: Refusal) -> None:
    torch.save({"conv1.weight": torch.ones(1)}, "resnet.pt")
    assert "resnet.pt: no checkpoint of GLIDE or ADM: none of its 1 tensors" in refused("resnet.pt")


@pytest.mark.parametrize("prefix", ["module.", "net.inner."])
def test_a_damaged_network_under_a_prefix_is_held_against_what_it_seems_to_be(
    refused: Refusal, prefix: str
) -> None:
    tensors = save()
    del tensors["time_embed.0.weight"]
    torch.save(
        {"n_averaged": torch.tensor(3), **{f"{prefix}{key}": it for key, it in tensors.items()}}, "a.pt"
    )
    said = refused("a.pt")
    assert "1 missing: time_embed.0.weight" in said
    assert "none of its" not in said


def test_an_average_without_names_is_told(refused: Refusal) -> None:
    torch.save({"ema": {"shadow_params": list(save().values()), "decay": 0.9}}, "ema.pt")
    assert "tensors without names under 'ema.shadow_params'" in refused("ema.pt")


def test_files_that_are_there_are_kept(refused: Refusal, tmp_path: Path) -> None:
    save()
    Path("adm.yaml").write_text("mine")
    assert "there already: adm.yaml; --overwrite replaces" in refused("adm.pt", *ADM_SETTINGS)
    assert Path("adm.yaml").read_text() == "mine"
    assert main(["convert", "adm.pt", *ADM_SETTINGS, "--overwrite"]) == 0
    assert "denoiser:" in Path("adm.yaml").read_text()


def test_two_files_of_one_name_do_not_overwrite_one_another(refused: Refusal) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        save(f"{folder}/adm.pt")
    assert "two of the files would become" in refused("a/adm.pt", "b/adm.pt", "--out", "c", *ADM_SETTINGS)


def test_a_full_disk_leaves_no_piece_of_a_file(refused: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    save()

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "cannot write adm.safetensors: No space left on device\n" in refused("adm.pt", *ADM_SETTINGS)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "denoiser.channels=64",
            "denoiser.channels is 32, as the tensors of adm.pt show; to be given are image",
        ),
        ("denoiser={res_blocks: 3}", "denoiser.res_blocks is 1, as the tensors"),
        ("heads", "is no KEY=VALUE"),
        ("denoiser..heads=3", "write PATH=VALUE"),
        ("guidance[0].scale=3", "write PATH=VALUE"),
        ("denoiser.heads=[", "the value is no YAML"),
    ],
)
def test_a_setting_that_cannot_be(refused: Refusal, setting: str, message: str) -> None:
    save()
    assert message in refused("adm.pt", *ADM_SETTINGS, "--set", setting, status=2)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("denoiser.heads=5", "5 does not divide the 32 channels"),
        ("denoiser.haeds=4", "did you mean 'heads'"),
        ("sampler.stepz=4", "did you mean 'steps'"),
        ("denoiser.image_size=1", "is not a multiple of 2"),
    ],
)
def test_a_setting_that_does_not_fit_is_a_fault_of_the_spec(
    refused: Refusal, setting: str, message: str
) -> None:
    save()
    assert message in refused("adm.pt", *ADM_SETTINGS, "--set", setting, status=2)


def test_a_text_of_another_vocabulary_needs_its_tokenizer(refused: Refusal) -> None:
    save("base.pt", GLIDE)
    said = refused("base.pt")
    assert "it knows 6 tokens, and GLIDE 50257" in said
    assert "--set 'text_encoder.tokenizer=" in said


def test_a_folder_of_vocabulary_that_is_not_there(refused: Refusal) -> None:
    save()
    assert "--vocabulary nowhere: there is no such folder" in refused("adm.pt", "--vocabulary", "nowhere")


def test_a_head_for_other_tokens_is_not_left_out(refused: Refusal) -> None:
    tensors = save("base.pt", GLIDE)
    tensors["unemb.weight"] = torch.ones(4, 32)
    torch.save(tensors, "base.pt")
    assert "1 not known to it: unemb.weight" in refused("base.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda it: it.to(torch.float8_e4m3fn), "label_emb.weight (float8_e4m3fn)"),
        (lambda it: it.to_sparse(), "label_emb.weight (sparse_coo)"),
        (lambda it: it.to("meta"), "label_emb.weight (a shape alone, of the device meta)"),
    ],
)
def test_tensors_that_are_no_plain_numbers_are_named(
    refused: Refusal, change: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    tensors = save()
    tensors["label_emb.weight"] = change(tensors["label_emb.weight"])
    torch.save(tensors, "adm.pt")
    assert f"1 tensor is not plainly of numbers of 16 bits or more: {message}" in refused("adm.pt")
