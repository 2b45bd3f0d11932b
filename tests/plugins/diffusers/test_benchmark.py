"""The benchmark of models of today compares loops that end at the same latents."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import attrs
import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
UNET = {"block_out_channels": (32, 32, 32), "layers_per_block": 1, "sample_size": 8}
SMALL = {
    "UNet": UNET,
    "ControlNet": UNET,
    "transformer": {"num_layers": 1, "sample_size": 8},
    "PixArt-Sigma": {"num_layers": 1, "sample_size": 8},
}


def test_both_loops_of_the_benchmark_end_at_the_same_latents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
    pytest.importorskip("transformers", reason="needs the extra [diffusers]")
    monkeypatch.setattr("torch.set_num_threads", lambda _count: None)  # other tests follow
    monkeypatch.syspath_prepend(BENCHMARKS)
    today = importlib.import_module("today")
    for name, less in SMALL.items():
        model = today.MODELS[name]
        monkeypatch.setitem(today.MODELS, name, attrs.evolve(model, config={**model.config, **less}))
    written = tmp_path / "figures.json"
    assert today.main(["--rounds", "1", "--steps", "5", "--threads", "1", "--json", str(written)]) == 0
    models = json.loads(written.read_text())["models"]
    found = [measured["difference"] for rows in models.values() for measured in rows.values()]
    assert len(found) == 5
    assert max(found) < 1e-4
