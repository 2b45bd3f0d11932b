"""Averages whose length is chosen after training: as NVlabs/edm2 has them, and as their formulas say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tests.plugins.train.tiny import config, make_run, train
from torch import Tensor

from glidepath.core import GlidepathError
from glidepath.plugins.train.averages.command import main
from glidepath.plugins.train.averages.power import (
    PowerAverages,
    decay_of,
    gamma_of,
    products,
    profiles,
    shares_of,
)
from glidepath.plugins.train.averages.snapshots import averaged, snapshots
from glidepath.plugins.train.run.run import WEIGHTS

DATA = Path(__file__).parents[3] / "parity" / "data"
RECORDED = load_file(DATA / "edm2_phema.safetensors")
RUNS: dict[str, Any] = json.loads((DATA / "edm2_phema.json").read_text())["runs"]


def close(ours: Tensor, recorded: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(ours.double(), recorded.double(), rtol=tolerance, atol=tolerance)


def test_the_exponent_of_a_length() -> None:
    lengths = RUNS["std_to_exp"]["std"]
    gammas = torch.tensor([gamma_of(length) for length in lengths], dtype=torch.float64)
    close(gammas, RECORDED["std_to_exp.exp"])
    # the standard deviation of the density (gamma + 1) s^gamma of s in [0, 1]
    variance = (gammas + 1) / ((gammas + 2) ** 2 * (gammas + 3))
    close(variance.sqrt(), torch.tensor(lengths, dtype=torch.float64))


def test_the_decay_of_a_step() -> None:
    run = RUNS["beta"]
    ours = [[decay_of(gamma_of(std), t, run["t_delta"]) for t in run["t_next"]] for std in run["std"]]
    close(torch.tensor(ours, dtype=torch.float64), RECORDED["beta.beta"])


def test_inner_products_of_profiles() -> None:
    run = RUNS["correlation"]
    one = profiles(list(zip(run["a_ofs"], run["a_std"], strict=True)))
    other = profiles(list(zip(run["b_ofs"], run["b_std"], strict=True)))
    ours = products(one, other)
    s = (torch.arange(400_000).double() + 0.5) / 400_000 * 40
    for row in range(3):
        for column in range(2):
            densities = [
                torch.where(s <= it["t"][at], (it["gamma"][at] + 1) * s ** it["gamma"][at], 0.0)
                / it["t"][at] ** (it["gamma"][at] + 1)
                for it, at in ((one, row), (other, column))
            ]
            integral = (densities[0] * densities[1]).sum() * 40 / 400_000
            torch.testing.assert_close(ours[row, column], integral, rtol=1e-4, atol=0)
    close(ours, RECORDED["correlation.corr"])


def test_the_shares_of_what_was_kept() -> None:
    run = RUNS["solve"]
    kept = list(zip(run["in_ofs"], run["in_std"], strict=True))
    wanted = list(zip(run["out_ofs"], run["out_std"], strict=True))
    close(shares_of(kept, wanted), RECORDED["solve.coeffs"], 1e-7)


@pytest.mark.parametrize("name", ["track", "track_earlier"])
def test_averages_are_tracked_and_others_made_of_them(name: str) -> None:
    run, weights = RUNS[name], RECORDED["weights"]
    now = {"w": weights[0].clone()}
    tracked = PowerAverages(run["stds"], now)
    kept: dict[tuple[int, float], Tensor] = {}
    for index, value in enumerate(weights):
        now["w"].copy_(value)
        tracked.update(index + 1)
        found = torch.stack([average["w"] for average in tracked.averages])
        close(found, RECORDED[f"{name}.ema_all_steps"][index], 1e-5)
        if index + 1 in run["snapshot_steps"]:
            for std, average in zip(run["stds"], tracked.averages, strict=True):
                kept[index + 1, std] = average["w"].double().clone()
    wanted = list(zip(run["out_steps"], run["out_stds"], strict=True))
    if name == "track_earlier":  # what is wanted of step 160 is made of all, as recorded
        assert (160, 0.07) in wanted
    shares = shares_of(list(kept), wanted)
    close(shares, RECORDED[f"{name}.coeffs"], 1e-6)
    close(shares.T @ torch.stack(list(kept.values())), RECORDED[f"{name}.reconstructed"], 1e-5)


@pytest.mark.parametrize("length", [0.05, 0.1, 0.2])
def test_an_average_is_the_sum_of_its_profile(length: float) -> None:
    """The weights of step k of n count (k / n)^(gamma + 1) less ((k - 1) / n)^(gamma + 1)."""
    weights = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    now = {"w": torch.zeros(3, dtype=torch.float64)}
    tracked = PowerAverages([length], now)
    for index, value in enumerate(weights):
        now["w"].copy_(value)
        tracked.update(index + 1)
    ends = (torch.arange(51).double() / 50) ** (gamma_of(length) + 1)
    expected = ((ends[1:] - ends[:-1])[:, None] * weights).sum(0)
    torch.testing.assert_close(tracked.averages[0]["w"], expected)


VALUES = {"steps": 40, "batch": 2, "ema_lengths": (0.05, 0.1), "ema_every": 5, "checkpoint_every": 10}


def test_a_run_keeps_averages_and_another_is_made_of_them(tmp_path: Path) -> None:
    """Against the average that a run tracks at that length itself."""
    train(make_run(tmp_path / "one"), **VALUES)
    assert [(it.step, it.length) for it in snapshots(tmp_path / "one")] == [
        (step, length) for step in range(5, 41, 5) for length in (0.05, 0.1)
    ]
    train(make_run(tmp_path / "other"), **{**VALUES, "ema_lengths": (0.08,)})
    assert main([str(tmp_path / "one"), "--length", "0.08"]) == 0
    made = load_file(tmp_path / "one" / "weights-ema-0.08.safetensors")
    tracked = load_file(snapshots(tmp_path / "other")[-1].path)
    plain = load_file(tmp_path / "one" / WEIGHTS)
    assert made.keys() == plain.keys()
    assert {name for name in plain if name not in tracked} == {"denoiser.calls"}
    for name, value in tracked.items():
        moved = float((plain[name] - value).abs().max())
        error = float((made[name] - value).abs().max())
        assert error <= 0.05 * moved + 1e-6
    with safe_open(tmp_path / "one" / "weights-ema-0.08.safetensors", "pt") as file:
        assert file.metadata()["ema_length"] == "0.08"


def test_a_length_that_was_kept_is_what_was_kept(tmp_path: Path) -> None:
    train(make_run(tmp_path), **VALUES)
    whole = load_file(tmp_path / WEIGHTS)
    for kept in snapshots(tmp_path):
        made = averaged(tmp_path, kept.length, kept.step, whole)
        for name, value in load_file(kept.path).items():
            torch.testing.assert_close(made[name], value, rtol=1e-5, atol=1e-6)


def test_averages_resume_exactly_and_do_not_change_training(tmp_path: Path) -> None:
    plain = {key: value for key, value in VALUES.items() if not key.startswith("ema")}
    train(make_run(tmp_path / "plain"), **plain)
    train(make_run(tmp_path / "whole"), **VALUES)
    train(make_run(tmp_path / "cut"), stop_after=17, **VALUES)
    train(make_run(tmp_path / "cut", init=2), **VALUES)
    for one, other in zip(snapshots(tmp_path / "whole"), snapshots(tmp_path / "cut"), strict=True):
        assert one.path.name == other.path.name
        found, again = load_file(one.path), load_file(other.path)
        assert all(torch.equal(found[name], again[name]) for name in found)
    three = [load_file(tmp_path / name / WEIGHTS) for name in ("plain", "whole", "cut")]
    assert all(torch.equal(three[0][name], it[name]) for it in three[1:] for name in three[0])


def test_what_cannot_be_made_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(GlidepathError, match="at its end"):
        main([str(tmp_path), "--length", "0.1"])
    train(make_run(tmp_path), steps=2)
    with pytest.raises(GlidepathError, match=r"kept no averages.*ema_lengths"):
        main([str(tmp_path), "--length", "0.1"])
    train(make_run(tmp_path / "kept"), **VALUES)
    with pytest.raises(GlidepathError, match=r"above 0 and below 0\.28"):
        main([str(tmp_path / "kept"), "--length", "0.3"])
    with pytest.raises(GlidepathError, match="until step 2"):
        main([str(tmp_path / "kept"), "--length", "0.1", "--step", "2"])
    with pytest.raises(ValueError, match="ema_lengths"):
        config(ema_lengths=(0.3,))
