"""What a right spec still needs before it makes images: told as warnings, with how to get it."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from tests.registry.made_up import COMPONENTS, make_catalogue

from glidepath.registry.assembly.warnings import missing_inputs
from glidepath.registry.describe.component import Component
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import parse_spec
from glidepath.registry.text.problems import Problem

SPEC = "schedule: cosine\ndenoiser: net\nsampler: ddim\n"


@attrs.frozen(kw_only=True)
class NetConfig:
    words: Path | None = None


def _lacks(config: NetConfig) -> list[tuple[str, str]]:
    words = [("words", "reads nothing yet")] if config.words is None else []
    return [("weights", "has no weights yet"), *words]


def _wrong(_config: object) -> list[tuple[str, str]]:
    raise ZeroDivisionError("oh")


PARTS = (
    Component(kind="denoiser", name="net", target="x:Y", summary="x", config=NetConfig, lacks=_lacks),
    Component(kind="denoiser", name="wrong", target="x:Y", summary="x", lacks=_wrong),
    Component(kind="dataset", name="photos", target="x:Y", summary="x", config=NetConfig),
)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return make_catalogue(components=(*COMPONENTS, *PARTS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("w.pt", "words.txt"):
        (tmp_path / name).write_text("")
    return tmp_path


def lacked(catalogue: Catalogue, folder: Path, text: str, *overrides: str) -> list[Problem]:
    spec = parse_spec(text, "s.yaml", overrides, catalogue=catalogue, folder=folder)
    return list(missing_inputs(make_plan(spec, catalogue), catalogue))


def test_a_part_without_weights_and_files_is_told_with_its_place(catalogue: Catalogue, folder: Path) -> None:
    weights, words = lacked(catalogue, folder, SPEC)
    assert weights.what == "denoiser (net) has no weights yet"
    assert (str(weights.place), weights.path) == ("s.yaml:2:11", "denoiser.weights")
    assert weights.hint == "name a file as weights"
    assert (words.what, words.path, words.hint) == ("denoiser (net) reads nothing yet", "denoiser.words", "")


@pytest.mark.parametrize("given", ["weights: w.pt", "denoiser: {use: net, weights: w.pt}"])
def test_weights_of_the_whole_and_of_the_part_serve(catalogue: Catalogue, folder: Path, given: str) -> None:
    text = SPEC.replace("denoiser: net\n", "") + given if "denoiser" in given else SPEC + given
    assert [problem.path for problem in lacked(catalogue, folder, text)] == ["denoiser.words"]


def test_weights_of_the_whole_do_not_reach_a_part_inside_a_part(catalogue: Catalogue, folder: Path) -> None:
    ensemble = "denoiser: {use: ensemble, first: {use: net, words: words.txt}}\nweights: w.pt\n"
    (problem,) = lacked(catalogue, folder, SPEC.replace("denoiser: net\n", ensemble))
    assert problem.path == "denoiser.first.weights"
    assert problem.hint == "name a file as denoiser.first.weights"


def test_a_spec_that_says_how_it_is_trained_lacks_no_weights(catalogue: Catalogue, folder: Path) -> None:
    text = f"{SPEC}data: {{use: photos, words: words.txt}}\n"
    assert [problem.path for problem in lacked(catalogue, folder, text)] == ["denoiser.words"]


def test_files_that_are_not_there_are_told(catalogue: Catalogue, folder: Path) -> None:
    text = SPEC.replace("net", "{use: net, words: gone.txt}")
    absent, weights = lacked(catalogue, folder, f"{text}weights: gone.pt\n")
    assert absent.what == f"denoiser.words: there is no file or folder {folder / 'gone.txt'}"
    assert str(absent.place) == "s.yaml:2:29"
    assert (weights.what, str(weights.place)) == ("there is no file 'gone.pt'", "s.yaml:4:10")
    assert weights.hint == f"it would be {folder / 'gone.pt'}"


def test_nothing_is_told_of_a_spec_that_lacks_nothing(catalogue: Catalogue, folder: Path) -> None:
    text = SPEC.replace("net", "{use: net, words: words.txt}") + "weights: hub:acme/base/w.safetensors\n"
    assert lacked(catalogue, folder, text) == []


def test_a_component_that_cannot_say_what_it_lacks_stops_nothing(catalogue: Catalogue, folder: Path) -> None:
    (problem,) = lacked(catalogue, folder, SPEC.replace("net", "wrong"))
    assert problem.what == "glidepath-diffusion/wrong cannot say what it lacks: ZeroDivisionError: oh"
    assert problem.hint == "it is a fault of glidepath-diffusion"
