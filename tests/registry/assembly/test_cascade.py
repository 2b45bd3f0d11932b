"""A cascade from its spec to its images, and back."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tests.registry.tiny import CASCADE, run, write_cascade

from glidepath.core.cascade import Cascade
from glidepath.core.image_pipeline import TURNS
from glidepath.core.pipeline import Pipeline
from glidepath.registry import SpecError, assemble
from glidepath.registry.assembly.weights import WeightsError
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.records.images import read_manifest
from glidepath.registry.spec.spec import read_spec


@pytest.fixture
def cascade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_cascade(tmp_path)


def test_a_spec_with_stages_becomes_a_cascade_that_makes_images(cascade: Path) -> None:
    made = assemble(cascade)
    assert isinstance(made, Cascade)
    assert list(made.stages) == ["small", "large"]
    images = made(["a green star", "a ring"], seed=3)
    assert (images.shape, images.dtype) == ((2, 3, 16, 16), torch.uint8)
    assert not torch.equal(images[0], images[1])


def test_a_spec_without_stages_becomes_a_pipeline(cascade: Path) -> None:
    assert isinstance(assemble(cascade.with_name("tiny.yaml")), Pipeline)


def test_an_image_of_a_cascade_is_the_same_alone_and_in_a_batch(cascade: Path) -> None:
    made = assemble(cascade)

    def of_stages(prompts: list[str], samples: list[int] | None = None) -> list[torch.Tensor]:
        states = made.states(prompts, seed=5, samples=samples)
        return list({state.stage: made.images(state).int() for state in states}.values())

    small, large = of_stages(["a star", "a ring", "a star"])
    for row, (prompt, sample) in enumerate([("a star", 0), ("a ring", 0), ("a star", 1)]):
        (small_alone,), (large_alone,) = of_stages([prompt], [sample])
        # batched matrix products round otherwise, by about 1e-6, and so may half a level
        differs = (small[row] - small_alone).abs()
        assert differs.max() <= 1
        if not differs.any():  # of another level the next stage makes another image
            assert (large[row] - large_alone).abs().max() <= 1


def test_a_cascade_that_offloads_sends_a_stage_away_before_the_next_begins(
    cascade: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[tuple[str, ...]] = []
    bring = Pipeline.bring
    monkeypatch.setattr(Pipeline, "bring", lambda self, *slots: (turns.append(slots), bring(self, *slots)))
    made = assemble(cascade, ["runtime.offload=parts"])
    image = made(["a green star"], seed=3)
    changes = [slots for before, slots in zip([None, *turns], turns, strict=False) if slots != before]
    text, walk, codec = TURNS.values()
    assert changes == [text, walk, codec, (), text, walk, codec]
    assert all(stage.offload for stage in made.stages.values())
    assert torch.equal(image, assemble(cascade)(["a green star"], seed=3))


def test_the_file_of_weights_holds_all_parts_under_stage_and_slot(cascade: Path) -> None:
    made = assemble(cascade)
    stored = load_file(cascade.with_name("cascade.safetensors"))
    for stage, pipeline in made.stages.items():
        for slot in ("denoiser", "text_encoder"):
            for name, value in getattr(pipeline, slot).state_dict().items():
                assert torch.equal(value, stored[f"{stage}.{slot}.{name}"])


def test_a_stage_may_have_a_file_of_its_own(cascade: Path) -> None:
    stored = load_file(cascade.with_name("cascade.safetensors"))
    save_file(
        {name: value for name, value in stored.items() if name.startswith("large.")},
        cascade.with_name("rest.safetensors"),
    )
    made = assemble(
        cascade,
        ["stages.small.weights=tiny.safetensors", "weights=rest.safetensors"],
    )
    own = load_file(cascade.with_name("tiny.safetensors"))
    assert torch.equal(made.first.denoiser.state_dict()["out.2.bias"], own["denoiser.out.2.bias"])
    assert torch.equal(made.last.denoiser.state_dict()["out.2.bias"], stored["large.denoiser.out.2.bias"])


def test_a_stage_that_extends_a_spec_with_weights_has_them(cascade: Path) -> None:
    cascade.write_text(CASCADE.replace("extends: tiny.yaml, weights: null", "extends: tiny.yaml"))
    stored = load_file(cascade.with_name("cascade.safetensors"))
    save_file(
        {name: value for name, value in stored.items() if name.startswith("large.")},
        cascade.with_name("cascade.safetensors"),
    )
    made = assemble(cascade)
    own = load_file(cascade.with_name("tiny.safetensors"))
    assert torch.equal(made.first.denoiser.state_dict()["out.2.bias"], own["denoiser.out.2.bias"])


def test_weights_for_a_stage_that_is_not_there_are_refused(cascade: Path) -> None:
    file = cascade.with_name("cascade.safetensors")
    save_file({**load_file(file), "lage.denoiser.x": torch.ones(1)}, file)
    with pytest.raises(WeightsError, match=r"lage\.denoiser\.x.*did you mean 'large'"):
        assemble(cascade)


def test_weights_that_do_not_fit_are_told_with_the_stage(cascade: Path) -> None:
    file = cascade.with_name("cascade.safetensors")
    tensors = load_file(file)
    del tensors["large.denoiser.out.2.bias"]
    save_file(tensors, file)
    with pytest.raises(WeightsError, match=r"do not fit stages\.large\.denoiser:\n +1 missing: out\.2\.bias"):
        assemble(cascade)


def test_a_file_for_stages_that_all_have_their_own_is_refused(cascade: Path) -> None:
    own = [f"stages.{name}.weights=tiny.safetensors" for name in ("small", "large")]
    with pytest.raises(WeightsError):  # the large one does not fit; none may pass in silence
        assemble(cascade, own)
    cascade.write_text("stages: {small: {extends: tiny.yaml}}\nweights: cascade.safetensors\n")
    with pytest.raises(WeightsError, match=r"each has some; .* stages\.small\.weights"):
        assemble(cascade)


def test_without_weights_a_stage_starts_as_it_does_by_itself(cascade: Path) -> None:
    cascade.write_text(CASCADE.replace("weights: cascade.safetensors\n", ""))
    made = assemble(cascade)
    alone = assemble(cascade.with_name("tiny.yaml"), ["weights=null"])
    for one, other in zip(made.first.denoiser.parameters(), alone.denoiser.parameters(), strict=True):
        assert torch.equal(one, other)


def test_hooks_see_each_stage_with_its_plan(cascade: Path, site) -> None:
    site.bundle()
    site.plugin(
        "acme",
        """
seen = []

@hookimpl
def components():
    return []

@hookimpl
def on_assemble(plan):
    seen.append(plan.path)

@hookimpl
def on_built(pipeline, plan):
    seen.append((type(pipeline).__name__, plan.path))
""",
    )
    assemble(cascade, catalogue=load_catalogue(path=site.path))
    assert sys.modules["acme.plugin"].seen == [
        "stages.small",
        "stages.large",
        ("Pipeline", "stages.small"),
        ("Pipeline", "stages.large"),
    ]


def test_a_fault_of_a_stage_names_its_place(cascade: Path) -> None:
    with pytest.raises(SpecError) as caught:
        assemble(cascade, ["stages.large.denoiser.image_size=8"])
    # 16, which it attends at, is no size inside it
    (problem,) = caught.value.problems
    assert problem.path == "stages.large.denoiser.attention_resolutions"
    with pytest.raises(SpecError, match="makes images of 8 pixels from images of 8"):
        assemble(cascade, ["stages.large.denoiser={image_size: 8, attention_resolutions: [8]}"])


def test_sample_and_replay_make_the_same_image_of_a_cascade(
    cascade: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run("sample", "a star", "a ring", "--spec", cascade, "--count", 2, "--seed", 3, "--out", "x.png") == 0
    )
    said = capsys.readouterr().err
    assert "0 of 4 images, stage small" in said
    assert "0 of 4 images, stage large" in said
    _, data = read_manifest(Path("x.png"))
    assert list(data["spec"]["stages"]) == ["small", "large"]
    assert set(data["weights"]) == {""}
    assert "pictures" not in data
    assert run("replay", "x.png") == 0
    assert "the same image, pixel for pixel" in capsys.readouterr().out


def test_weight_hashes_are_told_by_stage(cascade: Path) -> None:
    cascade.write_text("stages: {small: {extends: tiny.yaml}}\n")
    assert run("sample", "a star", "--spec", cascade, "--out", "x.png") == 0
    assert set(read_manifest(Path("x.png"))[1]["weights"]) == {"stages.small"}


def test_a_single_image_has_the_size_of_the_last_stage(cascade: Path) -> None:
    assert run("sample", "a star", "--spec", cascade, "--scale", 1, "--out", "x.png") == 0
    expected = assemble(cascade)(["a star"])[0]
    assert Image.open("x.png").convert("RGB").tobytes() == expected.permute(1, 2, 0).numpy().tobytes()


def test_the_film_of_a_cascade_shows_each_stage_as_large_as_the_image(cascade: Path) -> None:
    assert run("sample", "a star", "--spec", cascade, "--film", "--scale", 2, "--out", "x.png") == 0
    film, image = Image.open("x-film.png").convert("RGB"), Image.open("x.png").convert("RGB")
    assert film.size == (7 * 16 + 6 * 4, 16)  # 4 steps of the one stage, 3 of the other, at half the scale
    last = film.crop((film.width - 16, 0, film.width, 16)).resize((32, 32), Image.Resampling.NEAREST)
    assert last.tobytes() == image.tobytes()
    small = film.crop((3 * 20, 0, 3 * 20 + 16, 16))
    assert small.resize((8, 8), Image.Resampling.NEAREST).resize(
        (16, 16), Image.Resampling.NEAREST
    ).tobytes() == (small.tobytes())


def test_frames_are_shared_out_among_the_stages() -> None:
    from glidepath.registry.records.drawing import _frames

    assert sorted(_frames([100])) == [1, 13, 26, 38, 51, 63, 75, 88, 100]
    frames = sorted(_frames([100, 27]))
    assert [frame for frame in frames if frame <= 100] == [1, 26, 51, 75, 100]
    assert [frame for frame in frames if frame > 100] == [101, 110, 118, 127]
    assert sorted(_frames([1, 1])) == [1, 2]


def test_words_that_one_stage_does_not_read_are_told_with_it(
    cascade: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = "a red star a green ring a star"
    assert run("sample", prompt, "--spec", cascade, "--out", "x.png") == 0
    assert capsys.readouterr().err.count("not read: 'a star'") == 1
    cascade.write_text(CASCADE.replace("weights: cascade.safetensors\n", ""))
    shorter = ["--set", "stages.large.text_encoder.context=3"]
    assert run("sample", prompt, "--spec", cascade, *shorter, "--out", "x.png") == 0
    said = capsys.readouterr().err
    assert "not read in stage small: 'a star'" in said
    assert "not read in stage large: 'a green ring a star'" in said


def test_ctrl_c_keeps_what_is_finished(cascade: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states, calls = Cascade.states, []

    def interrupted(self, *arguments, **keywords):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return states(self, *arguments, **keywords)

    monkeypatch.setattr(Cascade, "states", interrupted)
    assert run("sample", "a star", "--spec", cascade, "--count", 2, "--batch", 1, "--out", "x.png") == 130
    assert len(read_manifest(Path("x.png"))[1]["shots"]) == 1


@pytest.mark.thorough
def test_check_and_plan_know_stages(cascade: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", cascade) == 0
    assert run("plan", cascade, "--set", "runtime.device=cpu", "--set", "stages.large.sampler.steps=2") == 0
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    heads = [row.split(":")[0] for row in rows if row.startswith("stages.")]
    assert heads == [
        *(f"stages.small.{slot}" for slot in ("schedule", "denoiser", "text_encoder")),
        "stages.small.text_encoder.tokenizer",
        *(f"stages.small.{slot}" for slot in ("guidance[0]", "sampler", "codec")),
        *(f"stages.large.{slot}" for slot in ("schedule", "denoiser", "text_encoder")),
        "stages.large.text_encoder.tokenizer",
        *(f"stages.large.{slot}" for slot in ("sampler", "codec")),
    ]
    assert "steps 2 --set #2" in rows
    for title in ("cost of one image, stage small", "cost of one image, stage large"):
        assert title in rows
    assert "steps 2, as many evaluations" in rows
    assert "cost of one image, all stages" in rows


@pytest.mark.thorough
def test_a_plan_of_a_cascade_as_json(cascade: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", cascade, "--json", "--set", "stages.small.weights=tiny.safetensors") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["stages"]["large"] == {"weights": None}
    assert document["stages"]["small"]["weights"].endswith("tiny.safetensors")
    assert document["parts"][0]["path"] == "stages.small.schedule"
    assert list(document["tree"]["stages"]) == ["small", "large"]
    costs = document["cost"]["stages"]
    assert list(costs) == ["small", "large"]
    assert document["cost"]["total_flops"] == sum(cost["total_flops"] for cost in costs.values())
    catalogue = load_catalogue()
    plan = make_plan(read_spec(cascade, catalogue=catalogue), catalogue)
    assert document["distributions"] == plan.distributions
    assert run("plan", cascade, "--quick", "--json") == 0
    assert json.loads(capsys.readouterr().out)["cost"] is None


def test_the_weights_of_stages_are_shown(cascade: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["--set", "stages.small.weights=tiny.safetensors", "--set", "weights=null"]
    assert run("plan", cascade, "--quick", *own) == 0
    shown = capsys.readouterr().out
    assert "stages.small.weights: " in shown
    assert "none; as initialised" not in shown


def test_a_cascade_is_trained_stage_by_stage(cascade: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", cascade) == 2
    said = capsys.readouterr().err
    assert "cascade.yaml:1:1: this spec is a cascade, and training is done one stage at a time" in said
    assert "small: {extends: runs/small/spec.yaml}" in said


def test_a_noise_film_is_one_of_the_first_stage(cascade: Path) -> None:
    Image.new("RGB", (20, 10), (255, 0, 0)).save("photo.png")
    assert run("sample", "--noise-film", "photo.png", "--spec", cascade, "--scale", 2) == 0
    assert Image.open("images/photo-noise-film.png").height == 8
