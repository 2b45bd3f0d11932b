"""What a training run does to weights, averages, its log and its checkpoints."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tests.plugins.train.tiny import Colours, Heard, TinyDenoiser, log_of, make_run, train
from torch import Tensor

from glidepath.core.errors import PartError
from glidepath.plugins.train.run.checkpoint import existing, load, save
from glidepath.plugins.train.run.learner import Learner
from glidepath.plugins.train.run.log import LOG
from glidepath.plugins.train.run.run import WEIGHTS, Run

pytestmark = pytest.mark.thorough


def test_a_few_images_are_learnt_nearly_by_heart(tmp_path: Path) -> None:
    """Who says nothing errs by 1; who heard the caption knows the image, and so the noise."""
    run = make_run(tmp_path, denoiser={"width": 32})
    train(run, steps=250, batch=16, log_every=10, probe_every=250, checkpoint_every=250, caption_dropout=0.0)
    lines = log_of(tmp_path)
    assert lines[0]["loss"] > 0.5
    assert lines[-1]["loss"] < 0.1
    assert lines[-1]["other_caption"] > 1.25 * lines[-1]["own_caption"]


def test_the_first_stage_teaches_the_text_encoder_which_image_is_meant(tmp_path: Path) -> None:
    """Guessing among the 8 images of a batch costs log 8."""
    train(
        make_run(tmp_path), contrastive_steps=40, contrastive_batch=8, steps=1, log_every=20, probe_every=99
    )
    losses = [line["loss"] for line in log_of(tmp_path) if line["stage"] == "contrast"]
    assert losses[-1] < 0.6 * math.log(8)


def test_a_denoiser_without_text_is_trained_too(tmp_path: Path) -> None:
    run = make_run(tmp_path, denoiser={"text": False}, text_encoder=None)
    weights = train(run)
    assert weights is not None
    assert {name.split(".")[0] for name in load_file(weights)} == {"denoiser"}
    assert "own_caption" not in log_of(tmp_path)[-1]


def test_a_learned_variance_is_trained(tmp_path: Path) -> None:
    run = make_run(tmp_path, denoiser={"learned_variance": True})
    before = variance_weights(run)
    train(run)
    assert not torch.equal(variance_weights(run), before)


def variance_weights(run: Run) -> Tensor:
    assert isinstance(run.denoiser, TinyDenoiser)
    return run.denoiser.last.weight.detach().chunk(2)[1].clone()


def test_bfloat16_is_the_precision_of_the_forward_pass_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    dtypes = set()
    first = run.denoiser.get_submodule("first")
    first.register_forward_hook(lambda _module, _inputs, output: dtypes.add(output.dtype))
    train(run, precision="bfloat16", probe_every=1000, steps=3)
    assert torch.bfloat16 in dtypes
    assert {value.dtype for value in run.denoiser.parameters()} == {torch.float32}
    moments = load(existing(tmp_path)[-1]).group("optimizer")
    assert {value.dtype for value in moments.values()} == {torch.float32}


def test_on_a_processor_precision_auto_is_float32(tmp_path: Path) -> None:
    for precision in ("auto", "float32"):
        train(make_run(tmp_path / precision), precision=precision)
    ours, theirs = (load_file(tmp_path / name / "weights.safetensors") for name in ("auto", "float32"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_another_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="float64"):
        train(make_run(tmp_path), precision="float64")


def test_images_of_another_size_than_the_denoisers_are_refused(tmp_path: Path) -> None:
    class Large(Colours):
        def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
            images, captions = super().batch(seed, step, size)
            return images.repeat(1, 1, 2, 2), captions

    with pytest.raises(PartError, match=r"\[3, 16, 16\].*\[3, 8, 8\]"):
        train(make_run(tmp_path, dataset=Large()))


def test_the_log_has_a_line_for_each_interval_with_the_mean_loss_since_the_last(tmp_path: Path) -> None:
    train(make_run(tmp_path / "each"), log_every=1, probe_every=6)
    train(make_run(tmp_path / "some"), log_every=4, probe_every=6)
    each = {line["step"]: line for line in log_of(tmp_path / "each")}
    some = log_of(tmp_path / "some")
    assert [line["step"] for line in some] == [4, 6, 8, 12]
    for line, before in zip(some, [0, 4, 6, 8], strict=True):
        mean = sum(each[step]["loss"] for step in range(before + 1, line["step"] + 1)) / (
            line["step"] - before
        )
        assert line["loss"] == pytest.approx(mean, abs=2e-6)
        assert line["learning_rate"] == each[line["step"]]["learning_rate"]
    assert [line["step"] for line in some if "own_caption" in line] == [6, 12]
    speeds = [
        json.loads(line)["images_per_second"] for line in (tmp_path / "some" / LOG).read_text().splitlines()
    ]
    assert min(speeds) > 0


def test_learning_rate_and_average_begin_anew_in_each_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = Learner.update
    seen: list[tuple[float, float]] = []

    def watched(self: Learner, losses: Iterable[Tensor], learning_rate: float, decay: float) -> Tensor:
        seen.append((learning_rate, decay))
        return update(self, losses, learning_rate, decay)

    monkeypatch.setattr(Learner, "update", watched)
    settings = {"learning_rate": 0.01, "warmup_steps": 3, "decay_share": 0.5, "ema": 0.3}
    train(make_run(tmp_path), contrastive_steps=4, steps=8, **settings)
    rates, decays = zip(*seen, strict=True)
    assert rates[:4] == pytest.approx([0.01 / 3, 0.02 / 3, 0.01, 0.005])
    assert rates[4:] == pytest.approx([0.01 / 3, 0.02 / 3, 0.01, 0.01, 0.01, 0.0075, 0.005, 0.0025])
    assert decays[:4] == decays[4:8] == pytest.approx([1 / 10, 2 / 11, 3 / 12, 0.3])


def test_a_line_of_the_log_is_reported_when_it_is_written(tmp_path: Path) -> None:
    heard = Heard()
    train(make_run(tmp_path, listeners=[heard]))
    lines = [event for event in heard.events if event.name == "logged"]
    reported = [{"step": it.step, "stage": it.stage, **it.figures} for it in lines]
    assert reported == [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]


def test_checkpoints_come_at_their_interval_and_at_the_end_of_a_stage_and_old_ones_go(tmp_path: Path) -> None:
    train(make_run(tmp_path), checkpoint_every=5, contrastive_steps=4, steps=10, keep=9)
    steps = [load(path).step for path in existing(tmp_path)]
    assert steps == [4, 5, 10, 14]
    train(make_run(tmp_path / "few"), checkpoint_every=1, keep=3)
    assert [load(path).step for path in existing(tmp_path / "few")] == [10, 11, 12]


def test_a_checkpoint_carries_spec_seed_stage_and_versions(tmp_path: Path) -> None:
    spec, versions = {"denoiser": {"use": "tiny"}}, {"glidepath-diffusion": "0.1", "acme": "2"}
    train(make_run(tmp_path, spec=spec, distributions=versions), seed=3, stop_after=2)
    found = load(existing(tmp_path)[-1])
    assert found.step == 2
    assert (found.meta["spec"], found.meta["seed"], found.meta["stage"]) == (spec, 3, "denoise")
    assert (found.meta["distributions"], found.meta["torch"]) == (versions, torch.__version__)


def test_the_weights_are_the_average_of_the_last_checkpoint_under_the_names_of_the_slots(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path)
    weights = train(run, ema=0.5)
    assert weights is not None
    exported = load_file(weights)
    expected = {
        f"{slot}.{name}"
        for slot, module in (("denoiser", run.denoiser), ("text_encoder", run.text_encoder))
        for name in module.state_dict()  # type: ignore[union-attr]
    }
    assert exported.keys() == expected
    last = load(existing(tmp_path)[-1])
    assert all(torch.equal(value, last.group("ema")[name]) for name, value in exported.items())
    with safe_open(weights, framework="pt") as file:
        header = file.metadata()
    assert header["step"] == "12"
    assert json.loads(header["spec"]) == dict(run.spec)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_are_written_in_the_wanted_dtype(tmp_path: Path, dtype: str) -> None:
    weights = train(make_run(tmp_path), export_dtype=dtype)
    assert weights is not None
    tensors = load_file(weights)
    wanted = {name: torch.int64 if name == "denoiser.calls" else getattr(torch, dtype) for name in tensors}
    assert {name: value.dtype for name, value in tensors.items()} == wanted


@pytest.mark.parametrize("value", [7e4, -7e4])
def test_weights_that_the_export_cannot_hold_are_not_written(tmp_path: Path, value: float) -> None:
    train(make_run(tmp_path))
    checkpoint = load(existing(tmp_path)[-1])
    name = next(name for name, it in checkpoint.tensors.items() if name.startswith("ema.") and it.ndim)
    checkpoint.tensors[name].view(-1)[0] = value
    save(tmp_path, checkpoint, keep=2)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(PartError, match=r"export_dtype float16: 1 value does not fit float16"):
        train(make_run(tmp_path), export_dtype="float16")
    assert not (tmp_path / WEIGHTS).exists()
    assert train(make_run(tmp_path), export_dtype="bfloat16") == tmp_path / WEIGHTS


def test_a_step_depends_on_the_seed(tmp_path: Path) -> None:
    for seed in (0, 1):
        train(make_run(tmp_path / str(seed)), seed=seed)
    assert log_of(tmp_path / "0")[0]["loss"] != log_of(tmp_path / "1")[0]["loss"]
