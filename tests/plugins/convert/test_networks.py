"""Networks found among averages, counters and buffers, under prefixes, in lists and in several files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from glidepath.registry.cli import main

from .checkpoints import ADM, ADM_SETTINGS, write_model

pytestmark = pytest.mark.thorough


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


AVERAGES: dict[str, tuple[list[str], str]] = {
    "torch's average": (["n_averaged", "module.{}"], "module"),
    "buffers of diffusion": (["model.{}", "betas", "sqrt_alphas_cumprod", "posterior_variance"], "model"),
    "buffers at the root": (["{}", "alphas_cumprod", "logvar"], ""),
    "compiled blocks": (["{_orig_mod}"], ""),
    "another prefix": (["net.diffusion.{}", "net.loss.weight", "step"], "net.diffusion"),
    "FSDP in a wrapper": (["ema.module._fsdp_wrapped_module.{}", "initted"], "ema"),
    "average alone": (["initted", "step", "ema_model.{}"], "ema_model"),
    "average and model": (["initted", "step", "ema_model.{}", "online_model.{other}"], "ema_model"),
    "model and average": (["model.{}", "model_ema.decay", "model_ema.{other}"], "model"),
    "average without dots": (["model.{other}", "model_ema.num_updates", "model_ema.{dotless}"], "model_ema"),
    "average beside plain names": (["{other}", "ema.{}"], "ema"),
    "average without dots beside plain names": (
        ["{other}", "model_ema.{dotless}", "model_ema.decay"],
        "model_ema",
    ),
    "average of a wrapper": (["model.net.{other}", "betas", "model_ema.net{dotless}"], "model_ema"),
}


@pytest.mark.parametrize("form", AVERAGES)
def test_a_network_is_found_among_averages_and_buffers_in_one_flat_mapping(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names, key = AVERAGES[form]
    write_model(ADM, "adm")
    tensors = torch.load("adm.pt", weights_only=True)
    flat: dict[str, torch.Tensor] = {}
    for name in names:
        if "{" not in name:
            flat[name] = torch.tensor(7) if "alphas" not in name else torch.rand(5)
        for own, value in tensors.items() if "{" in name else ():
            inside = own.replace(".", "._orig_mod.", 1)
            written = name.format(own, other=own, _orig_mod=inside, dotless=own.replace(".", ""))
            flat[written] = value if "other" not in name else torch.zeros_like(value)
    for content in (flat, {"epoch": 3, "state_dict": flat}):
        torch.save(content, "flat.pt")
        many = sum("{" in name for name in names) > 1
        where = ".".join(filter(None, ["" if content is flat else "state_dict", key]))
        if many:
            assert main(["convert", "flat.pt", *ADM_SETTINGS]) == 1
            assert "say which is meant, as in --key" in (said := capsys.readouterr().err)
            assert f"{where!r} ({len(tensors)} tensors)" in said
        arguments = ["--key", where] if many else []
        assert main(["convert", "flat.pt", *ADM_SETTINGS, *arguments, "--overwrite"]) == 0
        made = load_file("flat.safetensors")
        assert made.keys() == {f"denoiser.{name}" for name in tensors}
        assert all(torch.equal(made[f"denoiser.{name}"], value) for name, value in tensors.items())
        beside = [name for name in names if "{" not in name]
        assert all(name in Path("flat.yaml").read_text() for name in beside[: 0 if many else 5])


def test_averages_in_a_list_are_named_after_the_model_beside_them() -> None:
    write_model(ADM, "adm")
    tensors = torch.load("adm.pt", weights_only=True)
    average = {"decay": 0.999, "num_updates": 3, "shadow_params": [it + 1 for it in tensors.values()]}
    model = {f"module.{name}": value for name, value in tensors.items()}
    torch.save({"model": model, "ema": average, "step": 3}, "run.pth")
    assert main(["convert", "run.pth", *ADM_SETTINGS]) == 1
    assert main(["convert", "run.pth", *ADM_SETTINGS, "--key", "ema.shadow_params"]) == 0
    made = load_file("run.safetensors")
    assert all(torch.equal(made[f"denoiser.{name}"], value + 1) for name, value in tensors.items())
    assert main(["convert", "run.pth", *ADM_SETTINGS, "--key", "model", "--overwrite"]) == 0
    assert torch.equal(load_file("run.safetensors")["denoiser.out.2.bias"], tensors["out.2.bias"])


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
@pytest.mark.parametrize("given", ["all", "index", "both"])
def test_shards_are_put_together(ending: str, given: str) -> None:
    files = _sharded(ending)
    chosen = {"all": files[::-1], "index": [f"model.{ending}.index.json"]}
    chosen["both"] = [*files, *chosen["index"]]
    assert main(["convert", *chosen[given], *ADM_SETTINGS, "--out", "o"]) == 0
    tensors, made = torch.load("adm.pt", weights_only=True), load_file("o/model.safetensors")
    assert made.keys() == {f"denoiser.{name}" for name in tensors}
    assert all(torch.equal(made[f"denoiser.{name}"], value) for name, value in tensors.items())


def _sharded(ending: str = "safetensors") -> list[str]:
    """ADM in three files and an index."""
    write_model(ADM, "adm")
    tensors = list(torch.load("adm.pt", weights_only=True).items())
    files = [f"model-0000{number}-of-00003.{ending}" for number in (1, 2, 3)]
    places: dict[str, str] = {}
    for index, file in enumerate(files):
        some = dict(tensors[index::3])
        places |= dict.fromkeys(some, file)
        if ending == "bin":
            torch.save(some, file)
        else:
            save_file(some, file)
    Path(f"model.{ending}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return files


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("model-00001-of-00003.safetensors", "is file 1 of 3 of one checkpoint, and without file 2, file 3"),
        ("lost", "there is no weights file model-00002-of-00003.safetensors"),
        ("lacking", "model-00002-of-00003.safetensors lacks what its index names: more.weight"),
        ("twice", "model-00002-of-00003.safetensors holds what another of the files holds: "),
        ('{"weight_map": {"a": "../b.bin"}}', "is no index of a checkpoint: '../b.bin' is not the name"),
        ('{"weight_map": {"a": 3}}', "is no index of a checkpoint: 3 is not the name"),
        ('{"weight_map": {}}', "is no index of a checkpoint: it names no file"),
        ("{}", "is no index of a checkpoint: it has no 'weight_map'"),
        ("[" * 100_000, "is no index of a checkpoint: "),
        ("\0", "is no index of a checkpoint: "),
    ],
)
def test_shards_that_are_not_whole_are_told(
    given: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files, index = _sharded(), Path("model.safetensors.index.json")
    if given == "lost":
        Path(files[1]).unlink()
    elif given == "lacking":
        index.write_text(json.dumps({"weight_map": {"more.weight": files[1]}}))
    elif given == "twice":
        Path(files[1]).write_bytes(Path(files[0]).read_bytes())
    elif given not in files:
        index.write_text(given)
    arguments = [given] if given in files else files if given == "twice" else [str(index)]
    assert main(["convert", *arguments, *ADM_SETTINGS, "--out", "o"]) == 1
    assert message in (said := capsys.readouterr().err)
    assert "none of its" not in said
    assert not Path("o").exists()
