"""Every sampler and every guidance runs on every model of today, or is refused for a reason that is true."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from glidepath.core import Pipeline
from glidepath.plugins.diffusers.imported import read_folder
from glidepath.registry import Catalogue, SpecError, build_pipeline, load_catalogue, make_plan, read_spec

pytest.importorskip("diffusers", reason="needs the extra [diffusers]")
pytest.importorskip("transformers", reason="needs the extra [diffusers]")

pytestmark = pytest.mark.thorough

Saved = Callable[[str], Path]
FREE = {"use": "classifier-free", "scale": 3}
GUIDANCES: dict[str, list[Any]] = {
    "none": [],
    "apg": ["apg"],
    "interval": [FREE, {"use": "interval", "low": 0.1}],
    "rescale": [FREE, "rescale"],
    "scale-schedule": [FREE, "scale-schedule"],
    "dynamic-threshold": [FREE, "dynamic-threshold"],
}
REASONS = {
    "pndm": "the first sigma over alpha is infinite",  # of flows, and with a terminal SNR of zero
    "dynamic-threshold": "needs codec.bounded true",
}


def changes(catalogue: Catalogue) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is laid over the spec of a folder: each sampler, and each guidance."""
    for sampler in catalogue.components("sampler"):
        name = sampler.component.name
        yield name, {"sampler": {"use": name, "steps": 4}}
    for name, guidance in GUIDANCES.items():
        yield name, {"guidance": guidance}


@pytest.mark.parametrize("model", ["sd15", "sd21", "sdxl", "sd3", "flux", "dit", "pixart"])
def test_every_sampler_and_guidance_runs_on_a_model(model: str, saved: Saved) -> None:
    catalogue, folder = load_catalogue(), saved(model)
    spec: dict[str, Any] = dict(read_folder(folder, str(folder), steps=3).spec)
    if model == "flux":
        spec["denoiser"] = {**spec["denoiser"], "size": 8}
    ran, refused = 0, {}
    for name, change in changes(catalogue):
        try:
            plan = make_plan(read_spec({**spec, **change}, catalogue=catalogue), catalogue)
        except SpecError as error:
            refused[name] = str(error)
            continue
        pipeline = build_pipeline(plan, catalogue)
        assert isinstance(pipeline, Pipeline)
        # what is not finite raises
        images = pipeline(["a red star"], labels=[1] if model == "dit" else None)
        assert images.shape == (1, 3, 16, 16)
        ran += 1
    assert ran >= 14
    assert refused.keys() <= REASONS.keys()
    assert all(REASONS[name] in message for name, message in refused.items())
