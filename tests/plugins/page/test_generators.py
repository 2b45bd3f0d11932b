"""A kind of a plugin in place of schedule, denoiser and sampler: its images are made, told and restored."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Site
from tests.generators import PARTS

from glidepath.plugins.page.state import Desk
from glidepath.registry import load_catalogue

PLUGIN = """
@attrs.frozen(kw_only=True)
class PaintConfig:
    layers: int = 2

@hookimpl
def kinds():
    instead = ("schedule", "denoiser", "sampler", "guidance", "handover")
    return [Kind(name="maker", interface="acme.parts:Maker", summary="s", slot="maker", instead_of=instead)]

@hookimpl
def components():
    provides = lambda config: {"image.channels": 3, "image.size": 8}
    given = dict(kind="maker", target="acme.parts:Paint", config=PaintConfig, summary="s", provides=provides)
    return [Component(name="paint", **given), Component(name="spray", **given)]
"""


@pytest.fixture
def desk(site: Site, tmp_path: Path) -> Iterator[Desk]:
    site.bundle()
    site.plugin("acme", PLUGIN)
    (site.folder / "acme" / "parts.py").write_text(PARTS)
    files = [tmp_path / "spray.yaml", tmp_path / "paint.yaml"]
    for file in files:
        file.write_text(f"maker: {file.stem}\n")
    desk = Desk(load_catalogue(path=site.path), files=files, out=tmp_path / "images")
    desk.start()
    desk.begin()  # it is opened
    yield desk
    desk.close()


def finished(desk: Desk, job: Any) -> Any:
    end = time.monotonic() + 60
    while (known := desk.queue.job(job["id"])).state in ("waiting", "loading", "running"):
        assert time.monotonic() < end
        time.sleep(0.01)
    return known.document()


def test_images_of_a_generator_are_made_told_and_restored(desk: Desk) -> None:
    text = "extends: paint.yaml\nmaker:\n  layers: 3\n"
    job = finished(desk, desk.make({"text": text, "prompts": ["x"], "seed": 4}))
    assert (job["state"], job["message"], job["total"]) == ("done", "", 3)
    assert desk.frame(job["id"], 3, "x_0")
    (file,) = job["result"]["files"]
    (told,) = desk.history.listed()
    assert (told["sampler"], told["model"]) == ("", "paint")
    assert desk.restore({"file": file})["text"] == text  # on the base of its own part, not on the first
    assert finished(desk, desk.replay({"file": file}))["result"]["difference"] == ""


def test_what_a_generator_stands_in_place_of_is_known_and_told(desk: Desk) -> None:
    kinds = {kind["name"]: kind["instead_of"] for kind in desk.known["kinds"]}
    assert kinds["maker"] == ["schedule", "denoiser", "sampler", "guidance", "handover"]
    assert kinds["denoiser"] == []
    (problem,) = desk.check({"text": "maker: paint\nsampler: ddim\n"})["problems"]
    assert (problem["path"], problem["what"]) == ("sampler", "a spec with a maker has no sampler")
    black = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
    job = finished(desk, desk.noise({"text": "maker: paint\n", "pictures": {"image": black}}))
    assert job["state"] == "failed"
    assert "schedule" in job["message"]
